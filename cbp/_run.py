"""One call of `Trainer.fit`: its epochs, what is asked at their ends, and how it ends.

What lives here: when to stop, when to look, what to keep. What must not: arithmetic on the
parameters, and checks of arguments. Invariants: however a run ends, the network holds finite
parameters, if it did before; they are the best of the run where they are watched, else those of
the last completed update, or after a divergence of the last end of an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _check, metrics, schedules
from ._divergence import SPOILT, first_not_finite, of_run
from ._feeding import Data, Stream, fingerprint
from ._progress import Progress
from ._training import Diverged
from .callbacks import Callback, wants_batches
from .exceptions import DivergenceError

if TYPE_CHECKING:
    from .trainer import Trainer

# With a progress line and nothing else to do at epoch ends, how long the loop runs by itself.
_PROGRESS_SECONDS = 0.2
# Epochs that the loop runs at most in one piece: bounds the memory of their losses.
_MOST_EPOCHS = 65_536
# Rates that are computed at once.
_MOST_RATES = 65_536


class Rows:
    """Epochs over the rows of arrays."""

    def __init__(
        self,
        trainer: Trainer,
        data: Data,
        rows: NDArray[np.intp] | None,
        orders: Sequence[NDArray[np.intp] | None],
    ) -> None:
        self.trainer, self.data, self.rows, self.orders = trainer, data, rows, orders
        first = orders[0] if orders[0] is not None else rows
        self.n_rows = len(data.X if first is None else first)
        self.batch_size = trainer._batch_of(self.n_rows)
        self.n_batches = -(-self.n_rows // self.batch_size)

    def begin(self) -> None:
        """Give the loop the data; an interrupted epoch of others begins anew."""
        trainer, loop = self.trainer, self.trainer._loop
        loop.bind(
            self.data.X, *self.data.targets, self.data.weight, batch_size=self.batch_size,
            shuffle=trainer.shuffle, rows=self.rows,
        )  # fmt: skip
        if loop.row and self._fingerprint(0) != trainer._interrupted:
            loop.rewind()

    def note(self, epochs: int) -> None:
        """Note what the epoch was of in which the loop stands; `epochs` have ended."""
        if self.trainer._loop.row:
            self.trainer._interrupted = self._fingerprint(epochs)

    end = note

    def _fingerprint(self, epochs: int) -> bytes:
        return fingerprint(self.data, self.rows, self.orders[epochs % len(self.orders)])

    def advance(self, run: Run, most: int) -> None:
        """Run up to `most` epochs, or until the rates or the time are used up."""
        trainer, loop = self.trainer, self.trainer._loop
        told = np.empty(min(most, _MOST_EPOCHS))
        seconds = _PROGRESS_SECONDS if run.shown.shown else 0.0  # 0: the loop runs to the end
        order = self.orders[run.epochs % len(self.orders)]
        count = min(self.n_batches * len(told) - loop.batch, _MOST_RATES)
        rates = trainer._rates(1 if run.batch_callbacks else count)
        if rates is None and run.batch_callbacks:
            rates = np.array([trainer._constant_rate()])
        before = loop.epoch, loop.batch
        limit = 0.0 if run.max_seconds is None else max(run.left(), 1e-6)
        try:
            loop.run(told, seconds, trainer._threads(self.batch_size), order, rates, limit)
        finally:
            trainer.history.append_losses(told[: loop.epoch - before[0]].tolist())
        if loop.epoch == before[0] and loop.batch != before[1]:
            run.end_batch(before[1])  # an epoch's last one ends when its numbers are taken

    def last_batch(self) -> NDArray[Any]:
        """Return the inputs of the last minibatch."""
        return np.asarray(self.data.X[self.trainer._loop.batch_rows()])


class Batches:
    """Epochs over a stream, each batch of which is one update."""

    def __init__(
        self, trainer: Trainer, stream: Stream, table: NDArray[np.float64] | None
    ) -> None:
        self.trainer, self.stream, self.table = trainer, stream, table
        self.X: Any = None

    def begin(self) -> None:
        """An interrupted epoch of arrays begins anew."""
        self.trainer._loop.rewind()

    def note(self, epochs: int) -> None:
        """Nothing tells a batch of a stream from another one."""

    def end(self, epochs: int) -> None:
        """A broken epoch of a stream is forgotten."""
        self.trainer._loop.rewind()

    def advance(self, run: Run, most: int) -> None:
        """Run one epoch."""
        trainer, loop = self.trainer, self.trainer._loop
        for number, batch in enumerate(self.stream):
            if run.left() <= 0.0 or loop.stopped:
                loop.stop()
                return
            try:
                data = trainer._data(*batch, self.table)
            except (TypeError, ValueError) as error:
                raise type(error)(f"In batch {number + 1}, {error}") from None
            self.X = data.X
            rates = trainer._rates(1)
            loop.learning_rate = trainer._constant_rate() if rates is None else float(rates[0])
            threads = trainer._threads(len(data.X))
            loop.update(data.X, *data.targets, data.weight, threads, True)
            run.end_batch(number)
        trainer.history.append_losses([loop.end_epoch()])

    def last_batch(self) -> NDArray[Any]:
        """Return the inputs of the last batch."""
        return self.X


class Run:
    """A call of `fit`, from its first epoch to its end.

    `watch`: {"monitor", "best", "epoch", "waited", "parameters"} and what it is judged by.
    """

    def __init__(
        self,
        trainer: Trainer,
        feed: Rows | Batches,
        epochs: int,
        *,
        validation: Data | None,
        monitor: str | None,
        patience: int | None,
        min_delta: float,
        restore_best: bool,
        max_seconds: float | None,
        callbacks: list[Callback],
        progress: bool | str,
    ) -> None:
        self.trainer, self.feed, self.n_epochs = trainer, feed, epochs
        self.validation, self.patience, self.min_delta = validation, patience, min_delta
        self.restore_best = restore_best
        self.max_seconds, self.callbacks = max_seconds, callbacks
        self.batch_callbacks = [item for item in callbacks if wants_batches(item)]
        self.shown = Progress(epochs, progress)
        self.first = trainer.history.epochs
        plateau = trainer.schedule if self._reduces() else None
        self.usual = "loss" if validation is None else "val_loss"
        for name in (monitor, getattr(plateau, "monitor", None)):
            if name is not None:
                known = ["loss", *(f"val_{name}" for name in ("loss", *trainer.metrics))]
                if validation is None:
                    known = ["loss", *trainer.metrics]
                _check.choice(name, "monitor", known)
        watched = validation is not None or patience is not None or monitor is not None
        self.monitor = monitor or self.usual
        if not watched or (patience is None and not restore_best):
            trainer._watch = None
        elif trainer._watch is None or trainer._watch["monitor"] != self.monitor:
            trainer._watch = {
                "monitor": self.monitor, "best": math.inf, "epoch": -1, "waited": 0,
                "parameters": None,
            }  # fmt: skip
        many_orders = isinstance(feed, Rows) and len(feed.orders) > 1
        self.stops = bool(watched or trainer.metrics or callbacks or plateau or many_orders)

    # ---- what the feed asks ---------------------------------------------------------------------

    @property
    def epochs(self) -> int:
        """Epochs of this run that have ended."""
        return self.trainer.history.epochs - self.first

    def left(self) -> float:
        """Return the seconds that are left, infinity without a limit."""
        if self.max_seconds is None:
            return math.inf
        return self.begun + self.max_seconds - time.monotonic()

    def end_batch(self, number: int) -> None:
        """Tell who wants to know that minibatch `number` has ended."""
        for callback in self.batch_callbacks:
            callback.on_train_batch_end(number, {"loss": self.trainer._loop.batch_loss})

    # ---- the run --------------------------------------------------------------------------------

    def go(self) -> str:
        """Train; return what ended it: "epochs", "patience", "max_seconds" or "stop"."""
        trainer, loop = self.trainer, self.trainer._loop
        history = trainer.history
        self.begun = time.monotonic()
        self.spoilt = not _check.is_finite(trainer.net.parameters)
        self._set_rate()
        try:
            self.feed.begin()
            loop.keep()
            with self.shown as shown:
                for callback in self.callbacks:
                    callback.trainer = trainer
                    callback.on_train_begin({})
                begun = -1
                while self.epochs < self.n_epochs:
                    if loop.stopped or self.left() <= 0.0:
                        return "max_seconds" if self.left() <= 0.0 else "stop"
                    before = history.epochs
                    if begun < before:
                        begun = before
                        for callback in self.callbacks:
                            callback.on_epoch_begin(before, {})
                    self.feed.advance(self, 1 if self.stops else self.n_epochs - self.epochs)
                    if history.epochs == before:
                        continue
                    if self.stops and self._end_epoch():
                        return "patience"
                    if shown.shown:
                        shown.update(self.epochs, history.last())
            return "epochs"
        except Diverged as error:
            raise self._divergence(error) from None
        finally:
            self._end()

    def _end_epoch(self) -> bool:
        """Take the numbers of the epoch that has just ended; return whether patience is at an
        end."""
        trainer = self.trainer
        values: dict[str, float] = {}
        if self.validation is not None:
            measured = trainer._measure(self.validation, ("loss", *trainer.metrics))
            values = {f"val_{name}": value for name, value in measured.items()}
        elif trainer.metrics:
            assert isinstance(self.feed, Rows)
            data = self.feed.data if self.feed.rows is None else self.feed.data.take(self.feed.rows)
            values = trainer._measure(data, trainer.metrics)
        if self._reduces():
            values["learning_rate"] = trainer._loop.learning_rate
        trainer.history.amend(values)
        values = trainer.history.last()
        over = self._watch(values)
        if self._reduces():
            self._judge_plateau(values)
        if isinstance(self.feed, Rows):
            self.end_batch(self.feed.n_batches - 1)
        for callback in self.callbacks:
            callback.on_epoch_end(trainer.history.epochs - 1, dict(values))
        self._set_rate()
        return over

    def _watch(self, values: Mapping[str, float]) -> bool:
        """Keep the parameters if they are the best so far; return whether patience is at an end."""
        watch = self.trainer._watch
        if watch is None:
            return False
        value = _loss_like(self.monitor, values)
        if value < watch["best"] - (self.min_delta if watch["epoch"] >= 0 else 0.0):
            watch.update(best=value, epoch=self.trainer.history.epochs - 1, waited=0)
            if self.restore_best:
                if watch["parameters"] is None:
                    watch["parameters"] = np.empty_like(self.trainer.net.parameters)
                watch["parameters"][...] = self.trainer.net.parameters
        else:
            watch["waited"] += 1
        return self.patience is not None and watch["waited"] >= self.patience

    def _reduces(self) -> bool:
        return isinstance(self.trainer.schedule, schedules.ReduceOnPlateau)

    def _judge_plateau(self, values: Mapping[str, float]) -> None:
        """Reduce the rate where nothing got better for long enough."""
        schedule, state = self.trainer.schedule, self.trainer._plateau
        assert isinstance(schedule, schedules.ReduceOnPlateau) and state is not None
        schedule._judge(state, _loss_like(schedule.monitor or self.usual, values))

    def _set_rate(self) -> None:
        self.trainer._loop.learning_rate = self.trainer._constant_rate()

    # ---- how it ends ----------------------------------------------------------------------------

    def _end(self) -> None:
        """Whatever ended the run: note the place, bring back the best, tell the callbacks."""
        trainer = self.trainer
        watch, trainer._watch = trainer._watch, None
        trainer.history.best_epoch = None
        if watch is not None and watch["parameters"] is not None:
            trainer.net.parameters[...] = watch["parameters"]
            trainer.history.best_epoch = watch["epoch"]
        self.feed.end(self.epochs)
        trainer.threads_used = trainer._loop.threads_used
        trainer._loop.release()
        self.seconds = time.monotonic() - self.begun
        trainer.history.seconds += self.seconds
        for callback in self.callbacks:
            callback.on_train_end(trainer.history.last() if self.epochs else {})

    def _divergence(self, error: Diverged) -> DivergenceError:
        """Return the error that names the epoch, the batch and the layer; put back the arrays."""
        trainer, watch = self.trainer, self.trainer._watch
        found = first_not_finite(trainer.net, self.feed.last_batch())
        trainer._loop.restore()
        trainer._begin_states()
        now = "the parameters are those of "
        if watch is not None and watch["parameters"] is not None:
            now += f"the best epoch, {watch['epoch'] + 1}, again"
        elif error.epoch > 0:
            now += f"the end of epoch {error.epoch} again"
        else:
            now += "the beginning again"
        remedy = (f"{now}; lower the learning rate (now {trainer._loop.learning_rate:g}) or "
                  "scale the inputs")  # fmt: skip
        return of_run(error, *found, SPOILT if self.spoilt else remedy)


def _loss_like(name: str, values: Mapping[str, float]) -> float:
    """Return a number of the epoch, with its sign changed where more is better; NaN is worst."""
    value = values.get(name, math.nan)
    if metrics.larger_is_better(name):
        value = -value
    return math.inf if math.isnan(value) else value
