"""Every activation, loss, optimizer and regulariser together, against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from outputs import HIDDEN, LOSSES, N_OUTPUTS, PAIRS, known, name_of, targets
from rules import N_HIDDEN, N_IN, REGULARISERS, RULES, trained

import cbp


@pytest.mark.slow
@pytest.mark.parametrize("regulariser", REGULARISERS)
@pytest.mark.parametrize("name, output", PAIRS, ids=name_of)
def test_against_the_reference(name, output, regulariser):
    """With every optimizer, a few batches end at the reference's losses and parameters.

    The hidden activations take turns: each meets every optimizer, regulariser, output and loss.
    (Gradients of all of these against differences: test_objectives.py.)
    """
    loss, rng = LOSSES[name][0], np.random.default_rng(3)
    X, T = 0.5 * rng.normal(size=(8, N_IN)), targets(loss, output, 8, rng)
    # Without weights, slopes of ±1 may cancel to a rounding error, whose sign Rprop and Lion follow.
    weight = 0.5 + rng.random(8)
    code, options = loss.form(name_of(output))
    turn = PAIRS.index((name, output)) + 4 * list(REGULARISERS).index(regulariser)
    for number, rule in enumerate(RULES):
        hidden = HIDDEN[(turn + number) % len(HIDDEN)]
        layer = cbp.Dense(N_HIDDEN, **REGULARISERS[regulariser][1])
        net = cbp.Network([N_IN, layer, N_OUTPUTS], hidden, output, dtype="float64", seed=turn)
        activations = [known(hidden), known(output)]
        history, expected = trained(
            net, loss, rule, regulariser, X, T, 1, activations=activations, loss=code,
            options=options, sample_weight=weight,
        )  # fmt: skip
        np.testing.assert_allclose(history["loss"], expected.losses, rtol=1e-9, err_msg=rule)
        for got, wanted in zip([*net.weights, *net.biases], expected.weights + expected.biases):
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9, err_msg=rule)
