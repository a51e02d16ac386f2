"""Tables and plots from what bench.py measured.

What lives here: medians, ratios, words and pictures, and the small measurements that need no
processes in turn (import time, size, one product). What must not: how training cells are timed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

# FANN stands beside: it does other work in all but its own cells.
BESIDE = ("cbp", "fann")


def median(values: Any) -> float:
    """Return the median as a float."""
    return float(np.median(values))


def best_peer(cell: dict[str, Any], clock: str) -> str | None:
    """Return the peer that the bar speaks of, else the one with the smallest median."""
    times = cell[clock]
    if cell["against"]:
        return cell["against"] if cell["against"] in times else None
    candidates = [name for name in times if name not in BESIDE]
    return min(candidates, key=lambda name: median(times[name]), default=None)


def ratios(cell: dict[str, Any], peer: str, clock: str) -> Any:
    """Return the peer's time over cbp's, repeat by repeat."""
    return np.array(cell[clock][peer]) / np.array(cell[clock]["cbp"])


def fraction_of_peak(cell: dict[str, Any], clock: str) -> tuple[float, float] | None:
    """Return cbp's median and best-decile share of the FMA peak measured in between."""
    if not cell["peak_gflops"] or "cbp" not in cell[clock]:
        return None
    peak = median(cell["peak_gflops"][clock])
    rates = cell["flops"] / np.array(cell[clock]["cbp"]) / 1e3 / peak
    return median(rates), float(np.quantile(rates, 0.9))


def line(cell: dict[str, Any], clock: str) -> str:
    """Return one cell in one line of the ratio table."""
    times = cell[clock]
    if "cbp" not in times:
        return f"| {cell['cell']} | " + "; ".join(
            f"{name} {median(t):.4g} µs" for name, t in times.items()) + " |"  # fmt: skip
    parts = [cell["cell"], number(median(times["cbp"]))]
    peer = best_peer(cell, clock)
    if peer:
        ratio = ratios(cell, peer, clock)
        middle, lower = median(ratio), float(np.quantile(ratio, 0.25))
        bar = cell["bar"]
        met = "" if not bar else "yes" if middle >= bar and lower >= 0.95 * bar else "**no**"
        parts += [f"{peer} {number(median(times[peer]))}", f"{middle:.2f}", f"{lower:.2f}",
                  f"{bar:g}" if bar else "", met]  # fmt: skip
    else:
        parts += ["–"] * 5
    for other in ("sklearn", "torch", "fann"):
        parts.append(f"{median(ratios(cell, other, clock)):.1f}" if other in times else "–")
    share = fraction_of_peak(cell, clock)
    parts.append(f"{share[0]:.0%} ({share[1]:.0%})" if share else "–")
    parts.append(f"{middle / share[0]:.2f}" if share and peer else "–")
    seconds = median(times["cbp"]) / 1e6
    parts.append(number(cell["flops"] / 1e3))
    parts.append(number(cell["bytes"] / 1e3))
    parts.append(number(cell["bytes"] / seconds / 1e9))
    return "| " + " | ".join(parts) + " |"


def number(value: float) -> str:
    """Return three significant digits without an exponent."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}"


def tables(result: dict[str, Any], clock: str) -> str:
    """Return the ratio table and the table of all times."""
    cells = result["cells"]
    if not cells:
        return "no cells"
    names = list(dict.fromkeys(name for cell in cells for name in cell[clock]))
    out = [
        heading(result),
        f"{cells[0]['threads']} thread(s), {cells[0]['dtype']}, {clock} time, "
        f"{max((len(t) for c in cells for t in c[clock].values()), default=0)} repeats; ratio = "
        "peer's time / cbp's; load average "
        f"{min(c['load'] for c in cells):.1f} to {max(c['load'] for c in cells):.1f}",
        "",
        "| cell | cbp µs | best peer µs | ratio | lower quartile | bar | met | × sklearn | × torch "
        "eager | × FANN | of peak, median (best decile) | ratio at peak | kflop | kB moved | GB/s |",
        "|" + "---|" * 15,
        *(line(cell, clock) for cell in cells),
        "",
        "| µs a step or call | " + " | ".join(names) + " |",
        "|" + "---|" * (len(names) + 1),
    ]
    for cell in cells:
        row = [number(median(cell[clock][n])) if n in cell[clock] else "–" for n in names]
        out.append(f"| {cell['cell']} | " + " | ".join(row) + " |")
    groups = dict.fromkeys(cell["group"] for cell in cells)
    for group in groups:
        values = []
        for cell in cells:
            peer = best_peer(cell, clock)
            if cell["group"] == group and peer and "cbp" in cell[clock]:
                values.append(median(ratios(cell, peer, clock)))
        if len(values) > 1:
            mean = float(np.exp(np.mean(np.log(values))))
            out.append(f"\n{group}: geometric mean of {len(values)} ratios {mean:.2f}, "
                       f"smallest {min(values):.2f}")  # fmt: skip
    refused = [f"{cell['cell']}: {name}: {why.splitlines()[-1]}" for cell in cells
               for name, why in cell["skipped"].items()
               if "REFUSED" in why or "\n" in why]  # fmt: skip
    return "\n".join(out + ([""] + refused if refused else []))


# What README shows of the cells: enough to see where the gain is, and where there is none.
SHOWN = (
    "4-16-3 relu/softmax_ce momentum b8", "4-16-3 relu/softmax_ce momentum b32",
    "30-16-1 relu/sigmoid_bce adam b32", "2-2-1 tanh/sigmoid_bce momentum b4",
    "64-64-10 relu/softmax_ce adam b32", "64-64-10 relu/softmax_ce adam b200",
    "10-64-64-1 relu/linear_quad adam b32", "784-30-10 sigmoid/sigmoid_quad sgd b10",
    "784-128-10 relu/softmax_ce adam b32", "784-128-10 relu/softmax_ce adam b128",
    "784-256-128-10 relu/softmax_ce adam b32", "784-256-128-10 relu/softmax_ce adam b512",
    "1024-2048-2048-2048-1000 relu/softmax_ce adam b256",
)  # fmt: skip


def short_table(results: list[dict[str, Any]]) -> str:
    """Return README's table: µs of cbp, of the best peer, of scikit-learn and PyTorch."""
    cells = [cell for result in results for cell in result.get("cells", ())
             if cell["threads"] == 1 and cell["dtype"] == "float32" and "cbp" in cell["wall"]]  # fmt: skip
    out = ["| | cbp | best peer | ratio | scikit-learn | PyTorch eager |", "|" + "---|" * 6]
    for cell in cells:
        job, _, name = cell["cell"].partition(" ")
        net, _, rest = name.partition(" ")
        rows = f"{cell['batch']:,} rows" if cell["batch"] > 1 else "one row"
        label = f"{rows} through {net}"
        if job == "train":
            if name not in SHOWN:
                continue
            label = f"{net}, batch {cell['batch']}, {rest.split()[1]}"
        times = cell["wall"]
        peer = best_peer(cell, "wall")
        best, ratio = "", ""
        if peer:
            best = f"{peer} {number(median(times[peer]))}"
            ratio = f"{median(ratios(cell, peer, 'wall')):.2f}"
        others = [number(median(times[o])) if o in times else "" for o in ("sklearn", "torch")]
        out.append(f"| {label} | {number(median(times['cbp']))} | {best} | {ratio} | "
                   + " | ".join(others) + " |")  # fmt: skip
    return "\n".join(out)


def heading(result: dict[str, Any]) -> str:
    """Return the machine in one line."""
    m = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    return f"{m['processor']}, {m['cpus']} CPUs, {m['isa']}, Python {m['python']}; {versions}"


def comparison(before: dict[str, Any], after: dict[str, Any], clock: str) -> str:
    """Return cbp's times in two files, cell by cell; each is also taken relative to a peer's
    time in the same file, which cancels the machine's drift."""
    old = {(c["cell"], c["threads"], c["dtype"]): c for c in before["cells"]}
    out = ["| cell | before µs | after µs | faster by | by the ratio to the best peer |",
           "|---|---|---|---|---|"]  # fmt: skip
    for cell in after["cells"]:
        was = old.get((cell["cell"], cell["threads"], cell["dtype"]))
        if was is None or "cbp" not in cell[clock] or "cbp" not in was[clock]:
            continue
        a, b = median(was[clock]["cbp"]), median(cell[clock]["cbp"])
        peer = best_peer(cell, clock)
        drift = "–"
        if peer and peer in was[clock]:
            gain = median(ratios(cell, peer, clock)) / median(ratios(was, peer, clock))
            drift = f"{gain:.2f} ({peer})"
        out.append(f"| {cell['cell']} | {number(a)} | {number(b)} | {a / b:.2f} | {drift} |")
    return "\n".join(out)


# ---- products ------------------------------------------------------------------------------


def kernel_works(
    kind: str, m: int, k: int, n: int, dtype: str, n_threads: int
) -> dict[str, Callable[[], Any]]:
    """Return calls that compute one product of m × k × n multiply-adds, by library; all checked
    against each other."""
    rng = np.random.default_rng(0)
    works: dict[str, Callable[[], Any]] = {}
    results = {}
    if kind == "forward":
        X = rng.standard_normal((m, k)).astype(dtype)
        W = rng.standard_normal((k, n)).astype(dtype)
        out = np.empty((m, n), dtype)
        left = X
    else:  # dW = Xᵀδ over m rows
        X = rng.standard_normal((m, k)).astype(dtype)
        W = rng.standard_normal((m, n)).astype(dtype)
        out = np.empty((k, n), dtype)
        left = X.T
    works["numpy"] = lambda: np.matmul(left, W, out=out)
    results["numpy"] = out
    try:
        import torch

        torch.set_num_threads(n_threads)
        tleft, tW = torch.from_numpy(X), torch.from_numpy(W)
        tleft = tleft if kind == "forward" else tleft.t()
        tout = torch.empty(out.shape, dtype=tW.dtype)
        works["torch"] = lambda: torch.mm(tleft, tW, out=tout)
        results["torch"] = tout.numpy()
    except ImportError:
        pass
    try:
        import cbp
        from cbp import _dense

        if kind == "forward":
            net = cbp.Network([k, n], bias=False, init="zeros", dtype=dtype)
            net.weights[0] = W
            y = np.empty((m, n), dtype)
            works["cbp"] = lambda: net._core.predict(X, y, n_threads)
            results["cbp"] = y
        else:
            dW, db = np.empty(k * n + 16, dtype), np.empty(n + 16, dtype)
            works["cbp"] = lambda: _dense.gradient(dW, db, X, W)
            results["cbp"] = dW[: k * n].reshape(k, n)
    except ImportError:
        pass
    for work in works.values():
        work()
    for name, result in results.items():
        off = np.linalg.norm(result - results["numpy"]) / np.linalg.norm(results["numpy"])
        if not off < 1e-5:
            sys.exit(f"{name} computes another product: off by {off:.1e}")
    return works


def kernel_table(result: dict[str, Any]) -> str:
    """Return GFLOP/s, median (best decile), and the share of peak of the best decile."""
    rows = result["kernels"]
    names = list(dict.fromkeys(name for row in rows for name in row["gflops"]))
    out = [heading(result), "GFLOP/s, median (best decile, share of the FMA peak)", "",
           "| product | " + " | ".join(names) + " | peak |", "|" + "---|" * (len(names) + 2)]  # fmt: skip
    for row in rows:
        parts = []
        for name in names:
            rates = row["gflops"].get(name, [0.0])
            best = float(np.quantile(rates, 0.9))
            share = f", {best / row['peak']:.0%}" if row["peak"] else ""
            parts.append(f"{median(rates):.0f} ({best:.0f}{share})")
        out.append(f"| {row['shape']} | " + " | ".join(parts) + f" | {row['peak']:.0f} |")
    return "\n".join(out)


# ---- functions -----------------------------------------------------------------------------

N_ELEMENTS = 100_000


def function_works(name: str, dtype: str) -> tuple[dict[str, Callable[[], Any]], dict[str, float]]:
    """Return calls that compute sigmoid, tanh or exp of N_ELEMENTS numbers, by library, and each
    one's largest error here, in units in the last place of the exact value's type."""
    x = np.random.default_rng(0).uniform(-20, 20, N_ELEMENTS).astype(dtype)
    y = np.empty_like(x)
    exact = {
        "exp": np.exp,
        "tanh": np.tanh,
        "sigmoid": lambda v: np.where(v < 0, np.exp(v), 1.0) / (1.0 + np.exp(-np.abs(v))),
    }[name](x.astype(np.longdouble))
    works: dict[str, Callable[[], Any]] = {}

    def numpy_sigmoid() -> Any:
        np.negative(x, out=y)
        np.exp(y, out=y)
        np.add(y, 1, out=y)
        return np.divide(1, y, out=y)

    works["numpy"] = {
        "sigmoid": numpy_sigmoid,
        "tanh": lambda: np.tanh(x, out=y),
        "exp": lambda: np.exp(x, out=y),
    }[name]
    try:
        import torch

        torch.set_num_threads(1)
        tx, ty = torch.from_numpy(x), torch.from_numpy(np.empty_like(x))
        function = getattr(torch, name)

        def torch_work() -> Any:
            function(tx, out=ty)
            return ty.numpy()

        works["torch"] = torch_work
    except ImportError:
        pass
    try:
        from cbp import _backprop, _runtime

        code, z = {**_backprop.ACTIVATIONS, "exp": _runtime.EXP}[name], np.empty_like(x)

        def cbp_work() -> Any:
            _runtime.apply(z, x, code)
            return z

        works["cbp"] = cbp_work
    except ImportError:
        pass
    errors = {}
    for library, work in works.items():
        got = work().astype(np.longdouble)
        errors[library] = float(np.max(np.abs(got - exact) / np.spacing(exact.astype(dtype))))
    return works, errors


def function_table(result: dict[str, Any]) -> str:
    """Return ns an element, median, and the largest error, by library."""
    rows = result["functions"]
    names = list(dict.fromkeys(name for row in rows for name in row["ns"]))
    out = [heading(result), f"{N_ELEMENTS:,} elements in [-20, 20]; ns an element, median "
           "(largest error in ULP)", "",
           "| function | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 1)]  # fmt: skip
    for row in rows:
        parts = [
            f"{median(row['ns'][n]):.2f} ({row['ulp'][n]:.2g})" if n in row["ns"] else "–"
            for n in names
        ]
        out.append(f"| {row['function']} | " + " | ".join(parts) + " |")
    return "\n".join(out)


# ---- memory --------------------------------------------------------------------------------


def import_seconds(package: str, repeats: int) -> float:
    """Return the median time of `import package` in a fresh interpreter, the interpreter's own
    start left out."""
    program = (
        f"import time; t = time.perf_counter(); import {package}; print(time.perf_counter() - t)"
    )
    times = []
    for _ in range(min(repeats, 7) + 1):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                              check=False)  # fmt: skip
        if done.returncode:
            return float("nan")
        times.append(float(done.stdout.split()[-1]))
    return median(times[1:])  # the first fills the disk cache


def installed_megabytes(package: str) -> tuple[float, float]:
    """Return the size of the package's files, and that of all it requires with it."""
    distribution = {"sklearn": "scikit-learn"}.get(package, package)
    own, everything, seen, todo = 0.0, 0.0, set(), [distribution]
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        paths = (Path(str(found.locate_file(file))) for file in found.files or ())
        size = sum(path.stat().st_size for path in paths if path.is_file()) / 1e6
        everything += size
        own = own or size
        for need in found.requires or ():
            if "extra ==" not in need:
                stop = min((need.find(c) for c in " <>=!~;[(" if c in need), default=len(need))
                todo.append(need[:stop])
    return own, everything


def memory_table(result: dict[str, Any]) -> str:
    """Return import time, installed size and peak memory of each backend."""
    out = [heading(result), f"peak memory while running {result['case']}", "",
           "| backend | import s | installed MB, own (with all it needs) | peak MiB |",
           "|---|---|---|---|"]  # fmt: skip
    for row in result["memory"]:
        seconds = f"{row['import_s']:.2f}" if "import_s" in row else "–"
        size = "{:.1f} ({:.0f})".format(*row["installed_mb"]) if "installed_mb" in row else "–"
        peak = f"{row['peak_mib']:.0f}" if "peak_mib" in row else row["why"]
        out.append(f"| {row['backend']} | {seconds} | {size} | {peak} |")
    return "\n".join(out)


# ---- the width sweep -----------------------------------------------------------------------


def sweep_table(result: dict[str, Any]) -> str:
    """Return time by width, and the largest jump between widths at most 5 % apart."""
    rows = [(row["width"], median(row["us"])) for row in result["sweep"]]
    out = [heading(result), f"10-w-w-10, batch 128, {result['threads']} thread(s)", "",
           "| w | µs a step | jump |", "|---|---|---|"]  # fmt: skip
    jumps = []
    for (w0, t0), (w1, t1) in zip([rows[0], *rows], rows):
        near = w0 < w1 <= 1.05 * w0
        if near:
            jumps.append((t1 / t0, w0, w1))
        out.append(f"| {w1} | {number(t1)} | " + (f"{t1 / t0:.2f} |" if near else "– |"))
    jumps.sort(reverse=True)
    largest = ", ".join(f"{jump:.2f} × from {w0} to {w1}" for jump, w0, w1 in jumps[:3])
    return "\n".join([*out, "", f"largest jumps: {largest}"])


# ---- pictures ------------------------------------------------------------------------------


def plots(results: list[dict[str, Any]], folder: Path) -> None:
    """Draw what the files hold: width.svg, batch.svg, threads.svg."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "cbp"  # one drawing, one file

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []

    def save(figure: Any, axes: Any, name: str, x: str, y: str) -> None:
        axes.set(xlabel=x, ylabel=y)
        axes.grid(True, which="both", alpha=0.3)
        axes.legend()
        figure.tight_layout()
        figure.savefig(folder / name, metadata={"Date": None})
        pyplot.close(figure)
        drawn.append(name)

    sweeps = [result for result in results if "sweep" in result]
    if sweeps:
        figure, axes = pyplot.subplots()
        for result in sweeps:
            widths = [row["width"] for row in result["sweep"]]
            axes.loglog(widths, [median(row["us"]) for row in result["sweep"]],
                        label=f"{result['threads']} thread(s)")  # fmt: skip
        save(figure, axes, "width.svg", "width w of 10-w-w-10, batch 128", "µs a step")
    cells = [cell for result in results for cell in result.get("cells", ())]
    mid = [c for c in cells if c["group"] == "mid" and c["threads"] == 1
           and c["sizes"][1] == 128 and "relu" in c["cell"] and "adam" in c["cell"]]  # fmt: skip
    if mid:
        figure, axes = pyplot.subplots()
        for name in dict.fromkeys(name for cell in mid for name in cell["wall"]):
            points = sorted((c["batch"], median(c["wall"][name]) / c["batch"]) for c in mid
                            if name in c["wall"])  # fmt: skip
            axes.loglog(*zip(*points), marker="o", label=name)
        batches = sorted({c["batch"] for c in mid})
        axes.set_xticks(batches, [str(batch) for batch in batches])
        axes.set_yticks([4, 5, 6, 8, 10, 15, 20], ["4", "5", "6", "8", "10", "15", "20"])
        axes.minorticks_off()
        save(figure, axes, "batch.svg", "batch, 784-128-10 relu Adam, 1 thread", "µs a row")
    one = {c["cell"]: c for c in cells if c["threads"] == 1}
    more = [c for c in cells if c["threads"] > 1 and c["cell"] in one]
    if more:
        figure, axes = pyplot.subplots()
        for name in dict.fromkeys(name for cell in more for name in cell["wall"]):
            points = sorted(
                (c["flops"], median(one[c["cell"]]["wall"][name]) / median(c["wall"][name]))
                for c in more if name in c["wall"] and name in one[c["cell"]]["wall"]
            )  # fmt: skip
            axes.semilogx(*zip(*points), marker="o", linestyle="", label=name)
        axes.set_xticks([1e7, 1e8, 1e9])
        axes.minorticks_off()
        save(figure, axes, "threads.svg", "flop of a step", f"speed-up by {more[0]['threads']} threads")  # fmt: skip
    print("drawn: " + (", ".join(str(folder / name) for name in drawn) or "nothing to draw"))
