"""Every loss at every output: values and derivatives, masks, weights, extremes, other libraries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from compare import normwise
from outputs import HIDDEN, LOSSES, N_OUTPUTS, PAIRS, ROWS, by_reference, name_of, targets

import cbp

EACH = pytest.mark.parametrize("name, output", PAIRS, ids=name_of)
rng = np.random.default_rng(5)


def flat(gradient):
    """A gradient as one array."""
    return np.concatenate([a.ravel() for pair in zip(gradient.weights, gradient.biases)
                           for a in pair])  # fmt: skip


def network(output, hidden="tanh", n_outputs=N_OUTPUTS, dtype="float64", seed=1):
    net = cbp.Network([3, 5, n_outputs], hidden, output, dtype=dtype, seed=seed)
    net.parameters[:] = np.random.default_rng(seed).normal(size=net.n_parameters)
    return net


def central(net, X, T, loss, step=1e-6):
    """The gradient by differences."""
    result = np.zeros(net.n_parameters)
    for k in range(net.n_parameters):
        kept = net.parameters[k]
        values = []
        for moved in (kept + step, kept - step):
            net.parameters[k] = moved
            values.append(net.loss_and_gradient(X, T, loss)[0])
        net.parameters[k] = kept
        result[k] = (values[0] - values[1]) / (2 * step)
    return result


# ---- values and derivatives ---------------------------------------------------------------------


@EACH
def test_gradient_is_the_references_and_the_slope(name, output):
    """With every hidden activation, float64 gradients are the reference's and the differences'."""
    loss = LOSSES[name][0]
    for number, hidden in enumerate(HIDDEN):
        net = network(output, hidden, seed=number + 1)
        X, T = rng.normal(size=(6, 3)), targets(loss, output, 6, rng)
        got = net.gradient(X, T, loss)
        expected = by_reference(net, [hidden, output], loss, X, T)
        assert got.loss == pytest.approx(expected.loss, rel=1e-12)
        assert normwise(flat(got), flat(expected)) <= 1e-12
        for d, e in zip(got.deltas, expected.deltas):
            assert normwise(d, e) <= 1e-12
        value, slopes = net.loss_and_gradient(X, T, loss)
        assert value == got.loss and normwise(slopes, flat(got)) == 0.0
        assert normwise(central(net, X, T, loss), slopes) <= 1e-6


@EACH
@pytest.mark.parametrize("n_outputs", [1, 4, 12, 20, 36])
def test_every_width(isa, name, output, n_outputs):
    """One output, part of a strip, more strips: the reference's numbers, for any weights."""
    loss = LOSSES[name][0]
    if output in ROWS:
        n_outputs = max(n_outputs, 2)
    if name == "focal_classes":
        loss = replace(loss, alpha=tuple(0.5 + rng.random(n_outputs)))
    if name in ("quantiles", "gaussian_nll"):
        n_outputs += n_outputs % 2
    for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-5)):
        net = network(output, "tanh", n_outputs, dtype)
        X = rng.normal(size=(19, 3)).astype(dtype)
        T = targets(loss, output, 19, rng, n_outputs).astype(dtype)
        for reduction in ("mean", "sum"):
            loss = replace(loss, reduction=reduction)
            weight = rng.random(19)
            got = net.gradient(X, T, loss, sample_weight=weight)
            expected = by_reference(
                net, ["tanh", output], loss, X.astype(float), T.astype(float), sample_weight=weight
            )
            assert got.loss == pytest.approx(expected.loss, rel=tolerance)
            assert normwise(flat(got), flat(expected)) <= tolerance


@pytest.mark.parametrize("output", [*HIDDEN, *ROWS], ids=name_of)
@pytest.mark.parametrize("name", LOSSES)
def test_other_pairs_are_refused(name, output):
    """What does not go together says so: the loss, the output activation and what to do."""
    loss, outputs = LOSSES[name]
    if output in outputs:
        return
    sentence = f"`loss` {loss.name} .*{name_of(output)}.*(use|set) "
    if name == "focal_classes" and output == "sigmoid":
        sentence = "`alpha` must be one number from 0 to 1 for a sigmoid output"
    with pytest.raises(ValueError, match=sentence):
        cbp.Trainer(network(output), loss)
    with pytest.raises(ValueError, match=sentence):
        network(output).gradient(np.zeros((1, 3)), np.zeros((1, 4)), loss)
