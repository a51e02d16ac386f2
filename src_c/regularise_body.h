/* What else is done to weights and activations in training: running means of weights, limits of a
 * unit's weights, dropout (numerics.md, rules 9 and 14). */

static void FN(average)(void *mean_, const void *w_, double share, ptrdiff_t c)
{
    T *mean = mean_;
    const T *w = w_;
    for (ptrdiff_t j = 0; j < c; j += VW) {
        int lanes = c - j < VW ? (int)(c - j) : VW;
        V m = vloadn(mean + j, lanes);
        vstoren(mean + j, vfma(vset1((T)share), vsub(vloadn(w + j, lanes), m), m), lanes);
    }
}

VEC_OP int FN(limit_columns)(T *w, ptrdiff_t row_stride, ptrdiff_t i, int columns, double limit)
{
    double sum[CBP_STRIP] = {0.0};
    T factor[CBP_STRIP];
    int exceeds = 0;
    for (ptrdiff_t k = 0; k < i; k++)
        for (int q = 0; q < columns; q++) {
            double x = w[k * row_stride + q];
            sum[q] += x * x;
        }
    for (int q = 0; q < columns; q++) {
        double norm = __builtin_sqrt(sum[q]);
        factor[q] = norm > limit ? (T)(limit / norm) : (T)1;
        exceeds |= norm > limit;
    }
    for (ptrdiff_t k = 0; exceeds && k < i; k++)
        for (int q = 0; q < columns; q++)
            w[k * row_stride + q] *= factor[q];
    return exceeds;
}

static int FN(max_norm)(void *w_, ptrdiff_t row_stride, ptrdiff_t i, ptrdiff_t o, double limit)
{
    T *w = w_;
    int any = 0;
    for (ptrdiff_t first = 0; first < o; first += CBP_STRIP)
        any |= o - first < CBP_STRIP
            ? FN(limit_columns)(w + first, row_stride, i, (int)(o - first), limit)
            : FN(limit_columns)(w + first, row_stride, i, CBP_STRIP, limit);
    return any;
}

/* Words of ROWS rows x 16 units: Philox block j of a row gives units 4 j .. 4 j + 3.  The blocks of
 * four rows are computed in the order 4 j + row, so that what follows are transpositions of 4 x 4. */
#define ROWS 8
#define LANES (4 * ROWS)

VEC_OP void FN(dropout_words)(uint32_t *restrict words, ptrdiff_t row, ptrdiff_t unit,
                              const cbp_dropout *how)
{
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    uint32_t k0 = (uint32_t)how->seed, k1 = (uint32_t)(how->seed >> 32);
    for (int l = 0; l < LANES; l++) {
        c0[l] = (uint32_t)(unit / 4 + l % 16 / 4);
        c1[l] = (uint32_t)(row + l / 16 * 4 + l % 4);
        c2[l] = how->step;
        c3[l] = CBP_DROPOUT + (how->layer << 8);
    }
    for (int round = 0; round < 10; round++) {
        for (int l = 0; l < LANES; l++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[l], p1 = (uint64_t)0xCD9E8D57u * c2[l];
            c0[l] = (uint32_t)(p1 >> 32) ^ c1[l] ^ k0;
            c1[l] = (uint32_t)p1;
            c2[l] = (uint32_t)(p0 >> 32) ^ c3[l] ^ k1;
            c3[l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int l = 0; l < LANES; l++) {
        uint32_t *to = words + (l / 16 * 4 + l % 4) * CBP_STRIP + l % 16 / 4 * 4;
        to[0] = c0[l], to[1] = c1[l], to[2] = c2[l], to[3] = c3[l];
    }
}

static void FN(dropout)(void *y_, ptrdiff_t y_stride, const void *x_, ptrdiff_t x_stride,
                        ptrdiff_t row, ptrdiff_t n, ptrdiff_t first, ptrdiff_t c,
                        const cbp_dropout *how)
{
    const T factor = (T)how->factor;
    const uint32_t most = (uint32_t)(how->keep - 1); /* the largest word that keeps */
    uint32_t words[ROWS * CBP_STRIP];
    for (ptrdiff_t s = 0; s * CBP_STRIP < c; s++)
        for (ptrdiff_t r = 0; r < n; r += ROWS) {
            T *y = (T *)y_ + s * y_stride + r * CBP_STRIP;
            const T *x = (const T *)x_ + s * x_stride + r * CBP_STRIP;
            ptrdiff_t count = (n - r < ROWS ? n - r : ROWS) * CBP_STRIP;
            FN(dropout_words)(words, row + r, first + s * CBP_STRIP, how);
            for (ptrdiff_t j = 0; j < count; j++)
                y[j] = words[j] <= most ? x[j] * factor : (T)0;
        }
}

#undef ROWS
#undef LANES
