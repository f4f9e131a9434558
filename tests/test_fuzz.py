"""A few hundred damaged files and mutated answers; `python -m experiments.torture` tries 10,000."""

import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.torture import (
    archive_parts,
    check_teams,
    forged_teams,
    fuzz,
    fuzz_answers,
    fuzz_demonstrations,
    fuzz_teams,
)
from leed_jax import answers, archives, demonstrations
from leed_jax.instructions import ANY_EPISODE

COUNT = 400


@pytest.fixture(scope="module")
def files() -> Iterator[fuzz_demonstrations.Cases]:
    made = fuzz_demonstrations.Cases(0, bomb_bytes=100_000_000)
    yield made
    made.close()


def broken(cases: Any) -> list[str]:
    trials = [fuzz.attempt(cases, number) for number in range(COUNT)]
    assert {trial.outcome for trial in trials} == {"accepted", "refused"}
    # Memory depends on nothing but the input; time does not, so the command alone looks at it.
    assert max(trial.peak_bytes for trial in trials) < fuzz.MAX_BYTES
    return [f"{trial.number} {trial.kind}: {trial.faults}" for trial in trials if trial.faults]


def test_no_damaged_file_is_taken_and_none_does_harm(files: fuzz_demonstrations.Cases) -> None:
    assert broken(files) == []


def test_no_damaged_team_is_taken_and_none_does_harm() -> None:
    cases = fuzz_teams.Cases(0)
    assert broken(cases) == []
    cases.close()


def test_no_mutated_answer_is_taken_that_a_second_check_refuses() -> None:
    assert broken(fuzz_answers.Cases(0, recorded=())) == []


# ------------------------------------------------- the harness finds what it is there to find


@pytest.mark.slow
def test_a_reader_that_believes_everything_is_found_out(
    files: fuzz_demonstrations.Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fuzz_demonstrations.base(9, continuous=False)
    monkeypatch.setattr(demonstrations, "load", lambda path: made)
    trials = [fuzz.attempt(files, number) for number in range(40)]
    assert {trial.outcome for trial in trials} == {"accepted"}
    assert any("but" in fault for trial in trials for fault in trial.faults)


def test_a_crash_is_found_out(
    files: fuzz_demonstrations.Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(path: Any) -> Any:
        raise KeyError("header")

    monkeypatch.setattr(demonstrations, "load", crash)
    trial = fuzz.attempt(files, 0)
    assert trial.outcome == "crashed" and "KeyError" in trial.faults[0]
    assert not fuzz.Report([trial]).kept and "BROKEN" in str(fuzz.Report([trial]))


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"max_steps": None, "until": None}, True),
        ({"max_steps": 8, "until": "met"}, True),
        ({"place": 9}, True),
        ({"place": 10}, False),
        ({"place": 2.0}, False),
        ({"place": True}, False),
        ({"place": "2"}, False),
        ({"max_steps": 9}, False),
        ({"max_steps": 0}, False),
        ({"until": "never"}, False),
        ({"command": "Explode"}, False),
        ({"extra": 1}, False),
    ],
)
def test_the_second_check_of_answers_knows_the_rules(change: dict[str, Any], good: bool) -> None:
    go = {"instructions": [{"command": "GoTo", "place": 2} | change]}
    plan = {"ann": go, "bob": {"instructions": [{"command": "Do", "what": "left"}]}}
    text = json.dumps({"plans": {ANY_EPISODE: plan}})
    assert fuzz_answers.valid(text, fuzz_answers.TOY, (ANY_EPISODE,)) == good


def test_the_second_check_of_files_knows_a_wrong_value(tmp_path: Path) -> None:
    made = fuzz_demonstrations.base(0, continuous=False)
    made.save(tmp_path / "good.npz")
    assert fuzz_demonstrations.invalid((tmp_path / "good.npz").read_bytes()) == []
    with np.load(tmp_path / "good.npz") as found:
        values = dict(found)
    values["action"][0, 0, 0] = 4
    out = io.BytesIO()
    np.savez(out, **values)
    assert fuzz_demonstrations.invalid(out.getvalue()) == ["action 4 at (0, 0, 0)"]


def test_the_second_check_of_teams_knows_a_wrong_value() -> None:
    for number in range(6):
        assert check_teams.invalid(*forged_teams.base(number)) == []
    card, params = forged_teams.base(1)
    another = card.replace(b'"hidden_sizes": [3]', b'"hidden_sizes": [4]')
    assert another != card
    assert any("is [2, 2, 6, 3]" in fault for fault in check_teams.invalid(another, params))
    wrong = card.replace(b'"updates": 1', b'"updates": "1"', 1)
    assert check_teams.invalid(wrong, params) == ["history: updates"]


# --------------------------------------------------------------------------- single hazards


def repacked(path: Path, **members: bytes) -> None:
    """Replaces members of an archive by other bytes."""
    with zipfile.ZipFile(path) as archive:
        kept = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (kept | {f"{k}.npy": v for k, v in members.items()}).items():
            archive.writestr(name, content)


def test_memory_is_not_reserved_for_what_a_file_claims(tmp_path: Path) -> None:
    path = tmp_path / "claims.npz"
    fuzz_demonstrations.base(0, continuous=False).save(path)
    claim = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"
    repacked(path, reward=archive_parts.claimed(claim))
    with pytest.raises(ValueError, match=r"reward: shape .* takes 4,000,000,000,000 bytes, there"):
        demonstrations.load(path)


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    fuzz_demonstrations.base(0, continuous=False).save(tmp_path / "once.npz")
    members = archive_parts.members((tmp_path / "once.npz").read_bytes())
    twice = archive_parts.doubled(list(members.items()), "reward.npy")
    (tmp_path / "twice.npz").write_bytes(twice)
    with pytest.raises(ValueError, match=r"its members are wrong: has twice 'reward\.npy'"):
        demonstrations.load(tmp_path / "twice.npz")


def test_a_file_that_unpacks_to_many_times_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "SMALL_BYTES", 1000)
    monkeypatch.setattr(archives, "MAX_RATIO", 0)
    path = tmp_path / "file.npz"
    fuzz_demonstrations.base(0, continuous=False).save(path)
    with pytest.raises(ValueError, match="more than 0 times its size"):
        demonstrations.load(path)


def test_a_pipe_is_not_waited_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ValueError, match="not a regular file"):
        demonstrations.load(tmp_path / "pipe.npz")


def test_a_name_that_an_answer_holds_twice_is_named() -> None:
    go = '{"instructions": [{"command": "GoTo", "place": 2}]}'
    text = f'{{"plans": {{"any_episode": {{"ann": {go}, "bob": {go}, "ann": {go}}}}}}}'
    with pytest.raises(answers.InvalidAnswerError, match="'ann' is there twice in one object"):
        answers.parse(text, fuzz_answers.TOY)


def test_a_line_break_in_a_name_does_not_get_into_the_message() -> None:
    text = json.dumps({"plans": {}, "a\n\x1b[2JIgnore all this": 1})
    with pytest.raises(answers.InvalidAnswerError) as caught:
        answers.parse(text, fuzz_answers.TOY)
    assert r"'a\n\x1b[2JIgnore all this': is not a known name" in str(caught.value)
