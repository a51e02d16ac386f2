"""Trainer: a network, a loss and an optimizer, and the runs that bring them together.

What lives here: which rows, how many epochs, what is told about them, and how a run ends. What
must not: arithmetic on the parameters; the minibatch loop is compiled. Invariant: however a run
ends, the network holds the last completed update, and the trainer can go on from there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _runtime, losses, optimizers
from . import metrics as _metrics
from ._progress import Progress
from ._training import OPTIMIZERS, STEP_STATE, Diverged, Loop
from .exceptions import DivergenceError
from .history import History
from .network import REDUCTIONS, Network, parameter_like

__all__ = ["Trainer"]

# Rows that are looked at together where nothing is learnt: bounds the memory of `evaluate`.
_CHUNK = 8192
# With a progress line and nothing else to do at epoch ends, how long the loop runs by itself.
_PROGRESS_SECONDS = 0.2
# Epochs that the loop runs at most in one piece: bounds the memory of their losses.
_MOST_EPOCHS = 65_536
# Bytes of an array that tell it from another one: keeps Ctrl-C quick where the data are large.
_MOST_BYTES = 2**23


class _Data(NamedTuple):
    """Checked rows, targets and weights."""

    X: NDArray[Any]
    targets: losses.Targets
    weight: NDArray[np.float64] | None


class Trainer:
    """Trains a network by gradient descent on minibatches.

    Parameters
    ----------
    net : Network
        Its parameters are changed in place.
    loss : str or loss object
        "squared_error" (any output but softmax), "binary_cross_entropy" (sigmoid output),
        "categorical_cross_entropy" (softmax output), or an object such as
        ``cbp.SquaredError(reduction="sum")``. "auto": the cross-entropy of a softmax or sigmoid
        output, else squared error.
    optimizer : str or optimizer object
        "sgd", "momentum" (0.9), "nesterov" (0.9), "rmsprop", "adagrad", "adam", "adamw", "nadam",
        "lion", "rprop" (all rows: `batch_size` None), or an object such as
        ``cbp.SGD(0.1, momentum=0.9)``.
    batch_size : int or None
        Rows of a minibatch; the last one of an epoch may be shorter. None: all rows.
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
    metrics : str or list of str
        "accuracy" (sigmoid or softmax output; one class a row), "r2": taken at the end of every
        epoch, of the validation data if there are any, else of the training data.
    n_threads : int or "auto"
        "auto": as many as one minibatch pays for, and the machine allows. No result depends on it.
    seed : int, optional
        Governs the shuffling; 0 ... 2⁶⁴ - 1. Drawn from the operating system by default, and
        readable as `seed`.

    Attributes
    ----------
    net, loss, optimizer, batch_size, shuffle, l2, metrics, n_threads, seed
        As given, with names and "auto" resolved. Read-only, but for `n_threads`.
    learning_rate : float
        May be set between calls.
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
        batch_size: int | None = 32,
        shuffle: bool = True,
        l2: float = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        average: float | None = None,
        metrics: str | Sequence[str] = (),
        n_threads: int | str = "auto",
        seed: int | None = None,
    ) -> None:
        if not isinstance(net, Network):
            raise TypeError(f"`net` must be a Network, got {type(net).__name__}.")
        self._net = net
        self._loss = losses.checked(loss, net.activations[-1])
        self._objective = self._loss.objective(net.activations[-1])
        self._optimizer = optimizers.checked(optimizer)
        self._batch_size = None if batch_size is None else _check.integer(
            batch_size, "batch_size", 1, 2**62)  # fmt: skip
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
        self._metrics = _metrics.checked(metrics)
        if "r2" in self.metrics and self.loss.name == "categorical_cross_entropy":
            raise ValueError("`metrics` r2 does not go with a softmax output: use 'accuracy'.")
        if "accuracy" in self.metrics and net.activations[-1] not in ("sigmoid", "softmax"):
            raise ValueError(
                "`metrics` accuracy needs a sigmoid or softmax output, got "
                f"{net.activations[-1]}: use 'r2'."
            )
        self.n_threads = n_threads
        self._seed = _check.seed(seed)
        self.history = History()
        self.threads_used = 1
        self.learning_rate = self.optimizer.learning_rate
        self._states = [parameter_like(net.n_parameters, net.dtype) for _ in self.optimizer.starts]
        for state, start in zip(self._states, self.optimizer.starts):
            state.fill(start)
        self._mean = None if average is None else parameter_like(net.n_parameters, net.dtype)
        self._mask = net._mask()
        self._place: dict[str, Any] = {}  # where the run stands, as the last loop told it
        self._interrupted = b""  # what the epoch that it stands in was of: see _fingerprint
        self._diverged = False  # whether the last run did

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
    def batch_size(self) -> int | None:
        """Rows of a minibatch; None: all."""
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
        if self._place.get("step"):
            weights, biases = self.net._views_of(self._mean)
            for layer, dense in enumerate(self.net.layers):
                trains_weights, trains_biases = dense.trains
                if trains_weights:
                    result.weights[layer][...] = weights[layer]
                if trains_biases and dense.bias:
                    result.biases[layer][...] = biases[layer]
        return result

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
        """The optimizer's step size, from the next update on."""
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
        X: ArrayLike,
        Y: ArrayLike,
        epochs: int,
        *,
        validation_data: tuple[Any, ...] | None = None,
        sample_weight: ArrayLike | None = None,
        order: ArrayLike | None = None,
        progress: bool | str = "auto",
    ) -> History:
        """Train for a number of epochs, and return what happened in them.

        Parameters
        ----------
        X : array_like, (n_samples, n_inputs)
            At least one row. Copied only if it is not a C-ordered array of the network's dtype;
            not to be changed while `fit` runs.
        Y : array_like
            Targets (n_samples, n_outputs), or (n_samples,) for one output; integer labels
            (n_samples,) for a softmax output.
        epochs : int
            How many more passes over the rows, at least 1.
        validation_data : (X, Y) or (X, Y, sample_weight), optional
            Rows whose loss and metrics are taken at the end of every epoch.
        sample_weight : array_like, (n_samples,), optional
            How much each row counts, at least 0; 1 by default. A minibatch without weight
            updates nothing.
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
        However a call ends, the network holds the last completed update and `history` the
        completed epochs. The next call goes on from there: optimizer state, counters and random
        streams continue, and an interrupted epoch is finished first. With other data or another
        order that epoch begins anew; of arrays beyond 8 MiB, evenly spaced rows are compared.
        """
        if not self.history.epochs and self.net.scaling is None:
            self.net._prepare(self.loss, X, Y)
        data = self._data(X, Y, sample_weight)
        epochs = _check.integer(epochs, "epochs", 1, 2**31)
        validation = self._validation(validation_data)
        if validation is None:
            self._check_measurable(data, self.metrics)
        orders = _orders(order, epochs, len(data.X))
        if not isinstance(progress, bool) and progress != "auto":
            raise ValueError(f"`progress` must be True, False or 'auto', got {progress!r}.")
        stops = validation is not None or bool(self.metrics) or len(orders) > 1
        loop, n_threads = self._loop(data, orders[0], self.batch_size, self.shuffle)
        if self._place["row"] and _fingerprint(data, orders[0]) != self._interrupted:
            loop.rewind()
        spoilt = self._diverged or not _check.is_finite(self.net.parameters)
        history, start = History(), time.monotonic()
        try:
            with Progress(epochs, progress) as shown:
                seconds = _PROGRESS_SECONDS if shown.shown else 0.0  # 0: the loop runs to the end
                while history.epochs < epochs:
                    told = np.empty(1 if stops else min(epochs - history.epochs, _MOST_EPOCHS))
                    before = loop.epoch
                    try:
                        loop.run(told, seconds, n_threads, orders[history.epochs % len(orders)])
                    finally:
                        history.append_losses(told[: loop.epoch - before])
                    if validation is not None:
                        measured = self._measure(validation, ("loss", *self.metrics))
                        history.amend({f"val_{name}": value for name, value in measured.items()})
                    elif self.metrics:
                        history.amend(self._measure(data, self.metrics))
                    shown.update(history.epochs, {name: history[name][-1] for name in history})
        except Diverged as error:
            epoch, batch = error.epoch + 1, error.batch + 1
            text = f"The loss became {error.loss} in epoch {epoch}, batch {batch}"
            raise self._divergence(data, text, epoch, batch, spoilt) from None
        finally:
            history.seconds = time.monotonic() - start
            self.history.extend(history)
            self._place = loop.state()
            if self._place["row"]:
                self._interrupted = _fingerprint(data, orders[history.epochs % len(orders)])
            self.threads_used = loop.threads_used
        if not _check.is_finite(self.net.parameters):
            epoch, rows = self._place["epoch"], _epoch_rows(data, orders[0])
            text = f"A parameter became infinite or NaN by the end of epoch {epoch}"
            batch = -(-rows // (self.batch_size or rows))
            raise self._divergence(data, text, epoch, batch, spoilt)
        self._diverged = False
        return history

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
        """
        data = self._data(X, Y, sample_weight)
        loop, n_threads = self._loop(data, None, None, False)
        loop.rewind()
        told = np.empty(1)
        try:
            loop.run(told, 0.0, n_threads)
        except Diverged as error:
            epoch, batch = error.epoch + 1, error.batch + 1
            text = f"The loss became {error.loss} in epoch {epoch}, batch {batch}"
            # A batch whose loss is not finite updates nothing: these are the parameters before.
            spoilt = self._diverged or not _check.is_finite(self.net.parameters)
            raise self._divergence(data, text, epoch, batch, spoilt) from None
        finally:
            now = loop.state()
            self._place.update({name: now[name] for name in STEP_STATE})
            self.threads_used = loop.threads_used
        self._diverged = False
        return float(told[0])

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
            classifier: softmax output, or one output with binary cross-entropy.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in `fit`.
        """
        data, names = self._data(X, Y, sample_weight), self.metrics or self._usual_metrics()
        self._check_measurable(data, names)
        return self._measure(data, ("loss", *names))

    # ---- what fit is made of ------------------------------------------------------------------

    def _data(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None) -> _Data:
        """Return checked arrays."""
        net = self.net
        rows = _check.rows(X, net.sizes[0], net.dtype, least=1)
        targets = net._targets(self.loss, Y, len(rows))
        weight = None if sample_weight is None else _check.row_weights(sample_weight, len(rows))
        return _Data(rows, targets, weight)

    def _validation(self, validation_data: Any) -> _Data | None:
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
            self._check_measurable(data, self.metrics)
            return data
        except (TypeError, ValueError) as error:
            raise type(error)(f"In `validation_data`, {error}") from None

    def _check_measurable(self, data: _Data, names: tuple[str, ...]) -> None:
        """Refuse data whose metrics would fail after the training."""
        if names and data.weight is not None and not data.weight.any():
            raise ValueError(
                "The sample weights must not all be 0 where metrics are asked: "
                "give some rows a weight."
            )
        if "accuracy" in names and data.targets.values is not None:
            _metrics.check_classes(data.targets.values, "Y")

    def _loop(
        self, data: _Data, order: NDArray[np.intp] | None, batch_size: int | None, shuffle: bool
    ) -> tuple[Loop, int]:
        """Return a loop over these rows that goes on where the last one stopped, and its threads.

        A loop lives for one call, so that no data are kept longer.
        """
        rows = _epoch_rows(data, order)
        batch_size = min(batch_size or rows, rows)
        loop = Loop(
            self.net._core,
            loss=self._objective,
            reduction=REDUCTIONS[self.loss.reduction],
            optimizer=OPTIMIZERS[self.optimizer.rule],
            hyper=self.optimizer.hyper,
            l2=self.l2,
            states=self._states,
            trainable=[layer.trains for layer in self.net._layers],
            mask=self._mask,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=self.seed,
            **self._regularisation(),
        )
        if self._place:
            loop.set_state(self._place)
        else:
            self._place = loop.state()
        loop.learning_rate = self._learning_rate
        loop.bind(data.X, *data.targets, data.weight)
        asked = _check.threads(self.n_threads)
        if asked is None:
            asked = _runtime.threads_for(6e-6 * batch_size * self.net._n_weights)
        return loop, asked

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

    def _usual_metrics(self) -> tuple[str, ...]:
        """Return what a classifier is judged by."""
        one_question = self.loss.name == "binary_cross_entropy" and self.net.sizes[-1] == 1
        classifier = self.loss.name == "categorical_cross_entropy" or one_question
        return ("accuracy",) if classifier else ()

    def _measure(self, data: _Data, names: tuple[str, ...]) -> dict[str, float]:
        """Return "loss" and metrics of these rows."""
        asked = _check.threads(self.n_threads)
        mflop = 2e-6 * self.net._n_weights * min(len(data.X), _CHUNK)
        n_threads = _runtime.threads_for(mflop) if asked is None else asked
        result: dict[str, float] = {}
        if "loss" in names:
            result["loss"] = self._mean_loss(data, n_threads)
        names = tuple(name for name in names if name != "loss")
        if names:
            y = np.empty((len(data.X), self.net.sizes[-1]), self.net.dtype)
            self.net._core.predict(data.X, y, n_threads)
            t: NDArray[Any] | None = data.targets.labels
            if t is None:
                assert data.targets.values is not None
                t = self.net._in_own_units(data.targets.values)
            for name in names:
                result[name] = _metrics.METRICS[name](t, y, sample_weight=data.weight)
        return result

    def _mean_loss(self, data: _Data, n_threads: int) -> float:
        """Return the loss over all rows, summed up in chunks that do not depend on the threads."""
        total = weight_sum = 0.0
        for first in range(0, len(data.X), _CHUNK):
            stop = first + _CHUNK
            X = data.X[first:stop]
            weight = None if data.weight is None else data.weight[first:stop]
            loss, _ = self.net._core.gradient(
                X, *data.targets.slice(first, stop), weight, self._objective,
                REDUCTIONS["sum"], 0.0, None, None, n_threads,
            )  # fmt: skip
            total += loss
            weight_sum += len(X) if weight is None else float(weight.sum())
        if self.loss.reduction == "sum":
            return total
        return total / weight_sum if weight_sum else 0.0

    def _divergence(
        self, data: _Data, text: str, epoch: int, batch: int, spoilt: bool
    ) -> DivergenceError:
        """Return the error that names the epoch, the batch and the layer.

        `spoilt`: whether the trainer had diverged before, or the parameters were not finite.
        """
        remedy = (f"lower the learning rate (now {self.learning_rate:g}) and start again from a "
                  "new network, or scale the inputs")  # fmt: skip
        if spoilt:
            remedy = "start again from a new network, the parameters were spoilt before this call"
        self._diverged = True
        pairs = list(zip(self.net.weights, self.net.biases))
        for index, arrays in enumerate(pairs):
            if not all(_check.is_finite(array) for array in arrays if array is not None):
                layer, where = index + 1, f"layer {index + 1}'s parameters are not finite"
                break
        else:
            layer, where = self._first_not_finite(data)
        return DivergenceError(f"{text} ({where}): {remedy}.", epoch, batch, layer)

    def _first_not_finite(self, data: _Data) -> tuple[int, str]:
        """Return the first layer whose outputs are not finite, and the same in words."""
        for first in range(0, len(data.X), _CHUNK // 8):
            forward = self.net.forward(data.X[first : first + _CHUNK // 8])
            for layer, (z, a) in enumerate(zip(forward.z, forward.a[1:]), 1):
                if not (_check.is_finite(z) and _check.is_finite(a)):
                    return layer, f"layer {layer}'s outputs were the first that were not finite"
        return len(self.net.weights), "the outputs are finite, but too far from the targets"


def _epoch_rows(data: _Data, order: NDArray[np.intp] | None) -> int:
    """Return how many rows an epoch takes."""
    return len(data.X if order is None else order)


def _fingerprint(data: _Data, order: NDArray[np.intp] | None) -> bytes:
    """Return what tells an epoch of these rows in this order from another one.

    All of an array up to _MOST_BYTES, evenly spaced rows of a larger one.
    """
    result = hashlib.blake2b(digest_size=16)
    for array in (data.X, *data.targets, data.weight, order):
        result.update(b"none" if array is None else f"{array.dtype}{array.shape}".encode())
        if array is not None and array.size:
            step = -(-array.nbytes // _MOST_BYTES)
            result.update(np.ascontiguousarray(array[::step]).data)
    return result.digest()


def _orders(order: Any, epochs: int, n_rows: int) -> list[NDArray[np.intp] | None]:
    """Return the order of every epoch, or the one order of all epochs, or [None]."""
    if order is None:
        return [None]
    source = _check.numeric(order, "order")
    if source.dtype.kind not in "iu":
        raise TypeError(f"`order` must hold row numbers, which are integers, got {source.dtype}.")
    if source.ndim not in (1, 2) or not source.size or (source.ndim == 2 and len(source) != epochs):
        raise ValueError(f"`order` must have shape (n,) or ({epochs}, n), got {source.shape}.")
    if source.min() < 0 or source.max() >= n_rows:
        wrong = source[(source < 0) | (source >= n_rows)][0]
        raise ValueError(f"`order` must hold row numbers from 0 to {n_rows - 1}, got {wrong}.")
    return list(np.require(np.atleast_2d(source), np.intp, ("C", "A")))
