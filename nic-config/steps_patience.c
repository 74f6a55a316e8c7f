/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernel may keep a process waiting for without end: to take a device from its driver, and whatever wants the lock
 * that this holds (driver_override, also to read it). No signal ends such a wait, so a child does it, and is left there
 * when it takes too long: it goes on as soon as the kernel lets it, and changes nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nic-config/steps_private.h"

#define FILES_MAX 64 /* more than we ever have open */

uint32_t cw_patience_ms = 60000;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Nothing that somebody else waits for may be open in one who is left behind: the lock, a pipe that our words go to. */
_Noreturn static void work(const char *path, const char *value, int done, pid_t parent)
{
    char text[CW_STEP_TEXT];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* killed before we could ask to be told */
        _exit(EINTR);
    for (int file = 0; file < FILES_MAX; file++)
        if (file != done)
            close(file);
    _exit(value ? cw_text_write(path, value) : cw_text_read(path, text, sizeof text));
}

/* The other end of the pipe is closed: the child has ended. */
static bool ends_in_time(int pipe_end)
{
    struct pollfd polled = {.fd = pipe_end, .events = POLLIN};
    int64_t until = now_ms() + cw_patience_ms, left;
    int got = 0;
    while (got <= 0 && (left = until - now_ms()) > 0)
        got = poll(&polled, 1, (int)left);
    return got > 0;
}

/* Of a process that was left: in which function of the kernel it waits, where that can be read. */
static void tell_of(pid_t child, const char *path, const char *value, char *words, size_t size)
{
    char file[64], where[64];
    snprintf(file, sizeof file, "/proc/%d/wchan", child);
    bool is_known = cw_text_read(file, where, sizeof where) == 0 && where[0] && strcmp(where, "0") != 0;
    snprintf(words, size,
             "%s is not %s after %u s: process %d waits in the kernel%s%s%s, and no signal ends that", path,
             value ? "written" : "read", cw_patience_ms / 1000, child, is_known ? " (" : "",
             is_known ? where : "", is_known ? ")" : "");
}

int cw_text_patiently(const char *path, const char *value, char *words, size_t size)
{
    int ends[2], status = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    pid_t parent = getpid(), child = fork();
    int error = child < 0 ? errno : 0;
    if (child == 0)
        work(path, value, ends[1], parent);
    close(ends[1]);
    if (!error && !ends_in_time(ends[0])) {
        tell_of(child, path, value, words, size);
        error = ETIMEDOUT;
    }
    close(ends[0]);
    if (error)
        return error;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}
