"""MLPClassifier and MLPRegressor: what their targets, outputs and scores are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from ..losses import LOSSES, GaussianNLL, Loss, Quantile, Targets
from .base import HIDDEN, STOCHASTIC, Estimator, validated

__all__ = ["MLPClassifier", "MLPRegressor"]


def _is_stochastic(estimator: Estimator) -> bool:
    """Whether there is a partial_fit: AttributeError if not."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. "
            f"{estimator.solver} is not stochastic."
        )
    return True


def _has_quantiles(estimator: Estimator) -> bool:
    """Whether there is a predict_quantiles: AttributeError if not."""
    if getattr(estimator.loss, "name", estimator.loss) != "quantile":
        raise AttributeError("predict_quantiles needs a quantile loss: `loss=cbp.Quantile(...)`.")
    return True


def _levels(loss: Any) -> NDArray[np.float64]:
    """Return the levels of a quantile loss."""
    return np.atleast_1d(loss.levels)


def _columns(out: NDArray[Any]) -> NDArray[Any]:
    """Return predictions as the caller wrote the targets: one column as a row of numbers."""
    return out.ravel() if out.shape[1] == 1 else np.ascontiguousarray(out)


def _is_plain(y: Any) -> bool:
    """Whether y is a row of integers: labels beyond doubt, without scikit-learn's long look."""
    return isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "biu"


class MLPClassifier(ClassifierMixin, Estimator):
    """A classifier: scikit-learn's MLPClassifier on the compiled core.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str, cbp.Activation or list of them, default="relu"
        Of the hidden layers: "identity", "logistic", "tanh", "relu", any other of `cbp.Network`'s,
        or functions of your own; a list has one for each hidden layer.
    solver : {"lbfgs", "sgd", "adam"}, default="adam"
        How the weights are found: L-BFGS (SciPy's, on all rows), gradient descent with momentum,
        or Adam.
    alpha : float, default=0.0001
        The penalty: ½ alpha Σ W² over the weight of the rows is added to the loss of a batch.
    batch_size : int or "auto", default="auto"
        Rows of a minibatch; "auto": 200, or all if there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        With `solver="sgd"`: stay at `learning_rate_init`; after t rows go to
        ``learning_rate_init / (t + 1) ** power_t``; or divide by 5 where training would stop, and
        stop below 10⁻⁶.
    learning_rate_init : float, default=0.001
        The first step size of "sgd" and "adam".
    power_t : float, default=0.5
        The exponent of "invscaling".
    max_iter : int, default=200
        The most epochs, or iterations of L-BFGS.
    shuffle : bool, default=True
        Whether each epoch takes the rows in a new order.
    random_state : int, RandomState or None, default=None
        Governs initial weights, validation split and orders, by the draws that scikit-learn makes.
    tol : float, default=1e-4
        An epoch that does not improve the training loss (with `early_stopping` the validation
        score) by this much is counted; for L-BFGS the bound of the gradient.
    verbose : bool, default=False
        Whether to print the loss of every epoch.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the fit before.
    momentum : float, default=0.9
        Of `solver="sgd"`, in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether that is Nesterov's.
    early_stopping : bool, default=False
        Whether to hold out rows, to stop by their score, and to return to the weights of the best
        one.
    validation_fraction : float, default=0.1
        The part of the rows that is held out.
    beta_1, beta_2 : float, default=0.9, 0.999
        How slowly Adam's means forget.
    epsilon : float, default=1e-8
        Adam's ε, added before the bias correction.
    n_iter_no_change : int, default=10
        Training stops when more epochs than this are counted in a row.
    max_fun : int, default=15000
        The most calls of the loss by L-BFGS.
    loss : str or loss object, default="log_loss"
        The cross-entropy of the classes, or a cbp loss such as ``cbp.Focal()`` or
        ``cbp.CategoricalCrossEntropy(label_smoothing=0.1)``.
    output_activation : str, optional
        "softmax" or "logistic": by default logistic for two classes and for multi-label targets,
        softmax for more classes. Logistic outputs of more classes are one against the rest.
    optimizer : str or optimizer object, optional
        A cbp optimizer such as ``cbp.AdamW(0.01)``, in the place of `solver` and its numbers.
    schedule : schedule object or callable, optional
        A cbp schedule, or a function of the step, in the place of `learning_rate`.
        `cbp.ReduceOnPlateau` monitors "val_loss", "val_score" or "loss", the first there is.
    dropout : float, default=0.0
        Of the hidden layers' outputs, in training.
    clip_norm : float, optional
        The largest norm of a step's gradient.
    class_weight : dict, list of dict, "balanced" or None, default=None
        How much the rows of each class count, beside `sample_weight`.
    standardize : bool, default=False
        Whether the network scales its inputs by what the first fit finds.
    dtype : {"float32", "float64"}, optional
        Of the weights and all arithmetic; X's by default.
    n_threads : int or "auto", optional
        By default as many as the work pays for, and one in joblib's workers.
    restore_best : bool, optional
        Whether the weights of the best validation score come back; by default with
        `early_stopping`.
    max_seconds : float, optional
        Training ends with the first epoch that ends behind this time.
    callbacks : cbp.Callback or function (epoch, logs), or a list of them
        Called as `cbp.Trainer` calls them. As its `trainer` a Callback finds `estimator`, `net`,
        `history`, `loss`, `l2`, `learning_rate` and `stop()`.
    progress : bool or "auto", default=False
        Whether to show a progress line on stderr.

    Attributes
    ----------
    classes_ : ndarray or list
        The labels, sorted.
    loss_ : float
        The loss of the last epoch, penalty included.
    loss_curve_ : list of float
        The loss of every epoch; absent after L-BFGS.
    best_loss_ : float or None
        The least of them; None with `early_stopping`.
    validation_scores_ : list of float or None
        The score of the held-out rows after every epoch.
    best_validation_score_ : float or None
        The largest of them.
    validation_loss_curve_ : list of float
        The loss of `X_val` after every epoch, without the penalty.
    t_ : int
        Rows seen, over all epochs.
    coefs_ : list of ndarray, each (n_inputs, n_outputs) of its layer
        The weights: views of the parameters of `network_`.
    intercepts_ : list of ndarray, each (n_outputs,) of its layer
        The biases, likewise.
    network_ : Network
        The network itself, with everything that `cbp.Network` can do.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had names for its columns.
    n_iter_ : int
        Epochs (iterations) of the last call.
    n_layers_ : int
        Layers, the inputs counted.
    n_outputs_ : int
    out_activation_ : str

    See Also
    --------
    MLPRegressor

    Notes
    -----
    One label a row gives a softmax output, or a logistic one where there are two classes; rows of
    0 and 1 (multi-label) a logistic one. Arithmetic is in the dtype of X, float32 or float64;
    L-BFGS in float64. docs/sklearn.md says where this is not what scikit-learn does.

    Examples
    --------
    >>> from cbp.sklearn import MLPClassifier
    >>> X, y = [[0.0, 0.0], [1.0, 1.0]], ["no", "yes"]
    >>> model = MLPClassifier((5,), solver="lbfgs", random_state=1).fit(X, y)
    >>> model.predict([[2.0, 2.0], [-1.0, -2.0]])
    array(['yes', 'no'], dtype='<U3')
    """

    _parameter_constraints = {
        **Estimator._parameter_constraints,
        "loss": [StrOptions({"log_loss", *LOSSES}), Loss],
        "output_activation": [StrOptions({"logistic", "sigmoid", "softmax"}), None],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        loss="log_loss",
        output_activation=None,
        optimizer=None,
        schedule=None,
        dropout=0.0,
        clip_norm=None,
        class_weight=None,
        standardize=False,
        dtype=None,
        n_threads=None,
        restore_best=None,
        max_seconds=None,
        callbacks=(),
        progress=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.loss = loss
        self.output_activation = output_activation
        self.optimizer = optimizer
        self.schedule = schedule
        self.dropout = dropout
        self.clip_norm = clip_norm
        self.class_weight = class_weight
        self.standardize = standardize
        self.dtype = dtype
        self.n_threads = n_threads
        self.restore_best = restore_best
        self.max_seconds = max_seconds
        self.callbacks = callbacks
        self.progress = progress

    # ---- targets --------------------------------------------------------------------------------

    def _encode(self, y: Any, incremental: bool) -> Any:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._learn_classes(y, y)
        else:
            classes = np.unique(y) if _is_plain(y) else unique_labels(y)
            if self.warm_start:
                if set(classes) != set(self.classes_):
                    raise ValueError(
                        "warm_start can only be used where `y` has the same classes as in the "
                        f"previous call to fit. Previously got {self.classes_}, `y` has {classes}"
                    )
            elif not np.isin(classes, self.classes_).all():
                raise ValueError(
                    "`y` has classes not in `self.classes_`. "
                    f"`self.classes_` has {self.classes_}. 'y' has {classes}."
                )
        if self._kind == "multilabel":
            return self._binarizer.transform(y).astype(np.float64)
        labels = np.searchsorted(self.classes_, y).astype(np.int64)
        if self._kind == "multiclass":
            return labels
        if self._kind == "binary":
            return labels[:, np.newaxis].astype(np.float64)
        return (labels[:, np.newaxis] == np.arange(len(self.classes_))).astype(np.float64)

    def _learn_classes(self, classes: Any, y: Any) -> None:
        """Take the labels from `classes`, and the kind of the problem from y."""
        kind = None
        if y is not classes or not _is_plain(y):
            check_classification_targets(y)
            kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise ValueError(
                "Multioutput target data is not supported: `y` must hold one label a row."
            )
        out = self.output_activation
        out = {"sigmoid": "logistic"}.get(out, out)
        if kind == "multilabel-indicator":
            if out == "softmax":
                raise ValueError("`output_activation` must be 'logistic' for multi-label targets.")
            self._kind = "multilabel"
            self._binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._binarizer.classes_
            return
        self.classes_ = unique_labels(classes) if kind else np.unique(y)
        several = len(self.classes_) > 2
        softmax = several if out is None else out == "softmax" and len(self.classes_) > 1
        self._kind = "multiclass" if softmax else "one against the rest" if several else "binary"

    def _head(self, Y: Any) -> tuple[int, str, Loss]:
        softmax = self._kind == "multiclass"
        loss = self._loss_for(*(
            ("softmax", "categorical_cross_entropy") if softmax
            else ("logistic", "binary_cross_entropy")
        ))  # fmt: skip
        n_outputs = len(self.classes_) if softmax else Y.shape[1]
        return n_outputs, "softmax" if softmax else "logistic", loss

    def _by_rows(self, dtype: Any) -> dict[str, float]:
        # scikit-learn tells probabilities as at least the dtype's epsilon.
        capped = self.loss == "log_loss" and self._kind in ("binary", "multiclass")
        most = -np.log(np.finfo(dtype).eps) if capped else np.inf
        return {"most_loss": float(most), "loss_factor": 1.0}

    def _weighted(self, y: Any, sample_weight: Any, incremental: bool) -> Any:
        if self.class_weight is None:
            return sample_weight
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(
                "`class_weight='balanced'` needs all rows at once: give partial_fit a dictionary."
            )
        weight = compute_sample_weight(self.class_weight, y)
        return weight if sample_weight is None else weight * sample_weight

    # ---- validation -----------------------------------------------------------------------------

    def _is_plain_target(self, y: Any, n: int) -> bool:
        return _is_plain(y) and len(y) == n

    def _strata(self, Y: Any) -> Any:
        return Y.astype(bool) if self._kind == "binary" else None

    def _score_of(self, out: Any, truth: Any, weight: Any) -> float:
        if self._kind == "multiclass":
            right = out.argmax(axis=1) == truth
        elif self._kind == "one against the rest":
            right = out.argmax(axis=1) == truth.argmax(axis=1)
        else:
            right = ((out > 0.5) == (truth > 0.5)).all(axis=1)
        return float(np.average(right, weights=weight))

    # ---- what is called -------------------------------------------------------------------------

    @validated
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit the weights to rows and labels, and return the estimator.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)
            Copied only if it is not a C-ordered array of float32 or float64. Sparse rows are made
            dense a few at a time.
        y : array-like, (n_samples,) or (n_samples, n_labels)
            A label for each row, or rows of 0 and 1.
        sample_weight : array-like, (n_samples,), optional
            How much each row counts, at least 0.
        X_val, y_val, sample_weight_val : optional
            Rows that are not trained on. Their score and loss are taken after every epoch, and
            `early_stopping` goes by them in the place of rows held out.

        Returns
        -------
        MLPClassifier

        Raises
        ------
        ValueError
            A parameter or the data are not what they must be.
        DivergenceError
            The loss or a weight became infinite or NaN (a ValueError as well).
        """
        if (X_val is None) != (y_val is None):
            raise ValueError("`X_val` and `y_val` must be given together.")
        held = None if X_val is None else (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, False, held)

    @available_if(_is_stochastic)
    @validated
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch more, and return the estimator.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array-like, optional
            All labels that will ever come; needed in the first call.

        Returns
        -------
        MLPClassifier
        """
        if classes is None:
            if getattr(self, "classes_", None) is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
        elif getattr(self, "classes_", None) is None or not hasattr(self, "_kind"):
            self._learn_classes(
                classes, y if type_of_target(y).startswith("multilabel") else classes
            )
        elif not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                f"{self.classes_!r}"
            )
        return self._fit(X, y, sample_weight, True)

    def predict(self, X):
        """Return the label of each row, or rows of 0 and 1.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)

        Returns
        -------
        ndarray, (n_samples,) or (n_samples, n_labels)

        Notes
        -----
        A C-ordered array of the fitted dtype, in a model that was fitted without column names, is
        only checked for its width and for finite values: a row takes some microseconds.
        """
        out = self._forward(X)
        if self._kind in ("multiclass", "one against the rest"):
            return self.classes_.take(out.argmax(axis=1))
        if self._kind == "multilabel":
            return self._binarizer.inverse_transform(out)
        if len(self.classes_) == 1:
            return self.classes_.repeat(len(out))
        return self.classes_.take(out.ravel() > 0.5)

    def predict_proba(self, X) -> NDArray[Any]:
        """Return the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)

        Returns
        -------
        ndarray, (n_samples, n_classes)
        """
        out = self._forward(X)
        if self._kind == "binary":
            return np.concatenate((1 - out, out), axis=1)
        if self._kind == "one against the rest":
            total = out.sum(axis=1, keepdims=True)
            return np.divide(out, total, out=np.full_like(out, 1 / out.shape[1]), where=total > 0)
        return out

    def predict_log_proba(self, X) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)

        Returns
        -------
        ndarray, (n_samples, n_classes)
        """
        probability = self.predict_proba(X)
        return np.log(probability, out=probability)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, Estimator):
    """A regressor: scikit-learn's MLPRegressor on the compiled core.

    Parameters
    ----------
    loss : str or loss object, default="squared_error"
        "squared_error", ½ (y - t)² averaged over the outputs; "poisson", for counts: the output is
        then the logarithm of what is predicted; or any other loss of cbp, by name or as an object:
        ``cbp.Quantile([0.1, 0.5, 0.9])``, whose levels `predict_quantiles` returns;
        "gaussian_nll", whose standard deviations ``predict(X, return_std=True)`` returns;
        ``cbp.Huber(0.5)``; with `mask_nan=True` targets that are NaN count for nothing.
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str, cbp.Activation or list of them, default="relu"
        Of the hidden layers: "identity", "logistic", "tanh", "relu", any other of `cbp.Network`'s,
        or functions of your own; a list has one for each hidden layer.
    solver : {"lbfgs", "sgd", "adam"}, default="adam"
        How the weights are found: L-BFGS (SciPy's, on all rows), gradient descent with momentum,
        or Adam.
    alpha : float, default=0.0001
        The penalty: ½ alpha Σ W² over the weight of the rows is added to the loss of a batch.
    batch_size : int or "auto", default="auto"
        Rows of a minibatch; "auto": 200, or all if there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        With `solver="sgd"`: stay at `learning_rate_init`; after t rows go to
        ``learning_rate_init / (t + 1) ** power_t``; or divide by 5 where training would stop, and
        stop below 10⁻⁶.
    learning_rate_init : float, default=0.001
        The first step size of "sgd" and "adam".
    power_t : float, default=0.5
        The exponent of "invscaling".
    max_iter : int, default=200
        The most epochs, or iterations of L-BFGS.
    shuffle : bool, default=True
        Whether each epoch takes the rows in a new order.
    random_state : int, RandomState or None, default=None
        Governs initial weights, validation split and orders, by the draws that scikit-learn makes.
    tol : float, default=1e-4
        An epoch that does not improve the training loss (with `early_stopping` the validation
        score) by this much is counted; for L-BFGS the bound of the gradient.
    verbose : bool, default=False
        Whether to print the loss of every epoch.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the fit before.
    momentum : float, default=0.9
        Of `solver="sgd"`, in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether that is Nesterov's.
    early_stopping : bool, default=False
        Whether to hold out rows, to stop by their score, and to return to the weights of the best
        one.
    validation_fraction : float, default=0.1
        The part of the rows that is held out.
    beta_1, beta_2 : float, default=0.9, 0.999
        How slowly Adam's means forget.
    epsilon : float, default=1e-8
        Adam's ε, added before the bias correction.
    n_iter_no_change : int, default=10
        Training stops when more epochs than this are counted in a row.
    max_fun : int, default=15000
        The most calls of the loss by L-BFGS.
    output_activation : str, optional
        Any of the network's but softmax; the identity by default.
    optimizer : str or optimizer object, optional
        A cbp optimizer such as ``cbp.AdamW(0.01)``, in the place of `solver` and its numbers.
    schedule : schedule object or callable, optional
        A cbp schedule, or a function of the step, in the place of `learning_rate`.
        `cbp.ReduceOnPlateau` monitors "val_loss", "val_score" or "loss", the first there is.
    dropout : float, default=0.0
        Of the hidden layers' outputs, in training.
    clip_norm : float, optional
        The largest norm of a step's gradient.
    standardize : bool, default=False
        Whether the network scales its inputs and targets by what the first fit finds.
    dtype : {"float32", "float64"}, optional
        Of the weights and all arithmetic; X's by default.
    n_threads : int or "auto", optional
        By default as many as the work pays for, and one in joblib's workers.
    restore_best : bool, optional
        Whether the weights of the best validation score come back; by default with
        `early_stopping`.
    max_seconds : float, optional
        Training ends with the first epoch that ends behind this time.
    callbacks : cbp.Callback or function (epoch, logs), or a list of them
        Called as `cbp.Trainer` calls them. As its `trainer` a Callback finds `estimator`, `net`,
        `history`, `loss`, `l2`, `learning_rate` and `stop()`.
    progress : bool or "auto", default=False
        Whether to show a progress line on stderr.

    Attributes
    ----------
    loss_ : float
        The loss of the last epoch, penalty included.
    loss_curve_ : list of float
        The loss of every epoch; absent after L-BFGS.
    best_loss_ : float or None
        The least of them; None with `early_stopping`.
    validation_scores_ : list of float or None
        The score of the held-out rows after every epoch.
    best_validation_score_ : float or None
        The largest of them.
    validation_loss_curve_ : list of float
        The loss of `X_val` after every epoch, without the penalty.
    t_ : int
        Rows seen, over all epochs.
    coefs_ : list of ndarray, each (n_inputs, n_outputs) of its layer
        The weights: views of the parameters of `network_`.
    intercepts_ : list of ndarray, each (n_outputs,) of its layer
        The biases, likewise.
    network_ : Network
        The network itself, with everything that `cbp.Network` can do.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had names for its columns.
    n_iter_ : int
        Epochs (iterations) of the last call.
    n_layers_ : int
        Layers, the inputs counted.
    n_outputs_ : int
    out_activation_ : str

    See Also
    --------
    MLPClassifier

    Notes
    -----
    Arithmetic is in the dtype of X, float32 or float64; L-BFGS in float64. docs/sklearn.md says
    where this is not what scikit-learn does.

    Examples
    --------
    >>> import numpy as np
    >>> from cbp.sklearn import MLPRegressor
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", random_state=1)
    >>> bool(model.fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.99)
    True
    """

    _parameter_constraints = {
        **Estimator._parameter_constraints,
        "loss": [StrOptions(set(LOSSES)), Loss],
        "output_activation": [StrOptions({"logistic", *HIDDEN}), None],
    }
    _validation = {"y_numeric": True}

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        output_activation=None,
        optimizer=None,
        schedule=None,
        dropout=0.0,
        clip_norm=None,
        standardize=False,
        dtype=None,
        n_threads=None,
        restore_best=None,
        max_seconds=None,
        callbacks=(),
        progress=False,
    ):
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.output_activation = output_activation
        self.optimizer = optimizer
        self.schedule = schedule
        self.dropout = dropout
        self.clip_norm = clip_norm
        self.standardize = standardize
        self.dtype = dtype
        self.n_threads = n_threads
        self.restore_best = restore_best
        self.max_seconds = max_seconds
        self.callbacks = callbacks
        self.progress = progress

    # ---- targets --------------------------------------------------------------------------------

    def _encode(self, y: Any, incremental: bool) -> Any:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return y.reshape(len(y), -1)

    def _head(self, Y: Any) -> tuple[int, str, Loss]:
        out = self.output_activation or "identity"
        loss = self._loss_for(out, "")
        self._n_targets = Y.shape[1]
        if loss.name == "poisson":  # the network's output is the logarithm of the rate
            out = "exp"
        each = 2 if loss.name == "gaussian_nll" else 1
        if isinstance(loss, Quantile):
            each = len(_levels(loss))
        return self._n_targets * each, out, loss

    def _constants(self, targets: Targets) -> Any:
        if self._loss.name != "poisson":
            return None
        t = np.asarray(targets.values, np.float64)
        return np.nansum(xlogy(t, t) - t, axis=1)  # NaN: masked

    def _point(self, out: NDArray[Any]) -> NDArray[Any]:
        """Return one prediction for each target: the mean, or the quantile nearest the median."""
        if self._loss.name == "quantile":
            levels = _levels(self._loss)
            return out[:, int(np.abs(levels - 0.5).argmin()) :: len(levels)]
        return out[:, : self._n_targets]

    def _by_rows(self, dtype: Any) -> dict[str, float]:
        # scikit-learn's squared error is a mean over the outputs; its gradient is of their sum.
        mean = self.loss == "squared_error"
        return {"most_loss": np.inf, "loss_factor": 1.0 / self.n_outputs_ if mean else 1.0}

    # ---- validation -----------------------------------------------------------------------------

    def _is_plain_target(self, y: Any, n: int) -> bool:
        if type(y) is not np.ndarray or y.dtype.kind != "f" or len(y) != n or y.ndim > 2:
            return False
        return bool(np.isfinite(y).all()) and y.size > 0

    def _score_of(self, out: Any, truth: Any, weight: Any) -> float:
        """R², as scikit-learn's r2_score, which would take ten times as long."""
        out = self._point(out)
        if not np.isfinite(out).all():
            return np.nan
        w = 1.0 if weight is None else weight[:, np.newaxis]
        if self._loss.masks:
            missing = np.isnan(truth)
            w, truth = w * ~missing, np.where(missing, 0.0, truth)
            mean = np.average(truth, axis=0, weights=w)
        else:
            mean = np.average(truth, axis=0, weights=weight)
        residual = (w * (truth - out) ** 2).sum(axis=0)
        total = (w * (truth - mean) ** 2).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = np.where(total > 0, 1 - residual / total, np.where(residual > 0, 0.0, 1.0))
        return float(score.mean())

    # ---- what is called -------------------------------------------------------------------------

    @validated
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit the weights to rows and targets, and return the estimator.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)
            Copied only if it is not a C-ordered array of float32 or float64. Sparse rows are made
            dense a few at a time.
        y : array-like, (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like, (n_samples,), optional
            How much each row counts, at least 0.
        X_val, y_val, sample_weight_val : optional
            Rows that are not trained on. Their score and loss are taken after every epoch, and
            `early_stopping` goes by them in the place of rows held out.

        Returns
        -------
        MLPRegressor

        Raises
        ------
        ValueError
            A parameter or the data are not what they must be.
        DivergenceError
            The loss or a weight became infinite or NaN (a ValueError as well).
        """
        if (X_val is None) != (y_val is None):
            raise ValueError("`X_val` and `y_val` must be given together.")
        held = None if X_val is None else (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, False, held)

    @available_if(_is_stochastic)
    @validated
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch more, and return the estimator.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        MLPRegressor
        """
        return self._fit(X, y, sample_weight, True)

    def predict(self, X, return_std=False):
        """Return the prediction for each row: where the loss has several outputs for a target, the
        mean, or the quantile nearest the median.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)
        return_std : bool, default=False
            With ``loss="gaussian_nll"``: whether to return standard deviations as well.

        Returns
        -------
        ndarray, (n_samples,) or (n_samples, n_outputs)
        std : ndarray of the same shape, if asked for

        Notes
        -----
        A C-ordered array of the fitted dtype, in a model that was fitted without column names, is
        only checked for its width and for finite values: a row takes some microseconds.
        """
        out = self._forward(X)
        if not return_std:
            return _columns(self._point(out))
        if not isinstance(self._loss, GaussianNLL):
            raise ValueError("`return_std` needs a loss that knows one: `loss='gaussian_nll'`.")
        mean, variance = self._loss.mean_and_variance(out)
        return _columns(mean), _columns(np.sqrt(variance))

    @available_if(_has_quantiles)
    def predict_quantiles(self, X: Any) -> NDArray[Any]:
        """Return every level of the quantile loss for each row.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)

        Returns
        -------
        ndarray, (n_samples, n_levels) or (n_samples, n_targets, n_levels)
            In the order of the loss's `levels`.
        """
        out = self._forward(X)
        if self._n_targets == 1:
            return out
        return out.reshape(len(out), self._n_targets, -1)
