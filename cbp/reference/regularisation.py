"""Regularisation: what is done to gradients, activations and weights against overfitting.

What lives here: penalties and limits of a gradient, dropout, and limits of the weights. Every
function is pure and float64.
"""

import numpy as np

from .core import gradient
from .losses import row_weights


def penalised(
    gradients, parameters, *, l2=0.0, l1=0.0, masks=None, clip_value=None, clip_norm=None
):
    """Return the gradients that an optimizer is given.

    Parameters
    ----------
    gradients, parameters : list of ndarray
        Of the trained weights (two axes) and biases (one axis).
    l2, l1 : float
        Add l2 W and l1 sign(W), the derivatives of ½ l2 Σ W² and l1 Σ |W|; weights alone.
    masks : list of ndarray of 0 and 1, or None in the place of each, optional
        Multiplied into the gradients, after `clip_value`.
    clip_value : float, optional
        Largest absolute value of an element.
    clip_norm : float, optional
        Largest Euclidean norm of all of them together; the last to be applied.
    """
    result = []
    for g, w, mask in zip(gradients, parameters, masks or [None] * len(gradients)):
        if w.ndim == 2:
            g = g + l2 * w + l1 * np.sign(w)
        if clip_value is not None:
            g = np.clip(g, -clip_value, clip_value)
        result.append(g if mask is None else g * mask)
    norm = np.sqrt(sum((g * g).sum() for g in result))
    if clip_norm is not None and norm > clip_norm:
        result = [g * (clip_norm / norm) for g in result]
    return result


def limited(W, *, mask=None, nonnegative=False, max_norm=None):
    """Return the weights (n_inputs, n_outputs) of a layer within their limits.

    Times the mask, at least 0 if `nonnegative`, and every column (the weights of one unit) scaled
    down to the norm `max_norm` if it exceeds it, in this order.
    """
    W = W if mask is None else W * mask
    W = np.maximum(W, 0.0) if nonnegative else W
    if max_norm is not None:
        norms = np.sqrt((W * W).sum(axis=0))
        W = W * np.where(norms > max_norm, max_norm / np.maximum(norms, max_norm), 1.0)
    return W


def dropout_gradient(
    X, Y, weights, biases, activations, loss, factors, *, sample_weight=None, reduction="mean",
    options=None,
):  # fmt: skip
    """Return the loss and the derivative of every weight and bias with some units dropped.

    ``factors[l][n]`` multiplies the outputs of layer l (from 0) for row n: 0 where a unit is
    dropped, 1 / (1 - p) where it is kept; None for a layer without dropout. A row sees a net of
    its own, the rows of whose next weights are scaled by these factors.

    Returns
    -------
    (loss, weight gradients, bias gradients)

    References
    ----------
    Srivastava et al., Dropout, JMLR 15 (2014) 1929-1958, section 4.
    """
    total = 0.0
    dW = [np.zeros_like(W, dtype=np.float64) for W in weights]
    db = [None if b is None else np.zeros_like(b, dtype=np.float64) for b in biases]
    for n, scale in enumerate(row_weights(len(X), sample_weight, reduction)):
        own = [np.ones(len(W)) for W in weights]
        for layer, factor in enumerate(factors[:-1]):
            if factor is not None:
                own[layer + 1] = factor[n]
        nets = [m[:, None] * W for m, W in zip(own, weights)]
        row = gradient(X[n : n + 1], Y[n : n + 1], nets, biases, activations, loss, options=options)
        total += scale * row.loss
        for layer, m in enumerate(own):
            dW[layer] += scale * m[:, None] * row.weights[layer]
            if db[layer] is not None:
                db[layer] += scale * row.biases[layer]
    return total, dW, db
