"""What the other compiled modules take from `_runtime`: kernels, memory, teams, signals."""
from libc.stdint cimport int64_t, uint64_t

from cbp._kernels cimport cbp_kernels

# The table of the instruction set in force, for elements of 4 or 8 bytes.
cdef const cbp_kernels *kernels(Py_ssize_t itemsize) noexcept

# The table of another one that runs here; that in force where it does not.
cdef const cbp_kernels *kernels_of(const char *isa, Py_ssize_t itemsize) noexcept nogil

# A random order of 0 .. n - 1, decided by the seed and the epoch alone.
cdef void shuffle(Py_ssize_t *order, Py_ssize_t n, uint64_t seed, int64_t epoch) noexcept nogil

# How many threads a region may have when `asked` are wanted: 1 where a fork left OpenMP unusable.
cdef int team_of(int asked) noexcept nogil
cdef int paid_threads(double mflop) noexcept nogil

# Runs Python's signal handlers (takes the GIL).  1 where one raised; the exception is then in
# `pending`, a new reference, for `reraise` to raise once the team has ended.
cdef int poll_signals(void **pending) noexcept with gil
cdef int reraise(void *pending) except -1

cdef double POLL_SECONDS

# Whether all of x lies in 0 .. n - 1.
cdef bint numbers_below(Py_ssize_t n, const Py_ssize_t *x, Py_ssize_t count) noexcept nogil


cdef class Arena:
    """Memory that grows and never shrinks, on 64-byte boundaries."""
    cdef char *data
    cdef size_t size
    cdef char *reserve(self, size_t size) except NULL


cdef class Buffer:
    """A held view of a C-contiguous array: address and shape, released with the object."""
    cdef Py_buffer view
    cdef bint held
    cdef char *bind(self, object array, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t itemsize,
                    bint writable) except NULL
    cdef void release(self) noexcept
