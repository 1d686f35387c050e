/* What each operating system does in its own way: clocks, processors, forks, aligned memory. system.c has all of it. */
#ifndef FNN_SYSTEM_H
#define FNN_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

enum { FNN_ALIGNMENT = 64 };

/* Nanoseconds of a clock. */
int64_t fnn_clock(void);

/* The processor that the calling thread runs on, or -1; and to make it run on another one, now, if it runs there and
 * may run elsewhere. Systems wake a thread on the processor of its waker and may take 20 ms to move it. */
int fnn_processor(void);
void fnn_leave(int processor);

/* Lets another thread run, if one waits for a processor. */
void fnn_yield(void);

/* Have `in_child` called in every forked child, before anything else runs there. */
void fnn_at_fork(void (*in_child)(void));

/* Fresh memory that begins at a multiple of FNN_ALIGNMENT, or NULL; size is a multiple of it too. */
void *fnn_aligned_alloc(size_t size);
void fnn_aligned_free(void *memory);

#endif
