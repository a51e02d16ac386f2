"""The cells: which nets, batches and jobs are timed, and the bars they are held to.

What lives here: data, and formulas on sizes. What must not: a backend, a clock. Invariant: a cell
determines its data and initial weights to the bit, in every process, so that no arrays need to be
sent to the backends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

# Output activation and loss; "quad" is ½‖y - t‖². Every loss is a mean over the rows of a batch.
HEADS = ("softmax_ce", "sigmoid_bce", "linear_quad", "sigmoid_quad")
# Adam's is small because its first steps have the size of the rate whatever the gradient's: where a
# relu is 0 up to rounding, and on in one backend only, they differ by per cents of it.
LEARNING_RATES = {"sgd": 0.1, "momentum": 0.01, "adam": 0.0001}
MOMENTUM, BETA_1, BETA_2, EPSILON = 0.9, 0.9, 0.999, 1e-8
# How often an update reads or writes one parameter or one element of optimizer state.
UPDATE_TRAFFIC = {"sgd": 2, "momentum": 4, "adam": 6}


@dataclass(frozen=True)
class Case:
    """One cell of the tables.

    Attributes
    ----------
    group : str
        What `--cells` names.
    job : {"train", "predict", "gradient"}
    sizes : tuple of int
        Inputs, then units of every layer.
    activation : {"relu", "sigmoid", "tanh"}
        Of the hidden layers.
    head : one of HEADS
    optimizer : {"sgd", "momentum", "adam"}
    batch : int
        Rows of a minibatch, or rows predicted in one call.
    n_batches : int
        Minibatches the data hold; training passes over them again and again, in order.
    per_call : int
        Steps of one call; 0: as many as the timed block has.
    bars : dict
        By number of threads: the ratio (best peer / cbp) that is aimed at.
    against : str
        The peer that the bar speaks of; "": the best.
    """

    group: str
    job: str
    sizes: tuple[int, ...]
    activation: str
    head: str
    optimizer: str
    batch: int
    n_batches: int = 1
    per_call: int = 0
    bars: tuple[tuple[int, float], ...] = ()
    against: str = ""

    @property
    def name(self) -> str:
        """What the tables call the cell."""
        rule = f" {self.optimizer}" if self.job == "train" else ""
        net = "-".join(map(str, self.sizes))
        return f"{self.job} {net} {self.activation}/{self.head}{rule} b{self.batch}"

    @property
    def bar(self) -> dict[int, float]:
        """The bars by number of threads."""
        return dict(self.bars)

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return sum((i + 1) * o for i, o in zip(self.sizes, self.sizes[1:]))

    @property
    def flops(self) -> int:
        """Floating-point operations of the products in one step or call: 2 for each
        multiply-add; forward, dW = aᵀδ, and δ of every layer but the first."""
        products = [i * o for i, o in zip(self.sizes, self.sizes[1:])]
        forward = sum(products)
        if self.job == "predict":
            return 2 * self.batch * forward
        return 2 * self.batch * (2 * forward + forward - products[0])

    def bytes_moved(self, itemsize: int) -> int:
        """Bytes that one step or call must read and write at least once from some cache: rows,
        parameters forward (and backward, but for the first layer), activations (and deltas)
        written and read, parameters and optimizer state at the update."""
        units = self.batch * sum(self.sizes[1:])
        first = self.sizes[0] * self.sizes[1]
        elements = self.batch * self.sizes[0] + self.n_parameters + 2 * units
        if self.job != "predict":
            elements += self.n_parameters - first + 2 * units
            update = UPDATE_TRAFFIC[self.optimizer] if self.job == "train" else 1
            elements += update * self.n_parameters
        return itemsize * elements


class Data(NamedTuple):
    """Rows X, and targets: labels (n,) for a softmax head, else values (n, n_outputs)."""

    X: Any
    targets: Any


def data(case: Case, dtype: str, n_batches: int | None = None) -> Data:
    """Return the first `n_batches` minibatches of the case's data."""
    n = case.batch * min(n_batches or case.n_batches, case.n_batches)
    rng = np.random.default_rng([20_240_101, *case.sizes, case.batch])
    # All draws as float32, so that the values do not depend on `dtype`.
    X = rng.random((case.batch * case.n_batches, case.sizes[0]), dtype=np.float32)
    X *= 2
    X -= 1
    X = X[:n].astype(dtype, copy=n != len(X))
    labels = rng.integers(0, max(case.sizes[-1], 2), len(X))
    if case.head == "softmax_ce":
        return Data(X, labels)
    if case.head == "linear_quad":
        return Data(X, rng.random((n, case.sizes[-1]), dtype=np.float32).astype(dtype))
    if case.sizes[-1] == 1:
        return Data(X, labels[:, None].astype(dtype))
    return Data(X, np.eye(case.sizes[-1], dtype=dtype)[labels])


def initial(case: Case, dtype: str) -> Any:
    """Return the initial parameters, flat: W1 | b1 | W2 | b2 ..., W (n_inputs, n_outputs)."""
    rng = np.random.default_rng([7, *case.sizes])
    gain = 2.0 if case.activation == "relu" else 1.0
    blocks = []
    for i, o in zip(case.sizes, case.sizes[1:]):
        blocks.append(rng.standard_normal(i * o, dtype=np.float32) * np.float32((gain / i) ** 0.5))
        blocks.append(rng.standard_normal(o, dtype=np.float32) * np.float32(0.1))
    return np.concatenate(blocks).astype(dtype)


def blocks(flat: Any, sizes: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """Return views [(W1, b1), (W2, b2), ...] of a flat vector."""
    views, at = [], 0
    for i, o in zip(sizes, sizes[1:]):
        W = flat[at : at + i * o].reshape(i, o)
        b = flat[at + i * o : at + (i + 1) * o]
        views.append((W, b))
        at += (i + 1) * o
    return views


def _both(bar: float) -> tuple[tuple[int, float], ...]:
    return ((1, bar), (2, bar))


def _train(
    group: str,
    sizes: tuple[int, ...],
    kind: str,
    optimizer: str,
    batch: int,
    n_batches: int,
    bars: tuple[tuple[int, float], ...],
    **more: Any,
) -> Case:
    activation, head = kind.split("/")
    return Case(group, "train", sizes, activation, head, optimizer, batch, n_batches,
                bars=bars, **more)  # fmt: skip


MNIST, DEEPER, LARGE = (784, 128, 10), (784, 256, 128, 10), (1024, 2048, 2048, 2048, 1000)
IRIS, DIGITS = (4, 16, 3), (64, 64, 10)

CASES = [
    _train("tiny", IRIS, "relu/softmax_ce", "momentum", 8, 19, ((1, 10.0),)),
    _train("tiny", IRIS, "relu/softmax_ce", "momentum", 32, 5, ((1, 10.0),)),
    _train("tiny", (30, 16, 1), "relu/sigmoid_bce", "adam", 32, 18, ((1, 7.0),)),
    _train("tiny", (4, 32, 16, 4), "tanh/linear_quad", "adam", 10_000, 1, ((1, 3.0),)),
    _train("tiny", (2, 2, 1), "tanh/sigmoid_bce", "momentum", 4, 1, ((1, 4.0),), per_call=1000),
    _train("small", DIGITS, "relu/softmax_ce", "adam", 32, 56, _both(2.5)),
    _train("small", DIGITS, "relu/softmax_ce", "adam", 200, 9, _both(2.5)),
    _train("small", (10, 64, 64, 1), "relu/linear_quad", "adam", 32, 32, _both(2.5)),
    _train("small", (784, 30, 10), "sigmoid/sigmoid_quad", "sgd", 10, 100, _both(2.5)),
    *(
        _train("mid", sizes, f"{activation}/softmax_ce", optimizer, batch, 2048 // batch,
               ((1, 1.35), (2, 1.4)))
        for sizes in (MNIST, DEEPER)
        for batch in (32, 128, 512)
        for optimizer in ("adam", "momentum")
        for activation in ("relu", "sigmoid")
    ),
    *(
        _train("large", LARGE, "relu/softmax_ce", optimizer, batch, 2, _both(1.0))
        for batch in (256, 1024)
        for optimizer in ("momentum", "adam")
    ),
    *(
        Case("onerow", "predict", sizes, "relu", "softmax_ce", "sgd", 1, bars=((1, bar),))
        for sizes, bar in ((IRIS, 8.0), (DIGITS, 6.0), (MNIST, 2.5))
    ),
    *(
        Case("predict", "predict", sizes, "relu", "softmax_ce", "sgd", batch, bars=_both(1.3))
        for sizes, batch in ((MNIST, 1024), (MNIST, 60_000), (DIGITS, 1797))
    ),
    *(
        Case("gradient", "gradient", sizes, "relu", "softmax_ce", "sgd", batch)
        for sizes, batch in ((DIGITS, 32), (MNIST, 128), (DEEPER, 512))
    ),
    # What FANN can do too: plain gradient descent, sigmoids, squared error.
    *(
        _train("fann", sizes, "sigmoid/sigmoid_quad", "sgd", batch, n_batches, ((1, 1.2),),
               against="fann")
        for sizes, batch, n_batches in (
            ((2, 2, 1), 4, 1), (IRIS, 150, 1), ((784, 30, 10), 1, 500), ((784, 30, 10), 10, 100),
        )
    ),
    *(
        Case("fann", "predict", sizes, "sigmoid", "sigmoid_quad", "sgd", 1, bars=((1, 1.2),),
             against="fann")
        for sizes in (IRIS, (784, 30, 10))
    ),
]  # fmt: skip
GROUPS = tuple(dict.fromkeys(case.group for case in CASES))


def sweep_case(width: int) -> Case:
    """Return the cell 10-w-w-10 of the width sweep."""
    return _train("sweep", (10, width, width, 10), "relu/softmax_ce", "adam", 128, 8, ())


def sweep_widths(least: int = 8, most: int = 1024) -> list[int]:
    """Return widths whose neighbours are one unit or at most 5 % apart."""
    widths = [least]
    while widths[-1] < most:
        widths.append(min(most, max(widths[-1] + 1, int(widths[-1] * 1.05))))
    return widths


# (M, K, N): forward M×K times K×N; ("gradient", ...): Xᵀδ, K×M times M×N with M rows.
KERNELS = [
    ("forward", 128, 784, 128),
    ("forward", 512, 784, 256),
    ("forward", 10, 784, 30),
    ("forward", 32, 64, 64),
    ("forward", 128, 128, 784),
    ("forward", 1024, 2048, 2048),
    ("gradient", 128, 784, 128),
    ("gradient", 128, 256, 128),
    ("gradient", 1024, 2048, 2048),
]
