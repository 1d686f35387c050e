/* Maximum, exponentials and sums over one row of `cols` elements, for the kernels of the softmax family.
 *
 * Precision: SUM_BLOCK vectors are summed in real_t, then in acc_t.
 * Rows of up to NARROW columns, which would leave most lanes idle, go LANES rows at a time through a transposed copy;
 * what a row gives does not depend on the rows beside it.
 */
#ifndef FNN_ROWS_H
#define FNN_ROWS_H

#include "kernel.h"
#include "vecmath.h"

#include <math.h>

/* FOR_VECTORS with four running results, number `s` being next, so that an operation does not wait for the one before
 * it; the last vectors of a row go into the first. */
#define FOR_FOUR_VECTORS(i, n, s, begin, end, ...)                                                                     \
    {                                                                                                                  \
        size_t i4_ = (begin);                                                                                          \
        for (; i4_ + 4 * LANES <= (end); i4_ += 4 * LANES)                                                             \
            _Pragma("GCC unroll 4") for (size_t s = 0; s < 4; s++)                                                     \
            {                                                                                                          \
                const size_t i = i4_ + s * LANES, n = LANES;                                                           \
                __VA_ARGS__                                                                                            \
            }                                                                                                          \
        const size_t s = 0;                                                                                            \
        FOR_VECTORS(i, n, i4_, end, __VA_ARGS__)                                                                       \
    }

/* Run the body on blocks of SUM_BLOCK vectors: elements [j0, j1) of `cols`. */
#define FOR_SUM_BLOCKS(j0, j1, cols, ...)                                                                              \
    for (size_t j0 = 0; j0 < (cols); j0 += SUM_BLOCK * LANES) {                                                        \
        const size_t j1 = (cols) - j0 < SUM_BLOCK * LANES ? (cols) : j0 + SUM_BLOCK * LANES;                           \
        __VA_ARGS__                                                                                                    \
    }

/* The largest element of a row; where one is NaN the result is any, and the sum of exponentials tells. */
INLINE real_t row_max(const real_t *x, size_t cols)
{
    vec_t m[4] = {VEC(-INFINITY), VEC(-INFINITY), VEC(-INFINITY), VEC(-INFINITY)};
    FOR_FOUR_VECTORS(j, n, s, 0, cols, { m[s] = vec_max(m[s], vec_get(x + j, n, -INFINITY)); })
    return vec_max_lanes(vec_max(vec_max(m[0], m[1]), vec_max(m[2], m[3])));
}

INLINE acc_t sum_of_four(const vec_t s[4]) { return vec_sum((s[0] + s[1]) + (s[2] + s[3])); }

/* sum(exp(x - max)), and in the same sweep *weighted = sum(exp(x - max) dy) or, with `plain`, sum(dy). e gets the
 * exponentials; e or weighted may be NULL. Meanwhile the next row is fetched, which the processor does not foresee
 * where a page begins; that the last row has none does no harm. */
INLINE acc_t row_exp(const real_t *x, real_t max, real_t *e, size_t cols, const real_t *dy, int plain, acc_t *weighted)
{
    acc_t sum = 0, other = 0;
    FOR_SUM_BLOCKS(j0, j1, cols, {
        vec_t s = {0}, w = {0};
        FOR_VECTORS(j, n, j0, j1, {
            __builtin_prefetch(x + j + cols);
            vec_t v = vec_exp_negative(vec_get(x + j, n, max) - max); /* 1 beyond the row: exp(-inf) costs 150 cycles */
            if (e)
                vec_put(e + j, v, n);
            s += vec_first(v, n);
            if (weighted)
                w += plain ? vec_get(dy + j, n, 0) : v * vec_get(dy + j, n, 0);
        })
        sum += vec_sum(s);
        other += vec_sum(w);
    })
    if (weighted)
        *weighted = other;
    return sum;
}

/* sum(a b), or sum(a) where b is NULL. */
INLINE acc_t row_dot(const real_t *a, const real_t *b, size_t cols)
{
    acc_t sum = 0;
    FOR_SUM_BLOCKS(j0, j1, cols, {
        vec_t t[4] = {{0}, {0}, {0}, {0}};
        if (b)
            FOR_FOUR_VECTORS(j, n, s, j0, j1, { t[s] += vec_get(a + j, n, 0) * vec_get(b + j, n, 0); })
        else
            FOR_FOUR_VECTORS(j, n, s, j0, j1, { t[s] += vec_get(a + j, n, 0); })
        sum += sum_of_four(t);
    })
    return sum;
}

enum { NARROW = 16 }; /* AVX-512, f32: 12 ns a row of 10 columns against 20; from 24 columns on both ways are level */

/* Run the body on blocks of `rows` <= LANES rows of a narrow array: `i` is the first. */
#define FOR_ROW_BLOCKS(i, rows, begin, end, ...)                                                                       \
    for (size_t i = (begin); i < (end); i += LANES) {                                                                  \
        const size_t rows = (end) - i < LANES ? (end) - i : LANES;                                                     \
        __VA_ARGS__                                                                                                    \
    }

/* Lane l of vector j of t is element (l, j) of x (rows, cols), lanes beyond the rows are 0; and back. */
INLINE void narrow_get(const real_t *x, size_t rows, size_t cols, real_t *t)
{
    if (rows < LANES)
        memset(t, 0, cols * LANES * sizeof *t);
    for (size_t l = 0; l < rows; l++)
        for (size_t j = 0; j < cols; j++)
            t[j * LANES + l] = x[l * cols + j];
}

INLINE void narrow_put(const real_t *t, size_t rows, size_t cols, real_t *y)
{
    for (size_t l = 0; l < rows; l++)
        for (size_t j = 0; j < cols; j++)
            y[l * cols + j] = t[j * LANES + l];
}

/* e = exp(t - max) of each row, e may be t; returns the sums of the rows. */
INLINE vec_t narrow_exp(const real_t *t, size_t cols, vec_t *max, real_t *e)
{
    vec_t m = VEC(-INFINITY), sum = {0};
    for (size_t j = 0; j < cols; j++)
        m = vec_max(m, vec_load(t + j * LANES));
    for (size_t j = 0; j < cols; j++) {
        vec_t v = vec_exp_negative(vec_load(t + j * LANES) - m);
        vec_store(e + j * LANES, v);
        sum += v;
    }
    *max = m;
    return sum;
}

#endif
