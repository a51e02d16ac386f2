# cython: freethreading_compatible=False
"""Whole-net sweeps: forward through the layers, the loss head, delta back to the first layer.

While the weights stay in L2, a block of rows goes through the whole net in one task: rows are
independent, so nobody waits between layers.  Where the weights are too large for that and
the rows are many ("packed"), the team goes layer by layer and a task is a panel of outputs over
all rows, so that each weight is fetched once.  The gradient then sums over all rows, tile by tile
of the weights: one owner for each element of it.

What must not live here: minibatches, optimisers, random numbers (they are `_training`'s).
Invariant: which thread takes which block or tile never shows in the bits (docs/numerics.md).
"""
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cython.parallel cimport parallel, threadid
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from cbp._dense cimport (
    PACK_ROWS,
    PANEL,
    dense_delta,
    dense_forward,
    dense_sums,
    dense_transpose,
    panel_delta,
    panel_forward,
    strips,
)
from cbp._kernels cimport (
    CBP_ABSOLUTE_ERROR,
    CBP_BINARY_CROSS_ENTROPY,
    CBP_BINARY_FOCAL,
    CBP_CATEGORICAL_CROSS_ENTROPY,
    CBP_CATEGORICAL_FOCAL,
    CBP_CUSTOM,
    CBP_CUSTOM_LOSS,
    CBP_ELU,
    CBP_FLOAT16,
    CBP_FLOAT32,
    CBP_FLOAT64,
    CBP_GAUSSIAN,
    CBP_GELU,
    CBP_HARD_SIGMOID,
    CBP_HUBER,
    CBP_IDENTITY,
    CBP_INT16,
    CBP_INT32,
    CBP_INT64,
    CBP_INT8,
    CBP_LEAKY_RELU,
    CBP_LOG_SOFTMAX,
    CBP_MISH,
    CBP_POISSON,
    CBP_QUANTILE,
    CBP_RELU,
    CBP_SAME,
    CBP_SELU,
    CBP_SIGMOID,
    CBP_SILU,
    CBP_SIN,
    CBP_SOFTMAX,
    CBP_SOFTPLUS,
    CBP_SOFTSIGN,
    CBP_SQUARED_ERROR,
    CBP_STRIP,
    CBP_TANH,
    CBP_UINT16,
    CBP_UINT32,
    CBP_UINT64,
    CBP_UINT8,
    cbp_assemble,
    cbp_clock,
    cbp_close,
    cbp_crew,
    cbp_finish,
    cbp_fpenv_enter,
    cbp_fpenv_leave,
    cbp_from_logits,
    cbp_keeps_z,
    cbp_open,
    cbp_phase,
    cbp_raise,
    cbp_raised,
    cbp_share,
    cbp_take,
    cbp_team_size,
    cbp_wait,
)
from cbp._functions cimport user_activation, user_loss, user_slope
from cbp._runtime cimport POLL_SECONDS, kernels, poll_signals, reraise, team_of

ACTIVATIONS = {
    "identity": CBP_IDENTITY,
    "sigmoid": CBP_SIGMOID,
    "tanh": CBP_TANH,
    "relu": CBP_RELU,
    "leaky_relu": CBP_LEAKY_RELU,
    "elu": CBP_ELU,
    "selu": CBP_SELU,
    "gelu": CBP_GELU,
    "silu": CBP_SILU,
    "mish": CBP_MISH,
    "softplus": CBP_SOFTPLUS,
    "softsign": CBP_SOFTSIGN,
    "sin": CBP_SIN,
    "hard_sigmoid": CBP_HARD_SIGMOID,
    "softmax": CBP_SOFTMAX,
    "log_softmax": CBP_LOG_SOFTMAX,
}
CUSTOM_ACTIVATION = CBP_CUSTOM
LOSSES = {
    "squared_error": CBP_SQUARED_ERROR,
    "binary_cross_entropy": CBP_BINARY_CROSS_ENTROPY,
    "categorical_cross_entropy": CBP_CATEGORICAL_CROSS_ENTROPY,
    "absolute_error": CBP_ABSOLUTE_ERROR,
    "huber": CBP_HUBER,
    "quantile": CBP_QUANTILE,
    "poisson": CBP_POISSON,
    "gaussian_nll": CBP_GAUSSIAN,
    "binary_focal": CBP_BINARY_FOCAL,
    "categorical_focal": CBP_CATEGORICAL_FOCAL,
    "custom": CBP_CUSTOM_LOSS,
}

cdef enum:
    TILE_COLUMNS = 256      # a tile of the gradient is at most 16 x 256: 16 KiB in float32
    ROW_GROUP = 12          # one thread's blocks of rows: a multiple of what tile heights divide
    BLOCK_BYTES = 192 * 1024  # activations of a block of rows: a part of L2, beside the weights
    PACKED_BYTES = 1536 * 1024  # weights beyond this are packed, for PACKED_ROWS rows or more
    PACKED_ROWS = 48
    TASK_TERMS = 1 << 28      # multiply-adds of one task over a packed panel: some milliseconds,
                              # so that signals are heard; fewer rows would not pay for the packing


# ---- types of inputs ---------------------------------------------------------------------------

cdef int source_of(Buffer held, Py_ssize_t itemsize) except -1:
    """The code of the type of a held array's elements; 0 where it is the network's own."""
    cdef bytes letter = held.view.format
    cdef dict codes
    if letter == (b"f" if itemsize == 4 else b"d"):
        return CBP_SAME
    if letter in b"fde":
        codes = {2: CBP_FLOAT16, 4: CBP_FLOAT32, 8: CBP_FLOAT64}
    elif letter in b"bhilq":
        codes = {1: CBP_INT8, 2: CBP_INT16, 4: CBP_INT32, 8: CBP_INT64}
    elif letter in b"?BHILQ":
        codes = {1: CBP_UINT8, 2: CBP_UINT16, 4: CBP_UINT32, 8: CBP_UINT64}
    else:
        raise ValueError(f"The compiled core was given elements of the format {letter!r}.")
    return codes[held.view.itemsize]


# ---- memory of a sweep ------------------------------------------------------------------------

cdef Py_ssize_t row_block(const Net *net, Py_ssize_t n, int threads) noexcept nogil:
    """Rows that go through the net together: as many as fit BLOCK_BYTES, and few enough that
    every thread finds about four blocks."""
    cdef Py_ssize_t width = net.layers[0].n_in, most, share, blocks
    cdef int l
    for l in range(net.n_layers):
        width += net.layers[l].n_out
    most = max(BLOCK_BYTES // (width * net.kernel.itemsize) // ROW_GROUP, 1) * ROW_GROUP
    if packed(net, n):
        most = max(most, 360)     # each block packs the weights anew
    if threads > 1:
        share = (n + 4 * threads - 1) // (4 * threads)
        most = min(most, max(share, 2 * ROW_GROUP))
    if n <= most:
        return max(n, 1)
    blocks = (n + most - 1) // most
    if threads > 1:               # as many for each: of 32 rows one thread had 24, the other 8
        blocks = (blocks + threads - 1) // threads * threads
        return (n + blocks - 1) // blocks
    return ((n + blocks - 1) // blocks + ROW_GROUP - 1) // ROW_GROUP * ROW_GROUP


cdef bint packed(const Net *net, Py_ssize_t rows) noexcept nogil:
    """Whether the sweep goes layer by layer over packed panels of weights."""
    cdef Py_ssize_t weights = 0
    cdef int l
    if net.functions != NULL:
        return False
    for l in range(net.n_layers):
        weights += net.layers[l].n_in * net.layers[l].n_out
    return rows >= PACKED_ROWS and weights * net.kernel.itemsize > PACKED_BYTES


cdef inline bint keeps_z(const Net *net, int l, bint training, bint sums) noexcept nogil:
    """Whether the z of layer l have a place in the workspace."""
    return sums or (training and cbp_keeps_z(net.layers[l].activation))


cdef inline Py_ssize_t round_up(Py_ssize_t size) noexcept nogil:
    return (size + 63) // 64 * 64


cdef Py_ssize_t work_bytes(const Net *net, Py_ssize_t rows, bint training, bint sums,
                           int threads) noexcept nogil:
    """Size of what `lay_out` cuts up."""
    cdef Py_ssize_t item = net.kernel.itemsize, stride = CBP_STRIP * (rows | 1) * item
    cdef Py_ssize_t size = round_up((4 * net.n_layers + 1) * sizeof(char *))
    cdef bint pack = packed(net, rows)
    cdef int l
    size += strips(net.layers[0].n_in) * stride
    for l in range(net.n_layers):
        size += strips(net.layers[l].n_out) * stride * (
            1 + training + keeps_z(net, l, training, sums))
        if training and l > 0 and not pack:
            size += round_up(strips(net.layers[l].n_in) * CBP_STRIP * net.layers[l].n_out * item)
    if pack:
        size += threads * round_up(PANEL * PACK_ROWS * item)
    if training:
        size += 2 * round_up((rows + CBP_STRIP) * item)
        size += threads * round_up((CBP_STRIP * TILE_COLUMNS + TILE_COLUMNS + 2 * CBP_STRIP) * item)
    return size


cdef void lay_out(const Net *net, Work *work, char *memory, Py_ssize_t rows, bint training,
                  bint sums, int threads) noexcept nogil:
    """Cuts `memory` (64-byte aligned) into the arrays of a sweep of up to `rows` rows.

    The stride between strips is an odd number of rows, so that the strips a kernel walks side by
    side do not meet in one set of the L1 cache."""
    cdef Py_ssize_t item = net.kernel.itemsize, stride
    cdef int l, L = net.n_layers
    cdef bint pack = packed(net, rows)
    cdef char **pointers = <char **>memory
    work.stride = CBP_STRIP * (rows | 1)
    stride = work.stride * item
    work.a, work.z = pointers, pointers + L + 1
    work.d, work.w_t = pointers + 2 * L + 1, pointers + 3 * L + 1
    memory += round_up((4 * L + 1) * sizeof(char *))
    work.x = work.a
    work.a[0] = memory
    memory += strips(net.layers[0].n_in) * stride
    for l in range(L):
        work.a[l + 1] = memory
        memory += strips(net.layers[l].n_out) * stride
        work.z[l] = work.d[l] = work.w_t[l] = NULL
        if keeps_z(net, l, training, sums):
            work.z[l] = memory
            memory += strips(net.layers[l].n_out) * stride
        if training:
            work.d[l] = memory
            memory += strips(net.layers[l].n_out) * stride
            if l > 0 and not pack:
                work.w_t[l] = memory
                memory += round_up(strips(net.layers[l].n_in) * CBP_STRIP * net.layers[l].n_out
                                   * item)
    work.pack, work.pending = NULL, NULL
    if pack:
        work.pack, work.pack_bytes = memory, round_up(PANEL * PACK_ROWS * item)
        memory += threads * work.pack_bytes
    work.scale = work.loss = work.scratch = NULL
    if training:
        work.scale = memory
        work.loss = memory + round_up((rows + CBP_STRIP) * item)
        work.scratch = work.loss + round_up((rows + CBP_STRIP) * item)
        work.scratch_bytes = round_up((CBP_STRIP * TILE_COLUMNS + TILE_COLUMNS + 2 * CBP_STRIP)
                                      * item)


cdef Py_ssize_t dropped_bytes(const Net *net, const Work *work,
                              const cbp_dropout *dropout) noexcept nogil:
    """Size of what `lay_out_dropped` cuts up."""
    cdef Py_ssize_t size = round_up((net.n_layers + 1) * sizeof(char *))
    cdef int l
    for l in range(net.n_layers):
        if dropout[l].keep:
            size += strips(net.layers[l].n_out) * work.stride * net.kernel.itemsize
    return size


cdef void lay_out_dropped(const Net *net, Work *work, const cbp_dropout *dropout,
                          char *memory) noexcept nogil:
    """Gives the outputs of layers with dropout a second place, behind `lay_out`."""
    cdef int l
    work.x = <char **>memory
    memory += round_up((net.n_layers + 1) * sizeof(char *))
    work.x[0] = work.a[0]
    for l in range(net.n_layers):
        work.x[l + 1] = work.a[l + 1]
        if dropout[l].keep:
            work.x[l + 1] = memory
            memory += strips(net.layers[l].n_out) * work.stride * net.kernel.itemsize


# ---- sweeps -----------------------------------------------------------------------------------

cdef void fill_scale(char *scale, const Batch *batch, Py_ssize_t row, Py_ssize_t n,
                     Py_ssize_t itemsize) noexcept nogil:
    """scale[r] = T(w_r / sum of w), or T(w_r) where the loss is a sum (numerics.md, rule 5)."""
    cdef Py_ssize_t r
    cdef double divisor = batch.total if batch.mean else 1.0, factor = 0.0
    if divisor > 0.0:
        factor = 1.0 / divisor         # of a row of weight 1
    for r in range(row, row + n):
        if batch.weight != NULL and divisor > 0.0:
            factor = batch.weight[batch.target.index[r] if batch.target.index != NULL else r]
            factor = factor / divisor
        if itemsize == 4:
            (<float *>scale)[r] = <float>factor
        else:
            (<double *>scale)[r] = factor


cdef cbp_target target_from(const Net *net, const Batch *batch, Py_ssize_t row) noexcept nogil:
    """Where the targets of the rows from `row` on are found."""
    cdef cbp_target target = batch.target
    if target.index != NULL:
        target.index += row
    elif target.rows != NULL:
        target.rows = <const char *>target.rows + row * target.row_stride * net.kernel.itemsize
    else:
        target.labels += row
    return target


cdef void sweep_gather(const Net *net, const Work *work, const Batch *batch, Py_ssize_t row,
                       Py_ssize_t n) noexcept nogil:
    """Rows of X into strips, in the order of the minibatch."""
    cdef Py_ssize_t item = net.kernel.itemsize, n_in = net.layers[0].n_in
    cdef const char *x = batch.x
    cdef const Py_ssize_t *index = NULL
    if batch.target.index != NULL:
        index = batch.target.index + row
    else:
        x += row * n_in * batch.x_itemsize
    net.kernel.gather_from(batch.source, work.a[0] + row * CBP_STRIP * item, work.stride, x, n_in,
                           index, n, n_in)
    if net.inputs != NULL:
        net.kernel.affine(work.a[0] + row * CBP_STRIP * item, work.stride, net.inputs, n, n_in)


cdef void sweep_head(const Net *net, const Work *work, const Batch *batch, Py_ssize_t row,
                     Py_ssize_t n, bint backward) noexcept nogil:
    """Loss of each row, and delta at the output where `backward`."""
    cdef Py_ssize_t item = net.kernel.itemsize, at = row * CBP_STRIP * item
    cdef int L = net.n_layers
    cdef const Layer *last = &net.layers[L - 1]
    cdef cbp_target target = target_from(net, batch, row)
    cdef char *d = work.d[L - 1] + at if backward else NULL
    cdef const char *z = work.z[L - 1] + at if work.z[L - 1] != NULL else NULL
    fill_scale(work.scale, batch, row, n, item)
    if batch.function == NULL:
        net.kernel.head(batch.objective, last.activation, d, work.loss + row * item,
                        work.a[L] + at, z, work.stride, &target, work.scale + row * item, n,
                        last.n_out)
    else:
        if user_loss(batch.function, net.kernel, d, work.loss + row * item, work.a[L] + at,
                     work.stride, &target, n, last.n_out, work.pending):
            return
        if backward:
            net.kernel.delta(d, work.stride, z if z != NULL else work.a[L] + at, work.stride,
                             work.scale + row * item, n, last.n_out, last.activation)
    if backward and last.activation == CBP_CUSTOM:
        user_slope(net.functions, L - 1, net.kernel, d, z, work.stride, n, last.n_out,
                   work.pending)


cdef int activation_before_head(const Net *net, const Batch *batch, int l) noexcept nogil:
    """The activation of layer l in a sweep with a loss: the cross-entropies start from z."""
    if l == net.n_layers - 1 and cbp_from_logits(batch.objective.loss):
        return CBP_IDENTITY
    return net.layers[l].activation


cdef inline const char *slope_source(const Net *net, const Work *work, int l) noexcept nogil:
    """What f' of layer l is taken from: its z or its outputs."""
    return work.z[l] if cbp_keeps_z(net.layers[l].activation) else work.a[l + 1]


cdef inline void drop(const Net *net, const Work *work, const Batch *batch, int l, char *to,
                      const char *source, Py_ssize_t row, Py_ssize_t n, Py_ssize_t first,
                      Py_ssize_t columns) noexcept nogil:
    """Drops outputs of layer l, or their deltas, where it has dropout: rows row .. row + n - 1,
    units first .. first + columns - 1."""
    cdef Py_ssize_t at
    if batch.dropout != NULL and batch.dropout[l].keep:
        at = (row * CBP_STRIP + first // CBP_STRIP * work.stride) * net.kernel.itemsize
        net.kernel.dropout(to + at, work.stride, source + at, work.stride, row, n, first, columns,
                           &batch.dropout[l])


cdef void sweep_rows(const Net *net, const Work *work, const Batch *batch, Py_ssize_t row,
                     Py_ssize_t n, bint backward) noexcept nogil:
    """A block of rows through the whole net, forward and, where `backward`, back."""
    cdef Py_ssize_t at = row * CBP_STRIP * net.kernel.itemsize
    cdef int l, activation, L = net.n_layers
    sweep_gather(net, work, batch, row, n)
    for l in range(L):
        activation = activation_before_head(net, batch, l)
        dense_forward(net.kernel, &net.layers[l], work.a[l + 1], work.z[l], work.x[l],
                      work.stride, row, n, activation)
        if activation == CBP_CUSTOM and user_activation(
                net.functions, l, net.kernel, work.a[l + 1] + at, work.stride, n,
                net.layers[l].n_out, work.pending):
            return
        drop(net, work, batch, l, work.x[l + 1], work.a[l + 1], row, n, 0, net.layers[l].n_out)
    sweep_head(net, work, batch, row, n, backward)
    if not backward or failed(net, work, batch):
        return
    for l in range(L - 1, 0, -1):
        activation = net.layers[l - 1].activation
        dense_delta(net.kernel, &net.layers[l], work.d[l - 1], work.d[l], work.w_t[l],
                    slope_source(net, work, l - 1), activation, work.stride, row, n)
        if activation == CBP_CUSTOM and user_slope(
                net.functions, l - 1, net.kernel, work.d[l - 1] + at, work.z[l - 1] + at,
                work.stride, n, net.layers[l].n_in, work.pending):
            return
        drop(net, work, batch, l - 1, work.d[l - 1], work.d[l - 1], row, n, 0, net.layers[l].n_in)


cdef bint failed(const Net *net, const Work *work, const Batch *batch) noexcept nogil:
    """Whether a user's function raised.  Such nets have one thread: nobody else writes there."""
    return ((net.functions != NULL or (batch != NULL and batch.function != NULL))
            and work.pending[0] != NULL)


cdef int sweep_phases(const Net *net, const Work *work, bint backward) noexcept nogil:
    """Phases of a sweep, one after the other: a single one, or where the weights are packed gather,
    each layer forward, head, each layer but the first back."""
    if work.pack == NULL:
        return 1
    return net.n_layers + 2 + (net.n_layers - 1 if backward else 0)


cdef inline Py_ssize_t group_rows(Py_ssize_t terms) noexcept nogil:
    """Rows of one task over a packed panel, each output of which has so many terms."""
    return max(TASK_TERMS // (PANEL * terms) // ROW_GROUP, 8) * ROW_GROUP


cdef inline Py_ssize_t panel_tasks(Py_ssize_t n, Py_ssize_t terms, Py_ssize_t columns) noexcept nogil:
    """Tasks of a phase over packed panels: panels times groups of rows."""
    cdef Py_ssize_t rows = group_rows(terms)
    return (columns + PANEL - 1) // PANEL * ((n + rows - 1) // rows)


cdef Py_ssize_t sweep_tasks(const Net *net, const Work *work, int phase, Py_ssize_t n,
                            Py_ssize_t block) noexcept nogil:
    """How many tasks a phase of the sweep has."""
    cdef int L = net.n_layers
    cdef const Layer *layer
    if work.pack == NULL or phase == 0 or phase == L + 1:
        return (n + block - 1) // block
    if phase <= L:
        layer = &net.layers[phase - 1]
        return panel_tasks(n, layer.n_in, layer.n_out)
    layer = &net.layers[2 * L + 1 - phase]
    return panel_tasks(n, layer.n_out, layer.n_in)


cdef void sweep_task(const Net *net, const Work *work, const Batch *batch, Py_ssize_t block,
                     int phase, Py_ssize_t task, int me, bint backward) noexcept nogil:
    """One task of a phase, by thread `me`."""
    cdef Py_ssize_t row = task * block, n = min(block, batch.n - task * block), panel, rows, groups
    cdef int l, L = net.n_layers
    cdef char *pack
    if work.pack == NULL:
        sweep_rows(net, work, batch, row, n, backward)
        return
    if phase == 0:
        sweep_gather(net, work, batch, row, n)
        return
    if phase == L + 1:
        sweep_head(net, work, batch, row, n, backward)
        return
    pack = work.pack + me * work.pack_bytes
    l = phase - 1 if phase <= L else 2 * L + 1 - phase
    rows = group_rows(net.layers[l].n_in if phase <= L else net.layers[l].n_out)
    groups = (batch.n + rows - 1) // rows
    panel, row = task // groups, task % groups * rows
    n = min(rows, batch.n - row)
    if phase <= L:
        panel_forward(net.kernel, &net.layers[l], work.a[l + 1], work.z[l], work.x[l], work.stride,
                      row, n, activation_before_head(net, batch, l), panel, pack)
        drop(net, work, batch, l, work.x[l + 1], work.a[l + 1], row, n, panel * PANEL,
             min(<Py_ssize_t>PANEL, net.layers[l].n_out - panel * PANEL))
    else:
        panel_delta(net.kernel, &net.layers[l], work.d[l - 1], work.d[l],
                    slope_source(net, work, l - 1), net.layers[l - 1].activation, work.stride,
                    row, n, panel, pack)
        drop(net, work, batch, l - 1, work.d[l - 1], work.d[l - 1], row, n, panel * PANEL,
             min(<Py_ssize_t>PANEL, net.layers[l].n_in - panel * PANEL))


cdef void tile_gradient(const Net *net, const Work *work, const Tile *tile, Py_ssize_t n,
                        char *scratch) noexcept nogil:
    """One tile of dW in `scratch`, row by row of `tile.columns` elements; where the tile's strip
    is 0, db of its columns stands behind 16 such rows."""
    cdef const cbp_kernels *kernel = net.kernel
    cdef const Layer *layer = &net.layers[tile.layer]
    cdef Py_ssize_t item = kernel.itemsize, stride = work.stride
    cdef const char *d = work.d[tile.layer] + tile.first // CBP_STRIP * stride * item
    kernel.gradient(scratch, work.x[tile.layer] + tile.strip * stride * item, d, stride, n,
                    min(<Py_ssize_t>CBP_STRIP, layer.n_in - tile.strip * CBP_STRIP), tile.columns)
    if tile.strip == 0 and layer.b != NULL:
        kernel.bias_gradient(scratch + (CBP_STRIP * tile.columns + CBP_STRIP) * item, d, stride, n,
                             tile.columns)


cdef void tile_transpose(const Net *net, const Work *work, const Tile *tile) noexcept nogil:
    """Brings the transposed weights of a tile up to date, where there are any."""
    if work.w_t[tile.layer] != NULL:
        dense_transpose(net.kernel, &net.layers[tile.layer], work.w_t[tile.layer], tile.strip,
                        tile.first, tile.columns)


cdef void copy_tile(const Net *net, const Tile *tile, const char *scratch, char *grad, double l2,
                    const char *theta) noexcept nogil:
    """Puts a tile from scratch where theta has its weights, the penalty's share added."""
    cdef const Layer *layer = &net.layers[tile.layer]
    cdef Py_ssize_t item = net.kernel.itemsize, columns = tile.columns, r, at
    cdef Py_ssize_t first = tile.strip * CBP_STRIP
    for r in range(min(<Py_ssize_t>CBP_STRIP, layer.n_in - first)):
        at = (layer.offset + (first + r) * layer.n_out + tile.first) * item
        memcpy(grad + at, scratch + r * columns * item, columns * item)
        if l2 != 0.0:
            net.kernel.add_l2(grad + at, theta + at, l2, columns)
    if tile.strip == 0 and layer.b != NULL:
        at = (layer.offset + layer.n_in * layer.n_out + tile.first) * item
        memcpy(grad + at, scratch + (CBP_STRIP * columns + CBP_STRIP) * item, columns * item)


cdef double batch_loss(const Net *net, const Work *work, const Batch *batch) noexcept nogil:
    """Sum over the rows of weight times loss, in double and in a fixed order."""
    return net.kernel.row_sum(work.loss, batch.weight, batch.target.index, batch.n)


# ---- what a team does -------------------------------------------------------------------------

# One call that runs forward over the rows of X: predict and forward.
ctypedef struct ForwardRun:
    const Net *net
    Work *works                # one for each thread
    const char *x
    int source                 # the type of x
    Py_ssize_t x_itemsize
    Py_ssize_t n, block
    char **z                   # (n, n_out) of each layer, or NULL
    char **a
    bint check                 # whether the core looks for what is not finite in x
    cbp_crew crew
    int team, abort, infinite  # infinite: whether it found something
    void *pending


cdef inline bint read_in_place(const Net *net, int source) noexcept nogil:
    """Whether the first product reads the caller's rows, and nothing is gathered.  Rows a multiple
    of a page apart meet in one set of the L1 cache: twelve of them do not fit."""
    return (source == CBP_SAME and net.inputs == NULL
            and net.layers[0].n_in * net.kernel.itemsize % 4096 != 0)


cdef void forward_block(ForwardRun *run, const Work *work, Py_ssize_t row, Py_ssize_t n,
                        double *polled) noexcept nogil:
    """Rows row .. row + n - 1 of X through the net, in a workspace of their own; signals are
    looked at where `polled` is not NULL."""
    cdef const Net *net = run.net
    cdef const cbp_kernels *kernel = net.kernel
    cdef Py_ssize_t item = kernel.itemsize, n_in = net.layers[0].n_in, n_out, panel
    cdef Py_ssize_t a_row = CBP_STRIP, a_stride = work.stride
    cdef int l, activation
    cdef bint softmax
    cdef const char *x = run.x + row * n_in * run.x_itemsize
    cdef const char *a = work.a[0]
    if work.pack == NULL and read_in_place(net, run.source):
        a, a_row, a_stride = x, n_in, CBP_STRIP
    else:
        if run.check and not kernel.finite(x, n * n_in):
            cbp_raise(&run.infinite)
            cbp_raise(&run.abort)
            return
        kernel.gather_from(run.source, work.a[0], work.stride, x, n_in, NULL, n, n_in)
        if net.inputs != NULL:
            kernel.affine(work.a[0], work.stride, net.inputs, n, n_in)
    for l in range(net.n_layers):
        n_out, activation = net.layers[l].n_out, net.layers[l].activation
        if work.pack == NULL:
            dense_sums(kernel, &net.layers[l], work.a[l + 1], work.stride, a, a_row, a_stride, n)
            # What is not finite in a row shows in each of its sums; large numbers may do so too.
            if (a == x and run.check and not kernel.finite(work.a[1], n * CBP_STRIP)
                    and not kernel.finite(x, n * n_in)):
                cbp_raise(&run.infinite)
                cbp_raise(&run.abort)
                return
            a, a_row, a_stride = work.a[l + 1], CBP_STRIP, work.stride
            kernel.activate(work.a[l + 1], work.stride, work.z[l], work.stride, net.layers[l].b, n,
                            n_out, activation)
            if activation == CBP_CUSTOM and user_activation(
                    net.functions, l, kernel, work.a[l + 1], work.stride, n, n_out, &run.pending):
                cbp_raise(&run.abort)
                return
        else:
            # These need the whole row.
            softmax = activation == CBP_SOFTMAX or activation == CBP_LOG_SOFTMAX
            for panel in range((n_out + PANEL - 1) // PANEL):
                panel_forward(kernel, &net.layers[l], work.a[l + 1], work.z[l], work.a[l],
                              work.stride, 0, n, CBP_IDENTITY if softmax else activation, panel,
                              work.pack)
                if polled != NULL and look(polled, &run.pending):
                    cbp_raise(&run.abort)
                if cbp_raised(&run.abort):
                    return
            if softmax:
                kernel.activate(work.a[l + 1], work.stride, NULL, 0, NULL, n, n_out, activation)
        if run.z == NULL and net.outputs != NULL and l == net.n_layers - 1:
            kernel.affine(work.a[l + 1], work.stride, net.outputs, n, n_out)
        if run.z != NULL:
            kernel.scatter(run.z[l] + row * n_out * item, n_out, work.z[l], work.stride, n, n_out)
        if run.a[l] != NULL:
            kernel.scatter(run.a[l] + row * n_out * item, n_out, work.a[l + 1], work.stride, n,
                           n_out)


cdef void forward_team(ForwardRun *run, int me) noexcept nogil:
    cdef Py_ssize_t task
    cdef uint64_t before = cbp_fpenv_enter()
    cdef bint watch = me == 0 and (run.n > run.block or run.works[0].pack != NULL)
    cdef double polled = cbp_clock() if watch else 0.0
    while not cbp_raised(&run.abort):
        task = cbp_take(&run.crew, 1, me)
        if task < 0:
            break
        forward_block(run, &run.works[me], task * run.block,
                      min(run.block, run.n - task * run.block), &polled if watch else NULL)
        if watch and look(&polled, &run.pending):
            cbp_raise(&run.abort)
    cbp_fpenv_leave(before)


cdef bint look(double *polled, void **pending) noexcept nogil:
    """Runs Python's signal handlers if that was not done for 50 ms; whether one raised."""
    cdef bint raised = False
    if cbp_clock() - polled[0] >= POLL_SECONDS:
        raised = poll_signals(pending)
        polled[0] = cbp_clock()
    return raised


# One call that takes the gradient over all rows.
ctypedef struct GradientRun:
    const Net *net
    const Work *work
    const Batch *batch
    const Tile *tiles
    Py_ssize_t n_tiles, block
    bint backward              # whether deltas are wanted
    char *grad                 # like theta, or NULL
    double l2
    cbp_crew crew
    int phase, team, abort     # phase: -1 transposed weights, the sweep's, gradient
    void *pending


cdef void next_gradient_phase(GradientRun *run) noexcept nogil:
    """Opens the next phase that has tasks, or closes."""
    cdef int sweeps = sweep_phases(run.net, run.work, run.backward)
    cdef Py_ssize_t tasks = 0
    while tasks == 0 and run.phase <= sweeps:
        run.phase += 1
        if run.phase < 0:
            tasks = run.n_tiles if run.backward else 0
        elif run.phase < sweeps:
            tasks = sweep_tasks(run.net, run.work, run.phase, run.batch.n, run.block)
        elif run.phase == sweeps:
            tasks = run.n_tiles if run.grad != NULL else 0
    if tasks:
        cbp_open(&run.crew, tasks)
    else:
        cbp_close(&run.crew)


cdef void gradient_team(GradientRun *run, int me) noexcept nogil:
    cdef const Net *net = run.net
    cdef const Work *work = run.work
    cdef const Tile *tile
    cdef char *scratch = work.scratch + me * work.scratch_bytes
    cdef uint64_t before = cbp_fpenv_enter()
    cdef double polled = cbp_clock()
    cdef int sweeps = sweep_phases(net, work, run.backward), patience = 0
    cdef Py_ssize_t task
    cdef uint32_t phase
    while not cbp_raised(&run.abort):
        phase = cbp_phase(&run.crew)
        if phase == 0:
            break
        task = cbp_take(&run.crew, phase, me)
        if task < 0:
            cbp_wait(&run.crew, phase, &patience)
        else:
            patience = 0
            if run.phase < 0:
                tile_transpose(net, work, &run.tiles[task])
            elif run.phase < sweeps:
                sweep_task(net, work, run.batch, run.block, run.phase, task, me, run.backward)
            else:
                tile = &run.tiles[task]
                tile_gradient(net, work, tile, run.batch.n, scratch)
                copy_tile(net, tile, scratch, run.grad, run.l2, net.layers[0].w)
            if failed(net, work, run.batch):
                break
            if cbp_finish(&run.crew):
                next_gradient_phase(run)
        if me == 0 and look(&polled, &run.pending):
            cbp_raise(&run.abort)
    cbp_fpenv_leave(before)


# ---- the compiled view of a loss and of a network ---------------------------------------------

cdef class Objective:
    """A loss as the sweeps take it.

    Parameters
    ----------
    loss : int
        A code of LOSSES.
    parameter : float
        Huber's delta, focal's gamma, the label smoothing, or the least variance.
    positive, negative : float
        Focal: factors of t and of 1 - t; positive is that of every class.
    table : float64 array or None
        Quantile levels; focal: a factor for each class.
    mask_nan : bool
        Whether a NaN target adds neither loss nor gradient.
    custom : callable or None
        For the code of "custom": (outputs, targets) -> (loss of each row, dloss/doutputs).
    """

    def __cinit__(self, int loss, *, double parameter=0.0, double positive=1.0,
                  double negative=1.0, table=None, bint mask_nan=False, custom=None):
        if not 0 <= loss <= CBP_CUSTOM_LOSS or (loss == CBP_CUSTOM_LOSS) != (custom is not None):
            raise ValueError(f"Loss {loss} is unknown, or lacks its function.")
        self.loss = cbp_objective(loss, mask_nan, parameter, positive, negative, NULL, 0)
        self.custom = custom
        if table is not None:
            self.table = table.copy()
            self.loss.table, self.loss.entries = &self.table[0], self.table.shape[0]
        if loss == CBP_QUANTILE and self.loss.entries == 0:
            raise ValueError("Quantile needs levels.")


cdef class Core:
    """Layer table and parameters of one network, and what can be computed from them.

    Parameters
    ----------
    theta : ndarray of float32 or float64, C-contiguous, writable
        W1 | b1 | W2 | b2 ..., W (n_in, n_out) row-major; kept by reference.  The 16 elements
        behind its end must be readable.
    sizes : list of int
        Inputs, then outputs of each layer.
    activations : list of int
        A code of ACTIVATIONS for each layer.
    bias : list of bool
        Whether each layer has biases.
    functions : list or None
        For each layer with the code CUSTOM_ACTIVATION an object with methods value(z) and
        slope(z), arrays (n, n_out) in and out.
    """

    def __cinit__(self, theta, sizes, activations, bias, functions=None):
        cdef Py_ssize_t offset = 0, first, strip
        cdef int l, L = len(sizes) - 1
        cdef Layer *layer
        cdef Tile *tile
        self.itemsize = theta.itemsize
        self.theta = Buffer()
        self.data = self.theta.bind(theta, -1, 0, self.itemsize, True)
        self.n_parameters = self.theta.view.shape[0]
        self.net.kernel = kernels(self.itemsize)
        self.net.n_layers = L
        self.net.layers = <Layer *>calloc(L, sizeof(Layer))
        if self.net.layers == NULL:
            raise MemoryError()
        self.n_tiles = 0
        for l in range(L):
            layer = &self.net.layers[l]
            layer.n_in, layer.n_out = sizes[l], sizes[l + 1]
            layer.activation = activations[l]
            layer.offset = offset
            layer.w = self.data + offset * self.itemsize
            offset += layer.n_in * layer.n_out
            if bias[l]:
                layer.b = self.data + offset * self.itemsize
                offset += layer.n_out
            self.n_tiles += strips(layer.n_in) * (
                (layer.n_out + TILE_COLUMNS - 1) // TILE_COLUMNS)
        if offset != self.n_parameters:
            raise ValueError(f"theta must have {offset} elements, got {self.n_parameters}.")
        self.tiles = <Tile *>calloc(self.n_tiles, sizeof(Tile))
        if self.tiles == NULL:
            raise MemoryError()
        tile = self.tiles
        for l in range(L):
            layer = &self.net.layers[l]
            for first in range(0, layer.n_out, TILE_COLUMNS):
                for strip in range(strips(layer.n_in)):
                    tile.layer, tile.strip, tile.first = l, strip, first
                    tile.columns = min(<Py_ssize_t>TILE_COLUMNS, layer.n_out - first)
                    tile += 1
        self.net.inputs = self.net.outputs = NULL
        self.readers = self.writers = 0
        self.idle = []
        self.functions, self.net.functions = None, NULL
        if CBP_CUSTOM in activations:
            self.functions = list(functions)
            self.net.functions = <void *>self.functions

    def __dealloc__(self):
        free(self.net.layers)
        free(self.tiles)
        free(self.net.inputs)
        free(self.net.outputs)

    cdef int enter(self, bint writing) except -1:
        """Several may read at once, one may write alone; held while the GIL is released."""
        if self.writers or (writing and self.readers):
            raise RuntimeError(
                "The network is in use: it is being trained"
                + (" by another call." if self.writers else " or read by another call.")
                + " Wait for that call, or copy the network before training starts."
            )
        if writing:
            self.writers = 1
        else:
            self.readers += 1
        return 0

    cdef void leave(self, bint writing) noexcept:
        if writing:
            self.writers = 0
        else:
            self.readers -= 1

    def scale(self, inputs, outputs):
        """Sets what is done to inputs and to predictions: (x - before) * factor + after.

        Each is a (3, columns) float64 array of these terms, or None for nothing."""
        self.enter(True)
        try:
            free(self.net.inputs)
            self.net.inputs = NULL
            self.net.inputs = _padded(inputs, self.net.layers[0].n_in)
            free(self.net.outputs)
            self.net.outputs = NULL
            self.net.outputs = _padded(outputs, self.net.layers[self.net.n_layers - 1].n_out)
        finally:
            self.leave(True)

    def begin_reading(self):
        """Keeps the parameters from being trained until `end_reading`; for copies of them."""
        self.enter(False)

    def end_reading(self):
        """Ends what `begin_reading` began."""
        self.leave(False)

    cdef Py_ssize_t check_loss(self, Objective objective, object target,
                               object labels) except -1:
        """Refuses what a kernel would read wrongly; policy checks it in words before.  Returns
        how many columns the target rows have."""
        cdef const Layer *last = &self.net.layers[self.net.n_layers - 1]
        cdef int activation = last.activation, loss = objective.loss.loss
        cdef Py_ssize_t outputs = last.n_out, columns = self.target_columns(&objective.loss)
        cdef bint rows = activation == CBP_SOFTMAX or activation == CBP_LOG_SOFTMAX
        cdef bint categorical = (loss == CBP_CATEGORICAL_CROSS_ENTROPY
                                 or loss == CBP_CATEGORICAL_FOCAL)
        cdef bint binary = loss == CBP_BINARY_CROSS_ENTROPY or loss == CBP_BINARY_FOCAL
        cdef bint plain = loss == CBP_POISSON or loss == CBP_GAUSSIAN
        if ((binary and activation != CBP_SIGMOID) or (categorical and not rows)
                or (rows and not categorical and loss != CBP_CUSTOM_LOSS)
                or (plain and activation != CBP_IDENTITY)):
            raise ValueError(f"Loss {loss} does not go with output activation {activation}.")
        if columns < 0:
            raise ValueError(f"Loss {loss} does not go with {outputs} outputs.")
        if (target is None) == (labels is None):
            raise ValueError("Give either target rows or labels.")
        if labels is not None and not categorical and loss != CBP_CUSTOM_LOSS:
            raise ValueError("Labels go with categorical losses only.")
        if loss == CBP_CUSTOM_LOSS:
            return outputs if target is None else target.shape[1]
        return columns

    cdef Py_ssize_t target_columns(self, const cbp_objective *objective) noexcept:
        """Columns of target rows, of a loss that is no Python function; -1 where the number of
        outputs does not fit the loss."""
        cdef Py_ssize_t outputs = self.net.layers[self.net.n_layers - 1].n_out, each = 1
        if objective.loss == CBP_CATEGORICAL_FOCAL and objective.entries not in (0, outputs):
            return -1
        if objective.loss == CBP_QUANTILE:
            each = objective.entries
        elif objective.loss == CBP_GAUSSIAN:
            each = 2
        return -1 if outputs % each else outputs // each

    cdef int team(self, Objective objective, int n_threads) noexcept:
        """How many threads a call has: a user's functions run in the calling one."""
        if self.net.functions != NULL or (objective is not None and objective.custom is not None):
            return 1
        return team_of(n_threads)

    def predict(self, X, out, int n_threads):
        """Writes the network's outputs for X (n, n_in) into `out` (n, n_out).

        Both are C-contiguous arrays of theta's type.  Returns the number of threads that ran, or 0
        where X is not finite: then some rows of `out` are written.  (X of another type is taken to
        be finite.)
        """
        return self._forward(X, None, None, out, n_threads)

    def forward(self, X, Z, A, int n_threads):
        """Writes every layer's z and activation into the lists Z and A of (n, n_l) arrays.

        Returns the number of threads that ran."""
        return self._forward(X, Z, A, None, n_threads)

    def _forward(self, X, Z, A, out, int n_threads):
        cdef int L = self.net.n_layers, l, t
        cdef Buffer x = Buffer()
        cdef Buffer held
        cdef ForwardRun run
        cdef Arena arena
        cdef Py_ssize_t each, pointers, shares
        cdef int threads
        cdef char *memory
        cdef list buffers = []
        run.x = x.bind(X, -1, self.net.layers[0].n_in, 0, False)
        run.source, run.x_itemsize = source_of(x, self.itemsize), x.view.itemsize
        run.n = x.view.shape[0]
        if run.n == 0:
            return 1
        threads = self.team(None, n_threads)
        run.block = row_block(&self.net, run.n, threads)
        threads = <int>min(<Py_ssize_t>threads, (run.n + run.block - 1) // run.block)
        run.net = &self.net
        run.abort, run.team, run.pending = 0, 1, NULL
        run.check, run.infinite = out is not None and run.source == CBP_SAME, 0
        if run.check and self.net.functions != NULL:      # a user's function sees nothing else
            run.check = False
            if not self.net.kernel.finite(run.x, run.n * self.net.layers[0].n_in):
                return 0
        arena = self.idle.pop() if self.idle else Arena()
        each = round_up(work_bytes(&self.net, run.block, False, Z is not None, 1))
        pointers = round_up(2 * L * sizeof(char *) + threads * sizeof(Work))
        shares = round_up(threads * sizeof(cbp_share))
        memory = arena.reserve(shares + pointers + threads * each)
        run.a = <char **>(memory + shares)
        run.z = run.a + L if Z is not None else NULL
        run.works = <Work *>(run.a + 2 * L)
        for l in range(L):
            run.a[l] = NULL
            if Z is not None:
                for array, address in ((Z[l], 0), (A[l], 1)):
                    held = Buffer()
                    memory_of = held.bind(array, run.n, self.net.layers[l].n_out, self.itemsize,
                                          True)
                    if address:
                        run.a[l] = memory_of
                    else:
                        run.z[l] = memory_of
                    buffers.append(held)
        if out is not None:
            held = Buffer()
            run.a[L - 1] = held.bind(out, run.n, self.net.layers[L - 1].n_out, self.itemsize, True)
            buffers.append(held)
        for t in range(threads):
            lay_out(&self.net, &run.works[t], memory + shares + pointers + t * each, run.block,
                    False, Z is not None, 1)
        cbp_assemble(&run.crew, <cbp_share *>memory, threads)
        cbp_open(&run.crew, (run.n + run.block - 1) // run.block)
        self.enter(False)
        try:
            if threads == 1:
                with nogil:
                    forward_team(&run, 0)
            else:
                run_forward(&run)
        finally:
            self.leave(False)
        self.idle.append(arena)
        if run.pending != NULL:
            reraise(run.pending)
        return 0 if run.infinite else run.team

    cdef void net_outputs(self, const Work *work, const Batch *batch, char *out) noexcept:
        """Writes the outputs of a sweep that has ended."""
        cdef const Net *net = &self.net
        cdef int L = net.n_layers
        cdef const Layer *last = &net.layers[L - 1]
        cdef uint64_t fpenv
        with nogil:
            fpenv = cbp_fpenv_enter()
            if activation_before_head(net, batch, L - 1) != last.activation:
                net.kernel.activate(work.a[L], work.stride, NULL, 0, NULL, batch.n, last.n_out,
                                    last.activation)
            if net.outputs != NULL:
                net.kernel.affine(work.a[L], work.stride, net.outputs, batch.n, last.n_out)
            net.kernel.scatter(out, last.n_out, work.a[L], work.stride, batch.n, last.n_out)
            cbp_fpenv_leave(fpenv)

    def gradient(self, X, target, labels, const double[::1] weight, Objective loss not None,
                 int reduction, double l2, grad, deltas, int n_threads, out=None):
        """Loss and gradient over the rows of X; returns (loss, threads that ran).

        Parameters
        ----------
        X : (n, n_in) array of theta's type
        target : array of theta's type, or None
            (n, n_out); for quantiles and Gaussian likelihoods the columns that they say.
        labels : (n,) int64 array of class numbers, or None; for categorical losses
        weight : (n,) float64 array, or None
        loss : Objective
        reduction : int
            0: the loss is the weighted mean over the rows; 1: their weighted sum.
        l2 : float
            Adds l2 * w to the gradient of the weights.
        grad : flat array like theta (written), or None
        deltas : list of (n, n_l) arrays (written), or None
        out : (n, n_out) array (written), or None
            What `predict` would write.
        """
        cdef int L = self.net.n_layers, l, threads
        cdef Buffer x = Buffer(), t = Buffer(), y = Buffer(), g = Buffer(), held
        cdef GradientRun run
        cdef Batch batch
        cdef Work work
        cdef Arena arena
        cdef Py_ssize_t n, shares
        cdef char *memory
        cdef uint64_t fpenv
        cdef double total = 0.0
        cdef Py_ssize_t columns = self.check_loss(loss, target, labels)
        batch.x = x.bind(X, -1, self.net.layers[0].n_in, 0, False)
        batch.source, batch.x_itemsize = source_of(x, self.itemsize), x.view.itemsize
        batch.n = n = x.view.shape[0]
        if n == 0:
            raise ValueError("X must have rows.")
        batch.objective, batch.mean = &loss.loss, reduction == 0
        batch.function = NULL if loss.custom is None else <void *>loss.custom
        batch.dropout = NULL
        batch.target.index = NULL
        batch.target.rows = NULL
        batch.target.labels = NULL
        batch.target.row_stride = columns
        if target is not None:
            batch.target.rows = t.bind(target, n, batch.target.row_stride, self.itemsize, False)
        else:
            batch.target.labels = <const int64_t *>y.bind(labels, n, 0, 8, False)
        batch.weight = NULL
        batch.total = <double>n
        if weight is not None:
            if weight.shape[0] != n:
                raise ValueError(f"weight must have {n} elements, got {weight.shape[0]}.")
            batch.weight = &weight[0]
            fpenv = cbp_fpenv_enter()
            batch.total = self.net.kernel.weight_sum(&weight[0], NULL, n)
            cbp_fpenv_leave(fpenv)
        run.grad = NULL
        if grad is not None:
            run.grad = g.bind(grad, self.n_parameters, 0, self.itemsize, True)
        run.backward = grad is not None or deltas is not None
        threads = self.team(loss, n_threads)
        run.block = row_block(&self.net, n, threads)
        run.net, run.work, run.batch = &self.net, &work, &batch
        run.tiles, run.n_tiles, run.l2 = self.tiles, self.n_tiles, l2
        run.abort, run.team, run.pending = 0, 1, NULL
        arena = self.idle.pop() if self.idle else Arena()
        shares = round_up(threads * sizeof(cbp_share))
        memory = arena.reserve(shares + work_bytes(&self.net, n, True, False, threads))
        lay_out(&self.net, &work, memory + shares, n, True, False, threads)
        work.pending = &run.pending
        cbp_assemble(&run.crew, <cbp_share *>memory, threads)
        run.phase = -2
        next_gradient_phase(&run)
        self.enter(False)
        try:
            if threads == 1:
                with nogil:
                    gradient_team(&run, 0)
            else:
                run_gradient(&run)
        finally:
            self.leave(False)
        if run.pending == NULL:
            fpenv = cbp_fpenv_enter()
            total = batch_loss(&self.net, &work, &batch)
            if batch.mean:
                total = total / batch.total if batch.total > 0.0 else 0.0
            cbp_fpenv_leave(fpenv)
            if out is not None:
                held = Buffer()
                columns = self.net.layers[L - 1].n_out
                self.net_outputs(&work, &batch, held.bind(out, n, columns, self.itemsize, True))
            if deltas is not None:
                for l in range(L):
                    held = Buffer()
                    self.net.kernel.scatter(
                        held.bind(deltas[l], n, self.net.layers[l].n_out, self.itemsize, True),
                        self.net.layers[l].n_out, work.d[l], work.stride, n,
                        self.net.layers[l].n_out)
        if arena.size <= 1 << 24:
            self.idle.append(arena)
        if run.pending != NULL:
            reraise(run.pending)
        return total, run.team


cdef double *_padded(const double[:, :] terms, Py_ssize_t columns) except? NULL:
    """A copy of before | factor | after with the columns kernel.affine wants, or NULL."""
    cdef Py_ssize_t whole = strips(columns) * CBP_STRIP, k, c
    cdef double *result
    if terms is None:
        return NULL
    if terms.shape[0] != 3 or terms.shape[1] != columns:
        raise ValueError(f"The terms must have shape (3, {columns}).")
    result = <double *>calloc(3 * whole, sizeof(double))
    if result == NULL:
        raise MemoryError()
    for k in range(3):
        for c in range(whole):
            result[k * whole + c] = terms[k, c] if c < columns else (k == 1)
    return result


cdef class Predictor:
    """Outputs of single rows, with as little around the arithmetic as there can be.

    Parameters
    ----------
    core : Core
    dtype : str
        The buffer format of one element: "f" or "d".
    otherwise : callable (x, out) -> ndarray
        What is called instead where x is not one row in a plain ndarray of that type, finite and
        C-contiguous, or the network is not small.

    Notes
    -----
    Keeps the GIL: the networks it works on take microseconds, so nobody else can be in the
    workspace that it owns.
    """

    cdef Core core
    cdef Arena arena
    cdef Work work
    cdef object otherwise, empty, dtype, ndarray
    cdef char letter
    cdef Py_ssize_t n_in, n_out
    cdef bint small

    def __cinit__(self, Core core, str dtype, otherwise):
        import numpy as np

        cdef Py_ssize_t weights = 0
        cdef int l
        for l in range(core.net.n_layers):
            weights += core.net.layers[l].n_in * core.net.layers[l].n_out
        # Up to about 10 microseconds.
        self.small = weights <= 1 << 18 and core.net.functions == NULL
        self.core, self.otherwise, self.empty = core, otherwise, np.empty
        self.ndarray = np.ndarray
        self.dtype, self.letter = np.dtype(dtype), ord(dtype)
        self.n_in = core.net.layers[0].n_in
        self.n_out = core.net.layers[core.net.n_layers - 1].n_out
        self.arena = Arena()
        lay_out(&core.net, &self.work, self.arena.reserve(work_bytes(&core.net, 1, False, False, 1)),
                1, False, False, 1)

    def __reduce__(self):
        net = self.otherwise.__self__
        return type(net).predictor, (net,)

    def __call__(self, x, out=None):
        """Outputs for one row: (n_outputs,) for x (n_inputs,), (1, n_outputs) for (1, n_inputs)."""
        cdef Core core = self.core
        cdef Py_buffer source, target
        cdef const cbp_kernels *kernel = core.net.kernel
        cdef int l, L = core.net.n_layers
        cdef uint64_t before
        cdef const char *a
        cdef Py_ssize_t a_stride
        cdef bint fits, in_place
        cdef object shape
        if (not self.small or core.writers or type(x) is not self.ndarray
                or (out is not None and type(out) is not self.ndarray) or view_of(x, &source)):
            return self.otherwise(x, out)
        fits = (source.itemsize == core.itemsize and source.format[0] == self.letter
                and source.format[1] == 0 and source.len == self.n_in * core.itemsize
                and (source.ndim == 1 or source.ndim == 2 and source.shape[0] == 1))
        if fits and out is None:
            shape = (self.n_out,)
            if source.ndim == 2:
                shape = (1, self.n_out)
            out = self.empty(shape, self.dtype)
        if fits and view_of(out, &target) == 0:
            fits = (not target.readonly and target.itemsize == core.itemsize
                    and target.format[0] == self.letter and target.format[1] == 0
                    and target.len == self.n_out * core.itemsize and target.ndim == source.ndim
                    and not core.data <= <char *>target.buf < core.data + core.n_parameters
                    * core.itemsize)      # `predict` refuses to write over the parameters
            if fits:
                before = cbp_fpenv_enter()
                in_place = core.net.inputs == NULL
                a, a_stride = <const char *>source.buf, CBP_STRIP
                if not in_place:
                    fits = kernel.finite(source.buf, self.n_in)
                    a, a_stride = self.work.a[0], self.work.stride
                    kernel.gather(self.work.a[0], a_stride, source.buf, self.n_in, NULL, 1,
                                  self.n_in)
                    kernel.affine(self.work.a[0], a_stride, core.net.inputs, 1, self.n_in)
                for l in range(L):
                    dense_sums(kernel, &core.net.layers[l], self.work.a[l + 1], self.work.stride, a,
                               CBP_STRIP, a_stride, 1)
                    if in_place and l == 0 and not kernel.finite(self.work.a[1], CBP_STRIP):
                        fits = kernel.finite(source.buf, self.n_in)    # see forward_block
                    if not fits:
                        break
                    a, a_stride = self.work.a[l + 1], self.work.stride
                    kernel.activate(self.work.a[l + 1], a_stride, NULL, a_stride,
                                    core.net.layers[l].b, 1, core.net.layers[l].n_out,
                                    core.net.layers[l].activation)
                if fits:
                    if core.net.outputs != NULL:
                        kernel.affine(self.work.a[L], self.work.stride, core.net.outputs, 1,
                                      self.n_out)
                    kernel.scatter(target.buf, self.n_out, self.work.a[L], self.work.stride, 1,
                                   self.n_out)
                cbp_fpenv_leave(before)
            PyBuffer_Release(&target)
        else:
            fits = False
        PyBuffer_Release(&source)
        return out if fits else self.otherwise(x, out)


cdef inline int view_of(object array, Py_buffer *view) except -1:
    """0 with a view of a C-contiguous array, or 1 where it is another kind of array."""
    try:
        PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except (BufferError, ValueError):    # `predict` says in words what is wrong with it
        return 1
    return 0


# Regions of their own functions: Cython's parallel blocks want few variables around them.

cdef int run_forward(ForwardRun *run) except -1:
    cdef int me = 0
    with nogil, parallel(num_threads=run.crew.threads):
        me = threadid()
        if me == 0:
            run.team = cbp_team_size()
        forward_team(run, me)
    return 0


cdef int run_gradient(GradientRun *run) except -1:
    cdef int me = 0
    with nogil, parallel(num_threads=run.crew.threads):
        me = threadid()
        if me == 0:
            run.team = cbp_team_size()
        gradient_team(run, me)
    return 0
