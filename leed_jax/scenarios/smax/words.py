"""A battle in words: what agents can be told, what they are told of, and what became of it."""

from collections import Counter

import numpy as np

from leed_jax.instructions import Choice, Command, Condition, Number, Vocabulary
from leed_jax.scenarios import EVERYONE, rounded
from leed_jax.scenarios.smax import controls as control
from leed_jax.scenarios.smax.controls import Target
from leed_jax.scenarios.smax.maps import Rules
from leed_jax.types import State

MAX_INSTRUCTIONS = 8

_CONDITIONS = {
    "enemy_in_sight": "the agent sees an enemy",
    "enemy_in_range": "an enemy is within the agent's weapon range",
    "under_fire": "an enemy was shooting at the agent in the last step",
    "below_half_health": "the agent has less than half of its full health",
    "everyone_arrived": "every living agent's command is finished (MoveTo: arrived; Regroup: with "
    "the team), so that all go on in the same step; never true while somebody fights or holds",
}


def vocabulary(agents: tuple[str, ...], rules: Rules) -> Vocabulary:
    """What an agent can be told."""
    types = rules.types_of(enemies=True)
    types = types if len(types) > 1 else ()
    numbers = tuple(f"enemy_{index}" for index in range(rules.num_enemies))
    ways = (*control.RULES, *types, *numbers)
    shown = ", ".join(f'"{name}"' for name in (*control.RULES, *types))
    sides = f'"{numbers[0]}" to "{numbers[-1]}"'
    away = Choice(
        "away_from",
        control.AWAY_FROM,
        "when stepping back, get away from the nearest enemy, or from all enemies in sight, near "
        "ones counting most",
    )
    margin = Number(
        "wall_margin",
        low=0,
        high=10,
        resolution=0.5,
        meaning="when stepping back, stay at least this far from the edges of the field",
    )
    distance = dict(low=0, high=8, resolution=0.5)
    place = dict(low=1, high=rules.map_size - 1, resolution=0.5)
    fight = (
        Choice(
            "target",
            ways,
            "which enemy to shoot: nearest; weakest, with the fewest health points, the nearest "
            "of equals; lowest_number; team_focus, one enemy for the whole team, kept until it is "
            "dead or out of everybody's range, then the one in range of most agents, and of "
            "those the weakest; a type's or an enemy's name: those first, and others (nearest "
            "first) only if none of them can be chosen",
            shown=f"one of {shown}, or an enemy's name, {sides}",
        ),
        Number(
            "reach",
            low=0,
            high=20,
            resolution=0.5,
            meaning="choose only among enemies that are at most this much farther away than the "
            "weapon reaches (if there are none, among all living ones). 0: whoever can be shot now "
            "is shot; more: the agent rather walks to a preferred enemy than shoot another one",
        ),
        Choice(
            "approach",
            control.APPROACHES,
            "where to walk while the chosen enemy is out of range: to the nearest enemy, to the "
            "chosen one (both known to the program even where they are out of sight), to the "
            "centre of the living agents, or nowhere",
        ),
        Number(
            "max_lead",
            low=0,
            high=20,
            resolution=0.5,
            meaning="while it sees enemies, do not walk on when more than this much ahead of the "
            "hindmost living agent in sight, comparing how much each still lacks to have the "
            "nearest of these enemies in its own weapon range; 20: never wait for others",
        ),
        Number(
            "kite_distance",
            **distance,
            meaning="while the weapon cools down and an enemy is nearer than this, step back "
            "instead of standing still; 0: never",
        ),
        Number(
            "kite_cooldown",
            low=0,
            high=2,
            resolution=0.1,
            meaning="step back so only while the weapon needs more than this many seconds more. "
            f"What needs up to {rules.step_seconds:g} s would fire within this step if the agent "
            "kept shooting; 0: step back whenever it is not ready",
        ),
        away,
        margin,
        Number(
            "retreat_health",
            low=0,
            high=1,
            resolution=0.05,
            meaning="with less than this share of its full health, step back from enemies nearer "
            "than retreat_distance, even if the weapon is ready; 0: never",
        ),
        Number("retreat_distance", **distance, meaning="see retreat_health"),
    )
    return Vocabulary(
        agents=agents,
        commands=(
            Command(
                "Fight",
                "choose an enemy anew in every step, shoot it if it is in range, else walk; or "
                "step back, as told. Never finished, so one Fight can be a whole plan",
                fight,
            ),
            Command(
                "MoveTo",
                f"walk to a point without shooting; finished within {control.ARRIVED} of it. Units "
                "that crowd around one point keep each other from it: give max_steps, too",
                (
                    Number("x", **place, meaning="to the right"),
                    Number("y", **place, meaning="up"),
                ),
            ),
            Command(
                "Retreat",
                "step back from enemies without shooting; finished when none in sight is nearer "
                "than distance",
                (Number("distance", **distance, meaning="to keep from enemies"), away, margin),
            ),
            Command(
                "Regroup",
                "walk to the centre of the living agents without shooting; finished within "
                "distance of it",
                (Number("distance", low=1, high=8, resolution=0.5, meaning="from the centre"),),
            ),
            Command("Hold", "stand still without shooting; never finished"),
        ),
        conditions=tuple(Condition(name, _CONDITIONS[name]) for name in control.CONDITIONS),
        horizon=rules.horizon,
        max_instructions=MAX_INSTRUCTIONS,
    )


def _units(rules: Rules) -> str:
    """One line per type of unit on the map."""
    present = {*rules.types_of(enemies=False), *rules.types_of(enemies=True)}
    return "\n".join(
        f"- {name}: health {rules.health[u]:g}, damage {rules.damage[u]:g} a shot, a shot every "
        f"{rules.cooldown[u]:.2f} s, weapon range {rules.attack_range[u]:g}, sight "
        f"{rules.sight_range[u]:g}, speed {rules.speed[u]:.2f} a second "
        f"({rules.speed[u] * rules.step_seconds:.2f} a step), radius {rules.radius[u]:.2f}"
        for u, name in enumerate(rules.types)
        if name in present
    )


def _team(rules: Rules, first: int, count: int) -> str:
    """E.g. "2 stalkers and 3 zealots"."""
    kinds = Counter(rules.types[kind] for kind in rules.unit_types[first : first + count])
    return " and ".join(f"{n} {name}{'s' if n > 1 else ''}" for name, n in kinds.items())


def _starts(rules: Rules) -> str:
    side, middle = rules.map_size / 4, rules.map_size / 2
    if not rules.drawn:
        return (
            f"Every episode draws the starts anew: the allies' x within 2 of {side:g}, the "
            f"enemies' within 2 of {3 * side:g}, all y within 2 of {middle:g}."
        )
    return (
        "Every episode draws the units' types (enemy_i has the type of ally_i) and the starts: in "
        "half of the episodes the allies stand anywhere in the left half and the enemies mirrored "
        f"in the right one; in the others one team stands within 2 of ({middle:g}, {middle:g}), "
        "and the other in up to four groups around it, on the ways from the corners to the centre. "
        "Which agent has which type, and where the enemies are, is different every time."
    )


def task(rules: Rules) -> str:
    """The battle, its rules and rewards, and what an agent sees of it."""
    allies, enemies = rules.num_allies, rules.num_enemies
    who = f"{allies} allies, your agents, fight {enemies} enemies"
    if not rules.drawn:
        who = (
            f"{allies} allies, your agents ({_team(rules, 0, allies)}), fight {enemies} enemies "
            f"({_team(rules, allies, enemies)})"
        )
    edge = (
        "A unit that touches an edge of the field dies at once."
        if rules.walls_cause_death
        else "The edges of the field only stop a unit."
    )
    choice = "the nearest one" if rules.attack_mode == "closest" else "one of them at random"
    seen = (
        "its last walk and whom it shot at last"
        if rules.see_enemy_actions
        else "and, of allies only, its last walk and whom it shot at last"
    )
    opposite = "it stays about there" if rules.drawn else "so about where your team started"
    size = f"{rules.map_size:g}"
    return f"""\
{who} on a field of {size} x {size} (x to the right, y up). {_starts(rules)} The battle ends when \
one team is dead, or without a winner after {rules.horizon} steps.

Units:
{_units(rules)}

Time: a step is {rules.step_seconds:g} s. In a step a unit stands still, walks up, down, left or \
right at full speed for the whole step, or shoots at one enemy that is nearer than its weapon \
range when the step begins. While it shoots it stands still, and fires as soon as the weapon is \
ready, even within the step. A shot hits at once, if its target is still alive and in range at \
that moment. Weapons are ready at the start and cool down whatever the unit does. Distances are \
between centres. Overlapping units push each other apart. Nobody heals. {edge}

The enemies follow a fixed script, each for itself. With allies in its weapon range an enemy \
shoots: at the one it shot at before, if it still can, else at {choice}. With none in range it \
walks: towards an ally in its sight, drawn at random anew in every step, along the axis on which \
that one is farther away; seeing none, towards the point opposite to its own start, on the other \
side of the field's centre ({opposite}). It never steps back, waits for others, or agrees with \
them on a target.

What decides a battle is how many weapons of each team fire, and at whom: units that walk, are out \
of range or dead do no damage, so a team that comes into range one by one, or spreads its shots, \
loses to one that fights together.

Reward, per step and the same for every agent, dead ones too: the health that the enemies lost, \
each as a share of its full health, divided by {enemies}; and 1 for winning, which means that all \
enemies are dead and an ally is alive. So an agent's episode is worth at most 2. The team's score \
is the sum over its agents, at most {2 * allies}.

What one agent observes: its own health, place, weapon cooldown and type; and of every living unit \
within its own sight, always in the order of their names: health, where it is relative to itself, \
type, weapon cooldown, {seen}. It observes nothing of units out of its sight."""


ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation (it remembers its earlier ones). Win \
as many battles as you can, and among plans that win about equally often prefer what each agent \
can decide from its own observation: nearest, weakest, lowest_number, a type and a name are such \
targets, team_focus is not; kiting, retreating by health and max_lead are decided from it, too. A \
walk that ends at a place or by a condition is learnt more easily than one that ends after a \
number of steps.""",
    "return": """\
Your plan is executed to produce demonstrations. Win as many battles as you can.""",
}


def describe(rules: Rules, state: State) -> str:
    """All units of a start, one a line."""
    game = state.state
    names = [f"ally_{index}" for index in range(rules.num_allies)]
    names += [f"enemy_{index}" for index in range(rules.num_enemies)]
    places = np.reshape(rounded(game.unit_positions), (-1, 2))
    kinds = np.asarray(game.unit_types)
    return "\n".join(
        f"{name}: {rules.types[kind]}, x {x:.1f}, y {y:.1f}"
        for name, kind, (x, y) in zip(names, kinds, places, strict=True)
    )


def feedback(
    rules: Rules, agents: tuple[str, ...], states: State, targets: Target
) -> dict[str, str]:
    """What happened, means over the episodes; ``states`` are those before every step."""
    game, count = states.state, rules.num_allies
    place, alive = np.asarray(game.unit_positions), np.asarray(game.unit_alive)
    steps = alive.shape[1]
    # After the end the last state is repeated.
    inside = np.asarray(game.step) == np.arange(steps)
    acting = alive[:, :, :count] & inside[:, :, None]
    acts = np.asarray(targets.act)
    apart = np.linalg.norm(place[:, :, :count, None] - place[:, :, None, count:], axis=-1)
    reach = np.asarray(rules.attack_range)[np.asarray(game.unit_types)[:, :, :count]]
    living = alive[:, :, :count, None] & alive[:, :, None, count:]
    in_range = (living & (apart < reach[..., None])).any(-1) & inside[:, :, None]
    edge = np.minimum(place, rules.map_size - place).min(-1)[:, -1, :count]

    said = {}
    for n, agent in enumerate(agents):
        lived = acting[:, :, n].sum(1)
        dead = ~alive[:, -1, n]
        did = [
            ((acts[:, :, n] == act) & acting[:, :, n]).sum() / max(lived.sum(), 1)
            for act in (control.SHOOT, control.WALK, control.STEP_BACK, control.STAY)
        ]
        when = f", after {lived[dead].mean():.0f} steps" if dead.any() else ""
        said[agent] = (
            f"dead at the end in {dead.mean():.0%} of the episodes{when} (touching an edge in "
            f"{(dead & (edge[:, n] <= 0)).mean():.0%}); while alive it aimed at an enemy in "
            f"{did[0]:.0%} of its steps, walked in {did[1]:.0%}, stepped back in {did[2]:.0%}, "
            f"stayed in {did[3]:.0%}"
        )
    met = in_range.any(-1)
    left = alive[:, -1, count:]
    text = [
        f"The battles lasted {inside.sum(1).mean():.0f} steps; before the last one "
        f"{alive[:, -1, :count].sum(-1).mean():.1f} of {count} allies and "
        f"{left.sum(-1).mean():.1f} of {rules.num_enemies} enemies were alive. The time limit "
        f"ended {(inside.sum(1) == rules.horizon).mean():.0%} of them."
    ]
    if met.any():
        fought = met.any(1)
        first = met.argmax(1)[fought]
        ready = in_range[fought, first].sum(-1).mean()
        centre = place[fought, first, :count].mean(1, keepdims=True)
        spread = np.linalg.norm(place[fought, first, :count] - centre, axis=-1).mean()
        text.append(
            f"First contact after {first.mean():.0f} steps; then {ready:.1f} agents had an enemy "
            f"in range, and the agents were {spread:.1f} from their common centre on average."
        )
    return {**said, EVERYONE: " ".join(text)}
