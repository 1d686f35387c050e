/* Softmax and its logarithm over the columns of each row, x (rows, cols), and their gradients.
 *
 * Precision: exponentials in real_t, their sums in acc_t every SUM_BLOCK vectors. The gradients recompute the softmax
 * from x, one exponential an element, or start from a given output. A row is swept three times, of which the second and
 * third find it in cache.
 */
#include "rows.h"

#include <math.h>

void FNN_NAME(softmax_forward)(const real_t *x, real_t *y, size_t cols, size_t begin, size_t end)
{
    if (cols <= NARROW) {
        FOR_ROW_BLOCKS(i, rows, begin, end, {
            real_t t[NARROW * LANES];
            vec_t max;
            narrow_get(x + i * cols, rows, cols, t);
            vec_t scale = R(1) / narrow_exp(t, cols, &max, t);
            for (size_t j = 0; j < cols; j++)
                vec_store(t + j * LANES, vec_load(t + j * LANES) * scale);
            narrow_put(t, rows, cols, y + i * cols);
        })
        return;
    }
    for (size_t i = begin; i < end; i++) {
        const real_t *xi = x + i * cols;
        real_t *yi = y + i * cols;
        real_t scale = R(1 / row_exp(xi, row_max(xi, cols), yi, cols, NULL, 0, NULL));
        FOR_VECTORS(j, n, 0, cols, { vec_put(yi + j, vec_get(yi + j, n, 0) * scale, n); })
    }
}

/* dx = y (dy - sum(dy y)) of a row, y = e inverse, dot = sum(dy e); dx may be e. */
INLINE void softmax_gradient(const real_t *e, const real_t *dy, real_t *dx, acc_t inverse, acc_t dot, size_t cols)
{
    real_t mean = R(dot * inverse), scale = R(inverse);
    FOR_VECTORS(j, n, 0, cols, {
        vec_t y = vec_get(e + j, n, 0) * scale;
        vec_put(dx + j, y * (vec_get(dy + j, n, 0) - mean), n);
    })
}

void FNN_NAME(softmax_backward)(const real_t *x, const real_t *dy, real_t *dx, size_t cols, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const real_t *xi = x + i * cols, *dyi = dy + i * cols;
        real_t *dxi = dx + i * cols;
        acc_t dot, sum = row_exp(xi, row_max(xi, cols), dxi, cols, dyi, 0, &dot);
        softmax_gradient(dxi, dyi, dxi, 1 / sum, dot, cols);
    }
}

void FNN_NAME(softmax_backward_from_output)(const real_t *y, const real_t *dy, real_t *dx, size_t cols, size_t begin,
                                            size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const real_t *yi = y + i * cols, *dyi = dy + i * cols;
        softmax_gradient(yi, dyi, dx + i * cols, 1, row_dot(yi, dyi, cols), cols);
    }
}

void FNN_NAME(log_softmax_forward)(const real_t *x, real_t *y, size_t cols, size_t begin, size_t end)
{
    if (cols <= NARROW) {
        FOR_ROW_BLOCKS(i, rows, begin, end, {
            real_t t[NARROW * LANES], e[NARROW * LANES];
            vec_t max;
            narrow_get(x + i * cols, rows, cols, t);
            vec_t log_sum = vec_log(narrow_exp(t, cols, &max, e));
            for (size_t j = 0; j < cols; j++)
                vec_store(t + j * LANES, vec_load(t + j * LANES) - max - log_sum);
            narrow_put(t, rows, cols, y + i * cols);
        })
        return;
    }
    for (size_t i = begin; i < end; i++) {
        const real_t *xi = x + i * cols;
        real_t *yi = y + i * cols;
        real_t max = row_max(xi, cols), log_sum = R(log(row_exp(xi, max, NULL, cols, NULL, 0, NULL)));
        FOR_VECTORS(j, n, 0, cols, { vec_put(yi + j, vec_get(xi + j, n, 0) - max - log_sum, n); })
    }
}

/* dx = dy - softmax(x) sum(dy). */
void FNN_NAME(log_softmax_backward)(const real_t *x, const real_t *dy, real_t *dx, size_t cols, size_t begin,
                                    size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const real_t *xi = x + i * cols, *dyi = dy + i * cols;
        real_t *dxi = dx + i * cols;
        acc_t sum_dy, sum = row_exp(xi, row_max(xi, cols), dxi, cols, dyi, 1, &sum_dy);
        real_t scale = R(sum_dy / sum);
        FOR_VECTORS(j, n, 0, cols,
                    { vec_put(dxi + j, vec_get(dyi + j, n, 0) - vec_get(dxi + j, n, 0) * scale, n); })
    }
}

void FNN_NAME(log_softmax_backward_from_output)(const real_t *y, const real_t *dy, real_t *dx, size_t cols,
                                                size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const real_t *yi = y + i * cols, *dyi = dy + i * cols;
        real_t sum = R(row_dot(dyi, NULL, cols));
        FOR_VECTORS(j, n, 0, cols,
                    { vec_put(dx + i * cols + j, vec_get(dyi + j, n, 0) - vec_exp(vec_get(yi + j, n, 0)) * sum, n); })
    }
}
