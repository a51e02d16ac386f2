"""cbp beside signals, other threads, other processes, and limits on threads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cbp
from cbp import _runtime

TWO_CPUS = pytest.mark.skipif(
    not _runtime.openmp() or len(os.sched_getaffinity(0)) < 2, reason="needs OpenMP and two CPUs"
)


def answer(code: str, *, cpus: set[int] | None = None, **environment: str) -> Any:
    """What Python code prints in a fresh process, as JSON; `cpus` are all it may run on."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    result = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**clean, **environment},
        preexec_fn=None if cpus is None else lambda: os.sched_setaffinity(0, cpus),
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def data(n: int, n_inputs: int, n_classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels, the same every time."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, n_inputs), dtype=np.float32)
    return X, rng.integers(0, n_classes, n)


def make(sizes: list[int], batch_size: int | None, **options: Any) -> cbp.Trainer:
    """A trainer whose runs depend on nothing but the data."""
    net = cbp.Network(sizes, "tanh", "softmax", seed=5)
    options = {"optimizer": cbp.SGD(0.01), "shuffle": False, "seed": 6, **options}
    return cbp.Trainer(net, batch_size=batch_size, **options)


# --- fork and spawn --------------------------------------------------------------------------

FIT = """
import hashlib, json, os, signal, sys, warnings
import numpy as np
import cbp
def fit():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((2048, 64), dtype=np.float32), rng.integers(0, 10, 2048)
    net = cbp.Network([64, 96, 10], "relu", "softmax", seed=5)
    trainer = cbp.Trainer(net, batch_size=512, n_threads=2, seed=6)
    trainer.fit(X, y, 3, progress=False)
    return [hashlib.sha256(net.parameters.tobytes()).hexdigest(), trainer.threads_used]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fit_in_a_forked_child_after_fit_in_the_parent():
    """20 of 20 children finish, on one thread, with the parent's bits; the parent goes on."""
    parent, children, again = answer(
        FIT
        + """
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork beside other threads
parent, children = fit(), []
for _ in range(20):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # a child that waits for lost threads dies of it
        os.write(writer, json.dumps(fit()).encode())
        os._exit(0)
    os.close(writer)
    text = os.read(reader, 1000).decode()
    os.close(reader)
    assert os.waitpid(pid, 0)[1] == 0, "the child did not finish"
    children.append(json.loads(text))
print(json.dumps([parent, children, fit()]))
"""
    )
    assert parent[1] == (2 if _runtime.openmp() else 1)
    assert children == [[parent[0], 1]] * 20
    assert again == parent


def test_fit_in_a_spawned_child(tmp_path: Path):
    """multiprocessing's spawn: a network goes there by value, and the same bits come back."""
    script = tmp_path / "spawned.py"
    script.write_text(
        FIT
        + """
def work(net, X): return net.predict(X), fit()
if __name__ == "__main__":
    import multiprocessing
    mine = fit()
    net, X = cbp.Network([3, 5, 2], seed=1), np.ones((4, 3), dtype=np.float32)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        predicted, theirs = pool.apply(work, (net, X))
    print(json.dumps([mine == theirs, predicted.tobytes() == net.predict(X).tobytes()]))
"""
    )
    result = subprocess.run(
        [sys.executable, "-I", str(script)], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [True, True]


# --- limits on threads -----------------------------------------------------------------------

THREADS = """
import json
import numpy as np
import cbp
X, y = np.ones((4096, 64), dtype=np.float32), np.zeros(4096, dtype=int)
def used(n_threads="auto"):
    net = cbp.Network([64, 256, 10], "relu", "softmax", seed=1)
    trainer = cbp.Trainer(net, batch_size=4096, n_threads=n_threads, seed=1)
    trainer.fit(X, y, 1, progress=False)
    return trainer.threads_used
"""


@TWO_CPUS
def test_auto_takes_what_is_there():
    """Without limits a large batch runs on more than one thread."""
    assert answer(THREADS + "print(json.dumps(used()))") >= 2


def test_auto_honours_omp_num_threads():
    """OMP_NUM_THREADS bounds "auto"; a number given by the caller is his word."""
    got = answer(THREADS + "print(json.dumps([used(), used(3)]))", OMP_NUM_THREADS="1")
    assert got == [1, 3 if _runtime.openmp() else 1]


@TWO_CPUS
def test_auto_honours_threadpoolctl():
    """A limit set by threadpoolctl holds, and ends where it ends."""
    pytest.importorskip("threadpoolctl")
    inside, after = answer(
        THREADS
        + """
from threadpoolctl import threadpool_limits
with threadpool_limits(1):
    inside = used()
print(json.dumps([inside, used()]))
"""
    )
    assert inside == 1 and after >= 2


@TWO_CPUS
def test_auto_honours_the_affinity_of_the_process():
    """Bound to one CPU, as by taskset, "auto" means one thread."""
    one = {min(os.sched_getaffinity(0))}
    assert answer(THREADS + "print(json.dumps(used()))", cpus=one) == 1
    # OpenMP itself overlooks the affinity where the environment names a number.
    assert answer(THREADS + "print(json.dumps(used()))", cpus=one, OMP_NUM_THREADS="8") == 1


# --- signals ---------------------------------------------------------------------------------


class Interruption:
    """Sends this process SIGINT after a while, from another thread, and keeps the time."""

    def __init__(self, seconds: float) -> None:
        self.timer = threading.Timer(seconds, self.fire)
        self.sent = float("nan")

    def fire(self) -> None:
        self.sent = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)

    def __enter__(self) -> Interruption:
        self.timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.timer.cancel()
        self.timer.join()


def interrupted(
    trainer: cbp.Trainer, X: np.ndarray, y: np.ndarray, seconds: float = 0.3, **options: Any
) -> float:
    """Fit until Ctrl-C ends it, and return how long that took."""
    with Interruption(seconds) as interruption:
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(X, y, 10**9 if not options else 10**5, progress=False, **options)
        return time.perf_counter() - interruption.sent


def steps_taken(trainer: cbp.Trainer) -> int:
    """Updates since the trainer was made."""
    return int(trainer._place["step"])


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.usefixtures("all_threads")
def test_ctrl_c_ends_fit_with_the_last_completed_update(n_threads):
    """Within 200 ms; the weights are those of a run that was told to stop after as many updates."""
    X, y = data(3000, 64)
    trainer = make([64, 128, 10], 32, n_threads=n_threads)
    waits = [interrupted(trainer, X, y, 0.2) for _ in range(3)]
    assert sorted(waits)[1] <= 0.2, waits
    assert trainer.threads_used == (n_threads if _runtime.openmp() else 1)
    steps = steps_taken(trainer)
    batches = -(-3000 // 32)
    assert steps > batches
    twin = make([64, 128, 10], 32)
    twin.fit(X, y, steps // batches, progress=False)
    if steps % batches:
        twin.fit(X, y, 1, order=np.arange(3000)[: 32 * (steps % batches)], progress=False)
    assert steps_taken(twin) == steps
    assert trainer.net.parameters.tobytes() == twin.net.parameters.tobytes()
    assert trainer.history.epochs == steps // batches
    assert trainer.history["loss"] == twin.history["loss"][: steps // batches]


@pytest.mark.slow
@pytest.mark.no_sanitizer
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("width", [512, 1024], ids=["weights in L2", "packed weights"])
def test_ctrl_c_inside_one_huge_batch(width, n_threads):
    """Within 200 ms though a step takes longer than that, and no half an update is left."""
    X, y = data(30_000, 512)
    trainer = make([512, width, 10], None, n_threads=n_threads)
    start = time.perf_counter()
    trainer.train_on_batch(X, y)
    step_seconds = time.perf_counter() - start
    waits = [interrupted(trainer, X, y, 0.25 + 0.1 * k) for k in range(3)]
    assert sorted(waits)[1] <= 0.2, (waits, step_seconds)
    twin = make([512, width, 10], None, n_threads=3 - n_threads)
    for _ in range(steps_taken(trainer)):
        twin.train_on_batch(X, y)
    assert trainer.net.parameters.tobytes() == twin.net.parameters.tobytes()


def test_fit_after_ctrl_c_finishes_the_interrupted_epoch():
    """Interrupted anywhere and continued, a run ends with the bits of one that never was."""
    X, y = data(20_000, 64)
    trainer = make([64, 128, 10], 32, shuffle=True, optimizer=cbp.Adam(0.001))
    interrupted(trainer, X, y)
    done = trainer.history.epochs
    trainer.fit(X, y, 2, progress=False)
    twin = make([64, 128, 10], 32, shuffle=True, optimizer=cbp.Adam(0.001))
    twin.fit(X, y, done + 2, progress=False)
    assert trainer.net.parameters.tobytes() == twin.net.parameters.tobytes()
    assert trainer.history["loss"] == twin.history["loss"]


def test_ctrl_c_during_validation():
    """Ctrl-C is heard as well where every epoch ends in Python."""
    X, y = data(2000, 64)
    trainer = make([64, 32, 10], 32)
    waits = [interrupted(trainer, X, y, 0.2, validation_data=(X, y)) for _ in range(3)]
    assert sorted(waits)[1] <= 0.2, waits
    assert len(trainer.history["val_loss"]) == trainer.history.epochs


@pytest.mark.slow
@pytest.mark.no_sanitizer
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_with_very_many_inputs(n_threads):
    """A task over packed weights is cut by its work, not by its rows alone."""
    X, y = np.zeros((1020, 60_000), np.float32), np.arange(1020) % 10
    trainer = make([60_000, 128, 10], 1020, n_threads=n_threads)
    waits = [interrupted(trainer, X, y, 0.7) for _ in range(3)]
    assert sorted(waits)[1] <= 0.2, waits


@pytest.mark.no_sanitizer
def test_ctrl_c_during_predict():
    """predict and gradient on many rows hear it too; a network that is only read is unharmed."""
    X, y = data(200_000, 256)
    net = cbp.Network([256, 1024, 1024, 10], "tanh", "softmax", seed=5)
    before = net.parameters.copy()
    for call in (lambda: net.predict(X), lambda: net.gradient(X[:40_000], y[:40_000])):
        with Interruption(0.1) as interruption, pytest.raises(KeyboardInterrupt):
            call()
        assert time.perf_counter() - interruption.sent <= 0.4
    assert net.parameters.tobytes() == before.tobytes()
    net.predict(X[:10])  # and not in use any more


@pytest.mark.no_sanitizer
def test_an_exception_of_a_signal_handler_leaves_fit():
    """What a SIGALRM handler raises is what fit raises; the network stays usable."""

    class TooLate(Exception):
        pass

    def handler(number: int, frame: Any) -> None:
        raise TooLate(f"signal {number}")

    X, y = data(3000, 64)
    trainer = make([64, 128, 10], 32)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TooLate, match=f"signal {int(signal.SIGALRM)}"):
            trainer.fit(X, y, 10**9, progress=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert steps_taken(trainer) > 0
    trainer.fit(X, y, 1, progress=False)


def test_a_signal_handler_that_returns_does_not_end_fit():
    """Handlers run while fit runs, and only an exception ends it."""
    calls = []
    X, y = data(3000, 64)
    trainer = make([64, 128, 10], 32)
    twin = make([64, 128, 10], 32)
    before = signal.signal(signal.SIGALRM, lambda number, frame: calls.append(steps_taken(trainer)))
    try:
        start = time.perf_counter()
        trainer.fit(X, y, 20, progress=False)
        epochs = max(20, int(20 * 0.5 / (time.perf_counter() - start)))
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        trainer.fit(X, y, epochs, progress=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert calls
    twin.fit(X, y, 20 + epochs, progress=False)
    assert trainer.net.parameters.tobytes() == twin.net.parameters.tobytes()


# --- other Python threads --------------------------------------------------------------------


def test_two_threads_predict_while_a_third_trains_another_network():
    """Everybody gets the bits they get alone."""
    X, y = data(3000, 64)
    net = cbp.Network([64, 128, 10], "relu", "softmax", seed=2)
    alone = net.predict(X, n_threads=1)
    expected = make([64, 128, 10], 256, n_threads=2)
    expected.fit(X, y, 10, progress=False)
    trainer = make([64, 128, 10], 256, n_threads=2)
    failures: list[str] = []

    def predict(n_threads: int) -> None:
        for _ in range(15):
            if not np.array_equal(net.predict(X, n_threads=n_threads), alone):
                failures.append(f"predict on {n_threads} threads")

    def train() -> None:
        trainer.fit(X, y, 10, progress=False)

    threads = [threading.Thread(target=predict, args=(n,)) for n in (1, 2)]
    threads.append(threading.Thread(target=train))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failures == []
    assert trainer.net.parameters.tobytes() == expected.net.parameters.tobytes()


def while_fit_runs(trainer: cbp.Trainer, X: np.ndarray, y: np.ndarray, work: Any) -> list[Any]:
    """Call `work` again and again while `fit` runs for about a second; return its results."""
    start = time.perf_counter()
    trainer.fit(X, y, 2, progress=False)
    epochs = int(2 / (time.perf_counter() - start)) + 2
    thread = threading.Thread(target=trainer.fit, args=(X, y, epochs), kwargs={"progress": False})
    results = []
    thread.start()
    time.sleep(0.2)  # fit has checked its data and is in the compiled loop
    while thread.is_alive():
        results.append(work())
        time.sleep(0.01)
    thread.join()
    return results


def test_other_python_threads_go_on_while_fit_runs():
    """The GIL is released: a thread that wakes up every 10 ms does so."""
    X, y = data(3000, 64)
    ticks = while_fit_runs(make([64, 128, 10], 32), X, y, time.perf_counter)
    assert len(ticks) >= 10


def test_a_network_in_training_is_not_for_others():
    """fit, predict and gradient beside a fit on the same network: RuntimeError, and no harm."""
    X, y = data(3000, 64)
    trainer = make([64, 128, 10], 32)
    second = cbp.Trainer(trainer.net, seed=1)
    calls = [
        lambda: second.fit(X[:8], y[:8], 1, progress=False),
        lambda: trainer.net.predict(X[:8]),
        lambda: trainer.net.gradient(X[:8], y[:8]),
    ]

    def work() -> list[str]:
        said = []
        for call in calls:
            try:
                call()
                said.append("")
            except RuntimeError as error:
                said.append(str(error))
        return said

    middle = while_fit_runs(trainer, X, y, work)[2:-2]
    assert middle
    for said in middle:
        for sentence in said:
            assert sentence.startswith("The network is in use: it is being trained by another call")


# --- ends of processes, and other OpenMP run times ---------------------------------------------

MIDDLE = """
import os, sys, threading, time
import numpy as np
import cbp
X, y = np.ones((4000, 64), np.float32), np.arange(4000) % 10
net = cbp.Network([64, 128, 10], "tanh", "softmax", seed=1)
trainer = cbp.Trainer(net, batch_size=512, n_threads=2, seed=1)
threading.Thread(target=trainer.fit, args=(X, y, 10**6), daemon=True).start()
while not trainer._loop.step:
    time.sleep(0.001)
"""


@pytest.mark.parametrize(
    "end, code", [("sys.exit(3)", 3), ("os._exit(4)", 4), ("pass", 0), ("raise ValueError", 1)]
)
def test_a_process_may_end_while_a_thread_trains(end, code):
    """However the program ends, at once and with its own exit code."""
    for _ in range(8):
        child = subprocess.run(
            [sys.executable, "-I", "-c", MIDDLE + end], capture_output=True, timeout=60
        )
        assert child.returncode == code, child.stderr


BESIDE = """
import hashlib, json, sys
import numpy as np

def other():
    import sklearn.cluster
    sklearn.cluster.KMeans(3, n_init=1, random_state=0).fit(np.random.rand(2000, 8))

if sys.argv[1] == "before":
    other()
import cbp
X, y = np.random.default_rng(0).random((2000, 64), np.float32), np.arange(2000) % 10
net = cbp.Network([64, 128, 10], "tanh", "softmax", seed=1)
trainer = cbp.Trainer(net, batch_size=512, n_threads=2, seed=1)
for epoch in range(3):
    trainer.fit(X, y, 1)
    if sys.argv[1] == "after":
        other()
print(json.dumps([hashlib.sha256(net.parameters.tobytes()).hexdigest(), trainer.threads_used]))
"""


@pytest.mark.slow
def test_another_openmp_beside():
    """scikit-learn brings a run time of its own: loaded before or after, it changes no bit."""
    pytest.importorskip("sklearn")
    found = {
        subprocess.run(
            [sys.executable, "-I", "-W", "ignore", "-c", BESIDE, when], capture_output=True,
            text=True, check=True, timeout=120,
        ).stdout
        for when in ("never", "before", "after")
    }  # fmt: skip
    assert len(found) == 1
