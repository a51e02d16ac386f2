"""Optimizers: names, value objects, and every update rule against the reference."""

import numpy as np
import pytest

import cbp
from cbp import reference

RULES = {
    "sgd": (cbp.SGD(0.05), lambda: reference.SGD(0.05)),
    "momentum": (cbp.SGD(0.05, momentum=0.9), lambda: reference.SGD(0.05, 0.9)),
    "nesterov": (cbp.SGD(0.05, momentum=0.9, nesterov=True),
                 lambda: reference.SGD(0.05, 0.9, True)),
    "adam": (cbp.Adam(0.02, 0.8, 0.99, 1e-6), lambda: reference.Adam(0.02, 0.8, 0.99, 1e-6)),
}  # fmt: skip
rng = np.random.default_rng(3)
X, T = rng.normal(size=(23, 4)), rng.normal(size=(23, 2))


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-11), ("float32", 2e-4)])
@pytest.mark.parametrize("rule", RULES)
def test_against_the_reference(rule, dtype, tolerance):
    """20 epochs of minibatches, with l2, end at the reference's losses and parameters."""
    ours, theirs = RULES[rule]
    net = cbp.Network([4, 6, 2], "tanh", dtype=dtype, seed=1)
    start = [np.array(W, dtype=float) for W in net.weights]
    biases = [np.array(b, dtype=float) for b in net.biases]
    run = cbp.Trainer(net, optimizer=ours, batch_size=5, shuffle=False, l2=0.01)
    history = run.fit(X, T, 20)
    expected = reference.train(X, T, start, biases, net.activations, "squared_error", theirs(), 20,
                               batch_size=5, l2=0.01)  # fmt: skip
    np.testing.assert_allclose(history["loss"], expected.losses, rtol=tolerance)
    for got, wanted in zip([*net.weights, *net.biases], expected.weights + expected.biases):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name, optimizer", [
    ("sgd", cbp.SGD()), ("momentum", cbp.SGD(momentum=0.9)),
    ("nesterov", cbp.SGD(momentum=0.9, nesterov=True)), ("adam", cbp.Adam())])  # fmt: skip
def test_names(name, optimizer):
    """A name stands for an object with its usual numbers."""
    run = cbp.Trainer(cbp.Network([2, 1]), optimizer=name)
    assert run.optimizer == optimizer
    assert run.learning_rate == optimizer.learning_rate


def test_value_objects():
    """Optimizers compare by value and cannot be changed."""
    assert cbp.SGD(0.1) == cbp.SGD(0.1, 0.0) != cbp.SGD(0.2)
    with pytest.raises(AttributeError):
        cbp.Adam().learning_rate = 1.0


def test_learning_rate_can_be_set():
    """The trainer's learning rate acts from the next update on, not on its optimizer object."""
    nets = [cbp.Network([4, 2], seed=1, dtype="float64") for _ in range(2)]
    slow = cbp.Trainer(nets[0], optimizer=cbp.SGD(0.3), shuffle=False)
    slow.learning_rate = 0.1
    slow.fit(X, T, 2)
    cbp.Trainer(nets[1], optimizer=cbp.SGD(0.1), shuffle=False).fit(X, T, 2)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    assert slow.optimizer.learning_rate == 0.3 and slow.learning_rate == 0.1
