/* What each instruction of a program does, a function each; program.def is the index.
 *
 * A batch is split by rows; the team meets only where an instruction crosses rows. Gradients of a weight are made block
 * by block of its rows, and the optimiser takes each block, or each tile of it, while it is in cache. Where shares
 * begin never changes a result: see threads.h.
 */
#include "team.h"

#include "fnn.h"
#include "gemm.h"

#include <string.h>

const char *const fnn_instruction_names[] = {
#define INSTRUCTION(name, split) #name,
#include "program.def"
#undef INSTRUCTION
};
const int fnn_instruction_splits[] = {
#define INSTRUCTION(name, split) FNN_SPLIT_##split,
#include "program.def"
#undef INSTRUCTION
};

/* Rows from which on packed weights serve: fewer read a weight once, as it is. */
enum { PACKED_LEAST = 8 };

/* Rows from which on the own kernel makes gradients of weights: below, OpenBLAS's kernel for small products is faster
 * by up to a tenth. */
enum { OWN_LEAST = 48 };

/* Its tiles then update the parameters too, which saves 5 to 8 % of a step: where a weight has TILES_LEAST columns, and
 * its rows are whole lines of the cache or the batch has DEEP rows. Weights of SHARED_LEAST elements are cut for teams;
 * partial sums have rows of SUMS_ROW elements, which is as much as gemm_tiles works on at once. */
enum { LINE = 64, TILES_LEAST = 25, DEEP = 128, SHARED_LEAST = 1 << 15, SUMS_ROW = 128 };

/* ---- the optimiser ---- */

/* What a product does with the gradients of rows of `cols` elements from the element `begin` of a parameter on; kind is
 * FNN_SGD or FNN_ADAM. */
static struct fnn_tile_update tile_update(const struct member *m, int64_t index, size_t begin, size_t cols)
{
    const struct fnn_parameter *parameter = &m->program->parameters[index];
    const struct fnn_optimizer *o = &m->program->optimizer;
    const double *d = o->d;
    struct fnn_tile_update u = {.kind = o->kind, .row = (ptrdiff_t)cols, .first = parameter->first};
    u.p = (char *)m->values[parameter->p] + begin * m->size;
    for (int i = 0; i < 3; i++)
        u.states[i] = parameter->states[i] ? (char *)m->values[parameter->states[i]] + begin * m->size : NULL;
    const double decay = parameter->decay;
    const double sgd[7] = {d[0], d[1], d[2], d[3] + decay};
    const double adam[7] = {d[5] != 0 ? 1 - d[0] * d[4] : 1, d[5] != 0 ? decay : d[4] + decay, d[1], d[2],
                            parameter->rate, parameter->root, d[3]};
    memcpy(u.d, o->kind == FNN_SGD ? sgd : adam, sizeof u.d);
    u.nesterov = o->kind == FNN_SGD && d[4] != 0;
    return u;
}

/* Elements [begin, end) of a parameter, whose gradients are g. */
void fnn_update(const struct member *m, int64_t index, const void *g, size_t begin, size_t end)
{
    const struct fnn_parameter *parameter = &m->program->parameters[index];
    const struct fnn_optimizer *o = &m->program->optimizer;
    const double *d = o->d, decay = parameter->decay;
    const size_t n = end - begin;
    void *p = (char *)m->values[parameter->p] + begin * m->size, *s[3];
    for (int i = 0; i < 3; i++)
        s[i] = parameter->states[i] ? (char *)m->values[parameter->states[i]] + begin * m->size : NULL;
    switch (o->kind) {
    case FNN_SGD:
        fnn_sgd_update_part(m->type, p, g, s[0], d[0], d[1], d[2], d[3] + decay, d[4] != 0, parameter->first, 0, n);
        break;
    case FNN_ADAM:
        fnn_adam_update_part(m->type, p, g, s[0], s[1], s[2], d[5] != 0 ? 1 - d[0] * d[4] : 1,
                             d[5] != 0 ? decay : d[4] + decay, d[1], d[2], parameter->rate, parameter->root, d[3], 0,
                             n);
        break;
    case FNN_RMSPROP:
        fnn_rmsprop_update_part(m->type, p, g, s[0], s[1], s[2], d[0], d[1], d[2], d[3] + decay, d[4], 0, n);
        break;
    default:
        fnn_adagrad_update_part(m->type, p, g, s[0], parameter->rate, d[1], d[2] + decay, 0, n);
    }
}

/* ---- products ---- */

static char *space_of(struct member *m)
{
    if (!m->space)
        m->space = fnn_pool_alloc(FNN_GEMM_SPACE);
    return m->space;
}

/* max(0, y) in the member's own rows of `cols` columns. */
static void rectify(struct member *m, void *y, size_t cols)
{
    FOR_SHARE(m->rows, ROW_STEP)
        fnn_unary_forward_part(m->type, FNN_UNARY_ReLU, y, y, 0, 0, begin * cols, end * cols);
}

/* A product whose rows are the rows of the batch: the member's own rows, or, by BLAS, a share of the whole. */
static void rows_product(struct member *m, struct gemm g)
{
    g.type = m->type;
    g.size = m->size;
    g.m = m->team->planned;
    g.own = !m->team->batches;
    const struct gemm plan = fnn_gemm_plan(g);
    if (plan.way == FNN_GEMM_BY_BLAS) {
        const struct cut cut = fnn_gemm_cut(&plan);
        meet(m);
        FOR_SHARE(cut.units, cut.step)
            fnn_gemm_share(&plan, &cut, begin, end, NULL);
        meet(m);
    } else {
        FOR_SHARE(m->rows, ROW_STEP)
            fnn_gemm_rows(&plan, begin, end, space_of(m));
    }
    if (g.relu && !fnn_gemm_rectifies(&plan))
        rectify(m, g.c, g.n);
}

/* The product with a weight that is packed in panels of `width` columns, panel by panel. */
static void packed_forward(struct member *m, instruction i)
{
    const size_t in = (size_t)i->n[0], out = (size_t)i->n[1], width = (size_t)i->n[4];
    int left = 0; /* whether some columns are to be rectified, which does the others no harm */
    FOR_SHARE(m->rows, ROW_STEP)
    for (size_t j = 0; j < out; j += width) {
        const struct gemm plan = fnn_gemm_plan((struct gemm){
            .type = m->type, .a = at(m, i, 0, 0), .b = at(m, i, 4, j * in), .bias = at(m, i, 2, j),
            .c = at(m, i, 3, j), .a_row = i->n[0], .a_col = 1, .b_row = i->n[4], .b_col = 1, .c_row = i->n[1],
            .c_col = 1, .m = m->team->planned, .n = out - j < width ? out - j : width, .k = in, .size = m->size,
            .own = 1, .relu = i->n[5] != 0});
        left = left || (plan.relu && !fnn_gemm_rectifies(&plan));
        fnn_gemm_rows(&plan, begin, end, space_of(m));
    }
    if (left)
        rectify(m, at(m, i, 3, 0), out);
}

/* x, w, b, y, packed w or 0; in, out, strides of w along in and out, columns of a panel of the packed w, whether y is
 * max(0, product). */
void fnn_run_linear_forward(struct member *m, instruction i)
{
    if (i->v[4] && m->team->planned >= PACKED_LEAST) {
        packed_forward(m, i);
        return;
    }
    rows_product(m, (struct gemm){.a = at(m, i, 0, 0), .b = at(m, i, 1, 0), .bias = at(m, i, 2, 0), .c = at(m, i, 3, 0),
                                  .a_row = i->n[0], .a_col = 1, .b_row = i->n[2], .b_col = i->n[3], .c_row = i->n[1],
                                  .c_col = 1, .n = (size_t)i->n[1], .k = (size_t)i->n[0], .relu = i->n[5] != 0});
}

/* dy, w, dx; in, out, strides of w along in and out. */
void fnn_run_linear_backward_input(struct member *m, instruction i)
{
    rows_product(m, (struct gemm){.a = at(m, i, 0, 0), .b = at(m, i, 1, 0), .c = at(m, i, 2, 0), .a_row = i->n[1],
                                  .a_col = 1, .b_row = i->n[3], .b_col = i->n[2], .c_row = i->n[0], .c_col = 1,
                                  .n = (size_t)i->n[0], .k = (size_t)i->n[1]});
}

/* Whether tiles update the parameter (lefts, rights) themselves. Vectors that cross lines of the cache cost more than
 * that saves, unless a tile has much else to do. */
static int updates_in_tiles(const struct member *m, instruction i)
{
    const size_t rights = (size_t)i->n[1], aligned = rights * m->size % LINE == 0;
    return !i->v[2] && m->program->optimizer.kind <= FNN_ADAM && rights >= TILES_LEAST && m->rows >= OWN_LEAST &&
           m->rows <= FNN_UPDATE_DEPTH && (aligned || m->rows >= DEEP);
}

/* How many rows of a weight are taken at once where tiles update it: as many as of `left` stay in cache, and in large
 * weights shares that suit teams of 2 and 4. */
static size_t rows_at_once(const struct member *m, size_t lefts, size_t rights)
{
    const size_t most = 3 * FNN_GEMM_SPACE / 4 / m->size / m->rows;
    size_t blocks = chunks(lefts, most);
    if (lefts * rights >= SHARED_LEAST)
        blocks = chunks(blocks, 4) * 4;
    return chunks(lefts, blocks);
}

/* left, right, g; columns of left and right, parameter, rows of a block, whether to add to g. The parameter is (columns
 * of left, columns of right) in C order, its gradient left^T right: made in g, or in scratch for the optimiser. */
void fnn_run_linear_backward_params(struct member *m, instruction i)
{
    const size_t lefts = (size_t)i->n[0], rights = (size_t)i->n[1];
    const int in_tiles = updates_in_tiles(m, i);
    const size_t block = in_tiles ? rows_at_once(m, lefts, rights) : (size_t)i->n[3];
    FOR_SHARE(chunks(lefts, block), 1)
    for (size_t first = begin * block; first < lefts && first < end * block; first += block) {
        const size_t last = first + block < lefts ? first + block : lefts;
        const struct fnn_tile_update u = tile_update(m, i->n[2], first * rights, rights);
        char *g = i->v[2] ? at(m, i, 2, first * rights) : m->scratch;
        struct gemm plan = {.type = m->type, .a = at(m, i, 0, first), .b = at(m, i, 1, 0), .c = g, .a_row = 1,
                            .a_col = (ptrdiff_t)lefts, .b_row = (ptrdiff_t)rights, .b_col = 1,
                            .c_row = in_tiles ? SUMS_ROW : (ptrdiff_t)rights, .c_col = 1, .m = last - first,
                            .n = rights, .k = m->rows, .size = m->size, .accumulate = i->n[4] != 0,
                            .own = m->rows >= OWN_LEAST, .way = FNN_GEMM_BY_TILES, .update = in_tiles ? &u : NULL};
        if (!in_tiles)
            plan = fnn_gemm_plan(plan);
        const struct cut cut = fnn_gemm_cut(&plan);
        fnn_gemm_share(&plan, &cut, 0, cut.units, space_of(m));
        if (!i->v[2] && !in_tiles)
            fnn_update(m, i->n[2], g, first * rights, last * rights);
    }
}

/* x, g; columns, how many pieces a row of the batch has, of how many of those x has a row, parameter, whether to add to
 * g. */
void fnn_run_column_sums(struct member *m, instruction i)
{
    const size_t cols = (size_t)i->n[0], rows = chunks(m->rows * (size_t)i->n[1], (size_t)i->n[2]);
    FOR_SHARE(cols, FNN_STEP_columns) {
        char *g = i->v[1] ? at(m, i, 1, 0) : m->scratch;
        if (!i->n[4])
            memset(g + begin * m->size, 0, (end - begin) * m->size);
        fnn_column_sums_part(m->type, at(m, i, 0, 0), g, rows, cols, begin, end);
        if (!i->v[1])
            fnn_update(m, i->n[3], g + begin * m->size, begin, end);
    }
}

/* g; parameter, size. */
void fnn_run_update(struct member *m, instruction i)
{
    FOR_SHARE((size_t)i->n[1], FNN_STEP_elements)
        fnn_update(m, i->n[0], at(m, i, 0, begin), begin, end);
}

/* p, sums; size: the sum of squares of each chunk of a parameter. */
void fnn_run_square_sums(struct member *m, instruction i)
{
    const size_t size = (size_t)i->n[0];
    FOR_SHARE(chunks(size, FNN_SUM_CHUNK), FNN_STEP_chunks)
        fnn_square_sum_part(m->type, at(m, i, 0, 0), m->values[i->v[1]], size, begin, end);
}

/* ---- rows ---- */

/* to; bytes of a row, whether of the targets. */
void fnn_run_gather(struct member *m, instruction i)
{
    const struct fnn_batches *b = m->team->batches;
    const size_t bytes = (size_t)i->n[0];
    const char *from = i->n[1] ? b->y : b->x;
    char *to = m->values[i->v[0]];
    if (!b->order)
        return;
    const int64_t *order = b->order + m->team->first;
    FOR_SHARE(m->rows, ROW_STEP)
    for (size_t row = begin; row < end; row++)
        memcpy(to + row * bytes, from + (size_t)order[row] * bytes, bytes);
}

/* The end of a member's rows, or, in lanes, of their blocks. */
static size_t whole(const struct member *m, size_t end, int64_t in_lanes)
{
    const size_t lanes = in_lanes ? fnn_lanes(m->type) : 1;
    return (end + lanes - 1) / lanes * lanes;
}

/* x, y; function, elements of a row, whether in lanes; two constants. */
void fnn_run_unary_forward(struct member *m, instruction i)
{
    const size_t n = (size_t)i->n[1];
    FOR_SHARE(m->rows, ROW_STEP)
        fnn_unary_forward_part(m->type, (int)i->n[0], at(m, i, 0, 0), at(m, i, 1, 0), i->d[0], i->d[1], begin * n,
                               whole(m, end, i->n[2]) * n);
}

/* x, dy, dx; function, elements of a row, whether in lanes; two constants. */
void fnn_run_unary_backward(struct member *m, instruction i)
{
    const size_t n = (size_t)i->n[1];
    FOR_SHARE(m->rows, ROW_STEP)
        fnn_unary_backward_part(m->type, (int)i->n[0], at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), i->d[0],
                                i->d[1], begin * n, whole(m, end, i->n[2]) * n);
}

/* x, y or y, dy, dx; columns, how many such rows a row of the batch has. */
#define SOFTMAX(name)                                                                                                  \
    void fnn_run_##name##_forward(struct member *m, instruction i)                                                  \
    {                                                                                                                  \
        const size_t n = (size_t)i->n[1];                                                                              \
        FOR_SHARE(m->rows, ROW_STEP)                                                                                   \
            fnn_##name##_forward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), (size_t)i->n[0], begin * n, end * n);   \
    }                                                                                                                  \
    void fnn_run_##name##_backward(struct member *m, instruction i)                                                 \
    {                                                                                                                  \
        const size_t n = (size_t)i->n[1];                                                                              \
        FOR_SHARE(m->rows, ROW_STEP)                                                                                   \
            fnn_##name##_backward_from_output_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0),            \
                                                   (size_t)i->n[0], begin * n, end * n);                               \
    }
SOFTMAX(softmax)
SOFTMAX(log_softmax)

/* x, y; matrices of a row, their rows, their columns: each is transposed. */
void fnn_run_swap_axes(struct member *m, instruction i)
{
    const size_t each = (size_t)i->n[0], rows = (size_t)i->n[1], cols = (size_t)i->n[2], n = rows * cols;
    FOR_SHARE(m->rows, ROW_STEP)
    for (size_t matrix = begin * each; matrix < end * each; matrix++)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++)
                memcpy(at(m, i, 1, matrix * n + c * rows + r), at(m, i, 0, matrix * n + r * cols + c), m->size);
}

/* ---- tables ---- */

/* numbers of rows of w, w, y; columns, numbers of a row of the batch. */
void fnn_run_embedding_forward(struct member *m, instruction i)
{
    const size_t count = (size_t)i->n[1];
    FOR_SHARE(m->rows, ROW_STEP)
        fnn_embedding_forward_part(m->type, at(m, i, 1, 0), m->values[i->v[0]], at(m, i, 2, 0), (size_t)i->n[0],
                                   begin * count, end * count);
}

/* numbers, dy, g, sums; columns, numbers of a row of the batch, rows of w, the one without a gradient or -1, parameter,
 * whether to add to the sums. Each member makes the gradient of its rows of w, in g for the optimiser where there are
 * no sums. */
void fnn_run_embedding_backward(struct member *m, instruction i)
{
    const size_t cols = (size_t)i->n[0], count = m->rows * (size_t)i->n[1];
    char *g = at(m, i, i->v[3] ? 3 : 2, 0);
    FOR_SHARE((size_t)i->n[2], FNN_STEP_elements) {
        const size_t first = begin * cols, last = end * cols;
        if (!i->n[5])
            memset(g + first * m->size, 0, (last - first) * m->size);
        fnn_embedding_backward_part(m->type, m->values[i->v[0]], at(m, i, 1, 0), g, count, cols, i->n[3], begin, end);
        if (!i->v[3])
            fnn_update(m, i->n[4], g + first * m->size, first, last);
    }
}

/* ---- branches ---- */

#define ADD(real)                                                                                                      \
    static void add_##real(const real *x, const real *y, real *sum, size_t begin, size_t end)                          \
    {                                                                                                                  \
        for (size_t j = begin; j < end; j++)                                                                           \
            sum[j] = x[j] + y[j];                                                                                      \
    }
ADD(float)
ADD(double)

/* x, y, sum, which may be x or y; elements of a row, whether in lanes. */
void fnn_run_add(struct member *m, instruction i)
{
    const size_t n = (size_t)i->n[0];
    FOR_SHARE(m->rows, ROW_STEP) {
        if (m->type == FNN_TYPE_F64)
            add_double(at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), begin * n, whole(m, end, i->n[1]) * n);
        else
            add_float(at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), begin * n, whole(m, end, i->n[1]) * n);
    }
}

/* x, y; pieces of a row, elements that are copied of each; of x, then of y, how long a piece is, and where in it the
 * elements begin. */
void fnn_run_copy_columns(struct member *m, instruction i)
{
    const size_t pieces = (size_t)i->n[0], bytes = (size_t)i->n[1] * m->size;
    const size_t from = (size_t)i->n[2], to = (size_t)i->n[4];
    FOR_SHARE(m->rows, ROW_STEP)
    for (size_t piece = begin * pieces; piece < end * pieces; piece++)
        memcpy(at(m, i, 1, piece * to + (size_t)i->n[5]), at(m, i, 0, piece * from + (size_t)i->n[3]), bytes);
}

/* ---- channels; `per`: how many rows of channels a row of the batch has ---- */

/* x, w, b, y; channels, per. */
void fnn_run_channel_scale_forward(struct member *m, instruction i)
{
    const size_t per = (size_t)i->n[1];
    FOR_SHARE(m->rows, ROW_STEP)
        fnn_channel_scale_forward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0),
                                       (size_t)i->n[0], begin * per, end * per);
}

/* x, w, dy, dx, dw, db; channels, per. */
void fnn_run_channel_scale_backward(struct member *m, instruction i)
{
    FOR_SHARE((size_t)i->n[0], FNN_STEP_columns)
        fnn_channel_scale_backward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0),
                                        at(m, i, 4, 0), at(m, i, 5, 0), m->rows * (size_t)i->n[1], (size_t)i->n[0],
                                        begin, end);
}

/* Running statistics towards those of a batch of `count` values a channel, in the arithmetic of NumPy's arrays. */
#define TRACK(real)                                                                                                    \
    static void track_##real(real *running, const real *batch, double share, double correction, size_t begin,          \
                             size_t end)                                                                               \
    {                                                                                                                  \
        for (size_t j = begin; j < end; j++)                                                                           \
            running[j] = batch[j] * (real)(share * correction) + (real)(1 - share) * running[j];                       \
    }
TRACK(float)
TRACK(double)

void fnn_track(const struct member *m, instruction i, double count, size_t begin, size_t end)
{
    if (i->n[2] < 0)
        return;
    const double batches = (double)*m->program->counters[i->n[2]];
    const double part = i->n[3] ? 1 / (batches + 1) : i->d[1], correction = count / (count - 1);
    if (m->type == FNN_TYPE_F64) {
        track_double(at(m, i, 6, 0), at(m, i, 4, 0), part, 1, begin, end);
        track_double(at(m, i, 7, 0), at(m, i, 5, 0), part, correction, begin, end);
    } else {
        track_float(at(m, i, 6, 0), at(m, i, 4, 0), part, 1, begin, end);
        track_float(at(m, i, 7, 0), at(m, i, 5, 0), part, correction, begin, end);
    }
}

/* x, w, b, y, mean, var, running mean, running var; channels, per, counter or -1, whether momentum is none; eps,
 * momentum. */
void fnn_run_batch_norm_forward(struct member *m, instruction i)
{
    const size_t cols = (size_t)i->n[0], rows = m->rows * (size_t)i->n[1];
    FOR_SHARE(cols, FNN_STEP_columns) {
        fnn_batch_norm_forward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0),
                                    at(m, i, 4, 0), at(m, i, 5, 0), rows, cols, i->d[0], begin, end);
        fnn_track(m, i, (double)rows, begin, end);
    }
}

/* x, w, dy, dx, dw, db; channels, per; eps. */
void fnn_run_batch_norm_backward(struct member *m, instruction i)
{
    FOR_SHARE((size_t)i->n[0], FNN_STEP_columns)
        fnn_batch_norm_backward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0),
                                     at(m, i, 4, 0), at(m, i, 5, 0), m->rows * (size_t)i->n[1], (size_t)i->n[0],
                                     i->d[0], begin, end);
}

/* x, mean, var, w, b, y; channels, per; eps. */
void fnn_run_batch_norm_inference(struct member *m, instruction i)
{
    FOR_SHARE((size_t)i->n[0], FNN_STEP_columns)
        fnn_batch_norm_inference_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0),
                                      at(m, i, 4, 0), at(m, i, 5, 0), m->rows * (size_t)i->n[1], (size_t)i->n[0],
                                      i->d[0], begin, end);
}

/* x, mean, var, w, dy, dx, dw, db; channels, per; eps. */
void fnn_run_batch_norm_inference_backward(struct member *m, instruction i)
{
    FOR_SHARE((size_t)i->n[0], FNN_STEP_columns)
        fnn_batch_norm_inference_backward_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 2, 0), at(m, i, 3, 0),
                                               at(m, i, 4, 0), at(m, i, 5, 0), at(m, i, 6, 0), at(m, i, 7, 0),
                                               m->rows * (size_t)i->n[1], (size_t)i->n[0], i->d[0], begin, end);
}

/* x, y; elements of a row, mask, threshold; scale. */
void fnn_run_dropout(struct member *m, instruction i)
{
    const size_t size = m->rows * (size_t)i->n[0];
    const struct fnn_mask *mask = &m->program->masks[i->n[1]];
    FOR_SHARE(chunks(size, FNN_DROPOUT_CHUNK), FNN_STEP_chunks)
        fnn_dropout_part(m->type, at(m, i, 0, 0), at(m, i, 1, 0), size, (uint32_t)i->n[2], i->d[0], mask->key,
                         mask->step, begin, end);
}

/* ---- losses ---- */

/* x, t, sums of chunks, dx; function, elements of a row; constant. */
void fnn_run_elementwise_loss(struct member *m, instruction i)
{
    const size_t size = m->rows * (size_t)i->n[1], chunk = FNN_SUM_CHUNK;
    FOR_SHARE(chunks(size, chunk), FNN_STEP_chunks) {
        fnn_loss_forward_part(m->type, (int)i->n[0], at(m, i, 0, 0), at(m, i, 1, 0), m->values[i->v[2]], size, i->d[0],
                              begin, end);
        fnn_loss_backward_part(m->type, (int)i->n[0], at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 3, 0), i->d[0],
                               m->team->scale, begin * chunk, end * chunk < size ? end * chunk : size);
    }
}

/* The same with a loss for each row: x, t, losses of rows, dx; function, elements of a row; constant. */
void fnn_run_elementwise_row_loss(struct member *m, instruction i)
{
    const size_t size = (size_t)i->n[1];
    double *losses = m->values[i->v[2]], part;
    FOR_SHARE(m->rows, ROW_STEP)
    for (size_t row = begin; row < end; row++) {
        losses[row] = 0;
        for (size_t first = row * size, last = first + size; first < last; first += FNN_SUM_CHUNK) {
            const size_t n = last - first < FNN_SUM_CHUNK ? last - first : FNN_SUM_CHUNK;
            fnn_loss_forward_part(m->type, (int)i->n[0], at(m, i, 0, first), at(m, i, 1, first), &part, n, i->d[0], 0,
                                  1);
            losses[row] += part;
        }
        fnn_loss_backward_part(m->type, (int)i->n[0], at(m, i, 0, 0), at(m, i, 1, 0), at(m, i, 3, 0), i->d[0],
                               m->team->scale, row * size, (row + 1) * size);
    }
}

#define WEIGH(real)                                                                                                    \
    static void weigh_##real(real *x, real weight, size_t size)                                                        \
    {                                                                                                                  \
        for (size_t j = 0; j < size; j++)                                                                              \
            x[j] *= weight;                                                                                            \
    }
WEIGH(float)
WEIGH(double)

/* weights, losses, dx; elements of a row: losses and gradients of rows, times the weights of the rows. */
void fnn_run_weigh_rows(struct member *m, instruction i)
{
    const size_t size = (size_t)i->n[0];
    const double *weights = m->values[i->v[0]];
    double *losses = m->values[i->v[1]];
    FOR_SHARE(m->rows, ROW_STEP)
    for (size_t row = begin; row < end; row++) {
        losses[row] *= weights[row];
        if (m->type == FNN_TYPE_F64)
            weigh_double(at(m, i, 2, row * size), weights[row], size);
        else
            weigh_float(at(m, i, 2, row * size), (float)weights[row], size);
    }
}

/* x, labels, target rows, weight, losses, dx; classes, ignore_index; smoothing. */
void fnn_run_nll(struct member *m, instruction i)
{
    FOR_SHARE(m->rows, ROW_STEP)
        fnn_nll_part(m->type, at(m, i, 0, 0), m->values[i->v[1]], at(m, i, 2, 0), at(m, i, 3, 0), m->values[i->v[4]],
                     at(m, i, 5, 0), (size_t)i->n[0], i->n[1], m->team->scale, begin, end);
}

void fnn_run_cross_entropy(struct member *m, instruction i)
{
    FOR_SHARE(m->rows, ROW_STEP)
        fnn_cross_entropy_part(m->type, at(m, i, 0, 0), m->values[i->v[1]], at(m, i, 2, 0), at(m, i, 3, 0),
                               m->values[i->v[4]], at(m, i, 5, 0), (size_t)i->n[0], i->n[1], i->d[0], m->team->scale,
                               begin, end);
}

/* The column of the largest element of a row, or of the first NaN, as NumPy's argmax. */
#define ARGMAX(real)                                                                                                   \
    static int64_t argmax_##real(const real *x, size_t cols)                                                           \
    {                                                                                                                  \
        size_t best = 0;                                                                                               \
        for (size_t j = 1; j < cols && x[best] == x[best]; j++)                                                        \
            best = x[j] > x[best] || x[j] != x[j] ? j : best;                                                          \
        return (int64_t)best;                                                                                          \
    }
ARGMAX(float)
ARGMAX(double)

static int64_t argmax(int type, const void *x, size_t cols)
{
    return type == FNN_TYPE_F64 ? argmax_double(x, cols) : argmax_float(x, cols);
}

/* scores, labels, target rows, hits: 1 where the largest score is that of the class, 2 where the row does not count;
 * classes, ignore_index. */
void fnn_run_hits(struct member *m, instruction i)
{
    const size_t cols = (size_t)i->n[0];
    const int64_t *labels = m->values[i->v[1]];
    unsigned char *hits = m->values[i->v[3]];
    if (!m->team->batches->counting)
        return;
    FOR_SHARE(m->rows, ROW_STEP)
    for (size_t row = begin; row < end; row++) {
        const int64_t label = labels ? labels[row] : argmax(m->type, at(m, i, 2, row * cols), cols);
        hits[row] = label == i->n[1] ? 2 : argmax(m->type, at(m, i, 0, row * cols), cols) == label;
    }
}

void fnn_run_instructions(struct member *m)
{
    static void (*const functions[])(struct member *, instruction) = {
#define INSTRUCTION(name, split) fnn_run_##name,
#include "program.def"
#undef INSTRUCTION
    };
    for (instruction i = m->program->code, end = i + m->program->count; i < end; i++) {
        if (i->meet)
            meet(m);
        functions[i->kind](m, i);
    }
}
