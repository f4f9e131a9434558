"""Random plans are valid, different for every seed, and use all that a vocabulary has."""

import line_world

from leed_jax import instructions
from leed_jax.random_plans import random_plan


def test_they_are_valid_and_come_back_from_their_encoding():
    vocabulary = line_world.scenario().vocabulary
    plans = [random_plan(vocabulary, seed) for seed in range(50)]
    assert instructions.decode(instructions.encode(plans, vocabulary), vocabulary) == plans


def test_a_seed_fixes_a_plan_and_another_gives_another():
    vocabulary = line_world.scenario().vocabulary
    assert random_plan(vocabulary, 3) == random_plan(vocabulary, 3)
    assert random_plan(vocabulary, 3) != random_plan(vocabulary, 4)


def test_everything_that_may_be_said_is_said():
    vocabulary = line_world.scenario().vocabulary
    said = [
        instruction
        for seed in range(200)
        for agent in random_plan(vocabulary, seed).values()
        for instruction in agent.instructions
    ]
    assert {item.command for item in said} == {c.name for c in vocabulary.commands}
    untils = {item.until for item in said}
    assert untils == {None, *(condition.name for condition in vocabulary.conditions)}
    assert {item.max_steps for item in said} == {None, *range(1, vocabulary.horizon + 1)}


def test_a_vocabulary_without_times_gets_plans_without_them():
    vocabulary = line_world.scenario().vocabulary._replace(timed=False)
    for seed in range(20):
        for agent in random_plan(vocabulary, seed).values():
            assert not agent.repeat
            assert all((i.until, i.max_steps) == (None, None) for i in agent.instructions)
