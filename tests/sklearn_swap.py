"""A pytest plugin that puts cbp's estimators where scikit-learn's tests look for their own.

Used as ``pytest -p sklearn_swap --pyargs sklearn.neural_network.tests.test_mlp``.
"""

from __future__ import annotations

import sklearn.neural_network

import cbp.sklearn

sklearn.neural_network.MLPClassifier = cbp.sklearn.MLPClassifier
sklearn.neural_network.MLPRegressor = cbp.sklearn.MLPRegressor
