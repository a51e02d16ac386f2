"""Random programs: whatever is called in whatever order, a trainer that is saved and loaded, or
pickled, between any two calls, and runs on other numbers of threads, does what its twin does."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest

import cbp

rng = np.random.default_rng(0)
X, OTHER = rng.normal(size=(2, 60, 4))
Y = np.tanh(X[:, :1] * 2) + 5
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
MASK = rng.random((4, 5)) < 0.7
SCHEDULES = [
    None, cbp.Step(3), cbp.Cosine(40, warm_up=3), cbp.OneCycle(60), cbp.InverseScaling(),
    cbp.ReduceOnPlateau(patience=1), cbp.Exponential(0.99),
]  # fmt: skip


class Hit(Exception):
    pass


def trainer(draw: random.Random, classes: bool) -> cbp.Trainer:
    """A trainer with options of every kind."""
    rule = draw.choice([*cbp.optimizers.OPTIMIZERS, cbp.SGD(0.05, weight_decay=0.01),
                        cbp.RMSprop(0.001, momentum=0.9)])  # fmt: skip
    hidden = cbp.Dense(
        5, draw.choice(["tanh", "relu", "gelu", "sin"]), dropout=draw.choice([0.0, 0.3]),
        max_norm=draw.choice([None, 1.0]), nonnegative=draw.random() < 0.1,
        trainable=draw.choice([True, True, "weights", False]),
        mask=MASK if draw.random() < 0.3 else None,
    )  # fmt: skip
    net = cbp.Network(
        [4, hidden, 3 if classes else 1], dtype=draw.choice(["float32", "float64"]),
        output_activation="softmax" if classes else "identity", seed=draw.randrange(99),
        standardize=draw.random() < 0.4,
    )  # fmt: skip
    return cbp.Trainer(
        net, optimizer=rule, shuffle=draw.random() < 0.7, seed=draw.randrange(99),
        batch_size=None if rule == "rprop" else draw.choice([1, 7, 16, 60, 100, "auto", None]),
        l2=draw.choice([0.0, 0.01]), l1=draw.choice([0.0, 0.001]),
        clip_norm=draw.choice([None, 0.5]), clip_value=draw.choice([None, 0.3]),
        average=draw.choice([None, 0.8]), schedule=draw.choice(SCHEDULES),
        metrics=draw.choice([(), "accuracy" if classes else "r2"]),
    )  # fmt: skip


def options_of_fit(draw: random.Random, classes: bool, T: np.ndarray) -> dict:
    """Options of a call of fit."""
    given: dict = {}
    if draw.random() < 0.3:
        given.update(validation_split=draw.choice([0.2, 0.5]), split=draw.choice(["random", "last"]))
    elif draw.random() < 0.3:
        given["validation_data"] = OTHER, T
    if draw.random() < 0.3:
        given["patience"] = draw.choice([1, 3])
    if draw.random() < 0.3:
        given["restore_best"] = False
    if draw.random() < 0.2:
        given["sample_weight"] = np.arange(60) % 3
    if classes and draw.random() < 0.2:
        given["class_weight"] = "balanced"
    return given


def call(draw: random.Random, classes: bool):
    """A call, as a function of the trainer that returns what came of it."""
    T = LABELS if classes else Y
    kind = draw.choice(["fit", "fit", "fit", "stop", "raise", "train_on_batch", "evaluate", "rate",
                        "find", "diverge", "stream", "refused"])  # fmt: skip
    options, epochs = options_of_fit(draw, classes, T), draw.choice([1, 2, 5])
    place, rate = (draw.randrange(3), draw.randrange(4)), draw.choice([0.001, 0.01, 0.05])
    rows = draw.choice([X, X.astype(np.float32), np.asfortranarray(X), OTHER])

    class At(cbp.Callback):
        epochs = -1

        def on_epoch_begin(self, epoch, logs):
            self.epochs += 1

        def on_train_batch_end(self, batch, logs):
            if (self.epochs, batch) == place:
                if kind == "raise":
                    raise Hit
                self.trainer.stop()

    def batches():
        return [(rows[first : first + 20], T[first : first + 20]) for first in (0, 20, 40)]

    def diverge(run):
        before, run.learning_rate = run.learning_rate, 1e37
        try:
            return dict(run.fit(rows, T, 2, **options))
        finally:
            run.learning_rate = before

    calls = {
        "fit": lambda run: dict(run.fit(rows, T, epochs, **options)),
        "train_on_batch": lambda run: run.train_on_batch(rows[:9], T[:9]),
        "evaluate": lambda run: run.evaluate(rows, T),
        "rate": lambda run: setattr(run, "learning_rate", rate),
        "find": lambda run: run.find_learning_rate(rows, T, steps=5).losses.tolist(),
        "diverge": diverge,
        "stream": lambda run: dict(run.fit(batches, epochs=epochs)),
        "refused": lambda run: run.fit(rows[:, :3], T, 1),
    }
    do = calls.get(kind, lambda run: dict(run.fit(rows, T, epochs, callbacks=At(), **options)))

    def outcome(run):
        try:
            return str(do(run))
        except (Hit, ValueError, cbp.DivergenceError) as error:
            return repr(error)

    return outcome


def state(run: cbp.Trainer) -> list:
    """All that a run goes on from."""
    arrays = [run.net.parameters, *run._states, *([] if run._mean is None else [run._mean])]
    return [
        [array.tobytes() for array in arrays], run._place, run.learning_rate, run._plateau,
        str(dict(run.history)), run.history.epochs, str(run.net.scaling),
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore::cbp.ScalingWarning")
@pytest.mark.usefixtures("all_threads")
@pytest.mark.parametrize("seed", range(100))
def test_any_program_goes_on(tmp_path, seed):
    """Results, errors and every bit of the state are those of the trainer that was left alone."""
    draw = random.Random(seed)
    classes = draw.random() < 0.4
    alone = trainer(draw, classes)
    moved = pickle.loads(pickle.dumps(alone))
    for _ in range(draw.randrange(2, 9)):
        do = call(draw, classes)
        way = draw.choice(["file", "file", "pickle", "stays"])
        if way == "file":
            moved.save_checkpoint(tmp_path / "run")
            moved = cbp.Trainer.load_checkpoint(tmp_path / "run")
        elif way == "pickle":
            moved = pickle.loads(pickle.dumps(moved))
        alone.n_threads, moved.n_threads = 1, draw.choice([1, 2, 3])
        assert do(moved) == do(alone)
        assert state(moved) == state(alone)
        assert np.isfinite(alone.net.parameters).all()
        assert len({len(column) for column in alone.history.values()}) == 1
