"""Callbacks: what a user wants to do while a network is trained.

What lives here: the class that users derive from, under the names of Keras, and what calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import _check

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["Callback"]


class Callback:
    """Base class: override what you need, and pass an object to ``trainer.fit(callbacks=...)``.

    Attributes
    ----------
    trainer : Trainer
        The one that is fitting: its ``net``, ``history``, ``learning_rate`` (which may be set),
        ``stop()`` and ``evaluate()`` are for callbacks to use.

    Notes
    -----
    Epochs count from 0 over all calls of `fit`: ``trainer.history["loss"][epoch]`` is the loss of
    that epoch. `logs` holds the numbers of the epoch just ended. An exception ends the training,
    as Ctrl-C does, and comes out of `fit`. With a callback training stops at every end of an epoch,
    some microseconds; with an `on_train_batch_end` at every minibatch, which makes small networks
    many times slower.

    Examples
    --------
    >>> import cbp
    >>> class Halve(cbp.Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         self.trainer.learning_rate /= 2
    """

    trainer: Trainer

    def on_train_begin(self, logs: Mapping[str, float]) -> None:
        """Before the first epoch; `logs` is empty."""

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Before an epoch; `logs` is empty."""

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
        """After minibatch `batch` of the epoch, from 0; `logs` holds its loss before the update."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """After an epoch, its numbers taken."""

    def on_train_end(self, logs: Mapping[str, float]) -> None:
        """When the training has ended, however it did: the network is as `fit` leaves it."""


class _Function(Callback):
    """A plain function (epoch, logs), called at every end of an epoch."""

    def __init__(self, function: Callable[[int, Mapping[str, float]], Any]) -> None:
        self.function = function

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        self.function(epoch, logs)


def checked(callbacks: Any) -> list[Callback]:
    """Return a list of callbacks, given as one or several, functions among them."""
    several = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    result = []
    for item in several:
        if not isinstance(item, Callback):
            if not callable(item) or isinstance(item, type):
                raise TypeError(
                    "`callbacks` must hold cbp.Callback objects or functions (epoch, logs), "
                    f"got {item.__name__ if isinstance(item, type) else _check.shown(item)}."
                )
            item = _Function(item)
        result.append(item)
    return result


def wants_batches(callback: Callback) -> bool:
    """Return whether a callback asks for every minibatch."""
    return type(callback).on_train_batch_end is not Callback.on_train_batch_end
