/* The geometry of a kernel that slides over planes, for convolutions and pooling, and how arrays lie for it.
 *
 * In lanes: rows of a batch lie LANES together, so that every vector holds one element of as many rows and no position,
 * channel or padding wastes any of it. An array (rows, channels, height, width) is
 *     [blocks of LANES rows][channels][height * width + 1][LANES]
 * where a plane has one position more than it needs: planes that are a power of two apart would share sets of a cache.
 */
#ifndef FNN_WINDOW_H
#define FNN_WINDOW_H

#include <stddef.h>

enum { FNN_CONV_OUTPUTS = 4, FNN_CONV_TILE = 8 }; /* that conv_backward_weight takes together; at most, in a tile */
enum { FNN_WINOGRAD = 8 };                         /* channels and outputs from which it is worth while */

struct fnn_window {
    size_t channels, height, width;           /* of the input */
    size_t outputs, out_height, out_width;    /* channels of the output; in pooling those of the input */
    size_t kernel_height, kernel_width;
    size_t stride_down, stride_across;
    size_t dilation_down, dilation_across;
    size_t pad_top, pad_left; /* the other sides follow from the sizes of the output */
    size_t groups;            /* each maps its share of the channels to its share of the outputs */
};

/* Positions from the start of one plane in lanes to the next. */
static inline size_t fnn_plane(size_t height, size_t width) { return height * width + 1; }

/* So many elements or some more, which fill whole lines of the cache. */
static inline size_t fnn_whole_lines(size_t elements) { return (elements + 15) / 16 * 16; }

/* The planes of the channels of a batch: plane k of channel c begins at element k step + c channel and has `size` of
 * them. In lanes, the last plane of a channel has rows in `tail` lanes alone, if that is not 0. */
struct fnn_planes {
    size_t count, size, step, channel, tail;
};

/* Whether a convolution goes by Winograd's filtering (winograd.h): taps that allow it, and enough channels and
 * positions in whole patches that it is faster. */
static inline int fnn_winograd(const struct fnn_window *z)
{
    const size_t even = (z->out_height + z->out_height % 2) * (z->out_width + z->out_width % 2);
    return z->kernel_height == 3 && z->kernel_width == 3 && z->stride_down == 1 && z->stride_across == 1 &&
           z->dilation_down == 1 && z->dilation_across == 1 && z->pad_top < 3 && z->pad_left < 3 &&
           z->channels / z->groups >= FNN_WINOGRAD && z->outputs / z->groups >= FNN_WINOGRAD &&
           z->height > 3 && z->width > 3 && z->out_height > 3 && z->out_width > 1 &&
           5 * even <= 8 * z->out_height * z->out_width;
}

/* Elements of the weights as conv_pack lays them out for the way forward or back, and some more: outputs of a group are
 * filled up to whole tiles, and what comes behind begins at a whole line of the cache. */
static inline size_t fnn_conv_packed_size(const struct fnn_window *z, int back)
{
    const size_t outs = (back ? z->channels : z->outputs) / z->groups, ins = back ? z->outputs : z->channels;
    const size_t taps = z->kernel_height * z->kernel_width + (fnn_winograd(z) ? 16 : 0);
    return fnn_whole_lines((outs + FNN_CONV_TILE) * ins * taps);
}

/* About the nanoseconds of a line of `width` positions of a convolution, of a block of rows on one thread. */
static inline double fnn_line_ns(const struct fnn_window *z, size_t width)
{
    const size_t taps = z->channels / z->groups * z->kernel_height * z->kernel_width;
    return 0.2 * (double)(width * taps * z->outputs);
}

#endif
