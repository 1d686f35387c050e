/* What works down the columns of x (rows, cols), one column a channel: sums, scale and shift, batch normalisation.
 *
 * Precision: SUM_BLOCK rows are summed in real_t, then in acc_t; variances by two passes, the mean rounded to real_t
 * first. A block of columns is swept as often as its operation needs while it is in cache: eight vectors wide, so that
 * a row of it is several cache lines and several additions are under way, and one vector wide at the end.
 */
#include "kernel.h"
#include "vecmath.h"

enum { WIDE = 8 }; /* shares of FNN_STEP_columns are whole blocks */

/* Run BODY on column blocks: `j` is the first column, `width` the vectors of the block (a constant), `n` the lanes of
 * each. */
#define FOR_COLUMN_BLOCKS(begin, end, ...)                                                                             \
    {                                                                                                                  \
        size_t j = (begin);                                                                                            \
        for (; j + WIDE * LANES <= (end); j += WIDE * LANES) {                                                         \
            enum { width = WIDE };                                                                                     \
            const size_t n = LANES;                                                                                    \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
        for (; j < (end); j += LANES) {                                                                                \
            enum { width = 1 };                                                                                        \
            const size_t n = (end) - j < LANES ? (end) - j : LANES;                                                    \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

/* total[v * LANES + lane] = sum over rows of TERM, an expression of the row `i` and the vector `v` of the block. */
#define SUM_ROWS(total, rows, ...)                                                                                     \
    {                                                                                                                  \
        memset(total, 0, sizeof(acc_t) * width * LANES);                                                               \
        for (size_t i0 = 0; i0 < (rows); i0 += SUM_BLOCK) {                                                            \
            size_t i1 = (rows) - i0 < SUM_BLOCK ? (rows) : i0 + SUM_BLOCK;                                             \
            vec_t s[width] = {{0}};                                                                                    \
            for (size_t i = i0; i < i1; i++)                                                                           \
                for (size_t v = 0; v < width; v++)                                                                     \
                    s[v] += __VA_ARGS__;                                                                               \
            for (size_t l = 0; l < width * LANES; l++)                                                                 \
                total[l] += s[l / LANES][l % LANES];                                                                   \
        }                                                                                                              \
    }

/* Two sums in one sweep, which also runs the statement ALSO on each vector. */
#define SUM_ROWS_TWICE(total, other, rows, TERM, OTHER_TERM, ALSO)                                                     \
    {                                                                                                                  \
        memset(total, 0, sizeof(acc_t) * width * LANES);                                                               \
        memset(other, 0, sizeof(acc_t) * width * LANES);                                                               \
        for (size_t i0 = 0; i0 < (rows); i0 += SUM_BLOCK) {                                                            \
            size_t i1 = (rows) - i0 < SUM_BLOCK ? (rows) : i0 + SUM_BLOCK;                                             \
            vec_t s[width] = {{0}}, t[width] = {{0}};                                                                  \
            for (size_t i = i0; i < i1; i++)                                                                           \
                for (size_t v = 0; v < width; v++) {                                                                   \
                    s[v] += TERM;                                                                                      \
                    t[v] += OTHER_TERM;                                                                                \
                    ALSO;                                                                                              \
                }                                                                                                      \
            for (size_t l = 0; l < width * LANES; l++) {                                                               \
                total[l] += s[l / LANES][l % LANES];                                                                   \
                other[l] += t[l / LANES][l % LANES];                                                                   \
            }                                                                                                          \
        }                                                                                                              \
    }

/* Vector v of row i of a (rows, cols) array within the current block. */
#define AT(array, i, v) ((array) + (i) * cols + j + (v) * LANES)

/* A vector of the (cols,) array within the current block, or `absent` where the array is NULL. */
INLINE vec_t column_vec(const real_t *array, size_t j, size_t n, real_t absent)
{
    return array ? vec_get(array + j, n, 0) : vec_set(absent);
}

INLINE void put_totals(real_t *array, size_t j, const acc_t *total, acc_t factor, size_t count)
{
    for (size_t l = 0; l < count; l++)
        array[j + l] = R(total[l] * factor);
}

void FNN_NAME(column_sums)(const real_t *x, real_t *sums, size_t rows, size_t cols, size_t begin, size_t end)
{
    FOR_COLUMN_BLOCKS(begin, end, {
        acc_t total[width * LANES];
        SUM_ROWS(total, rows, vec_get(AT(x, i, v), n, 0))
        for (size_t l = 0; l < (width - 1) * LANES + n; l++)
            sums[j + l] = R(sums[j + l] + total[l]);
    })
}

void FNN_NAME(channel_scale_forward)(const real_t *x, const real_t *w, const real_t *b, real_t *y, size_t cols,
                                     size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        FOR_VECTORS(j, n, 0, cols, {
            vec_t scaled = vec_get(x + i * cols + j, n, 0) * column_vec(w, j, n, 1);
            vec_put(y + i * cols + j, scaled + column_vec(b, j, n, 0), n);
        })
}

void FNN_NAME(channel_scale_backward)(const real_t *x, const real_t *w, const real_t *dy, real_t *dx, real_t *dw,
                                      real_t *db, size_t rows, size_t cols, size_t begin, size_t end)
{
    FOR_COLUMN_BLOCKS(begin, end, {
        acc_t sum_dy[width * LANES], sum_dy_x[width * LANES];
        vec_t scale[width];
        for (size_t v = 0; v < width; v++)
            scale[v] = column_vec(w, j + v * LANES, n, 1);
        SUM_ROWS_TWICE(sum_dy, sum_dy_x, rows, vec_get(AT(dy, i, v), n, 0),
                       vec_get(AT(dy, i, v), n, 0) * vec_get(AT(x, i, v), n, 0),
                       vec_put(AT(dx, i, v), vec_get(AT(dy, i, v), n, 0) * scale[v], n))
        put_totals(db, j, sum_dy, 1, (width - 1) * LANES + n);
        put_totals(dw, j, sum_dy_x, 1, (width - 1) * LANES + n);
    })
}

/* 1 / sqrt(var + eps) of a block's vector; var in acc_t where it was just computed, which costs nothing here. */
INLINE vec_t inverse_std(const acc_t *var, double eps, size_t v)
{
    real_t lanes[LANES];
    for (size_t l = 0; l < LANES; l++)
        lanes[l] = R(1 / __builtin_sqrt(var[v * LANES + l] + eps));
    return vec_load(lanes);
}

/* Mean (real_t) and biased variance (acc_t) of the columns of a block. */
#define MOMENTS(x, mean, var)                                                                                          \
    {                                                                                                                  \
        SUM_ROWS(var, rows, vec_get(AT(x, i, v), n, 0))                                                                \
        put_totals(mean, 0, var, 1 / (acc_t)rows, width * LANES);                                                      \
        vec_t m[width];                                                                                                \
        for (size_t v = 0; v < width; v++)                                                                             \
            m[v] = vec_load(mean + v * LANES);                                                                         \
        SUM_ROWS(var, rows, (vec_get(AT(x, i, v), n, 0) - m[v]) * (vec_get(AT(x, i, v), n, 0) - m[v]))                 \
        for (size_t l = 0; l < width * LANES; l++)                                                                     \
            var[l] /= (acc_t)rows;                                                                                     \
    }

void FNN_NAME(batch_norm_forward)(const real_t *x, const real_t *w, const real_t *b, real_t *y, real_t *mean,
                                  real_t *var, size_t rows, size_t cols, double eps, size_t begin, size_t end)
{
    FOR_COLUMN_BLOCKS(begin, end, {
        real_t block_mean[width * LANES];
        acc_t block_var[width * LANES];
        vec_t scale[width];
        MOMENTS(x, block_mean, block_var)
        for (size_t v = 0; v < width; v++)
            scale[v] = inverse_std(block_var, eps, v) * column_vec(w, j + v * LANES, n, 1);
        for (size_t i = 0; i < rows; i++)
            for (size_t v = 0; v < width; v++) {
                vec_t centred = vec_get(AT(x, i, v), n, 0) - vec_load(block_mean + v * LANES);
                vec_put(AT(y, i, v), centred * scale[v] + column_vec(b, j + v * LANES, n, 0), n);
            }
        memcpy(mean + j, block_mean, ((width - 1) * LANES + n) * sizeof(real_t));
        put_totals(var, j, block_var, 1, (width - 1) * LANES + n);
    })
}

/* dx = w inv_std (dy - mean(dy) - xhat mean(dy xhat)), xhat = (x - mean) inv_std. */
void FNN_NAME(batch_norm_backward)(const real_t *x, const real_t *w, const real_t *dy, real_t *dx, real_t *dw,
                                   real_t *db, size_t rows, size_t cols, double eps, size_t begin, size_t end)
{
    FOR_COLUMN_BLOCKS(begin, end, {
        real_t block_mean[width * LANES];
        acc_t total[width * LANES], other[width * LANES];
        vec_t inv[width], mean[width], mean_dy[width], mean_dy_xhat[width];
        real_t lanes[width * LANES];
        MOMENTS(x, block_mean, total)
        for (size_t v = 0; v < width; v++) {
            inv[v] = inverse_std(total, eps, v);
            mean[v] = vec_load(block_mean + v * LANES);
        }
        SUM_ROWS_TWICE(total, other, rows, vec_get(AT(dy, i, v), n, 0),
                       vec_get(AT(dy, i, v), n, 0) * ((vec_get(AT(x, i, v), n, 0) - mean[v]) * inv[v]), (void)0)
        put_totals(db, j, total, 1, (width - 1) * LANES + n);
        put_totals(dw, j, other, 1, (width - 1) * LANES + n);
        put_totals(lanes, 0, total, 1 / (acc_t)rows, width * LANES);
        for (size_t v = 0; v < width; v++)
            mean_dy[v] = vec_load(lanes + v * LANES);
        put_totals(lanes, 0, other, 1 / (acc_t)rows, width * LANES);
        for (size_t v = 0; v < width; v++)
            mean_dy_xhat[v] = vec_load(lanes + v * LANES);
        for (size_t i = 0; i < rows; i++)
            for (size_t v = 0; v < width; v++) {
                vec_t xhat = (vec_get(AT(x, i, v), n, 0) - mean[v]) * inv[v];
                vec_t change = vec_get(AT(dy, i, v), n, 0) - mean_dy[v] - xhat * mean_dy_xhat[v];
                vec_put(AT(dx, i, v), inv[v] * column_vec(w, j + v * LANES, n, 1) * change, n);
            }
    })
}

/* 1 / sqrt(var + eps) of n given variances. */
INLINE vec_t given_inverse_std(const real_t *var, double eps, size_t n)
{
    acc_t wide[LANES] = {0};
    for (size_t l = 0; l < n; l++)
        wide[l] = var[l];
    return inverse_std(wide, eps, 0);
}

void FNN_NAME(batch_norm_inference)(const real_t *x, const real_t *mean, const real_t *var, const real_t *w,
                                    const real_t *b, real_t *y, size_t rows, size_t cols, double eps, size_t begin,
                                    size_t end)
{
    FOR_COLUMN_BLOCKS(begin, end, {
        vec_t scale[width];
        for (size_t v = 0; v < width; v++)
            scale[v] = given_inverse_std(var + j + v * LANES, eps, n) * column_vec(w, j + v * LANES, n, 1);
        for (size_t i = 0; i < rows; i++)
            for (size_t v = 0; v < width; v++) {
                vec_t centred = vec_get(AT(x, i, v), n, 0) - vec_get(mean + j + v * LANES, n, 0);
                vec_put(AT(y, i, v), centred * scale[v] + column_vec(b, j + v * LANES, n, 0), n);
            }
    })
}

void FNN_NAME(batch_norm_inference_backward)(const real_t *x, const real_t *mean, const real_t *var, const real_t *w,
                                             const real_t *dy, real_t *dx, real_t *dw, real_t *db, size_t rows,
                                             size_t cols, double eps, size_t begin, size_t end)
{
    FOR_COLUMN_BLOCKS(begin, end, {
        acc_t total[width * LANES], other[width * LANES];
        vec_t inv[width], m[width], scale[width];
        for (size_t v = 0; v < width; v++) {
            inv[v] = given_inverse_std(var + j + v * LANES, eps, n);
            m[v] = vec_get(mean + j + v * LANES, n, 0);
            scale[v] = inv[v] * column_vec(w, j + v * LANES, n, 1);
        }
        SUM_ROWS_TWICE(total, other, rows, vec_get(AT(dy, i, v), n, 0),
                       vec_get(AT(dy, i, v), n, 0) * ((vec_get(AT(x, i, v), n, 0) - m[v]) * inv[v]),
                       vec_put(AT(dx, i, v), vec_get(AT(dy, i, v), n, 0) * scale[v], n))
        put_totals(db, j, total, 1, (width - 1) * LANES + n);
        put_totals(dw, j, other, 1, (width - 1) * LANES + n);
    })
}
