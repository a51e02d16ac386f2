"""Every update rule and regulariser, with what the reference calls them.

What lives here: the rows and columns of the tables of tests; no expectations.
"""

from __future__ import annotations

import numpy as np
from oracle import dropout_factors

import cbp
from cbp import reference

N_IN, N_HIDDEN = 4, 6  # the layer that is regularised
MASK = np.random.default_rng(3).random((N_IN, N_HIDDEN)) < 0.6
SEED = 7

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


def trained(net, loss, rule, regulariser, X, T, epochs, /, **options):
    """(history, reference.Training) of the same run; `options` are the reference's, both have the weights."""
    ours, theirs = RULES[rule]
    of_trainer, _, of_reference = REGULARISERS[regulariser]
    weights = [np.array(W, dtype=float) for W in net.weights]
    biases = [np.array(b, dtype=float) for b in net.biases]
    batch_size, epochs = (None, 3 * epochs) if rule.startswith("rprop") else (5, epochs)
    run = cbp.Trainer(net, loss, ours, batch_size=batch_size, shuffle=False, seed=SEED,
                      **of_trainer)  # fmt: skip
    history = run.fit(X, T, epochs, sample_weight=options.get("sample_weight"))
    settings = {"activations": net.activations, "loss": "squared_error", **options, **of_reference}
    expected = reference.train(
        X, T, weights, biases, optimizer=theirs(), epochs=epochs, batch_size=batch_size, **settings
    )
    return history, expected
