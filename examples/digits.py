"""Handwritten digits of 8 x 8 pixels: train, judge, look inside, and go on training.

The data ship with cbp. Run it with: python examples/digits.py
"""

import sys

import numpy as np

import cbp
from cbp.datasets import load_digits


def main():
    digits = load_digits()  # float32 images in [0, 1], integer labels; every fifth held out
    print(f"{len(digits.X_train)} digits to learn from, {len(digits.X_test)} held out")

    net = cbp.Network([64, 128, 10], activation="relu", output_activation="softmax", seed=1)
    print(net.summary())

    # A softmax output means categorical cross-entropy unless another loss is named.
    trainer = cbp.Trainer(net, optimizer=cbp.Adam(0.002), batch_size=32, seed=1)
    history = trainer.fit(digits.X_train, digits.y_train, epochs=30)
    print(f"\nloss after epochs 1, 10, 20, 30: {history['loss'][0]:.4f}", end="")
    print("".join(f", {history['loss'][epoch]:.4f}" for epoch in (9, 19, 29)))

    trainer.learning_rate = 0.0005
    trainer.fit(digits.X_train, digits.y_train, epochs=30)  # goes on where the first call ended
    result = trainer.evaluate(digits.X_test, digits.y_test)
    print(f"held-out digits: loss {result['loss']:.4f}, accuracy {100 * result['accuracy']:.2f} %")

    probabilities = net.predict(digits.X_test)
    answers = probabilities.argmax(axis=1)
    confusion = np.zeros((10, 10), dtype=int)
    np.add.at(confusion, (digits.y_test, answers), 1)
    print("\nwhat was shown (rows), what was read (columns)")
    print("   " + "".join(f"{label:4}" for label in range(10)))
    for label, row in enumerate(confusion):
        print(f"{label:3}" + "".join(f"{n:4}" if n else "   ." for n in row))

    # Nothing is hidden: the gradient of the loss of one digit, with respect to everything.
    doubt = int(probabilities.max(axis=1).argmin())
    g = net.gradient(digits.X_test[doubt], digits.y_test[doubt : doubt + 1])
    print(
        f"\nthe digit read with most doubt is a {digits.y_test[doubt]}; its loss is {g.loss:.4f}\n"
        f"δ at the outputs: {np.array2string(g.deltas[-1][0], precision=3, suppress_small=True)}\n"
        f"hidden units that pass its error on: {np.count_nonzero(g.deltas[0])} of 128"
    )


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # a terminal without Greek letters shows "?"
    main()
