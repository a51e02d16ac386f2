"""What others demand of an estimator: scikit-learn's checks, and its tests of its own MLP."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import SkipTest

import pytest

pytest.importorskip("sklearn", minversion="1.6")

import sklearn.neural_network
from sklearn.exceptions import ConvergenceWarning, SkipTestWarning
from sklearn.utils.estimator_checks import estimator_checks_generator

import cbp.sklearn

# Tests of scikit-learn that call private methods of its estimators: docs/sklearn.md.
PRIVATE = {"test_gradient"}


def run(*arguments, **environment):
    """A Python process of its own: (exit code, what it printed)."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", cbp.sklearn.__all__)
def test_check_estimator(name):
    """Every check of scikit-learn's passes, none is declared to fail, and one that skips these
    estimators skips scikit-learn's own as well."""
    estimator = getattr(cbp.sklearn, name)()
    names = []
    for instance, check in estimator_checks_generator(estimator, legacy=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", SkipTestWarning)
            warnings.simplefilter("ignore", UserWarning)
            try:
                check(instance)
            except SkipTest:
                with pytest.raises(SkipTest):
                    check(getattr(sklearn.neural_network, name)())
        names.append(check.func.__name__)
    assert len(names) > 40


@pytest.mark.slow
def test_scikit_learns_own_tests_of_its_mlp():
    """They pass with cbp's estimators in the place of scikit-learn's."""
    code, printed = run(
        "-m", "pytest", "-q", "-p", "sklearn_swap", "-p", "no:cacheprovider", "-c", os.devnull,
        "--pyargs", "sklearn.neural_network.tests.test_mlp", PYTHONPATH=str(Path(__file__).parent),
    )  # fmt: skip
    failed = set(re.findall(r"^(?:FAILED|ERROR).*::(\w+)", printed, re.M))
    assert failed <= PRIVATE, printed
    assert int(re.search(r"(\d+) passed", printed)[1]) >= 50, printed


def test_importing_cbp_does_not_import_scikit_learn():
    """The core never enters this room."""
    code, printed = run("-c", "import cbp, sys; print('sklearn' in sys.modules)")
    assert (code, printed.strip()) == (0, "False")


def test_absence_of_scikit_learn_is_one_sentence():
    """It names the extra to install."""
    code, printed = run("-c", "import sys; sys.modules['sklearn'] = None; import cbp.sklearn")
    assert code == 1
    assert "ImportError: cbp.sklearn needs scikit-learn 1.6 or newer" in printed
    assert "pip install cbp[sklearn]" in printed and "direct cause" not in printed
