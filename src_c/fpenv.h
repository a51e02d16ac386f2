/* The floating-point environment that the kernels need (round to nearest, denormals kept, no traps),
 * set per thread at entry and put back at exit.  Static inline: it is one or two instructions. */
#ifndef CBP_FPENV_H
#define CBP_FPENV_H

#include <stdint.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
static inline uint64_t cbp_fpenv_enter(void)
{
    unsigned before = _mm_getcsr();
    _mm_setcsr(0x1F80);
    return before;
}
static inline void cbp_fpenv_leave(uint64_t before) { _mm_setcsr((unsigned)before); }
#elif defined(__aarch64__)
static inline uint64_t cbp_fpenv_enter(void)
{
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return before;
}
static inline void cbp_fpenv_leave(uint64_t before)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
}
#else
#error "cbp needs SSE2 or NEON"
#endif

#endif
