/* Exponentials, logarithms and their kin on vec_t, for float and double.
 *
 * Branch-free and without calls: every lane takes the same steps, so a result does not depend on its neighbours, and
 * inputs outside the range of a polynomial are clamped or selected away. SSE2 is enough for all of it: rounding to an
 * integer adds a magic number, and integers of 64 bits become doubles through their bit patterns.
 *
 * The largest error of each against the true value, in units in the last place (ULP), stands in csrc/tests/ulp.def, for
 * float and double, with and without FMA; csrc/tests/ulp.c checks it on all floats (`make test-slow`) and on samples of
 * both types (`make test`). Unless stated otherwise: any input is valid, NaN gives NaN, infinities give the limit,
 * subnormal inputs and results are right to the same ULP, and a zero result has the sign that the C library gives it.
 *
 * The polynomials come from tools/fit_vecmath.py, which finds every coefficient again.
 */
#ifndef FNN_VECMATH_H
#define FNN_VECMATH_H

#include "kernel.h"
#include "vecmath_coefficients.h"

#define BY_TYPE(f32, f64) (FNN_F64 ? (f64) : (f32))

#if FNN_F64
typedef uint64_t bits_t __attribute__((vector_size(FNN_VBYTES)));
#else
typedef uint32_t bits_t __attribute__((vector_size(FNN_VBYTES)));
#endif
enum { MANTISSA_BITS = BY_TYPE(23, 52), BIAS = BY_TYPE(127, 1023) };

/* ln 2 in two parts, the first with 16 or 33 bits, so that its product with any exponent is exact. */
static const real_t LOG2_E = (real_t)0x1.71547652b82fep+0;
static const real_t LN2_HIGH = (real_t)BY_TYPE(0x1.62e4p-1, 0x1.62e42feep-1);
static const real_t LN2_LOW = (real_t)BY_TYPE(0x1.7f7d1cp-20, 0x1.a39ef35793c76p-33);

/* x + ROUND - ROUND is x rounded to an integer, which the low bits of x + ROUND hold: one ULP is 1 there. */
static const real_t ROUND = (real_t)BY_TYPE(0x1.8p23, 0x1.8p52);
static const real_t EXP_MIN = BY_TYPE(-104, -746), EXP_MAX = BY_TYPE(89, 710); /* exp is 0 below, infinite above */
static const real_t SIGMOID_ONE = BY_TYPE(20, 40);
static const real_t TINY = (real_t)BY_TYPE(0x1p-26, 0x1p-55); /* expm1(x) and log1p(x) round to x below */
static const real_t INFINITE = (real_t)__builtin_inf(), NOT_A_NUMBER = (real_t)__builtin_nan("");

/* The polynomial of n coefficients, constant term first. Long ones (double only) run as two interleaved chains for
 * even and odd powers: 10 to 30 % faster, as a chain of n multiply-adds waits for each of them. */
INLINE vec_t horner(const real_t *c, size_t n, size_t step, vec_t x)
{
    size_t i = (n - 1) / step * step;
    vec_t y = vec_set(c[i]);
#pragma GCC unroll 32
    for (; i > 0; i -= step)
        y = y * x + c[i - step];
    return y;
}

INLINE vec_t polynomial(const real_t *c, size_t n, vec_t x)
{
    return n < 12 ? horner(c, n, 1, x) : horner(c, n, 2, x * x) + x * horner(c + 1, n - 1, 2, x * x);
}

#define POLYNOMIAL(table, x) polynomial(table, sizeof table / sizeof *table, x)

/* v >= 0 with the sign of x; -|x|. */
INLINE vec_t with_sign(vec_t v, vec_t x) { return (vec_t)((mask_t)v | ((mask_t)x & (mask_t)VEC(-0.0))); }
INLINE vec_t minus_abs(vec_t x) { return (vec_t)((mask_t)x | (mask_t)VEC(-0.0)); }

/* The r of x - low = n ln 2 + r; also z, whose low bits are n + offset. |low| is at most 1/2. */
INLINE vec_t reduced(vec_t x, vec_t low, real_t offset, vec_t *z)
{
    *z = (x - low) * LOG2_E + (ROUND + offset);
    vec_t n = *z - (ROUND + offset);
    return x - n * LN2_HIGH - n * LN2_LOW - low;
}

/* exp(r) - 1 of the same. */
INLINE vec_t reduced_expm1(vec_t x, real_t offset, vec_t *z)
{
    vec_t r = reduced(x, VEC(0), offset, z);
    return r + r * (r * POLYNOMIAL(EXP_POLY, r));
}

/* exp(r): the shortest way where a product and a sum round once, else by exp(r) - 1, which is small. */
INLINE vec_t reduced_exp(vec_t r)
{
#if defined __FMA__ || defined __ARM_FEATURE_FMA
    return r * (r * POLYNOMIAL(EXP_POLY, r) + R(1)) + R(1);
#else
    return r + r * (r * POLYNOMIAL(EXP_POLY, r)) + R(1);
#endif
}

/* 2^n in two factors, because n may be beyond the range of exponents at either end; z as from `reduced` with the offset
 * 2 BIAS. The product of a number near 1 with both rounds once, to infinity or to a subnormal number where need be. */
INLINE vec_t powers(vec_t z, vec_t *second)
{
    bits_t half = (bits_t)z >> 1;
    *second = (vec_t)(((bits_t)z - half) << MANTISSA_BITS);
    return (vec_t)(half << MANTISSA_BITS);
}

/* exp(x - low), EXP_MIN <= x - low <= EXP_MAX or NaN. AVX-512 has an instruction for v 2^n. */
INLINE vec_t exp_difference(vec_t x, vec_t low)
{
#if FNN_VBYTES == 64
    vec_t z, r = reduced(x, low, 0, &z);
    return X86(scalef)(reduced_exp(r), z - ROUND);
#else
    vec_t z, r = reduced(x, low, 2 * BIAS, &z), second, first = powers(z, &second);
    return reduced_exp(r) * first * second;
#endif
}

/* (1 - exp(x)) / 2, log(2 eps) - 2 <= x <= EXP_MAX or NaN: the half keeps 2^n in range. +0 for x = 0. */
INLINE vec_t half_one_minus_exp(vec_t x)
{
    vec_t z, p = reduced_expm1(x, BIAS - 1, &z);
    vec_t scale = (vec_t)((bits_t)z << MANTISSA_BITS);
    return (R(0.5) - scale) - p * scale;
}

INLINE vec_t vec_exp(vec_t x)
{
    return exp_difference(vec_min(VEC(EXP_MAX), vec_max(VEC(EXP_MIN), x)), VEC(0));
}

/* exp(x), x <= 0 or NaN: the same bits, a little faster. */
INLINE vec_t vec_exp_negative(vec_t x) { return exp_difference(vec_max(VEC(EXP_MIN), x), VEC(0)); }

/* exp(x) - 1. For float x <= 0, where ELU needs it, the error is at most 1.0 ULP with FMA and 1.1 without. */
INLINE vec_t vec_expm1(vec_t x)
{
    vec_t inside = vec_min(VEC(EXP_MAX), vec_max(VEC(BY_TYPE(-20, -40)), x));
    return vec_select(vec_abs(x) < TINY, x, R(-2) * half_one_minus_exp(inside));
}

/* f and e of x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), for positive normal x. */
INLINE vec_t split_exponent(vec_t x, vec_t *e)
{
    const int_t one = BY_TYPE(0x3f800000, 0x3ff0000000000000), root_half = BY_TYPE(0x3f3504f3, 0x3fe6a09e667f3bcd);
    const int_t integer = BY_TYPE(0x4b000000, 0x4330000000000000); /* the number whose ULP is 1 */
    const bits_t t = (bits_t)x + (bits_t)((mask_t){0} + (one - root_half));
    *e = (vec_t)((mask_t)(t >> MANTISSA_BITS) | integer) - R(BY_TYPE(0x1p23, 0x1p52) + BIAS);
    return (vec_t)(((mask_t)t & (((int_t)1 << MANTISSA_BITS) - 1)) + root_half) - R(1);
}

/* log(2^e (1 + f)) */
INLINE vec_t log_split(vec_t f, vec_t e)
{
    vec_t tail = f * (f * (f * POLYNOMIAL(LOG_POLY, f) - R(0.5))) + e * LN2_LOW;
    return e * LN2_HIGH + (f + tail);
}

/* y where 0 < x < infinity; elsewhere what log(x) is: -inf for 0, and x inf + inf, which is NaN for NaN and below 0. */
INLINE vec_t log_limits(vec_t x, vec_t y)
{
    vec_t edge = vec_select(x == R(0), VEC(-INFINITE), x * INFINITE + INFINITE);
    return vec_select((x > R(0)) & (x < INFINITE), y, edge);
}

/* log(x): -inf for 0, NaN below. */
INLINE vec_t vec_log(vec_t x)
{
    mask_t subnormal = x < R(BY_TYPE(0x1p-126, 0x1p-1022));
    vec_t e, f = split_exponent(vec_select(subnormal, x * R(BY_TYPE(0x1p24, 0x1p54)), x), &e);
    e -= vec_select(subnormal, VEC(BY_TYPE(24, 54)), VEC(0));
    return log_limits(x, log_split(f, e));
}

/* log(1 + x): -inf for -1, NaN below. 1 + x is only split for its exponent; f comes from x itself. */
INLINE vec_t vec_log1p(vec_t x)
{
    vec_t e, u = x + R(1), m = split_exponent(u, &e) + R(1);
    /* 4 / 2^e: a normal number for the largest e, too */
    vec_t scale = (vec_t)((bits_t)m - (bits_t)u + (bits_t)VEC(4));
    vec_t f = x * R(0.25) * scale + (scale * R(0.25) - R(1));
    return vec_select(vec_abs(x) < TINY, x, log_limits(u, log_split(f, e)));
}

/* log(1 + x), 0 <= x <= 1 or NaN: a third of the steps. */
INLINE vec_t vec_log1p_unit(vec_t x) { return x + x * (x * POLYNOMIAL(LOG1P_POLY, x - R(0.5))); }

/* tanh(x) = h / (1 - h), h = (1 - exp(-2 |x|)) / 2, with the sign of x. */
INLINE vec_t vec_tanh(vec_t x)
{
    vec_t a = vec_max(VEC(BY_TYPE(-10, -20)), minus_abs(x));
    vec_t h = half_one_minus_exp(a + a);
    return with_sign(h / (R(1) - h), x);
}

/* 1 - tanh(x)^2 = 4 t / (1 + t)^2, t = exp(-2 |x|): no cancellation for large |x|. */
INLINE vec_t vec_sech2(vec_t x)
{
    vec_t a = minus_abs(x), t = vec_exp_negative(a + a);
    return t * R(4) / (t * (t + R(2)) + R(1));
}

/* 1 / (1 + exp(-x)) = 2^n / (2^n + exp(r)), x = n ln 2 - r: neither side overflows or cancels. 1 from
 * SIGMOID_ONE on. */
INLINE vec_t vec_sigmoid(vec_t x)
{
    x = vec_min(VEC(SIGMOID_ONE), vec_max(VEC(EXP_MIN), x));
#if FNN_VBYTES == 64
    vec_t z, r = reduced(x, VEC(0), 0, &z), power = X86(scalef)(VEC(1), z - ROUND);
    return power / (power + reduced_exp(-r));
#else
    vec_t z, r = reduced(x, VEC(0), 2 * BIAS, &z), second, first = powers(z, &second);
    return first / (first * second + reduced_exp(-r)) * second;
#endif
}

/* Its derivative t / (1 + t)^2, t = exp(-|x|): no cancellation for large |x|. */
INLINE vec_t vec_sigmoid_slope(vec_t t) { return t / (t * (t + R(2)) + R(1)); }

/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)) */
INLINE vec_t vec_softplus(vec_t x)
{
    return vec_max(VEC(0), x) + vec_log1p_unit(vec_exp_negative(minus_abs(x)));
}

INLINE vec_t vec_erf(vec_t x)
{
    vec_t a = vec_abs(x), h = half_one_minus_exp(POLYNOMIAL(ERF_TAIL_POLY, vec_min(VEC(ERF_ONE), a)));
    return vec_select(a < ERF_SPLIT, x + x * POLYNOMIAL(ERF_POLY, x * x), with_sign(h + h, x));
}

/* The normal distribution function (1 + erf(x / sqrt(2))) / 2; 1/2 exactly for 0. The bound is relative for x < 0, too;
 * in absolute terms the error is at most 8e-8 (float) or 1.3e-16 (double).
 * In the tail, exp(-a^2/2) times a polynomial of t = 1 / (1 + CDF_SCALE a), a = |x|. The polynomial's argument is
 * t - CDF_SCALE by way of 1 - t, which is more accurate where the polynomial is steep. The exponent needs a^2 to twice
 * the precision: FMA gives what the rounding of a product leaves; without it, the square of a's upper half is exact,
 * and the rest is small. *bell is exp(-x^2/2), which the tail needs. */
INLINE vec_t normal_cdf_and_bell(vec_t x, vec_t *bell)
{
    vec_t a = vec_min(VEC(CDF_ZERO), vec_abs(x));
#if defined __FMA__ && defined FNN_X86
    vec_t square = a * R(-0.5) * a, rest = X86(fmadd)(a * R(0.5), a, square); /* -a^2/2 = square - rest */
#else
    const int_t upper = BY_TYPE(-0x1000, -0x8000000);
    vec_t high = (vec_t)((mask_t)a & upper), square = high * high * R(-0.5), rest = (a - high) * (a + high) * R(0.5);
#endif
    vec_t density = *bell = exp_difference(square, rest);
    vec_t c = a * CDF_SCALE, t = R(1) / (c + R(1));
    vec_t tail = t * POLYNOMIAL(CDF_TAIL_POLY, (R(1) - CDF_SCALE) - c * t) * density;
    vec_t middle = x * POLYNOMIAL(CDF_POLY, x * x) + R(0.5);
    return vec_select(a < CDF_SPLIT, middle, vec_select(x > R(0), R(1) - tail, tail));
}

INLINE vec_t vec_normal_cdf(vec_t x)
{
    vec_t bell;
    return normal_cdf_and_bell(x, &bell);
}

/* The square root, correctly rounded; NaN below 0. The loop becomes one instruction. */
INLINE vec_t vec_sqrt(vec_t x)
{
    vec_t y;
    for (size_t i = 0; i < LANES; i++)
        y[i] = (real_t)(FNN_F64 ? __builtin_sqrt(x[i]) : __builtin_sqrtf((float)x[i]));
    return y;
}

#undef BY_TYPE
#undef POLYNOMIAL
#endif
