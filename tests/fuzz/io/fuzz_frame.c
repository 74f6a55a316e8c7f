/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Received frames, on paths of IPv4 and IPv6, with a VLAN and without: never a byte past the frame, and what
 * is taken lies within it; what is no datagram goes to the host (ARP, neighbour discovery, echo), whose
 * answer fits its room, and whom only an answer to a question teaches. An input is one byte that chooses the
 * path, whether the driver took the tag, and whether the host has asked or is still probing, then the frame.
 * Since a fuzzer will not guess checksums, the same frame is tried again with those of UDP, then with those
 * of ICMP put right.
 */
#include "fuzz.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/numbers.h"
#include "io/checksum.h"
#include "io/frame.h"
#include "io/host.h"

const size_t cw_fuzz_input_max = 2048;

#define VLAN 100

static void path_set(struct cw_frame_path *path, uint8_t kind, bool is_receiver)
{
    uint8_t a[16] = {[0] = 0xfd, [15] = 1}, b[16] = {[0] = 0xfd, [15] = 2};
    bool is_v6 = kind & 1;
    struct cw_frame_addresses addresses = {.local_ip = is_v6 ? cw_ip_v6(a) : cw_ip_v4(0x0a000001),
                                           .remote_ip = is_v6 ? cw_ip_v6(b) : cw_ip_v4(0x0a000002),
                                           .local_udp = 7400,
                                           .remote_udp = 7400,
                                           .vlan = kind & 2 ? VLAN : 0};
    if (is_receiver) {
        addresses.local_ip = is_v6 ? cw_ip_v6(b) : cw_ip_v4(0x0a000002);
        addresses.remote_ip = is_v6 ? cw_ip_v6(a) : cw_ip_v4(0x0a000001);
    }
    cw_frame_path_init(path, &addresses);
}

static void give_to_host(const struct cw_frame_path *path, uint8_t kind, const struct cw_frame_in *in)
{
    static uint8_t reply[1518];
    struct cw_host_config config = {.mac = {2, [5] = 2},
                                    .vlan = path->addresses.vlan,
                                    .ip = path->addresses.local_ip,
                                    .next_hop = path->addresses.remote_ip};
    struct cw_host host;
    size_t length;
    cw_host_init(&host, &config);
    if (kind & 16)
        cw_host_enter(&host, 1);
    if (kind & 16 && cw_host_announce(&host, reply, 1) > 0)
        (void)cw_host_announce(&host, reply, 1);
    bool is_asked = kind & 8 && cw_host_ask(&host, reply, 1) > 0;
    enum cw_host_verdict verdict = cw_host_on_frame(&host, in, reply, sizeof reply, &length, 2);
    CW_ASSERT((length > 0) == (verdict == CW_HOST_ASKED || verdict == CW_HOST_ECHOED));
    CW_ASSERT(length <= sizeof reply);
    CW_ASSERT(length <= in->length + CW_HOST_ASK_BYTES_MAX); /* nothing is amplified */
    CW_ASSERT(cw_neighbour_is_usable(&host.neighbour) == (verdict == CW_HOST_LEARNT));
    CW_ASSERT(verdict != CW_HOST_LEARNT || is_asked);
    CW_ASSERT(length == 0 || cw_host_has_address(&host));
}

static void check(const struct cw_frame_path *path, uint8_t kind, uint8_t *frame, size_t length)
{
    struct cw_frame_in in = {.bytes = frame, .length = length, .is_tag_taken = kind & 4, .tag = VLAN};
    uint8_t *payload;
    size_t payload_length;
    if (cw_frame_check(path, &in, &payload, &payload_length) != CW_FRAME_OK) {
        give_to_host(path, kind, &in);
        return;
    }
    CW_ASSERT(payload >= frame);
    CW_ASSERT(payload + payload_length <= frame + length);
    CW_ASSERT((size_t)(payload - frame) >= path->header_bytes - CW_FRAME_VLAN_BYTES);
    (void)cw_frame_is_marked(path, payload);
}

/* Both checksums, where the lengths let them be. */
static void repair(const struct cw_frame_path *path, uint8_t *frame, size_t length)
{
    uint8_t *ip = frame + path->ip_at, *udp = frame + path->udp_at;
    if (length < path->header_bytes)
        return;
    if (path->addresses.local_ip.version == 4) {
        cw_store16be(ip + 10, 0);
        cw_store16be(ip + 10, (uint16_t)~cw_checksum_sum(ip, CW_FRAME_IP4_BYTES));
        return;
    }
    size_t udp_length = CW_MIN(cw_load16be(udp + 4), length - path->udp_at);
    cw_store16be(udp + 6, 0);
    uint64_t sum = cw_checksum_sum(ip + 8, 32) + 17 + udp_length + cw_checksum_sum(udp, udp_length);
    uint16_t checksum = (uint16_t)~cw_checksum_fold(sum);
    cw_store16be(udp + 6, checksum == 0 ? 0xffff : checksum);
}

static void repair_icmp(const struct cw_frame_path *path, uint8_t *frame, size_t length)
{
    uint8_t *ip = frame + path->ip_at, *icmp = frame + path->udp_at;
    bool is_v6 = path->addresses.local_ip.version == 6;
    if (length < path->udp_at + 8u)
        return;
    size_t claimed = is_v6 ? cw_load16be(ip + 4) : cw_load16be(ip + 2) - (size_t)CW_FRAME_IP4_BYTES;
    size_t icmp_length = CW_MIN(claimed, length - path->udp_at);
    uint64_t sum = is_v6 ? cw_checksum_sum(ip + 8, 32) + 58 + icmp_length : 0;
    cw_store16be(icmp + 2, 0);
    cw_store16be(icmp + 2, (uint16_t)~cw_checksum_fold(sum + cw_checksum_sum(icmp, icmp_length)));
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    static uint8_t frame[65536];
    struct cw_frame_path path;
    if (size < 1 || size > sizeof frame)
        return 0;
    /* At the end of its array, so that a sanitizer sees what reads past it. */
    size_t length = size - 1;
    uint8_t *at = frame + sizeof frame - length;
    memcpy(at, data + 1, length);
    path_set(&path, data[0], true);
    check(&path, data[0], at, length);
    repair(&path, at, length);
    check(&path, data[0], at, length);
    repair_icmp(&path, at, length);
    check(&path, data[0], at, length);
    return 0;
}

/* A question or an answer about an address, or an echo, as the sender's own host would write it. */
static size_t good_other(struct cw_rng *rng, const struct cw_frame_path *path, uint8_t *frame)
{
    bool is_v6 = path->addresses.local_ip.version == 6;
    struct cw_host_config config = {.mac = {2, [5] = 1},
                                    .vlan = path->addresses.vlan,
                                    .ip = path->addresses.local_ip,
                                    .next_hop = path->addresses.remote_ip};
    struct cw_host host;
    cw_host_init(&host, &config);
    size_t length = cw_host_ask(&host, frame, 1);
    uint8_t *behind = frame + path->ip_at;
    frame[0] = cw_rng_below(rng, 2) ? frame[0] : 2;
    switch (cw_rng_below(rng, 3)) {
    case 0: /* an answer */
        memcpy(frame, (const uint8_t[6]){2, [5] = 2}, 6);
        if (is_v6) {
            memcpy(behind + 24, path->addresses.remote_ip.bytes, 16);
            memcpy(behind + 48, path->addresses.local_ip.bytes, 16);
            behind[40] = 136;
            behind[44] = 0x60;
            behind[64] = 2;
        } else {
            behind[7] = 2;
            memcpy(behind + 18, (const uint8_t[6]){2, [5] = 2}, 6);
        }
        return length;
    case 1: /* an echo */
        memcpy(frame, (const uint8_t[6]){2, [5] = 2}, 6);
        cw_frame_finish(path, frame, cw_rng_below(rng, 100));
        length = path->header_bytes + (size_t)(cw_load16be(frame + path->udp_at + 4) - 8);
        behind[is_v6 ? 6 : 9] = is_v6 ? 58 : 1;
        cw_store16be(frame + path->udp_at, is_v6 ? 0x8000 : 0x0800);
        return length;
    default:
        return length;
    }
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    struct cw_frame_path path;
    size_t length = cw_rng_below(rng, 300);
    data[0] = (uint8_t)cw_rng_below(rng, 16) & (uint8_t)~4u;
    path_set(&path, data[0], false);
    if (cw_rng_below(rng, 2))
        return 1 + good_other(rng, &path, data + 1);
    uint8_t *payload = data + 1 + path.header_bytes;
    for (size_t i = 0; i < length; i++)
        payload[i] = (uint8_t)cw_rng_next(rng);
    cw_frame_finish(&path, data + 1, length);
    return 1 + path.header_bytes + length;
}
