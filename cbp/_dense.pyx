"""One dense layer on a range of rows: the article's three formulas over the C kernels.

    forward    z = a_in W + b,  a_out = f(z)
    delta      d_in = (d_out W^T) * f'(z_in):  delta_j = f'(z_j) sum_i w_ji delta_i
    gradient   dW = a_in^T d_out,  db = sum of d_out over the rows

Activations and deltas are in strips of 16 columns that share one stride, so row r of a strip
stands 16 r elements behind its start.  Rows are independent: any range may be worked on by any
thread.  What must not live here: the order of layers, minibatches, words to the user.
"""
from cbp._kernels cimport CBP_STRIP, cbp_fpenv_enter, cbp_fpenv_leave, cbp_kernels
from cbp._runtime cimport Arena, kernels

from libc.stdint cimport uint64_t


cdef inline Py_ssize_t strips(Py_ssize_t columns) noexcept nogil:
    return (columns + CBP_STRIP - 1) // CBP_STRIP


cdef void dense_sums(const cbp_kernels *kernel, const Layer *layer, char *z, Py_ssize_t stride,
                     const char *a, Py_ssize_t a_row, Py_ssize_t a_stride,
                     Py_ssize_t n) noexcept nogil:
    """z (OUT) without the biases, from a: strips, or rows of a matrix (kernel.matmul)."""
    kernel.matmul(z, stride, a, a_row, a_stride, layer.w, layer.n_out, CBP_STRIP, n, layer.n_in,
                  layer.n_out, 0)


cdef void dense_forward(const cbp_kernels *kernel, const Layer *layer, char *a_out, char *z,
                        const char *a_in, Py_ssize_t stride, Py_ssize_t row,
                        Py_ssize_t n, int activation) noexcept nogil:
    """a_out (OUT) and, unless NULL, z (OUT), from a_in (IN), for rows row .. row + n - 1."""
    cdef Py_ssize_t at = row * CBP_STRIP * kernel.itemsize
    dense_sums(kernel, layer, a_out + at, stride, a_in + at, CBP_STRIP, stride, n)
    kernel.activate(a_out + at, stride, z + at if z != NULL else NULL, stride, layer.b,
                    n, layer.n_out, activation)


cdef void dense_delta(const cbp_kernels *kernel, const Layer *layer, char *d_in,
                      const char *d_out, const char *w_t, const char *source, int activation_in,
                      Py_ssize_t stride, Py_ssize_t row, Py_ssize_t n) noexcept nogil:
    """d_in (OUT) from d_out (IN), the transposed weights w_t (IN) and what f' is taken from
    (IN: A, or Z where cbp_keeps_z), for n rows."""
    cdef Py_ssize_t at = row * CBP_STRIP * kernel.itemsize
    kernel.matmul(d_in + at, stride, d_out + at, CBP_STRIP, stride, w_t, CBP_STRIP,
                  CBP_STRIP * layer.n_out, n, layer.n_out, layer.n_in, 0)
    kernel.delta(d_in + at, stride, source + at, stride, NULL, n, layer.n_in, activation_in)


cdef void panel_forward(const cbp_kernels *kernel, const Layer *layer, char *a_out, char *z,
                        const char *a_in, Py_ssize_t stride, Py_ssize_t row, Py_ssize_t n,
                        int activation, Py_ssize_t panel, char *pack) noexcept nogil:
    """What dense_forward does, for PANEL outputs of a layer whose weights do not stay in L2: a
    piece of W at a time is packed into strips, which cost no more than n rows gain from them."""
    cdef Py_ssize_t item = kernel.itemsize, first = panel * PANEL, k, k_n
    cdef Py_ssize_t columns = min(<Py_ssize_t>PANEL, layer.n_out - first)
    cdef Py_ssize_t at = row * CBP_STRIP * item + first // CBP_STRIP * stride * item
    k = 0
    while k < layer.n_in:
        k_n = min(<Py_ssize_t>PACK_ROWS, layer.n_in - k)
        kernel.gather(pack, CBP_STRIP * k_n, layer.w + (k * layer.n_out + first) * item,
                      layer.n_out, NULL, k_n, columns)
        kernel.matmul(a_out + at, stride,
                      a_in + (row * CBP_STRIP + k // CBP_STRIP * stride) * item, CBP_STRIP, stride,
                      pack, CBP_STRIP, CBP_STRIP * k_n, n, k_n, columns, k > 0)
        k += PACK_ROWS
    kernel.activate(a_out + at, stride, z + at if z != NULL else NULL, stride,
                    layer.b + first * item if layer.b != NULL else NULL, n, columns, activation)


cdef void panel_delta(const cbp_kernels *kernel, const Layer *layer, char *d_in,
                      const char *d_out, const char *source, int activation_in, Py_ssize_t stride,
                      Py_ssize_t row, Py_ssize_t n, Py_ssize_t panel, char *pack) noexcept nogil:
    """What dense_delta does, for PANEL inputs of such a layer, its weights transposed on the way."""
    cdef Py_ssize_t item = kernel.itemsize, first = panel * PANEL, k, k_n, s
    cdef Py_ssize_t columns = min(<Py_ssize_t>PANEL, layer.n_in - first)
    cdef Py_ssize_t at = row * CBP_STRIP * item + first // CBP_STRIP * stride * item
    k = 0
    while k < layer.n_out:
        k_n = min(<Py_ssize_t>PACK_ROWS, layer.n_out - k)
        for s in range(strips(columns)):
            kernel.transpose(pack + s * CBP_STRIP * k_n * item,
                             layer.w + ((first + s * CBP_STRIP) * layer.n_out + k) * item,
                             layer.n_out, min(<Py_ssize_t>CBP_STRIP, columns - s * CBP_STRIP), k_n)
        kernel.matmul(d_in + at, stride,
                      d_out + (row * CBP_STRIP + k // CBP_STRIP * stride) * item, CBP_STRIP, stride,
                      pack, CBP_STRIP, CBP_STRIP * k_n, n, k_n, columns, k > 0)
        k += PACK_ROWS
    kernel.delta(d_in + at, stride, source + at, stride, NULL, n, columns, activation_in)


cdef void dense_transpose(const cbp_kernels *kernel, const Layer *layer, char *w_t,
                          Py_ssize_t strip, Py_ssize_t first,
                          Py_ssize_t columns) noexcept nogil:
    """Strip `strip` (16 inputs) of w_t (OUT), outputs first .. first + columns - 1:
    w_t[strip][o][16] = W[16 strip ..][o]."""
    cdef Py_ssize_t row = strip * CBP_STRIP
    kernel.transpose(w_t + (row * layer.n_out + first * CBP_STRIP) * kernel.itemsize,
                     layer.w + (row * layer.n_out + first) * kernel.itemsize, layer.n_out,
                     min(<Py_ssize_t>CBP_STRIP, layer.n_in - row), columns)


# ---- the same, on whole arrays: for tests and for looking at one layer -------------------------

ctypedef fused real:
    float
    double


cdef class _Strips:
    """An array of shape (n, columns) laid out in strips."""
    cdef Arena arena
    cdef char *data
    cdef Py_ssize_t n, columns

    def __cinit__(self, Py_ssize_t n, Py_ssize_t columns, Py_ssize_t itemsize):
        self.arena = Arena()
        self.n, self.columns = n, columns
        self.data = self.arena.reserve(strips(columns) * CBP_STRIP * n * itemsize + 64)


cdef _Strips _from_rows(const real[:, ::1] rows):
    cdef _Strips out = _Strips(rows.shape[0], rows.shape[1], sizeof(real))
    kernels(sizeof(real)).gather(out.data, out.n * CBP_STRIP, &rows[0, 0], out.columns, NULL,
                                 out.n, out.columns)
    return out


cdef void _to_rows(real[:, ::1] rows, _Strips strip):
    kernels(sizeof(real)).scatter(&rows[0, 0], strip.columns, strip.data, strip.n * CBP_STRIP,
                                  strip.n, strip.columns)


cdef Layer _layer(const real[::1] theta, Py_ssize_t n_in, Py_ssize_t n_out, bint bias,
                  int activation) except *:
    if theta.shape[0] < n_in * n_out + n_out * bias + CBP_STRIP:
        raise ValueError(f"theta must hold the layer and {CBP_STRIP} spare elements.")
    cdef char *b = NULL
    if bias:
        b = <char *>&theta[n_in * n_out]
    return Layer(n_in, n_out, activation, <char *>&theta[0], b, 0)


def forward(real[:, ::1] a_out, real[:, ::1] z, const real[:, ::1] a_in, const real[::1] theta,
            bint bias, int activation):
    """a_out (n, n_out) and z (n, n_out) from a_in (n, n_in); theta is W | b | 16 spare elements."""
    cdef Layer layer = _layer(theta, a_in.shape[1], a_out.shape[1], bias, activation)
    cdef const cbp_kernels *kernel = kernels(sizeof(real))
    cdef _Strips x = _from_rows(a_in)
    cdef _Strips y = _Strips(x.n, layer.n_out, sizeof(real))
    cdef _Strips sums = _Strips(x.n, layer.n_out, sizeof(real))
    cdef uint64_t before = cbp_fpenv_enter()
    with nogil:
        dense_forward(kernel, &layer, y.data, sums.data, x.data, x.n * CBP_STRIP, 0, x.n,
                      activation)
    cbp_fpenv_leave(before)
    _to_rows[real](a_out, y)
    _to_rows[real](z, sums)


def delta(real[:, ::1] d_in, const real[:, ::1] d_out, const real[:, ::1] source,
          const real[::1] theta, int activation_in):
    """d_in (n, n_in) from d_out (n, n_out) and the inputs A, or their Z where f' is taken from it;
    theta is W | 16 spare elements."""
    cdef Layer layer = _layer(theta, source.shape[1], d_out.shape[1], False, 0)
    cdef const cbp_kernels *kernel = kernels(sizeof(real))
    cdef _Strips d = _from_rows(d_out)
    cdef _Strips a = _from_rows(source)
    cdef _Strips out = _Strips(d.n, layer.n_in, sizeof(real))
    cdef _Strips w_t = _Strips(layer.n_out, layer.n_in, sizeof(real))
    cdef Py_ssize_t s
    cdef uint64_t before = cbp_fpenv_enter()
    with nogil:
        for s in range(strips(layer.n_in)):
            dense_transpose(kernel, &layer, w_t.data, s, 0, layer.n_out)
        dense_delta(kernel, &layer, out.data, d.data, w_t.data, a.data, activation_in,
                    d.n * CBP_STRIP, 0, d.n)
    cbp_fpenv_leave(before)
    _to_rows[real](d_in, out)


def gradient(real[::1] d_w, real[::1] d_b, const real[:, ::1] a_in, const real[:, ::1] d_out):
    """d_w (n_in * n_out + 16 spare) and d_b (n_out + 16 spare) summed over the rows."""
    cdef const cbp_kernels *kernel = kernels(sizeof(real))
    cdef _Strips a = _from_rows(a_in)
    cdef _Strips d = _from_rows(d_out)
    cdef Py_ssize_t s, stride = a.n * CBP_STRIP, n_in = a.columns, n_out = d.columns
    if d_w.shape[0] < n_in * n_out + CBP_STRIP or d_b.shape[0] < n_out + CBP_STRIP:
        raise ValueError(f"d_w and d_b need {CBP_STRIP} spare elements.")
    cdef uint64_t before = cbp_fpenv_enter()
    with nogil:
        for s in range(strips(n_in)):
            kernel.gradient(&d_w[s * CBP_STRIP * n_out], a.data + s * stride * sizeof(real),
                            d.data, stride, a.n,
                            min(<Py_ssize_t>CBP_STRIP, n_in - s * CBP_STRIP), n_out)
        kernel.bias_gradient(&d_b[0], d.data, stride, a.n, n_out)
    cbp_fpenv_leave(before)
