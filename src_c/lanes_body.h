/* The smooth activations of float vectors, computed in double lanes; stamped for double alone.
 *
 * The argument is a float made double, the result goes back to float: with 30 bits right before
 * that rounding its error is 0.51 ULP, and the float results are monotone where the function is.
 * NaN gives NaN; the largest arguments are cut where nothing but the limit is left.
 *
 * Coefficients: Sollya 8.0, fpminimax(f, ..., [|D...|], I, relative, floating), as in
 * elementary_body.h: expm1 on 1.0001 [-ln2/2, ln2/2], atanh on [0, 1/3], sin on [0, pi/2], and
 * P(t) = (u + K) erfc(u / sqrt 2) e^(u^2/2) / 2, t = (u - K) / (u + K), K = 2.75, u in [0, 14.7]. */

#define SELU_HIGH 0x1.0cfabd6a91132p+0 /* lambda, and lambda alpha (Klambauer et al. 2017) */
#define SELU_HIGH_REST 0x1.6fc7d272f2695p-55
#define SELU_LOW 0x1.c212cc640f031p+0
#define SELU_LOW_REST 0x1.05161b045a1fep-56
#define INVERSE_PI 0x1.45f306dc9c883p-2
#define PI_1 0x1.921fb544p+1 /* pi = PI_1 + PI_2 + PI_3, two of 33 bits: k PI_1 is exact */
#define PI_2 0x1.0b4611a6p-33
#define PI_3 0x1.3198a2e037073p-68
#define INVERSE_ROOT_2PI 0x1.9884533d43651p-2

/* e^y = *s (1 + *t), |y| <= 200; relative error 2^-33. */
VEC_OP void lane_exp_parts(V y, V *s, V *t)
{
    V z = FN(exp_rounded)(y), r = vfnma(vsub(z, vset1(MAGIC)), vset1(0x1.62e42fefa39efp-1), y);
    V q = vset1(0x1.a032c043abccfp-13);
    q = vfma(q, r, vset1(0x1.6d71f735228ffp-10));
    q = vfma(q, r, vset1(0x1.11118965d0cd7p-7));
    q = vfma(q, r, vset1(0x1.5554b12f1fbd7p-5));
    q = vfma(q, r, vset1(0x1.555554ef8fe27p-3));
    q = vfma(q, r, vset1(0x1.00000025efa4cp-1));
    *s = FN(exp_power)(z);
    *t = vfma(vmul(r, r), q, r);
}

VEC_OP V lane_exp(V y)
{
    V s, t;
    lane_exp_parts(y, &s, &t);
    return vfma(s, t, s);
}

/* max(low, min(high, x)); NaN stays. */
VEC_OP V lane_clamp(V x, double low, double high)
{
    return vmax(vset1(low), vmin(vset1(high), x));
}

VEC_OP V lane_abs(V x) { return vfrom_bits(viand(vbits(x), viset1(INT64_MAX))); }

/* y with the sign of x put on (y >= 0 or of that sign already). */
VEC_OP V lane_sign(V y, V x)
{
    return vfrom_bits(vior(vbits(y), viand(vbits(x), viset1(SIGN_BITS))));
}

/* lambda x, or lambda alpha (e^x - 1) for x <= 0. */
VEC_OP V lane_selu(V x)
{
    V s, t;
    lane_exp_parts(lane_clamp(x, -200.0, 0.0), &s, &t);
    V low = vmul(vset1(SELU_LOW), vfma(s, t, vsub(s, vset1(1))));
    return lane_sign(vsel(vlt(vset1(0), x), vmul(vset1(SELU_HIGH), x), low), x);
}

/* max(x, 0) + log(1 + E), E = e^-|x|; log(1 + E) = 2 atanh(E / (2 + E)). */
VEC_OP V lane_softplus(V x)
{
    V size = vmin(vset1(200), lane_abs(x)), e = lane_exp(vsub(vset1(0), size));
    V s = vdiv(e, vadd(vset1(2), e)), v = vmul(s, s);
    V q = vset1(0x1.f17af332d24bep-4);
    q = vfma(q, v, vset1(0x1.b6e4ebe3ec5f5p-4));
    q = vfma(q, v, vset1(0x1.2508c4f9ae4cbp-3));
    q = vfma(q, v, vset1(0x1.9996aef197f04p-3));
    q = vfma(q, v, vset1(0x1.5555584cf35cfp-2));
    V half = vfma(vmul(s, v), q, s);
    return vadd(vmax(vset1(0), x), vadd(half, half));
}

/* x / (1 + e^-x). */
VEC_OP V lane_silu(V x)
{
    V e = lane_exp(vsub(vset1(0), lane_clamp(x, -200.0, 200.0)));
    return vdiv(vmax(vset1(-200), x), vadd(vset1(1), e));
}

/* x n / (n + 2), n = e (e + 2), e = e^x. */
VEC_OP V lane_mish(V x)
{
    V e = lane_exp(lane_clamp(x, -200.0, 40.0)), n = vfma(e, e, vadd(e, e));
    return vdiv(vmul(vmax(vset1(-200), x), n), vadd(n, vset1(2)));
}

/* Slope of mish: (n d + 4 x e (1 + e)) / d^2, d = n + 2. */
VEC_OP V lane_mish_slope(V x)
{
    V u = lane_clamp(x, -200.0, 40.0), e = lane_exp(u);
    V n = vfma(e, e, vadd(e, e)), d = vadd(n, vset1(2));
    V rise = vmul(vmul(vmul(vset1(4), u), e), vadd(vset1(1), e));
    return vdiv(vfma(n, d, rise), vmul(d, d));
}

/* e^(-u^2/2) and Q = erfc(u / sqrt 2) / 2, the normal distribution beyond u = |x|, 0 <= u <= 14.7. */
VEC_OP void lane_normal(V u, V *e, V *q)
{
    V a = vdiv(vset1(1), vadd(u, vset1(2.75))), t = vfnma(vset1(5.5), a, vset1(1));
    V p = vset1(0x1.1a44721efba6cp-21);
    p = vfma(p, t, vset1(0x1.c5f8262b6b64fp-16));
    p = vfma(p, t, vset1(0x1.48d3445d0ebcp-14));
    p = vfma(p, t, vset1(-0x1.854e804746533p-15));
    p = vfma(p, t, vset1(-0x1.06bd606e863b8p-11));
    p = vfma(p, t, vset1(-0x1.3873e3e6598a6p-12));
    p = vfma(p, t, vset1(0x1.4aac9256ffab1p-9));
    p = vfma(p, t, vset1(0x1.a4c875c560f91p-9));
    p = vfma(p, t, vset1(-0x1.0d7d16600e1bdp-6));
    p = vfma(p, t, vset1(-0x1.0f6aa85948297p-6));
    p = vfma(p, t, vset1(0x1.756bccfda4bd6p-3));
    p = vfma(p, t, vset1(-0x1.e5bd1692e3cedp-2));
    p = vfma(p, t, vset1(0x1.701ef01c3a538p-1));
    *e = lane_exp(vmul(vmul(u, u), vset1(-0.5)));
    *q = vmul(*e, vmul(p, a));
}

/* x Phi(x) = x - x Q for x >= 0, x Q below. */
VEC_OP V lane_gelu(V x)
{
    V size = lane_abs(x), u = vmin(vset1(14.7), size), e, q;
    lane_normal(u, &e, &q);
    V low = vmul(u, q);
    return lane_sign(vsel(vlt(x, vset1(0)), low, vsub(size, low)), x);
}

/* Phi(x) + x phi(x): w = Q - u phi(u) for x < 0, 1 - w above. */
VEC_OP V lane_gelu_slope(V x)
{
    V u = vmin(vset1(14.7), lane_abs(x)), e, q;
    lane_normal(u, &e, &q);
    V w = vfnma(vmul(u, vset1(INVERSE_ROOT_2PI)), e, q);
    return vsel(vlt(x, vset1(0)), w, vsub(vset1(1), w));
}

/* (-1)^k sin(r) of r = x - (k + shift) pi, k an integer, |r| <= pi/2: sin x for shift 0, and -cos x
 * for shift 1/2, x >= 0.  Right up to 1e4; beyond it loses digits, but stays within [-1, 1]. */
VEC_OP V lane_sin_shifted(V x, double shift)
{
    V z = vadd(vfma(x, vset1(INVERSE_PI), vset1(-shift)), vset1(MAGIC));
    V k = vadd(vsub(z, vset1(MAGIC)), vset1(shift));
    V r = vfnma(k, vset1(PI_2), vfnma(k, vset1(PI_1), x));
    r = lane_clamp(r, -0x1.921fb54442d18p+0, 0x1.921fb54442d18p+0);
    V v = vmul(r, r), q = vset1(-0x1.9a678278e026fp-26);
    q = vfma(q, v, vset1(0x1.717074d37df47p-19));
    q = vfma(q, v, vset1(-0x1.a017d94a54f74p-13));
    q = vfma(q, v, vset1(0x1.11110c4901bap-7));
    q = vfma(q, v, vset1(-0x1.5555554765bfcp-3));
    r = vfma(vmul(r, v), q, r);
    return vfrom_bits(vixor(vbits(r), vishl(vbits(z), 63)));
}

VEC_OP V lane_sine(V x)
{
    V y = lane_sin_shifted(lane_abs(x), 0.0);
    return vfrom_bits(vixor(vbits(y), viand(vbits(x), viset1(SIGN_BITS))));
}

VEC_OP V lane_cosine(V x) { return vsub(vset1(0), lane_sin_shifted(lane_abs(x), 0.5)); }
