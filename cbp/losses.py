"""Losses: value objects, the targets each of them takes, and the outputs each goes with.

What lives here: what a target may look like, and the sentences that refuse another. The loss
itself and its derivative are compiled. Every loss is summed over the outputs of a row and then
averaged (or summed) over the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check
from ._backprop import LOSSES as CODES
from ._backprop import Objective

__all__ = [
    "LOSSES",
    "BinaryCrossEntropy",
    "CategoricalCrossEntropy",
    "SquaredError",
    "one_hot",
]

# Probabilities of a row may add up to 1 ± this: float16 rows do.
_SUM_TOLERANCE = 1e-3


class Targets(NamedTuple):
    """Checked targets: `values` (n_samples, n_outputs), or class numbers `labels` (n_samples,)."""

    values: NDArray[Any] | None
    labels: NDArray[np.int64] | None

    def slice(self, first: int, stop: int) -> Targets:
        """Return the targets of rows first ... stop - 1."""
        return Targets(*(None if part is None else part[first:stop] for part in self))


@dataclass(frozen=True)
class Loss:
    """What the three losses share."""

    reduction: str = "mean"

    name: ClassVar[str]
    words: ClassVar[str]
    # The one output activation whose outputs the loss takes for probabilities, if it does.
    activation: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        _check.choice(self.reduction, "reduction", ("mean", "sum"))

    def objective(self, activation: str) -> Objective:
        """Return the compiled form of the loss for this output activation."""
        return Objective(CODES[self.name])

    def n_targets(self, n_outputs: int) -> int:
        """Return how many columns the targets of a network with so many outputs have."""
        return n_outputs

    def check_activation(self, activation: str) -> None:
        """Raise ValueError if the loss does not go with this output activation."""
        if self.activation is None and activation == "softmax":
            raise ValueError(
                f"`loss` {self.name} does not go with a softmax output: "
                "use categorical_cross_entropy."
            )
        if self.activation is not None and activation != self.activation:
            raise ValueError(
                f"`loss` {self.name} needs a {self.activation} output, which is a probability, "
                f"got {activation}: set `output_activation={self.activation!r}` "
                "or use squared_error."
            )

    def targets(self, Y: Any, n_rows: int, n_outputs: int, dtype: np.dtype[Any]) -> Targets:
        """Return Y, checked, in the form the core takes."""
        source = _check.numeric(Y, "Y")
        if source.ndim == 1 and n_outputs == 1:
            source = source[:, np.newaxis]
        if source.ndim == 1 and source.dtype.kind in "iu":
            raise ValueError(
                f"`Y` must have shape (n_samples, {n_outputs}) for {self.words}, got integer "
                f"labels of shape {source.shape}: pass `cbp.one_hot(Y, {n_outputs})`."
            )
        _check_shape(source, n_rows, n_outputs)
        return Targets(_check.converted(source, "Y", dtype), None)


@dataclass(frozen=True)
class SquaredError(Loss):
    """½ ‖y - t‖² of every row; for every output activation but softmax.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum (Rumelhart et al.).

    Notes
    -----
    Targets: (n_samples, n_outputs), or (n_samples,) for one output; any finite numbers. Other
    libraries' mean squared error averages over the outputs and has no ½: it is this loss times
    2 / n_outputs.

    References
    ----------
    Rumelhart, Hinton & Williams, Nature 323 (1986), eq. 3.
    """

    name: ClassVar[str] = "squared_error"
    words: ClassVar[str] = "squared error"


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """-Σ (t log y + (1 - t) log(1 - y)) of every row; for a sigmoid output.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum.

    Notes
    -----
    Targets: (n_samples, n_outputs), or (n_samples,) for one output; in [0, 1]. Computed from the
    logits, so it stays finite where the sigmoid rounds to 0 or 1. Summed over the outputs.
    """

    name: ClassVar[str] = "binary_cross_entropy"
    words: ClassVar[str] = "binary cross-entropy"
    activation: ClassVar[str | None] = "sigmoid"

    def targets(self, Y: Any, n_rows: int, n_outputs: int, dtype: np.dtype[Any]) -> Targets:
        """Return Y, checked, in the form the core takes."""
        targets = super().targets(Y, n_rows, n_outputs, dtype)
        assert targets.values is not None
        _check_range(targets.values, self.words, "write the two classes as 0 and 1")
        return targets


@dataclass(frozen=True)
class CategoricalCrossEntropy(Loss):
    """-Σ t log y of every row; for a softmax output.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum.

    Notes
    -----
    Targets: integer labels (n_samples,) from 0 to n_outputs - 1, or rows of probabilities
    (n_samples, n_outputs), one-hot for instance, each of which adds up to 1 within 0.001.
    Computed from the logits, so it stays finite where softmax rounds to 0.
    """

    name: ClassVar[str] = "categorical_cross_entropy"
    words: ClassVar[str] = "categorical cross-entropy"
    activation: ClassVar[str | None] = "softmax"

    def targets(self, Y: Any, n_rows: int, n_outputs: int, dtype: np.dtype[Any]) -> Targets:
        """Return Y, checked, in the form the core takes."""
        source = _check.numeric(Y, "Y")
        if source.ndim == 1:
            _check_row_count(source, n_rows)
            return Targets(None, _labels(source, "Y", n_outputs))
        if source.ndim == 2 and source.shape[1] == 1 < n_outputs and source.dtype.kind in "iu":
            raise ValueError(
                f"`Y` must hold labels of shape ({n_rows},) or have "
                f"{_check.count(n_outputs, 'column')}, got {source.shape}: pass `Y.ravel()`."
            )
        _check_shape(source, n_rows, n_outputs)
        values = _check.converted(source, "Y", dtype)
        _check_range(values, self.words, "pass integer labels or rows of probabilities")
        sums = values.sum(axis=1, dtype=np.float64)
        wrong = np.abs(sums - 1.0) > _SUM_TOLERANCE
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"`Y` must have rows that add up to 1 for {self.words}, got {sums[row]:.6g} in "
                f"row {row}: divide each row by its sum."
            )
        return Targets(values, None)


LOSSES: dict[str, type[Loss]] = {
    loss.name: loss for loss in (SquaredError, BinaryCrossEntropy, CategoricalCrossEntropy)
}
_AUTO: dict[str, type[Loss]] = {"softmax": CategoricalCrossEntropy, "sigmoid": BinaryCrossEntropy}


def checked(loss: Any, activation: str) -> Loss:
    """Return the loss that `loss` (an object, a name, or "auto") means for this output."""
    if isinstance(loss, Loss):
        result = loss
    else:
        name = _check.choice(loss, "loss", ["auto", *LOSSES])
        result = _AUTO.get(activation, SquaredError)() if name == "auto" else LOSSES[name]()
    result.check_activation(activation)
    return result


def one_hot(labels: ArrayLike, n_classes: int | None = None) -> NDArray[np.float32]:
    """Return rows that are 1 at the label's place and 0 elsewhere.

    Parameters
    ----------
    labels : array_like of int, (n_samples,)
        Class numbers from 0 to n_classes - 1.
    n_classes : int, optional
        One more than the largest label by default.

    Returns
    -------
    ndarray of float32, (n_samples, n_classes)

    Raises
    ------
    TypeError, ValueError
        The labels are not integers, not 1-d, or out of range.

    Examples
    --------
    >>> import cbp
    >>> cbp.one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    source = _check.numeric(labels, "labels")
    if source.ndim != 1:
        raise ValueError(f"`labels` must have shape (n_samples,), got {source.shape}.")
    if n_classes is None:
        n_classes = int(source.max()) + 1 if len(source) else 1
    n_classes = _check.integer(n_classes, "n_classes", 1)
    numbers = _labels(source, "labels", n_classes)
    rows = np.zeros((len(numbers), n_classes), dtype=np.float32)
    rows[np.arange(len(numbers)), numbers] = 1.0
    return rows


def _labels(source: NDArray[Any], name: str, n_classes: int) -> NDArray[np.int64]:
    """Return class numbers (n_samples,) as int64."""
    if source.dtype.kind == "f" and source.size:  # an empty list has no kind
        raise TypeError(
            f"`{name}` must hold integer labels, got {source.dtype}: pass `{name}.astype(int)` "
            "if they are class numbers."
        )
    outside = (source < 0) | (source >= n_classes)
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(
            f"`{name}` must hold labels from 0 to {n_classes - 1}, got {source[row]} in row {row}."
        )
    return np.require(source, np.int64, ("C", "A"))


def _check_row_count(source: NDArray[Any], n_rows: int) -> None:
    if len(source) != n_rows:
        raise ValueError(
            f"`Y` must have {_check.count(n_rows, 'row')} (as `X` has), got {len(source)}."
        )


def _check_shape(source: NDArray[Any], n_rows: int, n_outputs: int) -> None:
    if source.ndim != 2:
        raise ValueError(
            f"`Y` must have shape ({n_rows}, {n_outputs}), one column for each output of the "
            f"network, got {source.shape}."
        )
    _check_row_count(source, n_rows)
    if source.shape[1] != n_outputs:
        raise ValueError(
            f"`Y` must have {_check.count(n_outputs, 'column')} (the network's outputs), "
            f"got {source.shape[1]}."
        )


def _check_range(values: NDArray[Any], loss: str, remedy: str) -> None:
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        row, column = map(int, np.argwhere((values < 0) | (values > 1))[0])
        raise ValueError(
            f"`Y` must lie in [0, 1] for {loss}, got {values[row, column]} in row {row}, "
            f"column {column}: {remedy}."
        )
