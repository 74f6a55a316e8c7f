/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A store that was lost, or put back to an older copy: what is to stand in it, from what each site has. Pure:
 * copies of the store's rows and what engines say of their superblocks go in; rows, or why not, come out.
 *
 * What must never come of it is a promotion that is wrong. So:
 *  - The epoch of a group is the highest that any copy or any superblock has seen.
 *  - Who holds it, and which set he had, is believed of one witness only: the holder's own controller, which
 *    writes its copy before its engine is told that the store took an epoch or a set. A set that others
 *    remember may be of before somebody was taken out of it.
 *  - Where that copy is not to be had, an engine that is primary in that reign right now is the holder, alone
 *    in the set, in the next epoch: the others come back into the set as after any promotion.
 *  - In all other cases (two reigns of one epoch, a reign that nobody's copy knows) nobody holds the group: a
 *    row of the next epoch without a holder, which opens by `promote --accept-loss` and by nothing else.
 *
 *
 * What a later copy knows as given away and does not have was deleted, and goes: a group with all that is of
 * it, a volume, a place, an attachment. Else an older store would bring it back, and its group would wait for
 * files that are gone.
 *
 * Rows are JSON by key as the store in etcd has them (store_etcd.c), and are foreign bytes.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/decide.h"
#include "control/store.h"

#define CW_REBUILD_WORDS 480u
/* The row that stands while rows are put back: {"site","id","replace"}; or before, raised by a controller
 * that remembers more than the store has: {"site","doubt": why}. While it stands no epoch is claimed. */
#define CW_REBUILD_MARK "rebuilding"

struct cw_rebuild_site {
    const char *name;
    bool is_witness;
    bool is_left_out;     /* by --without: what it has is not asked for */
    bool is_heard;        /* its controller, just now */
    bool is_engine_heard; /* its engine, just now */
    const json_t *copy;   /* rows as its controller last had them; NULL: it has no copy */
    uint64_t revision;    /* of that copy */
    const json_t *engine; /* the groups of the engine's status; NULL */
};

struct cw_rebuild_facts {
    uint32_t site_count;
    struct cw_rebuild_site sites[CW_CONFIG_SITES_MAX]; /* all that the configuration names */
    const json_t *store;                               /* rows that stand there now */
    bool is_replace;                                   /* they may be of an older copy, and are put right */
    uint64_t seed;                                     /* not 0: a name for new reigns */
};

enum cw_rebuild_kind {
    CW_REBUILD_NEVER = 0, /* it was never open */
    CW_REBUILD_KEPT,      /* as its holder's controller had it */
    CW_REBUILD_ALONE,     /* an engine is primary: it is the holder, and alone in the set */
    CW_REBUILD_NOBODY     /* who held it last is not known */
};

struct cw_rebuild_group {
    uint32_t id;
    char name[CW_NAME_SIZE];
    enum cw_rebuild_kind kind;
    struct cw_authority authority;
    char words[CW_REBUILD_WORDS];
};

struct cw_rebuild_plan {
    char refusal[CW_REBUILD_WORDS]; /* "": none */
    uint32_t group_count;
    struct cw_rebuild_group groups[CW_STORE_GROUPS_MAX]; /* by number */
    json_t *rows;                                        /* all that shall stand, by key; the caller's */
    json_t *gone; /* rows as they stand there, of what was deleted since: they go; the caller's */
};

/* plan: zeroed. */
void cw_rebuild_plan(const struct cw_rebuild_facts *facts, struct cw_rebuild_plan *plan);
const char *cw_rebuild_kind_name(enum cw_rebuild_kind kind);

enum cw_rebuild_standing {
    CW_REBUILD_WHOLE = 0, /* nothing is known against the store */
    CW_REBUILD_MARKED,    /* a rebuild has not ended, or another site remembers more */
    CW_REBUILD_OLDER,     /* than this copy of it, though it was rebuilt since: this site had been left out */
    CW_REBUILD_LOST       /* older than this copy, and nobody has put it right: all are to know */
};
/* What stands in the store against this copy of it (NULL: there is none). With words: what is missing, and
 * what to type. */
enum cw_rebuild_standing cw_rebuild_compare(const json_t *copy, const json_t *store, char *why,
                                            size_t why_size);
/* A mark that a rebuild left behind, and not a doubt. */
bool cw_rebuild_is_interrupted(const json_t *mark);
