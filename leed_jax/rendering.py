"""Episodes as animated GIFs, one panel per episode, drawn by the scenario itself."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Key
from PIL import Image

from leed_jax import episodes, execution, files, instructions
from leed_jax.demonstrations import Demonstrations
from leed_jax.episodes import Episodes
from leed_jax.instructions import Plan
from leed_jax.optimization.results import TrainResult
from leed_jax.scenarios import Scenario
from leed_jax.types import Policy, State

PANEL_INCHES = 3.2
TITLE_INCHES = 0.4
MARGIN = 0.02  # of a panel's width, on every side
DOTS_PER_INCH = 100
NUM_COLOURS = 255
"""Of the palette: one index is left for "as in the frame before", which halves the file."""
RENDER_SEED = 7
MAX_FRAMES = 120
"""Of a longer episode every second step is shown, or every third, and so on."""
LAST_FRAME_SECONDS = 1.5
"""How long the end of the episodes stands before the GIF starts over."""


class Clip(NamedTuple):
    """One episode to be shown, without padding."""

    title: str
    states: State
    """Before every step; leading axis S in every leaf."""
    rewards: Float[np.ndarray, "S"]
    """Of the team, per step."""
    targets: Any = None
    """What the agents are sent to, leading axis S in every leaf, if it is to be drawn."""


def clip(
    title: str, played: Episodes, states: State, targets: Any = None, *, index: int = 0
) -> Clip:
    """An episode of a batch, cut where it was over.

    Args:
      title: of its panel, e.g. the method.
      played: from `episodes.run` or `execution.execute`, leading axes K, S.
      states: of its record, leading axes K, S.
      targets: the same, of a plan's memory; None draws no targets.
      index: which of the K.
    """
    length = int(played.length[index])
    kept = jax.tree.map(lambda leaf: leaf[index, :length], (states, targets))
    states, targets = jax.device_get(kept)
    rewards = np.asarray(played.rewards)[index, :length].sum(-1)
    return Clip(title, states, rewards, targets)


def save_gif(
    scenario: Scenario, clips: Sequence[Clip], path: str | os.PathLike[str], *, fps: int = 10
) -> None:
    """Writes episodes side by side as one GIF.

    A frame shows the states before a step, the number of that step and the team return including
    it, so that the last frame shows the return of the episode. Episodes that end before the others
    stand still. Of episodes of more than `MAX_FRAMES` steps every k-th step is shown, and the
    last one. The file appears whole or not at all.

    Args:
      scenario: draws the states.
      clips: one panel each, at most four in a row.
      path: of the GIF.
      fps: frames per second; 1 to 50, GIF counts in hundredths of a second.

    Raises:
      ValueError: no clip, an empty one, sizes within a clip that differ, or ``fps`` out of range.
    """
    if not 1 <= fps <= 50:
        raise ValueError(f"fps must be in 1..50, got {fps}")
    _check(clips)
    frames = _with_one_palette(list(_frames(scenario, clips)))
    duration = 10 * round(100 / fps)
    durations = [duration] * (len(frames) - 1) + [int(1000 * LAST_FRAME_SECONDS)]
    with files.whole(Path(path)) as partial:
        frames[0].save(
            partial,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=durations,
            loop=0,
        )


def demonstration_clip(
    scenario: Scenario, plan: Plan, key: Key[Array, ""], *, title: str = "demonstration"
) -> Clip:
    """The episode that ``plan`` makes of the scored start of ``key``, with every agent's target."""
    done = execution.execute(scenario, [plan], key[None], scored=True).episodes
    return clip(title, done, done.record.state, done.record.memory.targets)


def policy_clip(
    scenario: Scenario, policy: Policy, key: Key[Array, ""], *, title: str = "policy"
) -> Clip:
    """The episode that a policy plays from the scored start of ``key``."""
    env = scenario.env.scored
    played = jax.jit(lambda keys: episodes.run(env, policy, keys, record=lambda state, *_: state))(
        key[None]
    )
    return clip(title, played, played.record)


def start_key(index: int = 0) -> Key[Array, ""]:
    """The reset that renderings show, the same for every plan and policy."""
    return jax.random.fold_in(jax.random.key(RENDER_SEED), index)


def render(
    scenario: Scenario,
    what: TrainResult | Demonstrations | Policy | Plan,
    path: str | os.PathLike[str],
    *,
    start: int = 0,
    fps: int = 10,
) -> None:
    """Writes one episode as a GIF.

    Args:
      scenario: draws the states.
      what: a trained team (its best seed, greedy), any policy of the whole team (scripted, or
        `mixed_team`), relational demonstrations or a plan (executed anew, with every agent's
        target).
      path: of the GIF.
      start: number of the start that is shown.
      fps: frames per second; a frame is a step, or several in long episodes (`save_gif`).

    Raises:
      ValueError: demonstrations that do not hold the one plan they were made by.
    """
    key = start_key(start)
    if isinstance(what, TrainResult):
        shown = policy_clip(scenario, what.policy(), key, title=what.method.upper())
    elif isinstance(what, Demonstrations):
        shown = demonstration_clip(scenario, plan_of(what), key)
    elif isinstance(what, Policy):
        shown = policy_clip(scenario, what, key)
    else:
        shown = demonstration_clip(scenario, what, key)
    save_gif(scenario, [shown], path, fps=fps)


def plan_of(demos: Demonstrations) -> Plan:
    """The relational plan behind demonstrations.

    Raises:
      ValueError: they were made by none, or by several.
    """
    plans = demos.provenance.get("plans", {})
    if set(plans) != {instructions.ANY_EPISODE}:
        raise ValueError(
            f"demonstrations hold the plans {sorted(plans)}; one relational plan can be shown"
        )
    return instructions.from_mapping(plans)[instructions.ANY_EPISODE]


def _check(clips: Sequence[Clip]) -> None:
    if not clips:
        raise ValueError("there is no clip to draw")
    for each in clips:
        sizes = {leaf.shape[0] for leaf in jax.tree.leaves((each.states, each.targets))}
        length = len(each.rewards)
        if length == 0 or sizes != {length}:
            raise ValueError(
                f"clip {each.title!r}: {length} rewards, states and targets of {sorted(sizes)} "
                "steps; they must be the same number, and not 0"
            )


def _frames(scenario: Scenario, clips: Sequence[Clip]) -> Iterator[np.ndarray]:
    """Pixels [height, width, 3] of one frame after another, all drawn on the same figure."""
    # Imported here: training must not pay for it. No pyplot: it keeps state for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(clips), 4)
    rows = math.ceil(len(clips) / columns)
    height = PANEL_INCHES + TITLE_INCHES
    figure = Figure(figsize=(PANEL_INCHES * columns, height * rows), dpi=DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    # Fixed places: a layout that followed the labels of every frame would make panels tremble.
    panels = [
        figure.add_axes(
            (
                (index % columns + MARGIN) / columns,
                1 - (index // columns + 1 - MARGIN * PANEL_INCHES / height) / rows,
                (1 - 2 * MARGIN) / columns,
                (1 - 2 * MARGIN) * PANEL_INCHES / height / rows,
            )
        )
        for index in range(len(clips))
    ]
    returns = [np.cumsum(each.rewards) for each in clips]
    for step in _shown_steps(max(len(each.rewards) for each in clips)):
        for axes, each, total in zip(panels, clips, returns, strict=True):
            _draw_panel(scenario, axes, each, total, step)
        canvas.draw()
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _shown_steps(length: int) -> list[int]:
    """Every step, or so few at equal distances that they are no more than `MAX_FRAMES`."""
    apart = math.ceil(length / MAX_FRAMES)
    # Counted from the end: the last step shows how the episode ended.
    return list(range(length - 1, -1, -apart))[::-1]


def _draw_panel(
    scenario: Scenario, axes: Any, each: Clip, returns: Float[np.ndarray, "S"], step: int
) -> None:
    length = len(each.rewards)
    now = min(step, length - 1)
    state, targets = jax.tree.map(lambda leaf: leaf[now], (each.states, each.targets))
    # Scenarios know jax arrays; slicing on the host and sending once is the cheaper order.
    state, targets = jax.device_put((state, targets))
    axes.clear()
    scenario.draw(axes, state, targets)
    axes.set_title(
        f"{each.title}\nstep {now + 1} of {length}, team return {returns[now]:.1f}", fontsize=9
    )


def _with_one_palette(frames: Sequence[np.ndarray]) -> list[Image.Image]:
    """Frames in their `NUM_COLOURS` most frequent colours; other pixels get the nearest of them.

    A palette per frame would flicker. Drawings are flat: this keeps their colours exact, where
    median cut and pillow's own search tint the white.
    """
    codes = [frame.reshape(-1, 3).astype(np.int32) @ [65536, 256, 1] for frame in frames]
    found = [np.unique(code, return_inverse=True, return_counts=True) for code in codes]
    colours, index = np.unique(np.concatenate([c for c, _, _ in found]), return_inverse=True)
    counts = np.bincount(index, weights=np.concatenate([count for _, _, count in found]))
    palette = _channels(colours[np.argsort(-counts, kind="stable")[:NUM_COLOURS]])
    images = []
    for frame, (seen, inverse, _) in zip(frames, found, strict=True):
        # In parts: a photograph has more colours than memory for all their distances.
        parts = np.array_split(_channels(seen), math.ceil(len(seen) / 4096))
        nearest = [((part[:, None] - palette) ** 2).sum(-1).argmin(-1) for part in parts]
        pixels = np.concatenate(nearest).astype(np.uint8)[inverse]
        image = Image.fromarray(pixels.reshape(frame.shape[:2]))
        image.putpalette(palette.astype(np.uint8).tobytes())
        images.append(image)
    return images


def _channels(codes: np.ndarray) -> np.ndarray:
    """Red, green and blue, 0..255, of 24-bit colours."""
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1).astype(np.int32)
