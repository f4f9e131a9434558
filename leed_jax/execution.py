"""Plans become actions, and actions episodes, all in JAX: compiled once, on thousands of resets.

Per step the scenario resolves the targets of all agents together, then every command's controller
runs for every agent and the one that the agent was told is selected (a vmapped ``switch`` would
run them all too). A program counter per agent says which instruction is in force; where plans are
lists of rules (`Controls.applies`), it is found anew in every step.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key

from leed_jax import episodes, instructions
from leed_jax.demonstrations import DemonstrationArrays, Demonstrations
from leed_jax.instructions import FIRST_ARGUMENT, OP, EncodedPlans, Plan, Vocabulary
from leed_jax.scenarios import Controls, Program, Scenario
from leed_jax.types import Action, ArrayEnv, Expert, Memory, Policy, State, TimeStep


class ExpertMemory(NamedTuple):
    """Where every agent stands in its plan."""

    counter: Int[Array, "N"]
    """Index of the instruction in force; of a list of rules, of the one that acted last."""
    elapsed: Int[Array, "N"]
    """Steps since it started."""
    completed: Int[Array, "N"]
    """Instructions that ended because they were finished or their condition held."""
    timed_out: Int[Array, "N"]
    """Instructions that ended by ``max_steps`` alone."""
    targets: Any
    """Resolved targets of the last step, for feedback and rendering."""
    scenario: Memory
    """The scenario's own."""


class Executed(NamedTuple):
    """Episodes of plans, with all that demonstrations, feedback and rendering need."""

    episodes: episodes.Episodes
    """``record`` holds a `Step` with leading axes K, S."""
    plan_index: Int[np.ndarray, "K"]
    """Which plan was run."""


class Step(NamedTuple):
    """What is kept of one step."""

    state: State
    time_step: TimeStep
    memory: ExpertMemory
    action: Action
    legal: Bool[Array, "N"]
    """The plan's own action was legal; otherwise the first legal one was executed instead."""


def expert(scenario: Scenario, rows: Int[Array, "N L F"], valid: Bool[Array, "N L"]) -> Expert:
    """One encoded plan as a policy for any state of ``scenario``."""
    return _expert(scenario.vocabulary, scenario.controls, rows, valid)


def _expert(
    vocabulary: Vocabulary,
    controls: Controls,
    rows: Int[Array, "N L F"],
    valid: Bool[Array, "N L"],
) -> Expert:
    if controls.applies is not None and vocabulary.timed:
        raise ValueError("rules never end: a vocabulary for lists of rules must not be timed")
    agents = jnp.arange(rows.shape[0])
    last = valid.sum(-1) - 1
    arguments = slice(FIRST_ARGUMENT, FIRST_ARGUMENT + vocabulary.num_arguments)

    def program(memory: ExpertMemory) -> tuple[Program, Int[Array, "N F"]]:
        row = rows[agents, memory.counter]
        return Program(row[:, OP], row[:, arguments], memory.elapsed == 0), row

    def first_applying(state: State, memory: ExpertMemory) -> ExpertMemory:
        assert controls.applies is not None
        index = jnp.arange(rows.shape[1])[:, None]
        kept = (index == memory.counter[None]) & (memory.elapsed > 0)[None]
        every = Program(rows[:, :, OP].T, rows[:, :, arguments].swapaxes(0, 1), ~kept)
        applies = jax.vmap(controls.applies, (None, 0, None))(state, every, memory.scenario)
        applies = applies & valid.T
        counter = jnp.where(applies.any(0), applies.argmax(0), last).astype(jnp.int32)
        elapsed = jnp.where(counter == memory.counter, memory.elapsed, 0)
        return memory._replace(counter=counter, elapsed=elapsed)

    def init(state: State) -> ExpertMemory:
        zeros = jnp.zeros(rows.shape[0], jnp.int32)
        memory = ExpertMemory(zeros, zeros, zeros, zeros, (), controls.init(state))
        if controls.applies is not None:
            memory = first_applying(state, memory)
        targets, _ = controls.resolve(state, program(memory)[0], memory.scenario)
        return memory._replace(targets=targets)

    def label(state: State, memory: ExpertMemory) -> tuple[Action, ExpertMemory]:
        if controls.applies is not None:
            memory = first_applying(state, memory)
        if controls.passed is not None:
            idle = controls.passed(state, program(memory)[0]) & (memory.counter < last)
            memory = memory._replace(
                counter=memory.counter + idle.astype(jnp.int32),
                elapsed=jnp.where(idle, 0, memory.elapsed),
                completed=memory.completed + idle.astype(jnp.int32),
            )
        now, row = program(memory)
        targets, scenario_memory = controls.resolve(state, now, memory.scenario)
        answers = [jax.vmap(c, (0, None, 0))(targets, state, agents) for c in controls.controllers]
        action = jnp.stack([action for action, _ in answers])[now.op, agents]
        finished = jnp.stack([finished for _, finished in answers])[now.op, agents]
        until, limit, repeat = row[:, -3], row[:, -2], row[:, -1]
        if controls.conditions:
            held = jnp.stack([condition(state, targets) for condition in controls.conditions])
            finished = jnp.where(until > 0, held[jnp.maximum(until - 1, 0), agents], finished)
        elapsed = memory.elapsed + 1
        timed_out = (limit > 0) & (elapsed >= limit) & ~finished
        # After the last instruction the list starts over, or that instruction stays in force.
        more = (memory.counter < last) | (repeat > 0)
        following = jnp.where(memory.counter < last, memory.counter + 1, 0)
        leave = (finished | timed_out) & more
        if controls.applies is not None:
            leave = jnp.zeros_like(leave)
        kind = jnp.float32 if jnp.issubdtype(action.dtype, jnp.floating) else jnp.int32
        return action.astype(kind), ExpertMemory(
            counter=jnp.where(leave, following, memory.counter),
            elapsed=jnp.where(leave, 0, elapsed),
            completed=memory.completed + (finished & leave).astype(jnp.int32),
            timed_out=memory.timed_out + (timed_out & leave).astype(jnp.int32),
            targets=targets,
            scenario=scenario_memory,
        )

    return Expert(init, label)


def as_policy(guide: Expert) -> Policy:
    """The expert as a policy that never acts illegally; its memory is (legal, expert's memory)."""

    def init(state: State, time_step: TimeStep) -> Any:
        return jnp.ones_like(time_step.decision), guide.init(state)

    def act(carry: Any, state: State, time_step: TimeStep, key: Key[Array, ""]) -> Any:
        del key
        action, memory = guide.label(state, carry[1])
        legal = time_step.allows(action)
        return (legal, memory), time_step.legal(action)

    return Policy(init, act)


def _keep(state: State, time_step: TimeStep, carry: Any, action: Action) -> Step:
    legal, memory = carry
    return Step(state, time_step, memory, action, legal)


def execute(
    scenario: Scenario,
    plans: Sequence[Plan],
    keys: Key[Array, "K"],
    plan_index: Int[np.ndarray, "K"] | None = None,
    *,
    scored: bool = False,
) -> Executed:
    """Runs plans from the resets of ``keys``.

    Args:
      scenario: where.
      plans: P of them.
      keys: one per episode.
      plan_index: which plan each episode runs; by default the only plan, or for as many plans as
        keys each its own.
      scored: from the environment's scored starts instead of those that training draws.

    Raises:
      ValueError: a plan holds what the vocabulary does not, or the numbers of plans and keys do
        not fit together.
    """
    encoded = instructions.encode(plans, scenario.vocabulary)
    if plan_index is None:
        if len(plans) not in (1, len(keys)):
            raise ValueError(f"{len(plans)} plans and {len(keys)} keys: plan_index is needed")
        plan_index = np.arange(len(keys)) % len(plans)
    known = np.isin(plan_index, np.arange(len(plans)))
    if known.shape != (len(keys),) or not known.all():
        raise ValueError(f"plan_index must hold {len(keys)} numbers in 0..{len(plans) - 1}")
    env = scenario.env.scored if scored else scenario.env
    run = _runner(env, scenario.vocabulary, scenario.controls)
    return Executed(run(EncodedPlans(*map(jnp.asarray, encoded)), plan_index, keys), plan_index)


@functools.lru_cache(maxsize=32)
def _runner(env: ArrayEnv, vocabulary: Vocabulary, controls: Controls) -> Any:
    """The compiled executor of a scenario: plans are arguments, so it compiles once."""

    @jax.jit
    def run(plans: EncodedPlans, index: Int[Array, "K"], keys: Key[Array, "K"]) -> Any:
        def one(plan: Int[Array, ""], key: Key[Array, ""]) -> episodes.Episodes:
            guide = _expert(vocabulary, controls, plans.rows[plan], plans.valid[plan])
            return episodes.run_one(env, as_policy(guide), key, record=_keep)

        return jax.vmap(one)(index, keys)

    return run


def make_expert(scenario: Scenario, plan: Plan) -> Expert:
    """A relational plan as an `Expert`, for labelling the states that a learner visits."""
    encoded = instructions.encode([plan], scenario.vocabulary)
    found = expert(scenario, jnp.asarray(encoded.rows[0]), jnp.asarray(encoded.valid[0]))
    return found._replace(states=jax.eval_shape(scenario.env.reset, jax.random.key(0))[0])


def expert_behind(scenario: Scenario, demos: Demonstrations) -> Expert | None:
    """The plan that all episodes come from as an `Expert`.

    Args:
      scenario: where the demonstrations were made.
      demos: from `demonstrate`, `generate_demonstrations` or a file.

    Returns:
      None where there were several plans, or those of given starts, which say nothing of others.
    """
    about = demos.provenance
    plans = about.get("plans", {})
    if about.get("plan_kind") != "relational" or set(plans) != {instructions.ANY_EPISODE}:
        return None
    return make_expert(scenario, instructions.from_mapping(plans)[instructions.ANY_EPISODE])


def from_executed(
    scenario: Scenario, executed: Executed, provenance: Mapping[str, Any]
) -> Demonstrations:
    """The episodes as demonstrations, in arrays of the host.

    Rows to learn from are those inside the episode where the agent had a decision to make and
    the plan's own action was executed; the padding is zero.

    Args:
      scenario: where the plans were executed.
      executed: what `execute` returned.
      provenance: JSON, where they came from.

    Raises:
      ValueError: no row to learn from, or numbers that are not finite.
    """
    ran, step = executed.episodes, executed.episodes.record
    inside = np.asarray(ran.valid)[:, :, None]
    observation = np.asarray(step.time_step.observation, np.float32)
    made = Demonstrations(
        DemonstrationArrays(
            # An environment may go on to anything after its end, NaN included.
            observation=np.where(inside[..., None], observation, np.float32(0)),
            action=np.asarray(step.action),
            action_mask=np.asarray(step.time_step.action_mask),
            reward=np.asarray(ran.rewards, np.float32),
            valid=inside & np.asarray(step.time_step.decision) & np.asarray(step.legal),
            returns=np.asarray(ran.returns, np.float32),
        ),
        scenario.env.spec,
        {name: float(np.mean(values)) for name, values in ran.measures.items()},
        provenance,
    )
    return dataclasses.replace(made, expert=expert_behind(scenario, made))


def demonstrate(
    scenario: Scenario, plan: Plan, *, num_episodes: int = 256, seed: int = 0
) -> Demonstrations:
    """Demonstrations of a plan written by hand: the same path as a model's, without a model.

    Args:
      scenario: where.
      plan: an `AgentPlan` per agent, to be run from every start.
      num_episodes: K, random starts.
      seed: draws them.

    Raises:
      ValueError: the plan holds what the vocabulary does not.
    """
    keys = jax.random.split(jax.random.key(seed), num_episodes)
    provenance = {
        "scenario": {"name": scenario.name, "options": scenario.options},
        "model": "hand",
        "plan_kind": "relational",
        "plans": {instructions.ANY_EPISODE: instructions.to_mapping(plan)},
        "seed": seed,
    }
    return from_executed(scenario, execute(scenario, [plan], keys), provenance)
