"""A run: what it validates, when it stops, what it keeps, and how rows are weighed."""

import json
import os
import signal
import threading
import time

import numpy as np
import pytest

import cbp
from cbp import _feeding, _runtime, losses

rng = np.random.default_rng(4)
X = rng.normal(size=(50, 6)).astype(np.float32)
T = np.tanh(X[:, :3] * 2).astype(np.float32)
LABELS = X[:, :3].argmax(axis=1)
NOISE = rng.normal(size=(20, 3)).astype(np.float32)  # nothing can be learnt for these


def trainer(output="identity", *, net=None, **options):
    net = net or cbp.Network([6, 8, 3], "tanh", output, seed=1)
    return cbp.Trainer(net, **{"batch_size": 8, "seed": 2, **options})


def same(one, other):
    np.testing.assert_array_equal(one.net.parameters, other.net.parameters)


# ---- splits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["random", "stratified", "last"])
def test_a_split_is_two_data_sets(split):
    """validation_split trains on some rows and validates on the others, to the bit."""
    one, other = trainer("softmax"), trainer("softmax")
    mine = one.fit(X, LABELS, 4, validation_split=0.3, split=split)
    targets = losses.Targets(None, LABELS)
    train, held = _feeding.split_rows(0.3, split, 2, targets, 50)
    theirs = other.fit(
        X[train], LABELS[train], 4, validation_data=(X[held], LABELS[held])
    )
    same(one, other)
    assert dict(mine) == dict(theirs)


@pytest.mark.parametrize("n, fraction", [(50, 0.3), (7, 0.5), (1000, 0.137), (3, 0.34)])
@pytest.mark.parametrize("split", ["random", "stratified", "last"])
def test_split_sizes(split, n, fraction):
    """⌊f n + ½⌋ rows are held back, every row stands on one side, in ascending order."""
    labels = np.random.default_rng(n).integers(0, 3, n)
    train, held = _feeding.split_rows(fraction, split, 5, losses.Targets(None, labels), n)
    assert len(held) == int(fraction * n + 0.5)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(n))
    assert (np.diff(train) > 0).all() and (np.diff(held) > 0).all()
    if split == "last":
        assert held[0] == n - len(held)
    if split == "stratified":
        for c in range(3):
            assert abs((labels[held] == c).sum() - fraction * (labels == c).sum()) <= 1


def test_random_split_is_the_split_stream():
    """The first rows of permutation 0 of purpose 4: another seed draws other rows."""
    order = np.empty(50, np.intp)
    _runtime.permutation(order, 2, 4, 0)
    none = losses.Targets(None, None)
    _, held = _feeding.split_rows(0.2, "random", 2, none, 50)
    np.testing.assert_array_equal(held, np.sort(order[:10]))
    assert (held != _feeding.split_rows(0.2, "random", 3, none, 50)[1]).any()


def test_split_with_standardize():
    """The rows that are held back have no say in the scaling."""
    net = cbp.Network([6, 8, 3], "tanh", standardize=True, seed=1)
    trainer(net=net).fit(X, T, 1, validation_split=0.4, split="last")
    np.testing.assert_allclose(net.scaling.input_shift, X[:30].mean(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options, words", [
    ({"validation_split": 1.0}, "`validation_split` must be a finite number at least 0 and below 1,"
                                " got 1.0"),
    ({"validation_split": 0.001}, "`validation_split` must leave rows on both sides, got 0.001 of "
                                  "50 rows: give `validation_data` instead"),
    ({"validation_split": 0.5, "split": "first"},
     "`split` must be one of 'random', 'stratified', 'last', got 'first'"),
    ({"validation_split": 0.5, "validation_data": (X, T)},
     "`validation_split` and `validation_data` exclude each other"),
    ({"validation_split": 0.5, "order": range(50)},
     "`order` does not go with `validation_split`: give `validation_data`"),
    ({"validation_split": 0.5, "split": "stratified"},
     "`split='stratified'` needs classes, and so a sigmoid or softmax output, got identity"),
    ({"class_weight": "balanced"},
     "`class_weight` needs classes, and so a sigmoid or softmax output, got identity"),
    ({"patience": 0}, "`patience` must be at least 1, got 0"),
    ({"min_delta": -1.0}, "`min_delta` must be a finite number at least 0, got -1.0"),
    ({"max_seconds": 0.0}, "`max_seconds` must be a finite number above 0, got 0.0"),
    ({"monitor": "val_loss"}, "`monitor` must be one of 'loss', got 'val_loss'"),
    ({"monitor": "loss", "validation_data": (X, T), "patience": 1, "epochs": 0},
     "`epochs` must be at least 1, got 0"),
])  # fmt: skip
def test_wrong_options(options, words):
    """One sentence, before anything is learnt."""
    run = trainer()
    before = run.net.parameters.copy()
    with pytest.raises(ValueError) as raised:
        run.fit(X, T, options.pop("epochs", 1), **options)
    assert str(raised.value) == words + "."
    np.testing.assert_array_equal(run.net.parameters, before)
    assert run.history.epochs == 0


# ---- weights of rows and classes --------------------------------------------------------------


def test_weights_of_one_are_no_weights():
    """All-ones sample weights give the bits of none."""
    one, other = trainer("softmax"), trainer("softmax")
    mine = one.fit(X, LABELS, 3, sample_weight=np.ones(50))
    assert dict(mine) == dict(other.fit(X, LABELS, 3))
    same(one, other)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_whole_weight_repeats_a_row(optimizer):
    """Weight k is the row k times, in full batches, up to rounding."""
    k = np.random.default_rng(5).integers(0, 4, 50)
    nets = [cbp.Network([6, 8, 3], "tanh", dtype="float64", seed=1) for _ in range(2)]
    one, other = (trainer(net=net, batch_size=None, optimizer=optimizer) for net in nets)
    mine = one.fit(X, T, 20, sample_weight=k)
    theirs = other.fit(np.repeat(X, k, axis=0), np.repeat(T, k, axis=0), 20)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(mine["loss"], theirs["loss"], rtol=1e-11)


@pytest.mark.parametrize("output, Y", [
    ("softmax", LABELS), ("softmax", cbp.one_hot(LABELS, 3)), ("sigmoid", cbp.one_hot(LABELS, 3))])
@pytest.mark.parametrize("given", [None, rng.uniform(size=50)])
def test_class_weight_is_a_sample_weight(output, Y, given):
    """A mapping, times sample_weight in double; classes that it does not name weigh 1."""
    one, other = trainer(output), trainer(output)
    one.fit(X, Y, 3, class_weight={0: 2.5, 2: 0.3}, sample_weight=given)
    weight = np.array([2.5, 1.0, 0.3])[LABELS]
    other.fit(X, Y, 3, sample_weight=weight if given is None else given * weight)
    same(one, other)


def test_balanced_classes():
    """scikit-learn's "balanced", counted over the rows to train on; for one output as well."""
    utils = pytest.importorskip("sklearn.utils.class_weight")
    one, other = trainer("softmax"), trainer("softmax")
    one.fit(X, LABELS, 2, class_weight="balanced", validation_split=0.4, split="last")
    weight = utils.compute_sample_weight("balanced", LABELS[:30])
    held = X[30:], LABELS[30:]
    other.fit(X[:30], LABELS[:30], 2, sample_weight=weight, validation_data=held)
    same(one, other)
    binary = (LABELS == 1).astype(int)
    nets = [cbp.Network([6, 4, 1], "tanh", "sigmoid", seed=1) for _ in range(2)]
    one, other = trainer(net=nets[0]), trainer(net=nets[1])
    one.fit(X, binary, 2, class_weight="balanced")
    other.fit(X, binary, 2, sample_weight=utils.compute_sample_weight("balanced", binary))
    same(one, other)


@pytest.mark.parametrize("given, error, words", [
    ("even", ValueError, "`class_weight` must be one of 'balanced', got 'even'"),
    ([1, 2, 3], TypeError,
     "`class_weight` must be 'balanced' or a mapping from classes to weights, got list"),
    ({3: 1.0}, ValueError, "`class_weight` must be for classes from 0 to 2, got 3"),
    ({1: -1.0}, ValueError, "`class_weight[1]` must be a finite number at least 0, got -1.0"),
])  # fmt: skip
def test_wrong_class_weights(given, error, words):
    """One sentence each."""
    with pytest.raises(error) as raised:
        trainer("softmax").fit(X, LABELS, 1, class_weight=given)
    assert str(raised.value) == words + "."


@pytest.mark.parametrize("options, what", [
    ({"class_weight": {1: 2.0}}, "`class_weight`"),
    ({"validation_split": 0.5, "split": "stratified"}, "`split='stratified'`")])  # fmt: skip
def test_classes_of_several_labels_a_row(options, what):
    """There are none; the option that wants them is named."""
    several = cbp.one_hot(LABELS, 3)
    several[4] = [1, 1, 0]
    with pytest.raises(ValueError, match=f"^`Y` must have one largest element in every row for {what}"
                       f", as one-hot rows have, got several in row 4: {what} is not for several "):
        trainer("sigmoid").fit(X, several, 1, **options)


# ---- batch size -------------------------------------------------------------------------------


@pytest.mark.parametrize("n, size", [
    (1, 1), (15, 15), (16, 16), (3199, 16), (3200, 32), (12_800, 128), (10**6, 256)])  # fmt: skip
def test_auto_batch_size(n, size):
    """The largest power of two, 16 to 256, that gives 100 minibatches."""
    assert trainer(batch_size="auto")._batch_of(n) == size


def test_auto_batch_size_trains():
    """It is that size's run."""
    one, other = trainer(batch_size="auto"), trainer(batch_size=16)
    one.fit(X, T, 2)
    other.fit(X, T, 2)
    same(one, other)
    assert one.batch_size == "auto"


# ---- patience and the best parameters ---------------------------------------------------------


def scripted(values, name="loss", **options):
    """Return a trainer whose validation tells these numbers, one an epoch."""
    run = trainer(**options)
    told = iter(values)
    run._measure = lambda data, names: {
        each: next(told) if each == name else 1.0 for each in names}  # fmt: skip
    return run


def parameters_after(epochs):
    """The parameters of a run of so many epochs."""
    run = trainer()
    run.fit(X, T, epochs)
    return run.net.parameters


DATA = {"validation_data": (X[:5], T[:5])}


def test_patience():
    """The run ends after `patience` epochs in a row without an improvement."""
    run = scripted([5, 4, 4, 3, 3.5, 3, 3, 1])
    history = run.fit(X, T, 20, patience=3, **DATA)
    assert history.epochs == 7 and history.ended == "patience" and history.best_epoch == 3
    np.testing.assert_array_equal(run.net.parameters, parameters_after(4))


def test_min_delta():
    """Less than min_delta is no improvement."""
    run = scripted([5, 4.5, 4.2, 3.9, 3.8])
    assert run.fit(X, T, 20, patience=2, min_delta=0.5, **DATA).epochs == 5
    assert run.history.best_epoch == 2


def test_monitor_of_a_metric():
    """Of accuracies more is better."""
    net = cbp.Network([6, 8, 3], "tanh", "softmax", seed=1)
    run = scripted([0.1, 0.7, 0.6, 0.7, 0.9], "accuracy", net=net, metrics="accuracy")
    history = run.fit(X, LABELS, 20, patience=2, monitor="val_accuracy",
                      validation_data=(X, LABELS))  # fmt: skip
    assert history.epochs == 4 and history.best_epoch == 1


def test_patience_without_validation():
    """The training loss is watched then."""
    run = trainer(optimizer=cbp.SGD(0.5))
    history = run.fit(X, T, 5000, patience=5)
    loss = history["loss"]
    assert history.ended == "patience" and loss.index(min(loss)) == history.best_epoch
    assert history.epochs == history.best_epoch + 6


def test_patience_begins_anew():
    """A second call has all of its patience, and its own best."""
    run = scripted([1, 2, 3, 4, 5, 6, 7])
    run.fit(X, T, 20, patience=2, **DATA)
    assert run.fit(X, T, 20, patience=3, **DATA).epochs == 4 and run.history.best_epoch == 3


def test_validation_that_is_not_a_number():
    """NaN is never the best."""
    run = scripted([np.nan, 3, np.nan, 4])
    run.fit(X, T, 4, **DATA)
    assert run.history.best_epoch == 1


def test_the_last_parameters_may_stay():
    """restore_best=False: those of the last epoch, also where patience ended the run."""
    run = scripted([1, 2, 3, 4])
    run.fit(X, T, 20, patience=2, restore_best=False, **DATA)
    np.testing.assert_array_equal(run.net.parameters, parameters_after(3))
    assert run.history.best_epoch is None


class Stop(Exception):
    pass


def end_by_epochs(run):
    run.fit(X, T, 4, **DATA)


def end_by_patience(run):
    assert run.fit(X, T, 40, patience=2, **DATA).ended == "patience"


def end_by_time(run):
    slow = lambda epoch, logs: time.sleep(0.2) if epoch == 3 else None  # noqa: E731
    assert run.fit(X, T, 40, max_seconds=0.15, callbacks=slow, **DATA).ended == "max_seconds"


def end_by_stop(run):
    stop = lambda epoch, logs: run.stop() if epoch == 3 else None  # noqa: E731
    assert run.fit(X, T, 40, callbacks=stop, **DATA).ended == "stop"


def end_by_interrupt(run):
    interrupt = lambda epoch, logs: epoch == 3 and os.kill(os.getpid(), signal.SIGINT)  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        run.fit(X, T, 40, callbacks=interrupt, **DATA)


def end_by_exception(run):
    def fail(epoch, logs):
        if epoch == 3:
            raise Stop

    with pytest.raises(Stop):
        run.fit(X, T, 40, callbacks=fail, **DATA)


def end_by_divergence(run):
    def spoil(epoch, logs):
        if epoch == 3:
            run.learning_rate = 1e38

    with pytest.raises(cbp.DivergenceError, match="those of the best epoch, 2, again"):
        run.fit(X, T, 40, callbacks=spoil, **DATA)


@pytest.mark.parametrize("end", [
    end_by_epochs, end_by_patience, end_by_time, end_by_stop, end_by_interrupt, end_by_exception,
    end_by_divergence])  # fmt: skip
def test_the_best_parameters_come_back(end):
    """Whatever ended the run: those of epoch 1, bit for bit, and training can go on."""
    run = scripted([5, 3, 4] + [4] * 40)
    end(run)
    np.testing.assert_array_equal(run.net.parameters, parameters_after(2))
    assert run.history.best_epoch == 1
    run.learning_rate = 0.001
    assert run.fit(X, T, 2).epochs == 2 and np.isfinite(run.net.parameters).all()


# ---- time and other threads -------------------------------------------------------------------


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("stops", [False, True], ids=["one call", "stops at epoch ends"])
def test_max_seconds(stops):
    """The run ends in time, inside an epoch, and goes on bit for bit."""
    rows, targets = np.tile(X, (2000, 1)), np.tile(T, (2000, 1))
    run, whole = trainer(), trainer()
    options = {"callbacks": lambda epoch, logs: None} if stops else {}
    begun = time.monotonic()
    history = run.fit(rows, targets, 10**6, max_seconds=0.3, **options)
    assert 0.3 <= time.monotonic() - begun < 1.0 and history.ended == "max_seconds"
    assert 0.3 <= history.seconds < 1.0
    run.fit(rows, targets, 1)
    whole.fit(rows, targets, history.epochs + 1)
    same(run, whole)


def test_stop_from_another_thread():
    """The run ends behind an update; fit returns, and goes on bit for bit."""
    rows, targets = np.tile(X, (2000, 1)), np.tile(T, (2000, 1))
    run, whole = trainer(), trainer()
    timer = threading.Timer(0.2, run.stop)
    timer.start()
    history = run.fit(rows, targets, 10**6)
    timer.join()
    assert history.ended == "stop"
    run.fit(rows, targets, 1)
    whole.fit(rows, targets, history.epochs + 1)
    same(run, whole)


def test_a_column_that_the_history_has_not():
    """Is a KeyError that names those it has; `get` and `in` work as with any mapping."""
    history = trainer().fit(X, T, 1)
    with pytest.raises(KeyError, match="There is no 'acc' in this history, which has 'loss'"):
        history["acc"]
    assert history.get("acc") is None and "acc" not in history and "loss" in history


def test_history_is_complete():
    """A column for everything that was asked; the call's own history beside the trainer's."""
    run = trainer("softmax", metrics=["accuracy", "top_2", "auc"])
    history = run.fit(X, LABELS, 3, validation_split=0.4, split="stratified", restore_best=False)
    assert list(history) == ["loss", *(f"val_{n}" for n in ("loss", "accuracy", "top_2", "auc"))]
    assert history.ended == "epochs" and json.dumps(dict(history))
    second = run.fit(X, LABELS, 1)
    assert list(second) == ["loss", "accuracy", "top_2", "auc"]
    assert run.history.epochs == 4


def test_pickle():
    """A trainer is pickled with its place: both go on alike."""
    import pickle

    run = trainer(schedule=cbp.ReduceOnPlateau(patience=1), average=0.9)
    run.fit(X, T, 3)
    twin = pickle.loads(pickle.dumps(run))
    run.fit(X, T, 2)
    twin.fit(X, T, 2)
    same(run, twin)
    assert dict(run.history) == dict(twin.history)
    np.testing.assert_array_equal(
        run.averaged_network().parameters, twin.averaged_network().parameters
    )
