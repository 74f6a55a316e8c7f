/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages of the replication protocol: what two engines say to each other about one group, inside the
 * seal of a session. Each has a head of at most CW_MESSAGE_HEAD_MAX bytes and, where it carries data, a
 * body of at most CW_RECORD_PAYLOAD_MAX bytes. The transport delivers each message once and whole, in any
 * order; so every message can be understood alone and says which group, epoch and reign it speaks for.
 *
 * Common head, 32 bytes: u8 type, u8 version (1), u8 from_site, u8 flags, u32 group, u64 epoch, u64 reign,
 * u64 serial (rises with every message of one sender's process to one peer about one group; a receiver
 * drops state messages, HELLO, ACK and COMMIT, that are older than one it has taken). Then the type's own
 * fields. Little-endian. PROTOCOL.md draws each of them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/record.h"

#define CW_SITES_MAX 8u            /* site ids are 0..7 */
#define CW_HISTORY_MAX 32u         /* epochs kept in a history; the oldest is dropped first */
#define CW_MESSAGE_HEAD_MAX 2048u
#define CW_MESSAGE_VERSION 1u

enum cw_message_type {
    CW_MSG_NONE = 0,
    CW_MSG_HELLO,      /* both ways: everything one side knows of itself; answered by HELLO if flag ASK */
    CW_MSG_ATTACH,     /* primary -> replica: cut above `sequence`, adopt this history, stream follows */
    CW_MSG_ATTACHED,   /* replica -> primary: cut and durable; or why not */
    CW_MSG_RECORD,     /* one record with its payload */
    CW_MSG_COMMIT,     /* primary -> replica: commit sequence, head, what to make durable now */
    CW_MSG_ACK,        /* replica -> primary: received, written, durable, applied */
    CW_MSG_FETCH,      /* opener -> member: send me records first..last */
    CW_MSG_COPY_BEGIN, /* primary -> replica: a full copy starts */
    CW_MSG_COPY_CHUNK, /* primary -> replica: bytes of a volume as of a sequence */
    CW_MSG_COPY_END,   /* primary -> replica: all chunks sent; whole once `sequence` is applied */
    CW_MSG_COPY_ACK,   /* replica -> primary: begun, chunk received, finished, or failed */
    CW_MSG_GRANT_ASK,  /* primary -> every site: may this reign go on for another lease, without the store? */
    CW_MSG_GRANT, /* the answer to one GRANT_ASK: yes, or why not; epoch and reign are those of the ask */
    CW_MSG_GRANT_RELEASE, /* former primary -> every site: nothing of this reign is answered any more */
    CW_MSG_TYPE_COUNT
};

struct cw_history_entry {
    uint64_t epoch;
    uint64_t reign;
    uint64_t first_sequence; /* the first sequence written in this epoch */
};

/* Oldest first; epochs and first sequences rise. */
struct cw_history {
    uint32_t count;
    struct cw_history_entry entries[CW_HISTORY_MAX];
};

/* What identifies a holder of data: a site whose own differ from the recorded ones is no member. */
struct cw_identity {
    uint64_t boot_id[2];       /* /proc/sys/kernel/random/boot_id */
    uint64_t journal_id[2];    /* made with the journal, and again when it was found damaged */
    uint64_t process_start;    /* random, made at each start of the engine */
};

struct cw_sequences {
    uint64_t received; /* unbroken in memory */
    uint64_t written;  /* unbroken in the journal, in the page cache or device */
    uint64_t durable;  /* unbroken, survives power loss */
    uint64_t applied;  /* in place */
    uint64_t commit;   /* the highest commit sequence known */
};

/* HELLO flags */
#define CW_HELLO_ASK 0x01u      /* please answer with yours */
#define CW_HELLO_PRIMARY 0x02u  /* the sender is open for writes in `epoch` */
#define CW_HELLO_OPENING 0x04u  /* the sender is opening: gather */
#define CW_HELLO_NEEDS_COPY 0x08u /* no whole image, or an operator asked for a full copy */
#define CW_HELLO_DIVERGED 0x10u /* holds applied data that the asker's history does not have */
#define CW_HELLO_FOLLOWING 0x20u /* attached to the receiver, in the epoch and reign of this message */

/* One volume of the group; a list names each volume once. */
struct cw_message_volume {
    uint16_t volume; /* index in the group */
    uint64_t size;   /* bytes, a multiple of 512 and not 0 */
    uint64_t base;   /* 0: began as zeros; else the random name of the data it began with */
};

struct cw_message_hello {
    struct cw_identity identity;
    struct cw_sequences sequences;
    uint64_t applied_limit;  /* nothing above was ever applied in place */
    struct cw_history history;
    uint32_t volume_count;
    struct cw_message_volume volumes[CW_VOLUMES_PER_GROUP_MAX];
};

struct cw_message_attach {
    uint64_t sequence; /* common point: keep up to here, cut above */
    struct cw_history history;
};

enum cw_attach_result { CW_ATTACH_OK = 0, CW_ATTACH_DIVERGED, CW_ATTACH_NEEDS_COPY, CW_ATTACH_STALE, CW_ATTACH_FAILED };

struct cw_message_attached {
    uint32_t result;   /* enum cw_attach_result */
    uint64_t sequence; /* where the replica now stands: next expected - 1 */
};

/* flags of the common head for RECORD */
#define CW_RECORD_MSG_FETCHED 0x01u /* in answer to FETCH, not of the live stream */

struct cw_message_record {
    uint64_t commit; /* commit sequence when it was sent, as this peer may know it */
    struct cw_record record;
};

struct cw_message_commit {
    uint64_t commit;
    uint64_t head;    /* last sequence given out */
    uint64_t sync_to; /* make durable up to here without waiting; 0: nothing asked */
    uint64_t time_ns; /* primary's monotonic clock: echoed by ACK, ages are computed from it */
};

struct cw_message_ack {
    struct cw_sequences sequences;
    uint64_t echo_time_ns;
    uint64_t process_start; /* of the replica; an ACK of an earlier life is nothing */
};

struct cw_message_fetch {
    uint64_t first;
    uint64_t last;
};

struct cw_message_copy_begin {
    uint64_t copy_id;    /* random; names this attempt */
    uint64_t sequence;   /* live stream starts at sequence + 1 */
    struct cw_history history;
    uint32_t volume_count;
    struct cw_message_volume volumes[CW_VOLUMES_PER_GROUP_MAX];
};

struct cw_message_copy_chunk {
    uint64_t copy_id;
    uint64_t index;        /* from 0, of this copy */
    uint64_t sequence;     /* S: the bytes are the volume after exactly records 1..S */
    uint16_t volume;
    uint8_t is_zero;       /* no body: the whole extent is zero */
    uint32_t length;       /* bytes of the extent */
    uint64_t offset;
    uint64_t payload_hash; /* XXH3-64 of the body; 0 when is_zero */
};

struct cw_message_copy_end {
    uint64_t copy_id;
    uint64_t chunk_count;
    uint64_t sequence; /* the largest S */
};

/* flag of the common head for COPY_BEGIN: into the files as an earlier part left them, if they are there; and for
 * COPY_ACK begun: they are. */
#define CW_COPY_CONTINUES 0x01u

enum cw_copy_state { CW_COPY_BEGUN = 0, CW_COPY_CHUNKS, CW_COPY_DONE, CW_COPY_FAILED };

struct cw_message_copy_ack {
    uint64_t copy_id;
    uint32_t state;           /* enum cw_copy_state */
    uint32_t reason;          /* enum cw_status when FAILED */
    uint64_t chunks_received; /* unbroken count from 0 */
};

struct cw_message_grant_ask {
    uint64_t number;   /* rises with every ask of a reign */
    uint32_t lease_ms; /* for how long; 1 at least */
};

enum cw_grant_result {
    CW_GRANT_GIVEN = 0,
    CW_GRANT_FREEZE,  /* the site is configured to give none */
    CW_GRANT_STALE,   /* it knows a higher epoch */
    CW_GRANT_OPENING, /* it is being opened for writes itself */
    CW_GRANT_RESULT_COUNT
};

struct cw_message_grant {
    uint64_t number;   /* of the ask that is answered */
    uint32_t result;   /* enum cw_grant_result */
    uint32_t lease_ms; /* granted from this answer on, not more than was asked for; 0 when refused */
};

struct cw_message {
    uint8_t type;
    uint8_t from_site;
    uint8_t flags;
    uint32_t group;
    uint64_t epoch;
    uint64_t reign;
    uint64_t serial;
    union {
        struct cw_message_hello hello;
        struct cw_message_attach attach;
        struct cw_message_attached attached;
        struct cw_message_record record;
        struct cw_message_commit commit;
        struct cw_message_ack ack;
        struct cw_message_fetch fetch;
        struct cw_message_copy_begin copy_begin;
        struct cw_message_copy_chunk copy_chunk;
        struct cw_message_copy_end copy_end;
        struct cw_message_copy_ack copy_ack;
        struct cw_message_grant_ask grant_ask;
        struct cw_message_grant grant;
    };
};

enum cw_message_error {
    CW_MESSAGE_OK = 0,
    CW_MESSAGE_SHORT,       /* fewer bytes than its type needs */
    CW_MESSAGE_LONG,        /* more bytes than its type has */
    CW_MESSAGE_BAD_VERSION,
    CW_MESSAGE_BAD_TYPE,
    CW_MESSAGE_BAD_SITE,
    CW_MESSAGE_BAD_FIELD,   /* a count, flag, order or size that cannot be */
    CW_MESSAGE_BAD_RECORD,  /* the record inside fails cw_record_decode */
    CW_MESSAGE_BAD_BODY,    /* body length differs from what the head says */
    CW_MESSAGE_ERROR_COUNT
};

/* Our own struct, asserted to be sound; head has room for CW_MESSAGE_HEAD_MAX. Returns the head's length. */
uint32_t cw_message_encode(const struct cw_message *message, uint8_t *head);
/* Foreign bytes. body_length is checked against the head; the body's hash is the caller's to check. Whatever
 * is not CW_MESSAGE_OK leaves *message undefined. */
enum cw_message_error cw_message_decode(const uint8_t *head, uint32_t head_length, uint32_t body_length,
                                        struct cw_message *message);
/* Bytes of body that travel with this message. */
uint32_t cw_message_body_length(const struct cw_message *message);
const char *cw_message_error_name(enum cw_message_error error);
const char *cw_message_type_name(enum cw_message_type type);
bool cw_history_valid(const struct cw_history *history);
