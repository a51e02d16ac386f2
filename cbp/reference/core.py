"""Forward and backward propagation of a fully connected network, to be read beside the equations.

What lives here: forward propagation, the δ recursion, the gradient, and gradient descent.
Layer l = 1 ... L has weights W (n_inputs, n_outputs), biases b (n_outputs,) or None, and an
activation f; a⁰ = X, one row a sample. Every function is pure and float64 (complex weights or
inputs pass through: the imaginary part of the loss then differentiates it, "complex step").

    z = a⁻ W + b,  a = f(z)                  forward, layer by layer        (RHW eqs. 1 and 2)
    L = Σ_n s_n ℓ(a_n, t_n)                  loss of the batch              (eq. 3)
    δ = ∂L/∂z = s ∂ℓ/∂z                      at the output layer            (eqs. 4 and 5)
    δ⁻ = (δ Wᵀ) ⊙ f'(z⁻)                     one layer further back         (eqs. 5 and 7)
    ∂L/∂W = (a⁻)ᵀ δ,  ∂L/∂b = Σ_n δ_n        for every layer                (eq. 6)
    W ← W - η ∂L/∂W                          gradient descent               (eq. 8)

The superscript ⁻ marks the layer before; s_n = w_n / Σw for a mean over the rows, w_n for a sum.

References: Rumelhart, Hinton & Williams, Nature 323 (1986) 533-536 ("RHW").
"""

from typing import NamedTuple

import numpy as np

from .activations import activate, backward
from .losses import LOSSES, as_targets, check_pair, output_delta, row_weights, target_columns


class Forward(NamedTuple):
    """What forward propagation computes: z of layers 1 ... L, and a of layers 0 ... L."""

    z: list
    a: list


class Gradient(NamedTuple):
    """The loss; δ, ∂L/∂W and ∂L/∂b of layers 1 ... L (None where a layer has no biases)."""

    loss: float
    deltas: list
    weights: list
    biases: list


def forward(X, weights, biases, activations):
    """Return every pre-activation z and every activation a.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_inputs)
        A 1-d X is one row.
    weights : list of array_like, each (n_inputs, n_outputs) of its layer
    biases : list of array_like (n_outputs,) or None, one for each layer
    activations : list
        For each layer a key of ``ACTIVATIONS``, or a pair (f, f') of functions of z.

    Returns
    -------
    Forward
        ``z``: L arrays; ``a``: L + 1 arrays, ``a[0]`` is X and ``a[-1]`` the output.

    Examples
    --------
    >>> forward([[1.5]], [[[0.1, 0.2]], [[0.3], [0.4]]], [None, None], ["sigmoid"] * 2).a[-1]
    array([[0.59652484]])
    """
    z, a = [], [np.atleast_2d(_numbers(X))]
    for W, b, activation in zip(weights, biases, activations, strict=True):
        z.append(a[-1] @ _numbers(W))
        if b is not None:
            z[-1] = z[-1] + _numbers(b)
        a.append(activate(activation, z[-1]))
    return Forward(z, a)


def gradient(
    X, Y, weights, biases, activations, loss, *, sample_weight=None, l2=0.0, reduction="mean",
    options=None,
):  # fmt: skip
    """Return the loss and its derivative with respect to every z, weight and bias.

    Parameters
    ----------
    X, weights, biases, activations
        As in `forward`.
    Y : array_like
        Targets (n_samples, n_outputs), (n_samples,) for one output, or integer labels.
    loss : str
        A key of ``LOSSES``. Summed over the outputs.
    sample_weight : array_like of shape (n_samples,), optional
        Weight of every row; 1 by default.
    l2 : float
        Adds ½ l2 Σ W² to the objective, so l2 W to the weight gradient. The reported loss and
        the δ do not contain it.
    reduction : {"mean", "sum"}
        Weighted mean over the rows, or weighted sum.
    options : dict, optional
        Parameters of the loss, as the functions of ``LOSSES`` take them.

    Returns
    -------
    Gradient

    Raises
    ------
    ValueError
        If the loss does not go with the output activation, or Y has the wrong shape or labels.
    """
    check_pair(loss, activations[-1])
    options = options or {}
    z, a = forward(X, weights, biases, activations)
    t = as_targets(Y, len(a[-1]), target_columns(loss, a[-1].shape[1], **options))
    s = row_weights(len(t), sample_weight, reduction)
    d = deltas(z, a, t, weights, activations, loss, s, options)
    return Gradient(
        loss=s @ LOSSES[loss](z[-1], a[-1], t, **options),
        deltas=d,
        weights=[a_in.T @ d_out + l2 * _numbers(W) for a_in, d_out, W in zip(a, d, weights)],
        biases=[None if b is None else d_out.sum(axis=0) for d_out, b in zip(d, biases)],
    )


def deltas(z, a, t, weights, activations, loss, s, options=None):
    """Return δ = ∂L/∂z of layers 1 ... L, computed from the last layer to the first.

    z and a come from `forward`, t are the targets (n_samples, n_outputs), s the rows' weights in
    the loss (n_samples,), and options the parameters of the loss.
    """
    d = [s[:, None] * output_delta(loss, activations[-1], z[-1], a[-1], t, **options or {})]
    for layer in reversed(range(len(z) - 1)):
        d_a = d[0] @ _numbers(weights[layer + 1]).T  # ∂L/∂a: a sum over all that this a feeds
        d.insert(0, backward(activations[layer], d_a, z[layer], a[layer + 1]))
    return d


def descend(weights, biases, grad, learning_rate):
    """Return the weights and biases after one step of gradient descent along `grad`."""
    weights = [_numbers(W) - learning_rate * dW for W, dW in zip(weights, grad.weights)]
    biases = [
        None if b is None else _numbers(b) - learning_rate * db
        for b, db in zip(biases, grad.biases)
    ]
    return weights, biases


def _numbers(x):
    """Return x as a float64 array, or as a complex one if it is complex."""
    x = np.asarray(x)
    return x if np.iscomplexobj(x) else x.astype(np.float64, copy=False)
