/* SPDX-License-Identifier: BSD-3-Clause */
#include "flows.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "tests/lib/null_aead.h"
#include "transport/frames.h"

#define BODY_BYTES    CW_RECORD_PAYLOAD_MAX
#define BODY_OF_LIMIT 16384u /* messages of a sender with a rate are smaller, so that it is a steady one */
#define HEAD_BYTES    96u

static const uint8_t head[HEAD_BYTES];
static const uint8_t body[BODY_BYTES];

/* ---- building ---------------------------------------------------------------------------------------- */

void cw_flows_init(struct cw_flows *flows, uint64_t rate, uint64_t buffer_bytes, uint32_t datagram_bytes,
                   uint64_t window_bytes)
{
    uint32_t packets = 256;
    while ((uint64_t)packets * datagram_bytes < window_bytes)
        packets *= 2;
    *flows = (struct cw_flows){
        .now_ns = CW_SECOND,
        .seed = 1,
        .datagram_bytes = datagram_bytes,
        .packets_in_flight_max = packets,
        .receive_large = (uint32_t)(2 * window_bytes / BODY_BYTES + 16),
        .bottleneck = {.rate_bytes_per_second = rate, .buffer_bytes = buffer_bytes},
    };
}

static void make_session(struct cw_flows *flows, struct cw_flow *flow, int side, enum cw_rate_kind kind)
{
    struct cw_session_config config = {
        .is_initiator = side == 0,
        .aead = &null_aead,
        .path_count = 1,
        .paths = {{.datagram_bytes_max = flows->datagram_bytes,
                   .rate_kind = side == 0 ? kind : CW_RATE_FIXED,
                   .rate_bytes_per_second = side == 0 ? flows->shaper_bytes_per_second : 0,
                   .guard = flows->guard,
                   .fec = flows->fec,
                   .packets_in_flight_max = flows->packets_in_flight_max}},
        .messages_max = 2 * flows->receive_large,
        .receive_count = {64, 256, flows->receive_large},
        .idle_timeout_ns = 60 * CW_SECOND,
    };
    memcpy(config.local_name, side == 0 ? "east" : "west", 5);
    memcpy(config.remote_name, side == 0 ? "west" : "east", 5);
    struct cw_rng rng = {flows->seed * 100 + flows->count * 2 + (uint32_t)side};
    for (size_t i = 0; i < sizeof config.seed; i++)
        config.seed[i] = (uint8_t)cw_rng_next(&rng);
    struct cw_arena arena;
    cw_arena_measure(&arena);
    (void)cw_session_new(&config, &arena, flow->start_ns);
    size_t size = cw_round_up(arena.used, 4096);
    flow->memory[side] = aligned_alloc(4096, size);
    CW_ASSERT(flow->memory[side] != NULL);
    cw_arena_init(&arena, flow->memory[side], size);
    flow->sides[side] = cw_session_new(&config, &arena, flow->start_ns);
}

struct cw_flow *cw_flows_add(struct cw_flows *flows, enum cw_rate_kind kind, uint64_t rtt_ns,
                             uint64_t start_ns)
{
    CW_ASSERT(flows->count < CW_FLOWS_MAX);
    struct cw_flow *flow = &flows->flow[flows->count];
    struct cw_link_config way = {.delay_ns = rtt_ns / 2};
    *flow = (struct cw_flow){.start_ns = start_ns, .stream = CW_STREAM_LIVE, .poll_rng = {flows->seed}};
    cw_link_init(&flow->out, &way, flows->seed + 2 * flows->count);
    cw_link_init(&flow->back, &way, flows->seed + 2 * flows->count + 1);
    make_session(flows, flow, 0, kind);
    make_session(flows, flow, 1, kind);
    flows->count++;
    return flow;
}

void cw_flows_fini(struct cw_flows *flows)
{
    for (uint32_t i = 0; i < flows->count; i++) {
        cw_link_fini(&flows->flow[i].out);
        cw_link_fini(&flows->flow[i].back);
        free(flows->flow[i].memory[0]);
        free(flows->flow[i].memory[1]);
    }
}

/* ---- the bottleneck ---------------------------------------------------------------------------------- */

uint64_t cw_flows_queue_bytes(const struct cw_flows *flows)
{
    const struct cw_bottleneck *neck = &flows->bottleneck;
    if (neck->free_ns <= flows->now_ns)
        return 0;
    return (uint64_t)((double)(neck->free_ns - flows->now_ns) * (double)neck->rate_bytes_per_second / 1e9);
}

static bool police(struct cw_bottleneck *neck, size_t length, uint64_t now_ns)
{
    double filled = (double)(now_ns - neck->tokens_ns) * (double)neck->rate_bytes_per_second / 1e9;
    neck->tokens = CW_MIN(neck->tokens + (uint64_t)filled, neck->bucket_bytes);
    neck->tokens_ns = now_ns;
    if (neck->tokens < length)
        return false;
    neck->tokens -= length;
    return true;
}

/* When it leaves the bottleneck; CW_NEVER: it does not. */
static uint64_t pass(struct cw_flows *flows, size_t length, bool *is_marked)
{
    struct cw_bottleneck *neck = &flows->bottleneck;
    uint64_t queue = cw_flows_queue_bytes(flows);
    bool goes =
        neck->bucket_bytes ? police(neck, length, flows->now_ns) : queue + length <= neck->buffer_bytes;
    if (!goes) {
        neck->dropped++;
        return CW_NEVER;
    }
    *is_marked = neck->mark_bytes && queue > neck->mark_bytes;
    neck->marked += *is_marked;
    neck->passed_bytes += length;
    if (neck->bucket_bytes)
        return flows->now_ns;
    neck->free_ns = CW_MAX(neck->free_ns, flows->now_ns) + length * CW_SECOND / neck->rate_bytes_per_second;
    return neck->free_ns;
}

/* ---- one flow ---------------------------------------------------------------------------------------- */

/* The mark travels behind the datagram's last byte. */
static void transmit(struct cw_flows *flows, struct cw_flow *flow)
{
    static uint8_t bytes[65536];
    size_t length;
    while ((length = cw_session_transmit(flow->sides[0], 0, bytes, flows->now_ns)) > 0) {
        struct cw_packet packet;
        if (cw_packet_check(bytes, length, &packet) == CW_PACKET_OK && packet.type == CW_PACKET_DATA)
            flow->sent_of_stream[packet.stream]++;
        bool is_marked = false;
        uint64_t leaves_ns = pass(flows, length, &is_marked);
        bytes[length] = is_marked;
        if (leaves_ns != CW_NEVER)
            cw_link_push(&flow->out, bytes, length + 1, leaves_ns);
    }
    while ((length = cw_session_transmit(flow->sides[1], 0, bytes, flows->now_ns)) > 0) {
        uint64_t at_ns = flows->now_ns;
        if (flow->batch_ns)
            at_ns += flow->batch_ns - at_ns % flow->batch_ns;
        cw_link_push(&flow->back, bytes, length, at_ns);
    }
}

static void deliver(struct cw_flows *flows, struct cw_flow *flow)
{
    static uint8_t bytes[65536];
    size_t length;
    while ((length = cw_link_pop(&flow->out, bytes, flows->now_ns)) != SIZE_MAX) {
        if (bytes[length - 1])
            cw_session_on_datagram_marked(flow->sides[1], 0, bytes, length - 1, flows->now_ns);
        else
            cw_session_on_datagram(flow->sides[1], 0, bytes, length - 1, flows->now_ns);
    }
    while ((length = cw_link_pop(&flow->back, bytes, flows->now_ns)) != SIZE_MAX)
        cw_session_on_datagram(flow->sides[0], 0, bytes, length, flows->now_ns);
}

static void drain_events(struct cw_flow *flow)
{
    struct cw_session_event event;
    for (int side = 0; side < 2; side++) {
        while (cw_session_event(flow->sides[side], &event)) {
            CW_ASSERT(event.type != CW_SESSION_DOWN);
            if (event.type == CW_SESSION_PATH_HELD && strlen(flow->held_told) + 1 < sizeof flow->held_told)
                flow->held_told[strlen(flow->held_told)] = "FYT"[event.why];
            if (event.type != CW_SESSION_RECEIVED)
                continue;
            flow->delivered_bytes += event.received.body_length;
            cw_session_release(flow->sides[side], event.received.buffer);
        }
    }
}

static void send(struct cw_flows *flows, struct cw_flow *flow)
{
    uint32_t length = flow->app_bytes_per_second ? BODY_OF_LIMIT : BODY_BYTES;
    if (flow->is_paused || !cw_session_is_up(flow->sides[0]))
        return;
    if (flow->app_next_ns + CW_SECOND < flows->now_ns) /* what was not sent long ago is not made up for */
        flow->app_next_ns = flows->now_ns;
    while (cw_session_can_send(flow->sides[0], flow->stream, length)) {
        if (flow->app_bytes_per_second) {
            if (flow->app_next_ns > flows->now_ns)
                return;
            flow->app_next_ns += length * CW_SECOND / flow->app_bytes_per_second;
        }
        enum cw_status status =
            cw_session_send(flow->sides[0], flow->stream, head, sizeof head, body, length, 0);
        CW_ASSERT(status == CW_OK);
    }
}

static uint64_t flow_next_ns(const struct cw_flow *flow)
{
    uint64_t at_ns = CW_MIN(cw_link_next_ns(&flow->out), cw_link_next_ns(&flow->back));
    for (int side = 0; side < 2; side++)
        at_ns = CW_MIN(at_ns, cw_session_deadline_ns(flow->sides[side]));
    bool can_send = !flow->is_paused && cw_session_can_send(flow->sides[0], flow->stream, BODY_OF_LIMIT);
    if (flow->app_bytes_per_second && can_send)
        at_ns = CW_MIN(at_ns, flow->app_next_ns);
    return CW_MAX(at_ns, flow->start_ns);
}

/* The first time that somebody looks after the flow once that is due. One pause in sixteen is long. */
static uint64_t polled_ns(struct cw_flow *flow, uint64_t due_ns)
{
    while (flow->poll_ns && flow->next_poll_ns < due_ns && due_ns != CW_NEVER) {
        uint64_t gap_ns = 1 + cw_rng_below(&flow->poll_rng, 2 * flow->poll_ns);
        if (cw_rng_below(&flow->poll_rng, 16) == 0)
            gap_ns *= 8;
        flow->next_poll_ns = CW_MAX(flow->next_poll_ns, flow->start_ns) + gap_ns;
    }
    return CW_MAX(due_ns, flow->next_poll_ns);
}

static void turn(struct cw_flows *flows, struct cw_flow *flow)
{
    deliver(flows, flow);
    for (int side = 0; side < 2; side++) {
        if (cw_session_deadline_ns(flow->sides[side]) <= flows->now_ns)
            cw_session_on_time(flow->sides[side], flows->now_ns);
    }
    drain_events(flow);
    send(flows, flow);
    transmit(flows, flow);
}

bool cw_flows_run(struct cw_flows *flows, uint64_t until_ns, bool (*done)(struct cw_flows *flows))
{
    for (;;) {
        uint64_t at_ns = CW_NEVER;
        struct cw_flow *next = NULL;
        for (uint32_t i = 0; i < flows->count; i++) {
            struct cw_flow *flow = &flows->flow[i];
            uint64_t flow_ns = polled_ns(flow, flow_next_ns(flow));
            if (flow_ns < at_ns) {
                at_ns = flow_ns;
                next = flow;
            }
        }
        if (at_ns > until_ns)
            break;
        flows->now_ns = CW_MAX(flows->now_ns, at_ns);
        turn(flows, next);
        if (done && done(flows))
            return true;
    }
    flows->now_ns = CW_MAX(flows->now_ns, until_ns);
    return done == NULL;
}

double cw_flows_payload_share(const struct cw_flows *flows)
{
    return (double)CW_FRAGMENT_BYTES(flows->datagram_bytes) / flows->datagram_bytes * BODY_BYTES /
           (BODY_BYTES + HEAD_BYTES);
}
