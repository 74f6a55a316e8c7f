/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The deterministic simulator: whole groups of two and three sites in one process, in virtual time. One seed
 * decides everything. The object code of replication, journal and wire is the engine's own; what surrounds
 * it here (disks, links, store, controller, clients, clocks) is a model that misbehaves as much as the
 * failure model of dataplane/README.md allows, and oracles that know the truth.
 *
 * Time: `world.now_ns` is true time. A site sees only its own monotonic clock (site_clock).
 * Turn of a site: facts from its inbox, clients, cw_group_step, drain of actions: atomic in virtual time.
 * Pausing a site keeps its turns from running; its disks, links and clock go on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "control/break_glass.h"
#include "control/decide.h"
#include "control/failover.h"
#include "control/outside.h"
#include "replication/group.h"

#define SIM_SITES_MAX  3u
#define SIM_VOLUMES    6u /* at most, over a run */
#define SIM_BLOCK      512u
#define SIM_BLOCKS_MAX 512u /* of one volume */
#define SIM_GROUP      7u

struct world;
struct site;

/* ------------------------------------------------------------------ events (queue.c) */

struct event {
    uint64_t at_ns, order;
    void (*fire)(struct world *w, void *data, uint64_t a);
    void *data;
    uint64_t a;
    void (*dispose)(void *data); /* not NULL: the event owns data */
};

struct queue {
    struct event *heap;
    uint32_t count, capacity;
    uint64_t order;
};

void queue_at(struct world *w, uint64_t at_ns, void (*fire)(struct world *, void *, uint64_t), void *data,
              uint64_t a);
/* The same; if the world ends before it fires, dispose(data) is called instead. */
void queue_owned_at(struct world *w, uint64_t at_ns, void (*fire)(struct world *, void *, uint64_t),
                    void *data, uint64_t a, void (*dispose)(void *));
bool queue_pop(struct queue *queue, struct event *event);

/* ------------------------------------------------------------------ disks (disk.c) */

/* Page cache (live) over media (durable), in units of 512 bytes. Power loss keeps or loses each unit apart.
 */
struct disk {
    uint64_t size;
    uint8_t *live, *durable, *flags; /* flags: DISK_DIRTY, DISK_SYNCING */
    bool failed_write;               /* the next write fails half way */
    bool misdirect;                  /* the next write lands elsewhere */
};
#define DISK_DIRTY   1u
#define DISK_SYNCING 2u

void disk_init(struct disk *disk, uint64_t size);
void disk_fini(struct disk *disk);
void disk_write(struct disk *disk, uint64_t offset, const uint8_t *data,
                uint64_t length); /* data NULL: zeroes */
void disk_write_some(struct disk *disk, struct cw_rng *rng, uint64_t offset, const uint8_t *data,
                     uint64_t length);
void disk_make_durable(struct disk *disk, uint64_t offset, uint64_t length);
void disk_sync_begin(struct disk *disk);
void disk_sync_end(struct disk *disk);
void disk_power_loss(struct disk *disk, struct cw_rng *rng);
void disk_rot(struct disk *disk, struct cw_rng *rng, uint64_t offset, uint64_t length);

/* ------------------------------------------------------------------ facts and I/O of a site */

enum fact_type {
    FACT_JOURNAL_WRITTEN,
    FACT_JOURNAL_SYNCED,
    FACT_JOURNAL_READ,
    FACT_SUPER_WRITTEN,
    FACT_APPLIED,
    FACT_VOLUMES_SYNCED,
    FACT_COPY_READ,
    FACT_IMAGE,
    FACT_SALVAGED,
    FACT_CLIENT_READ,
    FACT_MESSAGE,
    FACT_DATAGRAM,
    FACT_PEER_UP,
    FACT_PEER_DOWN,
    FACT_SENT,
    FACT_LEFT,
    FACT_CLAIMED,
    FACT_SET,
    FACT_LEASE,
    FACT_OPEN,
    FACT_FENCE,
    FACT_DRAIN,
    FACT_RESYNC,
    FACT_NUDGE
};

struct fact {
    struct fact *next;
    uint8_t type;
    uint8_t peer;
    bool delivered;
    enum cw_status status;
    int claim;
    uint32_t head_length, body_length;
    uint64_t token, a;
    uint8_t *head, *body;
    void *data; /* owned: freed with the fact */
};

#define IO_SEGMENTS_MAX 80u
struct io {
    struct io *next; /* in flight of the site */
    struct site *site;
    uint64_t life;
    struct fact *fact;
    struct disk *disks[SIM_VOLUMES];
    uint32_t disk_count;
    bool is_read, is_sync, then_sync, dsync, fail, dead;
    bool is_journal, is_apply;
    uint32_t segment_count;
    struct {
        uint64_t offset, length;
        uint8_t *copy;         /* writes: as it was at submission; NULL: zeroes */
        const uint8_t *source; /* writes: must not change until answered. reads: target */
    } segments[IO_SEGMENTS_MAX];
    uint64_t serial_begin;       /* sync: truth serial when it began */
    struct cw_superblock *super; /* what it says, of a superblock's write */
    uint32_t record_count;       /* journal: what becomes written */
    struct truth_entry *records;
};

struct payload_slot {
    uint8_t *data;
    uint32_t length;
    bool taken;
    bool is_session; /* lies in a session's receive buffer */
    uint8_t peer;
    uint64_t buffer;
};

/* What is truly in a site's journal, by sequence; the last writing wins. */
struct truth_entry {
    uint64_t sequence, epoch, reign;
    uint64_t serial; /* 0: not there */
    bool dsync;
};

enum super_fault { SUPER_GOES_WELL, SUPER_LOSE_ONE, SUPER_LOSE_BOTH, SUPER_ELSEWHERE };

/* Of a superblock, what must not be forgotten. */
struct super_truth {
    bool is_known;
    uint64_t generation;
    struct cw_history history;
    uint64_t journal_id[2];
    uint32_t image_state;
    uint64_t image_sequence, copy_id;
};

/* What the operator says of a volume. */
enum volume_fate { VOLUME_LATER, VOLUME_IS, VOLUME_GONE };

struct volume_removal {
    bool is_under_way;
    uint64_t sequence, since_ns;
};

/* What this site's controller knows for automatic failover. */
struct automatic {
    uint64_t life, began_ns, told_ns, epoch, not_before_ns;
    uint64_t fenced_ns, fenced_epoch; /* seen since then that this epoch is over */
    struct cw_failover_lag lag;
};

enum site_state { SITE_OFF, SITE_STARTING, SITE_RUNNING };

struct link_end {
    bool is_up;
    uint64_t session; /* number of the session this end is in */
    uint64_t last_heard_ns, coming_until_ns;
};

struct client_op;

struct site {
    struct world *world;
    uint8_t id;
    enum site_state state;
    uint64_t life; /* process number */
    uint64_t paused_until_ns;
    bool turn_scheduled;
    uint64_t turn_at_ns;
    uint64_t clock_origin_ns;
    int64_t clock_ppm;
    struct cw_identity identity;
    uint64_t power_count;
    bool was_killed; /* the last time: what it wrote is seen, synced or not */

    struct disk journal;
    struct disk volumes[SIM_VOLUMES], targets[SIM_VOLUMES];
    bool target_exists[SIM_VOLUMES];
    uint64_t left[8]; /* network-sync: last sequence that left towards each, as the wire has it */
    bool has_volume[SIM_VOLUMES], knows_gone[SIM_VOLUMES]; /* registered: outlives the process */
    struct volume_removal removals[SIM_VOLUMES];
    uint64_t no_room_until_ns[SIM_VOLUMES]; /* for a volume that is made */
    bool is_device;                         /* its volumes are devices: a copy overwrites them */
    bool is_journal_tainted;                /* its media lied or lost: what it holds proves nothing */
    bool is_super_doubtful; /* a whole generation of its superblock may be gone: damage may be reported */
    uint8_t super_fault;    /* enum super_fault: of the next superblock */
    struct super_truth super_last, super_told; /* as the disk has it; what it must remember */
    uint64_t slow_until_ns;
    struct io *ios;
    struct image_op *image_op; /* under way */

    struct cw_group *group;
    void *arena_memory;
    struct fact *inbox, **inbox_tail;
    struct payload_slot *payloads;
    uint32_t payload_count, payloads_taken, payloads_peak;
    struct link_end ends[SIM_SITES_MAX];
    uint64_t serial_heard[SIM_SITES_MAX]; /* of the last message of each peer */
    uint32_t sends_unanswered;

    /* controller of this site */
    struct cw_lease_watch watch;
    bool is_store_cut;
    bool let_go;               /* when it is fenced, the store is told so, */
    struct cw_member handover; /* and to whom it was drained; site "": to nobody */
    bool lease_request_pending;
    uint64_t controller_hangs_until_ns; /* while its engine goes on */
    uint64_t sleeps_at_ask_ns; /* so long, from when it asks next to go on by grants; 0: it does not */
    uint64_t drain_target;     /* site id + 1 while a switchover is under way */
    uint64_t drain_deadline_ns;
    bool gives_up_undrained; /* a promotion at drain_target was asked for, no switchover */
    uint64_t open_tries, claim_tries;
    int want_open; /* 1: open, 2: with accept_loss, | OPEN_AUTOMATIC; done in the next turn */
    struct automatic automatic;
    bool want_drain, want_check, want_volumes;
    bool gives_up_copy;  /* an operator promotes it as it is, accepting the loss */
    uint8_t want_resync; /* peer + 1 */
    struct message *unacked[SIM_SITES_MAX];
    struct net_end *net[SIM_SITES_MAX]; /* real sessions, when the world uses them */

    uint8_t last_role, last_image, last_diverged; /* peers that were said to be so */
    bool last_open_accept_loss, last_open_is_automatic;
    struct {
        uint64_t id[2], life;
    } last_log; /* its name after the last turn */
    struct {
        uint64_t life, above, last, epoch, reign; /* a salvage file: records above .. last of this line */
    } kept;
    uint64_t status_life; /* whose word `before` is; 0: nobody's */
    struct cw_group_status before;
    struct cw_group_status status; /* after the last turn */

    struct truth_entry *truth;
    uint64_t truth_capacity;
    uint64_t truth_serial, truth_durable_serial;
};

/* ------------------------------------------------------------------ store (control.c) */

struct store {
    struct cw_authority row;
    uint64_t counters[SIM_SITES_MAX];
    bool was_drained;      /* holder let go after a drain */
    bool is_loss_accepted; /* by a claim since the last opening that ended well */
    /* the row, in numbers */
    uint64_t epoch, reign, first_sequence;
    uint8_t holder;
    uint8_t members;
    struct cw_identity identities[CW_SITES_MAX];
};

/* What a site holds by operators' tokens, outside of the store (outside.c). */
enum outside_state { OUTSIDE_NONE, OUTSIDE_PERMITTED, OUTSIDE_HELD, OUTSIDE_TAKEN_OVER };

#define OUTSIDE_USED 16u
struct outside {
    uint8_t state;
    bool has_begun; /* this controller has heard the store since it began */
    uint64_t life, silent_since_ns;
    uint64_t epoch;   /* PERMITTED: to be claimed */
    struct store own; /* HELD: as its file has it; before: the store as last heard */
    struct cw_outside_wait wait;
    struct cw_token_mark used[OUTSIDE_USED];
    uint32_t used_count;
};

#define PUT_BACK_ROWS 8u

/* ------------------------------------------------------------------ what clients do (load.c) */

struct cw_block_request {
    struct client_op *op;
};

enum op_kind { OP_WRITE, OP_ZEROES, OP_DISCARD, OP_FLUSH, OP_READ };

struct client_op {
    struct client_op *next;
    struct cw_block_request request;
    uint64_t id; /* 1.. names its content for ever */
    uint8_t kind;
    bool is_covered; /* others of the set have it, and who opens without accepting loss must find one of them
                      */
    bool fua, is_done, is_acked, is_lost, is_dead;
    uint8_t site;
    uint64_t life;
    uint16_t volume;
    uint64_t offset, length;
    uint64_t epoch, reign, first_sequence, last_sequence; /* FLUSH: last_sequence = head at submit */
    uint64_t submitted_ns, acked_ns;
    enum cw_mode mode;
    uint8_t hold, durable; /* bits: sites that must have it in the journal / durably */
    struct cw_group_read read;
    uint8_t *buffer;
    bool is_read; /* the bytes are here, the answer may be held */
    uint64_t head_at_begin, head_at_end;
};

/* ------------------------------------------------------------------ truth (oracle.c) */

struct sim_record {
    uint8_t kind;
    bool is_known;
    uint16_t volume;
    uint64_t offset, length;
    uint64_t op;   /* id of the op whose content it is */
    uint64_t hash; /* of the record's fixed fields, once seen in a journal or on a wire */
};

struct branch {
    uint64_t epoch, reign, first;
    int parent;                 /* -1: none */
    uint64_t commit;            /* the highest that its primary ever said */
    struct sim_record *records; /* by sequence - first */
    uint64_t count, capacity;
};

/* Which op last wrote each block; 0: zeroes. */
struct model {
    uint64_t block[SIM_VOLUMES][SIM_BLOCKS_MAX];
};

#define SIM_BRANCHES_MAX 256u
struct oracle {
    struct branch branches[SIM_BRANCHES_MAX];
    uint32_t branch_count, branch_found;
    struct client_op *ops; /* all that were acknowledged writes and flushes */
    uint64_t acks_checked, reads_checked, states_checked, opens, lossy_opens, lost_ops;
};

/* ------------------------------------------------------------------ the world (world.c) */

struct sim_options {
    uint64_t seed;
    int mode;     /* enum cw_mode or -1: by seed */
    int focus;    /* number of a focus, or FOCUS_ANY */
    int sessions; /* 1: the real cw_session over datagrams, 0: the model of one, -1: by seed */
    bool trace;
    bool is_story;       /* no faults of its own, no load of its own, plain numbers */
    uint32_t sites;      /* of a story */
    uint32_t faults_off; /* bits of enum fault_class */
    FILE *out;
};

enum fault_class {
    FAULT_KILL = 1,
    FAULT_POWER = 2,
    FAULT_CUT = 4,
    FAULT_PAUSE = 8,
    FAULT_DISK_SLOW = 16,
    FAULT_DISK_FAIL = 32,
    FAULT_ROT = 64,
    FAULT_MISDIRECT = 128,
    FAULT_STORE_CUT = 256,
    FAULT_SWITCHOVER = 512,
    FAULT_PROMOTE = 1024,
    FAULT_LOSSY = 2048,
    FAULT_RESYNC = 4096,
    FAULT_LINK_NOISE = 8192,
    FAULT_STORE_LOST_REPLY = 16384,
    FAULT_SUPER = 32768,       /* superblocks rot, get lost, land elsewhere */
    FAULT_IO = 65536,          /* syncs, reads, image and salvage operations fail */
    FAULT_REPLACE = 131072,    /* a site comes back with blank disks */
    FAULT_CLOCK = 262144,      /* rates as far apart as the lease allows */
    FAULT_TWO = 524288,        /* two of three sites go, soon after each other */
    FAULT_GIVE_UP = 1048576,   /* the source of a copy goes, and its target is promoted */
    FAULT_LONELY = 2097152,    /* the primary is left alone with an old lease, and others are in a hurry */
    FAULT_VOLUMES = 4194304,   /* volumes are made and deleted */
    FAULT_STORE_LOST = 8388608 /* the store is out of reach of every site, or of all but one */
};
#define FAULT_BITS 24u

/* What a seed is about (focus.c). */
struct focus {
    const char *name;
    uint32_t always, never; /* faults that are on, or off, whatever the seed draws */
    uint32_t often;         /* half of what happens is one of these */
    uint64_t tick_ns_max;   /* from one fault to the next */
    uint64_t run_ns_min, run_ns_max;
    uint8_t modes;     /* bits of enum cw_mode: mostly one of these; 0: any */
    bool is_slow;      /* links carry less than clients write, who go on after healing */
    bool is_busy;      /* clients think little, links are long and lose much */
    bool syncs_seldom; /* clients leave much unsynced */
    bool is_automatic; /* groups fail over by themselves */
    bool has_tokens;   /* the store is lost, and operators open a site by tokens */
    bool has_grants;   /* sites are mostly configured to go on without the store */
    bool starts_badly; /* power is lost right after the start that follows a kill */
};
#define FOCUS_ANY 255 /* by seed */

/* When all is repaired only the holder opens, for so long: it must not need anybody to be promoted. */
#define HOLDER_FIRST_NS (40 * CW_SECOND)

enum phase { PHASE_SAFETY, PHASE_HEALING, PHASE_DONE };

struct world {
    struct sim_options options;
    struct cw_rng rng;
    uint64_t now_ns;
    struct queue queue;
    uint64_t trace_hash;
    bool narrates;
    bool is_ghost; /* the message being taken is one that must be refused */
    uint64_t story_began_ns;
    uint32_t lose_type; /* stories: the next message of this type is late by a second... */
    uint8_t lose_from, lose_to;
    char told[SIM_SITES_MAX][SIM_SITES_MAX][2]
             [64]; /* ACK and COMMIT as last told: repeated ones are left out */
    uint64_t events;
    enum phase phase;
    uint64_t healing_since_ns;
    bool failed;
    char failure[512];

    uint32_t site_count;
    enum cw_mode mode;
    uint8_t min_in_sync;
    struct site sites[SIM_SITES_MAX];
    struct store store;
    bool has_tokens;
    struct outside outside[SIM_SITES_MAX];
    struct {
        uint64_t until_ns, epoch; /* the store answers again; what it has */
        uint32_t promoted;
    } disaster;
    struct {
        bool is_chosen, is_older; /* the store has a row of before, */
        struct store truth;       /* and this one counts */
        struct cw_authority rows[PUT_BACK_ROWS];
        uint32_t count, times;
    } put_back;
    struct oracle oracle;
    const struct focus *focus;
    uint32_t faults;         /* bits that may happen in this seed */
    uint64_t hurry_until_ns; /* whoever may take over is told to, again and again */

    uint32_t volume_count;
    uint64_t volume_blocks[SIM_VOLUMES];
    uint8_t fates[SIM_VOLUMES]; /* enum volume_fate */
    uint32_t log_entries;
    uint64_t ring_sectors;
    uint32_t copy_chunk_bytes;
    uint64_t lease_ns;
    bool is_automatic, are_ranks_equal;   /* every candidate takes itself for the first */
    uint64_t after_ns, max_loss_ns;       /* of automatic failover */
    uint64_t renewed_ns[SIM_SITES_MAX];   /* when each counter last moved */
    uint64_t automatic_ns;                /* of the last automatic one; 0: somebody moved it since */
    bool was_automatic;                   /* the last change of holder */
    uint64_t lost_first_ns, lost_last_ns; /* acknowledgements that it lost */
    uint8_t peer_grants;                  /* bits: sites that are configured so */
    struct store opened; /* the row of the last reign that was ever open for writes, as that reign has it */
    int rot_site;        /* whose media may lie; -1 none */

    /* links */
    bool has_sessions;
    uint32_t duplicate_ppm, corrupt_ppm;
    uint64_t latency_ns[SIM_SITES_MAX][SIM_SITES_MAX];
    uint64_t cut_until_ns[SIM_SITES_MAX][SIM_SITES_MAX]; /* one way */
    uint32_t loss_ppm;
    uint64_t link_rate; /* bytes a second each way, control apart; 0: no limit */
    uint64_t link_busy_ns[SIM_SITES_MAX][SIM_SITES_MAX]; /* until then */
    uint64_t sessions;

    /* load */
    uint64_t next_op;
    uint32_t depth, in_flight[SIM_SITES_MAX];
    uint64_t think_ns;
    bool load_due[SIM_SITES_MAX];
    bool load_on;
    struct client_op *live_ops[SIM_SITES_MAX];
    uint8_t switch_target; /* site id + 1: who may take a group that was let go */

    /* numbers for the summary */
    uint64_t acked_writes, acked_flushes, acked_reads, promotions, crashes, power_losses, cuts, pauses,
        switchovers, failovers, by_tokens, rejected, copies, old_images, dead_ends, grant_acks;
};

bool world_run(const struct sim_options *options, struct world *w); /* true: nothing wrong was seen */
/* Something delicate begins here: now and then a seed that kills does so within `within_ns`. */
void world_restart(struct world *w, void *site, uint64_t a); /* an event; starts it unless it runs */
struct site *world_some_site(struct world *w);
struct site *world_the_primary(struct world *w); /* that runs; NULL: none does */
/* store_away.c */
void fault_store(struct world *w);
void fault_store_lost(struct world *w);
void fault_lonely(struct world *w);
void world_crash_soon(struct site *site, uint64_t within_ns);
void world_crash_at_start(struct site *site); /* mostly before its first superblock is there */
void world_init(struct world *w, const struct sim_options *options);
void world_fini(struct world *w);
void world_run_until(struct world *w, uint64_t until_ns);
void world_final_check(struct world *w); /* every site's files and the primary's view */
bool world_has_converged(struct world *w, char *why, size_t why_size);
/* A rule was broken: remembered once, the run ends. */
void world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Every event goes through here: hashed always, printed with --trace. site may be NULL. */
void note(struct world *w, const struct site *site, const char *text, uint64_t a, uint64_t b, uint64_t c);

/* One line of a story, told only while w->narrates: times since the last command, in microseconds. */
void tell(struct world *w, const struct site *site, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline uint64_t world_random(struct world *w, uint64_t below)
{
    return cw_rng_below(&w->rng, below);
}
static inline bool world_chance(struct world *w, uint32_t per_mille)
{
    return cw_rng_below(&w->rng, 1000) < per_mille;
}
static inline uint64_t world_between(struct world *w, uint64_t low, uint64_t high)
{
    return low + cw_rng_below(&w->rng, high - low + 1);
}

/* ------------------------------------------------------------------ focus.c */

/* The number of a focus, FOCUS_ANY for "any", -1 for what is none. */
int focus_parse(const char *text);
/* Draws, or takes from the options, what this seed is about. */
void focus_choose(struct world *w);
enum cw_mode focus_mode(struct world *w);
void focus_faults(struct world *w); /* w->faults, w->rot_site */
enum fault_class focus_next_fault(struct world *w, uint32_t events);

/* ------------------------------------------------------------------ site.c */

uint64_t site_clock(const struct site *site, uint64_t true_ns);
/* True time at which the site's clock shows local_ns (rounded up). */
uint64_t site_true_time(const struct site *site, uint64_t local_ns);
void site_init(struct site *site, struct world *w, uint8_t id);
void site_fini(struct site *site);
void site_format(struct site *site); /* a superblock for an empty journal */
void site_power_on(struct site *site);
void site_start(struct site *site); /* a new process */
void site_crash(struct site *site, bool power_loss);
void site_post(struct site *site, struct fact *fact); /* takes it */
struct fact *fact_new(enum fact_type type);
void site_turn_soon(struct site *site);
uint64_t site_payload_take(struct site *site, uint32_t length, uint8_t **data);
void site_payload_release(struct site *site, uint64_t handle);
void site_turn_done(struct site *site);

/* recover.c */
enum recovery { RECOVERY_DONE, RECOVERY_WAITS, RECOVERY_FAILED };
enum recovery site_recover(struct site *site);

/* actions.c */
void site_act(struct site *site, const struct cw_action *action);
void site_io_crash(struct site *site);
void site_image_crash(struct site *site);
void site_read_volume(struct site *site, struct client_op *op);
struct disk *site_image(struct site *site, uint16_t volume, bool to_copy);
void site_image_switch(struct site *site);

/* media.c */
void media_fault(struct world *w, enum fault_class class_);
bool media_super_copy(struct site *site, uint32_t copy, uint64_t *offset);
void media_super_written(struct site *site, const struct cw_superblock *super);
void media_super_picked(struct site *site, const struct cw_superblock *super);
void media_replace(struct site *site);
void media_crash(struct site *site); /* it crashes */
void media_rot_newest(struct site *site);

/* ------------------------------------------------------------------ link.c */

void link_init(struct world *w);
void link_send(struct site *site, const struct cw_action *action);
/* A deposed primary that has not heard goes on: one record of its old reign, or its commit sequence, to
 * somebody who follows another. */
void link_ghost(struct world *w);
void link_old_release(struct site *to, uint8_t from); /* that its former reign is over, late */
void link_crash(struct site *site);                   /* its ends are gone */

bool link_is_cut(struct world *w, uint32_t from, uint32_t to);

/* net.c: the real sessions */
void net_start(struct site *site);
void net_stop(struct site *site);
void net_send(struct site *site, const struct cw_action *action);
/* A record has left towards a peer: the group is told. */
void site_left(struct site *site, uint8_t peer, uint64_t departure);
void net_on_datagram(struct site *site, struct fact *fact);
void net_turn(struct site *site);     /* events to the group */
void net_transmit(struct site *site); /* after the actions */
uint64_t net_deadline_ns(struct site *site);
void net_release(struct site *site, uint8_t peer, uint64_t buffer);
bool net_is_up(const struct site *site, uint8_t peer);
/* A whole message for the group; is_session: the body lies in a receive buffer. */
void site_message(struct site *site, uint8_t from, const uint8_t *head, uint32_t head_length, uint8_t *body,
                  uint32_t body_length, const uint64_t *buffer);

/* ------------------------------------------------------------------ control.c */

void control_init(struct world *w);
void control_claim(struct site *site, const struct cw_action *action);
void control_set(struct site *site, const struct cw_action *action);
void control_turn(struct site *site);
void control_fenced(struct site *site, uint64_t epoch);
void control_tick(struct world *w, void *data, uint64_t a);
/* From the site's clock before the request: what a lease may be relied on until. */
uint64_t control_lease_deadline(struct site *site, uint64_t before_ns);
void control_open(struct site *site, bool accept_loss);
/* The controller hangs until then, and with it the answer to a renewal that is asked for now. */
void control_late_renewal(struct site *site, uint64_t until_ns);

/* What a site held by tokens goes into the store. */
void store_take_over(struct world *w, const struct store *own);
/* The store has this row from now on, whatever it had. */
void store_put_row(struct world *w, const struct cw_authority *row);

/* ------------------------------------------------------------------ put_back.c */

void put_back_choose(struct world *w);   /* after the faults */
void put_back_remember(struct world *w); /* the row is about to change */
void put_back_ends(struct world *w);     /* the rows are put right */

/* ------------------------------------------------------------------ outside.c */

void outside_choose(struct world *w);          /* after the focus */
void outside_tick(struct site *site);          /* its controller looks how the store is */
struct store *outside_view(struct site *site); /* the row as this site has it */
/* Where it asks: its own file, or the store. */
struct store *outside_store(struct site *site, bool is_claim);
/* The row that counts now. */
const struct store *outside_truth(const struct world *w);
bool outside_can_act(struct site *site); /* though the store is silent */
bool outside_may_renew(struct site *site);
bool outside_may_claim(struct site *site, const struct cw_authority *expected,
                       const struct cw_authority *next);
void outside_claimed(struct site *site);
/* The epoch that it may claim by tokens; 0: none. */
uint64_t outside_floor(struct site *site);
int outside_wants(struct site *site, const struct cw_candidate *candidate);

/* ------------------------------------------------------------------ automatic.c */

#define OPEN_AUTOMATIC 4
void automatic_choose(struct world *w); /* after the focus */
/* What a controller that looks now wants, as want_open; 0: nothing. */
int automatic_wants(struct site *site, const struct cw_candidate *candidate);
/* ... and whether it still does: until the claim is made it is called off when the primary is heard again. */
bool automatic_goes_on(struct site *site, const struct cw_candidate *candidate);
void automatic_claimed(struct site *site, bool is_automatic, uint8_t holder_before);
void automatic_lost(struct world *w, const struct client_op *op);

/* ------------------------------------------------------------------ load.c */

void load_turn(struct site *site);
void load_complete(struct site *site, struct cw_block_request *request, enum cw_status status);
void load_read_done(struct site *site, struct client_op *op, enum cw_status status);
void load_answers(struct site *site);
void load_crash(struct site *site);
void load_fini(struct world *w);
void load_init(struct world *w);
/* One op, as told; for stories too. NULL when the group did not take it. */
struct client_op *load_submit(struct site *site, enum op_kind kind, uint16_t volume, uint64_t block,
                              uint64_t blocks, bool fua);
void content_fill(uint8_t *data, uint64_t op, uint16_t volume, uint64_t block);
/* The op that wrote this block, 0 for zeroes, UINT64_MAX for what nobody wrote. */
uint64_t content_op(const uint8_t *data, uint16_t volume, uint64_t block);

/* ------------------------------------------------------------------ volumes.c */

void volumes_init(struct site *site); /* its disks are new */
/* A start: its controller tells of what was deleted, if the store is in reach; */
void volumes_hear(struct site *site);
uint32_t
volumes_unknown(const struct site *site); /* bits: there may be records of them, and no place for them */
bool volumes_provide(struct site *site, uint32_t wanted); /* false: not now */
void volumes_tell(struct site *site);                     /* ... to its group, which is new */
void volumes_turn(struct site *site);
bool volumes_are_level(const struct site *site); /* it has those that it is to have */
bool volume_is_used(const struct site *site, uint16_t volume);
void fault_volumes(struct world *w);
void volumes_change_soon(struct site *site, uint64_t within_ns);
void volumes_heal(struct site *site);

/* ------------------------------------------------------------------ oracle.c, check.c */

struct branch *oracle_branch(struct world *w, uint64_t epoch, uint64_t reign);
void oracle_history(struct world *w, const struct cw_history *history);
struct sim_record *oracle_record(struct world *w, uint64_t epoch, uint64_t reign, uint64_t sequence);
void oracle_submitted(struct world *w, struct client_op *op);
void oracle_seen(struct world *w, const struct site *site, const struct cw_record *record,
                 const uint8_t *payload);
/* Was it said in that line, by who reigned, that everything up to there is committed? */
bool oracle_is_committed(struct world *w, uint64_t epoch, uint64_t reign, uint64_t sequence);
/* The state after records 1..sequence of the line that ends in (epoch, reign). */
bool oracle_state(struct world *w, uint64_t epoch, uint64_t reign, uint64_t sequence, struct model *model);
/* The record that stands at sequence in that line. */
struct sim_record *oracle_line(struct world *w, uint64_t epoch, uint64_t reign, uint64_t sequence,
                               struct branch **of);
void oracle_fini(struct world *w);

void truth_written(struct site *site, const struct truth_entry *entry);
bool truth_holds(struct site *site, uint64_t epoch, uint64_t reign, uint64_t sequence, bool durably);
void truth_forget(struct site *site);

void check_ack(struct site *site, struct client_op *op);
void check_answered(struct site *site, uint64_t epoch, uint64_t reign); /* a read was answered */
void check_store_moves(struct world *w);                                /* called before it does */
void check_read(struct site *site, struct client_op *op);
void check_opened(struct site *site);
void check_turn(struct site *site);
void check_files(struct site *site);
void check_primary_state(struct site *site);
void check_alone(struct world *w, uint64_t epoch); /* the set of that reign has shrunk to the primary */
void check_joined(struct world *w, uint8_t joined, uint64_t epoch);
/* Everybody is up and well connected, and still somebody thinks of accepting a loss. */
void check_loss_is_needed(struct site *site);
/* All was repaired HOLDER_FIRST_NS ago. */
void check_holder_is_back(struct world *w);
void check_power_loss(struct site *site);
void check_apply(struct site *site, const struct cw_action *action);
void check_batch_commit(struct site *site, uint64_t commit);
void check_salvage(struct site *site);                             /* when it begins, and when it ends */
void check_kept(struct site *site, uint64_t above, uint64_t last); /* it succeeded */
