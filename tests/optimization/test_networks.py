"""Networks of all agents over their actions, and schedules."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax.config import ExpertConfig, NetworkConfig
from leed_jax.optimization import layers, networks, schedules
from leed_jax.optimization.distributions import Gaussian
from leed_jax.types import EnvSpec

SPEC = EnvSpec("toy", ("a", "b", "c"), (3, 5, 3), (2, 4, 4), 10)
GRU = NetworkConfig(kind="gru", hidden_sizes=(8, 6))
MLP = NetworkConfig(hidden_sizes=(8, 6))


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_orthogonal_matrices_are_orthogonal(shape):
    draw = jax.jit(layers.orthogonal(2.0), static_argnums=1)
    drawn = np.asarray(draw(jax.random.key(0), shape)) / 2.0
    small = drawn.T @ drawn if shape[0] >= shape[1] else drawn @ drawn.T
    np.testing.assert_allclose(small, np.eye(min(shape)), atol=1e-6)


def test_agents_start_with_their_own_fan_in_and_padding_is_zero():
    params = jax.jit(networks.make_actor(MLP, SPEC).init)(jax.random.key(0))
    kernel = np.asarray(params["params"]["encoder"]["kernel"])
    assert kernel.shape == (3, 5, 8)
    np.testing.assert_array_equal(kernel[[0, 2], 3:], 0)
    for agent, size in enumerate(SPEC.observation_sizes):
        rows = kernel[agent, :size]
        np.testing.assert_allclose(rows @ rows.T, 2 * np.eye(size), atol=1e-5)
    assert not np.allclose(kernel[0], kernel[2])


def test_agents_do_not_share_parameters():
    actor = networks.make_actor(MLP, SPEC)
    params = jax.jit(actor.init)(jax.random.key(0))
    observation = jnp.ones((1, 2, 3, 5))
    start = jnp.zeros((1, 2), bool)
    apply = jax.jit(actor.apply)
    before, _ = apply(params, actor.carry(2), observation, start)
    changed = jax.tree.map(lambda leaf: leaf.at[1].add(1.0), params)
    after, _ = apply(changed, actor.carry(2), observation, start)
    np.testing.assert_array_equal(after[:, :, [0, 2]], before[:, :, [0, 2]])
    assert not np.allclose(after[:, :, 1], before[:, :, 1])


def test_a_shared_network_says_what_equal_networks_of_every_agent_say():
    spec = SPEC._replace(observation_sizes=(5, 5, 5), action_sizes=(4, 4, 4))
    actor = networks.make_actor(GRU, spec, sets=1)
    params = jax.jit(actor.init)(jax.random.key(0))
    assert {leaf.shape[0] for leaf in jax.tree.leaves(params)} == {1}
    copies = jax.tree.map(lambda leaf: jnp.repeat(leaf, 3, axis=0), params)
    observation = jax.random.normal(jax.random.key(1), (4, 2, 3, 5))
    inputs = actor.carry(2), observation, jnp.zeros((4, 2), bool)
    apply = jax.jit(actor.apply)
    for one, three in zip(apply(params, *inputs), apply(copies, *inputs), strict=True):
        np.testing.assert_allclose(one, three, atol=1e-6)


def test_a_recurrent_sequence_equals_its_single_steps_and_starts_forget():
    actor = networks.make_actor(GRU, SPEC)
    params = jax.jit(actor.init)(jax.random.key(0))
    observation = jax.random.normal(jax.random.key(1), (6, 2, 3, 5))
    start = jnp.zeros((6, 2), bool).at[3, 0].set(True)
    apply = jax.jit(actor.apply)
    whole, last = apply(params, actor.carry(2), observation, start)
    carry, rows = actor.carry(2), []
    for t in range(6):
        row, carry = apply(params, carry, observation[t : t + 1], start[t : t + 1])
        rows.append(row)
    np.testing.assert_allclose(whole, jnp.concatenate(rows), atol=1e-6)
    np.testing.assert_allclose(last, carry, atol=1e-6)
    fresh, _ = apply(params, actor.carry(2), observation[3:], start[3:])
    np.testing.assert_allclose(whole[3:, 0], fresh[:, 0], atol=1e-6)
    assert not np.allclose(whole[3:, 1], fresh[:, 1])


@pytest.mark.parametrize("config", [MLP, GRU], ids=["mlp", "gru"])
def test_a_common_trunk_gives_the_policy_as_before_and_a_value_of_its_own_layers(config):
    together = networks.make_actor(dataclasses.replace(config, common_trunk=True), SPEC)
    actor, critic = networks.make_actor(config, SPEC), networks.make_critic(config, SPEC)
    assert together.value is not None
    params = jax.jit(together.init)(jax.random.key(0))
    own = params["params"]
    branch = {name: own[name] for name in own if name.startswith("critic_")}
    assert set(branch) == {"critic_hidden_0", "critic_head"}
    trunk = {name: own[name] for name in own if name not in branch}
    # A critic of its own with the same trunk and those layers says the same.
    twin = {name: own[name] for name in trunk if name not in ("hidden_0", "head")}
    twin |= {name.removeprefix("critic_"): leaf for name, leaf in branch.items()}
    seen = jax.random.normal(jax.random.key(1), (4, 2, 3, 5)), jnp.zeros((4, 2), bool)
    outputs, carry = jax.jit(together.apply)(params, together.carry(2), *seen)
    logits, other = jax.jit(actor.apply)({"params": trunk}, actor.carry(2), *seen)
    value, _ = jax.jit(critic.apply)({"params": twin}, critic.carry(2), *seen)
    mask = jnp.ones((4, 2, 3, 4), bool)
    np.testing.assert_allclose(
        together.distribution(outputs, mask).log_prob(jnp.zeros((4, 2, 3), jnp.int32)),
        actor.distribution(logits, mask).log_prob(jnp.zeros((4, 2, 3), jnp.int32)),
        atol=1e-6,
    )
    np.testing.assert_allclose(together.value(outputs), value[..., 0], atol=1e-6)
    np.testing.assert_allclose(carry, other, atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    # start 4, end 2, over the first half: at 0, a quarter and beyond a half
    [
        ("constant", [4, 4, 4]),
        ("linear", [4, 3, 2]),
        ("cosine", [4, 3, 2]),
        ("polynomial", [4, 2 + 2 / 2**4, 2]),
    ],
)
def test_expert_weight_schedules(schedule, expected):
    config = ExpertConfig(weight=4.0, final_weight=2.0, schedule=schedule, decay_fraction=0.5)
    start = jnp.full(2, 4.0)
    weights = [schedules.expert_weight(config, start, jnp.array(p)) for p in (0.0, 0.25, 0.9)]
    np.testing.assert_allclose(weights, np.repeat(np.array(expected), 2).reshape(3, 2), rtol=1e-6)


def test_convolutions_are_those_of_the_textbook():
    spec = EnvSpec("grid", ("a", "b"), (24, 24), (2, 4), 10, observation_shape=(4, 3, 2))
    cnn = NetworkConfig(kind="cnn", channels=(5,), hidden_sizes=(4,), activation="relu")
    actor = networks.make_actor(cnn, spec)
    params = jax.jit(actor.init)(jax.random.key(0))
    grids = jax.random.normal(jax.random.key(1), (1, 6, 2, 24))
    found, _ = jax.jit(actor.apply)(params, actor.carry(6), grids, jnp.zeros((1, 6), bool))
    own = jax.tree.map(lambda leaf: leaf[1], params["params"])
    kernel = own["convolution_0"]["kernel"].reshape(3, 3, 2, 5)
    image = grids[0, :, 1].reshape(6, 4, 3, 2)
    layout = ("NHWC", "HWIO", "NHWC")
    hidden = jax.lax.conv_general_dilated(image, kernel, (1, 1), "SAME", dimension_numbers=layout)
    hidden = jax.nn.relu(hidden + own["convolution_0"]["bias"]).reshape(6, -1)
    for name in ("encoder", "head"):
        hidden = hidden @ own[name]["kernel"] + own[name]["bias"]
        hidden = jax.nn.relu(hidden) if name == "encoder" else hidden
    np.testing.assert_allclose(found[0, :, 1], hidden, atol=1e-5)


def test_convolutions_of_what_is_no_grid_are_refused():
    with pytest.raises(ValueError, match=r"network\.kind must be mlp or gru: the observations of"):
        networks.make_actor(NetworkConfig(kind="cnn"), SPEC)


def test_the_spread_of_continuous_actions_depends_on_nothing_and_is_the_agents_own():
    spec = SPEC._replace(continuous=True)
    actor = networks.make_actor(MLP, spec)
    params = jax.jit(actor.init)(jax.random.key(0))
    observation = jax.random.normal(jax.random.key(1), (1, 5, 3, spec.observation_size))
    outputs, _ = jax.jit(actor.apply)(params, actor.carry(5), observation, jnp.zeros((1, 5), bool))
    mask = jnp.ones((5, 3, spec.num_actions), bool)
    policy = actor.distribution(outputs[0], mask)
    assert isinstance(policy, Gaussian)
    np.testing.assert_allclose(policy.log_std, layers.START_LOG_STD)
    assert params["params"]["log_std"].shape == (3, spec.num_actions)


def test_groups_of_agents_share_what_equal_networks_say():
    spec = EnvSpec("toy", tuple("abcdef"), (5,) * 6, (4,) * 6, 10)
    actor = networks.make_actor(GRU, spec, sets=2)
    params = jax.jit(actor.init)(jax.random.key(0))
    assert {leaf.shape[0] for leaf in jax.tree.leaves(params)} == {2}
    copies = jax.tree.map(lambda leaf: jnp.repeat(leaf, 3, axis=0), params)
    observation = jax.random.normal(jax.random.key(1), (4, 2, 6, 5))
    carry = jax.random.normal(jax.random.key(2), (2, 6, 6))
    inputs = carry, observation, jnp.zeros((4, 2), bool).at[2, 1].set(True)
    apply = jax.jit(actor.apply)
    for two, six in zip(apply(params, *inputs), apply(copies, *inputs), strict=True):
        assert two.shape == six.shape
        np.testing.assert_allclose(two, six, atol=1e-6)


def test_the_recurrent_cell_is_that_of_flax():
    width, keys = 6, jax.random.split(jax.random.key(0), 3)
    cell = nn.GRUCell(width)
    hidden, inputs = jax.random.normal(keys[0], (4, width)), jax.random.normal(keys[1], (4, 3))
    theirs = jax.tree.map(
        lambda leaf: leaf + 0.3, jax.jit(cell.init)(keys[2], hidden, inputs)["params"]
    )  # no bias stays zero
    given = jnp.concatenate(
        [inputs @ theirs[name]["kernel"] + theirs[name]["bias"] for name in ("ir", "iz", "in")], -1
    )
    kernel = jnp.concatenate([theirs[name]["kernel"] for name in ("hr", "hz", "hn")], -1)
    after, rows = jax.jit(layers.gru)(
        kernel, theirs["hn"]["bias"], hidden, given[None], jnp.zeros((1, 4), bool)
    )
    expected, _ = jax.jit(cell.apply)({"params": theirs}, hidden, inputs)
    np.testing.assert_allclose(after, expected, atol=1e-6)
    np.testing.assert_array_equal(rows[0], after)
