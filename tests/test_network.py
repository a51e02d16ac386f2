"""Network: parameters and their views, prediction, forward and backward, copies, threads."""

import copy
import pickle
import re
import signal
import threading

import numpy as np
import pytest

import cbp
from cbp import reference

ACTIVATIONS = [
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish",
    "softplus", "softsign", "sin", "hard_sigmoid",
]  # fmt: skip
rng = np.random.default_rng(2)
X = rng.normal(size=(9, 4))


def network(**options):
    return cbp.Network([4, 5, 3], **{"seed": 1, "dtype": "float64", **options})


# ---- parameters -------------------------------------------------------------------------------


def test_layout():
    """parameters is W1 | b1 | W2 | b2, W (n_inputs, n_outputs) row-major."""
    net = network()
    net.parameters[:] = np.arange(net.n_parameters)
    assert net.n_parameters == 4 * 5 + 5 + 5 * 3 + 3
    np.testing.assert_array_equal(net.weights[0], np.arange(20).reshape(4, 5))
    np.testing.assert_array_equal(net.biases[0], np.arange(20, 25))
    np.testing.assert_array_equal(net.weights[1], np.arange(25, 40).reshape(5, 3))
    np.testing.assert_array_equal(net.biases[1], np.arange(40, 43))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_are_aligned_and_followed_by_zeros(dtype):
    """What the kernels read behind the end is there, and is zero."""
    for sizes in ([1, 1], [3, 7, 2], [17, 16]):
        theta = cbp.Network(sizes, dtype=dtype).parameters
        assert theta.ctypes.data % 64 == 0
        address = theta.ctypes.data - theta.base.ctypes.data
        first = address // theta.itemsize + len(theta)
        assert len(theta.base) >= first + 16 and not theta.base[first:].any()


def test_writing_through_views():
    """A change of a view, by element or as a whole, changes the network at once."""
    net = network(activation="identity")
    net.weights[0] = np.eye(4, 5)
    net.weights[1][...] = np.eye(5, 3)
    net.biases[1] = [1, 2, 3]
    np.testing.assert_array_equal(net.predict(X), X[:, :3] + [1, 2, 3])
    net.parameters[:] = 0.0
    assert not net.predict(X).any()


def test_assigning_copies():
    """net.weights[l] = A keeps no reference to A."""
    net, W = network(), np.ones((4, 5))
    net.weights[0] = W
    W[:] = 7.0
    assert (net.weights[0] == 1.0).all()


def test_views_are_a_sequence():
    """len, iteration, negative indices and slices work; layers without biases have None."""
    net = cbp.Network([4, cbp.Dense(5, bias=False), 3])
    assert len(net.weights) == len(net.biases) == 2
    assert net.biases[0] is None and net.biases[-1].shape == (3,)
    assert [W.shape for W in net.weights] == [(4, 5), (5, 3)]
    assert [W.shape for W in net.weights[1:]] == [(5, 3)]
    assert net.n_parameters == 20 + 15 + 3
    with pytest.raises(IndexError):
        net.weights[2] = 0


def test_what_it_says_of_itself():
    """sizes, activations, dtype, repr and summary tell the architecture."""
    net = cbp.Network([4, cbp.Dense(5, "tanh", trainable="weights"), np.int64(3)], "relu",
                      "softmax", seed=7)  # fmt: skip
    assert net.sizes == (4, 5, 3) and net.activations == ("tanh", "softmax")
    assert net.dtype == np.float32 and net.seed == 7
    assert repr(net) == (
        "Network([4, 5, 3], activations=['tanh', 'softmax'], dtype='float32', seed=7)")
    lines = net.summary().splitlines()
    assert lines[1].split() == ["1", "4", "5", "tanh", "25", "weights"]
    assert lines[2].split() == ["2", "5", "3", "softmax", "18", "yes"]
    assert lines[3] == "43 parameters, float32, 172 bytes"


def test_activations_by_layer():
    """A list names every layer's, the output's included."""
    net = cbp.Network([4, 5, 6, 3], activation=["relu", "tanh", "sigmoid"])
    assert net.activations == ("relu", "tanh", "sigmoid")


# ---- forward ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("output", ["identity", "sigmoid", "tanh", "relu", "softmax"])
@pytest.mark.parametrize("hidden", [[], [5], [5, 7, 6]])
def test_forward_and_gradient_against_the_reference(hidden, output, activation, bias):
    """Every z, a, delta and gradient is the reference's, for every activation and depth."""
    net = cbp.Network([4, *hidden, 3], activation, output, bias=bias, dtype="float64", seed=1)
    if bias:
        for b in net.biases:
            b[...] = rng.normal(size=b.shape)
    T = rng.uniform(size=(9, 3))
    T /= T.sum(axis=1, keepdims=True)
    loss = {"sigmoid": "binary_cross_entropy", "softmax": "categorical_cross_entropy"}.get(
        output, "squared_error")
    arguments = list(net.weights), list(net.biases), net.activations
    forward, expected = net.forward(X), reference.forward(X, *arguments)
    for ours, theirs in zip(forward, expected):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(forward.a[-1], net.predict(X))
    got, wanted = net.gradient(X, T), reference.gradient(X, T, *arguments, loss)
    assert got.loss == pytest.approx(wanted.loss, rel=1e-12)
    for ours, theirs in zip(got[1:], wanted[1:]):
        assert len(ours) == len(theirs) == len(hidden) + 1
        for a, b in zip(ours, theirs):
            if b is None:
                assert a is None
            else:
                assert np.linalg.norm(a - b) <= 1e-12 * np.linalg.norm(b) + 1e-16


def test_shapes_of_predictions():
    """n rows give n rows: 0 give 0, and a 1-d X is one."""
    net = network()
    assert net.predict(X).shape == (9, 3) and net.predict(X[:0]).shape == (0, 3)
    assert net.predict(X[0]).shape == (1, 3)
    np.testing.assert_array_equal(net.predict(X[0]), net.predict(X)[:1])
    np.testing.assert_array_equal(net(X), net.predict(X))
    z, a = net.forward(X[:0])
    assert [array.shape for array in z + a] == [(0, 5), (0, 3), (0, 4), (0, 5), (0, 3)]


def test_out():
    """predict writes to `out` and returns it."""
    net, out = network(), np.full((9, 3), np.nan)
    assert net.predict(X, out) is out
    np.testing.assert_array_equal(out, net.predict(X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_inputs", [1, 15, 16, 17, 512, 1024])
def test_rows_read_in_place(dtype, n_inputs):
    """Rows that predict reads where they are give the bits of rows that are gathered from another
    type."""
    net = cbp.Network([n_inputs, 40, 3], "tanh", dtype=dtype, seed=1)
    rows = rng.integers(-99, 99, size=(301, n_inputs))
    in_place = net.predict(rows.astype(dtype))
    gathered = np.empty_like(in_place)
    assert net._core.predict(rows, gathered, 1)
    np.testing.assert_array_equal(in_place, gathered)


@pytest.mark.parametrize("sizes", [[20, 8, 3], [1024, 8, 3], [700, 700, 3]])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 500, 999])
def test_what_is_not_finite_is_found_in_any_row(sizes, value, row):
    """Through relu, which would hide it, and whatever the weights."""
    net = cbp.Network(sizes, "relu", seed=1)
    net.weights[0][7] = 0.0
    rows = np.zeros((1000, sizes[0]), np.float32)
    rows[row, 7] = value
    with pytest.raises(ValueError, match=f"`X` must be finite, got {value} in row {row}, column 7"):
        net.predict(rows)


def test_an_activation_of_ones_own_never_sees_what_is_not_finite():
    """A NaN in the last of many rows is refused before the function is called at all."""
    calls = []
    square = cbp.Activation(lambda z: calls.append(len(z)) or z * z, lambda z: 2 * z, "square")
    net = cbp.Network([3, 4, 1], square, seed=1)
    rows = np.zeros((20_000, 3), np.float32)
    rows[-1, 1] = np.nan
    calls.clear()
    with pytest.raises(ValueError, match="`X` must be finite, got nan in row 19999, column 1"):
        net.predict(rows)
    assert calls == []


def test_sums_that_overflow_are_no_fault_of_X():
    """Finite rows are predicted, be the sums infinite."""
    net = cbp.Network([3, 4, 1], "relu", "identity", seed=1)
    net.weights[0][:], net.weights[1][:] = 1.0, 1.0
    rows = np.array([[1, 1, 1], [3e38, 3e38, 3e38]], np.float32)
    np.testing.assert_array_equal(net.predict(rows), [[12.0], [np.inf]])


def test_results_are_fresh():
    """Writing to X or to a result changes nothing else."""
    net, given = network(), X.copy()
    forward, gradient = net.forward(given), net.gradient(given, X[:, :3])
    before = [array.copy() for array in forward.a + forward.z]
    flat = net.loss_and_gradient(given, X[:, :3])[1].copy()
    given[:] = 0.0
    for array in gradient.weights + gradient.biases + gradient.deltas:
        array[:] = np.nan
    for array, expected in zip(forward.a + forward.z, before):
        np.testing.assert_array_equal(array, expected)
        array[:] = np.nan
    np.testing.assert_array_equal(net.loss_and_gradient(X, X[:, :3])[1], flat)


def test_target_may_be_the_input():
    """An autoencoder's Y is its X."""
    net = cbp.Network([4, 2, 4], "tanh", seed=1)
    rows = X.astype(np.float32)
    same, other = net.gradient(rows, rows), net.gradient(rows, rows.copy())
    np.testing.assert_array_equal(same.weights[0], other.weights[0])


# ---- gradient ---------------------------------------------------------------------------------


def test_flat_gradient():
    """loss_and_gradient has gradient's numbers in the order of parameters."""
    net = network()
    got, (loss, flat) = net.gradient(X, X[:, :3]), net.loss_and_gradient(X, X[:, :3])
    assert loss == got.loss and flat.shape == net.parameters.shape
    parts = [got.weights[0].ravel(), got.biases[0], got.weights[1].ravel(), got.biases[1]]
    np.testing.assert_array_equal(flat, np.concatenate(parts))


def test_objective_and_gradient_belong_together():
    """With l2 too, the vector is the derivative of the number beside it."""
    net = network(activation="tanh")
    start = net.parameters.copy()
    direction = rng.normal(size=start.shape)

    def objective(step):
        net.parameters[:] = start + step * direction
        return net.loss_and_gradient(X, X[:, :3], l2=0.7)

    slope = objective(0.0)[1] @ direction
    difference = (objective(1e-6)[0] - objective(-1e-6)[0]) / 2e-6
    assert difference == pytest.approx(slope, rel=1e-7)
    net.parameters[:] = start
    penalty = 0.35 * sum((W**2).sum() for W in net.weights)
    plain = net.gradient(X, X[:, :3], l2=0.7).loss
    assert objective(0.0)[0] == pytest.approx(plain + penalty, rel=1e-14)


def test_scipy_finds_the_least_squares_solution():
    """loss_and_gradient is what scipy.optimize.minimize asks for."""
    optimize = pytest.importorskip("scipy.optimize")
    net = cbp.Network([4, 1], dtype="float64", seed=1)
    t = X @ [1.0, -2.0, 3.0, 0.5] + 4.0

    def objective(theta):
        net.parameters[:] = theta
        return net.loss_and_gradient(X, t)

    found = optimize.minimize(objective, net.parameters.copy(), jac=True, method="BFGS")
    np.testing.assert_allclose(found.x, [1.0, -2.0, 3.0, 0.5, 4.0], atol=1e-4)


# ---- invariance -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.usefixtures("all_threads")
def test_threads_do_not_show(threads, dtype):
    """Any number of threads gives the bits of one; a row's bits do not depend on other rows."""
    rows = rng.normal(size=(600, 20))
    net = cbp.Network([20, 70, 33, 5], "tanh", "softmax", dtype=dtype, seed=1)
    labels = rng.integers(0, 5, 600)
    one = net.predict(rows, n_threads=1)
    np.testing.assert_array_equal(net.predict(rows, n_threads=threads), one)
    np.testing.assert_array_equal(net.forward(rows, n_threads=threads).a[-1], one)
    for row in (0, 255, 599):
        np.testing.assert_array_equal(net.predict(rows[row]), one[row : row + 1])
    loss, flat = net.loss_and_gradient(rows, labels, n_threads=1)
    got_loss, got = net.loss_and_gradient(rows, labels, n_threads=threads)
    assert loss == got_loss
    np.testing.assert_array_equal(got, flat)


def test_predictions_from_several_threads():
    """Four Python threads on one network get the bits that each gets alone."""
    net = cbp.Network([20, 70, 5], "tanh", seed=1)
    rows = rng.normal(size=(4, 300, 20)).astype(np.float32)
    alone = [net.predict(part) for part in rows]
    found = [[] for _ in rows]

    def work(index):
        for _ in range(50):
            found[index].append(net.predict(rows[index]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results, expected in zip(found, alone):
        assert len(results) == 50
        for result in results:
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_predictors_are_copied_by_value(duplicate):
    """With a network of their own."""
    net = cbp.Network([4, 5, 3], seed=9)
    f = net.predictor()
    twin, x = duplicate(f), X[0]
    before = f(x)
    np.testing.assert_array_equal(twin(x), before)
    net.parameters[:] = 0.0
    np.testing.assert_array_equal(twin(x), before)
    assert not f(x).any()


# ---- copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [
    lambda net: net.copy(), copy.copy, copy.deepcopy,
    lambda net: pickle.loads(pickle.dumps(net))],
    ids=["copy", "copy.copy", "deepcopy", "pickle"])  # fmt: skip
def test_copies_are_by_value(duplicate):
    """A copy predicts the same bits, and shares nothing."""
    net = cbp.Network([4, cbp.Dense(5, "tanh", trainable="weights"), 3], bias=False, seed=9)
    twin = duplicate(net)
    np.testing.assert_array_equal(twin.parameters, net.parameters)
    np.testing.assert_array_equal(twin.predict(X), net.predict(X))
    assert repr(twin) == repr(net) and twin.summary() == net.summary()
    assert twin.parameters.ctypes.data % 64 == 0
    before = net.predict(X)
    twin.parameters[:] = 0.0
    np.testing.assert_array_equal(net.predict(X), before)
    assert not twin.predict(X).any()
    cbp.Trainer(twin).fit(X, X[:, :3], 1)


@pytest.mark.parametrize("duplicate", [
    lambda net: net.copy(), copy.copy, copy.deepcopy, pickle.dumps],
    ids=["copy", "copy.copy", "deepcopy", "pickle"])  # fmt: skip
def test_no_copy_while_training(duplicate):
    """A copy would be torn between two updates: it is refused, and possible again afterwards."""
    net = cbp.Network([4, 64, 3], "tanh", seed=1)
    rows = np.zeros((50000, 4), dtype=np.float32)
    run = cbp.Trainer(net, optimizer=cbp.SGD(1e-6), batch_size=4, seed=1)

    def handler(number, frame):  # is called between two updates
        duplicate(net)

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(RuntimeError, match=r"^The network is in use: it is being trained"):
            run.fit(rows, rows[:, :3], 10**6)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)
    duplicate(net)
    assert run.fit(rows[:4], rows[:4, :3], 1).epochs == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [[2, 3, 1], [17, 33, 10], [64, 5]])
def test_predictor_has_the_bits_of_predict(sizes, dtype):
    """One row, in one or two dimensions, into a fresh array or `out`, after changes of weights."""
    net = cbp.Network(sizes, "tanh", "sigmoid", dtype=dtype, seed=3)
    f = net.predictor()
    x = np.linspace(-2, 2, sizes[0]).astype(dtype)
    for _ in range(2):
        expected = net.predict(x)
        assert f(x).shape == (sizes[-1],) and f(x[np.newaxis]).shape == (1, sizes[-1])
        assert np.array_equal(f(x), expected[0]) and np.array_equal(f(x[np.newaxis]), expected)
        out = np.full(sizes[-1], np.nan, dtype)
        assert f(x, out) is out and np.array_equal(out, expected[0])
        net.parameters[:] *= 0.5  # the next round sees it
    first = f(x)
    assert not np.shares_memory(first, f(x))


@pytest.mark.parametrize("x", [[0.5, -1.0], np.array([0.5, -1.0], np.float64),
                               np.array([[0.5, 7.0, -1.0]], np.float32)[:, ::2]])  # fmt: skip
def test_predictor_takes_what_predict_takes(x):
    """Lists, other types and strides go through `predict`, with the same shape as a fast row."""
    net = cbp.Network([2, 3, 1], seed=1)
    y = net.predictor()(x)
    assert y.shape == ((1,) if np.ndim(x) == 1 else (1, 1))
    assert np.array_equal(np.atleast_2d(y), net.predict(x))


@pytest.mark.parametrize("x, text", [
    (np.zeros(3, np.float32), "`X` must have 2 columns (the network's inputs), got 3."),
    (np.array([0, np.nan], np.float32), "`X` must be finite, got nan in row 0, column 1"),
    (np.array([np.inf, 0], np.float32), "`X` must be finite, got inf in row 0, column 0"),
])  # fmt: skip
def test_predictor_refuses_what_predict_refuses(x, text):
    """The sentences of `predict`, also on the fast path's kind of row."""
    with pytest.raises(ValueError, match=re.escape(text)):
        cbp.Network([2, 3, 1], seed=1).predictor()(x)


def test_predictor_refuses_a_masked_row():
    """Kinds of array that only look like a plain row go through `predict` and its checks."""
    net = cbp.Network([3, 2], seed=1)
    masked_row = np.ma.masked_equal(np.array([1, 2, 3], np.float32), 2)
    with pytest.raises(ValueError, match="masked"):
        net.predictor()(masked_row)


def test_predictor_does_not_write_over_the_parameters():
    """An `out` that is a view of the parameters is refused, as by `predict`."""
    net = cbp.Network([2, 3], seed=1)
    before = net.parameters.copy()
    with pytest.raises(ValueError, match="out"):
        net.predictor()(np.zeros(2, np.float32), net.weights[0][1])
    assert np.array_equal(net.parameters, before)
