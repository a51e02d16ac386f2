"""Every loss at every output: values and derivatives, masks, weights, extremes, other libraries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from compare import normwise
from outputs import HIDDEN, LOSSES, N_OUTPUTS, OWN, PAIRS, ROWS, by_reference, name_of, targets

import cbp

EACH = pytest.mark.parametrize("name, output", PAIRS, ids=name_of)
TYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
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
def test_every_width(isa, name, output):
    """One output, part of a strip, more strips: the reference's numbers, for any weights."""
    for n_outputs in (1, 4, 12, 20, 36):
        loss = LOSSES[name][0]
        if output in ROWS or name in ("quantiles", "gaussian_nll"):
            n_outputs = max(n_outputs, 2)
        if name == "focal_classes":
            loss = replace(loss, alpha=tuple(0.5 + rng.random(n_outputs)))
        for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-5)):
            net = network(output, "tanh", n_outputs, dtype)
            X = rng.normal(size=(19, 3)).astype(dtype)
            T = targets(loss, output, 19, rng, n_outputs).astype(dtype)
            loss, weight = replace(loss, reduction=("mean", "sum")[n_outputs % 3 % 2]), rng.random(19)
            got = net.gradient(X, T, loss, sample_weight=weight)
            expected = by_reference(
                net, ["tanh", output], loss, X.astype(float), T.astype(float), sample_weight=weight
            )
            assert got.loss == pytest.approx(expected.loss, rel=tolerance)
            assert normwise(flat(got), flat(expected)) <= tolerance


@pytest.mark.parametrize("name", LOSSES)
def test_other_pairs_are_refused(name):
    """What does not go together says so: the loss, the output activation and what to do."""
    loss, outputs = LOSSES[name]
    for output in (*HIDDEN, *ROWS):
        sentence = f"`loss` {loss.name} .*{name_of(output)}.*(use|set) "
        if name == "focal_classes" and output == "sigmoid":
            sentence = "`alpha` must be one number from 0 to 1 for a sigmoid output"
        if output not in outputs:
            with pytest.raises(ValueError, match=sentence):
                cbp.Trainer(network(output), loss)
            with pytest.raises(ValueError, match=sentence):
                network(output).gradient(np.zeros((1, 3)), np.zeros((1, 4)), loss)


# ---- weights and masks --------------------------------------------------------------------------


@EACH
@TYPES
def test_equal_weights_change_no_bit(name, output, dtype):
    """All-ones sample weights have the bits of none."""
    loss, net = LOSSES[name][0], network(output, dtype=dtype)
    X, T = rng.normal(size=(300, 3)), targets(loss, output, 300, rng)
    plain, weighted = (
        net.loss_and_gradient(X, T, loss, sample_weight=w) for w in (None, np.ones(300))
    )
    assert plain[0] == weighted[0]
    np.testing.assert_array_equal(plain[1], weighted[1])


MASKED = [pair for pair in PAIRS if pair[0] != "custom"]
MASKS = pytest.mark.parametrize("name, output", MASKED, ids=name_of)


@MASKS
@TYPES
def test_masks_of_nothing_change_no_bit(isa, name, output, dtype):
    """Where no target is NaN, mask_nan has the bits of the plain loss."""
    loss = LOSSES[name][0]
    for n_outputs in (1, 4, 20) if output not in ROWS and loss.n_targets(2) == 2 else (4,):
        net = network(output, n_outputs=n_outputs, dtype=dtype)
        X, T = rng.normal(size=(37, 3)), targets(loss, output, 37, rng, n_outputs)
        plain, masked = (net.gradient(X, T, replace(loss, mask_nan=m)) for m in (False, True))
        assert plain.loss == masked.loss
        np.testing.assert_array_equal(flat(plain), flat(masked))


@MASKS
def test_masked_targets_are_left_out(isa, name, output):
    """The δ of a missing target is 0 and the others keep their bits; the reference agrees."""
    loss = replace(LOSSES[name][0], mask_nan=True)
    net = network(output)
    X, T = rng.normal(size=(23, 3)), targets(loss, output, 23, rng)
    holes = rng.random(T.shape) < 0.3
    holed = np.where(holes, np.nan, T)
    got, whole = (net.gradient(X, t, loss) for t in (holed, T))
    if output in ROWS:  # a row of probabilities is one target
        holes = np.repeat(holes.any(axis=1, keepdims=True), 4, axis=1)
    elif name == "quantiles":
        holes = np.repeat(holes, 2, axis=1)
    elif name == "gaussian_nll":
        holes = np.tile(holes, 2)
    assert 0 < holes.sum() < holes.size and not got.deltas[-1][holes].any()
    np.testing.assert_array_equal(got.deltas[-1][~holes], whole.deltas[-1][~holes])
    expected = by_reference(net, ["tanh", output], loss, X, holed)
    assert got.loss == pytest.approx(expected.loss, rel=1e-12)
    assert normwise(flat(got), flat(expected)) <= 1e-12


@MASKS
def test_rows_without_targets_are_left_out(isa, name, output):
    """A sum over rows, some of which have no target at all, is the sum over the others."""
    loss = replace(LOSSES[name][0], mask_nan=True, reduction="sum")
    net = network(output)
    X, T = rng.normal(size=(40, 3)), targets(loss, output, 40, rng)
    missing = rng.random(40) < 0.4
    got = net.gradient(X, np.where(missing[:, None], np.nan, T), loss)
    rest = net.gradient(X[~missing], T[~missing], loss)
    assert got.loss == pytest.approx(rest.loss, rel=1e-14)
    np.testing.assert_array_equal(flat(got), flat(rest))
    nothing = net.gradient(X, np.full(T.shape, np.nan), loss)
    assert nothing.loss == 0.0 and not flat(nothing).any()


def test_what_a_mask_does_not_forgive():
    """NaN without mask_nan, and infinity with it, are refused as ever."""
    net, X = network("identity"), np.zeros((2, 3))
    T = np.array([[1.0, np.nan, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="`Y` must be finite"):
        net.gradient(X, T)
    with pytest.raises(ValueError, match="`Y` must be finite"):
        net.gradient(X, np.where(T == 2.0, np.inf, T), cbp.SquaredError(mask_nan=True))


# ---- extremes -----------------------------------------------------------------------------------

FROM_LOGITS = [pair for pair in PAIRS if LOSSES[pair[0]][0].name in (
    "binary_cross_entropy", "categorical_cross_entropy", "focal")]  # fmt: skip


@pytest.mark.parametrize("dtype, tolerance", [("float32", 3e-5), ("float64", 1e-13)])
@pytest.mark.parametrize("name, output", FROM_LOGITS)
def test_extreme_logits(isa, name, output, dtype, tolerance):
    """Losses and slopes are right where activations round to 0 and 1: logits up to 1e30."""
    loss = replace(LOSSES[name][0], reduction="sum")
    net = cbp.Network([4, 4], output_activation=output, bias=False, dtype=dtype)
    net.weights[0] = np.eye(4)
    sizes = np.array([0.0, 1e-30, 1e-3, 1.0, 15.0, 40.0, 88.0, 104.0, 750.0, 1e4, 1e12, 1e30])
    logits = np.concatenate([sizes, -sizes]).astype(dtype)
    Z = np.stack([np.roll(logits, k) for k in (0, 5, 11, 17)], axis=1)
    Z = np.concatenate([Z, np.repeat(logits, 4).reshape(-1, 4)])
    for T in (np.eye(4)[np.arange(len(Z)) % 4], targets(loss, output, len(Z), rng).astype(dtype)):
        for z, t in zip(Z, T):
            got = net.gradient(z, t[None], loss)
            expected = by_reference(net, [output], loss, z.astype(float), t[None].astype(float))
            assert np.isfinite(got.loss) and np.isfinite(got.deltas[0]).all()
            assert got.loss == pytest.approx(expected.loss, rel=tolerance, abs=1e-37)
            np.testing.assert_allclose(
                got.deltas[0], expected.deltas[0], rtol=tolerance, atol=tolerance
            )


def test_rates_and_variances_at_their_ends():
    """Poisson's log rate and a raw variance may be as small as they like."""
    net = cbp.Network([2, 2], bias=False, dtype="float32", init="zeros")
    net.weights[0] = np.eye(2)
    got = net.gradient([[-1e30, -200.0]], [[0.0, 3.0]], "poisson")
    assert got.loss == 600.0 and got.deltas[0].tolist() == [[0.0, -3.0]]
    for raw, variance in ((-1e30, 1e-6), (-50.0, 1e-6), (1e30, 1e30)):
        got = net.gradient([[0.5, raw]], [[0.5]], "gaussian_nll")
        assert got.loss == pytest.approx(0.5 * np.log(variance), rel=1e-6)
        assert np.isfinite(got.deltas[0]).all()


def test_losses_at_their_corners():
    """Where e is 0 the slope is 0; Huber's halves meet at delta."""
    net = cbp.Network([4, 4], bias=False, dtype="float64", init="zeros")
    net.weights[0] = np.eye(4)
    X, T = [[1.0, 1.0 + 1e-12, 1.0 - 1e-12, 3.0]], [[1.0] * 4]
    slopes = {
        "absolute_error": (cbp.AbsoluteError(), [0.0, 1.0, -1.0, 1.0]),
        "quantile": (cbp.Quantile(0.25), [0.0, 0.75, -0.25, 0.75]),
        "huber": (cbp.Huber(2.0), [0.0, 1e-12, -1e-12, 2.0]),
    }
    for loss, expected in slopes.values():
        np.testing.assert_allclose(net.gradient(X, T, loss).deltas[0][0], expected, rtol=1e-3)
    assert net.gradient(X, T, cbp.Huber(2.0)).loss == pytest.approx(2.0)
    assert net.gradient(X, T, cbp.Huber(1e9)).loss == net.gradient(X, T).loss


def test_special_cases_meet():
    """Huber of a large delta, focal of γ = 0 and no smoothing are the losses they come from."""
    X = rng.normal(size=(9, 3))
    for output, special, plain in (
        ("sin", cbp.Huber(1e6), "squared_error"),
        ("sigmoid", cbp.Focal(0.0), "binary_cross_entropy"),
        ("softmax", cbp.Focal(0.0), "categorical_cross_entropy"),
        ("log_softmax", cbp.CategoricalCrossEntropy(label_smoothing=0.0), "auto"),
    ):
        net = network(output)
        T = targets(cbp.BinaryCrossEntropy(), output, 9, rng)
        a, b = net.gradient(X, T, special), net.gradient(X, T, plain)
        assert a.loss == pytest.approx(b.loss, rel=1e-13) and normwise(flat(a), flat(b)) < 1e-13
    half = network("tanh").gradient(X, T, cbp.Quantile(0.5))
    assert half.loss == pytest.approx(network("tanh").gradient(X, T, "absolute_error").loss / 2)


# ---- labels, targets, metrics, scaling ----------------------------------------------------------


@TYPES
@pytest.mark.parametrize("n_outputs", [4, 20])
@pytest.mark.parametrize("name", ["smoothed", "focal", "focal_classes"])
def test_labels_have_the_bits_of_one_hot_rows(isa, name, n_outputs, dtype):
    """Labels and one-hot rows are the same targets."""
    loss, net = LOSSES[name][0], network("softmax", n_outputs=n_outputs, dtype=dtype)
    if name == "focal_classes":
        loss = replace(loss, alpha=tuple(0.5 + rng.random(n_outputs)))
    X, labels = rng.normal(size=(37, 3)), rng.integers(0, n_outputs, 37)
    a, b = (net.gradient(X, t, loss) for t in (labels, cbp.one_hot(labels, n_outputs)))
    assert a.loss == b.loss
    np.testing.assert_array_equal(flat(a), flat(b))


BAD = [
    (cbp.Poisson(), "identity", [[1.0, -0.5]], "`Y` must not be negative for the Poisson loss, got "
     "-0.5 in row 0, column 1: counts and rates are at least 0."),
    (cbp.GaussianNLL(), "identity", [[1.0, 2.0]],
     "`Y` must have 1 column (the network's targets), got 2."),
    (cbp.Focal(), "sigmoid", [[0.0, 1.5]], "`Y` must lie in [0, 1] for the focal loss, got 1.5 in "
     "row 0, column 1: write the two classes as 0 and 1."),
    (cbp.Focal(), "softmax", [[0.5, 0.6]], "`Y` must have rows that add up to 1 for the focal "
     "loss, got 1.1 in row 0: divide each row by its sum."),
    (cbp.Focal(alpha=(1.0, 2.0, 3.0)), "softmax", [1],
     "`alpha` must hold one number for each of the 2 outputs, got 3."),
    (cbp.Quantile([0.1, 0.5, 0.9]), "identity", [[1.0]], "`loss` quantile with 3 levels needs 3 "
     "outputs for each target, got 2 outputs: make the last layer a multiple of 3."),
]  # fmt: skip


@pytest.mark.parametrize("loss, output, Y, sentence", BAD, ids=[row[3][:40] for row in BAD])
def test_bad_targets(loss, output, Y, sentence):
    """Targets out of a loss's range are named."""
    net, X = network(output, n_outputs=2), np.zeros((1, 3))
    before = net.parameters.copy()
    for call in (lambda: net.gradient(X, np.array(Y), loss),
                 lambda: cbp.Trainer(net, loss).train_on_batch(X, np.array(Y))):  # fmt: skip
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == sentence
    np.testing.assert_array_equal(net.parameters, before)


NUMBERS = [
    (lambda: cbp.Huber(0.0), ValueError, "`delta` must be a finite number above 0, got 0.0."),
    (lambda: cbp.Quantile([]), ValueError, "`levels` must hold at least one level, got none."),
    (lambda: cbp.Quantile(1.0), ValueError, "`levels` must lie between 0 and 1, got 1.0."),
    (lambda: cbp.Quantile([0.5, "a"]), TypeError, "`levels` must be a number, got 'a'."),
    (lambda: cbp.GaussianNLL(0.0), ValueError,
     "`floor` must be a finite number at least 1e-30, got 0.0."),
    (lambda: cbp.CategoricalCrossEntropy(label_smoothing=1.0), ValueError,
     "`label_smoothing` must be below 1, got 1.0."),
    (lambda: cbp.Focal(-1.0), ValueError, "`gamma` must be a finite number at least 0, got -1.0."),
    (lambda: cbp.Focal(alpha=-1.0), ValueError,
     "`alpha` must be a finite number at least 0, got -1.0."),
    (lambda: cbp.Focal(alpha=()), ValueError, "`alpha` must hold a number for each class, got ()."),
    (lambda: cbp.CustomLoss(1, 2), TypeError, "`value` must be callable, got 1."),
    (lambda: cbp.SquaredError(mask_nan=1), TypeError, "`mask_nan` must be True or False, got 1."),
]  # fmt: skip


@pytest.mark.parametrize("call, error, sentence", NUMBERS, ids=[row[2][:40] for row in NUMBERS])
def test_bad_numbers(call, error, sentence):
    """A loss's own numbers are checked where it is made."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == sentence


@pytest.mark.filterwarnings("ignore::cbp.ScalingWarning")
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("name", ["quantiles", "gaussian_nll", "poisson"])
def test_metrics_where_outputs_are_not_targets(name, standardize):
    """Metrics, validation and standardising take the level nearest the median, the mean, the rate."""
    X = rng.normal(size=(200, 3))
    mean = np.exp(0.3 * X[:, :2])
    Y = rng.poisson(mean).astype(float) if name == "poisson" else 20.0 * mean + 50.0
    loss, outputs = LOSSES[name][0], 2 if name == "poisson" else 4
    net = cbp.Network([3, 16, outputs], "tanh", dtype="float64", seed=0, standardize=standardize)
    trainer = cbp.Trainer(net, loss, cbp.Adam(0.01), metrics=["mae", "r2"], seed=0)
    history = trainer.fit(X, Y, 30, validation_split=0.25, patience=20)
    assert {"val_loss", "val_mae", "val_r2"} <= set(history)
    got, y = trainer.evaluate(X, Y), net.predict(X)
    point = {"quantiles": lambda: y[:, 1::2], "gaussian_nll": lambda: y[:, :2],
             "poisson": lambda: np.exp(y)}[name]()  # fmt: skip
    assert got["mae"] == pytest.approx(cbp.metrics.mae(Y, point), rel=1e-10)
    assert got["r2"] == pytest.approx(cbp.metrics.r2(Y, point), rel=1e-8)


def test_masked_targets_train_and_standardise():
    """Training on holes learns what it saw; statistics and evaluation leave the holes out."""
    X = rng.normal(size=(400, 3))
    Y = np.stack([X[:, 0] - X[:, 1], 1000.0 + 300.0 * X[:, 2]], axis=1)
    holed = np.where(rng.random(Y.shape) < 0.4, np.nan, Y)
    net = cbp.Network([3, 16, 2], "tanh", dtype="float64", seed=0, standardize=True)
    trainer = cbp.Trainer(net, cbp.SquaredError(mask_nan=True), cbp.Adam(0.02), seed=0)
    trainer.fit(X, holed, 80)
    np.testing.assert_allclose(net.scaling.output_shift, np.nanmean(holed, axis=0))
    assert cbp.metrics.r2(Y, net.predict(X)) > 0.98
    assert np.isfinite(trainer.evaluate(X, holed)["loss"])
    with pytest.raises(ValueError, match="`Y` must have no NaN where metrics are asked"):
        cbp.Trainer(net, cbp.SquaredError(mask_nan=True), metrics="mae").fit(X, holed, 1)


def test_quantiles_cover_their_share():
    """Trained levels lie above as many targets as they say."""
    X = rng.uniform(-1, 1, (2000, 1))
    Y = X[:, 0] + (0.3 + 0.2 * X[:, 0]) * rng.normal(size=2000)
    net = cbp.Network([1, 16, 3], "tanh", dtype="float64", seed=0)
    cbp.Trainer(net, cbp.Quantile([0.1, 0.5, 0.9]), cbp.Adam(0.01), seed=0,
                schedule=cbp.Cosine(3780)).fit(X, Y, 60)  # fmt: skip
    np.testing.assert_allclose((Y[:, None] < net.predict(X)).mean(axis=0), [0.1, 0.5, 0.9],
                               atol=0.04)  # fmt: skip


def test_means_and_variances():
    """The likelihood finds the mean and the variance that the targets were drawn with."""
    X = rng.uniform(-1, 1, (3000, 1))
    Y = 2.0 * X[:, 0] + np.where(X[:, 0] > 0, 0.5, 0.1) * rng.normal(size=3000)
    net = cbp.Network([1, 16, 2], "tanh", dtype="float64", seed=0)
    loss = cbp.GaussianNLL()
    cbp.Trainer(net, loss, cbp.Adam(0.01), seed=0).fit(X, Y, 60)
    mean, variance = loss.mean_and_variance(net.predict([[-0.6], [0.6]]))
    np.testing.assert_allclose(mean[:, 0], [-1.2, 1.2], atol=0.1)
    np.testing.assert_allclose(np.sqrt(variance[:, 0]), [0.1, 0.5], rtol=0.25)


# ---- the training loop --------------------------------------------------------------------------


@EACH
@pytest.mark.usefixtures("all_threads")
@TYPES
def test_bits_do_not_depend_on_threads(name, output, dtype):
    """A run has the same bits for one thread and for three, of every loss."""
    ends = []
    for n_threads in (1, 3):
        net = cbp.Network([3, 40, N_OUTPUTS], "gelu", output, dtype=dtype, seed=1)
        loss, own = LOSSES[name][0], np.random.default_rng(2)
        X, T = own.normal(size=(300, 3)), targets(loss, output, 300, own)
        trainer = cbp.Trainer(net, loss, batch_size=100, seed=1, n_threads=n_threads)
        trainer.fit(X, T, 2)
        assert trainer.threads_used == (1 if name == "custom" or output is OWN else n_threads)
        ends.append(net.parameters.tobytes())
    assert ends[0] == ends[1]


@EACH
@TYPES
def test_single_batches_have_the_bits_of_fit(name, output, dtype):
    """train_on_batch, with its compiled checks and without them, is a step of fit."""
    loss, own = LOSSES[name][0], np.random.default_rng(2)
    X = own.normal(size=(40, 3)).astype(dtype)
    T = targets(loss, output, 40, own).astype(dtype)
    trainers = [cbp.Trainer(network(output, dtype=dtype), loss, batch_size=40, shuffle=False, seed=1)
                for _ in range(3)]  # fmt: skip
    for _ in range(3):
        told = [
            trainers[0].train_on_batch(X, T),
            trainers[1].train_on_batch(X, T, sample_weight=np.ones(40)),
            trainers[2].fit(X, T, 1)["loss"][0],
        ]
        assert told[0] == told[1] == told[2]
    for other in trainers[1:]:
        np.testing.assert_array_equal(trainers[0].net.parameters, other.net.parameters)


@EACH
@pytest.mark.parametrize("masked", [False, True])
def test_runs_of_small_networks_are_single_batches(name, output, masked):
    """Whatever room a long run of small steps takes, it ends where single batches end."""
    loss, own = LOSSES[name][0], np.random.default_rng(2)
    X, T = own.normal(size=(400, 3)), targets(loss, output, 400, own)
    if masked and name != "custom":
        loss = replace(loss, mask_nan=True)
        T[own.random(T.shape) < 0.2] = np.nan
    whole, single = (cbp.Trainer(network(output), loss, batch_size=40, shuffle=False, seed=1)
                     for _ in range(2))  # fmt: skip
    whole.fit(X, T, 2)
    for first in (*range(0, 400, 40), *range(0, 400, 40)):
        single.train_on_batch(X[first : first + 40], T[first : first + 40])
    np.testing.assert_array_equal(whole.net.parameters, single.net.parameters)


def test_custom_loss_is_the_compiled_one():
    """A pair of functions that says what squared error says has its numbers, at any output."""
    own = cbp.CustomLoss(lambda y, t: 0.5 * ((y - t) ** 2).sum(axis=1), lambda y, t: y - t)
    X, T = rng.normal(size=(300, 3)), rng.normal(size=(300, 4))
    for output in HIDDEN:
        net = network(output)
        got, expected = (net.gradient(X, T, loss) for loss in (own, "squared_error"))
        assert got.loss == pytest.approx(expected.loss, rel=1e-13)
        assert normwise(flat(got), flat(expected)) <= 1e-13


def test_custom_loss_may_fail():
    """An exception of a user's function comes out as it is, and nothing has been learnt."""

    def fails(y, t):
        raise KeyError("mine")

    net = network("identity")
    before = net.parameters.copy()
    for value, gradient, error, match in (
        (fails, lambda y, t: y, KeyError, "mine"),
        (
            lambda y, t: y,
            lambda y, t: y,
            ValueError,
            r"`value` of the loss must return an array of",
        ),
        (lambda y, t: y[:, 0], lambda y, t: "x", TypeError, "`gradient` of the loss must return"),
    ):
        trainer = cbp.Trainer(net, cbp.CustomLoss(value, gradient))
        with pytest.raises(error, match=match):
            trainer.fit(np.ones((4, 3)), np.ones((4, 4)), 1)
        np.testing.assert_array_equal(net.parameters, before)


@EACH
def test_checkpoints_keep_the_loss(tmp_path, name, output):
    """A trainer comes back with its loss, numbers and all; functions of one's own are code."""
    if isinstance(output, cbp.Activation):
        return
    loss = LOSSES[name][0]
    if name != "custom":
        loss = replace(loss, mask_nan=True)
    trainer = cbp.Trainer(network(output), loss, seed=1)
    if name == "custom":
        with pytest.raises(ValueError, match="`loss` is a function of your own cannot be saved"):
            trainer.save_checkpoint(tmp_path / "run")
        return
    trainer.save_checkpoint(tmp_path / "run")
    assert cbp.Trainer.load_checkpoint(tmp_path / "run").loss == loss
