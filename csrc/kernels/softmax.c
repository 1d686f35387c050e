/* Softmax and its logarithm over the columns of each row, x (rows, cols), and their gradients.
 *
 * Precision: exponentials in real_t, their sums in acc_t every SUM_BLOCK vectors. The gradients recompute the softmax
 * from x, one exponential an element. A row is swept three times, of which the second and third find it in cache.
 */
#include "rows.h"

#include <math.h>

void FNN_NAME(softmax_forward)(const real_t *x, real_t *y, size_t cols, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const real_t *xi = x + i * cols;
        real_t *yi = y + i * cols;
        real_t scale = R(1 / row_exp(xi, row_max(xi, cols), yi, cols));
        FOR_VECTORS(j, n, 0, cols, { vec_put(yi + j, vec_get(yi + j, n, 0) * scale, n); })
    }
}

/* dx = y (dy - sum(dy y)), y = e / sum(e). */
void FNN_NAME(softmax_backward)(const real_t *x, const real_t *dy, real_t *dx, size_t cols, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const real_t *xi = x + i * cols, *dyi = dy + i * cols;
        real_t *dxi = dx + i * cols;
        acc_t inverse = 1 / row_exp(xi, row_max(xi, cols), dxi, cols);
        real_t mean = R(row_dot(dxi, dyi, cols) * inverse), scale = R(inverse);
        FOR_VECTORS(j, n, 0, cols, {
            vec_t y = vec_get(dxi + j, n, 0) * scale;
            vec_put(dxi + j, y * (vec_get(dyi + j, n, 0) - mean), n);
        })
    }
}

void FNN_NAME(log_softmax_forward)(const real_t *x, real_t *y, size_t cols, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const real_t *xi = x + i * cols;
        real_t *yi = y + i * cols;
        real_t max = row_max(xi, cols), log_sum = R(log(row_exp(xi, max, yi, cols)));
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
        acc_t sum = row_exp(xi, row_max(xi, cols), dxi, cols);
        real_t scale = R(row_dot(dyi, NULL, cols) / sum);
        FOR_VECTORS(j, n, 0, cols,
                    { vec_put(dxi + j, vec_get(dyi + j, n, 0) - vec_get(dxi + j, n, 0) * scale, n); })
    }
}
