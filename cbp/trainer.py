"""Trainer: a network, a loss and an optimizer, and the runs that bring them together.

What lives here: which rows, how many epochs, what is told about them, and how a run ends. What
must not: arithmetic on the parameters; the minibatch loop is compiled. Invariant: however a run
ends, the trainer can go on from there.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _divergence, _feeding, _measuring, _run, _runtime, checkpoint, losses
from . import callbacks as _callbacks
from . import metrics as _metrics
from . import optimizers, rate_finder, schedules
from ._feeding import Data
from ._training import OPTIMIZERS, Diverged, Loop
from .history import History
from .network import REDUCTIONS, Network, parameter_like

__all__ = ["Trainer"]

_MOST_ROWS = 2**62
# Whose `fit` is on: a process that ends must not be taken down under a daemon thread that computes.
_at_work: set[Trainer] = set()


@atexit.register
def _stop_all() -> None:
    """End every `fit` that is on behind its update, and wait for that a second."""
    for trainer in list(_at_work):
        trainer.stop()
        if trainer._busy.acquire(timeout=1.0):
            trainer._busy.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_work.clear)  # a fork has none of its parent's threads


class Trainer:
    """Trains a network by gradient descent on minibatches.

    Parameters
    ----------
    net : Network
        Its parameters are changed in place.
    loss : str or loss object
        "squared_error", "absolute_error", "huber", "quantile" (any output but softmax and
        log_softmax), "poisson", "gaussian_nll" (identity output), "binary_cross_entropy" (sigmoid
        output), "categorical_cross_entropy" (softmax or log_softmax output), "focal" (those
        three), or an object such as ``cbp.SquaredError(reduction="sum")``. "auto": the
        cross-entropy of a softmax, log_softmax or sigmoid output, else squared error.
    optimizer : str or optimizer object
        "sgd", "momentum" (0.9), "nesterov" (0.9), "rmsprop", "adagrad", "adam", "adamw", "nadam",
        "lion", "rprop" (all rows: `batch_size` None), or an object such as
        ``cbp.SGD(0.1, momentum=0.9)``.
    batch_size : int, None or "auto"
        Rows of a minibatch; the last one of an epoch may be shorter. None: all rows. "auto": the
        largest power of two, from 16 to 256, that gives at least 100 minibatches an epoch.
    shuffle : bool
        Whether every epoch takes the rows in a new random order.
    l2 : float
        Adds ½ l2 Σ W² to what is minimised (weights, not biases), whatever the batch size.
    l1 : float
        Adds l1 Σ |W| likewise.
    clip_value : float, optional
        Every element of the gradient, penalties included, is cut to -clip_value ... clip_value.
    clip_norm : float, optional
        Where the Euclidean norm of the gradient of all trained parameters, penalties included,
        exceeds this, the gradient is scaled down to it. After `clip_value`.
    average : float, optional
        d, at least 0 and below 1: keeps Σ d^(t-i) θᵢ / Σ d^(t-i) of the parameters behind updates
        i = 1 ... t, for `averaged_network`. The network that is trained, and everything measured
        in `fit`, has its own parameters.
    schedule : schedule object or function, optional
        How the learning rate changes: a `cbp.Constant`, `Step`, `Exponential`, `Cosine`,
        `OneCycle`, `InverseScaling` or `ReduceOnPlateau`, which scale `learning_rate`; or a
        function of the number of updates made so far that returns the rate itself.
    metrics : str or list of str
        "accuracy", "top_5" (or another number; sigmoid or softmax output, one class a row), "auc",
        and for other outputs "r2", "mae", "rmse": see `cbp.metrics`. Taken at the end of every
        epoch, of the validation data if there are any, else of the training data.
    n_threads : int or "auto"
        The most threads that run: no more than a minibatch pays for, so one for a small net
        (`threads_used` tells). "auto": as many as the machine allows. No result depends on it.
    seed : int, optional
        Governs the shuffling; 0 ... 2⁶⁴ - 1. Drawn from the operating system by default, and
        readable as `seed`.

    Attributes
    ----------
    net, loss, optimizer, batch_size, shuffle, l2, schedule, metrics, n_threads, seed
        As given, with names and "auto" resolved. Read-only, but for `n_threads`.
    learning_rate : float
        The optimizer's at first; what the schedule scales. May be set between calls and by
        callbacks.
    history : History
        Of all calls of `fit`.
    threads_used : int
        Threads that the last run used.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind, not in its range, or not a known name.

    Examples
    --------
    >>> import cbp
    >>> net = cbp.Network([2, 4, 1], "tanh", "sigmoid", seed=1)
    >>> trainer = cbp.Trainer(net, optimizer=cbp.SGD(0.5, momentum=0.9), batch_size=4, seed=1)
    >>> history = trainer.fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], epochs=500)
    >>> history["loss"][-1] < 0.01
    True
    """

    def __init__(
        self,
        net: Network,
        loss: str | losses.Loss = "auto",
        optimizer: str | optimizers.Optimizer = "adam",
        *,
        batch_size: int | str | None = 32,
        shuffle: bool = True,
        l2: float = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        average: float | None = None,
        schedule: schedules.Schedule
        | schedules.ReduceOnPlateau
        | Callable[[int], float]
        | None = None,
        metrics: str | Sequence[str] = (),
        n_threads: int | str = "auto",
        seed: int | None = None,
    ) -> None:
        if not isinstance(net, Network):
            raise TypeError(f"`net` must be a Network, got {type(net).__name__}.")
        self._net = net
        self._loss = losses.checked(loss, net.activations[-1], net.sizes[-1])
        self._objective = self._loss.objective(net.activations[-1])
        self._optimizer = optimizers.checked(optimizer)
        if isinstance(batch_size, str):
            _check.choice(batch_size, "batch_size", ("auto",))
        elif batch_size is not None:
            batch_size = _check.integer(batch_size, "batch_size", 1, _MOST_ROWS)
        self._batch_size = batch_size
        self._shuffle = _check.flag(shuffle, "shuffle")
        if self._optimizer.rule == "rprop" and self._batch_size is not None:
            raise ValueError(
                f"`batch_size` must be None with Rprop, which compares the gradients of all rows, "
                f"got {self._batch_size}."
            )
        self._l2 = _check.number(l2, "l2", least=0.0)
        self._l1 = _check.number(l1, "l1", least=0.0)
        self._clip_norm = None if clip_norm is None else _check.number(
            clip_norm, "clip_norm", above=0.0)  # fmt: skip
        self._clip_value = None if clip_value is None else _check.number(
            clip_value, "clip_value", above=0.0)  # fmt: skip
        self._average = None if average is None else _check.number(
            average, "average", least=0.0, below=1.0)  # fmt: skip
        self._schedule = schedules.checked(schedule)
        self._metrics = _metrics.checked(metrics)
        _measuring.check_names(self.metrics, net)
        self.n_threads = n_threads
        self._seed = _check.seed(seed)
        self.history = History()
        self.threads_used = 1
        self.learning_rate = self.optimizer.learning_rate
        self._states = [parameter_like(net.n_parameters, net.dtype) for _ in self.optimizer.starts]
        self._begin_states()
        self._mean = None if average is None else parameter_like(net.n_parameters, net.dtype)
        self._mask = net._mask()
        self._interrupted = b""  # what the epoch that it stands in was of: see `fingerprint`
        self._plateau: dict[str, float] | None = None
        if isinstance(self._schedule, schedules.ReduceOnPlateau):
            self._plateau = self._schedule._start()
        self._watch: dict[str, Any] | None = None  # of a run that is on: see `Run`
        self._ahead: tuple[int, float, list[float]] = (0, 0.0, [])  # see `_rate_ahead`
        self._fitting = False
        self._run: _run.Run | None = None  # the one that is on
        self._busy = threading.Lock()
        self._loop = self._make_loop()

    def _make_loop(self) -> Loop:
        """Return the compiled loop: it holds the place of the run, and no data between calls."""
        return Loop(
            self.net._core,
            loss=self._objective,
            reduction=REDUCTIONS[self.loss.reduction],
            optimizer=OPTIMIZERS[self.optimizer.rule],
            hyper=self.optimizer.hyper,
            l2=self.l2,
            states=self._states,
            trainable=[layer.trains for layer in self.net._layers],
            mask=self._mask,
            batch_size=1,
            shuffle=self.shuffle,
            seed=self.seed,
            **self._regularisation(),
        )

    def _begin_states(self) -> None:
        """Set the optimizer's states to what they are before the first update."""
        for state, start in zip(self._states, self.optimizer.starts):
            state.fill(start)

    @property
    def _place(self) -> dict[str, Any]:
        """Where the run stands: ints and floats."""
        return self._loop.state()

    @_place.setter
    def _place(self, place: dict[str, Any]) -> None:
        self._loop.set_state(place)

    def _own(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of a state that the compiled loop may work on."""
        result = parameter_like(self.net.n_parameters, self.net.dtype)
        result[...] = array
        return result

    def __getstate__(self) -> dict[str, Any]:
        compiled = ("_loop", "_busy", "_fitting", "_objective", "_run", "_ahead")
        state = {name: value for name, value in vars(self).items() if name not in compiled}
        return {**state, "place": self._place}

    def __setstate__(self, state: dict[str, Any]) -> None:
        place = state.pop("place")
        vars(self).update(state)
        self._objective = self.loss.objective(self.net.activations[-1])
        self._states = [self._own(array) for array in self._states]
        self._mean = None if self._mean is None else self._own(self._mean)
        self._mask = self.net._mask()
        self._ahead = (0, 0.0, [])
        self._fitting, self._run, self._busy = False, None, threading.Lock()
        self._loop = self._make_loop()
        self._place = place

    @property
    def net(self) -> Network:
        """The network that is trained."""
        return self._net

    @property
    def loss(self) -> losses.Loss:
        """What is minimised."""
        return self._loss

    @property
    def optimizer(self) -> optimizers.Optimizer:
        """The update rule; the present step size is `learning_rate`."""
        return self._optimizer

    @property
    def batch_size(self) -> int | str | None:
        """Rows of a minibatch; None: all; or "auto"."""
        return self._batch_size

    @property
    def shuffle(self) -> bool:
        """Whether every epoch takes the rows in a new random order."""
        return self._shuffle

    @property
    def l2(self) -> float:
        """The factor of the penalty ½ Σ W²."""
        return self._l2

    @property
    def l1(self) -> float:
        """The factor of the penalty Σ |W|."""
        return self._l1

    @property
    def clip_norm(self) -> float | None:
        """The largest norm of the gradient."""
        return self._clip_norm

    @property
    def clip_value(self) -> float | None:
        """The largest element of the gradient."""
        return self._clip_value

    @property
    def average(self) -> float | None:
        """What the running mean of the parameters keeps at each update."""
        return self._average

    def averaged_network(self) -> Network:
        """Return a network like the trained one, with the running mean of its parameters.

        Returns
        -------
        Network
            A new one. What is not trained, and everything before the first update, is as in the
            trained network.

        Raises
        ------
        ValueError
            The trainer was made without `average`.
        RuntimeError
            The network is being trained by another thread.
        """
        if self._mean is None:
            raise ValueError("`averaged_network` needs a trainer made with `average=0.999`, say.")
        result = self.net.copy()
        if self._place["average_power"] != 1.0:
            weights, biases = self.net._views_of(self._mean)
            for layer, dense in enumerate(self.net.layers):
                trains_weights, trains_biases = dense.trains
                if trains_weights:
                    result.weights[layer][...] = weights[layer]
                if trains_biases and dense.bias:
                    result.biases[layer][...] = biases[layer]
        return result

    @property
    def schedule(
        self,
    ) -> schedules.Schedule | schedules.ReduceOnPlateau | Callable[[int], float] | None:
        """How the learning rate changes."""
        return self._schedule

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is measured at the end of every epoch."""
        return self._metrics

    @property
    def seed(self) -> int:
        """What the shuffling is drawn from."""
        return self._seed

    @property
    def n_threads(self) -> int | str:
        """Threads to use, or "auto", from the next call on."""
        return self._n_threads

    @n_threads.setter
    def n_threads(self, value: int | str) -> None:
        asked = _check.threads(value)
        self._n_threads: int | str = "auto" if asked is None else asked

    @property
    def learning_rate(self) -> float:
        """The optimizer's step size, from the next update on; what the schedule scales."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        rate = _check.number(value, "learning_rate", above=0.0)
        with np.errstate(all="ignore"):  # np.finfo would not bear a caller who flushes denormals
            fits = bool(np.isfinite(np.asarray(rate).astype(self.net.dtype)))
        if not fits:
            raise ValueError(f"`learning_rate` must fit {self.net.dtype}, got {value}: lower it.")
        self._learning_rate = rate

    def __repr__(self) -> str:
        return (
            f"Trainer({self.net!r}, loss={self.loss!r}, optimizer={self.optimizer!r}, "
            f"learning_rate={self.learning_rate:g}, batch_size={self.batch_size}, "
            f"epochs={self.history.epochs})"
        )

    # ---- training -----------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        Y: ArrayLike | None = None,
        epochs: int = 1,
        *,
        validation_data: tuple[Any, ...] | None = None,
        validation_split: float = 0.0,
        split: str = "random",
        sample_weight: ArrayLike | None = None,
        class_weight: Any = None,
        patience: int | None = None,
        min_delta: float = 0.0,
        monitor: str | None = None,
        restore_best: bool = True,
        max_seconds: float | None = None,
        callbacks: Any = (),
        order: ArrayLike | None = None,
        progress: bool | str = "auto",
    ) -> History:
        """Train for a number of epochs, and return what happened in them.

        Parameters
        ----------
        X : array_like, (n_samples, n_inputs), or a stream of batches
            At least one row. Not to be changed while `fit` runs. A C-ordered array of numbers is
            not copied: above 4 MiB other types than the network's are converted minibatch by
            minibatch, so memory maps of any size and of uint8, float16, ... serve.
            A stream, with no Y, is an iterable of batches (X, Y) or (X, Y, sample_weight), or a
            function that returns one; each batch is one update, `batch_size` and `shuffle` play
            no part.
        Y : array_like
            Targets (n_samples, n_outputs), or (n_samples,) for one output; integer labels
            (n_samples,) for a softmax output.
        epochs : int
            How many more passes over the rows, at least 1.
        validation_data : (X, Y) or (X, Y, sample_weight), optional
            Rows whose loss and metrics are taken at the end of every epoch.
        validation_split : float
            Part of the rows, below 1, that is held back for that instead.
        split : {"random", "stratified", "last"}
            Which rows: drawn by the trainer's seed (the same at every call), drawn so that every
            class has its share, or the last ones, which alone are not copied.
        sample_weight : array_like, (n_samples,), optional
            How much each row counts, at least 0; 1 by default. A minibatch without weight
            updates nothing.
        class_weight : "balanced" or {class: weight}, optional
            Multiplied into the weights of the rows to train on. "balanced": rows / (classes · rows
            of the class). Classes that are not named have weight 1.
        patience : int, optional
            End after so many epochs in a row without an improvement of `monitor`.
        min_delta : float
            An improvement is larger than this.
        monitor : str, optional
            A column of the history; "val_loss" by default if there are validation data, else
            "loss". Of accuracies, R² and AUC more is better.
        restore_best : bool
            Whether the parameters of the best epoch come back, whatever ended the run, where there
            are validation data, `patience` or `monitor`.
        max_seconds : float, optional
            End behind the update that is under way after this time; the epoch stays unfinished.
        callbacks : Callback, function (epoch, logs), or list of them
            Called at the ends of epochs: see `cbp.Callback`.
        order : array_like of int, (n,) or (epochs, n), optional
            The rows of every epoch, or of each one, instead of the trainer's own order.
        progress : bool or "auto"
            Whether to show a progress line on stderr; "auto": if that is a terminal.

        Returns
        -------
        History
            Of this call alone; `history` has all calls'.

        Raises
        ------
        TypeError, ValueError
            The data are not finite numbers of the right shape and range.
        DivergenceError
            The loss or a parameter became infinite or NaN.
        RuntimeError
            The network is in use by another thread.
        KeyboardInterrupt
            After Ctrl-C, within 0.2 s.

        Notes
        -----
        However a call ends, `history` holds the completed epochs, and the network the best
        parameters where they are watched (see `restore_best`), else those of the last completed
        update; after a divergence, those of the last end of an epoch, and the optimizer's state
        begins anew. The next call goes on from there: optimizer state, counters and random
        streams continue, and an interrupted epoch is finished first. With other data or another
        order that epoch begins anew; of arrays beyond 8 MiB, evenly spaced rows are compared.
        """
        epochs = _check.integer(epochs, "epochs", 1, 2**31)
        if not isinstance(progress, bool) and progress != "auto":
            raise ValueError(f"`progress` must be True, False or 'auto', got {progress!r}.")
        fraction = _check.number(validation_split, "validation_split", least=0.0, below=1.0)
        _check.choice(split, "split", _feeding.SPLITS)
        if fraction and validation_data is not None:
            raise ValueError("`validation_split` and `validation_data` exclude each other.")
        if fraction and order is not None:
            raise ValueError("`order` does not go with `validation_split`: give `validation_data`.")
        if patience is not None:
            patience = _check.integer(patience, "patience", 1, 2**31)
        if max_seconds is not None:
            max_seconds = _check.number(max_seconds, "max_seconds", above=0.0)
        options: dict[str, Any] = {
            "monitor": monitor,
            "patience": patience,
            "min_delta": _check.number(min_delta, "min_delta", least=0.0),
            "restore_best": _check.flag(restore_best, "restore_best"),
            "max_seconds": max_seconds,
            "callbacks": _callbacks.checked(callbacks),
            "progress": progress,
        }
        if callable(X) and Y is not None:
            raise TypeError(
                "`Y` must be left out where X is a stream, which has its own: fit(batches, epochs=n)."
            )
        if Y is None:
            given = {"validation_split": fraction, "sample_weight": sample_weight, "order": order}
            for name, value in given.items():
                if value is not None and not (name == "validation_split" and value == 0.0):
                    raise ValueError(f"`{name}` does not go with a stream of batches.")
            stream = self._stream(X, epochs, class_weight)
            validation = self._validation(validation_data)
            if self.metrics and validation is None:
                raise ValueError("`metrics` need `validation_data` where X is a stream.")
            return self._fit(stream, epochs, {**options, "validation": validation})
        rows = held = None
        if fraction:
            rows, held = self._split(X, Y, fraction, split)
            apart = held if split != "last" else slice(int(held[0]), None)  # which is no copy
        data = self._data(X, Y, sample_weight)
        validation = self._validation(validation_data)
        if held is not None:
            validation = data.take(apart)
        if validation_data is None:
            measured = data if validation is None else validation
            _measuring.check_data(measured, self.metrics, self.loss, self.net)
        taken = _feeding.orders(order, epochs, len(data.X))
        scales, before = False, self._loop.step
        try:
            if not self.history.epochs and self.net.scaling is None:
                seen = rows if order is None else np.unique(np.asarray(taken))
                scales = self.net._prepare(self.loss, X, Y, seen)
            if scales:  # and targets are others now
                data = self._data(X, Y, sample_weight)
                validation = self._validation(validation_data)
                if held is not None:
                    validation = data.take(apart)
            if class_weight is not None:
                self._check_classifies("class_weight", data.targets)
                of = _feeding.classes(data.targets)
                table = self._class_weights(class_weight, of if rows is None else of[rows])
                data = data._replace(weight=_feeding.weighted(data.weight, table, of))
            feed = _run.Rows(self, data, rows, taken)
            return self._fit(feed, epochs, {**options, "validation": validation})
        except BaseException:
            if scales and self._loop.step == before:  # nothing was learnt in these units
                self.net.scaling = None
            raise

    def _fit(
        self, feed: _run.Rows | _run.Batches, epochs: int, options: dict[str, Any]
    ) -> History:
        """Train, alone."""
        if not self._busy.acquire(blocking=False):
            raise RuntimeError(
                "The network is in use: this trainer is training. Wait for that call to end, or "
                "call `stop()`."
            )
        try:
            run = _run.Run(self, feed, epochs, **options)
            self._fitting, self._run = True, run
            _at_work.add(self)
            self.history.ended = "error"
            self.history.ended = run.go()
        finally:
            self._fitting, self._run = False, None
            _at_work.discard(self)
            self._busy.release()
        history = self.history.since(run.first)
        history.seconds = run.seconds
        return history

    def _note_place(self) -> None:
        """From a callback: note what the epoch is of that a checkpoint would go on with."""
        if self._run is not None:
            self._run.feed.note(self._run.epochs)

    def stop(self) -> None:
        """End the `fit` that is on, from a callback or another thread.

        From a callback it ends with the epoch or minibatch that the callback is told of, from
        another thread behind the update under way;
        `fit` returns as if its epochs were over. Without a `fit` nothing happens.
        """
        if self._fitting:
            self._loop.stop()

    def train_on_batch(
        self, X: ArrayLike, Y: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> float:
        """Make one update from all of these rows, and return their loss before it.

        Parameters
        ----------
        X, Y, sample_weight
            As in `fit`; the batch is all rows, in their order.

        Returns
        -------
        float
            Without the penalty of `l2`.

        Raises
        ------
        TypeError, ValueError, DivergenceError, RuntimeError, KeyboardInterrupt
            As in `fit`.

        Notes
        -----
        Counts as a step of the optimizer, not as an epoch: shuffling and history do not see it.
        A batch whose loss is not finite updates nothing.
        """
        loop, n_threads = self._loop, self._n_threads
        usual = sample_weight is None and not self._fitting
        if usual and (self.net._scaling is not None or not self.net._standardize):
            rate = self._rate_ahead()
        else:
            rate = None
        if rate is not None:  # some microseconds beside the arithmetic
            try:
                most = 0 if isinstance(n_threads, str) else n_threads
                loss = loop.update_plain(X, Y, rate, most)
            except Diverged as error:
                assert isinstance(X, np.ndarray)
                raise _divergence.of_batch(error, self.net, X, loop.learning_rate) from None
            if loss is not None:
                self.threads_used = loop.threads_used
                return loss
        data = self._data(X, Y, sample_weight)
        self._check_scaled("a single batch")
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("The network is in use: this trainer is training.")
        try:
            rates = self._rates(1)
            loop.learning_rate = self._constant_rate() if rates is None else float(rates[0])
            return loop.update(data.X, *data.targets, data.weight, self._threads(len(data.X)))
        except Diverged as error:
            raise _divergence.of_batch(error, self.net, data.X, loop.learning_rate) from None
        finally:
            self.threads_used = loop.threads_used
            loop.release()
            self._busy.release()

    def evaluate(
        self, X: ArrayLike, Y: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> dict[str, float]:
        """Return the loss and the metrics of these rows; nothing is learnt.

        Parameters
        ----------
        X, Y, sample_weight
            As in `fit`.

        Returns
        -------
        dict
            "loss", and the trainer's metrics; without any, "accuracy" if the network is a
            classifier: softmax output, or one sigmoid output with a loss of probabilities; not
            where targets are missing.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in `fit`.
        """
        data = self._data(X, Y, sample_weight)
        names = self.metrics or _measuring.usual(self.net, self.loss, data.targets)
        _measuring.check_data(data, names, self.loss, self.net)
        return self._measure(data, ("loss", *names))

    # ---- files --------------------------------------------------------------------------------

    def find_learning_rate(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        lowest: float = 1e-6,
        highest: float = 10.0,
        steps: int = 200,
    ) -> rate_finder.RateCurve:
        """Train a copy with a rate that grows, and return how its loss went.

        Parameters
        ----------
        X, Y, sample_weight
            As in `fit`; minibatches are the trainer's.
        lowest, highest : float
            The first and the last rate; in between they grow by one factor a step.
        steps : int
            Minibatches, at least 2.

        Returns
        -------
        RateCurve
            With `suggestion`, a tenth of the rate of the least smoothed loss, and `plot()`. It
            ends early where the smoothed loss exceeds four times its least, or overflows.

        Raises
        ------
        TypeError, ValueError
            As in `fit`.
        DivergenceError
            The loss is not finite even before the first update.

        Notes
        -----
        The network, the optimizer's state and the place of the trainer stay as they are. The
        schedule plays no part.

        References
        ----------
        Smith, Cyclical learning rates for training neural networks, WACV 2017, section 3.3.
        """
        lowest = _check.number(lowest, "lowest", above=0.0)
        highest = _check.number(highest, "highest", above=lowest)
        steps = _check.integer(steps, "steps", 2, 2**20)
        state = self.__getstate__()
        twin = Trainer.__new__(type(self))
        twin.__setstate__({**state, "_net": self.net.copy(), "history": History()})
        if twin.net._standardize and twin.net.scaling is None:
            _check.rows(X, self.net.sizes[0], self.net.dtype, least=1, typed=True)
            twin.net._prepare(self.loss, X, Y)
        data = twin._data(X, Y, sample_weight)
        if data.weight is not None and not data.weight.any():
            raise ValueError("The sample weights must not all be 0: give some rows a weight.")
        curve = rate_finder.find(twin, _run.Rows(twin, data, None, [None]), lowest, highest, steps)
        if not len(curve.rates):
            raise _divergence.of_run(
                Diverged(math.inf, 0, 0), *_divergence.first_not_finite(self.net, data.X),
                "scale the inputs, or start anew",
            )  # fmt: skip
        return curve

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write the trainer, its network and where it stands to a file.

        Parameters
        ----------
        path : str or path-like
            An old file of that name is replaced when the new one is complete and on the disk.

        Raises
        ------
        TypeError, ValueError
            `path` is no name of a file, or an option is a function of your own, which is code.
        OSError
            The file cannot be written; an old one is as it was.
        RuntimeError
            The network is being trained by another thread.

        Notes
        -----
        `load_checkpoint` and `fit` with the same data then go on, bit for bit, as this trainer
        would: between epochs and inside one, with any number of threads, in another process. The
        data are not in the file. It is a safetensors file; docs/format.md describes it.
        """
        checkpoint.save(self, path)

    @classmethod
    def load_checkpoint(
        cls,
        path: str | os.PathLike[str],
        *,
        n_threads: int | str = "auto",
        allow_nonfinite: bool = False,
    ) -> Trainer:
        """Return the trainer that `save_checkpoint` wrote, with its network as `net`.

        Parameters
        ----------
        path : str or path-like
        n_threads : int or "auto"
            As in `Trainer`: it is not in the file.
        allow_nonfinite : bool
            Whether parameters may be infinite or NaN.

        Returns
        -------
        Trainer

        Raises
        ------
        FormatError
            The file is not one that `save_checkpoint` wrote, or was damaged or changed since.
        OSError
            There is no such file, or it cannot be read.

        Examples
        --------
        >>> import cbp, os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "run.safetensors")
        >>> trainer = cbp.Trainer(cbp.Network([1, 4, 1]), seed=1)
        >>> history = trainer.fit([[0], [1]], [1, 0], epochs=2)
        >>> trainer.save_checkpoint(path)
        >>> cbp.Trainer.load_checkpoint(path).history.epochs
        2
        """
        trainer: Trainer = checkpoint.load(cls, path, n_threads, allow_nonfinite)
        return trainer

    # ---- what fit is made of ------------------------------------------------------------------

    def _data(
        self,
        X: Any,
        Y: Any,
        sample_weight: Any,
        table: NDArray[np.float64] | None = None,
    ) -> Data:
        """Return checked arrays; `table`: weights of the classes."""
        net, rows = self._net, X
        if self._loop.plain(X, Y):
            labels = Y.dtype.kind == "i"
            targets = losses.Targets(None, Y) if labels else losses.Targets(
                Y if Y.ndim == 2 else Y[:, np.newaxis], None)  # fmt: skip
        else:
            rows = _check.rows(X, net.sizes[0], net.dtype, least=1, typed=True)
            targets = net._targets(self._loss, Y, len(rows))
        weight = None if sample_weight is None else _check.row_weights(sample_weight, len(rows))
        if table is not None:
            self._check_classifies("class_weight", targets)
            weight = _feeding.weighted(weight, table, _feeding.classes(targets))
        return Data(rows, targets, weight)

    def _check_scaled(self, what: str) -> None:
        """Refuse to guess a scaling from a part of the data."""
        if self.net.standardize and self.net.scaling is None:
            raise ValueError(
                f"`standardize` cannot see all the data in {what}: set `net.scaling`, or fit "
                "arrays of some rows first."
            )

    def _stream(self, source: Any, epochs: int, class_weight: Any) -> _run.Batches:
        """Return a stream of batches to train on."""
        stream, table = _feeding.Stream(source, epochs), None
        self._check_scaled("a stream")
        if isinstance(class_weight, str):
            raise ValueError(
                "`class_weight` must be a mapping where X is a stream, whose classes nobody can "
                "count beforehand."
            )
        if class_weight is not None:
            table = self._class_weights(class_weight, np.empty(0, np.int64))
        return _run.Batches(self, stream, table)

    def _split(
        self, X: Any, Y: Any, fraction: float, split: str
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the rows to train on and the rows to validate on."""
        n_rows, net = len(_check.rows(X, self.net.sizes[0], self.net.dtype, least=1, typed=True)), self.net
        targets = losses.Targets(None, None)
        if split == "stratified":
            targets = self.loss.targets(Y, n_rows, net.sizes[-1], net.dtype, net.activations[-1])
            self._check_classifies("split='stratified'", targets)
        return _feeding.split_rows(fraction, split, self.seed, targets, n_rows)

    def _check_classifies(self, name: str, targets: losses.Targets) -> None:
        """Refuse what needs one class a row where there is none."""
        if self.net.activations[-1] not in _measuring.CLASSIFIERS:
            raise ValueError(
                f"`{name}` needs classes, and so a sigmoid or softmax output, "
                f"got {self.net.activations[-1]}."
            )
        if targets.values is not None:
            _metrics.check_classes(targets.values, "Y", f"`{name}`")

    def _class_weights(self, class_weight: Any, of: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the weight of each class."""
        n_outputs = self.net.sizes[-1]
        return _feeding.class_weights(class_weight, 2 if n_outputs == 1 else n_outputs, of)

    def _validation(self, validation_data: Any) -> Data | None:
        """Return the checked validation data, if there are any."""
        if validation_data is None:
            return None
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise TypeError(
                "`validation_data` must be (X, Y) or (X, Y, sample_weight), "
                f"got {type(validation_data).__name__}."
            )
        try:
            data = self._data(*validation_data, *[None] * (3 - len(validation_data)))
            _measuring.check_data(data, self.metrics, self.loss, self.net)
            return data
        except (TypeError, ValueError) as error:
            raise type(error)(f"In `validation_data`, {error}") from None

    def _batch_of(self, n_rows: int) -> int:
        """Return how many rows a minibatch has, of so many."""
        if self.batch_size == "auto":
            size = 16
            while size < 256 and 200 * size <= n_rows:
                size *= 2
            return min(size, n_rows)
        assert not isinstance(self.batch_size, str)
        return min(self.batch_size or n_rows, n_rows)

    def _threads(self, n_rows: int) -> int:
        """Return the threads for minibatches of so many rows."""
        mflop = 6e-6 * n_rows * self.net._n_weights
        return _runtime.threads_for(mflop, _check.threads(self.n_threads))

    def _rates(self, count: int) -> NDArray[np.float64] | None:
        """Return the rates of the next steps, or None where they are `_constant_rate`."""
        schedule = self.schedule
        if schedule is None or isinstance(schedule, schedules.ReduceOnPlateau):
            return None
        return schedules.rates(
            schedule, self._loop.step, count, self.learning_rate, self.net.dtype
        )

    def _rate_ahead(self) -> float | None:
        """Return the rate of the next step, where it is known or can be made ahead with others."""
        schedule, learning_rate, step = self._schedule, self._learning_rate, self._loop.step
        if schedule is None:
            return learning_rate
        if not isinstance(schedule, schedules.Schedule):  # which may answer otherwise next time
            return None
        first, base, rates = self._ahead
        if base != learning_rate or not first <= step < first + len(rates):
            with np.errstate(over="ignore", under="ignore"):
                made = schedule.rates(np.arange(step, step + 100), learning_rate)
                rates = made.tolist() if np.isfinite(made.astype(self.net.dtype)).all() else []
            first, self._ahead = step, (step, learning_rate, rates)
        return rates[step - first] if rates else None

    def _constant_rate(self) -> float:
        """Return the rate between two changes of it."""
        rate = self.learning_rate
        if isinstance(self.schedule, schedules.ReduceOnPlateau) and self._plateau is not None:
            rate = self.schedule._rate(self._plateau, rate)
        return rate

    def _regularisation(self) -> dict[str, Any]:
        """Return what the loop is told of penalties, limits, dropout and the running mean."""
        layers = self.net.layers
        return {
            "l1": self.l1,
            "clip_value": self.clip_value or 0.0,
            "clip_norm": self.clip_norm or 0.0,
            "nonnegative": [layer.nonnegative for layer in layers],
            "max_norm": [layer.max_norm or 0.0 for layer in layers],
            "dropout": [layer.dropout or 0.0 for layer in layers],
            "average": self._mean,
            "average_decay": self.average or 0.0,
        }

    def _measure(self, data: Data, names: tuple[str, ...]) -> dict[str, float]:
        """Return "loss" and metrics of these rows, in one pass over them."""
        return _measuring.measure(
            self.net, self.loss, self._objective, data, names, _check.threads(self.n_threads)
        )
