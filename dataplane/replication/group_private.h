/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The inside of a group, shared by the files of replication/ and by nobody else.
 *
 *     requests.c   writes, flushes, reads in; completions out; what each mode waits for
 *     log.c        records in memory: the log entries, their payloads, when they may go
 *     salvage.c    when the tail may be read into a salvage file
 *     logging.c    records into journal batches, group commit, commit sequence
 *     apply.c      records (and copy chunks) into place, up to the commit sequence
 *     checkpoint.c superblock, what may leave the ring, peers' cursors
 *     source.c     the primary's side of each peer: greeting, attaching, streaming, acknowledgements
 *     follow.c     the replica's side: attach, records, commit, acknowledgements
 *     copy_source.c, copy_target.c   the full copy
 *     ledger.c     what a copied site does not have yet
 *     revert.c     back to the image of before a copy that was not finished
 *     anew.c       a log that begins anew
 *     members.c    the in-sync set
 *     grants.c     going on without the store: the rules
 *     cover.c      the same: messages, words, when a claim may be sent
 *     watch.c      who lacks something and gets nothing
 *     landing.c    how a site gets into it while writes go on
 *     departures.c network-sync: what has left towards whom
 *     open.c       opening for writes; fence; drain
 *     recover.c    starting
 *     status.c     what it knows of itself
 *     group.c      building, the turn, actions, messages
 *
 * Sequences, always: retired <= applied <= issued <= commit; durable <= written <= logged <= head.
 */
#pragma once

#include "base/assert.h"
#include "base/fsm.h"
#include "base/numbers.h"
#include "base/pool.h"
#include "replication/ages.h"
#include "replication/grants.h"
#include "replication/group.h"
#include "replication/history.h"
#include "replication/ledger.h"
#include "replication/overlay.h"

#ifndef CW_PLANTED_BUG
#define CW_PLANTED_BUG 0
#endif

#define CW_APPLY_SLOTS 32u
#define CW_READ_SLOTS  4u /* pieces of the journal held in memory for catching up */
/* Chunks read and not yet delivered, all peers: 4 MiB a round trip, each with memory of its own. */
#define CW_COPY_SLOTS 32u
/* Sectors for what must go on when writes may not. */
#define CW_JOURNAL_RESERVE (CW_BATCH_SECTORS_MAX + 64u)
#define CW_BATCH_ONE_WRITE (4u + CW_RECORD_PAYLOAD_MAX / CW_SECTOR_SIZE)
/* Bodies on their way to one peer: 1 Gb/s x 500 ms; more take longer to come than a member may stay silent.
 */
#define CW_PEER_SENDS_MAX      4096u
#define CW_PEER_SEND_BYTES_MAX (64u << 20)
/* of all peers; a session that ended may still give some back while the next one sends */
#define CW_HELD_SENDS_MAX    (2 * CW_PEER_SENDS_MAX)
#define CW_FLUSHES_MAX       8192u
#define CW_BATCHES_IN_FLIGHT 4u /* enough to keep a device busy, few enough to let batches grow */

/* A payload and how many still look at it: the log entry, and every send of it. */
struct cw_held {
    struct cw_payload payload;
    uint32_t references;
};

/* A record in memory. */
struct cw_log_entry {
    struct cw_record record;
    struct cw_handle held; /* none: no payload */
    bool is_present;
    bool is_issued; /* apply was asked for */
    bool is_applied;
};

struct cw_waiter {
    struct cw_block_request *request;
    uint64_t sequence;
};

/* A queue of waiters in order of their sequences. */
struct cw_waiter_queue {
    struct cw_waiter *ring;
    uint32_t head, tail, mask;
};

struct cw_apply_slot {
    bool is_used;
    bool is_chunk;
    uint32_t generation;
    uint16_t volume;
    uint64_t sequence; /* of a chunk: its index */
    uint64_t offset, length;
    uint64_t handle; /* of a chunk: its buffer, 0: none */
};

struct cw_read_slot {
    enum { CW_SLOT_FREE, CW_SLOT_READING, CW_SLOT_LOADED } state;
    uint8_t peer;
    bool is_current; /* its peer is still taking records out of it */
    uint32_t generation;
    uint32_t references; /* sends whose body lies in memory */
    uint32_t next_record;
    struct cw_batch_view view; /* of the batch that records are taken out of now */
    uint64_t position;         /* its place */
    uint32_t offset, sectors;  /* and where it is in memory, and how long; in sectors */
    uint32_t loaded;           /* so many sectors were read: batches that follow it, as many as fit */
    uint8_t *memory;
};

struct cw_copy_slot {
    enum { CW_COPY_SLOT_FREE, CW_COPY_SLOT_READING, CW_COPY_SLOT_SENT } state;
    uint8_t peer;
    uint32_t generation;
    uint64_t copy_id;
    struct cw_extent extent;
    uint64_t ticket_phase;
    uint8_t *memory;
};

/* The primary's view of the part of a copy that is under way to one peer. */
struct cw_copy_source {
    uint64_t id;          /* 0: none is */
    bool is_bulk;         /* no records go along: it is followed by another part */
    struct cw_extent now; /* what is being read; length: of what is not asked for yet */
    bool is_end_sent;
    uint32_t in_flight; /* slots */
    uint64_t chunks_sent, chunks_acked;
    /* Chunk i at i % count: those that may not be in place over there, which are fewer. */
    struct {
        uint64_t sequence; /* as of which it was read */
        struct cw_extent extent;
    } sent[CW_COPY_SLOTS * 2];
    uint64_t start_sequence;
    uint64_t sequence_max;
    uint64_t record_bytes; /* sent in this part */
    uint64_t bytes_done, bytes_total, started_ns;
};

struct cw_peer {
    uint8_t site;
    bool is_configured;
    bool is_up;       /* a session is up */
    uint8_t state;    /* enum cw_peer_state; meaningful while we are primary */
    bool has_hello;   /* of this session */
    bool needs_copy;  /* an operator asked, or there is no other way */
    uint16_t session; /* counts sessions: late answers carry another one */
    uint64_t serial_seen;
    uint64_t beginning_seen; /* the same, of ATTACH and COPY_BEGIN */
    bool owes_hello;         /* asked while a cut was under way: said when it is made */
    uint64_t hello_asked_ns;
    uint64_t lacks_since_ns; /* a volume that began with data here; 0: none */
    struct cw_message_hello hello;
    uint8_t hello_flags;
    uint64_t hello_epoch, hello_reign;
    struct cw_sequences acked;
    bool is_measured;    /* acked is of our reign: what it holds is known */
    uint64_t next;       /* next sequence to send */
    uint64_t fetch_last; /* we are no primary: it asked for next..fetch_last to open for writes; 0: nothing */
    uint64_t told_commit; /* highest commit sequence sent */
    uint64_t told_commit_ns;
    uint64_t told_sync; /* sync_to last asked for */
    uint32_t sends;     /* bodies on their way in this session */
    uint64_t send_bytes;
    uint16_t attaches;    /* counted: departures of before the last one carry another number */
    bool is_awaited;      /* network-sync: what is acknowledged has left towards it */
    uint64_t left;        /* network-sync: last sequence that has, in this attachment */
    uint64_t left_ns;     /* last time that moved, or had nothing to do */
    uint64_t progress_ns; /* last time it moved, or had nothing to do */
    uint64_t heard_ns;    /* last ACK, while it is attached or copied */
    int32_t read_slot;    /* journal batch being sent from, -1: none */
    uint32_t read_ahead;  /* sectors that the next read of the journal asks for, if its batch is shorter */
    struct cw_copy_source copy;
    struct cw_ledger ledger; /* outlives parts of a copy, and sessions */
    bool has_fallen_off;     /* the copy did: writes came faster than it */
    uint64_t bulk_bytes;     /* what the last part without records began with; 0: it was another one */
    uint64_t copy_told_ns;   /* last event of a part */
    uint64_t brake_told_ns;
    bool is_landing;                      /* whole after such a copy, and not yet in the set */
    uint64_t landing_head, landing_acked; /* when that began */
    uint64_t joins_since_ns;              /* answers wait for it, so that it gets level; 0: they do not */
    uint64_t joins_again_ns;
    uint64_t moved_ns;   /* last time it acknowledged something new, or lacked nothing */
    uint64_t stalled_ns; /* when that was last found to be long ago */
    bool is_stalled;     /* told, and nothing has moved since */
    char reason[160];
};

/* The replica's side of a copy. */
enum cw_copy_target_state {
    CW_TARGET_NONE = 0,
    CW_TARGET_SALVAGING, /* ends with on_salvaged */
    CW_TARGET_PREPARING, /* ends with on_image */
    CW_TARGET_SETTLING,  /* ends when nothing is being applied any more */
    CW_TARGET_HOLDING,   /* ends with on_volumes_synced, of the old files */
    CW_TARGET_MARKING,   /* ends when the superblock says that a copy is under way */
    CW_TARGET_FILLING,   /* ends when all chunks and records up to the largest S are in place */
    CW_TARGET_SYNCING,   /* ends with on_volumes_synced */
    CW_TARGET_SEALING,   /* ends when the superblock says that the switch is to be made */
    CW_TARGET_SWITCHING, /* ends with on_image */
    CW_TARGET_FINISHING  /* ends when the superblock says whole */
};

struct cw_chunk {
    bool is_present;
    uint8_t kind; /* CW_RECORD_WRITE or ZEROES */
    uint16_t volume;
    uint32_t length;
    uint64_t index, sequence, offset;
    uint64_t handle; /* payload buffer; 0: none */
    uint8_t *data;
};

struct cw_copy_target {
    uint8_t state;
    uint64_t id;
    uint64_t start_sequence;
    struct cw_message_copy_begin begin; /* as received */
    uint64_t chunks_received;           /* unbroken */
    uint64_t chunks_applied;            /* unbroken, issued and finished */
    struct cw_chunk chunks[CW_COPY_SLOTS * 2];
    bool has_end;
    uint64_t end_chunks, end_sequence;
    bool is_ack_due;
    bool is_continued; /* into the files as an earlier part left them */
    uint8_t failed;    /* enum cw_status, when it ended badly */
};

/* The way back to the image of before a copy. */
enum cw_revert_state {
    CW_REVERT_NONE = 0,
    CW_REVERT_SETTLING,   /* ends when nothing is on its way to the copy's files */
    CW_REVERT_SALVAGING,  /* ends with on_salvaged */
    CW_REVERT_DISCARDING, /* ends with on_image */
    CW_REVERT_MARKING     /* ends when the superblock says so, with or without an opening */
};

struct cw_revert {
    uint8_t state;
    bool is_whole; /* else --inconsistent was asked for */
    uint64_t sequence, time_s;
    struct cw_history history;
    uint64_t super_ticket;
};

/* The replica's side of the stream. */
enum cw_follow_state {
    CW_FOLLOW_NONE = 0,
    CW_FOLLOW_SALVAGING, /* the tail above the common point is being kept; ends with on_salvaged */
    CW_FOLLOW_CUTTING, /* ends when the superblock with the new history is durable and the journal is idle */
    CW_FOLLOW_STREAMING
};

struct cw_follow {
    uint8_t state;
    uint8_t primary; /* site id; CW_SITES_MAX: none */
    uint64_t epoch, reign;
    struct cw_message_attach attach; /* under way */
    uint64_t super_ticket;
    struct cw_sequences acked; /* what the last ACK said */
    uint64_t ack_ns;
    uint64_t echo_time_ns;
    uint64_t sync_to;
    struct cw_heard heard; /* outlives the stream */
};

/* Diverged: our tail, which is in place already, is kept while an operator makes up his mind. */
struct cw_tail {
    bool is_salvaging; /* ends with on_salvaged */
    bool is_kept;
    uint64_t above, head, epoch, reign; /* of what is being kept, or is: the last record's */
    uint64_t again_ns;                  /* it failed: not before */
};

struct cw_opening {
    struct cw_open_request request;
    uint64_t started_ns;
    uint8_t asked, answered; /* site bits */
    uint8_t heard_out;       /* no members, and up: what they know of epochs is waited for a little */
    uint64_t own_epoch;      /* last of our history, or of that of the image before a copy, as it began */
    uint8_t reached;         /* valid members among those: all they hold is here when it is claimed */
    uint8_t best;            /* site to fetch from */
    uint64_t fetch_to;
    uint64_t fetch_asked_ns;
    uint64_t progress_ns;     /* a fetched record came */
    uint64_t fetch_piece_end; /* asked for up to here; 0: nothing asked yet */
    uint64_t claim_again_ns;
    uint64_t epoch;
    uint64_t super_ticket;
    bool is_claim_sent;
};

struct cw_set {
    uint8_t members;   /* site bits, self included */
    uint8_t asked;     /* the set asked for and not yet answered; 0: nothing asked */
    bool is_in_flight; /* a SET is not yet answered, of this reign or of an earlier one */
    uint64_t retry_ns;
    struct cw_identity identities[CW_SITES_MAX];
};

struct cw_volume {
    bool is_present;
    bool is_removed; /* what is left of its records is passed over */
    bool is_device;
    uint64_t size;
    uint64_t base;
};

struct cw_group {
    struct cw_group_config config;
    uint8_t role;
    uint64_t now_ns;            /* of the current step or event */
    uint64_t epoch, reign;      /* of our own reign while primary, else of the history's last */
    uint64_t lease_deadline_ns; /* the store's; what counts is cw_cover_ends_ns */
    struct cw_grants grants;
    uint8_t cover_told;   /* enum cw_cover: what the last event said */
    bool is_covered_once; /* by the store, in this reign */
    struct cw_ages ages;  /* of what our reign wrote */
    uint64_t drain_ends_ns;
    struct cw_turn turn;
    bool is_claim_in_flight; /* a CLAIM is not yet answered, of this opening or of one that was left */
    bool is_stopping, is_stopped;
    char reason[160], refusal[160];

    struct cw_volume volumes[CW_VOLUMES_PER_GROUP_MAX];

    /* records in memory */
    struct cw_log_entry *log; /* [sequence & log_mask], sequences log_first .. log_first + mask */
    uint64_t log_mask;
    uint64_t log_first; /* lowest sequence that may be in memory: retired + 1 */
    struct cw_pool held;
    struct cw_overlay overlay;
    uint64_t payload_bytes;  /* of entries in memory */
    uint64_t unlogged_bytes; /* primary: payload of records that are in no batch yet */
    uint32_t held_sends;     /* references that sends have, of all sessions */

    /* sequences */
    uint64_t head;      /* primary: last given out; replica: last received unbroken */
    uint64_t logged;    /* in a batch, written or not */
    uint64_t commit;    /* we know it */
    uint64_t completed; /* highest sequence acknowledged to a writer */
    struct {
        uint64_t seen, gone; /* completed, as it was at at_ns, and the time before */
        uint64_t at_ns;
    } answers;
    uint64_t flushed; /* highest sequence acknowledged as durable */
    uint64_t issued;  /* apply asked for, unbroken */
    uint64_t applied; /* in place, unbroken */
    uint64_t applied_limit;

    /* requests */
    struct cw_waiter_queue writes, flushes;
    uint64_t no_room_since_ns; /* no write entered since, for want of room in the ring; 0: the last one did */
    uint32_t read_phase;
    uint64_t reads[2];   /* in flight, by the phase in which they began */
    uint64_t phase_mark; /* applied when the phase turned: may retire when the old phase's reads are gone */

    /* journal */
    struct cw_journal *journal;
    uint32_t batches_in_flight;
    bool is_syncing;
    bool is_journal_cutting;
    uint64_t sync_wanted;   /* make durable up to here without waiting for the interval */
    uint64_t commit_logged; /* highest commit carried by a closed batch */
    uint64_t last_sync_ns;
    uint64_t last_batch_ns;

    struct cw_apply_slot apply[CW_APPLY_SLOTS];
    uint32_t apply_used;

    /* superblock and checkpoint */
    struct cw_superblock super;
    uint8_t *super_block;                            /* 4 KiB, in flight */
    uint64_t super_asked, super_writing, super_done; /* tickets */
    uint64_t super_name,
        super_writing_name; /* of what must not be forgotten: in the last generation; in flight */
    bool is_super_in_flight;
    bool is_volumes_syncing; /* a VOLUMES_SYNC is out, of the copy's files or of the current ones */
    bool is_copy_syncing;
    bool is_checkpoint_syncing;
    uint64_t checkpoint_mark;   /* applied when the sync began */
    uint64_t checkpoint_ticket; /* superblock that carries the mark; 0: none */
    uint64_t release_sequence;  /* what the superblock under way allows to leave the ring */
    uint64_t checkpoint_ns;

    struct cw_peer peers[CW_SITES_MAX];
    struct cw_read_slot read_slots[CW_READ_SLOTS];
    struct cw_copy_slot copy_slots[CW_COPY_SLOTS];
    struct cw_set set;
    struct cw_opening opening;
    struct cw_follow follow;
    struct cw_copy_target target;
    uint64_t
        filled_by; /* id of the last part of a copy that went into the new files as they are; 0: none did */
    struct cw_revert revert;
    bool is_image_busy;                   /* an IMAGE or SALVAGE action is out */
    bool is_salvage_wanted, is_salvaging; /* the SALVAGE waits for the journal; is out */
    uint64_t salvage_above;
    struct cw_tail tail;

    uint64_t serial; /* of the last message sent; begins with the time of the start */
    uint64_t copy_serial;

    struct cw_action *actions; /* ring */
    uint32_t action_head, action_tail, action_mask;
    uint8_t (*heads)[CW_MESSAGE_HEAD_MAX]; /* of SEND actions of this turn that need a long one */
    uint32_t head_used;
    uint8_t *short_heads; /* CW_SHORT_HEAD bytes each */
    uint32_t short_used;

    /* recovery */
    uint64_t recover_last;
    uint64_t recover_base;
    bool is_recovered_damaged;
    uint64_t next_journal_id[2]; /* random; a copy starts the log anew under an id made from it */

    cw_counter counters[CW_GROUP_COUNTER_COUNT];
};

#define CW_SHORT_HEAD 192u
#define CW_LONG_HEADS 32u

/* group.c */
struct cw_action *cw_group_act(struct cw_group *g, enum cw_action_type type);
void cw_group_event(struct cw_group *g, uint8_t level, const char *text, uint64_t a, uint64_t b, uint64_t c);
void cw_group_role_set(struct cw_group *g, enum cw_role role);
/* Stops the group: its journal or a volume failed here. */
void cw_group_down(struct cw_group *g, const char *why);
/* The head is filled in: site, group, epoch, reign, serial. body may be NULL; tag 0: no answer wanted. */
void cw_group_send(struct cw_group *g, uint8_t peer, uint8_t stream, struct cw_message *message,
                   uint8_t *body, uint32_t body_length, uint64_t tag);
/* Room for another message of this turn? */
bool cw_group_can_send(const struct cw_group *g);
static inline bool cw_group_is_open(const struct cw_group *g)
{
    return g->role == CW_ROLE_PRIMARY || g->role == CW_ROLE_DRAINING || g->role == CW_ROLE_DRAINED;
}

/* log.c */
static inline struct cw_log_entry *cw_log_at(struct cw_group *g, uint64_t sequence)
{
    return &g->log[sequence & g->log_mask];
}
bool cw_log_has(struct cw_group *g, uint64_t sequence); /* present in memory */
bool cw_log_has_room(const struct cw_group *g, uint64_t count);
/* Takes payload (may be NULL) and puts the record under the overlay. */
void cw_log_add(struct cw_group *g, const struct cw_record *record, const struct cw_payload *payload);
const struct cw_payload *cw_log_payload(struct cw_group *g, const struct cw_log_entry *entry);
void cw_held_unref(struct cw_group *g, struct cw_handle held);
void cw_log_retire(struct cw_group *g);
/* Drops every entry above sequence (cut) and gives the payloads back. */
void cw_log_drop_above(struct cw_group *g, uint64_t sequence);

/* requests.c */
void cw_requests_complete(struct cw_group *g);
uint64_t cw_requests_written_by_all(struct cw_group *g); /* what the mode calls held */
/* How far a member holds things as the mode wants them for a WRITE. */
uint64_t cw_member_holds(const struct cw_group *g, const struct cw_peer *peer);
/* ... and for a FLUSH. */
uint64_t cw_member_keeps(const struct cw_group *g, const struct cw_peer *peer);
uint8_t cw_wait_mask(const struct cw_group *g); /* members whose word completions need, self excluded */

/* tail.c */
void cw_tail_step(struct cw_group *g);
void cw_tail_on_salvaged(struct cw_group *g, enum cw_status status);
/* Are all records above this sequence in a salvage file, since this process started? */
bool cw_tail_is_kept(const struct cw_group *g, uint64_t above);
/* salvage.c */
/* For whoever is in a state SALVAGING: the action follows when the journal has all that it is to read. */
void cw_salvage_ask(struct cw_group *g, uint64_t above);
void cw_salvage_step(struct cw_group *g);

/* logging.c */
void cw_logging_step(struct cw_group *g);
bool cw_logging_has_room(struct cw_group *g); /* the ring, for the next record that is to be logged */
void cw_commit_step(struct cw_group *g);

/* apply.c */
void cw_apply_step(struct cw_group *g);

/* checkpoint.c */
uint64_t cw_super_ask(struct cw_group *g); /* ticket: durable when super_done >= it */
static inline bool cw_super_is_done(const struct cw_group *g, uint64_t ticket)
{
    return g->super_done >= ticket;
}
void cw_super_step(struct cw_group *g);
void cw_checkpoint_step(struct cw_group *g);
void cw_note_cursor(struct cw_group *g, const struct cw_peer *peer);
bool cw_group_is_idle(const struct cw_group *g);
void cw_volumes_sync(struct cw_group *g, bool to_copy);
bool cw_journal_has_room(struct cw_group *g, uint64_t sectors);

/* source.c */
void cw_source_step(struct cw_group *g);
void cw_source_reset(struct cw_group *g, struct cw_peer *peer, enum cw_peer_state state);
void cw_source_on_hello(struct cw_group *g, struct cw_peer *peer);
void cw_source_on_attached(struct cw_group *g, struct cw_peer *peer,
                           const struct cw_message_attached *attached);
void cw_source_on_ack(struct cw_group *g, struct cw_peer *peer, const struct cw_message_ack *ack);
void cw_source_on_fetch(struct cw_group *g, struct cw_peer *peer, const struct cw_message *message);
uint64_t cw_peer_commit(const struct cw_group *g, const struct cw_peer *peer);
uint64_t cw_source_deadline(const struct cw_group *g);

/* follow.c */
void cw_follow_step(struct cw_group *g);
uint64_t cw_follow_deadline(const struct cw_group *g);
void cw_follow_on_attach(struct cw_group *g, struct cw_peer *peer, const struct cw_message *message);
/* heard.c: what the primary says, for the day on which it says no more */
void cw_heard_commit(struct cw_group *g, const struct cw_message *m);
void cw_heard_record(struct cw_group *g, const struct cw_record *record);
bool cw_follow_on_record(struct cw_group *g, struct cw_peer *peer, const struct cw_message *message,
                         uint8_t *body, uint32_t body_length, uint64_t handle);
void cw_follow_on_commit(struct cw_group *g, struct cw_peer *peer, const struct cw_message *message);
void cw_follow_stop(struct cw_group *g);
void cw_forget_cursors(struct cw_group *g);
bool cw_group_is_cutting(const struct cw_group *g);
bool cw_group_is_changing(const struct cw_group *g);
/* Moves head over what is unbroken in memory, and puts it under the overlay. */
void cw_follow_take_unbroken(struct cw_group *g);
void cw_group_send_hello(struct cw_group *g, struct cw_peer *peer, uint8_t flags);
void cw_follow_on_salvaged(struct cw_group *g, enum cw_status status);
/* Puts what is held at head back to `sequence`; the journal must be idle. */
void cw_group_cut(struct cw_group *g, uint64_t sequence);

/* copy_source.c */
void cw_copy_begin(struct cw_group *g, struct cw_peer *peer);
/* A record entered: it is noted for whoever is being copied. */
void cw_copy_note_write(struct cw_group *g, const struct cw_record *record);
/* The journal is to lose what a copy needs: it goes on without, and gets it as part of the volumes. */
void cw_copy_fall_off(struct cw_group *g, struct cw_peer *peer);
/* May what this copy needs keep its place in a full ring, so that writes wait for it? */
bool cw_copy_brakes(const struct cw_group *g, const struct cw_peer *peer);
/* May records go to a site that is being copied? Not so many that no chunk would get through. */
bool cw_copy_lets_records(const struct cw_group *g, const struct cw_peer *peer);
static inline bool cw_is_copying(const struct cw_peer *peer)
{
    return peer->state == CW_PEER_COPY_BEGIN || peer->state == CW_PEER_COPYING;
}
void cw_copy_step(struct cw_group *g, struct cw_peer *peer);
void cw_copy_on_ack(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m);
/* departures.c */
/* The record was just given to cw_group_send. */
void cw_departure_ask(struct cw_group *g, const struct cw_peer *peer, uint64_t sequence);
/* Whoever is streamed to is awaited from the moment when all that was acknowledged has left towards it, and
 * no longer when nothing leaves for replica_timeout. */
void cw_departures_step(struct cw_group *g);
/* Has left towards everybody awaited. */
uint64_t cw_departures_all(const struct cw_group *g);
void cw_copy_on_sent(struct cw_group *g, uint32_t slot);
void cw_copy_abandon(struct cw_group *g, struct cw_peer *peer);
void cw_copy_on_volume_removed(struct cw_group *g, uint16_t volume); /* while it still is present */

/* landing.c */
void cw_landing_begin(struct cw_group *g, struct cw_peer *peer);
void cw_landing_step(struct cw_group *g);
/* May a write wait for a site that is copied, or lands? None has waited for copy_brake. */
bool cw_brake_may_hold(const struct cw_group *g);
bool cw_landing_brakes(const struct cw_group *g, const struct cw_peer *peer);
/* May so many records enter? */
bool cw_landing_lets(const struct cw_group *g, uint64_t records);
uint8_t
cw_landing_mask(const struct cw_group *g); /* sites that answers wait for, and that are no members yet */

/* watch.c */
#define CW_STALL_NS (30 * CW_SECOND)
void cw_watch_step(struct cw_group *g);

/* copy_target.c */
void cw_target_step(struct cw_group *g);
void cw_target_on_begin(struct cw_group *g, struct cw_peer *peer, const struct cw_message *message);
bool cw_target_on_chunk(struct cw_group *g, struct cw_peer *peer, const struct cw_message *message,
                        uint8_t *body, uint32_t body_length, uint64_t handle);
void cw_target_on_end(struct cw_group *g, struct cw_peer *peer, const struct cw_message *message);
void cw_target_on_salvaged(struct cw_group *g, enum cw_status status);
void cw_target_on_synced(struct cw_group *g);
/* The next chunk to be put in place, before the record after `issued`; NULL: it has not come. */
struct cw_chunk *cw_target_chunk_due(struct cw_group *g);
void cw_target_chunk_applied(struct cw_group *g, uint64_t index);
void cw_target_forget(struct cw_group *g); /* drops chunks held; the superblock keeps saying unfinished */
/* Gives the payloads of all chunks back. */
void cw_target_release(struct cw_group *g);
/* After apply had its turn: nothing more can be put into the old files. */
void cw_target_settle(struct cw_group *g);
void cw_target_on_volume_added(struct cw_group *g);
static inline bool cw_target_is_filling(const struct cw_group *g)
{
    return g->target.state >= CW_TARGET_FILLING && g->target.state <= CW_TARGET_SWITCHING;
}

/* revert.c */
/* An older whole image stands beside a copy that is not finished. */
bool cw_group_has_old_image(const struct cw_group *g);
void cw_revert_begin(struct cw_group *g);
void cw_revert_step(struct cw_group *g);
void cw_revert_on_salvaged(struct cw_group *g, enum cw_status status);
void cw_revert_on_discarded(struct cw_group *g);

/* anew.c */
/* The superblock to be: an empty log above `sequence` of that history. salt: names what it is for. */
void cw_anew_mark(struct cw_group *g, uint64_t sequence, const struct cw_history *history, uint64_t salt);
bool cw_anew_is_quiet(const struct cw_group *g);
void cw_anew_jump(struct cw_group *g, uint64_t sequence);

/* members.c */
void cw_members_step(struct cw_group *g);

/* cover.c */
void cw_cover_start(struct cw_group *g);
void cw_cover_step(struct cw_group *g);
/* A GRANT_ASK, GRANT or GRANT_RELEASE. */
void cw_cover_on_message(struct cw_group *g, const struct cw_peer *peer, const struct cw_message *m);
/* Until when a primary may acknowledge: the store's lease, or grants of all others, whichever ends later. */
static inline uint64_t cw_cover_ends_ns(const struct cw_group *g)
{
    return CW_MAX(g->lease_deadline_ns, cw_grants_deadline_ns(&g->grants, g->epoch, g->reign));
}
/* May an opening begin, or is our grant in use? Then g->refusal says so. */
bool cw_cover_may_open(struct cw_group *g, const struct cw_open_request *open);
bool cw_cover_may_claim(const struct cw_group *g);
void cw_cover_status(const struct cw_group *g, uint64_t now_ns, struct cw_group_status *status);

/* open.c */
void cw_open_step(struct cw_group *g);
enum cw_status cw_open_refuse(struct cw_group *g, const char *why);
/* The store says that we hold this reign, and our history does not know it: it was claimed here, and never
 * opened. Between the two anything may have happened: a claim may be written long after whoever asked gave up
 * waiting, and the reign before it went on meanwhile, by grants. */
bool cw_open_is_unbegun(const struct cw_group *g, const struct cw_open_request *open);
void cw_open_on_hello(struct cw_group *g, struct cw_peer *peer);
bool cw_open_on_fetched(struct cw_group *g, struct cw_peer *peer, const struct cw_message *message,
                        uint8_t *body, uint64_t handle);
void cw_group_leave(struct cw_group *g, uint64_t seen_epoch);
void cw_drain_step(struct cw_group *g);

/* Tags of SEND actions: session of the peer | what the body belongs to | its index. */
enum cw_tag_kind { CW_TAG_HELD = 1, CW_TAG_READ_SLOT, CW_TAG_COPY_SLOT };
static inline uint64_t cw_tag(const struct cw_peer *peer, enum cw_tag_kind kind, uint32_t index)
{
    return (uint64_t)peer->session << 48 | (uint64_t)kind << 32 | index;
}
void cw_source_sent(struct cw_group *g, struct cw_peer *peer, uint16_t session, uint32_t body_length);

/* What stands in the files, with the journal, is a prefix. */
static inline void cw_super_set_whole(struct cw_superblock *s)
{
    s->image_state = CW_IMAGE_WHOLE;
    s->image_sequence = s->image_time_s = s->copy_id = 0;
    s->image_history = (struct cw_history){0};
    s->must_switch = false;
}

/* Facts of a turn bear the time at which it began, requests the one at which they came; between the two the
 * process may have stood still for any time. A time that went back would make each wait longer than any
 * limit. */
static inline void cw_group_clock(struct cw_group *g, uint64_t now_ns)
{
    g->now_ns = CW_MAX(g->now_ns, now_ns);
}

/* Small questions. */
static inline uint8_t cw_bit(uint8_t site)
{
    return (uint8_t)(1u << site);
}
static inline bool cw_identity_equal(const struct cw_identity *a, const struct cw_identity *b,
                                     bool with_process)
{
    return a->boot_id[0] == b->boot_id[0] && a->boot_id[1] == b->boot_id[1] &&
           a->journal_id[0] == b->journal_id[0] && a->journal_id[1] == b->journal_id[1] &&
           (!with_process || a->process_start == b->process_start);
}
/* Nothing above was applied in place, nor will recovery apply anything above: a cut at or above it is
 * harmless. */
static inline uint64_t cw_group_applied_limit(const struct cw_group *g)
{
    return CW_MAX(CW_MAX(g->applied_limit, g->super.applied_limit), g->commit_logged);
}
static inline uint64_t cw_group_written(const struct cw_group *g)
{
    return cw_journal_written_sequence(g->journal);
}
static inline uint64_t cw_group_durable(const struct cw_group *g)
{
    return cw_journal_durable_sequence(g->journal);
}
