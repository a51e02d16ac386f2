"""Promises of cbp.datasets: fixed data, a fixed split, and strict reading of foreign files."""

from __future__ import annotations

import gzip
import hashlib
import struct

import numpy as np
import pytest

from cbp.datasets import MNIST_FILES, load_digits, load_mnist

# Of the pixels (0..16) of the training and test part, then of their labels, as bytes.
DIGITS_HASHES = ["238ffe25c90c1cd4", "208645cd23e83018", "a2e9b5aad7728894", "ae868ceb6e5b065c"]


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def idx(array: np.ndarray) -> bytes:
    """The IDX file of a uint8 array."""
    return (
        bytes((0, 0, 8, array.ndim))
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype(np.uint8).tobytes()
    )


@pytest.fixture
def mnist(tmp_path):
    """A folder with a small data set in the files of MNIST, and the set itself."""
    rng = np.random.default_rng(5)
    arrays = (
        rng.integers(0, 256, (7, 28, 28), dtype=np.uint8),
        rng.integers(0, 10, 7, dtype=np.uint8),
        rng.integers(0, 256, (3, 28, 28), dtype=np.uint8),
        rng.integers(0, 10, 3, dtype=np.uint8),
    )
    for name, array in zip(MNIST_FILES, arrays, strict=True):
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path, arrays


def test_digits_shapes_types_and_range():
    """Images are float32 in [0, 1] with both ends in use, labels int64 from 0 to 9."""
    digits = load_digits()
    assert [a.shape for a in digits] == [(1442, 64), (1442,), (355, 64), (355,)]
    for X in (digits.X_train, digits.X_test):
        assert X.dtype == np.float32 and X.flags.c_contiguous and X.flags.writeable
        assert X.min() == 0.0 and X.max() == 1.0
    for y in (digits.y_train, digits.y_test):
        assert y.dtype == np.int64
        assert set(y.tolist()) == set(range(10))


def test_digits_never_change():
    """Data and split are frozen for ever: every bit and every row's place."""
    digits = load_digits()
    pixels = [digest((X * 16).astype(np.uint8)) for X in (digits.X_train, digits.X_test)]
    labels = [digest(y.astype(np.uint8)) for y in (digits.y_train, digits.y_test)]
    assert [h[:16] for h in pixels + labels] == DIGITS_HASHES


def test_digits_split_is_stratified():
    """Each class gives a fifth of its images, rounded down, to the test part."""
    digits = load_digits()
    train, test = np.bincount(digits.y_train), np.bincount(digits.y_test)
    assert (train + test).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert test.tolist() == ((train + test) // 5).tolist()


def test_digits_calls_are_independent():
    """A caller who writes into the arrays spoils no later call."""
    load_digits().X_train[:] = -1
    assert load_digits().X_train.min() == 0


def test_digits_equal_the_copy_in_scikit_learn():
    """The 1,797 images are those that scikit-learn ships, apart from scale and order."""
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    theirs = sklearn_datasets.load_digits()
    digits = load_digits()
    ours = np.hstack(
        [
            np.vstack([digits.X_train, digits.X_test]) * 16,
            np.concatenate([digits.y_train, digits.y_test])[:, None],
        ]
    )
    expected = np.hstack([theirs.data, theirs.target[:, None]])
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, expected.tolist()))


def test_mnist_real_files(mnist_folder):
    """The real files give 60,000 and 10,000 images with the published label counts."""
    mnist = load_mnist(mnist_folder)
    assert [a.shape for a in mnist] == [(60000, 784), (60000,), (10000, 784), (10000,)]
    assert all(a.dtype == np.uint8 for a in mnist)
    assert mnist.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(mnist.y_test).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    # The published mean pixel of the training images is 0.1307 of 255.
    assert mnist.X_train.mean() / 255 == pytest.approx(0.1307, abs=5e-5)


@pytest.mark.parametrize("compressed", [False, True])
def test_mnist_plain_and_gz(mnist, compressed):
    """The same arrays come from plain and from compressed files, one image a row."""
    folder, arrays = mnist
    if compressed:
        for name in MNIST_FILES:
            (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
            (folder / name).unlink()
    got = load_mnist(str(folder))
    for a, b in zip(got, arrays, strict=True):
        assert a.dtype == np.uint8
        assert np.array_equal(a, b.reshape(len(b), -1) if b.ndim == 3 else b)


@pytest.mark.parametrize("where", ["variable", "working folder", "cache"])
def test_mnist_is_looked_for(mnist, where, monkeypatch, tmp_path_factory):
    """Without `path`: CBP_MNIST, then ./mnist, then ~/.cache/cbp/mnist."""
    folder, arrays = mnist
    empty = tmp_path_factory.mktemp("empty")
    home = tmp_path_factory.mktemp("home")
    monkeypatch.delenv("CBP_MNIST", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(empty)
    if where == "variable":
        monkeypatch.setenv("CBP_MNIST", str(folder))
    elif where == "working folder":
        (empty / "mnist").symlink_to(folder)
    else:
        (home / ".cache" / "cbp").mkdir(parents=True)
        (home / ".cache" / "cbp" / "mnist").symlink_to(folder)
    assert np.array_equal(load_mnist().y_train, arrays[1])


def test_mnist_path_wins(mnist, monkeypatch, tmp_path_factory):
    """`path` is the only folder looked at when it is given."""
    folder, _ = mnist
    monkeypatch.setenv("CBP_MNIST", str(folder))
    with pytest.raises(FileNotFoundError):
        load_mnist(tmp_path_factory.mktemp("empty"))


def test_mnist_absent_says_how_to_get_it(tmp_path, monkeypatch):
    """One sentence names the folder, the four files, where they are published and the remedy."""
    with pytest.raises(FileNotFoundError) as caught:
        load_mnist(tmp_path)
    assert str(caught.value) == (
        f"MNIST was not found in {tmp_path}: get its four files (train-images-idx3-ubyte, "
        "train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte; .gz is fine) "
        "from Yann LeCun's MNIST page or a mirror of it, and name their folder in `path` or in "
        "the environment variable CBP_MNIST."
    )
    monkeypatch.delenv("CBP_MNIST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / ".cache" / "cbp" / "mnist"
    with pytest.raises(FileNotFoundError, match=f"^MNIST was not found in mnist or {cache}: "):
        load_mnist()


def test_mnist_one_file_missing(mnist):
    """Three files of four are not MNIST."""
    folder, _ = mnist
    (folder / MNIST_FILES[3]).unlink()
    with pytest.raises(FileNotFoundError, match="^MNIST was not found in "):
        load_mnist(folder)


@pytest.mark.parametrize("path", [5, b"mnist", ["mnist"]])
def test_mnist_path_kind(path):
    """A path of the wrong kind is a TypeError in one sentence."""
    message = rf"^`path` must name a folder \(str or os.PathLike\), got {type(path).__name__}\.$"
    with pytest.raises(TypeError, match=message):
        load_mnist(path)


DAMAGE = {
    "empty": (lambda b: b"", r"must begin with the IDX magic number 0x00000803, got 0x\.$"),
    "other kind of number": (
        lambda b: b"\0\0\x0d\x03" + b[4:],
        r"must begin with the IDX magic number 0x00000803, got 0x00000d03\.$",
    ),
    "labels for images": (
        lambda b: b"\0\0\x08\x01" + b[4:],
        r"must begin with the IDX magic number 0x00000803, got 0x00000801\.$",
    ),
    "header cut": (lambda b: b[:13], r"ends early: fetch it again\.$"),
    "data cut": (lambda b: b[:-1], r"ends early: fetch it again\.$"),
    "too long": (
        lambda b: b + b"\0",
        r"goes on after the 5488 bytes that its header announces\.$",
    ),
    "absurd sizes": (lambda b: b[:4] + b"\xff" * 12 + b[16:], r"ends early: fetch it again\.$"),
    "another count": (
        lambda b: b[:4] + struct.pack(">I", 6) + b[8:-784],
        r"holds 6 images but .* holds 7 labels: they do not belong together\.$",
    ),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("case", DAMAGE)
def test_mnist_damaged(mnist, case, compressed):
    """A file that is not exactly what it should be is a ValueError in one sentence."""
    folder, _ = mnist
    change, message = DAMAGE[case]
    file = folder / MNIST_FILES[0]
    data = change(file.read_bytes())
    file.unlink()
    if compressed:
        file = folder / f"{file.name}.gz"
        data = gzip.compress(data)
    file.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        load_mnist(folder)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ["not gzip", "cut", "flipped"])
def test_mnist_damaged_gzip(mnist, case):
    """Damage to the compression itself is a ValueError too."""
    folder, _ = mnist
    plain = folder / MNIST_FILES[0]
    data = plain.read_bytes()
    packed = gzip.compress(data)
    plain.unlink()
    if case == "not gzip":
        packed = data
    elif case == "cut":
        packed = packed[: len(packed) // 2]
    else:
        packed = packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]  # the CRC-32
    (folder / f"{plain.name}.gz").write_bytes(packed)
    with pytest.raises(ValueError, match=r" is not a complete gzip file: "):
        load_mnist(folder)
