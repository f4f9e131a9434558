"""The host's loop around the compiled training step: evaluations, metrics, timing, checkpoints."""

import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from leed_jax import console, loggers
from leed_jax.config import TrainConfig
from leed_jax.optimization import checkpoints, interruption, memory, methods
from leed_jax.optimization import devices as hardware
from leed_jax.optimization.books import Books
from leed_jax.optimization.members import Member
from leed_jax.optimization.minibatches import Data
from leed_jax.optimization.programs import Programs
from leed_jax.optimization.results import Diverged


class Loop:
    """Chunks of updates between evaluations; keeps the books."""

    def __init__(
        self,
        config: TrainConfig,
        method: methods.Method,
        members: tuple[Member, ...],
        programs: Programs,
        metrics: loggers.MetricsWriter | None,
        *,
        named: bool,
        offset: int,
        since: tuple[int, float] = (0, 0.0),
        books: Books | None = None,
        store: checkpoints.Store | None = None,
        listeners: Sequence[loggers.Logger] = (),
    ) -> None:
        """Keeps the books of one call's members; the program may train more, to fill it up.

        Args:
          config: of the run.
          method: of the run.
          members: whose books are kept.
          programs: compiled for these members, or more.
          metrics: gets a line per member and evaluation.
          named: lines say the learning rate and λ of their member.
          offset: environment steps of earlier calls, for the progress bar.
          since: updates and seconds of an earlier stage, from which lines go on counting.
          books: of the checkpoint that is resumed; None: of a run that begins.
          store: gets a checkpoint after every so many chunks.
          listeners: get every line, too.
        """
        self.config, self.method, self.members = config, method, members
        self.programs, self.metrics = programs, metrics
        self.named, self.offset, self.since = named, offset, since
        self.everywhere = hardware.layout(programs.mesh).everywhere
        self.books, self.store = books or Books(), store
        self.listeners = listeners

    def env_steps(self, updates: int) -> int:
        """Steps that a seed took in so many updates; none where nothing is rolled out."""
        return updates * self.config.steps_per_update if self.method.uses_rollout else 0

    def run(
        self,
        state: Any,
        alive: Any,
        material: Data,
        bar: console.TrainingProgress,
        watch: interruption.Watch,
        done: int = 0,
    ) -> Any:
        """All updates, with an evaluation before the first and after every chunk.

        Args:
          state: of all members; is donated.
          alive: which of them have not diverged.
          material: demonstrations.
          bar: is moved.
          watch: hears of signals.
          done: updates that ``state`` has had.

        Raises:
          Interrupted: a signal was heard; the chunk that was running is finished and saved.
          OSError: a checkpoint could not be written.
        """
        if not done:
            self._evaluate(state, done, {}, bar)
        while done < self.config.num_updates:
            count = min(self.config.updates_per_eval, self.config.num_updates - done)
            began = time.perf_counter()
            number = hardware.place(jnp.array(count, jnp.int32), self.everywhere)
            state, alive, metrics, faults = self.programs.advance(state, alive, material, number)
            watch.wait(state)
            self.books.seconds += time.perf_counter() - began
            for index, (update, what) in enumerate(np.asarray(faults)[: len(self.members)]):
                if update:
                    found = Diverged(
                        self.since[0] + done + int(update), self.programs.watched[what]
                    )
                    self.books.diverged[index] = found
            done += count
            self._evaluate(state, done, jax.device_get(metrics), bar)
            signal = watch.heard()
            self._save(state, alive, done, at_once=signal > 0)
            if signal:
                raise interruption.Interrupted(self._how_to_go_on(done), signal)
        return state

    def _save(self, state: Any, alive: Any, done: int, *, at_once: bool) -> None:
        """Has a checkpoint written where one is due."""
        if self.store is None:
            return
        due = (self.books.evaluations - 1) % self.store.settings.every == 0
        if due or at_once or done == self.config.num_updates:
            if self.metrics is not None:
                self.books.position = self.metrics.position
            self.books.peak_memory_mb = max(self.books.peak_memory_mb, memory.peak_mb())
            score = self.books.score(len(self.members))
            tree = {"state": state, "alive": alive}
            self.store.save(done, tree, self.books.as_json(), score)
        if at_once:
            self.store.wait()

    def _how_to_go_on(self, done: int) -> str:
        told = (
            f"{self.method.name} interrupted after {done} of {self.config.num_updates} updates "
            f"({self.env_steps(done):,} environment steps per seed)"
        )
        if self.store is None:
            return f"{told}; nothing was saved, for there is no checkpoint_dir"
        place = str(self.store.settings.folder)
        return (
            f"{told}; saved: train(..., checkpoint_dir={place!r}, resume=True) goes on from there"
        )

    def _evaluate(
        self, state: Any, done: int, metrics: dict[str, Any], bar: console.TrainingProgress
    ) -> None:
        scores = jax.device_get(self.programs.evaluate(state.params["actor"]))
        totals = scores.agent_return.sum(-1)
        names = [term.name for term in self.method.terms]
        for index, member in enumerate(self.members):
            line = {
                "method": self.method.name,
                "seed": member.seed,
                "env_steps": self.env_steps(done),
                "updates": self.since[0] + done,
                "seconds": self.since[1] + self.books.seconds,
                # Not a number once the seed has diverged: its team is an old one.
                "team_return": float("nan")
                if index in self.books.diverged
                else float(totals[index]),
                "agent_return": scores.agent_return[index].tolist(),
                "success": {name: float(v[index]) for name, v in scores.measures.items()},
                "loss": {n: float(metrics[n][index].mean()) for n in names if n in metrics},
            }
            if self.named:
                line["learning_rate"] = member.learning_rate
                line["expert_weight_start"] = member.expert_weight
            if "expert_weight" in metrics and self.method.uses_expert:
                line["expert_weight"] = metrics["expert_weight"][index].tolist()
            # Where λ adapts, see `balance`.
            for name in ("return_gap", "worth", "trust", "distance"):
                if name in metrics:
                    line[name] = metrics[name][index].tolist()
            if "dropped_decisions" in metrics:
                line["dropped_decisions"] = float(metrics["dropped_decisions"][index])
            self.books.history.append(line)
            if self.metrics is not None:
                self.metrics.write(line)
            for listener in self.listeners:
                listener.write(line)
        self.books.evaluations += 1
        count = len(self.members)
        rate = count * self.env_steps(done) / max(self.books.seconds, 1e-9)
        bar.update(
            self.offset + done * self.config.steps_per_update,
            team_return=float(totals[:count].mean()),
            steps_per_second=rate if self.method.uses_rollout else None,
            lines=self.books.history[-count:],
        )
