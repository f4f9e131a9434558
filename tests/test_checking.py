"""What is wrong with an environment or scenario of one's own is said with both sides."""

import importlib.util
from pathlib import Path

import jax.numpy as jnp
import pytest

import leed_jax as leed

DEMO = Path(__file__).parents[1] / "demos" / "own_scenario.py"


@pytest.fixture(scope="module")
def own():
    found = importlib.util.spec_from_file_location("own_scenario", DEMO)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def stepping(env, **fields):
    """The environment whose steps have other fields, each a function of the right one."""

    def step(key, state, action):
        state, time_step = env.step(key, state, action)
        changed = {name: change(getattr(time_step, name)) for name, change in fields.items()}
        return state, time_step._replace(**changed)

    return env._replace(step=step)


def test_what_is_right_passes(own):
    leed.check(own.SCENARIO)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"observation_sizes": (21, 21)}, r"observation of reset must be float\[2, 21\]"),
        ({"action_sizes": (4, 4)}, r"action_mask of reset must be bool\[2, 4\]"),
        ({"agents": ("a", "b", "c")}, "as long as each other, got 3, 2 and 2"),
        ({"horizon": 10}, "horizon is 10 steps, but an end of the episode did not come within 12"),
    ],
)
def test_declarations_that_are_wrong(own, declared, message):
    with pytest.raises(ValueError, match=message):
        leed.check(own.ENV._replace(spec=own.SPEC._replace(**declared)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reward": lambda x: x.astype(int)}, r"reward of step must be float\[2\]"),
        ({"truncated": lambda x: x[None]}, r"truncated of step must be bool\[\]"),
        ({"global_state": lambda x: x[None]}, "global_state of step must have one axis"),
        ({"reward": lambda x: x * jnp.nan}, "reward is NaN or infinite"),
    ],
)
def test_steps_that_are_wrong(own, fields, message):
    with pytest.raises(ValueError, match=message):
        leed.check(stepping(own.ENV, **fields))


def test_words_that_do_not_belong_to_the_environment(own):
    controls = own.SCENARIO.controls
    others = own.VOCABULARY._replace(agents=("ann", "bob"))
    with pytest.raises(ValueError, match=r"vocabulary's agents are \['ann', 'bob'\]"):
        leed.check(own.SCENARIO._replace(vocabulary=others))
    more = controls._replace(controllers=controls.controllers * 2)
    count = len(controls.controllers)
    with pytest.raises(ValueError, match=f"{2 * count} controllers, the vocabulary has {count}"):
        leed.check(own.SCENARIO._replace(controls=more))
    flat = controls._replace(resolve=lambda state, program, memory: (jnp.zeros(()), memory))
    with pytest.raises(ValueError, match="begin with the 2 agents, the target has the shape"):
        leed.check(own.SCENARIO._replace(controls=flat))
