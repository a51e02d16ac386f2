/* The kernels for AVX-512 F, DQ, VL, BW; empty where the compiler was not told that instruction set. */
#if defined(__AVX512F__)
#define CBP_VEC_AVX512
#define CBP_TABLE(type) cbp_kernels_avx512_##type
#include "kernels.h"
#else
typedef int cbp_no_avx512;
#endif
