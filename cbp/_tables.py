"""Tables of a network and of a history, as text and as HTML for notebooks.

What lives here: words and alignment. What must not: numbers that are not told elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .history import History
    from .network import Network

__all__ = ["Table", "of_history", "of_network"]

_MOST_ROWS = 12  # of a history in a notebook


class Table(NamedTuple):
    """Columns by name, rows of words, and lines to stand below."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    foot: Sequence[str] = ()

    def text(self) -> str:
        """Return the table for a terminal: numbers to the right, words to the left."""
        lines = [list(self.columns), *map(list, self.rows)]
        widths = [max(len(line[k]) for line in lines) for k in range(len(self.columns))]
        right = [all(_is_number(row[k]) for row in self.rows) for k in range(len(self.columns))]
        right[0] = False
        aligned = [
            "  ".join(
                word.rjust(width) if to_right else word.ljust(width)
                for word, width, to_right in zip(line, widths, right)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*aligned, *self.foot])

    def html(self) -> str:
        """Return the table for a notebook."""
        from html import escape

        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(word)}</td>" for word in row) + "</tr>"
            for row in self.rows
        )
        foot = "".join(f"<div>{escape(line)}</div>" for line in self.foot)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{foot}"


def _is_number(word: str) -> bool:
    try:
        float(word.replace(",", ""))
    except ValueError:
        return False
    return True


def of_network(net: Network) -> Table:
    """Return the layers of a network."""
    words = {True: "yes", False: "no", "weights": "weights", "biases": "biases"}
    rows, also = [], []
    for index, layer in enumerate(net.layers):
        n_inputs = net.sizes[index]
        n_parameters = (n_inputs + bool(layer.bias)) * layer.n_outputs
        rows.append([
            str(index + 1), str(n_inputs), str(layer.n_outputs), net.activations[index],
            f"{n_parameters:,}", words[layer.trainable],
        ])  # fmt: skip
        options = []
        if layer.dropout:
            options.append(f"dropout {layer.dropout:g}")
        if layer.mask is not None:
            options.append(f"mask {np.count_nonzero(layer.mask):,} of {np.size(layer.mask):,}")
        if layer.max_norm is not None:
            options.append(f"max-norm {layer.max_norm:g}")
        if layer.nonnegative:
            options.append("non-negative")
        also.append(", ".join(options))
    columns = ["layer", "inputs", "outputs", "activation", "parameters", "trainable"]
    if any(also):
        columns.append("also")
        rows = [[*row, words] for row, words in zip(rows, also)]
    size = net.parameters.nbytes
    foot = [f"{net.n_parameters:,} parameters, {net.dtype.name}, {size:,} bytes"]
    if net.scaling is not None:
        both = "inputs and targets are" if net.scaling.moves_outputs else "inputs are"
        foot.append(f"{both} standardised: see net.scaling")
    elif net.standardize:
        foot.append("the first fit will standardise")
    return Table(columns, rows, foot)


def of_history(history: History) -> Table:
    """Return the first and the last epochs of a history, counted as the trainer's."""
    n = history.epochs
    epochs: list[int | None] = list(range(n))
    if n > _MOST_ROWS:
        epochs = [*range(_MOST_ROWS // 2), None, *range(n - _MOST_ROWS // 2, n)]
    rows = [
        ["…"] * (len(history) + 1)
        if epoch is None
        else [str(history.first + epoch), *(f"{column[epoch]:.6g}" for column in history.values())]
        for epoch in epochs
    ]
    foot = [f"{n} {'epoch' if n == 1 else 'epochs'}, {history.seconds:.3g} s"]
    if history.best_epoch is not None:
        foot.append(f"the network holds the parameters of epoch {history.best_epoch}")
    return Table(["epoch", *history], rows, foot)
