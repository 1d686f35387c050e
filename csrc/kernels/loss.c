/* Elementwise losses, their gradients, and the sum of squares; loss.def is the index.
 *
 * Precision: each element in real_t; sums over at most 64 vectors of four lanes' worth in real_t, then in acc_t.
 * Sums are taken per chunk of FNN_SUM_CHUNK elements, so that they do not depend on the number of threads.
 */
#include "fnn.h"
#include "kernel.h"
#include "vecmath.h"

/* Four running sums, so that the additions of one chunk do not wait for each other. */
#define SUM_CHUNK(total, size, chunk, ...)                                                                             \
    {                                                                                                                  \
        size_t first = (chunk) * FNN_SUM_CHUNK;                                                                        \
        size_t last = first + FNN_SUM_CHUNK < (size) ? first + FNN_SUM_CHUNK : (size);                                 \
        vec_t sums[4] = {{0}, {0}, {0}, {0}};                                                                          \
        for (size_t i4 = first; i4 < last; i4 += 4 * LANES)                                                            \
            for (size_t s = 0; s < 4 && i4 + s * LANES < last; s++) {                                                  \
                size_t i = i4 + s * LANES, n = last - i < LANES ? last - i : LANES;                                    \
                sums[s] += __VA_ARGS__;                                                                                \
            }                                                                                                          \
        total = (vec_sum(sums[0]) + vec_sum(sums[1])) + (vec_sum(sums[2]) + vec_sum(sums[3]));                         \
    }

#define LOSS(name, value, derivative)                                                                                  \
    INLINE vec_t name##_value(const real_t *xs, const real_t *ts, size_t n, real_t a)                                  \
    {                                                                                                                  \
        vec_t x = vec_get(xs, n, 0), t = vec_get(ts, n, 0), d = x - t;                                                 \
        (void)a, (void)d;                                                                                              \
        return vec_first(value, n);                                                                                    \
    }                                                                                                                  \
    static void name##_forward(const real_t *xs, const real_t *ts, double *partial, size_t size, real_t a,             \
                               size_t begin, size_t end)                                                               \
    {                                                                                                                  \
        for (size_t c = begin; c < end; c++)                                                                           \
            SUM_CHUNK(partial[c], size, c, name##_value(xs + i, ts + i, n, a))                                         \
    }                                                                                                                  \
    static void name##_backward(const real_t *xs, const real_t *ts, real_t *dxs, real_t a, real_t scale, size_t begin, \
                                size_t end)                                                                            \
    {                                                                                                                  \
        (void)a;                                                                                                       \
        FOR_VECTORS(i, n, begin, end, {                                                                                \
            vec_t x = vec_get(xs + i, n, 0);                                                                           \
            vec_t t = vec_get(ts + i, n, 0);                                                                           \
            vec_t d = x - t;                                                                                           \
            (void)d;                                                                                                   \
            vec_put(dxs + i, scale * (derivative), n);                                                                 \
        })                                                                                                             \
    }
#include "loss.def"
#undef LOSS

void FNN_NAME(loss_forward)(int kind, const real_t *x, const real_t *t, double *partial, size_t size, double a,
                            size_t begin, size_t end)
{
    static void (*const forwards[])(const real_t *, const real_t *, double *, size_t, real_t, size_t, size_t) = {
#define LOSS(name, value, derivative) name##_forward,
#include "loss.def"
#undef LOSS
    };
    forwards[kind](x, t, partial, size, R(a), begin, end);
}

void FNN_NAME(loss_backward)(int kind, const real_t *x, const real_t *t, real_t *dx, double a, double scale,
                             size_t begin, size_t end)
{
    static void (*const backwards[])(const real_t *, const real_t *, real_t *, real_t, real_t, size_t, size_t) = {
#define LOSS(name, value, derivative) name##_backward,
#include "loss.def"
#undef LOSS
    };
    backwards[kind](x, t, dx, R(a), R(scale), begin, end);
}

void FNN_NAME(square_sum)(const real_t *x, double *partial, size_t size, size_t begin, size_t end)
{
    for (size_t c = begin; c < end; c++)
        SUM_CHUNK(partial[c], size, c, vec_get(x + i, n, 0) * vec_get(x + i, n, 0))
}
