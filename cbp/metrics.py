"""Metrics: how good predictions are, in the words people use.

What lives here: accuracy and R², as functions of targets and predictions. Sums are float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check

__all__ = ["METRICS", "accuracy", "r2"]


def accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Return the share of rows that are classified correctly, from 0 to 1.

    Parameters
    ----------
    y_true : array_like
        Labels (n_samples,), or rows (n_samples, n_outputs) whose one largest element marks the
        class, one-hot for instance.
    y_pred : array_like, (n_samples, n_outputs) or (n_samples,)
        A network's outputs. With several, the largest is the answer; with one, it is class 1
        above 0.5 and class 0 otherwise.
    sample_weight : array_like, (n_samples,), optional
        How much each row counts.

    Raises
    ------
    TypeError, ValueError
        The arrays are not numbers, do not belong together, hold no rows, or a row of `y_true`
        has several largest elements, as with several labels a row.

    Examples
    --------
    >>> from cbp.metrics import accuracy
    >>> accuracy([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    0.6666666666666666
    """
    t, y = _check.numeric(y_true, "y_true"), _as_columns(_check.numeric(y_pred, "y_pred"))
    if len(t) != len(y) or (t.ndim != 1 and t.shape != y.shape):
        raise ValueError(
            f"`y_true` must have shape ({len(y)},) or {y.shape} (as `y_pred` has), got {t.shape}."
        )
    check_classes(t, "y_true")
    if y.shape[1] == 1:
        right = (t.reshape(len(t)) > 0.5) == (y[:, 0] > 0.5)
    else:
        right = (t if t.ndim == 1 else t.argmax(axis=1)) == y.argmax(axis=1)
    return float(_mean(right.astype(np.float64), sample_weight))


def r2(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Return R², the coefficient of determination: 1 is perfect, 0 as good as the mean.

    1 - Σ w (t - y)² / Σ w (t - t̄)² of every output, averaged over the outputs. An output whose
    targets are all equal counts 1 if it is met exactly, else 0.

    Parameters
    ----------
    y_true, y_pred : array_like, (n_samples, n_outputs) or (n_samples,)
        Targets and a network's outputs.
    sample_weight : array_like, (n_samples,), optional
        How much each row counts.

    Raises
    ------
    TypeError, ValueError
        The arrays are not numbers, do not belong together, or hold no rows.

    Examples
    --------
    >>> from cbp.metrics import r2
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    t = _as_columns(_check.numeric(y_true, "y_true")).astype(np.float64)
    y = _as_columns(_check.numeric(y_pred, "y_pred")).astype(np.float64)
    if t.shape != y.shape:
        raise ValueError(f"`y_true` must have shape {y.shape} (as `y_pred` has), got {t.shape}.")
    residual = _mean((t - y) ** 2, sample_weight)
    spread = _mean((t - _mean(t, sample_weight)) ** 2, sample_weight)
    constant = spread == 0.0
    score = np.where(constant, residual == 0.0, 1.0 - residual / np.where(constant, 1.0, spread))
    return float(score.mean())


def check_classes(targets: NDArray[Any], name: str) -> None:
    """Raise ValueError if a row of several targets does not name one class."""
    if targets.ndim != 2 or targets.shape[1] < 2:
        return
    ties = (targets == targets.max(axis=1, keepdims=True)).sum(axis=1) > 1
    if ties.any():
        row = int(np.argmax(ties))
        raise ValueError(
            f"`{name}` must have one largest element in every row for accuracy, as one-hot rows "
            f"have, got several in row {row}: accuracy is not for several labels a row."
        )


METRICS = {"accuracy": accuracy, "r2": r2}


def checked(metrics: Any) -> tuple[str, ...]:
    """Return the names of metrics, given as one name or several."""
    names = (metrics,) if isinstance(metrics, str) else metrics
    if not isinstance(names, (list, tuple)):
        raise TypeError(
            f"`metrics` must be a name or a list of names, got {type(metrics).__name__}."
        )
    return tuple(_check.choice(name, "metrics", METRICS) for name in names)


def _as_columns(array: NDArray[Any]) -> NDArray[Any]:
    """Return (n_samples,) as (n_samples, 1)."""
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or not array.size:
        raise ValueError(f"Metrics need 1-d or 2-d arrays with rows, got shape {array.shape}.")
    return array


def _mean(values: NDArray[np.float64], sample_weight: ArrayLike | None) -> NDArray[np.float64]:
    """Return the weighted mean over the rows."""
    if sample_weight is None:
        return np.asarray(np.mean(values, axis=0))
    weight = _check.row_weights(sample_weight, len(values))
    if not weight.any():
        raise ValueError("`sample_weight` must not be zero for every row.")
    return np.asarray(np.average(values, axis=0, weights=weight))
