# cython: freethreading_compatible=False
"""The run time: which instruction set, how many threads, random streams, memory, signals.

The only module that links the C kernels: two copies of them could hold two opinions about the
instruction set.  What must not live here: anything that knows what a layer is.

Invariants.  Importing starts no thread and leaves the floating-point state alone.  The random
functions depend on their arguments alone.
"""
import os

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free

from cbp._kernels cimport (
    CBP_CUSTOM,
    CBP_EXP,
    CBP_LOG_SOFTMAX,
    CBP_OPENMP,
    CBP_SHUFFLE,
    CBP_SOFTMAX,
    cbp_find_isa,
    cbp_fpenv_enter,
    cbp_fpenv_leave,
    cbp_isa,
    cbp_kernels,
    cbp_max_threads,
    cbp_normal,
    cbp_uniform,
)


cdef extern from "stdlib.h" nogil:
    int posix_memalign(void **memory, size_t alignment, size_t size)


cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)


# ---- instruction set --------------------------------------------------------------------------

cdef const cbp_isa *_isa = NULL
_NAMES = ("avx512", "avx2", "baseline")


cdef const cbp_kernels *kernels(Py_ssize_t itemsize) noexcept:
    return _isa.f32 if itemsize == 4 else _isa.f64


cdef const cbp_kernels *kernels_of(const char *isa, Py_ssize_t itemsize) noexcept nogil:
    cdef const cbp_isa *found = cbp_find_isa(isa)
    if found == NULL:
        found = _isa
    return found.f32 if itemsize == 4 else found.f64


def available_isas():
    """Names of the instruction sets that run here, best first."""
    return tuple(name for name in _NAMES if cbp_find_isa(name.encode()) != NULL)


def use_isa(name):
    """Makes `name` the instruction set of the networks made from now on; returns the one before.

    For tests and reports; programs set the environment variable CBP_ISA instead.

    Raises
    ------
    ValueError
        If `name` is unknown or does not run on this CPU.
    """
    global _isa
    before = None if _isa == NULL else _isa.name.decode()
    cdef const cbp_isa *found = NULL
    if name is None:
        found = cbp_find_isa(NULL)
    else:
        encoded = name.encode()
        found = cbp_find_isa(encoded)
    if found == NULL:
        raise ValueError(
            f"CBP_ISA must be one of {', '.join(available_isas())} (what this CPU runs), "
            f"got {name!r}."
        )
    _isa = found
    return before


def isa():
    """Name of the instruction set in force."""
    return _isa.name.decode()


def has_fma():
    """Whether the instruction set in force multiplies and adds with one rounding."""
    return bool(_isa.f32.has_fma)


use_isa(os.environ.get("CBP_ISA") or None)


# ---- threads ----------------------------------------------------------------------------------

# libgomp's threads do not survive a fork, and a region in the child would wait for them for ever.
cdef int _team_ran = 0
cdef int _team_lost = 0


cdef void _after_fork() noexcept nogil:
    global _team_lost
    _team_lost = _team_ran


pthread_atfork(NULL, NULL, _after_fork)


cdef int team_of(int asked) noexcept nogil:
    global _team_ran
    if asked <= 1 or _team_lost or not CBP_OPENMP:
        return 1
    _team_ran = 1
    return asked


def _cgroup_cpus():
    """CPUs that the control group's quota allows, rounded up, or None without a quota."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
                period = file.read().strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return max(1, -(-int(quota) // int(period)))


cdef object _quota = _cgroup_cpus()


def openmp():
    """Whether cbp was built with OpenMP."""
    return bool(CBP_OPENMP)


def usable_threads():
    """How many threads "auto" may use: affinity, OMP_NUM_THREADS, threadpoolctl, cgroup quota."""
    cdef int most = cbp_max_threads()
    if _team_lost:
        return 1
    if hasattr(os, "sched_getaffinity"):      # OMP_NUM_THREADS makes OpenMP overlook it
        most = min(most, len(os.sched_getaffinity(0)))
    return most if _quota is None else min(most, <int>_quota)


cdef int paid_threads(double mflop) noexcept nogil:
    """Threads that a step of `mflop` million operations pays for: one for every 2 million.

    Below 4 opening and joining the phases of a step costs more than a second thread saves.
    """
    return 1 if mflop < 4.0 else <int>(mflop / 2.0) if mflop < 2e6 else 1000000


def threads_for(double mflop, most=None):
    """Threads that a step of `mflop` million operations pays for, no more than `most` (None: the
    usable ones)."""
    cdef int paid = paid_threads(mflop)
    if paid == 1:
        return 1
    return min(usable_threads() if most is None else most, paid)


def config():
    """What is running: instruction set, threads, OpenMP, compiler, as a dictionary."""
    return {
        "isa": isa(),
        "isas": available_isas(),
        "fma": has_fma(),
        "openmp": openmp(),
        "threads": usable_threads(),
        "compiler": _COMPILER.decode(),
    }


cdef extern from *:
    """
    #if defined(__clang__)
    #define CBP_COMPILER "clang " __clang_version__
    #else
    #define CBP_COMPILER "gcc " __VERSION__
    #endif
    """
    const char *CBP_COMPILER

_COMPILER = CBP_COMPILER


# ---- signals ----------------------------------------------------------------------------------

POLL_SECONDS = 0.05


cdef int poll_signals(void **pending) noexcept with gil:
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        Py_INCREF(error)
        pending[0] = <void *>error
        return 1
    return 0


cdef int reraise(void *pending) except -1:
    error = <object>pending
    Py_DECREF(error)
    raise error


# ---- memory -----------------------------------------------------------------------------------

cdef class Arena:
    def __cinit__(self):
        self.data = NULL
        self.size = 0

    def __dealloc__(self):
        free(self.data)

    cdef char *reserve(self, size_t size) except NULL:
        cdef void *memory = NULL
        if size > self.size or self.data == NULL:
            if posix_memalign(&memory, 64, size + 64):
                raise MemoryError(f"cbp could not get {size} bytes for its workspace.")
            free(self.data)
            self.data = <char *>memory
            self.size = size
        return self.data


cdef class Buffer:
    def __cinit__(self):
        self.held = False

    def __dealloc__(self):
        self.release()

    cdef void release(self) noexcept:
        if self.held:
            PyBuffer_Release(&self.view)
            self.held = False

    cdef char *bind(self, object array, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t itemsize,
                    bint writable) except NULL:
        """Address of a C-contiguous array of shape (rows, columns), or (rows,) where columns is
        0; rows -1 takes any number, itemsize 0 any element."""
        cdef int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)
        cdef int ndim = 2 if columns else 1
        self.release()
        PyObject_GetBuffer(array, &self.view, flags)
        self.held = True
        if (self.view.ndim != ndim or (itemsize and self.view.itemsize != itemsize)
                or (rows >= 0 and self.view.shape[0] != rows)
                or (columns and self.view.shape[1] != columns)):
            shape = tuple(self.view.shape[j] for j in range(self.view.ndim))
            self.release()
            raise ValueError(
                f"The compiled core was given an array of shape {shape} where it needs "
                f"({rows}, {columns}) with {itemsize} bytes an element."
            )
        return <char *>self.view.buf


# ---- random streams ---------------------------------------------------------------------------

def uniform(double[::1] out, uint64_t seed, unsigned int purpose, unsigned int stream):
    """Fills `out` with numbers uniform on [0, 1): multiples of 2**-53 from Philox 4x32-10."""
    if out.shape[0]:
        cbp_uniform(&out[0], out.shape[0], seed, purpose, stream)


def normal(double[::1] out, uint64_t seed, unsigned int purpose, unsigned int stream):
    """Fills `out` with standard normal numbers (Philox 4x32-10, inverted by AS 241)."""
    cdef uint64_t before = cbp_fpenv_enter()
    if out.shape[0]:
        cbp_normal(&out[0], out.shape[0], seed, purpose, stream)
    cbp_fpenv_leave(before)


cdef void shuffle(Py_ssize_t *order, Py_ssize_t n, uint64_t seed, int64_t epoch) noexcept nogil:
    _isa.f32.permutation(order, n, seed, CBP_SHUFFLE, <unsigned int>epoch)


def permutation(Py_ssize_t[::1] out, uint64_t seed, unsigned int purpose, unsigned int stream):
    """Fills `out` with a random order of 0 .. len(out) - 1, without bias."""
    if out.shape[0]:
        _isa.f32.permutation(&out[0], out.shape[0], seed, purpose, stream)


# NumPy's public C interface of a bit generator.
ctypedef struct bitgen_t:
    void *state
    uint64_t (*next_uint64)(void *state) noexcept nogil
    uint32_t (*next_uint32)(void *state) noexcept nogil
    double (*next_double)(void *state) noexcept nogil
    uint64_t (*next_raw)(void *state) noexcept nogil


def legacy_shuffles(bit_generator, Py_ssize_t[:, ::1] orders, Py_ssize_t[::1] index,
                    const Py_ssize_t[::1] rows):
    """Row after row of `orders` what numpy.random.RandomState.shuffle makes of 0 .. n - 1 composed
    with the rows before it, `index` being the one before the first; NumPy keeps these draws for
    ever.  `rows` maps the numbers, or is None.  Four times as fast as RandomState for 150."""
    cdef bitgen_t *bits = <bitgen_t *>PyCapsule_GetPointer(bit_generator.capsule, "BitGenerator")
    cdef Py_ssize_t n = index.shape[0], epoch, i, kept
    cdef uint32_t mask, j
    cdef Py_ssize_t *order
    if n >= 2**32 or orders.shape[1] != n or (rows is not None and rows.shape[0] != n):
        raise ValueError("orders, index and rows must have the same length, below 2**32.")
    with bit_generator.lock, nogil:
        for epoch in range(orders.shape[0]):
            # Shuffling the order before is composing it with a shuffled 0 .. n - 1.
            order = &index[0]
            mask = 1
            while mask < n - 1:
                mask = 2 * mask + 1
            for i in range(n - 1, 0, -1):
                while mask >> 1 >= i:
                    mask >>= 1
                j = bits.next_uint32(bits.state) & mask
                while j > i:
                    j = bits.next_uint32(bits.state) & mask
                kept = order[i]
                order[i] = order[j]
                order[j] = kept
            for i in range(n):
                orders[epoch, i] = rows[order[i]] if rows is not None else order[i]


# ---- element-wise functions, for tests and reports ---------------------------------------------

ctypedef fused real:
    float
    double


EXP = CBP_EXP    # what `apply` knows beside the activations


def apply(real[::1] y, const real[::1] x, int activation, bint slope=False):
    """y = f(x) element by element, f an activation code other than softmax, or EXP; or, with
    `slope`, f' from x: z where the code is one that keeps z, else f(z)."""
    cdef uint64_t before
    if y.shape[0] != x.shape[0]:
        raise ValueError(f"y and x must have one length, got {y.shape[0]} and {x.shape[0]}.")
    if activation != CBP_EXP and (not 0 <= activation < CBP_CUSTOM or activation == CBP_SOFTMAX
                                  or activation == CBP_LOG_SOFTMAX):
        raise ValueError(f"activation must be the code of a function, got {activation}.")
    if x.shape[0]:
        before = cbp_fpenv_enter()
        kernels(sizeof(real)).apply(&y[0], &x[0], x.shape[0], slope, activation)
        cbp_fpenv_leave(before)


def all_finite(array):
    """Whether no element of a C-contiguous float32 or float64 array is infinite or NaN."""
    cdef Py_buffer view
    cdef bint finite
    cdef uint64_t before
    PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS)
    try:
        if view.itemsize != 4 and view.itemsize != 8:
            raise ValueError(f"array must be float32 or float64, got {view.itemsize} bytes.")
        kernel = kernels(view.itemsize)
        with nogil:
            before = cbp_fpenv_enter()
            finite = kernel.finite(view.buf, view.len // view.itemsize)
            cbp_fpenv_leave(before)
    finally:
        PyBuffer_Release(&view)
    return finite


cdef bint numbers_below(Py_ssize_t n, const Py_ssize_t *x, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t j
    cdef size_t above = 0, limit = <size_t>n
    for j in range(count):    # what is negative is huge without its sign
        above |= <size_t>x[j] >= limit
    return above == 0


def all_below(numbers, Py_ssize_t n):
    """Whether all of a C-contiguous array of intp, of any shape, lies in 0 .. n - 1."""
    cdef Py_buffer view
    cdef bint below
    PyObject_GetBuffer(numbers, &view, PyBUF_C_CONTIGUOUS)
    try:
        if view.itemsize != sizeof(Py_ssize_t):
            raise ValueError(f"numbers must be of type intp, got {view.itemsize} bytes.")
        with nogil:
            below = numbers_below(n, <const Py_ssize_t *>view.buf, view.len // view.itemsize)
    finally:
        PyBuffer_Release(&view)
    return below


def moments(const real[:, ::1] rows, const double[::1] centre, double[:, ::1] out):
    """Writes the columns' sums of x - centre, and of its square, into out (2, columns); rows are
    added in ascending order."""
    cdef Py_ssize_t c = rows.shape[1]
    cdef const cbp_kernels *kernel = kernels(sizeof(real))
    cdef uint64_t before
    if centre.shape[0] != c or out.shape[0] != 2 or out.shape[1] != c or c == 0:
        raise ValueError("centre and out must have the columns of rows.")
    if rows.shape[0]:
        before = cbp_fpenv_enter()
        with nogil:
            kernel.moments(&out[0, 0], &out[1, 0], &rows[0, 0], c, &centre[0], rows.shape[0], c)
        cbp_fpenv_leave(before)


def row_sum(const double[::1] x, const double[::1] weight=None):
    """Sum of `x`, or of weight * x, in the order of rule 8 for quantities of rows."""
    cdef uint64_t before = cbp_fpenv_enter()
    cdef double total = 0.0
    if weight is not None and weight.shape[0] != x.shape[0]:
        raise ValueError(f"weight must have {x.shape[0]} elements, got {weight.shape[0]}.")
    if x.shape[0]:
        total = kernels(8).row_sum(&x[0], NULL if weight is None else &weight[0], NULL, x.shape[0])
    cbp_fpenv_leave(before)
    return total


def square_sum(const real[::1] x):
    """Sum of squares of `x` in double, in the order of rule 8."""
    cdef uint64_t before = cbp_fpenv_enter()
    cdef double total = 0.0
    if x.shape[0]:
        total = kernels(sizeof(real)).square_sum(&x[0], x.shape[0])
    cbp_fpenv_leave(before)
    return total
