"""VDN and QMIX: targets, mixing, exploration and replay by hand, and teams that learn the line."""

import sys
from typing import Any

import chex
import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest

from leed_jax import checkpoint
from leed_jax.config import NetworkConfig, TrainConfig, ValueBasedConfig
from leed_jax.optimization import (
    action_values,
    checks,
    evaluation,
    methods,
    minibatches,
    mixers,
    networks,
    replay,
    temporal_difference,
    trainer,
    training,
)
from leed_jax.optimization.replay import Rows, Sequences

# A rollout is an episode of eight steps and the row of its last observation.
STEPS = 4 * 9
CONFIG = TrainConfig(
    total_steps=60 * STEPS,
    num_envs=4,
    rollout_steps=9,
    num_minibatches=1,
    learning_rate=0.02,
    max_grad_norm=10.0,
    gamma=0.9,
    eval_every_steps=30 * STEPS,
    eval_episodes=4,
    network=NetworkConfig(hidden_sizes=(16,), activation="relu"),
    value_based=ValueBasedConfig(
        replay_steps=10 * STEPS,
        batch_size=32,
        steps_per_gradient=STEPS // 4,
        learning_starts=STEPS,
        epsilon_decay=0.5,
        target_interval=10,
        reward_scale=0.1,
        mixer_width=4,
        hypernetwork_width=8,
        mixer_scale=0.1,
    ),
)
METHODS = {name: methods.resolve(name, CONFIG) for name in ("vdn", "qmix")}
SEEDS = (3, 5)


def changed(config: TrainConfig = CONFIG, **changes: Any) -> TrainConfig:
    fields = {**vars(config.value_based), **changes}
    return config.replace(value_based=ValueBasedConfig(**fields))


def env() -> Any:
    return line_world.array_env(start=None)


GRU = CONFIG.replace(network=NetworkConfig("gru", (16,), "relu"))


@pytest.fixture(scope="module")
def trained() -> Any:
    return training.train(env(), config=CONFIG, method="vdn", seeds=SEEDS)


# ------------------------------------------------------------------------------------ mixing


def test_vdn_adds_and_needs_no_state() -> None:
    mixer = mixers.make("sum", CONFIG.value_based, 3, 5)
    values = jnp.array([[[1.0, -2.0, 4.0]]])
    assert mixer.apply(mixer.init(jax.random.key(0)), values, None).tolist() == [[3.0]]
    assert not mixer.sees_state


def test_qmix_is_the_papers_network_and_rises_with_every_agents_value() -> None:
    mixer = mixers.make("monotone", CONFIG.value_based, 3, 5)
    keys = jax.random.split(jax.random.key(0), 3)
    values, state = jax.random.normal(keys[0], (2, 4, 3)), jax.random.normal(keys[1], (2, 4, 5))
    params = jax.tree.map(lambda leaf: leaf + 0.3, jax.jit(mixer.init)(keys[2]))
    mixed = jax.jit(mixer.apply)(params, values, state)

    p = jax.tree.map(np.asarray, params["params"])
    s, q = np.asarray(state), np.asarray(values)

    def dense(layer: Any, rows: np.ndarray) -> np.ndarray:
        return rows @ layer["kernel"] + layer["bias"]

    def generated(name: str) -> np.ndarray:
        return dense(p[name]["Dense_1"], np.maximum(dense(p[name]["Dense_0"], s), 0))

    first = np.abs(generated("weights_1")).reshape(2, 4, 3, 4)
    hidden = np.einsum("tbn,tbnh->tbh", q, first) + dense(p["bias_1"], s)
    hidden = np.where(hidden > 0, hidden, np.expm1(hidden))
    expected = (hidden * np.abs(generated("weights_2"))).sum(-1) + generated("bias_2")[..., 0]
    np.testing.assert_allclose(mixed, expected, rtol=1e-5, atol=1e-5)

    slopes = jax.jit(jax.grad(lambda values: mixer.apply(params, values, state).sum()))(values)
    assert (slopes >= 0).all() and (slopes > 0).any((0, 1)).all()


# ------------------------------------------------------------------------- targets and the loss


def rows(**changes: Any) -> Rows:
    """Of one environment and one agent: two steps, a last observation, and the next episode."""
    filled = Rows(
        observation=jnp.zeros((5, 1, 1, 1)),
        action_mask=jnp.ones((5, 1, 1, 2), bool),
        action=jnp.zeros((5, 1, 1), jnp.int32),
        reward=jnp.array([1.0, 2.0, 0.0, 3.0, 4.0])[:, None],
        terminated=jnp.zeros((5, 1), bool),
        valid=jnp.array([True, True, False, True, True])[:, None],
        start=jnp.array([True, False, False, True, False])[:, None],
        state=None,
    )
    return filled._replace(**changes)


def test_targets_bootstrap_over_a_time_limit_and_not_over_an_end() -> None:
    following = jnp.array([20.0, 30.0, 40.0, 50.0])[:, None]
    limit = temporal_difference.targets(rows(), following, 0.5)
    # The row behind the time limit is the last observation; from it to the next episode no step.
    assert limit.target.tolist() == [1 + 10.0, 2 + 15.0, 0 + 20.0, 3 + 25.0]
    assert limit.valid.tolist() == [True, True, False, True]
    ended = rows(terminated=jnp.array([False, True, False, False, False])[:, None])
    assert temporal_difference.targets(ended, following, 0.5).target.tolist() == [
        11.0,
        2.0,
        20.0,
        28.0,
    ]


@pytest.mark.parametrize("double", [True, False])
def test_the_loss_is_the_squared_error_of_the_sum_over_agents(double: bool) -> None:
    config = changed(double_q=double)
    network = action_values.make(METHODS["vdn"], config, env().spec)
    mixer = mixers.make("sum", config.value_based, 2, 2)
    keys = jax.random.split(jax.random.key(1), 6)
    given = Rows(
        observation=jax.random.normal(keys[0], (5, 6, 2, 1)),
        action_mask=jax.random.bernoulli(keys[1], 0.6, (5, 6, 2, 3)).at[..., 0].set(True),
        action=jax.random.randint(keys[2], (5, 6, 2), 0, 3),
        reward=jax.random.normal(keys[3], (5, 6)),
        terminated=jax.random.bernoulli(keys[4], 0.3, (5, 6)),
        valid=jax.random.bernoulli(keys[5], 0.7, (5, 6)),
        start=jnp.zeros((5, 6), bool),
        state=None,
    )
    seen = Sequences(given, jnp.zeros((6, 2, 0)))
    init = jax.jit(network.init)
    params, target = ({"actor": init(jax.random.key(seed))} for seed in (2, 3))

    @jax.jit
    def loss(params: Any, target: Any, seen: Sequences) -> Any:
        return temporal_difference.loss(params, target, seen, network, mixer, config)

    apply = jax.jit(network.apply)
    found = loss(params, target, seen)

    def of(params: Any) -> np.ndarray:
        return np.asarray(apply(params["actor"], seen.carry, *given[:1], given.start)[0])

    present, later, host = of(params), of(target), jax.tree.map(np.asarray, given)
    errors = []
    for t, e in np.argwhere(host.valid[:-1]):
        taken = sum(present[t, e, i, host.action[t, e, i]] for i in range(2))
        best = 0.0
        for i in range(2):
            legal = np.flatnonzero(host.action_mask[t + 1, e, i])
            judged = (present if double else later)[t + 1, e, i, legal]
            best += later[t + 1, e, i, legal[judged.argmax()]]
        wanted = host.reward[t, e] + 0.9 * (0 if host.terminated[t, e] else best)
        errors.append((taken - wanted) ** 2)
    np.testing.assert_allclose(found, np.mean(errors), rtol=1e-5)

    # What stands in rows that do not count changes nothing.
    other = given._replace(reward=jnp.where(given.valid, given.reward, 100.0))
    again = loss(params, target, seen._replace(rows=other))
    np.testing.assert_array_equal(found, again)


# -------------------------------------------------------------------------------- exploration


def test_epsilon_falls_linearly_in_the_first_updates_and_then_stays() -> None:
    config = changed(epsilon_start=0.9, epsilon_end=0.1, epsilon_decay=0.5)
    assert config.num_updates == 60
    found = [action_values.epsilon(config, jnp.array(update)) for update in (0, 15, 30, 60)]
    np.testing.assert_allclose(found, [0.9, 0.5, 0.1, 0.1], rtol=1e-6)


def test_epsilon_greedy_takes_the_best_legal_action_or_any_legal_one() -> None:
    values = jnp.array([[5.0, 1.0, 3.0, 2.0], [0.0, 0.0, -1.0, 0.0]])
    mask = jnp.array([[False, True, True, True], [False, False, True, False]])
    policy = action_values.epsilon_greedy(values, mask, jnp.array(0.3))
    expected = [[0, 0.1, 0.8, 0.1], [0, 0, 1, 0]]
    np.testing.assert_allclose(jnp.exp(policy.log_probs), expected, atol=1e-6)
    greedy = action_values.epsilon_greedy(values, mask, jnp.array(0.0))
    drawn = jax.vmap(greedy.sample)(jax.random.split(jax.random.key(0), 50))
    assert (drawn == jnp.array([2, 2])).all()


# ------------------------------------------------------------------------------------- replay


def numbered(first: int, *, recurrent: bool) -> Sequences:
    """A rollout whose rewards say step and environment: 100 * environment + step."""
    steps = first + jnp.arange(9.0)[:, None] + 100 * jnp.arange(4)
    blank = Rows(
        observation=jnp.zeros((9, 4, 2, 1)),
        action_mask=jnp.ones((9, 4, 2, 3), bool),
        action=jnp.zeros((9, 4, 2), jnp.int32),
        reward=steps,
        terminated=jnp.zeros((9, 4), bool),
        valid=jnp.ones((9, 4), bool),
        start=jnp.zeros((9, 4), bool),
        state=None,
    )
    width = 1 if recurrent else 0
    return Sequences(blank, jnp.broadcast_to(steps[:1].T[..., None], (4, 2, width)))


@pytest.mark.parametrize("recurrent", [False, True])
def test_what_is_replayed_are_neighbouring_rows_of_the_last_rollouts(recurrent: bool) -> None:
    config = changed(CONFIG.replace(network=NetworkConfig("gru" if recurrent else "mlp")))
    config = changed(config, replay_steps=3 * STEPS + 5, batch_size=2000)
    buffer = replay.make(config)
    add = jax.jit(buffer.add)
    storage, cursor = jax.jit(buffer.init)(numbered(0, recurrent=recurrent))
    assert not buffer.ready(storage, cursor)
    for rollout in range(4):
        played = numbered(9 * rollout, recurrent=recurrent)
        storage, cursor = add(storage, cursor, played)
    assert buffer.ready(storage, cursor)
    seen = jax.jit(buffer.sample)(storage, cursor, jax.random.key(0))
    reward = np.asarray(seen.rows.reward)
    assert reward.shape == (9 if recurrent else 2, 2000)
    assert (np.diff(reward, axis=0) == 1).all()
    # The first rollout has been overwritten; of the others everything is drawn.
    starts = {9, 18, 27} if recurrent else set(range(9, 35))
    assert set(reward[0]) == {100 * e + t for e in range(4) for t in starts}
    if recurrent:
        assert (np.asarray(seen.carry)[..., 0] == reward[0][:, None]).all()


def test_without_flashbax_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flashbax", None)
    with pytest.raises(ImportError, match=r"leed_jax\[baselines\]"):
        replay.make(CONFIG)


# --------------------------------------------------------------------------- the training step


def test_the_target_follows_at_intervals_and_nothing_is_learnt_before_the_start() -> None:
    # One gradient step per update, from the second update on; the target moves with every second.
    ways = {"steps_per_gradient": STEPS, "target_interval": 2, "target_rate": 0.25}
    config = changed(GRU, learning_starts=STEPS, **ways)
    built = trainer.make_trainer(env(), config, METHODS["qmix"])
    update: Any = jax.jit(built.update)
    first = jax.jit(built.init)(jax.random.key(0))
    chex.assert_trees_all_equal(first.params, first.target)
    data, states = minibatches.data(None, config), [first]
    for _ in range(4):
        states.append(update(states[-1], data)[0])
    assert update._cache_size() == 1
    chex.assert_trees_all_equal(states[1].params, first.params)
    chex.assert_trees_all_equal(states[3].target, states[2].target)
    for index, before in ((2, 1), (4, 3)):
        mixed = jax.tree.map(
            lambda new, old: 0.25 * new + 0.75 * old, states[index].params, states[before].target
        )
        chex.assert_trees_all_close(states[index].target, mixed, rtol=1e-6)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(states[1].params, states[2].params, rtol=1e-3)


def check_learnt(result: Any) -> None:
    """To go to the right while that is legal, and then to stay, is best; from all scored starts."""

    def right(params: Any, carry: Any, seen: Any, start: Any) -> Any:
        return jnp.broadcast_to(jnp.array([0.0, -1.0, 1.0]), (*seen.shape[:-1], 3)), carry

    network = networks.make_actor(CONFIG.network, env().spec)._replace(apply=right)
    keys = evaluation.evaluation_keys(0, CONFIG.eval_episodes)
    best = float(evaluation.score(env(), network, {}, keys).agent_return.sum())
    assert result.diverged == {} and result.env_steps == 60 * STEPS
    assert result.history[-1]["loss"].keys() == {"temporal_difference"}
    assert (result.final() > 0.95 * best).all(), (result.final(), best)


def test_vdn_learns_the_line(trained: Any) -> None:
    check_learnt(trained)


@pytest.mark.slow
def test_qmix_learns_the_line_with_a_recurrent_network() -> None:
    check_learnt(training.train(env(), config=GRU, method="qmix", seeds=SEEDS))


def test_a_team_of_several_seeds_is_the_one_that_trains_alone(trained: Any) -> None:
    alone = training.train(env(), config=CONFIG, method="vdn", seeds=SEEDS[1:])
    both = trained
    np.testing.assert_allclose(both.curve()[1], alone.curve()[0], rtol=1e-4)
    second = jax.tree.map(lambda leaf: leaf[1:], both.params)
    chex.assert_trees_all_close(second, alone.params, rtol=1e-3, atol=1e-4)


def test_what_a_result_keeps_acts_like_the_shared_network() -> None:
    spec = env().spec
    network = action_values.make(METHODS["qmix"], CONFIG, spec)
    shared = jax.jit(jax.vmap(network.init))(jax.random.split(jax.random.key(0), 3))
    kept = action_values.actors({"actor": shared, "mixer": {}}, METHODS["qmix"], CONFIG, spec)
    assert set(kept) == {"actor"}
    seen, start = jnp.array([[[[0.5], [0.5]], [[1.0], [2.0]]]]), jnp.zeros((1, 2), bool)
    actor = networks.make_actor(CONFIG.network, spec)

    def values(network: networks.Network, params: Any) -> Any:
        return network.apply(params, network.carry(2), seen, start)[0]

    expected = jax.jit(jax.vmap(lambda params: values(network, params)))(shared)
    found = jax.jit(jax.vmap(lambda params: values(actor, params)))(kept["actor"])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # Two agents with the same parameters, who see the same, see who they are.
    assert not np.allclose(found[:, :, 0, 0], found[:, :, 0, 1], atol=1e-2)


def test_a_saved_team_comes_back(trained: Any, tmp_path: Any) -> None:
    checkpoint.save_result(trained, tmp_path / "team")
    loaded = checkpoint.load_result(tmp_path / "team")
    chex.assert_trees_all_equal(loaded.params, trained.params)
    assert loaded.config == trained.config


def test_agents_of_different_sizes_share_what_is_padded() -> None:
    spec = env().spec._replace(observation_sizes=(2, 3), action_sizes=(2, 4))
    network = action_values.make(METHODS["vdn"], CONFIG, spec)
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    assert shapes["params"]["encoder"]["kernel"].shape == (1, 3 + 2, 16)
    params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
    seen = jnp.ones((1, 1, 2, 3)).at[0, 0, 0, 2].set(0.0)
    values, _ = network.apply(params, network.carry(1), seen, jnp.zeros((1, 1), bool))
    # 16 units of the observation's sum, the agent's number and the bias, and the last bias.
    expected = [[16 * (2 + 1 + 1) + 1] * 4, [16 * (3 + 1 + 1) + 1] * 4]
    assert values[0, 0].tolist() == expected
    mask = jnp.arange(4) < jnp.array([2, 4])[:, None]
    chances = jnp.exp(action_values.epsilon_greedy(values[0, 0], mask, jnp.array(1.0)).log_probs)
    np.testing.assert_allclose(chances, [[0.5, 0.5, 0, 0], [0.25] * 4], atol=1e-6)


# ------------------------------------------------------------------------------------- errors


def test_what_these_methods_cannot_do_is_refused() -> None:
    spec, vdn = env().spec, METHODS["vdn"]
    with pytest.raises(ValueError, match="discrete actions"):
        checks.check_values(vdn, CONFIG, spec._replace(continuous=True))
    with pytest.raises(ValueError, match="common_trunk must be false"):
        trunk = NetworkConfig(common_trunk=True)
        checks.check_values(vdn, CONFIG.replace(network=trunk), spec)
    with pytest.raises(ValueError, match="learning_starts must be below the 2160 steps"):
        checks.check_values(vdn, changed(learning_starts=2160), spec)
    with pytest.raises(ValueError, match="at least one rollout"):
        replay.make(changed(replay_steps=STEPS - 1))
    with pytest.raises(ValueError, match=r"value_based\.target_rate must be in \(0, 1\]"):
        ValueBasedConfig(target_rate=0.0)
    with pytest.raises(ValueError, match=r"value_based\.batch_size must be positive or None"):
        ValueBasedConfig(batch_size=0)
