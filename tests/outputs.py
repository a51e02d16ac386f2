"""Every activation, and every output activation with every loss that goes with it.

What lives here: the table that docs/training.md shows, and targets that suit each of its pairs.
"""

from __future__ import annotations

import numpy as np

import cbp

OWN = cbp.Activation(lambda z: z * np.exp(-0.5 * z * z),
                     lambda z: (1.0 - z * z) * np.exp(-0.5 * z * z), "bump")  # fmt: skip
HIDDEN = (
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish",
    "softplus", "softsign", "sin", "hard_sigmoid", OWN,
)  # fmt: skip
ROWS = ("softmax", "log_softmax")
CUSTOM = cbp.CustomLoss(lambda y, t: np.sqrt(1.0 + (y - t) ** 2).sum(axis=1),
                        lambda y, t: (y - t) / np.sqrt(1.0 + (y - t) ** 2))  # fmt: skip
ALPHA = (0.5, 1.0, 2.0, 0.7)

# Name: (the loss, the output activations it goes with).
LOSSES = {
    "squared_error": (cbp.SquaredError(), HIDDEN),
    "absolute_error": (cbp.AbsoluteError(), HIDDEN),
    "huber": (cbp.Huber(0.4), HIDDEN),
    "quantile": (cbp.Quantile(), HIDDEN),
    "quantiles": (cbp.Quantile([0.2, 0.7]), HIDDEN),
    "poisson": (cbp.Poisson(), ("identity",)),
    "gaussian_nll": (cbp.GaussianNLL(1e-3), ("identity",)),
    "binary_cross_entropy": (cbp.BinaryCrossEntropy(), ("sigmoid",)),
    "categorical_cross_entropy": (cbp.CategoricalCrossEntropy(), ROWS),
    "smoothed": (cbp.CategoricalCrossEntropy(label_smoothing=0.2), ROWS),
    "focal": (cbp.Focal(), ("sigmoid", *ROWS)),
    "focal_alpha": (cbp.Focal(1.5, alpha=0.3), ("sigmoid", *ROWS)),
    "focal_classes": (cbp.Focal(0.7, alpha=ALPHA), ROWS),
    "custom": (CUSTOM, (*HIDDEN, *ROWS)),
}
PAIRS = [(name, output) for name, (_, outputs) in LOSSES.items() for output in outputs]
N_OUTPUTS = 4  # what ALPHA and two quantiles take


def name_of(value):
    """What pytest calls an activation."""
    return value.name if isinstance(value, cbp.Activation) else value


def targets(loss, output, n, rng, n_outputs=N_OUTPUTS):
    """Targets (n, n_targets) in the loss's range."""
    columns = loss.n_targets(n_outputs)
    if loss.name == "poisson":
        return rng.poisson(1.5, (n, columns)).astype(float)
    if output in ROWS and loss.name != "custom":
        return rng.dirichlet(np.ones(columns), n)
    if loss.name in ("focal", "binary_cross_entropy"):
        return rng.random((n, columns))
    return rng.normal(size=(n, columns))


def known(activation):
    """An activation as the reference takes it."""
    return (
        (activation.value, activation.slope)
        if isinstance(activation, cbp.Activation)
        else activation
    )


def by_reference(net, activations, loss, X, T, **options):
    """The reference's gradient of a network, its activations and a loss."""
    name, parameters = loss.form(name_of(activations[-1]))
    weights = [np.array(W, dtype=float) for W in net.weights]
    biases = [None if b is None else np.array(b, dtype=float) for b in net.biases]
    return cbp.reference.gradient(
        X, T, weights, biases, [known(a) for a in activations], name, options=parameters,
        reduction=loss.reduction, **options,
    )  # fmt: skip
