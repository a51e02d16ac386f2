"""Activation functions and their derivatives, for every element of z.

What lives here: the value a = f(z), and the step back through it, dL/dz from dL/da.
Everything is float64 and stable for any finite z; complex z passes through analytically
(branches look at the real part only), so that a complex step can check every derivative.
"""

import math

import numpy as np

LEAK = 0.01  # leaky_relu: the slope below 0
LAMBDA = 1.0507009873554804934  # selu: Klambauer et al., NeurIPS 2017
ALPHA = 1.6732632423543772848


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


def leaky_relu(z):
    """Return z where it is not negative, else 0.01 z."""
    return np.where(z.real < 0, LEAK * z, z)


def elu(z):
    """Return z where it is positive, else exp(z) - 1."""
    return np.where(z.real > 0, z, np.expm1(np.where(z.real > 0, 0.0, z)))


def selu(z):
    """Return λ z where z is positive, else λ α (exp(z) - 1)."""
    return LAMBDA * np.where(z.real > 0, z, ALPHA * elu(z))


def gelu(z):
    """Return z Φ(z), Φ being the distribution function of the standard normal."""
    return z * normal(z)


def silu(z):
    """Return z sigmoid(z), also called swish."""
    return z * sigmoid(z)


def mish(z):
    """Return z tanh(softplus(z))."""
    return z * np.tanh(softplus(z))


def softplus(z):
    """Return log(1 + exp(z)), without overflow."""
    positive = z.real > 0
    return np.where(positive, z, 0.0) + np.log1p(np.exp(np.where(positive, -z, z)))


def softsign(z):
    """Return z / (1 + |z|)."""
    return z / (1.0 + np.where(z.real < 0, -z, z))


def sin(z):
    """Return the sine."""
    return np.sin(z)


def hard_sigmoid(z):
    """Return (z + 3) / 6, cut to [0, 1]."""
    return np.where(z.real <= -3, 0.0, np.where(z.real >= 3, 1.0, (z + 3.0) / 6.0))


def softmax(z):
    """Return exp(z) of every row divided by the row's sum, without overflow.

    Each row is shifted by its largest real part, which cancels in the quotient.
    """
    e = np.exp(z - z.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax(z):
    """Return the logarithm of softmax, also where softmax rounds to 0 or 1.

    The largest term of the sum is exactly 1: it comes back in log1p.
    """
    rows = np.arange(len(z))
    largest = z.real.argmax(axis=1)
    u = z - z[rows, largest][:, None]
    e = np.exp(u)
    e[rows, largest] = 0.0
    return u - np.log1p(e.sum(axis=1, keepdims=True))


def normal(z):
    """Return Φ(z) = erfc(-z / √2) / 2; of a complex z to the first order in its imaginary part."""
    value = np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2.0)), otypes=[float])(z.real)
    return value + 1j * z.imag * density(z.real) if np.iscomplexobj(z) else value


def density(z):
    """Return φ(z), the density of the standard normal distribution."""
    return np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def mish_slope(z, a):
    """Return t + z (1 - t²) sigmoid(z) with t = tanh(softplus(z))."""
    t = np.tanh(softplus(z))
    return t + z * (1.0 - t * t) * sigmoid(z)


# f'(z), written with the activation a = f(z) where that is the shorter formula.
DERIVATIVES = {
    "identity": lambda z, a: np.ones_like(z),
    "sigmoid": lambda z, a: a * (1.0 - a),
    "tanh": lambda z, a: 1.0 - a * a,
    "relu": lambda z, a: np.where(z.real > 0, 1.0, 0.0),  # f'(0) = 0
    "leaky_relu": lambda z, a: np.where(z.real > 0, 1.0, LEAK),
    "elu": lambda z, a: np.where(z.real > 0, 1.0, a + 1.0),
    "selu": lambda z, a: np.where(z.real > 0, LAMBDA, a + LAMBDA * ALPHA),
    "gelu": lambda z, a: normal(z) + z * density(z),
    "silu": lambda z, a: sigmoid(z) * (1.0 + z * sigmoid(-z)),
    "mish": mish_slope,
    "softplus": lambda z, a: sigmoid(z),
    "softsign": lambda z, a: (1.0 - np.abs(a)) ** 2,
    "sin": lambda z, a: np.cos(z),
    "hard_sigmoid": lambda z, a: np.where(np.abs(z.real) < 3, 1.0 / 6.0, 0.0),
}

ACTIVATIONS = {
    "identity": identity,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "gelu": gelu,
    "silu": silu,
    "mish": mish,
    "softplus": softplus,
    "softsign": softsign,
    "sin": sin,
    "hard_sigmoid": hard_sigmoid,
    "softmax": softmax,
    "log_softmax": log_softmax,
}


def activate(activation, z):
    """Return f(z) for the name of an activation, or for a pair (f, f') of functions."""
    return (ACTIVATIONS[activation] if isinstance(activation, str) else activation[0])(z)


def backward(activation, d, z, a):
    """Return dL/dz, given d = dL/da.

    Parameters
    ----------
    activation : str or (callable, callable)
        A key of ``ACTIVATIONS``, or the functions f and f' of z.
    d, z, a : ndarray of shape (n_samples, n_outputs)
        dL/da, the layer's pre-activations, and its activations f(z).

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        d * f'(z); for softmax, whose outputs all depend on every z of the row, the product
        with its Jacobian diag(a) - a aᵀ, and for log_softmax with I - exp(a) 1ᵀ.
    """
    if activation == "softmax":
        return a * (d - (d * a).sum(axis=1, keepdims=True))
    if activation == "log_softmax":
        return d - np.exp(a) * d.sum(axis=1, keepdims=True)
    if isinstance(activation, str):
        return d * DERIVATIVES[activation](z, a)
    return d * activation[1](z)
