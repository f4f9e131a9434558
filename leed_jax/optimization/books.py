"""The books of a training loop: what was measured, who diverged, how long it took."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leed_jax import loggers
from leed_jax.optimization.members import Member
from leed_jax.optimization.results import Diverged


@dataclass
class Books:
    """Of the members of one call; what a checkpoint holds of them besides arrays."""

    history: list[dict[str, Any]] = field(default_factory=list)
    """A line per evaluation and member."""
    diverged: dict[int, Diverged] = field(default_factory=dict)
    """By the index of the member."""
    seconds: float = 0.0
    """Of training."""
    evaluations: int = 0
    compile_seconds: float = 0.0
    """Of the processes that got as far as a checkpoint."""
    peak_memory_mb: float = 0.0
    position: int | None = None
    """Bytes of the metrics file behind the last line; None: nobody wrote one."""

    def as_json(self) -> dict[str, Any]:
        """For `from_json`; with NaN, as Python's JSON has it."""
        diverged = {str(index): why.as_json() for index, why in self.diverged.items()}
        return {**vars(self), "diverged": diverged}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Books":
        """What `as_json` gave.

        Raises:
          KeyError: a field is missing.
          TypeError: a field that there is not, or of another type.
        """
        diverged = {int(i): Diverged.from_json(why) for i, why in fields["diverged"].items()}
        return cls(**{**fields, "diverged": diverged})

    def score(self, members: int) -> float:
        """Mean team return of the last evaluation over the members that have one, else NaN."""
        last = [line["team_return"] for line in self.history[-members:]]
        finite = [value for value in last if math.isfinite(value)]
        return sum(finite) / len(finite) if finite else math.nan

    def repair(
        self,
        metrics: loggers.MetricsWriter,
        members: Sequence[Member],
        method: str,
        *,
        named: bool,
        begun: int | None,
    ) -> None:
        """Makes a metrics file say of these members what the history says, neither more nor less.

        Args:
          metrics: the file.
          members: whose books these are.
          method: theirs.
          named: lines say the learning rate and λ of their member.
          begun: bytes of the file when there was no line of theirs.
        """

        def own(line: Mapping[str, Any]) -> bool:
            if line.get("method") != method:
                return False
            keys = ["seed", "learning_rate", "expert_weight_start"] if named else ["seed"]
            told = [line.get(key) for key in keys]
            return any(told == list(member)[: len(keys)] for member in members)

        position = begun if self.position is None else self.position
        metrics.rewind(position or 0, begun or 0, self.history, own)
