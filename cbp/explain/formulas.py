"""How much work each way to a gradient is: closed formulas, in Python integers of any size.

What lives here: the formulas, and nothing that walks a graph; `methods` does the work and counts it
where it happens. Multiplications are counted given the local partials, that is, the edges' values.
Layers are numbered k = 1 ... L with n_k units; c_k = n_{k-1} n_k (+ n_k with biases) parameters.

Where the output is softmax, each of its n_L z's leads to all n_L y's: K below is n_L then, else 1.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

__all__ = ["Counts", "Work", "as_integer", "as_integers", "counts"]


class Work(NamedTuple):
    """What one way to the whole gradient takes.

    Attributes
    ----------
    passes : int
        How often the net is gone through: once for every weight, twice, or once for all.
    visits : int
        Nodes at which something is worked out: every node of every path, every δ in the recursions
        (one for each z), every value or tangent of z, h, y and L in a forward pass.
    multiplications, additions : int
    """

    passes: int
    visits: int
    multiplications: int
    additions: int


class Counts(NamedTuple):
    """What `counts` returns.

    Attributes
    ----------
    sizes : tuple of int
    parameters : int
    edges : int
        Partial derivatives; each is used once in reverse.
    paths : int
        Over all weights and biases.
    work : dict of Work
        By method: see `derive`.
    whole : int
        Multiplications of the forward pass, of the derivatives a (1 - a), and of the reverse pass.
    """

    sizes: tuple[int, ...]
    parameters: int
    edges: int
    paths: int
    work: dict[str, Work]
    whole: int


class _Net(NamedTuple):
    """Sizes with what the formulas have in common."""

    n: tuple[int, ...]
    bias: tuple[bool, ...]  # of layers 1 ... L
    K: int

    @property
    def L(self) -> int:
        return len(self.n) - 1

    @property
    def layers(self) -> range:
        return range(1, self.L + 1)

    def c(self, k: int) -> int:
        return (self.n[k - 1] + self.bias[k - 1]) * self.n[k]

    @property
    def p(self) -> int:
        return sum(map(self.c, self.layers))

    @property
    def W(self) -> int:
        return sum(self.n[k - 1] * self.n[k] for k in self.layers)

    @property
    def N(self) -> int:
        return sum(self.n[1:])


def counts(
    sizes: Sequence[int], *, bias: bool | Sequence[bool] = False, softmax: bool = False
) -> Counts:
    """Return how many edges and paths a net has, and what every way to its gradient costs.

    Parameters
    ----------
    sizes : list of int
        Inputs, then units of every layer. No net is made: they may be as large as you like.
    bias : bool or list of bool
        Whether the layers, or each one, have biases. The article's have none.
    softmax : bool
        Whether the output is softmax, in which each z leads to all y.

    Returns
    -------
    Counts

    Raises
    ------
    TypeError
        They are not integers.
    ValueError
        There are fewer than two sizes, or one below 1.

    Notes
    -----
    In the path sum, the recursion and forward mode the factor ∂z/∂b = 1 of a bias is counted as a
    multiplication; with stored δ it is not, since δ itself is the gradient.

    Examples
    --------
    >>> from cbp import explain
    >>> c = explain.counts([10, 10, 10, 10])
    >>> c.work["paths"].multiplications, c.work["delta"].multiplications
    (64200, 530)
    """
    n = tuple(as_integers("sizes", sizes))
    if len(n) < 2 or min(n) < 1:
        raise ValueError(
            "`sizes` must name the inputs and at least one layer, each with 1 unit or more, "
            f"got {list(sizes)}."
        )
    biases = (bias,) * (len(n) - 1) if isinstance(bias, bool) else tuple(map(bool, bias))
    if len(biases) != len(n) - 1:
        raise ValueError(f"`bias` must name {len(n) - 1} layers, got {len(biases)}.")
    net = _Net(n, biases, n[-1] if softmax else 1)
    work = {name: formula(net) for name, formula in FORMULAS.items()}
    N_L = n[-1]
    edges = net.p + net.W - n[0] * n[1] + net.N + N_L * net.K
    number = sum(net.c(k) * _paths(net, k) for k in net.layers)
    whole = work["delta"].multiplications + net.W + net.N
    return Counts(n, net.p, edges, number, work, whole)


def as_integer(name: str, value: int) -> int:
    """Return a Python integer, or refuse a value of another kind by this name."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be an integer, got {value!r}.") from None


def as_integers(name: str, values: Iterable[int]) -> list[int]:
    """Return a list of Python integers, or refuse what is none by this name."""
    if not isinstance(values, Iterable):
        raise TypeError(f"`{name}` must be a list of integers, got {values!r}.")
    return [as_integer(f"{name}[{k}]", value) for k, value in enumerate(values)]


def _paths(net: _Net, k: int) -> int:
    """P_k: paths from one parameter of layer k to L."""
    return math.prod(net.n[k + 1 :]) * net.K


def _by_paths(net: _Net) -> Work:
    """e_k = 2 (L - k) + 3 factors on every path, multiplied anew on each."""
    visits = mults = adds = 0
    for k in net.layers:
        P, e = _paths(net, k), 2 * (net.L - k) + 3
        visits += net.c(k) * P * e
        mults += net.c(k) * P * (e - 1)
        adds += net.c(k) * (P - 1)
    return Work(net.p, visits, mults, adds)


def _by_recursion(net: _Net) -> Work:
    """T_k = 1 + n_{k+1} T_{k+1} calls, M_k = n_{k+1} (M_{k+1} + 1) + 1 multiplications for one δ."""
    T, M, A = 1, net.K, net.K - 1
    visits = mults = adds = 0
    for k in reversed(net.layers):
        if k < net.L:
            n = net.n[k + 1]
            T, M, A = 1 + n * T, n * (M + 1) + 1, n * (A + 1) - 1
        visits += net.c(k) * T
        mults += net.c(k) * (M + 1)
        adds += net.c(k) * A
    return Work(net.p, visits, mults, adds)


def _by_delta(net: _Net) -> Work:
    """N + (W - n_0 n_1) + W multiplications: every edge once."""
    n_L = net.n[-1]
    mults = net.N + n_L * (net.K - 1) + (net.W - net.n[0] * net.n[1]) + net.W
    adds = sum(net.n[k] * (net.n[k + 1] - 1) for k in range(1, net.L)) + n_L * (net.K - 1)
    return Work(1, net.N, mults, adds)


def _forward_sparse(net: _Net) -> Work:
    """One tangent for each parameter, which begins at one unit."""
    n, L, K = net.n, net.L, net.K
    visits = mults = adds = 0
    for k in net.layers:
        if k == L:  # z, the outputs that it reaches, L
            visited, m, a = 2 + K, 1 + K + K, K - 1
        else:
            visited = 3 + 2 * sum(n[k + 1 :])
            m = 2 + n[k + 1] * (1 + (K if k + 1 == L else 1)) + n[L]
            m += sum(
                n[at - 1] * n[at] + n[at] * (K if at == L else 1) for at in range(k + 2, L + 1)
            )
            a = sum(n[at] * (n[at - 1] - 1) for at in range(k + 2, L + 1))
            a += n[L] * (K - 1) + n[L] - 1
        visits += net.c(k) * visited
        mults += net.c(k) * m
        adds += net.c(k) * a
    return Work(net.p, visits, mults, adds)


def _forward_dense(net: _Net) -> Work:
    """One tangent for each parameter through the whole net, zeros and all."""
    n_L = net.n[-1]
    mults = net.W + net.N + n_L * (net.K - 1) + n_L
    adds = net.W - net.N + 1 + n_L * (net.K - 1) + n_L - 1
    return Work(net.p, net.p * (2 * net.N + 1), net.p * mults, net.p * adds)


def _one_sided(net: _Net) -> Work:
    return _differences(net, net.p + 1, net.p)


def _central(net: _Net) -> Work:
    return _differences(net, 2 * net.p, 2 * net.p)


def _differences(net: _Net, passes: int, moved: int) -> Work:
    """W multiply-adds and n_L squarings a pass; the moved weight and the difference are added."""
    n, n_L = net.n, net.n[-1]
    adds = net.W - net.N + sum(n[k] for k in net.layers if net.bias[k - 1]) + 2 * n_L - 1
    return Work(
        passes, passes * (2 * net.N + 1), passes * (net.W + n_L), passes * adds + moved + net.p
    )


FORMULAS: dict[str, Callable[[_Net], Work]] = {
    "paths": _by_paths,
    "recursion": _by_recursion,
    "memo": _by_delta,
    "delta": _by_delta,
    "forward": _forward_sparse,
    "forward_dense": _forward_dense,
    "one_sided": _one_sided,
    "central": _central,
}
