"""Michael Nielsen's first network on MNIST: 784-30-10, sigmoid, squared error, plain SGD.

Batches of 10, learning rate 3.0, 30 epochs over the 60,000 training images. One difference from
chapter 1 of "Neural Networks and Deep Learning": the weights start from Glorot's uniform
distribution. The loss is the mean over the batch of ½ Σ (y - t)², which is Nielsen's, so the
learning rate means the same. His best run of three reached 95.42 % on the 10,000 test images.

Measured, seeds 1 to 3: 95.98, 95.72 and 95.81 % after the last epoch, 5 to 8 s a run on one thread.

Run it with: python examples/mnist.py --data FOLDER --seeds 3
"""

import argparse
import statistics
import sys
import time

import numpy as np

import cbp
from cbp.datasets import load_mnist

SIZES = [784, 30, 10]
LEARNING_RATE = 3.0
BATCH_SIZE = 10
TEXTBOOK = 0.9542


def run(data, seed, epochs, n_threads):
    """Train one network, and return its test accuracy after every epoch, and the seconds."""
    net = cbp.Network(SIZES, "sigmoid", "sigmoid", init="glorot_uniform", seed=seed)
    trainer = cbp.Trainer(
        net,
        "squared_error",
        cbp.SGD(LEARNING_RATE),
        batch_size=BATCH_SIZE,
        metrics="accuracy",
        n_threads=n_threads,
        seed=seed,
    )
    X_train, Y_train, X_test, Y_test = data
    start = time.perf_counter()
    history = trainer.fit(X_train, Y_train, epochs, validation_data=(X_test, Y_test))
    return history["val_accuracy"], time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description="Nielsen's 784-30-10 network on MNIST.")
    parser.add_argument("--data", metavar="FOLDER", help="folder of the four MNIST files")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="runs with seeds 1 to N")
    parser.add_argument("--epochs", type=int, default=30, metavar="N")
    parser.add_argument("--threads", type=int, default=None, metavar="N", help="default: automatic")
    arguments = parser.parse_args()
    if arguments.seeds < 1 or arguments.epochs < 1:
        parser.error("--seeds and --epochs must be at least 1")
    if arguments.threads is not None and not 1 <= arguments.threads <= 1024:
        parser.error(f"--threads must be from 1 to 1024, got {arguments.threads}")

    try:
        mnist = load_mnist(arguments.data)
    except FileNotFoundError as error:
        sys.exit(str(error))
    # Converted once, here: fit would do it at every call.
    X_train, X_test = (X.astype(np.float32) / 255 for X in (mnist.X_train, mnist.X_test))
    data = X_train, cbp.one_hot(mnist.y_train, 10), X_test, cbp.one_hot(mnist.y_test, 10)

    seeds = range(1, arguments.seeds + 1)
    runs = [run(data, seed, arguments.epochs, arguments.threads or "auto") for seed in seeds]

    print("accuracy on the test images, in %")
    print("epoch" + "".join(f"{f'seed {seed}':>10}" for seed in seeds))
    for epoch in range(arguments.epochs):
        row = "".join(f"{100 * accuracies[epoch]:10.2f}" for accuracies, _ in runs)
        print(f"{epoch + 1:5}{row}")
    print("secs " + "".join(f"{seconds:10.1f}" for _, seconds in runs))
    last = statistics.median(accuracies[-1] for accuracies, _ in runs)
    print(
        f"last epoch, median of {len(runs)}: {100 * last:.2f} %;"
        f" the textbook's best run: {100 * TEXTBOOK:.2f} %"
    )


if __name__ == "__main__":
    main()
