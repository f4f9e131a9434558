"""The host's loop around the compiled training step: seeds, evaluations, metrics, timing."""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from leed_jax import loggers
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization import evaluation, losses, minibatches, trainer
from leed_jax.optimization.minibatches import Data
from leed_jax.optimization.results import TrainResult
from leed_jax.optimization.trainer import Trainer, TrainState
from leed_jax.types import ArrayEnv, Expert, HasArrayEnv

EVALUATION_SEED = 0
"""Of the evaluations during training; `results.evaluate` draws other starts."""


def train(
    scenario: HasArrayEnv | ArrayEnv,
    demos: Demonstrations | None = None,
    config: TrainConfig | None = None,
    *,
    method: str | losses.Method = "leed",
    seeds: int | Sequence[int] = 1,
    expert: Expert | None = None,
    metrics: loggers.MetricsWriter | None = None,
    progress: bool = False,
) -> TrainResult:
    """Trains one team per seed, all of them in one compiled program.

    Args:
      scenario: a scenario, or any `ArrayEnv`.
      demos: demonstrations; needed by methods with an expert term over demonstrations.
      config: settings; the defaults learn MPE on a laptop.
      method: a key of `losses.METHODS`, or a `losses.Method` of one's own.
      seeds: how many (0, 1, ...), or which.
      expert: labels visited states, where ``config.expert.labels`` asks for it.
      metrics: gets a line per seed and evaluation.
      progress: shows a progress bar on stderr.

    Raises:
      ValueError: what is given does not fit together; the message names the field.
    """
    config = config or TrainConfig()
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    resolved = losses.resolve(method, config)
    trainer.check_demonstrations(resolved, config, demos, env)
    run = trainer.make_trainer(env, config, resolved, expert)
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen:
        raise ValueError("seeds must be at least 1, or name at least one")
    material = minibatches.data(demos if resolved.uses_expert else None, config)
    began = time.perf_counter()
    state = jax.jit(jax.vmap(run.init))(jnp.stack([jax.random.key(seed) for seed in chosen]))
    alive = jnp.ones(len(chosen), bool)
    programs = _compile(env, run, config, state, alive, material)
    loop = _Loop(config, resolved, chosen, programs, metrics, time.perf_counter() - began)
    label = f"{resolved.name} on {env.spec.name}"
    planned = config.num_updates * config.steps_per_update
    with loggers.TrainingProgress(label, planned, enabled=progress) as bar:
        state = loop.run(state, alive, material, bar)
    return TrainResult(
        method=resolved.name,
        config=config,
        spec=env.spec,
        seeds=chosen,
        params=state.params,
        history=loop.history,
        env_steps=loop.env_steps(config.num_updates),
        train_seconds=loop.seconds,
        compile_seconds=loop.compile_seconds,
        peak_memory_mb=peak_memory_mb(),
        diverged=loop.diverged,
    )


@dataclass(frozen=True)
class _Programs:
    """What is compiled, once."""

    advance: Callable[..., Any]
    """(states, alive, data, number of updates) -> states, alive, mean metrics."""
    evaluate: Callable[..., evaluation.Scores]


def _compile(
    env: ArrayEnv, run: Trainer, config: TrainConfig, state: Any, alive: Any, material: Data
) -> _Programs:
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
        return jax.vmap(lambda actor: evaluation.score(scored, run.actor, actor, keys))(params)

    lowered = jax.jit(advance, donate_argnums=0).lower(state, alive, material, jnp.array(1))
    return _Programs(
        advance=lowered.compile(),
        evaluate=jax.jit(evaluate).lower(state.params["actor"]).compile(),
    )


class _Loop:
    """Chunks of updates between evaluations; keeps the books."""

    def __init__(
        self,
        config: TrainConfig,
        method: losses.Method,
        seeds: tuple[int, ...],
        programs: _Programs,
        metrics: loggers.MetricsWriter | None,
        compile_seconds: float,
    ) -> None:
        self.config, self.method, self.seeds = config, method, seeds
        self.programs, self.metrics = programs, metrics
        self.compile_seconds = compile_seconds
        self.seconds = 0.0
        self.history: list[dict[str, Any]] = []
        self.diverged: dict[int, int] = {}

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
            state, alive, metrics = self.programs.advance(state, alive, material, jnp.array(count))
            jax.block_until_ready(state)
            self.seconds += time.perf_counter() - began
            done += count
            for seed, good in zip(self.seeds, np.asarray(alive), strict=True):
                if not good:
                    self.diverged.setdefault(seed, done)
            self._evaluate(state, done, jax.device_get(metrics), bar)
        return state

    def _evaluate(
        self, state: Any, done: int, metrics: dict[str, Any], bar: loggers.TrainingProgress
    ) -> None:
        scores = jax.device_get(self.programs.evaluate(state.params["actor"]))
        totals = scores.agent_return.sum(-1)
        names = [term.name for term in self.method.terms]
        for index, seed in enumerate(self.seeds):
            line = {
                "method": self.method.name,
                "seed": seed,
                "env_steps": self.env_steps(done),
                "updates": done,
                "seconds": self.seconds,
                # Not a number once the seed has diverged: its team is an old one.
                "team_return": float("nan") if seed in self.diverged else float(totals[index]),
                "agent_return": scores.agent_return[index].tolist(),
                "success": {name: float(v[index]) for name, v in scores.measures.items()},
                "loss": {n: float(metrics[n][index].mean()) for n in names if n in metrics},
            }
            if "expert_weight" in metrics and self.method.uses_expert:
                line["expert_weight"] = metrics["expert_weight"][index].tolist()
            if "dropped_decisions" in metrics:
                line["dropped_decisions"] = float(metrics["dropped_decisions"][index])
            self.history.append(line)
            if self.metrics is not None:
                self.metrics.write(line)
        rate = len(self.seeds) * self.env_steps(done) / max(self.seconds, 1e-9)
        bar.update(
            done * self.config.steps_per_update,
            team_return=float(totals.mean()),
            steps_per_second=rate if self.method.uses_rollout else None,
        )


def peak_memory_mb() -> float:
    """Largest memory in use so far: of the first device where it tells, else of the process."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"] / 2**20
    # Kilobytes on Linux, bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
