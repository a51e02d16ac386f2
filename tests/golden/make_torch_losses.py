"""Writes torch_losses.json beside this file: PyTorch's losses and activations, and their gradients.

    python tests/golden/make_torch_losses.py        (needs PyTorch 2.13)

One layer of weights in float64, 12 rows; z = X W + b. For each case the file has the loss and its
gradient by W and b, in this order. A case names the factor between PyTorch's mean over all elements
and cbp's mean over rows of sums over outputs. PyTorch has no quantile loss, and has no focal loss
without torchvision: those are its own functions put together by the formula, for the sake of its
derivatives.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("torch_losses.json")
ROWS, INPUTS, OUTPUTS = 12, 5, 4
LEVELS, ALPHA, GAMMA, FLOOR = (0.2, 0.7), (0.5, 1.0, 2.0, 0.7), 1.5, 1e-3
ACTIVATIONS = (
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish",
    "softplus", "softsign", "sin", "hard_sigmoid",
)  # fmt: skip

# Name: (PyTorch's class or one of FORMULAS, its arguments, targets, factor, cbp's class, its
# arguments, output activation).
CASES = {
    "squared error": ("MSELoss", {}, "numbers", OUTPUTS / 2, "SquaredError", {}, "identity"),
    "squared error, sum": ("MSELoss", {"reduction": "sum"}, "numbers", 0.5, "SquaredError",
                           {"reduction": "sum"}, "identity"),
    "absolute error": ("L1Loss", {}, "numbers", OUTPUTS, "AbsoluteError", {}, "identity"),
    "Huber": ("HuberLoss", {"delta": 0.4}, "numbers", OUTPUTS, "Huber", {"delta": 0.4}, "identity"),
    "smooth L1": ("SmoothL1Loss", {"beta": 0.4}, "numbers", 0.4 * OUTPUTS, "Huber", {"delta": 0.4},
                  "identity"),
    "Poisson": ("PoissonNLLLoss", {}, "counts", OUTPUTS, "Poisson", {}, "identity"),
    "Gaussian": ("gaussian", {}, "halves", OUTPUTS // 2, "GaussianNLL", {"floor": FLOOR},
                 "identity"),
    "binary": ("BCEWithLogitsLoss", {}, "shares", OUTPUTS, "BinaryCrossEntropy", {}, "sigmoid"),
    "multi-label": ("MultiLabelSoftMarginLoss", {}, "answers", OUTPUTS, "BinaryCrossEntropy", {},
                    "sigmoid"),
    "labels": ("CrossEntropyLoss", {}, "labels", 1.0, "CategoricalCrossEntropy", {}, "softmax"),
    "labels, weighted": ("CrossEntropyLoss", {"weight": ALPHA}, "labels", 1.0,
                         "CategoricalCrossEntropy", {}, "softmax"),
    "labels, smoothed": ("CrossEntropyLoss", {"label_smoothing": 0.1}, "labels", 1.0,
                         "CategoricalCrossEntropy", {"label_smoothing": 0.1}, "softmax"),
    "distributions": ("CrossEntropyLoss", {}, "distributions", 1.0, "CategoricalCrossEntropy", {},
                      "softmax"),
    "distributions, smoothed": ("CrossEntropyLoss", {"label_smoothing": 0.3}, "distributions", 1.0,
                                "CategoricalCrossEntropy", {"label_smoothing": 0.3}, "log_softmax"),
    "log softmax": ("log_softmax", {}, "labels", 1.0, "CategoricalCrossEntropy", {}, "log_softmax"),
    "quantiles": ("quantiles", {}, "halves", OUTPUTS, "Quantile", {"levels": LEVELS}, "identity"),
    "focal, binary": ("binary_focal", {}, "answers", OUTPUTS, "Focal",
                      {"gamma": GAMMA, "alpha": 0.3}, "sigmoid"),
    "focal, categorical": ("categorical_focal", {}, "labels", 1.0, "Focal",
                           {"gamma": GAMMA, "alpha": ALPHA}, "softmax"),
    **{name: (name, {}, "numbers", OUTPUTS / 2, "SquaredError", {}, name) for name in ACTIVATIONS},
}  # fmt: skip


def problem(targets):
    """X, T, W, b by arithmetic that rounds nothing but the sums of distributions."""
    def numbers(n, a, b):
        return ((np.arange(n) * a + b) % 127 - 63) / 64.0

    X, T = numbers(ROWS * INPUTS, 37, 5), numbers(ROWS * OUTPUTS, 29, 11).reshape(ROWS, OUTPUTS)
    W, b = 2.0 * numbers(INPUTS * OUTPUTS, 41, 3), numbers(OUTPUTS, 41, 7)
    T = {
        "numbers": T,
        "halves": T[:, : OUTPUTS // 2],
        "counts": np.round(4.0 * np.abs(T)),
        "shares": np.abs(T),
        "answers": (T > 0.0).astype(float),
        "labels": np.arange(ROWS) * 7 % OUTPUTS,
        "distributions": np.abs(T) / np.abs(T).sum(axis=1, keepdims=True),
    }[targets]
    return X.reshape(ROWS, INPUTS), T, W.reshape(INPUTS, OUTPUTS), b


def formulas(torch):
    """What PyTorch has no class for, from the logits z and the targets t."""
    F = torch.nn.functional
    q = torch.tensor(LEVELS).repeat(OUTPUTS // 2)

    def gaussian(z, t):
        mean, raw = z.chunk(2, dim=1)
        return torch.nn.GaussianNLLLoss(eps=1e-30)(mean, t, FLOOR + F.softplus(raw))

    def quantiles(z, t):
        e = z - t.repeat_interleave(len(LEVELS), dim=1)
        return torch.maximum((1.0 - q) * e, -q * e).mean()

    def binary_focal(z, t):
        p, entropy = torch.sigmoid(z), F.binary_cross_entropy_with_logits(z, t, reduction="none")
        other = p * (1.0 - t) + (1.0 - p) * t
        return ((0.3 * t + 0.7 * (1.0 - t)) * other**GAMMA * entropy).mean()

    def categorical_focal(z, t):
        log_p = torch.log_softmax(z, dim=1).gather(1, t[:, None])[:, 0]
        return (torch.tensor(ALPHA)[t] * (1.0 - log_p.exp()) ** GAMMA * -log_p).mean()

    def log_softmax(z, t):
        return torch.nn.NLLLoss()(torch.log_softmax(z, dim=1), t)

    def activation(name):
        own = {
            "identity": lambda z: z,
            "sin": torch.sin,
            # The slope of hardsigmoid is 1/6 rounded to float32.
            "hard_sigmoid": lambda z: F.relu6(z + 3.0) / 6.0,
        }
        f = own.get(name) or getattr(F, name)
        return lambda z, t: F.mse_loss(f(z), t)

    return {
        **{f.__name__: f for f in (gaussian, quantiles, binary_focal, categorical_focal,
                                   log_softmax)},
        **{name: activation(name) for name in ACTIVATIONS},
    }  # fmt: skip


def answer(name):
    """(loss, gradient) of PyTorch, in cbp's convention."""
    import torch

    torch.set_default_dtype(torch.float64)
    kind, options, targets, factor, *_ = CASES[name]
    X, T, W, b = problem(targets)
    x, t = torch.tensor(X), torch.tensor(T)
    w, b = (torch.tensor(a, requires_grad=True) for a in (W, b))
    options = {k: torch.tensor(v) if k == "weight" else v for k, v in options.items()}
    known = formulas(torch)
    head = known[kind] if kind in known else getattr(torch.nn, kind)(**options)
    loss = factor * head(x @ w + b, t)
    loss.backward()
    gradient = np.concatenate([w.grad.numpy().ravel(), b.grad.numpy()])
    return loss.item(), gradient.tolist()


if __name__ == "__main__":
    import torch

    cases = {name: dict(zip(("loss", "gradient"), answer(name))) for name in CASES}
    written = {"torch": torch.__version__, "cases": cases}
    FILE.write_text(json.dumps(written).replace('}, "', '},\n"') + "\n")
    print(f"wrote {FILE}")
