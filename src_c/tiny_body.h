/* The smallest nets: whole steps of a net of a few parameters and up to 16 rows, many in one call.
 *
 * There a step is a chain of latencies with little arithmetic beside it, and what costs is every
 * other instruction.  Rows are in the lanes all the way, so nothing is transposed; a weight's
 * gradient is one scalar chain over the rows; parameters, states and gradient are laid out like theta
 * and padded to whole vectors.  Minibatches are gathered some steps ahead: what a step reads has
 * long left the store buffer.  The same sums in the same order, so the same bits (numerics.md).
 * 2-2-1, batch 4, momentum: 0.11 us a step, where the small room takes 0.19.
 *
 * Arrays of a unit's rows: [unit][16]; the targets of a step: [o][CBP_SMALL_ROWS]. */

enum { FN(tiny_ahead) = 8 };

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

/* X and targets of n rows, the rows of a unit side by side. */
static void FN(tiny_gather)(T *x, T *t, const T *rows, const cbp_target *target,
                            const ptrdiff_t *index, ptrdiff_t n, ptrdiff_t i, ptrdiff_t o)
{
    for (ptrdiff_t j = 0; j < i; j++)
        for (ptrdiff_t r = 0; r < n; r++)
            x[j * CBP_STRIP + r] = rows[index[r] * i + j];
    for (ptrdiff_t j = 0; target->rows && j < o; j++)
        for (ptrdiff_t r = 0; r < n; r++)
            t[j * CBP_SMALL_ROWS + r] = ((const T *)target->rows)[index[r] * target->row_stride + j];
    for (ptrdiff_t r = 0; !target->rows && r < n; r++)
        t[r] = (T)target->labels[index[r]];
}

/* Z or A of one layer, for one vector of rows. */
VEC_OP void FN(tiny_forward)(const cbp_small_layer *layer, const T *w, const T *a, V *out)
{
    ptrdiff_t i = layer->i, o = layer->o;
    for (ptrdiff_t c = 0; c < o; c++) {
        V s = vset1((T)0);
        for (ptrdiff_t k = 0; k < i; k++)
            s = vfma(vload(a + k * CBP_STRIP), vset1(w[k * o + c]), s);
        out[c] = vadd(s, vset1(w[i * o + c]));
    }
}

VEC_OP void FN(tiny_activate)(T *a, const V *z, ptrdiff_t o, int activation)
{
    for (ptrdiff_t c = 0; c < o; c++)
        vstore(a + c * CBP_STRIP, FN(plain_activation)(z[c], activation));
}

/* D at the inputs of a layer, for one vector of rows. */
VEC_OP void FN(tiny_backward)(const cbp_small_layer *layer, const T *w, const T *a, const T *d,
                              T *out, int activation)
{
    ptrdiff_t i = layer->i, o = layer->o;
    for (ptrdiff_t k = 0; k < i; k++) {
        V s = vset1((T)0);
        for (ptrdiff_t c = 0; c < o; c++)
            s = vfma(vload(d + c * CBP_STRIP), vset1(w[k * o + c]), s);
        s = FN(plain_slope)(s, vload(a + k * CBP_STRIP), activation);
        vstore(out + k * CBP_STRIP, FN(flush)(s));
    }
}

/* The gradient of a layer: chains over the rows, four at a time for want of anything to overlap. */
VEC_OP void FN(tiny_gradient)(const cbp_small_layer *layer, T *g, const T *a, const T *d,
                              ptrdiff_t n)
{
    ptrdiff_t i = layer->i, o = layer->o;
    for (ptrdiff_t c = 0; c < o; c++, d += CBP_STRIP, g++) {
        T *to = g;
        const T *from = a;
        for (ptrdiff_t k = 0; k < i; k++, from += CBP_STRIP, to += o) {
            T s = 0;
            ptrdiff_t r = 0;
            for (; r + 4 <= n; r += 4) {
                s = FN(tiny_fma)(from[r], d[r], s);
                s = FN(tiny_fma)(from[r + 1], d[r + 1], s);
                s = FN(tiny_fma)(from[r + 2], d[r + 2], s);
                s = FN(tiny_fma)(from[r + 3], d[r + 3], s);
            }
            for (; r < n; r++)
                s = FN(tiny_fma)(from[r], d[r], s);
            *to = s;
        }
        T s = 0;
        for (ptrdiff_t r = 0; r < n; r++)
            s += d[r];
        *to = s;
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

#define TINY_SWITCH(call)                                 \
    switch (activation) {                                 \
    case CBP_SIGMOID: call(CBP_SIGMOID); break;           \
    case CBP_TANH: call(CBP_TANH); break;                 \
    case CBP_RELU: call(CBP_RELU); break;                 \
    default: call(CBP_IDENTITY); break;                   \
    }

/* The loss of n rows in double; the gradient is in the room. */
static double FN(tiny_sweep)(const cbp_small *room, int loss, T *row_loss, const T *x, const T *t,
                             int labels, const T *scale, ptrdiff_t n)
{
    const cbp_small_layer *first = room->layers, *last = first + room->n_layers - 1;
    const T *w = room->w;
    ptrdiff_t o = last->o;
    for (int v = 0; v * VW < n; v++) {
        V z[CBP_STRIP], l;
        V factor = vloadn(scale + v * VW, n - v * VW < VW ? (int)(n - v * VW) : VW);
        const T *a = x + v * VW;
        for (const cbp_small_layer *layer = first; layer < last; layer++) {
            T *to = (T *)layer[1].a + v * VW;
            int activation = layer->activation;
            FN(tiny_forward)(layer, w + layer->theta, a, z);
#define CALL(f) FN(tiny_activate)(to, z, layer->o, f)
            TINY_SWITCH(CALL)
#undef CALL
            a = to;
        }
        FN(tiny_forward)(last, w + last->theta, a, z);
        const T *target = t + v * VW;
        int activation = last->activation;
        switch (o) {
        case 1: l = FN(small_loss)(loss, activation, z, 1, target, labels, factor); break;
        case 2: l = FN(small_loss)(loss, activation, z, 2, target, labels, factor); break;
        default: l = FN(small_loss)(loss, activation, z, (int)o, target, labels, factor); break;
        }
        vstore(row_loss + v * VW, l);
        for (int c = 0; c < o; c++)
            vstore((T *)last->d + c * CBP_STRIP + v * VW, z[c]);
        for (const cbp_small_layer *layer = last; layer > first; layer--) {
            const T *from = (const T *)layer->a + v * VW, *d = (const T *)layer->d + v * VW;
            T *to = (T *)layer[-1].d + v * VW;
            activation = layer[-1].activation;
#define CALL(f) FN(tiny_backward)(layer, w + layer->theta, from, d, to, f)
            TINY_SWITCH(CALL)
#undef CALL
        }
    }
    for (const cbp_small_layer *layer = first; layer <= last; layer++)
        FN(tiny_gradient)(layer, (T *)room->g + layer->theta, layer == first ? x : layer->a,
                          layer->d, n);
    return FN(tiny_sum)(row_loss, n);
}

static ptrdiff_t FN(tiny_steps)(const cbp_small *room, int loss, int optimizer, void *state_1,
                                void *state_2, const cbp_hyper *hyper, void *row_loss,
                                const void *x, const cbp_target *target, const void *scale,
                                ptrdiff_t n, ptrdiff_t steps, double *losses)
{
    ptrdiff_t i = room->layers[0].i, o = room->layers[room->n_layers - 1].o;
    ptrdiff_t size = i * CBP_STRIP, each = size + o * CBP_SMALL_ROWS, ready = 0;
    T *ahead = room->columns, *w = room->w, *g = room->g, *s1 = state_1, *s2 = state_2;
    FN(scalars) k;
    FN(prepare)(&k, hyper);
    for (ptrdiff_t step = 0; step < steps; step++) {
        if (step == ready)
            for (T *to = ahead; ready < steps && ready < step + FN(tiny_ahead); ready++, to += each)
                FN(tiny_gather)(to, to + size, x, target, target->index + ready * n, n, i, o);
        const T *at = ahead + step % FN(tiny_ahead) * each;
        losses[step] = FN(tiny_sweep)(room, loss, row_loss, at, at + size, target->rows == NULL,
                                      scale, n);
        if (!(losses[step] - losses[step] == 0.0)) /* infinite or NaN */
            return step;
        switch (optimizer) {
        case CBP_SGD: FN(update_run)(CBP_SGD, w, NULL, NULL, g, NULL, room->size, &k, 0); break;
        case CBP_MOMENTUM: FN(update_run)(CBP_MOMENTUM, w, s1, NULL, g, NULL, room->size, &k, 0); break;
        case CBP_NESTEROV: FN(update_run)(CBP_NESTEROV, w, s1, NULL, g, NULL, room->size, &k, 0); break;
        default: FN(update_run)(CBP_ADAM, w, s1, s2, g, NULL, room->size, &k, 0); break;
        }
    }
    return steps;
}
#undef TINY_SWITCH
