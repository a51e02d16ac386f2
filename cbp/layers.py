"""Dense: what one layer of a network is, before it has inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, initializers
from .activations import Activation, checked

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
    activation : str or Activation, optional
        f; what the network says for this layer by default. "identity", "sigmoid", "tanh", "relu",
        "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "softsign", "sin" or
        "hard_sigmoid", or a `cbp.Activation` of your own; "softmax" and "log_softmax" at the
        output only.
    bias : bool, optional
        Whether there is a b; what the network says by default.
    init : str, Normal or Uniform, optional
        How W starts (see `cbp.initializers`); what the network says by default.
    trainable : bool, "weights" or "biases"
        What training changes: both, none, or one of W and b.
    dropout : float, optional
        Probability that training drops an output of this layer, at least 0 and below 1; the
        others are divided by 1 - dropout. What the network says for this layer by default; not
        at the output layer. Prediction and evaluation drop nothing.
    max_norm : float, optional
        Largest Euclidean norm of one unit's weights, above 0: every update ends by scaling down
        the columns of W that exceed it.
    mask : array_like of 0 and 1, (n_inputs, n_outputs), optional
        Which weights there are: where it is 0 the weight starts at 0 and every update leaves it
        at 0. Copied; readable as a read-only bool array.
    nonnegative : bool
        Weights (not biases) start at their absolute values, and every update ends by setting the
        negative ones to 0.

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
    activation: str | Activation | None = None
    bias: bool | None = field(default=None, kw_only=True)
    init: str | initializers.Normal | initializers.Uniform | None = field(
        default=None, kw_only=True
    )
    trainable: bool | Literal["weights", "biases"] = field(default=True, kw_only=True)

    dropout: float | None = field(default=None, kw_only=True)
    max_norm: float | None = field(default=None, kw_only=True)
    mask: ArrayLike | None = field(default=None, kw_only=True, repr=False)
    nonnegative: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _check.integer(self.n_outputs, "n_outputs", 1, MOST_UNITS)
        if self.activation is not None:
            checked(self.activation, "activation")
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

        if self.dropout is not None:
            checked_dropout(self.dropout)
        if self.max_norm is not None:
            _check.number(self.max_norm, "max_norm", above=0.0)
        if self.mask is not None:
            object.__setattr__(self, "mask", _checked_mask(self.mask, self.n_outputs))
        object.__setattr__(self, "nonnegative", _check.flag(self.nonnegative, "nonnegative"))

    def _values(self) -> tuple[Any, ...]:
        """Return what two equal layers have in common, in things that can be hashed."""
        mask = None if self.mask is None else (np.shape(self.mask), np.asarray(self.mask).tobytes())
        return (*(value for name, value in vars(self).items() if name != "mask"), mask)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dense) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    @property
    def trains(self) -> tuple[bool, bool]:
        """Whether training changes the weights, and whether it changes the biases."""
        return self.trainable in (True, "weights"), self.trainable in (True, "biases")


def checked_dropout(dropout: Any) -> float:
    """Return the probability to drop a unit; fewer than one in a million kept is refused."""
    return _check.number(dropout, "dropout", least=0.0, below=0.999999)


def _checked_mask(mask: Any, n_outputs: int) -> NDArray[np.bool_]:
    """Return the mask as a read-only copy."""
    source = _check.numeric(mask, "mask")
    if source.ndim != 2 or source.shape[1] != n_outputs:
        raise ValueError(
            f"`mask` must have shape (n_inputs, {n_outputs}), one entry for each weight, "
            f"got {source.shape}."
        )
    if not np.isin(source, (0, 1)).all():
        raise ValueError("`mask` must hold 0 (no weight) and 1 (a weight) alone.")
    result = source.astype(bool)
    result.flags.writeable = False
    return result
