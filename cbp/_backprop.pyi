from collections.abc import Callable, Sequence
from typing import Any

from numpy import float64, int64
from numpy.typing import NDArray
from typing_extensions import Self, disjoint_base

ACTIVATIONS: dict[str, int]
CUSTOM_ACTIVATION: int
LOSSES: dict[str, int]

@disjoint_base
class Objective:
    custom: Callable[..., tuple[NDArray[Any], NDArray[Any]]] | None
    def __new__(
        cls,
        loss: int,
        *,
        parameter: float = 0.0,
        positive: float = 1.0,
        negative: float = 1.0,
        table: NDArray[float64] | None = None,
        mask_nan: bool = False,
        custom: Callable[..., tuple[NDArray[Any], NDArray[Any]]] | None = None,
    ) -> Self: ...

@disjoint_base
class Core:
    n_parameters: int
    itemsize: int
    def __new__(
        cls,
        theta: NDArray[Any],
        sizes: Sequence[int],
        activations: Sequence[int],
        bias: Sequence[bool],
        functions: Sequence[Any] | None = None,
    ) -> Self: ...
    def scale(
        self, inputs: NDArray[float64] | None, outputs: NDArray[float64] | None
    ) -> None: ...
    def begin_reading(self) -> None: ...
    def end_reading(self) -> None: ...
    def predict(self, X: NDArray[Any], out: NDArray[Any], n_threads: int) -> int: ...
    def forward(
        self, X: NDArray[Any], Z: list[NDArray[Any]], A: list[NDArray[Any]], n_threads: int
    ) -> int: ...
    def gradient(
        self,
        X: NDArray[Any],
        target: NDArray[Any] | None,
        labels: NDArray[int64] | None,
        weight: NDArray[float64] | None,
        loss: Objective,
        reduction: int,
        l2: float,
        grad: NDArray[Any] | None,
        deltas: list[NDArray[Any]] | None,
        n_threads: int,
        out: NDArray[Any] | None = None,
    ) -> tuple[float, int]: ...

@disjoint_base
class Predictor:
    def __new__(
        cls, core: Core, dtype: str, otherwise: Callable[..., NDArray[Any]]
    ) -> Self: ...
    def __call__(self, x: Any, out: NDArray[Any] | None = None) -> NDArray[Any]: ...
