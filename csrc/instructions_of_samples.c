/* What the instructions do that treat every sample by itself, and neither slide windows over it nor multiply it by
 * weights, a function each: norms of samples, dropped channels, padded and enlarged planes. See instructions.c.
 */
#include "team.h"

#include "fnn.h"
#include "window.h"

#include <string.h>

/* ---- norms; `per`: how many samples a row of the batch has ---- */

/* x, w, b, y; groups of a sample, elements of a group, elements that share one of w, per, whether centred; eps. */
void fnn_run_sample_norm_forward(struct member *m, instruction i)
{
    const size_t groups = (size_t)i->n[0], rows = groups * (size_t)i->n[3];
    FOR_SHARE(m->rows, ROW_STEP)
        fnn_sample_norm_forward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0), groups,
                                     (size_t)i->n[1], (size_t)i->n[2], i->n[4] != 0, i->d[0], begin * rows, end * rows);
}

/* x, w, dy, dx, sums of gradients by w and by b; as above. Each of the sums has a row for every ROW_STEP samples, so
 * that what is added up does not depend on who works on which. */
void fnn_run_sample_norm_backward(struct member *m, instruction i)
{
    const size_t per = (size_t)i->n[3];
    FOR_SHARE(m->rows, ROW_STEP)
        fnn_sample_norm_backward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0),
                                      at(m, i, 4, 0), at(m, i, 5, 0), m->rows * per, ROW_STEP, (size_t)i->n[0],
                                      (size_t)i->n[1], (size_t)i->n[2], i->n[4] != 0, i->d[0], begin / ROW_STEP * per,
                                      chunks(end * per, ROW_STEP));
}

/* x, w, b, y in lanes; groups, channels, positions of a plane; eps. */
void fnn_run_group_norm_planes_forward(struct member *m, instruction i)
{
    const size_t groups = (size_t)i->n[0];
    FOR_BLOCKS_OF_ROWS(first, last)
        fnn_group_norm_planes_forward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0),
                                           m->rows, groups, (size_t)i->n[1], (size_t)i->n[2], i->d[0], first * groups,
                                           last * groups);
}

/* x, w, dy, dx, sums of gradients by w and by b, which have a row for every block of rows; as above. */
void fnn_run_group_norm_planes_backward(struct member *m, instruction i)
{
    const size_t groups = (size_t)i->n[0];
    FOR_BLOCKS_OF_ROWS(first, last)
        fnn_group_norm_planes_backward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0),
                                            at(m, i, 4, 0), at(m, i, 5, 0), m->rows, groups, (size_t)i->n[1],
                                            (size_t)i->n[2], i->d[0], first * groups, last * groups);
}

/* ---- dropped channels ---- */

#define FILL(real)                                                                                                     \
    static void fill_##real(real *x, size_t begin, size_t end)                                                         \
    {                                                                                                                  \
        for (size_t j = begin; j < end; j++)                                                                           \
            x[j] = 1;                                                                                                  \
    }
FILL(float)
FILL(double)

/* factors; channels of a row, mask, threshold; scale: 0 or the scale for each channel. */
void fnn_run_channel_mask(struct member *m, instruction i)
{
    const size_t size = m->rows * (size_t)i->n[0];
    const struct fnn_mask *mask = &m->program->masks[i->n[1]];
    void *factors = at(m, i, 0, 0);
    FOR_SHARE(chunks(size, FNN_DROPOUT_CHUNK), FNN_STEP_chunks) {
        const size_t last = end * FNN_DROPOUT_CHUNK < size ? end * FNN_DROPOUT_CHUNK : size;
        if (m->type == FNN_TYPE_F64)
            fill_double(factors, begin * FNN_DROPOUT_CHUNK, last);
        else
            fill_float(factors, begin * FNN_DROPOUT_CHUNK, last);
        fnn_dropout_part(m->type, factors, factors, size, (uint32_t)i->n[2], i->d[0], mask->key, mask->step, begin,
                         end);
    }
}

/* x, factors, y, which may be x; channels, positions of a plane. */
void fnn_run_scale_planes(struct member *m, instruction i)
{
    const size_t channels = (size_t)i->n[0];
    FOR_BLOCKS_OF_ROWS(first, last)
        fnn_scale_planes_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), m->rows, channels,
                              (size_t)i->n[1], first * channels, last * channels);
}

/* ---- padded planes ---- */

struct plane {
    ptrdiff_t height, width;
};

static ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
static ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* `count` planes, of positions of `bytes` bytes and `gap` more of them behind each: x begins at (top, left) of y, which
 * may lie outside; what is in y alone becomes 0. */
static void pad_planes(const char *x, struct plane from, char *y, struct plane to, ptrdiff_t top, ptrdiff_t left,
                       size_t count, size_t bytes, ptrdiff_t gap)
{
    const size_t x_plane = (size_t)(from.height * from.width + gap) * bytes;
    const size_t y_plane = (size_t)(to.height * to.width + gap) * bytes;
    const ptrdiff_t j = larger(0, -left), columns = smaller(from.width, to.width - left) - j;
    memset(y, 0, count * y_plane);
    if (columns <= 0)
        return;
    for (; count--; x += x_plane, y += y_plane)
        for (ptrdiff_t r = larger(0, -top); r < smaller(from.height, to.height - top); r++)
            memcpy(y + (size_t)((r + top) * to.width + j + left) * bytes, x + (size_t)(r * from.width + j) * bytes,
                   (size_t)columns * bytes);
}

/* The member's own planes of operand 0, of a size, to those of operand 1. */
static void pad_rows(struct member *m, instruction i, struct plane from, struct plane to, ptrdiff_t top, ptrdiff_t left)
{
    const size_t channels = m->program->windows[i->n[0]].channels;
    const size_t x_size = channels * (size_t)(from.height * from.width);
    const size_t y_size = channels * (size_t)(to.height * to.width);
    if (i->n[3]) {
        FOR_BLOCKS_OF_ROWS(first, last)
            pad_planes(at(m, i, 0, first * (x_size + channels) * lanes_), from,
                       at(m, i, 1, first * (y_size + channels) * lanes_), to, top, left, (last - first) * channels,
                       lanes_ * m->size, 1);
    } else {
        FOR_SHARE(m->rows, ROW_STEP)
            pad_planes(at(m, i, 0, begin * x_size), from, at(m, i, 1, begin * y_size), to, top, left,
                       (end - begin) * channels, m->size, 0);
    }
}

/* x, y; window without a kernel, lines and columns before x (negative: that are cut off), whether in lanes. */
void fnn_run_pad_forward(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    const struct plane in = {(ptrdiff_t)z->height, (ptrdiff_t)z->width};
    const struct plane out = {(ptrdiff_t)z->out_height, (ptrdiff_t)z->out_width};
    pad_rows(m, i, in, out, (ptrdiff_t)i->n[1], (ptrdiff_t)i->n[2]);
}

/* dy, dx; as above. */
void fnn_run_pad_backward(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    const struct plane in = {(ptrdiff_t)z->height, (ptrdiff_t)z->width};
    const struct plane out = {(ptrdiff_t)z->out_height, (ptrdiff_t)z->out_width};
    pad_rows(m, i, out, in, -(ptrdiff_t)i->n[1], -(ptrdiff_t)i->n[2]);
}

/* ---- enlarged planes ---- */

/* x, y; window whose kernel is what a position becomes, whether in lanes. */
void fnn_run_upsample_forward(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    const size_t lines = z->channels * z->height;
    if (i->n[1]) {
        FOR_BLOCKS_OF_ROWS(first, last)
            fnn_upsample_planes_forward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), z, first * z->channels,
                                             last * z->channels);
    } else {
        FOR_SHARE(m->rows, ROW_STEP)
            fnn_upsample_forward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), z->width, z->kernel_height,
                                      z->kernel_width, begin * lines, end * lines);
    }
}

/* dy, dx; window as above; in lanes. */
void fnn_run_upsample_backward(struct member *m, instruction i)
{
    const struct fnn_window *z = &m->program->windows[i->n[0]];
    FOR_BLOCKS_OF_ROWS(first, last)
        fnn_upsample_planes_backward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), z, first * z->channels,
                                          last * z->channels);
}
