/* cbp_kernels.h: THE contract between the arithmetic (src_c/) and whoever decides who works on what.
 *
 * Floor 0 does arithmetic on arrays it is given: no allocation, no threads, no checks, no Python.
 * The order of every sum is fixed (docs/numerics.md); how work is cut into calls never shows.
 *
 * Axes
 *   n  samples (rows of a minibatch)      i  inputs of a layer      o  outputs of a layer
 *
 * Layouts
 *   rows    [n][c], row-major with a row stride: the user's arrays, W (i, o), theta
 *   strips  [c/16][n][16]: columns in strips of 16, a strip's rows 16 elements apart, the strips
 *           `stride` elements apart (>= 16 n).  Columns behind the last one are +0 ("pad lanes").
 *           Activations A and deltas D live in strips, so that one broadcast operand has one base
 *           register and the weight gradient reads both of its operands in sequence.
 *
 * All sizes and strides count elements, in ptrdiff_t.  T is float or double, as the table says;
 * pointers are void* so that one caller serves both.  Outputs do not alias inputs unless it says so.
 * Callers hold round-to-nearest and no flush-to-zero (fpenv.h). */
#ifndef CBP_KERNELS_H
#define CBP_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define CBP_STRIP 16   /* columns in a strip; also the virtual lanes of a row's reductions */
#define CBP_BLOCK 256  /* terms of one FMA chain; a constant of the numerical format */
#define CBP_CHUNK 4096 /* elements of one chunk of a long scalar sum */
#define CBP_LONG_ROW 512 /* bytes of a row from which it is fetched ahead */
#define CBP_SMALL_ROWS 32 /* rows that go through a small net together; divides CBP_BLOCK */

enum cbp_activation {
    CBP_IDENTITY, CBP_SIGMOID, CBP_TANH, CBP_RELU, CBP_SOFTMAX, CBP_LOG_SOFTMAX,
    CBP_LEAKY_RELU, CBP_ELU, CBP_SELU, CBP_SOFTPLUS, CBP_SOFTSIGN, CBP_HARD_SIGMOID,
    CBP_GELU, CBP_SILU, CBP_MISH, CBP_SIN, /* these and the next have f' from Z: cbp_keeps_z */
    CBP_CUSTOM, /* a Python function: no kernel knows it, CBP_IDENTITY is done instead */
    CBP_EXP     /* no layer's: for `apply` alone */
};
enum cbp_loss {
    CBP_SQUARED_ERROR, CBP_BINARY_CROSS_ENTROPY, CBP_CATEGORICAL_CROSS_ENTROPY,
    CBP_BINARY_FOCAL, CBP_CATEGORICAL_FOCAL, /* all but the first so far: from the logits */
    CBP_ABSOLUTE_ERROR, CBP_HUBER, CBP_QUANTILE, CBP_POISSON, CBP_GAUSSIAN,
    CBP_CUSTOM_LOSS /* a Python function: no kernel knows it */
};
enum cbp_optimizer {
    CBP_SGD, CBP_MOMENTUM, CBP_NESTEROV, CBP_RMSPROP, CBP_ADAGRAD, CBP_LION,
    CBP_TWO_STATES, CBP_ADAM = CBP_TWO_STATES, CBP_NADAM, CBP_RMSPROP_MOMENTUM, CBP_RPROP
};

/* Types of the user's rows; CBP_SAME: the table's own. */
enum cbp_source {
    CBP_SAME, CBP_INT8, CBP_UINT8, CBP_INT16, CBP_UINT16, CBP_INT32, CBP_UINT32, CBP_INT64,
    CBP_UINT64, CBP_FLOAT16, CBP_FLOAT32, CBP_FLOAT64
};

/* Scalars of one update, in double; each is rounded to T once.  What depends on the step number
 * (bias corrections) and on conventions (where epsilon stands, how l2 scales with the batch)
 * is folded in by the caller. */
typedef struct cbp_hyper {
    double rate;     /* eta; Adam: eta / (1 - beta_1^t); Nadam: the factor of g */
    double rate_2;   /* Nadam: the factor of m */
    double momentum; /* mu */
    double beta_1;   /* Rprop: what a step shrinks by */
    double beta_2;   /* of the mean square; Lion: of the mean; Rprop: what a step grows by */
    double root;     /* Adam: 1 / sqrt(1 - beta_2^t); 1 puts epsilon before the bias correction */
    double epsilon;
    double lower, upper; /* Rprop: bounds of a step */
    /* These leave all bits alone where they are 0: */
    double l2;         /* added to the gradient as l2 w */
    double l1;         /* added to the gradient as l1 sign(w) */
    double clip_value; /* largest |g| */
    double decay;      /* eta lambda, the share of w that decoupled decay takes away */
    double factor;     /* of the gradient, from the limit of its norm; 1 leaves the bits alone */
    int nonnegative;   /* whether w ends as max(w, 0) */
} cbp_hyper;

/* Whether f' of the activation is taken from Z; where not, from A (rule 6). */
static inline int cbp_keeps_z(int activation) { return activation >= CBP_GELU; }

/* Whether the loss starts from Z, the output activation's part in it included. */
static inline int cbp_from_logits(int loss)
{
    return loss >= CBP_BINARY_CROSS_ENTROPY && loss <= CBP_CATEGORICAL_FOCAL;
}

/* A loss and what it is told.  Not all of it concerns every loss. */
typedef struct cbp_objective {
    int loss;
    int mask_nan;        /* whether a NaN target adds neither loss nor gradient */
    double parameter;    /* Huber's delta, focal's gamma, label smoothing, least variance */
    double positive, negative; /* focal: factors of t and of 1 - t; of every class */
    const double *table; /* quantile levels; focal: a factor for each class, or NULL */
    ptrdiff_t entries;   /* of the table */
} cbp_objective;

/* Where the target of row r is found: row index[r] (r itself where index is NULL) of `rows`, or the
 * class number labels[index[r]] where rows is NULL. */
typedef struct cbp_target {
    const void *rows;      /* T [*][row_stride] or NULL */
    ptrdiff_t row_stride;
    const int64_t *labels; /* each in [0, o) */
    const ptrdiff_t *index;
    ptrdiff_t ahead;       /* rows of the next minibatch, which `index` names behind these */
} cbp_target;

/* What dropout depends on beside row and unit.  A unit is kept where its word is below `keep`. */
typedef struct cbp_dropout {
    uint64_t seed;
    uint32_t step, layer;
    uint64_t keep;   /* floor(p 2^32), p the probability to keep a unit; in 1 .. 2^32 */
    double factor;   /* 1 / p, rounded to T once */
} cbp_dropout;

/* Asks for `bytes` bytes of each of n rows, which are gathered next, and does not wait.  Long rows of
 * a shuffle are where no prefetcher looks; a strip at a time they arrive while gradients are summed. */
static inline void cbp_fetch(const char *rows, ptrdiff_t row_bytes, const ptrdiff_t *index,
                             ptrdiff_t n, ptrdiff_t bytes)
{
    for (ptrdiff_t r = 0; row_bytes >= CBP_LONG_ROW && r < n; r++)
        for (ptrdiff_t at = 0; at < bytes; at += 64)
            __builtin_prefetch(rows + (index ? index[r] : r) * row_bytes + at, 0, 2);
}

/* A net that fits the first-level cache, with arrays of its own (small_body.h). */
typedef struct cbp_small_layer {
    ptrdiff_t i, o;      /* o <= 16 in the last layer */
    int activation;      /* what a sweep with a loss applies: identity, sigmoid, tanh or relu */
    ptrdiff_t theta;     /* where the layer begins in theta, */
    ptrdiff_t place;     /* and in the room's arrays */
    void *a, *d, *wt;    /* strips: its inputs, delta at its outputs, transposed weights.  Last layer:
                          * d is [o][CBP_SMALL_ROWS] */
} cbp_small_layer;

typedef struct cbp_small {
    int n_layers;
    const cbp_small_layer *layers;
    ptrdiff_t stride;    /* between the strips of a and d: CBP_SMALL_ROWS + 1 rows */
    ptrdiff_t size;      /* elements of w, g, chain */
    void *w, *g;         /* parameters, gradient */
    void *chain;         /* g itself, or where there are more than CBP_BLOCK rows an array like it */
    void *target;        /* [o][CBP_SMALL_ROWS] */
    void *columns;       /* [16 strips][16], and at least CBP_SMALL_ROWS rows of 16 */
} cbp_small;

typedef struct cbp_kernels {
    const char *isa; /* "baseline", "avx2", "avx512" */
    int has_fma;
    int itemsize;    /* sizeof(T) */

    /* strips[c/16][r][16] = rows[index[r]][c], pad lanes +0.  index NULL: rows 0 .. n-1.  Cost 2nc. */
    void (*gather)(void *strips, ptrdiff_t stride, const void *rows, ptrdiff_t row_stride,
                   const ptrdiff_t *index, ptrdiff_t n, ptrdiff_t c);
    /* The same from rows of another type, each element rounded once to T; finite numbers only.
     * Cost 2nc to 4nc. */
    void (*gather_from)(int source, void *strips, ptrdiff_t stride, const void *rows,
                        ptrdiff_t row_stride, const ptrdiff_t *index, ptrdiff_t n, ptrdiff_t c);
    /* rows[r][c] = strips[c/16][r][16]. */
    void (*scatter)(void *rows, ptrdiff_t row_stride, const void *strips, ptrdiff_t stride,
                    ptrdiff_t n, ptrdiff_t c);
    /* One strip of the transposed weights: wt[o][ii] = w[ii][o] for ii < i <= 16, other lanes +0. */
    void (*transpose)(void *wt, const void *w, ptrdiff_t row_stride, ptrdiff_t i, ptrdiff_t o);

    /* S = A B for n rows: S[r][o] = sum over k of A[r][k] B[k][o] in blocks of 256 (rules 1-3).
     * z in strips, and a too (a_row = 16), or rows of a matrix: element (r, k) of A is
     * a[(k/16) a_stride + r a_row + k%16], a_stride = 16.  Element (k, o) of B is
     * b[(o/16) b_stride + k b_row + o%16]: W itself is (b_row = row stride, b_stride = 16), a
     * packed panel (16, 16 k).  B must be readable up to the end of the last vector of its last
     * row (15 elements behind).  Pad lanes of z: garbage.
     * `more`: S holds the sum of the blocks before these, which begin at a multiple of 256.
     * Bound: |S - exact| <= gamma(256 + k/256) |A||B|. */
    void (*matmul)(void *z, ptrdiff_t z_stride, const void *a, ptrdiff_t a_row, ptrdiff_t a_stride,
                   const void *b, ptrdiff_t b_row, ptrdiff_t b_stride, ptrdiff_t n, ptrdiff_t k,
                   ptrdiff_t o, int more);
    /* A = f(S + b) in place, the sums Z kept where z is not NULL; pad lanes +0.  bias may be NULL;
     * it is readable up to a multiple of 16.  CBP_SOFTMAX and CBP_LOG_SOFTMAX need all columns in one
     * call. */
    void (*activate)(void *a, ptrdiff_t stride, void *z, ptrdiff_t z_stride, const void *bias,
                     ptrdiff_t n, ptrdiff_t o, int activation);
    /* D = S * f' in place, tiny results flushed (rules 6, 10); pad lanes +0.  `from` holds A, or Z
     * where cbp_keeps_z.  Unless scale is NULL, D[r] = scale[r] * (S * f'). */
    void (*delta)(void *d, ptrdiff_t d_stride, const void *from, ptrdiff_t from_stride,
                  const void *scale, ptrdiff_t n, ptrdiff_t i, int activation);
    /* Loss head: row_loss[r] = loss of row r (summed over outputs), and unless d is NULL
     * D[r] = scale[r] dloss/dz (rules 5-7).  `a` holds A, or Z where cbp_from_logits; z holds Z
     * where cbp_keeps_z (else it is not read).  All in strips of one stride. */
    void (*head)(const cbp_objective *objective, int activation, void *d, void *row_loss,
                 const void *a, const void *z, ptrdiff_t stride, const cbp_target *target,
                 const void *scale, ptrdiff_t n, ptrdiff_t o);
    /* G[ii][o] = sum over rows of A[r][ii] D[r][o], ii < i <= 16, in blocks of 256 rows (rule 4).
     * a: one strip of A.  d: strips.  g: rows of exactly o elements, followed by 16 spare ones. */
    void (*gradient)(void *g, const void *a, const void *d, ptrdiff_t d_stride, ptrdiff_t n,
                     ptrdiff_t i, ptrdiff_t o);
    /* G[o] = sum over rows of D[r][o]; the row of a constant input 1.  g has 16 spare elements. */
    void (*bias_gradient)(void *g, const void *d, ptrdiff_t d_stride, ptrdiff_t n, ptrdiff_t o);
    /* G = fma(l2, W, G) on c elements: the penalty's gradient where nobody updates. */
    void (*add_l2)(void *g, const void *w, double l2, ptrdiff_t c);
    /* OUT = G with the penalties' shares, cut to clip_value, times the mask (NULL or 0/1 factors): what
     * the global norm is taken of (rule 9).  out may be g. */
    void (*penalise)(void *out, const void *g, const void *w, const void *mask, ptrdiff_t c,
                     const cbp_hyper *hyper);
    /* One optimiser step on c elements (rules 9, 10); s1, s2 its states, mask NULL or 0/1 factors.
     * Cost an element: sgd 1, momentum 2, nesterov 3, adam about 8 operations. */
    void (*update)(int optimizer, void *theta, void *s1, void *s2, const void *g, const void *mask,
                   ptrdiff_t c, const cbp_hyper *hyper);
    /* MEAN = fma(share, W - MEAN, MEAN) on c elements: the running mean of weights. */
    void (*average)(void *mean, const void *w, double share, ptrdiff_t c);
    /* Scales every column of W (i, o) whose Euclidean norm, summed in double in ascending i, exceeds
     * `limit` by T(limit / norm); returns whether there was one. */
    int (*max_norm)(void *w, ptrdiff_t row_stride, ptrdiff_t i, ptrdiff_t o, double limit);
    /* Y = X factor where the unit is kept, +0 where it is dropped, for rows row .. row + n - 1 and c
     * units from `first` (a multiple of 16) on, in strips (rule 14); y may be x. */
    void (*dropout)(void *y, ptrdiff_t y_stride, const void *x, ptrdiff_t x_stride, ptrdiff_t row,
                    ptrdiff_t n, ptrdiff_t first, ptrdiff_t c, const cbp_dropout *how);

    /* sum of weight[index[r]] * x[r] (weight NULL: of x[r]) in double: chunks of 256, 16 virtual
     * lanes (rule 8). */
    double (*row_sum)(const void *x, const double *weight, const ptrdiff_t *index, ptrdiff_t n);
    /* sum of weight[index[r]], the same way. */
    double (*weight_sum)(const double *weight, const ptrdiff_t *index, ptrdiff_t n);
    /* sum of x[j]^2 in double: chunks of 4,096 (rule 8). */
    double (*square_sum)(const void *x, ptrdiff_t c);
    /* Whether no element is infinite or NaN. */
    int (*finite)(const void *x, ptrdiff_t c);
    /* y = f(x) element by element, or where `slope` f' from x (A, or Z where cbp_keeps_z): for tests
     * and reports; not for softmax. */
    void (*apply)(void *y, const void *x, ptrdiff_t c, int slope, int activation);

    /* The small room.  load: an array like theta (or a state) into the room's layout, its pad lanes
     * +0; store: back.  The room's arrays are updated by `update`, all at once. */
    void (*small_load)(const cbp_small *room, void *array, const void *theta);
    void (*small_store)(const cbp_small *room, void *theta, const void *array);
    /* What gather, matmul, activate, head, delta, gradient, bias_gradient do for n rows, target.index
     * saying which: row_loss and the room's g, with the same bits. */
    void (*small_sweep)(const cbp_small *room, int loss, void *row_loss, const void *x,
                        const cbp_target *target, const void *scale, ptrdiff_t n);
    /* `steps` steps of the smallest nets (tiny_body.h), of n <= 16 rows each, weights and biases
     * treated alike; the room's arrays are laid out like theta, `columns` holds 8 minibatches,
     * row_loss the losses of their rows (8 times 16).  The batch sum of each step's loss is in
     * `losses`.  Returns how many were made: `steps`, or those before the first whose loss is not
     * finite. */
    ptrdiff_t (*tiny_steps)(const cbp_small *room, int loss, int optimizer, void *state_1,
                            void *state_2, const cbp_hyper *hyper, void *row_loss, const void *x,
                            const cbp_target *target, const void *scale, ptrdiff_t n,
                            ptrdiff_t steps, double *losses);

    /* X = (X - before) factor + after in strips, in place: in double, each of the three operations
     * rounded, then rounded to T.  terms: before | factor | after, c doubles each, padded to a
     * multiple of 16 with 0 | 1 | 0. */
    void (*affine)(void *strips, ptrdiff_t stride, const double *terms, ptrdiff_t n, ptrdiff_t c);
    /* sum[c] = sum over rows of (X[r][c] - centre[c]), square[c] = of its square, in double, row
     * by row.  Callers cut rows into chunks of 4,096. */
    void (*moments)(double *sum, double *square, const void *rows, ptrdiff_t row_stride,
                    const double *centre, ptrdiff_t n, ptrdiff_t c);

    /* A random order of 0 .. n-1 (rule 14). */
    void (*permutation)(ptrdiff_t *out, ptrdiff_t n, uint64_t seed, uint32_t purpose,
                        uint32_t stream);
} cbp_kernels;

/* The tables that run here, best first, float and double; chosen by the CPU alone. */
typedef struct cbp_isa {
    const char *name;
    const cbp_kernels *f32, *f64;
} cbp_isa;
const cbp_isa *cbp_find_isa(const char *name); /* name NULL: the best; NULL where it cannot run */

#endif
