"""Metrics: by hand, by weights, chunk by chunk, and against scikit-learn."""

import numpy as np
import pytest

import cbp
from cbp import metrics
from cbp.metrics import accuracy, auc, mae, r2, rmse, top_k

SCORES = np.array([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4], [0.4, 0.5, 0.1]])


def test_accuracy_by_the_largest_output():
    """Labels and one-hot rows mean the same; three of four are right."""
    labels = np.array([0, 1, 2, 0])
    assert accuracy(labels, SCORES) == 0.75
    assert accuracy(np.eye(3)[labels], SCORES) == 0.75
    assert accuracy(labels, SCORES, sample_weight=[1, 1, 1, 3]) == 0.5


def test_accuracy_of_one_output():
    """Class 1 is what lies above one half."""
    assert accuracy([0, 1, 1, 0], [0.5, 0.6, 0.4, 0.1]) == 0.75
    assert accuracy([[0], [1], [1], [0]], [[0.5], [0.6], [0.4], [0.1]]) == 0.75


@pytest.mark.parametrize("row", [[1, 1, 0], [0, 0, 0]])
def test_accuracy_wants_one_class_a_row(row):
    """Several labels a row, or none, have no accuracy; rows of probabilities do."""
    assert accuracy([[0.5, 0.2, 0.3]], [[0.9, 0.0, 0.1]]) == 1.0
    with pytest.raises(ValueError, match=r"^`y_true` must have one largest element in every row "
                       r"for accuracy, as one-hot rows have, got several in row 1: accuracy is "
                       r"not for several labels a row\.$"):
        accuracy([[1, 0, 0], row], SCORES[:2])


def test_labels_are_no_outputs():
    """Predicted labels in the place of outputs would give a number that means nothing."""
    with pytest.raises(ValueError, match=r"^`y_true` must lie in \[0, 1\] where `y_pred` has one "
                       r"column, got 2 in row 2: `y_pred` are a network's outputs, not labels\.$"):
        accuracy([0, 1, 2], [0, 1, 1])


def test_r2_by_hand():
    """Perfect predictions give 1, the mean gives 0, worse is negative."""
    t = np.array([1.0, 2.0, 3.0, 6.0])
    assert r2(t, t) == 1.0
    assert r2(t, np.full(4, 3.0)) == 0.0
    assert r2(t, -t) < 0.0
    assert r2([2.0, 2.0], [2.0, 2.0]) == 1.0 and r2([2.0, 2.0], [2.0, 3.0]) == 0.0


def test_top_k_by_hand():
    """The class is among the k largest; of equal outputs the last is the largest."""
    labels = np.array([0, 0, 0, 2])
    assert [top_k(labels, SCORES, k) for k in (1, 2, 3)] == [0.25, 0.5, 1.0]
    assert top_k(np.eye(3)[labels], SCORES, 2, sample_weight=[1, 1, 0, 0]) == 1.0


def test_auc_by_hand():
    """Of four pairs one is in the wrong order, and one is equal."""
    assert auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
    assert auc([0, 1], [0.5, 0.5]) == 0.5
    with pytest.raises(ValueError, match=r"^auc needs rows of the class and rows that are not, got "
                       r"one kind for output 0\.$"):
        auc([1, 1], [0.1, 0.2])


def test_errors_by_hand():
    """Of each output, then averaged; unknown targets do not count."""
    t, y = [[0.0, 1.0], [0.0, 3.0]], [[3.0, 1.0], [4.0, 3.0]]
    assert mae(t, y) == 1.75
    assert rmse(t, y) == np.sqrt(12.5) / 2
    assert mae([0.0, np.nan, 2.0], [1.0, 9.0, 5.0]) == 2.0
    assert r2([1.0, 2.0, np.nan, 3.0], [1.0, 2.0, 9.0, 4.0]) == 0.5


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_scikit_learn(dtype, weighted):
    """Every metric is scikit-learn's, ties and weights included."""
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    t, y = rng.normal(size=(2, 500, 4)).astype(dtype) + np.array([0, 1e3, -1, 5]).astype(dtype)
    w = rng.uniform(size=500) if weighted else None
    options = {"sample_weight": w}
    numbers = {
        "r2": sklearn.r2_score, "mae": sklearn.mean_absolute_error,
        "rmse": sklearn.root_mean_squared_error,
    }  # fmt: skip
    for name, theirs in numbers.items():
        ours = getattr(metrics, name)(t, y, **options)
        assert ours == pytest.approx(theirs(t.astype(float), y.astype(float), **options), rel=1e-9)
    labels = rng.integers(0, 4, 500)
    scores = np.round(rng.uniform(size=(500, 4)), 1).astype(dtype)
    assert accuracy(labels, scores, **options) == pytest.approx(
        sklearn.accuracy_score(labels, scores.argmax(axis=1), **options)
    )
    for k in (1, 2, 3):
        assert top_k(labels, scores, k, **options) == pytest.approx(
            sklearn.top_k_accuracy_score(labels, scores, k=k, labels=range(4), **options)
        )
    one_hot = np.eye(4)[labels]
    expected = sklearn.roc_auc_score(one_hot, scores, average="macro", **options)
    assert auc(labels, scores, **options) == pytest.approx(expected, rel=1e-12)
    assert auc(one_hot, scores, **options) == pytest.approx(expected, rel=1e-12)
    assert auc(labels == 1, scores[:, 1], **options) == pytest.approx(
        sklearn.roc_auc_score(labels == 1, scores[:, 1], **options), rel=1e-12
    )


@pytest.mark.parametrize("name", ["accuracy", "auc", "mae", "r2", "rmse", "top_2"])
def test_chunks_do_not_show(name):
    """A meter that took the rows in parts tells what the function tells of all of them."""
    rng = np.random.default_rng(2)
    y, w = rng.normal(size=(300, 3)), rng.uniform(size=300)
    t = rng.integers(0, 3, 300) if name in ("accuracy", "auc", "top_2") else rng.normal(size=(300, 3))
    one = metrics.meter(name)
    for first in (0, 100, 256):
        stop = {0: 100, 100: 256, 256: 300}[first]
        one.add(t[first:stop], y[first:stop], w[first:stop])
    function = metrics.top_k if name == "top_2" else getattr(metrics, name)
    extra = (2,) if name == "top_2" else ()
    assert one.value() == pytest.approx(function(t, y, *extra, sample_weight=w), rel=1e-12)


@pytest.mark.parametrize("output, metrics_, words", [
    ("identity", "auc", "auc needs a sigmoid or softmax output, got identity: use 'r2'"),
    ("softmax", "mae", "mae does not go with a softmax output: use 'accuracy'"),
    ("softmax", ["accuracy", "top_3"], "top_3 needs more than 3 outputs, got 3: use 'accuracy'"),
])  # fmt: skip
def test_metrics_that_do_not_go_with_the_outputs(output, metrics_, words):
    """Refused when the trainer is made."""
    with pytest.raises(ValueError, match=rf"^`metrics` {words}\.$"):
        cbp.Trainer(cbp.Network([4, 3], output_activation=output), metrics=metrics_)


@pytest.mark.parametrize("output, targets", [
    ("softmax", np.zeros(6, int)), ("sigmoid", [[1, 0, 0], [0, 1, 0]] * 3)])  # fmt: skip
def test_an_area_that_is_not_defined(output, targets):
    """A class that has no rows, or all, is named before anything is learnt."""
    run = cbp.Trainer(cbp.Network([4, 3], output_activation=output, seed=1), metrics="auc")
    before, X = run.net.parameters.copy(), np.ones((6, 4))
    for call in (lambda: run.fit(X, targets, 1), lambda: run.evaluate(X, targets),
                 lambda: run.fit(X, np.eye(3)[[0, 1, 2, 0, 1, 2]], 1, validation_data=(X, targets))):
        with pytest.raises(ValueError, match="auc needs rows of the class and rows that are not, got"
                           " one kind for output [02].$"):
            call()
    np.testing.assert_array_equal(run.net.parameters, before)


@pytest.mark.parametrize("output, names", [
    ("softmax", ("accuracy", "top_2", "auc")), ("sigmoid", ("accuracy", "auc", "r2", "mae")),
    ("identity", ("r2", "mae", "rmse"))])  # fmt: skip
def test_evaluate_is_one_pass_with_the_functions_numbers(output, names):
    """evaluate over several chunks: the metrics of `predict`, the loss of `gradient`."""
    rng = np.random.default_rng(3)
    X, w = rng.normal(size=(20_000, 4)), rng.uniform(size=20_000)
    net = cbp.Network([4, 5, 3], "tanh", output, dtype="float64", seed=1)
    Y = rng.integers(0, 3, 20_000)
    if output != "softmax":
        Y = cbp.one_hot(Y, 3)
    got = cbp.Trainer(net, metrics=names).evaluate(X, Y, sample_weight=w)
    y = net.predict(X)
    for name in names:
        function, extra = (metrics.top_k, (2,)) if name == "top_2" else (getattr(metrics, name), ())
        assert got[name] == pytest.approx(function(Y, y, *extra, sample_weight=w), rel=1e-12)
    assert got["loss"] == pytest.approx(net.gradient(X, Y, sample_weight=w).loss, rel=1e-12)


@pytest.mark.parametrize("metric", [accuracy, r2])
def test_nothing_to_measure(metric):
    """No rows and no weight have no score."""
    with pytest.raises(ValueError, match=r"^Metrics need 1-d or 2-d arrays with rows, got shape "
                       r"\(0, 1\)\.$"):
        metric([], [])
    with pytest.raises(ValueError, match=r"^`sample_weight` must not be zero for every row\.$"):
        metric([1.0], [1.0], sample_weight=[0.0])
