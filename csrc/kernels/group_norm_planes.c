/* Group normalisation of planes in lanes (window.h): every lane has a sample, and so statistics of its own; units:
 * groups of all blocks of rows.
 *
 * Precision: mean and variance by two passes, sums over SUM_BLOCK positions in real_t, then in acc_t. Lanes without a
 * row give b, and no gradient, whatever eps is.
 */
#include "rows.h"
#include "window.h"

/* The planes of the channels of a group, and how many lanes have a row. */
struct group {
    size_t channels, size, plane, rows;
};

struct moments { /* inverse: of the standard deviation */
    vec_t mean, inverse;
};

struct totals {
    acc_t lanes[LANES];
};

static struct group group_of(size_t rows, size_t groups, size_t channels, size_t size, size_t unit)
{
    const size_t left = rows - unit / groups * LANES;
    return (struct group){channels / groups, size, (size + 1) * LANES, left < LANES ? left : LANES};
}

/* The sums over a block of positions, times a factor. */
INLINE void add_four(struct totals *to, const vec_t part[4], acc_t factor)
{
    const vec_t sum = (part[0] + part[1]) + (part[2] + part[3]);
    for (size_t l = 0; l < LANES; l++)
        to->lanes[l] += (acc_t)sum[l] * factor;
}

INLINE vec_t means_of(const struct totals *t, const struct group *g)
{
    const acc_t count = (acc_t)g->channels * (acc_t)g->size;
    real_t means[LANES];
    for (size_t l = 0; l < LANES; l++)
        means[l] = R(t->lanes[l] / count);
    return vec_load(means);
}

static real_t sum_of(const struct totals *t)
{
    acc_t sum = 0;
    for (size_t l = 0; l < LANES; l++)
        sum += t->lanes[l];
    return R(sum);
}

static struct moments find_moments(const real_t *x, const struct group *g, double eps)
{
    const acc_t count = (acc_t)g->channels * (acc_t)g->size;
    struct totals sum = {{0}}, squares = {{0}};
    real_t inverse[LANES] = {0};
    for (size_t c = 0; c < g->channels; c++)
        FOR_SUM_BLOCKS(j0, j1, g->size * LANES, {
            vec_t t[4] = {{0}, {0}, {0}, {0}};
            FOR_FOUR_VECTORS(j, n, s, j0, j1, { t[s] += vec_get(x + c * g->plane + j, n, 0); })
            add_four(&sum, t, 1);
        })
    const vec_t mean = means_of(&sum, g);
    for (size_t c = 0; c < g->channels; c++)
        FOR_SUM_BLOCKS(j0, j1, g->size * LANES, {
            vec_t t[4] = {{0}, {0}, {0}, {0}};
            FOR_FOUR_VECTORS(j, n, s, j0, j1, {
                const vec_t centre = vec_get(x + c * g->plane + j, n, 0) - mean;
                t[s] += centre * centre;
            })
            add_four(&squares, t, 1);
        })
    for (size_t l = 0; l < g->rows; l++)
        inverse[l] = R(1 / __builtin_sqrt(squares.lanes[l] / count + eps));
    return (struct moments){mean, vec_load(inverse)};
}

void FNN_NAME(group_norm_planes_forward)(const real_t *x, const real_t *w, const real_t *b, real_t *y, size_t rows,
                                         size_t groups, size_t channels, size_t size, double eps, size_t begin,
                                         size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        const struct group g = group_of(rows, groups, channels, size, unit);
        const size_t at = unit * g.channels * g.plane, first = unit % groups * g.channels;
        const struct moments found = find_moments(x + at, &g, eps);
        for (size_t c = 0; c < g.channels; c++) {
            const vec_t factor = found.inverse * VEC(w ? w[first + c] : 1), shift = VEC(b ? b[first + c] : 0);
            const size_t plane = at + c * g.plane;
            FOR_VECTORS(j, n, plane, plane + size * LANES, {
                vec_put(y + j, (vec_get(x + j, n, 0) - found.mean) * factor + shift, n);
            })
        }
    }
}

/* dx = inverse (g - mean(g) - xhat mean(g xhat)) with g = dy w, where the means are those of the group. */
void FNN_NAME(group_norm_planes_backward)(const real_t *x, const real_t *w, const real_t *dy, real_t *dx, real_t *dw,
                                          real_t *db, size_t rows, size_t groups, size_t channels, size_t size,
                                          double eps, size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        const struct group g = group_of(rows, groups, channels, size, unit);
        const size_t at = unit * g.channels * g.plane, first = unit % groups * g.channels;
        const struct moments found = find_moments(x + at, &g, eps);
        struct totals sum = {{0}}, sum_x = {{0}};
        for (size_t c = 0; c < g.channels; c++) {
            const real_t *xc = x + at + c * g.plane, *dyc = dy + at + c * g.plane;
            struct totals level = {{0}}, slope = {{0}};
            const acc_t factor = w ? w[first + c] : 1;
            FOR_SUM_BLOCKS(j0, j1, size * LANES, {
                vec_t d[4] = {{0}, {0}, {0}, {0}}, d_x[4] = {{0}, {0}, {0}, {0}};
                FOR_FOUR_VECTORS(j, n, s, j0, j1, {
                    const vec_t gradient = vec_get(dyc + j, n, 0);
                    d[s] += gradient;
                    d_x[s] += gradient * ((vec_get(xc + j, n, 0) - found.mean) * found.inverse);
                })
                add_four(&level, d, 1);
                add_four(&slope, d_x, 1);
                add_four(&sum, d, factor);
                add_four(&sum_x, d_x, factor);
            })
            dw[unit * g.channels + c] = sum_of(&slope);
            if (db)
                db[unit * g.channels + c] = sum_of(&level);
        }
        const vec_t level = means_of(&sum, &g), slope = means_of(&sum_x, &g);
        for (size_t c = 0; c < g.channels; c++) {
            const vec_t factor = VEC(w ? w[first + c] : 1);
            const size_t plane = at + c * g.plane;
            FOR_VECTORS(j, n, plane, plane + size * LANES, {
                const vec_t normal = (vec_get(x + j, n, 0) - found.mean) * found.inverse;
                vec_put(dx + j, (vec_get(dy + j, n, 0) * factor - level - normal * slope) * found.inverse, n);
            })
        }
    }
}
