"""Metrics: how good predictions are, in the words people use.

What lives here: functions of targets and predictions, and the meters that they are made of, which
take rows chunk by chunk. Invariant: sums are float64 in the fixed order of docs/numerics.md, so
that a choice made by a metric (the best epoch) is the same on every machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _runtime
from ._targets import Targets

__all__ = ["accuracy", "auc", "mae", "r2", "rmse", "top_k"]

NAMES = ("accuracy", "auc", "mae", "r2", "rmse", "top_5")
# What needs classes, and of what more is better.
OF_CLASSES = ("accuracy", "auc", "top_")
LARGER = ("accuracy", "auc", "r2", "top_")


# ---- functions --------------------------------------------------------------------------------


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
    return _of_classes("accuracy", y_true, y_pred, sample_weight)


def top_k(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5, *, sample_weight: ArrayLike | None = None
) -> float:
    """Return the share of rows whose class is among the k largest outputs.

    Of equal outputs the last one counts as the largest, as in scikit-learn.

    Parameters
    ----------
    y_true, y_pred, sample_weight
        As in `accuracy`, with at least two outputs.
    k : int
        At least 1.

    Raises
    ------
    TypeError, ValueError
        As in `accuracy`.
    """
    k = _check.integer(k, "k", 1, 2**31)
    return _of_classes(f"top_{k}", y_true, y_pred, sample_weight)


def auc(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve: 1 is perfect, 0.5 as good as guessing.

    The chance that a row of the class has a larger output than a row that is not of it, equal
    ones counted half. With several outputs, the mean over them, each against the rest.

    Parameters
    ----------
    y_true : array_like
        Labels (n_samples,), or rows (n_samples, n_outputs) of 0 and 1.
    y_pred, sample_weight
        As in `accuracy`.

    Raises
    ------
    TypeError, ValueError
        As in `accuracy`, or an output has rows of one kind only.

    References
    ----------
    Hanley & McNeil, Radiology 143 (1982): the area is Wilcoxon's statistic.
    """
    return _of_classes("auc", y_true, y_pred, sample_weight)


def r2(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Return R², the coefficient of determination: 1 is perfect, 0 as good as the mean.

    1 - Σ w (t - y)² / Σ w (t - t̄)² of every output, averaged over the outputs. An output whose
    targets are all equal counts 1 if it is met exactly, else 0.

    Parameters
    ----------
    y_true, y_pred : array_like, (n_samples, n_outputs) or (n_samples,)
        Targets and a network's outputs. Targets that are NaN do not count.
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
    return _of_numbers("r2", y_true, y_pred, sample_weight)


def mae(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean of |t - y|, averaged over the outputs.

    Parameters
    ----------
    y_true, y_pred, sample_weight
        As in `r2`.

    Raises
    ------
    TypeError, ValueError
        As in `r2`.
    """
    return _of_numbers("mae", y_true, y_pred, sample_weight)


def rmse(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Return the root of the mean of (t - y)², averaged over the outputs.

    Parameters
    ----------
    y_true, y_pred, sample_weight
        As in `r2`.

    Raises
    ------
    TypeError, ValueError
        As in `r2`.
    """
    return _of_numbers("rmse", y_true, y_pred, sample_weight)


# ---- meters -----------------------------------------------------------------------------------


class Meter(Protocol):
    """What takes targets t, outputs y (n, n_outputs) and weights chunk by chunk."""

    def add(
        self, t: NDArray[Any], y: NDArray[Any], weight: NDArray[np.float64] | None
    ) -> None:
        """Take more rows."""

    def value(self) -> float:
        """Return the metric of all rows so far."""


class _Share:
    """The share of rows that are right."""

    def __init__(self) -> None:
        self.right = self.total = 0.0

    def add(self, t: NDArray[Any], y: NDArray[Any], weight: NDArray[np.float64] | None) -> None:
        right = self.judge(t, y)
        self.right += _sum(right.astype(np.float64), weight)
        self.total += len(y) if weight is None else _sum(weight, None)

    def value(self) -> float:
        return self.right / self.total

    def judge(self, t: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
        """Return whether each row is right."""
        if y.shape[1] == 1:
            right: NDArray[np.bool_] = (t.reshape(len(t)) > 0.5) == (y[:, 0] > 0.5)
            return right
        return np.asarray(_labels(t) == y.argmax(axis=1))


class _TopK(_Share):
    """The share of rows whose class is among the k largest."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def judge(self, t: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
        """Return whether each row is right."""
        labels = _labels(t)[:, np.newaxis]
        own = np.take_along_axis(y, labels, axis=1)
        later = np.arange(y.shape[1]) > labels
        return np.asarray(((y > own) | ((y == own) & later)).sum(axis=1) < self.k)


class _Error:
    """The mean over the rows of a function of t - y, averaged over the outputs."""

    def __init__(self, squared: bool) -> None:
        self.squared = squared
        self.sums: list[list[float]] = []

    def add(self, t: NDArray[Any], y: NDArray[Any], weight: NDArray[np.float64] | None) -> None:
        self.sums = self.sums or [[0.0, 0.0] for _ in range(y.shape[1])]
        for sums, (a, b, w) in zip(self.sums, _columns(t, y, weight)):
            e = np.abs(a - b)
            sums[0] += _sum(e * e if self.squared else e, w)
            sums[1] += len(a) if w is None else _sum(w, None)

    def value(self) -> float:
        means = [part / total for part, total in self.sums]
        return sum(math.sqrt(m) if self.squared else m for m in means) / len(means)


class _R2:
    """R²: of each output (shift, Σ w, Σ w d, Σ w d², Σ w (t - y)²) with d = t - shift."""

    def __init__(self) -> None:
        self.sums: list[list[float]] = []

    def add(self, t: NDArray[Any], y: NDArray[Any], weight: NDArray[np.float64] | None) -> None:
        first = not self.sums
        self.sums = self.sums or [[0.0] * 5 for _ in range(y.shape[1])]
        for sums, (a, b, w) in zip(self.sums, _columns(t, y, weight)):
            if not len(a):
                continue
            if first or not sums[1]:
                # Near the mean, so that little cancels; equal targets give zeros exactly.
                sums[0] = float(a[0]) if a.min() == a.max() else _sum(a, None) / len(a)
            d, e = a - sums[0], a - b
            sums[1] += len(a) if w is None else _sum(w, None)
            sums[2] += _sum(d, w)
            sums[3] += _sum(d * d, w)
            sums[4] += _sum(e * e, w)

    def value(self) -> float:
        scores = []
        for _, total, moved, squares, residual in self.sums:
            spread = squares - moved * moved / total
            if squares == 0.0 or spread <= 0.0:
                scores.append(1.0 if residual == 0.0 else 0.0)
            else:
                scores.append(1.0 - residual / spread)
        return sum(scores) / len(scores)


class _Auc:
    """The area under the ROC curve, exact: all outputs are kept until the end."""

    def __init__(self) -> None:
        self.parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[np.float64] | None]] = []

    def add(self, t: NDArray[Any], y: NDArray[Any], weight: NDArray[np.float64] | None) -> None:
        self.parts.append((t, y, weight))

    def value(self) -> float:
        t, y, weights = zip(*self.parts)
        of, scores = np.concatenate(t), np.concatenate(y)
        weight = None if weights[0] is None else np.concatenate(weights)
        areas = []
        for column in range(scores.shape[1]):
            inside = _inside(of, column, scores.shape[1])
            areas.append(_area(inside, scores[:, column], weight, column))
        return sum(areas) / len(areas)


def _inside(of: NDArray[Any], column: int, n_outputs: int) -> NDArray[np.bool_]:
    """Return which rows are of the class of an output."""
    if of.ndim > 1:
        of = of[:, column]
    elif n_outputs > 1:
        return np.asarray(of == column)
    return np.asarray(of > 0.5)


def _area(
    inside: NDArray[np.bool_],
    scores: NDArray[Any],
    weight: NDArray[np.float64] | None,
    column: int,
) -> float:
    """Return the area under the ROC curve of one output."""
    w = np.ones(len(scores)) if weight is None else weight
    _check_both(inside, w, column)
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    groups = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    yes = np.add.reduceat(np.where(inside, w, 0.0)[order], groups)
    no = np.add.reduceat(np.where(inside, 0.0, w)[order], groups)
    below = np.cumsum(no) - no
    return float((yes * (below + 0.5 * no)).sum() / (yes.sum() * no.sum()))


def meter(name: str) -> Meter:
    """Return a new meter for a metric of this name."""
    if name.startswith("top_"):
        return _TopK(int(name[4:]))
    if name in ("mae", "rmse"):
        return _Error(name == "rmse")
    kinds: dict[str, Callable[[], Meter]] = {"accuracy": _Share, "r2": _R2, "auc": _Auc}
    return kinds[name]()


# ---- checks -----------------------------------------------------------------------------------


def check_classes(targets: NDArray[Any], name: str, purpose: str = "accuracy") -> None:
    """Raise ValueError if a row of several targets does not name one class."""
    if targets.ndim != 2 or targets.shape[1] < 2:
        return
    ties = (targets == targets.max(axis=1, keepdims=True)).sum(axis=1) > 1
    if ties.any():
        row = int(np.argmax(ties))
        raise ValueError(
            f"`{name}` must have one largest element in every row for {purpose}, as one-hot "
            f"rows have, got several in row {row}: {purpose} is not for several labels a row."
        )


def _check_both(inside: NDArray[np.bool_], weight: NDArray[np.float64], column: int) -> None:
    """Raise ValueError if there are not both rows of a class and others."""
    if not weight[inside].any() or not weight[~inside].any():
        raise ValueError(
            f"auc needs rows of the class and rows that are not, got one kind for output {column}."
        )


def check_auc(targets: Targets, n_outputs: int, weight: NDArray[np.float64] | None) -> None:
    """Raise ValueError if the area under the ROC curve of an output is not defined."""
    of = targets.labels if targets.values is None else targets.values
    assert of is not None
    w = np.ones(len(of)) if weight is None else weight
    for column in range(n_outputs):
        _check_both(_inside(of, column, n_outputs), w, column)


def checked(metrics: Any) -> tuple[str, ...]:
    """Return the names of metrics, given as one name or several."""
    names = (metrics,) if isinstance(metrics, str) else metrics
    if not isinstance(names, (list, tuple)):
        raise TypeError(
            f"`metrics` must be a name or a list of names, got {type(metrics).__name__}."
        )
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"top_[1-9]\d{0,8}", name):
            _check.choice(name, "metrics", NAMES)
    return tuple(names)


def larger_is_better(name: str) -> bool:
    """Return whether a column of the history is better the larger it is."""
    return name.removeprefix("val_").startswith(LARGER)


def _of_classes(name: str, y_true: Any, y_pred: Any, sample_weight: Any) -> float:
    """Return a metric of classes."""
    t, y = _check.numeric(y_true, "y_true"), _as_columns(_check.numeric(y_pred, "y_pred"))
    if len(t) != len(y) or (t.ndim != 1 and t.shape != y.shape):
        raise ValueError(
            f"`y_true` must have shape ({len(y)},) or {y.shape} (as `y_pred` has), got {t.shape}."
        )
    if name != "auc":
        check_classes(t, "y_true")
    if t.ndim == 1 and y.shape[1] > 1:
        outside = (t < 0) | (t >= y.shape[1]) | (t != np.floor(t))
        if outside.any():
            row = int(np.argmax(outside))
            raise ValueError(
                f"`y_true` must hold labels from 0 to {y.shape[1] - 1} (as many as `y_pred` has "
                f"columns), got {t[row]} in row {row}."
            )
        t = t.astype(np.int64)
    elif t.ndim == 1 and ((t < 0) | (t > 1)).any():
        row = int(np.argmax((t < 0) | (t > 1)))
        raise ValueError(
            f"`y_true` must lie in [0, 1] where `y_pred` has one column, got {t[row]} in row {row}: "
            "`y_pred` are a network's outputs, not labels."
        )
    if name.startswith("top_") and y.shape[1] < 2:
        raise ValueError("`y_pred` must have at least 2 columns for top_k, got 1: use accuracy.")
    return _measured(name, t, y, sample_weight)


def _of_numbers(name: str, y_true: Any, y_pred: Any, sample_weight: Any) -> float:
    """Return a metric of numbers."""
    t = _as_columns(_check.numeric(y_true, "y_true"))
    y = _as_columns(_check.numeric(y_pred, "y_pred"))
    if t.shape != y.shape:
        raise ValueError(f"`y_true` must have shape {y.shape} (as `y_pred` has), got {t.shape}.")
    return _measured(name, t, y, sample_weight)


def _measured(name: str, t: NDArray[Any], y: NDArray[Any], sample_weight: Any) -> float:
    weight = None
    if sample_weight is not None:
        weight = _check.row_weights(sample_weight, len(y))
        if not weight.any():
            raise ValueError("`sample_weight` must not be zero for every row.")
    one = meter(name)
    one.add(t, y, weight)
    return one.value()


# ---- small helpers ----------------------------------------------------------------------------


def _as_columns(array: NDArray[Any]) -> NDArray[Any]:
    """Return (n_samples,) as (n_samples, 1)."""
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or not array.size:
        raise ValueError(f"Metrics need 1-d or 2-d arrays with rows, got shape {array.shape}.")
    return array


def _labels(t: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class of each row."""
    return np.asarray(t if t.ndim == 1 else t.argmax(axis=1))


def _columns(t: NDArray[Any], y: NDArray[Any], weight: NDArray[np.float64] | None) -> Any:
    """Yield targets, outputs and weights of every output in double, without unknown targets."""
    for a, b in zip(t.T.astype(np.float64, order="C"), y.T.astype(np.float64, order="C")):
        unknown = np.isnan(a)
        if unknown.any():
            known = ~unknown
            yield a[known], b[known], None if weight is None else weight[known]
        else:
            yield a, b, weight


def _sum(values: NDArray[np.float64], weight: NDArray[np.float64] | None) -> float:
    """Return Σ w x in the fixed order."""
    return _runtime.row_sum(values, weight)
