"""Initial weights: their distribution, and that they depend on the seed alone."""

import math

import numpy as np
import pytest

import cbp
from cbp import _runtime
from cbp.initializers import INITIALIZERS, Normal, Uniform

INPUTS, OUTPUTS = 300, 200
STD = {
    "glorot_uniform": math.sqrt(2 / (INPUTS + OUTPUTS)),
    "glorot_normal": math.sqrt(2 / (INPUTS + OUTPUTS)),
    "he_uniform": math.sqrt(2 / INPUTS),
    "he_normal": math.sqrt(2 / INPUTS),
    "lecun_uniform": math.sqrt(1 / INPUTS),
    "lecun_normal": math.sqrt(1 / INPUTS),
    "uniform": 0.05 / math.sqrt(3),
    "normal": 0.05,
    "zeros": 0.0,
}


def weights(init="auto", **options):
    return cbp.Network([INPUTS, OUTPUTS], init=init, dtype="float64", **{"seed": 3, **options}).weights[0]


def test_every_rule_is_tested():
    """The table above names each rule."""
    assert set(STD) == set(INITIALIZERS)


@pytest.mark.parametrize("init", STD)
def test_distribution(init):
    """Mean, standard deviation, bounds and excess of 60,000 weights are those of the rule."""
    W, std = weights(init), STD[init]
    n = W.size
    assert abs(W.mean()) <= 5 * std / math.sqrt(n)
    assert W.std() == pytest.approx(std, rel=5 / math.sqrt(2 * n))
    if init.endswith("uniform"):
        assert 0.999 * std * math.sqrt(3) < np.abs(W).max() <= std * math.sqrt(3)
    elif init.endswith("normal"):
        assert np.abs(W).max() > 3.5 * std
        assert (W**4).mean() / std**4 == pytest.approx(3.0, abs=0.2)


@pytest.mark.parametrize("init, std", [(Normal(2.0), 2.0), (Uniform(3.0), 3 / math.sqrt(3))])
def test_objects(init, std):
    """A distribution can be given with its number."""
    assert weights(init).std() == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize("activation, rule", [
    ("relu", "he_normal"), ("tanh", "glorot_uniform"), ("sigmoid", "glorot_uniform"),
    ("identity", "glorot_uniform"), ("softmax", "glorot_uniform"), ("leaky_relu", "he_normal"),
    ("elu", "he_normal"), ("gelu", "he_normal"), ("silu", "he_normal"), ("mish", "he_normal"),
    ("selu", "lecun_normal"), ("softplus", "glorot_uniform"), ("sin", "glorot_uniform")])  # fmt: skip
def test_auto_goes_by_the_activation(activation, rule):
    """He for relu and its like, LeCun for selu, Glorot for everything else."""
    auto = weights(output_activation=activation)
    np.testing.assert_array_equal(auto, weights(rule))


def test_biases_start_at_zero():
    """Whatever the rule for weights."""
    assert not cbp.Network([3, 4, 2], init="normal").biases[1].any()


def test_numbers_come_from_the_runtimes_stream():
    """Stream 1 of the seed, sub-stream the layer, scaled in double and rounded once."""
    net = cbp.Network([5, 4, 3], init=Normal(0.3), seed=2**64 - 1, dtype="float32")
    for layer, W in enumerate(net.weights):
        z = np.empty(W.size)
        _runtime.normal(z, 2**64 - 1, 1, layer)
        np.testing.assert_array_equal(W, (0.3 * z).astype(np.float32).reshape(W.shape))
    u = np.empty(20)
    _runtime.uniform(u, 7, 1, 0)
    W = cbp.Network([5, 4], init=Uniform(0.7), seed=7, dtype="float64").weights[0]
    np.testing.assert_array_equal(W, ((2.0 * u - 1.0) * 0.7).reshape(5, 4))


def test_seed_decides():
    """The same seed gives the same weights, another one others, layers differ."""
    one, same, other = (cbp.Network([4, 4, 4], "tanh", seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.parameters, same.parameters)
    assert (one.weights[0] != other.weights[0]).all()
    assert (one.weights[0] != one.weights[1]).all()


def test_no_seed_is_drawn_and_readable():
    """Without a seed no two networks are alike, and the drawn seed repeats one."""
    one, other = cbp.Network([4, 4]), cbp.Network([4, 4])
    assert one.seed != other.seed
    again = cbp.Network([4, 4], seed=one.seed)
    np.testing.assert_array_equal(one.parameters, again.parameters)


def test_numpys_generators_are_left_alone():
    """Nobody's global random state moves."""
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    net = cbp.Network([4, 4])
    cbp.Trainer(net).fit(np.zeros((9, 4)), np.zeros((9, 4)), 2)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_float32_is_float64_rounded():
    """Both types start from the same numbers."""
    wide, narrow = (cbp.Network([9, 8], seed=1, dtype=t).weights[0] for t in ("f8", "f4"))
    np.testing.assert_array_equal(wide.astype(np.float32), narrow)
