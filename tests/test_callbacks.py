"""Callbacks: what is called, when, and how they end a run."""

import numpy as np
import pytest

import cbp

rng = np.random.default_rng(4)
X = rng.normal(size=(50, 6)).astype(np.float32)
T = np.tanh(X[:, :3] * 2).astype(np.float32)


def trainer(**options):
    net = cbp.Network([6, 8, 3], "tanh", seed=1)
    return cbp.Trainer(net, **{"batch_size": 8, "seed": 2, **options})


class Recorder(cbp.Callback):
    """Writes down every call."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, logs):
        self.calls.append(("train begins", dict(logs)))

    def on_epoch_begin(self, epoch, logs):
        self.calls.append(("epoch begins", epoch, dict(logs)))

    def on_epoch_end(self, epoch, logs):
        self.calls.append(("epoch ends", epoch, dict(logs)))

    def on_train_end(self, logs):
        self.calls.append(("train ends", dict(logs)))


def test_order_of_calls():
    """Keras's names; epochs count from 0 over all calls; logs are the history's numbers."""
    run, recorder = trainer(metrics="r2"), Recorder()
    run.fit(X, T, 1)
    history = run.fit(X, T, 2, validation_data=(X[:9], T[:9]), callbacks=recorder)
    numbers = [{name: history[name][e] for name in history} for e in range(2)]
    assert set(numbers[0]) == {"loss", "val_loss", "val_r2"}
    assert recorder.calls == [
        ("train begins", {}),
        ("epoch begins", 1, {}), ("epoch ends", 1, numbers[0]),
        ("epoch begins", 2, {}), ("epoch ends", 2, numbers[1]),
        ("train ends", numbers[1]),
    ]  # fmt: skip
    assert recorder.trainer is run


def test_callbacks_change_no_bit():
    """With and without callbacks the run is the same, batch callbacks included."""

    class Batches(cbp.Callback):
        losses = []

        def on_train_batch_end(self, batch, logs):
            self.losses.append((batch, logs["loss"]))

    plain, epochs, batches = trainer(), trainer(), trainer()
    plain.fit(X, T, 3)
    epochs.fit(X, T, 3, callbacks=[Recorder(), lambda epoch, logs: None])
    batches.fit(X, T, 3, callbacks=Batches())
    np.testing.assert_array_equal(plain.net.parameters, epochs.net.parameters)
    np.testing.assert_array_equal(plain.net.parameters, batches.net.parameters)
    assert plain.history["loss"] == epochs.history["loss"] == batches.history["loss"]
    assert [batch for batch, _ in Batches.losses] == [0, 1, 2, 3, 4, 5, 6] * 3
    mean = sum(loss * (8 if batch < 6 else 2) for batch, loss in Batches.losses[:7]) / 50
    assert mean == pytest.approx(plain.history["loss"][0], rel=1e-12)


def test_a_function_is_called_at_every_end_of_an_epoch():
    """(epoch, logs), while trainer.history already holds the epoch."""
    run, seen = trainer(), []
    run.fit(X, T, 3, callbacks=lambda epoch, logs: seen.append((epoch, logs["loss"])))
    assert seen == list(enumerate(run.history["loss"]))


def test_a_callback_may_set_the_rate():
    """From the next epoch on."""
    run, other = trainer(), trainer()

    def halve(epoch, logs):
        run.learning_rate /= 2

    run.fit(X, T, 3, callbacks=halve)
    for _ in range(3):
        other.fit(X, T, 1)
        other.learning_rate /= 2
    np.testing.assert_array_equal(run.net.parameters, other.net.parameters)


def test_a_batch_callback_may_set_the_rate():
    """From the next update on."""

    class Halve(cbp.Callback):
        def on_train_batch_end(self, batch, logs):
            self.trainer.learning_rate /= 2

    stream = [(X[first : first + 8], T[first : first + 8]) for first in range(0, 50, 8)]
    for data in ((X, T), (stream, None)):
        run, other = trainer(), trainer(schedule=lambda step: 0.001 / 2**step)
        run.fit(*data, epochs=2, callbacks=Halve())
        other.fit(*data, epochs=2)
        np.testing.assert_array_equal(run.net.parameters, other.net.parameters)


def test_the_last_batch_of_an_epoch_ends_with_its_numbers():
    """They are in the history by then, so that a checkpoint from there keeps them."""

    class Look(cbp.Callback):
        seen = []

        def on_train_batch_end(self, batch, logs):
            self.seen.append((batch, *self.trainer.history.last().values()))

    run = trainer(metrics="r2")
    history = run.fit(X, T, 2, callbacks=Look())
    ends = [(6, *numbers) for numbers in zip(history["loss"], history["r2"])]
    assert [each for each in Look.seen if each[0] == 6] == ends and len(Look.seen) == 14


def test_stop():
    """The epoch that stops is the last; fit returns, and the next fit goes on."""
    run, whole = trainer(), trainer()
    history = run.fit(X, T, 10, callbacks=lambda epoch, logs: run.stop() if epoch == 3 else None)
    assert history.epochs == 4 and history.ended == "stop"
    run.fit(X, T, 2)
    whole.fit(X, T, 6)
    np.testing.assert_array_equal(run.net.parameters, whole.net.parameters)


def test_stop_without_a_run():
    """Nothing happens then or later."""
    run = trainer()
    run.stop()
    assert run.fit(X, T, 2).epochs == 2
    run.stop()
    before = run.net.parameters.copy()
    run.train_on_batch(X, T)
    assert (run.net.parameters != before).any()


def test_an_exception_ends_the_run():
    """It comes out as it is; the epochs are kept, on_train_end is called, and fit goes on."""
    run, whole, recorder = trainer(), trainer(), Recorder()

    def fail(epoch, logs):
        if epoch == 1:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        run.fit(X, T, 5, callbacks=[recorder, fail])
    assert run.history.epochs == 2 and run.history.ended == "error"
    assert recorder.calls[-1][0] == "train ends"
    run.fit(X, T, 3)
    whole.fit(X, T, 5)
    np.testing.assert_array_equal(run.net.parameters, whole.net.parameters)


def test_evaluate_in_a_callback():
    """A callback may look at the network, not train it."""
    run, seen = trainer(), []

    def look(epoch, logs):
        seen.append(run.evaluate(X, T)["loss"])
        with pytest.raises(RuntimeError, match=r"^The network is in use: this trainer is training"):
            run.fit(X, T, 1)
        with pytest.raises(RuntimeError, match=r"^The network is in use: this trainer is training"):
            run.train_on_batch(X, T)

    run.fit(X, T, 2, callbacks=look)
    assert len(seen) == 2 and run.history.epochs == 2


@pytest.mark.parametrize("wrong, words", [(3, "3"), (cbp.Callback, "Callback"), ([None], "None")])
def test_wrong_callbacks(wrong, words):
    """Neither a callback nor a function."""
    with pytest.raises(TypeError, match=r"^`callbacks` must hold cbp\.Callback objects or functions "
                       rf"\(epoch, logs\), got {words}\.$"):
        trainer().fit(X, T, 1, callbacks=wrong)
