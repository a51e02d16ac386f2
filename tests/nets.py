"""Small networks on the compiled core, as the tests of floor 1 use them.

What lives here: theta with its spare elements, the Core on it, a Loop with its states.  No
expectations: those are the oracle's and the reference's.
"""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
from oracle import Layer, flat

from cbp import _backprop, _training

HYPER = {
    "sgd": {"learning_rate": 0.05},
    "momentum": {"learning_rate": 0.05, "momentum": 0.9},
    "nesterov": {"learning_rate": 0.05, "momentum": 0.9},
    "adam": {"learning_rate": 0.05, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8},
}
OPTIMIZERS = tuple(HYPER)
HIDDEN = ("identity", "sigmoid", "tanh", "relu")
# Every output activation with every loss that goes with it.
OUTPUTS = (
    ("identity", "squared_error"),
    ("sigmoid", "squared_error"),
    ("tanh", "squared_error"),
    ("relu", "squared_error"),
    ("sigmoid", "binary_cross_entropy"),
    ("softmax", "categorical_cross_entropy"),
)
SPARE = 32  # readable elements behind theta


def guarded(shape, dtype, fill=np.nan, guard=0x5A):
    """An array of `shape` full of `fill`, 64 guard bytes before and behind it; and the check."""
    n = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.full(n + 128, guard, np.uint8)
    array = memory[64 : 64 + n].view(dtype).reshape(shape)
    array[...] = fill
    return array, lambda: bool((memory[:64] == guard).all() and (memory[64 + n :] == guard).all())


def objective(loss, **options):
    """The compiled form of the loss of this name, with its defaults where it has parameters."""
    return _backprop.Objective(_backprop.LOSSES[loss], **options)


class Net:
    """Parameters with their views, and the compiled core on them."""

    def __init__(self, sizes, activations, dtype=np.float64, bias=True, seed=0):
        rng = np.random.default_rng(seed)
        L = len(sizes) - 1
        bias = [bias] * L if isinstance(bias, bool) else bias
        shapes = list(itertools.pairwise(sizes))
        n = sum(i * o + o * b for (i, o), b in zip(shapes, bias))
        self.sizes, self.activations, self.bias = tuple(sizes), tuple(activations), bias
        self.dtype = np.dtype(dtype)
        self.theta = np.zeros(n + SPARE, dtype)[:n]
        self.weights, self.biases, at = [], [], 0
        for (i, o), b in zip(shapes, bias):
            self.weights.append(self.theta[at : at + i * o].reshape(i, o))
            self.weights[-1][...] = rng.normal(size=(i, o)) * (1.4 / np.sqrt(i))
            at += i * o
            self.biases.append(self.theta[at : at + o] if b else None)
            if b:
                self.biases[-1][...] = rng.normal(size=o) / 4
                at += o
        self.core = _backprop.Core(
            self.theta, list(sizes), [_backprop.ACTIVATIONS[a] for a in activations], bias
        )

    @property
    def layers(self):
        """Copies of the parameters, as the oracle takes them."""
        return [
            Layer(W.copy(), None if b is None else b.copy(), a)
            for W, b, a in zip(self.weights, self.biases, self.activations)
        ]

    def float64(self):
        """(weights, biases) as the reference takes them."""
        return (
            [W.astype(float) for W in self.weights],
            [None if b is None else b.astype(float) for b in self.biases],
        )

    def data(self, n, loss="squared_error", seed=1, labels=False):
        """(X, target): rows that suit the loss, or labels."""
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, self.sizes[0])).astype(self.dtype)
        if labels:
            return X, rng.integers(0, self.sizes[-1], n)
        target = rng.random((n, self.sizes[-1]))
        if loss == "categorical_cross_entropy":
            target /= target.sum(axis=1, keepdims=True)
        return X, target.astype(self.dtype)

    def predict(self, X, n_threads=1):
        out = np.full((len(X), self.sizes[-1]), np.nan, self.dtype)
        self.core.predict(X, out, n_threads)
        return out

    def forward(self, X, n_threads=1):
        Z, A = (
            [np.full((len(X), o), np.nan, self.dtype) for o in self.sizes[1:]] for _ in range(2)
        )
        self.core.forward(X, Z, A, n_threads)
        return Z, A

    def gradient(
        self, X, target, loss, *, weight=None, reduction="mean", l2=0.0, n_threads=1, options=None
    ):
        """(loss, flat gradient, deltas, threads)."""
        rows, labels = (None, target) if target.ndim == 1 else (target, None)
        grad = np.full_like(self.theta, np.nan)
        deltas = [np.full((len(X), o), np.nan, self.dtype) for o in self.sizes[1:]]
        value, threads = self.core.gradient(
            X, rows, labels, weight, objective(loss, **options or {}),
            ("mean", "sum").index(reduction), l2, grad, deltas, n_threads,
        )  # fmt: skip
        return value, grad, deltas, threads

    def loop(
        self, loss, optimizer="sgd", *, batch_size=32, shuffle=True, seed=0, l2=0.0,
        reduction="mean", trainable=None, mask=None, hyper=None, by_rows=None,
    ):  # fmt: skip
        """A Loop; its states stand in `.arrays` of the returned pair (loop, states)."""
        code = _training.OPTIMIZERS[optimizer]
        states = [np.zeros_like(self.theta) for _ in range(_training.N_STATES[code])]
        loop = _training.Loop(
            self.core, loss=objective(loss), reduction=("mean", "sum").index(reduction),
            optimizer=code, hyper=hyper or HYPER[optimizer], l2=l2, states=states,
            trainable=trainable or [(True, True)] * len(self.weights), mask=mask,
            batch_size=batch_size, shuffle=shuffle, seed=seed, by_rows=by_rows,
        )  # fmt: skip
        return loop, states


def bind(loop, X, target, weight=None):
    """Gives a loop its data; a 1-d target is labels."""
    loop.bind(X, *((None, target) if target.ndim == 1 else (target, None)), weight)


def train(
    sizes, activations, loss, optimizer, *, dtype=np.float32, n=100, batch_size=32, epochs=3,
    n_threads=1, labels=False, weighted=False, bias=True, seed=0, **options,
):  # fmt: skip
    """A whole run; returns (net, losses, states, loop)."""
    net = Net(sizes, activations, dtype, bias, seed)
    X, target = net.data(n, loss, seed + 1, labels)
    weight = np.random.default_rng(seed + 2).random(n) if weighted else None
    loop, states = net.loop(loss, optimizer, batch_size=batch_size, seed=seed, **options)
    bind(loop, X, target, weight)
    losses = np.zeros(epochs)
    assert loop.run(losses, 0.0, n_threads) == epochs
    return net, losses, states, loop


def digest(*arrays):
    """SHA-256 of the arrays' bytes."""
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def same(got, expected):
    """Whether two arrays hold the same bits; any NaN equals any NaN."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return False
    whole = {4: np.uint32, 8: np.uint64}[got.itemsize]
    equal = np.ascontiguousarray(got).view(whole) == np.ascontiguousarray(expected).view(whole)
    return bool((equal | (np.isnan(got) & np.isnan(expected))).all())


__all__ = [
    "HIDDEN", "HYPER", "OPTIMIZERS", "OUTPUTS", "Net", "bind", "digest", "flat", "guarded",
    "objective", "same", "train",
]  # fmt: skip
