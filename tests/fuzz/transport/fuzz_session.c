/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two sessions and an input that is a list of steps: bytes from a stranger, frames sealed by a peer that has
 * the keys and means ill, time, honest messages. Whatever happens: no assert, no bad access, after every step
 * events, messages, packets and buffers within their limits, and after all of it a session can still be
 * brought up.
 *
 * Step: u8 kind, u8 side (bit 0) and more, u16 length (modulo what follows), then `length` bytes
 *   0 a datagram as it is        2 time: u16 ms; what each side sends reaches the other
 *   1 a payload to be sealed; its first 4 bytes: packet type, stream, position, iv step; the upper bits of
 *     the first and of the third tell its place in a block of forward error correction
 *   3 a message: body of length * 32 bytes
 * The first byte of the input tells whether the sessions are up when it begins.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/numbers.h"
#include "io/aead.h"
#include "limits.h"
#include "transport/session_internal.h"

#define STEPS_MAX    64
#define BURST_MAX    256
#define DATAGRAM_MAX 1472u

static struct {
    struct cw_session *sessions[2];
    uint8_t *memory;
    size_t half;          /* bytes of one session's arena */
    uint8_t *before, *up; /* both arenas as they were */
    uint64_t start_ns, up_ns;
    uint64_t now_ns;
    uint32_t open[2]; /* messages not yet returned */
    uint8_t seed;
} world;

static uint8_t zeros[CW_RECORD_PAYLOAD_MAX];

static void take_events(int side)
{
    struct cw_session_event event;
    while (cw_session_event(world.sessions[side], &event)) {
        if (event.type == CW_SESSION_RECEIVED) {
            CW_ASSERT(event.received.body_length <= CW_RECORD_PAYLOAD_MAX);
            CW_ASSERT(event.received.head_length >= 1);
            cw_session_release(world.sessions[side], event.received.buffer);
        } else if (event.type == CW_SESSION_SENT) {
            CW_ASSERT(world.open[side] > 0);
            world.open[side]--;
        }
    }
}

static void give_entropy(int side)
{
    uint8_t seed[64];
    if (!cw_session_wants_entropy(world.sessions[side]))
        return;
    memset(seed, ++world.seed, sizeof seed);
    seed[0] = (uint8_t)side;
    cw_session_entropy(world.sessions[side], seed);
}

static void exchange(void)
{
    uint8_t datagram[DATAGRAM_MAX];
    for (int i = 0; i < BURST_MAX; i++) {
        int side = i & 1;
        give_entropy(side);
        if (cw_session_deadline_ns(world.sessions[side]) <= world.now_ns)
            cw_session_on_time(world.sessions[side], world.now_ns);
        size_t length = cw_session_transmit(world.sessions[side], 0, datagram, world.now_ns);
        if (length > 0)
            cw_session_on_datagram(world.sessions[!side], 0, datagram, length, world.now_ns);
        take_events(0);
        take_events(1);
    }
}

static bool come_up(void)
{
    for (int i = 0; i < 1000; i++) {
        exchange();
        if (cw_session_is_up(world.sessions[0]) && cw_session_is_up(world.sessions[1]))
            return true;
        world.now_ns += 20 * CW_MS;
    }
    return false;
}

static void build(void)
{
    struct cw_arena arena;
    struct cw_session_config config = {.aead = cw_aead_ipsecmb(),
                                       .path_count = 1,
                                       .paths = {{.datagram_bytes_max = DATAGRAM_MAX,
                                                  .is_mtu_probed = true,
                                                  .packets_in_flight_max = 32,
                                                  .fec = {CW_FEC_FIXED, 8, 2, 2}}},
                                       .messages_max = 8,
                                       .receive_count = {4, 2, 1},
                                       .idle_timeout_ns = CW_SECOND};
    cw_arena_measure(&arena);
    cw_session_new(&config, &arena, 0);
    world.half = cw_round_up(arena.used, 4096);
    world.memory = aligned_alloc(4096, 2 * world.half);
    world.before = malloc(2 * world.half);
    world.up = malloc(2 * world.half);
    CW_ASSERT(world.memory && world.before && world.up);
    world.start_ns = world.now_ns = CW_SECOND;
    for (int side = 0; side < 2; side++) {
        config.is_initiator = side == 0;
        config.seed[1] = (uint8_t)side;
        memcpy(config.local_name, side ? "b" : "a", 2);
        memcpy(config.remote_name, side ? "a" : "b", 2);
        cw_arena_init(&arena, world.memory + (size_t)side * world.half, world.half);
        world.sessions[side] = cw_session_new(&config, &arena, world.now_ns);
    }
    memcpy(world.before, world.memory, 2 * world.half);
    CW_ASSERT(come_up());
    world.up_ns = world.now_ns;
    memcpy(world.up, world.memory, 2 * world.half);
}

static void rewind_to(bool is_up)
{
    if (!world.memory)
        build();
    memcpy(world.memory, is_up ? world.up : world.before, 2 * world.half);
    world.now_ns = is_up ? world.up_ns : world.start_ns;
    world.open[0] = world.open[1] = 0;
    world.seed = is_up ? 100 : 0; /* never one that the session has used */
}

/* As the peer of `side` would seal it. The IV steps ahead, and the peer goes on from there: one that hears of
 * numbers that it has not sent ends the session. */
static void sealed(int side, const uint8_t *bytes, size_t length)
{
    uint8_t datagram[CW_PACKET_OVERHEAD + DATAGRAM_MAX], nonce[CW_PACKET_IV_SIZE];
    uint8_t *payload = datagram + CW_PACKET_HEADER_SIZE;
    struct cw_path *from = &world.sessions[!side]->paths[0];
    struct cw_sa *sa = from->live;
    if (length < 4 || length - 4 > DATAGRAM_MAX || !sa->is_ready)
        return;
    static const uint8_t types[] = {CW_PACKET_DATA, CW_PACKET_CONTROL, CW_PACKET_REPAIR, CW_PACKET_CONTROL};
    struct cw_packet packet = {.spi = sa->spi_out,
                               .iv = sa->next_iv,
                               .type = types[bytes[0] & 3],
                               .stream = bytes[1],
                               .length = (uint16_t)(length - 4)};
    packet.iv += 1000 + bytes[3];
    if (from->state != CW_PATH_UNUSED)
        from->inflight.next_number = sa->next_iv = packet.iv + 1;
    if (packet.type == CW_PACKET_CONTROL)
        packet.stream = 0;
    if (packet.type == CW_PACKET_DATA)
        packet.position = bytes[2] & 7;
    if (packet.type == CW_PACKET_REPAIR)
        packet.position = bytes[2] & (CW_PACKET_PATHS_MAX - 1);
    if (packet.type != CW_PACKET_CONTROL) {
        packet.fec_repairs = bytes[0] >> 2 & 3;
        packet.fec_index = packet.fec_repairs ? bytes[0] >> 4 : 0;
        packet.fec_block = packet.fec_repairs ? bytes[2] >> 3 : 0;
    }
    if (packet.type == CW_PACKET_REPAIR && packet.fec_repairs == 0)
        packet.fec_repairs = 1;
    memcpy(payload, bytes + 4, length - 4);
    cw_packet_encode(&packet, datagram);
    cw_packet_nonce(datagram, nonce);
    cw_aead_ipsecmb()->seal(sa->key_out, payload, payload, packet.length, nonce, datagram,
                            CW_PACKET_HEADER_SIZE, payload + packet.length);
    uint64_t where = bytes[1] & 0x30 ? 0 : bytes[1] >> 6; /* mostly from where it was */
    cw_session_on_datagram_from(world.sessions[side], 0, where, false, datagram,
                                packet.length + CW_PACKET_OVERHEAD, world.now_ns);
}

static void raw(int side, const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length + 1); /* of its own size, so that a sanitizer sees the end */
    memcpy(copy, bytes, length);
    cw_session_on_datagram(world.sessions[side], 0, copy, length, world.now_ns);
    free(copy);
}

static void message(int side, uint8_t more, size_t length)
{
    static const uint8_t head[64] = {1};
    uint32_t body = (uint32_t)CW_MIN(length * 32, sizeof zeros);
    enum cw_stream stream = (enum cw_stream)(more % CW_STREAM_COUNT);
    if (cw_session_send(world.sessions[side], stream, head, sizeof head, zeros, body, 0) == CW_OK)
        world.open[side]++;
}

/* A peer that means ill can make a session believe much, but not hold more than it has. */
static void check_limits(int side)
{
    const struct cw_session *s = world.sessions[side];
    CW_ASSERT(world.open[side] <= s->config.messages_max);
    CW_ASSERT(s->send.open_count <= world.open[side]);
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        check_path_limits(&s->paths[i], s->config.paths[i].packets_in_flight_max);
    }
    CW_ASSERT(s->event_head == s->event_tail && s->state_events == 0);
    for (uint32_t c = 0; c < CW_CLASS_COUNT; c++) {
        CW_ASSERT(s->receive.pools[c].free_count <= s->config.receive_count[c]);
        CW_ASSERT(!s->receive.is_open ||
                  s->receive.granted[c] - s->receive.accepted[c] == s->receive.pools[c].free_count);
        CW_ASSERT(s->receive.accepted[c] <= s->receive.granted[c]);
    }
}

static void step(uint8_t kind, uint8_t more, const uint8_t *bytes, size_t length)
{
    int side = more & 1;
    switch (kind & 3) {
    case 0:
        raw(side, bytes, length);
        break;
    case 1:
        sealed(side, bytes, length);
        break;
    case 2:
        world.now_ns += length * CW_MS;
        exchange();
        break;
    default:
        message(side, more >> 1, length);
    }
    take_events(0);
    take_events(1);
    check_limits(0);
    check_limits(1);
}

const size_t cw_fuzz_input_max = 4096;

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    rewind_to(data[0] & 1);
    size_t at = 1;
    for (int i = 0; i < STEPS_MAX && size - at >= 4; i++) {
        size_t left = size - at - 4, length = cw_load16le(data + at + 2);
        bool has_bytes = (data[at] & 3) < 2;
        if (has_bytes && length > left)
            length = left;
        step(data[at], data[at + 1], data + at + 4, length);
        at += 4 + (has_bytes ? length : 0);
    }
    if ((data[0] & 0xf0) == 0) {
        world.now_ns += 10 * CW_SECOND; /* whatever it believed, it believes no more */
        CW_ASSERT(come_up());
    }
    return 0;
}

/* ---- inputs that get somewhere ----------------------------------------------------------------------- */

static size_t a_frame(struct cw_rng *rng, uint8_t *at)
{
    struct cw_ack ack = {.delay_ns = 1, .range_count = 1};
    struct cw_recovered_list recovered = {.count = 2, .numbers = {1 + cw_rng_below(rng, 8), 2}};
    uint64_t granted[CW_CLASS_COUNT] = {cw_rng_below(rng, 20), cw_rng_below(rng, 20), cw_rng_below(rng, 20)};
    switch (cw_rng_below(rng, 9)) {
    case 0:
        return cw_frame_write_ping(at);
    case 8:
        return cw_frame_write_value(at, cw_rng_below(rng, 2) ? CW_FRAME_CHALLENGE : CW_FRAME_RESPONSE,
                                    cw_rng_below(rng, 8));
    case 3:
        return cw_frame_write_recovered(at, &recovered);
    case 1:
        return cw_frame_write_credit(at, granted);
    case 2:
        return cw_rng_below(rng, 4) ? 0 : cw_frame_write_close(at, (uint8_t)cw_rng_below(rng, 8));
    default:
        ack.ranges[0].first =
            1 + cw_rng_below(rng, cw_rng_below(rng, 8) ? 3 : 8); /* mostly one that was sent */
        ack.ranges[0].last = ack.ranges[0].first + cw_rng_below(rng, 2);
        return cw_frame_write_ack(at, &ack);
    }
}

static size_t a_data_frame(struct cw_rng *rng, uint8_t *at)
{
    uint32_t full = CW_FRAGMENT_BYTES(DATAGRAM_MAX) - CW_FEC_HEAD_SIZE, unit = cw_unit_bytes(full);
    struct cw_data data = {
        .head_length = 64, .body_length = (uint32_t)cw_rng_below(rng, 3) * 1500, .has_group = true};
    uint32_t total = data.head_length + data.body_length;
    data.offset = unit * (uint32_t)cw_rng_below(rng, (total + unit - 1) / unit);
    data.length = CW_MIN(unit * (1 + (uint32_t)cw_rng_below(rng, full / unit)), total - data.offset);
    size_t size = cw_frame_write_data(at, &data);
    memset(at + size, 0, data.length);
    return size + data.length;
}

static size_t a_step(struct cw_rng *rng, uint8_t *at)
{
    uint8_t *bytes = at + 4;
    size_t length = 0;
    at[0] = (uint8_t)cw_rng_below(rng, 4);
    at[1] = (uint8_t)cw_rng_next(rng);
    if (at[0] >= 2) {
        cw_store16le(at + 2, (uint16_t)cw_rng_below(rng, 300));
        return 4;
    }
    if (at[0] == 0) {
        struct cw_packet packet = {
            .type = CW_PACKET_HANDSHAKE, .stream = (uint8_t)cw_rng_below(rng, 6), .length = 200};
        length = 256;
        memset(bytes, 0, length);
        cw_packet_encode(&packet, bytes);
    } else {
        bytes[0] = (uint8_t)cw_rng_next(rng);
        bytes[1] = (uint8_t)cw_rng_below(rng, 4);
        bytes[2] = (uint8_t)(cw_rng_below(rng, 6) | cw_rng_below(rng, 6) << 3);
        bytes[3] = (uint8_t)cw_rng_below(rng, 64);
        length = 4;
        if ((bytes[0] & 3) == 2) { /* a symbol that may be taken for a packet, before its frames */
            memcpy(bytes + 4, (uint8_t[16]){64, 0, 1, CW_PACKET_DATA, (uint8_t)cw_rng_below(rng, 16)}, 16);
            length += 16;
        }
        for (uint64_t frames = cw_rng_below(rng, 3); frames > 0; frames--)
            length += a_frame(rng, bytes + length);
        if (!(bytes[0] & 1))
            length += a_data_frame(rng, bytes + length);
    }
    cw_store16le(at + 2, (uint16_t)length);
    return 4 + length;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    size_t size = 1;
    data[0] = (uint8_t)cw_rng_next(rng) | (cw_rng_below(rng, 4) ? 1 : 0);
    while (size + 1600 < cw_fuzz_input_max && cw_rng_below(rng, 12))
        size += a_step(rng, data + size);
    return size;
}
