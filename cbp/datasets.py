"""Handwritten digits to learn from: a small set that ships with cbp, and MNIST where it is at hand.

Both are stored in the IDX format of MNIST, so there is one reader.  Nothing here touches the
network, and the core of cbp never imports this module.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Digits", "Mnist", "load_digits", "load_mnist"]

MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_CHUNK = 1 << 20  # bytes; a file that promises more than it holds cannot ask for more memory


class Digits(NamedTuple):
    """The 8 x 8 digits: float32 images in [0, 1] and int64 labels, split for training and test."""

    X_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    X_test: NDArray[np.float32]
    y_test: NDArray[np.int64]


class Mnist(NamedTuple):
    """MNIST as it is published: uint8 pixels from 0 to 255 and uint8 labels from 0 to 9."""

    X_train: NDArray[np.uint8]
    y_train: NDArray[np.uint8]
    X_test: NDArray[np.uint8]
    y_test: NDArray[np.uint8]


def load_digits() -> Digits:
    """Return the 1,797 handwritten digits of 8 x 8 pixels that ship with cbp.

    Returns
    -------
    Digits
        ``X_train`` (1442, 64) and ``X_test`` (355, 64), float32 in [0, 1], one image a row, its
        pixels row by row; ``y_train`` (1442,) and ``y_test`` (355,), int64 labels from 0 to 9.
        Fresh arrays at every call.

    Notes
    -----
    The split never changes: within each class, in the order of the published file, every fifth
    image (the 5th, the 10th, ...) is a test image.  So each class gives 80 % to training.

    References
    ----------
    E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0.

    Examples
    --------
    >>> from cbp.datasets import load_digits
    >>> digits = load_digits()
    >>> digits.X_train.shape, digits.y_test.shape
    ((1442, 64), (355,))
    """
    folder = Path(__file__).parent / "data"
    images, labels = _read_pair(
        folder / "digits-images-idx3-ubyte.gz", folder / "digits-labels-idx1-ubyte.gz"
    )
    X = images.astype(np.float32) / np.float32(16)  # exact: pixels are the integers 0..16
    y = labels.astype(np.int64)
    test = np.zeros(len(y), dtype=bool)
    for label in range(10):
        test[np.flatnonzero(y == label)[4::5]] = True
    return Digits(X[~test], y[~test], X[test], y[test])


def load_mnist(path: str | os.PathLike[str] | None = None) -> Mnist:
    """Return MNIST, read from the four IDX files, plain or gzip-compressed.

    Parameters
    ----------
    path : str or os.PathLike, optional
        The folder that holds the files.  Without it, the folder that the environment variable
        CBP_MNIST names; without that, ``./mnist`` and then ``~/.cache/cbp/mnist``.

    Returns
    -------
    Mnist
        ``X_train`` (60000, 784) and ``X_test`` (10000, 784), uint8 from 0 to 255, one image a
        row; ``y_train`` (60000,) and ``y_test`` (10000,), uint8 labels.  Any other data set in
        the same four files (Fashion-MNIST, say) is read just as well, with its own sizes.

    Raises
    ------
    FileNotFoundError
        A file is in none of these folders.
    TypeError
        `path` is not the name of a folder.
    ValueError
        A file is not what its name says: wrong magic number, too short, too long, damaged, or
        images and labels that do not belong together.

    References
    ----------
    Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits.
    """
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"`path` must name a folder (str or os.PathLike), got {type(path).__name__}."
        )
    if path is None:
        path = os.environ.get("CBP_MNIST") or None
    folders = (
        [Path("mnist"), Path.home() / ".cache" / "cbp" / "mnist"] if path is None else [Path(path)]
    )
    for folder in folders:
        found = [_plain_or_gz(folder / name) for name in MNIST_FILES]
        files = [file for file in found if file is not None]
        if len(files) == len(MNIST_FILES):
            X_train, y_train = _read_pair(files[0], files[1])
            X_test, y_test = _read_pair(files[2], files[3])
            return Mnist(X_train, y_train, X_test, y_test)
    raise FileNotFoundError(
        f"MNIST was not found in {' or '.join(str(folder) for folder in folders)}: get its four "
        f"files ({', '.join(MNIST_FILES)}; .gz is fine) from Yann LeCun's MNIST page or a mirror "
        "of it, and name their folder in `path` or in the environment variable CBP_MNIST."
    )


def _plain_or_gz(file: Path) -> Path | None:
    """The file itself or its .gz, whichever is there."""
    for candidate in (file, file.with_name(file.name + ".gz")):
        if candidate.is_file():
            return candidate
    return None


def _read_pair(images: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (n, height * width) and labels (n,) that belong together."""
    X = _read_idx(images, n_axes=3)
    y = _read_idx(labels, n_axes=1)
    if len(X) != len(y):
        raise ValueError(
            f"{images} holds {len(X)} images but {labels} holds {len(y)} labels: "
            "they do not belong together."
        )
    return X.reshape(len(X), math.prod(X.shape[1:])), y


def _read_idx(file: Path, n_axes: int) -> NDArray[np.uint8]:
    """The uint8 array of one IDX file: 0, 0, 8 (uint8), number of axes, big-endian sizes, data."""
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rb") as stream:
        try:
            header = _read_up_to(stream, 4 + 4 * n_axes)
            magic = bytes((0, 0, 8, n_axes))
            if header[:4] != magic:
                raise ValueError(
                    f"{file} must begin with the IDX magic number 0x{magic.hex()}, "
                    f"got 0x{header[:4].hex()}."
                )
            sizes = [int.from_bytes(header[at : at + 4], "big") for at in range(4, len(header), 4)]
            n_bytes = math.prod(sizes)
            data = _read_up_to(stream, n_bytes + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{file} is not a complete gzip file: {error}.") from error
    if len(header) < 4 + 4 * n_axes or len(data) < n_bytes:
        raise ValueError(f"{file} ends early: fetch it again.")
    if len(data) > n_bytes:
        raise ValueError(f"{file} goes on after the {n_bytes} bytes that its header announces.")
    return np.frombuffer(data, dtype=np.uint8).reshape(sizes)


def _read_up_to(stream: gzip.GzipFile | io.BufferedReader, n_bytes: int) -> bytearray:
    """At most `n_bytes`, fewer at the end of the stream; memory grows with what is there."""
    data = bytearray()
    while len(data) < n_bytes:
        chunk = stream.read(min(_CHUNK, n_bytes - len(data)))
        if not chunk:
            break
        data += chunk
    return data
