"""The figure of a plan's episode: a row per agent, a bar per instruction."""

from collections.abc import Mapping, Sequence
from typing import Any

MARKS: dict[str, tuple[str, str]] = {
    "finished": ("o", "tab:green"),
    "condition": ("D", "tab:blue"),
    "timed out": ("X", "tab:red"),
    "skipped": ("|", "black"),
    "dead": ("s", "black"),
}
"""Marker and colour of an end in the figure; the others have none."""
DOTS_PER_INCH = 100
WIDTH, ROW, HEAD = 10.0, 0.46, 1.15
"""Of the figure: inches of its width, of every agent, and of title, axis and legend."""
LETTER = 0.075
"""Inches of a letter in a bar."""


def draw(line: Any, shown: Sequence[str], steps: tuple[int, int], words: Mapping[str, str]) -> Any:
    """The matplotlib figure of a `timelines.Timeline`.

    Args:
      line: the timeline.
      shown: agents, from top to bottom.
      steps: from which to which.
      words: how an instruction ends, by the ends' names.
    """
    # Imported here: training must not pay for it. No pyplot: it keeps state for the whole process.
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    height = HEAD + ROW * len(shown)
    figure = Figure(figsize=(WIDTH, height), dpi=DOTS_PER_INCH)
    left = 0.2 + LETTER * max(map(len, shown))
    space = WIDTH - left - 0.2
    axes = figure.add_axes((left / WIDTH, 0.8 / height, space / WIDTH, ROW * len(shown) / height))
    kept = [each for each in line.stretches if each.start < steps[1] and each.stop > steps[0]]
    kept = [each for each in kept if each.agent in shown]
    commands = sorted({each.instruction.command for each in line.stretches})
    colours = {name: colormaps["tab20"](2 * i % 20 + 1) for i, name in enumerate(commands)}
    per_inch = (steps[1] - steps[0]) / space
    before = None
    for each in kept:
        row, colour = list(shown).index(each.agent), colours[each.instruction.command]
        _bar(axes, each, row, colour, steps)
        if (each.agent, each.number) != before:  # a repetition goes without saying
            _label(axes, each, row, steps, per_inch)
        before = each.agent, each.number
    axes.set_yticks(range(len(shown)), shown, fontsize=8)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(*steps)
    axes.set_xlabel("step", fontsize=8, labelpad=1)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    title = f"{line.name}: {line.length} steps, team return {line.team_return:.2f}"
    axes.set_title(title, fontsize=9, loc="left")
    _legend(figure, kept, colours, words)
    return figure


def _bar(axes: Any, each: Any, row: int, colour: Any, steps: tuple[int, int]) -> None:
    """An instruction, and how it ended."""
    start, stop = max(each.start, steps[0]), min(each.stop, steps[1])
    axes.barh(row, stop - start, 0.62, start, color=colour, edgecolor="white", linewidth=1)
    if each.refused:
        axes.plot([start, stop], [row + 0.38] * 2, color="tab:red", linewidth=1.5)
    if each.end in MARKS and each.stop <= steps[1]:
        marker, mark = MARKS[each.end]
        axes.plot(each.stop, row, marker, color=mark, markersize=5, clip_on=False, zorder=3)


def _label(axes: Any, each: Any, row: int, steps: tuple[int, int], per_inch: float) -> None:
    """As much of the instruction as there is room for in its bar."""
    start, stop = max(each.start, steps[0]), min(each.stop, steps[1])
    fits = int((stop - start) / per_inch / LETTER) - 2
    texts = (each.said, f"{each.number + 1}. {each.instruction.command}", str(each.number + 1))
    text = next((text for text in texts if len(text) <= fits), "")
    axes.text(start + 0.08 * per_inch, row, text, va="center", fontsize=7.5)


def _legend(
    figure: Any, kept: Sequence[Any], colours: Mapping[str, Any], words: Mapping[str, str]
) -> None:
    from matplotlib.lines import Line2D

    def entry(marker: str, colour: Any, text: str) -> Any:
        return Line2D(
            [], [], linestyle="none", marker=marker, markersize=5, color=colour, label=text
        )

    ends = {each.end for each in kept}
    handles = [entry(*MARKS[end], words[end]) for end in MARKS if end in ends]
    if any(each.refused for each in kept):
        handles.append(Line2D([], [], color="tab:red", label="with illegal actions"))
    named = {each.instruction.command for each in kept}
    handles += [entry("s", colour, name) for name, colour in colours.items() if name in named]
    figure.legend(
        handles=handles, loc="lower left", ncols=7, fontsize=7.5, frameon=False, borderpad=0.2
    )
