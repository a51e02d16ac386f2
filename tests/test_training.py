"""The minibatch loop (cbp._training.Loop): what run and bind promise, and the reference's runs."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest
from compare import normwise
from nets import HYPER, OPTIMIZERS, OUTPUTS, Net, bind, flat, objective, same, train

from cbp import _training, reference

EACH = pytest.mark.parametrize("optimizer", OPTIMIZERS)
TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=("float32", "float64"))


class Stop(Exception):
    """What the signal handler of these tests raises."""


class alarm:
    """Within the block, Stop is raised from a signal handler after `seconds`."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        def stop(*_):
            raise Stop

        self.before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)


def small(optimizer="sgd", dtype=np.float64, n=10, **options):
    """(net, loop, states, X, target) of a 4-6-2 regression, bound."""
    net = Net((4, 6, 2), ("tanh", "identity"), dtype)
    X, target = net.data(n)
    weight = options.pop("weight", None)
    loop, states = net.loop("squared_error", optimizer, **options)
    bind(loop, X, target, weight)
    return net, loop, states, X, target


def run(loop, epochs=1, n_threads=1, order=None):
    """Losses of that many epochs."""
    losses = np.full(epochs, np.nan)
    order = None if order is None else np.asarray(order, np.intp)
    assert loop.run(losses, 0.0, n_threads, order) == epochs
    return losses


# ---- against the reference ---------------------------------------------------------------------


def reference_optimizer(optimizer):
    hyper = HYPER[optimizer]
    if optimizer == "adam":
        return reference.Adam(**hyper)
    return reference.SGD(**hyper, nesterov=optimizer == "nesterov")


@pytest.mark.parametrize("output", OUTPUTS, ids="-".join)
@EACH
def test_run_equals_the_reference(isa, optimizer, output):
    """150 updates in float64, with weights, l2 and a frozen part: within 1e-9 of the reference."""
    activation, loss = output
    net = Net((3, 8, 6, 2), ("tanh", "sigmoid", activation))
    X, target = net.data(40, loss)
    weight = np.random.default_rng(3).random(40)
    trainable = [(True, True), (False, True), (True, False)]
    options = {"l2": 0.01, "reduction": "mean", "trainable": trainable}
    weights, biases = net.float64()
    order = np.random.default_rng(4).permutation(40)
    expected = reference.train(
        X, target, weights, biases, net.activations, loss, reference_optimizer(optimizer), 30,
        batch_size=9, order=order, sample_weight=weight, **options,
    )  # fmt: skip
    loop, _ = net.loop(loss, optimizer, batch_size=9, **options)
    bind(loop, X, target, weight)
    losses = run(loop, 30, order=order)
    assert normwise(losses, expected.losses) <= 1e-9
    assert normwise(net.theta, flat(expected.weights, expected.biases)) <= 1e-9
    assert loop.epoch == 30 and loop.step == 150 and loop.batch == 0


@EACH
def test_sum_reduction_equals_the_reference(optimizer):
    """reduction="sum": updates and reported losses are the reference's."""
    net = Net((3, 4, 2), ("tanh", "identity"))
    X, target = net.data(20)
    expected = reference.train(
        X, target, *net.float64(), net.activations, "squared_error",
        reference_optimizer(optimizer), 10, batch_size=8, reduction="sum",
    )  # fmt: skip
    loop, _ = net.loop("squared_error", optimizer, batch_size=8, shuffle=False, reduction="sum")
    bind(loop, X, target)
    assert normwise(run(loop, 10), expected.losses) <= 1e-9
    assert normwise(net.theta, flat(expected.weights, expected.biases)) <= 1e-9


# ---- order of rows ----------------------------------------------------------------------------


@EACH
def test_order_from_outside(optimizer):
    """order= trains on X[order]: any length, rows left out or taken twice; bit for bit."""
    for order in ([3, 1, 2, 0], [0, 0, 5, 5, 5, 9], list(range(10)) * 3):
        net, loop, states, X, target = small(optimizer, batch_size=4)
        other, loop_2, states_2, _, _ = small(optimizer, batch_size=4, shuffle=False)
        bind(loop_2, X[order], target[order])
        assert same(run(loop, 2, order=order), run(loop_2, 2))
        assert same(net.theta, other.theta) and all(map(same, states, states_2))


def test_an_order_for_each_epoch():
    """order= of shape (epochs, m): epoch e takes row e of it, as that many calls would."""
    orders = np.array([[3, 1, 2], [9, 0, 5], [4, 4, 7]], np.intp)
    net, loop, _, _, _ = small("adam", batch_size=2)
    other, loop_2, _, _, _ = small("adam", batch_size=2)
    together = run(loop, 3, order=orders)
    assert same(together, np.array([run(loop_2, order=order)[0] for order in orders]))
    assert same(net.theta, other.theta)
    with pytest.raises(ValueError, match="one for each epoch"):
        run(loop, 2, order=orders)


def test_shuffle_depends_on_seed_and_epoch_alone():
    """The order of epoch e is the permutation stream e of purpose 2; another seed, another run."""
    from cbp import _runtime

    net, loop, _, _, _ = small(batch_size=3, seed=5)
    shuffled = run(loop, 4)
    other, loop_2, _, _, _ = small(batch_size=3, seed=99)
    order = np.empty(10, np.intp)
    losses = []
    for epoch in range(4):
        _runtime.permutation(order, 5, 2, epoch)
        losses.append(run(loop_2, order=order)[0])
    assert same(shuffled, np.array(losses)) and same(net.theta, other.theta)
    another, loop_3, _, _, _ = small(batch_size=3, seed=6)
    run(loop_3, 4)
    assert not same(net.theta, another.theta)


def test_last_batch_may_be_short():
    """10 rows in batches of 4: the last two rows are a batch of 2, with their own 1/n."""
    net, loop, _, _, _ = small(batch_size=4, shuffle=False)
    run(loop)
    other, loop_4, _, X, target = small(batch_size=4, shuffle=False)
    run(loop_4, order=range(8))
    loop_2, _ = other.loop("squared_error", batch_size=2)
    bind(loop_2, X, target)
    run(loop_2, order=[8, 9])
    assert same(net.theta, other.theta)


def test_epoch_loss_is_the_weighted_mean_of_batch_losses():
    """losses[e] = sum of Σw times batch loss, each before its update, over the sum of Σw."""
    weight = np.random.default_rng(1).random(10)
    for reduction in ("mean", "sum"):
        net, loop, _, X, target = small(
            batch_size=4, shuffle=False, weight=weight, reduction=reduction
        )
        other, loop_2, _, _, _ = small(batch_size=4, weight=weight, reduction=reduction)
        loss = run(loop)[0]
        expected = 0.0
        for rows in (range(4), range(4, 8), range(8, 10)):
            w = weight[rows]
            batch_loss = other.gradient(
                X[rows], target[rows], "squared_error", weight=w, reduction=reduction
            )[0]
            expected += batch_loss * w.sum() / weight.sum()
            run(loop_2, order=rows)
        assert abs(loss - expected) <= 1e-14 * expected
        assert same(net.theta, other.theta)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_conventions_of_scikit_learn(optimizer, dtype):
    """by_rows: l2 over the batch's weight, the penalty in the loss, rows' losses capped and
    averaged by rows, Adam's epsilon before the bias correction; against plain NumPy."""
    weight = np.random.default_rng(1).random(10)
    most, factor, l2, hyper = 0.3, 0.5, 0.7, {**HYPER[optimizer], "epsilon": 0.01}
    net, loop, _, X, target = small(
        optimizer, dtype, batch_size=4, shuffle=False, weight=weight, l2=l2, hyper=hyper,
        by_rows={"most_loss": most, "loss_factor": factor},
    )  # fmt: skip
    other = small(dtype=dtype)[0]
    penalised = np.concatenate(
        [np.r_[np.ones(W.size), np.zeros(len(b))] for W, b in zip(other.weights, other.biases)]
    )
    m, v, total, step, capped = 0.0, 0.0, 0.0, 0, 0
    for _ in range(2):
        for rows in (range(4), range(4, 8), range(8, 10)):
            w, theta = weight[rows], other.theta.astype(float)
            each = 0.5 * ((other.predict(X[rows]).astype(float) - target[rows]) ** 2).sum(axis=1)
            capped += (each > most).sum()
            penalty = 0.5 * l2 * (penalised * theta**2).sum() / w.sum()
            total += len(rows) * (factor * np.average(np.minimum(each, most), weights=w) + penalty)
            g = other.gradient(X[rows], target[rows], "squared_error", weight=w)[1]
            g = g + l2 / w.sum() * penalised * theta
            step += 1
            if optimizer == "adam":
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
                rate = 0.05 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                other.theta[:] = theta - rate * m / (np.sqrt(v) + 0.01)
            else:
                m = 0.9 * m - 0.05 * g
                other.theta[:] = theta + m
    assert capped > 0
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    assert abs(run(loop, 2).sum() - total / 10) <= tolerance * total
    assert normwise(net.theta, other.theta) <= tolerance


# ---- weights, masks, frozen parts ---------------------------------------------------------------


@EACH
def test_batch_without_weight_updates_nothing(optimizer):
    """Rows of weight 0 that fill a batch: no update, no decay of the states, no step counted."""
    weight = np.ones(12)
    weight[4:8] = 0
    net, loop, states, _, _ = small(optimizer, n=12, batch_size=4, weight=weight, l2=0.1)
    other, loop_2, states_2, _, _ = small(optimizer, n=12, batch_size=4, weight=weight, l2=0.1)
    rows = [*range(4), *range(8, 12)]
    losses, losses_2 = run(loop, 3, order=range(12)), run(loop_2, 3, order=rows)
    assert same(losses, losses_2) and same(net.theta, other.theta)
    assert all(map(same, states, states_2))
    assert loop.step == loop_2.step == 6


def test_run_without_any_weight():
    """All weights 0: losses are 0 and the parameters keep their bits."""
    net, loop, _, _, _ = small("adam", weight=np.zeros(10), l2=0.1)
    before = net.theta.copy()
    assert same(run(loop, 3), np.zeros(3))
    assert same(net.theta, before) and loop.step == 0 and loop.epoch == 3


@EACH
@TYPES
def test_frozen_parts_keep_their_bits(optimizer, dtype):
    """trainable=(False, ...) leaves a layer's weights or biases, and their states, untouched."""
    for frozen in range(4):
        trainable = [(True, True), (True, True)]
        trainable[frozen // 2] = (frozen % 2 == 1, frozen % 2 == 0)
        net, loop, states, _, _ = small(optimizer, dtype, batch_size=4, trainable=trainable)
        run(loop, 2)
        parts = [net.weights[0], net.biases[0], net.weights[1], net.biases[1]]
        start = Net(net.sizes, net.activations, dtype)
        before = [start.weights[0], start.biases[0], start.weights[1], start.biases[1]]
        for j, (got, was) in enumerate(zip(parts, before)):
            assert same(got, was) if j == frozen else (got != was).all()
        # theta of a part, as a mask: where the states must be 0
        marks = Net(net.sizes, net.activations, dtype)
        marks.theta[:] = 0
        [marks.weights[0], marks.biases[0], marks.weights[1], marks.biases[1]][frozen][...] = 1
        for state in states:
            assert not state[marks.theta == 1].any() and state[marks.theta == 0].all()


def test_frozen_net_only_reports_its_loss():
    """With nothing trainable the parameters keep their bits and every epoch has one loss."""
    net, loop, _, X, target = small(trainable=[(False, False)] * 2, batch_size=10, shuffle=False)
    before = net.theta.copy()
    losses = run(loop, 3)
    assert same(net.theta, before)
    assert losses[0] == losses[1] == losses[2]
    assert abs(losses[0] - net.gradient(X, target, "squared_error")[0]) <= 1e-15 * losses[0]


@EACH
def test_mask_holds_parameters_at_zero(optimizer):
    """A mask of 0 and 1: masked parameters are 0 after each update, the others go on."""
    mask = (np.random.default_rng(2).random(4 * 6 + 6 + 6 * 2 + 2) < 0.6).astype(float)
    net, loop, _, _, _ = small(optimizer, mask=mask, batch_size=4)
    run(loop, 3)
    assert not net.theta[mask == 0].any() and net.theta[mask == 1].all()


def test_learning_rate_may_be_changed_between_runs():
    """learning_rate is read and written; 0 stops the movement, other runs follow the new rate."""
    net, loop, _, _, _ = small(batch_size=4)
    assert loop.learning_rate == 0.05
    run(loop)
    loop.learning_rate = 0.0
    held = net.theta.copy()
    run(loop)
    assert same(net.theta, held)
    loop.learning_rate = 0.1
    other, loop_2, _, _, _ = small(batch_size=4, hyper={"learning_rate": 0.1})
    other.theta[:] = held
    loop_2.set_state(loop.state())
    run(loop), run(loop_2)
    assert same(net.theta, other.theta)


# ---- endings ---------------------------------------------------------------------------------


def long_run(optimizer, dtype=np.float32):
    """(net, loop, states) with 10,000 tiny steps an epoch: a signal falls inside one."""
    net = Net((4, 16, 3), ("tanh", "softmax"), dtype)
    X, labels = net.data(40_000, labels=True)
    loop, states = net.loop("categorical_cross_entropy", optimizer, batch_size=4, seed=3)
    bind(loop, X, labels)
    return net, loop, states


def stop_inside(loop, n_threads=1):
    """Runs until a signal stops the loop; returns the losses of the epochs that ended."""
    losses = np.full(10**4, np.nan)
    with pytest.raises(Stop), alarm(0.12):
        loop.run(losses, 0.0, n_threads)
    return losses[: loop.epoch]


@pytest.mark.parametrize("n_threads", [1, 2])
@EACH
def test_interrupted_run_continues_bit_for_bit(optimizer, n_threads):
    """A signal stops a run inside an epoch, promptly, behind a completed update; run goes on."""
    net, loop, states = long_run(optimizer)
    begun = time.monotonic()
    losses = stop_inside(loop, n_threads)
    assert time.monotonic() - begun < 2.0
    # (Now and then the signal falls into the shuffle between two epochs: batch is 0 then.)
    assert loop.step == loop.epoch * 10_000 + loop.batch > 0
    assert np.isfinite(net.theta).all()
    losses = np.append(losses, run(loop))
    whole, loop_2, states_2 = long_run(optimizer)
    expected = run(loop_2, loop.epoch)
    assert same(losses, expected)
    assert same(net.theta, whole.theta) and all(map(same, states, states_2))


def test_interrupted_run_holds_the_last_completed_update():
    """The parameters after an interrupt are those of a run of exactly that many batches."""
    net, loop, _ = long_run("adam")
    while loop.batch == 0:  # not in the shuffle between two epochs
        stop_inside(loop)
    from cbp import _runtime

    order = np.empty(40_000, np.intp)
    _runtime.permutation(order, 3, 2, loop.epoch)
    whole, loop_2, _ = long_run("adam")
    run(loop_2, loop.epoch)
    run(loop_2, order=order[: 4 * loop.batch])
    assert same(net.theta, whole.theta)


@EACH
def test_state_round_trip_continues_bit_for_bit(optimizer):
    """state() inside an epoch, arrays copied into a new net and loop, set_state: the same run."""
    net, loop, states = long_run(optimizer)
    losses = stop_inside(loop)
    copy, loop_2, states_2 = long_run(optimizer)
    copy.theta[:] = net.theta
    for new, old in zip(states_2, states):
        new[:] = old
    saved = loop.state()
    assert all(isinstance(value, (int, float)) for value in saved.values())
    loop_2.set_state(saved)
    assert loop_2.state() == saved
    a, b = run(loop), run(loop_2)
    assert same(a, b) and same(net.theta, copy.theta) and all(map(same, states, states_2))
    assert loop.state() == loop_2.state() and len(losses) + 1 == loop.epoch


def test_set_state_before_bind():
    """A restored place survives the bind that gives the new loop its data."""
    net, loop, _ = long_run("sgd")
    stop_inside(loop)
    saved, theta = loop.state(), net.theta.copy()
    other = Net((4, 16, 3), ("tanh", "softmax"), np.float32)
    other.theta[:] = theta
    X, labels = other.data(40_000, labels=True)
    loop_2, _ = other.loop("categorical_cross_entropy", "sgd", batch_size=4, seed=0)
    loop_2.set_state(saved)
    bind(loop_2, X, labels)
    assert loop_2.batch == loop.batch
    assert same(run(loop), run(loop_2)) and same(net.theta, other.theta)


def test_bind_of_other_rows_begins_the_epoch_anew():
    """Data with another number of rows: the place inside the epoch does not apply to them."""
    net, loop, _ = long_run("sgd")
    while loop.batch == 0:  # not in the shuffle between two epochs
        stop_inside(loop)
    X, labels = net.data(39_000, labels=True)
    bind(loop, X, labels)
    assert loop.batch == 0
    step = loop.step
    run(loop)
    assert loop.step - step == 39_000 // 4


def test_time_limit_ends_with_an_epoch():
    """seconds=0.1 returns at the first end of an epoch after that time; the losses are counted."""
    _net, loop, _, _, _ = small(n=1000, batch_size=10)
    losses = np.full(10**6, np.nan)
    begun = time.monotonic()
    done = loop.run(losses, 0.1, 1)
    assert 0.1 <= time.monotonic() - begun < 1.0
    assert 1 <= done < 10**6 and loop.epoch == done and loop.batch == 0
    assert np.isfinite(losses[:done]).all() and np.isnan(losses[done:]).all()


@pytest.mark.parametrize("n_threads", [1, 2])
@EACH
def test_divergence_stops_before_the_update(optimizer, n_threads):
    """A NaN or infinite loss in batch 2 of epoch 1 raises Diverged; batch 1 has the last word."""
    for bad in (np.nan, np.inf, 1e30):
        net, loop, states, X, target = small(optimizer, np.float32, batch_size=3, shuffle=False)
        run(loop)
        X[7] = bad
        with np.errstate(over="ignore"):
            target[7] = np.float32(bad)
        with pytest.raises(_training.Diverged) as caught:
            run(loop, 2, n_threads)
        assert (caught.value.epoch, caught.value.batch) == (1, 2)
        assert not np.isfinite(caught.value.loss)
        assert (loop.epoch, loop.batch, loop.step) == (1, 2, 6)
        other, loop_2, states_2, _, _ = small(optimizer, np.float32, batch_size=3, shuffle=False)
        run(loop_2)
        run(loop_2, order=range(6))
        assert same(net.theta, other.theta) and all(map(same, states, states_2))


def test_ends_of_runs():
    """run([]) does nothing; epoch, batch and step count on over several runs."""
    net, loop, _, _, _ = small(batch_size=4)
    before = net.theta.copy()
    assert loop.run(np.empty(0), 0.0, 1) == 0
    assert same(net.theta, before)
    run(loop, 2), run(loop)
    assert (loop.epoch, loop.batch, loop.step) == (3, 0, 9)


# ---- rates, subsets, kept states ----------------------------------------------------------------


@EACH
def test_rates_are_those_of_the_steps(optimizer):
    """rates[k] is the rate of the k-th step of the call; used up, the run ends with its place."""
    rates = 0.05 / np.arange(1.0, 7.0)
    net, loop, states, _, _ = small(optimizer, batch_size=4)
    losses = np.full(3, np.nan)
    assert loop.run(losses, 0.0, 1, None, rates[:4]) == 1 and loop.batch == 1
    assert loop.run(losses[1:], 0.0, 1, None, rates[4:]) == 1 and loop.step == 6
    other, loop_2, states_2, _, _ = small(optimizer, batch_size=4)
    for rate in rates:
        loop_2.learning_rate = rate
        loop_2.run(np.empty(1), 0.0, 1, None, np.array([rate]))
    assert same(net.theta, other.theta) and all(map(same, states, states_2))
    constant, loop_3, _, _, _ = small(optimizer, batch_size=4)
    run(loop_3, 2)
    assert not same(net.theta, constant.theta)


def test_rates_skip_batches_without_weight():
    """A batch without weight takes no step, so it uses up no rate."""
    weight = np.ones(12)
    weight[4:8] = 0
    net, loop, _, _, _ = small(n=12, batch_size=4, weight=weight)
    other, loop_2, _, _, _ = small(n=12, batch_size=4, weight=weight)
    rates = np.array([0.5, 0.25])
    assert loop.run(np.empty(1), 0.0, 1, np.arange(12), rates) == 1
    loop_2.run(np.empty(1), 0.0, 1, np.r_[:4, 8:12], rates)
    assert same(net.theta, other.theta) and loop.step == 2


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_subset_of_the_rows(shuffle):
    """bind(rows=...) trains on X[rows], bit for bit; bind may override batch size and shuffle."""
    rows = np.array([9, 1, 4, 4, 0, 7])
    net, loop, _, X, target = small(batch_size=99)
    loop.bind(X, target, None, None, batch_size=4, shuffle=shuffle, rows=rows)
    other, loop_2, _, _, _ = small(batch_size=4, shuffle=shuffle)
    bind(loop_2, X[rows], target[rows])
    assert same(run(loop, 3), run(loop_2, 3)) and same(net.theta, other.theta)
    with pytest.raises(ValueError, match=r"^rows\[1\] must be below 10, got 10\.$"):
        loop.bind(X, target, None, None, rows=np.array([0, 10]))
    with pytest.raises(ValueError, match="bind must come before run"):
        run(loop)


@EACH
def test_restore_puts_back_the_end_of_the_last_epoch(optimizer):
    """After keep and a divergence: parameters and place of the last end of an epoch; the states
    are begun anew, and the bias corrections with them."""
    net, loop, states, X, target = small(optimizer, np.float32, batch_size=3, shuffle=False)
    other, loop_2, states_2, _, _ = small(optimizer, np.float32, batch_size=3, shuffle=False)
    loop.keep()
    run(loop, 2), run(loop_2, 2)
    good = X[7].copy()
    X[7] = np.nan
    with pytest.raises(_training.Diverged):
        run(loop, 2)
    loop.restore()
    loop_2.set_state({**loop_2.state(), "power_1": 1.0, "power_2": 1.0, "power_3": 1.0})
    for state in (*states, *states_2):
        state[:] = 0.0
    assert same(net.theta, other.theta) and loop.state() == loop_2.state()
    X[7] = good
    assert same(run(loop), run(loop_2)) and same(net.theta, other.theta)
    loop.release()
    with pytest.raises(ValueError, match="keep must come before restore"):
        loop.restore()


def test_a_parameter_that_is_not_finite_ends_a_kept_run():
    """An epoch whose last update overflows does not count."""
    net, loop, _, _, target = small("sgd", np.float32, batch_size=10)
    loop.keep()
    before = net.theta.copy()
    target *= np.float32(1e3)
    loop.learning_rate = 1e38
    with pytest.raises(_training.Diverged) as caught:
        run(loop)
    assert np.isfinite(caught.value.loss) and caught.value.epoch == 0
    assert not np.isfinite(net.theta).all()
    loop.restore()
    assert same(net.theta, before) and (loop.epoch, loop.step) == (0, 0)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_stop_and_limit_end_behind_a_step(n_threads):
    """Both end a run inside an epoch, and the next run goes on bit for bit."""
    net, loop, _ = long_run("momentum")
    X, labels = net.data(40_000, labels=True)
    whole, loop_2, _ = long_run("momentum")
    thread = threading.Timer(0.05, loop.stop)
    thread.start()
    loop.run(np.empty(10**5), 0.0, n_threads)
    thread.join()
    assert loop.stopped and loop.step == loop.epoch * 10_000 + loop.batch > 0
    assert loop.run(np.empty(1), 0.0, n_threads) == 0
    loop.release()
    assert not loop.stopped
    with pytest.raises(ValueError, match="bind must come before run"):
        run(loop)
    bind(loop, X, labels)
    begun = time.monotonic()
    loop.run(np.empty(10**5), 0.0, n_threads, None, None, 0.05)
    assert time.monotonic() - begun < 1.0 and loop.stopped
    loop.release()
    bind(loop, X, labels)
    run(loop)
    run(loop_2, loop.epoch)
    assert same(net.theta, whole.theta)


# ---- use by several threads ----------------------------------------------------------------


def in_background(work):
    """Starts `work` in a thread; returns the thread once it has surely begun."""
    begun = threading.Event()

    def main():
        begun.set()
        work()

    thread = threading.Thread(target=main)
    thread.start()
    begun.wait()
    time.sleep(0.05)
    return thread


def test_network_in_training_refuses_other_calls():
    """predict, forward, gradient and a second loop raise RuntimeError while a run is on."""
    net, loop, _ = long_run("sgd")
    X, labels = net.data(5, labels=True)
    second, _ = net.loop("categorical_cross_entropy")
    bind(second, X, labels)
    thread = in_background(lambda: loop.run(np.zeros(10**5), 0.5, 1))
    for call in (
        lambda: net.predict(X), lambda: net.forward(X),
        lambda: net.gradient(X, labels, "categorical_cross_entropy"), lambda: run(second),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="The network is in use"):
            call()
    thread.join()
    net.predict(X), run(second)


def test_network_being_read_refuses_training():
    """run raises RuntimeError while a predict is on, and works afterwards."""
    net = Net((300, 300, 300, 1), ("tanh", "tanh", "identity"), np.float32)
    X, target = net.data(5)
    loop, _ = net.loop("squared_error")
    bind(loop, X, target)
    many = np.zeros((110_000, 300), np.float32)
    thread = in_background(lambda: net.predict(many))
    with pytest.raises(RuntimeError, match="The network is in use"):
        run(loop)
    thread.join()
    run(loop)


def test_refused_calls_leave_a_run_alone():
    """run, bind and set_state on a loop that runs: refused, and the run ends as if never asked."""
    net, loop, _ = long_run("momentum")
    found = []
    thread = in_background(lambda: found.append(run(loop, 30)))
    X, labels = net.data(7, labels=True)
    for call in (
        lambda: loop.run(np.zeros(3), 1e-9, 3, np.arange(5)), lambda: bind(loop, X, labels),
        lambda: loop.set_state({**loop.state(), "row": 0}), loop.rewind,
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="The network is in use"):
            call()
    thread.join()
    whole, loop_2, _ = long_run("momentum")
    assert same(found[0], run(loop_2, 30)) and same(net.theta, whole.theta)


def test_runs_side_by_side_do_not_meet():
    """Four networks trained at once in four threads: each has the bits of a run alone."""
    shape = ((6, 40, 3), ("relu", "softmax"), "categorical_cross_entropy", "adam")
    options = {"n": 500, "epochs": 10, "labels": True, "n_threads": 2}
    alone = [train(*shape, seed=s, **options)[0].theta for s in range(4)]
    together = [None] * 4

    def work(seed):
        together[seed] = train(*shape, seed=seed, **options)[0].theta

    team = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    assert all(map(same, together, alone))


# ---- wrong use -------------------------------------------------------------------------------


def test_wrong_use_is_refused():
    """Wrong states, sizes, orders and data raise ValueError before anything is read."""
    net, loop, _, X, target = small()
    code = _training.OPTIMIZERS["adam"]
    with pytest.raises(ValueError, match="with 0 states"):
        _training.Loop(
            net.core, loss=objective("squared_error"), reduction=0, optimizer=code,
            hyper=HYPER["adam"], l2=0.0, states=[],
            trainable=[(True, True)] * 2, mask=None, batch_size=1, shuffle=True, seed=0,
        )  # fmt: skip
    with pytest.raises(ValueError, match="batch_size"):
        net.loop("squared_error", batch_size=0)
    with pytest.raises(ValueError, match="name every layer"):
        net.loop("squared_error", trainable=[(True, True)])
    fresh, _ = net.loop("squared_error")
    with pytest.raises(ValueError, match="bind must come before run"):
        run(fresh)
    for order, message in (([], "must have elements"), ([0, 10], "below 10"), ([-1], "below 10")):
        with pytest.raises(ValueError, match=message):
            run(loop, order=order)
    with pytest.raises(ValueError, match="weight must have 10"):
        bind(loop, X, target, np.ones(9))
    bind(loop, X, target)
    with pytest.raises(ValueError, match="must have rows"):
        bind(loop, X[:0], target[:0])
    with pytest.raises(ValueError, match="array of shape"):
        bind(loop, X, target[:5])
    with pytest.raises(ValueError, match="bind must come before run"):
        run(loop)
    bind(loop, X, target)
    run(loop)
