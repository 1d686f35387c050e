/* C (m, n) = A (m, k) B (k, n), all strides of A and B, by an outer-product kernel on registers.
 *
 * A tile of `rows` x TILE_VECTORS vectors of C stays in registers while k runs: per step TILE_VECTORS loads of B and
 * one broadcast of A per row. Rows are cut into blocks of nearly equal size (32 rows are 11, 11, 10, not 14, 14, 4).
 * A panel of B (K_BLOCK x TILE_COLS) is copied to the stack, where it is contiguous, padded with zeros and in L1,
 * unless B already has unit column stride and too few rows of A would use the copy.
 * Precision: products are summed in real_t, in order of k within K_BLOCK and then from block to block, so an element
 * of C is the same wherever the range of columns begins. Relative error at most about 2 sqrt(k) eps, at worst k eps,
 * of sum(|a b|).
 */
#include "kernel.h"

/* Registers: 28 accumulators, 2 of B and an embedded broadcast of 32 with AVX-512; 12, 2 and 1 of 16 without. */
#if FNN_VBYTES == 64
#define FOR_TILE_ROWS(T) T(1) T(2) T(3) T(4) T(5) T(6) T(7) T(8) T(9) T(10) T(11) T(12) T(13) T(14)
enum { TILE_ROWS = 14 };
#else
#define FOR_TILE_ROWS(T) T(1) T(2) T(3) T(4) T(5) T(6)
enum { TILE_ROWS = 6 };
#endif
enum {
    TILE_VECTORS = 2,
    TILE_COLS = TILE_VECTORS * LANES,
    K_BLOCK = 32768 / (TILE_COLS * (int)sizeof(real_t)) /* a panel fills two thirds of a 48 KB L1 */
};

struct panel { /* what a tile reads and writes */
    const real_t *a;
    ptrdiff_t a_row, a_col;
    const real_t *b;
    ptrdiff_t b_row;
    const real_t *bias;
    real_t *c;
    ptrdiff_t c_row;
    size_t k, cols; /* cols <= TILE_COLS: the columns of C that exist */
    int accumulate;
};

INLINE size_t lanes_of(size_t cols, size_t v)
{
    return cols <= v * LANES ? 0 : cols - v * LANES < LANES ? cols - v * LANES : LANES;
}

/* One tile: the first `rows` rows of the panel; `rows` is a constant, so that the accumulators stay in registers. */
INLINE void tile(const struct panel *p, const size_t rows)
{
    vec_t sum[TILE_ROWS][TILE_VECTORS];
    const real_t *a = p->a, *b = p->b;
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (size_t v = 0; v < TILE_VECTORS; v++)
            sum[i][v] = (vec_t){0};
    for (size_t k = p->k; k > 0; k--) {
        vec_t b0 = vec_load(b), b1 = vec_load(b + LANES);
#pragma GCC unroll 16
        for (size_t i = 0; i < rows; i++) {
            sum[i][0] += a[(ptrdiff_t)i * p->a_row] * b0;
            sum[i][1] += a[(ptrdiff_t)i * p->a_row] * b1;
        }
        a += p->a_col;
        b += p->b_row;
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (size_t v = 0; v < TILE_VECTORS; v++) {
            size_t n = lanes_of(p->cols, v);
            if (n == 0)
                continue;
            real_t *c = p->c + (ptrdiff_t)i * p->c_row + v * LANES;
            if (p->bias)
                sum[i][v] += vec_get(p->bias + v * LANES, n, 0);
            if (p->accumulate)
                sum[i][v] += vec_get(c, n, 0);
            vec_put(c, sum[i][v], n);
        }
}

#define TILE(rows)                                                                                                     \
    static __attribute__((noinline)) void tile_##rows(const struct panel *p) { tile(p, rows); }
FOR_TILE_ROWS(TILE)
#define TILE_NAME(rows) tile_##rows,
static void (*const tiles[])(const struct panel *) = {NULL, FOR_TILE_ROWS(TILE_NAME)};

/* B (k, cols) to packed (k, TILE_COLS), missing columns zero. */
static void pack(const real_t *b, ptrdiff_t b_row, ptrdiff_t b_col, size_t k, size_t cols, real_t *packed)
{
    if (b_col == 1) {
        for (size_t i = 0; i < k; i++, b += b_row, packed += TILE_COLS)
            for (size_t v = 0; v < TILE_VECTORS; v++) {
                size_t n = lanes_of(cols, v);
                vec_store(packed + v * LANES, n ? vec_get(b + v * LANES, n, 0) : VEC(0));
            }
        return;
    }
    if (cols < TILE_COLS)
        memset(packed, 0, k * TILE_COLS * sizeof *packed);
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < k; i++)
            packed[i * TILE_COLS + j] = b[(ptrdiff_t)i * b_row + (ptrdiff_t)j * b_col];
}

void FNN_NAME(gemm)(const real_t *a, ptrdiff_t a_row, ptrdiff_t a_col, const real_t *b, ptrdiff_t b_row,
                    ptrdiff_t b_col, const real_t *bias, real_t *c, ptrdiff_t c_row, size_t m, size_t k,
                    int accumulate, size_t begin, size_t end)
{
    real_t packed[K_BLOCK * TILE_COLS] __attribute__((aligned(64)));
    const size_t blocks = (m + TILE_ROWS - 1) / TILE_ROWS;
    for (size_t j = begin; j < end; j += TILE_COLS) {
        const size_t cols = end - j < TILE_COLS ? end - j : TILE_COLS;
        const int direct = b_col == 1 && cols == TILE_COLS && blocks <= 2;
        size_t k0 = 0;
        do { /* once even for k = 0, where C is the bias or zero */
            struct panel p = {.a_row = a_row, .a_col = a_col, .b = packed, .b_row = TILE_COLS, .c_row = c_row,
                              .bias = bias && k0 == 0 ? bias + j : NULL, .k = k - k0 < K_BLOCK ? k - k0 : K_BLOCK,
                              .cols = cols, .accumulate = accumulate || k0 > 0};
            const real_t *panel_b = b + (ptrdiff_t)k0 * b_row + (ptrdiff_t)j * b_col;
            if (direct)
                p.b = panel_b, p.b_row = b_row;
            else
                pack(panel_b, b_row, b_col, p.k, cols, packed);
            for (size_t block = 0, i = 0; block < blocks; block++) {
                size_t rows = (m - i + (blocks - block) - 1) / (blocks - block);
                p.a = a + (ptrdiff_t)i * a_row + (ptrdiff_t)k0 * a_col;
                p.c = c + (ptrdiff_t)i * c_row + j;
                tiles[rows](&p);
                i += rows;
            }
            k0 += K_BLOCK;
        } while (k0 < k);
    }
}
