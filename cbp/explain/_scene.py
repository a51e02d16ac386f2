"""Where everything stands in a drawing of a network: cards, lines, labels, and what is left out.

What lives here: geometry. What must not: a colour, or SVG. Invariant: no two texts overlap,
because every text has a box, an upper bound of its size, and is placed only where its box is free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ._typeset import name_width, short, tally, width
from .chains import coupled, n_paths

if TYPE_CHECKING:
    from .nodes import Graph, Node

MOST_UNITS = 6  # of a layer that are all drawn; of a larger one the first three and the last
FIRST_UNITS = 3
_PLACES = (0.3, 0.5, 0.7, 0.22, 0.4, 0.6, 0.78, 0.15, 0.85)  # along a line, for its label
_LABEL_HEIGHT = 17.0


class Box(NamedTuple):
    """A rectangle: left, top, width, height."""

    x: float
    y: float
    w: float
    h: float

    @property
    def cx(self) -> float:
        """The middle from left to right."""
        return self.x + self.w / 2

    @property
    def cy(self) -> float:
        """The middle from top to bottom."""
        return self.y + self.h / 2

    def overlaps(self, other: Box) -> bool:
        """Whether the two have a point in common."""
        return (
            self.x < other.x + other.w
            and other.x < self.x + self.w
            and self.y < other.y + other.h
            and other.y < self.y + self.h
        )


class Card(NamedTuple):
    """A node: its name, perhaps a bias or a target, its value, its derivative."""

    node: Node
    box: Box
    extra: tuple[str, float] | None  # the bias of a z, the target of a y: its name and value


class Line(NamedTuple):
    """What leads from one card to another."""

    source: str
    target: str
    parameter: str | None  # the weight that stands on it
    value: float  # ∂target/∂source
    contribution: float  # ∂target/∂source · ∂L/∂target: what it brings back to its source
    ends: tuple[float, float, float, float]
    label: Box | None  # where its name stands, or its name and value; None: nowhere
    label_value: bool
    visits: int  # how often the sum over all paths of all weights walks along it
    tally: Box | None  # where that number stands, if there is no label


class Gap(NamedTuple):
    """The place of the units of a layer that are not drawn."""

    box: Box
    units: int


class Caption(NamedTuple):
    """The head of one layer."""

    kind: str  # "inputs", "layer", "output", "loss"
    layer: int
    units: int
    x: float
    y: float


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
    place: _Right | _Down = _Right(graph, rows) if flow == "right" else _Down(graph, rows)

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
        lines += _labelled(group, place, weights)
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
        lines.append(
            Line(name, "L", None, partial, partial, ends, None, False, arriving[k], where)
        )
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


class _Place:
    """How columns follow each other, and units in a column."""

    font = 12.0
    most_labels = 12  # between two layers; more would hide the lines

    def __init__(self, graph: Graph, rows: int) -> None:
        self.rows = rows
        self.has_bias = any(b is not None for b in graph.biases)
        self.is_dense = max(a * b for a, b in zip(graph.sizes, graph.sizes[1:])) > 6
        self.mixes = any(slope.ndim == 2 for slope in graph.slopes)
        self.along = 0.0

    def card_height(self, kind: str) -> float:
        """Two rows for x; else three, and one more for a bias or a target."""
        extra = kind == "y" or (kind == "z" and self.has_bias)
        return self.font * (3.4 if kind == "x" else 4.7 + 1.25 * extra)

    @property
    def unit_height(self) -> float:
        """Of the highest card."""
        return self.card_height("y")


    def tally(
        self, ends: tuple[float, float, float, float], visits: int, taken: list[Box]
    ) -> Box | None:
        """Return the place of a line's number, beside its middle, if it is free; and take it."""
        x, y = (ends[0] + ends[2]) / 2, (ends[1] + ends[3]) / 2
        wide = width(tally(visits), self.font * 0.92)
        box = self.beside(x, y, wide)
        if any(box.overlaps(other) for other in taken):
            return None
        taken.append(box)
        return box

    def beside(self, x: float, y: float, wide: float) -> Box:
        """Return a box beside a point of a line."""
        raise NotImplementedError


class _Right(_Place):
    """Columns from left to right; the units of a layer below each other."""

    card_width = 76.0
    head = 36.0

    def __init__(self, graph: Graph, rows: int) -> None:
        super().__init__(graph, rows)
        self.space = 52.0 if rows <= 3 else 30.0
        self.pitch = self.unit_height + self.space

    def next_column(self, kind: str) -> float:
        """Return where the next column begins."""
        gaps = {"x": 12.0, "z": 168.0, "L": 60.0}
        gap = gaps.get(kind) or self.inner(kind == "y")
        self.along += gap + (self.card_width if kind != "x" else 0.0)
        return self.along

    def inner(self, is_output: bool) -> float:
        """Return the space between the z and the outputs of a layer."""
        return 90.0 if self.mixes and is_output else 32.0

    def box(self, kind: str, along: float, slot: int, n_slots: int) -> Box:
        """Return the place of one card."""
        height = self.card_height(kind)
        first = self.head + self.unit_height / 2 + self.pitch * (self.rows - n_slots) / 2
        middle = first + self.pitch * slot
        return Box(along, middle - height / 2, self.card_width, height)

    def ends(self, source: Box, target: Box) -> tuple[float, float, float, float]:
        """Return the ends of a line between two cards."""
        return source.x + source.w, source.cy, target.x, target.cy

    def beside(self, x: float, y: float, wide: float) -> Box:
        """Return a box above a point of a line."""
        return Box(x - wide / 2, y - 5.0 - self.font, wide, self.font)

    def is_between(self, box: Box, ends: tuple[float, float, float, float]) -> bool:
        """Return whether a box lies between the columns at the ends of a line."""
        return ends[0] <= box.x and box.x + box.w <= ends[2]

    def caption(self, along: float, kind: str, layer: int, units: int) -> list[Caption]:
        """Return a layer's head: over the middle of its columns."""
        inner = 0.0
        if kind in ("layer", "output"):
            inner = (self.card_width + self.inner(kind == "output")) / 2
        return [Caption(kind, layer, units, along + self.card_width / 2 + inner, 20.0)]

    def size(self) -> tuple[float, float]:
        """Return width and height of everything."""
        height = self.head + self.pitch * self.rows - self.space
        return self.along + self.card_width + 12.0, height + 8.0


class _Down(_Place):
    """Columns from top to bottom, 344 pixels wide; the units of a layer side by side."""

    width = 344.0
    most_labels = 6

    def __init__(self, graph: Graph, rows: int) -> None:
        super().__init__(graph, rows)
        self.font = 12.0 if rows <= 4 else 10.0
        self.pitch = self.width / rows if rows <= 6 else 58.0
        self.width = self.pitch * rows
        self.card_width = min(80.0, self.pitch - 6.0)
        self.deepest = 0.0

    def next_column(self, kind: str) -> float:
        """Return where the next row of cards begins."""
        gaps = {"x": 4.0, "z": 118.0 if self.is_dense else 96.0, "h": 22.0, "L": 40.0}
        self.along = self.deepest + gaps.get(kind, 52.0 if self.mixes else 22.0)
        self.deepest = self.along + self.card_height(kind)
        return self.along

    def box(self, kind: str, along: float, slot: int, n_slots: int) -> Box:
        """Return the place of one card."""
        middle = self.pitch * (self.rows / 2 + slot - (n_slots - 1) / 2)
        wide = self.card_width
        return Box(middle - wide / 2, along, wide, self.card_height(kind))

    def ends(self, source: Box, target: Box) -> tuple[float, float, float, float]:
        """Return the ends of a line between two cards."""
        return source.cx, source.y + source.h, target.cx, target.y

    def beside(self, x: float, y: float, wide: float) -> Box:
        """Return a box to the right of a point of a line."""
        return Box(x + 6.0, y - self.font / 2, wide, self.font)

    def is_between(self, box: Box, ends: tuple[float, float, float, float]) -> bool:
        """Return whether a box lies between the rows of cards at the ends of a line."""
        inside = 0.0 <= box.x and box.x + box.w <= self.width
        return inside and ends[1] <= box.y and box.y + box.h <= ends[3]

    def caption(self, along: float, kind: str, layer: int, units: int) -> list[Caption]:
        """Return nothing: lines come from every side, and there is no room for heads."""
        return []

    def size(self) -> tuple[float, float]:
        """Return width and height of everything."""
        return self.width, self.deepest + 4.0


def _labelled(lines: list[Line], place: _Right | _Down, weights: Sequence[str]) -> list[Line]:
    """Give the lines between two layers labels: names and values, or names, or few, if no room."""
    for with_value in (True, False) if len(lines) <= place.most_labels else ():
        boxes: list[Box] = []
        for line in lines:
            assert line.parameter is not None
            text = short(line.value) if with_value else ""
            wide = name_width(line.parameter, place.font, text) + 4.0
            box = _room(line, lines, boxes, wide, place)
            if box is None:
                break
            boxes.append(box)
        else:
            return [
                line._replace(label=box, label_value=with_value)
                for line, box in zip(lines, boxes)
            ]
    named = [line for line in lines if line.parameter in weights]
    if len(named) == len(lines):
        return lines
    with_label = {line.parameter: line for line in _labelled(named, place, ())}
    return [with_label.get(line.parameter, line) for line in lines]


def _room(
    line: Line, lines: list[Line], taken: list[Box], wide: float, place: _Right | _Down
) -> Box | None:
    """Return the place on a line that the fewest others cross and no label has taken."""
    x1, y1, x2, y2 = line.ends
    best, fewest = None, len(lines)
    for t in _PLACES:
        x, y = x1 + (x2 - x1) * t, y1 + (y2 - y1) * t
        box = Box(x - wide / 2, y - _LABEL_HEIGHT / 2, wide, _LABEL_HEIGHT)
        if not place.is_between(box, line.ends) or any(box.overlaps(other) for other in taken):
            continue
        crossed = sum(_crosses(other.ends, box) for other in lines if other is not line)
        if crossed < fewest:
            best, fewest = box, crossed
    return best


def _crosses(ends: tuple[float, float, float, float], box: Box) -> bool:
    """Whether a line runs through a box (seventeen points of it are looked at)."""
    x1, y1, x2, y2 = ends
    points = ((x1 + (x2 - x1) * k / 16, y1 + (y2 - y1) * k / 16) for k in range(17))
    return any(box.x < x < box.x + box.w and box.y < y < box.y + box.h for x, y in points)
