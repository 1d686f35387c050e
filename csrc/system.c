/* The only file that knows of operating systems: Linux, the other POSIX systems, Windows. */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getcpu */
#endif

#include "system.h"

#include <stdlib.h>

#ifdef _WIN32

#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <windows.h>

int64_t fnn_clock(void)
{
    LARGE_INTEGER now, frequency;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&frequency);
    const int64_t second = frequency.QuadPart, whole = now.QuadPart / second, rest = now.QuadPart % second;
    return whole * 1000000000 + rest * 1000000000 / second;
}

void fnn_yield(void) { SwitchToThread(); }
void fnn_at_fork(void (*in_child)(void)) { (void)in_child; } /* there are no forks */
void *fnn_aligned_alloc(size_t size) { return _aligned_malloc(size, FNN_ALIGNMENT); }
void fnn_aligned_free(void *memory) { _aligned_free(memory); }

#else

#include <pthread.h>
#include <sched.h>
#include <time.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

int64_t fnn_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void fnn_yield(void) { sched_yield(); }
void fnn_at_fork(void (*in_child)(void)) { pthread_atfork(NULL, NULL, in_child); }

/* Of large pages where it is large, as NumPy asks for its own: arrays of many megabytes would need more entries of the
 * page tables than the processor keeps. */
void *fnn_aligned_alloc(size_t size)
{
    void *memory = aligned_alloc(FNN_ALIGNMENT, size);
#ifdef MADV_HUGEPAGE
    enum { LARGE = 1 << 22, PAGE = 1 << 12 };
    if (memory && size >= LARGE) {
        size_t skip = PAGE - (uintptr_t)memory % PAGE;
        madvise((char *)memory + skip, size - skip, MADV_HUGEPAGE); /* may fail: a matter of speed alone */
    }
#endif
    return memory;
}
void fnn_aligned_free(void *memory) { free(memory); }

#endif

#ifdef __linux__

int fnn_processor(void) { return sched_getcpu(); }

void fnn_leave(int processor)
{
    cpu_set_t allowed, others;
    if (processor < 0 || processor != sched_getcpu() || sched_getaffinity(0, sizeof allowed, &allowed) != 0 ||
        processor >= CPU_SETSIZE || CPU_COUNT(&allowed) < 2)
        return;
    others = allowed;
    CPU_CLR(processor, &others);
    if (sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof allowed, &allowed);
}

#else

int fnn_processor(void) { return -1; }
void fnn_leave(int processor) { (void)processor; }

#endif
