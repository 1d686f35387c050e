/* The choice of the instruction set, and the entries of fnn.h: pick the table of the element type, split the units. */
#include "fnn.h"
#include "threads.h"
#include "window.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>
#endif

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

static int cpu_has_base(void) { return 1; }
#if defined(__x86_64__) || defined(_M_X64)

/* Bits of cpuid (leaf 1 ecx, leaf 7 ebx) and of XCR0, which says what registers the system saves. Asked here, since
 * __builtin_cpu_supports needs a library of the compiler's that is not linked on Windows. */
enum { FMA = 1 << 12, MOVBE = 1 << 22, OSXSAVE = 1 << 27, F16C = 1 << 29 };
enum { BMI1 = 1 << 3, AVX2 = 1 << 5, BMI2 = 1 << 8 };
enum { AVX512F = 1 << 16, AVX512DQ = 1 << 17, AVX512CD = 1 << 28, AVX512BW = 1 << 30 };
static const unsigned AVX512VL = 1u << 31;
enum { XCR0_AVX = 0x06, XCR0_AVX512 = 0xe6 };

static int cpu_has(unsigned leaf1, unsigned leaf7, unsigned registers)
{
    unsigned a, b, c, d, saved, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (leaf1 | OSXSAVE)) != (leaf1 | OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    (void)high;
    return (saved & registers) == registers && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & leaf7) == leaf7;
}
static int cpu_has_avx2(void) { return cpu_has(FMA | MOVBE | F16C, BMI1 | AVX2 | BMI2, XCR0_AVX); }
static int cpu_has_avx512(void)
{
    return cpu_has_avx2() && cpu_has(0, AVX512F | AVX512DQ | AVX512CD | AVX512BW | AVX512VL, XCR0_AVX512);
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
size_t fnn_lanes(int type) { return ((size_t)16 << chosen) / (type == FNN_TYPE_F64 ? 8 : 4); }
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
