from collections.abc import Mapping, Sequence
from typing import Any

from numpy import float64, int64, intp
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from ._backprop import Core, Objective

OPTIMIZERS: dict[str, int]
N_STATES: dict[int, int]
STEP_STATE: tuple[str, ...]

class Diverged(ArithmeticError):
    loss: float
    epoch: int
    batch: int
    def __init__(self, loss: float, epoch: int, batch: int) -> None: ...

@disjoint_base
class Loop:
    learning_rate: float
    def __init__(
        self,
        core: Core,
        *,
        loss: Objective,
        reduction: int,
        optimizer: int,
        hyper: Mapping[str, float],
        l2: float,
        states: Sequence[NDArray[Any]],
        trainable: Sequence[tuple[bool, bool]],
        mask: NDArray[Any] | None,
        batch_size: int,
        shuffle: bool,
        seed: int,
        by_rows: Mapping[str, float] | None = None,
        l1: float = 0.0,
        clip_value: float = 0.0,
        clip_norm: float = 0.0,
        nonnegative: Sequence[bool] | None = None,
        max_norm: Sequence[float] | None = None,
        dropout: Sequence[float] | None = None,
        average: NDArray[Any] | None = None,
        average_decay: float = 0.0,
    ) -> None: ...
    def bind(
        self,
        X: NDArray[Any],
        target: NDArray[Any] | None,
        labels: NDArray[int64] | None,
        weight: NDArray[float64] | None,
        *,
        batch_size: int | None = None,
        shuffle: bool | None = None,
        rows: NDArray[intp] | None = None,
    ) -> None: ...
    def release(self) -> None: ...
    def keep(self) -> None: ...
    def restore(self) -> None: ...
    def stop(self) -> None: ...
    @property
    def stopped(self) -> bool: ...
    def update(
        self,
        X: NDArray[Any],
        target: NDArray[Any] | None,
        labels: NDArray[int64] | None,
        weight: NDArray[float64] | None,
        n_threads: int,
        counts: bool = False,
    ) -> float: ...
    def update_plain(
        self, X: object, Y: object, rate: float, n_threads: int
    ) -> float | None: ...
    def plain(self, X: object, Y: object) -> bool: ...
    def end_epoch(self) -> float: ...
    @property
    def batch_loss(self) -> float: ...
    def batch_rows(self) -> list[int]: ...
    def run(
        self,
        losses: NDArray[float64],
        seconds: float,
        n_threads: int,
        order: NDArray[intp] | None = None,
        rates: NDArray[float64] | None = None,
        limit: float = 0.0,
    ) -> int: ...
    def rewind(self) -> None: ...
    @property
    def row(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def threads_used(self) -> int: ...
    @property
    def small_used(self) -> bool: ...
    def state(self) -> dict[str, Any]: ...
    def set_state(self, state: Mapping[str, Any]) -> None: ...
