/* Checks the functions of src_c/elementary_body.h and src_c/smooth_body.h on one instruction set.
 *
 *   elementary f32 STRIDE [NAME ...]   every STRIDE-th block of 256 floats; 1 walks all 2^32 inputs
 *   elementary f64 POINTS [NAME ...]   that many doubles: seams, uniform, log-uniform, any bits
 *   elementary time            nanoseconds an element, in the first-level cache
 *   elementary eval TYPE NAME  hexadecimal inputs from stdin, hexadecimal results to stdout
 *
 * The two walks print a line a function and fail (exit status 1) where a promise is broken: the
 * error bound, monotonicity (neighbours among the inputs; not of functions that rise and fall), and
 * what `exact` sums up: NaN -> NaN, special values, tanh odd, sigmoid(-x) = 1 - sigmoid(x), no result beyond an asymptote.  The hash
 * is of all result bits (NaN counts as one value): the same on every instruction set with FMA.
 *
 * The error of y is |y - f(x)| / ulp(f(x)), where ulp is the spacing of T at the exact value, and
 * the denormal spacing below; an infinite y counts as 2^128 (2^1024).  Slopes, which cross zero,
 * have absolute errors instead, in units of 2^-22 (2^-51), printed in the same place.  f comes from libm in double
 * for float (reference error 1e-8 ULP) and in long double for double (about 1e-3 ULP where long
 * double has 64 bits).
 *
 * Build: cc -O3 -std=gnu11 -ffp-contract=off -fopenmp -I src_c [-DCBP_VEC_AVX2 -mavx2 -mfma |
 *        -DCBP_VEC_AVX512 -mavx512f -mavx512dq -mavx512vl -mavx512bw -mfma] elementary.c -lm */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "vec.h"
#define CBP_TYPE 64
#include "stamp.h"
#include "elementary_body.h"
#include "lanes_body.h"
#include "smooth_body.h"
#undef CBP_TYPE
#define CBP_TYPE 32
#include "stamp.h"
#include "elementary_body.h"
#include "smooth_body.h"
#undef CBP_TYPE

#define BLOCK 256
#define LN2 0x1.62e42fefa39efp-1

/* Bounds in ULP.  Without FMA the remainders are not exact: same algorithm, other bits. */
#if VEC_HAS_FMA
#define BOUND_F32 1.0
#define BOUND_F64 1.5
#define PROMISE_MONOTONE 1
#else
#define BOUND_F32 2.5
#define BOUND_F64 3.5
#define PROMISE_MONOTONE 0
#endif

/* ---- the functions under test, over arrays of whole blocks, and their references ------------- */
#define ARRAY_FUNCTION(name, bits, type)                                          \
    static void array_##name##_f##bits(const type *x, type *y, long n)            \
    {                                                                             \
        for (long i = 0; i < n; i += F##bits##_LANES)                             \
            f##bits##_store(y + i, name##_f##bits(f##bits##_load(x + i)));        \
    }
#define BOTH(name) ARRAY_FUNCTION(name, 32, float) ARRAY_FUNCTION(name, 64, double)
BOTH(vexp) BOTH(vexpm1) BOTH(vsigmoid) BOTH(vtanh) BOTH(vlog1p)
BOTH(velu) BOTH(vselu) BOTH(vsoftsign) BOTH(vhard_sigmoid)
BOTH(vsoftplus) BOTH(vsilu) BOTH(vmish) BOTH(vgelu) BOTH(vsin)
/* vlog is for positive normal numbers: the ends stand for what lies beyond them. */
#define ARRAY_LOG(bits, type, low, high)                                                    \
    static void array_log_f##bits(const type *x, type *y, long n)                           \
    {                                                                                       \
        for (long i = 0; i < n; i += F##bits##_LANES) {                                     \
            f##bits##_v v = f##bits##_load(x + i), least = f##bits##_set1(low);             \
            v = f##bits##_sel(f##bits##_lt(v, least), least, v);                            \
            v = f##bits##_sel(f##bits##_lt(f##bits##_set1(high), v), f##bits##_set1(high), v); \
            f##bits##_store(y + i, f##bits##_sel(f##bits##_eq(v, v), vlog_f##bits(v), v));  \
        }                                                                                   \
    }
ARRAY_LOG(32, float, FLT_MIN, FLT_MAX) ARRAY_LOG(64, double, DBL_MIN, DBL_MAX)
BOTH(silu_slope) BOTH(mish_slope) BOTH(gelu_slope) BOTH(sin_slope)

#define LAMBDA 1.0507009873554804934193349852946L /* Klambauer et al. 2017 */
#define ALPHA 1.6732632423543772848170429916717L
#define ROOT_HALF 0.70710678118654752440084436210485L
#define ROOT_HALF_REST 0x1.65f626cdd52afa7cp-66L /* what long double leaves of it */
#define DENSITY 0.39894228040143267793994605993438L

/* The references, in double and in long double. */
#define REFERENCES(real, s)                                                                        \
    static real sigmoid##s(real x) { return 1 / (1 + exp##s(-x)); }                                \
    static real log_of##s(real x)                                                                  \
    {                                                                                              \
        int narrow = sizeof(real) == 8;                                                            \
        x = fmin##s(narrow ? FLT_MAX : DBL_MAX, fmax##s(narrow ? FLT_MIN : DBL_MIN, x));           \
        return log##s(x);                                                                          \
    }                                                                                              \
    static real elu##s(real x) { return x > 0 ? x : expm1##s(x); }                                 \
    static real selu##s(real x)                                                                    \
    {                                                                                              \
        return x > 0 ? (real)LAMBDA * x : (real)(LAMBDA * ALPHA) * expm1##s(x);                    \
    }                                                                                              \
    static real softsign##s(real x) { return isinf(x) ? (x > 0) - (x < 0) : x / (1 + fabs##s(x)); } \
    static real hard_sigmoid##s(real x) { return fmax##s(0, fmin##s(6, x + 3)) / 6; }              \
    static real softplus##s(real x) { return fmax##s(x, 0) + log1p##s(exp##s(-fabs##s(x))); }      \
    static real silu##s(real x)                                                                    \
    {                                                                                              \
        return x < 0 ? (isinf(x) ? -0.0 : x * exp##s(x) / (1 + exp##s(x))) : x / (1 + exp##s(-x));  \
    }                                                                                              \
    static real mish##s(real x)                                                                    \
    {                                                                                              \
        real e = exp##s(fmin##s(x, 60)), n = e * (e + 2);                                          \
        return isinf(x) && x < 0 ? -0.0 : x * n / (n + 2);                                         \
    }                                                                                              \
    static real tail##s(real x) /* erfc(-x / sqrt 2) / 2, the argument in two parts */             \
    {                                                                                              \
        real high = -x * (real)ROOT_HALF;                                                          \
        real low = fma##s(-x, (real)ROOT_HALF, -high) -                                            \
                   x * (real)(sizeof(real) == 8 ? ROOT_HALF - (double)ROOT_HALF : ROOT_HALF_REST); \
        return isinf(x) ? x > 0 : erfc##s(high) * (1 - (high > 0 ? 2 * high * low : 0)) / 2;       \
    }                                                                                              \
    static real gelu##s(real x) { return isinf(x) && x < 0 ? -0.0 : x * tail##s(x); }              \
    static real silu_slope##s(real x)                                                              \
    {                                                                                              \
        real q = 1 / (1 + exp##s(fabs##s(x)));                                                     \
        return (x < 0 ? q : 1 - q) + (isinf(x) ? 0 : x * q * (1 - q));                             \
    }                                                                                              \
    static real mish_slope##s(real x)                                                              \
    {                                                                                              \
        real z = fmin##s(60, fmax##s(x, -1000)), e = exp##s(z), n = e * (e + 2), d = n + 2;        \
        return (n * d + 4 * z * e * (1 + e)) / (d * d);                                            \
    }                                                                                              \
    static real gelu_slope##s(real x)                                                              \
    {                                                                                              \
        return tail##s(x) + (isinf(x) ? 0 : x * (real)DENSITY * exp##s(-x * x / 2));               \
    }
REFERENCES(double, ) REFERENCES(long double, l)

struct special { double x, y; };

static const struct function {
    const char *name;
    void (*f32)(const float *, float *, long);
    void (*f64)(const double *, double *, long);
    double (*exact32)(double);
    long double (*exact64)(long double);
    int sign;                 /* domain: -1 is x <= -0, 1 is x >= +0, 0 is every x */
    int odd, complement;      /* f(-x) = -f(x); f(-x) = 1 - f(x) */
    double largest;           /* |f(x)| never exceeds it */
    double low, high;         /* where f is neither constant nor infinite, for float64 samples */
    double scale;             /* seams lie at (k + 1/2) ln2 / scale; 0: at 1.5 2^k - 1 */
    struct special special[6];
    int wavy, absolute;       /* rises and falls; the error is absolute */
    double limit;             /* |x| beyond which no error is promised, if not 0 */
} functions[] = {
#define NAMES(name) #name, array_v##name##_f32, array_v##name##_f64
#define ALL(name) NAMES(name), name, name##l
#define SLOPE(name) #name, array_##name##_f32, array_##name##_f64, name, name##l
    {NAMES(exp), exp, expl, 0, 0, 0, INFINITY, -746, 710, 1,
     {{0, 1}, {-0.0, 1}, {-INFINITY, 0}, {INFINITY, INFINITY}, {-1e30, 0}, {1e30, INFINITY}}},
    {NAMES(sigmoid), sigmoid, sigmoidl, 0, 0, 1, 1, -746, 40, 1,
     {{0, .5}, {-0.0, .5}, {-INFINITY, 0}, {INFINITY, 1}, {-1e30, 0}, {1e30, 1}}},
    {NAMES(tanh), tanh, tanhl, 0, 1, 0, 1, -20, 20, 2,
     {{0, 0}, {-0.0, -0.0}, {-INFINITY, -1}, {INFINITY, 1}, {-1e30, -1}, {1e30, 1}}},
    {NAMES(log1p), log1p, log1pl, 1, 0, 0, INFINITY, 0, 8, 0,
     {{0, 0}, {INFINITY, INFINITY}, {0, 0}, {0, 0}, {0, 0}, {0, 0}}},
    {NAMES(expm1), expm1, expm1l, -1, 0, 0, 1, -40, 0, 1,
     {{0, 0}, {-0.0, -0.0}, {-INFINITY, -1}, {-1e30, -1}, {0, 0}, {0, 0}}},
    {"log", array_log_f32, array_log_f64, log_of, log_ofl, 1, 0, 0, 710, 0, 8, 0,
     {{1, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 0}}},
    {ALL(elu), 0, 0, 0, INFINITY, -40, 3, 1,
     {{0, 0}, {-0.0, -0.0}, {-INFINITY, -1}, {INFINITY, INFINITY}, {-1e30, -1}, {1e30, 1e30}}},
    {ALL(selu), 0, 0, 0, INFINITY, -40, 3, 1,
     {{0, 0}, {-0.0, -0.0}, {-INFINITY, -LAMBDA * ALPHA}, {INFINITY, INFINITY},
      {-1e30, -LAMBDA * ALPHA}, {1, LAMBDA}}},
    {ALL(softsign), 0, 1, 0, 1, -8, 8, 1,
     {{0, 0}, {-0.0, -0.0}, {-INFINITY, -1}, {INFINITY, 1}, {-1e30, -1}, {1e30, 1}}},
    {ALL(hard_sigmoid), 0, 0, 0, 1, -4, 4, 1,
     {{0, .5}, {-0.0, .5}, {-INFINITY, 0}, {INFINITY, 1}, {-1e30, 0}, {1e30, 1}}},
    {ALL(softplus), 0, 0, 0, INFINITY, -746, 40, 1,
     {{1e4, 1e4}, {-INFINITY, 0}, {INFINITY, INFINITY}, {-1e30, 0}, {1e30, 1e30}, {1e30, 1e30}}},
    {ALL(silu), 0, 0, 0, INFINITY, -752, 40, 1,
     {{0, 0}, {-0.0, -0.0}, {-INFINITY, -0.0}, {INFINITY, INFINITY}, {-1e30, -0.0}, {1e30, 1e30}},
     .wavy = 1},
    {ALL(mish), 0, 0, 0, INFINITY, -752, 40, 1,
     {{0, 0}, {-0.0, -0.0}, {-INFINITY, -0.0}, {INFINITY, INFINITY}, {-1e30, -0.0}, {1e30, 1e30}},
     .wavy = 1},
    {ALL(gelu), 0, 0, 0, INFINITY, -39, 9, 1,
     {{0, 0}, {-0.0, -0.0}, {-INFINITY, -0.0}, {INFINITY, INFINITY}, {-1e30, -0.0}, {1e30, 1e30}},
     .wavy = 1},
    {ALL(sin), 0, 1, 0, 1, -1e4, 1e4, 0.22063560015265,
     {{0, 0}, {-0.0, -0.0}, {0, 0}, {0, 0}, {0, 0}, {0, 0}}, .wavy = 1, .limit = 1e4},
    {SLOPE(silu_slope), 0, 0, 0, INFINITY, -40, 40, 1,
     {{0, .5}, {-0.0, .5}, {INFINITY, 1}, {1e30, 1}, {0, .5}, {0, .5}}, .wavy = 1, .absolute = 1},
    {SLOPE(mish_slope), 0, 0, 0, INFINITY, -40, 40, 1,
     {{0, .6}, {-0.0, .6}, {INFINITY, 1}, {1e30, 1}, {0, .6}, {0, .6}}, .wavy = 1, .absolute = 1},
    {SLOPE(gelu_slope), 0, 0, 0, INFINITY, -12, 12, 1,
     {{0, .5}, {-0.0, .5}, {INFINITY, 1}, {1e30, 1}, {0, .5}, {0, .5}}, .wavy = 1, .absolute = 1},
    {"sin_slope", array_sin_slope_f32, array_sin_slope_f64, cos, cosl, 0, 0, 0, 1, -1e4, 1e4,
     0.22063560015265, {{0, 1}, {-0.0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}}, .wavy = 1,
     .absolute = 1, .limit = 1e4},
};
static int asked[sizeof functions / sizeof functions[0]]; /* whether to walk */

#define FUNCTIONS ((int)(sizeof functions / sizeof functions[0]))

/* ---- what a walk found ----------------------------------------------------------------------- */
struct found {
    double worst, at;
    long above, falls, nan, symmetry, outside, points;
    uint64_t hash;
};

static void merge(struct found *a, const struct found *b)
{
    if (b->worst > a->worst || (b->worst == a->worst && b->at < a->at))
        a->worst = b->worst, a->at = b->at;
    a->above += b->above, a->falls += b->falls, a->nan += b->nan;
    a->symmetry += b->symmetry, a->outside += b->outside, a->points += b->points;
    a->hash += b->hash; /* of disjoint inputs: the order does not matter */
}

static uint64_t mix(uint64_t x) /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int report(const char *type, const struct function *f, const struct found *r, double bound,
                  int special)
{
    int monotone = f->wavy || r->falls == 0;
    int exact = special && r->nan == 0 && r->symmetry == 0 && r->outside == 0;
    printf("%s %s %s max_ulp=%.4f at=%a above=%ld monotone=%s exact=%s points=%ld hash=%016llx\n",
           type, f->name, VEC_NAME, r->worst, r->at, r->above, monotone ? "yes" : "no",
           exact ? "yes" : "no", r->points, (unsigned long long)r->hash);
    fflush(stdout);
    return r->worst <= bound && (monotone || !PROMISE_MONOTONE) && exact;
}

/* ---- float: blocks of the ordered line of all bit patterns ----------------------------------- */
static float ordered32(uint32_t key)
{
    uint32_t bits = key >> 31 ? key ^ 0x80000000u : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static double error32(float y, double exact)
{
    double top = 0x1p128, got = isinf(y) ? copysign(top, y) : y;
    if (fabs(exact) > top)
        exact = copysign(top, exact);
    uint64_t bits;
    memcpy(&bits, &exact, sizeof bits);
    int64_t e = (int64_t)(bits >> 52 & 0x7ff) - 1023;
    e = e < -126 ? -126 : e > 127 ? 127 : e;
    uint64_t inverse = (uint64_t)(1023 - (e - 23)) << 52; /* 1 / ulp */
    double scale;
    memcpy(&scale, &inverse, sizeof scale);
    return fabs(got - exact) * scale;
}

static void block32(const struct function *f, uint32_t key, struct found *r)
{
    float x[BLOCK], y[BLOCK], opposite[BLOCK], before[BLOCK], last = NAN;
    uint32_t hash = 0;
    for (int i = 0; i < BLOCK; i++)
        x[i] = ordered32(key + (uint32_t)i);
    f->f32(x, y, BLOCK);
    if (key != 0) { /* the neighbour below the block */
        for (int i = 0; i < F32_LANES; i++)
            before[i] = ordered32(key - 1);
        f->f32(before, before, F32_LANES);
        last = f->sign * before[0] < 0 ? NAN : before[0];
    }
    for (int i = 0; i < BLOCK; i++) {
        uint32_t bits;
        memcpy(&bits, &y[i], sizeof bits);
        hash = (hash ^ (y[i] != y[i] ? 0x7fc00000u : bits)) * 0x01000193u;
        if (x[i] != x[i] || (f->limit > 0 && isinf(x[i]))) { /* sin: no limit there */
            r->nan += y[i] == y[i];
            continue;
        }
        r->outside += fabs(y[i]) > f->largest;
        if (f->limit > 0 && !(fabs(x[i]) <= f->limit))
            continue;
        double exact = f->exact32(x[i]);
        double e = f->absolute ? fabs(y[i] - exact) * 0x1p22 : error32(y[i], exact);
        if (!(e <= 1)) /* a NaN too */
            r->above++;
        if (!(e <= r->worst))
            r->worst = e == e ? e : INFINITY, r->at = x[i];
        r->falls += last > y[i];
        last = y[i];
    }
    if (f->odd || f->complement) {
        for (int i = 0; i < BLOCK; i++)
            x[i] = -x[i];
        f->f32(x, opposite, BLOCK);
        for (int i = 0; i < BLOCK; i++)
            if (y[i] == y[i])
                r->symmetry += f->odd ? opposite[i] != -y[i]
                                      : !(fabs((double)opposite[i] + y[i] - 1) <= 0x1.8p-24);
    }
    r->points += BLOCK;
    r->hash += mix((uint64_t)key << 32 | hash);
}

static int special32(const struct function *f)
{
    int good = 1;
    for (int j = 0; j < 6; j++) {
        float x[16], y[16], expected = (float)f->special[j].y;
        for (int i = 0; i < 16; i++)
            x[i] = (float)f->special[j].x;
        f->f32(x, y, 16);
        for (int i = 0; i < 16; i++)
            good &= y[i] == expected && signbit(y[i]) == signbit(expected);
    }
    return good;
}

static int walk32(long stride)
{
    int good = 1;
    for (int j = 0; j < FUNCTIONS; j++) {
        const struct function *f = &functions[j];
        if (!asked[j])
            continue;
        long blocks = 1L << 24, first = f->sign > 0 ? blocks / 2 : 0;
        if (f->sign < 0)
            blocks /= 2;
        struct found all = {.worst = -1};
#pragma omp parallel
        {
            struct found mine = {.worst = -1};
#pragma omp for schedule(dynamic, 256) nowait
            for (long b = first; b < blocks; b += stride)
                block32(f, (uint32_t)b * BLOCK, &mine);
#pragma omp critical
            merge(&all, &mine);
        }
        good &= report("float32", f, &all, BOUND_F32, special32(f));
    }
    return good;
}

/* ---- double: runs of 8 neighbours ------------------------------------------------------------ */
static double error64(double y, long double exact)
{
    long double top = 0x1p1023L * 2, got = isinf(y) ? copysignl(top, y) : y;
    if (fabsl(exact) > top)
        exact = copysignl(top, exact);
    int e = exact == 0 ? -1022 : ilogbl(exact);
    e = e < -1022 ? -1022 : e > 1023 ? 1023 : e;
    return (double)ldexpl(fabsl(got - exact), 52 - e);
}

static double start64(const struct function *f, uint64_t run)
{
    uint64_t a = mix(2 * run), b = mix(2 * run + 1);
    double u = (double)(a >> 11) * 0x1p-53, x; /* in [0, 1) */
    switch (run % 4) {
    case 0: /* uniform */
        return f->low + u * (f->high - f->low);
    case 1: /* near a seam of the reduction */
        if (f->scale > 0)
            x = (floor((f->low + u * (f->high - f->low)) * f->scale / LN2) + .5) * LN2 / f->scale;
        else
            x = ldexp(1.5, (int)(b % 60)) - 1;
        return x * (1 + ((double)(b >> 32) - 0x1p31) * 0x1p-80);
    case 2: /* log-uniform in 2^-60 .. 2^10 */
        x = ldexp(1 + u, (int)(b % 70) - 60);
        break;
    default: /* any bits: NaN, denormals and all */
        memcpy(&x, &a, sizeof x);
        x = fabs(x);
    }
    return f->sign < 0 || (f->sign == 0 && b >> 63) ? -x : x;
}

static void run64(const struct function *f, uint64_t run, struct found *r)
{
    double x[8], y[8], opposite[8];
    uint64_t hash = run;
    x[0] = start64(f, run);
    if (f->sign * x[0] < 0)
        x[0] = 0;
    for (int i = 1; i < 8; i++)
        x[i] = nextafter(x[i - 1], f->sign < 0 ? -INFINITY : INFINITY);
    f->f64(x, y, 8);
    for (int i = 0; i < 8; i++) {
        uint64_t bits;
        memcpy(&bits, &y[i], sizeof bits);
        hash = mix(hash ^ (y[i] != y[i] ? 0x7ff8000000000000u : bits));
        if (x[i] != x[i] || (f->limit > 0 && isinf(x[i]))) { /* sin: no limit there */
            r->nan += y[i] == y[i];
            continue;
        }
        r->outside += fabs(y[i]) > f->largest;
        if (f->limit > 0 && !(fabs(x[i]) <= f->limit))
            continue;
        long double exact = f->exact64(x[i]);
        double e = f->absolute ? (double)fabsl(y[i] - exact) * 0x1p51 : error64(y[i], exact);
        if (!(e <= 1))
            r->above++;
        if (!(e <= r->worst))
            r->worst = e == e ? e : INFINITY, r->at = x[i];
        if (i > 0)
            r->falls += x[i] > x[i - 1] ? y[i] < y[i - 1] : x[i] < x[i - 1] && y[i] > y[i - 1];
    }
    if (f->odd || f->complement) {
        for (int i = 0; i < 8; i++)
            x[i] = -x[i];
        f->f64(x, opposite, 8);
        for (int i = 0; i < 8; i++)
            if (y[i] == y[i])
                r->symmetry += f->odd ? opposite[i] != -y[i]
                                      : !(fabsl((long double)opposite[i] + y[i] - 1) <= 0x1.8p-53L);
    }
    r->points += 8;
    r->hash += hash;
}

static int special64(const struct function *f)
{
    int good = 1;
    for (int j = 0; j < 6; j++) {
        double x[8], y[8], expected = f->special[j].y;
        for (int i = 0; i < 8; i++)
            x[i] = f->special[j].x;
        f->f64(x, y, 8);
        for (int i = 0; i < 8; i++)
            good &= y[i] == expected && signbit(y[i]) == signbit(expected);
    }
    return good;
}

static int walk64(long points)
{
    int good = 1;
    for (int j = 0; j < FUNCTIONS; j++) {
        const struct function *f = &functions[j];
        if (!asked[j])
            continue;
        struct found all = {.worst = -1};
#pragma omp parallel
        {
            struct found mine = {.worst = -1};
#pragma omp for schedule(dynamic, 256) nowait
            for (long run = 0; run < points / 8; run++)
                run64(f, (uint64_t)run, &mine);
#pragma omp critical
            merge(&all, &mine);
        }
        good &= report("float64", f, &all, BOUND_F64, special64(f));
    }
    return good;
}

/* ---- time ------------------------------------------------------------------------------------ */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void time_all(void)
{
    enum { N = 2048, REPEATS = 100 };
    static float x32[N], y32[N];
    static double x64[N], y64[N];
    for (int j = 0; j < FUNCTIONS; j++) {
        const struct function *f = &functions[j];
        for (int i = 0; i < N; i++) { /* ordinary arguments of either sign */
            double u = (double)(mix((uint64_t)i) >> 11) * 0x1p-53 * 16 - 8;
            x64[i] = f->sign > 0 ? fabs(u) : f->sign < 0 ? -fabs(u) : u;
            x32[i] = (float)x64[i];
        }
        double best32 = 1e30, best64 = 1e30;
        for (int trial = 0; trial < 50; trial++) {
            double t0 = now();
            for (int i = 0; i < REPEATS; i++)
                f->f32(x32, y32, N);
            double t1 = now();
            for (int i = 0; i < REPEATS; i++)
                f->f64(x64, y64, N);
            double t2 = now();
            best32 = fmin(best32, t1 - t0), best64 = fmin(best64, t2 - t1);
        }
        printf("time %s %s float32=%.3f float64=%.3f\n", f->name, VEC_NAME,
               best32 / N / REPEATS, best64 / N / REPEATS);
    }
}

/* ---- eval ------------------------------------------------------------------------------------ */
static int eval(const char *type, const char *name)
{
    const struct function *f = NULL;
    for (int j = 0; j < FUNCTIONS; j++)
        if (strcmp(name, functions[j].name) == 0)
            f = &functions[j];
    if (f == NULL)
        return 0;
    double x;
    while (scanf("%la", &x) == 1) {
        float x32[16], y32[16];
        double x64[8], y64[8];
        for (int i = 0; i < 16; i++)
            x32[i] = (float)x;
        for (int i = 0; i < 8; i++)
            x64[i] = x;
        f->f32(x32, y32, 16);
        f->f64(x64, y64, 8);
        printf("%a\n", strcmp(type, "f32") == 0 ? (double)y32[0] : y64[0]);
    }
    return 1;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    long count = argc > 2 ? atol(argv[2]) : 0;
    for (int j = 0; j < FUNCTIONS; j++) {
        asked[j] = argc < 4;
        for (int i = 3; i < argc; i++)
            asked[j] |= strcmp(argv[i], functions[j].name) == 0;
    }
    if (strcmp(mode, "f32") == 0 && count > 0)
        return !walk32(count);
    if (strcmp(mode, "f64") == 0 && count > 0)
        return !walk64(count);
    if (strcmp(mode, "time") == 0)
        return time_all(), 0;
    if (strcmp(mode, "eval") == 0 && argc == 4 && eval(argv[2], argv[3]))
        return 0;
    fprintf(stderr, "usage: elementary f32 STRIDE [NAME ...] | f64 POINTS [NAME ...] | time |"
                    " eval f32|f64 NAME\n");
    return 2;
}
