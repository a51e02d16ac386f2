# cython: freethreading_compatible=False
"""The minibatch loop: shuffle, gather, sweep, update; many steps in one call without the GIL.

A step has two phases.  Rows: blocks of rows go forward and back through the net.  Tiles: the
gradient of a tile of the weights is summed over the whole minibatch and the optimiser applied
while the tile is in cache.  Whichever thread finishes a phase opens the next.

What must not live here: what to do about a result (that is the Trainer's); words to the user.
Invariants: an update is applied whole or not at all; what a run computes depends on the data, the
order of rows, the seed and the step, never on threads or on where a call ended.
"""
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyObject_GetBuffer
from cython.parallel cimport parallel, threadid
from libc.math cimport INFINITY, isfinite, sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cbp._backprop cimport (
    Batch,
    Core,
    Net,
    Objective,
    Tile,
    Work,
    batch_loss,
    dropped_bytes,
    failed,
    lay_out,
    lay_out_dropped,
    look,
    row_block,
    source_of,
    sweep_phases,
    sweep_task,
    sweep_tasks,
    tile_gradient,
    tile_transpose,
    work_bytes,
)
from cbp._dense cimport Layer, dense_transpose
from cbp._kernels cimport (
    CBP_ADAGRAD,
    CBP_ADAM,
    CBP_BINARY_FOCAL,
    CBP_CATEGORICAL_CROSS_ENTROPY,
    CBP_CATEGORICAL_FOCAL,
    CBP_CHUNK,
    CBP_LION,
    CBP_MOMENTUM,
    CBP_NADAM,
    CBP_NESTEROV,
    CBP_POISSON,
    CBP_RELU,
    CBP_RMSPROP,
    CBP_RMSPROP_MOMENTUM,
    CBP_RPROP,
    CBP_SGD,
    CBP_SOFTMAX,
    CBP_BINARY_CROSS_ENTROPY,
    CBP_SAME,
    CBP_STRIP,
    cbp_assemble,
    cbp_clock,
    cbp_close,
    cbp_crew,
    cbp_dropout,
    cbp_fetch,
    cbp_finish,
    cbp_fpenv_enter,
    cbp_fpenv_leave,
    cbp_get,
    cbp_hyper,
    cbp_kernels,
    cbp_objective,
    cbp_open,
    cbp_phase,
    cbp_raise,
    cbp_raised,
    cbp_rest,
    cbp_set,
    cbp_share,
    cbp_take,
    cbp_target,
    cbp_team_size,
    cbp_wait,
)
from cbp._runtime cimport (
    POLL_SECONDS,
    Arena,
    Buffer,
    numbers_below,
    paid_threads,
    reraise,
    shuffle,
)
from cbp._small cimport (
    TINY_STEPS,
    Room,
    lay_out_room,
    load_room,
    small_net,
    step_room,
    store_room,
    sweep_room,
    tiny_net,
    update_room,
)
from cbp._runtime import usable_threads

OPTIMIZERS = {
    "sgd": CBP_SGD,
    "momentum": CBP_MOMENTUM,
    "nesterov": CBP_NESTEROV,
    "rmsprop": CBP_RMSPROP,
    "adagrad": CBP_ADAGRAD,
    "lion": CBP_LION,
    "adam": CBP_ADAM,
    "nadam": CBP_NADAM,
    "rmsprop_momentum": CBP_RMSPROP_MOMENTUM,
    "rprop": CBP_RPROP,
}
N_STATES = {code: 0 if code == CBP_SGD else 1 if code < CBP_ADAM else 2
            for code in OPTIMIZERS.values()}
# What of `Loop.state` belongs to the updates made so far, not to the epoch.
STEP_STATE = ("step", "power_1", "power_2", "power_3", "average_power")

cdef enum:
    FETCH_BYTES = 1 << 18   # of a minibatch that is fetched ahead
    FETCH_WEIGHTS = 1 << 22 # bytes of parameters from which a tile's are fetched: 1 % at 2048 × 2048
    TRIAL_PHASES = 8        # of a window in which a team is tried: some steps
    LOOK_MFLOP = 20         # thread 0 looks at the clock after about a millisecond of work
    LONG_MFLOP = 24000      # the gradient of a step this long (a third of it) is computed before
                            # any weight is touched, so that Ctrl-C need not wait for it
    NORM_CHUNKS = 4         # chunks of the gradient's norm in a task: some microseconds
    PROJECT_COLUMNS = 64    # units in a task of PROJECT
    ROOM_MFLOP = 400        # a step in the small room takes at most about 10 ms, and a run there
    ROOM_ROWS = 128         # goes over so many rows, to be worth the way in and out


cdef double WINDOW_SECONDS = 0.004      # a time slice of the usual schedulers
cdef double FIRST_REST_SECONDS = 0.03
cdef double MOST_REST_SECONDS = 0.5
cdef double TRIAL_SECONDS = 0.25     # between two trials of a team that helps: at most 1.6 % of its time


class Diverged(ArithmeticError):
    """The loss of a minibatch was not finite, and its update was not applied; or a parameter was
    not finite at the end of an epoch (`loss` is the batch's then)."""

    def __init__(self, loss, epoch, batch):
        super().__init__(f"loss {loss} in epoch {epoch}, batch {batch}")
        self.loss, self.epoch, self.batch = loss, epoch, batch


# What a team is doing.
cdef enum Stage:
    TRANSPOSE               # the copies of the weights that delta reads, once a call
    SWEEP
    GRADIENT                # all of the gradient before any update (see LONG_MFLOP),
    NORM                    # and its norm where that is limited;
    UPDATE                  # then all updates
    TILES                   # or gradient and update, tile by tile
    PROJECT                 # limits of the units' weights
# From UPDATE on a step is finished, come what may.


# What is asked of one layer in training, beside being trained.
ctypedef struct Limits:
    int nonnegative            # weights end as max(w, 0)
    double max_norm            # of a unit's weights; 0: none


# One step.
ctypedef struct Step:
    Batch batch
    Py_ssize_t block           # rows that go through the net together
    cbp_hyper weights, biases  # the same but for l2 and l1
    double power_1, power_2, power_3, average_power    # of `Place`, behind this step
    double share               # of the new weights in their running mean


# Where the run stands: everything a checkpoint needs beside the arrays.
ctypedef struct Place:
    int64_t epoch, batch, step
    Py_ssize_t row             # rows of this epoch that are done
    double power_1, power_2    # beta_1^t (Nadam: the product of mu_1 .. mu_t) and beta_2^t
    double power_3             # Nadam's 0.96^(t psi)
    double average_power       # decay^t of the weights' running mean
    double loss_sum, weight_sum


# How thread 0 judges whether the others help, from one run to the next.
ctypedef struct Judge:
    double window, waited      # when the window of time began; seconds of it spent waiting
    uint32_t phase             # where the team was then
    bint awake                 # whether the window before was the team's, too
    double since               # when the present wait became long, or 0
    double rest, until         # how long the others rest next; until when they do
    double speed               # phases a second with them, while it tries alone; else 0
    double trial               # when it tries again


ctypedef struct Train:
    const Net *net
    Work work
    const Tile *tiles
    Py_ssize_t n_tiles, n_parameters, n_rows, batch_size
    Py_ssize_t *shuffled       # where this epoch's order of rows is kept
    const Py_ssize_t *subset   # the rows that are shuffled, or NULL for all
    int64_t laid_out           # the epoch whose order is there, or -1
    const Py_ssize_t *order    # this epoch's order of rows
    const Py_ssize_t *orders   # one for each epoch of the run, or NULL
    Batch batch                # what all steps share
    Step step
    Place place
    cbp_crew crew
    Judge judge                # thread 0's
    int stage, phase           # of the team; of the sweep
    int optimizer, shuffle, team, abort, diverged
    int stop                   # whether the run shall end behind the step under way
    int by_rows                # scikit-learn's conventions: see Loop
    int solo                   # whether all but thread 0 rest
    cbp_hyper hyper            # what stays the same from step to step
    double rate, rate_decay, weight_decay, power_base, average_decay, clip_norm
    double most_loss, loss_factor
    uint64_t seed
    char *state_1
    char *state_2
    char *mask
    char *grad                 # all of the gradient where it is computed before the update
    char *average              # running mean of the parameters
    double *squares            # of the gradient, chunk by chunk
    double *penalties          # squares of the weights, layer by layer and chunk by chunk, or NULL
    Py_ssize_t n_penalties, n_sweep    # tasks of that, beside those of the sweep's phase
    const unsigned char *trainable  # 1: weights, 2: biases of each layer
    const Limits *limits       # of each layer
    cbp_dropout *dropout       # of each layer's outputs, or NULL
    Py_ssize_t n_projects      # tasks of PROJECT
    double *losses
    Py_ssize_t n_epochs, epochs_done
    const double *rates        # of the steps from first_step on, or NULL
    Py_ssize_t n_rates
    int64_t first_step
    double until, limit, loss  # times at which the run ends: with an epoch, with a step
    char *kept                 # theta and its mean at the last end of an epoch, or NULL
    Place kept_place
    Py_ssize_t look_every      # tasks between two looks at the clock by thread 0
    void *pending


cdef void lay_out_step(Train *t) noexcept nogil:
    """Makes `step` the minibatch at `place`."""
    cdef Step *step = &t.step
    cdef Py_ssize_t n = min(t.batch_size, t.n_rows - t.place.row)
    cdef bint first = step.block == 0
    cdef int l
    if first:
        step.batch = t.batch
    if first or n != step.batch.n:
        step.block = row_block(t.net, n, t.crew.threads)
    step.batch.n = n
    step.batch.target.index = t.order + t.place.row
    step.batch.target.ahead = min(t.batch_size, t.n_rows - t.place.row - n)
    step.batch.total = <double>n
    if t.batch.weight != NULL:
        step.batch.total = t.net.kernel.weight_sum(t.batch.weight, step.batch.target.index, n)
    if t.dropout != NULL:
        for l in range(t.net.n_layers):
            t.dropout[l].step = <uint32_t>t.place.step    # mod 2^32
    lay_out_update(t, first or t.clip_norm > 0.0)


cdef void lay_out_update(Train *t, bint whole) noexcept nogil:
    """The scalars of the step at `place`, in double (numerics.md, rule 9).  `whole`: those too that
    stay the same from step to step, unless a limited norm has changed them."""
    cdef Step *step = &t.step
    cdef cbp_hyper *w = &step.weights
    cdef cbp_hyper *b = &step.biases
    cdef double rate = t.rate if t.rates == NULL else t.rates[t.place.step - t.first_step]
    cdef double mu, next_mu
    if whole:
        w[0] = b[0] = t.hyper
        b.l2 = b.l1 = 0.0
    w.rate = rate
    if t.by_rows:
        w.l2 = t.hyper.l2 / step.batch.total if step.batch.total > 0.0 else 0.0
    w.decay = rate * t.weight_decay
    step.power_1 = t.place.power_1 * w.beta_1
    step.power_2 = t.place.power_2 * w.beta_2
    step.power_3 = t.place.power_3 * t.power_base
    if t.average != NULL:
        step.average_power = t.place.average_power * t.average_decay
        step.share = (1.0 - t.average_decay) / (1.0 - step.average_power)
    if t.optimizer == CBP_ADAM:
        w.rate = rate / (1.0 - step.power_1)
        w.root = 1.0 / sqrt(1.0 - step.power_2)
        if t.by_rows:         # epsilon is added to the root of v itself
            w.rate *= sqrt(1.0 - step.power_2)
            w.root = 1.0
    elif t.optimizer == CBP_NADAM:
        mu = w.beta_1 * (1.0 - 0.5 * step.power_3)
        next_mu = w.beta_1 * (1.0 - 0.5 * (step.power_3 * t.power_base))
        step.power_1 = t.place.power_1 * mu
        w.rate = rate * (1.0 - mu) / (1.0 - step.power_1)
        w.rate_2 = rate * next_mu / (1.0 - step.power_1 * next_mu)
        w.root = 1.0 / sqrt(1.0 - step.power_2)
    elif t.optimizer == CBP_ADAGRAD:
        w.rate = rate / (1.0 + <double>t.place.step * t.rate_decay)
    elif t.optimizer == CBP_RPROP:         # its factors are no means': 1.2^t would overflow
        step.power_1 = step.power_2 = 1.0
    b.rate, b.rate_2, b.root, b.decay = w.rate, w.rate_2, w.root, w.decay


cdef void lay_out_epoch(Train *t) noexcept nogil:
    """Shuffles for the epoch at `place`: its order depends on the seed and the epoch alone."""
    if t.orders != NULL:
        t.order = t.orders + t.epochs_done * t.n_rows
    cdef Py_ssize_t j
    if t.shuffled != NULL and t.laid_out != t.place.epoch:
        shuffle(t.shuffled, t.n_rows, t.seed, t.place.epoch)
        if t.subset != NULL:
            for j in range(t.n_rows):
                t.shuffled[j] = t.subset[t.shuffled[j]]
        t.laid_out = t.place.epoch


cdef void copy_arrays(const Train *t, bint back) noexcept nogil:
    """Copies theta and its running mean to where they are kept, or back."""
    cdef Py_ssize_t size = t.n_parameters * t.net.kernel.itemsize
    cdef char *theta = t.net.layers[0].w
    memcpy(theta if back else t.kept, t.kept if back else theta, size)
    if t.average != NULL:
        memcpy(t.average if back else t.kept + size, t.kept + size if back else t.average, size)


cdef Py_ssize_t weight_chunks(const Layer *layer) noexcept nogil:
    """Chunks of the sum of squares of a layer's weights."""
    return (layer.n_in * layer.n_out + CBP_CHUNK - 1) // CBP_CHUNK


cdef void penalty_task(const Train *t, Py_ssize_t task) noexcept nogil:
    """The squares of a part of all weights: beside the sweep, which only reads them.  In one thread
    behind it they were 5 % of a step of 784-128-10 with two threads."""
    cdef const Layer *layer
    cdef Py_ssize_t chunk = 0, first, size, c, item = t.net.kernel.itemsize, chunks = 0
    cdef int l
    for l in range(t.net.n_layers):
        chunks += weight_chunks(&t.net.layers[l])
    for l in range(t.net.n_layers):
        layer = &t.net.layers[l]
        size = layer.n_in * layer.n_out
        for c in range(weight_chunks(layer)):
            if task * chunks <= chunk * t.n_penalties < (task + 1) * chunks:
                first = c * CBP_CHUNK
                t.penalties[chunk] = t.net.kernel.square_sum(
                    layer.w + first * item, min(<Py_ssize_t>CBP_CHUNK, size - first))
            chunk += 1


cdef double loss_by_rows(const Train *t, char *row_loss) noexcept nogil:
    """The minibatch's mean loss as scikit-learn tells it, times its rows: that of a row is at most
    `most_loss`, and the penalty is part of it."""
    cdef const Batch *batch = &t.step.batch
    cdef const Layer *layer
    cdef double mean = 0.0, squares = 0.0, of_layer
    cdef Py_ssize_t r, chunk = 0, item = t.net.kernel.itemsize
    cdef int l
    for r in range(batch.n):
        if item == 4:
            if (<float *>row_loss)[r] > t.most_loss:
                (<float *>row_loss)[r] = <float>t.most_loss
        elif (<double *>row_loss)[r] > t.most_loss:
            (<double *>row_loss)[r] = t.most_loss
    if batch.total > 0.0:
        mean = t.loss_factor / batch.total * t.net.kernel.row_sum(row_loss, batch.weight,
                                                               batch.target.index, batch.n)
    if t.step.weights.l2 != 0.0:
        for l in range(t.net.n_layers):
            layer = &t.net.layers[l]
            if t.penalties == NULL:
                squares += t.net.kernel.square_sum(layer.w, layer.n_in * layer.n_out)
            else:
                of_layer = 0.0
                for r in range(weight_chunks(layer)):
                    of_layer += t.penalties[chunk]
                    chunk += 1
                squares += of_layer
        mean += 0.5 * t.step.weights.l2 * squares
    return mean * batch.n


cdef bint advance(Train *t, double loss) noexcept nogil:
    """Moves `place` behind the step and lays out what follows; whether the run goes on."""
    cdef Place *place = &t.place
    cdef const Batch *batch = &t.step.batch
    cdef double total = <double>batch.n if t.by_rows else batch.total
    place.loss_sum += loss if batch.mean or t.by_rows else loss * batch.total
    place.weight_sum += total
    place.batch += 1
    place.row += batch.n
    if batch.total > 0.0:
        place.step += 1
        place.power_1, place.power_2 = t.step.power_1, t.step.power_2
        place.power_3, place.average_power = t.step.power_3, t.step.average_power
    if place.row == t.n_rows:
        if t.kept != NULL and not t.net.kernel.finite(t.net.layers[0].w, t.n_parameters):
            t.diverged = 1
            return False
        t.losses[t.epochs_done] = (place.loss_sum / place.weight_sum
                                   if place.weight_sum > 0.0 else 0.0)
        place.loss_sum = place.weight_sum = 0.0
        place.row = place.batch = 0
        place.epoch += 1
        t.epochs_done += 1
        if t.kept != NULL:
            copy_arrays(t, False)
            t.kept_place = place[0]
        if t.epochs_done == t.n_epochs or (t.until > 0.0 and cbp_clock() >= t.until):
            return False
        lay_out_epoch(t)
    if (cbp_raised(&t.abort) or cbp_raised(&t.stop)
            or (t.rates != NULL and place.step - t.first_step == t.n_rates)):
        return False
    lay_out_step(t)
    return True


cdef void open_sweep(Train *t, int phase) noexcept nogil:
    """Opens a phase of the sweep."""
    t.phase = phase
    t.n_sweep = sweep_tasks(t.net, &t.work, phase, t.step.batch.n, t.step.block)
    cbp_set(&t.stage, SWEEP)
    cbp_open(&t.crew, t.n_sweep + (t.n_penalties if phase == 0 else 0))


cdef void next_stage(Train *t) noexcept nogil:
    """Opens what comes after the phase that has just ended, or closes."""
    if t.stage == TRANSPOSE or (t.stage == SWEEP
                                and t.phase + 1 < sweep_phases(t.net, &t.work, True)):
        open_sweep(t, 0 if t.stage == TRANSPOSE else t.phase + 1)
        return
    if t.stage == SWEEP:
        t.loss = (loss_by_rows(t, t.work.loss) if t.by_rows else
                  batch_loss(t.net, &t.work, &t.step.batch))
        if not isfinite(t.loss):
            t.diverged = 1
            cbp_close(&t.crew)
            return
        if t.step.batch.total > 0.0:       # a minibatch without weight updates nothing
            cbp_set(&t.stage, TILES if t.grad == NULL else GRADIENT)
            cbp_open(&t.crew, t.n_tiles)
            return
    elif t.stage == GRADIENT and t.clip_norm > 0.0:
        cbp_set(&t.stage, NORM)
        cbp_open(&t.crew, (chunks_of(t) + NORM_CHUNKS - 1) // NORM_CHUNKS)
        return
    elif t.stage == GRADIENT or t.stage == NORM:
        if t.stage == NORM:
            limit_norm(t)
        cbp_set(&t.stage, UPDATE)
        cbp_open(&t.crew, t.n_tiles)
        return
    elif t.stage != PROJECT and t.n_projects:
        cbp_set(&t.stage, PROJECT)
        cbp_open(&t.crew, t.n_projects)
        return
    if advance(t, t.loss):
        open_sweep(t, 0)
    else:
        cbp_close(&t.crew)


cdef Py_ssize_t chunks_of(const Train *t) noexcept nogil:
    """Chunks of the sum of squares of the gradient."""
    return (t.n_parameters + CBP_CHUNK - 1) // CBP_CHUNK


cdef void norm_task(const Train *t, Py_ssize_t task) noexcept nogil:
    """The squares of some chunks of the gradient."""
    cdef Py_ssize_t chunk, first
    for chunk in range(task * NORM_CHUNKS, min((task + 1) * NORM_CHUNKS, chunks_of(t))):
        first = chunk * CBP_CHUNK
        t.squares[chunk] = t.net.kernel.square_sum(
            t.grad + first * t.net.kernel.itemsize,
            min(<Py_ssize_t>CBP_CHUNK, t.n_parameters - first))


cdef void limit_norm(Train *t) noexcept nogil:
    """Turns the penalties, which the gradient has by now, into the factor that its norm leaves."""
    cdef double norm = 0.0, factor = 1.0
    cdef Py_ssize_t chunk
    for chunk in range(chunks_of(t)):
        norm += t.squares[chunk]
    norm = sqrt(norm)
    if norm > t.clip_norm:
        factor = t.clip_norm / norm
    t.step.weights.l2 = t.step.weights.l1 = t.step.weights.clip_value = 0.0
    t.step.weights.factor = factor
    t.step.biases.clip_value = 0.0
    t.step.biases.factor = factor


cdef void project_task(const Train *t, Py_ssize_t task) noexcept nogil:
    """Brings the weights of up to PROJECT_COLUMNS units of a layer within its max_norm."""
    cdef const cbp_kernels *kernel = t.net.kernel
    cdef const Layer *layer
    cdef Py_ssize_t item = kernel.itemsize, first, columns, strip, r, at
    cdef int l
    for l in range(t.net.n_layers):
        layer = &t.net.layers[l]
        if task < projects_of(t, l):
            break
        task -= projects_of(t, l)
    first = task * PROJECT_COLUMNS
    columns = min(<Py_ssize_t>PROJECT_COLUMNS, layer.n_out - first)
    if (kernel.max_norm(layer.w + first * item, layer.n_out, layer.n_in, columns,
                        t.limits[l].max_norm) and t.work.w_t[l] != NULL):
        for strip in range((layer.n_in + CBP_STRIP - 1) // CBP_STRIP):
            dense_transpose(kernel, layer, t.work.w_t[l], strip, first, columns)
    if t.average != NULL:
        for r in range(layer.n_in):
            at = (layer.offset + r * layer.n_out + first) * item
            kernel.average(t.average + at, t.net.layers[0].w + at, t.step.share, columns)


cdef Py_ssize_t projects_of(const Train *t, int l) noexcept nogil:
    """Tasks of PROJECT in layer l."""
    if t.limits[l].max_norm == 0.0 or not t.trainable[l] & 1:
        return 0
    return (t.net.layers[l].n_out + PROJECT_COLUMNS - 1) // PROJECT_COLUMNS


cdef void update_span(const Train *t, char *g, Py_ssize_t at, Py_ssize_t count,
                      const cbp_hyper *hyper, bint average) noexcept nogil:
    """The optimiser on `count` parameters from element `at` of theta, with gradient g; their
    running mean too where `average`."""
    at *= t.net.kernel.itemsize
    t.net.kernel.update(t.optimizer, t.net.layers[0].w + at,
                        t.state_1 + at if t.state_1 != NULL else NULL,
                        t.state_2 + at if t.state_2 != NULL else NULL,
                        g, t.mask + at if t.mask != NULL else NULL, count, hyper)
    if average:
        t.net.kernel.average(t.average + at, t.net.layers[0].w + at, t.step.share, count)


cdef void keep_span(const Train *t, const char *g, Py_ssize_t at, Py_ssize_t count,
                    const cbp_hyper *hyper) noexcept nogil:
    """Puts `count` elements of the gradient where theta has their parameters, with the penalties
    if the norm of all is limited (else the update adds them)."""
    at *= t.net.kernel.itemsize
    if t.clip_norm > 0.0:
        t.net.kernel.penalise(t.grad + at, g, t.net.layers[0].w + at,
                              t.mask + at if t.mask != NULL else NULL, count, hyper)
    else:
        memcpy(t.grad + at, g, count * t.net.kernel.itemsize)


cdef void keep_tile(const Train *t, const Tile *tile, const char *scratch) noexcept nogil:
    """Puts what is trained of a tile of the gradient from scratch into all of it."""
    cdef const Layer *layer = &t.net.layers[tile.layer]
    cdef Py_ssize_t item = t.net.kernel.itemsize, first = tile.strip * CBP_STRIP, r
    cdef Py_ssize_t n = min(<Py_ssize_t>CBP_STRIP, layer.n_in - first)
    if not t.trainable[tile.layer] & 1:
        pass
    elif tile.columns == layer.n_out:
        keep_span(t, scratch, layer.offset + first * layer.n_out, n * layer.n_out,
                  &t.step.weights)
    else:
        for r in range(n):
            keep_span(t, scratch + r * tile.columns * item,
                      layer.offset + (first + r) * layer.n_out + tile.first, tile.columns,
                      &t.step.weights)
    if tile.strip == 0 and layer.b != NULL and t.trainable[tile.layer] & 2:
        keep_span(t, scratch + (CBP_STRIP * tile.columns + CBP_STRIP) * item,
                  layer.offset + layer.n_in * layer.n_out + tile.first, tile.columns,
                  &t.step.biases)


cdef void update_tile(const Train *t, const Tile *tile, char *g, Py_ssize_t g_row,
                      char *g_bias) noexcept nogil:
    """Updates a tile of weights from g (rows g_row elements apart), its biases from g_bias, and
    the transposed copy that the next delta reads."""
    cdef const Layer *layer = &t.net.layers[tile.layer]
    cdef Py_ssize_t item = t.net.kernel.itemsize, first = tile.strip * CBP_STRIP, r
    cdef Py_ssize_t n = min(<Py_ssize_t>CBP_STRIP, layer.n_in - first)
    cdef const Limits *limits = &t.limits[tile.layer]
    cdef cbp_hyper weights = t.step.weights
    cdef bint average = t.average != NULL and limits.max_norm == 0.0   # else behind PROJECT
    weights.nonnegative = limits.nonnegative
    if t.trainable[tile.layer] & 1:
        if g_row == layer.n_out and tile.columns == layer.n_out:
            update_span(t, g, layer.offset + first * layer.n_out, n * layer.n_out, &weights,
                        average)
        else:
            for r in range(n):
                update_span(t, g + r * g_row * item,
                            layer.offset + (first + r) * layer.n_out + tile.first, tile.columns,
                            &weights, average)
        tile_transpose(t.net, &t.work, tile)
    if tile.strip == 0 and layer.b != NULL and t.trainable[tile.layer] & 2:
        update_span(t, g_bias, layer.offset + layer.n_in * layer.n_out + tile.first, tile.columns,
                    &t.step.biases, t.average != NULL)


cdef bint idle_tile(const Train *t, const Tile *tile) noexcept nogil:
    """Whether nothing of the tile is trained."""
    return not (t.trainable[tile.layer] & 1 or
                (t.trainable[tile.layer] & 2 and tile.strip == 0))


cdef void fetch_weights(const Train *t, const Tile *tile) noexcept nogil:
    """Asks for a tile's weights and states, which the update finds in the cache then."""
    cdef const Layer *layer = &t.net.layers[tile.layer]
    cdef Py_ssize_t item = t.net.kernel.itemsize, first = tile.strip * CBP_STRIP
    cdef Py_ssize_t at = (layer.offset + first * layer.n_out + tile.first) * item
    cdef Py_ssize_t n = min(<Py_ssize_t>CBP_STRIP, layer.n_in - first), row = layer.n_out * item
    cbp_fetch(t.net.layers[0].w + at, row, NULL, n, tile.columns * item)
    if t.state_1 != NULL:
        cbp_fetch(t.state_1 + at, row, NULL, n, tile.columns * item)
    if t.state_2 != NULL:
        cbp_fetch(t.state_2 + at, row, NULL, n, tile.columns * item)


cdef void fetch_ahead(const Train *t, Py_ssize_t strip) noexcept nogil:
    """Asks for a strip of the next minibatch where it stays in the cache till it is gathered."""
    cdef const cbp_target *target = &t.step.batch.target
    cdef Py_ssize_t item = t.net.kernel.itemsize, row = t.net.layers[0].n_in * item
    if target.ahead * row <= FETCH_BYTES:
        cbp_fetch(<const char *>t.batch.x + strip * CBP_STRIP * item, row,
                  target.index + t.step.batch.n, target.ahead, CBP_STRIP * item)


cdef void train_task(const Train *t, Py_ssize_t task, int me) noexcept nogil:
    """One task of the stage, by thread `me`."""
    cdef const Net *net = t.net
    cdef const Tile *tile = &t.tiles[task]
    cdef const Layer *layer
    cdef Py_ssize_t item = net.kernel.itemsize, at
    cdef char *scratch = t.work.scratch + me * t.work.scratch_bytes
    if t.stage == SWEEP:
        if task < t.n_sweep:
            sweep_task(net, &t.work, &t.step.batch, t.step.block, t.phase, task, me, True)
        else:
            penalty_task(t, task - t.n_sweep)
        return
    if t.stage == TRANSPOSE:
        tile_transpose(net, &t.work, tile)
        return
    if t.stage == NORM:
        norm_task(t, task)
        return
    if t.stage == PROJECT:
        project_task(t, task)
        return
    if idle_tile(t, tile):
        return
    if t.stage == UPDATE:
        layer = &net.layers[tile.layer]
        at = layer.offset + tile.strip * CBP_STRIP * layer.n_out + tile.first
        update_tile(t, tile, t.grad + at * item, layer.n_out,
                    t.grad + (layer.offset + layer.n_in * layer.n_out + tile.first) * item)
        return
    if tile.layer == 0 and tile.first == 0 and t.batch.source == CBP_SAME:
        fetch_ahead(t, tile.strip)
    if t.stage == TILES and t.n_parameters * item > FETCH_WEIGHTS:
        fetch_weights(t, tile)
    tile_gradient(net, &t.work, tile, t.step.batch.n, scratch)
    if t.stage == GRADIENT:
        keep_tile(t, tile, scratch)
    else:
        update_tile(t, tile, scratch, tile.columns,
                    scratch + (CBP_STRIP * tile.columns + CBP_STRIP) * item)


cdef void judge(Train *t, Judge *j, uint32_t phase) noexcept nogil:
    """Lets the others rest for a while where they do not help: where thread 0 waits for them most of
    the time, since they have lost their cores to other programs; or where it is faster alone for a
    window of time, since every line goes from one cache to a far one (two threads took 290 us for
    steps of 140).  Nothing but time depends on it."""
    cdef double now = cbp_clock(), seconds = now - j.window, speed
    cdef uint32_t phases = phase - j.phase
    cdef bint alone = cbp_get(&t.solo)
    if seconds < WINDOW_SECONDS:
        return
    speed = phases / seconds
    if alone and j.speed > 0.0:            # a trial
        if speed > 1.03 * j.speed:
            j.until = now + j.rest
            j.rest = min(2.0 * j.rest, MOST_REST_SECONDS)
        else:
            j.rest, j.trial = FIRST_REST_SECONDS, now + TRIAL_SECONDS
        j.speed = 0.0
    if alone:
        if now >= j.until:
            cbp_set(&t.solo, 0)
    elif j.waited > 0.4 * seconds:
        cbp_set(&t.solo, 1)
        j.until = now + j.rest
        j.rest = min(2.0 * j.rest, MOST_REST_SECONDS)
    elif phases >= TRIAL_PHASES and now >= j.trial and j.awake:
        cbp_set(&t.solo, 1)
        j.speed, j.until = speed, now
    elif now < j.trial or phases < TRIAL_PHASES:
        j.rest = FIRST_REST_SECONDS
    j.awake = not alone        # in the first window the others may have had to wake up
    j.window, j.waited, j.phase = now, 0.0, phase


cdef void train_team(Train *t, int me) noexcept nogil:
    cdef Py_ssize_t task, tasks = 0
    cdef uint32_t phase
    cdef int patience = 0, stage
    cdef uint64_t before = cbp_fpenv_enter()
    cdef double polled = cbp_clock()
    cdef Judge j               # on the stack: no line that others read
    memset(&j, 0, sizeof(Judge))
    if me == 0:
        j = t.judge
        j.window, j.waited, j.since, j.speed = polled, 0.0, 0.0, 0.0
        j.phase, j.awake = cbp_phase(&t.crew), False
        if j.rest == 0.0:
            j.rest = FIRST_REST_SECONDS
        if t.crew.threads > 1 and polled < j.until:
            cbp_set(&t.solo, 1)
    while True:
        phase = cbp_phase(&t.crew)
        if phase == 0:
            break
        if cbp_raised(&t.abort):
            stage = cbp_get(&t.stage)
            if stage < UPDATE:
                break             # who opens an update all the same will finish it
        if me != 0 and cbp_get(&t.solo):
            cbp_rest()
            continue
        task = cbp_take(&t.crew, phase, me)
        if task < 0:
            if cbp_wait(&t.crew, phase, &patience) and me == 0 and j.since == 0.0:
                j.since = cbp_clock()
            tasks += t.look_every // 8
        else:
            if j.since > 0.0:
                j.waited += cbp_clock() - j.since
                j.since = 0.0
            patience = 0
            train_task(t, task, me)
            if t.stage == SWEEP and failed(t.net, &t.work, &t.batch):
                break             # the step is given up, as where a signal's handler raised
            if cbp_finish(&t.crew):
                next_stage(t)
            tasks += 1
        if me == 0 and tasks >= t.look_every:
            tasks = 0
            if look(&polled, &t.pending):
                cbp_raise(&t.abort)
            if t.limit > 0.0 and cbp_clock() >= t.limit:
                cbp_raise(&t.stop)
            if t.crew.threads > 1:
                judge(t, &j, phase)
    if me == 0:
        cbp_set(&t.solo, 0)       # who has opened an update since must finish it
        t.judge = j
    cbp_fpenv_leave(before)


# ---- the small room: steps of a microsecond ----------------------------------------------------

cdef bint fits_small(const Train *t, double mflop) noexcept nogil:
    """Whether the run is one for the small room (src_c/small_body.h): a small net on one thread,
    enough rows, and nothing that the room does not know."""
    cdef const cbp_objective *objective = t.batch.objective
    cdef Py_ssize_t rows = t.n_epochs * t.n_rows
    cdef int l
    if t.rates != NULL:
        rows = min(rows, t.n_rates * t.batch_size)
    if t.crew.threads != 1 or mflop > ROOM_MFLOP or not small_net(t.net):
        return False
    if (rows < ROOM_ROWS or t.batch.source != CBP_SAME
            or t.mask != NULL or t.average != NULL or t.dropout != NULL
            or t.clip_norm != 0.0 or t.batch.function != NULL or t.net.inputs != NULL):
        return False
    if (objective.loss > CBP_CATEGORICAL_CROSS_ENTROPY or objective.mask_nan
            or objective.parameter != 0.0):
        return False
    for l in range(t.net.n_layers):
        if (t.trainable[l] != 3 or t.limits[l].nonnegative or t.limits[l].max_norm != 0.0
                or t.net.layers[l].activation
                > (CBP_SOFTMAX if l == t.net.n_layers - 1 else CBP_RELU)):
            return False
    return True


cdef bint fits_tiny(const Train *t, Py_ssize_t rows) noexcept nogil:
    """Whether a run that `fits_small` goes by `step_room`, up to `rows` rows a step."""
    return (tiny_net(t.net, rows) and not t.by_rows and t.batch.weight == NULL
            and (t.optimizer == CBP_SGD or t.optimizer == CBP_MOMENTUM
                 or t.optimizer == CBP_NESTEROV or t.optimizer == CBP_ADAM)
            and t.hyper.l2 == 0.0 and t.hyper.l1 == 0.0 and t.hyper.clip_value == 0.0
            and t.weight_decay == 0.0)


cdef Py_ssize_t many_tiny(Train *t, Room *room, Py_ssize_t most) noexcept nogil:
    """Makes up to `most` steps of this epoch in one call, and moves `place` behind all of them but
    the last, whose loss is `t.loss`; returns how many it moved over."""
    cdef Place *place = &t.place
    cdef Py_ssize_t n = t.step.batch.n, steps, made, j
    steps = min(min(most, <Py_ssize_t>TINY_STEPS), (t.n_rows - place.row) // n)
    if (t.rates != NULL or t.optimizer == CBP_ADAM    # whose scalars change from step to step
            or cbp_raised(&t.stop)):
        steps = 1
    made = step_room(room, &t.step.batch, t.optimizer, &t.step.weights, max(steps, 1))
    steps = made if made < steps else made - 1
    for j in range(steps):
        place.loss_sum += room.losses[j] if t.batch.mean else room.losses[j] * n
        place.weight_sum += n
        place.power_1, place.power_2 = t.step.power_1, t.step.power_2
        t.step.power_1 *= t.hyper.beta_1
        t.step.power_2 *= t.hyper.beta_2
        place.power_3 = t.step.power_3
        t.step.power_3 *= t.power_base
    if steps > 0:
        place.batch += steps
        place.step += steps
        place.row += steps * n
        lay_out_step(t)
    t.loss = room.losses[steps]
    return steps


cdef void train_small(Train *t, Room *room) noexcept nogil:
    """What `train_team` does, a step at a time."""
    cdef char *states[2]
    cdef uint64_t before = cbp_fpenv_enter()
    cdef double polled = cbp_clock(), now
    cdef Py_ssize_t steps = 0
    states[0], states[1] = t.state_1, t.state_2
    load_room(room, states)
    while True:
        if room.tiny:
            steps += many_tiny(t, room, t.look_every - steps)
        else:
            t.loss = sweep_room(room, &t.step.batch)
        if t.by_rows:                      # the penalty is of the parameters
            t.net.kernel.small_store(&room.c, t.net.layers[0].w, room.c.w)
            t.loss = loss_by_rows(t, room.loss)
        if not isfinite(t.loss):
            t.diverged = 1
            break
        if t.step.batch.total > 0.0 and not room.tiny:    # one without weight updates nothing
            update_room(room, t.optimizer, &t.step.weights, &t.step.biases)
        if t.kept != NULL and t.place.row + t.step.batch.n == t.n_rows:
            store_room(room, states)       # `advance` looks at the parameters
        if not advance(t, t.loss):
            break
        steps += 1
        if steps < t.look_every:
            continue
        steps = 0
        now = cbp_clock()
        if now - polled >= POLL_SECONDS:   # handlers may look at the parameters, and change them
            store_room(room, states)
            if look(&polled, &t.pending):
                cbp_fpenv_leave(before)
                return
            load_room(room, states)
        if t.limit > 0.0 and now >= t.limit:
            cbp_raise(&t.stop)
    store_room(room, states)
    cbp_fpenv_leave(before)


cdef int run_team(Train *t) except -1:
    cdef int me = 0
    if t.crew.threads == 1:
        with nogil:
            train_team(t, 0)
        return 0
    with nogil, parallel(num_threads=t.crew.threads):
        me = threadid()
        if me == 0:
            t.team = cbp_team_size()
        train_team(t, me)
    return 0


cdef bint plain_data(const cbp_kernels *kernel, const void *x, Py_ssize_t count, const void *target,
                     Py_ssize_t n_targets, Py_ssize_t classes, double most) noexcept nogil:
    """Whether x is finite, and the targets are labels below `classes`, or where that is 0 finite, and
    in 0 .. `most` unless `most` is negative."""
    cdef uint64_t before = cbp_fpenv_enter()
    cdef bint fits = kernel.finite(x, count)
    if fits and classes:
        fits = numbers_below(classes, <const Py_ssize_t *>target, n_targets)
    elif fits:
        fits = kernel.finite(target, n_targets)
        if fits and most >= 0.0:
            fits = (between_0_and(most, <const float *>target, n_targets)
                    if kernel.itemsize == 4 else
                    between_0_and(most, <const double *>target, n_targets))
    cbp_fpenv_leave(before)
    return fits


cdef class Loop:
    """The training loop of one network with one optimiser.

    Parameters
    ----------
    core : Core
    loss : Objective
    reduction : int
        0 for the mean, 1 for the sum over rows.
    optimizer : int
        A code of OPTIMIZERS.
    hyper : dict
        learning_rate, momentum, beta_1, beta_2, epsilon, weight_decay, rate_decay, lower, upper,
        power_base: what is missing is 0.
    l2 : float
    states : list of flat arrays like theta
        As many as N_STATES says; kept by reference and written.
    trainable : list of (bool, bool)
        Whether each layer's weights, and its biases, are updated.
    nonnegative : list of bool, or None
        Whether each layer's weights end an update as max(w, 0).
    max_norm : list of float, or None
        For each layer the largest norm of a unit's weights behind an update; 0: any.
    dropout : list of float, or None
        For each layer the probability that an output is dropped in training.
    l1, clip_value, clip_norm : float
        Penalty; limits of the gradient's elements, and of its norm; 0: none.
    average : flat array like theta, or None
        The running mean of the parameters, written behind each update.
    average_decay : float
        What of that mean a step keeps.
    mask : flat array like theta, or None
        Multiplied into the parameters after each update.
    batch_size : int
    shuffle : bool
        Both may be overridden by `bind`.
    seed : int
        Of the shuffle stream, below 2**64.
    by_rows : dict or None
        For scikit-learn's conventions, most_loss and loss_factor: l2 is divided by the
        minibatch's weight, Adam's epsilon is added before the bias correction, and an epoch's
        loss is the mean over rows of their minibatch's loss, which is loss_factor times the
        loss of its rows, each at most most_loss, plus the penalty.
    """

    cdef Core core
    cdef Objective objective
    cdef Train t
    cdef Arena arena, grad, dropped, kept, penalties
    cdef Buffer x, target, labels, state_1, state_2, mask, average
    cdef const double[::1] weight
    cdef Py_ssize_t[::1] order, ascending
    cdef double[::1] one
    cdef const Py_ssize_t[::1] subset
    cdef unsigned char *trainable
    cdef Limits *limits
    cdef cbp_dropout *dropout
    cdef Py_ssize_t n_rows, batch_size
    cdef bint shuffle, bound, running, small

    def __cinit__(self):
        self.trainable = NULL
        self.limits = NULL
        self.dropout = NULL
        # A memoryview that was never set is not None.
        self.order = self.ascending = self.subset = self.one = None

    def __init__(self, Core core, *, Objective loss not None, int reduction, int optimizer, hyper,
                 double l2, states, trainable, mask, Py_ssize_t batch_size, bint shuffle,
                 uint64_t seed, by_rows=None, double l1=0.0, double clip_value=0.0,
                 double clip_norm=0.0, nonnegative=None, max_norm=None, dropout=None,
                 average=None, double average_decay=0.0):
        cdef int l, L = core.net.n_layers
        cdef double keep
        cdef Train *t = &self.t
        if optimizer not in N_STATES or len(states) != N_STATES[optimizer]:
            raise ValueError(f"Optimizer {optimizer} with {len(states)} states is unknown.")
        if batch_size < 1:
            raise ValueError("batch_size must be at least 1.")
        if any(each is not None and len(each) != L
               for each in (trainable, nonnegative, max_norm, dropout)):
            raise ValueError("trainable, nonnegative, max_norm, dropout must name every layer.")
        self.core = core
        self.arena, self.grad, self.kept, self.dropped = Arena(), Arena(), Arena(), Arena()
        self.penalties = Arena()
        self.x, self.target, self.labels = Buffer(), Buffer(), Buffer()
        self.state_1, self.state_2 = Buffer(), Buffer()
        self.mask, self.average = Buffer(), Buffer()
        self.bound = self.running = self.small = False
        self._free()
        self.trainable = <unsigned char *>calloc(L, 1)
        self.limits = <Limits *>calloc(L, sizeof(Limits))
        self.dropout = <cbp_dropout *>calloc(L, sizeof(cbp_dropout))
        if self.trainable == NULL or self.limits == NULL or self.dropout == NULL:
            raise MemoryError()
        t.trainable, t.limits, t.dropout = self.trainable, self.limits, NULL
        t.net, t.n_projects = &core.net, 0
        for l in range(L):
            self.trainable[l] = bool(trainable[l][0]) + 2 * bool(trainable[l][1])
            self.limits[l].nonnegative = nonnegative is not None and bool(nonnegative[l])
            self.limits[l].max_norm = 0.0 if max_norm is None else max_norm[l]
            t.n_projects += projects_of(t, l)
            if dropout is not None and dropout[l] > 0.0:
                keep = 1.0 - dropout[l]
                self.dropout[l] = cbp_dropout(seed, 0, l, <uint64_t>(keep * 4294967296.0),
                                              1.0 / keep)
                if self.dropout[l].keep == 0:
                    raise ValueError(f"dropout[{l}] must keep units, got {dropout[l]}.")
                t.dropout = self.dropout
        t.batch.dropout = t.dropout
        t.tiles, t.n_tiles, t.n_parameters = core.tiles, core.n_tiles, core.n_parameters
        t.kept, t.subset, t.laid_out, t.stop = NULL, NULL, -1, 0
        self.objective = loss
        t.batch.objective, t.batch.mean = &loss.loss, reduction == 0
        t.batch.function = NULL if loss.custom is None else <void *>loss.custom
        self.batch_size, self.shuffle = batch_size, shuffle
        t.optimizer, t.shuffle, t.seed, t.batch_size = optimizer, shuffle, seed, batch_size
        t.rate, t.weight_decay = hyper["learning_rate"], hyper.get("weight_decay", 0.0)
        t.rate_decay, t.power_base = hyper.get("rate_decay", 0.0), hyper.get("power_base", 0.0)
        t.hyper = cbp_hyper(
            rate=0.0, rate_2=0.0, momentum=hyper.get("momentum", 0.0),
            beta_1=hyper.get("beta_1", 0.0), beta_2=hyper.get("beta_2", 0.0), root=1.0,
            epsilon=hyper.get("epsilon", 0.0), lower=hyper.get("lower", 0.0),
            upper=hyper.get("upper", 0.0), l2=l2, l1=l1, clip_value=clip_value, decay=0.0,
            factor=1.0, nonnegative=0)
        t.clip_norm, t.average_decay = clip_norm, average_decay
        t.by_rows = by_rows is not None
        if by_rows is not None:
            t.most_loss, t.loss_factor = by_rows["most_loss"], by_rows["loss_factor"]
        t.state_1 = t.state_2 = t.mask = t.average = NULL
        if len(states) > 0:
            t.state_1 = self.state_1.bind(states[0], core.n_parameters, 0, core.itemsize, True)
        if len(states) > 1:
            t.state_2 = self.state_2.bind(states[1], core.n_parameters, 0, core.itemsize, True)
        if mask is not None:
            t.mask = self.mask.bind(mask, core.n_parameters, 0, core.itemsize, False)
        if average is not None:
            t.average = self.average.bind(average, core.n_parameters, 0, core.itemsize, True)
        t.place = Place(0, 0, 0, 0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
        t.team = 1

    def __dealloc__(self):
        self._free()

    cdef void _free(self) noexcept:
        free(self.trainable)
        free(self.limits)
        free(self.dropout)

    def bind(self, X, target, labels, weight, *, batch_size=None, shuffle=None, rows=None):
        """The data: X (n, n_in), target (n, n_out) or labels (n,) int64, weight (n,) or None.

        `rows` (m,) intp: the rows that an epoch takes, all by default.  Everything is kept by
        reference until `release` or the next call.  A place inside an epoch is kept when the
        number of its rows is the same, else the epoch begins anew."""
        cdef Core core = self.core
        cdef Train *t = &self.t
        cdef Py_ssize_t n, j, n_epoch, columns
        self._refuse_while_running()
        columns = core.check_loss(self.objective, target, labels)
        self.bound = False
        t.batch.x = self.x.bind(X, -1, core.net.layers[0].n_in, 0, False)
        t.batch.source = source_of(self.x, core.itemsize)
        t.batch.x_itemsize = self.x.view.itemsize
        n = self.x.view.shape[0]
        if n == 0:
            raise ValueError("X must have rows.")
        t.batch.target.rows = NULL
        t.batch.target.labels = NULL
        t.batch.target.row_stride = columns
        if target is not None:
            t.batch.target.rows = self.target.bind(target, n, columns, core.itemsize, False)
        else:
            t.batch.target.labels = <const int64_t *>self.labels.bind(labels, n, 0, 8, False)
        t.batch.weight = NULL
        self.weight = weight
        if weight is not None:
            if self.weight.shape[0] != n:
                raise ValueError(f"weight must have {n} elements, got {self.weight.shape[0]}.")
            t.batch.weight = &self.weight[0]
        t.batch_size = self.batch_size if batch_size is None else batch_size
        t.shuffle = self.shuffle if shuffle is None else shuffle
        self.subset, t.subset, n_epoch = None, NULL, n
        if rows is not None:
            self.subset = rows
            n_epoch = self.subset.shape[0]
            for j in range(n_epoch):
                if not 0 <= self.subset[j] < n:
                    raise ValueError(f"rows[{j}] must be below {n}, got {self.subset[j]}.")
            t.subset = &self.subset[0]
        if t.batch_size < 1 or n_epoch == 0:
            raise ValueError("batch_size must be at least 1, and rows have elements.")
        if n_epoch != self.n_rows:
            if self.n_rows:
                self._rewind()
            self.n_rows = n_epoch
        self.order, t.laid_out = None, -1
        self.bound = True

    def release(self):
        """Forgets the data, and what `keep` keeps; the place stays."""
        self._refuse_while_running()
        self.bound = False
        self.x.release()
        self.target.release()
        self.labels.release()
        self.weight = self.subset = self.order = None
        self.t.kept, self.kept = NULL, Arena()
        self.t.stop = 0

    def keep(self):
        """Copies parameters, their running mean and place, now and at every end of an epoch, for
        `restore`; from now on a parameter that is not finite there raises Diverged."""
        cdef Train *t = &self.t
        cdef Py_ssize_t arrays = 1 + (t.average != NULL)
        self._refuse_while_running()
        t.kept = self.kept.reserve(arrays * t.n_parameters * t.net.kernel.itemsize)
        copy_arrays(t, False)
        t.kept_place = t.place

    def restore(self):
        """Puts back what `keep` has copied last, with the bias corrections of a first step: the
        caller lets the states begin anew, of which there is no copy."""
        if self.t.kept == NULL:
            raise ValueError("keep must come before restore.")
        self._refuse_while_running()
        self.core.enter(True)
        copy_arrays(&self.t, True)
        self.core.leave(True)
        self.t.place = self.t.kept_place
        self.t.place.power_1 = self.t.place.power_2 = self.t.place.power_3 = 1.0

    def stop(self):
        """Ends the run that is on, or the next one, behind the step under way; any thread may
        call it.  `release` takes it back."""
        cbp_raise(&self.t.stop)

    @property
    def stopped(self):
        """Whether `stop` was called, or a run met its limit, since `release`."""
        return bool(cbp_raised(&self.t.stop))

    def run(self, double[::1] losses, double seconds, int n_threads, order=None, rates=None,
            double limit=0.0):
        """Runs up to len(losses) epochs and writes each epoch's loss; returns how many ended.

        Parameters
        ----------
        losses : (n_epochs,) float64 array, written
        seconds : float
            Returns at the first end of an epoch after this time; 0: no limit.
        n_threads : int
        order : (m,) or (n_epochs, m) intp array or None
            Rows to use in every epoch, or in each one, in this order, instead of the shuffle.
        rates : (k,) float64 array or None
            The learning rates of the next k steps, instead of `learning_rate`; the run ends, with
            its place kept, when they are used up.
        limit : float
            Returns behind the step that is under way after so many seconds; 0: no limit.

        Raises
        ------
        Diverged
            If the loss of a minibatch is not finite; its update is not applied.  Or, after `keep`,
            if a parameter is not finite at the end of an epoch, which does not count then.
        RuntimeError
            If the network is in use by another call.
        BaseException
            What a Python signal handler raised (KeyboardInterrupt).  The parameters are those of
            the last completed update; the next `run` goes on behind it.
        """
        if not self.bound:
            raise ValueError("bind must come before run.")
        if losses.shape[0] == 0 or self.stopped or (rates is not None and len(rates) == 0):
            return 0
        return self._go(losses, seconds, n_threads, order, rates, limit)

    cdef int _go(self, double[::1] losses, double seconds, int n_threads, order, rates,
                 double limit) except -1:
        """`run` behind its checks."""
        self.core.enter(True)
        self.running = True
        try:
            self._run(losses, seconds, n_threads, order, rates, limit)
        finally:
            self.running = False
            self.core.leave(True)
        if self.t.pending != NULL:
            reraise(self.t.pending)
        if self.t.diverged:
            raise Diverged(self.t.loss, self.t.place.epoch, self.t.place.batch)
        return self.t.epochs_done

    cdef int _run(self, double[::1] losses, double seconds, int n_threads, order, rates,
                  double limit) except -1:
        """What `run` does while nobody else touches the network or this loop."""
        cdef Core core = self.core
        cdef Train *t = &self.t
        cdef const Py_ssize_t[::1] given
        cdef const double[::1] steps
        cdef Py_ssize_t size, j, shares, weights = 0, rows
        cdef int l, threads, states
        cdef double mflop
        cdef char *memory
        cdef uint64_t before
        cdef Room room
        cdef bint tiny
        t.n_rows, t.shuffled, t.orders = self.n_rows, NULL, NULL
        if order is not None:
            given = order if order.ndim == 1 else order.reshape(-1)
            t.n_rows = order.shape[order.ndim - 1]
            if t.n_rows == 0 or (order.ndim > 1 and order.shape[0] != losses.shape[0]):
                raise ValueError("order must have elements, and one row or one for each epoch.")
            for j in range(given.shape[0]):
                if not 0 <= given[j] < self.x.view.shape[0]:
                    raise ValueError(f"order[{j}] must be a row below {self.x.view.shape[0]}, "
                                     f"got {given[j]}.")
            t.order = &given[0]
            if order.ndim > 1:
                t.orders = t.order
        elif not t.shuffle and self.subset is None:
            if self.ascending is None or self.ascending.shape[0] < self.n_rows:
                self.ascending = _indices(self.n_rows, None)
            t.order = &self.ascending[0]
        else:
            if self.order is None:
                self.order = _indices(self.n_rows, self.subset)
            t.order = &self.order[0]
            if t.shuffle:
                t.shuffled = &self.order[0]
        if t.place.row >= t.n_rows:
            self._rewind()
        rows = min(t.batch_size, t.n_rows)
        for l in range(core.net.n_layers):
            weights += core.net.layers[l].n_in * core.net.layers[l].n_out
        mflop = 6e-6 * rows * weights
        t.grad = NULL
        if mflop > LONG_MFLOP or t.clip_norm > 0.0:
            size = (core.n_parameters * core.itemsize + 63) // 64 * 64
            t.grad = self.grad.reserve(size + chunks_of(t) * sizeof(double))
            t.squares = <double *>(t.grad + size)
            memset(t.grad, 0, size)    # what is not trained counts as 0 in the norm
        threads = core.team(self.objective, n_threads)
        t.losses, t.n_epochs, t.epochs_done = &losses[0], losses.shape[0], 0
        t.rates, t.n_rates, t.first_step = NULL, 0, t.place.step
        if rates is not None:
            steps = rates
            t.rates, t.n_rates = &steps[0], steps.shape[0]
        t.crew.threads = threads
        self.small = fits_small(t, mflop)
        t.penalties, t.n_penalties = NULL, 0
        if t.by_rows and t.hyper.l2 != 0.0 and not self.small:
            size = 0
            for l in range(core.net.n_layers):
                size += weight_chunks(&core.net.layers[l])
            t.penalties = <double *>self.penalties.reserve(size * sizeof(double))
            t.n_penalties = min(size, <Py_ssize_t>threads)
        if self.small:
            tiny = fits_tiny(t, rows)
            states = (t.state_1 != NULL) + (t.state_2 != NULL)
            memory = self.arena.reserve(
                lay_out_room(&room, &core.net, &t.batch, NULL, rows, states, tiny))
            lay_out_room(&room, &core.net, &t.batch, memory, rows, states, tiny)
        else:
            shares = (threads * sizeof(cbp_share) + 63) // 64 * 64
            memory = self.arena.reserve(shares + work_bytes(&core.net, rows, True, False, threads))
            cbp_assemble(&t.crew, <cbp_share *>memory, threads)
            lay_out(&core.net, &t.work, memory + shares, rows, True, False, threads)
            t.work.pending = &t.pending
            if t.dropout != NULL:
                lay_out_dropped(&core.net, &t.work, t.dropout, self.dropped.reserve(
                    dropped_bytes(&core.net, &t.work, t.dropout)))
        # A step has about as many tasks as tiles; a look is worth about a millisecond of them.
        t.look_every = <Py_ssize_t>min(LOOK_MFLOP / (mflop + 0.01)
                                       * (1 if self.small else t.n_tiles), 100000.0) + 1
        t.abort = t.diverged = t.solo = 0
        t.team, t.pending = 1, NULL
        t.until = cbp_clock() + seconds if seconds > 0.0 else 0.0
        t.limit = cbp_clock() + limit if limit > 0.0 else 0.0
        before = cbp_fpenv_enter()
        t.step.block = 0
        lay_out_epoch(t)
        lay_out_step(t)
        cbp_fpenv_leave(before)
        if self.small:
            with nogil:
                train_small(t, &room)
            return 0
        t.stage = TRANSPOSE
        cbp_open(&t.crew, t.n_tiles)
        run_team(t)
        return 0

    def update(self, X, target, labels, weight, int n_threads, bint counts=False):
        """Makes one update from all of these rows in their order; returns their loss before it.

        What was bound is forgotten; the place inside its epoch stays, but where it `counts`: then
        the minibatch and its loss belong to the epoch that `end_epoch` ends."""
        cdef Train *t = &self.t
        cdef double loss
        cdef Py_ssize_t n_before = self.n_rows
        cdef Place before = t.place
        try:
            self.bind(X, target, labels, weight, batch_size=_ALL, shuffle=False)
        finally:
            self.n_rows, t.place = n_before, before
        loss = self._update(n_threads)
        if counts:
            t.place.loss_sum += t.loss if t.batch.mean else t.loss * t.step.batch.total
            t.place.weight_sum += t.step.batch.total
            t.place.batch += 1
        return loss

    def update_plain(self, X, Y, double rate, int n_threads):
        """What `update` does, with every check compiled, where X and Y are `plain`; None where they
        are not.  n_threads: the most that run; 0: the usable ones."""
        cdef Core core = self.core
        cdef Train *t = &self.t
        cdef Buffer x = Buffer(), target = Buffer()
        cdef Py_ssize_t n, weights = 0
        cdef int l, paid
        if t.by_rows or not self._plain(x, target, X, Y, False):
            return None
        n = x.view.shape[0]
        for l in range(core.net.n_layers):
            weights += core.net.layers[l].n_in * core.net.layers[l].n_out
        paid = paid_threads(6e-6 * n * weights)
        if paid > 1 and not n_threads:
            n_threads = usable_threads()
        self._refuse_while_running()
        self.x, self.target = x, target
        t.batch.target.rows = t.batch.target.labels = NULL
        if target.view.format[0] == c"l":
            t.batch.target.labels = <const int64_t *>target.view.buf
        else:
            t.batch.target.rows = target.view.buf
        t.batch.x, t.batch.source = <const char *>x.view.buf, CBP_SAME
        t.batch.x_itemsize = core.itemsize
        t.batch.target.row_stride = core.target_columns(t.batch.objective)
        t.batch.weight, t.subset = NULL, NULL
        self.weight = self.subset = self.order = None
        t.batch_size, t.shuffle, t.laid_out = n, False, -1
        t.rate = rate
        try:
            return self._update(max(min(n_threads, paid), 1))
        finally:
            x.release()
            target.release()

    def plain(self, X, Y):
        """Whether X and Y are C-contiguous arrays as the loop takes them, finite and in the loss's
        range: arrays that no check can find fault with.  Much else can be made such arrays.

        X: (n, n_inputs), n > 0.  Y: (n, n_targets), (n,) for one target, or labels (n,) int64."""
        return self._plain(Buffer(), Buffer(), X, Y, True)

    cdef bint _plain(self, Buffer x, Buffer target, X, Y, bint release) except -1:
        """`plain`; holds the two.  `release`: whether other threads may run meanwhile."""
        cdef Core core = self.core
        cdef const cbp_objective *objective = self.t.batch.objective
        cdef char letter = c"f" if core.itemsize == 4 else c"d"
        cdef Py_ssize_t n, columns = core.target_columns(objective)
        cdef Py_ssize_t n_out = core.net.layers[core.net.n_layers - 1].n_out
        cdef bint fits, labels = objective.loss in (CBP_CATEGORICAL_CROSS_ENTROPY,
                                                    CBP_CATEGORICAL_FOCAL)
        cdef double most = INFINITY
        if (columns < 0 or objective.mask_nan or core.net.outputs != NULL
                or self.objective.custom is not None or not view_plain(x, X, letter)
                or not view_plain(target, Y, c"l" if labels else letter)):
            return False
        n = x.view.shape[0] if x.view.ndim == 2 and target.view.ndim > 0 else 0
        if n == 0 or x.view.shape[1] != core.net.layers[0].n_in or target.view.shape[0] != n:
            return False
        if target.view.ndim == 1:
            if target.view.itemsize != 8 if labels else columns != 1:
                return False
        elif labels or target.view.ndim != 2 or target.view.shape[1] != columns:
            return False
        if objective.loss == CBP_BINARY_CROSS_ENTROPY or objective.loss == CBP_BINARY_FOCAL:
            most = 1.0
        elif objective.loss != CBP_POISSON:
            most = -1.0
        if not release:
            return plain_data(core.net.kernel, x.view.buf, n * x.view.shape[1], target.view.buf,
                              n if labels else n * columns, n_out if labels else 0, most)
        with nogil:
            fits = plain_data(core.net.kernel, x.view.buf, n * x.view.shape[1], target.view.buf,
                              n if labels else n * columns, n_out if labels else 0, most)
        return fits

    cdef double _update(self, int n_threads) except? -1.0:
        """One update from all of the data that are bound."""
        cdef Train *t = &self.t
        cdef Place before = t.place
        cdef Py_ssize_t n_before = self.n_rows
        cdef char *kept = t.kept
        if self.one is None:
            self.one = _doubles(1)
        self.n_rows = self.x.view.shape[0]
        t.place.row = 0
        t.place.loss_sum = t.place.weight_sum = 0.0
        t.kept = NULL                # a minibatch is no epoch
        try:
            self._go(self.one, 0.0, n_threads, None, None, 0.0)
        finally:
            t.kept, self.n_rows, self.bound = kept, n_before, False
            t.place.epoch, t.place.batch, t.place.row = before.epoch, before.batch, before.row
            t.place.loss_sum, t.place.weight_sum = before.loss_sum, before.weight_sum
        return self.one[0]

    def end_epoch(self):
        """Ends an epoch of updates that count; returns its loss."""
        cdef Train *t = &self.t
        cdef double loss = 0.0
        self._refuse_while_running()
        if t.kept != NULL and not t.net.kernel.finite(t.net.layers[0].w, t.n_parameters):
            raise Diverged(self.batch_loss, t.place.epoch, t.place.batch)
        if t.place.weight_sum > 0.0:
            loss = t.place.loss_sum / t.place.weight_sum
        self._rewind()
        t.place.epoch += 1
        if t.kept != NULL:
            copy_arrays(t, False)
            t.kept_place = t.place
        return loss

    @property
    def batch_loss(self):
        """The loss of the last minibatch before its update."""
        cdef double total = self.t.step.batch.total
        if self.t.by_rows:
            return self.t.loss / self.t.step.batch.n
        if not self.t.batch.mean:
            return self.t.loss
        return self.t.loss / total if total > 0.0 else 0.0

    def batch_rows(self):
        """The numbers of the last minibatch's rows, as a list."""
        cdef Py_ssize_t j
        cdef list rows = []
        if not self.bound:
            raise ValueError("bind must come before batch_rows.")
        for j in range(self.t.step.batch.n):
            rows.append(self.t.step.batch.target.index[j])
        return rows

    cdef int _refuse_while_running(self) except -1:
        if self.running:
            raise RuntimeError(
                "The network is in use: this loop is running. Wait for that call to end."
            )
        return 0

    cdef void _rewind(self) noexcept:
        self.t.place.row = self.t.place.batch = 0
        self.t.place.loss_sum = self.t.place.weight_sum = 0.0

    def rewind(self):
        """Puts the place back to the beginning of the epoch."""
        self._refuse_while_running()
        self._rewind()

    @property
    def learning_rate(self):
        return self.t.rate

    @learning_rate.setter
    def learning_rate(self, double value):
        self.t.rate = value

    @property
    def row(self):
        """Rows of this epoch that are done."""
        return self.t.place.row

    @property
    def epoch(self):
        return self.t.place.epoch

    @property
    def batch(self):
        return self.t.place.batch

    @property
    def step(self):
        return self.t.place.step

    @property
    def threads_used(self):
        return self.t.team

    @property
    def small_used(self):
        """Whether the last run went through the small room; no bit depends on it."""
        return self.small

    def state(self):
        """Everything but the arrays, as a dictionary of ints and floats."""
        place = self.t.place
        return {"seed": self.t.seed, "learning_rate": self.t.rate, **place}

    def set_state(self, state):
        """Takes back what `state` returned."""
        self._refuse_while_running()
        self.t.laid_out = -1
        self.t.seed, self.t.rate = state["seed"], state["learning_rate"]
        self.t.place = state    # by the names of its fields
        for l in range(self.core.net.n_layers):
            self.dropout[l].seed = self.t.seed


_ALL = 2**62


cdef bint view_plain(Buffer held, array, char letter) except -1:
    """Whether `array` is a plain, C-contiguous ndarray of elements of this format; then held."""
    held.release()
    if type(array) is not _ndarray():
        return False
    try:
        PyObject_GetBuffer(array, &held.view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except (BufferError, ValueError):    # the caller's checks say in words what is wrong with it
        return False
    held.held = True
    return held.view.format[0] == letter and held.view.format[1] == 0


cdef object _type = None


cdef object _ndarray():
    """NumPy's array type, looked up once."""
    global _type
    if _type is None:
        import numpy as np

        _type = np.ndarray
    return _type


ctypedef fused real:
    float
    double


cdef bint between_0_and(double most, const real *x, Py_ssize_t n) noexcept nogil:
    """Whether all of x lies in [0, most]."""
    cdef Py_ssize_t j
    cdef bint inside = True
    for j in range(n):
        inside &= (x[j] >= 0) & (x[j] <= most)
    return inside


cdef double[::1] _doubles(Py_ssize_t n):
    """Room for n numbers."""
    import numpy as np

    return np.empty(n)


cdef Py_ssize_t[::1] _indices(Py_ssize_t n, rows):
    """0 .. n - 1, or a copy of the rows."""
    import numpy as np

    return np.arange(n, dtype=np.intp) if rows is None else np.array(rows, dtype=np.intp)
