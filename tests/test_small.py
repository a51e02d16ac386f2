"""The small room: another way through a step, taken where it pays, with the bits of the general one.

A second thread keeps a run out of the room, so runs on one thread and on two are the two ways.
"""

from __future__ import annotations

import itertools
import signal

import numpy as np
import pytest
from nets import HIDDEN, HYPER, OPTIMIZERS, OUTPUTS, Net, bind, digest, train

from cbp import _runtime, _training

TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=("float32", "float64"))
# Widths around the vectors' and the strips', depths from 1 to 4.
SIZES = (
    (1, 1), (4, 3), (5, 3), (40, 16), (2, 2, 1), (3, 4, 2), (2, 3, 3, 1), (4, 16, 3), (30, 16, 1),
    (3, 17, 5), (4, 32, 16, 4),
    (9, 7, 33, 2), (64, 64, 10), (17, 5, 4, 9, 13),
)  # fmt: skip
needs_threads = pytest.mark.skipif(not _runtime.openmp(), reason="needs two threads")


def both_ways(sizes, activations, loss, optimizer, **options):
    """Digests of parameters, losses and states: in the small room, and outside."""
    found, hyper = [], {**HYPER[optimizer], "learning_rate": 0.003}
    for n_threads in (1, 2):
        net, losses, states, loop = train(
            sizes, activations, loss, optimizer, hyper=hyper, n_threads=n_threads, **options
        )
        assert loop.small_used == (n_threads == 1)
        assert np.isfinite(losses).all()
        found.append(digest(net.theta, losses, *states))
    return found


@needs_threads
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@TYPES
def test_the_small_room_has_the_bits_of_the_general_way(isa, dtype, sizes):
    """Every optimizer, output and hidden activation; short, whole and last batches."""
    turns = itertools.cycle(itertools.product(OPTIMIZERS, HIDDEN, (1, 8, 23, 32, 40)))
    for (output, loss), labels in itertools.product(OUTPUTS, (False, True)):
        if labels != (loss == "categorical_cross_entropy"):
            continue
        for _ in range(5):
            optimizer, hidden, batch_size = next(turns)
            inside, outside = both_ways(
                sizes, (*[hidden] * (len(sizes) - 2), output), loss, optimizer, dtype=dtype, n=41,
                batch_size=batch_size, epochs=4, labels=labels,
            )  # fmt: skip
            assert inside == outside


@needs_threads
@pytest.mark.parametrize("options", [
    {"n": 700, "batch_size": 600}, {"n": 513, "batch_size": 257}, {"n": 300, "batch_size": 256},
    {"weighted": True}, {"reduction": "sum", "weighted": True}, {"l2": 0.01}, {"shuffle": False},
], ids=str)  # fmt: skip
@TYPES
def test_options_of_the_small_room_have_the_general_bits(isa, dtype, options):
    """Batches of several chains, sample weights, sums, the penalty, rows in order."""
    for optimizer in ("momentum", "adam"):
        for sizes, output in (((4, 20, 16, 3), 5), ((6, 9, 2), 4)):
            activation, loss = OUTPUTS[output]
            inside, outside = both_ways(
                sizes, (*["tanh"] * (len(sizes) - 2), activation), loss, optimizer, dtype=dtype,
                epochs=6, **options,
            )  # fmt: skip
            assert inside == outside


@pytest.mark.parametrize("change", [
    {"sizes": (4, 129, 3)}, {"sizes": (4, 16, 17)}, {"sizes": (1025, 4, 3)}, {"bias": False},
    {"mask": True}, {"trainable": [(True, True), (True, False)]}, {"rows": 120},
], ids=str)  # fmt: skip
def test_what_the_small_room_does_not_know_goes_the_general_way(change):
    """Wide layers, no biases, masks, frozen parameters, short runs."""
    net = Net(change.get("sizes", (4, 16, 3)), ("relu", "softmax"), bias=change.get("bias", True))
    mask = np.ones_like(net.theta) if "mask" in change else None
    loop, _ = net.loop(
        "categorical_cross_entropy", mask=mask, trainable=change.get("trainable"), batch_size=10
    )
    bind(loop, *net.data(change.get("rows", 200), labels=True))
    loop.run(np.zeros(1), 0.0, 1)
    assert not loop.small_used


@pytest.mark.parametrize("hidden", [4, 16], ids=("tiny", "small"))
def test_a_run_in_pieces_has_the_bits_of_one(isa, hidden):
    """The room is left and entered again at every call: in mid-epoch, with rates, from a state."""
    results = []
    for pieces in (1, 4):
        net = Net((4, hidden, 3), ("tanh", "softmax"), np.float32)
        loop, states = net.loop("categorical_cross_entropy", "adam", batch_size=4)
        bind(loop, *net.data(100, labels=True))
        for rates in np.array_split(np.full(135, 0.01), pieces):
            loop.run(np.zeros(20), 0.0, 1, rates=rates)
            assert loop.small_used
        assert loop.step == 135
        results.append(digest(net.theta, *states))
    assert results[0] == results[1]


@pytest.mark.parametrize("hidden", [4, 16], ids=("tiny", "small"))
def test_a_loss_that_is_not_finite_leaves_the_last_update(hidden):
    """The rows before it are learnt, its own update is not made, the place stands before it."""
    net, start = Net((3, hidden, 2), ("tanh", "identity")), Net((3, hidden, 2), ("tanh", "identity"))
    X, target = net.data(160)
    loop, _ = net.loop("squared_error", batch_size=4, shuffle=False)
    target[139, 1] = np.inf
    bind(loop, X, target)
    with pytest.raises(_training.Diverged):
        loop.run(np.zeros(1), 0.0, 1)
    assert loop.small_used and (loop.batch, loop.step) == (34, 34)
    same, _ = start.loop("squared_error", batch_size=4, shuffle=False)
    bind(same, X[:136], target[:136])
    same.run(np.zeros(1), 0.0, 1)
    assert digest(net.theta) == digest(start.theta) and np.isfinite(net.theta).all()


@needs_threads
@TYPES
def test_a_huge_loss_is_no_infinite_one(isa, dtype):
    """Losses near the end of the type's range go on, with the bits of the general way."""
    results = []
    for n_threads in (1, 2):
        net = Net((3, 4, 2), ("tanh", "identity"), dtype)
        loop, _ = net.loop("squared_error", batch_size=4, shuffle=False,
                           hyper={"learning_rate": float(np.finfo(dtype).tiny)})  # fmt: skip
        X, target = net.data(160)
        target[37, 0] = 0.9 * np.sqrt(np.finfo(dtype).max)
        losses = np.zeros(1)
        bind(loop, X, target)
        loop.run(losses, 0.0, n_threads)
        assert loop.small_used == (n_threads == 1)
        assert losses[0] > np.finfo(dtype).max / 500 and loop.step == 40
        results.append(digest(net.theta, losses))
    assert results[0] == results[1]


@pytest.mark.parametrize("hidden", [4, 16], ids=("tiny", "small"))
def test_a_batch_without_weight_changes_nothing(hidden):
    """Neither parameters nor states nor the step's number (numerics.md, rule 9)."""
    net = Net((3, hidden, 2), ("tanh", "identity"))
    loop, states = net.loop("squared_error", "adam", batch_size=4)
    before = net.theta.copy()
    bind(loop, *net.data(64), np.zeros(64))
    loop.run(np.zeros(2), 0.0, 1)
    assert loop.small_used and loop.step == 0 and (net.theta == before).all()
    assert not any(state.any() for state in states)


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("hidden", [4, 16], ids=("tiny", "small"))
def test_a_signal_handler_sees_the_parameters_and_may_change_them(hidden):
    """Handlers run about every 50 ms, on parameters of the last completed update."""
    net = Net((4, hidden, 3), ("tanh", "softmax"), np.float32)
    loop, _ = net.loop("categorical_cross_entropy", "momentum", batch_size=4)
    bind(loop, *net.data(800, labels=True))
    seen = []

    def handler(number, frame):
        seen.append((loop.step, net.theta.copy()))
        if len(seen) == 3:
            net.theta[:] = 0.0
            loop.stop()

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.06, 0.06)
    try:
        loop.run(np.zeros(10_000_000), 20.0, 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert loop.small_used and len(seen) >= 3
    steps = [step for step, _ in seen]
    assert steps[0] > 0 and steps == sorted(set(steps))
    assert not (seen[0][1] == seen[1][1]).all()
    assert loop.step == steps[2] + 1 and np.abs(net.theta).max() < 0.1    # one step from zero


@pytest.mark.parametrize("hidden", [4, 16], ids=("tiny", "small"))
def test_keep_and_restore_see_the_room_s_parameters(hidden):
    """What `keep` copies at the end of an epoch is what the room has computed."""
    net = Net((4, hidden, 3), ("tanh", "softmax"), np.float32)
    loop, _ = net.loop("categorical_cross_entropy", batch_size=4)
    bind(loop, *net.data(168, labels=True))
    loop.keep()
    loop.run(np.zeros(3), 0.0, 1)
    after = net.theta.copy()
    loop.run(np.zeros(1), 0.0, 1, rates=np.full(40, 0.1))
    assert loop.small_used and not (net.theta == after).all()
    loop.restore()
    assert (net.theta == after).all() and loop.epoch == 3
