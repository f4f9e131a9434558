"""Files of trained teams, damaged or forged: none may be loaded that plain loops find invalid."""

import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from experiments.torture import check_teams, forged_teams
from leed_jax import checkpoint, policies


class Cases:
    """See `fuzz.Cases`; the input is the content of both files."""

    def __init__(self, seed: int) -> None:
        """Makes the whole files that are damaged.

        Args:
          seed: of all draws.
        """
        self.seed = seed
        self._folder = tempfile.TemporaryDirectory(prefix="leed-fuzz-")
        self.folder = Path(self._folder.name)
        self.bases = [forged_teams.base(number) for number in range(6)]
        for files in self.bases:
            accepted, message = self.accepts(files)
            assert accepted, message

    def close(self) -> None:
        """Removes the folder for files."""
        self._folder.cleanup()

    def make(self, number: int) -> tuple[str, Any]:
        """A kind of damage, and the bytes of both files."""
        draw = random.Random(f"{self.seed}/{number}")
        files = draw.choice(self.bases)
        kind = draw.choice(list(forged_teams.KINDS))
        return kind, forged_teams.KINDS[kind](files, draw)

    def accepts(self, content: forged_teams.Files) -> tuple[bool, str]:
        """Whether both readers load it; they must agree."""
        card, params = content
        path = self.folder / "team"
        path.with_suffix(".json").write_bytes(card)
        path.with_suffix(".safetensors").write_bytes(params)
        try:
            result = checkpoint.load_result(path)
        except ValueError as error:
            return False, str(error)
        act = policies.load_policy(path)
        act(np.zeros((len(act.spec.agents), max(act.spec.observation_sizes)), np.float32))
        _ = result.best_seed
        return True, ""

    def faults(
        self, kind: str, content: forged_teams.Files, accepted: bool, message: str
    ) -> list[str]:
        """Accepted without being valid, or the other way; files beside it; long messages."""
        found = []
        if accepted:
            found += [f"accepted, but {fault}" for fault in check_teams.invalid(*content)]
        elif kind in forged_teams.VALID:
            found.append(f"refused, but is valid: {message[:300]}")
        if not accepted and not (message and message.isprintable() and len(message) < 1000):
            found.append(f"a message that is no short line: {message[:300]!r}")
        beside = {path.name for path in self.folder.rglob("*")} - {"team.json", "team.safetensors"}
        if beside:
            found.append(f"files that were not there before: {sorted(beside)}")
        return found
