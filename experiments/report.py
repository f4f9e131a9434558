"""The report of a results folder: tables, figures, and the words around them.

``python -m experiments.report results/<name>`` rebuilds it from config.json, metrics.jsonl and
summary.json alone. ``python -m experiments.report`` without a folder writes the generated part of
docs/benchmarks.md, and its figures, from the published cells of all suites (`suite_report`).
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import rich.console
import rich.markup
import rich.table

from experiments import figures, marl_eval, suite_report
from experiments import results as folders
from experiments.grids import MISSING, Grid, interval, markdown, number
from experiments.results import Results
from leed_jax import files


def write(folder: Path) -> None:
    """Writes figures, ``marl_eval.json`` and ``report.md`` into a results folder.

    Raises:
      FileNotFoundError: config.json, metrics.jsonl or summary.json is missing.
      ValueError: one of them is not JSON.
    """
    results = folders.load(folder)
    drawn = figures.write(results)
    marl_eval.write(results)
    text = "\n\n".join(_sections(results, [path.name for path in drawn]))
    files.write(folder / "report.md", text + "\n")


def table(summary: dict[str, Any]) -> rich.console.Group:
    """The results and their cost as tables for the terminal."""
    caption = "interquartile mean over seeds, [95 % bootstrap interval]; demonstrations: mean"
    quality = _terminal_table(outcome(summary), title=folders.title(summary), caption=caption)
    price = _terminal_table(cost(summary), title="cost", caption=_threshold(summary))
    return rich.console.Group(quality, price)


# ------------------------------------------------------------------------------- the numbers


def outcome(summary: dict[str, Any]) -> Grid:
    """Return and success of every method at the end of training, and of the demonstrations."""
    metrics = folders.metric_names(summary)
    rows = []
    for name, method in summary["methods"].items():
        entries = {"team_return": method["team_return"], **method.get("success", {})}
        cells = [interval(entries.get(metric)) for metric in metrics]
        rows.append([folders.label(name), str(method["seeds"]), *cells])
    demonstrations = summary.get("demonstrations")
    if demonstrations:
        means = {"team_return": demonstrations.get("team_return_mean")}
        means |= demonstrations.get("success", {})
        cells = [number(means.get(metric)) for metric in metrics]
        rows.append(["demonstrations", MISSING, *cells])
    return Grid(["method", "seeds", *map(folders.words, metrics)], rows)


def cost(summary: dict[str, Any]) -> Grid:
    """Samples, seconds and memory of every method."""
    columns = {
        "env_steps": "env steps per seed",
        "steps_to_threshold": "steps to threshold",
        "seconds_to_threshold": "seconds to threshold",
        "env_steps_per_second": "env steps/s",
        "agent_steps_per_second": "agent steps/s",
        "compile_seconds": "compile [s]",
        "peak_memory_mb": "peak memory [MB]",
    }
    rows = [
        [folders.label(name), *(number(method.get(key)) for key in columns)]
        for name, method in summary["methods"].items()
    ]
    return Grid(["method", *columns.values()], rows)


def _threshold(summary: dict[str, Any]) -> str:
    threshold = summary.get("threshold")
    if not threshold:
        return "No threshold is set for this scenario"
    return (
        f"Threshold: {folders.words(threshold['metric'])} {number(threshold['value'])} "
        f"({threshold['why']})"
    )


# ------------------------------------------------------------------------------- the terminal


def _terminal_table(grid: Grid, *, title: str, caption: str) -> rich.table.Table:
    # Escaped, because rich takes brackets for markup.
    escape = rich.markup.escape
    drawn = rich.table.Table(title=escape(title), caption=escape(caption))
    for index, name in enumerate(grid.header):
        drawn.add_column(escape(name), justify="right" if index else "left")
    for row in grid.rows:
        # An interval goes below its mean, so that six columns fit a terminal.
        drawn.add_row(*(escape(cell.replace(" [", "\n[")) for cell in row))
    return drawn


# ------------------------------------------------------------------------------- the document


def _sections(results: Results, drawn: list[str]) -> Iterable[str]:
    summary = results.summary
    yield f"# {folders.title(summary)}"
    yield _facts(
        [
            ("device", summary.get("device")),
            ("date", summary.get("date")),
            ("command", f"`{summary.get('command')}`"),
        ]
    )
    yield "## Results"
    yield (
        "Greedy policies at the end of training: interquartile mean over seeds, in brackets the "
        "95 % stratified bootstrap interval (demonstrations: the mean over their episodes). The "
        "return is the sum over agents and steps."
    )
    yield markdown(outcome(summary))
    yield from _divergence(results)
    yield f"![learning curves over environment steps]({drawn[0]})"
    yield "## Cost"
    yield f"{_threshold(summary)}. {_price_of_demonstrations(summary)}".strip()
    yield markdown(cost(summary))
    yield f"![learning curves over wall-clock time]({drawn[1]})"
    yield from _origin(summary)
    gifs = sorted(path.name for path in results.folder.glob("*.gif"))
    if gifs:
        yield "## Episodes"
        yield from (f"![{folders.words(Path(name).stem)}]({name})" for name in gifs)
    yield "## Settings"
    yield _facts(list((summary.get("versions") or {}).items()))
    config = json.dumps(results.config, indent=2)
    yield f"<details><summary>config.json</summary>\n\n```json\n{config}\n```\n\n</details>"


def _divergence(results: Results) -> Iterable[str]:
    lost = {name: folders.diverged(results, name) for name in results.summary["methods"]}
    for name, count in lost.items():
        if count:
            yield (
                f"**{folders.label(name)}: {count} of the seeds diverged** (no finite return at "
                "the end) and are left out of the curves."
            )


def _price_of_demonstrations(summary: dict[str, Any]) -> str:
    steps = (summary.get("demonstrations") or {}).get("steps")
    if not steps:
        return ""
    return f"Methods that use the demonstrations have spent {steps:,} environment steps on them."


def _origin(summary: dict[str, Any]) -> Iterable[str]:
    """Where the demonstrations came from, and what the instructions cost."""
    llm, demonstrations = summary.get("llm"), summary.get("demonstrations")
    if llm:
        money = llm.get("cost_usd")
        yield "## Instructions"
        yield _facts(
            [
                ("source", llm.get("source")),
                ("model", llm.get("model")),
                ("calls", number(llm.get("calls"))),
                ("prompt tokens", number(llm.get("prompt_tokens"))),
                ("completion tokens", number(llm.get("completion_tokens"))),
                ("cost", "unknown" if money is None else f"{money:.4f} USD"),
                ("time", f"{number(llm.get('seconds'))} s"),
            ]
        )
    if demonstrations:
        success = demonstrations.get("success", {}).items()
        yield "## Demonstrations"
        yield _facts(
            [
                ("episodes", number(demonstrations.get("episodes"))),
                ("environment steps", number(demonstrations.get("steps"))),
                ("team return, mean", number(demonstrations.get("team_return_mean"))),
                *((f"{folders.words(name)}, mean", number(value)) for name, value in success),
            ]
        )


def _facts(pairs: list[tuple[str, Any]]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in pairs if value is not None)


def main(arguments: list[str] | None = None) -> None:
    """Rebuilds the report of the folder that the command line names, or that of all suites."""
    parser = argparse.ArgumentParser(prog="python -m experiments.report", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="results/<name>; none: all suites")
    parser.add_argument("--suites", type=Path, default=suite_report.PUBLISHED)
    parser.add_argument("--page", type=Path, default=suite_report.PAGE)
    options = parser.parse_args(arguments)
    console = rich.console.Console()
    try:
        if options.folder is None:
            for path in suite_report.write(options.suites, options.page):
                console.print(str(path), highlight=False)
            return
        write(options.folder)
    except (FileNotFoundError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    console.print(table(folders.load(options.folder).summary))


if __name__ == "__main__":
    main()
