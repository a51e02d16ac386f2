"""A training run: epochs, batches, and the optimizer's updates between them.

What lives here: the loop around `gradient` that the compiled training loop is checked against.
"""

from typing import NamedTuple

import numpy as np

from .core import gradient


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
    reduction="mean",
):
    """Return the losses and the parameters of a training run; the arguments stay as they are.

    Parameters
    ----------
    X, Y, weights, biases, activations, loss, sample_weight, l2, reduction
        As in `gradient`.
    optimizer : SGD or Adam
        Its state goes on from where it stands.
    epochs : int
        Passes over the rows.
    batch_size : int, optional
        Rows of a batch; all rows by default. The last batch of an epoch may be shorter.
    order : array_like of int, (n_rows,) or (epochs, n_rows), optional
        The rows of every epoch, or of each one; 0 ... n_samples - 1 by default.
    trainable : list of (bool, bool), optional
        For each layer, whether its weights and its biases are updated; all are by default.

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
            grad = gradient(
                X[batch],
                Y[batch],
                weights,
                biases,
                activations,
                loss,
                sample_weight=w[batch],
                l2=l2,
                reduction=reduction,
            )
            optimizer.update(updated(weights, biases), updated(grad.weights, grad.biases))
            losses[epoch] += batch_weight * grad.loss
            weight += batch_weight
        losses[epoch] /= weight or 1.0
    return Training(losses, weights, biases)
