"""Every term of the loss, by hand, and what padding may not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax.config import ExpertConfig, TrainConfig
from leed_jax.optimization import losses, methods
from leed_jax.optimization.distributions import Categorical, categorical
from leed_jax.optimization.losses import Batch, ExpertRows, Predictions

CONFIG = TrainConfig(normalize_advantages=False, clip_epsilon=0.2)


def batch(**changes):
    rows = {
        "action": [0, 1],
        "log_prob": np.log([0.5, 0.5]),
        "value": [1.0, 1.0],
        "advantage": [1.0, -1.0],
        "target": [2.0, 0.0],
        "valid": [True, True],
        "decision": [True, True],
        "label": [1, 1],
        "label_weight": [1.0, 0.0],
    }
    rows |= changes
    kinds = {"action": int, "label": int, "valid": bool, "decision": bool}
    return Batch(
        **{k: jnp.asarray(np.asarray(v, kinds.get(k, np.float32))) for k, v in rows.items()}
    )


def predictions(probabilities, value=(1.0, 1.0), expert=((0.5, 0.5),), before=((0.5, 0.5),) * 2):
    return Predictions(
        Categorical(jnp.log(jnp.asarray(probabilities, jnp.float32))),
        jnp.asarray(value, jnp.float32),
        Categorical(jnp.log(jnp.asarray(expert, jnp.float32))),
        Categorical(jnp.log(jnp.asarray(before, jnp.float32))),
    )


def test_policy_loss_clips_what_would_go_too_far():
    # Row 0: ratio 0.8 / 0.5 = 1.6, advantage 1: min(1.6, 1.2) = 1.2.
    # Row 1: ratio 0.3 / 0.5 = 0.6, advantage -1: min(-0.6, -0.8) = -0.8. Mean 0.2, negated.
    now = predictions([[0.8, 0.2], [0.7, 0.3]])
    np.testing.assert_allclose(losses.policy_loss(now, batch(), None, CONFIG), -0.2, rtol=1e-6)


def test_policy_loss_leaves_out_rows_without_a_decision():
    now = predictions([[0.8, 0.2], [0.7, 0.3]])
    rows = batch(decision=[True, False])
    np.testing.assert_allclose(losses.policy_loss(now, rows, None, CONFIG), -1.2, rtol=1e-6)


def test_divergence_is_that_of_the_whole_distribution_from_the_policy_before():
    # Row 0: 0.5 log(0.5 / 0.8) + 0.5 log(0.5 / 0.2). Row 1 is no decision.
    now = predictions([[0.8, 0.2], [0.7, 0.3]])
    rows = batch(decision=[True, False])
    expected = 0.5 * np.log(0.5 / 0.8) + 0.5 * np.log(0.5 / 0.2)
    np.testing.assert_allclose(losses.divergence(now, rows, None, CONFIG), expected, rtol=1e-6)
    # An action that is hardly ever drawn: clipped ratios do not see where its probability went.
    sure = predictions([[0.8, 0.2]] * 2, before=[[0.99, 0.01]] * 2)
    expected = 0.99 * np.log(0.99 / 0.8) + 0.01 * np.log(0.01 / 0.2)
    np.testing.assert_allclose(losses.divergence(sure, batch(), None, CONFIG), expected, rtol=1e-6)


def test_value_loss_takes_the_larger_of_clipped_and_unclipped_error():
    # Row 0: new value 1.5, old 1, target 2: errors 0.25 and (1.2 - 2)^2 = 0.64 -> 0.64.
    # Row 1: new value 1.1, target 0: 1.21 and 1.21. Half the mean: 0.4625.
    now = predictions([[0.5, 0.5]] * 2, value=[1.5, 1.1])
    np.testing.assert_allclose(losses.value_loss(now, batch(), None, CONFIG), 0.4625, rtol=1e-6)


def test_entropy_is_in_nats_over_decisions():
    now = predictions([[0.5, 0.5], [1.0, 1e-9]])
    one = losses.entropy(now, batch(decision=[True, False]), None, CONFIG)
    np.testing.assert_allclose(one, np.log(2), rtol=1e-6)


def test_smoothing_gives_every_legal_action_a_share_of_the_experts_probability():
    # The third action is illegal. 0.8 log 0.9 + 0.2 (log 0.9 + log 0.1) / 2, negated.
    config = TrainConfig(expert=ExpertConfig(smoothing=0.2))
    policy = categorical(jnp.log(jnp.array([[0.9, 0.1, 5.0]])), jnp.array([[True, True, False]]))
    now = predictions([[0.5, 0.5]])._replace(expert_policy=policy)
    expert = ExpertRows(jnp.array([0]), jnp.array([2.0]))
    found = losses.expert_loss(now, batch(), expert, config)
    wanted = -0.8 * np.log(0.9) - 0.1 * (np.log(0.9) + np.log(0.1))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_smoothed_imitation_ends_at_the_share_and_not_at_certainty():
    # Three actions, share 0.3: the likelihood is highest at 0.7 + 0.1, 0.1, 0.1.
    config = TrainConfig(expert=ExpertConfig(smoothing=0.3))
    expert = ExpertRows(jnp.array([1]), jnp.ones(1))

    def loss(logits):
        policy = categorical(logits, jnp.ones((1, 3), bool))
        now = predictions([[0.5, 0.5]])._replace(expert_policy=policy)
        return losses.expert_loss(now, batch(), expert, config)

    gradient = jax.grad(loss)(jnp.log(jnp.array([[0.1, 0.8, 0.1]])))
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_expert_loss_is_the_weighted_mean_of_negative_log_likelihoods():
    # -(2 log 0.25 + 1 log 0.5 + 0 log ...) / 3 = (2 * 2 log 2 + log 2) / 3 = 5/3 log 2
    now = predictions([[0.5, 0.5]] * 2, expert=[[0.25, 0.75], [0.5, 0.5], [1e-9, 1.0]])
    rows = ExpertRows(jnp.array([0, 1, 0]), jnp.array([2.0, 1.0, 0.0]))
    np.testing.assert_allclose(
        losses.expert_loss(now, None, rows, CONFIG), 5 / 3 * np.log(2), rtol=1e-6
    )


def test_expert_loss_over_visited_states_uses_their_labels():
    # Only row 0 has a label of weight 1: action 1, probability 0.2.
    now = predictions([[0.8, 0.2], [0.7, 0.3]])
    visited = CONFIG.replace(expert=ExpertConfig(labels="visited"))
    both = CONFIG.replace(expert=ExpertConfig(labels="both"))
    rows = ExpertRows(jnp.array([0]), jnp.array([1.0]))
    np.testing.assert_allclose(
        losses.expert_loss(now, batch(), None, visited), -np.log(0.2), rtol=1e-6
    )
    np.testing.assert_allclose(
        losses.expert_loss(now, batch(), rows, both), (-np.log(0.2) - np.log(0.5)) / 2, rtol=1e-6
    )


def test_normalised_advantages_have_mean_zero_and_deviation_one_over_decisions():
    mask = jnp.array([True, True, False])
    result = losses.normalise(jnp.array([1.0, 3.0, 100.0]), mask)
    np.testing.assert_allclose(result[:2], [-1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize("name", ["policy", "value", "entropy", "divergence", "expert"])
def test_padding_changes_neither_loss_nor_gradient(name):
    term = {t.name: t for t in methods.METHODS["leed"].terms}[name]
    config = TrainConfig()  # with normalised advantages: they must not see padding either

    def loss(logits, value, rows, expert, expert_logits):
        policies = [Categorical(jax.nn.log_softmax(x)) for x in (logits, expert_logits)]
        earlier = Categorical(jnp.tile(jnp.log(jnp.array([0.4, 0.6])), (len(logits), 1)))
        now = Predictions(policies[0], value, policies[1], earlier)
        return term.loss(now, rows, expert, config)

    logits, expert_logits = jnp.array([[0.3, -1.0], [2.0, 0.1]]), jnp.array([[0.5, 0.2]])
    value = jnp.array([0.3, 0.4])
    expert = ExpertRows(jnp.array([1]), jnp.array([1.0]))
    short = jax.value_and_grad(loss)(logits, value, batch(), expert, expert_logits)

    def pad(leaf, filling):
        width = ((0, 3),) + ((0, 0),) * (leaf.ndim - 1)
        return jnp.pad(leaf, width, constant_values=filling)

    masks = ("valid", "decision", "label_weight")
    rows = Batch(*(pad(leaf, 0 if f in masks else 1) for f, leaf in batch()._asdict().items()))
    expert = ExpertRows(pad(expert.action, 1), pad(expert.weight, 0))
    long = jax.value_and_grad(loss)(
        pad(logits, 5), pad(value, 5), rows, expert, pad(expert_logits, 5)
    )
    np.testing.assert_allclose(long[0], short[0], rtol=1e-6)
    np.testing.assert_allclose(long[1][:2], short[1], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(long[1][2:], 0)


def test_terms_are_zero_and_finite_where_nothing_is_valid():
    nothing = batch(valid=[False] * 2, decision=[False] * 2, label_weight=[0, 0])
    rows = ExpertRows(jnp.array([0]), jnp.array([0.0]))
    now = predictions([[0.8, 0.2], [0.7, 0.3]])
    for term in methods.METHODS["leed"].terms:
        assert float(term.loss(now, nothing, rows, CONFIG)) == 0.0


def test_lambda_zero_removes_the_term():
    config = TrainConfig(expert=ExpertConfig(weight=0.0))
    assert methods.resolve("leed", config).terms == methods.resolve("ippo", config).terms
    rising = TrainConfig(expert=ExpertConfig(weight=0.0, final_weight=1.0))
    assert losses.EXPERT in methods.resolve("leed", rising).terms


def test_divergence_of_weight_zero_is_no_term():
    for name in ("leed", "ippo", "mappo"):
        free = methods.resolve(name, CONFIG.replace(kl_coefficient=0.0))
        assert losses.DIVERGENCE not in free.terms
        held = methods.resolve(name, CONFIG.replace(kl_coefficient=2.0))
        assert losses.DIVERGENCE in held.terms
    weight = losses.DIVERGENCE.coefficient(CONFIG.replace(kl_coefficient=2.0), jnp.zeros(()))
    assert weight == 2.0
    with pytest.raises(ValueError, match="kl_coefficient must be at least 0, got -1"):
        CONFIG.replace(kl_coefficient=-1.0)


def test_unknown_methods_and_labels_without_use_are_refused():
    with pytest.raises(ValueError, match=r"method must be one of leed, ippo, .*, got 'qmx'"):
        methods.resolve("qmx", CONFIG)
    with pytest.raises(ValueError, match=r"expert\.labels must be 'demonstrations'"):
        methods.resolve("bc", TrainConfig(expert=ExpertConfig(labels="visited")))


def test_dapg_weighs_demonstrations_by_the_largest_advantage_of_a_decision():
    # Largest advantage of a decision 3, not the 9 of a row without one; the demonstrations' loss is
    # -(log 0.25 + log 0.5) / 2 = 3/2 log 2.
    now = predictions([[0.5, 0.5]] * 3, expert=[[0.25, 0.75], [0.5, 0.5]])
    rows = ExpertRows(jnp.array([0, 1]), jnp.array([1.0, 1.0]))
    best = batch(advantage=[-1.0, 3.0, 9.0], decision=[True, True, False])
    found = losses.dapg_loss(now, best, rows, CONFIG)
    np.testing.assert_allclose(found, 3 * 1.5 * np.log(2), rtol=1e-6)
    # Normalised as in the policy loss: -1 and 1, mean 0 and deviation 1.
    scaled = losses.dapg_loss(now, best, rows, TrainConfig())
    np.testing.assert_allclose(scaled, 1.5 * np.log(2), rtol=1e-5)
    worst = batch(advantage=[-1.0, -3.0, 9.0], decision=[True, True, False])
    assert float(losses.dapg_loss(now, worst, rows, CONFIG)) == 0.0


def test_dapgs_weight_decays_by_updates_whatever_the_settings_say():
    method = methods.dapg(weight=0.2, decay=0.5)
    config = TrainConfig(expert=ExpertConfig(weight=7.0, schedule="constant", labels="both"))
    assert method.weight is not None
    weights = [float(method.weight(config, jnp.array(k))) for k in range(3)]
    np.testing.assert_allclose(weights, [0.2, 0.1, 0.05], rtol=1e-6)
    assert (
        methods.settings(methods.resolve(method, config), config).expert.labels == "demonstrations"
    )


def test_kickstarting_is_leed_on_visited_states_and_without_its_weight_ippo():
    config = TrainConfig(expert=ExpertConfig(labels="demonstrations"))
    method = methods.resolve("kickstarting", config)
    assert method.terms == methods.resolve("leed", config).terms
    own = methods.settings(method, config)
    now = predictions([[0.8, 0.2], [0.7, 0.3]])
    # Only row 0 has a label of weight 1: action 1, probability 0.2. Of a deterministic expert the
    # cross-entropy of its policy and the learner's is that.
    found = losses.expert_loss(now, batch(), None, own)
    np.testing.assert_allclose(found, -np.log(0.2), rtol=1e-6)
    assert methods.settings(methods.METHODS["leed"], config) == config
    nothing = TrainConfig(expert=ExpertConfig(weight=0.0))
    assert methods.resolve("kickstarting", nothing).terms == methods.resolve("ippo", nothing).terms


def test_the_usual_learning_rate_is_larger_where_an_expert_is_learnt_from():
    usual = {
        name: methods.learning_rate(methods.resolve(name, TrainConfig()), TrainConfig())
        for name in methods.METHODS
    }
    imitators = ("leed", "bc", "dagger", "kickstarting", "dapg")
    assert {name for name, rate in usual.items() if rate == 0.01} == set(imitators)
    assert {usual[name] for name in usual.keys() - set(imitators)} == {0.003}
    # LEED without its expert is IPPO, and a rate that is named is every method's.
    alone = TrainConfig(expert=ExpertConfig(weight=0.0))
    assert methods.learning_rate(methods.resolve("leed", alone), alone) == 0.003
    named = TrainConfig(learning_rate=0.5)
    assert methods.learning_rate(methods.METHODS["leed"], named) == 0.5
