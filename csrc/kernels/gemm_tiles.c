/* C (m, n) = A (m, k) B (k, n), any strides of A and B, by an outer-product kernel on registers.
 *
 * A tile of `rows` x TILE_VECTORS vectors of C stays in registers while k runs: per step a load of each vector of B and
 * a broadcast of each element of A. Where there are few columns a tile has one vector, where there are few rows and B
 * needs no packing WIDE_VECTORS, for a single row ROW_VECTORS or half of them. Rows are cut into blocks of nearly equal
 * size (32 rows are 11, 11, 10, not 14, 14, 4).
 *
 * Blocks: k is cut into steps of at most K_BLOCK, alike for any range of rows and columns, so that an element of C is
 * the same wherever a range begins. A panel of B (K_BLOCK x TILE_COLS) is copied to the stack, where it is contiguous,
 * padded with zeros and in L1, unless too few rows would use it; where its rows are contiguous the first tile copies it
 * while it multiplies. A is taken in blocks of at most FNN_GEMM_SPACE bytes, which stay in L2 for all panels, and is
 * copied to `space`, tile by tile, if that is given.
 *
 * Precision: products are summed in real_t, in order of k within a step and then from step to step. Relative error
 * typically at most 2 sqrt(k) eps, at worst k eps, of sum(|a b|).
 */
#include "fnn.h"
#include "pack.h"
#include "updates.h"

/* Registers: 28 accumulators, 2 of B and a broadcast of 32 with AVX-512; 12, 2 and 1 of 16 without. */
#if FNN_VBYTES == 64
#define FOR_TILE_ROWS(T) T(1) T(2) T(3) T(4) T(5) T(6) T(7) T(8) T(9) T(10) T(11) T(12) T(13) T(14)
#define FOR_WIDE_ROWS(T) T(1) T(2) T(3) T(4)
enum { TILE_ROWS = 14, WIDE_ROWS = 4, WIDE_VECTORS = 6, ROW_VECTORS = 16 };
#else
#define FOR_TILE_ROWS(T) T(1) T(2) T(3) T(4) T(5) T(6)
#define FOR_WIDE_ROWS(T) T(1) T(2)
enum { TILE_ROWS = 6, WIDE_ROWS = 2, WIDE_VECTORS = 5, ROW_VECTORS = 8 };
#endif
enum {
    TILE_VECTORS = 2,
    TILE_COLS = TILE_VECTORS * LANES,
    WIDE_COLS = WIDE_VECTORS * LANES,
    ROW_COLS = ROW_VECTORS * LANES, /* of a tile of one row; half as many where no more are left */
    MOST_VECTORS = TILE_ROWS * TILE_VECTORS, /* of a tile */
    K_BLOCK = 32768 / (TILE_COLS * (int)sizeof(real_t)), /* a panel fills two thirds of a 48 KB L1 */
    PACKED_ROWS = (TILE_ROWS + LANES - 1) / LANES * LANES, /* of a tile of A, the last ones zero */
    GROUP = 4,    /* panels of B, of which a row is read at once, if its rows are ... */
    FAR_B = 3072, /* ... so many bytes apart: near 4096 they fall into the same few sets of L1, and each has a page */
    FAR_A = 8192, /* bytes between rows of A from where on it is packed even if its rows are contiguous */
    A_BLOCK = FNN_GEMM_SPACE / (int)sizeof(real_t) - GROUP * K_BLOCK * TILE_COLS, /* elements */
    A_DEPTH = FNN_F64 ? 512 : 768
};

struct panel { /* what a tile reads and writes */
    const real_t *a;
    ptrdiff_t a_row, a_col;
    const real_t *b;
    ptrdiff_t b_row;
    real_t *copy; /* of the panel of B, which a copying tile writes */
    const real_t *bias;
    real_t *c;
    ptrdiff_t c_row, c_col; /* one of them is 1 */
    size_t k, cols; /* cols: the columns of C that exist */
    int accumulate, relu;
    const struct fnn_tile_update *update; /* or NULL */
    size_t row, col;                      /* of the parameter that is updated, where the tile begins */
};

/* The sums of a tile to C. Where all columns exist, which is the rule, no lane is masked. */
INLINE void put_tile(const struct panel *p, const vec_t sum[MOST_VECTORS], const size_t rows, const size_t vectors,
                     const int whole)
{
#pragma GCC unroll 8
    for (size_t v = 0; v < vectors; v++) {
        const size_t n = whole ? LANES : lanes_of(p->cols, v);
        if (n == 0)
            return;
        const vec_t bias = p->bias ? vec_get(p->bias + v * LANES, n, 0) : VEC(0);
        real_t *c = p->c + v * LANES;
#pragma GCC unroll 16
        for (size_t i = 0; i < rows; i++, c += p->c_row) {
            vec_t value = p->accumulate ? sum[i * vectors + v] + vec_get(c, n, 0) : sum[i * vectors + v] + bias;
            if (p->relu)
                value = vec_select(R(0) > value, VEC(0), value);
            vec_put(c, value, n);
        }
    }
}

/* The sums of a tile, and what C holds of them already, as gradients; `whole`: all columns exist. */
INLINE void update_tile(const struct panel *p, const vec_t *sum, size_t rows, size_t vectors, const int whole,
                        const int kind, const int states)
{
    const struct fnn_tile_update *u = p->update;
    const double *d = u->d;
    const struct sgd sgd = sgd_of(d[0], d[1], d[2], d[3], u->nesterov, u->first);
    const struct adam adam = adam_of(d[0], d[1], d[2], d[3], d[4], d[5], d[6]);
    const ptrdiff_t place = (ptrdiff_t)p->row * u->row + (ptrdiff_t)p->col;
    real_t *param = (real_t *)u->p + place, *s0 = (real_t *)u->states[0] + place, *s1 = (real_t *)u->states[1] + place,
           *s2 = (real_t *)u->states[2] + place;
    const real_t *c = p->c;
    for (size_t i = 0; i < rows; i++, param += u->row, s0 += u->row, s1 += u->row, s2 += u->row, c += p->c_row)
        for (size_t v = 0; v < vectors; v++, sum++) {
            const size_t j = v * LANES, n = whole ? LANES : lanes_of(p->cols, v);
            const vec_t grad = p->accumulate ? *sum + vec_get(c + j, n, 0) : *sum;
            if (kind == FNN_SGD)
                sgd_vector(&sgd, param + j, states ? s0 + j : NULL, grad, n);
            else
                adam_vector(&adam, param + j, s0 + j, s1 + j, states > 2 ? s2 + j : NULL, grad, n);
        }
}

static __attribute__((noinline)) void put_update(const struct panel *p, const vec_t *sum, size_t rows, size_t vectors)
{
    const int whole = p->cols == vectors * LANES, states = p->update->states[2] ? 3 : p->update->states[0] ? 1 : 0;
    if (p->update->kind == FNN_SGD && whole && states)
        update_tile(p, sum, rows, vectors, 1, FNN_SGD, 1);
    else if (p->update->kind == FNN_SGD)
        update_tile(p, sum, rows, vectors, 0, FNN_SGD, states);
    else if (whole)
        update_tile(p, sum, rows, vectors, 1, FNN_ADAM, states);
    else
        update_tile(p, sum, rows, vectors, 0, FNN_ADAM, states);
}

/* The same where a column of C is contiguous: rows of C are lanes here, and the bias goes along them. */
static __attribute__((noinline)) void put_turned(const struct panel *p, const vec_t *sum, size_t rows, size_t vectors)
{
    for (size_t v = 0; v < vectors; v++)
        for (size_t r = 0; r < rows; r += LANES) {
            const size_t m = lanes_of(rows, r / LANES), n = lanes_of(p->cols, v);
            const vec_t bias = p->bias ? vec_get(p->bias + r, m, 0) : VEC(0);
            vec_t square[LANES];
#pragma GCC unroll 16
            for (size_t i = 0; i < LANES; i++)
                square[i] = sum[(r + (i < m ? i : 0)) * vectors + v];
            vec_transpose(square);
            real_t *c = p->c + r + (ptrdiff_t)(v * LANES) * p->c_col;
#pragma GCC unroll 16
            for (size_t i = 0; i < LANES; i++, c += p->c_col)
                if (i < n)
                    vec_put(c, p->accumulate ? square[i] + vec_get(c, m, 0) : square[i] + bias, m);
        }
}

/* Where a tile writes: rows of C, or of the parameter and its first states; how many arrays these are. */
INLINE size_t written_by(const struct panel *p, const real_t *arrays[3], ptrdiff_t *row)
{
    const struct fnn_tile_update *u = p->update;
    arrays[0] = p->c;
    *row = p->c_row;
    if (!u)
        return 1;
    const ptrdiff_t place = (ptrdiff_t)p->row * u->row + (ptrdiff_t)p->col;
    size_t count = 0;
    *row = u->row;
    arrays[count++] = (const real_t *)u->p + place;
    for (size_t s = 0; s < 2; s++)
        if (u->states[s])
            arrays[count++] = (const real_t *)u->states[s] + place;
    return count;
}

/* One tile: the first `rows` rows and `vectors` vectors of the panel; both are constants, so that the accumulators stay
 * in registers. Two pointers and three multiples of the stride reach all rows of A without a register each, which the
 * empty assembly keeps the compiler from undoing. */
INLINE void tile(const struct panel *p, const size_t rows, const size_t vectors, const int copying)
{
    const ptrdiff_t row = p->a_row;
    const real_t *low = p->a, *high = p->a + 7 * row, *b = p->b;
    ptrdiff_t row3 = 3 * row, row5 = 5 * row;
    __asm__("" : "+r"(high), "+r"(row3), "+r"(row5));
    const ptrdiff_t ahead = 16 * p->a_col * (ptrdiff_t)sizeof(real_t);
    real_t *copy = p->copy;
    vec_t sum[MOST_VECTORS];
#pragma GCC unroll 32
    for (size_t i = 0; i < rows * vectors; i++)
        sum[i] = (vec_t){0};
#define STEP_OF_K                                                                                                      \
    {                                                                                                                  \
        vec_t panel[16];                                                                                               \
        _Pragma("GCC unroll 16") for (size_t v = 0; v < vectors; v++) panel[v] = vec_load(b + v * LANES);              \
        _Pragma("GCC unroll 16") for (size_t i = 0; i < rows; i++)                                                     \
        {                                                                                                              \
            const real_t *a = i < 7 ? low : high;                                                                      \
            const real_t x = i % 7 == 0 ? a[0] : i % 7 == 3 ? a[row3] : i % 7 == 5 ? a[row5] : i % 7 == 6 ? a[2 * row3]\
                                               : a[(ptrdiff_t)(i % 7) * row];                                          \
            _Pragma("GCC unroll 16") for (size_t v = 0; v < vectors; v++) sum[i * vectors + v] += x * panel[v];        \
        }                                                                                                              \
        if (copying) {                                                                                                 \
            for (size_t v = 0; v < vectors; v++) {                                                                     \
                vec_store(copy + v * LANES, panel[v]);                                                                 \
                __builtin_prefetch(b + 8 * p->b_row + v * LANES);                                                      \
            }                                                                                                          \
            copy += TILE_COLS;                                                                                         \
        }                                                                                                              \
        for (size_t byte = 0; rows > 1 && byte < PACKED_ROWS * sizeof(real_t); byte += 64)                             \
            __builtin_prefetch((const char *)low + ahead + byte); /* of a packed A, which comes from L2 */             \
        low += p->a_col;                                                                                               \
        high += p->a_col;                                                                                              \
        b += p->b_row;                                                                                                 \
    }
    const real_t *far[3];
    ptrdiff_t far_row;
    const size_t arrays = written_by(p, far, &far_row), all = arrays * rows, some = p->k < all ? p->k : all;
    size_t array = 0;
    for (size_t left = some; left > 0; left--) { /* what the tile writes comes from afar meanwhile, a row a step */
        for (size_t v = 0; v < vectors; v++)
            __builtin_prefetch(far[array] + v * LANES, 1);
        __builtin_prefetch(far[array] + vectors * LANES - 1, 1);
        far[array] += far_row;
        array = array + 1 < arrays ? array + 1 : 0;
        STEP_OF_K
    }
    for (size_t left = p->k - some; left > 0; left--)
        STEP_OF_K
#undef STEP_OF_K
    if (p->c_col != 1 || p->update) {
        vec_t stored[MOST_VECTORS];
        memcpy(stored, sum, rows * vectors * sizeof *sum);
        (p->update ? put_update : put_turned)(p, stored, rows, vectors);
    } else if (p->cols == vectors * LANES) {
        put_tile(p, sum, rows, vectors, 1);
    } else {
        put_tile(p, sum, rows, vectors, 0);
    }
}

#define TILES(kind, rows, vectors, copying)                                                                            \
    static __attribute__((noinline)) void kind##_##rows(const struct panel *p) { tile(p, rows, vectors, copying); }
#define TILE(rows) TILES(narrow, rows, 1, 0) TILES(plain, rows, TILE_VECTORS, 0) TILES(copying, rows, TILE_VECTORS, 1)
#define WIDE_TILE(rows) TILES(wide, rows, WIDE_VECTORS, 0)
FOR_TILE_ROWS(TILE)
FOR_WIDE_ROWS(WIDE_TILE)
static __attribute__((noinline)) void row_1(const struct panel *p) { tile(p, 1, ROW_VECTORS, 0); }
static __attribute__((noinline)) void half_row_1(const struct panel *p) { tile(p, 1, ROW_VECTORS / 2, 0); }
enum { NARROW, PLAIN, COPYING, WIDE, ROW, HALF_ROW };
static void (*const tiles[][TILE_ROWS + 1])(const struct panel *) = {
#define TILE_NAME(rows) narrow_##rows,
    [NARROW] = {NULL, FOR_TILE_ROWS(TILE_NAME)},
#undef TILE_NAME
#define TILE_NAME(rows) plain_##rows,
    [PLAIN] = {NULL, FOR_TILE_ROWS(TILE_NAME)},
#undef TILE_NAME
#define TILE_NAME(rows) copying_##rows,
    [COPYING] = {NULL, FOR_TILE_ROWS(TILE_NAME)},
#undef TILE_NAME
#define TILE_NAME(rows) wide_##rows,
    [WIDE] = {NULL, FOR_WIDE_ROWS(TILE_NAME)},
    [ROW] = {NULL, row_1},
    [HALF_ROW] = {NULL, half_row_1}};

/* The steps of k are [first_of(k, i), first_of(k, i + 1)) for i < steps_of(k): one even for k = 0, where C is the bias
 * or zero. */
INLINE size_t steps_of(size_t k) { return k > K_BLOCK ? next_of(k, K_BLOCK) : 1; }
INLINE size_t first_of(size_t k, size_t i) { return k * i / steps_of(k); }

/* Columns of x (k, cols), whose rows are contiguous and `row` apart, to `panels` panels of nearly equal width, which
 * lie one after the other: each row of x is read at once, since rows may be a page apart. */
static void pack_panels(const real_t *x, ptrdiff_t row, size_t k, size_t cols, size_t panels, real_t *packed,
                        const size_t width)
{
    for (size_t i = 0; i < k; i++, x += row)
        for (size_t panel = 0, j = 0; panel < panels; panel++) {
            const size_t some = next_of(cols - j, panels - panel);
            for (size_t v = 0; v < width; v += LANES) {
                const size_t n = lanes_of(some, v / LANES);
                vec_store(packed + (panel * k + i) * width + v, n ? vec_get(x + j + v, n, 0) : VEC(0));
            }
            j += some;
        }
}

/* m rows of A in the steps [step, last) of k to `space`, step by step and tile by tile. */
static void pack_a(const real_t *a, ptrdiff_t a_row, ptrdiff_t a_col, size_t m, size_t k, size_t step, size_t last,
                   real_t *space)
{
    const size_t tiles_of_m = next_of(m, TILE_ROWS);
    for (; step < last; step++) {
        const size_t begin = first_of(k, step), some = first_of(k, step + 1) - begin;
        const real_t *from = a + (ptrdiff_t)begin * a_col;
        if (a_row == 1)
            pack_panels(from, a_col, some, m, tiles_of_m, space, PACKED_ROWS);
        else
            for (size_t block = 0, i = 0; block < tiles_of_m; block++) {
                const size_t rows = next_of(m - i, tiles_of_m - block);
                pack(from + (ptrdiff_t)i * a_row, a_col, a_row, some, rows, space + block * some * PACKED_ROWS,
                     PACKED_ROWS);
                i += rows;
            }
        space += tiles_of_m * some * PACKED_ROWS;
    }
}

/* Adds one step of k to a panel of C, m rows of p.cols columns. */
static void panel_step(struct panel p, ptrdiff_t b_col, size_t m, int a_packed, int b_packed)
{
    real_t packed[K_BLOCK * TILE_COLS] __attribute__((aligned(64)));
    const size_t blocks = next_of(m, TILE_ROWS);
    const int kind = p.cols == ROW_COLS       ? ROW
                     : p.cols == ROW_COLS / 2 ? HALF_ROW
                     : p.cols > TILE_COLS     ? WIDE
                     : p.cols > LANES         ? PLAIN
                                              : NARROW;
    const int direct = b_packed || (b_col == 1 && (p.cols >= TILE_COLS || (p.cols == LANES && blocks == 1)));
    const int copying = direct && !b_packed && blocks > 2 && p.b_row != TILE_COLS;
    if (!direct) {
        pack(p.b, p.b_row, b_col, p.k, p.cols, packed, TILE_COLS);
        p.b = packed;
        p.b_row = TILE_COLS;
    }
    p.copy = packed;
    for (size_t block = 0, i = 0; block < blocks; block++) {
        const size_t rows = next_of(m - i, blocks - block);
        tiles[copying && block == 0 ? COPYING : kind][rows](&p);
        if (copying) {
            p.b = packed;
            p.b_row = TILE_COLS;
        }
        p.a += a_packed ? (ptrdiff_t)(p.k * PACKED_ROWS) : (ptrdiff_t)rows * p.a_row;
        p.c += (ptrdiff_t)rows * p.c_row;
        p.bias += p.bias && p.c_col != 1 ? rows : 0;
        p.row += rows;
        i += rows;
    }
}

struct product { /* the arguments of gemm_tiles */
    const real_t *a, *b, *bias;
    ptrdiff_t a_row, a_col, b_row, b_col, c_row, c_col;
    real_t *c, *space;
    size_t k, begin, end;
    int accumulate, relu;
    size_t wide; /* columns of a wide tile, 0: there are none */
    const struct fnn_tile_update *update;
};

/* The steps [turn, last) of k for `rows` rows from i on: panel by panel of C, or GROUP panels, step by step. */
static void block_product(const struct product *g, size_t i, size_t rows, size_t turn, size_t last)
{
    const size_t a_tiles = next_of(rows, TILE_ROWS);
    const int grouped = g->space && g->b_col == 1 && a_tiles > 2 && g->b_row * (ptrdiff_t)sizeof(real_t) >= FAR_B;
    const int packing = g->space && (g->a_col != 1 || g->a_row * (ptrdiff_t)sizeof(real_t) >= FAR_A);
    const real_t *a = g->a + (ptrdiff_t)i * g->a_row;
    if (packing)
        pack_a(a, g->a_row, g->a_col, rows, g->k, turn, last, g->space);
    for (size_t j = g->begin, cols; j < g->end; j += cols) {
        const size_t left = g->end - j, group = grouped && left >= GROUP * TILE_COLS ? GROUP : 1;
        cols = g->wide && left >= g->wide ? g->wide
               : g->wide == ROW_COLS && left >= ROW_COLS / 2 ? ROW_COLS / 2
               : left < TILE_COLS                            ? left
                                                             : group * TILE_COLS;
        const real_t *a_step = g->space;
        for (size_t step = turn; step < last; step++) {
            const size_t first = first_of(g->k, step), some = first_of(g->k, step + 1) - first;
            struct panel p = {.a = a + (ptrdiff_t)first * g->a_col, .a_row = g->a_row, .a_col = g->a_col,
                              .b = g->b + (ptrdiff_t)first * g->b_row + (ptrdiff_t)j * g->b_col, .b_row = g->b_row,
                              .c_row = g->c_row, .c_col = g->c_col, .k = some, .cols = cols / group,
                              .accumulate = g->accumulate || step > 0,
                              .relu = g->relu && step + 1 == steps_of(g->k),
                              .update = step + 1 == steps_of(g->k) ? g->update : NULL, .row = i};
            if (packing) {
                p.a = a_step;
                p.a_row = 1;
                p.a_col = PACKED_ROWS;
                a_step += a_tiles * some * PACKED_ROWS;
            }
            if (group > 1) {
                pack_panels(p.b, g->b_row, some, cols, group, g->space + A_BLOCK, TILE_COLS);
                p.b = g->space + A_BLOCK;
                p.b_row = TILE_COLS;
            }
            for (size_t col = j; col < j + cols; col += p.cols, p.b += some * TILE_COLS) {
                p.c = g->update ? g->c + (col - j) : g->c + (ptrdiff_t)i * g->c_row + (ptrdiff_t)col * g->c_col;
                p.col = col;
                p.bias = !g->bias ? NULL : g->c_col == 1 ? g->bias + col : g->bias + i;
                panel_step(p, g->b_col, rows, packing, group > 1);
            }
        }
    }
}

void FNN_NAME(gemm_tiles)(const real_t *a, ptrdiff_t a_row, ptrdiff_t a_col, const real_t *b, ptrdiff_t b_row,
                          ptrdiff_t b_col, const real_t *bias, real_t *c, ptrdiff_t c_row, ptrdiff_t c_col, size_t m,
                          size_t k, int accumulate, int relu, real_t *space, const struct fnn_tile_update *update,
                          size_t begin, size_t end)
{
    const struct product g = {a, b, bias, a_row, a_col, b_row, b_col, c_row, c_col, c, space, k, begin, end,
                              accumulate, relu, b_col != 1 ? 0 : m == 1 ? ROW_COLS : m <= WIDE_ROWS ? WIDE_COLS : 0,
                              update};
    if (m == 0)
        return;
    /* As many steps of k at once as let all rows fit in a block of A, and at least A_DEPTH: C is read and written again
     * for every turn, B is read again for every block, and both together least at a depth of sqrt(2 A_BLOCK). Where C
     * is but partial sums, there is one turn. */
    const size_t steps = steps_of(k), fitting = A_BLOCK / (next_of(m, TILE_ROWS) * PACKED_ROWS) / K_BLOCK;
    const size_t least = A_DEPTH > K_BLOCK ? A_DEPTH / K_BLOCK : 1;
    const size_t at_once = update ? steps : fitting > least ? fitting : least;
    for (size_t turn = 0; turn < steps; turn += at_once) {
        const size_t last = turn + at_once < steps ? turn + at_once : steps;
        const size_t deep = first_of(k, last) - first_of(k, turn);
        const size_t most = A_BLOCK / (deep ? deep : 1) / PACKED_ROWS * TILE_ROWS;
        for (size_t i = 0, left = next_of(m, most); left > 0; left--) {
            const size_t rows = next_of(m - i, left);
            block_product(&g, i, rows, turn, last);
            i += rows;
        }
    }
}
