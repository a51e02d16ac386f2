"""A scene as SVG, for a file or a notebook, and for the page, which styles it and lights it up.

Invariant: every name is escaped, and every number was written by `_typeset`.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ._layout import Box, Caption, Line
from ._scene import Card, Gap, Scene
from ._style import (
    COLOURS, INK, MUTED, NEGATIVE, PAPER, PLUM, POSITIVE, RED, RULE, caption_text, largest,
    number, on_paths, strength, stroke,
)  # fmt: skip
from ._typeset import SANS, exact, integer, name_width, short, svg_name, tally, width
from .chains import n_paths

if TYPE_CHECKING:
    from .nodes import Graph


def svg(
    graph: Graph,
    scene: Scene,
    weight: str | None = None,
    color: str = "partial",
    *,
    for_page: bool = False,
) -> str:
    """Return the SVG of a scene; for the page without background and legend, and with handles."""
    lit, visited = on_paths(graph, scene, weight) if weight else (None, set())
    title = graph.names.sizes_in_words
    most = {name: largest(scene.lines, name) for name in COLOURS}
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
    order = sorted(scene.lines, key=lambda line: (line.source, line.target) in (lit or ()))
    parts += [_line(line, lit, color, most, for_page) for line in order]
    parts += [_label(line, scene, weight, for_page) for line in scene.lines if line.label]
    if for_page:
        parts += [_tally(line.tally, line, scene) for line in scene.lines if line.tally]
    for card in scene.cards:
        parts.append(_card(card, scene.font, card.node.name in visited, weight))
    parts += [_gap(gap, scene.font) for gap in scene.gaps]
    parts += [_caption(caption) for caption in scene.captions]
    for k, row in enumerate(legend):
        parts.append(_legend_row(row, scene.height + 16.0 + 22.0 * k))
    return "\n".join([*parts, "</svg>"])


def _line(
    line: Line, lit: set[tuple[str, str]] | None, color: str, most: dict[str, float], for_page: bool
) -> str:
    x1, y1, x2, y2 = line.ends
    colour, opacity, wide = stroke(line, color, most[color], lit)
    coordinates = f'x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"'
    what = line.parameter or f"∂{line.target}/∂{line.source}"
    data, handle = "", ""
    if for_page:
        signs = []
        for name in COLOURS:
            v = number(line, name)
            signs.append(f"{name}-{'plus' if v > 0 else 'minus' if v < 0 else 'zero'}")
            data += f"--{name}:{strength(v, most[name]):.3f};"
        data += f"--visits:{strength(line.visits / most['visits'], 1.0):.3f};"
        parameter = f' data-parameter="{escape(line.parameter)}"' if line.parameter else ""
        data = (
            f' class="line {" ".join(signs)}" data-source="{escape(line.source)}" '
            f'data-target="{escape(line.target)}"{parameter} style="{data}"'
        )
        handle = f'<line class="handle" {coordinates}/>' if line.parameter else ""
    return (
        f"<g{data}><title>{escape(what)} = {exact(line.value)}</title>"
        f'<line class="ink" {coordinates} stroke="{colour}" stroke-width="{wide:.2f}" '
        f'stroke-opacity="{opacity:.2f}" stroke-linecap="round"/>{handle}</g>'
    )


def _label(line: Line, scene: Scene, weight: str | None, for_page: bool) -> str:
    assert line.label is not None and line.parameter is not None
    box, name = line.label, line.parameter
    style = f'fill="{RED}" font-weight="bold"' if name == weight else f'fill="{INK}"'
    text = svg_name(name, scene.font, short(line.value) if line.label_value else "")
    button = visits = ""
    if for_page:
        button = f' data-parameter="{escape(name)}" role="button" tabindex="0" aria-label="'
        button += f'{escape(name)} = {exact(line.value)}"'
        visits = _tally(box, line, scene)
    return (
        f'<g class="label"{button}><rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.w:.1f}" '
        f'height="{box.h:g}" rx="4" fill="{PAPER}"/><text x="{box.cx:.1f}" '
        f'y="{box.cy + scene.font * 0.36:.1f}" {style}>{text}</text>{visits}</g>'
    )


def _tally(box: Box, line: Line, scene: Scene) -> str:
    return (
        f'<text class="visits" x="{box.cx:.1f}" y="{box.cy + scene.font * 0.34:.1f}" '
        f'font-size="{scene.font * 0.92:g}">{tally(line.visits)}</text>'
    )


def _card(card: Card, font: float, visited: bool, weight: str | None) -> str:
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


def _gap(gap: Gap, font: float) -> str:
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


def _caption(caption: Caption) -> str:
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


def _legend_row(row: list[tuple[str, str, str]], y: float) -> str:
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
