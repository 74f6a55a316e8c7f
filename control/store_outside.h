/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A store around another one, for the time in which the other has no quorum: what operators' tokens have
 * promoted here (break_glass.h) is held by this site's own word, in a file, until the store takes it over.
 *
 *   (none) --permit--> PERMITTED --swap to the permitted epoch, into the file--> HELD --> (none)
 *                          '--> (none): withdrawn, or the store answers
 *   HELD --the store answers, into the file--> HELD, handing over --swap in the store--> (none)
 *   HELD ends when the store has taken it over, or has a higher epoch.
 *
 * All else goes to the store inside, as it is. So whoever uses a store need not know of any of this: a claim,
 * a change of the set, a renewal of a group that is held outside come to the file by the same rules
 * (decide.h), one that is not goes to the store, and fails while that is silent.
 *
 * When the store answers again, the row of the file goes into it at once, over whatever row of a lower epoch
 * is there, and without waiting for a lease: who holds that lower epoch was stated to be dead, and if it is
 * not, its next renewal fails. A row of a higher epoch, or of this one and another reign, ends what is held
 * here: it is told, and the engine is fenced by that.
 *
 * Nothing is handed over to a store of which this site has not found that it is worked with (it may be an
 * older one that was put back, or be rebuilt just now): cw_outside_trust. That it has a higher epoch counts all
 * the same.
 *
 * That it is being handed over, with the row that the store had, is in the file before the row is in the
 * store; if that cannot be written, nothing is handed over, and it is told. From then on the row here does
 * not change, and is not renewed here: the store may have it, whatever became of its answer. So after a
 * crash, or when the file could not be written later, a row of this reign that differs is the store's own and
 * stays.
 * Where the file does not say so (it came back from a copy), who is in one of the two sets only is no member.
 *
 * The other way round (hold_ms, where tokens are configured): another site may have been promoted outside
 * while this one was cut off, and the store does not say so before that site has reached it. So for a while
 * after the store was silent for longer than a lease nothing is renewed here, and neither then nor for as
 * long after a start is anything opened. That is time for the other site, not proof: it must reach the store
 * within it.
 *
 * Written first, then believed: the file is synced before a swap is answered. One thread, as every store.
 */
#pragma once

#include "control/break_glass.h"
#include "control/store.h"

struct cw_outside_options {
    const char *file, *site; /* kept: they outlive the store */
    uint64_t hold_ms;        /* 0: none */
    uint64_t lease_ms;
    /* Something to be told: level as of events. */
    void (*tell)(void *context, int level, uint32_t group, const char *words);
    void *context;
};

/* Takes the inner one; NULL, with words, when the file is there and is not what it should be: then it is
 * closed. */
struct cw_store *cw_store_open_outside(struct cw_store *inner, const struct cw_outside_options *options,
                                       char *why, size_t why_size);

/* The rest is of any store: of one that is no such, nothing is held, and nothing permitted (CW_INVALID).
 */

/* The tokens were good: this group may be claimed here in this epoch. CW_REFUSED: the store answers. */
enum cw_status cw_outside_permit(struct cw_store *store, uint32_t group, uint64_t epoch,
                                 const struct cw_token_mark *marks, uint32_t count) CW_MUST_CHECK;
void cw_outside_withdraw(struct cw_store *store, uint32_t group);
/* In which epoch the group may be claimed; 0: not permitted, or claimed already. */
uint64_t cw_outside_permitted(struct cw_store *store, uint32_t group);
/* Is the store inside worked with? Until that is said, nothing is handed over to it. */
void cw_outside_trust(struct cw_store *store, bool is_trusted);
/* The store inside of it; of any other, itself. */
struct cw_store *cw_outside_inner(struct cw_store *store);
bool cw_outside_is_held(struct cw_store *store, uint32_t group);
/* Why the store, which answers, has not got what is held here, and what to do; "": it has, or it is silent. */
const char *cw_outside_trouble(struct cw_store *store, uint32_t group, char *words, size_t size);
/* Of tokens that were used here, borrowed. */
const struct cw_token_mark *cw_outside_used(struct cw_store *store, uint32_t *count);
