"""Returns of both sides at equal steps, with a script written for the test."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import leed_jax as leed
from experiments import against_jaxmarl
from experiments.against_jaxmarl import Comparison
from leed_jax.config import TrainConfig

SCRIPT = """
import hydra
import jax
import jax.numpy as jnp
import wandb
from jax.experimental import io_callback

def make_train(config):
    size = config["NUM_STEPS"] * config["NUM_ENVS"]
    count = config["TOTAL_TIMESTEPS"] // size

    def train(rng):
        # Logged from the last to the first, as callbacks may come.
        for update in reversed(range(count)):
            line = {"returns": jnp.float32(update), "env_step": jnp.int32(update * size)}
            io_callback(lambda line: wandb.log(line), None, line, ordered=True)
        return {"runner_state": rng}

    return train
"""
SETTINGS = """
"LR": 1e-3
"NUM_ENVS": 2
"NUM_STEPS": 26
"TOTAL_TIMESTEPS": 1e7
"FC_DIM_SIZE": 8
"GRU_HIDDEN_DIM": 8
"UPDATE_EPOCHS": 1
"NUM_MINIBATCHES": 1
"GAMMA": 0.99
"GAE_LAMBDA": 0.9
"CLIP_EPS": 0.2
"ENT_COEF": 0.01
"VF_COEF": 0.5
"MAX_GRAD_NORM": 0.5
"ANNEAL_LR": True
"""


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "JaxMARL" / "baselines" / "MAPPO"
    (folder / "config").mkdir(parents=True)
    (folder / "mappo_rnn_mpe.py").write_text(SCRIPT)
    (folder / "config" / "mappo_homogenous_rnn_mpe.yaml").write_text(SETTINGS)
    return tmp_path / "JaxMARL"


def test_windows_are_means_of_equal_stretches_up_to_the_end():
    # 41 updates: 20 stretches of two, and the first is left out.
    found = against_jaxmarl.windows(np.arange(41.0))
    np.testing.assert_array_equal(found, np.arange(20) * 2 + 1.5)
    np.testing.assert_array_equal(against_jaxmarl.windows(np.arange(3.0)), [0, 1, 2])


def test_both_sides_are_compared_at_equal_steps():
    config = TrainConfig(num_envs=2, rollout_steps=8, num_minibatches=1, total_steps=5 * 16)
    # Five updates in two windows: the first update is left out, as `windows` does.
    runs = [{"theirs": [-9.0, t], "ours": [-9.0, t + d]} for t, d in ((-5, 1), (-4, 2), (-6, 3))]
    first, last = against_jaxmarl.reached(runs, config)
    assert (first["env_steps"], last["env_steps"]) == (3 * 16, 5 * 16)
    difference = against_jaxmarl.less_theirs("ours")
    assert (last["theirs"]["iqm"], last["ours"]["iqm"], last[difference]["iqm"]) == (-5, -3, 2)
    assert first[difference] == {"iqm": 0, "low": 0, "high": 0}


def test_a_time_limit_becomes_an_end():
    env = leed.make("mpe/simple_spread", num_agents=2).env
    action = jnp.zeros(2, int)
    for each, end in ((env, False), (against_jaxmarl.limit_ends(env), True)):
        state, _ = each.reset(jax.random.key(0))
        step = jax.jit(each.step)
        for count in range(1, 27):  # an episode has 26 steps
            state, seen = step(jax.random.key(count), state, action)
            assert bool(seen.truncated) == (count == 26)
            assert seen.terminated.tolist() == [end and count == 26] * 2


@pytest.mark.slow
def test_runs_that_are_there_are_kept_and_others_added(checkout, tmp_path):
    config = Comparison(
        checkout, ("mappo",), num_agents=2, seeds=1, total_steps=3 * 52, output=tmp_path
    )
    told = against_jaxmarl.compare(config, "mappo")
    (run,) = told["runs"]
    assert run["theirs"] == [0, 1, 2] and len(run["ours"]) == 3
    # Two agents, paid for distances. Episodes of 26 steps and one for the reset: none ends in the
    # second update.
    assert all(-200 < value < -5 for value in run["ours"])
    assert run["ours"][0] == run["ours"][1] != run["ours"][2]
    assert run["ended"][0] == run["ours"][0]
    assert told["reached"][-1].keys() >= {"ended", "ended less theirs"}
    assert told["config"]["network"]["kind"] == "gru"
    path = tmp_path / "mappo.json"
    assert told == json.loads(path.read_text())
    told["runs"][0]["theirs"] = [7, 7, 7]
    path.write_text(json.dumps(told))
    again = against_jaxmarl.compare(config, "mappo")
    assert again["runs"] == told["runs"]
    other = Comparison(checkout, ("mappo",), num_agents=3, total_steps=3 * 52, output=tmp_path)
    with pytest.raises(ValueError, match=r"mappo\.json is of another num_agents"):
        against_jaxmarl.compare(other, "mappo")


def test_a_method_without_a_script_is_refused(tmp_path):
    with pytest.raises(ValueError, match="method must be some of ippo_shared, mappo, got"):
        Comparison(tmp_path, ("leed",))
