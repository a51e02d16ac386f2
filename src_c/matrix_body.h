/* Matrix kernels: layouts, register tiles for forward/delta (matmul) and weight gradient.
 *
 * A tile holds MR rows x NV vectors of outputs in registers.  Every output is one FMA chain from +0
 * over ascending k, cut into blocks of 256 whose sums are added in order (numerics.md, rules 1-3);
 * lanes run along the outputs, or along the inputs where outputs are few, never along k: lanes,
 * tiles and rows never show in the bits.
 *
 * Tile heights: as many rows as the registers hold (24 accumulators of 32 registers, 12 of 16), cut
 * so that all tiles of a column panel differ by at most one row: no slow 1- or 2-row tails. */

static void FN(gather)(void *strips, ptrdiff_t stride, const void *rows, ptrdiff_t row_stride,
                       const ptrdiff_t *index, ptrdiff_t n, ptrdiff_t c)
{
    ptrdiff_t whole = c / CBP_STRIP, tail = c % CBP_STRIP;
    for (ptrdiff_t r = 0; r < n; r++) {
        const T *src = (const T *)rows + (index ? index[r] : r) * row_stride;
        /* Rows of a shuffle are where no prefetcher looks: 784 floats came 1.2 times as fast. */
        const T *next = index && r + 1 < n ? (const T *)rows + index[r + 1] * row_stride : src;
        T *dst = (T *)strips + r * CBP_STRIP;
        for (ptrdiff_t s = 0; s < whole; s++, src += CBP_STRIP, next += CBP_STRIP, dst += stride)
            for (int j = 0; j < VPS; j++) {
                if (j * sizeof(V) % 64 == 0)
                    __builtin_prefetch(next + j * VW);
                vstore(dst + j * VW, vload(src + j * VW));
            }
        if (tail)
            for (int j = 0; j < VPS; j++) {
                ptrdiff_t left = tail - j * VW;
                int lanes = left < 0 ? 0 : left > VW ? VW : (int)left;
                vstore(dst + j * VW, vloadn(src + j * VW, lanes));
            }
    }
}

static void FN(scatter)(void *rows, ptrdiff_t row_stride, const void *strips, ptrdiff_t stride,
                        ptrdiff_t n, ptrdiff_t c)
{
    ptrdiff_t whole = c / CBP_STRIP, tail = c % CBP_STRIP, vectors = (tail + VW - 1) / VW;
    /* Where rows follow each other, the next one mends what a whole vector writes over its end. */
    T *end = (T *)rows + (row_stride == c ? n * c : 0) - vectors * VW;
    for (ptrdiff_t r = 0; r < n; r++) {
        T *dst = (T *)rows + r * row_stride;
        const T *src = (const T *)strips + r * CBP_STRIP;
        for (ptrdiff_t s = 0; s < whole; s++, dst += CBP_STRIP, src += stride)
            for (int j = 0; j < VPS; j++)
                vstore(dst + j * VW, vload(src + j * VW));
        if (tail && dst <= end)
            for (ptrdiff_t j = 0; j < vectors; j++)
                vstore(dst + j * VW, vload(src + j * VW));
        else
            for (ptrdiff_t j = 0; j < tail; j++)
                dst[j] = src[j];
    }
}

/* x[r] lane c becomes x[c] lane r, for VW vectors. */
VEC_OP void FN(vtranspose)(V x[VW])
{
    _Pragma("GCC unroll 4") for (int h = VW / 2; h >= 1; h /= 2)
        _Pragma("GCC unroll 16") for (int r = 0; r < VW; r++)
            if (!(r & h)) {
                V a = x[r], b = x[r + h];
                x[r] = vswap(a, b, h, 0);
                x[r + h] = vswap(a, b, h, 1);
            }
}

/* x[c] = column c of VW rows, `row` elements apart, of which `rows` exist (+0 in the others). */
VEC_OP void FN(turn)(V x[VW], const T *from, ptrdiff_t row, ptrdiff_t rows)
{
    if (rows >= VW) /* nothing but registers */
        _Pragma("GCC unroll 16") for (int r = 0; r < VW; r++)
            x[r] = vload(from + r * row);
    else
        for (int r = 0; r < VW; r++)
            x[r] = r < rows ? vload(from + r * row) : vset1((T)0);
    FN(vtranspose)(x);
}

static void FN(transpose)(void *wt, const void *w, ptrdiff_t row_stride, ptrdiff_t i, ptrdiff_t o)
{
    T *dst = wt;
    const T *src = w;
    ptrdiff_t c = 0;
    for (; i == CBP_STRIP && c + VW <= o; c += VW)
        for (int j = 0; j < VPS; j++) {
            V x[VW];
            for (int r = 0; r < VW; r++)
                x[r] = vload(src + (j * VW + r) * row_stride + c);
            FN(vtranspose)(x);
            for (int r = 0; r < VW; r++)
                vstore(dst + (c + r) * CBP_STRIP + j * VW, x[r]);
        }
    for (; c < o; c++)
        for (int r = 0; r < CBP_STRIP; r++)
            dst[c * CBP_STRIP + r] = r < i ? src[r * row_stride + c] : (T)0;
}

#define LINE (64 / (int)sizeof(T))

/* Vector j of a tile whose first vector starts at `p`: strips hold VPS vectors. */
#define TILE_VECTOR(p, stride, NV, j) \
    ((p) + ((NV) <= VPS ? (j) * VW : (j) / VPS * (stride) + (j) % VPS * VW))

/* The body of one k: NV loads, MR broadcasts, MR x NV FMAs. */
#define TILE_STEP(MR, NV, a_of_r, b_at, b_stride)                                \
    do {                                                                         \
        V bv[NV];                                                                \
        _Pragma("GCC unroll 8") for (int j = 0; j < NV; j++)                     \
            bv[j] = vload(TILE_VECTOR(b_at, b_stride, NV, j));                   \
        _Pragma("GCC unroll 16") for (int r = 0; r < MR; r++) {                  \
            V av = vset1(a_of_r);                                                \
            _Pragma("GCC unroll 8") for (int j = 0; j < NV; j++)                 \
                acc[r][j] = vfma(av, bv[j], acc[r][j]);                          \
        }                                                                        \
    } while (0)

#define TILE_CLEAR(MR, NV)                                         \
    _Pragma("GCC unroll 16") for (int r = 0; r < MR; r++)          \
        _Pragma("GCC unroll 8") for (int j = 0; j < NV; j++)       \
            acc[r][j] = vset1((T)0)

/* The first block's chain is the sum; later blocks are added to it in memory. */
#define TILE_STORE(MR, NV, C, c_row, c_stride, first)                                    \
    _Pragma("GCC unroll 16") for (int r = 0; r < MR; r++)                                \
        _Pragma("GCC unroll 8") for (int j = 0; j < NV; j++) {                           \
            T *at = TILE_VECTOR((C) + r * (c_row), c_stride, NV, j);                     \
            vstore(at, first ? acc[r][j] : vadd(vload(at), acc[r][j]));                  \
        }

/* Element k of row r of a tile whose rows 0, 3, 6 ... begin at `from`. */
#define TILE_ROW(from, a_row, r) ((from)[(r) / 3] + (r) % 3 * (a_row))

/* Moves on, and leaves the compiler no other way: gcc took a register for each row, and spilled, or
 * kept these in a vector.  (Moving on every 4 k: nothing with AVX-512, AVX2 8 % slower.) */
#define TILE_ADVANCE(MR, from, by)                                             \
    _Pragma("GCC unroll 4") for (int q = 0; q < (MR + 2) / 3; q++)             \
        __asm__("" : "=r"((from)[q]) : "0"((from)[q] + (by)))

/* matmul: k runs along A's columns, 16 at a time, a_stride elements apart; A's rows are a_row
 * elements apart.  Rows are addressed from every third one: base + 0, 1, 2 times one register.  What
 * the tile below this one will read is fetched into L2 on the way: where A is a caller's array, it
 * may be in memory, and a tile takes longer than memory does. */
#define MATMUL_BODY(MR, NV, a_row)                                                                 \
    const T *from[(MR + 2) / 3];                                                                   \
    for (int q = 0; q < (MR + 2) / 3; q++)                                                         \
        from[q] = a + 3 * q * (a_row);                                                             \
    for (ptrdiff_t done = 0; done < k; done += CBP_BLOCK, more = 1) {                              \
        ptrdiff_t left = k - done < CBP_BLOCK ? k - done : CBP_BLOCK;                              \
        V acc[MR][NV];                                                                             \
        TILE_CLEAR(MR, NV);                                                                        \
        for (; left >= CBP_STRIP; left -= CBP_STRIP) {                                             \
            if (NV > 1)                                                                            \
                _Pragma("GCC unroll 16") for (int r = 0; r < MR; r++)                              \
                    _Pragma("GCC unroll 2") for (int c = 0; c < CBP_STRIP; c += LINE)              \
                        __builtin_prefetch(TILE_ROW(from, a_row, r) + MR * (a_row) + c, 0, 2);     \
            _Pragma("GCC unroll 4") for (int kk = 0; kk < CBP_STRIP; kk++, b += b_row)             \
                TILE_STEP(MR, NV, TILE_ROW(from, a_row, r)[kk], b, b_stride);                      \
            TILE_ADVANCE(MR, from, a_stride);                                                      \
        }                                                                                          \
        for (int kk = 0; kk < left; kk++, b += b_row)                                              \
            TILE_STEP(MR, NV, TILE_ROW(from, a_row, r)[kk], b, b_stride);                          \
        TILE_STORE(MR, NV, z, CBP_STRIP, z_stride, !more);                                         \
    }

/* One vector is as many loads as FMAs: there the distance of a strip's rows is worth knowing. */
#define MATMUL_TILE(MR, NV)                                                                        \
    static void FN(CBP_CAT(matmul_##MR##x, NV))(T * z, ptrdiff_t z_stride, const T *a,             \
                                                ptrdiff_t a_row, ptrdiff_t a_stride, const T *b,   \
                                                ptrdiff_t b_row, ptrdiff_t b_stride, ptrdiff_t k,  \
                                                int more)                                          \
    {                                                                                              \
        if (NV == 1 && a_row == CBP_STRIP) {                                                       \
            MATMUL_BODY(MR, NV, CBP_STRIP)                                                         \
        } else {                                                                                   \
            MATMUL_BODY(MR, NV, a_row)                                                             \
        }                                                                                          \
    }

/* gradient: k runs along the rows, 16 elements apart in A's strip and in D's strips.  `more`: up to
 * 256 rows whose chains go on from what g holds. */
#define GRADIENT_TILE(MR, NV)                                                                      \
    static void FN(CBP_CAT(gradient_##MR##x, NV))(T * g, ptrdiff_t g_row, const T *a, const T *d,  \
                                                  ptrdiff_t d_stride, ptrdiff_t n, int more)       \
    {                                                                                              \
        for (ptrdiff_t done = 0; done < n; done += CBP_BLOCK) {                                    \
            ptrdiff_t left = n - done < CBP_BLOCK ? n - done : CBP_BLOCK;                          \
            V acc[MR][NV];                                                                         \
            TILE_CLEAR(MR, NV);                                                                    \
            if (more)                                                                              \
                _Pragma("GCC unroll 16") for (int r = 0; r < MR; r++)                              \
                    _Pragma("GCC unroll 8") for (int j = 0; j < NV; j++)                           \
                        acc[r][j] = vload(g + r * g_row + j * VW);                                 \
            _Pragma("GCC unroll 4") for (; left > 0; left--, a += CBP_STRIP, d += CBP_STRIP)       \
                TILE_STEP(MR, NV, a[r], d, d_stride);                                              \
            /* Vectors of g are neighbours; ascending rows mend what a tail vector ran over. */    \
            _Pragma("GCC unroll 16") for (int r = 0; r < MR; r++)                                  \
                _Pragma("GCC unroll 8") for (int j = 0; j < NV; j++) {                             \
                    T *at = g + r * g_row + j * VW;                                                \
                    vstore(at, done == 0 ? acc[r][j] : vadd(vload(at), acc[r][j]));                \
                }                                                                                  \
        }                                                                                          \
    }

#define BOTH_TILES(MR, NV) MATMUL_TILE(MR, NV) GRADIENT_TILE(MR, NV)

/* How many vectors wide a tile is, and how high a tile of each width may be. */
#if VEC_REGISTERS >= 32
#define TILE_WIDTH 4
#define TILE_HEIGHTS {0, 12, 12, 8, 6}
BOTH_TILES(1, 4) BOTH_TILES(2, 4) BOTH_TILES(3, 4) BOTH_TILES(4, 4) BOTH_TILES(5, 4) BOTH_TILES(6, 4)
BOTH_TILES(1, 3) BOTH_TILES(2, 3) BOTH_TILES(3, 3) BOTH_TILES(4, 3) BOTH_TILES(5, 3) BOTH_TILES(6, 3)
BOTH_TILES(7, 3) BOTH_TILES(8, 3)
BOTH_TILES(1, 2) BOTH_TILES(2, 2) BOTH_TILES(3, 2) BOTH_TILES(4, 2) BOTH_TILES(5, 2) BOTH_TILES(6, 2)
BOTH_TILES(7, 2) BOTH_TILES(8, 2) BOTH_TILES(9, 2) BOTH_TILES(10, 2) BOTH_TILES(11, 2)
BOTH_TILES(12, 2)
#else
#define TILE_WIDTH 2
#define TILE_HEIGHTS {0, 12, 6}
BOTH_TILES(1, 2) BOTH_TILES(2, 2) BOTH_TILES(3, 2) BOTH_TILES(4, 2) BOTH_TILES(5, 2) BOTH_TILES(6, 2)
#endif
BOTH_TILES(1, 1) BOTH_TILES(2, 1) BOTH_TILES(3, 1) BOTH_TILES(4, 1) BOTH_TILES(5, 1) BOTH_TILES(6, 1)
BOTH_TILES(7, 1) BOTH_TILES(8, 1) BOTH_TILES(9, 1) BOTH_TILES(10, 1) BOTH_TILES(11, 1)
BOTH_TILES(12, 1)

typedef void (*FN(matmul_tile))(T *, ptrdiff_t, const T *, ptrdiff_t, ptrdiff_t, const T *,
                                ptrdiff_t, ptrdiff_t, ptrdiff_t, int);
typedef void (*FN(gradient_tile))(T *, ptrdiff_t, const T *, const T *, ptrdiff_t, ptrdiff_t,
                                  int);

#define TILE_1(kernel, NV) FN(kernel##_1x##NV)
#define TILES_6(kernel, NV)                                                                  \
    FN(kernel##_1x##NV), FN(kernel##_2x##NV), FN(kernel##_3x##NV), FN(kernel##_4x##NV),      \
        FN(kernel##_5x##NV), FN(kernel##_6x##NV)
#define TILES_12(kernel, NV)                                                                 \
    TILES_6(kernel, NV), FN(kernel##_7x##NV), FN(kernel##_8x##NV), FN(kernel##_9x##NV),      \
        FN(kernel##_10x##NV), FN(kernel##_11x##NV), FN(kernel##_12x##NV)
#if VEC_REGISTERS >= 32
#define TILE_TABLE(kernel)                                                                   \
    {                                                                                        \
        {0}, {0, TILES_12(kernel, 1)}, {0, TILES_12(kernel, 2)},                             \
            {0, TILES_6(kernel, 3), FN(kernel##_7x3), FN(kernel##_8x3)},                     \
            {0, TILES_6(kernel, 4)},                                                         \
    }
#else
#define TILE_TABLE(kernel) {{0}, {0, TILES_12(kernel, 1)}, {0, TILES_6(kernel, 2)}}
#endif

enum { FN(tile_width) = TILE_WIDTH };
static const int FN(tile_heights)[TILE_WIDTH + 1] = TILE_HEIGHTS;
static const FN(matmul_tile) FN(matmul_tiles)[TILE_WIDTH + 1][13] = TILE_TABLE(matmul);
static const FN(gradient_tile) FN(gradient_tiles)[TILE_WIDTH + 1][13] = TILE_TABLE(gradient);

static void FN(matmul)(void *z_, ptrdiff_t z_stride, const void *a_, ptrdiff_t a_row,
                       ptrdiff_t a_stride, const void *b_, ptrdiff_t b_row, ptrdiff_t b_stride,
                       ptrdiff_t n, ptrdiff_t k, ptrdiff_t o, int more)
{
    T *z = z_;
    const T *a = a_, *b = b_;
    ptrdiff_t vectors = (o + VW - 1) / VW;
    for (ptrdiff_t v = 0; v < vectors; v += TILE_WIDTH) {
        int width = vectors - v < TILE_WIDTH ? (int)(vectors - v) : TILE_WIDTH;
        ptrdiff_t tiles = (n + FN(tile_heights)[width] - 1) / FN(tile_heights)[width];
        const T *b_panel = b + v / VPS * b_stride + v % VPS * VW;
        T *z_panel = z + v / VPS * z_stride + v % VPS * VW;
        ptrdiff_t r = 0;
        for (ptrdiff_t t = 0; t < tiles; t++) {
            ptrdiff_t height = (n - r + tiles - t - 1) / (tiles - t);
            FN(matmul_tiles)[width][height](z_panel + r * CBP_STRIP, z_stride, a + r * a_row, a_row,
                                            a_stride, b_panel, b_row, b_stride, k, more);
            r += height;
        }
    }
}

static void FN(gradient)(void *g_, const void *a_, const void *d_, ptrdiff_t d_stride, ptrdiff_t n,
                         ptrdiff_t i, ptrdiff_t o)
{
    T *g = g_;
    const T *a = a_, *d = d_;
    ptrdiff_t vectors = (o + VW - 1) / VW;
    /* Fewer outputs than inputs: the same chains with the lanes along the inputs, o rows of them
     * instead of i rows of mostly empty vectors (16 x 3, 32 rows: 5 times less work). */
    if (o <= 12 && o * ((i + VW - 1) / VW) < i * vectors) {
        T turned[12 * CBP_STRIP];
        for (ptrdiff_t v = 0; v * VW < i; v++)
            FN(gradient_tiles)[1][o](turned + v * VW, CBP_STRIP, d, a + v * VW, 0, n, 0);
        for (ptrdiff_t r = 0; r < i; r++)
            for (ptrdiff_t c = 0; c < o; c++)
                g[r * o + c] = turned[c * CBP_STRIP + r];
        return;
    }
    /* The last panel first: its tail vectors run over the start of the next row of g (or into the
     * 16 spare elements), which the panels after it put right. */
    for (ptrdiff_t v = (vectors - 1) / TILE_WIDTH * TILE_WIDTH; v >= 0; v -= TILE_WIDTH) {
        int width = vectors - v < TILE_WIDTH ? (int)(vectors - v) : TILE_WIDTH;
        ptrdiff_t tiles = (i + FN(tile_heights)[width] - 1) / FN(tile_heights)[width];
        const T *d_panel = d + v / VPS * d_stride + v % VPS * VW;
        ptrdiff_t r = 0;
        for (ptrdiff_t t = 0; t < tiles; t++) {
            ptrdiff_t height = (i - r + tiles - t - 1) / (tiles - t);
            FN(gradient_tiles)[width][height](g + r * o + v * VW, o, a + r, d_panel, d_stride, n,
                                              0);
            r += height;
        }
    }
}

static void FN(bias_gradient)(void *g_, const void *d_, ptrdiff_t d_stride, ptrdiff_t n,
                              ptrdiff_t o)
{
    T *g = g_;
    for (ptrdiff_t v = 0; v * VW < o; v++) {
        const T *d = (const T *)d_ + v / VPS * d_stride + v % VPS * VW;
        V sum = vset1((T)0);
        for (ptrdiff_t done = 0; done < n; done += CBP_BLOCK) {
            ptrdiff_t end = n - done < CBP_BLOCK ? n : done + CBP_BLOCK;
            V acc = vset1((T)0);
            for (ptrdiff_t r = done; r < end; r++)
                acc = vadd(acc, vload(d + r * CBP_STRIP)); /* = fma(1, d, acc) */
            sum = done == 0 ? acc : vadd(sum, acc);
        }
        vstore(g + v * VW, sum);
    }
}

#undef LINE
#undef TILE_VECTOR
#undef TILE_ROW
#undef TILE_ADVANCE
#undef TILE_STEP
#undef TILE_CLEAR
#undef TILE_STORE
#undef MATMUL_BODY
#undef MATMUL_TILE
#undef GRADIENT_TILE
#undef BOTH_TILES
#undef TILE_WIDTH
#undef TILE_HEIGHTS
#undef TILE_1
#undef TILES_6
#undef TILES_12
#undef TILE_TABLE
