/* SPDX-License-Identifier: BSD-3-Clause */
#include "nic-config/say.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

void cw_nic_tell(const struct cw_nic_command *command, const char *format, ...)
{
    va_list arguments;
    if (command->is_json)
        return;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
}

json_t *cw_nic_words(const char *words)
{
    char plain[2048];
    json_t *value = json_string(words);
    if (value)
        return value;
    snprintf(plain, sizeof plain, "%s", words);
    for (char *at = plain; *at; at++)
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    return json_string(plain);
}

int cw_nic_say_text(const struct cw_nic_command *command, int exit, json_t *more, const char *words)
{
    if (command->is_json) {
        json_t *outcome = json_pack("{s:b,s:i,s:o}", "ok", exit == 0, "exit", exit, exit ? "error" : "words",
                                    cw_nic_words(words));
        if (more)
            json_object_update(outcome, more);
        json_dumpf(outcome, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(outcome);
    } else if (exit == CW_NIC_DONE) {
        printf("%s\n", words);
    } else {
        fflush(stdout);
        fprintf(stderr, "causeway nic: %s%s\n", exit == CW_NIC_REFUSED ? "refused: " : "", words);
    }
    json_decref(more);
    return exit;
}

int cw_nic_say(const struct cw_nic_command *command, int exit, const char *format, ...)
{
    char words[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    return cw_nic_say_text(command, exit, NULL, words);
}

int cw_nic_say_with(const struct cw_nic_command *command, int exit, json_t *more, const char *format, ...)
{
    char words[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    return cw_nic_say_text(command, exit, more, words);
}

/* ---------------------------------------------------------------- the wish to stop */

static sigset_t held, mask_before;

/* Held back, not caught: what a step runs (ip, modprobe) is not cut short by a Ctrl-C on the same terminal either. One
 * that is ignored (nohup) stays so. */
void cw_stop_begin(void)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP};
    sigemptyset(&held);
    for (unsigned i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct sigaction now;
        if (sigaction(wanted[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(&held, wanted[i]);
    }
    sigprocmask(SIG_BLOCK, &held, &mask_before);
}

bool cw_stop_is_asked(void)
{
    sigset_t now;
    return sigpending(&now) == 0 && ((sigismember(&now, SIGINT) == 1 && sigismember(&held, SIGINT) == 1) ||
                                     (sigismember(&now, SIGTERM) == 1 && sigismember(&held, SIGTERM) == 1) ||
                                     (sigismember(&now, SIGHUP) == 1 && sigismember(&held, SIGHUP) == 1));
}

void cw_stop_end(void)
{
    const struct timespec at_once = {0};
    while (sigtimedwait(&held, NULL, &at_once) > 0)
        ; /* it was heard: the exit code tells of it, not the signal */
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
}
