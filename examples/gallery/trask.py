"""Trask's two nets, and his table of learning rates.

A. Trask, A Neural Network in 11 lines of Python, parts 1 and 2 (2015): nets without biases, the
gradient summed over four samples, weights of NumPy's old generator with seed 1. So every published
digit comes out again. Run it with: python examples/gallery/trask.py
"""

import itertools

import numpy as np
from verdict import Verdicts

import cbp

X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=float)
FIRST, XOR = np.array([[0], [0], [1], [1]]), np.array([[0], [1], [1], [0]])
# Part 2: mean |error| after 50,000 steps, by hidden units and rate.
ERRORS = {
    (4, 0.001): "0.4859778578461583",
    (4, 0.01): "0.09859642980892719",
    (4, 0.1): "0.013014490538142583",
    (4, 1): "0.0035101225678616788",
    (4, 10): "0.0013127406283356758",
    (4, 100): "0.1252063527608952",
    (4, 1000): "0.5",
    (32, 0.001): "0.458029258565275",
    (32, 0.01): "0.052965808702569714",
    (32, 0.1): "0.01084216697377743",
    (32, 1): "0.002996256849322484",
    (32, 100): "0.5",
}


def build(*sizes):
    """Return the net with his random weights, uniform in [-1, 1)."""
    random = np.random.RandomState(1)
    net = cbp.Network(list(sizes), "sigmoid", "sigmoid", bias=False, dtype="float64")
    for layer, shape in enumerate(itertools.pairwise(sizes)):
        net.weights[layer] = 2 * random.random_sample(shape) - 1
    return net


def descend(net, Y, rate, steps):
    """So many steps of gradient descent on all four samples."""
    loss = cbp.SquaredError(reduction="sum")
    cbp.Trainer(net, loss, cbp.SGD(rate), batch_size=None, n_threads=1).fit(X, Y, steps)


def error(net):
    """Return mean |error| on XOR with a third input that is always 1."""
    return np.abs(XOR - net.predict(X)).mean()


def main():
    table = Verdicts("Trask, A Neural Network in 11 lines of Python")
    table.part("Part 1, two layers (3-1): the output is the first input")
    net = build(3, 1)
    descend(net, FIRST, 1, 9_999)  # he prints the output computed before the last update
    outputs = "0.00966449, 0.00786506, 0.99358898, 0.99211957"
    table.numbers("y1, y2, y3, y4", outputs, net.predict(X)[:, 0])
    descend(net, FIRST, 1, 1)
    weights = "9.672993027736892, -0.20784349926631968, -4.62963668773159"
    table.numbers("w1, w2, w3 after 10,000 steps", weights, net.weights[0][:, 0])

    table.part("Part 1, three layers (3-4-1): mean |error| on XOR")
    net = build(3, 4, 1)
    published = (
        "0.4964100319027255 0.008584525653247157 0.005789459862507806 "
        "0.004629176776769985 0.003958765280273649 0.0035101225678616788"
    )
    for thousands, number in zip(range(0, 60, 10), published.split()):
        if thousands:
            descend(net, XOR, 1, 10_000)
        table.number(
            f"after {thousands},000 steps" if thousands else "at first", number, error(net)
        )
    descend(net, XOR, 1, 9_999)
    outputs = "0.0026057246, 0.9967220869, 0.9970171079, 0.0038675931"
    table.numbers("y1, y2, y3, y4", outputs, net.predict(X)[:, 0])

    table.part("Part 2: mean |error| after 50,000 steps of other rates")
    for (hidden, rate), number in ERRORS.items():
        net = build(3, hidden, 1)
        descend(net, XOR, rate, 50_000)
        table.number(f"{hidden} hidden units, rate {rate:g}", number, error(net))
    print("  (32 hidden units at rate 10 are left out: their chaotic start magnifies rounding.)")
    table.end()


if __name__ == "__main__":
    main()
