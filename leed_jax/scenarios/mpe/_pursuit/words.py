"""What predators can be told, and the sentences that all pursuit games share."""

from collections.abc import Sequence

from leed_jax.instructions import Choice, Command, Condition, Number, Vocabulary
from leed_jax.scenarios.mpe._particles import HORIZON
from leed_jax.scenarios.mpe._pursuit.field import (
    ARENA,
    OBSTACLE_RADIUS,
    PREDATOR_PUSH,
    PREDATOR_RADIUS,
    PREDATOR_SPEED,
    PREY_PUSH,
    PREY_SPEED,
    Field,
)
from leed_jax.scenarios.mpe._words import POINT

CHASE, ENCIRCLE, BLOCK, MOVE_TO_POINT, HOLD = range(5)

CORNERS = ("upper_left", "upper_right", "lower_left", "lower_right")
SIDES = ("east", "prey_motion", "centre")
NEAR, IN_PLACE = 0.4, 0.15
"""Units; what the conditions ``prey_near`` and ``everyone_in_place`` mean."""
SYMBOLS = tuple("0123")
"""What the leader of simple_world_comm can say."""


def block_places(field: Field) -> tuple[str, ...]:
    """What a predator can be told to stand in front of; the last ones follow the prey."""
    kinds = (
        ("obstacle", field.num_obstacles),
        ("food", field.num_food),
        ("forest", field.num_forests),
    )
    marks = [f"{kind}_{index}" for kind, count in kinds for index in range(count)]
    return (*CORNERS, "centre", *marks, "nearest_corner")


def vocabulary(
    agents: tuple[str, ...],
    field: Field,
    conditions: Sequence[Condition],
    *,
    speaks: bool = False,
) -> Vocabulary:
    """What an agent can be told.

    Args:
      agents: the predators.
      field: who is on it.
      conditions: that end instructions.
      speaks: whether the first agent says something in every step, to the others.
    """
    say = _say() if speaks else ()
    which = _which_prey(field, speaks) if field.num_prey > 1 else ()
    lead = Number(
        "lead",
        low=0,
        high=10,
        resolution=1,
        meaning="aim at where the prey will be after so many steps if it keeps its velocity; 0: "
        "at where it is",
    )
    care = (
        Number(
            "team_distance",
            low=0.0,
            high=0.6,
            resolution=0.05,
            meaning="try to keep the centres of other predators at least this far away; 0: ignore "
            "them",
        ),
        Number(
            "obstacle_gap",
            low=0.0,
            high=0.3,
            resolution=0.05,
            meaning="try to keep this far from the edges of obstacles; 0: drive as if there were "
            "none, and slide along them",
        ),
    )
    all_of = (*say, *which, lead, *care)
    # Said once: repeated with every command, these parameters were half of the prompt.
    say, which, (lead,), care = (
        tuple(p._replace(meaning="as for Chase") for p in several)
        for several in (say, which, (lead,), care)
    )
    return Vocabulary(
        agents=agents,
        commands=(
            Command(
                "Chase",
                "drive at the prey; finished when the agent touches it",
                all_of,
            ),
            Command(
                "Encircle",
                "drive to a point on one side of the prey and move along with the prey there; "
                f"finished within {IN_PLACE} of the point",
                (
                    *say,
                    *which,
                    Number(
                        "angle",
                        low=0,
                        high=345,
                        resolution=15,
                        meaning="in which direction from the prey the point lies, in degrees, "
                        "counter-clockwise from what measured_from names",
                    ),
                    Choice(
                        "measured_from",
                        SIDES,
                        "the direction of angle 0; east: to the right (90 is up); prey_motion: "
                        "where the prey is going, so that 0 is in front of it; centre: from the "
                        "prey to the point x 0, y 0, so that 180 is on its outer side",
                    ),
                    Number(
                        "distance",
                        low=0.0,
                        high=1.0,
                        resolution=0.05,
                        meaning="of the point from the prey's centre",
                    ),
                    lead,
                    *care,
                ),
            ),
            Command(
                "Block",
                "stand between the prey and a place, on the straight line that joins them; "
                f"finished within {IN_PLACE} of that point",
                (
                    *say,
                    *which,
                    Choice("place", block_places(field), _meaning_of_places(field)),
                    Number(
                        "share",
                        low=0.1,
                        high=1.0,
                        resolution=0.1,
                        meaning="how far along the line, from near the prey (0.1) to the place "
                        "itself (1)",
                    ),
                    *care,
                ),
            ),
            Command(
                "MoveToPoint",
                f"drive to a point, brake and stay there; finished within {IN_PLACE} of it",
                (*say, *POINT, *care),
            ),
            Command("Hold", "brake and stay; never finished", (*say, care[0])),
        ),
        conditions=tuple(conditions),
        horizon=HORIZON,
        max_instructions=12,
    )


def _say() -> tuple[Choice, ...]:
    return (
        Choice(
            "say",
            (*SYMBOLS, "prey"),
            "what the leader says in these steps, which all predators observe from the next step "
            "on; prey: the number of the prey it is sent after (3 if none). The other predators "
            "cannot speak: theirs is ignored",
        ),
    )


def _which_prey(field: Field, speaks: bool) -> tuple[Choice, ...]:
    names = tuple(f"prey_{index}" for index in range(field.num_prey))
    said = (
        "; announced: the one with the number that the leader said last (nearest, where it said "
        "nothing yet or no prey's number)"
    )
    return (
        Choice(
            "prey",
            (*names, "nearest", "shared_out", *(("announced",) if speaks else ())),
            "a prey by its number; nearest: the one nearest to the agent now, which may change "
            "from step to step; shared_out: assigned for all agents together when the "
            "instruction starts, closest pair first, about equally many to every prey"
            + (said if speaks else ""),
        ),
    )


def _meaning_of_places(field: Field) -> str:
    corner = f"a corner of the square |x|, |y| <= {ARENA}"
    marks = "an obstacle by its number" if not field.num_food else "an obstacle, food or forest"
    middle = f"; centre: x 0, y 0; {marks}" if field.num_obstacles else "; centre: x 0, y 0"
    return f"{corner}{middle}; nearest_corner: the corner that the prey is nearest to now"


def conditions(field: Field) -> tuple[Condition, ...]:
    """Events of every pursuit game, in the order of `controls.conditions`."""
    a_prey = "its prey (the nearest one for an agent that is sent after none)"
    if field.num_prey == 1:
        a_prey = "the prey"
    return (
        Condition("any_catch", "any predator touches any prey"),
        Condition("prey_near", f"the agent's centre is nearer than {NEAR} to that of {a_prey}"),
        Condition("prey_at_edge", f"{a_prey} has |x| or |y| above 0.7"),
        Condition("everyone_in_place", f"all predators are within {IN_PLACE} of their points"),
    )


def motion(field: Field) -> str:
    """How predators move and what bodies do, in words."""
    top = PREDATOR_SPEED
    return f"""\
Time: an episode has {HORIZON} steps of 0.1 s. A predator gains {PREDATOR_PUSH} units/s by a push \
and loses a quarter of its speed per step; its top speed is {top:g} unit/s ({top / 10:g} units a \
step), and it has 0.9 after 5 pushes from rest. It drifts 0.4 s of its speed after the last push.

Bodies are discs: predators of radius {PREDATOR_RADIUS}, prey of {field.prey_radius}, obstacles of \
{OBSTACLE_RADIUS}. A predator touches a prey when their centres are nearer than {field.touch:g}. \
Bodies that overlap push each other apart at once, so a catch lasts only if predators press on. \
Nothing passes through obstacles. Places are drawn anew for every episode, uniformly from x and y \
in [-1, 1]; the plane has no walls."""


def prey_speed() -> str:
    """How fast a prey is that pushes like an agent, in words."""
    return (
        f"The prey is faster than the predators: {PREY_PUSH} units/s by a push, top speed "
        f"{PREY_SPEED} units/s."
    )


LEARNABLE = """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation, without memory and without a clock. \
What follows from where everybody is now is learnt well: an instruction that stays in force to the \
end of the episode. What depends on time, on which instruction an agent has come to, or on \
what the observation does not hold, is learnt badly. Among plans that can be learnt choose the one \
with the highest team score; give the predators different parts where that catches more."""

RETURN = """\
Your plan is executed to produce demonstrations. Make the team's score as high as you can."""

ADVICE = {"learnable": LEARNABLE, "return": RETURN}
