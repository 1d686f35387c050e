/* The public C interface: one entry per operation, for both element types, on the chosen instruction set and threads.
 *
 * ops.def documents each operation: its shapes, its units, its precision. An entry is
 *     void fnn_softmax_forward(int type, const void *x, void *y, size_t cols, size_t units);
 * where type is FNN_TYPE_F32 or FNN_TYPE_F64 and says what the void pointers point to. Nothing here knows of Python,
 * allocates or fails; what a caller could get wrong is checked before (by _core.pyx). fnn_softmax_forward_part takes a
 * range of units instead, on the calling thread, which program.c uses inside a team of its own.
 */
#ifndef FNN_H
#define FNN_H

#include <stddef.h>
#include <stdint.h>

enum fnn_type { FNN_TYPE_F32, FNN_TYPE_F64 };
enum fnn_optimizer_kind { FNN_SGD, FNN_ADAM, FNN_RMSPROP, FNN_ADAGRAD };
enum { FNN_SUM_CHUNK = 4096, FNN_DROPOUT_CHUNK = 1024, FNN_GEMM_SPACE = 9 << 17, FNN_UPDATE_DEPTH = 4096 };

enum fnn_unary {
#define UNARY(name, value, gradient, at_output) FNN_UNARY_##name,
#include "unary.def"
#undef UNARY
    FNN_UNARY_COUNT
};
enum fnn_loss {
#define LOSS(name, value, derivative) FNN_LOSS_##name,
#include "loss.def"
#undef LOSS
    FNN_LOSS_COUNT
};
extern const char *const fnn_unary_names[FNN_UNARY_COUNT];
extern const char *const fnn_loss_names[FNN_LOSS_COUNT];
int fnn_unary_at_output(int kind, double a, double b); /* see unary.def */

/* What a product whose result is a gradient does with it: the update of a parameter p, whose rows are `row` elements
 * apart, as are those of its states. d: the doubles that sgd_update or adam_update takes. */
struct fnn_tile_update {
    int kind; /* FNN_SGD or FNN_ADAM */
    void *p, *states[3];
    ptrdiff_t row;
    double d[7];
    int nesterov, first;
};

struct fnn_window; /* window.h */
struct fnn_planes;

#define FNN_STRIP(...) __VA_ARGS__

#define real_t void
#define OP(name, params, args, unit, ns)                                                                               \
    void fnn_##name(int type, FNN_STRIP params, size_t units);                                                         \
    void fnn_##name##_part(int type, FNN_STRIP params, size_t begin, size_t end);
#define KERNEL(name, params, args) void fnn_##name(int type, FNN_STRIP params, size_t begin, size_t end);
#include "ops.def"
#undef real_t
#undef OP
#undef KERNEL

/* C (m, n) = A (m, k) B (k, n) + bias, or += where accumulate is set; see `gemm_tiles` in ops.def. */
void fnn_gemm(int type, const void *a, ptrdiff_t a_row, ptrdiff_t a_col, const void *b, ptrdiff_t b_row,
              ptrdiff_t b_col, const void *bias, void *c, ptrdiff_t c_row, size_t m, size_t n, size_t k,
              int accumulate);

/* Instruction sets: the names compiled in, slowest first; whether this CPU and system run it; the chosen one. */
extern const char *const fnn_isa_names[];
extern const int fnn_isa_count;
int fnn_isa_supported(int isa);
int fnn_isa(void);
void fnn_set_isa(int isa); /* isa must be supported */

/* Which GEMM serves: FNN_GEMM_AUTO decides by shape. */
enum fnn_gemm_provider { FNN_GEMM_AUTO, FNN_GEMM_NATIVE, FNN_GEMM_BLAS };
int fnn_has_blas(void);
const char *fnn_blas_config(void); /* what the BLAS says of itself; "" without one */
size_t fnn_gemm_panel(void); /* bytes of a row of a panel of B that gemm_tiles need not pack */
size_t fnn_lanes(int type);  /* elements of a vector */
int fnn_gemm_provider(void);
void fnn_set_gemm_provider(int provider);

/* Threads: an explicit count, or 0 for OpenMP's own setting, at most `fallback` where OMP_NUM_THREADS is not set. */
int fnn_has_openmp(void);
int fnn_num_threads(void);
void fnn_set_num_threads(int count);
void fnn_set_thread_limit(int limit);

/* Memory of large arrays, which waits for reuse when it is given back; aligned to 64 bytes. Any thread may call. */
void *fnn_pool_alloc(size_t size);
void *fnn_pool_realloc(void *memory, size_t size);
void fnn_pool_free(void *memory);
size_t fnn_pool_bytes(void); /* what waits, at most 256 MB */
void fnn_pool_clear(void);
void fnn_pool_after_fork(void);

/* Once, before anything else: the best instruction set, BLAS on one thread, the handler for forked children. */
void fnn_init(void);

#endif
