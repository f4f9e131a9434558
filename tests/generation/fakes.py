"""Clients and answers that need no network."""

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any

from leed_jax.generation import Answer
from leed_jax.generation.prompts import Request

AGENTS = ("agent_0", "agent_1", "agent_2")


def plan(*targets: str, **extra: Any) -> dict[str, Any]:
    """Every agent to its own target."""
    return {
        agent: {
            "instructions": [{"command": "MoveTo", "target": target, "keep_distance": 0.3, **extra}]
        }
        for agent, target in zip(AGENTS, targets, strict=True)
    }


OWN = plan("landmark_0", "landmark_1", "landmark_2")
CROWDED = plan("landmark_0", "landmark_0", "landmark_0")
FREE = plan("nearest_free", "nearest_free", "nearest_free")


def answer(*plans: dict[str, Any]) -> str:
    """A valid answer: one relational plan, or several concrete ones."""
    names = [f"episode_{n}" for n in range(len(plans))] if len(plans) > 1 else ["any_episode"]
    return json.dumps({"comment": "", "plans": dict(zip(names, plans, strict=True))})


class Scripted:
    """Answers what it was given, by conversation and round; counts and remembers.

    For a team that is asked in groups a round holds an answer by group.
    """

    model = "scripted"

    def __init__(
        self,
        *conversations: Sequence[Any],
        tokens: int | None = 100,
        cost: float | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.conversations = conversations
        self.tokens, self.cost, self.seconds = tokens, cost, seconds
        self.requests: dict[tuple[int, ...], Request] = {}
        self.threads: set[str] = set()
        self.under_way = self.most_under_way = 0
        self.closed = False

    async def ask(self, request: Request, round: int, conversation: int) -> Answer:
        """What the script says; an exception is raised."""
        place = (conversation, round) + ((request.group,) if request.groups > 1 else ())
        self.requests[place] = request
        self.threads.add(threading.current_thread().name)
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.under_way -= 1
        scripted = self.conversations[conversation][round - 1]
        scripted = scripted[request.group] if request.groups > 1 else scripted
        if isinstance(scripted, Exception):
            raise scripted
        if isinstance(scripted, Answer):
            return scripted
        tokens = (self.tokens, self.tokens, self.cost)
        return Answer(scripted, "scripted-1", "stop", *tokens, seconds=0.5, date="2026-01-01")

    async def close(self) -> None:
        """Remembers that it was called."""
        self.closed = True
