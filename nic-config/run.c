/* SPDX-License-Identifier: BSD-3-Clause */
#include "nic-config/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STDERR_MAX 512u

struct said {
    char *text; /* always with room for a NUL */
    size_t length, size, size_max;
    bool is_cut; /* there was more than size_max */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

_Noreturn static void become(const char *const arguments[], const int out[2], const int err[2], pid_t parent)
{
    int empty = open("/dev/null", O_RDONLY);
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || empty < 0) /* killed before we could ask to be told */
        _exit(127);
    setpgid(0, 0);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    dup2(empty, 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    clearenv();
    setenv("LC_ALL", "C", 1);
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    execvp(arguments[0], (char *const *)arguments);
    dprintf(2, "%s: %s", arguments[0], errno == ENOENT ? "there is no such program here" : strerror(errno));
    _exit(127);
}

/* Takes what is there. false: the other end is closed, or there is no memory. */
static bool take(int file, struct said *said)
{
    char spare[4096];
    if (said->length + 1 == said->size && said->size < said->size_max) {
        char *more = realloc(said->text, said->size * 2);
        if (!more) {
            said->is_cut = true;
            return false;
        }
        said->text = more;
        said->size *= 2;
    }
    size_t room = said->size - 1 - said->length;
    ssize_t got = room ? read(file, said->text + said->length, room) : read(file, spare, sizeof spare);
    if (got < 0)
        return errno == EINTR;
    if (room)
        said->length += (size_t)got;
    else
        said->is_cut |= got > 0;
    said->text[said->length] = 0;
    return got > 0;
}

/* Both ends until they are closed; false: not in time. */
static bool listen_to(const int files[2], struct said *said[2], int64_t until_ms)
{
    struct pollfd polled[2] = {{.fd = files[0], .events = POLLIN}, {.fd = files[1], .events = POLLIN}};
    while (polled[0].fd >= 0 || polled[1].fd >= 0) {
        int64_t left = until_ms - now_ms();
        if (left <= 0)
            return false;
        if (poll(polled, 2, (int)left) < 0 && errno != EINTR)
            return false;
        for (int i = 0; i < 2; i++)
            if (polled[i].fd >= 0 && polled[i].revents && !take(polled[i].fd, said[i]))
                polled[i].fd = -1;
    }
    return true;
}

static void trim_end(struct said *said)
{
    while (said->length && strchr(" \t\r\n", said->text[said->length - 1]))
        said->text[--said->length] = 0;
}

/* No words if it did what it was to do. */
static void judge(const char *program, int status, bool is_late, unsigned seconds_max, struct said *said[2],
                  char *words, size_t size)
{
    trim_end(said[1]);
    if (is_late)
        snprintf(words, size, "%s did not end within %u s, and was killed", program, seconds_max);
    else if (WIFSIGNALED(status))
        snprintf(words, size, "%s was ended by signal %d", program, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        snprintf(words, size, "%s%s%s", said[1]->length ? "" : program,
                 said[1]->length ? said[1]->text : " failed, and said nothing",
                 said[1]->is_cut ? " ..." : "");
    else if (said[0]->is_cut)
        snprintf(words, size, "%s said more than %u MiB", program, CW_RUN_OUTPUT_MAX >> 20);
}

static bool make_pipes(int out[2], int err[2])
{
    if (pipe2(out, O_CLOEXEC) != 0)
        return false;
    if (pipe2(err, O_CLOEXEC) == 0)
        return true;
    close(out[0]);
    close(out[1]);
    return false;
}

/* Runs it to its end, or to ours. */
static void run_to_end(const char *const arguments[], unsigned seconds_max, struct said *said[2], char *words,
                       size_t size)
{
    int out[2], err[2], status = 0;
    if (!make_pipes(out, err)) {
        snprintf(words, size, "no pipe to %s: %s", arguments[0], strerror(errno));
        return;
    }
    pid_t parent = getpid(), child = fork();
    if (child == 0)
        become(arguments, out, err, parent);
    close(out[1]);
    close(err[1]);
    if (child > 0) {
        bool is_late =
            !listen_to((const int[2]){out[0], err[0]}, said, now_ms() + (int64_t)seconds_max * 1000);
        if (is_late) {
            kill(-child, SIGKILL); /* and whom it has started */
            kill(child, SIGKILL);
        }
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        judge(arguments[0], status, is_late, seconds_max, said, words, size);
    } else {
        snprintf(words, size, "%s could not be started: %s", arguments[0], strerror(errno));
    }
    close(out[0]);
    close(err[0]);
}

char *cw_run(const char *const arguments[], unsigned seconds_max, char *words, size_t size)
{
    struct said out = {.size = 4096, .size_max = CW_RUN_OUTPUT_MAX},
                err = {.size = STDERR_MAX, .size_max = STDERR_MAX};
    words[0] = 0;
    out.text = calloc(1, out.size);
    err.text = calloc(1, err.size);
    if (out.text && err.text)
        run_to_end(arguments, seconds_max, (struct said *[2]){&out, &err}, words, size);
    else
        snprintf(words, size, "no memory to run %s", arguments[0]);
    free(err.text);
    if (!words[0])
        return out.text;
    free(out.text);
    return NULL;
}
