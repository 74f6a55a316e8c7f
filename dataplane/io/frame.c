/* SPDX-License-Identifier: BSD-3-Clause */
/* See frame.h. Network byte order throughout; fields are read by offset, so no frame needs to be aligned. */
#include "io/frame.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

#define ETHERTYPE_IPV4  0x0800u
#define PROTOCOL_UDP    17u
#define TTL             64u
#define FLAG_DF         0x4000u
#define FRAGMENT_MASK   0x3fffu /* more fragments, and the offset */
#define VERSION_4_IHL_5 0x45u
#define ECT_0           0x02u
#define CE              0x03u

/* Offsets in the frame. */
enum {
    AT_ETHERTYPE = 12,
    AT_IP = 14,
    AT_ECN = AT_IP + 1,
    AT_TOTAL_LENGTH = AT_IP + 2,
    AT_FRAGMENT = AT_IP + 6,
    AT_TTL = AT_IP + 8,
    AT_PROTOCOL = AT_IP + 9,
    AT_CHECKSUM = AT_IP + 10,
    AT_SOURCE = AT_IP + 12,
    AT_TARGET = AT_IP + 16,
    AT_UDP = AT_IP + 20,
    AT_UDP_TARGET = AT_UDP + 2,
    AT_UDP_LENGTH = AT_UDP + 4,
    AT_PAYLOAD = AT_UDP + 8,
};
static_assert(AT_PAYLOAD == CW_FRAME_HEADER_BYTES, "the headers follow each other");

static uint32_t sum_header(const uint8_t *ip)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < CW_FRAME_IP_BYTES; i += 2)
        sum += cw_load16be(ip + i);
    return sum;
}

/* Ten 16-bit words: two folds are enough. */
static uint16_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

void cw_frame_path_init(struct cw_frame_path *path, const struct cw_frame_addresses *addresses)
{
    uint8_t *t = path->template;
    memset(path, 0, sizeof *path);
    path->addresses = *addresses;
    memcpy(t, addresses->remote_mac, 6);
    memcpy(t + 6, addresses->local_mac, 6);
    cw_store16be(t + AT_ETHERTYPE, ETHERTYPE_IPV4);
    t[AT_IP] = VERSION_4_IHL_5;
    t[AT_ECN] = addresses->is_ecn_capable ? ECT_0 : 0;
    cw_store16be(t + AT_FRAGMENT, FLAG_DF);
    t[AT_TTL] = TTL;
    t[AT_PROTOCOL] = PROTOCOL_UDP;
    cw_store32be(t + AT_SOURCE, addresses->local_ip);
    cw_store32be(t + AT_TARGET, addresses->remote_ip);
    cw_store16be(t + AT_UDP, addresses->local_udp);
    cw_store16be(t + AT_UDP_TARGET, addresses->remote_udp);
    path->checksum_partial = sum_header(t + AT_IP);
}

void cw_frame_finish(const struct cw_frame_path *path, uint8_t *frame, size_t payload_length)
{
    CW_ASSERT(payload_length <= CW_FRAME_PAYLOAD_MAX);
    uint16_t udp_length = (uint16_t)(payload_length + CW_FRAME_UDP_BYTES);
    uint16_t total_length = (uint16_t)(udp_length + CW_FRAME_IP_BYTES);
    memcpy(frame, path->template, CW_FRAME_HEADER_BYTES);
    cw_store16be(frame + AT_TOTAL_LENGTH, total_length);
    cw_store16be(frame + AT_CHECKSUM, (uint16_t)~fold(path->checksum_partial + total_length));
    cw_store16be(frame + AT_UDP_LENGTH, udp_length);
}

static bool is_between_us(const struct cw_frame_path *path, const uint8_t *frame)
{
    return frame[AT_IP] == VERSION_4_IHL_5 && frame[AT_PROTOCOL] == PROTOCOL_UDP &&
           cw_load32be(frame + AT_SOURCE) == path->addresses.remote_ip &&
           cw_load32be(frame + AT_TARGET) == path->addresses.local_ip;
}

enum cw_frame_verdict cw_frame_check(const struct cw_frame_path *path, uint8_t *frame, size_t length,
                                     uint8_t **payload, size_t *payload_length)
{
    if (length < CW_FRAME_ETHER_BYTES)
        return CW_FRAME_SHORT;
    if (cw_load16be(frame + AT_ETHERTYPE) != ETHERTYPE_IPV4)
        return CW_FRAME_NOT_OURS;
    if (length < CW_FRAME_HEADER_BYTES)
        return CW_FRAME_SHORT;
    if (!is_between_us(path, frame))
        return CW_FRAME_NOT_OURS;
    if (fold(sum_header(frame + AT_IP)) != 0xffff)
        return CW_FRAME_CHECKSUM;
    if ((cw_load16be(frame + AT_FRAGMENT) & FRAGMENT_MASK) != 0)
        return CW_FRAME_FRAGMENTED;
    if (cw_load16be(frame + AT_UDP_TARGET) != path->addresses.local_udp)
        return CW_FRAME_NOT_OURS;
    size_t total_length = cw_load16be(frame + AT_TOTAL_LENGTH);
    size_t udp_length = cw_load16be(frame + AT_UDP_LENGTH);
    if (total_length > length - CW_FRAME_ETHER_BYTES || udp_length < CW_FRAME_UDP_BYTES ||
        udp_length != total_length - CW_FRAME_IP_BYTES)
        return CW_FRAME_SHORT;
    *payload = frame + AT_PAYLOAD;
    *payload_length = udp_length - CW_FRAME_UDP_BYTES;
    return CW_FRAME_OK;
}

bool cw_frame_is_marked(const uint8_t *payload)
{
    return (*(payload - AT_PAYLOAD + AT_ECN) & CE) == CE;
}
