"""One weight, path by path: the chain rule written out along every path from the weight to L.

What lives here: the paths of one weight or bias, their factors, and how they are written. This is
the article's "forward" way to a gradient, which works out the same factors again and again.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ._typeset import integer
from .formulas import as_integer
from .names import check_graph, latex

if TYPE_CHECKING:
    from .nodes import Graph

__all__ = ["Path", "Paths", "coupled", "full", "n_paths", "paths", "shown", "walks"]

LIMIT = 10**6
_SHOWN = 20  # paths that are written out, unless more are asked for


class Path(NamedTuple):
    """One path from a weight to L.

    Attributes
    ----------
    nodes : tuple of str
        What it passes, in the order of the forward pass: "x2", "z1", "h1", "z3", "y1", "L"; a
        bias's path begins at its z.
    factors : tuple of (str, float)
        Name and value of every partial derivative, from L down to the weight, as the chain rule is
        written: ("∂L/∂y1", 0.301...), ..., ("∂z1/∂w5", -2.0).
    product : float
        The path's share in the gradient.
    """

    nodes: tuple[str, ...]
    factors: tuple[tuple[str, float], ...]
    product: float


class Paths:
    """What `paths` returns: every path from one weight to L.

    Attributes
    ----------
    graph : Graph
    weight : str
    count : int
    paths : tuple of Path
        In the order of the units they pass.
    total : float
        The sum of their products, ∂L/∂weight.
    """

    def __init__(self, graph: Graph, weight: str) -> None:
        self.graph, self.weight = graph, weight
        layer, _, j = graph.place(weight)
        self.count = n_paths(graph, layer, j)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Path]:
        return self._paths()

    def __getitem__(self, index: int) -> Path:
        return self.paths[index]

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Every path, factors and all."""
        return tuple(self._paths())

    def _paths(self) -> Iterator[Path]:
        g = self.graph
        layer, i, j = g.place(self.weight)
        for walk in walks(g, layer, j):
            nodes, factors = _steps(g, self.weight, layer, i, (j, *walk))
            yield Path(nodes, factors, math.prod(value for _, value in factors) + 0.0)

    def _products(self) -> Iterator[float]:
        """Yield every path's product, in the order of its factors, and keep nothing."""
        g = self.graph
        layer, i, j = g.place(self.weight)
        last, joint = len(g.z) - 1, coupled(g)
        slopes, weights = [s.tolist() for s in g.slopes], [W.tolist() for W in g.weights]
        loss_slope, first = g.loss_slope.tolist(), 1.0 if i is None else float(g.a[layer][i])
        for walk in walks(g, layer, j):
            units = (*[None] * layer, j, *walk)  # by layer; behind them the output, if joint
            k, slope = units[-1], slopes[last][units[last]]
            product = loss_slope[k] * (slope[k] if joint else slope)
            for at in range(last - 1, layer - 1, -1):
                product *= weights[at + 1][units[at]][units[at + 1]]
                product *= slopes[at][units[at]]
            yield product * first + 0.0

    @cached_property
    def total(self) -> float:
        """The sum of the products: the gradient."""
        return sum(self._products())

    # ---- as words -------------------------------------------------------------------------------

    def to_text(self, most: int = _SHOWN) -> str:
        """Return the paths as plain text, the first `most` of them in full.

        Examples
        --------
        >>> import cbp
        >>> net = cbp.Network([1, 1], bias=False, dtype="float64")
        >>> net.parameters[:] = 2.0
        >>> print(cbp.explain.paths(cbp.explain.graph(net, 3.0, 5.0), "w1_1_1").to_text())
        ∂L/∂w1_1_1: 1 path
        1. x → z1_1 → y → L
           ∂L/∂y · ∂y/∂z1_1 · ∂z1_1/∂w1_1_1
           1 · 1 · 3 = 3
        """
        lines = [
            f"∂L/∂{self.weight}: {integer(self.count)} {'path' if self.count == 1 else 'paths'}"
        ]
        for number, path in enumerate(itertools.islice(self, most), 1):
            mark = f"{number}. "
            lines.append(mark + " → ".join(path.nodes))
            indent = " " * len(mark)
            lines.append(indent + " · ".join(name for name, _ in path.factors))
            values = " · ".join(shown(value) for _, value in path.factors)
            lines.append(f"{indent}{values} = {full(path.product)}")
        lines += self._rest(most)
        if self.count > 1:
            lines.append(f"sum = {full(self.total)}")
        return "\n".join(lines)

    __str__ = to_text

    def __repr__(self) -> str:
        return f"<Paths of {self.weight}: {integer(self.count)}>"

    def _rest(self, most: int) -> list[str]:
        """Return the sentence on the paths that are not written out, if there are any."""
        if self.count <= most:
            return []
        rest = sum(itertools.islice(self._products(), most, None))
        return [f"... and {integer(self.count - most)} more, together {full(rest)}"]

    def to_latex(self, most: int = _SHOWN) -> str:
        """Return the sum over the paths as a LaTeX `aligned` block: symbols, then numbers."""
        symbols, values, products = [], [], []
        for path in itertools.islice(self, most):
            symbols.append(r" \cdot ".join(_fraction(name) for name, _ in path.factors))
            values.append(r" \cdot ".join(_factor(value) for _, value in path.factors))
            products.append(_tex_number(path.product))
        if self.count > most:
            for terms in (symbols, values, products):
                terms.append(r"\cdots")
        lines = [_fraction(f"∂L/∂{self.weight}")]
        lines[0] += " &= " + " \\\\\n&\\quad + ".join(symbols)
        lines.append("&= " + " \\\\\n&\\quad + ".join(values))
        if self.count > 1:
            lines.append("&= " + _signed(products))
        lines.append(f"&= {_tex_number(self.total)}")
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def to_html(self, most: int = _SHOWN) -> str:
        """Return the paths as an HTML table: a row for each, with its factors and product."""
        rows = []
        for path in itertools.islice(self, most):
            factors = " · ".join(
                f'<span title="{html.escape(name)}">{shown(value)}</span>'
                for name, value in path.factors
            )
            names = " · ".join(html.escape(name) for name, _ in path.factors)
            rows.append(
                f"<tr><td>{' → '.join(map(html.escape, path.nodes))}</td><td>{names}<br>{factors}"
                f"</td><td>{full(path.product)}</td></tr>"
            )
        rows += [f'<tr><td colspan="3">{html.escape(line)}</td></tr>' for line in self._rest(most)]
        return (
            '<table class="cbp-paths"><thead><tr><th>path</th>'
            f"<th>factors of ∂L/∂{html.escape(self.weight)}</th><th>product</th></tr></thead><tbody>"
            + "".join(rows)
            + f'</tbody><tfoot><tr><td colspan="2">sum</td><td>{full(self.total)}</td></tr></tfoot>'
            "</table>"
        )

    _repr_html_ = to_html


def paths(graph: Graph, weight: str, *, limit: int = LIMIT) -> Paths:
    """Return every path from a weight or bias to the loss, with its factors and their product.

    Parameters
    ----------
    graph : Graph
    weight : str
        The name of a weight or bias: one of ``graph.parameters``.
    limit : int
        The most paths that are followed.

    Returns
    -------
    Paths

    Raises
    ------
    TypeError
        An argument is not of its kind.
    ValueError
        There is no such weight, or it has more than `limit` paths.

    Notes
    -----
    A weight of layer l of L has n_{l+1} ... n_L paths of 2 (L - l) + 3 factors each; a softmax
    output, in which each z leads to all y, multiplies the paths by n_L.

    Examples
    --------
    >>> import cbp
    >>> net = cbp.Network([2, 2, 2], "sigmoid", "sigmoid", bias=False, dtype="float64", seed=1)
    >>> ps = cbp.explain.paths(cbp.explain.graph(net, [1, 2], [0, 1], "squared_error"), "w5")
    >>> [" ".join(path.nodes) for path in ps]
    ['x2 z1 h1 z3 y1 L', 'x2 z1 h1 z4 y2 L']
    """
    check_graph(graph)
    limit = as_integer("limit", limit)
    result = Paths(graph, weight)
    if result.count > limit:
        raise ValueError(
            f"{weight} has {integer(result.count)} paths to L, more than the limit of {limit:,}: "
            f"`graph.gradients[{weight!r}]` is their sum, from stored δ's, and "
            "`explain.counts(sizes)` counts without following them."
        )
    return result


def n_paths(graph: Graph, layer: int, j: int = 0) -> int:
    """Return how many paths lead from z j of a layer (both from 0) to L; j matters with masks."""
    behind = graph.masks[layer + 1 :]
    number = graph.sizes[-1] if coupled(graph) else 1
    if all(mask is None for mask in behind):
        return math.prod(graph.sizes[layer + 2 :]) * number
    counts = [number] * graph.sizes[-1]
    for at in reversed(range(layer + 1, len(graph.z))):
        counts = [
            sum(n for k, n in enumerate(counts) if graph.linked(at, i, k))
            for i in range(graph.sizes[at])
        ]
    return counts[j]


def coupled(graph: Graph) -> bool:
    """Whether each output depends on every z of the last layer, as softmax does."""
    return graph.slopes[-1].ndim == 2


def walks(graph: Graph, layer: int, j: int) -> Iterator[tuple[int, ...]]:
    """Yield the units that a path passes behind z j of a layer, and the output it leaves by."""
    behind = [range(n) for n in graph.sizes[layer + 2 :]]
    if coupled(graph):
        behind.append(range(graph.sizes[-1]))
    walks = itertools.product(*behind)
    if all(mask is None for mask in graph.masks[layer + 1 :]):
        return walks
    last = len(graph.z) - 1 - layer

    def there(walk: tuple[int, ...]) -> bool:
        units = (j, *walk[:last])
        return all(
            graph.linked(at, i, k) for at, (i, k) in enumerate(zip(units, units[1:]), layer + 1)
        )

    return filter(there, walks)


def _steps(
    g: Graph, weight: str, layer: int, i: int | None, walk: tuple[int, ...]
) -> tuple[tuple[str, ...], tuple[tuple[str, float], ...]]:
    """Return the nodes, and the factors from L down to the weight, of one path."""
    names, last = g.names, len(g.z) - 1
    z = names.z(layer, walk[0])
    nodes = [z] if i is None else [names.output(layer, i), z]
    factors = [(f"∂{z}/∂{weight}", 1.0 if i is None else float(g.a[layer][i]))]
    for at, unit in enumerate(walk[: last - layer + 1], layer):
        z, slope = names.z(at, unit), g.slopes[at]
        k = walk[-1] if slope.ndim == 2 else unit
        a = names.a(at, k)
        factors.append((f"∂{a}/∂{z}", float(slope[unit, k] if slope.ndim == 2 else slope[unit])))
        nodes.append(a)
        if at == last:
            factors.append((f"∂L/∂{a}", float(g.loss_slope[k])))
            nodes.append("L")
        else:
            follower = walk[at - layer + 1]
            z = names.z(at + 1, follower)
            factors.append((f"∂{z}/∂{a}", float(g.weights[at + 1][unit, follower])))
            nodes.append(z)
    return tuple(nodes), tuple(reversed(factors))


# ---- numbers in words ---------------------------------------------------------------------------


def shown(value: float) -> str:
    """Return a number in six digits, with a true minus sign."""
    return f"{value + 0.0:.6g}".replace("-", "−")


def full(value: float) -> str:
    """Return a number in twelve digits: those that no order of operations changes."""
    return f"{value + 0.0:.12g}".replace("-", "−")


def _fraction(name: str) -> str:
    """Return "∂z1/∂w5" as a LaTeX fraction."""
    above, below = (part.removeprefix("∂") for part in name.split("/"))
    return rf"\frac{{\partial {latex(above)}}}{{\partial {latex(below)}}}"


def _tex_number(value: float) -> str:
    """Return a number as LaTeX writes it, powers of ten included."""
    text = f"{value:.6g}"
    if "e" not in text:
        return text
    digits, power = text.split("e")
    return rf"{digits} \times 10^{{{int(power)}}}"


def _factor(value: float) -> str:
    """Return a factor, in brackets if it is negative."""
    return rf"({_tex_number(value)})" if value < 0 else _tex_number(value)


def _signed(terms: list[str]) -> str:
    """Return terms added up, minus signs in place of "+ -"."""
    return " + ".join(terms).replace("+ -", "- ")
