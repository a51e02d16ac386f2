"""Loads the compiled runtime, and tells what was loaded.

What lives here: the environment in which OpenMP's runtime starts. Invariant: os.environ is left
exactly as it was found. The first import of the package is this one.
"""

from __future__ import annotations

import os

__all__ = ["show_config"]

# libgomp's threads spin for milliseconds when they wait; beside another thread pool (PyTorch's,
# OpenBLAS's) that stalls both: 6 ms instead of 0.6 ms a call. libgomp reads this when it is
# loaded, and only then. 10,000 turns still bridge the gap between two parallel regions.
_SPIN_COUNT = "10000"


def _is_source() -> bool:
    """Whether this is the folder that cbp is built from, and not what was installed."""
    here = os.path.dirname(os.path.abspath(__file__))
    return not any(name.startswith("_runtime.") and name.endswith((".so", ".pyd"))
                   for name in os.listdir(here))  # fmt: skip


def _load_runtime() -> None:
    """Import cbp._runtime, with libgomp's spinning bounded unless the user has a say in it."""
    tame = "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ
    if tame:
        os.environ["GOMP_SPINCOUNT"] = _SPIN_COUNT
    try:
        from . import _runtime  # noqa: F401
    except ImportError:
        if _is_source():
            raise ImportError(
                "This is the source of cbp, which is not compiled: run `pip install .` in it, then "
                "start Python in another folder."
            ) from None
        raise
    finally:
        if tame:
            del os.environ["GOMP_SPINCOUNT"]


_load_runtime()


def show_config() -> None:
    """Print what runs: instruction set, threads, OpenMP, compiler, and the versions.

    Examples
    --------
    >>> import cbp
    >>> cbp.show_config()  # doctest: +SKIP
    cbp       0.1.0
    numpy     2.4.6
    isa       avx512
    """
    from importlib.metadata import version

    from . import _runtime

    lines = {"cbp": version("cbp"), "numpy": version("numpy"), **_runtime.config()}
    width = max(map(len, lines)) + 3
    for name, value in lines.items():
        text = ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
        print(f"{name:{width}}{text}")
