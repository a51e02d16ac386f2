"""Activation functions and their derivatives, for every element of z.

What lives here: the value a = f(z), and the step back through it, dL/dz from dL/da.
Everything is float64 and stable for any finite z; complex z passes through analytically
(branches look at the real part only), so that a complex step can check every derivative.
"""

import numpy as np


def identity(z):
    """Return z itself."""
    return z


def sigmoid(z):
    """Return the logistic function 1 / (1 + exp(-z)), without overflow.

    The exponential is only ever taken of a number whose real part is not positive.
    """
    positive = z.real >= 0
    e = np.exp(np.where(positive, -z, z))
    return np.where(positive, 1.0, e) / (1.0 + e)


def tanh(z):
    """Return the hyperbolic tangent."""
    return np.tanh(z)


def relu(z):
    """Return z where it is not negative, else 0 (NaN stays NaN)."""
    return np.where(z.real < 0, 0.0, z)


def softmax(z):
    """Return exp(z) of every row divided by the row's sum, without overflow.

    Each row is shifted by its largest real part, which cancels in the quotient.
    """
    e = np.exp(z - z.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# f'(z), written with the activation a = f(z) where that is the shorter formula.
DERIVATIVES = {
    "identity": lambda z, a: np.ones_like(z),
    "sigmoid": lambda z, a: a * (1.0 - a),
    "tanh": lambda z, a: 1.0 - a * a,
    "relu": lambda z, a: np.where(z.real > 0, 1.0, 0.0),  # f'(0) = 0
}

ACTIVATIONS = {
    "identity": identity,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "softmax": softmax,
}


def backward(activation, d, z, a):
    """Return dL/dz, given d = dL/da.

    Parameters
    ----------
    activation : str
        A key of ``ACTIVATIONS``.
    d, z, a : ndarray of shape (n_samples, n_outputs)
        dL/da, the layer's pre-activations, and its activations f(z).

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        d * f'(z); for softmax, whose outputs all depend on every z of the row, the product
        with its Jacobian diag(a) - a aᵀ.
    """
    if activation == "softmax":
        return a * (d - (d * a).sum(axis=1, keepdims=True))
    return d * DERIVATIVES[activation](z, a)
