/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For LD_PRELOAD: a program whose CLOCK_REALTIME is ahead by what the file named by CW_WALL_CLOCK holds, a
 * number of nanoseconds in 8 bytes, which a test may change at any time; time() and gettimeofday() are that
 * clock, too. No other clock is touched, and none of the machine.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t nothing;
static const volatile int64_t *ahead_ns = &nothing;
static int (*real)(clockid_t clock, struct timespec *time);

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("CW_WALL_CLOCK");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd >= 0 ? mmap(NULL, sizeof *ahead_ns, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (page != MAP_FAILED)
        ahead_ns = page;
    if (fd >= 0)
        close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (!real) /* somebody's constructor comes before ours */
        begin();
    int result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) {
        int64_t ns = (int64_t)time->tv_sec * 1000000000 + time->tv_nsec + *ahead_ns;
        time->tv_sec = (time_t)(ns / 1000000000);
        time->tv_nsec = (long)(ns % 1000000000);
    }
    return result;
}

time_t time(time_t *into)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (into)
        *into = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict into, void *restrict zone)
{
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    (void)zone;
    if (result == 0)
        *into = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return result;
}
