# cython: freethreading_compatible=False
"""The small room: steps of a net of narrow layers on one thread.

Where a step takes a microsecond, tiles, tasks and calls are most of it.  Here a sweep is one call
into C and the update another, on copies of the parameters and states in a layout without tails
(src_c/small_body.h).  The same sums in the same order, so the same bits as `_backprop` gives.

What must not live here: losses, optimisers, options (`_training.fits_small` knows which go).
Invariant: between `load_room` and `store_room` the room's copies are the parameters; theta is old.
"""
from libc.string cimport memcpy, memset, strcmp

from cbp._backprop cimport Batch, Net, activation_before_head, fill_scale
from cbp._dense cimport Layer, strips
from cbp._kernels cimport (
    CBP_BLOCK,
    CBP_SMALL_ROWS,
    CBP_STRIP,
    cbp_hyper,
    cbp_small_layer,
)
from cbp._runtime cimport kernels_of

cdef enum:
    MOST_INPUTS = 1024
    MOST_HIDDEN = 64
    MOST_ALONE = 128        # of an only hidden layer and its inputs: 4-100-3 b150 gains 20 %
    STRIDE = CBP_STRIP * (CBP_SMALL_ROWS + 1)
    MOST_TINY = 4           # units of each layer of the smallest nets,
    TINY_WORK = 160         # and their parameters times rows: beyond, the small room is faster
    TINY_AHEAD = 8          # minibatches that kernel.tiny_steps gathers at a time


cdef bint small_net(const Net *net) noexcept nogil:
    """Whether the layers are narrow and have biases."""
    cdef const Layer *layer
    cdef int l, last = net.n_layers - 1, most = MOST_HIDDEN
    if last == 1 and net.layers[0].n_in <= MOST_ALONE:
        most = MOST_ALONE
    for l in range(last + 1):
        layer = &net.layers[l]
        if layer.b == NULL or layer.n_out > (<int>CBP_STRIP if l == last else most):
            return False
    return net.layers[0].n_in <= MOST_INPUTS and net.layers[last].n_in <= CBP_BLOCK


cdef bint tiny_net(const Net *net, Py_ssize_t rows) noexcept nogil:
    """Whether a small net is so small that steps of so many rows go by `step_room`."""
    cdef const Layer *layer
    cdef Py_ssize_t size = 0
    cdef int l
    for l in range(net.n_layers):
        layer = &net.layers[l]
        size += (layer.n_in + 1) * layer.n_out
        if layer.n_in > MOST_TINY or layer.n_out > MOST_TINY:
            return False
    return rows <= CBP_STRIP and size * rows <= TINY_WORK


cdef inline char *cut(char **memory, Py_ssize_t size) noexcept nogil:
    """The next `size` bytes, on a cache line."""
    cdef char *piece = memory[0]
    memory[0] += (size + 63) // 64 * 64
    return piece


cdef Py_ssize_t lay_out_room(Room *room, const Net *net, const Batch *batch, char *memory,
                             Py_ssize_t rows, int states, bint tiny) noexcept nogil:
    """Cuts `memory` (64-byte aligned) into the arrays of steps of up to `rows` rows; how many
    bytes that takes.  Where `memory` is NULL, nothing is touched but `room`.  `tiny`: of a
    `tiny_net`, whose steps are made by `step_room`."""
    cdef Py_ssize_t item = net.kernel.itemsize, place = 0, width, size
    cdef int l, last = net.n_layers - 1
    cdef char *at = memory
    cdef char *zeros
    cdef cbp_small_layer *layers = <cbp_small_layer *>cut(&at, net.n_layers
                                                          * sizeof(cbp_small_layer))
    cdef cbp_small_layer *layer
    cdef cbp_small_layer of_net
    room.net, room.states, room.scaled, room.tiny = net, states, -1, tiny
    room.kernel = net.kernel
    if tiny and rows * item <= 32 and strcmp(room.kernel.isa, b"avx512") == 0:
        room.kernel = kernels_of(b"avx2", item)  # the same bits; 2-2-1 b4: 87 ns instead of 97
    room.c.n_layers, room.c.layers, room.c.stride = net.n_layers, layers, STRIDE
    zeros = at                 # what is read before, or wider than, it was written
    for l in range(net.n_layers):
        layer = &layers[l] if memory != NULL else &of_net
        layer.i, layer.o = net.layers[l].n_in, net.layers[l].n_out
        layer.activation = activation_before_head(net, batch, l)
        layer.theta, layer.place = net.layers[l].offset, place
        layer.a = cut(&at, strips(layer.i) * STRIDE * item)
        layer.wt = NULL
        if l < last:
            place += strips(layer.o) * (layer.i + 1) * CBP_STRIP
            layer.d = cut(&at, strips(layer.o) * STRIDE * item)
            if l > 0:
                layer.wt = cut(&at, strips(layer.i) * layer.o * CBP_STRIP * item)
        else:
            place += (strips(layer.i) * layer.o + 1) * CBP_STRIP
            layer.d = cut(&at, layer.o * CBP_SMALL_ROWS * item)
            room.c.target = cut(&at, layer.o * CBP_SMALL_ROWS * item)
            width = max(strips(layer.i) * CBP_STRIP, <Py_ssize_t>CBP_SMALL_ROWS)
            if tiny:
                width = max(width, TINY_AHEAD * (net.layers[0].n_in + 2 * layer.o))
                place = strips(layer.theta + (layer.i + 1) * layer.o) * CBP_STRIP
            room.c.columns = cut(&at, width * CBP_STRIP * item)
    room.c.size, size = place, place * item
    room.c.g, room.spare = cut(&at, size), cut(&at, size if rows > CBP_BLOCK else 0)
    if memory != NULL:
        memset(zeros, 0, at - zeros)
    room.c.w, room.state = cut(&at, size), cut(&at, states * size)
    room.scale = cut(&at, (rows + CBP_STRIP) * item)
    room.loss = cut(&at, max(rows + CBP_STRIP, TINY_AHEAD * CBP_STRIP if tiny else 0) * item)
    return at - memory


cdef void load_room(const Room *room, char **states) noexcept nogil:
    """Copies the parameters and the states into the room."""
    cdef int j
    copy_array(room, <char *>room.c.w, room.net.layers[0].w, True)
    for j in range(room.states):
        copy_array(room, room.state + j * room.c.size * room.net.kernel.itemsize, states[j], True)


cdef void store_room(const Room *room, char **states) noexcept nogil:
    """Copies them back."""
    cdef int j
    copy_array(room, <char *>room.c.w, room.net.layers[0].w, False)
    for j in range(room.states):
        copy_array(room, room.state + j * room.c.size * room.net.kernel.itemsize, states[j], False)


cdef void copy_array(const Room *room, char *inside, char *outside, bint load) noexcept nogil:
    """Copies an array like theta into the room, or back."""
    cdef const cbp_small_layer *last = &room.c.layers[room.c.n_layers - 1]
    cdef Py_ssize_t item = room.net.kernel.itemsize
    cdef Py_ssize_t used = (last.theta + (last.i + 1) * last.o) * item
    if room.tiny and load:
        memcpy(inside, outside, used)
        memset(inside + used, 0, room.c.size * item - used)
    elif room.tiny:
        memcpy(outside, inside, used)
    elif load:
        room.net.kernel.small_load(&room.c, inside, outside)
    else:
        room.net.kernel.small_store(&room.c, outside, inside)


cdef Py_ssize_t step_room(Room *room, const Batch *batch, int optimizer, const cbp_hyper *hyper,
                          Py_ssize_t steps) noexcept nogil:
    """Makes `steps` steps of a tiny net from `batch` on, minibatches of one size behind each
    other; returns how many were made, before the first whose loss was not finite.  The batch sums
    are in `room.losses`."""
    cdef char *state_2 = room.state + room.c.size * room.net.kernel.itemsize
    if room.scaled != batch.n:
        fill_scale(room.scale, batch, 0, batch.n, room.kernel.itemsize)
        room.scaled = batch.n
    return room.kernel.tiny_steps(&room.c, batch.objective.loss, optimizer, room.state, state_2,
                                  hyper, room.loss, batch.x, &batch.target, room.scale, batch.n,
                                  steps, room.losses)


cdef double sweep_room(Room *room, const Batch *batch) noexcept nogil:
    """Loss of the minibatch (as `batch_loss`); its gradient is in the room."""
    cdef const Net *net = room.net
    if batch.weight != NULL or room.scaled != batch.n:
        fill_scale(room.scale, batch, 0, batch.n, net.kernel.itemsize)
        room.scaled = batch.n
    room.c.chain = room.spare if batch.n > CBP_BLOCK else room.c.g
    net.kernel.small_sweep(&room.c, batch.objective.loss, room.loss, batch.x, &batch.target, room.scale,
                           batch.n)
    return net.kernel.row_sum(room.loss, batch.weight, batch.target.index, batch.n)


cdef void update_room(const Room *room, int optimizer, const cbp_hyper *weights,
                      const cbp_hyper *biases) noexcept nogil:
    """One step of the optimiser: all parameters at once where weights and biases are treated
    alike."""
    cdef const cbp_small_layer *layer
    cdef Py_ssize_t at = 0, size, s
    cdef int l, last = room.c.n_layers - 1
    if weights.l2 == 0.0 and weights.l1 == 0.0:
        update_part(room, optimizer, 0, room.c.size, weights)
        return
    for l in range(last + 1):
        layer = &room.c.layers[l]
        size = (layer.i if l < last else strips(layer.i) * layer.o) * CBP_STRIP
        for s in range(strips(layer.o)):
            update_part(room, optimizer, at, size, weights)
            update_part(room, optimizer, at + size, CBP_STRIP, biases)
            at += size + CBP_STRIP


cdef void update_part(const Room *room, int optimizer, Py_ssize_t at, Py_ssize_t size,
                      const cbp_hyper *hyper) noexcept nogil:
    cdef Py_ssize_t item = room.net.kernel.itemsize
    cdef char *state_1 = room.state + at * item
    cdef char *state_2 = state_1 + room.c.size * item
    room.net.kernel.update(optimizer, <char *>room.c.w + at * item,
                           state_1 if room.states > 0 else NULL,
                           state_2 if room.states > 1 else NULL,
                           <char *>room.c.g + at * item, NULL, size, hyper)
