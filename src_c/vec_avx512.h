/* The vocabulary in AVX-512: 16 float or 8 double lanes.  Words and rules: vec.h. */
#ifndef CBP_VEC_AVX512_H
#define CBP_VEC_AVX512_H

#include <immintrin.h>

#define VEC_NAME "avx512"
#define VEC_HAS_FMA 1
#define VEC_REGISTERS 32

/* ---- float ---------------------------------------------------------------------------------- */
#define F32_LANES 16
typedef __m512 f32_v;
typedef __m512i f32_i;
typedef __mmask16 f32_m;

VEC_OP f32_v f32_load(const float *p) { return _mm512_loadu_ps(p); }
VEC_OP void f32_store(float *p, f32_v a) { _mm512_storeu_ps(p, a); }
VEC_OP f32_m f32_first(int n) { return (f32_m)((1u << n) - 1u); }
VEC_OP f32_v f32_loadn(const float *p, int n) { return _mm512_maskz_loadu_ps(f32_first(n), p); }
VEC_OP void f32_storen(float *p, f32_v a, int n) { _mm512_mask_storeu_ps(p, f32_first(n), a); }
VEC_OP f32_v f32_set1(float x) { return _mm512_set1_ps(x); }
VEC_OP f32_v f32_add(f32_v a, f32_v b) { return _mm512_add_ps(a, b); }
VEC_OP f32_v f32_sub(f32_v a, f32_v b) { return _mm512_sub_ps(a, b); }
VEC_OP f32_v f32_mul(f32_v a, f32_v b) { return _mm512_mul_ps(a, b); }
VEC_OP f32_v f32_div(f32_v a, f32_v b) { return _mm512_div_ps(a, b); }
VEC_OP f32_v f32_sqrt(f32_v a) { return _mm512_sqrt_ps(a); }
VEC_OP f32_v f32_fma(f32_v a, f32_v b, f32_v c) { return _mm512_fmadd_ps(a, b, c); }
VEC_OP f32_v f32_fnma(f32_v a, f32_v b, f32_v c) { return _mm512_fnmadd_ps(a, b, c); }
VEC_OP f32_m f32_lt(f32_v a, f32_v b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
VEC_OP f32_m f32_eq(f32_v a, f32_v b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
VEC_OP f32_v f32_sel(f32_m m, f32_v a, f32_v b) { return _mm512_mask_blend_ps(m, b, a); }
VEC_OP f32_m f32_mand(f32_m a, f32_m b) { return (f32_m)(a & b); }
VEC_OP int f32_count(f32_m m) { return __builtin_popcount(m); }
VEC_OP f32_i f32_bits(f32_v a) { return _mm512_castps_si512(a); }
VEC_OP f32_v f32_from_bits(f32_i a) { return _mm512_castsi512_ps(a); }
VEC_OP f32_i f32_iset1(int32_t x) { return _mm512_set1_epi32(x); }
VEC_OP f32_i f32_iadd(f32_i a, f32_i b) { return _mm512_add_epi32(a, b); }
VEC_OP f32_i f32_isub(f32_i a, f32_i b) { return _mm512_sub_epi32(a, b); }
VEC_OP f32_i f32_iand(f32_i a, f32_i b) { return _mm512_and_si512(a, b); }
VEC_OP f32_i f32_ior(f32_i a, f32_i b) { return _mm512_or_si512(a, b); }
VEC_OP f32_i f32_ixor(f32_i a, f32_i b) { return _mm512_xor_si512(a, b); }
#define f32_ishl(a, n) _mm512_slli_epi32((a), (n))
#define f32_ishr(a, n) _mm512_srli_epi32((a), (n))
/* Transposition step h: lanes l of the pair (a, b) with l & h swap places between them. */
VEC_OP f32_v f32_swap(f32_v a, f32_v b, int h, int second)
{
    if (h == 8)
        return second
            ? (f32_v)__builtin_shufflevector((__m512)a, (__m512)b, 8, 9, 10, 11, 12, 13, 14, 15, 24,
                    25, 26, 27, 28, 29, 30, 31)
            : (f32_v)__builtin_shufflevector((__m512)a, (__m512)b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17,
                    18, 19, 20, 21, 22, 23);
    if (h == 4)
        return second
            ? (f32_v)__builtin_shufflevector((__m512)a, (__m512)b, 4, 5, 6, 7, 20, 21, 22, 23, 12,
                    13, 14, 15, 28, 29, 30, 31)
            : (f32_v)__builtin_shufflevector((__m512)a, (__m512)b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9,
                    10, 11, 24, 25, 26, 27);
    if (h == 2)
        return second
            ? (f32_v)__builtin_shufflevector((__m512)a, (__m512)b, 2, 3, 18, 19, 6, 7, 22, 23, 10,
                    11, 26, 27, 14, 15, 30, 31)
            : (f32_v)__builtin_shufflevector((__m512)a, (__m512)b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9,
                    24, 25, 12, 13, 28, 29);
    return second
        ? (f32_v)__builtin_shufflevector((__m512)a, (__m512)b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25,
                11, 27, 13, 29, 15, 31)
        : (f32_v)__builtin_shufflevector((__m512)a, (__m512)b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24,
                10, 26, 12, 28, 14, 30);
}
/* Lane j of the result is lane j of `a` plus lane j + h of `a` (h = 8, 4, 2, 1), and the like. */
VEC_OP float f32_tree_add(f32_v a)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a),
                             _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1)));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    q = _mm_add_ss(q, _mm_shuffle_ps(q, q, 1));
    return _mm_cvtss_f32(q);
}
/* max(x, y) here is x > y ? x : y, which is what VMAXPS computes. */
VEC_OP f32_v f32_max(f32_v a, f32_v b) { return _mm512_max_ps(a, b); }
VEC_OP f32_v f32_min(f32_v a, f32_v b) { return _mm512_min_ps(a, b); }
VEC_OP float f32_tree_max(f32_v a)
{
    __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a),
                             _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1)));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    q = _mm_max_ss(q, _mm_shuffle_ps(q, q, 1));
    return _mm_cvtss_f32(q);
}

/* ---- double --------------------------------------------------------------------------------- */
#define F64_LANES 8
typedef __m512d f64_v;
typedef __m512i f64_i;
typedef __mmask8 f64_m;

VEC_OP f64_v f64_load(const double *p) { return _mm512_loadu_pd(p); }
VEC_OP void f64_store(double *p, f64_v a) { _mm512_storeu_pd(p, a); }
VEC_OP f64_m f64_first(int n) { return (f64_m)((1u << n) - 1u); }
VEC_OP f64_v f64_loadn(const double *p, int n) { return _mm512_maskz_loadu_pd(f64_first(n), p); }
VEC_OP void f64_storen(double *p, f64_v a, int n) { _mm512_mask_storeu_pd(p, f64_first(n), a); }
VEC_OP f64_v f64_set1(double x) { return _mm512_set1_pd(x); }
VEC_OP f64_v f64_add(f64_v a, f64_v b) { return _mm512_add_pd(a, b); }
VEC_OP f64_v f64_sub(f64_v a, f64_v b) { return _mm512_sub_pd(a, b); }
VEC_OP f64_v f64_mul(f64_v a, f64_v b) { return _mm512_mul_pd(a, b); }
VEC_OP f64_v f64_div(f64_v a, f64_v b) { return _mm512_div_pd(a, b); }
VEC_OP f64_v f64_sqrt(f64_v a) { return _mm512_sqrt_pd(a); }
VEC_OP f64_v f64_fma(f64_v a, f64_v b, f64_v c) { return _mm512_fmadd_pd(a, b, c); }
VEC_OP f64_v f64_fnma(f64_v a, f64_v b, f64_v c) { return _mm512_fnmadd_pd(a, b, c); }
VEC_OP f64_m f64_lt(f64_v a, f64_v b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
VEC_OP f64_m f64_eq(f64_v a, f64_v b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
VEC_OP f64_v f64_sel(f64_m m, f64_v a, f64_v b) { return _mm512_mask_blend_pd(m, b, a); }
VEC_OP f64_m f64_mand(f64_m a, f64_m b) { return (f64_m)(a & b); }
VEC_OP int f64_count(f64_m m) { return __builtin_popcount(m); }
VEC_OP f64_i f64_bits(f64_v a) { return _mm512_castpd_si512(a); }
VEC_OP f64_v f64_from_bits(f64_i a) { return _mm512_castsi512_pd(a); }
VEC_OP f64_i f64_iset1(int64_t x) { return _mm512_set1_epi64(x); }
VEC_OP f64_i f64_iadd(f64_i a, f64_i b) { return _mm512_add_epi64(a, b); }
VEC_OP f64_i f64_isub(f64_i a, f64_i b) { return _mm512_sub_epi64(a, b); }
VEC_OP f64_i f64_iand(f64_i a, f64_i b) { return _mm512_and_si512(a, b); }
VEC_OP f64_i f64_ior(f64_i a, f64_i b) { return _mm512_or_si512(a, b); }
VEC_OP f64_i f64_ixor(f64_i a, f64_i b) { return _mm512_xor_si512(a, b); }
VEC_OP f64_i f64_imul32(f64_i a, f64_i b) { return _mm512_mul_epu32(a, b); }
#define f64_ishl(a, n) _mm512_slli_epi64((a), (n))
#define f64_ishr(a, n) _mm512_srli_epi64((a), (n))
VEC_OP f64_v f64_max(f64_v a, f64_v b) { return _mm512_max_pd(a, b); }
VEC_OP f64_v f64_min(f64_v a, f64_v b) { return _mm512_min_pd(a, b); }
/* Transposition step h: lanes l of the pair (a, b) with l & h swap places between them. */
VEC_OP f64_v f64_swap(f64_v a, f64_v b, int h, int second)
{
    if (h == 4)
        return second
            ? (f64_v)__builtin_shufflevector((__m512d)a, (__m512d)b, 4, 5, 6, 7, 12, 13, 14, 15)
            : (f64_v)__builtin_shufflevector((__m512d)a, (__m512d)b, 0, 1, 2, 3, 8, 9, 10, 11);
    if (h == 2)
        return second
            ? (f64_v)__builtin_shufflevector((__m512d)a, (__m512d)b, 2, 3, 10, 11, 6, 7, 14, 15)
            : (f64_v)__builtin_shufflevector((__m512d)a, (__m512d)b, 0, 1, 8, 9, 4, 5, 12, 13);
    return second
        ? (f64_v)__builtin_shufflevector((__m512d)a, (__m512d)b, 1, 9, 3, 11, 5, 13, 7, 15)
        : (f64_v)__builtin_shufflevector((__m512d)a, (__m512d)b, 0, 8, 2, 10, 4, 12, 6, 14);
}
VEC_OP double f64_tree_add(f64_v a)
{
    __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}
VEC_OP double f64_tree_max(f64_v a)
{
    __m256d h = _mm256_max_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    __m128d q = _mm_max_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_max_sd(q, _mm_unpackhi_pd(q, q)));
}


/* The lower or the upper half of the floats, as doubles; and both halves back, rounded. */
VEC_OP f64_v f32_widen(f32_v a, int upper)
{
    return _mm512_cvtps_pd(upper ? _mm512_extractf32x8_ps(a, 1) : _mm512_castps512_ps256(a));
}
VEC_OP f32_v f32_narrow(f64_v a, f64_v b)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a)), _mm512_cvtpd_ps(b), 1);
}

#endif
