"""SMAX is JaxMARL's, its words lead to the actions that they name, and fighting as told wins."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import execution, instructions, scenarios
from leed_jax.environments import jaxmarl
from leed_jax.instructions import AgentPlan, Instruction
from leed_jax.random_plans import random_plan
from leed_jax.scenarios import EVERYONE, Program, smax
from leed_jax.scenarios.smax import controls, maps, words

SCENARIO = smax.make("smax/3m")
AGENTS = SCENARIO.env.spec.agents
UP, RIGHT, DOWN, LEFT, STOP, SHOOT_0, SHOOT_1, SHOOT_2 = range(8)
FULL = 45.0  # health of a marine: range 5, sight 9, 3.15 a second = 1.575 a step, 9 a shot
NOBODY = ((30.0, 30.0), (30.0, 29.0), (29.0, 30.0))
reset = jax.jit(SCENARIO.env.reset)
step = jax.jit(SCENARIO.env.step)


@functools.cache
def rules_of(name: str) -> maps.Rules:
    field = maps.find(name)
    return maps.rules(jaxmarl.load("HeuristicEnemySMAX", scenario=field), field)


@functools.cache
def start() -> Any:
    with jax.numpy_dtype_promotion("standard"):  # JaxMARL's own code needs it
        return reset(jax.random.key(0))[0]


def state_of(
    allies: Any,
    enemies: Any = NOBODY,
    *,
    health: Any = (FULL,) * 3,
    enemy_health: Any = (FULL,) * 3,
    cooldown: Any = 0.0,
    shots: Any = (0, 0, 0),
    steps: int = 0,
) -> Any:
    """A battle on 3m: places, health (0: dead), the allies' cooldown, the enemies' last actions."""
    game = start().state
    points = jnp.array([*health, *enemy_health], jnp.float32)
    return start().replace(
        state=game.replace(
            unit_positions=jnp.array([*allies, *enemies], jnp.float32),
            unit_health=points,
            unit_alive=points > 0,
            unit_weapon_cooldowns=jnp.zeros(6).at[:3].set(jnp.asarray(cooldown)),
            prev_attack_actions=jnp.array([0, 0, 0, *shots], jnp.int32),
            step=jnp.full_like(game.step, steps),
        )
    )


def fight(**arguments: Any) -> Instruction:
    """Shoot the nearest enemy in range, else walk to the nearest: all else is switched off."""
    plain = {
        "target": "nearest",
        "reach": 0,
        "approach": "nearest",
        "max_lead": 20,
        "kite_distance": 0,
        "kite_cooldown": 0,
        "away_from": "nearest",
        "wall_margin": 0,
        "retreat_health": 0,
        "retreat_distance": 0,
    }
    return Instruction("Fight", plain | arguments)


def retreat(distance: float, away_from: str = "nearest", wall_margin: float = 0) -> Instruction:
    arguments = {"distance": distance, "away_from": away_from, "wall_margin": wall_margin}
    return Instruction("Retreat", arguments)


def move_to(x: float, y: float) -> Instruction:
    return Instruction("MoveTo", {"x": x, "y": y})


HOLD = Instruction("Hold")


@jax.jit
def decide(state: Any, program: Program, focus: Any) -> Any:
    """Targets, actions, finished [N], conditions [C N] and the memory of the team's focus."""
    with jax.numpy_dtype_promotion("strict"):
        targets, focus = SCENARIO.controls.resolve(state, program, focus)
        act = jax.vmap(SCENARIO.controls.controllers[0], (0, None, 0))
        actions, finished = act(targets, state, jnp.arange(3))
        held = jnp.stack([holds(state, targets) for holds in SCENARIO.controls.conditions])
    return targets, actions, finished, held, focus


def decided(state: Any, *told: Instruction, focus: int = -1) -> Any:
    """What `decide` says where the agents were told so: one instruction each, or one for all."""
    told = told * 3 if len(told) == 1 else told
    plan = {agent: AgentPlan((item,)) for agent, item in zip(AGENTS, told, strict=True)}
    rows = instructions.encode([plan], SCENARIO.vocabulary).rows[0, :, 0]
    arguments = rows[:, 1 : 1 + SCENARIO.vocabulary.num_arguments]
    program = Program(jnp.asarray(rows[:, 0]), jnp.asarray(arguments), jnp.ones(3, bool))
    return decide(state, program, jnp.array(focus, jnp.int32))


def actions(state: Any, *told: Instruction, focus: int = -1) -> list[int]:
    return decided(state, *told, focus=focus)[1].tolist()


GOOD = fight(target="weakest", max_lead=0.5, reach=1, wall_margin=3)
EPISODES = 64


@functools.cache
def executed() -> execution.Executed:
    """A good plan on 64 starts, and 64 random plans on the same."""
    plans = [dict.fromkeys(AGENTS, AgentPlan((GOOD,)))]
    plans += [random_plan(SCENARIO.vocabulary, seed) for seed in range(EPISODES)]
    index = np.concatenate([np.zeros(EPISODES, np.int64), 1 + np.arange(EPISODES)])
    keys = jnp.tile(jax.random.split(jax.random.key(1), EPISODES), 2)
    return execution.execute(SCENARIO, plans, keys, index)


# --------------------------------------------------------------------- maps and options


def test_every_map_is_jaxmarls():
    rules_of("3m")  # by which JaxMARL is imported, without what it prints
    from jaxmarl.environments.smax.smax_env import MAP_NAME_TO_SCENARIO as theirs

    assert set(maps.MAPS) <= set(theirs)
    for name, expected in theirs.items():
        found = maps.find(name)
        np.testing.assert_array_equal(found.unit_types, expected.unit_types, name)
        assert found.unit_types.dtype == expected.unit_types.dtype
        for field in maps.Map._fields[1:]:
            assert getattr(found, field) == getattr(expected, field), (name, field)
    assert all(f"smax/{name}" in scenarios.names() for name in maps.MAPS)


def test_the_numbers_of_the_prompt_are_jaxmarls():
    rules = rules_of("2s3z")
    assert (rules.num_allies, rules.num_enemies, rules.map_size) == (5, 5, 32)
    # 8 world steps of 1/16 s; the clock is read before it moves on.
    assert (rules.step_seconds, rules.horizon) == (0.5, 101)
    assert rules.types_of(enemies=True) == ("stalker", "zealot")
    assert rules.types_of(enemies=False) == ("stalker", "zealot")
    assert rules_of("smacv2_5_units").types_of(enemies=True) == rules.types
    task = words.task(rules)
    assert "5 allies, your agents (2 stalkers and 3 zealots), fight 5 enemies" in task
    # 4.13 a second is 2.065 in half a second.
    line = "stalker: health 160, damage 13 a shot, a shot every 1.87 s, weapon range 6, sight 10, "
    assert line + "speed 4.13 a second (2.07 a step), radius 0.62" in task.replace("\n", " ")
    assert "marine" not in task
    assert "draws the units' types" in words.task(rules_of("smacv2_5_units"))


def test_options_change_what_the_prompt_says_of_them():
    rules = rules_of("3m")
    assert "touches an edge of the field dies" in SCENARIO.task
    assert "only stop a unit" in words.task(rules._replace(walls_cause_death=False))
    assert "else at the nearest one" in SCENARIO.task
    assert "else at one of them at random" in words.task(rules._replace(attack_mode="random"))
    assert "cooldown, its last walk" in SCENARIO.task
    assert "and, of allies only, its last" in words.task(rules._replace(see_enemy_actions=False))


def test_wrong_names_and_options_are_answered_with_what_is_allowed():
    with pytest.raises(ValueError, match="no scenario 'smax/3mm'; nearest: smax/3m"):
        scenarios.make("smax/3mm")
    with pytest.raises(ValueError, match="smax/3m: max_steps must be at least 1, got 0"):
        smax.make("smax/3m", max_steps=0)
    with pytest.raises(
        ValueError, match="attack_mode must be one of closest, random, got 'weakest'"
    ):
        smax.make("smax/3m", attack_mode="weakest")
    with pytest.raises(TypeError, match="no option steps; its options: max_steps, see_enemy"):
        scenarios.make("smax/3m", steps=3)


def test_types_are_targets_only_where_there_are_several():
    def ways(name: str) -> tuple[str, ...]:
        told = words.vocabulary(("ally_0",), rules_of(name))
        return told.commands[controls.FIGHT].parameters[0].options  # pyright: ignore

    assert ways("3m") == (*controls.RULES, "enemy_0", "enemy_1", "enemy_2")
    assert ways("2s3z")[4:7] == ("stalker", "zealot", "enemy_0")
    assert ways("6h_vs_8z")[4:6] == ("enemy_0", "enemy_1")  # zealots alone, hydralisks are ours


# ------------------------------------------------------------------------- whom to shoot

# All agents at one place, so that three ways to choose are seen at once. Distances 4, 3 and 5.5.
ONE_PLACE = ((10.0, 10.0),) * 3
AROUND = ((14.0, 10.0), (10.0, 13.0), (10.0, 15.5))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (fight(target="nearest"), SHOOT_1),
        (fight(target="weakest"), SHOOT_0),  # 18 points; enemy_2 has 9, but is out of range
        (fight(target="weakest", reach=0.5), SHOOT_0),  # 5.5 is not nearer than 5 + 0.5
        (fight(target="weakest", reach=1, approach="target"), UP),  # to enemy_2
        (fight(target="lowest_number"), SHOOT_0),
        (fight(target="enemy_0"), SHOOT_0),
        (fight(target="enemy_1"), SHOOT_1),
        (fight(target="enemy_2"), SHOOT_1),  # out of reach: others, nearest first
        (fight(target="enemy_2", reach=20, approach="target"), UP),
        (fight(target="enemy_2", reach=20, approach="wait"), STOP),
    ],
)
def test_every_way_to_choose_an_enemy_within_reach(told, expected):
    state = state_of(ONE_PLACE, AROUND, enemy_health=(18, 30, 9))
    assert actions(state, told) == [expected] * 3


def test_of_equally_weak_enemies_the_nearest_is_shot_and_never_a_dead_one():
    told = (fight(target="weakest"), fight(target="nearest"), fight(target="lowest_number"))
    equal = state_of(ONE_PLACE, AROUND, enemy_health=(18, 18, 18))
    assert actions(equal, *told) == [SHOOT_1, SHOOT_1, SHOOT_0]
    one_dead = state_of(ONE_PLACE, AROUND, enemy_health=(18, 0, 18))
    assert actions(one_dead, *told) == [SHOOT_0] * 3
    all_dead = state_of(ONE_PLACE, AROUND, enemy_health=(0, 0, 0))
    assert actions(all_dead, *told) == [STOP] * 3


def test_types_come_first_and_among_them_the_nearest():
    rules = rules_of("2s3z")
    kinds = jnp.array([2, 3, 3, 2], jnp.int32)  # stalkers 0 and 3, zealots 1 and 2
    now = controls.battle(rules_of("3m"), state_of(ONE_PLACE))._replace(
        apart=jnp.array([[1.0, 6.0, 5.0, 2.0]]),
        enemy_kind=kinds,
        enemy_alive=jnp.ones(4, bool),
        enemy_health=jnp.full(4, 100.0),
    )
    cost = controls.prices(now, ("stalker", "zealot"), rules.types, jnp.array(-1, jnp.int32))
    assert cost[:, 0].argsort(-1).tolist() == [[0, 3, 2, 1], [2, 1, 0, 3]]


IN_A_ROW = ((10.0, 10.0), (12.0, 10.0), (20.0, 10.0))
BETWEEN = ((8.0, 10.0), (14.0, 10.0), (16.0, 10.0))
"""In range of agents 0 and 1; of 0 and 1; of 1 and 2."""


def test_the_teams_focus_is_what_most_can_shoot_and_then_the_weakest():
    together = fight(target="team_focus")
    state = state_of(IN_A_ROW, BETWEEN, enemy_health=(45, 20, 30))
    # Two agents each: enemy_1 is the weakest. It is 6 from agent 2, whose range is 5.
    assert actions(state, together) == [SHOOT_1, SHOOT_1, SHOOT_2]
    assert actions(state, fight(target="team_focus", reach=2)) == [SHOOT_1, SHOOT_1, LEFT]
    assert int(decided(state, together)[-1]) == 1
    # Agent 0 dead: enemy_2 has two, the others one.
    alone = state_of(IN_A_ROW, BETWEEN, health=(0, 45, 45), enemy_health=(45, 20, 30))
    assert int(decided(alone, together)[-1]) == 2


def test_the_teams_focus_is_kept_until_it_is_dead_or_out_of_range():
    together = fight(target="team_focus")
    state = state_of(IN_A_ROW, BETWEEN, enemy_health=(1, 20, 1))
    assert int(decided(state, together, focus=1)[-1]) == 1
    dead = state_of(IN_A_ROW, BETWEEN, enemy_health=(45, 0, 30))
    assert int(decided(dead, together, focus=1)[-1]) == 2
    gone = state_of(IN_A_ROW, (BETWEEN[0], (31.0, 31.0), BETWEEN[2]), enemy_health=(20, 1, 30))
    assert int(decided(gone, together, focus=1)[-1]) == 0


# -------------------------------------------------------------------------- where to walk


def test_approaches_lead_to_the_nearest_the_chosen_the_team_or_nowhere():
    # From agents 0 and 1, enemy_0 is 7 above and enemy_1 8 to the right; the team's centre is 2 to
    # the left: (10 + 10 + 4) / 3 = 8.
    places, enemies = ((10.0, 10.0), (10.0, 10.0), (4.0, 10.0)), ((10.0, 17.0), (18.0, 10.0))
    state = state_of(places, (*enemies, NOBODY[0]))
    told = [
        fight(target="enemy_1", reach=20, approach=approach) for approach in controls.APPROACHES
    ]
    assert actions(state, *told[:2], HOLD) == [UP, RIGHT, STOP]
    assert actions(state, *told[2:], told[2]) == [LEFT, STOP, RIGHT]
    # Out of everybody's sight the program still knows the way.
    unseen = state_of(places, ((10.0, 25.0), (26.0, 10.0), NOBODY[0]))
    assert actions(unseen, *told[:2], HOLD) == [UP, RIGHT, STOP]
    # The dead count for no centre.
    dead = state_of(places, (*enemies, NOBODY[0]), health=(45, 45, 0))
    assert actions(dead, told[2]) == [STOP] * 3


def test_nobody_goes_farther_ahead_than_told():
    # 6 and 8.5 from the enemy, so that 1 and 3.5 are lacking: a lead of 2.5. Agent 2 is dead.
    places, enemies = ((10.0, 10.0), (7.5, 10.0), (2.0, 10.0)), ((16.0, 10.0), *NOBODY[1:])
    state = state_of(places, enemies, health=(45, 45, 0))
    for max_lead, expected in ((0, STOP), (2, STOP), (2.5, RIGHT), (20, RIGHT)):
        assert actions(state, fight(max_lead=max_lead))[:2] == [expected, RIGHT], max_lead
    # In range it shoots, wherever the others are; nor does it wait for whom it does not see.
    close = state_of(places, ((14.0, 10.0), *NOBODY[1:]), health=(45, 45, 0))
    assert actions(close, fight(max_lead=0))[0] == SHOOT_0
    parted = state_of(((10.0, 10.0), (0.9, 10.0), (2.0, 10.0)), enemies, health=(45, 45, 0))
    assert actions(parted, fight(max_lead=0))[0] == RIGHT


def test_walks_take_the_longer_axis_and_end_near_their_goal():
    state = state_of(((10.0, 10.0), (10.0, 10.0), (10.0, 10.0)))
    _, action, finished, _, _ = decided(state, move_to(20, 12), move_to(7, 4), move_to(10.5, 9.5))
    # sqrt(0.5) is nearer than 1.5, and half a step, 0.79, is more than 0.5 of either axis.
    assert (action.tolist(), finished.tolist()) == ([RIGHT, DOWN, STOP], [False, False, True])
    regroup = Instruction("Regroup", {"distance": 2})
    # The centre of the living is (13, 10): 3, 1 and 4 away.
    state = state_of(((10.0, 10.0), (12.0, 10.0), (17.0, 10.0)))
    _, action, finished, _, _ = decided(state, regroup)
    assert (action.tolist(), finished.tolist()) == ([RIGHT, RIGHT, LEFT], [False, True, False])
    _, action, finished, _, _ = decided(state, HOLD)
    assert (action.tolist(), finished.tolist()) == ([STOP] * 3, [False] * 3)


# ---------------------------------------------------------------------- when to step back


def facing(distance: float, **about: Any) -> Any:
    """Everyone at (10, 10), an enemy to the right, the others out of sight."""
    return state_of(ONE_PLACE, ((10.0 + distance, 10.0), *NOBODY[1:]), **about)


def test_kiting_is_told_by_distance_and_by_the_weapons_cooldown():
    kite = fight(kite_distance=3, kite_cooldown=0.4)
    assert actions(facing(2.0, cooldown=(0.5, 0.3, -0.1)), kite) == [LEFT, SHOOT_0, SHOOT_0]
    # Out of its range to kite at.
    assert actions(facing(3.0, cooldown=0.5), kite) == [SHOOT_0] * 3
    assert actions(facing(2.0, cooldown=0.5), fight()) == [SHOOT_0] * 3  # distance 0: never
    # kite_cooldown 0: whenever the weapon is not ready; it is at 0 and below.
    always = fight(kite_distance=3)
    assert actions(facing(2.0, cooldown=(0.01, 0.0, -0.2)), always) == [LEFT, SHOOT_0, SHOOT_0]


def test_stepping_back_from_the_nearest_or_from_all():
    # 2 to the right and 2.5 to the left. Left: 3.575 from the one, right beside the other. Upwards
    # the inverse squares sum to 1 / (4 + 2.48) + 1 / (6.25 + 2.48) = 0.27, on the spot to 0.41.
    state = state_of(ONE_PLACE, ((12.0, 10.0), (7.5, 10.0), NOBODY[0]), cooldown=0.5)
    told = [fight(kite_distance=3, away_from=away) for away in ("nearest", "all")]
    assert actions(state, *told, retreat(3, "all")) == [LEFT, UP, UP]


@pytest.mark.parametrize(("margin", "expected"), [(0, LEFT), (1.5, LEFT), (2, UP), (3, UP)])
def test_the_margin_keeps_away_from_the_edge(margin, expected):
    # One step to the left leads from 3.5 to 1.925; upwards it is sqrt(4 + 2.48) = 2.55 from the
    # enemy instead of 2.
    state = state_of(((3.5, 10.0),) * 3, ((5.5, 10.0), *NOBODY[1:]), cooldown=0.5)
    told = (fight(kite_distance=3, wall_margin=margin), retreat(3, wall_margin=margin), HOLD)
    assert actions(state, *told) == [expected, expected, STOP]


def test_inside_the_margin_the_way_out_comes_first():
    # At x = 1 with margin 3 and the enemy to the right: only towards it is farther from the edge.
    state = state_of(((1.0, 10.0),) * 3, ((5.0, 10.0), *NOBODY[1:]))
    assert actions(state, retreat(8, wall_margin=3)) == [RIGHT] * 3


def test_the_weak_step_back_with_a_ready_weapon():
    told = fight(retreat_health=0.5, retreat_distance=4)
    # 22 / 45 = 0.49, 23 / 45 = 0.51.
    assert actions(facing(2.0, health=(22, 23, 45)), told) == [LEFT, SHOOT_0, SHOOT_0]
    assert actions(facing(4.5, health=(1, 1, 1)), told) == [SHOOT_0] * 3


def test_a_retreat_ends_at_its_distance_and_never_shoots():
    _, action, finished, _, _ = decided(facing(2.0), retreat(4), retreat(2.5), retreat(2))
    assert (action.tolist(), finished.tolist()) == ([LEFT, LEFT, STOP], [False, False, True])


# ----------------------------------------------------------------------------- conditions


def test_conditions_on_a_battle_worked_by_hand():
    # enemy_0 is 4, 8 and 12 away: in range, in sight, unseen. It shoots at agent 2: enemies count
    # the agents backwards from action 5. enemy_1 aims at agent 1, but is dead.
    state = state_of(
        ((10.0, 10.0), (6.0, 10.0), (2.0, 10.0)),
        ((14.0, 10.0), *NOBODY[1:]),
        health=(22, 23, 45),
        enemy_health=(45, 0, 45),
        shots=(5, 6, 0),
    )
    held = dict(zip(controls.CONDITIONS, decided(state, HOLD)[3].tolist(), strict=True))
    assert held == {
        "enemy_in_sight": [True, True, False],
        "enemy_in_range": [True, False, False],
        "under_fire": [False, False, True],
        "below_half_health": [True, False, False],
        "everyone_arrived": [False, False, False],
    }


def test_everyone_has_arrived_when_all_the_living_have():
    places = ((10.0, 10.0), (10.0, 11.0), (20.0, 20.0))
    here = (move_to(10, 10), move_to(10, 10), move_to(10, 10))
    arrived = list(controls.CONDITIONS).index("everyone_arrived")
    for health, expected in (((45, 45, 45), False), ((45, 45, 0), True)):
        held = decided(state_of(places, health=health), *here)[3]
        assert held[arrived].tolist() == [expected] * 3


def test_whoever_loses_health_is_under_fire():
    record = executed().episodes.record.state.state
    now = jax.vmap(jax.vmap(functools.partial(controls.battle, rules_of("3m"))))(
        executed().episodes.record.state
    )
    health, alive = np.asarray(record.unit_health), np.asarray(record.unit_alive)
    inside = np.asarray(executed().episodes.valid)[:, 1:, None]
    same_enemies = (alive[:, 1:, 3:] == alive[:, :-1, 3:]).all(-1, keepdims=True)
    lost = (health[:, 1:, :3] < health[:, :-1, :3]) & alive[:, 1:, :3] & inside & same_enemies
    assert lost.sum() > 100
    assert (np.asarray(now.attackers)[:, 1:] > 0)[lost].all()


# ------------------------------------------------------------------ the environment's ends


def after(state: Any, *action: int) -> Any:
    return step(jax.random.key(0), state, jnp.array(action))


def test_the_dead_decide_nothing_and_may_only_stop():
    _, now = after(state_of(((8.0, 8.0), (8.0, 10.0), (8.0, 12.0)), health=(45, 0, 45)), 4, 4, 4)
    assert now.decision.tolist() == [True, False, True]
    assert now.action_mask[1].tolist() == [action == STOP for action in range(8)]
    assert not now.over
    told = decided(state_of(ONE_PLACE, AROUND, health=(45, 0, 45)), fight())
    assert told[1].tolist() == [SHOOT_1, STOP, SHOOT_1] and int(told[0].enemy[1]) == -1


LAST = {"enemies": ((12.0, 10.0), *NOBODY[1:]), "enemy_health": (9, 0, 0)}
"""One shot is left to win."""
APART = ((8.0, 10.0), (8.0, 14.0), (8.0, 6.0))


@pytest.mark.parametrize("steps", [7, 100])
def test_a_battle_won_is_terminated_also_in_the_last_step(steps):
    state, now = after(state_of(APART, **LAST, steps=steps), SHOOT_0, STOP, STOP)
    assert now.terminated.all() and not now.truncated
    # 9 of 45 points of one of three enemies, and 1 for winning.
    np.testing.assert_allclose(now.reward, [9 / 45 / 3 + 1] * 3, rtol=1e-5)
    assert read(state) == {"won": 1, "allies_alive": 1, "enemies_alive": 0}


def test_the_clock_truncates_in_step_101():
    for steps, over in ((99, False), (100, True)):
        state, now = after(state_of(APART, steps=steps), STOP, STOP, STOP)
        assert bool(now.truncated) is over and not now.terminated.any()
        assert read(state) == {"won": 0, "allies_alive": 1, "enemies_alive": 1}
    assert SCENARIO.env.spec.horizon == SCENARIO.vocabulary.horizon == 101


def test_edges_kill():
    # 1.5 to the edge, a step is 1.575.
    state, now = after(state_of(((1.5, 10.0), *APART[1:]), health=(45, 0, 0)), LEFT, STOP, STOP)
    assert now.terminated.all() and not now.truncated and float(now.reward.max()) == 0
    assert read(state) == {"won": 0, "allies_alive": 0, "enemies_alive": 1}


def read(state: Any) -> dict[str, float]:
    return {measure.name: float(measure.read(state)) for measure in SCENARIO.env.measures}


def test_measures_on_battles_worked_by_hand():
    alive, dead = (FULL,) * 3, (0.0,) * 3
    for health, enemy_health, won in (
        (alive, dead, 1),
        ((45, 0, 0), dead, 1),
        (alive, (0, 0, 1), 0),
        (dead, dead, 0),  # a draw
    ):
        found = read(state_of(ONE_PLACE, health=health, enemy_health=enemy_health))
        assert found["won"] == won
        assert found["allies_alive"] == pytest.approx(np.mean(np.array(health) > 0))
        assert found["enemies_alive"] == pytest.approx(np.mean(np.array(enemy_health) > 0))


# -------------------------------------------------------------------------- what it is worth


def test_plans_ask_the_living_for_legal_actions_only():
    ran, record = executed().episodes, executed().episodes.record
    acting = np.asarray(ran.valid)[:, :, None] & np.asarray(record.time_step.decision)
    alive = np.asarray(record.state.state.unit_alive)[:, :, :3]
    np.testing.assert_array_equal(np.asarray(record.time_step.decision), alive)
    assert np.asarray(record.legal)[acting].all()
    assert 0 < acting.mean() < 1


def test_a_good_plan_beats_random_ones_by_far():
    ran = executed().episodes
    won = np.asarray(ran.measures["won"]).reshape(2, EPISODES).mean(1)
    returns = np.asarray(ran.returns).sum(-1).reshape(2, EPISODES).mean(1)
    # Measured 0.73 and 0.00 of the battles, team returns of 5.1 and 0.3; at most 2 an agent.
    assert won[0] > 0.6 and won[1] < 0.1
    assert returns[0] > 4.5 and returns[1] < 1
    assert np.asarray(ran.returns).max() <= 2 + 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "good", "bad", "wins"),
    [
        (
            "2s3z",
            fight(target="weakest", approach="target", reach=1),
            fight(target="team_focus", reach=20, approach="wait"),
            (0.75, 0.1),
        ),
        # Ranged units against melee ones: kiting decides.
        (
            "6h_vs_8z",
            fight(target="weakest", kite_distance=3, kite_cooldown=0.4, wall_margin=3),
            fight(target="weakest"),
            (0.5, 0.1),
        ),
    ],
)
def test_the_instruction_decides_battles_on_other_maps(name, good, bad, wins):
    scenario = smax.make(f"smax/{name}")
    plans = [dict.fromkeys(scenario.env.spec.agents, AgentPlan((told,))) for told in (good, bad)]
    keys = jnp.tile(jax.random.split(jax.random.key(2), EPISODES), 2)
    ran = execution.execute(scenario, plans, keys, np.repeat([0, 1], EPISODES)).episodes
    won = np.asarray(ran.measures["won"]).reshape(2, EPISODES).mean(1)
    acting = np.asarray(ran.valid)[:, :, None] & np.asarray(ran.record.time_step.decision)
    assert np.asarray(ran.record.legal)[acting].all()
    assert won[0] > wins[0] and won[1] < wins[1], won


# ----------------------------------------------------------------------------- the words


def test_a_description_names_every_unit_with_type_and_place():
    state = state_of(((8.04, 16.0), (7.0, 15.96), (9.5, 17.0)), ((24.0, 1.0),) * 3)
    assert SCENARIO.describe(state).splitlines() == [
        "ally_0: marine, x 8.0, y 16.0",
        "ally_1: marine, x 7.0, y 16.0",
        "ally_2: marine, x 9.5, y 17.0",
        *(f"enemy_{index}: marine, x 24.0, y 1.0" for index in range(3)),
    ]


def test_feedback_reports_what_happened():
    ran = executed().episodes
    length = np.asarray(ran.length)[:EPISODES]
    # After the end the last step is repeated, as `generation.feedback` does it.
    stood = np.minimum(np.arange(101), length[:, None] - 1)
    rows = np.arange(EPISODES)[:, None]
    good = jax.tree.map(lambda leaf: np.asarray(leaf)[rows, stood], ran.record)
    told = SCENARIO.feedback(good.state, good.memory.targets)
    assert tuple(told) == (*AGENTS, EVERYONE)
    everyone = told[EVERYONE]
    assert f"The battles lasted {length.mean():.0f} steps" in everyone
    assert f"The time limit ended {(length == 101).mean():.0%} of them" in everyone
    inside = np.asarray(ran.valid)[:EPISODES]
    alive = np.asarray(good.state.state.unit_alive)[:, :, :3]
    for n, agent in enumerate(AGENTS):
        acting = inside & alive[:, :, n]
        action = np.asarray(good.action)[:, :, n][acting]
        assert f"aimed at an enemy in {(action > STOP).mean():.0%} of its steps" in told[agent]
        assert "stepped back in 0%" in told[agent]


def test_feedback_of_a_short_episode_worked_by_hand():
    # Three steps of two battles: in the first agent 0 dies at the edge before the third step; in
    # the second, over after two steps, nobody is ever in range.
    near = state_of(APART, ((12.0, 10.0), *NOBODY[1:]))
    edge = state_of(((0.0, 10.0), *APART[1:]), ((12.0, 10.0), *NOBODY[1:]), health=(0, 45, 45))
    far = state_of(APART)
    clocks = ((0, 1, 2), (0, 1, 1))
    battles = ((near, near, edge), (far, far, far))
    stacked = [
        state.replace(state=state.state.replace(step=jnp.array(clock)))
        for line, times in zip(battles, clocks, strict=True)
        for state, clock in zip(line, times, strict=True)
    ]
    states = jax.tree.map(
        lambda *leaves: np.stack(leaves).reshape(2, 3, *leaves[0].shape), *stacked
    )
    targets = decided(near, fight(), retreat(2), HOLD)[0]
    targets = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (2, 3, *leaf.shape)), targets)
    told = SCENARIO.feedback(states, targets)
    assert told["ally_0"] == (
        "dead at the end in 50% of the episodes, after 2 steps (touching an edge in 50%); while "
        "alive it aimed at an enemy in 100% of its steps, walked in 0%, stepped back in 0%, "
        "stayed in 0%"
    )
    assert told["ally_2"].startswith("dead at the end in 0% of the episodes (touching an edge in 0")
    assert told["ally_2"].endswith("stayed in 100%")
    # Agent 0 is 4 from the enemy, the others sqrt(32) = 5.7. On average the three are
    # (0 + 4 + 4) / 3 = 2.7 from their centre.
    assert told[EVERYONE] == (
        "The battles lasted 2 steps; before the last one 2.5 of 3 allies and 3.0 of 3 enemies were "
        "alive. The time limit ended 0% of them. First contact after 0 steps; then 1.0 agents had "
        "an enemy in range, and the agents were 2.7 from their common centre on average."
    )
