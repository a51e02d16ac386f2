"""Initial weights: which distribution, and the numbers themselves.

What lives here: the rules by which a layer's sizes give the width of a distribution. Biases start
at zero. Invariant: the numbers depend on seed, layer, sizes and rule alone; they are computed in
double precision and rounded once to the network's type.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _check, _runtime

__all__ = ["INITIALIZERS", "Normal", "Uniform"]

_PURPOSE = 1  # the random stream of initial weights; one sub-stream a layer


@dataclass(frozen=True)
class Uniform:
    """Weights uniform on [-limit, limit).

    Parameters
    ----------
    limit : float
        At least 0.
    """

    limit: float = 0.05

    def __post_init__(self) -> None:
        _check.number(self.limit, "limit", least=0.0)

    def draw(self, n_inputs: int, n_outputs: int, seed: int, layer: int) -> NDArray[np.float64]:
        """Return the weights (n_inputs, n_outputs) of layer number `layer`."""
        W = np.empty(n_inputs * n_outputs)
        _runtime.uniform(W, seed, _PURPOSE, layer)
        W *= 2.0  # exact, as is the difference: a multiple of 2⁻⁵²
        W -= 1.0
        W *= self.limit
        return W.reshape(n_inputs, n_outputs)


@dataclass(frozen=True)
class Normal:
    """Weights from the normal distribution with mean 0.

    Parameters
    ----------
    std : float
        Standard deviation, at least 0.
    """

    std: float = 0.05

    def __post_init__(self) -> None:
        _check.number(self.std, "std", least=0.0)

    def draw(self, n_inputs: int, n_outputs: int, seed: int, layer: int) -> NDArray[np.float64]:
        """Return the weights (n_inputs, n_outputs) of layer number `layer`."""
        W = np.empty(n_inputs * n_outputs)
        _runtime.normal(W, seed, _PURPOSE, layer)
        W *= self.std
        return W.reshape(n_inputs, n_outputs)


# From (n_inputs, n_outputs) of a layer to its distribution. A uniform distribution of variance s²
# has the limit s √3. Glorot & Bengio, AISTATS 2010 (eq. 16); He et al., ICCV 2015 (eq. 10);
# LeCun et al., Efficient BackProp, 1998 (eq. 16).
INITIALIZERS: dict[str, Callable[[int, int], Uniform | Normal]] = {
    "glorot_uniform": lambda i, o: Uniform(math.sqrt(6.0 / (i + o))),
    "glorot_normal": lambda i, o: Normal(math.sqrt(2.0 / (i + o))),
    "he_uniform": lambda i, o: Uniform(math.sqrt(6.0 / i)),
    "he_normal": lambda i, o: Normal(math.sqrt(2.0 / i)),
    "lecun_uniform": lambda i, o: Uniform(math.sqrt(3.0 / i)),
    "lecun_normal": lambda i, o: Normal(math.sqrt(1.0 / i)),
    "uniform": lambda i, o: Uniform(),
    "normal": lambda i, o: Normal(),
    "zeros": lambda i, o: Uniform(0.0),
}


_AUTO = {
    **dict.fromkeys(("relu", "leaky_relu", "elu", "gelu", "silu", "mish"), "he_normal"),
    "selu": "lecun_normal",
}


def checked(init: Any) -> str | Uniform | Normal:
    """Return `init` if it is "auto", a name of INITIALIZERS, or a distribution."""
    if isinstance(init, (Uniform, Normal)):
        return init
    return _check.choice(init, "init", ["auto", *INITIALIZERS])


def initial_weights(
    init: str | Uniform | Normal,
    activation: str,
    n_inputs: int,
    n_outputs: int,
    seed: int,
    layer: int,
) -> NDArray[np.float64]:
    """Return the weights (n_inputs, n_outputs) with which layer number `layer` starts.

    "auto" is he_normal before relu and its like, which pass about half of the variance on,
    lecun_normal before selu (Klambauer et al., NeurIPS 2017), else glorot_uniform.
    """
    if init == "auto":
        init = _AUTO.get(activation, "glorot_uniform")
    rule = INITIALIZERS[init](n_inputs, n_outputs) if isinstance(init, str) else init
    return rule.draw(n_inputs, n_outputs, seed, layer)
