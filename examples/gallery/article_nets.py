"""The article's nets A, B and C: every value, every gradient, two paths, the work, one step.

The article, in Chinese, asks why gradients are computed backwards, and prints no numbers: those in
the left column were computed with 50 digits, of which the
first 17 stand here. Run it with: python examples/gallery/article.py
"""

from verdict import Verdicts

import cbp
from cbp import explain

# Weights in the order of net.parameters: w5 and w6 stand behind w1 and w2, w7 behind w3.
A = {"sizes": [1, 2, 1], "weights": [0.1, 0.2, 0.3, 0.4], "x": [1.5], "t": [0.25]}
B = {"sizes": [2, 2, 1], "weights": [0.1, 0.2, 0.5, 0.6, 0.3, 0.4], "x": [1.5, -2], "t": [0.25]}
C = {
    "sizes": [2, 2, 2],
    "weights": [0.1, 0.2, 0.5, 0.6, 0.3, 0.7, 0.4, 0.8],
    "x": [1.5, -2],
    "t": [0.25, 0.75],
}
LOSS = cbp.SquaredError(reduction="sum")  # ½ Σ (y - t)²


def build(case):
    """Return (net, x, t): logistic units, no biases."""
    net = cbp.Network(case["sizes"], "sigmoid", "sigmoid", bias=False, dtype="float64")
    net.parameters[:] = case["weights"]
    return net, case["x"], case["t"]


def look_at(table, letter, case, values, gradients, counts):
    """The nodes, the gradients, and how often the paths of all weights walk along the edges."""
    g = explain.graph(*build(case), LOSS)
    table.part(f"Net {letter}, {'-'.join(map(str, case['sizes']))}", "with 50 digits")
    for name, value in values.items():
        node = g.node(name.removeprefix("δ "))
        table.number(name, value, node.gradient if "δ" in name else node.value)
    names = sorted(g.parameters)
    table.numbers(", ".join(f"∂L/∂{w}" for w in names), gradients, [g.gradients[w] for w in names])
    work = {way: explain.derive(g, way).work for way in ("paths", "delta")}
    got = (
        len(g.edges), sum(explain.paths(g, w).count for w in names), work["paths"].visits,
        work["paths"].multiplications, work["delta"].multiplications,
    )  # fmt: skip
    for what, source, count in zip(
        ("edges", "paths of all weights", "edges they walk along", "multiplications, path by path",
         "multiplications with stored δ"), counts, got, strict=True,
    ):  # fmt: skip
        table.holds(what, source, count, source == count)
    return g


def main():
    table = Verdicts("Forward and backward propagation: the article's nets A, B and C")
    look_at(
        table, "A", A,
        {"h1": "0.53742984534374955", "h2": "0.57444251681165899",
         "z3": "0.39100596032778846", "y": "0.59652484029281019",
         "L": "0.060039732469978804"},
        "0.0093302141112770277, 0.012233078588896303, 0.044823058572767365, "
        "0.047910012443145668",
        (10, 4, 16, 12, 9),
    )  # fmt: skip
    table.part("Net A, ΔL/Δw1: not one number, as the article has it", "independently")
    secants = explain.sensitivity(*build(A), "w1", [1, 0.1, 0.01, 0.001], loss=LOSS).secants
    table.numbers(
        "step 1, step 0.1, step 0.01, step 0.001",
        "0.007704976482, 0.009286485577, 0.009327416513, 0.009329950234",
        secants,
    )
    table.part("Net A, w ← w - η ∂L/∂w, η = 0.5", "independently")
    net, x, t = build(A)
    losses = cbp.Trainer(net, LOSS, cbp.SGD(0.5), batch_size=None).fit([x], [t], 101)["loss"]
    table.numbers(
        "L after 1 step, L after 10 steps, L after 100 steps",
        "0.05779244815573567, 0.041217290877277324, 0.0013575510309936562",
        [losses[1], losses[10], losses[100]],
    )
    look_at(
        table, "B", B,
        {"z1": "-0.85", "z2": "-0.9", "z3": "0.20545005620780653",
         "y": "0.55118260692817328", "L": "0.045355481358025264",
         "δ z3": "0.074506655929273326", "δ z1": "0.0046888414273108207",
         "δ z2": "0.0061244562770039774"},
        "0.0070332621409662310, 0.0091866844155059661, 0.022309740889610818, "
        "0.021536185954104152, -0.0093776828546216413, -0.012248912554007955",
        (12, 6, 26, 20, 11),
    )  # fmt: skip
    g = look_at(
        table, "C", C,
        {"z4": "0.44084339816821576", "y2": "0.60845997728764705",
         "L": "0.055372270372731959", "δ z3": "0.074506655929273326",
         "δ z4": "-0.033719990183980007", "δ z1": "-0.00026263480667254355",
         "δ z2": "0.00058088159989517909"},
        "-0.00039395221000881532, 0.00087132239984276863, 0.022309740889610818, "
        "0.021536185954104152, 0.00052526961334508709, -0.0011617631997903582, "
        "-0.010096873016538716, -0.0097467799341594051",
        (18, 12, 52, 40, 16),
    )  # fmt: skip
    table.part("Net C, the two paths of w5", "with 50 digits")
    paths = explain.paths(g, "w5")
    table.numbers(
        "through y1, through y2, their sum",
        "-0.009377682854621643, 0.009902952467966724, 0.00052526961334508709",
        [*(path.product for path in paths), paths.total],
    )
    shorthand = g.node("y1").gradient + g.node("y2").gradient
    table.differs("∂L/∂y1 + ∂L/∂y2, taken literally", "0.000525269613", shorthand)
    print(f"\n{paths}\n\n{explain.compare(*build(C), LOSS)}")
    table.end()


if __name__ == "__main__":
    main()
