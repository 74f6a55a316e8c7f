/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/rewind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/numbers.h"

#define TORN_NS       (100 * CW_MS)
#define TRIES         3
#define LINES_AT_ONCE 256u
#define LINE_BYTES    8192u /* more than the kernel makes of one message */
#define FACILITIES    8u    /* priority is facility * 8 + level; the kernel's own facility is 0 */

bool cw_rewind_has_jumped(struct cw_rewind *rewind, const struct cw_rewind_clocks *clocks, int64_t *jump_ns)
{
    int64_t offset_ns = (int64_t)(clocks->wall_ns - clocks->before_ns), last_ns = rewind->offset_ns;
    if (clocks->after_ns - clocks->before_ns > TORN_NS)
        return false;
    bool had_offset = rewind->has_offset;
    rewind->has_offset = true;
    rewind->offset_ns = offset_ns;
    *jump_ns = had_offset ? offset_ns - last_ns : 0;
    return llabs(*jump_ns) > (long long)CW_REWIND_JUMP_NS;
}

bool cw_rewind_is_new_generation(const char *line, size_t length)
{
    static const char words[] = "crng reseeded due to virtual machine fork";
    const char *text = memchr(line, ';', length);
    unsigned priority = 0;
    size_t i = 0;
    for (; i < length && line[i] >= '0' && line[i] <= '9' && priority < FACILITIES; i++)
        priority = 10 * priority + (unsigned)(line[i] - '0');
    if (i == 0 || priority >= FACILITIES ||
        text == NULL) /* what programs write there is of another facility */
        return false;
    return memmem(text, length - (size_t)(text - line), words, sizeof words - 1) != NULL;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static struct cw_rewind_clocks read_clocks(void)
{
    struct cw_rewind_clocks clocks;
    for (int i = 0; i < TRIES; i++) {
        clocks.before_ns = clock_ns(CLOCK_MONOTONIC);
        clocks.wall_ns = clock_ns(CLOCK_REALTIME);
        clocks.after_ns = clock_ns(CLOCK_MONOTONIC);
        if (clocks.after_ns - clocks.before_ns <= TORN_NS)
            break;
    }
    return clocks;
}

/* A timer that never ends, but for its being told when the clock is set (timerfd_create(2)). */
static void arm(int fd)
{
    struct itimerspec never = {.it_value = {.tv_sec = INT32_MAX * 64ll}};
    (void)timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

void cw_rewind_init(struct cw_rewind *rewind)
{
    struct cw_rewind_clocks clocks = read_clocks();
    int64_t jump_ns;
    *rewind = (struct cw_rewind){.log_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC),
                                 .clock_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC)};
    (void)cw_rewind_has_jumped(rewind, &clocks, &jump_ns);
    if (rewind->log_fd >= 0)
        (void)lseek(rewind->log_fd, 0, SEEK_END); /* what was said before we were there is of no interest */
    if (rewind->clock_fd >= 0)
        arm(rewind->clock_fd);
}

void cw_rewind_fini(struct cw_rewind *rewind)
{
    if (rewind->log_fd >= 0)
        close(rewind->log_fd);
    if (rewind->clock_fd >= 0)
        close(rewind->clock_fd);
}

/* Each read gives one message. EPIPE: some were overwritten before they were read; EINVAL: one was too long. */
static bool log_tells(int fd)
{
    char line[LINE_BYTES];
    bool tells = false;
    for (unsigned i = 0; fd >= 0 && i < LINES_AT_ONCE; i++) {
        ssize_t length = read(fd, line, sizeof line);
        if (length < 0 && errno != EPIPE && errno != EINVAL && errno != EINTR)
            break;
        tells = tells || (length > 0 && cw_rewind_is_new_generation(line, (size_t)length));
    }
    return tells;
}

static bool clocks_tell(struct cw_rewind *rewind, int64_t *jump_ns)
{
    uint64_t count;
    if (rewind->clock_fd >= 0 && read(rewind->clock_fd, &count, sizeof count) < 0 && errno == ECANCELED)
        arm(rewind->clock_fd);
    struct cw_rewind_clocks clocks = read_clocks();
    return cw_rewind_has_jumped(rewind, &clocks, jump_ns);
}

bool cw_rewind_look(struct cw_rewind *rewind, char *why, size_t why_size)
{
    int64_t jump_ns;
    bool is_new = log_tells(rewind->log_fd), has_jumped = clocks_tell(rewind, &jump_ns);
    if (is_new)
        snprintf(why, why_size,
                 "the kernel says that this virtual machine is a new one (its generation ID changed)");
    else if (has_jumped)
        snprintf(why, why_size, "the wall clock has jumped by %+.1f s", (double)jump_ns / (double)CW_SECOND);
    return is_new || has_jumped;
}
