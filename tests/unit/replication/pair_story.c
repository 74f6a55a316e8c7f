/* SPDX-License-Identifier: BSD-3-Clause */
/* What stories do to the sites of a pair, and look at. */
#include "pair_private.h"

#include <string.h>

/* ---------------------------------------------------------------- what stories do */

bool pair_open(struct pair *p, uint8_t id, bool accept_loss)
{
    struct cw_group *g = p->sites[id].group;
    struct cw_open_request open = {.store_epoch = p->store.epoch,
                                   .first_sequence = p->store.first_sequence,
                                   .holder = p->store.holder,
                                   .members = p->store.members,
                                   .reign = pair_fresh(p),
                                   .accept_loss = accept_loss,
                                   .inconsistent = p->opens_inconsistent};

    memcpy(open.identities, p->store.identities, sizeof open.identities);
    for (uint32_t tries = 0;; tries++) {
        enum cw_status status = cw_group_open(g, &open, p->now_ns);
        if (status == CW_OK)
            break;
        if (status != CW_AGAIN || tries > 1000)
            return false;
        pair_turn(p);
    }
    for (uint64_t end = p->now_ns + 30 * CW_SECOND; p->now_ns < end && g->role != CW_ROLE_PRIMARY;) {
        pair_turn(p);
        if (g->role <= CW_ROLE_REPLICA)
            return false;
    }
    return g->role == CW_ROLE_PRIMARY;
}

static uint32_t request_new(struct pair *p)
{
    CW_ASSERT(p->request_count < PAIR_REQUESTS_MAX);
    return p->request_count++;
}

static struct cw_block_request *request_handle(uint32_t request)
{
    return (struct cw_block_request *)(uintptr_t)(request + 1);
}

uint32_t pair_write(struct pair *p, uint8_t id, uint32_t block, uint8_t value, bool fua)
{
    struct pair_site *site = &p->sites[id];
    uint32_t request = request_new(p);
    uint8_t *data = pair_payload_new(site, PAIR_BLOCK);
    struct cw_group_write write = {
        .request = request_handle(request),
        .kind = CW_RECORD_WRITE,
        .fua = fua,
        .offset = (uint64_t)block * PAIR_BLOCK,
        .length = PAIR_BLOCK,
        .payload_count = 1,
        .payloads = {{.handle = pair_handle_of(data), .data = data, .length = PAIR_BLOCK}},
    };

    memset(data, value, PAIR_BLOCK);
    enum cw_status status = cw_group_write(site->group, &write, p->now_ns);
    for (uint32_t tries = 0; status == CW_AGAIN && tries < 1000; tries++) {
        pair_turn(p);
        status = cw_group_write(site->group, &write, p->now_ns);
    }
    if (status != CW_OK) {
        pair_payload_free(site, pair_handle_of(data));
        p->requests[request].is_done = true;
        p->requests[request].status = status;
    }
    return request;
}

uint32_t pair_flush(struct pair *p, uint8_t id)
{
    uint32_t request = request_new(p);
    enum cw_status status = cw_group_flush(p->sites[id].group, request_handle(request), p->now_ns);

    CW_ASSERT(status == CW_OK);
    return request;
}

bool pair_is_done(const struct pair *p, uint32_t request)
{
    CW_ASSERT(request < p->request_count);
    return p->requests[request].is_done;
}

uint8_t pair_on_disk(const struct pair *p, uint8_t id, uint32_t block)
{
    return p->sites[id].volume.seen[(uint64_t)block * PAIR_BLOCK];
}

uint8_t pair_read(struct pair *p, uint8_t id, uint32_t block)
{
    struct pair_site *site = &p->sites[id];
    struct cw_group_read read = {.offset = (uint64_t)block * PAIR_BLOCK, .length = PAIR_BLOCK};
    uint8_t bytes[PAIR_BLOCK], *slices[1] = {bytes};

    enum cw_status status = cw_group_read_begin(site->group, &read);
    CW_ASSERT(status == CW_OK);
    cw_device_read(&site->volume, bytes, PAIR_BLOCK, read.offset);
    cw_group_read_end(site->group, &read, slices, 1);
    status = cw_group_read_may_answer(site->group, &read, p->now_ns);
    CW_ASSERT(status == CW_OK);
    return bytes[0];
}

bool pair_is_level(struct pair *p)
{
    uint64_t head = 0;

    for (uint8_t a = 0; a < p->site_count; a++) {
        const struct cw_group *g = p->sites[a].group;
        if (!p->sites[a].is_alive)
            continue;
        head = head ? head : g->head;
        if (g->role != CW_ROLE_PRIMARY && g->follow.state != CW_FOLLOW_STREAMING)
            return false;
        if (g->head != head || g->applied != head || g->target.state != CW_TARGET_NONE)
            return false;
        if (memcmp(p->sites[a].volume.seen, p->sites[0].volume.seen, VOLUME_BYTES) != 0)
            return false;
    }
    return true;
}

struct cw_peer *pair_peer(struct pair *p, uint8_t id, uint8_t peer)
{
    return &p->sites[id].group->peers[peer];
}
