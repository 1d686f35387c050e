/* Batch normalisation of the columns of x (rows, cols).
 *
 * Precision: a variance is the sum over strips of STRIP rows of the squares around the mean of the strip, and of what
 * the means differ by (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
 * variances", 1979): as accurate as two passes, in one. columns.h says how memory is read.
 */
#include "columns.h"
#include "vecmath.h"

/* Of the rows seen so far of a group of columns: sum(x - pivot), sum((x - mean)^2), sum(dy), sum(dy (x - mean)), with
 * the mean of the same rows. The pivot is the median of three rows where that is FAR_FROM_0 beside their spread: the
 * means of strips themselves would be rounded too coarsely. Elsewhere it is 0, and nothing is rounded before it is
 * summed. */
enum { FAR_FROM_0 = 8 };
struct moments {
    real_t pivot[GROUP];
    acc_t sum[GROUP], squares[GROUP], dy[GROUP], dy_x[GROUP];
};
struct block_moments {
    real_t sum[GROUP], squares[GROUP], dy[GROUP], dy_x[GROUP];
};

/* Take r more rows of a vector into the moments of a block, of which `before` rows are in them; dy may be NULL. */
INLINE void add_strip(const real_t *x, const real_t *dy, size_t cols, size_t r, size_t n, size_t before, vec_t pivot,
                      struct block_moments *b, size_t l)
{
    vec_t sum = {0}, squares = {0}, sum_dy = {0}, dy_x = {0};
#pragma GCC unroll 8
    for (size_t k = 0; k < r; k++)
        sum += vec_get(x + k * cols, n, 0) - pivot;
    const vec_t mean = sum * (1 / R(r));
#pragma GCC unroll 8
    for (size_t k = 0; k < r; k++) {
        const vec_t centred = vec_get(x + k * cols, n, 0) - pivot - mean;
        squares += centred * centred;
        if (dy) {
            const vec_t d = vec_get(dy + k * cols, n, 0);
            sum_dy += d;
            dy_x += d * centred;
        }
    }
    if (before) { /* and what the means differ by */
        const real_t share = R(r) / R(before + r);
        const vec_t delta = mean - vec_load(b->sum + l) * (1 / R(before));
        squares += delta * (delta * (share * R(before)));
        if (dy)
            dy_x += delta * ((1 - share) * sum_dy - share * vec_load(b->dy + l));
    }
    add_vec(b->sum + l, sum);
    add_vec(b->squares + l, squares);
    if (dy) {
        add_vec(b->dy + l, sum_dy);
        add_vec(b->dy_x + l, dy_x);
    }
}

/* The moments of `count` columns; x and dy point at the first of them. */
INLINE void find_moments(const real_t *x, const real_t *dy, size_t rows, size_t cols, size_t count, struct moments *m)
{
    FOR_VECTORS(l, n, 0, count, {
        const real_t *middle = x + rows / 2 * cols, *last = x + (rows - 1) * cols;
        const vec_t u = vec_get(x + l, n, 0), v = vec_get(middle + l, n, 0), w = vec_get(last + l, n, 0);
        const vec_t low = vec_min(u, v), high = vec_max(u, v), median = vec_max(low, vec_min(high, w));
        const vec_t spread = vec_max(high, w) - vec_min(low, w);
        vec_store(m->pivot + l, vec_select(vec_abs(median) > FAR_FROM_0 * spread, median, VEC(0)));
    })
    FOR_BLOCKS(i0, i1, rows, {
        struct block_moments b;
        clear(b.sum, count);
        clear(b.squares, count);
        if (dy) {
            clear(b.dy, count);
            clear(b.dy_x, count);
        }
        FOR_STRIPS(i, r, STRIP, i0, i1, {
            FOR_VECTORS(l, n, 0, count, {
                const real_t *xs = x + i * cols + l, *dys = dy ? dy + i * cols + l : NULL;
                const vec_t pivot = vec_load(m->pivot + l);
                if (r == STRIP)
                    add_strip(xs, dys, cols, STRIP, n, i - i0, pivot, &b, l);
                else
                    add_strip(xs, dys, cols, r, n, i - i0, pivot, &b, l);
            })
        })
        const acc_t share = (acc_t)(i1 - i0) / (acc_t)i1, weight = share * (acc_t)i0;
        for (size_t l = 0; l < count && i0 == 0; l++) {
            m->sum[l] = b.sum[l];
            m->squares[l] = b.squares[l];
            if (dy) {
                m->dy[l] = b.dy[l];
                m->dy_x[l] = b.dy_x[l];
            }
        }
        for (size_t l = 0; l < count && i0 > 0; l++) {
            const acc_t delta = b.sum[l] / (acc_t)(i1 - i0) - m->sum[l] / (acc_t)i0;
            m->sum[l] += b.sum[l];
            m->squares[l] += b.squares[l] + delta * (delta * weight);
            if (dy) {
                m->dy_x[l] += b.dy_x[l] + delta * ((1 - share) * b.dy[l] - share * m->dy[l]);
                m->dy[l] += b.dy[l];
            }
        }
    })
}

/* y = (x - mean) scale + b of `count` columns; b may be NULL. */
INLINE void normalise(const real_t *x, const real_t *mean, const real_t *scale, const real_t *b, real_t *y, size_t rows,
                      size_t cols, size_t count)
{
    FOR_STRIPS(i, r, strip_height(count), 0, rows, {
        FOR_PIECES(width, l, n, count, {
            vec_t centre[width], factor[width], shift[width];
            FOR_WIDTH(v, width)
            {
                centre[v] = vec_get(mean + l + v * LANES, n, 0);
                factor[v] = vec_get(scale + l + v * LANES, n, 0);
                shift[v] = column_vec(b, l + v * LANES, n, 0);
            }
            for (size_t k = i; k < i + r; k++)
                FOR_WIDTH(v, width)
                {
                    const size_t at = k * cols + l + v * LANES;
                    vec_put(y + at, (vec_get(x + at, n, 0) - centre[v]) * factor[v] + shift[v], n);
                }
        })
    })
}

void FNN_NAME(batch_norm_forward)(const real_t *x, const real_t *w, const real_t *b, real_t *y, real_t *mean,
                                  real_t *var, size_t rows, size_t cols, double eps, size_t begin, size_t end)
{
    FOR_GROUPS(j, count, begin, end, {
        struct moments m;
        real_t centre[GROUP], scale[GROUP];
        find_moments(x + j, NULL, rows, cols, count, &m);
        for (size_t l = 0; l < count; l++) {
            const acc_t variance = m.squares[l] / (acc_t)rows;
            mean[j + l] = centre[l] = R(m.pivot[l] + m.sum[l] / (acc_t)rows);
            var[j + l] = R(variance);
            scale[l] = R(1 / __builtin_sqrt(variance + eps)) * (w ? w[j + l] : 1);
        }
        normalise(x + j, centre, scale, b ? b + j : NULL, y + j, rows, cols, count);
    })
}

/* dx = w inv_std (dy - mean(dy) - xhat mean(dy xhat)), xhat = (x - mean) inv_std. */
void FNN_NAME(batch_norm_backward)(const real_t *x, const real_t *w, const real_t *dy, real_t *dx, real_t *dw,
                                   real_t *db, size_t rows, size_t cols, double eps, size_t begin, size_t end)
{
    FOR_GROUPS(j, count, begin, end, {
        struct moments m;
        real_t centre[GROUP], scale[GROUP], slope[GROUP], mean_dy[GROUP];
        find_moments(x + j, dy + j, rows, cols, count, &m);
        for (size_t l = 0; l < count; l++) {
            const acc_t inverse = 1 / __builtin_sqrt(m.squares[l] / (acc_t)rows + eps);
            const acc_t mean = m.pivot[l] + m.sum[l] / (acc_t)rows;
            acc_t dy_xhat = m.dy_x[l] * inverse;
            if (!__builtin_isfinite(dy_xhat)) { /* an infinite dy times the differences of means may have given NaN */
                dy_xhat = 0;
                for (size_t at = j + l; at < rows * cols; at += cols)
                    dy_xhat += dy[at] * ((x[at] - mean) * inverse);
            }
            db[j + l] = R(m.dy[l]);
            dw[j + l] = R(dy_xhat);
            centre[l] = R(mean);
            scale[l] = R(inverse) * (w ? w[j + l] : 1);
            slope[l] = R(inverse * dy_xhat / (acc_t)rows);
            mean_dy[l] = R(m.dy[l] / (acc_t)rows);
        }
        FOR_STRIPS(i, r, strip_height(count), 0, rows, {
            FOR_PIECES(width, l, n, count, {
                vec_t c[width], f[width], s[width], d[width];
                FOR_WIDTH(v, width)
                {
                    c[v] = vec_get(centre + l + v * LANES, n, 0);
                    f[v] = vec_get(scale + l + v * LANES, n, 0);
                    s[v] = vec_get(slope + l + v * LANES, n, 0);
                    d[v] = vec_get(mean_dy + l + v * LANES, n, 0);
                }
                for (size_t k = i; k < i + r; k++)
                    FOR_WIDTH(v, width)
                    {
                        const size_t at = k * cols + j + l + v * LANES;
                        const vec_t centred = vec_get(x + at, n, 0) - c[v];
                        vec_put(dx + at, f[v] * (vec_get(dy + at, n, 0) - d[v] - centred * s[v]), n);
                    }
            })
        })
    })
}

/* 1 / sqrt(var + eps) of given variances, and its product with w, which may be NULL. */
INLINE void given_scales(const real_t *var, const real_t *w, double eps, real_t *inv, real_t *scale, size_t count)
{
    for (size_t l = 0; l < count; l++) {
        inv[l] = R(1 / __builtin_sqrt((acc_t)var[l] + eps));
        scale[l] = inv[l] * (w ? w[l] : 1);
    }
}

void FNN_NAME(batch_norm_inference)(const real_t *x, const real_t *mean, const real_t *var, const real_t *w,
                                    const real_t *b, real_t *y, size_t rows, size_t cols, double eps, size_t begin,
                                    size_t end)
{
    FOR_GROUPS(j, count, begin, end, {
        real_t centre[GROUP], inv[GROUP], scale[GROUP];
        memcpy(centre, mean + j, count * sizeof *mean);
        given_scales(var + j, w ? w + j : NULL, eps, inv, scale, count);
        normalise(x + j, centre, scale, b ? b + j : NULL, y + j, rows, cols, count);
    })
}

void FNN_NAME(batch_norm_inference_backward)(const real_t *x, const real_t *mean, const real_t *var, const real_t *w,
                                             const real_t *dy, real_t *dx, real_t *dw, real_t *db, size_t rows,
                                             size_t cols, double eps, size_t begin, size_t end)
{
    FOR_GROUPS(j, count, begin, end, {
        real_t centre[GROUP], inv[GROUP], scale[GROUP];
        memcpy(centre, mean + j, count * sizeof *mean);
        given_scales(var + j, w ? w + j : NULL, eps, inv, scale, count);
        scale_gradients(x, centre, inv, scale, dy, dx, dw, db, rows, cols, j, count);
    })
}
