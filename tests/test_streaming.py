"""What training is fed with: rows of other types, memory maps, and streams of batches."""

import itertools

import numpy as np
import pytest

import cbp
from cbp import _check, _runtime

rng = np.random.default_rng(8)
X = rng.normal(size=(60, 5)).astype(np.float32)
T = np.tanh(X[:, :2])
LABELS = X[:, :3].argmax(axis=1)
TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
         "float32", "float64", "bool"]  # fmt: skip


def trainer(output="identity", n_outputs=2, *, dtype="float32", sizes=(5, 7), **options):
    net = cbp.Network([*sizes, n_outputs], "tanh", output, dtype=dtype, seed=1)
    return cbp.Trainer(net, **{"batch_size": 8, "seed": 2, **options})


def same(one, other):
    np.testing.assert_array_equal(one.net.parameters, other.net.parameters)


@pytest.fixture
def keep_types(monkeypatch):
    """Even small inputs keep their type."""
    monkeypatch.setattr(_check, "_MOST_BYTES", 0)


# ---- types ------------------------------------------------------------------------------------


def of_type(name, n, columns):
    """Rows that fill the range of a type."""
    dtype = np.dtype(name)
    if dtype.kind == "f":
        rows = rng.normal(size=(n, columns)) * 10.0 ** rng.integers(-7, 4, (n, columns))
        rows.flat[:4] = 0.0, -0.0, 6e-8, 65504.0  # a subnormal and the largest half
        return rows.astype(dtype)
    if dtype.kind == "b":
        return rng.random((n, columns)) < 0.5
    limits = np.iinfo(dtype)
    rows = rng.integers(limits.min, limits.max, (n, columns), dtype=dtype, endpoint=True)
    rows.flat[:2] = limits.min, limits.max
    return rows


@pytest.mark.parametrize("columns", [1, 15, 16, 17, 40])
@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_those_of_astype(isa, keep_types, dtype, name, columns):
    """predict takes each type as X.astype(dtype), bit for bit."""
    rows = of_type(name, 37, columns)
    net = cbp.Network([columns, columns], bias=False, dtype=dtype, init="zeros")
    net.weights[0] = np.eye(columns)
    expected = rows.astype(dtype)
    np.testing.assert_array_equal(net.predict(rows), expected)
    np.testing.assert_array_equal(np.signbit(net.predict(expected)), np.signbit(net.predict(rows)))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("name", TYPES)
@pytest.mark.usefixtures("all_threads")
def test_training_on_other_types(keep_types, name, n_threads):
    """fit, evaluate and validation convert minibatch by minibatch, to the bits of X.astype."""
    rows = of_type(name, 60, 5)
    if rows.dtype.kind in "iu":
        rows %= 5
    elif rows.dtype.kind == "f":
        rows = np.clip(rows, -3, 3)
    one, other = trainer(n_threads=n_threads), trainer(n_threads=n_threads)
    options = {"validation_split": 0.3, "restore_best": False}
    mine = one.fit(rows, T, 3, **options)
    theirs = other.fit(rows.astype(np.float32), T, 3, **options)
    same(one, other)
    assert dict(mine) == dict(theirs)
    assert one.evaluate(rows, T) == other.evaluate(rows.astype(np.float32), T)
    assert one.train_on_batch(rows, T) == other.train_on_batch(rows.astype(np.float32), T)


def test_large_rows_of_another_type_are_not_copied(monkeypatch):
    """Beyond 4 MiB X keeps its type; the check for finite numbers goes part by part."""
    rows = rng.integers(0, 4, (6000, 200), dtype=np.uint8)
    labels = rng.integers(0, 3, 6000)
    run = trainer("softmax", 3, sizes=(200, 4))
    seen = []
    check = _check.converted
    monkeypatch.setattr(
        _check, "converted", lambda a, name, dtype: seen.append(name) or check(a, name, dtype)
    )
    run.fit(rows, labels, 1)
    assert "X" not in seen
    run.fit(rows[:600], labels[:600], 1)
    assert "X" in seen


@pytest.mark.parametrize("value, words", [
    (np.nan, r"must be finite, got nan in row 5500, column 3: remove or replace such values\.$"),
    (1e39, r"must fit float32, got 1e\+39 in row 5500, column 3: scale it down or use "
           r"`dtype='float64'`\.$")])  # fmt: skip
def test_wrong_values_of_a_large_array_are_named(value, words):
    """The row is that of the whole array."""
    rows = rng.normal(size=(6000, 200))
    rows[5500, 3] = value
    with pytest.raises(ValueError, match=r"^`X` " + words):
        trainer(sizes=(200, 4)).fit(rows, np.zeros((6000, 2)), 1)


def test_memory_map(tmp_path):
    """A memory map of bytes trains as the array in memory does."""
    rows = rng.integers(0, 4, (3000, 400), dtype=np.uint8)
    labels = rng.integers(0, 3, 3000)
    rows.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", np.uint8, "r", shape=rows.shape)
    runs = [trainer("softmax", 3, sizes=(400, 6)) for _ in range(2)]
    runs[0].fit(mapped, labels, 2)
    runs[1].fit(rows.astype(np.float32), labels, 2)
    same(*runs)


# ---- streams ----------------------------------------------------------------------------------


def batches(size=8):
    return [(X[i : i + size], T[i : i + size]) for i in range(0, len(X), size)]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "nadam"])
@pytest.mark.parametrize("source", ["list", "function"])
def test_stream_equals_arrays(optimizer, source):
    """The same rows in the same order: bits, losses and validation of a run over arrays."""
    one = trainer(optimizer=optimizer)
    other = trainer(optimizer=optimizer, shuffle=False)
    options = {"validation_data": (X[:10], T[:10]), "restore_best": False}
    mine = one.fit(batches() if source == "list" else lambda: iter(batches()), epochs=3, **options)
    theirs = other.fit(X, T, 3, **options)
    same(one, other)
    assert dict(mine) == dict(theirs)
    assert one._place == other._place


def test_stream_with_weights_and_classes():
    """Third elements weigh the rows; class_weight multiplies them."""
    weight, of = rng.random(60), {0: 2.0, 2: 0.5}
    stream = [(X[i : i + 8], LABELS[i : i + 8], weight[i : i + 8]) for i in range(0, 60, 8)]
    one, other = trainer("softmax", 3), trainer("softmax", 3, shuffle=False)
    one.fit(stream, epochs=2, class_weight=of)
    other.fit(X, LABELS, 2, sample_weight=weight, class_weight=of)
    same(one, other)


def test_stream_with_a_schedule():
    """The rates go with the steps, as over arrays."""
    one = trainer(schedule=cbp.Cosine(20))
    other = trainer(schedule=cbp.Cosine(20), shuffle=False)
    one.fit(batches(), epochs=3)
    other.fit(X, T, 3)
    same(one, other)


def test_a_generator_serves_one_epoch():
    """An iterator is used up by an epoch; its maker is not."""
    run = trainer()
    assert run.fit((batch for batch in batches()), epochs=1).epochs == 1
    with pytest.raises(ValueError, match=r"^`X` is an iterator, which serves one epoch, not 2: "
                       r"pass the function that makes it, without calling it\.$"):
        run.fit((batch for batch in batches()), epochs=2)
    used = iter(())
    with pytest.raises(ValueError, match=r"^`X` must give at least one batch in every epoch, got "
                       r"none: an iterator serves once, a function that makes one always\.$"):
        run.fit(lambda: used, epochs=1)


def test_a_stream_takes_no_targets():
    """fit(batches, 5) means epochs=5, and is told so."""
    run = cbp.Trainer(cbp.Network([2, 1]))
    with pytest.raises(TypeError, match=r"^`Y` must be left out where X is a stream.*epochs=n\)\.$"):
        run.fit(lambda: [([[0.0, 1.0]], [1.0])], 5)


def test_wrong_batches_are_named():
    """The batch, and what is wrong with it; what was learnt before stays."""
    run = trainer()
    wrong = [*batches()[:2], (X[:8, :4], T[:8])]
    with pytest.raises(ValueError, match=r"^In batch 3, `X` must have 5 columns \(the network's "
                       r"inputs\), got 4\.$"):
        run.fit(wrong, epochs=1)
    assert run._place["step"] == 2 and run._place["batch"] == 0 and run.history.epochs == 0
    with pytest.raises(TypeError, match=r"^Batch 1 must be \(X, Y\) or \(X, Y, sample_weight\), "
                       r"got ndarray\.$"):
        run.fit([X], epochs=1)
    with pytest.raises(TypeError, match=r"^`Y` must be given with an array `X`\.$"):
        run.fit(X)
    with pytest.raises(TypeError, match=r"^`X` without `Y` must be an iterable of batches \(X, Y\),"
                       r" or a function that returns one, got 3\.$"):
        run.fit(3)


@pytest.mark.parametrize("name, value", [
    ("validation_split", 0.5), ("sample_weight", np.ones(60)), ("order", np.arange(60))])  # fmt: skip
def test_what_does_not_go_with_a_stream(name, value):
    """Options that need all rows at once are refused."""
    with pytest.raises(ValueError, match=f"^`{name}` does not go with a stream of batches"):
        trainer().fit(batches(), epochs=1, **{name: value})


def test_balanced_classes_of_a_stream():
    """Nobody can count them beforehand."""
    with pytest.raises(ValueError, match=r"^`class_weight` must be a mapping where X is a stream"):
        trainer("softmax", 3).fit([(X, LABELS)], epochs=1, class_weight="balanced")
    with pytest.raises(ValueError, match=r"^`metrics` need `validation_data` where X is a stream"):
        trainer("softmax", 3, metrics="accuracy").fit([(X, LABELS)], epochs=1)


def test_divergence_in_a_stream():
    """Epoch, batch and layer are named; the parameters of the last end of an epoch come back."""
    run, other = trainer(), trainer()
    run.fit(batches(), epochs=1)
    other.fit(batches(), epochs=1)
    bad = batches()
    bad[3] = (X[:8], np.full((8, 2), 1e30))
    with pytest.raises(cbp.DivergenceError, match=r"^The loss became inf in epoch 2, batch 4 "):
        run.fit(bad, epochs=1)
    same(run, other)


def test_stop_in_a_stream():
    """An endless stream ends with max_seconds, or when a callback stops it."""
    run = trainer()
    endless = lambda: itertools.cycle(batches())  # noqa: E731
    history = run.fit(endless, epochs=1, max_seconds=0.05)
    assert history.epochs == 0 and run._place["step"] > 0 and history.ended == "max_seconds"
    class Stop(cbp.Callback):
        def on_train_batch_end(self, batch, logs):
            if batch == 4:
                self.trainer.stop()
    before = run._place["step"]
    assert run.fit(endless, epochs=1, callbacks=Stop()).ended == "stop"
    assert run._place["step"] == before + 5


# ---- one batch --------------------------------------------------------------------------------


def plain(run, rows, targets):
    """Whether the compiled checks took a batch; it has been trained on then."""
    return run._loop.update_plain(rows, targets, run.learning_rate, 1) is not None


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("output, loss", [
    ("identity", "auto"), ("sigmoid", "auto"), ("softmax", "auto"), ("tanh", "squared_error")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches_with_compiled_checks(dtype, output, loss, optimizer):
    """train_on_batch has one result, whichever checks it goes through."""
    rows = X.astype(dtype)
    targets = LABELS if output == "softmax" else np.abs(T).astype(dtype)
    n_outputs = 3 if output == "softmax" else 2
    one, other = (
        trainer(output, n_outputs, loss=loss, dtype=dtype, optimizer=optimizer) for _ in range(2)
    )
    for first in range(0, 60, 20):
        part = slice(first, first + 20)
        assert one.train_on_batch(rows[part], targets[part]) == other.train_on_batch(
            rows[part].tolist(), targets[part].tolist()
        )
    same(one, other)
    assert one._place == other._place and one._place["step"] == 3
    assert plain(one, rows, targets)


@pytest.mark.parametrize("n_threads", [1, 2, "auto"])
@pytest.mark.parametrize("n_rows", [8, 2048])
def test_large_batches_have_compiled_checks_too(monkeypatch, n_threads, n_rows):
    """Also those that pay for several threads, whoever says how many."""
    run = cbp.Trainer(cbp.Network([4, 64, 64, 2], seed=1), n_threads=n_threads)
    monkeypatch.setattr(run, "_data", None)  # what checks in words
    rows = np.random.default_rng(0).normal(size=(n_rows, 4)).astype(np.float32)
    run.train_on_batch(rows, rows[:, :2].copy())
    many = _runtime.threads_for(99.0) if n_threads == "auto" else n_threads
    assert run.threads_used == (many if n_rows > 8 else 1)


@pytest.mark.parametrize("output, targets", [
    ("identity", T), ("softmax", LABELS), ("sigmoid", np.abs(T)), ("sigmoid", np.abs(T[:, 0]))])
def test_plain_arrays_need_no_checks_in_words(monkeypatch, output, targets):
    """fit takes arrays that are as the loop takes them, and learns what it learns from lists."""
    targets = targets.copy()
    targets.setflags(write=False)
    n_outputs = 3 if output == "softmax" else 1 if targets.ndim == 1 else 2
    one, other = (trainer(output, n_outputs) for _ in range(2))
    for run in (one, other):
        run.fit(X, targets, 1)    # a first fit looks at the scales as well
    other.fit(X.tolist(), targets.tolist(), 2)
    monkeypatch.setattr(cbp._check, "rows", None)
    monkeypatch.setattr(cbp.losses.Loss, "targets", None)
    one.fit(X, targets, 2)
    same(one, other)


@pytest.mark.parametrize("rows, targets", [
    (X[:, :4].copy(), T), (X.astype(float), T), (X[::2], T[::2]), (X[0], T[0]), (X[:0], T[:0]),
    (X, T[:50]), (X, T[:, :1].copy()), (X, T.astype(float)), (X.tolist(), T),
    (np.where(X == X[7, 3], np.nan, X), T), (X, np.where(T == T[7, 1], np.inf, T)),
    (np.zeros(60 * 20 + 1, np.uint8)[1:].view(np.float32).reshape(60, 5), T), (X, np.float32(1)),
    (np.ma.masked_array(X), T)])  # fmt: skip
def test_other_batches_are_checked_in_words(rows, targets):
    """What is not as the loop takes it is left to the checks that know sentences."""
    run = trainer()
    before = run.net.parameters.copy()
    assert not run._loop.plain(rows, targets) and not plain(run, rows, targets)
    np.testing.assert_array_equal(run.net.parameters, before)
    assert run._place["step"] == 0


def test_targets_out_of_range_are_checked_in_words():
    """Labels beyond the outputs, probabilities beyond 1."""
    for labels in (LABELS + 1, LABELS - 1, LABELS.astype(np.int32), LABELS[:, None].copy()):
        assert not plain(trainer("softmax", 3), X, labels)
    for targets in (T, np.abs(T) + 1):
        assert not plain(trainer("sigmoid"), X, targets)
    with pytest.raises(ValueError, match=r"^`Y` must hold labels from 0 to 2, got 3 in row "):
        trainer("softmax", 3).train_on_batch(X, LABELS + 1)


def test_a_batch_keeps_no_array_and_no_place():
    """Arrays are released at once; an epoch that was interrupted can still be finished."""
    import sys

    run, whole = trainer(), trainer()
    counts = sys.getrefcount(X), sys.getrefcount(T)
    run.train_on_batch(X, T)
    assert (sys.getrefcount(X), sys.getrefcount(T)) == counts
    whole.train_on_batch(X, T)
    class Stop(cbp.Callback):
        def on_train_batch_end(self, batch, logs):
            if batch == 3:
                self.trainer.stop()
    run.fit(X, T, 1, callbacks=Stop())
    assert run._place["batch"] == 4
    place = run._place
    run._loop.update_plain(X, T, 1e-30, 1)
    assert {k: run._place[k] for k in ("epoch", "batch", "row", "loss_sum", "weight_sum")} == {
        k: place[k] for k in ("epoch", "batch", "row", "loss_sum", "weight_sum")}
