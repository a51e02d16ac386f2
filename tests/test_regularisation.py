"""Regularisation: masks, limits, dropout, clipping and running means, beyond the trajectories of
test_optimizers.py: what is kept exactly, what is copied, what depends on what."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from oracle import dropout_factors
from rules import RULES

import cbp
from cbp import _runtime, reference

rng = np.random.default_rng(5)
X, T = rng.normal(size=(200, 9)).astype(np.float32), rng.normal(size=(200, 3)).astype(np.float32)
EACH = pytest.mark.parametrize("rule", RULES)
TYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def trained(sizes, epochs=3, optimizer="adam", n_threads=1, dtype="float32", seed=1, network=None,
            **options):  # fmt: skip
    """(network, trainer) after some epochs of X, T."""
    net = cbp.Network(sizes, "tanh", dtype=dtype, seed=1, **(network or {}))
    full = getattr(optimizer, "rule", optimizer) == "rprop"
    options.setdefault("batch_size", None if full else 32)
    run = cbp.Trainer(net, optimizer=optimizer, n_threads=n_threads, seed=seed, **options)
    run.fit(X, T, epochs)
    return net, run


# ---- masks and non-negative weights ---------------------------------------------------------------


@TYPES
@EACH
def test_masked_weights_are_exact_zeros(rule, dtype):
    """Under every rule, with penalties, decay and limits, masked weights start and stay at 0."""
    mask = np.random.default_rng(1).random((9, 20)) < 0.5
    dense = cbp.Dense(20, mask=mask)
    net = cbp.Network([9, dense, 3], dtype=dtype, seed=1)
    assert not net.weights[0][~mask].any() and net.weights[0][mask].all()
    net, _ = trained([9, dense, 3], optimizer=RULES[rule][0], dtype=dtype, l2=0.01, l1=0.001,
                     clip_norm=0.5)  # fmt: skip
    assert not net.weights[0][~mask].any()
    assert np.count_nonzero(net.weights[0][mask]) >= mask.sum() - 2


def test_update_puts_masked_weights_to_zero():
    """A masked weight that somebody has set counts until the next update, which zeroes it."""
    mask = np.ones((9, 3))
    mask[4, 1] = 0
    net = cbp.Network([9, cbp.Dense(3, mask=mask)], seed=1)
    net.weights[0] = np.ones((9, 3))
    cbp.Trainer(net).train_on_batch(X, T)
    assert net.weights[0][4, 1] == 0.0 and net.weights[0].astype(bool).sum() == 26


@EACH
def test_nonnegative_weights(rule):
    """Weights start at absolute values and never end an update below 0; biases are free."""
    dense = cbp.Dense(20, nonnegative=True)
    plain = cbp.Network([9, 20, 3], "tanh", seed=1)
    net = cbp.Network([9, dense, 3], "tanh", seed=1)
    np.testing.assert_array_equal(net.weights[0], np.abs(plain.weights[0]))
    net, _ = trained([9, dense, 3], optimizer=RULES[rule][0], epochs=6)
    assert net.weights[0].min() >= 0.0 and not np.signbit(net.weights[0]).any()
    assert net.biases[0].min() < 0.0 and net.weights[1].min() < 0.0


def test_layers_are_copied_and_pickled():
    """copy and pickle keep masks, limits and dropout; equal layers compare equal and hash alike."""
    mask = np.eye(9, 20)
    dense = cbp.Dense(20, mask=mask, nonnegative=True, max_norm=2.0, dropout=0.5)
    net = cbp.Network([9, dense, 3], dropout=0.1, seed=1)
    assert net.layers[0].dropout == 0.5 and net.layers[1].dropout == 0.0
    for twin in (net.copy(), pickle.loads(pickle.dumps(net))):
        assert twin.layers == net.layers and hash(twin.layers) == hash(net.layers)
        np.testing.assert_array_equal(twin.layers[0].mask, mask)
    assert dense == cbp.Dense(20, mask=mask.tolist(), nonnegative=True, max_norm=2.0, dropout=0.5)
    assert dense != cbp.Dense(20, mask=1 - mask, nonnegative=True, max_norm=2.0, dropout=0.5)


def test_mask_belongs_to_its_layer():
    """The mask is a read-only copy."""
    mask = np.ones((2, 3))
    dense = cbp.Dense(3, mask=mask)
    mask[0, 0] = 0
    assert dense.mask.all() and dense.mask.dtype == bool
    with pytest.raises(ValueError, match="read-only"):
        dense.mask[0, 0] = False


NET = cbp.Network([9, 3], seed=1)


@pytest.mark.parametrize("call, error, sentence", [
    (lambda: cbp.Dense(3, mask=np.ones(3)), ValueError,
     "`mask` must have shape (n_inputs, 3), one entry for each weight, got (3,)."),
    (lambda: cbp.Dense(3, mask=np.full((2, 3), 0.5)), ValueError,
     "`mask` must hold 0 (no weight) and 1 (a weight) alone."),
    (lambda: cbp.Network([4, cbp.Dense(3, mask=np.ones((2, 3)))]), ValueError,
     "`mask` of layer 1 must have 4 rows (the layer's inputs), got 2."),
    (lambda: cbp.Dense(3, nonnegative=1), TypeError, "`nonnegative` must be True or False, got 1."),
    (lambda: cbp.Dense(3, dropout=1.0), ValueError,
     "`dropout` must be a finite number at least 0 and below 0.999999, got 1.0."),
    (lambda: cbp.Dense(3, max_norm=0), ValueError,
     "`max_norm` must be a finite number above 0, got 0."),
    (lambda: cbp.Network([4, cbp.Dense(3, dropout=0.5)]), ValueError,
     "`dropout` must not be set for the output layer: give it to others."),
    (lambda: cbp.Network([4, 3, 2], dropout=-0.1), ValueError,
     "`dropout` must be a finite number at least 0 and below 0.999999, got -0.1."),
    (lambda: cbp.Trainer(NET, l1=-1.0), ValueError,
     "`l1` must be a finite number at least 0, got -1.0."),
    (lambda: cbp.Trainer(NET, clip_norm=0.0), ValueError,
     "`clip_norm` must be a finite number above 0, got 0.0."),
    (lambda: cbp.Trainer(NET, clip_value="1"), TypeError,
     "`clip_value` must be a number, got '1'."),
    (lambda: cbp.Trainer(NET, average=1.0), ValueError,
     "`average` must be a finite number at least 0 and below 1, got 1.0."),
    (lambda: cbp.Trainer(NET).averaged_network(), ValueError,
     "`averaged_network` needs a trainer made with `average=0.999`, say."),
])  # fmt: skip
def test_bad_arguments(call, error, sentence):
    """Every argument out of its kind or range is named, with what it must be and what it was."""
    with pytest.raises(error, match="^" + re.escape(sentence) + "$"):
        call()


# ---- bits ------------------------------------------------------------------------------------------


EVERYTHING = {"l2": 0.001, "l1": 0.001, "clip_value": 0.2, "clip_norm": 0.5, "average": 0.9}
SIZES = {
    "small": [9, cbp.Dense(20, max_norm=1.5), cbp.Dense(7, nonnegative=True), 3],
    "large": [9, cbp.Dense(600, max_norm=1.5), cbp.Dense(700, mask=np.tri(600, 700)), 3],
}


# Every rule on the small net; packed panels, which know no rules, with a few.
@pytest.mark.parametrize(
    "rule, size",
    [(rule, "small") for rule in RULES] + [(rule, "large") for rule in ("sgd", "adamw", "rprop")],
)
@TYPES
@pytest.mark.usefixtures("all_threads")
def test_bits_depend_on_neither_threads_nor_instruction_set(rule, dtype, size):
    """With everything on: one result for 1, 2, 3 threads and every instruction set with FMA."""
    found, before = {}, _runtime.isa()
    try:
        for isa in _runtime.available_isas():
            _runtime.use_isa(isa)
            for n_threads in (1, 2, 3) if size == "small" else (1, 2):
                net, run = trained(SIZES[size], optimizer=RULES[rule][0], n_threads=n_threads,
                                   dtype=dtype, network={"dropout": 0.3}, epochs=2, batch_size=64
                                   if not rule.startswith("rprop") else None, **EVERYTHING)  # fmt: skip
                assert run.threads_used == (n_threads if _runtime.openmp() else 1)
                found.setdefault(_runtime.has_fma(), set()).add(
                    (net.parameters.tobytes(), run.averaged_network().parameters.tobytes())
                )
    finally:
        _runtime.use_isa(before)
    assert all(len(results) == 1 for results in found.values())


@EACH
def test_limits_that_are_not_reached_leave_the_bits_alone(rule):
    """Wide limits, no dropout, a mask of ones, no penalty: the bits of a plain run."""
    options = {"optimizer": RULES[rule][0], "dtype": "float32"}
    plain, _ = trained([9, 20, 3], **options)
    wide, _ = trained([9, cbp.Dense(20, max_norm=1e6, mask=np.ones((9, 20)), dropout=0.0), 3],
                      clip_norm=1e6, clip_value=1e6, l1=0.0, average=0.5, **options)  # fmt: skip
    np.testing.assert_array_equal(plain.parameters, wide.parameters)


# ---- clipping --------------------------------------------------------------------------------------


@TYPES
def test_clip_norm_bounds_the_step(dtype):
    """One step of gradient descent with rate 1 moves the parameters by at most clip_norm, in the
    direction of the gradient; to rounding it is the gradient times clip_norm / norm."""
    net = cbp.Network([9, 20, 3], "tanh", dtype=dtype, seed=1)
    g = net.gradient(X, T)
    flat = np.concatenate([a.ravel() for pair in zip(g.weights, g.biases) for a in pair])
    before = net.parameters.astype(float)
    norm = np.sqrt((flat.astype(float) ** 2).sum())
    cbp.Trainer(net, optimizer=cbp.SGD(1.0), clip_norm=norm / 3).train_on_batch(X, T)
    moved = before - net.parameters
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(moved, flat.astype(float) / 3, atol=4 * eps * np.abs(before).max())


def test_frozen_and_masked_parameters_do_not_count_in_the_norm():
    """The norm is that of the trained parameters: freezing the first layer, or masking it all,
    leaves the second layer's share of the limit alone."""
    limit, results = 0.05, []
    for dense in (cbp.Dense(20, "tanh", trainable=False),
                  cbp.Dense(20, "tanh", mask=np.zeros((9, 20)), trainable="weights")):  # fmt: skip
        net = cbp.Network([9, dense, 3], dtype="float64", seed=1)
        net.weights[0] = np.full((9, 20), 0.1)
        before = [net.weights[1].copy(), net.biases[1].copy()]
        cbp.Trainer(net, optimizer=cbp.SGD(1.0), clip_norm=limit).train_on_batch(X, T)
        moved = [before[0] - net.weights[1], before[1] - net.biases[1]]
        results.append(np.sqrt(sum((m**2).sum() for m in moved)))
    np.testing.assert_allclose(results, limit, rtol=1e-12)


def test_clip_value_bounds_every_element():
    """One step with rate 1 moves no parameter by more than clip_value."""
    net = cbp.Network([9, 20, 3], "tanh", dtype="float64", seed=1)
    before = net.parameters.copy()
    cbp.Trainer(net, optimizer=cbp.SGD(1.0), clip_value=0.01).train_on_batch(X, T)
    moved = np.abs(net.parameters - before)
    np.testing.assert_allclose(moved.max(), 0.01, rtol=1e-12)
    assert (moved < 0.0099).any()


# ---- max-norm ------------------------------------------------------------------------------------


def test_max_norm_scales_columns():
    """An update ends by scaling the columns that are longer than max_norm down to it; the others
    have the bits of an update without it."""
    plain, _ = trained([9, 40, 3], epochs=1, batch_size=None)
    limited, _ = trained([9, cbp.Dense(40, max_norm=0.6), 3], epochs=1, batch_size=None)
    W = plain.weights[0].astype(float)
    norms = np.sqrt((W**2).sum(axis=0))
    long = norms > 0.6
    assert 3 < long.sum() < 37
    np.testing.assert_array_equal(limited.weights[0][:, ~long], plain.weights[0][:, ~long])
    np.testing.assert_allclose(limited.weights[0][:, long], (W * 0.6 / norms)[:, long], rtol=1e-6)
    assert trained([9, cbp.Dense(40, max_norm=0.6), 3], epochs=20)[0].weights[0].std() > 0.05


# ---- dropout -------------------------------------------------------------------------------------


@TYPES
def test_dropout_gradient(isa, dtype):
    """One step of gradient descent goes along the reference's gradient with the same units
    dropped, in every layer and for any number of rows and units."""
    for sizes, n in (([9, 5, 3], 7), ([9, 17, 33, 3], 200), ([9, 64, 40, 16, 3], 61)):
        net = cbp.Network(sizes, "sigmoid", dropout=0.4, dtype=dtype, seed=2)
        weights = [np.array(W, dtype=float) for W in net.weights]
        biases = [np.array(b, dtype=float) for b in net.biases]
        hidden = enumerate(sizes[1:-1])
        factors = [*(dropout_factors(11, 0, layer, n, o, 0.4) for layer, o in hidden), None]
        loss, dW, db = reference.dropout_gradient(
            X[:n], T[:n], weights, biases, net.activations, "squared_error", factors
        )
        run = cbp.Trainer(net, optimizer=cbp.SGD(1.0), seed=11)
        tolerance = 1e-12 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(run.train_on_batch(X[:n], T[:n]), loss, rtol=tolerance)
        for got, start, step in zip([*net.weights, *net.biases], weights + biases, dW + db):
            np.testing.assert_allclose(start - got, step, atol=tolerance)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_statistics(rate):
    """A unit is kept with probability 1 - rate, independently of its neighbours in row, unit,
    layer and step: counts within 4.5 standard deviations."""
    n, units = 512, 256
    draws = [dropout_factors(3, step, layer, n, units, rate) > 0
             for step, layer in ((0, 0), (1, 0), (0, 1), (2**31, 2))]  # fmt: skip
    p, size = 1 - rate, n * units
    for kept in draws:
        assert abs(kept.sum() - p * size) < 4.5 * np.sqrt(p * (1 - p) * size)
        pairs = [(kept[:, 1:], kept[:, :-1]), (kept[1:], kept[:-1]), (kept[4:], kept[:-4])]
        for a, b in pairs + [(kept, other) for other in draws if other is not kept]:
            q = p * p
            assert abs((a & b).sum() - q * a.size) < 4.5 * np.sqrt(3 * q * (1 - q) * a.size)


def test_compiled_dropout_draws_what_the_oracle_draws():
    """The outputs that one step drops, seen through the second layer's gradient: those with
    factor 0 have none."""
    net = cbp.Network([9, 70, 3], "sigmoid", dropout=0.5, seed=2)
    run = cbp.Trainer(net, optimizer=cbp.SGD(0.01), seed=2**63 + 5)
    for step in range(3):
        before = net.weights[1].copy()
        run.train_on_batch(X[:1], [[9.0, 9.0, 9.0]])
        moved = (net.weights[1] != before).any(axis=1)
        factors = dropout_factors(2**63 + 5, step, 0, 1, 70, 0.5)[0]
        np.testing.assert_array_equal(moved, factors > 0)


def test_prediction_and_evaluation_drop_nothing():
    """Dropout lives in training alone, and the loss of a frozen net varies around evaluate's."""
    net = cbp.Network([9, 50, 3], dropout=0.5, seed=1)
    plain = cbp.Network([9, 50, 3], seed=1)
    np.testing.assert_array_equal(net.predict(X), plain.predict(X))
    run = cbp.Trainer(net, seed=1)
    assert run.evaluate(X, T) == cbp.Trainer(plain).evaluate(X, T)
    np.testing.assert_array_equal(net.gradient(X, T).weights[0], plain.gradient(X, T).weights[0])


def test_dropout_does_not_depend_on_where_calls_end():
    """Two fits of 2 epochs are one of 4, with dropout, averages and clipping."""
    options = {"network": {"dropout": 0.3}, **EVERYTHING}
    whole, run = trained(SIZES["small"], epochs=4, **options)
    parts, other = trained(SIZES["small"], epochs=2, **options)
    other.fit(X, T, 2)
    np.testing.assert_array_equal(whole.parameters, parts.parameters)
    np.testing.assert_array_equal(
        run.averaged_network().parameters, other.averaged_network().parameters
    )


# ---- running means of the weights ----------------------------------------------------------------


@TYPES
def test_average_is_the_weighted_mean_of_the_steps(dtype):
    """averaged_network has the mean of the parameters behind each update, weighted d^(t-i)."""
    net = cbp.Network([9, cbp.Dense(20, max_norm=1.0), 3], "tanh", dtype=dtype, seed=1)
    run = cbp.Trainer(net, optimizer="sgd", average=0.8, shuffle=False, seed=1)
    np.testing.assert_array_equal(run.averaged_network().parameters, net.parameters)
    total, weight = 0.0, 0.0
    for _ in range(12):
        run.train_on_batch(X[:50], T[:50])
        total, weight = 0.8 * total + net.parameters.astype(float), 0.8 * weight + 1.0
        tolerance = 20 * np.finfo(dtype).eps
        np.testing.assert_allclose(run.averaged_network().parameters, total / weight,
                                   rtol=tolerance, atol=tolerance)  # fmt: skip


def test_average_leaves_the_trained_network_alone():
    """The trained network has the bits of a run without averages; what is not trained is equal."""
    sizes = [9, cbp.Dense(20, trainable="biases"), cbp.Dense(8, trainable=False), 3]
    plain, _ = trained(sizes)
    net, run = trained(sizes, average=0.99)
    np.testing.assert_array_equal(net.parameters, plain.parameters)
    mean = run.averaged_network()
    assert mean is not net and mean.layers == net.layers
    np.testing.assert_array_equal(mean.weights[0], net.weights[0])
    np.testing.assert_array_equal(mean.weights[1], net.weights[1])
    np.testing.assert_array_equal(mean.biases[1], net.biases[1])
    assert (mean.biases[0] != net.biases[0]).any() and (mean.weights[2] != net.weights[2]).any()
