"""The learning-rate finder: a short training whose rate grows, on a copy of the network.

What lives here: the curve, and how it is drawn. The training is the trainer's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _run, schedules
from ._training import Diverged

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["RateCurve"]

_KEPT = 0.9  # what the running mean of the losses keeps at each step
_TOO_MUCH = 4.0  # times the least smoothed loss: the end of the curve


@dataclass(frozen=True, eq=False, repr=False)
class RateCurve:
    """How the loss went while the learning rate grew: see `Trainer.find_learning_rate`.

    Attributes
    ----------
    rates : ndarray, (n_steps,)
        The rate of each step.
    losses : ndarray, (n_steps,)
        The loss of each minibatch before its update.
    smoothed : ndarray, (n_steps,)
        Their running mean: s_t = Σ 0.9^(t-i) ℓ_i / Σ 0.9^(t-i).
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]

    def __repr__(self) -> str:
        return (
            f"RateCurve({len(self.rates)} steps, rates {self.rates[0]:.3g} to "
            f"{self.rates[-1]:.3g}, suggestion {self.suggestion:.3g})"
        )

    @property
    def suggestion(self) -> float:
        """A tenth of the rate at which the smoothed loss is least: a rate to try first."""
        return float(self.rates[int(np.argmin(self.smoothed))] / 10.0)

    def plot(self) -> Any:
        """Return a matplotlib figure: the losses over the rates, the suggestion marked.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            matplotlib is not installed: ``pip install cbp[plot]``.
        """
        try:
            from matplotlib import pyplot
        except ImportError:
            raise ImportError("`plot` needs matplotlib: pip install cbp[plot]") from None
        figure, panel = pyplot.subplots(layout="constrained")
        panel.plot(self.rates, self.losses, "0.8", label="minibatch")
        panel.plot(self.rates, self.smoothed, "C0", label="running mean")
        label = f"suggestion {self.suggestion:.2g}"
        panel.axvline(self.suggestion, color="C1", linestyle=":", label=label)
        panel.set_xscale("log")
        low, high = self.smoothed.min(), self.smoothed[0]
        margin = 0.1 * (high - low) or 0.1
        panel.set_ylim(low - margin, high + 5.0 * margin)
        panel.set_xlabel("learning rate")
        panel.set_ylabel("loss")
        panel.legend()
        return figure


def find(twin: Trainer, rows: _run.Rows, lowest: float, highest: float, steps: int) -> RateCurve:
    """Return the curve of a trainer that may be spoilt."""
    loop = twin._loop
    growth = schedules.Exponential(highest / lowest, max(steps - 1, 1))
    rates = growth.rates(range(steps), lowest)
    losses: list[float] = []
    smoothed: list[float] = []
    total = weight = 0.0
    threads = twin._threads(rows.batch_size)
    rows.begin()
    loop.rewind()
    for step in range(steps):
        try:
            loop.run(np.empty(1), 0.0, threads, None, rates[step : step + 1])
        except Diverged:
            break
        losses.append(loop.batch_loss)
        total, weight = _KEPT * total + losses[-1], _KEPT * weight + 1.0
        smoothed.append(total / weight)
        if not math.isfinite(smoothed[-1]) or smoothed[-1] > _TOO_MUCH * abs(min(smoothed)):
            break
    loop.release()
    n = len(losses)
    return RateCurve(rates[:n].copy(), np.array(losses), np.array(smoothed))
