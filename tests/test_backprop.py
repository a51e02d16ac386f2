"""Whole-net sweeps (cbp._backprop.Core) against the NumPy reference, and the laws they obey."""

from __future__ import annotations

import itertools
import mmap
import signal
import threading

import numpy as np
import pytest
from compare import assert_within, normwise, unit
from nets import HIDDEN, OUTPUTS, Net, flat, guarded, objective, same

from cbp import _backprop, reference

TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=("float32", "float64"))
DEPTHS = {1: (3, 2), 2: (5, 17, 3), 3: (17, 33, 20, 10), 4: (4, 16, 3, 65, 2)}


def reference_gradient(net, X, target, loss, **options):
    weights, biases = net.float64()
    return reference.gradient(
        X.astype(float), target if target.ndim == 1 else target.astype(float), weights, biases,
        net.activations, loss, **options,
    )  # fmt: skip


def read_only(*arrays):
    for array in arrays:
        array.flags.writeable = False
    return arrays


# ---- against the reference ---------------------------------------------------------------------


@pytest.mark.parametrize("output", OUTPUTS, ids="-".join)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_float64_gradient_equals_the_reference(isa, hidden, output):
    """Loss, every delta and the gradient to 1e-12: depth 1 to 4, biases, weights, l2, threads."""
    activation, loss = output
    grid = itertools.product(DEPTHS, (True, False), (False, True), ("mean", "sum"))
    for number, (depth, bias, weighted, reduction) in enumerate(grid):
        sizes = DEPTHS[depth]
        net = Net(sizes, [hidden] * (depth - 1) + [activation], np.float64, bias, number)
        n = (1, 7, 40, 300)[number % 4]
        X, target = net.data(n, loss)
        l2 = 0.1 * (number % 3)
        weight = np.random.default_rng(number).random(n) if weighted else None
        expected = reference_gradient(
            net, X, target, loss, sample_weight=weight, l2=l2, reduction=reduction
        )
        read_only(X, target)
        theta = net.theta.copy()
        for n_threads in (1, 2, 3):
            value, grad, deltas, _ = net.gradient(
                X, target, loss, weight=weight, l2=l2, reduction=reduction, n_threads=n_threads
            )
            assert abs(value - expected.loss) <= 1e-12 * abs(expected.loss)
            assert normwise(grad, flat(expected.weights, expected.biases)) <= 1e-12
            for got, want in zip(deltas, expected.deltas):
                assert normwise(got, want) <= 1e-12
        assert same(net.theta, theta)


@pytest.mark.parametrize("output", OUTPUTS, ids="-".join)
def test_float32_gradient_keeps_its_digits(isa, output):
    """float32 gradients within 16 u sqrt(K) depth of the reference on standard nets, and 1e-5."""
    activation, loss = output
    for sizes, hidden in (((64, 32, 10), "tanh"), ((300, 100, 10), "relu"), ((8, 8, 8, 1), "tanh")):
        net = Net(sizes, [hidden] * (len(sizes) - 2) + [activation], np.float32)
        X, target = net.data(64, loss)
        expected = reference_gradient(net, X, target, loss)
        value, grad, _, _ = net.gradient(X, target, loss)
        bound = 16 * unit(np.float32) * np.sqrt(max(64, *sizes)) * len(net.weights)
        error = normwise(grad, flat(expected.weights, expected.biases))
        assert error <= bound and error <= 1e-5
        assert abs(value - expected.loss) <= 1e-5 * expected.loss


@TYPES
def test_forward_equals_the_reference(isa, dtype):
    """Every z and every activation, for sizes around strips and blocks; a[-1] is predict."""
    tolerance = 1e-12 if dtype is np.float64 else 2e-5
    for sizes in ((1, 1), (15, 16, 17), (300, 20, 65, 3)):
        net = Net(sizes, ["tanh"] * (len(sizes) - 2) + ["softmax"], dtype)
        for n in (1, 13, 257):
            X, _ = net.data(n)
            (X,) = read_only(X)
            expected = reference.forward(X.astype(float), *net.float64(), net.activations)
            for n_threads in (1, 3):
                Z, A = net.forward(X, n_threads)
                for got, want in zip(Z + A, expected.z + expected.a[1:]):
                    assert normwise(got, want) <= tolerance
                assert same(net.predict(X, n_threads), A[-1])


@TYPES
def test_outputs_are_written_whole_and_nothing_else(isa, dtype):
    """Every element of every output is written, no guard before or behind it."""
    for sizes, n in (((3, 17, 5), 1), ((16, 16, 16), 33), ((5, 300, 2), 20)):
        net = Net(sizes, ["tanh", "identity"], dtype)
        X, target = net.data(n)
        for n_threads in (1, 2, 3):
            grad, kept = guarded(net.theta.shape, dtype)
            arrays = [guarded((n, o), dtype) for o in sizes[1:] * 3]
            (d1, _), (d2, _), (z1, _), (z2, _), (a1, _), (a2, _) = arrays
            out, out_kept = guarded((n, sizes[-1]), dtype)
            net.core.gradient(
                    X, target, None, None, objective("squared_error"), 0, 0.0, grad, [d1, d2],
                    n_threads,
                )  # fmt: skip
            net.core.forward(X, [z1, z2], [a1, a2], n_threads)
            net.core.predict(X, out, n_threads)
            assert kept() and out_kept() and all(check() for _, check in arrays)
            for array in (grad, out, d1, d2, z1, z2, a1, a2):
                assert np.isfinite(array).all()


# ---- laws ----------------------------------------------------------------------------------------


@TYPES
def test_what_is_asked_for_does_not_change_the_rest(isa, dtype):
    """Loss alone, deltas alone, gradient alone: the bits of all together."""
    net = Net((7, 20, 3), ("relu", "softmax"), dtype)
    X, target = net.data(300, "categorical_cross_entropy")
    loss = "categorical_cross_entropy"
    value, grad, deltas, _ = net.gradient(X, target, loss)
    only_grad = np.full_like(grad, np.nan)
    only_deltas = [np.full_like(d, np.nan) for d in deltas]
    calls = [(None, None), (only_grad, None), (None, only_deltas)]
    for call in calls:
        assert net.core.gradient(X, target, None, None, objective(loss), 0, 0.0, *call, 2)[0] == value
    assert same(only_grad, grad)
    assert all(map(same, only_deltas, deltas))


def test_gradient_of_a_batch_is_the_mean_of_its_parts(isa):
    """The weighted mean of the gradients of two parts is the gradient of the whole."""
    net = Net((4, 9, 2), ("sigmoid", "identity"))
    X, target = net.data(50)
    w = np.random.default_rng(0).random(50)
    whole = net.gradient(X, target, "squared_error", weight=w)
    parts = [
        net.gradient(X[rows], target[rows], "squared_error", weight=w[rows])
        for rows in (slice(0, 20), slice(20, 50))
    ]
    share = w[:20].sum() / w.sum()
    mean = share * parts[0][1] + (1 - share) * parts[1][1]
    assert normwise(mean, whole[1]) <= 1e-13
    assert abs(share * parts[0][0] + (1 - share) * parts[1][0] - whole[0]) <= 1e-13 * whole[0]


def test_a_weight_of_k_is_a_row_k_times(isa):
    """Integer weights equal repeated rows, to the rounding of the sums."""
    net = Net((4, 9, 2), ("tanh", "sigmoid"))
    X, target = net.data(20)
    k = np.random.default_rng(0).integers(0, 4, 20)
    one = net.gradient(X, target, "binary_cross_entropy", weight=k.astype(float))
    rows = np.repeat(np.arange(20), k)
    other = net.gradient(X[rows], target[rows], "binary_cross_entropy")
    assert normwise(one[1], other[1]) <= 1e-13
    assert abs(one[0] - other[0]) <= 1e-13 * other[0]


@TYPES
def test_without_weight_there_is_no_data_gradient(isa, dtype):
    """Sum of weights 0: loss and deltas are 0, the gradient is the penalty's alone."""
    net = Net((4, 9, 2), ("tanh", "identity"), dtype)
    X, target = net.data(20)
    for reduction in ("mean", "sum"):
        value, grad, deltas, _ = net.gradient(
            X, target, "squared_error", weight=np.zeros(20), l2=0.5, reduction=reduction
        )
        assert value == 0 and not any(d.any() for d in deltas)
        penalty = flat([dtype(0.5) * W for W in net.weights], [b * 0 for b in net.biases])
        assert (grad == penalty).all()


def test_hidden_units_may_change_places(isa):
    """Permuting the hidden units permutes their deltas and leaves the outputs."""
    net = Net((6, 40, 3), ("tanh", "identity"))
    X, target = net.data(25)
    _, _, (d_hidden, _), _ = net.gradient(X, target, "squared_error")
    out = net.predict(X)
    p = np.random.default_rng(0).permutation(40)
    net.weights[0][:] = net.weights[0][:, p]
    net.biases[0][:] = net.biases[0][p]
    net.weights[1][:] = net.weights[1][p]
    assert_within(net.predict(X), out, 1e-13 * np.abs(out).max())
    assert normwise(net.gradient(X, target, "squared_error")[2][0], d_hidden[:, p]) <= 1e-13


def test_gradient_is_the_central_difference(isa):
    """The slope of the compiled loss itself, along a random direction, is the gradient."""
    for hidden, (activation, loss) in itertools.product(("sigmoid", "tanh"), OUTPUTS):
        net = Net((3, 8, 4), (hidden, activation))
        X, target = net.data(10, loss)
        _, grad, _, _ = net.gradient(X, target, loss)
        way = np.random.default_rng(1).normal(size=grad.size)
        start, h, values = net.theta.copy(), 6e-6, []
        for sign in (1, -1):
            net.theta[:] = start + sign * h * way
            values.append(net.gradient(X, target, loss)[0])
        slope = (values[0] - values[1]) / (2 * h)
        assert abs(slope - grad @ way) <= 1e-7 * max(1.0, abs(slope))


@TYPES
def test_nan_in_a_row_is_seen_in_its_loss_only(isa, dtype):
    """One NaN input makes the loss NaN and leaves the other rows' deltas their bits."""
    for activation, loss in OUTPUTS:
        net = Net((5, 20, 18), ("relu", activation), dtype)
        X, target = net.data(19, loss)
        _, _, clean, _ = net.gradient(X, target, loss)
        X[11, 2] = np.nan
        value, _, deltas, _ = net.gradient(X, target, loss)
        assert np.isnan(value)
        others = np.arange(19) != 11
        for got, want in zip(deltas, clean):
            assert same(got[others], want[others])


# ---- edges ------------------------------------------------------------------------------------


@TYPES
def test_no_rows(dtype):
    """Zero rows: predict and forward write nothing, gradient raises ValueError."""
    net = Net((3, 2), ("identity",), dtype)
    assert net.predict(np.empty((0, 3), dtype)).shape == (0, 2)
    net.forward(np.empty((0, 3), dtype))
    with pytest.raises(ValueError, match="must have rows"):
        net.gradient(np.empty((0, 3), dtype), np.empty((0, 2), dtype), "squared_error")


def test_wrong_arrays_are_refused():
    """Wrong shapes, types, layouts and pairs raise ValueError before anything is read."""
    net = Net((3, 4, 2), ("tanh", "softmax"))
    X, target = net.data(6)
    with pytest.raises(ValueError, match=r"array of shape \(6, 2\)"):
        net.core.predict(X[:, :2].copy(), np.empty((6, 2)), 1)
    with pytest.raises(ValueError, match=r"array of shape \(5, 2\)"):
        net.core.predict(X, np.empty((5, 2)), 1)
    with pytest.raises(ValueError, match="8 bytes an element"):
        net.core.predict(X, np.empty((6, 2), np.float32), 1)
    with pytest.raises(ValueError, match="elements of the format"):
        net.core.predict(X.astype(complex), np.empty((6, 2)), 1)
    with pytest.raises(ValueError, match="contiguous"):
        net.core.predict(np.asfortranarray(X), np.empty((6, 2)), 1)
    with pytest.raises((ValueError, BufferError)):
        net.core.predict(X, read_only(np.empty((6, 2)))[0], 1)
    with pytest.raises(ValueError, match="does not go with"):
        net.gradient(X, target, "squared_error")
    with pytest.raises(ValueError, match="either target rows or labels"):
        net.core.gradient(
            X, None, None, None, objective("categorical_cross_entropy"), 0, 0.0, None, None, 1
        )
    with pytest.raises(ValueError, match="weight must have 6"):
        net.gradient(X, target, "categorical_cross_entropy", weight=np.ones(5))
    with pytest.raises(ValueError, match="theta must have 12 elements"):
        _backprop.Core(np.zeros(11), [5, 2], [0], [True])


def test_several_threads_may_read_at_once():
    """Four Python threads predict and take gradients on one network: the bits of one alone."""
    net = Net((40, 60, 10), ("tanh", "softmax"), np.float32)
    X, labels = net.data(2000, labels=True)
    loss = "categorical_cross_entropy"
    out, (_, grad, _, _) = net.predict(X), net.gradient(X, labels, loss)
    wrong = []

    def work(n_threads):
        for _ in range(5):
            if not same(net.predict(X, n_threads), out):
                wrong.append("predict")
            if not same(net.gradient(X, labels, loss, n_threads=n_threads)[1], grad):
                wrong.append("gradient")

    team = [threading.Thread(target=work, args=(1 + j % 2,)) for j in range(4)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    assert not wrong


def test_predict_stops_for_a_signal():
    """An exception from a signal handler leaves predict promptly, and the network usable."""
    net = Net((512, 512, 512, 1), ("tanh", "tanh", "identity"), np.float32)
    X = np.zeros((100_000, 512), np.float32)  # seconds of work
    few = net.predict(X[:3])

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Stop):
            net.predict(X)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert same(net.predict(X[:3]), few)


@pytest.mark.slow
@pytest.mark.no_sanitizer
def test_predict_beyond_two_to_the_31_elements():
    """X of 2.4e9 elements: every row's output is right, the last one's too."""
    n, columns = 1_200_000, 2000
    size = n * columns * 4
    noreserve = getattr(mmap, "MAP_NORESERVE", 0x4000)
    zeros = mmap.mmap(
        -1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | noreserve, prot=mmap.PROT_READ
    )
    X = np.frombuffer(zeros, np.float32).reshape(n, columns)
    assert X.size > 2**31
    net = Net((columns, 1), ("sigmoid",), np.float32)
    out = net.predict(X, n_threads=2)
    assert same(out, np.broadcast_to(net.predict(X[:1]), out.shape).copy())
    del X
    zeros.close()
