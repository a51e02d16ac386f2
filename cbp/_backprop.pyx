# cython: freethreading_compatible=False
"""Whole-net sweeps: forward through the layers, the loss head, delta back to the first layer.

A block of rows goes through the whole net while its activations are in cache; blocks are
independent, so there is no barrier between layers.  The gradient then sums over all rows, tile by
tile of the weights: one owner for each element of it.

What must not live here: minibatches, optimisers, random numbers (they are `_training`'s).
Invariant: which thread takes which block or tile never shows in the bits (docs/numerics.md).
"""
from cython.parallel cimport parallel, threadid
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from cbp._dense cimport dense_delta, dense_forward, dense_transpose, strips
from cbp._kernels cimport (
    CBP_BINARY_CROSS_ENTROPY,
    CBP_CATEGORICAL_CROSS_ENTROPY,
    CBP_IDENTITY,
    CBP_RELU,
    CBP_SIGMOID,
    CBP_SOFTMAX,
    CBP_SQUARED_ERROR,
    CBP_STRIP,
    CBP_TANH,
    cbp_barrier,
    cbp_clock,
    cbp_deal,
    cbp_fpenv_enter,
    cbp_fpenv_leave,
    cbp_raise,
    cbp_raised,
    cbp_share,
    cbp_take,
    cbp_team_size,
)
from cbp._runtime cimport POLL_SECONDS, kernels, poll_signals, reraise, team_of

ACTIVATIONS = {
    "identity": CBP_IDENTITY,
    "sigmoid": CBP_SIGMOID,
    "tanh": CBP_TANH,
    "relu": CBP_RELU,
    "softmax": CBP_SOFTMAX,
}
LOSSES = {
    "squared_error": CBP_SQUARED_ERROR,
    "binary_cross_entropy": CBP_BINARY_CROSS_ENTROPY,
    "categorical_cross_entropy": CBP_CATEGORICAL_CROSS_ENTROPY,
}

cdef enum:
    TILE_COLUMNS = 256      # a tile of the gradient is at most 16 x 256: 16 KiB in float32
    ROW_GROUP = 12          # blocks of rows are multiples of what tile heights divide
    BLOCK_BYTES = 192 * 1024  # activations of a block of rows: a part of L2, beside the weights


# ---- memory of a sweep ------------------------------------------------------------------------

cdef Py_ssize_t row_block(const Net *net, Py_ssize_t n, int threads) noexcept nogil:
    """Rows that go through the net together: as many as fit BLOCK_BYTES, and few enough that
    every thread finds about four blocks."""
    cdef Py_ssize_t width = net.layers[0].n_in, most, share, blocks
    cdef int l
    for l in range(net.n_layers):
        width += net.layers[l].n_out
    most = max(BLOCK_BYTES // (width * net.kernel.itemsize) // ROW_GROUP, 1) * ROW_GROUP
    if threads > 1:
        share = (n + 4 * threads - 1) // (4 * threads)
        share = (share + ROW_GROUP - 1) // ROW_GROUP * ROW_GROUP
        most = min(most, max(share, 2 * ROW_GROUP))
    if n <= most:
        return max(n, 1)
    blocks = (n + most - 1) // most
    return ((n + blocks - 1) // blocks + ROW_GROUP - 1) // ROW_GROUP * ROW_GROUP


cdef inline Py_ssize_t round_up(Py_ssize_t size) noexcept nogil:
    return (size + 63) // 64 * 64


cdef Py_ssize_t work_bytes(const Net *net, Py_ssize_t rows, bint training, bint sums,
                           int threads) noexcept nogil:
    """Size of what `lay_out` cuts up."""
    cdef Py_ssize_t item = net.kernel.itemsize, stride = CBP_STRIP * (rows | 1) * item
    cdef Py_ssize_t size = round_up((4 * net.n_layers + 1) * sizeof(char *))
    cdef int l
    size += strips(net.layers[0].n_in) * stride
    for l in range(net.n_layers):
        size += strips(net.layers[l].n_out) * stride * (1 + training + sums)
        if training and l > 0:
            size += round_up(strips(net.layers[l].n_in) * CBP_STRIP * net.layers[l].n_out * item)
    if training:
        size += 2 * round_up((rows + CBP_STRIP) * item)
        size += threads * round_up((CBP_STRIP * TILE_COLUMNS + TILE_COLUMNS + 2 * CBP_STRIP) * item)
    return size


cdef void lay_out(const Net *net, Work *work, char *memory, Py_ssize_t rows, bint training,
                  bint sums, int threads) noexcept nogil:
    """Cuts `memory` (64-byte aligned) into the arrays of a sweep of up to `rows` rows.

    The stride between strips is an odd number of cache lines or twice that, so that the strips a
    kernel walks side by side do not meet in one set of the L1 cache."""
    cdef Py_ssize_t item = net.kernel.itemsize, stride
    cdef int l, L = net.n_layers
    cdef char **pointers = <char **>memory
    work.rows, work.stride = rows, CBP_STRIP * (rows | 1)
    stride = work.stride * item
    work.a, work.z = pointers, pointers + L + 1
    work.d, work.w_t = pointers + 2 * L + 1, pointers + 3 * L + 1
    memory += round_up((4 * L + 1) * sizeof(char *))
    work.a[0] = memory
    memory += strips(net.layers[0].n_in) * stride
    for l in range(L):
        work.a[l + 1] = memory
        memory += strips(net.layers[l].n_out) * stride
        work.z[l] = work.d[l] = work.w_t[l] = NULL
        if sums:
            work.z[l] = memory
            memory += strips(net.layers[l].n_out) * stride
        if training:
            work.d[l] = memory
            memory += strips(net.layers[l].n_out) * stride
            if l > 0:
                work.w_t[l] = memory
                memory += round_up(strips(net.layers[l].n_in) * CBP_STRIP * net.layers[l].n_out
                                   * item)
    work.scale = work.loss = work.scratch = NULL
    if training:
        work.scale = memory
        work.loss = memory + round_up((rows + CBP_STRIP) * item)
        work.scratch = work.loss + round_up((rows + CBP_STRIP) * item)
        work.scratch_bytes = round_up((CBP_STRIP * TILE_COLUMNS + TILE_COLUMNS + 2 * CBP_STRIP)
                                      * item)


# ---- sweeps -----------------------------------------------------------------------------------

cdef inline void fill_scale(const Work *work, const Batch *batch, Py_ssize_t row, Py_ssize_t n,
                            Py_ssize_t itemsize) noexcept nogil:
    """scale[r] = T(w_r / sum of w), or T(w_r) where the loss is a sum (numerics.md, rule 5)."""
    cdef Py_ssize_t r
    cdef double factor = 1.0
    cdef double divisor = 1.0
    if batch.mean:
        divisor = batch.total
    for r in range(row, row + n):
        if batch.weight != NULL:
            factor = batch.weight[batch.target.index[r] if batch.target.index != NULL else r]
        factor = factor / divisor if divisor > 0.0 else 0.0
        if itemsize == 4:
            (<float *>work.scale)[r] = <float>factor
        else:
            (<double *>work.scale)[r] = factor
        factor = 1.0


cdef void sweep_rows(const Net *net, const Work *work, const Batch *batch, Py_ssize_t row,
                     Py_ssize_t n, bint backward) noexcept nogil:
    """Rows row .. row + n - 1 of the batch: gather, forward, loss, and delta where `backward`."""
    cdef const cbp_kernels *kernel = net.kernel
    cdef Py_ssize_t item = kernel.itemsize, at = row * CBP_STRIP * item
    cdef Py_ssize_t n_in = net.layers[0].n_in
    cdef int l, L = net.n_layers, activation
    cdef const Layer *last = &net.layers[L - 1]
    cdef cbp_target target = batch.target
    cdef const char *x = batch.x
    if target.index != NULL:
        target.index += row
    else:
        x += row * n_in * item
        if target.rows != NULL:
            target.rows = <const char *>target.rows + row * target.row_stride * item
        else:
            target.labels += row
    kernel.gather(work.a[0] + at, work.stride, x, n_in, target.index, n, n_in)
    for l in range(L):
        activation = net.layers[l].activation
        if l == L - 1 and batch.loss != CBP_SQUARED_ERROR:
            activation = CBP_IDENTITY       # the cross-entropies start from z
        dense_forward(kernel, &net.layers[l], work.a[l + 1], NULL, work.a[l], work.stride, row, n,
                      activation)
    fill_scale(work, batch, row, n, item)
    kernel.head(batch.loss, last.activation, work.d[L - 1] + at if backward else NULL, work.stride,
                work.loss + row * item, work.a[L] + at, work.stride, &target,
                work.scale + row * item, n, last.n_out)
    if backward:
        for l in range(L - 1, 0, -1):
            dense_delta(kernel, &net.layers[l], work.d[l - 1], work.d[l], work.w_t[l], work.a[l],
                        net.layers[l - 1].activation, work.stride, row, n)


cdef void tile_gradient(const Net *net, const Work *work, const Tile *tile, Py_ssize_t n,
                        char *scratch) noexcept nogil:
    """One tile of dW in `scratch`, row by row of `tile.columns` elements; where the tile's strip
    is 0, db of its columns stands behind 16 such rows."""
    cdef const cbp_kernels *kernel = net.kernel
    cdef const Layer *layer = &net.layers[tile.layer]
    cdef Py_ssize_t item = kernel.itemsize, stride = work.stride
    cdef const char *d = work.d[tile.layer] + tile.first // CBP_STRIP * stride * item
    kernel.gradient(scratch, work.a[tile.layer] + tile.strip * stride * item, d, stride, n,
                    min(<Py_ssize_t>CBP_STRIP, layer.n_in - tile.strip * CBP_STRIP), tile.columns)
    if tile.strip == 0 and layer.b != NULL:
        kernel.bias_gradient(scratch + (CBP_STRIP * tile.columns + CBP_STRIP) * item, d, stride, n,
                             tile.columns)


cdef void tile_transpose(const Net *net, const Work *work, const Tile *tile) noexcept nogil:
    """Brings the transposed weights of a tile up to date; the first layer needs none."""
    if tile.layer > 0:
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
    Py_ssize_t n, block
    char **z                   # (n, n_out) of each layer, or NULL
    char **a
    cbp_share *shares
    int threads, team, abort
    void *pending


cdef void forward_team(ForwardRun *run, int me) noexcept nogil:
    cdef const Net *net = run.net
    cdef const cbp_kernels *kernel = net.kernel
    cdef const Work *work = &run.works[me]
    cdef Py_ssize_t item = kernel.itemsize, task, row, n, n_out
    cdef int l
    cdef uint64_t before = cbp_fpenv_enter()
    cdef double polled = cbp_clock() if run.n > run.block else 0.0
    while not cbp_raised(&run.abort):
        task = cbp_take(run.shares, run.threads, me)
        if task < 0:
            break
        row = task * run.block
        n = min(run.block, run.n - row)
        kernel.gather(work.a[0], work.stride, run.x + row * net.layers[0].n_in * item,
                      net.layers[0].n_in, NULL, n, net.layers[0].n_in)
        for l in range(net.n_layers):
            dense_forward(kernel, &net.layers[l], work.a[l + 1], work.z[l], work.a[l],
                          work.stride, 0, n, net.layers[l].activation)
            n_out = net.layers[l].n_out
            if run.z != NULL:
                kernel.scatter(run.z[l] + row * n_out * item, n_out, work.z[l], work.stride, n,
                               n_out)
            if run.a[l] != NULL:
                kernel.scatter(run.a[l] + row * n_out * item, n_out, work.a[l + 1], work.stride, n,
                               n_out)
        if me == 0 and run.n > run.block and cbp_clock() - polled > POLL_SECONDS:
            if poll_signals(&run.pending):
                cbp_raise(&run.abort, 1)
            polled = cbp_clock()
    cbp_fpenv_leave(before)


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
    cbp_share *transposes
    cbp_share *rows
    cbp_share *shares
    int threads, team, abort
    void *pending


cdef void gradient_team(GradientRun *run, int me) noexcept nogil:
    cdef const Net *net = run.net
    cdef const Work *work = run.work
    cdef Py_ssize_t task, row
    cdef const Tile *tile
    cdef char *scratch = work.scratch + me * work.scratch_bytes
    cdef uint64_t before = cbp_fpenv_enter()
    cdef double polled = cbp_clock()
    cdef int phase
    for phase in range(3):
        while not cbp_raised(&run.abort):
            if phase == 0:
                task = cbp_take(run.transposes, run.threads, me) if run.backward else -1
                if task < 0:
                    break
                tile = &run.tiles[task]
                tile_transpose(net, work, tile)
            elif phase == 1:
                task = cbp_take(run.rows, run.threads, me)
                if task < 0:
                    break
                row = task * run.block
                sweep_rows(net, work, run.batch, row, min(run.block, run.batch.n - row),
                           run.backward)
            else:
                task = -1 if run.grad == NULL else cbp_take(run.shares, run.threads, me)
                if task < 0:
                    break
                tile = &run.tiles[task]
                tile_gradient(net, work, tile, run.batch.n, scratch)
                copy_tile(net, tile, scratch, run.grad, run.l2, net.layers[0].w)
            if me == 0 and cbp_clock() - polled > POLL_SECONDS:
                if poll_signals(&run.pending):
                    cbp_raise(&run.abort, 1)
                polled = cbp_clock()
        if run.threads > 1:
            cbp_barrier()
    cbp_fpenv_leave(before)


# ---- the compiled view of a network -----------------------------------------------------------

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
    """

    def __cinit__(self, theta, sizes, activations, bias):
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
        self.readers = self.writers = 0
        self.idle = []

    def __dealloc__(self):
        free(self.net.layers)
        free(self.tiles)

    cdef int enter(self, bint writing) except -1:
        """Several may read at once, one may write alone; held while the GIL is released."""
        if self.writers or (writing and self.readers):
            raise RuntimeError(
                "The network is in use: it is being trained"
                + (" by another call." if self.writers else " or read by another call.")
                + " Wait for that call, or work on a copy (`net.copy()`)."
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

    cdef int check_loss(self, int loss, object target, object labels) except -1:
        """Refuses what a kernel would read wrongly; policy checks it in words before."""
        cdef int activation = self.net.layers[self.net.n_layers - 1].activation
        if ((loss == CBP_BINARY_CROSS_ENTROPY and activation != CBP_SIGMOID)
                or (loss == CBP_CATEGORICAL_CROSS_ENTROPY) != (activation == CBP_SOFTMAX)
                or not 0 <= loss <= CBP_CATEGORICAL_CROSS_ENTROPY):
            raise ValueError(f"Loss {loss} does not go with output activation {activation}.")
        if (target is None) == (labels is None):
            raise ValueError("Give either target rows or labels.")
        if labels is not None and loss != CBP_CATEGORICAL_CROSS_ENTROPY:
            raise ValueError("Labels go with categorical cross-entropy only.")
        return 0

    def predict(self, X, out, int n_threads):
        """Writes the network's outputs for X (n, n_in) into `out` (n, n_out).

        Both are C-contiguous arrays of theta's type.  Returns the number of threads that ran.
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
        cdef char *memory
        cdef list buffers = []
        run.x = x.bind(X, -1, self.net.layers[0].n_in, self.itemsize, False)
        run.n = x.view.shape[0]
        if run.n == 0:
            return 1
        run.threads = team_of(n_threads)
        run.block = row_block(&self.net, run.n, run.threads)
        run.threads = <int>min(<Py_ssize_t>run.threads, (run.n + run.block - 1) // run.block)
        run.net = &self.net
        run.abort, run.team, run.pending = 0, 1, NULL
        arena = self.idle.pop() if self.idle else Arena()
        each = round_up(work_bytes(&self.net, run.block, False, Z is not None, 1))
        pointers = round_up(2 * L * sizeof(char *) + run.threads * sizeof(Work))
        shares = round_up(run.threads * sizeof(cbp_share))
        memory = arena.reserve(shares + pointers + run.threads * each)
        run.shares = <cbp_share *>memory
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
        for t in range(run.threads):
            lay_out(&self.net, &run.works[t], memory + shares + pointers + t * each, run.block,
                    False, Z is not None, 1)
        cbp_deal(run.shares, run.threads, (run.n + run.block - 1) // run.block)
        self.enter(False)
        try:
            if run.threads == 1:
                with nogil:
                    forward_team(&run, 0)
            else:
                run_forward(&run)
        finally:
            self.leave(False)
        self.idle.append(arena)
        if run.pending != NULL:
            reraise(run.pending)
        return run.team

    def gradient(self, X, target, labels, const double[::1] weight, int loss, int reduction,
                 double l2, grad, deltas, int n_threads):
        """Loss and gradient over the rows of X; returns (loss, threads that ran).

        Parameters
        ----------
        X : (n, n_in) array of theta's type
        target : (n, n_out) array of theta's type, or None
        labels : (n,) int64 array of class numbers, or None; for categorical cross-entropy
        weight : (n,) float64 array, or None
        loss : int
            A code of LOSSES.
        reduction : int
            0: the loss is the weighted mean over the rows; 1: their weighted sum.
        l2 : float
            Adds l2 * w to the gradient of the weights.
        grad : flat array like theta (written), or None
        deltas : list of (n, n_l) arrays (written), or None
        """
        cdef int L = self.net.n_layers, l
        cdef Buffer x = Buffer(), t = Buffer(), y = Buffer(), g = Buffer(), held
        cdef GradientRun run
        cdef Batch batch
        cdef Work work
        cdef Arena arena
        cdef Py_ssize_t n, shares
        cdef char *memory
        cdef double total = 0.0
        self.check_loss(loss, target, labels)
        batch.x = x.bind(X, -1, self.net.layers[0].n_in, self.itemsize, False)
        batch.n = n = x.view.shape[0]
        if n == 0:
            raise ValueError("X must have rows.")
        batch.loss, batch.mean = loss, reduction == 0
        batch.target.index = NULL
        batch.target.rows = NULL
        batch.target.labels = NULL
        batch.target.row_stride = self.net.layers[L - 1].n_out
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
            batch.total = self.net.kernel.weight_sum(&weight[0], NULL, n)
        run.grad = NULL
        if grad is not None:
            run.grad = g.bind(grad, self.n_parameters, 0, self.itemsize, True)
        run.backward = grad is not None or deltas is not None
        run.threads = team_of(n_threads)
        run.block = row_block(&self.net, n, run.threads)
        run.net, run.work, run.batch = &self.net, &work, &batch
        run.tiles, run.n_tiles, run.l2 = self.tiles, self.n_tiles, l2
        run.abort, run.team, run.pending = 0, 1, NULL
        arena = self.idle.pop() if self.idle else Arena()
        shares = round_up(run.threads * sizeof(cbp_share))
        memory = arena.reserve(3 * shares + work_bytes(&self.net, n, True, False, run.threads))
        run.transposes = <cbp_share *>memory
        run.rows = <cbp_share *>(memory + shares)
        run.shares = <cbp_share *>(memory + 2 * shares)
        lay_out(&self.net, &work, memory + 3 * shares, n, True, False, run.threads)
        cbp_deal(run.transposes, run.threads, self.n_tiles)
        cbp_deal(run.rows, run.threads, (n + run.block - 1) // run.block)
        cbp_deal(run.shares, run.threads, self.n_tiles)
        self.enter(False)
        try:
            if run.threads == 1:
                with nogil:
                    gradient_team(&run, 0)
            else:
                run_gradient(&run)
        finally:
            self.leave(False)
        if run.pending == NULL:
            total = batch_loss(&self.net, &work, &batch)
            if batch.mean:
                total = total / batch.total if batch.total > 0.0 else 0.0
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


# Regions of their own functions: Cython's parallel blocks want few variables around them.

cdef int run_forward(ForwardRun *run) except -1:
    cdef int me = 0
    with nogil, parallel(num_threads=run.threads):
        me = threadid()
        if me == 0:
            run.team = cbp_team_size()
        forward_team(run, me)
    return 0


cdef int run_gradient(GradientRun *run) except -1:
    cdef int me = 0
    with nogil, parallel(num_threads=run.threads):
        me = threadid()
        if me == 0:
            run.team = cbp_team_size()
        gradient_team(run, me)
    return 0
