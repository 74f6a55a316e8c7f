/* SPDX-License-Identifier: BSD-3-Clause */
/* The machine itself, for apply, revert and boot. */
#include <stdio.h>
#include <string.h>

#include "io/users.h"
#include "nic-config/commands.h"
#include "nic-config/probe.h"
#include "nic-config/steps_private.h"

static void boot_id(char *id, size_t size)
{
    if (cw_text_read("/proc/sys/kernel/random/boot_id", id, size) != 0)
        id[0] = 0;
}

/* Of cards that the kernel has given away: the others have a step, before which it is asked. */
static void probe_users(struct cw_facts *facts)
{
    char folder[64];
    for (uint32_t i = 0; i < facts->card_count; i++) {
        struct cw_card_fact *card = &facts->cards[i];
        if (card->bus != CW_BUS_PCI || cw_driver_use(card->driver) != CW_DRIVER_FOR_PROGRAMS)
            continue;
        snprintf(folder, sizeof folder, "/sys/bus/pci/devices/%s", card->address);
        if (!cw_users_of_card(folder, card->user, sizeof card->user))
            card->user[0] = 0;
    }
}

static void probe(const struct cw_nic_command *command, struct cw_facts *facts)
{
    struct cw_machine machine = {.root = ""};
    snprintf(machine.root, sizeof machine.root, "%s", command->root);
    cw_probe(&machine, facts);
    cw_probe_files(&machine, command->folders.prepared, command->folders.units, facts);
    if (command->root[0])
        return;
    cw_probe_program(command->folders.program, facts);
    probe_users(facts);
}

static void print_plan(const struct cw_plan *plan, const struct cw_facts *facts, bool is_json)
{
    if (!is_json) {
        cw_plan_print(plan, facts, stdout);
        return;
    }
    json_t *json = cw_plan_json(plan, facts);
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

const struct cw_nic_hands cw_nic_hands = {
    .boot_id = boot_id,
    .read_wish = cw_wish_read,
    .probe = probe,
    .plan = cw_plan_make,
    .print_plan = print_plan,
    .keep = cw_step_keep,
    .is_done = cw_step_is_done,
    .make = cw_step_do,
    .undo = cw_step_undo,
    .is_used = cw_step_is_used,
};
