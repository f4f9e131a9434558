"""The riddle is JaxMARL's, its rules count what they say, and a known protocol wins when it can."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import execution, scenarios
from leed_jax.environments import jaxmarl
from leed_jax.instructions import AgentPlan, Instruction
from leed_jax.scenarios import EVERYONE, switch_riddle
from leed_jax.scenarios.switch_riddle.controls import Remembered
from leed_jax.scenarios.switch_riddle.game import NOTHING, SWITCH, TELL

SCENARIO = switch_riddle.make("switch_riddle/prisoners")
AGENTS = SCENARIO.env.spec.agents
DAYS = 6
reset, step = jax.jit(SCENARIO.env.reset), jax.jit(SCENARIO.env.step)


def rule(
    name: str,
    light: str = "any",
    *,
    visit: tuple[int, int] = (1, DAYS),
    switches: tuple[int, int] = (0, DAYS),
    day: tuple[int, int] = (1, DAYS),
) -> Instruction:
    return Instruction(
        name,
        {
            "light": light,
            "min_visit": visit[0],
            "max_visit": visit[1],
            "min_switches": switches[0],
            "max_switches": switches[1],
            "first_day": day[0],
            "last_day": day[1],
        },
    )


# Three prisoners: the first to come switches on, the second off, the third knows and tells.
RELAY = AgentPlan(
    (
        rule("Switch", day=(1, 1)),
        rule("Switch", "on", visit=(1, 1)),
        rule("Tell", "off", visit=(1, 1)),
    )
)
# The counting protocol: agent_0 counts the others, each of whom switches on once.
COUNT = AgentPlan((rule("Tell", "on", switches=(1, DAYS)), rule("Switch", "on")))
COUNTED = AgentPlan((rule("Switch", "off", switches=(0, 0)),))
AT_LAST = AgentPlan((rule("Tell", day=(DAYS, DAYS)),))


@functools.cache
def executed() -> execution.Executed:
    """512 episodes each of the relay, of counting, and of telling on the last day."""
    plans = [
        dict.fromkeys(AGENTS, RELAY),
        {"agent_0": COUNT, "agent_1": COUNTED, "agent_2": COUNTED},
        dict.fromkeys(AGENTS, AT_LAST),
    ]
    keys = jax.random.split(jax.random.key(0), 1536)
    return execution.execute(SCENARIO, plans, keys, np.arange(1536) // 512)


def test_observations_rewards_and_days_are_jaxmarls():
    game = jaxmarl.load("switch_riddle", num_agents=3)
    state, now = reset(jax.random.key(0))
    for day in range(DAYS):
        inside = int(state.game.agent_in_room)
        assert now.decision.tolist() == [n == inside for n in range(3)]
        assert now.action_mask.sum(1).tolist() == [3 if n == inside else 1 for n in range(3)]
        action = jnp.full(3, NOTHING).at[inside].set(SWITCH)
        key = jax.random.key(day)
        seen, _, paid, done, _ = game.step_env(
            key, state.game, dict(zip(AGENTS, action, strict=True))
        )
        state, now = step(key, state, action)
        for n, agent in enumerate(AGENTS):
            np.testing.assert_array_equal(seen[agent], now.observation[n])
            assert paid[agent] == now.reward[n]
        assert bool(done["__all__"]) == bool(now.over) == (day == DAYS - 1)
    assert now.truncated and not now.terminated.any(), "nobody told: it was the time limit"


def test_telling_terminates_and_is_right_or_wrong():
    start, _ = reset(jax.random.key(0))
    inside = int(start.game.agent_in_room)
    action = jnp.full(3, NOTHING).at[inside].set(TELL)
    for been, reward in (((0, 0, 0), -1.0), ((1, 1, 1), 1.0)):
        # On the last day too it is the word that ends the riddle.
        game = start.game.replace(has_been=jnp.array(been), step=DAYS - 1)
        state, now = step(jax.random.key(0), start._replace(game=game), action)
        assert now.terminated.all() and not now.truncated
        assert now.reward.tolist() == [reward] * 3
        freed, killed, _ = (float(measure.read(state)) for measure in SCENARIO.env.measures)
        assert (freed, killed) == (reward > 0, reward < 0)


def test_the_relay_wins_whenever_all_came_in_time_and_counting_seldom_does():
    ran = executed().episodes
    results = {name: np.asarray(values).reshape(3, 512) for name, values in ran.measures.items()}
    freed, there = results["freed"], results["all_were_there"]
    # All three among six draws: 540 of 729 ways (6 draws onto 3), 0.741.
    np.testing.assert_array_equal(freed[0], there[0])
    assert freed[0].mean() == pytest.approx(540 / 729, abs=0.06)
    assert results["executed"][:2].max() == 0
    assert 0.05 < freed[1].mean() < 0.3
    # Telling on the last day wins as often, and loses all the rest.
    assert results["executed"][2].mean() == pytest.approx(1 - 540 / 729, abs=0.06)
    valid = np.asarray(ran.valid)
    assert np.asarray(ran.record.legal)[valid].all()


def test_a_prisoners_counts_are_its_own_visits_and_switches():
    record = executed().episodes.record
    room, action = np.asarray(record.state.game.agent_in_room), np.asarray(record.action)
    memory = record.memory.scenario
    for n in range(3):
        inside = (room == n).cumsum(1)
        np.testing.assert_array_equal(np.asarray(memory.visits)[:, :, n], inside)
        switched = (action[:, :, n] == SWITCH).cumsum(1)
        np.testing.assert_array_equal(np.asarray(memory.switches)[:, :, n], switched)


@pytest.mark.usefixtures("strict_promotion")
def test_every_parameter_of_a_rule_has_its_say():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        state, _ = reset(jax.random.key(0))
    inside = int(state.game.agent_in_room)
    state = state._replace(game=state.game.replace(bulb_state=jnp.array(True), step=jnp.array(2)))
    memory = Remembered(jnp.full(3, 1), jnp.full(3, 1))  # second visit, day 3
    for told, expected in (
        (rule("Tell"), TELL),
        (rule("Tell", "on"), TELL),
        (rule("Tell", "off"), NOTHING),
        (rule("Tell", visit=(2, 2)), TELL),
        (rule("Tell", visit=(3, 6)), NOTHING),
        (rule("Tell", visit=(1, 1)), NOTHING),
        (rule("Tell", switches=(1, 1)), TELL),
        (rule("Tell", switches=(2, 6)), NOTHING),
        (rule("Tell", switches=(0, 0)), NOTHING),
        (rule("Tell", day=(3, 3)), TELL),
        (rule("Tell", day=(4, 6)), NOTHING),
        (rule("Tell", day=(1, 2)), NOTHING),
    ):
        guide = execution.make_expert(SCENARIO, dict.fromkeys(AGENTS, AgentPlan((told,))))
        action, _ = guide.label(state, guide.init(state)._replace(scenario=memory))
        assert action.tolist() == [expected if n == inside else NOTHING for n in range(3)], told


def test_feedback_counts_visits_switches_and_words():
    done = executed()
    record = jax.tree.map(lambda leaf: np.asarray(leaf)[:512], done.episodes.record)
    length = np.asarray(done.episodes.length)[:512]
    days = np.minimum(np.arange(DAYS), length[:, None] - 1)
    still = jax.tree.map(
        lambda leaf: leaf[np.arange(512)[:, None], days], (record.state, record.memory.targets)
    )
    told = SCENARIO.feedback(*still)
    assert told[EVERYONE] == f"Episodes took {length.mean():.1f} days on average."
    rightly = [int(told[agent].rpartition("rightly in ")[2].rstrip("%")) for agent in AGENTS]
    freed = np.asarray(done.episodes.measures["freed"])[:512].mean()
    assert sum(rightly) == pytest.approx(100 * freed, abs=2)  # rounded to percents
    visits = [float(told[agent].split()[2]) for agent in AGENTS]
    assert sum(visits) == pytest.approx(length.mean(), abs=0.2)


def test_too_few_prisoners_are_refused():
    with pytest.raises(ValueError, match="num_agents must be at least 3, got 2"):
        scenarios.make("switch_riddle/prisoners", num_agents=2)
