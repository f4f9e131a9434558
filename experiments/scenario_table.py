"""What instructions are worth in every scenario, and what it supports: ``docs/scenarios.md``.

    python -m experiments.scenario_table --json docs/results/scenarios.json --page docs/scenarios.md

Four ways to act are played from random resets: the recorded plan, imitation of it (BC, greedy, the
package's default settings), plans drawn at random from the same vocabulary, and random legal
actions. Scenarios whose numbers are in the file already are not played again.
"""

import argparse
import datetime
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import leed_jax as leed
from leed_jax import (
    compilation,
    episodes,
    execution,
    files,
    instructions,
    random_plans,
    scenarios,
    summary,
)
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.episodes import Episodes
from leed_jax.instructions import Plan
from leed_jax.scenarios import Scenario
from leed_jax.types import Policy

RANDOM_PLANS = 16
"""Of a scenario; each is played from its share of the resets."""
NETWORKS = {"smax": "gru", "switch_riddle": "gru"}
"""By family, what is trained; the others with an mlp."""
SMALLER: Mapping[str, dict[str, Any]] = {
    "road/luxembourg_main": {"num_agents": 8},
    "road/luxembourg_full": {"num_agents": 8},
}
"""Options of scenarios that are too large to be played 512 times as they come."""
START, END = "<!-- table -->", "<!-- end of table -->"
MAX_DEMONSTRATION_NUMBERS = 2e8
"""Observations of demonstrations for BC: of large ones fewer episodes are taken."""


def measure(
    scenario: Scenario, num_episodes: int, seed: int, *, imitate: bool = True
) -> dict[str, Any]:
    """The row of a scenario.

    Args:
      scenario: to be played.
      num_episodes: of every way to act.
      seed: of resets, random plans and training.
      imitate: train on the recorded plan, which takes most of the time.
    """
    keys = jax.random.split(jax.random.key(seed), num_episodes)
    plan = _recorded(scenario)
    row = _support(scenario) | {"transcript": plan is not None, "episodes": num_episodes}
    row["score"] = _metric(scenario)
    drawn = [random_plans.random_plan(scenario.vocabulary, seed + i) for i in range(RANDOM_PLANS)]
    play = _player(scenario)
    row["random_plans"] = _summary(play(drawn, keys))
    kind = scenario.env.spec.continuous
    row["random_actions"] = _of_policy(scenario, episodes.random_policy(continuous=kind), keys)
    if plan is not None:
        row["recorded_plan"] = _summary(play([plan], keys))
        if imitate:
            row["imitation"] = _imitated(scenario, plan, keys, seed)
    return row


def _recorded(scenario: Scenario) -> Plan | None:
    try:
        found = leed.generate_plans(scenario)
    except leed.GenerationError:
        return None
    return next(iter(found.plans.values()))


def _metric(scenario: Scenario) -> str:
    measures = scenario.env.measures
    return measures[0].name if measures else "team_return"


def _scores(scenario: Scenario, played: Episodes) -> Float[np.ndarray, "K"]:
    """The scenario's first measure, or the team return where it has none."""
    if scenario.env.measures:
        return np.asarray(played.measures[_metric(scenario)])
    return np.asarray(played.returns).sum(-1)


def _summary(values: Float[np.ndarray, "K"]) -> dict[str, float]:
    return {"mean": float(values.mean()), "error": float(values.std() / np.sqrt(len(values)))}


def _player(scenario: Scenario) -> Callable[[list[Plan], Any], Float[np.ndarray, "K"]]:
    """(plans, K reset keys) -> scores; compiled once, whatever the number of plans.

    Without the record that `execution.execute` keeps: states of long episodes are large.
    """

    @jax.jit
    @jax.vmap
    def run(rows: Any, valid: Any, key: Any) -> Any:
        guide = execution.expert(scenario, rows, valid)
        return episodes.run_one(scenario.env, execution.as_policy(guide), key)

    def play(plans: list[Plan], keys: Any) -> Float[np.ndarray, "K"]:
        encoded = instructions.encode(plans, scenario.vocabulary)
        index = np.arange(len(keys)) % len(plans)
        played = run(jnp.asarray(encoded.rows[index]), jnp.asarray(encoded.valid[index]), keys)
        return _scores(scenario, jax.device_get(played))

    return play


def _of_policy(scenario: Scenario, policy: Policy, keys: Any) -> dict[str, float]:
    play = jax.jit(lambda keys: episodes.run(scenario.env, policy, keys))
    return _summary(_scores(scenario, jax.device_get(play(keys))))


def _imitated(scenario: Scenario, plan: Plan, keys: Any, seed: int) -> dict[str, float]:
    spec = scenario.env.spec
    size = spec.horizon * spec.num_agents * spec.observation_size
    count = int(np.clip(MAX_DEMONSTRATION_NUMBERS / size, 16, 256))
    demos = execution.demonstrate(scenario, plan, num_episodes=count, seed=seed)
    kind: Any = NETWORKS.get(scenario.name.partition("/")[0], "mlp")
    # Rows, or for recurrent networks whole episodes.
    expert = ExpertConfig(batch_size=8 if kind == "gru" else 128)
    config = TrainConfig(
        # Named, so that rows of different days are one table's.
        learning_rate=3e-3,
        network=NetworkConfig(kind=kind),
        expert=expert,
        eval_every_steps=10**9,
    )
    result = leed.train(scenario, demos, config, method="bc", seeds=1)
    return _of_policy(scenario, result.policy(), keys)


def _support(scenario: Scenario) -> dict[str, Any]:
    """What is asked of a trainer: sizes, kinds of actions, masks, decisions, ends of episodes."""
    env, spec = scenario.env, scenario.env.spec
    policy = episodes.random_policy(continuous=spec.continuous)

    def seen(state: Any, time_step: Any, memory: Any, action: Any) -> Any:
        sizes = jnp.array(spec.action_sizes)[:, None]
        masked = (~time_step.action_mask & (jnp.arange(spec.num_actions) < sizes)).any()
        return masked, (~time_step.decision).any()

    keys = jax.random.split(jax.random.key(0), 32)
    played = jax.jit(lambda keys: episodes.run(env, policy, keys, record=seen))(keys)
    masked, waiting = (np.asarray(flags) & np.asarray(played.valid) for flags in played.record)
    lengths = np.asarray(played.length)
    return {
        "agents": spec.num_agents,
        "observation_sizes": sorted(set(spec.observation_sizes)),
        "action_sizes": sorted(set(spec.action_sizes)),
        "continuous": spec.continuous,
        "masks": bool(masked.any()),
        "decisions": bool(waiting.any()),
        "horizon": spec.horizon,
        "ends_early": bool((lengths < spec.horizon).any()),
        "grid": spec.observation_shape is not None,
    }


# ----------------------------------------------------------------------------- the page


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Both tables in Markdown."""
    lines = [
        "| scenario | agents | actions | masks | not every step a decision | continuous | "
        "ends before the time limit | visited labels | transcript | rendering |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        actions = " / ".join(map(str, row["action_sizes"]))
        flags = [row[key] for key in ("masks", "decisions", "continuous", "ends_early")]
        cells = [_yes(flag) for flag in [*flags, True, row["transcript"], True]]
        lines.append(f"| {_code(name)} | {row['agents']} | {actions} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| scenario | score | recorded plan | imitation (BC) | random plans | random actions |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    ways = ("recorded_plan", "imitation", "random_plans", "random_actions")
    for name, row in rows.items():
        cells = [_number(row.get(way)) for way in ways]
        score = row["score"].replace("_", " ")
        lines.append(f"| {_code(name)} | {score} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _code(name: str) -> str:
    """As code in a table of Markdown, where a bar would end the cell."""
    return "`" + name.replace("|", "\\|") + "`"


def _yes(flag: bool) -> str:
    return "yes" if flag else "-"


def _number(entry: Mapping[str, float] | None) -> str:
    return "-" if entry is None else f"{entry['mean']:.2f} ± {entry['error']:.2f}"


def on_page(text: str, tables: str) -> str:
    """``text`` with the tables between its two marks.

    Raises:
      ValueError: the marks are not there.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the page must hold {START} and, behind it, {END}")
    return f"{before}{START}\n\n{tables}\n\n{END}{after}"


def main(arguments: list[str] | None = None) -> None:
    """Plays what is missing in the file and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--page", type=Path, help="Markdown file with the marks for the tables")
    parser.add_argument("--names", nargs="*", help="default: all that can be made here")
    parser.add_argument("--episodes", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compilation-cache", metavar="PATH|off", help="default: the user's")
    parser.add_argument("--no-imitation", action="store_true", help="leave out what takes longest")
    options = parser.parse_args(arguments)
    compilation.announce_cache(options.compilation_cache)
    known: dict[str, Any] = {"rows": {}}
    if options.json.exists():
        known = json.loads(options.json.read_text(encoding="utf-8"))
    for name in options.names or scenarios.names():
        if name in known["rows"]:
            continue
        try:
            scenario = leed.make(name, **SMALLER.get(name, {}))
        except ImportError as error:
            print(f"{name}: {error}")
            continue
        row = measure(scenario, options.episodes, options.seed, imitate=not options.no_imitation)
        known["rows"][name] = row
        known |= {
            "command": summary.command(),
            "device": summary.device(),
            "versions": summary.versions(),
            "date": datetime.date.today().isoformat(),
            "seed": options.seed,
        }
        known["rows"] = dict(sorted(known["rows"].items()))
        files.write(options.json, json.dumps(known, indent=1) + "\n")
        print(name, json.dumps(known["rows"][name]), flush=True)
    if options.page is not None:
        text = options.page.read_text(encoding="utf-8")
        files.write(options.page, on_page(text, table(known["rows"])))


if __name__ == "__main__":
    main()
