"""The order of things: forward pass, then backward, one small sum after another.

What lives here: the steps of both passes as they are taken, in symbols and in numbers. The article's
procedure: first the δ's of the last layer, then layer by layer backwards, and the weights that lead
into a layer as soon as its δ's are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .chains import coupled, shown
from .names import check_graph
from .nodes import Graph

__all__ = ["Step", "Trace", "trace"]

_MOST_TERMS = 8


class Step(NamedTuple):
    """One quantity that is worked out.

    Attributes
    ----------
    sweep : str
        "forward" or "backward".
    name : str
        What is worked out: "z1", "h1", "L"; "∂L/∂h1", "∂L/∂w5", and "∂L/∂z1", which is δ.
    formula : str
        From what: "x1·w1 + x2·w5". More than 8 terms are cut.
    value : float
    """

    sweep: str
    name: str
    formula: str
    value: float


class Trace(tuple[Step, ...]):
    """What `trace` returns: the steps in their order; printed, one line each."""

    __slots__ = ()

    def __str__(self) -> str:
        lines, sweep = [], ""
        for step in self:
            if step.sweep != sweep:
                sweep = step.sweep
                lines.append(sweep)
            lines.append(f"  {step.name} = {step.formula} = {shown(step.value)}")
        return "\n".join(lines)


def trace(graph: Graph) -> Trace:
    """Return every step of the forward and of the backward pass, in the order they are taken.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Trace of Step

    Examples
    --------
    >>> import cbp
    >>> net = cbp.Network([1, 1], output_activation="sigmoid", bias=False, dtype="float64")
    >>> net.parameters[:] = 0.5
    >>> [step.name for step in cbp.explain.trace(cbp.explain.graph(net, 1.0, 1.0))]
    ['z1_1', 'y', 'L', '∂L/∂y', '∂L/∂z1_1', '∂L/∂w1_1_1']
    """
    check_graph(graph)
    return Trace([*_forward(graph), *_backward(graph)])


def _forward(g: Graph) -> Iterator[Step]:
    names = g.names
    for layer, (W, b) in enumerate(zip(g.weights, g.biases)):
        n_inputs, n_outputs = W.shape
        for j in range(n_outputs):
            terms = [
                f"{names.output(layer, i)}·{names.weight(layer, i, j)}"
                for i in range(n_inputs)
                if g.linked(layer, i, j)
            ]
            if b is not None:
                terms.append(names.bias(layer, j))
            yield Step("forward", names.z(layer, j), _sum(terms), float(g.z[layer][j]))
        zs = [names.z(layer, j) for j in range(n_outputs)]
        joint = g.slopes[layer].ndim == 2
        for j in range(n_outputs):
            source = _list(zs) if joint else zs[j]
            formula = f"{g.activations[layer]}({source})" + (f"[{j + 1}]" if joint else "")
            yield Step("forward", names.a(layer, j), formula, float(g.a[layer + 1][j]))
    ys = [names.a(len(g.z) - 1, k) for k in range(g.sizes[-1])]
    yield Step("forward", "L", f"{g.loss.name}({_list(ys)})", g.value)


def _backward(g: Graph) -> Iterator[Step]:
    names, last = g.names, len(g.z) - 1
    for k in range(g.sizes[-1]):
        y = names.a(last, k)
        formula = f"∂{g.loss.name}/∂{y}"
        yield Step("backward", f"∂L/∂{y}", formula, float(g.loss_slope[k]))
    for layer in reversed(range(last + 1)):
        n_inputs, n_outputs = g.weights[layer].shape
        for j in range(n_outputs):
            z = names.z(layer, j)
            outputs = range(n_outputs) if layer == last and coupled(g) else [j]
            terms = [f"∂L/∂{names.a(layer, k)} · ∂{names.a(layer, k)}/∂{z}" for k in outputs]
            yield Step("backward", f"∂L/∂{z}", _sum(terms), float(g.deltas[layer][j]))
        for j in range(n_outputs):
            delta = f"∂L/∂{names.z(layer, j)}"
            for i in range(n_inputs):
                if not g.linked(layer, i, j):
                    continue
                name = f"∂L/∂{names.weight(layer, i, j)}"
                value = float(g.weight_gradients[layer][i, j])
                yield Step("backward", name, f"{delta} · {names.output(layer, i)}", value)
            if g.biases[layer] is not None:
                name = f"∂L/∂{names.bias(layer, j)}"
                yield Step("backward", name, delta, float(g.deltas[layer][j]))
        if layer == 0:
            return
        for i in range(n_inputs):
            terms = [
                f"{names.weight(layer, i, j)} · ∂L/∂{names.z(layer, j)}"
                for j in range(n_outputs)
                if g.linked(layer, i, j)
            ]
            name = f"∂L/∂{names.a(layer - 1, i)}"
            yield Step("backward", name, _sum(terms), float(g.output_gradients[layer][i]))


def _sum(terms: list[str]) -> str:
    """Return the terms added up, cut if they are many; 0 if there are none."""
    if len(terms) > _MOST_TERMS:
        terms = [*terms[:2], f"... ({len(terms) - 3} more)", terms[-1]]
    return " + ".join(terms) or "0"


def _list(names: list[str]) -> str:
    return ", ".join(names if len(names) <= _MOST_TERMS else [*names[:2], "...", names[-1]])
