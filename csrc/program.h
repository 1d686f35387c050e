/* A network's training step or its inference as a list of instructions over one table of pointers.
 *
 * An instruction names its operands by their places in the table; place 0 is NULL. Who makes the list, program/ in
 * Python, knows the shapes of everything but the number of rows of a batch, which may differ from run to run.
 */
#ifndef FNN_PROGRAM_H
#define FNN_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

enum fnn_instruction_kind {
#define INSTRUCTION(name, split) FNN_RUN_##name,
#include "program.def"
#undef INSTRUCTION
    FNN_INSTRUCTION_COUNT
};
enum fnn_split { FNN_SPLIT_rows, FNN_SPLIT_across, FNN_SPLIT_params };
extern const char *const fnn_instruction_names[FNN_INSTRUCTION_COUNT];
extern const int fnn_instruction_splits[FNN_INSTRUCTION_COUNT];

struct fnn_instruction {
    int kind;    /* an enum fnn_instruction_kind */
    int meet;    /* the team meets before it */
    int v[9];    /* places of the operands */
    int64_t n[6]; /* sizes, strides and indices */
    double d[2];
};

/* The places of the table that a run fills in. */
enum { FNN_PLACE_NULL, FNN_PLACE_INPUT, FNN_PLACE_TARGET, FNN_PLACE_OUTPUT, FNN_PLACE_WEIGHTS, FNN_PLACES };

/* A parameter and the states of its optimiser. */
struct fnn_parameter {
    int p, states[3]; /* places; 0: no such state */
    int squares;      /* place of the sums of squares of its chunks; 0: the penalty leaves it out */
    size_t size;      /* elements */
    int first;        /* its states are new; the first step that is done takes this back */
    double step;      /* updates so far */
    double rate, root, decay; /* of the step at hand, by update_scalars; decay: of the penalty */
};

struct fnn_optimizer {
    int kind;    /* an enum fnn_optimizer_kind */
    double penalty; /* times half the sum of squares over the rows of a batch: what is added to its loss */
    double d[7]; /* sgd: lr, momentum, share, weight decay, nesterov; adam: lr, beta1, beta2, eps, weight decay,
                    decoupled, whether eps is added before the correction of the root; rmsprop: lr, alpha, eps, weight
                    decay, momentum; adagrad: lr, eps, weight decay, decay */
};

enum fnn_reduction { FNN_MEAN, FNN_SUM, FNN_BATCHMEAN };
struct fnn_criterion {
    int reduction;
    int classes;          /* whether the loss is one of classes; `rows` then says whether targets are rows */
    int rows;
    int weight, losses;   /* places */
    int weighted;         /* whether rows have weights; each then has a loss of its own */
    int64_t ignore_index; /* of labels */
    size_t size;          /* elements of a row */
};

struct fnn_mask { /* of a dropout layer */
    uint64_t key, step;
};

struct fnn_window; /* window.h */

struct fnn_program {
    int type;
    size_t count;
    struct fnn_instruction *code;
    void **values; /* the table: what a run fills in, then `arena_places` in the arena, then arrays of the model */
    size_t places, arena_places, arena_size; /* size: bytes of the arena of one thread of an inference */
    size_t scratch; /* bytes that an instruction may need for gradients */
    char *rooms;    /* of `members` threads, each of `room` bytes: what they need for themselves */
    size_t room;
    int members;
    struct fnn_parameter *parameters;
    size_t parameter_count;
    struct fnn_optimizer optimizer;
    struct fnn_criterion criterion;
    struct fnn_window *windows;
    struct fnn_mask *masks;
    size_t mask_count;
    int64_t **counters; /* each goes up by one a step */
    size_t counter_count;
    int hits;                 /* place of the rows' hits, or 0 */
    int gathered, gathered_targets, gathered_weights; /* places of a batch whose rows are picked */
    double ns;                /* of a row, on one thread, estimated */
};

/* What a run works on, and what it has done so far. */
struct fnn_batches {
    const char *x, *y;
    size_t x_row, y_row;  /* bytes of a row */
    const int64_t *order; /* of the rows, or NULL */
    size_t rows, batch;   /* in all, and of a step; the last step has the rest */
    size_t done, steps;   /* steps */
    const double *weights; /* of the rows, or NULL */
    double *losses;       /* of each step, with the penalty */
    double *penalties;    /* of each step, or NULL */
    int64_t hits, counted; /* rows that are right, and rows that count */
    int counting;          /* whether these are asked for */
};

/* Bytes that a thread needs for itself beside the arena, for so many rows at most. */
size_t fnn_room(const struct fnn_program *p, size_t rows);

/* Training steps from b->done on, until all are done or about `seconds` are over, one at least. */
void fnn_train(struct fnn_program *p, struct fnn_batches *b, double seconds);

/* Rows of x through a program without a loss, to y, in blocks of at most `block` rows. Each of at most `threads`
 * threads has an arena of its own, the next after the one that the table points to, and a room. */
void fnn_infer(const struct fnn_program *p, const char *x, size_t x_row, char *y, size_t y_row, size_t rows,
               size_t block, int threads);

#endif
