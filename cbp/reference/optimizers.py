"""Optimizers: from a gradient to the next parameters.

What lives here: the update rules, each on a list of float64 arrays that it changes in place.
State starts at zero and has the shapes of the parameters.
"""

import numpy as np


class SGD:
    """Gradient descent, with momentum or Nesterov's momentum if wanted.

    v ← μ v - η g, then w ← w + v; Nesterov: w ← w + μ v - η g with the new v. Without momentum
    this is w ← w - η g.

    Parameters
    ----------
    learning_rate : float
        η.
    momentum : float
        μ (the α of Rumelhart et al.).
    nesterov : bool
        Take the step that looks ahead.

    References
    ----------
    Rumelhart, Hinton & Williams, Nature 323 (1986), eqs. 8 and 9.
    Sutskever, Martens, Dahl & Hinton, ICML 2013, eqs. 3 and 4.
    """

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False):
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.velocities = None

    def update(self, parameters, gradients):
        """Change `parameters` in place; both are lists of arrays of the same shapes."""
        if self.velocities is None:
            self.velocities = [np.zeros_like(w) for w in parameters]
        for w, g, v in zip(parameters, gradients, self.velocities):
            v *= self.momentum
            v -= self.learning_rate * g
            if self.nesterov:
                w += self.momentum * v - self.learning_rate * g
            else:
                w += v


class Adam:
    """Adam: a step scaled by running means of the gradient and of its square.

    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g²,
    w ← w - η m̂ / (√v̂ + ε) with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon : float
        η, β₁, β₂ and ε. ε stands outside the root, after the bias correction.

    References
    ----------
    Kingma & Ba, Adam, ICLR 2015, algorithm 1.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.learning_rate = learning_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.beta_1_power = 1.0  # β₁ᵗ and β₂ᵗ, by repeated multiplication
        self.beta_2_power = 1.0
        self.means = None
        self.squares = None

    def update(self, parameters, gradients):
        """Change `parameters` in place; both are lists of arrays of the same shapes."""
        if self.means is None:
            self.means = [np.zeros_like(w) for w in parameters]
            self.squares = [np.zeros_like(w) for w in parameters]
        self.beta_1_power *= self.beta_1
        self.beta_2_power *= self.beta_2
        for w, g, m, v in zip(parameters, gradients, self.means, self.squares):
            m *= self.beta_1
            m += (1.0 - self.beta_1) * g
            v *= self.beta_2
            v += (1.0 - self.beta_2) * g * g
            m_hat = m / (1.0 - self.beta_1_power)
            v_hat = v / (1.0 - self.beta_2_power)
            w -= self.learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon)
