/* Heads of the other losses, of masked targets and of other activations; and `head`, which chooses.
 *
 * e = a - t, z the logits, p = sigmoid(z) or softmax(z); dl/da, or dl/dz from the logits:
 *
 * absolute error      |e|                                           sign e
 * Huber               g (e - g/2)                                   g = max(-delta, min(delta, e))
 * quantile q          (1 - q) e for e > 0, else -q e                1 - q or -q; 0 for e = 0
 * Poisson             exp(a) - t a                                  exp(a) - t
 * Gaussian            (log v + e^2 / v) / 2, v = floor + softplus(r)
 *                                                e / v,  (1 / v - e^2 / v^2) sigmoid(r) / 2
 * binary focal        P t q^g L1 + N (1 - t) p^g L0, L1 = -log p, L0 = -log q, q = 1 - p
 *                                     N (1 - t) p^g (g q L0 + p) - P t q^g (g p L1 + q)
 * categorical focal   sum w t q^g L, L = -log p, q = 1 - p
 *                                     p sum(c) - c,  c = w t q^g (1 + g p L / q)
 *
 * A masked target (NaN) has loss and slope 0.  Losses that start from a leave D = dl/da, which
 * `delta` takes through the output activation. */

#if CBP_TYPE == 32
#define SMALLEST 0x1p-126f
#else
#define SMALLEST 0x1p-1022
#endif

/* What a vector of terms needs: Huber's delta or focal's gamma; focal's factors; levels. */
typedef struct {
    V parameter, positive, negative, level;
} FN(told);

/* The loss of each target, *slope = dl/da or dl/dz. */
VEC_OP V FN(term)(int loss, V y, V t, const FN(told) *told, V *slope)
{
    const V zero = vset1((T)0), one = vset1((T)1);
    V e = vsub(y, t), size, share, hit, miss, p, q, of_hit, of_miss;
    switch (loss) {
    case CBP_ABSOLUTE_ERROR:
        *slope = vsel(vlt(zero, e), one, vsel(vlt(e, zero), vset1((T)-1), e));
        return FN(magnitude)(e);
    case CBP_HUBER:
        *slope = vmax(vsub(zero, told->parameter), vmin(told->parameter, e));
        return vmul(*slope, vfnma(vset1((T)0.5), *slope, e));
    case CBP_QUANTILE:
        share = vsel(vlt(zero, e), vsub(one, told->level), vsub(zero, told->level));
        *slope = vsel(veq(e, zero), zero, share);
        return vmul(share, e);
    case CBP_POISSON:
        p = FN(vexp)(y);
        *slope = vsub(p, t);
        return vfnma(t, y, p);
    case CBP_BINARY_CROSS_ENTROPY:
        *slope = vsub(FN(vsigmoid)(y), t);
        return FN(binary_loss)(y, t);
    case CBP_BINARY_FOCAL:
        size = FN(magnitude)(y);
        share = FN(vlog1p)(FN(vexp)(vsub(zero, size)));
        hit = vadd(vmax(vsub(zero, y), zero), share);
        miss = vadd(vmax(y, zero), share);
        p = FN(vsigmoid)(y), q = FN(vsigmoid)(vsub(zero, y));
        of_hit = FN(vexp)(vsub(zero, vmul(told->parameter, miss)));
        of_hit = vmul(vmul(told->positive, t), of_hit);
        of_miss = FN(vexp)(vsub(zero, vmul(told->parameter, hit)));
        of_miss = vmul(vmul(told->negative, vsub(one, t)), of_miss);
        *slope = vsub(vmul(of_miss, vfma(vmul(told->parameter, q), miss, p)),
                      vmul(of_hit, vfma(vmul(told->parameter, p), hit, q)));
        return vfma(of_hit, hit, vmul(of_miss, miss));
    default: /* squared error, whose sum is halved at the end */
        *slope = e;
        return vmul(e, e);
    }
}

VEC_OP FN(told) FN(tell)(const cbp_objective *objective)
{
    return (FN(told)){vset1((T)objective->parameter), vset1((T)objective->positive),
                      vset1((T)objective->negative),
                      vset1(objective->table ? (T)objective->table[0] : (T)0)};
}

/* Lanes that count: those that exist, and where NaN is masked have a target. */
VEC_OP VM FN(counted)(VM present, V t, int mask_nan)
{
    return mask_nan ? vmand(present, veq(t, t)) : present;
}

VEC_OP void FN(element_head)(int loss, const cbp_objective *objective, T *d, T *row_loss,
                             const T *a, ptrdiff_t stride, const cbp_target *target,
                             const T *scale, ptrdiff_t n, ptrdiff_t o, int direct)
{
    const V zero = vset1((T)0);
    const int mask_nan = objective->mask_nan;
    FN(told) told = FN(tell)(objective);
    for (ptrdiff_t r = 0; r < n; r++) {
        const T *t = FN(target_row)(target, r);
        V sum[VPS];
        for (int j = 0; j < VPS; j++)
            sum[j] = zero;
        for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++) {
            ptrdiff_t first = s * CBP_STRIP, left = o - first;
            T spread[CBP_STRIP] = {(T)0}, level[CBP_STRIP] = {(T)0};
            if (loss == CBP_QUANTILE) /* output j entries + k is level k of target j */
                for (int q = 0; q < CBP_STRIP && q < left; q++) {
                    spread[q] = t[(first + q) / objective->entries];
                    level[q] = (T)objective->table[(first + q) % objective->entries];
                }
            for (int j = 0; j < VPS; j++) {
                T *at = d ? d + s * stride + r * CBP_STRIP + j * VW : NULL;
                V y = vload(a + s * stride + r * CBP_STRIP + j * VW), target_y, slope;
                if (loss == CBP_QUANTILE) {
                    target_y = vload(spread + j * VW);
                    told.level = vload(level + j * VW);
                } else {
                    target_y = FN(target_load)(t + first, left, j);
                }
                VM counted = FN(counted)(FN(present)(left, j), target_y, mask_nan);
                V l = FN(term)(loss, y, target_y, &told, &slope);
                slope = vsel(counted, slope, zero);
                if (loss == CBP_SQUARED_ERROR) /* fused, as in squared_head */
                    sum[j] = vfma(slope, slope, sum[j]);
                else
                    sum[j] = vadd(sum[j], vsel(counted, l, zero));
                if (d)
                    vstore(at, direct ? FN(flush)(vmul(slope, vset1(scale[r]))) : slope);
            }
        }
        row_loss[r] = FN(sum16)(sum);
        if (loss == CBP_SQUARED_ERROR)
            row_loss[r] = (T)0.5 * row_loss[r];
    }
}

/* One output: sixteen rows side by side in the lanes, as in narrow_head. */
VEC_OP void FN(element_narrow)(int loss, const cbp_objective *objective, T *d, T *row_loss,
                               const T *a, const cbp_target *target, const T *scale, ptrdiff_t n,
                               int direct)
{
    const V zero = vset1((T)0);
    const FN(told) told = FN(tell)(objective);
    for (ptrdiff_t r0 = 0; r0 < n; r0 += CBP_STRIP) {
        T x[CBP_STRIP], t[CBP_STRIP], slopes[CBP_STRIP];
        int rows = n - r0 < CBP_STRIP ? (int)(n - r0) : CBP_STRIP;
        for (int q = 0; q < CBP_STRIP; q++) {
            x[q] = q < rows ? a[(r0 + q) * CBP_STRIP] : (T)0;
            t[q] = q < rows ? *FN(target_row)(target, r0 + q) : (T)0;
        }
        for (int q = 0; q < rows; q += VW) {
            int lanes = rows - q < VW ? rows - q : VW;
            V y = vload(t + q), slope, l = FN(term)(loss, vload(x + q), y, &told, &slope);
            VM counted = FN(counted)(vfirst(lanes), y, objective->mask_nan);
            slope = vsel(counted, slope, zero);
            if (loss == CBP_SQUARED_ERROR)
                l = vmul(vset1((T)0.5), l);
            vstoren(row_loss + r0 + q, vsel(counted, l, zero), lanes);
            if (direct)
                slope = FN(flush)(vmul(slope, vloadn(scale + r0 + q, lanes)));
            vstore(slopes + q, slope);
        }
        for (int q = 0; d && q < rows; q++) {
            T *at = d + (r0 + q) * CBP_STRIP;
            for (int j = 0; j < VPS; j++)
                vstore(at + j * VW, zero);
            at[0] = slopes[q];
        }
    }
}

/* Outputs: the means of o / 2 targets, then r of their variances. */
static void FN(gaussian_head)(const cbp_objective *objective, T *d, T *row_loss, const T *a,
                              ptrdiff_t stride, const cbp_target *target, const T *scale,
                              ptrdiff_t n, ptrdiff_t o)
{
    const V zero = vset1((T)0), half = vset1((T)0.5), least = vset1((T)objective->parameter);
    ptrdiff_t targets = o / 2;
    for (ptrdiff_t r = 0; r < n; r++) {
        const T *t = FN(target_row)(target, r), *row = a + r * CBP_STRIP;
        T *dr = d ? d + r * CBP_STRIP : NULL;
        V sum[VPS];
        for (int j = 0; j < VPS; j++)
            sum[j] = zero;
        for (ptrdiff_t s = 0; dr && s * CBP_STRIP < o; s++)
            for (int j = 0; j < VPS; j++)
                vstore(dr + s * stride + j * VW, zero);
        for (ptrdiff_t first = 0; first < targets; first += CBP_STRIP) {
            T mean[CBP_STRIP] = {(T)0}, raw[CBP_STRIP] = {(T)0};
            ptrdiff_t left = targets - first;
            for (int q = 0; q < CBP_STRIP && q < left; q++) {
                ptrdiff_t c = targets + first + q;
                mean[q] = row[first / CBP_STRIP * stride + q];
                raw[q] = row[c / CBP_STRIP * stride + c % CBP_STRIP];
            }
            for (int j = 0; j < VPS; j++) {
                V y = FN(target_load)(t + first, left, j), x = vload(raw + j * VW);
                VM counted = FN(counted)(FN(present)(left, j), y, objective->mask_nan);
                V miss = vsub(vload(mean + j * VW), y), v = vadd(least, FN(vsoftplus)(x));
                V e = vdiv(miss, v), inverse = vdiv(vset1((T)1), v);
                V l = vmul(half, vfma(miss, e, FN(vlog)(v)));
                V rise = vmul(vmul(half, vfnma(e, e, inverse)), FN(vsigmoid)(x));
                V factor = vset1(scale[r]);
                sum[j] = vadd(sum[j], vsel(counted, l, zero));
                vstore(mean + j * VW, vsel(counted, FN(flush)(vmul(e, factor)), zero));
                vstore(raw + j * VW, vsel(counted, FN(flush)(vmul(rise, factor)), zero));
            }
            for (int q = 0; dr && q < CBP_STRIP && q < left; q++) {
                ptrdiff_t c = targets + first + q;
                dr[first / CBP_STRIP * stride + q] = mean[q];
                dr[c / CBP_STRIP * stride + c % CBP_STRIP] = raw[q];
            }
        }
        row_loss[r] = FN(sum16)(sum);
    }
}

/* Row by row; e = exp(z - max) is computed twice rather than kept. */
static void FN(categorical_focal)(const cbp_objective *objective, T *d, T *row_loss, const T *z,
                                  ptrdiff_t stride, const cbp_target *target, const T *scale,
                                  ptrdiff_t n, ptrdiff_t o)
{
    const V zero = vset1((T)0), one = vset1((T)1), gamma = vset1((T)objective->parameter);
    for (ptrdiff_t r = 0; r < n; r++) {
        const T *row = z + r * CBP_STRIP, *t = target->rows ? FN(target_row)(target, r) : NULL;
        ptrdiff_t label = t ? -1 : (ptrdiff_t)target->labels[target->index ? target->index[r] : r];
        int ties = 0;
        T less = (T)1;
        if (t && objective->mask_nan && !FN(whole)(t, o))
            t = NULL, less = (T)0;
        V m = vset1(FN(row_max)(row, stride, o)), sum[VPS], loss[VPS], share[VPS];
        for (int j = 0; j < VPS; j++)
            sum[j] = loss[j] = share[j] = zero;
        for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++)
            for (int j = 0; j < VPS; j++) {
                V x = vload(row + s * stride + j * VW), below = vsub(x, m);
                VM present = FN(present)(o - s * CBP_STRIP, j);
                VM largest = vmand(veq(x, m), present);
                V e = vsel(vlt(below, vset1((T)HEAD_FLOOR)), zero, FN(vexp)(below));
                ties += vcount(largest);
                sum[j] = vadd(sum[j], vsel(largest, zero, vsel(present, e, zero)));
            }
        V others = vset1(FN(sum16)(sum) + (T)(ties - 1)), total = vadd(one, others);
        V log_total = FN(vlog1p)(others);
        for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++) {
            T weight[CBP_STRIP];
            for (int q = 0; q < CBP_STRIP; q++)
                weight[q] = objective->table && s * CBP_STRIP + q < o
                    ? (T)objective->table[s * CBP_STRIP + q] : (T)objective->positive;
            for (int j = 0; j < VPS; j++) {
                V x = vload(row + s * stride + j * VW), below = vsub(x, m);
                VM present = FN(present)(o - s * CBP_STRIP, j);
                V e = vsel(vlt(below, vset1((T)HEAD_FLOOR)), zero, FN(vexp)(below));
                V p = vdiv(e, total), l = vsub(log_total, below);
                V rest = vsel(veq(x, m), others, vadd(one, vsub(others, e)));
                V q = vmax(vset1(SMALLEST), vdiv(rest, total));
                V ratio = vsel(vlt(vset1(SMALLEST), q), vdiv(l, q), one);
                V y = FN(soft_target)(t, label, less, (T)0, s * CBP_STRIP, j, o);
                V factor = FN(vexp)(vmul(gamma, FN(vlog)(q)));
                factor = vmul(vmul(vload(weight + j * VW), y), factor);
                V c = vsel(present, vmul(factor, vfma(vmul(gamma, p), ratio, one)), zero);
                loss[j] = vadd(loss[j], vsel(present, vmul(factor, l), zero));
                share[j] = vadd(share[j], c);
                if (d)
                    vstore(d + s * stride + r * CBP_STRIP + j * VW, c);
            }
        }
        row_loss[r] = FN(sum16)(loss);
        if (!d)
            continue;
        V all = vset1(FN(sum16)(share));
        for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++)
            for (int j = 0; j < VPS; j++) {
                T *at = d + s * stride + r * CBP_STRIP + j * VW;
                V below = vsub(vload(row + s * stride + j * VW), m);
                V e = vsel(vlt(below, vset1((T)HEAD_FLOOR)), zero, FN(vexp)(below));
                V slope = vfma(vdiv(e, total), all, vsub(zero, vload(at)));
                slope = FN(flush)(vmul(slope, vset1(scale[r])));
                vstore(at, vsel(FN(present)(o - s * CBP_STRIP, j), slope, zero));
            }
    }
}

static void FN(head)(const cbp_objective *objective, int activation, void *d, void *row_loss,
                     const void *a, const void *z, ptrdiff_t stride, const cbp_target *target,
                     const void *scale, ptrdiff_t n, ptrdiff_t o)
{
    const int loss = objective->loss, plain = !objective->mask_nan;
    const int direct = cbp_from_logits(loss) || activation == CBP_IDENTITY;
    switch (loss) {
    case CBP_CATEGORICAL_CROSS_ENTROPY:
        if (o <= CBP_STRIP)
            FN(categorical_columns)(objective, d, row_loss, a, target, scale, n, (int)o);
        else
            FN(categorical_head)(objective, d, stride, row_loss, a, stride, target, scale, n, o);
        return;
    case CBP_CATEGORICAL_FOCAL:
        FN(categorical_focal)(objective, d, row_loss, a, stride, target, scale, n, o);
        return;
    case CBP_GAUSSIAN:
        FN(gaussian_head)(objective, d, row_loss, a, stride, target, scale, n, o);
        return;
    case CBP_BINARY_CROSS_ENTROPY:
    case CBP_SQUARED_ERROR:
        if (!plain || (loss == CBP_SQUARED_ERROR && activation > CBP_RELU))
            break;
        if (o == 1)
            FN(narrow_head)(loss, d, row_loss, a, target, scale, n, activation);
        else if (loss == CBP_BINARY_CROSS_ENTROPY)
            FN(binary_head)(d, stride, row_loss, a, stride, target, scale, n, o);
        else
            FN(squared_head)(d, stride, row_loss, a, stride, target, scale, n, o, activation);
        return;
    }
#define HEAD(known)                                                                             \
    case known:                                                                                 \
        if (o == 1)                                                                             \
            FN(element_narrow)(known, objective, d, row_loss, a, target, scale, n, direct);     \
        else                                                                                    \
            FN(element_head)(known, objective, d, row_loss, a, stride, target, scale, n, o,     \
                             direct);                                                           \
        break;
    switch (loss) {
        HEAD(CBP_SQUARED_ERROR)
        HEAD(CBP_BINARY_CROSS_ENTROPY)
        HEAD(CBP_BINARY_FOCAL)
        HEAD(CBP_ABSOLUTE_ERROR)
        HEAD(CBP_HUBER)
        HEAD(CBP_QUANTILE)
        HEAD(CBP_POISSON)
    }
#undef HEAD
    if (d && !direct)
        FN(delta)(d, stride, cbp_keeps_z(activation) ? z : a, stride, scale, n, o, activation);
}

#undef SMALLEST
