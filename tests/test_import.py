"""What `import cbp` does to a process: next to nothing.  Everything is looked at in fresh ones."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Any

import pytest

from cbp import _runtime

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a fresh process, warnings being errors."""
    return subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def answer(code: str, **environment: str) -> Any:
    """What the code prints, as JSON."""
    result = run(code, **environment)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return json.loads(result.stdout)


def test_the_source_is_not_the_package(tmp_path, repo_root):
    """Imported where it was not compiled, cbp says what to do."""
    import shutil

    shutil.copytree(repo_root / "cbp", tmp_path / "cbp",
                    ignore=shutil.ignore_patterns("*.so", "*.c", "*.html"))  # fmt: skip
    result = run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import cbp")
    assert result.returncode == 1
    assert "ImportError: This is the source of cbp, which is not compiled: run" in result.stderr


@pytest.mark.no_sanitizer
def test_import_costs_at_most_50_ms():
    """On top of NumPy: lower quartile of nine processes, after one that fills the caches.

    Of the processor's time: what other programs take of it meanwhile does not count. Where the
    machine is slow, so that NumPy alone takes more than 60 ms, cbp may take as much more.
    """
    code = (
        "import json, time; start = time.process_time(); import numpy; t = time.process_time(); "
        "import cbp; print(json.dumps([t - start, time.process_time() - t]))"
    )
    answer(code)
    times = [answer(code) for _ in range(9)]
    numpys, ours = (statistics.quantiles(column, n=4)[0] for column in zip(*times))
    assert ours <= 0.050 * max(1.0, numpys / 0.060), times


def test_import_loads_nothing_heavy():
    """No test tool, no plotting, no other framework, nor what only some functions need."""
    loaded = answer(
        "import json, sys, numpy; before = set(sys.modules); import cbp; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    assert "cbp.trainer" in loaded
    heavy = "asyncio concurrent email http importlib.metadata multiprocessing scipy sklearn ssl "
    heavy += "torch jax matplotlib pandas tqdm unittest urllib.request xml"
    assert {name for name in heavy.split() if name in loaded} == set()


def test_import_prints_and_warns_nothing():
    """With all warnings as errors, and -X dev's checks, import is silent."""
    result = subprocess.run(
        [sys.executable, "-I", "-X", "dev", "-W", "error", "-c", "import cbp"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@LINUX
@pytest.mark.no_sanitizer
def test_import_starts_no_thread():
    """Nor does a call that runs on one thread; the first that runs on two starts one."""
    counts = answer(
        """
import json, os
import numpy as np
def threads(): return len(os.listdir("/proc/self/task"))
counts = [threads()]
import cbp
counts.append(threads())
net = cbp.Network([64, 64, 10], seed=1)
X = np.zeros((4096, 64), dtype=np.float32)
net.predict(X, n_threads=1)
counts.append(threads())
net.predict(X, n_threads=2)
counts.append(threads())
print(json.dumps(counts))
"""
    )
    assert counts[0] == counts[1] == counts[2]
    assert counts[3] == counts[2] + bool(_runtime.openmp())


@pytest.mark.parametrize(
    "variables", [{}, {"GOMP_SPINCOUNT": "77"}, {"OMP_WAIT_POLICY": "PASSIVE"}], ids=str
)
def test_import_leaves_the_environment_as_it_was(variables):
    """os.environ and what C's getenv sees: nothing added, nothing removed, nothing changed."""
    before, after, in_c = answer(
        """
import ctypes, json, os
before = dict(os.environ)
import cbp
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
in_c = {name: libc.getenv(name.encode()) for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
in_c = {name: value and value.decode() for name, value in in_c.items()}
print(json.dumps([before, dict(os.environ), in_c]))
""",
        **variables,
    )
    assert before == after
    assert in_c == {name: before.get(name) for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    assert variables.items() <= after.items()


FPENV = """
import ctypes, json
import numpy as np
libm = ctypes.CDLL("libm.so.6")
def control():
    # glibc's fenv_t on x86-64: the x87 control word first, MXCSR at byte 28; flags are no state.
    env = (ctypes.c_ubyte * 32)()
    libm.fegetenv(env)
    data = bytes(env)
    return [int.from_bytes(data[:2], "little"), int.from_bytes(data[28:], "little") & 0xFFC0]
def set_mxcsr(bits):
    env = (ctypes.c_ubyte * 32)()
    libm.fegetenv(env)
    mxcsr = int.from_bytes(bytes(env)[28:], "little") | bits
    for j, byte in enumerate(mxcsr.to_bytes(4, "little")):
        env[28 + j] = byte
    libm.fesetenv(env)
"""


@LINUX
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="knows x86-64's control words")
@pytest.mark.parametrize(
    "bits", [0, 0x8040, 0x6000], ids=["as Python starts", "flush to zero", "round to zero"]
)
def test_import_and_calls_leave_the_floating_point_state_as_it_was(bits):
    """Whatever the caller's rounding and flushing are, they are his again after each call."""
    states, equal = answer(
        FPENV
        + f"""
set_mxcsr({bits})
states = [control()]
import cbp
states.append(control())
set_mxcsr({bits})
net = cbp.Network([8, 16, 3], output_activation="softmax", seed=1)
X = (np.arange(4096 * 8, dtype=np.float32) % 13).reshape(-1, 8)
y = np.arange(4096) % 3
outputs = []
for n_threads in (1, 2):
    outputs.append(net.predict(X, n_threads=n_threads))
    states.append(control())
    net.gradient(X, y, n_threads=n_threads)
    states.append(control())
    cbp.Trainer(net.copy(), n_threads=n_threads, seed=1).fit(X, y, 1)
    states.append(control())
print(json.dumps([states, bool((outputs[0] == outputs[1]).all())]))
"""
    )
    assert states[0][1] & bits == bits
    assert states == [states[0]] * len(states)
    assert equal


@LINUX
def test_import_installs_no_signal_handler():
    """Neither one that Python knows nor one that only the kernel knows."""
    before, after = answer(
        """
import json, signal
import numpy
def handlers():
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    known = [repr(signal.getsignal(s)).split(" at ")[0] for s in sorted(signal.valid_signals())]
    return [known] + [status[name].strip() for name in ("SigCgt", "SigIgn", "SigBlk")]
before = handlers()
import cbp
print(json.dumps([before, handlers()]))
"""
    )
    assert before == after


def test_import_leaves_numpys_random_state_and_error_state_alone():
    """Nobody's global generator is touched, and np.errstate stays."""
    same = answer(
        """
import json
import numpy as np
before, errors = np.random.get_state()[1].tolist(), np.geterr()
import cbp
net = cbp.Network([2, 3, 1])
cbp.Trainer(net).fit([[0, 1]], [1.0], 2)
print(json.dumps(before == np.random.get_state()[1].tolist() and errors == np.geterr()))
"""
    )
    assert same


# --- instruction sets ------------------------------------------------------------------------


def test_cbp_isa_chooses_the_instruction_set():
    """Every one that runs here can be asked for; without the variable the best is taken."""
    code = "import json, cbp; print(json.dumps(cbp._runtime.isa()))"
    available = _runtime.available_isas()
    for name in available:
        assert answer(code, CBP_ISA=name) == name
    assert answer(code, CBP_ISA="") == available[0]


def test_cbp_isa_avx2():
    """avx2 is in force when asked for, and is the best of those with FMA where AVX-512 is not."""
    if "avx2" not in _runtime.available_isas():
        pytest.skip("this CPU has no AVX2")
    code = "import json, cbp; print(json.dumps([cbp._runtime.isa(), cbp._runtime.has_fma()]))"
    assert answer(code, CBP_ISA="avx2") == ["avx2", True]


@pytest.mark.parametrize("name", ["mmx", "AVX2", "avx512 "])
def test_an_unknown_cbp_isa_ends_in_a_sentence(name):
    """ValueError at import: what may stand there, and what did."""
    result = run("import cbp", CBP_ISA=name)
    assert result.returncode == 1
    known = ", ".join(_runtime.available_isas())
    assert result.stderr.splitlines()[-1] == (
        f"ValueError: CBP_ISA must be one of {known} (what this CPU runs), got {name!r}."
    )


# --- subinterpreters -------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["import cbp", "import numpy", "pass"])
def test_a_subinterpreter_gets_an_import_error(first):
    """Not a crash: NumPy and cbp work in the main interpreter only, and it goes on working."""
    if sys.version_info < (3, 13):
        pytest.skip("needs the _interpreters module of Python 3.13")
    result = answer(
        f"""
import json
{first}
import _interpreters
other = _interpreters.create()
failure = _interpreters.exec(other, "import cbp")
_interpreters.destroy(other)
import cbp
works = cbp.Network([2, 1], seed=1).predict([[1, 2]]).shape
print(json.dumps([failure and failure.type.__name__, works]))
"""
    )
    assert result == ["ImportError", [1, 1]]
