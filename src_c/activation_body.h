/* Activations and their derivatives, on strips and element by element.
 *
 * f'(z) is taken from the output a where it can be (rule 6): sigmoid a (1 - a), tanh 1 - a^2,
 * relu 1 where a > 0 (so relu'(0) = 0), identity 1; else from z. */

#define LEAK 0.01 /* leaky relu: the slope below 0 */

/* The four that the small room and the heads choose among at run time, beside the rest. */
VEC_OP V FN(plain_activation)(V z, int activation)
{
    switch (activation) {
    case CBP_SIGMOID: return FN(vsigmoid)(z);
    case CBP_TANH: return FN(vtanh)(z);
    case CBP_RELU: return vsel(vlt(z, vset1((T)0)), vset1((T)0), z); /* keeps NaN */
    default: return z;
    }
}

/* The same of n vectors, n <= 8 known to the compiler. */
VEC_OP void FN(plain_activations)(int n, V *z, int activation)
{
    if (activation == CBP_TANH) {
        FN(vtanhs)(n, z);
        return;
    }
    for (int j = 0; j < n; j++)
        z[j] = FN(plain_activation)(z[j], activation);
}

VEC_OP V FN(activation)(V z, int activation)
{
    switch (activation) {
    case CBP_LEAKY_RELU: return vsel(vlt(z, vset1((T)0)), vmul(vset1((T)LEAK), z), z);
    case CBP_ELU: return FN(velu)(z);
    case CBP_SELU: return FN(vselu)(z);
    case CBP_SOFTPLUS: return FN(vsoftplus)(z);
    case CBP_SOFTSIGN: return FN(vsoftsign)(z);
    case CBP_HARD_SIGMOID: return FN(vhard_sigmoid)(z);
    case CBP_GELU: return FN(vgelu)(z);
    case CBP_SILU: return FN(vsilu)(z);
    case CBP_MISH: return FN(vmish)(z);
    case CBP_SIN: return FN(vsin)(z);
    default: return FN(plain_activation)(z, activation);
    }
}

/* s * f'(z), s being dloss/da; a NaN in a stays one. */
VEC_OP V FN(plain_slope)(V s, V a, int activation)
{
    switch (activation) {
    case CBP_SIGMOID: return vmul(s, vmul(a, vsub(vset1((T)1), a)));
    case CBP_TANH: return vmul(s, vfnma(a, a, vset1((T)1)));
    case CBP_RELU: return vsel(veq(a, vset1((T)0)), vset1((T)0), s);
    default: return s;
    }
}

/* The same for all, from x: z where cbp_keeps_z, else a. */
VEC_OP V FN(slope)(V s, V x, int activation)
{
    const V zero = vset1((T)0), one = vset1((T)1);
    V h, l;
    switch (activation) {
    case CBP_LEAKY_RELU: return vsel(vlt(zero, x), s, vmul(vset1((T)LEAK), s));
    case CBP_ELU: return vsel(vlt(zero, x), s, vmul(s, vadd(x, one)));
    case CBP_SELU:
        return vmul(s, vsel(vlt(zero, x), vset1((T)SELU_HIGH), vadd(x, vset1((T)SELU_LOW))));
    case CBP_SOFTPLUS: /* sigmoid(z) = 1 - e^-a */
        FN(one_minus_exp)(vsub(zero, x), &h, &l);
        return vmul(s, vadd(h, l));
    case CBP_SOFTSIGN: /* 1 / (1 + |z|) = 1 - |a| */
        h = vsub(one, FN(magnitude)(x));
        return vmul(s, vmul(h, h));
    case CBP_HARD_SIGMOID:
        return vsel(vmand(vlt(zero, x), vlt(x, one)), vdiv(s, vset1((T)6)), zero);
    case CBP_GELU: return vmul(s, FN(gelu_slope)(x));
    case CBP_SILU: return vmul(s, FN(silu_slope)(x));
    case CBP_MISH: return vmul(s, FN(mish_slope)(x));
    case CBP_SIN: return vmul(s, FN(sin_slope)(x));
    default: return FN(plain_slope)(s, x, activation);
    }
}

/* Calls `call` with a constant activation, so that its inner loop knows its function. */
#define WITH_ACTIVATION(activation, call)                      \
    switch (activation) {                                      \
    case CBP_SIGMOID: call(CBP_SIGMOID); break;                \
    case CBP_TANH: call(CBP_TANH); break;                      \
    case CBP_RELU: call(CBP_RELU); break;                      \
    case CBP_LEAKY_RELU: call(CBP_LEAKY_RELU); break;          \
    case CBP_ELU: call(CBP_ELU); break;                        \
    case CBP_SELU: call(CBP_SELU); break;                      \
    case CBP_SOFTPLUS: call(CBP_SOFTPLUS); break;              \
    case CBP_SOFTSIGN: call(CBP_SOFTSIGN); break;              \
    case CBP_HARD_SIGMOID: call(CBP_HARD_SIGMOID); break;      \
    case CBP_GELU: call(CBP_GELU); break;                      \
    case CBP_SILU: call(CBP_SILU); break;                      \
    case CBP_MISH: call(CBP_MISH); break;                      \
    case CBP_SIN: call(CBP_SIN); break;                        \
    default: call(CBP_IDENTITY); break;                        \
    }

#if CBP_TYPE == 32
#define TINY 0x1p-100f /* what is stored for later is +0 below this (rule 10) */
#define TINY_ROOT 0x1p-60f
#else
#define TINY 0x1p-960
#define TINY_ROOT 0x1p-500
#endif

VEC_OP V FN(flush)(V x) { return vsel(vlt(FN(magnitude)(x), vset1(TINY)), vset1((T)0), x); }

/* Lanes of vector j of a strip whose first `columns` columns exist. */
VEC_OP VM FN(present)(ptrdiff_t columns, int j)
{
    ptrdiff_t left = columns - j * VW;
    return vfirst(left < 0 ? 0 : left > VW ? VW : (int)left);
}

/* +0 into a vector of n rows of a strip that has no column there. */
VEC_OP void FN(clear)(T *a, ptrdiff_t n)
{
    for (ptrdiff_t r = 0; r < n; r++)
        vstore(a + r * CBP_STRIP, vset1((T)0));
}

VEC_OP void FN(activate_strip)(T *a, T *z, const T *bias, ptrdiff_t n, ptrdiff_t columns,
                               int activation)
{
    for (int j = 0; j < VPS; j++) {
        if (j * VW >= columns) {
            FN(clear)(a + j * VW, n);
            if (z)
                FN(clear)(z + j * VW, n);
            continue;
        }
        V b = bias ? vload(bias + j * VW) : vset1((T)0);
        VM present = FN(present)(columns, j);
        ptrdiff_t r = 0;
        for (; activation == CBP_TANH && columns == CBP_STRIP && !z && r + 8 <= n; r += 8) {
            T *at = a + r * CBP_STRIP + j * VW;
            V f[8];
            for (int q = 0; q < 8; q++)
                f[q] = bias ? vadd(vload(at + q * CBP_STRIP), b) : vload(at + q * CBP_STRIP);
            FN(vtanhs)(8, f);
            for (int q = 0; q < 8; q++)
                vstore(at + q * CBP_STRIP, f[q]);
        }
        for (; r < n; r++) {
            ptrdiff_t at = r * CBP_STRIP + j * VW;
            V sum = vload(a + at);
            if (bias)
                sum = vadd(sum, b);
            V f = FN(activation)(sum, activation);
            if (columns < CBP_STRIP) {
                sum = vsel(present, sum, vset1((T)0));
                f = vsel(present, f, vset1((T)0));
            }
            if (z)
                vstore(z + at, sum);
            vstore(a + at, f);
        }
    }
}

static void FN(activate_columns)(T *a, ptrdiff_t stride, T *z, ptrdiff_t z_stride, const T *bias,
                                 ptrdiff_t n, ptrdiff_t o, int activation)
{
    for (ptrdiff_t s = 0; s * CBP_STRIP < o; s++) {
        T *as = a + s * stride, *zs = z ? z + s * z_stride : NULL;
        const T *bs = bias ? bias + s * CBP_STRIP : NULL;
        ptrdiff_t columns = o - s * CBP_STRIP < CBP_STRIP ? o - s * CBP_STRIP : CBP_STRIP;
#define CALL(known) FN(activate_strip)(as, zs, bs, n, columns, known)
        WITH_ACTIVATION(activation, CALL)
#undef CALL
    }
}

/* Reductions over a row's outputs: 16 virtual lanes, column mod 16 (rule 7). */
VEC_OP T FN(sum16)(V x[VPS])
{
    for (int h = VPS / 2; h >= 1; h /= 2)
        for (int j = 0; j < h; j++)
            x[j] = vadd(x[j], x[j + h]);
    return vtree_add(x[0]);
}

VEC_OP T FN(max16)(V x[VPS])
{
    for (int h = VPS / 2; h >= 1; h /= 2)
        for (int j = 0; j < h; j++)
            x[j] = vmax(x[j], x[j + h]);
    return vtree_max(x[0]);
}

/* Largest of a row's o outputs; NaN is passed over (the sums after it find it). */
VEC_OP T FN(row_max)(const T *row, ptrdiff_t stride, ptrdiff_t o)
{
    V m[VPS];
    for (int j = 0; j < VPS; j++)
        m[j] = vset1((T)-__builtin_inf());
    for (ptrdiff_t left = o; left > 0; left -= CBP_STRIP, row += stride)
        for (int j = 0; j < VPS; j++) {
            V x = vload(row + j * VW);
            if (left < CBP_STRIP)
                x = vsel(FN(present)(left, j), x, vset1((T)-__builtin_inf()));
            m[j] = vmax(x, m[j]);
        }
    return FN(max16)(m);
}

/* The sum over a row's up to 16 outputs where x[j] holds output j of VW rows: the tree of rule 7,
 * absent lanes left out. */
VEC_OP V FN(tree_of_columns)(V *x, int o)
{
    _Pragma("GCC unroll 4") for (int h = CBP_STRIP / 2; h >= 1; h /= 2)
        for (int j = 0; j < h && j + h < o; j++)
            x[j] = vadd(x[j], x[j + h]);
    return x[0];
}

/* Softmax of S + b where o <= VW: rows in the lanes, the operations of softmax, which works on more.
 * `count` >= o columns are computed, so that they stay in registers: those behind o are -Inf, whose
 * e is +0. */
VEC_OP void FN(softmax_rows)(int count, T *a, const T *bias, ptrdiff_t rows, int o)
{
    V x[VW], part[CBP_STRIP];
    FN(turn)(x, a, CBP_STRIP, rows);
    _Pragma("GCC unroll 16") for (int j = 0; j < count; j++) {
        V sum = bias ? vadd(x[j], vset1(bias[j])) : x[j];
        x[j] = j < o ? sum : vset1((T)-__builtin_inf());
        part[j] = vmax(x[j], vset1((T)-__builtin_inf()));
    }
    _Pragma("GCC unroll 4") for (int h = CBP_STRIP / 2; h >= 1; h /= 2)
        for (int j = 0; j < h && j + h < count; j++)
            part[j] = vmax(part[j], part[j + h]);
    V m = part[0];
    _Pragma("GCC unroll 16") for (int j = 0; j < count; j++)
        part[j] = x[j] = FN(vexp)(vsub(x[j], m));
    V total = FN(tree_of_columns)(part, count);
    _Pragma("GCC unroll 16") for (int j = 0; j < VW; j++)
        x[j] = j < count ? vdiv(x[j], total) : vset1((T)0);
    FN(vtranspose)(x);
    for (int q = 0; q < VW && q < rows; q++) {
        vstore(a + q * CBP_STRIP, x[q]);
        for (int j = 1; j < VPS; j++)
            vstore(a + q * CBP_STRIP + j * VW, vset1((T)0));
    }
}

static void FN(softmax_columns)(T *a, const T *bias, ptrdiff_t n, int o)
{
    for (; n > 0; n -= VW, a += VW * CBP_STRIP)
        if (VW >= 4 && o <= 4)
            FN(softmax_rows)(VW < 4 ? VW : 4, a, bias, n, o);
        else if (VW >= 8 && o <= 8)
            FN(softmax_rows)(VW < 8 ? VW : 8, a, bias, n, o);
        else if (VW >= 16 && o <= 12)
            FN(softmax_rows)(VW < 12 ? VW : 12, a, bias, n, o);
        else
            FN(softmax_rows)(VW, a, bias, n, o);
}

/* softmax: e / sum(e), e = exp(x - max), true division. */
static void FN(softmax)(T *a, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t o)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        T *row = a + r * CBP_STRIP;
        V m = vset1(FN(row_max)(row, stride, o)), sum[VPS];
        for (int j = 0; j < VPS; j++)
            sum[j] = vset1((T)0);
        T *at = row;
        for (ptrdiff_t left = o; left > 0; left -= CBP_STRIP, at += stride)
            for (int j = 0; j < VPS; j++) {
                V e = FN(vexp)(vsub(vload(at + j * VW), m));
                if (left < CBP_STRIP)
                    e = vsel(FN(present)(left, j), e, vset1((T)0));
                sum[j] = vadd(sum[j], e);
                vstore(at + j * VW, e);
            }
        V total = vset1(FN(sum16)(sum));
        at = row;
        for (ptrdiff_t left = o; left > 0; left -= CBP_STRIP, at += stride)
            for (int j = 0; j < VPS; j++)
                vstore(at + j * VW, vdiv(vload(at + j * VW), total));
    }
}

/* log softmax: (x - max) - log1p(sum of all terms but the largest, which is 1). */
static void FN(log_softmax)(T *a, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t o)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        T *row = a + r * CBP_STRIP, *at = row;
        V m = vset1(FN(row_max)(row, stride, o)), sum[VPS], zero = vset1((T)0);
        int ties = 0;
        for (int j = 0; j < VPS; j++)
            sum[j] = zero;
        for (ptrdiff_t left = o; left > 0; left -= CBP_STRIP, at += stride)
            for (int j = 0; j < VPS; j++) {
                V x = vload(at + j * VW);
                VM present = FN(present)(left, j), largest = vmand(veq(x, m), present);
                V e = vsel(present, FN(vexp)(vsub(x, m)), zero);
                ties += vcount(largest);
                sum[j] = vadd(sum[j], vsel(largest, zero, e));
            }
        V log_sum = FN(vlog1p)(vset1(FN(sum16)(sum) + (T)(ties - 1)));
        at = row;
        for (ptrdiff_t left = o; left > 0; left -= CBP_STRIP, at += stride)
            for (int j = 0; j < VPS; j++) {
                V y = vsub(vsub(vload(at + j * VW), m), log_sum);
                vstore(at + j * VW, vsel(FN(present)(left, j), y, zero));
            }
    }
}

static void FN(activate)(void *a, ptrdiff_t stride, void *z, ptrdiff_t z_stride, const void *bias,
                         ptrdiff_t n, ptrdiff_t o, int activation)
{
    if (activation == CBP_SOFTMAX && o <= VW && n > 1 && !z) {
        FN(softmax_columns)(a, bias, n, (int)o);
        return;
    }
    FN(activate_columns)(a, stride, z, z_stride, bias, n, o, activation);
    if (activation == CBP_SOFTMAX)
        FN(softmax)(a, stride, n, o);
    if (activation == CBP_LOG_SOFTMAX)
        FN(log_softmax)(a, stride, n, o);
}

VEC_OP void FN(delta_strip)(T *d, const T *from, const T *scale, ptrdiff_t n, ptrdiff_t columns,
                            int activation)
{
    for (int j = 0; j < VPS; j++) {
        if (j * VW >= columns) {
            FN(clear)(d + j * VW, n);
            continue;
        }
        VM present = FN(present)(columns, j);
        for (ptrdiff_t r = 0; r < n; r++) {
            ptrdiff_t at = r * CBP_STRIP + j * VW;
            V s = FN(slope)(vload(d + at), vload(from + at), activation);
            if (scale)
                s = vmul(s, vset1(scale[r]));
            s = FN(flush)(s);
            if (columns < CBP_STRIP)
                s = vsel(present, s, vset1((T)0));
            vstore(d + at, s);
        }
    }
}

static void FN(delta)(void *d_, ptrdiff_t d_stride, const void *from_, ptrdiff_t from_stride,
                      const void *scale, ptrdiff_t n, ptrdiff_t i, int activation)
{
    for (ptrdiff_t s = 0; s * CBP_STRIP < i; s++) {
        T *d = (T *)d_ + s * d_stride;
        const T *from = (const T *)from_ + s * from_stride;
        ptrdiff_t columns = i - s * CBP_STRIP < CBP_STRIP ? i - s * CBP_STRIP : CBP_STRIP;
#define CALL(known) FN(delta_strip)(d, from, scale, n, columns, known)
        WITH_ACTIVATION(activation, CALL)
#undef CALL
    }
}

VEC_OP V FN(applied)(V x, int slope, int activation)
{
    if (activation == CBP_EXP)
        return FN(vexp)(x);
    return slope ? FN(slope)(vset1((T)1), x, activation) : FN(activation)(x, activation);
}

VEC_OP void FN(apply_known)(T *y, const T *x, ptrdiff_t c, int slope, int activation)
{
    ptrdiff_t j = 0;
    for (; activation == CBP_TANH && !slope && j + 8 * VW <= c; j += 8 * VW) {
        V f[8];
        for (int q = 0; q < 8; q++)
            f[q] = vload(x + j + q * VW);
        FN(vtanhs)(8, f);
        for (int q = 0; q < 8; q++)
            vstore(y + j + q * VW, f[q]);
    }
    for (; j + VW <= c; j += VW)
        vstore(y + j, FN(applied)(vload(x + j), slope, activation));
    if (j < c)
        vstoren(y + j, FN(applied)(vloadn(x + j, (int)(c - j)), slope, activation), (int)(c - j));
}

static void FN(apply)(void *y, const void *x, ptrdiff_t c, int slope, int activation)
{
#define CALL(known) FN(apply_known)(y, x, c, slope, known)
    if (activation == CBP_EXP)
        CALL(CBP_EXP);
    else
        WITH_ACTIVATION(activation, CALL)
#undef CALL
}
#undef WITH_ACTIVATION

/* 0 x is 0 unless x is infinite or NaN, and a sum with a NaN in it stays NaN. */
static int FN(finite)(const void *x_, ptrdiff_t c)
{
    const T *x = x_;
    const V zero = vset1((T)0);
    V sum[4] = {zero, zero, zero, zero};
    ptrdiff_t j = 0;
    for (; j + 4 * VW <= c; j += 4 * VW)
        for (int q = 0; q < 4; q++)
            sum[q] = vfma(vload(x + j + q * VW), zero, sum[q]);
    for (; j < c; j += VW) {
        int lanes = c - j < VW ? (int)(c - j) : VW;
        sum[0] = vfma(vloadn(x + j, lanes), zero, sum[0]);
    }
    V all = vadd(vadd(sum[0], sum[1]), vadd(sum[2], sum[3]));
    return vcount(veq(all, zero)) == VW;
}
