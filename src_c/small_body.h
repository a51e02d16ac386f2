/* The small room: one sweep of a net that fits the first-level cache, in one call.
 *
 * The same sums in the same order as the kernels before it (numerics.md), and therefore the same
 * bits; what differs is the way there.  Parameters, states and gradient stand in the room's own
 * layout, padded to strips of 16, so that no vector has a tail and one update call serves them all:
 *
 *   hidden layer   for each strip of 16 outputs: i rows of weights, then the row of biases
 *   output layer   for each strip of 16 inputs: o rows of transposed weights; then a row of biases
 *
 * The output layer is narrow (o <= 16): its sums have rows in the lanes, its gradient inputs, and
 * the delta behind it needs no transposed copy.  CBP_SMALL_ROWS rows go forward and back at a time;
 * the gradient's chains go on from one such block to the next, up to CBP_BLOCK rows. */

static void FN(small_load)(const cbp_small *room, void *array_, const void *theta_)
{
    for (int l = 0; l < room->n_layers; l++) {
        const cbp_small_layer *layer = &room->layers[l];
        ptrdiff_t i = layer->i, o = layer->o;
        const T *theta = (const T *)theta_ + layer->theta;
        T *to = (T *)array_ + layer->place;
        if (l + 1 < room->n_layers) {
            for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++, to += (i + 1) * CBP_STRIP)
                FN(gather)(to, 0, theta + s * CBP_STRIP, o, NULL, i + 1,
                           o - s * CBP_STRIP < CBP_STRIP ? o - s * CBP_STRIP : CBP_STRIP);
        } else {
            for (ptrdiff_t s = 0; s * CBP_STRIP < i; s++, to += o * CBP_STRIP)
                FN(transpose)(to, theta + s * CBP_STRIP * o, o,
                              i - s * CBP_STRIP < CBP_STRIP ? i - s * CBP_STRIP : CBP_STRIP, o);
            FN(gather)(to, 0, theta + i * o, o, NULL, 1, o);
        }
    }
}

static void FN(small_store)(const cbp_small *room, void *theta_, const void *array_)
{
    for (int l = 0; l < room->n_layers; l++) {
        const cbp_small_layer *layer = &room->layers[l];
        ptrdiff_t i = layer->i, o = layer->o;
        T *theta = (T *)theta_ + layer->theta;
        const T *from = (const T *)array_ + layer->place;
        if (l + 1 < room->n_layers) {
            for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++, from += (i + 1) * CBP_STRIP)
                FN(scatter)(theta + s * CBP_STRIP, o, from, 0, i + 1,
                            o - s * CBP_STRIP < CBP_STRIP ? o - s * CBP_STRIP : CBP_STRIP);
        } else {
            for (ptrdiff_t k = 0; k < i; k++)
                for (ptrdiff_t j = 0; j < o; j++)
                    theta[k * o + j] =
                        from[(k / CBP_STRIP * o + j) * CBP_STRIP + k % CBP_STRIP];
            FN(scatter)(theta + i * o, o, from + (i + CBP_STRIP - 1) / CBP_STRIP * o * CBP_STRIP,
                        0, 1, o);
        }
    }
}

#define SMALL_SWITCH(call)                                \
    switch (activation) {                                 \
    case CBP_SIGMOID: call(CBP_SIGMOID); break;           \
    case CBP_TANH: call(CBP_TANH); break;                 \
    case CBP_RELU: call(CBP_RELU); break;                 \
    default: call(CBP_IDENTITY); break;                   \
    }

/* Sums of `high` rows and `wide` vectors of outputs in registers, a chain each (k <= CBP_BLOCK). */
VEC_OP void FN(small_sums)(int high, int wide, V acc[8][2], const T *a, ptrdiff_t stride,
                           const T *w, ptrdiff_t k)
{
    for (int r = 0; r < high; r++)
        for (int j = 0; j < wide; j++)
            acc[r][j] = vset1((T)0);
    for (; k > 0; k -= CBP_STRIP, a += stride)
        for (int c = 0; c < CBP_STRIP && c < k; c++, w += CBP_STRIP) {
            V each[2];
            for (int j = 0; j < wide; j++)
                each[j] = vload(w + j * VW);
            for (int r = 0; r < high; r++) {
                V x = vset1(a[r * CBP_STRIP + c]);
                for (int j = 0; j < wide; j++)
                    acc[r][j] = vfma(x, each[j], acc[r][j]);
            }
        }
}

/* A = f(S + b) of `high` rows, for `wide` vectors of outputs, the first of them vector v. */
VEC_OP void FN(small_ahead)(int high, int wide, T *out, const T *a, ptrdiff_t stride, const T *w,
                            ptrdiff_t k, ptrdiff_t columns, int v, int activation)
{
    V acc[8][2];
    FN(small_sums)(high, wide, acc, a, stride, w, k);
    for (int j = 0; j < wide; j++) {
        V f[8], bias = vload(w + k * CBP_STRIP + j * VW);
        VM present = FN(present)(columns, v + j);
        for (int r = 0; r < high; r++)
            f[r] = vadd(acc[r][j], bias);
        FN(plain_activations)(high, f, activation);
        for (int r = 0; r < high; r++) {
            if (activation == CBP_SIGMOID) /* the others leave a pad lane's 0 alone */
                f[r] = vsel(present, f[r], vset1((T)0));
            vstore(out + r * CBP_STRIP + j * VW, f[r]);
        }
    }
}

/* Two vectors at a time make do with half the loads where a strip has two (64-64-10, batch 32, with
 * AVX2: 9.7 us instead of 10.2); 16 registers hold four rows of them.  A few terms are no gain. */
enum { FN(SMALL_HIGH) = VPS > 1 && VEC_REGISTERS < 32 ? 4 : 8 };
VEC_OP int FN(small_wide)(ptrdiff_t k, ptrdiff_t columns)
{
    return VPS > 1 && k > 8 && columns > VW ? 2 : 1;
}

/* A of one strip.  Rows behind the last one are computed too, from what stands there: nobody reads
 * them, and a tile has one of at most two heights. */
VEC_OP void FN(small_activate)(T *out, const T *a, ptrdiff_t stride, const T *w, ptrdiff_t k,
                               ptrdiff_t rows, ptrdiff_t columns, int activation)
{
    enum { HIGH = FN(SMALL_HIGH) };
#define AHEAD(high, wide)                                                                       \
    FN(small_ahead)(high, wide, out + r * CBP_STRIP, a + r * CBP_STRIP, stride, w, k, columns, \
                    v, activation)
    for (int v = 0; v < VPS && v * VW < columns;) {
        int wide = FN(small_wide)(k, columns - v * VW);
        for (ptrdiff_t r = 0; r < rows; r += HIGH)
            if (wide == 2)
                rows - r > 4 ? AHEAD(HIGH, 2) : AHEAD(4, 2);
            else
                rows - r > 4 ? AHEAD(HIGH, 1) : AHEAD(4, 1);
        v += wide, out += wide * VW, w += wide * VW;
    }
#undef AHEAD
}

/* D = flush(S f') of `wide` vectors of one strip, and its sum over the rows. */
VEC_OP void FN(small_behind)(int wide, T *d, const T *a, T *sum, const T *d_out, ptrdiff_t stride,
                             const T *w, ptrdiff_t k, ptrdiff_t rows, int more, int activation)
{
    enum { HIGH = FN(SMALL_HIGH) };
    V total[2];
    for (int j = 0; j < wide; j++)
        total[j] = more ? vload(sum + j * VW) : vset1((T)0);
    for (ptrdiff_t r = 0; r < rows; r += HIGH) {
        V acc[8][2];
        FN(small_sums)(HIGH, wide, acc, d_out + r * CBP_STRIP, stride, w, k);
        for (int q = 0; q < HIGH; q++)
            for (int j = 0; j < wide; j++) {
                ptrdiff_t at = (r + q) * CBP_STRIP + j * VW;
                V s = FN(flush)(FN(plain_slope)(acc[q][j], vload(a + at), activation));
                vstore(d + at, s);
                if (r + q < rows)
                    total[j] = vadd(total[j], s);
            }
    }
    for (int j = 0; j < wide; j++)
        vstore(sum + j * VW, total[j]);
}

VEC_OP void FN(small_delta)(T *d, const T *a, T *sum, const T *d_out, ptrdiff_t stride, const T *w,
                            ptrdiff_t k, ptrdiff_t rows, ptrdiff_t columns, int more,
                            int activation)
{
    for (int v = 0; v < VPS && v * VW < columns;) {
        int wide = FN(small_wide)(k, columns - v * VW);
        ptrdiff_t at = v * VW;
        if (wide == 2)
            FN(small_behind)(2, d + at, a + at, sum + at, d_out, stride, w + at, k, rows, more,
                             activation);
        else
            FN(small_behind)(1, d + at, a + at, sum + at, d_out, stride, w + at, k, rows, more,
                             activation);
        v += wide;
    }
}

static void FN(small_forward)(const cbp_small *room, int l, ptrdiff_t rows)
{
    const cbp_small_layer *layer = &room->layers[l];
    const T *w = (const T *)room->w + layer->place;
    ptrdiff_t i = layer->i, strip = (i + 1) * CBP_STRIP, left = layer->o, stride = room->stride;
    int activation = layer->activation;
    T *a = room->layers[l + 1].a;
    if (i > CBP_BLOCK) /* more than one chain: what the general way does, then f(S + b) alone */
        FN(matmul)(a, stride, layer->a, CBP_STRIP, stride, w, CBP_STRIP, strip, rows, i, left, 0);
    for (; left > 0; left -= CBP_STRIP, a += stride, w += strip) {
        if (i > CBP_BLOCK) {
            FN(activate_columns)(a, stride, NULL, 0, w + i * CBP_STRIP, rows,
                                 left < CBP_STRIP ? left : CBP_STRIP, activation);
            continue;
        }
#define CALL(f) FN(small_activate)(a, layer->a, stride, w, i, rows, left, f)
        SMALL_SWITCH(CALL)
#undef CALL
    }
}

/* Delta at the inputs of hidden layer l. */
static void FN(small_backward)(const cbp_small *room, int l, ptrdiff_t rows, int more)
{
    const cbp_small_layer *layer = &room->layers[l], *before = layer - 1;
    ptrdiff_t o = layer->o, left = layer->i, stride = room->stride;
    int activation = before->activation;
    T *d = before->d, *sum = (T *)room->chain + before->place + before->i * CBP_STRIP;
    const T *a = layer->a, *wt = layer->wt;
    for (; left > 0; left -= CBP_STRIP, d += stride, a += stride, wt += o * CBP_STRIP) {
#define CALL(f) FN(small_delta)(d, a, sum, layer->d, stride, wt, o, rows, left, more, f)
        SMALL_SWITCH(CALL)
#undef CALL
        sum += (before->i + 1) * CBP_STRIP;
    }
}

/* The weights' gradient of hidden layer l; meanwhile rows of the next minibatch are fetched. */
static void FN(small_gradient)(const cbp_small *room, int l, ptrdiff_t rows, int more, const T *x,
                               const ptrdiff_t *next, ptrdiff_t n_next)
{
    const cbp_small_layer *layer = &room->layers[l];
    T *g = (T *)room->chain + layer->place;
    const T *d = layer->d;
    for (ptrdiff_t so = 0; so * CBP_STRIP < layer->o; so++, d += room->stride, g += CBP_STRIP) {
        int vectors = (int)((layer->o - so * CBP_STRIP + VW - 1) / VW);
        vectors = vectors < VPS ? vectors : VPS;
        const T *a = layer->a;
        for (ptrdiff_t left = layer->i; left > 0; left -= CBP_STRIP, a += room->stride) {
            int height = left < CBP_STRIP ? (int)left : CBP_STRIP;
            if (l == 0 && so == 0)
                cbp_fetch((const char *)(x + layer->i - left), layer->i * sizeof(T), next, n_next,
                          CBP_STRIP * sizeof(T));
            for (int v = 0; v < vectors; v += FN(tile_width)) {
                int width = vectors - v < FN(tile_width) ? vectors - v : FN(tile_width);
                int most = FN(tile_heights)[width], tiles = (height + most - 1) / most, r = 0;
                for (int t = tiles; t > 0; t--) {
                    int h = (height - r + t - 1) / t;
                    FN(gradient_tiles)[width][h](g + r * CBP_STRIP + v * VW, CBP_STRIP, a + r,
                                                 d + v * VW, 0, rows, more);
                    r += h;
                }
            }
            g += height * CBP_STRIP;
        }
    }
}

/* Loss of VW rows; z[j], output j of them, becomes delta.  t: their targets, [o][CBP_SMALL_ROWS], or
 * their class numbers. */
VEC_OP V FN(small_loss)(int loss, int activation, V *z, int o, const T *t, int labels, V factor)
{
    const V zero = vset1((T)0), one = vset1((T)1), lowest = vset1((T)-__builtin_inf());
    V part[CBP_STRIP], e[CBP_STRIP];
    if (loss != CBP_CATEGORICAL_CROSS_ENTROPY) {
        for (int j = 0; j < o; j++) {
            V y = vload(t + j * CBP_SMALL_ROWS), slope;
            if (loss == CBP_BINARY_CROSS_ENTROPY) {
                part[j] = FN(binary_loss)(z[j], y);
                slope = vsub(FN(vsigmoid)(z[j]), y);
            } else {
                V a = FN(plain_activation)(z[j], activation), miss = vsub(a, y);
                part[j] = vfma(miss, miss, zero);
                slope = FN(plain_slope)(miss, a, activation);
            }
            z[j] = FN(flush)(vmul(slope, factor));
        }
        V sum = FN(tree_of_columns)(part, o);
        return loss == CBP_BINARY_CROSS_ENTROPY ? sum : vmul(vset1((T)0.5), sum);
    }
    part[0] = lowest; /* o is at least 1, which gcc for arm64 does not see */
    for (int j = 0; j < o; j++)
        part[j] = vmax(z[j], lowest);
    _Pragma("GCC unroll 4") for (int h = CBP_STRIP / 2; h >= 1; h /= 2)
        for (int j = 0; j < h && j < o; j++)
            part[j] = vmax(part[j], j + h < o ? part[j + h] : lowest);
    V m = part[0], ties = zero, gap = zero, mass = one, hit = vload(t);
    for (int j = 0; j < o; j++) {
        V below = vsub(z[j], m);
        VM largest = veq(z[j], m);
        e[j] = vsel(vlt(below, vset1(HEAD_FLOOR)), zero, FN(vexp)(below));
        ties = vadd(ties, vsel(largest, one, zero));
        part[j] = vsel(largest, zero, e[j]);
    }
    V others = vadd(FN(tree_of_columns)(part, o), vsub(ties, one)), total = vadd(one, others);
    if (labels) {
        for (int j = 0; j < o; j++) {
            VM right = veq(hit, vset1((T)j));
            gap = vsel(right, vsub(m, z[j]), gap);
            V p = vdiv(e[j], total);
            z[j] = FN(flush)(vmul(vsel(right, vsub(p, one), p), factor));
        }
    } else {
        for (int j = 0; j < o; j++)
            part[j] = vload(t + j * CBP_SMALL_ROWS);
        mass = FN(tree_of_columns)(part, o);
        for (int j = 0; j < o; j++)
            part[j] = vfma(vload(t + j * CBP_SMALL_ROWS), vsub(m, z[j]), zero);
        gap = FN(tree_of_columns)(part, o);
        for (int j = 0; j < o; j++) {
            V y = vload(t + j * CBP_SMALL_ROWS);
            V p = vfma(vdiv(e[j], total), mass, vsub(zero, y));
            z[j] = FN(flush)(vmul(p, factor));
        }
    }
    return vfma(FN(vlog1p)(others), mass, gap);
}

/* VW rows of a strip become VW columns, of which `count` are wanted: the compiler drops the rest. */
VEC_OP void FN(small_turn)(int count, T *columns, const T *rows)
{
    V x[VW];
    for (int q = 0; q < VW; q++) /* rows that are not there: whatever was there before */
        x[q] = vload(rows + q * CBP_STRIP);
    FN(vtranspose)(x);
    for (int q = 0; q < count; q++)
        vstore(columns + q * VW, x[q]);
}

/* Outputs that are summed together, and those whose share goes back together: enough chains for the
 * FMA units to overlap, not more than there are registers for. */
enum { FN(MOST_OUTPUTS) = 12, FN(MOST_BACK) = VEC_REGISTERS < 32 ? 4 : 6 };

/* `count` outputs of VW rows: x holds the k inputs, VW rows each. */
VEC_OP void FN(small_outputs)(int count, V *z, const T *x, const T *w, ptrdiff_t o, ptrdiff_t k,
                              const T *bias)
{
    V acc[FN(MOST_OUTPUTS)];
    for (int q = 0; q < count; q++)
        acc[q] = vset1((T)0);
    for (; k > 0; k -= CBP_STRIP, w += o * CBP_STRIP)
        for (int c = 0; c < CBP_STRIP && c < k; c++, x += VW)
            for (int q = 0; q < count; q++)
                acc[q] = vfma(vset1(w[q * CBP_STRIP + c]), vload(x), acc[q]);
    for (int q = 0; q < count; q++)
        z[q] = vadd(acc[q], vset1(bias[q]));
}

/* `count` outputs' share of the output layer's gradient and of the delta before it, for one vector of
 * inputs.  delta: [o][CBP_SMALL_ROWS].  g_bias, sum: NULL, or the sums of delta, of d. */
VEC_OP void FN(small_back)(int count, const T *a, const T *delta, const T *w, T *g, T *g_bias, T *d,
                           T *sum, ptrdiff_t rows, int more, int begin, int end, int activation)
{
    V acc[FN(MOST_BACK)], wt[FN(MOST_BACK)], bias[FN(MOST_BACK)];
    V total = more && sum ? vload(sum) : vset1((T)0);
    for (int q = 0; q < count; q++) {
        acc[q] = more ? vload(g + q * CBP_STRIP) : vset1((T)0);
        bias[q] = more && g_bias ? vset1(g_bias[q]) : vset1((T)0);
        wt[q] = vload(w + q * CBP_STRIP);
    }
    for (ptrdiff_t r = 0; r < rows; r++) {
        V x = vload(a + r * CBP_STRIP), s = begin ? vset1((T)0) : vload(d + r * CBP_STRIP);
        for (int q = 0; q < count; q++) {
            V each = vset1(delta[q * CBP_SMALL_ROWS + r]);
            acc[q] = vfma(each, x, acc[q]);
            if (g_bias)
                bias[q] = vadd(bias[q], each);
            s = vfma(each, wt[q], s);
        }
        if (end) {
            s = FN(flush)(FN(plain_slope)(s, x, activation));
            total = vadd(total, s);
        }
        vstore(d + r * CBP_STRIP, s);
    }
    for (int q = 0; q < count; q++) {
        vstore(g + q * CBP_STRIP, acc[q]);
        if (g_bias)
            vstoren(g_bias + q, bias[q], 1);
    }
    if (sum)
        vstore(sum, total);
}

/* The size of chunks of at most `most` that o outputs are cut into, about equal. */
VEC_OP int FN(chunk_of)(ptrdiff_t o, int most)
{
    int chunks = ((int)o + most - 1) / most;
    return ((int)o + chunks - 1) / chunks;
}

/* The output layer: forward, loss, delta and gradient. */
static void FN(small_output)(const cbp_small *room, int loss, T *row_loss, int labels,
                             const T *scale, ptrdiff_t rows, int more)
{
    const cbp_small_layer *layer = &room->layers[room->n_layers - 1];
    const cbp_small_layer *before = room->n_layers > 1 ? layer - 1 : NULL;
    ptrdiff_t i = layer->i, o = layer->o, strips = (i + CBP_STRIP - 1) / CBP_STRIP;
    const T *w = (const T *)room->w + layer->place, *bias = w + strips * o * CBP_STRIP;
    const T *a = layer->a, *targets = room->target;
    T *delta = layer->d, *columns = room->columns, *g = (T *)room->chain + layer->place;
    for (ptrdiff_t r0 = 0; r0 < rows; r0 += VW) {
        int n = rows - r0 < VW ? (int)(rows - r0) : VW;
        V z[CBP_STRIP];
        for (ptrdiff_t v = 0; v * VW < i; v++) {
            const T *from = a + v / VPS * room->stride + r0 * CBP_STRIP + v % VPS * VW;
            T *to = columns + v * VW * VW;
            i - v * VW <= VW / 4 ? FN(small_turn)(VW / 4, to, from) : FN(small_turn)(VW, to, from);
        }
        for (int q = 0, chunk = FN(chunk_of)(o, FN(MOST_OUTPUTS)); q < o; q += chunk) {
#define CALL(count) \
    case count: FN(small_outputs)(count, z + q, columns, w + q * CBP_STRIP, o, i, bias + q); break
            switch (o - q < chunk ? o - q : chunk) {
                CALL(1); CALL(2); CALL(3); CALL(4); CALL(5); CALL(6);
                CALL(7); CALL(8); CALL(9); CALL(10); CALL(11); CALL(12);
            }
#undef CALL
        }
        V factor = vloadn(scale + r0, n), l;
        int activation = layer->activation;
        const T *t = targets + r0;
        switch (o) { /* so that the arrays of the usual widths stay in registers */
        case 1: l = FN(small_loss)(loss, activation, z, 1, t, labels, factor); break;
        case 2: l = FN(small_loss)(loss, activation, z, 2, t, labels, factor); break;
        case 3: l = FN(small_loss)(loss, activation, z, 3, t, labels, factor); break;
        default: l = FN(small_loss)(loss, activation, z, (int)o, t, labels, factor); break;
        }
        vstoren(row_loss + r0, l, n);
        for (int j = 0; j < o; j++)
            vstore(delta + j * CBP_SMALL_ROWS + r0, z[j]);
    }
    int activation = before ? before->activation : CBP_IDENTITY;
    for (ptrdiff_t v = 0; v * VW < i; v++) {
        ptrdiff_t s = v / VPS, at = s * room->stride + v % VPS * VW;
        T *d = before ? (T *)before->d + at : columns, *sum = NULL; /* columns: thrown away */
        if (before)
            sum = (T *)room->chain + before->place + s * (before->i + 1) * CBP_STRIP
                + before->i * CBP_STRIP + v % VPS * VW;
        for (int q = 0, chunk = FN(chunk_of)(o, FN(MOST_BACK)); q < o; q += chunk) {
            ptrdiff_t row = (s * o + q) * CBP_STRIP + v % VPS * VW;
            T *g_bias = v == 0 ? g + strips * o * CBP_STRIP + q : NULL;
            int begin = q == 0, end = q + chunk >= o;
#define CALL(count, f)                                                                           \
    FN(small_back)(count, a + at, delta + q * CBP_SMALL_ROWS, w + row, g + row, g_bias, d,       \
                   end ? sum : NULL, rows, more, begin, end, f)
#if VEC_REGISTERS < 32
#define MORE_COUNTS(f)
#else
#define MORE_COUNTS(f)         \
    case 5: CALL(5, f); break; \
    case 6: CALL(6, f); break;
#endif
#define COUNTS(f)                            \
    switch (end ? o - q : chunk) {           \
    case 1: CALL(1, f); break;               \
    case 2: CALL(2, f); break;               \
    case 3: CALL(3, f); break;               \
    case 4: CALL(4, f); break;               \
    MORE_COUNTS(f)                           \
    }
            SMALL_SWITCH(COUNTS)
#undef COUNTS
#undef MORE_COUNTS
#undef CALL
        }
    }
}

static void FN(small_sweep)(const cbp_small *room, int loss, void *row_loss, const void *x,
                            const cbp_target *target, const void *scale, ptrdiff_t n)
{
    int last = room->n_layers - 1;
    const cbp_small_layer *first = room->layers;
    ptrdiff_t o = room->layers[last].o;
    for (int l = 1; l < last; l++) { /* what the deltas before these layers read */
        const cbp_small_layer *layer = &room->layers[l];
        const T *w = (const T *)room->w + layer->place;
        T *wt = layer->wt;
        for (ptrdiff_t so = 0; so < layer->o; so += CBP_STRIP, w += (layer->i + 1) * CBP_STRIP)
            for (ptrdiff_t si = 0; si < layer->i; si += CBP_STRIP)
                FN(transpose)(wt + si * layer->o + so * CBP_STRIP, w + si * CBP_STRIP, CBP_STRIP,
                              layer->i - si < CBP_STRIP ? layer->i - si : CBP_STRIP,
                              layer->o - so < CBP_STRIP ? layer->o - so : CBP_STRIP);
    }
    for (ptrdiff_t done = 0; done < n; done += CBP_SMALL_ROWS) {
        ptrdiff_t rows = n - done < CBP_SMALL_ROWS ? n - done : CBP_SMALL_ROWS;
        int more = done % CBP_BLOCK != 0;
        const ptrdiff_t *index = target->index + done;
        ptrdiff_t next = n + target->ahead - done - rows;
        next = next < CBP_SMALL_ROWS ? next : CBP_SMALL_ROWS;
        T *t = room->target;
        FN(gather)(first->a, room->stride, x, first->i, index, rows, first->i);
        for (ptrdiff_t r = 0; r < rows; r++)
            if (target->rows)
                for (ptrdiff_t j = 0; j < o; j++)
                    t[j * CBP_SMALL_ROWS + r] =
                        ((const T *)target->rows)[index[r] * target->row_stride + j];
            else
                t[r] = (T)target->labels[index[r]];
        for (int l = 0; l < last; l++)
            FN(small_forward)(room, l, rows);
        FN(small_output)(room, loss, (T *)row_loss + done, target->rows == NULL,
                         (const T *)scale + done, rows, more);
        for (int l = last - 1; l >= 0; l--) {
            FN(small_gradient)(room, l, rows, more, x, index + rows, next);
            if (l > 0)
                FN(small_backward)(room, l, rows, more);
        }
        ptrdiff_t end = done + rows;
        if (n > CBP_BLOCK && (end % CBP_BLOCK == 0 || end == n)) { /* a chain has ended */
            T *g = room->g;
            const T *chain = room->chain;
            for (ptrdiff_t j = 0; j < room->size; j += VW) {
                V c = vload(chain + j);
                vstore(g + j, end <= CBP_BLOCK ? c : vadd(vload(g + j), c));
            }
        }
    }
}

#undef SMALL_SWITCH
#undef HEAD_FLOOR
