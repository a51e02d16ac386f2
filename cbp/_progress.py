"""Progress of a training run on stderr: tqdm's bar if it is installed, else a line of its own.

What lives here: when to show, and what the line says. Nothing is written where nobody looks.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

_UPDATE_SECONDS = 0.1


class Progress:
    """The progress of `n_epochs` epochs; a context manager, so that the line always ends.

    `show`: True, False, or "auto" for "if stderr is a terminal".
    """

    def __init__(self, n_epochs: int, show: bool | str) -> None:
        self.n_epochs = n_epochs
        self.shown = _is_terminal() if show == "auto" else bool(show) and sys.stderr is not None
        self._bar: Any = None
        self._width = 0

    def __enter__(self) -> Progress:
        self._start = time.monotonic()
        self._next = 0.0
        if self.shown:
            try:
                from tqdm import tqdm
            except ImportError:
                pass
            else:
                self._bar = tqdm(total=self.n_epochs, unit="epoch", file=sys.stderr)
        return self

    def update(self, epoch: int, values: Mapping[str, float]) -> None:
        """Say that `epoch` epochs are done, the last with these values."""
        now = time.monotonic()
        if not self.shown or (now < self._next and epoch < self.n_epochs):
            return
        self._next = now + _UPDATE_SECONDS
        if self._bar is not None:
            self._bar.set_postfix(
                {name: f"{value:.4g}" for name, value in values.items()}, refresh=False
            )
            self._bar.update(epoch - self._bar.n)
        else:
            self._write(line(epoch, self.n_epochs, values, now - self._start, _columns()))

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._width:
            sys.stderr.write("\n")
            sys.stderr.flush()

    def _write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)


def line(
    epoch: int,
    n_epochs: int,
    values: Mapping[str, float],
    seconds: float,
    width: int | None = None,
) -> str:
    """Return "epoch 3/30  loss 0.1234  1.2 s, about 11 s left", with the values that fit."""
    words = [f"epoch {epoch}/{n_epochs}"]
    numbers = [f"{name} {value:.4g}" for name, value in values.items()]
    time_words = _duration(seconds)
    if 0 < epoch < n_epochs:
        time_words += f", about {_duration(seconds * (n_epochs - epoch) / epoch)} left"
    while width is not None and numbers and len("  ".join([*words, *numbers, time_words])) > width:
        numbers.pop()
    return "  ".join([*words, *numbers, time_words])[:width]


def _duration(seconds: float) -> str:
    """Return "1.2 s", "45 s", "3 min 20 s" or "2 h 5 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _columns() -> int | None:
    """Columns that a line may have, lest it wraps and stays on the screen; None: any."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (AttributeError, ValueError, OSError):  # no terminal, or not even a file
        return None
    return columns - 1 if columns > 1 else None


def _is_terminal() -> bool:
    """Whether somebody may be looking at stderr."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False
