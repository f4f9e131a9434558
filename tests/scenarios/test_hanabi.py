"""Hanabi is JaxMARL's, its rules know what a player knows, and a list of them plays well."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import episodes, execution, instructions, scenarios
from leed_jax.environments import jaxmarl
from leed_jax.instructions import AgentPlan, Instruction
from leed_jax.scenarios import EVERYONE, Program, hanabi
from leed_jax.scenarios.hanabi import drawing, knowledge, table
from leed_jax.scenarios.hanabi.table import COLOURS, Table
from leed_jax.types import Policy

SCENARIO = hanabi.make("hanabi/full")
AGENTS = SCENARIO.env.spec.agents
DISCARD_0, PLAY_0, HINT_RED, HINT_1, NOTHING = 0, 5, 10, 15, 20
reset = jax.jit(SCENARIO.env.reset)
known_in = jax.jit(knowledge.knowledge)


@functools.cache
def game() -> Any:
    return jaxmarl.load("hanabi", num_agents=2)


def card(name: str) -> Any:
    """``r1`` is the red 1."""
    letters = [colour[0] for colour in COLOURS]
    return np.eye(25)[5 * letters.index(name[0]) + int(name[1]) - 1].reshape(5, 5)


def cards(text: str) -> Any:
    return np.stack([card(name) for name in text.split()])


MINE, YOURS = "r1 r1 g2 w3 b5", "r1 y1 g3 w4 b2"


def state_of(
    *hands: str,
    hints: tuple[tuple[int, str], ...] = (),
    fireworks: dict[str, int] | None = None,
    discards: str = "",
    tokens: int = 8,
    lives: int = 3,
    turn: int = 0,
    fresh: tuple[int, tuple[int, ...]] = (0, ()),
) -> Table:
    """A table with these hands, oldest card first, and hints (to whom, a colour or a rank)."""
    hands = hands or (MINE, YOURS)
    held = np.stack([cards(hand) for hand in hands])
    count, size = held.shape[:2]
    possible = np.ones((count, size, 5, 5))
    colours, ranks = np.zeros((count, size, 5)), np.zeros((count, size, 5))
    for player, what in hints:
        by_colour = what in COLOURS
        index = COLOURS.index(what) if by_colour else int(what) - 1
        named = np.zeros((5, 5))
        named[(index,) if by_colour else (slice(None), index)] = 1
        shown = (held[player] * named).any((1, 2))
        possible[player] *= np.where(shown[:, None, None], named, 1 - named)
        (colours if by_colour else ranks)[player, shown, index] = 1
    stacks = np.stack([np.arange(5) < (fireworks or {}).get(colour, 0) for colour in COLOURS])
    pile = np.zeros((50, 5, 5))
    if discards:
        pile[: len(discards.split())] = cards(discards)
    start, _ = jax.jit(scenario_for(count).env.reset)(jax.random.key(0))
    state = start.game.replace(
        player_hands=jnp.asarray(held, jnp.float32),
        card_knowledge=jnp.asarray(possible.reshape(count, size, 25), jnp.float32),
        colors_revealed=jnp.asarray(colours, jnp.float32),
        ranks_revealed=jnp.asarray(ranks, jnp.float32),
        fireworks=jnp.asarray(stacks, jnp.float32),
        discard_pile=jnp.asarray(pile, jnp.float32),
        info_tokens=jnp.asarray(np.arange(8) < tokens, start.game.info_tokens.dtype),
        life_tokens=jnp.asarray(np.arange(3) < lives, start.game.life_tokens.dtype),
        cur_player_idx=jnp.asarray(np.arange(count) == turn, jnp.float32),
    )
    touched = np.zeros((count, size), bool)
    touched[fresh[0], list(fresh[1])] = True
    return Table(state, jnp.asarray(touched), jnp.array(-1, jnp.int32))


@functools.cache
def scenario_for(count: int) -> Any:
    return SCENARIO if count == 2 else hanabi.make("hanabi/full", num_agents=count)


def rule(name: str, **values: Any) -> Instruction:
    """A rule that may always apply as far as tokens, lives and deck go, unless told otherwise."""
    defaults = {
        "PlayLikely": {"min_probability": 1.0, "min_lives": 1, "max_deck": 40},
        "PlayHinted": {
            "hinted": "just_now",
            "focus": "newest",
            "min_probability": 0.0,
            "min_lives": 1,
        },
        "HintPlayable": {"kind": "either", "focus": "newest", "min_tokens": 1},
        "HintSave": {
            "cards": "last_copies",
            "slot": "oldest",
            "kind": "either",
            "careful": "off",
            "min_tokens": 1,
        },
        "HintMost": {"kind": "either", "careful": "off", "min_tokens": 1},
        "DiscardUseless": {"min_probability": 1.0, "max_tokens": 7},
        "Discard": {"card": "oldest_unhinted", "max_tokens": 7},
    }
    return Instruction(name, defaults[name] | values)


@functools.cache
def _say(count: int) -> Any:
    controls = scenario_for(count).controls

    @jax.jit
    def say(state: Table, op: Any, codes: Any) -> Any:
        program = Program(jnp.full(count, op), jnp.tile(codes, (count, 1)), jnp.ones(count, bool))
        return controls.applies(state, program, ()), controls.resolve(state, program, ())[0].action

    return say


def said(state: Table, name: str, player: int = 0, **values: Any) -> int | None:
    """The action of one rule, None where it does not apply."""
    count = state.fresh.shape[0]
    vocabulary = scenario_for(count).vocabulary
    plan = dict.fromkeys(vocabulary.agents, AgentPlan((rule(name, **values),)))
    row = instructions.encode([plan], vocabulary).rows[0, 0, 0]
    with jax.numpy_dtype_promotion("strict"):
        applies, action = _say(count)(state, row[0], row[1 : 1 + vocabulary.num_arguments])
    return int(action[player]) if applies[player] else None


GOOD = (
    rule("PlayLikely"),
    rule("PlayHinted", min_probability=0.1),
    rule("HintPlayable"),
    rule("HintSave", careful="newest"),
    rule("DiscardUseless"),
    rule("Discard"),
    rule("HintMost", careful="newest"),
)


@functools.cache
def executed() -> execution.Executed:
    """32 games each: a good list, one whose players misunderstand each other, and reckless play."""
    misunderstood = (GOOD[0], GOOD[1], rule("HintPlayable", focus="oldest"), *GOOD[4:6])
    reckless = (rule("PlayLikely", min_probability=0.2), *GOOD)
    plans = [dict.fromkeys(AGENTS, AgentPlan(todo)) for todo in (GOOD, misunderstood, reckless)]
    keys = jax.random.split(jax.random.key(0), 96)
    return execution.execute(SCENARIO, plans, keys, np.arange(96) // 32)


# ------------------------------------------------------------------------ the environment


def test_observations_rewards_and_legal_moves_are_jaxmarls():
    theirs_alone = game()

    @jax.jit
    def both(key: Any, state: Table, action: Any) -> Any:
        chosen = dict(zip(AGENTS, action, strict=True))
        theirs = theirs_alone.step_env(key, state.game, chosen)
        return (
            SCENARIO.env.step(key, state, action),
            theirs,
            theirs_alone.get_legal_moves(theirs[1]),
        )

    state, step = reset(jax.random.key(0))
    for index in range(12):
        key = jax.random.key(index)
        action = jax.random.categorical(key, jnp.where(step.action_mask, 0.0, -jnp.inf))
        player = int(step.decision.argmax())
        assert step.decision.tolist() == [player == 0, player == 1] and player == index % 2
        assert step.action_mask[1 - player].nonzero()[0].tolist() == [NOTHING]
        (state, step), theirs, legal = both(key, state, action)
        observation, _, reward, done, _ = theirs
        for n, agent in enumerate(AGENTS):
            np.testing.assert_array_equal(observation[agent], step.observation[n])
            np.testing.assert_array_equal(legal[agent], step.action_mask[n])
            assert reward[agent] == step.reward[n]
        assert bool(done["__all__"]) == bool(step.terminated.all()) and not step.truncated
        assert state.last == action[player]
        if done["__all__"]:
            break


def test_whoever_wastes_time_ends_a_game_in_the_last_step_of_the_horizon():
    def act(memory: Any, state: Table, step: Any, key: Any) -> Any:
        del state, key
        hints = step.action_mask.at[:, :HINT_RED].set(False)
        return memory, jnp.where(hints.any(1), hints.argmax(1), step.action_mask.argmax(1))

    stalling = Policy(lambda state, step: (), act)
    keys = jax.random.split(jax.random.key(0), 4)
    played = jax.jit(
        lambda keys: episodes.run(
            SCENARIO.env, stalling, keys, record=lambda state, step, *_: step.truncated
        )
    )(keys)
    # 40 draws, a hint for every one of 8 + 39 tokens before the last of them, and 2 more turns.
    np.testing.assert_array_equal(played.length, 40 + 47 + 2)
    assert SCENARIO.env.spec.horizon == 89 and not played.record.any()


@pytest.mark.slow
def test_a_game_without_lives_is_worth_nothing_and_the_others_their_cards():
    ran = executed().episodes
    measures = {name: np.asarray(values) for name, values in ran.measures.items()}
    for n in range(2):
        np.testing.assert_array_equal(np.asarray(ran.returns)[:, n], measures["score"])
    bombed = measures["bombed"] > 0
    assert bombed.any() and not bombed.all()
    np.testing.assert_array_equal(measures["score"], measures["cards_played"] * ~bombed)
    np.testing.assert_array_equal(measures["lives_lost"] == 3, bombed)


def test_a_hint_is_fresh_until_its_receiver_has_had_a_turn():
    state = state_of()
    step = jax.jit(SCENARIO.env.step)
    state, _ = step(jax.random.key(0), state, jnp.array([HINT_1, NOTHING]))
    # Two 1s among r1 y1 g3 w4 b2.
    np.testing.assert_array_equal(state.fresh, [[False] * 5, [True, True, False, False, False]])
    state, _ = step(jax.random.key(0), state, jnp.array([NOTHING, HINT_RED]))
    np.testing.assert_array_equal(state.fresh, [[True, True, False, False, False], [False] * 5])


@pytest.mark.parametrize(
    ("player", "action", "whom", "slots"),
    [(0, 10, 1, [0]), (0, 15, 2, []), (2, 10, 0, [0, 1]), (1, 25, 0, [4]), (1, 20, 2, [0, 4])],
)
def test_cards_touched_among_three_players(player, action, whom, slots):
    # Actions: 5 discards, 5 plays, 5 colours to the next, 5 to the one after, then ranks alike.
    hands = np.stack([cards(hand) for hand in (MINE, YOURS, "g1 y2 y3 w5 b1")])
    if (player, action) == (1, 25):
        action = 29  # fives to the player after the next
    shown = table.touched(jnp.asarray(hands, jnp.float32), jnp.array(player), jnp.array(action))
    expected = np.zeros((3, 5), bool)
    expected[whom, slots] = True
    np.testing.assert_array_equal(shown, expected)


def test_a_rule_that_the_observation_does_not_decide_is_named_where_there_are_more_than_two():
    for count, named in ((2, False), (3, True), (5, True)):
        told = scenario_for(count)
        assert ("except PlayHinted with just_now" in told.advice["learnable"]) is named
        assert ("except that just_now looks back" in told.task) is named


def test_numbers_of_players_that_there_are_not_are_refused():
    for count in (1, 6):
        with pytest.raises(ValueError, match=f"num_agents must be from 2 to 5, got {count}"):
            scenarios.make("hanabi/full", num_agents=count)


# ------------------------------------------------------------------------- what is known


def test_probabilities_worked_by_hand():
    # Agent 0 does not see 50 - 5 = 45 cards, of the 15 ones 13.
    known = known_in(state_of())
    np.testing.assert_allclose(known.playable[0], np.full(5, 13 / 45), rtol=1e-5)
    # Red: of 10 cards 9 not seen, 2 of them ones. The others: 36 not seen, of 12 ones 11.
    known = known_in(state_of(hints=((0, "red"),)))
    np.testing.assert_allclose(known.playable[0], [2 / 9] * 2 + [11 / 36] * 3, rtol=1e-5)
    # With red 1 and 2 played there are 1 r1, 1 r2, 2 r3, 2 r4, 1 r5 left beside agent 1's r1.
    known = known_in(state_of(hints=((0, "red"),), fireworks={"red": 2}))
    np.testing.assert_allclose(known.playable[0, :2], 2 / 7, rtol=1e-5)
    np.testing.assert_allclose(known.useless[0, :2], 2 / 7, rtol=1e-5)
    np.testing.assert_allclose(known.last_copy[0, :2], 1 / 7, rtol=1e-5)
    # Both r3 discarded: r4 and r5 are useless as well, and nothing red is playable any more.
    known = known_in(state_of(hints=((0, "red"),), fireworks={"red": 2}, discards="r3 r3"))
    np.testing.assert_allclose(known.useless[0, :2], 1, rtol=1e-5)
    np.testing.assert_allclose(known.playable[0, :2], 0, atol=1e-6)


def test_a_players_own_cards_do_not_enter_what_it_knows():
    hints = ((1, "1"), (1, "green"))
    one, other = (known_in(state_of(mine, YOURS, hints=hints)) for mine in (MINE, "y4 g5 w1 b3 r2"))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b[0]), one, other)
    assert not np.allclose(one.hints.cards[1], other.hints.cards[1]), "the other player sees them"


# --------------------------------------------------------------------------------- rules


def test_sure_plays_and_lives():
    state = state_of(hints=((0, "1"),))
    assert said(state, "PlayLikely") == PLAY_0
    assert said(state_of(), "PlayLikely") is None
    assert said(state_of(), "PlayLikely", min_probability=0.25) == PLAY_0  # 13 of 45
    assert said(state_of(), "PlayLikely", min_probability=0.3) is None
    risky = state_of(lives=1)
    assert said(risky, "PlayLikely", min_probability=0.25, min_lives=2) is None
    assert said(state, "PlayLikely", max_deck=39) is None  # 40 are left


def test_hinted_cards_are_played_newest_or_oldest_first():
    state = state_of(hints=((0, "red"),), fresh=(0, (0, 1)))
    assert said(state, "PlayHinted") == PLAY_0 + 1
    assert said(state, "PlayHinted", focus="oldest") == PLAY_0
    assert said(state, "PlayHinted", min_probability=0.25) is None  # 2 of 9
    stale = state_of(hints=((0, "red"),))
    assert said(stale, "PlayHinted") is None
    assert said(stale, "PlayHinted", hinted="ever") == PLAY_0 + 1
    # A hinted 3 cannot be playable.
    assert said(state_of(hints=((0, "3"),), fresh=(0, (3,))), "PlayHinted") is None


def test_playable_cards_are_hinted_so_that_they_are_understood():
    state = state_of(MINE, "r1 r3 g3 w4 b2")
    # Red touches r1 and r3, of which the newest is not playable; rank 1 touches r1 alone.
    assert said(state, "HintPlayable", kind="colour") is None
    assert said(state, "HintPlayable", kind="colour", focus="every") is None
    assert said(state, "HintPlayable", kind="colour", focus="oldest") == HINT_RED
    assert said(state, "HintPlayable", kind="colour", focus="any") == HINT_RED
    assert said(state, "HintPlayable", kind="rank") == HINT_1
    assert said(state, "HintPlayable") == HINT_1
    assert said(state_of(MINE, "r1 r3 g3 w4 b2", tokens=2), "HintPlayable", min_tokens=3) is None
    # Rank 3 touches r3 and g3: both cannot be playable for the receiver, who knows the fireworks.
    told = state_of(MINE, "r1 r3 g3 w4 b2", hints=((1, "1"),))
    assert said(told, "HintPlayable", focus="any") is None, "it knows"


def test_cards_in_danger_are_saved_before_they_are_discarded():
    hands = (MINE, "g3 y1 r5 w4 b5")
    state = state_of(*hands, discards="g3")
    # The oldest card is the last g3, the newest a 5; rank 3 touches the first, and nothing else.
    assert said(state_of(*hands), "HintSave") is None
    assert said(state, "HintSave", kind="rank") == HINT_1 + 2
    assert said(state, "HintSave", kind="colour") == HINT_RED + COLOURS.index("green")
    assert said(state, "HintSave", cards="fives") is None
    assert said(state, "HintSave", cards="fives", slot="newest", kind="rank") == HINT_1 + 4
    # Green could be taken for a playable green 1; a 3 could not.
    assert said(state, "HintSave", kind="colour", careful="newest") is None
    assert said(state, "HintSave", kind="rank", careful="newest") == HINT_1 + 2
    # Once touched it is no longer the one to be discarded: that is y1.
    assert said(state_of(*hands, discards="g3", hints=((1, "3"),)), "HintSave") is None


def test_the_most_telling_hint():
    # All five are white: naming that rules out 4 colours for each; a rank leaves 4 cards alone.
    state = state_of(MINE, "w1 w2 w3 w4 w5")
    assert said(state, "HintMost") == HINT_RED + COLOURS.index("white")
    assert said(state, "HintMost", careful="newest") == HINT_1, "a white 5 could be a 1"
    assert said(state_of(tokens=1), "HintMost", min_tokens=2) is None
    everything = [(1, what) for what in (*COLOURS, *"12345")]
    assert said(state_of(hints=tuple(everything)), "HintMost") is None


def test_discards():
    state = state_of(hints=((0, "red"),), tokens=4)
    assert said(state, "Discard") == DISCARD_0 + 2
    assert said(state, "Discard", card="newest_unhinted") == DISCARD_0 + 4
    assert said(state, "Discard", card="oldest") == DISCARD_0
    assert said(state, "Discard", card="newest") == DISCARD_0 + 4
    # The 5s are last copies: 1 of 9 unseen reds, 4 of 36 unseen others; of equals the oldest.
    assert said(state, "Discard", card="safest") == DISCARD_0
    # All but one r4 gone, a red card is more often a last copy.
    gone = state_of(hints=((0, "red"),), tokens=4, discards="r4")
    assert said(gone, "Discard", card="safest") == DISCARD_0 + 2
    assert said(state, "Discard", max_tokens=3) is None
    assert said(state_of(), "Discard") is None, "not with all tokens"
    assert said(state, "DiscardUseless") is None
    useless = state_of(hints=((0, "1"),), fireworks=dict.fromkeys(COLOURS, 1), tokens=4)
    assert said(useless, "DiscardUseless") == DISCARD_0


def test_where_no_rule_applies_the_oldest_card_goes_or_the_most_telling_hint_is_given():
    never = jnp.zeros(SCENARIO.vocabulary.num_arguments, jnp.int32)  # max_deck 0, and 40 are left
    for tokens, turn, expected in ((3, 1, DISCARD_0), (8, 0, HINT_RED + 3)):
        state = state_of(MINE, "w1 w2 w3 w4 w5", tokens=tokens, turn=turn)
        applies, action = _say(2)(state, jnp.array(0), never)
        assert not applies[turn] and action[turn] == expected
        assert action[1 - turn] == NOTHING


def test_hints_among_four_players_go_to_whom_they_are_meant_for():
    hands = ("r2 r3 y3 w4", "g1 r4 r5 w2", "r2 g4 b3 y5", "b1 b4 g5 w5")
    state = state_of(*hands, turn=2)
    # To agent_3 (next of agent_2) colours 8..12, to agent_0 13..17, to agent_1 18..22; ranks 23...
    found = said(state, "HintPlayable", player=2, kind="rank", receiver="next")
    assert found == 23  # b1 by rank 1
    blocked = state_of(*hands, hints=((3, "1"),), turn=2)
    assert said(blocked, "HintPlayable", player=2, kind="rank", receiver="next") is None
    assert said(blocked, "HintPlayable", player=2, kind="rank", receiver="any") == 23 + 10
    green = said(blocked, "HintPlayable", player=2, kind="colour", receiver="any")
    assert green == 18 + COLOURS.index("green")
    legal = scenario_for(4).env
    assert legal.spec.horizon == 34 + 41 + 4


# -------------------------------------------------------------------- plans and pictures


@pytest.mark.slow
def test_a_convention_that_fits_scores_well_and_one_that_does_not_does_not():
    ran = executed().episodes
    good, misunderstood, reckless = np.asarray(ran.measures["score"]).reshape(3, 32).mean(1)
    assert good > 19
    assert misunderstood < 13 and reckless < 3
    assert np.asarray(ran.record.legal)[np.asarray(ran.valid)].all()


def test_feedback_tells_plays_and_mistakes():
    done = executed()
    record = done.episodes.record
    kept = jax.tree.map(
        lambda leaf: np.asarray(leaf)[:32, :89], (record.state, record.memory.targets)
    )
    length = np.asarray(done.episodes.length)[:32]
    steps = np.minimum(np.arange(89), length[:, None] - 1)
    still = jax.tree.map(lambda leaf: leaf[np.arange(32)[:, None], steps], kept)
    told = SCENARIO.feedback(*still)
    right, wrong, hints = 0.0, 0.0, 0.0
    for agent in AGENTS:
        words = told[agent].split()
        right += float(words[2])
        wrong += float(words[6])
        hints += float(words[words.index("hints;") - 1])
    score, lost = (
        np.asarray(done.episodes.measures[name])[:32] for name in ("score", "lives_lost")
    )
    assert right == pytest.approx(score.mean(), abs=0.11)  # each player's is rounded to 0.1
    assert wrong == pytest.approx(lost.mean(), abs=0.011)
    assert 20 < hints < 50
    assert f"games took {length.mean():.1f} turns" in told[EVERYONE]


def test_moves_have_names_and_cards_a_place():
    shape = (4, 4, 5, 5)
    assert (
        drawing.move_name(3, 0, shape) == "discards" and drawing.move_name(4, 0, shape) == "plays"
    )
    assert drawing.move_name(8, 2, shape) == "hints red to agent_3"
    assert drawing.move_name(23 + 10 + 4, 2, shape) == "hints 5s to agent_1"
    assert drawing.move_name(38, 2, shape) == "nothing"
    state = state_of(hints=((1, "1"),), fireworks={"red": 2}, discards="y1", tokens=5)
    text = SCENARIO.describe(state)
    assert "agent_1 holds, oldest first: red 1, yellow 1, green 3, white 4, blue 2" in text
    assert "fireworks: red 2, yellow 0" in text and "tokens 5, lives 3, cards to draw 40" in text
