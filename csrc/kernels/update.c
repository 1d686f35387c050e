/* The optimisers' updates and the in-place scaling and clipping of gradients, element by element.
 *
 * Precision: see updates.h. States that an optimiser does without are NULL.
 */
#include "updates.h"

void FNN_NAME(sgd_update)(real_t *p, const real_t *g, real_t *v, double lr, double momentum, double share,
                          double weight_decay, int nesterov, int first, size_t begin, size_t end)
{
    const struct sgd o = sgd_of(lr, momentum, share, weight_decay, nesterov, first);
    FOR_VECTORS(i, n, begin, end, { sgd_vector(&o, p + i, v ? v + i : NULL, vec_get(g + i, n, 0), n); })
}

void FNN_NAME(adam_update)(real_t *p, const real_t *g, real_t *m, real_t *v, real_t *v_max, double shrink,
                           double weight_decay, double beta1, double beta2, double step_size, double root_scale,
                           double eps, size_t begin, size_t end)
{
    const struct adam o = adam_of(shrink, weight_decay, beta1, beta2, step_size, root_scale, eps);
    FOR_VECTORS(i, n, begin, end, {
        adam_vector(&o, p + i, m + i, v + i, v_max ? v_max + i : NULL, vec_get(g + i, n, 0), n);
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
