/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who works with what a step changes: whoever drives the card of a BIND, or has a port on the interface of the others. A
 * kernel that is told to take away a card which is open waits until it is closed; an interface it takes from under a
 * running engine, or its queues and the length of its frames.
 */
#include <stdio.h>

#include "io/users.h"
#include "nic-config/steps.h"

static bool has_users(const struct cw_step *step, char *words, size_t size)
{
    char card[CW_STEP_SUBJECT + 32];
    switch (step->kind) {
    case CW_STEP_BIND:
        snprintf(card, sizeof card, "/sys/bus/pci/devices/%s", step->subject);
        return cw_users_of_card(card, words, size);
    case CW_STEP_GIVE_UP:
    case CW_STEP_CHANNELS:
    case CW_STEP_MTU:
        return cw_users_of_interface(step->subject, words, size);
    default:
        words[0] = 0;
        return false;
    }
}

bool cw_step_is_used(const struct cw_step *step, char *words, size_t size)
{
    char who[CW_FACT_WORDS];
    bool is_used = has_users(step, who, sizeof who);
    if (is_used)
        snprintf(words, size, "%s: %s", step->subject, who);
    else
        snprintf(words, size, "%s", who);
    return is_used;
}
