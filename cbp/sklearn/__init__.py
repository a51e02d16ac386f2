"""Scikit-learn estimators on the compiled core: change one import line.

What lives here: `MLPClassifier` and `MLPRegressor`, with the parameters, attributes, random draws
and stopping rules of scikit-learn's estimators of the same names. What must not: arithmetic on
the parameters; the minibatch loop is compiled. The core never imports this room.
"""

try:
    import sklearn as _sklearn
except ImportError:
    raise ImportError(
        "cbp.sklearn needs scikit-learn 1.6 or newer: install it with `pip install cbp[sklearn]`."
    ) from None
if tuple(map(int, _sklearn.__version__.split(".")[:2])) < (1, 6):
    raise ImportError(
        f"cbp.sklearn needs scikit-learn 1.6 or newer, got {_sklearn.__version__}: "
        "install it with `pip install cbp[sklearn]`."
    )

from .estimators import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
