"""Rows of decisions only: a scripted world by hand, and equality with a row for every step."""

from typing import Any

import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest

from leed_jax import execution
from leed_jax.config import NetworkConfig, TrainConfig
from leed_jax.optimization import decisions, experience, methods, networks, returns, rollout
from leed_jax.optimization.learners import Learner
from leed_jax.optimization.situations import Situation
from leed_jax.types import ArrayEnv, EnvSpec, TimeStep

pytestmark = pytest.mark.usefixtures("strict_dtypes")
HORIZON, STEPS, GAMMA, LAMBDA = 5, 9, 0.5, 0.5
NAN = float("nan")
# Columns are the clock: 0 at the reset, 5 at the time limit, 6 when a finished episode is stepped.
DECIDES = [[1, 0, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0]]
REWARDS = [[0, 1, 2, 4, 8, 99, NAN], [0, 99, 2, 4, 8, 16, NAN]]
TERMINATED = [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]]
"""Ann arrives at 4 and is paid once more; bob departs at 1, arrives after 2 and goes on being paid
until the time limit, as teams are. What belongs to no row is 99."""


def scripted(share: float, *, latest_start: int = 0) -> ArrayEnv:
    """Ann observes the clock, bob the clock and 10; it starts at 0 or is drawn up to the latest."""

    def time_step(clock: Any) -> TimeStep:
        return TimeStep(
            observation=jnp.stack([clock, clock + 10]).astype(jnp.float32)[:, None],
            reward=jnp.array(REWARDS, jnp.float32)[:, clock],
            terminated=jnp.array(TERMINATED, bool)[:, clock],
            truncated=clock >= HORIZON,
            action_mask=jnp.ones((2, 2), bool),
            decision=jnp.array(DECIDES, bool)[:, clock],
            global_state=jnp.zeros(1),
        )

    def reset(key: Any) -> Any:
        clock = jax.random.randint(key, (), 0, latest_start + 1)
        return clock, time_step(clock)._replace(reward=jnp.zeros(2))

    def step(key: Any, clock: Any, action: Any) -> Any:
        return clock + 1, time_step(clock + 1)

    spec = EnvSpec("toy/script", ("ann", "bob"), (1, 1), (2, 2), HORIZON, share)
    return ArrayEnv(reset, step, spec)


def settings(**changes: Any) -> TrainConfig:
    sizes: dict[str, Any] = {"total_steps": STEPS, "num_envs": 1, "rollout_steps": STEPS}
    sizes |= {"num_minibatches": 1, "gamma": GAMMA, "gae_lambda": LAMBDA}
    return TrainConfig(**{**sizes, "network": NetworkConfig(hidden_sizes=(4,)), **changes})


def collect(share: float) -> tuple[decisions.Decisions, Situation]:
    """One environment from clock 0; the axis E is taken out."""
    env, config = scripted(share), settings()
    actor = networks.make_actor(config.network, env.spec)

    @jax.jit
    def collected(first: Any, second: Any, third: Any) -> Any:
        begun = rollout.begin(env, actor, second, 1, None)
        return decisions.collect(env, actor, actor.init(first), begun, third, config=config)

    situation, found, _ = collected(*map(jax.random.key, range(3)))
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[:, 0] if leaf.ndim else leaf, found)
    return one, situation


@pytest.fixture(scope="module")
def roomy() -> decisions.Decisions:
    """The 9 steps show the clock at 0, 1, 2, 3, 4, 5 (reset), 0, 1, 2, and end at 3; C is 5."""
    return collect(0.55)[0]


def test_rows_are_decisions_last_observations_and_the_end_of_the_rollout(roomy):
    # Ann: 0 and 2, arrived (no last observation), 0, 2, and the end at 3.
    np.testing.assert_array_equal(roomy.rows.observation[:5, 0, 0], [0, 2, 0, 2, 3])
    np.testing.assert_array_equal(roomy.rows.decision[:, 0], [1, 1, 1, 1, 0, 0])
    # Bob: 1, 2, the time limit at 5, 1, 2, and the end at 3.
    np.testing.assert_array_equal(roomy.rows.observation[:, 1, 0], [11, 12, 15, 11, 12, 13])
    np.testing.assert_array_equal(roomy.rows.decision[:, 1], [1, 1, 0, 1, 1, 0])
    assert roomy.dropped == 0


def test_a_row_has_the_discounted_rewards_until_the_next_one(roomy):
    # Ann: 1 + 2/2 until the next row two steps later; 4 + 8/2, and she has arrived: what she is
    # paid then is not hers, and nothing is bootstrapped. The same again, cut after one step.
    np.testing.assert_array_equal(roomy.reward[:4, 0], [2, 8, 2, 4])
    np.testing.assert_array_equal(roomy.discount[:4, 0], [0.25, 0, 0.25, 0.5])
    # Bob: the reward before his first decision is in no row; after his last one he is paid for
    # three steps, 4 + 8/2 + 16/4, until the time limit, whose observation is bootstrapped.
    np.testing.assert_array_equal(roomy.reward[[0, 1, 3, 4], 1], [2, 12, 2, 4])
    np.testing.assert_array_equal(roomy.discount[[0, 1, 3, 4], 1], [0.5, 0.125, 0.5, 0.5])


def test_advantages_of_these_rows_are_those_of_the_formula(roomy):
    value = jnp.array([[1, 2, 3, 1, 4, 9], [1, 2, 4, 0, 2, 8]], jnp.float32).T
    found = returns.generalised_advantages(
        jnp.asarray(roomy.reward),
        value,
        jnp.asarray(roomy.discount),
        jnp.asarray(roomy.rows.decision[:-1]),
        gae_lambda=LAMBDA,
    )
    # Ann, from the back: 4 + 4/2 - 1 = 5; 2 + 1/4 - 3 + 5/8 = -1/8; 8 - 2 = 6;
    # 2 + 2/4 - 1 + 6/8 = 9/4.
    np.testing.assert_allclose(found[:, 0], [2.25, 6, -0.125, 5, 0])
    # Bob: 4 + 8/2 - 2 = 6; 2 + 2/2 - 0 + 6/4 = 9/2; the time limit; 12 + 4/8 - 2 = 21/2;
    # 2 + 2/2 - 1 + 21/8 = 37/8.
    np.testing.assert_allclose(found[:, 1], [4.625, 10.5, 0, 4.5, 6])


def test_what_finds_no_room_is_bootstrapped_from_once_and_dropped():
    # Room for 3 rows. Ann's fourth is at 2 in the second episode, bob's at 1.
    found, situation = collect(1 / 3)
    np.testing.assert_array_equal(
        found.rows.observation[..., 0], [[0, 11], [2, 12], [0, 15], [2, 11]]
    )
    np.testing.assert_array_equal(found.rows.decision[:-1], [[1, 1], [1, 1], [1, 0]])
    np.testing.assert_array_equal(found.reward[:, 0], [2, 8, 2])
    np.testing.assert_array_equal(found.discount[:, 0], [0.25, 0, 0.25])
    np.testing.assert_array_equal(found.reward[:2, 1], [2, 12])
    # Of 4 decisions each, one of ann's and two of bob's.
    np.testing.assert_allclose(found.dropped, 3 / 8)
    assert int(situation.state[0]) == 3  # the environment went on all the same


def test_room_is_rounded_up_and_at_least_one_row():
    config = settings()
    rooms = {0.01: 1, 1 / 3: 3, 0.4: 4, 0.99: 9}
    for share, room in rooms.items():
        assert decisions.capacity(config, scripted(share).spec) == room
    assert decisions.used(config, scripted(0.99).spec)
    assert not decisions.used(config, scripted(1.0).spec)
    recurrent = settings(network=NetworkConfig(kind="gru", hidden_sizes=(4,)))
    assert not decisions.used(recurrent, scripted(0.4).spec)


def gathered(env: ArrayEnv, config: TrainConfig, expert: Any = None) -> experience.Material:
    """Two rollouts of the same key, one behind the other; the second one."""
    actor = networks.make_actor(config.network, env.spec)
    critic = networks.make_critic(config.network, env.spec)
    learner = Learner(env, config, methods.METHODS["ippo"], actor, critic, expert)

    @jax.jit
    def begin(key: Any) -> Any:
        params = {"actor": actor.init(key), "critic": critic.init(key)}
        return params, rollout.begin(env, actor, key, config.num_envs, expert)

    @jax.jit
    def go_on(params: Any, situation: Any, key: Any) -> Any:
        return experience.gather(learner, params, situation, key)

    key = jax.random.key(4)
    params, situation = begin(key)
    situation, _, _ = go_on(params, situation, key)
    return go_on(params, situation, key)[1]


def by_agent(values: Any, num_envs: int) -> np.ndarray:
    """[1 T*E N] -> [E N T]."""
    return np.moveaxis(np.asarray(values)[0].reshape(-1, num_envs, 2), 0, -1)


def test_monte_carlo_advantages_of_decisions_are_those_of_a_row_for_every_step():
    config = settings(gae_lambda=1.0, num_envs=8, total_steps=8 * STEPS, gamma=0.9)
    dense, sparse = (gathered(scripted(s, latest_start=3), config).batch for s in (1.0, 0.99))
    chosen = [by_agent(batch.decision, 8) for batch in (dense, sparse)]
    np.testing.assert_array_equal(chosen[0].sum(-1), chosen[1].sum(-1))
    assert chosen[0].sum() > 20
    for name in ("advantage", "value", "log_prob", "action"):
        first, second = (
            by_agent(getattr(batch, name), 8)[mask]
            for batch, mask in zip((dense, sparse), chosen, strict=True)
        )
        np.testing.assert_allclose(second, first, rtol=1e-5, atol=1e-5, err_msg=name)


def test_where_every_step_is_a_decision_the_rows_are_those_of_every_step():
    config = settings(num_envs=3, total_steps=60, rollout_steps=20, gamma=0.99, gae_lambda=0.95)
    scenario = line_world.scenario(start=None)
    expert = execution.make_expert(scenario, line_world.all_right())
    env = scenario.env
    nearly = env._replace(spec=env.spec._replace(decision_share=0.999))
    dense, sparse = (gathered(each, config, expert) for each in (env, nearly))
    # What is not valid is never looked at, and an agent's rows are its own.
    mask = np.asarray(dense.batch.valid)
    np.testing.assert_array_equal(sparse.batch.valid, mask)
    for name in ("observation", "action_mask"):
        np.testing.assert_array_equal(getattr(sparse, name), getattr(dense, name))
    for name, values in dense.batch._asdict().items():
        found = np.asarray(getattr(sparse.batch, name))
        np.testing.assert_allclose(found[mask], values[mask], rtol=1e-5, atol=1e-5, err_msg=name)
