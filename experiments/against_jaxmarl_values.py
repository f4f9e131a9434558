"""Whether our VDN and QMIX reach what JaxMARL's own scripts reach, at the same steps.

    python -m experiments.against_jaxmarl_values --checkout ~/JaxMARL --method vdn qmix --seeds 5

Both sides train on MPE's simple_spread with the settings of the scripts' YAML file. Seed by seed
they take turns; what is there already is not run again. Compared are greedy episodes at the same
steps, the return summed over the team.
"""

import contextlib
import dataclasses
import io
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

import leed_jax as leed
from experiments import against_jaxmarl, jaxmarl_peer
from experiments.jaxmarl_peer import Peer
from leed_jax import files, loggers, summary
from leed_jax.config import NetworkConfig, TrainConfig, ValueBasedConfig
from leed_jax.environments import jaxmarl

POINTS = 20
"""Evaluations of a run."""
DIFFERENCES = (
    "theirs resets all environments before each rollout, ours goes on; theirs masks the end of an "
    "episode one step late (its dones are those before the step), ours bootstraps from the true "
    "last observation at a time limit; theirs anneals the learning rate from the first gradient "
    "step on, ours from the start of the run"
)
CONFIG_FILE = "alg/ql_rnn_mpe"


def _network(settings: dict[str, Any]) -> NetworkConfig:
    return NetworkConfig("gru", (int(settings["HIDDEN_SIZE"]),), "relu")


PEERS = {
    method: Peer(
        script,
        jaxmarl_peer.PEERS["mpe/simple_spread"].environment,
        _network,
        DIFFERENCES,
        folder="QLearning",
        settings=CONFIG_FILE,
    )
    for method, script in (("vdn", "vdn_rnn"), ("qmix", "qmix_rnn"))
}
"""By our method."""


@dataclass(frozen=True)
class Comparison:
    """What is compared."""

    checkout: Path
    """Of JaxMARL."""
    method: tuple[str, ...] = tuple(PEERS)
    """Ours; each knows its script."""
    num_agents: int = 3
    """Of simple_spread."""
    seeds: int = 5
    """Runs of either side."""
    total_steps: int = 1_000_000
    """Environment steps of a run, rounded down to whole updates between evaluations."""
    output: Path = Path("results/against_jaxmarl")
    """Folder; a JSON file per method."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.method if name not in PEERS]
        if unknown or not self.method:
            raise ValueError(f"method must be some of {', '.join(PEERS)}, got {self.method}")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")


def ours(theirs: dict[str, Any]) -> TrainConfig:
    """Our settings for those of a script.

    Raises:
      ValueError: numbers that we do not allow, such as a run that is over before it learns.
    """
    envs, steps, total = (int(theirs[k]) for k in ("NUM_ENVS", "NUM_STEPS", "TOTAL_TIMESTEPS"))
    epochs = int(theirs["NUM_EPOCHS"])
    return TrainConfig(
        total_steps=total,
        num_envs=envs,
        rollout_steps=steps,
        num_minibatches=1,
        learning_rate=float(theirs["LR"]),
        anneal_learning_rate=bool(theirs["LR_LINEAR_DECAY"]),
        gamma=float(theirs["GAMMA"]),
        max_grad_norm=float(theirs["MAX_GRAD_NORM"]),
        eval_every_steps=total // POINTS,
        eval_episodes=int(theirs["TEST_NUM_ENVS"]),
        network=_network(theirs),
        value_based=ValueBasedConfig(
            replay_steps=int(theirs["BUFFER_SIZE"]) * steps,
            batch_size=int(theirs["BUFFER_BATCH_SIZE"]),
            steps_per_gradient=envs * steps // epochs,
            learning_starts=int(theirs["LEARNING_STARTS"]),
            epsilon_start=float(theirs["EPS_START"]),
            epsilon_end=float(theirs["EPS_FINISH"]),
            epsilon_decay=float(theirs["EPS_DECAY"]),
            target_interval=int(theirs["TARGET_UPDATE_INTERVAL"]) * epochs,
            target_rate=float(theirs["TAU"]),
            reward_scale=float(theirs.get("REW_SCALE", 1)),
            mixer_width=int(theirs["MIXER_EMBEDDING_DIM"]),
            hypernetwork_width=int(theirs["MIXER_HYPERNET_HIDDEN_DIM"]),
            mixer_scale=float(theirs["MIXER_INIT_SCALE"]),
        ),
    )


def compare(config: Comparison, method: str) -> dict[str, Any]:
    """Runs what the file of ``method`` lacks, and says what both sides reached.

    Raises:
      ValueError: the checkout lacks something, or the file is of another comparison.
    """
    peer = PEERS[method]
    scenario = leed.make("mpe/simple_spread", num_agents=config.num_agents)
    theirs = jaxmarl_peer.settings(config.checkout, peer) | peer.environment(scenario)
    each = int(theirs["NUM_ENVS"]) * int(theirs["NUM_STEPS"])
    updates = max(1, config.total_steps // each // POINTS) * POINTS
    # Their words for "log": without it nothing is told of a run.
    theirs |= {"TOTAL_TIMESTEPS": updates * each, "WANDB_MODE": "online"}
    settings = ours(theirs)
    head = {
        "scenario": scenario.name,
        "num_agents": config.num_agents,
        "method": method,
        "script": f"{peer.folder}/{peer.script}",
        "differences": peer.differences,
        "settings": loggers.jsonable(theirs),
        "config": loggers.jsonable(dataclasses.asdict(settings)),
    }
    path = config.output / f"{method}.json"
    runs = against_jaxmarl.earlier(path, head)
    logged: list[dict[str, Any]] = []

    def log(line: dict[str, Any], **_: Any) -> None:
        logged.append(line)

    make_train: Any = jaxmarl_peer.load(config.checkout, peer, log)
    from jaxmarl.wrappers.baselines import MPELogWrapper  # imported quietly by the line above

    env = MPELogWrapper(jaxmarl.load(theirs["ENV_NAME"], **theirs["ENV_KWARGS"]))
    train: Any = jax.jit(make_train(dict(theirs), env))
    for seed in range(len(runs), config.seeds):
        logged.clear()
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):  # it prints while tracing
            # Keys of the old kind, as in the script's own main.
            jax.block_until_ready(train(jax.random.PRNGKey(seed)))
            jax.effects_barrier()
        between = time.perf_counter()
        result = leed.train(scenario, config=settings, method=method, seeds=[seed])
        runs.append(
            {
                "seed": seed,
                "theirs": greedy(logged, updates).tolist(),
                "ours": result.curve()[0, 1:].tolist(),
                # With compilation; theirs in the first run alone.
                "seconds": {"theirs": between - began, "ours": time.perf_counter() - between},
            }
        )
        told = {**head, "versions": summary.versions(), "device": summary.device(), "runs": runs}
        told["reached"] = against_jaxmarl.reached(runs, settings)
        files.write(path, json.dumps(loggers.jsonable(told), indent=1) + "\n")
    return json.loads(path.read_text(encoding="utf-8"))


def greedy(logged: list[dict[str, Any]], updates: int) -> np.ndarray:
    """Returns of their greedy episodes, in the order of the evaluations.

    Both sides' agents are paid N times what MPE pays them, or summed: the same number.

    Raises:
      ValueError: there is not a line for every evaluation.
    """
    lines = {int(line["update_steps"]): line for line in logged}
    wanted = range(updates // POINTS, updates + 1, updates // POINTS)
    missing = [number for number in wanted if number not in lines]
    if missing:
        raise ValueError(f"the script told nothing of updates {missing}")
    return np.array([float(lines[number]["test_returned_episode_returns"]) for number in wanted])


def main() -> None:
    """Compares what the command line says, and prints the last point of each curve."""
    config = tyro.cli(Comparison, prog="python -m experiments.against_jaxmarl_values")
    for method in config.method:
        against_jaxmarl.tell(method, compare(config, method))


if __name__ == "__main__":
    main()
