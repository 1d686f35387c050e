/* The one place where work is spread over threads, on OpenMP or on the calling thread alone: FNN_PARALLEL, FNN_TEAM. */
#ifndef FNN_THREADS_H
#define FNN_THREADS_H

#include "system.h"

#include <stddef.h>
#include <stdint.h>

/* A thread is woken for at least this much work: a region on spinning threads costs 1 to 2 us, on sleeping ones 5 to
 * 10 us a hop, and beside other busy processes a multiple of it. */
enum { FNN_NS_PER_THREAD = 25000 };

/* Where a share of rows, columns, elements or chunks may begin, so that the number of threads never changes a result:
 * no sum crosses units, and elements and columns, of which several share a vector or a block of vectors, are grouped
 * alike in any share. (Compilers may contract the arithmetic of whole vectors and of a last, partial one differently.)
 */
enum {
    FNN_STEP_rows = 1,
    FNN_STEP_columns = 128,
    FNN_STEP_elements = 64,
    FNN_STEP_chunks = 1,
    FNN_STEP_planes = 1,
    FNN_STEP_lines = 1,
    FNN_STEP_outputs = 1,
    FNN_STEP_channels = 1
};

/* How many threads are worth `ns` nanoseconds of work in `pieces` pieces: 1 for small work and in a forked child. */
int fnn_team_size(size_t pieces, double ns);

/* The range of units of member `me` of a team. */
void fnn_share(int me, int team, size_t units, size_t step, size_t *begin, size_t *end);

/* How long the caller worked on its share, and how long it then waited for the rest of the team, in nanoseconds. Shares
 * are alike, so a long wait means that the system runs something else where a member should run. Then one thread does
 * for a while. */
void fnn_team_waited(int64_t worked, int64_t waited);

/* What a thread does between two looks at what it waits for. */
static inline void fnn_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Has the calling thread compute with 0 in place of numbers below the smallest normal one, which cost a hundred cycles
 * each; returns what fnn_unflush takes to be as before. Where gradients die away, the products of an optimiser are full
 * of such numbers: an epoch of Adam on 64-100-10 took 3.3 ms instead of 0.8. */
static inline unsigned long fnn_flush(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    const unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040); /* flush to zero, denormals are zero */
    return before;
#elif defined(__aarch64__)
    unsigned long before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | 1ul << 24));
    return before;
#else
    return 0;
#endif
}

static inline void fnn_unflush(unsigned long before)
{
#if defined(__x86_64__) || defined(_M_X64)
    __builtin_ia32_ldmxcsr((unsigned)before);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
    (void)before;
#endif
}

/* FNN_TEAM runs the statements, which read `me` and `team`, on each member of a team of `wanted` threads, or of fewer
 * where no more can be had. */
#ifdef _OPENMP
#include <omp.h>
#define FNN_TEAM(wanted, ...)                                                                                          \
    do {                                                                                                               \
        const int asked_ = (wanted);                                                                                   \
        if (asked_ <= 1) {                                                                                             \
            const int me = 0, team = 1;                                                                                \
            __VA_ARGS__                                                                                                \
        } else {                                                                                                       \
            _Pragma("omp parallel num_threads(asked_)")                                                               \
            {                                                                                                          \
                const int me = omp_get_thread_num(), team = omp_get_num_threads();                                     \
                __VA_ARGS__                                                                                            \
            }                                                                                                          \
        }                                                                                                              \
    } while (0);
#else
#define FNN_TEAM(wanted, ...)                                                                                          \
    do {                                                                                                               \
        const int me = 0, team = 1;                                                                                    \
        (void)(wanted), (void)me, (void)team;                                                                          \
        __VA_ARGS__                                                                                                    \
    } while (0);
#endif

/* FNN_PARALLEL runs the statements, which read `begin` and `end`, over [0, units) on as many threads as `ns`
 * nanoseconds of work are worth. */
#define FNN_PARALLEL(units, step, ns, ...)                                                                             \
    do {                                                                                                               \
        const int wanted_ = fnn_team_size((size_t)(units) / (step), ns);                                               \
        int64_t started_ = wanted_ > 1 ? fnn_clock() : 0, done_ = 0;                                                   \
        FNN_TEAM(wanted_, {                                                                                            \
            size_t begin, end;                                                                                         \
            fnn_share(me, team, units, step, &begin, &end);                                                            \
            __VA_ARGS__                                                                                                \
            if (me == 0 && wanted_ > 1)                                                                                \
                done_ = fnn_clock();                                                                                   \
        })                                                                                                             \
        if (wanted_ > 1)                                                                                               \
            fnn_team_waited(done_ - started_, fnn_clock() - done_);                                                    \
    } while (0);

#endif
