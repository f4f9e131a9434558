"""The training step on the toy line: what λ, padding, other agents and compilation may not do."""

import dataclasses
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest

from leed_jax import demonstrations, execution
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.optimization import (
    experience,
    losses,
    methods,
    minibatches,
    networks,
    rollout,
    trainer,
    values,
)
from leed_jax.optimization.learners import Learner

CONFIG = TrainConfig(
    total_steps=10 * 4 * 16,
    num_envs=4,
    rollout_steps=16,
    num_epochs=2,
    num_minibatches=2,
    learning_rate=3e-3,
    kl_coefficient=0.0,
    network=NetworkConfig(hidden_sizes=(8,)),
    expert=ExpertConfig(weight=1.0, batch_size=8),
)

MLPS = [pytest.param("mlp", 1.0, marks=pytest.mark.slow), ("mlp", 0.5)]
"""With a share of the steps that are decisions."""
each_kind = pytest.mark.parametrize(("kind", "share"), [*MLPS, ("gru", 1.0)])


@pytest.fixture(scope="module")
def scenario():
    return line_world.scenario()


@pytest.fixture(scope="module")
def demos(scenario):
    return execution.demonstrate(scenario, line_world.all_right(), num_episodes=6)


def programs(env, config, method) -> tuple[Any, Any]:
    """Init and update, neither of them traced yet."""
    built = trainer.make_trainer(env, config, method)
    return jax.jit(built.init), jax.jit(built.update)


# Tracing and compiling is what these tests spend their time on: once for equal arguments.
shared_programs = functools.cache(programs)


def run(env, config, method, demos, updates, key=0, hyper=None, make=shared_programs):
    init, update = make(env, config, methods.resolve(method, config))
    data = minibatches.data(demos, config)
    metrics = {}
    state = init(jax.random.key(key))
    if hyper is not None:
        state = state._replace(hyper=state.hyper._replace(expert_weight=hyper))
    for _ in range(updates):
        state, metrics = update(state, data)
    return state, metrics, update


def with_share(env, share):
    return env._replace(spec=env.spec._replace(decision_share=share))


def test_lambda_zero_is_ippo_bit_for_bit(scenario, demos):
    config = CONFIG.replace(expert=dataclasses.replace(CONFIG.expert, weight=0.0))
    leed, _, _ = run(scenario.env, config, "leed", demos, 3)
    ippo, _, _ = run(scenario.env, config, "ippo", None, 3)
    chex.assert_trees_all_equal(leed.params, ippo.params)


def test_the_term_in_place_at_weight_zero_is_ippo_to_a_millionth_after_ten_updates(scenario, demos):
    leed, _, _ = run(scenario.env, CONFIG, "leed", demos, 10, hyper=jnp.zeros(2))
    ippo, _, _ = run(scenario.env, CONFIG, "ippo", None, 10)
    chex.assert_trees_all_close(leed.params, ippo.params, atol=1e-6, rtol=0)


# Every term's weight times λ: with a λ of 1 for one agent alone the others stand still.
ALONE = methods.Method(
    "alone",
    tuple(
        term._replace(coefficient=lambda c, w, old=term.coefficient: w * old(c, w))
        for term in methods.METHODS["leed"].terms
    ),
)


@pytest.mark.parametrize("kind", ["mlp", pytest.param("gru", marks=pytest.mark.slow)])
@pytest.mark.parametrize("agent", [0, 1])
def test_an_agents_update_does_not_depend_on_whether_the_others_learn(scenario, demos, agent, kind):
    config = CONFIG.replace(network=NetworkConfig(kind=kind, hidden_sizes=(8,)))
    both, _, _ = run(scenario.env, config, ALONE, demos, 1)
    only, _, _ = run(
        scenario.env, config, ALONE, demos, 1, hyper=jax.nn.one_hot(jnp.array(agent), 2)
    )
    mine, other = agent, 1 - agent
    for one, two in zip(jax.tree.leaves(both.params), jax.tree.leaves(only.params), strict=True):
        np.testing.assert_array_equal(one[mine], two[mine])
    init, _ = shared_programs(scenario.env, config, ALONE)
    begun = init(jax.random.key(0)).params
    for one, two in zip(jax.tree.leaves(begun), jax.tree.leaves(only.params), strict=True):
        np.testing.assert_array_equal(one[other], two[other])
    moved = [
        np.abs(a[mine] - b[mine]).max()
        for a, b in zip(jax.tree.leaves(begun), jax.tree.leaves(only.params), strict=True)
    ]
    assert max(moved) > 1e-4


@pytest.mark.parametrize(("kind", "share"), [*MLPS, ("gru", 0.5)])
def test_an_update_compiles_once(scenario, demos, kind, share):
    config = CONFIG.replace(network=NetworkConfig(kind=kind, hidden_sizes=(8,)))
    env = with_share(scenario.env, share)
    _, metrics, update = run(env, config, "leed", demos, 3, make=programs)
    assert update._cache_size() == 1
    assert all(np.isfinite(values).all() for values in metrics.values())
    # Recurrent networks see every step, whatever the share; here every step is a decision.
    assert ("dropped_decisions" in metrics) == (kind == "mlp" and share < 1)


@each_kind
def test_the_policy_before_the_update_is_that_of_the_rollout(scenario, demos, kind, share):
    config = CONFIG.replace(
        network=NetworkConfig(kind=kind, hidden_sizes=(8,)), kl_coefficient=1.0, num_minibatches=1
    )
    env = with_share(scenario.env, share)
    built = trainer.make_trainer(env, config, methods.resolve("leed", config))
    collect = jax.jit(built.collect)
    # The second rollout of recurrent networks starts with what they remember.
    state = collect(jax.jit(built.init)(jax.random.key(0)))[0]
    state, material, _ = collect(state)
    rows = material.batch
    found = material.policy.log_prob(rows.action)
    np.testing.assert_allclose(found[rows.decision], rows.log_prob[rows.decision], atol=1e-5)
    # Nothing has changed yet at the only gradient step of one epoch; after others it has.
    learn = jax.jit(built.learn)
    _, metrics = learn(state, minibatches.data(demos, config), material)
    assert 0 < float(metrics["divergence"].max()) < 0.1
    once = config.replace(num_epochs=1)
    first = trainer.make_trainer(env, once, methods.resolve("leed", once))
    _, metrics = jax.jit(first.learn)(state, minibatches.data(demos, once), material)
    np.testing.assert_allclose(metrics["divergence"], 0, atol=1e-6)


def test_more_padding_of_the_demonstrations_changes_nothing(scenario, demos):
    arrays = demos.arrays
    longer = demonstrations.DemonstrationArrays(
        *(
            np.pad(v, ((0, 0), (0, 5), *((0, 0),) * (v.ndim - 2)), constant_values=1)
            if name not in ("valid", "returns", "action_mask")
            else (
                v
                if name == "returns"
                else np.pad(
                    v,
                    ((0, 0), (0, 5), *((0, 0),) * (v.ndim - 2)),
                    constant_values=name == "action_mask",
                )
            )
            for name, v in arrays._asdict().items()
        )
    )
    padded = dataclasses.replace(demos, arrays=longer)
    short, _, _ = run(scenario.env, CONFIG, "leed", demos, 2)
    long, _, _ = run(scenario.env, CONFIG, "leed", padded, 2)
    chex.assert_trees_all_equal(short.params, long.params)


def test_an_agent_without_any_row_keeps_its_parameters_and_moments(scenario, demos):
    valid = np.array(demos.arrays.valid)
    valid[..., 1] = False
    silent = dataclasses.replace(demos, arrays=demos.arrays._replace(valid=valid))
    init, _ = shared_programs(scenario.env, CONFIG, methods.resolve("bc", CONFIG))
    begun = init(jax.random.key(0))
    after, _, _ = run(scenario.env, CONFIG, "bc", silent, 2)
    for old, new in zip(
        jax.tree.leaves((begun.params, begun.optimiser)),
        jax.tree.leaves((after.params, after.optimiser)),
        strict=True,
    ):
        np.testing.assert_array_equal(old[1], new[1])
    old, new = (s.params["actor"]["params"]["head"]["kernel"][0] for s in (begun, after))
    assert np.abs(old - new).max() > 1e-4


def test_demonstrations_draw_from_a_stream_of_their_own(scenario, demos):
    leed, _, _ = run(scenario.env, CONFIG, "leed", demos, 1)
    ippo, _, _ = run(scenario.env, CONFIG, "ippo", None, 1)
    chex.assert_trees_all_equal(jax.random.key_data(leed.key), jax.random.key_data(ippo.key))
    chex.assert_trees_all_equal(leed.situation.state, ippo.situation.state)


def test_going_on_from_a_state_equals_never_having_stopped(scenario, demos):
    init, update = shared_programs(scenario.env, CONFIG, methods.resolve("leed", CONFIG))
    data = minibatches.data(demos, CONFIG)
    state = init(jax.random.key(3))
    for _ in range(2):
        state, _ = update(state, data)
    # The state as bytes of the host and back.
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    raw = jax.tree.map(lambda x: np.array(jax.random.key_data(x) if is_key(x) else x), state)
    back = jax.tree.map(
        lambda x, old: jax.random.wrap_key_data(jnp.asarray(x)) if is_key(old) else jnp.asarray(x),
        raw,
        state,
    )
    whole, _ = update(state, data)
    resumed, _ = update(back, data)
    chex.assert_trees_all_equal(whole.params, resumed.params)


def test_agents_that_share_learn_from_the_mean_of_their_losses(scenario):
    config, env = CONFIG, scenario.env
    actor, critic = (
        make(config.network, env.spec, sets=1)
        for make in (networks.make_actor, networks.make_critic)
    )
    learner = Learner(env, config, methods.METHODS["ippo"], actor, critic)

    @jax.jit
    def gradients(key):
        params = {"actor": actor.init(key), "critic": critic.init(key)}
        begun = rollout.begin(env, actor, key, config.num_envs, None)
        _, material, _ = experience.gather(learner, params, begun, key)

        def loss(params):
            return minibatches.loss(learner, params, material, None, jnp.ones(2))[0]

        own = jax.tree.map(lambda leaf: jnp.repeat(leaf, 2, axis=0), params)
        shared = jax.grad(lambda params: loss(params).mean())(params)
        return shared, jax.grad(lambda params: loss(params).sum())(own)

    shared, own = gradients(jax.random.key(0))
    for one, two in zip(jax.tree.leaves(shared), jax.tree.leaves(own), strict=True):
        np.testing.assert_allclose(one[0], two.mean(0), rtol=1e-4, atol=1e-6)


def test_agents_that_share_learn_if_any_of_them_has_a_row(scenario, demos):
    valid = np.array(demos.arrays.valid)
    valid[..., 1] = False
    silent = dataclasses.replace(demos, arrays=demos.arrays._replace(valid=valid))
    method = methods.METHODS["bc"]._replace(parameter_sharing=True)
    begun, _, _ = run(scenario.env, CONFIG, method, silent, 0)
    after, _, _ = run(scenario.env, CONFIG, method, silent, 1)
    old, new = (state.params["actor"]["params"]["head"]["kernel"] for state in (begun, after))
    assert old.shape[0] == 1 and np.abs(old - new).max() > 1e-4


def test_what_an_environment_does_not_allow_is_refused(scenario):
    env, ippo, shared = scenario.env, methods.METHODS["ippo"], methods.METHODS["ippo_shared"]
    for share in (0.0, 1.5):
        with pytest.raises(ValueError, match=r"decision_share must be in \(0, 1\], toy/line has"):
            trainer.make_trainer(with_share(env, share), CONFIG, ippo)
    few = CONFIG.replace(num_minibatches=8)
    with pytest.raises(ValueError, match=r"num_minibatches must be at most 4, .* = 0\.01"):
        trainer.make_trainer(with_share(env, 0.01), few, ippo)
    for name in ("observation_sizes", "action_sizes"):
        unequal = env._replace(spec=env.spec._replace(**{name: (3, 2)}))
        with pytest.raises(ValueError, match=f"'ippo_shared' shares parameters: {name} must be"):
            trainer.make_trainer(unequal, CONFIG, shared)


def test_sharing_is_a_setting_of_any_method(scenario, demos):
    """All share by configuration as by method; a group of one agent shares with nobody."""
    config = CONFIG.replace(parameter_sharing="all")
    by_method = methods.METHODS["leed"]._replace(parameter_sharing=True)
    one, _, _ = run(scenario.env, config, "leed", demos, 2)
    other, _, _ = run(scenario.env, CONFIG, by_method, demos, 2)
    assert jax.tree.leaves(one.params)[0].shape[0] == 1
    chex.assert_trees_all_equal(one.params, other.params)
    alone = CONFIG.replace(parameter_sharing="groups", parameter_groups=2)
    each, _, _ = run(scenario.env, alone, "leed", demos, 2)
    nobody, _, _ = run(scenario.env, CONFIG, "leed", demos, 2)
    chex.assert_trees_all_equal(each.params, nobody.params)
    odd = CONFIG.replace(parameter_sharing="groups", parameter_groups=3)
    with pytest.raises(ValueError, match="parameter_groups must be a divisor of the 2 agents"):
        run(scenario.env, odd, "leed", demos, 0)


def test_an_epoch_takes_no_row_twice_and_leaves_out_less_than_a_row_per_minibatch():
    config = CONFIG.replace(num_minibatches=4)
    index = np.asarray(minibatches.shuffled(jax.random.key(0), config, 14))
    assert index.shape == (2 * 4, 3)
    for epoch in index.reshape(2, 12):
        assert len(set(epoch)) == 12 and epoch.min() >= 0 and epoch.max() < 14


def test_every_row_is_as_likely_in_every_minibatch():
    config = CONFIG.replace(num_epochs=2000, num_minibatches=4)
    index = np.asarray(minibatches.shuffled(jax.random.key(0), config, 12))
    first = index.reshape(2000, 4, 3)[:, 0]
    share = np.array([(first == row).any(1).mean() for row in range(12)])
    np.testing.assert_allclose(share, 3 / 12, atol=0.04)  # four standard errors
    # Which rows meet is random, too: two given ones in 3 * 2 of 12 * 11 draws.
    together = ((first == 0).any(1) & (first == 1).any(1)).mean()
    assert together == pytest.approx(6 / 132, abs=0.02)


def test_missing_and_foreign_demonstrations_are_refused(scenario, demos):
    with pytest.raises(ValueError, match="pass demos="):
        trainer.make_train(scenario, CONFIG, "leed")
    foreign = dataclasses.replace(demos, spec=demos.spec._replace(name="another"))
    with pytest.raises(ValueError, match="name is 'another'"):
        trainer.make_train(scenario, CONFIG, "leed", demos=foreign)
    visited = CONFIG.replace(expert=ExpertConfig(labels="visited"))
    with pytest.raises(ValueError, match="needs an expert"):
        trainer.make_train(scenario, visited, "leed")


@each_kind
def test_a_common_trunk_values_its_rows_and_learns_from_both_losses(scenario, kind, share):
    network = NetworkConfig(kind=kind, hidden_sizes=(8, 8), common_trunk=True)
    config, env = CONFIG.replace(network=network), with_share(scenario.env, share)
    actor = networks.make_actor(network, env.spec)
    only_value = methods.METHODS["ippo"]._replace(terms=(losses.VALUE,))
    learner = Learner(env, config, only_value, actor, None)

    @jax.jit
    def gathered(key):
        params = {"actor": actor.init(key)}
        begun = rollout.begin(env, actor, key, config.num_envs, None)
        _, material, _ = experience.gather(learner, params, begun, key)
        seen = actor.carry(material.start.shape[1]), material.observation, material.start
        again = values.of_observations(actor, None, params, *seen)

        def loss(params):
            return minibatches.loss(learner, params, material, None, jnp.ones(2))[0].sum()

        return material.batch, again, jax.grad(loss)(params)["actor"]["params"]

    batch, again, gradient = gathered(jax.random.key(0))
    np.testing.assert_allclose(
        np.where(batch.valid, batch.value, 0), np.where(batch.valid, again, 0), atol=1e-6
    )
    assert np.abs(np.asarray(batch.value)).max() > 1e-3
    moved = {name for name, leaf in gradient.items() if jnp.abs(jax.tree.leaves(leaf)[0]).max() > 0}
    assert {"encoder", "critic_hidden_0", "critic_head"} <= moved
    assert not {"hidden_0", "head"} & moved
