"""Memory plans: what a program needs, what there is, and how many teams fit."""

import jax
import jax.numpy as jnp
import pytest
import tiny_training

from leed_jax.optimization import memory

MEGABYTE = 2**20


def linear(fixed: int, each: int, compiled: list[int]):
    """A compiler whose programs need ``fixed`` bytes and ``each`` for every member."""

    def compile_for(count: int) -> tuple[str, int]:
        compiled.append(count)
        return f"program for {count}", fixed + each * count

    return compile_for


def test_what_fits_is_compiled_once():
    compiled = []
    program, plan = memory.fit(linear(10, 5, compiled), 6, 40)
    assert program == "program for 6" and compiled == [6]
    assert plan == memory.Plan(members=6, at_once=6, needed=40, limit=40)
    assert plan.calls == 1


def test_what_does_not_fit_is_split_into_calls_of_one_size_after_one_more_compilation():
    compiled = []
    # 10 members need 10 + 50. Of 50 bytes 10 are shared: 8 fit, which is two calls anyway: of 5.
    program, plan = memory.fit(linear(10, 5, compiled), 10, 50, shared=10)
    assert compiled == [10, 5] and program == "program for 5"
    assert (plan.at_once, plan.calls, plan.needed) == (5, 2, 35)
    # 7 members need 70; 3 fit, in three calls, the last of which trains one.
    _, plan = memory.fit(linear(0, 10, []), 7, 35)
    assert (plan.at_once, plan.calls) == (3, 3)


def test_memory_that_is_not_linear_halves_the_members_until_they_fit():
    needed = {8: 800, 4: 500, 2: 300, 1: 100}
    # 450 / 100 per member: 4 should fit, and do not; 2 do.
    _, plan = memory.fit(lambda count: (None, needed[count]), 8, 450)
    assert (plan.at_once, plan.calls, plan.needed) == (2, 4, 300)


def test_without_a_limit_or_without_an_analysis_all_are_trained_at_once():
    assert memory.fit(linear(0, 10**12, []), 3, None)[1].at_once == 3
    assert memory.fit(lambda count: (None, None), 3, 1)[1].at_once == 3


def test_one_team_that_does_not_fit_is_an_error_that_says_what_helps():
    advice = memory.advice(tiny_training.CONFIG)
    with pytest.raises(ValueError, match="one team needs 30 MB of memory and there are 20 MB") as e:
        memory.fit(linear(0, 30 * MEGABYTE, []), 4, 20 * MEGABYTE, advice=advice)
    for setting in (
        "num_envs (now 4)",
        "rollout_steps (8)",
        "num_minibatches (2)",
        "max_memory_mb",
    ):
        assert setting in str(e.value)


def test_a_plan_in_words():
    plan = memory.Plan(10, 10, int(1.25 * 2**30), 22 * 2**30)
    assert str(plan) == "memory: needs 1.2 GB of 22.0 GB"
    assert str(plan._replace(at_once=4, needed=3 * MEGABYTE)) == (
        "memory: needs 3 MB of 22.0 GB, 4 of 10 teams at once, 3 calls"
    )
    assert str(memory.Plan(1, 1, None, None)) == "memory: needs unknown"


def test_bytes_of_a_program_count_donated_arguments_once():
    square = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    size = 64 * 64 * 4

    def lowered(**options):
        return jax.jit(lambda a, b: a + b, **options).lower(square, square).compile()

    # Two arguments and a result; with the first one given away, its place holds the result.
    assert memory.needed_bytes(lowered()) == 3 * size
    assert memory.needed_bytes(lowered(donate_argnums=0)) == 2 * size
    assert memory.needed_bytes(lowered(), held=7) == 3 * size + 7
    assert memory.argument_bytes(lowered()) == 2 * size
    assert memory.size({"a": jnp.zeros((3, 2)), "b": jnp.zeros(5, bool), "c": None}) == 29


def write(root, **files):
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_the_system_has_what_kernel_and_control_group_allow(tmp_path):
    assert memory.available_bytes() is not None
    write(tmp_path, proc__meminfo="MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    assert memory.available_bytes(tmp_path) == 4000 * 1024
    group = {"sys__fs__cgroup__memory_dot_current": "800000\n"}
    group["sys__fs__cgroup__memory_dot_stat"] = "anon 700000\ninactive_file 50000\n"
    write(tmp_path, **group, sys__fs__cgroup__memory_dot_max="max\n")
    assert memory.available_bytes(tmp_path) == 4000 * 1024
    write(tmp_path, sys__fs__cgroup__memory_dot_max="1000000\n")
    assert memory.available_bytes(tmp_path) == 250_000


class Device:
    """With the statistics of its allocator."""

    platform = "gpu"

    def __init__(self, stats: dict[str, int] | None):
        self.stats: dict[str, int] | None = stats

    def memory_stats(self):
        return self.stats


def test_the_limit_is_the_device_s_own_else_the_system_s_and_can_be_set(monkeypatch):
    assert memory.limit_bytes(1.5) == 3 * MEGABYTE // 2
    with pytest.raises(ValueError, match="max_memory_mb must be positive, got 0"):
        memory.limit_bytes(0)
    device = Device({"bytes_limit": 1000, "bytes_in_use": 200})
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    monkeypatch.setattr(memory, "available_bytes", lambda: 500)
    assert memory.limit_bytes() == 720
    device.stats = None
    assert memory.limit_bytes() is None
    assert memory.checkpoint_bytes(1000) == 0
    device.platform = "cpu"
    assert memory.checkpoint_bytes(1000) == 2500
    assert memory.limit_bytes() == 450
    assert memory.limit_bytes(num_devices=5) == 90
