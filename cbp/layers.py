"""Dense: what one layer of a network is, before it has inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from . import _check, initializers
from ._backprop import ACTIVATIONS

__all__ = ["Dense"]

# Each product of sizes below stays far from 2⁶³, and so does any address computed from it.
MOST_UNITS = 2**31 - 1


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: a = f(x W + b).

    Parameters
    ----------
    n_outputs : int
        Units of the layer, at least 1.
    activation : {"identity", "sigmoid", "tanh", "relu", "softmax"}, optional
        f; what the network says for this layer by default. Softmax at the output only.
    bias : bool, optional
        Whether there is a b; what the network says by default.
    init : str, Normal or Uniform, optional
        How W starts (see `cbp.initializers`); what the network says by default.
    trainable : bool, "weights" or "biases"
        What training changes: both, none, or one of W and b.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind, or not a known name.

    Examples
    --------
    >>> import cbp
    >>> net = cbp.Network([4, cbp.Dense(8, "tanh", trainable=False), 3])
    >>> net.activations
    ('tanh', 'identity')
    """

    n_outputs: int
    activation: str | None = None
    bias: bool | None = field(default=None, kw_only=True)
    init: str | initializers.Normal | initializers.Uniform | None = field(
        default=None, kw_only=True
    )
    trainable: bool | Literal["weights", "biases"] = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        _check.integer(self.n_outputs, "n_outputs", 1, MOST_UNITS)
        if self.activation is not None:
            _check.choice(self.activation, "activation", ACTIVATIONS)
        if self.bias is not None:
            _check.flag(self.bias, "bias")
        if self.init is not None:
            initializers.checked(self.init)
        if isinstance(self.trainable, np.bool_):
            object.__setattr__(self, "trainable", bool(self.trainable))
        known = isinstance(self.trainable, (bool, str))
        if not known or self.trainable not in (True, False, "weights", "biases"):
            raise (ValueError if known else TypeError)(
                "`trainable` must be True, False, 'weights' or 'biases', "
                f"got {_check.shown(self.trainable)}."
            )

    @property
    def trains(self) -> tuple[bool, bool]:
        """Whether training changes the weights, and whether it changes the biases."""
        return self.trainable in (True, "weights"), self.trainable in (True, "biases")
