/* The smallest nets: whole steps of a net of a few parameters and up to 16 rows, many in one call.
 *
 * There a step is a chain of latencies with little arithmetic beside it, and what costs is every
 * other instruction.  Rows are in the lanes from the inputs to the loss and back, so nothing is
 * transposed; a weight's gradient is one scalar chain over the rows, and its step is made in scalars
 * too, which the next step's broadcasts get from the store buffer (a vector would wait for all of
 * its stores).  Parameters and states are laid out like theta.  Minibatches are gathered some steps
 * ahead and losses are summed some steps behind: neither stands in the way.  The same sums in the
 * same order, so the same bits (numerics.md).  2-2-1, batch 4, momentum: 87 ns a step; in the small
 * room it would take 163.
 *
 * Arrays of a unit's rows: [unit][16]; the targets of a step: [o][CBP_SMALL_ROWS]. */

enum { FN(tiny_ahead) = 8 };

#if CBP_TYPE == 32
#define TINY_MOST 0x1p120f /* sixteen of these are still finite */
#else
#define TINY_MOST 0x1p1000
#endif

static T FN(tiny_fma)(T a, T b, T c)
{
#if !VEC_HAS_FMA
    return a * b + c;
#elif CBP_TYPE == 32
    return __builtin_fmaf(a, b, c);
#else
    return __builtin_fma(a, b, c);
#endif
}

static T FN(tiny_size)(T x)
{
#if CBP_TYPE == 32
    return __builtin_fabsf(x);
#else
    return __builtin_fabs(x);
#endif
}

/* Calls `call` with a constant that equals `count`, 1 .. 4: its loops are unrolled. */
#define TINY_COUNT(count, call)           \
    switch (count) {                      \
    case 1: call(1); break;               \
    case 2: call(2); break;               \
    case 3: call(3); break;               \
    default: call(4); break;              \
    }

/* The same with a constant activation. */
#define TINY_SWITCH(activation, call)     \
    switch (activation) {                 \
    case CBP_SIGMOID: call(CBP_SIGMOID); break; \
    case CBP_TANH: call(CBP_TANH); break; \
    case CBP_RELU: call(CBP_RELU); break; \
    default: call(CBP_IDENTITY); break;   \
    }

/* `count` columns of n rows, the rows of a column side by side. */
static void FN(tiny_gather)(T *to, ptrdiff_t stride, const T *rows, ptrdiff_t row_stride,
                            const ptrdiff_t *index, ptrdiff_t n, ptrdiff_t count)
{
#define COLUMNS(c)                                                  \
    for (ptrdiff_t r = 0; r < n; r++)                               \
        for (int j = 0; j < c; j++)                                 \
            to[j * stride + r] = rows[index[r] * row_stride + j]
    TINY_COUNT(count, COLUMNS)
#undef COLUMNS
}

/* Z of one unit, for one vector of rows. */
VEC_OP V FN(tiny_sums)(int i, const T *a, const T *w, ptrdiff_t o)
{
    V s = vset1((T)0);
    for (int k = 0; k < i; k++, w += o)
        s = vfma(vload(a + k * CBP_STRIP), vset1(*w), s);
    return vadd(s, vset1(*w));
}

/* A of a hidden layer. */
VEC_OP void FN(tiny_forward)(const cbp_small_layer *layer, const T *w, const T *a, T *out,
                             int activation)
{
    ptrdiff_t o = layer->o;
    const T *end = w + o;
#define UNITS(i)                                        \
    for (; w < end; w++, out += CBP_STRIP)              \
        vstore(out, FN(plain_activation)(FN(tiny_sums)(i, a, w, o), activation))
    TINY_COUNT(layer->i, UNITS)
#undef UNITS
}

/* D at the i inputs of a layer, given its d. */
VEC_OP void FN(tiny_backward)(int o, const V *d, ptrdiff_t i, const T *w, const T *a, T *out,
                              int activation)
{
    for (T *end = out + i * CBP_STRIP; out < end; w += o, a += CBP_STRIP, out += CBP_STRIP) {
        V s = vset1((T)0);
        for (int c = 0; c < o; c++)
            s = vfma(d[c], vset1(w[c]), s);
        vstore(out, FN(flush)(FN(plain_slope)(s, vload(a), activation)));
    }
}

/* The output layer, whose rows' deltas stand at + v of its d: their loss, and D before it. */
VEC_OP V FN(tiny_output)(int o, const cbp_small_layer *layer, int hidden, ptrdiff_t v, const T *w,
                         const T *a, int loss, const T *t, int labels, V factor)
{
    V z[4];
#define UNITS(i)                                \
    for (int c = 0; c < o; c++)                 \
        z[c] = FN(tiny_sums)(i, a, w + c, o)
    TINY_COUNT(layer->i, UNITS)
#undef UNITS
    V l = FN(small_loss)(loss, layer->activation, z, o, t, labels, factor);
    for (int c = 0; c < o; c++)
        vstore((T *)layer->d + c * CBP_STRIP + v, z[c]);
#define CALL(f) FN(tiny_backward)(o, z, layer->i, w, a, (T *)layer[-1].d + v, f)
    if (hidden)
        TINY_SWITCH(layer[-1].activation, CALL)
#undef CALL
    return l;
}

/* What a parameter becomes.  (0 - x is -x: the flush lets the sign of no zero through.) */
VEC_OP T FN(tiny_update)(int optimizer, T w, T *state, T g, T rate, T momentum)
{
    if (optimizer == CBP_SGD)
        return FN(tiny_fma)(-rate, g, w);
    T step = -(rate * g), v = FN(tiny_fma)(momentum, *state, step);
    if (FN(tiny_size)(v) < TINY) /* a branch, not a select: nothing waits for it */
        v = (T)0;
    *state = v;
    return w + (optimizer == CBP_NESTEROV ? FN(tiny_fma)(momentum, v, step) : v);
}

/* The gradient of one unit's i weights and bias, and their update; Adam's waits for vectors. */
VEC_OP void FN(tiny_unit)(int optimizer, int i, ptrdiff_t o, T *w, T *state, T *g, const T *a,
                          const T *d, ptrdiff_t n, T rate, T momentum)
{
    T s[5] = {0};
    ptrdiff_t r = 0, at = 0;
#define ROW(r)                                                                  \
    do {                                                                        \
        for (int k = 0; k < i; k++)                                             \
            s[k] = FN(tiny_fma)(a[k * CBP_STRIP + (r)], d[r], s[k]);            \
        s[i] += d[r];                                                           \
    } while (0)
    for (; r + 4 <= n; r += 4) {
        ROW(r);
        ROW(r + 1);
        ROW(r + 2);
        ROW(r + 3);
    }
    for (; r < n; r++)
        ROW(r);
#undef ROW
    for (int k = 0; k <= i; k++, at += o)
        if (optimizer == CBP_ADAM)
            g[at] = s[k];
        else
            w[at] = FN(tiny_update)(optimizer, w[at], state + at, s[k], rate, momentum);
}

VEC_OP void FN(tiny_learn)(int optimizer, const cbp_small *room, T *state, const T *x, ptrdiff_t n,
                           T rate, T momentum)
{
    T *w = room->w, *g = room->g;
    for (int l = 0; l < room->n_layers; l++) {
        const cbp_small_layer *layer = &room->layers[l];
        const T *a = l > 0 ? layer->a : x, *d = layer->d;
        ptrdiff_t o = layer->o;
        for (ptrdiff_t at = layer->theta; at < layer->theta + o; at++, d += CBP_STRIP) {
#define UNIT(i) \
    FN(tiny_unit)(optimizer, i, o, w + at, state + at, g + at, a, d, n, rate, momentum)
            TINY_COUNT(layer->i, UNIT)
#undef UNIT
        }
    }
}

/* What `row_sum` gives for up to 16 rows. */
VEC_OP double FN(tiny_sum)(const T *row_loss, ptrdiff_t n)
{
    enum { PARTS = CBP_STRIP / F64_LANES };
    f64_v part[PARTS];
    for (int j = 0; j < VPS; j++) {
        ptrdiff_t left = n - j * VW;
        V x = vsel(vfirst(left < 0 ? 0 : left > VW ? VW : (int)left), vload(row_loss + j * VW),
                   vset1((T)0));
#if CBP_TYPE == 32
        part[2 * j] = vwiden(x, 0);
        part[2 * j + 1] = vwiden(x, 1);
#else
        part[j] = x;
#endif
    }
    for (int j = 0; j < PARTS; j++)
        part[j] = f64_add(part[j], f64_set1(0.0)); /* lanes start at +0 */
    for (int h = PARTS / 2; h >= 1; h /= 2)
        for (int j = 0; j < h; j++)
            part[j] = f64_add(part[j], part[j + h]);
    return f64_tree_add(part[0]);
}

/* Deltas and losses of n rows; whether the losses' sum is certainly finite. */
VEC_OP int FN(tiny_sweep)(const cbp_small *room, int loss, T *row_loss, const T *x, const T *t,
                          int labels, const T *scale, ptrdiff_t n)
{
    const cbp_small_layer *first = room->layers, *last = first + room->n_layers - 1;
    const T *w = room->w;
    int finite = 1;
    for (int v = 0; v < n; v += VW) {
        V l, factor = vloadn(scale + v, n - v < VW ? (int)(n - v) : VW);
        const T *a = x + v;
        for (const cbp_small_layer *layer = first; layer < last; layer++) {
            T *to = (T *)layer[1].a + v;
#define CALL(f) FN(tiny_forward)(layer, w + layer->theta, a, to, f)
            TINY_SWITCH(layer->activation, CALL)
#undef CALL
            a = to;
        }
#define OUTPUT(o) \
    l = FN(tiny_output)(o, last, last > first, v, w + last->theta, a, loss, t + v, labels, factor)
        TINY_COUNT(last->o, OUTPUT)
#undef OUTPUT
        vstore(row_loss + v, l);
        finite &= vcount(vlt(FN(magnitude)(l), vset1(TINY_MOST))) == VW;
        for (const cbp_small_layer *layer = last - 1; layer > first; layer--) {
            V d[4];
            for (int c = 0; c < 4; c++) /* there are 16 */
                d[c] = vload((const T *)layer->d + c * CBP_STRIP + v);
            a = (const T *)layer->a + v;
            T *to = (T *)layer[-1].d + v;
#define CALL(f) FN(tiny_backward)((int)layer->o, d, layer->i, w + layer->theta, a, to, f)
            TINY_SWITCH(layer[-1].activation, CALL)
#undef CALL
        }
    }
    return finite;
}

static ptrdiff_t FN(tiny_steps)(const cbp_small *room, int loss, int optimizer, void *state_1,
                                void *state_2, const cbp_hyper *hyper, void *row_loss_,
                                const void *x, const cbp_target *target, const void *scale,
                                ptrdiff_t n, ptrdiff_t steps, double *losses)
{
    ptrdiff_t i = room->layers[0].i, o = room->layers[room->n_layers - 1].o, made = 0;
    ptrdiff_t size = i * CBP_STRIP, each = size + o * CBP_SMALL_ROWS;
    T *ahead = room->columns, *row_loss = row_loss_;
    T rate = (T)hyper->rate, momentum = (T)hyper->momentum;
    FN(scalars) k;
    FN(prepare)(&k, hyper);
    while (made < steps) {
        ptrdiff_t count = steps - made < FN(tiny_ahead) ? steps - made : FN(tiny_ahead), j = 0;
        const ptrdiff_t *index = target->index + made * n;
        T *to = ahead;
        for (; j < count; j++, to += each, index += n) {
            FN(tiny_gather)(to, CBP_STRIP, x, i, index, n, i);
            if (target->rows)
                FN(tiny_gather)(to + size, CBP_SMALL_ROWS, target->rows, target->row_stride, index,
                                n, o);
            for (ptrdiff_t r = 0; !target->rows && r < n; r++)
                to[size + r] = (T)target->labels[index[r]];
        }
        const T *at = ahead;
        for (j = 0; j < count; j++, at += each) {
            T *told = row_loss + j * CBP_STRIP;
            if (!FN(tiny_sweep)(room, loss, told, at, at + size, target->rows == NULL, scale, n)
                && !__builtin_isfinite(FN(tiny_sum)(told, n)))
                break;
#define LEARN(rule) FN(tiny_learn)(rule, room, state_1, at, n, rate, momentum)
            switch (optimizer) {
            case CBP_SGD: LEARN(CBP_SGD); break;
            case CBP_MOMENTUM: LEARN(CBP_MOMENTUM); break;
            case CBP_NESTEROV: LEARN(CBP_NESTEROV); break;
            default:
                LEARN(CBP_ADAM);
                FN(update_run)(CBP_ADAM, room->w, state_1, state_2, room->g, NULL, room->size, &k, 0);
            }
#undef LEARN
        }
        for (ptrdiff_t q = 0; q < count && q <= j; q++)
            losses[made + q] = FN(tiny_sum)(row_loss + q * CBP_STRIP, n);
        made += j;
        if (j < count)
            break;
    }
    return made;
}
#undef TINY_MOST
#undef TINY_COUNT
#undef TINY_SWITCH
#undef TINY
#undef TINY_ROOT
