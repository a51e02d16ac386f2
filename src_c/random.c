/* Uniform and normal numbers: see cbp_random.h. */
#include "cbp_random.h"

#include <string.h>

#include "philox.h"

void cbp_uniform(double *out, ptrdiff_t n, uint64_t seed, uint32_t purpose, uint32_t number)
{
    philox s;
    philox_open(&s, seed, purpose, number);
    for (ptrdiff_t j = 0; j < n; j++)
        out[j] = (double)(philox_next(&s) >> 11) * 0x1p-53;
}

/* log(x) for 0 < x < 1 normal: x = m 2^k, log m = 2 atanh((m - 1)/(m + 1)) by its series; |s| is
 * below 0.172, so that the first term left out is below 2^-60. */
static double log_unit(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int k = (int)(bits >> 52) - 1022;
    bits = (bits & 0x000FFFFFFFFFFFFFu) | 0x3FE0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m); /* in [1/2, 1) */
    if (m < 0.70710678118654752) {
        m = m + m;
        k--;
    }
    double s = (m - 1.0) / (m + 1.0), z = s * s, sum = 0.0;
    for (int j = 23; j >= 1; j -= 2)
        sum = sum * z + 1.0 / j;
    return (double)k * 0.69314718055994531 + (s + s) * sum;
}

static double ratio(const double *p, const double *q, double r)
{
    double a = p[7], b = q[7];
    for (int j = 6; j >= 0; j--) {
        a = a * r + p[j];
        b = b * r + q[j];
    }
    return a / b;
}

static double root(double x);

/* The normal quantile function, AS 241 (PPND16). */
static double normal_quantile(double u)
{
    static const double near_p[8] = {
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
        1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
        3.3430575583588128105e4, 2.5090809287301226727e3};
    static const double near_q[8] = {
        1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
        2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
        5.2264952788528545610e3};
    static const double middle_p[8] = {
        1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
        3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
        2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double middle_q[8] = {
        1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
        1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
        1.05075007164441684324e-9};
    static const double far_p[8] = {
        6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
        2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
        2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double far_q[8] = {
        1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
        7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
        2.04426310338993978564e-15};
    double q = u - 0.5;
    if (q >= -0.425 && q <= 0.425)
        return q * ratio(near_p, near_q, 0.180625 - q * q);
    double r = root(-log_unit(q < 0.0 ? u : 1.0 - u));
    double x = r <= 5.0 ? ratio(middle_p, middle_q, r - 1.6) : ratio(far_p, far_q, r - 5.0);
    return q < 0.0 ? -x : x;
}

/* Correctly rounded square root as one instruction, so that libm has no say. */
#if defined(__SSE2__)
#include <emmintrin.h>
static double root(double x)
{
    __m128d v = _mm_set_sd(x);
    return _mm_cvtsd_f64(_mm_sqrt_sd(v, v));
}
#else
static double root(double x)
{
    double y;
    __asm__("fsqrt %d0, %d1" : "=w"(y) : "w"(x));
    return y;
}
#endif

void cbp_normal(double *out, ptrdiff_t n, uint64_t seed, uint32_t purpose, uint32_t number)
{
    philox s;
    philox_open(&s, seed, purpose, number);
    for (ptrdiff_t j = 0; j < n; j++) /* the middles of 2^52 equal cells: never 0 or 1 */
        out[j] = normal_quantile(((double)(philox_next(&s) >> 12) + 0.5) * 0x1p-52);
}
