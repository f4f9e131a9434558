"""The generated part of docs/benchmarks.md: tables and figures of all suites, from JSON alone.

The page keeps what is written by hand; what stands between the two markers is replaced.
"""

import collections
from collections.abc import Iterator
from pathlib import Path

from experiments import (
    marl_eval,
    suite_cells,
    suite_figures,
    suite_growth,
    suite_rates,
    suite_results,
    suite_tables,
)
from experiments.grids import markdown
from experiments.suite_results import ANSWER_SECONDS, Outcome
from leed_jax import files
from leed_jax.result_tables import label

PUBLISHED, PAGE = Path("docs/results/suites"), Path("docs/benchmarks.md")
BEGIN = "<!-- Written by python -m experiments.report: changes below are lost. -->"
END = "<!-- End of what is written by python -m experiments.report. -->"
REFERENCE = "LEED, default"
"""The variant that every table of ablations begins with."""
CHOSEN = "weight 10, both labels"
"""Of the first round of the suite ``search``: the labels and λ that are the defaults."""
USUAL = "linear"
"""Of its third round: how λ falls by default, without divergence."""


def write(published: Path = PUBLISHED, page: Path = PAGE) -> list[Path]:
    """Writes page, figures and marl-eval files of all suites; returns their paths.

    Raises:
      FileNotFoundError: there is no page.
      ValueError: a cell cannot be read.
    """
    before = page.read_text(encoding="utf-8")
    written = [page]
    parts = []
    sections = {
        "paper": _paper,
        "search": _search,
        "released": _released,
        "ablations": _ablations,
        "scalability": _growth,
    }
    for suite, section in sections.items():
        found = suite_results.load(published, suite)
        if found:
            parts += list(section(found, published / suite, written))
            parts += list(_failures(published, suite))
            written.append(marl_eval.write_suite(published, suite))
    text = "\n\n".join(part for part in parts if part)
    text = text.replace("](figure:", f"]({_relative(published, page)}/")
    files.write(page, on_page(before, text))
    return written


def on_page(page: str, text: str) -> str:
    """The page with ``text`` between its markers, which are added at its end where missing."""
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}" if text else f"{head}{BEGIN}\n{END}{tail}"


def _paper(found: list[Outcome], folder: Path, written: list[Path]) -> Iterator[str]:
    yield "## The suite `paper`"
    yield _command("paper", found)
    yield (
        "Score at the end of training: IQM over seeds, in brackets the 95 % stratified bootstrap "
        "interval; greedy policies, common random starts."
    )
    yield markdown(suite_tables.finals(found))
    yield (
        "Over the tasks that a method shares with LEED, with scores normalised as below (equally "
        "many seeds of every task) and what is below 0 counted as 0; the area is that under the "
        "normalised learning curve."
    )
    yield markdown(suite_tables.aggregates(found))
    yield "### Samples and seconds to the best baseline's final score"
    yield _how_counted(found)
    grid = suite_tables.efficiency(found)
    yield markdown(grid)
    yield "Median over the tasks, " + "; ".join(suite_tables.medians(grid)) + "."
    yield markdown(suite_tables.helped(found))
    for name, words in (("steps", "environment steps"), ("seconds", "seconds")):
        path = suite_figures.save(suite_figures.curves(found, name), folder / f"{name}.png")
        written.append(path)
        yield f"![score over {words}](figure:paper/{path.name})"
    path = suite_figures.save(suite_figures.profile(found), folder / "profile.png")
    written.append(path)
    yield f"![performance profile](figure:paper/{path.name})"
    yield "### Normalisation"
    yield markdown(suite_tables.bounds(found))


def _search(found: list[Outcome], folder: Path, written: list[Path]) -> Iterator[str]:
    del folder, written
    yield "## The suite `search`"
    yield _command("search", found)
    yield (
        "The package's defaults come from the first two rounds and are used unchanged on all tasks "
        "of the other suites. The first: above all other candidates the one that was chosen."
    )
    yield markdown(suite_tables.ablation(found, "", CHOSEN))
    rates = [each for each in found if each.group == "learning rate"]
    if rates:
        yield "A second round: learning rates, for every method that has none published."
        yield markdown(suite_tables.ablation(rates, "learning rate", CHOSEN))
    released = [each for each in found if each.group == "release"]
    if released:
        yield (
            "A third round: how λ falls, and the divergence from the policy before the update "
            "(3 where it is named), also for methods without an expert. It did not change the "
            "defaults, which are above the candidates."
        )
        yield markdown(suite_tables.ablation(released, "release", USUAL))


def _released(found: list[Outcome], folder: Path, written: list[Path]) -> Iterator[str]:
    del written
    yield "## The suite `released`"
    yield _command("released", found)
    yield (
        "LEED with the divergence and the polynomial schedule of the search's third round on tasks "
        "of every family in `paper`, beside its defaults."
    )
    usual = suite_results.load(folder.parent, "paper")
    yield markdown(suite_tables.beside_default(usual, found))


def _ablations(found: list[Outcome], folder: Path, written: list[Path]) -> Iterator[str]:
    del folder, written
    yield "## The suite `ablations`"
    yield _command("ablations", found)
    yield (
        "One change of LEED's default settings at a time; score at the end (IQM, 95 % interval) "
        "and normalised area under the learning curve, demonstrations' steps not counted."
    )
    for group in dict.fromkeys(each.group for each in found):
        yield f"### {group[:1].upper()}{group[1:]}"
        yield markdown(suite_tables.ablation(found, group, REFERENCE))


def _growth(found: list[Outcome], folder: Path, written: list[Path]) -> Iterator[str]:
    yield "## The suite `scalability`"
    yield _command("scalability", found)
    yield (
        "Team returns of different numbers of agents are not comparable; the measures beside them "
        "are. Half the scale is the middle between 0 and 1 as below; steps count the "
        f"demonstrations'. Seconds are of training, without compilation, {_taken(found)}. "
        "Tokens, an estimate (4 characters each), are those of all prompts and answers."
    )
    for family, name in (("mpe/simple_spread", "particles"), ("road/", "roads")):
        here = [each for each in found if each.task.startswith(family)]
        if here:
            yield f"### {name.title()}"
            yield markdown(suite_growth.table(here, family))
            path = folder / f"{name}.png"
            written.append(suite_figures.save(suite_figures.growth(here, family), path))
            yield f"![{name}: score and cost over agents](figure:scalability/{path.name})"
    yield "### Normalisation of these tasks"
    yield markdown(suite_tables.bounds(found))


def _how_counted(found: list[Outcome]) -> str:
    assumed = any(each.assumed for each in found)
    time = (
        f"Answers of a chat have no recorded time: {ANSWER_SECONDS:.0f} s each are assumed. "
        if assumed
        else ""
    )
    return (
        "LEED's steps count those of the demonstrations (not those in which plans were scored for "
        "the model), and a score counts as reached at the first evaluation that the next one "
        "holds, so that nothing is finer than the evaluations. The "
        'baseline\'s steps are its whole budget; "to that score" are those at which it first held '
        f"its final score. Seconds are of training, without compilation, {_taken(found)}. "
        f"{time}BC and others that learn from the same demonstrations are compared below, as they "
        "need few steps or none."
    )


def _taken(found: list[Outcome]) -> str:
    """Whose seconds they are."""
    if all(each.side_by_side for each in found):
        return (
            "of a single seed, without evaluations: the updates of all methods took turns on one "
            f"machine (`python -m experiments.suite_rates`, rounds in {suite_rates.FILE})"
        )
    return "as the cells took them at different times, all seeds side by side, so they are rough"


def _command(suite: str, found: list[Outcome]) -> str:
    tasks = len(suite_results.tasks(found))
    command = f"`python -m experiments.run suite={suite}`"
    return f"{command}: {len(found)} cells, {tasks} tasks, {seeds(found)}."


def seeds(found: list[Outcome]) -> str:
    """How many every cell has, e.g. "5 seeds (task b: 10, of which VDN: 4)"."""
    usual = _commonest(found)
    others = []
    for task in suite_results.tasks(found):
        here = [each for each in found if each.task == task]
        most = _commonest(here)
        unlike: dict[int, list[str]] = {}
        for each in here:
            if len(each.final) != most:
                unlike.setdefault(len(each.final), []).append(label(each.variant))
        if most != usual or unlike:
            exceptions = "".join(f", of which {', '.join(v)}: {n}" for n, v in unlike.items())
            others.append(f"{task}: {most}{exceptions}")
    return f"{usual} seeds" + (f" ({'; '.join(others)})" if others else "")


def _commonest(found: list[Outcome]) -> int:
    return collections.Counter(len(each.final) for each in found).most_common(1)[0][0]


def _failures(published: Path, suite: str) -> Iterator[str]:
    lost = suite_cells.failures(published, suite)
    if lost:
        yield "Cells that failed:"
        yield "\n".join(f"- {cell.place}: {_last(error)}" for cell, error in lost)


def _last(error: str) -> str:
    lines = error.strip().splitlines()
    return f"`{lines[-1][:200]}`" if lines else "no message"


def _relative(published: Path, page: Path) -> str:
    return published.resolve().relative_to(page.resolve().parent).as_posix()
