/* Standardisation: columns moved and stretched in double, and the sums that say by how much.
 *
 * Plain loops that compilers turn into lanes: every lane is one column, conversions, products and
 * sums are rounded one by one (no contraction), so no bit depends on the instruction set. */

static void FN(affine)(void *strips, ptrdiff_t stride, const double *terms, ptrdiff_t n,
                       ptrdiff_t c)
{
    ptrdiff_t whole = (c + CBP_STRIP - 1) / CBP_STRIP, columns = whole * CBP_STRIP;
    for (ptrdiff_t s = 0; s < whole; s++) {
        T *x = (T *)strips + s * stride;
        const double *before = terms + s * CBP_STRIP, *factor = before + columns;
        const double *after = factor + columns;
        for (ptrdiff_t r = 0; r < n; r++, x += CBP_STRIP)
            for (int j = 0; j < CBP_STRIP; j++)
                x[j] = (T)(((double)x[j] - before[j]) * factor[j] + after[j]);
    }
}

static void FN(moments)(double *sum, double *square, const void *rows, ptrdiff_t row_stride,
                        const double *centre, ptrdiff_t n, ptrdiff_t c)
{
    for (ptrdiff_t j = 0; j < c; j++)
        sum[j] = square[j] = 0.0;
    for (ptrdiff_t r = 0; r < n; r++) {
        const T *x = (const T *)rows + r * row_stride;
        for (ptrdiff_t j = 0; j < c; j++) {
            double d = (double)x[j] - centre[j];
            sum[j] += d;
            square[j] += d * d;
        }
    }
}
