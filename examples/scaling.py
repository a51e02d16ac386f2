"""Data as they come: inputs and targets of any size, standardised by the network itself.

Two problems whose targets lie around 10,000 ± 1,000: scikit-learn's diabetes data, and Friedman's
first function, a smooth one of 5 inputs. Needs scikit-learn for the data and for comparison:
python examples/scaling.py
"""

import sys
import warnings

import numpy as np
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.neural_network import MLPRegressor

import cbp


def r2(targets, predictions):
    """Return 1 for perfect predictions, 0 for those of a constant, the mean."""
    return 1 - ((targets - predictions) ** 2).sum() / ((targets - targets.mean()) ** 2).sum()


def compare(name, X, y):
    """Print R² on held-out rows, with every default."""
    y = (y - y.mean()) / y.std()
    order = np.random.default_rng(1).permutation(len(X))
    held, rest = order[: len(X) // 4], order[len(X) // 4 :]

    # What there is to reach: everything standardised by hand.
    Z = (X - X[rest].mean(0)) / X[rest].std(0)
    net = cbp.Network([X.shape[1], 100, 1], seed=1)
    cbp.Trainer(net, seed=1).fit(Z[rest], y[rest], epochs=50)
    by_hand = r2(y[held], net.predict(Z[held])[:, 0])

    targets = 10_000 + 1_000 * y
    net = cbp.Network([X.shape[1], 100, 1], standardize=True, seed=1)
    cbp.Trainer(net, seed=1).fit(X[rest], targets[rest], epochs=50)
    by_network = r2(targets[held], net.predict(X[held])[:, 0])

    other = MLPRegressor(random_state=1).fit(X[rest], targets[rest])
    unscaled = r2(targets[held], other.predict(X[held]))
    print(f"{name:<11}{by_hand:>20.3f}{by_network:>22.3f}{unscaled:>26.1f}")


def main():
    warnings.simplefilter("ignore")  # MLPRegressor's, that it has not converged
    print("R² on held-out rows")
    print(f"{'':<11}{'scaled by hand':>20}{'standardize=True':>22}{'sklearn MLPRegressor':>26}")
    compare("diabetes", *load_diabetes(return_X_y=True))
    compare("Friedman", *make_friedman1(2000, n_features=5, noise=1.0, random_state=0))


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # a terminal without a superscript shows "?"
    main()
