/* Memory of large arrays: a block that is given back waits here for the next array of its size, so that the system does
 * not have to map and clear fresh pages, and so that the block may still be in cache.
 *
 * Sizes are rounded up to one of eight classes an octave (at most 12.5 % more). What waits is at most `limit` bytes;
 * a block for which there is no room any more empties the pool first. A header before the block holds its class, since
 * realloc is not told the old size.
 */
#include "fnn.h"
#include "system.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

enum { HEADER = FNN_ALIGNMENT, LEAST_BITS = 16, OCTAVES = 30, STEPS = 8, CLASSES = OCTAVES * STEPS };

struct block {
    size_t class_;      /* CLASSES: too large to be kept */
    size_t size;        /* of the memory behind the header */
    struct block *next; /* while it waits */
};

static struct block *waiting[CLASSES];
static size_t cached;
static const size_t limit = (size_t)1 << 28;
static atomic_flag busy = ATOMIC_FLAG_INIT;

static void lock(void)
{
    while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
        ;
}
static void unlock(void) { atomic_flag_clear_explicit(&busy, memory_order_release); }

/* The class of a size, and the size that its blocks have. */
static size_t class_of(size_t size, size_t *rounded)
{
    size_t bits = LEAST_BITS;
    while (bits < LEAST_BITS + OCTAVES && size > (size_t)1 << (bits + 1))
        bits++;
    size_t step = (size_t)1 << (bits - 3), steps = size <= (size_t)1 << bits ? 0 : (size - 1) / step - STEPS + 1;
    if (bits >= LEAST_BITS + OCTAVES - 1) {
        *rounded = size;
        return CLASSES;
    }
    *rounded = ((size_t)1 << bits) + steps * step;
    return (bits - LEAST_BITS) * STEPS + steps;
}

static struct block *block_of(void *memory) { return (struct block *)((char *)memory - HEADER); }

void *fnn_pool_alloc(size_t size)
{
    size_t rounded, class_ = class_of(size, &rounded);
    struct block *block = NULL;
    lock();
    if (class_ < CLASSES && (block = waiting[class_])) {
        waiting[class_] = block->next;
        cached -= block->size;
    }
    unlock();
    if (!block) {
        if (rounded > SIZE_MAX - 2 * HEADER)
            return NULL;
        block = fnn_aligned_alloc((rounded + 2 * HEADER - 1) / HEADER * HEADER);
        if (!block)
            return NULL;
        block->class_ = class_;
        block->size = rounded;
    }
    return (char *)block + HEADER;
}

void fnn_pool_free(void *memory)
{
    if (!memory)
        return;
    struct block *block = block_of(memory);
    if (block->class_ == CLASSES || block->size > limit) {
        fnn_aligned_free(block);
        return;
    }
    lock();
    while (cached + block->size > limit) { /* other threads may fill it again in between */
        unlock();
        fnn_pool_clear();
        lock();
    }
    block->next = waiting[block->class_];
    waiting[block->class_] = block;
    cached += block->size;
    unlock();
}

void *fnn_pool_realloc(void *memory, size_t size)
{
    if (memory && size <= block_of(memory)->size)
        return memory;
    void *larger = fnn_pool_alloc(size);
    if (larger && memory) {
        memcpy(larger, memory, block_of(memory)->size);
        fnn_pool_free(memory);
    }
    return larger;
}

size_t fnn_pool_bytes(void) { return cached; }

void fnn_pool_clear(void)
{
    for (size_t c = 0; c < CLASSES; c++) {
        lock();
        struct block *block = waiting[c];
        waiting[c] = NULL;
        for (struct block *b = block; b; b = b->next)
            cached -= b->size;
        unlock();
        while (block) {
            struct block *next = block->next;
            fnn_aligned_free(block);
            block = next;
        }
    }
}

/* In a forked child: another thread of the parent may have held the lock. The lists may then be torn: forget them. */
void fnn_pool_after_fork(void)
{
    if (atomic_flag_test_and_set(&busy)) {
        memset(waiting, 0, sizeof waiting);
        cached = 0;
    }
    unlock();
}
