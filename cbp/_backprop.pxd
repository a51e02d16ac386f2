"""Whole-net sweeps over a range of rows, and the compiled view of a network that owns them."""
from cbp._dense cimport Layer
from cbp._kernels cimport cbp_dropout, cbp_kernels, cbp_objective, cbp_target
from cbp._runtime cimport Arena, Buffer


ctypedef struct Net:
    const cbp_kernels *kernel
    int n_layers
    Layer *layers
    double *inputs             # terms of kernel.affine for the inputs, or NULL
    double *outputs            # and for what predictions return
    void *functions            # a Python list with the user's activations, or NULL without any


# Activations and deltas of some rows; all strips have one stride.
ctypedef struct Work:
    Py_ssize_t stride
    char **a                   # a[0 .. L]: the inputs and the outputs of each layer
    char **x                   # what the next layer and the gradient read of them: a itself, but
                               # for layers with dropout
    char **z                   # z[0 .. L - 1], each NULL where nobody asked or needs it
    char **d                   # d[0 .. L - 1]: delta at each layer's outputs
    char **w_t                 # w_t[1 .. L - 1]: transposed weights
    char *scale                # factor of each row's delta
    char *loss                 # loss of each row
    char *scratch              # a tile of the gradient for each thread
    Py_ssize_t scratch_bytes
    char *pack                 # a packed piece of weights for each thread, or NULL: see `packed`
    Py_ssize_t pack_bytes
    void **pending             # where an exception of a user's function goes


# Up to 16 inputs times up to 256 outputs of one layer's weights, and where strip is 0 their biases.
ctypedef struct Tile:
    int layer
    Py_ssize_t strip, first, columns


# The minibatch that a sweep works on: n rows of X, found through `target.index` where it is set.
ctypedef struct Batch:
    Py_ssize_t n
    const char *x
    int source                 # the type of x: CBP_SAME or another
    Py_ssize_t x_itemsize
    const double *weight
    double total               # sum of the rows' weights
    bint mean                  # whether the loss is divided by it
    const cbp_objective *objective
    void *function             # a user's loss (a Python object), or NULL
    cbp_target target
    const cbp_dropout *dropout # of each layer's outputs (keep 0: none), or NULL


cdef class Objective:
    cdef cbp_objective loss
    cdef double[::1] table
    cdef readonly object custom


cdef class Core:
    cdef Buffer theta
    cdef char *data
    cdef Net net
    cdef Tile *tiles
    cdef Py_ssize_t n_tiles
    cdef readonly Py_ssize_t n_parameters, itemsize
    cdef int readers, writers
    cdef list idle
    cdef list functions
    cdef int enter(self, bint writing) except -1
    cdef void leave(self, bint writing) noexcept
    cdef Py_ssize_t check_loss(self, Objective objective, object target, object labels) except -1
    cdef Py_ssize_t target_columns(self, const cbp_objective *objective) noexcept
    cdef void net_outputs(self, const Work *work, const Batch *batch, char *out) noexcept
    cdef int team(self, Objective objective, int n_threads) noexcept


cdef int source_of(Buffer held, Py_ssize_t itemsize) except -1
cdef Py_ssize_t row_block(const Net *net, Py_ssize_t n, int threads) noexcept nogil
cdef Py_ssize_t work_bytes(const Net *net, Py_ssize_t rows, bint training, bint sums,
                           int threads) noexcept nogil
cdef void lay_out(const Net *net, Work *work, char *memory, Py_ssize_t rows, bint training,
                  bint sums, int threads) noexcept nogil
cdef Py_ssize_t dropped_bytes(const Net *net, const Work *work,
                              const cbp_dropout *dropout) noexcept nogil
cdef void lay_out_dropped(const Net *net, Work *work, const cbp_dropout *dropout,
                          char *memory) noexcept nogil
cdef int activation_before_head(const Net *net, const Batch *batch, int l) noexcept nogil
cdef void fill_scale(char *scale, const Batch *batch, Py_ssize_t row, Py_ssize_t n,
                     Py_ssize_t itemsize) noexcept nogil
cdef int sweep_phases(const Net *net, const Work *work, bint backward) noexcept nogil
cdef Py_ssize_t sweep_tasks(const Net *net, const Work *work, int phase, Py_ssize_t n,
                            Py_ssize_t block) noexcept nogil
cdef void sweep_task(const Net *net, const Work *work, const Batch *batch, Py_ssize_t block,
                     int phase, Py_ssize_t task, int me, bint backward) noexcept nogil
cdef void tile_gradient(const Net *net, const Work *work, const Tile *tile, Py_ssize_t n,
                        char *scratch) noexcept nogil
cdef void tile_transpose(const Net *net, const Work *work, const Tile *tile) noexcept nogil
cdef void copy_tile(const Net *net, const Tile *tile, const char *scratch, char *grad, double l2,
                    const char *theta) noexcept nogil
cdef bint failed(const Net *net, const Work *work, const Batch *batch) noexcept nogil
cdef double batch_loss(const Net *net, const Work *work, const Batch *batch) noexcept nogil
cdef bint look(double *polled, void **pending) noexcept nogil
