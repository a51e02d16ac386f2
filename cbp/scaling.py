"""Standardisation that belongs to a network: what is done to its inputs and to its targets.

What lives here: the statistics, and the arithmetic on whole arrays. What must not: the same
arithmetic inside prediction and training, which is compiled. Invariant: statistics are computed in
double in a fixed order of rows, so that neither threads nor the layout of memory show in them.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _check, _runtime
from .exceptions import ScalingWarning

__all__ = ["Scaling"]

_CHUNK = 4096  # rows whose sums are added up before they join the total: a constant of the bits
# A column whose standard deviation is this small a part of its mean holds one number, rounded.
_CONSTANT = 1e-13
# Rows that are looked at before a warning: at most so many, fewer (but 20) of very wide data.
_LOOK, _LOOK_VALUES = 1000, 2**18
# Losses in whose terms a target may be moved and stretched: the best prediction moves with it.
_EQUIVARIANT = ("squared_error", "absolute_error", "huber", "quantile")


class Scaling(NamedTuple):
    """How a network's inputs and targets are standardised: (x - shift) / scale, in double.

    Attributes
    ----------
    input_shift, input_scale : ndarray, (n_inputs,) float64
        Mean and standard deviation of the training rows; scale 1 for a constant column.
    output_shift, output_scale : ndarray, (n_outputs,) float64
        Of the targets; 0 and 1 where they are left alone.

    Examples
    --------
    >>> import cbp
    >>> net = cbp.Network([2, 1])
    >>> net.scaling = cbp.Scaling([10, 20], [1, 2], [0], [1])
    >>> net.forward([[11, 16]]).a[0]
    array([[ 1., -2.]], dtype=float32)
    """

    input_shift: NDArray[np.float64]
    input_scale: NDArray[np.float64]
    output_shift: NDArray[np.float64]
    output_scale: NDArray[np.float64]

    @property
    def moves_outputs(self) -> bool:
        """Whether predictions are other than the last layer's outputs."""
        return bool(self.output_shift.any() or (self.output_scale != 1.0).any())


def checked(value: Any, n_inputs: int, n_outputs: int) -> Scaling:
    """Return a scaling whose arrays fit the network, as read-only copies."""
    if not isinstance(value, tuple) or len(value) != len(Scaling._fields):
        raise TypeError(
            f"`scaling` must be None or a cbp.Scaling of four arrays, got {_check.shown(value)}."
        )
    arrays = []
    for name, array, n in zip(Scaling._fields, value, (n_inputs, n_inputs, n_outputs, n_outputs)):
        source = _check.numeric(array, f"scaling.{name}")
        if source.shape != (n,):
            raise ValueError(f"`scaling.{name}` must have shape ({n},), got {source.shape}.")
        result = np.array(_check.converted(source, f"scaling.{name}", np.dtype(np.float64)))
        if name.endswith("scale") and not (result > 0).all():
            raise ValueError(f"`scaling.{name}` must be above 0, got {result.min()}.")
        result.flags.writeable = False
        arrays.append(result)
    return Scaling(*arrays)


# ---- arithmetic -------------------------------------------------------------------------------


def input_terms(scaling: Scaling) -> NDArray[np.float64]:
    """Return before | factor | after of the inputs, as the core takes them."""
    shift, scale = scaling.input_shift, scaling.input_scale
    return np.array([shift, 1.0 / scale, np.zeros_like(shift)])


def output_terms(scaling: Scaling) -> NDArray[np.float64] | None:
    """Return before | factor | after of the predictions, or None where they are left alone."""
    shift, scale = scaling.output_shift, scaling.output_scale
    return np.array([np.zeros_like(shift), scale, shift]) if scaling.moves_outputs else None


def standardised(
    rows: NDArray[Any], shift: NDArray[np.float64], scale: NDArray[np.float64],
    dtype: np.dtype[Any],
) -> NDArray[Any]:  # fmt: skip
    """Return (rows - shift) / scale as the core computes it."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        result = (rows.astype(np.float64) - shift) * (1.0 / scale) + 0.0
        return result.astype(dtype)


def restored(
    rows: NDArray[Any], shift: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return rows * scale + shift."""
    result: NDArray[np.float64] = rows.astype(np.float64) * scale + shift
    return result


# ---- statistics -------------------------------------------------------------------------------


def statistics(
    rows: NDArray[Any],
    which: NDArray[np.intp] | None = None,
    name: str = "X",
    masked: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each column, in two passes.

    Parameters
    ----------
    rows : ndarray, (n_samples, columns)
        Of any real type; converted chunk by chunk, so that it may be larger than memory.
    which : ndarray of int, optional
        The rows that count; all by default.
    masked : bool
        Whether NaN stands for nothing, as in targets with `mask_nan`.

    Raises
    ------
    ValueError
        A column has no finite statistics.
    """
    n = len(rows) if which is None else len(which)
    columns = rows.shape[1]
    out, count = np.empty((2, columns)), np.empty(columns)

    def total(centre: NDArray[np.float64]) -> NDArray[np.float64]:
        result = np.zeros((2, columns))
        count[:] = n
        for first in range(0, n, _CHUNK):
            stop = min(first + _CHUNK, n)
            chunk = rows[first:stop] if which is None else rows[which[first:stop]]
            chunk = np.ascontiguousarray(chunk, np.float64)
            if masked:
                missing = np.isnan(chunk)
                count[:] -= missing.sum(axis=0)
                chunk = np.where(missing, centre, chunk)  # which adds nothing
            _runtime.moments(chunk, centre, out)
            result += out
        return result

    with np.errstate(all="ignore"):
        mean = total(np.zeros(columns))[0] / np.maximum(count, 1.0)
        rest, square = total(mean)
        present = np.maximum(count, 1.0)  # a column may be without any value
        mean += rest / present
        std = np.sqrt(np.maximum(square - rest * (rest / present), 0.0) / present)
        std[std <= _CONSTANT * np.abs(mean)] = 0.0
        fine = np.isfinite(mean) & np.isfinite(std)
    if not fine.all():
        raise ValueError(
            f"`{name}` cannot be standardised: column {int(np.argmin(fine))} has no finite mean "
            "and standard deviation. Remove what is not finite, or divide it by its largest value."
        )
    return mean, std


def fitted(
    X: NDArray[Any],
    targets: NDArray[Any] | None,
    n_outputs: int,
    which: NDArray[np.intp] | None = None,
) -> Scaling:
    """Return the scaling of these rows; `targets` (n_samples, n_targets) or None."""
    shift, scale = statistics(X, which)
    scale[scale == 0.0] = 1.0
    output_shift, output_scale = np.zeros(n_outputs), np.ones(n_outputs)
    if targets is not None:
        output_shift, output_scale = statistics(targets, which, "Y", True)
        output_scale[output_scale == 0.0] = 1.0
        # Several outputs may belong to one target, as levels of a quantile: they stand together.
        each = n_outputs // targets.shape[1]
        output_shift, output_scale = np.repeat(output_shift, each), np.repeat(output_scale, each)
    return checked(Scaling(shift, scale, output_shift, output_scale), len(shift), n_outputs)


def moves_targets(loss_name: str, output_activation: str) -> bool:
    """Whether targets of this loss are standardised: where the outputs are free to follow."""
    return loss_name in _EQUIVARIANT and output_activation == "identity"


# ---- a warning where nobody standardises ------------------------------------------------------


def warn(X: NDArray[Any] | None, targets: NDArray[Any] | None, free: bool = True) -> None:
    """Warn, in one line, where inputs or targets are far from what training is made for.

    `free`: whether a network could standardise the targets.
    """
    remedy = "Set `standardize=True` on the Network, or scale the data"
    by_hand = "Scale them beforehand: this loss takes targets in their own units"
    for name, rows, advice in (("X", X, remedy), ("Y", targets, remedy if free else by_hand)):
        words = None if rows is None else _complaint(rows)
        if words:
            warnings.warn(
                f"`{name}` is badly scaled for training: {words}. {advice}.",
                ScalingWarning,
                stacklevel=4,
            )


def _complaint(rows: NDArray[Any]) -> str:
    """Return what is wrong with the scale of some columns, or nothing.

    Rare entries make a column's standard deviation small; that is no complaint, nor is a constant.
    """
    most_rows = min(_LOOK, max(20, _LOOK_VALUES // rows.shape[1]))
    looked = rows[:: -(-len(rows) // most_rows)].astype(np.float64)
    with np.errstate(all="ignore"):
        mean = looked.mean(axis=0)
        if np.isnan(mean).any():  # masked targets
            looked = np.where(np.isnan(looked), np.nansum(looked, axis=0)
                              / (~np.isnan(looked)).sum(axis=0), looked)  # fmt: skip
            mean = looked.mean(axis=0)
        std = looked.std(axis=0)
        far = (np.abs(mean) > 10.0) & (np.abs(mean) > 10.0 * std) & (std > 0.0)
        wide = std > 10.0
    for column in np.flatnonzero(wide | far)[:1]:
        return (
            f"column {column} has mean {mean[column]:.3g} and standard deviation "
            f"{std[column]:.3g}"
        )
    most = np.fmax.reduce(np.abs(looked), axis=None, initial=0.0)  # passes over NaN
    return f"no value is beyond {most:.3g}" if 0.0 < most < 1e-2 else ""
