/* Measures the functions of vecmath.h against the C library in a wider type.
 *
 *     ulp FUNCTION|all [--all | --samples N | --time]
 *
 * Compiled like a kernel, once per variant. --all runs over all 2^32 floats (float only); --samples over N inputs: for
 * float, every 2^32/N-th bit pattern, for double, pseudo-random ones; both also try the neighbours of special values.
 * Prints a line per function and exits with 1 if one is further from the true value than ulp.def allows.
 * The wider type is double for float, and x87's long double (64 bits of mantissa) for double: an oracle's own error is
 * below 0.01 ULP.
 */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../vecmath.h"

#if FNN_F64
typedef long double wide_t;
typedef uint64_t pattern_t;
#define WIDE(f) f##l
#else
typedef double wide_t;
typedef uint32_t pattern_t;
#define WIDE(f) f
#endif
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
enum { BLOCK = 4096, THREADS = 4 };
static const wide_t SKIP = -12345; /* what a reference says outside of its function's domain */

/* 1/2 erfc(-x / sqrt(2)), corrected for the rounding of x / sqrt(2), which counts where |x| is large. */
static wide_t normal_cdf(wide_t x)
{
    const wide_t high = 0.707106781186547524400844362104849039L, low = -2.0148519042337555e-20L * FNN_F64;
    wide_t z = -x * high, residual = WIDE(fma)(-x, high, -z) - x * low;
    wide_t slope = -1.12837916709551257389615890312154517L * WIDE(exp)(-z * z);
    return (WIDE(erfc)(z) + (residual == residual ? residual * slope : 0)) / 2;
}

/* One function: its name, a kernel over n (a multiple of LANES) elements, its reference, its interval, its bound. */
typedef struct {
    const char *name;
    void (*run)(const real_t *x, real_t *y, size_t n);
    wide_t (*reference)(wide_t x);
    real_t low, high;
    double bound;
} function_t;

#define ULP(name, reference, low, high, f32_fma, f32, f64_fma, f64)                                                    \
    static void run_##name(const real_t *x, real_t *y, size_t n)                                                       \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i += LANES)                                                                          \
            vec_store(y + i, vec_##name(vec_load(x + i)));                                                             \
    }                                                                                                                  \
    static wide_t reference_##name(wide_t x) { return reference; }
#include "ulp.def"
#undef ULP

#if defined __FMA__ || defined __ARM_FEATURE_FMA
#define BOUND(f32_fma, f32, f64_fma, f64) (FNN_F64 ? (f64_fma) : (f32_fma))
#else
#define BOUND(f32_fma, f32, f64_fma, f64) (FNN_F64 ? (f64) : (f32))
#endif
static const function_t FUNCTIONS[] = {
#define ULP(name, reference, low, high, ...) {#name, run_##name, reference_##name, low, high, BOUND(__VA_ARGS__)},
#include "ulp.def"
#undef ULP
};

static real_t from_pattern(pattern_t bits)
{
    real_t x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static pattern_t to_pattern(real_t x)
{
    pattern_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* |got - want| in units in the last place of `want`; infinite for a wrong NaN, infinity or sign of zero. */
static double ulp_error(real_t got, wide_t want)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (got == (real_t)want)
        if (got == 0 || isinf(got))
            return !!signbit(got) == !!signbit(want) ? 0 : INFINITY;
    if (isinf(want))
        return INFINITY;
    pattern_t below = to_pattern((real_t)WIDE(fabs)(want)), infinite = to_pattern((real_t)INFINITY);
    if (below > 0 && (from_pattern(below) > WIDE(fabs)(want) || below == infinite))
        below--;
    wide_t top = below + 1 == infinite ? 2 * (wide_t)from_pattern(infinite - ((pattern_t)1 << MANTISSA_BITS))
                                       : from_pattern(below + 1);
    return (double)(WIDE(fabs)(got - want) / (top - from_pattern(below)));
}

/* What a thread has to do, every step-th pattern (or random number) of count, and the worst input that it found. */
typedef struct {
    const function_t *function;
    uint64_t first, step, count, tried;
    double error;
    real_t worst;
} work_t;

static void measure(work_t *work, const real_t *x, size_t n)
{
    real_t y[BLOCK];
    work->function->run(x, y, BLOCK);
    for (size_t i = 0; i < n; i++) {
        wide_t want = work->function->reference(x[i]);
        if (want == SKIP)
            continue;
        work->tried++;
        if (y[i] == (real_t)want && y[i] != 0 && work->error >= 0.5) /* correctly rounded: at most 0.5, and fast */
            continue;
        double error = ulp_error(y[i], want);
        if (error > work->error) {
            work->error = error;
            work->worst = x[i];
        }
    }
}

static uint64_t mix(uint64_t i) /* the SplitMix64 generator's i-th output */
{
    i *= 0x9e3779b97f4a7c15;
    i = (i ^ (i >> 30)) * 0xbf58476d1ce4e5b9;
    i = (i ^ (i >> 27)) * 0x94d049bb133111eb;
    return i ^ (i >> 31);
}

/* Half of the inputs uniform on the function's interval, a quarter of magnitude 2^-30 to 2^2, the rest any pattern. */
static real_t random_input(const function_t *f, uint64_t i)
{
    uint64_t bits = mix(i);
    real_t unit = (real_t)(mix(~i) >> 11) * (real_t)0x1p-53;
    if (bits % 4 < 2)
        return f->low + (f->high - f->low) * unit;
    if (bits % 4 == 2)
        return (bits & 4 ? 1 : -1) * (real_t)ldexp(1 + (double)unit, 1 - (int)(bits >> 3) % 32);
    return from_pattern((pattern_t)(bits ^ (bits << 62)));
}

static void *run_work(void *argument)
{
    work_t *work = argument;
    real_t x[BLOCK];
    size_t n = 0;
    for (uint64_t i = work->first; i < work->count; i += work->step) {
        x[n++] = FNN_F64 ? random_input(work->function, i) : from_pattern((pattern_t)i);
        if (n == BLOCK || i + work->step >= work->count) {
            for (size_t pad = n; pad < BLOCK; pad++)
                x[pad] = 1;
            measure(work, x, n);
            n = 0;
        }
    }
    return NULL;
}

/* Both signs of values where a branch, a range or the format ends, and their nearest 100 neighbours on either side. */
static void run_edges(work_t *work)
{
    static const double edges[] = {
        0, 0x1p-149, 0x1p-126, 0x1p-1022, 0x1p-55, 0x1p-54, 0x1p-53, 0x1p-26, 0x1p-25, 0x1p-24, 0x1p-12,
        0.346573590279972, 1.0397207708399179, 0.5, 1, 2, 4, 6, 9.01, 10, 15, 17.33, 20, 39, 40, 89, 104, 710, 746,
        88.722839111673, 87.33654475, 103.27892990343185, 103.97207708399179, 709.782712893384, 708.3964185322641,
        745.1332191019412, 744.4400719213812, 0.70710678118654752, 1.4142135623730951, 0.921875, 0.41421356237309503,
        3.8325, 5.8636, 8.2924, 14.1, 38.5, 0.29289321881345248, 16777216, 9007199254740992, 3.4028234663852886e38,
        1.7976931348623157e308, INFINITY, NAN,
    };
    real_t x[BLOCK] = {0};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        size_t n = 0;
        for (int step = -100; step <= 100; step++)
            for (int sign = -1; sign <= 1; sign += 2)
                x[n++] = from_pattern(to_pattern((real_t)(sign * edges[i])) + (pattern_t)step);
        measure(work, x, n);
    }
}

/* Results that have to be exact: the identities that users of the functions see. */
static bool check_exact(const function_t *f)
{
    static const struct {
        const char *name;
        double x, y;
    } exact[] = {
        {"exp", 0, 1},     {"log", 1, 0},     {"sigmoid", 0, 0.5}, {"sech2", 0, 1},       {"normal_cdf", 0, 0.5},
        {"tanh", 25, 1},   {"erf", 7, 1},     {"sigmoid", 50, 1},  {"normal_cdf", 40, 1}, {"log1p_unit", 0, 0},
        {"expm1", -45, -1}, {"log", 0x1p100, 100 * 0x1.62e42fefa39efp-1},
    };
    bool good = true;
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        real_t x[LANES], y[LANES];
        vec_store(x, vec_set((real_t)exact[i].x));
        f->run(x, y, LANES);
        if (strcmp(f->name, exact[i].name) == 0 && y[0] != (real_t)exact[i].y) {
            printf("%s(%g) is %a, not %a\n", f->name, exact[i].x, (double)y[0], exact[i].y);
            good = false;
        }
    }
    return good;
}

/* The worst of all inputs, which THREADS threads share; prints the function's line. */
static bool check(const function_t *f, uint64_t samples)
{
    const uint64_t patterns = (uint64_t)1 << 32;
    const uint64_t step = FNN_F64 ? 1 : (patterns / samples) | 1, count = FNN_F64 ? samples : patterns;
    work_t work[THREADS];
    pthread_t threads[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        work[i] = (work_t){.function = f, .first = i * step, .step = THREADS * step, .count = count};
        if (pthread_create(&threads[i], NULL, run_work, &work[i]) != 0)
            exit(2);
    }
    work_t total = {.function = f};
    run_edges(&total);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        total.tried += work[i].tried;
        if (work[i].error > total.error) {
            total.error = work[i].error;
            total.worst = work[i].worst;
        }
    }
    bool good = total.error <= f->bound;
    printf("%-11s %s %-6s %11llu inputs, max %.3f ULP at %.17g (%a)%s\n", f->name, TEXT(FNN_TYPE), TEXT(FNN_ISA),
           (unsigned long long)total.tried, total.error, (double)total.worst, (double)total.worst,
           good ? "" : ": MORE THAN ALLOWED");
    return good;
}

/* Elements a nanosecond over a buffer that stays in the first-level cache: the best of 50 runs of about 0.2 ms. */
static void time_function(const function_t *f)
{
    real_t x[BLOCK], y[BLOCK];
    double best = 0;
    real_t low = f->low < -4 ? -4 : f->low, high = f->high > 4 ? 4 : f->high;
    for (size_t i = 0; i < BLOCK; i++)
        x[i] = low + (high - low) * (real_t)i / BLOCK;
    for (int run = 0; run < 50; run++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (int i = 0; i < 100; i++)
            f->run(x, y, BLOCK);
        clock_gettime(CLOCK_MONOTONIC, &end);
        double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
        best = fmax(best, 100. * BLOCK / ns);
    }
    printf("%-11s %s %-6s %.2f elements/ns\n", f->name, TEXT(FNN_TYPE), TEXT(FNN_ISA), best);
}

int main(int argc, char **argv)
{
    uint64_t samples = (uint64_t)1 << 24;
    bool timed = argc > 2 && strcmp(argv[2], "--time") == 0, found = false, good = true;
    if (argc > 3 && strcmp(argv[2], "--samples") == 0)
        samples = strtoull(argv[3], NULL, 10);
    if (argc > 2 && strcmp(argv[2], "--all") == 0 && !FNN_F64)
        samples = (uint64_t)1 << 33; /* patterns / samples is 0, so that the step is 1 */
    for (size_t i = 0; argc > 1 && i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++) {
        if (strcmp(argv[1], "all") != 0 && strcmp(argv[1], FUNCTIONS[i].name) != 0)
            continue;
        found = true;
        if (timed)
            time_function(&FUNCTIONS[i]);
        else
            good = check(&FUNCTIONS[i], samples) && check_exact(&FUNCTIONS[i]) && good;
    }
    if (!found || samples == 0)
        fprintf(stderr, "usage: ulp FUNCTION|all [--all | --samples N | --time]\n");
    return !found || samples == 0 ? 2 : !good;
}
