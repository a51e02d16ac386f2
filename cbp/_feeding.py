"""What a run is fed with: checked arrays, their split, weights of classes, and streams of batches.

What lives here: from a user's arguments to rows, targets and weights that the loop takes. What
must not: training. Invariant: no argument is modified, and large inputs are not copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _check, _runtime, losses

# Bytes of an array that tell it from another one: keeps Ctrl-C quick where the data are large.
_MOST_BYTES = 2**23
_SPLIT = 4  # the purpose of the random stream that splits draw from
_INTP = np.dtype(np.intp)
SPLITS = ("random", "stratified", "last")


class Data(NamedTuple):
    """Checked rows, targets and weights."""

    X: NDArray[Any]
    targets: losses.Targets
    weight: NDArray[np.float64] | None

    def take(self, rows: Any) -> Data:
        """Return some of the rows: of a slice as views, of an array of row numbers as copies."""
        targets = losses.Targets(*(None if part is None else part[rows] for part in self.targets))
        return Data(self.X[rows], targets, None if self.weight is None else self.weight[rows])


def classes(targets: losses.Targets) -> NDArray[np.int64]:
    """Return the class of each row: its label, its largest target, or whether the one exceeds ½."""
    if targets.labels is not None:
        return targets.labels
    assert targets.values is not None
    if targets.values.shape[1] == 1:
        return (targets.values[:, 0] > 0.5).astype(np.int64)
    return targets.values.argmax(axis=1)


def split_rows(
    fraction: float, split: str, seed: int, targets: losses.Targets, n_rows: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows to train on and the rows to validate on, each in ascending order.

    The latter are ⌊fraction · n + ½⌋ rows. "stratified": of the first c classes together
    ⌊fraction · (their rows) + ½⌋, for every c.
    """
    order = np.arange(n_rows, dtype=np.intp)
    taken = np.zeros(n_rows, dtype=bool)
    if split == "last":
        taken[n_rows - int(fraction * n_rows + 0.5) :] = True
    else:
        _runtime.permutation(order, seed, _SPLIT, 0)
        if split == "random":
            taken[order[: int(fraction * n_rows + 0.5)]] = True
        else:
            of = classes(targets)[order]
            order = order[np.argsort(of, kind="stable")]
            ends = np.cumsum(np.bincount(of))
            wanted = [int(fraction * int(end) + 0.5) for end in ends]
            for first, before, upto in zip([0, *ends], [0, *wanted], wanted):
                taken[order[first : first + upto - before]] = True
    train, held = np.flatnonzero(~taken), np.flatnonzero(taken)
    if not len(train) or not len(held):
        raise ValueError(
            f"`validation_split` must leave rows on both sides, got {fraction:g} of "
            f"{_check.count(n_rows, 'row')}: give `validation_data` instead."
        )
    return train, held


def class_weights(class_weight: Any, n_classes: int, of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weight of each class; `of`: the classes of the rows, which "balanced" counts."""
    if isinstance(class_weight, str):
        _check.choice(class_weight, "class_weight", ("balanced",))
        counts = np.bincount(of, minlength=n_classes)
        present = int((counts > 0).sum())
        return np.where(counts > 0, len(of) / (present * np.maximum(counts, 1)), 1.0)
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            "`class_weight` must be 'balanced' or a mapping from classes to weights, "
            f"got {_check.shown(class_weight)}."
        )
    result = np.ones(n_classes)
    for key, value in class_weight.items():
        number = _check.integer(key, "class_weight", 0)
        if number >= n_classes:
            raise ValueError(
                f"`class_weight` must be for classes from 0 to {n_classes - 1}, got {number}."
            )
        result[number] = _check.number(value, f"class_weight[{number}]", least=0.0)
    return result


def weighted(
    weight: NDArray[np.float64] | None, table: NDArray[np.float64], of: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the rows' weights times those of their classes, in double."""
    return table[of] if weight is None else weight * table[of]


def orders(order: Any, epochs: int, n_rows: int) -> list[NDArray[np.intp] | None]:
    """Return the order of every epoch, or the one order of all epochs, or [None]."""
    if order is None:
        return [None]
    source = _check.numeric(order, "order")
    if source.dtype.kind not in "iu":
        raise TypeError(f"`order` must hold row numbers, which are integers, got {source.dtype}.")
    if source.ndim not in (1, 2) or not source.size or (source.ndim == 2 and len(source) != epochs):
        raise ValueError(f"`order` must have shape (n,) or ({epochs}, n), got {source.shape}.")
    result = source
    if not _check.is_plain(source, _INTP):
        result = np.require(source, np.intp, ("C", "A"))
    if not _runtime.all_below(result, n_rows):
        wrong = source[(source < 0) | (source >= n_rows)][0]
        raise ValueError(f"`order` must hold row numbers from 0 to {n_rows - 1}, got {wrong}.")
    return [result] if result.ndim == 1 else list(result)


def fingerprint(data: Data, *orders: NDArray[np.intp] | None) -> bytes:
    """Return what tells an epoch of these rows in this order from another one.

    All of an array up to _MOST_BYTES, evenly spaced rows of a larger one.
    """
    import hashlib  # costs 3 ms, which `import cbp` need not

    result = hashlib.blake2b(digest_size=16)
    for array in (data.X, *data.targets, data.weight, *orders):
        result.update(b"none" if array is None else f"{array.dtype}{array.shape}".encode())
        if array is not None and array.size:
            step = -(-array.nbytes // _MOST_BYTES)
            result.update(np.ascontiguousarray(array[::step]).data)
    return result.digest()


# ---- streams ----------------------------------------------------------------------------------


class Stream:
    """Batches (X, Y) or (X, Y, sample_weight): an iterable of them, or a function that makes one.

    `epochs`: how often it will be gone through; an iterator serves once.
    """

    def __init__(self, source: Any, epochs: int) -> None:
        if not callable(source) and not hasattr(source, "__iter__"):
            raise TypeError(
                "`X` without `Y` must be an iterable of batches (X, Y), or a function that returns "
                f"one, got {_check.shown(source)}."
            )
        if isinstance(source, np.ndarray):
            raise TypeError("`Y` must be given with an array `X`.")
        if not callable(source) and epochs > 1 and iter(source) is source:
            raise ValueError(
                f"`X` is an iterator, which serves one epoch, not {epochs}: pass the function "
                "that makes it, without calling it."
            )
        self._source = source

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        number = 0
        for number, batch in enumerate(
            self._source() if callable(self._source) else self._source, 1
        ):
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
                raise TypeError(
                    f"Batch {number} must be (X, Y) or (X, Y, sample_weight), "
                    f"got {_check.shown(batch)}."
                )
            yield batch[0], batch[1], batch[2] if len(batch) == 3 else None
        if not number:
            raise ValueError(
                "`X` must give at least one batch in every epoch, got none: an iterator serves "
                "once, a function that makes one always."
            )
