"""Laws that hold for any input: what is written is what is read, and padding changes nothing."""

import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import line_world
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leed_jax import answers, cli, demonstrations, instructions, loggers, scenarios
from leed_jax.cli import RunConfig
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.demonstrations import DemonstrationArrays, Demonstrations
from leed_jax.generation import GenerationConfig, records, transcripts
from leed_jax.generation.records import Message, Outcome, Round, Unanswered
from leed_jax.instructions import (
    ANY_EPISODE,
    AgentPlan,
    Choice,
    Instruction,
    Number,
    Parameter,
    Plan,
    Vocabulary,
)
from leed_jax.random_plans import random_plan
from leed_jax.settings import from_json
from leed_jax.types import EnvSpec

# beartype, which checks every annotation here, draws the items that it looks at.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")
ROOT = Path(__file__).parents[1]
LINE = line_world.VOCABULARY
SMALL = settings(max_examples=60)
TINY = settings(max_examples=20)


# ------------------------------------------------------------------------------------ plans


def values(parameter: Parameter) -> st.SearchStrategy[Any]:
    if isinstance(parameter, Choice):
        return st.sampled_from(parameter.options)
    codes = st.integers(0, parameter.encode(parameter.high))
    return codes.map(lambda code: _number(parameter, code))


def _number(parameter: Number, code: int) -> float:
    value = min(round(parameter.decode(code), 9), parameter.high)
    return int(value) if parameter.whole else value


def plans(vocabulary: Vocabulary) -> st.SearchStrategy[Plan]:
    limits: Any = st.none()
    untils: Any = st.none()
    if vocabulary.timed:
        limits = st.none() | st.integers(1, vocabulary.horizon)
        untils = st.sampled_from([None, *(c.name for c in vocabulary.conditions)])
    said = st.one_of(
        *(
            st.builds(
                Instruction,
                st.just(command.name),
                st.fixed_dictionaries({p.name: values(p) for p in command.parameters}),
                untils,
                limits,
            )
            for command in vocabulary.commands
        )
    )
    rows = st.lists(said, min_size=1, max_size=vocabulary.max_instructions).map(tuple)
    agent = st.builds(AgentPlan, rows, st.booleans() if vocabulary.timed else st.just(False))
    return st.fixed_dictionaries(dict.fromkeys(vocabulary.agents, agent))


def said(plan: Plan, vocabulary: Vocabulary) -> str:
    mapping = instructions.to_mapping(plan, timed=vocabulary.timed)
    return json.dumps({"comment": "", "plans": {ANY_EPISODE: mapping}})


@SMALL
@given(st.lists(plans(LINE), min_size=1, max_size=3))
def test_plans_come_back_from_integers_and_from_json(given_plans: list[Plan]) -> None:
    encoded = instructions.encode(given_plans, LINE)
    assert instructions.decode(encoded, LINE) == given_plans
    for plan in given_plans:
        assert answers.parse(said(plan, LINE), LINE) == {ANY_EPISODE: plan}


@SMALL
@given(plans(LINE), st.integers(1, 9))
def test_more_room_for_instructions_only_adds_rows_that_are_not_valid(
    plan: Plan, more: int
) -> None:
    wide = LINE._replace(max_instructions=LINE.max_instructions + more)
    encoded, padded = instructions.encode([plan], LINE), instructions.encode([plan], wide)
    count = LINE.max_instructions
    np.testing.assert_array_equal(encoded.rows, padded.rows[:, :, :count])
    np.testing.assert_array_equal(encoded.valid, padded.valid[:, :, :count])
    assert not padded.valid[:, :, count:].any() and not padded.rows[:, :, count:].any()
    assert instructions.decode(padded, wide) == [plan]


@SMALL
@given(st.floats(-3, 3), st.floats(0.01, 5), st.floats(0.001, 1), st.floats(0, 1))
def test_a_number_comes_back_within_half_its_resolution(
    low: float, width: float, resolution: float, share: float
) -> None:
    parameter = Number("n", low, low + width, resolution, "")
    value = low + share * width
    assert abs(parameter.decode(parameter.encode(value)) - value) <= resolution / 2 + 1e-9


@pytest.mark.parametrize("name", scenarios.names())
def test_random_plans_of_every_scenario_come_back_from_integers_and_from_json(name: str) -> None:
    try:
        vocabulary = scenarios.make(name).vocabulary
    except ImportError as error:  # of an optional package
        pytest.skip(str(error))
    drawn = [random_plan(vocabulary, seed) for seed in range(5)]
    encoded = instructions.encode(drawn, vocabulary)
    assert instructions.decode(encoded, vocabulary) == drawn
    assert answers.parse(said(drawn[0], vocabulary), vocabulary) == {ANY_EPISODE: drawn[0]}


# --------------------------------------------------------------------------- demonstrations


@st.composite
def recorded(draw: st.DrawFn) -> Demonstrations:
    k, s, n, d, a = (draw(st.integers(1, 4)) for _ in range(5))
    continuous = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    valid = rng.random((k, s, n)) < 0.7
    valid[0, 0, 0] = True
    mask = rng.random((k, s, n, a)) < 0.6
    action: Any = rng.integers(0, a, (k, s, n)).astype(np.int32)
    np.put_along_axis(mask, action[..., None], True, -1)
    if continuous:
        action = rng.uniform(-1, 1, (k, s, n, a)).astype(np.float32)
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    observation = rng.normal(size=(k, s, n, d)).astype(np.float32)
    observation[0, 0, 0, 0] = draw(numbers)
    arrays = DemonstrationArrays(
        observation=observation,
        action=action,
        action_mask=mask,
        reward=rng.normal(size=(k, s, n)).astype(np.float32),
        valid=valid,
        returns=rng.normal(size=(k, n)).astype(np.float32),
    )
    agents = draw(st.lists(st.text(min_size=1), min_size=n, max_size=n, unique=True))
    spec = EnvSpec(
        draw(st.text()),
        tuple(agents),
        (d,) * n,
        (a,) * n,
        draw(st.integers(1, 10**6)),
        draw(st.floats(0.01, 1)),
        continuous,
        draw(st.sampled_from([None, (1, d)])),
    )
    measures = draw(st.dictionaries(st.text(), st.floats(allow_nan=False), max_size=3))
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    provenance = draw(st.dictionaries(st.text(), leaves | st.lists(leaves), max_size=3))
    return Demonstrations(arrays, spec, measures, provenance)


@SMALL
@given(recorded())
def test_demonstrations_come_back_from_their_file(demos: Demonstrations) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "demos.npz")
        demos.save(path)
        found = demonstrations.load(path)
    assert dataclasses.replace(found, arrays=demos.arrays) == demos
    for name, one in demos.arrays._asdict().items():
        other = getattr(found.arrays, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, err_msg=name)


@TINY
@given(recorded(), st.integers(1, 3), st.sampled_from(["uniform", "return", "advantage"]))
def test_padding_of_episodes_changes_no_row(
    demos: Demonstrations, more: int, weighting: Any
) -> None:
    def longer(array: Any) -> Any:
        if array.ndim < 3:
            return array
        return np.pad(array, [(0, 0), (0, more)] + [(0, 0)] * (array.ndim - 2))

    arrays = DemonstrationArrays(*map(longer, demos.arrays))
    padded = dataclasses.replace(demos, arrays=arrays)
    jax.tree.map(np.testing.assert_array_equal, demos.rows(weighting), padded.rows(weighting))
    assert padded.num_steps == demos.num_steps


# ------------------------------------------------------------------------------ transcripts

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.none() | st.integers(0, 10**9)
rounds = st.builds(
    Round,
    round=st.integers(1, 9),
    group=st.integers(0, 3),
    prompt=st.lists(st.builds(Message, role=texts, content=texts), max_size=2),
    answer=texts,
    model=texts,
    date=texts,
    source=texts,
    finish_reason=st.none() | texts,
    prompt_tokens=counts,
    completion_tokens=counts,
    cost_usd=st.none() | st.floats(0, 10),
    seconds=st.floats(0, 1e6),
    failures=st.lists(texts, max_size=2).map(tuple),
    outcome=st.builds(Outcome, valid=st.booleans(), rejection=st.none() | texts),
)


@SMALL
@given(st.lists(rounds, max_size=3), st.none() | texts, st.integers(0, 99), texts)
def test_a_transcript_comes_back_from_its_file(
    kept: list[Round], ended: str | None, conversation: int, name: str
) -> None:
    wanted = records.Specification(name, {"a": [1, None, "b"]}, "relational", "return")
    silent = Unanswered(round=1, prompt=[], source="litellm", failures=("one",), reason="none")
    made = records.transcript(wanted, conversation, kept, ended, unanswered=[silent])
    with tempfile.TemporaryDirectory() as folder:
        path = transcripts.create(Path(folder, "kept.json"), made)
        assert transcripts.load(path) == made and made.specification == wanted


WRITER = """
import sys
from leed_jax.generation import records, transcripts
from leed_jax.generation.records import Message, Outcome, Round

folder, writer = sys.argv[1:]
wanted = records.Specification("toy/line", {}, "relational", "return")
for conversation in range(5):
    path = transcripts.new_path(folder, wanted, conversation, "litellm")
    kept = []
    for number in range(1, 4):
        prompt = [Message(role="user", content="x" * 20_000)]
        facts = dict(round=number, prompt=prompt, model=writer, date="", source="litellm")
        kept.append(Round(answer=writer, outcome=Outcome(valid=True), **facts))
        made = records.transcript(wanted, conversation, kept)
        if number == 1:
            path = transcripts.create(path, made)
        else:
            transcripts.save(path, made)
        for found in transcripts.recorded(wanted, folder):  # whole at every moment
            assert len({item.model for item in found.rounds}) == 1
"""


def test_processes_that_record_into_one_folder_lose_and_mix_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    running = [
        subprocess.Popen([*command, f"writer-{n}"], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    for process in running:
        _, said = process.communicate()
        assert process.returncode == 0, said
    wanted = records.Specification("toy/line", {}, "relational", "return")
    found = transcripts.recorded(wanted, tmp_path)
    assert len(found) == 15
    by = {(item.rounds[0].model, item.conversation) for item in found}
    assert by == {(f"writer-{n}", c) for n in range(3) for c in range(5)}
    assert all([kept.round for kept in item.rounds] == [1, 2, 3] for item in found)
    assert not list(tmp_path.rglob("*.partial"))


# ----------------------------------------------------------------------------------- config

positive = st.floats(1e-6, 10)
shares = st.floats(0, 1)
networks = st.builds(
    NetworkConfig,
    kind=st.sampled_from(["mlp", "gru", "cnn"]),
    hidden_sizes=st.lists(st.integers(1, 512), min_size=1, max_size=3).map(tuple),
    activation=st.sampled_from(["tanh", "relu"]),
)
experts = st.builds(
    ExpertConfig,
    weight=positive,
    schedule=st.sampled_from(["constant", "linear", "cosine", "polynomial"]),
    decay_fraction=st.floats(0.01, 1),
    labels=st.sampled_from(["demonstrations", "visited", "both"]),
)
trainings = st.builds(
    TrainConfig,
    total_steps=st.integers(10**5, 10**9),
    num_envs=st.sampled_from([16, 64]),
    num_minibatches=st.sampled_from([1, 2, 16]),
    learning_rate=positive,
    anneal_learning_rate=st.booleans(),
    gamma=shares,
    entropy_coefficient=shares,
    network=networks,
    expert=experts,
)
words = st.text("abcxyz0189_-.", min_size=1, max_size=8).filter(lambda text: text[0].isalpha())


@TINY
@given(trainings)
def test_training_settings_come_back_from_json(config: TrainConfig) -> None:
    text = json.dumps(loggers.jsonable(dataclasses.asdict(config)))
    assert from_json(TrainConfig, json.loads(text)) == config


def spelled(config: Any, default: Any, prefix: str = "") -> list[str]:
    """``--a.b value`` for every field that is not the default."""
    found = []
    for field in dataclasses.fields(config):
        value, usual = getattr(config, field.name), getattr(default, field.name)
        name = f"{prefix}{field.name}"
        if value == usual:
            continue
        if dataclasses.is_dataclass(value):
            found += spelled(value, usual, f"{name}.")
        elif isinstance(value, bool):
            head, dot, last = name.rpartition(".")
            found.append(f"--{head}{dot}{'' if value else 'no-'}{last}")
        elif isinstance(value, tuple):
            found += [f"--{name}", *map(str, value)]
        elif isinstance(value, dict):
            found += [f"--{name}", *(part for pair in value.items() for part in pair)]
        else:
            found.append(f"--{name}={value!r}" if isinstance(value, float) else f"--{name}={value}")
    return found


@TINY
@given(
    trainings,
    st.dictionaries(words, words, min_size=1, max_size=2),
    st.integers(1, 9),
    st.integers(1, 5),
    positive,
)
def test_a_run_comes_back_from_its_command_line(
    train: TrainConfig, options: dict[str, str], agents: int, rounds: int, seconds: float
) -> None:
    asking = GenerationConfig(max_rounds=rounds, timeout_seconds=seconds, api_key="SOME_KEY")
    config = RunConfig(
        num_agents=agents,
        options=options,
        methods=("bc", "leed"),
        name="a.b+c",
        results=Path("some where/x"),
        progress=False,
        train=train,
        generation=asking,
    )
    assert cli.parse(spelled(config, RunConfig())) == config


@pytest.mark.parametrize(
    "fields",
    [
        {"network": {"kind": "mlp", "__class__": "os.system"}},
        {"network": {"_target_": "os.system"}},
        {"callback": "os.system"},
        {"expert": {"!!python/object/apply:os.system": ["true"]}},
    ],
)
def test_a_configuration_in_a_file_cannot_name_code(fields: dict[str, Any]) -> None:
    card = json.loads(json.dumps(dataclasses.asdict(TrainConfig())))
    merged = card | {
        name: {**card.get(name, {}), **value} if isinstance(value, dict) else value
        for name, value in fields.items()
    }
    with pytest.raises(ValueError, match="has no field"):
        from_json(TrainConfig, merged)


@pytest.mark.parametrize("name", ["os", "os.path", "../evil", "leed_jax.cli", "mpe._particles"])
def test_a_scenario_is_found_by_its_registered_name_and_by_no_module(name: str) -> None:
    with pytest.raises(ValueError, match="no scenario"):
        scenarios.make(name)
