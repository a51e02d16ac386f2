"""History: what a training run told, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

__all__ = ["History"]


class History(Mapping[str, list[float]]):
    """The numbers of a training run: ``history["loss"][e]`` belongs to epoch e.

    Attributes
    ----------
    epochs : int
        Completed epochs; every list has that length.
    seconds : float
        Wall-clock time.
    best_epoch : int or None
        The epoch whose parameters the network holds, if the best ones were brought back; counted
        as in ``trainer.history``.
    ended : str
        What ended the last run: "epochs", "patience", "max_seconds", "stop", or "error".

    Notes
    -----
    "loss" is the weighted mean of the batches' losses, each taken before its update, without the
    penalty of `l2`. With validation data "val_loss" and "val_<metric>" stand beside it, without
    them "<metric>" of the training data; both are taken at the end of an epoch. Where a number was
    not asked for in an epoch, its list holds NaN.
    """

    def __init__(self) -> None:
        self.epochs = 0
        self.seconds = 0.0
        self.best_epoch: int | None = None
        self.ended = ""
        self._columns: dict[str, list[float]] = {"loss": []}

    def __getitem__(self, name: str) -> list[float]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        last = "".join(f", {name} {column[-1]:.4g}" for name, column in self.items() if column)
        return f"History({self.epochs} epochs, {self.seconds:.3g} s{last})"

    def append_losses(self, losses: Iterable[float]) -> None:
        """Add epochs of which the loss is known; the other columns hold NaN until `amend`."""
        self._columns["loss"].extend(map(float, losses))
        self.epochs = len(self._columns["loss"])
        for column in self._columns.values():
            column.extend([math.nan] * (self.epochs - len(column)))

    def amend(self, values: Mapping[str, float]) -> None:
        """Add numbers to the last epoch."""
        for name, value in values.items():
            if name not in self._columns:
                self._columns[name] = [math.nan] * self.epochs
            self._columns[name][-1] = float(value)

    def last(self) -> dict[str, float]:
        """Return the numbers that the last epoch has."""
        if not self.epochs:
            return {}
        numbers = {name: column[-1] for name, column in self.items()}
        return {name: number for name, number in numbers.items() if not math.isnan(number)}

    def since(self, first: int) -> History:
        """Return the history of the epochs from `first` on."""
        result = History()
        for name, column in self.items():
            if name == "loss" or not all(map(math.isnan, column[first:])):
                result._columns[name] = column[first:]
        result.epochs = self.epochs - first
        result.best_epoch, result.ended = self.best_epoch, self.ended
        return result
