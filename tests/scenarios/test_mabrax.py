"""mabrax is JaxMARL's, and joints are driven as they are told; all but names needs brax."""

import functools
import importlib.util
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import episodes, execution, scenarios
from leed_jax.environments import jaxmarl
from leed_jax.instructions import AgentPlan, Instruction, Number
from leed_jax.scenarios import Program, mabrax
from leed_jax.scenarios.mabrax import words

HAS_BRAX = importlib.util.find_spec("brax") is not None
needs_brax = pytest.mark.skipif(not HAS_BRAX, reason="brax is not installed")
STEPS = 60
CHEETAH = "mabrax/halfcheetah_6x1"


@functools.cache
def scenario() -> scenarios.Scenario:
    return scenarios.make(CHEETAH, max_steps=STEPS)


def test_names_are_listed_with_or_without_brax():
    assert set(mabrax.NAMES) <= set(scenarios.names())
    assert CHEETAH in mabrax.NAMES and "mabrax/humanoid_9|8" in mabrax.NAMES


@pytest.mark.parametrize("name", mabrax.NAMES)
def test_without_brax_the_error_says_how_to_install_it(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    wanted = f"{name} needs brax, which is not installed: {mabrax.INSTALL}"
    with pytest.raises(ImportError, match=re.escape(wanted)):
        scenarios.make(name)


def test_episodes_without_steps_are_refused():
    with pytest.raises(ValueError, match="max_steps must be at least 1, got 0"):
        scenarios.make(CHEETAH, max_steps=0)


@needs_brax
@pytest.mark.filterwarnings("ignore")  # brax, on import
@pytest.mark.parametrize("name", mabrax.NAMES)
def test_the_words_name_the_joints_of_the_model(name):
    body = words.BODIES[name.partition("/")[2]]
    model = jaxmarl.load(name.partition("/")[2]).sys.mj_model
    known = [model.joint(model.actuator(i).trnid[0]).name for i in range(model.nu)]
    assert body.joints.split() == [joint.removesuffix("_joint") for joint in known]
    task = scenarios.make(name).task
    assert sorted(re.findall(r"joint_\d is (\w+) \(", task)) == sorted(body.joints.split())


@needs_brax
@pytest.mark.usefixtures("strict_dtypes")
def test_swings_and_holds_are_those_of_the_formula():
    with jax.numpy_dtype_promotion("standard"):
        state, _ = jax.jit(scenario().env.reset)(jax.random.key(0))
    state = state.replace(info=state.info | {"steps": jnp.array(5.0)})
    parameters = scenario().vocabulary.commands[words.SWING].parameters

    def codes(**values: float) -> list[int]:
        numbers = [parameter for parameter in parameters if isinstance(parameter, Number)]
        return [number.encode(values[number.name]) for number in numbers]

    swing = codes(period=20, stiffness=2, damping=0.1, angle_0=10, swing_0=40, phase_0=0)
    hold = [1, 4, 3, 0, 0, 0]  # 1 per radian, 0.2 per rad/s, 15 degrees above the lowest
    rows = jnp.array([swing, hold, [0] * 6, *[swing] * 3])
    op = jnp.array([words.SWING, words.HOLD, words.RELAX, *[words.SWING] * 3])
    target, _ = scenario().controls.resolve(state, Program(op, rows, jnp.ones(6, bool)), ())
    # A quarter of the period has passed: 10 + 40 * sin(90 degrees) = 50.
    lowest = -70  # fshin reaches -69
    np.testing.assert_allclose(np.degrees(target.angle[:2, 0]), [50, lowest + 15], rtol=1e-4)
    np.testing.assert_allclose(target.stiffness[:3], [2, 1, 0])
    np.testing.assert_allclose(target.damping[:3], [0.1, 0.2, 0], rtol=1e-5)
    mine = jax.tree.map(lambda values: values[1], target)
    effort, finished = scenario().controls.controllers[0](mine, state, jnp.array(1))
    # The second agent's joint is bshin, fifth in q and in qd after the root's three.
    off = target.angle[1, 0] - state.pipeline_state.q[4]
    expected = off - 0.2 * state.pipeline_state.qd[4]
    np.testing.assert_allclose(effort[0], np.clip(expected, -1, 1), rtol=1e-4)
    assert not finished


@needs_brax
def test_a_gait_runs_further_than_random_efforts_and_the_time_limit_is_no_fall():
    middle = (-10, -5, 30, -10, -30, -10)
    swings = (40, 35, 20, 40, 10, 35)
    phases = (0.2, 0.6, 0.35, 0.15, 0, 0.05)
    plan: Any = {}
    gait = {"period": 26, "stiffness": 1, "damping": 0}
    for agent, a, b, c in zip(scenario().env.spec.agents, middle, swings, phases, strict=True):
        joint = {"angle_0": a, "swing_0": b, "phase_0": c}
        plan[agent] = AgentPlan((Instruction("Swing", gait | joint),))
    keys = jax.random.split(jax.random.key(0), 4)
    ran = execution.execute(scenario(), [plan], keys)
    guess = episodes.random_policy(continuous=True)
    random = jax.jit(lambda keys: episodes.run(scenario().env, guess, keys))(keys)
    came = [float(np.mean(run.measures["distance"])) for run in (ran.episodes, random)]
    assert came[0] > came[1] + 0.5, came
    np.testing.assert_array_equal(ran.episodes.length, STEPS)
    assert float(np.mean(ran.episodes.measures["fallen"])) == 0
    states, targets = ran.episodes.record.state, ran.episodes.record.memory.targets
    told = scenario().feedback(states, targets)
    assert "ended early in 0% of the episodes, after 60 steps" in told["agent_0"]
    assert "bthigh from" in told["agent_0"]
