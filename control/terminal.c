/* SPDX-License-Identifier: BSD-3-Clause */
/* Words for people, on a terminal with colour and progress, in a pipe plainly; or JSON. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "control/cli.h"

static bool has_progress;

bool cw_has_colour(void)
{
    const char *no_colour = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && !(no_colour && *no_colour);
}

/* more: what else the object has, or NULL. */
static void print_outcome(int exit, const char *words, json_t *more)
{
    json_t *outcome =
        json_pack("{s:b,s:i,s:s}", "ok", exit == 0, "exit", exit, exit ? "error" : "words", words);
    if (more)
        json_object_update(outcome, more);
    json_dumpf(outcome, stdout, JSON_COMPACT | JSON_REAL_PRECISION(CW_JSON_DIGITS));
    putchar('\n');
    json_decref(outcome);
}

int cw_done(const struct cw_cli *cli, const char *format, ...)
{
    char words[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    return cw_done_with(cli, NULL, "%s", words);
}

int cw_done_with(const struct cw_cli *cli, json_t *more, const char *format, ...)
{
    char words[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    cw_progress_end();
    if (cli->is_json)
        print_outcome(0, words, more);
    else if (words[0])
        printf("%s\n", words);
    json_decref(more);
    return CW_EXIT_DONE;
}

int cw_failed(const struct cw_cli *cli, int exit, const char *format, ...)
{
    char words[1400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    return cw_failed_with(cli, exit, NULL, "%s", words);
}

int cw_failed_with(const struct cw_cli *cli, int exit, json_t *more, const char *format, ...)
{
    char words[1400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    cw_progress_end();
    if (cli->is_json)
        print_outcome(exit, words, more);
    else
        fprintf(stderr, "causeway: %s%s\n", exit == CW_EXIT_REFUSED ? "refused: " : "", words);
    json_decref(more);
    return exit;
}

/* What fits on a line: one that wraps cannot overwrite itself. */
static int line_width(void)
{
    struct winsize size;
    bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return is_known ? size.ws_col - 1 : 79;
}

void cw_progress(const struct cw_cli *cli, const char *format, ...)
{
    char words[512];
    if (!isatty(STDERR_FILENO) || cli->is_json)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\r\033[K%.*s", line_width(), words);
    fflush(stderr);
    has_progress = true;
}

void cw_progress_end(void)
{
    if (has_progress)
        fprintf(stderr, "\r\033[K");
    has_progress = false;
}

void cw_pause_ms(int milliseconds)
{
    struct timespec pause = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000l};
    nanosleep(&pause, NULL);
}

uint64_t cw_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

const char *cw_size_words(double bytes, char *text, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, size, bytes < 10 && unit > 0 && bytes != (int)bytes ? "%.1f %s" : "%.0f %s", bytes,
             units[unit]);
    return text;
}
