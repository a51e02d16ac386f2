/* Which table runs here.  The only file that asks the CPU; __builtin_cpu_supports also asks whether
 * the operating system saves the wide registers. */
#include <string.h>

#include "cbp_kernels.h"

extern const cbp_kernels cbp_kernels_baseline_f32, cbp_kernels_baseline_f64;
#if defined(__x86_64__)
extern const cbp_kernels cbp_kernels_avx2_f32, cbp_kernels_avx2_f64;
extern const cbp_kernels cbp_kernels_avx512_f32, cbp_kernels_avx512_f64;
#endif

static const cbp_isa isas[] = {
#if defined(__x86_64__)
    {"avx512", &cbp_kernels_avx512_f32, &cbp_kernels_avx512_f64},
    {"avx2", &cbp_kernels_avx2_f32, &cbp_kernels_avx2_f64},
#endif
    {"baseline", &cbp_kernels_baseline_f32, &cbp_kernels_baseline_f64},
};

static int runs_here(const char *name)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (strcmp(name, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("fma");
    if (strcmp(name, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return strcmp(name, "baseline") == 0;
}

const cbp_isa *cbp_find_isa(const char *name)
{
    for (size_t j = 0; j < sizeof isas / sizeof *isas; j++)
        if ((name == NULL || strcmp(name, isas[j].name) == 0) && runs_here(isas[j].name))
            return &isas[j];
    return NULL;
}
