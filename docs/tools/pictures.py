"""The GIFs of docs/scenarios.md: an episode of each recorded plan, small enough for a page.

python docs/tools/pictures.py            all of them
python docs/tools/pictures.py smax/3m    some of them
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

import leed_jax as leed
from leed_jax.instructions import ANY_EPISODE

FOLDER = Path(__file__).parents[1] / "images"
MAX_BYTES = 300_000
WIDTH = 320
COLOURS = 32
SIZES = ((60, WIDTH), (40, WIDTH), (40, 240))
"""Frames at most and pixels of width, the first that is small enough."""
SHOWN = (
    "smax/3m",
    "overcooked_v2/cramped_room",
    "mpe/simple_spread",
    "mpe/simple_tag",
    "mpe/simple_speaker_listener",
    "hanabi/full",
    "coin_game/3x3",
    "jaxnav/grid_rand_poly",
    "road/berlin_adlershof",
)


def main(names: list[str]) -> None:
    """Writes the pictures of these scenarios, or of all that are shown."""
    FOLDER.mkdir(exist_ok=True)
    for name in names or SHOWN:
        scenario = leed.make(name)
        plan = leed.generate_plans(scenario).plans[ANY_EPISODE]
        path = FOLDER / f"{name.replace('/', '_')}.gif"
        with tempfile.TemporaryDirectory() as folder:
            leed.render(scenario, plan, Path(folder) / "episode.gif")
            for frames, width in SIZES:
                shrink(Path(folder) / "episode.gif", path, frames=frames, width=width)
                if path.stat().st_size <= MAX_BYTES:
                    break
        print(f"{path} {path.stat().st_size:,} bytes")


def shrink(source: Path, target: Path, *, frames: int, width: int) -> None:
    """Fewer frames, pixels and colours; the episode takes as long as before."""
    with Image.open(source) as image:
        count: int = image.n_frames  # pyright: ignore[reportAttributeAccessIssue]
        every = -(-count // frames)
        duration = image.info["duration"] * every
        height = round(image.height * width / image.width)
        small = []
        for index in range(0, count, every):
            image.seek(index)
            frame = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
            small.append(frame.quantize(COLOURS, dither=Image.Dither.NONE))
    small[0].save(
        target, save_all=True, append_images=small[1:], duration=duration, loop=0, optimize=True
    )


if __name__ == "__main__":
    main(sys.argv[1:])
