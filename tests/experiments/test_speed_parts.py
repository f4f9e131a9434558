"""The parts of a training step as programs: the work they do is the trainer's own."""

import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest
import tiny_training

from experiments import speed_parts, speed_timing
from leed_jax.optimization import methods, minibatches, trainer

CONFIG = tiny_training.CONFIG.replace(kl_coefficient=0.0)  # else the rollout is followed by a pass
STEPS = CONFIG.steps_per_update
AGENTS, OBSERVATION, WIDTH, ACTIONS = 2, 1, 8, 3


@pytest.fixture(scope="module")
def programs():
    env = tiny_training.scenario().env
    return speed_parts.of_method(env, CONFIG, "ippo", None, ("rollout", "update", "step"))


def forward(outputs):
    """Operations of a network's products for one row."""
    return 2 * (OBSERVATION * WIDTH + WIDTH * outputs)


def test_the_update_does_all_gradient_steps(programs):
    rows = STEPS * AGENTS * CONFIG.num_epochs
    # Forwards, and backwards as much for the weights and as much for the inputs of the heads.
    row = sum(2 * forward(outputs) + 2 * WIDTH * outputs for outputs in (ACTIONS, 1))
    assert programs["update"].matmul_gflop * 1e9 == pytest.approx(rows * row)


def test_the_step_is_the_rollout_and_the_update(programs):
    parts = programs["rollout"].matmul_gflop + programs["update"].matmul_gflop
    assert programs["step"].matmul_gflop == pytest.approx(parts)
    # The actor in every step; the critic also sees what follows the last one.
    acting, valuing = STEPS * forward(ACTIONS), (STEPS + CONFIG.num_envs) * forward(1)
    found = programs["rollout"].matmul_gflop * 1e9
    assert found == pytest.approx(AGENTS * (acting + valuing))


def test_a_call_goes_on_from_the_last_one(programs):
    update = programs["update"]
    before = jax.tree.map(np.asarray, update.state.params)
    done = int(update.state.update)
    update.time(2)
    assert int(update.state.update) == done + 2
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, update.state.params)
    assert all(jax.tree.leaves(moved))


def test_rollout_and_update_are_the_trainers_step_in_two():
    env = tiny_training.scenario().env
    method = methods.resolve("ippo", CONFIG)
    built, data = trainer.make_trainer(env, CONFIG, method), minibatches.data(None, CONFIG)

    def both(key):
        state = built.init(key)
        whole, _ = built.update(state, data)
        collected, material, _ = built.collect(state)
        part, _ = built.learn(collected, data, material)
        return state.params, whole.params, part.params

    before, whole, part = jax.jit(both)(jax.random.key(4))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, whole, part)))
    assert not any(jax.tree.leaves(jax.tree.map(np.array_equal, before, part)))


def test_the_environment_alone_plays_episodes_and_multiplies_nothing():
    program = speed_parts.environment(tiny_training.scenario().env, CONFIG)
    assert program.matmul_gflop == 0 and program.env_steps == STEPS
    # An episode is 8 steps and the row that it ends with. After the 8 rows of the first call it has
    # ended, in 9 calls more there are 72 rows: 8 episodes.
    finished = sum(int(np.sum(program.call().count)) for _ in range(9))
    assert finished == 8 * CONFIG.num_envs


def test_random_actions_take_all_legal_ones_alike():
    actor = speed_parts.networks.make_actor(CONFIG.network, line_world.array_env().spec)
    indifferent = speed_parts._indifferent(actor)
    start = jnp.zeros((1, 1), bool)
    outputs, _ = indifferent.apply((), actor.carry(1), jnp.ones((1, 1, AGENTS, 1)), start)
    mask = jnp.array([[True, False, True], [True, True, True]])
    policy = indifferent.distribution(outputs[0, 0], mask)
    np.testing.assert_allclose(jnp.exp(policy.log_prob(jnp.array([2, 1]))), [1 / 2, 1 / 3], 1e-6)


def test_a_method_without_rollouts_has_no_parts():
    env, demos = tiny_training.scenario().env, tiny_training.demos()
    assert speed_parts.of_method(env, CONFIG, "bc", demos, ("rollout", "update")) == {}


def test_gradient_steps_and_rows():
    # 32 rows in two minibatches, of two agents; with whole sequences as many.
    env = tiny_training.scenario().env
    assert speed_parts.gradient_rows(CONFIG, env) == (2, 32)
    recurrent = speed_parts.variant("ippo:network.kind=gru").config(CONFIG)
    assert speed_parts.gradient_rows(recurrent, env) == (2, 32)


def test_programs_are_compared_round_by_round(programs):
    step, update = programs["step"], programs["update"]
    step.seconds[:], update.seconds[:] = [4.0, 2.0, 6.0], [2.0, 2.0, 1.0]
    found = speed_timing.measured(update, step)
    # Ratios 2, 1 and 6; the best times are 2 and 1 seconds.
    assert (found["speed_ratio"], found["speed_ratio_of_best"]) == (2.0, 2.0)
    assert found["speed_ratio_quartiles"] == [1.5, 4.0]
    assert found["env_steps_per_second"] == STEPS / 2.0
    assert found["matmul_gflop_per_second"] == update.matmul_gflop / 2.0
    assert found["kernels"] > 0 and found["program_memory_mb"] > 0


def test_every_other_round_is_in_the_opposite_order():
    order = []

    class Noted:
        def __init__(self, name):
            self.name = name

        def time(self, calls):
            order.append((self.name, calls))

    speed_timing.alternate([Noted("a"), Noted("b")], rounds=3, calls=2)  # pyright: ignore[reportArgumentType]
    assert [name for name, _ in order] == ["a", "b", "b", "a", "a", "b"]
    assert {calls for _, calls in order} == {2}


def test_settings_behind_a_colon():
    found = speed_parts.variant("ippo:num_minibatches=4,network.activation=relu")
    config = found.config(CONFIG)
    assert (found.method, config.num_minibatches, config.network.activation) == ("ippo", 4, "relu")
    assert config.network.hidden_sizes == CONFIG.network.hidden_sizes
    assert speed_parts.split("a/b:x=True,y=0.5,z=k") == ("a/b", {"x": True, "y": 0.5, "z": "k"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ippo:nonsense=1", "no field 'nonsense'; there are total_steps"),
        ("ippo:network.nonsense=1", "no field 'nonsense'; there are kind"),
        ("ippo:num_minibatches=5", "num_minibatches must be a divisor"),
        ("ippo:fast", "key=value"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        speed_parts.variant(text).config(CONFIG)
