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

from experiments import figures, marl_eval, suite_report
from experiments import results as folders
from experiments.grids import markdown
from experiments.results import Results
from leed_jax import displays, files
from leed_jax.result_tables import cost, number, outcome, table, threshold


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
    yield f"{threshold(summary)}. {_price_of_demonstrations(summary)}".strip()
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
    console = displays.tables()
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
