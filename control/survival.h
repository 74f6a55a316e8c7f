/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which losses of sites would be survived, right now? (`causeway audit`; nothing to do with the log of who
 * asked for what, audit.h.) Pure: what every site said goes in, with its age, and a verdict for the loss of
 * one site or of two comes out, with its reasons; words are made of it by survival_words.c. No clock, no I/O.
 *
 *   survivable   everything goes on by itself
 *   by hand      somebody must type something, and the words say what
 *   not known    what it hangs on is not known, or what is known is too old
 *   not          data, or the authority over them, would be gone
 *
 * What is doubtful counts against: a site that has said nothing for CW_SURVIVAL_STALE_SECONDS is not there, a
 * vote whose place nobody knows burns with any site. The votes are etcd's members; without an etcd, a file on
 * the one machine of all sites, which no loss of a site takes away (but of the machine: the words say so).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/health.h"

#define CW_SURVIVAL_STALE_SECONDS 5.0
#define CW_SURVIVAL_VOTES_SECONDS 10.0 /* the same of etcd's members, who are asked less often */
#define CW_SURVIVAL_AFTER_SECONDS                                                                            \
    3.0                              /* what burned may have answered that long after its site's last word   \
                                      */
#define CW_SURVIVAL_ENDING_DAYS 14.0 /* a certificate that ends sooner is told of */
#define CW_SURVIVAL_NOWHERE     (-1)
#define CW_SURVIVAL_WORDS       640u

enum cw_survival_level {
    CW_SURVIVES = 0,
    CW_SURVIVES_BY_HAND,
    CW_SURVIVAL_UNKNOWN,
    CW_SURVIVES_NOT,
    CW_SURVIVAL_LEVELS
};
/* "survivable", "survivable by hand", "not known", "not survivable" */
const char *cw_survival_level_name(enum cw_survival_level level);
static inline bool cw_survival_is_good(enum cw_survival_level level)
{
    return level == CW_SURVIVES || level == CW_SURVIVES_BY_HAND;
}

struct cw_survival_site {
    const char *name;
    bool is_witness;
    bool is_engine_alive;    /* by its last word */
    double age_seconds;      /* of that; below 0: it never said anything */
    double certificate_days; /* until the first of its certificates ends; CW_SURVIVAL_NO_CERTIFICATE: it has
                                none, or does not say */
    const char *certificate; /* which one that is: a file */
};
#define CW_SURVIVAL_NO_CERTIFICATE 1e9

/* A member of etcd. */
struct cw_survival_vote {
    const char *name;
    int site;           /* CW_SURVIVAL_NOWHERE: nobody knows */
    double age_seconds; /* since it last answered anybody; below 0: never */
};

struct cw_survival_replica {
    int site;
    bool is_told; /* its engine's word on the group is there */
    bool is_member;
    struct cw_verdict verdict;   /* of a promotion now, by cw_decide_candidate */
    struct cw_verdict with_loss; /* of one with --accept-loss */
    bool is_lag_known;
    double lag_seconds;
    uint64_t lag_bytes;
    bool is_ready;         /* it would take over by itself, it says (failover.h) */
    const char *not_ready; /* why not */
};

struct cw_survival_group {
    const char *name;
    enum cw_mode_word mode;
    int holder; /* CW_SURVIVAL_NOWHERE: never opened */
    enum cw_health_level health;
    const char *reason; /* of its health */
    uint32_t min_in_sync;
    bool is_automatic; /* failover=automatic */
    bool has_grants; /* on_store_loss is peer-grants at every site of it that says so, and its primary does */
    double max_loss_seconds;
    uint64_t max_loss_bytes; /* UINT64_MAX: of any size */
    uint32_t replica_count;
    struct cw_survival_replica replicas[CW_SET_MAX];
};

struct cw_survival_facts {
    bool is_embedded;         /* no votes: the store is a file */
    double votes_age_seconds; /* of the list of votes; below 0: there is none */
    double store_silent_seconds;
    double lease_seconds;
    int site_count, vote_count, group_count;
    const struct cw_survival_site *sites;
    const struct cw_survival_vote *votes;
    const struct cw_survival_group *groups;
};

/* One or two sites, by their index. */
struct cw_survival_loss {
    int count;
    int sites[2];
};

struct cw_survival_votes {
    enum cw_survival_level level;
    int all, left, burned, silent, unplaced; /* all: what a majority is counted of */
};

enum cw_survival_fate {
    CW_FATE_GOES_ON = 0, /* its primary is not touched */
    CW_FATE_BY_GRANTS,   /* so, though votes lack: while each of its sites grants it; roles cannot change */
    CW_FATE_UNPROTECTED, /* so, but no replica is left that has everything */
    CW_FATE_HELD,        /* so, but min_in_sync holds its writes */
    CW_FATE_TAKEN,       /* site takes it; nothing is lost */
    CW_FATE_TAKEN_LOSS,  /* site takes it; what was last written is lost, as agreed */
    CW_FATE_SILENT,      /* site has not said enough, or not lately */
    CW_FATE_LOSS_UNKNOWN,
    CW_FATE_LOSS_LARGE, /* more than max_loss */
    CW_FATE_REFUSED,    /* site may not be promoted: writes may be missing there, or its image is not whole */
    CW_FATE_ENGINE,     /* the engine of site, which would have it, does not run */
    CW_FATE_ALREADY,    /* it is frozen or down now */
    CW_FATE_NO_VOTES,   /* nobody may give a lease or a promotion */
    CW_FATE_GONE        /* every copy burns */
};

struct cw_survival_group_fate {
    enum cw_survival_level level;
    enum cw_survival_fate fate;
    int site;    /* who takes it, or whom it hangs on (NO_VOTES: whose grant is missing); CW_SURVIVAL_NOWHERE:
                    nobody */
    int replica; /* its index in the group's; or CW_SURVIVAL_NOWHERE */
};

/* What does not hang on one group. */
struct cw_survival_verdict {
    enum cw_survival_level level; /* the worst of all */
    struct cw_survival_votes votes;
    int controllers_left, controllers_silent;
    int certificate_site; /* whose ends soonest, of those that are left; CW_SURVIVAL_NOWHERE: none soon */
    enum cw_survival_level certificates;
    int by_level[CW_SURVIVAL_LEVELS]; /* groups */
    int by_grants;                    /* of those */
};

struct cw_survival_votes cw_survival_count(const struct cw_survival_facts *facts,
                                           const struct cw_survival_loss *loss);
struct cw_survival_group_fate cw_survival_of_group(const struct cw_survival_facts *facts,
                                                   const struct cw_survival_loss *loss,
                                                   const struct cw_survival_votes *votes,
                                                   const struct cw_survival_group *group);
struct cw_survival_verdict cw_survival_judge(const struct cw_survival_facts *facts,
                                             const struct cw_survival_loss *loss);
bool cw_survival_is_lost(const struct cw_survival_loss *loss, int site);
/* Has it said something lately? */
bool cw_survival_is_heard(const struct cw_survival_site *site);
/* Has it answered lately? One whose site has gone silent must have answered since. */
bool cw_survival_answers(const struct cw_survival_facts *facts, const struct cw_survival_vote *vote);

/* survival_words.c: all give back text. Whole sentences without the last full stop. */
const char *cw_survival_say_votes(const struct cw_survival_facts *facts, const struct cw_survival_loss *loss,
                                  const struct cw_survival_votes *votes, char *text, size_t size);
/* Who votes now: of no loss. "": no votes are needed. */
const char *cw_survival_say_now(const struct cw_survival_facts *facts, const struct cw_survival_votes *votes,
                                char *text, size_t size);
const char *cw_survival_say_group(const struct cw_survival_facts *facts,
                                  const struct cw_survival_group *group,
                                  const struct cw_survival_group_fate *fate, char *text, size_t size);
/* What is to be typed then; "": nothing. */
const char *cw_survival_say_command(const struct cw_survival_facts *facts,
                                    const struct cw_survival_group *group,
                                    const struct cw_survival_group_fate *fate, char *text, size_t size);
/* Who could still be asked, and who shows anything at all. */
const char *cw_survival_say_controllers(const struct cw_survival_facts *facts,
                                        const struct cw_survival_loss *loss, char *text, size_t size);
/* "": none ends soon. */
const char *cw_survival_say_certificates(const struct cw_survival_facts *facts,
                                         const struct cw_survival_verdict *verdict, char *text, size_t size);
/* In one sentence, why it is no better than it is; "": all goes on by itself. */
const char *cw_survival_say_verdict(const struct cw_survival_facts *facts,
                                    const struct cw_survival_loss *loss,
                                    const struct cw_survival_verdict *verdict, char *text, size_t size);
