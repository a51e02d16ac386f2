/* exp, expm1, sigmoid, tanh, log1p and log of one vector, for the stamped type.
 *
 * Written in the vocabulary of vec.h alone: the same bits on every instruction set with FMA.  No
 * branch, no table, no libm; one division at most.  The caller guarantees round to nearest and
 * gradual underflow (MXCSR is set at thread entry).  NaN gives NaN.  Errors and speed are
 * measured by tests/exhaustive/elementary.c and listed in docs/accuracy.md.
 *
 * Method.  x = k ln2 + r with k integer and |r| <= ln2/2 (Cody and Waite 1980: LN2_HI has so many
 * trailing zeros that k LN2_HI is exact), e^r = 1 + r + r^2 q(r) with a polynomial q, and
 * e^x = 2^k e^r.  A function keeps the large parts of its result apart until its last operation and
 * carries what rounding took from them (h + l: FastTwoSum, Dekker 1971), so its error is that one
 * rounding, 0.5 ULP, and up to 0.4 ULP from the rounding of r and of the terms beside it.
 *
 * Coefficients: Sollya 8.0, fpminimax(f, [|2,...,n|], [|SG...|], I, relative, floating, x), D for
 * double; f = expm1, n = 6 (12), I = 1.0001 [-ln2/2, ln2/2], and f = log1p, n = 10 (21),
 * I = [-1/4, 1/2]; the coefficient of x is 1.  Beside each stands its relative error on I. */

/* They stay defined for the bodies behind this one, and until the next type is stamped. */
#undef MANTISSA
#undef MAGIC
#undef TWO_MANTISSA
#undef ONE_BITS
#undef SIGN_BITS
#undef LOG2E
#undef LN2_HI
#undef LN2_LO
#undef EXP_LOWEST
#undef EXP_HIGHEST
#undef SIGMOID_SPLIT
#undef EXPM1_LOWEST
#undef EXPM1_LOWEST_K
#undef LOG_LIFT
#undef SIGMOID_HIGHEST

#if CBP_TYPE == 32
#define MANTISSA 23
#define MAGIC 0x1.8p23f        /* x + MAGIC rounds x to an integer k; its bits are MAGIC's plus k */
#define TWO_MANTISSA 0x1p23f
#define ONE_BITS 0x3f800000
#define SIGN_BITS INT32_MIN
#define LOG2E 0x1.715476p+0f
#define LN2_HI 0x1.62e4p-1f    /* 15 bits: k LN2_HI is exact for |k| < 512 */
#define LN2_LO 0x1.7f7d1cp-20f
#define EXP_LOWEST -104.5f     /* below ln 2^-150: rounds to +0 */
#define EXP_HIGHEST 89.0f      /* above ln 2^128: overflows to +Inf */
#define SIGMOID_SPLIT 64       /* largest k of which 2^k is added to 1 */
#define EXPM1_LOWEST -18.5f    /* 1 - e^x rounds to 1, and so does tanh(-x / 2) */
#define EXPM1_LOWEST_K -24     /* 1 - 2^k is exact */
#define LOG_LIFT 127
#else
#define MANTISSA 52
#define MAGIC 0x1.8p52
#define TWO_MANTISSA 0x1p52
#define ONE_BITS 0x3ff0000000000000
#define SIGN_BITS INT64_MIN
#define LOG2E 0x1.71547652b82fep+0
#define LN2_HI 0x1.62e42fefa38p-1 /* 42 bits: k LN2_HI is exact for |k| < 2048 */
#define LN2_LO 0x1.ef35793c7673p-45
#define EXP_LOWEST -746.0
#define EXP_HIGHEST 710.0
#define SIGMOID_SPLIT 512
#define EXPM1_LOWEST -38.5
#define EXPM1_LOWEST_K -53
#define LOG_LIFT 1023
#endif
#define SIGMOID_HIGHEST 40     /* 1 / (1 + e^-40) rounds to 1 in both types */

/* k + MAGIC, where k is x / ln2 rounded to an integer. */
VEC_OP V FN(exp_rounded)(V x) { return vfma(x, vset1(LOG2E), vset1(MAGIC)); }

/* r of x = k ln2 + r, given z = k + MAGIC. */
VEC_OP V FN(exp_remainder)(V x, V z)
{
    V k = vsub(z, vset1(MAGIC));
    return vfnma(k, vset1(LN2_LO), vfnma(k, vset1(LN2_HI), x));
}

/* 2^k from the bits of MAGIC + k (MAGIC's own are shifted out), where 2^k is a normal number. */
VEC_OP V FN(exp_power)(V z)
{
    return vfrom_bits(viadd(vishl(vbits(z), MANTISSA), viset1(ONE_BITS)));
}

/* q(r) = (e^r - 1 - r) / r^2 for |r| <= ln2/2; the relative error of r + r^2 q(r) as e^r - 1 is
 * 2^-26.1 (float), 2^-61.5 (double). */
VEC_OP V FN(exp_polynomial)(V r)
{
#if CBP_TYPE == 32
    V q = vset1(0x1.6b7346p-10f);
    q = vfma(q, r, vset1(0x1.122792p-7f));
    q = vfma(q, r, vset1(0x1.555716p-5f));
    q = vfma(q, r, vset1(0x1.5554bp-3f));
    return vfma(q, r, vset1(0x1.fffffep-2f));
#else
    V q = vset1(0x1.1f1a283d45d38p-29);
    q = vfma(q, r, vset1(0x1.af5f17c2ca417p-26));
    q = vfma(q, r, vset1(0x1.27e5133c92adap-22));
    q = vfma(q, r, vset1(0x1.71ddf819194fp-19));
    q = vfma(q, r, vset1(0x1.a01a018e0fb83p-16));
    q = vfma(q, r, vset1(0x1.a01a01b000a1dp-13));
    q = vfma(q, r, vset1(0x1.6c16c16c1aafap-10));
    q = vfma(q, r, vset1(0x1.111111110f659p-7));
    q = vfma(q, r, vset1(0x1.555555555554dp-5));
    q = vfma(q, r, vset1(0x1.5555555555559p-3));
    return vfma(q, r, vset1(0x1p-1));
#endif
}

/* e^x for every x; 1 + r = h + l exactly.  Scaled by 2^floor(k/2), then by 2^ceil(k/2): both are
 * normal numbers, and only the second product can round (a denormal result) or overflow. */
VEC_OP V FN(vexp)(V x)
{
    x = vmax(vset1(EXP_LOWEST), vmin(vset1(EXP_HIGHEST), x));
    V z = FN(exp_rounded)(x), r = FN(exp_remainder)(x, z);
    V h = vadd(vset1(1), r), l = vsub(r, vsub(h, vset1(1)));
    V p = vadd(h, vfma(vmul(r, r), FN(exp_polynomial)(r), l));
    VI half = vishr(vbits(z), 1);
    V first = FN(exp_power)(vfrom_bits(half));
    V second = FN(exp_power)(vfrom_bits(visub(vbits(z), half)));
    return vmul(vmul(p, first), second);
}

/* 1 / (1 + e^-x) for every x, both signs alike.  With e^-x = 2^k (1 + t) and s = 2^min(k, SPLIT)
 * the denominator is d + dl = (1 + s) + s t (where s was cut, the 1 is far below d's last bit);
 * a = 1 / d takes one Newton step against d + dl; last comes the power that was cut off, which
 * alone can make the result denormal. */
VEC_OP V FN(vsigmoid)(V x)
{
    V y = vfrom_bits(vixor(vbits(x), viset1(SIGN_BITS)));
    y = vmax(vset1(-SIGMOID_HIGHEST), vmin(vset1(-(EXP_LOWEST)), y));
    V z = FN(exp_rounded)(y), r = FN(exp_remainder)(y, z);
    V t = vfma(vmul(r, r), FN(exp_polynomial)(r), r);
    V cut = vmin(vset1(MAGIC + SIGMOID_SPLIT), z), s = FN(exp_power)(cut);
    V w = vadd(vset1(1), s), wl = vsub(vset1(1), vsub(w, s));
    V d = vfma(s, t, w), dl = vadd(vfma(s, t, vsub(w, d)), wl);
    V a = vdiv(vset1(1), d);
    V error = vfnma(a, dl, vfnma(a, d, vset1(1)));
    VI rest = vishl(visub(vbits(z), vbits(cut)), MANTISSA);
    return vmul(vfma(a, error, a), vfrom_bits(visub(viset1(ONE_BITS), rest)));
}

/* 1 - e^y = h + l for y <= 0, to about 0.4 ULP of h.  k stops where 1 - 2^k is still exact;
 * below it r leaves its interval, and 2^k makes the polynomial's error there nothing.
 *
 * Of n vectors, operation by operation: a CPU looks some hundred operations ahead, and finds more to
 * do there than in n chains one behind the other (tanh of 8 vectors: 25 cycles each instead of 31). */
VEC_OP void FN(one_minus_exps)(int n, const V *x, V *h, V *l)
{
    V y[8], z[8], r[8], t[8];
    for (int j = 0; j < n; j++)
        y[j] = vmax(vset1(EXPM1_LOWEST), x[j]);
    for (int j = 0; j < n; j++)
        z[j] = vmax(vset1(MAGIC + EXPM1_LOWEST_K), FN(exp_rounded)(y[j]));
    for (int j = 0; j < n; j++)
        r[j] = FN(exp_remainder)(y[j], z[j]);
    for (int j = 0; j < n; j++)
        y[j] = FN(exp_polynomial)(r[j]);
    for (int j = 0; j < n; j++) {
        V r2 = vmul(r[j], r[j]);
        t[j] = vfma(r2, y[j], r[j]);
        r[j] = vfma(r2, y[j], vsub(r[j], t[j]));
    }
    for (int j = 0; j < n; j++) {
        V s = FN(exp_power)(z[j]), a = vsub(vset1(1), s);
        h[j] = vfnma(s, t[j], a);
        l[j] = vfnma(s, r[j], vfnma(s, t[j], vsub(a, h[j])));
    }
}

VEC_OP void FN(one_minus_exp)(V y, V *h, V *l) { FN(one_minus_exps)(1, &y, h, l); }

/* e^x - 1 for -Inf <= x <= 0. */
VEC_OP V FN(vexpm1)(V x)
{
    V h, l;
    FN(one_minus_exp)(x, &h, &l);
    VI sign = viand(vbits(x), viset1(SIGN_BITS));
    return vfrom_bits(vior(vbits(vadd(h, l)), sign));
}

/* tanh of n vectors, n <= 8 known to the compiler; from |x| and with the sign put back: with
 * h + l = 1 - e^-2|x| it is (h + l) / (d + dl), d + dl = 2 - (h + l).  a + a error is 1 / (d + dl);
 * the product with h + l is rounded once. */
VEC_OP void FN(vtanhs)(int n, V *x)
{
    V h[8], l[8], d[8], a[8];
    for (int j = 0; j < n; j++) {
        V y = vfrom_bits(vior(vbits(x[j]), viset1(SIGN_BITS)));
        d[j] = vadd(y, y);
    }
    FN(one_minus_exps)(n, d, h, l);
    for (int j = 0; j < n; j++) {
        d[j] = vsub(vset1(2), h[j]);
        a[j] = vdiv(vset1(1), d[j]);
    }
    for (int j = 0; j < n; j++) {
        V dl = vsub(vsub(vsub(vset1(2), d[j]), h[j]), l[j]);
        V error = vfnma(a[j], dl, vfnma(a[j], d[j], vset1(1)));
        V small = vfma(vmul(h[j], a[j]), error, vmul(l[j], a[j]));
        VI sign = viand(vbits(x[j]), viset1(SIGN_BITS));
        x[j] = vfrom_bits(vior(vbits(vfma(h[j], a[j], small)), sign));
    }
}

VEC_OP V FN(vtanh)(V x)
{
    FN(vtanhs)(1, &x);
    return x;
}

/* q of log(1 + f) = f + f^2 q(f), -0.25 <= f < 0.5: relative error of it all 2^-27.5 (float),
 * 2^-56.7 (double). */
VEC_OP V FN(log_polynomial)(V f)
{
#if CBP_TYPE == 32
    V q = vset1(-0x1.721d3ep-5f);
    q = vfma(q, f, vset1(0x1.ad4188p-4f));
    q = vfma(q, f, vset1(-0x1.0db586p-3f));
    q = vfma(q, f, vset1(0x1.28852ep-3f));
    q = vfma(q, f, vset1(-0x1.54eb54p-3f));
    q = vfma(q, f, vset1(0x1.9968fp-3f));
    q = vfma(q, f, vset1(-0x1.00004ep-2f));
    q = vfma(q, f, vset1(0x1.5555a6p-2f));
    q = vfma(q, f, vset1(-0x1p-1f));
#else
    V q = vset1(0x1.07fee091cfba5p-7);
    q = vfma(q, f, vset1(-0x1.e0edbddba5be4p-6));
    q = vfma(q, f, vset1(0x1.9fb1f7339eb55p-5));
    q = vfma(q, f, vset1(-0x1.e9a88fe7151d5p-5));
    q = vfma(q, f, vset1(0x1.f2aacbaf50174p-5));
    q = vfma(q, f, vset1(-0x1.ffeee422db5a7p-5));
    q = vfma(q, f, vset1(0x1.10118a7ed4f3fp-4));
    q = vfma(q, f, vset1(-0x1.2463c327ed19bp-4));
    q = vfma(q, f, vset1(0x1.3b1ff82b4c54fp-4));
    q = vfma(q, f, vset1(-0x1.55598360e4c5ap-4));
    q = vfma(q, f, vset1(0x1.745ce35fb0f72p-4));
    q = vfma(q, f, vset1(-0x1.99996e0662597p-4));
    q = vfma(q, f, vset1(0x1.c71c70ee1f6p-4));
    q = vfma(q, f, vset1(-0x1.000000781ee29p-3));
    q = vfma(q, f, vset1(0x1.24924929f70bp-3));
    q = vfma(q, f, vset1(-0x1.55555553fd495p-3));
    q = vfma(q, f, vset1(0x1.9999999989687p-3));
    q = vfma(q, f, vset1(-0x1.0000000000dcep-2));
    q = vfma(q, f, vset1(0x1.55555555555c4p-2));
    q = vfma(q, f, vset1(-0x1.ffffffffffffbp-2));
#endif
    return q;
}

/* log(2^k (1 + f)) = *h + *l. */
VEC_OP void FN(log_sum)(V k, V f, V *h, V *l)
{
    V base = vmul(k, vset1(LN2_HI));
    *h = vadd(base, f);
    *l = vfma(vmul(f, f), FN(log_polynomial)(f),
              vfma(k, vset1(LN2_LO), vsub(f, vsub(*h, base))));
}

/* log(1 + x) = *h + *l for +0 <= x < +Inf.  1 + x = 2^k (1 + f); k comes from the rounded sum,
 * f = 2^-k x + (2^-k - 1) from x itself, exactly (in this interval the last bits fit). */
VEC_OP void FN(log1p_pair)(V x, V *h, V *l)
{
    VI up = visub(vbits(vadd(vset1(1), x)), vbits(vset1(0.75)));
    VI k = vishr(up, MANTISSA), shift = vishl(k, MANTISSA);
    V kf = vsub(vfrom_bits(vior(k, vbits(vset1(TWO_MANTISSA)))), vset1(TWO_MANTISSA));
    /* 2^(1-k) stays a normal number, or 0, up to the largest k. */
    V s2 = vfrom_bits(visub(viset1(ONE_BITS + ((TI)1 << MANTISSA)), shift));
    V f = vadd(vfrom_bits(visub(vbits(x), shift)), vfma(s2, vset1(0.5), vset1(-1)));
    FN(log_sum)(kf, f, h, l);
}

/* log(1 + x) for +0 <= x <= +Inf. */
VEC_OP V FN(vlog1p)(V x)
{
    V h, l;
    FN(log1p_pair)(x, &h, &l);
    return vsel(vlt(x, vset1((T)__builtin_inf())), vadd(h, l), x);
}

/* log x for positive normal numbers; the exponent is lifted by LOG_LIFT so that it shifts down. */
VEC_OP V FN(vlog)(V x)
{
    VI up = viadd(vbits(x), viset1(((TI)LOG_LIFT << MANTISSA)));
    VI k = vishr(visub(up, vbits(vset1(0.75))), MANTISSA);
    V kf = vsub(vfrom_bits(vior(k, vbits(vset1(TWO_MANTISSA)))), vset1(TWO_MANTISSA + LOG_LIFT));
    VI shift = vishl(visub(k, viset1(LOG_LIFT)), MANTISSA);
    V h, l, f = vsub(vfrom_bits(visub(vbits(x), shift)), vset1(1));
    FN(log_sum)(kf, f, &h, &l);
    return vadd(h, l);
}
