"""Networks with convolutions learn, from demonstrations too, where observations are grids."""

import dataclasses

import numpy as np
import tiny_training

from leed_jax.config import NetworkConfig
from leed_jax.optimization import training


def test_a_network_with_convolutions_learns_from_demonstrations():
    env, demos = tiny_training.scenario().env, tiny_training.demos()
    spec = env.spec._replace(observation_shape=(1, env.spec.observation_size, 1))
    network = NetworkConfig(kind="cnn", channels=(2,), hidden_sizes=(8,))
    config = tiny_training.CONFIG.replace(network=network, learning_rate=0.02)
    world, shown = env._replace(spec=spec), dataclasses.replace(demos, spec=spec)
    result = training.train(world, shown, config, method="leed", seeds=(3,))
    assert not result.diverged and np.isfinite(result.final()).all()
    losses = [line["loss"]["expert"] for line in result.history if line["loss"]]
    assert losses[-1] < 0.8 * losses[0]
    # Biases begin as zeros: of every agent's filters some have moved.
    for networks in result.params.values():
        bias = networks["params"]["convolution_0"]["bias"]
        assert bias.shape == (1, 2, 2) and (np.abs(bias).max(-1) > 0).all()
