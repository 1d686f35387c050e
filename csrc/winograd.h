/* Convolutions of 3 x 3 taps that move by 1, by Winograd's minimal filtering F(2 x 2, 3 x 3) (Lavin and Gray, 2015):
 * 16 products for 2 x 2 positions of the output where the definition takes 36. Included by conv.c alone.
 *
 * With d a patch of 4 x 4 positions of the input, g the taps and m a matrix of 4 x 4 products,
 *     spread(d) = B' d B, U = G g G', outputs = A' (sum over channels of U * spread(d)) A, and on the way back
 *     gradient by g = G' (sum over patches of (A dy A') * spread(d)) G.
 *          1  0 -1  0          1   0   0           1  0
 *     B' = 0  1  1  0      G = .5  .5  .5      A = 1  1
 *          0 -1  1  0          .5 -.5  .5          1 -1
 *          0  1  0 -1          0   0   1           0 -1
 * Precision: rounding errors are about those of the definition, whose sums are longer; those of a gradient are relative
 * to the largest of the nine taps, since all of them come from the same 16 sums. Infinities would cancel to NaN:
 * where a result is not finite, conv.c computes it again by the definition.
 */
#ifndef FNN_WINOGRAD_H
#define FNN_WINOGRAD_H

#include "kernel.h"
#include "window.h"

/* A tile of products in registers: OUTS outputs x AT patches, or channels; patches that are spread at once. */
#if FNN_VBYTES == 64
enum { OUTS = 8, AT = 3 };
#else
enum { OUTS = 4, AT = 2 };
#endif
enum { PRODUCTS = 16, PATCHES = 2 * AT, DEPTH = 32, GROUP = 12 * AT };

/* The planes that patches of 4 x 4 come from; patch (i, j) begins at line 2 i - top, column 2 j - left. */
struct source {
    size_t height, width, plane;
    ptrdiff_t top, left;
};

/* Where a patch begins in its plane, and the element that its block begins at; bit 4 i + j of `there` is set where
 * position (i, j) lies within the plane. */
struct patch {
    ptrdiff_t row, column;
    unsigned there;
    size_t block;
};

enum { EVERYWHERE = 0xffff };

/* Patch number `index` of blocks that have down x across of them and are `block` elements apart. */
static struct patch patch_of(const struct source *s, size_t index, size_t down, size_t across, size_t block)
{
    const size_t line = index / across;
    struct patch p = {(ptrdiff_t)(line % down * 2) - s->top, (ptrdiff_t)(index % across * 2) - s->left, 0,
                      line / down * block};
    for (ptrdiff_t i = 0; i < 16; i++) /* below 0 is larger than any size */
        if ((size_t)(p.row + i / 4) < s->height && (size_t)(p.column + i % 4) < s->width)
            p.there |= 1u << i;
    return p;
}

static const real_t zeros[LANES];

INLINE vec_t position(const real_t *plane, const struct source *s, struct patch at, int i, int j, const int clipped)
{
    const ptrdiff_t place = (at.row + i) * (ptrdiff_t)s->width + at.column + j;
    return vec_load(clipped && !(at.there >> (i * 4 + j) & 1) ? zeros : plane + place * LANES);
}

/* B' v of a vector of 4. */
INLINE void mix(vec_t v[4])
{
    const vec_t a = v[0] - v[2], b = v[1] + v[2], c = v[2] - v[1], d = v[1] - v[3];
    v[0] = a, v[1] = b, v[2] = c, v[3] = d;
}

/* All products' share of a patch, `step` elements apart. */
INLINE void spread(const real_t *plane, const struct source *s, struct patch at, real_t *v, size_t step,
                   const int clipped)
{
    vec_t patch[4][4]; /* column by column */
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            patch[j][i] = position(plane, s, at, i, j, clipped);
        mix(patch[j]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        vec_t line[4] = {patch[0][i], patch[1][i], patch[2][i], patch[3][i]};
        mix(line);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            vec_store(v + (i * 4 + j) * step, line[j]);
    }
}

/* ---- outputs ---- */

/* Elements between the products of the patches of so many channels: no power of two, see window.h. */
static size_t apart(size_t channels) { return (channels * PATCHES + 1) * LANES; }

/* Room that winograd_outputs wants, in elements. */
static size_t winograd_space(const struct fnn_window *z)
{
    return PRODUCTS * (apart(z->channels / z->groups) + apart(z->outputs / z->groups));
}

/* Elements of the taps as winograd_pack lays them out: [product][panel of OUTS outputs][input][OUTS]. */
static size_t winograd_taps(size_t ins, size_t outs) { return (outs + OUTS - 1) / OUTS * OUTS * ins * PRODUCTS; }

/* Taps of output o and input c begin at w + o out_step + c in_step; on the way back they are turned round. */
static void winograd_pack(const real_t *w, real_t *packed, size_t ins, size_t outs, size_t in_step, size_t out_step,
                          int back)
{
    const size_t panels = (outs + OUTS - 1) / OUTS, product = panels * ins * OUTS;
    for (size_t o = 0; o < panels * OUTS; o++)
        for (size_t c = 0; c < ins; c++) {
            real_t *to = packed + (o / OUTS * ins + c) * OUTS + o % OUTS, rows[4][3];
            const real_t *g = w + o * out_step + c * in_step;
            for (size_t j = 0; j < 3; j++) {
                real_t tap[3];
                for (size_t i = 0; i < 3; i++)
                    tap[i] = o < outs ? g[back ? 8 - (i * 3 + j) : i * 3 + j] : 0;
                rows[0][j] = tap[0];
                rows[1][j] = (tap[0] + tap[1] + tap[2]) / 2;
                rows[2][j] = (tap[0] - tap[1] + tap[2]) / 2;
                rows[3][j] = tap[2];
            }
            for (size_t i = 0; i < 4; i++, to += 4 * product) {
                to[0] = rows[i][0];
                to[product] = (rows[i][0] + rows[i][1] + rows[i][2]) / 2;
                to[2 * product] = (rows[i][0] - rows[i][1] + rows[i][2]) / 2;
                to[3 * product] = rows[i][2];
            }
        }
}

/* m[o][t] = sum over channels of u[c][o] v[c][t], for `at` patches. */
INLINE void products(const real_t *u, const real_t *v, real_t *m, size_t ins, size_t count, const size_t at)
{
    vec_t sums[OUTS * AT];
#pragma GCC unroll 24
    for (size_t i = 0; i < OUTS * at; i++)
        sums[i] = VEC(0);
    for (size_t c = 0; c < ins; c++, u += OUTS, v += PATCHES * LANES) {
        vec_t xs[AT];
#pragma GCC unroll 3
        for (size_t t = 0; t < at; t++)
            xs[t] = vec_load(v + t * LANES);
#pragma GCC unroll 24
        for (size_t i = 0; i < OUTS * at; i++)
            sums[i] += vec_set(u[i / at]) * xs[i % at];
    }
#pragma GCC unroll 24
    for (size_t i = 0; i < OUTS * at; i++)
        if (i / at < count)
            vec_store(m + (i / at * PATCHES + i % at) * LANES, sums[i]);
}

static void some_products(const real_t *u, const real_t *v, real_t *m, size_t ins, size_t count, size_t patches)
{
    size_t t = 0;
    for (; t + AT <= patches; t += AT)
        products(u, v + t * LANES, m + t * LANES, ins, count, AT);
#if FNN_VBYTES == 64
    if (patches - t == 2)
        products(u, v + t * LANES, m + t * LANES, ins, count, 2);
#endif
    if (patches - t == 1)
        products(u, v + t * LANES, m + t * LANES, ins, count, 1);
}

/* What winograd_outputs reads and writes: planes of one block and group. */
struct filter {
    struct source from;
    const real_t *x, *u, *bias;
    real_t *y, *space;
    size_t ins, outs, y_plane, y_width;
    size_t first, last; /* lines of the output that are wanted */
    int relu;
};

/* Writes the outputs of one patch, and adds to `check` what is 0 if they are finite. */
INLINE void gather(const struct filter *f, const real_t *m, size_t step, size_t o, size_t row, size_t column,
                   vec_t *check)
{
    vec_t sums[2][4];
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        const vec_t a = vec_load(m + j * step), b = vec_load(m + (4 + j) * step), c = vec_load(m + (8 + j) * step);
        sums[0][j] = a + b + c;
        sums[1][j] = b - c - vec_load(m + (12 + j) * step);
    }
    const vec_t bias = VEC(f->bias ? f->bias[o] : 0);
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; i++) {
        const vec_t *s = sums[i], left = s[0] + s[1] + s[2] + bias, right = s[1] - s[2] - s[3] + bias;
        real_t *to = f->y + (o * f->y_plane + (row + i) * f->y_width + column) * LANES;
        if (row + i < f->first || row + i >= f->last)
            continue;
        *check += left * VEC(0);
        vec_store(to, f->relu ? vec_max(VEC(0), left) : left);
        if (column + 1 < f->y_width) {
            *check += right * VEC(0);
            vec_store(to + LANES, f->relu ? vec_max(VEC(0), right) : right);
        }
    }
}

/* Lines [first, last) of all outputs; whether they are finite. */
static int winograd_outputs(const struct filter *f)
{
    const size_t across = (f->y_width + 1) / 2, end = (f->last + 1) / 2 * across;
    const size_t v_step = apart(f->ins), m_step = apart(f->outs), panels = (f->outs + OUTS - 1) / OUTS;
    real_t *v = f->space, *m = v + PRODUCTS * v_step;
    vec_t check = VEC(0);
    struct patch at[PATCHES];
    for (size_t first = f->first / 2 * across, patches; first < end; first += patches) {
        patches = end - first < PATCHES ? end - first : PATCHES;
        for (size_t t = 0; t < patches; t++)
            at[t] = patch_of(&f->from, first + t, -(size_t)1, across, 0);
        for (size_t c = 0; c < f->ins; c++)
            for (size_t t = 0; t < patches; t++) {
                const real_t *plane = f->x + c * f->from.plane * LANES;
                real_t *to = v + (c * PATCHES + t) * LANES;
                if (at[t].there == EVERYWHERE)
                    spread(plane, &f->from, at[t], to, v_step, 0);
                else
                    spread(plane, &f->from, at[t], to, v_step, 1);
            }
        for (size_t p = 0; p < PRODUCTS; p++)
            for (size_t o = 0; o < f->outs; o += OUTS)
                some_products(f->u + (p * panels + o / OUTS) * f->ins * OUTS, v + p * v_step,
                              m + p * m_step + o * PATCHES * LANES, f->ins, f->outs - o, patches);
        for (size_t o = 0; o < f->outs; o++)
            for (size_t t = 0; t < patches; t++)
                gather(f, m + (o * PATCHES + t) * LANES, m_step, o, (size_t)(at[t].row + f->from.top),
                       (size_t)(at[t].column + f->from.left), &check);
    }
    return vec_sum(check) == 0;
}

/* ---- gradients by the taps ---- */

/* What winograd_totals reads and sums: gradients of `outs` outputs by `ins` channels, at most GROUP of each, from all
 * patches of all blocks. */
struct taps_gradient {
    struct source x, dy;
    const real_t *from_x, *from_dy;
    size_t x_block, y_block; /* elements from a block to the next */
    size_t ins, outs, blocks, down, across;
    real_t *v, *d; /* of a row of products: [4][panel][DEPTH][AT], [4][panel][DEPTH][OUTS] */
    real_t *sums;  /* [PRODUCTS][panel of outputs][panel of inputs][OUTS][AT] */
    acc_t *totals; /* [PRODUCTS][GROUP outputs][GROUP inputs] */
};

enum { IN_PANELS = GROUP / AT, OUT_PANELS = (GROUP + OUTS - 1) / OUTS };
enum {
    V_SIZE = 4 * GROUP * DEPTH * LANES,
    D_SIZE = 4 * OUT_PANELS * OUTS * DEPTH * LANES,
    SUMS_SIZE = PRODUCTS * OUT_PANELS * OUTS * GROUP * LANES,
    TOTALS = PRODUCTS * GROUP * GROUP
};

/* Bytes that it wants. */
static size_t winograd_gradient_space(void)
{
    return (V_SIZE + D_SIZE + SUMS_SIZE) * sizeof(real_t) + TOTALS * sizeof(acc_t);
}

static void share_space(struct taps_gradient *k, real_t *space)
{
    k->totals = (acc_t *)space;
    k->v = (real_t *)(k->totals + TOTALS);
    k->d = k->v + V_SIZE;
    k->sums = k->d + D_SIZE;
}

/* Row a of spread(d). */
INLINE void spread_row(const real_t *plane, const struct source *s, struct patch at, size_t a, real_t *v, size_t step,
                       const int clipped)
{
    static const int one[4] = {0, 1, 2, 1}, other[4] = {2, 2, 1, 3};
    vec_t line[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const vec_t x = position(plane, s, at, one[a], j, clipped);
        const vec_t z = position(plane, s, at, other[a], j, clipped);
        line[j] = a == 1 ? x + z : x - z;
    }
    mix(line);
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++)
        vec_store(v + j * step, line[j]);
}

/* Row a of A dy A'. */
INLINE void widen_row(const real_t *plane, const struct source *s, struct patch at, size_t a, real_t *d, size_t step,
                      const int clipped)
{
    vec_t e[2];
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
        const vec_t x = position(plane, s, at, 0, j, clipped);
        const vec_t z = position(plane, s, at, 1, j, clipped);
        e[j] = a == 0 ? x : a == 1 ? x + z : a == 2 ? x - z : -z;
    }
    vec_store(d, e[0]);
    vec_store(d + step, e[0] + e[1]);
    vec_store(d + 2 * step, e[0] - e[1]);
    vec_store(d + 3 * step, -e[1]);
}

/* sums[o][c] += sum over patches of d[o] v[c], for `outs` outputs and `at` channels. */
INLINE void correlate(const real_t *d, const real_t *v, real_t *sums, size_t depth, const size_t outs, const size_t at)
{
    vec_t s[OUTS * AT];
#pragma GCC unroll 24
    for (size_t i = 0; i < outs * at; i++)
        s[i] = vec_load(sums + (i / at * AT + i % at) * LANES);
    for (size_t q = 0; q < depth; q++, d += OUTS * LANES, v += AT * LANES) {
        vec_t xs[AT];
#pragma GCC unroll 3
        for (size_t c = 0; c < at; c++)
            xs[c] = vec_load(v + c * LANES);
#pragma GCC unroll 24
        for (size_t i = 0; i < outs * at; i++)
            s[i] += vec_load(d + i / at * LANES) * xs[i % at];
    }
#pragma GCC unroll 24
    for (size_t i = 0; i < outs * at; i++)
        vec_store(sums + (i / at * AT + i % at) * LANES, s[i]);
}

/* A panel of outputs, of which so many exist, with one of channels. */
static void correlated(const real_t *d, const real_t *v, real_t *sums, size_t depth, size_t outs, size_t at)
{
    if (outs <= OUTS / 2)
        correlate(d, v, sums, depth, OUTS / 2, AT);
    else if (at == AT)
        correlate(d, v, sums, depth, OUTS, AT);
    else if (at == AT - 1)
        correlate(d, v, sums, depth, OUTS, AT - 1);
    else
        correlate(d, v, sums, depth, OUTS, 1);
}

static real_t *tile_of(const struct taps_gradient *k, size_t product, size_t o, size_t c)
{
    return k->sums + ((product * OUT_PANELS + o / OUTS) * IN_PANELS + c / AT) * OUTS * AT * LANES;
}

static void add_sums(const struct taps_gradient *k)
{
    for (size_t p = 0; p < PRODUCTS; p++)
        for (size_t o = 0; o < k->outs; o++)
            for (size_t c = 0; c < k->ins; c++)
                k->totals[(p * GROUP + o) * GROUP + c] +=
                    vec_sum(vec_load(tile_of(k, p, o, c) + (o % OUTS * AT + c % AT) * LANES));
    memset(k->sums, 0, SUMS_SIZE * sizeof *k->sums);
}

/* Row a of `depth` patches of x and of dy. */
INLINE void fill(const struct taps_gradient *k, const struct patch *x, const struct patch *dy, const size_t a,
                 size_t depth)
{
    for (size_t c = 0; c < k->ins; c++)
        for (size_t q = 0; q < depth; q++) {
            const real_t *plane = k->from_x + x[q].block + c * k->x.plane * LANES;
            real_t *to = k->v + ((c / AT * DEPTH + q) * AT + c % AT) * LANES;
            if (x[q].there == EVERYWHERE)
                spread_row(plane, &k->x, x[q], a, to, V_SIZE / 4, 0);
            else
                spread_row(plane, &k->x, x[q], a, to, V_SIZE / 4, 1);
        }
    for (size_t o = 0; o < k->outs; o++)
        for (size_t q = 0; q < depth; q++) {
            const real_t *plane = k->from_dy + dy[q].block + o * k->dy.plane * LANES;
            real_t *to = k->d + ((o / OUTS * DEPTH + q) * OUTS + o % OUTS) * LANES;
            if ((dy[q].there & 0x33) == 0x33)
                widen_row(plane, &k->dy, dy[q], a, to, D_SIZE / 4, 0);
            else
                widen_row(plane, &k->dy, dy[q], a, to, D_SIZE / 4, 1);
        }
}

/* Adds row a of their products to the sums. */
INLINE void row_of_products(const struct taps_gradient *k, const struct patch *x, const struct patch *dy,
                            const size_t a, size_t depth)
{
    fill(k, x, dy, a, depth);
    for (size_t j = 0; j < 4; j++)
        for (size_t o = 0; o < k->outs; o += OUTS)
            for (size_t c = 0; c < k->ins; c += AT)
                correlated(k->d + j * (D_SIZE / 4) + o * DEPTH * LANES, k->v + j * (V_SIZE / 4) + c * DEPTH * LANES,
                           tile_of(k, a * 4 + j, o, c), depth, k->outs - o, k->ins - c < AT ? k->ins - c : AT);
}

/* Totals of all products; whether they are finite. */
static int winograd_totals(const struct taps_gradient *k)
{
    memset(k->totals, 0, TOTALS * sizeof *k->totals);
    memset(k->sums, 0, SUMS_SIZE * sizeof *k->sums);
    memset(k->v, 0, V_SIZE * sizeof *k->v); /* channels and outputs that do not exist */
    memset(k->d, 0, D_SIZE * sizeof *k->d);
    const size_t all = k->blocks * k->down * k->across;
    struct patch x[DEPTH], dy[DEPTH];
    for (size_t first = 0, summed = 0, depth; first < all; first += depth) {
        depth = all - first < DEPTH ? all - first : DEPTH;
        for (size_t q = 0; q < depth; q++) {
            x[q] = patch_of(&k->x, first + q, k->down, k->across, k->x_block);
            dy[q] = patch_of(&k->dy, first + q, k->down, k->across, k->y_block);
        }
        row_of_products(k, x, dy, 0, depth);
        row_of_products(k, x, dy, 1, depth);
        row_of_products(k, x, dy, 2, depth);
        row_of_products(k, x, dy, 3, depth);
        summed += depth;
        if (summed + DEPTH > SUM_BLOCK || first + depth == all) {
            add_sums(k);
            summed = 0;
        }
    }
    acc_t check = 0;
    for (size_t i = 0; i < TOTALS; i++)
        check += k->totals[i] * 0;
    return check == 0;
}

/* dw (or += where accumulate is set) of output o and channel c, 3 x 3 taps. */
static void winograd_taps_of(const struct taps_gradient *k, size_t o, size_t c, real_t *dw, int accumulate)
{
    acc_t rows[3][4];
    for (size_t j = 0; j < 4; j++) {
        const acc_t *m = k->totals + (j * GROUP + o) * GROUP + c;
        const size_t step = 4 * GROUP * GROUP;
        const acc_t a = m[step], b = m[2 * step];
        rows[0][j] = m[0] + (a + b) / 2;
        rows[1][j] = (a - b) / 2;
        rows[2][j] = (a + b) / 2 + m[3 * step];
    }
    for (size_t i = 0; i < 3; i++) {
        const acc_t *r = rows[i], taps[3] = {r[0] + (r[1] + r[2]) / 2, (r[1] - r[2]) / 2, (r[1] + r[2]) / 2 + r[3]};
        for (size_t j = 0; j < 3; j++)
            dw[i * 3 + j] = R((accumulate ? dw[i * 3 + j] : 0) + taps[j]);
    }
}

#endif
