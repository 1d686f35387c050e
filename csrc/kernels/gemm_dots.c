/* C (m, n) = A (m, k) B (k, n) for few columns and long, contiguous rows of A: scalar products, lanes along k.
 *
 * Few columns would leave the lanes of an outer product idle. B is packed with contiguous columns; a tile of `rows` x
 * `cols` sums of vectors stays in registers while k runs, and then the lanes of each are summed. Precision: as
 * `gemm_tiles`, with LANES sums in parallel.
 */
#include "pack.h"

/* Registers: 25 accumulators, 5 of A and 1 of B of 32 with AVX-512; 9, 3 and 1 of 16 without. */
#if FNN_VBYTES == 64
#define FOR_COLS(T, rows) T(rows, 1) T(rows, 2) T(rows, 3) T(rows, 4) T(rows, 5)
#define FOR_ROWS(T) T(1) T(2) T(3) T(4) T(5)
enum { TILE_ROWS = 5, TILE_COLS = 5 };
#else
#define FOR_COLS(T, rows) T(rows, 1) T(rows, 2) T(rows, 3)
#define FOR_ROWS(T) T(1) T(2) T(3)
enum { TILE_ROWS = 3, TILE_COLS = 3 };
#endif
enum { SUMS = (TILE_ROWS * TILE_COLS + LANES - 1) / LANES * LANES };

struct dots {
    const real_t *a, *b;
    ptrdiff_t a_row, b_col;
    real_t *sums; /* (rows, cols) */
    size_t k;
};

/* Lane l of v[0] becomes the sum of the lanes of v[l]. */
INLINE void sum_lanes(vec_t v[LANES])
{
#pragma GCC unroll 4
    for (int_t distance = 1; distance < LANES; distance *= 2)
#pragma GCC unroll 16
        for (int_t i = 0; i < LANES; i += 2 * distance) {
            vec_exchange(&v[i], &v[i + distance], distance);
            v[i] += v[i + distance];
        }
}

INLINE void tile(const struct dots *p, const size_t rows, const size_t cols)
{
    vec_t sum[SUMS];
    const real_t *a = p->a, *b = p->b;
#pragma GCC unroll 32
    for (size_t i = 0; i < SUMS; i++)
        sum[i] = (vec_t){0};
    FOR_VECTORS(i, n, 0, p->k, {
        vec_t row[TILE_ROWS];
        _Pragma("GCC unroll 8") for (size_t r = 0; r < rows; r++)
            row[r] = vec_get(a + (ptrdiff_t)r * p->a_row + i, n, 0);
        _Pragma("GCC unroll 8") for (size_t c = 0; c < cols; c++)
        {
            const vec_t column = vec_load(b + (ptrdiff_t)c * p->b_col + i);
            _Pragma("GCC unroll 8") for (size_t r = 0; r < rows; r++) sum[r * cols + c] += row[r] * column;
        }
    })
#pragma GCC unroll 16
    for (size_t i = 0; i < rows * cols; i += LANES) {
        sum_lanes(sum + i);
        vec_store(p->sums + i, sum[i]);
    }
}

#define TILE(rows, cols)                                                                                               \
    static __attribute__((noinline)) void tile_##rows##_##cols(const struct dots *p) { tile(p, rows, cols); }
#define TILES(rows) FOR_COLS(TILE, rows)
FOR_ROWS(TILES)
#define TILE_NAME(rows, cols) tile_##rows##_##cols,
#define TILE_NAMES(rows) {NULL, FOR_COLS(TILE_NAME, rows)},
static void (*const tiles[][TILE_COLS + 1])(const struct dots *) = {{NULL}, FOR_ROWS(TILE_NAMES)};

void FNN_NAME(gemm_dots)(const real_t *a, ptrdiff_t a_row, const real_t *b, ptrdiff_t b_row, ptrdiff_t b_col,
                         const real_t *bias, real_t *c, ptrdiff_t c_row, ptrdiff_t c_col, size_t n, size_t k,
                         int accumulate, real_t *space, size_t begin, size_t end)
{
    const size_t width = next_of(k, LANES) * LANES;
    pack(b, b_col, b_row, n, k, space, width);
    real_t sums[SUMS];
    for (size_t i = begin, row_blocks = next_of(end - begin, TILE_ROWS); row_blocks > 0; row_blocks--) {
        const size_t rows = next_of(end - i, row_blocks);
        for (size_t j = 0, col_blocks = next_of(n, TILE_COLS); col_blocks > 0; col_blocks--) {
            const size_t cols = next_of(n - j, col_blocks);
            const struct dots p = {a + (ptrdiff_t)i * a_row, space + j * width, a_row, (ptrdiff_t)width, sums, k};
            tiles[rows][cols](&p);
            for (size_t r = 0; r < rows; r++)
                for (size_t s = 0; s < cols; s++) {
                    const size_t row = i + r, col = j + s;
                    real_t *to = c + (ptrdiff_t)row * c_row + (ptrdiff_t)col * c_col;
                    const real_t more = accumulate ? *to : bias ? bias[c_col == 1 ? col : row] : 0;
                    *to = sums[r * cols + s] + more;
                }
            j += cols;
        }
        i += rows;
    }
}
