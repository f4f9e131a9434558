"""The battles of SMAX: who fights whom, and what every unit can do."""

import re
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

MAPS = (
    "3m",
    "2s3z",
    "3s5z",
    "5m_vs_6m",
    "10m_vs_11m",
    "27m_vs_30m",
    "3s5z_vs_3s6z",
    "6h_vs_8z",
    "3s_vs_5z",
    "smacv2_5_units",
    "smacv2_10_units",
    "smacv2_20_units",
)
LETTERS = {"m": 0, "s": 2, "z": 3, "h": 5}
"""In a map's name -> JaxMARL's unit type: marine, stalker, zealot, hydralisk."""


class Map(NamedTuple):
    """A battle, with the fields of JaxMARL's ``Scenario`` (smax_env.py)."""

    unit_types: Int[Array, "V"]
    """Of the allies, then of the enemies; without meaning where every episode draws them."""
    num_allies: int
    num_enemies: int
    smacv2_position_generation: bool
    smacv2_unit_type_generation: bool

    @property
    def drawn(self) -> bool:
        """Every episode draws unit types, and places all over the field."""
        return self.smacv2_unit_type_generation


def find(name: str) -> Map:
    """The map called ``name``, one of `MAPS`; all but SMACv2's names say who fights whom."""
    if name.startswith("smacv2"):
        count = int(name.split("_")[1])
        return Map(jnp.zeros(2 * count, jnp.uint8), count, count, True, True)
    allies, _, enemies = name.partition("_vs_")
    teams = [
        [
            LETTERS[letter]
            for number, letter in re.findall(r"(\d+)(\w)", team)
            for _ in range(int(number))
        ]
        for team in (allies, enemies or allies)
    ]
    kinds = jnp.array(teams[0] + teams[1], jnp.uint8)
    return Map(kinds, len(teams[0]), len(teams[1]), False, False)


class Rules(NamedTuple):
    """What never changes in a battle; numbers per unit type U."""

    num_allies: int
    num_enemies: int
    map_size: float
    """Width and height."""
    step_seconds: float
    horizon: int
    """Steps."""
    walls_cause_death: bool
    see_enemy_actions: bool
    attack_mode: str
    drawn: bool
    """See `Map.drawn`."""
    types: tuple[str, ...]
    speed: Float[np.ndarray, "U"]
    """Map units per second."""
    damage: Float[np.ndarray, "U"]
    """Health points of one shot."""
    attack_range: Float[np.ndarray, "U"]
    sight_range: Float[np.ndarray, "U"]
    radius: Float[np.ndarray, "U"]
    health: Float[np.ndarray, "U"]
    """Points."""
    cooldown: Float[np.ndarray, "U"]
    """Seconds from shot to shot."""
    unit_types: tuple[int, ...]
    """Of the allies, then of the enemies."""

    def types_of(self, *, enemies: bool) -> tuple[str, ...]:
        """Names of the unit types that a team may have, in JaxMARL's order."""
        if self.drawn:
            return self.types
        team = self.unit_types[self.num_allies :] if enemies else self.unit_types[: self.num_allies]
        return tuple(self.types[kind] for kind in sorted(set(team)))


def rules(game: Any, field: Map) -> Rules:
    """The rules of a JaxMARL ``HeuristicEnemySMAX`` that plays on ``field``."""
    return Rules(
        num_allies=field.num_allies,
        num_enemies=field.num_enemies,
        map_size=float(game.map_width),
        step_seconds=float(game.world_steps_per_env_step * game.time_per_step),
        # done is read before the clock moves: max_steps = 100 makes 101 steps
        horizon=game.max_steps + 1,
        walls_cause_death=game.walls_cause_death,
        see_enemy_actions=game.see_enemy_actions,
        attack_mode=game.attack_mode,
        drawn=field.drawn,
        types=tuple(game.unit_type_names),
        speed=np.asarray(game.unit_type_velocities),
        damage=np.asarray(game.unit_type_attacks),
        attack_range=np.asarray(game.unit_type_attack_ranges),
        sight_range=np.asarray(game.unit_type_sight_ranges),
        radius=np.asarray(game.unit_type_radiuses),
        health=np.asarray(game.unit_type_health, np.float32),
        cooldown=np.asarray(game.unit_type_weapon_cooldowns),
        unit_types=tuple(np.asarray(field.unit_types).tolist()),
    )
