"""History: what a training run told, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from . import _check, _tables

__all__ = ["History"]


class History(Mapping[str, list[float]]):
    """The numbers of a training run: ``history["loss"][e]`` belongs to epoch e.

    Attributes
    ----------
    first : int
        How many epochs the trainer had completed before these.
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
    not asked for in an epoch, its list holds NaN. ``pandas.DataFrame(dict(history))`` has a row for
    each epoch.
    """

    def __init__(self) -> None:
        self.first = 0
        self.epochs = 0
        self.seconds = 0.0
        self.best_epoch: int | None = None
        self.ended = ""
        self._columns: dict[str, list[float]] = {"loss": []}

    def __getitem__(self, name: str) -> list[float]:
        if name not in self._columns:
            known = ", ".join(map(repr, self._columns))
            raise KeyError(f"There is no {name!r} in this history, which has {known}.")
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        last = "".join(f", {name} {column[-1]:.4g}" for name, column in self.items() if column)
        return f"History({self.epochs} epochs, {self.seconds:.3g} s{last})"

    def _repr_html_(self) -> str:
        """Return the first and the last epochs as a notebook shows them."""
        return _tables.of_history(self).html()

    def plot(self, *, log: bool = False) -> Any:
        """Return a matplotlib figure: the loss and each metric over the epochs.

        Parameters
        ----------
        log : bool
            Whether the loss has a logarithmic axis.

        Returns
        -------
        matplotlib.figure.Figure
            A panel for "loss", and one for every metric; what was measured on the validation data
            stands beside it in the same panel, with the best epoch marked.

        Raises
        ------
        ImportError
            matplotlib is not installed: ``pip install cbp[plot]``.
        ValueError
            There are no epochs yet.
        """
        _check.flag(log, "log")
        if not self.epochs:
            raise ValueError("There is nothing to plot: no epoch has ended yet.")
        try:
            from matplotlib import pyplot
        except ImportError:
            raise ImportError(
                "`history.plot` needs matplotlib: pip install cbp[plot]"
            ) from None
        epochs = range(self.first, self.first + self.epochs)
        names = list(dict.fromkeys(name.removeprefix("val_") for name in self))
        size = (6.4, 1.0 + 2.6 * len(names))
        figure, panels = pyplot.subplots(
            len(names), figsize=size, sharex=True, squeeze=False, layout="constrained"
        )
        for panel, name in zip(panels[:, 0], names):
            columns = (name, "training", "C0"), (f"val_{name}", "validation", "C1")
            for column, label, color in columns:
                if column in self:
                    panel.plot(epochs, self[column], color, label=label)
            if self.best_epoch is not None and self.best_epoch in epochs:
                panel.axvline(self.best_epoch, color="0.6", linestyle=":", label="best epoch")
            panel.set_ylabel(name.replace("_", " "))
            panel.legend()
        if log:
            panels[names.index("loss"), 0].set_yscale("log")
        panels[-1, 0].set_xlabel("epoch")
        return figure

    def append_losses(self, losses: Iterable[float]) -> None:
        """Add epochs of which the loss is known; the other columns hold NaN until `amend`."""
        self._columns["loss"].extend(losses)
        self.epochs = len(self._columns["loss"])
        for column in self._columns.values():
            if len(column) < self.epochs:
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
        numbers = {name: column[-1] for name, column in self._columns.items()}
        return {name: number for name, number in numbers.items() if not math.isnan(number)}

    def since(self, first: int) -> History:
        """Return the history of the epochs from `first` on."""
        result = History()
        for name, column in self._columns.items():
            if name == "loss" or not all(map(math.isnan, column[first:])):
                result._columns[name] = column[first:]
        result.epochs = self.epochs - first
        result.first = self.first + first
        result.best_epoch, result.ended = self.best_epoch, self.ended
        return result
