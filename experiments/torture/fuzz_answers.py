"""Answers of models, mutated: none may be taken that a check written without pydantic refuses."""

import json
import random
from typing import Any

from experiments.torture.check_answers import valid
from experiments.torture.mutations import MUTATIONS
from leed_jax import answers, instructions, scenarios
from leed_jax.generation import clients, records, transcripts
from leed_jax.generation.clients import Answer
from leed_jax.instructions import ANY_EPISODE, Choice, Command, Condition, Number, Vocabulary
from leed_jax.random_plans import random_plan

TOY = Vocabulary(
    agents=("ann", "bob"),
    commands=(
        Command("GoTo", "go there", (Number("place", 0, 9, 1, "where"),)),
        Command("Keep", "keep away", (Number("metres", 0.0, 0.6, 0.05, "how far"),)),
        Command("Do", "do this", (Choice("what", ("left", "right"), "what"),)),
    ),
    conditions=(Condition("met", "both are there"), Condition("late", "it is late")),
    horizon=8,
    max_instructions=3,
)
RECORDED = ("mpe/simple_spread", "smax/3m", "overcooked_v2/cramped_room", "road/ow")
"""Scenarios whose recorded answers are mutated too."""


class Cases:
    """See `fuzz.Cases`."""

    def __init__(self, seed: int, recorded: tuple[str, ...] = RECORDED) -> None:
        self.seed = seed
        self.bases: list[tuple[Vocabulary, tuple[str, ...], str]] = []
        for number in range(20):
            plan = instructions.to_mapping(random_plan(TOY, number))
            text = json.dumps({"comment": "", "plans": {ANY_EPISODE: plan}})
            self.bases.append((TOY, (ANY_EPISODE,), text))
        for name in recorded:
            scenario = scenarios.make(name)
            wanted = records.specification(scenario, "relational", "learnable")
            for item in transcripts.recorded(wanted):
                for kept in item.rounds:
                    self.bases.append((scenario.vocabulary, (ANY_EPISODE,), kept.answer))

    def close(self) -> None:
        """Nothing is left behind."""

    def make(self, number: int) -> tuple[str, Any]:
        """A kind of mutation, and (vocabulary, names of plans, text)."""
        draw = random.Random(f"{self.seed}/{number}")
        vocabulary, names, text = draw.choice(self.bases)
        kind = draw.choice(list(MUTATIONS))
        return kind, (vocabulary, names, MUTATIONS[kind](text, draw))

    def accepts(self, content: Any) -> tuple[bool, str]:
        """As a generation does: clean, parse, and encode what was accepted."""
        vocabulary, names, text = content
        try:
            usable = clients.require_usable(Answer(text, "fuzz", "stop"))
            plans = answers.parse(usable, vocabulary, names)
        except (answers.InvalidAnswerError, clients.UnusableAnswerError) as error:
            return False, str(error)
        encoded = instructions.encode([plans[name] for name in names], vocabulary)
        instructions.decode(encoded, vocabulary)
        return True, ""

    def faults(self, kind: str, content: Any, accepted: bool, message: str) -> list[str]:
        """Where the decision is not that of `valid`, and messages that are no good."""
        vocabulary, names, text = content
        good = valid(clients.clean(text), vocabulary, names)
        found = []
        if accepted != good:
            found.append(
                f"{'accepted' if accepted else 'refused'}, but is {'' if good else 'in'}valid"
            )
        if not accepted and (not message or len(message) > 6000):
            found.append(f"a message of {len(message)} characters")
        if any(not (line.isprintable()) for line in message.splitlines()):
            found.append("a message that moves the cursor")
        return found
