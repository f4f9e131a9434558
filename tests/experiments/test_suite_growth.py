"""The table of the suite `scalability`."""

import json
from importlib.resources.abc import Traversable

import pytest
import suite_folders

from experiments import suite_growth, suite_results
from leed_jax.generation import transcripts

SPREAD = suite_folders.TASKS[0]


@pytest.fixture
def found(tmp_path):
    """LEED and IPPO with three agents, and LEED with four that takes twice the time."""
    for method in ("leed", "ippo"):
        suite_folders.write(tmp_path, SPREAD, method, "scalability")
    three = suite_results.load(tmp_path, "scalability")
    four = three[0]._replace(task=SPREAD.replace("3", "4"), train_seconds=80.0)
    return [four, *three]


def test_agents_by_methods_with_what_an_agent_costs(found):
    grid = suite_growth.table(found, "mpe/simple_spread")
    rows = [dict(zip(grid.header, row, strict=True)) for row in grid.rows]
    assert [(row["agents"], row["method"]) for row in rows] == [
        ("3", "LEED"),
        ("3", "IPPO"),
        ("4", "LEED"),
    ]
    # The middle of -83.5 and -23.6 is -53.55: LEED has -50 after 100 steps, and 60 came before;
    # IPPO ends at -52, of the mean over seeds.
    assert [row["steps to half the scale"] for row in rows] == ["160", "400", "160"]
    name = "seconds per step, times those of the first row"
    assert [float(row[name]) for row in rows] == [1, 1, 2]
    assert rows[0]["won"] == "-30.00" and rows[1]["tokens per agent"] == "-"


def test_tokens_are_those_of_all_prompts_and_answers_of_the_suites_plans():
    folder = transcripts.shipped("mpe/simple_spread")
    file: Traversable = folder / "num_agents-4_relational_learnable_0.json"
    rounds = json.loads(file.read_text(encoding="utf-8"))["rounds"]
    texts = [message["content"] for each in rounds for message in each["prompt"]]
    total = sum(map(len, [*texts, *(each["answer"] for each in rounds)]))
    assert suite_growth.tokens("mpe/simple_spread", 4) == total // 4
    assert suite_growth.tokens("mpe/simple_spread", 7) is None
    assert suite_growth.tokens("mpe/nothing", 3) is None
    # Three fleets were asked about; the suite drives the first.
    assert suite_growth.tokens("road/berlin_adlershof", 16)
