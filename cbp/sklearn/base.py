"""What the two estimators share: parameters, checks, and the two ways to fit.

What lives here: scikit-learn's rules about draws, epochs, stopping and warm starts. Invariant:
`coefs_` and `intercepts_` are views of the network's parameters; whoever replaces one of them
gets a new network, made of what stands there, at the next call.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator
from multiprocessing import current_process
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse
from joblib.parallel import get_active_backend
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import _check, _runtime
from .._training import N_STATES, OPTIMIZERS, Diverged, Loop
from ..exceptions import DivergenceError
from ..losses import Loss
from ..network import Network, parameter_like

__all__ = ["Estimator", "NonFiniteError"]

validated = _fit_context(prefer_skip_nested_validation=True)

STOCHASTIC = ("sgd", "adam")
# scikit-learn's names of activations, and the core's.
ACTIVATIONS: dict[str, str] = {"logistic": "sigmoid", "exp": "identity"}
# Rows of a sparse matrix that are dense at a time, and numbers in the orders of one run.
_CHUNK = 2**20
_MOST_ORDERS = 2**20

_NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


class NonFiniteError(DivergenceError, ValueError):
    """Training ran out of the finite numbers; a ValueError, as scikit-learn's callers expect."""


class Optimizer:
    """What an optimizer keeps between epochs, and between calls of `partial_fit`.

    Attributes
    ----------
    rule : str
        A key of OPTIMIZERS.
    hyper : dict
        The numbers of the rule.
    schedule : {"constant", "invscaling", "adaptive"}
    learning_rate : float
        The present one.
    states : list of ndarray
        Like the parameters.
    place : dict
        Where the loop stands.
    """

    def __init__(
        self, rule: str, hyper: dict[str, float], schedule: str, power_t: float, net: Network
    ) -> None:
        self.rule, self.hyper, self.schedule, self.power_t = rule, hyper, schedule, power_t
        self.learning_rate = hyper["learning_rate"]
        n_states = N_STATES[OPTIMIZERS[rule]]
        self.states = [parameter_like(net.n_parameters, net.dtype) for _ in range(n_states)]
        self.place: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # The core needs aligned arrays with spare elements behind them, which pickles forget.
        self.states = [_like(array) for array in self.states]

    def after_epoch(self, samples_seen: int) -> None:
        """Lower the learning rate as the schedule says."""
        if self.schedule == "invscaling":
            self.learning_rate = self.hyper["learning_rate"] / (samples_seen + 1) ** self.power_t

    def stops(self, reason: str, verbose: Any) -> bool:
        """Return whether training ends for this reason, or goes on with a fifth of the rate."""
        if self.schedule != "adaptive":
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

    def __init__(self, X: Any, target: Any, labels: Any, weight: Any) -> None:
        self.sparse = scipy.sparse.issparse(X)
        self.X = X.tocsr() if self.sparse else X
        self.target, self.labels, self.weight = target, labels, weight
        self.n, self.n_columns = X.shape

    def pieces(self, order: NDArray[np.intp] | None, multiple: int) -> Iterator[tuple[Any, ...]]:
        """Yield (X, target, labels, weight) of the rows in `order`, dense and of bounded size."""
        n = self.n if order is None else len(order)
        most = max(_CHUNK // self.n_columns // multiple, 1) * multiple if self.sparse else n
        for first in range(0, n, most):
            if order is None and most >= n:
                rows: Any = slice(None)
            else:
                rows = slice(first, first + most) if order is None else order[first : first + most]
            X = self.X[rows]
            yield (X.toarray() if self.sparse else X, *(
                None if part is None else part[rows]
                for part in (self.target, self.labels, self.weight)
            ))  # fmt: skip


class Estimator(BaseEstimator):
    """Everything that classification and regression have in common."""

    _parameter_constraints: dict[str, list[Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
    }

    # The parameters that this class reads; the signatures of the two estimators set them.
    hidden_layer_sizes: Any
    activation: str
    solver: str
    out_activation_: str

    # ---- what the two kinds of estimators say ---------------------------------------------------

    _validation: dict[str, Any] = {}  # what is asked of y beside

    def _encode(self, y: Any, incremental: bool, dtype: Any) -> tuple[Any, Any]:
        """Return the checked y as (target rows, labels), one of which is None."""
        raise NotImplementedError

    def _outputs(self) -> tuple[int, str]:
        """Return the number of outputs and `out_activation_`."""
        raise NotImplementedError

    def _loss(self) -> Loss:
        """Return the core's loss."""
        raise NotImplementedError

    def _by_rows(self, dtype: Any) -> dict[str, float]:
        """Return how scikit-learn reports the loss: see Loop."""
        raise NotImplementedError

    def _strata(self, rows: Rows) -> Any:
        """Return what the validation split is stratified by, or None."""
        return None

    def _truth(self, rows: Rows, y: Any) -> Any:
        """Return what `_score_of` compares outputs with, for every row."""
        raise NotImplementedError

    def _score_of(self, out: Any, truth: Any, weight: Any) -> float:
        """Return the score of outputs against validation targets."""
        raise NotImplementedError

    # ---- the network ----------------------------------------------------------------------------

    @property
    def network_(self) -> Network:
        """The network, a `cbp.Network` that shares its parameters with the estimator."""
        check_is_fitted(self)
        return self._network()

    def _network(self) -> Network:
        """Return the network of `coefs_` and `intercepts_`; made anew if any was replaced."""
        compiled = self.__dict__.get("_compiled")
        if compiled is not None:
            net, views = compiled
            now = (*self.coefs_, *self.intercepts_)
            if len(now) == len(views) and all(map(operator.is_, now, views)):
                return net
        coefs = [np.asarray(W) for W in self.coefs_]
        sizes = [len(coefs[0]), *(W.shape[1] for W in coefs)]
        dtype = np.result_type(*coefs)
        return self._build(sizes, dtype, coefs, list(self.intercepts_))

    def _build(
        self, sizes: list[int], dtype: Any, coefs: list[Any], intercepts: list[Any]
    ) -> Network:
        """Make a network of these numbers; `coefs_` and `intercepts_` become views of it."""
        out = ACTIVATIONS.get(self.out_activation_, self.out_activation_)
        hidden = ACTIVATIONS.get(self.activation, self.activation)
        net = Network(sizes, hidden, out, init="zeros", dtype=dtype, seed=0)
        for view, values in zip((*net.weights, *net.biases), (*coefs, *intercepts)):
            view[...] = values
        self.coefs_, self.intercepts_ = list(net.weights), list(net.biases)
        self._compiled = net, (*self.coefs_, *self.intercepts_)
        return net

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__().copy()
        state.pop("_compiled", None)
        return state

    # ---- fitting --------------------------------------------------------------------------------

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool, validation: Any = None
    ) -> Estimator:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True,
            dtype=(np.float64, np.float32), reset=first, **self._validation,
        )  # fmt: skip
        # L-BFGS needs differences of losses beyond float32; scikit-learn computes in float64 too.
        dtype = np.dtype(np.float64) if self.solver == "lbfgs" else X.dtype
        if not first:
            dtype = self._network().dtype
        X = (
            X.astype(dtype, copy=False)
            if scipy.sparse.issparse(X)
            else np.require(X, dtype, ("C", "A"))
        )
        target, labels = self._encode(y, incremental, dtype)
        if sample_weight is not None:
            sample_weight = _weights(sample_weight, X.shape[0])
        self.n_outputs_, out = self._outputs()
        self._random_state = check_random_state(self.random_state)
        units = [X.shape[1], *map(int, sizes), self.n_outputs_]
        if first:
            self.out_activation_ = out
            self._initialize(units, dtype)
        elif list(self._network().sizes) != units:
            raise ValueError(
                f"A warm start needs the layers of the previous fit, {list(self._network().sizes)},"
                f" got {units}: set `warm_start=False`."
            )
        rows = Rows(X, target, labels, sample_weight)
        if self.solver == "lbfgs":
            self._fit_lbfgs(rows)
        else:
            self._fit_stochastic(rows, y, incremental)
        if not _check.is_finite(self._network().parameters):
            raise NonFiniteError(_NON_FINITE, self.n_iter_, 1, 1)
        return self

    def _initialize(self, units: list[int], dtype: Any) -> None:
        """Draw the weights as scikit-learn draws them, and forget what was learnt before."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(units)
        factor = 2.0 if self.activation == "logistic" else 6.0
        coefs, intercepts = [], []
        for n_in, n_out in zip(units, units[1:]):
            bound = np.sqrt(factor / (n_in + n_out))
            coefs.append(self._random_state.uniform(-bound, bound, (n_in, n_out)))
            intercepts.append(self._random_state.uniform(-bound, bound, n_out))
        net = self._build(units, dtype, coefs, intercepts)
        if self.solver in STOCHASTIC:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.best_loss_: Any = None if self.early_stopping else np.inf
            self.validation_scores_: Any = [] if self.early_stopping else None
            self.best_validation_score_: Any = -np.inf if self.early_stopping else None
            self._best_parameters: Any = net.parameters.copy() if self.early_stopping else None

    # ---- L-BFGS ---------------------------------------------------------------------------------

    def _fit_lbfgs(self, rows: Rows) -> None:
        net = self._network()
        loss = self._loss().objective(net.activations[-1])
        factor = self._by_rows(net.dtype)["loss_factor"]
        total = float(rows.n) if rows.weight is None else float(rows.weight.sum())
        grad = parameter_like(net.n_parameters, net.dtype)
        n_threads = self._threads(rows.n)
        told = 0.0
        pieces = None if rows.sparse else list(rows.pieces(None, 1))

        def objective(theta: NDArray[Any]) -> tuple[float, NDArray[Any]]:
            net.parameters[...] = theta
            value, slope = 0.0, np.zeros(net.n_parameters)
            for X, target, labels, weight in pieces or rows.pieces(None, 1):
                # Summed over the rows, so that the pieces of a sparse matrix add up.
                part, _ = net._core.gradient(
                    X, target, labels, weight, loss, 1, 0.0, grad, None, n_threads
                )
                value += part
                slope += grad
            squares = 0.0
            at = 0
            slope /= total
            for W, b in zip(net.weights, net.biases):
                flat = net.parameters[at : at + W.size]
                squares += float(flat @ flat)
                slope[at : at + W.size] += (self.alpha / total) * flat
                at += W.size + b.size
            nonlocal told
            penalty = 0.5 * self.alpha * squares / total
            told = factor * value / total + penalty
            return value / total + penalty, slope

        result = scipy.optimize.minimize(
            objective,
            net.parameters.astype(np.float64),
            method="L-BFGS-B",
            jac=True,
            options={"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol},
        )
        objective(result.x)  # the loss and the parameters of the point that was chosen
        self.loss_ = told
        self.n_iter_ = min(result.nit, self.max_iter)
        if result.status != 0:
            text = f"lbfgs failed to converge after {self.n_iter_} iteration(s): {result.message}."
            if self.n_iter_ == self.max_iter:
                text += f" Raise max_iter={self.max_iter}, or scale the data."
            warnings.warn(text, ConvergenceWarning, stacklevel=6)

    # ---- gradient descent on minibatches --------------------------------------------------------

    def _fit_stochastic(self, rows: Rows, y: Any, incremental: bool) -> None:
        net = self._network()
        if not (incremental and hasattr(self, "_optimizer")):
            self._optimizer = self._new_optimizer(net)
        train, held = None, None
        if self.early_stopping:
            train, held = self._split(rows, y)
            if self.validation_scores_ is None:  # set since the fit that is continued
                self.validation_scores_, self.best_validation_score_ = [], -np.inf
            if self._best_parameters is None:
                self._best_parameters = net.parameters.copy()
        n = rows.n if train is None else len(train)
        batch_size = min(200, n)
        if self.batch_size != "auto":
            if self.batch_size > n:
                warnings.warn(
                    "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                    "clipped",
                    stacklevel=6,
                )
            batch_size = min(int(self.batch_size), n)
        run = _Run(self, net, rows, train, batch_size)
        self.n_iter_ = 0
        limit = 1 if incremental else self.max_iter
        try:
            while self.n_iter_ < limit:
                losses = run.epochs(min(limit - self.n_iter_, self._epochs_at_once(held, n)))
                if self._after_epochs(losses, n, held) or run.error is not None:
                    break
            else:
                if not incremental:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and "
                        "the optimization hasn't converged yet.",
                        ConvergenceWarning,
                        stacklevel=6,
                    )
        except KeyboardInterrupt as error:
            run.error = error
        finally:
            run.keep()
        if isinstance(run.error, KeyboardInterrupt):
            warnings.warn("Training interrupted by user.", stacklevel=6)
        elif run.error is not None:
            self._after_divergence(run.error)
        if self.early_stopping:
            net.parameters[...] = self._best_parameters

    def _new_optimizer(self, net: Network) -> Optimizer:
        """Return the optimizer that the parameters ask for, without any past."""
        if self.solver == "adam":
            rule = "adam"
            hyper = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        else:
            rule = "nesterov" if self.nesterovs_momentum else "momentum"
            rule, hyper = rule if self.momentum else "sgd", {"momentum": self.momentum}
        hyper["learning_rate"] = self.learning_rate_init
        schedule = self.learning_rate if self.solver == "sgd" else "constant"
        hyper = {name: float(value) for name, value in hyper.items()}
        return Optimizer(rule, hyper, schedule, float(self.power_t), net)

    def _split(self, rows: Rows, y: Any) -> tuple[NDArray[np.intp], tuple[Any, ...]]:
        """Return the rows to train on, and (X, truth, weight) of the ones held out."""
        train, held = train_test_split(
            np.arange(rows.n),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=self._strata(rows),
        )
        if len(held) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        weight = None if rows.weight is None else rows.weight[held]
        return train, (rows.X[held], self._truth(rows, y)[held], weight)

    def _epochs_at_once(self, held: Any, n: int) -> int:
        """Return how many epochs may run before any rule could have its say."""
        if held is not None or self.verbose or self._optimizer.schedule == "invscaling":
            return 1
        patience = min(self.n_iter_no_change, _MOST_ORDERS) - self._no_improvement_count + 1
        return int(max(min(patience, _MOST_ORDERS // n), 1))

    def _after_epochs(self, losses: NDArray[np.float64], n: int, held: Any) -> bool:
        """Tell of these epochs, and return whether the last of them is the last of all."""
        optimizer = self._optimizer
        for loss in losses.tolist():
            self.n_iter_ += 1
            self.t_ += n
            self.loss_ = loss
            self.loss_curve_.append(loss)
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {loss:.8f}")
            if self.early_stopping:
                self._after_validation(self._score_of(self._compute(held[0]), *held[1:]))
            else:
                best = self.best_loss_
                worse = loss > best - self.tol
                self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
                if loss < best:
                    self.best_loss_ = loss
            optimizer.after_epoch(self.t_)
            if self._no_improvement_count > self.n_iter_no_change:
                what = "Validation score" if self.early_stopping else "Training loss"
                if optimizer.stops(
                    f"{what} did not improve more than tol={self.tol:f} for "
                    f"{self.n_iter_no_change} consecutive epochs.",
                    self.verbose,
                ):
                    return True
                self._no_improvement_count = 0
        return False

    def _after_validation(self, score: float) -> None:
        """Take note of a validation score, and of the parameters if it is the best."""
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        worse = score < self.best_validation_score_ + self.tol
        self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            self._best_parameters[...] = self._network().parameters

    def _after_divergence(self, error: Diverged) -> None:
        """With early stopping go back to the best weights, with a warning; else raise."""
        if not self.early_stopping:
            raise NonFiniteError(_NON_FINITE, self.n_iter_ + 1, error.batch + 1, 1) from None
        self.n_iter_ += 1
        self.loss_ = np.nan
        self.loss_curve_.append(np.nan)
        self.validation_scores_.append(np.nan)
        warnings.warn(
            f"The loss became {error.loss} in iteration {self.n_iter_}: training ends there, with "
            "the weights of the best validation score.",
            ConvergenceWarning,
            stacklevel=7,
        )

    # ---- prediction -----------------------------------------------------------------------------

    def _threads(self, n_rows: int, mflop_per_weight: float = 6e-6) -> int:
        """Return how many threads so many rows are worth: one in a worker of joblib's, for the
        others have the other cores, unless loky has shared them out already."""
        worker = get_active_backend()[0].nesting_level > 0
        if worker and not current_process().name.startswith("Loky"):
            return 1
        return self._network()._threads(None, mflop_per_weight * n_rows)

    def _compute(self, X: Any) -> NDArray[Any]:
        """Return the outputs for checked rows, dense or sparse."""
        net = self._network()
        if scipy.sparse.issparse(X):
            out = np.empty((X.shape[0], self.n_outputs_), net.dtype)
            X, most = X.tocsr(), max(_CHUNK // X.shape[1], 1)
            for first in range(0, X.shape[0], most):
                part = X[first : first + most].toarray().astype(net.dtype, copy=False)
                net.predict(part, out[first : first + most], n_threads=self._threads(most, 2e-6))
        else:
            out = net.predict(X, n_threads=self._threads(len(X), 2e-6) if len(X) > 100 else None)
        return np.exp(out, out=out) if self.out_activation_ == "exp" else out

    def _forward(self, X: Any) -> NDArray[Any]:
        """Return the outputs for what a caller of `predict` hands in."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        net = self._network()
        # A C-ordered array of the fitted dtype needs no more than these checks, which take a
        # microsecond or two; scikit-learn's take a hundred times as long.
        if not (
            type(X) is np.ndarray
            and X.dtype is net.dtype
            and X.ndim == 2
            and X.shape[1] == self.n_features_in_
            and len(X) > 0
            and X.flags.c_contiguous
            and X.flags.aligned
            and "feature_names_in_" not in self.__dict__
            and _runtime.all_finite(X)
        ):
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        return self._compute(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class _Run:
    """The compiled loop on one fit's rows, fed with one order after the other."""

    def __init__(
        self, estimator: Estimator, net: Network, rows: Rows, train: Any, batch_size: int
    ) -> None:
        optimizer = estimator._optimizer
        self.rows, self.batch_size, self.optimizer = rows, batch_size, optimizer
        self.loop = Loop(
            net._core,
            loss=estimator._loss().objective(net.activations[-1]),
            reduction=0,
            optimizer=OPTIMIZERS[optimizer.rule],
            hyper=optimizer.hyper,
            l2=float(estimator.alpha),
            states=optimizer.states,
            trainable=[(True, True)] * len(net.weights),
            mask=None,
            batch_size=batch_size,
            shuffle=False,
            seed=0,
            by_rows=estimator._by_rows(net.dtype),
        )
        if optimizer.place:
            self.loop.set_state(optimizer.place)
            self.loop.rewind()
        self.train = train
        self.n = rows.n if train is None else len(train)
        self.random_state = estimator._random_state if estimator.shuffle else None
        self.index = np.arange(self.n)
        self.n_threads = estimator._threads(batch_size)
        self.error: KeyboardInterrupt | Diverged | None = None
        if not rows.sparse:
            self.loop.bind(rows.X, rows.target, rows.labels, rows.weight)

    def _orders(self, n_epochs: int) -> NDArray[np.intp] | None:
        """Return the rows of each epoch, drawn as scikit-learn draws them: each shuffle permutes
        the one before."""
        if self.random_state is None:
            return self.train
        orders = np.empty((n_epochs, self.n), np.intp)
        for order in orders:
            permutation = np.arange(self.n)
            self.random_state.shuffle(permutation)
            self.index = self.index[permutation]
            order[...] = self.index if self.train is None else self.train[self.index]
        return orders

    def epochs(self, n_epochs: int) -> NDArray[np.float64]:
        """Run that many epochs, and return the loss of each; what ended them early is `error`."""
        self.loop.learning_rate = self.optimizer.learning_rate
        orders = self._orders(n_epochs)
        if self.rows.sparse:
            return self._sparse_epochs(n_epochs, orders)
        losses, before = np.empty(n_epochs), self.loop.epoch
        try:
            self.loop.run(losses, 0.0, self.n_threads, orders)
        except (KeyboardInterrupt, Diverged) as error:
            self.error = error
        return losses[: self.loop.epoch - before]

    def _sparse_epochs(self, n_epochs: int, orders: Any) -> NDArray[np.float64]:
        losses, part = np.zeros(n_epochs), np.empty(1)
        for epoch in range(n_epochs):
            order = orders[epoch] if self.random_state is not None else orders
            try:
                for piece in self.rows.pieces(order, self.batch_size):
                    self.loop.bind(*piece)
                    self.loop.run(part, 0.0, self.n_threads)
                    losses[epoch] += part[0] * (len(piece[0]) / self.n)
            except (KeyboardInterrupt, Diverged) as error:
                self.error = error
                return losses[:epoch]
        return losses

    def keep(self) -> None:
        """Leave the optimizer as the run has left it."""
        self.optimizer.place = self.loop.state()


def _weights(sample_weight: Any, n: int) -> NDArray[np.float64]:
    """Return a weight for each row; a number stands for all of them."""
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n, sample_weight, float)
    weight = _check.row_weights(np.asarray(sample_weight), n)
    if not weight.any():
        raise ValueError("`sample_weight` must not be zero in every row.")
    return weight


def _like(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy in memory that the core may use."""
    copy = parameter_like(len(array), array.dtype)
    copy[...] = array
    return copy
