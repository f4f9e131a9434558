"""A key in the environment is in nothing that a whole run leaves or says."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.torture import fault_run
from experiments.torture.fault_server import FaultServer
from leed_jax import scenarios

OPTIONS = (
    *("--scenario", "mpe/simple_spread", "--seeds", "1", "--methods", "bc", "--no-progress"),
    *("--num-demonstrations", "4", "--generation.feedback-episodes", "4", "--no-render"),
    *("--train.total-steps", "128", "--train.num-envs", "8", "--train.rollout-steps", "16"),
    *("--train.num-minibatches", "2", "--train.network.hidden-sizes", "8"),
    *("--train.eval-episodes", "4", "--model", "openai/gpt-4o-mini"),
)


def run(folder: Path, *options: str) -> int:
    """The command in a process of its own, with everything that it says kept in a file."""
    environment = os.environ | {
        fault_run.KEY_VARIABLE: fault_run.KEY,
        "OPENAI_API_KEY": fault_run.OTHER_KEY,
        "LITELLM_LOG": "DEBUG",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-m", "experiments.run", "--results", str(folder), *OPTIONS]
    with (folder / "output.log").open("ab") as output:
        return subprocess.run(
            [*command, *options],
            cwd=Path(__file__).parents[2],
            env=environment,
            stdout=output,
            stderr=output,
            timeout=500,
            check=False,
        ).returncode


@pytest.mark.slow
def test_a_planted_key_is_found_in_no_file_and_no_word_of_a_run(tmp_path: Path) -> None:
    answer = fault_run.good_answer(scenarios.make("mpe/simple_spread"))
    faults = ["500", "echo-key-answer", "echo-key-error"]

    def choose(request: dict[str, Any]) -> str:
        del request
        return faults.pop(0) if faults else "good"

    with FaultServer(answer, choose, own_name=True) as server:
        place = ("--generation.api-base", server.api_base)
        named = ("--generation.api-key", fault_run.KEY_VARIABLE, "--generation.max-rounds", "3")
        statuses = [run(tmp_path, "--name", "failed", *place, *named)]
        statuses.append(run(tmp_path, "--name", "done", *place, *named))
        given = set(server.keys)
    assert statuses == [1, 0]  # an error that echoes the key ends the first run
    assert given == {f"Bearer {fault_run.KEY}"}
    # A key itself, given by mistake where the name of its variable belongs.
    assert run(tmp_path, "--name", "mistaken", *place, "--generation.api-key", fault_run.KEY) != 0
    assert (tmp_path / "done" / "summary.json").exists()
    assert (tmp_path / "output.log").stat().st_size > 0
    assert fault_run.leaks(tmp_path) == []
