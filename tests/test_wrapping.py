"""An environment of one's own becomes an ArrayEnv, or a message says which declaration is wrong."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax.environments import jaxmarl
from leed_jax.interchange import demonstrations_from_policy
from leed_jax.wrapping import wrap


class Steps:
    """JaxMARL's interface: two agents count to ``ends``; overrides say what is wrong with it."""

    max_steps: int | None = 4

    def __init__(self, ends=4, **wrong):
        self.ends, self.wrong = ends, wrong
        self.agents = wrong.get("agents", ["ann", "bob"])
        self.observation_spaces = {agent: SimpleNamespace(shape=(2,)) for agent in self.agents}
        self.action_spaces = {agent: SimpleNamespace(n=3) for agent in self.agents}

    def observation_space(self, agent):
        return self.observation_spaces[agent]

    def action_space(self, agent):
        return self.action_spaces[agent]

    def get_obs(self, state):
        seen = jnp.stack([state["clock"], state["sum"]]).astype(jnp.float32)
        seen = jnp.where((state["clock"] == 3) & self.wrong.get("nan", False), jnp.nan, seen)
        return dict.fromkeys(self.wrong.get("seen", self.agents), seen)

    def reset(self, key):
        del key
        state = {"clock": jnp.array(0), "sum": jnp.array(0)}
        return self.get_obs(state), state

    def step_env(self, key, state, actions):
        del key
        total = sum(actions.values())
        after = {"clock": state["clock"] + 1, "sum": state["sum"] + total}
        after = self.wrong.get("state", lambda state: state)(after)
        reward = self.wrong.get("reward", jnp.float32(1))
        dones = {"__all__": after["clock"] >= self.ends, **self.wrong.get("dones", {})}
        if self.wrong.get("short"):
            return self.get_obs(after), after, dict.fromkeys(self.agents, reward), dones
        return self.get_obs(after), after, dict.fromkeys(self.agents, reward), dones, {}


class Masked(Steps):
    """Bob may not take action 2."""

    size = 3

    def get_avail_actions(self, state):
        mask = jnp.ones(self.size, bool)
        return {"ann": mask, "bob": mask.at[2].set(False)}


def test_names_horizon_and_legal_actions_are_the_environment_s_own():
    env = wrap(Masked())
    assert (env.spec.name, env.spec.horizon, env.spec.agents) == ("Masked", 4, ("ann", "bob"))
    assert wrap(Steps(), check=False, name="my/steps", horizon=7).spec[0::4][:2] == ("my/steps", 7)
    _, step = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(step.action_mask, [[1, 1, 1], [1, 1, 0]])
    demos = demonstrations_from_policy(env, lambda seen: jnp.array([2, 2]), num_episodes=2)
    # bob's first legal action is 0, and nothing to learn from.
    np.testing.assert_array_equal(demos.arrays.action[0, :, :], [[2, 0]] * 4)
    np.testing.assert_array_equal(demos.arrays.valid[0], [[1, 0]] * 4)
    np.testing.assert_array_equal(demos.arrays.observation[0, :, 0, 1], [0, 2, 4, 6])


def test_a_clock_that_is_late_is_found():
    assert wrap(Steps(ends=5)).spec.horizon == 5
    assert wrap(Steps(ends=2)).spec.horizon == 4  # it may have been a termination
    with pytest.raises(
        ValueError, match=r"horizon is 4 steps, but dones\['__all__'\] did not come"
    ):
        wrap(Steps(ends=9))
    with pytest.raises(ValueError, match=r"horizon is 4 steps, but .* came after 5"):
        wrap(Steps(ends=5), horizon=4)


def test_a_registered_environment_needs_nothing_else():
    env = wrap(jaxmarl.load("MPE_simple_v3"))
    # It reads ``done`` before the clock moves: 25 by its own words.
    assert (env.spec.horizon, env.spec.action_sizes) == (26, (5,))
    assert env.spec.name == "SimpleMPE"


CASES = {
    "Steps: agents must be different names, got": {"agents": ["ann", "ann"]},
    r"Steps: observations of reset must have \['ann', 'bob'\], lack \['bob'\]": {"seen": ["ann"]},
    "Steps: the reward of ann must be one number, got the shape": {"reward": jnp.ones(2)},
    "must return .observations, state, rewards, dones, infos., got 4 things": {"short": True},
    r"dones\['__all__'\] must be one bool": {"dones": {"__all__": jnp.float32(0)}},
    r"the state's \['sum'\] is int32\[\] after reset, float32\[\] after step_env": {
        "state": lambda state: {**state, "sum": state["sum"] * 1.0}
    },
    "the state after step_env has other parts": {"state": lambda state: {**state, "more": 1}},
    "Steps: ann observation holds NaN or infinite numbers, step 3": {"nan": True},
    "Steps: ann reward is NaN or infinite, step 0": {"reward": jnp.float32(jnp.inf)},
}


@pytest.mark.parametrize("message", CASES)
def test_what_is_declared_wrongly_is_named(message):
    with pytest.raises(ValueError, match=message):
        wrap(Steps(**CASES[message]))


def test_declared_shapes_are_compared_with_what_comes():
    env = Steps()
    env.observation_spaces["bob"] = SimpleNamespace(shape=(3,))
    with pytest.raises(ValueError, match=r"observation_space of bob has the shape \[3\], reset"):
        wrap(env)
    masked = Masked()
    masked.size = 4
    with pytest.raises(
        ValueError, match=r"legal actions of ann have the shape \[4\], its .* has 3"
    ):
        wrap(masked)


def test_what_is_no_environment_or_has_no_horizon_is_refused():
    with pytest.raises(TypeError, match="it has no agents, reset, step_env"):
        wrap(object(), horizon=3)
    env = Steps()
    env.max_steps = None
    with pytest.raises(ValueError, match="horizon is needed: the environment has none of"):
        wrap(env)
    with pytest.raises(ValueError, match="horizon must be a whole number from 1 on, got 0"):
        wrap(env, horizon=0)
