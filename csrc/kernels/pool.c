/* Pooling of planes in lanes (window.h), and its gradients; units: planes.
 *
 * Precision: maxima are exact, NaN counts as the largest number. Means are sums in real_t over a window, row by row.
 */
#include "kernel.h"
#include "window.h"

#include <math.h>

/* The part of a window along an axis that lies inside: positions begin, begin + step, ... below end. A kernel of size 0
 * stands for windows that cover the axis evenly. */
struct span {
    size_t begin, end;
};

static struct span span_of(size_t at, size_t size, size_t out, size_t kernel, size_t stride, size_t dilation,
                           size_t pad)
{
    if (kernel == 0)
        return (struct span){at * size / out, ((at + 1) * size + out - 1) / out};
    size_t begin = at * stride, end = begin + (kernel - 1) * dilation + 1;
    while (begin < pad)
        begin += dilation;
    end = end > pad ? end - pad : 0;
    begin -= pad;
    end = end < size ? end : size;
    return (struct span){begin, end > begin ? end : begin};
}

static struct span down_of(const struct fnn_window *z, size_t i)
{
    return span_of(i, z->height, z->out_height, z->kernel_height, z->stride_down, z->dilation_down, z->pad_top);
}

static struct span across_of(const struct fnn_window *z, size_t j)
{
    return span_of(j, z->width, z->out_width, z->kernel_width, z->stride_across, z->dilation_across, z->pad_left);
}

/* Runs the body for every window of a plane, whose element is `out` and whose inside is `down` x `across`. */
#define FOR_WINDOWS(z, out, down, across, ...)                                                                         \
    for (size_t i_ = 0, out = 0; i_ < (z)->out_height; i_++) {                                                         \
        const struct span down = down_of(z, i_);                                                                       \
        for (size_t j_ = 0; j_ < (z)->out_width; j_++, out++) {                                                        \
            const struct span across = across_of(z, j_);                                                               \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define FOR_TAPS(z, at, down, across, ...)                                                                             \
    for (size_t r_ = (down).begin; r_ < (down).end; r_ += (z)->dilation_down)                                          \
        for (size_t c_ = (across).begin; c_ < (across).end; c_ += (z)->dilation_across) {                              \
            const size_t at = (r_ * (z)->width + c_) * LANES;                                                          \
            __VA_ARGS__                                                                                                \
        }

INLINE vec_t larger(vec_t x, vec_t most) { return vec_select((x > most) | (x != x), x, most); }

void FNN_NAME(max_pool_forward)(const real_t *x, real_t *y, const struct fnn_window *z, size_t begin, size_t end)
{
    const size_t plane = fnn_plane(z->height, z->width) * LANES;
    const size_t y_plane = fnn_plane(z->out_height, z->out_width) * LANES;
    for (size_t unit = begin; unit < end; unit++) {
        const real_t *from = x + unit * plane;
        FOR_WINDOWS(z, out, down, across, {
            vec_t most = VEC(-INFINITY);
            FOR_TAPS(z, at, down, across, { most = larger(vec_load(from + at), most); })
            vec_store(y + unit * y_plane + out * LANES, most);
        })
    }
}

/* Whether every element is in one window. */
static int tiled(const struct fnn_window *z)
{
    return z->stride_down == z->kernel_height && z->stride_across == z->kernel_width && z->dilation_down == 1 &&
           z->dilation_across == 1 && z->out_height * z->kernel_height == z->height &&
           z->out_width * z->kernel_width == z->width && z->pad_top == 0 && z->pad_left == 0;
}

/* To the first of the largest elements. */
void FNN_NAME(max_pool_backward)(const real_t *x, const real_t *dy, real_t *dx, const struct fnn_window *z,
                                 size_t begin, size_t end)
{
    const size_t plane = fnn_plane(z->height, z->width) * LANES;
    const size_t y_plane = fnn_plane(z->out_height, z->out_width) * LANES;
    const int alone = tiled(z);
    for (size_t unit = begin; unit < end; unit++) {
        const real_t *from = x + unit * plane;
        real_t *to = dx + unit * plane;
        if (!alone)
            memset(to, 0, plane * sizeof *to);
        FOR_WINDOWS(z, out, down, across, {
            const vec_t grad = vec_load(dy + unit * y_plane + out * LANES);
            vec_t most = VEC(-INFINITY);
            mask_t open = ~(mask_t){0};
            FOR_TAPS(z, at, down, across, { most = larger(vec_load(from + at), most); })
            FOR_TAPS(z, at, down, across, {
                const vec_t v = vec_load(from + at);
                const mask_t hit = open & ((v == most) | (v != v));
                vec_store(to + at, (alone ? VEC(0) : vec_load(to + at)) + vec_select(hit, grad, VEC(0)));
                open &= ~hit;
            })
        })
    }
}

static real_t share_of(const struct fnn_window *z, struct span down, struct span across, int pad_counts)
{
    const size_t inside = (down.end - down.begin) * (across.end - across.begin);
    return 1 / R(pad_counts ? z->kernel_height * z->kernel_width : inside);
}

void FNN_NAME(avg_pool_forward)(const real_t *x, real_t *y, const struct fnn_window *z, int pad_counts, size_t begin,
                                size_t end)
{
    const size_t plane = fnn_plane(z->height, z->width) * LANES;
    const size_t y_plane = fnn_plane(z->out_height, z->out_width) * LANES;
    for (size_t unit = begin; unit < end; unit++)
        FOR_WINDOWS(z, out, down, across, {
            vec_t sum = VEC(0);
            for (size_t r = down.begin; r < down.end; r++) {
                vec_t row = VEC(0);
                for (size_t c = across.begin; c < across.end; c++)
                    row += vec_load(x + unit * plane + (r * z->width + c) * LANES);
                sum += row;
            }
            vec_store(y + unit * y_plane + out * LANES, sum * share_of(z, down, across, pad_counts));
        })
}

void FNN_NAME(avg_pool_backward)(const real_t *dy, real_t *dx, const struct fnn_window *z, int pad_counts, size_t begin,
                                 size_t end)
{
    const size_t plane = fnn_plane(z->height, z->width) * LANES;
    const size_t y_plane = fnn_plane(z->out_height, z->out_width) * LANES;
    for (size_t unit = begin; unit < end; unit++) {
        real_t *to = dx + unit * plane;
        memset(to, 0, plane * sizeof *to);
        FOR_WINDOWS(z, out, down, across, {
            const vec_t grad = vec_load(dy + unit * y_plane + out * LANES) * share_of(z, down, across, pad_counts);
            FOR_TAPS(z, at, down, across, { vec_store(to + at, vec_load(to + at) + grad); })
        })
    }
}
