"""How a drawing looks: its colours, how wide a line is, and which lines a weight's paths take.

What lives here: what SVG and matplotlib share.

References
----------
The two hues of the lines, orange for positive and blue for negative, are told apart by every kind
of colour blindness: Okabe & Ito, Color Universal Design (2008).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ._layout import Caption, Line
from ._scene import Scene
from ._typeset import integer

if TYPE_CHECKING:
    from .nodes import Graph

INK, MUTED, PAPER, RULE = "#1d1d1b", "#5f5b54", "#fffefb", "#bdb7ac"
RED, PLUM, FADED = "#c3121f", "#6f2f86", "#dcd8d0"
POSITIVE, NEGATIVE = "#c06a00", "#1c6cb0"
COLOURS = ("partial", "contribution")


def on_paths(graph: Graph, scene: Scene, weight: str) -> tuple[set[tuple[str, str]], set[str]]:
    """Return the lines, as (source, target), and the nodes that the paths of a weight visit."""
    layer, i, j = graph.place(weight)
    nodes = {graph.names.z(layer, j)}
    lines = set()
    if i is not None:
        lines.add((graph.names.output(layer, i), graph.names.z(layer, j)))
    for line in scene.lines:  # in the order of the forward pass
        if line.source in nodes:
            lines.add((line.source, line.target))
            nodes.add(line.target)
    return lines, nodes


def strength(value: float, largest: float) -> float:
    """Return 0 ... 1 for a line's width: the square root of its share in the largest."""
    return math.sqrt(abs(value) / largest) if largest and math.isfinite(value) else 0.0


def largest(lines: list[Line], color: str) -> float:
    """Return the largest finite size among the lines."""
    sizes = [abs(number(line, color)) for line in lines]
    return max((s for s in sizes if math.isfinite(s)), default=0.0)


def number(line: Line, color: str) -> float:
    """Return the number that a line's colour and width stand for."""
    return line.contribution if color == "contribution" else line.value


def stroke(
    line: Line, color: str, most: float, lit: set[tuple[str, str]] | None
) -> tuple[str, float, float]:
    """Return colour, opacity and width of a line; `lit` are those of a chosen weight's paths."""
    if lit is not None:
        return (RED, 1.0, 3.2) if (line.source, line.target) in lit else (FADED, 1.0, 1.2)
    value = number(line, color)
    s = strength(value, most)
    hue = POSITIVE if value > 0 else NEGATIVE if value < 0 else RULE
    return hue, 0.45 + 0.55 * s, 0.8 + 4.2 * s


def caption_text(caption: Caption) -> str:
    """Return the head of a layer in English."""
    if caption.kind == "loss":
        return "loss"
    units = integer(caption.units)
    many = "s" * (caption.units != 1)
    if caption.kind == "inputs":
        return f"{units} input{many}"
    where = "output" if caption.kind == "output" else f"layer {caption.layer}"
    return f"{where}: {units} unit{many}"
