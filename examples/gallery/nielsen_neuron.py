"""Nielsen's one neuron: why the cross-entropy learns where the squared error is stuck.

M. Nielsen, Neural Networks and Deep Learning (2015), ch. 3: a neuron with one input learns to turn
1 into 0. Badly wrong at first, it learns slowly under the squared error, since the slope of the
logistic function is nearly 0 there; under the cross-entropy that slope cancels.
Run it with: python examples/gallery/nielsen_neuron.py
"""

from verdict import Verdicts

import cbp

SQUARED, ENTROPY = cbp.SquaredError(), cbp.BinaryCrossEntropy()
EPOCHS = 300
# weight, bias, loss, rate; output before and after as printed; after, computed independently.
RUNS = [
    (0.6, 0.9, SQUARED, 0.15, "0.82", "0.09", "0.09395569486364724"),
    (2.0, 2.0, SQUARED, 0.15, "0.98", "0.20", "0.2028484242677765"),
    (0.6, 0.9, ENTROPY, 0.005, "0.82", None, "0.4176792995988869"),
    (2.0, 2.0, ENTROPY, 0.005, "0.98", None, "0.7795870642061684"),
]


def curve(losses, width=50):
    """Return a loss's history as a line of blocks."""
    points = losses[:: len(losses) // width]
    return "".join("▁▂▃▄▅▆▇█"[int(7.99 * v / max(points))] for v in points)


def main():
    table = Verdicts("Nielsen's neuron: x = 1, target 0, 300 epochs")
    for w, b, loss, rate, before, after, exactly in RUNS:
        net = cbp.Network([1, 1], output_activation="sigmoid", dtype="float64")
        net.parameters[:] = w, b
        table.part(f"{type(loss).__name__}, w = {w}, b = {b}, rate {rate}")
        table.number("output at first", before, net.predict([[1.0]])[0, 0])
        history = cbp.Trainer(net, loss, cbp.SGD(rate), batch_size=None).fit([[1.0]], [0.0], EPOCHS)
        if after:
            table.number("output at the end", after, net.predict([[1.0]])[0, 0])
        table.number("independently", exactly, net.predict([[1.0]])[0, 0])
        print(f"  loss by epoch: {curve(history['loss'])}")
    table.end()


if __name__ == "__main__":
    main()
