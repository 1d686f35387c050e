/* The choice of the instruction set, and the entries of fnn.h: pick the table of the element type, split the units. */
#include "fnn.h"
#include "threads.h"

#define KERNEL(name, params, args) void (*name)(FNN_STRIP params, size_t begin, size_t end);
#define OP(name, params, args, unit, ns) KERNEL(name, params, args)
#define real_t float
struct fnn_table_f32 {
#include "ops.def"
};
#undef real_t
#define real_t double
struct fnn_table_f64 {
#include "ops.def"
};
#undef real_t
#undef OP
#undef KERNEL

/* FNN_VARIANTS comes from CMake: VARIANT(base) VARIANT(avx2) ..., slowest first. */
#define VARIANT(isa)                                                                                                   \
    extern const struct fnn_table_f32 fnn_table_f32_##isa;                                                             \
    extern const struct fnn_table_f64 fnn_table_f64_##isa;
FNN_VARIANTS
#undef VARIANT

static const struct {
    const struct fnn_table_f32 *f32;
    const struct fnn_table_f64 *f64;
} tables[] = {
#define VARIANT(isa) {&fnn_table_f32_##isa, &fnn_table_f64_##isa},
    FNN_VARIANTS
#undef VARIANT
};

const char *const fnn_isa_names[] = {
#define VARIANT(isa) #isa,
    FNN_VARIANTS
#undef VARIANT
};
const int fnn_isa_count = sizeof tables / sizeof *tables;

const char *const fnn_unary_names[FNN_UNARY_COUNT] = {
#define UNARY(name, value, gradient, at_output) #name,
#include "unary.def"
#undef UNARY
};
int fnn_unary_at_output(int kind, double a, double b)
{
    (void)a, (void)b;
    switch (kind) {
#define UNARY(name, value, gradient, at_output)                                                                        \
    case FNN_UNARY_##name:                                                                                             \
        return at_output;
#include "unary.def"
#undef UNARY
    }
    return 0;
}

const char *const fnn_loss_names[FNN_LOSS_COUNT] = {
#define LOSS(name, value, derivative) #name,
#include "loss.def"
#undef LOSS
};

static int chosen;

/* Both builtins ask the CPU and, through XCR0, whether the system saves the wide registers. */
static int cpu_has_base(void) { return 1; }
#if defined(__x86_64__) || defined(_M_X64)
static int cpu_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}
static int cpu_has_avx512(void)
{
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

int fnn_isa_supported(int isa)
{
    static int (*const cpu_has[])(void) = {
#define VARIANT(isa) cpu_has_##isa,
        FNN_VARIANTS
#undef VARIANT
    };
    return isa >= 0 && isa < fnn_isa_count && cpu_has[isa]();
}

int fnn_isa(void) { return chosen; }
size_t fnn_gemm_panel(void) { return (size_t)32 << chosen; } /* two vectors of 16, 32 or 64 bytes */
void fnn_set_isa(int isa) { chosen = isa; }

#define real_t void
#define KERNEL(name, params, args)                                                                                     \
    void fnn_##name(int type, FNN_STRIP params, size_t begin, size_t end)                                              \
    {                                                                                                                  \
        if (type == FNN_TYPE_F64)                                                                                      \
            tables[chosen].f64->name(FNN_STRIP args, begin, end);                                                      \
        else                                                                                                           \
            tables[chosen].f32->name(FNN_STRIP args, begin, end);                                                      \
    }
#define OP(name, params, args, unit, ns)                                                                               \
    void fnn_##name##_part(int type, FNN_STRIP params, size_t begin, size_t end)                                       \
    {                                                                                                                  \
        if (type == FNN_TYPE_F64)                                                                                      \
            tables[chosen].f64->name(FNN_STRIP args, begin, end);                                                      \
        else                                                                                                           \
            tables[chosen].f32->name(FNN_STRIP args, begin, end);                                                      \
    }                                                                                                                  \
    void fnn_##name(int type, FNN_STRIP params, size_t units)                                                          \
    {                                                                                                                  \
        int isa = chosen;                                                                                              \
        FNN_PARALLEL(units, FNN_STEP_##unit, (ns) * (double)units, {                                                   \
            if (type == FNN_TYPE_F64)                                                                                  \
                tables[isa].f64->name(FNN_STRIP args, begin, end);                                                     \
            else                                                                                                       \
                tables[isa].f32->name(FNN_STRIP args, begin, end);                                                     \
        })                                                                                                             \
    }
#include "ops.def"
#undef real_t
#undef OP
#undef KERNEL

void fnn_blas_init(void);
void fnn_threads_init(void);

void fnn_init(void)
{
    for (int isa = 0; isa < fnn_isa_count; isa++)
        if (fnn_isa_supported(isa))
            chosen = isa;
    fnn_threads_init();
    fnn_blas_init();
}
