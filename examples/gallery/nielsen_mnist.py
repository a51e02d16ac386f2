"""Nielsen's MNIST nets, four of his runs digit by digit, three within half a per cent.

M. Nielsen, Neural Networks and Deep Learning (2015), and the results that stand as JSON beside its
programs. Those runs are seeded: NumPy's old generator draws biases and weights, Python's the order
of the samples, as Python 2 shuffled. With both, and cbp told the order (`fit(order=...)`), the same
digits are read right as ten years ago: 50,000 images, 30 epochs, 9,561 of 10,000. His other numbers
come from runs nobody can repeat; there cbp uses its own seeds.

Needs the four files of MNIST: python examples/gallery/nielsen_mnist.py --data FOLDER, or the folder
in the environment variable CBP_MNIST. Takes about a minute; --seeded leaves out the last three runs.
"""

import argparse
import itertools
import random
import sys
import time

import numpy as np
from verdict import Verdicts

import cbp
from cbp.datasets import load_mnist

ENTROPY = cbp.BinaryCrossEntropy()
SEED = 12345678


def images(pixels, dtype):
    """Return the images as his pickled MNIST has them: pixels / 256, in float32."""
    return (pixels.astype(np.float32) / np.float32(256)).astype(dtype)


def build(sizes, large):
    """Return his net of network2.py; `large` weights are N(0, 1), else N(0, 1/inputs)."""
    random.seed(SEED)
    legacy = np.random.RandomState(SEED)
    net = cbp.Network(sizes, "sigmoid", "sigmoid", dtype="float64")
    for again in range(1 + large):  # asked for large weights, his program draws a second time
        for layer, n in enumerate(sizes[1:]):
            net.biases[layer] = legacy.randn(n)
        for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
            W = legacy.randn(outputs, inputs).T
            net.weights[layer] = W if large else W / np.sqrt(inputs)
    return net


def shuffle(order):
    """Shuffle as Python 2 did."""
    for i in reversed(range(1, len(order))):
        j = int(random.random() * (i + 1))
        order[i], order[j] = order[j], order[i]


def read_right(net, X, labels):
    """Return how many images are read right."""
    return int((net.predict(X).argmax(axis=1) == labels).sum())


def seeded(table, data, title, published, *, n, rate, lambda_, epochs, large, every):
    """One of his seeded runs; `published` holds {epoch: digits read right}, counted from 0."""
    X, Y, test, labels = data
    X, Y = X[:n], Y[:n]
    net = build([784, 30, 10], large)
    trainer = cbp.Trainer(net, ENTROPY, cbp.SGD(rate), batch_size=10, shuffle=False, l2=lambda_ / n)
    table.part(title, "his JSON file")
    order, best = list(range(n)), 0
    for epoch in range(epochs):
        shuffle(order)
        trainer.fit(X, Y, order=order)
        if every or epoch in published:
            right = read_right(net, test, labels)
            best = max(best, right)
        if epoch in published:
            table.holds(f"epoch {epoch}", published[epoch], right, right == published[epoch])
    if every:
        table.holds("best epoch", published["best"], best, best == published["best"])
    return net, X, Y


def unseeded(table, data, what, source, *, sizes, loss, rate, lambda_, epochs):
    """A run with cbp's own seeds, in float32; his is the best of some, so ± half a per cent."""
    X, Y, test, labels = data
    init = "glorot_uniform"  # he draws from a normal distribution
    net = cbp.Network(sizes, "sigmoid", "sigmoid", init=init, seed=1)
    trainer = cbp.Trainer(
        net, loss, cbp.SGD(rate), batch_size=10, l2=lambda_ / len(X), metrics="accuracy", seed=1
    )
    history = trainer.fit(X, Y, epochs, validation_data=(test, cbp.one_hot(labels, 10)))
    best = 100 * max(history["val_accuracy"])
    table.holds(what, f"{source:.2f} %", f"{best:.2f} %", abs(best - source) < 0.5)


def unseeded_runs(table, *sets):
    """Three accuracies of his book."""
    table.part("Best accuracy, with other seeds and starts: within 0.5 %", "his book")
    print("  30 epochs:")
    on_test, on_validation = (
        (X.astype(np.float32), Y, pixels.astype(np.float32), labels)
        for X, Y, pixels, labels in sets
    )
    squared = cbp.SquaredError()
    unseeded(table, on_test, "784-30-10, squared error, η 3", 95.42,
             sizes=[784, 30, 10], loss=squared, rate=3.0, lambda_=0, epochs=30)  # fmt: skip
    unseeded(table, on_validation, "784-100-10, cross-entropy, η .5, λ 5", 97.92,
             sizes=[784, 100, 10], loss=ENTROPY, rate=0.5, lambda_=5, epochs=30)  # fmt: skip
    print("  60 epochs:")
    unseeded(table, on_validation, "784-100-10, cross-entropy, η .1, λ 5", 98.04,
             sizes=[784, 100, 10], loss=ENTROPY, rate=0.1, lambda_=5, epochs=60)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description="Nielsen's networks on MNIST.")
    parser.add_argument("--data", metavar="FOLDER", help="folder of the four MNIST files")
    parser.add_argument("--seeded", action="store_true", help="only the runs that he seeded")
    arguments = parser.parse_args()
    try:
        mnist = load_mnist(arguments.data)
    except FileNotFoundError as error:
        sys.exit(str(error))
    begin = time.perf_counter()
    Y = np.eye(10)[mnist.y_train]
    X, test = images(mnist.X_train, np.float64), images(mnist.X_test, np.float64)
    on_test, on_validation = (X[:50_000], Y[:50_000], test, mnist.y_test), (
        X[:50_000], Y[:50_000], X[50_000:], mnist.y_train[50_000:])  # fmt: skip

    table = Verdicts("Nielsen, Neural Networks and Deep Learning: 784-30-10, cross-entropy")
    net = build([784, 30, 10], large=False)
    table.part("The first numbers that he draws")
    source = "0.5537081891302397, -1.4596319930600405, -1.294585139377667"
    table.numbers("b1, b2, b3", source, net.biases[0][:3])
    source = "-0.5340588216927596, 0.20904726294361334, 0.8454148799323996"
    table.numbers("√784 w1, √784 w2, √784 w3", source, net.weights[0][:3, 0] * 28)

    small = {"n": 1000, "rate": 0.5, "epochs": 400, "large": True, "every": False}
    net, X_used, Y_used = seeded(
        table, on_test, "1,000 images, η .5: test images read right",
        {0: 5887, 1: 6505, 2: 6970, 399: 8223}, lambda_=0, **small,
    )  # fmt: skip
    cost = net.gradient(X_used, Y_used, ENTROPY).loss
    table.number("cost on the 1,000 at the end", "0.0042016444290295845", cost)
    seeded(table, on_test, "The same with λ = .1", {0: 5898, 399: 8695}, lambda_=0.1, **small)
    full = {"n": 50_000, "epochs": 30, "lambda_": 5.0, "every": True}
    seeded(
        table, on_test, "50,000 images, η .5, λ 5: test images read right",
        {0: 9212, 29: 9561, "best": 9649}, rate=0.5, large=True, **full,
    )  # fmt: skip
    seeded(
        table, on_validation, "50,000 images, η .1, λ 5, weights / √784: validation images",
        {0: 9270, 29: 9650, "best": 9653}, rate=0.1, large=False, **full,
    )  # fmt: skip

    if not arguments.seeded:
        unseeded_runs(table, on_test, on_validation)
    print(f"\n{time.perf_counter() - begin:.0f} s")
    table.end()


if __name__ == "__main__":
    main()
