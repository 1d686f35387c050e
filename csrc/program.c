/* Runs programs: training steps one after the other, by one team, and inference block by block. program.h says what a
 * program is, instructions.c what an instruction does.
 */
#include "program.h"

#include "fnn.h"
#include "team.h"

#include <math.h>
#include <string.h>

/* What depends on the number of the step: Adam's size of a step and scale of the root, Adagrad's rate. And the decay by
 * the penalty, which is spread over `rows`. */
static void update_scalars(const struct fnn_program *p, double rows)
{
    const double *d = p->optimizer.d;
    double same = -1, rate = 0, root = 0;
    for (size_t i = 0; i < p->parameter_count; i++) {
        struct fnn_parameter *parameter = &p->parameters[i];
        parameter->step += 1;
        if (parameter->step != same) {
            same = parameter->step;
            if (p->optimizer.kind == FNN_ADAM) {
                rate = d[0] / (1 - pow(d[1], same));
                root = 1 / sqrt(1 - pow(d[2], same));
                if (d[6] != 0)
                    rate /= root, root = 1;
            } else if (p->optimizer.kind == FNN_ADAGRAD) {
                rate = d[0] / (1 + (same - 1) * d[3]);
            }
        }
        parameter->rate = rate;
        parameter->root = root;
        parameter->decay = parameter->squares ? p->optimizer.penalty / rows : 0;
    }
}

/* The weight of row i of the batch. */
static double row_weight(const struct team *t, size_t i)
{
    const double *weights = t->values[FNN_PLACE_WEIGHTS];
    return weights ? weights[i] : 1;
}

/* How many rows the batch has, or the sum of their weights. */
static double total_rows(const struct team *t)
{
    double sum = 0;
    if (!t->program->criterion.weighted)
        return (double)t->rows;
    for (size_t i = 0; i < t->rows; i++)
        sum += row_weight(t, i);
    return sum;
}

/* The sum of the labels' weights, each times that of its row. */
static double total_weight(const struct team *t)
{
    const struct fnn_criterion *c = &t->program->criterion;
    const int64_t *labels = t->values[FNN_PLACE_TARGET];
    const void *weight = t->values[c->weight];
    double sum = 0;
    for (size_t i = 0; i < t->rows; i++)
        if (labels[i] != c->ignore_index && labels[i] >= 0 && labels[i] < (int64_t)c->size)
            sum += row_weight(t, i) * (!weight                             ? 1
                                       : t->program->type == FNN_TYPE_F64 ? ((const double *)weight)[labels[i]]
                                                                           : ((const float *)weight)[labels[i]]);
    return sum;
}

/* What the loss of the batch is divided by. */
static double divisor(const struct team *t)
{
    const struct fnn_criterion *c = &t->program->criterion;
    if (c->reduction == FNN_SUM)
        return 1;
    if (c->classes && !c->rows && c->reduction == FNN_MEAN)
        return total_weight(t);
    return total_rows(t) * (c->classes || c->reduction == FNN_BATCHMEAN ? 1 : (double)c->size);
}

/* Sets up the next batch. */
static void begin_step(struct team *t)
{
    const struct fnn_program *p = t->program;
    struct fnn_batches *b = t->batches;
    t->first = b->done * b->batch;
    t->rows = t->planned = b->rows - t->first < b->batch ? b->rows - t->first : b->batch;
    if (b->order) {
        t->values[FNN_PLACE_INPUT] = t->values[p->gathered];
        t->values[FNN_PLACE_TARGET] = t->values[p->gathered_targets];
        t->values[FNN_PLACE_WEIGHTS] = b->weights ? t->values[p->gathered_weights] : NULL;
        if (p->criterion.classes && !p->criterion.rows) {
            int64_t *labels = t->values[FNN_PLACE_TARGET];
            for (size_t i = 0; i < t->rows; i++)
                labels[i] = ((const int64_t *)b->y)[b->order[t->first + i]];
        }
        for (size_t i = 0; b->weights && i < t->rows; i++)
            ((double *)t->values[FNN_PLACE_WEIGHTS])[i] = b->weights[b->order[t->first + i]];
    } else {
        t->values[FNN_PLACE_INPUT] = (char *)b->x + t->first * b->x_row;
        t->values[FNN_PLACE_TARGET] = (char *)b->y + t->first * b->y_row;
        t->values[FNN_PLACE_WEIGHTS] = b->weights ? (double *)b->weights + t->first : NULL;
    }
    const double all = divisor(t);
    t->scale = all != 0 ? 1 / all : 0;
    update_scalars(p, total_rows(t));
}

/* The penalty of the parameters as they were before the step. */
static double penalty(const struct team *t)
{
    const struct fnn_program *p = t->program;
    double sum = 0;
    for (size_t i = 0; i < p->parameter_count; i++) {
        const struct fnn_parameter *parameter = &p->parameters[i];
        const double *squares = t->values[parameter->squares];
        for (size_t c = 0; squares && c < chunks(parameter->size, FNN_SUM_CHUNK); c++)
            sum += squares[c];
    }
    return p->optimizer.penalty / 2 * sum / total_rows(t);
}

/* The loss of the batch, and what a step moves on. */
static void end_step(struct team *t)
{
    const struct fnn_program *p = t->program;
    struct fnn_batches *b = t->batches;
    const double *losses = t->values[p->criterion.losses], all = divisor(t);
    const int own = p->criterion.classes || p->criterion.weighted; /* whether each row has a loss of its own */
    const size_t n = own ? t->rows : chunks(t->rows * p->criterion.size, FNN_SUM_CHUNK);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += losses[i];
    b->losses[b->done] = all != 0 ? sum / all : NAN;
    if (b->penalties)
        b->losses[b->done] += b->penalties[b->done] = penalty(t);
    b->done++;
    for (size_t i = 0; b->counting && i < t->rows; i++) {
        const int hit = ((const unsigned char *)t->values[p->hits])[i];
        b->hits += hit == 1;
        b->counted += hit < 2;
    }
    for (size_t i = 0; i < p->counter_count; i++)
        *p->counters[i] += 1;
    for (size_t i = 0; i < p->mask_count; i++)
        p->masks[i].step += 1;
    for (size_t i = 0; i < p->parameter_count; i++)
        p->parameters[i].first = 0;
}

/* A thread's room: a table of places, which an inference needs, then what an instruction takes. */
enum { LINE = 64 };
static size_t whole_lines(size_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }
static size_t table_size(const struct fnn_program *p) { return whole_lines(p->places * sizeof(void *)); }

size_t fnn_room(const struct fnn_program *p, size_t rows)
{
    size_t most = p->scratch;
    for (size_t i = 0; i < p->count; i++) {
        const size_t needed = fnn_scratch_of_planes(p, &p->code[i], rows);
        most = needed > most ? needed : most;
    }
    return table_size(p) + whole_lines(most);
}

/* The member of a team that has room `room`. */
static struct member member_of(struct team *t, int me, int members, int room)
{
    const struct fnn_program *p = t->program;
    char *scratch = p->rooms + (size_t)room * p->room + table_size(p);
    return (struct member){t, p, t->values, me, members, p->type, t->rows, p->type == FNN_TYPE_F64 ? 8 : 4, NULL,
                           scratch};
}

static void train(struct team *t, int me, int members, int64_t deadline)
{
    struct member m = member_of(t, me, members, me);
    const struct fnn_batches *b = t->batches;
    if (me > 0)
        fnn_leave(t->processor);
    const unsigned long before = fnn_flush();
    do {
        if (me == 0)
            begin_step(t);
        meet(&m);
        m.rows = t->rows;
        fnn_run_instructions(&m);
        meet(&m);
        if (me == 0) {
            end_step(t);
            t->stop = b->done == b->steps || (deadline && fnn_clock() > deadline);
        }
        meet(&m);
    } while (!t->stop);
    fnn_unflush(before);
    fnn_pool_free(m.space);
}

/* A thread more is worth it for WORTH times as much work as elsewhere: parameters that one member has updated come to
 * the others from its cache. With 784-100-10 and 32 rows, 85 us on one thread, two took 98. */
enum { WORTH = 4 };

/* A team is asked for anew after TEAM_SLICE seconds, so that one whose members do not run can be given up. */
static const double TEAM_SLICE = 5e-3;

void fnn_train(struct fnn_program *p, struct fnn_batches *b, double seconds)
{
    const size_t rows = b->batch < b->rows ? b->batch : b->rows;
    const int worth = fnn_team_size(rows / ROW_STEP, p->ns * (double)rows / WORTH);
    const int wanted = worth < p->members ? worth : p->members;
    struct team t = {.program = p, .batches = b, .values = p->values};
    const int one = b->steps - b->done == 1;
    if (wanted > 1 && seconds > TEAM_SLICE)
        seconds = TEAM_SLICE;
    const int64_t start = one && wanted == 1 ? 0 : fnn_clock(), deadline = one ? 0 : start + (int64_t)(1e9 * seconds);
    t.processor = wanted > 1 ? fnn_processor() : -1;
    FNN_TEAM(wanted, { train(&t, me, team, deadline); })
    if (wanted > 1)
        fnn_team_waited(fnn_clock() - start - t.waited, t.waited);
}

/* Rows [begin, end) of an inference, block by block. */
static void infer(struct team t, int me, const char *x, size_t x_row, char *y, size_t y_row, size_t block, size_t begin,
                  size_t end)
{
    const struct fnn_program *p = t.program;
    void **own = me ? (void **)(p->rooms + (size_t)me * p->room) : p->values;
    if (me) {
        memcpy(own, p->values, p->places * sizeof *own);
        for (size_t i = FNN_PLACES; i < FNN_PLACES + p->arena_places; i++)
            own[i] = (char *)own[i] + (size_t)me * p->arena_size;
    }
    t.values = own;
    struct member m = member_of(&t, 0, 1, me);
    for (size_t row = begin; row < end; row += block) {
        own[FNN_PLACE_INPUT] = (char *)x + row * x_row;
        own[FNN_PLACE_OUTPUT] = y + row * y_row;
        m.rows = end - row < block ? end - row : block;
        fnn_run_instructions(&m);
    }
    fnn_pool_free(m.space);
}

void fnn_infer(const struct fnn_program *p, const char *x, size_t x_row, char *y, size_t y_row, size_t rows,
               size_t block, int threads)
{
    const struct team t = {.program = p, .values = p->values, .planned = rows < block ? rows : block};
    int wanted = threads > 1 ? fnn_team_size(rows / ROW_STEP, p->ns * (double)rows) : 1;
    wanted = wanted < threads ? wanted : threads;
    FNN_TEAM(wanted, {
        size_t begin, end;
        fnn_share(me, team, rows, ROW_STEP, &begin, &end);
        if (begin < end)
            infer(t, me, x, x_row, y, y_row, block, begin, end);
    })
}
