"""Pictures of a graph: SVG without any dependency, or matplotlib where asked.

What lives here: what a drawing looks like; where things stand is `_scene`'s. Invariant: every name
is escaped, and every number was written by `_typeset`.

References
----------
The two hues of the lines, orange for positive and blue for negative, are told apart by every kind
of colour blindness: Okabe & Ito, Color Universal Design (2008).
"""

from __future__ import annotations

import math
import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _scene
from ._scene import Card, Line, Scene
from ._typeset import SANS, exact, integer, name_width, short, svg_name, tally, width
from .chains import n_paths

if TYPE_CHECKING:
    from .nodes import Graph

__all__ = ["Picture", "draw"]

INK, MUTED, PAPER, RULE = "#1d1d1b", "#5f5b54", "#fffefb", "#bdb7ac"
RED, PLUM, FADED = "#c3121f", "#6f2f86", "#dcd8d0"
POSITIVE, NEGATIVE = "#c06a00", "#1c6cb0"
_COLOURS = ("partial", "contribution")
_FLOWS = ("right", "down")
_BACKENDS = ("svg", "matplotlib")


class Picture:
    """What `draw` returns: an SVG drawing, which a notebook shows by itself.

    Attributes
    ----------
    svg : str
    """

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Picture: {len(self.svg):,} characters of SVG; show it with .save(path)>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawing to a file, which must be called ``.svg``.

        Raises
        ------
        ValueError
            The name ends otherwise.
        """
        if Path(path).suffix.lower() != ".svg":
            raise ValueError(
                f"`path` must end in .svg, got {str(path)!r}; other formats come from "
                'draw(backend="matplotlib").savefig(path).'
            )
        Path(path).write_text(self.svg + "\n", encoding="utf-8")


def draw(
    graph: Graph,
    weight: str | None = None,
    color: str = "partial",
    *,
    flow: str = "right",
    max_units: int = _scene.MOST_UNITS,
    backend: str = "svg",
) -> Any:
    """Return a drawing of the graph.

    Parameters
    ----------
    graph : Graph
    weight : str, optional
        A weight or bias, by its name; all paths from it to the loss are drawn in red.
    color : {"partial", "contribution"}
        What colour and width of a line stand for: the partial derivative of its end with respect
        to its beginning, or that times ∂L/∂(its end), which is what it brings back. Orange is
        positive, blue negative; the wider, the larger.
    flow : {"right", "down"}
        Where the forward pass leads.
    max_units : int, at least 2
        Of a layer with more units only the first three and the last are drawn, and those at the
        ends of `weight`.
    backend : {"svg", "matplotlib"}
        "matplotlib" needs ``pip install cbp[plot]``.

    Returns
    -------
    Picture or matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or not one of those listed; there is no such weight.
    ImportError
        matplotlib is not installed.
    """
    for name, value, known in (
        ("color", color, _COLOURS),
        ("flow", flow, _FLOWS),
        ("backend", backend, _BACKENDS),
    ):
        if value not in known:
            words = " or ".join(f'"{word}"' for word in known)
            raise ValueError(f"`{name}` must be {words}, got {value!r}.")
    if isinstance(max_units, bool) or not isinstance(max_units, int):
        raise TypeError(f"`max_units` must be an integer, got {max_units!r}.")
    if max_units < 2:
        raise ValueError(f"`max_units` must be at least 2, got {max_units}.")
    chosen = () if weight is None else (weight,)
    scene = _scene.scene(graph, chosen, flow, max_units)
    if backend == "matplotlib":
        return _figure(graph, scene, weight, color)
    return Picture(svg(graph, scene, weight, color))


# ---- what matters for a chosen weight, and how large a line is ----------------------------------


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
    sizes = [abs(getattr(line, _FIELDS[color])) for line in lines]
    return max((s for s in sizes if math.isfinite(s)), default=0.0)


_FIELDS = {"partial": "value", "contribution": "contribution"}


# ---- SVG ----------------------------------------------------------------------------------------


def svg(
    graph: Graph,
    scene: Scene,
    weight: str | None = None,
    color: str = "partial",
    *,
    for_page: bool = False,
) -> str:
    """Return the SVG of a scene; for the page without background and legend, and with handles."""
    lit, visited = on_paths(graph, scene, weight) if weight else (set(), set())
    title = "-".join(map(str, graph.sizes))
    most = {name: largest(scene.lines, name) for name in _COLOURS}
    most["visits"] = max([1, *(line.visits for line in scene.lines)])
    legend = [] if for_page else _legend(graph, scene, weight, color)
    high = scene.height + 22.0 * len(legend) + (10.0 if legend else 0.0)
    wide = max([scene.width, *(24.0 + _row_width(row) for row in legend)])
    least = f"; --least: {0.85 * wide:.0f}px" if for_page else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="net {scene.flow}" '
        f'viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}" '
        f'font-family="{SANS}" font-size="{scene.font:g}" text-anchor="middle" '
        f'fill="{INK}" style="font-variant-numeric: tabular-nums{least}" role="group" '
        f'aria-label="{escape(title)}">'
    ]
    if not for_page:
        parts.append(f'<rect width="{wide:g}" height="{high:g}" fill="{PAPER}"/>')
    order = sorted(scene.lines, key=lambda line: (line.source, line.target) in lit)
    for line in order:
        is_lit = (line.source, line.target) in lit
        parts.append(_svg_line(line, is_lit, weight is not None, color, most, for_page))
    parts += [_svg_label(line, scene, weight, for_page) for line in scene.lines if line.label]
    if for_page:
        parts += [_svg_tally(line.tally, line, scene) for line in scene.lines if line.tally]
    for card in scene.cards:
        parts.append(_svg_card(card, scene.font, card.node.name in visited, weight))
    parts += [_svg_gap(gap, scene.font) for gap in scene.gaps]
    parts += [_svg_caption(caption) for caption in scene.captions]
    for k, row in enumerate(legend):
        parts.append(_svg_legend(row, scene.height + 16.0 + 22.0 * k))
    return "\n".join([*parts, "</svg>"])


def _svg_line(
    line: Line, lit: bool, chosen: bool, color: str, most: dict[str, float], for_page: bool
) -> str:
    x1, y1, x2, y2 = line.ends
    value = getattr(line, _FIELDS[color])
    s = strength(value, most[color])
    stroke, opacity, wide = POSITIVE if value > 0 else NEGATIVE, 0.45 + 0.55 * s, 0.8 + 4.2 * s
    if value == 0:
        stroke = RULE
    if chosen:
        stroke, opacity, wide = (RED, 1.0, 3.2) if lit else (FADED, 1.0, 1.2)
    coordinates = f'x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"'
    what = line.parameter or f"∂{line.target}/∂{line.source}"
    data, handle = "", ""
    if for_page:
        signs = []
        for name in _COLOURS:
            v = getattr(line, _FIELDS[name])
            signs.append(f"{name}-{'plus' if v > 0 else 'minus' if v < 0 else 'zero'}")
            data += f"--{name}:{strength(v, most[name]):.3f};"
        data += f"--visits:{strength(line.visits, most['visits']):.3f};"
        parameter = f' data-parameter="{escape(line.parameter)}"' if line.parameter else ""
        data = (
            f' class="line {" ".join(signs)}" data-source="{escape(line.source)}" '
            f'data-target="{escape(line.target)}"{parameter} style="{data}"'
        )
        handle = f'<line class="handle" {coordinates}/>' if line.parameter else ""
    return (
        f"<g{data}><title>{escape(what)} = {exact(line.value)}</title>"
        f'<line class="ink" {coordinates} stroke="{stroke}" stroke-width="{wide:.2f}" '
        f'stroke-opacity="{opacity:.2f}" stroke-linecap="round"/>{handle}</g>'
    )


def _svg_label(line: Line, scene: Scene, weight: str | None, for_page: bool) -> str:
    assert line.label is not None and line.parameter is not None
    box, name = line.label, line.parameter
    style = f'fill="{RED}" font-weight="bold"' if name == weight else f'fill="{INK}"'
    text = svg_name(name, scene.font, short(line.value) if line.label_value else "")
    button = visits = ""
    if for_page:
        button = f' data-parameter="{escape(name)}" role="button" tabindex="0" aria-label="'
        button += f'{escape(name)} = {exact(line.value)}"'
        visits = _svg_tally(box, line, scene)
    return (
        f'<g class="label"{button}><rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.w:.1f}" '
        f'height="{box.h:g}" rx="4" fill="{PAPER}"/><text x="{box.cx:.1f}" '
        f'y="{box.cy + scene.font * 0.36:.1f}" {style}>{text}</text>{visits}</g>'
    )


def _svg_tally(box: _scene.Box, line: Line, scene: Scene) -> str:
    return (
        f'<text class="visits" x="{box.cx:.1f}" y="{box.cy + scene.font * 0.34:.1f}" '
        f'font-size="{scene.font * 0.92:g}">{tally(line.visits)}</text>'
    )


def _svg_card(card: Card, font: float, visited: bool, weight: str | None) -> str:
    node, box = card.node, card.box
    stroke, wide = (RED, 2) if visited else (RULE, 1.2)
    y = box.y + font * 1.35
    name = svg_name(node.name, font * 1.2)
    rows = [f'<text class="name" x="{box.cx:.1f}" y="{y:.1f}">{name}</text>']
    if card.extra:
        name, value = card.extra
        y += font * 1.25
        text = short(value)
        size = font * 0.92
        if name_width(name, size, text) > box.w - 2:
            text = ""
        fill = RED if name == weight else MUTED
        handle = ""
        if node.kind == "z":
            handle = f' data-parameter="{escape(name)}" role="button" tabindex="0" aria-label="'
            handle += f'{escape(name)} = {exact(value)}"'
        rows.append(
            f'<text class="extra" x="{box.cx:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{fill}"'
            f"{handle}>{svg_name(name, size, text)}</text>"
        )
    y += font * 1.4
    rows.append(f'<text class="value" x="{box.cx:.1f}" y="{y:.1f}">{short(node.value)}</text>')
    title = f"{escape(node.name)} = {exact(node.value)}"
    if node.kind != "x":
        y += font * 1.3
        rows.append(
            f'<text class="gradient" x="{box.cx:.1f}" y="{y:.1f}" fill="{PLUM}">'
            f"{short(node.gradient)}</text>"
        )
        title += f"\n∂L/∂{escape(node.name)} = {exact(node.gradient)}"
    return (
        f'<g class="card {node.kind}" data-node="{escape(node.name)}"><title>{title}</title>'
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.w:.1f}" height="{box.h:.1f}" '
        f'rx="{font * 0.75:g}" fill="#ffffff" stroke="{stroke}" stroke-width="{wide}"/>'
        f"{''.join(rows)}</g>"
    )


def _svg_gap(gap: _scene.Gap, font: float) -> str:
    box = gap.box
    dots = "".join(
        f'<circle cx="{box.cx:.1f}" cy="{box.cy - font * 1.5 + k * font * 0.55:.1f}" r="1.6" '
        f'fill="{MUTED}"/>'
        for k in range(3)
    )
    return (
        f'<g class="gap">{dots}<text x="{box.cx:.1f}" y="{box.cy + font:.1f}" fill="{MUTED}">'
        f'{integer(gap.units)}</text><text class="word" data-word="more" x="{box.cx:.1f}" '
        f'y="{box.cy + font * 2.2:.1f}" fill="{MUTED}">more</text></g>'
    )


def caption_text(caption: _scene.Caption) -> str:
    """Return the head of a layer in English."""
    if caption.kind == "inputs":
        return f"{integer(caption.units)} input{'s' * (caption.units != 1)}"
    if caption.kind == "loss":
        return "loss"
    units = f"{integer(caption.units)} unit{'s' * (caption.units != 1)}"
    return f"{'output' if caption.kind == 'output' else f'layer {caption.layer}'}: {units}"


def _svg_caption(caption: _scene.Caption) -> str:
    return (
        f'<text class="caption" data-kind="{caption.kind}" data-layer="{caption.layer}" '
        f'data-units="{caption.units}" x="{caption.x:.1f}" y="{caption.y:.1f}" '
        f'fill="{MUTED}">{caption_text(caption)}</text>'
    )


def _legend(
    graph: Graph, scene: Scene, weight: str | None, color: str
) -> list[list[tuple[str, str, str]]]:
    """Return rows of (kind, colour, text) below the drawing."""
    first = [("text", INK, "value"), ("text", PLUM, "∂L/∂node (at z: δ)")]
    if weight is None:
        what = "∂end/∂beginning" if color == "partial" else "∂end/∂beginning · ∂L/∂end"
        return [
            first,
            [("line", POSITIVE, f"{what} > 0"), ("line", NEGATIVE, "< 0"),
             ("text", MUTED, "wider: larger")],
        ]  # fmt: skip
    layer, _, j = graph.place(weight)
    count = n_paths(graph, layer, j)
    total = f"∂L/∂{weight} = {exact(graph.gradients[weight])}"
    words = "its one path" if count == 1 else f"the sum over its {integer(count)} paths"
    return [first, [("line", RED, f"{total}, {words}")]]


def _row_width(row: list[tuple[str, str, str]]) -> float:
    return sum(width(text, 12.0) + (52.0 if kind == "line" else 24.0) for kind, _, text in row)


def _svg_legend(row: list[tuple[str, str, str]], y: float) -> str:
    x, parts = 12.0, []
    for kind, colour, text in row:
        fill = colour
        if kind == "line":
            parts.append(
                f'<line x1="{x:g}" y1="{y - 4:g}" x2="{x + 22:g}" y2="{y - 4:g}" '
                f'stroke="{colour}" stroke-width="3.2" stroke-linecap="round"/>'
            )
            x, fill = x + 28.0, INK
        parts.append(
            f'<text x="{x:.1f}" y="{y:g}" font-size="12" text-anchor="start" fill="{fill}">'
            f"{escape(text)}</text>"
        )
        x += width(text, 12.0) + 24.0
    return "".join(parts)


# ---- matplotlib ---------------------------------------------------------------------------------


def _figure(graph: Graph, scene: Scene, weight: str | None, color: str) -> Any:
    """Return the same drawing as a matplotlib figure, one pixel a hundredth of an inch."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import FancyBboxPatch
    except ImportError:
        raise ImportError(
            'draw(backend="matplotlib") needs matplotlib: pip install cbp[plot]'
        ) from None
    figure = Figure(figsize=(scene.width / 100, scene.height / 100), facecolor=PAPER)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.set_axis_off()
    points = scene.font * 0.72  # a pixel is 0.72 points
    lit, visited = on_paths(graph, scene, weight) if weight else (set(), set())
    most = largest(scene.lines, color)
    for line in scene.lines:
        value = getattr(line, _FIELDS[color])
        s = strength(value, most)
        colour, alpha, wide = POSITIVE if value > 0 else NEGATIVE, 0.45 + 0.55 * s, 0.8 + 4.2 * s
        if weight is not None:
            is_lit = (line.source, line.target) in lit
            colour, alpha, wide = (RED, 1.0, 3.2) if is_lit else (FADED, 1.0, 1.2)
        x1, y1, x2, y2 = line.ends
        axes.plot(
            [x1, x2], [y1, y2], color=colour, alpha=alpha, linewidth=0.72 * wide,
            solid_capstyle="round", zorder=2 if colour == RED else 1,
        )  # fmt: skip
        if line.label is not None:
            text = line.parameter or ""
            if line.label_value:
                text += f"  {short(line.value)}"
            axes.text(
                line.label.cx, line.label.cy, _plain(text), size=points, ha="center", va="center",
                color=RED if line.parameter == weight else INK, zorder=3,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.0},
            )  # fmt: skip
    for card in scene.cards:
        node, box = card.node, card.box
        axes.add_patch(
            FancyBboxPatch(
                (box.x + 8, box.y + 8), box.w - 16, box.h - 16, boxstyle="round,pad=8",
                facecolor="white", edgecolor=RED if node.name in visited else RULE, zorder=4,
            )
        )  # fmt: skip
        rows = [(node.name, INK), (short(node.value), INK)]
        if node.kind != "x":
            rows.append((short(node.gradient), PLUM))
        if card.extra:
            rows.insert(1, (f"{card.extra[0]}  {short(card.extra[1])}", MUTED))
        for k, (text, colour) in enumerate(rows):
            y = box.y + box.h * (k + 0.5) / len(rows)
            axes.text(
                box.cx, y, _plain(text), size=points, ha="center", va="center", color=colour,
                zorder=5,
            )  # fmt: skip
    for gap in scene.gaps:
        axes.text(
            gap.box.cx, gap.box.cy, f"⋮\n{integer(gap.units)}\nmore", size=points, color=MUTED,
            ha="center", va="center",
        )  # fmt: skip
    for caption in scene.captions:
        axes.text(
            caption.x, caption.y, caption_text(caption), size=points, color=MUTED,
            ha="center",
        )  # fmt: skip
    return figure


def _plain(text: str) -> str:
    """Return text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")
