/* The kernels for the baseline: SSE2 on x86-64, NEON on arm64. */
#define CBP_TABLE(type) cbp_kernels_baseline_##type
#include "kernels.h"
