"""Writes torch_optimizers.json beside this file: trajectories of PyTorch's optimizers.

    python tests/golden/make_torch_optimizers.py        (needs PyTorch 2.13)

A 5-8-3 tanh regression in float64, all rows in every step, 200 steps at a constant rate; the loss
is ½ the squared error summed over the outputs, averaged over the rows. For each case the file has
the loss before every step, the parameters after 20 steps and after all. Parameters stand as in cbp:
W1 | b1 | W2 | b2, W (inputs, outputs). Rates are low enough that no trajectory is chaotic: with
RMSprop's momentum at 0.003, rounding alone grows to 1e-7 in 200 steps.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("torch_optimizers.json")
STEPS, EARLY = 200, 20

# Name: (PyTorch's class, its arguments, cbp's class, its arguments, arguments of cbp's Trainer).
# l2 is the weight_decay of PyTorch's coupled optimizers, for weights alone.
CASES = {
    "sgd": ("SGD", {"lr": 0.1}, "SGD", {"learning_rate": 0.1}, {}),
    "sgd-l2": ("SGD", {"lr": 0.1, "weight_decay": 0.02}, "SGD", {"learning_rate": 0.1},
               {"l2": 0.02}),
    "momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}, "SGD",
                 {"learning_rate": 0.05, "momentum": 0.9}, {}),
    "nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}, "SGD",
                 {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}, {}),
    "sgd-clip": ("SGD", {"lr": 0.1}, "SGD", {"learning_rate": 0.1}, {"clip_value": 0.02}),
    "rmsprop": ("RMSprop", {}, "RMSprop", {}, {}),
    "rmsprop-momentum": ("RMSprop", {"lr": 0.0005, "alpha": 0.9, "eps": 1e-6, "momentum": 0.8},
                         "RMSprop", {"learning_rate": 0.0005, "alpha": 0.9, "epsilon": 1e-6,
                                     "momentum": 0.8}, {}),
    "adagrad": ("Adagrad", {}, "Adagrad", {}, {}),
    "adagrad-decay": ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.1},
                      "Adagrad", {"learning_rate": 0.1, "lr_decay": 0.01,
                                  "initial_accumulator": 0.1}, {}),
    "adam": ("Adam", {}, "Adam", {}, {}),
    "adam-l2": ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.02},
                "Adam", {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6},
                {"l2": 0.02}),
    "adamw": ("AdamW", {}, "AdamW", {}, {}),
    "adamw-strong": ("AdamW", {"lr": 0.01, "weight_decay": 0.5}, "AdamW",
                     {"learning_rate": 0.01, "weight_decay": 0.5}, {}),
    "nadam": ("NAdam", {}, "Nadam", {}, {}),
    "nadam-strong": ("NAdam", {"lr": 0.003, "betas": (0.8, 0.99), "momentum_decay": 0.05}, "Nadam",
                     {"learning_rate": 0.003, "beta_1": 0.8, "beta_2": 0.99,
                      "momentum_decay": 0.05}, {}),
    "rprop": ("Rprop", {}, "Rprop", {}, {}),
    "rprop-bounds": ("Rprop", {"lr": 0.05, "etas": (0.4, 1.3), "step_sizes": (1e-4, 0.1)}, "Rprop",
                     {"learning_rate": 0.05, "etas": (0.4, 1.3), "step_sizes": (1e-4, 0.1)}, {}),
}  # fmt: skip


def problem():
    """Rows, targets and first parameters, by arithmetic that rounds nothing: k/64."""
    def numbers(n, a, b):
        return ((np.arange(n) * a + b) % 127 - 63) / 64.0

    X, T = numbers(60, 37, 5).reshape(12, 5), numbers(36, 29, 11).reshape(12, 3)
    shapes = [(5, 8), (8,), (8, 3), (3,)]
    start = [numbers(int(np.prod(s)), 41, 7 * j).reshape(s) for j, s in enumerate(shapes)]
    return X, T, start


def trajectory(name):
    """(losses, parameters after EARLY steps, parameters after STEPS steps) of PyTorch."""
    import torch

    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in this type
    kind, options, _, _, of_trainer = CASES[name]
    X, T, start = problem()
    x, t = torch.tensor(X), torch.tensor(T)
    parameters = [torch.tensor(a, requires_grad=True) for a in start]
    weights, biases = parameters[::2], parameters[1::2]
    groups = [{"params": weights}, {"params": biases}]
    if "l2" in of_trainer:
        groups[1]["weight_decay"] = 0.0
    optimizer = getattr(torch.optim, kind)(groups, **options)
    losses, early = [], None
    for step in range(STEPS):
        if step == EARLY:
            early = flat(parameters)
        hidden = torch.tanh(x @ parameters[0] + parameters[1])
        y = hidden @ parameters[2] + parameters[3]
        loss = 0.5 * ((y - t) ** 2).sum() / len(X)
        optimizer.zero_grad()
        loss.backward()
        if "clip_value" in of_trainer:
            torch.nn.utils.clip_grad_value_(parameters, of_trainer["clip_value"])
        optimizer.step()
        losses.append(loss.item())
    return losses, early, flat(parameters)


def flat(parameters):
    return np.concatenate([p.detach().numpy().ravel() for p in parameters]).tolist()


if __name__ == "__main__":
    import torch

    cases = {name: dict(zip(("losses", "early", "late"), trajectory(name))) for name in CASES}
    written = {"torch": torch.__version__, "cases": cases}
    FILE.write_text(json.dumps(written).replace('}, "', '},\n"') + "\n")
    print(f"wrote {FILE}")
