/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything starts from zeroed memory and is set field by field: what is forgotten shows as zero bytes. */
#include "samples.h"

#include <string.h>

#include "base/status.h"

/* ---- the golden ones ---- */

static const struct cw_identity golden_identity = {
    .boot_id = {0x4847464544434241, 0x5857565554535251},
    .journal_id = {0x6867666564636261, 0x7877767574737271},
    .process_start = 0x8887868584838281,
};

static const struct cw_sequences golden_sequences = {
    .received = 1005, .written = 1004, .durable = 1003, .applied = 1002, .commit = 1001};

static const struct cw_history golden_history = {
    .count = 2,
    .entries = {{.epoch = 3, .reign = 0xa3a2a1a0, .first_sequence = 1},
                {.epoch = 7, .reign = 0xb3b2b1b0, .first_sequence = 501}},
};

#define GOLDEN_TIME   0x0102030405060708u
#define GOLDEN_HASH   0xd7d6d5d4d3d2d1d0u
#define GOLDEN_COPY   0xe7e6e5e4e3e2e1e0u
#define GOLDEN_OFFSET 0x123456789000u

static uint32_t golden_volumes(struct cw_message_volume *volumes)
{
    volumes[0] = (struct cw_message_volume){.volume = 0, .size = 1ull << 30, .base = 0};
    volumes[1] = (struct cw_message_volume){.volume = 63, .size = 10ull << 30, .base = 0xc7c6c5c4c3c2c1c0};
    return 2;
}

void sample_golden_record(struct cw_record *record)
{
    *record = (struct cw_record){
        .kind = CW_RECORD_WRITE,
        .flags = CW_RECORD_FUA | CW_RECORD_MORE,
        .volume = 5,
        .length = 4096,
        .sequence = 1006,
        .epoch = 7,
        .reign = 0xb3b2b1b0,
        .offset = GOLDEN_OFFSET,
        .time_ns = GOLDEN_TIME,
        .payload_hash = GOLDEN_HASH,
        .group = 0x34333231,
    };
}

static void golden_hello(struct cw_message *m)
{
    m->flags = 0x3f;
    m->hello.identity = golden_identity;
    m->hello.sequences = golden_sequences;
    m->hello.applied_limit = 1007;
    m->hello.history = golden_history;
    m->hello.volume_count = golden_volumes(m->hello.volumes);
}

static void golden_attach(struct cw_message *m)
{
    m->attach.sequence = 1001;
    m->attach.history = golden_history;
}

static void golden_attached(struct cw_message *m)
{
    m->attached = (struct cw_message_attached){.result = CW_ATTACH_NEEDS_COPY, .sequence = 1002};
}

static void golden_record(struct cw_message *m)
{
    m->flags = CW_RECORD_MSG_FETCHED;
    m->record.commit = 1001;
    sample_golden_record(&m->record.record);
}

static void golden_commit(struct cw_message *m)
{
    m->commit =
        (struct cw_message_commit){.commit = 1001, .head = 1009, .sync_to = 1008, .time_ns = GOLDEN_TIME};
}

static void golden_ack(struct cw_message *m)
{
    m->ack.sequences = golden_sequences;
    m->ack.echo_time_ns = GOLDEN_TIME;
    m->ack.process_start = golden_identity.process_start;
}

static void golden_fetch(struct cw_message *m)
{
    m->fetch = (struct cw_message_fetch){.first = 1002, .last = 1005};
}

static void golden_copy_begin(struct cw_message *m)
{
    m->copy_begin.copy_id = GOLDEN_COPY;
    m->copy_begin.sequence = 1001;
    m->copy_begin.history = golden_history;
    m->copy_begin.volume_count = golden_volumes(m->copy_begin.volumes);
}

static void golden_copy_chunk(struct cw_message *m)
{
    m->copy_chunk = (struct cw_message_copy_chunk){.copy_id = GOLDEN_COPY,
                                                   .index = 17,
                                                   .sequence = 1001,
                                                   .volume = 63,
                                                   .is_zero = 0,
                                                   .length = 65536,
                                                   .offset = GOLDEN_OFFSET,
                                                   .payload_hash = GOLDEN_HASH};
}

static void golden_copy_end(struct cw_message *m)
{
    m->copy_end = (struct cw_message_copy_end){.copy_id = GOLDEN_COPY, .chunk_count = 18, .sequence = 1009};
}

static void golden_copy_ack(struct cw_message *m)
{
    m->copy_ack = (struct cw_message_copy_ack){
        .copy_id = GOLDEN_COPY, .state = CW_COPY_FAILED, .reason = CW_IO, .chunks_received = 17};
}

static void golden_grant_ask(struct cw_message *m)
{
    m->grant_ask = (struct cw_message_grant_ask){.number = 0x3d3c3b3a39383736, .lease_ms = 5000};
}

static void golden_grant(struct cw_message *m)
{
    m->grant =
        (struct cw_message_grant){.number = 0x3d3c3b3a39383736, .result = CW_GRANT_GIVEN, .lease_ms = 4999};
}

static void golden_grant_release(struct cw_message *m)
{
}

static const struct {
    const char *name;
    void (*make)(struct cw_message *m);
} golden[CW_MSG_TYPE_COUNT] = {
    [CW_MSG_HELLO] = {"hello", golden_hello},
    [CW_MSG_ATTACH] = {"attach", golden_attach},
    [CW_MSG_ATTACHED] = {"attached", golden_attached},
    [CW_MSG_RECORD] = {"record_message", golden_record},
    [CW_MSG_COMMIT] = {"commit", golden_commit},
    [CW_MSG_ACK] = {"ack", golden_ack},
    [CW_MSG_FETCH] = {"fetch", golden_fetch},
    [CW_MSG_COPY_BEGIN] = {"copy_begin", golden_copy_begin},
    [CW_MSG_COPY_CHUNK] = {"copy_chunk", golden_copy_chunk},
    [CW_MSG_COPY_END] = {"copy_end", golden_copy_end},
    [CW_MSG_COPY_ACK] = {"copy_ack", golden_copy_ack},
    [CW_MSG_GRANT_ASK] = {"grant_ask", golden_grant_ask},
    [CW_MSG_GRANT] = {"grant", golden_grant},
    [CW_MSG_GRANT_RELEASE] = {"grant_release", golden_grant_release},
};

const char *sample_golden_name(enum cw_message_type type)
{
    return golden[type].name;
}

void sample_golden_message(enum cw_message_type type, struct cw_message *message)
{
    memset(message, 0, sizeof *message);
    message->type = type;
    message->from_site = 2;
    message->group = 0x34333231;
    message->epoch = 0x0807060504030201;
    message->reign = 0x1817161514131211;
    message->serial = 0x2827262524232221;
    golden[type].make(message);
}

/* ---- the random ones ---- */

/* Anything; often an end of the range. */
static uint64_t draw(struct cw_rng *rng)
{
    switch (cw_rng_below(rng, 4)) {
    case 0:
        return cw_rng_below(rng, 3);
    case 1:
        return UINT64_MAX - cw_rng_below(rng, 3);
    default:
        return cw_rng_next(rng);
    }
}

static uint64_t draw_not_zero(struct cw_rng *rng)
{
    uint64_t n = draw(rng);
    return n ? n : 1;
}

/* 0..max, the two ends often. */
static uint32_t draw_count(struct cw_rng *rng, uint32_t max)
{
    switch (cw_rng_below(rng, 4)) {
    case 0:
        return 0;
    case 1:
        return max;
    default:
        return (uint32_t)cw_rng_below(rng, (uint64_t)max + 1);
    }
}

static uint32_t draw_length(struct cw_rng *rng, uint32_t max)
{
    uint32_t blocks = draw_count(rng, max / CW_BLOCK_SIZE_MIN);
    return (blocks ? blocks : 1) * CW_BLOCK_SIZE_MIN;
}

static uint64_t draw_offset(struct cw_rng *rng, uint32_t length)
{
    uint64_t last = UINT64_MAX - length;
    uint64_t n = draw(rng);
    return (n > last ? last : n) / CW_BLOCK_SIZE_MIN * CW_BLOCK_SIZE_MIN;
}

void sample_random_record(struct cw_rng *rng, struct cw_record *record)
{
    memset(record, 0, sizeof *record);
    record->kind = (uint8_t)(1 + cw_rng_below(rng, CW_RECORD_KIND_COUNT - 1));
    record->flags = (uint8_t)cw_rng_below(rng, CW_RECORD_FLAGS_KNOWN + 1);
    record->volume = (uint16_t)draw_count(rng, CW_VOLUMES_PER_GROUP_MAX - 1);
    record->sequence = draw_not_zero(rng);
    record->epoch = draw_not_zero(rng);
    record->reign = draw(rng);
    record->time_ns = draw(rng);
    record->group = (uint32_t)draw(rng);
    if (record->kind == CW_RECORD_MARKER)
        return;
    bool is_write = record->kind == CW_RECORD_WRITE;
    record->length = draw_length(rng, is_write ? CW_RECORD_PAYLOAD_MAX : CW_RECORD_EXTENT_MAX);
    record->offset = draw_offset(rng, record->length);
    record->payload_hash = is_write ? draw(rng) : 0;
}

static void draw_sequences(struct cw_rng *rng, struct cw_sequences *sequences)
{
    sequences->received = draw(rng);
    sequences->written = draw(rng);
    sequences->durable = draw(rng);
    sequences->applied = draw(rng);
    sequences->commit = draw(rng);
}

static void draw_history(struct cw_rng *rng, struct cw_history *history)
{
    uint64_t epoch = 0;
    uint64_t sequence = 1;

    history->count = draw_count(rng, CW_HISTORY_MAX);
    for (uint32_t i = 0; i < history->count; i++) {
        epoch += 1 + cw_rng_below(rng, 1ull << 58);
        sequence += cw_rng_below(rng, 3) * cw_rng_below(rng, 1ull << 56);
        history->entries[i] =
            (struct cw_history_entry){.epoch = epoch, .reign = draw(rng), .first_sequence = sequence};
    }
}

/* Distinct indexes in no order: a stride that has no factor in common with 64 visits each once. */
static uint32_t draw_volumes(struct cw_rng *rng, struct cw_message_volume *volumes)
{
    uint32_t count = draw_count(rng, CW_VOLUMES_PER_GROUP_MAX);
    uint32_t at = (uint32_t)cw_rng_below(rng, CW_VOLUMES_PER_GROUP_MAX);
    uint32_t stride = 1 + 2 * (uint32_t)cw_rng_below(rng, CW_VOLUMES_PER_GROUP_MAX / 2);

    for (uint32_t i = 0; i < count; i++, at = (at + stride) % CW_VOLUMES_PER_GROUP_MAX) {
        volumes[i].volume = (uint16_t)at;
        volumes[i].size = (1 + cw_rng_below(rng, UINT64_MAX / CW_BLOCK_SIZE_MIN)) * CW_BLOCK_SIZE_MIN;
        volumes[i].base = draw(rng);
    }
    return count;
}

static void random_hello(struct cw_rng *rng, struct cw_message *m)
{
    m->flags = (uint8_t)cw_rng_below(rng, 0x40);
    m->hello.identity.boot_id[0] = draw(rng);
    m->hello.identity.boot_id[1] = draw(rng);
    m->hello.identity.journal_id[0] = draw(rng);
    m->hello.identity.journal_id[1] = draw(rng);
    m->hello.identity.process_start = draw(rng);
    draw_sequences(rng, &m->hello.sequences);
    m->hello.applied_limit = draw(rng);
    draw_history(rng, &m->hello.history);
    m->hello.volume_count = draw_volumes(rng, m->hello.volumes);
}

static void random_attach(struct cw_rng *rng, struct cw_message *m)
{
    m->attach.sequence = draw(rng);
    draw_history(rng, &m->attach.history);
}

static void random_attached(struct cw_rng *rng, struct cw_message *m)
{
    m->attached.result = (uint32_t)cw_rng_below(rng, CW_ATTACH_FAILED + 1);
    m->attached.sequence = draw(rng);
}

static void random_record(struct cw_rng *rng, struct cw_message *m)
{
    m->flags = (uint8_t)cw_rng_below(rng, 2);
    m->record.commit = draw(rng);
    sample_random_record(rng, &m->record.record);
    m->record.record.group = m->group;
}

static void random_commit(struct cw_rng *rng, struct cw_message *m)
{
    m->commit.commit = draw(rng);
    m->commit.head = draw(rng);
    m->commit.sync_to = draw(rng);
    m->commit.time_ns = draw(rng);
}

static void random_ack(struct cw_rng *rng, struct cw_message *m)
{
    draw_sequences(rng, &m->ack.sequences);
    m->ack.echo_time_ns = draw(rng);
    m->ack.process_start = draw(rng);
}

static void random_fetch(struct cw_rng *rng, struct cw_message *m)
{
    uint64_t a = draw_not_zero(rng);
    uint64_t b = draw_not_zero(rng);
    m->fetch.first = a < b ? a : b;
    m->fetch.last = a < b ? b : a;
}

static void random_copy_begin(struct cw_rng *rng, struct cw_message *m)
{
    m->copy_begin.copy_id = draw(rng);
    m->copy_begin.sequence = draw(rng);
    draw_history(rng, &m->copy_begin.history);
    m->copy_begin.volume_count = draw_volumes(rng, m->copy_begin.volumes);
}

static void random_copy_chunk(struct cw_rng *rng, struct cw_message *m)
{
    struct cw_message_copy_chunk *c = &m->copy_chunk;

    c->copy_id = draw(rng);
    c->index = draw(rng);
    c->sequence = draw(rng);
    c->volume = (uint16_t)draw_count(rng, CW_VOLUMES_PER_GROUP_MAX - 1);
    c->is_zero = (uint8_t)cw_rng_below(rng, 2);
    c->length = draw_length(rng, c->is_zero ? CW_RECORD_EXTENT_MAX : CW_RECORD_PAYLOAD_MAX);
    c->offset = draw_offset(rng, c->length);
    c->payload_hash = c->is_zero ? 0 : draw(rng);
}

static void random_copy_end(struct cw_rng *rng, struct cw_message *m)
{
    m->copy_end.copy_id = draw(rng);
    m->copy_end.chunk_count = draw(rng);
    m->copy_end.sequence = draw(rng);
}

static void random_copy_ack(struct cw_rng *rng, struct cw_message *m)
{
    m->copy_ack.copy_id = draw(rng);
    m->copy_ack.state = (uint32_t)cw_rng_below(rng, CW_COPY_FAILED + 1);
    if (m->copy_ack.state == CW_COPY_FAILED)
        m->copy_ack.reason = (uint32_t)cw_rng_below(rng, CW_STATUS_COUNT);
    m->copy_ack.chunks_received = draw(rng);
}

static void random_grant_ask(struct cw_rng *rng, struct cw_message *m)
{
    m->grant_ask.number = draw(rng) | 1;
    m->grant_ask.lease_ms = (uint32_t)draw(rng) | 1;
}

static void random_grant(struct cw_rng *rng, struct cw_message *m)
{
    m->grant.number = draw(rng) | 1;
    m->grant.result = (uint32_t)cw_rng_below(rng, CW_GRANT_RESULT_COUNT);
    m->grant.lease_ms = m->grant.result == CW_GRANT_GIVEN ? (uint32_t)draw(rng) | 1 : 0;
}

static void random_grant_release(struct cw_rng *rng, struct cw_message *m)
{
}

void sample_random_message(struct cw_rng *rng, enum cw_message_type type, struct cw_message *message)
{
    static void (*const make[CW_MSG_TYPE_COUNT])(struct cw_rng *, struct cw_message *) = {
        [CW_MSG_HELLO] = random_hello,           [CW_MSG_ATTACH] = random_attach,
        [CW_MSG_ATTACHED] = random_attached,     [CW_MSG_RECORD] = random_record,
        [CW_MSG_COMMIT] = random_commit,         [CW_MSG_ACK] = random_ack,
        [CW_MSG_FETCH] = random_fetch,           [CW_MSG_COPY_BEGIN] = random_copy_begin,
        [CW_MSG_COPY_CHUNK] = random_copy_chunk, [CW_MSG_COPY_END] = random_copy_end,
        [CW_MSG_COPY_ACK] = random_copy_ack,     [CW_MSG_GRANT_ASK] = random_grant_ask,
        [CW_MSG_GRANT] = random_grant,           [CW_MSG_GRANT_RELEASE] = random_grant_release,
    };

    memset(message, 0, sizeof *message);
    message->type = type;
    message->from_site = (uint8_t)cw_rng_below(rng, CW_SITES_MAX);
    message->group = (uint32_t)draw(rng);
    message->epoch = draw(rng);
    message->reign = draw(rng);
    message->serial = draw(rng);
    make[type](rng, message);
}
