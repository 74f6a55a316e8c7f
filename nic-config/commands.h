/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands that change a machine: apply, revert, boot. Each returns an exit code, everything said.
 *
 * What they stand on is a table, so that in tests it is a small machine in memory.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "nic-config/journal.h"
#include "nic-config/plan.h"
#include "nic-config/steps.h"

enum { CW_NIC_DONE = 0, CW_NIC_FAILED = 1, CW_NIC_USAGE = 2, CW_NIC_REFUSED = 3 };

struct cw_nic_command;

/* All required; as steps.h, probe.h, plan.h and wish.h say. */
struct cw_nic_hands {
    void (*boot_id)(char *id, size_t size); /* "" cannot be read */
    bool (*read_wish)(const char *file, const char *text, size_t length, struct cw_wish *wish, char *mistakes,
                      size_t mistakes_size);
    void (*probe)(const struct cw_nic_command *command, struct cw_facts *facts);
    void (*plan)(const struct cw_facts *facts, const struct cw_wish *wish,
                 const struct cw_nic_folders *folders, struct cw_plan *plan);
    void (*print_plan)(const struct cw_plan *plan, const struct cw_facts *facts, bool is_json);
    json_t *(*keep)(const struct cw_step *step, char *words, size_t size);
    bool (*is_done)(const struct cw_step *step, char *words, size_t size);
    enum cw_status (*make)(const struct cw_step *step, char *words, size_t size);
    enum cw_status (*undo)(const struct cw_step *step, const json_t *before, enum cw_step_left left,
                           char *words, size_t size);
    bool (*is_used)(const struct cw_step *step, char *words, size_t size);
};
extern const struct cw_nic_hands cw_nic_hands; /* the machine itself */

struct cw_nic_command {
    const struct cw_nic_hands *hands;
    struct cw_nic_folders folders;
    const char *root; /* of a recorded machine, for show and plan; "" this one */
    bool is_root, is_yes, is_json;
    uint32_t
        lock_tries; /* how many tenths of a second boot waits for one who has the journal; others, at most ten */
    bool is_forget; /* of revert: what is gone is given up, with what was kept of it */
};

int cw_nic_plan(const struct cw_nic_command *command, const char *wish_file);
/* Without --yes the same as plan. */
int cw_nic_apply(const struct cw_nic_command *command, const char *wish_file);
/* Without --yes: what it would undo. */
int cw_nic_revert(const struct cw_nic_command *command);
/* After a reboot, by the unit: what it has undone is done again. */
int cw_nic_boot(const struct cw_nic_command *command);
/* When the network is configured, by another unit: what had to wait for that, or was changed by it. */
int cw_nic_boot_late(const struct cw_nic_command *command);
