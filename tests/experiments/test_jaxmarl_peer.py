"""The comparison with JaxMARL's scripts, with a checkout written for the test."""

import sys

import jax
import pytest

import leed_jax as leed
from experiments import benchmark, jaxmarl_peer, speed_cells
from experiments.benchmark import BenchmarkConfig
from leed_jax.config import TrainConfig

SCRIPT = """
import hydra
import jax
import jax.numpy as jnp
import optax
import wandb
from flax.training.train_state import TrainState
from omegaconf import OmegaConf

def make_train(config):
    agents = config["ENV_KWARGS"]["num_agents"]
    config["NUM_UPDATES"] = config["TOTAL_TIMESTEPS"] // config["NUM_STEPS"] // config["NUM_ENVS"]
    rows = agents * config["NUM_ENVS"] * config["NUM_STEPS"]
    config["MINIBATCH_SIZE"] = rows // config["NUM_MINIBATCHES"]

    def train(rng):
        params = {"w": jax.random.normal(rng, (3, 5)), "b": jnp.zeros(5)}
        state = TrainState.create(apply_fn=None, params=params, tx=optax.sgd(config["LR"]))

        def update(state, _):
            rows = jnp.ones((config["MINIBATCH_SIZE"], 3))
            loss = lambda p: jnp.square(rows @ p["w"] + p["b"]).mean()
            value, gradient = jax.value_and_grad(loss)(state.params)
            jax.experimental.io_callback(lambda v: wandb.log({"loss": v}), None, value)
            return state.apply_gradients(grads=gradient), value

        state, values = jax.lax.scan(update, state, None, config["NUM_UPDATES"])
        return {"runner_state": (state, rng), "metrics": values}

    print("traced")
    return train

@hydra.main(version_base=None, config_path="config", config_name="ippo_ff_mpe")
def main(config):
    wandb.init(config=OmegaConf.to_container(config))
"""
SETTINGS = """
"LR": 2.5e-4
"NUM_ENVS": 16
"NUM_STEPS": 4
"TOTAL_TIMESTEPS": 1e7
"UPDATE_EPOCHS": 1
"NUM_MINIBATCHES": 2
"GAMMA": 0.99
"GAE_LAMBDA": 0.9
"CLIP_EPS": 0.2
"ENT_COEF": 0.01
"VF_COEF": 0.5
"MAX_GRAD_NORM": 0.5
"ACTIVATION": "relu"
"ENV_NAME": "MPE_simple_spread_v3"
"ENV_KWARGS": {}
"ANNEAL_LR": True
"""
TRAIN = TrainConfig(num_envs=2, rollout_steps=8)


@pytest.fixture
def cache_as_before():
    # The commands turn the compilation cache off, which the other tests use.
    before = jax.config.values["jax_enable_compilation_cache"]
    yield
    jax.config.update("jax_enable_compilation_cache", before)


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "JaxMARL" / "baselines" / "IPPO"
    (folder / "config").mkdir(parents=True)
    (folder / "ippo_ff_mpe.py").write_text(SCRIPT)
    (folder / "config" / "ippo_ff_mpe.yaml").write_text(SETTINGS)
    return tmp_path / "JaxMARL"


@pytest.fixture(scope="module")
def scenario():
    return leed.make("mpe/simple_spread", num_agents=2)


@pytest.fixture
def task(checkout, scenario):
    peer = jaxmarl_peer.find(scenario.name)
    return jaxmarl_peer.task(scenario, peer, jaxmarl_peer.settings(checkout, peer), TRAIN, 3)


def test_our_settings_are_theirs_with_other_sizes(task):
    assert task.theirs["ENV_KWARGS"] == {"num_agents": 2, "num_landmarks": 2}
    # 3 updates of 4 steps of 2 environments.
    assert task.theirs["TOTAL_TIMESTEPS"] == task.ours.total_steps == 24
    ours = task.ours
    assert (ours.num_updates, ours.num_envs, ours.rollout_steps) == (3, 2, 4)
    assert (ours.num_epochs, ours.num_minibatches, ours.gae_lambda) == (1, 2, 0.9)
    assert ours.learning_rate == 2.5e-4
    assert (ours.network.hidden_sizes, ours.network.activation) == ((64, 64), "relu")


def test_a_script_runs_unchanged_and_starts_anew_in_every_call(checkout, scenario, task, capsys):
    before = {name: sys.modules.get(name) for name in ("hydra", "omegaconf", "wandb")}
    make_train = jaxmarl_peer.load(checkout, jaxmarl_peer.find(scenario.name))
    program = jaxmarl_peer.program(make_train, task.theirs)
    assert {name: sys.modules.get(name) for name in before} == before
    assert "traced" not in capsys.readouterr().out
    first, second = (program.call() for _ in range(2))
    assert first["metrics"].shape == (3,)
    assert (first["metrics"] != second["metrics"]).all()
    assert jaxmarl_peer.parameters(first) == 3 * 5 + 5
    # 2 environments, 4 steps, 2 agents: 16 rows in 2 minibatches.
    assert jaxmarl_peer.gradient_rows(task.theirs) == (2, 8)
    # Forwards and for the weights: two products of 8 x 3 x 5, three updates.
    assert program.matmul_gflop * 1e9 == pytest.approx(3 * 2 * 2 * 8 * 3 * 5)


@pytest.mark.slow
def test_both_are_timed_in_turn_and_compared(checkout):
    config = BenchmarkConfig(
        num_agents=(2,),
        methods=("ippo_shared",),
        against=checkout,
        repeats=3,
        updates=2,
        train=TRAIN,
    )
    result = benchmark.measure(config)
    theirs, ours = result["rows"]
    assert theirs["method"] == "jaxmarl ippo_ff_mpe" and ours["method"] == "ippo_shared"
    for row in result["rows"]:
        assert (row["part"], row["num_agents"], row["num_envs"]) == ("run", 2, 2)
        assert len(row["seconds"]) == 3
        assert (row["gradient_steps_per_update"], row["rows_per_gradient_step"]) == (2, 8)
        # Two updates of 4 steps of 2 environments.
        assert row["env_steps_per_second"] == pytest.approx(16 / row["seconds_median"])
    ratios = [mine / its for mine, its in zip(theirs["seconds"], ours["seconds"], strict=True)]
    assert ours["speed_ratio"] == pytest.approx(sorted(ratios)[1])
    assert theirs["speed_ratio"] == 1
    # Actor and critic of 12 inputs (own 4, two landmarks, one other's place and words).
    size = leed.make("mpe/simple_spread", num_agents=2).env.spec.observation_size
    body = size * 64 + 64 + 64 * 64 + 64
    assert ours["parameters"] == 2 * body + 64 * 5 + 5 + 64 + 1


def test_another_batch_than_theirs_is_no_comparison(checkout):
    variants = [speed_cells.speed_parts.variant("ippo:num_minibatches=4")]
    cell = speed_cells.Cell("mpe/simple_spread", 2, TRAIN, checkout)
    limits = speed_cells.Limits(1.0, 1.0)
    with pytest.raises(ValueError, match="4 gradient steps of 4 rows are no equal of JaxMARL's 2"):
        speed_cells.rows(cell, variants, (), speed_cells.Rounds(1, 1), limits)


def test_what_is_missing_is_named(checkout, scenario, tmp_path):
    peer = jaxmarl_peer.find(scenario.name)
    with pytest.raises(ValueError, match=r"nowhere/baselines.*ippo_ff_mpe.yaml: no such file"):
        jaxmarl_peer.settings(tmp_path / "nowhere", peer)
    script = checkout / "baselines" / "IPPO" / "ippo_ff_mpe.py"
    script.write_text("import a_module_that_is_not_there\n")
    with pytest.raises(ValueError, match=r"ippo_ff_mpe\.py imports a_module_that_is_not_there"):
        jaxmarl_peer.load(checkout, peer)
    script.write_text("raise ModuleNotFoundError(name='distrax')\n")
    with pytest.raises(ValueError, match=r"pip install distrax==0\.1\.9"):
        jaxmarl_peer.load(checkout, peer)
    script.write_text("\n")
    with pytest.raises(ValueError, match="has no make_train"):
        jaxmarl_peer.load(checkout, peer)
    script.unlink()
    with pytest.raises(ValueError, match=r"ippo_ff_mpe.py: no such file; against must be"):
        jaxmarl_peer.load(checkout, peer)


def test_a_missing_checkout_is_one_line_to_the_user(tmp_path, cache_as_before):
    arguments = ["--against", str(tmp_path / "nowhere"), "--output", "None"]
    with pytest.raises(SystemExit, match=r"benchmark: .*nowhere.*no such file") as raised:
        benchmark.main(arguments)
    assert "\n" not in str(raised.value)


def test_a_scenario_without_a_script_is_refused(checkout):
    with pytest.raises(ValueError, match="no script for hanabi/full"):
        speed_cells.Cell("hanabi/full:x=1", None, TRAIN, checkout).check()
