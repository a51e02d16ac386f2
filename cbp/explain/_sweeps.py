"""The two sweeps, step by step: what is worked out, in symbols and in numbers.

What lives here: the text of formulas. What must not: a sentence, which the page says in its own
language, and arithmetic. Small nets go node by node, larger ones a column of nodes at a time, told
by its first node.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ._typeset import exact, html_name, html_partial, integer, short

if TYPE_CHECKING:
    from .nodes import Graph

MOST_NODES = 30  # units that are visited one by one
MOST_PARAMETERS = 12  # whose gradients are visited one by one
_TERMS = 4  # of a sum that are written out

_SUM_OF_EXP = "Σ<sub>k</sub> e<sup><i>z</i><sub>k</sub></sup>"
_FUNCTIONS: dict[str, Callable[[str], str]] = {
    "identity": lambda z: z,
    "sigmoid": lambda z: f"σ({z})",
    "relu": lambda z: f"max(0, {z})",
    "softmax": lambda z: f"e<sup>{z}</sup> / {_SUM_OF_EXP}",
    "log_softmax": lambda z: f"{z} − ln {_SUM_OF_EXP}",
}
_LOSSES: dict[str, Callable[[str, str], str]] = {
    "squared_error": lambda y, t: f"½({y} − {t})²",
    "absolute_error": lambda y, t: f"|{y} − {t}|",
    "poisson": lambda y, t: f"e<sup>{y}</sup> − {t} · {y}",
    "binary_cross_entropy": lambda y, t: f"−{t} ln {y} − (1 − {t}) ln(1 − {y})",
    "categorical_cross_entropy": lambda y, t: f"−{t} ln {y}",
    "categorical_cross_entropy of log_softmax": lambda y, t: f"−{t} · {y}",
}
_LOSS_SLOPES: dict[str, Callable[[str, str], str]] = {
    "squared_error": lambda y, t: f"{y} − {t}",
    "absolute_error": lambda y, t: f"sgn({y} − {t})",
    "poisson": lambda y, t: f"e<sup>{y}</sup> − {t}",
    "binary_cross_entropy": lambda y, t: f"(1 − {t})/(1 − {y}) − {t}/{y}",
    "categorical_cross_entropy": lambda y, t: f"−{t}/{y}",
    "categorical_cross_entropy of log_softmax": lambda y, t: f"−{t}",
}


def steps(
    graph: Graph, nodes: Collection[str], parameters: Collection[str]
) -> list[dict[str, Any]]:
    """Return the steps of the forward and the backward sweep.

    Parameters
    ----------
    graph : Graph
    nodes, parameters : collections of str
        Those that can be seen. Sums run over all, but only these are told of.

    Returns
    -------
    list of dict
        kind: "z", "a", "L", "start", "dy", "dz", "dw" or "dh". what, symbols, numbers, result: the
        formula as HTML. values, gradients: nodes that become known; parameters: those whose
        gradients do. lines: (source, target) of what is used. others: how many more nodes the
        formula stands for.
    """
    sweep = _Sweep(graph, set(nodes), set(parameters))
    return [*sweep.forward(), *sweep.backward()]


class _Sweep:
    def __init__(self, g: Graph, nodes: set[str], parameters: set[str]) -> None:
        self.g, self.names, self.nodes, self.parameters = g, g.names, nodes, parameters
        self.last = len(g.z) - 1
        self.node_by_node = sum(g.sizes[1:]) <= MOST_NODES
        self.one_by_one = g.net.n_parameters <= MOST_PARAMETERS

    def forward(self) -> Iterator[dict[str, Any]]:
        g, names = self.g, self.names
        for layer, activation in enumerate(g.activations):
            n_out = g.sizes[layer + 1]
            yield from self._column("z", n_out, [self._z(layer, j) for j in self._seen(layer)])
            made = []
            for j in self._seen(layer):
                a, z = names.a(layer, j), names.z(layer, j)
                units = range(n_out) if g.slopes[layer].ndim == 2 else [j]
                made.append(_step(
                    html_name(a), _applied(activation, html_name(z)),
                    _applied(activation, short(float(g.z[layer][j]))), g.a[layer + 1][j],
                    values=[a], lines=[[names.z(layer, k), a] for k in units],
                ))  # fmt: skip
            yield from self._column("a", n_out, made)
        n = g.sizes[-1]
        symbols, numbers = self._loss(_LOSSES, lambda term: _sum(range(n), term))
        if not symbols:
            symbols = f"{escape(g.loss.name.replace('_', ' '))}(<i>y</i>, <i>t</i>)"
        lines = [[names.a(self.last, k), "L"] for k in range(n)]
        yield from self._column(
            "L", 1, [_step("<i>L</i>", symbols, numbers, g.value, values=["L"], lines=lines)]
        )

    def backward(self) -> Iterator[dict[str, Any]]:
        g, names, last = self.g, self.names, self.last
        start = _step("∂<i>L</i>/∂<i>L</i>", "", "", 1.0, gradients=["L"])
        yield from self._column("start", 1, [start])
        made = []
        for k in self._seen(last):
            y = names.a(last, k)
            symbols, numbers = self._loss(_LOSS_SLOPES, partial(_call, k))
            made.append(_step(html_partial("L", y), symbols, numbers, g.loss_slope[k],
                              gradients=[y], lines=[[y, "L"]]))  # fmt: skip
        yield from self._column("dy", g.sizes[-1], made)
        for layer in reversed(range(last + 1)):
            n_out = g.sizes[layer + 1]
            yield from self._column("dz", n_out, [self._dz(layer, j) for j in self._seen(layer)])
            yield from self._dw(layer)
            if layer > 0:
                made = [self._dh(layer, i) for i in self._seen(layer - 1)]
                yield from self._column("dh", g.sizes[layer], made)

    def _seen(self, layer: int) -> list[int]:
        """Return the units of a layer that are drawn."""
        n = self.g.sizes[layer + 1]
        return [j for j in range(n) if self.names.z(layer, j) in self.nodes]

    def _column(
        self, kind: str, n: int, made: list[dict[str, Any]], one_by_one: bool | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the steps of one column: one for each of its n nodes, or one for all."""
        if one_by_one is None:
            one_by_one = self.node_by_node
        if not one_by_one:
            for step in made[1:]:
                for key, names in step.items():
                    if isinstance(names, list):
                        made[0][key] += names
            made[0]["others"] = integer(n - 1)
            made = made[:1]
        for step in made:
            yield {"kind": kind, **step}

    # ---- formulas -------------------------------------------------------------------------------

    def _z(self, layer: int, j: int) -> dict[str, Any]:
        """z = Σ w a + b."""
        g, names = self.g, self.names
        a, W, b = g.a[layer], g.weights[layer], g.biases[layer]
        inputs = [i for i in range(g.sizes[layer]) if g.linked(layer, i, j)]
        symbols = _sum(inputs, lambda i: f"{html_name(names.weight(layer, i, j))} "
                                    f"{html_name(names.output(layer, i))}")  # fmt: skip
        numbers = _sum(inputs, lambda i: f"{_number(W[i, j])} · {_number(a[i])}")
        if b is not None:
            symbols += f" + {html_name(names.bias(layer, j))}"
            numbers += f" + {_number(b[j])}"
        z = names.z(layer, j)
        lines = [[names.output(layer, i), z] for i in inputs if self._is_seen(layer, i)]
        return _step(html_name(z), symbols, numbers, g.z[layer][j], values=[z], lines=lines)

    def _loss(
        self,
        formulas: dict[str, Callable[[str, str], str]],
        over: Callable[[Callable[[int], str]], str],
    ) -> tuple[str, str]:
        """Return a formula of the outputs and targets in symbols and in numbers, if it is known."""
        g = self.g
        of_logs = " of log_softmax" if g.activations[-1] == "log_softmax" else ""
        f = formulas.get(g.loss.name + of_logs)
        plain = g.share == 1.0 and len(g.t) == g.sizes[-1] and not np.isnan(g.t).any()
        if f is None or not plain or bool(getattr(g.loss, "label_smoothing", False)):
            return "", ""
        n, y = g.sizes[-1], self.names.a
        symbols = over(
            lambda k: f(html_name(y(self.last, k)), html_name("t" if n == 1 else f"t{k + 1}"))
        )
        return symbols, over(lambda k: f(_number(g.a[-1][k]), _number(g.t[k])))

    def _dz(self, layer: int, j: int) -> dict[str, Any]:
        """∂L/∂z = Σ ∂L/∂a ∂a/∂z; only softmax has more than one a for a z."""
        g, names, slopes = self.g, self.names, self.g.slopes[layer]
        mixes = slopes.ndim == 2
        units, z = list(range(len(slopes))) if mixes else [j], names.z(layer, j)
        back = g.output_gradients[layer + 1]

        def symbol(k: int) -> str:
            a = names.a(layer, k)
            return f"{html_partial('L', a)} · {html_partial(a, z)}"

        def number(k: int) -> str:
            return f"{_number(back[k])} · {_number(slopes[j, k] if mixes else slopes[j])}"

        lines = [[z, names.a(layer, k)] for k in units]
        return _step(html_partial("L", z), _sum(units, symbol), _sum(units, number),
                     g.deltas[layer][j], gradients=[z], lines=lines)  # fmt: skip

    def _dh(self, layer: int, i: int) -> dict[str, Any]:
        """∂L/∂h = Σ w ∂L/∂z."""
        g, names = self.g, self.names
        W, d = g.weights[layer], g.deltas[layer]
        units = [j for j in range(g.sizes[layer + 1]) if g.linked(layer, i, j)]
        symbols = _sum(units, lambda j: f"{html_name(names.weight(layer, i, j))} · "
                                    f"{html_partial('L', names.z(layer, j))}")  # fmt: skip
        numbers = _sum(units, lambda j: f"{_number(W[i, j])} · {_number(d[j])}")
        h = names.a(layer - 1, i)
        lines = [[h, names.z(layer, j)] for j in self._seen(layer) if j in units]
        return _step(html_partial("L", h), symbols, numbers, g.output_gradients[layer][i],
                     gradients=[h], lines=lines)  # fmt: skip

    def _dw(self, layer: int) -> Iterator[dict[str, Any]]:
        """∂L/∂w = ∂L/∂z a: unit by unit, or the whole layer at once."""
        g, names = self.g, self.names
        made: list[dict[str, Any]] = []
        n_in = g.sizes[layer] + (g.biases[layer] is not None)
        for j in self._seen(layer):
            z, delta = names.z(layer, j), _number(g.deltas[layer][j])
            for i in range(g.sizes[layer]):
                w = names.weight(layer, i, j)
                if w in self.parameters:
                    a = names.output(layer, i)
                    made.append(_step(
                        html_partial("L", w), f"{html_partial('L', z)} · {html_name(a)}",
                        f"{delta} · {_number(g.a[layer][i])}", g.gradients[w],
                        parameters=[w], lines=[[a, z]],
                    ))  # fmt: skip
            if g.biases[layer] is not None:
                b = names.bias(layer, j)
                made.append(_step(html_partial("L", b), f"{html_partial('L', z)} · 1",
                                  f"{delta} · 1", g.gradients[b], parameters=[b]))  # fmt: skip
            if self.node_by_node:
                yield from self._column("dw", n_in, made, self.one_by_one)
                made = []
        if made:
            yield from self._column("dw", n_in * g.sizes[layer + 1], made)

    def _is_seen(self, layer: int, i: int) -> bool:
        return self.names.output(layer, i) in self.nodes


def _step(
    what: str, symbols: str, numbers: str, value: float, *, lines: Any = (), **known: list[str]
) -> dict[str, Any]:
    return {
        "what": what,
        "symbols": symbols,
        "numbers": numbers,
        "result": exact(float(value)),
        "lines": list(lines),
        **known,
    }


def _applied(activation: str, z: str) -> str:
    """Return an activation of z, as it is written."""
    f = _FUNCTIONS.get(activation)
    return f(z) if f else f"{escape(activation)}({z})"


def _call(k: int, term: Callable[[int], str]) -> str:
    return term(k)


def _sum(units: Sequence[int], term: Callable[[int], str]) -> str:
    """Return a sum as text; a long one as its first two terms, dots, and the last."""
    if len(units) <= _TERMS:
        terms = [term(k) for k in units]
    else:
        terms = [term(units[0]), term(units[1]), "⋯", term(units[-1])]
    return " + ".join(terms).replace(" + −", " − ") or "0"


def _number(value: float) -> str:
    """Return a number as it stands in a formula: negative ones in brackets."""
    text = short(float(value))
    return f"({text})" if value < 0 else text
