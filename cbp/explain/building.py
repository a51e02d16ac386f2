"""From a network and its data to graphs.

What lives here: which arguments are taken, the float64 copy that a graph works on, and each row's
share in the loss of its batch. All checks are the network's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import cbp

from .nodes import Graph

__all__ = ["graph", "graphs"]


def graph(
    net: cbp.Network,
    x: ArrayLike,
    t: ArrayLike,
    loss: str | Any = "auto",
    *,
    sample_weight: float | None = None,
) -> Graph:
    """Return the computational graph of a network on one row.

    Parameters
    ----------
    net : Network
        Any; the arithmetic is float64, whatever its dtype.
    x : array_like, (n_inputs,) or (1, n_inputs)
    t : array_like, (n_outputs,) or (1, n_outputs)
        The target; a number for one output, or the class's number for a softmax output.
    loss : str or loss object
        As for `Network.gradient`. The article's is "squared_error"; "auto" is the cross-entropy of
        a sigmoid or softmax output.
    sample_weight : float, optional
        Multiplies the loss, if its reduction is "sum"; a mean over one row does not know it.

    Returns
    -------
    Graph

    Raises
    ------
    TypeError, ValueError
        As `graphs`; there is more than one row.

    Examples
    --------
    >>> import cbp
    >>> net = cbp.Network([1, 2, 1], "sigmoid", "sigmoid", bias=False, dtype="float64")
    >>> net.parameters[:] = 0.1, 0.2, 0.3, 0.4
    >>> g = cbp.explain.graph(net, 1.5, 0.25, "squared_error")
    >>> len(g.edges), round(g.gradients["w1"], 7)
    (10, 0.0093302)
    """
    try:
        rows = np.asarray(x)
    except ValueError:
        raise ValueError(
            "`x` must be a rectangular array of numbers, got rows of different lengths."
        ) from None
    if rows.ndim < 2:
        x = rows.reshape(1, -1)
    elif len(rows) > 1:
        raise ValueError(
            f"`x` must be one row for `graph`, got {len(rows)}: `graphs` gives one graph for each."
        )
    if np.ndim(t) < 2 and np.size(t) != 1:
        t = np.reshape(t, (1, -1))
    elif np.ndim(t) == 0:
        t = np.reshape(t, 1)
    weight = None if sample_weight is None else [sample_weight]
    with _called({"`X`": "`x`", "`T`": "`t`"}):
        return graphs(net, x, t, loss, sample_weight=weight)[0]


def graphs(
    net: cbp.Network,
    X: ArrayLike,
    T: ArrayLike,
    loss: str | Any = "auto",
    *,
    sample_weight: ArrayLike | None = None,
) -> list[Graph]:
    """Return one graph for each row of a batch; their losses and gradients add up to the batch's.

    Parameters
    ----------
    net : Network
    X : array_like, (n_samples, n_inputs)
    T : array_like
        Targets, as for `Network.gradient`.
    loss : str or loss object
    sample_weight : array_like, (n_samples,), optional
        How much each row counts, at least 0; 1 by default.

    Returns
    -------
    list of Graph
        Each contains its row's share in the loss of the batch, 1/n for a mean without weights.

    Raises
    ------
    TypeError, ValueError
        As `Network.gradient`; the network has weights, or computes numbers, that are not finite.

    Examples
    --------
    >>> import cbp, numpy as np
    >>> net = cbp.Network([3, 2], dtype="float64", seed=1)
    >>> gs = cbp.explain.graphs(net, np.eye(3), np.ones((3, 2)))
    >>> whole = net.loss_and_gradient(np.eye(3), np.ones((3, 2)))[1]
    >>> np.allclose(sum(g.gradient for g in gs), whole)
    True
    """
    if not isinstance(net, cbp.Network):
        raise TypeError(f"`net` must be a Network, got {type(net).__name__}.")
    twin = float64(net)
    loss = cbp.Trainer(twin, loss, "sgd").loss
    with _called({"`Y`": "`T`"}):
        twin.gradient(X, T, loss, sample_weight=sample_weight)  # which refuses what does not fit
    X = twin.forward(X).a[0]  # standardised, if the network does so
    values, labels = loss.targets(
        T, len(X), net.sizes[-1], np.dtype(np.float64), net.activations[-1]
    )
    if values is None:
        values = np.eye(net.sizes[-1])[labels]
    scaled = twin.scaling is not None
    if twin.scaling is not None:
        values = standardised(values, twin.scaling, net.sizes[-1])
        twin.scaling = None
    shares = cbp.reference.losses.row_weights(len(X), sample_weight, loss.reduction)
    with np.errstate(all="ignore"):  # what is not finite is refused in words
        built = [Graph(twin, loss, x, t, float(s), scaled) for x, t, s in zip(X, values, shares)]
    for row, g in enumerate(built):
        _check_finite(g, row)
    return built


@contextmanager
def _called(names: dict[str, str]) -> Iterator[None]:
    """Let errors call the arguments as they are called here."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if len(error.args) == 1:
            message = str(error.args[0])
            for old, new in names.items():
                message = message.replace(old, new)
            error.args = (message,)
        raise


def _check_finite(g: Graph, row: int) -> None:
    """Refuse a graph with a number that is not finite: its paths would add up to nothing."""
    if np.isfinite(g.gradient).all() and np.isfinite(g.value):
        return
    numbers = [(node.name, node.value) for node in g.nodes]
    numbers += [(f"∂L/∂{node.name}", node.gradient) for node in g.nodes[::-1]]
    numbers += [(f"∂L/∂{name}", value) for name, value in g.gradients.items()]
    name, value = next(pair for pair in numbers if not np.isfinite(pair[1]))
    raise ValueError(f"All numbers must be finite to be explained: {name} is {value} in row {row}.")


def standardised(T: NDArray[np.float64], scaling: Any, n_outputs: int) -> NDArray[np.float64]:
    """Return targets in the units in which a network with a scaling measures its loss."""
    each = n_outputs // T.shape[1]  # outputs that one target has
    shift, scale = scaling.output_shift[::each], scaling.output_scale[::each]
    result: NDArray[np.float64] = (T - shift) / scale
    return result


def float64(net: cbp.Network) -> cbp.Network:
    """Return a float64 copy of a network: same layers, same parameters, 0 where a mask is."""
    layers = [replace(layer, init="zeros") for layer in net.layers]
    twin = cbp.Network([net.sizes[0], *layers], dtype="float64", seed=net.seed)
    twin.parameters[...] = net.parameters
    for W, layer in zip(twin.weights, twin.layers):
        if layer.mask is not None:
            W[~np.asarray(layer.mask)] = 0.0
    twin.scaling = net.scaling
    return twin
