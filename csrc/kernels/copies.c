/* Elements that are repeated, and the sums of their gradients: rows of a table by their numbers, pixels of a plane. */
#include "kernel.h"

void FNN_NAME(embedding_forward)(const real_t *w, const int64_t *index, real_t *y, size_t cols, size_t begin,
                                 size_t end)
{
    for (size_t i = begin; i < end; i++)
        memcpy(y + i * cols, w + (size_t)index[i] * cols, cols * sizeof *y);
}

/* Units: rows of the table. */
void FNN_NAME(embedding_backward)(const int64_t *index, const real_t *dy, real_t *dw, size_t rows, size_t cols,
                                  int64_t padding, size_t begin, size_t end)
{
    for (size_t i = 0; i < rows; i++) {
        const real_t *g = dy + i * cols;
        const size_t row = (size_t)index[i];
        real_t *sums = dw + row * cols;
        if (row >= begin && row < end && index[i] != padding)
            FOR_VECTORS(j, n, 0, cols, { vec_put(sums + j, vec_get(sums + j, n, 0) + vec_get(g + j, n, 0), n); })
    }
}

/* Every element of a line `across` times. */
INLINE void repeat_line(const real_t *x, real_t *y, size_t width, size_t across)
{
    for (size_t j = 0; j < width; j++)
        for (size_t k = 0; k < across; k++)
            y[j * across + k] = x[j];
}

void FNN_NAME(upsample_forward)(const real_t *x, real_t *y, size_t width, size_t down, size_t across, size_t begin,
                                size_t end)
{
    const size_t out = width * across;
    for (size_t i = begin; i < end; i++) {
        real_t *line = y + i * down * out;
        if (across == 2) /* constants, by which the compiler shuffles vectors */
            repeat_line(x + i * width, line, width, 2);
        else
            repeat_line(x + i * width, line, width, across);
        for (size_t k = 1; k < down; k++)
            memcpy(line + k * out, line, out * sizeof *line);
    }
}

/* The sums of blocks of `down` lines and `across` columns. */
INLINE void sum_blocks(const real_t *dy, real_t *dx, size_t width, size_t down, size_t across)
{
    for (size_t j = 0; j < width; j++) {
        acc_t sum = 0;
        for (size_t i = 0; i < down; i++)
            for (size_t k = 0; k < across; k++)
                sum += dy[i * width * across + j * across + k];
        dx[j] = R(sum);
    }
}

void FNN_NAME(upsample_backward)(const real_t *dy, real_t *dx, size_t width, size_t down, size_t across, size_t begin,
                                 size_t end)
{
    for (size_t i = begin; i < end; i++)
        if (down == 2 && across == 2)
            sum_blocks(dy + i * 4 * width, dx + i * width, width, 2, 2);
        else
            sum_blocks(dy + i * down * width * across, dx + i * width, width, down, across);
}
