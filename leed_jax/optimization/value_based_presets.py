"""Settings of VDN and QMIX for families of tasks, as JaxMARL publishes them.

From ``baselines/QLearning/config/alg`` of JaxMARL (Rutherford et al. 2023, 2311.10090), files
``ql_rnn_mpe``, ``ql_rnn_smax``, ``ql_cnn_overcooked``. Where one of their numbers counts rollouts
or gradient steps of a size, it is given here in steps.
"""

from typing import Any

from leed_jax.config import NetworkConfig, TrainConfig, ValueBasedConfig

PRESETS: dict[str, dict[str, Any]] = {
    "mpe": {
        # One step behind an episode of 25: the row of its last observation.
        "num_envs": 8,
        "rollout_steps": 26,
        "learning_rate": 5e-3,
        "anneal_learning_rate": True,
        "gamma": 0.9,
        "max_grad_norm": 25.0,
        "network": NetworkConfig(kind="gru", hidden_sizes=(64,), activation="relu"),
        "value_based": ValueBasedConfig(),
    },
    "smax": {
        "num_envs": 16,
        "rollout_steps": 128,
        "learning_rate": 5e-5,
        "anneal_learning_rate": False,
        "gamma": 0.99,
        "max_grad_norm": 10.0,
        "network": NetworkConfig(kind="gru", hidden_sizes=(512,), activation="relu"),
        "value_based": ValueBasedConfig(
            replay_steps=5000 * 128,
            steps_per_gradient=16 * 128 // 8,
            # Ten updates of eight gradient steps.
            target_interval=80,
            team_reward="mean",
            reward_scale=10.0,
            mixer_width=64,
            hypernetwork_width=256,
        ),
    },
    "overcooked": {
        # Their rollout is a single step of 32 environments, with four gradient steps behind it.
        "num_envs": 32,
        "rollout_steps": 16,
        "learning_rate": 7e-5,
        "anneal_learning_rate": True,
        "gamma": 0.99,
        "max_grad_norm": 1.0,
        "network": NetworkConfig(kind="cnn", hidden_sizes=(64, 64), activation="relu"),
        "value_based": ValueBasedConfig(
            replay_steps=100_000,
            batch_size=128,
            steps_per_gradient=8,
            learning_starts=1000,
            target_interval=40,
            double_q=False,
            team_reward="mean",
        ),
    },
}
"""By family; fields of a `TrainConfig`."""


def preset(family: str, **changes: Any) -> TrainConfig:
    """The published settings for a family of tasks.

    Args:
      family: a key of `PRESETS`.
      changes: further fields of the `TrainConfig`, such as ``total_steps``.

    Raises:
      ValueError: no such family.
    """
    if family not in PRESETS:
        raise ValueError(f"family must be one of {', '.join(PRESETS)}, got {family!r}")
    # Minibatches are of PPO; their number must divide the environments all the same.
    return TrainConfig(**{"num_minibatches": 1, **PRESETS[family], **changes})
