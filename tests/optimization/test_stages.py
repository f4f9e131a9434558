"""Training that goes on from trained teams, and cloning before PPO."""

import dataclasses

import chex
import jax
import numpy as np
import pytest
import tiny_training

from leed_jax.config import NetworkConfig
from leed_jax.optimization import stages
from leed_jax.optimization.training import train

CONFIG = tiny_training.CONFIG.replace(
    expert=dataclasses.replace(tiny_training.CONFIG.expert, cloning_fraction=0.4)
)


@pytest.fixture(scope="module")
def cloned_then_trained():
    return train(
        tiny_training.scenario(),
        tiny_training.demos(),
        CONFIG,
        method="bc_ppo",
        seeds=tiny_training.SEEDS,
    )


def test_cloning_before_ppo_is_bc_and_then_ippo_from_there(cloned_then_trained):
    # 0.4 of five updates.
    earlier = CONFIG.replace(total_steps=2 * tiny_training.STEPS_PER_UPDATE)
    scenario, seeds = tiny_training.scenario(), tiny_training.SEEDS
    cloned = train(scenario, tiny_training.demos(), earlier, method="bc", seeds=seeds)
    later = train(scenario, None, CONFIG, method="ippo", seeds=seeds, initial=cloned)
    chex.assert_trees_all_equal(later.params, cloned_then_trained.params)
    # Evaluations do not depend on the method: the first is that of the team it went on from.
    np.testing.assert_array_equal(later.curve()[:, 0], cloned.final())
    joined = np.concatenate([cloned.curve(), later.curve()], 1)
    np.testing.assert_array_equal(cloned_then_trained.curve(), joined)
    assert cloned_then_trained.method == "bc_ppo"


def test_the_history_counts_gradient_steps_and_seconds_of_cloning_but_no_steps(cloned_then_trained):
    lines = [line for line in cloned_then_trained.history if line["seed"] == tiny_training.SEEDS[0]]
    assert {line["method"] for line in lines} == {"bc_ppo"}
    # Before and after two updates of cloning; then before, and after two, four and five of PPO.
    assert [line["updates"] for line in lines] == [0, 2, 2, 4, 6, 7]
    assert [line["env_steps"] for line in lines] == [0, 0, 0, 64, 128, 160]
    assert cloned_then_trained.steps.tolist() == [0, 0, 0, 64, 128, 160]
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds) and 0 == seconds[0] < seconds[1] == seconds[2] < seconds[3]
    assert seconds[-1] == pytest.approx(cloned_then_trained.train_seconds)
    assert cloned_then_trained.env_steps == 160
    assert set(lines[1]["loss"]) == {"expert"}
    assert set(lines[-1]["loss"]) == {"policy", "value", "entropy", "divergence"}


def test_one_team_starts_all_seeds_and_is_not_used_up():
    given = tiny_training.shared_result()
    start = stages.of_result(given, given.spec, given.config, 2)
    first = jax.tree.leaves(given.params)
    for leaf, kept in zip(jax.tree.leaves(start.params), first, strict=True):
        np.testing.assert_array_equal(leaf, kept)
    one = dataclasses.replace(
        given, seeds=(3,), params=jax.tree.map(lambda leaf: leaf[:1], given.params)
    )
    for leaf in jax.tree.leaves(stages.of_result(one, given.spec, given.config, 4).params):
        np.testing.assert_array_equal(leaf, np.repeat(leaf[:1], 4, 0))


def test_what_does_not_fit_is_named():
    given, scenario = tiny_training.shared_result(), tiny_training.scenario()

    def refused(message, **changes):
        options = {"initial": given, "method": "ippo_shared", "seeds": 2} | changes
        with pytest.raises(ValueError, match=message):
            train(scenario, None, options.pop("config", tiny_training.CONFIG), **options)

    wide = tiny_training.CONFIG.replace(network=NetworkConfig(hidden_sizes=(9,)))
    refused(r"initial: network\.hidden_sizes is \(8,\), config has \(9,\)", config=wide)
    refused("initial must have 1 or 3 teams, one for each seed, it has 2", seeds=3)
    other = given.spec._replace(horizon=9)
    refused("initial: horizon is 9", initial=dataclasses.replace(given, spec=other))
    refused("method 'bc_ppo' begins with a stage of its own", method="bc_ppo")
    # One network for all, where every agent is to have its own.
    refused(r"initial: actor.* has shape \(1, .*, the method's \(2, ", method="ippo")
