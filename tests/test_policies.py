"""Trained teams called with numpy say what the JAX policies say, and need no JAX."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import checkpoint, policies, specs
from leed_jax.config import NetworkConfig, TrainConfig
from leed_jax.optimization import distributions, networks, normalisation
from leed_jax.optimization.results import TrainResult
from leed_jax.types import EnvSpec

STEPS = 6
SIZES = NetworkConfig(hidden_sizes=(8, 7))
LINE = EnvSpec("toy/line", ("ann", "bob", "cid", "dan"), (5, 5, 3, 3), (3, 3, 4, 4), STEPS)
EQUAL = LINE._replace(observation_sizes=(5,) * 4, action_sizes=(4,) * 4)
GRID = EQUAL._replace(observation_sizes=(24,) * 4, observation_shape=(4, 3, 2))


def team(
    folder: Path,
    network: NetworkConfig,
    spec: EnvSpec = LINE,
    sets: int | None = None,
    *,
    normalised: bool = False,
) -> tuple[TrainResult, Path]:
    """Two seeds with parameters drawn at random, in files."""
    actor = networks.make_actor(network, spec, sets=sets)

    def init() -> Any:
        params = {"actor": actor.init(jax.random.key(0))}
        size = spec.observation_size
        return normalisation.attach(params, ("actor",), sets or 4, size) if normalised else params

    rng = np.random.default_rng(7)
    params = jax.tree.map(
        lambda s: rng.normal(0, 0.5, (2, *s.shape)).astype(np.float32), jax.eval_shape(init)
    )
    if normalised:
        layer = params["actor"]["params"][normalisation.LAYER]
        layer["variance"] = np.square(layer["variance"])
    lines = [
        {"seed": seed, "env_steps": 0, "updates": 0, "seconds": 0.0, "team_return": value}
        for seed, value in ((3, 1.0), (9, 2.0))
    ]
    extra = {"agent_return": [0.0] * 4, "success": {}, "loss": {}, "method": "ippo"}
    result = TrainResult(
        method="ippo",
        config=TrainConfig(network=network, normalize_observations=normalised),
        spec=spec,
        seeds=(3, 9),
        params=params,
        history=[line | extra for line in lines],
        env_steps=0,
        train_seconds=0.0,
        compile_seconds=0.0,
        peak_memory_mb=0.0,
        diverged={},
    )
    checkpoint.save_result(result, folder / "team")
    return result, folder / "team"


def observations(spec: EnvSpec) -> np.ndarray:
    """[T N D], zeros where they are padded."""
    rng = np.random.default_rng(3)
    seen = rng.normal(0, 2, (STEPS, spec.num_agents, spec.observation_size)).astype(np.float32)
    own = np.arange(spec.observation_size) < np.array(spec.observation_sizes)[:, None]
    return np.where(own, seen, 0).astype(np.float32)


def masks(spec: EnvSpec) -> np.ndarray:
    """[N A], the actions that an agent has."""
    return np.arange(spec.num_actions) < np.array(spec.action_sizes)[:, None]


def of_jax(result: TrainResult, seed: int, seen: np.ndarray) -> Any:
    """Outputs [T N O] of the JAX networks for one episode."""
    actor = networks.make_actor(result.config.network, result.spec)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), result.params["actor"])
    start = jnp.zeros((len(seen), 1), bool).at[0].set(True)
    return actor, actor.apply(params, actor.carry(1), jnp.asarray(seen)[:, None], start)[0][:, 0]


@pytest.mark.parametrize(
    ("network", "spec", "sets", "normalised"),
    [
        (SIZES, LINE, 2, True),
        (SIZES, LINE, None, False),
        (dataclasses.replace(SIZES, activation="relu"), EQUAL, 1, False),
        (dataclasses.replace(SIZES, kind="gru"), LINE, 2, False),
        (dataclasses.replace(SIZES, kind="gru", common_trunk=True), EQUAL, 2, False),
        (dataclasses.replace(SIZES, kind="cnn", channels=(3, 2)), GRID, None, False),
        (SIZES, LINE._replace(continuous=True), None, False),
        (dataclasses.replace(SIZES, common_trunk=True), EQUAL._replace(continuous=True), 1, False),
    ],
    ids=["normalised", "mlp", "shared", "gru", "trunk", "cnn", "continuous", "continuous-trunk"],
)
def test_a_numpy_policy_says_what_the_jax_policy_says(
    network: NetworkConfig, spec: EnvSpec, sets: int | None, normalised: bool, tmp_path: Path
) -> None:
    result, path = team(tmp_path, network, spec, sets, normalised=normalised)
    seen, mask = observations(spec), masks(spec)
    actor, wanted = of_jax(result, 0, seen)
    legal = jnp.broadcast_to(mask, (STEPS, *mask.shape))
    policy = actor.distribution(wanted, legal)
    whole = policies.load_policy(path, seed=3)
    single = policies.load_policy(path, seed=3, agent="cid")
    state, own_state = whole.initial_state(), single.initial_state()
    size = spec.num_actions
    for t in range(STEPS):
        outputs, _ = whole.outputs(seen[t], state)
        np.testing.assert_allclose(outputs, wanted[t][:, :size], rtol=0, atol=3e-6)
        action, state = whole(seen[t], state)
        np.testing.assert_allclose(action, policy.mode()[t], rtol=0, atol=3e-6)
        row = seen[t, 2, : spec.observation_sizes[2]]
        own, own_state = single(row, own_state)
        np.testing.assert_allclose(
            own, action[2][: spec.action_sizes[2]] if own.ndim else action[2]
        )
        np.testing.assert_array_equal(own_state, state[2])


def test_draws_have_the_probabilities_of_the_jax_policy(tmp_path: Path) -> None:
    result, path = team(tmp_path, SIZES)
    seen = observations(LINE)[:1]
    mask = masks(LINE)
    mask[0, 1] = False
    actor, outputs = of_jax(result, 1, seen)
    wanted = np.exp(actor.distribution(outputs[0], jnp.asarray(mask)).log_probs)
    act = policies.load_policy(path)
    rng = np.random.default_rng(0)
    drawn = np.stack([act(seen[0], rng=rng, mask=mask)[0] for _ in range(400)])
    for agent in range(4):
        counts = np.bincount(drawn[:, agent], minlength=4) / 400
        # Three standard deviations of a share are at most 3 * 0.5 / sqrt(400) = 0.075.
        np.testing.assert_allclose(counts, wanted[agent], atol=0.075)
    assert set(np.flatnonzero(wanted[0] == 0)) == {1, 3} and not np.isin(drawn[:, 0], (1, 3)).any()
    again = act(seen[0], rng=[5, 6])[0], act(seen[0], rng=[5, 6])[0]
    np.testing.assert_array_equal(*again)


def test_continuous_draws_have_the_bounded_deviation(tmp_path: Path) -> None:
    spec = LINE._replace(continuous=True)
    result, path = team(tmp_path, SIZES, spec)
    seen = observations(spec)[0]
    act = policies.load_policy(path, agent=1)
    rng = np.random.default_rng(0)
    drawn = np.stack([act(seen[1], rng=rng)[0] for _ in range(600)])
    log_std = result.params["actor"]["params"]["log_std"][1, 1]
    wanted = np.exp(np.clip(log_std, distributions.MIN_LOG_STD, distributions.MAX_LOG_STD))
    np.testing.assert_allclose(drawn.std(0), wanted[:3], rtol=0.12)
    mean = act(seen[1])[0]
    assert mean.shape == (3,)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.2)


def test_teams_may_be_asked_by_name_and_by_list(tmp_path: Path) -> None:
    _, path = team(tmp_path, SIZES)
    act, seen = policies.load_policy(path), observations(LINE)[0]
    wanted, _ = act(seen)
    own = [row[:size] for row, size in zip(seen, LINE.observation_sizes, strict=True)]
    np.testing.assert_array_equal(act(own)[0], wanted)
    np.testing.assert_array_equal(act(dict(zip(LINE.agents, own, strict=True)))[0], wanted)


def test_only_legal_actions_are_taken(tmp_path: Path) -> None:
    _, path = team(tmp_path, SIZES)
    act, seen = policies.load_policy(path, agent=0), observations(LINE)[0, 0]
    for only in range(3):
        assert act(seen, mask=np.arange(3) == only)[0] == only
    with pytest.raises(ValueError, match="mask of ann allows no action"):
        act(seen, mask=[False, False, False, True])


def test_the_best_seed_is_taken_unless_another_is_asked_for(tmp_path: Path) -> None:
    result, path = team(tmp_path, SIZES)
    seen = observations(LINE)[0]
    best, first = (policies.load_policy(path, seed=seed).outputs(seen)[0] for seed in ("best", 3))
    np.testing.assert_allclose(best, of_jax(result, 1, seen[None])[1][0], atol=3e-6)
    assert np.abs(best - first).max() > 0.1
    assert result.best_seed == 1


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"seed": 0}, r"seed must be one of \[3, 9\] or 'best', got 0"),
        ({"agent": "eve"}, "agent must be one of ann, bob, cid, dan, .*'eve'"),
        ({"agent": 4}, "an index below 4: 4"),
    ],
)
def test_what_is_not_in_the_file_is_named(
    choice: dict[str, Any], message: str, tmp_path: Path
) -> None:
    _, path = team(tmp_path, SIZES)
    with pytest.raises(ValueError, match=message):
        policies.load_policy(path, **choice)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"observation": np.zeros(4)},
            r"observation of cid must be 3 numbers \(padded: 5\), got 4",
        ),
        ({"observation": [0, np.nan, 0]}, "observation of cid holds NaN"),
        ({"observation": np.zeros(3), "state": np.zeros(8)}, r"state must be \(7,\), got \(8,\)"),
        ({"observation": np.zeros(3), "mask": [True]}, "mask of cid must be 4 values, got 1"),
    ],
)
def test_a_wrong_call_names_the_argument(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    _, path = team(tmp_path, dataclasses.replace(SIZES, kind="gru"))
    with pytest.raises(ValueError, match=message):
        policies.load_policy(path, agent="cid")(**arguments)


def test_the_specification_has_the_fields_of_the_environments() -> None:
    assert specs.Sizes._fields == EnvSpec._fields
    assert specs.Sizes._field_defaults == EnvSpec._field_defaults
    written = json.loads(json.dumps(GRID._asdict()))
    assert EnvSpec(**specs.read(written)._asdict()) == GRID


ALONE = """
import sys, types

sys.modules["jax"] = sys.modules["flax"] = sys.modules["optax"] = None  # importing them fails
package = sys.modules["leed_jax"] = types.ModuleType("leed_jax")  # its __init__ imports JAX
package.__path__ = [sys.argv[2]]
import numpy as np

from leed_jax import policies

act = policies.load_policy(sys.argv[1], agent="ann")
action, state = act(np.ones(5), act.initial_state(), rng=1)
print(int(action) in (0, 1, 2), state.shape)
"""


def test_a_policy_needs_no_jax(tmp_path: Path) -> None:
    _, path = team(tmp_path, SIZES)
    found = subprocess.run(
        [sys.executable, "-c", ALONE, str(path), str(Path(policies.__file__).parent)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "True (0,)\n", "")
