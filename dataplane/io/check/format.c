/* SPDX-License-Identifier: BSD-3-Clause */
#include "io/check/format.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "wire/packet.h"

#define MAGIC   0x63705743u /* "CWpc" */
#define VERSION 1u

enum { AT_KIND = 5, AT_SIZE = 6, AT_RUN = 8, AT_STAGE = 12, AT_FLAGS = 16, AT_ZERO = 18, AT_SEQUENCE = 24 };
enum {
    AT_SENT = 32,
    AT_HASH = 40,
    NUMBERS = 14,
    AT_MTU = 160,
    AT_QUEUES = 164,
    AT_DOES = 168,
    AT_REST = 169
};

static_assert(CW_CHECK_HEADER_BYTES + NUMBERS * 8 == AT_MTU, "numbers, then what the port is");
static_assert(CW_CHECK_REPORT_BYTES >= CW_PACKET_OVERHEAD, "asks and reports are sorted by lane");

static uint64_t hash_of(const uint8_t *bytes, size_t length, uint8_t flags)
{
    uint64_t header = cw_hash64(bytes, AT_HASH);
    if ((flags & CW_CHECK_WHOLE) == 0)
        return header;
    return header * 0x9e3779b97f4a7c15ull +
           cw_hash64(bytes + CW_CHECK_HEADER_BYTES, length - CW_CHECK_HEADER_BYTES);
}

static bool has_report_s_size(uint8_t kind)
{
    return kind == CW_CHECK_ASK || kind == CW_CHECK_REPORT;
}

void cw_check_write(const struct cw_check_datagram *datagram, uint8_t *bytes)
{
    CW_ASSERT(datagram->size >= CW_CHECK_HEADER_BYTES);
    CW_ASSERT(!has_report_s_size((uint8_t)datagram->kind) || datagram->size == CW_CHECK_REPORT_BYTES);
    memset(bytes, 0, CW_CHECK_HEADER_BYTES);
    cw_store32le(bytes, MAGIC);
    bytes[4] = VERSION;
    bytes[AT_KIND] = (uint8_t)datagram->kind;
    cw_store16le(bytes + AT_SIZE, datagram->size);
    cw_store32le(bytes + AT_RUN, datagram->run);
    cw_store32le(bytes + AT_STAGE, datagram->stage);
    bytes[AT_FLAGS] = datagram->flags;
    bytes[CW_PACKET_LANE_AT] = (uint8_t)(datagram->lane << CW_PACKET_LANE_SHIFT);
    cw_store64le(bytes + AT_SEQUENCE, datagram->sequence);
    cw_store64le(bytes + AT_SENT, datagram->sent_ns);
    cw_store64le(bytes + AT_HASH, hash_of(bytes, datagram->size, datagram->flags));
}

enum cw_check_error cw_check_read(const uint8_t *bytes, size_t length, struct cw_check_datagram *datagram)
{
    if (length < CW_CHECK_HEADER_BYTES)
        return CW_CHECK_SHORT;
    if (cw_load32le(bytes) != MAGIC || bytes[4] != VERSION)
        return CW_CHECK_ALIEN;
    uint8_t kind = bytes[AT_KIND], flags = bytes[AT_FLAGS], lane = bytes[CW_PACKET_LANE_AT];
    if (kind < CW_CHECK_DATA || kind >= CW_CHECK_KIND_END || (flags & ~CW_CHECK_FLAGS_KNOWN) != 0 ||
        (lane & 3) != 0 || lane >> CW_PACKET_LANE_SHIFT >= CW_LANES_MAX ||
        cw_load16le(bytes + AT_ZERO) != 0 || cw_load32le(bytes + AT_ZERO + 2) != 0)
        return CW_CHECK_FIELD;
    if (cw_load16le(bytes + AT_SIZE) != length || length > CW_CHECK_BYTES_MAX ||
        (has_report_s_size(kind) && length != CW_CHECK_REPORT_BYTES))
        return CW_CHECK_SIZE;
    if (cw_load64le(bytes + AT_HASH) != hash_of(bytes, length, flags))
        return CW_CHECK_DAMAGED;
    *datagram = (struct cw_check_datagram){.kind = (enum cw_check_kind)kind,
                                           .flags = flags,
                                           .lane = (uint8_t)(lane >> CW_PACKET_LANE_SHIFT),
                                           .size = (uint16_t)length,
                                           .run = cw_load32le(bytes + AT_RUN),
                                           .stage = cw_load32le(bytes + AT_STAGE),
                                           .sequence = cw_load64le(bytes + AT_SEQUENCE),
                                           .sent_ns = cw_load64le(bytes + AT_SENT)};
    return CW_CHECK_OK;
}

/* In the order of the wire. */
static void numbers_of(struct cw_check_report *report, uint64_t *numbers[NUMBERS])
{
    uint64_t *list[] = {&report->arrived,     &report->bytes,       &report->first_ns,
                        &report->last_ns,     &report->answered,    &report->not_answered,
                        &report->wrong_sums,  &report->called_good, &report->not_ours,
                        &report->garbage,     &report->by_queue[0], &report->by_queue[1],
                        &report->by_queue[2], &report->by_queue[3]};
    static_assert(sizeof list / sizeof list[0] == NUMBERS, "each has its place");
    memcpy(numbers, list, sizeof list);
}

void cw_check_report_write(const struct cw_check_report *report, uint8_t *bytes)
{
    struct cw_check_report copy = *report;
    uint64_t *numbers[NUMBERS];
    numbers_of(&copy, numbers);
    memset(bytes + CW_CHECK_HEADER_BYTES, 0, CW_CHECK_REPORT_BYTES - CW_CHECK_HEADER_BYTES);
    for (unsigned i = 0; i < NUMBERS; i++)
        cw_store64le(bytes + CW_CHECK_HEADER_BYTES + 8 * i, *numbers[i]);
    cw_store32le(bytes + AT_MTU, report->mtu);
    cw_store32le(bytes + AT_QUEUES, report->queues);
    bytes[AT_DOES] = (uint8_t)((report->does_send_sums ? 1 : 0) | (report->does_check_sums ? 2 : 0));
}

bool cw_check_report_read(const uint8_t *bytes, struct cw_check_report *report)
{
    uint64_t *numbers[NUMBERS];
    *report = (struct cw_check_report){.mtu = cw_load32le(bytes + AT_MTU),
                                       .queues = cw_load32le(bytes + AT_QUEUES),
                                       .does_send_sums = (bytes[AT_DOES] & 1) != 0,
                                       .does_check_sums = (bytes[AT_DOES] & 2) != 0};
    numbers_of(report, numbers);
    for (unsigned i = 0; i < NUMBERS; i++)
        *numbers[i] = cw_load64le(bytes + CW_CHECK_HEADER_BYTES + 8 * i);
    for (unsigned at = AT_REST; at < CW_CHECK_REPORT_BYTES; at++)
        if (bytes[at] != 0)
            return false;
    return report->mtu <= 65535 && report->queues >= 1 && report->queues <= CW_CHECK_QUEUES_MAX &&
           bytes[AT_DOES] <= 3 && report->last_ns >= report->first_ns;
}
