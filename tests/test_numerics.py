"""The numerical contract (docs/numerics.md), bit by bit: the compiled core equals the oracle."""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist

import mpmath
import numpy as np
import oracle
import pytest
from nets import HIDDEN, HYPER, OPTIMIZERS, OUTPUTS, Net, bind, flat, same

from cbp import _backprop, _dense, _runtime

DTYPES = (np.float32, np.float64)
TYPES = pytest.mark.parametrize("dtype", DTYPES, ids=("float32", "float64"))
ROWS = (*range(1, 34), 255, 256, 257, 300)
WIDTHS = (1, 3, 15, 16, 17, 31, 33, 65, 255, 256, 257)
SPARE = 16

ARITHMETIC = {(d, f): oracle.Arithmetic(d, f) for d in DTYPES for f in (False, True)}


def isas_by_fma():
    """(has_fma, names) of the instruction sets that run here: those of a group give equal bits."""
    groups: dict[bool, list[str]] = {}
    before = _runtime.isa()
    for name in _runtime.available_isas():
        _runtime.use_isa(name)
        groups.setdefault(_runtime.has_fma(), []).append(name)
    _runtime.use_isa(before)
    return groups


GROUPS = isas_by_fma()
FUSED = pytest.mark.parametrize(
    "fused", [pytest.param(f, id="fma" if f else "no-fma") for f in GROUPS]
)


@pytest.fixture(autouse=True)
def isa_as_found():
    """Puts the instruction set back after a test that walks through several."""
    before = _runtime.isa()
    yield
    _runtime.use_isa(before)


def each_isa(fused):
    for name in GROUPS[fused]:
        _runtime.use_isa(name)
        yield name


# ---- the oracle's own fused multiply-add ------------------------------------------------------


def exact_f32(a, b, c):
    """a b + c rounded once to float32, by integers."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if exact == 0:
        return np.float32(float(a) * float(b) + float(c))
    size, exponent = abs(exact), -149
    # The last place of the result: 2^(e - 23), where 2^e <= size < 2^(e + 1), at least 2^-149.
    e = size.numerator.bit_length() - size.denominator.bit_length()
    e -= size < Fraction(2) ** e
    exponent = max(exponent, e - 23)
    units = size / Fraction(2) ** exponent
    low = units.numerator // units.denominator
    rest = units - low
    low += rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1)
    with np.errstate(over="ignore"):
        return np.float32(math.copysign(low * 2.0**exponent, exact))


def near_middles(rng, n):
    """float32 triples whose a b + c lies at, or a hair beside, the middle of two float32."""
    a = np.ldexp(rng.integers(2**23, 2**24, n).astype(float), rng.integers(-40, 10, n))
    c = a * (2 * rng.integers(2**22, 2**23, n) + 1)  # a b, b an odd integer below 2^24
    b = c / a
    a, b = a.astype(np.float32), b.astype(np.float32)
    product = a.astype(float) * b
    # c = a large float32 far above, so that the product's end decides.
    shift = np.ldexp(1.0, np.frexp(product)[1] + rng.integers(0, 30, n))
    c = (rng.choice([-1, 1], n) * shift * rng.uniform(1, 2, n)).astype(np.float32)
    return a, b, c


def test_oracle_fma_float32_is_exact():
    """The vectorised float32 FMA equals rational arithmetic: random, middles, denormals."""
    rng = np.random.default_rng(0)
    n = 3000
    cases = [near_middles(rng, n)]
    for low, high in ((-3, 3), (-75, -60), (-149, 127)):
        scale = [rng.integers(low, high, n) for _ in range(3)]
        cases.append(
            tuple(
                np.ldexp(rng.uniform(1, 2, n) * rng.choice([-1, 1], n), s).astype(np.float32)
                for s in scale
            )
        )
    small = [rng.integers(-8, 8, n).astype(np.float32) for _ in range(3)]
    cases.append(tuple(small))
    # 1 + 2^-24 lies in the middle of two float32; the third part breaks the tie or leaves it.
    u = np.float32(2.0**-24)
    a = np.array([u, u, u, -u, np.float32(1 + 2**-12)], np.float32)
    b = np.array([1, 1 + 2.0**-23, 1 - 2.0**-24, 1, 1 + 2**-12], np.float32)
    cases.append((a, b, np.ones(5, np.float32)))
    for a, b, c in cases:
        with np.errstate(all="ignore"):
            got = oracle.fma_f32(a, b, c)
        expected = np.array([exact_f32(*x) for x in zip(a, b, c)])
        assert same(got, expected)


def test_oracle_fma_float64_is_exact():
    """The vectorised float64 FMA equals rational arithmetic: random, cancelling, at both ends."""
    rng = np.random.default_rng(1)
    n = 3000

    def numbers(low, high):
        sign = rng.choice([-1, 1], n)
        return np.ldexp(rng.uniform(1, 2, n) * sign, rng.integers(low, high, n))

    cases = [tuple(numbers(*r) for _ in range(3)) for r in ((-3, 3), (-60, 60), (-1074, 1023))]
    a, b = numbers(-3, 3), numbers(-3, 3)
    cases.append((a, b, -(a * b)))
    cases.append((a, b, np.nextafter(-(a * b), 0)))
    cases.append((a, b, np.ldexp(numbers(0, 1), np.frexp(a * b)[1] + 53)))  # ends that decide
    cases.append((numbers(-540, -530), numbers(-540, -530), numbers(-1074, -1060)))
    whole = [rng.integers(-4, 4, n).astype(float) for _ in range(3)]
    cases.append(tuple(whole))
    for a, b, c in cases:
        with np.errstate(all="ignore"):
            got = oracle.fma_f64(a, b, c)
            expected = np.array([oracle.fma_exact(*map(float, x)) for x in zip(a, b, c)])
        assert same(got, expected)
    if hasattr(math, "fma"):  # Python 3.13
        a, b, c = cases[3]
        assert same(oracle.fma_f64(a, b, c), np.array(list(map(math.fma, a, b, c))))


@TYPES
def test_oracle_fma_of_special_numbers(dtype):
    """NaN, infinities and the signs of zeros follow IEEE 754."""
    special = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan], dtype)
    a, b, c = (x.ravel() for x in np.meshgrid(special, special, special))
    with np.errstate(all="ignore"):
        assert same(ARITHMETIC[dtype, True].fma(a, b, c), a * b + c)


# ---- rule 14: random streams -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_oracle_philox_known_answers(counter, key, expected):
    """The oracle's Philox 4x32-10 gives the known answers of Random123 1.14.0 (kat_vectors)."""
    assert tuple(oracle.philox(counter, key)) == expected


def test_first_block_of_the_compiled_philox():
    """Stream 0 of purpose 0 and seed 0 begins with the known answer for counter 0, key 0."""
    out = np.empty(2)
    _runtime.uniform(out, 0, 0, 0)
    first, second = 0xE169C58D6627E8D5, 0x9B00DBD8BC57AC4C
    assert list(out) == [(first >> 11) * 2.0**-53, (second >> 11) * 2.0**-53]


STREAMS = pytest.mark.parametrize(
    "key", [(0, 1, 0), (12345, 2, 7), (2**64 - 1, 4, 2**32 - 1), (1 << 32, 3, 1)]
)


@STREAMS
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_stream_bits(kind, key):
    """Uniform and normal numbers are the oracle's, of every length from the start."""
    expected = getattr(oracle, kind)(333, *key)
    for n in (1, 2, 333):
        out = np.full(n, np.nan)
        getattr(_runtime, kind)(out, *key)
        assert same(out, expected[:n])


@STREAMS
def test_permutation_bits(key):
    """Permutations of 0 to 40 and 1,000 elements are the oracle's."""
    for n in (*range(41), 1000):
        out = np.full(n, -1, np.intp)
        _runtime.permutation(out, *key)
        assert (out == oracle.permutation(n, *key)).all()
        assert sorted(out) == list(range(n))


def test_shuffle_positions_are_unbiased():
    """Over 24,000 seeds each of the 24 orders of 4 elements comes up 1,000 times, chi-square."""
    counts: dict[tuple, int] = {}
    out = np.empty(4, np.intp)
    for seed in range(24_000):
        _runtime.permutation(out, seed, 2, 0)
        counts[tuple(out)] = counts.get(tuple(out), 0) + 1
    assert len(counts) == 24
    assert sum((c - 1000) ** 2 / 1000 for c in counts.values()) < 49.7  # 0.1 % of chi^2(23)


def test_normal_quantile_accuracy():
    """Normal numbers lie within 4 parts in 10^15 of the quantile of their uniform number."""
    source = oracle.words(3, 1, 0)
    out = np.empty(300)
    _runtime.normal(out, 3, 1, 0)
    tails = [2.0**-53, 2.0**-40, 1e-9, 0.0749, 0.0751, 0.4999999, 0.5 + 2.0**-53, 1 - 2.0**-53]
    points = [(((next(source) >> 12) + 0.5) * 2.0**-52, x) for x in out]
    points += [(u, oracle.normal_quantile(u)) for u in tails]
    with mpmath.workdps(40):
        for u, x in points:
            guess = NormalDist().inv_cdf(u)
            exact = mpmath.findroot(lambda q, u=u: mpmath.ncdf(q) - mpmath.mpf(u), guess)
            assert abs(x - exact) <= 4e-15 * abs(exact)


# ---- elementary functions -----------------------------------------------------------------------


@TYPES
@FUSED
def test_activation_bits(fused, dtype):
    """sigmoid, tanh, relu and exp of ordinary, huge, tiny and special numbers are the oracle's."""
    rng = np.random.default_rng(2)
    info = np.finfo(dtype)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, info.max, -info.max, info.tiny, -info.tiny,
               info.smallest_subnormal, -info.smallest_subnormal]  # fmt: skip
    spread = [rng.normal(size=3000) * s for s in (1e-3, 0.1, 1, 10, 100, 700)]
    x = np.concatenate([*spread, special]).astype(dtype)
    arithmetic = ARITHMETIC[dtype, fused]
    codes = {name: _backprop.ACTIVATIONS[name] for name in ("sigmoid", "tanh", "relu")}
    for name, code in {**codes, "exp": _runtime.EXP}.items():
        expected = arithmetic.exp(x) if name == "exp" else arithmetic.activation(x, name)
        for _ in each_isa(fused):
            y = np.full_like(x, 7)
            _runtime.apply(y, x, code)
            assert same(y, expected)


# ---- rules 1 to 6 through one layer -----------------------------------------------------------


@pytest.fixture(scope="module")
def matrices():
    """A (300, 300), B (300, 257) and b (257) of random numbers."""
    rng = np.random.default_rng(4)
    A, B = rng.normal(size=(300, 300)), rng.normal(size=(300, 257)) / 16
    A[5, :] *= 1e-3
    A[:, 7] = 0
    return A, B, rng.normal(size=257)


CHAINS = (1, 2, 3, 15, 16, 17, 31, 33, 65, 255, 256, 257, 300)


def prefixes(arithmetic, A, B, lengths):
    """A[:, :k] B[:k] for each k of `lengths`, by one walk along k."""
    found, whole, chain = {}, None, None
    for k in range(max(lengths)):
        if k % oracle.BLOCK == 0:
            whole = chain if whole is None else whole + chain
            chain = np.zeros((A.shape[0], B.shape[1]), A.dtype)
        chain = arithmetic.fma(A[:, k, None], B[None, k], chain)
        if k + 1 in lengths:
            found[k + 1] = chain if whole is None else whole + chain
    return found


@TYPES
@FUSED
def test_forward_bits_for_every_shape(matrices, fused, dtype):
    """z = S + b: chains of 1 to 300 terms, 1 to 300 rows, 1 to 257 outputs, with and without b."""
    A, B, b = (x.astype(dtype) for x in matrices)
    arithmetic = ARITHMETIC[dtype, fused]
    for rows, outputs, shapes in (
        (33, 257, [(n, k, o) for n in (1, 12, 33) for k in (1, 17, 257) for o in WIDTHS]),
        (33, 33, [(n, k, o) for n in range(1, 34) for k in (3, 16) for o in (1, 17, 33)]),
        (300, 17, [(n, k, o) for n in (255, 256, 257, 300) for k in CHAINS for o in (1, 17)]),
    ):
        sums = prefixes(arithmetic, A[:rows], B[:, :outputs], CHAINS)
        for _ in each_isa(fused):
            for n, k, o in shapes:
                theta = np.zeros(k * o + o + SPARE, dtype)
                theta[: k * o], theta[k * o : k * o + o] = B[:k, :o].ravel(), b[:o]
                x, a, z = A[:n, :k].copy(), *np.full((2, n, o), np.nan, dtype)
                for bias in (False, True):
                    _dense.forward(a, z, x, theta, bias, 0)
                    expected = sums[k][:n, :o] + b[:o] if bias else sums[k][:n, :o]
                    assert same(z, expected) and same(a, expected), (n, k, o, bias)


@TYPES
@FUSED
def test_delta_bits_for_every_shape(matrices, fused, dtype):
    """d = (D W^T) f'(a): 1 to 257 outputs, 1 to 257 inputs, every activation; tiny is 0."""
    D, Wt, _ = (x.astype(dtype) for x in matrices)
    arithmetic = ARITHMETIC[dtype, fused]
    D = D[:33].copy()
    D[3] *= dtype(2.0**-120) if dtype is np.float32 else dtype(2.0**-970)
    sums = prefixes(arithmetic, D, Wt, CHAINS)
    a = np.abs(np.random.default_rng(5).normal(size=(33, 257))).astype(dtype) % dtype(1)
    a[:, ::5] = 0
    for k in (1, 16, 33, 257):
        for activation in HIDDEN:
            expected = arithmetic.flush(arithmetic.slope(sums[k], a, activation))
            assert (expected[3] == 0).any() and not np.signbit(expected[3][expected[3] == 0]).any()
            for _ in each_isa(fused):
                for n, i in [(n, 17) for n in range(1, 34)] + [(33, i) for i in WIDTHS]:
                    theta = np.zeros(k * i + SPARE, dtype)
                    theta[: k * i] = Wt[:k, :i].T.ravel()
                    got = np.full((n, i), np.nan, dtype)
                    _dense.delta(
                        got, D[:n, :k].copy(), a[:n, :i].copy(), theta,
                        _backprop.ACTIVATIONS[activation],
                    )  # fmt: skip
                    assert same(got, expected[:n, :i]), (n, k, i, activation)


@TYPES
@FUSED
def test_gradient_bits_for_every_shape(matrices, fused, dtype):
    """dW = A^T D in blocks of 256 rows and db: 1 to 300 rows, 1 to 257 inputs and outputs."""
    At, D, _ = (x.astype(dtype) for x in matrices)
    arithmetic = ARITHMETIC[dtype, fused]
    for inputs, outputs, shapes in (
        (257, 33, [(n, i, o) for n in (1, 256, 257) for i in WIDTHS for o in (1, 16, 33)]),
        (17, 257, [(n, i, o) for n in (33, 300) for i in (1, 17) for o in WIDTHS]),
        (17, 33, [(n, i, o) for n in ROWS for i in (3, 17) for o in (3, 17, 33)]),
    ):
        A = np.vstack([At[:, :inputs].T, np.ones((1, 300), dtype)])  # the row of a constant input
        sums = prefixes(arithmetic, A, D[:, :outputs], ROWS)
        for _ in each_isa(fused):
            for n, i, o in shapes:
                d_w, d_b = np.full(i * o + SPARE, np.nan, dtype), np.full(o + SPARE, np.nan, dtype)
                _dense.gradient(d_w, d_b, At[:n, :i].copy(), D[:n, :o].copy())
                assert same(d_w[: i * o].reshape(i, o), sums[n][:i, :o]), (n, i, o)
                assert same(d_b[:o], sums[n][-1, :o]), (n, i, o)


# ---- rules 4 to 8 through whole networks ---------------------------------------------------------


def check_net(net, fused, X, target, loss, **options):
    """Core.forward, predict and gradient of a net give the oracle's bits on every ISA."""
    arithmetic = ARITHMETIC[net.dtype.type, fused]
    Z, A = arithmetic.forward(net.layers, X)
    expected = arithmetic.gradient(net.layers, X, target, loss, **options)
    for name in each_isa(fused):
        fresh = Net(net.sizes, net.activations, net.dtype, net.bias)
        fresh.theta[:] = net.theta
        got_z, got_a = fresh.forward(X)
        for got, want in zip(got_z + got_a, Z + A[1:]):
            assert same(got, want), name
        assert same(fresh.predict(X), A[-1]), name
        value, grad, deltas, _ = fresh.gradient(X, target, loss, **options)
        for got, want in zip(deltas, expected.deltas):
            assert same(got, want), name
        assert same(grad, flat(expected.weights, expected.biases)), name
        assert same(np.float64(value), np.float64(expected.loss)), (name, value, expected.loss)


@pytest.mark.parametrize("output", OUTPUTS, ids="-".join)
@pytest.mark.parametrize("hidden", HIDDEN)
@TYPES
@FUSED
def test_network_bits(fused, dtype, hidden, output):
    """Every activation with every loss: z, a, delta, gradient and loss are the oracle's."""
    activation, loss = output
    number = HIDDEN.index(hidden) * len(OUTPUTS) + OUTPUTS.index(output)
    for step, (n, outputs) in enumerate(((1 + number, 4), (33 - number, 19), (5 + number, 1))):
        width = WIDTHS[(number + 5 * step) % 8]
        net = Net((5, width, outputs), (hidden, activation), dtype, bias=[True, step != 1])
        X, target = net.data(n, loss)
        weight = np.random.default_rng(6).random(n) if step else None
        check_net(
            net, fused, X, target, loss, weight=weight, l2=0.01 * step,
            reduction=("mean", "sum")[number % 2],
        )  # fmt: skip


LEVELS = np.array([0.25, 0.9])
SMOOTHED = {"parameter": 0.1}
OBJECTIVES = [
    ("squared_error", {}, "leaky_relu"), ("squared_error", {}, "hard_sigmoid"),
    ("absolute_error", {}, "identity"), ("absolute_error", {}, "tanh"),
    ("huber", {"parameter": 0.3}, "relu"), ("huber", {"parameter": 0.3}, "leaky_relu"),
    ("quantile", {"table": LEVELS}, "identity"), ("quantile", {"table": LEVELS}, "sigmoid"),
    ("poisson", {}, "identity"),
    ("binary_focal", {"parameter": 1.5, "positive": 0.3, "negative": 0.7}, "sigmoid"),
    ("binary_cross_entropy", {"mask_nan": True}, "sigmoid"),
    ("squared_error", {"mask_nan": True}, "tanh"),
    ("huber", {"parameter": 0.3, "mask_nan": True}, "hard_sigmoid"),
    ("categorical_cross_entropy", SMOOTHED, "softmax"),
    ("categorical_cross_entropy", {"mask_nan": True}, "softmax"),
    ("categorical_cross_entropy", {**SMOOTHED, "mask_nan": True}, "softmax"),
]  # fmt: skip


@pytest.mark.parametrize("loss, options, activation", OBJECTIVES)
@TYPES
@FUSED
def test_objective_bits(fused, dtype, loss, options, activation):
    """Losses with parameters, smoothing and masks, with few outputs and with many."""
    for n, outputs in ((20, 4), (33, 38), (17, 1)):
        if loss == "quantile" or activation == "softmax":
            outputs += outputs % 2
        net = Net((5, outputs), (activation,), dtype)
        X, target = net.data(n, loss)
        if loss == "quantile":
            target = target[:, : outputs // 2].copy()
        if options.get("mask_nan"):
            target[np.random.default_rng(7).random(target.shape) < 0.2] = np.nan
        weight = np.random.default_rng(6).random(n)
        check_net(net, fused, X, target, loss, weight=weight, options=options)
        if options == SMOOTHED:
            check_net(net, fused, X, target.argmax(axis=1), loss, weight=weight, options=options)


@pytest.mark.parametrize("n", [255, 256, 257, 300])
@TYPES
@FUSED
def test_network_bits_of_long_batches(fused, dtype, n):
    """Batches around one block of 256 rows, with weights."""
    net = Net((3, 17, 2), ("tanh", "sigmoid"), dtype)
    X, target = net.data(n)
    weight = np.random.default_rng(6).random(n)
    check_net(net, fused, X, target, "binary_cross_entropy", weight=weight)


@TYPES
@FUSED
def test_network_bits_of_packed_weights(fused, dtype):
    """Weights too many for the cache are packed in pieces: the same bits, for few and many rows."""
    hidden = (650, 610) if dtype is np.float32 else (530, 380)
    net = Net((5, *hidden, 3), ("tanh", "relu", "softmax"), dtype)
    assert net.theta.nbytes > 1536 * 1024 + 8 * 1024  # more than PACKED_BYTES of _backprop.pyx
    X, labels = net.data(49, labels=True)
    check_net(net, fused, X, labels, "categorical_cross_entropy")
    assert same(net.predict(X), np.vstack([net.predict(X[:20]), net.predict(X[20:])]))


@pytest.mark.parametrize("classes", [1, 2, 3, 16, 17, 33, 100])
@TYPES
@FUSED
def test_categorical_head_bits(fused, dtype, classes):
    """Labels and rows, ties for the largest z, and terms below the floor."""
    net = Net((4, classes), ("softmax",), dtype)
    X, labels = net.data(20, labels=True)
    net.weights[0][:, classes // 2 :] *= 90  # some exp(z - max) are below the floor
    X[3] = 0  # ties, where the biases are equal
    net.biases[0][:] = np.round(net.biases[0])
    one_hot = np.eye(classes, dtype=dtype)[labels]
    loss = "categorical_cross_entropy"
    check_net(net, fused, X, labels, loss)
    check_net(net, fused, X, one_hot * dtype(0.75), loss)
    by_label, by_row = (net.gradient(X, t, loss) for t in (labels, one_hot))
    assert by_label[0] == by_row[0] and same(by_label[1], by_row[1])


@TYPES
@FUSED
def test_loss_bits_at_extreme_logits(fused, dtype):
    """Cross-entropies of logits up to 1e30 are the oracle's and finite."""
    for activation, loss in OUTPUTS[-2:]:
        net = Net((1, 3), (activation,), dtype, bias=False)
        net.weights[0][:] = [[1, -1, 0.5]]
        half = dtype(30 if dtype is np.float32 else 300)  # z - max is the floor, and just below
        edges = [half, np.nextafter(half, dtype(np.inf)), np.nextafter(half, dtype(0))]
        X = np.array([1e30, -1e30, 88.0, -104.0, 1e-30, 0.0, -0.0, *edges], dtype)[:, None]
        target = np.array([[0.25, 0.5, 0.25]] * len(X), dtype)
        check_net(net, fused, X, target, loss)
        assert np.isfinite(net.gradient(X, target, loss)[0])


@TYPES
@FUSED
def test_square_sum_bits(fused, dtype):
    """Rule 8: chunks of 4,096, 16 virtual lanes, for lengths around both."""
    x = np.random.default_rng(8).normal(size=9000).astype(dtype)
    for n in (1, 15, 16, 17, 4095, 4096, 4097, 9000):
        expected = oracle.double_sum(x[:n].astype(np.float64) ** 2, oracle.CHUNK)
        for _ in each_isa(fused):
            assert _runtime.square_sum(x[:n]) == expected


# ---- rules 9 to 14: whole runs -----------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@TYPES
@FUSED
def test_training_bits(fused, dtype, optimizer):
    """Losses, parameters and states after three shuffled epochs are the oracle's."""
    cases = [
        {"loss": "categorical_cross_entropy", "sizes": (5, 17, 3), "acts": ("tanh", "softmax"),
         "labels": True},
        {"loss": "binary_cross_entropy", "sizes": (3, 16, 9, 1),
         "acts": ("relu", "sigmoid", "sigmoid"), "weighted": True, "l2": 0.01, "reduction": "sum"},
        {"loss": "squared_error", "sizes": (20, 3), "acts": ("identity",), "weighted": True,
         "l2": 0.1, "mask": True, "trainable": [(True, False)]},
    ]  # fmt: skip
    for seed, case in enumerate(cases):
        net = Net(case["sizes"], case["acts"], dtype, seed=seed)
        start, n, epochs, batch_size = net.theta.copy(), 45, 3, 16
        layers = net.layers
        X, target = net.data(n, case["loss"], labels=case.get("labels", False))
        weight = np.random.default_rng(9).random(n) if case.get("weighted") else None
        options = {k: case[k] for k in ("l2", "reduction", "trainable") if k in case}
        masks = mask = None
        if case.get("mask"):
            keep = [
                (W != 0) & (np.random.default_rng(3).random(W.shape) < 0.7) for W in net.weights
            ]
            masks = [(k.astype(dtype), np.ones(k.shape[1], dtype)) for k in keep]
            mask = flat(*zip(*masks))
        orders = [oracle.permutation(n, seed, 2, epoch) for epoch in range(epochs)]
        after, losses, states = ARITHMETIC[dtype, fused].train(
            layers, X, target, case["loss"], optimizer, HYPER[optimizer], epochs, batch_size,
            orders=orders, weight=weight, masks=masks, **options,
        )  # fmt: skip
        for name in each_isa(fused):
            net = Net(case["sizes"], case["acts"], dtype)
            net.theta[:] = start
            loop, got_states = net.loop(
                case["loss"], optimizer, batch_size=batch_size, seed=seed, mask=mask, **options
            )
            bind(loop, X, target, weight)
            got = np.zeros(epochs)
            assert loop.run(got, 0.0, 1) == epochs
            assert same(got, losses), (name, got, losses)
            assert same(net.theta, flat([a.W for a in after], [a.b for a in after])), name
            for one, want in zip(got_states, states):
                assert same(one, want), name


@TYPES
@FUSED
def test_adam_and_momentum_of_tiny_gradients(fused, dtype):
    """Gradients down to 2^-161 (2^-1020): states are flushed where the contract says."""
    scale, apart = (-45, (8, 20)) if dtype is np.float32 else (-480, (60, 40))
    for optimizer in ("momentum", "adam"):
        net = Net((8, 4), ("identity",), dtype, bias=False)
        net.theta[:] = 0
        X, target = net.data(6)
        X = np.ldexp(X, scale - apart[0] * np.arange(8)).astype(dtype)
        target = np.ldexp(target, -apart[1] * np.arange(4)).astype(dtype)
        layers = net.layers
        orders = [np.arange(6)] * 4
        after, losses, states = ARITHMETIC[dtype, fused].train(
            layers, X, target, "squared_error", optimizer, HYPER[optimizer], 4, 6, orders=orders
        )
        assert any((s == 0).any() and (s != 0).any() for s in states)
        for name in each_isa(fused):
            net = Net((8, 4), ("identity",), dtype, bias=False)
            net.theta[:] = 0
            loop, got_states = net.loop("squared_error", optimizer, batch_size=6, shuffle=False)
            bind(loop, X, target)
            got = np.zeros(4)
            loop.run(got, 0.0, 1)
            assert same(net.theta, flat([a.W for a in after], [None])), name
            assert same(got, losses), name
            for one, want in zip(got_states, states):
                assert same(one, want), name
