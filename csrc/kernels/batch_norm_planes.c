/* Batch normalisation of channels that are planes, in lanes or not (struct fnn_planes of window.h); units: channels.
 *
 * Precision: mean and variance by two passes, sums over SUM_BLOCK vectors in real_t, then in acc_t.
 */
#include "kernel.h"
#include "window.h"

/* Runs the body over the vectors of a channel: element `at` of the arrays, `n` lanes of them, of which `open` takes those
 * that have a row; `part` ends after SUM_BLOCK vectors. */
#define FOR_PLANES(p, c, at, n, open, part, ...)                                                                       \
    for (size_t plane_ = 0; plane_ < (p)->count; plane_++) {                                                           \
        const size_t first_ = plane_ * (p)->step + (c) * (p)->channel, last_ = first_ + (p)->size;                     \
        const mask_t open = (p)->tail && plane_ + 1 == (p)->count ? some((p)->tail) : ~(mask_t){0};                    \
        (void)open;                                                                                                    \
        for (size_t block_ = first_; block_ < last_; block_ += SUM_BLOCK * LANES) {                                    \
            const size_t end_ = last_ - block_ < SUM_BLOCK * LANES ? last_ : block_ + SUM_BLOCK * LANES;               \
            FOR_VECTORS(at, n, block_, end_, __VA_ARGS__)                                                              \
            part;                                                                                                      \
        }                                                                                                              \
    }

static mask_t some(size_t count)
{
    int_t lanes[LANES] = {0};
    mask_t open;
    for (size_t l = 0; l < count; l++)
        lanes[l] = -1;
    memcpy(&open, lanes, sizeof open);
    return open;
}

/* v, and 0 in the other lanes, whatever is there. */
INLINE vec_t taken(mask_t open, vec_t v) { return (vec_t)(open & (mask_t)v); }

static acc_t elements(const struct fnn_planes *p)
{
    return (acc_t)p->count * (acc_t)p->size - (p->tail ? (acc_t)(LANES - p->tail) * (acc_t)(p->size / LANES) : 0);
}

static void find_moments(const real_t *x, const struct fnn_planes *p, size_t c, acc_t *mean, acc_t *variance)
{
    const acc_t count = elements(p);
    acc_t sum = 0, squares = 0;
    vec_t part = {0};
    FOR_PLANES(p, c, at, n, open, (sum += vec_sum(part), part = VEC(0)), {
        part += taken(open, vec_get(x + at, n, 0));
    })
    *mean = sum / count;
    const vec_t centre = VEC(*mean);
    FOR_PLANES(p, c, at, n, open, (squares += vec_sum(part), part = VEC(0)), {
        const vec_t centred = vec_first(taken(open, vec_get(x + at, n, 0) - centre), n);
        part += centred * centred;
    })
    *variance = squares / count;
}

/* y = (x - mean) scale + shift. */
static void normalise(const real_t *x, real_t *y, const struct fnn_planes *p, size_t c, acc_t mean, acc_t scale,
                      real_t shift)
{
    const vec_t centre = VEC(mean), factor = VEC(scale), b = VEC(shift);
    FOR_PLANES(p, c, at, n, open, , { vec_put(y + at, (vec_get(x + at, n, 0) - centre) * factor + b, n); })
}

void FNN_NAME(batch_norm_planes)(const real_t *x, const real_t *w, const real_t *b, real_t *y, real_t *mean,
                                 real_t *var, const struct fnn_planes *p, int given, double eps, size_t begin,
                                 size_t end)
{
    for (size_t c = begin; c < end; c++) {
        acc_t m = 0, v = 0;
        if (!given) {
            find_moments(x, p, c, &m, &v);
            mean[c] = R(m);
            var[c] = R(v);
        } else {
            m = mean[c];
            v = var[c];
        }
        normalise(x, y, p, c, m, (w ? w[c] : 1) * (1 / __builtin_sqrt(v + eps)), b ? b[c] : 0);
    }
}

/* By the batch: dx = w inv (dy - mean(dy) - xhat mean(dy xhat)), xhat = (x - mean) inv; by given statistics
 * dx = w inv dy. */
void FNN_NAME(batch_norm_planes_backward)(const real_t *x, const real_t *mean, const real_t *var, const real_t *w,
                                          const real_t *dy, real_t *dx, real_t *dw, real_t *db,
                                          const struct fnn_planes *p, double eps, size_t begin, size_t end)
{
    for (size_t c = begin; c < end; c++) {
        acc_t m = 0, v = 0, sum = 0, products = 0;
        if (!mean)
            find_moments(x, p, c, &m, &v);
        else
            m = mean[c], v = var[c];
        const acc_t inverse = 1 / __builtin_sqrt(v + eps), count = elements(p);
        const vec_t centre = VEC(m), factor = VEC((w ? w[c] : 1) * inverse);
        vec_t part = {0}, part_x = {0};
        FOR_PLANES(p, c, at, n, open, (sum += vec_sum(part), products += vec_sum(part_x), part = part_x = VEC(0)), {
            const vec_t d = taken(open, vec_get(dy + at, n, 0));
            part += d;
            part_x += vec_first(d * taken(open, vec_get(x + at, n, 0) - centre), n);
        })
        db[c] = R(sum);
        dw[c] = R(products * inverse);
        const vec_t slope = VEC(mean ? 0 : products * inverse * inverse / count), level = VEC(mean ? 0 : sum / count);
        if (mean)
            FOR_PLANES(p, c, at, n, open, , { vec_put(dx + at, taken(open, factor * vec_get(dy + at, n, 0)), n); })
        else
            FOR_PLANES(p, c, at, n, open, , {
                const vec_t centred = vec_get(x + at, n, 0) - centre;
                vec_put(dx + at, taken(open, factor * (vec_get(dy + at, n, 0) - level - centred * slope)), n);
            })
    }
}
