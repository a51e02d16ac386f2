"""Declarations of src_c: the kernel tables, the floating-point environment, the random streams.

Only `_runtime` links src_c; the others reach it through the pointers that `_runtime` hands out.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "cbp_kernels.h" nogil:
    enum:
        CBP_STRIP
        CBP_BLOCK
        CBP_CHUNK
        CBP_SMALL_ROWS
    enum:
        CBP_IDENTITY
        CBP_SIGMOID
        CBP_TANH
        CBP_RELU
        CBP_SOFTMAX
        CBP_LOG_SOFTMAX
        CBP_LEAKY_RELU
        CBP_ELU
        CBP_SELU
        CBP_SOFTPLUS
        CBP_SOFTSIGN
        CBP_HARD_SIGMOID
        CBP_GELU
        CBP_SILU
        CBP_MISH
        CBP_SIN
        CBP_CUSTOM
        CBP_EXP
    enum:
        CBP_SQUARED_ERROR
        CBP_BINARY_CROSS_ENTROPY
        CBP_CATEGORICAL_CROSS_ENTROPY
        CBP_BINARY_FOCAL
        CBP_CATEGORICAL_FOCAL
        CBP_ABSOLUTE_ERROR
        CBP_HUBER
        CBP_QUANTILE
        CBP_POISSON
        CBP_GAUSSIAN
        CBP_CUSTOM_LOSS
    enum:
        CBP_SGD
        CBP_MOMENTUM
        CBP_NESTEROV
        CBP_RMSPROP
        CBP_ADAGRAD
        CBP_LION
        CBP_ADAM
        CBP_NADAM
        CBP_RMSPROP_MOMENTUM
        CBP_RPROP
    enum:
        CBP_SAME
        CBP_INT8
        CBP_UINT8
        CBP_INT16
        CBP_UINT16
        CBP_INT32
        CBP_UINT32
        CBP_INT64
        CBP_UINT64
        CBP_FLOAT16
        CBP_FLOAT32
        CBP_FLOAT64
    ctypedef struct cbp_hyper:
        double rate, rate_2, momentum, beta_1, beta_2, root, epsilon, lower, upper
        double l2, l1, clip_value, decay, factor
        int nonnegative
    ctypedef struct cbp_dropout:
        uint64_t seed
        uint32_t step, layer
        uint64_t keep
        double factor
    ctypedef struct cbp_objective:
        int loss, mask_nan
        double parameter, positive, negative
        const double *table
        Py_ssize_t entries
    int cbp_keeps_z(int activation)
    int cbp_from_logits(int loss)
    ctypedef struct cbp_target:
        const void *rows
        Py_ssize_t row_stride
        const int64_t *labels
        const Py_ssize_t *index
        Py_ssize_t ahead
    void cbp_fetch(const char *rows, Py_ssize_t row_bytes, const Py_ssize_t *index, Py_ssize_t n,
                   Py_ssize_t bytes)
    ctypedef struct cbp_small_layer:
        Py_ssize_t i, o
        int activation
        Py_ssize_t theta, place
        void *a
        void *d
        void *wt
    ctypedef struct cbp_small:
        int n_layers
        const cbp_small_layer *layers
        Py_ssize_t stride, size
        void *w
        void *g
        void *chain
        void *target
        void *columns
    ctypedef struct cbp_kernels:
        const char *isa
        int has_fma
        int itemsize
        void (*gather)(void *strips, Py_ssize_t stride, const void *rows, Py_ssize_t row_stride,
                       const Py_ssize_t *index, Py_ssize_t n, Py_ssize_t c) noexcept nogil
        void (*gather_from)(int source, void *strips, Py_ssize_t stride, const void *rows,
                            Py_ssize_t row_stride, const Py_ssize_t *index, Py_ssize_t n,
                            Py_ssize_t c) noexcept nogil
        void (*scatter)(void *rows, Py_ssize_t row_stride, const void *strips, Py_ssize_t stride,
                        Py_ssize_t n, Py_ssize_t c) noexcept nogil
        void (*transpose)(void *wt, const void *w, Py_ssize_t row_stride, Py_ssize_t i,
                          Py_ssize_t o) noexcept nogil
        void (*matmul)(void *z, Py_ssize_t z_stride, const void *a, Py_ssize_t a_row,
                       Py_ssize_t a_stride, const void *b, Py_ssize_t b_row, Py_ssize_t b_stride,
                       Py_ssize_t n, Py_ssize_t k, Py_ssize_t o, int more) noexcept nogil
        void (*activate)(void *a, Py_ssize_t stride, void *z, Py_ssize_t z_stride, const void *bias,
                         Py_ssize_t n, Py_ssize_t o, int activation) noexcept nogil
        void (*delta)(void *d, Py_ssize_t d_stride, const void *source, Py_ssize_t source_stride,
                      const void *scale, Py_ssize_t n, Py_ssize_t i, int activation) noexcept nogil
        void (*head)(const cbp_objective *objective, int activation, void *d, void *row_loss,
                     const void *a, const void *z, Py_ssize_t stride, const cbp_target *target,
                     const void *scale, Py_ssize_t n, Py_ssize_t o) noexcept nogil
        void (*gradient)(void *g, const void *a, const void *d, Py_ssize_t d_stride, Py_ssize_t n,
                         Py_ssize_t i, Py_ssize_t o) noexcept nogil
        void (*bias_gradient)(void *g, const void *d, Py_ssize_t d_stride, Py_ssize_t n,
                              Py_ssize_t o) noexcept nogil
        void (*add_l2)(void *g, const void *w, double l2, Py_ssize_t c) noexcept nogil
        void (*penalise)(void *out, const void *g, const void *w, const void *mask, Py_ssize_t c,
                         const cbp_hyper *hyper) noexcept nogil
        void (*update)(int optimizer, void *theta, void *s1, void *s2, const void *g,
                       const void *mask, Py_ssize_t c, const cbp_hyper *hyper) noexcept nogil
        void (*average)(void *mean, const void *w, double share, Py_ssize_t c) noexcept nogil
        int (*max_norm)(void *w, Py_ssize_t row_stride, Py_ssize_t i, Py_ssize_t o,
                        double limit) noexcept nogil
        void (*dropout)(void *y, Py_ssize_t y_stride, const void *x, Py_ssize_t x_stride,
                        Py_ssize_t row, Py_ssize_t n, Py_ssize_t first, Py_ssize_t c,
                        const cbp_dropout *how) noexcept nogil
        double (*row_sum)(const void *x, const double *weight, const Py_ssize_t *index,
                          Py_ssize_t n) noexcept nogil
        double (*weight_sum)(const double *weight, const Py_ssize_t *index, Py_ssize_t n) noexcept nogil
        double (*square_sum)(const void *x, Py_ssize_t c) noexcept nogil
        int (*finite)(const void *x, Py_ssize_t c) noexcept nogil
        void (*apply)(void *y, const void *x, Py_ssize_t c, int slope,
                      int activation) noexcept nogil
        void (*small_load)(const cbp_small *room, void *array, const void *theta) noexcept nogil
        void (*small_store)(const cbp_small *room, void *theta, const void *array) noexcept nogil
        void (*small_sweep)(const cbp_small *room, int loss, void *row_loss, const void *x,
                            const cbp_target *target, const void *scale,
                            Py_ssize_t n) noexcept nogil
        Py_ssize_t (*tiny_steps)(const cbp_small *room, int loss, int optimizer, void *state_1,
                                 void *state_2, const cbp_hyper *hyper, void *row_loss,
                                 const void *x, const cbp_target *target, const void *scale,
                                 Py_ssize_t n, Py_ssize_t steps, double *losses) noexcept nogil
        void (*affine)(void *strips, Py_ssize_t stride, const double *terms, Py_ssize_t n,
                       Py_ssize_t c) noexcept nogil
        void (*moments)(double *sum, double *square, const void *rows, Py_ssize_t row_stride,
                        const double *centre, Py_ssize_t n, Py_ssize_t c) noexcept nogil
        void (*permutation)(Py_ssize_t *out, Py_ssize_t n, uint64_t seed, uint32_t purpose,
                            uint32_t stream) noexcept nogil
    ctypedef struct cbp_isa:
        const char *name
        const cbp_kernels *f32
        const cbp_kernels *f64
    const cbp_isa *cbp_find_isa(const char *name)


cdef extern from "fpenv.h" nogil:
    uint64_t cbp_fpenv_enter()
    void cbp_fpenv_leave(uint64_t before)


cdef extern from "cbp_random.h" nogil:
    enum:
        CBP_INITIALISATION
        CBP_SHUFFLE
        CBP_DROPOUT
        CBP_SPLIT
    void cbp_uniform(double *out, Py_ssize_t n, uint64_t seed, uint32_t purpose, uint32_t stream)
    void cbp_normal(double *out, Py_ssize_t n, uint64_t seed, uint32_t purpose, uint32_t stream)


cdef extern from "_team.h" nogil:
    enum:
        CBP_OPENMP
    ctypedef struct cbp_share:
        pass
    ctypedef struct cbp_crew:
        int threads
    int cbp_max_threads()
    int cbp_team_size()
    void cbp_assemble(cbp_crew *crew, cbp_share *shares, int threads)
    void cbp_open(cbp_crew *crew, Py_ssize_t tasks)
    void cbp_close(cbp_crew *crew)
    uint32_t cbp_phase(const cbp_crew *crew)
    Py_ssize_t cbp_take(cbp_crew *crew, uint32_t phase, int me)
    int cbp_finish(cbp_crew *crew)
    int cbp_wait(const cbp_crew *crew, uint32_t phase, int *patience)
    void cbp_rest()
    void cbp_raise(int *flag)
    int cbp_raised(const int *flag)
    void cbp_set(int *where, int value)
    int cbp_get(const int *where)
    double cbp_clock()
