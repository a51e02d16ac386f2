/* What the threads of one team need from C: OpenMP (or its absence), shares of tasks, a clock.
 *
 * The team is an OpenMP parallel region; the tasks are handed out here, because a team keeps each
 * thread on the share of weights that its own cache holds and steals only when a share has run dry
 * (a stolen core then delays a step by one task, not by its whole share). */
#ifndef CBP_TEAM_H
#define CBP_TEAM_H

#include <stddef.h>
#include <time.h>

#ifdef _OPENMP
#include <omp.h>
static inline int cbp_max_threads(void) { return omp_get_max_threads(); }
static inline int cbp_team_size(void) { return omp_get_num_threads(); }
static inline int cbp_in_parallel(void) { return omp_in_parallel(); }
/* Since Cython 3.1 prange ends without a barrier, so the barrier is said by hand: 0.2-0.4 us. */
static inline void cbp_barrier(void)
{
    _Pragma("omp barrier");
}
#define CBP_OPENMP 1
#else
static inline int cbp_max_threads(void) { return 1; }
static inline int cbp_team_size(void) { return 1; }
static inline int cbp_in_parallel(void) { return 0; }
static inline void cbp_barrier(void) { }
#define CBP_OPENMP 0
#endif

/* The tasks of one phase that one thread begins with; a cache line each. */
typedef struct cbp_share {
    ptrdiff_t next, end;
    char pad[64 - 2 * sizeof(ptrdiff_t)];
} cbp_share;

/* Tasks 0 .. n-1 in even, contiguous shares.  One thread calls it, while nobody takes. */
static inline void cbp_deal(cbp_share *shares, int threads, ptrdiff_t n)
{
    for (int t = 0; t < threads; t++) {
        __atomic_store_n(&shares[t].next, n * t / threads, __ATOMIC_RELAXED);
        shares[t].end = n * (t + 1) / threads;
    }
}

/* The next task of thread `me`, from its own share first, or -1 when none is left. */
static inline ptrdiff_t cbp_take(cbp_share *shares, int threads, int me)
{
    if (threads == 1)
        return shares[0].next < shares[0].end ? shares[0].next++ : -1;
    for (int t = 0; t < threads; t++) {
        cbp_share *s = &shares[me + t < threads ? me + t : me + t - threads];
        if (__atomic_load_n(&s->next, __ATOMIC_RELAXED) < s->end) {
            ptrdiff_t task = __atomic_fetch_add(&s->next, 1, __ATOMIC_RELAXED);
            if (task < s->end)
                return task;
        }
    }
    return -1;
}

/* A flag that one thread raises and the others look at. */
static inline void cbp_raise(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_RELEASE); }
static inline int cbp_raised(const int *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }

static inline double cbp_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
