/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames between two ports. A frame stays in the buffer in which it was received, a small one moves into a
 * small buffer; a duplicate is the same buffer once more. A frame that the far port does not take is offered
 * again each turn, as a real card would; if nobody is behind that port, or nobody fetches, it is dropped, so
 * that whoever comes back does not meet a flood of the past.
 */
#include "wanem/relay.h"

#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "wanem/mark.h"

#define FRAMES_LEAST      2048u
#define PORT_BUFFERS_MORE 4096u /* in the queues of both ports and in caches */
#define SMALL_POOL_CACHE  256u
#define BUFFER_OVERHEAD   384u /* head room, mbuf, pool header, rounding */
#define SLOW_NS           (500 * CW_MS)
#define SLOW_TURNS        1000u

const char *const cw_relay_counter_names[CW_RELAY_COUNTER_COUNT] = {CW_RELAY_COUNTERS(CW_COUNTER_NAME)};

struct direction {
    struct cw_port *from, *to;
    uint32_t queues, queue; /* of from; the next to be received by */
    struct cw_line line;
    struct rte_mempool *small;
    uint32_t full_held, full_max;
    struct rte_mbuf *burst[CW_PORT_BURST]; /* left the line, not yet the far port's */
    uint32_t burst_count;
    uint64_t refused_since_ns; /* the far port takes nothing; 0: it does */
    uint32_t refused_turns;
    uint64_t counters[CW_RELAY_COUNTER_COUNT];
    uint64_t late_us[CW_RELAY_LATE_US]; /* the last one: that much or more */
    uint32_t late_us_max;
};

struct cw_relay {
    struct cw_wan_model *model;
    uint64_t (*clock_ns)(void);
    struct direction directions[CW_WAN_DIRECTIONS];
};

/* ---------------------------------------------------------------- making */

void cw_relay_size_plan(const struct cw_wan_spec *spec, uint16_t mtu, struct cw_relay_size *size)
{
    uint32_t frame = mtu + CW_WAN_FRAME_HEADER_BYTES;
    uint64_t bytes = cw_wan_spec_bytes_held(spec, CW_RELAY_ASSUMED_BITS, frame);
    uint64_t frames = CW_MIN(bytes / frame * 5 / 4 + FRAMES_LEAST, (uint64_t)UINT32_MAX / 4);
    size->frames = (uint32_t)frames;
    size->port_buffers = size->frames + PORT_BUFFERS_MORE;
    size->bytes = (uint64_t)size->port_buffers * (CW_MAX(frame, 2048u) + BUFFER_OVERHEAD) +
                  frames * (CW_RELAY_SMALL_BYTES + BUFFER_OVERHEAD);
}

static bool direction_init(struct direction *direction, const struct cw_relay_config *config, uint32_t index)
{
    char name[RTE_MEMPOOL_NAMESIZE];
    const struct cw_relay_size *size = &config->sizes[index];
    direction->from = config->ports[index];
    direction->to = config->ports[1 - index];
    direction->full_max = size->frames;
    direction->queues = CW_MAX(config->queues, 1u);
    snprintf(name, sizeof name, "wanem_small_%u", index);
    direction->small = rte_pktmbuf_pool_create(name, size->frames, SMALL_POOL_CACHE, 0,
                                               CW_RELAY_SMALL_BYTES + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    return direction->small != NULL && cw_line_init(&direction->line, 2 * size->frames);
}

struct cw_relay *cw_relay_new(const struct cw_relay_config *config, uint64_t start_ns)
{
    struct cw_relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL)
        return NULL;
    relay->clock_ns = config->clock_ns;
    relay->model = cw_wan_model_new(config->specs, start_ns);
    bool is_good = relay->model != NULL;
    for (uint32_t i = 0; i < CW_WAN_DIRECTIONS; i++)
        is_good = is_good && direction_init(&relay->directions[i], config, i);
    if (is_good)
        return relay;
    cw_relay_free(relay);
    return NULL;
}

static void direction_fini(struct direction *direction)
{
    struct rte_mbuf *frame;
    while (direction->line.ring != NULL && (frame = cw_line_take(&direction->line, UINT64_MAX)) != NULL)
        rte_pktmbuf_free(frame);
    rte_pktmbuf_free_bulk(direction->burst, direction->burst_count);
    cw_line_fini(&direction->line);
    rte_mempool_free(direction->small);
}

void cw_relay_free(struct cw_relay *relay)
{
    if (relay == NULL)
        return;
    for (uint32_t i = 0; i < CW_WAN_DIRECTIONS; i++)
        direction_fini(&relay->directions[i]);
    cw_wan_model_free(relay->model);
    free(relay);
}

/* ---------------------------------------------------------------- in */

static bool is_small(const struct direction *direction, const struct rte_mbuf *frame)
{
    return frame->pool == direction->small;
}

/* The same frame in a small buffer, where it fits and there is one. Takes and gives. */
static struct rte_mbuf *shrink(struct direction *direction, struct rte_mbuf *frame)
{
    uint16_t length = rte_pktmbuf_data_len(frame);
    struct rte_mbuf *small = NULL;
    if (length <= CW_RELAY_SMALL_BYTES)
        small = rte_pktmbuf_alloc(direction->small);
    if (small == NULL)
        return frame;
    memcpy(rte_pktmbuf_mtod(small, void *), rte_pktmbuf_mtod(frame, void *), length);
    small->data_len = length;
    small->pkt_len = length;
    rte_pktmbuf_free(frame);
    return small;
}

/* Puts the copies of a frame on the line, or drops what finds no room. Takes the frame. */
static void hold(struct direction *direction, struct rte_mbuf *frame, const struct cw_wan_verdict *verdict)
{
    frame = shrink(direction, frame);
    for (uint32_t copies = verdict->copies; copies > 0; copies--) {
        bool is_full_size = !is_small(direction, frame);
        if (cw_line_is_full(&direction->line) ||
            (is_full_size && direction->full_held == direction->full_max)) {
            direction->counters[CW_RELAY_NO_MEMORY]++;
            continue;
        }
        rte_mbuf_refcnt_update(frame, 1);
        direction->full_held += is_full_size;
        cw_line_put(&direction->line, verdict->departure_ns, verdict->is_late, frame);
    }
    rte_pktmbuf_free(frame); /* the reference that came with it */
}

static void corrupt(struct rte_mbuf *frame, uint32_t bit)
{
    if (bit == CW_WAN_INTACT || bit / 8 >= rte_pktmbuf_data_len(frame))
        return; /* the second: behind the first segment of a frame in several */
    rte_pktmbuf_mtod(frame, uint8_t *)[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

/* In turn, up to one that has something. What is sent leaves by the first queue: where it comes out is the
 * far port's business. */
static uint32_t receive_frames(struct direction *direction, struct rte_mbuf *frames[CW_PORT_BURST])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < direction->queues && count == 0; i++) {
        struct cw_port *from = cw_port_lane(direction->from, direction->queue);
        count = cw_port_receive_frames(from, frames, CW_PORT_BURST);
        direction->queue = (direction->queue + 1) % direction->queues;
    }
    return count;
}

/* The time is read behind the receiving: had it been before, and this thread away in between, frames that
 * were sent meanwhile would count as older than they are, and leave before their time. */
static uint32_t receive(struct cw_relay *relay, uint32_t index)
{
    struct direction *direction = &relay->directions[index];
    struct rte_mbuf *frames[CW_PORT_BURST];
    uint32_t count = receive_frames(direction, frames);
    uint64_t now_ns = count > 0 ? relay->clock_ns() : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct cw_wan_verdict verdict;
        cw_wan_decide(relay->model, index, now_ns, rte_pktmbuf_pkt_len(frames[i]), &verdict);
        if (verdict.copies == 0) {
            rte_pktmbuf_free(frames[i]);
            continue;
        }
        if (verdict.is_marked &&
            cw_wan_mark(rte_pktmbuf_mtod(frames[i], uint8_t *), rte_pktmbuf_data_len(frames[i])))
            direction->counters[CW_RELAY_MARKED]++;
        corrupt(frames[i], verdict.corrupt_bit);
        hold(direction, frames[i], &verdict);
    }
    if (count > 0)
        direction->counters[CW_RELAY_MOST_HELD] =
            CW_MAX(direction->counters[CW_RELAY_MOST_HELD], cw_line_count(&direction->line));
    return count;
}

/* ---------------------------------------------------------------- out */

static void note_lateness(struct direction *direction, uint64_t late_ns)
{
    uint32_t late_us = (uint32_t)CW_MIN(late_ns / CW_US, (uint64_t)UINT32_MAX);
    direction->late_us[CW_MIN(late_us, CW_RELAY_LATE_US - 1)]++;
    direction->late_us_max = CW_MAX(direction->late_us_max, late_us);
}

/* Takes what leaves now off the line. */
static void fill_burst(struct direction *direction, uint64_t now_ns)
{
    while (direction->burst_count < CW_PORT_BURST) {
        uint64_t departure_ns = cw_line_next_ns(&direction->line);
        struct rte_mbuf *frame = cw_line_take(&direction->line, now_ns);
        if (frame == NULL)
            return;
        note_lateness(direction, now_ns - departure_ns);
        direction->full_held -= !is_small(direction, frame);
        direction->burst[direction->burst_count++] = frame;
    }
}

static void drop_burst(struct direction *direction, unsigned reason)
{
    direction->counters[reason] += direction->burst_count;
    rte_pktmbuf_free_bulk(direction->burst, direction->burst_count);
    direction->burst_count = 0;
}

/* The far port took nothing. Turns are counted beside the time, for this thread may have been away itself. */
static void on_refusal(struct direction *direction, uint64_t now_ns)
{
    if (!cw_port_is_link_up(direction->to)) {
        drop_burst(direction, CW_RELAY_NO_LINK);
        return;
    }
    if (direction->refused_since_ns == 0) {
        direction->refused_since_ns = now_ns;
        direction->refused_turns = 0;
    }
    if (++direction->refused_turns > SLOW_TURNS && now_ns - direction->refused_since_ns > SLOW_NS)
        drop_burst(direction, CW_RELAY_PEER_SLOW);
}

static uint32_t transmit(struct direction *direction, uint64_t now_ns)
{
    uint64_t lengths[CW_PORT_BURST]; /* read before: a sent frame is the driver's */
    fill_burst(direction, now_ns);
    if (direction->burst_count == 0)
        return 0;
    for (uint32_t i = 0; i < direction->burst_count; i++)
        lengths[i] = rte_pktmbuf_pkt_len(direction->burst[i]);
    uint32_t sent = cw_port_transmit_frames(direction->to, direction->burst, direction->burst_count);
    if (sent == 0) {
        on_refusal(direction, now_ns);
        return 0;
    }
    for (uint32_t i = 0; i < sent; i++)
        direction->counters[CW_RELAY_SENT_BYTES] += lengths[i];
    direction->counters[CW_RELAY_SENT] += sent;
    direction->refused_since_ns = 0;
    direction->burst_count -= sent;
    memmove(direction->burst, direction->burst + sent, direction->burst_count * sizeof direction->burst[0]);
    return sent;
}

uint32_t cw_relay_turn(struct cw_relay *relay, uint64_t now_ns)
{
    uint32_t moved = 0;
    for (uint32_t i = 0; i < CW_WAN_DIRECTIONS; i++)
        moved += receive(relay, i);
    for (uint32_t i = 0; i < CW_WAN_DIRECTIONS; i++)
        moved += transmit(&relay->directions[i], now_ns);
    return moved;
}

uint64_t cw_relay_next_ns(const struct cw_relay *relay)
{
    uint64_t next_ns = UINT64_MAX;
    for (uint32_t i = 0; i < CW_WAN_DIRECTIONS; i++) {
        const struct direction *direction = &relay->directions[i];
        if (direction->burst_count > 0)
            return 0;
        next_ns = CW_MIN(next_ns, cw_line_next_ns(&direction->line));
    }
    return next_ns;
}

/* ---------------------------------------------------------------- telling */

/* The lateness that `share` percent of the frames sent did not exceed. */
static uint32_t late_us_at(const struct direction *direction, uint64_t share)
{
    uint64_t all = 0, seen = 0;
    for (uint32_t i = 0; i < CW_RELAY_LATE_US; i++)
        all += direction->late_us[i];
    for (uint32_t i = 0; i < CW_RELAY_LATE_US; i++) {
        seen += direction->late_us[i];
        if (seen * 100 >= all * share)
            return i;
    }
    return CW_RELAY_LATE_US - 1;
}

void cw_relay_report(const struct cw_relay *relay, uint32_t index, struct cw_relay_report *report)
{
    const struct direction *direction = &relay->directions[index];
    CW_ASSERT(index < CW_WAN_DIRECTIONS);
    report->counts = cw_wan_model_counts(relay->model, index);
    memcpy(report->counters, direction->counters, sizeof report->counters);
    report->under_way = cw_line_count(&direction->line) + direction->burst_count;
    report->late_us_p50 = late_us_at(direction, 50);
    report->late_us_p99 = late_us_at(direction, 99);
    report->late_us_max = direction->late_us_max;
}
