"""cbp.sklearn beside scikit-learn itself: the same draws, losses, stops, weights and scores."""

from __future__ import annotations

import inspect
import pickle
import re
import runpy
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import sklearn.neural_network as theirs
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

import cbp.sklearn as ours

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


SIDE_BY_SIDE = Path(__file__).parents[1] / "examples" / "sklearn_side_by_side.py"


def california_like():
    """What the example calls so."""
    return runpy.run_path(str(SIDE_BY_SIDE))["california_like"](1500)


CLASSIFICATION = {
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
}


def table(name):
    """(X standardised, y) of a data set."""
    if name in CLASSIFICATION:
        X, y = CLASSIFICATION[name](return_X_y=True)
    else:
        X, y = datasets.load_diabetes(return_X_y=True) if name == "diabetes" else california_like()
        y = StandardScaler().fit_transform(y[:, None])[:, 0]
    return StandardScaler().fit_transform(X), y


def pair(name, **options):
    """Both estimators of the kind that the data ask for, unfitted."""
    kind = "MLPClassifier" if name in CLASSIFICATION else "MLPRegressor"
    return [getattr(module, kind)(**options) for module in (theirs, ours)]


def fitted(estimators, *arguments, **options):
    """The estimators, fitted; and the seconds that each took."""
    seconds = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Older releases of scikit-learn hand newer ones of SciPy what these do not want.
        warnings.filterwarnings("ignore", "scipy.optimize", DeprecationWarning)
        for estimator in estimators:
            start = time.perf_counter()
            estimator.fit(*arguments, **options)
            seconds.append(time.perf_counter() - start)
    return estimators, seconds


def assert_alike(theirs, ours, rtol=1e-6):
    """The fitted estimators have followed the same path to the same place."""
    assert ours.n_iter_ == theirs.n_iter_ and ours.t_ == theirs.t_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=rtol)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=rtol)
    assert (ours.best_loss_ is None) == (theirs.best_loss_ is None)
    if theirs.best_loss_ is not None:
        np.testing.assert_allclose(ours.best_loss_, theirs.best_loss_, rtol=rtol)
    assert (ours.validation_scores_ is None) == (theirs.validation_scores_ is None)
    if theirs.validation_scores_ is not None:
        np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=rtol)
        np.testing.assert_allclose(
            ours.best_validation_score_, theirs.best_validation_score_, rtol=rtol
        )
    largest = max(np.abs(W).max() for W in theirs.coefs_)
    for a, b in zip(
        (*ours.coefs_, *ours.intercepts_), (*theirs.coefs_, *theirs.intercepts_), strict=True
    ):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=rtol * largest)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name)


# ---- the same path ------------------------------------------------------------------------------

OPTIONS = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.05},
    "plain": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.1,
                 "tol": 0.02, "n_iter_no_change": 2},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3, "learning_rate_init": 0.01},
    "early stopping, sgd": {"early_stopping": True, "solver": "sgd", "n_iter_no_change": 3},
    "no shuffle": {"shuffle": False, "alpha": 0.1, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3},
    "deep": {"hidden_layer_sizes": (20, 11, 7), "batch_size": 37, "alpha": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["iris", "wine", "breast cancer", "digits", "diabetes"])
def test_every_activation_follows_scikit_learn(name, activation):
    """Loss curve, weights and score are scikit-learn's on each of its data sets."""
    X, y = table(name)
    options = {"activation": activation, "random_state": 3, "max_iter": 12, "batch_size": 64}
    for more in ({"solver": "adam"}, OPTIONS["sgd"]):
        (a, b), _ = fitted(pair(name, **{"hidden_layer_sizes": (30,), **options, **more}), X, y)
        assert_alike(a, b)
        assert b.score(X, y) == pytest.approx(a.score(X, y), rel=1e-9)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", ["wine", "breast cancer", "diabetes", "california"])
def test_every_option_follows_scikit_learn(name, options):
    """So they are with every solver, schedule, stopping rule, depth and batch size."""
    X, y = table(name)
    X, y = X[:400], y[:400]
    (a, b), _ = fitted(pair(name, **{"random_state": 1, "max_iter": 40, **options}), X, y)
    assert_alike(a, b)
    assert b.score(X, y) == pytest.approx(a.score(X, y), rel=1e-9)


@pytest.mark.skipif(
    "sample_weight" not in inspect.signature(theirs.MLPClassifier.fit).parameters,
    reason="scikit-learn takes weights from 1.7 on",
)
@pytest.mark.parametrize("name", ["iris", "diabetes"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_sample_weight_follows_scikit_learn(name, early_stopping):
    """Weights count in the loss, in the penalty's divisor and in the validation score."""
    X, y = table(name)
    weight = np.random.default_rng(0).random(len(y)) + 0.1
    options = {"random_state": 0, "max_iter": 15, "batch_size": 30, "alpha": 1.0}
    (a, b), _ = fitted(
        pair(name, early_stopping=early_stopping, **options), X, y, sample_weight=weight
    )
    assert_alike(a, b)


# ---- other rules --------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_and_warm_start_follow_scikit_learn(solver):
    """Optimizer state goes on in partial_fit and begins anew in a warm start, as there."""
    X, y = table("iris")
    options = {"solver": solver, "random_state": 5, "batch_size": 40, "learning_rate_init": 0.02}
    for a, b in (pair("iris", **options), pair("iris", warm_start=True, max_iter=7, **options)):
        for _ in range(4):
            if a.warm_start:
                fitted([a, b], X, y)
            else:
                a.partial_fit(X, y, classes=[0, 1, 2])
                b.partial_fit(X, y, classes=[0, 1, 2])
        assert_alike(a, b)
        assert len(b.loss_curve_) == (28 if a.warm_start else 4)


def test_multilabel_and_several_outputs_follow_scikit_learn():
    """Rows of 0 and 1 have logistic outputs; a regressor's loss is a mean over its outputs."""
    X, Y = datasets.make_multilabel_classification(150, random_state=0)
    X = StandardScaler().fit_transform(X)
    (a, b), _ = fitted(pair("iris", random_state=0, max_iter=20), X, Y)
    assert_alike(a, b)
    assert (a.predict(X) == b.predict(X)).all()
    np.testing.assert_allclose(b.predict_proba(X), a.predict_proba(X), rtol=1e-6)
    targets = X[:, :3] @ np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])
    options = {"random_state": 0, "max_iter": 20, "early_stopping": True}
    (a, b), _ = fitted(pair("diabetes", **options), X, targets)
    assert_alike(a, b)
    assert b.predict(X).shape == (150, 2)


def test_saturated_probabilities_follow_scikit_learn():
    """Inputs of a thousand: the loss of a row is told as at most -log of the dtype's epsilon."""
    X, y = datasets.load_wine(return_X_y=True)
    for binary in (False, True):
        target = y == 1 if binary else y
        (a, b), _ = fitted(pair("wine", random_state=0, max_iter=5), X, target)
        assert a.loss_curve_[0] > 5  # far above log 3: saturated
        assert_alike(a, b, rtol=1e-5)


def test_strings_and_one_class_predict_as_in_scikit_learn():
    """Labels of any kind come back, in their own dtype."""
    X, y = table("iris")
    for labels in (
        np.array(["b", "a", "ccc"])[y], np.array(["b", "a", "c"], object)[y], y - 7, y > 0,
        np.zeros(150, int), np.array([2.5, 1.0, 7.0])[y].astype(int),
    ):  # fmt: skip
        (a, b), _ = fitted(pair("iris", random_state=0, max_iter=8), X, labels)
        assert a.predict(X).dtype == b.predict(X).dtype
        assert (a.predict(X) == b.predict(X)).all() and list(a.classes_) == list(b.classes_)
        np.testing.assert_allclose(b.predict_proba(X), a.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("name", ["iris", "breast cancer", "diabetes"])
def test_lbfgs_finds_what_scikit_learn_finds(name):
    """The first iterations are the same; the end is of the same quality."""
    X, y = (part[:200] for part in table(name))
    options = {"solver": "lbfgs", "random_state": 0, "hidden_layer_sizes": (20,), "alpha": 0.1}
    (a, b), _ = fitted(pair(name, max_iter=5, **options), X, y)
    assert b.n_iter_ == a.n_iter_ == 5
    np.testing.assert_allclose(b.loss_, a.loss_, rtol=1e-7)
    np.testing.assert_allclose(b.coefs_[0], a.coefs_[0], rtol=1e-5, atol=1e-7)
    (a, b), _ = fitted(pair(name, max_iter=200, **options), X, y)
    assert b.loss_ == pytest.approx(a.loss_, rel=0.2, abs=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_messages_are_scikit_learns(dtype, capsys):
    """What is printed with verbose, line for line."""
    X, y = table("iris")
    X = X.astype(dtype)
    told = []
    for options in (
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
        {"early_stopping": True, "n_iter_no_change": 1},
        {"tol": 0.1, "n_iter_no_change": 2},
    ):
        for estimator in pair("iris", random_state=0, max_iter=60, verbose=True, **options):
            fitted([estimator], X, y)
            told.append(capsys.readouterr().out.replace("\n\n", "\n").splitlines())
        ours, theirs = told[-1], told[-2]
        if dtype == np.float64:
            assert ours == theirs
        assert len(ours) == len(theirs) and ours[-1] == theirs[-1]
        assert ours[0].startswith("Iteration 1, loss = ")


# ---- time ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.no_sanitizer
@pytest.mark.parametrize("name", ["iris", "wine", "breast cancer", "digits", "diabetes"])
def test_whole_fits_and_their_times(name, capsys):
    """Fits with the default layers: the same accuracy, and in less than half the time."""
    X, y = table(name)
    (a, b), _ = fitted(pair(name, random_state=0, max_iter=40 if name == "digits" else 200), X, y)
    assert b.score(X, y) == pytest.approx(a.score(X, y), abs=0.01)
    np.testing.assert_allclose(b.loss_curve_[:50], a.loss_curve_[:50], rtol=1e-6)
    times = np.array([fitted([a, b], X, y)[1] for _ in range(2)]).min(axis=0)
    times[1] = min(times[1], *(fitted([b], X, y)[1][0] for _ in range(4)))
    row = np.ascontiguousarray(X[:1])
    calls = []
    for estimator in (a, b):
        start = time.perf_counter()
        for _ in range(200):
            estimator.predict(row)
        calls.append((time.perf_counter() - start) / 200)
    with capsys.disabled():
        print(
            f"\n{name:14} {b.n_iter_} epochs: {times[0]:.3f} s and {times[1]:.4f} s, "
            f"{times[0] / times[1]:.1f} times as fast; one row {calls[0] * 1e6:.0f} us and "
            f"{calls[1] * 1e6:.1f} us, {calls[0] / calls[1]:.1f} times"
        )
    assert times[0] > 2 * times[1] and calls[0] > 4 * calls[1]


@pytest.mark.slow
def test_the_comparison_runs(tmp_path):
    """examples/sklearn_side_by_side.py: the same curves and scores; without MNIST it says so."""
    done = subprocess.run(
        [sys.executable, str(SIDE_BY_SIDE), "--only", "iris", "--repeats", "1",
         "--mnist", str(tmp_path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = re.findall(r"^iris .*curves +(\S+) +scores (\S+) (\S+) .*fit x", done.stdout, re.M)
    for (apart, _, _), bound in zip(lines, (1e-6, 1e-3), strict=True):
        assert float(apart) < bound
    assert all(a == b for _, a, b in lines)
    assert "MNIST: " in done.stdout


@pytest.mark.slow
@pytest.mark.no_sanitizer
def test_mnist_follows_scikit_learn(mnist_folder, capsys):
    """784-128-10 on real digits, float64 and float32."""
    import cbp

    images, labels, _, _ = cbp.datasets.load_mnist(mnist_folder)
    rows = images[:6000].reshape(6000, -1) / 255.0
    for dtype, tolerance in ((np.float64, 1e-6), (np.float32, 1e-3)):
        X, y = rows.astype(dtype), labels[:6000]
        options = {"hidden_layer_sizes": (128,), "random_state": 0, "max_iter": 3}
        (a, b), seconds = fitted(pair("digits", batch_size=128, **options), X, y)
        np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=tolerance)
        assert b.score(X, y) == pytest.approx(a.score(X, y), abs=0.002)
        with capsys.disabled():
            print(f"\nMNIST {np.dtype(dtype)}: {seconds[0] / seconds[1]:.1f} times as fast")


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 150, 1797, 70_000])
def test_orders_are_drawn_as_numpy_draws_them(n):
    """legacy_shuffles is RandomState.shuffle composed epoch by epoch, and leaves it as that does."""
    from cbp import _runtime

    ours, numpys = np.random.RandomState(3), np.random.RandomState(3)
    index, rows = np.arange(n, dtype=np.intp), np.arange(n, dtype=np.intp) * 3
    orders = np.full((3, n), -1, np.intp)
    _runtime.legacy_shuffles(ours._bit_generator, orders[:1], index, None)
    _runtime.legacy_shuffles(ours._bit_generator, orders[1:], index, rows)
    expected = np.arange(n)
    for epoch in range(3):
        permutation = np.arange(n)
        numpys.shuffle(permutation)
        expected = expected[permutation]
        assert (orders[epoch] == expected * (3 if epoch else 1)).all()
    assert ours.randint(2**31) == numpys.randint(2**31)
    with pytest.raises(ValueError, match="same length"):
        _runtime.legacy_shuffles(ours._bit_generator, orders, np.arange(n + 1), None)


def test_generators_are_what_scikit_learn_makes():
    """A number as random_state gives the same state, and the same errors."""
    from sklearn.utils import check_random_state

    from cbp.sklearn.base import _seeded

    for seed in (0, 1, 2**32 - 1):
        pairs = zip(_seeded(seed).get_state(), check_random_state(seed).get_state())
        assert all(np.array_equal(*pair) for pair in pairs)
    twin = pickle.loads(pickle.dumps(_seeded(7)))
    assert twin.randint(2**31) == np.random.RandomState(7).randint(2**31)
    for wrong in (-1, 2**32):
        with pytest.raises(ValueError):
            _seeded(wrong)
