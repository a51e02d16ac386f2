"""One self-contained web page of a graph: to step through, to click on, to read.

What lives here: the page's data, as text and JSON; `page.html`, `page.css` and `page.js` beside
this module are its form. What must not: a number that the page would have to work out. Every value,
product, count and updated weight is computed and rounded here; the script only shows and hides.
Invariant: the page is one file that asks the network for nothing, and says so in its
Content-Security-Policy.
"""

from __future__ import annotations

import itertools
import json
import math
import numbers
import os
import re
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _scene, _svg, _sweeps
from ._typeset import aligned, exact, integer, short
from .chains import Paths, coupled, n_paths
from .formulas import Work, counts
from .methods import derive

if TYPE_CHECKING:
    from .nodes import Graph

__all__ = ["html", "write"]

MOST_PARAMETERS = 200  # of a larger net only those between units that are drawn
MOST_PATHS = 24  # that are followed from one weight
ALL_PATHS = 1500  # that a page holds, about
ALL_FACTORS = 20_000  # of them all, about
MOST_LAYERS = 50
MOST_VISITS = 10**6  # by a method that is done for the page
FRAMES = 48  # of the race between the methods
METHODS = ("paths", "recursion", "memo", "delta", "forward", "central")
RATES = (0.1, 0.5, 1.0)
UPDATES = (1, 10, 100)
_LANGUAGES = ("en", "zh")


def write(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    weight: str | None = None,
    learning_rate: float = 0.5,
    title: str | None = None,
    language: str = "en",
) -> None:
    """Write the page to a file: see `html` for what stands in it."""
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"`path` must end in .html, got {str(path)!r}.")
    text = html(graph, weight=weight, learning_rate=learning_rate, title=title, language=language)
    Path(path).write_text(text, encoding="utf-8")


def html(
    graph: Graph,
    *,
    weight: str | None = None,
    learning_rate: float = 0.5,
    title: str | None = None,
    language: str = "en",
) -> str:
    """Return the page: the net, its sweeps, the paths of a weight, the work, the descent step.

    Parameters
    ----------
    graph : Graph
    weight : str, optional
        The weight or bias that is chosen when the page opens.
    learning_rate : float, above 0
        η of the descent step.
    title : str, optional
        The heading, in place of the page's own.
    language : {"en", "zh"}
        In which the page opens; a button switches.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range; there is no such weight; there are more than 50
        layers.
    """
    if language not in _LANGUAGES:
        raise ValueError(f'`language` must be "en" or "zh", got {language!r}.')
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, numbers.Real):
        raise TypeError(f"`learning_rate` must be a number, got {learning_rate!r}.")
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise ValueError(f"`learning_rate` must be above 0 and finite, got {learning_rate!r}.")
    if title is not None and not isinstance(title, str):
        raise TypeError(f"`title` must be text, got {title!r}.")
    if len(graph.z) > MOST_LAYERS:
        raise ValueError(
            f"A page shows up to {MOST_LAYERS} layers, and this network has {len(graph.z):,}: "
            "`explain.trace(graph)` prints all steps, `graph.draw()` draws them."
        )
    chosen = () if weight is None else (weight,)
    scenes = [_scene.scene(graph, chosen, flow, _scene.MOST_UNITS) for flow in ("right", "down")]
    drawn = _drawn_parameters(graph, scenes[0])
    data = {
        "language": language,
        "weight": weight,
        "title": title,
        "sizes": graph.names.sizes_in_words,
        "facts": _facts(graph),
        "parameters": [_parameter(graph, name) for name in drawn],
        "more": integer(len(graph.places) - len(drawn)),
        "steps": _sweeps.steps(graph, {card.node.name for card in scenes[0].cards}, drawn),
        "paths": _paths(graph, drawn),
        "work": _work(graph),
        "descent": _descent(graph, drawn, float(learning_rate)),
    }
    parts = {
        "title": escape(title or f"{data['sizes']}: back-propagation"),
        "language": language,
        "css": _file("page.css"),
        "js": _file("page.js"),
        "wide": _svg.svg(graph, scenes[0], for_page=True),
        "tall": _svg.svg(graph, scenes[1], for_page=True),
        "data": _json(data),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _file("page.html"))


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _json(data: Any) -> str:
    """Return strict JSON that may stand in a script element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":  # all of them only inside of strings
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _drawn_parameters(graph: Graph, scene: _scene.Scene) -> list[str]:
    """Return all parameters of a small net; of a large one those that can be seen."""
    if len(graph.places) <= MOST_PARAMETERS:
        return graph.names.in_order(graph.places)
    seen = {line.parameter for line in scene.lines}
    seen |= {card.extra[0] for card in scene.cards if card.extra}
    return [name for name in graph.places if name in seen]


def _facts(graph: Graph) -> list[list[str]]:
    """Return what the net is and what it is given, as (word, text)."""
    facts = []
    for name, values in (("x", graph.x), ("t", graph.t)):
        numbers = [short(float(v)) for v in values[:6]]
        if len(values) > 6:
            numbers[4:] = ["…"]
        text = ", ".join(numbers)
        facts.append([name, f"({text})" if len(values) > 1 else text])
    facts.append(["f", ", ".join(dict.fromkeys(graph.activations))])
    facts.append(["L", graph.loss.name.replace("_", " ")])
    if graph.standardised:
        facts.append(["standardised", ""])
    return facts


def _parameter(graph: Graph, name: str) -> dict[str, str]:
    return {
        "name": name,
        "value": aligned(graph.parameters[name]),
        "gradient": aligned(graph.gradients[name]),
        "exact": exact(graph.gradients[name]),
        "short_value": aligned(graph.parameters[name], 8),
        "short_gradient": aligned(graph.gradients[name], 8),
    }


def _paths(graph: Graph, drawn: list[str]) -> dict[str, Any]:
    """Return the first paths of every weight with their factors and growing products."""
    factors = sum(2 * (len(graph.z) - graph.place(name)[0]) + 1 for name in drawn)
    most = max(4, min(MOST_PATHS, ALL_PATHS // len(drawn)))
    most = max(1, min(most, ALL_FACTORS // factors))
    result: dict[str, Any] = {}
    for name in drawn:
        every = Paths(graph, name)
        shown, sums = [], 0.0
        for path in itertools.islice(every, most):
            values = [value for _, value in path.factors]
            products = list(itertools.accumulate(values, lambda a, b: a * b))
            sums += products[-1]
            shown.append(
                {
                    "nodes": path.nodes,
                    "values": [aligned(v) for v in values],
                    "products": [aligned(v) for v in products],
                    "exact": exact(products[-1]),
                }
            )
        total = graph.gradients[name]
        left = every.count - len(shown)
        result[name] = {
            "count": integer(every.count),
            "shown": shown,
            "left": integer(left),
            "rest": aligned(total - sums) if left else None,
            # The order in which products are added may show in the last digit.
            "total": aligned(total if left else sums),
            "exact": exact(total if left else sums),
        }
    return result


def _work(graph: Graph) -> dict[str, Any]:
    """Return how far every method has come after so many multiplications, frame by frame."""
    work = _counted(graph)
    totals = [work[name].multiplications for name in work]
    most, least = max(totals), min(totals)
    linear = most <= 40 * least
    frames = []
    for frame in range(FRAMES + 1):
        share = frame / FRAMES
        done = -(-most * frame // FRAMES) if linear else _power(most, share)
        done = most if frame == FRAMES else min(done, most)
        row = []
        for total in totals:
            now = min(done, total)
            part = now / most if linear else math.log(now + 1) / math.log(most + 1)
            row.append([integer(now), f"{100 * part:.2f}", now == total])
        frames.append([integer(done), row])
    rows = []
    for name, w in work.items():
        rows.append(
            {
                "name": name,
                "multiplications": integer(w.multiplications),
                "additions": integer(w.additions),
                "passes": integer(w.passes),
            }
        )
    return {
        "rows": rows,
        "frames": frames,
        "linear": linear,
        "visits": integer(_walked(graph)),
        "edges": integer(graph.n_edges),
    }


def _counted(graph: Graph) -> dict[str, Work]:
    """Return the work of every method: by the formulas, or where there are masks by doing it."""
    biases = [b is not None for b in graph.biases]
    work = counts(graph.sizes, bias=biases, softmax=coupled(graph)).work
    if all(mask is None for mask in graph.masks):
        return {name: work[name] for name in METHODS}
    # The formulas are of dense nets, and bounds for masked ones.
    few = [name for name in METHODS if work[name].visits <= MOST_VISITS]
    return {name: derive(graph, name).work for name in few}


def _walked(graph: Graph) -> int:
    """Return how many edges the sum over all paths of all parameters walks along."""
    walked, last = 0, len(graph.z) - 1
    for layer in range(last + 1):
        mask, bias = graph.masks[layer], int(graph.biases[layer] is not None)
        for j in range(graph.sizes[layer + 1]) if mask is not None else [0]:
            units = graph.sizes[layer + 1] if mask is None else 1
            into = graph.sizes[layer] if mask is None else int(mask[:, j].sum())
            edges = n_paths(graph, layer, j) * (2 * (last - layer) + 3)
            walked += units * (into + bias) * edges
    return walked


def _power(most: int, share: float) -> int:
    """Return most ** share, rounded down, for integers beyond the range of floats too."""
    if share == 0:
        return 0
    digits, fraction = divmod(share * math.log10(most), 1.0)
    return int(10.0 ** (6 + fraction)) * int("1" + "0" * int(digits)) // 10**6


def _descent(graph: Graph, drawn: list[str], learning_rate: float) -> list[dict[str, Any]]:
    """Return w, ∂L/∂w, w - η ∂L/∂w and the loss before and after, for several η."""
    result = []
    for rate in sorted({*RATES, learning_rate}):
        losses = _losses(graph, rate)
        result.append(
            {
                "rate": short(rate),
                "first": rate == learning_rate,
                "new": [aligned(graph.parameters[n] - rate * graph.gradients[n], 8) for n in drawn],
                "before": [aligned(graph.value), exact(graph.value)],
                "after": [[integer(n), aligned(value), exact(value)] for n, value in losses],
                "falls": losses[0][1] < graph.value,
            }
        )
    return result


def _losses(graph: Graph, rate: float) -> list[tuple[int, float]]:
    """Return (n, the loss after n updates)."""
    updates = UPDATES if graph.net.n_parameters <= 50_000 else UPDATES[:1]
    net, here, losses = graph.net.copy(), graph, []
    for n in range(1, updates[-1] + 1):
        with np.errstate(all="ignore"):  # too large a rate may lead anywhere, and the page says so
            net.parameters[:] -= rate * here.gradient
            here = type(graph)(net, graph.loss, graph.x, graph.t, graph.share)
        if n in updates:
            losses.append((n, here.value))
    return losses
