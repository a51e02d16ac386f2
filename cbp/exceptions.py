"""The exceptions of cbp that are not Python's own."""

from __future__ import annotations

__all__ = ["DivergenceError", "FormatError", "ScalingWarning"]


class DivergenceError(ArithmeticError):
    """Training ran out of the finite numbers: the loss or a parameter became infinite or NaN.

    The network holds the parameters of the last completed update, which may not be finite, the
    trainer's history every epoch completed before.

    Attributes
    ----------
    epoch : int
        The epoch in which it happened, counted from 1 over all calls of `Trainer.fit`.
    batch : int
        The batch of that epoch, counted from 1.
    layer : int
        The first layer whose parameters or outputs were not finite, counted from 1.
    """

    def __init__(self, message: str, epoch: int, batch: int, layer: int) -> None:
        super().__init__(message, epoch, batch, layer)  # all of them, so that it can be pickled
        self.epoch = epoch
        self.batch = batch
        self.layer = layer

    def __str__(self) -> str:
        return str(self.args[0])


class FormatError(ValueError):
    """A file is not one that cbp wrote, or has been damaged or tampered with since.

    Nothing has been made of it: a file is loaded whole or not at all.
    """


class ScalingWarning(UserWarning):
    """Inputs or targets are of a size that training is slow or hopeless for."""
