/* Convolutions of planes in lanes (window.h): outputs, gradients by the input, gradients by the weight and the bias.
 *
 * A tile of outputs x positions stays in registers while all channels and taps pass; a tap is a vector of rows times a
 * weight. Gradients by the input are the same loop with the roles of the channels exchanged and other taps. 3 x 3 taps
 * that move by 1 mostly go by Winograd's filtering instead, winograd.h.
 * Precision: sums over channels and taps in real_t, in one order; sums over positions in real_t, over at most SUM_BLOCK
 * of them or a line, then in acc_t.
 */
#include "fnn.h"
#include "winograd.h"

/* Tiles fill 24 of 32 registers, or 12 of 16: TALL outputs x SHORT positions, WIDE x LONG, 1 x ALONE. Gradients by the
 * weight: DYS outputs x XS channels or taps. */
#if FNN_VBYTES == 64
enum { TALL = 8, SHORT = 3, WIDE = 6, LONG = 4, ALONE = 12, XS = 6 };
#else
enum { TALL = 6, SHORT = 2, WIDE = 4, LONG = 3, ALONE = 8, XS = 3 };
#endif
enum { DYS = FNN_CONV_OUTPUTS, MOST = 24 };

/* Which taps of one axis reach a position of the output, and what they read: tap first + t step reads base + t move,
 * for t < count. */
struct taps {
    size_t first, step, count;
    ptrdiff_t base, move;
};

static struct taps taps_of(size_t at, size_t kernel, size_t stride, size_t dilation, size_t pad)
{
    return (struct taps){0, 1, kernel, (ptrdiff_t)(at * stride) - (ptrdiff_t)pad, (ptrdiff_t)dilation};
}

/* The way back: position i of the output had read `at` by tap k where i stride = at + pad - k dilation. */
static struct taps taps_back(size_t at, size_t kernel, size_t stride, size_t dilation, size_t pad)
{
    const ptrdiff_t from = (ptrdiff_t)(at + pad), s = (ptrdiff_t)stride, d = (ptrdiff_t)dilation;
    struct taps t = {0, 1, 0, 0, 0};
    while (t.first < kernel && (from - (ptrdiff_t)t.first * d) % s != 0)
        t.first++;
    while (t.step * dilation % stride != 0)
        t.step++;
    if (t.first < kernel) {
        t.count = (kernel - t.first + t.step - 1) / t.step;
        t.base = (from - (ptrdiff_t)t.first * d) / s;
        t.move = -(ptrdiff_t)(t.step * dilation / stride);
    }
    return t;
}

/* Leaves those taps alone that read within [0, size). */
static void clip(struct taps *t, ptrdiff_t size)
{
    while (t->count && (t->base < 0 || t->base >= size)) {
        t->first += t->step;
        t->base += t->move;
        t->count--;
    }
    while (t->count) {
        const ptrdiff_t last = t->base + (ptrdiff_t)(t->count - 1) * t->move;
        if (last >= 0 && last < size)
            return;
        t->count--;
    }
}

/* A pass through a window: outputs from inputs, or gradients by the inputs from those by the outputs. */
struct pass {
    size_t ins, outs;     /* channels of a group */
    size_t height, width; /* of what is read */
    size_t plane, y_plane, out_width, kernel_width, kernel;
    size_t pitch, y_pitch; /* positions from one output of a tile to the next, in what is read and in the output */
    size_t tile;           /* outputs */
};

static size_t outputs_at_once(size_t outs)
{
    const size_t tall = (outs + TALL - 1) / TALL * TALL, wide = (outs + WIDE - 1) / WIDE * WIDE;
    return outs == 1 ? 1 : tall <= wide ? TALL : WIDE;
}

static struct pass pass_of(const struct fnn_window *z, int back)
{
    const size_t ins = z->channels / z->groups, outs = z->outputs / z->groups;
    const size_t plane = fnn_plane(z->height, z->width), out_plane = fnn_plane(z->out_height, z->out_width);
    struct pass p = {ins, outs, z->height, z->width, plane, out_plane, z->out_width, z->kernel_width,
                     z->kernel_height * z->kernel_width, z->stride_across, 1, outputs_at_once(outs)};
    if (back)
        p = (struct pass){outs, ins, z->out_height, z->out_width, out_plane, plane, z->width, z->kernel_width,
                          p.kernel, 1, z->stride_across, outputs_at_once(ins)};
    return p;
}

/* Packed weights of a group. */
static size_t tiles_of(const struct pass *p)
{
    return (p->outs + p->tile - 1) / p->tile * p->tile * p->ins * p->kernel;
}

/* What one tile computes: from the group's planes x, by packed weights w of its outputs, the first `count` of which
 * exist, into y. */
struct work {
    const struct pass *p;
    struct taps down, across;
    const real_t *x, *w, *bias;
    real_t *y;
    size_t count;
    int relu;
};

static const real_t nothing[LANES];

/* `outs` outputs at `at` positions, both constants. */
INLINE void tile(const struct work *k, const size_t outs, const size_t at, const int clipped)
{
    const struct pass *p = k->p;
    const struct taps down = k->down, across = k->across;
    vec_t sums[MOST];
#pragma GCC unroll 24
    for (size_t i = 0; i < outs * at; i++)
        sums[i] = VEC(k->bias && i / at < k->count ? k->bias[i / at] : 0);
    for (size_t c = 0; c < p->ins; c++)
        for (size_t d = 0; d < down.count; d++) {
            const ptrdiff_t line = down.base + (ptrdiff_t)d * down.move;
            const real_t *row = k->x + (c * p->plane + (size_t)line * p->width) * LANES;
            const size_t tap = c * p->kernel + (down.first + d * down.step) * p->kernel_width + across.first;
            const real_t *weights = k->w + tap * outs;
            ptrdiff_t from = across.base;
            for (size_t t = 0; t < across.count; t++, from += across.move, weights += across.step * outs) {
                vec_t xs[MOST];
#pragma GCC unroll 24
                for (size_t a = 0; a < at; a++) {
                    const ptrdiff_t place = from + (ptrdiff_t)(a * p->pitch);
                    const int outside = clipped && (place < 0 || place >= (ptrdiff_t)p->width);
                    xs[a] = vec_load(outside ? nothing : row + place * LANES);
                }
#pragma GCC unroll 24
                for (size_t i = 0; i < outs * at; i++)
                    sums[i] += vec_set(weights[i / at]) * xs[i % at];
            }
        }
#pragma GCC unroll 24
    for (size_t i = 0; i < outs * at; i++)
        if (i / at < k->count)
            vec_store(k->y + (i / at * p->y_plane + i % at * p->y_pitch) * LANES,
                      k->relu ? vec_max(VEC(0), sums[i]) : sums[i]);
}

#define TILES(name, outs, most)                                                                                        \
    static void name##_whole(const struct work *k) { tile(k, outs, most, 0); }                                         \
    static void name##_edge(const struct work *k) { tile(k, outs, most, 1); }                                          \
    static void name##_one(const struct work *k) { tile(k, outs, 1, 1); }
TILES(tall, TALL, SHORT)
TILES(wide, WIDE, LONG)
TILES(alone, 1, ALONE)

static const struct {
    size_t most; /* positions */
    void (*whole)(const struct work *), (*edge)(const struct work *), (*one)(const struct work *);
} tiles[] = {
    {SHORT, tall_whole, tall_edge, tall_one},
    {LONG, wide_whole, wide_edge, wide_one},
    {ALONE, alone_whole, alone_edge, alone_one},
};

/* All outputs of a group at `at` positions. */
static void outputs(struct work k, size_t at, const real_t *packed)
{
    const struct pass *p = k.p;
    const ptrdiff_t all = (ptrdiff_t)(k.across.count - 1) * k.across.move, first = k.across.base, last = first + all;
    const ptrdiff_t span = (ptrdiff_t)((at - 1) * p->pitch);
    const ptrdiff_t low = first < last ? first : last, high = (first < last ? last : first) + span;
    const int inside = low >= 0 && high < (ptrdiff_t)p->width, kind = p->tile == TALL ? 0 : p->tile == WIDE ? 1 : 2;
    const real_t *bias = k.bias;
    real_t *y = k.y;
    for (size_t o = 0; o < p->outs; o += p->tile) {
        k.w = packed + o * p->ins * p->kernel;
        k.bias = bias ? bias + o : NULL;
        k.y = y + o * p->y_plane * LANES;
        k.count = p->outs - o < p->tile ? p->outs - o : p->tile;
        (at < tiles[kind].most ? tiles[kind].one : inside ? tiles[kind].whole : tiles[kind].edge)(&k);
    }
}

/* Units: lines of the output of all blocks. */
static void by_definition(const real_t *x, const real_t *packed, const real_t *bias, real_t *y,
                          const struct fnn_window *z, int back, int relu, size_t begin, size_t end)
{
    const struct pass p = pass_of(z, back);
    const size_t lines = back ? z->height : z->out_height, phases = p.y_pitch;
    const size_t most = tiles[p.tile == TALL ? 0 : p.tile == WIDE ? 1 : 2].most;
    const size_t group = tiles_of(&p);
    for (size_t unit = begin; unit < end; unit++) {
        const size_t block = unit / lines, line = unit % lines;
        struct work k = {.p = &p, .relu = relu};
        k.down = (back ? taps_back : taps_of)(line, z->kernel_height, z->stride_down, z->dilation_down, z->pad_top);
        clip(&k.down, (ptrdiff_t)p.height);
        for (size_t phase = 0; phase < phases && phase < p.out_width; phase++) {
            const size_t positions = (p.out_width - phase + phases - 1) / phases;
            for (size_t j = 0, at; j < positions; j += at) {
                const size_t column = phase + j * phases;
                at = positions - j < most ? 1 : most;
                k.across = (back ? taps_back : taps_of)(column, z->kernel_width, z->stride_across, z->dilation_across,
                                                        z->pad_left);
                for (size_t g = 0; g < z->groups; g++) {
                    k.x = x + (block * z->groups + g) * p.ins * p.plane * LANES;
                    k.y = y + ((block * z->groups + g) * p.outs * p.y_plane + line * p.out_width + column) * LANES;
                    k.bias = bias ? bias + g * p.outs : NULL;
                    outputs(k, at, packed + g * group);
                }
            }
        }
    }
}

/* The lines of each block by Winograd, where it is possible and the outputs are finite; the others by definition. */
static void run(const real_t *x, const real_t *packed, const real_t *bias, real_t *y, const struct fnn_window *z,
                int back, int relu, size_t begin, size_t end)
{
    const struct pass p = pass_of(z, back);
    const size_t lines = back ? z->height : z->out_height, group = tiles_of(&p);
    const size_t taps = winograd_taps(p.ins, p.outs);
    real_t *space = fnn_winograd(z) ? fnn_pool_alloc(winograd_space(z) * sizeof *space) : NULL;
    for (size_t unit = begin, next; unit < end; unit = next) {
        const size_t block = unit / lines, start = block * lines;
        next = space ? start + lines : end;
        if (next > end)
            next = end;
        int done = space != NULL;
        for (size_t g = 0; done && g < z->groups; g++) {
            const size_t first = block * z->groups + g;
            const struct filter f = {
                .from = {p.height, p.width, p.plane, back ? 2 - (ptrdiff_t)z->pad_top : (ptrdiff_t)z->pad_top,
                         back ? 2 - (ptrdiff_t)z->pad_left : (ptrdiff_t)z->pad_left},
                .x = x + first * p.ins * p.plane * LANES, .y = y + first * p.outs * p.y_plane * LANES,
                .u = packed + z->groups * group + g * taps, .bias = bias ? bias + g * p.outs : NULL, .space = space,
                .ins = p.ins, .outs = p.outs, .y_plane = p.y_plane, .y_width = p.out_width,
                .first = unit - start, .last = next - start, .relu = relu};
            done = winograd_outputs(&f);
        }
        if (!done)
            by_definition(x, packed, bias, y, z, back, relu, unit, next);
    }
    fnn_pool_free(space);
}

void FNN_NAME(conv_pack)(const real_t *w, real_t *packed, const struct fnn_window *z, int back, size_t begin,
                         size_t end)
{
    const struct pass p = pass_of(z, back);
    const size_t in_step = back ? p.outs * p.kernel : p.kernel, out_step = back ? p.kernel : p.ins * p.kernel;
    for (size_t g = begin; g < end; g++)
        for (size_t o0 = 0; o0 < p.outs; o0 += p.tile)
            for (size_t c = 0; c < p.ins; c++)
                for (size_t q = 0; q < p.kernel; q++) {
                    const real_t *from = w + g * p.outs * p.ins * p.kernel + c * in_step + q;
                    for (size_t o = o0; o < o0 + p.tile; o++)
                        *packed++ = o < p.outs ? from[o * out_step] : 0;
                }
    for (size_t g = begin; fnn_winograd(z) && g < end; g++, packed += winograd_taps(p.ins, p.outs))
        winograd_pack(w + g * p.outs * p.ins * p.kernel, packed, p.ins, p.outs, in_step, out_step, back);
}

void FNN_NAME(conv_forward)(const real_t *x, const real_t *packed, const real_t *bias, real_t *y,
                            const struct fnn_window *z, int relu, size_t begin, size_t end)
{
    run(x, packed, bias, y, z, 0, relu, begin, end);
}

void FNN_NAME(conv_backward_input)(const real_t *dy, const real_t *packed, const real_t *bias, real_t *dx,
                                   const struct fnn_window *z, int relu, size_t begin, size_t end)
{
    run(dy, packed, bias, dx, z, 1, relu, begin, end);
}

/* ---- gradients by the weight ---- */

struct slope {
    const struct fnn_window *z;
    const real_t *x, *dy; /* of the first channel and output, in the first block */
    size_t x_block, y_block, plane, out_plane, blocks;
    size_t row, tap;      /* of the kernel; the first tap */
    size_t ja, jb;        /* columns of the output whose taps are all inside */
    size_t outs;          /* that exist */
};

INLINE void flush(acc_t *total, vec_t *sums, const size_t count)
{
#pragma GCC unroll 24
    for (size_t i = 0; i < count; i++) {
        total[i] += vec_sum(sums[i]);
        sums[i] = VEC(0);
    }
}

/* total[o][c][t] += the gradients of DYS outputs by `cs` channels and `ts` taps of one row of the kernel. */
INLINE void slopes(const struct slope *k, acc_t *total, const size_t cs, const size_t ts)
{
    const struct fnn_window *z = k->z;
    const size_t move = z->dilation_across, last = k->outs - 1;
    vec_t sums[DYS * XS];
    size_t passed = 0;
#pragma GCC unroll 24
    for (size_t i = 0; i < DYS * cs * ts; i++)
        sums[i] = VEC(0);
    for (size_t b = 0; b < k->blocks; b++)
        for (size_t i = 0; i < z->out_height; i++) {
            const size_t from = i * z->stride_down + k->row * z->dilation_down - z->pad_top;
            if (from >= z->height) /* or below 0, which is larger than any size */
                continue;
            const real_t *line = k->x + b * k->x_block + from * z->width * LANES;
            const real_t *dline = k->dy + b * k->y_block + i * z->out_width * LANES;
            for (size_t j = 0; j < z->out_width; j++) {
                const size_t at = j * z->stride_across + k->tap * move - z->pad_left;
                const int inside = j >= k->ja && j < k->jb;
                vec_t dys[DYS];
#pragma GCC unroll 4
                for (size_t o = 0; o < DYS; o++)
                    dys[o] = vec_load(dline + ((o < last ? o : last) * k->out_plane + j) * LANES);
#pragma GCC unroll 6
                for (size_t i = 0; i < cs * ts; i++)
                    if (inside || at + i % ts * move < z->width) {
                        const vec_t x = vec_load(line + (i / ts * k->plane + at + i % ts * move) * LANES);
#pragma GCC unroll 4
                        for (size_t o = 0; o < DYS; o++)
                            sums[o * cs * ts + i] += dys[o] * x;
                    }
            }
            passed += z->out_width;
            if (passed + z->out_width > SUM_BLOCK) {
                flush(total, sums, DYS * cs * ts);
                passed = 0;
            }
        }
    flush(total, sums, DYS * cs * ts);
}
#define SLOPES(cs, ts)                                                                                                 \
    static void slopes_##cs##_##ts(const struct slope *k, acc_t *total) { slopes(k, total, cs, ts); }
SLOPES(1, 1) SLOPES(1, 2) SLOPES(1, 3)
#if FNN_VBYTES == 64
SLOPES(1, 4) SLOPES(1, 5) SLOPES(1, 6) SLOPES(2, 3) SLOPES(3, 2) SLOPES(6, 1)
#else
SLOPES(3, 1)
#endif

/* How many channels are taken together for so many taps, and who does it. */
static size_t channels_at_once(size_t taps) { return XS / taps > 0 ? XS / taps : 1; }
static void (*const whole_slopes[])(const struct slope *, acc_t *) = {NULL,
#if FNN_VBYTES == 64
    slopes_6_1, slopes_3_2, slopes_2_3, slopes_1_4, slopes_1_5, slopes_1_6
#else
    slopes_3_1, slopes_1_2, slopes_1_3
#endif
};
static void (*const single_slopes[])(const struct slope *, acc_t *) = {NULL, slopes_1_1, slopes_1_2, slopes_1_3,
#if FNN_VBYTES == 64
    slopes_1_4, slopes_1_5, slopes_1_6
#endif
};

/* One unit, DYS outputs of a group, by its channels [c0, c1). */
static void slopes_of_unit(const real_t *x, const real_t *dy, real_t *dw, const struct fnn_window *z, size_t blocks,
                           int accumulate, size_t unit, size_t c0, size_t c1)
{
    const size_t ins = z->channels / z->groups, outs = z->outputs / z->groups, units = (outs + DYS - 1) / DYS;
    const size_t g = unit / units, o0 = unit % units * DYS;
    struct slope k = {.z = z, .blocks = blocks, .plane = fnn_plane(z->height, z->width),
                      .out_plane = fnn_plane(z->out_height, z->out_width), .outs = outs - o0 < DYS ? outs - o0 : DYS};
    k.x_block = z->channels * k.plane * LANES;
    k.y_block = z->outputs * k.out_plane * LANES;
    k.dy = dy + (g * outs + o0) * k.out_plane * LANES;
    for (size_t taps, tap = 0; tap < z->kernel_width; tap += taps) {
        taps = z->kernel_width - tap < XS ? z->kernel_width - tap : XS;
        const size_t reach = (tap + taps - 1) * z->dilation_across, start = tap * z->dilation_across;
        k.tap = tap;
        k.ja = start < z->pad_left ? (z->pad_left - start + z->stride_across - 1) / z->stride_across : 0;
        k.jb = z->width + z->pad_left > reach ? (z->width + z->pad_left - reach - 1) / z->stride_across + 1 : 0;
        for (size_t c = c0, cs; c < c1; c += cs) {
            cs = c1 - c < channels_at_once(taps) ? 1 : channels_at_once(taps);
            k.x = x + (g * ins + c) * k.plane * LANES;
            for (k.row = 0; k.row < z->kernel_height; k.row++) {
                acc_t total[DYS * XS] = {0};
                (cs > 1 ? whole_slopes : single_slopes)[taps](&k, total);
                for (size_t o = 0; o < k.outs; o++)
                    for (size_t i = 0; i < cs * taps; i++) {
                        const size_t plane = (g * outs + o0 + o) * ins + c + i / taps;
                        const size_t row = plane * z->kernel_height + k.row;
                        real_t *to = dw + row * z->kernel_width + tap + i % taps;
                        *to = R((accumulate ? *to : 0) + total[o * cs * taps + i]);
                    }
            }
        }
    }
}

/* Units [unit, end) of one group: by Winograd, where that gives finite numbers. */
static void slopes_by_winograd(const real_t *x, const real_t *dy, real_t *dw, const struct fnn_window *z, size_t blocks,
                               int accumulate, size_t unit, size_t end, real_t *space)
{
    const size_t ins = z->channels / z->groups, outs = z->outputs / z->groups, units = (outs + DYS - 1) / DYS;
    const size_t g = unit / units, o0 = unit % units * DYS, left = outs - o0, all = (end - unit) * DYS;
    const size_t parts = (ins + GROUP - 1) / GROUP, part = (ins + parts * AT - 1) / (parts * AT) * AT;
    const size_t plane = fnn_plane(z->height, z->width), out_plane = fnn_plane(z->out_height, z->out_width);
    struct taps_gradient k = {
        .x = {z->height, z->width, plane, (ptrdiff_t)z->pad_top, (ptrdiff_t)z->pad_left},
        .dy = {z->out_height, z->out_width, out_plane, 0, 0}, .from_dy = dy + (g * outs + o0) * out_plane * LANES,
        .x_block = z->channels * plane * LANES, .y_block = z->outputs * out_plane * LANES,
        .outs = left < all ? left : all, .blocks = blocks, .down = (z->out_height + 1) / 2,
        .across = (z->out_width + 1) / 2};
    share_space(&k, space);
    for (size_t c0 = 0; c0 < ins; c0 += part) {
        k.ins = ins - c0 < part ? ins - c0 : part;
        k.from_x = x + (g * ins + c0) * plane * LANES;
        if (winograd_totals(&k))
            for (size_t o = 0; o < k.outs; o++)
                for (size_t c = 0; c < k.ins; c++)
                    winograd_taps_of(&k, o, c, dw + ((g * outs + o0 + o) * ins + c0 + c) * 9, accumulate);
        else
            for (size_t u = unit; u < end; u++)
                slopes_of_unit(x, dy, dw, z, blocks, accumulate, u, c0, c0 + k.ins);
    }
}

/* Units: DYS outputs of a group. */
void FNN_NAME(conv_backward_weight)(const real_t *x, const real_t *dy, real_t *dw, const struct fnn_window *z,
                                    size_t blocks, int accumulate, size_t begin, size_t end)
{
    const size_t units = (z->outputs / z->groups + DYS - 1) / DYS, most = GROUP / DYS;
    real_t *space = fnn_winograd(z) ? fnn_pool_alloc(winograd_gradient_space()) : NULL;
    for (size_t unit = begin, next; unit < end; unit = next) {
        next = (unit / units + 1) * units; /* the end of the group */
        next = next < end ? next : end;
        next = next < unit + most ? next : unit + most;
        if (space)
            slopes_by_winograd(x, dy, dw, z, blocks, accumulate, unit, next, space);
        for (size_t u = unit; !space && u < next; u++)
            slopes_of_unit(x, dy, dw, z, blocks, accumulate, u, 0, z->channels / z->groups);
    }
    fnn_pool_free(space);
}

void FNN_NAME(plane_sums)(const real_t *dy, real_t *db, size_t blocks, size_t channels, size_t size, size_t begin,
                          size_t end)
{
    for (size_t c = begin; c < end; c++) {
        acc_t total = 0;
        for (size_t b = 0; b < blocks; b++)
            for (size_t i = 0; i < size; i += SUM_BLOCK) {
                const real_t *plane = dy + (b * channels + c) * (size + 1) * LANES;
                vec_t sums = {0};
                for (size_t j = i; j < size && j < i + SUM_BLOCK; j++)
                    sums += vec_load(plane + j * LANES);
                total += vec_sum(sums);
            }
        db[c] = R(db[c] + total);
    }
}
