"""The settings of JaxMARL's value-based scripts as ours, and what they log as a curve."""

import numpy as np
import pytest

from experiments import against_jaxmarl_values as against
from leed_jax.config import TrainConfig
from leed_jax.optimization import value_based_presets

THEIRS = {
    "TOTAL_TIMESTEPS": 100 * 208,
    "NUM_ENVS": 8,
    "NUM_STEPS": 26,
    "BUFFER_SIZE": 5000,
    "BUFFER_BATCH_SIZE": 32,
    "HIDDEN_SIZE": 64,
    "MIXER_EMBEDDING_DIM": 32,
    "MIXER_HYPERNET_HIDDEN_DIM": 128,
    "MIXER_INIT_SCALE": 0.001,
    "EPS_START": 1.0,
    "EPS_FINISH": 0.05,
    "EPS_DECAY": 0.1,
    "MAX_GRAD_NORM": 25,
    "TARGET_UPDATE_INTERVAL": 200,
    "TAU": 1.0,
    "NUM_EPOCHS": 1,
    "LR": 0.005,
    "LEARNING_STARTS": 10000,
    "LR_LINEAR_DECAY": True,
    "GAMMA": 0.9,
    "TEST_NUM_ENVS": 512,
}
"""Published for recurrent agents on MPE."""


def test_the_published_settings_are_the_preset() -> None:
    expected = value_based_presets.preset("mpe", total_steps=100 * 208, eval_every_steps=5 * 208)
    found = against.ours(THEIRS)
    assert found.value_based.batch_size == 32  # the default for sequences, spelled out
    spelled = {**vars(expected.value_based), "batch_size": 32}
    assert vars(found.value_based) == spelled
    same = {"value_based": expected.value_based, "eval_episodes": expected.eval_episodes}
    assert found.replace(**same) == expected
    assert found.num_updates == 100 and found.updates_per_eval == 5


@pytest.mark.parametrize("family", value_based_presets.PRESETS)
def test_presets_are_settings(family: str) -> None:
    config = value_based_presets.preset(family, total_steps=1_000_000)
    assert isinstance(config, TrainConfig) and config.total_steps == 1_000_000
    gradient_steps = config.steps_per_update // config.value_based.steps_per_gradient
    assert gradient_steps == {"mpe": 1, "smax": 8, "overcooked": 64}[family]


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match="family must be one of mpe, smax, overcooked"):
        value_based_presets.preset("chess")


def test_greedy_returns_are_put_in_order_and_none_may_be_missing() -> None:
    lines = [
        {"update_steps": np.array(n), "test_returned_episode_returns": np.array(-1.0 * n)}
        for n in range(40, 0, -1)
    ]
    np.testing.assert_array_equal(against.greedy(lines, 40), -2.0 * np.arange(1, 21))
    with pytest.raises(ValueError, match=r"nothing of updates \[40\]"):
        against.greedy(lines[1:], 40)
