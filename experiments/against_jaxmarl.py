"""Whether our baselines reach what JaxMARL's own scripts reach, at the same steps.

    python -m experiments.against_jaxmarl --checkout ~/JaxMARL --method ippo_shared mappo --seeds 5

Both sides train on MPE's simple_spread with the settings of the script's YAML file: environments,
steps, epochs, minibatches, learning rate, networks. Seed by seed they take turns; what is there
already is not run again. Compared is what both can say of themselves: the return of the training
episodes, sampled actions, summed over the team.

Their environment tells no time limit from an end: behind an episode's last step nothing is
bootstrapped. Ours does it right, which is another problem to learn, so ours is run twice: as it is,
and with the limit as the end, as theirs.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
from jaxtyping import Float

import leed_jax as leed
from experiments import jaxmarl_peer
from experiments.jaxmarl_peer import Peer
from leed_jax import files, loggers, statistics, summary
from leed_jax.config import NetworkConfig, TrainConfig
from leed_jax.types import ArrayEnv

POINTS = 20
"""Of a curve; each the mean over as many updates."""
_COUNTED = (
    "our steps include the one that resets an environment, 1 in 27; theirs takes a time limit for "
    "the end of the return, and so does ours where it is called ended, otherwise it bootstraps"
)
THEIRS, OURS, ENDED = "theirs", "ours", "ended"


class Side(NamedTuple):
    """A script, and how it tells the team's return of training episodes, update by update.

    Both take the mean over agents of their own returns times N (``MPELogWrapper``).
    """

    peer: Peer
    returns: Callable[[Any, list[dict[str, Any]]], Float[np.ndarray, "U"]]
    """(results of a run, what it logged) -> returns."""


def _ippo_returns(results: Any, logged: Any) -> Float[np.ndarray, "U"]:
    del logged
    return np.asarray(results["metrics"]["returned_episode_returns"], np.float64)


def _mappo_returns(results: Any, logged: Any) -> Float[np.ndarray, "U"]:
    del results
    # Callbacks may come out of order.
    lines = sorted(logged, key=lambda line: int(line["env_step"]))
    return np.array([float(line["returns"]) for line in lines])


def _gru(settings: dict[str, Any]) -> NetworkConfig:
    sizes = (settings["FC_DIM_SIZE"], settings["GRU_HIDDEN_DIM"])
    return NetworkConfig(kind="gru", hidden_sizes=sizes, activation="relu")


_SPREAD = jaxmarl_peer.PEERS["mpe/simple_spread"]
SIDES = {
    "ippo_shared": Side(_SPREAD, _ippo_returns),
    "mappo": Side(
        _SPREAD._replace(
            script="mappo_rnn_mpe",
            network=_gru,
            differences=(
                "our critic sees each agent's own observation and number besides all observations; "
                "theirs clips the gradients of actor and critic apart and shuffles sequences of "
                "agents, ours shuffles environments with all their agents"
            ),
            folder="MAPPO",
            settings="mappo_homogenous_rnn_mpe",
        ),
        _mappo_returns,
    ),
}
"""By our method."""


@dataclass(frozen=True)
class Comparison:
    """What is compared."""

    checkout: Path
    """Of JaxMARL."""
    method: tuple[str, ...] = tuple(SIDES)
    """Ours; each knows its script."""
    num_agents: int = 3
    """Of simple_spread."""
    seeds: int = 5
    """Runs of either side."""
    total_steps: int = 1_000_000
    """Environment steps of a run."""
    num_envs: int | None = None
    """Environments side by side; None: the script's own number."""
    output: Path = Path("results/against_jaxmarl")
    """Folder; a JSON file per method."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.method if name not in SIDES]
        if unknown or not self.method:
            raise ValueError(f"method must be some of {', '.join(SIDES)}, got {self.method}")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")


def compare(config: Comparison, method: str) -> dict[str, Any]:
    """Runs what the file of ``method`` lacks, and says what both sides reached.

    Raises:
      ValueError: the checkout lacks something, or the file is of another comparison.
    """
    peer, returns = SIDES[method]
    scenario = leed.make("mpe/simple_spread", num_agents=config.num_agents)
    defaults = jaxmarl_peer.settings(config.checkout, peer)
    num_envs = config.num_envs or int(defaults["NUM_ENVS"])
    updates = config.total_steps // (num_envs * int(defaults["NUM_STEPS"]))
    # Until the script's own numbers are in, any that go together.
    base = TrainConfig(num_envs=num_envs, num_minibatches=1, total_steps=num_envs * 128)
    task = jaxmarl_peer.task(scenario, peer, defaults, base, updates)
    head = {
        "scenario": scenario.name,
        "num_agents": config.num_agents,
        "method": method,
        "script": f"{peer.folder}/{peer.script}",
        "differences": f"{peer.differences}; {_COUNTED}",
        "settings": loggers.jsonable(task.theirs),
        "config": loggers.jsonable(dataclasses.asdict(task.ours)),
    }
    path = config.output / f"{method}.json"
    runs = earlier(path, head)
    logged: list[dict[str, Any]] = []
    train = jaxmarl_peer.load(config.checkout, peer, logged.append)(dict(task.theirs))
    theirs: Any = jax.jit(train)
    envs = {OURS: scenario.env, ENDED: limit_ends(scenario.env)}
    trained = {name: leed.make_train(env, task.ours, method) for name, env in envs.items()}
    ours: dict[str, Any] = {name: jax.jit(each.run) for name, each in trained.items()}
    for seed in range(len(runs), config.seeds):
        logged.clear()
        began = time.perf_counter()
        # Keys of the old kind, as in the script's own main.
        results = jax.block_until_ready(theirs(jax.random.PRNGKey(seed)))
        jax.effects_barrier()
        seconds = {THEIRS: time.perf_counter() - began}
        curves = {THEIRS: returns(results, logged)}
        for name, run in ours.items():
            began = time.perf_counter()
            _, metrics = jax.block_until_ready(run(jax.random.key(seed), trained[name].data))
            seconds[name] = time.perf_counter() - began
            curves[name] = _our_returns(metrics)
        if any(len(curve) != updates for curve in curves.values()):
            lengths = {name: len(curve) for name, curve in curves.items()}
            raise ValueError(f"{peer.script}: returns of {updates} updates expected, got {lengths}")
        told_curves = {name: windows(curve).tolist() for name, curve in curves.items()}
        # Seconds are with compilation, in the first run.
        runs.append({"seed": seed, **told_curves, "seconds": seconds})
        told = {**head, "versions": summary.versions(), "device": summary.device(), "runs": runs}
        told["reached"] = reached(runs, task.ours)
        files.write(path, json.dumps(loggers.jsonable(told), indent=1) + "\n")
    return json.loads(path.read_text(encoding="utf-8"))


def limit_ends(env: ArrayEnv) -> ArrayEnv:
    """The same environment with its time limit as an end."""

    def step(key: Any, state: Any, action: Any) -> Any:
        after, seen = env.step(key, state, action)
        return after, seen._replace(terminated=seen.terminated | seen.truncated)

    return env._replace(step=step)


def _our_returns(metrics: Any) -> Float[np.ndarray, "U"]:
    """The same of ours; as theirs, where no episode ended those of the update before."""
    ended = np.asarray(metrics["finished"]) > 0
    last = np.maximum.accumulate(np.where(ended, np.arange(len(ended)), 0))
    return np.asarray(metrics["train_return"], np.float64)[last]


def earlier(path: Path, head: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs of the same comparison that the file holds."""
    if not path.exists():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    for name, value in json.loads(json.dumps(loggers.jsonable(head))).items():
        if found.get(name) != value:
            raise ValueError(f"{path} is of another {name}; choose another --output")
    return found["runs"]


def windows(returns: Float[np.ndarray, "U"]) -> Float[np.ndarray, "V"]:
    """Means over so many equal stretches of the updates; what does not fit is left out in front."""
    count = min(POINTS, len(returns))
    size = len(returns) // count
    return returns[len(returns) - count * size :].reshape(count, size).mean(1)


def reached(runs: list[dict[str, Any]], config: TrainConfig) -> list[dict[str, Any]]:
    """IQM over seeds of all sides with 95 % intervals, and less theirs, at equal steps."""
    own = [name for name in (OURS, ENDED) if name in runs[0]]
    sides = {name: np.array([run[name] for run in runs]) for name in (THEIRS, *own)}
    sides |= {less_theirs(name): sides[name] - sides[THEIRS] for name in own}
    count = sides[THEIRS].shape[1]
    size = config.num_updates // count
    left = config.num_updates - count * size
    return [
        {
            "env_steps": (left + (index + 1) * size) * config.steps_per_update,
            **{name: statistics.aggregate(v[:, index])._asdict() for name, v in sides.items()},
        }
        for index in range(count)
    ]


def less_theirs(name: str) -> str:
    """Of a side, the key of its difference, seed by seed."""
    return f"{name} less {THEIRS}"


def tell(method: str, told: dict[str, Any]) -> None:
    """Prints the last point of both curves."""
    last = told["reached"][-1]
    print(f"{method} beside {told['script']}, {len(told['runs'])} seeds:")
    for name, found in last.items():
        if name == "env_steps":
            continue
        value = statistics.Interval(**found)
        print(
            f"  {name:<17} {value.iqm:8.2f} [{value.low:.2f}, {value.high:.2f}]"
            f"  at {last['env_steps']:,} steps"
        )


def main() -> None:
    """Compares what the command line says, and prints the last point of each curve."""
    config = tyro.cli(Comparison, prog="python -m experiments.against_jaxmarl")
    for method in config.method:
        tell(method, compare(config, method))


if __name__ == "__main__":
    main()
