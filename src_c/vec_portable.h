/* The vocabulary in GCC/clang vector extensions, 128 bits wide: 4 float or 2 double lanes.
 *
 * This is the baseline everywhere: SSE2 on x86-64 (no FMA: multiply, then add: the same algorithm,
 * other bits), NEON on arm64 (FMA: the contract's bits).  Words and rules: vec.h. */
#ifndef CBP_VEC_PORTABLE_H
#define CBP_VEC_PORTABLE_H

#if defined(__aarch64__)
#include <arm_neon.h>
#define VEC_HAS_FMA 1
#define VEC_REGISTERS 32
#elif defined(__SSE2__)
#include <emmintrin.h>
#define VEC_HAS_FMA 0
#define VEC_REGISTERS 16
#else
#error "cbp needs SSE2 or NEON"
#endif
#define VEC_NAME "baseline"

/* ---- float ---------------------------------------------------------------------------------- */
#define F32_LANES 4
typedef float f32_v __attribute__((vector_size(16)));
typedef int32_t f32_i __attribute__((vector_size(16)));
typedef uint32_t f32_u __attribute__((vector_size(16)));
typedef f32_i f32_m;

VEC_OP f32_v f32_load(const float *p) { f32_v a; memcpy(&a, p, sizeof a); return a; }
VEC_OP void f32_store(float *p, f32_v a) { memcpy(p, &a, sizeof a); }
VEC_OP f32_m f32_first(int n) { return (f32_i){0, 1, 2, 3} < n; }
VEC_OP f32_v f32_loadn(const float *p, int n)
{
    f32_v a = {0, 0, 0, 0};
    for (int j = 0; j < n; j++)
        a[j] = p[j];
    return a;
}
VEC_OP void f32_storen(float *p, f32_v a, int n)
{
    for (int j = 0; j < n; j++)
        p[j] = a[j];
}
VEC_OP f32_v f32_set1(float x) { return (f32_v){x, x, x, x}; }
VEC_OP f32_v f32_add(f32_v a, f32_v b) { return a + b; }
VEC_OP f32_v f32_sub(f32_v a, f32_v b) { return a - b; }
VEC_OP f32_v f32_mul(f32_v a, f32_v b) { return a * b; }
VEC_OP f32_v f32_div(f32_v a, f32_v b) { return a / b; }
#if VEC_HAS_FMA
VEC_OP f32_v f32_fma(f32_v a, f32_v b, f32_v c) { return (f32_v)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
VEC_OP f32_v f32_fnma(f32_v a, f32_v b, f32_v c) { return (f32_v)vfmsq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
VEC_OP f32_v f32_sqrt(f32_v a) { return (f32_v)vsqrtq_f32((float32x4_t)a); }
#else
VEC_OP f32_v f32_fma(f32_v a, f32_v b, f32_v c) { return a * b + c; }
VEC_OP f32_v f32_fnma(f32_v a, f32_v b, f32_v c) { return c - a * b; }
VEC_OP f32_v f32_sqrt(f32_v a) { return (f32_v)_mm_sqrt_ps((__m128)a); }
#endif
VEC_OP f32_m f32_lt(f32_v a, f32_v b) { return a < b; }
VEC_OP f32_m f32_eq(f32_v a, f32_v b) { return a == b; }
VEC_OP f32_v f32_sel(f32_m m, f32_v a, f32_v b) { return (f32_v)(((f32_i)a & m) | ((f32_i)b & ~m)); }
VEC_OP f32_m f32_mand(f32_m a, f32_m b) { return a & b; }
VEC_OP int f32_count(f32_m m) { return -(m[0] + m[1] + m[2] + m[3]); }
VEC_OP f32_i f32_bits(f32_v a) { return (f32_i)a; }
VEC_OP f32_v f32_from_bits(f32_i a) { return (f32_v)a; }
VEC_OP f32_i f32_iset1(int32_t x) { return (f32_i){x, x, x, x}; }
VEC_OP f32_i f32_iadd(f32_i a, f32_i b) { return (f32_i)((f32_u)a + (f32_u)b); }
VEC_OP f32_i f32_isub(f32_i a, f32_i b) { return (f32_i)((f32_u)a - (f32_u)b); }
VEC_OP f32_i f32_iand(f32_i a, f32_i b) { return a & b; }
VEC_OP f32_i f32_ior(f32_i a, f32_i b) { return a | b; }
VEC_OP f32_i f32_ixor(f32_i a, f32_i b) { return a ^ b; }
#define f32_ishl(a, n) ((f32_i)((f32_u)(a) << (n)))
#define f32_ishr(a, n) ((f32_i)((f32_u)(a) >> (n)))
VEC_OP f32_v f32_max(f32_v a, f32_v b) { return f32_sel(f32_lt(b, a), a, b); }
VEC_OP f32_v f32_min(f32_v a, f32_v b) { return f32_sel(f32_lt(a, b), a, b); }
/* Transposition step h: lanes l of the pair (a, b) with l & h swap places between them. */
VEC_OP f32_v f32_swap(f32_v a, f32_v b, int h, int second)
{
    if (h == 2)
        return second
            ? (f32_v)__builtin_shufflevector((f32_v)a, (f32_v)b, 2, 3, 6, 7)
            : (f32_v)__builtin_shufflevector((f32_v)a, (f32_v)b, 0, 1, 4, 5);
    return second
        ? (f32_v)__builtin_shufflevector((f32_v)a, (f32_v)b, 1, 5, 3, 7)
        : (f32_v)__builtin_shufflevector((f32_v)a, (f32_v)b, 0, 4, 2, 6);
}
VEC_OP float f32_tree_add(f32_v a) { return (a[0] + a[2]) + (a[1] + a[3]); }
VEC_OP float f32_tree_max(f32_v a)
{
    float p = a[0] > a[2] ? a[0] : a[2], q = a[1] > a[3] ? a[1] : a[3];
    return p > q ? p : q;
}

/* ---- double --------------------------------------------------------------------------------- */
#define F64_LANES 2
typedef double f64_v __attribute__((vector_size(16)));
typedef int64_t f64_i __attribute__((vector_size(16)));
typedef uint64_t f64_u __attribute__((vector_size(16)));
typedef f64_i f64_m;

VEC_OP f64_v f64_load(const double *p) { f64_v a; memcpy(&a, p, sizeof a); return a; }
VEC_OP void f64_store(double *p, f64_v a) { memcpy(p, &a, sizeof a); }
VEC_OP f64_m f64_first(int n) { return (f64_i){0, 1} < (int64_t)n; }
VEC_OP f64_v f64_loadn(const double *p, int n)
{
    f64_v a = {0, 0};
    for (int j = 0; j < n; j++)
        a[j] = p[j];
    return a;
}
VEC_OP void f64_storen(double *p, f64_v a, int n)
{
    for (int j = 0; j < n; j++)
        p[j] = a[j];
}
VEC_OP f64_v f64_set1(double x) { return (f64_v){x, x}; }
VEC_OP f64_v f64_add(f64_v a, f64_v b) { return a + b; }
VEC_OP f64_v f64_sub(f64_v a, f64_v b) { return a - b; }
VEC_OP f64_v f64_mul(f64_v a, f64_v b) { return a * b; }
VEC_OP f64_v f64_div(f64_v a, f64_v b) { return a / b; }
#if VEC_HAS_FMA
VEC_OP f64_v f64_fma(f64_v a, f64_v b, f64_v c) { return (f64_v)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b); }
VEC_OP f64_v f64_fnma(f64_v a, f64_v b, f64_v c) { return (f64_v)vfmsq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b); }
VEC_OP f64_v f64_sqrt(f64_v a) { return (f64_v)vsqrtq_f64((float64x2_t)a); }
#else
VEC_OP f64_v f64_fma(f64_v a, f64_v b, f64_v c) { return a * b + c; }
VEC_OP f64_v f64_fnma(f64_v a, f64_v b, f64_v c) { return c - a * b; }
VEC_OP f64_v f64_sqrt(f64_v a) { return (f64_v)_mm_sqrt_pd((__m128d)a); }
#endif
VEC_OP f64_m f64_lt(f64_v a, f64_v b) { return a < b; }
VEC_OP f64_m f64_eq(f64_v a, f64_v b) { return a == b; }
VEC_OP f64_v f64_sel(f64_m m, f64_v a, f64_v b) { return (f64_v)(((f64_i)a & m) | ((f64_i)b & ~m)); }
VEC_OP f64_m f64_mand(f64_m a, f64_m b) { return a & b; }
VEC_OP int f64_count(f64_m m) { return -(int)(m[0] + m[1]); }
VEC_OP f64_i f64_bits(f64_v a) { return (f64_i)a; }
VEC_OP f64_v f64_from_bits(f64_i a) { return (f64_v)a; }
VEC_OP f64_i f64_iset1(int64_t x) { return (f64_i){x, x}; }
VEC_OP f64_i f64_iadd(f64_i a, f64_i b) { return (f64_i)((f64_u)a + (f64_u)b); }
VEC_OP f64_i f64_isub(f64_i a, f64_i b) { return (f64_i)((f64_u)a - (f64_u)b); }
VEC_OP f64_i f64_iand(f64_i a, f64_i b) { return a & b; }
VEC_OP f64_i f64_ior(f64_i a, f64_i b) { return a | b; }
VEC_OP f64_i f64_ixor(f64_i a, f64_i b) { return a ^ b; }
#if defined(__aarch64__)
VEC_OP f64_i f64_imul32(f64_i a, f64_i b)
{
    return (f64_i)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
}
#else
VEC_OP f64_i f64_imul32(f64_i a, f64_i b) { return (f64_i)_mm_mul_epu32((__m128i)a, (__m128i)b); }
#endif
#define f64_ishl(a, n) ((f64_i)((f64_u)(a) << (n)))
#define f64_ishr(a, n) ((f64_i)((f64_u)(a) >> (n)))
VEC_OP f64_v f64_max(f64_v a, f64_v b) { return f64_sel(f64_lt(b, a), a, b); }
VEC_OP f64_v f64_min(f64_v a, f64_v b) { return f64_sel(f64_lt(a, b), a, b); }
/* Transposition step h: lanes l of the pair (a, b) with l & h swap places between them. */
VEC_OP f64_v f64_swap(f64_v a, f64_v b, int h, int second)
{
    (void)h; /* 1: two lanes have but one step */
    return second
        ? (f64_v)__builtin_shufflevector((f64_v)a, (f64_v)b, 1, 3)
        : (f64_v)__builtin_shufflevector((f64_v)a, (f64_v)b, 0, 2);
}
VEC_OP double f64_tree_add(f64_v a) { return a[0] + a[1]; }
VEC_OP double f64_tree_max(f64_v a) { return a[0] > a[1] ? a[0] : a[1]; }


/* The lower or the upper half of the floats, as doubles; and both halves back, rounded. */
VEC_OP f64_v f32_widen(f32_v a, int upper)
{
    return upper ? (f64_v){a[2], a[3]} : (f64_v){a[0], a[1]};
}
VEC_OP f32_v f32_narrow(f64_v a, f64_v b)
{
    return (f32_v){(float)a[0], (float)a[1], (float)b[0], (float)b[1]};
}

#endif
