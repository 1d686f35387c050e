/* A matrix product as a plan: who computes it and how it is cut, for callers that have a team of threads of their own.
 */
#ifndef FNN_GEMM_H
#define FNN_GEMM_H

#include <stddef.h>

enum fnn_gemm_way { FNN_GEMM_BY_TILES, FNN_GEMM_BY_DOTS, FNN_GEMM_BY_BLAS };

struct gemm { /* C (m, n) = A (m, k) B (k, n) + bias, or +=; strides in elements */
    int type;
    const char *a, *b, *bias;
    char *c;
    ptrdiff_t a_row, a_col, b_row, b_col, c_row, c_col; /* c_row or c_col is 1; the bias goes along that axis */
    size_t m, n, k, size; /* size: bytes of an element */
    int accumulate, relu; /* relu: C is max(0, product), see fnn_gemm_rectifies */
    int own;              /* BLAS is not to serve, whose results depend on the range of rows */
    /* The plan: */
    const struct fnn_tile_update *update; /* of ways by tiles that are not turned, or NULL; see ops.def */
    int way, turned; /* turned: the product is computed as that of the transposes, with m and n exchanged */
};

/* Whether the plan's kernel takes care of `relu`; else it is the caller's. */
static inline int fnn_gemm_rectifies(const struct gemm *plan)
{
    return plan->way == FNN_GEMM_BY_TILES && !plan->turned;
}

/* Chooses how the product is computed; the result is to be kept for all parts of one product. */
struct gemm fnn_gemm_plan(struct gemm g);

/* Rows [begin, end) of the product as it was before the plan, by an own kernel: the same bits whatever the range.
 * `space` has FNN_GEMM_SPACE bytes. */
void fnn_gemm_rows(const struct gemm *plan, size_t begin, size_t end, void *space);

/* How a plan is cut for threads: `units` shares of a multiple of `step`, and one of them. */
struct cut {
    size_t units, step;
    int by_rows, halves;
};
struct cut fnn_gemm_cut(const struct gemm *plan);
void fnn_gemm_share(const struct gemm *plan, const struct cut *cut, size_t begin, size_t end, void *space);

#endif
