"""Andrew Ng's exercise 4: the cost and gradient cases that need no data.

Machine Learning (Coursera), programming exercise 4: logistic outputs, mean cross-entropy J plus
λ/2m Σ W². Its test cases are made of integers, sines and cosines. Octave unrolls matrices column by
column, and his Θ is (outputs, 1 + inputs) with the bias first.
Run it with: python examples/gallery/ng.py
"""

import numpy as np
from verdict import Verdicts

import cbp
from cbp import explain

LOSS = cbp.BinaryCrossEntropy()
# The published gradient at λ = 0: Θ1, then Θ2.
GRADIENT = (
    "0.7661383696, 0.979896866, -0.0275396159, -0.035844209, -0.0249287827, -0.053861694, "
    "0.8834172077, 0.5687623449, 0.5846676621, 0.598139237, 0.4593135493, 0.3446181825, "
    "0.2563133312, 0.3118850629, 0.4783366232, 0.3689204067, 0.2597706219, 0.3223308891"
)


def octave(values, rows):
    """Return the matrix with so many rows whose columns, one after another, are the values."""
    return np.reshape(values, (rows, -1), order="F")


def build(*thetas):
    """Return the net of his Θ1 and Θ2."""
    sizes = [thetas[0].shape[1] - 1, *(len(theta) for theta in thetas)]
    net = cbp.Network(sizes, "sigmoid", "sigmoid", dtype="float64")
    for layer, theta in enumerate(thetas):
        net.biases[layer], net.weights[layer] = theta[:, 0], theta[:, 1:].T
    return net


def cost(net, X, Y, lambda_):
    """Return J: the loss, which leaves the penalty out, and the penalty."""
    squares = sum((W**2).sum() for W in net.weights)
    return net.gradient(X, Y, LOSS).loss + lambda_ / (2 * len(X)) * squares


def unrolled(net, X, Y, lambda_=0):
    """Return the gradient as Octave unrolls it."""
    g = net.gradient(X, Y, LOSS, l2=lambda_ / len(X))
    parts = [np.column_stack([db, dW.T]) for dW, db in zip(g.weights, g.biases)]
    return np.concatenate([part.ravel(order="F") for part in parts])


def differences(net, X, Y, step=1e-4):
    """Return the central differences of J in the order of net.parameters."""
    slopes = np.empty(net.n_parameters)
    for k in range(net.n_parameters):
        kept, J = net.parameters[k], []
        for moved in (kept + step, kept - step):
            net.parameters[k] = moved
            J.append(net.gradient(X, Y, LOSS).loss)
        net.parameters[k] = kept
        slopes[k] = (J[0] - J[1]) / (2 * step)
    return slopes


def main():
    table = Verdicts("Ng, Machine Learning, exercise 4")
    table.part("The slope of the logistic function at -1, -0.5, 0, 0.5, 1")
    neuron = cbp.Network([1, 1], output_activation="sigmoid", bias=False, dtype="float64")
    slopes = []
    for z in (-1, -0.5, 0, 0.5, 1):
        neuron.parameters[:] = z
        slopes.append(explain.graph(neuron, 1.0, 0.5).slopes[0][0])
    names = "g'(-1), g'(-0.5), g'(0), g'(0.5), g'(1)"
    table.numbers(names, "0.196612, 0.235004, 0.25, 0.235004, 0.196612", slopes)

    table.part("2-2-4, three samples: J")
    net = build(octave(np.arange(1, 7) / 10, 2), octave(np.arange(7, 19) / 10, 4))
    X, Y = np.cos([[1, 2], [3, 4], [5, 6]]), np.eye(4)[np.array([4, 2, 3]) - 1]
    table.number("λ = 0", "7.4070", cost(net, X, Y, 0))
    table.number("λ = 3", "16.457", cost(net, X, Y, 3))
    table.number("λ = 4", "19.473636522732416", cost(net, X, Y, 4))
    table.part("Its gradient, λ = 0")
    names = ", ".join(f"{k}" for k in range(1, 19))
    table.numbers(names, GRADIENT, unrolled(net, X, Y))

    table.part("3-5-3, five samples: his gradient check", "computed independently")
    net = build(octave(np.sin(np.arange(1, 21)) / 10, 5), octave(np.sin(np.arange(1, 19)) / 10, 3))
    X = octave(np.sin(np.arange(1, 16)) / 10, 5)
    Y = np.eye(3)[np.array([2, 3, 1, 2, 3]) - 1]
    table.number("J, λ = 0", "2.100950569902465", cost(net, X, Y, 0))
    table.number("J, λ = 3", "2.146359815024358", cost(net, X, Y, 3))
    first = "-0.009278252358, 0.008899119596"
    table.numbers("gradient 1, gradient 2", first, unrolled(net, X, Y)[:2])
    g, d = net.loss_and_gradient(X, Y, LOSS)[1], differences(net, X, Y)
    apart = np.linalg.norm(g - d) / np.linalg.norm(g + d)
    table.holds("from central differences", "2.5e-11", f"{apart:.1e}", apart < 1e-9)

    table.part("400-25-10, the net of the exercise, whose weights are not here")
    count = cbp.Network([400, 25, 10], init="zeros").n_parameters
    table.holds("parameters", "10,285", f"{count:,}", count == 10_285)
    table.end()


if __name__ == "__main__":
    main()
