"""What became of a plan, for the model to improve on it."""

from typing import Any

import numpy as np

from leed_jax.scenarios import EVERYONE
from leed_jax.scenarios.overcooked_v2 import facts
from leed_jax.scenarios.overcooked_v2.controls import Target
from leed_jax.scenarios.overcooked_v2.kitchen import COUNTER, DELIVERY, INTERACT, Kitchen
from leed_jax.scenarios.overcooked_v2.words import HELD

STUCK = 60
"""Steps at the end of an episode in which no cook took or put anything: reported as standstill."""


def told(where: Kitchen, agents: tuple[str, ...], states: Any, targets: Target) -> dict[str, str]:
    """Averages over episodes, per cook and for both.

    Args:
      where: the kitchen.
      agents: the cooks' names.
      states: [K S ...], before every step.
      targets: [K S N ...], of every step.
    """
    inventory = np.asarray(states.game.agents.inventory)
    held = np.asarray(facts.kind_of(inventory))  # [K S N]
    idle, waiting = np.asarray(targets.idle), np.asarray(targets.waiting)
    place, action = np.asarray(targets.place), np.asarray(targets.action)
    changed = held[:, 1:] != held[:, :-1]
    kinds = np.append(where.kind, np.zeros(len(where.cells), int))[place]
    told = {}
    for n, agent in enumerate(agents):
        gained = [
            (changed[:, :, n] & (held[:, 1:, n] == kind)).sum(1).mean() for kind in range(1, 4)
        ]
        waits = [
            (waiting & ~idle & (held == kind) & (action != INTERACT))[:, :, n].sum(1).mean()
            for kind in range(4)
        ]
        waited = ", ".join(
            f"{steps:.0f} holding {name}"
            for steps, name in zip(waits, HELD, strict=True)
            if steps >= 0.5
        )
        delivered = ((kinds == DELIVERY) & (action == INTERACT))[:, :, n].sum(1).mean()
        told[agent] = (
            f"per episode took {gained[0]:.1f} ingredients, {gained[1]:.1f} empty plates and "
            f"{gained[2]:.1f} plates of soup, handed in {delivered:.1f}; waited for what its rule "
            f"asks for in these steps: {waited or 'none'}; no rule applied in "
            f"{idle[:, :, n].sum(1).mean():.0f} steps"
        )
    grid = np.asarray(states.game.grid[:, -1])
    lying = np.asarray(facts.kind_of(grid[..., 1])) * (grid[..., 0] == COUNTER)
    left = [(lying == kind).sum((1, 2)).mean() for kind in range(1, 4)]
    lines = [
        f"At the end {left[0]:.1f} ingredients, {left[1]:.1f} empty plates and {left[2]:.1f} "
        "plates of soup lay on counters."
    ]
    late = changed[:, -STUCK:].any((1, 2))
    if held.shape[1] > STUCK and not late.all():
        now, count = np.unique(held[~late, -1], axis=0, return_counts=True)
        often = now[count.argmax()]
        holding = " and ".join(f"{a} {HELD[k]}" for a, k in zip(agents, often, strict=True))
        lines.append(
            f"In {(~late).mean():.0%} of the episodes no cook took or put anything in the last "
            f"{STUCK} steps: a standstill, most often with {holding} in hand."
        )
    return {EVERYONE: " ".join(lines), **told}
