"""The host's loop around the compiled training step: evaluations, metrics, timing, divergence."""

import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import stages
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, Key

from leed_jax import loggers
from leed_jax.config import TrainConfig
from leed_jax.optimization import devices as hardware
from leed_jax.optimization import evaluation, losses, memory, trainer
from leed_jax.optimization.members import Member, starts
from leed_jax.optimization.minibatches import Data
from leed_jax.optimization.trainer import Trainer, TrainState
from leed_jax.types import ArrayEnv

EVALUATION_SEED = 0
"""Of the evaluations during training; `results.evaluate` draws other starts."""


@dataclass(frozen=True)
class Programs:
    """What is compiled, once, for a number of members M."""

    init: stages.Compiled
    """(keys, hyperparameters) -> states."""
    advance: stages.Compiled
    """(states, alive, data, number of updates) -> states, alive, mean metrics."""
    evaluate: stages.Compiled
    """Parameters of the actors -> `evaluation.Scores`."""
    mesh: Mesh | None
    """That they were compiled for."""


def compiled(
    env: ArrayEnv,
    run: Trainer,
    config: TrainConfig,
    count: int,
    material: Data,
    mesh: Mesh | None,
) -> tuple[Programs, int | None]:
    """The programs for so many members, and the bytes that the largest of them needs."""

    def begin(key: Key[Array, ""], hyper: trainer.Hyperparameters) -> TrainState:
        return run.init(key)._replace(hyper=hyper)

    first = jax.eval_shape(lambda: starts([Member(0, 1.0, 1.0)] * count, env.spec))
    state = jax.eval_shape(jax.vmap(begin), *first)
    alive = jax.ShapeDtypeStruct((count,), bool)
    _, shapes = jax.eval_shape(jax.vmap(run.update, (0, None)), state, material)

    def one(state: TrainState, alive: Bool[Array, ""], data: Data) -> Any:
        new, metrics = run.update(state, data)
        finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((new.params, metrics))]
        good = alive & jnp.stack(finite).all()
        # A seed that diverged keeps its last finite state; the others go on.
        kept = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, state)
        return kept, good, metrics

    def advance(state: Any, alive: Any, data: Data, count: Int[Array, ""]) -> Any:
        def body(_: Any, carry: Any) -> Any:
            state, alive, sums = carry
            state, alive, metrics = jax.vmap(one, (0, 0, None))(state, alive, data)
            return state, alive, jax.tree.map(jnp.add, sums, metrics)

        sums = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        state, alive, sums = jax.lax.fori_loop(0, count, body, (state, alive, sums))
        return state, alive, jax.tree.map(lambda leaf: leaf / count, sums)

    scored = env.scored
    episodes = scored.scored_episodes(config.eval_episodes)
    keys = evaluation.evaluation_keys(EVALUATION_SEED, episodes)

    def evaluate(params: Any) -> evaluation.Scores:
        each = hardware.divide(keys, 0)
        return jax.vmap(lambda actor: evaluation.score(scored, run.actor, actor, each))(params)

    def program(function: Any, inside: Any, outside: Any, *given: Any, donated: Any = ()) -> Any:
        placed: Any = {} if mesh is None else {"in_shardings": inside, "out_shardings": outside}
        with hardware.active(mesh):
            return jax.jit(function, donate_argnums=donated, **placed).lower(*given).compile()

    members, environments, everywhere = hardware.layout(mesh)
    parts: Any = dict.fromkeys(TrainState._fields, members) | {"situation": environments}
    states, data = TrainState(**parts), jax.eval_shape(lambda data: data, material)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    programs = Programs(
        init=program(jax.vmap(begin), members, states, *first),
        advance=program(
            advance,
            (states, everywhere, everywhere, everywhere),
            (states, everywhere, everywhere),
            *(state, alive, data, number),
            donated=0,
        ),
        evaluate=program(evaluate, (members,), everywhere, state.params["actor"]),
        mesh=mesh,
    )
    # While teams are evaluated, their states and the demonstrations wait.
    held = memory.argument_bytes(programs.advance) - memory.argument_bytes(programs.evaluate)
    needed = (
        memory.needed_bytes(programs.init, memory.size(material)),
        memory.needed_bytes(programs.advance),
        memory.needed_bytes(programs.evaluate, held),
    )
    known = [size for size in needed if size is not None]
    return programs, max(known) if len(known) == len(needed) else None


class Loop:
    """Chunks of updates between evaluations; keeps the books."""

    def __init__(
        self,
        config: TrainConfig,
        method: losses.Method,
        members: tuple[Member, ...],
        programs: Programs,
        metrics: loggers.MetricsWriter | None,
        *,
        named: bool,
        offset: int,
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
        """
        self.config, self.method, self.members = config, method, members
        self.programs, self.metrics = programs, metrics
        self.named, self.offset = named, offset
        self.everywhere = hardware.layout(programs.mesh).everywhere
        self.seconds = 0.0
        self.evaluations = 0
        self.history: list[dict[str, Any]] = []
        self.diverged: dict[int, int] = {}
        """Index of a member -> update."""

    def env_steps(self, updates: int) -> int:
        """Steps that a seed took in so many updates; none where nothing is rolled out."""
        return updates * self.config.steps_per_update if self.method.uses_rollout else 0

    def run(self, state: Any, alive: Any, material: Data, bar: loggers.TrainingProgress) -> Any:
        """All updates, with an evaluation before the first and after every chunk."""
        done = 0
        self._evaluate(state, done, {}, bar)
        while done < self.config.num_updates:
            count = min(self.config.updates_per_eval, self.config.num_updates - done)
            began = time.perf_counter()
            number = hardware.place(jnp.array(count, jnp.int32), self.everywhere)
            state, alive, metrics = self.programs.advance(state, alive, material, number)
            jax.block_until_ready(state)
            self.seconds += time.perf_counter() - began
            done += count
            for index, good in enumerate(np.asarray(alive)[: len(self.members)]):
                if not good:
                    self.diverged.setdefault(index, done)
            self._evaluate(state, done, jax.device_get(metrics), bar)
        return state

    def _evaluate(
        self, state: Any, done: int, metrics: dict[str, Any], bar: loggers.TrainingProgress
    ) -> None:
        scores = jax.device_get(self.programs.evaluate(state.params["actor"]))
        totals = scores.agent_return.sum(-1)
        names = [term.name for term in self.method.terms]
        for index, member in enumerate(self.members):
            line = {
                "method": self.method.name,
                "seed": member.seed,
                "env_steps": self.env_steps(done),
                "updates": done,
                "seconds": self.seconds,
                # Not a number once the seed has diverged: its team is an old one.
                "team_return": float("nan") if index in self.diverged else float(totals[index]),
                "agent_return": scores.agent_return[index].tolist(),
                "success": {name: float(v[index]) for name, v in scores.measures.items()},
                "loss": {n: float(metrics[n][index].mean()) for n in names if n in metrics},
            }
            if self.named:
                line["learning_rate"] = member.learning_rate
                line["expert_weight_start"] = member.expert_weight
            if "expert_weight" in metrics and self.method.uses_expert:
                line["expert_weight"] = metrics["expert_weight"][index].tolist()
            if "dropped_decisions" in metrics:
                line["dropped_decisions"] = float(metrics["dropped_decisions"][index])
            self.history.append(line)
            if self.metrics is not None:
                self.metrics.write(line)
        self.evaluations += 1
        count = len(self.members)
        rate = count * self.env_steps(done) / max(self.seconds, 1e-9)
        bar.update(
            self.offset + done * self.config.steps_per_update,
            team_return=float(totals[:count].mean()),
            steps_per_second=rate if self.method.uses_rollout else None,
        )
