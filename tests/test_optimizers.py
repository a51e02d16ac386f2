"""Optimizers: value objects, every update rule and regulariser against the reference, one step
against the formula in higher precision."""

from __future__ import annotations

import re

import numpy as np
import pytest
from rules import N_HIDDEN, N_IN, REGULARISERS, RULES, trained

import cbp

rng = np.random.default_rng(3)
X, T = rng.normal(size=(23, 4)), rng.normal(size=(23, 2))


# In float32 a gradient of the wrong sign for its rounding moves Lion's and Rprop's weights apart.
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 1e-3)])
@pytest.mark.parametrize("regulariser", REGULARISERS)
@pytest.mark.parametrize("rule", RULES)
def test_against_the_reference(rule, regulariser, dtype, tolerance):
    """20 epochs of minibatches end at the reference's losses and parameters."""
    layer = cbp.Dense(N_HIDDEN, **REGULARISERS[regulariser][1])
    net = cbp.Network([N_IN, layer, 2], "tanh", dtype=dtype, seed=1)
    history, expected = trained(net, "squared_error", rule, regulariser, X, T, 20)
    np.testing.assert_allclose(history["loss"], expected.losses, rtol=tolerance)
    for got, wanted in zip([*net.weights, *net.biases], expected.weights + expected.biases):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


# ---- value objects ----------------------------------------------------------------------------


@pytest.mark.parametrize("name, optimizer", [
    ("sgd", cbp.SGD()), ("momentum", cbp.SGD(momentum=0.9)),
    ("nesterov", cbp.SGD(momentum=0.9, nesterov=True)), ("adam", cbp.Adam()),
    ("rmsprop", cbp.RMSprop()), ("adagrad", cbp.Adagrad()), ("adamw", cbp.AdamW()),
    ("nadam", cbp.Nadam()), ("lion", cbp.Lion()), ("rprop", cbp.Rprop())])  # fmt: skip
def test_names(name, optimizer):
    """A name stands for an object with its usual numbers."""
    run = cbp.Trainer(cbp.Network([2, 1]), optimizer=name, batch_size=None)
    assert run.optimizer == optimizer
    assert run.learning_rate == optimizer.learning_rate


def test_value_objects():
    """Optimizers compare by value and cannot be changed."""
    assert cbp.SGD(0.1) == cbp.SGD(0.1, 0.0) != cbp.SGD(0.2)
    assert cbp.AdamW() != cbp.Adam()
    assert cbp.Rprop(etas=[0.5, 1.2]) == cbp.Rprop()
    with pytest.raises(AttributeError):
        cbp.Adam().learning_rate = 1.0


@pytest.mark.parametrize("call, error, sentence", [
    (lambda: cbp.SGD(weight_decay=-1), ValueError,
     "`weight_decay` must be a finite number at least 0, got -1."),
    (lambda: cbp.AdamW(weight_decay="x"), TypeError, "`weight_decay` must be a number, got 'x'."),
    (lambda: cbp.RMSprop(alpha=1), ValueError,
     "`alpha` must be a finite number at least 0 and below 1, got 1."),
    (lambda: cbp.Adagrad(epsilon=0), ValueError,
     "`epsilon` must be a finite number above 0, got 0."),
    (lambda: cbp.Nadam(momentum_decay=-0.1), ValueError,
     "`momentum_decay` must be a finite number at least 0, got -0.1."),
    (lambda: cbp.Lion(beta_2=1.0), ValueError,
     "`beta_2` must be a finite number at least 0 and below 1, got 1.0."),
    (lambda: cbp.Rprop(etas=0.5), TypeError, "`etas` must be two numbers, got 0.5."),
    (lambda: cbp.Rprop(etas=(1.2, 0.5)), ValueError,
     "`etas[0]` must be a finite number above 0 and below 1, got 1.2."),
    (lambda: cbp.Rprop(step_sizes=(1.0, 0.5)), ValueError,
     "`step_sizes[1]` must be a finite number at least 1, got 0.5."),
    (lambda: cbp.Trainer(cbp.Network([2, 1]), optimizer="rprop", batch_size=16), ValueError,
     "`batch_size` must be None with Rprop, which compares the gradients of all rows, got 16."),
])  # fmt: skip
def test_bad_numbers(call, error, sentence):
    """A number out of its kind or range is named, with what it must be and what it was."""
    with pytest.raises(error, match="^" + re.escape(sentence) + "$"):
        call()


def test_learning_rate_can_be_set():
    """The trainer's learning rate acts from the next update on, not on its optimizer object."""
    nets = [cbp.Network([4, 2], seed=1, dtype="float64") for _ in range(2)]
    slow = cbp.Trainer(nets[0], optimizer=cbp.SGD(0.3), shuffle=False)
    slow.learning_rate = 0.1
    slow.fit(X, T, 2)
    cbp.Trainer(nets[1], optimizer=cbp.SGD(0.1), shuffle=False).fit(X, T, 2)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    assert slow.optimizer.learning_rate == 0.3 and slow.learning_rate == 0.1


def test_adamw_without_decay_is_adam():
    """weight_decay=0 leaves Adam's bits alone."""
    nets = [cbp.Network([4, 5, 2], seed=1) for _ in range(2)]
    for net, optimizer in zip(nets, (cbp.Adam(0.01), cbp.AdamW(0.01, weight_decay=0.0))):
        cbp.Trainer(net, optimizer=optimizer, seed=1).fit(X, T, 3)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
