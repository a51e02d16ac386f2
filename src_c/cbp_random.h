/* Random numbers of cbp: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2,
 * 3", SC 2011).  Counter-based: what a call returns depends on its arguments alone.
 *
 * key = seed; counter = (block number, stream, purpose).  Uses integer arithmetic and single IEEE
 * double operations without FMA, so the numbers are the same on every CPU. */
#ifndef CBP_RANDOM_H
#define CBP_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum cbp_purpose { CBP_INITIALISATION = 1, CBP_SHUFFLE = 2, CBP_DROPOUT = 3, CBP_SPLIT = 4 };

/* out[j] uniform on [0, 1), multiples of 2^-53. */
void cbp_uniform(double *out, ptrdiff_t n, uint64_t seed, uint32_t purpose, uint32_t stream);
/* out[j] standard normal, by inversion of a uniform number (Wichura, Applied Statistics 37, 1988,
 * algorithm AS 241: relative accuracy about 1e-16). */
void cbp_normal(double *out, ptrdiff_t n, uint64_t seed, uint32_t purpose, uint32_t stream);

#endif
