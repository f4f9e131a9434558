"""Continuous actions through the whole package: a world whose best action is its observation."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import leed_jax as leed
from leed_jax import demonstrations, episodes, execution
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.instructions import AgentPlan, Command, Instruction, Number, Vocabulary
from leed_jax.optimization import evaluation
from leed_jax.scenarios import Controls, Scenario
from leed_jax.types import ArrayEnv, EnvSpec, TimeStep

AGENTS = ("one", "two")
HORIZON = 4
CONFIG = TrainConfig(
    total_steps=1_024,
    num_envs=16,
    rollout_steps=16,
    num_epochs=2,
    num_minibatches=2,
    eval_every_steps=512,
    eval_episodes=8,
    network=NetworkConfig(hidden_sizes=(16,)),
    expert=ExpertConfig(batch_size=16),
)


def array_env() -> ArrayEnv:
    """Agents see a number each and are paid minus the squared distance of their action from it.

    Agent "two" has a second component, which must be 0; agent "one" has only one.
    """
    mask = jnp.array([[True, False], [True, True]])

    def time_step(state: Any, reward: Any) -> TimeStep:
        return TimeStep(
            observation=state[0][:, None],
            reward=reward,
            terminated=jnp.zeros(2, bool),
            truncated=state[1] >= HORIZON,
            action_mask=mask,
            decision=jnp.ones(2, bool),
            global_state=state[0],
        )

    def reset(key: Any) -> Any:
        state = (jax.random.uniform(key, (2,), minval=-1.0), jnp.array(0))
        return state, time_step(state, jnp.zeros(2))

    def step(key: Any, state: Any, action: Any) -> Any:
        wanted = jnp.stack([state[0], jnp.zeros(2)], -1)
        reward = -jnp.where(mask, jnp.square(jnp.clip(action, -1, 1) - wanted), 0).sum(-1)
        after = (jax.random.uniform(key, (2,), minval=-1.0), state[1] + 1)
        return after, time_step(after, reward)

    spec = EnvSpec("toy/follow", AGENTS, (1, 1), (1, 2), HORIZON, continuous=True)
    return ArrayEnv(reset, step, spec)


def scenario() -> Scenario:
    """One command: the observed number times a factor."""

    def follow(target: Any, state: Any, agent: Any) -> Any:
        return jnp.stack([state[0][agent] * target, jnp.zeros(())]), jnp.array(False)

    factor = Number("factor", -1.0, 1.0, 0.5, "what is seen is multiplied by it")
    return Scenario(
        name="toy/follow",
        options={},
        env=array_env(),
        vocabulary=Vocabulary(AGENTS, (Command("Follow", "act", (factor,)),), (), HORIZON),
        task="Follow.",
        describe=lambda state: "A number each.",
        controls=Controls(
            init=lambda state: (),
            resolve=lambda state, program, memory: (
                factor.decode(program.arguments[:, 0].astype(jnp.float32)),
                memory,
            ),
            controllers=(follow,),
        ),
        advice={"learnable": "Be exact.", "return": "Be exact."},
        feedback=lambda states, targets: dict.fromkeys(AGENTS, "done"),
        draw=lambda axes, state, targets: None,
    )


def plan(factor: float) -> Any:
    return dict.fromkeys(AGENTS, AgentPlan((Instruction("Follow", {"factor": factor}),)))


@pytest.fixture(scope="module")
def demos():
    return execution.demonstrate(scenario(), plan(1.0), num_episodes=64)


def test_a_plan_acts_and_its_demonstrations_hold_the_components(demos):
    assert demos.arrays.action.shape == (64, HORIZON, 2, 2)
    np.testing.assert_allclose(demos.arrays.action[..., 0], demos.arrays.observation[..., 0])
    np.testing.assert_allclose(demos.team_returns, 0, atol=1e-6)
    assert "2 action components" in str(demos)


def test_they_come_back_from_a_file_as_they_were(demos, tmp_path):
    demos.save(tmp_path / "demos.npz")
    again = demonstrations.load(tmp_path / "demos.npz")
    np.testing.assert_array_equal(again.arrays.action, demos.arrays.action)
    assert again.spec == demos.spec


def test_actions_that_are_not_finite_are_not_executed():
    step = scenario().env.reset(jax.random.key(0))[1]
    action = jnp.array([[jnp.nan, 0.0], [0.5, 0.25]])
    np.testing.assert_array_equal(step.allows(action), [False, True])
    np.testing.assert_allclose(step.legal(action), [[0, 0], [0.5, 0.25]])


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("mlp", "both"),
        pytest.param("mlp", "demonstrations", marks=pytest.mark.slow),
        pytest.param("gru", "both", marks=pytest.mark.slow),
        pytest.param("gru", "demonstrations", marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_network_learns_from_every_kind_of_label(demos, kind, labels):
    config = CONFIG.replace(
        network=NetworkConfig(kind=kind, hidden_sizes=(16,)),
        expert=ExpertConfig(batch_size=16, labels=labels),
    )
    expert = execution.make_expert(scenario(), plan(1.0))
    result = leed.train(scenario(), demos, config, method="leed", seeds=2, expert=expert)
    random = episodes.run(
        array_env(),
        episodes.random_policy(continuous=True),
        evaluation.evaluation_keys(0, 64),
    )
    assert np.isfinite(result.final()).all() and not result.diverged
    assert result.final().min() > float(random.returns.sum(-1).mean())


def test_imitation_alone_comes_close_to_its_demonstrations(demos):
    config = CONFIG.replace(total_steps=8 * 1024, eval_every_steps=8 * 1024, learning_rate=1e-2)
    result = leed.train(scenario(), demos, config, method="bc", seeds=1)
    # A constant action of 0 is paid minus the variance of what is seen: 2 agents * 4 steps / 3.
    assert result.final()[0] > -0.3 * 8 / 3


def test_decision_rows_hold_components_too(demos):
    env = array_env()
    sparse = env._replace(spec=env.spec._replace(decision_share=0.9))
    result = leed.train(sparse, demos, CONFIG, method="leed", seeds=1)
    assert np.isfinite(result.final()).all()
