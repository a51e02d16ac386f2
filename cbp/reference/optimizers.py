"""Optimizers: from a gradient to the next parameters.

What lives here: the update rules, each on a list of float64 arrays that it changes in place.
State starts at zero, where nothing else is said, and has the shapes of the parameters.
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
    weight_decay : float
        λ: w ← w - η λ w before the step.

    References
    ----------
    Rumelhart, Hinton & Williams, Nature 323 (1986), eqs. 8 and 9.
    Sutskever, Martens, Dahl & Hinton, ICML 2013, eqs. 3 and 4.
    """

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=0.0):
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.velocities = None

    def update(self, parameters, gradients):
        """Change `parameters` in place; both are lists of arrays of the same shapes."""
        if self.velocities is None:
            self.velocities = [np.zeros_like(w) for w in parameters]
        for w, g, v in zip(parameters, gradients, self.velocities):
            w -= self.learning_rate * self.weight_decay * w
            v *= self.momentum
            v -= self.learning_rate * g
            if self.nesterov:
                w += self.momentum * v - self.learning_rate * g
            else:
                w += v


class RMSprop:
    """RMSprop: the gradient divided by a running root mean square of itself.

    v ← α v + (1 - α) g², b ← μ b + g / (√v + ε), w ← w - η b.

    Parameters
    ----------
    learning_rate, alpha, epsilon, momentum : float
        η, α, ε and μ.

    References
    ----------
    Tieleman & Hinton, lecture 6.5 of Neural Networks for Machine Learning, 2012.
    """

    def __init__(self, learning_rate=0.01, alpha=0.99, epsilon=1e-8, momentum=0.0):
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.epsilon = epsilon
        self.momentum = momentum
        self.squares = None
        self.velocities = None

    def update(self, parameters, gradients):
        """Change `parameters` in place; both are lists of arrays of the same shapes."""
        if self.squares is None:
            self.squares = [np.zeros_like(w) for w in parameters]
            self.velocities = [np.zeros_like(w) for w in parameters]
        for w, g, v, b in zip(parameters, gradients, self.squares, self.velocities):
            v *= self.alpha
            v += (1.0 - self.alpha) * g * g
            b *= self.momentum
            b += g / (np.sqrt(v) + self.epsilon)
            w -= self.learning_rate * b


class Adagrad:
    """Adagrad: the gradient divided by the root of the sum of all its squares so far.

    v ← v + g², w ← w - ηₜ g / (√v + ε) with ηₜ = η / (1 + (t - 1) lr_decay).

    Parameters
    ----------
    learning_rate, lr_decay, epsilon : float
        η, how fast ηₜ falls, and ε.
    initial_accumulator : float
        What v starts at.

    References
    ----------
    Duchi, Hazan & Singer, JMLR 12 (2011) 2121-2159.
    """

    def __init__(
        self, learning_rate=0.01, lr_decay=0.0, initial_accumulator=0.0, epsilon=1e-10
    ):
        self.learning_rate = learning_rate
        self.lr_decay = lr_decay
        self.initial_accumulator = initial_accumulator
        self.epsilon = epsilon
        self.steps = 0
        self.squares = None

    def update(self, parameters, gradients):
        """Change `parameters` in place; both are lists of arrays of the same shapes."""
        if self.squares is None:
            self.squares = [np.full_like(w, self.initial_accumulator) for w in parameters]
        rate = self.learning_rate / (1.0 + self.steps * self.lr_decay)
        self.steps += 1
        for w, g, v in zip(parameters, gradients, self.squares):
            v += g * g
            w -= rate * g / (np.sqrt(v) + self.epsilon)


class Adam:
    """Adam: a step scaled by running means of the gradient and of its square.

    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g²,
    w ← w - η m̂ / (√v̂ + ε) with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon : float
        η, β₁, β₂ and ε. ε stands outside the root, after the bias correction.
    weight_decay : float
        λ: w ← w - η λ w before the step (AdamW).

    References
    ----------
    Kingma & Ba, Adam, ICLR 2015, algorithm 1.
    Loshchilov & Hutter, Decoupled weight decay regularization, ICLR 2019, algorithm 2.
    """

    def __init__(
        self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0
    ):
        self.weight_decay = weight_decay
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
            w -= self.learning_rate * self.weight_decay * w
            m *= self.beta_1
            m += (1.0 - self.beta_1) * g
            v *= self.beta_2
            v += (1.0 - self.beta_2) * g * g
            m_hat = m / (1.0 - self.beta_1_power)
            v_hat = v / (1.0 - self.beta_2_power)
            w -= self.learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon)


class Nadam:
    """Nadam: Adam with Nesterov's momentum.

    μₜ = β₁ (1 - ½ 0.96^(t ψ)), Πₜ = μ₁ … μₜ, m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g²,
    w ← w - η ((1 - μₜ) g / (1 - Πₜ) + μₜ₊₁ m / (1 - Πₜ₊₁)) / (√v̂ + ε), v̂ = v / (1 - β₂ᵗ).

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, momentum_decay : float
        η, β₁, β₂, ε and ψ.

    References
    ----------
    Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016.
    """

    def __init__(
        self, learning_rate=0.002, beta_1=0.9, beta_2=0.999, epsilon=1e-8, momentum_decay=0.004
    ):
        self.learning_rate = learning_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.momentum_decay = momentum_decay
        self.steps = 0
        self.product = 1.0  # Πₜ
        self.means = None
        self.squares = None

    def momentum(self, step):
        """Return μ of a step."""
        return self.beta_1 * (1.0 - 0.5 * 0.96 ** (step * self.momentum_decay))

    def update(self, parameters, gradients):
        """Change `parameters` in place; both are lists of arrays of the same shapes."""
        if self.means is None:
            self.means = [np.zeros_like(w) for w in parameters]
            self.squares = [np.zeros_like(w) for w in parameters]
        self.steps += 1
        mu, next_mu = self.momentum(self.steps), self.momentum(self.steps + 1)
        self.product *= mu
        for w, g, m, v in zip(parameters, gradients, self.means, self.squares):
            m *= self.beta_1
            m += (1.0 - self.beta_1) * g
            v *= self.beta_2
            v += (1.0 - self.beta_2) * g * g
            v_hat = v / (1.0 - self.beta_2**self.steps)
            step = (1.0 - mu) * g / (1.0 - self.product)
            step += next_mu * m / (1.0 - self.product * next_mu)
            w -= self.learning_rate * step / (np.sqrt(v_hat) + self.epsilon)


class Lion:
    """Lion: steps of one size, in the direction of the sign of a running mean.

    w ← w - η λ w, w ← w - η sign(β₁ m + (1 - β₁) g), then m ← β₂ m + (1 - β₂) g.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, weight_decay : float
        η, β₁, β₂ and λ.

    References
    ----------
    Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023, algorithm 2.
    """

    def __init__(self, learning_rate=0.0001, beta_1=0.9, beta_2=0.99, weight_decay=0.0):
        self.learning_rate = learning_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.weight_decay = weight_decay
        self.means = None

    def update(self, parameters, gradients):
        """Change `parameters` in place; both are lists of arrays of the same shapes."""
        if self.means is None:
            self.means = [np.zeros_like(w) for w in parameters]
        for w, g, m in zip(parameters, gradients, self.means):
            w -= self.learning_rate * self.weight_decay * w
            w -= self.learning_rate * np.sign(self.beta_1 * m + (1.0 - self.beta_1) * g)
            m *= self.beta_2
            m += (1.0 - self.beta_2) * g


class Rprop:
    """Rprop: a step size for each parameter, steered by the sign of the gradient alone (iRPROP⁻).

    s ← s η⁺ where g has kept its sign, s ← s η⁻ and g ← 0 where it has changed it;
    w ← w - s sign(g).

    Parameters
    ----------
    learning_rate : float
        What s starts at.
    etas : (float, float)
        η⁻ and η⁺.
    step_sizes : (float, float)
        Least and largest s.

    References
    ----------
    Igel & Hüsken, Improving the Rprop learning algorithm, NC 2000.
    """

    def __init__(self, learning_rate=0.01, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0)):
        self.learning_rate = learning_rate
        self.etas = etas
        self.step_sizes = step_sizes
        self.before = None
        self.steps = None

    def update(self, parameters, gradients):
        """Change `parameters` in place; both are lists of arrays of the same shapes."""
        if self.before is None:
            self.before = [np.zeros_like(w) for w in parameters]
            self.steps = [np.full_like(w, self.learning_rate) for w in parameters]
        for w, g, before, s in zip(parameters, gradients, self.before, self.steps):
            same = np.sign(g) * np.sign(before)
            s *= np.where(same > 0, self.etas[1], np.where(same < 0, self.etas[0], 1.0))
            np.clip(s, *self.step_sizes, out=s)
            before[...] = np.where(same < 0, 0.0, g)
            w -= s * np.sign(before)
