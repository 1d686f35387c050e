/* All that a kernel file may include: the element type, its vector, lane-wise helpers, and the name of a variant.
 *
 * The same kernel sources are compiled once per element type and instruction set, with
 *   FNN_F64    0 or 1: real_t is float or double
 *   FNN_ISA    base, avx2 or avx512: the suffix of the variant's symbols
 *   FNN_VBYTES 16, 32 or 64: the width of a vector register
 * A kernel works on a range [begin, end) of its units (rows, columns, elements or chunks, see ops.def) so that the
 * caller can split it over threads. It cannot fail: where it would like room of the pool and gets none, it does
 * without. The last, partial vector goes through vec_load_n and vec_store_n and the arithmetic of whole ones.
 */
#ifndef FNN_KERNEL_H
#define FNN_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define FNN_X86
#endif

#if FNN_F64
typedef double real_t;
typedef int64_t int_t;
#define FNN_TYPE f64
#else
typedef float real_t;
typedef int32_t int_t;
#define FNN_TYPE f32
#endif
typedef double acc_t; /* sums over more than a few hundred elements are kept in it */

#define FNN_PASTE_(name, type, isa) fnn_##name##_##type##_##isa
#define FNN_PASTE(name, type, isa) FNN_PASTE_(name, type, isa)
#define FNN_NAME(name) FNN_PASTE(name, FNN_TYPE, FNN_ISA)

/* vec_t: LANES elements of real_t; mask_t: as many integers, all bits set where a comparison holds. */
enum { LANES = FNN_VBYTES / sizeof(real_t) };
typedef real_t vec_t __attribute__((vector_size(FNN_VBYTES)));
typedef int_t mask_t __attribute__((vector_size(FNN_VBYTES)));
typedef real_t vec_any_t __attribute__((vector_size(FNN_VBYTES), aligned(sizeof(real_t)), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vec_t vec_load(const real_t *p) { return *(const vec_any_t *)p; }
INLINE void vec_store(real_t *p, vec_t v) { *(vec_any_t *)p = v; }
INLINE vec_t vec_set(real_t s) { return s - (vec_t){0}; } /* s - 0 keeps the sign of a zero, s + 0 does not */

/* X86(max) is _mm512_max_ps and so on. */
#ifdef FNN_X86
#define X86_PASTE_(prefix, operation, suffix) prefix##_##operation##_##suffix
#define X86_PASTE(prefix, operation, suffix) X86_PASTE_(prefix, operation, suffix)
#define X86(operation) X86_PASTE(X86_PREFIX, operation, X86_SUFFIX)
#if FNN_VBYTES == 64
#define X86_PREFIX _mm512
#define X86_INTEGERS __m512i
#elif FNN_VBYTES == 32
#define X86_PREFIX _mm256
#define X86_INTEGERS __m256i
#else
#define X86_PREFIX _mm
#define X86_INTEGERS __m128i
#endif
#if FNN_F64
#define X86_SUFFIX pd
#else
#define X86_SUFFIX ps
#endif
#endif

/* The first n < LANES elements; the other lanes are `fill`, or are left unwritten. AVX-512 has masks for it; elsewhere
 * the elements go through the stack, by a call that keeps the kernels small. */
#if FNN_VBYTES == 64
#if FNN_F64
typedef __mmask8 lanes_mask_t;
#else
typedef __mmask16 lanes_mask_t;
#endif
INLINE vec_t vec_load_n(const real_t *p, size_t n, real_t fill)
{
    return X86(mask_loadu)(vec_set(fill), (lanes_mask_t)((1u << n) - 1), p);
}
INLINE void vec_store_n(real_t *p, vec_t v, size_t n) { X86(mask_storeu)(p, (lanes_mask_t)((1u << n) - 1), v); }
#else
INLINE vec_t vec_load_n(const real_t *p, size_t n, real_t fill)
{
    vec_t v = vec_set(fill);
    memcpy(&v, p, n * sizeof *p);
    return v;
}
INLINE void vec_store_n(real_t *p, vec_t v, size_t n) { memcpy(p, &v, n * sizeof *p); }
#endif

INLINE vec_t vec_select(mask_t mask, vec_t yes, vec_t no)
{
    return (vec_t)((mask & (mask_t)yes) | (~mask & (mask_t)no));
}

/* Both return the second argument where either is NaN; vec_max(0, x) and vec_min(b, x) let a NaN x through. x86 has an
 * instruction with these rules, which gcc does not find in a comparison and a selection of vectors. */
#ifdef FNN_X86
INLINE vec_t vec_max(vec_t a, vec_t b) { return X86(max)(a, b); }
INLINE vec_t vec_min(vec_t a, vec_t b) { return X86(min)(a, b); }
#else
INLINE vec_t vec_max(vec_t a, vec_t b) { return vec_select(a > b, a, b); }
INLINE vec_t vec_min(vec_t a, vec_t b) { return vec_select(a < b, a, b); }
#endif
INLINE vec_t vec_abs(vec_t v) { return (vec_t)((mask_t)v & ~(mask_t)(-(vec_t){0})); }

/* Lane i of the result is lane i ^ distance of v. */
INLINE vec_t vec_swap(vec_t v, int_t distance)
{
    vec_t swapped;
#ifdef __clang__
    for (int_t i = 0; i < LANES; i++)
        swapped[i] = v[i ^ distance];
#else
    static const int_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    mask_t index;
    memcpy(&index, lanes, sizeof index);
    swapped = __builtin_shuffle(v, index ^ distance);
#endif
    return swapped;
}

/* Lane l of a where bit `distance` of l is not set, else lane l ^ distance of b; and the other way round. */
INLINE void vec_exchange(vec_t *a, vec_t *b, int_t distance)
{
    vec_t x = *a, y = *b;
#ifdef __clang__
    for (int_t i = 0; i < LANES; i++) {
        (*a)[i] = i & distance ? y[i ^ distance] : x[i];
        (*b)[i] = i & distance ? y[i] : x[i ^ distance];
    }
#else
    static const int_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    mask_t lane;
    memcpy(&lane, lanes, sizeof lane);
    mask_t high = (lane & distance) != 0, other = lane ^ distance; /* an index from LANES on reads the second vector */
    *a = __builtin_shuffle(x, y, (high & (other + LANES)) | (~high & lane));
    *b = __builtin_shuffle(x, y, (high & (lane + LANES)) | (~high & other));
#endif
}

/* Lane l of square[i] changes places with lane i of square[l]. */
INLINE void vec_transpose(vec_t square[LANES])
{
#pragma GCC unroll 4
    for (int_t distance = 1; distance < LANES; distance *= 2)
#pragma GCC unroll 16
        for (int_t i = 0; i < LANES; i++)
            if (!(i & distance))
                vec_exchange(&square[i], &square[i | distance], distance);
}

/* Sum and maximum of the lanes, in a fixed order by halves; of lanes with NaN the maximum may be any. */
INLINE real_t vec_sum(vec_t v)
{
#pragma GCC unroll 4
    for (int_t distance = LANES / 2; distance > 0; distance /= 2)
        v += vec_swap(v, distance);
    return v[0];
}

INLINE real_t vec_max_lanes(vec_t v)
{
#pragma GCC unroll 4
    for (int_t distance = LANES / 2; distance > 0; distance /= 2)
        v = vec_max(v, vec_swap(v, distance));
    return v[0];
}

/* A load and a store of n <= LANES elements. */
INLINE vec_t vec_get(const real_t *p, size_t n, real_t fill)
{
    return n == LANES ? vec_load(p) : vec_load_n(p, n, fill);
}

INLINE void vec_put(real_t *p, vec_t v, size_t n)
{
    if (n == LANES)
        vec_store(p, v);
    else
        vec_store_n(p, v, n);
}

/* v with the lanes from n on set to zero. */
INLINE vec_t vec_first(vec_t v, size_t n)
{
    if (n == LANES)
        return v;
    real_t lanes[LANES];
    vec_store(lanes, v);
    return vec_load_n(lanes, n, 0);
}

/* Run the body over the elements [begin, end) vector by vector: `i` is the first element, `n` the number of lanes, a
 * constant in the loop over whole vectors and the rest in the last turn. */
#define FOR_VECTORS(i, n, begin, end, ...)                                                                             \
    {                                                                                                                  \
        size_t i = (begin);                                                                                            \
        for (; i + LANES <= (end); i += LANES) {                                                                       \
            const size_t n = LANES;                                                                                    \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
        if (i < (end)) {                                                                                               \
            const size_t n = (end) - i;                                                                                \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

/* Sums in real_t run over at most this many vectors or rows before they go into an acc_t: the relative error of a sum
 * of n positive numbers stays near SUM_BLOCK / 2 eps at worst, whatever n. */
enum { SUM_BLOCK = 256 };

#define R(constant) ((real_t)(constant))
#define VEC(scalar) vec_set(R(scalar))

struct fnn_tile_update;
struct fnn_window;
struct fnn_planes;

/* The prototypes of this variant's kernels. */
#define FNN_STRIP(...) __VA_ARGS__
#define KERNEL(name, params, args) void FNN_NAME(name)(FNN_STRIP params, size_t begin, size_t end);
#define OP(name, params, args, unit, ns) KERNEL(name, params, args)
#include "ops.def"
#undef OP
#undef KERNEL

#endif
