/* SPDX-License-Identifier: BSD-3-Clause */
/* See frame.h. Network byte order throughout; fields are read by offset, so no frame needs to be aligned. */
#include "io/frame.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/numbers.h"
#include "io/checksum.h"
#include "io/frame_format.h"

#define ECT_0 0x02u
#define CE    0x03u

/* ---------------------------------------------------------------- sending */

/* Ten words: unrolled, this is less than a call. */
static uint32_t sum_v4_header(const uint8_t *ip)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < CW_FRAME_IP4_BYTES; i += 2)
        sum += cw_load16be(ip + i);
    return sum;
}

static void build_v4(struct cw_frame_path *path, uint8_t *ip)
{
    const struct cw_frame_addresses *addresses = &path->addresses;
    ip[0] = CW_VERSION_4_IHL_5;
    ip[CW_V4_ECN] = addresses->is_ecn_capable ? ECT_0 : 0;
    cw_store16be(ip + CW_V4_FRAGMENT, CW_FLAG_DF);
    ip[CW_V4_TTL] = CW_TTL;
    ip[CW_V4_PROTOCOL] = CW_PROTOCOL_UDP;
    memcpy(ip + CW_V4_SOURCE, addresses->local_ip.bytes, 4);
    memcpy(ip + CW_V4_TARGET, addresses->remote_ip.bytes, 4);
    path->checksum_partial = sum_v4_header(ip);
}

/* Each lane from a port of its own: who spreads by ports spreads lanes. */
static uint16_t source_udp(const struct cw_frame_addresses *addresses)
{
    return (uint16_t)(addresses->local_udp + addresses->lane);
}

/* The flow label is 0: routers that spread by it look at the ports, too. */
static void build_v6(struct cw_frame_path *path, uint8_t *ip)
{
    const struct cw_frame_addresses *addresses = &path->addresses;
    ip[0] = CW_VERSION_6 << 4;
    ip[1] = addresses->is_ecn_capable ? ECT_0 << 4 : 0;
    ip[CW_V6_NEXT] = CW_PROTOCOL_UDP;
    ip[CW_V6_HOPS] = CW_TTL;
    memcpy(ip + CW_V6_SOURCE, addresses->local_ip.bytes, 16);
    memcpy(ip + CW_V6_TARGET, addresses->remote_ip.bytes, 16);
    path->checksum_partial = cw_checksum_sum(ip + CW_V6_SOURCE, 32) + CW_PROTOCOL_UDP +
                             source_udp(addresses) + (uint32_t)addresses->remote_udp;
}

size_t cw_frame_write_link(uint8_t *frame, const uint8_t to[6], const uint8_t from[6], uint16_t vlan,
                           uint16_t type)
{
    size_t length = vlan != 0 ? CW_FRAME_LINK_BYTES_MAX : CW_FRAME_ETHER_BYTES;
    memcpy(frame, to, 6);
    memcpy(frame + 6, from, 6);
    if (vlan != 0) {
        cw_store16be(frame + CW_AT_TYPE, CW_ETHERTYPE_VLAN);
        cw_store16be(frame + CW_AT_TAG, vlan);
    }
    cw_store16be(frame + length - 2, type);
    return length;
}

void cw_frame_path_init(struct cw_frame_path *path, const struct cw_frame_addresses *addresses)
{
    uint8_t *t = path->template;
    bool is_v6 = addresses->local_ip.version == 6;
    CW_ASSERT(addresses->local_ip.version == addresses->remote_ip.version);
    CW_ASSERT(addresses->vlan <= CW_FRAME_VLAN_MAX);
    memset(path, 0, sizeof *path);
    path->addresses = *addresses;
    path->port_last = (uint16_t)(CW_MAX(addresses->lane_count, 1) - 1);
    CW_ASSERT(addresses->lane <= path->port_last);
    path->ip_at =
        (uint8_t)cw_frame_write_link(t, addresses->remote_mac, addresses->local_mac, addresses->vlan,
                                     is_v6 ? CW_ETHERTYPE_IPV6 : CW_ETHERTYPE_IPV4);
    path->udp_at = (uint8_t)(path->ip_at + (is_v6 ? CW_FRAME_IP6_BYTES : CW_FRAME_IP4_BYTES));
    path->header_bytes = (uint8_t)(path->udp_at + CW_FRAME_UDP_BYTES);
    cw_store16be(t + path->udp_at + CW_UDP_SOURCE, source_udp(addresses));
    cw_store16be(t + path->udp_at + CW_UDP_TARGET, addresses->remote_udp);
    if (is_v6)
        build_v6(path, t + path->ip_at);
    else
        build_v4(path, t + path->ip_at);
}

void cw_frame_path_set_remote_mac(struct cw_frame_path *path, const uint8_t mac[6])
{
    memcpy(path->addresses.remote_mac, mac, 6);
    memcpy(path->template, mac, 6);
}

void cw_frame_path_leave_sum(struct cw_frame_path *path)
{
    path->is_sum_device_s = true;
}

/* Not complemented: the device adds the rest, and complements. */
static uint16_t pseudo_sum(const struct cw_frame_path *path, uint16_t udp_length)
{
    const struct cw_frame_addresses *addresses = &path->addresses;
    uint32_t ports = source_udp(addresses) + (uint32_t)addresses->remote_udp;
    return cw_checksum_fold((uint64_t)path->checksum_partial - ports + udp_length);
}

/* The length counts twice: in the pseudo header and in UDP's own. A sum that comes out as 0 is sent as
 * 0xffff, its equal: 0 would say that there is none. */
static uint16_t udp_checksum(const struct cw_frame_path *path, const uint8_t *payload, size_t payload_length)
{
    uint64_t sum = path->checksum_partial + 2 * (payload_length + CW_FRAME_UDP_BYTES);
    uint16_t checksum = (uint16_t)~cw_checksum_fold(sum + cw_checksum_sum(payload, payload_length));
    return checksum == 0 ? 0xffff : checksum;
}

void cw_frame_finish(const struct cw_frame_path *path, uint8_t *frame, size_t payload_length)
{
    CW_ASSERT(payload_length <= CW_FRAME_PAYLOAD_MAX);
    uint8_t *ip = frame + path->ip_at, *udp = frame + path->udp_at;
    uint16_t udp_length = (uint16_t)(payload_length + CW_FRAME_UDP_BYTES);
    memcpy(frame, path->template, path->header_bytes);
    cw_store16be(udp + CW_UDP_LENGTH, udp_length);
    if (path->addresses.local_ip.version == 6) {
        cw_store16be(ip + CW_V6_LENGTH, udp_length);
        cw_store16be(udp + CW_UDP_CHECKSUM,
                     path->is_sum_device_s ? pseudo_sum(path, udp_length)
                                           : udp_checksum(path, frame + path->header_bytes, payload_length));
        return;
    }
    uint16_t total_length = (uint16_t)(udp_length + CW_FRAME_IP4_BYTES);
    cw_store16be(ip + CW_V4_LENGTH, total_length);
    if (!path->is_sum_device_s)
        cw_store16be(ip + CW_V4_CHECKSUM, (uint16_t)~cw_checksum_fold(path->checksum_partial + total_length));
}

/* ---------------------------------------------------------------- receiving */

enum cw_frame_verdict cw_frame_check_link(uint16_t vlan, const struct cw_frame_in *frame,
                                          struct cw_frame_inner *inner)
{
    uint16_t found = frame->is_tag_taken ? frame->tag & CW_VLAN_MASK : 0;
    size_t at = CW_FRAME_ETHER_BYTES;
    if (frame->length < CW_FRAME_ETHER_BYTES)
        return CW_FRAME_SHORT;
    inner->type = cw_load16be(frame->bytes + CW_AT_TYPE);
    if (inner->type == CW_ETHERTYPE_VLAN && !frame->is_tag_taken) {
        at = CW_FRAME_LINK_BYTES_MAX;
        if (frame->length < at)
            return CW_FRAME_SHORT;
        found = cw_load16be(frame->bytes + CW_AT_TAG) & CW_VLAN_MASK;
        inner->type = cw_load16be(frame->bytes + at - 2);
    }
    inner->bytes = frame->bytes + at;
    inner->length = frame->length - at;
    return found == vlan ? CW_FRAME_OK : CW_FRAME_NOT_OURS;
}

/* From the peer; or, where it may be anybody, from what can be somebody's address and is not ours. */
static bool is_source_good(const struct cw_frame_path *path, const uint8_t *source)
{
    static const uint8_t zeros[16];
    const struct cw_frame_addresses *a = &path->addresses;
    size_t size = a->local_ip.version == 6 ? 16 : 4;
    if (memcmp(source, a->remote_ip.bytes, size) == 0)
        return true;
    if (!a->is_any_source || memcmp(source, a->local_ip.bytes, size) == 0)
        return false;
    if (size == 16)
        return source[0] != 0xff && memcmp(source, zeros, size - 1) != 0; /* :: and ::1 */
    return source[0] != 0 && source[0] != 127 && source[0] < 224;
}

static enum cw_frame_verdict check_v4(const struct cw_frame_path *path, const struct cw_frame_inner *inner,
                                      bool is_sum_good, size_t *udp_room)
{
    const uint8_t *ip = inner->bytes;
    if (inner->length < CW_FRAME_IP4_BYTES + CW_FRAME_UDP_BYTES)
        return CW_FRAME_SHORT;
    if (ip[0] != CW_VERSION_4_IHL_5 || ip[CW_V4_PROTOCOL] != CW_PROTOCOL_UDP ||
        !is_source_good(path, ip + CW_V4_SOURCE) ||
        memcmp(ip + CW_V4_TARGET, path->addresses.local_ip.bytes, 4) != 0)
        return CW_FRAME_NOT_OURS;
    if (!is_sum_good && cw_checksum_fold(sum_v4_header(ip)) != 0xffff)
        return CW_FRAME_CHECKSUM;
    if ((cw_load16be(ip + CW_V4_FRAGMENT) & CW_FRAGMENT_MASK) != 0)
        return CW_FRAME_FRAGMENTED;
    size_t total_length = cw_load16be(ip + CW_V4_LENGTH);
    if (total_length > inner->length || total_length < CW_FRAME_IP4_BYTES)
        return CW_FRAME_SHORT;
    *udp_room = total_length - CW_FRAME_IP4_BYTES;
    return CW_FRAME_OK;
}

static enum cw_frame_verdict check_v6(const struct cw_frame_path *path, const struct cw_frame_inner *inner,
                                      size_t *udp_room)
{
    const uint8_t *ip = inner->bytes;
    if (inner->length < CW_FRAME_IP6_BYTES + CW_FRAME_UDP_BYTES)
        return CW_FRAME_SHORT;
    if (ip[0] >> 4 != CW_VERSION_6 || !is_source_good(path, ip + CW_V6_SOURCE) ||
        memcmp(ip + CW_V6_TARGET, path->addresses.local_ip.bytes, 16) != 0)
        return CW_FRAME_NOT_OURS;
    if (ip[CW_V6_NEXT] != CW_PROTOCOL_UDP)
        return ip[CW_V6_NEXT] == CW_NEXT_FRAGMENT ? CW_FRAME_FRAGMENTED : CW_FRAME_NOT_OURS;
    *udp_room = cw_load16be(ip + CW_V6_LENGTH);
    return *udp_room <= inner->length - CW_FRAME_IP6_BYTES ? CW_FRAME_OK : CW_FRAME_SHORT;
}

static bool is_udp_sum_good(const uint8_t *ip, const uint8_t *udp, size_t udp_length, bool is_sum_good)
{
    if (cw_load16be(udp + CW_UDP_CHECKSUM) == 0)
        return false; /* none: a device may take that for good */
    if (is_sum_good)
        return true;
    uint64_t sum = cw_checksum_sum(ip + CW_V6_SOURCE, 32) + CW_PROTOCOL_UDP + udp_length;
    return cw_checksum_fold(sum + cw_checksum_sum(udp, udp_length)) == 0xffff;
}

enum cw_frame_verdict cw_frame_check(const struct cw_frame_path *path, const struct cw_frame_in *frame,
                                     uint8_t **payload, size_t *payload_length)
{
    struct cw_frame_inner inner;
    bool is_v6 = path->addresses.local_ip.version == 6;
    size_t udp_room = 0;
    enum cw_frame_verdict verdict = cw_frame_check_link(path->addresses.vlan, frame, &inner);
    if (verdict != CW_FRAME_OK)
        return verdict;
    if (inner.type != (is_v6 ? CW_ETHERTYPE_IPV6 : CW_ETHERTYPE_IPV4))
        return CW_FRAME_NOT_OURS;
    verdict =
        is_v6 ? check_v6(path, &inner, &udp_room) : check_v4(path, &inner, frame->is_sum_good, &udp_room);
    if (verdict != CW_FRAME_OK)
        return verdict;
    uint8_t *udp = inner.bytes + (is_v6 ? CW_FRAME_IP6_BYTES : CW_FRAME_IP4_BYTES);
    if ((uint16_t)(cw_load16be(udp + CW_UDP_TARGET) - path->addresses.local_udp) > path->port_last)
        return CW_FRAME_NOT_OURS;
    size_t udp_length = cw_load16be(udp + CW_UDP_LENGTH);
    if (udp_length < CW_FRAME_UDP_BYTES || udp_length != udp_room)
        return CW_FRAME_SHORT;
    if (is_v6 && !is_udp_sum_good(inner.bytes, udp, udp_length, frame->is_sum_good))
        return CW_FRAME_CHECKSUM;
    *payload = udp + CW_FRAME_UDP_BYTES;
    *payload_length = udp_length - CW_FRAME_UDP_BYTES;
    return CW_FRAME_OK;
}

bool cw_frame_is_marked(const struct cw_frame_path *path, const uint8_t *payload)
{
    const uint8_t *ip = payload - (path->header_bytes - path->ip_at);
    unsigned ecn = path->addresses.local_ip.version == 6 ? ip[1] >> 4 : ip[CW_V4_ECN];
    return (ecn & CE) == CE;
}

void cw_frame_source(const struct cw_frame_path *path, const uint8_t *payload, struct cw_ip *ip,
                     uint16_t *udp)
{
    const uint8_t *header = payload - (path->header_bytes - path->ip_at);
    bool is_v6 = path->addresses.local_ip.version == 6;
    *ip = (struct cw_ip){.version = path->addresses.local_ip.version};
    memcpy(ip->bytes, header + (is_v6 ? CW_V6_SOURCE : CW_V4_SOURCE), is_v6 ? 16 : 4);
    *udp = cw_load16be(payload - CW_FRAME_UDP_BYTES + CW_UDP_SOURCE);
}
