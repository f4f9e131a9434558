"""Training divided among devices and processes: the same batches, and the same parameters."""

import collections
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import divided
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_training

from leed_jax import loggers
from leed_jax.config import NetworkConfig, TrainConfig
from leed_jax.optimization import decisions, devices, losses, minibatches, training
from leed_jax.optimization.experience import Material

SCRIPT = Path(divided.__file__)
SECONDS = 500
"""Long for a busy machine; a process that waits for another for ever is ended."""


def start(mode: str, folder: Path, *rest: Any) -> subprocess.Popen:
    command = [sys.executable, str(SCRIPT), mode, str(folder), *map(str, rest)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(processes: list[subprocess.Popen]) -> None:
    try:
        for process in processes:
            said, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, said[-3000:]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# ------------------------------------------------------------------------------ eight devices


@pytest.mark.parametrize(
    "kind",
    [
        "mlp",
        pytest.param("gru", marks=pytest.mark.slow),
        pytest.param("simple_spread", marks=pytest.mark.slow),
    ],
)
def test_eight_devices_draw_and_learn_as_one_does_and_all_hold_the_same(kind, tmp_path):
    finish([start("devices", tmp_path, kind)])
    found = json.loads((tmp_path / f"devices-{kind}.json").read_text())
    assert len(found["away"]) == divided.UPDATES and max(found["away"]) <= 1e-5
    assert found["moved"] > 1e-3  # between the first and the last update: it learns
    assert found["copies"] == [8] and found["environments_per_device"] == [16 // 8]
    assert found["same_on_all_devices"] == [True] * divided.UPDATES
    assert found["same_batches"] and all(found["same_batches"])
    # Sums of gradients and of statistics; no rows travel from device to device.
    assert found["collectives"] == ["all-reduce"]


# ------------------------------------------------------------------------------ two processes


@pytest.mark.slow
def test_two_processes_end_with_the_parameters_that_one_ends_with(tmp_path):
    port = free_port()
    finish([start("process", tmp_path, number, 2, port) for number in range(2)])
    first, second = (json.loads((tmp_path / f"process-{i}.json").read_text()) for i in range(2))
    for each in (first, second):
        assert (each["devices"], each["here"]) == (4, 2)
        assert each["share"] == "of the first"
    assert first["params"] == second["params"] and first["curve"] == second["curve"]
    assert first["lines"] == len(first["curve"][0]) and second["lines"] == 0
    alone = training.train(
        tiny_training.scenario(), tiny_training.demos(), divided.CONFIG, seeds=(3,)
    )
    for mine, theirs in zip(jax.tree.leaves(alone.params), first["params"], strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    np.testing.assert_allclose(alone.curve(), first["curve"], atol=1e-3)


@pytest.mark.slow
def test_two_processes_that_were_stopped_and_resumed_end_as_two_that_were_not(tmp_path):
    port = free_port()
    finish([start("resume", tmp_path, number, 2, port) for number in range(2)])
    found = [json.loads((tmp_path / f"resume-{i}.json").read_text()) for i in range(2)]
    # The first one alone writes and reads, and tells the other.
    assert [each["written"] for each in found] == [True, False]
    assert all(each["equal"] and each["updates"] == [*range(6)] for each in found)
    assert all("interrupted after 1 of 5 updates" in each["said"] for each in found)


@pytest.mark.slow
def test_eight_devices_go_on_from_their_checkpoint_and_one_device_does_too(tmp_path):
    finish([start("resume", tmp_path, 0)])
    found = json.loads((tmp_path / "resume-0.json").read_text())
    assert found["equal"] and found["written"] and found["updates"] == [*range(6)]
    for mine, theirs in zip(found["params"], found["elsewhere"], strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


@pytest.mark.slow
def test_a_run_of_a_slurm_job_writes_one_folder(tmp_path, monkeypatch):
    job = {"JOB_ID": str(os.getpid()), "STEP_NODELIST": "127.0.0.1", "NTASKS": "2"}
    job |= {"STEP_NUM_TASKS": "2", "STEP_TASKS_PER_NODE": "2", "LOCALID": "0"}
    processes = []
    for number in range(2):
        for name, value in {**job, "PROCID": str(number), "LOCALID": str(number)}.items():
            monkeypatch.setenv(f"SLURM_{name}", value)
        processes.append(start("run", tmp_path, number))
    finish(processes)
    found = [json.loads((tmp_path / f"run-{i}.json").read_text()) for i in range(2)]
    assert [each["first"] for each in found] == [True, False]
    lines = loggers.read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["updates"] for line in lines] == [0, 2]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert list(summary["methods"]) == ["leed"]
    wanted = {"checkpoints", "config.json", "demonstrations.npz", "episode.gif"}
    assert wanted <= {path.name for path in (tmp_path / "run").iterdir()}


# ------------------------------------------------------------------------------ groups


shuffled = jax.jit(minibatches.shuffled, static_argnums=(1, 2))
take = jax.jit(minibatches.take, static_argnums=2)


def rows_of(config: TrainConfig) -> Material:
    """Observations that say step and environment, merged as a rollout's are."""
    step, env = np.mgrid[: config.rollout_steps, : config.num_envs]
    cell = jnp.asarray(np.stack([step, env], -1), jnp.float32)[:, :, None]
    merged = cell if config.network.recurrent else devices.merge(cell, config.shuffle_groups)[None]
    flag = jnp.zeros(merged.shape[:3], bool)
    batch = losses.Batch(*[flag] * len(losses.Batch._fields))
    carry = jnp.arange(config.num_envs, dtype=jnp.float32)[:, None, None]
    carries = {"actor": carry, "critic": carry} if config.network.recurrent else None
    return Material(merged, flag[..., 0], flag[..., None], batch, carries)


def test_a_minibatch_has_as_many_rows_of_every_group_and_an_epoch_every_row_once():
    config = tiny_training.CONFIG.replace(num_envs=8, shuffle_groups=4, num_epochs=3)
    index = shuffled(jax.random.key(0), config, config.steps_per_update)
    assert index.shape == (3 * 2, 32)
    material = rows_of(config)
    taken = [take(material, each, 4).observation[0, :, 0] for each in index]
    for batch in taken:
        group = np.asarray(batch)[:, 1] // 2  # two environments each
        assert collections.Counter(group.tolist()) == dict.fromkeys(range(4), 8)
    for epoch in range(3):
        rows = np.concatenate(taken[2 * epoch : 2 * epoch + 2]).tolist()
        assert sorted(rows) == [[t, e] for t in range(8) for e in range(8)]
    assert not np.array_equal(taken[0], taken[2])


def test_a_recurrent_minibatch_has_as_many_environments_of_every_group_and_their_carries():
    network = NetworkConfig(kind="gru", hidden_sizes=(4,))
    config = tiny_training.CONFIG.replace(num_envs=8, shuffle_groups=2, network=network)
    index = shuffled(jax.random.key(0), config, config.num_envs)
    material = rows_of(config)
    for each in index:
        batch = take(material, each, 2)
        envs = np.asarray(batch.observation)[:, :, 0, 1]
        assert envs.shape == (8, 4) and (envs == envs[0]).all()
        assert sorted(envs[0] // 4) == [0, 0, 1, 1]
        assert batch.carries is not None
        np.testing.assert_array_equal(batch.carries["actor"][:, 0, 0], envs[0])


def test_rows_are_merged_part_by_part_and_come_back():
    cells = jnp.arange(6).reshape(2, 3)[..., None] + jnp.array([0, 10])  # [T=2 B=3 2]
    np.testing.assert_array_equal(devices.merge(cells)[:, 0], [0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(devices.merge(cells, 3)[:, 0], [0, 3, 1, 4, 2, 5])
    np.testing.assert_array_equal(devices.unmerge(devices.merge(cells), 2), cells)


# ------------------------------------------------------------------------------ what is refused


def test_devices_that_there_are_not_are_refused():
    there = jax.devices()
    for wanted in (0, len(there) + 1):
        with pytest.raises(ValueError, match=rf"devices must be from 1 to {len(there)}, .*cpu"):
            devices.choose(wanted)
    for wanted in ([], [there[0], there[0]]):
        with pytest.raises(ValueError, match="devices must be one or more, each once"):
            devices.choose(wanted)
    assert devices.choose(None) is None and devices.mesh(None, 3, tiny_training.CONFIG) is None
    assert devices.choose(1) == devices.choose(there[:1]) == (there[0],)


def test_devices_must_divide_the_environments_and_the_groups():
    three = jax.devices()[:1] * 3
    config = tiny_training.CONFIG  # of four environments
    with pytest.raises(ValueError, match=r"num_envs must be a multiple of 3, .* got 4"):
        devices.mesh(three, 2, config)
    two = jax.devices()[:1] * 2
    with pytest.raises(ValueError, match=r"shuffle_groups must be a multiple of 2, .* got 1"):
        devices.mesh(two, 3, config)
    # Members have nothing in common: two of them, or four, need no groups.
    assert devices.per_team(two, 2) == 1 and devices.per_team(two, 3) == 2


def test_groups_must_divide_the_environments_and_minibatches_their_rows():
    with pytest.raises(ValueError, match="shuffle_groups must be a divisor of num_envs = 4, got 3"):
        tiny_training.CONFIG.replace(shuffle_groups=3)
    with pytest.raises(ValueError, match=r"num_envs \* rollout_steps / shuffle_groups = 8, got 16"):
        tiny_training.CONFIG.replace(shuffle_groups=4, num_minibatches=16)
    spec = tiny_training.scenario().env.spec._replace(decision_share=0.01)
    config = tiny_training.CONFIG.replace(shuffle_groups=4, num_minibatches=2)
    assert decisions.used(config, spec)
    with pytest.raises(ValueError, match="num_minibatches must be at most 1"):
        minibatches.population(config, spec)


@pytest.mark.slow
def test_one_named_device_trains_as_the_default_does():
    config = tiny_training.CONFIG.replace(total_steps=tiny_training.STEPS_PER_UPDATE)
    scenario, demos = tiny_training.scenario(), tiny_training.demos()
    default = training.train(scenario, demos, config)
    named = training.train(scenario, demos, config, devices=jax.devices()[:1])
    for mine, theirs in zip(*map(jax.tree.leaves, (default.params, named.params)), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_what_the_first_process_has_is_shared_as_it_is_where_there_is_but_one():
    assert devices.share(b"plan") == b"plan" and devices.smallest(5) == 5
    assert devices.first_process()
