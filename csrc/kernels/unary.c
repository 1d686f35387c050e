/* Activations of each element and their gradients; unary.def is the index.
 *
 * Precision: all in real_t, with the functions of vecmath.h. The bounds per activation stand in tests/cases.py.
 */
#include "kernel.h"
#include "vecmath.h"

#define SELU_SCALE 1.0507009873554804934193349852946 /* Klambauer et al., 2017 */
#define SELU_ALPHA 1.6732632423543772848170429916717
#define INV_SQRT_2_PI 0.39894228040143267793994605993438
#define SQRT_2_OVER_PI 0.79788456080286535587989211986876
#define GELU_CUBIC 0.044715 /* Hendrycks and Gimpel, 2016 */

#define MIN0(x) vec_select(x > R(0), VEC(0), x)
#define ELU(x, alpha) vec_select(x > R(0), x, alpha * vec_expm1(MIN0(x)))
#define ELU_GRADIENT(x, dy, alpha) vec_select(x > R(0), dy, dy * alpha * vec_exp(MIN0(x)))
#define GELU_ARGUMENT(x) (R(SQRT_2_OVER_PI) * (x + R(GELU_CUBIC) * x * x * x))

/* t = exp(-|x|), from which the functions below take all that they need of the exponential. */
INLINE vec_t decay(vec_t x) { return vec_exp_negative(minus_abs(x)); }

/* sigmoid(x) + y times its derivative t / (1 + t)^2, over one denominator; t = decay(x). */
INLINE vec_t sigmoid_and_slope(vec_t x, vec_t t, vec_t y)
{
    vec_t u = t + R(1);
    return (vec_select(x >= R(0), VEC(1), t) * u + y * t) / (u * u);
}

/* P(Z <= x) + x density(x) */
INLINE vec_t gelu_slope(vec_t x)
{
    vec_t bell, cdf = normal_cdf_and_bell(x, &bell);
    return cdf + x * R(INV_SQRT_2_PI) * bell;
}

/* (1 + tanh(u)) / 2 is the sigmoid of 2 u, and 1 - tanh(u)^2 four times its derivative. 0 or 1 beyond 32; there x is
 * cut, since 0 times an infinite du would be NaN. */
INLINE vec_t gelu_tanh_slope(vec_t x)
{
    x = vec_min(VEC(32), vec_max(VEC(-32), x));
    vec_t u = R(2) * GELU_ARGUMENT(x), du = R(SQRT_2_OVER_PI) * (R(1) + R(3 * GELU_CUBIC) * x * x);
    return sigmoid_and_slope(u, decay(u), R(2) * x * du);
}

/* tanh(log(1 + e)) = n / d with e = exp(x), n = e (e + 2), d = n + 2. For x >= 0 both are divided by e^2: n = 1 + 2 t,
 * d = n + 2 t^2. */
INLINE vec_t mish_terms(vec_t x, vec_t t, vec_t *d)
{
    mask_t positive = x >= R(0);
    vec_t n = vec_select(positive, t + t + R(1), t * (t + R(2)));
    *d = n + R(2) * vec_select(positive, t * t, VEC(1));
    return n;
}

INLINE vec_t mish_value(vec_t x)
{
    vec_t d, n = mish_terms(x, decay(x), &d);
    return x * (n / d);
}

/* n / d + 4 x e (1 + e) / d^2, the second term for x >= 0 divided by e^4 above and below. */
INLINE vec_t mish_slope(vec_t x)
{
    vec_t t = decay(x), d, n = mish_terms(x, t, &d);
    return (n + x * (R(4) * vec_select(x >= R(0), t * t, t) * (t + R(1)) / d)) / d;
}

#define UNARY(name, value, gradient, at_output)                                                                        \
    static void name##_forward(const real_t *xs, real_t *ys, real_t a, real_t b, size_t begin, size_t end)             \
    {                                                                                                                  \
        (void)a, (void)b;                                                                                              \
        FOR_VECTORS(i, n, begin, end, {                                                                                \
            vec_t x = vec_get(xs + i, n, 0);                                                                           \
            vec_put(ys + i, value, n);                                                                                 \
        })                                                                                                             \
    }                                                                                                                  \
    static void name##_backward(const real_t *xs, const real_t *dys, real_t *dxs, real_t a, real_t b, size_t begin,    \
                                size_t end)                                                                            \
    {                                                                                                                  \
        (void)a, (void)b;                                                                                              \
        FOR_VECTORS(i, n, begin, end, {                                                                                \
            vec_t x = vec_get(xs + i, n, 0);                                                                           \
            vec_t dy = vec_get(dys + i, n, 0);                                                                         \
            vec_put(dxs + i, gradient, n);                                                                             \
        })                                                                                                             \
    }
#include "unary.def"
#undef UNARY

void FNN_NAME(unary_forward)(int kind, const real_t *x, real_t *y, double a, double b, size_t begin, size_t end)
{
    static void (*const forwards[])(const real_t *, real_t *, real_t, real_t, size_t, size_t) = {
#define UNARY(name, value, gradient, at_output) name##_forward,
#include "unary.def"
#undef UNARY
    };
    forwards[kind](x, y, R(a), R(b), begin, end);
}

void FNN_NAME(unary_backward)(int kind, const real_t *x, const real_t *dy, real_t *dx, double a, double b,
                              size_t begin, size_t end)
{
    static void (*const backwards[])(const real_t *, const real_t *, real_t *, real_t, real_t, size_t, size_t) = {
#define UNARY(name, value, gradient, at_output) name##_backward,
#include "unary.def"
#undef UNARY
    };
    backwards[kind](x, dy, dx, R(a), R(b), begin, end);
}
