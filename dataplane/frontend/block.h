/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam between front ends (NBD, direct, later vhost-user and ublk) and the store lcore that owns a
 * volume: one request type, one submit, one completion. Both sides run on that lcore; nothing here blocks,
 * allocates or locks.
 *
 * Life of a request: the front end embeds a cw_block_request in its own, takes buffers for its data
 * (buffers_take: all or nothing, first come first served), fills them from its client (the private copy),
 * submits. The engine answers once, by calling on_complete, now or later, never from inside another front-end
 * call of the same request than submit. The front end then sends data or an error, and gives the buffers of a
 * READ back. A submit that returned CW_OK has taken the buffers of a WRITE, whatever on_complete says later;
 * one that did not has taken nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/status.h"
#include "wire/record.h"

#define CW_REQUEST_BYTES_MAX  (4u * 1024u * 1024u) /* data of one request: what NBD advertises as maximum */
#define CW_REQUEST_SLICES_MAX (CW_REQUEST_BYTES_MAX / CW_RECORD_PAYLOAD_MAX)

enum cw_block_op { CW_BLOCK_READ = 1, CW_BLOCK_WRITE, CW_BLOCK_ZEROES, CW_BLOCK_DISCARD, CW_BLOCK_FLUSH };

/* One buffer of pool memory. 4096-aligned, CW_RECORD_PAYLOAD_MAX or a smaller class of bytes. */
struct cw_slice {
    uint64_t handle; /* names pool, class, slot and generation; opaque to front ends */
    uint8_t *data;
    uint32_t length;   /* bytes in use: all slices but the last hold CW_RECORD_PAYLOAD_MAX */
    uint32_t capacity; /* of the buffer: what it costs */
};

struct cw_block_request;
typedef void cw_block_on_complete(struct cw_block_request *request, enum cw_status status);

struct cw_block_request {
    uint8_t op; /* enum cw_block_op */
    bool fua;
    uint16_t slice_count; /* READ and WRITE */
    uint64_t offset;      /* bytes; in range and a multiple of 512: the front end has checked */
    uint64_t length;      /* bytes; 0 for FLUSH */
    struct cw_slice slices[CW_REQUEST_SLICES_MAX];
    cw_block_on_complete *on_complete;

    /* The engine's, from submit to completion. */
    struct cw_block_request *next;
    uint64_t reign; /* READ: of the group when it began */
    uint64_t submitted_ns;
    uint32_t pending;
    uint8_t stage;
    enum cw_status status;
    struct cw_block_volume *volume;
};

/* A volume as a front end sees it. The engine owns these; they live until the front end is told otherwise. */
struct cw_block_volume {
    char group[64];
    char name[64];
    uint64_t size;       /* bytes, a multiple of 512 */
    uint32_t block_size; /* logical: 512 or 4096 */
    uint16_t index;      /* in its group */
    const struct cw_block_ops *ops;
    void *engine; /* the ops' own */
};

/* Provided by whoever stands behind the front ends: the engine, or a plain memory back end in tests. */
struct cw_block_ops {
    /* All required. Thread: the store lcore. */

    /* Takes the request. CW_OK: on_complete will be called. Anything else: it will not, and a WRITE's
     * buffers are still the caller's; CW_AGAIN: the group has no room, submit again when on_room is called.
     */
    enum cw_status (*submit)(struct cw_block_volume *volume, struct cw_block_request *request);
    /* Fills request->slices for request->length bytes. CW_AGAIN: none now, on_room will be called. */
    enum cw_status (*buffers_take)(struct cw_block_volume *volume, struct cw_block_request *request);
    void (*buffers_give)(struct cw_block_volume *volume, struct cw_block_request *request);
    /* Bytes of the buffers that are free for a request of that length, beyond what is kept back so that a
     * READ can be served though WRITEs have filled the rest. */
    uint64_t (*buffers_free)(const struct cw_block_volume *volume, uint64_t length);
    /* Extent map for block status: from offset on, how many bytes (at most length) have the same state, and
     * is it a hole that reads as zeroes? May answer conservatively: data. */
    uint64_t (*extent)(struct cw_block_volume *volume, uint64_t offset, uint64_t length, bool *is_zero);
};
