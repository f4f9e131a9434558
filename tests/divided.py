"""Training divided among devices or processes, to be run in processes of its own.

python divided.py devices FOLDER mlp          five updates on one device and on eight
python divided.py process FOLDER 0 2 PORT     process 0 of 2
python divided.py resume FOLDER 0 2 PORT      the same, stopped and resumed; alone: FOLDER 0
python divided.py run FOLDER 0                a process of a SLURM job, by the command line
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    WANTED = (
        8 if sys.argv[1] == "devices" or (len(sys.argv) == 4 and sys.argv[1] == "resume") else 2
    )
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={WANTED}"
    os.environ["XLA_FLAGS"] = flags
    os.environ["JAX_PLATFORMS"] = "cpu"
    sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
import tiny_training

from leed_jax import loggers
from leed_jax.config import NetworkConfig, TrainConfig
from leed_jax.optimization import (
    devices,
    experience,
    interruption,
    learners,
    methods,
    minibatches,
    programs,
    trainer,
    training,
)
from leed_jax.optimization.members import Member, starts

UPDATES = 5
CONFIG = tiny_training.CONFIG.replace(
    num_envs=16, total_steps=UPDATES * 16 * 8, shuffle_groups=8, eval_episodes=8
)
COLLECTIVES = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"


def config_of(kind: Any) -> TrainConfig:
    return CONFIG.replace(network=NetworkConfig(kind=kind, hidden_sizes=(8,)))


def five_updates(scenario: Any, demos: Any, config: TrainConfig, count: int | None) -> Any:
    """Parameters after every update, whether all devices had the same, and the step's HLO."""
    env = scenario.env
    run = trainer.make_trainer(env, config, methods.resolve("leed", config))
    data = minibatches.data(demos, config)
    mesh = devices.mesh(devices.choose(count), 1, config)
    compiled, _ = programs.compiled(env, run, config, 1, data, mesh)
    layout = devices.layout(mesh)
    begun = starts([Member(3, 3e-3, config.expert.weight)], env.spec)
    state = compiled.init(*devices.place(begun, layout.members))
    alive, data, once = devices.place(
        (jnp.ones(1, bool), data, jnp.array(1, jnp.int32)), layout.everywhere
    )
    params, same = [], []
    for _ in range(UPDATES):
        state, alive, *_ = compiled.advance(state, alive, data, once)
        copies = [
            [np.asarray(shard.data) for shard in leaf.addressable_shards]
            for leaf in jax.tree.leaves((state.params, state.optimiser))
        ]
        same.append(all(np.array_equal(parts[0], part) for parts in copies for part in parts))
        params.append([np.asarray(leaf) for leaf in jax.tree.leaves(state.params)])
    copies = {len(leaf.addressable_shards) for leaf in jax.tree.leaves(state.params)}
    rows = {leaf.addressable_shards[0].data.shape[1] for leaf in jax.tree.leaves(state.situation)}
    return params, same, (copies, rows), compiled.advance.as_text()


def batches(scenario: Any, demos: Any, config: TrainConfig, count: int | None) -> Any:
    """All minibatches of a first update, of the rollout and of demonstrations."""
    env = scenario.env
    method = methods.resolve("leed", config)
    run = trainer.make_trainer(env, config, method)
    learner = learners.make(env, config, method, None)
    data = minibatches.data(demos, config)
    mesh = devices.mesh(devices.choose(count), 1, config)
    layout = devices.layout(mesh)

    def first(key: Any, data: Any) -> Any:
        state = run.init(key)
        situation = devices.divide(state.situation, 0)
        _, material, _ = experience.gather(learner, state.params, situation, key)
        size = minibatches.population(config, env.spec)
        index = minibatches.shuffled(key, config, size)
        drawn = [minibatches.take(material, each, config.shuffle_groups) for each in index]
        chosen = minibatches.chosen(key, data, config, 1)
        assert chosen is not None
        return drawn, minibatches.draw(chosen[0], data)

    with devices.active(mesh):
        program = jax.jit(first).lower(jax.random.key(1), data).compile()
    given = devices.place((jax.random.key(1), data), layout.everywhere)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(program(*given))]


def on_devices(kind: str) -> dict[str, Any]:
    if kind == "simple_spread":
        import leed_jax as leed

        scenario = leed.make("mpe/simple_spread")
        demos = leed.generate_demonstrations(scenario, num_episodes=4)
        config = config_of("mlp").replace(rollout_steps=32, total_steps=UPDATES * 16 * 32)
    else:
        scenario, demos = tiny_training.scenario(), tiny_training.demos()
        config = config_of(kind)
    one, _, _, _ = five_updates(scenario, demos, config, None)
    eight, same, (copies, rows), text = five_updates(scenario, demos, config, 8)
    away = [
        max(float(np.abs(a - b).max()) for a, b in zip(*pair, strict=True))
        for pair in zip(one, eight, strict=True)
    ]
    moved = max(float(np.abs(a - b).max()) for a, b in zip(one[0], one[-1], strict=True))
    pairs = zip(
        batches(scenario, demos, config, None), batches(scenario, demos, config, 8), strict=True
    )
    equal = [
        np.array_equal(a, b) if a.dtype.kind in "ib" else np.allclose(a, b, atol=1e-5)
        for a, b in pairs
    ]
    return {
        "away": away,
        "moved": moved,
        "same_on_all_devices": same,
        "copies": sorted(copies),
        "environments_per_device": sorted(rows),
        "same_batches": equal,
        "collectives": sorted(set(re.findall(rf"({COLLECTIVES})(?:-start)?\(", text))),
    }


def as_process(number: int, count: int, port: int) -> dict[str, Any]:
    devices.initialize_processes(
        coordinator_address=f"127.0.0.1:{port}", num_processes=count, process_id=number
    )
    answer = devices.share(b"of the first" if number == 0 else b"of another")
    written: list[Any] = []

    class Metrics(loggers.MetricsWriter):
        def __init__(self) -> None: ...

        def write(self, record: Any) -> None:
            written.append(record)

    result = training.train(
        tiny_training.scenario(), tiny_training.demos(), CONFIG, metrics=Metrics(), seeds=(3,)
    )
    return {
        "devices": jax.device_count(),
        "here": jax.local_device_count(),
        "share": answer.decode(),
        "lines": len(written),
        "curve": result.curve().tolist(),
        "params": [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(result.params)],
    }


def resumed(folder: str, number: int = 0, count: int = 1, port: int = 0) -> dict[str, Any]:
    """A run that was stopped behind its first chunk and resumed, and one that was not."""
    if count > 1:
        devices.initialize_processes(
            coordinator_address=f"127.0.0.1:{port}", num_processes=count, process_id=number
        )
    heard, compile_anew, kept = interruption.Watch.heard, programs.compiled, {}

    def compiled(*arguments: Any) -> Any:
        mesh = arguments[-1]
        if mesh not in kept:  # which takes most of the time, and gives the same
            kept[mesh] = compile_anew(*arguments)
        return kept[mesh]

    programs.compiled = compiled
    given = {"seeds": (3,), "devices": None if count > 1 else 8}
    # Its own folder for every process, so that only the first one's can have been read.
    place = Path(folder, f"checkpoints-{number}")
    scenario, demos = tiny_training.scenario(), tiny_training.demos()
    whole = training.train(scenario, demos, CONFIG, **given)
    interruption.Watch.heard = lambda self: 2
    try:
        training.train(scenario, demos, CONFIG, checkpoint_dir=place, **given)
    except interruption.Interrupted as error:
        said = str(error)
    interruption.Watch.heard = heard
    elsewhere = []
    if count == 1:  # what eight devices began one device may end
        copy = shutil.copytree(place, Path(folder, "copy"))
        one = training.train(scenario, demos, CONFIG, seeds=(3,), checkpoint_dir=copy, resume=True)
        elsewhere = [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(one.params)]
    found = training.train(scenario, demos, CONFIG, checkpoint_dir=place, resume=True, **given)
    programs.compiled = compile_anew
    kept.clear()  # programs that live as long as the process would keep it from ending
    mine, theirs = ([np.asarray(x) for x in jax.tree.leaves(r.params)] for r in (found, whole))
    return {
        "said": said,
        "written": place.exists(),
        "updates": [line["updates"] for line in found.history],
        "equal": all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True)),
        "params": [leaf.tolist() for leaf in mine],
        "elsewhere": elsewhere,
    }


def by_command(folder: str) -> dict[str, Any]:
    from leed_jax import cli

    options = ["--scenario", "mpe/simple_spread", "--results", folder, "--name", "run"]
    options += ["--seeds", "1", "--methods", "leed", "--num-demonstrations", "8", "--distributed"]
    options += ["--train.total-steps", "512", "--train.num-envs", "8", "--no-progress"]
    options += ["--train.rollout-steps", "32", "--train.shuffle-groups", "4"]
    options += ["--train.network.hidden-sizes", "8", "--train.eval-episodes", "4"]
    return {"folder": str(cli.run(cli.parse(options))), "first": devices.first_process()}


if __name__ == "__main__":
    mode, folder, *rest = sys.argv[1:]
    found = (
        on_devices(rest[0])
        if mode == "devices"
        else by_command(folder)
        if mode == "run"
        else resumed(folder, *map(int, rest))
        if mode == "resume"
        else as_process(*map(int, rest))
    )
    Path(folder, f"{mode}-{rest[0]}.json").write_text(json.dumps(found))
