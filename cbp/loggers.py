"""Loggers: callbacks that write the numbers of every epoch to a file while the network trains.

What lives here: CSV, JSON lines, and TensorBoard's event files, the last two formats written by
hand, so that nothing has to be installed. What must not: anything that changes the training.
Invariant: what an epoch told is in the file when `on_epoch_end` returns.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, TextIO

from . import _check
from ._tensors import file_name
from .callbacks import Callback

__all__ = ["CSVLogger", "JSONLLogger", "TensorBoard"]


class _TextLogger(Callback):
    """What loggers share that write a line of text for every epoch."""

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        self.path = file_name(path)
        self.append = _check.flag(append, "append")
        self._file: TextIO | None = None

    def on_train_begin(self, logs: Mapping[str, float]) -> None:
        """Open the file; a second `fit` with the same logger goes on in it."""
        self._file = open(self.path, "a" if self.append else "w", encoding="utf-8", newline="")
        self.append = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Write the line of an epoch."""
        assert self._file is not None
        self._file.write(self._line(epoch, logs))
        self._file.flush()

    def on_train_end(self, logs: Mapping[str, float]) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _line(self, epoch: int, logs: Mapping[str, float]) -> str:
        raise NotImplementedError


class CSVLogger(_TextLogger):
    """Writes a line of comma-separated numbers for every epoch, below a line of names.

    Parameters
    ----------
    path : str or path-like
    append : bool
        Whether to go on in an old file, under the names that it has.

    Notes
    -----
    The first epoch decides the columns; a number that an epoch has not is left empty. Numbers have
    as many digits as it takes to get the same double back.

    Examples
    --------
    >>> import cbp, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "run.csv")
    >>> trainer = cbp.Trainer(cbp.Network([1, 1], seed=1), seed=1)
    >>> history = trainer.fit([[0], [1]], [0, 0], epochs=2, callbacks=cbp.CSVLogger(path))
    >>> path.read_text()[:10]
    'epoch,loss'
    """

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        super().__init__(path, append=append)
        self._names: list[str] | None = None

    def on_train_begin(self, logs: Mapping[str, float]) -> None:
        """Open the file, and read the names of one that goes on."""
        if self.append and self._names is None and os.path.isfile(self.path):
            with open(self.path, encoding="utf-8", newline="") as file:
                self._names = file.readline().rstrip("\r\n").split(",")[1:] or None
        super().on_train_begin(logs)

    def _line(self, epoch: int, logs: Mapping[str, float]) -> str:
        head = ""
        if self._names is None:
            self._names = list(logs)
            head = ",".join(["epoch", *self._names]) + "\n"
        words = [repr(float(logs[name])) if name in logs else "" for name in self._names]
        return head + ",".join([str(epoch), *words]) + "\n"


class JSONLLogger(_TextLogger):
    """Writes a line with a JSON object for every epoch: {"epoch": 0, "loss": ..., ...}.

    Parameters
    ----------
    path : str or path-like
    append : bool
        Whether to go on in an old file.

    Notes
    -----
    Numbers that are infinite or NaN, which JSON has not, are written as null.
    """

    def _line(self, epoch: int, logs: Mapping[str, float]) -> str:
        import json

        numbers = {name: float(value) for name, value in logs.items()}
        told = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        return json.dumps({"epoch": epoch, **told}) + "\n"


class TensorBoard(Callback):
    """Writes the numbers of every epoch as scalars that TensorBoard shows.

    Parameters
    ----------
    folder : str or path-like
        Made if it is not there. Every logger writes a file of its own into it, so that several
        runs want several folders: ``tensorboard --logdir`` takes the one they are in.
    diagnostics : Diagnostics, optional
        Whose numbers are written as well, as "layer 1/update_ratio" and so on; it must stand
        before this logger among the callbacks.

    Notes
    -----
    TensorBoard is not needed to write. The file is a sequence of TFRecords (length, data, and a
    masked CRC-32C of each), the data are `Event` messages in protocol buffers.

    References
    ----------
    Castagnoli, Bräuer & Herrmann, IEEE Trans. Communications 41 (1993) 883-892 (the CRC).
    """

    def __init__(self, folder: str | os.PathLike[str], *, diagnostics: Any = None) -> None:
        self.folder = file_name(folder)
        self.diagnostics = diagnostics
        self._file: BinaryIO | None = None

    def on_train_begin(self, logs: Mapping[str, float]) -> None:
        """Begin a file."""
        import socket

        os.makedirs(self.folder, exist_ok=True)
        now = time.time()
        for number in range(10**6):
            name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}"
            try:
                path = os.path.join(self.folder, f"{name}.{number}")
                self._file = open(path, "xb")
                break
            except FileExistsError:
                continue
        self._write(_field(1, now) + _field(3, b"brain.Event:2"))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Write the numbers of an epoch."""
        numbers = dict(logs)
        if self.diagnostics is not None and self.diagnostics.records:
            record = self.diagnostics.records[-1]
            if record.epoch == epoch:
                for layer in record.layers:
                    for name, value in layer.numbers().items():
                        numbers[f"layer {layer.layer}/{name}"] = value
        summary = b"".join(_value(name, value) for name, value in numbers.items())
        self._write(_field(1, time.time()) + _field(2, epoch) + _field(5, summary))

    def on_train_end(self, logs: Mapping[str, float]) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, event: bytes) -> None:
        assert self._file is not None
        length = struct.pack("<Q", len(event))
        crcs = struct.pack("<I", masked_crc(length)), struct.pack("<I", masked_crc(event))
        self._file.write(length + crcs[0] + event + crcs[1])
        self._file.flush()


# ---- protocol buffers: the four kinds of field that events have ---------------------------------


def _varint(number: int) -> bytes:
    """Return an integer in groups of 7 bits, the lowest first."""
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    result.append(number)
    return bytes(result)


def _field(number: int, value: float | int | bytes) -> bytes:
    """Return a field: a double, a non-negative integer, or bytes (a string, a message)."""
    if isinstance(value, float):
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _value(tag: str, value: float) -> bytes:
    """Return a field of `Summary`: a tag (1) and a simple_value (2), which is a float."""
    with_value = struct.pack("<Bf", 2 << 3 | 5, _as_float32(value))
    return _field(1, _field(1, tag.encode()) + with_value)


def _as_float32(value: float) -> float:
    """Return a number that a float can hold: what is too large becomes infinite."""
    return value if not abs(value) > 3.4028234e38 else math.copysign(math.inf, value)


# ---- the checksum of TFRecords ------------------------------------------------------------------


def _table() -> Iterable[int]:
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


_CRC = tuple(_table())


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of some bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def masked_crc(data: bytes) -> int:
    """Return the CRC as TFRecords hold it: turned by 15 bits, a constant added."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
