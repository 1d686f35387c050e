/* Planes in lanes (window.h) scaled by a factor each, and with every position repeated; units: planes.
 *
 * Precision: one multiplication in real_t; sums over the repetitions of a position in real_t, line by line.
 */
#include "kernel.h"
#include "window.h"

void FNN_NAME(scale_planes)(const real_t *x, const real_t *factors, real_t *y, size_t rows, size_t channels,
                            size_t size, size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        const size_t first = unit / channels * LANES, at = unit * (size + 1) * LANES;
        real_t lanes[LANES] = {0};
        for (size_t l = 0; l < LANES && first + l < rows; l++)
            lanes[l] = factors[(first + l) * channels + unit % channels];
        const vec_t factor = vec_load(lanes);
        for (size_t i = at; i < at + size * LANES; i += LANES)
            vec_store(y + i, vec_load(x + i) * factor);
    }
}

void FNN_NAME(upsample_planes_forward)(const real_t *x, real_t *y, const struct fnn_window *z, size_t begin, size_t end)
{
    const size_t down = z->kernel_height, across = z->kernel_width, line = z->out_width * LANES;
    for (size_t unit = begin; unit < end; unit++) {
        const real_t *from = x + unit * fnn_plane(z->height, z->width) * LANES;
        real_t *to = y + unit * fnn_plane(z->out_height, z->out_width) * LANES;
        for (size_t i = 0; i < z->height; i++, to += down * line) {
            real_t *put = to;
            for (size_t j = 0; j < z->width; j++, from += LANES)
                for (size_t k = 0; k < across; k++, put += LANES)
                    vec_store(put, vec_load(from));
            for (size_t k = 1; k < down; k++)
                memcpy(to + k * line, to, line * sizeof *to);
        }
    }
}

void FNN_NAME(upsample_planes_backward)(const real_t *dy, real_t *dx, const struct fnn_window *z, size_t begin,
                                        size_t end)
{
    const size_t down = z->kernel_height, across = z->kernel_width, line = z->out_width * LANES;
    for (size_t unit = begin; unit < end; unit++) {
        const real_t *from = dy + unit * fnn_plane(z->out_height, z->out_width) * LANES;
        real_t *to = dx + unit * fnn_plane(z->height, z->width) * LANES;
        for (size_t i = 0; i < z->height; i++, from += (down - 1) * line)
            for (size_t j = 0; j < z->width; j++, to += LANES, from += across * LANES) {
                vec_t sum = VEC(0);
                for (size_t r = 0; r < down; r++) {
                    vec_t row = VEC(0);
                    for (size_t c = 0; c < across; c++)
                        row += vec_load(from + r * line + c * LANES);
                    sum += row;
                }
                vec_store(to, sum);
            }
    }
}
