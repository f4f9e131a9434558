"""The examples in demos/ do what they say; those of the pages are run by test_pages.py."""

import runpy
from pathlib import Path

import numpy as np

import leed_jax as leed
from leed_jax.config import NetworkConfig, TrainConfig

OWN_SCENARIO = Path(__file__).parents[1] / "demos" / "own_scenario.py"


def test_the_scenario_of_ones_own_is_instructed_trained_and_drawn(tmp_path: Path) -> None:
    example = runpy.run_path(str(OWN_SCENARIO))
    scenario = example["SCENARIO"]
    pick = leed.Instruction("Pick", {"which": "nearest_free"})
    plan = dict.fromkeys(example["AGENTS"], leed.AgentPlan((pick,), repeat=True))
    demos = leed.demonstrate(scenario, plan, num_episodes=32)
    assert demos.measures["apples"] > 3.5
    config = TrainConfig(
        total_steps=2 * 4 * 8,
        num_envs=4,
        rollout_steps=8,
        num_minibatches=2,
        eval_episodes=2,
        network=NetworkConfig(hidden_sizes=(8,)),
    )
    result = leed.train(scenario, demos, config, seeds=1)
    assert np.isfinite(result.final()).all()
    leed.render(scenario, plan, tmp_path / "orchard.gif")
    assert (tmp_path / "orchard.gif").exists()
