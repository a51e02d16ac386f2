"""The mathematics of cbp in plain NumPy: float64, short, and readable beside the equations.

What lives here: the reference that every compiled result is checked against. It is written to be
understood, not to be fast, and imports nothing but NumPy.

Examples
--------
>>> from cbp import reference
>>> W, b = [[[0.1, 0.2]], [[0.3], [0.4]]], [None, None]
>>> g = reference.gradient([[1.5]], [[0.25]], W, b, ["sigmoid"] * 2, "squared_error")
>>> print(f"{g.loss:.6f} {g.deltas[1][0, 0]:.6f}")
0.060040 0.083403
"""

from .activations import ACTIVATIONS
from .core import Forward, Gradient, deltas, descend, forward, gradient
from .losses import LOSSES
from .optimizers import SGD, Adagrad, Adam, Lion, Nadam, RMSprop, Rprop
from .regularisation import dropout_gradient, limited, penalised
from .training import Training, train

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "SGD",
    "Adagrad",
    "Adam",
    "Forward",
    "Gradient",
    "Lion",
    "Nadam",
    "RMSprop",
    "Rprop",
    "Training",
    "deltas",
    "descend",
    "dropout_gradient",
    "forward",
    "gradient",
    "limited",
    "penalised",
    "train",
]
