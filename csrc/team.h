/* The members of a team that runs a program together: what they share, where they meet, who takes which part. */
#ifndef FNN_TEAM_H
#define FNN_TEAM_H

#include "program.h"
#include "threads.h"

/* Shares of rows begin at whole vectors of an array of any width. */
enum { ROW_STEP = 16 };

struct team { /* what the members share */
    const struct fnn_program *program;
    struct fnn_batches *batches; /* NULL in inference */
    void **values;
    size_t rows, first; /* of the batch at hand */
    size_t planned;     /* the rows that products are planned for, so that a last, smaller block computes alike */
    double scale;       /* of the gradient of the loss */
    int stop;
    int64_t waited; /* by member 0, nanoseconds */
};

struct member {
    struct team *team;
    const struct fnn_program *program;
    void **values;
    int me, members, type;
    size_t rows, size; /* size: bytes of an element */
    char *space, *scratch;
};

typedef const struct fnn_instruction *instruction;

static inline void meet(struct member *m)
{
    if (m->members == 1)
        return;
    if (m->me == 0) {
        const int64_t start = fnn_clock();
        FNN_MEET();
        m->team->waited += fnn_clock() - start;
    } else {
        FNN_MEET();
    }
}

static inline void share(const struct member *m, size_t units, size_t step, size_t *begin, size_t *end)
{
    if (m->members == 1)
        *begin = 0, *end = units;
    else
        fnn_share(m->me, m->members, units, step, begin, end);
}

/* The operand at place `v[operand]`, `elements` further on; NULL stays NULL. */
static inline void *at(const struct member *m, instruction i, int operand, size_t elements)
{
    char *pointer = m->values[i->v[operand]];
    return pointer ? pointer + elements * m->size : NULL;
}

#define FOR_SHARE(units, step)                                                                                         \
    size_t begin, end;                                                                                                 \
    share(m, units, step, &begin, &end);                                                                               \
    if (begin < end)

static inline size_t chunks(size_t elements, size_t chunk) { return (elements + chunk - 1) / chunk; }

/* All instructions of the program, this member's share of each. */
void fnn_run_instructions(struct member *m);

#endif
