"""A thousand agents, each with networks of its own: trained, and compiled as fast as eight."""

import re

import jax
import numpy as np
import pytest

import leed_jax as leed
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.optimization import methods, minibatches, trainer

CONFIG = TrainConfig(
    total_steps=2 * 8 * 4,
    num_envs=4,
    rollout_steps=8,
    num_epochs=1,
    num_minibatches=2,
    eval_every_steps=64,
    eval_episodes=2,
    network=NetworkConfig(hidden_sizes=(16,)),
    expert=ExpertConfig(batch_size=8),
)


def crowd(num_agents):
    return leed.make("mpe/simple_spread", num_agents=num_agents, nearest=4, world="grow")


def program(num_agents):
    """The training step as XLA is given it."""
    built = trainer.make_trainer(crowd(num_agents).env, CONFIG, methods.METHODS["ippo"])
    state = jax.eval_shape(built.init, jax.random.key(0))
    return jax.jit(built.update).lower(state, minibatches.data(None, CONFIG)).as_text()


def test_the_program_does_not_grow_with_the_agents():
    # Neighbours are searched in stages, of which there are as many for 256 as for 512.
    small, large = (len(re.findall(r"\n", program(count))) for count in (256, 512))
    assert large <= 1.01 * small


@pytest.mark.slow
def test_a_thousand_agents_train():
    scenario = crowd(1024)
    go = leed.Instruction("MoveTo", {"target": "nearest", "keep_distance": 0.3})
    plan = dict.fromkeys(scenario.env.spec.agents, leed.AgentPlan((go,)))
    demos = leed.demonstrate(scenario, plan, num_episodes=4)
    result = leed.train(scenario, demos, CONFIG, method="leed", seeds=1)
    assert result.params["actor"]["params"]["head"]["kernel"].shape[:2] == (1, 1024)
    assert not result.diverged and np.isfinite(result.final()).all()
