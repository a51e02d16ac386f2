"""Schedules: the learning rate as a function of the step.

What lives here: value objects that turn numbers of steps into rates, and the few functions that
they need. What must not: state; where a run stands belongs to the trainer. Invariant: a rate is
made of single IEEE double operations in a fixed order, so its bits are the same on every machine
(no libm, whose exp, pow and cos are not).

In what follows η₀ is the trainer's `learning_rate`, and t counts the updates made so far: the
first one has t = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _check

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "InverseScaling",
    "OneCycle",
    "ReduceOnPlateau",
    "Schedule",
    "Step",
]

_MOST_STEPS = 2**53


class Schedule:
    """What schedules share: rates of steps, as a factor of the trainer's learning rate."""

    def factors(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rate of each step as a part of η₀."""
        raise NotImplementedError

    def rates(self, steps: Any, learning_rate: float) -> NDArray[np.float64]:
        """Return the learning rate of each step.

        Parameters
        ----------
        steps : array_like of int
            Updates made before each one: 0 for the first.
        learning_rate : float
            η₀.

        Examples
        --------
        >>> import cbp
        >>> cbp.Cosine(4).rates([0, 2, 4], 0.5)
        array([0.5 , 0.25, 0.  ])
        """
        return learning_rate * self.factors(np.asarray(steps, dtype=np.int64))


@dataclass(frozen=True)
class Constant(Schedule):
    """η₀ all along, after a linear warm-up if wanted.

    Parameters
    ----------
    warm_up : int
        Steps of the warm-up: η₀ (t + 1) / warm_up for t < warm_up.
    """

    warm_up: int = 0

    def __post_init__(self) -> None:
        _check.integer(self.warm_up, "warm_up", 0, _MOST_STEPS)

    def factors(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rate of each step as a part of η₀."""
        return _warm(steps, self.warm_up, np.ones(len(steps)))


@dataclass(frozen=True)
class Step(Schedule):
    """η₀ factorᵏ, k the number of stairs passed.

    Parameters
    ----------
    every : int or sequence of int
        k = ⌊t / every⌋; or, of a sequence of steps, k = how many of them are at most t.
    factor : float
        Above 0.
    """

    every: int | Sequence[int]
    factor: float = 0.1

    def __post_init__(self) -> None:
        if isinstance(self.every, (list, tuple, np.ndarray)):
            stairs = tuple(_check.integer(t, "every", 0, _MOST_STEPS) for t in self.every)
            object.__setattr__(self, "every", stairs)
            if list(stairs) != sorted(stairs):
                raise ValueError("`every` must name steps in ascending order.")
        else:
            _check.integer(self.every, "every", 1, _MOST_STEPS)
        _check.number(self.factor, "factor", above=0.0)

    def factors(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rate of each step as a part of η₀."""
        if isinstance(self.every, tuple):
            return _whole_power(self.factor, np.searchsorted(self.every, steps, side="right"))
        return _whole_power(self.factor, steps // self.every)


@dataclass(frozen=True)
class Exponential(Schedule):
    """η₀ factor^(t / every): a smooth decay.

    Parameters
    ----------
    factor : float
        Above 0; what is left of the rate after `every` steps.
    every : int
        At least 1.
    """

    factor: float
    every: int = 1

    def __post_init__(self) -> None:
        _check.number(self.factor, "factor", above=0.0)
        _check.integer(self.every, "every", 1, _MOST_STEPS)

    def factors(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rate of each step as a part of η₀."""
        return power(np.float64(self.factor), steps / self.every)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from η₀ down to final η₀, after a linear warm-up if wanted.

    η₀ (final + (1 - final) ½ (1 + cos πx)) with x = (t - warm_up) / (steps - warm_up), at most 1;
    in the warm-up η₀ (t + 1) / warm_up.

    Parameters
    ----------
    steps : int
        Updates until the end: epochs times minibatches an epoch.
    warm_up : int
        Updates of the warm-up, fewer than `steps`.
    final : float
        The last rate as a part of η₀, 0 to 1.

    References
    ----------
    Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5.
    """

    steps: int
    warm_up: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        _check.integer(self.steps, "steps", 1, _MOST_STEPS)
        _check.integer(self.warm_up, "warm_up", 0, self.steps - 1)
        _part(self.final, "final")

    def factors(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rate of each step as a part of η₀."""
        x = (steps - self.warm_up) / (self.steps - self.warm_up)
        return _warm(steps, self.warm_up, _between(1.0, self.final, x))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to η₀ and down again, each time along half a cosine.

    From start η₀ at t = 0 to η₀ at t = peak steps - 1, then to final η₀ at t = steps - 1 and
    behind it. The momentum stays as it is.

    Parameters
    ----------
    steps : int
        Updates of the cycle, at least 2.
    peak : float
        Part of the cycle that goes up, between 0 and 1; peak · steps must exceed 1.
    start, final : float
        First and last rate as a part of η₀, 0 to 1.

    References
    ----------
    Smith & Topin, Super-convergence, 2018 (arXiv:1708.07120); the defaults are PyTorch's.
    """

    steps: int
    peak: float = 0.3
    start: float = 0.04
    final: float = 4e-6

    def __post_init__(self) -> None:
        _check.integer(self.steps, "steps", 2, _MOST_STEPS)
        _check.number(self.peak, "peak", above=0.0, below=1.0)
        if self.peak * self.steps <= 1.0:
            raise ValueError(
                f"`peak` times `steps` must exceed 1, got {self.peak * self.steps:g}: make the "
                "cycle longer."
            )
        _part(self.start, "start")
        _part(self.final, "final")

    def factors(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rate of each step as a part of η₀."""
        top, end = self.peak * self.steps - 1.0, self.steps - 1.0
        up = _between(self.start, 1.0, steps / top)
        return np.where(steps < top, up, _between(1.0, self.final, (steps - top) / (end - top)))


@dataclass(frozen=True)
class InverseScaling(Schedule):
    """η₀ / (1 + count ⌊t / every⌋)^power.

    Parameters
    ----------
    power : float
        At least 0.
    every, count : int
        At least 1. With `every` the minibatches and `count` the rows of an epoch this is
        scikit-learn's "invscaling", which changes the rate once an epoch.
    """

    power: float = 0.5
    every: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        _check.number(self.power, "power", least=0.0)
        _check.integer(self.every, "every", 1, _MOST_STEPS)
        _check.integer(self.count, "count", 1, _MOST_STEPS)

    def factors(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rate of each step as a part of η₀."""
        return power(1.0 + self.count * (steps // self.every).astype(np.float64), -self.power)


@dataclass(frozen=True)
class ReduceOnPlateau:
    """η₀ factorᵏ, k the number of times that nothing got better for `patience` epochs.

    Parameters
    ----------
    factor : float
        Between 0 and 1.
    patience : int
        Epochs without an improvement until the rate is reduced, at least 1.
    min_delta : float
        An improvement is larger than this.
    cooldown : int
        Epochs after a reduction in which none are counted.
    least : float
        The rate does not fall below it.
    monitor : str, optional
        A column of the history; "val_loss" by default if there are validation data, else "loss".

    Notes
    -----
    The rate of every epoch stands in ``history["learning_rate"]``.
    """

    factor: float = 0.1
    patience: int = 10
    min_delta: float = 0.0
    cooldown: int = 0
    least: float = 0.0
    monitor: str | None = None

    def __post_init__(self) -> None:
        _check.number(self.factor, "factor", above=0.0, below=1.0)
        _check.integer(self.patience, "patience", 1, 2**31)
        _check.number(self.min_delta, "min_delta", least=0.0)
        _check.integer(self.cooldown, "cooldown", 0, 2**31)
        _check.number(self.least, "least", least=0.0)
        if self.monitor is not None and not isinstance(self.monitor, str):
            raise TypeError(f"`monitor` must be a string, got {_check.shown(self.monitor)}.")

    def _start(self) -> dict[str, float]:
        """Return the state of a run that has not begun."""
        return {"factor": 1.0, "best": math.inf, "waited": 0.0, "resting": 0.0}

    def _judge(self, state: dict[str, float], value: float) -> None:
        """Take note of an epoch's number, less being better."""
        if value < state["best"] - (self.min_delta if state["best"] < math.inf else 0.0):
            state["best"], state["waited"] = value, 0.0
        elif state["resting"] > 0.0:
            state["resting"] -= 1.0
        else:
            state["waited"] += 1.0
            if state["waited"] >= self.patience:
                state["factor"] *= self.factor
                state["waited"], state["resting"] = 0.0, float(self.cooldown)

    def _rate(self, state: dict[str, float], learning_rate: float) -> float:
        """Return the present rate where the first one is `learning_rate`."""
        return max(learning_rate * state["factor"], min(learning_rate, self.least))


def checked(schedule: Any) -> Schedule | ReduceOnPlateau | Callable[[int], float] | None:
    """Return `schedule`, which must be None, an object of this module, or a function."""
    if schedule is None or isinstance(schedule, (Schedule, ReduceOnPlateau)):
        return schedule
    if callable(schedule) and not isinstance(schedule, type):
        return schedule
    raise TypeError(
        "`schedule` must be a schedule such as cbp.Cosine(1000), or a function of the step that "
        f"returns the rate, got {_check.shown(schedule)}."
    )


def rates(
    schedule: Schedule | Callable[[int], float],
    first: int,
    count: int,
    learning_rate: float,
    dtype: np.dtype[Any],
) -> NDArray[np.float64]:
    """Return the rates of steps first ... first + count - 1, each finite in `dtype`."""
    if isinstance(schedule, Schedule):
        result = schedule.rates(np.arange(first, first + count), learning_rate)
    else:
        result = np.array(
            [
                _check.number(schedule(step), f"schedule({step})", least=0.0)
                for step in range(first, first + count)
            ]
        )
    with np.errstate(over="ignore", under="ignore"):
        fits = np.isfinite(result.astype(dtype))
    if not fits.all():
        wrong = int(np.argmin(fits))
        raise ValueError(
            f"`schedule` must give rates that fit {dtype}, got {result[wrong]:g} for step "
            f"{first + wrong}."
        )
    return result


# ---- functions of single IEEE operations ------------------------------------------------------


def _part(value: Any, name: str) -> float:
    """Return a number from 0 to 1."""
    result = _check.number(value, name, least=0.0)
    if result > 1.0:
        raise ValueError(f"`{name}` must be a finite number from 0 to 1, got {result:g}.")
    return result


def _warm(
    steps: NDArray[np.int64], warm_up: int, factors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the factors, with a linear ascent before step `warm_up`."""
    if not warm_up:
        return factors
    return np.where(steps < warm_up, (steps + 1) / warm_up, factors)


def _between(first: float, last: float, x: NDArray[Any]) -> NDArray[np.float64]:
    """Return half a cosine from `first` at x = 0 to `last` at x = 1, constant outside."""
    u = np.minimum(np.maximum(x, 0.0), 1.0) * (0.5 * math.pi)
    z = u * u
    series = np.zeros_like(z)
    for k in range(24, 0, -2):  # (1 + cos 2u) / 2 = cos² u; the series' rest is below 2⁻⁶⁰
        series = (1.0 - series) * z / (k * (k - 1.0))
    cosine = 1.0 - series
    return last + (first - last) * (cosine * cosine)


def _whole_power(base: float, exponents: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return base to the power of integers from 0 on, by squaring."""
    result = np.ones(len(exponents))
    left, square = exponents.copy(), float(base)
    while left.any():
        result = np.where(left & 1, result * square, result)
        left >>= 1
        square = square * square if math.isfinite(square) else square
    return result


def power(base: Any, exponent: Any) -> NDArray[np.float64]:
    """Return base^exponent in double, within about 2⁻⁵² (1 + |exponent log base|) of it."""
    mantissa, two = np.frexp(np.asarray(base, dtype=np.float64))
    low = mantissa < 0.7071067811865476
    mantissa, two = np.where(low, mantissa + mantissa, mantissa), np.where(low, two - 1, two)
    s = (mantissa - 1.0) / (mantissa + 1.0)  # log m = 2 atanh s, |s| < 0.172
    z = s * s
    series = 0.0 * z
    for k in range(23, 0, -2):
        series = series * z + 1.0 / k
    logarithm = two * 0.6931471805599453 + (s + s) * series
    x = np.minimum(np.maximum(exponent * logarithm, -745.0), 709.7)
    whole = np.rint(x * 1.4426950408889634)
    # log 2 in two parts, the first with zeros at its end: its product with `whole` is exact.
    rest = (x - whole * 0.6931471803691238) - whole * 1.9082149292705877e-10
    exponential = 0.0 * rest
    for k in range(14, 0, -1):
        exponential = (exponential + 1.0) * rest / k
    return np.ldexp(1.0 + exponential, whole.astype(np.int64).astype(np.int32))
