"""Optimizers: the numbers of an update rule. The update itself is compiled.

What lives here: value objects, checked when they are made. State (velocities, means) belongs to
the trainer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from . import _check

__all__ = ["OPTIMIZERS", "SGD", "Adam"]


@dataclass(frozen=True)
class SGD:
    """Gradient descent on minibatches, with momentum or Nesterov's momentum if wanted.

    v ← μ v - η g, then w ← w + v; Nesterov: w ← w + μ v - η g with the new v. Without momentum
    this is w ← w - η g.

    Parameters
    ----------
    learning_rate : float
        η, above 0.
    momentum : float
        μ (the α of Rumelhart et al.), at least 0 and below 1.
    nesterov : bool
        Take the step that looks ahead; needs momentum.

    Raises
    ------
    TypeError, ValueError
        A number is not of its kind or not in its range.

    References
    ----------
    Rumelhart, Hinton & Williams, Nature 323 (1986), eqs. 8 and 9.
    Sutskever, Martens, Dahl & Hinton, ICML 2013, eqs. 3 and 4.

    Examples
    --------
    >>> import cbp
    >>> cbp.SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=False)
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _check.number(self.learning_rate, "learning_rate", above=0.0)
        _check.number(self.momentum, "momentum", least=0.0, below=1.0)
        if _check.flag(self.nesterov, "nesterov") and not self.momentum:
            raise ValueError("`nesterov` needs a momentum: give `momentum=0.9`, say.")

    @property
    def rule(self) -> str:
        """The name of the compiled update."""
        if not self.momentum:
            return "sgd"
        return "nesterov" if self.nesterov else "momentum"


@dataclass(frozen=True)
class Adam:
    """Adam: a step scaled by running means of the gradient and of its square.

    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g²,
    w ← w - η m̂ / (√v̂ + ε) with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).

    Parameters
    ----------
    learning_rate : float
        η, above 0.
    beta_1, beta_2 : float
        β₁ and β₂, at least 0 and below 1.
    epsilon : float
        ε, above 0; stands outside the root, after the bias correction.

    Raises
    ------
    TypeError, ValueError
        A number is not of its kind or not in its range.

    References
    ----------
    Kingma & Ba, Adam, ICLR 2015, algorithm 1.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    rule: ClassVar[str] = "adam"

    def __post_init__(self) -> None:
        _check.number(self.learning_rate, "learning_rate", above=0.0)
        _check.number(self.beta_1, "beta_1", least=0.0, below=1.0)
        _check.number(self.beta_2, "beta_2", least=0.0, below=1.0)
        _check.number(self.epsilon, "epsilon", above=0.0)


OPTIMIZERS: dict[str, SGD | Adam] = {
    "sgd": SGD(),
    "momentum": SGD(momentum=0.9),
    "nesterov": SGD(momentum=0.9, nesterov=True),
    "adam": Adam(),
}


def checked(optimizer: Any) -> SGD | Adam:
    """Return `optimizer`, or the one of that name."""
    if isinstance(optimizer, (SGD, Adam)):
        return optimizer
    return OPTIMIZERS[_check.choice(optimizer, "optimizer", OPTIMIZERS)]
