"""Targets: what they may look like, and the sentences that refuse others.

What lives here: targets as the core takes them, and the checks that the losses choose among. What
a loss is does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check

__all__ = ["Targets", "one_hot"]

# Probabilities of a row may add up to 1 ± this: float16 rows do.
_SUM_TOLERANCE = 1e-3


class Targets(NamedTuple):
    """Checked targets: `values` (n_samples, n_targets), or class numbers `labels` (n_samples,)."""

    values: NDArray[Any] | None
    labels: NDArray[np.int64] | None

    def slice(self, first: int, stop: int) -> Targets:
        """Return the targets of rows first ... stop - 1."""
        return Targets(*(None if part is None else part[first:stop] for part in self))


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
    numbers = as_labels(source, "labels", n_classes)
    rows = np.zeros((len(numbers), n_classes), dtype=np.float32)
    rows[np.arange(len(numbers)), numbers] = 1.0
    return rows


def as_labels(source: NDArray[Any], name: str, n_classes: int) -> NDArray[np.int64]:
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


def check_row_count(source: NDArray[Any], n_rows: int) -> None:
    if len(source) != n_rows:
        raise ValueError(
            f"`Y` must have {_check.count(n_rows, 'row')} (as `X` has), got {len(source)}."
        )


def check_shape(source: NDArray[Any], n_rows: int, columns: int, thing: str = "output") -> None:
    if source.ndim != 2:
        raise ValueError(
            f"`Y` must have shape ({n_rows}, {columns}), one column for each {thing} of the "
            f"network, got {source.shape}."
        )
    check_row_count(source, n_rows)
    if source.shape[1] != columns:
        raise ValueError(
            f"`Y` must have {_check.count(columns, 'column')} (the network's {thing}s), "
            f"got {source.shape[1]}."
        )


def check_range(values: NDArray[Any], loss: str, remedy: str) -> None:
    outside = (values < 0) | (values > 1)  # NaN, where it is masked, is not
    if outside.any():
        row, column = map(int, np.argwhere(outside)[0])
        raise ValueError(
            f"`Y` must lie in [0, 1] for {loss}, got {values[row, column]} in row {row}, "
            f"column {column}: {remedy}."
        )


def check_sums(values: NDArray[Any], loss: str) -> None:
    """Refuse rows that do not add up to 1."""
    sums = values.sum(axis=1, dtype=np.float64)
    wrong = np.abs(sums - 1.0) > _SUM_TOLERANCE  # not of a row with NaN
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"`Y` must have rows that add up to 1 for {loss}, got {sums[row]:.6g} in row {row}: "
            "divide each row by its sum."
        )
