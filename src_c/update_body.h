/* Optimiser updates (numerics.md, rules 9 and 10).
 *
 * g    the gradient of the loss; then, each only where it is asked for (`penalise`):
 *      g = fma(l2, w, g);  g = g + l1 sign(w);  g cut to -clip_value .. clip_value;  g = g mask;
 *      g = g factor, the share that the limit of the global norm leaves
 *      w = flush(fma(-decay, w, w)), decoupled weight decay, decay = eta lambda
 * sgd       w = fma(-eta, g, w)
 * momentum  v = fma(mu, v, -(eta g)); w = w + v                   Rumelhart et al. 1986, eq. 9
 * nesterov  v = fma(mu, v, -(eta g)); w = w + fma(mu, v, -(eta g))
 * adam      m = fma(beta1, m, (1-beta1) g); v = fma(beta2, v, (1-beta2) g^2);
 *           w = w - (rate m) / fma(sqrt v, root, epsilon)         Kingma & Ba 2015, section 2
 * nadam     m and v likewise;
 *           w = w - fma(rate2, m, rate g) / fma(sqrt v, root, epsilon)             Dozat 2016
 * rmsprop   v = fma(beta2, v, (1-beta2) g^2); w = w - (eta g) / (sqrt v + epsilon)
 *           with momentum: b = fma(mu, b, g / (sqrt v + epsilon)); w = fma(-eta, b, w)
 * adagrad   v = fma(g, g, v); w = w - (eta g) / (sqrt v + epsilon)          Duchi et al. 2011
 * lion      c = fma(beta1, m, (1-beta1) g); w = w - eta sign(c);
 *           m = fma(beta2, m, (1-beta2) g)                                   Chen et al. 2023
 * rprop     s = s eta+ where g and the gradient before have one sign, s eta- where they have
 *           opposite ones (and g counts as 0 then), within lower .. upper; w = w - s sign(g)
 *                                                     iRPROP-, Igel & Huesken 2000
 * then w = w mask, and max(w, 0) where weights must not be negative.  States below TINY become +0,
 * and a g below TINY_ROOT counts as 0 in g^2: denormals would cost up to 50 times the time. */

/* The scalars of an update, each rounded once and in all lanes. */
typedef struct FN(scalars) {
    V rate, rate_2, momentum, beta_1, beta_2, rest_1, rest_2, root, epsilon, lower, upper;
    V l2, l1, clip, minus_clip, factor, decay;
} FN(scalars);

enum FN(parts) { FN(HAS_L2) = 1, FN(HAS_L1) = 2, FN(HAS_CLIP) = 4, FN(HAS_FACTOR) = 8,
                 FN(HAS_DECAY) = 16, FN(NONNEGATIVE) = 32 };

static void FN(prepare)(FN(scalars) *k, const cbp_hyper *h)
{
    k->rate = vset1((T)h->rate), k->rate_2 = vset1((T)h->rate_2);
    k->momentum = vset1((T)h->momentum);
    k->beta_1 = vset1((T)h->beta_1), k->rest_1 = vset1((T)(1.0 - h->beta_1));
    k->beta_2 = vset1((T)h->beta_2), k->rest_2 = vset1((T)(1.0 - h->beta_2));
    k->root = vset1((T)h->root), k->epsilon = vset1((T)h->epsilon);
    k->lower = vset1((T)h->lower), k->upper = vset1((T)h->upper);
    k->l2 = vset1((T)h->l2), k->l1 = vset1((T)h->l1);
    k->clip = vset1((T)h->clip_value), k->minus_clip = vset1((T)-h->clip_value);
    k->factor = vset1((T)h->factor), k->decay = vset1((T)h->decay);
}

static int FN(parts_of)(const cbp_hyper *h)
{
    return (h->l2 != 0.0 ? FN(HAS_L2) : 0) | (h->l1 != 0.0 ? FN(HAS_L1) : 0)
        | (h->clip_value != 0.0 ? FN(HAS_CLIP) : 0) | (h->factor != 1.0 ? FN(HAS_FACTOR) : 0)
        | (h->decay != 0.0 ? FN(HAS_DECAY) : 0) | (h->nonnegative ? FN(NONNEGATIVE) : 0);
}

/* step where x > 0, -step where x < 0, else +0 (NaN included). */
VEC_OP V FN(signed_step)(V x, V step)
{
    const V zero = vset1((T)0);
    return vsel(vlt(zero, x), step, vsel(vlt(x, zero), vsub(zero, step), zero));
}

/* The penalties' shares and the limit of each element: what the global norm is taken of. */
VEC_OP V FN(penalised)(V g, V w, const FN(scalars) *k, int parts)
{
    if (parts & FN(HAS_L2))
        g = vfma(k->l2, w, g);
    if (parts & FN(HAS_L1))
        g = vadd(g, FN(signed_step)(w, k->l1));
    if (parts & FN(HAS_CLIP)) {
        g = vsel(vlt(k->clip, g), k->clip, g);
        g = vsel(vlt(g, k->minus_clip), k->minus_clip, g);
    }
    return g;
}

/* The running mean of squares. */
VEC_OP V FN(mean_square)(V v, V g, const FN(scalars) *k)
{
    V held = vsel(vlt(FN(magnitude)(g), vset1(TINY_ROOT)), vset1((T)0), g);
    return FN(flush)(vfma(k->beta_2, v, vmul(k->rest_2, vmul(held, held))));
}

VEC_OP void FN(update_vector)(int optimizer, T *theta, T *s1, T *s2, const T *g_, const T *mask,
                              int lanes, const FN(scalars) *k, int parts)
{
    int whole = lanes == VW;
    V w = whole ? vload(theta) : vloadn(theta, lanes);
    V g = whole ? vload(g_) : vloadn(g_, lanes);
    V a = w, b = w;
    if (optimizer != CBP_SGD)
        a = whole ? vload(s1) : vloadn(s1, lanes);
    if (optimizer >= CBP_TWO_STATES)
        b = whole ? vload(s2) : vloadn(s2, lanes);
    g = FN(penalised)(g, w, k, parts);
    if (parts & FN(HAS_FACTOR))
        g = vmul(g, k->factor);
    if (parts & FN(HAS_DECAY))
        w = FN(flush)(vfnma(k->decay, w, w));
    switch (optimizer) {
    case CBP_SGD: w = vfnma(k->rate, g, w); break;
    case CBP_MOMENTUM:
    case CBP_NESTEROV: {
        V step = vsub(vset1((T)0), vmul(k->rate, g));
        a = FN(flush)(vfma(k->momentum, a, step));
        w = vadd(w, optimizer == CBP_NESTEROV ? vfma(k->momentum, a, step) : a);
        break;
    }
    case CBP_ADAM:
    case CBP_NADAM: {
        a = FN(flush)(vfma(k->beta_1, a, vmul(k->rest_1, g)));
        b = FN(mean_square)(b, g, k);
        V step = vmul(k->rate, optimizer == CBP_ADAM ? a : g);
        if (optimizer == CBP_NADAM)
            step = vfma(k->rate_2, a, step);
        w = vsub(w, vdiv(step, vfma(vsqrt(b), k->root, k->epsilon)));
        break;
    }
    case CBP_RMSPROP:
        a = FN(mean_square)(a, g, k);
        w = vsub(w, vdiv(vmul(k->rate, g), vadd(vsqrt(a), k->epsilon)));
        break;
    case CBP_RMSPROP_MOMENTUM:
        a = FN(mean_square)(a, g, k);
        b = FN(flush)(vfma(k->momentum, b, vdiv(g, vadd(vsqrt(a), k->epsilon))));
        w = vfnma(k->rate, b, w);
        break;
    case CBP_ADAGRAD: {
        V held = vsel(vlt(FN(magnitude)(g), vset1(TINY_ROOT)), vset1((T)0), g);
        a = vfma(held, held, a);
        w = vsub(w, vdiv(vmul(k->rate, g), vadd(vsqrt(a), k->epsilon)));
        break;
    }
    case CBP_LION: {
        V c = vfma(k->beta_1, a, vmul(k->rest_1, g));
        w = vsub(w, FN(signed_step)(c, k->rate));
        a = FN(flush)(vfma(k->beta_2, a, vmul(k->rest_2, g)));
        break;
    }
    default: { /* CBP_RPROP */
        const V zero = vset1((T)0);
        VM up = vlt(zero, a), down = vlt(a, zero), rise = vlt(zero, g), fall = vlt(g, zero);
        V step = vmul(b, k->beta_2), back = vmul(b, k->beta_1);
        step = vsel(up, vsel(rise, step, vsel(fall, back, b)),
                    vsel(down, vsel(fall, step, vsel(rise, back, b)), b));
        g = vsel(vmand(up, fall), zero, vsel(vmand(down, rise), zero, g));
        b = vsel(vlt(k->upper, step), k->upper, step);
        b = vsel(vlt(b, k->lower), k->lower, b);
        w = vsub(w, FN(signed_step)(g, b));
        a = FN(flush)(g);
        break;
    }
    }
    if (mask)
        w = vmul(w, whole ? vload(mask) : vloadn(mask, lanes));
    if (parts & FN(NONNEGATIVE))
        w = vsel(vlt(w, vset1((T)0)), vset1((T)0), w);
    if (optimizer != CBP_SGD)
        whole ? vstore(s1, a) : vstoren(s1, a, lanes);
    if (optimizer >= CBP_TWO_STATES)
        whole ? vstore(s2, b) : vstoren(s2, b, lanes);
    whole ? vstore(theta, w) : vstoren(theta, w, lanes);
}

VEC_OP void FN(update_run)(int optimizer, T *theta, T *s1, T *s2, const T *g, const T *mask,
                           ptrdiff_t c, const FN(scalars) *k, int parts)
{
    ptrdiff_t j = 0;
    for (; j + VW <= c; j += VW)
        FN(update_vector)(optimizer, theta + j, s1 ? s1 + j : NULL, s2 ? s2 + j : NULL, g + j,
                          mask ? mask + j : NULL, VW, k, parts);
    if (j < c)
        FN(update_vector)(optimizer, theta + j, s1 ? s1 + j : NULL, s2 ? s2 + j : NULL, g + j,
                          mask ? mask + j : NULL, (int)(c - j), k, parts);
}

static void FN(add_l2)(void *g_, const void *w_, double l2, ptrdiff_t c)
{
    T *g = g_;
    const T *w = w_;
    for (ptrdiff_t j = 0; j < c; j += VW) {
        int lanes = c - j < VW ? (int)(c - j) : VW;
        vstoren(g + j, vfma(vset1((T)l2), vloadn(w + j, lanes), vloadn(g + j, lanes)), lanes);
    }
}

static void FN(penalise)(void *out_, const void *g_, const void *w_, const void *mask_,
                         ptrdiff_t c, const cbp_hyper *h)
{
    T *out = out_;
    const T *g = g_, *w = w_, *mask = mask_;
    FN(scalars) k;
    int parts = FN(parts_of)(h);
    FN(prepare)(&k, h);
    for (ptrdiff_t j = 0; j < c; j += VW) {
        int lanes = c - j < VW ? (int)(c - j) : VW;
        V x = FN(penalised)(vloadn(g + j, lanes), vloadn(w + j, lanes), &k, parts);
        if (mask)
            x = vmul(x, vloadn(mask + j, lanes));
        vstoren(out + j, x, lanes);
    }
}

static void FN(update)(int optimizer, void *theta, void *s1, void *s2, const void *g,
                       const void *mask, ptrdiff_t c, const cbp_hyper *h)
{
    FN(scalars) k;
    int parts = FN(parts_of)(h);
    FN(prepare)(&k, h);
    /* The plain step knows at compile time what it leaves out: SGD 4 instead of 11 cycles a vector. */
#define CBP_RUN(rule, first, second)                                              \
    case rule:                                                                    \
        if (parts == 0 && !mask)                                                  \
            FN(update_run)(rule, theta, first, second, g, NULL, c, &k, 0);        \
        else                                                                      \
            FN(update_run)(rule, theta, first, second, g, mask, c, &k, parts);    \
        break
    switch (optimizer) {
    CBP_RUN(CBP_SGD, NULL, NULL);
    CBP_RUN(CBP_MOMENTUM, s1, NULL);
    CBP_RUN(CBP_NESTEROV, s1, NULL);
    CBP_RUN(CBP_RMSPROP, s1, NULL);
    CBP_RUN(CBP_ADAGRAD, s1, NULL);
    CBP_RUN(CBP_LION, s1, NULL);
    CBP_RUN(CBP_ADAM, s1, s2);
    CBP_RUN(CBP_NADAM, s1, s2);
    CBP_RUN(CBP_RMSPROP_MOMENTUM, s1, s2);
    CBP_RUN(CBP_RPROP, s1, s2);
    }
#undef CBP_RUN
}
