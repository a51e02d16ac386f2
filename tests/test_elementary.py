"""The functions of src_c/elementary_body.h and smooth_body.h: accuracy, order, special values.

The work is done by tests/exhaustive/elementary.c, compiled here for every instruction set of this
machine.  By default it walks a sample; `make exhaustive` walks all 2^32 floats, of the functions
behind FUNCTIONS on one instruction set, and of those that are not monotone every 16th block.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import mpmath
import numpy as np
import pytest

ISA_FLAGS = {
    "baseline": [],
    "avx2": ["-DCBP_VEC_AVX2", "-mavx2", "-mfma"],
    "avx512": [
        "-DCBP_VEC_AVX512", "-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma",
    ],
}  # fmt: skip
FUNCTIONS = ["exp", "expm1", "sigmoid", "tanh", "log1p", "log"]
MONOTONE = ["elu", "selu", "softsign", "hard_sigmoid", "softplus"]
WAVY = ["gelu", "silu", "mish", "sin", "gelu_slope", "silu_slope", "mish_slope", "sin_slope"]
TYPES = {"f32": "float32", "f64": "float64"}
SAMPLE = {"f32": 499, "f64": 1_000_000}  # every 499th block of 256 floats; a million doubles
SMOOTH_SAMPLE = {"f32": 4999, "f64": 100_000}  # of the others
FULL = {"f32": 1, "f64": 10_000_000}

every_isa = pytest.mark.parametrize("isa", list(ISA_FLAGS))
both_types = pytest.mark.parametrize("kind", list(TYPES))


def has_fma(isa: str) -> bool:
    return isa != "baseline" or os.uname().machine in ("aarch64", "arm64")


class Found(NamedTuple):
    """One line of the program's report."""

    max_ulp: float
    monotone: bool
    exact: bool
    hash: str


LINE = re.compile(
    r"(?P<type>\w+) (?P<name>\w+) \w+ max_ulp=(?P<max_ulp>\S+) at=\S+ above=\d+ "
    r"monotone=(?P<monotone>\w+) exact=(?P<exact>\w+) points=\d+ hash=(?P<hash>\w+)"
)


def build(source: Path, headers: Path, isa: str, target: Path) -> Path:
    """Compiles the program, with OpenMP where the compiler has it."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"there is no C compiler {compiler[0]!r} (set CC)")
    command = [
        *compiler, "-O3", "-std=gnu11", "-ffp-contract=off", "-Wno-unknown-pragmas",
        *ISA_FLAGS[isa], "-I", str(headers), str(source), "-o", str(target),
    ]  # fmt: skip
    for openmp in (["-fopenmp"], []):
        run = subprocess.run(
            [*command, *openmp, "-lm"], check=False, capture_output=True, text=True
        )
        if run.returncode == 0:
            return target
    raise AssertionError(run.stderr)


class Programs:
    """The compiled programs and what their walks found, each made once."""

    def __init__(self, root: Path, folder: Path, isas: tuple[str, ...]) -> None:
        self.source = root / "tests" / "exhaustive" / "elementary.c"
        self.headers = root / "src_c"
        self.folder = folder
        self.isas = isas
        self.built: dict[str, Path] = {}
        self.walked: dict[tuple[str | int, ...], dict[str, Found]] = {}

    def program(self, isa: str) -> Path:
        if isa not in self.isas:
            pytest.skip(f"this machine does not run {isa}")
        if isa not in self.built:
            target = self.folder / f"elementary_{isa}"
            self.built[isa] = build(self.source, self.headers, isa, target)
        return self.built[isa]

    def walk(
        self, isa: str, kind: str, count: int, names: list[str]
    ) -> dict[str, Found]:
        key = (isa, kind, count, *names)
        if key not in self.walked:
            run = subprocess.run(
                [self.program(isa), kind, str(count), *names],
                check=False, capture_output=True, text=True,
            )  # fmt: skip
            print(run.stdout)  # shown when a test fails, and by pytest -s
            assert run.returncode == 0, run.stdout + run.stderr
            found = {}
            for line in run.stdout.splitlines():
                match = LINE.fullmatch(line)
                assert match and match["type"] == TYPES[kind], line
                found[match["name"]] = Found(
                    float(match["max_ulp"]),
                    match["monotone"] == "yes",
                    match["exact"] == "yes",
                    match["hash"],
                )
            assert sorted(found) == sorted(names)
            self.walked[key] = found
        return self.walked[key]

    def evaluate(self, isa: str, kind: str, name: str, inputs: list[float]) -> list[float]:
        run = subprocess.run(
            [self.program(isa), "eval", kind, name],
            input="\n".join(x.hex() for x in inputs),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return [float.fromhex(word) for word in run.stdout.split()]


@pytest.fixture(scope="module")
def programs(
    repo_root: Path, tmp_path_factory: pytest.TempPathFactory, isas: tuple[str, ...]
) -> Programs:
    return Programs(repo_root, tmp_path_factory.mktemp("elementary"), isas)


def error_budget(root: Path) -> dict[tuple[str, str], float]:
    """(function, type) -> max ULP, from the table of docs/accuracy.md."""
    text = (root / "docs" / "accuracy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (float\d\d) \| ([\d.]+) \|", text, re.MULTILINE)
    return {(name, type_): float(ulp) for name, type_, ulp in rows}


def check_promises(found: dict[str, Found], isa: str, kind: str, root: Path) -> None:
    budget = error_budget(root)
    for name, line in found.items():
        assert line.exact, name
        if has_fma(isa):
            assert line.max_ulp <= (1.0 if kind == "f32" else 1.5), name
            assert line.max_ulp <= budget[name, TYPES[kind]] + 1e-3, name
            assert line.monotone, name
        else:
            assert line.max_ulp <= 3.5, name


def sample(programs: Programs, isa: str, kind: str) -> dict[str, Found]:
    """What the walks of a sample found, of every function."""
    rest = programs.walk(isa, kind, SMOOTH_SAMPLE[kind], [*MONOTONE, *WAVY])
    return programs.walk(isa, kind, SAMPLE[kind], FUNCTIONS) | rest


@every_isa
@both_types
def test_promises_on_a_sample(programs: Programs, isa: str, kind: str, repo_root: Path) -> None:
    check_promises(sample(programs, isa, kind), isa, kind, repo_root)


def check_same_bits(walk: Callable[[str], dict[str, Found]], isas: list[str]) -> None:
    if len(isas) < 2:
        pytest.skip("fewer than two instruction sets with FMA run on this machine")
    first, *others = ({name: line.hash for name, line in walk(isa).items()} for isa in isas)
    for other in others:
        assert other == first


@both_types
def test_same_bits_on_every_isa_with_fma(programs: Programs, kind: str) -> None:
    check_same_bits(
        lambda isa: sample(programs, isa, kind), list(filter(has_fma, programs.isas))
    )


@pytest.mark.exhaustive
@every_isa
@both_types
def test_promises_everywhere(programs: Programs, isa: str, kind: str, repo_root: Path) -> None:
    found = programs.walk(isa, kind, FULL[kind], FUNCTIONS)
    check_promises(found, isa, kind, repo_root)
    if kind == "f32" and has_fma(isa):
        for (name, type_), ulp in error_budget(repo_root).items():
            if type_ == "float32" and name in FUNCTIONS:
                assert found[name].max_ulp == pytest.approx(ulp, abs=1e-3), name


@pytest.mark.exhaustive
@both_types
def test_same_bits_everywhere(programs: Programs, kind: str) -> None:
    check_same_bits(
        lambda isa: programs.walk(isa, kind, FULL[kind], FUNCTIONS),
        list(filter(has_fma, programs.isas)),
    )


@pytest.mark.exhaustive
def test_activations_everywhere(programs: Programs, repo_root: Path) -> None:
    """The monotone activations at all 2^32 floats, the others at every 16th block of 256."""
    isas = list(filter(has_fma, programs.isas))
    if not isas:
        pytest.skip("no instruction set with FMA runs on this machine")
    found = programs.walk(isas[0], "f32", 1, MONOTONE)
    found |= programs.walk(isas[0], "f32", 16, WAVY)
    check_promises(found, isas[0], "f32", repo_root)
    for (name, type_), ulp in error_budget(repo_root).items():
        if type_ == "float32" and name not in FUNCTIONS:
            assert found[name].max_ulp == pytest.approx(ulp, abs=1e-3), name


def exact_mish(x: mpmath.mpf) -> mpmath.mpf:
    """x n / (n + 2), n = e^x (e^x + 2): nothing cancels."""
    n = mpmath.exp(x) * (mpmath.exp(x) + 2)
    return x * n / (n + 2)


def exact_softplus(x: mpmath.mpf) -> mpmath.mpf:
    """log1p by its series where mpmath's would need more digits."""
    e = mpmath.exp(-abs(x))
    return max(x, mpmath.mpf(0)) + (e - e * e / 2 if e < 2.0**-120 else mpmath.log1p(e))


LAMBDA, ALPHA = mpmath.mpf("1.0507009873554804934"), mpmath.mpf("1.6732632423543772848")
EXACT = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "log1p": mpmath.log1p,
    "log": mpmath.log,
    "elu": lambda x: x if x > 0 else mpmath.expm1(x),
    "selu": lambda x: LAMBDA * (x if x > 0 else ALPHA * mpmath.expm1(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "hard_sigmoid": lambda x: min(max(x + 3, mpmath.mpf(0)), mpmath.mpf(6)) / 6,
    "softplus": exact_softplus,
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "mish": exact_mish,
    "sin": mpmath.sin,
}


def hard_points(name: str, kind: str) -> list[float]:
    """Seams of the reduction, both ends of every range, powers of two, and their neighbours."""
    real = np.float32 if kind == "f32" else np.float64
    points = [0.0, *(2.0**e for e in range(-149 if kind == "f32" else -1074, 11, 7))]
    if name == "log":
        ends = np.finfo(np.float32 if kind == "f32" else np.float64)
        points = [0.75 * 2.0**k for k in range(-125, 127, 3)] + [1.0, 0.5, 2.0, 7.5, 1e30]
        points += [2.0 * ends.tiny, 0.5 * ends.max]
    elif name == "log1p":
        points += [1.5 * 2.0**k - 1 for k in range(60)] + [2.0**k for k in range(11, 120)]
    else:
        seam = math.log(2) / (2 if name == "tanh" else 1)
        points += [(k + 0.5) * seam for k in range(0, 1076, 1 if kind == "f32" else 8)]
        points += [8.66, 9.01, 16.6, 17.3, 18.5, 36.7, 38.1, 40.0]
        points += [87.33, 88.02, 88.72, 103.27, 103.97, 708.39, 709.78, 744.44, 745.13]
    if name == "sin":
        points = [x for x in points if x < 1e4] + [k * math.pi / 2 for k in range(1, 6000, 17)]
    signs = {"log1p": [1.0], "log": [1.0], "expm1": [-1.0]}.get(name, [-1.0, 1.0])
    magnitudes = set()
    for x in map(real, points):
        below, above = np.nextafter(x, real(0)), np.nextafter(x, real(math.inf))
        magnitudes |= {float(x), float(below), float(above)}
    return [sign * x for x in sorted(magnitudes) for sign in signs]


def error_in_ulp(got: float, exact: mpmath.mpf, kind: str) -> float:
    """|got - exact| in units of the type's spacing at the exact value."""
    bits, lowest, top = (24, -126, 128) if kind == "f32" else (53, -1022, 1024)
    limit = mpmath.ldexp(1, top)
    value = mpmath.sign(got) * limit if mpmath.isinf(got) else mpmath.mpf(got)
    exact = min(max(exact, -limit), limit)
    exponent = lowest if exact == 0 else max(int(mpmath.frexp(exact)[1]) - 1, lowest)
    exponent = min(exponent, top - 1)
    return float(abs(value - exact) / mpmath.ldexp(1, exponent - bits + 1))


@pytest.mark.parametrize("name", EXACT)
@both_types
@every_isa
def test_hard_points_against_mpmath(programs: Programs, isa: str, kind: str, name: str) -> None:
    """A reference that shares nothing with libm, on its own definition of the error."""
    inputs = hard_points(name, kind)
    assert len(inputs) > 100
    bound = (1.0 if kind == "f32" else 1.5) if has_fma(isa) else 3.5
    results = programs.evaluate(isa, kind, name, inputs)
    with mpmath.workprec(200):
        for x, y in zip(inputs, results, strict=True):
            error = error_in_ulp(y, EXACT[name](mpmath.mpf(x)), kind)
            assert error <= bound, f"{name}({x.hex()}) = {y.hex()}: {error} ULP"


def test_the_walk_sees_a_wrong_coefficient(repo_root: Path, tmp_path: Path) -> None:
    """The program fails when one coefficient is off by one part in 100,000."""
    headers = tmp_path / "src_c"
    shutil.copytree(repo_root / "src_c", headers)
    body = headers / "elementary_body.h"
    text = body.read_text(encoding="utf-8")
    assert text.count("0x1.5554bp-3f") == 1
    body.write_text(text.replace("0x1.5554bp-3f", "0x1.5555bp-3f"), encoding="utf-8")
    source = repo_root / "tests" / "exhaustive" / "elementary.c"
    program = build(source, headers, "baseline", tmp_path / "elementary")
    run = subprocess.run([program, "f32", "4999"], check=False, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout + run.stderr
