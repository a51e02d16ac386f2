"""Losses: one number a row, summed over the outputs, and their derivative with respect to z.

What lives here: the three losses, the form of the targets, and the weights with which rows add
up to the loss of a batch. Cross-entropies are computed from the logits z, never from the
activations: they stay finite and accurate where sigmoid or softmax round to 0 or 1.
Complex z passes through analytically.
"""

import numpy as np

from .activations import backward


def squared_error(z, a, t):
    """Return ½ Σ (a - t)² of every row."""
    return 0.5 * ((a - t) ** 2).sum(axis=1)


def binary_cross_entropy(z, a, t):
    """Return -Σ (t log a + (1 - t) log(1 - a)) of every row, with a = sigmoid(z).

    Written as a sum of terms that are not negative, so that nothing cancels:
    (1 - t) z for z > 0, -t z for z <= 0, and log(1 + exp(-|z|)).
    """
    positive = z.real > 0
    linear = np.where(positive, (1.0 - t) * z, -t * z)
    return (linear + np.log1p(np.exp(np.where(positive, -z, z)))).sum(axis=1)


def categorical_cross_entropy(z, a, t):
    """Return -Σ t log a of every row, with a = softmax(z); the t of a row sum to 1.

    With u = z - z_max, -log a = log Σ exp(u) - u. The largest term of the sum is exactly 1: it
    is left out of the sum and comes back in log1p, which keeps a loss near 0 accurate.
    """
    rows = np.arange(len(z))
    largest = z.real.argmax(axis=1)
    u = z - z[rows, largest][:, None]
    e = np.exp(u)
    e[rows, largest] = 0.0
    return (t * (np.log1p(e.sum(axis=1, keepdims=True)) - u)).sum(axis=1)


LOSSES = {
    "squared_error": squared_error,
    "binary_cross_entropy": binary_cross_entropy,
    "categorical_cross_entropy": categorical_cross_entropy,
}

# The activation whose output a cross-entropy takes for a probability.
PROBABILITY = {"binary_cross_entropy": "sigmoid", "categorical_cross_entropy": "softmax"}


def output_delta(loss, activation, z, a, t):
    """Return dℓ/dz of every row at the output layer (n_samples, n_outputs).

    Squared error: (a - t) taken back through the activation. A cross-entropy with the
    activation that belongs to it: a - t, because the derivative of the activation cancels.
    """
    if loss == "squared_error":
        return backward(activation, a - t, z, a)
    return a - t


def check_pair(loss, activation):
    """Raise ValueError if `loss` is unknown or does not go with the output `activation`."""
    if loss not in LOSSES:
        raise ValueError(f"`loss` must be one of {', '.join(LOSSES)}, got {loss!r}.")
    if PROBABILITY.get(loss, activation) != activation:
        raise ValueError(
            f"`loss` {loss} needs the output activation {PROBABILITY[loss]}, got {activation}."
        )


def as_targets(Y, n_samples, n_outputs):
    """Return the targets as an array (n_samples, n_outputs).

    Parameters
    ----------
    Y : array_like
        (n_samples, n_outputs); or (n_samples,) numbers if there is one output; or (n_samples,)
        integer labels 0 ... n_outputs - 1, which become one-hot rows.

    Raises
    ------
    ValueError
        If Y has another shape, or a label is out of range.
    """
    Y = np.asarray(Y)
    if Y.shape == (n_samples,) and n_outputs == 1:
        return Y[:, None].astype(np.float64)
    if Y.shape == (n_samples,) and Y.dtype.kind in "iu":
        if n_samples and not (Y.min() >= 0 and Y.max() < n_outputs):
            raise ValueError(f"Labels in `Y` must lie in 0 ... {n_outputs - 1}.")
        return np.eye(n_outputs)[Y]
    if Y.shape != (n_samples, n_outputs):
        raise ValueError(
            f"`Y` must have shape {(n_samples, n_outputs)}, or {(n_samples,)} with integer "
            f"labels, got {Y.shape} {Y.dtype}."
        )
    return Y.astype(np.float64)


def row_weights(n_samples, sample_weight=None, reduction="mean"):
    """Return s (n_samples,), with which the loss of a batch is Σ s ℓ.

    Sample weights w are 1 by default. reduction="sum": s = w. reduction="mean": s = w / Σw,
    and s = 0 where Σw is 0: rows without weight have no gradient.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"`reduction` must be 'mean' or 'sum', got {reduction!r}.")
    if sample_weight is None:
        w = np.ones(n_samples)
    else:
        w = np.asarray(sample_weight, dtype=np.float64)
        if w.shape != (n_samples,):
            raise ValueError(f"`sample_weight` must have shape {(n_samples,)}, got {w.shape}.")
    total = w.sum()
    if reduction == "sum" or total == 0:
        return w
    return w / total
