/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine of a few values, below apply, revert and boot: each step changes one value in two halves. It is in memory that
 * is shared with children, so that a command can be killed at each of its points: at each call that touches the disk
 * (the calls go by way of here), and within each step.
 */
#pragma once

#include <stdint.h>

#include "nic-config/commands.h"

#define FAKE_VALUES 6u
#define FAKE_KILLED 77 /* exit code of a child that was killed at its point */
#define FAKE_OTHER  7000
#define FAKE_BARE   1

enum { FAKE_GIVE_UP = 2, FAKE_BIND = 3 }; /* among the values */

struct fake_value {
    int first;  /* that the machine starts with */
    int wanted; /* by the wish */
    int now;
    bool is_half;
    uint32_t boot;  /* in which it was changed last; 0: it is not */
    uint32_t turn;  /* the how-manieth change it was */
    uint32_t makes; /* how often */
};

enum fake_fault {
    FAKE_NO_FAULT,
    FAKE_KILL,     /* the process ends at the point */
    FAKE_FAIL,     /* the call there fails with EIO */
    FAKE_FAIL_ALL, /* and all that follow */
    FAKE_FULL      /* from there on nothing new can be written: ENOSPC */
};

struct fake {
    struct fake_value values[FAKE_VALUES];
    uint32_t count; /* of values that are there: steps of a plan */
    uint32_t boot, turns;
    uint32_t points; /* passed by the last command */
    enum fake_fault fault;
    uint32_t fault_at;
    uint32_t is_stuck;             /* the step of which nothing can be done, from 1; 0 none */
    uint32_t fail_make, fail_undo; /* the step that fails, from 1; 0 none */
    uint32_t signal_in;            /* the step in which signal comes, from 1 */
    int signal;
    uint16_t device; /* of the card */
    bool is_refused, is_order_free;
    bool is_used, is_use_unknown; /* of the card; of everything */
    bool is_read_only;            /* the file system of the state */
    uint32_t refusals;            /* how many more, each as long as three lines */
    bool is_card_gone;            /* neither it nor its interface can be undone */
    char given[CW_PCI_ADDRESS];   /* to the last plan, of wan0; and */
    bool may_wait;
    bool has_no_card;                     /* wan0 is on an interface without one, and waits while it may */
    bool starts_bare;                     /* after a reboot the interface has nothing that somebody gave it */
    uint32_t wrong;                       /* line of what must not happen; 0 */
    enum cw_step_left lefts[FAKE_VALUES]; /* that undo was told last */
    struct fake_synced {
        uint64_t file;
        uint32_t size;
    } synced[2]; /* the last that was, of the journal and of its marks */
    int gate[2]; /* of the first make: a byte is written to gate[1] of it, one is waited for from back[0] */
    int back[2];
    bool has_gate;
};

extern struct fake *fake;
extern const struct cw_nic_hands fake_hands;
extern char fake_folder[64]; /* of the test; state is in it */
extern struct cw_nic_command fake_command;

/* cmocka's setup and teardown. */
int fake_begin(void **state);
int fake_end(void **state);
void fake_write_wish(const char *name, const char *text);
/* A command in a child of its own; its exit code, or FAKE_KILLED. */
int fake_run(const char *what);
/* The same with a fault at a point, from 1. */
int fake_run_with(const char *what, enum fake_fault fault, uint32_t at);
/* The values that a reboot resets are reset; with is_power_loss what was not synced of the journal is gone. */
void fake_reboot(bool is_power_loss);
bool fake_is_first(void);
bool fake_is_wanted(void);
bool fake_has_state(void);
/* What the last child has said. */
const char *fake_said(void);
