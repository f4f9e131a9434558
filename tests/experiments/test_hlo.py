"""What programs launch, move and multiply: counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from experiments import hlo

PROGRAM = """\
HloModule toy, is_scheduled=true

%sliced (p.0: f32[10,8], p.1: s32[], p.2: f32[10,8]) -> f32[10,8] {
  %p.0 = f32[10,8]{1,0} parameter(0)
  %p.1 = s32[] parameter(1)
  %p.2 = f32[10,8]{1,0} parameter(2)
  %zero = s32[] constant(0)
  %row = f32[1,8]{1,0} dynamic-slice(%p.0, %p.1, %zero), dynamic_slice_sizes={1,8}
  %double = f32[1,8]{1,0} add(%row, %row)
  ROOT %put = f32[10,8]{1,0} dynamic-update-slice(%p.2, %double, %p.1, %zero)
}

%body (state: (s32[], f32[10,8], f32[10,8])) -> (s32[], f32[10,8], f32[10,8]) {
  %state = (s32[], f32[10,8]{1,0}, /*index=2*/f32[10,8]{1,0}) parameter(0)
  %count = s32[] get-tuple-element(%state), index=0
  %from = f32[10,8]{1,0} get-tuple-element(%state), index=1
  %into = f32[10,8]{1,0} get-tuple-element(%state), index=2
  %one = s32[] constant(1)
  %next = s32[] add(%count, %one)
  %written = f32[10,8]{1,0} fusion(%from, %count, %into), kind=kLoop, calls=%sliced
  ROOT %out = (s32[], f32[10,8]{1,0}, f32[10,8]{1,0}) tuple(%next, %from, %written)
}

%condition (state.1: (s32[], f32[10,8], f32[10,8])) -> pred[] {
  %state.1 = (s32[], f32[10,8]{1,0}, f32[10,8]{1,0}) parameter(0)
  %count.1 = s32[] get-tuple-element(%state.1), index=0
  %ten = s32[] constant(10)
  ROOT %less = pred[] compare(%count.1, %ten), direction=LT
}

ENTRY %main (x: f32[10,8], h: bf16[4]) -> f32[10,8] {
  %x = f32[10,8]{1,0} parameter(0)
  %h = bf16[4]{0} parameter(1)
  %start = s32[] constant(0)
  %copied = f32[10,8]{1,0} copy(%x)
  %unused = bf16[4]{0} negate(%h)
  %all = (s32[], f32[10,8]{1,0}, f32[10,8]{1,0}) tuple(%start, %x, %copied)
  %loop = (s32[], f32[10,8]{1,0}, f32[10,8]{1,0}) while(%all), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"10"}}
  ROOT %result = f32[10,8]{1,0} get-tuple-element(%loop), index=2
}
"""


def test_a_loop_counts_as_often_as_it_runs():
    # Once: copy (320 + 320 bytes) and negate (8 + 8). Ten times: the add of counts (4 + 4 + 4), the
    # comparison (4 + 4 + 1), and the fusion. The fusion reads a row (32), the index (4) and writes
    # a row (32); the array that it writes into is not read.
    found = hlo.work(PROGRAM)
    assert found == hlo.Work(2 + 10 * 3, 640 + 16 + 10 * (12 + 9 + 68), 0)


def test_a_loop_of_unknown_length_counts_once_and_is_told():
    text = PROGRAM.replace('"known_trip_count":{"n":"10"}', "")
    assert hlo.work(text) == hlo.Work(2 + 3, 640 + 16 + 12 + 9 + 68, 1)


def test_a_text_without_a_program_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        hlo.work("nothing")


def test_without_loops_bytes_are_those_of_xla():
    x, y = jnp.ones(1000), jnp.ones(1000)
    program = jax.jit(lambda x, y: x * y + 1.0).lower(x, y).compile()
    analysis = program.cost_analysis()
    assert isinstance(analysis, dict)
    assert hlo.work(program.as_text() or "").bytes_moved == analysis["bytes accessed"] == 12_000


def test_a_compiled_scan_launches_its_body_as_often_as_it_runs():
    def kernels(length):
        def body(x, _):
            return jnp.sin(x) @ x, None

        def program(x):
            return jax.lax.scan(body, x, None, length=length)[0]

        return hlo.work(jax.jit(program).lower(jnp.ones((8, 8))).compile().as_text() or "").kernels

    # Sine, product and counter at least, in every round.
    assert kernels(30) - kernels(20) == kernels(20) - kernels(10) >= 30


def test_products_in_scans_and_gradients_are_counted():
    def loss(w, x):
        return jax.lax.scan(lambda x, _: (x @ w, None), x, None, length=5)[0].sum()

    w, x = jnp.ones((3, 3)), jnp.ones((7, 3))
    once = 2 * 7 * 3 * 3
    assert hlo.matmul_flops(jax.make_jaxpr(loss)(w, x)) == 5 * once
    # Backwards two products for each: with respect to x and to w.
    assert hlo.matmul_flops(jax.make_jaxpr(jax.grad(loss))(w, x)) == 3 * 5 * once


def test_of_branches_the_larger_counts():
    def choose(flag, x):
        return jax.lax.cond(flag, lambda x: x @ x @ x, lambda x: x @ x, x)

    assert hlo.matmul_flops(jax.make_jaxpr(choose)(True, jnp.ones((4, 4)))) == 2 * 2 * 4**3
