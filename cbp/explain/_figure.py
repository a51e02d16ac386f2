"""A scene as a matplotlib figure, for those who asked for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._scene import Scene
from ._style import INK, MUTED, PAPER, PLUM, RED, RULE, caption_text, largest, on_paths, stroke
from ._typeset import integer, short

if TYPE_CHECKING:
    from .nodes import Graph


def figure(graph: Graph, scene: Scene, weight: str | None, color: str) -> Any:
    """Return the same drawing as a matplotlib figure, one pixel a hundredth of an inch."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import FancyBboxPatch
    except ImportError:
        raise ImportError(
            'draw(backend="matplotlib") needs matplotlib: pip install cbp[plot]'
        ) from None
    drawing = Figure(figsize=(scene.width / 100, scene.height / 100), facecolor=PAPER)
    axes = drawing.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.set_axis_off()
    points = scene.font * 0.72  # a pixel is 0.72 points
    lit, visited = on_paths(graph, scene, weight) if weight else (None, set())
    most = largest(scene.lines, color)
    for line in scene.lines:
        colour, alpha, wide = stroke(line, color, most, lit)
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
    return drawing


def _plain(text: str) -> str:
    """Return text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")
