"""Optimizers: the numbers of an update rule. The update itself is compiled.

What lives here: value objects, checked when they are made. State (velocities, means) belongs to
the trainer.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from . import _check

__all__ = [
    "OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Lion", "Nadam", "Optimizer", "RMSprop",
    "Rprop",
]  # fmt: skip


class Optimizer:
    """What all optimizers have in common: numbers for a compiled update rule."""

    rule: ClassVar[str]
    learning_rate: float

    @property
    def hyper(self) -> dict[str, float]:
        """The numbers by the names that the compiled loop has for them."""
        return dict(vars(self))

    @property
    def starts(self) -> tuple[float, ...]:
        """What each state of a parameter starts at."""
        return (0.0,)


@dataclass(frozen=True)
class SGD(Optimizer):
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
    weight_decay : float
        λ, at least 0: w ← w - η λ w before the step, decoupled from the gradient; all trained
        parameters, biases included. (The trainer's `l2` is coupled, and for weights alone.)

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
    SGD(learning_rate=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check.number(self.learning_rate, "learning_rate", above=0.0)
        _check.number(self.momentum, "momentum", least=0.0, below=1.0)
        if _check.flag(self.nesterov, "nesterov") and not self.momentum:
            raise ValueError("`nesterov` needs a momentum: give `momentum=0.9`, say.")
        _check.number(self.weight_decay, "weight_decay", least=0.0)

    @property
    def starts(self) -> tuple[float, ...]:
        """What each state of a parameter starts at: the velocity, if there is momentum."""
        return (0.0,) if self.momentum else ()

    @property
    def rule(self) -> str:  # type: ignore[override]
        """The name of the compiled update."""
        if not self.momentum:
            return "sgd"
        return "nesterov" if self.nesterov else "momentum"


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop: the gradient divided by a running root mean square of itself.

    v ← α v + (1 - α) g², w ← w - η g / (√v + ε); with momentum b ← μ b + g / (√v + ε),
    w ← w - η b.

    Parameters
    ----------
    learning_rate : float
        η, above 0.
    alpha : float
        α, at least 0 and below 1.
    epsilon : float
        ε, above 0; stands outside the root.
    momentum : float
        μ, at least 0 and below 1.

    Raises
    ------
    TypeError, ValueError
        A number is not of its kind or not in its range.

    References
    ----------
    Tieleman & Hinton, lecture 6.5 of Neural Networks for Machine Learning, 2012; the details
    are those of PyTorch.
    """

    learning_rate: float = 0.01
    alpha: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0

    def __post_init__(self) -> None:
        _check.number(self.learning_rate, "learning_rate", above=0.0)
        _check.number(self.alpha, "alpha", least=0.0, below=1.0)
        _check.number(self.epsilon, "epsilon", above=0.0)
        _check.number(self.momentum, "momentum", least=0.0, below=1.0)

    @property
    def rule(self) -> str:  # type: ignore[override]
        """The name of the compiled update."""
        return "rmsprop_momentum" if self.momentum else "rmsprop"

    @property
    def hyper(self) -> dict[str, float]:
        """The numbers by the names that the compiled loop has for them."""
        return {**vars(self), "beta_2": self.alpha}

    @property
    def starts(self) -> tuple[float, ...]:
        """What v and, with momentum, b start at."""
        return (0.0, 0.0) if self.momentum else (0.0,)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Adagrad: the gradient divided by the root of the sum of all its squares so far.

    v ← v + g², w ← w - ηₜ g / (√v + ε) with ηₜ = η / (1 + (t - 1) lr_decay).

    Parameters
    ----------
    learning_rate : float
        η, above 0.
    lr_decay : float
        How fast ηₜ falls, at least 0.
    initial_accumulator : float
        What v starts at, at least 0.
    epsilon : float
        ε, above 0; stands outside the root.

    Raises
    ------
    TypeError, ValueError
        A number is not of its kind or not in its range.

    References
    ----------
    Duchi, Hazan & Singer, JMLR 12 (2011) 2121-2159; the details are those of PyTorch.
    """

    learning_rate: float = 0.01
    lr_decay: float = 0.0
    initial_accumulator: float = 0.0
    epsilon: float = 1e-10
    rule: ClassVar[str] = "adagrad"

    def __post_init__(self) -> None:
        _check.number(self.learning_rate, "learning_rate", above=0.0)
        _check.number(self.lr_decay, "lr_decay", least=0.0)
        _check.number(self.initial_accumulator, "initial_accumulator", least=0.0)
        _check.number(self.epsilon, "epsilon", above=0.0)

    @property
    def hyper(self) -> dict[str, float]:
        """The numbers by the names that the compiled loop has for them."""
        return {**vars(self), "rate_decay": self.lr_decay}

    @property
    def starts(self) -> tuple[float, ...]:
        """What v starts at."""
        return (self.initial_accumulator,)


@dataclass(frozen=True)
class Adam(Optimizer):
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

    @property
    def starts(self) -> tuple[float, ...]:
        """What m and v start at."""
        return (0.0, 0.0)


@dataclass(frozen=True)
class AdamW(Adam):
    """AdamW: Adam with decoupled weight decay, w ← w - η λ w before Adam's step.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon : float
        As in `Adam`.
    weight_decay : float
        λ, at least 0; all trained parameters, biases included, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        A number is not of its kind or not in its range.

    References
    ----------
    Loshchilov & Hutter, Decoupled weight decay regularization, ICLR 2019, algorithm 2; the decay
    is η λ, as in PyTorch.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.number(self.weight_decay, "weight_decay", least=0.0)


@dataclass(frozen=True)
class Nadam(Optimizer):
    """Nadam: Adam with Nesterov's momentum.

    μₜ = β₁ (1 - ½ 0.96^(t ψ)), Πₜ = μ₁ … μₜ, m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g²,
    w ← w - η ((1 - μₜ) g / (1 - Πₜ) + μₜ₊₁ m / (1 - Πₜ₊₁)) / (√v̂ + ε), v̂ = v / (1 - β₂ᵗ).

    Parameters
    ----------
    learning_rate : float
        η, above 0.
    beta_1, beta_2 : float
        β₁ and β₂, at least 0 and below 1.
    epsilon : float
        ε, above 0; stands outside the root.
    momentum_decay : float
        ψ, at least 0.

    Raises
    ------
    TypeError, ValueError
        A number is not of its kind or not in its range.

    References
    ----------
    Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016; the details are those
    of PyTorch.
    """

    learning_rate: float = 0.002
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 0.004
    rule: ClassVar[str] = "nadam"

    def __post_init__(self) -> None:
        _check.number(self.learning_rate, "learning_rate", above=0.0)
        _check.number(self.beta_1, "beta_1", least=0.0, below=1.0)
        _check.number(self.beta_2, "beta_2", least=0.0, below=1.0)
        _check.number(self.epsilon, "epsilon", above=0.0)
        _check.number(self.momentum_decay, "momentum_decay", least=0.0)

    @property
    def hyper(self) -> dict[str, float]:
        """The numbers by the names that the compiled loop has for them.

        0.96^ψ is taken in decimal arithmetic, whose results do not depend on the C library.
        """
        power = (Decimal("0.96").ln() * Decimal(self.momentum_decay)).exp()
        return {**vars(self), "power_base": float(power)}

    @property
    def starts(self) -> tuple[float, ...]:
        """What m and v start at."""
        return (0.0, 0.0)


@dataclass(frozen=True)
class Lion(Optimizer):
    """Lion: steps of one size, in the direction of the sign of a running mean.

    w ← w - η sign(β₁ m + (1 - β₁) g), then m ← β₂ m + (1 - β₂) g. sign(0) = 0.

    Parameters
    ----------
    learning_rate : float
        η, above 0; a third to a tenth of what suits Adam.
    beta_1, beta_2 : float
        β₁ and β₂, at least 0 and below 1.
    weight_decay : float
        λ, at least 0: w ← w - η λ w before the step; all trained parameters, biases included.

    Raises
    ------
    TypeError, ValueError
        A number is not of its kind or not in its range.

    References
    ----------
    Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023, algorithm 2.
    """

    learning_rate: float = 0.0001
    beta_1: float = 0.9
    beta_2: float = 0.99
    weight_decay: float = 0.0
    rule: ClassVar[str] = "lion"

    def __post_init__(self) -> None:
        _check.number(self.learning_rate, "learning_rate", above=0.0)
        _check.number(self.beta_1, "beta_1", least=0.0, below=1.0)
        _check.number(self.beta_2, "beta_2", least=0.0, below=1.0)
        _check.number(self.weight_decay, "weight_decay", least=0.0)


@dataclass(frozen=True)
class Rprop(Optimizer):
    """Rprop: a step size for each parameter, steered by the sign of the gradient alone (iRPROP⁻).

    s ← s η⁺ where g has kept its sign, s ← s η⁻ and g ← 0 where it has changed it, s within
    `step_sizes`; w ← w - s sign(g). For all rows at once: ``batch_size=None``.

    Parameters
    ----------
    learning_rate : float
        What s starts at, above 0. Later values do nothing.
    etas : (float, float)
        η⁻, above 0 and below 1, and η⁺, above 1.
    step_sizes : (float, float)
        Least and largest s.

    Raises
    ------
    TypeError, ValueError
        A number is not of its kind or not in its range.

    References
    ----------
    Riedmiller & Braun, ICNN 1993; Igel & Hüsken, Improving the Rprop learning algorithm, NC 2000
    (iRPROP⁻). PyTorch's Rprop is the same.
    """

    learning_rate: float = 0.01
    etas: tuple[float, float] = (0.5, 1.2)
    step_sizes: tuple[float, float] = (1e-6, 50.0)
    rule: ClassVar[str] = "rprop"

    def __post_init__(self) -> None:
        _check.number(self.learning_rate, "learning_rate", above=0.0)
        for name in ("etas", "step_sizes"):
            pair = getattr(self, name)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise TypeError(f"`{name}` must be two numbers, got {_check.shown(pair)}.")
            object.__setattr__(self, name, tuple(pair))
        _check.number(self.etas[0], "etas[0]", above=0.0, below=1.0)
        _check.number(self.etas[1], "etas[1]", above=1.0)
        least = _check.number(self.step_sizes[0], "step_sizes[0]", above=0.0)
        _check.number(self.step_sizes[1], "step_sizes[1]", least=least)

    @property
    def hyper(self) -> dict[str, float]:
        """The numbers by the names that the compiled loop has for them."""
        (shrink, grow), (lower, upper) = self.etas, self.step_sizes
        return {"learning_rate": self.learning_rate, "beta_1": shrink, "beta_2": grow,
                "lower": lower, "upper": upper}  # fmt: skip

    @property
    def starts(self) -> tuple[float, ...]:
        """What the last gradient and s start at."""
        return (0.0, self.learning_rate)


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(),
    "momentum": SGD(momentum=0.9),
    "nesterov": SGD(momentum=0.9, nesterov=True),
    "rmsprop": RMSprop(),
    "adagrad": Adagrad(),
    "adam": Adam(),
    "adamw": AdamW(),
    "nadam": Nadam(),
    "lion": Lion(),
    "rprop": Rprop(),
}


def checked(optimizer: Any) -> Optimizer:
    """Return `optimizer`, or the one of that name."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    return OPTIMIZERS[_check.choice(optimizer, "optimizer", OPTIMIZERS)]
