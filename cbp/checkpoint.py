"""Checkpoints: what of a trainer stands in a file, so that training goes on as if never stopped.

What lives here: the list of a trainer's options and state, and how they are taken back. What must
not: the bytes of a file (`_tensors`), a network's description (`storage`), making the trainer's
parts (`trainer`). Invariant: whatever a run depends on beside the data is an option or in STATE.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _check, losses, optimizers, schedules, storage
from ._tensors import Tensor
from .exceptions import FormatError
from .history import History
from .network import from_parts
from .storage import Architecture

__all__ = ["load", "save"]

# Attributes of a Trainer that change while it trains: numbers, words, bytes, arrays like the
# parameters, and lists and dictionaries of them. What is added to Trainer is added here, without
# the underscore that its name begins with.
STATE = ("place", "states", "mean", "learning_rate", "plateau", "watch", "interrupted")
# Which state of an update rule is a mean or a sum of squares.
_SQUARES = {"rmsprop": 0, "rmsprop_momentum": 0, "adagrad": 0, "adam": 1, "nadam": 1}
# Arguments of Trainer that are the machine's, not the run's.
_NOT_SAVED = ("self", "net", "n_threads")
_SECTIONS = ("network", "options", "state", "history")


def classes() -> dict[str, Any]:
    """Return the value objects that an option may be, by name."""
    rooms = (losses, optimizers, schedules)
    found = {name: getattr(room, name) for room in rooms for name in room.__all__}
    return {name: item for name, item in found.items()
            if isinstance(item, type) and dataclasses.is_dataclass(item)}  # fmt: skip


def save(trainer: Any, path: Any) -> None:
    """Write the trainer and its network to a file."""
    trainer._note_place()
    architecture, arrays = trainer.net._parts()
    options = {}
    for name in inspect.signature(type(trainer).__init__).parameters:
        if name not in _NOT_SAVED:
            try:
                options[name] = storage.plain(getattr(trainer, name), classes())
            except TypeError as error:
                raise ValueError(
                    f"A trainer whose `{name}` is a {error} of your own cannot be saved, for that "
                    "is code: use what cbp has, or save the network alone."
                ) from None
    state = {name: _without_arrays(getattr(trainer, f"_{name}"), f"state.{name}", arrays)
             for name in STATE}  # fmt: skip
    history = trainer.history
    arrays["history"] = np.array([*history.values()], np.float64).reshape(len(history), -1)
    sections = {
        "network": architecture.said(),
        "options": options,
        "state": state,
        "history": {
            "columns": list(history), "epochs": history.epochs, "seconds": history.seconds,
            "best_epoch": history.best_epoch, "ended": history.ended,
        },
    }  # fmt: skip
    storage.write(path, "checkpoint", sections, arrays)


def load(trainer_class: Any, path: Any, n_threads: int | str, allow_nonfinite: bool) -> Any:
    """Return the trainer of a file."""
    _check.flag(allow_nonfinite, "allow_nonfinite")
    with storage.opened(path, "checkpoint", _SECTIONS) as file:
        architecture = Architecture.heard(file.sections["network"])
        options = file.sections["options"]
        if not isinstance(options, dict):
            raise FormatError("its options are not described")
        options = {name: storage.value(said, classes()) for name, said in options.items()}
        if set(_NOT_SAVED) & set(options):
            raise FormatError("its options are not a trainer's")
        state, history = file.sections["state"], file.sections["history"]
        if not isinstance(state, dict) or not set(state) <= set(STATE):
            raise FormatError("its state has other fields than this version of cbp writes")
        columns, epochs = _described(history)
        expected = architecture.tensors()
        parameters = sum(
            tensor.nbytes for name, tensor in expected.items() if name.endswith((".weight", ".bias"))
        ) // architecture.dtype.itemsize  # fmt: skip
        like = Tensor(storage.CODES[architecture.dtype.name], (parameters,))
        for name, said in state.items():
            expected |= {path: like for path in _arrays_in(said, f"state.{name}")}
        expected["history"] = Tensor("F64", (len(columns), epochs))
        arrays = file.arrays(expected)
        if not allow_nonfinite:
            known = {name: array for name, array in arrays.items() if name != "history"}
            storage.check_finite(known)
        net = from_parts(architecture, arrays)
        trainer = trainer_class(net, **options, n_threads=n_threads)
        for name, said in state.items():
            _restore(trainer, name, _with_arrays(said, f"state.{name}", arrays))
        trainer.history = _history(history, arrays["history"])
        return trainer


# ---- arrays out of, and back into, nested values ------------------------------------------------


def _without_arrays(value: Any, path: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return a value as JSON can say it, its arrays moved to `arrays` under their paths."""
    if isinstance(value, np.ndarray):
        arrays[path] = value.copy()
        return {"array": True}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, dict):
        return {key: _without_arrays(item, f"{path}.{key}", arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(item, f"{path}.{k}", arrays) for k, item in enumerate(value)]
    return storage.plain(value, {})


def _items(said: Any) -> list[tuple[str, Any]]:
    """Return what is inside a list or an object, by name."""
    if isinstance(said, dict):
        return list(said.items())
    return [(str(k), item) for k, item in enumerate(said)] if isinstance(said, list) else []


def _arrays_in(said: Any, path: str) -> list[str]:
    """Return the paths of the arrays of a value."""
    if said == {"array": True} and said["array"] is True:
        return [path]
    return [found for key, item in _items(said) for found in _arrays_in(item, f"{path}.{key}")]


def _with_arrays(said: Any, path: str, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return what `_without_arrays` said so."""
    if path in arrays:
        return arrays[path]
    if isinstance(said, dict) and set(said) == {"bytes"}:
        return bytes.fromhex(said["bytes"])
    if said in ({"float": "inf"}, {"float": "-inf"}, {"float": "nan"}):
        return float(said["float"])
    if isinstance(said, dict) and set(said) != {"integer"}:
        return {key: _with_arrays(item, f"{path}.{key}", arrays) for key, item in said.items()}
    if isinstance(said, list):
        return [_with_arrays(item, f"{path}.{key}", arrays) for key, item in _items(said)]
    return storage.value(said, {})


# ---- taking it back ---------------------------------------------------------------------------


def _restore(trainer: Any, name: str, value: Any) -> None:
    """Set an attribute of a fresh trainer, if the value is like the one that is there."""
    fresh = getattr(trainer, f"_{name}")
    if name == "watch" and isinstance(value, dict):  # of a run that was on
        fresh = {"monitor": "", "best": 0.0, "epoch": 0, "waited": 0,
                 "parameters": value.get("parameters")}  # fmt: skip
    if name == "place" and isinstance(value, dict):  # an older version knew fewer numbers
        value = {**fresh, **value}
    if not _alike(value, fresh):
        raise FormatError(f"its {name} is not that of such a trainer")
    if name == "place":
        fine = all(
            math.isfinite(number) and (key == "loss_sum" or number >= 0)
            and not (key.endswith(("power", "power_1", "power_2", "power_3")) and number > 1.0)
            if isinstance(number, float) else 0 <= number < 2**53
            for key, number in value.items() if key != "seed"
        )  # fmt: skip
        if not fine or value["seed"] != trainer.seed:
            raise FormatError("its place is not that of such a trainer")
    if name == "learning_rate":
        trainer.learning_rate = value  # checks it
    elif isinstance(fresh, np.ndarray):
        fresh[...] = value
    elif name == "states":
        for number, (mine, saved) in enumerate(zip(fresh, value)):
            if number == _SQUARES.get(trainer.optimizer.rule) and saved.size and saved.min() < 0:
                raise FormatError("its states hold squares that are negative")
            mine[...] = saved
    else:
        setattr(trainer, f"_{name}", value)


def _alike(value: Any, fresh: Any) -> bool:
    """Whether two values are of one kind, with the same keys and shapes."""
    if isinstance(fresh, dict):
        return (isinstance(value, dict) and value.keys() == fresh.keys()
                and all(_alike(value[key], fresh[key]) for key in fresh))  # fmt: skip
    if isinstance(fresh, list):
        return (isinstance(value, list) and len(value) == len(fresh)
                and all(map(_alike, value, fresh)))  # fmt: skip
    if isinstance(fresh, np.ndarray):
        return isinstance(value, np.ndarray) and value.shape == fresh.shape
    return type(value) is type(fresh)


_HISTORY = ("columns", "epochs", "seconds", "best_epoch", "ended")


def _described(history: Any) -> tuple[list[str], int]:
    """Return the columns and the number of epochs of a history."""
    if not isinstance(history, dict) or set(history) != set(_HISTORY):
        raise FormatError("its history is not described")
    columns = history["columns"]
    if not isinstance(columns, list) or not all(type(name) is str for name in columns):
        raise FormatError("its history is not described")
    if len(set(columns)) != len(columns) or columns[:1] != ["loss"]:
        raise FormatError("its history has other columns than a trainer's")
    _check.number(history["seconds"], "seconds", least=0.0)
    if history["best_epoch"] is not None:
        _check.integer(history["best_epoch"], "best_epoch", 0)
    if type(history["ended"]) is not str:
        raise FormatError("its history is not described")
    return columns, _check.integer(history["epochs"], "epochs", 0)


def _history(said: Mapping[str, Any], table: NDArray[np.float64]) -> History:
    """Return the history whose columns are the rows of a table."""
    history = History()
    history.append_losses(table[0].tolist())
    for name, row in zip(said["columns"][1:], table[1:]):
        history._columns[name] = row.tolist()
    history.seconds, history.ended = float(said["seconds"]), said["ended"]
    history.best_epoch = said["best_epoch"]
    return history
