"""What is drawn of a network: its cards and lines, and what is left out of large layers.

What lives here: which nodes and edges a drawing shows, with their numbers; where they stand is
`_layout`'s. What must not: a colour, or SVG.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ._layout import Box, Caption, Down, Line, Right, labelled
from .chains import coupled, n_paths

if TYPE_CHECKING:
    from .nodes import Graph, Node

MOST_UNITS = 6  # of a layer that are all drawn; of a larger one the first three and the last
FIRST_UNITS = 3


class Card(NamedTuple):
    """A node: its name, perhaps a bias or a target, its value, its derivative."""

    node: Node
    box: Box
    extra: tuple[str, float] | None  # the bias of a z, the target of a y: its name and value


class Gap(NamedTuple):
    """The place of the units of a layer that are not drawn."""

    box: Box
    units: int


class Scene(NamedTuple):
    """A drawing, measured in CSS pixels."""

    width: float
    height: float
    flow: str
    font: float
    cards: list[Card]
    lines: list[Line]
    gaps: list[Gap]
    captions: list[Caption]

    def card(self, name: str) -> Card:
        """Return the card of a node."""
        return next(card for card in self.cards if card.node.name == name)


def shown_units(n: int, most: int, keep: Iterable[int] = ()) -> list[int]:
    """Return which of a layer's n units are drawn: all, or the first three, `keep`, and the last.

    Examples
    --------
    >>> shown_units(4, 6), shown_units(784, 6, [100])
    ([0, 1, 2, 3], [0, 1, 2, 100, 783])
    """
    if n <= most:
        return list(range(n))
    return sorted({*range(min(FIRST_UNITS, most)), *keep, n - 1})


def scene(graph: Graph, weights: Sequence[str], flow: str, most_units: int) -> Scene:
    """Return the drawing of a graph in which the given parameters can be seen.

    Parameters
    ----------
    graph : Graph
    weights : sequence of str
        Parameters whose ends must not be left out.
    flow : {"right", "down"}
        Where the forward pass leads: to the right on a wide page, down on a narrow one.
    most_units : int
        Layers of more units are cut short.
    """
    n_layers = len(graph.z)
    keep: list[set[int]] = [set() for _ in graph.sizes]
    for name in weights:
        layer, i, j = graph.place(name)
        keep[layer + 1].add(j)
        if i is not None:
            keep[layer].add(i)
    shown = [shown_units(n, most_units, k) for n, k in zip(graph.sizes, keep)]
    rows = max(len(_slots(units)) for units in shown)
    place: Right | Down = Right(graph, rows) if flow == "right" else Down(graph, rows)

    nodes = {(node.kind, node.layer, node.index): node for node in graph.nodes}
    cards: list[Card] = []
    gaps: list[Gap] = []
    captions: list[Caption] = []
    for layer in range(n_layers + 1):
        kinds = ["x"] if layer == 0 else ["z", "y" if layer == n_layers else "h"]
        for kind in kinds:
            along = place.next_column(kind)
            n = graph.sizes[layer]
            slots = _slots(shown[layer])
            for slot, index in enumerate(slots):
                if index < 0:
                    gaps.append(Gap(place.box(kind, along, slot, len(slots)), -index))
                    continue
                node, extra = nodes[kind, layer, index], None
                bias = graph.biases[layer - 1] if kind == "z" else None
                if bias is not None:
                    extra = graph.names.bias(layer - 1, index), float(bias[index])
                elif kind == "y" and len(graph.t) == n:
                    extra = ("t" if n == 1 else f"t{index + 1}"), float(graph.t[index])
                cards.append(Card(node, place.box(kind, along, slot, len(slots)), extra))
            if kind in "xz":
                word = "inputs" if layer == 0 else "output" if layer == n_layers else "layer"
                captions += place.caption(along, word, layer, n)
    along = place.next_column("L")
    cards.append(Card(nodes["L", n_layers + 1, 0], place.box("L", along, 0, 1), None))
    captions += place.caption(along, "loss", n_layers + 1, 1)

    boxes = {(c.node.kind, c.node.layer, c.node.index): c.box for c in cards}
    taken = [card.box for card in cards] + [gap.box for gap in gaps]
    lines: list[Line] = []
    arriving = [0] * graph.sizes[0]  # paths that have reached each input of the layer
    for layer in range(n_layers):
        kinds = ["x" if layer == 0 else "h", "z", "y" if layer == n_layers - 1 else "h"]
        group = []
        behind = {j: n_paths(graph, layer, j) for j in shown[layer + 1]}  # from each z to L
        for i in shown[layer]:
            for j in shown[layer + 1]:
                if not graph.linked(layer, i, j):
                    continue
                w, delta = float(graph.weights[layer][i, j]), float(graph.deltas[layer][j])
                ends = place.ends(boxes[kinds[0], layer, i], boxes["z", layer + 1, j])
                names = graph.names.output(layer, i), graph.names.z(layer, j)
                weight = graph.names.weight(layer, i, j)
                visits = (1 + arriving[i]) * behind[j]
                group.append(Line(*names, weight, w, w * delta, ends, None, False, visits, None))
        lines += labelled(group, place, weights)
        arriving = _arriving(graph, layer, arriving)
        slope, back = graph.slopes[layer], graph.output_gradients[layer + 1]
        for j in shown[layer + 1]:
            for k in shown[layer + 1] if slope.ndim == 2 else [j]:
                partial = float(slope[j, k] if slope.ndim == 2 else slope[j])
                box = boxes[kinds[2], layer + 1, k]
                ends = place.ends(boxes["z", layer + 1, j], box)
                names = graph.names.z(layer, j), graph.names.a(layer, k)
                share = partial * float(back[k])
                visits = arriving[j] * (1 if slope.ndim == 2 else behind[j])
                where = None if slope.ndim == 2 else place.tally(ends, visits, taken)
                line = Line(*names, None, partial, share, ends, None, False, visits, where)
                lines.append(line)
    if coupled(graph):
        arriving = [sum(arriving)] * graph.sizes[-1]
    for k in shown[n_layers]:
        ends = place.ends(boxes["y", n_layers, k], boxes["L", n_layers + 1, 0])
        partial = float(graph.loss_slope[k])
        name = graph.names.a(n_layers - 1, k)
        where = place.tally(ends, arriving[k], taken)
        lines.append(Line(name, "L", None, partial, partial, ends, None, False, arriving[k], where))
    return Scene(*place.size(), flow, place.font, cards, lines, gaps, captions)


def _arriving(graph: Graph, layer: int, before: list[int]) -> list[int]:
    """Return how many paths have reached each z of a layer, those of its own weights included."""
    mask, bias = graph.masks[layer], int(graph.biases[layer] is not None)
    n = graph.sizes[layer + 1]
    if mask is None:
        return [len(before) + sum(before) + bias] * n
    return [sum(1 + b for b, is_there in zip(before, mask[:, j]) if is_there) + bias
            for j in range(n)]  # fmt: skip


def _slots(shown: list[int]) -> list[int]:
    """Return the drawn units of a layer; where units are left out, minus their number.

    Examples
    --------
    >>> _slots([0, 1, 2, 100, 783])
    [0, 1, 2, -97, 100, -682, 783]
    """
    slots = shown[:1]
    for before, unit in zip(shown, shown[1:]):
        if unit > before + 1:
            slots.append(before + 1 - unit)
        slots.append(unit)
    return slots
