/* SPDX-License-Identifier: BSD-3-Clause */
/* What the commands say: words for people, or with --json one object on stdout; and the wish to stop. */
#pragma once

#include "nic-config/commands.h"

/* On the way; nothing with --json. */
void cw_nic_tell(const struct cw_nic_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The outcome: returns exit. */
int cw_nic_say(const struct cw_nic_command *command, int exit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* more: what else the object of --json has; taken, may be NULL. */
int cw_nic_say_with(const struct cw_nic_command *command, int exit, json_t *more, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, of words of any length. */
int cw_nic_say_text(const struct cw_nic_command *command, int exit, json_t *more, const char *words);
/* Words as JSON; a name of the machine in them may be no UTF-8: other than ASCII is ? then. */
json_t *cw_nic_words(const char *words);

/* Between begin and end SIGINT, SIGTERM and SIGHUP wait until a step is over, here and in programs that it runs. */
void cw_stop_begin(void);
bool cw_stop_is_asked(void);
void cw_stop_end(void);
