/* The activations beyond sigmoid, tanh and relu, of one vector, and the slopes taken from z.
 *
 * Same rules as elementary_body.h.  float: elu, softsign, hard_sigmoid and the slope of silu in
 * the type itself, the others in double lanes (lanes_body.h).  double: the large parts of a
 * result and what rounding took from them are carried as pairs h + l up to the last operation.
 * Errors and speed: docs/accuracy.md.  Coefficients: as in lanes_body.h, for double with K = 4,
 * u in [0, 39], and sin to degree 19. */

#undef SLOPE_END
#define SLOPE_END ((T)(CBP_TYPE == 32 ? 100 : 750)) /* |x| beyond which a slope is its limit */

VEC_OP V FN(magnitude)(V x)
{
    return vfrom_bits(viand(vbits(x), viset1((TI)(((TU)1 << (CBP_TYPE - 1)) - 1))));
}

/* y with the sign of x put on (y >= 0 or of that sign already). */
VEC_OP V FN(put_sign)(V y, V x)
{
    return vfrom_bits(vior(vbits(y), viand(vbits(x), viset1(SIGN_BITS))));
}

/* max(low, min(high, x)); NaN stays. */
VEC_OP V FN(clamp)(V x, T low, T high) { return vmax(vset1(low), vmin(vset1(high), x)); }

/* x, or e^x - 1 for x <= 0. */
VEC_OP V FN(velu)(V x) { return vsel(vlt(vset1(0), x), x, FN(vexpm1)(x)); }

/* x / (1 + |x|): with d + dl = 1 + |x| and a + a error = 1 / (d + dl), one rounding at the end. */
VEC_OP V FN(vsoftsign)(V x)
{
    V size = vmin(vset1(0x1p60f), FN(magnitude)(x)), d = vadd(vset1(1), size);
    V b = vsub(d, vset1(1)), dl = vadd(vsub(vset1(1), vsub(d, b)), vsub(size, b));
    V a = vdiv(vset1(1), d), error = vfnma(a, dl, vfnma(a, d, vset1(1)));
    return FN(put_sign)(vfma(size, a, vmul(vmul(size, a), error)), x);
}

/* min(max(x + 3, 0), 6) / 6: these operations, no bound. */
VEC_OP V FN(vhard_sigmoid)(V x)
{
    V lifted = vmax(vset1(0), vmin(vset1(6), vadd(x, vset1(3))));
    return vdiv(lifted, vset1(6));
}

/* Slope of x sigmoid(x): s + x q (1 - q), q the smaller of s = sigmoid(x) and 1 - s. */
VEC_OP V FN(silu_slope)(V x)
{
    V q = FN(vsigmoid)(vsub(vset1(0), FN(magnitude)(x))), p = vsub(vset1(1), q);
    V s = vsel(vlt(x, vset1(0)), q, p);
    return vfma(vmul(FN(clamp)(x, -SLOPE_END, SLOPE_END), q), p, s);
}

#if CBP_TYPE == 32

/* A function of double lanes on both halves of a float vector. */
#define BY_LANES(name, call)                                                   \
    VEC_OP V FN(name)(V wide)                                                  \
    {                                                                          \
        f64_v result[2];                                                       \
        for (int half = 0; half < 2; half++) {                                 \
            f64_v x = vwiden(wide, half);                                      \
            result[half] = call;                                               \
        }                                                                      \
        return vnarrow(result[0], result[1]);                                  \
    }
BY_LANES(vselu, lane_selu(x))
BY_LANES(vsoftplus, lane_softplus(x))
BY_LANES(vsilu, lane_silu(x))
BY_LANES(vmish, lane_mish(x))
BY_LANES(vgelu, lane_gelu(x))
BY_LANES(vsin, lane_sine(x))
BY_LANES(gelu_slope, lane_gelu_slope(x))
BY_LANES(mish_slope, lane_mish_slope(x))
BY_LANES(sin_slope, lane_cosine(x))
#undef BY_LANES

#else

/* a b = *h + *l; without FMA by halves of 26 bits (Veltkamp, Dekker), |a|, |b| < 2^996. */
VEC_OP void pair_product(V a, V b, V *h, V *l)
{
    *h = vmul(a, b);
#if VEC_HAS_FMA
    *l = vfma(a, b, vsub(vset1(0), *h));
#else
    V ca = vmul(vset1(0x1.0000002p27), a), cb = vmul(vset1(0x1.0000002p27), b);
    V ah = vsub(ca, vsub(ca, a)), bh = vsub(cb, vsub(cb, b)), al = vsub(a, ah), bl = vsub(b, bh);
    V low = vadd(vadd(vsub(vmul(ah, bh), *h), vmul(ah, bl)), vmul(al, bh));
    *l = vadd(low, vmul(al, bl));
#endif
}

/* a + b = *h + *l, whichever is larger (Knuth). */
VEC_OP void pair_sum(V a, V b, V *h, V *l)
{
    V s = vadd(a, b), t = vsub(s, a);
    *l = vadd(vsub(a, vsub(s, t)), vsub(b, t));
    *h = s;
}

/* (nh + nl) / (dh + dl), one rounding at the end. */
VEC_OP V pair_quotient(V nh, V nl, V dh, V dl)
{
    V a = vdiv(vset1(1), dh), error = vfnma(a, dl, vfnma(a, dh, vset1(1)));
    return vfma(nh, a, vfma(vmul(nh, a), error, vmul(nl, a)));
}

/* e^(y + yl) = (*h + *l) *s1 *s2 for -760 <= y <= 0, to about 2^-57; |yl| at most y's last bit. */
VEC_OP void exp_pair(V y, V yl, V *h, V *l, V *s1, V *s2)
{
    V z = FN(exp_rounded)(y), k = vsub(z, vset1(MAGIC)), r0 = vfnma(k, vset1(LN2_HI), y);
    V sum = vfnma(k, vset1(LN2_LO), r0), rest = vadd(vfnma(k, vset1(LN2_LO), vsub(r0, sum)), yl);
    V r = vadd(sum, rest), rl = vadd(vsub(sum, r), rest);
    V one_r = vadd(vset1(1), r), low = vsub(r, vsub(one_r, vset1(1)));
    V w = vfma(vmul(r, r), FN(exp_polynomial)(r), vadd(low, vfma(rl, r, rl)));
    *h = vadd(one_r, w);
    *l = vadd(vsub(one_r, *h), w);
    VI half = vishr(vbits(z), 1);
    *s1 = FN(exp_power)(vfrom_bits(half));
    *s2 = FN(exp_power)(vfrom_bits(visub(vbits(z), half)));
}

/* lambda x, or lambda alpha (e^x - 1) for x <= 0. */
VEC_OP V FN(vselu)(V x)
{
    const V low = vset1(SELU_LOW), high = vset1(SELU_HIGH);
    V h, l;
    FN(one_minus_exp)(vmin(vset1(0), x), &h, &l);
    V below = vsub(vset1(0), vfma(h, low, vfma(h, vset1(SELU_LOW_REST), vmul(l, low))));
    V above = vfma(x, high, vmul(x, vset1(SELU_HIGH_REST)));
    return vsel(vlt(vset1(0), x), above, FN(put_sign)(below, x));
}

/* max(x, 0) + log(1 + E), E = e^-|x|; what E is short of adds El / (1 + E), of which a tenth
 * is far below the last bit.  Beyond 40 there is nothing to add. */
VEC_OP V FN(vsoftplus)(V x)
{
    V h, l, s1, s2, sum, rest, y = vmax(vset1(-760), vsub(vset1(0), FN(magnitude)(x)));
    exp_pair(y, vset1(0), &h, &l, &s1, &s2);
    V e = vmul(vmul(h, s1), s2), el = vmul(vmul(l, s1), s2);
    FN(log1p_pair)(e, &h, &l);
    l = vfma(el, vfnma(e, vset1(0.5), vset1(1)), l);
    pair_sum(vmax(vset1(0), x), h, &sum, &rest);
    return vsel(vlt(vset1(40), x), x, vadd(sum, vadd(rest, l)));
}

/* x / (1 + e^-x) = x N / (1 + E), E = e^-|x|, N = 1 for x >= 0 and E below. */
VEC_OP V FN(vsilu)(V x)
{
    const V zero = vset1(0), one = vset1(1);
    V h, l, s1, s2, size = FN(magnitude)(x), nh, nl;
    VM below = vlt(x, zero);
    V u = vmin(vset1(760), size);
    exp_pair(vsub(zero, u), zero, &h, &l, &s1, &s2);
    V e = vmul(vmul(h, s1), s2), el = vmul(vmul(l, s1), s2);
    V d = vadd(one, e), dl = vadd(vsub(e, vsub(d, one)), el);
    pair_product(u, h, &nh, &nl);
    nh = vsel(below, nh, u);
    nl = vsel(below, vfma(u, l, nl), zero);
    V y = pair_quotient(nh, nl, d, dl);
    y = vsel(below, vmul(vmul(y, s1), s2), vsel(vlt(vset1(100), x), x, y));
    return FN(put_sign)(y, x);
}

/* x tanh(log(1 + e^x)) = x N / D with E = e^-|x|: N = 1 + 2E, D = N + 2 E^2 for x >= 0, and
 * N = E (E + 2), D = N + 2 below. */
VEC_OP V FN(vmish)(V x)
{
    const V zero = vset1(0), two = vset1(2);
    V h, l, s1, s2, size = FN(magnitude)(x), u = vmin(vset1(760), size);
    VM below = vlt(x, zero);
    exp_pair(vsub(zero, u), zero, &h, &l, &s1, &s2);
    V e = vmul(vmul(h, s1), s2), el = vmul(vmul(l, s1), s2), twice = vadd(e, e);
    /* x < 0: N = m (h + l) s1 s2, m = 2 + E */
    V m = vadd(two, e), ml = vadd(vsub(e, vsub(m, two)), el), nh, nl;
    pair_product(h, m, &nh, &nl);
    nl = vadd(nl, vfma(h, ml, vmul(l, m)));
    V n = vmul(vmul(nh, s1), s2), d = vadd(two, n);
    V dl = vfma(vmul(nl, s1), s2, vsub(n, vsub(d, two)));
    /* x >= 0 */
    V ph, pl, qh, ql;
    pair_sum(vset1(1), twice, &ph, &pl);
    pl = vfma(two, el, pl);
    pair_product(twice, e, &qh, &ql);
    ql = vfma(vadd(twice, twice), el, ql);
    V d2 = vadd(ph, qh), d2l = vadd(vsub(qh, vsub(d2, ph)), vadd(pl, ql));
    nh = vsel(below, nh, ph);
    nl = vsel(below, nl, pl);
    V th, tl;
    pair_product(u, nh, &th, &tl);
    V y = pair_quotient(th, vfma(u, nl, tl), vsel(below, d, d2), vsel(below, dl, d2l));
    y = vsel(below, vmul(vmul(y, s1), s2), vsel(vlt(vset1(100), x), x, y));
    return FN(put_sign)(y, x);
}

/* Slope of x tanh(log(1 + e^x)): (n d + 4 x e (1 + e)) / d^2, e = e^x, n = e (e + 2), d = n + 2. */
VEC_OP V FN(mish_slope)(V x)
{
    V u = FN(clamp)(x, -750.0, 40.0), e = FN(vexp)(u);
    V n = vfma(e, e, vadd(e, e)), d = vadd(n, vset1(2));
    V rise = vmul(vmul(vmul(vset1(4), u), e), vadd(vset1(1), e));
    return vdiv(vfma(n, d, rise), vmul(d, d));
}

/* Q / (e^(-u^2/2) a) = P(t) = *p + *pl, t = (u - 4) / (u + 4), a + a error = 1 / (u + 4). */
VEC_OP void normal_pair(V u, V *a, V *error, V *p, V *pl)
{
    V d, dl, t, tl;
    pair_sum(u, vset1(4), &d, &dl);
    *a = vdiv(vset1(1), d);
    *error = vfnma(*a, dl, vfnma(*a, d, vset1(1)));
    V eighth = vmul(vset1(-8), *a);
    pair_sum(vset1(1), eighth, &t, &tl);
    tl = vfma(eighth, *error, tl);
    V q = vset1(-0x1.d16b4854bc4ddp-31);
    q = vfma(q, t, vset1(-0x1.71c4866a0a2cbp-29));
    q = vfma(q, t, vset1(0x1.47f138b585f18p-29));
    q = vfma(q, t, vset1(0x1.5cd6cfb6442fep-26));
    q = vfma(q, t, vset1(0x1.ad0be178b335cp-27));
    q = vfma(q, t, vset1(-0x1.740d8ed296d56p-24));
    q = vfma(q, t, vset1(-0x1.4b1fae7e2a293p-23));
    q = vfma(q, t, vset1(0x1.252c3ec511d88p-22));
    q = vfma(q, t, vset1(0x1.1217c913e843ap-20));
    q = vfma(q, t, vset1(-0x1.527cfa35dec81p-21));
    q = vfma(q, t, vset1(-0x1.8d486f33648f1p-18));
    q = vfma(q, t, vset1(0x1.80eeddb292b3dp-21));
    q = vfma(q, t, vset1(0x1.26d085dc0989dp-15));
    q = vfma(q, t, vset1(-0x1.002254a8cdfap-19));
    q = vfma(q, t, vset1(-0x1.e4a424b2684a8p-13));
    q = vfma(q, t, vset1(0x1.17a4b0e6006d2p-13));
    q = vfma(q, t, vset1(0x1.ab825fbeb1702p-10));
    q = vfma(q, t, vset1(-0x1.c81719d9be0fdp-9));
    q = vfma(q, t, vset1(-0x1.ee276104764a9p-8));
    q = vfma(q, t, vset1(0x1.eec4cc3e5137p-5));
    q = vfma(q, t, vset1(-0x1.7dff2bff683bfp-3));
    V q2 = vfma(q, t, vset1(0x1.8c6dbf2cfc27ep-2));
    V c1 = vset1(-0x1.373e3a893c28ap-1), c0 = vset1(0x1.82b4bb8c94dcep-1);
    V q1 = vfma(q2, t, c1), q1l = vfma(q2, t, vsub(c1, q1));
    *p = vfma(q1, t, c0);
    V slope = vfma(vfma(q, t, q2), t, q1); /* P', all but its last digits */
    *pl = vadd(vfma(q1, t, vsub(c0, *p)), vfma(slope, tl, vmul(q1l, t)));
}

/* x Phi(x) = x - x Q for x >= 0, x Q below, Q = erfc(|x| / sqrt 2) / 2. */
VEC_OP V FN(vgelu)(V x)
{
    const V zero = vset1(0);
    V size = FN(magnitude)(x), u = vmin(vset1(39), size), square, rest, h, l, s1, s2;
    V a, error, p, pl, bh, bl, ch, cl;
    pair_product(u, u, &square, &rest);
    exp_pair(vmul(square, vset1(-0.5)), vmul(rest, vset1(-0.5)), &h, &l, &s1, &s2);
    normal_pair(u, &a, &error, &p, &pl);
    pair_product(h, p, &bh, &bl);
    bl = vadd(bl, vfma(h, pl, vmul(l, p)));
    pair_product(u, bh, &ch, &cl);
    cl = vfma(u, bl, cl);
    V low = vfma(ch, a, vfma(vmul(ch, a), error, vmul(cl, a)));
    low = vmul(vmul(low, s1), s2);
    return FN(put_sign)(vsel(vlt(x, zero), low, vsub(size, low)), x);
}

/* Slope of x Phi(x): w = Q - u phi(u) for x < 0, 1 - w above. */
VEC_OP V FN(gelu_slope)(V x)
{
    V u = vmin(vset1(39), FN(magnitude)(x)), e = FN(vexp)(vmul(vmul(u, u), vset1(-0.5)));
    V a, error, p, pl;
    normal_pair(u, &a, &error, &p, &pl);
    V w = vfnma(vmul(u, vset1(INVERSE_ROOT_2PI)), e, vmul(e, vmul(p, a)));
    return vsel(vlt(x, vset1(0)), w, vsub(vset1(1), w));
}

/* (-1)^k sin(r) of r = x - (k + shift) pi: see lane_sin_shifted. */
VEC_OP V FN(sin_shifted)(V x, double shift)
{
    V z = vadd(vfma(x, vset1(INVERSE_PI), vset1(-shift)), vset1(MAGIC));
    V k = vadd(vsub(z, vset1(MAGIC)), vset1(shift)), r0 = vfnma(k, vset1(PI_1), x);
    V r = vfnma(k, vset1(PI_2), r0);
    V rl = vfnma(k, vset1(PI_3), vfnma(k, vset1(PI_2), vsub(r0, r)));
    r = FN(clamp)(r, -0x1.921fb54442d19p+0, 0x1.921fb54442d19p+0);
    V v, vl, q = vset1(-0x1.84b7b22adc0cp-58);
    pair_product(r, r, &v, &vl);
    q = vfma(q, v, vset1(0x1.906d862c0ae6fp-49));
    q = vfma(q, v, vset1(-0x1.ae6857521edbbp-41));
    q = vfma(q, v, vset1(0x1.61242496a8113p-33));
    q = vfma(q, v, vset1(-0x1.ae6455c1547abp-26));
    q = vfma(q, v, vset1(0x1.71de3a5408e07p-19));
    q = vfma(q, v, vset1(-0x1.a01a01a017078p-13));
    q = vfma(q, v, vset1(0x1.11111111110ddp-7));
    q = vfma(q, v, vset1(-0x1.5555555555555p-3));
    V cosine = vfnma(v, vset1(0.5), vset1(1)); /* what a change of r is worth, nearly */
    V fh, fl, ph, pl; /* sin r = r + r (fh + fl) */
    pair_product(v, q, &fh, &fl);
    pair_product(r, fh, &ph, &pl);
    pl = vfma(rl, cosine, vfma(r, vfma(vl, q, fl), pl));
    V sum = vadd(r, ph), rest = vadd(vsub(r, sum), ph);
    V y = FN(clamp)(vadd(sum, vadd(rest, pl)), -1.0, 1.0);
    return vfrom_bits(vixor(vbits(y), vishl(vbits(z), 63)));
}

VEC_OP V FN(vsin)(V x)
{
    VI sign = viand(vbits(x), viset1(SIGN_BITS));
    return vfrom_bits(vixor(vbits(FN(sin_shifted)(FN(magnitude)(x), 0.0)), sign));
}

VEC_OP V FN(sin_slope)(V x) { return vsub(vset1(0), FN(sin_shifted)(FN(magnitude)(x), 0.5)); }

#endif
