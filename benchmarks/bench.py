"""Times cbp beside its peers, after checking that all of them compute the same thing.

    python benchmarks/bench.py train --cells tiny,small --threads 1 --json one.json
    python benchmarks/bench.py predict | onerow | gradient | fann | kernels | functions | memory
    python benchmarks/bench.py sweep
    python benchmarks/bench.py compare before.json after.json
    python benchmarks/bench.py plots one.json two.json --folder plots

What lives here: the command line, the processes and the order in which they are timed. The cells
are in cases.py, the backends in peers.py, tables and plots in report.py. README.md says what each
timed block does.
"""

from __future__ import annotations

import os

# Before NumPy loads its BLAS: this process only computes the yardstick of the comparison.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import ctypes
import json
import pickle
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import cases
import numpy as np
import peers
import report
from cases import CASES, GROUPS, Case

HERE = Path(__file__).resolve().parent
# Largest deviation from NumPy in float64, per layer's W or b: relative to the array itself, and to
# how far it has moved (which notices a missing term that a small step would hide).
TOLERANCE = {"float32": (1e-4, 5e-2), "float64": (1e-10, 1e-6)}
VERIFY_STEPS, VERIFY_BATCHES = 8, 4
PASSES = 4  # a timed block trains on its data at least as often (large nets: once)
SHELVES = {"train": ("tiny", "small", "mid", "large"), "predict": ("predict",),
           "onerow": ("onerow",), "gradient": ("gradient",), "fann": ("fann",)}  # fmt: skip


class Peer:
    """A backend in a process of its own, asked through pipes; it sleeps unless asked."""

    def __init__(self, name: str, n_threads: int) -> None:
        self.name = name
        threads = str(n_threads)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "JAX_PLATFORMS": "cpu",
        }
        if n_threads == 1:
            environment["XLA_FLAGS"] = (
                "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
            )
        affinity = cpus(n_threads)
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "peers.py"), name, threads],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            preexec_fn=(lambda: os.sched_setaffinity(0, affinity)) if affinity else None,
        )

    def ask(self, method: str, *arguments: Any) -> Any:
        """Return the answer; raise peers.Unable or RuntimeError if there is none."""
        assert self.process.stdin and self.process.stdout
        try:
            pickle.dump((method, arguments), self.process.stdin)
            self.process.stdin.flush()
            kind, answer = pickle.load(self.process.stdout)
        except (BrokenPipeError, EOFError):
            raise RuntimeError(f"the process of {self.name} has died") from None
        if kind == "unable":
            raise peers.Unable(answer)
        if kind == "failed":
            raise RuntimeError(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def cpus(n_threads: int) -> set[int]:
    """Return the processors that `n_threads` threads may use, or nothing where that is unknown."""
    if not hasattr(os, "sched_setaffinity"):
        return set()
    return set(sorted(os.sched_getaffinity(0))[-n_threads:])


# ---- the ceiling ---------------------------------------------------------------------------


class FmaPeak:
    """The machine's rate of fused multiply-adds, by fma_peak.c; `usable` is False without a
    compiler."""

    def __init__(self, dtype: str, isa: str) -> None:
        self.usable = False
        compiler = shutil.which(os.environ.get("CC", "cc"))
        real = "float" if dtype == "float32" else "double"
        flags = {
            "avx512": ["-mavx512f", "-mprefer-vector-width=512", "-DBYTES=64"],
            "avx2": ["-mavx2", "-mfma", "-DBYTES=32"],
        }.get(isa, ["-DBYTES=16"])
        if compiler is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder, "fma_peak.so")
            built = subprocess.run(
                [compiler, "-O2", "-ffp-contract=fast", "-shared", "-fPIC", f"-DREAL={real}",
                 *flags, "-o", str(library), str(HERE / "fma_peak.c")],
                capture_output=True, check=False,
            )  # fmt: skip
            if built.returncode:
                return
            self.run = ctypes.CDLL(str(library)).fma_peak
        self.run.restype = ctypes.c_double
        self.sink = (ctypes.c_double * 8)()
        self.usable = True

    def measure(self, n_threads: int) -> tuple[float, float]:
        """Return flop/s of about 3 ms, by wall and by processor time, times `n_threads`."""
        if not self.usable:
            return 0.0, 0.0
        rounds, before = 200_000, None
        if affinity := cpus(1):
            before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, affinity)
        start, start_cpu = time.perf_counter(), time.process_time()
        flops = self.run(ctypes.c_long(rounds), self.sink) * rounds * n_threads
        wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
        if before:
            os.sched_setaffinity(0, before)
        return flops / wall, flops / cpu


# ---- one cell ------------------------------------------------------------------------------


def verify(result: Any, case: Case, dtype: str, backend: str) -> str:
    """Return "" if the backend's `result` agrees with NumPy in float64, else what is wrong."""
    expected, start = yardstick(case, peers.BACKENDS[backend].other_epsilon)
    result = np.asarray(result, np.float64)
    if result.shape != expected.shape:
        return f"has shape {result.shape}, not {expected.shape}"
    relative, moved = TOLERANCE[dtype]
    if case.job != "train":
        off = np.linalg.norm(result - expected) / np.linalg.norm(expected)
        return "" if off <= relative else f"is off by {off:.1e} (limit {relative:.0e})"
    split = [cases.blocks(flat, case.sizes) for flat in (result, expected, start)]
    for layer, arrays in enumerate(zip(*split), 1):
        for name, got, want, was in zip("Wb", *arrays):
            error = np.linalg.norm(got - want)
            for scale, limit, of in ((want, relative, "it"), (want - was, moved, "its change")):
                off = error / np.linalg.norm(scale)
                if not off <= limit:
                    return (
                        f"has other weights: {name}{layer} is off by {off:.1e} of {of} "
                        f"(limit {limit:.0e})"
                    )
    return ""


def yardstick(case: Case, other_epsilon: bool) -> tuple[Any, Any]:
    """Return what NumPy computes in float64, and where it started."""
    key = case.name, other_epsilon and case.optimizer == "adam"
    if key not in _yardsticks:
        if len(_yardsticks) > 1:
            _yardsticks.clear()
        start = cases.initial(case, "float64")
        numpy = peers.NumPy("", 1)
        numpy.other_epsilon = other_epsilon
        numpy.prepare(case, start, cases.data(case, "float64", n_verify(case)[0]))
        if case.job == "train":
            numpy.steps(n_verify(case)[1])
            result = numpy.weights()
        else:
            result = numpy.predict() if case.job == "predict" else numpy.gradient()
        _yardsticks[key] = result.copy(), start
    return _yardsticks[key]


_yardsticks: dict[tuple[str, bool], tuple[Any, Any]] = {}


def n_verify(case: Case) -> tuple[int, int]:
    """Return how many minibatches and steps the comparison takes: two passes or more."""
    if case.job == "train" and case.head == "softmax_ce":  # sklearn must see every class
        n_batches = min(case.n_batches, max(VERIFY_BATCHES, -(-150 // case.batch)))
    else:
        n_batches = min(case.n_batches, VERIFY_BATCHES)
    return n_batches, 2 if case.group == "large" else max(2, VERIFY_STEPS // n_batches) * n_batches


def ready(peer: Peer, case: Case, dtype: str, block: float) -> tuple[str, int]:
    """Verify, choose the fastest variant, and return it with the steps that fill a block."""
    n_batches, steps = n_verify(case)
    best: tuple[float, str] | None = None
    reasons = []
    for variant in peer.ask("variants"):
        try:
            peer.ask("prepare", case, dtype, variant, n_batches)
            wrong = verify(peer.ask("result", variant, steps), case, dtype, peer.name)
        except peers.Unable as error:
            reasons.append(str(error))
            continue
        if wrong:
            reasons.append(f"REFUSED, {wrong}")
            continue
        peer.ask("prepare", case, dtype, variant, None)
        k, seconds, done = max(1, case.per_call), 0.0, 1
        while True:
            peer.ask("time", variant, k)  # compiles, grows buffers
            seconds, _, done = min(peer.ask("time", variant, k) for _ in range(2))
            if seconds > block / 4:
                break
            k = min(64 * k, max(k + 1, int(block * k / max(seconds, 1e-6))))
        if best is None or seconds / done < best[0]:
            best = seconds / done, variant
    if best is None:
        peer.ask("keep", None)
        raise peers.Unable("; ".join(reasons))
    peer.ask("keep", best[1])
    passes = 0 if case.job != "train" else 1 if case.group == "large" else PASSES
    k = max(1, passes * case.n_batches, round(block / best[0]))
    if case.per_call:
        k = -(-k // case.per_call) * case.per_call
    peer.ask("time", best[1], k)
    return best[1], k


def measure(
    case: Case, pool: list[Peer], dtype: str, n_threads: int, repeats: int, block: float,
    peak: FmaPeak,
) -> dict[str, Any]:  # fmt: skip
    """Return one cell's times: µs a step of every repeat, by wall and by processor clock."""
    plan: dict[str, tuple[Peer, str, int]] = {}
    skipped = {}
    for peer in pool:
        try:
            plan[peer.name] = (peer, *ready(peer, case, dtype, block))
        except (peers.Unable, RuntimeError) as error:
            skipped[peer.name] = str(error)
            if "REFUSED" in str(error) or isinstance(error, RuntimeError):
                print(f"  {case.name}: {peer.name}: {error}", file=sys.stderr)
    wall: dict[str, list[float]] = {name: [] for name in plan}
    cpu: dict[str, list[float]] = {name: [] for name in plan}
    peaks: dict[str, list[float]] = {"wall": [], "cpu": []}
    for _ in range(repeats if plan else 0):
        for name, (peer, variant, k) in plan.items():
            if n_threads > 1:
                time.sleep(0.005)  # the threads of the peer before may still be spinning
            seconds, cpu_seconds, done = peer.ask("time", variant, k)
            wall[name].append(1e6 * seconds / done)
            cpu[name].append(1e6 * cpu_seconds / done)
        for clock, rate in zip(peaks, peak.measure(n_threads)):
            peaks[clock].append(rate / 1e9)
    for peer in pool:
        try:
            peer.ask("keep", None)
        except RuntimeError:
            pass
    return {
        "cell": case.name, "group": case.group, "job": case.job, "sizes": case.sizes,
        "batch": case.batch, "threads": n_threads, "dtype": dtype, "flops": case.flops,
        "bytes": case.bytes_moved(np.dtype(dtype).itemsize), "bar": case.bar.get(n_threads),
        "against": case.against, "wall": wall, "cpu": cpu,
        "peak_gflops": peaks if peak.usable else None, "skipped": skipped,
        "variant": {name: variant for name, (_, variant, _) in plan.items()},
        "steps": {name: k for name, (_, _, k) in plan.items()}, "load": os.getloadavg()[0],
    }  # fmt: skip


# ---- subcommands ---------------------------------------------------------------------------


def run_cells(options: argparse.Namespace) -> None:
    """train, predict, onerow, gradient, fann."""
    groups = options.cells.split(",") if options.cells else SHELVES[options.command]
    if unknown := set(groups) - set(GROUPS):
        sys.exit(f"--cells: no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    chosen = [c for c in CASES if c.group in groups and options.only in c.name]
    names = options.backends.split(",") if options.backends else list(peers.BACKENDS)
    if unknown := set(names) - set(peers.BACKENDS):
        sys.exit(f"--backends: no {', '.join(sorted(unknown))}; "
                 f"there are {', '.join(peers.BACKENDS)}")  # fmt: skip
    result = {"machine": machine(), "cells": []}
    peak = FmaPeak(options.dtype, result["machine"]["isa"])
    pool = [Peer(name, options.threads) for name in names]
    try:
        for case in chosen:
            cell = measure(case, pool, options.dtype, options.threads, options.repeats,
                           options.block_ms / 1e3, peak)  # fmt: skip
            result["cells"].append(cell)
            print(report.line(cell, options.clock), file=sys.stderr, flush=True)
            write(options.json, result)
    finally:
        for peer in pool:
            peer.close()
    print(report.tables(result, options.clock))


def run_kernels(options: argparse.Namespace) -> None:
    """GFLOP/s of one product: cbp's on whole arrays, NumPy's, PyTorch's."""
    if affinity := cpus(options.threads):
        os.sched_setaffinity(0, affinity)
    peak = FmaPeak(options.dtype, machine()["isa"])
    rows = []
    for kind, m, k, n in cases.KERNELS:
        works = report.kernel_works(kind, m, k, n, options.dtype, options.threads)
        flops, times = 2.0 * m * k * n, {name: [] for name in works}
        loops = max(1, int(options.block_ms / 1e3 * 5e10 / flops))
        peaks = []
        for _ in range(options.repeats):
            for name, work in works.items():
                work()
                start = (time.perf_counter(), time.process_time())
                for _ in range(loops):
                    work()
                stop = (time.perf_counter(), time.process_time())
                clock = 1 if options.clock == "cpu" else 0
                times[name].append((stop[clock] - start[clock]) / loops)
            peaks.append(peak.measure(options.threads)[1 if options.clock == "cpu" else 0])
        rows.append({"shape": f"{kind} {m}×{k}×{n}", "peak": float(np.median(peaks)) / 1e9,
                     "gflops": {name: [flops / t / 1e9 for t in ts] for name, ts in times.items()}
                     })  # fmt: skip
    result = {"machine": machine(), "kernels": rows}
    write(options.json, result)
    print(report.kernel_table(result))


def run_functions(options: argparse.Namespace) -> None:
    """ns an element of sigmoid, tanh and exp over 100,000 elements, and the largest error."""
    if affinity := cpus(1):
        os.sched_setaffinity(0, affinity)
    rows = []
    for name in ("sigmoid", "tanh", "exp"):
        works, errors = report.function_works(name, options.dtype)
        times: dict[str, list[float]] = {library: [] for library in works}
        for work in works.values():
            work()
        for _ in range(max(options.repeats, 15)):
            for library, work in works.items():
                start = time.perf_counter()
                for _ in range(20):
                    work()
                times[library].append((time.perf_counter() - start) / 20 / report.N_ELEMENTS * 1e9)
        rows.append({"function": name, "ns": times, "ulp": errors})
    result = {"machine": machine(), "functions": rows}
    write(options.json, result)
    print(report.function_table(result))


def run_memory(options: argparse.Namespace) -> None:
    """Import time, installed size and peak memory of each backend."""
    case = next(c for c in CASES if c.group == "mid" and c.sizes == cases.DEEPER)
    names = options.backends.split(",") if options.backends else list(peers.BACKENDS)
    rows = []
    for name in names:
        package = {"torch-hand": "torch"}.get(name, name)
        row: dict[str, Any] = {"backend": name}
        if name != "fann":
            row["import_s"] = report.import_seconds(package, options.repeats)
            row["installed_mb"] = report.installed_megabytes(package)
        peer = Peer(name, options.threads)
        try:
            variant = peer.ask("variants")[0]
            peer.ask("prepare", case, options.dtype, variant, None)
            peer.ask("time", variant, 2 * case.n_batches)
            row["peak_mib"] = peer.ask("peak_memory") / 2**20
        except (peers.Unable, RuntimeError) as error:
            row["why"] = str(error).splitlines()[-1]
        finally:
            peer.close()
        rows.append(row)
    result = {"machine": machine(), "memory": rows, "case": case.name}
    write(options.json, result)
    print(report.memory_table(result))


def run_sweep(options: argparse.Namespace) -> None:
    """Time of 10-w-w-10, batch 128, over the widths; the widths interleave in every repeat."""
    peer = Peer("cbp", options.threads)
    block = options.block_ms / 1e3
    widths = [w for w in cases.sweep_widths() if w <= options.most]
    steps, times = {}, {w: [] for w in widths}
    try:
        for repeat in range(options.repeats + 1):
            for width in widths:
                case = cases.sweep_case(width)
                peer.ask("prepare", case, options.dtype, "", None)
                if not repeat:  # the first pass only finds how many steps fill a block
                    peer.ask("time", "", 8)
                    steps[width] = max(8, round(8 * block / peer.ask("time", "", 8)[0]))
                    continue
                peer.ask("time", "", 8)
                wall, cpu, done = peer.ask("time", "", steps[width])
                times[width].append(1e6 * (cpu if options.clock == "cpu" else wall) / done)
    finally:
        peer.close()
    result = {"machine": machine(), "threads": options.threads,
              "sweep": [{"width": w, "us": ts} for w, ts in times.items()]}  # fmt: skip
    write(options.json, result)
    print(report.sweep_table(result))


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    versions = {}
    for package in ("cbp", "numpy", "scikit-learn", "torch", "jax", "onnxruntime"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(
            (x.split(":")[1].strip() for x in lines if x.startswith("model name")), processor
        )
    try:
        from cbp import _runtime

        isa = _runtime.isa()
    except ImportError:
        isa = "baseline"
    return {"processor": processor, "cpus": os.cpu_count(), "isa": isa,
            "python": platform.python_version(), "versions": versions,
            "load": os.getloadavg()}  # fmt: skip


def write(path: str | None, result: dict[str, Any]) -> None:
    """Write the JSON file, if one is wanted."""
    if path:
        Path(path).write_text(json.dumps(result, indent=1))


def read(path: str) -> dict[str, Any]:
    """Return what `write` wrote."""
    result: dict[str, Any] = json.loads(Path(path).read_text())
    return result


def main() -> None:
    """Parse the command line and run one subcommand."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs = {name: run_cells for name in SHELVES}
    runs |= {"kernels": run_kernels, "functions": run_functions, "memory": run_memory,
             "sweep": run_sweep}  # fmt: skip
    for name, run in runs.items():
        command = commands.add_parser(name, help=(run.__doc__ or "").splitlines()[0])
        command.set_defaults(run=run)
        command.add_argument("--threads", type=int, default=1)
        command.add_argument("--dtype", choices=list(TOLERANCE), default="float32")
        command.add_argument("--repeats", type=int, default=15)
        command.add_argument("--block-ms", type=float, default=20.0, help="length of a block")
        command.add_argument("--clock", choices=("wall", "cpu"), default="wall",
                             help="cpu: processor time, for 1 thread on a busy machine")  # fmt: skip
        command.add_argument("--json", help="write the raw times here")
        if run in (run_cells, run_memory):
            command.add_argument("--backends", help=f"of {','.join(peers.BACKENDS)}")
        if run is run_cells:
            command.add_argument("--cells", help=f"groups, of {','.join(GROUPS)}")
            command.add_argument("--only", default="", help="cells whose name contains this")
        if run is run_sweep:
            command.add_argument("--most", type=int, default=1024, help="largest width")
    show = commands.add_parser("show", help="print the tables of JSON files again")
    show.add_argument("files", nargs="+")
    show.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    compare = commands.add_parser("compare", help="compare cbp's times in two JSON files")
    compare.add_argument("files", nargs=2)
    compare.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    plots = commands.add_parser(
        "plots", help="print README's table; draw time against width, batch and threads"
    )
    plots.add_argument("files", nargs="+")
    plots.add_argument("--folder", default="plots")
    options = parser.parse_args()
    if options.command == "show":
        for path in options.files:
            print(report.tables(read(path), options.clock))
    elif options.command == "compare":
        print(report.comparison(*map(read, options.files), options.clock))
    elif options.command == "plots":
        results = [read(path) for path in options.files]
        print(report.short_table(results))
        report.plots(results, Path(options.folder))
    else:
        if options.threads < 1 or len(cpus(options.threads) or range(options.threads)) < (
            options.threads
        ):
            sys.exit(f"--threads {options.threads}: this machine does not have as many CPUs")
        options.run(options)


if __name__ == "__main__":
    main()
