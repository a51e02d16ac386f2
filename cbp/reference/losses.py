"""Losses: one number a row, summed over the outputs, and their derivative with respect to z.

What lives here: the losses, the form of the targets, and the weights with which rows add up to the
loss of a batch. Whatever needs a probability is computed from the logits z, never from the
activations: it stays finite and accurate where sigmoid or softmax round to 0 or 1.
Complex z passes through analytically.

Each function takes z, a = f(z), the targets t and the parameters of its loss. It returns the terms
of which a row's loss is the sum, and their derivative with respect to the outputs a; or with respect
to z where the loss starts from the logits (``FROM_LOGITS``).
"""

import numpy as np

from .activations import backward, log_softmax, sigmoid, softplus


def squared_error(z, a, t):
    """½ (a - t)²."""
    return 0.5 * (a - t) ** 2, a - t


def absolute_error(z, a, t):
    """|a - t|; the derivative where a = t is 0."""
    return _size(a - t), np.sign((a - t).real)


def huber(z, a, t, delta=1.0):
    """½ e² for |e| <= delta, else delta (|e| - ½ delta), with e = a - t."""
    e = a - t
    g = np.where(_size(e).real <= delta, e, delta * np.sign(e.real))
    return g * (e - 0.5 * g), g


def quantile(z, a, t, levels=(0.5,)):
    """(1 - q) e for e > 0, else -q e, with e = a - t: a is to be the quantile q of t.

    With several levels q, output j * len(levels) + k is level k of target j.
    """
    q = np.tile(np.atleast_1d(levels), t.shape[1])
    e = a - np.repeat(t, np.size(levels), axis=1)
    slopes = np.where(e.real > 0, 1.0 - q, -q)
    return slopes * e, np.where(e.real == 0, 0.0, slopes)


def poisson(z, a, t):
    """exp(a) - t a: the negative log-likelihood but for log t!, a being the log of the rate."""
    return np.exp(a) - t * a, np.exp(a) - t


def gaussian_nll(z, a, t, floor=1e-6):
    """½ (log v + (m - t)² / v): the negative log-likelihood but for ½ log 2π.

    The outputs are the means m of all targets, then a number r for each: v = floor + softplus(r).
    """
    m, r = np.split(a, 2, axis=1)
    v = floor + softplus(r)
    e = (m - t) / v
    slopes = np.concatenate([e, 0.5 * (1.0 / v - e * e) * sigmoid(r)], axis=1)
    return 0.5 * (np.log(v) + (m - t) * e), slopes


def binary_cross_entropy(z, a, t):
    """-(t log p + (1 - t) log(1 - p)), with p = sigmoid(z).

    Written as a sum of terms that are not negative, so that nothing cancels:
    (1 - t) z for z > 0, -t z for z <= 0, and log(1 + exp(-|z|)).
    """
    positive = z.real > 0
    linear = np.where(positive, (1.0 - t) * z, -t * z)
    return linear + np.log1p(np.exp(np.where(positive, -z, z))), sigmoid(z) - t


def binary_focal(z, a, t, gamma=2.0, positive=1.0, negative=1.0):
    """positive t (1 - p)^gamma (-log p) + negative (1 - t) p^gamma (-log(1 - p)), p = sigmoid(z)."""
    p, q = sigmoid(z), sigmoid(-z)
    hit, miss = softplus(-z), softplus(z)  # -log p, -log q
    of_hit = positive * t * np.exp(-gamma * miss)
    of_miss = negative * (1.0 - t) * np.exp(-gamma * hit)
    slopes = of_miss * (gamma * q * miss + p) - of_hit * (gamma * p * hit + q)
    return of_hit * hit + of_miss * miss, slopes


def categorical_cross_entropy(z, a, t, label_smoothing=0.0):
    """-t log p with p = softmax(z), and t moved towards 1 / n_outputs by label_smoothing."""
    if label_smoothing:
        t = np.where(t.any(axis=1, keepdims=True), (1.0 - label_smoothing) * t
                     + label_smoothing / t.shape[1], 0.0)  # fmt: skip
    log_p = log_softmax(z)
    return -t * log_p, np.exp(log_p) * t.sum(axis=1, keepdims=True) - t


def categorical_focal(z, a, t, gamma=2.0, class_weight=1.0):
    """-w t (1 - p)^gamma log p with p = softmax(z) and w = class_weight, one for each output."""
    log_p = log_softmax(z)
    p, q = np.exp(log_p), -np.expm1(log_p)
    ratio = np.where(q == 0, 1.0, -log_p / np.where(q == 0, 1.0, q))
    factor = class_weight * t * q**gamma
    c = factor * (1.0 + gamma * p * ratio)
    return -factor * log_p, p * c.sum(axis=1, keepdims=True) - c


def custom(z, a, t, value, gradient):
    """The loss of two functions: value(a, t), one number a row, and gradient(a, t) = dl/da."""
    return np.asarray(value(a, t))[:, None], np.asarray(gradient(a, t))


TERMS = {
    "squared_error": squared_error,
    "binary_cross_entropy": binary_cross_entropy,
    "categorical_cross_entropy": categorical_cross_entropy,
    "absolute_error": absolute_error,
    "huber": huber,
    "quantile": quantile,
    "poisson": poisson,
    "gaussian_nll": gaussian_nll,
    "binary_focal": binary_focal,
    "categorical_focal": categorical_focal,
    "custom": custom,
}
_BINARY = {"binary_cross_entropy": ("sigmoid",), "binary_focal": ("sigmoid",)}
_CATEGORICAL = {
    "categorical_cross_entropy": ("softmax", "log_softmax"),
    "categorical_focal": ("softmax", "log_softmax"),
}
FROM_LOGITS = {**_BINARY, **_CATEGORICAL}  # and the output activations that belong to them
_NEEDS = {**FROM_LOGITS, "poisson": ("identity",), "gaussian_nll": ("identity",)}


def terms_and_slopes(loss, z, a, t, mask_nan=False, **options):
    """Return the terms of a loss and their derivative, those of NaN targets 0 if `mask_nan`.

    A row of probabilities is masked as a whole.
    """
    if not mask_nan:
        return TERMS[loss](z, a, t, **options)
    missing = np.isnan(t)
    if loss in _CATEGORICAL:
        missing = np.repeat(missing.any(axis=1, keepdims=True), t.shape[1], axis=1)
    terms, slopes = TERMS[loss](z, a, np.where(missing, 0.0, t), **options)
    times = a.shape[1] // t.shape[1]
    spread = np.repeat(missing, times, 1) if loss == "quantile" else np.tile(missing, times)
    missing = spread if terms.shape == spread.shape else missing
    return np.where(missing, 0.0, terms), np.where(spread, 0.0, slopes)


def _row_loss(loss):
    def row_loss(z, a, t, **options):
        return terms_and_slopes(loss, z, a, t, **options)[0].sum(axis=1)

    row_loss.__doc__ = f"Return the loss of every row: the sum of {TERMS[loss].__doc__}"
    return row_loss


# The loss of every row from z, a, t and the loss's parameters.
LOSSES = {loss: _row_loss(loss) for loss in TERMS}


def output_delta(loss, activation, z, a, t, **options):
    """Return dℓ/dz of every row at the output layer (n_samples, n_outputs).

    The derivative with respect to a, taken back through the activation; a loss that starts from the
    logits has the activation in it: a - t for a cross-entropy, the rest cancels.
    """
    slopes = terms_and_slopes(loss, z, a, t, **options)[1]
    return slopes if loss in FROM_LOGITS else backward(activation, slopes, z, a)


def check_pair(loss, activation):
    """Raise ValueError if `loss` is unknown or does not go with the output `activation`."""
    if loss not in LOSSES:
        raise ValueError(f"`loss` must be one of {', '.join(LOSSES)}, got {loss!r}.")
    needed = _NEEDS.get(loss, (activation,))
    if activation not in needed:
        raise ValueError(
            f"`loss` {loss} needs the output activation {' or '.join(needed)}, got {activation}."
        )


def target_columns(loss, n_outputs, levels=(0.5,), **options):
    """Return how many targets a row has where the network has so many outputs."""
    if loss == "quantile":
        return n_outputs // np.size(levels)
    return n_outputs // 2 if loss == "gaussian_nll" else n_outputs


def _size(e):
    """Return |e|, analytically."""
    return np.where(e.real < 0, -e, e)


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
