"""Teams of learned and scripted agents: played, evaluated, and trained beside one another."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from leed_jax import episodes, execution
from leed_jax.demonstrations import Demonstrations
from leed_jax.instructions import Plan
from leed_jax.interchange.recording import Script, as_policy
from leed_jax.optimization import evaluation
from leed_jax.optimization.results import EVALUATION_SEED, Evaluation, TrainResult
from leed_jax.scenarios import Scenario
from leed_jax.types import Action, ArrayEnv, EnvSpec, HasArrayEnv, Measure, Policy, State, TimeStep

Member = Policy | TrainResult | Plan | Script
"""What can act for an agent: a policy of the whole team, a trained team, a plan of the whole team,
or a function from all agents' observations [N D] to their actions."""


class MixedState(NamedTuple):
    """State of an environment with scripted agents."""

    env: State
    time_step: TimeStep
    """What all agents see."""
    memory: Any
    """The script's."""


def mixed_team(scenario: HasArrayEnv | ArrayEnv, members: Mapping[str, Member]) -> Policy:
    """A team in which every agent follows its own member.

    A member that is named for several agents acts once for all of them. A plan speaks to the whole
    team: what it tells agents that follow something else is not carried out, but claims what it
    claims (``nearest_free``). A team trained among scripted agents (`with_scripted`) sees the rows
    that it was trained on.

    Args:
      scenario: that all of them act in; a scenario where there is a plan.
      members: of every agent, by its name.

    Raises:
      ValueError: agents without a member, unknown agents, or a member of another environment.
    """
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    spec = env.spec
    if set(members) != set(spec.agents):
        raise ValueError(f"members must be of {list(spec.agents)}, got {sorted(members)}")
    chosen = [members[agent] for agent in spec.agents]
    parts = list({id(member): member for member in chosen}.values())
    index = np.array([[part is member for part in parts].index(True) for member in chosen])
    policies = [_policy(scenario, env, part) for part in parts]

    def init(state: State, step: TimeStep) -> Any:
        return tuple(policy.init(state, step) for policy in policies)

    def act(memory: Any, state: State, step: TimeStep, key: Any) -> tuple[Any, Action]:
        keys = jax.random.split(key, len(policies))
        acted = [p.act(m, state, step, k) for p, m, k in zip(policies, memory, keys, strict=True)]
        actions = jnp.stack([action for _, action in acted])
        return tuple(after for after, _ in acted), step.legal(actions[index, np.arange(len(index))])

    return Policy(init, act)


def with_scripted(
    scenario: HasArrayEnv | ArrayEnv, script: Member, agents: tuple[str, ...] | list[str]
) -> ArrayEnv:
    """The environment that is left to learn when some of its agents are scripted.

    It has the other agents alone: their rows, rewards and actions; ``global_state`` and measures
    stay the team's. An episode also ends when the return of every learner has ended.

    Args:
      scenario: with all agents.
      script: acts for the scripted agents; what it does for the others is not carried out.
      agents: the scripted ones.

    Raises:
      ValueError: unknown agents, none of them, or nobody left to learn.
    """
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    scripted = set(agents)
    if not scripted < set(env.spec.agents) or not scripted:
        raise ValueError(f"agents must be some of {list(env.spec.agents)}, got {list(agents)}")
    policy = _policy(scenario, env, script)
    learners = _indices(env.spec, [a for a in env.spec.agents if a not in scripted])
    spec = _narrowed_spec(env.spec, learners)

    def start(reset: Any) -> Any:
        def begin(key: Any) -> tuple[MixedState, TimeStep]:
            state, now = reset(key)
            return MixedState(state, now, policy.init(state, now)), _narrowed(now, learners, spec)

        return begin

    def step(key: Any, state: MixedState, action: Action) -> tuple[MixedState, TimeStep]:
        # The environment gets the key that it would get without scripted agents.
        script_key = jax.random.fold_in(key, 0x5C21)
        memory, whole = policy.act(state.memory, state.env, state.time_step, script_key)
        whole = _widened(action, state.time_step.legal(whole), learners)
        inner, now = env.step(key, state.env, whole)
        return MixedState(inner, now, memory), _narrowed(now, learners, spec)

    measures = tuple(
        Measure(m.name, lambda state, read=m.read: read(state.env), m.over, m.meaning)
        for m in env.measures
    )
    scored = None if env.scored_reset is None else start(env.scored_reset)
    return ArrayEnv(start(env.reset), step, spec, measures, scored, env.scored_starts)


def demonstrations_of(demos: Demonstrations, env: ArrayEnv) -> Demonstrations:
    """A whole team's demonstrations, for the learners of `with_scripted` alone.

    Rows that only others have to learn from are left out. Success metrics stay: they are the
    team's.

    Args:
      demos: of the environment with all agents.
      env: what `with_scripted` returned.

    Raises:
      ValueError: they are not of that environment.
    """
    learners = _indices(demos.spec, env.spec.agents)
    spec = _narrowed_spec(demos.spec, learners)
    spec.require(env.spec, "demonstrations")
    arrays, actions = demos.arrays, spec.num_actions
    rows = {name: np.asarray(values)[:, :, learners] for name, values in arrays._asdict().items()
            if name != "returns"}  # fmt: skip
    rows["observation"] = rows["observation"][..., : spec.observation_size]
    rows["action_mask"] = rows["action_mask"][..., :actions]
    if spec.continuous:
        rows["action"] = rows["action"][..., :actions]
    returns = np.asarray(arrays.returns)[:, learners]
    kept = type(arrays)(**rows, returns=returns)
    return Demonstrations(kept, spec, demos.measures, demos.provenance)


def evaluate_policy(
    scenario: HasArrayEnv | ArrayEnv,
    policy: Policy,
    *,
    num_episodes: int = 512,
    seed: int = EVALUATION_SEED,
    name: str = "policy",
) -> Evaluation:
    """Plays a policy from the starts that `leed_jax.evaluate` uses.

    Args:
      scenario: to play in, or its `ArrayEnv`.
      policy: any, such as a mixed team.
      num_episodes: fewer where the environment has fewer scored starts.
      seed: draws the starts.
      name: for the table.
    """
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    keys = evaluation.evaluation_keys(seed, env.scored_episodes(num_episodes))

    def play(keys: Any) -> tuple[Float[Array, "N"], dict[str, Float[Array, ""]]]:
        played = episodes.run(env.scored, policy, keys)
        means = {measure: values.mean() for measure, values in played.measures.items()}
        return played.returns.mean(0), means

    returns, measures = jax.device_get(jax.jit(play)(keys))
    success = {measure: np.asarray(value)[None] for measure, value in measures.items()}
    return Evaluation(name, (0,), len(keys), np.asarray(returns)[None], success)


def _policy(scenario: Any, env: ArrayEnv, member: Member) -> Policy:
    """A member as a policy of all agents."""
    if isinstance(member, Policy):
        return member
    if isinstance(member, TrainResult):
        if set(member.spec.agents) < set(env.spec.agents):
            return _widened_policy(member, env.spec)
        member.spec.require(env.spec, "member")
        return member.policy()
    if isinstance(member, Mapping):
        if not isinstance(scenario, Scenario):
            raise ValueError("a plan needs the scenario that it is of, not its ArrayEnv alone")
        return execution.as_policy(execution.make_expert(scenario, member))
    if not callable(member):
        raise ValueError(f"member must be a policy, result, plan or function, got {member!r}")
    return as_policy(member, env)


def _widened_policy(member: TrainResult, spec: EnvSpec) -> Policy:
    """A team trained among scripted agents; the others' actions are their first legal ones."""
    rows, own = _indices(spec, member.spec.agents), member.policy()
    member.spec.require(_narrowed_spec(spec, rows), "member")

    def init(state: State, step: TimeStep) -> Any:
        return own.init(state, _narrowed(step, rows, member.spec))

    def act(memory: Any, state: State, step: TimeStep, key: Any) -> tuple[Any, Action]:
        memory, action = own.act(memory, state, _narrowed(step, rows, member.spec), key)
        nobody = jnp.full(len(spec.agents), -1, action.dtype)
        if spec.continuous:
            nobody = jnp.zeros((len(spec.agents), spec.num_actions), action.dtype)
        return memory, step.legal(_widened(action, nobody, rows))

    return Policy(init, act)


def _indices(spec: EnvSpec, agents: Any) -> np.ndarray:
    unknown = sorted(set(agents) - set(spec.agents))
    if unknown:
        raise ValueError(f"agents are {list(spec.agents)}, got {unknown}")
    return np.array([spec.agents.index(agent) for agent in agents])


def _narrowed_spec(spec: EnvSpec, rows: np.ndarray) -> EnvSpec:
    """The specification of some of the agents."""
    return spec._replace(
        agents=tuple(spec.agents[n] for n in rows),
        observation_sizes=tuple(spec.observation_sizes[n] for n in rows),
        action_sizes=tuple(spec.action_sizes[n] for n in rows),
    )


def _narrowed(step: TimeStep, rows: np.ndarray, spec: EnvSpec) -> TimeStep:
    """What some of the agents see."""
    return step._replace(
        observation=step.observation[rows, : spec.observation_size],
        reward=step.reward[rows],
        terminated=step.terminated[rows],
        action_mask=step.action_mask[rows, : spec.num_actions],
        decision=step.decision[rows],
    )


def _widened(action: Any, others: Any, rows: np.ndarray) -> Any:
    """``action`` of some agents among ``others``' of all."""
    if action.ndim == 2:
        return others.at[rows, : action.shape[1]].set(action)
    return others.at[rows].set(action)
