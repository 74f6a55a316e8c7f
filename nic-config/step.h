/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One change of a machine: what of, to what, and why. The plan makes them, apply does them, the journal keeps them with
 * what was there before, revert undoes them. README.md has the table of kinds and their undos.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nic-config/facts.h"

#define CW_STEP_SUBJECT 192u
#define CW_STEP_VALUE   4096u /* of a file: all of it */
#define CW_STEP_WHY     512u

enum cw_step_kind {
    /* subject: a file of /sys or /proc; value: what is written. Of an interrupt (/proc/irq/N/smp_affinity_list) that is gone
     * by then, or that the kernel does not let be moved: done, and said */
    CW_STEP_WRITE,
    /* subject: a module; value: its parameters, or "" */
    CW_STEP_MODULE,
    /* subject: an interface; value: "". Its addresses, routes, mtu and flags go into the journal */
    CW_STEP_GIVE_UP,
    /* subject: a device of PCI; value: a driver */
    CW_STEP_BIND,
    /* subject: an interface; value: a number of combined queues */
    CW_STEP_CHANNELS,
    /* subject: an interface; value: a number */
    CW_STEP_MTU,
    /* subject: a file; value: its content */
    CW_STEP_FILE,
    /* subject: a symbolic link; value: where to */
    CW_STEP_LINK,
    CW_STEP_COUNT
};
extern const char *const cw_step_names[CW_STEP_COUNT];

struct cw_step {
    enum cw_step_kind kind;
    char subject[CW_STEP_SUBJECT];
    char value[CW_STEP_VALUE];
    char why[CW_STEP_WHY];
    /* The interface that appears again when this device is the kernel's again, for BIND: what GIVE_UP kept is put back
     * then. "" none. */
    char interface[CW_INTERFACE_NAME];
};

/* What a step is to an administrator: a line for the plan, the same as commands that do it by hand, and as commands that
 * undo it (with what is there now, by the facts). Cut where there is no room. Pure. */
void cw_step_words(const struct cw_step *step, char *words, size_t size);
void cw_step_commands(const struct cw_step *step, char *words, size_t size);
void cw_step_undo_commands(const struct cw_step *step, const struct cw_facts *facts, char *words,
                           size_t size);
/* It is undone by a reboot, and has to be done again after one. */
bool cw_step_is_volatile(const struct cw_step *step);
