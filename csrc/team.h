/* The members of a team that runs a program together: what they share, where they meet, who takes which part. */
#ifndef FNN_TEAM_H
#define FNN_TEAM_H

#include "program.h"
#include "threads.h"

#include <stdatomic.h>

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
    _Atomic int arrived, turn; /* of the meeting at hand */
    int processor;             /* of member 0 */
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

/* Waits for all of the team: by looking again and again, and after some 50 us by letting others run in between, since a
 * member may have been woken on the same processor. Who slept instead would have to be woken in turn, and every meeting
 * would take as long as waking takes, up to a millisecond. */
static inline void meet(struct member *m)
{
    enum { LOOKS = 1000 };
    struct team *t = m->team;
    if (m->members == 1)
        return;
    const int turn = atomic_load(&t->turn);
    if (atomic_fetch_add(&t->arrived, 1) + 1 == m->members) {
        atomic_store(&t->arrived, 0);
        atomic_store(&t->turn, turn + 1);
        return;
    }
    const int64_t start = m->me == 0 ? fnn_clock() : 0;
    for (int looks = 0; atomic_load_explicit(&t->turn, memory_order_acquire) == turn; looks++)
        if (looks < LOOKS)
            fnn_relax();
        else
            fnn_yield();
    if (m->me == 0)
        t->waited += fnn_clock() - start;
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

/* This member's blocks of rows in lanes, of LANES rows each (window.h). */
#define FOR_BLOCKS_OF_ROWS(first, last)                                                                                \
    const size_t lanes_ = fnn_lanes(m->type);                                                                          \
    size_t first = 0, last = 0;                                                                                        \
    {                                                                                                                  \
        size_t begin, end;                                                                                             \
        share(m, m->rows, ROW_STEP, &begin, &end);                                                                     \
        first = begin / lanes_, last = (end + lanes_ - 1) / lanes_;                                                    \
    }                                                                                                                  \
    if (first < last)

static inline size_t chunks(size_t elements, size_t chunk) { return (elements + chunk - 1) / chunk; }

/* Bytes of scratch that an instruction on planes takes from a member that has so many rows. */
size_t fnn_scratch_of_planes(const struct fnn_program *p, instruction i, size_t rows);

/* What each instruction does, a member's share of it: instructions*.c. */
#define INSTRUCTION(name, split) void fnn_run_##name(struct member *m, instruction i);
#include "program.def"
#undef INSTRUCTION

/* The optimiser's work on elements [begin, end) of a parameter, whose gradients are g. */
void fnn_update(const struct member *m, int64_t index, const void *g, size_t begin, size_t end);

/* Running statistics of channels [begin, end), towards those of a batch of `count` values a channel: operands 4 to 7
 * of a batch normalisation. */
void fnn_track(const struct member *m, instruction i, double count, size_t begin, size_t end);

/* All instructions of the program, this member's share of each. */
void fnn_run_instructions(struct member *m);

#endif
