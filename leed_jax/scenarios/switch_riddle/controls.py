"""What turns the riddle's rules into actions, with what prisoners have to count for them."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from leed_jax.instructions import Choice, Parameter
from leed_jax.scenarios import Controls, Program
from leed_jax.scenarios.switch_riddle.game import NOTHING, SWITCH, Prison
from leed_jax.types import State

LIGHTS = ("off", "on", "any")


class Remembered(NamedTuple):
    """What each prisoner counts; no observation shows it."""

    visits: Int[Array, "N"]
    """Days in the room before today."""
    switches: Int[Array, "N"]
    """How often it has switched the light."""


class Target(NamedTuple):
    """What every prisoner's rules say now."""

    action: Int[Array, "N"]
    applied: Bool[Array, "N"]
    """The rule in force applies; false: none did, and nothing is done."""


def controls(parameters: tuple[Parameter, ...]) -> Controls:
    """Rules as actions; they count in the memory what a prisoner has to remember."""

    def applies(state: Prison, program: Program, memory: Remembered) -> Bool[Array, "N"]:
        of = {
            parameter.name: code if isinstance(parameter, Choice) else parameter.low + code
            for parameter, code in zip(parameters, program.arguments.T, strict=True)
        }
        day, visit = state.game.step + 1, memory.visits + 1
        light = state.game.bulb_state.astype(jnp.int32)
        return (
            ((of["light"] == light) | (of["light"] == LIGHTS.index("any")))
            & (visit >= of["min_visit"])
            & (visit <= of["max_visit"])
            & (memory.switches >= of["min_switches"])
            & (memory.switches <= of["max_switches"])
            & (day >= of["first_day"])
            & (day <= of["last_day"])
        )

    def resolve(state: Prison, program: Program, memory: Remembered) -> tuple[Target, Remembered]:
        holds = applies(state, program, memory)
        inside = jnp.arange(program.op.shape[0]) == state.game.agent_in_room
        action = jnp.where(inside & holds, program.op, NOTHING)
        switched = (action == SWITCH).astype(jnp.int32)
        after = Remembered(memory.visits + inside.astype(jnp.int32), memory.switches + switched)
        return Target(action, holds), after

    def act(target: Target, state: Prison, agent: Int[Array, ""]) -> tuple[Any, Any]:
        del state, agent
        return target.action, jnp.array(False)

    def init(state: State) -> Remembered:
        zeros = jnp.zeros(state.game.has_been.shape, jnp.int32)
        return Remembered(zeros, zeros)

    return Controls(init=init, resolve=resolve, controllers=(act,) * 3, applies=applies)
