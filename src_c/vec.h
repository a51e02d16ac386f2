/* The vocabulary: one vector type and about forty one-line operations per element type, which every
 * kernel body is written in, so that one source gives the same bits on every instruction set.
 *
 * A variant file (kernels_*.c) defines CBP_VEC_AVX512, CBP_VEC_AVX2 or neither before this header.
 * The words of type T carry the prefix f32_ or f64_; kernels.h gives the bodies short names:
 *
 *   v  vector of F32_LANES floats / F64_LANES doubles      m  mask, one truth value a lane
 *   i  the same lanes as signed integers of T's size
 *   load store          unaligned                  loadn storen  the first n lanes only, others +0
 *   first(n)            mask of the first n lanes, 0 <= n <= lanes
 *   set1 add sub mul div sqrt                      each correctly rounded
 *   fma(a,b,c)          a*b + c, one rounding where VEC_HAS_FMA (everywhere but SSE2)
 *   fnma(a,b,c)         c - a*b, one rounding where VEC_HAS_FMA
 *   lt eq               false where a NaN is involved
 *   sel(m,a,b)          m ? a : b per lane
 *   max(a,b) min(a,b)   a > b ? a : b, a < b ? a : b: b where a NaN is involved
 *   mand count          masks: and, number of true lanes
 *   bits from_bits iset1 iadd isub iand ior ixor ishl ishr(logical)
 *   imul32(a,b)         f64_ only: products of the lanes' lower 32 bits, unsigned
 *   widen(a,upper) narrow(a,b)                     f32: the lower or upper half as doubles, and back
 *   swap(a,b,h,second)  one step of a transposition, h a power of two below LANES
 *   tree_add tree_max   lanes combined +LANES/2, ..., +2, +1 (numerics.md, rule 7)
 *
 * Everything is static: objects of different instruction sets must share no symbol. */
#ifndef CBP_VEC_H
#define CBP_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VEC_OP static inline __attribute__((always_inline, unused))

#if defined(CBP_VEC_AVX512)
#include "vec_avx512.h"
#elif defined(CBP_VEC_AVX2)
#include "vec_avx2.h"
#else
#include "vec_portable.h"
#endif

#endif
