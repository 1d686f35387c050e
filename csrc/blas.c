/* GEMM: which provider serves, how it is split over threads; the only file that sees cblas.
 *
 * The own kernels are gemm_tiles and gemm_dots of ops.def. FNN_BLAS_PREFIX is the prefix of the BLAS's symbols (scipy_
 * for the vendored OpenBLAS), and absent without a BLAS.
 */
#include "gemm.h"

#include "fnn.h"
#include "threads.h"

#include <limits.h>
#include <string.h>

void fnn_blas_init(void);

static int provider = FNN_GEMM_AUTO;

int fnn_gemm_provider(void) { return provider; }
void fnn_set_gemm_provider(int choice) { provider = choice; }

/* The same product by its transposes: C^T = B^T A^T. */
static struct gemm turned(struct gemm g)
{
    struct gemm t = g;
    t.a = g.b, t.a_row = g.b_col, t.a_col = g.b_row;
    t.b = g.a, t.b_row = g.a_col, t.b_col = g.a_row;
    t.c_row = g.c_col, t.c_col = g.c_row;
    t.m = g.n, t.n = g.m;
    t.turned = !g.turned;
    return t;
}

/* Columns (or, by_rows, rows) [begin, end) of the product as a product of its own. */
static struct gemm part(struct gemm g, int by_rows, size_t begin, size_t end)
{
    ptrdiff_t skip = (ptrdiff_t)begin, size = (ptrdiff_t)g.size;
    if (by_rows) {
        g.a += skip * g.a_row * size;
        g.c += skip * g.c_row * size;
        g.m = end - begin;
    } else {
        g.b += skip * g.b_col * size;
        g.c += skip * g.c_col * size;
        g.n = end - begin;
    }
    if (g.bias && by_rows == (g.c_col != 1))
        g.bias += skip * size;
    return g;
}

/* ---- the own kernels ----
 *
 * Which of the two serves, and when the transposed product is the cheaper one, was measured at the shapes of
 * `make bench-gemm` in the three forms of a linear layer, f32 and f64, AVX-512. */

enum { DOTS_MOST = 24, PACKED_COLUMNS = 2048 /* bytes of a row */, PACKED_DEPTH = 1024 /* rows */ };

static size_t whole(size_t count, size_t of) { return (count + of - 1) / of * of; }

/* Where columns are so few that tiles would leave three lanes of ten idle, and rows long enough for sums of lanes. */
static int narrow(const struct gemm *g)
{
    return g->n <= DOTS_MOST && 10 * g->n < 7 * whole(g->n, 64 / g->size);
}
static int dots_pay(const struct gemm *g)
{
    return g->a_col == 1 && narrow(g) && g->k * g->size >= 512 && g->n * (g->k * g->size + 64) <= FNN_GEMM_SPACE;
}

/* A B whose columns are contiguous is transposed while it is packed; turned, it is the A that tiles read as it is, and
 * A and C are transposed instead. */
static int turning_pays(const struct gemm *g)
{
    const double rows = (double)g->m, cols = (double)g->n, deep = (double)g->k;
    return g->a_col == 1 ? g->b_col != 1 && deep * cols > 1.3 * rows * (cols + deep) : narrow(g) && g->m > 2 * g->n;
}

/* Memory for packing: the caller's, or some of the pool. */
static void tiles(struct gemm g, void *space)
{
    const int packing = g.n * g.size >= PACKED_COLUMNS || (g.a_col != 1 && g.k >= PACKED_DEPTH);
    void *own = packing && !space ? fnn_pool_alloc(FNN_GEMM_SPACE) : NULL;
    fnn_gemm_tiles(g.type, g.a, g.a_row, g.a_col, g.b, g.b_row, g.b_col, g.bias, g.c, g.c_row, g.c_col, g.m, g.k,
                   g.accumulate, g.relu && fnn_gemm_rectifies(&g), packing ? (space ? space : own) : NULL, g.update, 0,
                   g.n);
    fnn_pool_free(own);
}

static void dots(struct gemm g, void *space)
{
    void *own = space ? NULL : fnn_pool_alloc(FNN_GEMM_SPACE);
    if (!space && !own) {
        tiles(g, NULL);
        return;
    }
    fnn_gemm_dots(g.type, g.a, g.a_row, g.b, g.b_row, g.b_col, g.bias, g.c, g.c_row, g.c_col, g.n, g.k, g.accumulate,
                  space ? space : own, 0, g.m);
    fnn_pool_free(own);
}

#ifdef FNN_BLAS_PREFIX
#define PASTE_(prefix, name) prefix##name
#define PASTE(prefix, name) PASTE_(prefix, name)
#define BLAS(name) PASTE(FNN_BLAS_PREFIX, name)

/* Declared here, since the header of a BLAS rarely knows its prefix. */
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
void BLAS(cblas_sgemm)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *,
                       int);
void BLAS(cblas_dgemm)(int, int, int, int, int, int, double, const double *, int, const double *, int, double,
                       double *, int);
#ifdef FNN_BLAS_OPENBLAS
void BLAS(openblas_set_num_threads)(int);
char *BLAS(openblas_get_config)(void);
#endif

int fnn_has_blas(void) { return 1; }

const char *fnn_blas_config(void)
{
#ifdef FNN_BLAS_OPENBLAS
    return BLAS(openblas_get_config)();
#else
    return FNN_BLAS_NAME;
#endif
}

/* All splitting is ours: two pools of threads that take turns wait for each other's spinning. */
void fnn_blas_init(void)
{
#ifdef FNN_BLAS_OPENBLAS
    BLAS(openblas_set_num_threads)(1);
#endif
}

/* The leading dimension of a matrix that BLAS can read, or 0; *transposed tells how. */
static int leading(size_t rows, size_t cols, ptrdiff_t row, ptrdiff_t col, int *transposed)
{
    ptrdiff_t least = col == 1 ? (ptrdiff_t)cols : (ptrdiff_t)rows, lead = col == 1 ? row : col;
    *transposed = col == 1 ? NO_TRANS : TRANS;
    return (col == 1 || row == 1) && lead >= least && lead > 0 && lead <= INT_MAX ? (int)lead : 0;
}

/* Measured like the choice between the own kernels. Where A goes along its rows (forward, gradient by the input) the
 * own ones win by 5 to 60 %, up to 3 times with few rows or columns; OpenBLAS wins by up to 12 % where B is far larger
 * than L2, and by a third with a single row and contiguous columns of B. For gradients of a weight both are level in
 * f32, and the own kernel wins by up to 25 % in f64; but OpenBLAS wins by 5 to 50 % where k is too short to pay for
 * reading and writing C, or long, or C is large. */
static int blas_pays(const struct gemm *g)
{
    if (g->a_col == 1)
        return (double)g->k * (double)g->n * (double)g->size > 8 << 20 || (g->m == 1 && g->b_col != 1);
    return g->k < 48 || g->k > 1024 || g->m * g->n > (g->size == 8 ? 3 << 19 : 3 << 18);
}

static int blas_serves(const struct gemm *g)
{
    int ignored;
    return provider != FNN_GEMM_NATIVE && (provider == FNN_GEMM_BLAS || blas_pays(g)) && g->k > 0 &&
           g->m <= INT_MAX && g->n <= INT_MAX && g->k <= INT_MAX && g->c_row >= (ptrdiff_t)g->n &&
           g->c_row <= INT_MAX && leading(g->m, g->k, g->a_row, g->a_col, &ignored) &&
           leading(g->k, g->n, g->b_row, g->b_col, &ignored);
}

static void blas(struct gemm g)
{
    int trans_a, trans_b, m = (int)g.m, n = (int)g.n, k = (int)g.k, c_row = (int)g.c_row;
    int lead_a = leading(g.m, g.k, g.a_row, g.a_col, &trans_a), lead_b = leading(g.k, g.n, g.b_row, g.b_col, &trans_b);
    if (g.bias && !g.accumulate)
        for (size_t i = 0; i < g.m; i++)
            memcpy(g.c + (ptrdiff_t)i * g.c_row * (ptrdiff_t)g.size, g.bias, g.n * g.size);
    double beta = g.accumulate || g.bias ? 1 : 0;
    if (g.type == FNN_TYPE_F64)
        BLAS(cblas_dgemm)(ROW_MAJOR, trans_a, trans_b, m, n, k, 1, (const double *)g.a, lead_a, (const double *)g.b,
                          lead_b, beta, (double *)g.c, c_row);
    else
        BLAS(cblas_sgemm)(ROW_MAJOR, trans_a, trans_b, m, n, k, 1, (const float *)g.a, lead_a, (const float *)g.b,
                          lead_b, (float)beta, (float *)g.c, c_row);
}
#else
int fnn_has_blas(void) { return 0; }
const char *fnn_blas_config(void) { return ""; }
void fnn_blas_init(void) {}
static int blas_serves(const struct gemm *g) { return (void)g, 0; }
static void blas(struct gemm g) { tiles(g, NULL); }
#endif

/* How a product is cut for threads. The own kernel sums alike wherever a share begins. OpenBLAS does so where shares
 * are large (below 10^6 multiply-adds it has other kernels) and begin at multiples of 64 rows or columns in f32, of 192
 * rows in f64, which below 6 x 192 rows make uneven shares; then f64 is cut in two, also for one thread, which costs it
 * 5 %: each half packs the other matrix again. The tests compare numbers of threads bit for bit. */
enum { BLAS_SHARE = 1 << 22, STEP = 64, STEP_F64 = 192, OWN_STEP = 32 };

static const double OWN_NS = 2.0 / 100; /* of one multiply-add, at 100 GFLOP/s, to estimate what a product costs */

struct gemm fnn_gemm_plan(struct gemm g)
{
    g.turned = 0;
    if (!g.own && blas_serves(&g)) {
        g.way = FNN_GEMM_BY_BLAS;
        return g;
    }
    const struct gemm t = turned(g);
    const int can_turn = g.c_row != 1; /* else both strides are 1, and nothing says where the bias goes */
    if (can_turn && !dots_pay(&g) && (dots_pay(&t) || turning_pays(&g)))
        g = t;
    g.way = dots_pay(&g) ? FNN_GEMM_BY_DOTS : FNN_GEMM_BY_TILES;
    return g;
}

struct cut fnn_gemm_cut(const struct gemm *g)
{
    const int f64 = g->way == FNN_GEMM_BY_BLAS && g->type == FNN_TYPE_F64;
    const int by_rows = g->way == FNN_GEMM_BY_DOTS || (f64 ? g->m >= 6 * STEP_F64 : g->m > g->n);
    const double work = (double)g->m * (double)g->n * (double)g->k;
    if (f64 && !by_rows && work >= 2.0 * BLAS_SHARE && g->n >= 2 * STEP)
        return (struct cut){2, 1, 0, 1};
    const size_t step = f64 ? STEP_F64 : g->way == FNN_GEMM_BY_BLAS ? STEP : OWN_STEP;
    return (struct cut){by_rows ? g->m : g->n, step, by_rows, 0};
}

static void run(struct gemm g, void *space)
{
    if (g.way == FNN_GEMM_BY_BLAS)
        blas(g);
    else if (g.way == FNN_GEMM_BY_DOTS)
        dots(g, space);
    else
        tiles(g, space);
}

void fnn_gemm_share(const struct gemm *g, const struct cut *cut, size_t begin, size_t end, void *space)
{
    const size_t half = (g->n / 2 + STEP - 1) / STEP * STEP;
    if (cut->halves)
        for (size_t i = begin; i < end; i++)
            blas(part(*g, 0, i * half, i ? g->n : half));
    else if (begin < end)
        run(part(*g, cut->by_rows, begin, end), space);
}

void fnn_gemm_rows(const struct gemm *g, size_t begin, size_t end, void *space)
{
    run(part(*g, !g->turned, begin, end), space);
}

void fnn_gemm(int type, const void *a, ptrdiff_t a_row, ptrdiff_t a_col, const void *b, ptrdiff_t b_row,
              ptrdiff_t b_col, const void *bias, void *c, ptrdiff_t c_row, size_t m, size_t n, size_t k, int accumulate)
{
    const struct gemm g = fnn_gemm_plan((struct gemm){
        type, a, b, bias, c, a_row, a_col, b_row, b_col, c_row, 1, m, n, k, type == FNN_TYPE_F64 ? 8 : 4, accumulate,
        0, 0, NULL, 0, 0});
    const struct cut cut = fnn_gemm_cut(&g);
    const double work = (double)m * (double)n * (double)k;
    FNN_PARALLEL(cut.units, cut.step, g.way == FNN_GEMM_BY_BLAS ? work / BLAS_SHARE * FNN_NS_PER_THREAD : work * OWN_NS,
                 { fnn_gemm_share(&g, &cut, begin, end, NULL); })
}
