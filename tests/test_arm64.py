"""arm64: src_c compiles for it, and its kernels give the bits of x86-64's.

Cross-compiled and run under emulation; skipped where either is missing (Debian: apt-get install
gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static).
"""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
# No optimisation changes a bit, so the one that compiles soon.
FLAGS = ["-O1", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off",
         "-Wall", "-Wextra", "-Werror"]  # fmt: skip
X86 = {
    "kernels_avx2": ["-mavx2", "-mfma"],
    "kernels_avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma"],
}

pytestmark = pytest.mark.skipif(
    not (shutil.which(COMPILER) and shutil.which(EMULATOR)),
    reason=f"needs {COMPILER} and {EMULATOR}",
)


def build(root: Path, folder: Path, compiler: str, special: dict[str, list[str]]) -> str:
    """Compile src_c and table.c, and return the program's path."""

    def compiled(source: Path) -> str:
        target = str(folder / f"{compiler}_{source.stem}.o")
        command = [compiler, *FLAGS, *special.get(source.stem, []), "-c", str(source)]
        subprocess.run([*command, "-o", target], check=True)
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, sorted((root / "src_c").glob("*.c"))))
    program = folder / f"{compiler}_table"
    link = ["-static"] if compiler == COMPILER else []
    table = root / "tests" / "exhaustive" / "table.c"
    subprocess.run([compiler, *FLAGS, *link, "-I", str(root / "src_c"), str(table), *objects,
                    "-o", str(program)], check=True)  # fmt: skip
    return str(program)


def lines(*command: str) -> list[str]:
    """Return what the program tells."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.slow
def test_kernels_have_the_bits_of_x86_64(
    repo_root: Path, tmp_path: Path, isas: tuple[str, ...]
) -> None:
    """Every kernel's results are the same on NEON and on this machine's instruction sets."""
    with_fma = [isa for isa in isas if isa != "baseline"]
    if not with_fma or not shutil.which("gcc"):
        pytest.skip("needs gcc and a CPU with FMA")
    arm = lines(EMULATOR, build(repo_root, tmp_path, COMPILER, {}))
    native = build(repo_root, tmp_path, "gcc", X86)
    assert len(arm) > 40
    for isa in with_fma:
        assert lines(native, isa) == arm, isa
    if "baseline" in isas:  # two roundings where the others have one: the comparison can fail
        assert lines(native, "baseline") != arm
