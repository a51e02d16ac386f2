/* Rows of other types into strips: each element rounded once to T, as a C conversion does.
 *
 * Half precision is widened by its bits: the exponent's bias changes by a multiplication with 2^112,
 * which is exact, subnormal numbers included (infinities and NaN do not come here). */

static inline float FN(widen)(uint16_t half)
{
    uint32_t bits = (uint32_t)(half & 0x7FFF) << 13, sign = (uint32_t)(half & 0x8000) << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    value *= 0x1p112f;
    memcpy(&bits, &value, sizeof bits);
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define CONVERT_ROWS(S, VALUE)                                                                     \
    for (ptrdiff_t r = 0; r < n; r++) {                                                            \
        const S *src = (const S *)rows + (index ? index[r] : r) * row_stride;                      \
        T *dst = (T *)strips + r * CBP_STRIP;                                                      \
        for (ptrdiff_t s = 0; s < whole; s++, src += CBP_STRIP, dst += stride)                     \
            for (int j = 0; j < CBP_STRIP; j++)                                                    \
                dst[j] = (T)VALUE(src[j]);                                                         \
        if (tail)                                                                                  \
            for (int j = 0; j < CBP_STRIP; j++)                                                    \
                dst[j] = j < tail ? (T)VALUE(src[j]) : (T)0;                                       \
    }

static void FN(gather_from)(int source, void *strips, ptrdiff_t stride, const void *rows,
                            ptrdiff_t row_stride, const ptrdiff_t *index, ptrdiff_t n, ptrdiff_t c)
{
    ptrdiff_t whole = c / CBP_STRIP, tail = c % CBP_STRIP;
    switch (source) {
    case CBP_INT8: CONVERT_ROWS(int8_t, ) break;
    case CBP_UINT8: CONVERT_ROWS(uint8_t, ) break;
    case CBP_INT16: CONVERT_ROWS(int16_t, ) break;
    case CBP_UINT16: CONVERT_ROWS(uint16_t, ) break;
    case CBP_INT32: CONVERT_ROWS(int32_t, ) break;
    case CBP_UINT32: CONVERT_ROWS(uint32_t, ) break;
    case CBP_INT64: CONVERT_ROWS(int64_t, ) break;
    case CBP_UINT64: CONVERT_ROWS(uint64_t, ) break;
    case CBP_FLOAT16: CONVERT_ROWS(uint16_t, FN(widen)) break;
    case CBP_FLOAT32: CONVERT_ROWS(float, ) break;
    case CBP_FLOAT64: CONVERT_ROWS(double, ) break;
    default: FN(gather)(strips, stride, rows, row_stride, index, n, c);
    }
}
#undef CONVERT_ROWS
