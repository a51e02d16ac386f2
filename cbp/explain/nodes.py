"""The computational graph of a network on one row: every node's value, every edge's partial.

What lives here: the graph itself, and the reverse sweep that gives every node its derivative. The
values come from the compiled core, in float64; the partials are worked out here, from the equations
of `cbp.reference`, so that the two can be held against each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import cbp

from . import local
from .names import Names, unknown

__all__ = ["Edge", "Graph", "Node"]


@dataclass(frozen=True)
class Node:
    """A quantity of the network.

    Attributes
    ----------
    name : str
        As in the article: "x1", "z3", "h1", "y", "b1", "L"; by layer in nets that are not its.
    kind : str
        "x" input, "z" weighted sum, "h" output of a hidden unit, "y" output, "b" bias, "L" loss.
    layer : int
        0 for x, l for z, h, y and b of layer l, one more than the last layer for L.
    index : int
        Number within the layer, from 0.
    value : float
    gradient : float
        ∂L/∂node.
    """

    name: str
    kind: str
    layer: int
    index: int
    value: float
    gradient: float


@dataclass(frozen=True)
class Edge:
    """One partial derivative.

    Attributes
    ----------
    source, target : str
        Names of the nodes between which the edge is drawn. Between h1 and z3 lie two: ∂z3/∂h1 and
        ∂z3/∂w3.
    partial : float
        ∂target/∂parameter, or ∂target/∂source if no parameter is named.
    parameter : str or None
        The weight or bias.
    """

    source: str
    target: str
    partial: float
    parameter: str | None = None

    @property
    def name(self) -> str:
        """The partial derivative in symbols, as "∂z1/∂w5"."""
        return f"∂{self.target}/∂{self.parameter or self.source}"


class Graph:
    """What `graph` returns: a network on one row, with every value and every derivative.

    Attributes
    ----------
    net : Network
        A float64 copy of the network, without its scaling.
    x, t : ndarray
        Inputs and targets, in the network's own units if it standardises: L and its derivatives are in those
        units, as in `Network.gradient`.
    standardised : bool
        Whether the network does so.
    sizes : tuple of int
    activations : tuple of str
    loss : loss object
    share : float
        The row's share in the loss of its batch, which L and every derivative contain; 1 for a
        single row.
    names : Names
        What nodes and parameters are called.
    nodes : tuple of Node
        x, then z and h layer by layer, each bias before its z; y and L last.
    edges : tuple of Edge
        In the order of the forward pass. One for each partial derivative on a way from a parameter
        to L: those by the inputs, ∂z/∂x, are not among them, nor are weights that a mask leaves out.
    parameters, gradients : dict of float
        Every weight and bias by its name, and ∂L/∂ it.
    deltas : list of ndarray, (n_outputs,)
        δ = ∂L/∂z, one entry a layer.
    """

    def __init__(
        self,
        net: cbp.Network,
        loss: Any,
        x: NDArray[np.float64],
        t: NDArray[np.float64],
        share: float,
        standardised: bool = False,
    ) -> None:
        self.net, self.loss, self.share, self.standardised = net, loss, share, standardised
        self.sizes, self.activations = net.sizes, net.activations
        self.names = Names(self.sizes)
        self.x, self.t = x, t
        forward = net.forward(x)
        #: z of layers 1 ... L, and a of layers 0 ... L.
        self.z: list[NDArray[np.float64]] = [z[0] for z in forward.z]
        self.a: list[NDArray[np.float64]] = [a[0] for a in forward.a]
        self.weights: list[NDArray[np.float64]] = list(net.weights)
        self.biases: list[NDArray[np.float64] | None] = list(net.biases)
        #: Which weights there are, of each layer; None: all.
        self.masks = [None if m is None else np.asarray(m) for m in (y.mask for y in net.layers)]
        last = len(self.z) - 1
        #: The activations: names, and objects of the user's own.
        self.functions = [layer.activation for layer in net.layers]
        self.head = local.Head(loss, self.functions[-1], self.sizes[-1])
        #: ∂a/∂z of every layer: (n_outputs,), or (n_outputs, n_outputs) with ∂a_k/∂z_j at (j, k).
        self.slopes: list[NDArray[np.float64]] = [
            local.jacobian(f, z, a, layer == last and self.head.takes_probabilities)
            for layer, (f, z, a) in enumerate(zip(self.functions, self.z, self.a[1:]))
        ]
        #: ∂L/∂y.
        self.loss_slope: NDArray[np.float64] = (
            share * self.head.slope(self.z[-1], self.a[-1], t) + 0.0
        )
        self.value: float = share * self.head.value(self.z[-1], self.a[-1], t)
        self._sweep()

    def _sweep(self) -> None:
        """Give every node its ∂L/∂node, the last layer first."""
        down = self.loss_slope
        self.output_gradients: list[NDArray[np.float64]] = [down]  # ∂L/∂a of layers 0 ... L
        self.deltas: list[NDArray[np.float64]] = []
        for W, slope in zip(reversed(self.weights), reversed(self.slopes)):
            self.deltas.insert(0, slope * down if slope.ndim == 1 else slope @ down)
            down = W @ self.deltas[0]
            self.output_gradients.insert(0, down)
        self.weight_gradients = [
            np.outer(a, d) * (1.0 if mask is None else mask)
            for a, d, mask in zip(self.a, self.deltas, self.masks)
        ]

    def __repr__(self) -> str:
        return (
            f"<Graph of {self.names.sizes_in_words}: {self.n_edges:,} edges, "
            f"{self.loss.name} L = {self.value:.6g}>"
        )

    @property
    def n_edges(self) -> int:
        """How many edges there are, without making them."""
        n_weights = [
            W.size if mask is None else int(mask.sum()) for W, mask in zip(self.weights, self.masks)
        ]
        n_biases = sum(len(b) for b in self.biases if b is not None)
        n_slopes = sum(slope.size for slope in self.slopes)
        return 2 * sum(n_weights) - n_weights[0] + n_biases + n_slopes + self.sizes[-1]

    def linked(self, layer: int, i: int, j: int) -> bool:
        """Whether there is a weight from input i to unit j of a layer, all from 0."""
        mask = self.masks[layer]
        return mask is None or bool(mask[i, j])

    # ---- nodes and edges ------------------------------------------------------------------------

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node with its value and derivative."""
        return tuple(self._nodes())

    def _nodes(self) -> Iterator[Node]:
        names, last = self.names, len(self.z)
        for i, value in enumerate(self.a[0]):
            yield Node(names.x(i), "x", 0, i, float(value), float(self.output_gradients[0][i]))
        for layer, (b, d) in enumerate(zip(self.biases, self.deltas)):
            at = layer + 1
            for j, value in enumerate(self.z[layer]):
                if b is not None:
                    yield Node(names.bias(layer, j), "b", at, j, float(b[j]), float(d[j]))
                yield Node(names.z(layer, j), "z", at, j, float(value), float(d[j]))
            kind = "y" if at == last else "h"
            for j, value in enumerate(self.a[at]):
                slope = float(self.output_gradients[at][j])
                yield Node(names.a(layer, j), kind, at, j, float(value), slope)
        yield Node("L", "L", last + 1, 0, self.value, 1.0)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every edge with its local partial derivative."""
        return tuple(self._edges())

    def _edges(self) -> Iterator[Edge]:
        names = self.names
        for layer, (W, b, slope) in enumerate(zip(self.weights, self.biases, self.slopes)):
            n_inputs, n_outputs = W.shape
            for j in range(n_outputs):
                z = names.z(layer, j)
                for i in range(n_inputs):
                    if not self.linked(layer, i, j):
                        continue
                    source, w = names.output(layer, i), names.weight(layer, i, j)
                    yield Edge(source, z, float(self.a[layer][i]), w)
                    if layer:
                        yield Edge(source, z, float(W[i, j]))
                if b is not None:
                    yield Edge(names.bias(layer, j), z, 1.0, names.bias(layer, j))
            for j in range(n_outputs):
                if slope.ndim == 1:
                    yield Edge(names.z(layer, j), names.a(layer, j), float(slope[j]))
                    continue
                for k in range(n_outputs):
                    yield Edge(names.z(layer, j), names.a(layer, k), float(slope[j, k]))
        for k, partial in enumerate(self.loss_slope):
            yield Edge(names.a(len(self.z) - 1, k), "L", float(partial))

    @cached_property
    def _node_of(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def node(self, name: str) -> Node:
        """Return the node of this name.

        Raises
        ------
        ValueError
            There is none; the sentence lists the nearest names.
        """
        if name not in self._node_of:
            raise ValueError(unknown(name, "node", self._node_of))
        return self._node_of[name]

    # ---- pictures -------------------------------------------------------------------------------

    def draw(self, weight: str | None = None, color: str = "partial", **options: Any) -> Any:
        """Return a drawing: an SVG `Picture`, which needs nothing, or a matplotlib figure.

        Parameters
        ----------
        weight : str, optional
            A parameter whose paths to the loss are drawn in red.
        color : {"partial", "contribution"}
            What the lines' colours and widths stand for.
        **options
            flow, max_units and backend: see `cbp.explain.picture.draw`.

        Examples
        --------
        >>> import cbp
        >>> net = cbp.Network([3, 2, 1], "sigmoid", dtype="float64", seed=1)
        >>> picture = cbp.explain.graph(net, [1, 2, 3], [0.25]).draw("w1_2_1")
        >>> picture.svg[:4]
        '<svg'
        """
        from . import picture

        return picture.draw(self, weight, color, **options)

    def _repr_svg_(self) -> str:
        svg: str = self.draw().svg
        return svg

    def to_html(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write one self-contained web page: step through the sweeps, choose a weight, compare.

        Parameters
        ----------
        path : str or path
            The file to write, called ``.html``. It asks the network for nothing and can be sent as it is.
        **options
            weight, learning_rate, title and language: see `cbp.explain.page.html`.
        """
        from . import page

        page.write(self, path, **options)

    # ---- parameters -----------------------------------------------------------------------------

    @cached_property
    def places(self) -> dict[str, tuple[int, int | None, int]]:
        """(layer, input, unit) of every parameter, from 0; the input of a bias is None."""
        places: dict[str, tuple[int, int | None, int]] = {}
        for layer, (W, b) in enumerate(zip(self.weights, self.biases)):
            n_inputs, n_outputs = W.shape
            for i in range(n_inputs):
                for j in range(n_outputs):
                    if self.linked(layer, i, j):
                        places[self.names.weight(layer, i, j)] = layer, i, j
            if b is not None:
                for j in range(n_outputs):
                    places[self.names.bias(layer, j)] = layer, None, j
        return places

    def place(self, parameter: str) -> tuple[int, int | None, int]:
        """Return (layer, input or None for a bias, unit), from 0, of a parameter.

        Raises
        ------
        ValueError
            There is none of this name; the sentence lists the nearest names.
        """
        if not isinstance(parameter, str) or parameter not in self.places:
            raise ValueError(unknown(parameter, "weight", self.names.in_order(self.places)))
        return self.places[parameter]

    @cached_property
    def _present(self) -> NDArray[np.bool_]:
        """Which of ``net.parameters`` there are: those that no mask leaves out."""
        parts = []
        for W, mask, b in zip(self.weights, self.masks, self.biases):
            parts.append(np.ones(W.size, bool) if mask is None else mask.ravel())
            if b is not None:
                parts.append(np.ones(len(b), bool))
        return np.concatenate(parts)

    def position(self, parameter: str) -> int:
        """Return where a parameter stands in ``net.parameters``.

        Raises
        ------
        ValueError
            There is none of this name.
        """
        self.place(parameter)
        return int(np.flatnonzero(self._present)[list(self.places).index(parameter)])

    def vector(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return values of all that are in `places` as a vector like ``net.parameters``."""
        result = np.zeros(self.net.n_parameters)
        result[self._present] = values
        return result

    @cached_property
    def parameters(self) -> dict[str, float]:
        """Every weight and bias by its name, in the order of ``net.parameters``."""
        return dict(zip(self.places, self.net.parameters[self._present].tolist()))

    @cached_property
    def gradients(self) -> dict[str, float]:
        """∂L/∂parameter by its name, in the order of ``net.parameters``."""
        return dict(zip(self.places, self.gradient[self._present].tolist()))

    @cached_property
    def gradient(self) -> NDArray[np.float64]:
        """∂L/∂parameters, in the order of ``net.parameters``; 0 where a mask leaves one out."""
        parts = []
        for dW, d, b in zip(self.weight_gradients, self.deltas, self.biases):
            parts.append(dW.ravel())
            if b is not None:
                parts.append(d)
        return np.concatenate(parts)
