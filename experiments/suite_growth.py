"""The table of the suite `scalability`: what another agent costs, and what it gets."""

import math

from experiments import results as folders
from experiments import suite_figures
from experiments.suite_results import Outcome
from leed_jax.generation import transcripts
from leed_jax.result_tables import MISSING, Grid, interval, number

PLANS, GOAL = "relational", "learnable"
"""Which answers the suite's plans are."""
CHARACTERS = 4
"""Of English, about, in a token: a chat does not tell how many it has read and written."""
FLEET = "0"
"""Of a road's fleets, by the option `seed`."""


def table(outcomes: list[Outcome], family: str) -> Grid:
    """Numbers of agents by methods: measures of the single agent, and costs.

    Raises:
      ValueError: a damaged transcript.
    """
    here = [
        each for each in outcomes if each.task.startswith(family) and suite_figures.agents(each)
    ]
    here.sort(key=suite_figures.agents)
    # Team returns of different N are not comparable; these are.
    names = list(dict.fromkeys(name for each in here for name in each.measures))
    base: dict[str, float] = {}
    rows = []
    for each in here:
        count = suite_figures.agents(each)
        seconds = suite_figures.rate(each)
        first = base.setdefault(each.variant, seconds)
        steps = suite_figures.halfway(each)
        read = tokens(each.task.partition(",")[0], count) if each.answer_seconds else None
        rows.append(
            [
                str(count),
                folders.label(each.variant),
                interval(each.interval._asdict()),
                *(_measure(each, name) for name in names),
                MISSING if math.isnan(steps) else f"{steps:,.0f}",
                number(seconds / first) if first else MISSING,
                MISSING if read is None else f"{read / count:,.0f}",
            ]
        )
    header = ["agents", "method", "score", *map(folders.words, names)]
    header += ["steps to half the scale", "seconds per step, times those of the first row"]
    return Grid([*header, "tokens per agent"], rows)


def tokens(scenario: str, count: int) -> int | None:
    """Prompts and answers of all rounds for so many agents, by estimate; None where none is kept.

    Raises:
      ValueError: a file among the transcripts that is none.
    """
    folder = transcripts.shipped(scenario)
    if not folder.is_dir():
        return None
    found = [transcripts.load(file) for file in folder.iterdir() if file.name.endswith(".json")]
    for each in found:
        options = each.scenario.options
        wanted = (options.get("num_agents"), str(options.get("seed", FLEET)))
        if wanted == (count, FLEET) and (each.plans, each.goal) == (PLANS, GOAL):
            texts = [message.content for kept in each.rounds for message in kept.prompt]
            texts += [kept.answer for kept in each.rounds]
            return sum(map(len, texts)) // CHARACTERS
    return None


def _measure(each: Outcome, name: str) -> str:
    found = each.measures.get(name)
    return MISSING if found is None else number(found)
