"""Accuracy and R²: by hand, by weights, and against scikit-learn."""

import numpy as np
import pytest

from cbp.metrics import accuracy, r2

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


def test_r2_by_hand():
    """Perfect predictions give 1, the mean gives 0, worse is negative."""
    t = np.array([1.0, 2.0, 3.0, 6.0])
    assert r2(t, t) == 1.0
    assert r2(t, np.full(4, 3.0)) == 0.0
    assert r2(t, -t) < 0.0
    assert r2([2.0, 2.0], [2.0, 2.0]) == 1.0 and r2([2.0, 2.0], [2.0, 3.0]) == 0.0


def test_against_scikit_learn():
    """Both metrics are scikit-learn's, weights included."""
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    t, y, w = rng.normal(size=(50, 3)), rng.normal(size=(50, 3)), rng.uniform(size=50)
    assert r2(t, y, sample_weight=w) == pytest.approx(sklearn.r2_score(t, y, sample_weight=w))
    labels = rng.integers(0, 3, 50)
    assert accuracy(labels, y, sample_weight=w) == pytest.approx(
        sklearn.accuracy_score(labels, y.argmax(axis=1), sample_weight=w)
    )


@pytest.mark.parametrize("metric", [accuracy, r2])
def test_nothing_to_measure(metric):
    """No rows and no weight have no score."""
    with pytest.raises(ValueError, match=r"^Metrics need 1-d or 2-d arrays with rows, got shape "
                       r"\(0, 1\)\.$"):
        metric([], [])
    with pytest.raises(ValueError, match=r"^`sample_weight` must not be zero for every row\.$"):
        metric([1.0], [1.0], sample_weight=[0.0])
