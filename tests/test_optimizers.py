"""Optimizers: value objects, every update rule and regulariser against the reference, one step
against the formula in higher precision."""

from __future__ import annotations

import re

import numpy as np
import pytest
from oracle import dropout_factors

import cbp
from cbp import reference

# Name: (ours, the reference's); "-momentum" and the like are the same classes with other numbers.
RULES = {
    "sgd": (cbp.SGD(0.05), lambda: reference.SGD(0.05)),
    "sgd-decay": (cbp.SGD(0.05, 0.9, weight_decay=0.1),
                  lambda: reference.SGD(0.05, 0.9, weight_decay=0.1)),
    "momentum": (cbp.SGD(0.05, momentum=0.9), lambda: reference.SGD(0.05, 0.9)),
    "nesterov": (cbp.SGD(0.05, momentum=0.9, nesterov=True),
                 lambda: reference.SGD(0.05, 0.9, True)),
    "rmsprop": (cbp.RMSprop(0.01, 0.9, 1e-6), lambda: reference.RMSprop(0.01, 0.9, 1e-6)),
    "rmsprop-momentum": (cbp.RMSprop(0.003, 0.9, 1e-6, 0.8),
                         lambda: reference.RMSprop(0.003, 0.9, 1e-6, 0.8)),
    "adagrad": (cbp.Adagrad(0.05), lambda: reference.Adagrad(0.05)),
    "adagrad-decay": (cbp.Adagrad(0.1, 0.02, 0.3, 1e-8),
                      lambda: reference.Adagrad(0.1, 0.02, 0.3, 1e-8)),
    "adam": (cbp.Adam(0.02, 0.8, 0.99, 1e-6), lambda: reference.Adam(0.02, 0.8, 0.99, 1e-6)),
    "adamw": (cbp.AdamW(0.01, weight_decay=0.3),
              lambda: reference.Adam(0.01, weight_decay=0.3)),
    "nadam": (cbp.Nadam(0.01, 0.8, 0.99, 1e-6, 0.01),
              lambda: reference.Nadam(0.01, 0.8, 0.99, 1e-6, 0.01)),
    "lion": (cbp.Lion(0.003, weight_decay=0.1), lambda: reference.Lion(0.003, weight_decay=0.1)),
    "rprop": (cbp.Rprop(0.01), lambda: reference.Rprop(0.01)),
    "rprop-bounds": (cbp.Rprop(0.1, (0.4, 1.3), (0.01, 0.2)),
                     lambda: reference.Rprop(0.1, (0.4, 1.3), (0.01, 0.2))),
}  # fmt: skip
rng = np.random.default_rng(3)
X, T = rng.normal(size=(23, 4)), rng.normal(size=(23, 2))
MASK = rng.random((4, 6)) < 0.6
SEED = 7

# Name: (of the trainer, of the hidden layer, of the reference).
REGULARISERS = {
    "none": ({}, {}, {}),
    "l2": ({"l2": 0.02}, {}, {"l2": 0.02}),
    "l1": ({"l1": 0.003}, {}, {"l1": 0.003}),
    "clip_value": ({"clip_value": 0.04}, {}, {"clip_value": 0.04}),
    "clip_norm": ({"clip_norm": 0.2}, {}, {"clip_norm": 0.2}),
    "mask": ({}, {"mask": MASK}, {"masks": [MASK, None]}),
    "nonnegative": ({}, {"nonnegative": True}, {"nonnegative": [True, False]}),
    "max_norm": ({}, {"max_norm": 0.8}, {"max_norm": [0.8, None]}),
    "dropout": ({}, {"dropout": 0.4}, {
        "factors": lambda step, n: [dropout_factors(SEED, step, 0, n, 6, 0.4), None]}),
    "all": ({"l2": 0.02, "l1": 0.003, "clip_value": 0.1, "clip_norm": 0.3},
            {"mask": MASK, "nonnegative": True, "max_norm": 0.8, "dropout": 0.4}, {
                "l2": 0.02, "l1": 0.003, "clip_value": 0.1, "clip_norm": 0.3,
                "masks": [MASK, None], "nonnegative": [True, False], "max_norm": [0.8, None],
                "factors": lambda step, n: [dropout_factors(SEED, step, 0, n, 6, 0.4), None]}),
}  # fmt: skip


# In float32 a gradient of the wrong sign for its rounding moves Lion's and Rprop's weights apart.
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 1e-3)])
@pytest.mark.parametrize("regulariser", REGULARISERS)
@pytest.mark.parametrize("rule", RULES)
def test_against_the_reference(rule, regulariser, dtype, tolerance):
    """20 epochs of minibatches end at the reference's losses and parameters."""
    ours, theirs = RULES[rule]
    of_trainer, of_layer, of_reference = REGULARISERS[regulariser]
    net = cbp.Network([4, cbp.Dense(6, **of_layer), 2], "tanh", dtype=dtype, seed=1)
    weights = [np.array(W, dtype=float) for W in net.weights]
    biases = [np.array(b, dtype=float) for b in net.biases]
    batch_size, epochs = (None, 60) if rule.startswith("rprop") else (5, 20)
    run = cbp.Trainer(net, optimizer=ours, batch_size=batch_size, shuffle=False, seed=SEED,
                      **of_trainer)  # fmt: skip
    history = run.fit(X, T, epochs)
    expected = reference.train(X, T, weights, biases, net.activations, "squared_error", theirs(),
                               epochs, batch_size=batch_size, **of_reference)  # fmt: skip
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
