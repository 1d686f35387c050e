/* The one place where work is spread over threads: FNN_PARALLEL, on OpenMP or on the calling thread alone. */
#ifndef FNN_THREADS_H
#define FNN_THREADS_H

#include <stddef.h>

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
/* How many threads are worth `ns` nanoseconds of work in `units` pieces: 1 for small work and in a forked child. */
int fnn_team_size(size_t units, double ns);

/* The range of units of the calling member of the team. */
void fnn_share(size_t units, size_t step, size_t *begin, size_t *end);

#define FNN_PARALLEL(units, step, ns, ...)                                                                             \
    do {                                                                                                               \
        int team_ = fnn_team_size(units, ns);                                                                          \
        if (team_ <= 1) {                                                                                              \
            const size_t begin = 0, end = (units);                                                                     \
            __VA_ARGS__                                                                                                \
        } else {                                                                                                       \
            _Pragma("omp parallel num_threads(team_)")                                                                 \
            {                                                                                                          \
                size_t begin, end;                                                                                     \
                fnn_share(units, step, &begin, &end);                                                                  \
                __VA_ARGS__                                                                                            \
            }                                                                                                          \
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
