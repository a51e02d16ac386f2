"""The problems of PDP, chapter 8: XOR, parity, the 8-3-8 encoder, addition, negation.

D. Rumelhart, G. Hinton, R. Williams, Learning internal representations by error propagation, in
Parallel Distributed Processing, vol. 1 (1986). Two of its figures print learnt weights, which give
here what they must. Of its runs the book tells little; how many of many starts learn, and how fast,
was found by an independent program, from the same starts. Takes about 20 s.
Run it with: python examples/gallery/pdp_chapter_8.py
"""

import itertools

import numpy as np
from starts import LOSS, solve, start
from verdict import Verdicts

import cbp


def bits(n):
    """Return all vectors of n bits, one a row."""
    return np.array(list(itertools.product([0, 1], repeat=n)), dtype=float)


def parity(n):
    """Whether the number of ones is odd; for two bits this is XOR."""
    return bits(n), bits(n).sum(axis=1, keepdims=True) % 2


def encoder(n):
    """Each of n patterns, a one among zeros, onto itself."""
    return np.eye(n), np.eye(n)


def addition():
    """Two numbers of two bits, and the three bits of their sum."""
    X = bits(4)
    total = X @ [2, 1, 2, 1]
    return X, np.column_stack([total // 4, total // 2 % 2, total % 2])


def negation():
    """Three bits, inverted where the first input is 1."""
    X = bits(4)
    return X, np.abs(X[:, 1:] - X[:, :1])


# Problem, sizes, η, α, start; sweeps, starts; how many learn, the median of their sweeps.
RUNS = [
    ("XOR", parity(2), [2, 2, 1], 0.5, 0.9, 0.5, 5000, 100, 94, 243.5),
    ("XOR, η = .25", parity(2), [2, 2, 1], 0.25, 0.9, 0.5, 5000, 50, None, 434),
    ("XOR, η = .25", parity(2), [2, 4, 1], 0.25, 0.9, 0.5, 5000, 50, None, 285),
    ("XOR, η = .25", parity(2), [2, 8, 1], 0.25, 0.9, 0.5, 5000, 50, None, 252.5),
    ("XOR, η = .25", parity(2), [2, 16, 1], 0.25, 0.9, 0.5, 5000, 50, None, 182.5),
    ("XOR, η = .25", parity(2), [2, 32, 1], 0.25, 0.9, 0.5, 5000, 50, None, 147),
    ("parity of 4 bits", parity(4), [4, 4, 1], 0.5, 0.9, 0.5, 5000, 50, 17, None),
    ("parity of 4 bits", parity(4), [4, 8, 1], 0.1, 0.9, 1.0, 8000, 50, 47, 922),
    ("encoder, no momentum", encoder(8), [8, 3, 8], 1.0, 0.0, 0.5, 3000, 50, 50, 351),
    ("encoder, η = .1", encoder(8), [8, 3, 8], 0.1, 0.9, 0.5, 3000, 50, 50, 634),
    ("encoder, η = .5: too fast", encoder(8), [8, 3, 8], 0.5, 0.9, 0.5, 1000, 50, 0, None),
    ("addition", addition(), [4, 3, 3], 0.25, 0.9, 0.5, 1000, 50, 1, None),
    ("addition", addition(), [4, 4, 3], 0.25, 0.9, 0.5, 5000, 50, 44, None),
    ("addition", addition(), [4, 6, 3], 0.25, 0.9, 0.5, 5000, 50, 50, 173),
    ("negation", negation(), [4, 6, 3], 0.25, 0.9, 0.5, 5000, 50, 45, None),
]


def figure_3(table):
    """XOR with direct connections from the inputs, which cbp does not have.

    An input is 0 or 1, so it is affine in σ(x): two more hidden units, with weight 1 from one input
    each, carry it to the output.
    """
    low, high = 0.5, 1 / (1 + np.exp(-1.0))
    direct = -4.2 / (high - low)
    net = cbp.Network([2, 3, 1], "sigmoid", "sigmoid", dtype="float64")
    net.weights[0], net.biases[0] = [[-6.4, 1, 0], [-6.4, 0, 1]], [2.2, 0, 0]
    net.weights[1], net.biases[1] = [[-9.4], [direct], [direct]], [6.3 - 2 * direct * low]
    table.part("Fig. 3, XOR with one hidden unit and direct connections", "with these weights")
    outputs = "0.1031832142, 0.8766545546, 0.8766545546, 0.1090740598"
    table.numbers("0 0, 0 1, 1 0, 1 1", outputs, net.predict(bits(2))[:, 0])


def figure_5(table):
    """A local minimum of XOR."""
    X, Y = parity(2)
    net = cbp.Network([2, 2, 1], "sigmoid", "sigmoid", dtype="float64")
    net.weights[0], net.biases[0] = [[-2.0, 4.3], [9.2, 8.8]], [2.0, -0.1]
    net.weights[1], net.biases[1] = [[-4.5], [5.3]], [-0.8]
    table.part("Fig. 5, a local minimum of XOR", "with these weights")
    outputs = "0.0957, 0.4998, 0.8977, 0.5001"
    table.numbers("0 0, 0 1, 1 0, 1 1", outputs, net.predict(X)[:, 0])
    E, gradient = net.loss_and_gradient(X, Y, LOSS)
    table.number("E", "0.2599717711526942", E)
    table.number("length of the gradient", "0.0171", np.linalg.norm(gradient))
    losses = cbp.Trainer(net, LOSS, cbp.SGD(0.5), batch_size=None).fit(X, Y, 200_000)["loss"]
    lowest = min(losses)
    table.holds("200,000 steps lead E down to", "0.25, never below", f"{lowest:.6f}",
                0.25 <= lowest < 0.251)  # fmt: skip


def main():
    table = Verdicts("PDP, vol. 1, ch. 8 (1986)")
    figure_3(table)
    figure_5(table)
    table.part("Learning: starts that learn, and the median of their sweeps", "independently")
    for name, (X, Y), sizes, rate, momentum, span, sweeps, starts, known, known_median in RUNS:
        nets = [start(seed, sizes, span) for seed in range(starts)]
        found = [solve(net, X, Y, rate, momentum, sweeps) for net in nets]
        learnt = [n for n in found if n]
        what = f"{'-'.join(map(str, sizes))} {name}"
        agrees, source, got = known is None or abs(len(learnt) - known) <= 2, "", ""
        if known is not None:
            source, got = f"{known} of {starts}", f"{len(learnt)} of {starts}"
        if known_median is not None:
            median = np.median(learnt)
            source, got = f"{source} {known_median:8g}", f"{got} {median:8g}"
            agrees = agrees and abs(median / known_median - 1) < 0.05
        table.holds(what, source, got, agrees)
        stuck = {f"{net.gradient(X, Y, LOSS).loss:.2f}" for net, n in zip(nets, found) if not n}
        if name == "XOR":
            table.holds("  where XOR is stuck, E", "0.25 or 0.33", " and ".join(sorted(stuck)),
                        stuck <= {"0.25", "0.33"})  # fmt: skip
        if name == "encoder, no momentum":
            code = nets[0].forward(X).a[1].round().astype(int)
            print("    its code, rounded:", *("".join(map(str, row)) for row in code), flush=True)
    table.end()


if __name__ == "__main__":
    main()
