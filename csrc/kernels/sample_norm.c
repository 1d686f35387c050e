/* Normalisation of rows, and of groups of channels of each sample: layer norm, RMS norm, group norm (ops.def).
 *
 * Precision: mean and variance by two passes, sums over SUM_BLOCK vectors in real_t, then in acc_t. A row is swept
 * three times, of which the second and third find it in cache. The gradients of w and b are summed over blocks of
 * samples, whose number does not depend on that of the threads.
 *
 * Results of LARGE bytes and more go past the caches, which could not hold them: the processor need not read first what
 * is written over (a row from memory to memory takes 40 % less).
 */
#include "columns.h"
#include "rows.h"

enum { SAMPLES = 4 }; /* that share the loads and stores of the sums of a block */
enum { LARGE = 1 << 24 };

/* Whether rows at y, so many in all, go past the caches. */
INLINE int goes_past(const real_t *y, size_t rows, size_t cols)
{
#ifdef FNN_X86
    return rows * cols >= LARGE / sizeof *y && (uintptr_t)y % FNN_VBYTES == 0 && cols % LANES == 0;
#else
    return (void)y, (void)rows, (void)cols, 0;
#endif
}

/* A store of n <= LANES elements; all of them past the caches. */
INLINE void put(real_t *p, vec_t v, size_t n, int past)
{
#ifdef FNN_X86
    if (past) {
        X86(stream)(p, v);
        return;
    }
#endif
    (void)past;
    vec_put(p, v, n);
}

/* What went past the caches is there for all threads. */
INLINE void settle(int past)
{
#ifdef FNN_X86
    if (past)
        _mm_sfence();
#endif
    (void)past;
}

struct row {
    real_t mean, inverse; /* of the standard deviation, or of the root of the mean square */
};

INLINE struct row find_row(const real_t *x, size_t cols, int centred, double eps)
{
    const real_t mean = centred ? R(row_dot(x, NULL, cols) / (acc_t)cols) : 0;
    acc_t squares = 0;
    FOR_SUM_BLOCKS(j0, j1, cols, {
        vec_t t[4] = {{0}, {0}, {0}, {0}};
        FOR_FOUR_VECTORS(j, n, s, j0, j1, {
            const vec_t centre = vec_get(x + j, n, mean) - mean;
            t[s] += centre * centre;
        })
        squares += sum_of_four(t);
    })
    return (struct row){mean, R(1 / __builtin_sqrt(squares / (acc_t)cols + eps))};
}

/* y = (x - mean) inverse w + b, w and b as long as the row. Meanwhile the next row is fetched. */
INLINE void normalise_row(const real_t *x, const real_t *w, const real_t *b, real_t *y, size_t cols, struct row row,
                          int past)
{
    FOR_VECTORS(j, n, 0, cols, {
        __builtin_prefetch(x + j + cols);
        const vec_t normal = (vec_get(x + j, n, 0) - row.mean) * row.inverse;
        put(y + j, normal * column_vec(w, j, n, 1) + column_vec(b, j, n, 0), n, past);
    })
}

void FNN_NAME(sample_norm_forward)(const real_t *x, const real_t *w, const real_t *b, real_t *y, size_t groups,
                                   size_t cols, size_t length, int centred, double eps, size_t begin, size_t end)
{
    const size_t channels = cols / length;
    const int past = length == 1 && goes_past(y, end - begin, cols);
    for (size_t i = begin; i < end; i++) {
        const real_t *xi = x + i * cols, *wi = w ? w + i % groups * channels : NULL;
        const real_t *bi = b ? b + i % groups * channels : NULL;
        const struct row row = find_row(xi, cols, centred, eps);
        if (length == 1) {
            if (past)
                normalise_row(xi, wi, bi, y + i * cols, cols, row, 1);
            else
                normalise_row(xi, wi, bi, y + i * cols, cols, row, 0);
            continue;
        }
        for (size_t c = 0; c < channels; c++) {
            const real_t factor = row.inverse * (wi ? wi[c] : 1), shift = bi ? bi[c] : 0;
            FOR_VECTORS(j, n, c * length, (c + 1) * length, {
                vec_put(y + i * cols + j, (vec_get(xi + j, n, 0) - row.mean) * factor + shift, n);
            })
        }
    }
    settle(past);
}

/* dx = inverse (g - mean(g) - xhat mean(g xhat)) with g = dy w, of r <= SAMPLES rows, `step` elements apart, and
 * dw += dy xhat, db += dy; db may be NULL. Without centring mean(g) is not taken off. Meanwhile the next rows are
 * fetched. */
INLINE void rows_backward(const real_t *x, const real_t *w, const real_t *dy, real_t *dx, real_t *dw, real_t *db,
                          size_t r, size_t step, size_t cols, int centred, double eps, int past)
{
    struct row row[SAMPLES];
    acc_t sum[SAMPLES] = {0}, sum_x[SAMPLES] = {0};
    for (size_t k = 0; k < r; k++)
        row[k] = find_row(x + k * step, cols, centred, eps);
    FOR_SUM_BLOCKS(j0, j1, cols, {
        vec_t g[SAMPLES] = {{0}, {0}, {0}, {0}}, g_x[SAMPLES] = {{0}, {0}, {0}, {0}};
        FOR_VECTORS(j, n, j0, j1, {
            const vec_t factor = column_vec(w, j, n, 1);
            vec_t slope = vec_get(dw + j, n, 0), level = column_vec(db, j, n, 0);
#pragma GCC unroll 4
            for (size_t k = 0; k < r; k++) {
                const vec_t normal = (vec_get(x + k * step + j, n, row[k].mean) - row[k].mean) * row[k].inverse;
                const vec_t d = vec_get(dy + k * step + j, n, 0), gradient = d * factor;
                slope += d * normal;
                level += d;
                g[k] += gradient;
                g_x[k] += gradient * normal;
            }
            vec_put(dw + j, slope, n);
            if (db)
                vec_put(db + j, level, n);
        })
        for (size_t k = 0; k < r; k++) {
            sum[k] += vec_sum(g[k]);
            sum_x[k] += vec_sum(g_x[k]);
        }
    })
    for (size_t k = 0; k < r; k++) {
        const real_t level = centred ? R(sum[k] / (acc_t)cols) : 0, slope = R(sum_x[k] / (acc_t)cols);
        const real_t *xk = x + k * step, *dyk = dy + k * step;
        FOR_VECTORS(j, n, 0, cols, {
            __builtin_prefetch(xk + j + r * step);
            __builtin_prefetch(dyk + j + r * step);
            const vec_t normal = (vec_get(xk + j, n, 0) - row[k].mean) * row[k].inverse;
            const vec_t gradient = vec_get(dyk + j, n, 0) * column_vec(w, j, n, 1);
            put(dx + k * step + j, (gradient - level - normal * slope) * row[k].inverse, n, past);
        })
    }
}

/* The same of one row of channels of `length` elements, which share an element of w, dw and db. */
static void channels_backward(const real_t *x, const real_t *w, const real_t *dy, real_t *dx, real_t *dw, real_t *db,
                              size_t cols, size_t length, int centred, double eps)
{
    const struct row row = find_row(x, cols, centred, eps);
    const size_t channels = cols / length;
    acc_t sum = 0, sum_x = 0;
    for (size_t c = 0; c < channels; c++) {
        const real_t *xc = x + c * length, *dyc = dy + c * length;
        const real_t factor = w ? w[c] : 1;
        acc_t level = 0, slope = 0;
        FOR_SUM_BLOCKS(j0, j1, length, {
            vec_t s = {0}, s_x = {0}, g = {0}, g_x = {0};
            FOR_VECTORS(j, n, j0, j1, {
                const vec_t normal = (vec_get(xc + j, n, row.mean) - row.mean) * row.inverse;
                const vec_t d = vec_get(dyc + j, n, 0), gradient = d * factor;
                s += d;
                s_x += d * normal;
                g += gradient;
                g_x += gradient * normal;
            })
            level += vec_sum(s);
            slope += vec_sum(s_x);
            sum += vec_sum(g);
            sum_x += vec_sum(g_x);
        })
        dw[c] += R(slope);
        if (db)
            db[c] += R(level);
    }
    const real_t level = centred ? R(sum / (acc_t)cols) : 0, slope = R(sum_x / (acc_t)cols);
    for (size_t c = 0; c < channels; c++) {
        const real_t factor = w ? w[c] : 1;
        FOR_VECTORS(j, n, c * length, (c + 1) * length, {
            const vec_t normal = (vec_get(x + j, n, 0) - row.mean) * row.inverse;
            vec_put(dx + j, (vec_get(dy + j, n, 0) * factor - level - normal * slope) * row.inverse, n);
        })
    }
}

void FNN_NAME(sample_norm_backward)(const real_t *x, const real_t *w, const real_t *dy, real_t *dx, real_t *dw,
                                    real_t *db, size_t samples, size_t block, size_t groups, size_t cols, size_t length,
                                    int centred, double eps, size_t begin, size_t end)
{
    const size_t channels = cols / length, step = groups * cols, all = groups * channels;
    const int past = length == 1 && goes_past(dx, (end - begin) * block * groups, cols);
    for (size_t p = begin; p < end; p++) {
        const size_t first = p * block, last = samples - first < block ? samples : first + block;
        memset(dw + p * all, 0, all * sizeof *dw);
        if (db)
            memset(db + p * all, 0, all * sizeof *db);
        FOR_STRIPS(i, r, (size_t)SAMPLES, first, last, {
            for (size_t g = 0; g < groups; g++) {
                const size_t at = i * step + g * cols, c = g * channels;
                const real_t *wg = w ? w + c : NULL;
                real_t *dwg = dw + p * all + c, *dbg = db ? db + p * all + c : NULL;
                if (length > 1)
                    for (size_t k = at; k < at + r * step; k += step)
                        channels_backward(x + k, wg, dy + k, dx + k, dwg, dbg, cols, length, centred, eps);
                else if (r == SAMPLES && past)
                    rows_backward(x + at, wg, dy + at, dx + at, dwg, dbg, SAMPLES, step, cols, centred, eps, 1);
                else if (r == SAMPLES)
                    rows_backward(x + at, wg, dy + at, dx + at, dwg, dbg, SAMPLES, step, cols, centred, eps, 0);
                else
                    for (size_t k = at; k < at + r * step; k += step)
                        rows_backward(x + k, wg, dy + k, dx + k, dwg, dbg, 1, step, cols, centred, eps, 0);
            }
        })
    }
    settle(past);
}
