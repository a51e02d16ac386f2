/* A random order of 0 .. n - 1: Fisher-Yates with bounded integers by Lemire's method (ACM TOMACS 29,
 * 2019), which rejects what would bias them. */

static void FN(permutation)(ptrdiff_t *out, ptrdiff_t n, uint64_t seed, uint32_t purpose,
                            uint32_t number)
{
    philox s;
    philox_open(&s, seed, purpose, number);
    for (ptrdiff_t j = 0; j < n; j++)
        out[j] = j;
    for (ptrdiff_t j = n - 1; j > 0; j--) {
        uint64_t range = (uint64_t)j + 1;
        unsigned __int128 product = (unsigned __int128)philox_next(&s) * range;
        if ((uint64_t)product < range) {
            uint64_t floor = -range % range;
            while ((uint64_t)product < floor)
                product = (unsigned __int128)philox_next(&s) * range;
        }
        ptrdiff_t other = (ptrdiff_t)(product >> 64), held = out[j];
        out[j] = out[other];
        out[other] = held;
    }
}
