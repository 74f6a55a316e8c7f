/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NBD server of a store lcore: block volumes on Unix sockets, driven by that lcore's io_uring.
 *
 * Order of calls: cw_nbd_init twice (once measuring, once carving), then exports come and go; in every loop
 * turn, after cw_uring_reap and after the turn's block completions, cw_nbd_on_time if its deadline has come
 * and cw_nbd_flush, then cw_uring_submit. cw_nbd_on_room whenever an op of the seam said CW_AGAIN and that
 * has changed. At the end cw_nbd_stop, and turns until cw_nbd_is_stopped. Everything on the one lcore;
 * nothing allocates after init.
 *
 * What a client can count on: fixed newstyle handshake, structured replies, base:allocation; FUA, FLUSH,
 * TRIM, WRITE_ZEROES (always fast), CACHE; flushes that cover completed writes of other connections.
 * What it cannot do: hold more than its share. Connections, requests in flight and the bytes of an option
 * are bounded; at a bound the server stops reading from that client, or closes it, and counts it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/counters.h"
#include "base/fsm.h"
#include "base/status.h"
#include "frontend/block.h"
#include "io/uring.h"

struct cw_nbd_config {
    uint32_t connections_max;        /* 0: 64; one more is closed at accept */
    uint32_t export_connections_max; /* 0: half of connections_max, at least 1: of one volume, dying ones
                                        included */
    uint32_t requests_max;           /* 0: 128; in flight on one connection */
    uint32_t exports_max;            /* 0: 64 */
    uint64_t bytes_max;    /* 0: 16 MiB; of data that one connection's requests hold; one is always let in */
    uint64_t handshake_ns; /* 0: 10 s; without a completed option until then, the connection closes */
    uint64_t stall_ns;     /* 0: 10 s; who takes no reply and sends no payload for that long while others wait
                              for buffers is cut; who holds more than its share after a tenth of that */
    uint64_t finish_ns;    /* 0: 5 s; a client gets that long to read its last replies */
};

#define CW_NBD_COUNTERS(X)                                                                                   \
    X(CW_NBD_ACCEPTED, "accepted")                                                                           \
    X(CW_NBD_REFUSED_FULL, "refused_full")                                                                   \
    X(CW_NBD_CLOSED, "closed")                                                                               \
    X(CW_NBD_HANDSHAKE_BROKEN_COUNT, "handshake_broken")                                                     \
    X(CW_NBD_HANDSHAKE_LATE, "handshake_late")                                                               \
    X(CW_NBD_FINISH_LATE, "finish_late")                                                                     \
    X(CW_NBD_STALLED, "stalled")                                                                             \
    X(CW_NBD_BAD_MAGIC, "bad_magic")                                                                         \
    X(CW_NBD_TOO_LONG, "payload_too_long")                                                                   \
    X(CW_NBD_LOST, "connection_lost_in_request")                                                             \
    X(CW_NBD_READS, "reads") X(CW_NBD_WRITES, "writes") X(CW_NBD_FLUSHES, "flushes")                         \
        X(CW_NBD_TRIMS, "trims") X(CW_NBD_ZEROES, "write_zeroes") X(CW_NBD_CACHES, "caches")                 \
            X(CW_NBD_STATUSES, "block_statuses") X(CW_NBD_ERRORS, "error_replies")                           \
                X(CW_NBD_UNANSWERED, "unanswered") X(CW_NBD_BYTES_READ, "bytes_read")                        \
                    X(CW_NBD_BYTES_WRITTEN, "bytes_written") X(CW_NBD_WAITS_BUFFERS, "waits_for_buffers")    \
                        X(CW_NBD_WAITS_ROOM, "waits_for_room")                                               \
                            X(CW_NBD_WAITS_SHARE, "waits_for_own_replies")                                   \
                                X(CW_NBD_WAITS_SLOT, "waits_for_slot") X(CW_NBD_RECEIVES, "receives")        \
                                    X(CW_NBD_SENDS, "sends")
enum { CW_NBD_COUNTERS(CW_COUNTER_ENUM) CW_NBD_COUNTER_COUNT };
extern const char *const cw_nbd_counter_names[CW_NBD_COUNTER_COUNT];

struct cw_nbd_connection;
struct cw_nbd_export;
struct cw_nbd_listener;

/* Fields are for the modules of this server; others use the functions. */
struct cw_nbd {
    struct cw_nbd_config config;
    struct cw_uring *uring;
    struct cw_nbd_connection *connections; /* connections_max of them */
    struct cw_nbd_export *exports;         /* exports_max of them */
    struct cw_nbd_listener *listeners;     /* as many, and as many again for those still closing */
    uint32_t listener_count;
    struct cw_nbd_connection *dirty_first, *dirty_last;     /* have something to do in the next flush */
    struct cw_nbd_connection *waiting_first, *waiting_last; /* for buffers or room; first come first served */
    uint64_t deadline_ns;
    bool has_sends;        /* prepared a send; cleared by whoever looks */
    bool has_submitted;    /* since the last flush began */
    bool has_left_waiting; /* someone left the waiting list unserved, or gave back what others wait for:
                              who stands there is asked again */
    bool has_listener_work;
    bool is_looking_for_stalls; /* since someone began to wait */
    bool is_stopping;
    uint64_t bytes_dipped; /* of buffers that connections hold beyond their share */
    bool is_dip_wanted;    /* somebody waits for that to become less */
    struct cw_fsm fsm;     /* of connections; its census says where everyone stands */
    cw_counter counters[CW_NBD_COUNTER_COUNT];
};

/* Carves everything from the arena. uring is borrowed until stopped; NULL only while measuring, and in
 * tests that move the bytes themselves. */
void cw_nbd_init(struct cw_nbd *server, struct cw_arena *arena, struct cw_uring *uring,
                 const struct cw_nbd_config *config);

/* Serves the volume at a socket, which is created, with that mode and (if not (gid_t)-1) group. Volumes
 * added with the same path share the socket. A socket file that nobody serves is replaced. The volume is
 * borrowed until cw_nbd_export_is_gone. CW_EXISTS, CW_INVALID, CW_NO_SPACE or CW_IO with words in why. */
enum cw_status cw_nbd_export_add(struct cw_nbd *server, struct cw_block_volume *volume, const char *path,
                                 mode_t mode, gid_t gid, char *why, size_t why_size) CW_MUST_CHECK;
/* No new connections and requests from now on; the socket file is gone unless others share it. What is in
 * flight is answered as the engine completes it, then the connections close. */
void cw_nbd_export_remove(struct cw_nbd *server, struct cw_block_volume *volume);
/* Nothing refers to the volume any more. */
bool cw_nbd_export_is_gone(const struct cw_nbd *server, const struct cw_block_volume *volume);
#define CW_NBD_URI_BYTES 640u /* holds any; special characters become three bytes */
/* "nbd+unix:///NAME?socket=PATH", "" when the volume is not exported. uri_size >= CW_NBD_URI_BYTES. */
void cw_nbd_export_uri(const struct cw_nbd *server, const struct cw_block_volume *volume, char *uri,
                       size_t uri_size);
uint32_t cw_nbd_export_connections(const struct cw_nbd *server, const struct cw_block_volume *volume);

/* Resumes what waits, then prepares the gathered replies and the next receives. True when block requests
 * were submitted: take another turn before sleeping. */
bool cw_nbd_flush(struct cw_nbd *server);
/* Buffers or room may be had again. */
void cw_nbd_on_room(struct cw_nbd *server);
uint64_t cw_nbd_deadline_ns(const struct cw_nbd *server);
void cw_nbd_on_time(struct cw_nbd *server, uint64_t now_ns);

void cw_nbd_stop(struct cw_nbd *server);
/* No connection, no socket, no operation in the ring. */
bool cw_nbd_is_stopped(const struct cw_nbd *server);
