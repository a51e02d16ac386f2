"""Losses: their values and reductions against the reference, the targets they take."""

import numpy as np
import pytest

import cbp
from cbp import reference

LOSSES = {"squared_error": cbp.SquaredError, "binary_cross_entropy": cbp.BinaryCrossEntropy,
          "categorical_cross_entropy": cbp.CategoricalCrossEntropy}  # fmt: skip
PAIRS = [("squared_error", name) for name in ("identity", "sigmoid", "tanh", "relu")] + [
    ("binary_cross_entropy", "sigmoid"), ("categorical_cross_entropy", "softmax")]  # fmt: skip

rng = np.random.default_rng(1)
X = rng.normal(size=(7, 4))
T = rng.uniform(size=(7, 3))
T /= T.sum(axis=1, keepdims=True)
LABELS = np.array([0, 2, 1, 1, 0, 2, 2])


def network(output, n_outputs=3, dtype="float64"):
    return cbp.Network([4, 5, n_outputs], "tanh", output, dtype=dtype, seed=1)


def by_reference(net, Y, loss, **options):
    return reference.gradient(X, Y, list(net.weights), list(net.biases), net.activations, loss,
                              **options)  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [None, [1, 0, 2, 0.5, 3, 0, 1]], ids=["plain", "weighted"])
@pytest.mark.parametrize("loss, output", PAIRS)
def test_against_the_reference(loss, output, weight, reduction):
    """Loss, deltas and gradients are the reference's, for either reduction and any weights."""
    net = network(output)
    got = net.gradient(X, T, LOSSES[loss](reduction), sample_weight=weight, l2=0.1)
    expected = by_reference(net, T, loss, sample_weight=weight, reduction=reduction, l2=0.1)
    assert got.loss == pytest.approx(expected.loss, rel=1e-13)
    for ours, theirs in zip(got[1:], expected[1:]):
        for a, b in zip(ours, theirs):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_auto():
    """The output activation decides: softmax and sigmoid have cross-entropies."""
    for output, loss in (("softmax", "categorical_cross_entropy"), ("relu", "squared_error"),
                         ("sigmoid", "binary_cross_entropy"), ("identity", "squared_error"),
                         ("tanh", "squared_error")):  # fmt: skip
        net = network(output)
        assert net.gradient(X, T).loss == net.gradient(X, T, loss).loss
        assert cbp.Trainer(net).loss == LOSSES[loss]()


@pytest.mark.parametrize("kind", [int, np.int8, np.uint64, ">i4", list])
def test_labels_are_one_hot_rows(kind):
    """Integer labels of any type mean the same as one-hot targets."""
    net = network("softmax")
    labels = LABELS.tolist() if kind is list else LABELS.astype(kind)
    one_hot = net.gradient(X, cbp.one_hot(LABELS, 3))
    got = net.gradient(X, labels)
    assert got.loss == one_hot.loss
    np.testing.assert_array_equal(got.deltas[1], one_hot.deltas[1])


def test_boolean_labels():
    """False and True are classes 0 and 1."""
    net = network("softmax", 2)
    assert net.gradient(X, LABELS > 0).loss == net.gradient(X, (LABELS > 0).astype(int)).loss


@pytest.mark.parametrize("output", ["sigmoid", "identity"])
def test_one_output_takes_a_vector(output):
    """(n,) and (n, 1) are the same targets."""
    net = network(output, 1)
    t = (LABELS > 0).astype(float)
    assert net.gradient(X, t).loss == net.gradient(X, t[:, None]).loss
    assert net.gradient(X, t).loss == net.gradient(X, LABELS > 0).loss


def test_rows_of_probabilities_need_not_be_exact():
    """Rows in half precision add up to 1 well enough."""
    half = T.astype(np.float16)
    assert (half.astype(float).sum(axis=1) != 1.0).any()
    network("softmax").gradient(X, half)


def test_no_weight_at_all():
    """Where every weight is zero, the loss and its gradient are zero, and that is no error."""
    got = network("sigmoid").gradient(X, T, sample_weight=np.zeros(7))
    assert got.loss == 0.0 and not any(d.any() for d in got.deltas + got.weights + got.biases)


def test_extreme_logits():
    """Cross-entropies are finite where the activations are exactly 0 and 1."""
    for output, t in (("sigmoid", [[0.0]]), ("softmax", [[0.0, 1.0]])):
        net = cbp.Network([1, len(t[0])], output_activation=output, dtype="float64", bias=False)
        net.weights[0] = [[1.0, -1.0][: len(t[0])]]
        expected = 1e6 if output == "sigmoid" else 2e6
        assert net.gradient([[1e6]], t).loss == pytest.approx(expected)


def test_value_objects():
    """Losses compare by value, say what they are, and cannot be changed."""
    assert cbp.SquaredError() == cbp.SquaredError(reduction="mean") != cbp.SquaredError("sum")
    assert repr(cbp.SquaredError("sum")) == "SquaredError(reduction='sum', mask_nan=False)"
    assert cbp.SquaredError() != cbp.BinaryCrossEntropy()
    with pytest.raises(AttributeError):
        cbp.SquaredError().reduction = "sum"


@pytest.mark.parametrize("ours, same", [
    (lambda: cbp.Quantile(np.array([0.1, 0.9])), cbp.Quantile([0.1, 0.9])),
    (lambda: cbp.Quantile([np.float32(0.25)]), cbp.Quantile([0.25])),
    (lambda: cbp.Quantile(np.float64(0.25)), cbp.Quantile(0.25)),
    (lambda: cbp.Huber(np.float32(0.5)), cbp.Huber(0.5)),
    (lambda: cbp.Focal(np.float32(2.5), alpha=np.float32(0.25)), cbp.Focal(2.5, alpha=0.25)),
    (lambda: cbp.Focal(alpha=np.array([1.0, 2.0])), cbp.Focal(alpha=[1.0, 2.0]))])  # fmt: skip
def test_numbers_of_numpy_are_numbers(ours, same):
    """They are kept as Python's: equal, and said the same."""
    assert ours() == same and repr(ours()) == repr(same)
    if isinstance(same, cbp.Focal) and not isinstance(same.alpha, tuple):
        ours().check_activation("sigmoid")


def test_one_hot():
    """Labels become rows; the number of classes is the largest label's, if it is not given."""
    np.testing.assert_array_equal(cbp.one_hot(LABELS), np.eye(3)[LABELS])
    assert cbp.one_hot([0], 4).shape == (1, 4) and cbp.one_hot([], 2).shape == (0, 2)
