"""What is said of a run whose numbers became infinite or NaN: epoch, batch, layer and remedy.

What lives here: the search for the layer, and the words. What must not: putting anything back.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from . import _check
from ._measuring import chunk_of
from ._training import Diverged
from .exceptions import DivergenceError
from .network import Network

SPOILT = "start again from a new network, the parameters were spoilt before this call"


def of_run(error: Diverged, layer: int, where: str, remedy: str) -> DivergenceError:
    """Return the error that names the epoch, the batch and the layer."""
    epoch = error.epoch + 1
    if math.isfinite(error.loss):
        batch = error.batch
        text = f"A parameter became infinite or NaN by the end of epoch {epoch}"
    else:
        batch = error.batch + 1
        text = f"The loss became {error.loss} in epoch {epoch}, batch {batch}"
    return DivergenceError(f"{text} ({where}): {remedy}.", epoch, batch, layer)


def of_batch(error: Diverged, net: Network, X: NDArray[Any], rate: float) -> DivergenceError:
    """Return the error for a single batch, which has updated nothing."""
    remedy = f"lower the learning rate (now {rate:g}) or scale the inputs"
    spoilt = not _check.is_finite(net.parameters)
    return of_run(error, *first_not_finite(net, X), SPOILT if spoilt else remedy)


def first_not_finite(net: Network, X: NDArray[Any]) -> tuple[int, str]:
    """Return the first layer whose parameters, or outputs for X, are not finite, and the same
    in words."""
    for layer, arrays in enumerate(zip(net.weights, net.biases), 1):
        if not all(_check.is_finite(array) for array in arrays if array is not None):
            return layer, f"layer {layer}'s parameters are not finite"
    for first in range(0, len(X), chunk_of(net)):
        forward = net.forward(X[first : first + chunk_of(net)])
        for layer, (z, a) in enumerate(zip(forward.z, forward.a[1:]), 1):
            if not (_check.is_finite(z) and _check.is_finite(a)):
                return layer, f"layer {layer}'s outputs were the first that were not finite"
    return len(net.weights), "the outputs are finite, but too far from the targets"
