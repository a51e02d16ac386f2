"""Activations: their names, and functions of one's own.

What lives here: which names there are, what may stand at the output alone, and what a user's
functions must return. The named ones are compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _check
from ._backprop import ACTIVATIONS, CUSTOM_ACTIVATION

__all__ = ["ACTIVATIONS", "Activation"]

OUTPUT_ONLY = ("softmax", "log_softmax")


@dataclass(frozen=True)
class Activation:
    """An activation of your own: a pair of Python functions f and f′ on NumPy arrays.

    Parameters
    ----------
    function : callable
        Takes z, a fresh array (n_samples, n_outputs) of the network's dtype, and returns
        f(z): finite numbers of the same shape.
    derivative : callable
        Takes z likewise and returns f′(z), of the same shape.
    name : str
        What `Network.activations` says; not the name of a compiled activation.

    Raises
    ------
    TypeError, ValueError
        `function` or `derivative` is not callable, or `name` is not free.

    Notes
    -----
    Works wherever a name does, at any layer. Slow beside the compiled activations: a network with
    one runs in a single thread and calls Python twice for every block of rows. A block is any part
    of a batch, so a row's result must not depend on the rows beside it. An exception in a function
    ends the call; no parameter has changed since the last completed update. Such networks cannot be
    saved to a file, and are pickled only if their functions can be.

    Examples
    --------
    >>> import cbp, numpy as np
    >>> bump = cbp.Activation(lambda z: np.exp(-z * z), lambda z: -2 * z * np.exp(-z * z), "bump")
    >>> cbp.Network([2, 3, 1], activation=bump).activations
    ('bump', 'identity')
    """

    function: Callable[[NDArray[Any]], Any]
    derivative: Callable[[NDArray[Any]], Any]
    name: str = "custom"

    def __post_init__(self) -> None:
        for name in ("function", "derivative"):
            if not callable(getattr(self, name)):
                raise TypeError(
                    f"`{name}` must be callable, got {_check.shown(getattr(self, name))}."
                )
        if not isinstance(self.name, str):
            raise TypeError(f"`name` must be a string, got {_check.shown(self.name)}.")
        if self.name in ACTIVATIONS or not self.name:
            raise ValueError(
                f"`name` must not be that of a compiled activation, got {self.name!r}: "
                "choose another."
            )

    def value(self, z: NDArray[Any]) -> NDArray[Any]:
        """Return f(z), checked."""
        return returned(self.function(z), f"`function` of activation {self.name!r}", z)

    def slope(self, z: NDArray[Any]) -> NDArray[Any]:
        """Return f′(z), checked."""
        return returned(self.derivative(z), f"`derivative` of activation {self.name!r}", z)


def returned(result: Any, what: str, like: NDArray[Any]) -> NDArray[Any]:
    """Return what a user's function has returned as an array of the shape and type of `like`."""
    array = np.asarray(result)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} must return an array of numbers, got {_check.shown(result)}.")
    if array.shape != like.shape:
        raise ValueError(f"{what} must return an array of shape {like.shape}, got {array.shape}.")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.require(array, like.dtype, ("C", "A"))


def checked(activation: Any, name: str) -> str | Activation:
    """Return `activation` if it is a name of ACTIVATIONS or an Activation."""
    if isinstance(activation, Activation):
        return activation
    return _check.choice(activation, name, ACTIVATIONS)


def name_of(activation: str | Activation | None) -> str:
    """Return what an activation is called."""
    return activation.name if isinstance(activation, Activation) else activation or ""


def code_of(activation: str | Activation | None) -> int:
    """Return the core's code."""
    if isinstance(activation, str):
        return ACTIVATIONS[activation]
    return CUSTOM_ACTIVATION
