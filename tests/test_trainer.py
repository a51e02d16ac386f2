"""Trainer: runs, their history, how they end, and how they go on."""

import contextlib
import io
import os
import re
import signal
import sys
import threading
import time

import numpy as np
import pytest

import cbp
from cbp import _progress, _run, _runtime, reference

rng = np.random.default_rng(4)
X = rng.normal(size=(50, 6)).astype(np.float32)
T = np.tanh(X[:, :3] * 2).astype(np.float32)
LABELS = X[:, :3].argmax(axis=1)


def trainer(output="identity", *, net=None, **options):
    net = net or cbp.Network([6, 8, 3], "tanh", output, seed=1)
    return cbp.Trainer(net, **{"batch_size": 8, "seed": 2, **options})


class Stop(Exception):
    pass


def same(one, other):
    np.testing.assert_array_equal(one.net.parameters, other.net.parameters)


# ---- runs -------------------------------------------------------------------------------------


def test_shuffle_is_the_runtimes_permutation():
    """Epoch e takes the rows in the order of (seed, shuffle stream, e), as `order` can say too."""
    orders = np.empty((3, 50), dtype=np.intp)
    for epoch, order in enumerate(orders):
        _runtime.permutation(order, 2, 2, epoch)
    one, other = trainer(), trainer(shuffle=False)
    losses = one.fit(X, T, 3)["loss"], other.fit(X, T, 3, order=orders)["loss"]
    same(one, other)
    assert losses[0] == losses[1]


def test_order_may_be_shorter_or_longer():
    """An order names the rows of an epoch, one of them as often as it likes."""
    order = np.array([3, 3, 40, 7, 1] * 5)
    one, other = trainer(), trainer(shuffle=False)
    one.fit(X, T, 2, order=order)
    other.fit(X[order], T[order], 2)
    same(one, other)


def test_batch_size_none_is_all_rows():
    """One update an epoch."""
    one, other = trainer(batch_size=None, shuffle=False), trainer(batch_size=50, shuffle=False)
    one.fit(X, T, 3)
    other.fit(X, T, 3)
    same(one, other)
    assert one._place["step"] == 3


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
def test_fit_again_continues(optimizer):
    """2 + 3 epochs are 5, bit for bit: optimizer state, counters and shuffling go on."""
    once, twice = trainer(optimizer=optimizer), trainer(optimizer=optimizer)
    whole = once.fit(X, T, 5)
    parts = [twice.fit(X, T, 2), twice.fit(X, T, 3)]
    same(once, twice)
    assert parts[0].epochs == 2 and parts[1].epochs == 3 and twice.history.epochs == 5
    assert whole["loss"] == parts[0]["loss"] + parts[1]["loss"] == twice.history["loss"]


def test_seed_repeats_a_run():
    """The same seeds give the same bits; another seed shuffles otherwise."""
    runs = [trainer(seed=seed) for seed in (3, 3, 4)]
    for run in runs:
        run.fit(X, T, 3)
    same(runs[0], runs[1])
    assert (runs[0].net.parameters != runs[2].net.parameters).any()


def test_seed_is_drawn_and_readable():
    """Without a seed the drawn one repeats the run."""
    one = trainer(seed=None)
    other = trainer(seed=one.seed)
    one.fit(X, T, 2)
    other.fit(X, T, 2)
    same(one, other)
    assert trainer(seed=None).seed != one.seed


@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_do_not_show(n_threads):
    """Any number of threads gives the bits of one; the threads that ran can be read back."""
    rows, labels = rng.normal(size=(700, 30)), rng.integers(0, 4, 700)
    runs = []
    for threads in (1, n_threads):
        net = cbp.Network([30, 128, 4], "relu", "softmax", seed=1)
        runs.append(cbp.Trainer(net, batch_size=300, n_threads=threads, seed=1))
        runs[-1].fit(rows, labels, 3)
    same(*runs)
    assert runs[0].threads_used == 1
    if _runtime.openmp():
        assert runs[1].threads_used == n_threads


def test_a_small_step_takes_one_thread():
    """Two threads asked for are no slower than one: a step too short for them takes one."""
    rows, labels = rng.normal(size=(64, 30)), rng.integers(0, 4, 64)
    net = cbp.Network([30, 128, 4], "relu", "softmax", seed=1)
    run = cbp.Trainer(net, batch_size=32, n_threads=2, seed=1)
    run.fit(rows, labels, 2)
    assert run.threads_used == 1
    run.train_on_batch(rows.astype(np.float32), labels)
    assert run.threads_used == 1
    run.train_on_batch(np.tile(rows, (10, 1)).astype(np.float32), np.tile(labels, 10))
    assert run.threads_used == (2 if _runtime.openmp() else 1)


def test_sample_weight():
    """A weight of zero removes a row's say; weights are the reference's."""
    weight = rng.uniform(size=50) * (rng.uniform(size=50) > 0.3)
    net = cbp.Network([6, 8, 3], "tanh", dtype="float64", seed=1)
    start = [W.copy() for W in net.weights], [b.copy() for b in net.biases]
    run = trainer(net=net, optimizer="sgd", shuffle=False)
    history = run.fit(X, T, 4, sample_weight=weight)
    expected = reference.train(X, T, *start, net.activations, "squared_error", reference.SGD(), 4,
                               batch_size=8, sample_weight=weight)  # fmt: skip
    np.testing.assert_allclose(history["loss"], expected.losses, rtol=1e-12)
    for ours, theirs in zip(net.weights, expected.weights):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("trainable, still", [
    (False, ["W", "b"]), ("weights", ["b"]), ("biases", ["W"]), (True, [])])  # fmt: skip
def test_trainable(trainable, still):
    """What is not trainable keeps its bits, whatever the optimizer and l2; the rest moves."""
    net = cbp.Network([6, cbp.Dense(8, "tanh", trainable=trainable), 3], seed=1)
    net.biases[0][...] = 0.5
    before = {"W": net.weights[0].copy(), "b": net.biases[0].copy()}
    output = net.weights[1].copy()
    trainer(net=net, l2=0.1).fit(X, T, 2)
    for name, array in (("W", net.weights[0]), ("b", net.biases[0])):
        assert (array == before[name]).all() == (name in still)
    assert (net.weights[1] != output).all()


def test_one_row():
    """One row is a data set."""
    assert trainer().fit(X[:1], T[:1], 2).epochs == 2


def test_y_may_be_x():
    """An autoencoder trains on one array as on two."""
    runs = [trainer(net=cbp.Network([6, 2, 6], "tanh", seed=1)) for _ in range(2)]
    runs[0].fit(X, X, 3)
    runs[1].fit(X, X.copy(), 3)
    same(*runs)


def test_no_array_is_kept_or_changed():
    """fit leaves its arguments as they were and keeps none of them."""
    rows, targets, weight = X.copy(), T.copy(), np.ones(50)
    run = trainer()
    counts = [sys.getrefcount(array) for array in (rows, targets, weight)]
    run.fit(rows, targets, 1, sample_weight=weight, validation_data=(rows, targets))
    assert [sys.getrefcount(array) for array in (rows, targets, weight)] == counts
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(targets, T)


# ---- history, metrics, evaluate ---------------------------------------------------------------


def test_history_of_losses():
    """The loss is the mean of the batches' losses before each update."""
    run = trainer(optimizer="sgd", shuffle=False, batch_size=25)
    first = run.net.gradient(X[:25], T[:25]).loss
    history = run.fit(X, T, 1)
    assert list(history) == ["loss"] and len(history) == 1
    again = trainer(optimizer="sgd", shuffle=False, batch_size=25)
    assert again.train_on_batch(X[:25], T[:25]) == first
    second = again.net.gradient(X[25:], T[25:]).loss
    assert history["loss"] == pytest.approx([(first + second) / 2], rel=1e-12)
    assert history.seconds > 0.0 and repr(history).startswith("History(1 epochs, ")


def test_validation():
    """Loss and metrics of the validation data stand beside the loss, and change nothing."""
    with_it, without = trainer("softmax", metrics="accuracy"), trainer("softmax")
    history = with_it.fit(X[:30], LABELS[:30], 4, validation_data=(X[30:], LABELS[30:]),
                          restore_best=False)  # fmt: skip
    without.fit(X[:30], LABELS[:30], 4)
    same(with_it, without)
    assert list(history) == ["loss", "val_loss", "val_accuracy"]
    at_end = with_it.evaluate(X[30:], LABELS[30:])
    assert at_end == {name: history[f"val_{name}"][-1] for name in ("loss", "accuracy")}
    predictions = with_it.net.predict(X[30:]).argmax(axis=1)
    assert at_end["accuracy"] == np.mean(predictions == LABELS[30:])


def test_validation_weights():
    """A third array weighs the validation rows."""
    weight = rng.uniform(size=20)
    run = trainer()
    history = run.fit(X[:30], T[:30], 1, validation_data=(X[30:], T[30:], weight))
    expected = run.net.gradient(X[30:], T[30:], sample_weight=weight).loss
    assert history["val_loss"] == pytest.approx([expected], rel=1e-12)


def test_metrics_of_training_data():
    """Without validation data the metrics are those of the training data."""
    run = trainer("sigmoid", metrics=["r2", "accuracy"])
    T = cbp.one_hot(LABELS, 3)
    history = run.fit(X, T, 30)
    assert list(history) == ["loss", "r2", "accuracy"]
    assert history["r2"][-1] == run.evaluate(X, T)["r2"] > history["r2"][0]


def test_columns_stay_aligned():
    """Epochs in which a number was not asked for hold NaN in its column."""
    run = trainer()
    run.fit(X, T, 2)
    run.fit(X, T, 1, validation_data=(X, T))
    run.fit(X, T, 1)
    np.testing.assert_array_equal(np.isnan(run.history["val_loss"]), [True, True, False, True])
    assert len(run.history["loss"]) == 4


@pytest.mark.parametrize("loss, output, n_outputs, names", [
    ("auto", "softmax", 3, {"loss", "accuracy"}), ("auto", "sigmoid", 1, {"loss", "accuracy"}),
    ("auto", "sigmoid", 3, {"loss"}), ("squared_error", "identity", 1, {"loss"})])  # fmt: skip
def test_evaluate_by_default(loss, output, n_outputs, names):
    """Classifiers are told their accuracy, the others their loss."""
    run = trainer(net=cbp.Network([6, n_outputs], output_activation=output), loss=loss)
    Y = LABELS if output == "softmax" else (T[:, :n_outputs] > 0)
    assert set(run.evaluate(X, Y)) == names


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_evaluate_in_chunks(reduction):
    """More rows than are taken at once have the loss of all of them, weights included."""
    rows = rng.normal(size=(20000, 2))
    targets, weight = rng.normal(size=20000), rng.uniform(size=20000)
    net = cbp.Network([2, 3, 1], "tanh", dtype="float64", seed=1)
    loss = cbp.SquaredError(reduction)
    got = trainer(net=net, loss=loss).evaluate(rows, targets, sample_weight=weight)["loss"]
    assert got == pytest.approx(net.gradient(rows, targets, loss, sample_weight=weight).loss,
                                rel=1e-12)  # fmt: skip


def test_train_on_batch():
    """A batch at a time is an epoch without shuffling; the history does not see it."""
    one, other = trainer(shuffle=False), trainer(shuffle=False)
    one.fit(X, T, 2)
    for _ in range(2):
        for first in range(0, 50, 8):
            other.train_on_batch(X[first : first + 8], T[first : first + 8])
    same(one, other)
    assert other.history.epochs == 0
    shuffled, mixed = trainer(), trainer()
    shuffled.train_on_batch(X, T)
    mixed.train_on_batch(X, T)
    assert shuffled.fit(X, T, 1)["loss"] == mixed.fit(X, T, 1)["loss"]


def test_attributes_are_read_only():
    """What a trainer was made of stays so; the rate and the threads can be set, checked."""
    run = trainer()
    for name in ("net", "loss", "optimizer", "batch_size", "shuffle", "l2", "metrics", "seed"):
        with pytest.raises(AttributeError):
            setattr(run, name, getattr(run, name))
    run.n_threads = 1
    with pytest.raises(ValueError, match=r"^`n_threads` must be at least 1, got 0\.$"):
        run.n_threads = 0
    assert run.n_threads == 1


def test_repr_shows_the_present_learning_rate():
    """Not only the one that the optimizer object was made with."""
    run = trainer(optimizer=cbp.SGD(0.5))
    run.learning_rate = 0.25
    assert ", learning_rate=0.25, batch_size=8, epochs=0)" in repr(run)


def test_memory_of_many_epochs(monkeypatch):
    """A long run goes in pieces, with the bits and the history of one piece."""
    whole, pieces = trainer(), trainer()
    whole.fit(X, T, 7)
    monkeypatch.setattr(_run, "_MOST_EPOCHS", 3)
    assert pieces.fit(X, T, 7).epochs == 7
    same(whole, pieces)
    assert whole.history["loss"] == pieces.history["loss"]


def test_a_billion_epochs_can_be_begun():
    """The room for their losses is not asked for at once."""
    asked = []
    empty = np.empty

    class Recorder:
        def __getattr__(self, name):
            return getattr(np, name)

        def empty(self, shape, *rest):
            asked.append(np.prod(shape))
            if len(asked) > 1:
                raise Stop
            return empty(shape, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_run, "np", Recorder())
        with pytest.raises(Stop):
            trainer().fit(X[:1], T[:1], 10**9)
    assert max(asked) <= 65_536


def test_weights_of_zero_and_metrics():
    """Metrics that could not be taken are refused before anything is learnt."""
    run, none = trainer("softmax", metrics="accuracy"), np.zeros(50)
    before = run.net.parameters.copy()
    sentence = ("The sample weights must not all be 0 where metrics are asked: give some rows a "
                r"weight\.$")  # fmt: skip
    with pytest.raises(ValueError, match="^" + sentence):
        run.fit(X, LABELS, 1, sample_weight=none)
    with pytest.raises(ValueError, match="^In `validation_data`, " + sentence):
        run.fit(X, LABELS, 1, validation_data=(X, LABELS, none))
    with pytest.raises(ValueError, match="^" + sentence):
        run.evaluate(X, LABELS, sample_weight=none)
    np.testing.assert_array_equal(run.net.parameters, before)
    assert trainer("softmax").fit(X, LABELS, 1, sample_weight=none).epochs == 1
    measured = run.fit(X, LABELS, 1, sample_weight=none, validation_data=(X, LABELS))
    assert measured.epochs == 1


def test_accuracy_of_several_labels_a_row():
    """Rows with two ones, or none, are refused before anything is learnt."""
    run = trainer("sigmoid", metrics="accuracy")
    before = run.net.parameters.copy()
    several = cbp.one_hot(LABELS, 3)
    several[4] = [1, 1, 0]
    for call in (lambda: run.fit(X, several, 1), lambda: run.evaluate(X, several)):
        with pytest.raises(ValueError, match=r"^`Y` must have one largest element in every row for "
                           r"accuracy, as one-hot rows have, got several in row 4: "):
            call()
    np.testing.assert_array_equal(run.net.parameters, before)


# ---- how a run ends ---------------------------------------------------------------------------


def test_divergence_of_the_loss():
    """A loss that is not finite ends the run at once, and names epoch, batch and layer."""
    run = trainer(optimizer=cbp.SGD(1e6), net=cbp.Network([6, 8, 3], "relu", seed=1))
    sentence = (r"^The loss became (inf|nan) in epoch (\d+), batch (\d+) \(.*\): the parameters "
                r"are those of (the beginning|the end of epoch \d+) again; lower the learning rate "
                r"\(now 1e\+06\) or scale the inputs\.$")  # fmt: skip
    with pytest.raises(cbp.DivergenceError, match=sentence) as raised:
        run.fit(X, T, 1000)
    error = raised.value
    found = re.match(sentence, str(error))
    assert (error.epoch, error.batch) == (int(found[2]), int(found[3]))
    assert 1 <= error.batch <= 7 and error.layer in (1, 2)
    assert isinstance(error, ArithmeticError)
    assert run.history.epochs == error.epoch - 1
    assert np.isfinite(run.history["loss"]).all()


def test_divergence_names_the_batch_and_layer():
    """The third batch holds the row that is too large for the second layer."""
    net = cbp.Network([1, 1, 1], "identity", seed=1, bias=False)
    net.weights[0], net.weights[1] = [[1e20]], [[1e20]]
    rows = np.ones((10, 1), dtype=np.float32) * 1e-30
    rows[5] = 1.0
    run = cbp.Trainer(net, "squared_error", cbp.SGD(1e-30), batch_size=2, shuffle=False)
    before = net.parameters.copy()
    with pytest.raises(cbp.DivergenceError) as raised:
        run.fit(rows, np.zeros(10), 1)
    assert str(raised.value) == (
        "The loss became inf in epoch 1, batch 3 (layer 2's outputs were the first that were not "
        "finite): the parameters are those of the beginning again; lower the learning rate (now "
        "1e-30) or scale the inputs."
    )
    assert (raised.value.epoch, raised.value.batch, raised.value.layer) == (1, 3, 2)
    np.testing.assert_array_equal(net.parameters, before)


def test_divergence_of_a_parameter():
    """An update that overflows is noticed even where no batch comes after it."""
    net = cbp.Network([1, 1], seed=1)
    before = net.parameters.copy()
    run = cbp.Trainer(net, optimizer=cbp.SGD(1e38), batch_size=None)
    with pytest.raises(cbp.DivergenceError, match=r"^A parameter became infinite or NaN by the end "
                       r"of epoch 1 \(layer 1's parameters are not finite\): the parameters are "
                       r"those of the beginning again; lower the learning rate \(now 1e\+38\) or "
                       r"scale the inputs\.$"):
        run.fit([[1e3]], [0.0], 1)
    assert run.history.epochs == 0 and run.history.ended == "error"
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("optimizer", [
    "sgd", "momentum", "rmsprop", cbp.Adagrad(initial_accumulator=0.5), "adam", "nadam", "lion"])
def test_training_goes_on_after_a_divergence(optimizer):
    """The net and its running mean are back at the end of the last epoch, counters included; the
    optimizer's state begins anew."""
    run, other = (trainer(optimizer=optimizer, average=0.9) for _ in range(2))
    run.fit(X, T, 2)
    other.fit(X, T, 2)
    bad = T.copy()
    bad[7] = 1e30
    with pytest.raises(cbp.DivergenceError, match="those of the end of epoch 2 again; lower"):
        run.fit(X, bad, 5)
    same(run, other)
    fresh = trainer(optimizer=optimizer)
    assert all(map(np.array_equal, run._states, fresh._states))
    other._begin_states()
    other._place = {**other._place, **{f"power_{k}": 1.0 for k in (1, 2, 3)}}
    assert run._place == other._place
    run.fit(X, T, 3)
    other.fit(X, T, 3)
    same(run, other)
    assert run.history["loss"] == other.history["loss"]
    means = [each.averaged_network().parameters for each in (run, other)]
    np.testing.assert_array_equal(*means)


def test_spoilt_parameters():
    """What was spoilt before is not laid to the learning rate."""
    sentence = r"start again from a new network, the parameters were spoilt before this call\.$"
    for call in (lambda run: run.fit(X, T, 1), lambda run: run.train_on_batch(X, T)):
        run = trainer()
        run.net.parameters[3] = np.nan
        with pytest.raises(cbp.DivergenceError, match=sentence):
            call(run)


def test_divergence_in_train_on_batch():
    """A batch whose loss is not finite updates nothing."""
    run = trainer(net=cbp.Network([1, 1], bias=False, seed=1))
    run.net.weights[0] = [[1e30]]
    with pytest.raises(cbp.DivergenceError, match=r"^The loss became inf in epoch 1, batch 1 "
                       r"\(the outputs are finite, but too far from the targets\)"):
        run.train_on_batch([[1.0]], [0.0])
    assert run.net.weights[0] == np.float32(1e30)


def interrupt(after, number=signal.SIGALRM):
    """Send this process a signal after some seconds."""
    timer = threading.Timer(after, os.kill, (os.getpid(), number))
    timer.start()
    return timer


@pytest.mark.parametrize("stops", [False, True], ids=["one call", "stops at epoch ends"])
def test_interrupt(stops):
    """Ctrl-C raises within 0.2 s; epochs are kept, and the run goes on bit for bit."""
    rows, targets = np.tile(X, (200, 1)), np.tile(T, (200, 1))
    options = {"validation_data": (X, T), "restore_best": False} if stops else {}
    run, whole = trainer(optimizer="momentum"), trainer(optimizer="momentum")
    sent = time.monotonic() + 0.3
    timer = interrupt(0.3, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run.fit(rows, targets, 100000, **options)
    assert time.monotonic() - sent < 0.5  # 0.2 s promised; the rest is for a busy machine
    timer.join()
    epochs = run.history.epochs
    assert np.isfinite(run.net.parameters).all()
    step = run._place["step"]
    assert epochs * 1250 <= step <= (epochs + 1) * 1250
    if epochs < 3000:  # finish the epoch that was interrupted, and compare
        run.fit(rows, targets, 1)
        whole.fit(rows, targets, epochs + 1)
        same(run, whole)
        assert run.history["loss"] == whole.history["loss"]


def test_exception_of_a_signal_handler():
    """What a handler raises comes out as it is, and the trainer can go on."""
    def handler(number, frame):
        raise Stop("enough")

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        run = trainer()
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Stop, match="^enough$"):
            run.fit(np.tile(X, (200, 1)), np.tile(T, (200, 1)), 10**6)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)
    assert run.fit(X, T, 1).epochs == 1


def test_an_interrupted_epoch_of_other_rows_is_dropped():
    """A place inside an epoch means nothing for another number of rows."""
    run = trainer(shuffle=False)
    run.fit(X, T, 1)
    run._place = {**run._place, "row": 16, "batch": 2, "loss_sum": 1.0, "weight_sum": 16.0}
    first = run.net.gradient(X[:8], T[:8]).loss
    assert run.fit(X[:8], T[:8], 1)["loss"] == [first]


def interrupted(order=None):
    """Return a trainer that stands inside its first epoch over X and T, after some batches."""

    class Stop(cbp.Callback):
        def on_train_batch_end(self, batch, logs):
            if batch == 3:
                self.trainer.stop()

    run = trainer(shuffle=False)
    large = np.tile(X, (4000, 1)), np.tile(T, (4000, 1))
    run.fit(*large, 1000, order=order, callbacks=Stop())
    assert run._place["step"] == 4 and run.history.ended == "stop"
    return run, *large


@pytest.mark.parametrize("change", ["rows", "targets", "weights", "order"])
def test_an_interrupted_epoch_of_other_data_begins_anew(change):
    """As many rows, but not the same ones: the epoch takes all of them, and its loss is theirs."""
    run, rows, targets = interrupted()
    assert run._place["row"] > 0
    step = run._place["step"]
    options = {}
    if change == "rows":
        rows = rows[::-1]
    elif change == "targets":
        targets = -targets
    elif change == "weights":
        options["sample_weight"] = np.full(len(rows), 2.0)
    else:
        options["order"] = np.arange(len(rows))[::-1]
    run.fit(rows, targets, 1, **options)
    assert run._place["step"] - step == len(rows) // 8


def test_an_interrupted_epoch_of_equal_data_goes_on():
    """Equal arrays are the same data, whatever object holds them, and finish the epoch."""
    run, rows, targets = interrupted()
    step, batch = run._place["step"], run._place["batch"]
    run.fit(rows.copy(), targets.astype(np.float64), 1)
    assert run._place["step"] - step == len(rows) // 8 - batch < len(rows) // 8


def test_busy_network():
    """predict on a network that is being trained is refused, and fit while predict runs."""
    run = trainer()
    rows, targets = np.tile(X, (400, 1)), np.tile(T, (400, 1))
    done = threading.Event()

    def work():
        try:
            while not run.history.epochs:
                with contextlib.suppress(RuntimeError):  # the other thread is predicting
                    run.fit(rows, targets, 20)
        finally:
            done.set()

    thread = threading.Thread(target=work)
    refused = 0
    thread.start()
    while not done.is_set():
        time.sleep(0.001)  # else fit hardly ever finds the network free
        try:
            run.net.predict(X)
        except RuntimeError as error:
            assert str(error).startswith("The network is in use")
            refused += 1
    thread.join()
    assert refused and run.history.epochs == 20


# ---- progress ---------------------------------------------------------------------------------


def test_quiet_by_default(capfd):
    """Nothing is written where stderr is not a terminal, nor if progress is False."""
    trainer().fit(X, T, 3)
    trainer().fit(X, T, 3, progress=False)
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("tqdm", [True, False], ids=["tqdm", "own line"])
def test_shown_on_a_terminal(monkeypatch, tqdm):
    """On a terminal the line shows the epochs; it changes no result."""
    if tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shown, quiet = trainer(), trainer()
    shown.fit(X, T, 30)
    text = terminal.getvalue()
    quiet.fit(X, T, 30, progress=False)
    assert terminal.getvalue() == text and text.endswith("\n")
    assert "30/30" in text and "loss" in text
    same(shown, quiet)
    assert shown.history["loss"] == quiet.history["loss"]


def test_no_stderr(monkeypatch):
    """A process without one trains all the same."""
    monkeypatch.setattr(sys, "stderr", None)
    for progress in ("auto", True):
        assert trainer().fit(X, T, 2, progress=progress).epochs == 2


def test_progress_line():
    """Epochs, numbers, time used, and time left while there is some."""
    values = {"loss": 0.1234, "val_accuracy": 0.971}
    assert _progress.line(3, 30, values, 1.2) == (
        "epoch 3/30  loss 0.1234  val_accuracy 0.971  1.2 s, about 11 s left")
    assert _progress.line(30, 30, {"loss": 1.0}, 3725.0) == "epoch 30/30  loss 1  1 h 2 min"
    assert _progress.line(1, 4, {}, 80.0) == "epoch 1/4  1 min 20 s, about 4 min 0 s left"


def test_progress_line_fits():
    """Where the terminal is narrow the last numbers go first, and then the time."""
    values = {"loss": 0.1234, "val_accuracy": 0.971}
    whole = "epoch 3/30  loss 0.1234  val_accuracy 0.971  1.2 s, about 11 s left"
    for width in range(90):
        text = _progress.line(3, 30, values, 1.2, width)
        assert len(text) <= width and (text == whole) == (width >= len(whole))
        assert ("left" in text) == (width >= 34) and ("loss" in text) == (width >= 47)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
@pytest.mark.parametrize("columns", [40, 80])
def test_progress_in_a_narrow_terminal(columns, monkeypatch):
    """No line wraps, whatever is measured."""
    import fcntl
    import struct
    import termios

    monkeypatch.setitem(sys.modules, "tqdm", None)
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        run = cbp.Trainer(cbp.Network([3, 2]), metrics=["mae", "r2", "rmse"])
        run.fit(np.eye(3), np.eye(3, 2), 2, validation_data=(np.eye(3), np.eye(3, 2)))
        text = ""
        while "\n" not in text:
            text += os.read(ours, 10000).decode()
    os.close(ours)
    lines = text.replace("\n", "").split("\r")
    assert "epoch 2/2" in text and max(map(len, lines)) < columns


# ---- loading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("variables", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_import_leaves_the_environment(variables):
    """Importing cbp changes no variable."""
    import subprocess

    child = "import os; before = dict(os.environ); import cbp; assert dict(os.environ) == before"
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    subprocess.run([sys.executable, "-I", "-c", child], env={**environment, **variables},
                   check=True)  # fmt: skip


def test_show_config(capsys):
    """The configuration names version, instruction set and threads."""
    cbp.show_config()
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["cbp"] == cbp.__version__ and shown["isa"] == _runtime.isa()
    assert int(shown["threads"]) >= 1
