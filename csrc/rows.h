/* Maximum, exponentials and sums over one row of `cols` elements, for the kernels of the softmax family.
 *
 * Precision: SUM_BLOCK vectors are summed in real_t, then in acc_t.
 */
#ifndef FNN_ROWS_H
#define FNN_ROWS_H

#include "kernel.h"
#include "vecmath.h"

#include <math.h>

/* The largest element of a row; where one is NaN the result is any, and the sum of exponentials tells. */
INLINE real_t row_max(const real_t *x, size_t cols)
{
    vec_t m = VEC(-INFINITY);
    FOR_VECTORS(j, n, 0, cols, { m = vec_max(m, vec_get(x + j, n, -INFINITY)); })
    return vec_max_lanes(m);
}

/* sum(exp(x - max)); e gets the exponentials unless it is NULL. */
INLINE acc_t row_exp(const real_t *x, real_t max, real_t *e, size_t cols)
{
    acc_t sum = 0;
    for (size_t j0 = 0; j0 < cols; j0 += SUM_BLOCK * LANES) {
        size_t j1 = cols - j0 < SUM_BLOCK * LANES ? cols : j0 + SUM_BLOCK * LANES;
        vec_t s = {0};
        FOR_VECTORS(j, n, j0, j1, {
            vec_t v = vec_exp(vec_get(x + j, n, -INFINITY) - max);
            if (e)
                vec_put(e + j, v, n);
            s += v; /* lanes beyond the row hold exp(-inf) = 0 */
        })
        sum += vec_sum(s);
    }
    return sum;
}

/* sum(a b), or sum(a) where b is NULL. */
INLINE acc_t row_dot(const real_t *a, const real_t *b, size_t cols)
{
    acc_t sum = 0;
    for (size_t j0 = 0; j0 < cols; j0 += SUM_BLOCK * LANES) {
        size_t j1 = cols - j0 < SUM_BLOCK * LANES ? cols : j0 + SUM_BLOCK * LANES;
        vec_t s = {0};
        if (b)
            FOR_VECTORS(j, n, j0, j1, { s += vec_get(a + j, n, 0) * vec_get(b + j, n, 0); })
        else
            FOR_VECTORS(j, n, j0, j1, { s += vec_get(a + j, n, 0); })
        sum += vec_sum(s);
    }
    return sum;
}

#endif
