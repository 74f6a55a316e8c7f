/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine that is asked: this one, or a recorded one below a root. The only door through which the probe looks.
 *
 * A recorded machine is a folder with the files of /sys, /proc and /etc that matter, and `answers/`: what programs said
 * (answers/ip-link.json for `ip -json -details link`, …; machine.c has the list) and, in answers/ethtool.json and
 * answers/pmds.json, what ethtool's ioctl and the drivers of DPDK say. Blocking; any thread, one at a time.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct cw_machine {
    char root[192]; /* "" this machine */
};

/* A file's text without the end of its last line; at most size - 1 bytes (cut: CW_RANGE). CW_NOT_FOUND, CW_REFUSED (no
 * rights), CW_IO. The path is absolute. */
enum cw_status cw_machine_text(const struct cw_machine *machine, const char *path, char *text,
                               size_t size) CW_MUST_CHECK;
/* The last part of what a symbolic link names: the driver of a device. */
enum cw_status cw_machine_link(const struct cw_machine *machine, const char *path, char *name,
                               size_t size) CW_MUST_CHECK;
bool cw_machine_has(const struct cw_machine *machine, const char *path);
/* Calls take for each name in a folder, in order of their bytes, without . and ..; false: no such folder. */
bool cw_machine_list(const struct cw_machine *machine, const char *folder,
                     void (*take)(void *context, const char *name), void *context);
/* The answer of a program as JSON, or of `answers/NAME.json`; NULL with words in why. The caller's to decref. */
json_t *cw_machine_ask(const struct cw_machine *machine, const char *name, const char *const arguments[],
                       char *why, size_t why_size);
