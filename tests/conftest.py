"""What every test may use.  The tests see the installed package, never the source tree."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# `python -m pytest` puts the source tree first on the path, where cbp has no compiled modules.
# (An editable install is found without this entry.)
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]

# Shells start background jobs with Ctrl-C ignored: the tests that send it would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples at every run, and no complaint about a busy machine.
settings.register_profile("cbp", deadline=None, derandomize=True)
settings.load_profile("cbp")


def pytest_report_header() -> str:
    """Says which cbp is under test."""
    spec = importlib.util.find_spec("cbp")
    return f"cbp: {spec.origin if spec else 'not installed'}"


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The top folder of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data too large to ship: ../shared/data beside the source tree."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no ../shared/data beside the source tree")
    return folder


@pytest.fixture(scope="session")
def mnist_folder(request: pytest.FixtureRequest) -> Path:
    """The folder of the real MNIST files: CBP_MNIST, or ../shared/data/mnist."""
    named = os.environ.get("CBP_MNIST")
    folder = Path(named) if named else request.getfixturevalue("shared_data") / "mnist"
    if not folder.is_dir():
        pytest.skip(f"the MNIST files are not at hand: there is no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def isas() -> tuple[str, ...]:
    """The instruction sets that run on this machine."""
    from cbp import _runtime

    return _runtime.available_isas()


@pytest.fixture
def all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many threads run as are asked for, where the work would not pay for them either."""
    from cbp import _runtime

    usual = _runtime.threads_for
    monkeypatch.setattr(_runtime, "threads_for", lambda mflop, most=None: most or usual(mflop))


@pytest.fixture(params=("avx512", "avx2", "baseline"))
def isa(request: pytest.FixtureRequest, isas: tuple[str, ...]) -> Iterator[str]:
    """Each instruction set in turn, in force for the networks that the test makes."""
    from cbp import _runtime

    if request.param not in isas:
        pytest.skip(f"this CPU does not run {request.param}")
    before = _runtime.use_isa(request.param)
    yield request.param
    _runtime.use_isa(before)
