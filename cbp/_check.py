"""What callers hand in: turned into the arrays and numbers the core takes, or refused.

What lives here: checks that several modules share, each refusal one sentence. What must not:
anything that computes. Invariants: no argument is ever modified; arrays come out C-contiguous,
aligned, finite, in the byte order of the machine, and are copied only if they were not so before.
"""

from __future__ import annotations

import math
import numbers
import operator
import os
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import _runtime

SEED_LIMIT = 2**64
# Inputs that are larger in the network's type keep their own: see `rows`.
_MOST_BYTES = 2**22
# Before NumPy 1.24 rows of different lengths became an array of lists, with a warning.
_RAGGED_WARNS = np.lib.NumpyVersion(np.__version__) < "1.24.0"


def integer(value: Any, name: str, least: int, most: int | None = None) -> int:
    """Return `value` as an int that lies in least ... most."""
    number = value
    if type(value) is not int:  # the usual kind takes a tenth of the time
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
            raise TypeError(f"`{name}` must be an integer, got {shown(value)}.")
        number = operator.index(value)
    if number < least:
        raise ValueError(f"`{name}` must be at least {least}, got {_brief(number)}.")
    if most is not None and number > most:
        raise ValueError(f"`{name}` must be at most {most}, got {_brief(number)}.")
    return number


def number(
    value: Any,
    name: str,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a finite float with above < value, least <= value, value < below."""
    if type(value) is not float and (
        isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real)
    ):
        raise TypeError(f"`{name}` must be a number, got {shown(value)}.")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if (
        not math.isfinite(result)
        or (above is not None and not result > above)
        or (least is not None and not result >= least)
        or (below is not None and not result < below)
    ):
        bounds = {"above": above, "at least": least, "below": below}
        limits = [f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None]
        words = " ".join(["a finite number", " and ".join(limits)]).strip()
        raise ValueError(f"`{name}` must be {words}, got {_brief(value)}.")
    return result


def flag(value: Any, name: str) -> bool:
    """Return `value`, which must be True or False."""
    if value is not True and value is not False and not isinstance(value, np.bool_):
        raise TypeError(f"`{name}` must be True or False, got {shown(value)}.")
    return bool(value)


def choice(value: Any, name: str, known: Iterable[str]) -> str:
    """Return `value`, which must be one of the names in `known`."""
    names = list(known)
    if type(value) is str and value in names:
        return value
    if isinstance(value, type):
        raise TypeError(
            f"`{name}` must be a name or an object, got the class {value.__name__}: "
            f"call it, `{value.__name__}()`."
        )
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be one of {_quoted(names)}, got {shown(value)}.")
    if value not in names:
        raise ValueError(f"`{name}` must be one of {_quoted(names)}, got {value!r}.")
    return value


def seed(value: int | None, name: str = "seed") -> int:
    """Return `value`, or 63 bits from the operating system if it is None."""
    if value is None:
        return int.from_bytes(os.urandom(8), "little") >> 1
    return integer(value, name, 0, SEED_LIMIT - 1)


def threads(value: int | str | None) -> int | None:
    """Return the number of threads asked for, or None if the work shall decide."""
    if value is None or isinstance(value, str):
        if value is None or value == "auto":
            return None
        raise ValueError(f"`n_threads` must be 'auto' or at least 1, got {value!r}.")
    return integer(value, "n_threads", 1, 1024)


def float_type(value: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64 as a dtype."""
    try:
        dtype = None if value is None else np.dtype(value)
    except (TypeError, ValueError, SyntaxError):  # SyntaxError: of a string with commas
        dtype = None
    if dtype is None or dtype not in (np.float32, np.float64):
        if isinstance(value, str):
            words = f"'{value}'"
        else:
            words = shown(value) if dtype is None and value is not None else f"'{dtype}'"
        raise ValueError(f"`dtype` must be 'float32' or 'float64', got {words}.")
    return dtype


def memory_bytes() -> float:
    """Return the size of the machine's memory, or infinity where nobody tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return math.inf


# ---- arrays -----------------------------------------------------------------------------------


def rows(
    X: Any,
    n_columns: int,
    dtype: np.dtype[Any],
    *,
    one_row: bool = False,
    least: int = 0,
    typed: bool = False,
    unseen: bool = False,
) -> NDArray[Any]:
    """Return the inputs X as a matrix (n_samples, n_columns).

    `one_row`: whether a 1-d X is one row; `least`: how many rows there must be; `typed`: whether
    a large X may keep its own type, which the core converts minibatch by minibatch; `unseen`:
    whether the core looks itself for what is not finite in an X of its type.
    """
    # What a loop over single rows hands in goes through here in about a microsecond.
    if not (is_plain(X, dtype) and X.ndim == 2 and X.shape[1] == n_columns):
        source = numeric(X, "X")
        if source.ndim == 1 and one_row:
            source = source[np.newaxis]
        if source.ndim != 2:
            remedy = ""
            if source.ndim == 1:
                remedy = ": `X[None, :]` makes it one row, `X[:, None]` one column"
            elif source.ndim > 2 and math.prod(source.shape[1:]) == n_columns:
                remedy = ": `X.reshape(len(X), -1)` makes each a row"
            raise ValueError(
                f"`X` must be 2-d, (n_samples, {n_columns}), got {_dimensions(source)}{remedy}."
            )
        if source.shape[1] != n_columns:
            raise ValueError(
                f"`X` must have {count(n_columns, 'column')} (the network's inputs), "
                f"got {source.shape[1]}."
            )
        if typed and _is_convertible(source) and source.size * dtype.itemsize > _MOST_BYTES:
            X = _checked_in_parts(source, "X", dtype)
        else:
            X = converted(source, "X", dtype)
    elif not unseen and not is_finite(X):
        name_culprit(X, X, "X")
    if len(X) < least:
        raise ValueError(f"`X` must have at least {count(least, 'row')}, got {len(X)}.")
    result: NDArray[Any] = X
    return result


def row_weights(weight: Any, n_rows: int, name: str = "sample_weight") -> NDArray[np.float64]:
    """Return a weight for each row: (n_rows,) float64, none negative."""
    source = numeric(weight, name)
    if source.shape != (n_rows,):
        raise ValueError(
            f"`{name}` must have shape ({n_rows},), one weight for each row, got {source.shape}."
        )
    result = converted(source, name, np.dtype(np.float64))
    if n_rows and result.min() < 0:
        row = int(np.argmax(result < 0))
        raise ValueError(f"`{name}` must not be negative, got {result[row]} in row {row}.")
    with np.errstate(over="ignore"):
        if not np.isfinite(result.sum()):
            raise ValueError(f"`{name}` must have a finite sum: divide the weights by the largest.")
    return result


def numeric(array: Any, name: str) -> NDArray[Any]:
    """Return `array` as an ndarray of booleans, integers or floats, of any shape and layout."""
    if type(array) is np.ndarray and array.dtype.kind in "biuf":
        return array
    if hasattr(array, "toarray") and hasattr(array, "nnz"):
        raise TypeError(f"`{name}` is a sparse matrix: pass `{name}.toarray()`.")
    if isinstance(array, np.ndarray) and hasattr(array, "filled"):  # numpy.ma, without loading it
        if np.any(array.mask):  # type: ignore[attr-defined]
            raise ValueError(
                f"`{name}` has masked values: replace them first, "
                f"as with `{name}.filled(0.0)`."
            )
        array = array.data
    try:
        if _RAGGED_WARNS and not isinstance(array, np.ndarray):
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.VisibleDeprecationWarning)  # type: ignore
                result = np.asarray(array)
        else:
            result = np.asarray(array)
    except (ValueError, Warning):
        raise ValueError(
            f"`{name}` must be a rectangular array of numbers, got rows of different lengths."
        ) from None
    kind = result.dtype.kind
    if kind == "O":
        result = _from_objects(result, array, name)
    elif kind not in "biuf":
        words = {"c": "complex numbers", "U": "strings", "S": "strings", "M": "dates",
                 "m": "time differences", "V": "a structured array"}  # fmt: skip
        text = f"`{name}` must hold numbers, got {words.get(kind, str(result.dtype))}"
        if kind in "US" and result.size:
            # A single string in a list of numbers makes NumPy turn all of them into strings.
            objects = result if array is result else np.asarray(array, dtype=object)
            first = next((i for i, v in enumerate(objects.flat) if isinstance(v, (str, bytes))), 0)
            place = f", the first {_place(first, result.shape)}" if result.ndim else ""
            text += f"{place}: convert them to numbers first{_of_classes(name)}"
        raise TypeError(f"{text}.")
    return result


def converted(source: NDArray[Any], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `source` (from `numeric`) in `dtype`, C-contiguous, aligned, and finite."""
    result = source
    if not is_plain(source, dtype):
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            result = np.require(source, dtype, ("C", "A"))
    if not is_finite(result):
        name_culprit(result, source, name)
    return result


def is_plain(array: Any, dtype: np.dtype[Any]) -> bool:
    """Return whether `array` is as the core takes it: an ndarray of `dtype`, whole and aligned."""
    if type(array) is not np.ndarray or array.dtype is not dtype:
        return False
    flags = array.flags
    return flags.c_contiguous and flags.aligned


def _is_convertible(source: NDArray[Any]) -> bool:
    """Return whether the core can convert the rows of an array of numbers by itself."""
    native = source.dtype.isnative and source.dtype.itemsize <= 8
    return native and source.flags.c_contiguous and source.flags.aligned


def _checked_in_parts(source: NDArray[Any], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `source` in its own type, all of which is finite in `dtype`; copies parts of it."""
    if source.dtype == dtype:
        return converted(source, name, dtype)
    if source.dtype.kind == "f":
        rows = max(_MOST_BYTES // (8 * source.shape[1]), 1)
        for first in range(0, len(source), rows):
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                part = source[first : first + rows].astype(dtype)
            if not is_finite(part):
                name_culprit(part, source[first : first + rows], name, first)
    return source


def _from_objects(objects: NDArray[Any], array: Any, name: str) -> NDArray[np.float64]:
    """Return an array of Python numbers as float64."""
    if objects.ndim == 0:
        raise TypeError(f"`{name}` must be an array of numbers, got {type(array).__name__}.")
    for first, item in enumerate(objects.flat):
        if not isinstance(item, (numbers.Real, np.bool_)) and not _is_decimal(item):
            if isinstance(item, (list, tuple, np.ndarray)):
                raise ValueError(
                    f"`{name}` must be a rectangular array of numbers, "
                    "got rows of different lengths."
                )
            remedy = "convert such values to numbers first"
            if isinstance(item, str):
                remedy += _of_classes(name)
            if not isinstance(item, (str, bytes)) and str(item) in ("None", "<NA>", "NaT"):
                remedy = "remove or replace such values"
            raise TypeError(
                f"`{name}` must hold numbers, got {type(item).__name__} "
                f"{_place(first, objects.shape)}: {remedy}."
            )
        if _is_decimal(item) and item.is_snan():
            raise ValueError(
                f"`{name}` must be finite, got sNaN {_place(first, objects.shape)}: remove or "
                "replace such values."
            )
    try:
        return objects.astype(np.float64)
    except OverflowError:
        raise ValueError(f"`{name}` holds an integer too large for float64.") from None


def _is_decimal(item: Any) -> bool:
    """Whether `item` is a decimal.Decimal; nobody has one who has not imported its module."""
    module = sys.modules.get("decimal")
    return module is not None and isinstance(item, module.Decimal)


def is_finite(array: NDArray[Any]) -> bool:
    """Return whether all of a C-contiguous float32 or float64 array is finite."""
    return _runtime.all_finite(array)


def name_culprit(
    result: NDArray[Any], source: NDArray[Any], name: str, first_row: int = 0
) -> None:
    """Raise the error that names the first element that is not finite, in rows from `first_row`."""
    first = int(np.argmin(np.isfinite(result)))
    value = source[np.unravel_index(first, result.shape)]
    place = _place(first, result.shape, first_row)
    if np.isfinite(value):
        wider = " or use `dtype='float64'`" if result.dtype == np.float32 else ""
        raise ValueError(
            f"`{name}` must fit {result.dtype}, got {value} {place}: scale it down{wider}."
        )
    raise ValueError(
        f"`{name}` must be finite, got {value} {place}: remove or replace such values."
    )


# ---- words ------------------------------------------------------------------------------------


def count(n: int, noun: str) -> str:
    """Return "1 column" or "3 columns"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _dimensions(array: NDArray[Any]) -> str:
    """Return how many dimensions an array has, in words."""
    return "a single number" if array.ndim == 0 else f"{array.ndim}-d of shape {array.shape}"


def _of_classes(name: str) -> str:
    """Return how names of classes become numbers, where there may be some."""
    return ", as `numpy.unique(Y, return_inverse=True)[1]` does for classes" * (name == "Y")


def _place(first: int, shape: tuple[int, ...], first_row: int = 0) -> str:
    """Return "in row 3, column 1" for the flat index of an element in rows from `first_row`."""
    at = [int(i) for i in np.unravel_index(first, shape)]
    if at:
        at[0] += first_row
    return "in " + ", ".join(f"{axis} {i}" for axis, i in zip(("row", "column"), at))


def _quoted(names: list[str]) -> str:
    """Return the names, each in quotes."""
    return ", ".join(repr(name) for name in names)


def shown(value: Any) -> str:
    """Return a number or string as it is, anything else as the name of its kind."""
    if isinstance(value, (str, bool, np.bool_, numbers.Number)):
        words = _brief(value) if isinstance(value, (int, np.generic)) else repr(value)
        if len(words) <= 40:
            return words
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else type(value).__name__


def _brief(value: Any) -> str:
    """Return a number in words of bearable length."""
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to write some
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, numbers.Rational) and abs(int(value.numerator)) >= 2**128:
        return type(value).__name__
    return str(value)
