"""What the nodes and parameters of a network are called.

What lives here: names, and nothing that is computed. Two conventions: the article's own for its
three nets (1-2-1, 2-2-1, 2-2-2), where z and w are numbered through the whole net; and names by
layer for every other net: ``w1_2_3`` leads, in layer 1, from input 2 to unit 3. Numbers in names
count from 1, as the article's do.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

__all__ = ["Names", "check_graph", "latex", "unknown"]

# (layer, input, output), all from 0, of the article's nets; 1-2-1 and 2-2-1 have some of them.
_ARTICLE_SIZES = ((1, 2, 1), (2, 2, 1), (2, 2, 2))
_ARTICLE_WEIGHTS = {
    (0, 0, 0): "w1",
    (0, 0, 1): "w2",
    (1, 0, 0): "w3",
    (1, 1, 0): "w4",
    (0, 1, 0): "w5",
    (0, 1, 1): "w6",
    (1, 0, 1): "w7",
    (1, 1, 1): "w8",
}
_MOST_NEAREST = 3
_MOST_SIZES = 12


class Names:
    """The names of one network's nodes and parameters; every number given counts from 0.

    Parameters
    ----------
    sizes : tuple of int
        Inputs, then units of every layer.

    Examples
    --------
    >>> Names((2, 2, 2)).weight(0, 1, 0), Names((3, 2, 2)).weight(0, 1, 0)
    ('w5', 'w1_2_1')
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.sizes = tuple(sizes)
        self.article = self.sizes in _ARTICLE_SIZES

    @property
    def sizes_in_words(self) -> str:
        """The sizes, "2-2-2"; of a deep net the first and the last."""
        texts = [str(size) for size in self.sizes]
        if len(texts) <= _MOST_SIZES:
            return "-".join(texts)
        return f"{'-'.join(texts[:3])}-...-{texts[-1]} ({len(texts) - 1:,} layers)"

    def in_order(self, parameters: Iterable[str]) -> list[str]:
        """Return names of parameters as one reads them: the article's w1, w2, ... w8, b1, ...

        They are numbered through its nets, and not in the order of layers.
        """
        if not self.article:
            return list(parameters)
        return sorted(parameters, key=lambda name: (name[0] == "b", int(name[1:])))

    def x(self, i: int) -> str:
        """Return the name of an input."""
        return "x" if self.sizes[0] == 1 else f"x{i + 1}"

    def z(self, layer: int, j: int) -> str:
        """Return the name of a weighted sum."""
        return self._unit("z", layer, j)

    def a(self, layer: int, j: int) -> str:
        """Return the name of what a unit gives out: h, or y in the last layer."""
        if layer == len(self.sizes) - 2:
            return "y" if self.sizes[-1] == 1 else f"y{j + 1}"
        return self._unit("h", layer, j)

    def output(self, layer: int, i: int) -> str:
        """Return the name of what layer `layer` takes from its input i: x or h."""
        return self.x(i) if layer == 0 else self.a(layer - 1, i)

    def weight(self, layer: int, i: int, j: int) -> str:
        """Return the name of the weight from input i to unit j of a layer."""
        if self.article:
            return _ARTICLE_WEIGHTS[layer, i, j]
        return f"w{layer + 1}_{i + 1}_{j + 1}"

    def bias(self, layer: int, j: int) -> str:
        """Return the name of a unit's bias."""
        return self._unit("b", layer, j)

    def _unit(self, letter: str, layer: int, j: int) -> str:
        if self.article:
            return f"{letter}{sum(self.sizes[1 : layer + 1]) + j + 1}"
        return f"{letter}{layer + 1}_{j + 1}"


def latex(name: str) -> str:
    """Return a name as LaTeX writes it: ``w5`` is w_{5}, ``w1_2_3`` is w^{(1)}_{2,3}."""
    letter, number = name[0], name[1:]
    if not number:
        return letter
    layer, *units = number.split("_")
    if not units:
        return f"{letter}_{{{layer}}}"
    return f"{letter}^{{({layer})}}_{{{','.join(units)}}}"


def check_graph(graph: object) -> None:
    """Refuse what is no `Graph`, a network above all; the class itself is imported nowhere here."""
    if not hasattr(type(graph), "places"):
        raise TypeError(
            "`graph` must be a Graph, which `explain.graph(net, x, t)` returns, got "
            f"{type(graph).__name__}."
        )


def unknown(name: object, kind: str, known: Collection[str]) -> str:
    """Return the sentence that refuses a name: it lists the nearest ones."""
    near = difflib.get_close_matches(str(name), known, _MOST_NEAREST, cutoff=0.3)
    if not near:
        near = list(known)[:_MOST_NEAREST]
    if len(known) <= 2 * _MOST_NEAREST + 2:
        return f"`{kind}` must be one of {', '.join(known)}, got {name!r}."
    return f"There is no {kind} {name!r} in this network; the nearest are {', '.join(near)}."
