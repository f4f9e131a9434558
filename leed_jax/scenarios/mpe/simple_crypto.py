"""``mpe/simple_crypto``: Alice tells Bob a secret, and Eve listens (JaxMARL)."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.environments import jaxmarl
from leed_jax.episodes import Episodes
from leed_jax.instructions import Choice, Command, Condition, Vocabulary
from leed_jax.scenarios import Controls, Judgement, Program, Scenario
from leed_jax.scenarios.mpe import _drawing as drawing
from leed_jax.scenarios.mpe import _particles as particles
from leed_jax.types import Measure, State

NAMES = ("mpe/simple_crypto",)

ENCODE, DECODE, TRANSLATE, SAY = range(4)
EVE, ALICE, BOB = range(3)
WORDS = tuple(f"word_{index}" for index in range(4))
COLOUR = 255.0
"""Secrets and keys are one-hot times this (simple_crypto.py, OBS_COLOUR)."""
RIGHT, WRONG = (COLOUR - 1) ** 2, COLOUR**2 + 1
"""Squared distance of a one-hot word from the secret."""


class Target(NamedTuple):
    """What an agent says."""

    word: Int[Array, "N"]


def make(name: str) -> Scenario:
    """The scenario; it has no options: always Eve, Alice and Bob, two secrets and two keys."""
    game = jaxmarl.load("MPE_simple_crypto_v3")
    env = jaxmarl.as_array_env(
        game, name=name, horizon=particles.HORIZON, reward=_reward, measures=_MEASURES
    )
    return Scenario(
        name=name,
        options={},
        env=env,
        vocabulary=vocabulary(env.spec.agents),
        task=_TASK,
        describe=_describe,
        controls=Controls(
            init=lambda state: (),
            resolve=resolve,
            controllers=(_say, _say, _say, _say),
            conditions=(_word_heard,),
        ),
        advice=_ADVICE,
        feedback=_feedback,
        draw=_draw,
        judge=_judge,
    )


def _reward(paid: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """JaxMARL's rewards in units of a right answer: its own are some -65,000 a step for Eve."""
    unit = WRONG - RIGHT
    return {
        agent: (reward + WRONG) / unit if agent == "eve_0" else reward / unit
        for agent, reward in paid.items()
    }


# ------------------------------------------------------------------------------- in words


def vocabulary(agents: tuple[str, ...]) -> Vocabulary:
    """What an agent can be told."""
    pairs = tuple(
        Choice(
            f"secret_{secret}_key_{key}",
            WORDS,
            f"the word for secret_{secret} where the key is key_{key}",
        )
        for key in range(2)
        for secret in range(2)
    )
    answer = ", the word to say"
    otherwise = Choice("otherwise", WORDS, f"where nothing fits, as in the first step{answer}")
    heard = tuple(Choice(f"heard_{word}", WORDS, f"having heard {word}{answer}") for word in WORDS)
    return Vocabulary(
        agents=agents,
        commands=(
            Command(
                "Encode",
                "for alice_0: say the word that the table below has for the secret and the key; "
                "never finished",
                pairs,
            ),
            Command(
                "Decode",
                "for bob_0: say word_0 if the word heard in this step is the table's word for "
                "secret_0 and Bob's key, else word_1 if it is the one for secret_1 and Bob's key; "
                "never finished",
                (*pairs, otherwise),
            ),
            Command(
                "Translate",
                "for bob_0 and eve_0: say the word given for the word heard in this step, whatever "
                "the key; never finished",
                (*heard, otherwise),
            ),
            Command(
                "Say",
                "say one and the same word; never finished",
                (Choice("word", WORDS, "the word"),),
            ),
        ),
        conditions=(Condition("word_heard", "Bob and Eve hear a word in this step"),),
        horizon=particles.HORIZON,
        max_instructions=8,
    )


_TASK = f"""\
alice_0 is to tell bob_0 a secret, so that he knows it and eve_0, who listens, does not. In every \
episode the secret is drawn anew, secret_0 or secret_1, and a key, key_0 or key_1, all equally \
likely and independent of each other; both stay the same for the whole episode. Alice and Bob are \
one side, Eve is the other: she tries to find out the secret. Nobody moves.

Time: an episode has {particles.HORIZON} steps. In every step each agent says one of four words, \
word_0 to word_3; none is ever silent. What Alice says is heard by Bob and by Eve in the next \
step, so in the first step they hear nothing. What Bob and Eve say nobody hears: it is their \
answer. An answer is right if it is word_0 where the secret is secret_0, and word_1 where it is \
secret_1; word_2 and word_3 are never right. Alice may use all four words as she likes.

Reward, per step: for Eve 1 if her answer is right, else 0. For Alice and for Bob alike: 1 if \
Bob's answer is right, minus 1 if Eve's is. (These are JaxMARL's rewards, {WRONG - RIGHT:g} times \
smaller and shifted.)

What the agents observe: Alice the secret and the key; Bob the key and the word that he hears; \
Eve the word that she hears, but not the key.

You write for both sides, as each would play for itself: Eve as the best listener there is, one \
who knows the table that Alice uses. The score of an episode is the share of steps in which Bob \
is right, minus the share in which Eve is right or 0.5, whichever is more, as Eve is right half \
the time by guessing: making Eve a fool gains nothing, and a cipher that she can break is only as \
good as your Eve is bad. At most 0.5 can be reached.

An agent that is told what it cannot do, as it lacks the key or the secret, says word_0."""


_ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation. If the demonstrations vary in a way \
that this observation does not explain, little is learnt: no agent can know the time. Among the \
plans in which each agent's word follows from what it observes now, choose the one with the \
highest score for Alice and Bob against an Eve who does her best.""",
    "return": """\
Your plan is executed to produce demonstrations. Make the score of Alice and Bob as high as you \
can against an Eve who does her best.""",
}


def _secret_and_key(state: Any) -> tuple[Any, Any]:
    return state.goal_colour.argmax(-1), state.private_key.argmax(-1)


def _describe(state: State) -> str:
    secret, key = (int(value) for value in _secret_and_key(state))
    return (
        f"secret: secret_{secret} (only alice_0 knows)\nkey: key_{key} (alice_0 and bob_0 know)\n"
        "heard so far: nothing"
    )


def _feedback(states: State, targets: Target) -> dict[str, str]:
    """Averages over episodes, per agent."""
    secret, key = (np.asarray(value) for value in _secret_and_key(states))
    word = np.asarray(targets.word)
    lines = []
    for k in range(2):
        for s in range(2):
            mine = word[..., ALICE][(secret == s) & (key == k)]
            if mine.size:
                share = np.bincount(mine, minlength=4) / mine.size
                said = ", ".join(f"word_{w} {share[w]:.0%}" for w in share.nonzero()[0])
                lines.append(f"{said} for secret_{s} and key_{k}")
    told = {"eve_0": "", "alice_0": "said " + "; ".join(lines)}
    for n, agent in ((EVE, "eve_0"), (BOB, "bob_0")):
        right = word[..., n] == secret
        told[agent] = (
            f"right in {right.mean():.0%} of the steps, {right[:, 0].mean():.0%} of the first ones"
        )
    return told


def _judge(ran: Episodes) -> Judgement:
    eve, bob = (np.asarray(ran.measures[name]) for name in ("eve_right", "bob_right"))
    measures = {f"{m.name} ({m.meaning})": np.asarray(ran.measures[m.name]) for m in _MEASURES}
    # An Eve who only guesses is right in half of the episodes, not half right in each.
    return Judgement(bob - max(float(eve.mean()), 0.5), measures)


# ----------------------------------------------------------------------------- in numbers


def _right(agent: int) -> Any:
    def read(state: Any) -> Float[Array, ""]:
        said = state.c[agent]
        right = (said.argmax() == state.goal_colour.argmax()) & (said.sum() > 0)
        return right.astype(jnp.float32)

    return read


_MEASURES = (
    Measure(
        "bob_right",
        _right(BOB),
        "mean",
        "share of steps in which Bob's answer was right; 1 is best for Alice and Bob",
    ),
    Measure(
        "eve_right",
        _right(EVE),
        "mean",
        "share of steps in which Eve's answer was right; 0.5 is guessing, 1 is best for Eve",
    ),
)


def resolve(state: State, program: Program, memory: Any) -> tuple[Target, Any]:
    """What every agent says, from the present state alone."""
    arguments, op = program.arguments, program.op
    secret, key = _secret_and_key(state)
    heard = state.c[ALICE]
    silent, last = heard.sum() == 0, heard.argmax()

    encoded = arguments[:, 2 * key + secret]
    fits = arguments[:, :4].reshape(3, 2, 2)[:, key] == last
    decoded = jnp.where(fits.any(-1) & ~silent, fits.argmax(-1), arguments[:, 4])
    translated = jnp.where(silent, arguments[:, 4], arguments[:, last])

    agents = jnp.arange(3)
    word = jnp.select(
        [
            (op == ENCODE) & (agents == ALICE),
            (op == DECODE) & (agents == BOB),
            (op == TRANSLATE) & (agents != ALICE),
            op == SAY,
        ],
        [encoded, decoded, translated, arguments[:, 0]],
        0,
    )
    return Target(word.astype(jnp.int32)), memory


def _say(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """The agent's word; never finished."""
    return target.word, jnp.array(False)


def _word_heard(state: State, target: Target) -> Bool[Array, "N"]:
    return jnp.broadcast_to(state.c[ALICE].sum() > 0, (3,))


def _draw(axes: Any, state: State, targets: Target | None) -> None:
    """Alice, Bob and Eve in their places, what they said, and what is right."""
    secret, key = (int(value) for value in _secret_and_key(state))
    places = np.array([[0.0, -0.9], [-0.9, 0.3], [0.9, 0.3]])
    drawing.frame(axes)
    axes.text(
        0,
        1.35,
        f"secret_{secret} (say word_{secret}), key_{key}",
        ha="center",
        va="center",
        fontsize=8,
    )
    drawing.agents(
        axes,
        places,
        [0.3] * 3,
        colours=["tab:red", "tab:green", "tab:blue"],
        labels=("Eve", "Alice", "Bob"),
    )
    if targets is not None:
        for place, word in zip(places, np.asarray(targets.word), strict=True):
            drawing.says(axes, (place[0], place[1] + 0.15), WORDS[word])
