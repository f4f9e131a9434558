"""What a training step costs as the number of agents grows: time, compilation, memory.

    python -m experiments.road_scaling --num-agents 8 32 128 512 --figure scaling.png

Network, demand, window and horizon are the same for every N: the same cars in more and smaller
platoons. Every combination of N and method runs in a process of its own, so that peaks of memory
are separate. LEED's demonstrations are of a plan in which everybody follows route 1; they are for
timing only. ``--score`` also trains on the scenario's own default demand, with recorded answers,
where there are any for that N.
"""

import argparse
import datetime
import itertools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import rich.console
import rich.table
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import leed_jax as leed
from experiments import figures, results, speed_parts
from leed_jax import files, loggers, statistics, summary
from leed_jax.optimization import memory, methods

COSTS = {
    "seconds_per_env_step": "time per environment step [s]",
    "processor_seconds_per_env_step": "processor time per environment step [s]",
    "compile_seconds": "time to compile [s]",
    "peak_memory_mb": "peak memory of the process [MB]",
    "arrays_mb": "arrays of the training step [MB]",
}
"""What must not grow faster than N, and its words in the figure."""
MB = 2**20


def measure(options: argparse.Namespace, num_agents: int, method: str) -> dict[str, Any]:
    """One N and method, in this process; JSON.

    Arrays are the training state, the demonstrations, and what the compiled step allocates beside
    them (the rollout, above all), as the compiler says.
    """
    scenario = leed.make(
        f"road/{options.network}",
        num_agents=num_agents,
        demand=options.demand,
        window=options.window,
        horizon=options.horizon,
    )
    steps = options.num_envs * options.rollout_steps
    config = leed.TrainConfig(
        total_steps=steps * (options.updates + 1),
        num_envs=options.num_envs,
        rollout_steps=options.rollout_steps,
        num_minibatches=_minibatches(steps),
    )
    demos = None
    if methods.resolve(method, config).uses_expert:
        follow = leed.AgentPlan((leed.Instruction("FollowRoute", {"route": 1}),))
        plan = dict.fromkeys(scenario.env.spec.agents, follow)
        demos = leed.demonstrate(scenario, plan, num_episodes=options.demonstrations)
    before = memory.peak_mb()
    program = speed_parts.of_method(scenario.env, config, method, demos, ("step",))["step"]
    seconds, processor = [], []
    for _ in range(options.updates):
        began, used = time.perf_counter(), time.process_time()
        jax.block_until_ready((program.call(), program.state))
        seconds.append(time.perf_counter() - began)
        # Of all threads on the host; it hardly knows of other programs on the machine.
        processor.append(time.process_time() - used)
    allocated = program.compiled.memory_analysis()
    arrays = {
        "state": _bytes(program.state),
        "demonstrations": _bytes(program.arguments),
        "step": None if allocated is None else allocated.temp_size_in_bytes,
    }
    total = sum(size or 0 for size in arrays.values())
    return {
        "num_agents": num_agents,
        "method": method,
        "env_steps_per_second": steps / min(seconds),
        "agent_steps_per_second": steps * num_agents / min(seconds),
        "seconds_per_env_step": min(seconds) / steps,
        "processor_seconds_per_env_step": min(processor) / steps,
        "compile_seconds": program.compile_seconds,
        "peak_memory_mb": memory.peak_mb(),
        "memory_before_mb": before,
        "arrays_bytes": arrays,
        "arrays_mb": total / MB,
        "arrays_bytes_per_agent": total / num_agents,
        "seconds": seconds,
        "load": os.getloadavg()[0],
        "score": score(options, num_agents, method) if options.score else None,
    }


def _minibatches(steps: int) -> int:
    """So many that a minibatch is as large as by default, and divides the steps of an update."""
    usual = leed.TrainConfig()
    wanted = max(1, steps * usual.num_minibatches // usual.steps_per_update)
    return max(count for count in range(1, wanted + 1) if steps % count == 0)


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def score(options: argparse.Namespace, num_agents: int, method: str) -> dict[str, float] | None:
    """IQM and interval over seeds after training; None where no answers were recorded for N."""
    scenario = leed.make(f"road/{options.network}", num_agents=num_agents)
    if "score" not in {measure.name for measure in scenario.env.measures}:
        return None
    try:
        demos = leed.generate_demonstrations(scenario)
    except leed.GenerationError:
        return None
    config = leed.TrainConfig(total_steps=options.score_steps)
    trained = leed.train(scenario, demos, config, method=method, seeds=options.score_seeds)
    return statistics.aggregate(trained.final("score"))._asdict()


def growth(rows: Sequence[dict[str, Any]], cost: str) -> list[float]:
    """Exponent a of cost ~ N^a between every N and the next larger one; 1 is linear."""
    return [
        math.log(right[cost] / left[cost]) / math.log(right["num_agents"] / left["num_agents"])
        for left, right in itertools.pairwise(rows)
    ]


def by_method(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of every method, by ascending N."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["num_agents"]):
        found.setdefault(row["method"], []).append(row)
    return found


def table(result: dict[str, Any]) -> rich.table.Table:
    """A line per N and method."""
    facts = result["settings"]
    columns = (
        "env steps/s",
        "agent-steps/s",
        "compile \\[s]",
        "peak \\[MB]",
        "kB per agent",
        "score",
    )
    shown = rich.table.Table(
        "N",
        "method",
        *columns,
        title=f"{facts['network']}, {facts['num_envs']} environments, {result['device']}",
        caption="kB per agent: arrays of the training step. LEED's demonstrations are for timing "
        "only",
    )
    for row in result["rows"]:
        reached = row["score"]
        shown.add_row(
            str(row["num_agents"]),
            results.label(row["method"]),
            f"{row['env_steps_per_second']:,.0f}",
            f"{row['agent_steps_per_second']:,.0f}",
            f"{row['compile_seconds']:.1f}",
            f"{row['peak_memory_mb']:,.0f}",
            f"{row['arrays_bytes_per_agent'] / 1000:,.0f}",
            "-"
            if reached is None
            else f"{reached['iqm']:.2f} \\[{reached['low']:.2f}, {reached['high']:.2f}]",
        )
    return shown


def growth_table(result: dict[str, Any]) -> rich.table.Table:
    """How every cost grows from one N to the next."""
    counts = sorted({row["num_agents"] for row in result["rows"]})
    steps = [f"{left} to {right}" for left, right in itertools.pairwise(counts)]
    shown = rich.table.Table("method", "cost", *steps, title="exponents of N; 1 is linear")
    for method, costs in result["growth"].items():
        for cost, exponents in costs.items():
            words = COSTS[cost].replace("[", "\\[")
            shown.add_row(results.label(method), words, *(f"{value:.2f}" for value in exponents))
    return shown


def figure(result: dict[str, Any]) -> Figure:
    """Every cost over N, both axes logarithmic, with a line of what linear growth would be."""
    drawn = Figure(figsize=(12, 6.6), dpi=130)
    drawn.set_layout_engine("constrained")
    series = by_method(result["rows"])
    counts = sorted({row["num_agents"] for row in result["rows"]})
    *panels, legend = drawn.subplots(2, 3).ravel()
    for axes, (cost, words) in zip(panels, COSTS.items(), strict=True):
        for method, rows in series.items():
            colour, marker = figures.style(method, list(series))
            x, y = [row["num_agents"] for row in rows], [row[cost] for row in rows]
            axes.plot(x, y, color=colour, marker=marker, label=results.label(method))
        start = max(rows[0][cost] for rows in series.values())
        linear = start * np.array(counts) / counts[0]
        axes.plot(counts, linear, ":", color="0.4", label="in proportion to N", zorder=1)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set(xlabel="agents", ylabel=words)
        axes.grid(color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    legend.set_axis_off()
    legend.legend(*panels[0].get_legend_handles_labels(), frameon=False, loc="center")
    drawn.suptitle(f"{result['settings']['network']}, {result['device']}")
    return drawn


def in_own_process(arguments: Sequence[str], num_agents: int, method: str) -> dict[str, Any]:
    """`measure` in a fresh interpreter with the same options.

    Raises:
      RuntimeError: it failed; says how.
    """
    given = [*arguments, "--num-agents", str(num_agents), "--methods", method, "--worker"]
    command = [sys.executable, "-m", "experiments.road_scaling", *given]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{method} with {num_agents} agents failed: {done.returncode}")
    return json.loads(done.stdout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.road_scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    shown = "(default: %(default)s)"
    add("--num-agents", type=int, nargs="+", default=[8, 32, 128, 512], help=shown)
    add("--methods", nargs="+", default=["leed", "ippo"], help=shown)
    add("--network", default="berlin_adlershof", help=f"a shipped network {shown}")
    add("--demand", type=float, default=512.0, help=f"cars, for every N {shown}")
    add("--window", type=float, default=300.0, help=f"s, all depart in it {shown}")
    add("--horizon", type=int, default=128, help=f"steps of an episode {shown}")
    add("--num-envs", type=int, default=16, help=shown)
    add("--rollout-steps", type=int, default=128, help=shown)
    add("--updates", type=int, default=3, help=f"that are timed; the best counts {shown}")
    add("--demonstrations", type=int, default=4, help=f"episodes {shown}")
    add("--score", action="store_true", help="train, where answers are recorded for N")
    add("--score-steps", type=int, default=200_000, help=f"of that training {shown}")
    add("--score-seeds", type=int, default=3, help=f"of that training {shown}")
    add("--json", type=Path, help="where raw results go")
    add("--figure", type=Path, help="a PNG file")
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Measures all combinations, prints the table, draws the figure."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    options = parser.parse_args(given)
    if options.worker:
        # A program kept from an earlier run would be no measurement of compiling.
        jax.config.update("jax_enable_compilation_cache", False)
        found = measure(options, options.num_agents[0], options.methods[0])
        print(json.dumps(loggers.jsonable(found)))
        return
    rows = []
    try:
        for num_agents in options.num_agents:
            for method in options.methods:
                rows.append(in_own_process(given, num_agents, method))
                print(f"{method}, {num_agents} agents: measured", file=sys.stderr)
    except RuntimeError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    kept = ("network", "demand", "window", "horizon", "num_envs", "rollout_steps", "updates")
    result = {
        "device": summary.device(),
        "date": datetime.date.today().isoformat(),
        "command": summary.command(),
        "versions": summary.versions(),
        "settings": {name: getattr(options, name) for name in kept},
        "rows": rows,
        "growth": {
            method: {cost: growth(found, cost) for cost in COSTS}
            for method, found in by_method(rows).items()
        },
    }
    rich.console.Console().print(table(result), growth_table(result))
    if options.json is not None:
        files.write(options.json, json.dumps(loggers.jsonable(result), indent=1) + "\n")
    if options.figure is not None:
        with files.whole(options.figure) as partial, partial.open("wb") as file:
            FigureCanvasAgg(figure(result)).print_png(file)


if __name__ == "__main__":
    main()
