"""Mazur's step by step example, and why his later numbers are of two programs.

M. Mazur, A Step by Step Backpropagation Example (2015): a 2-2-2 net, one sample, learning rate 0.5,
the biases never updated. His first step is right to the last digit. Further on, he says, all weights
keep their old values until the step is over; but his numbers are of a program that updates the
output layer first and sends the error back through its new weights. One of them is of a program
that does what he says. Run it with: python examples/gallery/mazur.py
"""

import numpy as np
from verdict import Verdicts

import cbp

X, T = np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])
RATE = 0.5
LOSS = cbp.SquaredError(reduction="sum")


def build(trainable="weights"):
    """Return his net; w1 ... w8 stand in his order if the matrices are read column by column."""
    layers = [cbp.Dense(2, "sigmoid", trainable=trainable) for _ in range(2)]
    net = cbp.Network([2, *layers], dtype="float64")
    net.weights[0], net.biases[0] = [[0.15, 0.25], [0.20, 0.30]], [0.35, 0.35]
    net.weights[1], net.biases[1] = [[0.40, 0.50], [0.45, 0.55]], [0.60, 0.60]
    return net


def simultaneous(net, steps):
    """Every weight moves by the gradient at the old weights; return E after so many steps."""
    trainer = cbp.Trainer(net, LOSS, cbp.SGD(RATE), batch_size=None)
    done, errors = 0, []
    for step in steps:
        trainer.fit(X, T, step - done)
        done = step
        errors.append(net.gradient(X, T, LOSS).loss)
    return errors


def output_layer_first(net, steps):
    """The output layer moves first, then the hidden δ is computed with its new weights."""
    errors = []
    for step in range(1, steps[-1] + 1):
        gradient, h = net.gradient(X, T, LOSS), net.forward(X).a[1]
        net.weights[1] -= RATE * gradient.weights[1]
        delta = gradient.deltas[1] @ net.weights[1].T * h * (1 - h)
        net.weights[0] -= RATE * X.T @ delta
        if step in steps:
            errors.append(net.gradient(X, T, LOSS).loss)
    return errors


def main():
    table = Verdicts("Mazur, A Step by Step Backpropagation Example")
    net = build()
    forward, gradient = net.forward(X), net.gradient(X, T, LOSS)
    table.part("Forward")
    table.numbers("net_h1, out_h1", "0.3775, 0.593269992", [forward.z[0][0, 0], forward.a[1][0, 0]])
    table.number("out_h2", "0.596884378", forward.a[1][0, 1])
    table.number("net_o1", "1.105905967", forward.z[1][0, 0])
    table.numbers("out_o1, out_o2", "0.75136507, 0.772928465", forward.a[2][0])
    errors = 0.5 * (T - forward.a[2])[0] ** 2
    table.numbers(
        "E_o1, E_o2, E", "0.274811083, 0.023560026, 0.298371109", [*errors, gradient.loss]
    )
    table.part("Backward")
    table.number("δ of o1", "0.138498562", gradient.deltas[1][0, 0])
    table.number("dE/dw5", "0.082167041", gradient.weights[1][0, 0])
    back = gradient.deltas[1] @ net.weights[1].T
    table.number("dE/d out_h1", "0.036350306", back[0, 0])
    table.number("dE/dw1", "0.000438568", gradient.weights[0][0, 0])
    table.part("The first step")
    simultaneous(net, [1])
    source = "0.149780716, 0.19956143, 0.24975114, 0.29950229"
    table.numbers("w1, w2, w3, w4", source, net.weights[0].T.ravel())
    source = "0.35891648, 0.408666186, 0.511301270, 0.561370121"
    table.numbers("w5, w6, w7, w8", source, net.weights[1].T.ravel())

    steps = [1, 9_999, 10_000]
    both, first = build(), build()
    together, mixed = simultaneous(both, steps), output_layer_first(first, steps)
    table.part("Later: all weights at once, as he describes it")
    table.differs("E after 1 step", "0.291027924", together[0])
    table.number("E after 9,999 (he: 10,000)", "0.0000351085", together[1])
    table.number("E after 10,000, independently", "3.510187782978859e-05", together[2])
    table.differs("out_o1 after 10,000", "0.015912196", both.predict(X)[0, 0])
    table.part("Later: the output layer first")
    table.number("E after 1 step", "0.291027924", mixed[0])
    table.differs("E after 10,000", "0.0000351085", mixed[2])
    table.numbers("out_o1, out_o2", "0.015912196, 0.984065734", first.predict(X)[0])
    table.part("If the biases learn as well", "computed independently")
    names = "E after 1 step, E after 10,000 steps"
    source = "0.28047144679143016, 2.4475622359322627e-06"
    table.numbers(names, source, simultaneous(build(trainable=True), [1, 10_000]))
    table.end()


if __name__ == "__main__":
    main()
