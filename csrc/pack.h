/* Matrices copied so that the kernels of products read them vector after vector, and how a range is cut. */
#ifndef FNN_PACK_H
#define FNN_PACK_H

#include "kernel.h"

/* How many lanes of vector v hold one of `cols` columns. */
INLINE size_t lanes_of(size_t cols, size_t v)
{
    return cols <= v * LANES ? 0 : cols - v * LANES < LANES ? cols - v * LANES : LANES;
}

/* How many of `all` the next of `parts` nearly equal parts has. */
INLINE size_t next_of(size_t all, size_t parts) { return (all + parts - 1) / parts; }

/* x (rows, cols), at most LANES each way and its rows `step` apart, to y (cols, LANES), its rows `width` apart, with
 * zeros for missing columns. */
INLINE void put_transposed(const real_t *x, ptrdiff_t step, const size_t rows, const size_t cols, real_t *y,
                           size_t width)
{
    vec_t square[LANES];
#pragma GCC unroll 16
    for (size_t i = 0; i < LANES; i++)
        square[i] = i < rows ? vec_get(x + (ptrdiff_t)i * step, cols, 0) : VEC(0);
    vec_transpose(square);
#pragma GCC unroll 16
    for (size_t i = 0; i < LANES; i++)
        if (i < cols)
            vec_store(y + i * width, square[i]);
}

/* x (k, cols), any strides, to packed (k, width), missing columns zero; width is a multiple of LANES. */
static inline void pack(const real_t *x, ptrdiff_t row, ptrdiff_t col, size_t k, size_t cols, real_t *packed,
                 const size_t width)
{
    if (row != 1 && col != 1) {
        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j < width; j++)
                packed[i * width + j] = j < cols ? x[(ptrdiff_t)i * row + (ptrdiff_t)j * col] : 0;
        return;
    }
    for (size_t v = 0; v < width; v += LANES) {
        const size_t n = lanes_of(cols, v / LANES);
        const real_t *from = x + (ptrdiff_t)v * col;
        real_t *to = packed + v;
        if (n == 0 || col == 1) {
            for (size_t i = 0; i < k; i++)
                vec_store(to + i * width, n ? vec_get(from + (ptrdiff_t)i * row, n, 0) : VEC(0));
            continue;
        }
        size_t i = 0;
        if (n == LANES)
            for (; i + LANES <= k; i += LANES)
                put_transposed(from + i, col, LANES, LANES, to + i * width, width);
        for (; i < k; i += LANES)
            put_transposed(from + i, col, n, k - i < LANES ? k - i : LANES, to + i * width, width);
    }
}

#endif
