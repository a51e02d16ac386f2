"""The local partial derivatives of a network: of each activation, and of the loss.

What lives here: what one node contributes to the chain rule, in float64, from the functions of
`cbp.reference`; of losses whose formula is not written out here, from the compiled core. What must
not: anything that looks beyond one node. Where a loss takes the output for a probability, partials
use a probability that is at least the smallest normal number, so that ∂L/∂y and ∂y/∂z stay finite
and their product is right.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cbp
from cbp import reference
from cbp.reference import activations as reference_activations

__all__ = ["Head", "activate", "jacobian"]

_LEAST = 2.2250738585072014e-308  # the smallest normal float64; its inverse is finite
JOINT = ("softmax", "log_softmax")  # activations in which each output depends on every z


def activate(activation: Any, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the outputs (n_outputs,) of one layer's units for their z."""
    result: NDArray[np.float64]
    if isinstance(activation, cbp.Activation):
        result = activation.value(z[np.newaxis])[0]
    else:
        result = reference.ACTIVATIONS[activation](z[np.newaxis])[0]
    return result


def jacobian(
    activation: Any, z: NDArray[np.float64], a: NDArray[np.float64], probability: bool = False
) -> NDArray[np.float64]:
    """Return ∂a/∂z of one layer.

    Parameters
    ----------
    activation : str or Activation
    z, a : ndarray, (n_outputs,)
    probability : bool
        Whether a loss takes `a` for a probability.

    Returns
    -------
    ndarray
        (n_outputs,) where each output has its own z; for softmax and its logarithm (n_outputs,
        n_outputs), whose element (j, k) is ∂a_k/∂z_j.
    """
    if activation in JOINT:
        y = np.maximum(a, _LEAST) if probability and activation == "softmax" else a
        return np.stack([_back(activation, unit, z, y) for unit in np.eye(len(z))], axis=1)
    if probability and activation == "sigmoid":
        return np.maximum(a, _LEAST) * _complement(z)
    return _back(activation, np.ones_like(z), z, a)


def _back(
    activation: Any, d: NDArray[np.float64], z: NDArray[np.float64], a: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Σ_k d_k ∂a_k/∂z_j for every j."""
    result: NDArray[np.float64]
    if isinstance(activation, cbp.Activation):
        result = d * activation.slope(z[np.newaxis])[0]
    else:
        rows = (d[np.newaxis], z[np.newaxis], a[np.newaxis])
        result = reference_activations.backward(activation, *rows)[0]
    return result


def _complement(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 - sigmoid(z) without cancellation."""
    return np.maximum(activate("sigmoid", -z), _LEAST)


class Head:
    """The loss of one row, and its derivative by the outputs.

    Parameters
    ----------
    loss : loss object
    activation : str or Activation
        Of the last layer.
    n_outputs : int
    """

    def __init__(self, loss: Any, activation: Any, n_outputs: int) -> None:
        self.loss, self.activation, self.n_outputs = loss, activation, n_outputs
        try:
            loss.check_activation("identity")
        except ValueError:
            #: Whether the loss takes the outputs for probabilities, or their logarithms.
            self.takes_probabilities = True
        else:
            self.takes_probabilities = False

    def value(
        self, z: NDArray[np.float64], a: NDArray[np.float64], t: NDArray[np.float64]
    ) -> float:
        """Return the loss."""
        if self._plain(t):
            rows = (z[np.newaxis], a[np.newaxis], t[np.newaxis])
            return float(reference.LOSSES[self.loss.name](*rows)[0])
        return self._compiled(z, a, t)[0]

    def slope(
        self, z: NDArray[np.float64], a: NDArray[np.float64], t: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return ∂loss/∂y, (n_outputs,).

        Probabilities add up to 1, so that their derivatives are known but for a constant: it is
        chosen such that a class that the loss does not name has 0.
        """
        name, p = self.loss.name, np.maximum(a, _LEAST)
        if self._plain(t):
            if name == "squared_error":
                return a - t
            if name == "binary_cross_entropy":
                return (1.0 - t) / _complement(z) - t / p
            return -t if self.activation == "log_softmax" else -t / p
        delta = self._compiled(z, a, t)[1]
        if not self.takes_probabilities:
            return delta
        if self.activation == "sigmoid":
            return delta / (p * _complement(z))
        p = np.maximum(np.exp(a), _LEAST) if self.activation == "log_softmax" else p
        largest = (delta / p).max()
        return delta - p * largest if self.activation == "log_softmax" else delta / p - largest

    def _plain(self, t: NDArray[np.float64]) -> bool:
        """Whether the loss is one whose formula is written out here."""
        known = ("squared_error", "binary_cross_entropy", "categorical_cross_entropy")
        smoothed = getattr(self.loss, "label_smoothing", 0.0)
        return self.loss.name in known and not smoothed and not np.isnan(t).any()

    @cached_property
    def _probe(self) -> cbp.Network:
        """A layer that hands its inputs on: to the loss, or to the output activation it needs."""
        activation = self.activation if self.takes_probabilities else "identity"
        layer = cbp.Dense(self.n_outputs, activation, bias=False, init="zeros")
        net = cbp.Network([self.n_outputs, layer], dtype="float64", seed=0)
        net.weights[0] = np.eye(self.n_outputs)
        return net

    def _compiled(
        self, z: NDArray[np.float64], a: NDArray[np.float64], t: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the loss and its derivative: by z if it needs the activation, else by y."""
        row = z if self.takes_probabilities else a
        found = self._probe.gradient(row[np.newaxis], t[np.newaxis], self.loss, n_threads=1)
        delta: NDArray[np.float64] = found.deltas[0][0]
        return found.loss, delta
