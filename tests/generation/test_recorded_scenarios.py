"""The recorded answers for JaxMARL's environments fit today's prompts and keep their promise."""

import jax
import pytest

from leed_jax import answers, scenarios
from leed_jax.generation import generate_demonstrations, prompts, records, replay, transcripts
from leed_jax.generation.config import GenerationConfig
from leed_jax.generation.generate import _start_keys, _states

# Score over 512 random starts that the documentation promises.
PROMISED = {
    "coin_game/3x3": ("own_coin_share", 0.85),
    "hanabi/full": ("score", 12.0),
    "jaxnav/grid_rand_poly": ("goals_reached", 0.8),
    "mpe/simple_speaker_listener": ("goal_reached", 0.95),
    "mpe/simple_tag": ("catches", 2.0),
    "overcooked_v2/coord_ring": ("deliveries", 2.0),
    "overcooked_v2/counter_circuit": ("deliveries", 2.0),
    "overcooked_v2/cramped_room": ("deliveries", 7.0),
    "overcooked_v2/forced_coord": ("deliveries", 2.0),
    "smax/2s3z": ("won", 0.80),
    "smax/3m": ("won", 0.65),
    "smax/3s5z": ("won", 0.80),
    "smax/5m_vs_6m": ("won", 0.5),
    "smax/6h_vs_8z": ("won", 0.5),
}
QUICK = {"coin_game/3x3", "mpe/simple_speaker_listener"}


def conversation(name: str) -> records.Transcript:
    scenario = scenarios.make(name)
    (found,) = transcripts.recorded(records.specification(scenario, "relational", "learnable"))
    return found


@pytest.mark.parametrize("name", PROMISED)
def test_the_question_reads_as_it_was_answered_and_every_valid_answer_still_is(name):
    scenario, found = scenarios.make(name), conversation(name)
    keys = _start_keys(scenario, GenerationConfig(), "relational")
    asked = prompts.request(
        scenario, kind="relational", goal="learnable", starts=_states(scenario, keys)
    )
    first = "\n\n".join(message.content for message in found.rounds[0].prompt)
    assert replay.first_difference(first, asked.text) is None
    assert len(found.rounds) >= 2  # an answer, and feedback on it
    for number, recorded in enumerate(found.rounds, 1):
        assert recorded.round == number and recorded.source == "chat"
        assert recorded.model and recorded.date.startswith("20")
        if recorded.outcome.valid:
            answers.parse(recorded.answer, scenario.vocabulary)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in PROMISED],
)
def test_demonstrations_are_as_good_as_promised(name):
    metric, least = PROMISED[name]
    count = 64 if name in QUICK else 512
    demos = generate_demonstrations(scenarios.make(name), num_episodes=count)
    assert demos.measures[metric] >= least
    assert jax.tree.leaves(demos.arrays)[0].shape[0] == count
