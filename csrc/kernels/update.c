/* The optimisers' updates and the in-place scaling and clipping of gradients, element by element.
 *
 * Precision: all in real_t; what depends on the step alone (bias corrections, products of hyper-parameters) comes in
 * as a double. States that an optimiser does without are NULL. Running means that shrink below the smallest normal number
 * become 0: where a gradient has become 0 they would all get there and stay, and subnormal numbers cost 100 cycles each.
 */
#include "kernel.h"
#include "vecmath.h"

#include <float.h>

/* The gradient with weight decay; without it an infinite parameter must not turn the gradient into NaN. */
INLINE vec_t decayed(vec_t grad, vec_t param, real_t weight_decay)
{
    return weight_decay != 0 ? grad + weight_decay * param : grad;
}

INLINE vec_t flushed(vec_t mean)
{
    return vec_select(vec_abs(mean) < (FNN_F64 ? R(DBL_MIN) : R(FLT_MIN)), VEC(0), mean);
}

void FNN_NAME(sgd_update)(real_t *p, const real_t *g, real_t *v, double lr, double momentum, double share,
                          double weight_decay, int nesterov, int first, size_t begin, size_t end)
{
    const real_t keep = R(first ? 0 : momentum), take = R(first ? 1 : share);
    FOR_VECTORS(i, n, begin, end, {
        vec_t param = vec_get(p + i, n, 0);
        vec_t change = decayed(vec_get(g + i, n, 0), param, R(weight_decay));
        if (v) {
            vec_t velocity = take * change;
            if (!first) /* what is in v before the first step does not count */
                velocity += keep * vec_get(v + i, n, 0);
            velocity = flushed(velocity);
            vec_put(v + i, velocity, n);
            change = nesterov ? change + R(momentum) * velocity : velocity;
        }
        vec_put(p + i, param - R(lr) * change, n);
    })
}

void FNN_NAME(adam_update)(real_t *p, const real_t *g, real_t *m, real_t *v, real_t *v_max, double shrink,
                           double weight_decay, double beta1, double beta2, double step_size, double root_scale,
                           double eps, size_t begin, size_t end)
{
    FOR_VECTORS(i, n, begin, end, {
        vec_t param = vec_get(p + i, n, 0) * R(shrink);
        vec_t grad = decayed(vec_get(g + i, n, 0), param, R(weight_decay));
        vec_t mean = flushed(R(beta1) * vec_get(m + i, n, 0) + R(1 - beta1) * grad);
        vec_t square = R(beta2) * vec_get(v + i, n, 0) + R(1 - beta2) * grad * grad;
        vec_put(m + i, mean, n);
        vec_put(v + i, square, n);
        if (v_max) {
            vec_t larger = vec_max(square, vec_get(v_max + i, n, 0)); /* keeps a NaN in v_max */
            square = vec_select(square != square, square, larger);
            vec_put(v_max + i, square, n);
        }
        vec_put(p + i, param - R(step_size) * mean / (vec_sqrt(square) * R(root_scale) + R(eps)), n);
    })
}

void FNN_NAME(rmsprop_update)(real_t *p, const real_t *g, real_t *square_mean, real_t *grad_mean, real_t *velocity,
                              double lr, double alpha, double eps, double weight_decay, double momentum, size_t begin,
                              size_t end)
{
    FOR_VECTORS(i, n, begin, end, {
        vec_t param = vec_get(p + i, n, 0);
        vec_t grad = decayed(vec_get(g + i, n, 0), param, R(weight_decay));
        vec_t square = R(alpha) * vec_get(square_mean + i, n, 0) + R(1 - alpha) * grad * grad;
        vec_put(square_mean + i, square, n);
        if (grad_mean) {
            vec_t mean = flushed(R(alpha) * vec_get(grad_mean + i, n, 0) + R(1 - alpha) * grad);
            vec_put(grad_mean + i, mean, n);
            square -= mean * mean;
        }
        vec_t change = grad / (vec_sqrt(square) + R(eps));
        if (velocity) {
            change = flushed(change + R(momentum) * vec_get(velocity + i, n, 0));
            vec_put(velocity + i, change, n);
        }
        vec_put(p + i, param - R(lr) * change, n);
    })
}

void FNN_NAME(adagrad_update)(real_t *p, const real_t *g, real_t *square_sum, double lr, double eps,
                              double weight_decay, size_t begin, size_t end)
{
    FOR_VECTORS(i, n, begin, end, {
        vec_t param = vec_get(p + i, n, 0);
        vec_t grad = decayed(vec_get(g + i, n, 0), param, R(weight_decay));
        vec_t sum = vec_get(square_sum + i, n, 0) + grad * grad;
        vec_put(square_sum + i, sum, n);
        vec_put(p + i, param - R(lr) * grad / (vec_sqrt(sum) + R(eps)), n);
    })
}

void FNN_NAME(scale)(real_t *x, double factor, size_t begin, size_t end)
{
    FOR_VECTORS(i, n, begin, end, { vec_put(x + i, vec_get(x + i, n, 0) * R(factor), n); })
}

void FNN_NAME(clip)(real_t *x, double low, double high, size_t begin, size_t end)
{
    FOR_VECTORS(i, n, begin, end,
                { vec_put(x + i, vec_min(VEC(high), vec_max(VEC(low), vec_get(x + i, n, 0))), n); })
}
