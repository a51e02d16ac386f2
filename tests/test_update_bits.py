"""Every update rule and regulariser bit by bit: what the compiled loop leaves is the oracle's."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from nets import flat, same
from rules import RULES
from test_numerics import ARITHMETIC, FUSED, TYPES, each_isa, isa_as_found  # noqa: F401

import cbp

SIZES, SEED, N = (5, 17, 6, 2), 9, 45
KEEP = np.random.default_rng(3).random((5, 17)) < 0.7

# Name: (of the trainer, of the two hidden layers).
OPTIONS = {
    "plain": ({}, {}, {}),
    "l1": ({"l1": 0.003}, {}, {}),
    "clip_value": ({"clip_value": 0.02}, {}, {}),
    "clip_norm": ({"clip_norm": 0.1}, {}, {}),
    "limits": ({}, {"mask": KEEP, "nonnegative": True}, {"max_norm": 0.5, "trainable": "weights"}),
    "dropout": ({}, {"dropout": 0.3}, {"dropout": 0.6}),
    "average": ({"average": 0.8}, {}, {"trainable": False}),
    "everything": (
        {"l2": 0.01, "l1": 0.003, "clip_value": 0.2, "clip_norm": 0.1, "average": 0.8},
        {"mask": KEEP, "nonnegative": True, "max_norm": 1.5, "dropout": 0.3},
        {"max_norm": 0.5, "dropout": 0.6}),
}  # fmt: skip
# Every rule with nothing and with everything; what stands between the two with three of them.
CASES = [(rule, name) for rule in RULES for name in ("plain", "everything")]
CASES += [(rule, name) for rule in ("sgd", "nadam", "rprop") for name in list(OPTIONS)[1:-1]]


@pytest.mark.parametrize("rule, name", CASES)
@TYPES
@FUSED
def test_training_bits(fused, dtype, rule, name):
    """Losses, parameters, states and running mean after three shuffled epochs."""
    optimizer, (of_trainer, *of_layers) = RULES[rule][0], OPTIONS[name]
    rng = np.random.default_rng(2)
    X = rng.normal(size=(N, SIZES[0])).astype(dtype)
    T = rng.normal(size=(N, SIZES[-1])).astype(dtype)
    batch_size = None if optimizer.rule == "rprop" else 16
    hidden = [cbp.Dense(n, **more) for n, more in zip(SIZES[1:], of_layers)]

    def fresh():
        net = cbp.Network([SIZES[0], *hidden, SIZES[-1]], "tanh", dtype=dtype, seed=1)
        return cbp.Trainer(net, optimizer=optimizer, batch_size=batch_size, seed=SEED, **of_trainer)

    run = fresh()
    layers, net = run.net.layers, run.net
    start = [
        oracle.Layer(W.copy(), b.copy(), layer.activation)
        for W, b, layer in zip(net.weights, net.biases, layers)
    ]
    masks = [(None if layer.mask is None else layer.mask.astype(dtype), None) for layer in layers]
    after, losses, states = ARITHMETIC[dtype, fused].train(
        start, X, T, "squared_error", optimizer.rule, optimizer.hyper, 3, batch_size or N,
        orders=[oracle.permutation(N, SEED, 2, epoch) for epoch in range(3)], masks=masks,
        trainable=[layer.trains for layer in layers], seed=SEED, starts=optimizer.starts,
        nonnegative=[layer.nonnegative for layer in layers], **of_trainer,
        max_norm=[layer.max_norm for layer in layers], dropout=[layer.dropout for layer in layers],
    )  # fmt: skip
    for isa in each_isa(fused):
        run = fresh()
        history = run.fit(X, T, 3)
        assert same(np.array(history["loss"]), losses), isa
        assert same(run.net.parameters, flat([a.W for a in after], [a.b for a in after])), isa
        got = run._states if run.average is None else [*run._states, run._mean]
        assert len(got) == len(states)
        for one, want in zip(got, states):
            assert same(one, want), isa
