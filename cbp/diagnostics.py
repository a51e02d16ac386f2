"""Diagnostics: what the layers of a network do while it trains, on request.

What lives here: statistics of activations, gradients and updates, layer by layer, and the units
that have gone dead. What must not: anything that changes the training. Without the callback none
of it is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check
from ._tables import Table
from .callbacks import Callback

__all__ = ["Diagnostics", "LayerRecord", "Record"]

_SATURATED = {"sigmoid": (0.01, 0.99), "tanh": (-0.99, 0.99), "hard_sigmoid": (0.0, 1.0)}


class LayerRecord(NamedTuple):
    """What one layer did on the rows that were looked at.

    Attributes
    ----------
    layer : int
        Counted from 1.
    activation_mean, activation_std : float
        Of all outputs of the layer.
    zeros : float
        The part of the outputs that is 0.
    saturated : float
        The part of the outputs at an end of the activation's range: of a sigmoid below 0.01 or
        above 0.99, of tanh beyond ±0.99, of a hard sigmoid at 0 or 1; NaN for other activations.
    dead : tuple of int
        Units that gave the same output for every row: they tell nothing, and under most
        activations they learn nothing.
    delta_rms, gradient_rms, weight_rms : float
        Root mean squares of ∂loss/∂z, of ∂loss/∂W, and of W.
    update_ratio : float
        Root mean square of what W changed by since the look before, over that of W; NaN at the
        first. Around 1e-3 a step is usual; far less learns slowly, far more is unstable.
    """

    layer: int
    activation_mean: float
    activation_std: float
    zeros: float
    saturated: float
    dead: tuple[int, ...]
    delta_rms: float
    gradient_rms: float
    weight_rms: float
    update_ratio: float

    def numbers(self) -> dict[str, float]:
        """Return what can be plotted, by name."""
        numbers = self._asdict()
        del numbers["layer"]
        return {**numbers, "dead": float(len(self.dead))}


class Record(NamedTuple):
    """One look at all layers after an epoch, counted as in ``trainer.history``."""

    epoch: int
    layers: tuple[LayerRecord, ...]


class Diagnostics(Callback):
    """Looks at every layer at the ends of epochs: activations, gradients, updates, dead units.

    Parameters
    ----------
    X, Y : array_like
        Rows to look at, a few hundred of the training rows for instance.
    every : int
        Epochs from one look to the next.

    Attributes
    ----------
    records : list of Record

    Notes
    -----
    The gradient is that of the trainer's loss and `l2` at the parameters of the end of the epoch,
    without dropout. Nothing is drawn and nothing is changed: a run with this callback has the bits
    of one without.

    Examples
    --------
    >>> import cbp
    >>> X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> look = cbp.Diagnostics(X, Y, every=10)
    >>> trainer = cbp.Trainer(cbp.Network([2, 4, 1], "tanh", seed=1), seed=1)
    >>> history = trainer.fit(X, Y, epochs=20, callbacks=look)
    >>> [record.epoch for record in look.records]
    [9, 19]
    """

    def __init__(self, X: ArrayLike, Y: ArrayLike, *, every: int = 1) -> None:
        self.X, self.Y = X, Y
        self.every = _check.integer(every, "every", 1)
        self.records: list[Record] = []
        self._before: list[NDArray[Any]] | None = None

    def on_train_begin(self, logs: Mapping[str, float]) -> None:
        """Forget the weights of another run; see that the rows fit the network."""
        self._before = None
        try:
            self.trainer.net.gradient(self.X, self.Y, self.trainer.loss)
        except (TypeError, ValueError) as error:
            raise type(error)(f"In `Diagnostics`, {error}") from None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Look, if it is time."""
        if (epoch + 1) % self.every == 0:
            self.records.append(Record(epoch, self._look()))

    def _look(self) -> tuple[LayerRecord, ...]:
        """Return what every layer does."""
        net, trainer = self.trainer.net, self.trainer
        a = net.forward(self.X).a[1:]
        gradient = net.gradient(self.X, self.Y, trainer.loss, l2=trainer.l2)
        now = [W.copy() for W in net.weights]
        before = self._before or [np.full_like(W, np.nan) for W in now]
        self._before = now
        records = []
        for index, (name, outputs) in enumerate(zip(net.activations, a)):
            saturated = np.nan
            if name in _SATURATED:
                least, most = _SATURATED[name]
                saturated = float(((outputs <= least) | (outputs >= most)).mean())
            constant = (outputs == outputs[:1]).all(axis=0)
            rms = _rms(now[index])
            records.append(LayerRecord(
                layer=index + 1,
                activation_mean=float(outputs.mean(dtype=np.float64)),
                activation_std=float(outputs.std(dtype=np.float64)),
                zeros=float((outputs == 0.0).mean()),
                saturated=saturated,
                dead=tuple(map(int, np.flatnonzero(constant))) if len(outputs) > 1 else (),
                delta_rms=_rms(gradient.deltas[index]),
                gradient_rms=_rms(gradient.weights[index]),
                weight_rms=rms,
                update_ratio=_rms(now[index] - before[index]) / rms if rms else np.nan,
            ))  # fmt: skip
        return tuple(records)

    def _table(self) -> Table:
        if not self.records:
            return Table(["layer"], [], ["no epoch has been looked at yet"])
        record = self.records[-1]
        columns = [name.replace("_", " ") for name in LayerRecord._fields]
        rows, foot = [], [f"after epoch {record.epoch}, on {len(np.asarray(self.X))} rows"]
        for layer in record.layers:
            numbers = [f"{value:.3g}" for value in layer.numbers().values()]
            rows.append([str(layer.layer), *numbers])
            if layer.dead:
                units = ", ".join(map(str, layer.dead[:20])) + (", …" if len(layer.dead) > 20 else "")
                foot.append(f"layer {layer.layer}, dead units: {units}")
        return Table(columns, rows, foot)

    def report(self) -> str:
        """Return the last look as a table, and the numbers of the dead units, from 0."""
        return self._table().text()

    def _repr_html_(self) -> str:
        """Return `report` as a notebook shows it."""
        return self._table().html()


def _rms(array: NDArray[Any]) -> float:
    """Return the root mean square, in double."""
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
