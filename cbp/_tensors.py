"""The container of cbp's files: safetensors, written canonically and durably, read strictly.

What lives here: bytes, offsets, checksum and the order of system calls. What must not: what a
network is (that is `storage`'s). Invariants: the same tensors and words give the same bytes; a file
appears under its name complete or not at all; nothing in a file is believed before it is checked.
docs/format.md says the format in words.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _check
from .exceptions import FormatError

try:
    import fcntl
except ImportError:  # no locks there: leftovers of a killed process stay
    fcntl = None  # type: ignore[assignment]

__all__ = ["MOST_EXACT", "Reader", "Tensor", "canonical", "file_name", "parsed", "write"]

# Limits of a header: within them a hostile one costs milliseconds and a few MiB.
MOST_HEADER_BYTES = 2**20
MOST_TENSORS = 10_000
MOST_NESTING = 4
MOST_DIGITS = 19
MOST_EXACT = 2**53  # integers beyond this are not the same to every reader of JSON
_LONGEST_NAME = 4096  # PATH_MAX of Linux
_NAME = re.compile(r"[A-Za-z0-9_.]{1,256}")

# safetensors' names of the types that cbp stores, all little-endian.
DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "U8": np.dtype("u1"),
}  # fmt: skip
_CODES = {dtype: code for code, dtype in DTYPES.items()}
_UNSET = "0" * 64  # stands for the checksum where the checksum is computed
_PIECE = 2**20


class Tensor(NamedTuple):
    """Type and shape of a tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size of the data."""
        size = DTYPES[self.dtype].itemsize
        for n in self.shape:
            size *= n
        return size


# ---- JSON -------------------------------------------------------------------------------------


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: ASCII, no spaces, keys in their order."""
    import json  # here, as hashlib below: `import cbp` shall not wait for them

    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def parsed(text: str) -> Any:
    """Return what a JSON text says; FormatError unless it is the canonical one of its value."""
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    if outside.count("[") + outside.count("{") > 5 * MOST_TENSORS:
        raise FormatError("the header holds too many lists")
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", outside):
        depth += 1 if bracket in "[{" else -1
        if depth > MOST_NESTING:
            raise FormatError(f"the header is nested deeper than {MOST_NESTING} levels")
    import json

    try:
        value = json.loads(
            text, object_pairs_hook=_without_twins, parse_constant=_refuse, parse_int=_integer
        )
        same = canonical(value) == text
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, FormatError) else "the header is not JSON"
        raise FormatError(reason) from None
    if not same:
        raise FormatError("the header is not written as cbp writes it")
    return value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON whose keys are all different."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise FormatError("the header says something twice")
    return result


def _refuse(constant: str) -> Any:
    """Refuse NaN and infinity, which are not JSON."""
    raise FormatError(f"the header holds {constant}")


def _integer(digits: str) -> int:
    """Return an integer that every reader of JSON takes for the same."""
    if len(digits) > MOST_DIGITS or abs(int(digits)) > MOST_EXACT:
        raise FormatError("the header holds an integer beyond 2**53")
    return int(digits)


# ---- layout -----------------------------------------------------------------------------------


def _ordered(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names in the order of the data: wide types first, so that all are aligned."""
    return sorted(tensors, key=lambda name: (-DTYPES[tensors[name].dtype].itemsize, name))


def _header(words: Mapping[str, str], tensors: Mapping[str, Tensor]) -> bytes:
    """Return the header of these tensors, padded with spaces to a multiple of 8."""
    table: dict[str, Any] = {"__metadata__": {name: words[name] for name in sorted(words)}}
    at = 0
    for name in _ordered(tensors):
        tensor = tensors[name]
        table[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape),
                       "data_offsets": [at, at + tensor.nbytes]}  # fmt: skip
        at += tensor.nbytes
    text = canonical(table).encode("ascii")
    return text + b" " * (-len(text) % 8)


def _prefix(header: bytes) -> bytes:
    """Return the length of the header as the file begins with it."""
    return len(header).to_bytes(8, "little")


# ---- writing ----------------------------------------------------------------------------------


def write(path: Any, words: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the file whole and durably, or leave what was there; OSError where that fails."""
    import hashlib

    data = {name: _little(array) for name, array in arrays.items()}
    tensors = {name: Tensor(_CODES[a.dtype], a.shape) for name, a in data.items()}
    pieces = [data[name].reshape(-1).view("u1").data for name in _ordered(tensors)
              if data[name].size]  # fmt: skip
    header = _header({**words, "checksum": _UNSET}, tensors)
    if len(header) > MOST_HEADER_BYTES or len(tensors) > MOST_TENSORS:
        raise ValueError(
            f"A file describes at most {MOST_HEADER_BYTES // 2**20} MiB of layers and options in "
            f"{MOST_TENSORS:,} tensors, got {len(header):,} bytes in {len(tensors):,}."
        )
    digest = hashlib.sha256(_prefix(header) + header)
    for piece in pieces:
        digest.update(piece)
    header = _header({**words, "checksum": digest.hexdigest()}, tensors)
    _replace(_target(path), [memoryview(_prefix(header) + header), *pieces])


def _little(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array C-contiguous and little-endian; a copy only where it is not."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)


def file_name(path: Any) -> str:
    """Return a path as a string; TypeError or ValueError where it is none."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"`path` must be the name of a file, got {type(path).__name__}.")
    name = os.fsdecode(path)
    if "\0" in name or len(name) > _LONGEST_NAME:
        raise ValueError(
            f"`path` must be the name of a file, got {len(name):,} characters that are none: pass "
            "the name, not what the file holds."
        )
    return name


def _target(path: Any) -> str:
    """Return the name to replace: through links, and of a regular file if there is one."""
    name = os.path.realpath(file_name(path))
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        return name
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "cbp writes a file, not a folder", name)
    if not stat.S_ISREG(mode):
        raise ValueError(f"`path` must name a regular file or nothing yet, got {name!r}.")
    return name


def _replace(name: str, pieces: list[memoryview]) -> None:
    """Put the pieces in the place of the file `name`: temporary file, fsync, rename, fsync."""
    import hashlib

    folder, base = os.path.split(name)
    stem = f".cbp-{hashlib.sha256(os.fsencode(base)).hexdigest()[:16]}-"
    _remove_leftovers(folder, stem)
    try:
        temporary, fd = _temporary(folder, stem)
    except OSError as error:  # whose file's name means nothing to anybody
        raise OSError(error.errno, error.strerror, folder) from None
    try:
        try:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(fd, stat.S_IMODE(os.stat(name).st_mode))
            for piece in pieces:
                while piece:
                    piece = piece[os.write(fd, piece[: 2**30]) :]
            os.fsync(fd)
            # The lock says that somebody is still at it, so it is kept until the file has its name.
            os.replace(temporary, name)
        finally:
            os.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _temporary(folder: str, stem: str) -> tuple[str, int]:
    """Return the name of a new file, and its descriptor, locked while its writer lives."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        name = os.path.join(folder, f"{stem}{os.urandom(8).hex()}.tmp")
        fd = os.open(name, flags, 0o666)  # what the user's umask leaves of it
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return name, fd
        os.close(fd)  # another save took it for a leftover before it was locked


def _remove_leftovers(folder: str, stem: str) -> None:
    """Remove the temporary files of saves of this file that were killed."""
    if fcntl is None:
        return
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if name.startswith(stem) and name.endswith(".tmp"):
            with contextlib.suppress(OSError):  # in use, or somebody else's
                path = os.path.join(folder, name)
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)
                finally:
                    os.close(fd)


# ---- reading ----------------------------------------------------------------------------------


class Reader:
    """An open file whose header is sound; FormatError where it is not.

    Attributes
    ----------
    words : dict of str
        `__metadata__`, without the checksum.
    tensors : dict of Tensor
        As the header tells; whether they are what the words call for is the caller's to check.
    """

    def __init__(self, path: Any) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        try:
            self._fd = os.open(file_name(path), flags)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a socket
                raise FormatError("it is not a regular file") from None
            raise
        try:
            self._open()
        except BaseException:
            os.close(self._fd)
            raise

    def _open(self) -> None:
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            raise FormatError("it is not a regular file")
        size = status.st_size
        if size < 10:
            raise FormatError("it is too short")
        if size > _check.memory_bytes():
            raise FormatError("it is larger than this machine's memory")
        length = int.from_bytes(self._read(8, 0), "little")
        if length > MOST_HEADER_BYTES:
            raise FormatError("its first 8 bytes are not the length of a header")
        if length > size - 8:
            raise FormatError("it is cut short")
        self._raw = self._read(length, 8)
        self.words, self.tensors = _described(self._raw)
        self._checksum = self.words.pop("checksum", "")
        self._offsets, at = {}, 8 + length
        for name in _ordered(self.tensors):
            self._offsets[name] = at
            at += self.tensors[name].nbytes
        if at != size:
            raise FormatError(f"it should have {at:,} bytes by its header, got {size:,}")
        self._size = size

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)

    def _read(self, n: int, at: int) -> bytes:
        """Return n bytes; FormatError where the file has become shorter."""
        pieces = []
        while n:
            piece = os.pread(self._fd, n, at)
            if not piece:
                raise FormatError("it is cut short")
            pieces.append(piece)
            n, at = n - len(piece), at + len(piece)
        return b"".join(pieces)

    def verify(self) -> None:
        """Compute the checksum of the file; FormatError unless it is the one that stands there."""
        import hashlib

        blank = _header({**self.words, "checksum": _UNSET}, self.tensors)
        digest = hashlib.sha256(_prefix(blank) + blank)
        for at in range(8 + len(self._raw), self._size, _PIECE):
            digest.update(self._read(min(self._size - at, _PIECE), at))
        if digest.hexdigest() != self._checksum:
            raise FormatError("its checksum is wrong: it was damaged or changed")

    def read(self, name: str) -> NDArray[Any]:
        """Return a tensor as a fresh array in the machine's byte order."""
        tensor, at = self.tensors[name], self._offsets[name]
        result: NDArray[Any] = np.empty(tensor.shape, DTYPES[tensor.dtype])
        left = result.reshape(-1).view("u1").data if result.size else memoryview(b"")
        while left:
            piece = self._read(min(len(left), _PIECE), at)
            left[: len(piece)] = piece
            left, at = left[len(piece) :], at + len(piece)
        return result.astype(result.dtype.newbyteorder("="), copy=False)


def _described(raw: bytes) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the words and the tensors of a header that is exactly what `_header` writes."""
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise FormatError("the header is not text") from None
    table = parsed(text.rstrip(" "))
    if not isinstance(table, dict):
        raise FormatError("the header is not an object of JSON")
    words = table.pop("__metadata__", None)
    if not isinstance(words, dict) or not all(type(word) is str for word in words.values()):
        raise FormatError("the header has no `__metadata__` of cbp's")
    if len(table) > MOST_TENSORS:
        raise FormatError(f"the header describes more than {MOST_TENSORS:,} tensors")
    tensors = {}
    for name, entry in table.items():
        if not _NAME.fullmatch(name):
            raise FormatError("a tensor has a name that cbp does not give")
        tensors[name] = _entry(entry)
    # What is left of freedom, offsets above all, is compared whole.
    if _header(words, tensors) != raw:
        raise FormatError("the header is not written as cbp writes it")
    return words, tensors


def _entry(entry: Any) -> Tensor:
    """Return what the header says of a tensor; its offsets are not read but recomputed."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise FormatError("a tensor has other fields than dtype, shape and data_offsets")
    dtype, shape = entry["dtype"], entry["shape"]
    if type(dtype) is not str or dtype not in DTYPES:
        raise FormatError("a tensor is of a type that cbp does not store")
    if not isinstance(shape, list) or len(shape) > 2:
        raise FormatError("a tensor has a shape that cbp does not store")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise FormatError("a tensor has a shape that is not of whole numbers")
    return Tensor(dtype, tuple(shape))
