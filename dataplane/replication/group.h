/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A group: volumes that share one write order, one journal, one role and one set of replicas. All rules that
 * keep the promises live here; nothing here touches a disk, a socket or a clock.
 *
 * The shell (the store lcore, or the simulator) tells facts by the cw_group_on_* functions and submits
 * requests; then it calls cw_group_step once for the turn, then it pops actions until there are none and
 * carries them out. Actions are answered by the on_* function that their comment names, in a later turn, in
 * any order. Each turn: facts, step, drain. Single thread. Times are of one clock; where one is older than
 * what the group was told before, it stays with that.
 *
 * Life: new -> (recovery: see "Starting") -> started as REPLICA -> open -> PRIMARY -> fence or drain -> ...
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/counters.h"
#include "base/status.h"
#include "journal/journal.h"
#include "wire/message.h"

/* The request that front ends embed (frontend/block.h). Only these fields matter here. */
struct cw_block_request;

enum cw_mode { CW_MODE_ASYNC = 0, CW_MODE_SEMI_SYNC, CW_MODE_SYNC, CW_MODE_NETWORK_SYNC, CW_MODE_COUNT };
/* Requests wait for a set of replicas that the store keeps. The others have none: what they hold when the
 * primary is lost is nobody's promise. */
static inline bool cw_mode_has_set(enum cw_mode mode)
{
    return mode == CW_MODE_SEMI_SYNC || mode == CW_MODE_SYNC;
}
const char *cw_mode_name(enum cw_mode mode);

/*
 *   REPLICA --open--> GATHERING -> FETCHING -> CLAIMING -> OPENING -> PRIMARY --drain--> DRAINING -> DRAINED
 *      ^                      '--> REVERTING --^                                                      |
 *      ^------------------ refused / fenced / a newer epoch is seen ---------------------/            |
 *      ^---------------------------------------------------------------------------------------------'
 *   any -> DOWN: the journal or a volume of this node failed; the journal keeps what was acknowledged.
 */
enum cw_role {
    CW_ROLE_DOWN = 0,
    CW_ROLE_REPLICA,
    CW_ROLE_GATHERING, /* ends when every member of the set has answered HELLO, or gather_timeout */
    CW_ROLE_FETCHING,  /* ends when the longest run of a reachable member is here and durable */
    CW_ROLE_REVERTING, /* ends when the superblock says that the old image of before a copy counts again */
    CW_ROLE_CLAIMING,  /* ends with cw_group_on_claimed */
    CW_ROLE_OPENING,   /* ends when the superblock with the new epoch is durable */
    CW_ROLE_PRIMARY,
    CW_ROLE_DRAINING, /* ends when all is durable at every member and the members know the commit */
    CW_ROLE_DRAINED,
    CW_ROLE_COUNT
};
const char *cw_role_name(enum cw_role role);

enum cw_peer_state {
    CW_PEER_DISCONNECTED = 0,
    CW_PEER_GREETING,   /* session up; ends with its HELLO */
    CW_PEER_ATTACHING,  /* ends with ATTACHED */
    CW_PEER_COPY_BEGIN, /* ends with COPY_ACK begun */
    CW_PEER_COPYING,    /* ends with COPY_ACK done */
    CW_PEER_STREAMING,
    CW_PEER_DIVERGED, /* ends by cw_group_resync */
    CW_PEER_STATE_COUNT
};

struct cw_group_config {
    uint32_t group;
    uint8_t self;  /* site id */
    uint8_t sites; /* bits: all configured sites, self too */
    enum cw_mode mode;
    uint8_t min_in_sync;         /* 0 or 1 */
    uint64_t replica_timeout_ns; /* 5 s */
    uint64_t
        copy_brake_ns; /* 2 s: a full copy that fell off the journal may hold a write so long; 0: never */
    uint64_t commit_interval_ns;     /* 100 ms */
    uint64_t gather_timeout_ns;      /* 2 s */
    uint64_t checkpoint_interval_ns; /* 1 s */
    struct cw_identity identity;     /* journal_id is filled from the superblock */
    uint32_t log_entries;            /* records kept in memory, a power of two; the same at all sites */
    uint32_t copy_chunk_bytes; /* a power of two, CW_RECORD_PAYLOAD_MAX at most, and that but for tests */
    int64_t wall_offset_ns;    /* wall clock less our monotonic one, at the start; decides nothing */
    uint64_t lease_ns; /* of the cluster; 0 (tests): no grants, and no wait for those of before our start */
    bool peer_grants;  /* on_store_loss: go on by grants of all other sites; else the store's lease alone
                          counts */
    bool is_store_epoch_told;    /* the shell asked the store when it began to start us: */
    uint64_t store_epoch;        /* and this is what it has, 0: none */
    uint64_t payload_bytes_soft; /* above this much unapplied payload the group commits without waiting */
};

struct cw_group;

/* ---------------------------------------------------------------- requests */

/* What of a front end's request the group needs; the shell copies it from cw_block_request. */
struct cw_group_write {
    struct cw_block_request *request; /* given back by COMPLETE; opaque */
    uint8_t kind;                     /* CW_RECORD_WRITE, ZEROES or DISCARD */
    bool fua;
    uint16_t volume;
    uint64_t offset, length; /* in range, multiples of 512 */
    uint32_t payload_count;  /* WRITE: one per CW_RECORD_PAYLOAD_MAX of length, in order */
    struct cw_payload {
        uint64_t handle; /* opaque; comes back in RELEASE */
        uint8_t *data;
        uint32_t length;
    } payloads[32];
};

/* CW_OK: taken (payloads too), COMPLETE will come. CW_AGAIN: the log or the journal is full; try again in a
 * later turn. CW_SHUTDOWN: not primary here. Hashes the payloads. */
enum cw_status cw_group_write(struct cw_group *group, const struct cw_group_write *write,
                              uint64_t now_ns) CW_MUST_CHECK;
/* Everything submitted before is durable as the mode says when COMPLETE comes. */
enum cw_status cw_group_flush(struct cw_group *group, struct cw_block_request *request,
                              uint64_t now_ns) CW_MUST_CHECK;

/*
 * A read: begin, then the shell reads the volume's file unless is_covered, then end patches what the overlay
 * holds over the caller's bytes. Between begin and end no overlay entry that may matter is dropped. Before
 * the answer leaves, cw_group_may_answer is asked; CW_AGAIN: keep it and ask again in a later turn.
 */
struct cw_group_read {
    uint64_t ticket; /* internal */
    uint64_t reign;  /* internal: in which it began */
    uint16_t volume;
    uint64_t offset, length;
    bool is_covered; /* begin says: no need to read the file */
};
enum cw_status cw_group_read_begin(struct cw_group *group, struct cw_group_read *read) CW_MUST_CHECK;
/* slices: consecutive pieces of the answer, each CW_RECORD_PAYLOAD_MAX but the last. Always ends the read. */
void cw_group_read_end(struct cw_group *group, struct cw_group_read *read, uint8_t *const *slices,
                       uint32_t slice_count);
/* Checked last, right before data leaves: CW_OK, CW_AGAIN (held: lease), CW_SHUTDOWN (fenced since). */
enum cw_status cw_group_may_answer(const struct cw_group *group, uint64_t now_ns) CW_MUST_CHECK;
/* The same for a read that has ended: SHUTDOWN also when the group was fenced and opened anew since it began;
 * the bytes may be of before. */
enum cw_status cw_group_read_may_answer(const struct cw_group *group, const struct cw_group_read *read,
                                        uint64_t now_ns) CW_MUST_CHECK;

/* ---------------------------------------------------------------- actions */

enum cw_action_type {
    CW_ACT_NONE = 0,
    CW_ACT_JOURNAL_WRITE, /* write batch `slot` of cw_group_journal -> on_journal_written */
    CW_ACT_JOURNAL_SYNC,  /* fdatasync the journal -> on_journal_synced */
    CW_ACT_JOURNAL_READ,  /* read length bytes at offset into memory -> on_journal_read(token) */
    CW_ACT_SUPER_WRITE,   /* write memory (4 KiB) to sectors[0] and [1], then fdatasync -> on_super_written */
    CW_ACT_APPLY,         /* WRITE memory / ZEROES / DISCARD at volume, offset -> on_applied(token) */
    CW_ACT_VOLUMES_SYNC,  /* fdatasync every volume file of the image -> on_volumes_synced */
    CW_ACT_SEND,          /* to peer; with a body or tag != 0 -> on_sent(peer, tag) */
    CW_ACT_COMPLETE,      /* request is finished with status */
    CW_ACT_RELEASE,       /* the payload buffer `handle` is free */
    CW_ACT_CLAIM,         /* ask the store for this epoch -> on_claimed */
    CW_ACT_SET,           /* ask the store for this set -> on_set_changed */
    CW_ACT_COPY_READ,     /* read a volume's file (current image) into memory -> on_copy_read(token) */
    CW_ACT_IMAGE,         /* prepare, switch or discard the copy's target files -> on_image */
    CW_ACT_SALVAGE,       /* keep what the journal has above `sequence`, up to `last_sequence`, in a salvage
                           * file; no batch is written meanwhile -> on_salvaged */
    CW_ACT_EVENT,         /* for the event log */
    CW_ACT_TYPE_COUNT
};

enum cw_image_op {
    CW_IMAGE_PREPARE, /* new zero-filled files beside the old ones (space checked); devices: nothing to make
                       */
    CW_IMAGE_SWITCH,  /* rename over the old ones, directory synced; must be repeatable after a crash */
    CW_IMAGE_DISCARD  /* remove them */
};

struct cw_action {
    uint8_t type;
    uint8_t level;  /* EVENT: 0 info, 1 warning, 2 error */
    uint8_t peer;   /* SEND: site id */
    uint8_t stream; /* SEND: enum cw_stream of transport/session.h */
    uint8_t kind;   /* APPLY: record kind; IMAGE: enum cw_image_op */
    bool to_copy;   /* APPLY, VOLUMES_SYNC: the copy's target files instead of the current ones */
    uint16_t volume;
    uint32_t slot; /* JOURNAL_WRITE */
    uint32_t sectors[2];
    enum cw_status status; /* COMPLETE */
    struct cw_block_request *request;
    uint64_t token;  /* APPLY, reads; SEND: tag */
    uint64_t handle; /* RELEASE */
    uint64_t offset, length;
    uint8_t *memory; /* borrowed until answered; SEND: the body */
    uint32_t body_length;
    uint32_t head_length;
    uint8_t *head;                    /* SEND: valid until the next step: copy it */
    uint64_t departure;               /* SEND: on_left is asked for, with this; 0: it is not */
    uint64_t sequence, last_sequence; /* SALVAGE: above the one, up to the other */
    /* CLAIM and SET */
    uint64_t from_epoch, epoch, reign, first_sequence;
    uint8_t members_from, members_to; /* site bits */
    uint8_t reached; /* CLAIM: members, known by their identity, whose records are all here now */
    /* CLAIM: the last epoch of our own history as the opening found it; the highest that anybody has whom we
     * heard, and who that is. The store had each of them first. */
    uint64_t own_epoch, seen_epoch;
    uint8_t seen_by;
    const struct cw_identity *identities; /* CW_SITES_MAX of them, indexed by site id; valid until answered */
    const char *text;                     /* EVENT: static, with %llu for a, b, c in order */
    uint64_t a, b, c;
};

bool cw_group_action(struct cw_group *group, struct cw_action *action);

void cw_group_on_journal_written(struct cw_group *group, uint32_t slot, enum cw_status status);
void cw_group_on_journal_synced(struct cw_group *group, enum cw_status status);
void cw_group_on_journal_read(struct cw_group *group, uint64_t token, enum cw_status status);
void cw_group_on_super_written(struct cw_group *group, enum cw_status status);
void cw_group_on_applied(struct cw_group *group, uint64_t token, enum cw_status status);
void cw_group_on_volumes_synced(struct cw_group *group, enum cw_status status);
void cw_group_on_copy_read(struct cw_group *group, uint64_t token, enum cw_status status);
void cw_group_on_image(struct cw_group *group, enum cw_status status);
void cw_group_on_salvaged(struct cw_group *group, enum cw_status status);

/* ---------------------------------------------------------------- peers */

void cw_group_on_peer_up(struct cw_group *group, uint8_t peer, uint64_t now_ns);
void cw_group_on_peer_down(struct cw_group *group, uint8_t peer, uint64_t now_ns);
/* delivered or given back; the body's memory is no longer used. Late answers of an earlier session are known
 * by their tag and ignored, but each SEND with tag != 0 is answered exactly once. */
void cw_group_on_sent(struct cw_group *group, uint8_t peer, uint64_t tag, bool delivered);
/* It and its repairs, and all that was sent before it in this session and asked for, have left this node. */
void cw_group_on_left(struct cw_group *group, uint8_t peer, uint64_t departure, uint64_t now_ns);
/* A message for this group, decoded. body (body_length bytes, aligned to 512) belongs to the group when it
 * returns true and comes back by RELEASE of `handle`; otherwise it is still the caller's. from must equal
 * message->from_site: the shell checks it against the session. */
bool cw_group_on_message(struct cw_group *group, const struct cw_message *message, uint8_t *body,
                         uint32_t body_length, uint64_t handle, uint64_t now_ns);

/* ---------------------------------------------------------------- authority */

struct cw_open_request {
    uint64_t store_epoch; /* as the store has it; 0: never opened */
    uint64_t epoch_floor; /* the new epoch is this one at least; 0: the next one will do */
    bool is_fenced;       /* and it knows that nothing of that epoch is answered any more */
    uint64_t first_sequence; /* of that epoch, as it was claimed; 0: nobody did, the row was rebuilt */
    uint8_t holder;       /* site id, or CW_SITES_MAX: nobody */
    uint8_t members;      /* bits: the store's in-sync set, the holder included */
    uint8_t in_memory;    /* bits: members that count as the same process only, as in semi-sync */
    struct cw_identity identities[CW_SITES_MAX];
    uint64_t reign;    /* fresh random, not 0 */
    bool accept_loss;  /* also of what a full copy was bringing: the image of before it is opened */
    bool inconsistent; /* and, without one, whatever is there */
    /* Also from a primary that lives by the grant of this site: it is given none any more, and when that has
     * run out it is opened here. For who was asked to, while the store answers. */
    bool ends_grants;
};
/* CW_REFUSED: cw_group_status.refusal says why; CW_AGAIN: if it says something, a primary lives by our grant.
 * Else it ends as PRIMARY or back as REPLICA with a refusal. */
enum cw_status cw_group_open(struct cw_group *group, const struct cw_open_request *open,
                             uint64_t now_ns) CW_MUST_CHECK;
/* ok: the store has it. again: an old lease may run; asked again in 100 ms. Else refused, why is copied. */
enum cw_claim_result { CW_CLAIM_OK, CW_CLAIM_AGAIN, CW_CLAIM_REFUSED };
void cw_group_on_claimed(struct cw_group *group, enum cw_claim_result result, const char *why,
                         uint64_t now_ns);
/* ok = false: refused or unreachable: nothing changed as far as we know, asked again in 1 s.
 * The same question may come twice: a set that is already as asked is ok. */
void cw_group_on_set_changed(struct cw_group *group, bool ok, uint64_t now_ns);
/* The node's lease covers this group until deadline_ns of our monotonic clock (already with its margin). */
void cw_group_lease(struct cw_group *group, uint64_t deadline_ns);
/* Stop acknowledging any epoch <= epoch, now: pending requests end with CW_SHUTDOWN. */
void cw_group_fence(struct cw_group *group, uint64_t epoch, uint64_t now_ns);
/* Primary: hold new requests and bring every member level. DRAINED when done; fence follows. */
enum cw_status cw_group_drain(struct cw_group *group, uint64_t now_ns) CW_MUST_CHECK;
/* Primary: copy this peer in full. */
enum cw_status cw_group_resync(struct cw_group *group, uint8_t peer) CW_MUST_CHECK;
void cw_group_set_mode(struct cw_group *group, enum cw_mode mode, uint8_t min_in_sync, uint8_t sites);
/* Counts for waits that are under way, too. */
void cw_group_set_replica_timeout(struct cw_group *group, uint64_t timeout_ns);
/* Not in async, where no write ever waits for a path. */
void cw_group_set_copy_brake(struct cw_group *group, uint64_t brake_ns);
/* Tells the group of a volume (before records for it can be applied). Volume ids are never used again. */
void cw_group_volume_add(struct cw_group *group, uint16_t volume, uint64_t size, uint64_t base,
                         bool is_device);
/* The volume is gone for good, whether it ever was here or not: its records count as applied. Nothing that
 * was issued to it is under way. */
void cw_group_volume_remove(struct cw_group *group, uint16_t volume);
/* The name of the data that the volume began with; a full copy changes it to its source's. */
uint64_t cw_group_volume_base(const struct cw_group *group, uint16_t volume);

/* ---------------------------------------------------------------- starting */

/*
 * 1. cw_group_new with the superblock as picked from the journal (or made by cw_group_format for a new one);
 * 2. volumes are added, those that were deleted are removed;
 * 3. the shell runs cw_recovery twice over the journal, blocking: the first time it passes every record to
 *    cw_group_recover_index, the second time to cw_group_recover_redo, which says what to do with each:
 *    apply it in place now, keep it (payload copied by the shell into a pool buffer and given to
 *    cw_group_recover_keep), or skip it; between the two it syncs the journal: what a killed process had only
 *    written counts here, and nothing may be in place that a loss of power could still take from the journal;
 * 4. volumes are synced, cw_group_start. The first step writes the superblock.
 */
/* Fills a superblock for a fresh journal. */
void cw_group_format(struct cw_superblock *superblock, uint32_t group, uint32_t site, uint64_t ring_sectors,
                     const uint64_t journal_id[2]);
struct cw_group *cw_group_new(const struct cw_group_config *config, const struct cw_superblock *superblock,
                              struct cw_arena *arena);
void cw_group_recover_index(struct cw_group *group, const struct cw_record *record, uint64_t position,
                            uint32_t sectors);
/* After the first scan: takes its report. */
void cw_group_recover_report(struct cw_group *group, const struct cw_recovery_report *report);
enum cw_redo { CW_REDO_SKIP, CW_REDO_APPLY, CW_REDO_KEEP };
enum cw_redo cw_group_recover_redo(struct cw_group *group, const struct cw_record *record);
void cw_group_recover_keep(struct cw_group *group, const struct cw_record *record,
                           const struct cw_payload *payload);
/* new_journal_id: fresh random, for the log that a full copy begins. */
void cw_group_start(struct cw_group *group, const uint64_t new_journal_id[2], uint64_t now_ns);
/* Does the superblock ask that target files be switched in (crash between SWITCH and its superblock)? The
 * shell does IMAGE_SWITCH before step 2 if so; or removes leftovers of a copy if not. */
bool cw_group_superblock_wants_switch(const struct cw_superblock *superblock);

/* ---------------------------------------------------------------- the turn */

void cw_group_step(struct cw_group *group, uint64_t now_ns);
uint64_t cw_group_deadline_ns(const struct cw_group *group);
/* What still waits for others is answered SHUTDOWN. Closed in order: nothing in flight, everything synced;
 * the last superblock says clean. Step until true. */
void cw_group_stop(struct cw_group *group, uint64_t now_ns);
bool cw_group_is_stopped(const struct cw_group *group);
/* Every record is applied: the volumes' files say it all. */
bool cw_group_is_in_place(const struct cw_group *group);

struct cw_journal *cw_group_journal(struct cw_group *group);

/* ---------------------------------------------------------------- what it knows of itself */

#define CW_GROUP_COUNTERS(X)                                                                                 \
    X(CW_GROUP_WRITES, "writes")                                                                             \
    X(CW_GROUP_WRITE_BYTES, "write_bytes")                                                                   \
    X(CW_GROUP_READS, "reads")                                                                               \
    X(CW_GROUP_FLUSHES, "flushes")                                                                           \
    X(CW_GROUP_BATCHES, "journal_batches")                                                                   \
    X(CW_GROUP_SYNCS, "journal_syncs")                                                                       \
    X(CW_GROUP_APPLIED, "records_applied")                                                                   \
    X(CW_GROUP_RECEIVED, "records_received") X(CW_GROUP_DUPLICATE, "records_duplicate")                      \
        X(CW_GROUP_STALE, "stale_refused") X(CW_GROUP_BAD_HASH, "payload_hash_mismatch")                     \
            X(CW_GROUP_BAD_FIELD, "impossible_field") X(CW_GROUP_OVER_WINDOW, "over_window")                 \
                X(CW_GROUP_CATCHUP_READS, "catchup_reads") X(CW_GROUP_COPY_CHUNKS, "copy_chunks")            \
                    X(CW_GROUP_HELD, "answers_held") X(CW_GROUP_CHECKPOINTS, "checkpoints")
enum { CW_GROUP_COUNTERS(CW_COUNTER_ENUM) CW_GROUP_COUNTER_COUNT };
extern const char *const cw_group_counter_names[CW_GROUP_COUNTER_COUNT];

/* What the last primary that we followed said last. */
struct cw_heard {
    uint64_t epoch, reign; /* 0: nothing yet */
    uint64_t head;         /* the last sequence that it had given out */
    uint64_t at_ns;        /* when we heard it */
    uint64_t time_ns;      /* when it said so, by its own clock */
    uint64_t
        newest_ns; /* by that clock: when the newest record of its reign that we hold was written; 0: none */
    uint64_t
        rate_milli; /* records in a thousand seconds that it gave out, in the busier of the last two spans */
    struct {
        uint64_t head, time_ns, rate_milli;
    } span; /* of a second or more: where it began; the rate of the one before */
};

struct cw_peer_status {
    uint8_t state; /* enum cw_peer_state */
    bool is_member;
    bool is_awaited; /* network-sync: writes wait until they have left towards it */
    bool needs_copy;
    bool is_stalled; /* connected, lacks something, and nothing has moved for long */
    uint64_t left;   /* network-sync: up to here everything has */
    struct cw_sequences sequences;
    struct cw_identity identity;
    uint64_t lag_bytes; /* acknowledged payload it has not made durable */
    uint64_t lag_ns;    /* age of the oldest write of a client that it has not made durable; 0: none */
    bool is_lag_known;  /* false: it has not attached since we opened, and the two count our reign only */
    uint64_t cursor;
    uint64_t copy_done_bytes, copy_total_bytes, copy_started_ns;
    char reason[160];
};

/* The last time that we ceased, and the last opening: when, by the caller's clock. 0: not since the start.
 * For people and measuring; nothing is decided by it. */
struct cw_turn {
    uint64_t left_epoch; /* of the reign that ended, or is being drained */
    uint64_t held_ns, drained_ns,
        left_ns; /* requests wait from here; everybody is level; nothing more is answered */
    uint64_t opened_epoch;
    uint64_t asked_ns, opened_ns; /* asked to open; requests are taken */
};

/* What lets a primary acknowledge. */
enum cw_cover { CW_COVER_NONE = 0, CW_COVER_STORE, CW_COVER_GRANTS };

struct cw_grant_status {
    bool is_needed;        /* we are primary, and this site must grant for us to go on without the store */
    uint64_t remaining_ns; /* 0: it has granted nothing, or no longer */
    uint8_t result;        /* enum cw_grant_result of its last answer */
};

struct cw_group_status {
    uint8_t role;
    uint8_t primary; /* site id as far as known; CW_SITES_MAX: unknown */
    enum cw_mode mode;
    uint64_t epoch, reign;
    bool is_frozen; /* answers are held now */
    bool is_damaged;
    uint8_t cover; /* enum cw_cover; while primary */
    bool peer_grants;
    uint64_t store_remaining_ns; /* of the store's lease */
    struct cw_grant_status grants[CW_SITES_MAX];
    uint8_t granted_to;            /* our own grant: the site that has it; CW_SITES_MAX: none runs */
    uint64_t granted_remaining_ns; /* how long nothing is claimed here because of it, or of our start */
    uint32_t image_state;
    /* COPYING, and an older whole image stands beside the copy: after this sequence, last written in this
     * epoch, since this second of the wall clock. 0: there is none. */
    uint64_t image_sequence, image_epoch, image_time_s;
    char reason[160];  /* DOWN, or frozen: why */
    char refusal[160]; /* the last open that was refused: why, and what would help */
    uint64_t head, completed;
    struct cw_heard heard;
    struct cw_sequences sequences;
    uint64_t applied_limit;
    uint8_t members; /* bits */
    struct cw_turn turn;
    struct cw_identity identity;
    struct cw_history history;
    uint64_t journal_bytes, journal_used_bytes, journal_oldest;
    struct cw_peer_status peers[CW_SITES_MAX];
    uint64_t counters[CW_GROUP_COUNTER_COUNT];
};
void cw_group_status(struct cw_group *group, uint64_t now_ns, struct cw_group_status *status);
