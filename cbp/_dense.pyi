from typing import Any

from numpy.typing import NDArray

def forward(
    a_out: NDArray[Any],
    z: NDArray[Any],
    a_in: NDArray[Any],
    theta: NDArray[Any],
    bias: bool,
    activation: int,
) -> None: ...
def delta(
    d_in: NDArray[Any],
    d_out: NDArray[Any],
    source: NDArray[Any],
    theta: NDArray[Any],
    activation_in: int,
) -> None: ...
def gradient(
    d_w: NDArray[Any], d_b: NDArray[Any], a_in: NDArray[Any], d_out: NDArray[Any]
) -> None: ...
