"""The article's three nets A, B and C, layer by layer: forward, backward, one step downhill.

Every number is printed twice: from cbp's compiled core, and from cbp.reference, which is the same
mathematics in NumPy. Run it with: python examples/seed_article.py
"""

import sys

import numpy as np

import cbp
from cbp import reference

# Net A: x -> h1, h2 -> y. Net B has a second input, net C a second output too. No biases.
NETS = {
    "A": {"W": [[[0.1, 0.2]], [[0.3], [0.4]]], "x": [[1.5]], "t": [[0.25]]},
    "B": {"W": [[[0.1, 0.2], [0.5, 0.6]], [[0.3], [0.4]]], "x": [[1.5, -2.0]], "t": [[0.25]]},
    "C": {
        "W": [[[0.1, 0.2], [0.5, 0.6]], [[0.3, 0.7], [0.4, 0.8]]],
        "x": [[1.5, -2.0]],
        "t": [[0.25, 0.75]],
    },
}
NAMES = {
    "A": [["w1", "w2"], ["w3", "w4"]],
    "B": [["w1", "w2", "w5", "w6"], ["w3", "w4"]],
    "C": [["w1", "w2", "w5", "w6"], ["w3", "w7", "w4", "w8"]],
}
LEARNING_RATE = 0.5


def build(weights, dtype="float64"):
    """Return a logistic net without biases that has these weights."""
    sizes = [len(weights[0])] + [len(W[0]) for W in weights]
    net = cbp.Network(
        sizes, activation="sigmoid", output_activation="sigmoid", bias=False, dtype=dtype
    )
    for layer, W in enumerate(weights):
        net.weights[layer] = W
    return net


def show(name, ours, reference_value):
    print(f"  {name:9}{ours:22.17f}{reference_value:22.17f}")


def main():
    loss = cbp.SquaredError(reduction="sum")  # ½ Σ (y - t)²
    for net_name, case in NETS.items():
        W, x, t = case["W"], case["x"], case["t"]
        net = build(W)
        none, logistic = [None, None], ["sigmoid", "sigmoid"]
        f, f_ref = net.forward(x), reference.forward(x, W, none, logistic)
        g = net.gradient(x, t, loss=loss)
        g_ref = reference.gradient(x, t, W, none, logistic, "squared_error", reduction="sum")

        print(
            f"Net {net_name}: sizes {[len(W[0])] + [len(w[0]) for w in W]}, x = {x[0]}, "
            f"t = {t[0]}\n{'':17}cbp, compiled         cbp.reference"
        )
        print("forward")
        unit = 0
        for layer in (0, 1):
            for j in range(f.z[layer].shape[1]):
                unit += 1  # z1 and z2 are the hidden units, z3 (and z4) the outputs
                activation = f"h{j + 1}" if layer == 0 else f"y{j + 1}"
                show(f"z{unit}", f.z[layer][0, j], f_ref.z[layer][0, j])
                show(activation, f.a[layer + 1][0, j], f_ref.a[layer + 1][0, j])
        show("loss", g.loss, g_ref.loss)

        print("backward: δ = ∂L/∂z, last layer first; ∂L/∂w = δ × the output that w's edge carries")
        for layer in (1, 0):
            for j, d in enumerate(g.deltas[layer][0]):
                show(f"δ at z{j + 1 + 2 * layer}", d, g_ref.deltas[layer][0, j])
            for name, dw, dw_ref in zip(
                NAMES[net_name][layer], g.weights[layer].ravel(), g_ref.weights[layer].ravel()
            ):
                show(f"∂L/∂{name}", dw, dw_ref)

        for layer in (0, 1):
            net.weights[layer] = net.weights[layer] - LEARNING_RATE * g.weights[layer]
        W_ref, _ = reference.descend(W, none, g_ref, LEARNING_RATE)
        after = reference.gradient(x, t, W_ref, none, logistic, "squared_error", reduction="sum")
        print(f"one step of gradient descent, w ← w - {LEARNING_RATE} ∂L/∂w")
        show("new loss", net.gradient(x, t, loss=loss).loss, after.loss)
        print()

    # Net C once more: w5 leads from x2 to z1, and from h1 two paths lead to the loss. Along each,
    # ∂L/∂w5 is the product of the edges' partial derivatives; the two products add up.
    (h1, _), y = f.a[1][0], f.a[2][0]
    print("w5 of net C, path by path")
    total = 0.0
    for k in (0, 1):
        factors = {
            f"∂L/∂y{k + 1}": y[k] - t[0][k],
            f"∂y{k + 1}/∂z{k + 3}": y[k] * (1 - y[k]),
            f"∂z{k + 3}/∂h1": W[1][0][k],
            "∂h1/∂z1": h1 * (1 - h1),
            "∂z1/∂w5": x[0][1],
        }
        product = np.prod(list(factors.values()))
        total += product
        print(f"  through y{k + 1}: " + " × ".join(f"{n} {v:.6f}" for n, v in factors.items()))
        print(f"    = {product:.17f}")
    print(f"  sum of both paths       {total:.17f}")
    print(f"  ∂L/∂w5 from the δ's     {g.weights[0][1, 0]:.17f}")


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # a terminal without Greek letters shows "?"
    main()
