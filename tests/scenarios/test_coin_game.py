"""coin_game is JaxMARL's inner episode, its words mean what they say, and plans can be good."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import execution, instructions, scenarios
from leed_jax.environments import jaxmarl
from leed_jax.instructions import AgentPlan, Instruction, Plan
from leed_jax.scenarios import Program
from leed_jax.scenarios.coin_game import controls
from leed_jax.scenarios.coin_game.game import AGENTS

SCENARIO = scenarios.make("coin_game/3x3")
reset = jax.jit(SCENARIO.env.reset)
step = jax.jit(SCENARIO.env.step)
RIGHT, LEFT, _, UP, STAY = range(5)  # column + 1, column - 1, row + 1, row - 1


def state_of(red: Any, blue: Any, red_coin: Any, blue_coin: Any) -> Any:
    """A state with these cells."""
    cells = [jnp.array(cell, jnp.int32) for cell in (red, blue, red_coin, blue_coin)]
    names = ("red_pos", "blue_pos", "red_coin_pos", "blue_coin_pos")
    return reset(jax.random.key(0))[0].replace(**dict(zip(names, cells, strict=True)))


def plan_of(command: str, **arguments: str) -> Plan:
    """The same single instruction for both."""
    todo = AgentPlan((Instruction(command, arguments),))
    return dict.fromkeys(AGENTS, todo)


@functools.cache
def executed(coin: str, second_coin: str) -> execution.Executed:
    """512 episodes in which both collect."""
    plan = plan_of("Collect", coin=coin, second_coin=second_coin)
    return execution.execute(SCENARIO, [plan], jax.random.split(jax.random.key(0), 512))


@jax.jit
def label(rows: Any, valid: Any, state: Any) -> Any:
    guide = execution.expert(SCENARIO, rows, valid)
    return guide.label(state, guide.init(state))[0]


def labelled(plan: Plan, state: Any) -> list[int]:
    """What both do in ``state``."""
    encoded = instructions.encode([plan], SCENARIO.vocabulary)
    return np.asarray(label(*(jnp.asarray(part[0]) for part in encoded), state)).tolist()


# ------------------------------------------------------------------------ the environment


@pytest.mark.parametrize("egocentric", [False, True])
def test_observations_rewards_and_motion_are_jaxmarls(egocentric):
    game = jaxmarl.load("coin_game", num_inner_steps=30, egocentric=egocentric)
    env = scenarios.make("coin_game/3x3", egocentric=egocentric).env
    theirs, ours = jax.jit(game.step_env), jax.jit(env.step)
    state, first = jax.jit(env.reset)(jax.random.key(0))
    observation, other = game.reset(jax.random.key(0))
    paid = 0.0
    for index in range(10):
        for n in range(2):
            np.testing.assert_array_equal(first.observation[n], observation[f"{n}"])
        key = jax.random.key(index)
        action = jax.random.randint(key, (2,), 0, 5)
        observation, other, reward, _, _ = theirs(key, other, {"0": action[0], "1": action[1]})
        state, first = ours(key, state, action)
        np.testing.assert_array_equal(first.reward, [reward["0"], reward["1"]])
        np.testing.assert_array_equal(state.red_pos, other.red_pos)
        paid += float(abs(first.reward).sum())
    assert paid > 0


def test_different_keys_give_different_starts_and_the_same_key_the_same():
    keys = jnp.concatenate([jax.random.split(jax.random.key(0), 64), jax.random.key(0)[None]])
    states, _ = jax.jit(jax.vmap(SCENARIO.env.reset))(keys)
    cells = np.concatenate(
        [states.red_pos, states.blue_pos, states.red_coin_pos, states.blue_coin_pos], axis=1
    )
    assert len(np.unique(cells, axis=0)) > 55  # of 9**4 = 6561
    np.testing.assert_array_equal(reset(keys[3])[0].red_pos, states.red_pos[3])


def test_an_episode_is_one_inner_episode_and_ends_by_the_time_limit_alone():
    # Red stands on its coin's cell until the last step, and blue on no coin.
    state = state_of([0, 0], [1, 1], [0, 1], [2, 2])
    for index in range(9):
        state, now = step(jax.random.key(index), state, jnp.array([STAY, STAY]))
        assert not now.over and float(abs(now.reward).max()) == 0
    state, now = step(jax.random.key(9), state, jnp.array([RIGHT, STAY]))
    assert bool(now.truncated) and not now.terminated.any()
    # The last step pays, and what is seen is where it led, not a new start.
    np.testing.assert_array_equal(now.reward, [1, 0])
    np.testing.assert_array_equal(state.red_pos, [0, 1])
    assert now.observation[0].reshape(3, 3, 4)[0, 1, 0] == 1
    np.testing.assert_array_equal(np.asarray(executed("own", "go_around").episodes.length), 10)


def test_points_are_jaxmarls_also_where_both_take_the_same_coin():
    # Red steps on blue's coin: +1 for red, -2 for blue.
    _, now = step(
        jax.random.key(0), state_of([0, 0], [1, 1], [2, 2], [0, 1]), jnp.array([RIGHT, STAY])
    )
    np.testing.assert_array_equal(now.reward, [1, -2])
    # Both step on red's coin: red +1 - 2, blue +1; they may share the cell.
    state, now = step(
        jax.random.key(0), state_of([0, 0], [0, 2], [0, 1], [2, 2]), jnp.array([RIGHT, LEFT])
    )
    np.testing.assert_array_equal(now.reward, [-1, 1])
    np.testing.assert_array_equal(state.red_pos, state.blue_pos)


def test_options_change_what_is_paid_and_the_plans_worth_does_not_depend_on_who_is_paid():
    shared = scenarios.make("coin_game/3x3", shared_rewards=True)
    state = state_of([0, 0], [1, 1], [2, 2], [0, 1])
    _, now = jax.jit(shared.env.step)(jax.random.key(0), state, jnp.array([RIGHT, STAY]))
    np.testing.assert_array_equal(now.reward, [-1, -1])
    plan = plan_of("Collect", coin="own", second_coin="go_around")
    keys = jax.random.split(jax.random.key(0), 512)
    episodes = execution.execute(shared, [plan], keys).episodes
    alone = executed("own", "go_around").episodes
    assert shared.judge is not None and SCENARIO.judge is not None
    np.testing.assert_allclose(shared.judge(episodes).score, SCENARIO.judge(alone).score)
    np.testing.assert_allclose(SCENARIO.judge(alone).score, np.asarray(alone.returns).sum(-1))
    assert shared.prompt_options == SCENARIO.prompt_options

    generous = scenarios.make("coin_game/3x3", payoff_matrix=[[2, 0, -1], [0, 2, -1]])
    _, now = jax.jit(generous.env.step)(jax.random.key(0), state, jnp.array([RIGHT, STAY]))
    np.testing.assert_array_equal(now.reward, [0, -1])
    assert "red gets +2 for taking a red coin and +0 for taking a blue one" in generous.task


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_inner_steps must be 1 to 127"):
        scenarios.make("coin_game/3x3", num_inner_steps=128)
    with pytest.raises(ValueError, match="payoff_matrix must be two rows"):
        scenarios.make("coin_game/3x3", payoff_matrix=[[1, 1], [1, 1]])
    with pytest.raises(ValueError, match="nearest: coin_game/3x3"):
        scenarios.make("coin_game/coin_game")


# ----------------------------------------------------------------------------- the words


def test_the_way_goes_over_the_edge_and_round_the_second_coin():
    # Red at (0, 0), its coin at (2, 2): one column left and one row up, over both edges. Blue's
    # coin lies at (0, 2), on the way that changes the column first.
    state = state_of([0, 0], [1, 1], [2, 2], [0, 2])
    for second, expected in (("ignore", LEFT), ("go_around", UP), ("never_take", UP)):
        assert labelled(plan_of("Collect", coin="own", second_coin=second), state)[0] == expected


def test_where_both_coins_lie_on_one_cell_only_never_take_waits():
    state = state_of([0, 0], [1, 1], [0, 1], [0, 1])
    for second, expected in (("ignore", RIGHT), ("go_around", RIGHT), ("never_take", STAY)):
        assert labelled(plan_of("Collect", coin="own", second_coin=second), state)[0] == expected
    # On the coins' own cell waiting would take them: it steps off.
    state = state_of([0, 1], [1, 1], [0, 1], [0, 1])
    assert labelled(plan_of("Collect", coin="own", second_coin="never_take"), state)[0] != STAY


def test_which_coin_is_meant():
    # Red is 1 step from blue's coin and 2 from its own; blue 1 from each.
    state = state_of([0, 0], [1, 2], [1, 1], [0, 2])
    for coin, expected in (("own", [RIGHT, UP]), ("other", [LEFT, LEFT]), ("nearest", [LEFT, UP])):
        assert labelled(plan_of("Collect", coin=coin, second_coin="ignore"), state) == expected


def test_hold_steps_aside_only_for_the_coins_it_is_told():
    state = state_of([0, 0], [1, 1], [0, 0], [1, 1])  # each on its own coin
    for leave, stays in (("no_coin", True), ("own", False), ("other", True), ("both", False)):
        actions = labelled(plan_of("Hold", leave_for=leave), state)
        assert [action == STAY for action in actions] == [stays, stays], leave


def test_collect_is_finished_with_the_step_onto_the_coin():
    todo = AgentPlan(
        (
            Instruction("Collect", {"coin": "own", "second_coin": "ignore"}),
            Instruction("Hold", {"leave_for": "no_coin"}),
        )
    )
    guide = execution.make_expert(SCENARIO, dict.fromkeys(AGENTS, todo))
    # Red needs two steps, blue one.
    state = state_of([0, 0], [1, 0], [1, 1], [2, 0])
    _, memory = guide.label(state, guide.init(state))
    np.testing.assert_array_equal(memory.counter, [0, 1])


def test_conditions_on_states_worked_by_hand():
    held = dict(
        zip(
            [condition.name for condition in SCENARIO.vocabulary.conditions],
            SCENARIO.controls.conditions,
            strict=True,
        )
    )
    # Blue (0, 1) is on red's coin, red 1 step from it; red is 2 from blue's coin (1, 1), blue 1.
    state = state_of([0, 0], [0, 1], [0, 1], [1, 1])
    target, _ = controls.resolve(
        state, Program(jnp.zeros(2, int), jnp.zeros((2, 2), int), jnp.ones(2, bool)), ()
    )
    expected = {
        "other_took_mine_last": [False, False],
        "other_took_its_own_last": [False, False],
        "other_nearer_to_my_coin": [True, False],
        "other_coin_nearer": [False, True],
        "coins_together": [False, False],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(held[name](state, target), values, err_msg=name)
    # Blue stays and takes red's coin; after that red knows, and blue has nothing to say of red.
    state, _ = step(jax.random.key(0), state, jnp.array([STAY, STAY]))
    np.testing.assert_array_equal(held["other_took_mine_last"](state, target), [True, False])
    np.testing.assert_array_equal(held["other_took_its_own_last"](state, target), [False, False])


def test_measures_count_coins_by_whose_they_are():
    values = {measure.name: measure.read for measure in SCENARIO.env.measures}
    state = state_of([0, 0], [1, 1], [0, 0], [1, 2])
    assert float(values["own_coin_share"](state)) == 0
    state, _ = step(jax.random.key(0), state, jnp.array([STAY, STAY]))  # red its own
    state = state.replace(blue_pos=state.red_coin_pos)
    state = state.replace(blue_coin_pos=(state.red_coin_pos + 1) % 3, red_pos=jnp.array([2, 0]))
    state = state.replace(red_coin_pos=state.blue_pos)
    before = float(values["coins_taken"](state))
    state, _ = step(jax.random.key(1), state, jnp.array([STAY, STAY]))  # blue red's
    taken = float(values["coins_taken"](state))
    assert (before, taken) == (1, 2)
    assert float(values["own_coin_share"](state)) == 0.5


# -------------------------------------------------------------------------- what it is worth


def test_the_instruction_decides_what_the_team_gets():
    # Measured: 11.9, 4.5 and -11.0, standard error 0.1; random plans give 0.8.
    worth = {
        args: np.asarray(executed(*args).episodes.returns).sum(-1).mean()
        for args in (("own", "go_around"), ("nearest", "ignore"), ("other", "ignore"))
    }
    assert worth["own", "go_around"] > 11
    assert 3 < worth["nearest", "ignore"] < 6
    assert worth["other", "ignore"] < -10
    assert np.asarray(executed("own", "go_around").episodes.record.legal).all()
    assert np.mean(executed("own", "go_around").episodes.measures["own_coin_share"]) > 0.85


def test_feedback_reports_what_happened():
    record = executed("other", "ignore").episodes.record
    told = SCENARIO.feedback(record.state, record.memory.targets)
    own = np.asarray(record.state.red_coop)[:, -1].sum(-1).mean()
    lost = np.asarray(record.state.blue_defect)[:, -1].sum(-1).mean()
    assert f"took {own:.1f} coins of its own colour" in told["red"]
    assert f"the other took {lost:.1f} of its colour" in told["red"]
