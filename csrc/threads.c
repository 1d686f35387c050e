/* How many threads serve: the settings, the size of a team for a piece of work, and what a forked child may do. */
#include "threads.h"

#include "fnn.h"

void fnn_threads_init(void);

/* Whole steps, but for the last share, which also takes what is left: no share is a fraction of a step. */
void fnn_share(int me, int team, size_t units, size_t step, size_t *begin, size_t *end)
{
    const size_t first = (size_t)me, members = (size_t)team, steps = units < step ? 1 : units / step;
    *begin = me > 0 && steps * first / members == steps ? units : steps * first / members * step;
    *end = steps * (first + 1) / members == steps ? units : steps * (first + 1) / members * step;
}

#ifdef _OPENMP
#include <stdatomic.h>
#include <stdlib.h>

static int explicit_count; /* 0: not set */
static int limit = 1;      /* of the affinity mask and the container's quota */
static volatile int forked;

int fnn_has_openmp(void) { return 1; }
void fnn_set_num_threads(int count) { explicit_count = count; }
void fnn_set_thread_limit(int count) { limit = count; }

int fnn_num_threads(void)
{
    if (forked)
        return 1;
    if (explicit_count > 0)
        return explicit_count;
    /* Asked each time, so that omp_set_num_threads and threadpoolctl are obeyed. */
    int count = omp_get_max_threads();
    const char *variable = getenv("OMP_NUM_THREADS");
    return variable && *variable ? count : count < limit ? count : limit;
}

/* A member that does not run keeps the others waiting for a time slice, 1 to 4 ms, at every operation. One such wait is
 * common where a member has slept: the system may wake it on the caller's processor, and only then move it. After two
 * in a row one thread serves for 20 ms, after the next two for 40, and so on: in the long run 3 % are lost. */
enum { LONG_WAIT = 200000, FIRST_PAUSE = 20000000, LAST_PAUSE = 320000000 };
static _Atomic int64_t paused_until, pause = FIRST_PAUSE;
static _Atomic int waited_before;

void fnn_team_waited(int64_t worked, int64_t waited)
{
    if (waited > worked + LONG_WAIT) {
        waited_before = !waited_before;
        if (waited_before)
            return;
        int64_t length = pause;
        paused_until = fnn_clock() + length;
        pause = length < LAST_PAUSE ? 2 * length : length;
    } else {
        waited_before = 0;
        pause = FIRST_PAUSE;
    }
}

static int paused(void)
{
    int64_t until = paused_until;
    if (until && fnn_clock() < until)
        return 1;
    paused_until = 0;
    return 0;
}

int fnn_team_size(size_t pieces, double ns)
{
    if (ns < 2.0 * FNN_NS_PER_THREAD || omp_in_parallel() || paused())
        return 1;
    double team = fnn_num_threads();
    if (team > ns / FNN_NS_PER_THREAD)
        team = ns / FNN_NS_PER_THREAD;
    return team > (double)pieces ? (int)pieces : (int)team;
}

/* libgomp waits for ever in a child whose parent had a team (GCC bug 60035): the child computes on its own thread. */
static void in_forked_child(void)
{
    forked = 1;
    fnn_pool_after_fork();
}
void fnn_threads_init(void) { fnn_at_fork(in_forked_child); }

#else

int fnn_has_openmp(void) { return 0; }
void fnn_set_num_threads(int count) { (void)count; }
void fnn_set_thread_limit(int count) { (void)count; }
int fnn_num_threads(void) { return 1; }
int fnn_team_size(size_t pieces, double ns) { return (void)pieces, (void)ns, 1; }
void fnn_team_waited(int64_t worked, int64_t waited) { (void)worked, (void)waited; }
void fnn_threads_init(void) { fnn_at_fork(fnn_pool_after_fork); }

#endif
