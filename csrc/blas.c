/* GEMM: which provider serves, how it is split over threads; the only file that sees cblas.
 *
 * FNN_BLAS_PREFIX is the prefix of the BLAS's symbols (scipy_ for the vendored OpenBLAS), and absent without a BLAS.
 */
#include "fnn.h"
#include "threads.h"

#include <limits.h>
#include <string.h>

void fnn_gemm_native(int type, const void *a, ptrdiff_t a_row, ptrdiff_t a_col, const void *b, ptrdiff_t b_row,
                     ptrdiff_t b_col, const void *bias, void *c, ptrdiff_t c_row, size_t m, size_t k, int accumulate,
                     size_t begin, size_t end);
void fnn_transpose(int type, const void *x, ptrdiff_t step, void *y, size_t rows, size_t cols);
void fnn_blas_init(void);

enum { TURN_COLUMNS = 192 }; /* of C: fewer panels do not pay for turning A */

static int provider = FNN_GEMM_AUTO;

int fnn_gemm_provider(void) { return provider; }
void fnn_set_gemm_provider(int choice) { provider = choice; }

struct gemm { /* C (m, n) = A (m, k) B (k, n) + bias; strides in elements */
    int type;
    const char *a, *b, *bias;
    char *c;
    ptrdiff_t a_row, a_col, b_row, b_col, c_row;
    size_t m, n, k, size; /* size: bytes of an element */
    int accumulate;
};

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
        g.c += skip * size;
        g.bias = g.bias ? g.bias + skip * size : NULL;
        g.n = end - begin;
    }
    return g;
}

static void native(struct gemm g)
{
    /* A transposed A is read along its columns again for every panel of B, which costs more than turning it once. */
    char *turned = NULL;
    if (g.a_col != 1 && g.a_row == 1 && g.n >= TURN_COLUMNS && g.k >= 32)
        turned = fnn_pool_alloc(g.m * g.k * g.size);
    if (turned) {
        fnn_transpose(g.type, g.a, g.a_col, turned, g.m, g.k);
        g.a = turned;
        g.a_row = (ptrdiff_t)g.k;
        g.a_col = 1;
    }
    fnn_gemm_native(g.type, g.a, g.a_row, g.a_col, g.b, g.b_row, g.b_col, g.bias, g.c, g.c_row, g.m, g.k,
                    g.accumulate, 0, g.n);
    fnn_pool_free(turned);
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

/* Measured with both at (batch, in, out) from (1, 784, 256) to (512, 2048, 2048) and (10000, 784, 256), in the three
 * forms of a linear layer with either layout of the weight, f32 and f64, AVX-512, `make bench-gemm`. Where A goes along
 * its rows (forward, gradient by the input) the own kernel wins by 5 to 60 %, up to 2 times with 10 columns, but for a
 * few rows or columns, which leave its tiles empty, and very large products, which are level or lose up to a third. For
 * gradients of a weight it wins by 3 to 10 % (with 10 columns by half) while C fits in L2 and k is neither too short to
 * pay for reading and writing C nor long; else it loses, by 5 % in f32, by up to a half where C is far larger. */
static int blas_pays(const struct gemm *g)
{
    if (g->m < 8 || g->n < 8)
        return 1;
    if (g->a_col != 1)
        return g->k < 64 || g->k > 256 || g->n < 32 || g->m * g->n > (g->size == 8 ? 1 << 18 : 1 << 16);
    return (double)g->m * (double)g->n * (double)g->k > 1 << 28;
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
    if (g.bias)
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
static void blas(struct gemm g) { native(g); }
#endif

/* How a product is cut for threads. The own kernel sums alike wherever a share begins. OpenBLAS does so where shares
 * are large (below 10^6 multiply-adds it has other kernels) and begin at multiples of 64 rows or columns in f32, of 192
 * rows in f64; so f64 with few rows is cut in two for any number of threads, which costs one thread 5 %, since each
 * half packs the other matrix again. The tests compare numbers of threads bit for bit. */
enum { BLAS_SHARE = 1 << 22, STEP = 64, STEP_F64 = 192, OWN_STEP = 32 };

static const double OWN_NS = 2.0 / 100; /* of one multiply-add, at 100 GFLOP/s, to estimate what a product costs */

static void run(struct gemm g, int by_blas)
{
    if (by_blas)
        blas(g);
    else
        native(g);
}

void fnn_gemm(int type, const void *a, ptrdiff_t a_row, ptrdiff_t a_col, const void *b, ptrdiff_t b_row,
              ptrdiff_t b_col, const void *bias, void *c, ptrdiff_t c_row, size_t m, size_t n, size_t k, int accumulate)
{
    const struct gemm g = {type,  a,     b,     bias,  c, a_row, a_col, b_row, b_col,
                           c_row, m,     n,     k,     type == FNN_TYPE_F64 ? 8 : 4, accumulate};
    const int by_blas = blas_serves(&g), f64 = by_blas && type == FNN_TYPE_F64;
    const int by_rows = f64 ? m >= 2 * STEP_F64 : m > n;
    const size_t longer = by_rows ? m : n;
    const double work = (double)m * (double)n * (double)k;
    const double ns = by_blas ? work / BLAS_SHARE * FNN_NS_PER_THREAD : work * OWN_NS;
    if (f64 && !by_rows && work >= 2.0 * BLAS_SHARE && n >= 2 * STEP) {
        const size_t half = (n / 2 + STEP - 1) / STEP * STEP;
        FNN_PARALLEL(2, 1, ns, {
            for (size_t i = begin; i < end; i++)
                run(part(g, 0, i * half, i ? n : half), 1);
        })
    } else {
        FNN_PARALLEL(longer, f64 ? STEP_F64 : by_blas ? STEP : OWN_STEP, ns, {
            if (begin < end)
                run(part(g, by_rows, begin, end), by_blas);
        })
    }
}
