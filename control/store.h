/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory that all controllers share: what is wanted (groups, volumes, where their files are, front ends)
 * and who holds what (authority, lease counters). What sites say of themselves is in the book (book.h).
 * The implementations give one table of operations (store_ops.h); nobody else knows which one it is.
 * Authority moves only by cw_store_swap and cw_store_renew, whose conditions a quorum's transactions can
 * express as well.
 *
 * One thread uses a store. CW_IO means the store did not answer: no permission follows from that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control/decide.h"
#include "engine/config/node_config.h"
#include "wire/record.h"

/* Of all sites together. What one node takes is less: CW_NODE_GROUPS_MAX, CW_NODE_EXPORTS_MAX. */
#define CW_STORE_SITES_MAX   128u
#define CW_STORE_GROUPS_MAX  1024u
#define CW_STORE_VOLUMES_MAX 4096u
#define CW_STORE_ATTACHMENTS 2u /* of a volume: one of each kind */
#define CW_STORE_PATH_SIZE   256u
#define CW_STORE_JOURNAL     (-1) /* in the place of a volume number: the group's journal */

static_assert(CW_SET_MAX == CW_CONFIG_SITES_MAX, "a group is at sites that know each other");
static_assert(CW_SET_MAX < CW_STORE_SITES_MAX, "no group is at all sites that there can be");

struct cw_store_site {
    char name[CW_NAME_SIZE];
    uint32_t id; /* below CW_SET_MAX: its number in every group that is there; others elsewhere may have it */
    char control_socket[CW_STORE_PATH_SIZE];
    char storage[CW_STORE_PATH_SIZE];
    char directory[CW_STORE_PATH_SIZE];
    uint64_t lease_counter;
};

/* Somebody wants the group: its holder fences (or drains, then fences) when it sees this. */
struct cw_store_request {
    char taker[CW_NAME_SIZE]; /* "": nobody */
    bool is_drain;
    uint64_t epoch;     /* of the holder that shall let go */
    uint64_t heartbeat; /* moves while the taker is alive and wants it */
};

#define CW_STORE_AFTER_MS 3000u /* of a group of which nothing else was said */

struct cw_store_group {
    uint32_t id; /* never used again */
    char name[CW_NAME_SIZE];
    enum cw_mode_word mode;
    uint32_t min_in_sync;
    uint64_t replica_timeout_ms, max_loss_ms, copy_brake_ms;
    uint64_t max_loss_bytes;  /* 0: no such limit, and no automatic failover in the modes that have no set */
    bool is_automatic;        /* failover=automatic */
    uint64_t after_ms;        /* so long a primary is silent before that */
    char first[CW_NAME_SIZE]; /* the first primary */
    char home[CW_NAME_SIZE];  /* where it belongs: failback leads there. One of sites */
    uint32_t site_count;
    char sites[CW_SET_MAX][CW_NAME_SIZE]; /* the first primary first */
    uint64_t journal_bytes;
    int32_t next_volume; /* all below it have been given away; one that no volume has is never used again */
    bool is_deleting;
    struct cw_authority authority;
    struct cw_store_request request;
};

struct cw_store_volume {
    uint32_t group;
    int32_t volume; /* number within the group, never used again */
    char name[CW_NAME_SIZE];
    uint64_t size;
    uint32_t block_size;
    bool is_thin;
    bool is_deleting;
};

/*
 * A file or device of a volume, or of the journal, at one site. Only that site's own controller can tell what is
 * at the path: with the store in etcd a place is unseen until it has looked (places.c), and what follows from
 * that (is_ours, base) is in the row before anything is made. The embedded store is of one machine: there
 * whoever was asked has looked.
 */
struct cw_store_place {
    uint32_t group;
    int32_t volume; /* or CW_STORE_JOURNAL */
    char site[CW_NAME_SIZE];
    char path[CW_STORE_PATH_SIZE];
    char socket[CW_STORE_PATH_SIZE]; /* NBD at this site; "" for journals */
    bool is_ours;                    /* the engine makes it, and deleting the volume removes it */
    bool is_made;                    /* it was attached here once */
    bool is_unseen;                  /* nobody at the site has looked yet: nothing is made, or taken */
    bool may_take;                   /* what is there already, as who created the volume has said */
    bool is_refused;                 /* what error says stands in the way, and is not to be touched */
    uint64_t base;                   /* name of the data it began with; 0: zeros */
    char error[512];                 /* why it could not be attached, the last time */
};

struct cw_store_attachment {
    uint32_t group;
    int32_t volume;
    char kind[16]; /* "nbd", "nbd-tls" */
    char address[CW_STORE_PATH_SIZE];
    char certificates[CW_STORE_PATH_SIZE];
};

/*
 * Everything wanted and held, at one version: groups by id; volumes by group and number; places by group,
 * number (the journal first) and site. Made by cw_view_new: it has room for all that there can be, and takes
 * memory for what there is.
 */
#define CW_STORE_KEY_SIZE       128u
#define CW_STORE_UNREADABLE_MAX 32u /* as many are named */
struct cw_store_unreadable {
    uint32_t group; /* 0: of none */
    char key[CW_STORE_KEY_SIZE];
};
struct cw_store_view {
    uint64_t version;
    /* Rows that no version of this program has written. A group that has one is as it was before, or, where
     * that is not known, not in the view. */
    uint32_t unreadable_count;
    struct cw_store_unreadable unreadable[CW_STORE_UNREADABLE_MAX];
    uint32_t site_count, group_count, volume_count, place_count, attachment_count;
    struct cw_store_site sites[CW_STORE_SITES_MAX]; /* by id and name */
    struct cw_store_group groups[CW_STORE_GROUPS_MAX];
    struct cw_store_volume volumes[CW_STORE_VOLUMES_MAX];
    struct cw_store_place places[(CW_STORE_VOLUMES_MAX + CW_STORE_GROUPS_MAX) * CW_SET_MAX];
    struct cw_store_attachment attachments[CW_STORE_VOLUMES_MAX * CW_STORE_ATTACHMENTS];
};

struct cw_store;

/* The embedded store. Opens, and makes it if it is not there. NULL with words in why. */
struct cw_store *cw_store_open_file(const char *file, char *why, size_t why_size);
/* The store in etcd, under prefix. Waits for no answer: until there is one its version is 0, and what is there
 * is judged by cw_store_agree_lease. NULL with words in why: this process lacks what it takes. */
struct cw_etcd_address;
struct cw_store *cw_store_open_etcd(const struct cw_etcd_address *address, const char *prefix, char *why,
                                    size_t why_size);
void cw_store_close(struct cw_store *store);
/* Why nothing can be decided with this store any more, until this process is started anew; "": all is well.
 */
const char *cw_store_fault(struct cw_store *store);

/* For how long it has not answered; 0: it does, or that shows only when something is written. Meanwhile what
 * is read is what was there before, and what is written fails at once. */
uint64_t cw_store_silent_ms(struct cw_store *store);
/* What was wrong when something last did not succeed, in words for people; "": nothing is known. */
const char *cw_store_trouble(struct cw_store *store);

/* The lease is one for all controllers of a store: the first one to open it says it, the others must be of
 * the same mind, or one would take over while another still answers. *recorded: what holds. CW_INVALID: what
 * is there is another version's, as cw_store_trouble says. Comes before all that reads or writes. */
enum cw_status cw_store_agree_lease(struct cw_store *store, uint64_t lease_ms,
                                    uint64_t *recorded) CW_MUST_CHECK;

/* Moves with every change of what is wanted or held (not with leases). 0: no answer. */
uint64_t cw_store_version(struct cw_store *store);
/* All or nothing: when it fails, the view is what it was, its version too. What the view has of a group of which
 * a row cannot be read stays as it is. */
enum cw_status cw_store_load(struct cw_store *store, struct cw_store_view *view) CW_MUST_CHECK;

/* Several changes as one: begin, changes, end. end(false) undoes. */
enum cw_status cw_store_begin(struct cw_store *store) CW_MUST_CHECK;
enum cw_status cw_store_end(struct cw_store *store, bool ok) CW_MUST_CHECK;

/* ---------------------------------------------------------------- authority */

/* counter: of the row's holder; 0 when there is none. */
enum cw_status cw_store_authority(struct cw_store *store, uint32_t group, struct cw_authority *authority,
                                  uint64_t *counter) CW_MUST_CHECK;
/* Writes next if `expected` still stands, and, with compare_counter, if the holder's counter is still
 * `counter`; CW_STALE if not. One transaction, durable when it returns. */
enum cw_status cw_store_swap(struct cw_store *store, uint32_t group, const struct cw_authority *expected,
                             const struct cw_authority *next, bool compare_counter,
                             uint64_t counter) CW_MUST_CHECK;
struct cw_store_lease {
    uint32_t group;
    uint64_t epoch;
    bool is_lost; /* out */
    bool is_held; /* out: neither renewed nor lost */
};
/* One transaction for all groups of a node: the site's counter moves if any of them is renewed. */
enum cw_status cw_store_renew(struct cw_store *store, const char *site, struct cw_store_lease *leases,
                              uint32_t count) CW_MUST_CHECK;
enum cw_status cw_store_lease_counter(struct cw_store *store, const char *site,
                                      uint64_t *counter) CW_MUST_CHECK;

/* Asks the holder of this epoch to let go; CW_STALE: another epoch, or somebody else asks. */
enum cw_status cw_store_request(struct cw_store *store, uint32_t group,
                                const struct cw_store_request *request) CW_MUST_CHECK;
/* The taker's own is taken back. */
enum cw_status cw_store_request_clear(struct cw_store *store, uint32_t group,
                                      const char *taker) CW_MUST_CHECK;
/* Somebody else's goes, if it is as it was seen, heartbeat included; CW_STALE: it is not. */
enum cw_status cw_store_request_drop(struct cw_store *store, uint32_t group,
                                     const struct cw_store_request *seen) CW_MUST_CHECK;

/* ---------------------------------------------------------------- what is wanted */

/* CW_EXISTS: another site has that id and a group in common with it (the embedded store: has that id).
 * CW_NO_SPACE: there are CW_STORE_SITES_MAX. */
enum cw_status cw_store_site_put(struct cw_store *store, const struct cw_store_site *site) CW_MUST_CHECK;
/* Gives the group its id. CW_EXISTS: the name is taken. CW_NO_SPACE: there are CW_STORE_GROUPS_MAX.
 * CW_INVALID: two of its sites have one number. */
enum cw_status cw_store_group_add(struct cw_store *store, struct cw_store_group *group) CW_MUST_CHECK;
/* As the row is now, without authority and request. A change that has read it so rests on it: CW_STALE at its
 * end, if somebody else has moved it meanwhile. CW_NOT_FOUND. */
enum cw_status cw_store_group_read(struct cw_store *store, uint32_t group,
                                   struct cw_store_group *read) CW_MUST_CHECK;
/* Mode and settings, home: all of them, so it belongs into one change with the reading of what stays. */
enum cw_status cw_store_group_update(struct cw_store *store,
                                     const struct cw_store_group *group) CW_MUST_CHECK;
/* For good. CW_EXISTS: it has volumes. */
enum cw_status cw_store_group_deleting(struct cw_store *store, uint32_t group) CW_MUST_CHECK;
enum cw_status cw_store_group_remove(struct cw_store *store, uint32_t group) CW_MUST_CHECK;
/* Gives the volume its number. CW_NOT_FOUND: the group is gone, or is to go. CW_NO_SPACE: there are CW_STORE_VOLUMES_MAX, of all groups. CW_RANGE: the
 * group has given out all of its numbers (CW_VOLUMES_PER_GROUP_MAX), which are never used again. */
enum cw_status cw_store_volume_add(struct cw_store *store, struct cw_store_volume *volume) CW_MUST_CHECK;
/* Its name and the addresses of its attachments are free from then on. */
enum cw_status cw_store_volume_deleting(struct cw_store *store, uint32_t group, int32_t volume) CW_MUST_CHECK;
enum cw_status cw_store_volume_remove(struct cw_store *store, uint32_t group, int32_t volume) CW_MUST_CHECK;
enum cw_status cw_store_place_put(struct cw_store *store, const struct cw_store_place *place) CW_MUST_CHECK;
enum cw_status cw_store_place_remove(struct cw_store *store, uint32_t group, int32_t volume,
                                     const char *site) CW_MUST_CHECK;
enum cw_status cw_store_attachment_put(struct cw_store *store,
                                       const struct cw_store_attachment *attachment) CW_MUST_CHECK;
/* CW_NOT_FOUND: there was none. */
enum cw_status cw_store_attachment_remove(struct cw_store *store, uint32_t group, int32_t volume,
                                          const char *kind) CW_MUST_CHECK;

/* ---------------------------------------------------------------- a view */

/* Why nothing is to be decided about the group: a row of it that cannot be read; NULL. What is attached is no such
 * reason. */
const char *cw_view_unreadable(const struct cw_store_view *view, uint32_t group);
/* All that `from` has of the group goes into `to`, which has nothing of it. false: no room. */
bool cw_view_keep_group(struct cw_store_view *to, const struct cw_store_view *from, uint32_t group);
/* An empty one; NULL: no memory. Ends with free. */
struct cw_store_view *cw_view_new(void);
/* Copies what is there, not the room for what could be. */
void cw_view_copy(struct cw_store_view *to, const struct cw_store_view *from);

/* Those of one group: for (i = cw_view_volumes_from(view, id); cw_view_is_volume_of(view, i, id); i++). */
uint32_t cw_view_volumes_from(const struct cw_store_view *view, uint32_t group);
uint32_t cw_view_places_from(const struct cw_store_view *view, uint32_t group);
static inline bool cw_view_is_volume_of(const struct cw_store_view *view, uint32_t at, uint32_t group)
{
    return at < view->volume_count && view->volumes[at].group == group;
}
static inline bool cw_view_is_place_of(const struct cw_store_view *view, uint32_t at, uint32_t group)
{
    return at < view->place_count && view->places[at].group == group;
}

/* NULL: not there. */
const struct cw_store_site *cw_view_site(const struct cw_store_view *view, const char *name);
const struct cw_store_group *cw_view_group(const struct cw_store_view *view, const char *name);
const struct cw_store_group *cw_view_group_by_id(const struct cw_store_view *view, uint32_t id);
/* None that is being deleted: its name may be another's by now. */
const struct cw_store_volume *cw_view_volume(const struct cw_store_view *view, uint32_t group,
                                             const char *name);
const struct cw_store_volume *cw_view_volume_by_id(const struct cw_store_view *view, uint32_t group,
                                                   int32_t volume);
/* Why a site could not attach what it has of a group, as far as it told; "". */
const char *cw_view_place_error(const struct cw_store_view *view, uint32_t group, const char *site);
const struct cw_store_place *cw_view_place(const struct cw_store_view *view, uint32_t group, int32_t volume,
                                           const char *site);
bool cw_group_has_site(const struct cw_store_group *group, const char *site);
