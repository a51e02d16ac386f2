"""The Poisson loss with a logarithmic link, in NumPy: the core calls it for every block of rows.

What lives here: the loss of counts that scikit-learn's regressor knows. It runs in the calling
thread, a few microseconds slower a minibatch than a compiled loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .._backprop import Objective
from ..losses import Loss, Targets

__all__ = ["Poisson"]

_CUSTOM_LOSS = 10  # the core's code of a loss that is a function


def _value_and_slope(z: NDArray[Any], t: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return exp(z) - t z of each row, summed over the outputs, and its derivative by z."""
    with np.errstate(over="ignore", invalid="ignore"):
        rate = np.exp(z)
        return (rate - t * z).sum(axis=1), rate - t


@dataclass(frozen=True)
class Poisson(Loss):
    """exp(z) - t z of every row: minus the log-likelihood of the counts t, but for log t!.

    Notes
    -----
    Targets: at least 0. The output z, without an activation, is the logarithm of the rate.
    """

    name: ClassVar[str] = "poisson"
    words: ClassVar[str] = "the Poisson loss"
    activation: ClassVar[str | None] = "identity"

    def objective(self, activation: str) -> Objective:
        """Return the compiled form of the loss for this output activation."""
        return Objective(_CUSTOM_LOSS, custom=_value_and_slope)

    def targets(self, Y: Any, n_rows: int, n_outputs: int, dtype: np.dtype[Any]) -> Targets:
        """Return Y, checked, in the form the core takes."""
        targets = super().targets(Y, n_rows, n_outputs, dtype)
        assert targets.values is not None
        if targets.values.size and targets.values.min() < 0:
            row = int(np.argwhere(targets.values < 0)[0, 0])
            raise ValueError(f"`y` must be at least 0 for {self.words}, got less in row {row}.")
        return targets
