"""The type stubs of the compiled modules say what the modules hold."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


def stubtest(root: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run mypy's stubtest on the installed package, away from the source tree."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    return subprocess.run(
        [
            sys.executable, "-m", "mypy.stubtest", "cbp", "--concise",
            "--mypy-config-file", str(root / "pyproject.toml"),
            *options,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_stubs_agree_with_the_compiled_modules(repo_root, tmp_path):
    """Names, parameters, their order and defaults; what Cython adds is listed and explained."""
    allowlist = repo_root / "tests" / "stubtest_allowlist.txt"
    result = stubtest(repo_root, tmp_path, "--allowlist", str(allowlist))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_stubtest_sees_the_compiled_modules(repo_root, tmp_path):
    """Without the list stubtest finds Cython's names in every module: it is not blind."""
    result = stubtest(repo_root, tmp_path)
    assert result.returncode == 1
    for module in ("_runtime", "_dense", "_functions", "_backprop", "_small", "_training"):
        assert f"cbp.{module}.__test__ is not present in stub" in result.stdout
