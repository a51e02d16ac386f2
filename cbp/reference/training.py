"""A training run: epochs, batches, and the optimizer's updates between them.

What lives here: the loop around `gradient` that the compiled training loop is checked against.
"""

from typing import NamedTuple

import numpy as np

from .core import gradient
from .regularisation import dropout_gradient, limited, penalised


class Training(NamedTuple):
    """The loss of every epoch, and the parameters after the last one."""

    losses: np.ndarray
    weights: list
    biases: list


def train(
    X,
    Y,
    weights,
    biases,
    activations,
    loss,
    optimizer,
    epochs,
    *,
    batch_size=None,
    order=None,
    trainable=None,
    sample_weight=None,
    l2=0.0,
    l1=0.0,
    clip_value=None,
    clip_norm=None,
    masks=None,
    nonnegative=None,
    max_norm=None,
    factors=None,
    reduction="mean",
    options=None,
):
    """Return the losses and the parameters of a training run; the arguments stay as they are.

    Parameters
    ----------
    X, Y, weights, biases, activations, loss, sample_weight, reduction, options
        As in `gradient`.
    optimizer : SGD, Adam, ...
        Its state goes on from where it stands.
    epochs : int
        Passes over the rows.
    batch_size : int, optional
        Rows of a batch; all rows by default. The last batch of an epoch may be shorter.
    order : array_like of int, (n_rows,) or (epochs, n_rows), optional
        The rows of every epoch, or of each one; 0 ... n_samples - 1 by default.
    trainable : list of (bool, bool), optional
        For each layer, whether its weights and its biases are updated; all are by default.
    l2, l1, clip_value, clip_norm
        As in `penalised`.
    masks, nonnegative, max_norm : list, optional
        For each layer what `limited` does to its weights after every update.
    factors : callable, optional
        From the number of the step, from 0, and the number of rows to the factors that
        `dropout_gradient` takes.

    Returns
    -------
    Training
        ``losses[e]`` is the mean of epoch e's batch losses, each taken before its update and
        weighted with its Σw. A batch with Σw = 0 updates nothing.
    """
    X, Y = np.asarray(X), np.asarray(Y)
    w = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    weights = [np.array(W, dtype=np.float64) for W in weights]
    biases = [None if b is None else np.array(b, dtype=np.float64) for b in biases]
    trainable = trainable or [(True, True)] * len(weights)
    rows = np.arange(len(X)) if order is None else np.asarray(order)
    rows = np.broadcast_to(rows, (epochs, rows.shape[-1]))
    batch_size = batch_size or rows.shape[1]
    masks = masks or [None] * len(weights)
    nonnegative = nonnegative or [False] * len(weights)
    max_norm = max_norm or [None] * len(weights)
    step = 0

    def updated(weights_like, biases_like):
        """Return the arrays that are there and trainable, in the order W1, b1, W2, b2, ..."""
        layers = zip(weights_like, biases_like, trainable)
        pairs = [(W if w_on else None, b if b_on else None) for W, b, (w_on, b_on) in layers]
        return [array for pair in pairs for array in pair if array is not None]

    losses = np.zeros(epochs)
    for epoch in range(epochs):
        weight = 0.0
        for start in range(0, rows.shape[1], batch_size):
            batch = rows[epoch, start : start + batch_size]
            batch_weight = w[batch].sum()
            if batch_weight == 0:
                continue
            settings = {"sample_weight": w[batch], "reduction": reduction, "options": options}
            net = (weights, biases, activations, loss)
            if factors is None:
                batch_loss, _, dW, db = gradient(X[batch], Y[batch], *net, **settings)
            else:
                own = factors(step, len(batch))
                batch_loss, dW, db = dropout_gradient(X[batch], Y[batch], *net, own, **settings)
            trained = updated(weights, biases)
            gradients = penalised(
                updated(dW, db), trained, l2=l2, l1=l1, clip_value=clip_value, clip_norm=clip_norm,
                masks=updated(
                    [np.ones_like(W) if mask is None else mask for W, mask in zip(weights, masks)],
                    [None if b is None else np.ones_like(b) for b in biases],
                ),
            )  # fmt: skip
            optimizer.update(trained, gradients)
            for W, mask, positive, limit, (w_on, _) in zip(
                weights, masks, nonnegative, max_norm, trainable
            ):
                if w_on:
                    W[...] = limited(W, mask=mask, nonnegative=positive, max_norm=limit)
            step += 1
            losses[epoch] += batch_weight * batch_loss
            weight += batch_weight
        losses[epoch] /= weight or 1.0
    return Training(losses, weights, biases)
