/* Pooling of planes in lanes (window.h), and its gradients; of windows of two by two also of planes as they are. Units:
 * planes.
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

static size_t steps(struct span s, size_t dilation) { return (s.end - s.begin + dilation - 1) / dilation; }

/* Whether every element is in one window. */
static int tiled(const struct fnn_window *z)
{
    return z->stride_down == z->kernel_height && z->stride_across == z->kernel_width && z->dilation_down == 1 &&
           z->dilation_across == 1 && z->out_height * z->kernel_height == z->height &&
           z->out_width * z->kernel_width == z->width && z->pad_top == 0 && z->pad_left == 0;
}

/* Adds grad to the first of the largest of down x across elements, `line` and `step` apart; alone: there is nothing to
 * add to. */
INLINE void route(const real_t *from, real_t *to, vec_t grad, size_t down, size_t across, size_t line, size_t step,
                  int alone)
{
    vec_t most = VEC(-INFINITY);
    mask_t winner = {0};
#pragma GCC unroll 3
    for (size_t r = 0; r < down; r++)
#pragma GCC unroll 3
        for (size_t c = 0; c < across; c++) {
            const vec_t v = vec_load(from + r * line + c * step);
            const mask_t better = ~(v <= most) & (most == most);
            most = vec_select(better, v, most);
            winner = (better & (int_t)(r * across + c)) | (~better & winner);
        }
#pragma GCC unroll 3
    for (size_t r = 0; r < down; r++)
#pragma GCC unroll 3
        for (size_t c = 0; c < across; c++) {
            real_t *at = to + r * line + c * step;
            const vec_t part = (vec_t)((mask_t)(winner == (int_t)(r * across + c)) & (mask_t)grad);
            vec_store(at, alone ? part : vec_load(at) + part);
        }
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
            const size_t rows = steps(down, z->dilation_down), cols = steps(across, z->dilation_across);
            const size_t line = z->dilation_down * z->width * LANES, step = z->dilation_across * LANES;
            const size_t first = (down.begin * z->width + across.begin) * LANES;
            if (rows == 3 && cols == 3) /* constants, which the compiler unrolls */
                route(from + first, to + first, grad, 3, 3, line, step, alone);
            else if (rows == 3 && cols == 2)
                route(from + first, to + first, grad, 3, 2, line, step, alone);
            else if (rows == 2 && cols == 3)
                route(from + first, to + first, grad, 2, 3, line, step, alone);
            else if (rows == 2 && cols == 2)
                route(from + first, to + first, grad, 2, 2, line, step, alone);
            else
                route(from + first, to + first, grad, rows, cols, line, step, alone);
        })
    }
}

/* Lane l is lane l / 2 of v. */
INLINE vec_t doubled(vec_t v)
{
    vec_t twice;
#ifdef __clang__
    for (int_t l = 0; l < LANES; l++)
        twice[l] = v[l / 2];
#else
    static const int_t lanes[16] = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7};
    mask_t index;
    memcpy(&index, lanes, sizeof index);
    twice = __builtin_shuffle(v, index);
#endif
    return twice;
}

INLINE mask_t largest(vec_t v, vec_t most) { return (v == most) | (v != v); }

/* Of windows of two by two side by side, planes as they are in a batch: a pair of lanes has one line of a window. */
void FNN_NAME(max_pool_pairs_backward)(const real_t *x, const real_t *dy, real_t *dx, const struct fnn_window *z,
                                       size_t begin, size_t end)
{
    static const int_t odd_lanes[16] = {0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1};
    mask_t odd;
    memcpy(&odd, odd_lanes, sizeof odd);
    for (size_t line = begin * z->out_height; line < end * z->out_height; line++) {
        const real_t *top = x + 2 * line * z->width, *grads = dy + line * z->out_width;
        real_t *to = dx + 2 * line * z->width;
        FOR_VECTORS(j, n, 0, z->width, {
            const vec_t a = vec_get(top + j, n, 0), b = vec_get(top + z->width + j, n, 0);
            const vec_t grad = doubled(vec_load_n(grads + j / 2, n / 2, 0));
            const vec_t beside_a = vec_swap(a, 1), beside_b = vec_swap(b, 1);
            const vec_t most = larger(larger(a, beside_a), larger(b, beside_b));
            const mask_t in_a = largest(a, most), in_top = in_a | largest(beside_a, most);
            const mask_t first_a = in_a & ~(odd & largest(beside_a, most));
            const mask_t first_b = largest(b, most) & ~in_top & ~(odd & largest(beside_b, most));
            vec_put(to + j, vec_select(first_a, grad, VEC(0)), n);
            vec_put(to + z->width + j, vec_select(first_b, grad, VEC(0)), n);
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
