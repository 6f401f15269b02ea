/* A clock that is wrong, for a process that loads this first. SHIFT is how many seconds it goes ahead; beginning with
 * `=`, the only time that it ever shows; with `~`, how far it jumps back and forth each time that it is looked at. The
 * clocks that only go on are left alone. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void shift(struct timespec *now)
{
    static atomic_uint looks;
    const char *text = getenv("SHIFT");
    if (!text)
        return;
    long long seconds = atoll(text + (*text == '=' || *text == '~'));
    if (*text == '=')
        *now = (struct timespec){ .tv_sec = seconds };
    else if (*text == '~')
        now->tv_sec += seconds * ((int)(atomic_fetch_add(&looks, 1) % 3) - 1);
    else
        now->tv_sec += seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        shift(now);
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec found;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &found);
    *now = (struct timeval){ .tv_sec = found.tv_sec, .tv_usec = found.tv_nsec / 1000 };
    return 0;
}

time_t time(time_t *now)
{
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now)
        *now = found.tv_sec;
    return found.tv_sec;
}
