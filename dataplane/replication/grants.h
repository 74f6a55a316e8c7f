/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Grants: how a reign goes on while the store does not answer. Pure: asks, answers and times go in; numbers
 * to ask with, answers to give and two deadlines come out. Messages, roles and words are the group's
 * (cover.c).
 *
 * At the primary. Every site of the group is asked once a second for one lease. A grant counts from our clock
 * before its ask was sent, for 0.99 of the lease less 100 ms; what counts is the earliest end of all sites,
 * since each of them could be promoted. A grant of another reign, or of an ask that was not made, is nothing.
 *
 * At a granter. A grant runs from our clock after the ask was received, for 1.01 of the lease; until it has
 * run out nothing is claimed here, whoever wants it. What was granted before our own start is not remembered,
 * so one lease after it counts as granted. A grant ends early in two ways only: the reign that has it says
 * itself that it is over, or the store says so (and then no grant given to any other epoch is touched by it).
 * Who asks for it can have none given any more (cw_grants_refuse): what was given still runs out by itself.
 *
 * Why at most one acknowledges: who goes on by grants has one of every site; its end is, by clocks that
 * differ less than 1 % in rate, before the end that the granter knows. A taker is one of these sites, or this
 * one itself. It gives no grant from the moment its opening begins, and claims after the end of what it gave.
 * Who goes on by the store's lease is the store's matter (control/decide.h), as before.
 */
#pragma once

#include "wire/message.h"

#define CW_GRANT_ASKS 8u /* of one site without an answer; asked each second, a lease is 5 of them */

struct cw_grant_question {
    uint64_t number; /* 0: none, or answered */
    uint64_t asked_ns;
};

/* What the primary has of one site. */
struct cw_grant_from {
    uint64_t deadline_ns; /* 0: it has granted nothing in this reign */
    uint64_t ask_again_ns;
    uint64_t number; /* of the last ask of this reign */
    uint8_t result;  /* enum cw_grant_result of the last answer */
    bool has_answered;
    struct cw_grant_question asks[CW_GRANT_ASKS];
};

/* What a site asked us, until it is answered. */
struct cw_grant_asked {
    bool is_waiting;
    bool is_new; /* of this turn, whose clock was read before it came */
    uint64_t epoch, reign;
    struct cw_message_grant_ask ask;
};

struct cw_grants {
    bool is_on; /* peer-grants; else nothing is asked for and nothing given */
    uint64_t lease_ns;
    /* as primary; epoch 0: we are not */
    uint64_t epoch, reign;
    uint8_t sites; /* bits: all that must grant */
    struct cw_grant_from from[CW_SITES_MAX];
    /* as granter */
    uint64_t start_ends_ns; /* one lease after our start */
    uint8_t given_to;       /* site, and the reign that has or had it */
    uint64_t given_epoch, given_reign;
    uint64_t given_ns, given_ends_ns; /* 0: none */
    uint64_t refuses_until_ns;        /* somebody wants this site promoted: nothing is granted before */
    uint64_t over_epoch;              /* no reign of this epoch or below goes on, as far as we were told */
    bool is_untold; /* we began with an empty journal, and the store's epoch was not told yet */
    struct cw_grant_asked asked[CW_SITES_MAX];
};

/* What an opening knows that may save it the wait. */
struct cw_grant_opening {
    uint64_t store_epoch; /* of which it claims the next one; 0: the store has none */
    uint64_t own_epoch;   /* the last of our own history, as it is on our disk */
    bool is_ours;         /* the store's holder is this site: its reign ended with the process, or here */
    bool is_fenced;       /* the store knows that nothing of store_epoch is answered any more */
};

/* is_blank: our journal knows of no reign. What it knew before may be lost, so nothing is granted until
 * cw_grants_on_store_epoch was called. */
void cw_grants_init(struct cw_grants *grants, bool is_on, bool is_blank, uint64_t lease_ns, uint64_t now_ns);

/* ---- the primary ---- */
void cw_grants_begin_reign(struct cw_grants *grants, uint64_t epoch, uint64_t reign, uint8_t sites);
void cw_grants_end_reign(struct cw_grants *grants);
bool cw_grants_wants_ask(const struct cw_grants *grants, uint8_t site, uint64_t now_ns);
/* now_ns: of a clock read before the ask is sent. */
struct cw_message_grant_ask cw_grants_ask(struct cw_grants *grants, uint8_t site, uint64_t now_ns);
/* epoch, reign: of the message. */
void cw_grants_on_grant(struct cw_grants *grants, uint8_t site, uint64_t epoch, uint64_t reign,
                        const struct cw_message_grant *grant, uint64_t now_ns);
/* Until when every site has granted this reign; 0: not all have. */
uint64_t cw_grants_deadline_ns(const struct cw_grants *grants, uint64_t epoch, uint64_t reign);
/* A site without an unexpired grant; CW_SITES_MAX: none. */
uint8_t cw_grants_missing(const struct cw_grants *grants, uint64_t now_ns);

/* ---- the granter ---- */
void cw_grants_on_ask(struct cw_grants *grants, uint8_t site, uint64_t epoch, uint64_t reign,
                      const struct cw_message_grant_ask *ask);
/*
 * The answer that is due to this site, if one is: once a turn, after that turn's facts. An ask of the same
 * turn waits for the next one, whose clock was read after it came. known_epoch: none below goes on;
 * is_opening: we are on our way to a reign of our own.
 */
bool cw_grants_answer(struct cw_grants *grants, uint8_t site, uint64_t known_epoch, bool is_opening,
                      uint64_t now_ns, struct cw_message_grant *grant, uint64_t *epoch, uint64_t *reign);
bool cw_grants_has_asks(const struct cw_grants *grants);
void cw_grants_on_release(struct cw_grants *grants, uint8_t site, uint64_t epoch, uint64_t reign);
/* Before this time nothing is claimed; 0: no wait. */
uint64_t cw_grants_claim_ns(const struct cw_grants *grants, const struct cw_grant_opening *opening);
/* Who has our grant has asked so lately that it lives, and the store names no later reign: nobody is to begin
 * an opening here, which would take the grant from it. */
bool cw_grants_is_in_use(const struct cw_grants *grants, const struct cw_grant_opening *opening,
                         uint64_t now_ns);
/* Gives none for a while, so that what was given runs out. Said again and again by whoever wants that. */
void cw_grants_refuse(struct cw_grants *grants, uint64_t now_ns);
/* How long what was given still runs, where no more is given and the reign may go on by it; 0: not, or it is
 * over. */
uint64_t cw_grants_ending_ns(const struct cw_grants *grants, const struct cw_grant_opening *opening,
                             uint64_t now_ns);
/* The store has this epoch (0: it has none): none below it goes on. */
void cw_grants_on_store_epoch(struct cw_grants *grants, uint64_t epoch);
