#ifndef FNN_VECMATH_H
#define FNN_VECMATH_H

#include "kernel.h"
#include "vecmath_coefficients.h"

#define K(f32, f64) ((real_t)(FNN_F64 ? (f64) : (f32)))
#if FNN_F64
typedef uint64_t bits_t __attribute__((vector_size(FNN_VBYTES)));
#else
typedef uint32_t bits_t __attribute__((vector_size(FNN_VBYTES)));
#endif
#define BITS(f32, f64) (FNN_F64 ? (f64) : (f32))
enum { MANTISSA_BITS = FNN_F64 ? 52 : 23, BIAS = FNN_F64 ? 1023 : 127 };

#define LOG2_E K(0x1.715476p+0, 0x1.71547652b82fep+0)
#define LN2_HIGH K(0x1.62e4p-1, 0x1.62e42feep-1)
#define LN2_LOW K(0x1.7f7d1cp-20, 0x1.a39ef35793c76p-33)
#define ROUND K(0x1.8p23, 0x1.8p52)
#define INFINITE K(__builtin_inff(), __builtin_inf())
#define NOT_A_NUMBER K(__builtin_nanf(""), __builtin_nan(""))

#ifndef W2
#define W2 12
#define W4 99
#endif
INLINE vec_t poly1(const real_t *c, size_t n, size_t step, vec_t x)
{
    size_t last = (n - 1) / step * step;
    vec_t y = vec_set(c[last]);
#pragma GCC unroll 32
    for (size_t i = last; i > 0; i -= step)
        y = y * x + c[i - step];
    return y;
}
INLINE vec_t poly(const real_t *c, size_t n, vec_t x)
{
    vec_t x2 = x * x, x4 = x2 * x2;
    if (n >= W4)
        return (poly1(c, n, 4, x4) + x * poly1(c + 1, n - 1, 4, x4)) + x2 * (poly1(c + 2, n - 2, 4, x4) + x * poly1(c + 3, n - 3, 4, x4));
    if (n >= W2)
        return poly1(c, n, 2, x2) + x * poly1(c + 1, n - 1, 2, x2);
    return poly1(c, n, 1, x);
}
#define POLY(c, x) poly(c, sizeof(c) / sizeof(c)[0], x)

INLINE vec_t vec_copysign(vec_t v, vec_t sign)
{
    mask_t bit = (mask_t)(-(vec_t){0});
    return (vec_t)(((mask_t)v & ~bit) | ((mask_t)sign & bit));
}

/* exp(x - low) */
INLINE vec_t exp_core(vec_t x, vec_t low)
{
    const real_t shift = ROUND + 2 * BIAS;
    vec_t z = (x - low) * LOG2_E + shift;
    vec_t n = z - shift;
    vec_t r = x - n * LN2_HIGH - n * LN2_LOW - low;
    vec_t p = r + r * (r * POLY(EXP_POLY, r));
    bits_t half = (bits_t)z >> 1;
    vec_t s1 = (vec_t)(half << MANTISSA_BITS), s2 = (vec_t)(((bits_t)z - half) << MANTISSA_BITS);
    return (p * s1 + s1) * s2;
}

/* (exp(x) - 1) / 2 */
INLINE vec_t expm1_half(vec_t x)
{
    const real_t shift = ROUND + (BIAS - 1);
    vec_t z = x * LOG2_E + shift;
    vec_t n = z - shift;
    vec_t r = x - n * LN2_HIGH - n * LN2_LOW;
    vec_t p = r + r * (r * POLY(EXP_POLY, r));
    vec_t s = (vec_t)((bits_t)z << MANTISSA_BITS);
    return p * s + (s - K(0.5, 0.5));
}

INLINE vec_t vec_exp(vec_t x)
{
    x = vec_min(vec_set(K(89, 710)), vec_max(vec_set(K(-104, -746)), x));
    return exp_core(x, (vec_t){0});
}

INLINE vec_t vec_expm1(vec_t x)
{
    vec_t y = expm1_half(vec_min(vec_set(K(89, 710)), vec_max(vec_set(K(-20, -40)), x)));
    return vec_select(vec_abs(x) < K(0x1p-26, 0x1p-55), x, y + y);
}

INLINE vec_t split_exponent(vec_t x, vec_t *e)
{
    const int_t one = BITS(0x3f800000, 0x3ff0000000000000), root = BITS(0x3f3504f3, 0x3fe6a09e667f3bcd);
    const int_t big = BITS(0x4b000000, 0x4330000000000000);
    bits_t t = (bits_t)((mask_t)x + (one - root));
    *e = (vec_t)((mask_t)(t >> MANTISSA_BITS) | big) - K(0x1p23 + BIAS, 0x1p52 + BIAS);
    return (vec_t)(((mask_t)t & (((int_t)1 << MANTISSA_BITS) - 1)) + root);
}

INLINE vec_t log_core(vec_t f, vec_t e)
{
    vec_t tail = f * (f * (f * POLY(LOG_POLY, f) - K(0.5, 0.5))) + e * LN2_LOW;
    return e * LN2_HIGH + (f + tail);
}

INLINE vec_t log_limits(vec_t x, vec_t y, real_t zero)
{
    vec_t edge = vec_select(x < zero, vec_set(NOT_A_NUMBER), vec_select(x == zero, vec_set(-INFINITE), x));
    return vec_select((x > zero) & (x < INFINITE), y, edge);
}

INLINE vec_t vec_log(vec_t x)
{
    mask_t tiny = x < K(0x1p-126, 0x1p-1022);
    vec_t e, up = vec_set(K(0x1p24, 0x1p54));
    vec_t m = split_exponent(vec_select(tiny, x * up, x), &e);
    e -= vec_select(tiny, vec_set(K(24, 54)), (vec_t){0});
    return log_limits(x, log_core(m - K(1, 1), e), 0);
}

INLINE vec_t vec_log1p_unit(vec_t x) { return x + x * (x * POLY(LOG1P_POLY, x - K(0.5, 0.5))); }

INLINE vec_t vec_log1p(vec_t x)
{
    vec_t e, u = x + K(1, 1);
    vec_t m = split_exponent(u, &e);
    /* 4 / 2^e, so that the largest e still gives a normal number */
    vec_t s = (vec_t)((mask_t)m - (mask_t)u + (int_t)BITS(0x40800000, 0x4010000000000000));
    vec_t f = x * K(0.25, 0.25) * s + (s * K(0.25, 0.25) - K(1, 1));
    vec_t y = log_limits(x, log_core(f, e), -1);
    return vec_select(vec_abs(x) < K(0x1p-26, 0x1p-55), x, y);
}

INLINE vec_t vec_tanh(vec_t x)
{
    vec_t a = vec_max(vec_set(K(-10, -20)), -vec_abs(x));
    vec_t h = expm1_half(a + a);
    return vec_copysign(h / (h + K(1, 1)), x);
}

INLINE vec_t exp_negative(vec_t a) { return exp_core(vec_max(vec_set(K(-104, -746)), -a), (vec_t){0}); }

INLINE vec_t vec_sigmoid(vec_t x)
{
    vec_t t = exp_negative(vec_abs(x));
    return vec_select(x >= 0, vec_set(1), t) / (t + K(1, 1));
}

INLINE vec_t vec_softplus(vec_t x)
{
    return vec_max((vec_t){0}, x) + vec_log1p_unit(exp_negative(vec_abs(x)));
}

INLINE vec_t vec_sech2(vec_t x)
{
    vec_t a = vec_abs(x), t = exp_negative(a + a);
    return (t * K(4, 4)) / (t * (t + K(2, 2)) + K(1, 1));
}

INLINE vec_t vec_erf(vec_t x)
{
    vec_t a = vec_abs(x);
    vec_t small = x + x * POLY(ERF_POLY, x * x);
    vec_t h = expm1_half(POLY(ERF_TAIL_POLY, vec_min(vec_set(K(4, 6)), a)));
    return vec_select(a < K(0.921875, 0.921875), small, vec_copysign(h + h, x));
}

INLINE vec_t vec_normal_cdf(vec_t x)
{
    const int_t high = (int_t)BITS(0xfffff000, 0xfffffffff8000000);
    vec_t a = vec_min(vec_set(K(15, 39)), vec_abs(x));
    vec_t c = a * K(0.25, 0.25), t = K(1, 1) / (c + K(1, 1));
    vec_t ah = (vec_t)((mask_t)a & high);
    vec_t e = exp_core(ah * ah * K(-0.5, -0.5), (a - ah) * (a + ah) * K(0.5, 0.5));
    vec_t y = t * POLY(CDF_POLY, K(0.5, 0.5) - c * t) * e;
    return vec_select(x > 0, K(1, 1) - y, y);
}

INLINE vec_t vec_sqrt(vec_t x)
{
    vec_t y;
    for (size_t i = 0; i < LANES; i++)
        y[i] = FNN_F64 ? (real_t)__builtin_sqrt(x[i]) : (real_t)__builtin_sqrtf(x[i]);
    return y;
}

#endif
