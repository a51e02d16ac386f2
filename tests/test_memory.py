"""Memory: how much a run takes, that nothing leaks, small stacks, and allocations that fail."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent  # the source tree must not be what a child imports
LINUX = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")

COMMON = """
import json, os, sys, numpy as np, cbp

def resident():
    with open("/proc/self/statm") as file:
        return os.sysconf("SC_PAGE_SIZE") * int(file.read().split()[1])
"""


def answer(code: str, *arguments: str, prefix: tuple[str, ...] = (), **environment: str) -> Any:
    """What Python code prints in a fresh process, as JSON."""
    child = subprocess.run(
        [*prefix, sys.executable, "-W", "ignore", "-c", COMMON + code, *arguments],
        capture_output=True, text=True, cwd=FOLDER, env={**os.environ, **environment},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


# ---- how much ---------------------------------------------------------------------------------

GROWTH = """
class Look(cbp.Callback):
    def on_epoch_end(self, epoch, logs):
        self.seen = resident()

def growth(sizes, look=Look(), **options):
    X, Y = np.ones((128, sizes[0]), np.float32), np.ones((128, sizes[-1]), np.float32)
    net = cbp.Network(sizes, "relu", seed=1)
    before = resident()
    trainer = cbp.Trainer(net, batch_size=64, n_threads=1, seed=1, **options)
    trainer.fit(X, Y, 2, callbacks=look)
    return look.seen - before

growth([8, 8, 8], optimizer=sys.argv[1])
print(growth([512, 2048, 1024, 16], optimizer=sys.argv[1]))
"""


@LINUX
@pytest.mark.no_sanitizer
@pytest.mark.parametrize("optimizer, states", [("sgd", 0), ("momentum", 1), ("adam", 2)])
def test_memory_of_a_fit(optimizer, states):
    """Parameters, and each state, once more; and the workspace: two numbers a unit and row."""
    parameters = 4 * (512 * 2048 + 2048 * 1024 + 1024 * 16 + 3088)
    workspace = 4 * 65 * (512 + 2 * 3088) + 2**18
    assert answer(GROWTH, optimizer) <= 1.1 * (parameters * (1 + states) + workspace) + 2**19


LEAK = """
X = np.random.default_rng(0).normal(size=(40, 3))

def everything(seed):
    net = cbp.Network([3, cbp.Dense(4, dropout=0.2), 1], seed=seed)
    trainer = cbp.Trainer(net, seed=seed, clip_norm=1.0, average=0.9, metrics="r2")
    trainer.fit(X, X[:, :1], 2, validation_split=0.2)
    for bad in (X[:, :2], X * 1e300):
        try:
            trainer.fit(bad, X[:, :1], 1)
        except ValueError:
            pass
    trainer.learning_rate = 1e38
    try:
        trainer.fit(X, X[:, :1], 3)
    except cbp.DivergenceError:
        pass
    trainer.train_on_batch(X.astype("f"), X[:, :1].astype("f"))
    trainer.evaluate(X, X[:, :1])
    net.predict(X), net.forward(X), net.gradient(X, X[:, :1]), net.predictor()(X[0])

def taken():
    return [resident(), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))]

for seed in range(500):
    everything(seed)
before = taken()
for seed in range(2000):
    everything(seed)
print(json.dumps([before, taken()]))
"""


@LINUX
@pytest.mark.slow
@pytest.mark.no_sanitizer
def test_nothing_leaks():
    """2,000 small fits, whole, refused and diverged, take no memory, descriptor or thread."""
    before, after = answer(LEAK)
    assert after[0] - before[0] < 2**20 and after[1:] == before[1:]


# ---- small stacks -----------------------------------------------------------------------------

STACK = """
teams = []
for dtype in ("float32", "float64"):
    for sizes, batch_size in (([600, 800, 256, 10], 256), ([4, 16, 3], 8)):
        X = np.random.default_rng(0).random((2 * batch_size, sizes[0]))
        labels = np.arange(2 * batch_size) % 3
        net = cbp.Network(sizes, "tanh", "softmax", dtype=dtype, dropout=0.1, seed=1)
        trainer = cbp.Trainer(net, batch_size=batch_size, n_threads=3, clip_norm=1.0, seed=1)
        trainer.fit(X, labels, 2, validation_split=0.2)
        net.predict(X, n_threads=3), net.gradient(X, labels, n_threads=3)
        teams.append(trainer.threads_used)
print(teams)
"""


@pytest.mark.no_sanitizer
@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell that knows ulimit")
def test_small_stacks():
    """64 KiB for a thread of the team, 256 KiB for the first, are enough (musl gives 128)."""
    from cbp import _runtime

    shell = ("sh", "-c", 'ulimit -s 256; exec "$@"', "sh")
    many = 3 if _runtime.openmp() else 1
    assert answer(STACK, prefix=shell, OMP_STACKSIZE="64k") == [many, 1, many, 1]


# ---- allocations that fail ----------------------------------------------------------------------

# Counts the allocations that cbp's compiled modules ask for, and lets one of them fail.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

static long left = -1, count;

void fail_at(long n) { left = n, count = 0; }
long counted(void) { return count; }

static int fails(void *caller)
{
    Dl_info info;
    if (!dladdr(caller, &info) || !info.dli_fname || !strstr(info.dli_fname, "/cbp/"))
        return 0;
    count++;
    return left > 0 && --left == 0;
}

void *calloc(size_t n, size_t size)
{
    extern void *__libc_calloc(size_t, size_t);
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    extern void *__libc_memalign(size_t, size_t);
    if (fails(__builtin_return_address(0)) || !(*memory = __libc_memalign(alignment, size)))
        return ENOMEM;
    return 0;
}
"""

FAILING = """
import ctypes, hashlib, pickle
from cbp import _runtime

_runtime.threads_for = lambda mflop, most=None: most or 1
shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
X = np.random.default_rng(0).normal(size=(64, 5))
Y = X[:, :2]

def scenario(attempt):
    '''Everything that allocates; `attempt` makes each call, and once more if memory ran out.'''
    hidden = [cbp.Dense(9, dropout=0.2, max_norm=1.0), cbp.Dense(8)]
    net = attempt(lambda: cbp.Network([5, *hidden, 2], "gelu", seed=1, standardize=True))
    trainer = attempt(lambda: cbp.Trainer(net, seed=1, clip_norm=1.0, average=0.9, n_threads=2))
    attempt(lambda: trainer.fit(X, Y, 2), net)
    attempt(lambda: trainer.evaluate(X, Y), net)
    attempt(lambda: trainer.train_on_batch(X[:9], Y[:9]), net)
    plain = attempt(lambda: cbp.Network([5, 6, 2], seed=1))
    fast = attempt(lambda: cbp.Trainer(plain, seed=1, n_threads=1))
    attempt(lambda: fast.fit(X, Y, 3), plain)
    attempt(lambda: fast.train_on_batch(X.astype("f"), Y.astype("f")), plain)
    results = [net.parameters, plain.parameters]
    for one in (net, plain):
        results.append(attempt(lambda: one.predict(X), one))
        results += attempt(lambda: one.forward(X), one).a
        results += attempt(lambda: one.gradient(X, Y), one).weights
        results.append(attempt(lambda: one.predictor()(X[0]), one))
        results.append(attempt(lambda: pickle.loads(pickle.dumps(one)), one).parameters)
    results.append(attempt(lambda: pickle.loads(pickle.dumps(trainer)), net).net.parameters)
    return hashlib.sha256(b"".join(np.ascontiguousarray(r).tobytes() for r in results)).hexdigest()

def plainly(call, net=None):
    return call()

def patiently(call, net=None):
    before = None if net is None else net.parameters.copy()
    try:
        return call()
    except MemoryError as error:
        global sentence
        sentence = str(error)
        assert net is None or np.array_equal(net.parameters, before), "changed"
        return call()

shim.fail_at(0)
expected = scenario(plainly)
total = shim.counted()
unheard, sentences = [], set()
for n in range(1, total + 1):
    sentence = None
    shim.fail_at(n)
    assert scenario(patiently) == expected, n
    shim.fail_at(0)
    if sentence is None:
        unheard.append(n)
    sentences.add(sentence)
print(json.dumps([total, unheard, sorted(sentences - {None})]))
"""


@LINUX
@pytest.mark.no_sanitizer
def test_every_allocation_may_fail(tmp_path):
    """Each allocation of the compiled modules in turn: MemoryError, the network as it was, and the
    same call again succeeds, with the bits of an undisturbed program."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"there is no C compiler {compiler[0]!r} (set CC)")
    source, shim = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    built = subprocess.run(
        [*compiler, "-O1", "-shared", "-fPIC", str(source), "-o", str(shim), "-ldl"],
        capture_output=True, text=True,
    )  # fmt: skip
    if built.returncode:
        pytest.skip(f"the C library is another one: {built.stderr[:200]}")
    total, unheard, sentences = answer(FAILING, LD_PRELOAD=str(shim))
    assert total >= 20 and not unheard, (total, unheard)
    assert all("cbp could not get" in sentence or sentence == "" for sentence in sentences)
