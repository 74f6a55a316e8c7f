/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Facts and a wish → what is to be done, in order; what is refused; what should be known. Pure: the same facts and the
 * same wish give the same plan, byte for byte.
 *
 * Steps are in the order in which they are done: modules, memory, then path by path (interface given up, virtual
 * functions made, driver changed, queues, mtu), interrupts moved, then files (prepared paths, the unit and its link) last,
 * so that an engine finds a prepared path only when all below it is there. What is already as it is wanted is no step.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "nic-config/facts.h"
#include "nic-config/step.h"
#include "nic-config/wish.h"

#define CW_STEPS_MAX    160u
#define CW_REFUSALS_MAX 32u
#define CW_WARNINGS_MAX 48u
#define CW_NOTES_MAX    32u

struct cw_refusal {
    char path[CW_PATH_NAME];  /* "" of all */
    char words[CW_STEP_WHY];  /* why */
    char remedy[CW_STEP_WHY]; /* what to do, and what to write under force: if it may be forced */
};

/* What the engine is told of a path: prepared.h writes it. */
struct cw_prepared {
    char name[CW_PATH_NAME];
    char device[256]; /* as DPDK's -a or --vdev takes it */
    char card[CW_PCI_ADDRESS], interface[CW_INTERFACE_NAME];
    char driver[CW_DRIVER_NAME];
    bool is_shared; /* the kernel keeps the interface: shared: true */
    int32_t node;
    uint32_t queues, mtu, vlan;
};

struct cw_plan {
    struct cw_step steps[CW_STEPS_MAX];
    uint32_t step_count;
    struct cw_refusal refusals[CW_REFUSALS_MAX];
    uint32_t refusal_count;
    char warnings[CW_WARNINGS_MAX][CW_STEP_WHY];
    uint32_t warning_count;
    char notes[CW_NOTES_MAX][CW_STEP_WHY]; /* what was chosen, and why: a card by its speed, a driver, CPUs */
    uint32_t note_count;
    struct cw_prepared prepared[CW_WISH_PATHS_MAX];
    uint32_t prepared_count;
    uint32_t awaited_count; /* paths that are left out until their interface is there: notes say which */
    uint32_t lcores[CW_WISH_LCORES_MAX];
    uint32_t lcore_count;
    bool is_cut; /* there was no room for all steps: nothing may be applied */
};

#define CW_NIC_STATE    "/var/lib/causeway/nic"
#define CW_NIC_PREPARED "/run/causeway/nic"
#define CW_NIC_UNITS    "/etc/systemd/system"

/* Where what outlives the command goes; the tests have others. */
struct cw_nic_folders {
    char state[CW_FACT_PATH];    /* journal, wish, lock */
    char prepared[CW_FACT_PATH]; /* what the engine reads */
    char units[CW_FACT_PATH];
    char program[CW_FACT_PATH]; /* of causeway-nic, for the units */
};

/* plan is about 800 KiB: the caller's, not on a stack. A path that is refused has no steps and is not prepared, the others
 * have theirs: a plan with refusals is for reading, and not applied. */
void cw_plan_make(const struct cw_facts *facts, const struct cw_wish *wish,
                  const struct cw_nic_folders *folders, struct cw_plan *plan);

/* As an administrator reads it: steps with why, do and undo; refusals with remedies; warnings; what is prepared. */
void cw_plan_print(const struct cw_plan *plan, const struct cw_facts *facts, FILE *out);
/* The same for programs; the caller's to decref. */
json_t *cw_plan_json(const struct cw_plan *plan, const struct cw_facts *facts);
