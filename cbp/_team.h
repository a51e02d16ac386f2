/* What the threads of one team need from C: OpenMP (or its absence), phases of tasks, a clock.
 *
 * The team is an OpenMP parallel region; what it does is a row of phases, each of so many tasks.
 * There are no barriers.  A phase ends when its last task is finished, whoever finished it, and
 * that thread opens the next.  A thread that has lost its core between two tasks is therefore
 * not waited for.  With two busy programs beside it on two cores, 784-128-10 at batch 32 took 0.8 of
 * the one-thread time with two threads; with OpenMP's barriers it had taken 58 times as long.
 *
 * Each thread begins with a share of its own, which keeps its part of the weights in its cache, and
 * helps out in the others' when that is done. */
#ifndef CBP_TEAM_H
#define CBP_TEAM_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef _OPENMP
#include <omp.h>
static inline int cbp_max_threads(void) { return omp_get_max_threads(); }
static inline int cbp_team_size(void) { return omp_get_num_threads(); }
#define CBP_OPENMP 1
#else
static inline int cbp_max_threads(void) { return 1; }
static inline int cbp_team_size(void) { return 1; }
#define CBP_OPENMP 0
#endif

/* The tasks of the open phase that one thread begins with; a cache line each. */
typedef struct cbp_share {
    uint64_t word; /* the phase's number, then the next task's: 32 bits each */
    uint64_t end;
    char pad[48];
} cbp_share;

typedef struct cbp_crew {
    cbp_share *shares; /* one for each thread */
    int threads;
    uint32_t phase;    /* number of the open phase; 0 when all is done */
    uint32_t last;
    ptrdiff_t left;    /* tasks of the open phase that are not finished */
} cbp_crew;

static inline void cbp_assemble(cbp_crew *crew, cbp_share *shares, int threads)
{
    crew->shares = shares;
    crew->threads = threads;
    crew->phase = crew->last = 0;
    crew->left = 0;
    for (int t = 0; t < threads; t++)
        shares[t].word = shares[t].end = 0;
}

/* Opens a phase of `tasks` > 0 tasks.  Called by one thread while no task is out. */
static inline void cbp_open(cbp_crew *crew, ptrdiff_t tasks)
{
    uint32_t phase = crew->last + 1 ? crew->last + 1 : 1;
    crew->last = phase;
    __atomic_store_n(&crew->left, tasks, __ATOMIC_RELAXED);
    if (crew->threads == 1) {
        crew->shares->word = 0;
        crew->shares->end = (uint64_t)tasks;
        crew->phase = phase;
        return;
    }
    for (int t = 0; t < crew->threads; t++) {
        cbp_share *s = &crew->shares[t];
        uint64_t first = (uint64_t)(tasks * t / crew->threads);
        /* Who still looks at the phase before sees either its own word and end, or a word of no
         * phase: it can take no task of another phase for one of its own. */
        __atomic_store_n(&s->word, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&s->end, (uint64_t)(tasks * (t + 1) / crew->threads), __ATOMIC_RELEASE);
        __atomic_store_n(&s->word, (uint64_t)phase << 32 | first, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&crew->phase, phase, __ATOMIC_RELEASE);
}

static inline void cbp_close(cbp_crew *crew) { __atomic_store_n(&crew->phase, 0, __ATOMIC_RELEASE); }

static inline uint32_t cbp_phase(const cbp_crew *crew)
{
    return __atomic_load_n(&crew->phase, __ATOMIC_ACQUIRE);
}

/* The next task of the phase for thread `me`, from its own share first; -1 when none is left. */
static inline ptrdiff_t cbp_take(cbp_crew *crew, uint32_t phase, int me)
{
    if (crew->threads == 1)
        return (uint32_t)crew->shares->word < crew->shares->end
            ? (ptrdiff_t)(uint32_t)crew->shares->word++ : -1;
    for (int t = 0; t < crew->threads; t++) {
        cbp_share *s = &crew->shares[me + t < crew->threads ? me + t : me + t - crew->threads];
        uint64_t word = __atomic_load_n(&s->word, __ATOMIC_ACQUIRE);
        while (word >> 32 == phase
               && (word & UINT32_MAX) < __atomic_load_n(&s->end, __ATOMIC_ACQUIRE))
            if (__atomic_compare_exchange_n(&s->word, &word, word + 1, 0, __ATOMIC_ACQ_REL,
                                            __ATOMIC_ACQUIRE))
                return (ptrdiff_t)(word & UINT32_MAX);
    }
    return -1;
}

/* A task is finished.  1 for the last one of the phase: that thread opens the next or closes. */
static inline int cbp_finish(cbp_crew *crew)
{
    if (crew->threads == 1)
        return --crew->left == 0;
    return __atomic_sub_fetch(&crew->left, 1, __ATOMIC_ACQ_REL) == 0;
}

/* Waits a moment for another phase; *patience counts the moments.  A few microseconds of spinning
 * bridge the usual gap; after that whoever needs the core may have it.  1 if the wait is long. */
static inline int cbp_wait(const cbp_crew *crew, uint32_t phase, int *patience)
{
    for (int spin = 0; spin < 64; spin++) {
        if (cbp_phase(crew) != phase)
            return 0;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb");
#endif
    }
    if (++*patience <= 10)
        return 0;
    sched_yield();
    return 1;
}

/* Leaves the core to others for a fifth of a millisecond. */
static inline void cbp_rest(void)
{
    struct timespec pause = {0, 200000};
    nanosleep(&pause, NULL);
}

/* A flag that one thread raises and the others look at. */
static inline void cbp_raise(int *flag) { __atomic_store_n(flag, 1, __ATOMIC_RELEASE); }
static inline int cbp_raised(const int *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }

/* What one thread writes while another may look, and nothing depends on which it sees. */
static inline void cbp_set(int *where, int value) { __atomic_store_n(where, value, __ATOMIC_RELAXED); }
static inline int cbp_get(const int *where) { return __atomic_load_n(where, __ATOMIC_RELAXED); }

static inline double cbp_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
