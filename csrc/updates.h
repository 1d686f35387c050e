/* The updates of SGD and Adam on one vector, for update.c and for products whose result is a gradient.
 *
 * Precision: all in real_t; what depends on the step alone (bias corrections, products of hyper-parameters) comes in
 * as a double. Running means that shrink below the smallest normal number become 0: where a gradient has become 0 they
 * would all get there and stay, and subnormal numbers cost 100 cycles each.
 */
#ifndef FNN_UPDATES_H
#define FNN_UPDATES_H

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

struct sgd {
    real_t lr, momentum, keep, take, weight_decay;
    int nesterov, first;
};

INLINE struct sgd sgd_of(double lr, double momentum, double share, double weight_decay, int nesterov, int first)
{
    return (struct sgd){R(lr), R(momentum), R(first ? 0 : momentum), R(first ? 1 : share), R(weight_decay), nesterov,
                        first};
}

/* n elements of the parameter p, whose gradient is grad; v is NULL without momentum. */
INLINE void sgd_vector(const struct sgd *o, real_t *p, real_t *v, vec_t grad, const size_t n)
{
    vec_t param = vec_get(p, n, 0), change = decayed(grad, param, o->weight_decay);
    if (v) {
        vec_t velocity = o->take * change;
        if (!o->first) /* what is in v before the first step does not count */
            velocity += o->keep * vec_get(v, n, 0);
        velocity = flushed(velocity);
        vec_put(v, velocity, n);
        change = o->nesterov ? change + o->momentum * velocity : velocity;
    }
    vec_put(p, param - o->lr * change, n);
}

struct adam {
    real_t shrink, weight_decay, beta1, beta2, other1, other2, step_size, root_scale, eps; /* other: 1 - beta */
};

INLINE struct adam adam_of(double shrink, double weight_decay, double beta1, double beta2, double step_size,
                           double root_scale, double eps)
{
    return (struct adam){R(shrink), R(weight_decay), R(beta1),     R(beta2), R(1 - beta1),
                         R(1 - beta2), R(step_size), R(root_scale), R(eps)};
}

/* The same; v_max is NULL without amsgrad. */
INLINE void adam_vector(const struct adam *o, real_t *p, real_t *m, real_t *v, real_t *v_max, vec_t grad,
                        const size_t n)
{
    vec_t param = vec_get(p, n, 0);
    grad = decayed(grad, param, o->weight_decay);
    param *= o->shrink;
    vec_t mean = flushed(o->beta1 * vec_get(m, n, 0) + o->other1 * grad);
    vec_t square = o->beta2 * vec_get(v, n, 0) + o->other2 * grad * grad;
    vec_put(m, mean, n);
    vec_put(v, square, n);
    if (v_max) {
        vec_t larger = vec_max(square, vec_get(v_max, n, 0)); /* keeps a NaN in v_max */
        square = vec_select(square != square, square, larger);
        vec_put(v_max, square, n);
    }
    vec_put(p, param - o->step_size * mean / (vec_sqrt(square) * o->root_scale + o->eps), n);
}

#endif
