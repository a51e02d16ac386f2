/* The kernels for AVX2 and FMA; empty where the compiler was not told that instruction set. */
#if defined(__AVX2__) && defined(__FMA__)
#define CBP_VEC_AVX2
#define CBP_TABLE(type) cbp_kernels_avx2_##type
#include "kernels.h"
#else
typedef int cbp_no_avx2;
#endif
