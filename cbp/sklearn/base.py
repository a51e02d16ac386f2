"""What the two estimators share: parameters, checks, and the two ways to fit.

What lives here: scikit-learn's rules about draws, epochs, stopping and warm starts. Invariant:
`coefs_` and `intercepts_` are views of the network's parameters; whoever replaces one of them
gets a new network, made of what stands there, at the next call.
"""

from __future__ import annotations

import functools
import operator
import time
import warnings
from multiprocessing import current_process
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse
from joblib.parallel import get_active_backend
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from .. import _check, _runtime, callbacks, optimizers
from .._progress import Progress
from .._training import Diverged
from ..activations import ACTIVATIONS, OUTPUT_ONLY, Activation
from ..callbacks import Callback, wants_batches
from ..exceptions import DivergenceError
from ..losses import LOSSES, Loss, Targets
from ..network import Network, parameter_like
from . import runs
from .runs import Held, Optimizer, Rows, Run, Seat

__all__ = ["Estimator", "NonFiniteError", "validated"]

validated = _fit_context(prefer_skip_nested_validation=True)
STOCHASTIC = ("sgd", "adam")
# scikit-learn's names of activations, and the network's.
NAMES: dict[str, str] = {"logistic": "sigmoid", "exp": "identity"}
# What may stand in a hidden layer.
HIDDEN = [name for name in ACTIVATIONS if name not in OUTPUT_ONLY]
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
# Numbers in the orders of one run of the loop.
_MOST_ORDERS = 2**20

# What L-BFGS knows nothing of.
_OF_MINIBATCHES = (
    "schedule", "dropout", "clip_norm", "restore_best", "max_seconds", "callbacks", "progress",
)  # fmt: skip

_NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


class NonFiniteError(DivergenceError, ValueError):
    """Training ran out of the finite numbers; a ValueError, as scikit-learn's callers expect."""


class Estimator(BaseEstimator):
    """Everything that classification and regression have in common."""

    # What is not named here is checked where it is used.
    _parameter_constraints: dict[str, list[Any]] = {
        "activation": [StrOptions({"logistic", *HIDDEN}), list, tuple, Activation],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
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
        "standardize": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "restore_best": ["boolean", None],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
    }
    _validation: dict[str, Any] = {}  # what is asked of y beside

    # What this class reads of the parameters and sets itself, for type checkers.
    hidden_layer_sizes: Any
    activation: Any
    loss: Any
    solver: str
    n_outputs_: int
    out_activation_: str
    _loss: Loss

    @classmethod
    @functools.cache
    def _get_param_names(cls) -> list[str]:
        """Read the signature once: every fit, clone and get_params asks for it (60 us)."""
        names: list[str] = super()._get_param_names()
        return names

    # ---- what the two kinds of estimators say ---------------------------------------------------

    def _encode(self, y: Any, incremental: bool) -> Any:
        """Return y as the loss takes it: numbers of classes, or rows; learn what the classes are."""
        raise NotImplementedError

    def _head(self, Y: Any) -> tuple[int, str, Loss]:
        """Return the number of outputs, `out_activation_` and the loss for encoded targets."""
        raise NotImplementedError

    def _by_rows(self, dtype: Any) -> dict[str, float]:
        """Return how scikit-learn reports the loss: see Loop."""
        raise NotImplementedError

    def _constants(self, targets: Targets) -> Any:
        """Return what scikit-learn adds to each row's loss that no weight can change, or None."""
        return None

    def _is_plain_target(self, y: Any, n: int) -> bool:
        """Whether y needs no more checks than what it takes to see that."""
        raise NotImplementedError

    def _strata(self, Y: Any) -> Any:
        """Return what the validation split is stratified by, or None."""
        return None

    def _weighted(self, y: Any, sample_weight: Any, incremental: bool) -> Any:
        """Return the weights that rows are trained with."""
        return sample_weight

    def _score_of(self, out: Any, truth: Any, weight: Any) -> float:
        """Return the score of outputs against encoded targets."""
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
            net: Network
            net, views = compiled
            now = (*self.coefs_, *self.intercepts_)
            if len(now) == len(views) and all(map(operator.is_, now, views)):
                return net
        coefs = [np.asarray(W) for W in self.coefs_]
        sizes = [len(coefs[0]), *(W.shape[1] for W in coefs)]
        return self._build(sizes, np.result_type(*coefs), coefs, list(self.intercepts_))

    def _build(self, sizes: list[int], dtype: Any, coefs: list[Any], biases: list[Any]) -> Network:
        """Make a network of these numbers; `coefs_` and `intercepts_` become views of it."""
        names = [*self._hidden_names(len(sizes) - 2), self.out_activation_]
        net = Network(
            sizes,
            [NAMES.get(name, name) if isinstance(name, str) else name for name in names],
            init="zeros",
            dtype=dtype,
            seed=0,
            standardize=self.standardize,
            dropout=self.dropout,
        )
        net.scaling = self.__dict__.get("_scaling")
        for view, values in zip((*net.weights, *net.biases), (*coefs, *biases)):
            view[...] = values
        self.coefs_, self.intercepts_ = list(net.weights), list(net.biases)
        self._compiled = net, (*self.coefs_, *self.intercepts_)
        return net

    def _hidden_names(self, n_hidden: int) -> list[Any]:
        """Return the activation of each hidden layer."""
        if not isinstance(self.activation, (list, tuple)):
            names = [self.activation] * n_hidden
        elif len(self.activation) == n_hidden:
            names = list(self.activation)
        else:
            raise ValueError(
                f"`activation` must name {_check.count(n_hidden, 'hidden layer')}, "
                f"got {len(self.activation)}."
            )
        for name in names:
            if isinstance(name, str):
                _check.choice(name, "activation", ["logistic", *HIDDEN])
        return names

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__().copy()
        state.pop("_compiled", None)
        return state

    # ---- fitting --------------------------------------------------------------------------------

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool, validation: Any = None
    ) -> Estimator:
        sizes = self.hidden_layer_sizes
        sizes = list(map(operator.index, sizes if hasattr(sizes, "__iter__") else [sizes]))
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._checked(X, y, reset=first)
        if self.dtype is not None:
            dtype = _check.float_type(self.dtype)
        elif first:
            # L-BFGS needs differences of losses beyond float32: scikit-learn has them too.
            dtype = np.dtype(np.float64) if self.solver == "lbfgs" else X.dtype
        else:
            dtype = self._network().dtype
        X = _of_dtype(X, dtype)
        Y = self._encode(y, incremental)
        if sample_weight is not None:
            sample_weight = _weights(sample_weight, X)
        weight = self._weighted(y, sample_weight, incremental)
        self.n_outputs_, out, self._loss = self._head(Y)
        self._random_state = _seeded(self.random_state)
        units = [X.shape[1], *sizes, self.n_outputs_]
        if first:
            self.out_activation_ = out
            self._initialize(units, dtype)
        net = self._network()
        if list(net.sizes) != units:
            raise ValueError(
                f"A warm start needs the layers of the previous fit, {list(net.sizes)}, "
                f"got {units}: set `warm_start=False`."
            )
        lbfgs = self.solver == "lbfgs" and self.optimizer is None
        for name in _OF_MINIBATCHES if lbfgs else ():
            if getattr(self, name):
                raise ValueError(f"`{name}` needs minibatches: set `solver` to 'sgd' or 'adam'.")
        train = held = None
        if self.early_stopping and validation is None and not lbfgs:
            train, held = self._split(X, Y, sample_weight)
        if first and self.standardize:
            if scipy.sparse.issparse(X):
                raise ValueError("`standardize` needs dense rows: scale the columns of X instead.")
            net._prepare(self._loss, X, Y, train)
            self._scaling = net.scaling
        rows = Rows(X, net._targets(self._loss, Y, X.shape[0]), weight)
        rows.constants = self._constants(rows.targets)
        if validation is not None:
            held = self._held(validation, net)
        if lbfgs:
            self._fit_lbfgs(rows, held)
        else:
            self._fit_stochastic(rows, train, held, incremental)
        if not _check.is_finite(net.parameters):
            raise NonFiniteError(_NON_FINITE, self.n_iter_, 1, 1)
        return self

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Return X, float32 or float64, and y as scikit-learn checks them."""
        options = {"accept_sparse": ["csr", "csc"], "dtype": (np.float64, np.float32)}
        plain = _is_plain(X) and self._is_plain_target(y, len(X))
        if plain and reset:  # what validate_data would do, in a hundredth of the time
            self.n_features_in_ = X.shape[1]
            self.__dict__.pop("feature_names_in_", None)
        elif plain and self._is_known(X):
            pass
        elif isinstance(self.loss, Loss) and self.loss.masks:  # NaN in y stands for nothing
            X = validate_data(self, X, reset=reset, **options)
            y = check_array(y, ensure_2d=False, ensure_all_finite="allow-nan", dtype=np.float64)
            check_consistent_length(X, y)
        else:
            X, y = validate_data(
                self, X, y, multi_output=True, reset=reset, **options, **self._validation
            )
        return X, y

    def _is_known(self, X: NDArray[Any]) -> bool:
        """Whether an array has the columns of the fit, which had no names."""
        return X.shape[1] == self.n_features_in_ and "feature_names_in_" not in self.__dict__

    def _loss_for(self, output: str, usual: str) -> Loss:
        """Return the loss: the object that was given, or the one of that name; `usual` is what
        the name "log_loss" stands for."""
        loss = self.loss
        if not isinstance(loss, Loss):
            loss = LOSSES[usual if loss == "log_loss" else loss]()
        if loss.reduction != "mean":
            raise ValueError("`loss` must have `reduction='mean'` in an estimator.")
        loss.check_activation(NAMES.get(output, output))
        return loss

    def _initialize(self, units: list[int], dtype: Any) -> None:
        """Draw the weights as scikit-learn draws them, and forget what was learnt before."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(units)
        self._scaling = None
        names = self._hidden_names(len(units) - 2)
        coefs, biases = [], []
        # scikit-learn draws the output's weights by the activation of the hidden layers.
        for n_in, n_out, name in zip(units, units[1:], [*names, *(names[-1:] or [""])]):
            factor = 2.0 if isinstance(name, str) and NAMES.get(name, name) == "sigmoid" else 6.0
            bound = np.sqrt(factor / (n_in + n_out))
            coefs.append(self._random_state.uniform(-bound, bound, (n_in, n_out)))
            biases.append(self._random_state.uniform(-bound, bound, n_out))
        self._build(units, dtype, coefs, biases)
        for name in ("loss_curve_", "_optimizer", "validation_loss_curve_"):
            self.__dict__.pop(name, None)

    def _begin_record(self) -> None:
        """Set what epochs are told in, before the first of them."""
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.best_loss_: Any = None if self.early_stopping else np.inf
        self.validation_scores_: Any = None
        self.best_validation_score_: Any = None
        self._best_parameters: Any = None

    def _held(self, validation: tuple[Any, Any, Any], net: Network) -> Held:
        """Return the caller's validation rows."""
        X, y, weight = validation
        classes = self.__dict__.get("classes_")
        X, y = self._checked(X, y, reset=False)
        Y = self._encode(y, True)
        if classes is not None and not np.array_equal(self.classes_, classes):
            raise ValueError("`y_val` must hold the classes of `y`.")
        if weight is not None:
            weight = _weights(weight, X, "sample_weight_val")
        X = _of_dtype(X, net.dtype)
        return Held(X, Y, weight, net._targets(self._loss, Y, X.shape[0]))

    # ---- L-BFGS ---------------------------------------------------------------------------------

    def _fit_lbfgs(self, rows: Rows, held: Held | None) -> None:
        net = self._network()
        objective = self._loss.objective(net.activations[-1])
        told = self._by_rows(net.dtype)
        total = float(rows.n) if rows.weight is None else float(rows.weight.sum())
        grad = parameter_like(net.n_parameters, net.dtype)
        n_threads = self._threads(rows.n)
        pieces = None if rows.sparse else list(rows.pieces(None, 1))

        def losses(theta: NDArray[Any]) -> tuple[float, float, NDArray[np.float64]]:
            """The loss, the penalty, and the gradient of their sum."""
            net.parameters[...] = theta
            value, slope = 0.0, np.zeros(net.n_parameters)
            for X, target, labels, weight in pieces or rows.pieces(None, 1):
                # Summed over the rows, so that the pieces of a sparse matrix add up.
                part, _ = net._core.gradient(
                    X, target, labels, weight, objective, 1, 0.0, grad, None, n_threads
                )
                value += part
                slope += grad
            slope /= total
            squares, at = 0.0, 0
            for W in net.weights:
                flat = net.parameters[at : at + W.size]
                squares += float(flat @ flat)
                slope[at : at + W.size] += (self.alpha / total) * flat
                at += W.size + W.shape[1]
            return value / total, 0.5 * self.alpha * squares / total, slope

        def minimised(theta: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
            value, penalty, slope = losses(theta)
            return value + penalty, slope

        result = scipy.optimize.minimize(
            minimised,
            net.parameters.astype(np.float64),
            method="L-BFGS-B",
            jac=True,
            options={"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol},
        )
        value, penalty, _ = losses(result.x)  # sets the parameters, too
        self.loss_ = told["loss_factor"] * value + penalty
        if rows.constants is not None:
            self.loss_ += float(np.average(rows.constants, weights=rows.weight))
        if held is not None:
            self.validation_scores_ = [self._score_of(self._compute(held.X), *held[1:3])]
        self.n_iter_ = _check_optimize_result("lbfgs", result, self.max_iter)

    # ---- gradient descent on minibatches --------------------------------------------------------

    def _fit_stochastic(self, rows: Rows, train: Any, held: Held | None, incremental: bool) -> None:
        net = self._network()
        if not hasattr(self, "loss_curve_"):
            self._begin_record()
        if not (incremental and hasattr(self, "_optimizer")):
            self._optimizer = self._new_optimizer(net)
        restore = self.early_stopping if self.restore_best is None else self.restore_best
        if held is not None:
            if self.__dict__.get("validation_scores_") is None:
                self.validation_scores_, self.best_validation_score_ = [], -np.inf
            if held.targets is not None and not hasattr(self, "validation_loss_curve_"):
                self.validation_loss_curve_: list[float] = []
            if restore and self.__dict__.get("_best_parameters") is None:
                self._best_parameters = net.parameters.copy()
        elif restore:
            raise ValueError("`restore_best` needs `early_stopping`, or `X_val` and `y_val`.")
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
        self.n_iter_ = 0
        limit = 1 if incremental else self.max_iter
        seated = self._seated(net, batch_size)
        run = Run(self, net, rows, train, batch_size, list(filter(wants_batches, seated)))
        until = time.monotonic() + (self.max_seconds or np.inf)
        seconds = 0.0
        try:
            for callback in seated:
                callback.on_train_begin({})
            with Progress(limit, self.progress) as shown:
                plateau = self._optimizer.plateau
                one = held is not None or bool(seated) or shown.shown or plateau is not None
                while self.n_iter_ < limit:
                    if self.max_seconds is not None:
                        seconds = until - time.monotonic()
                        if seconds <= 0.0:
                            break
                    for callback in seated:
                        callback.on_epoch_begin(len(self.loss_curve_), {})
                    at_once = 1 if one else self._epochs_at_once(rows, n)
                    losses = run.epochs(min(limit - self.n_iter_, at_once), seconds)
                    ends = self._after_epochs(losses, n, held, restore, seated)
                    if ends or run.error is not None:
                        break
                    shown.update(self.n_iter_, {"loss": self.loss_})
                else:
                    if not incremental:
                        warnings.warn(
                            f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached "
                            "and the optimization hasn't converged yet.",
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
            self._after_divergence(run.error, restore)
        if restore:
            net.parameters[...] = self._best_parameters
        for callback in seated:
            callback.on_train_end({})

    def _seated(self, net: Network, batch_size: int) -> list[Callback]:
        """Return the callbacks, each with what it finds as its trainer."""
        checked = callbacks.checked(self.callbacks)
        seat = Seat(self, net, batch_size)
        for callback in checked:
            callback.trainer = seat  # type: ignore[assignment]
        return checked

    def _numbers(self) -> dict[str, float]:
        """Return what the last epoch is told by, the most telling last."""
        values = {"loss": self.loss_}
        if self.validation_scores_ is not None:
            values["val_score"] = self.validation_scores_[-1]
        if self.__dict__.get("validation_loss_curve_"):
            values["val_loss"] = self.validation_loss_curve_[-1]
        return values

    def _judge_plateau(self) -> None:
        """Show a ReduceOnPlateau the last epoch."""
        values = self._numbers()
        name = self.schedule.monitor or list(values)[-1]
        value = values[_check.choice(name, "monitor", list(values))]
        value = -value if name == "val_score" else value
        self.schedule._judge(self._optimizer.plateau, np.inf if np.isnan(value) else value)

    def _called_back(self, seated: list[Callback]) -> bool:
        """Tell the callbacks of the last epoch, and return whether one wants no more."""
        if not seated:
            return False
        seat: Any = seated[0].trainer
        values = self._numbers()
        seat.history.append_losses([values.pop("loss")])
        seat.history.amend(values)
        for callback in seated:
            callback.on_epoch_end(len(self.loss_curve_) - 1, seat.history.last())
        return bool(seat.stopped)

    def _new_optimizer(self, net: Network) -> Optimizer:
        """Return the optimizer that the parameters ask for, without any past."""
        # Dropout has a stream of its own; without it nothing is drawn that scikit-learn does not.
        seed = int(self._random_state.randint(2**31)) if self.dropout else 0
        if self.optimizer is not None:
            given = optimizers.checked(self.optimizer)
            return Optimizer(given.rule, given.hyper, given.starts, net, seed=seed)
        plan = "constant"
        starts: tuple[float, ...] = (0.0,)
        if self.solver == "adam":
            rule, starts = "adam", (0.0, 0.0)
            hyper = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        else:
            plan = self.learning_rate if self.schedule is None else "constant"
            hyper = {"momentum": self.momentum}
            rule = "nesterov" if self.nesterovs_momentum else "momentum"
            if not self.momentum:
                rule, starts = "sgd", ()
        hyper["learning_rate"] = self.learning_rate_init
        hyper = {name: float(value) for name, value in hyper.items()}
        power_t = float(self.power_t)
        return Optimizer(rule, hyper, starts, net, plan=plan, power_t=power_t, seed=seed)

    def _extras(self, net: Network) -> dict[str, Any]:
        """Return what the loop is to do beside."""
        clip_norm = 0.0
        if self.clip_norm is not None:
            clip_norm = _check.number(self.clip_norm, "clip_norm", above=0.0)
        return {
            "clip_norm": clip_norm,
            "dropout": [layer.dropout or 0.0 for layer in net.layers],
        }

    def _split(self, X: Any, Y: Any, weight: Any) -> tuple[NDArray[np.intp], Held]:
        """Return the rows to train on, and those held out, chosen as scikit-learn chooses them."""
        train, held = train_test_split(
            np.arange(X.shape[0]),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=self._strata(Y),
        )
        if len(held) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        part = X.tocsr()[held] if scipy.sparse.issparse(X) else X[held]
        return train, Held(part, Y[held], None if weight is None else weight[held], None)

    def _epochs_at_once(self, rows: Rows, n: int) -> int:
        """Return how many epochs may run before any rule could have its say."""
        if self.verbose or (rows.sparse and self.max_seconds is not None):
            return 1
        # A batch without weight is no step: rates of steps would not tell the epoch.
        if self._optimizer.plan == "invscaling" and rows.weight is not None:
            return 1
        patience = min(self.n_iter_no_change, _MOST_ORDERS) - self._no_improvement_count + 1
        return int(max(min(patience, _MOST_ORDERS // n), 1))

    def _after_epochs(
        self,
        losses: NDArray[np.float64],
        n: int,
        held: Held | None,
        restore: bool,
        seated: list[Callback],
    ) -> bool:
        """Tell of these epochs, and return whether the last of them is the last of all."""
        told = losses.tolist()
        plain = (
            held is None and not seated and not self.verbose
            and self._optimizer.plan != "invscaling" and self._optimizer.plateau is None
        )  # fmt: skip
        # Where nobody looks at single epochs, they are counted in one go (5 % of a fit of iris).
        for part in filter(None, [told] if plain else [[loss] for loss in told]):
            self.n_iter_ += len(part)
            self.t_ += n * len(part)
            self.loss_ = part[-1]
            self.loss_curve_ += part
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
            if held is not None:
                self._validate(held, restore)
            if not self.early_stopping:
                self._count(part)
            self._optimizer.after_epoch(self.t_)
            if self._optimizer.plateau is not None:
                self._judge_plateau()
            if self._called_back(seated):
                return True
            if self._no_improvement_count > self.n_iter_no_change:
                what = "Validation score" if self.early_stopping else "Training loss"
                if self._optimizer.stops(
                    f"{what} did not improve more than tol={self.tol:f} for "
                    f"{self.n_iter_no_change} consecutive epochs.",
                    self.verbose,
                ):
                    return True
                self._no_improvement_count = 0
        return False

    def _count(self, losses: list[float]) -> None:
        """Count the epochs in a row whose loss was no better than the best before, less `tol`."""
        best = np.inf if self.best_loss_ is None else self.best_loss_
        count, tol = self._no_improvement_count, self.tol
        for loss in losses:
            count = count + 1 if loss > best - tol else 0
            if loss < best:
                best = loss
        self.best_loss_, self._no_improvement_count = best, count

    def _validate(self, held: Held, restore: bool) -> None:
        """Take note of the validation score, and of the parameters if it is the best."""
        score = self._score_of(self._compute(held.X), held.truth, held.weight)
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        if held.targets is not None:
            self.validation_loss_curve_.append(self._loss_of(held))
        if self.early_stopping:
            worse = score < self.best_validation_score_ + self.tol
            self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            if restore:
                self._best_parameters[...] = self._network().parameters

    def _loss_of(self, held: Held) -> float:
        """Return the loss of validation rows, without the penalty."""
        net, value, total = self._network(), 0.0, 0.0
        objective = self._loss.objective(net.activations[-1])
        assert held.targets is not None
        for X, target, labels, weight in Rows(held.X, held.targets, held.weight).pieces(None, 1):
            n_threads = self._threads(len(X), 2e-6)
            value += net._core.gradient(
                X, target, labels, weight, objective, 1, 0.0, None, None, n_threads
            )[0]
            total += len(X) if weight is None else weight.sum()
        constants = self._constants(held.targets)
        if constants is not None:
            value += float(constants.sum() if held.weight is None else constants @ held.weight)
        return self._by_rows(net.dtype)["loss_factor"] * value / total

    def _after_divergence(self, error: Diverged, restore: bool) -> None:
        """Where the best weights come back, end with a warning; else raise."""
        if not restore:
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
        if self.n_threads is None and worker and not current_process().name.startswith("Loky"):
            return 1
        return self._network()._threads(self.n_threads, mflop_per_weight * n_rows)

    def _compute(self, X: Any) -> NDArray[Any]:
        """Return the outputs for checked rows, dense or sparse."""
        net = self._network()
        if scipy.sparse.issparse(X):
            out = np.empty((X.shape[0], self.n_outputs_), net.dtype)
            X, most = X.tocsr(), max(runs.CHUNK // X.shape[1], 1)
            n_threads = self._threads(most, 2e-6)
            for first in range(0, X.shape[0], most):
                part = X[first : first + most].toarray().astype(net.dtype, copy=False)
                net.predict(part, out[first : first + most], n_threads=n_threads)
        else:
            # A few rows are worth one thread, and not the time to find that out.
            n_threads = self._threads(len(X), 2e-6) if len(X) > 50 else 1
            if X.dtype is net.dtype and X.flags.c_contiguous and X.flags.aligned:
                out = np.empty((len(X), net.sizes[-1]), net.dtype)
                net._core.predict(X, out, n_threads)  # X has been checked
            else:
                out = net.predict(X, n_threads=n_threads)
        return np.exp(out, out=out) if self.out_activation_ == "exp" else out

    def _forward(self, X: Any) -> NDArray[Any]:
        """Return the outputs for what a caller of `predict` hands in."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        net = self._network()
        # A C-ordered array of the fitted dtype needs no more than these checks, which take a
        # microsecond or two; scikit-learn's take a hundred times as long.
        if not (_is_plain(X) and X.dtype is net.dtype and self._is_known(X)):
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        return self._compute(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class _NoEntropy(ISeedSequence):  # type: ignore[misc]
    """A seed for a generator that is seeded anew at once: the operating system is not asked.

    NumPy documents the interface but its stubs know SeedSequence alone, hence the two ignores.
    """

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        return np.ones(n_words, dtype)


def _seeded(random_state: Any) -> np.random.RandomState:
    """Return the generator that scikit-learn makes of `random_state`; of a number in a third of
    the time, which partial_fit feels."""
    if type(random_state) is not int:
        return check_random_state(random_state)
    result = np.random.RandomState(np.random.MT19937(_NoEntropy()))  # type: ignore[arg-type]
    result.seed(random_state)
    return result


def _is_plain(X: Any) -> bool:
    """Whether X holds finite rows as the core takes them."""
    return (
        type(X) is np.ndarray
        and (X.dtype is _DOUBLE or X.dtype is _SINGLE)
        and X.ndim == 2
        and X.size > 0
        and X.flags.c_contiguous
        and X.flags.aligned
        and _runtime.all_finite(X)
    )


def _of_dtype(X: Any, dtype: np.dtype[Any]) -> Any:
    """Return checked rows in `dtype`, C-ordered where they are dense."""
    if scipy.sparse.issparse(X):
        return X.astype(dtype, copy=False)
    if X.dtype != dtype:
        return _check.converted(X, "X", dtype)
    return np.require(X, dtype, ("C", "A"))


def _weights(weight: Any, X: Any, name: str = "sample_weight") -> NDArray[np.float64]:
    """Return a weight for each row; a number stands for all of them."""
    weight = _check_sample_weight(weight, X, dtype=np.float64)
    result = _check.row_weights(weight, X.shape[0], name)
    if not result.any():
        raise ValueError(f"`{name}` must not be zero in every row.")
    return result
