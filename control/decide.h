/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may hold a group: the rules over epoch, holder, lease counter, set and fence. Pure: what the store has
 * and what was seen when go in, a verdict and the next row come out. Every store (embedded, or in etcd)
 * offers only "write this row if that one still stands and the holder's counter has not moved"; all thinking
 * is here.
 *
 *   nobody --claim--> held(E, S) --renew, set--> held(E, S) --claim by S--> held(E+1, S)
 *                        | fence confirmed, or counter unchanged for lease * 1.01
 *                        '--claim by T--> held(E+1, T)
 *
 * Why at most one engine acknowledges: an engine acknowledges until (its clock before a renewal request) +
 * lease * 0.99 - 100 ms, and the renewal moved the counter after that clock was read. A taker writes only if
 * the counter it first saw at its own time t still stands in the store, and its clock says t + lease * 1.01:
 * so the last renewal was before t, and clocks that differ by less than 1 % in rate cannot disagree. A
 * renewal that comes later compares the epoch and is refused. --accept-loss changes who may take, never this
 * wait.
 *
 * The store may be older than the data: restored from a backup. No engine's history has an epoch that the
 * store never had, so what engines have seen speaks against such a row: nothing is claimed from it but by
 * somebody who accepts the loss by hand, and then not before the lease of whoever it knew has run out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_NAME_SIZE 32u
#define CW_SET_MAX   8u

/* What identifies a holder of data; hexadecimal words as the engine says them. site "": nobody. */
struct cw_member {
    char site[CW_NAME_SIZE];
    char boot_id[40];
    char journal_id[40];
    char process_start[24];
    /* Writes were acknowledged that it may hold in memory only: it counts as the same process alone, in
     * whatever mode the group is now. Set when a group leaves semi-sync, gone when it is recorded anew. */
    bool in_memory;
};

struct cw_set {
    uint32_t count;
    struct cw_member list[CW_SET_MAX]; /* by site name */
};

/* One row a group. */
struct cw_authority {
    uint64_t epoch; /* 0: never opened. Without a holder: a rebuilt store does not know who that was */
    uint64_t reign;
    char holder[CW_NAME_SIZE];
    uint64_t first_sequence;
    struct cw_set set;         /* the in-sync set, holder included */
    uint64_t fenced_epoch;     /* the engine of this epoch has confirmed that it answers nothing any more */
    struct cw_member handover; /* drained to it before that fence: it has everything */
    /* The epoch that an automatic failover opened, and the group has not come to rest since; 0: there is
     * none. While it stands there is no second one. */
    uint64_t automatic_epoch;
};

/* It was open, and who held it last is not known: its store was rebuilt (rebuild.h). */
static inline bool cw_authority_is_unknown(const struct cw_authority *authority)
{
    return authority->holder[0] == 0 && authority->epoch != 0;
}

/* What one controller has seen of a holder's lease counter, on its own monotonic clock. */
struct cw_lease_watch {
    bool is_seen;
    uint64_t epoch;
    uint64_t counter;
    uint64_t since_ns; /* read after the counter was */
};

enum cw_mode_word { CW_WORD_ASYNC = 0, CW_WORD_SEMI_SYNC, CW_WORD_SYNC, CW_WORD_NETWORK_SYNC, CW_WORD_COUNT };
/* Has it an in-sync set? In the others a replica that is promoted may lack what was acknowledged. */
static inline bool cw_mode_word_has_set(enum cw_mode_word mode)
{
    return mode == CW_WORD_SEMI_SYNC || mode == CW_WORD_SYNC;
}
enum cw_image_word { CW_WORD_WHOLE = 0, CW_WORD_COPYING, CW_WORD_BROKEN };

enum cw_answer { CW_ANSWER_YES = 0, CW_ANSWER_LATER, CW_ANSWER_NO };
struct cw_verdict {
    enum cw_answer answer;
    uint64_t wait_ms; /* LATER: at least so long */
    bool is_older; /* NO, since the row is older than the data. One that was read may be behind: ask for it */
    char words[480]; /* NO: why, and what would make it safe */
};

/* Who asks, as its engine reports itself now. */
struct cw_candidate {
    const char *group; /* name, for words */
    struct cw_member identity;
    enum cw_mode_word mode;
    enum cw_image_word image;
    bool has_old_image; /* COPYING: the whole image of before stands beside the copy */
    uint64_t old_sequence, old_age_seconds;
    bool is_foreign;          /* began with other data than the group has and was never copied in full */
    bool is_first;            /* the configured first primary: may open what was never open */
    char lacks[CW_NAME_SIZE]; /* a volume that could not be made here: its new primary would not serve it */
    bool accept_loss;
    bool inconsistent;
    bool is_automatic; /* nobody asked for it (failover.h); accept_loss: within what the group may lose */
    /* Operators' tokens permit this very epoch: the row is as it was last heard, and may be long over. */
    bool is_by_tokens;
};

struct cw_claim {
    uint64_t from_epoch, epoch, reign, first_sequence;
    uint64_t own_epoch;          /* the last of its own history, as its disk had it when it began to open */
    uint64_t highest_seen_epoch; /* by anybody: its own, and what sites that it reaches have in theirs */
    char seen_by[CW_NAME_SIZE];  /* whose that is */
    struct cw_set members;
    struct cw_set reached; /* names only: members, known by their identity, whose records it has taken in */
};

void cw_lease_watch_see(struct cw_lease_watch *watch, uint64_t epoch, uint64_t counter, uint64_t now_ns);
/* How long until a taker may write; 0: now. */
uint64_t cw_lease_watch_remaining_ns(const struct cw_lease_watch *watch, uint64_t epoch, uint64_t lease_ns,
                                     uint64_t now_ns);

/* May this candidate become primary at all (waiting apart)? */
struct cw_verdict cw_decide_candidate(const struct cw_authority *now, const struct cw_candidate *candidate);

/* YES: next is the row to write if `now` still stands and, when compare_counter says so, the holder's counter
 * is still watch->counter. LATER: an old lease may still run. */
struct cw_verdict cw_decide_claim(const struct cw_authority *now, const struct cw_candidate *candidate,
                                  const struct cw_claim *claim, const struct cw_lease_watch *watch,
                                  uint64_t lease_ns, uint64_t now_ns, struct cw_authority *next,
                                  bool *compare_counter);

/* Is the row what this very claim has written? Then its answer was lost, and it is asked again: nothing is
 * left to be decided. */
bool cw_decide_is_claimed(const struct cw_authority *now, const char *site, const struct cw_claim *claim);

/* An epoch of an engine is in the store before it is anywhere else, so a row of an earlier one is older than
 * the data: put back from a copy, or of before a promotion by tokens. What to say of it. */
static inline bool cw_decide_is_older(const struct cw_authority *now, uint64_t seen_epoch)
{
    return seen_epoch > now->epoch;
}
void cw_decide_say_older(const struct cw_authority *now, const char *group, const char *seen_by,
                         uint64_t seen_epoch, char *words, size_t size);

/* May this site's engine go on in this epoch? */
bool cw_decide_renew(const struct cw_authority *now, const char *site, uint64_t epoch);

/* The holder changes the set. from: site names as the engine believes them. */
struct cw_verdict cw_decide_set(const struct cw_authority *now, const char *site, uint64_t epoch,
                                const struct cw_set *from, const struct cw_set *to,
                                struct cw_authority *next);

/* The engine of `site` confirmed: nothing of an epoch <= epoch will be answered any more. handover may be
 * NULL. */
struct cw_verdict cw_decide_fence(const struct cw_authority *now, const char *site, uint64_t epoch,
                                  const struct cw_member *handover, struct cw_authority *next);

/* The group has come to rest after an automatic failover: the holder says that there may be another one. */
struct cw_verdict cw_decide_rest(const struct cw_authority *now, const char *site, uint64_t epoch,
                                 struct cw_authority *next);

const struct cw_member *cw_set_find(const struct cw_set *set, const char *site);
/* Adds or replaces, keeping the order; false: full. */
bool cw_set_put(struct cw_set *set, const struct cw_member *member);
bool cw_set_equal(const struct cw_set *a, const struct cw_set *b);
bool cw_member_equal(const struct cw_member *a, const struct cw_member *b);
bool cw_authority_equal(const struct cw_authority *a, const struct cw_authority *b);
bool cw_mode_word_parse(const char *text, enum cw_mode_word *mode);
const char *cw_mode_word_name(enum cw_mode_word mode);
