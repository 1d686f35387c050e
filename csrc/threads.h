/* The one place where work is spread over threads: FNN_PARALLEL, on OpenMP or on the calling thread alone. */
#ifndef FNN_THREADS_H
#define FNN_THREADS_H

#include <stddef.h>
#include <stdint.h>

/* A thread is woken for at least this much work: a region on spinning threads costs 1 to 2 us, on sleeping ones 5 to
 * 10 us a hop, and beside other busy processes a multiple of it. */
enum { FNN_NS_PER_THREAD = 25000 };

/* FNN_PARALLEL runs the statements, which read `begin` and `end`, over [0, units) on as many threads as `ns`
 * nanoseconds of work are worth. A share begins at a multiple of `step`, so that the number of threads never changes a
 * result: no sum crosses units, and elements and columns, of which several share a vector or a block of vectors, are
 * grouped alike in any share. (Compilers may contract the arithmetic of a whole vector and of a last, partial one
 * differently.) */
enum { FNN_STEP_rows = 1, FNN_STEP_columns = 128, FNN_STEP_elements = 64, FNN_STEP_chunks = 1 };
#ifdef _OPENMP
/* How many threads are worth `ns` nanoseconds of work in `pieces` pieces: 1 for small work and in a forked child. */
int fnn_team_size(size_t pieces, double ns);

/* The range of units of the calling member of the team. */
void fnn_share(size_t units, size_t step, size_t *begin, size_t *end);

/* Nanoseconds of a clock, read by the caller of the team; other members get 0. */
int64_t fnn_caller_clock(void);

/* How long the caller worked on its share, and how long it then waited for the rest of the team. Shares are alike, so a
 * long wait means that the system runs something else where a member should run. Then one thread does for a while. */
void fnn_team_waited(int64_t worked, int64_t waited);

#define FNN_PARALLEL(units, step, ns, ...)                                                                             \
    do {                                                                                                               \
        int team_ = fnn_team_size((size_t)(units) / (step), ns);                                                       \
        if (team_ <= 1) {                                                                                              \
            const size_t begin = 0, end = (units);                                                                     \
            __VA_ARGS__                                                                                                \
        } else {                                                                                                       \
            int64_t started_ = fnn_caller_clock(), done_ = 0;                                                          \
            _Pragma("omp parallel num_threads(team_)")                                                                 \
            {                                                                                                          \
                size_t begin, end;                                                                                     \
                fnn_share(units, step, &begin, &end);                                                                  \
                __VA_ARGS__                                                                                            \
                int64_t now_ = fnn_caller_clock();                                                                     \
                if (now_)                                                                                              \
                    done_ = now_;                                                                                      \
            }                                                                                                          \
            fnn_team_waited(done_ - started_, fnn_caller_clock() - done_);                                             \
        }                                                                                                              \
    } while (0);
#else
#define FNN_PARALLEL(units, step, ns, ...)                                                                             \
    do {                                                                                                               \
        const size_t begin = 0, end = (units);                                                                         \
        (void)(step), (void)(ns);                                                                                      \
        __VA_ARGS__                                                                                                    \
    } while (0);
#endif

#endif
