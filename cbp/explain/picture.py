"""Pictures of a graph: SVG without any dependency, or matplotlib where asked.

What lives here: what users call. What stands in a drawing is `_scene`'s, where it stands
`_layout`'s, how it looks `_style`'s.
"""

from __future__ import annotations

import numbers
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _scene
from ._figure import figure
from ._style import COLOURS
from ._svg import svg

if TYPE_CHECKING:
    from .nodes import Graph

__all__ = ["Picture", "draw"]

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
        ("color", color, COLOURS),
        ("flow", flow, _FLOWS),
        ("backend", backend, _BACKENDS),
    ):
        if value not in known:
            words = " or ".join(f'"{word}"' for word in known)
            raise ValueError(f"`{name}` must be {words}, got {value!r}.")
    if isinstance(max_units, bool) or not isinstance(max_units, numbers.Integral):
        raise TypeError(f"`max_units` must be an integer, got {max_units!r}.")
    if max_units < 2:
        raise ValueError(f"`max_units` must be at least 2, got {max_units}.")
    chosen = () if weight is None else (weight,)
    scene = _scene.scene(graph, chosen, flow, int(max_units))
    if backend == "matplotlib":
        return figure(graph, scene, weight, color)
    return Picture(svg(graph, scene, weight, color))
