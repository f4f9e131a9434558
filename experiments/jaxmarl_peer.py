"""JaxMARL's own scripts as programs, from a checkout that the user has.

None of its code is here: a script is imported by its path, unchanged, and given the settings of the
YAML file beside it with other sizes. Our settings follow from theirs, so that both have the same
environment, networks, batch, epochs and minibatches.
"""

import contextlib
import importlib.util
import io
import math
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import yaml

from experiments import speed_timing
from experiments.speed_timing import Program
from leed_jax.config import NetworkConfig, TrainConfig
from leed_jax.environments import jaxmarl
from leed_jax.scenarios import Scenario, overcooked_v2

SCRIPTS = Path("baselines")
"""In the checkout; a folder per algorithm, with the settings in its ``config``."""
DISTRAX = "distrax==0.1.9"


class Peer(NamedTuple):
    """A script, and how to make it train on our scenario."""

    script: str
    """Without ``.py``."""
    environment: Callable[[Scenario], dict[str, Any]]
    """Scenario -> the script's settings that choose the environment."""
    network: Callable[[dict[str, Any]], NetworkConfig]
    """The script's settings -> our network of the same layers."""
    differences: str
    """What cannot be made equal."""
    folder: str = "IPPO"
    """Of the script."""
    settings: str | None = None
    """Of its settings, without ``.yaml``; None: named as the script."""


def _mlp(settings: dict[str, Any]) -> NetworkConfig:
    # The widths are written into the scripts.
    return NetworkConfig(hidden_sizes=(64, 64), activation=settings["ACTIVATION"])


def _gru(settings: dict[str, Any]) -> NetworkConfig:
    # The SMAX script has relu between its layers, whatever its ACTIVATION says.
    sizes = (settings["FC_DIM_SIZE"], settings["GRU_HIDDEN_DIM"])
    return NetworkConfig(kind="gru", hidden_sizes=sizes, activation="relu", common_trunk=True)


def _spread(scenario: Scenario) -> dict[str, Any]:
    number = scenario.env.spec.num_agents
    options = {"num_agents": number, "num_landmarks": number}
    return {"ENV_NAME": "MPE_simple_spread_v3", "ENV_KWARGS": options}


def _kitchen(scenario: Scenario) -> dict[str, Any]:
    layout = scenario.name.partition("/")[2]
    options = {
        "layout": layout,
        "max_steps": scenario.env.spec.horizon,
        "random_agent_positions": True,
        "agent_view_size": overcooked_v2.LAYOUTS[layout],
    }
    return {"ENV_NAME": "overcooked_v2", "ENV_KWARGS": options}


def _battle(scenario: Scenario) -> dict[str, Any]:
    return {"MAP_NAME": scenario.name.partition("/")[2], "ENV_KWARGS": dict(scenario.options)}


PEERS = {
    "mpe/simple_spread": Peer(
        "ippo_ff_mpe",
        _spread,
        _mlp,
        "theirs shares parameters and shuffles rows of agents; ours shuffles rows of all agents",
    ),
    "overcooked_v2/": Peer(
        "ippo_ff_overcooked",
        _kitchen,
        _mlp,
        "their script's default is the older Overcooked: here it is given Overcooked V2; theirs "
        "shares parameters and shuffles rows of agents; ours shuffles rows of all agents",
    ),
    "smax/": Peer(
        "ippo_rnn_smax",
        _battle,
        _gru,
        "theirs shares parameters and shuffles sequences of agents; ours shuffles environments "
        "with all their agents",
    ),
}
"""By name of a scenario, or of its family."""


def find(scenario: str) -> Peer:
    """The script for a scenario's name.

    Raises:
      ValueError: there is none.
    """
    for name, peer in PEERS.items():
        if scenario == name or (name.endswith("/") and scenario.startswith(name)):
            return peer
    raise ValueError(f"against: no script for {scenario}; there are some for {', '.join(PEERS)}")


def settings(checkout: Path, peer: Peer) -> dict[str, Any]:
    """The authors' defaults.

    Raises:
      ValueError: the file is missing.
    """
    name = peer.settings or peer.script
    path = _existing(checkout, SCRIPTS / peer.folder / "config" / f"{name}.yaml")
    # Numbers like 5e6 are words to PyYAML; only sizes are used as numbers without a look at them.
    return {key: _number(value) for key, value in yaml.safe_load(path.read_text()).items()}


def _number(value: Any) -> Any:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def load(
    checkout: Path, peer: Peer, log: Callable[..., Any] = lambda *_, **__: None
) -> Callable[[dict[str, Any]], Any]:
    """The script's ``make_train``.

    What the script imports to be started and watched (hydra, omegaconf, wandb) is stubbed: its
    ``main`` is not run, and ``log`` stands for ``wandb.log``, which the compiled step calls back.

    Raises:
      ValueError: the checkout, the script, its ``make_train``, or distrax is missing.
    """
    path = _existing(checkout, SCRIPTS / peer.folder / f"{peer.script}.py")
    # Imports the package without the lines that it prints, before the script does.
    jaxmarl.load("MPE_simple_v3")
    name = f"jaxmarl_checkout_{peer.script}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # of a file that exists
    module = importlib.util.module_from_spec(spec)
    try:
        with _stubs(log):
            spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        advice = (
            f"pip install {DISTRAX}" if error.name == "distrax" else f"pip install {error.name}"
        )
        raise ValueError(
            f"{path} imports {error.name}, which is not installed: {advice}"
        ) from error
    if not hasattr(module, "make_train"):
        raise ValueError(f"{path} has no make_train")
    return module.make_train


def _existing(checkout: Path, inside: Path) -> Path:
    path = checkout / inside
    if not path.is_file():
        raise ValueError(f"{path}: no such file; against must be a checkout of JaxMARL")
    return path


@contextlib.contextmanager
def _stubs(log: Callable[..., Any]) -> Iterator[None]:
    """Stand-ins for modules that scripts import and that do nothing for the training itself."""
    hydra, omegaconf, wandb = map(types.ModuleType, ("hydra", "omegaconf", "wandb"))
    vars(hydra)["main"] = lambda **_: lambda function: function
    vars(omegaconf)["OmegaConf"] = type("OmegaConf", (), {})
    vars(wandb)["log"] = log
    stubs = {module.__name__: module for module in (hydra, omegaconf, wandb)}
    before = {name: sys.modules[name] for name in stubs if name in sys.modules}
    sys.modules.update(stubs)
    try:
        yield
    finally:
        # These names alone: what else the script has imported stays imported.
        for name in stubs:
            del sys.modules[name]
        sys.modules.update(before)


class Task(NamedTuple):
    """What both sides train: U updates from a fresh start."""

    theirs: dict[str, Any]
    """Settings for the script's ``make_train``."""
    ours: TrainConfig


def task(
    scenario: Scenario, peer: Peer, defaults: dict[str, Any], base: TrainConfig, updates: int
) -> Task:
    """The authors' settings with ``base.num_envs`` environments, and ours of the same numbers.

    Args:
      scenario: trained on.
      peer: the script.
      defaults: from `settings`.
      base: gives the number of environments, and what the script has no setting for.
      updates: U.

    Raises:
      ValueError: a number that we do not allow, such as minibatches that do not divide the batch.
    """
    steps = int(defaults["NUM_STEPS"])
    theirs = {**defaults, **peer.environment(scenario), "NUM_ENVS": base.num_envs}
    theirs["TOTAL_TIMESTEPS"] = updates * steps * base.num_envs
    theirs["NUM_STEPS"] = steps
    ours = base.replace(
        total_steps=theirs["TOTAL_TIMESTEPS"],
        rollout_steps=steps,
        num_epochs=int(defaults["UPDATE_EPOCHS"]),
        num_minibatches=int(defaults["NUM_MINIBATCHES"]),
        learning_rate=float(defaults["LR"]),
        anneal_learning_rate=bool(defaults["ANNEAL_LR"]),
        gamma=float(defaults["GAMMA"]),
        gae_lambda=float(defaults["GAE_LAMBDA"]),
        clip_epsilon=float(defaults["CLIP_EPS"]),
        entropy_coefficient=float(defaults["ENT_COEF"]),
        value_coefficient=float(defaults["VF_COEF"]),
        max_grad_norm=float(defaults["MAX_GRAD_NORM"]),
        network=peer.network(defaults),
    )
    return Task(theirs, ours)


def program(make_train: Callable[[dict[str, Any]], Any], theirs: dict[str, Any]) -> Program:
    """Whole runs of the script, a new key each; `Program.env_steps` are those of a run.

    ``theirs`` gets what ``make_train`` adds to it, such as the size of a minibatch.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # shapes and sizes, printed while tracing
        train = make_train(theirs)

        def run(key: Any) -> Any:
            key, own = jax.random.split(key)
            return key, train(own)

        # Keys of the old kind, as in the script's own main.
        steps = int(theirs["TOTAL_TIMESTEPS"])
        return speed_timing.compiled(run, jax.random.PRNGKey(0), env_steps=steps)


def gradient_rows(theirs: dict[str, Any]) -> tuple[int, int]:
    """Gradient steps of an update, and rows of all agents together in each, after `program`."""
    return int(theirs["UPDATE_EPOCHS"] * theirs["NUM_MINIBATCHES"]), int(theirs["MINIBATCH_SIZE"])


def parameters(results: Any) -> int:
    """Numbers that the script trains, from the results of a run."""

    def trained(node: Any) -> bool:
        return hasattr(node, "params") and hasattr(node, "opt_state")

    states = [node for node in jax.tree.leaves(results, is_leaf=trained) if trained(node)]
    return sum(math.prod(leaf.shape) for state in states for leaf in jax.tree.leaves(state.params))
