/* What the instructions on planes do, a function each: see instructions.c.
 *
 * Planes are in lanes (window.h): a member's rows are whole blocks of them, but for the last, whose missing rows are
 * computed too, where that is less trouble. Gradients are 0 there.
 */
#include "team.h"

#include "fnn.h"
#include "window.h"

#include <string.h>

static size_t blocks(const struct member *m)
{
    const size_t lanes = fnn_lanes(m->type);
    return (m->rows + lanes - 1) / lanes;
}

/* x, y; channels, positions of a plane. */
void fnn_run_to_lanes(struct member *m, instruction i)
{
    const size_t channels = (size_t)i->n[0];
    FOR_BLOCKS_OF_ROWS(first, last)
        fnn_to_lanes_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), m->rows, channels, (size_t)i->n[1], first * channels,
                          last * channels);
}

void fnn_run_from_lanes(struct member *m, instruction i)
{
    const size_t channels = (size_t)i->n[0];
    FOR_BLOCKS_OF_ROWS(first, last)
        fnn_from_lanes_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), m->rows, channels, (size_t)i->n[1],
                            first * channels, last * channels);
}

/* The weights as the kernels take them, at the beginning of the member's scratch. */
static void *packed(const struct member *m, const struct fnn_window *z, const void *w, int back)
{
    fnn_conv_pack(m->type, w, m->scratch, z, back, 0, z->groups);
    return m->scratch;
}

/* ---- few rows, which are not in lanes ---- */

/* The columns of each row of a convolution cut into strips, every row a block: the window of a strip, and the elements
 * of a row. */
struct strips {
    struct fnn_window window;
    size_t x, y;
};

static struct strips strips_of(int type, const struct fnn_window *z)
{
    const size_t lanes = fnn_lanes(type), strip = (z->out_width + lanes - 1) / lanes;
    struct strips s = {*z, 0, 0};
    s.window.width = (strip - 1) * z->stride_across + (z->kernel_width - 1) * z->dilation_across + 1;
    s.window.pad_left = 0;
    s.window.out_width = strip;
    s.x = z->channels * fnn_plane(z->height, s.window.width) * lanes;
    s.y = z->outputs * fnn_plane(z->out_height, strip) * lanes;
    return s;
}

/* The same of the way back, where x is the smaller array: its strips begin at column `first`, and `step` columns after
 * one another. Columns of y are cut into strips of whole strides. */
struct strips_back {
    struct strips s;
    ptrdiff_t first;
    size_t step;
};

static struct strips_back strips_back_of(int type, const struct fnn_window *z)
{
    const size_t lanes = fnn_lanes(type), strides = (z->width + z->stride_across - 1) / z->stride_across;
    const ptrdiff_t stride = (ptrdiff_t)z->stride_across, pad = (ptrdiff_t)z->pad_left;
    const ptrdiff_t least = pad - (ptrdiff_t)((z->kernel_width - 1) * z->dilation_across);
    struct strips_back b = {{*z, 0, 0}, least < 0 ? -((stride - 1 - least) / stride) : least / stride, 0};
    b.step = (strides + lanes - 1) / lanes;
    struct fnn_window *s = &b.s.window;
    s->width = b.step * z->stride_across;
    s->out_width = (size_t)(((ptrdiff_t)s->width - 1 + pad) / stride - b.first + 1);
    s->pad_left = (size_t)(pad - b.first * stride);
    b.s.x = z->outputs * fnn_plane(z->out_height, s->out_width) * lanes;
    b.s.y = z->channels * fnn_plane(z->height, s->width) * lanes;
    return b;
}

/* So many planes of this size in lanes, every one a row of one channel. */
static size_t single_planes(int type, size_t planes, size_t size)
{
    const size_t lanes = fnn_lanes(type);
    return fnn_whole_lines((planes + lanes - 1) / lanes * (size + 1) * lanes);
}

size_t fnn_scratch_of_planes(const struct fnn_program *p, instruction i, size_t rows)
{
    const size_t size = p->type == FNN_TYPE_F64 ? 8 : 4;
    if (i->kind == FNN_RUN_conv_forward || i->kind == FNN_RUN_conv_backward_input)
        return fnn_conv_packed_size(&p->windows[i->n[0]], i->kind == FNN_RUN_conv_backward_input) * size;
    if (i->kind == FNN_RUN_conv_rows || i->kind == FNN_RUN_conv_back_rows) {
        const struct fnn_window *z = &p->windows[i->n[0]];
        const int back = i->kind == FNN_RUN_conv_back_rows;
        const struct strips s = back ? strips_back_of(p->type, z).s : strips_of(p->type, z);
        return (fnn_conv_packed_size(&s.window, back) + fnn_whole_lines(rows * s.x) + rows * s.y) * size;
    }
    if (i->kind == FNN_RUN_pool_rows) {
        const struct fnn_window *z = &p->windows[i->n[0]];
        return (single_planes(p->type, rows * z->channels, z->height * z->width) +
                single_planes(p->type, rows * z->channels, z->out_height * z->out_width)) * size;
    }
    return 0;
}

/* x, w, b, y; window, whether y is max(0, convolution): the columns of each row in strips, every row a block. */
void fnn_run_conv_rows(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    const struct strips s = strips_of(m->type, z);
    FOR_SHARE(m->rows, ROW_STEP) {
        const size_t rows = end - begin, strip = s.window.out_width;
        char *w = packed(m, &s.window, at(m, i, 1, 0), 0), *x = w + fnn_conv_packed_size(&s.window, 0) * m->size;
        char *y = x + fnn_whole_lines(rows * s.x) * m->size;
        fnn_to_strips_part(m->type, at(m, i, 0, begin * z->channels * z->height * z->width), x, z, strip,
                           s.window.width, 0, rows * z->channels * z->height);
        fnn_conv_forward_part(m->type, x, w, at(m, i, 2, 0), y, &s.window, i->n[1] != 0, 0, rows * z->out_height);
        fnn_from_strips_part(m->type, y, at(m, i, 3, begin * z->outputs * z->out_height * z->out_width), z, strip, 0,
                             rows * z->outputs * z->out_height);
    }
}

/* The way back, for transposed convolutions: x, w, b, y; window, whether y is max(0, what comes back). */
void fnn_run_conv_back_rows(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    const struct strips_back b = strips_back_of(m->type, z);
    struct fnn_window from = *z, to = *z; /* where x and y lie as the inputs and the outputs of a convolution do */
    from.height = z->out_height, from.width = z->out_width, from.stride_across = 1, from.pad_left = (size_t)-b.first;
    to.out_height = z->height, to.out_width = z->width;
    FOR_SHARE(m->rows, ROW_STEP) {
        const size_t rows = end - begin;
        char *w = packed(m, &b.s.window, at(m, i, 1, 0), 1);
        char *x = w + fnn_conv_packed_size(&b.s.window, 1) * m->size;
        char *y = x + fnn_whole_lines(rows * b.s.x) * m->size;
        fnn_to_strips_part(m->type, at(m, i, 0, begin * z->outputs * z->out_height * z->out_width), x, &from, b.step,
                           b.s.window.out_width, 0, rows * z->outputs * z->out_height);
        fnn_conv_backward_input_part(m->type, x, w, at(m, i, 2, 0), y, &b.s.window, i->n[1] != 0, 0,
                                     rows * z->height);
        fnn_from_strips_part(m->type, y, at(m, i, 3, begin * z->channels * z->height * z->width), &to,
                             b.s.window.width, 0, rows * z->channels * z->height);
    }
}

/* x, y; window, whether padding counts, whether means: every plane is a row of one channel. */
void fnn_run_pool_rows(struct member *m, instruction i)
{
    struct fnn_window z = m->program->windows[i->n[0]];
    const size_t lanes = fnn_lanes(m->type), channels = z.channels, size = z.height * z.width;
    const size_t out = z.out_height * z.out_width;
    z.channels = z.outputs = 1;
    FOR_SHARE(m->rows, ROW_STEP) {
        const size_t planes = (end - begin) * channels, count = (planes + lanes - 1) / lanes;
        char *x = m->scratch, *y = x + single_planes(m->type, planes, size) * m->size;
        fnn_to_lanes_part(m->type, at(m, i, 0, begin * channels * size), x, planes, 1, size, 0, count);
        if (i->n[2])
            fnn_avg_pool_forward_part(m->type, x, y, &z, i->n[1] != 0, 0, count);
        else
            fnn_max_pool_forward_part(m->type, x, y, &z, 0, count);
        fnn_from_lanes_part(m->type, y, at(m, i, 1, begin * channels * out), planes, 1, out, 0, count);
    }
}

/* ---- in lanes ---- */

/* x, w, b, y; window, whether y is max(0, convolution). */
void fnn_run_conv_forward(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    FOR_BLOCKS_OF_ROWS(first, last) {
        void *w = packed(m, z, at(m, i, 1, 0), 0);
        fnn_conv_forward_part(m->type, at(m, i, 0, 0), w, at(m, i, 2, 0), at(m, i, 3, 0), z, i->n[1] != 0,
                              first * z->out_height, last * z->out_height);
    }
}

/* dy, w, b, dx; window, whether dx is max(0, what comes back): a transposed convolution has a bias and a rectifier. */
void fnn_run_conv_backward_input(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    FOR_BLOCKS_OF_ROWS(first, last) {
        void *w = packed(m, z, at(m, i, 1, 0), 1);
        fnn_conv_backward_input_part(m->type, at(m, i, 0, 0), w, at(m, i, 2, 0), at(m, i, 3, 0), z, i->n[1] != 0,
                                     first * z->height, last * z->height);
    }
}

/* x, dy, g; window, parameter, whether to add to g. */
void fnn_run_conv_backward_params(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    const size_t outs = z->outputs / z->groups, units = (outs + FNN_CONV_OUTPUTS - 1) / FNN_CONV_OUTPUTS;
    const size_t each = z->channels / z->groups * z->kernel_height * z->kernel_width; /* elements of an output */
    FOR_SHARE(units * z->groups, 1) {
        void *g = i->v[2] ? at(m, i, 2, 0) : m->scratch;
        fnn_conv_backward_weight_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), g, z, blocks(m), i->n[2] != 0, begin,
                                      end);
        /* Unit by unit: the last vector of a range may round otherwise, and who takes which must change no bit. */
        for (size_t unit = begin; !i->v[2] && unit < end; unit++) {
            const size_t o = unit % units * FNN_CONV_OUTPUTS, left = outs - o, base = unit / units * outs + o;
            const size_t count = left < FNN_CONV_OUTPUTS ? left : FNN_CONV_OUTPUTS;
            const size_t first = base * each, last = (base + count) * each;
            fnn_update(m, i->n[1], (char *)g + first * m->size, first, last);
        }
    }
}

/* dy, g; channels, positions of a plane, parameter, whether to add to g. */
void fnn_run_plane_sums(struct member *m, instruction i)
{
    const size_t channels = (size_t)i->n[0];
    FOR_SHARE(chunks(channels, FNN_CONV_OUTPUTS), 1)
    for (size_t first = begin * FNN_CONV_OUTPUTS, last; first < channels && first < end * FNN_CONV_OUTPUTS;
         first = last) {
        char *g = i->v[1] ? at(m, i, 1, 0) : m->scratch;
        last = first + FNN_CONV_OUTPUTS < channels ? first + FNN_CONV_OUTPUTS : channels;
        if (!i->n[3])
            memset(g + first * m->size, 0, (last - first) * m->size);
        fnn_plane_sums_part(m->type, at(m, i, 0, 0), g, blocks(m), channels, (size_t)i->n[1], first, last);
        if (!i->v[1])
            fnn_update(m, i->n[2], g + first * m->size, first, last);
    }
}

/* x, y; window. */
void fnn_run_max_pool_forward(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    FOR_BLOCKS_OF_ROWS(first, last)
        fnn_max_pool_forward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), z, first * z->channels, last * z->channels);
}

/* x, dy, dx; window. */
void fnn_run_max_pool_backward(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    FOR_BLOCKS_OF_ROWS(first, last)
        fnn_max_pool_backward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), z, first * z->channels,
                                   last * z->channels);
}

/* x, y, or dy, dx; window, whether padding counts. */
void fnn_run_avg_pool_forward(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    FOR_BLOCKS_OF_ROWS(first, last)
        fnn_avg_pool_forward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), z, i->n[1] != 0, first * z->channels,
                                  last * z->channels);
}

void fnn_run_avg_pool_backward(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    FOR_BLOCKS_OF_ROWS(first, last)
        fnn_avg_pool_backward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), z, i->n[1] != 0, first * z->channels,
                                   last * z->channels);
}

static struct fnn_planes planes_of(const struct member *m, instruction i, int rows)
{
    const size_t lanes = fnn_lanes(m->type), channels = (size_t)i->n[0], size = (size_t)i->n[1];
    if (rows)
        return (struct fnn_planes){m->rows, size, channels * size, size, 0};
    return (struct fnn_planes){blocks(m), size * lanes, channels * (size + 1) * lanes, (size + 1) * lanes,
                               m->rows % lanes};
}

/* x, w, b, y, mean, var, running mean, running var; channels, positions of a plane, counter or -1, whether momentum is
 * none, whether not in lanes, whether y is max(0, y); eps, momentum. */
void fnn_run_batch_norm_planes(struct member *m, instruction i)
{
    const struct fnn_planes p = planes_of(m, i, i->n[4] != 0);
    FOR_SHARE((size_t)i->n[0], 1) {
        fnn_batch_norm_planes_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0),
                                   at(m, i, 4, 0), at(m, i, 5, 0), &p, 0, i->n[5] != 0, i->d[0], begin, end);
        fnn_track(m, i, (double)m->rows * (double)i->n[1], begin, end);
    }
}

/* x, mean, var, w, b, dy, dx, dw, db; channels, positions of a plane, whether y is max(0, y), whether the statistics do
 * not come from x; eps. */
void fnn_run_batch_norm_planes_backward(struct member *m, instruction i)
{
    const struct fnn_planes p = planes_of(m, i, 0);
    FOR_SHARE((size_t)i->n[0], 1)
        fnn_batch_norm_planes_backward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0),
                                            at(m, i, 4, 0), at(m, i, 5, 0), at(m, i, 6, 0), at(m, i, 7, 0),
                                            at(m, i, 8, 0), &p, i->n[3] != 0, i->n[2] != 0, i->d[0], begin, end);
}

/* x, mean, var, w, b, y; channels, positions of a plane, whether not in lanes, whether y is max(0, y); eps. */
void fnn_run_batch_norm_planes_inference(struct member *m, instruction i)
{
    const struct fnn_planes p = planes_of(m, i, i->n[2] != 0);
    FOR_SHARE((size_t)i->n[0], 1)
        fnn_batch_norm_planes_part(m->type, at(m, i, 0, 0), at(m, i, 3, 0), at(m, i, 4, 0), at(m, i, 5, 0),
                                   at(m, i, 1, 0), at(m, i, 2, 0), &p, 1, i->n[3] != 0, i->d[0], begin, end);
}
