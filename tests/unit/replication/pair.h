/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two or three groups joined by queues, for stories of a few lines. Disks are bytes in memory that answer in
 * the next turn, or when the story says so; messages go through the wire's encoder and decoder and arrive in
 * order in the next turn, or when the story says so; time jumps to the next deadline. The store is a struct.
 *
 * What the simulator does at random is done here on purpose. Payload buffers are single allocations, so that
 * the address sanitizer sees one that is used after it was given back; fini sees one that never was.
 */
#pragma once

#include "device.h"
#include "replication/group_private.h"

#define PAIR_SITES_MAX    3u
#define PAIR_BLOCK        4096u
#define PAIR_BLOCKS       64u /* of the one volume */
#define PAIR_REQUESTS_MAX 16384u
#define PAIR_LOG_ENTRIES  256u
#define PAIR_RING_SECTORS 2048u
#define PAIR_COPY_CHUNK   8192u

enum pair_fact {
    PAIR_JOURNAL_WRITTEN,
    PAIR_JOURNAL_SYNCED,
    PAIR_JOURNAL_READ,
    PAIR_SUPER_WRITTEN,
    PAIR_APPLIED,
    PAIR_VOLUMES_SYNCED,
    PAIR_COPY_READ,
    PAIR_IMAGE,
    PAIR_SALVAGED,
    PAIR_CLAIMED,
    PAIR_SET,
    PAIR_LEFT,
    PAIR_FACT_COUNT
};

struct pair_answer {
    struct pair_answer *next;
    enum pair_fact fact;
    enum cw_status status;
    struct cw_action action;
};

struct pair_message {
    struct pair_message *next;
    uint8_t from, to;
    uint8_t stream;
    uint8_t head[CW_MESSAGE_HEAD_MAX];
    uint32_t head_length, body_length;
    const uint8_t *body; /* the sender's, read at delivery */
    uint64_t tag;
};

struct pair_site {
    struct pair *pair;
    uint8_t id;
    bool is_alive;
    uint64_t boot;
    struct cw_group *group;
    void *arena;
    struct cw_device journal, volume, target;
    bool has_target;
    struct pair_answer *answers, **answers_end;
    bool holds[PAIR_FACT_COUNT]; /* such answers wait */
    enum cw_status fails[PAIR_FACT_COUNT];
    uint64_t salvaged_above, salvaged_last, salvages, copies, prepares;
    struct cw_recovery_report report; /* of the last start */
    uint64_t payloads; /* buffers that the group has */
    uint64_t events;
    char last_event[256];
};

struct pair {
    uint32_t site_count;
    enum cw_mode mode;
    uint8_t min_in_sync;
    uint64_t now_ns, turns;
    uint32_t log_entries; /* of groups that start from now on; PAIR_LOG_ENTRIES at first */
    struct pair_site sites[PAIR_SITES_MAX];
    bool is_linked[PAIR_SITES_MAX][PAIR_SITES_MAX];
    bool is_held[PAIR_SITES_MAX][PAIR_SITES_MAX]; /* messages from, to wait */
    bool has_backlog[PAIR_SITES_MAX][PAIR_SITES_MAX]; /* bulk from, to waits, control does not */
    uint32_t bulk_per_turn; /* so many bulk messages arrive in a turn, one way; 0: all */
    struct pair_message *messages, **messages_end;
    struct {
        uint64_t epoch, reign, first_sequence;
        uint8_t holder, members;
        struct cw_identity identities[CW_SITES_MAX];
        bool is_away;  /* answers: not now */
        bool is_stuck; /* does what is asked, does not answer */
        uint64_t own_epoch, seen_epoch; /* as the last claim told them, taken or not */
        uint8_t seen_by;
    } store;
    bool renews_lease;
    uint64_t lease_ns; /* of groups that start from now on; 0: nobody grants, nobody waits */
    bool peer_grants, tells_store_epoch;
    bool opens_inconsistent; /* pair_open asks for that too */
    struct {
        bool is_done;
        enum cw_status status;
    } requests[PAIR_REQUESTS_MAX];
    uint32_t request_count;
    uint64_t random;
};

void pair_init(struct pair *pair, uint32_t sites, enum cw_mode mode);
/* The same, with a lease of 5 s; the groups are told the store's epoch when they start. */
void pair_init_granting(struct pair *pair, uint32_t sites, enum cw_mode mode, bool peer_grants);
void pair_fini(struct pair *pair);
void pair_turn(struct pair *pair);
void pair_run(struct pair *pair, uint64_t ns);
/* false: it did not come true in 60 s of virtual time. */
bool pair_until(struct pair *pair, bool (*is_so)(struct pair *pair));

/* Asks the store's view in; runs until the site is primary or refused. */
bool pair_open(struct pair *pair, uint8_t site, bool accept_loss);
uint32_t pair_write(struct pair *pair, uint8_t site, uint32_t block, uint8_t value, bool fua);
uint32_t pair_flush(struct pair *pair, uint8_t site);
bool pair_is_done(const struct pair *pair, uint32_t request);
/* Through overlay and file; asserts that the group answers. */
uint8_t pair_read(struct pair *pair, uint8_t site, uint32_t block);
uint8_t pair_on_disk(const struct pair *pair, uint8_t site, uint32_t block);

void pair_kill(struct pair *pair, uint8_t site, enum cw_device_crash how);
void pair_start(struct pair *pair, uint8_t site);
void pair_link(struct pair *pair, uint8_t a, uint8_t b, bool is_up);
bool pair_is_level(struct pair *pair); /* every site follows or reigns, nothing under way, files equal */
struct cw_peer *pair_peer(struct pair *pair, uint8_t site, uint8_t peer);
