"""What is said about contests for a goal that one side does not know."""

from leed_jax.scenarios.mpe import _words as words

PAR = 0.52
"""Mean distance from the goal of who stands at one of the two landmarks, knowing nothing: half the
mean distance of two points of a square with sides of 2, which is 1.0428."""

_SCORE = f"""\
You write for both sides, as each would play for itself: the adversary as the best opponent there \
is, who knows how the other side behaves, but not the goal. The score of an episode is the \
adversary's mean distance from the goal, counted up to {PAR} on average over the episodes (an \
adversary that stands at one of the landmarks, whichever, reaches that, so sending it away gains \
nothing), minus the mean distance from the goal of {{nearest}}. High is good for the good side."""

TASKS = {
    "mpe/simple_adversary": f"""\
Two good agents, agent_0 and agent_1, and their opponent adversary_0 are on a plane with two \
landmarks; every episode draws their places anew, uniformly from x and y in [-1, 1], and one of \
the landmarks as the goal, both equally likely; the other one is the decoy. The landmarks, always \
in the order landmark_0, landmark_1, stay where they are and look alike. One of the good agents \
shall be at the goal, and the adversary shall not; the adversary wants to be there itself. The \
good agents know the goal, the adversary has to tell it from what they do.

{words.TIME} Nothing collides: agents drive through each other.

Reward, per step: for the adversary minus its distance from the goal; for both good agents alike \
the adversary's distance from the goal minus that of the good agent nearest to it.

{_SCORE.format(nearest="the good agent nearest to it")}

What the agents observe: the good agents where the goal, both landmarks and the other agents are \
relative to themselves; the adversary where the landmarks and the good agents (agent_0 first) are \
relative to itself. None observes a velocity, not even its own.""",
    "mpe/simple_push": f"""\
A good agent, agent_0, and its opponent adversary_0 are on a plane with two landmarks; every \
episode draws their places anew, uniformly from x and y in [-1, 1], and one of the landmarks as \
the goal, both equally likely; the other one is the decoy. The landmarks, landmark_0 and \
landmark_1, stay where they are. The good agent shall be at the goal. The adversary wants to be \
there itself, and the good agent far from it. The good agent knows the goal, the adversary has to \
tell it from what the good agent does.

{words.TIME} Both agents are discs of radius 0.05: nearer than 0.1 to each other they push each \
other apart, hard. Landmarks can be driven over.

Reward, per step: for the good agent minus its distance from the goal; for the adversary the good \
agent's distance from the goal minus its own.

{_SCORE.format(nearest="the good agent")}

What the agents observe: the good agent its own velocity, which landmark is the goal, and where \
both landmarks and the adversary are relative to itself; the adversary its own velocity, and where \
both landmarks and the good agent are relative to itself.""",
}

ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation. If the demonstrations vary in a way \
that this observation does not explain, little is learnt: no agent can know the time, nor what \
another one was told. Among the plans in which each agent's action follows from what it observes \
now, choose the one with the highest score for the good side against an adversary who does its \
best.""",
    "return": """\
Your plan is executed to produce demonstrations. Make the score of the good side as high as you \
can against an adversary who does its best.""",
}

KEEP = "try to keep the centres of other agents at least this far away; 0: ignore them"

GUARD = (
    "stand between a landmark and another agent, on the line from the one to the other, to stop "
    "the agent; never finished"
)


def target(several: bool) -> str:
    """The meaning of the landmarks that can be named, for one good agent or several."""
    text = (
        "goal, decoy: for agents who know them (the adversary, told so, stays where it is); "
        "landmark_0, landmark_1: by number, each being the goal in half of the episodes; nearest, "
        "farthest: as seen from the agent when the instruction starts; theirs: the landmark that "
        "an agent of the other side is nearest to, in every step anew; not_theirs: the other one"
    )
    if several:
        text += (
            "; shared_out: when the instruction starts, the goal for the good agent that is nearer "
            "to it, the decoy for the other one (the adversary, told so, stays where it is)"
        )
    return text
