"""benchmarks/bench.py: backends are compared before they are timed, and the comparison bites."""

from __future__ import annotations

import json
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BACKENDS = ("cbp", "numpy", "sklearn")
CELLS = (
    "train 4-16-3 relu/softmax_ce momentum b8",
    "train 30-16-1 relu/sigmoid_bce adam b32",
)


@pytest.fixture(scope="module")
def bench(repo_root: Any) -> Any:
    """The module bench.py; the modules beside it are its attributes."""
    pytest.importorskip("sklearn")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo_root / "benchmarks"))
        import bench

        yield bench


class InProcess:
    """A peer without a process of its own."""

    def __init__(self, bench: ModuleType, name: str) -> None:
        self.name, self.server = name, bench.peers.Server(name, 1)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Return the answer of the server."""
        return getattr(self.server, method)(*arguments)


def case(bench: Any, name: str) -> Any:
    """Return the cell of this name."""
    return next(c for c in bench.CASES if c.name == name)


def measure(bench: Any, name: str, names: Any, repeats: int = 2) -> dict[str, Any]:
    """Return one cell's times, from tiny blocks."""
    pool = [InProcess(bench, backend) for backend in names]
    no_peak = bench.FmaPeak.__new__(bench.FmaPeak)
    no_peak.usable = False
    result: dict[str, Any] = bench.measure(
        case(bench, name), pool, "float32", 1, repeats, 1e-4, no_peak
    )
    return result


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_hold_the_same_weights(bench: Any, backend: str, name: str, dtype: str) -> None:
    """After the same steps, cbp, NumPy and scikit-learn hold the weights NumPy has in float64."""
    cell, peer = case(bench, name), InProcess(bench, backend)
    n_batches, steps = bench.n_verify(cell)
    peer.ask("prepare", cell, dtype, "", n_batches)
    result = peer.ask("result", "", steps)
    assert bench.verify(result, cell, dtype, backend) == ""
    moved = np.linalg.norm(result - bench.cases.initial(cell, dtype))
    assert moved > 1e-3 * np.linalg.norm(result)


@pytest.mark.parametrize("name", CELLS)
def test_every_backend_is_timed(bench: Any, name: str) -> None:
    """A cell has one time a repeat from every backend that agrees."""
    cell = measure(bench, name, BACKENDS, repeats=3)
    assert cell["skipped"] == {}
    assert {backend: len(times) for backend, times in cell["wall"].items()} == dict.fromkeys(
        BACKENDS, 3
    )
    assert all(time > 0 for times in cell["wall"].values() for time in times)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("flaw", ["learning rate", "last bias", "order"])
def test_a_backend_that_is_off_is_refused(
    bench: Any, monkeypatch: pytest.MonkeyPatch, flaw: str, name: str
) -> None:
    """A backend with other weights is named, told why, and not timed."""
    numpy = bench.peers.NumPy

    class Off(numpy):  # type: ignore[misc, valid-type]
        """NumPy, but for one flaw."""

        def prepare(self, case: Any, weights: Any, data: Any) -> None:
            super().prepare(case, weights, data)
            if flaw == "order":
                self.batches.reverse()

        def steps(self, k: int) -> int:
            before = self.theta.copy()
            super().steps(k)
            if flaw == "learning rate":
                self.theta += 0.1 * (self.theta - before)
            if flaw == "last bias":
                self.theta[-1] = before[-1]
            return k

    monkeypatch.setitem(bench.peers.BACKENDS, "numpy", Off)  # the yardstick stays right
    cell = measure(bench, name, ("cbp", "numpy"))
    assert list(cell["wall"]) == ["cbp"]
    assert "REFUSED, has other weights" in cell["skipped"]["numpy"]


@pytest.mark.slow
def test_command_line(repo_root: Any, tmp_path: Any) -> None:
    """`bench.py train` prints a ratio and writes JSON that `compare` and `show` read."""
    pytest.importorskip("sklearn")
    program, file = str(repo_root / "benchmarks" / "bench.py"), str(tmp_path / "times.json")

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, program, *arguments], check=True, capture_output=True, text=True
        ).stdout

    table = run("train", "--cells", "tiny", "--only", CELLS[0], "--backends", ",".join(BACKENDS),
                "--repeats", "2", "--block-ms", "1", "--json", file)  # fmt: skip
    assert CELLS[0] in table
    with open(file) as stream:
        (cell,) = json.load(stream)["cells"]
    assert set(cell["wall"]) == set(BACKENDS)
    assert CELLS[0] in run("show", file)
    assert "| 1.00 | 1.00 (" in run("compare", file, file)
