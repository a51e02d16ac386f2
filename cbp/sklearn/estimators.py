"""MLPClassifier and MLPRegressor: what their targets, outputs and scores are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from ..losses import BinaryCrossEntropy, CategoricalCrossEntropy, Loss, SquaredError
from .base import STOCHASTIC, Estimator, Rows, validated

__all__ = ["MLPClassifier", "MLPRegressor"]


def _is_stochastic(estimator: Estimator) -> bool:
    """Whether there is a partial_fit: AttributeError if not."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. "
            f"{estimator.solver} is not stochastic."
        )
    return True


class MLPClassifier(ClassifierMixin, Estimator):
    """A classifier: scikit-learn's MLPClassifier on the compiled core.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str, default="relu"
        Of the hidden layers: "identity", "logistic", "tanh" or "relu".
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

    # ---- targets --------------------------------------------------------------------------------

    def _encode(self, y: Any, incremental: bool, dtype: Any) -> tuple[Any, Any]:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._learn_classes(y, y)
        else:
            classes = unique_labels(y)
            if self.warm_start:
                if set(classes) != set(self.classes_):
                    raise ValueError(
                        "warm_start can only be used where `y` has the same classes as in the "
                        f"previous call to fit. Previously got {self.classes_}, `y` has {classes}"
                    )
            elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
                raise ValueError(
                    "`y` has classes not in `self.classes_`. "
                    f"`self.classes_` has {self.classes_}. 'y' has {classes}."
                )
        if self._kind == "multilabel":
            return self._binarizer.transform(y).astype(dtype, order="C"), None
        labels = np.searchsorted(self.classes_, y)
        if self._kind == "multiclass":
            return None, labels.astype(np.int64)
        return labels.astype(dtype)[:, np.newaxis], None

    def _learn_classes(self, classes: Any, y: Any) -> None:
        """Take the labels from `classes`, and the kind of the problem from y."""
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise ValueError(
                "Multioutput target data is not supported: `y` must hold one label a row."
            )
        if kind == "multilabel-indicator":
            self._kind = "multilabel"
            self._binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._binarizer.classes_
        else:
            self.classes_ = unique_labels(classes)
            self._kind = "multiclass" if len(self.classes_) > 2 else "binary"

    def _outputs(self) -> tuple[int, str]:
        if self._kind == "binary":
            return 1, "logistic"
        return len(self.classes_), "softmax" if self._kind == "multiclass" else "logistic"

    def _loss(self) -> Loss:
        multiclass = self._kind == "multiclass"
        return CategoricalCrossEntropy() if multiclass else BinaryCrossEntropy()

    def _by_rows(self, dtype: Any) -> dict[str, float]:
        # Probabilities are told as at least the dtype's epsilon.
        most = np.inf if self._kind == "multilabel" else -np.log(np.finfo(dtype).eps)
        return {"most_loss": float(most), "loss_factor": 1.0}

    # ---- validation -----------------------------------------------------------------------------

    def _strata(self, rows: Rows) -> Any:
        return rows.target.astype(bool) if self._kind == "binary" else None

    def _truth(self, rows: Rows, y: Any) -> Any:
        return rows.labels if self._kind == "multiclass" else rows.target > 0.5

    def _score_of(self, out: Any, truth: Any, weight: Any) -> float:
        if self._kind == "multiclass":
            right = out.argmax(axis=1) == truth
        else:
            right = ((out > 0.5) == truth).all(axis=1)
        return float(np.average(right, weights=weight))

    # ---- what is called -------------------------------------------------------------------------

    @validated
    def fit(self, X, y, sample_weight=None):
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
        return self._fit(X, y, sample_weight, False)

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
        if self._kind == "multiclass":
            return self.classes_.take(out.argmax(axis=1))
        if self._kind == "multilabel":
            return self._binarizer.inverse_transform(out)
        return self.classes_.take((out[:, 0] > 0.5) & (len(self.classes_) > 1))

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
        return np.hstack([1 - out, out]) if self._kind == "binary" else out

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
    loss : {"squared_error"}, default="squared_error"
        ½ (y - t)², averaged over the outputs.
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str, default="relu"
        Of the hidden layers: "identity", "logistic", "tanh" or "relu".
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

    _parameter_constraints: dict[str, list[Any]] = {
        **Estimator._parameter_constraints,
        "loss": [StrOptions({"squared_error"})],
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

    # ---- targets --------------------------------------------------------------------------------

    def _encode(self, y: Any, incremental: bool, dtype: Any) -> tuple[Any, Any]:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._n_targets = 1 if y.ndim == 1 else y.shape[1]
        return np.require(y.reshape(len(y), -1), dtype, ("C", "A")), None

    def _outputs(self) -> tuple[int, str]:
        return self._n_targets, "identity"

    def _loss(self) -> Loss:
        return SquaredError()

    def _by_rows(self, dtype: Any) -> dict[str, float]:
        return {"most_loss": np.inf, "loss_factor": 1.0 / self.n_outputs_}

    # ---- validation -----------------------------------------------------------------------------

    def _truth(self, rows: Rows, y: Any) -> Any:
        return y.reshape(len(y), -1)

    def _score_of(self, out: Any, truth: Any, weight: Any) -> float:
        if not np.isfinite(out).all():
            return np.nan
        return float(r2_score(truth, out, sample_weight=weight))

    # ---- what is called -------------------------------------------------------------------------

    @validated
    def fit(self, X, y, sample_weight=None):
        """Fit the weights to rows and targets, and return the estimator.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)
            Copied only if it is not a C-ordered array of float32 or float64. Sparse rows are made
            dense a few at a time.
        y : array-like, (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like, (n_samples,), optional
            How much each row counts, at least 0.

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
        return self._fit(X, y, sample_weight, False)

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

    def predict(self, X) -> NDArray[Any]:
        """Return the outputs for each row.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)

        Returns
        -------
        ndarray, (n_samples,) or (n_samples, n_outputs)

        Notes
        -----
        A C-ordered array of the fitted dtype, in a model that was fitted without column names, is
        only checked for its width and for finite values: a row takes some microseconds.
        """
        out = self._forward(X)
        return out.ravel() if out.shape[1] == 1 else out
