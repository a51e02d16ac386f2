"""scikit-learn's estimators and cbp's on seven data sets: the same curves and scores, and the times.

Run with ``python examples/sklearn_side_by_side.py``; needs ``pip install cbp[sklearn]``. For each data
set and dtype both fit the same rows several times, in turn. Told are the largest relative
difference of the two loss curves over the first epochs, the score of each on rows it has not seen,
and the median of the ratios of their times, with its quartiles; and those of predicting 1 row and
1,000 rows. MNIST joins in where ``cbp.datasets.load_mnist`` finds its files or ``--mnist FOLDER``
names them. Times mean something on a machine that does nothing else: its load is told at the end.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings

import numpy as np
import sklearn.neural_network
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import cbp.sklearn

MODULES = (sklearn.neural_network, cbp.sklearn)
FIRST = 50  # epochs whose losses are compared: rounding grows with every epoch


def california_like(n=4000, seed=0):
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


# name: (loader, classifier or regressor, epochs at most)
TABLES = {
    "iris": (lambda: datasets.load_iris(return_X_y=True), "MLPClassifier", 200),
    "wine": (lambda: datasets.load_wine(return_X_y=True), "MLPClassifier", 200),
    "breast cancer": (lambda: datasets.load_breast_cancer(return_X_y=True), "MLPClassifier", 200),
    "digits": (lambda: datasets.load_digits(return_X_y=True), "MLPClassifier", 50),
    "diabetes": (lambda: datasets.load_diabetes(return_X_y=True), "MLPRegressor", 200),
    "California-like": (california_like, "MLPRegressor", 50),
}


def tables(mnist):
    """(name, training rows, test rows, training targets, test targets, kind, options) of each."""
    for name, (load, kind, epochs) in TABLES.items():
        X, y = load()
        if kind == "MLPRegressor":
            y = (y - y.mean()) / y.std()
        X = StandardScaler().fit_transform(X)
        parts = train_test_split(X, y, test_size=0.2, random_state=0)
        yield name, *parts, kind, {"max_iter": epochs}
    try:
        X, y, X_test, y_test = cbp.datasets.load_mnist(mnist)
    except FileNotFoundError as error:
        print(f"MNIST: {error}")
        return
    X, X_test = X.reshape(len(X), -1) / 255.0, X_test.reshape(len(X_test), -1) / 255.0
    options = {"hidden_layer_sizes": (128,), "max_iter": 2}
    yield "MNIST 784-128-10", X, X_test, y, y_test, "MLPClassifier", options


def timed(function, *arguments):
    """Seconds that a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def ratios(theirs, ours, repeats, calls=1):
    """How many times as long the first takes as the second: quartiles of pairs, one after the
    other; each time is the least of so many calls."""
    pairs = [
        [min(timed(function) for _ in range(calls)) for function in (theirs, ours)]
        for _ in range(repeats)
    ]
    return np.percentile([a / b for a, b in pairs], [50, 25, 75])


def compare(name, X, X_test, y, y_test, kind, options, dtype, repeats):
    """Print the line of one data set and dtype; return it as numbers."""
    X, X_test = X.astype(dtype), np.ascontiguousarray(np.resize(X_test, (1000, X.shape[1])), dtype)
    y_test = np.resize(y_test, 1000)
    models = [getattr(module, kind)(random_state=0, **options) for module in MODULES]
    fit = ratios(*(lambda m=m: m.fit(X, y) for m in models), repeats)
    curves = [np.array(m.loss_curve_[:FIRST]) for m in models]
    apart = np.abs(curves[1] / curves[0] - 1).max() if len(curves[0]) == len(curves[1]) else np.inf
    scores = [m.score(X_test, y_test) for m in models]
    row = X_test[:1]
    one = ratios(*(lambda m=m: m.predict(row) for m in models), 20, 20)
    many = ratios(*(lambda m=m: m.predict(X_test) for m in models), 20, 5)
    print(
        f"{name:17} {np.dtype(dtype).name}  {models[1].n_iter_:3} epochs  curves {apart:7.1e}  "
        f"scores {scores[0]:.4f} {scores[1]:.4f}  fit x{fit[0]:5.1f} ({fit[1]:.1f}-{fit[2]:.1f})  "
        f"predict 1 row x{one[0]:5.1f}, 1,000 x{many[0]:4.1f}",
        flush=True,
    )
    return {"apart": apart, "scores": scores, "fit": fit[0], "one": one[0], "many": many[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", help="the folder of the MNIST files")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of fits")
    parser.add_argument("--only", help="a word that a data set's name must hold")
    given = parser.parse_args()
    print(f"scikit-learn {sklearn.__version__}, cbp {cbp.__version__}, {os.cpu_count()} cores")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two hundred epochs are not always enough
        for name, *table in tables(given.mnist):
            if given.only is None or given.only in name:
                for dtype in (np.float64, np.float32):
                    compare(name, *table, dtype, given.repeats)
    print("load over 1, 5 and 15 minutes:", *(f"{load:.1f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
