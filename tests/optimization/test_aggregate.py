"""DAgger: who acts, what its data set holds, and that rewards are nothing to it."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest

from leed_jax import execution
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.optimization import aggregate, losses, methods, trainer
from leed_jax.optimization.experience import Material
from leed_jax.optimization.minibatches import Data

CONFIG = TrainConfig(
    total_steps=8 * 4 * 16,
    num_envs=4,
    rollout_steps=16,
    num_epochs=2,
    num_minibatches=2,
    learning_rate=0.05,
    network=NetworkConfig(hidden_sizes=(8,)),
    expert=ExpertConfig(mixture_decay=0.0, aggregate_rollouts=2),
)


@pytest.fixture(scope="module")
def scenario():
    return line_world.scenario(start=None)


@pytest.fixture(scope="module")
def guide(scenario):
    return execution.make_expert(scenario, line_world.all_right())


def built(scenario, guide, config=CONFIG, method="dagger"):
    return trainer.make_trainer(scenario.env, config, methods.resolve(method, config), guide)


def rollout(tag, envs=4, carry=True):
    """Rows of ``envs`` environments for one agent; numbers say whose they are."""
    nothing: Any = None
    whose = tag + jnp.arange(envs, dtype=jnp.float32)
    rows = jnp.broadcast_to(whose[None, :, None], (3, envs, 1))
    fields: Any = dict.fromkeys(losses.Batch._fields, nothing) | {"label": rows}
    return Material(
        observation=rows[..., None],
        start=jnp.zeros((3, envs), bool),
        action_mask=nothing,
        batch=losses.Batch(**fields),
        carries={"actor": whose[:, None, None]} if carry else None,
    )


def test_after_k_rounds_every_place_holds_a_row_of_any_of_them_with_equal_probability():
    places, rounds = 4000, 4
    held = aggregate.empty(rollout(0.0, carry=False), places)
    add: Any = jax.jit(aggregate.add, static_argnums=4)
    for index in range(rounds):
        new = rollout(10.0 * index, carry=False)
        held = add(held, new, jax.random.key(index), jnp.array(index), 1)
        found = np.unique(held.observation[0, :, 0, 0] // 10, return_counts=True)
        np.testing.assert_array_equal(found[0], np.arange(index + 1))
        share = 1 / (index + 1)
        # Four standard deviations of a binomial share.
        margin = 4 * np.sqrt(share * (1 - share) / places)
        np.testing.assert_allclose(found[1] / places, share, atol=margin + 1e-9)
    # Within a round, too: environments 0 to 3 alike.
    shares = np.unique(held.observation[0, :, 0, 0] % 10, return_counts=True)[1] / places
    np.testing.assert_allclose(shares, 0.25, atol=4 * np.sqrt(0.25 * 0.75 / places))


def test_a_sequence_stays_with_its_labels_and_the_memory_that_it_began_with():
    held = aggregate.empty(rollout(0.0), 6)
    add: Any = jax.jit(aggregate.add, static_argnums=4)
    for index in range(3):
        held = add(held, rollout(10.0 * index), jax.random.key(index), jnp.array(index), 1)
    whose = held.observation[0, :, 0, 0]
    assert held.carries is not None
    assert len(np.unique(whose)) > 2
    np.testing.assert_array_equal(held.batch.label[..., 0], np.broadcast_to(whose, (3, 6)))
    np.testing.assert_array_equal(held.carries["actor"][:, 0, 0], whose)


def test_groups_of_environments_keep_to_their_places():
    held = aggregate.empty(rollout(0.0), 40)
    add: Any = jax.jit(aggregate.add, static_argnums=4)
    held = add(held, rollout(0.0), jax.random.key(0), jnp.array(0), 2)
    whose = np.asarray(held.observation[0, :, 0, 0])
    assert set(whose[:20]) == {0.0, 1.0} and set(whose[20:]) == {2.0, 3.0}
    config = CONFIG.replace(shuffle_groups=2)
    picks = aggregate.picks(jax.random.key(0), config, 40, 64)
    # Four gradient steps of half a rollout each, numbers of places within a group of 20.
    assert picks.shape == (4, 32) and set(np.unique(picks)) == set(range(20))


def test_the_experts_share_of_the_steps_falls_by_rounds():
    config = CONFIG.replace(expert=ExpertConfig(mixture_decay=0.5))
    shares = [float(aggregate.mixture(config, jnp.array(k))) for k in range(3)]
    assert shares == [1.0, 0.5, 0.25]
    assert [float(aggregate.mixture(CONFIG, jnp.array(k))) for k in range(2)] == [1.0, 0.0]


def test_the_expert_acts_in_the_first_rollout_and_the_learner_in_the_next(scenario, guide):
    dagger = built(scenario, guide)
    collect: Any = jax.jit(dagger.collect)
    state = jax.jit(dagger.init)(jax.random.key(0))
    _, first, _ = collect(state)
    labelled = np.asarray(first.batch.label_weight) > 0
    # Where right is no legal action there is no label; on all other rows it was taken.
    assert labelled.any() and not labelled.all()
    np.testing.assert_array_equal(first.batch.action[labelled], line_world.RIGHT)
    later = state._replace(update=state.update + 1)
    _, second, _ = collect(later)
    # As any other method's learner would act from there.
    plain = built(scenario, guide, method="kickstarting")
    _, wanted, _ = jax.jit(plain.collect)(later._replace(aggregate=()))
    chex.assert_trees_all_equal(second, wanted)
    assert (np.asarray(second.batch.action)[np.asarray(second.batch.label_weight) > 0] != 2).any()


@pytest.mark.parametrize("kind", ["mlp", pytest.param("gru", marks=pytest.mark.slow)])
def test_it_learns_to_do_as_the_expert_and_looks_at_no_reward(scenario, guide, kind):
    config = CONFIG.replace(network=NetworkConfig(kind=kind, hidden_sizes=(8,)))

    def step(key: Any, state: Any, action: Any) -> Any:
        state, time_step = scenario.env.step(key, state, action)
        return state, time_step._replace(reward=-time_step.reward)

    finals = []
    # One is enough of recurrent networks: what is left out is the same.
    for env in (scenario.env, scenario.env._replace(step=step))[: 2 if kind == "mlp" else 1]:
        dagger = trainer.make_trainer(env, config, methods.resolve("dagger", config), guide)
        update: Any = jax.jit(dagger.update)
        state = jax.jit(dagger.init)(jax.random.key(0))
        first: Any = None
        metrics: Any = {}
        for _ in range(config.num_updates):
            state, metrics = update(state, Data(None, None))
            first = metrics["expert"] if first is None else first
        assert update._cache_size() == 1
        finals.append(state)
        assert metrics["expert"].mean() < 0.2 * first.mean()
    chex.assert_trees_all_equal(finals[0].params["actor"], finals[-1].params["actor"])
    rows = finals[0].aggregate
    # Two rollouts' worth: rows, or sequences of an environment.
    assert rows.start.shape == ((1, 128) if kind == "mlp" else (16, 8))
    assert rows.batch.advantage is None and rows.global_state is None


def test_without_an_expert_there_is_nothing_to_ask(scenario):
    with pytest.raises(ValueError, match=r"expert\.labels='visited' needs an expert"):
        built(scenario, None)
