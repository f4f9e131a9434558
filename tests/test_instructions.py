"""What a model may say is checked, explained, and comes through the encoding unharmed."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leed_jax import answers, instructions
from leed_jax.instructions import (
    AgentPlan,
    Choice,
    Command,
    Condition,
    Instruction,
    Number,
    Vocabulary,
)

GO = Command(
    "Go",
    "go somewhere",
    (
        Choice("place", ("home", "shop", "lake"), "where to"),
        Number("speed", 0.0, 0.6, 0.05, "how fast"),
    ),
)
WAIT = Command("Wait", "stay")
VOCABULARY = Vocabulary(
    agents=("ann", "bob"),
    commands=(GO, WAIT),
    conditions=(Condition("night", "it is dark"), Condition("rain", "it rains")),
    horizon=20,
    max_instructions=4,
)
WAIT_PLAN = AgentPlan((Instruction("Wait"),))
UNTIMED = VOCABULARY._replace(timed=False)
HOUSES = tuple(f"h{number}" for number in range(300))
STREET = VOCABULARY._replace(
    commands=(Command("Visit", "go there", (Choice("house", HOUSES, "where to"),)), WAIT)
)


def go(place: str = "home", speed: float = 0.0, **ends: Any) -> Instruction:
    return Instruction("Go", {"place": place, "speed": speed}, **ends)


def answer(ann: Any, bob: Any = None) -> str:
    """An answer in which one agent does something noteworthy."""
    bob = {"instructions": [{"command": "Wait"}]} if bob is None else bob
    return json.dumps({"plans": {"any_episode": {"ann": ann, "bob": bob}}})


def rejection(text: str, vocabulary: Vocabulary = VOCABULARY) -> str:
    with pytest.raises(answers.InvalidAnswerError) as caught:
        answers.parse(text, vocabulary)
    return str(caught.value)


# --------------------------------------------------------------------------------- encoding


def test_a_row_holds_op_arguments_until_limit_and_repeat():
    plan = {"ann": AgentPlan((Instruction("Wait"), go("lake", 0.35, until="rain", max_steps=9)))}
    plan["bob"] = AgentPlan((Instruction("Wait", max_steps=3),), repeat=True)
    encoded = instructions.encode([plan], VOCABULARY)
    # Columns: op, place, speed, until, max_steps, repeat. Wait is command 1 and has no arguments.
    # Go is command 0, lake option 2, 0.35 / 0.05 = 7, rain condition 1 + 1 = 2.
    expected = np.zeros((1, 2, 4, 6), int)
    expected[0, 0, 0] = [1, 0, 0, 0, 0, 0]
    expected[0, 0, 1] = [0, 2, 7, 2, 9, 0]
    expected[0, 1, 0] = [1, 0, 0, 0, 3, 1]
    np.testing.assert_array_equal(encoded.rows, expected)
    np.testing.assert_array_equal(encoded.valid, [[[1, 1, 0, 0], [1, 0, 0, 0]]])


def test_a_decoded_limit_can_be_encoded_again():
    # 12 * 0.05 = 0.6000000000000001 in floating point, which is above the limit 0.6.
    plan = {"ann": AgentPlan((go(speed=0.6),)), "bob": WAIT_PLAN}
    encoded = instructions.encode([plan], VOCABULARY)
    assert encoded.rows[0, 0, 0, 2] == 12
    assert instructions.decode(encoded, VOCABULARY) == [plan]


ENDS = {
    "until": st.sampled_from(["night", "rain"]),
    "max_steps": st.integers(1, VOCABULARY.horizon),
}
ITEMS = st.fixed_dictionaries({"command": st.just("Wait")}, optional=ENDS) | st.fixed_dictionaries(
    {
        "command": st.just("Go"),
        "place": st.sampled_from(["home", "shop", "lake"]),
        "speed": st.integers(0, 12).map(lambda code: round(code * 0.05, 2)),
    },
    optional=ENDS,
)
AGENTS = st.fixed_dictionaries(
    {"instructions": st.lists(ITEMS, min_size=1, max_size=4), "repeat": st.booleans()}
)
PLANS = st.fixed_dictionaries({"ann": AGENTS, "bob": AGENTS})


@given(PLANS, PLANS)
@settings(max_examples=50)
def test_plans_survive_parsing_encoding_decoding_and_writing(first, second):
    text = json.dumps({"comment": "so be it", "plans": {"x": first, "y": second}})
    parsed = answers.parse(text, VOCABULARY, ("x", "y"))
    encoded = instructions.encode(list(parsed.values()), VOCABULARY)
    decoded = instructions.decode(encoded, VOCABULARY)
    assert decoded == list(parsed.values())
    assert [instructions.to_mapping(plan) for plan in decoded] == [first, second]


@pytest.mark.parametrize(
    ("instruction", "told"),
    [
        (Instruction("Fly"), "command must be one of Go, Wait; got 'Fly'"),
        (Instruction("Go", {"place": "home"}), r"Go takes \['place', 'speed'\], got \['place'\]"),
        (go("moon"), "place must be one of home, shop, lake; got 'moon'"),
        (go(speed=0.7), r"speed must be in \[0.0, 0.6\], got 0.7"),
        (go(speed=float("nan")), "speed must be in"),
        (go(until="noon"), "until must be one of night, rain; got 'noon'"),
        (go(max_steps=21), "max_steps must be in 1..20, got 21"),
        (go(max_steps=0), "max_steps must be in 1..20, got 0"),
        (go(max_steps=-1), "max_steps must be in 1..20, got -1"),
    ],
)
def test_encoding_names_the_place_and_what_is_allowed(instruction, told):
    plan = {"ann": WAIT_PLAN, "bob": AgentPlan((Instruction("Wait"), instruction))}
    with pytest.raises(ValueError, match=f"plan 0, bob, instruction 2: {told}"):
        instructions.encode([plan], VOCABULARY)


def test_encoding_refuses_missing_agents_and_wrong_numbers_of_instructions():
    with pytest.raises(ValueError, match=r"differs in .*bob"):
        instructions.encode([{"ann": WAIT_PLAN}], VOCABULARY)
    for count in (0, 5):
        plan = {"ann": WAIT_PLAN, "bob": AgentPlan((Instruction("Wait"),) * count)}
        with pytest.raises(ValueError, match=f"plan 0, bob: 1 to 4 .* got {count}"):
            instructions.encode([plan], VOCABULARY)


def test_without_times_the_last_columns_are_zero_and_nothing_else_is_taken():
    plain = {"ann": AgentPlan((go("lake", 0.35), Instruction("Wait"))), "bob": WAIT_PLAN}
    encoded = instructions.encode([plain], UNTIMED)
    expected = np.zeros((1, 2, 4, 6), int)
    expected[0, 0, 0] = [0, 2, 7, 0, 0, 0]
    expected[0, 0, 1] = expected[0, 1, 0] = [1, 0, 0, 0, 0, 0]
    np.testing.assert_array_equal(encoded.rows, expected)
    assert instructions.decode(encoded, UNTIMED) == [plain]
    for wrong, told in (
        (AgentPlan((go(max_steps=3),)), "plan 0, ann, instruction 1: .* neither until nor max_s"),
        (AgentPlan((go(until="rain"),)), "plan 0, ann, instruction 1: .* neither until nor max_s"),
        (AgentPlan((go(),), repeat=True), "plan 0, ann: this vocabulary has no repeat"),
    ):
        with pytest.raises(ValueError, match=told):
            instructions.encode([{**plain, "ann": wrong}], UNTIMED)


def test_long_lists_of_what_is_allowed_are_cut():
    assert instructions.listed([]) == "" and instructions.listed("ab") == "a, b"
    assert instructions.listed("abcdefghijklmnop") == ", ".join("abcdefghijklmnop")
    assert instructions.listed("abcdefghijklmnopq") == "a, b, c, d, e, f, g, h and 9 more"
    plan = {"ann": AgentPlan((Instruction("Visit", {"house": "x"}),)), "bob": WAIT_PLAN}
    with pytest.raises(ValueError, match=r"house must be one of h0, .*, h7 and 292 more; got 'x'"):
        instructions.encode([plan], STREET)


# ---------------------------------------------------------------------------------- parsing


def test_absent_ends_and_repeat_have_the_meaning_of_none():
    text = answer({"instructions": [{"command": "Go", "place": "shop", "speed": 0}]})
    assert answers.parse(text, VOCABULARY) == {
        "any_episode": {"ann": AgentPlan((go("shop"),), repeat=False), "bob": WAIT_PLAN}
    }


FIRST = "plan 'any_episode', ann, instruction 1"


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"command": "Fly"}, f"{FIRST}: unknown command 'Fly'; allowed: 'Go', 'Wait'"),
        ({}, f"{FIRST}: has no 'command'; allowed: Go, Wait"),
        ({"command": "Go", "place": "home"}, f"{FIRST}, command Go, field speed: is missing"),
        (
            {"command": "Go", "place": "moon", "speed": 0},
            f"{FIRST}, command Go, field place: Input should be 'home', 'shop' or 'lake' "
            "(got 'moon')",
        ),
        (
            {"command": "Go", "place": "home", "speed": 1},
            f"{FIRST}, command Go, field speed: Input should be less than or equal to 0.6 (got 1)",
        ),
        (
            {"command": "Wait", "speed": 0.1},
            f"{FIRST}, command Wait, field speed: is not a known name here; allowed: command, "
            "until, max_steps",
        ),
        (
            {"command": "Wait", "max_steps": 21},
            f"{FIRST}, command Wait, field max_steps: Input should be less than or equal to 20 "
            "(got 21)",
        ),
        (
            {"command": "Wait", "until": "noon"},
            f"{FIRST}, command Wait, field until: Input should be 'night' or 'rain' (got 'noon')",
        ),
    ],
)
def test_a_rejection_names_agent_position_and_what_is_allowed(item, told):
    assert rejection(answer({"instructions": [item]})) == f"The answer is not valid:\n- {told}"


def test_a_rejection_names_agents_that_are_missing_or_unknown():
    text = json.dumps({"plans": {"any_episode": {"ann": {"instructions": []}, "eve": 1}}})
    assert rejection(text).splitlines()[1:] == [
        "- plan 'any_episode', ann, field instructions: List should have at least 1 item after "
        "validation, not 0 (got [])",
        "- plan 'any_episode', bob: is missing",
        "- plan 'any_episode', eve: is not a known name here; allowed: ann, bob",
    ]


def test_a_rejection_of_a_single_command_vocabulary_names_the_field():
    only_go = VOCABULARY._replace(commands=(GO,))
    bob = {"instructions": [{"command": "Go", "place": "home", "speed": 0}]}
    text = answer({"instructions": [{"command": "Go", "place": "moon", "speed": 0}]}, bob)
    assert f"{FIRST}, command Go, field place: Input should be 'home'" in rejection(text, only_go)


def test_a_rejection_names_the_first_of_many_values():
    cut = "h0, h1, h2, h3, h4, h5, h6, h7 and 292 more"
    wrong = answer({"instructions": [{"command": "Visit", "house": "lake"}]})
    told = f"{FIRST}, command Visit, field house: must be one of {cut} (got 'lake')"
    assert rejection(wrong, STREET) == f"The answer is not valid:\n- {told}"
    crowd = VOCABULARY._replace(commands=(WAIT,), agents=HOUSES)
    plan = {"instructions": [{"command": "Wait"}]}
    wrong = json.dumps({"plans": {"any_episode": dict.fromkeys((*HOUSES, "eve"), plan)}})
    told = f"plan 'any_episode', eve: is not a known name here; allowed: {cut}"
    assert rejection(wrong, crowd) == f"The answer is not valid:\n- {told}"
    busy = STREET._replace(commands=tuple(Command(house, "") for house in HOUSES[:20]))
    cut = "'h0', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'h7' and 12 more"
    wrong = answer({"instructions": [{"command": "Fly"}]})
    assert f"unknown command 'Fly'; allowed: {cut}\n" in rejection(wrong, busy)


def test_every_one_of_many_values_is_in_the_schema_and_accepted():
    fields = answers.json_schema(STREET, ["x"])["$defs"]["Visit"]["properties"]
    assert fields["house"]["enum"] == list(HOUSES)
    text = answer({"instructions": [{"command": "Visit", "house": "h299"}]})
    (plan,) = answers.parse(text, STREET).values()
    assert plan["ann"].instructions[0].arguments == {"house": "h299"}


def test_answers_without_times_hold_none():
    text = answer({"instructions": [{"command": "Wait"}]})
    (plan,) = answers.parse(text, UNTIMED).values()
    assert plan == {"ann": WAIT_PLAN, "bob": WAIT_PLAN}
    assert instructions.to_mapping(plan, timed=False) == json.loads(text)["plans"]["any_episode"]
    place = "plan 'any_episode', ann"
    for agent, told in (
        ({"instructions": [{"command": "Wait", "max_steps": 2}]}, "max_steps: is not a known"),
        ({"instructions": [{"command": "Wait", "until": None}]}, "until: is not a known name"),
    ):
        found = rejection(answer(agent), UNTIMED)
        assert f"{place}, instruction 1, command Wait, field {told}" in found
        assert found.endswith("allowed: command")
    found = rejection(answer({"instructions": [{"command": "Wait"}], "repeat": False}), UNTIMED)
    assert f"{place}, field repeat: is not a known name here; allowed: instructions" in found


def test_numbers_written_as_text_and_the_like_are_refused():
    for speed in ("0.1", True, None, [0.1]):
        item = {"command": "Go", "place": "home", "speed": speed}
        assert "field speed: Input should be a valid number" in rejection(
            answer({"instructions": [item]})
        )
    text = answer({"instructions": [{"command": "Go", "place": "home", "speed": 0}]})
    for word in ("NaN", "Infinity"):
        assert "field speed" in rejection(text.replace('"speed": 0', f'"speed": {word}'))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "The answer is empty; a JSON object was expected."),
        ('```json\n{"plans": {}}\n```', "starts with a code fence"),
        ("Here you are: {}", "starts with text ('Here you are: {}')"),
        ('{"plans": ', "is not JSON: EOF while parsing a value"),
        ("{} and more", "is not JSON: trailing characters"),
        ("{}", "plans: is missing"),
        ('{"a":' * 5000, "is not JSON: recursion limit exceeded"),
        ('{"plans": "\ud800"}', "unable to parse raw data as a unicode string"),
    ],
)
def test_what_is_no_json_object_is_refused_in_words(text, told):
    assert told in rejection(text)


def test_a_rejection_stays_short_whatever_was_answered():
    assert "200,001 characters" in rejection("x" * 200_001)
    # 4 instructions with 5 unknown fields each, and 12 faults are named.
    many = rejection(answer({"instructions": [{"command": "Wait"} | dict.fromkeys("abcde")] * 4}))
    assert many.splitlines()[-1] == "- and 8 more"
    assert len(many.splitlines()) == 1 + answers.MAX_REPORTED_ERRORS + 1
    long = "y" * 100_000
    for item in (
        {"command": long},
        {"command": "Wait", long: 1},
        {"command": "Wait", "until": long},
    ):
        assert len(rejection(answer({"instructions": [item]}))) < 400
    assert len(rejection(json.dumps({long: 1}))) < 400


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=10,
)


@given(st.text() | JSON_VALUES.map(lambda value: answer(value, value)))
@settings(max_examples=100)
def test_no_answer_raises_anything_but_a_rejection(text):
    with pytest.raises(answers.InvalidAnswerError):
        answers.parse(text, VOCABULARY)


# ----------------------------------------------------------------------------------- schema


def objects(node: Any) -> list[dict[str, Any]]:
    """Every JSON object in a schema."""
    if isinstance(node, dict):
        return [node] + [found for value in node.values() for found in objects(value)]
    return [found for value in node for found in objects(value)] if isinstance(node, list) else []


def test_the_schema_keeps_to_what_strict_providers_accept():
    schema = answers.json_schema(VOCABULARY, ["any_episode"])
    found = objects(schema)
    for node in found:
        assert not {"oneOf", "default", "discriminator", "title"} & set(node)
    closed = [node for node in found if node.get("type") == "object"]
    assert len(closed) == 6  # Answer, Plans, Plan, AgentPlan, Go, Wait
    for node in closed:
        assert node["required"] == list(node["properties"])
        assert node["additionalProperties"] is False
    items = schema["$defs"]["AgentPlan"]["properties"]["instructions"]
    assert [option["$ref"] for option in items["items"]["anyOf"]] == ["#/$defs/Go", "#/$defs/Wait"]
    assert (items["minItems"], items["maxItems"]) == (1, 4)


def test_the_schema_states_every_limit():
    fields = answers.json_schema(VOCABULARY, ["x"])["$defs"]["Go"]["properties"]
    assert fields["place"]["enum"] == ["home", "shop", "lake"]
    assert (fields["speed"]["minimum"], fields["speed"]["maximum"]) == (0.0, 0.6)
    assert fields["max_steps"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 20}
    assert fields["until"]["anyOf"] == [
        {"type": "string", "enum": ["night", "rain"]},
        {"type": "null"},
    ]


def test_the_schema_without_times_has_none():
    schema = answers.json_schema(UNTIMED, ["x"])["$defs"]
    assert list(schema["AgentPlan"]["properties"]) == ["instructions"]
    assert list(schema["Go"]["properties"]) == ["command", "place", "speed"]


def test_a_parameter_may_be_called_like_a_word_of_json_schema():
    odd = Command(
        "Odd", "odd", (Choice("title", ("a", "b"), ""), Choice("default", ("c", "d"), ""))
    )
    schema = answers.json_schema(VOCABULARY._replace(commands=(odd, WAIT)), ["x"])
    expected = ["command", "title", "default", "max_steps", "until"]
    assert list(schema["$defs"]["Odd"]["properties"]) == expected
