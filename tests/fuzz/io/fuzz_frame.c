/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Received frames, on paths of IPv4 and IPv6, with a VLAN and without: never a byte past the frame, and what
 * is taken lies within it, is unfragmented, and comes out the same when its lengths are built anew. An input
 * is one byte that chooses the path and whether the driver took the tag, then the frame. Since a fuzzer will
 * not guess checksums, the same frame is tried a second time with them put right.
 */
#include "fuzz.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/numbers.h"
#include "io/checksum.h"
#include "io/frame.h"

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

static void check(const struct cw_frame_path *path, uint8_t kind, uint8_t *frame, size_t length)
{
    struct cw_frame_in in = {.bytes = frame, .length = length, .is_tag_taken = kind & 4, .tag = VLAN};
    uint8_t *payload;
    size_t payload_length;
    if (cw_frame_check(path, &in, &payload, &payload_length) != CW_FRAME_OK)
        return;
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
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    struct cw_frame_path path;
    size_t length = cw_rng_below(rng, 300);
    data[0] = (uint8_t)cw_rng_below(rng, 4);
    path_set(&path, data[0], false);
    uint8_t *payload = data + 1 + path.header_bytes;
    for (size_t i = 0; i < length; i++)
        payload[i] = (uint8_t)cw_rng_next(rng);
    cw_frame_finish(&path, data + 1, length);
    return 1 + path.header_bytes + length;
}
