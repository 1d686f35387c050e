/* Column sums, and scale and shift of each column of x (rows, cols); columns.h says how, and with what precision. */
#include "columns.h"

void FNN_NAME(column_sums)(const real_t *x, real_t *sums, size_t rows, size_t cols, size_t begin, size_t end)
{
    FOR_GROUPS(j, count, begin, end, {
        acc_t total[GROUP];
        memset(total, 0, count * sizeof *total);
        FOR_BLOCKS(i0, i1, rows, {
            real_t part[GROUP];
            clear(part, count);
            FOR_STRIPS(i, r, strip_height(count), i0, i1, {
                FOR_VECTORS(l, n, 0, count, {
                    vec_t s = vec_load(part + l);
                    for (size_t k = i; k < i + r; k++)
                        s += vec_get(x + k * cols + j + l, n, 0);
                    vec_store(part + l, s);
                })
            })
            add_to(total, part, count);
        })
        for (size_t l = 0; l < count; l++)
            sums[j + l] = R(sums[j + l] + total[l]);
    })
}

void FNN_NAME(channel_scale_forward)(const real_t *x, const real_t *w, const real_t *b, real_t *y, size_t cols,
                                     size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        FOR_VECTORS(j, n, 0, cols, {
            vec_t scaled = vec_get(x + i * cols + j, n, 0) * column_vec(w, j, n, 1);
            vec_put(y + i * cols + j, scaled + column_vec(b, j, n, 0), n);
        })
}

void FNN_NAME(channel_scale_backward)(const real_t *x, const real_t *w, const real_t *dy, real_t *dx, real_t *dw,
                                      real_t *db, size_t rows, size_t cols, size_t begin, size_t end)
{
    FOR_GROUPS(j, count, begin, end, {
        real_t scale[GROUP];
        for (size_t l = 0; l < count; l++)
            scale[l] = w ? w[j + l] : 1;
        scale_gradients(x, NULL, NULL, scale, dy, dx, dw, db, rows, cols, j, count);
    })
}
