/* The rate of independent fused multiply-adds, the ceiling of every matrix product.
 *
 * Twenty-four chains of vector registers hide the latency of the FMA units; nothing touches
 * memory.  Built at run time by bench.py for the instruction set that cbp runs on, with
 * -DREAL=float|double -DBYTES=<bytes of a vector>.
 */
typedef REAL vector __attribute__((vector_size(BYTES)));

enum { CHAINS = BYTES == 64 ? 24 : 12, LANES = BYTES / sizeof(REAL) };

/* Runs `rounds` rounds and returns the floating-point operations of one; *sink keeps the work. */
double fma_peak(long rounds, REAL *sink)
{
    vector acc[CHAINS], a = {0}, b = {0};
    for (int lane = 0; lane < (int)LANES; ++lane) {
        a[lane] = (REAL)0.999;
        b[lane] = (REAL)0.001;
    }
    for (int c = 0; c < CHAINS; ++c)
        acc[c] = a + (REAL)c;
    for (long r = 0; r < rounds; ++r) {
#pragma GCC unroll 24
        for (int c = 0; c < CHAINS; ++c)
            acc[c] = acc[c] * a + b; /* contracted: -ffp-contract=fast */
    }
    vector sum = acc[0];
    for (int c = 1; c < CHAINS; ++c)
        sum += acc[c];
    *sink = sum[0];
    return 2.0 * CHAINS * LANES;
}
