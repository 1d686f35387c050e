/* The one place where work is spread over threads: FNN_PARALLEL, on OpenMP or on the calling thread alone. */
#ifndef FNN_THREADS_H
#define FNN_THREADS_H

#include <stddef.h>

/* FNN_PARALLEL runs the statements, which read `begin` and `end`, over [0, units) on as many threads as `ns` nanoseconds
 * of work are worth. Ranges never change a result: every unit is computed by the same arithmetic wherever its range
 * begins, and no sum crosses units. */
#ifdef _OPENMP
/* How many threads are worth `ns` nanoseconds of work in `units` pieces: 1 for small work and in a forked child. */
int fnn_team_size(size_t units, double ns);

/* The range of units of the calling member of the team. */
void fnn_share(size_t units, size_t *begin, size_t *end);

#define FNN_PARALLEL(units, ns, ...)                                                                                   \
    do {                                                                                                               \
        int team_ = fnn_team_size(units, ns);                                                                          \
        if (team_ <= 1) {                                                                                              \
            const size_t begin = 0, end = (units);                                                                     \
            __VA_ARGS__                                                                                                \
        } else {                                                                                                       \
            _Pragma("omp parallel num_threads(team_)")                                                                 \
            {                                                                                                          \
                size_t begin, end;                                                                                     \
                fnn_share(units, &begin, &end);                                                                        \
                __VA_ARGS__                                                                                            \
            }                                                                                                          \
        }                                                                                                              \
    } while (0);
#else
#define FNN_PARALLEL(units, ns, ...)                                                                                   \
    do {                                                                                                               \
        const size_t begin = 0, end = (units);                                                                         \
        (void)(ns);                                                                                                    \
        __VA_ARGS__                                                                                                    \
    } while (0);
#endif

#endif
