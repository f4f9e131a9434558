"""What every scenario keeps to, whoever wrote it: a new file is tested from the day it appears."""

import functools
import inspect
import json
import math
import re
from typing import Any, NamedTuple

import families
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from leed_jax import execution, instructions, scenarios
from leed_jax.instructions import AgentPlan, Choice, Command, Instruction
from leed_jax.random_plans import random_plan
from leed_jax.scenarios import EVERYONE

CASES = [(name, families.SMALLER.get(name, {})) for name in scenarios.names()]
CASES += [("mpe/simple_spread", {"num_agents": count}) for count in (4, 5, 6)]
LARGEST_GROUP = 16
"""Agents that a description is tried with where it can be had for some of them."""


MOST_STEPS = 60
"""Longer episodes are not played to their end step by step, except by the compiled executor."""


class Case(NamedTuple):
    """A scenario with its compiled functions, and how often they were traced."""

    scenario: scenarios.Scenario
    reset: Any
    step: Any
    traces: dict[str, int]


@functools.cache
def compiled(index: int) -> Case:
    name, options = CASES[index]
    needed = families.missing(name)
    if needed:
        pytest.skip(needed)
    scenario = scenarios.make(name, **options)
    traces = {"reset": 0, "step": 0}

    def reset(key: Any) -> Any:
        traces["reset"] += 1
        return scenario.env.reset(key)

    def step(key: Any, state: Any, action: Any) -> Any:
        traces["step"] += 1
        return scenario.env.step(key, state, action)

    return Case(scenario, jax.jit(reset), jax.jit(step), traces)


def marked(index: int) -> Any:
    name, options = CASES[index]
    marks = [] if families.by_default(name) and len(options) == 0 else [pytest.mark.slow]
    return pytest.param(index, id=f"{name}-{options}", marks=marks)


@pytest.fixture(params=[marked(index) for index in range(len(CASES))])
def case(request: pytest.FixtureRequest) -> Case:
    return compiled(request.param)


def test_arrays_have_the_shapes_of_the_spec_and_an_episode_ends_in_time(case):
    spec = case.scenario.env.spec
    n, d, a = spec.num_agents, spec.observation_size, spec.num_actions
    state, step = case.reset(jax.random.key(0))
    size = step.global_state.shape
    assert float(abs(step.reward).max()) == 0 and not step.over
    steps = min(spec.horizon, MOST_STEPS)
    for index in range(steps):
        for name, shape, dtype in (
            ("observation", (n, d), jnp.float32),
            ("reward", (n,), jnp.float32),
            ("terminated", (n,), bool),
            ("truncated", (), bool),
            ("action_mask", (n, a), bool),
            ("decision", (n,), bool),
            ("global_state", size, jnp.float32),
        ):
            values = getattr(step, name)
            assert (values.shape, values.dtype) == (shape, dtype), name
            assert np.isfinite(values).all(), name
        assert not step.over, "the environment ends before its actions are used up"
        assert step.action_mask.any(-1).all(), "an agent without a legal action"
        true_sizes = np.array(spec.action_sizes)[:, None]
        assert not (step.action_mask & (np.arange(a) >= true_sizes)).any()
        action = jnp.zeros((n, a)) if spec.continuous else step.action_mask.argmax(-1)
        state, step = case.step(jax.random.key(index), state, action)
        if step.over:
            break
    assert step.over or steps < spec.horizon, "the horizon is longer than the spec says"
    assert case.traces == {"reset": 1, "step": 1}, "compiled more than once"
    for measure in case.scenario.env.measures:
        assert np.isfinite(measure.read(state)) and measure.meaning


def test_a_description_is_short_finite_rounded_and_the_same_every_time(case):
    state, _ = case.reset(jax.random.key(1))
    scenario = case.scenario
    if scenario.for_agents is not None:  # large teams are asked in groups
        scenario = scenario.for_agents(scenario.env.spec.agents[:LARGEST_GROUP])
    text = scenario.describe(state)
    assert text and len(text) < 20_000
    assert text == scenario.describe(state)
    assert not re.search(r"\b(nan|inf)\b", text.lower())
    numbers = re.findall(r"[-+]?\d+(?:\.\d+)?", text)
    assert all(math.isfinite(float(number)) for number in numbers)
    assert all(len(number.partition(".")[2]) <= 2 for number in numbers)


def extremes(command: Command, last: bool) -> dict[str, Any]:
    """The first, or the last, value of every parameter."""
    return {
        parameter.name: parameter.options[-last]
        if isinstance(parameter, Choice)
        else (parameter.high if last else parameter.low)
        for parameter in command.parameters
    }


def test_every_command_gives_legal_actions_and_ends_with_max_steps(case):
    scenario, vocabulary = case.scenario, case.scenario.vocabulary
    limit = 2 if vocabulary.timed else None
    assert len(scenario.controls.controllers) == len(vocabulary.commands)
    assert len(scenario.controls.conditions) == len(vocabulary.conditions)
    lists = [
        AgentPlan((Instruction(command.name, values, max_steps=limit), Instruction(*other)))
        for command in vocabulary.commands
        for last in (False, True)
        for values in [extremes(command, last)]
        for other in [(vocabulary.commands[0].name, extremes(vocabulary.commands[0], last))]
    ]
    plans = [dict.fromkeys(vocabulary.agents, agent_plan) for agent_plan in lists]
    encoded = instructions.encode(plans, vocabulary)
    state, step = case.reset(jax.random.key(2))

    @jax.jit
    def label_thrice(rows: Any, valid: Any) -> Any:
        guide = execution.expert(scenario, rows, valid)
        memory, actions = guide.init(state), []
        for _ in range(3):
            action, memory = guide.label(state, memory)
            actions.append(action)
        return jnp.stack(actions), memory.counter

    with jax.numpy_dtype_promotion("strict"):
        actions, counter = jax.vmap(label_thrice)(
            jnp.asarray(encoded.rows), jnp.asarray(encoded.valid)
        )
    legal = np.asarray(step.allows(actions))
    assert legal[..., np.asarray(step.decision)].all()
    if vocabulary.timed:
        np.testing.assert_array_equal(counter, np.ones_like(counter))
    else:  # no end but the commands' own, and the last one stays in force
        assert counter.min() >= 0 and counter.max() <= 1


def test_random_plans_play_whole_episodes_of_legal_actions_that_end_for_a_reason(case):
    scenario, env = case.scenario, case.scenario.env
    plans = [random_plan(scenario.vocabulary, seed) for seed in range(3)]
    encoded = instructions.encode(plans, scenario.vocabulary)
    assert instructions.decode(encoded, scenario.vocabulary) == plans

    def play(rows: Any, valid: Any, key: Any) -> Any:
        policy = execution.as_policy(execution.expert(scenario, rows, valid))

        def step(now: Any, key: Any) -> Any:
            state, before, memory, over = now
            memory, action = policy.act(memory, state, before, key)
            state, after = env.step(key, state, action)
            read = jnp.array([jnp.asarray(m.read(state), jnp.float32) for m in env.measures])
            kept = (before.decision, memory[0], before.allows(action), action, after.reward, read)
            ended = (after.truncated, after.terminated.all(), after.over)
            return (state, after, memory, over | after.over), (~over, kept, ended)

        state, first = env.reset(key)
        start = (state, first, policy.init(state, first), jnp.array(False))
        return jax.lax.scan(step, start, jax.random.split(key, env.spec.horizon))[1]

    rows, valid = map(jnp.asarray, encoded)
    keys = jax.random.split(jax.random.key(5), len(plans))
    inside, kept, ended = jax.device_get(jax.jit(jax.vmap(play))(rows, valid, keys))
    decision, asked, allowed, action, reward, read = kept
    acting = inside[..., None] & decision
    assert allowed[inside].all(), "an illegal action was executed"
    assert asked[acting].mean() > 0.9, "controllers ask for what is not legal"
    for values in (action, reward, read):
        assert np.isfinite(values[inside]).all()
    if env.spec.continuous:
        assert (np.abs(action[acting]) <= 1 + 1e-6).all(), "continuous actions are in [-1, 1]"
    truncated, terminated, over = ended
    assert (inside & over).sum(1).tolist() == [1] * len(plans), "every episode ends, once"
    assert not (truncated & terminated)[inside].any(), "an end is of one kind"
    # The time limit is the same for every episode: whatever ends earlier is terminated.
    longest = inside.sum(1).max()
    for k, length in enumerate(inside.sum(1)):
        assert terminated[k, length - 1] or length == longest


def targets_of(case: Case, state: Any) -> Any:
    """The targets of everyone's first command."""
    vocabulary = case.scenario.vocabulary
    first = vocabulary.commands[0]
    todo = AgentPlan((Instruction(first.name, extremes(first, False)),))
    guide = execution.make_expert(case.scenario, dict.fromkeys(vocabulary.agents, todo))
    return jax.jit(guide.init)(state).targets


def test_feedback_tells_every_agent_something_finite(case):
    state, _ = case.reset(jax.random.key(3))
    # Two episodes of three steps in which nothing moves.
    states, targets = jax.tree.map(
        lambda leaf: np.broadcast_to(leaf, (2, 3, *jnp.shape(leaf))),
        (state, targets_of(case, state)),
    )
    told = dict(case.scenario.feedback(states, targets))
    team = told.pop(EVERYONE, "said of nobody")
    assert 0 < len(team) < 20_000 and not re.search(r"\b(nan|inf)\b", team)
    assert tuple(told) == case.scenario.env.spec.agents
    for text in told.values():
        assert 0 < len(text) < 1000 and "nan" not in text and "inf " not in text


def test_a_frame_can_be_drawn_with_and_without_targets(case):
    state, _ = case.reset(jax.random.key(4))
    pictures = []
    for shown in (None, targets_of(case, state)):
        canvas = FigureCanvasAgg(Figure(figsize=(2, 2), dpi=50))
        case.scenario.draw(canvas.figure.subplots(), state, shown)
        canvas.draw()
        pictures.append(np.array(canvas.buffer_rgba()))
    blank = np.full_like(pictures[0], 255)
    assert (pictures[0] != blank).any()
    # On a road a vehicle is seen where its target has sent it.
    if not case.scenario.name.startswith("road/"):
        assert (pictures[0] != pictures[1]).any(), "the targets are not to be seen"


def test_the_words_fit_the_world(case):
    scenario, vocabulary = case.scenario, case.scenario.vocabulary
    assert vocabulary.agents == scenario.env.spec.agents
    assert 1 <= vocabulary.horizon <= scenario.env.spec.horizon
    names = [command.name for command in vocabulary.commands]
    assert len(set(names)) == len(names)
    for thing in (*vocabulary.commands, *vocabulary.conditions):
        assert thing.meaning
    assert set(scenario.advice) >= {"learnable", "return"}
    assert scenario.task


def test_options_hold_the_defaults_and_can_be_written_down(case):
    scenario = case.scenario
    known = list(inspect.signature(scenarios._modules()[scenario.name].make).parameters)[1:]
    assert set(scenario.options) == set(known)
    again = scenarios.make(scenario.name, **json.loads(json.dumps(scenario.options)))
    assert again.env.spec == scenario.env.spec
    assert again.vocabulary == scenario.vocabulary


def test_unknown_names_and_options_are_answered_with_what_there_is():
    with pytest.raises(ValueError, match="no scenario 'mpe/spread'; nearest: mpe/simple_spread"):
        scenarios.make("mpe/spread")
    with pytest.raises(TypeError, match="no option agents; its options: num_agents"):
        scenarios.make("mpe/simple_spread", agents=3)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("smax/3n", "smax/3m"),
        ("overcooked_v2/cramped", "overcooked_v2/cramped_room"),
        ("hanabi", "hanabi/full"),
        ("mpe/tag", "mpe/simple_tag"),
    ],
)
def test_a_wrong_map_layout_or_family_is_answered_with_the_nearest_names(wrong, nearest):
    with pytest.raises(ValueError, match=f"no scenario '{wrong}'; nearest: .*{nearest}"):
        scenarios.make(wrong)


def test_numbers_for_prompts_are_rounded_and_never_minus_zero():
    assert str(scenarios.rounded([[-0.001, 1.005], [2.344, -3]])) == "[0.0, 1.0, 2.34, -3.0]"
