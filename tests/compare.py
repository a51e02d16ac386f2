"""Error bounds, stated once: what a computed product may differ from the exact one.

    |got - exact| <= c gamma(m) (|A| |B|),  gamma(m) = m u / (1 - m u),  u = eps / 2

A chain of k roundings is off by at most gamma(k); the contract's sums are chains of up to 256 terms
whose results are added in order, so m = 256 + K/256 for K terms (fewer where K is smaller).
Reference: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 3.1 and 4.2.
"""

from __future__ import annotations

import numpy as np
from oracle import two_product, two_sum

BLOCK = 256


def unit(dtype) -> float:
    """u, half the distance from 1 to the next number."""
    return float(np.finfo(dtype).eps) / 2


def gamma(m: float, dtype) -> float:
    """gamma(m) of the given type."""
    return m * unit(dtype) / (1 - m * unit(dtype))


def exact_product(A, B):
    """(hi, lo) with hi + lo = A B to about twice float64's digits, for float64 A and B."""
    hi, lo = np.zeros((A.shape[0], B.shape[1])), np.zeros((A.shape[0], B.shape[1]))
    for k in range(A.shape[1]):
        p, e = two_product(A[:, k, None], B[None, k])
        hi, e2 = two_sum(hi, p)
        lo += e + e2
    return hi, lo


def product_bound(A, B, dtype, c: float = 1.0, extra: int = 0):
    """The bound of each element of A B; `extra` roundings may follow the sum."""
    k = A.shape[1]
    m = min(k, BLOCK) + -(-k // BLOCK) + extra
    return c * gamma(m, dtype) * (np.abs(A) @ np.abs(B))


def assert_within(got, exact, bound) -> None:
    """Fail unless got has exact's shape and every element lies within its bound.

    `exact` is an array, or a pair (hi, lo) whose sum is meant.
    """
    hi, lo = exact if isinstance(exact, tuple) else (exact, 0.0)
    assert got.shape == hi.shape, f"shape {got.shape}, expected {hi.shape}"
    error = np.abs((got.astype(np.float64) - hi) - lo)
    worst = error - bound
    if not (worst <= 0).all():  # NaN fails too
        at = np.unravel_index(np.nanargmax(np.where(np.isnan(worst), np.inf, worst)), got.shape)
        raise AssertionError(
            f"element {tuple(map(int, at))}: got {got[at]!r}, expected {hi[at]!r}, "
            f"error {error[at]:.3g} above the bound {np.broadcast_to(bound, got.shape)[at]:.3g}"
        )


def normwise(got, expected) -> float:
    """|got - expected| / |expected| in the Euclidean norm; absolute where expected is 0."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    assert got.shape == expected.shape
    return float(np.linalg.norm(got - expected) / (np.linalg.norm(expected) or 1.0))
