/* The vocabulary in AVX2 + FMA: 8 float or 4 double lanes.  Words and rules: vec.h. */
#ifndef CBP_VEC_AVX2_H
#define CBP_VEC_AVX2_H

#include <immintrin.h>

#define VEC_NAME "avx2"
#define VEC_HAS_FMA 1
#define VEC_REGISTERS 16

/* The first n lanes of a window into this table are on. */
static const int32_t vec_window32[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
static const int64_t vec_window64[8] = {-1, -1, -1, -1, 0, 0, 0, 0};

/* ---- float ---------------------------------------------------------------------------------- */
#define F32_LANES 8
typedef __m256 f32_v;
typedef __m256i f32_i;
typedef __m256 f32_m;

VEC_OP f32_v f32_load(const float *p) { return _mm256_loadu_ps(p); }
VEC_OP void f32_store(float *p, f32_v a) { _mm256_storeu_ps(p, a); }
VEC_OP f32_m f32_first(int n)
{
    return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(vec_window32 + 8 - n)));
}
VEC_OP f32_v f32_loadn(const float *p, int n)
{
    return _mm256_maskload_ps(p, _mm256_castps_si256(f32_first(n)));
}
VEC_OP void f32_storen(float *p, f32_v a, int n)
{
    _mm256_maskstore_ps(p, _mm256_castps_si256(f32_first(n)), a);
}
VEC_OP f32_v f32_set1(float x) { return _mm256_set1_ps(x); }
VEC_OP f32_v f32_add(f32_v a, f32_v b) { return _mm256_add_ps(a, b); }
VEC_OP f32_v f32_sub(f32_v a, f32_v b) { return _mm256_sub_ps(a, b); }
VEC_OP f32_v f32_mul(f32_v a, f32_v b) { return _mm256_mul_ps(a, b); }
VEC_OP f32_v f32_div(f32_v a, f32_v b) { return _mm256_div_ps(a, b); }
VEC_OP f32_v f32_sqrt(f32_v a) { return _mm256_sqrt_ps(a); }
VEC_OP f32_v f32_fma(f32_v a, f32_v b, f32_v c) { return _mm256_fmadd_ps(a, b, c); }
VEC_OP f32_v f32_fnma(f32_v a, f32_v b, f32_v c) { return _mm256_fnmadd_ps(a, b, c); }
VEC_OP f32_m f32_lt(f32_v a, f32_v b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
VEC_OP f32_m f32_eq(f32_v a, f32_v b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
VEC_OP f32_v f32_sel(f32_m m, f32_v a, f32_v b) { return _mm256_blendv_ps(b, a, m); }
VEC_OP f32_m f32_mand(f32_m a, f32_m b) { return _mm256_and_ps(a, b); }
VEC_OP int f32_count(f32_m m) { return __builtin_popcount((unsigned)_mm256_movemask_ps(m)); }
VEC_OP f32_i f32_bits(f32_v a) { return _mm256_castps_si256(a); }
VEC_OP f32_v f32_from_bits(f32_i a) { return _mm256_castsi256_ps(a); }
VEC_OP f32_i f32_iset1(int32_t x) { return _mm256_set1_epi32(x); }
VEC_OP f32_i f32_iadd(f32_i a, f32_i b) { return _mm256_add_epi32(a, b); }
VEC_OP f32_i f32_isub(f32_i a, f32_i b) { return _mm256_sub_epi32(a, b); }
VEC_OP f32_i f32_iand(f32_i a, f32_i b) { return _mm256_and_si256(a, b); }
VEC_OP f32_i f32_ior(f32_i a, f32_i b) { return _mm256_or_si256(a, b); }
VEC_OP f32_i f32_ixor(f32_i a, f32_i b) { return _mm256_xor_si256(a, b); }
#define f32_ishl(a, n) _mm256_slli_epi32((a), (n))
#define f32_ishr(a, n) _mm256_srli_epi32((a), (n))
VEC_OP f32_v f32_max(f32_v a, f32_v b) { return _mm256_max_ps(a, b); }
VEC_OP f32_v f32_min(f32_v a, f32_v b) { return _mm256_min_ps(a, b); }
/* Transposition step h: lanes l of the pair (a, b) with l & h swap places between them. */
VEC_OP f32_v f32_swap(f32_v a, f32_v b, int h, int second)
{
    if (h == 4)
        return second
            ? (f32_v)__builtin_shufflevector((__m256)a, (__m256)b, 4, 5, 6, 7, 12, 13, 14, 15)
            : (f32_v)__builtin_shufflevector((__m256)a, (__m256)b, 0, 1, 2, 3, 8, 9, 10, 11);
    if (h == 2)
        return second
            ? (f32_v)__builtin_shufflevector((__m256)a, (__m256)b, 2, 3, 10, 11, 6, 7, 14, 15)
            : (f32_v)__builtin_shufflevector((__m256)a, (__m256)b, 0, 1, 8, 9, 4, 5, 12, 13);
    return second
        ? (f32_v)__builtin_shufflevector((__m256)a, (__m256)b, 1, 9, 3, 11, 5, 13, 7, 15)
        : (f32_v)__builtin_shufflevector((__m256)a, (__m256)b, 0, 8, 2, 10, 4, 12, 6, 14);
}
VEC_OP float f32_tree_add(f32_v a) /* the +4, +2, +1 steps; sum16 in vec.h does +8 */
{
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    q = _mm_add_ss(q, _mm_shuffle_ps(q, q, 1));
    return _mm_cvtss_f32(q);
}
VEC_OP float f32_tree_max(f32_v a)
{
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    q = _mm_max_ss(q, _mm_shuffle_ps(q, q, 1));
    return _mm_cvtss_f32(q);
}

/* ---- double --------------------------------------------------------------------------------- */
#define F64_LANES 4
typedef __m256d f64_v;
typedef __m256i f64_i;
typedef __m256d f64_m;

VEC_OP f64_v f64_load(const double *p) { return _mm256_loadu_pd(p); }
VEC_OP void f64_store(double *p, f64_v a) { _mm256_storeu_pd(p, a); }
VEC_OP f64_m f64_first(int n)
{
    return _mm256_castsi256_pd(_mm256_loadu_si256((const __m256i *)(vec_window64 + 4 - n)));
}
VEC_OP f64_v f64_loadn(const double *p, int n)
{
    return _mm256_maskload_pd(p, _mm256_castpd_si256(f64_first(n)));
}
VEC_OP void f64_storen(double *p, f64_v a, int n)
{
    _mm256_maskstore_pd(p, _mm256_castpd_si256(f64_first(n)), a);
}
VEC_OP f64_v f64_set1(double x) { return _mm256_set1_pd(x); }
VEC_OP f64_v f64_add(f64_v a, f64_v b) { return _mm256_add_pd(a, b); }
VEC_OP f64_v f64_sub(f64_v a, f64_v b) { return _mm256_sub_pd(a, b); }
VEC_OP f64_v f64_mul(f64_v a, f64_v b) { return _mm256_mul_pd(a, b); }
VEC_OP f64_v f64_div(f64_v a, f64_v b) { return _mm256_div_pd(a, b); }
VEC_OP f64_v f64_sqrt(f64_v a) { return _mm256_sqrt_pd(a); }
VEC_OP f64_v f64_fma(f64_v a, f64_v b, f64_v c) { return _mm256_fmadd_pd(a, b, c); }
VEC_OP f64_v f64_fnma(f64_v a, f64_v b, f64_v c) { return _mm256_fnmadd_pd(a, b, c); }
VEC_OP f64_m f64_lt(f64_v a, f64_v b) { return _mm256_cmp_pd(a, b, _CMP_LT_OQ); }
VEC_OP f64_m f64_eq(f64_v a, f64_v b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
VEC_OP f64_v f64_sel(f64_m m, f64_v a, f64_v b) { return _mm256_blendv_pd(b, a, m); }
VEC_OP f64_m f64_mand(f64_m a, f64_m b) { return _mm256_and_pd(a, b); }
VEC_OP int f64_count(f64_m m) { return __builtin_popcount((unsigned)_mm256_movemask_pd(m)); }
VEC_OP f64_i f64_bits(f64_v a) { return _mm256_castpd_si256(a); }
VEC_OP f64_v f64_from_bits(f64_i a) { return _mm256_castsi256_pd(a); }
VEC_OP f64_i f64_iset1(int64_t x) { return _mm256_set1_epi64x(x); }
VEC_OP f64_i f64_iadd(f64_i a, f64_i b) { return _mm256_add_epi64(a, b); }
VEC_OP f64_i f64_isub(f64_i a, f64_i b) { return _mm256_sub_epi64(a, b); }
VEC_OP f64_i f64_iand(f64_i a, f64_i b) { return _mm256_and_si256(a, b); }
VEC_OP f64_i f64_ior(f64_i a, f64_i b) { return _mm256_or_si256(a, b); }
VEC_OP f64_i f64_ixor(f64_i a, f64_i b) { return _mm256_xor_si256(a, b); }
VEC_OP f64_i f64_imul32(f64_i a, f64_i b) { return _mm256_mul_epu32(a, b); }
#define f64_ishl(a, n) _mm256_slli_epi64((a), (n))
#define f64_ishr(a, n) _mm256_srli_epi64((a), (n))
VEC_OP f64_v f64_max(f64_v a, f64_v b) { return _mm256_max_pd(a, b); }
VEC_OP f64_v f64_min(f64_v a, f64_v b) { return _mm256_min_pd(a, b); }
/* Transposition step h: lanes l of the pair (a, b) with l & h swap places between them. */
VEC_OP f64_v f64_swap(f64_v a, f64_v b, int h, int second)
{
    if (h == 2)
        return second
            ? (f64_v)__builtin_shufflevector((__m256d)a, (__m256d)b, 2, 3, 6, 7)
            : (f64_v)__builtin_shufflevector((__m256d)a, (__m256d)b, 0, 1, 4, 5);
    return second
        ? (f64_v)__builtin_shufflevector((__m256d)a, (__m256d)b, 1, 5, 3, 7)
        : (f64_v)__builtin_shufflevector((__m256d)a, (__m256d)b, 0, 4, 2, 6);
}
VEC_OP double f64_tree_add(f64_v a)
{
    __m128d q = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}
VEC_OP double f64_tree_max(f64_v a)
{
    __m128d q = _mm_max_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_max_sd(q, _mm_unpackhi_pd(q, q)));
}


/* The lower or the upper half of the floats, as doubles; and both halves back, rounded. */
VEC_OP f64_v f32_widen(f32_v a, int upper)
{
    return _mm256_cvtps_pd(upper ? _mm256_extractf128_ps(a, 1) : _mm256_castps256_ps128(a));
}
VEC_OP f32_v f32_narrow(f64_v a, f64_v b)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(a)), _mm256_cvtpd_ps(b), 1);
}

#endif
