/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `causeway explain GROUP`: the state of a group in words for somebody who was woken up by it: what it is and
 * why, who holds it, what each replica lacks and waits for, what happens next by itself, what would be if the
 * primary's site burned now, and what to type. Pure: facts in, lines out; every yes and every refusal in it
 * is the verdict that the command itself would get at this moment (decide.h), with its words.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "control/health.h"

#define CW_EXPLAIN_TEXT      720u
#define CW_EXPLAIN_COMMAND   160u
#define CW_EXPLAIN_LINES_MAX 64u

enum cw_explain_state {
    CW_STATE_IN_SYNC = 0,
    CW_STATE_STREAMING,
    CW_STATE_RESYNC,
    CW_STATE_AWAY,
    CW_STATE_DIVERGED
};

struct cw_explain_replica {
    const char *site;
    enum cw_explain_state state; /* as status tells it */
    const char *reason;          /* as status tells it; "" */
    bool is_heard;
    double age_seconds; /* since its site was last heard; below 0: never */
    const char *lacks;  /* a volume that it could not make or open; NULL: none */
    bool is_member, is_stalled, needs_copy, is_reachable;
    bool is_lag_known;
    double lag_seconds;
    uint64_t lag_bytes;
    double copy_done_bytes, copy_total_bytes, copy_eta_seconds; /* RESYNC */
    bool is_told; /* its engine said enough for the next three */
    struct cw_verdict promote, promote_loss, switchover;
    bool is_ready;           /* automatic: it says that it would take over */
    const char *ready_words; /* what it says about that; "" */
};

struct cw_explain_facts {
    const char *group, *site; /* site: who tells */
    enum cw_mode_word mode;
    struct cw_health health;
    const char *lacks;          /* the holder, as of a replica */
    const char *holder, *first; /* holder "": never opened; with an epoch, a rebuilt store does not know it */
    uint64_t epoch;
    double holder_for_seconds; /* since that epoch was opened; below 0: not known */
    bool is_holder_heard, is_open, is_frozen, is_opening;
    double holder_age_seconds;
    const char *down_words; /* of a holder that is heard and not open; "" */
    double lease_seconds;
    double lease_left_seconds; /* by the holder's last word; below 0: not known */
    double taker_wait_seconds; /* until a lease that nobody renews has run out, as seen here */
    bool is_let_go;            /* the holder has confirmed that it answers nothing any more */
    const char *taker;         /* who asks for it now; "" */
    const char *store, *store_fault, *store_trouble;
    const char *older_words; /* the store is older than what an engine has seen; "": it is not */
    bool is_embedded;
    const char *unreadable; /* a row of this group in the store that cannot be read, in words; "": none */
    const char *book_wrong; /* why events and audit are in memory at this site; "": they are not */
    bool is_store_full;     /* it answers what is read, and takes no changes, as store_trouble says */
    double store_silent_seconds;
    const char *votes; /* in words, as of now */
    bool has_votes;    /* a majority answers */
    bool is_outside;   /* taken over by operators' tokens, and not yet in the store */
    /* Why the store has not got it though it answers; "": it has, or it is silent. */
    const char *outside_trouble;
    uint32_t break_glass; /* so many operators may promote without a quorum; 0: that is not set up */
    uint32_t min_in_sync;
    double max_loss_seconds;
    bool is_automatic;
    double after_seconds;
    const char *burn_words, *burn_command; /* of the loss of the holder's site (survival.h) */
    bool is_burn_good;
    uint32_t replica_count;
    struct cw_explain_replica replicas[CW_SET_MAX];
};

enum cw_explain_section {
    CW_EXPLAIN_NOW = 0,
    CW_EXPLAIN_REPLICAS,
    CW_EXPLAIN_NEXT,
    CW_EXPLAIN_BURNS,
    CW_EXPLAIN_TYPE,
    CW_EXPLAIN_SECTIONS
};

struct cw_explain_line {
    enum cw_explain_section section;
    char text[CW_EXPLAIN_TEXT];
    char command[CW_EXPLAIN_COMMAND]; /* ""; else it stands below the text, to be typed as it is */
};

struct cw_explanation {
    enum cw_health_level health;
    char group[CW_NAME_SIZE], holder[CW_NAME_SIZE];
    char why[CW_EXPLAIN_TEXT]; /* of the state, one sentence; "" */
    uint32_t count;
    struct cw_explain_line lines[CW_EXPLAIN_LINES_MAX];
};

void cw_explain(const struct cw_explain_facts *facts, struct cw_explanation *explanation);

/* "now", "replicas", "next", "burns", "type" */
const char *cw_explain_section_name(enum cw_explain_section section);

/* explain_print.c: as it is read. width 0: lines are not broken. */
void cw_explain_print(FILE *to, const struct cw_explanation *explanation, unsigned width, bool has_colour);
