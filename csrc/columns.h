/* Work down the columns of x (rows, cols), one column a channel: shared by channels.c and batch_norm.c.
 *
 * Memory is read nearly in its order, a strip of rows at a time of a group of columns, whose results so far are in the
 * first-level cache: down single columns, rows a multiple of a page apart would push each other out of it. Sums run
 * over SUM_BLOCK rows in real_t, then in acc_t.
 */
#ifndef FNN_COLUMNS_H
#define FNN_COLUMNS_H

#include "kernel.h"

enum { STRIP = 8, WIDE = 8, GROUP = 4096 / sizeof(real_t) };

/* Run BODY on groups of columns: the first is `j`, and there are `count`. */
#define FOR_GROUPS(j, count, begin, end, ...)                                                                          \
    for (size_t j = (begin); j < (end); j += GROUP) {                                                                  \
        const size_t count = (end) - j < GROUP ? (end) - j : GROUP;                                                    \
        __VA_ARGS__                                                                                                    \
    }

/* Run BODY on pieces of a strip of rows, `width` vectors wide: WIDE (a constant) or, at the end, one; `l` is the first
 * column within the group, `n` the lanes of a vector. */
#define FOR_PIECES(width, l, n, count, ...)                                                                            \
    {                                                                                                                  \
        size_t l = 0;                                                                                                  \
        for (; l + WIDE * LANES <= (count); l += WIDE * LANES) {                                                       \
            enum { width = WIDE };                                                                                     \
            const size_t n = LANES;                                                                                    \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
        for (; l < (count); l += LANES) {                                                                              \
            enum { width = 1 };                                                                                        \
            const size_t n = (count) - l < LANES ? (count) - l : LANES;                                                \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

/* Run the statement for each vector `v` of a piece. */
#define FOR_WIDTH(v, width) _Pragma("GCC unroll 8") for (size_t v = 0; v < (width); v++)

/* Run BODY on strips of `r` <= height rows: `i` is the first. */
#define FOR_STRIPS(i, r, height, begin, end, ...)                                                                      \
    for (size_t i = (begin); i < (end); i += (height)) {                                                               \
        const size_t r = (end) - i < (height) ? (end) - i : (height);                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* Rows of a strip of `count` columns: at most 64 KB, little beside the second-level cache. Threads may have groups of
 * different widths: a sum takes its rows one by one, in whatever strips. */
INLINE size_t strip_height(size_t count) { return 2 * STRIP * (GROUP / count); }

/* Run BODY on blocks of SUM_BLOCK rows. */
#define FOR_BLOCKS(i0, i1, rows, ...)                                                                                  \
    for (size_t i0 = 0; i0 < (rows); i0 += SUM_BLOCK) {                                                                \
        const size_t i1 = (rows) - i0 < SUM_BLOCK ? (rows) : i0 + SUM_BLOCK;                                           \
        __VA_ARGS__                                                                                                    \
    }

/* A vector of the (cols,) array, or `absent` where the array is NULL. */
INLINE vec_t column_vec(const real_t *array, size_t j, size_t n, real_t absent)
{
    return array ? vec_get(array + j, n, 0) : vec_set(absent);
}

INLINE void put_totals(real_t *array, const acc_t *total, size_t count)
{
    for (size_t l = 0; l < count; l++)
        array[l] = R(total[l]);
}

/* Zero the whole vectors that hold `count` elements. */
INLINE void clear(real_t *array, size_t count)
{
    memset(array, 0, (count + LANES - 1) / LANES * LANES * sizeof *array);
}

INLINE void add_to(acc_t *total, const real_t *sums, size_t count)
{
    for (size_t l = 0; l < count; l++)
        total[l] += sums[l];
}

INLINE void add_vec(real_t *sums, vec_t v) { vec_store(sums, vec_load(sums) + v); }

/* sum(dy) and sum(dy (x - mean) inv) of a group of columns from j on, and dx = dy scale, for the two gradients below;
 * mean and inv hold what belongs to the group. */
INLINE void scale_gradients(const real_t *x, const real_t *mean, const real_t *inv, const real_t *scale,
                            const real_t *dy, real_t *dx, real_t *dw, real_t *db, size_t rows, size_t cols, size_t j,
                            size_t count)
{
    acc_t sum_dy[GROUP], sum_dy_x[GROUP];
    memset(sum_dy, 0, count * sizeof *sum_dy);
    memset(sum_dy_x, 0, count * sizeof *sum_dy_x);
    FOR_BLOCKS(i0, i1, rows, {
        real_t part_dy[GROUP], part_dy_x[GROUP];
        clear(part_dy, count);
        clear(part_dy_x, count);
        FOR_STRIPS(i, r, strip_height(count), i0, i1, {
            FOR_PIECES(width, l, n, count, {
                vec_t factor[width], centre[width], inverse[width], s[width], t[width];
                FOR_WIDTH(v, width)
                {
                    factor[v] = vec_get(scale + l + v * LANES, n, 0);
                    centre[v] = column_vec(mean, l + v * LANES, n, 0);
                    inverse[v] = column_vec(inv, l + v * LANES, n, 1);
                    s[v] = vec_load(part_dy + l + v * LANES);
                    t[v] = vec_load(part_dy_x + l + v * LANES);
                }
                for (size_t k = 0; k < r; k++)
                    FOR_WIDTH(v, width)
                    {
                        const size_t at = (i + k) * cols + j + l + v * LANES;
                        const vec_t d = vec_get(dy + at, n, 0), xv = vec_get(x + at, n, 0);
                        s[v] += d;
                        t[v] += d * (mean ? (xv - centre[v]) * inverse[v] : xv);
                        vec_put(dx + at, d * factor[v], n);
                    }
                FOR_WIDTH(v, width)
                {
                    vec_store(part_dy + l + v * LANES, s[v]);
                    vec_store(part_dy_x + l + v * LANES, t[v]);
                }
            })
        })
        add_to(sum_dy, part_dy, count);
        add_to(sum_dy_x, part_dy_x, count);
    })
    put_totals(db + j, sum_dy, count);
    put_totals(dw + j, sum_dy_x, count);
}

#endif
