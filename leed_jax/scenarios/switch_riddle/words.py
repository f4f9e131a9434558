"""The riddle in words: vocabulary, task, days, and what happened."""

import numpy as np

from leed_jax.instructions import Choice, Command, Number, Parameter, Vocabulary
from leed_jax.scenarios import EVERYONE
from leed_jax.scenarios.switch_riddle.controls import LIGHTS, Target
from leed_jax.scenarios.switch_riddle.game import SWITCH, TELL, Prison, days


def vocabulary(agents: tuple[str, ...]) -> Vocabulary:
    """What a prisoner can be told: rules, all with the same parameters."""
    last = days(len(agents))
    whole = dict(resolution=1)
    when: tuple[Parameter, ...] = (
        Choice("light", LIGHTS, "applies only if the light is so when the prisoner comes in"),
        Number("min_visit", 1, last, **whole, meaning="earliest visit; 1 is its first"),
        Number("max_visit", 1, last, **whole, meaning="latest visit"),
        Number("min_switches", 0, last, **whole, meaning="fewest times it has switched so far"),
        Number("max_switches", 0, last, **whole, meaning="most times it has switched so far"),
        Number("first_day", 1, last, **whole, meaning="earliest day"),
        Number("last_day", 1, last, **whole, meaning="latest day"),
    )
    return Vocabulary(
        agents=agents,
        commands=(
            Command("Nothing", "leave the light as it is and say nothing", when),
            Command("Switch", "switch the light: on if it is off, off if it is on", when),
            Command("Tell", "say that all have been in the room; this ends the riddle", when),
        ),
        conditions=(),
        horizon=last,
        max_instructions=8,
        timed=False,
    )


def task(num_agents: int) -> str:
    """The riddle, for a number of prisoners."""
    return f"""\
{num_agents} prisoners and a room with a light. Every day one of the prisoners is drawn at random \
(each equally likely, also those who were drawn before) and taken to the room. There it sees \
whether the light is on, and may switch it, or say that all {num_agents} have been in the room, or \
do neither. The light is off at the start and is changed by nobody else. The prisoners cannot \
communicate in any other way.

If a prisoner says so and it is true (the day's own visit counts), all get a reward of 1; if it is \
not, all get -1. Either ends the episode. After {days(num_agents)} days it ends anyway, with 0. \
The team's score of an episode is the sum over the prisoners: {num_agents}, -{num_agents} or 0. \
Some episodes cannot be won, because not all have been drawn in time; telling on a mere chance may \
cost more than it wins.

What one prisoner observes: whether it is in the room and, only there, whether the light is on. \
Rules may also use the day, how often this prisoner was in the room, and how often it has itself \
switched the light: it counts them, as a policy with memory could.

A rule applies if all its parameters hold: the light as found, the number of this visit (the \
first is 1), the prisoner's own switches before this visit, and the day (the first is 1). If no \
rule applies, the prisoner does nothing. Only the prisoner in the room acts."""


ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One policy with memory per prisoner is then \
trained to do what its prisoner did, seeing only that prisoner's own observations, so rules that \
need few counts are learnt soonest. What matters is what the light means: all prisoners' rules \
must agree on it, on every day. Among plans like that choose the one with the highest score.""",
    "return": """\
Make the team's score as high as you can. What matters is what the light means: all prisoners' \
rules must agree on it, on every day.""",
}


def describe(state: Prison) -> str:
    """The day, who is in the room, the light, and who was there before."""
    game = state.game
    been = [f"agent_{n}" for n in np.flatnonzero(np.asarray(game.has_been))]
    return (
        f"day {int(game.step) + 1}: agent_{int(game.agent_in_room)} is in the room, the light is "
        f"{'on' if bool(game.bulb_state) else 'off'}; in the room before: {', '.join(been) or '-'}"
    )


def feedback(states: Prison, targets: Target, agents: tuple[str, ...]) -> dict[str, str]:
    """Averages over episodes, per prisoner and for all."""
    game = states.game
    day = np.asarray(game.step)
    # An ended episode is repeated up to the horizon: only what moves on is counted.
    once = np.concatenate([np.ones_like(day[:, :1]), np.diff(day)], 1) > 0
    room, action = np.asarray(game.agent_in_room), np.asarray(targets.action)
    applied = np.asarray(targets.applied)
    been = np.asarray(game.has_been) > 0
    said = {}
    lasting = once.sum(1)
    for n, agent in enumerate(agents):
        inside = once & (room == n)
        telling = inside & (action[..., n] == TELL)
        now = been.copy()
        now[..., n] = True
        truly = telling & now.all(-1)
        said[agent] = (
            f"per episode {inside.sum(1).mean():.1f} visits, "
            f"{(inside & (action[..., n] == SWITCH)).sum(1).mean():.1f} switches, no rule applied "
            f"in {(inside & ~applied[..., n]).sum(1).mean():.1f}; it told in "
            f"{telling.any(1).mean():.0%} of the episodes, rightly in {truly.any(1).mean():.0%}"
        )
    said[EVERYONE] = f"Episodes took {lasting.mean():.1f} days on average."
    return said
