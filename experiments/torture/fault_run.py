"""Fifty plans through a server that fails: what became of every conversation, from its transcript.

The generation runs in a process of its own, with litellm's debug output switched on and every log
kept; what is checked afterwards is what lies on disk.
"""

import json
import logging
import os
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.torture.fault_server import FaultServer
from leed_jax import scenarios
from leed_jax.generation import (
    GenerationConfig,
    GenerationError,
    generate_plans,
    records,
    transcripts,
)
from leed_jax.scenarios import Scenario

KEY_VARIABLE, KEY = "LEED_TORTURE_KEY", "tk/Zq9+planted=secret.0123456789"
"""A key of its own form, which no pattern knows."""
OTHER_KEY = "sk-another-planted-secret-9876543210"
"""The value of OPENAI_API_KEY, which must not go to an address of the user's own."""
PASSING = {
    "reset": 2,
    "429": 2,
    "429-seconds": 2,
    "429-date": 1,
    "429-huge": 1,
    "429-negative": 2,
    "429-garbage": 2,
    "500": 2,
    "503": 2,
    "html": 2,
    "empty": 2,
    "half-json": 2,
    "half-body": 2,
    "byte-a-second": 1,
}
"""Faults on the way: how many tries fail before a good answer."""
REJECTED = (
    "no-choices",
    "null-content",
    "prose",
    "half-answer",
    "cut",
    "ten-megabytes",
    "echo-key-answer",
)
"""Answers that are no plan: the first of a conversation is."""
LASTING = ("401", "echo-key-error", "500-for-ever")
"""No plan can be had."""
ROUNDS = 2
ASKING, REFUSED_SECONDS = "asking", 6.0
"""A file that says that questions begin, and how long the server refuses them from then on."""


def assigned(conversations: int, refused: int) -> list[str]:
    """The fault of every conversation: the first ones are refused, then all kinds in turn."""
    kinds = [*PASSING, *REJECTED, *LASTING, "none"]
    return ["refused"] * refused + [kinds[n % len(kinds)] for n in range(conversations - refused)]


class Script:
    """Says what a request gets, by its conversation (see its seed) and how often it came."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = faults
        self.visits: Counter[int] = Counter()

    def __call__(self, request: dict[str, Any]) -> str:
        """The name of the fault, or "good"."""
        conversation = int(request["seed"]) // 10_000
        self.visits[conversation] += 1
        fault: str = self.faults[conversation]
        if fault in LASTING:
            return "500" if fault == "500-for-ever" else fault
        failing = 1 if fault in REJECTED else PASSING.get(fault, 0)
        return fault if self.visits[conversation] <= failing else "good"


@dataclass(frozen=True)
class Story:
    """What the disk says about a conversation."""

    fault: str
    failed_tries: int
    rejected: int
    valid: int
    ended: str | None
    told: bool
    """There is a transcript, with a reason where there is no plan."""

    @property
    def obtainable(self) -> bool:
        """Whether a plan could be had."""
        return self.fault not in LASTING


def stories(folder: Path, faults: Sequence[str]) -> list[Story]:
    """Of all conversations, from the transcripts under ``folder``."""
    found = {item.conversation: item for item in map(transcripts.load, folder.rglob("*.json"))}
    told = []
    for index, fault in enumerate(faults):
        item = found.get(index)
        if item is None:
            told.append(Story(fault, 0, 0, 0, None, False))
            continue
        valid = sum(kept.outcome.valid for kept in item.rounds)
        failed = sum(len(kept.failures) for kept in (*item.rounds, *item.unanswered))
        reason = valid > 0 or (item.ended is not None and bool(item.unanswered))
        told.append(Story(fault, failed, len(item.rounds) - valid, valid, item.ended, reason))
    return told


def table(told: Sequence[Story]) -> str:
    """Fault by outcome, as Markdown."""
    head = (
        "| fault | conversations | tries that failed | answers rejected | valid answers | plans |"
    )
    lines = [head, "| --- | --- | --- | --- | --- | --- |"]
    for fault in dict.fromkeys(story.fault for story in told):
        mine = [story for story in told if story.fault == fault]
        had = sum(story.valid > 0 for story in mine)
        plans = f"{had} of {len(mine)}" if mine[0].obtainable else f"{had}: none can be had"
        sums = (
            sum(story.failed_tries for story in mine),
            sum(story.rejected for story in mine),
            sum(story.valid for story in mine),
        )
        lines.append(f"| {fault} | {len(mine)} | {' | '.join(map(str, sums))} | {plans} |")
    return "\n".join(lines)


def broken_promises(told: Sequence[Story]) -> list[str]:
    """What should not have happened, in words."""
    found = []
    for index, story in enumerate(told):
        place = f"conversation {index} ({story.fault})"
        if not story.told:
            found.append(f"{place}: its story is not on disk")
        if story.obtainable and not story.valid:
            found.append(f"{place}: a plan could be had, and was not: {story.ended}")
        if not story.obtainable and story.valid:
            found.append(f"{place}: a plan where none could be had")
        if (story.fault in PASSING or story.fault == "refused") and not story.failed_tries:
            found.append(f"{place}: no failed try is told")
        if story.fault in REJECTED and not story.rejected:
            found.append(f"{place}: no rejected answer is told")
    return found


def leaks(folder: Path, secrets: Sequence[str] = (KEY, OTHER_KEY)) -> list[str]:
    """Files under ``folder`` that hold a secret, in whole or a good part of it."""
    pieces = {secret[start : start + 12] for secret in secrets for start in range(len(secret) - 11)}
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            found += [f"{path.name} holds {p!r}" for p in sorted(pieces) if p.encode() in data][:1]
    return found


def config(api_base: str, conversations: int, **changes: Any) -> GenerationConfig:
    """Settings of the generation: caps that 50 conversations keep to, and short time limits."""
    settings: dict[str, Any] = {
        "conversations": conversations,
        "max_rounds": ROUNDS,
        "concurrency": 8,
        "feedback_episodes": 4,
        "seed": 0,
        "timeout_seconds": 5.0,
        "max_retries": 5,
        "max_seconds": 400.0,
        "max_total_tokens": 2_000_000,
        "max_cost_usd": 1.0,
        "api_base": api_base,
        "api_key": KEY_VARIABLE,
    }
    return GenerationConfig(**settings | changes)


def good_answer(scenario: Scenario) -> str:
    """A valid answer for ``scenario``: the first that was recorded."""
    wanted = records.specification(scenario, "relational", "learnable")
    rounds = (kept for item in transcripts.recorded(wanted) for kept in item.rounds)
    return next(kept.answer for kept in rounds if kept.outcome.valid)


def run(folder: Path, conversations: int = 50) -> bool:
    """Everything, printed; whether all promises were kept."""
    scenario = scenarios.make("mpe/simple_spread", num_agents=3)
    faults = assigned(conversations, refused=8)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {KEY_VARIABLE: KEY, "OPENAI_API_KEY": OTHER_KEY}
    environment |= {"LITELLM_LOG": "DEBUG", "NO_PROXY": "127.0.0.1"}
    script, began = Script(faults), time.monotonic()
    answer = good_answer(scenario)
    with FaultServer(answer, script, refusing=True, own_name=True) as server:
        arguments = [str(folder), server.api_base, str(conversations)]
        command = [sys.executable, "-m", "experiments.torture.fault_run", *arguments]
        with (folder / "output.log").open("wb") as output:
            child = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            while child.poll() is None and not (folder / ASKING).exists():
                time.sleep(0.2)
            time.sleep(REFUSED_SECONDS)  # the first requests are tried meanwhile
            server.open()
            status = child.wait()
        calls, keys = sum(server.calls.values()), Counter(server.keys)
    seconds = time.monotonic() - began
    told = stories(folder / "transcripts", faults)
    found = broken_promises(told) + leaks(folder)
    if status:
        found.append(f"the process ended with {status}; see {folder / 'output.log'}")
    if set(keys) != {f"Bearer {KEY}"}:
        found.append("the server was given another key than the one that was named")
    print(table(told))
    had = sum(story.valid > 0 for story in told)
    print(f"\n{had} plans of {sum(s.obtainable for s in told)} that could be had, {calls} requests")
    print((folder / "usage.txt").read_text() if (folder / "usage.txt").exists() else "no usage")
    print(f"{seconds:.0f} s in all; planted key sent {calls} times, in {len(leaks(folder))} files")
    print("\n".join(found) or "all promises kept")
    return not found


def _generate(folder: Path, api_base: str, conversations: int) -> None:
    """The process that is watched: as careless with its logs as a user can be."""
    logging.basicConfig(level=logging.DEBUG, filename=folder / "debug.log")
    import litellm

    litellm._turn_on_debug()  # pyright: ignore[reportPrivateImportUsage]
    scenario = scenarios.make("mpe/simple_spread", num_agents=3)
    settings = config(api_base, conversations)
    generate_plans(scenario, config=settings)  # compiles what the questions need
    (folder / ASKING).touch()
    began = time.monotonic()
    generated = generate_plans(
        scenario, "openai/gpt-4o-mini", config=settings, transcript=folder / "transcripts"
    )
    print(generated)
    seconds = time.monotonic() - began
    caps = f"caps: {settings.max_seconds:g} s, {settings.max_cost_usd} USD"
    (folder / "usage.txt").write_text(
        f"{generated.usage}; {seconds:.0f} s of generation ({caps})\n"
    )
    assert generated.usage.cost_usd is not None and generated.usage.cost_usd <= 1.0
    assert seconds <= 400.0 + 10
    (folder / "generated.json").write_text(json.dumps(str(generated)))
    for fault in LASTING[:2]:
        index = assigned(conversations, 8).index(fault)
        alone = config(api_base, 1, seed=10_000 * index)
        try:
            generate_plans(scenario, "openai/gpt-4o-mini", config=alone, transcript=folder / "last")
        except GenerationError:
            traceback.print_exc()
        else:
            raise AssertionError(f"{fault} did not fail")


if __name__ == "__main__":
    _generate(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
