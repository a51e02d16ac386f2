"""Writes hashes.json beside this file: SHA-256 of small training runs.

    python tests/golden/make_hashes.py

The hashes hold on every CPU with FMA.  They change only with the numerical format
(docs/numerics.md), the constants of src_c/elementary_body.h included; before 1.0 that is allowed
once an issue, with the reason in the CHANGELOG.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import outputs
import rules
from nets import HIDDEN, HYPER, OPTIMIZERS, OUTPUTS, digest, train

import cbp

FILE = Path(__file__).with_name("hashes.json")
SIZES = ((2, 3), (5, 17, 4), (20, 33, 16, 3), (300, 20, 10))


def cases():
    """Name and arguments of each run: every optimiser, activation, loss and type, in turn."""
    for number in range(30):
        optimizer, hidden = OPTIMIZERS[number % 4], HIDDEN[number // 4 % 4]
        activation, loss = OUTPUTS[number % 6]
        sizes = SIZES[(number + number // 4) % 4]
        dtype = (np.float32, np.float64)[number // 2 % 2]
        options = {
            "dtype": dtype, "n": 90, "batch_size": (8, 32, 90)[number % 3], "epochs": 4,
            "labels": activation == "softmax" and number % 4 == 1, "weighted": number % 5 == 0,
            "l2": 0.01 * (number % 2), "reduction": "sum" if number % 7 == 6 else "mean",
            "seed": number,
        }  # fmt: skip
        rate = 0.001 if options["reduction"] == "sum" else 0.01
        options["hyper"] = {**HYPER[optimizer], "learning_rate": rate}
        name = f"{number:02d} {optimizer} {'-'.join(map(str, sizes))} {hidden} {activation} "
        activations = [hidden] * (len(sizes) - 2) + [activation]
        yield name + f"{loss} {np.dtype(dtype)}", (sizes, activations, loss, optimizer), options


def runs():
    """Name, network, loss, optimizer and targets: every loss at every output, and in turn each
    hidden activation, optimizer and type, and masks."""
    hidden = [name for name in outputs.HIDDEN if isinstance(name, str)]
    pairs = [(loss, output) for loss, output in outputs.PAIRS
             if loss != "custom" and isinstance(output, str)]  # fmt: skip
    for number, (name, output) in enumerate(pairs):
        loss, rule = outputs.LOSSES[name][0], list(rules.RULES)[number % len(rules.RULES)]
        activation, dtype = hidden[number % len(hidden)], ("float32", "float64")[number // 2 % 2]
        net = cbp.Network([5, (6, 20, 33)[number % 3], outputs.N_OUTPUTS], activation, output,
                          dtype=dtype, seed=number)  # fmt: skip
        T = np.random.default_rng(number).random((90, loss.n_targets(outputs.N_OUTPUTS)))
        if output in outputs.ROWS:
            T /= T.sum(axis=1, keepdims=True)
        if number % 4 == 3:
            loss, T[::7] = replace(loss, mask_nan=True), np.nan
        yield f"{name} {output} {activation} {rule} {dtype}", net, loss, rule, T


def hashes(n_threads: int = 1) -> dict[str, str]:
    """Name and hash of parameters, losses and states of each run."""
    found = {}
    for name, shape, options in cases():
        net, losses, states, _ = train(*shape, n_threads=n_threads, **options)
        found[name] = digest(net.theta, losses, *states)
    for name, net, loss, rule, T in runs():
        trainer = cbp.Trainer(net, loss, rules.RULES[rule][0], seed=1, n_threads=n_threads,
                              batch_size=None if rule.startswith("rprop") else 16)  # fmt: skip
        losses = trainer.fit(np.random.default_rng(0).random((90, 5)) - 0.5, T, 3)["loss"]
        found[name] = digest(net.parameters, np.array(losses))
    return found


if __name__ == "__main__":
    from cbp import _runtime

    if not _runtime.has_fma():
        sys.exit("The hashes are those of CPUs with FMA; this one has none in use.")
    FILE.write_text(json.dumps(hashes(), indent=1) + "\n")
    print(f"wrote {FILE}")
