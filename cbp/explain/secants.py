"""How sensitive the loss is to one weight: ΔL/Δw, which tends to ∂L/∂w as Δw shrinks.

What lives here: secants, the sign rule, and the loss as a curve over one weight with its tangent.
Losses are the compiled core's, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

import cbp

from .building import graph
from .chains import full, shown
from .nodes import Graph
from .tables import html_table, pyplot, text_table

__all__ = ["Curve", "Sensitivity", "sensitivity"]

STEPS = (1.0, 0.1, 0.01, 0.001)


class Curve(NamedTuple):
    """The loss over one weight.

    Attributes
    ----------
    w, loss, tangent : ndarray, (n,)
        The weight's values, L there, and the line that touches L at the present value.
    """

    w: NDArray[np.float64]
    loss: NDArray[np.float64]
    tangent: NDArray[np.float64]


class Sensitivity:
    """What `sensitivity` returns: a table of secants that prints itself.

    Attributes
    ----------
    weight : str
    value : float
        The weight's.
    loss : float
        L at this value.
    gradient : float
        ∂L/∂weight.
    steps, losses, secants : ndarray, (n,)
        Δw, L(w + Δw), and ΔL/Δw.
    downhill : int
        The sign rule: -1 if L falls as the weight shrinks, +1 if it falls as the weight grows, 0
        where it does neither. A small enough step this way lowers L.
    """

    def __init__(self, g: Graph, weight: str, steps: ArrayLike) -> None:
        self._graph, self.weight = g, weight
        self._index = g.position(weight)
        self.value = g.parameters[weight]
        self.gradient = g.gradients[weight]
        self.loss = self.loss_at(self.value)
        self.steps = np.asarray(steps, dtype=np.float64)
        self.losses = np.array([self.loss_at(self.value + step) for step in self.steps])
        self.secants = (self.losses - self.loss) / self.steps
        self.downhill = -int(np.sign(self.gradient))

    def loss_at(self, value: float) -> float:
        """Return L with the weight at `value`, all others as they are."""
        g = self._graph
        before = g.net.parameters[self._index]
        g.net.parameters[self._index] = value
        try:
            loss, _ = g.net.loss_and_gradient(g.x, g.t[np.newaxis], g.loss)
        finally:
            g.net.parameters[self._index] = before
        return g.share * loss if g.loss.reduction == "sum" else loss

    def curve(self, reach: float = 2.0, n: int = 101) -> Curve:
        """Return L and its tangent over the weight, from value - reach to value + reach.

        Parameters
        ----------
        reach : float
        n : int
            How many points, an odd number if the present value is to be one.
        """
        w = self.value + np.linspace(-reach, reach, n)
        loss = np.array([self.loss_at(value) for value in w])
        return Curve(w, loss, self.loss + self.gradient * (w - self.value))

    def sentence(self) -> str:
        """Return the sign rule in words."""
        way = {-1: "falls as it shrinks", 0: "does not change at first", 1: "falls as it grows"}
        sign = {-1: " > 0", 0: "", 1: " < 0"}[self.downhill]
        return (
            f"∂L/∂{self.weight} = {full(self.gradient)}{sign} at {self.weight} = "
            f"{shown(self.value)}: L {way[self.downhill]}."
        )

    def _table(self) -> tuple[list[str], list[list[str]]]:
        header = ["Δ" + self.weight, "L", "ΔL", "ΔL/Δ" + self.weight, "ΔL/Δw - ∂L/∂w"]
        rows = [
            [
                f"{step:g}",
                f"{loss:.12f}",
                f"{loss - self.loss:+.6e}",
                f"{secant:+.12f}",
                f"{secant - self.gradient:+.3e}",
            ]
            for step, loss, secant in zip(self.steps, self.losses, self.secants)
        ]
        return header, rows

    def __str__(self) -> str:
        return f"{self.sentence()}\n{text_table(*self._table())}"

    def __repr__(self) -> str:
        return f"<Sensitivity to {self.weight}: {self.gradient:g}>"

    def to_html(self) -> str:
        """Return the sign rule and the secants as an HTML table."""
        return html_table(self.sentence(), *self._table())

    _repr_html_ = to_html

    def plot(self, ax: Any = None, *, reach: float = 2.0) -> Any:
        """Draw the loss over the weight, with its tangent; return the axes.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        ax = ax if ax is not None else pyplot().subplots(layout="constrained")[1]
        w, loss, tangent = self.curve(reach)
        ax.plot(w, loss, label="L")
        ax.plot(w, tangent, "--", label=f"slope {self.gradient:.4g}")
        ax.plot([self.value], [self.loss], "o", color="black")
        ax.set_xlabel(self.weight)
        ax.set_ylabel("L")
        ax.legend()
        return ax


def sensitivity(
    net: cbp.Network,
    x: ArrayLike,
    t: ArrayLike,
    weight: str,
    steps: Sequence[float] = STEPS,
    loss: str | Any = "auto",
) -> Sensitivity:
    """Return how much the loss changes as one weight does, step by step down to the limit.

    Parameters
    ----------
    net : Network
        Not changed; the arithmetic is float64.
    x : array_like, (n_inputs,)
    t : array_like, (n_outputs,)
    weight : str
        The name of a weight or bias, as in `graph`.
    steps : list of float
        Δw, none of them zero.
    loss : str or loss object

    Returns
    -------
    Sensitivity

    Raises
    ------
    TypeError, ValueError
        As `graph`; there is no such weight; a step is zero.

    Examples
    --------
    >>> import cbp
    >>> net = cbp.Network([1, 2, 1], "sigmoid", "sigmoid", bias=False, dtype="float64")
    >>> net.parameters[:] = 0.1, 0.2, 0.3, 0.4
    >>> s = cbp.explain.sensitivity(net, 1.5, 0.25, "w1", loss="squared_error")
    >>> [round(secant, 7) for secant in s.secants.tolist()], round(s.gradient, 7)
    ([0.007705, 0.0092865, 0.0093274, 0.00933], 0.0093302)
    """
    g = graph(net, x, t, loss)
    g.place(weight)
    try:
        sizes = np.asarray(steps, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"`steps` must be a list of numbers, got {steps!r}; a loss goes by its name, `loss=`."
        ) from None
    if sizes.ndim != 1 or not len(sizes) or not np.all(np.isfinite(sizes) & (sizes != 0)):
        raise ValueError(f"`steps` must be numbers other than zero, got {steps}.")
    return Sensitivity(g, weight, sizes)
