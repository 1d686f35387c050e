/* Negative log-likelihood of each row against labels or target rows, and its gradient in the same sweep.
 *
 * Precision: one exponential an element in real_t; sums, logarithms and losses in acc_t, but the sums and logarithms of
 * rows of few columns in real_t.
 * With q the target's weights (ops.def says how they come about) and Q = sum(q): loss = sum(q (log sum(exp x) - x)),
 * dx = scale (softmax(x) Q - q). Classes with q = 0 do not count, even where x is infinite.
 */
#include "rows.h"

#include <math.h>

/* What a row's q is made of: q_j = w_j (on t_j + off), t from targets or one at the label. */
struct target {
    const real_t *row;    /* targets of the row, or NULL */
    size_t label;         /* where row is NULL */
    const real_t *weight; /* or NULL: all one */
    real_t on, off;
};

/* Set up the target of row i; false where its label is ignored. A label out of range, which a thread of the caller may
 * have written since the labels were checked, is ignored too. */
static int row_target(struct target *t, const int64_t *labels, const real_t *targets, const real_t *weight,
                      int64_t ignore_index, double smoothing, size_t cols, size_t i)
{
    *t = (struct target){targets ? targets + i * cols : NULL, labels ? (size_t)labels[i] : 0, weight, R(1 - smoothing),
                         R(smoothing / (double)cols)};
    return !labels || (t->label < cols && (int64_t)t->label != ignore_index);
}

INLINE real_t label_weight(const struct target *t) { return t->weight ? t->weight[t->label] : 1; }

/* Columns j to j + n of t and of w. */
INLINE vec_t hot(const struct target *t, size_t j, size_t n)
{
    if (t->row)
        return vec_get(t->row + j, n, 0);
    real_t lanes[LANES] = {0};
    if (t->label - j < n)
        lanes[t->label - j] = 1;
    return vec_load(lanes);
}

INLINE vec_t weights(const struct target *t, size_t j, size_t n)
{
    return t->weight ? vec_get(t->weight + j, n, 0) : VEC(1);
}

INLINE vec_t target_weights(const struct target *t, size_t j, size_t n)
{
    return (hot(t, j, n) * t->on + t->off) * weights(t, j, n);
}

/* sum(w t), and in *dot sum(q (x - shift)) over the classes with q != 0. sum(q) is on sum(w t) + off sum(w): added up
 * term by term, many small equal ones would all be rounded the same way. */
static acc_t weigh(const struct target *t, const real_t *x, real_t shift, size_t cols, acc_t *dot)
{
    acc_t total = 0, products = 0;
    for (size_t j0 = 0; j0 < cols; j0 += SUM_BLOCK * LANES) {
        size_t j1 = cols - j0 < SUM_BLOCK * LANES ? cols : j0 + SUM_BLOCK * LANES;
        vec_t s = {0}, p = {0};
        FOR_VECTORS(j, n, j0, j1, {
            vec_t q = vec_first(target_weights(t, j, n), n);
            s += vec_first(hot(t, j, n) * weights(t, j, n), n);
            p += vec_select(q == R(0), VEC(0), q * (vec_get(x + j, n, 0) - shift));
        })
        total += vec_sum(s);
        products += vec_sum(p);
    }
    *dot = products;
    return total;
}

static void fill(real_t *dx, real_t value, size_t cols)
{
    for (size_t j = 0; j < cols; j++)
        dx[j] = value;
}

void FNN_NAME(nll)(const real_t *x, const int64_t *labels, const real_t *targets, const real_t *weight, double *losses,
                   real_t *dx, size_t cols, int64_t ignore_index, double scale, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const real_t *xi = x + i * cols;
        struct target t;
        int used = row_target(&t, labels, targets, weight, ignore_index, 0, cols, i);
        if (losses && labels) {
            acc_t w = used ? label_weight(&t) : 0;
            losses[i] = w == 0 ? 0 : -w * xi[t.label];
        } else if (losses) {
            weigh(&t, xi, 0, cols, &losses[i]);
            losses[i] = -losses[i];
        }
        if (dx && labels) {
            fill(dx + i * cols, 0, cols);
            if (used)
                dx[i * cols + t.label] = R(-scale * label_weight(&t));
        } else if (dx) {
            FOR_VECTORS(j, n, 0, cols, { vec_put(dx + i * cols + j, target_weights(&t, j, n) * R(-scale), n); })
        }
    }
}

/* dx = e scale total / sum - scale q, e = exp(x - max) being in dx already. */
INLINE void row_gradient(const struct target *t, real_t *dx, size_t cols, acc_t sum, acc_t total, double scale,
                         int sparse)
{
    const real_t softmax_scale = R(scale * total / sum);
    if (sparse) {
        FOR_VECTORS(j, n, 0, cols, { vec_put(dx + j, vec_get(dx + j, n, 0) * softmax_scale, n); })
        dx[t->label] -= R(scale * total);
    } else {
        FOR_VECTORS(j, n, 0, cols, {
            vec_put(dx + j, vec_get(dx + j, n, 0) * softmax_scale - target_weights(t, j, n) * R(scale), n);
        })
    }
}

/* Rows of few columns against labels, without smoothing: LANES rows at once. A row without a label that counts gets
 * the weight 0 and the label 0. */
static void narrow_cross_entropy(const real_t *x, const int64_t *labels, const real_t *weight, double *losses,
                                 real_t *dx, size_t cols, int64_t ignore_index, double scale, size_t begin, size_t end)
{
    FOR_ROW_BLOCKS(i, rows, begin, end, {
        real_t t[NARROW * LANES];
        real_t e[NARROW * LANES];
        real_t totals[LANES] = {0};
        real_t logs[LANES];
        real_t greatest[LANES];
        size_t label[LANES];
        narrow_get(x + i * cols, rows, cols, t);
        for (size_t l = 0; l < rows; l++) {
            struct target own;
            const int used = row_target(&own, labels, NULL, weight, ignore_index, 0, cols, i + l);
            label[l] = used ? own.label : 0;
            totals[l] = used ? label_weight(&own) : 0;
        }
        vec_t max;
        const vec_t sum = narrow_exp(t, cols, &max, e);
        vec_store(logs, vec_log(sum));
        vec_store(greatest, max);
        for (size_t l = 0; losses && l < rows; l++)
            losses[i + l] = totals[l] == 0 ? 0 : totals[l] * (logs[l] - ((acc_t)t[label[l] * LANES + l] - greatest[l]));
        if (dx) {
            const vec_t of_row = R(scale) * vec_load(totals);
            for (size_t j = 0; j < cols; j++)
                vec_store(e + j * LANES, vec_load(e + j * LANES) * (of_row / sum));
            for (size_t l = 0; l < rows; l++)
                e[label[l] * LANES + l] -= R(scale) * totals[l];
            narrow_put(e, rows, cols, dx + i * cols);
        }
    })
}

void FNN_NAME(cross_entropy)(const real_t *x, const int64_t *labels, const real_t *targets, const real_t *weight,
                             double *losses, real_t *dx, size_t cols, int64_t ignore_index, double smoothing,
                             double scale, size_t begin, size_t end)
{
    const int sparse = labels && smoothing == 0; /* q is zero but at the label */
    if (sparse && cols <= NARROW) {
        narrow_cross_entropy(x, labels, weight, losses, dx, cols, ignore_index, scale, begin, end);
        return;
    }
    const acc_t all = weight && !sparse ? row_dot(weight, NULL, cols) : (acc_t)cols; /* sum(w) */
    const acc_t spread = cols > 0 ? all * (smoothing / (acc_t)cols) : 0;
    for (size_t i = begin; i < end; i++) {
        const real_t *xi = x + i * cols;
        real_t *dxi = dx ? dx + i * cols : NULL;
        struct target t;
        if (!row_target(&t, labels, targets, weight, ignore_index, smoothing, cols, i)) {
            if (losses)
                losses[i] = 0;
            if (dx)
                fill(dxi, 0, cols);
            continue;
        }
        const real_t max = row_max(xi, cols);
        const acc_t sum = row_exp(xi, max, dxi, cols, NULL, 0, NULL);
        acc_t total = sparse ? label_weight(&t) : 0, dot = total == 0 ? 0 : total * ((acc_t)xi[t.label] - max);
        if (!sparse)
            total = weigh(&t, xi, max, cols, &dot) * (1 - smoothing) + spread;
        if (losses)
            losses[i] = (total == 0 ? 0 : total * log(sum)) - dot;
        if (dx)
            row_gradient(&t, dxi, cols, sum, total, scale, sparse);
    }
}
