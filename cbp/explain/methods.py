"""Six ways to one gradient, done for real, with every operation counted where it happens.

What lives here: the ways themselves, on the partials of a `Graph`. They are written to be read
beside the article, not to be fast; the compiled core is fast. What must not: the formulas that say
beforehand what is counted here; see `formulas`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import local
from .chains import coupled, walks
from .formulas import Work
from .names import check_graph, unknown

if TYPE_CHECKING:
    from .nodes import Graph

__all__ = ["METHODS", "Derived", "derive"]

STEP = 1e-6  # of finite differences


class Derived(NamedTuple):
    """What `derive` returns.

    Attributes
    ----------
    gradient : ndarray, (n_parameters,)
        In the order of ``net.parameters``.
    work : Work
        Counted while it was done.
    seconds : float
    """

    gradient: NDArray[np.float64]
    work: Work
    seconds: float


class _Count:
    """Does arithmetic, and counts it."""

    def __init__(self) -> None:
        self.passes = self.visits = self.multiplications = self.additions = 0

    def product(self, a: float, b: float) -> float:
        self.multiplications += 1
        return a * b

    def total(self, terms: list[float]) -> float:
        """Return the sum; the first term is not added to anything. 0 if a mask leaves none."""
        if not terms:
            return 0.0
        result = terms[0]
        for term in terms[1:]:
            result += term
            self.additions += 1
        return result

    def products(
        self, a: NDArray[np.float64], b: NDArray[np.float64] | float
    ) -> NDArray[np.float64]:
        result: NDArray[np.float64] = a * b
        self.multiplications += result.size
        return result

    def row_times_matrix(
        self, a: NDArray[np.float64], W: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        result: NDArray[np.float64] = a @ W
        self.multiplications += W.size
        self.additions += (len(a) - 1) * len(result)
        return result

    def sum(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = a + b
        self.additions += result.size
        return result

    def work(self) -> Work:
        return Work(self.passes, self.visits, self.multiplications, self.additions)


def derive(graph: Graph, method: str = "delta") -> Derived:
    """Return the whole gradient, worked out in one of several ways, and what that took.

    Parameters
    ----------
    graph : Graph
    method : str
        - "paths": every weight on its own, every path multiplied out (the article's "forward").
        - "recursion": every weight on its own by δ = f' Σ w δ, from the top, nothing kept.
        - "memo": the same recursion, but every δ is kept once it is known (top-down).
        - "delta": δ's from the last layer to the first (bottom-up): back-propagation.
        - "forward": forward-mode differentiation, the tangent (dual number) of one weight after
          another; each begins at its own unit.
        - "forward_dense": the same, carried through the whole net, zeros and all.
        - "one_sided", "central": finite differences of the loss, step 1e-6.

    Returns
    -------
    Derived

    Raises
    ------
    TypeError
        `graph` is no Graph.
    ValueError
        There is no such method.
    RecursionError
        "recursion" or "memo" of some hundreds of layers.

    Examples
    --------
    >>> import cbp
    >>> net = cbp.Network([2, 2, 2], "sigmoid", "sigmoid", bias=False, seed=1)
    >>> g = cbp.explain.graph(net, [1, 2], [0, 1], "squared_error")
    >>> [cbp.explain.derive(g, way).work.multiplications for way in ("paths", "forward", "delta")]
    [40, 44, 16]
    """
    check_graph(graph)
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(unknown(method, "method", METHODS))
    count = _Count()
    start = time.perf_counter()
    try:
        gradient = METHODS[method](graph, count)
    except RecursionError:
        raise RecursionError(
            f'"{method}" asks layer after layer, and {len(graph.z):,} layers are deeper than '
            'Python\'s stack; "delta" gives the same products without asking.'
        ) from None
    seconds = time.perf_counter() - start
    return Derived(graph.vector(gradient), count.work(), seconds)


def _by_paths(g: Graph, count: _Count) -> list[float]:
    """Every path of every weight multiplied out from one end to the other."""
    loss_slope, last = g.loss_slope.tolist(), len(g.z) - 1
    slopes = [slope.tolist() for slope in g.slopes]
    weights = [W.tolist() for W in g.weights]
    joint = coupled(g)
    gradient = []
    for layer, i, j in g.places.values():
        count.passes += 1
        first = 1.0 if i is None else float(g.a[layer][i])
        products = []
        for walk in walks(g, layer, j):
            factors, unit = [first], j
            for at in range(layer, last):
                follower = walk[at - layer]
                factors += [slopes[at][unit], weights[at + 1][unit][follower]]
                unit = follower
            k = walk[-1] if joint else unit
            factors += [slopes[last][unit][k] if joint else slopes[last][unit], loss_slope[k]]
            product = factors[0]
            count.visits += 1
            for factor in factors[1:]:
                product *= factor
                count.multiplications += 1
                count.visits += 1
            products.append(product)
        gradient.append(count.total(products))
    return gradient


def _recursion(g: Graph, count: _Count, keep: bool) -> Callable[[int, int], float]:
    """Return the function δ(layer, unit), which asks itself for the δ's of the next layer."""
    last = len(g.z) - 1

    def delta(layer: int, j: int) -> float:
        count.visits += 1
        if layer == last:
            slope = g.slopes[last][j]
            if not coupled(g):
                return count.product(float(slope), float(g.loss_slope[j]))
            return count.total([count.product(float(s), float(d))
                                for s, d in zip(slope, g.loss_slope)])  # fmt: skip
        weights = g.weights[layer + 1][j]
        terms = [count.product(float(w), asked(layer + 1, k)) for k, w in enumerate(weights)]
        return count.product(float(g.slopes[layer][j]), count.total(terms))

    asked = cache(delta) if keep else delta
    return asked


def _by_recursion(g: Graph, count: _Count) -> list[float]:
    """∂L/∂w = δ · a for every weight, its δ worked out anew."""
    delta = _recursion(g, count, keep=False)
    gradient = []
    for layer, i, j in g.places.values():
        count.passes += 1
        partial = 1.0 if i is None else float(g.a[layer][i])
        gradient.append(count.product(delta(layer, j), partial))
    return gradient


def _by_memo(g: Graph, count: _Count) -> list[float]:
    """∂L/∂w = δ · a, top-down: each δ is worked out when it is first asked for, and kept."""
    delta = _recursion(g, count, keep=True)
    count.passes += 1
    return [
        delta(layer, j) if i is None else count.product(delta(layer, j), float(g.a[layer][i]))
        for layer, i, j in g.places.values()
    ]


def _by_delta(g: Graph, count: _Count) -> list[float]:
    """Bottom-up: the δ's of the last layer first, then layer by layer; then ∂L/∂w = δ · a."""
    last = len(g.z) - 1
    deltas: list[list[float]] = [[] for _ in g.z]
    count.passes += 1
    for layer in reversed(range(last + 1)):
        for j, slope in enumerate(g.slopes[layer]):
            count.visits += 1
            if layer == last and coupled(g):
                terms = [count.product(float(s), float(d)) for s, d in zip(slope, g.loss_slope)]
                deltas[layer].append(count.total(terms))
            elif layer == last:
                deltas[layer].append(count.product(float(slope), float(g.loss_slope[j])))
            else:
                pairs = zip(g.weights[layer + 1][j], deltas[layer + 1])
                terms = [count.product(float(w), d) for w, d in pairs]
                deltas[layer].append(count.product(float(slope), count.total(terms)))
    return [
        deltas[layer][j] if i is None else count.product(deltas[layer][j], float(g.a[layer][i]))
        for layer, i, j in g.places.values()
    ]


def _tangent(
    slope: NDArray[np.float64], dz: NDArray[np.float64], count: _Count
) -> NDArray[np.float64]:
    """Return the tangents of a layer's outputs for those of its z."""
    count.visits += len(dz)
    return count.products(slope, dz) if slope.ndim == 1 else count.row_times_matrix(dz, slope)


def _loss_tangent(g: Graph, da: NDArray[np.float64], count: _Count) -> float:
    """Return the tangent of L for those of the outputs."""
    count.visits += 1
    return float(count.row_times_matrix(da, g.loss_slope[: len(da), np.newaxis])[0])


def _forward(g: Graph, count: _Count) -> list[float]:
    """Forward mode: ∂/∂w of every node that w reaches, from w's own unit to L."""
    last = len(g.z) - 1
    gradient = []
    for layer, i, j in g.places.values():
        count.passes += 1
        dz = count.product(1.0 if i is None else float(g.a[layer][i]), 1.0)  # ∂z/∂w · ∂w/∂w
        count.visits += 1
        slope = g.slopes[layer][j]
        if layer == last:
            outputs = slice(None) if coupled(g) else slice(j, j + 1)
            da = count.products(np.atleast_1d(slope), dz)
            count.visits += len(da)
            count.visits += 1
            products = count.products(da, g.loss_slope[outputs])
            gradient.append(count.total(products.tolist()))
            continue
        count.visits += 1
        dh = count.product(float(slope), dz)
        tangents = count.products(g.weights[layer + 1][j], dh)
        count.visits += len(tangents)
        da = _tangent(g.slopes[layer + 1], tangents, count)
        for at in range(layer + 2, last + 1):
            tangents = count.row_times_matrix(da, g.weights[at])
            count.visits += len(tangents)
            da = _tangent(g.slopes[at], tangents, count)
        gradient.append(_loss_tangent(g, da, count))
    return gradient


def _forward_dense(g: Graph, count: _Count) -> list[float]:
    """Forward mode without a thought for zeros: every node's tangent for every weight."""
    gradient = []
    for layer, i, j in g.places.values():
        count.passes += 1
        da = np.zeros(g.sizes[0])
        for at, (W, slope) in enumerate(zip(g.weights, g.slopes)):
            dz = count.row_times_matrix(da, W)
            count.visits += len(dz)
            if at == layer:
                seed = 1.0 if i is None else g.a[layer][i]
                dz[j : j + 1] = count.sum(dz[j : j + 1], np.array([seed]))
            da = _tangent(slope, dz, count)
        gradient.append(_loss_tangent(g, da, count))
    return gradient


class _Loss:
    """L as a function of the parameters, which are changed one at a time."""

    def __init__(self, g: Graph, count: _Count) -> None:
        self.g, self.count = g, count
        self.weights = [W.copy() for W in g.weights]
        self.biases = [None if b is None else b.copy() for b in g.biases]

    def __call__(self) -> float:
        """Return L: one forward pass."""
        g, count = self.g, self.count
        count.passes += 1
        a = g.x
        for W, b, activation in zip(self.weights, self.biases, g.functions):
            z = count.row_times_matrix(a, W)
            if b is not None:
                z = count.sum(z, b)
            a = local.activate(activation, z)
            count.visits += len(z) + len(a)
        count.visits += 1
        # Of every output: the difference to its target, its square; then the sum.
        count.additions += len(a) + (len(a) - 1)
        count.multiplications += len(a)
        return g.share * g.head.value(z, a, g.t)

    def moved(self, place: tuple[int, int | None, int], step: float) -> float:
        """Return L with one parameter moved by `step`."""
        layer, i, j = place
        array = self.biases[layer] if i is None else self.weights[layer][i]
        assert array is not None
        before = array[j]
        array[j] = before + step
        self.count.additions += 1
        value = self()
        array[j] = before
        return value


def _one_sided(g: Graph, count: _Count) -> list[float]:
    """(L(w + step) - L(w)) / step."""
    loss = _Loss(g, count)
    here = loss()
    gradient = []
    for place in g.places.values():
        count.additions += 1
        gradient.append((loss.moved(place, STEP) - here) / STEP)
    return gradient


def _central(g: Graph, count: _Count) -> list[float]:
    """(L(w + step) - L(w - step)) / 2 step."""
    loss = _Loss(g, count)
    gradient = []
    for place in g.places.values():
        count.additions += 1
        gradient.append((loss.moved(place, STEP) - loss.moved(place, -STEP)) / (2 * STEP))
    return gradient


METHODS: dict[str, Callable[[Graph, _Count], list[float]]] = {
    "paths": _by_paths,
    "recursion": _by_recursion,
    "memo": _by_memo,
    "delta": _by_delta,
    "forward": _forward,
    "forward_dense": _forward_dense,
    "one_sided": _one_sided,
    "central": _central,
}
