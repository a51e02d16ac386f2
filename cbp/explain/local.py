"""The local partial derivatives of a network: of each activation, and of the loss.

What lives here: what one node contributes to the chain rule, in float64, from the functions of
`cbp.reference`. What must not: anything that looks beyond one node. Where a loss takes the output
for a probability, partials use a probability that is at least the smallest normal number, so that
∂L/∂y and ∂y/∂z stay finite and their product is right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbp import reference
from cbp.reference import activations as reference_activations
from cbp.reference import losses as reference_losses

__all__ = ["Array", "activate", "jacobian", "loss_partial", "loss_value"]

Array = NDArray[np.float64]

_LEAST = 2.2250738585072014e-308  # the smallest normal float64; its inverse is finite


def activate(activation: str, z: Array) -> Array:
    """Return the outputs (n_outputs,) of one layer's units for their z."""
    result: Array = reference.ACTIVATIONS[activation](z[np.newaxis])[0]
    return result


def jacobian(activation: str, z: Array, a: Array, probability: bool = False) -> Array:
    """Return ∂a/∂z of one layer.

    Parameters
    ----------
    activation : str
    z, a : ndarray, (n_outputs,)
    probability : bool
        Whether a loss takes `a` for a probability.

    Returns
    -------
    ndarray
        (n_outputs,) where each output has its own z; for softmax (n_outputs, n_outputs), whose
        element (j, k) is ∂a_k/∂z_j.
    """
    if activation == "softmax":
        y = np.maximum(a, _LEAST) if probability else a
        units = np.eye(len(z))
        return np.stack([_back(activation, unit, z, y) for unit in units], axis=1)
    if probability and activation == "sigmoid":
        return np.maximum(a, _LEAST) * _complement(z)
    return _back(activation, np.ones_like(z), z, a)


def _back(activation: str, d: Array, z: Array, a: Array) -> Array:
    """Return Σ_k d_k ∂a_k/∂z_j for every j."""
    rows = (d[np.newaxis], z[np.newaxis], a[np.newaxis])
    result: Array = reference_activations.backward(activation, *rows)[0]
    return result


def _complement(z: Array) -> Array:
    """Return 1 - sigmoid(z) without cancellation."""
    return np.maximum(activate("sigmoid", -z), _LEAST)


def loss_value(loss: Any, z: Array, a: Array, t: Array) -> float:
    """Return the loss of one row."""
    rows = (z[np.newaxis], a[np.newaxis], t[np.newaxis])
    return float(reference.LOSSES[loss.name](*rows)[0])


def loss_partial(loss: Any, z: Array, a: Array, t: Array) -> Array:
    """Return ∂loss/∂y (n_outputs,) of one row."""
    if loss.name == "binary_cross_entropy":
        return (1.0 - t) / _complement(z) - t / np.maximum(a, _LEAST)
    if loss.name == "categorical_cross_entropy":
        return -t / np.maximum(a, _LEAST)
    # A loss of the outputs alone: its derivative by z, where z is the output.
    rows = (a[np.newaxis], a[np.newaxis], t[np.newaxis])
    result: Array = reference_losses.output_delta(loss.name, "identity", *rows)[0]
    return result
