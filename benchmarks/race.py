"""How soon a network reads 98 % of MNIST's test images: cbp, PyTorch eager and scikit-learn.

    python benchmarks/race.py --data FOLDER --seeds 5 --json race.json

The same 784-128-10 relu network, Adam at 0.001, minibatches of 128 in a new random order every
epoch. Only training is timed; the test images are read between epochs, by everybody with the
clock stopped. The backends take turns, seed by seed, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

SIZES, RATE, BATCH, MOST_EPOCHS = (784, 128, 10), 0.001, 128, 40
# What one backend yields: a function that trains one epoch, and one that reads the test images.
Runner = tuple[Callable[[], Any], Callable[[], Any]]


def run_cbp(data: Any, seed: int, n_threads: int) -> Runner:
    """Return cbp's epoch and answers."""
    import cbp

    net = cbp.Network(list(SIZES), "relu", "softmax", init="glorot_uniform", seed=seed)
    trainer = cbp.Trainer(net, optimizer=cbp.Adam(RATE), batch_size=BATCH, seed=seed)
    return (
        lambda: trainer.fit(data[0], data[1], 1, progress=False),
        lambda: net.predict(data[2]).argmax(axis=1),
    )


def run_torch(data: Any, seed: int, n_threads: int) -> Runner:
    """Return PyTorch's: nn.Sequential, autograd, torch.optim; minibatches by index, no loader."""
    import torch
    from torch import nn

    torch.set_num_threads(n_threads)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    for layer in (model[0], model[2]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    optimizer, loss = torch.optim.Adam(model.parameters(), RATE), nn.CrossEntropyLoss()
    X, y, X_test = (torch.from_numpy(array) for array in data[:3])

    def epoch() -> None:
        for rows in torch.randperm(len(X)).split(BATCH):
            optimizer.zero_grad()
            loss(model(X[rows]), y[rows]).backward()
            optimizer.step()

    def answers() -> Any:
        with torch.inference_mode():
            return model(X_test).argmax(1).numpy()

    return epoch, answers


def run_sklearn(data: Any, seed: int, n_threads: int) -> Runner:
    """Return scikit-learn's: `partial_fit` makes one shuffled pass over the rows."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((128,), alpha=0.0, batch_size=BATCH, learning_rate_init=RATE,
                          random_state=seed)  # fmt: skip
    classes = np.arange(10)
    return (
        lambda: model.partial_fit(data[0], data[1], classes=classes),
        lambda: model.predict(data[2]),
    )


RUNNERS = {"cbp": run_cbp, "torch": run_torch, "sklearn": run_sklearn}


def race(name: str, folder: str, seed: int, n_threads: int, goal: float) -> dict[str, Any]:
    """Return the seconds and epochs until the goal, and the accuracies on the way."""
    import numpy as np

    from cbp.datasets import load_mnist

    mnist = load_mnist(folder)
    data = (
        mnist.X_train.astype(np.float32) / 255, mnist.y_train.astype(np.int64),
        mnist.X_test.astype(np.float32) / 255, mnist.y_test,
    )  # fmt: skip
    epoch, answers = RUNNERS[name](data, seed, n_threads)
    seconds, accuracies = 0.0, []
    for _ in range(MOST_EPOCHS):
        start = time.perf_counter()
        epoch()
        seconds += time.perf_counter() - start
        accuracies.append(float((answers() == data[3]).mean()))
        if accuracies[-1] >= goal:
            break
    reached = accuracies[-1] >= goal
    return {"backend": name, "seed": seed, "seconds": seconds if reached else None,
            "epochs": len(accuracies), "accuracies": accuracies}  # fmt: skip


def rounds(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the results, backend by backend within a seed."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(arguments.threads)
    context = multiprocessing.get_context("spawn")
    for seed in range(1, arguments.seeds + 1):
        for name in arguments.backends.split(","):
            with context.Pool(1) as pool:
                yield pool.apply(
                    race, (name, arguments.data, seed, arguments.threads, arguments.goal)
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the four MNIST files")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--goal", type=float, default=0.98)
    parser.add_argument("--backends", default=",".join(RUNNERS))
    parser.add_argument("--json", help="write the results here")
    arguments = parser.parse_args()
    results = []
    for result in rounds(arguments):
        results.append(result)
        told = "never" if result["seconds"] is None else f"{result['seconds']:.2f} s"
        print(f"seed {result['seed']}  {result['backend']:<8}{told:>10}, {result['epochs']} epochs")
    medians = {}
    for name in arguments.backends.split(","):
        times = [r["seconds"] or float("inf") for r in results if r["backend"] == name]
        medians[name] = statistics.median(times)
    for name, seconds in medians.items():
        ratio = f", {seconds / medians['cbp']:.1f} x cbp's" if "cbp" in medians else ""
        print(f"median  {name:<8}{seconds:8.2f} s{ratio}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"threads": arguments.threads, "race": results}, file, indent=1)


if __name__ == "__main__":
    main()
