"""A JaxMARL environment becomes arrays: padded, masked, and without a word on the screen."""

import sys
from types import SimpleNamespace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax.environments import jaxmarl

KEY = jax.random.key(0)


class Game:
    """Two unlike agents with JaxMARL's interface; the state counts the steps."""

    agents = ("cat", "mouse")

    def __init__(self, **spaces: Any) -> None:
        self.spaces = {"cat": SimpleNamespace(n=3), "mouse": SimpleNamespace(n=2)} | spaces

    def action_space(self, agent: str) -> Any:
        return self.spaces[agent]

    def observe(self, state: Any) -> dict[str, Any]:
        seen = state.astype(jnp.float32)
        # Also something that belongs to no agent, as SMAX's world_state.
        return {"cat": jnp.full((2, 2), seen), "mouse": jnp.full(3, -seen), "world_state": seen}

    def reset(self, key: Any) -> Any:
        return self.observe(jnp.array(0)), jnp.array(0)

    def step_env(self, key: Any, state: Any, actions: dict[str, Any]) -> Any:
        state = state + 1
        # An integer reward, as in tag; done at 3, as a time limit.
        rewards = {"cat": actions["cat"], "mouse": -1.5 * actions["mouse"]}
        done = state >= 3
        return self.observe(state), state, rewards, {"__all__": done, "cat": done}, {}


def array_env(game: Any = None, **options: Any) -> Any:
    return jaxmarl.as_array_env(game or Game(), name="toy/chase", horizon=3, **options)


def test_sizes_are_read_off_the_environment_and_padded_to_the_largest():
    env = array_env()
    assert env.spec.agents == ("cat", "mouse")
    assert env.spec.observation_sizes == (4, 3) and env.spec.action_sizes == (3, 2)
    state, step = env.reset(KEY)
    state, step = env.step(KEY, state, jnp.array([2, 1]))
    np.testing.assert_array_equal(step.observation, [[1, 1, 1, 1], [-1, -1, -1, 0]])
    np.testing.assert_array_equal(step.action_mask, [[1, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(step.reward, [2, -1.5])
    assert step.reward.dtype == jnp.float32
    np.testing.assert_array_equal(step.global_state, [1, 1, 1, 1, -1, -1, -1, 0])


def test_the_global_state_is_what_the_environment_calls_so_where_it_is_said():
    env = array_env(global_state=lambda observation: observation["world_state"])
    state, step = env.reset(KEY)
    _, later = env.step(KEY, state, jnp.array([2, 1]))
    np.testing.assert_array_equal([step.global_state, later.global_state], [[0], [1]])
    assert later.global_state.dtype == jnp.float32


def play(env: Any, steps: int) -> Any:
    state, step = env.reset(KEY)
    for _ in range(steps):
        state, step = env.step(KEY, state, jnp.array([0, 0]))
    return step


def test_done_without_a_reason_is_the_time_limit():
    for steps, expected in ((2, False), (3, True)):
        step = play(array_env(), steps)
        assert bool(step.truncated) is bool(step.over) is expected
        assert not step.terminated.any()


def test_done_with_everyone_terminated_is_no_time_limit():
    step = play(array_env(terminated=lambda state: state >= 3), 3)
    assert step.terminated.all() and not step.truncated and step.over


def test_one_terminated_agent_does_not_end_the_episode():
    env = array_env(terminated=lambda state: jnp.array([state >= 1, False]))
    step = play(env, 1)
    np.testing.assert_array_equal(step.terminated, [True, False])
    assert not step.over


def test_legal_actions_of_the_game_never_reach_into_the_padding():
    def legal(state: Any) -> dict[str, Any]:
        return {"cat": jnp.array([0, 1, 1]), "mouse": jnp.array([1, 0])}

    _, step = array_env(action_mask=legal).reset(KEY)
    np.testing.assert_array_equal(step.action_mask, [[0, 1, 1], [1, 0, 0]])


def box(size: int, low: Any, high: Any) -> Any:
    return SimpleNamespace(shape=(size,), low=low, high=high)


def test_a_mixture_of_kinds_of_actions_is_refused_and_the_agent_is_named():
    for space in (box(2, 0.0, 1.0), box(2, 0.0, np.inf), SimpleNamespace(shape=())):
        game = Game(mouse=space)
        with pytest.raises(TypeError, match="toy/chase: all agents must have discrete actions"):
            array_env(game)


def test_continuous_actions_are_scaled_to_the_bounds_and_clipped():
    spaces = [box(1, -2.0, 2.0), box(2, np.array([0.0, 10.0]), np.array([1.0, 20.0]))]
    scaled, sizes = jaxmarl._actions("toy/chase", ("cat", "mouse"), spaces)
    assert sizes == (1, 2)
    asked = scaled(jnp.array([[0.5, 9.0], [-3.0, 0.0]]))
    np.testing.assert_allclose(asked["cat"], [1.0])
    np.testing.assert_allclose(asked["mouse"], [0.0, 15.0])


def test_what_jaxmarl_prints_while_it_is_imported_is_kept_off_the_screen(
    tmp_path, monkeypatch, capsys
):
    # As jaxmarl 0.2.0: a module of its own undoes a redirection before the lines are printed.
    (tmp_path / "jaxmarl.py").write_text(
        "import sys\n"
        "sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__\n"
        "print('Importing submoduled environments...')\n"
        "print('not found', file=sys.stderr)\n"
        "def make(name, **options):\n"
        "    print('made')\n"
        "    return name, options\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    # What the redirection is undone to is here what capsys watches.
    monkeypatch.setattr(sys, "__stdout__", sys.stdout)
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    with mock.patch.dict(sys.modules):
        sys.modules.pop("jaxmarl", None)
        assert jaxmarl.load("some_game", num_agents=2) == ("some_game", {"num_agents": 2})
    assert capsys.readouterr() == ("made\n", "")
