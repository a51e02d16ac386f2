"""One dense layer (cbp._dense): forward, delta and gradient against exact products and bounds."""

from __future__ import annotations

import numpy as np
import pytest
from compare import assert_within, exact_product, gamma, normwise, product_bound, unit
from hypothesis import given
from hypothesis import strategies as st
from nets import guarded

from cbp import _backprop, _dense

TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=("float32", "float64"))
SPARE = 16
SIZES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 255, 256, 257)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def theta_of(W, b=None):
    """W | b | spare elements that are NaN: what stands behind the end must not count."""
    parts = [W.ravel()] if b is None else [W.ravel(), b]
    return read_only(np.concatenate([*parts, np.full(SPARE, np.nan, W.dtype)]))


def shapes(seed, count):
    """Random (n, k, o), small ones and such around the block of 256."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield tuple(int(x) for x in rng.integers(1, 34, 3))
    for _ in range(count):
        yield tuple(int(x) for x in rng.choice(SIZES, 3))


def operands(shape, dtype, seed=0):
    """A (n, k) and B (k, o), read-only."""
    n, k, o = shape
    rng = np.random.default_rng([seed, n, k, o])
    return [read_only(rng.normal(size=s).astype(dtype)) for s in ((n, k), (k, o))]


def exact(A, B):
    if A.dtype == np.float32:
        return A.astype(np.float64) @ B.astype(np.float64)
    return exact_product(A, B)


def layer_forward(A, theta, o, bias, activation="identity"):
    """(a, z) of one layer; fails where a guard was touched."""
    a, a_kept = guarded((len(A), o), A.dtype)
    z, z_kept = guarded((len(A), o), A.dtype)
    _dense.forward(a, z, A, theta, bias, _backprop.ACTIVATIONS[activation])
    assert a_kept() and z_kept()
    return a, z


def layer_gradient(A, D):
    """(dW, db); fails where a guard behind the spare elements was touched."""
    i, o = A.shape[1], D.shape[1]
    d_w, w_kept = guarded((i * o + SPARE,), A.dtype)
    d_b, b_kept = guarded((o + SPARE,), A.dtype)
    _dense.gradient(d_w, d_b, A, D)
    assert w_kept() and b_kept()
    return d_w[: i * o].reshape(i, o), d_b[:o]


# ---- the yardstick itself ----------------------------------------------------------------------


@TYPES
def test_compare_rejects_a_result_twice_off(dtype):
    """assert_within takes what lies inside the bound and rejects twice the bound, anywhere."""
    A, B = operands((3, 40, 5), dtype)
    product = A.astype(np.float64) @ B.astype(np.float64)
    bound = product_bound(A, B, dtype)
    assert_within(product + 0.9 * bound, product, bound)
    for at in ((0, 0), (2, 4)):
        off = product.copy()
        off[at] += 2 * bound[at]
        with pytest.raises(AssertionError, match="above the bound"):
            assert_within(off, product, bound)
        off[at] = np.nan
        with pytest.raises(AssertionError, match="above the bound"):
            assert_within(off, product, bound)
    with pytest.raises(AssertionError, match="shape"):
        assert_within(product[:2], product, bound)


@TYPES
def test_compare_rejects_wrong_sums(dtype):
    """One term left out, counted twice, or rounded to half the digits is outside the bound."""
    A, B = operands((4, 300, 6), dtype)
    product = exact(A, B)
    hi = product[0] if isinstance(product, tuple) else product
    bound = product_bound(A, B, dtype)
    term = A[:, 7, None].astype(np.float64) * B[None, 7]
    coarse = hi * (1 + np.sqrt(unit(dtype)))
    for wrong in (hi - term, hi + term, coarse):
        with pytest.raises(AssertionError, match="above the bound"):
            assert_within(wrong, product, bound)


def test_compare_exact_product():
    """exact_product has far more than float64's digits: it sees what a float64 sum loses."""
    A, B = np.array([[1e17, 1.0, -1e17]]), np.ones((3, 1))
    hi, lo = exact_product(A, B)
    assert hi + lo == 1.0
    assert normwise([3.0], [2.0]) == 0.5
    assert gamma(2, np.float64) > 2 * unit(np.float64) == 2.0**-52


# ---- forward -------------------------------------------------------------------------------------


@TYPES
def test_forward_lies_within_the_bound(isa, dtype):
    """z = A W + b within gamma(256 + K/256) of the exact sum, for 80 shapes."""
    for shape in shapes(0, 40):
        A, W = operands(shape, dtype)
        b = np.random.default_rng(1).normal(size=shape[2]).astype(dtype)
        _, z = layer_forward(A, theta_of(W), shape[2], False)
        assert_within(z, exact(A, W), product_bound(A, W, dtype))
        _, z = layer_forward(A, theta_of(W, b), shape[2], True)
        longer = np.hstack([A, np.ones((len(A), 1), dtype)]), np.vstack([W, b])
        assert_within(z, exact(*longer), product_bound(*longer, dtype, extra=1))


@TYPES
def test_forward_keeps_clear_of_the_bound_on_random_data(isa, dtype):
    """Regression guard: random data never err by more than 8 u |A| |W|, whatever K."""
    for shape in ((64, 64, 64), (33, 500, 65), (7, 2000, 17)):
        A, W = operands(shape, dtype)
        _, z = layer_forward(A, theta_of(W), shape[2], False)
        assert_within(z, exact(A, W), 8 * unit(dtype) * (np.abs(A) @ np.abs(W)))


@given(
    n=st.integers(1, 40), k=st.integers(1, 300), o=st.integers(1, 70), seed=st.integers(0, 2**32),
    dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_integer_products_are_exact(n, k, o, seed, dtype):
    """Integer data with K max|a| max|b| < 2^24 give the int64 product, forward and gradient."""
    rng = np.random.default_rng(seed)
    most = int(np.sqrt((2**24 - 1) // k))
    A, W = rng.integers(-most, most + 1, (n, k)), rng.integers(-most, most + 1, (k, o))
    assert k * np.abs(A).max() * np.abs(W).max() < 2**24
    product = A @ W
    assert np.count_nonzero(product) >= 0.1 * product.size, "data that prove nothing"
    _, z = layer_forward(A.astype(dtype), theta_of(W.astype(dtype)), o, False)
    assert (z == product).all()
    d_w, d_b = layer_gradient(np.ascontiguousarray(A.T.astype(dtype)), W.astype(dtype))
    assert (d_w == product).all()
    assert (d_b == W.sum(axis=0)).all()


@TYPES
def test_activation_is_applied_to_z(isa, dtype):
    """a is f(z) of the z that comes out, for every activation; each softmax row sums to 1."""
    A, W = operands((9, 20, 19), dtype)
    one_ulp = 2 * unit(dtype)
    for name in ("identity", "sigmoid", "tanh", "relu", "softmax"):
        a, z = layer_forward(A, theta_of(W), 19, False, name)
        z = z.astype(np.float64)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        expected = {
            "identity": z, "sigmoid": 1 / (1 + np.exp(-z)), "tanh": np.tanh(z),
            "relu": np.maximum(z, 0), "softmax": e / e.sum(axis=1, keepdims=True),
        }[name]  # fmt: skip
        tolerance = 24 * one_ulp if name == "softmax" else 4 * one_ulp
        assert_within(a, expected, tolerance * np.abs(expected))
        if name == "softmax":
            assert_within(a.astype(np.float64).sum(axis=1), np.ones(9), 2 * one_ulp * np.sqrt(19))


# ---- delta and gradient ----------------------------------------------------------------------


@TYPES
def test_delta_lies_within_the_bound(isa, dtype):
    """(D W^T) f'(a) within the bound, a few roundings more for f'."""
    derivatives = {
        "identity": np.ones_like, "sigmoid": lambda a: a * (1 - a), "tanh": lambda a: 1 - a * a,
        "relu": lambda a: (a > 0) * 1.0,
    }  # fmt: skip
    for shape in shapes(2, 30):
        n, _k, i = shape
        D, Wt = operands(shape, dtype)
        a = read_only(np.random.default_rng(3).random((n, i)).astype(dtype) % dtype(0.9))
        product = exact(D, Wt)
        product = product if isinstance(product, tuple) else (product, 0.0)
        bound = product_bound(D, Wt, dtype, extra=6)
        for name, derivative in derivatives.items():
            got, kept = guarded((n, i), dtype)
            W = np.ascontiguousarray(Wt.T)
            _dense.delta(got, D, a, theta_of(W), _backprop.ACTIVATIONS[name])
            assert kept()
            slope = derivative(a.astype(np.float64))
            expected = tuple(part * slope for part in product)
            assert_within(got, expected, bound * np.abs(slope))


@TYPES
def test_gradient_lies_within_the_bound(isa, dtype):
    """A^T D and the sums of D within the bound, for batches around the block of 256 rows too."""
    for shape in [*shapes(4, 30), (17, 600, 33)]:
        At, D = operands(shape, dtype)
        d_w, d_b = layer_gradient(np.ascontiguousarray(At.T), D)
        assert_within(d_w, exact(At, D), product_bound(At, D, dtype))
        ones = np.ones((1, shape[1]), dtype)
        assert_within(d_b[None], exact(ones, D), product_bound(ones, D, dtype))


@TYPES
def test_rows_and_columns_do_not_meet(isa, dtype):
    """NaN and Inf in one row or column stay in that row or column: pad lanes never leak."""
    A, W = (x.copy() for x in operands((21, 18, 35), dtype))
    A[4, 3], W[5, 7] = np.nan, np.inf
    _, z = layer_forward(A, theta_of(W), 35, False)
    bad = ~np.isfinite(z)
    assert bad[4].all() and bad[:, 7].all()
    bad[4], bad[:, 7] = False, False
    assert not bad.any()
    d_w, d_b = layer_gradient(A, np.ascontiguousarray(z))
    assert np.isfinite(np.delete(d_b, 7)).sum() == 0  # row 4 of z is NaN everywhere
    z[4] = 0
    A[4] = 0
    d_w, d_b = layer_gradient(A, np.ascontiguousarray(z))
    assert not np.isfinite(d_w[:, 7]).any() and np.isfinite(np.delete(d_w, 7, axis=1)).all()


def test_too_short_arrays_are_refused():
    """theta, dW and db without their spare elements raise ValueError."""
    A, D = np.ones((3, 4)), np.ones((3, 2))
    with pytest.raises(ValueError, match="spare elements"):
        _dense.forward(D.copy(), D.copy(), A, np.ones(8 + SPARE - 1), False, 0)
    with pytest.raises(ValueError, match="spare elements"):
        _dense.gradient(np.ones(8 + SPARE), np.ones(2), A, D)
