"""One dense layer on a range of rows: forward, delta, gradient.  Strips: src_c/cbp_kernels.h."""
from cbp._kernels cimport cbp_kernels


cdef enum:
    PANEL = 128            # columns of a packed panel, and
    PACK_ROWS = 512        # rows of it that are packed at a time: 256 KiB in float32, within L2


ctypedef struct Layer:
    Py_ssize_t n_in, n_out
    int activation
    char *w               # (n_in, n_out), row-major, inside theta
    char *b               # (n_out,) behind it, or NULL
    Py_ssize_t offset     # of w in theta, in elements


cdef Py_ssize_t strips(Py_ssize_t columns) noexcept nogil

cdef void dense_sums(const cbp_kernels *kernel, const Layer *layer, char *z, Py_ssize_t stride,
                     const char *a, Py_ssize_t a_row, Py_ssize_t a_stride,
                     Py_ssize_t n) noexcept nogil

cdef void dense_forward(const cbp_kernels *kernel, const Layer *layer, char *a_out, char *z,
                        const char *a_in, Py_ssize_t stride, Py_ssize_t row,
                        Py_ssize_t n, int activation) noexcept nogil

cdef void dense_delta(const cbp_kernels *kernel, const Layer *layer, char *d_in,
                      const char *d_out, const char *w_t, const char *source, int activation_in,
                      Py_ssize_t stride, Py_ssize_t row, Py_ssize_t n) noexcept nogil

cdef void panel_forward(const cbp_kernels *kernel, const Layer *layer, char *a_out, char *z,
                        const char *a_in, Py_ssize_t stride, Py_ssize_t row, Py_ssize_t n,
                        int activation, Py_ssize_t panel, char *pack) noexcept nogil

cdef void panel_delta(const cbp_kernels *kernel, const Layer *layer, char *d_in,
                      const char *d_out, const char *source, int activation_in, Py_ssize_t stride,
                      Py_ssize_t row, Py_ssize_t n, Py_ssize_t panel, char *pack) noexcept nogil

cdef void dense_transpose(const cbp_kernels *kernel, const Layer *layer, char *w_t,
                          Py_ssize_t strip, Py_ssize_t first,
                          Py_ssize_t columns) noexcept nogil
