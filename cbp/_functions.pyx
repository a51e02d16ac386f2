# cython: freethreading_compatible=False
"""A user's Python functions inside a sweep: strips become arrays, and arrays strips.

What must not live here: what such a function may return; the objects that are called check that.
Invariant: an exception leaves the sweep as a new reference in `pending`, never as Python's state.
"""
from cpython.ref cimport Py_INCREF
from libc.string cimport memcpy

from cbp._kernels cimport CBP_IDENTITY
from cbp._runtime cimport Buffer


cdef object empty(const cbp_kernels *kernel, shape):
    """An array of the network's type."""
    import numpy as np

    return np.empty(shape, np.float32 if kernel.itemsize == 4 else np.float64)


cdef object from_strips(const cbp_kernels *kernel, const char *strips, Py_ssize_t stride,
                        Py_ssize_t n, Py_ssize_t o):
    """Strips as an array (n, o)."""
    cdef Buffer held = Buffer()
    rows = empty(kernel, (n, o))
    kernel.scatter(held.bind(rows, n, o, kernel.itemsize, True), o, strips, stride, n, o)
    return rows


cdef int to_strips(const cbp_kernels *kernel, object rows, char *strips, Py_ssize_t stride,
                   Py_ssize_t n, Py_ssize_t o) except -1:
    """An array (n, o) into strips."""
    cdef Buffer held = Buffer()
    kernel.gather(strips, stride, held.bind(rows, n, o, kernel.itemsize, False), o, NULL, n, o)
    return 0


cdef int keep(object error, void **pending) noexcept:
    Py_INCREF(error)
    pending[0] = <void *>error
    return 1


cdef int user_activation(void *functions, int layer, const cbp_kernels *kernel, char *a,
                         Py_ssize_t stride, Py_ssize_t n, Py_ssize_t o,
                         void **pending) noexcept with gil:
    try:
        z = from_strips(kernel, a, stride, n, o)
        to_strips(kernel, (<list>functions)[layer].value(z), a, stride, n, o)
    except BaseException as error:
        return keep(error, pending)
    return 0


cdef int user_slope(void *functions, int layer, const cbp_kernels *kernel, char *d, const char *z,
                    Py_ssize_t stride, Py_ssize_t n, Py_ssize_t o,
                    void **pending) noexcept with gil:
    try:
        s = from_strips(kernel, d, stride, n, o)
        s *= (<list>functions)[layer].slope(from_strips(kernel, z, stride, n, o))
        to_strips(kernel, s, d, stride, n, o)
        kernel.delta(d, stride, d, stride, NULL, n, o, CBP_IDENTITY)
    except BaseException as error:
        return keep(error, pending)
    return 0


cdef int user_loss(void *function, const cbp_kernels *kernel, char *d, char *loss, const char *a,
                   Py_ssize_t stride, const cbp_target *target, Py_ssize_t n, Py_ssize_t o,
                   void **pending) noexcept with gil:
    cdef Buffer held = Buffer()
    cdef Py_ssize_t item = kernel.itemsize, columns = target.row_stride, r, at
    cdef char *to
    try:
        if target.rows != NULL:
            targets = empty(kernel, (n, columns))
            to = held.bind(targets, n, columns, item, True)
        else:
            import numpy as np

            targets = np.empty(n, np.int64)
            to = held.bind(targets, n, 0, 8, True)
        for r in range(n):
            at = target.index[r] if target.index != NULL else r
            if target.rows != NULL:
                memcpy(to + r * columns * item, <const char *>target.rows + at * columns * item,
                       columns * item)
            else:
                memcpy(to + r * 8, target.labels + at, 8)
        held.release()
        values, slopes = (<object>function)(from_strips(kernel, a, stride, n, o), targets)
        memcpy(loss, held.bind(values, n, 0, item, False), n * item)
        if d != NULL:
            to_strips(kernel, slopes, d, stride, n, o)
    except BaseException as error:
        return keep(error, pending)
    return 0
