/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What causeway-port-check receives: never a byte past the datagram; what is taken is, written again, the same bytes,
 * and a question is as long as its answer. Since a fuzzer will not guess a hash, the same bytes are tried again with the
 * right one.
 */
#include "fuzz.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "io/check/format.h"

const size_t cw_fuzz_input_max = 600;

#define FLAGS_AT 16
#define HASH_AT  40

static void check(const uint8_t *data, size_t size)
{
    static uint8_t again[CW_CHECK_BYTES_MAX];
    struct cw_check_datagram datagram;
    struct cw_check_report report, same;
    if (cw_check_read(data, size, &datagram) != CW_CHECK_OK)
        return;
    CW_ASSERT(size >= CW_CHECK_HEADER_BYTES && size <= CW_CHECK_BYTES_MAX);
    CW_ASSERT(datagram.size == size);
    CW_ASSERT((datagram.kind != CW_CHECK_ASK && datagram.kind != CW_CHECK_REPORT) ||
              size == CW_CHECK_REPORT_BYTES);
    memcpy(again, data, size);
    cw_check_write(&datagram, again);
    CW_ASSERT(memcmp(again, data, size) == 0);
    if (datagram.kind != CW_CHECK_REPORT || !cw_check_report_read(data, &report))
        return;
    cw_check_report_write(&report, again);
    CW_ASSERT(memcmp(again + CW_CHECK_HEADER_BYTES, data + CW_CHECK_HEADER_BYTES,
                     CW_CHECK_REPORT_BYTES - CW_CHECK_HEADER_BYTES) == 0);
    CW_ASSERT(cw_check_report_read(again, &same));
    CW_ASSERT(report.queues == same.queues && report.queues <= CW_CHECK_QUEUES_MAX);
}

/* Magic, version, size and hash as they should be; the rest stays. */
static void repair(uint8_t *bytes, size_t size)
{
    cw_store32le(bytes, 0x63705743);
    bytes[4] = 1;
    cw_store16le(bytes + 6, (uint16_t)size);
    bytes[FLAGS_AT] &= (uint8_t)~CW_CHECK_WHOLE;
    cw_store64le(bytes + HASH_AT, cw_hash64(bytes, HASH_AT));
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    static uint8_t copy[CW_CHECK_BYTES_MAX];
    check(data, size);
    if (size < CW_CHECK_HEADER_BYTES || size > sizeof copy)
        return 0;
    uint8_t *at = copy + sizeof copy - size; /* so that a sanitizer sees what reads past it */
    memcpy(at, data, size);
    repair(at, size);
    check(at, size);
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    enum cw_check_kind kind = 1 + (enum cw_check_kind)cw_rng_below(rng, CW_CHECK_KIND_END - 1);
    bool is_report = kind == CW_CHECK_ASK || kind == CW_CHECK_REPORT;
    size_t size = is_report ? CW_CHECK_REPORT_BYTES : CW_CHECK_HEADER_BYTES + cw_rng_below(rng, 500);
    struct cw_check_datagram datagram = {.kind = kind,
                                         .flags = (uint8_t)cw_rng_below(rng, CW_CHECK_FLAGS_KNOWN + 1),
                                         .lane = (uint8_t)cw_rng_below(rng, 4),
                                         .size = (uint16_t)size,
                                         .run = (uint32_t)cw_rng_next(rng),
                                         .stage = (uint32_t)cw_rng_next(rng),
                                         .sequence = cw_rng_next(rng),
                                         .sent_ns = cw_rng_next(rng)};
    struct cw_check_report report = {.arrived = cw_rng_next(rng), .mtu = 1500, .queues = 2, .last_ns = 5};
    for (size_t i = CW_CHECK_HEADER_BYTES; i < size; i++)
        data[i] = (uint8_t)cw_rng_next(rng);
    if (is_report)
        cw_check_report_write(&report, data);
    cw_check_write(&datagram, data);
    return size;
}
