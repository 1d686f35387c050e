/* C (m, n) = A (m, k) B (k, n), all strides of A and B, by an outer-product kernel on registers.
 *
 * A tile of `rows` x TILE_VECTORS vectors of C (one vector, where there are no more columns) stays in registers while k
 * runs: per step a load of each vector of B and one broadcast of A per row. Rows are cut into blocks of nearly equal
 * size (32 rows are 11, 11, 10, not 14, 14, 4), and so is k. A panel of B (at most K_BLOCK x TILE_COLS) is copied to the
 * stack, where it is contiguous, padded with zeros and in L1, unless B already has unit column stride and too few rows of
 * A would use the copy. The elements of C that the tile will add to are asked for before k runs.
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
    K_BLOCK = 32768 / (TILE_COLS * (int)sizeof(real_t)), /* a panel fills two thirds of a 48 KB L1 */
    A_BYTES = 1 << 20, /* rows of A that are multiplied with all panels while they are in L2 */
    LEAST_ROWS = 8 * TILE_ROWS
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

/* The sums of a tile to C. Where all columns exist, which is the rule, no lane is masked. */
INLINE void put_tile(const struct panel *p, vec_t sum[TILE_ROWS][TILE_VECTORS], const size_t rows,
                     const size_t vectors, const int whole)
{
#pragma GCC unroll 2
    for (size_t v = 0; v < vectors; v++) {
        const size_t n = whole ? LANES : lanes_of(p->cols, v);
        if (n == 0)
            return;
        const vec_t bias = p->bias ? vec_get(p->bias + v * LANES, n, 0) : VEC(0);
        real_t *c = p->c + v * LANES;
#pragma GCC unroll 16
        for (size_t i = 0; i < rows; i++, c += p->c_row)
            vec_put(c, p->accumulate ? sum[i][v] + bias + vec_get(c, n, 0) : sum[i][v] + bias, n);
    }
}

/* One tile: the first `rows` rows and `vectors` vectors of the panel; both are constants, so that the accumulators stay
 * in registers. */
INLINE void tile(const struct panel *p, const size_t rows, const size_t vectors)
{
    vec_t sum[TILE_ROWS][TILE_VECTORS];
    const real_t *a = p->a, *b = p->b;
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (size_t v = 0; v < TILE_VECTORS; v++)
            sum[i][v] = (vec_t){0};
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; i++) /* C comes from afar while the products are made */
        for (size_t v = 0; v < TILE_COLS * sizeof(real_t); v += 64)
            __builtin_prefetch((const char *)(p->c + (ptrdiff_t)i * p->c_row) + v, 1);
    for (size_t k = p->k; k > 0; k--) {
        vec_t b0 = vec_load(b), b1 = vectors > 1 ? vec_load(b + LANES) : VEC(0);
#pragma GCC unroll 16
        for (size_t i = 0; i < rows; i++) {
            sum[i][0] += a[(ptrdiff_t)i * p->a_row] * b0;
            if (vectors > 1)
                sum[i][1] += a[(ptrdiff_t)i * p->a_row] * b1;
        }
        a += p->a_col;
        b += p->b_row;
    }
    if (p->cols == vectors * LANES)
        put_tile(p, sum, rows, vectors, 1);
    else
        put_tile(p, sum, rows, vectors, 0);
}

#define TILE(rows)                                                                                                     \
    static __attribute__((noinline)) void tile_##rows(const struct panel *p) { tile(p, rows, TILE_VECTORS); }           \
    static __attribute__((noinline)) void narrow_tile_##rows(const struct panel *p) { tile(p, rows, 1); }
FOR_TILE_ROWS(TILE)
#define TILE_NAME(rows) tile_##rows,
#define NARROW_TILE_NAME(rows) narrow_tile_##rows,
static void (*const tiles[][TILE_ROWS + 1])(const struct panel *) = {{NULL, FOR_TILE_ROWS(NARROW_TILE_NAME)},
                                                                     {NULL, FOR_TILE_ROWS(TILE_NAME)}};

/* A square of LANES rows of x, `step` elements apart, to rows of y, `y_step` apart, transposed. */
INLINE void put_transposed(const real_t *x, ptrdiff_t step, real_t *y, size_t y_step)
{
    vec_t square[LANES];
    for (size_t i = 0; i < LANES; i++)
        square[i] = vec_load(x + (ptrdiff_t)i * step);
    vec_transpose(square);
    for (size_t i = 0; i < LANES; i++)
        vec_store(y + i * y_step, square[i]);
}

void FNN_NAME(transpose)(const real_t *x, ptrdiff_t step, real_t *y, size_t cols, size_t begin, size_t end)
{
    y -= begin * cols;
    for (size_t i = begin; i < end;) {
        const size_t rows = end - i < LANES ? 1 : LANES;
        size_t j = 0;
        if (rows == LANES)
            for (; j + LANES <= cols; j += LANES)
                put_transposed(x + (ptrdiff_t)j * step + i, step, y + i * cols + j, cols);
        for (; j < cols; j++)
            for (size_t l = i; l < i + rows; l++)
                y[l * cols + j] = x[(ptrdiff_t)j * step + l];
        i += rows;
    }
}

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
    size_t done = 0; /* rows of B that went by whole squares of LANES x LANES */
    if (b_row == 1 && cols == TILE_COLS)
        for (; done + LANES <= k; done += LANES)
            for (size_t v = 0; v < TILE_VECTORS; v++)
                put_transposed(b + done + (ptrdiff_t)(v * LANES) * b_col, b_col, packed + done * TILE_COLS + v * LANES,
                               TILE_COLS);
    for (size_t j = 0; j < cols; j++)
        for (size_t i = done; i < k; i++)
            packed[i * TILE_COLS + j] = b[(ptrdiff_t)i * b_row + (ptrdiff_t)j * b_col];
}

/* Rows [0, m) of columns [j, j + cols) of C. */
static void panel_product(struct panel p, const real_t *b, ptrdiff_t b_col, size_t m, size_t k)
{
    real_t packed[K_BLOCK * TILE_COLS] __attribute__((aligned(64)));
    const size_t blocks = (m + TILE_ROWS - 1) / TILE_ROWS;
    const int direct = b_col == 1 && p.cols == TILE_COLS && blocks <= 2;
    const real_t *a = p.a;
    real_t *c = p.c;
    const ptrdiff_t b_row = p.b_row;
    size_t left = (k + K_BLOCK - 1) / K_BLOCK;
    do { /* once even for k = 0, where C is the bias or zero */
        p.k = left > 1 ? (k + left - 1) / left : k;
        p.b = direct ? b : packed;
        p.b_row = direct ? b_row : TILE_COLS;
        if (!direct)
            pack(b, b_row, b_col, p.k, p.cols, packed);
        for (size_t block = 0, i = 0; block < blocks; block++) {
            size_t rows = (m - i + (blocks - block) - 1) / (blocks - block);
            p.a = a + (ptrdiff_t)i * p.a_row;
            p.c = c + (ptrdiff_t)i * p.c_row;
            tiles[p.cols > LANES][rows](&p);
            i += rows;
        }
        a += (ptrdiff_t)p.k * p.a_col;
        b += (ptrdiff_t)p.k * b_row;
        k -= p.k;
        p.accumulate = 1;
        p.bias = NULL;
    } while (left-- > 1);
}

void FNN_NAME(gemm)(const real_t *a, ptrdiff_t a_row, ptrdiff_t a_col, const real_t *b, ptrdiff_t b_row,
                    ptrdiff_t b_col, const real_t *bias, real_t *c, ptrdiff_t c_row, size_t m, size_t k,
                    int accumulate, size_t begin, size_t end)
{
    const size_t fitting = A_BYTES / (sizeof *a * (k + 1)), most = fitting < LEAST_ROWS ? LEAST_ROWS : fitting;
    for (size_t i = 0; i < m; i += most)
        for (size_t j = begin; j < end; j += TILE_COLS) {
            struct panel p = {.a = a + (ptrdiff_t)i * a_row, .a_row = a_row, .a_col = a_col, .b_row = b_row,
                              .bias = bias ? bias + j : NULL, .c = c + (ptrdiff_t)i * c_row + j, .c_row = c_row,
                              .cols = end - j < TILE_COLS ? end - j : TILE_COLS, .accumulate = accumulate};
            panel_product(p, b + (ptrdiff_t)j * b_col, b_col, m - i < most ? m - i : most, k);
        }
}
