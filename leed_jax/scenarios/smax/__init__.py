"""``smax/<map>``: a team of units fights a scripted one (JaxMARL's SMAX)."""

from functools import partial
from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from leed_jax.environments import jaxmarl
from leed_jax.scenarios import Scenario, Threshold
from leed_jax.scenarios.smax import controls, drawing, maps, words
from leed_jax.types import Measure, State

NAMES = tuple(f"smax/{name}" for name in maps.MAPS)

AttackMode = Literal["closest", "random"]
"""Which ally in range the enemies' script shoots at."""
THRESHOLD = Threshold("won", 0.8, "four battles of five against the scripted enemy")


def make(
    name: str,
    *,
    max_steps: int = 100,
    see_enemy_actions: bool = True,
    walls_cause_death: bool = True,
    attack_mode: str = "closest",
) -> Scenario:
    """The scenario on a map, against JaxMARL's scripted enemy (``HeuristicEnemySMAX``).

    Args:
      name: ``smax/<map>``.
      max_steps: JaxMARL's time limit; episodes have one step more, see `maps.rules`.
      see_enemy_actions: agents observe what the enemies did in the last step.
      walls_cause_death: a unit that touches an edge of the field dies.
      attack_mode: whom the enemies shoot at, "closest" or "random".

    Raises:
      ValueError: ``max_steps`` or ``attack_mode`` out of range.
    """
    if max_steps < 1:
        raise ValueError(f"{name}: max_steps must be at least 1, got {max_steps}")
    if attack_mode not in get_args(AttackMode):
        allowed = ", ".join(get_args(AttackMode))
        raise ValueError(f"{name}: attack_mode must be one of {allowed}, got {attack_mode!r}")
    field = maps.find(name.removeprefix("smax/"))
    options = {
        "max_steps": max_steps,
        "see_enemy_actions": see_enemy_actions,
        "walls_cause_death": walls_cause_death,
        "attack_mode": attack_mode,
    }
    game = jaxmarl.load("HeuristicEnemySMAX", scenario=field, **options)
    rules = maps.rules(game, field)
    env = jaxmarl.as_array_env(
        game,
        name=name,
        horizon=rules.horizon,
        terminated=lambda state: (
            ~_allies(state, rules.num_allies).any() | ~_enemies(state, rules.num_allies).any()
        ),
        action_mask=game.get_avail_actions,
        decision=lambda state: _allies(state, rules.num_allies),
        global_state=lambda observation: observation["world_state"],
        measures=_measures(rules.num_allies),
    )
    vocabulary = words.vocabulary(env.spec.agents, rules)
    return Scenario(
        name=name,
        options=options,
        env=env,
        vocabulary=vocabulary,
        task=words.task(rules),
        describe=partial(words.describe, rules),
        controls=controls.make(rules, vocabulary),
        advice=words.ADVICE,
        feedback=partial(words.feedback, rules, env.spec.agents),
        draw=partial(drawing.draw, rules),
        threshold=THRESHOLD,
    )


def _allies(state: State, num_allies: int) -> Bool[Array, "N"]:
    return state.state.unit_alive[:num_allies]


def _enemies(state: State, num_allies: int) -> Bool[Array, "M"]:
    return state.state.unit_alive[num_allies:]


def _measures(num_allies: int) -> tuple[Measure, ...]:
    def won(state: State) -> Float[Array, ""]:
        allies, enemies = _allies(state, num_allies), _enemies(state, num_allies)
        return (allies.any() & ~enemies.any()).astype(jnp.float32)

    return (
        Measure(
            "won",
            won,
            "last",
            "1 if all enemies are dead and an ally is alive at the end: over episodes the share of "
            "battles won; 1 is best",
        ),
        Measure(
            "allies_alive",
            lambda state: _allies(state, num_allies).mean(),
            "last",
            "share of the allies alive at the end; 1 is best",
        ),
        Measure(
            "enemies_alive",
            lambda state: _enemies(state, num_allies).mean(),
            "last",
            "share of the enemies alive at the end; 0 is best",
        ),
    )
