"""Rumelhart, Hinton and Williams's symmetry detector: two hidden units, weights as 1 : 2 : 4.

Nature 323 (1986) 533-536, fig. 1: a 6-2-1 net tells the 8 mirror-symmetric vectors of six bits from
the 56 others. Its trick: each hidden unit has weights of opposite sign on mirrored inputs, in the
ratio 1 : 2 : 4, so that only a symmetric vector leaves both units off. Takes about 4 s.
Run it with: python examples/gallery/symmetry.py
"""

import numpy as np
from starts import LOSS, solve
from verdict import Verdicts

import cbp

X = np.array([[k >> i & 1 for i in range(6)] for k in range(64)], dtype=float)
SYMMETRIC = (X == X[:, ::-1]).all(axis=1)
Y = SYMMETRIC[:, np.newaxis].astype(float)

# As printed: the weights into the two hidden units, their biases, their weights to the output.
FIG_1 = {
    "hidden": [[14.2, -3.6, 7.2, -7.2, 3.6, -14.2], [-14.2, 3.6, -7.1, 7.1, -3.6, 14.2]],
    "biases": [-1.1, -1.1],
    "output": [-8.8, -8.8],
    "bias": 6.4,
}
# Parallel Distributed Processing, vol. 1, ch. 8, fig. 9.
FIG_9 = {
    "hidden": [
        [-3.18, 6.32, -12.56, 12.56, -6.33, 3.17],
        [3.16, -6.34, 12.52, -12.51, 6.31, -3.17],
    ],
    "biases": [-1, -1],
    "output": [-9.44, -9.44],
    "bias": 6.89,
}
# Sweeps that twenty starts took in an independent program: ε = .1, α = .9, start in [-.3, .3].
SWEEPS = [
    14351, 568, 15299, 1582, 26634, 2170, 825, 22372, 1108, 2145,
    1287, 5687, 1794, 3372, 1216, 2709, 5139, 4168, 13974, 2205,
]  # fmt: skip


def build(figure):
    """Return the net with a figure's weights."""
    net = cbp.Network([6, 2, 1], "sigmoid", "sigmoid", dtype="float64")
    net.weights[0], net.biases[0] = np.transpose(figure["hidden"]), figure["biases"]
    net.weights[1], net.biases[1] = np.transpose([figure["output"]]), [figure["bias"]]
    return net


def right(net):
    """Return how many of the 64 vectors are told right."""
    return int(((net.predict(X)[:, 0] > 0.5) == SYMMETRIC).sum())


def main():
    table = Verdicts("Symmetry: Rumelhart, Hinton and Williams, Nature 323 (1986), fig. 1")
    table.part("The printed weights")
    net = build(FIG_1)
    y = net.predict(X)[:, 0]
    table.holds("vectors told right", "all 64", right(net), right(net) == 64)
    table.number("output for symmetric vectors", "0.881276886495544", y[SYMMETRIC].min())
    table.number("largest other output", "0.15634298718412568", y[~SYMMETRIC].max())
    table.number("E", "0.34640486830085276", net.gradient(X, Y, LOSS).loss)
    figure_9 = right(build(FIG_9))
    table.holds("told right, PDP ch. 8, fig. 9", "all 64", figure_9, figure_9 == 64)

    table.part("Learning it: sweeps from twenty starts (theirs: 1,425)", "computed independently")
    nets, same, sweeps = [], 0, []
    for seed, known in enumerate(SWEEPS):
        net = cbp.Network([6, 2, 1], "sigmoid", "sigmoid", dtype="float64")
        net.parameters[:] = np.random.default_rng(seed).uniform(-0.3, 0.3, net.n_parameters)
        found = solve(net, X, Y, 0.1, 0.9, 30_000)
        print(f"    start {seed}: {found} sweeps", flush=True)
        same += found == known
        nets.append(net)
        sweeps.append(found or np.inf)
    solved = int(np.isfinite(sweeps).sum())
    table.holds("starts solved within 30,000", "20 of 20", solved, solved >= 18)
    table.holds("with exactly as many sweeps", "20 of 20", same, same >= 18)
    table.holds("1,425 within their range", "yes", f"{min(sweeps)} to {max(sweeps)}",
                min(sweeps) < 1425 < max(sweeps))  # fmt: skip

    table.part("What they learnt, after 20,000 sweeps more")
    ratios, mirrors = [], []
    for net in nets:
        trainer = cbp.Trainer(net, LOSS, cbp.SGD(0.1, momentum=0.9), batch_size=None, n_threads=1)
        trainer.fit(X, Y, 20_000)
        W = net.weights[0]
        mirrors.append(np.abs(W[:3] + W[:2:-1]).max() / np.abs(W).max())
        sizes = np.sort(np.abs(W[:3, 0]))
        ratios.append(sizes / sizes[0])
    mirrored = max(mirrors)  # of the largest weight
    table.holds("opposite weights on mirrored", "to 3e-4", f"to {mirrored:.1e}", mirrored <= 3e-4)
    doubling = [np.abs(r / [1, 2, 4] - 1).max() < 0.02 for r in ratios]
    as_printed = [r for r, yes in zip(ratios, doubling) if yes]
    middle = np.median(as_printed, axis=0)
    table.holds("weights in the ratio", "1 : 2 : 4", " : ".join(f"{r:.3g}" for r in middle),
                len(as_printed) >= 15)  # fmt: skip
    table.holds("of so many starts", "17 of 20", len(as_printed), len(as_printed) >= 15)
    others = [" : ".join(f"{v:.2f}" for v in r) for r, yes in zip(ratios, doubling) if not yes]
    print("  The others found another solution:", *others, sep="\n    ")
    table.end()


if __name__ == "__main__":
    main()
