"""A scenario, quick settings, and an empty current folder for every test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.torture.fault_server import FaultServer
from leed_jax import scenarios
from leed_jax.generation import GenerationConfig

# Loopback must not go through a proxy that the environment names.
os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))


@pytest.fixture(scope="session")
def scenario() -> scenarios.Scenario:
    return scenarios.make("mpe/simple_spread", num_agents=3)


@pytest.fixture
def quick() -> GenerationConfig:
    return GenerationConfig(feedback_episodes=4)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Live transcripts go into the current folder unless told otherwise."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def faults() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server
