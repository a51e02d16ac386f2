"""Writes network-1.safetensors and checkpoint-1.safetensors beside this file.

    python tests/golden/make_files.py

Small files with something of everything, which every later version of cbp must read. They are
written once for a version of the format (docs/format.md), and never again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import cbp

FOLDER = Path(__file__).parent


def main():
    mask = np.ones((3, 4))
    mask[0, :2] = 0.0
    net = cbp.Network([3, cbp.Dense(4, "tanh", mask=mask, dropout=0.25), 2], seed=1)
    net.scaling = cbp.Scaling([1, 2, 3], [1, 1, 2], [0, 10], [1, 5])
    net.save(FOLDER / "network-1.safetensors")

    X = np.arange(24.0).reshape(12, 2) / 10
    trainer = cbp.Trainer(
        cbp.Network([2, 3, 1], seed=1), optimizer=cbp.Adam(0.01), batch_size=4, metrics="r2",
        schedule=cbp.Cosine(100, warm_up=5), average=0.5, seed=1,
    )  # fmt: skip
    trainer.fit(X, X[:, 0], epochs=2, validation_data=(X, X[:, 0]))
    trainer.save_checkpoint(FOLDER / "checkpoint-1.safetensors")


if __name__ == "__main__":
    main()
