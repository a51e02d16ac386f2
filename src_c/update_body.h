/* Optimiser updates (numerics.md, rules 9 and 10).
 *
 * g    the gradient of the loss, then g = fma(l2, w, g) unless l2 is 0
 * sgd       w = fma(-eta, g, w)
 * momentum  v = fma(mu, v, -(eta g)); w = w + v                   Rumelhart et al. 1986, eq. 9
 * nesterov  v = fma(mu, v, -(eta g)); w = w + fma(mu, v, -(eta g))
 * adam      m = fma(beta1, m, (1-beta1) g); v = fma(beta2, v, (1-beta2) g^2);
 *           w = w - (rate m) / fma(sqrt v, root, epsilon)         Kingma & Ba 2015, section 2
 * then w = w * mask where there is a mask.  States below TINY become +0, and a g below TINY_ROOT
 * counts as 0 in g^2: denormals would cost up to 50 times the time. */

VEC_OP void FN(update_vector)(int optimizer, T *theta, T *s1, T *s2, const T *g, const T *mask,
                              int lanes, const V *k, int l2)
{
    int whole = lanes == VW;
    V w = whole ? vload(theta) : vloadn(theta, lanes);
    V grad = whole ? vload(g) : vloadn(g, lanes);
    if (l2)
        grad = vfma(k[6], w, grad);
    if (optimizer == CBP_SGD) {
        w = vfnma(k[0], grad, w);
    } else if (optimizer == CBP_ADAM) {
        V m = whole ? vload(s1) : vloadn(s1, lanes), v = whole ? vload(s2) : vloadn(s2, lanes);
        V held = vsel(vlt(FN(vabs)(grad), vset1(TINY_ROOT)), vset1((T)0), grad);
        m = FN(flush)(vfma(k[1], m, vmul(k[2], grad)));
        v = FN(flush)(vfma(k[3], v, vmul(k[4], vmul(held, held))));
        w = vsub(w, vdiv(vmul(k[0], m), vfma(vsqrt(v), k[5], k[7])));
        whole ? vstore(s1, m) : vstoren(s1, m, lanes);
        whole ? vstore(s2, v) : vstoren(s2, v, lanes);
    } else {
        V v = whole ? vload(s1) : vloadn(s1, lanes);
        V step = vsub(vset1((T)0), vmul(k[0], grad));
        v = FN(flush)(vfma(k[1], v, step));
        w = vadd(w, optimizer == CBP_NESTEROV ? vfma(k[1], v, step) : v);
        whole ? vstore(s1, v) : vstoren(s1, v, lanes);
    }
    if (mask)
        w = vmul(w, whole ? vload(mask) : vloadn(mask, lanes));
    whole ? vstore(theta, w) : vstoren(theta, w, lanes);
}

VEC_OP void FN(update_run)(int optimizer, T *theta, T *s1, T *s2, const T *g, const T *mask,
                           ptrdiff_t c, const V *k, int l2)
{
    ptrdiff_t j = 0;
    for (; j + VW <= c; j += VW)
        FN(update_vector)(optimizer, theta + j, s1 ? s1 + j : NULL, s2 ? s2 + j : NULL, g + j,
                          mask ? mask + j : NULL, VW, k, l2);
    if (j < c)
        FN(update_vector)(optimizer, theta + j, s1 ? s1 + j : NULL, s2 ? s2 + j : NULL, g + j,
                          mask ? mask + j : NULL, (int)(c - j), k, l2);
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

static void FN(update)(int optimizer, void *theta, void *s1, void *s2, const void *g,
                       const void *mask, ptrdiff_t c, const cbp_hyper *h)
{
    int adam = optimizer == CBP_ADAM, l2 = h->l2 != 0.0;
    const V k[8] = {
        vset1((T)h->rate), vset1((T)(adam ? h->beta_1 : h->momentum)),
        vset1((T)(1.0 - h->beta_1)), vset1((T)h->beta_2), vset1((T)(1.0 - h->beta_2)),
        vset1((T)h->root), vset1((T)h->l2), vset1((T)h->epsilon)};
    switch (optimizer) {
    case CBP_SGD: FN(update_run)(CBP_SGD, theta, NULL, NULL, g, mask, c, k, l2); break;
    case CBP_MOMENTUM: FN(update_run)(CBP_MOMENTUM, theta, s1, NULL, g, mask, c, k, l2); break;
    case CBP_NESTEROV: FN(update_run)(CBP_NESTEROV, theta, s1, NULL, g, mask, c, k, l2); break;
    default: FN(update_run)(CBP_ADAM, theta, s1, s2, g, mask, c, k, l2); break;
    }
}

#undef TINY
#undef TINY_ROOT
