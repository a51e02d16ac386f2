"""Files of networks and of training runs: what stands in them, and what is believed of it.

What lives here: the schema, as plain values and named tensors. What must not: bytes and system
calls (they are `_tensors`'s), and making networks or trainers. Invariant: loading runs no code,
opens nothing but the file, and ends in values that the classes' own checks have passed, or in one
FormatError. docs/format.md says the format in words.
"""

from __future__ import annotations

import contextlib
import dataclasses
import numbers
import operator
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _check, _tensors, initializers
from ._tensors import Tensor
from .exceptions import FormatError
from .layers import MOST_UNITS, Dense

__all__ = ["Architecture", "File", "opened", "plain", "value", "write"]

FORMAT, VERSION = "cbp", "1"
CODES = {"float32": "F32", "float64": "F64"}
MOST_LAYERS = 1000
INITIALIZERS = {"Normal": initializers.Normal, "Uniform": initializers.Uniform}


# ---- options: numbers, words, and value objects -------------------------------------------------


def plain(option: Any, classes: Mapping[str, Any]) -> Any:
    """Return an option as JSON can say it; TypeError, which names its kind, where it cannot.

    A value object of one of the `classes` becomes an object that names its class and its fields. An integer beyond 2⁵³
    becomes {"integer": "its digits"}.
    """
    if option is None or isinstance(option, (bool, str)):
        return option
    if isinstance(option, np.bool_):
        return bool(option)
    if isinstance(option, numbers.Integral):
        whole = operator.index(option)
        return whole if abs(whole) <= _tensors.MOST_EXACT else {"integer": str(whole)}
    if isinstance(option, numbers.Real):
        return float(option)
    if isinstance(option, (list, tuple)):
        return [plain(item, classes) for item in option]
    name = type(option).__name__
    if classes.get(name) is type(option):
        return {"class": name, **fields(option, classes)}
    raise TypeError(name)


def fields(option: Any, classes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a value object, each as JSON can say it; arrays are left out."""
    values = {field.name: getattr(option, field.name) for field in dataclasses.fields(option)
              if field.init}  # fmt: skip
    return {
        name: plain(item, classes)
        for name, item in values.items()
        if not isinstance(item, np.ndarray)
    }


def value(said: Any, classes: Mapping[str, Any]) -> Any:
    """Return the option that `plain` said so; `classes` are those that may be named."""
    if isinstance(said, list):
        return tuple(value(item, classes) for item in said)
    if not isinstance(said, dict):
        return said
    if set(said) == {"integer"}:
        digits = said["integer"]
        if type(digits) is not str or not digits.isdecimal() or len(digits) > 20:
            raise FormatError("an integer is not one")
        return int(digits)
    said = dict(said)
    name = said.pop("class", None)
    if type(name) is not str or name not in classes:
        raise FormatError(f"it names the unknown class {_check.shown(name)}")
    return classes[name](**{key: value(item, classes) for key, item in said.items()})


# ---- networks ---------------------------------------------------------------------------------


class Architecture(NamedTuple):
    """All of a network but its numbers."""

    n_inputs: int
    layers: tuple[Dense, ...]
    dtype: np.dtype[Any]
    seed: int
    standardize: bool
    scaled: bool  # whether there is a scaling
    masked: tuple[int, ...]  # the numbers of the layers that have a mask

    def said(self) -> dict[str, Any]:
        """Return the architecture as JSON can say it."""
        layers = []
        for index, layer in enumerate(self.layers):
            try:
                layers.append(fields(layer, INITIALIZERS))
            except TypeError as error:
                raise ValueError(
                    f"A network whose layer {index + 1} has an {error} of your own cannot be "
                    "saved, for that is code: use named activations."
                ) from None
        return {
            "n_inputs": int(self.n_inputs),
            "layers": layers,
            "dtype": self.dtype.name,
            "seed": plain(self.seed, {}),
            "standardize": self.standardize,
            "scaled": self.scaled,
            "masked": list(self.masked),
        }

    @classmethod
    def heard(cls, said: Any) -> Architecture:
        """Return the architecture that `said` describes."""
        if not isinstance(said, dict) or set(said) != set(cls._fields):
            raise FormatError("its network has other fields than this version of cbp writes")
        if not isinstance(said["layers"], list) or not 1 <= len(said["layers"]) <= MOST_LAYERS:
            raise FormatError(f"its network must have 1 to {MOST_LAYERS} layers")
        layers = []
        for layer in said["layers"]:
            if not isinstance(layer, dict):
                raise FormatError("a layer is not described")
            options = {name: value(item, INITIALIZERS) for name, item in layer.items()}
            dense = Dense(**options)
            if None in (dense.activation, dense.bias, dense.init):
                raise FormatError("a layer is not described")
            layers.append(dense)
        masked = said["masked"]
        if not isinstance(masked, list) or not all(
            type(k) is int and before < k < len(layers) for before, k in zip([-1, *masked], masked)
        ):
            raise FormatError("it does not tell which layers have a mask")
        if said["dtype"] not in ("float32", "float64"):
            raise FormatError("its network is of no known dtype")
        return cls(
            _check.integer(said["n_inputs"], "n_inputs", 1, MOST_UNITS),
            tuple(layers),
            np.dtype(said["dtype"]),
            _check.seed(_check.integer(value(said["seed"], {}), "seed", 0)),
            _check.flag(said["standardize"], "standardize"),
            _check.flag(said["scaled"], "scaled"),
            tuple(masked),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return the type and shape of every tensor of the network."""
        code, result, i = CODES[self.dtype.name], {}, self.n_inputs
        for index, layer in enumerate(self.layers):
            result[f"layers.{index}.weight"] = Tensor(code, (i, layer.n_outputs))
            if layer.bias:
                result[f"layers.{index}.bias"] = Tensor(code, (layer.n_outputs,))
            if index in self.masked:
                result[f"layers.{index}.mask"] = Tensor("U8", (i, layer.n_outputs))
            i = layer.n_outputs
        if self.scaled:
            for name in ("input_shift", "input_scale"):
                result[f"scaling.{name}"] = Tensor("F64", (self.n_inputs,))
            for name in ("output_shift", "output_scale"):
                result[f"scaling.{name}"] = Tensor("F64", (i,))
        return result


# ---- files ------------------------------------------------------------------------------------


def write(
    path: Any, kind: str, sections: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a file of some kind: sections of plain values, and arrays by name."""
    words = {name: _tensors.canonical(section) for name, section in sections.items()}
    _tensors.write(path, {"format": FORMAT, "version": VERSION, "kind": kind, **words}, arrays)


class File:
    """A file that is being loaded.

    Attributes
    ----------
    sections : dict
        What its words say, as plain values.
    """

    def __init__(self, reader: _tensors.Reader, kind: str, names: tuple[str, ...]) -> None:
        self._reader = reader
        words = dict(reader.words)
        if words.pop("format", None) != FORMAT:
            raise FormatError("it is a safetensors file, but not one of cbp's")
        version = words.pop("version", None)
        if version != VERSION:
            raise FormatError(
                f"it is of version {_check.shown(version)} of the format, and this cbp reads "
                f"version {VERSION}"
            )
        found = words.pop("kind", None)
        if found != kind:
            remedy = {"network": "cbp.load", "checkpoint": "cbp.Trainer.load_checkpoint"}
            known = f" {found}, which {remedy[found]} reads" if found in remedy else "other kind"
            raise FormatError(f"it is of the kind{known}")
        if set(words) != set(names):
            raise FormatError("it has other sections than this version of cbp writes")
        self.sections = {name: _tensors.parsed(text) for name, text in words.items()}

    def arrays(self, expected: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
        """Return the arrays, once they are what is expected and the checksum is right."""
        if self._reader.tensors != dict(expected):
            raise FormatError("its tensors are not those that its description calls for")
        self._reader.verify()
        return {name: self._reader.read(name) for name in expected}


@contextlib.contextmanager
def opened(path: Any, kind: str, names: tuple[str, ...]) -> Iterator[File]:
    """Open a file of some kind; whatever is wrong with it becomes one FormatError."""
    name = _tensors.file_name(path)
    try:
        with _tensors.Reader(path) as reader:
            yield File(reader, kind, names)
    except FormatError as error:
        raise FormatError(f"{name!r} cannot be loaded: {error}.") from None
    except (TypeError, ValueError, OverflowError) as error:  # of the classes' own checks
        raise FormatError(f"{name!r} cannot be loaded: it describes what cbp refuses. {error}"
                          ) from None  # fmt: skip


def check_finite(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse parameters that are infinite or NaN."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not _check.is_finite(array):
            raise FormatError(
                f"{name} holds infinity or NaN: pass `allow_nonfinite=True` to load it all the same"
            )
