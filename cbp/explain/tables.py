"""Forward against backward in one table: what every way to a gradient takes, counted and foretold.

What lives here: `compare`, which does the work, `growth`, which foretells it for deeper and deeper
nets, and how both are printed, shown and plotted.
"""

from __future__ import annotations

import html
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

import cbp

from ._typeset import integer_in_powers
from .building import graph
from .chains import coupled, n_paths
from .formulas import Counts, Work, as_integer, as_integers, counts
from .methods import derive
from .nodes import Graph

__all__ = ["Comparison", "Growth", "Row", "compare", "growth", "pyplot"]

WORDS = {
    "paths": "path by path",
    "recursion": "recursion, nothing kept",
    "memo": "recursion with memo (top-down)",
    "delta": "stored δ (bottom-up)",
    "forward": "forward mode, from the weight on",
    "forward_dense": "forward mode, whole net",
    "one_sided": "differences, one-sided",
    "central": "differences, central",
}
_REPEATS = 5  # of the compiled core, whose best time is told


class Row(NamedTuple):
    """One way to the gradient.

    Attributes
    ----------
    method : str
        As `derive` calls it; "compiled" is ``net.gradient``, whose operations nobody counts.
    formula : Work or None
        What it takes, by the formulas; None where a mask leaves weights out, since those are of
        dense nets.
    counted : Work or None
        What it took; None if it was not done.
    difference : float or None
        Largest distance of a gradient's element from the compiled core's.
    seconds : float or None
    """

    method: str
    formula: Work | None
    counted: Work | None
    difference: float | None
    seconds: float | None

    @property
    def words(self) -> str:
        """The method in plain words."""
        return WORDS.get(self.method, "compiled core (stored δ)")


class Comparison:
    """What `compare` returns: a table that prints itself.

    Attributes
    ----------
    graph : Graph
    rows : tuple of Row
    agree : bool
        Whether every count equals its formula, as integers.
    largest_difference : float
        Over all ways that were done but finite differences, which are not exact.
    """

    def __init__(self, graph: Graph, rows: Sequence[Row]) -> None:
        self.graph, self.rows = graph, tuple(rows)

    @property
    def agree(self) -> bool:
        """Whether every count equals its formula."""
        return all(r.counted == r.formula for r in self.rows if r.counted and r.formula)

    @property
    def largest_difference(self) -> float:
        """Of an exact way from the compiled core."""
        exact = [row for row in self.rows if row.method not in ("one_sided", "central")]
        return max(row.difference for row in exact if row.difference is not None)

    def _table(self) -> tuple[list[str], list[list[str]]]:
        header = [
            "way", "passes", "visits", "multiplications", "by formula", "additions", "by formula",
            "difference", "seconds",
        ]  # fmt: skip
        lines = []
        for row in self.rows:
            cells = [row.words]
            done, said = row.counted, row.formula
            known = done or said
            cells += [_integer(known and known.passes), _integer(known and known.visits)]
            for name in ("multiplications", "additions"):
                cells += [_integer(getattr(done, name, None)), _integer(getattr(said, name, None))]
            cells.append("-" if row.difference is None else f"{row.difference:.1e}")
            cells.append("not done" if row.seconds is None else f"{row.seconds:.2e}")
            lines.append(cells)
        return header, lines

    def _title(self) -> str:
        g = self.graph
        paths = sum(n_paths(g, layer, j) * _into(g, layer, j)
                    for layer, z in enumerate(g.z) for j in range(len(z)))  # fmt: skip
        return (
            f"{g.names.sizes_in_words}: one gradient of {len(g.places):,} numbers, "
            f"{g.n_edges:,} edges, {_integer(paths)} paths"
        )

    def __str__(self) -> str:
        return f"{self._title()}\n{text_table(*self._table())}"

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.rows)} ways to the gradient of {self.graph!r}>"

    def to_html(self) -> str:
        """Return the table as HTML."""
        return html_table(self._title(), *self._table())

    _repr_html_ = to_html

    def plot(self, ax: Any = None) -> Any:
        """Draw the multiplications of every way as bars on a logarithmic axis; return the axes.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        work = {row.words: row.formula or row.counted for row in self.rows[::-1]}
        counts = {words: w.multiplications for words, w in work.items() if w}
        counts = {words: n for words, n in counts.items() if math.isfinite(_float(n))}
        ax = ax if ax is not None else pyplot().subplots(layout="constrained")[1]
        bars = ax.barh(list(counts), list(map(float, counts.values())))
        ax.bar_label(bars, list(map(_integer, counts.values())), padding=4)
        ax.set_xscale("log")
        room = 1.75 * math.log10(max(counts.values())) + 0.2  # for the longest bar's label
        ax.set_xlim(1.0, 10.0 ** min(room, 308.0))
        ax.minorticks_off()
        ax.set_xlabel("multiplications for one gradient")
        ax.set_title(self.graph.names.sizes_in_words)
        return ax


def compare(
    net: cbp.Network,
    x: ArrayLike,
    t: ArrayLike,
    loss: str | Any = "auto",
    *,
    limit: int = 5 * 10**6,
) -> Comparison:
    """Return a table of all ways to one gradient: counts, differences and seconds.

    Parameters
    ----------
    net : Network
    x : array_like, (n_inputs,)
    t : array_like, (n_outputs,)
    loss : str or loss object
        As in `graph`.
    limit : int
        A way that visits more nodes than this is not done; its row holds the formulas alone. The
        default takes seconds. Nor is a recursion that is deeper than Python's stack.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        As `graph`.

    Examples
    --------
    >>> import cbp
    >>> net = cbp.Network([2, 2, 2], "sigmoid", "sigmoid", bias=False, seed=1)
    >>> table = cbp.explain.compare(net, [1.5, -2.0], [0.25, 0.75], "squared_error")
    >>> table.agree, table.largest_difference < 1e-15
    (True, True)
    """
    g = graph(net, x, t, loss)
    target = g.t[np.newaxis]
    compiled = g.net.loss_and_gradient(g.x, target, g.loss)[1] * g.vector(1.0)
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        g.net.loss_and_gradient(g.x, target, g.loss)
        seconds.append(time.perf_counter() - start)
    rows = []
    dense = all(mask is None for mask in g.masks)
    for method, formula in _counts(g).work.items():
        said = formula if dense else None
        if formula.visits > limit:
            rows.append(Row(method, said, None, None, None))
            continue
        try:
            done = derive(g, method)
        except RecursionError:
            rows.append(Row(method, said, None, None, None))
            continue
        difference = float(np.abs(done.gradient - compiled).max())
        rows.append(Row(method, said, done.work, difference, done.seconds))
    rows.append(Row("compiled", None, None, 0.0, min(seconds)))
    return Comparison(g, rows)


def _into(g: Graph, layer: int, j: int) -> int:
    """Return how many parameters lead straight into a z."""
    mask = g.masks[layer]
    weights = g.sizes[layer] if mask is None else int(mask[:, j].sum())
    return weights + (g.biases[layer] is not None)


def _counts(g: Graph) -> Counts:
    bias = [b is not None for b in g.biases]
    return counts(g.sizes, bias=bias, softmax=coupled(g))


class Growth:
    """What `growth` returns: the work by depth, a table that prints itself.

    Attributes
    ----------
    width : int
    depths : tuple of int
    work : tuple of dict of Work
        By method, one dict for each depth.
    """

    METHODS = ("paths", "recursion", "central", "forward", "delta")

    def __init__(self, width: int, depths: Sequence[int], bias: bool) -> None:
        self.width, self.depths = width, tuple(depths)
        self.work = tuple(counts([width] * (L + 1), bias=bias).work for L in self.depths)

    def multiplications(self, method: str) -> list[int]:
        """Return the multiplications of a method, one integer for each depth."""
        return [work[method].multiplications for work in self.work]

    def _table(self) -> tuple[list[str], list[list[str]]]:
        header = ["layers", *(WORDS[method] for method in self.METHODS)]
        columns = [self.multiplications(method) for method in self.METHODS]
        lines = [
            [str(depth), *map(_integer, numbers)] for depth, *numbers in zip(self.depths, *columns)
        ]
        return header, lines

    def _title(self) -> str:
        return f"multiplications for one gradient, {self.width} units in every layer"

    def __str__(self) -> str:
        return f"{self._title()}\n{text_table(*self._table())}"

    def __repr__(self) -> str:
        return f"<Growth of width {self.width}, depths {list(self.depths)}>"

    def to_html(self) -> str:
        """Return the table as HTML."""
        return html_table(self._title(), *self._table())

    _repr_html_ = to_html

    def plot(self, ax: Any = None) -> Any:
        """Draw the work over the depth, logarithmically; return the axes.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        ax = ax if ax is not None else pyplot().subplots(layout="constrained")[1]
        for method in self.METHODS:
            ax.plot(self.depths, list(map(_float, self.multiplications(method))), ".-",
                    label=WORDS[method])  # fmt: skip
        ax.set_yscale("log")
        ax.set_xlabel("layers")
        ax.set_ylabel("multiplications for one gradient")
        ax.set_title(f"{self.width} units in every layer")
        ax.legend()
        return ax


def growth(width: int, depths: Iterable[int], *, bias: bool = False) -> Growth:
    """Return how the work for one gradient grows with depth, by the formulas.

    Parameters
    ----------
    width : int
        Units of every layer, inputs and outputs included.
    depths : iterable of int
        Numbers of layers.
    bias : bool

    Returns
    -------
    Growth

    Raises
    ------
    TypeError
        They are not integers.
    ValueError
        A width or depth below 1.

    Examples
    --------
    >>> from cbp import explain
    >>> g = explain.growth(10, range(1, 5))
    >>> g.multiplications("paths"), g.multiplications("delta")
    ([200, 4200, 64200, 864200], [110, 320, 530, 740])
    """
    width, depths = as_integer("width", width), as_integers("depths", depths)
    if width < 1 or not depths or min(depths) < 1:
        raise ValueError(f"`width` and `depths` must be at least 1, got {width} and {depths}.")
    return Growth(width, depths, bool(bias))


# ---- tables and plots ---------------------------------------------------------------------------


def _integer(value: int | None) -> str:
    """Return an integer with commas; from 10¹⁵ on, in four digits and a power of ten."""
    if value is None:
        return "-"
    return f"{value:,}" if value < 10**15 else integer_in_powers(value, 3)


def _float(value: int) -> float:
    """Return an integer as a float for a plot; one beyond all floats is infinite: not drawn."""
    return float(value) if value < 10**308 else math.inf


def text_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in aligned columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    lines = []
    for cells in [header, *rows]:
        first, *others = (
            cell.ljust(width) if not k else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, widths))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def html_table(title: str, header: list[str], rows: list[list[str]]) -> str:
    """Return a table as HTML, numbers to the right with digits of one width."""
    style = ' style="text-align:right;padding:0 0.6em;font-variant-numeric:tabular-nums"'

    def cells(tag: str, texts: list[str]) -> str:
        return "".join(
            f"<{tag}{style if k else ''}>{html.escape(text)}</{tag}>"
            for k, text in enumerate(texts)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<table class="cbp-table"><caption>{html.escape(title)}</caption>'
        f"<thead><tr>{cells('th', header)}</tr></thead><tbody>{body}</tbody></table>"
    )


def pyplot() -> Any:
    """Return matplotlib.pyplot, or say how to get it."""
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        raise ImportError("Plots need matplotlib: `pip install cbp[plot]`.") from None
    return plt
