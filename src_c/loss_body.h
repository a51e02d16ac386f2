/* Heads of the first three losses: the loss of each row, and delta at the output, scale dloss/dz.
 *
 * squared error              l = 1/2 sum (a - t)^2           dl/dz = (a - t) f'(z)
 * binary cross-entropy       l = sum |z| [z<0 ? t : 1-t] + log1p(exp(-|z|))    dl/dz = sigmoid(z) - t
 * categorical cross-entropy  l = sum t (m - z) + (sum t) log sum exp(z - m)    dl/dz = (sum t) p - t
 * with m the largest z of the row: nothing cancels, nothing overflows, any finite z will do.  */

VEC_OP const T *FN(target_row)(const cbp_target *target, ptrdiff_t r)
{
    return (const T *)target->rows + (target->index ? target->index[r] : r) * target->row_stride;
}

/* Vector j of the strip at `t`, of which `left` columns exist. */
VEC_OP V FN(target_load)(const T *t, ptrdiff_t left, int j)
{
    left -= j * VW;
    return left >= VW ? vload(t + j * VW) : vloadn(t + j * VW, left < 0 ? 0 : (int)left);
}

VEC_OP V FN(binary_loss)(V z, V t)
{
    const V zero = vset1((T)0);
    V size = FN(magnitude)(z), miss = vsel(vlt(z, zero), t, vsub(vset1((T)1), t));
    return vfma(size, miss, FN(vlog1p)(FN(vexp)(vsub(zero, size))));
}

VEC_OP void FN(squared_head)(T *d, ptrdiff_t d_stride, T *row_loss, const T *a, ptrdiff_t a_stride,
                             const cbp_target *target, const T *scale, ptrdiff_t n, ptrdiff_t o,
                             int activation)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        const T *t = FN(target_row)(target, r);
        V sum[VPS];
        for (int j = 0; j < VPS; j++)
            sum[j] = vset1((T)0);
        for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++)
            for (int j = 0; j < VPS; j++) {
                ptrdiff_t left = o - s * CBP_STRIP, at = r * CBP_STRIP + j * VW;
                V out = vload(a + s * a_stride + at); /* pad lanes of a and of the target are 0 */
                V e = vsub(out, FN(target_load)(t + s * CBP_STRIP, left, j));
                sum[j] = vfma(e, e, sum[j]);
                if (d) {
                    V slope = vmul(FN(plain_slope)(e, out, activation), vset1(scale[r]));
                    vstore(d + s * d_stride + at, FN(flush)(slope));
                }
            }
        row_loss[r] = (T)0.5 * FN(sum16)(sum);
    }
}

/* One output: sixteen rows side by side in the lanes instead of one row in one lane of sixteen.
 * The same operations on the same numbers: the lanes that are left out hold +0 in every sum. */
VEC_OP void FN(narrow_head)(int loss, T *d, T *row_loss, const T *a, const cbp_target *target,
                            const T *scale, ptrdiff_t n, int activation)
{
    for (ptrdiff_t r0 = 0; r0 < n; r0 += CBP_STRIP) {
        T x[CBP_STRIP], t[CBP_STRIP], slopes[CBP_STRIP];
        int rows = n - r0 < CBP_STRIP ? (int)(n - r0) : CBP_STRIP;
        for (int q = 0; q < CBP_STRIP; q++) {
            x[q] = q < rows ? a[(r0 + q) * CBP_STRIP] : (T)0;
            t[q] = q < rows ? *FN(target_row)(target, r0 + q) : (T)0;
        }
        for (int q = 0; q < rows; q += VW) {
            int lanes = rows - q < VW ? rows - q : VW;
            V out = vload(x + q), y = vload(t + q), slope, l;
            if (loss == CBP_BINARY_CROSS_ENTROPY) {
                l = FN(binary_loss)(out, y);
                slope = vsub(FN(vsigmoid)(out), y);
            } else {
                V e = vsub(out, y);
                l = vmul(vset1((T)0.5), vmul(e, e));
                slope = FN(plain_slope)(e, out, activation);
            }
            vstoren(row_loss + r0 + q, l, lanes);
            vstore(slopes + q, FN(flush)(vmul(slope, vloadn(scale + r0 + q, lanes))));
        }
        for (int q = 0; d && q < rows; q++) {
            T *at = d + (r0 + q) * CBP_STRIP;
            for (int j = 0; j < VPS; j++)
                vstore(at + j * VW, vset1((T)0));
            at[0] = slopes[q];
        }
    }
}

static void FN(binary_head)(T *d, ptrdiff_t d_stride, T *row_loss, const T *z, ptrdiff_t z_stride,
                            const cbp_target *target, const T *scale, ptrdiff_t n, ptrdiff_t o)
{
    const V zero = vset1((T)0);
    for (ptrdiff_t r = 0; r < n; r++) {
        const T *t = FN(target_row)(target, r);
        V sum[VPS];
        for (int j = 0; j < VPS; j++)
            sum[j] = zero;
        for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++)
            for (int j = 0; j < VPS; j++) {
                ptrdiff_t left = o - s * CBP_STRIP, at = r * CBP_STRIP + j * VW;
                VM present = FN(present)(left, j);
                V x = vload(z + s * z_stride + at), y = FN(target_load)(t + s * CBP_STRIP, left, j);
                sum[j] = vadd(sum[j], vsel(present, FN(binary_loss)(x, y), zero));
                if (d) {
                    V slope = vmul(vsub(FN(vsigmoid)(x), y), vset1(scale[r]));
                    vstore(d + s * d_stride + at, vsel(present, FN(flush)(slope), zero));
                }
            }
        row_loss[r] = FN(sum16)(sum);
    }
}

#undef HEAD_FLOOR
#if CBP_TYPE == 32
#define HEAD_FLOOR -60.0f /* exp below this counts as 0 in the head: less than 2^-86 of the sum */
#else
#define HEAD_FLOOR -600.0
#endif

/* Whether the row of targets counts. */
VEC_OP int FN(whole)(const T *t, ptrdiff_t o)
{
    for (ptrdiff_t c = 0; c < o; c++)
        if (t[c] != t[c])
            return 0;
    return 1;
}

/* Targets t of softmax are smoothed to less t + more: less is 1 - smoothing, more smoothing / o.  A
 * row with a NaN in it becomes 0 where NaN is masked: it adds neither loss nor gradient.
 *
 * Vector j of the strip of outputs from `first` on; t NULL: of the label. */
VEC_OP V FN(soft_target)(const T *t, ptrdiff_t label, T less, T more, ptrdiff_t first, int j,
                         ptrdiff_t o)
{
    T hit[CBP_STRIP] = {(T)0};
    const T *from = t ? t + first : hit;
    if (!t && label >= first && label < first + CBP_STRIP)
        hit[label - first] = (T)1;
    V y = vfma(FN(target_load)(from, t ? o - first : CBP_STRIP, j), vset1(less), vset1(more));
    return vsel(FN(present)(o - first, j), y, vset1((T)0));
}

/* Up to 16 outputs: rows side by side in the lanes, the same operations as in categorical_head,
 * which works on more. */
static void FN(categorical_columns)(const cbp_objective *objective, T *d, T *row_loss, const T *z,
                                    const cbp_target *target, const T *scale, ptrdiff_t n, int o)
{
    const V zero = vset1((T)0), one = vset1((T)1), lowest = vset1((T)-__builtin_inf());
    const int smooth = objective->parameter != 0.0, soft = target->rows || smooth;
    const T less = (T)(1.0 - objective->parameter), more = (T)(objective->parameter / o);
    static const T none[CBP_STRIP];
    for (ptrdiff_t r0 = 0; r0 < n; r0 += VW) {
        int rows = n - r0 < VW ? (int)(n - r0) : VW;
        V x[CBP_STRIP], e[CBP_STRIP], y[CBP_STRIP], part[CBP_STRIP];
        T label[VW], extra[VW];
        for (int j = 0; j * VW < o; j++) {
            for (int q = 0; q < VW; q++)
                x[j * VW + q] = q < rows ? vload(z + (r0 + q) * CBP_STRIP + j * VW) : zero;
            FN(vtranspose)(x + j * VW);
        }
        for (int q = 0; q < VW; q++)
            label[q] = (T)-1;
        for (int q = 0; q < VW; q++)
            extra[q] = more;
        if (target->rows) {
            const T *from[VW];
            for (int q = 0; q < VW; q++) {
                from[q] = q < rows ? FN(target_row)(target, r0 + q) : none;
                if (objective->mask_nan && !FN(whole)(from[q], o))
                    from[q] = none, extra[q] = (T)0;
            }
            for (int j = 0; j * VW < o; j++) {
                for (int q = 0; q < VW; q++)
                    y[j * VW + q] = FN(target_load)(from[q], o, j);
                FN(vtranspose)(y + j * VW);
            }
        } else {
            for (int q = 0; q < rows; q++)
                label[q] = (T)target->labels[target->index ? target->index[r0 + q] : r0 + q];
        }
        for (int j = 0; j < o; j++)
            part[j] = vmax(x[j], lowest);
        for (int h = CBP_STRIP / 2; h >= 1; h /= 2)
            for (int j = 0; j < h; j++)
                if (j + h < o)
                    part[j] = vmax(part[j], part[j + h]);
                else if (j < o)
                    part[j] = vmax(part[j], lowest);
        V m = part[0], ties = zero, hits = vload(label), gap = zero, mass = one;
        for (int j = 0; j < o; j++) {
            V below = vsub(x[j], m);
            VM largest = veq(x[j], m);
            e[j] = vsel(vlt(below, vset1((T)HEAD_FLOOR)), zero, FN(vexp)(below));
            ties = vadd(ties, vsel(largest, one, zero));
            part[j] = vsel(largest, zero, e[j]);
        }
        V others = vadd(FN(tree_of_columns)(part, o), vsub(ties, one));
        if (soft) {
            for (int j = 0; !target->rows && j < o; j++)
                y[j] = vsel(veq(hits, vset1((T)j)), one, zero);
            for (int j = 0; smooth && j < o; j++)
                y[j] = vfma(y[j], vset1(less), vload(extra));
            for (int j = 0; j < o; j++)
                part[j] = y[j];
            mass = FN(tree_of_columns)(part, o);
            for (int j = 0; j < o; j++)
                part[j] = vfma(y[j], vsub(m, x[j]), zero);
            gap = FN(tree_of_columns)(part, o);
        } else {
            for (int j = 0; j < o; j++)
                gap = vsel(veq(hits, vset1((T)j)), vsub(m, x[j]), gap);
        }
        vstoren(row_loss + r0, vfma(FN(vlog1p)(others), mass, gap), rows);
        if (!d)
            continue;
        V total = vadd(one, others), factor = vloadn(scale + r0, rows);
        for (int j = 0; j < (o + VW - 1) / VW * VW; j++) {
            if (j >= o) {
                x[j] = zero;
                continue;
            }
            V p = vdiv(e[j], total);
            if (soft)
                p = vfma(p, mass, vsub(zero, y[j]));
            else
                p = vsel(veq(hits, vset1((T)j)), vsub(p, one), p);
            x[j] = FN(flush)(vmul(p, factor));
        }
        for (int j = 0; j < VPS; j++) {
            int filled = j * VW < o;
            if (filled)
                FN(vtranspose)(x + j * VW);
            for (int q = 0; q < rows; q++)
                vstore(d + (r0 + q) * CBP_STRIP + j * VW, filled ? x[j * VW + q] : zero);
        }
    }
}

/* More than 16 outputs; sixteen rows at a time, so that their logarithms are taken in one go. */
static void FN(categorical_head)(const cbp_objective *objective, T *d, ptrdiff_t d_stride,
                                 T *row_loss, const T *z, ptrdiff_t z_stride,
                                 const cbp_target *target, const T *scale, ptrdiff_t n, ptrdiff_t o)
{
    const V zero = vset1((T)0), one = vset1((T)1);
    const int soft = target->rows || objective->parameter != 0.0;
    for (ptrdiff_t r0 = 0; r0 < n; r0 += CBP_STRIP) {
        T others[CBP_STRIP], gap[CBP_STRIP], mass[CBP_STRIP];
        int rows = n - r0 < CBP_STRIP ? (int)(n - r0) : CBP_STRIP;
        for (int q = rows; q < CBP_STRIP; q++)
            others[q] = gap[q] = mass[q] = (T)0;
        for (int q = 0; q < rows; q++) {
            ptrdiff_t r = r0 + q;
            const T *row = z + r * CBP_STRIP;
            T top = FN(row_max)(row, z_stride, o);
            const T *t = target->rows ? FN(target_row)(target, r) : NULL;
            ptrdiff_t of_labels = target->index ? target->index[r] : r;
            ptrdiff_t label = t ? -1 : (ptrdiff_t)target->labels[of_labels];
            T less = (T)(1.0 - objective->parameter), more = (T)(objective->parameter / (double)o);
            if (t && objective->mask_nan && !FN(whole)(t, o))
                t = NULL, less = more = (T)0;
            V m = vset1(top), sum[VPS], miss[VPS], total_t[VPS];
            int ties = 0;
            for (int j = 0; j < VPS; j++)
                sum[j] = miss[j] = total_t[j] = zero;
            /* The largest term is exactly 1; the sum of the others keeps its own precision. */
            for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++)
                for (int j = 0; j < VPS; j++) {
                    ptrdiff_t left = o - s * CBP_STRIP;
                    VM present = FN(present)(left, j);
                    V x = vload(row + s * z_stride + j * VW), below = vsub(x, m);
                    VM largest = vmand(veq(x, m), present);
                    V e = vsel(vlt(below, vset1((T)HEAD_FLOOR)), zero, FN(vexp)(below));
                    e = vsel(present, e, zero);
                    ties += vcount(largest);
                    sum[j] = vadd(sum[j], vsel(largest, zero, e));
                    if (d)
                        vstore(d + s * d_stride + r * CBP_STRIP + j * VW, e);
                    if (soft) {
                        V y = FN(soft_target)(t, label, less, more, s * CBP_STRIP, j, o);
                        total_t[j] = vadd(total_t[j], y);
                        miss[j] = vfma(y, vsel(present, vsub(m, x), zero), miss[j]);
                    }
                }
            others[q] = FN(sum16)(sum) + (T)(ties - 1);
            if (soft) {
                mass[q] = FN(sum16)(total_t);
                gap[q] = FN(sum16)(miss);
            } else {
                mass[q] = (T)1;
                gap[q] = top - row[label / CBP_STRIP * z_stride + label % CBP_STRIP];
            }
            if (!d)
                continue;
            V total = vset1((T)1 + others[q]), factor = vset1(scale[r]), of_t = vset1(mass[q]);
            T *dr = d + r * CBP_STRIP;
            if (soft) {
                for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++)
                    for (int j = 0; j < VPS; j++) {
                        T *at = dr + s * d_stride + j * VW;
                        V y = FN(soft_target)(t, label, less, more, s * CBP_STRIP, j, o);
                        V p = vdiv(vload(at), total);
                        V slope = vmul(vfma(p, of_t, vsub(zero, y)), factor);
                        vstore(at, FN(flush)(slope));
                    }
            } else {
                T *at_label = dr + label / CBP_STRIP * d_stride + label % CBP_STRIP;
                V e_label = vset1(*at_label);
                for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++)
                    for (int j = 0; j < VPS; j++) {
                        T *at = dr + s * d_stride + j * VW;
                        vstore(at, FN(flush)(vmul(vdiv(vload(at), total), factor)));
                    }
                V hit = FN(flush)(vmul(vsub(vdiv(e_label, total), one), factor));
                vstoren(at_label, hit, 1);
            }
        }
        for (int q = 0; q < rows; q += VW) {
            V l = FN(vlog1p)(vload(others + q));
            l = vfma(l, vload(mass + q), vload(gap + q));
            int lanes = rows - q < VW ? rows - q : VW;
            vstoren(row_loss + r0 + q, l, lanes);
        }
    }
}

/* 16 virtual lanes in double over chunks of `chunk` terms; the chunks are added in order. */
#define LANE_SUM(total, count, chunk, term)                                        \
    double total = 0.0;                                                            \
    for (ptrdiff_t start = 0; start < (count); start += (chunk)) {                 \
        ptrdiff_t end = (count) - start < (chunk) ? (count) : start + (chunk);     \
        double lane[CBP_STRIP] = {0.0};                                            \
        ptrdiff_t at = start;                                                      \
        for (; at + CBP_STRIP <= end; at += CBP_STRIP)                             \
            for (int q = 0; q < CBP_STRIP; q++) {                                  \
                ptrdiff_t j = at + q;                                              \
                lane[q] += (term);                                                 \
            }                                                                      \
        for (ptrdiff_t j = at; j < end; j++)                                       \
            lane[j - at] += (term);                                                \
        for (int h = CBP_STRIP / 2; h >= 1; h /= 2)                                \
            for (int q = 0; q < h; q++)                                            \
                lane[q] += lane[q + h];                                            \
        total += lane[0];                                                          \
    }

static double FN(row_sum)(const void *x_, const double *weight, const ptrdiff_t *index, ptrdiff_t n)
{
    const T *x = x_;
    if (weight == NULL) {
        LANE_SUM(plain, n, CBP_BLOCK, (double)x[j])
        return plain;
    }
    LANE_SUM(weighted, n, CBP_BLOCK, weight[index ? index[j] : j] * (double)x[j])
    return weighted;
}

static double FN(weight_sum)(const double *weight, const ptrdiff_t *index, ptrdiff_t n)
{
    LANE_SUM(total, n, CBP_BLOCK, weight[index ? index[j] : j])
    return total;
}

static double FN(square_sum)(const void *x_, ptrdiff_t c)
{
    const T *x = x_;
    LANE_SUM(total, c, CBP_CHUNK, (double)x[j] * (double)x[j])
    return total;
}

#undef LANE_SUM
