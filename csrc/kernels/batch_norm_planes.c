/* Batch normalisation of channels that are planes, in lanes or not (struct fnn_planes of window.h), and a rectifier
 * behind it; units: channels.
 *
 * Precision: sums run over SUM_BLOCK vectors in real_t, then in acc_t. Moments take one pass over memory: those of a
 * block are taken around the mean of what came before it, of the first block around its own, and then put together
 * (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979). A block
 * whose mean lies far from that pivot adds as much to the variance itself: as accurate as two passes.
 *
 * Planes of few elements go several channels at a time, so that memory is read in pieces of a page. The second pass
 * begins with the planes that the first one read last, which are still in cache.
 */
#include "kernel.h"
#include "window.h"

enum { GROUP = 16, PIECE = 4096 / sizeof(real_t) };

/* Elements [at, last) of the planes [plane, planes) of each channel: at most SUM_BLOCK vectors of it, the last of a
 * plane being partial. */
struct block {
    size_t plane, planes, at, last;
};

/* Runs the body for all blocks. */
#define FOR_PLANE_BLOCKS(p, part, ...)                                                                                 \
    {                                                                                                                  \
        const size_t vectors_ = ((p)->size + LANES - 1) / LANES;                                                       \
        const size_t many_ = vectors_ < SUM_BLOCK ? SUM_BLOCK / (vectors_ + !vectors_) : 1;                            \
        for (size_t k_ = 0; k_ < (p)->count; k_ += many_)                                                              \
            for (size_t i_ = 0; i_ < (p)->size; i_ += SUM_BLOCK * LANES) {                                             \
                const struct block part = {k_,  (p)->count - k_ < many_ ? (p)->count : k_ + many_, i_,                 \
                                            (p)->size - i_ < SUM_BLOCK * LANES ? (p)->size : i_ + SUM_BLOCK * LANES};  \
                __VA_ARGS__                                                                                            \
            }                                                                                                          \
    }

/* Runs the body over the vectors of all planes of a group of channels from c on, the last plane first: `g` is the
 * channel within the group, `map` its map, else as in FOR_VECTORS; `open`: the lanes that have a row. */
#define FOR_PLANES(p, c, group, maps, map, at, n, open, ...)                                                           \
    for (size_t plane_ = (p)->count; plane_-- > 0;) {                                                                  \
        const mask_t open = open_lanes(p, plane_);                                                                     \
        (void)open;                                                                                                    \
        for (size_t g_ = 0; g_ < (group); g_++) {                                                                      \
            const size_t first_ = plane_ * (p)->step + ((c) + g_) * (p)->channel, last_ = first_ + (p)->size;          \
            const struct map map = map_of(maps, g_);                                                                   \
            FOR_VECTORS(at, n, first_, last_, __VA_ARGS__)                                                             \
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

INLINE mask_t open_lanes(const struct fnn_planes *p, size_t plane)
{
    return p->tail && plane + 1 == p->count ? some(p->tail) : ~(mask_t){0};
}

/* v, and 0 in the other lanes, whatever is there. */
INLINE vec_t taken(mask_t open, vec_t v) { return (vec_t)(open & (mask_t)v); }

static acc_t elements(const struct fnn_planes *p, struct block b)
{
    const int tail = p->tail && b.planes == p->count;
    return (acc_t)(b.planes - b.plane) * (acc_t)(b.last - b.at) -
           (tail ? (acc_t)(LANES - p->tail) * (acc_t)((b.last - b.at) / LANES) : 0);
}

/* The whole of every channel. */
static acc_t all_elements(const struct fnn_planes *p) { return elements(p, (struct block){0, p->count, 0, p->size}); }

/* y = (x - centre) factor + shift of the channels of a group, and dx = factor (dy - level - (x - centre) slope). */
struct maps {
    real_t centre[GROUP], factor[GROUP], shift[GROUP], level[GROUP], slope[GROUP];
};
struct map {
    vec_t centre, factor, shift, level, slope;
};

INLINE struct map map_of(const struct maps *m, size_t g)
{
    return (struct map){vec_set(m->centre[g]), vec_set(m->factor[g]), vec_set(m->shift[g]), vec_set(m->level[g]),
                        vec_set(m->slope[g])};
}

INLINE vec_t mapped(vec_t x, const struct map *m) { return (x - m->centre) * m->factor + m->shift; }

/* Where the gradient of max(0, y) is that of y. */
INLINE mask_t passed(vec_t y) { return ~(y <= VEC(0)); }

/* Sums over a channel, or lane by lane over a block of it: of x - pivot, its square, dy, and dy (x - pivot). */
struct sums {
    acc_t x, squares, dy, dy_x;
};
struct lane_sums {
    vec_t x, squares, dy, dy_x;
};

/* The sums of a block of a group of channels, around pivots. dy may be NULL; with `rectified`, it counts where its map
 * is not cut off. */
INLINE void sum_block(const real_t *x, const real_t *dy, const struct fnn_planes *p, size_t c, size_t group,
                      struct block b, const real_t *pivot, const struct maps *maps, int rectified,
                      struct lane_sums *sums)
{
    const size_t ahead = p->size * group <= 4 * PIECE ? p->step : 0; /* the same place of the next plane is fetched */
    memset(sums, 0, group * sizeof *sums);
    for (size_t plane = b.plane; plane < b.planes; plane++) {
        const mask_t open = open_lanes(p, plane);
        for (size_t g = 0; g < group; g++) {
            const size_t first = plane * p->step + (c + g) * p->channel;
            const vec_t origin = vec_set(pivot[g]);
            const struct map map = rectified ? map_of(maps, g) : (struct map){{0}, {0}, {0}, {0}, {0}};
            struct lane_sums s = sums[g];
            FOR_VECTORS(at, n, first + b.at, first + b.last, {
                __builtin_prefetch(x + at + ahead);
                const vec_t v = vec_get(x + at, n, pivot[g]), centred = taken(open, v - origin);
                s.x += centred;
                s.squares += centred * centred;
                if (dy) {
                    __builtin_prefetch(dy + at + ahead);
                    vec_t d = taken(open, vec_get(dy + at, n, 0));
                    if (rectified)
                        d = taken(passed(mapped(v, &map)), d);
                    s.dy += d;
                    s.dy_x += d * centred;
                }
            })
            sums[g] = s;
        }
    }
}

INLINE real_t finite_or_0(acc_t a) { return __builtin_isfinite(R(a)) ? R(a) : 0; }

/* Mean and variance of x, and the sums around the mean, of a group of channels; whether those of dy are finite. */
INLINE int find_statistics(const real_t *x, const real_t *dy, const struct fnn_planes *p, size_t c, size_t group,
                           real_t *mean, real_t *var, struct sums *total)
{
    int finite = 1;
    acc_t before = 0;
    real_t first[GROUP] = {0};
    memset(total, 0, group * sizeof *total);
    FOR_PLANE_BLOCKS(p, b, {
        struct lane_sums part[GROUP];
        real_t pivot[GROUP];
        const acc_t count = elements(p, b);
        if (before == 0) {
            sum_block(x, NULL, p, c, group, b, first, NULL, 0, part);
            for (size_t g = 0; g < group; g++)
                first[g] = finite_or_0(vec_sum(part[g].x) / count);
        }
        for (size_t g = 0; g < group; g++)
            pivot[g] = before > 0 ? finite_or_0(first[g] + total[g].x / before) : first[g];
        sum_block(x, dy, p, c, group, b, pivot, NULL, 0, part);
        for (size_t g = 0; g < group; g++) {
            struct sums *t = total + g;
            const acc_t sum = vec_sum(part[g].x), offset = (acc_t)pivot[g] - first[g];
            const acc_t delta = before > 0 ? offset + sum / count - t->x / before : 0;
            const acc_t squares = vec_sum(part[g].squares) - sum * (sum / count);
            t->squares += (squares < 0 ? 0 : squares) + delta * (delta * (before * count / (before + count)));
            t->x += sum + count * offset;
            if (dy) {
                const acc_t sum_dy = vec_sum(part[g].dy);
                t->dy += sum_dy;
                t->dy_x += vec_sum(part[g].dy_x) + (offset == 0 ? 0 : offset * sum_dy);
            }
        }
        before += count;
    })
    for (size_t g = 0; g < group; g++) {
        const acc_t shift = total[g].x / before;
        mean[g] = R(first[g] + shift);
        var[g] = R(total[g].squares / before);
        if (dy && shift != 0)
            total[g].dy_x -= shift * total[g].dy;
        finite = finite && __builtin_isfinite(total[g].dy_x);
    }
    return finite;
}

/* The sums of a group of channels whose mean is known: those of dy alone are found. */
INLINE void find_sums(const real_t *x, const real_t *dy, const struct fnn_planes *p, size_t c, size_t group,
                      const struct maps *maps, int rectified, struct sums *total)
{
    memset(total, 0, group * sizeof *total);
    FOR_PLANE_BLOCKS(p, b, {
        struct lane_sums part[GROUP];
        sum_block(x, dy, p, c, group, b, maps->centre, maps, rectified, part);
        for (size_t g = 0; g < group; g++) {
            total[g].dy += vec_sum(part[g].dy);
            total[g].dy_x += vec_sum(part[g].dy_x);
        }
    })
}

/* How many channels go together. */
static size_t group_of(const struct fnn_planes *p)
{
    const size_t fit = p->size ? PIECE / p->size : 1;
    return fit < 1 ? 1 : fit < GROUP ? fit : GROUP;
}

#define FOR_CHANNELS(c, group, p, begin, end)                                                                          \
    for (size_t c = (begin), most_ = group_of(p), group; group = (end) - c < most_ ? (end) - c : most_, c < (end);     \
         c += group)

INLINE acc_t inverse_of(real_t variance, double eps) { return 1 / __builtin_sqrt(variance + eps); }

/* The normalisation by these statistics; w and b are those of channel c on. */
static void find_maps(const real_t *mean, const real_t *var, const real_t *w, const real_t *b, double eps, size_t c,
                      size_t group, struct maps *maps)
{
    for (size_t g = 0; g < group; g++) {
        maps->centre[g] = mean[g];
        maps->factor[g] = R((w ? w[c + g] : 1) * inverse_of(var[g], eps));
        maps->shift[g] = b ? b[c + g] : 0;
        maps->level[g] = maps->slope[g] = 0;
    }
}

INLINE void normalise(const real_t *x, real_t *y, const struct fnn_planes *p, size_t c, size_t group,
                      const struct maps *maps, int rectified)
{
    FOR_PLANES(p, c, group, maps, map, at, n, open, {
        const vec_t v = mapped(vec_get(x + at, n, 0), &map);
        vec_put(y + at, rectified ? vec_max(VEC(0), v) : v, n);
    })
}

void FNN_NAME(batch_norm_planes)(const real_t *x, const real_t *w, const real_t *b, real_t *y, real_t *mean,
                                 real_t *var, const struct fnn_planes *p, int given, int relu, double eps, size_t begin,
                                 size_t end)
{
    FOR_CHANNELS(c, group, p, begin, end) {
        struct maps maps;
        if (!given) {
            struct sums sums[GROUP];
            find_statistics(x, NULL, p, c, group, mean + c, var + c, sums);
        }
        find_maps(mean + c, var + c, w, b, eps, c, group, &maps);
        if (relu)
            normalise(x, y, p, c, group, &maps, 1);
        else
            normalise(x, y, p, c, group, &maps, 0);
    }
}

INLINE void put_gradients(const real_t *x, const real_t *dy, real_t *dx, const struct fnn_planes *p, size_t c,
                          size_t group, const struct maps *maps, int given, int rectified)
{
    FOR_PLANES(p, c, group, maps, map, at, n, open, {
        const vec_t v = vec_get(x + at, n, 0);
        vec_t d = vec_get(dy + at, n, 0);
        if (rectified)
            d = taken(passed(mapped(v, &map)), d);
        d = given ? d : d - map.level - (v - map.centre) * map.slope; /* whatever x is, where it does not matter */
        vec_put(dx + at, taken(open, map.factor * d), n);
    })
}

/* The gradients by the batch: level = mean(dy), slope = inv^2 mean(dy (x - mean)); by given statistics both are 0. */
void FNN_NAME(batch_norm_planes_backward)(const real_t *x, const real_t *mean, const real_t *var, const real_t *w,
                                          const real_t *b, const real_t *dy, real_t *dx, real_t *dw, real_t *db,
                                          const struct fnn_planes *p, int given, int relu, double eps, size_t begin,
                                          size_t end)
{
    const acc_t count = all_elements(p);
    FOR_CHANNELS(c, group, p, begin, end) {
        struct maps maps;
        struct sums sums[GROUP];
        real_t means[GROUP], variances[GROUP];
        int known = mean != NULL; /* but for infinite gradients, of which the moments make NaN */
        if (!mean)
            known = !find_statistics(x, dy, p, c, group, means, variances, sums);
        find_maps(mean ? mean + c : means, mean ? var + c : variances, w, b, eps, c, group, &maps);
        if (known && relu)
            find_sums(x, dy, p, c, group, &maps, 1, sums);
        else if (known)
            find_sums(x, dy, p, c, group, &maps, 0, sums);
        for (size_t g = 0; g < group; g++) {
            const acc_t inverse = inverse_of(mean ? var[c + g] : variances[g], eps);
            db[c + g] = R(sums[g].dy);
            dw[c + g] = R(sums[g].dy_x * inverse);
            maps.level[g] = given ? 0 : R(sums[g].dy / count);
            maps.slope[g] = given ? 0 : R(sums[g].dy_x * inverse * inverse / count);
        }
        if (given)
            put_gradients(x, dy, dx, p, c, group, &maps, 1, relu);
        else if (relu)
            put_gradients(x, dy, dx, p, c, group, &maps, 0, 1);
        else
            put_gradients(x, dy, dx, p, c, group, &maps, 0, 0);
    }
}
