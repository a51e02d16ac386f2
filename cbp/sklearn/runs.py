"""The compiled loop as scikit-learn's rules drive it, and what it needs between two calls.

What lives here: rows (dense or sparse), the optimizer's memory, orders drawn from `random_state`.
What must not: when training ends, which is the estimators' to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from .. import _runtime, schedules
from .._training import OPTIMIZERS, Diverged, Loop
from ..callbacks import Callback
from ..history import History
from ..losses import Targets
from ..network import Network, parameter_like

__all__ = ["Held", "Optimizer", "Rows", "Run", "Seat"]

# Numbers of a sparse matrix that are dense at a time.
CHUNK = 2**20


class Held(NamedTuple):
    """Rows that are not trained on, and what is known about them."""

    X: Any
    truth: Any  # what a score compares outputs with
    weight: NDArray[np.float64] | None
    targets: Targets | None  # where the loss is to be taken as well


class Optimizer:
    """What an optimizer keeps between epochs, and between calls of `partial_fit`.

    Attributes
    ----------
    rule : str
        A key of OPTIMIZERS.
    hyper : dict
        The numbers of the rule.
    plan : {"constant", "invscaling", "adaptive"}
    learning_rate : float
        The present one.
    seed : int
        Of dropout.
    states : list of ndarray
        Like the parameters.
    place : dict
        Where the loop stands.
    plateau : dict or None
        Where a ReduceOnPlateau stands.
    """

    def __init__(
        self,
        rule: str,
        hyper: dict[str, float],
        starts: tuple[float, ...],
        net: Network,
        *,
        plan: str = "constant",
        power_t: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.rule, self.hyper, self.seed = rule, hyper, seed
        self.plan, self.power_t = plan, power_t
        self.learning_rate = hyper["learning_rate"]
        self.states = [parameter_like(net.n_parameters, net.dtype) for _ in starts]
        for state, start in zip(self.states, starts):
            state[...] = start
        self.place: dict[str, Any] = {}
        self.plateau: dict[str, float] | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # The core needs aligned arrays with spare elements behind them, which pickles forget.
        self.states = [_like(array) for array in self.states]

    def after_epoch(self, samples_seen: int) -> None:
        """Lower the learning rate as planned."""
        if self.plan == "invscaling":
            self.learning_rate = self._inverse(samples_seen)

    def _inverse(self, samples_seen: int) -> float:
        return self.hyper["learning_rate"] / (samples_seen + 1) ** self.power_t

    def rates(self, n_epochs: int, n_batches: int, seen: int, n: int) -> NDArray[np.float64] | None:
        """Return the rate of each step of epochs of n rows, where it changes between them."""
        if self.plan != "invscaling":
            return None
        later = [self._inverse(seen + epoch * n) for epoch in range(1, n_epochs)]
        return np.repeat([self.learning_rate, *later], n_batches)

    def stops(self, reason: str, verbose: Any) -> bool:
        """Return whether training ends for this reason, or goes on with a fifth of the rate."""
        if self.plan != "adaptive":
            ending = "Stopping."
        elif self.learning_rate <= 1e-6:
            ending = "Learning rate too small. Stopping."
        else:
            self.learning_rate /= 5.0
            ending = f"Setting learning rate to {self.learning_rate:f}"
        if verbose:
            print(reason, ending)
        return ending.endswith("Stopping.")


class Rows:
    """The rows that are trained on: dense ones as they are, sparse ones made dense in pieces."""

    def __init__(self, X: Any, targets: Targets, weight: NDArray[np.float64] | None) -> None:
        self.sparse = scipy.sparse.issparse(X)
        self.X = X.tocsr() if self.sparse else X
        self.targets, self.weight = targets, weight
        self.constants: NDArray[np.float64] | None = None  # part of each row's loss: see Run
        self.n, self.n_columns = X.shape

    def pieces(self, order: NDArray[np.intp] | None, multiple: int) -> Iterator[tuple[Any, ...]]:
        """Yield (X, target, labels, weight) of the rows in `order`, dense and of bounded size."""
        if not self.sparse and order is None:
            yield self.X, *self.targets, self.weight
            return
        order = np.arange(self.n) if order is None else order
        most = len(order)
        if self.sparse:
            most = max(CHUNK // self.n_columns // multiple, 1) * multiple
        for first in range(0, len(order), most):
            rows = order[first : first + most]
            X = self.X[rows].toarray() if self.sparse else self.X[rows]
            others = (*self.targets, self.weight)
            yield X, *(None if part is None else part[rows] for part in others)


class Seat:
    """What a `cbp.Callback` finds as its trainer in a fit of an estimator.

    Attributes
    ----------
    estimator : Estimator
    net : Network
    history : History
        Of this fit.
    stopped : bool
        Whether a callback has called `stop`.
    """

    def __init__(self, estimator: Any, net: Network, batch_size: int) -> None:
        self.estimator, self.net, self.batch_size = estimator, net, batch_size
        self.history = History()
        self.stopped = False

    @property
    def loss(self) -> Any:
        """The loss object."""
        return self.estimator._loss

    @property
    def l2(self) -> float:
        """The penalty of a whole minibatch of weight 1."""
        return float(self.estimator.alpha / self.batch_size)

    @property
    def learning_rate(self) -> float:
        """The step size, which may be set."""
        return float(self.estimator._optimizer.learning_rate)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.estimator._optimizer.learning_rate = value

    def stop(self) -> None:
        """End the training behind this epoch."""
        self.stopped = True


class Run:
    """The compiled loop on one fit's rows, fed with one order after the other."""

    def __init__(
        self,
        estimator: Any,
        net: Network,
        rows: Rows,
        train: Any,
        batch_size: int,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        optimizer = estimator._optimizer
        self.callbacks = callbacks  # those that want to know of every minibatch
        self.rows, self.batch_size, self.optimizer = rows, batch_size, optimizer
        self.loop = Loop(
            net._core,
            loss=estimator._loss.objective(net.activations[-1]),
            reduction=0,
            optimizer=OPTIMIZERS[optimizer.rule],
            hyper=optimizer.hyper,
            l2=float(estimator.alpha),
            states=optimizer.states,
            trainable=[(True, True)] * len(net.weights),
            mask=None,
            batch_size=batch_size,
            shuffle=False,
            seed=optimizer.seed,
            by_rows=estimator._by_rows(net.dtype),
            **estimator._extras(net),
        )
        if optimizer.place:
            self.loop.set_state(optimizer.place)
            self.loop.rewind()
        self.train, self.estimator = train, estimator
        self.schedule: Any = schedules.checked(estimator.schedule)
        if not isinstance(self.schedule, schedules.ReduceOnPlateau):
            optimizer.plateau = None
        elif optimizer.plateau is None:
            optimizer.plateau = self.schedule._start()
        self.n = rows.n if train is None else len(train)
        self.random_state = estimator._random_state if estimator.shuffle else None
        self.index = np.arange(self.n, dtype=np.intp)
        self.n_threads = estimator._threads(batch_size)
        self.error: KeyboardInterrupt | Diverged | None = None
        if not rows.sparse:
            self.loop.bind(rows.X, *rows.targets, rows.weight)

    def _orders(self, n_epochs: int) -> NDArray[np.intp] | None:
        """Return the rows of each epoch, drawn as scikit-learn draws them: each shuffle permutes
        the one before."""
        if self.random_state is None:
            return self.train
        orders = np.empty((n_epochs, self.n), np.intp)
        _runtime.legacy_shuffles(self.random_state._bit_generator, orders, self.index, self.train)
        return orders

    def epochs(self, n_epochs: int, seconds: float = 0.0) -> NDArray[np.float64]:
        """Run that many epochs, or until `seconds` have passed, and return the loss of each; what
        ended them early is `error`."""
        self.loop.learning_rate = self._constant_rate()
        orders: Any = self._orders(n_epochs)
        if self.rows.sparse:
            return self._sparse_epochs(n_epochs, orders)
        losses, before = np.empty(n_epochs), self.loop.epoch
        one = orders is None or orders.ndim == 1
        try:
            if self.callbacks:
                self._by_batches(losses, 0, self.n, orders if one else orders[0])
            else:
                rates = self._rates(n_epochs, self.n)
                self.loop.run(losses, seconds, self.n_threads, orders, rates)
        except (KeyboardInterrupt, Diverged) as error:
            self.error = error
        losses = losses[: self.loop.epoch - before]
        if self.rows.constants is not None:
            losses += [self._constant(orders if one else orders[e]) for e in range(len(losses))]
        return losses

    def _by_batches(self, losses: NDArray[Any], number: int, n: int, order: Any = None) -> int:
        """Run one epoch of n rows a minibatch at a time; return how many there have been."""
        before = self.loop.epoch
        rates = self._rates(1, n)
        if rates is None:
            rates = np.full(-(-n // self.batch_size), self.loop.learning_rate)
        first = self.loop.step
        while self.loop.epoch == before:
            # A minibatch without weight is not a step, and takes no rate.
            step = self.loop.step - first
            self.loop.run(losses, 0.0, self.n_threads, order, rates[step : step + 1])
            logs = {"loss": self.loop.batch_loss}
            for callback in self.callbacks:
                callback.on_train_batch_end(number, logs)
            number += 1
        return number

    def _constant(self, order: NDArray[np.intp] | None) -> float:
        """Return what the rows' constants add to an epoch's loss: the mean over the rows of their
        minibatch's weighted mean."""
        rows: Any = slice(None) if order is None else order
        assert self.rows.constants is not None
        constants = self.rows.constants[rows]
        if self.rows.weight is None:
            return float(constants.mean())
        weight, total = self.rows.weight[rows], 0.0
        for first in range(0, len(constants), self.batch_size):
            w = weight[first : first + self.batch_size]
            if w.any():
                total += len(w) * np.average(constants[first : first + self.batch_size], weights=w)
        return total / len(constants)

    def _sparse_epochs(self, n_epochs: int, orders: Any) -> NDArray[np.float64]:
        losses, part = np.zeros(n_epochs), np.empty(1)
        for epoch in range(n_epochs):
            order, number = orders[epoch] if self.random_state is not None else orders, 0
            try:
                for piece in self.rows.pieces(order, self.batch_size):
                    n = len(piece[0])
                    self.loop.bind(*piece)
                    if self.callbacks:
                        number = self._by_batches(part, number, n)
                    else:
                        self.loop.run(part, 0.0, self.n_threads, None, self._rates(1, n))
                    losses[epoch] += part[0] * (n / self.n)
            except (KeyboardInterrupt, Diverged) as error:
                self.error = error
                return losses[:epoch]
            if self.rows.constants is not None:
                losses[epoch] += self._constant(order)
        return losses

    def _constant_rate(self) -> float:
        """Return the learning rate between two changes of it."""
        rate = float(self.optimizer.learning_rate)
        if self.optimizer.plateau is not None:
            rate = self.schedule._rate(self.optimizer.plateau, rate)
        return rate

    def _rates(self, n_epochs: int, n_rows: int) -> NDArray[np.float64] | None:
        """Return the learning rate of each step of epochs of so many rows, where it changes."""
        n_batches = -(-n_rows // self.batch_size)
        if self.schedule is None or self.optimizer.plateau is not None:
            return self.optimizer.rates(n_epochs, n_batches, self.estimator.t_, self.n)
        return schedules.rates(
            self.schedule,
            self.loop.step,
            n_epochs * n_batches,
            self.optimizer.learning_rate,
            self.estimator._network().dtype,
        )

    def keep(self) -> None:
        """Leave the optimizer as the run has left it."""
        self.optimizer.place = self.loop.state()


def _like(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy in memory that the core may use."""
    copy = parameter_like(len(array), array.dtype)
    copy[...] = array
    return copy
