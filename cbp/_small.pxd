"""A net that fits the first-level cache, with copies of its parameters in a layout of their own."""
from cbp._backprop cimport Batch, Net
from cbp._kernels cimport cbp_hyper, cbp_kernels, cbp_small


cdef enum:
    TINY_STEPS = 64            # in one call

ctypedef struct Room:
    cbp_small c
    const Net *net
    int states                 # how many the optimiser has
    char *state                # their copies, behind each other
    char *spare                # for the chains of batches of more than CBP_BLOCK rows
    char *scale                # factor of each row's delta
    char *loss                 # loss of each row
    Py_ssize_t scaled          # rows without weights that `scale` is right for
    bint tiny                  # whether steps are made by kernel.tiny_steps, on arrays like theta
    const cbp_kernels *kernel  # whose
    double losses[TINY_STEPS]  # of its steps


cdef bint small_net(const Net *net) noexcept nogil
cdef Py_ssize_t lay_out_room(Room *room, const Net *net, const Batch *batch, char *memory,
                             Py_ssize_t rows, int states, bint tiny) noexcept nogil
cdef bint tiny_net(const Net *net, Py_ssize_t rows) noexcept nogil
cdef Py_ssize_t step_room(Room *room, const Batch *batch, int optimizer, const cbp_hyper *hyper,
                          Py_ssize_t steps) noexcept nogil
cdef void load_room(const Room *room, char **states) noexcept nogil
cdef void store_room(const Room *room, char **states) noexcept nogil
cdef double sweep_room(Room *room, const Batch *batch) noexcept nogil
cdef void update_room(const Room *room, int optimizer, const cbp_hyper *weights,
                      const cbp_hyper *biases) noexcept nogil
