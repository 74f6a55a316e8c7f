/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a takeover may have lost, as far as that can be told at the takeover: pure. Facts go in (what the
 * taker holds, what the old primary said last and when), a bound and words come out. What is known is kept
 * apart from what is only likely:
 *
 *   writes   at most so many had been given out, and are not here, when the old primary was last heard
 *   after    it was not heard any more for so long; going on as fast as before it can have written so many
 *
 * The exact list comes from the old primary's journal, when it is back (salvage files).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/decide.h"

enum cw_loss_kind {
    CW_LOSS_NONE = 0, /* every acknowledged write is here, and words say why */
    CW_LOSS_BOUNDED,
    CW_LOSS_UNKNOWN, /* nothing was heard of the old primary's reign */
    CW_LOSS_KIND_COUNT
};
const char *cw_loss_kind_name(enum cw_loss_kind kind);

/* A word of the old primary. */
struct cw_loss_word {
    bool is_known;
    uint64_t head;       /* the last sequence that it had given out */
    double age_seconds;  /* at the takeover */
    double lag_seconds;  /* between the newest write that is here and that word; negative: not known */
    bool is_bytes_known; /* the next one: payload that was not here */
    uint64_t lag_bytes;
    double writes_per_second, bytes_per_second; /* 0: not known */
};

struct cw_loss_facts {
    const char *site, *from; /* who takes over, from whom */
    enum cw_mode_word mode;
    uint64_t held; /* the taker has every record up to here */
    bool is_handed_over, is_member, has_reached_member;
    bool is_inconsistent;       /* what is opened is no prefix */
    struct cw_loss_word heard;  /* by the taker's engine */
    struct cw_loss_word status; /* by its controller, once a second */
};

struct cw_loss {
    enum cw_loss_kind kind;
    uint64_t head;   /* of the last word */
    uint64_t writes; /* at most, as of it */
    uint64_t bytes;  /* about */
    double seconds;  /* that these reach back before it; negative: not known */
    double silent_seconds;
    bool is_rate_known;
    uint64_t after_writes, after_bytes; /* about */
    char words[640];
};

void cw_loss_judge(const struct cw_loss_facts *facts, struct cw_loss *loss);
