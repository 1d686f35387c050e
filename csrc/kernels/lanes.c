/* Planes of a batch to lanes and back (window.h), as they are or cut into strips.
 *
 * In strips, a row of the batch lies in lanes by itself: lane l holds the columns of the input that `strip` columns of
 * the output from l * strip on read, padding included. A batch of few rows then fills the lanes too.
 */
#include "kernel.h"
#include "window.h"

/* Elements beyond those at work that are fetched: of so many rows at once the processor does not foresee them. */
enum { AHEAD = 4 * LANES };

/* Units: planes of all blocks. Lanes without a row become 0, which keeps them out of every sum. */
void FNN_NAME(to_lanes)(const real_t *x, real_t *y, size_t rows, size_t channels, size_t size, size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        const size_t first = unit / channels * LANES, count = rows - first < LANES ? rows - first : LANES;
        const real_t *from = x + (first * channels + unit % channels) * size;
        real_t *to = y + unit * (size + 1) * LANES;
        FOR_VECTORS(i, n, 0, size, {
            vec_t square[LANES];
            for (size_t row = 0; row < LANES; row++) {
                __builtin_prefetch(from + row * channels * size + i + AHEAD);
                square[row] = row < count ? vec_get(from + row * channels * size + i, n, 0) : VEC(0);
            }
            vec_transpose(square);
            for (size_t l = 0; l < n; l++)
                vec_store(to + (i + l) * LANES, square[l]);
        })
        vec_store(to + size * LANES, VEC(0));
    }
}

void FNN_NAME(from_lanes)(const real_t *x, real_t *y, size_t rows, size_t channels, size_t size, size_t begin,
                          size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        const size_t first = unit / channels * LANES, count = rows - first < LANES ? rows - first : LANES;
        const real_t *from = x + unit * (size + 1) * LANES;
        real_t *to = y + (first * channels + unit % channels) * size;
        FOR_VECTORS(i, n, 0, size, {
            vec_t square[LANES];
            for (size_t l = 0; l < LANES; l++)
                square[l] = l < n ? vec_load(from + (i + l) * LANES) : VEC(0);
            vec_transpose(square);
            for (size_t row = 0; row < count; row++) {
                __builtin_prefetch(to + row * channels * size + i + AHEAD, 1);
                vec_put(to + row * channels * size + i, square[row], n);
            }
        })
    }
}

/* x (rows, channels, height, width) to y, whose width is strip_width; units: lines of the input, of all planes. */
void FNN_NAME(to_strips)(const real_t *x, real_t *y, const struct fnn_window *z, size_t strip, size_t strip_width,
                         size_t begin, size_t end)
{
    const size_t step = strip * z->stride_across, plane = fnn_plane(z->height, strip_width);
    for (size_t unit = begin; unit < end; unit++) {
        const real_t *from = x + unit * z->width;
        real_t *to = y + (unit / z->height * plane + unit % z->height * strip_width) * LANES;
        for (size_t i = 0; i < strip_width; i++)
            for (size_t l = 0; l < LANES; l++) {
                const size_t at = l * step + i - z->pad_left; /* left of the plane: larger than any width */
                to[i * LANES + l] = at < z->width ? from[at] : 0;
            }
    }
}

/* The other way for outputs: x in strips of `strip` columns, y (rows, outputs, out_height, out_width); units: lines. */
void FNN_NAME(from_strips)(const real_t *x, real_t *y, const struct fnn_window *z, size_t strip, size_t begin,
                           size_t end)
{
    const size_t plane = fnn_plane(z->out_height, strip);
    for (size_t unit = begin; unit < end; unit++) {
        const real_t *from = x + (unit / z->out_height * plane + unit % z->out_height * strip) * LANES;
        real_t *to = y + unit * z->out_width;
        for (size_t l = 0; l * strip < z->out_width; l++)
            for (size_t i = 0; i < strip && l * strip + i < z->out_width; i++)
                to[l * strip + i] = from[i * LANES + l];
    }
}
