"""Where things can stand in a drawing: boxes, columns of cards, and room for labels.

What lives here: geometry alone. What must not: what is drawn, or how it looks. Invariant: no two
texts overlap, because every text has a box, an upper bound of its size, and is placed only where
its box is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ._typeset import name_width, short, tally, width

if TYPE_CHECKING:
    from .nodes import Graph

Ends = tuple[float, float, float, float]  # x and y of both ends of a line

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


class Line(NamedTuple):
    """What leads from one card to another."""

    source: str
    target: str
    parameter: str | None  # the weight that stands on it
    value: float  # ∂target/∂source
    contribution: float  # ∂target/∂source · ∂L/∂target: what it brings back to its source
    ends: Ends
    label: Box | None  # where its name stands, or its name and value; None: nowhere
    label_value: bool
    visits: int  # how often the sum over all paths of all weights walks along it
    tally: Box | None  # where that number stands, if there is no label


class Caption(NamedTuple):
    """The head of one layer."""

    kind: str  # "inputs", "layer", "output", "loss"
    layer: int
    units: int
    x: float
    y: float


class Place:
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

    def tally(self, ends: Ends, visits: int, taken: list[Box]) -> Box | None:
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


class Right(Place):
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

    def ends(self, source: Box, target: Box) -> Ends:
        """Return the ends of a line between two cards."""
        return source.x + source.w, source.cy, target.x, target.cy

    def beside(self, x: float, y: float, wide: float) -> Box:
        """Return a box above a point of a line."""
        return Box(x - wide / 2, y - 5.0 - self.font, wide, self.font)

    def is_between(self, box: Box, ends: Ends) -> bool:
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


class Down(Place):
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

    def ends(self, source: Box, target: Box) -> Ends:
        """Return the ends of a line between two cards."""
        return source.cx, source.y + source.h, target.cx, target.y

    def beside(self, x: float, y: float, wide: float) -> Box:
        """Return a box to the right of a point of a line."""
        return Box(x + 6.0, y - self.font / 2, wide, self.font)

    def is_between(self, box: Box, ends: Ends) -> bool:
        """Return whether a box lies between the rows of cards at the ends of a line."""
        inside = 0.0 <= box.x and box.x + box.w <= self.width
        return inside and ends[1] <= box.y and box.y + box.h <= ends[3]

    def caption(self, along: float, kind: str, layer: int, units: int) -> list[Caption]:
        """Return nothing: lines come from every side, and there is no room for heads."""
        return []

    def size(self) -> tuple[float, float]:
        """Return width and height of everything."""
        return self.width, self.deepest + 4.0


def labelled(lines: list[Line], place: Right | Down, weights: Sequence[str]) -> list[Line]:
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
                line._replace(label=box, label_value=with_value) for line, box in zip(lines, boxes)
            ]
    named = [line for line in lines if line.parameter in weights]
    if len(named) == len(lines):
        return lines
    with_label = {line.parameter: line for line in labelled(named, place, ())}
    return [with_label.get(line.parameter, line) for line in lines]


def _room(
    line: Line, lines: list[Line], taken: list[Box], wide: float, place: Right | Down
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


def _crosses(ends: Ends, box: Box) -> bool:
    """Whether a line runs through a box (seventeen points of it are looked at)."""
    x1, y1, x2, y2 = ends
    points = ((x1 + (x2 - x1) * k / 16, y1 + (y2 - y1) * k / 16) for k in range(17))
    return any(box.x < x < box.x + box.w and box.y < y < box.y + box.h for x, y in points)
