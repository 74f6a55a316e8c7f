/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Automatic failover: does this site take the group over by itself, now? Pure: what the store has, what was
 * seen and when go in; a verdict, words and the next deadline come out. Each controller asks for its own
 * site; nobody tells anybody to take over. What is decided here is only that somebody tries: who may hold the
 * group is decided by decide.h, as of a promotion that somebody asks for, and its wait is never shortened.
 *
 *      OFF          manual, or nothing that this site could take
 *      NO           it would not, even if the primary were gone; words: why, and what helps
 *      READY        it would, if the primary fell silent
 *       | no sign of life for `after`, and the lease has run out as this site sees it
 *      WAIT ------> GO
 *
 * A *sign of life* of a primary is its lease counter when it moves, its controller's word of a living engine
 * that does not hold its writes, and a grant that this site's engine gave it to go on without the store. Any
 * one is enough: a site that comes and goes never becomes silent. Frames of an engine are none: one whose
 * lease is over sends them, too, and serves nobody. Ages are by this site's monotonic clock.
 *
 * A primary whose disk failed lives, and has stopped the group: its controller says so, and confirms in the
 * store that nothing of that epoch is answered any more. From then on neither the counter, which is of the
 * whole node, nor a grant, nor what was told before says anything about this group, and no lease is waited
 * for: for `after` the primary may come back, which shows in the next epoch.
 *
 * Which loss: in sync and semi-sync none; only a member of the in-sync set takes over, by the identity that
 * is recorded. network-sync and async have no set (in both a replica may lack what was acknowledged), and are
 * held to max_loss, in seconds and in bytes. What may be lost is what was not here at the primary's last
 * word, and all that it can have acknowledged since: until a lease after its last sign of life.
 *
 * No bouncing: after an automatic failover there is no other one until the new primary's controller has
 * seen the group come to rest (cw_failover_rests) and said so in the store. Nothing returns by itself.
 *
 * Of several candidates the first one tries at once, the next ones later and later: they do not contend,
 * and if they do, the store lets one of them write.
 */
#pragma once

#include "control/decide.h"

enum cw_failover_answer {
    CW_FAILOVER_OFF = 0,
    CW_FAILOVER_NO,
    CW_FAILOVER_READY,
    CW_FAILOVER_WAIT,
    CW_FAILOVER_GO,
    CW_FAILOVER_ANSWER_COUNT
};
/* "off", "no", "ready", "wait", "go" */
const char *cw_failover_name(enum cw_failover_answer answer);

/* What this site lacked when the primary last said something about that: its engine to ours (times), its
 * controller to others (bytes). Modes without a set. Times are of the own clock, and not after it was said.
 */
struct cw_failover_lag {
    bool is_known;
    uint64_t as_of_ns, lag_ns; /* then the oldest write that was not here was so old */
    uint64_t bytes_as_of_ns, lag_bytes, bytes_per_second;
};

struct cw_failover_facts {
    const char *group, *site;
    bool is_automatic, is_embedded, is_deleting;
    bool is_site_of_group;
    const char *store_trouble; /* the store does not answer, and why; "": it does */
    uint64_t now_ns, lease_ns, after_ns;
    const struct cw_authority *authority;
    const struct cw_candidate *candidate; /* NULL: this site's engine does not say */
    const struct cw_lease_watch *lease;
    uint64_t began_ns;  /* this site looks since then */
    uint64_t told_ns;   /* the primary's controller last had an engine that serves the group then; 0: never */
    uint64_t fenced_ns; /* since then the store is seen to know that this epoch answers nothing any more */
    const char *stopped; /* that engine lives, and an error stopped the group there: which; "": not so */
    uint64_t granted_ns; /* until then it may go on by a grant of this site, as its engine says; 0: by none */
    uint64_t not_before_ns; /* after a try that failed */
    const char *failed;     /* why that one did; NULL or "": there was none */
    uint32_t rank;          /* so many candidates that live come before this one */
    const char *preferred;  /* the first of them */
    const char *taker;      /* somebody else who takes it and lives; "" */
    uint64_t max_loss_ns, max_loss_bytes;
    struct cw_failover_lag lag;
};

struct cw_failover_verdict {
    enum cw_failover_answer answer;
    bool accept_loss;     /* GO: by the objective; never where there is a set */
    uint64_t deadline_ns; /* WAIT: GO not before, as far as is known; else 0 */
    uint64_t loss_ns;     /* modes without a set, lag known: at most */
    uint64_t loss_bytes;  /* about */
    char words[480];
};

/* What this site tried in vain, in an epoch that has not changed since and whose primary is still gone: all 0
 * at first, and again when either is not so any more. */
struct cw_failover_tries {
    uint64_t epoch;
    uint32_t failed; /* in a row */
    uint64_t not_before_ns;
    char words[160]; /* why the last one failed */
};
/* One has failed: the next waits 5 s, then twice as long each time, up to a minute. */
void cw_failover_failed(struct cw_failover_tries *tries, uint64_t epoch, uint64_t now_ns, const char *words);

void cw_failover_judge(const struct cw_failover_facts *facts, struct cw_failover_verdict *verdict);

/* After an automatic failover, at the new primary: both 0 at first, and in each epoch anew. */
struct cw_failover_rest {
    uint64_t epoch, since_ns, whole_since_ns;
};
/* True: the group has come to rest: protected without a break for a minute, or, with a replica in place that
 * could take over, this primary for ten minutes. */
bool cw_failover_rests(struct cw_failover_rest *rest, const struct cw_authority *authority, bool is_protected,
                       bool has_candidate, uint64_t now_ns);
