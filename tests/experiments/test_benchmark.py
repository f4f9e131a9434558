"""The speed benchmark end to end, in a size that says nothing about speed."""

import json

import jax
import pytest

from experiments import benchmark, gpu_speed, speed_figures
from experiments.benchmark import BenchmarkConfig
from leed_jax.config import NetworkConfig, TrainConfig

TRAIN = TrainConfig(
    num_envs=4, rollout_steps=4, num_minibatches=2, network=NetworkConfig(hidden_sizes=(4,))
)


@pytest.fixture
def cache_as_before():
    # The commands turn the compilation cache off, which the other tests use.
    before = jax.config.values["jax_enable_compilation_cache"]
    yield
    jax.config.update("jax_enable_compilation_cache", before)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speed")
    config = BenchmarkConfig(
        num_agents=(2,),
        num_envs=(2,),
        methods=("ippo", "leed"),
        parts=("environment", "step"),
        repeats=3,
        updates=2,
        train=TRAIN,
        trace=folder / "trace",
    )
    console = benchmark.rich.console.Console(record=True, width=200, quiet=False)
    result = benchmark.measure(config, console=console)
    benchmark.report(result, folder / "speed.json", console)
    return folder, console.export_text()


@pytest.fixture(scope="module")
def rows(written):
    return json.loads((written[0] / "speed.json").read_text())["rows"]


def test_every_part_of_every_method_has_a_row(rows):
    found = [(row["part"], row["method"]) for row in rows]
    assert found == [("environment", None), ("step", "ippo"), ("step", "leed")]
    for row in rows:
        assert (row["num_agents"], row["num_envs"], len(row["seconds"])) == (2, 2, 3)
        # A call is one update: 2 environments, 4 steps.
        assert row["env_steps_per_second"] == pytest.approx(8 / row["seconds_median"])
        assert row["agent_steps_per_second"] == 2 * row["env_steps_per_second"]
        assert min(row["compile_seconds"], row["kernels"], row["program_memory_mb"]) > 0


def test_the_expert_term_costs_the_products_of_its_rows(rows):
    ippo, leed = (row for row in rows if row["part"] == "step")
    # One group per agent, 4 of 8 rows, 4 wide.
    assert ippo["product"] == [2, 4, 4] and ippo["product_gflop_per_second"] > 0
    # In 8 gradient steps, for 2 agents, 128 rows more go through the actor: forwards, backwards for
    # the weights, and for the inputs of its head. Observations of two agents have 12 numbers.
    row = 2 * 2 * (12 * 4 + 4 * 5) + 2 * 4 * 5
    more = (leed["matmul_gflop"] - ippo["matmul_gflop"]) * 1e9
    assert more == pytest.approx(8 * 2 * 128 * row)


def test_table_notes_figure_and_profile_are_there(written):
    folder, text = written
    assert "mpe/simple_spread, 2 agents, 2 environments" in text
    assert "leed" in text and "GB/s" in text and "load" in text
    assert (folder / "speed.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "trace").rglob("*.xplane.pb"))


def test_what_there_is_no_time_for_is_told(capsys):
    config = BenchmarkConfig(num_envs=(2, 4), minutes=0.0, train=TRAIN)
    result = benchmark.measure(config)
    assert result["rows"] == []
    assert result["skipped"] == [f"mpe/simple_spread, {size} environments" for size in (2, 4)]
    assert "No time left for: mpe/simple_spread, 2" in speed_figures.notes(result)[-1]


def test_sizes_are_all_combinations():
    cells = BenchmarkConfig(
        scenario=("a", "b"), num_envs=(2, 4), num_agents=(3,), train=TRAIN
    ).cells()
    assert [(cell.scenario, cell.train.num_envs) for cell in cells] == [
        ("a", 2),
        ("a", 4),
        ("b", 2),
        ("b", 4),
    ]
    assert {cell.num_agents for cell in cells} == {3}


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        BenchmarkConfig(repeats=0)
    with pytest.raises(ValueError, match="updates must be at least 1, got -1"):
        BenchmarkConfig(updates=-1)
    with pytest.raises(ValueError, match="methods must name at least one"):
        BenchmarkConfig(methods=())


def test_a_setting_that_is_unknown_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match="no field 'nonsense'"):
        benchmark.measure(BenchmarkConfig(methods=("ippo:nonsense=1",), train=TRAIN))


def test_on_a_gpu_the_comparison_comes_first_and_nothing_without_a_checkout(tmp_path):
    first, second, *_ = gpu_speed.GpuConfig(against=tmp_path).configs()
    assert first.against == tmp_path and second.against is None
    assert first.cells()[0].train.num_envs == 4096 and first.train.num_minibatches == 4
    assert all(config.against is None for config in gpu_speed.GpuConfig().configs())


def test_what_a_gpu_reached_is_put_beside_what_was_hoped_for():
    def row(part, method, ratio, steps, agents=3):
        return {
            "scenario": "mpe/simple_spread",
            "part": part,
            "method": method,
            "speed_ratio": ratio,
            "agent_steps_per_second": steps,
            "num_agents": agents,
        }

    rows = [
        row("run", "jaxmarl ippo_ff_mpe", 1.0, 9e9),
        row("run", "ippo", 3.5, 1.2e7),
        row("step", "ippo", 1.0, 1.5e7),
        row("run", "ippo", 9.0, 9e7, agents=24),
        row("environment", None, 1.0, 9e9),
    ]
    ratio, steps = gpu_speed.verdict(rows)
    assert ratio == "ippo: 3.50 of JaxMARL's speed (hoped for: 3)"
    assert steps.startswith("ippo: 15.00 million agent-steps")
    assert gpu_speed.verdict([]) == []


@pytest.mark.slow
def test_the_script_for_gpus_runs_on_a_cpu(tmp_path, cache_as_before):
    path = tmp_path / "gpu.json"
    arguments = [
        "--num-envs=2",
        "--num-agents=2",
        "--repeats=1",
        "--updates=1",
        "--methods",
        "ippo",
    ]
    small = ["--train.rollout-steps=4", "--train.num-minibatches=2"]
    small += ["--train.network.hidden-sizes", "4"]
    gpu_speed.main([*arguments, *small, "--output", str(path)])
    result = json.loads(path.read_text())
    assert [row["part"] for row in result["rows"]].count("environment") == 2
    assert result["limits"]["bytes_per_second"] > 0
