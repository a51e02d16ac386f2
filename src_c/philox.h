/* Philox 4x32-10 streams and the permutations made of them: see cbp_random.h and numerics.md, 14.
 *
 * Static, in the vocabulary of vec.h: whoever includes this compiles it for its own instruction set.
 * A block's four words stand in 64-bit lanes whose upper halves are garbage until the end: the
 * multiplication reads lower halves only.  A number costs 0.9 ns with AVX-512, 1.4 with AVX2, 2.6 with
 * SSE2; plain loops in SSE2 took 7.4, a third of a 4-16-3 step. */
#ifndef CBP_PHILOX_H
#define CBP_PHILOX_H

#include "cbp_random.h"
#include "vec.h"

enum {
    PHILOX_BLOCKS = 32,            /* computed at a time */
    PHILOX_GROUP = 2 * F64_LANES,  /* side by side: one alone waits for its ten multiplications */
};

typedef struct philox {
    uint64_t seed;
    uint32_t number, purpose;           /* the counter's upper words */
    uint64_t next;                      /* number of the first block that is not computed yet */
    uint64_t words[2][PHILOX_BLOCKS];   /* the first, the second number of each block */
    int used;
} philox;

static inline void philox_open(philox *s, uint64_t seed, uint32_t purpose, uint32_t number)
{
    s->seed = seed;
    s->number = number;
    s->purpose = purpose;
    s->next = 0;
    s->used = 2 * PHILOX_BLOCKS;
}

/* Ten rounds on the counters (next + j, number, purpose), j < PHILOX_BLOCKS. */
static void philox_refill(philox *s)
{
    static const int64_t lanes[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const f64_i low = f64_iset1(0xFFFFFFFF), each = f64_bits(f64_load((const double *)lanes));
    const f64_i m0 = f64_iset1(0xD2511F53), m1 = f64_iset1(0xCD9E8D57);
    for (int j = 0; j < PHILOX_BLOCKS; j += PHILOX_GROUP) {
        f64_i c0[2], c1[2], c2[2], c3[2];
        uint32_t k0 = (uint32_t)s->seed, k1 = (uint32_t)(s->seed >> 32);
        for (int q = 0; q < 2; q++) {
            uint64_t first = s->next + (uint64_t)(j + q * F64_LANES);
            c0[q] = f64_iadd(f64_iset1((int64_t)first), each);
            c1[q] = f64_ishr(c0[q], 32);
            c2[q] = f64_iset1(s->number);
            c3[q] = f64_iset1(s->purpose);
        }
        for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
            for (int q = 0; q < 2; q++) {
                f64_i p0 = f64_imul32(c0[q], m0), p1 = f64_imul32(c2[q], m1);
                c0[q] = f64_ixor(f64_ixor(f64_ishr(p1, 32), c1[q]), f64_iset1(k0));
                c2[q] = f64_ixor(f64_ixor(f64_ishr(p0, 32), c3[q]), f64_iset1(k1));
                c1[q] = p1;
                c3[q] = p0;
            }
        for (int q = 0; q < 2; q++) {
            f64_i a = f64_ior(f64_ishl(c1[q], 32), f64_iand(c0[q], low));
            f64_i b = f64_ior(f64_ishl(c3[q], 32), f64_iand(c2[q], low));
            f64_store((double *)&s->words[0][j + q * F64_LANES], f64_from_bits(a));
            f64_store((double *)&s->words[1][j + q * F64_LANES], f64_from_bits(b));
        }
    }
    s->next += PHILOX_BLOCKS;
    s->used = 0;
}

static inline uint64_t philox_next(philox *s)
{
    if (s->used == 2 * PHILOX_BLOCKS)
        philox_refill(s);
    int at = s->used++;
    return s->words[at & 1][at >> 1];
}

#endif
