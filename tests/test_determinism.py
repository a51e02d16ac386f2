"""One seed, one result: the same bits for any number of threads, chunking, ISA and caller."""

from __future__ import annotations

import ctypes
import ctypes.util
import itertools
import json
import platform
import subprocess
import sys
import time

import numpy as np
import pytest
from golden import make_hashes
from hypothesis import given
from hypothesis import strategies as st
from nets import OPTIMIZERS, OUTPUTS, Net, bind, digest, objective, same, train

from cbp import _backprop, _runtime

TEAMS = (1, 2, 3, 4, 7)
TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=("float32", "float64"))

# (sizes, activations, loss, options); the last ones: one batch of more than 256 rows, and weights
# so many that they are packed by panels.
RUNS = (
    ((4, 16, 3), ("tanh", "softmax"), "categorical_cross_entropy",
     {"n": 100, "batch_size": 8, "epochs": 2, "labels": True}),
    ((70, 300, 17, 2), ("relu", "sigmoid", "identity"), "squared_error",
     {"n": 700, "batch_size": 300, "epochs": 2, "weighted": True}),
    ((600, 520, 270, 5), ("tanh", "relu", "sigmoid"), "binary_cross_entropy",
     {"n": 80, "batch_size": 60, "epochs": 1, "weighted": True, "l2": 0.01}),
)  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", RUNS, ids=("small", "long-batch", "large"))
@TYPES
def test_training_bits_do_not_depend_on_threads_or_fma_width(dtype, case, optimizer):
    """Parameters, losses and states: one hash for 1, 2, 3, 4, 7 threads, AVX2 and AVX-512."""
    sizes, activations, loss, options = case
    isas = {}
    before = _runtime.isa()
    try:
        for isa in _runtime.available_isas():
            _runtime.use_isa(isa)
            found = isas.setdefault(_runtime.has_fma(), set())
            for n_threads in TEAMS:
                net, losses, states, loop = train(
                    sizes, activations, loss, optimizer, dtype=dtype, n_threads=n_threads, **options
                )
                assert loop.threads_used == (n_threads if _runtime.openmp() else 1)
                assert np.isfinite(losses).all() and np.isfinite(net.theta).all()
                found.add(digest(net.theta, losses, *states))
    finally:
        _runtime.use_isa(before)
    assert all(len(found) == 1 for found in isas.values())


@pytest.mark.parametrize("output", OUTPUTS, ids="-".join)
@TYPES
def test_gradient_bits_do_not_depend_on_threads(isa, dtype, output):
    """Loss, gradient and deltas for every team; the team is as large as was asked."""
    activation, loss = output
    for sizes, n in (((5, 33, 3), 33), ((20, 300, 17), 600), ((300, 900, 250), 50)):
        net = Net(sizes, ("tanh", activation), dtype)
        X, target = net.data(n, loss)
        weight = np.random.default_rng(2).random(n)
        found = set()
        for n_threads in TEAMS:
            value, grad, deltas, team = net.gradient(
                X, target, loss, weight=weight, l2=0.1, n_threads=n_threads
            )
            assert team == (n_threads if _runtime.openmp() else 1)
            found.add(digest(np.float64(value), grad, *deltas))
        assert len(found) == 1


@TYPES
def test_predicted_rows_do_not_depend_on_other_rows(isa, dtype):
    """Row k of predict(X) is predict(X[k:k+1]), whatever the cut, order and number of threads."""
    for sizes in ((3, 17, 4), (33, 65, 16, 1), (300, 900, 250)):
        activations = ["tanh"] * (len(sizes) - 2) + ["softmax" if sizes[-1] > 1 else "sigmoid"]
        net = Net(sizes, activations, dtype)
        X, _ = net.data(130)
        alone = np.vstack([net.predict(X[k : k + 1]) for k in range(len(X))])
        for n_threads in TEAMS:
            assert same(net.predict(X, n_threads), alone)
        p = np.random.default_rng(0).permutation(len(X))
        assert same(net.predict(X[p]), alone[p])


@given(cuts=st.lists(st.integers(0, 500), max_size=6), n_threads=st.integers(1, 4))
def test_predict_in_any_chunks(cuts, n_threads):
    """X cut anywhere and predicted piece by piece: the bits of the whole."""
    net = Net((9, 20, 5), ("sigmoid", "softmax"), np.float32)
    X, _ = net.data(500)
    edges = [0, *sorted(cuts), 500]
    pieces = [net.predict(X[a:b], n_threads) for a, b in itertools.pairwise(edges)]
    assert same(np.vstack(pieces), net.predict(X))


def test_runs_repeat():
    """Ten runs of one program give one hash."""
    found = set()
    for _ in range(10):
        net, losses, _, _ = train(
            (10, 40, 3), ("relu", "softmax"), "categorical_cross_entropy", "adam", labels=True,
            n=300, n_threads=2,
        )  # fmt: skip
        found.add(digest(net.theta, losses))
    assert len(found) == 1


def test_global_generators_are_left_alone():
    """Training draws nothing from NumPy's or Python's global generators."""
    import random

    random.seed(1)
    np.random.seed(1)
    expected = (random.random(), np.random.random())
    random.seed(1)
    np.random.seed(1)
    train((3, 4, 2), ("tanh", "identity"), "squared_error", "sgd")
    assert (random.random(), np.random.random()) == expected


# ---- golden runs ----------------------------------------------------------------------------


@pytest.mark.usefixtures("all_threads")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_golden_hashes(isa, n_threads):
    """Small runs of everything have the committed hashes on every CPU with FMA."""
    if not _runtime.has_fma():
        pytest.skip("the hashes are those of CPUs with FMA")
    expected = json.loads(make_hashes.FILE.read_text())
    found = make_hashes.hashes(n_threads)
    assert [name for name in expected if found.get(name) != expected[name]] == []
    assert len(set(found.values())) == len(found) == len(expected) > 100


# ---- the caller's floating-point state ---------------------------------------------------------

# MXCSR: rounding mode in bits 13-14, flush to zero bit 15, denormals are zero bit 6, masks 7-12,
# sticky flags 0-5.
MODES = {
    "as usual": 0x1F80, "down": 0x3F80, "up": 0x5F80, "to zero": 0x7F80, "ftz, daz": 0x9FC0,
    "up, ftz, daz": 0xDFC0,
}  # fmt: skip
CONTROL = 0xFFC0

x86_64_only = pytest.mark.skipif(
    platform.machine() != "x86_64" or not sys.platform.startswith("linux"),
    reason="the layout of fenv_t is that of Linux on x86-64",
)


class FloatState:
    """MXCSR of this thread, by way of libm's fegetenv and fesetenv."""

    def __init__(self):
        self.libm = ctypes.CDLL(ctypes.util.find_library("m"))
        self.env = ctypes.create_string_buffer(64)

    def get(self):
        assert self.libm.fegetenv(self.env) == 0
        return int.from_bytes(self.env.raw[28:32], "little")

    def set(self, mode):
        self.get()
        raw = self.env.raw
        self.env.raw = raw[:28] + mode.to_bytes(4, "little") + raw[32:]
        assert self.libm.fesetenv(self.env) == 0


@x86_64_only
@pytest.mark.parametrize("n_threads", [1, 2])
@TYPES
def test_results_do_not_depend_on_the_callers_float_state(isa, dtype, n_threads):
    """Any rounding mode, FTZ and DAZ at the call: the same bits, and the mode is left as found."""
    state = FloatState()
    usual = state.get()
    results = {}
    for name, mode in MODES.items():
        net = Net((5, 40, 3), ("tanh", "softmax"), dtype)
        trained = Net((5, 40, 3), ("tanh", "softmax"), dtype)
        X, labels = net.data(500, labels=True)
        X[7] *= np.finfo(dtype).tiny  # denormals, which DAZ would turn into zeros
        net.biases[0][:] *= np.finfo(dtype).tiny
        weight = np.random.default_rng(0).random(500)
        loop, states = trained.loop("categorical_cross_entropy", "adam", batch_size=200)
        bind(loop, X, labels, weight)
        out, losses = np.empty((500, 3), dtype), np.empty(3)
        grad, order, numbers = np.empty_like(net.theta), np.empty(50, np.intp), np.empty(50)
        sums, x = np.random.default_rng(1).normal(size=999), np.linspace(-9, 9, 50)
        y, modes = np.empty(50), []
        state.set(mode)
        try:
            net.core.predict(X, out, n_threads)
            modes.append(state.get())
            value, _ = net.core.gradient(
                X, None, labels, weight, objective("categorical_cross_entropy"), 0, 0.1, grad,
                None, n_threads,
            )  # fmt: skip
            modes.append(state.get())
            loop.run(losses, 0.0, n_threads)
            modes.append(state.get())
            _runtime.permutation(order, 1, 2, 3)
            _runtime.normal(numbers, 1, 2, 3)
            _runtime.apply(y, x, _backprop.ACTIVATIONS["tanh"])
            total = _runtime.square_sum(sums)
            modes.append(state.get())
        finally:
            state.set(usual)
        assert {m & CONTROL for m in modes} == {mode & CONTROL}, name
        arrays = (out, grad, trained.theta, *states, losses, order, numbers, y)
        results[name] = (digest(*arrays), value.hex(), total.hex(), losses.tolist())
    for name, result in results.items():
        assert result == results["as usual"], name


@x86_64_only
@pytest.mark.parametrize("mode", ["down", "ftz, daz"])
def test_import_leaves_the_float_state_alone(mode):
    """Importing cbp neither sets nor clears rounding mode, FTZ or DAZ."""
    program = f"""
import ctypes, sys
sys.path[:] = {sys.path!r}
import numpy
libm, env = ctypes.CDLL({ctypes.util.find_library("m")!r}), ctypes.create_string_buffer(64)
libm.fegetenv(env)
raw = env.raw
env.raw = raw[:28] + ({MODES[mode]}).to_bytes(4, "little") + raw[32:]
libm.fesetenv(env)
import cbp._training
libm.fegetenv(env)
print(int.from_bytes(env.raw[28:32], "little"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) & CONTROL == MODES[mode] & CONTROL


# ---- denormals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov", "adam"])
@TYPES
def test_states_decay_to_exact_zeros(isa, dtype, optimizer):
    """10,000 steps without gradient: below 2^-100 (2^-960) states are exactly 0, not denormal."""
    tiny = 2.0**-100 if dtype is np.float32 else 2.0**-960
    net = Net((7, 5), ("identity",), dtype, bias=False)
    net.theta[:] = 0
    loop, states = net.loop("squared_error", optimizer, batch_size=3)
    bind(loop, np.zeros((3, 7), dtype), np.zeros((3, 5), dtype))
    states[0][:] = np.linspace(-1, 1, net.theta.size)
    decay = 0.9  # momentum and beta_1
    seen = []
    for _ in range(100):
        loop.run(np.empty(100), 0.0, 1)
        size = np.abs(states[0][states[0] != 0])
        assert not size.size or size.min() >= tiny
        seen.append(size.size)
    steps = int(np.ceil(np.log(tiny) / np.log(decay)))
    assert seen[steps // 100 - 1] > 0 and seen[steps // 100 + 1] == 0
    assert not np.signbit(states[0]).any() and np.isfinite(net.theta).all()


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("optimizer", ["momentum", "nesterov", "adam"])
@pytest.mark.parametrize("sizes", [(4, 16, 3), (40, 80, 80, 5)], ids=("small-room", "general"))
def test_training_does_not_slow_down_as_everything_decays(optimizer, sizes):
    """10,000 steps of zero gradient, states fading, weights denormal: the slowest thousand takes at
    most 1.2 of the first one's time (each the best of several runs, more on a busy machine)."""
    net = Net(sizes, ("identity",) * (len(sizes) - 1), np.float32)
    loop, states = net.loop("squared_error", optimizer, batch_size=2)
    bind(loop, np.zeros((2, sizes[0]), np.float32), np.zeros((2, sizes[-1]), np.float32))
    losses = np.empty(1000)
    thousands = np.full(10, np.inf)
    for run in range(200):
        if run >= 5 and thousands.max() <= 1.2 * thousands[0]:
            break
        net.theta[:] = 0
        net.weights[-1][...] = np.float32(1e-41)
        states[0][:] = np.linspace(-1e-3, 1e-3, net.theta.size)
        for j in range(10):
            begin = time.perf_counter()
            loop.run(losses, 0.0, 1)
            thousands[j] = min(thousands[j], time.perf_counter() - begin)
    assert loop.small_used == (sizes[1] == 16)
    assert thousands.max() <= 1.2 * thousands[0]


@TYPES
def test_deltas_below_the_threshold_are_zero(isa, dtype):
    """Deltas that vanish through the layers end in +0, never in denormals."""
    tiny = 2.0**-100 if dtype is np.float32 else 2.0**-960
    net = Net((3, 8, 8, 8, 2), ("sigmoid", "tanh", "identity", "identity"), dtype)
    for W in net.weights[1:]:
        W *= dtype(2.0**-35) if dtype is np.float32 else dtype(2.0**-330)
    X, target = net.data(40)
    deltas = net.gradient(X, target, "squared_error")[2]
    for d in deltas:
        size = np.abs(d[d != 0])
        assert not size.size or size.min() >= tiny
    assert (deltas[0] == 0).any() and not np.signbit(deltas[0][deltas[0] == 0]).any()
    assert deltas[-1].all()
