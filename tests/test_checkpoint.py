"""Checkpoints: a run that was saved and loaded is the run that was never stopped."""

from __future__ import annotations

import inspect
import itertools
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_storage import parts, sealed

import cbp
from cbp import _tensors, checkpoint, storage

FOLDER = Path(__file__).resolve().parent  # the source tree must not be what a child imports

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 5))
Y = (X[:, :2] ** 2).sum(1, keepdims=True) * 100 + 1000
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)

OPTIMIZERS = {
    "sgd": cbp.SGD(1e-2), "momentum": cbp.SGD(1e-2, momentum=0.9),
    "nesterov": cbp.SGD(1e-2, momentum=0.9, nesterov=True), "adam": cbp.Adam(1e-2),
    "decay": cbp.SGD(1e-2, momentum=0.5, weight_decay=0.01), "rmsprop": cbp.RMSprop(1e-2),
    "adagrad": cbp.Adagrad(1e-2), "adamw": cbp.AdamW(1e-2), "nadam": cbp.Nadam(1e-2),
    "lion": cbp.Lion(1e-3), "rprop": cbp.Rprop(1e-2),
}  # fmt: skip


def options(name: str) -> dict:
    """Options of a Trainer that goes with this optimizer: full batches for Rprop."""
    return {"optimizer": OPTIMIZERS[name], "batch_size": None if name == "rprop" else 16}


def trainer_of(name: str, dtype: str, **more) -> cbp.Trainer:
    """A trainer with something of everything."""
    net = cbp.Network(
        [5, cbp.Dense(8, "tanh", dropout=0.2), cbp.Dense(6, mask=RNG_MASK), 1], dtype=dtype,
        standardize=True, seed=1,
    )  # fmt: skip
    return cbp.Trainer(net, seed=2, l2=1e-3, metrics="r2", **{**options(name), **more})


RNG_MASK = np.random.default_rng(3).random((8, 6)) < 0.7

# Loads every checkpoint of a folder, trains on, with another number of threads, and saves.
CHILD = """
import sys, pathlib, numpy as np, cbp
from cbp import _runtime
folder, n_threads = pathlib.Path(sys.argv[1]), int(sys.argv[2])
_runtime.threads_for = lambda mflop, most=None: most  # however little there is to do
data = np.load(folder / "data.npz")
for path in sorted(folder.glob("*.run")):
    trainer = cbp.Trainer.load_checkpoint(path, n_threads=n_threads)
    trainer.fit(data["X"], data["Y"], epochs=int(sys.argv[3]) - trainer.history.epochs)
    assert trainer.threads_used == (n_threads if _runtime.openmp() else 1)
    trainer.save_checkpoint(path)
"""


def continued(folder: Path, data: tuple, epochs: int, n_threads: int) -> None:
    """Go on, in a process of its own, with all that is saved in a folder."""
    np.savez(folder / "data.npz", X=data[0], Y=data[1])
    subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(n_threads), str(epochs)],
        check=True, cwd=FOLDER,
    )  # fmt: skip


def assert_same(got: cbp.Trainer, expected: cbp.Trainer) -> None:
    """Parameters, optimizer states and history agree in every bit."""
    assert np.array_equal(got.net.parameters, expected.net.parameters)
    assert all(map(np.array_equal, got._states, expected._states))
    assert got._place == expected._place
    assert {k: v for k, v in got.history.items()} == {k: v for k, v in expected.history.items()}


class At(cbp.Callback):
    """Does something once, after a minibatch of an epoch."""

    def __init__(self, epoch, batch, action):
        self.place, self.action, self.epoch = (epoch, batch), action, -1

    def on_epoch_begin(self, epoch, logs):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs):
        if (self.epoch, batch) == self.place:
            self.action()


def stop():
    raise InterruptedError


def test_a_run_goes_on_as_if_never_stopped(tmp_path):
    """k epochs, a file, a new process with other threads, N - k epochs: the bits of N epochs, for
    every optimizer, both types and three k."""
    expected = {}
    for name in OPTIMIZERS:
        for dtype in ("float32", "float64"):
            whole = trainer_of(name, dtype)
            whole.fit(X, Y, epochs=7)
            for k in (1, 3, 6):
                part = trainer_of(name, dtype)
                part.fit(X, Y, epochs=k)
                part.save_checkpoint(tmp_path / f"{name}-{dtype}-{k}.run")
                expected[f"{name}-{dtype}-{k}.run"] = whole
    continued(tmp_path, (X, Y), 7, 2)
    assert len(expected) == 6 * len(OPTIMIZERS)
    for name, trainer in expected.items():
        assert_same(cbp.Trainer.load_checkpoint(tmp_path / name), trainer)


def test_a_run_goes_on_inside_an_epoch(tmp_path):
    """So from any batch of an epoch: interrupted there, or saved there by a callback."""
    expected = {}
    for name in set(OPTIMIZERS) - {"rprop"}:
        whole = trainer_of(name, "float32")
        whole.fit(X, Y, epochs=7)
        for epoch, batch in ((0, 0), (2, 3), (6, 4)):
            path = tmp_path / f"{name}-{batch}"
            part = trainer_of(name, "float32")
            with pytest.raises(InterruptedError):
                part.fit(X, Y, epochs=7, callbacks=At(epoch, batch, stop))
            assert part._place["row"] == 16 * (batch + 1) and part._place["epoch"] == epoch
            part.save_checkpoint(path.with_suffix(".run"))
            part = trainer_of(name, "float32")
            save = At(epoch, batch, lambda: part.save_checkpoint(path.with_suffix(".saved.run")))
            part.fit(X, Y, epochs=7, callbacks=save)
            assert_same(part, whole)
            expected[path.with_suffix(".run")] = expected[path.with_suffix(".saved.run")] = whole
    continued(tmp_path, (X, Y), 7, 3)
    for path, trainer in expected.items():
        assert_same(cbp.Trainer.load_checkpoint(path), trainer)


SCHEDULES = [
    cbp.Step(3, factor=0.5), cbp.Step([4, 20]), cbp.Exponential(0.99),
    cbp.Cosine(30, warm_up=5), cbp.OneCycle(30), cbp.InverseScaling(),
    cbp.ReduceOnPlateau(patience=1), cbp.Constant(warm_up=8),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_optimizer_goes_on_under_every_schedule(tmp_path, dtype):
    """The rates go on where they were, between epochs and inside one, and so do penalties,
    clipping and the running mean; Rprop, which has one batch an epoch, between epochs."""
    expected = {}
    for (number, schedule), name in itertools.product(enumerate(SCHEDULES), OPTIMIZERS):
        more = {"schedule": schedule, "l1": 1e-4, "clip_norm": 1.0, "average": 0.9}
        whole = trainer_of(name, dtype, **more)
        whole.fit(X, Y, epochs=6)
        for epoch, batch in ((1, 2), (4, 4)) if name != "rprop" else ((1, 0), (4, 0)):
            part = trainer_of(name, dtype, **more)
            path = tmp_path / f"{name}-{number}-{epoch}.run"
            save = At(epoch, batch, lambda: part.save_checkpoint(path))
            part.fit(X, Y, epochs=epoch + 1, callbacks=save)
            expected[path] = whole
    continued(tmp_path, (X, Y), 6, 2)
    for path, trainer in expected.items():
        again = cbp.Trainer.load_checkpoint(path)
        assert_same(again, trainer)
        assert np.array_equal(again._mean, trainer._mean)


STREAM = """
import pathlib, sys, numpy as np, cbp
folder = pathlib.Path(sys.argv[1])
data = np.load(folder / "data.npz")

def batches():
    for first in range(0, 90, 15):
        yield data["X"][first : first + 15], data["Y"][first : first + 15]

for path in folder.glob("*.run"):
    trainer = cbp.Trainer.load_checkpoint(path)
    trainer.fit(batches, epochs=4)
    trainer.save_checkpoint(path)
"""


def test_a_stream_goes_on(tmp_path):
    """Epochs over a function that makes batches: 3, a file, a new process, 4 more are 7."""
    np.savez(tmp_path / "data.npz", X=X, Y=Y / 1000)

    def batches():
        for first in range(0, 90, 15):
            yield X[first : first + 15], Y[first : first + 15] / 1000

    def fresh(name):
        net = cbp.Network([5, cbp.Dense(8, "tanh", dropout=0.2), 1], seed=1)
        return cbp.Trainer(net, optimizer=OPTIMIZERS[name], average=0.9, seed=2,
                           schedule=cbp.Cosine(30, warm_up=5))  # fmt: skip

    expected = {}
    for name in set(OPTIMIZERS) - {"rprop"}:
        whole, part = fresh(name), fresh(name)
        whole.fit(batches, epochs=7)
        part.fit(batches, epochs=3)
        part.save_checkpoint(tmp_path / f"{name}.run")
        expected[f"{name}.run"] = whole
    subprocess.run([sys.executable, "-c", STREAM, str(tmp_path)], check=True, cwd=FOLDER)
    for name, trainer in expected.items():
        assert_same(cbp.Trainer.load_checkpoint(tmp_path / name), trainer)


def test_patience_goes_on(tmp_path):
    """A checkpoint from inside a run keeps the best epoch so far, and how long it was waited."""
    halves = (X[::2], Y[::2]), (X[1::2], Y[1::2])

    class Save(cbp.Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 20:
                self.trainer.save_checkpoint(tmp_path / "run")

    whole = trainer_of("adam", "float32")
    whole.fit(*halves[0], epochs=200, validation_data=halves[1], patience=15, callbacks=Save())
    assert whole.history.ended == "patience" and 21 < whole.history.epochs < 200
    part = cbp.Trainer.load_checkpoint(tmp_path / "run")
    assert part.history.epochs == 21
    part.fit(*halves[0], epochs=179, validation_data=halves[1], patience=15)
    assert_same(part, whole)
    assert part.history.best_epoch == whole.history.best_epoch


@pytest.mark.parametrize(
    "more",
    [
        {"average": 0.9},
        {"clip_norm": 1.0, "l1": 1e-3},
        {"clip_value": 0.1, "shuffle": False},
        {"loss": cbp.SquaredError(reduction="sum"), "optimizer": cbp.SGD(1e-5)},
        {"batch_size": "auto", "schedule": cbp.ReduceOnPlateau(patience=1)},
    ],
)
def test_every_option_comes_back(tmp_path, more):
    """What a Trainer was made with is what the loaded one was made with."""
    trainer = trainer_of("adam", "float32", **more)
    trainer.learning_rate = 0.0123
    trainer.fit(X, Y, epochs=2)
    trainer.save_checkpoint(tmp_path / "run")
    again = cbp.Trainer.load_checkpoint(tmp_path / "run")
    for name in ("loss", "optimizer", "batch_size", "shuffle", "l2", "l1", "clip_norm",
                 "clip_value", "average", "schedule", "metrics", "seed", "learning_rate"):  # fmt: skip
        assert getattr(again, name) == getattr(trainer, name), name
    assert again.history.seconds == trainer.history.seconds
    for one in (trainer, again):
        one.fit(X, Y, epochs=2)
    assert_same(again, trainer)
    if trainer.average:
        assert np.array_equal(
            again.averaged_network().parameters, trainer.averaged_network().parameters
        )


def samples():
    """An object of every class that a file may name."""
    given = {
        "Cosine": [100], "OneCycle": [50], "Step": [[3, 9]], "Exponential": [0.9], "SGD": [0.1, 0.9],
        "Quantile": [[0.1, 0.5]],
    }  # fmt: skip
    found = {}
    for name, kind in checkpoint.classes().items():
        if name not in ("CustomLoss", "Loss"):  # code; a base class
            found[name] = kind(*given.get(name, []))
    return found


@pytest.mark.parametrize("name", samples())
def test_every_value_object_comes_back(name):
    """Losses, optimizers and schedules: through JSON to an equal object."""
    option = samples()[name]
    text = _tensors.canonical(storage.plain(option, checkpoint.classes()))
    assert storage.value(_tensors.parsed(text), checkpoint.classes()) == option


@pytest.mark.parametrize("scale, loss", [(1e12, "squared_error"), (1.0, "poisson")])
def test_losses_of_any_size_and_sign_come_back(tmp_path, scale, loss):
    """Inside an epoch the place holds their sum, which may be huge or below 0; rates may be too."""
    net = cbp.Network([5, 1], dtype="float64", seed=1)
    run = cbp.Trainer(net, loss, cbp.SGD(1e-30), batch_size=16, seed=1)
    targets = np.full(90, 50.0 * scale)
    net.biases[0][:] = 3.0
    with pytest.raises(InterruptedError):
        run.fit(X, targets, 2, callbacks=At(0, 2, stop))
    total = run._place["loss_sum"]
    assert total < 0 if loss == "poisson" else total > 2.0**53
    run.learning_rate = 1e17
    run.save_checkpoint(tmp_path / "run")
    again = cbp.Trainer.load_checkpoint(tmp_path / "run")
    assert again._place == run._place and again.learning_rate == 1e17


def test_a_long_run_comes_back(tmp_path):
    """Nothing in the state grows with the steps but their number: Rprop's 1.2 is no mean's."""
    for name in OPTIMIZERS:
        net = cbp.Network([5, 1], seed=1)
        run = cbp.Trainer(net, optimizer=OPTIMIZERS[name], batch_size=None, average=0.9, seed=1)
        run.fit(X[:8], X[:8, 0], 5000)
        assert all(0 <= value <= 1 for key, value in run._place.items() if "power" in key), name
        run.save_checkpoint(tmp_path / "run")
        assert_same(cbp.Trainer.load_checkpoint(tmp_path / "run"), run)


def test_a_trainer_that_never_trained_can_be_saved(tmp_path):
    """Nothing has to have happened yet."""
    trainer = trainer_of("adam", "float32")
    trainer.save_checkpoint(tmp_path / "run")
    again = cbp.Trainer.load_checkpoint(tmp_path / "run")
    for one in (trainer, again):
        one.fit(X, Y, epochs=2)
    assert_same(again, trainer)


def test_a_loaded_run_is_saved_as_the_same_bytes(tmp_path):
    """The file is a function of the trainer."""
    trainer = trainer_of("nadam", "float64", average=0.9)
    trainer.fit(X, Y, epochs=2)
    trainer.save_checkpoint(tmp_path / "run")
    cbp.Trainer.load_checkpoint(tmp_path / "run").save_checkpoint(tmp_path / "again")
    assert (tmp_path / "run").read_bytes() == (tmp_path / "again").read_bytes()


def test_the_safetensors_package_reads_a_checkpoint(tmp_path):
    """Parameters, states and history are tensors to any reader of the format."""
    numpy = pytest.importorskip("safetensors.numpy")
    trainer = trainer_of("adam", "float32")
    trainer.fit(X, Y, epochs=2)
    trainer.save_checkpoint(tmp_path / "run")
    tensors = numpy.load_file(tmp_path / "run")
    assert np.array_equal(tensors["state.states.1"], trainer._states[1])
    assert np.array_equal(tensors["history"][0], trainer.history["loss"])
    assert np.array_equal(tensors["layers.2.bias"], trainer.net.biases[2])


def test_nothing_of_a_trainer_is_forgotten():
    """Every attribute is an option, in STATE, or made anew: who adds one decides which."""
    trainer = trainer_of("adam", "float32", average=0.5)
    options = set(inspect.signature(cbp.Trainer).parameters)
    made_anew = {"objective", "loop", "busy", "fitting", "run", "mask", "threads_used", "ahead"}
    known = options | made_anew | {*checkpoint.STATE, "history"}
    assert {name.lstrip("_") for name in vars(trainer)} - known == set()


def test_saving_changes_nothing(tmp_path):
    """A run that is saved on the way, and one that is not, are one."""
    trainers = [trainer_of("adam", "float32") for _ in range(2)]
    for epoch in range(3):
        for trainer in trainers:
            trainer.fit(X, Y, epochs=1)
        trainers[0].save_checkpoint(tmp_path / "run")
    assert_same(*trainers)


def test_classifiers_are_saved_too(tmp_path):
    """Softmax, labels, accuracy."""
    net = cbp.Network([5, 4, 3], "relu", "softmax", seed=1)
    trainer = cbp.Trainer(net, metrics="accuracy", seed=1)
    trainer.fit(X, LABELS, epochs=2)
    trainer.save_checkpoint(tmp_path / "run")
    again = cbp.Trainer.load_checkpoint(tmp_path / "run")
    assert again.evaluate(X, LABELS) == trainer.evaluate(X, LABELS)


def test_a_long_history_leaves_the_header_small(tmp_path):
    """History and states are tensors: 100,000 epochs fit."""
    trainer = cbp.Trainer(cbp.Network([1, 1]), optimizer="sgd", batch_size=None)
    trainer.fit([[0.0]], [1.0], epochs=100_000)
    trainer.save_checkpoint(tmp_path / "run")
    data = (tmp_path / "run").read_bytes()
    assert int.from_bytes(data[:8], "little") < 4096
    assert cbp.Trainer.load_checkpoint(tmp_path / "run").history["loss"] == trainer.history["loss"]


# ---- what is refused --------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """The bytes of a small checkpoint."""
    trainer = cbp.Trainer(cbp.Network([2, 1], seed=1), seed=1)
    trainer.fit(X[:, :2], Y / 1000 - 1, epochs=1)
    trainer.save_checkpoint(tmp_path / "run")
    return (tmp_path / "run").read_bytes()


def refused(path: Path, data: bytes) -> str:
    """Assert that loading ends in one FormatError; return its words."""
    path.write_bytes(data)
    with pytest.raises(cbp.FormatError) as caught:
        cbp.Trainer.load_checkpoint(path)
    return str(caught.value)


def test_functions_of_ones_own_cannot_be_saved(tmp_path):
    """One sentence says which option is code."""
    trainer = trainer_of("adam", "float32", schedule=lambda step: 0.1)
    with pytest.raises(ValueError, match="whose `schedule` is a function of your own cannot be"):
        trainer.save_checkpoint(tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_damage_is_found(tmp_path, saved):
    """Cut anywhere, or with any byte changed, a checkpoint is refused."""
    for at in range(0, len(saved), 3):
        refused(tmp_path / "cut", saved[:at])
        damaged = bytearray(saved)
        damaged[at] ^= 1 << at % 8
        refused(tmp_path / "flipped", bytes(damaged))


@pytest.mark.parametrize(
    "section, change, words",
    [
        ("options", lambda s: s.update(optimizer={"class": "system"}), "class"),
        ("options", lambda s: s.update(optimizer={"class": "Optimizer"}), "class"),
        ("options", lambda s: s.update(optimizer={"class": "SquaredError"}), "optimizer"),
        ("options", lambda s: s.update(optimizer={"class": "SGD"}), "states"),
        ("options", lambda s: s.update(optimizer={"class": "Adam", "epsilon": -1.0}), "epsilon"),
        ("options", lambda s: s.update(loss={"class": "BinaryCrossEntropy"}), "sigmoid"),
        ("options", lambda s: s.update(n_threads=1), "options"),
        ("options", lambda s: s.update(net=1), "options"),
        ("options", lambda s: s.update(unheard_of=1), "unheard_of"),
        ("options", lambda s: s.update(batch_size=0), "batch_size"),
        ("options", lambda s: s.update(average=0.5), "mean"),
        ("state", lambda s: s.pop("states"), "tensors"),
        ("state", lambda s: s.update(more=1), "state"),
        ("state", lambda s: s["states"].pop(), "tensors"),
        ("state", lambda s: s.update(states=[1, 2]), "tensors"),
        ("state", lambda s: s.update(plateau={}), "plateau"),
        ("state", lambda s: s.update(watch={"monitor": "loss"}), "watch"),
        ("state", lambda s: s.update(watch=7), "watch"),
        ("state", lambda s: s.update(mean=1.0), "mean"),
        ("state", lambda s: s.update(learning_rate=-1.0), "learning_rate"),
        ("state", lambda s: s.update(learning_rate="0.1"), "learning_rate"),
        ("state", lambda s: s.update(interrupted={"bytes": "xyz"}), "hexadecimal"),
        ("state", lambda s: s["place"].update(row=-1), "place"),
        ("state", lambda s: s["place"].update(epoch=2.5), "place"),
        ("state", lambda s: s["place"].update(power_1=-0.5), "place"),
        ("state", lambda s: s["place"].update(seed=7), "place"),
        ("state", lambda s: s["place"].update(more=1), "place"),
        ("history", lambda s: s.update(columns=["loss", "loss"]), "history"),
        ("history", lambda s: s.update(columns=[]), "history"),
        ("history", lambda s: s.update(epochs=2), "tensors"),
        ("history", lambda s: s.update(epochs=-1), "epochs"),
        ("history", lambda s: s.update(seconds="long"), "seconds"),
        ("history", lambda s: s.update(best_epoch=-1), "best_epoch"),
        ("history", lambda s: s.update(ended=None), "history"),
        ("history", lambda s: s.pop("ended"), "history"),
    ],
)
def test_hostile_checkpoints_are_refused(tmp_path, saved, section, change, words):
    """With a right checksum, too: what a Trainer would refuse, or could not have become."""
    header, data = parts(saved)
    said = json.loads(header["__metadata__"][section])
    change(said)
    header["__metadata__"][section] = json.dumps(said, separators=(",", ":"))
    assert words in refused(tmp_path / "hostile", sealed(header, data))


ODD = [None, True, 0, 1, -1, 2**53, 0.5, -0.5, 1e308, "", "loss", "val_loss", "../x", [], {}, [[]],
       [1, 2], {"integer": "-1"}, {"integer": "9" * 20}, {"class": "Adam"}, {"class": "Huber"},
       {"bytes": "00"}, {"bytes": 7}, {"float": "inf"}, {"float": "nan"}, {"float": 1},
       {"array": True}, {"array": 1}]  # fmt: skip


@given(data=st.data())
@settings(max_examples=800)
def test_mutated_checkpoints_never_crash(tmp_path_factory, data):
    """Any field changed to anything: a FormatError, or a trainer that trains on."""
    path = tmp_path_factory.getbasetemp() / "mutated"
    if not path.with_suffix(".whole").exists():
        trainer = cbp.Trainer(
            cbp.Network([2, 3, 1], seed=1), seed=1, batch_size=4, metrics="r2", average=0.5,
            schedule=cbp.ReduceOnPlateau(patience=1),
        )  # fmt: skip
        save = cbp.callbacks._Function(
            lambda epoch, logs: trainer.save_checkpoint(path.with_suffix(".whole"))
        )
        trainer.fit(X[:20, :2], Y[:20] / 1000 - 1, epochs=2, validation_split=0.5, callbacks=save)
    header, tail = parts(path.with_suffix(".whole").read_bytes())
    for _ in range(data.draw(st.integers(1, 2))):
        section = data.draw(st.sampled_from(["options", "state", "state", "history"]))
        said = json.loads(header["__metadata__"][section])
        holder = said
        key = data.draw(st.sampled_from(sorted(holder)))
        while isinstance(holder[key], dict) and holder[key] and data.draw(st.integers(0, 4)):
            holder = holder[key]
            key = data.draw(st.sampled_from(sorted(holder)))
        holder[key] = data.draw(st.sampled_from(ODD))
        header["__metadata__"][section] = json.dumps(said, separators=(",", ":"))
    path.write_bytes(sealed(header, tail))
    try:
        trainer = cbp.Trainer.load_checkpoint(path)
    except cbp.FormatError:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(X[:20, :2], Y[:20] / 1000 - 1, epochs=1, validation_split=0.5)
            trainer.train_on_batch(X[:20, :2], Y[:20] / 1000 - 1)
    except (cbp.DivergenceError, ValueError) as error:
        assert not isinstance(error, cbp.FormatError)
    trainer.save_checkpoint(path)


def test_negative_squares_are_refused(tmp_path, saved):
    """Adam's second moment is a mean of squares."""
    header, data = parts(saved)
    first = header["state.states.1"]["data_offsets"][0]
    wrong = data[:first] + np.float32(-1.0).tobytes() + data[first + 4 :]
    assert "negative" in refused(tmp_path / "hostile", sealed(header, wrong))
    wrong = data[:first] + np.float32(np.nan).tobytes() + data[first + 4 :]
    assert "infinity or NaN" in refused(tmp_path / "hostile", sealed(header, wrong))


def test_older_files_are_read(tmp_path, saved):
    """What an older version did not know has the value that it has in a fresh trainer."""
    header, data = parts(saved)
    words = header["__metadata__"]
    state, options = json.loads(words["state"]), json.loads(words["options"])
    for name in ("mean", "plateau", "watch"):
        del state[name]
    del state["place"]["power_3"], options["average"], options["schedule"]
    words["state"] = json.dumps(state, separators=(",", ":"))
    words["options"] = json.dumps(options, separators=(",", ":"))
    (tmp_path / "old").write_bytes(sealed(header, data))
    (tmp_path / "new").write_bytes(saved)
    old, new = (cbp.Trainer.load_checkpoint(tmp_path / name) for name in ("old", "new"))
    for trainer in (old, new):
        trainer.fit(X[:, :2], Y / 1000 - 1, epochs=1)
    assert np.array_equal(old.net.parameters, new.net.parameters)


def test_the_files_of_version_1_are_read(repo_root):
    """Files that were written when the format was: tests/golden/make_files.py."""
    golden = repo_root / "tests" / "golden"
    net = cbp.load(golden / "network-1.safetensors")
    assert net.sizes == (3, 4, 2) and net.activations == ("tanh", "identity") and net.seed == 1
    assert net.layers[0].mask.sum() == 10 and net.layers[0].dropout == 0.25
    assert net.scaling.input_shift.tolist() == [1.0, 2.0, 3.0]
    fresh = cbp.Network([3, cbp.Dense(4, "tanh", mask=net.layers[0].mask), 2], seed=1)
    assert np.array_equal(net.parameters, fresh.parameters)
    trainer = cbp.Trainer.load_checkpoint(golden / "checkpoint-1.safetensors")
    assert trainer.optimizer == cbp.Adam(0.01) and trainer.schedule == cbp.Cosine(100, warm_up=5)
    assert trainer.history.epochs == 2 and trainer._place["step"] == 6 and trainer.average == 0.5
    assert trainer.net.sizes == (2, 3, 1) and len(trainer.history["val_r2"]) == 2


def test_files_of_the_other_kind_are_named(tmp_path, saved):
    """A checkpoint is not a network, nor the other way round: the message names what reads it."""
    (tmp_path / "run").write_bytes(saved)
    with pytest.raises(cbp.FormatError, match="Trainer.load_checkpoint reads"):
        cbp.load(tmp_path / "run")
    cbp.Network([1, 1]).save(tmp_path / "net")
    with pytest.raises(cbp.FormatError, match="cbp.load reads"):
        cbp.Trainer.load_checkpoint(tmp_path / "net")


KILLED = """
import os, random, signal, sys, time, numpy as np, cbp
path = sys.argv[1]
X = np.random.default_rng(0).normal(size=(64, 3)); Y = X[:, :1]
whole = cbp.Trainer(cbp.Network([3, 8, 1], seed=1), batch_size=8, seed=1)
whole.fit(X, Y, epochs=150)
cbp.Trainer(cbp.Network([3, 8, 1], seed=1), batch_size=8, seed=1).save_checkpoint(path)
for _ in range(200):
    child = os.fork()
    if child == 0:
        trainer = cbp.Trainer.load_checkpoint(path)
        while trainer.history.epochs < 149:
            trainer.fit(X, Y, epochs=1)
            trainer.save_checkpoint(path)
        os._exit(0)
    time.sleep(random.uniform(0.005, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
trainer = cbp.Trainer.load_checkpoint(path)
assert trainer.history.epochs > 0
print(trainer.history.epochs)
trainer.fit(X, Y, epochs=150 - trainer.history.epochs)
assert np.array_equal(trainer.net.parameters, whole.net.parameters)
assert trainer.history["loss"] == whole.history["loss"]
"""


def test_a_run_that_is_killed_again_and_again_ends_as_if_never(tmp_path):
    """200 kills: each time the last checkpoint loads, and the end is that of the unbroken run."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "run")],
        capture_output=True, text=True, cwd=FOLDER,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
