"""Losses: value objects, the targets each of them takes, and the outputs each goes with.

What lives here: which targets and outputs each takes, and how the core is told of it. The losses
and their derivatives are compiled, a user's own excepted. Every loss is summed over the outputs of
a row and then averaged (or summed) over the rows. Formulas: docs/training.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _targets, schedules
from ._backprop import LOSSES as CODES
from ._backprop import Objective
from ._targets import Targets, one_hot
from .activations import OUTPUT_ONLY, returned

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "BinaryCrossEntropy",
    "CategoricalCrossEntropy",
    "CustomLoss",
    "Focal",
    "GaussianNLL",
    "Huber",
    "Poisson",
    "Quantile",
    "SquaredError",
    "one_hot",
]


@dataclass(frozen=True, eq=False, repr=False)
class Loss:
    """What the losses share.

    Comparing and telling what they are is written once: generated for each class, it would take
    3 of the milliseconds of `import cbp`.
    """

    reduction: str = "mean"

    name: ClassVar[str]
    words: ClassVar[str]
    # The output activations that the loss goes with; none: all but softmax and log_softmax.
    outputs: ClassVar[tuple[str, ...]] = ()
    why: ClassVar[str] = ""

    def __post_init__(self) -> None:
        _check.choice(self.reduction, "reduction", ("mean", "sum"))
        _check.flag(self.masks, "mask_nan")

    def _fields(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self._fields().items())
        return f"{type(self).__name__}({values})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Loss) or type(other) is not type(self):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((type(self), *self._fields().values()))

    @property
    def masks(self) -> bool:
        """Whether a NaN target is missing."""
        return getattr(self, "mask_nan", False)

    def form(self, activation: str) -> tuple[str, dict[str, Any]]:
        """Return the name and the options under which `cbp.reference` knows the loss."""
        return self.name, {"mask_nan": True} if self.masks else {}

    def objective(self, activation: str) -> Objective:
        """Return the compiled form of the loss for this output activation."""
        return Objective(CODES[self.name], mask_nan=self.masks)

    def n_targets(self, n_outputs: int) -> int:
        """Return how many columns the targets of a network with so many outputs have."""
        return n_outputs

    def point(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return what metrics compare with the targets, (n_samples, n_targets), of outputs."""
        return outputs

    def check_activation(self, activation: str) -> None:
        """Raise ValueError if the loss does not go with this output activation."""
        if not self.outputs and activation in OUTPUT_ONLY:
            raise ValueError(
                f"`loss` {self.name} does not go with a {activation} output: "
                "use categorical_cross_entropy."
            )
        if self.outputs and activation not in self.outputs:
            first = self.outputs[0]
            raise ValueError(
                f"`loss` {self.name} needs {_a(first)} output{self.why}, "
                f"got {activation}: set `output_activation={first!r}` or use squared_error."
            )

    def targets(
        self, Y: Any, n_rows: int, n_outputs: int, dtype: np.dtype[Any], activation: str
    ) -> Targets:
        """Return Y, checked, in the form the core takes."""
        columns = self.n_targets(n_outputs)
        source = _check.numeric(Y, "Y")
        if source.ndim == 1 and columns == 1:
            source = source[:, np.newaxis]
        if source.ndim == 1 and source.dtype.kind in "iu":
            raise ValueError(
                f"`Y` must have shape (n_samples, {columns}) for {self.words}, got integer "
                f"labels of shape {source.shape}: pass `cbp.one_hot(Y, {columns})`."
            )
        thing = "target" if columns != n_outputs else "output"
        _targets.check_shape(source, n_rows, columns, thing)
        return Targets(self._converted(source, dtype), None)

    def _converted(self, source: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the targets in the network's type: finite, but for NaN where it is masked."""
        if not self.masks or not np.isnan(source).any():
            try:
                return _check.converted(source, "Y", dtype)
            except ValueError as error:
                if hasattr(self, "mask_nan") and np.isnan(source).any():
                    raise ValueError(
                        f"{str(error)[:-1]}, or give the loss mask_nan=True."
                    ) from None
                raise
        missing = np.isnan(source)
        values = _check.converted(np.where(missing, 0, source), "Y", dtype)
        values[missing] = np.nan
        return values


@dataclass(frozen=True, eq=False, repr=False)
class SquaredError(Loss):
    """½ ‖y - t‖² of every row; for every output activation but softmax and log_softmax.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum (Rumelhart et al.).
    mask_nan : bool
        Whether a NaN target is missing: it adds neither loss nor gradient. The row keeps its
        weight: a mean still divides by the weights of all rows.

    Notes
    -----
    Targets: (n_samples, n_outputs), or (n_samples,) for one output; any finite numbers. Other
    libraries' mean squared error averages over the outputs and has no ½: it is this loss times
    2 / n_outputs.

    References
    ----------
    Rumelhart, Hinton & Williams, Nature 323 (1986), eq. 3.
    """

    mask_nan: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "squared_error"
    words: ClassVar[str] = "squared error"


@dataclass(frozen=True, eq=False, repr=False)
class AbsoluteError(Loss):
    """Σ |y - t| of every row; for every output activation but softmax and log_softmax.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum.
    mask_nan : bool
        Whether a NaN target is missing: it adds neither loss nor gradient. The row keeps its
        weight: a mean still divides by the weights of all rows.

    Notes
    -----
    Targets as for squared error. The derivative is 0 where y = t. Other libraries' mean absolute
    error averages over the outputs: it is this loss / n_outputs.
    """

    mask_nan: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "absolute_error"
    words: ClassVar[str] = "absolute error"


@dataclass(frozen=True, eq=False, repr=False)
class Huber(Loss):
    """Σ of ½ e² for |e| ≤ delta, else delta (|e| - ½ delta), e = y - t; outputs as squared error.

    Parameters
    ----------
    delta : float
        Where the square ends, above 0, in the units of the targets (standardised ones where the
        network standardises).
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum.
    mask_nan : bool
        Whether a NaN target is missing: it adds neither loss nor gradient. The row keeps its
        weight: a mean still divides by the weights of all rows.

    Notes
    -----
    Targets as for squared error. Averaged over the outputs, this loss / n_outputs is PyTorch's
    HuberLoss and Keras's Huber.

    References
    ----------
    Huber, Annals of Mathematical Statistics 35 (1964) 73-101.
    """

    delta: float = 1.0
    reduction: str = field(default="mean", kw_only=True)
    mask_nan: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "huber"
    words: ClassVar[str] = "the Huber loss"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "delta", _check.number(self.delta, "delta", above=0.0))

    def form(self, activation: str) -> tuple[str, dict[str, Any]]:
        """Return the name and the options under which `cbp.reference` knows the loss."""
        return self.name, {"delta": self.delta, **super().form(activation)[1]}

    def objective(self, activation: str) -> Objective:
        """Return the compiled form of the loss for this output activation."""
        return Objective(CODES[self.name], parameter=self.delta, mask_nan=self.masks)


@dataclass(frozen=True, eq=False, repr=False)
class Quantile(Loss):
    """Σ of (1 - q) e for e > 0, else -q e, e = y - t: y becomes the quantile q of t.

    Parameters
    ----------
    levels : float or sequence of float
        One level q or several, each above 0 and below 1.
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum.
    mask_nan : bool
        Whether a NaN target is missing: it adds neither loss nor gradient. The row keeps its
        weight: a mean still divides by the weights of all rows.

    Notes
    -----
    For every output activation but softmax and log_softmax. A network has as many outputs as
    targets times levels; output ``j * len(levels) + k`` is level k of target j. Targets:
    (n_samples, n_targets), or (n_samples,) for one target. The level 0.5 is half the absolute
    error. Outputs of several levels may cross. Averaged over outputs, loss / n_outputs is
    scikit-learn's mean_pinball_loss.

    References
    ----------
    Koenker & Bassett, Regression quantiles, Econometrica 46 (1978) 33-50.

    Examples
    --------
    >>> import cbp
    >>> cbp.Quantile([0.1, 0.5, 0.9]).n_targets(6)
    2
    """

    levels: float | tuple[float, ...] = 0.5
    reduction: str = field(default="mean", kw_only=True)
    mask_nan: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "quantile"
    words: ClassVar[str] = "the quantile loss"

    def __post_init__(self) -> None:
        super().__post_init__()
        levels: Any = self.levels
        several = isinstance(levels, (list, tuple, np.ndarray))
        numbers = []
        for level in levels if several else (levels,):
            numbers.append(_check.number(level, "levels", above=0.0))
            if not numbers[-1] < 1.0:
                raise ValueError(f"`levels` must lie between 0 and 1, got {_check.shown(level)}.")
        if not numbers:
            raise ValueError("`levels` must hold at least one level, got none.")
        object.__setattr__(self, "levels", tuple(numbers) if several else numbers[0])

    @property
    def _levels(self) -> tuple[float, ...]:
        return self.levels if isinstance(self.levels, tuple) else (self.levels,)

    def form(self, activation: str) -> tuple[str, dict[str, Any]]:
        """Return the name and the options under which `cbp.reference` knows the loss."""
        return self.name, {"levels": self._levels, **super().form(activation)[1]}

    def objective(self, activation: str) -> Objective:
        """Return the compiled form of the loss for this output activation."""
        table = np.array(self._levels, dtype=np.float64)
        return Objective(CODES[self.name], table=table, mask_nan=self.masks)

    def n_targets(self, n_outputs: int) -> int:
        """Return how many columns the targets of a network with so many outputs have."""
        count = len(self._levels)
        if n_outputs % count:
            raise ValueError(
                f"`loss` quantile with {count} levels needs {count} outputs for each target, got "
                f"{_check.count(n_outputs, 'output')}: make the last layer a multiple of {count}."
            )
        return n_outputs // count

    def point(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return what metrics compare with the targets: the level nearest 0.5."""
        nearest = np.abs(np.array(self._levels) - 0.5).argmin()
        return outputs[:, nearest :: len(self._levels)]


@dataclass(frozen=True, eq=False, repr=False)
class Poisson(Loss):
    """Σ (exp(y) - t y) of every row: minus the log-likelihood of counts t, but for log t!.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum.
    mask_nan : bool
        Whether a NaN target is missing: it adds neither loss nor gradient. The row keeps its
        weight: a mean still divides by the weights of all rows.

    Notes
    -----
    For an identity output, which is the logarithm of the rate: ``np.exp(net.predict(X))`` is the
    rate. Targets: (n_samples, n_outputs), or (n_samples,) for one output; at least 0. Averaged over
    the outputs, loss / n_outputs is PyTorch's PoissonNLLLoss. exp(y) overflows in float32 above
    88.7, which ends a training run as divergence.
    """

    mask_nan: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "poisson"
    words: ClassVar[str] = "the Poisson loss"
    outputs: ClassVar[tuple[str, ...]] = ("identity",)
    why: ClassVar[str] = ", which is the logarithm of a rate"

    def targets(
        self, Y: Any, n_rows: int, n_outputs: int, dtype: np.dtype[Any], activation: str
    ) -> Targets:
        """Return Y, checked, in the form the core takes."""
        targets = super().targets(Y, n_rows, n_outputs, dtype, activation)
        assert targets.values is not None
        if (targets.values < 0).any():
            row, column = map(int, np.argwhere(targets.values < 0)[0])
            raise ValueError(
                f"`Y` must not be negative for {self.words}, got {targets.values[row, column]} in "
                f"row {row}, column {column}: counts and rates are at least 0."
            )
        return targets

    def point(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return what metrics compare with the targets: the rate."""
        return schedules.power(math.e, outputs)


@dataclass(frozen=True, eq=False, repr=False)
class GaussianNLL(Loss):
    """Σ ½ (log v + (m - t)² / v): minus the log-likelihood of a normal law, but for ½ log 2π.

    Parameters
    ----------
    floor : float
        Least variance, above 0.
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum.
    mask_nan : bool
        Whether a NaN target is missing: it adds neither loss nor gradient. The row keeps its
        weight: a mean still divides by the weights of all rows.

    Notes
    -----
    For an identity output with two outputs for each target: the means m of all targets, then a
    number r for each, whose variance is v = floor + log(1 + exp(r)). `mean_and_variance` takes
    outputs apart. Targets: (n_samples, n_outputs / 2), or (n_samples,) for one. Averaged over the
    targets, loss / n_targets is PyTorch's GaussianNLLLoss of that variance.

    References
    ----------
    Nix & Weigend, Estimating the mean and variance of the target probability distribution,
    ICNN 1994.

    Examples
    --------
    >>> import cbp
    >>> m, v = cbp.GaussianNLL().mean_and_variance([[1.5, 0.0]])
    >>> print(m, v.round(6))
    [[1.5]] [[0.693148]]
    """

    floor: float = 1e-6
    reduction: str = field(default="mean", kw_only=True)
    mask_nan: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "gaussian_nll"
    words: ClassVar[str] = "the Gaussian likelihood"
    outputs: ClassVar[tuple[str, ...]] = ("identity",)
    why: ClassVar[str] = " of means and raw variances"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.number(self.floor, "floor", least=1e-30)

    def form(self, activation: str) -> tuple[str, dict[str, Any]]:
        """Return the name and the options under which `cbp.reference` knows the loss."""
        return self.name, {"floor": self.floor, **super().form(activation)[1]}

    def objective(self, activation: str) -> Objective:
        """Return the compiled form of the loss for this output activation."""
        return Objective(CODES[self.name], parameter=self.floor, mask_nan=self.masks)

    def n_targets(self, n_outputs: int) -> int:
        """Return how many columns the targets of a network with so many outputs have."""
        if n_outputs % 2:
            raise ValueError(
                "`loss` gaussian_nll needs two outputs for each target, a mean and a raw variance, "
                f"got {_check.count(n_outputs, 'output')}: make the last layer twice as wide as "
                "the targets."
            )
        return n_outputs // 2

    def point(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return what metrics compare with the targets: the means."""
        return outputs[:, : outputs.shape[1] // 2]

    def mean_and_variance(self, outputs: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the means and the variances, each (n_samples, n_targets), of a network's outputs.

        Parameters
        ----------
        outputs : array_like, (n_samples, 2 n_targets)
            What `Network.predict` returns.
        """
        rows = _check.numeric(outputs, "outputs")
        if rows.ndim != 2:
            raise ValueError(f"`outputs` must be 2-d, got shape {rows.shape}.")
        n = self.n_targets(rows.shape[1])
        mean, raw = rows[:, :n], rows[:, n:]
        return np.array(mean), self.floor + np.logaddexp(0.0, raw)


@dataclass(frozen=True, eq=False, repr=False)
class BinaryCrossEntropy(Loss):
    """-Σ (t log y + (1 - t) log(1 - y)) of every row; for a sigmoid output.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum.
    mask_nan : bool
        Whether a NaN target is missing: it adds neither loss nor gradient. The row keeps its
        weight: a mean still divides by the weights of all rows.

    Notes
    -----
    Targets: (n_samples, n_outputs), or (n_samples,) for one output; in [0, 1]. Several outputs are
    several questions, whose answers may all be yes. Computed from the logits, so it stays finite
    where the sigmoid rounds to 0 or 1. Summed over the outputs: loss / n_outputs is PyTorch's
    BCEWithLogitsLoss of the logits.
    """

    mask_nan: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "binary_cross_entropy"
    words: ClassVar[str] = "binary cross-entropy"
    outputs: ClassVar[tuple[str, ...]] = ("sigmoid",)
    why: ClassVar[str] = ", which is a probability"

    def targets(
        self, Y: Any, n_rows: int, n_outputs: int, dtype: np.dtype[Any], activation: str
    ) -> Targets:
        """Return Y, checked, in the form the core takes."""
        targets = super().targets(Y, n_rows, n_outputs, dtype, activation)
        assert targets.values is not None
        _targets.check_range(targets.values, self.words, "write the two classes as 0 and 1")
        return targets


class _Categorical(Loss):
    """What the losses of one class a row share: their targets."""

    def targets(
        self, Y: Any, n_rows: int, n_outputs: int, dtype: np.dtype[Any], activation: str
    ) -> Targets:
        """Return Y, checked, in the form the core takes."""
        source = _check.numeric(Y, "Y")
        if source.ndim == 1:
            _targets.check_row_count(source, n_rows)
            return Targets(None, _targets.as_labels(source, "Y", n_outputs))
        if source.ndim == 2 and source.shape[1] == 1 < n_outputs and source.dtype.kind in "iu":
            raise ValueError(
                f"`Y` must hold labels of shape ({n_rows},) or have "
                f"{_check.count(n_outputs, 'column')}, got {source.shape}: pass `Y.ravel()`."
            )
        _targets.check_shape(source, n_rows, n_outputs)
        values = self._converted(source, dtype)
        _targets.check_range(values, self.words, "pass integer labels or rows of probabilities")
        _targets.check_sums(values, self.words)
        return Targets(values, None)


@dataclass(frozen=True, eq=False, repr=False)
class CategoricalCrossEntropy(_Categorical):
    """-Σ t log y of every row; for a softmax or log_softmax output.

    Parameters
    ----------
    label_smoothing : float
        ε in [0, 1): the targets become (1 - ε) t + ε / n_outputs.
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum.
    mask_nan : bool
        Whether a row of probabilities with a NaN in it is missing: it adds neither loss nor
        gradient, but keeps its weight.

    Notes
    -----
    Targets: integer labels (n_samples,) from 0 to n_outputs - 1, or rows of probabilities
    (n_samples, n_outputs), one-hot for instance, each of which adds up to 1 within 0.001.
    Computed from the logits, so it stays finite where softmax rounds to 0. PyTorch's
    CrossEntropyLoss of the logits is the same, label smoothing included; with class weights
    PyTorch divides by the weights of the rows, as `sample_weight` does here.

    References
    ----------
    Szegedy et al., Rethinking the Inception architecture, CVPR 2016, section 7.
    """

    label_smoothing: float = field(default=0.0, kw_only=True)
    mask_nan: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "categorical_cross_entropy"
    words: ClassVar[str] = "categorical cross-entropy"
    outputs: ClassVar[tuple[str, ...]] = ("softmax", "log_softmax")
    why: ClassVar[str] = ", which is a probability"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _check.number(self.label_smoothing, "label_smoothing", least=0.0) < 1.0:
            raise ValueError(
                f"`label_smoothing` must be below 1, got {_check.shown(self.label_smoothing)}."
            )

    def form(self, activation: str) -> tuple[str, dict[str, Any]]:
        """Return the name and the options under which `cbp.reference` knows the loss."""
        smoothing = {"label_smoothing": self.label_smoothing} if self.label_smoothing else {}
        return self.name, {**smoothing, **super().form(activation)[1]}

    def objective(self, activation: str) -> Objective:
        """Return the compiled form of the loss for this output activation."""
        return Objective(CODES[self.name], parameter=self.label_smoothing, mask_nan=self.masks)


@dataclass(frozen=True, eq=False, repr=False)
class Focal(_Categorical):
    """Cross-entropy times (1 - p)^gamma, p being the probability of what the target says.

    Parameters
    ----------
    gamma : float
        At least 0; 0 is the cross-entropy.
    alpha : float or sequence of float, optional
        Sigmoid output: a number in [0, 1]; class 1 counts alpha, class 0 counts 1 - alpha. Softmax
        output: a number for each class, at least 0, or one for all. 1 by default.
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum.
    mask_nan : bool
        Whether a NaN target is missing: it adds neither loss nor gradient. The row keeps its
        weight: a mean still divides by the weights of all rows.

    Notes
    -----
    Sigmoid output: Σ α t (1 - y)^γ (-log y) + (1 - α) (1 - t) y^γ (-log(1 - y)), targets as for
    binary cross-entropy; with targets 0 and 1 loss / n_outputs is torchvision's
    sigmoid_focal_loss. Softmax or log_softmax output: Σ α t (1 - y)^γ (-log y), targets as for
    categorical cross-entropy: Keras's CategoricalFocalCrossentropy. Computed from the logits. A
    row of probabilities is masked as a whole.

    References
    ----------
    Lin, Goyal, Girshick, He & Dollár, Focal loss for dense object detection, ICCV 2017, eq. 5.
    """

    gamma: float = 2.0
    reduction: str = field(default="mean", kw_only=True)
    alpha: float | tuple[float, ...] | None = None
    mask_nan: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "focal"
    words: ClassVar[str] = "the focal loss"
    outputs: ClassVar[tuple[str, ...]] = ("sigmoid", "softmax", "log_softmax")
    why: ClassVar[str] = " or softmax output, which is a probability"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "gamma", _check.number(self.gamma, "gamma", least=0.0))
        alpha: Any = self.alpha
        if isinstance(alpha, (list, tuple, np.ndarray)):
            alpha = tuple(_check.number(one, "alpha", least=0.0) for one in alpha)
        elif alpha is not None:
            alpha = _check.number(alpha, "alpha", least=0.0)
        if alpha == ():
            raise ValueError("`alpha` must hold a number for each class, got ().")
        object.__setattr__(self, "alpha", alpha)

    def check_activation(self, activation: str) -> None:
        """Raise ValueError if the loss does not go with this output activation."""
        if activation not in self.outputs:
            raise ValueError(
                "`loss` focal needs a sigmoid, softmax or log_softmax output, which is a "
                f"probability, got {activation}: set `output_activation='sigmoid'` or use "
                "squared_error."
            )
        one = isinstance(self.alpha, (int, float)) and self.alpha <= 1.0
        if activation == "sigmoid" and not (self.alpha is None or one):
            raise ValueError(
                "`alpha` must be one number from 0 to 1 for a sigmoid output, "
                f"got {_check.shown(self.alpha)}."
            )

    def form(self, activation: str) -> tuple[str, dict[str, Any]]:
        """Return the name and the options under which `cbp.reference` knows the loss."""
        options: dict[str, Any] = {"gamma": self.gamma, **super().form(activation)[1]}
        if self.alpha is None:
            pass
        elif activation == "sigmoid":
            assert not isinstance(self.alpha, tuple)
            options |= {"positive": self.alpha, "negative": 1.0 - self.alpha}
        else:
            options["class_weight"] = np.array(self.alpha, dtype=np.float64)
        return ("binary_focal" if activation == "sigmoid" else "categorical_focal"), options

    def objective(self, activation: str) -> Objective:
        """Return the compiled form of the loss for this output activation."""
        name, options = self.form(activation)
        weight = options.get("class_weight", np.float64(1.0))
        return Objective(
            CODES[name],
            parameter=self.gamma,
            positive=options.get("positive", 1.0 if weight.ndim else float(weight)),
            negative=options.get("negative", 1.0),
            table=weight if weight.ndim else None,
            mask_nan=self.masks,
        )

    def n_targets(self, n_outputs: int) -> int:
        """Return how many columns the targets of a network with so many outputs have."""
        if isinstance(self.alpha, tuple) and len(self.alpha) != n_outputs:
            raise ValueError(
                f"`alpha` must hold one number for each of the {n_outputs} outputs, "
                f"got {len(self.alpha)}."
            )
        return n_outputs

    def targets(
        self, Y: Any, n_rows: int, n_outputs: int, dtype: np.dtype[Any], activation: str
    ) -> Targets:
        """Return Y, checked, in the form the core takes."""
        if activation != "sigmoid":
            return super().targets(Y, n_rows, n_outputs, dtype, activation)
        targets = Loss.targets(self, Y, n_rows, n_outputs, dtype, activation)
        assert targets.values is not None
        _targets.check_range(targets.values, self.words, "write the two classes as 0 and 1")
        return targets


@dataclass(frozen=True, eq=False, repr=False)
class CustomLoss(Loss):
    """A loss of your own: a pair of Python functions on NumPy arrays.

    Parameters
    ----------
    value : callable
        Takes outputs y (n_samples, n_outputs) and targets t, and returns the loss of every row,
        (n_samples,).
    gradient : callable
        Takes the same and returns the derivative of a row's loss by its outputs,
        (n_samples, n_outputs).
    reduction : {"mean", "sum"}
        Weighted mean over the rows of a batch, or weighted sum.

    Raises
    ------
    TypeError
        `value` or `gradient` is not callable.

    Notes
    -----
    For every output activation: y are the network's outputs, and the derivative is taken back
    through the activation, softmax and log_softmax included. Targets: (n_samples, any number of
    columns) in the network's dtype, or integer labels (n_samples,) as int64 where the network
    has several outputs. Slow beside the compiled losses: one thread, and two calls of Python for
    every block of rows, which is any part of a batch. An exception in a function ends the call; no
    parameter has changed since the last completed update. Cannot be saved in a checkpoint.

    Examples
    --------
    >>> import cbp, numpy as np
    >>> fourth = lambda y, t: ((y - t) ** 4).sum(axis=1)
    >>> loss = cbp.CustomLoss(fourth, lambda y, t: 4 * (y - t) ** 3)
    >>> net = cbp.Network([2, 1], init="zeros")
    >>> net.gradient([[1.0, 2.0]], [[0.5]], loss).loss
    0.0625
    """

    value: Callable[[NDArray[Any], NDArray[Any]], Any]
    gradient: Callable[[NDArray[Any], NDArray[Any]], Any]
    reduction: str = field(default="mean", kw_only=True)

    name: ClassVar[str] = "custom"
    words: ClassVar[str] = "a loss of your own"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("value", "gradient"):
            if not callable(getattr(self, name)):
                raise TypeError(
                    f"`{name}` must be callable, got {_check.shown(getattr(self, name))}."
                )

    def check_activation(self, activation: str) -> None:
        """Take every output activation."""

    def form(self, activation: str) -> tuple[str, dict[str, Any]]:
        """Return the name and the options under which `cbp.reference` knows the loss."""
        return self.name, {"value": self.value, "gradient": self.gradient}

    def objective(self, activation: str) -> Objective:
        """Return the compiled form of the loss for this output activation."""
        return Objective(CODES[self.name], custom=partial(self._evaluate, activation))

    def _evaluate(
        self, activation: str, y: NDArray[Any], t: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the loss of every row, and its derivative as far back as the core goes on."""
        value = returned(self.value(y, t), "`value` of the loss", np.empty(len(y), y.dtype))
        slope = returned(self.gradient(y, t), "`gradient` of the loss", y)
        if activation == "softmax":
            slope = y * (slope - (slope * y).sum(axis=1, keepdims=True))
        elif activation == "log_softmax":
            slope = slope - np.exp(y) * slope.sum(axis=1, keepdims=True)
        return value, np.ascontiguousarray(slope)

    def targets(
        self, Y: Any, n_rows: int, n_outputs: int, dtype: np.dtype[Any], activation: str
    ) -> Targets:
        """Return Y, checked, in the form the core takes."""
        source = _check.numeric(Y, "Y")
        if source.ndim not in (1, 2) or source.shape[1:] == (0,):
            raise ValueError(
                f"`Y` must have shape ({n_rows}, any number) or ({n_rows},), got {source.shape}."
            )
        _targets.check_row_count(source, n_rows)
        if source.ndim == 1 and source.dtype.kind in "iu" and n_outputs > 1:
            return Targets(None, _targets.as_labels(source, "Y", n_outputs))
        return Targets(_check.converted(source.reshape(n_rows, -1), "Y", dtype), None)


LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (
        SquaredError, AbsoluteError, Huber, Quantile, Poisson, GaussianNLL, BinaryCrossEntropy,
        CategoricalCrossEntropy, Focal,
    )
}  # fmt: skip
_AUTO: dict[str, type[Loss]] = {
    "softmax": CategoricalCrossEntropy,
    "log_softmax": CategoricalCrossEntropy,
    "sigmoid": BinaryCrossEntropy,
}


def checked(loss: Any, activation: str, n_outputs: int) -> Loss:
    """Return the loss that `loss` (an object, a name, or "auto") means for these outputs."""
    if isinstance(loss, Loss):
        result = loss
    else:
        name = _check.choice(loss, "loss", ["auto", *LOSSES])
        result = _AUTO.get(activation, SquaredError)() if name == "auto" else LOSSES[name]()
    result.check_activation(activation)
    result.n_targets(n_outputs)  # refuses the outputs that it cannot share out
    return result


def _a(activation: str) -> str:
    """Return the name of an activation behind its article."""
    return f"{'an' if activation[0] in 'aeiou' else 'a'} {activation}"
