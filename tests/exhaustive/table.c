/* Prints a hash of the bits that each kernel of a table gives for the same made-up numbers.
 *
 *   table [ISA]      of the best instruction set of this machine, or of that one
 *
 * The lines are the same on every CPU with FMA, arm64 included: docs/numerics.md.  NaN counts as
 * one value.  Kernels that take more than arrays of numbers are compared by the Python tests.
 *
 * Build: each of src_c's .c files with its flags (setup.py), and this one with -I src_c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cbp_kernels.h"
#include "cbp_random.h"
#include "fpenv.h"

#define MOST 400000 /* elements of the largest array */

static const cbp_kernels *kernel;
static double *uniform;
static char *memory[6];
static uint32_t stream;

/* Element j becomes a number in [-scale, scale). */
static void *fill(int which, ptrdiff_t c, double scale)
{
    cbp_uniform(uniform, c, 1, CBP_INITIALISATION, stream++);
    for (ptrdiff_t j = 0; j < c; j++) {
        double x = scale * (2 * uniform[j] - 1);
        if (kernel->itemsize == 4)
            ((float *)memory[which])[j] = (float)x;
        else
            ((double *)memory[which])[j] = x;
    }
    return memory[which];
}

static uint64_t hash_of(const void *x, ptrdiff_t c)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a over 64-bit words */
    for (ptrdiff_t j = 0; j < c; j++) {
        double v = kernel->itemsize == 4 ? ((const float *)x)[j] : ((const double *)x)[j];
        uint64_t bits = 0x7ff8000000000000u;
        if (v == v)
            memcpy(&bits, &v, sizeof bits);
        hash = (hash ^ bits) * 0x100000001b3u;
    }
    return hash;
}

static void tell(const char *name, const void *x, ptrdiff_t c)
{
    printf("f%d %s %016llx\n", 8 * kernel->itemsize, name, (unsigned long long)hash_of(x, c));
}

/* Loss and delta of n rows, each loss with few outputs and with many. */
static void walk_heads(ptrdiff_t n, ptrdiff_t stride)
{
    static const double table[64] = {0.1, 0.5, 0.9, 0.3};
    void *t = fill(1, 64 * n, 1), *scale = fill(2, n, 1), *a, *d = memory[4], *loss = memory[5];
    kernel->apply(t, t, 64 * n, 0, CBP_SIGMOID); /* all losses take numbers between 0 and 1 */
    for (int loss_of = 0; loss_of < CBP_CUSTOM_LOSS; loss_of++)
        for (int mask_nan = 0; mask_nan < 2; mask_nan++)
            for (int o = 2; o <= 44; o += 42) {
                int alpha = loss_of == CBP_CATEGORICAL_FOCAL;
                double parameter = loss_of == CBP_CATEGORICAL_CROSS_ENTROPY ? 0.1 : 0.7;
                cbp_objective objective = {
                    loss_of, mask_nan, parameter, 0.3, 0.7,
                    alpha || loss_of == CBP_QUANTILE ? table : NULL, alpha ? o : 2};
                cbp_target target = {.rows = t, .row_stride = 60};
                char name[32];
                a = fill(0, 4 * stride, 9);
                memset(d, 0, (size_t)(4 * stride) * 8);
                int activation = loss_of < CBP_POISSON ? CBP_SOFTPLUS : CBP_IDENTITY;
                kernel->head(&objective, activation, d, loss, a, NULL, stride, &target, scale, n,
                             o);
                snprintf(name, sizeof name, "head_%d_%d_%d", loss_of, mask_nan, o);
                tell(name, d, (o + 15) / 16 * stride);
                tell(name, loss, n);
            }
}

static void walk(void)
{
    enum { N = 77, K = 300, O = 61, STRIDE = 16 * N };
    static double scalars[3];
    void *a, *b, *z, *g;
    a = fill(0, 19 * STRIDE, 1), b = fill(1, K * 64 + 16, 1), z = fill(2, 4 * STRIDE, 1);
    kernel->matmul(z, STRIDE, a, 16, STRIDE, b, 64, 16, N, K, 64, 0);
    tell("matmul", z, 4 * STRIDE);
    kernel->matmul(z, STRIDE, a, 16, STRIDE, b, 64, 16, N, 44, 64, 1);
    tell("matmul_more", z, 4 * STRIDE);
    kernel->matmul(z, STRIDE, a, 299, 16, b, 64, 16, N, 299, 64, 0); /* rows of a matrix */
    tell("matmul_rows", z, 4 * STRIDE);
    for (int o = 1; o <= 16; o += 5) { /* few outputs: another way to do the same */
        memset(memory[2], 0, (size_t)STRIDE * 8);
        kernel->matmul(z, STRIDE, a, 16, STRIDE, b, 64, 16, N, 33, o, 0);
        kernel->activate(z, STRIDE, NULL, 0, NULL, N, o, CBP_TANH);
        tell("matmul_narrow", z, STRIDE);
    }
    g = memory[3];
    memset(g, 0, MOST);
    kernel->gradient(g, a, b, STRIDE, N, 16, O);
    tell("gradient", g, 16 * O);
    for (int o = 1; o <= 16; o += 5) {
        kernel->gradient(g, a, b, STRIDE, N, 7, o);
        tell("gradient_narrow", g, 7 * o);
    }
    kernel->bias_gradient(g, b, STRIDE, N, O);
    tell("bias_gradient", g, O);
    for (int activation = 0; activation < CBP_CUSTOM; activation++) {
        if (activation == CBP_SOFTMAX || activation == CBP_LOG_SOFTMAX)
            continue;
        a = fill(0, 20000, 30);
        for (int slope = 0; slope < 2; slope++) {
            char name[32];
            snprintf(name, sizeof name, slope ? "slope_%d" : "apply_%d", activation);
            kernel->apply(memory[1], a, 20000, slope, activation);
            tell(name, memory[1], 20000);
        }
    }
    a = fill(0, 4 * STRIDE, 20), b = fill(1, 64, 1);
    kernel->activate(a, STRIDE, NULL, 0, b, N, O, CBP_SOFTMAX);
    tell("softmax", a, 4 * STRIDE);
    a = fill(0, 4 * STRIDE, 20);
    kernel->activate(a, STRIDE, NULL, 0, b, N, O, CBP_LOG_SOFTMAX);
    tell("log_softmax", a, 4 * STRIDE);
    walk_heads(N, STRIDE);
    static const struct { int rule; const char *name; } rules[] = {
        {CBP_SGD, "sgd"}, {CBP_MOMENTUM, "momentum"}, {CBP_NESTEROV, "nesterov"}, {CBP_ADAM, "adam"}};
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        cbp_hyper hyper;
        memset(&hyper, 0, sizeof hyper);
        hyper.rate = 0.01, hyper.momentum = 0.9, hyper.beta_1 = 0.9, hyper.beta_2 = 0.999;
        hyper.root = 3.0, hyper.epsilon = 1e-8, hyper.l2 = 1e-3;
        void *theta = fill(0, 1001, 1), *s1 = fill(1, 1001, 1), *s2 = fill(2, 1001, 1);
        g = fill(3, 1001, 1);
        kernel->apply(s2, s2, 1001, 0, CBP_SIGMOID); /* second moments are positive */
        kernel->update(rules[r].rule, theta, s1, s2, g, NULL, 1001, &hyper);
        tell(rules[r].name, theta, 1001);
    }
    a = fill(0, 9000, 1);
    scalars[0] = kernel->square_sum(a, 9000);
    scalars[1] = kernel->row_sum(a, NULL, NULL, 9000);
    printf("f%d sums %a %a\n", 8 * kernel->itemsize, scalars[0], scalars[1]);
}

int main(int count, char **words)
{
    const cbp_isa *isa = cbp_find_isa(count > 1 ? words[1] : NULL);
    if (!isa)
        return fprintf(stderr, "no such instruction set here\n"), 2;
    uniform = malloc(MOST * sizeof(double));
    for (int j = 0; j < 6; j++)
        memory[j] = aligned_alloc(64, MOST * sizeof(double));
    uint64_t before = cbp_fpenv_enter();
    kernel = isa->f32;
    walk();
    kernel = isa->f64;
    walk();
    static ptrdiff_t order[1000];
    static double draws[1000];
    kernel->permutation(order, 1000, 5, CBP_SHUFFLE, 3);
    cbp_normal(draws, 1000, 5, CBP_INITIALISATION, 3);
    for (int j = 0; j < 1000; j++)
        draws[j] += (double)order[j];
    tell("random", draws, 1000);
    cbp_fpenv_leave(before);
    return 0;
}
