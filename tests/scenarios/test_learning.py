"""Every scenario trains: demonstrations, two updates of LEED, an evaluation."""

from typing import Any

import families
import numpy as np
import pytest

import leed_jax as leed
from leed_jax import execution, scenarios
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.random_plans import random_plan
from leed_jax.scenarios import Scenario

SCORED_QUICKLY = leed.GenerationConfig(feedback_episodes=4)
BY_DEFAULT = {"road/braess"}
"""Decisions now and then, and actions that are not always legal; the others are slow.
Convolutions, memory, continuous actions and simple_spread are trained in tests of their own."""


def config(name: str) -> TrainConfig:
    kind: Any = families.NETWORKS.get(families.family(name), "mlp")
    return TrainConfig(
        total_steps=2 * 4 * 8,
        num_envs=4,
        rollout_steps=8,
        num_epochs=1,
        num_minibatches=2,
        eval_every_steps=64,
        eval_episodes=2,
        network=NetworkConfig(kind=kind, hidden_sizes=(16,), channels=(4,)),
        expert=ExpertConfig(batch_size=2 if kind == "gru" else 16),
    )


def demonstrations(scenario: Scenario) -> Demonstrations:
    """By the recorded answer, or by a random plan where there is none."""
    try:
        return leed.generate_demonstrations(scenario, num_episodes=4, config=SCORED_QUICKLY)
    except leed.GenerationError:
        plan = random_plan(scenario.vocabulary, seed=0)
        return execution.demonstrate(scenario, plan, num_episodes=4)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in BY_DEFAULT else [pytest.mark.slow])
        for name in scenarios.names()
        if name != "mpe/simple_spread"  # trained in tests of their own
    ],
)
def test_two_updates_from_demonstrations(name):
    if needed := families.missing(name):
        pytest.skip(needed)
    scenario = leed.make(name, **families.SMALLER.get(name, {}))
    demos = demonstrations(scenario)
    result = leed.train(scenario, demos, config(name), method="leed", seeds=1)
    assert not result.diverged and result.env_steps == 64
    assert np.isfinite(result.final()).all()
    played = leed.evaluate(scenario, result, num_episodes=2)
    assert np.isfinite(played.team_return).all()
    assert set(played.success) == {measure.name for measure in scenario.env.measures}
