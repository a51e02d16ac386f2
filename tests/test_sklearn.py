"""cbp.sklearn beside scikit-learn itself: the same draws, losses, stops, weights and scores."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import sklearn.neural_network as theirs
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

import cbp.sklearn as ours

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


def california_like(n=1500, seed=0):
    """House values of districts: eight skewed features, a target in [0.15, 5] cut off above."""
    rng = np.random.default_rng(seed)
    income, age = rng.gamma(4.0, 1.0, n), rng.uniform(1, 52, n)
    rooms, people = rng.lognormal(1.6, 0.3, n), rng.lognormal(7.0, 0.7, n)
    bedrooms, household = rooms * rng.normal(0.2, 0.02, n), rng.lognormal(1.0, 0.2, n)
    latitude, longitude = rng.uniform(32.5, 42, n), rng.uniform(-124.4, -114.3, n)
    coast = np.exp(-((latitude + longitude + 82.5) ** 2))
    value = 0.4 * income + 0.01 * age + coast - 0.3 * household + rng.normal(0, 0.4, n) + 1
    X = np.c_[income, age, rooms, bedrooms, people, household, latitude, longitude]
    return X, np.clip(value, 0.15, 5.0)


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
