/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages, described once. For each type one `walk` function names its fields in wire order; the same walk
 * writes them and reads them, so that the two directions cannot drift apart, and one `sound` function holds
 * the rules about their values. Encode asserts the rules, decode answers BAD_FIELD.
 *
 * The cursor is bounds-checked and its first error sticks: after it every step is a no-op, so a walk needs
 * no checks between fields. Only the entries of a list that are used travel.
 *
 * Chosen against: a version of each type of its own (the version of the whole protocol is one number), and
 * tags or optional fields (a field too many or too few is an error, not a dialect).
 */
#include "wire/message.h"

#include "base/bytes.h"
#include "base/status.h"

enum {
    COMMON_BYTES = 32,
    IDENTITY_BYTES = 40,
    SEQUENCES_BYTES = 40,
    HISTORY_BYTES_MAX = 4 + CW_HISTORY_MAX * 24,
    VOLUMES_BYTES_MAX = 4 + CW_VOLUMES_PER_GROUP_MAX * 18,
};

/* The three that grow; every other type is at most a hundred bytes or so. */
static_assert(COMMON_BYTES + IDENTITY_BYTES + SEQUENCES_BYTES + 8 + HISTORY_BYTES_MAX + VOLUMES_BYTES_MAX <=
                  CW_MESSAGE_HEAD_MAX,
              "the largest HELLO fits a head");
static_assert(COMMON_BYTES + 16 + HISTORY_BYTES_MAX + VOLUMES_BYTES_MAX <= CW_MESSAGE_HEAD_MAX,
              "the largest COPY_BEGIN fits a head");
static_assert(COMMON_BYTES + 8 + HISTORY_BYTES_MAX <= CW_MESSAGE_HEAD_MAX, "the largest ATTACH fits a head");
static_assert(COMMON_BYTES + 8 + CW_RECORD_HEADER_SIZE <= CW_MESSAGE_HEAD_MAX, "a RECORD fits a head");
static_assert(CW_VOLUMES_PER_GROUP_MAX <= 64, "volumes_are_sound keeps one bit a volume in 64");

/* ---- the cursor ---- */

struct walk {
    const uint8_t *in; /* reading; NULL when writing */
    uint8_t *out;      /* writing; NULL when reading */
    uint32_t at;
    uint32_t size;
    enum cw_message_error error; /* the first one; nothing moves after it */
};

/* Steps over `bytes`; false, and SHORT, when they are not there. */
static bool walk_step(struct walk *w, uint32_t bytes, uint32_t *at)
{
    if (w->error != CW_MESSAGE_OK)
        return false;
    if (w->size - w->at < bytes) {
        w->error = CW_MESSAGE_SHORT;
        return false;
    }
    *at = w->at;
    w->at += bytes;
    return true;
}

static void walk_u8(struct walk *w, uint8_t *field)
{
    uint32_t at;

    if (!walk_step(w, 1, &at))
        return;
    if (w->out)
        w->out[at] = *field;
    else
        *field = w->in[at];
}

#define WALK_NUMBER(bits)                                                                                    \
    static void walk_u##bits(struct walk *w, uint##bits##_t *field)                                          \
    {                                                                                                        \
        uint32_t at;                                                                                         \
                                                                                                             \
        if (!walk_step(w, bits / 8, &at))                                                                    \
            return;                                                                                          \
        if (w->out)                                                                                          \
            cw_store##bits##le(w->out + at, *field);                                                         \
        else                                                                                                 \
            *field = cw_load##bits##le(w->in + at);                                                          \
    }

WALK_NUMBER(16)
WALK_NUMBER(32)
WALK_NUMBER(64)

#undef WALK_NUMBER

/* How many entries follow. 0 after any error, so that the loop over them does not run. */
static uint32_t walk_count(struct walk *w, uint32_t *count, uint32_t count_max)
{
    walk_u32(w, count);
    if (w->error == CW_MESSAGE_OK && *count > count_max)
        w->error = CW_MESSAGE_BAD_FIELD;
    return w->error == CW_MESSAGE_OK ? *count : 0;
}

/* ---- parts that several types share ---- */

static void walk_identity(struct walk *w, struct cw_identity *identity)
{
    walk_u64(w, &identity->boot_id[0]);
    walk_u64(w, &identity->boot_id[1]);
    walk_u64(w, &identity->journal_id[0]);
    walk_u64(w, &identity->journal_id[1]);
    walk_u64(w, &identity->process_start);
}

static void walk_sequences(struct walk *w, struct cw_sequences *sequences)
{
    walk_u64(w, &sequences->received);
    walk_u64(w, &sequences->written);
    walk_u64(w, &sequences->durable);
    walk_u64(w, &sequences->applied);
    walk_u64(w, &sequences->commit);
}

static void walk_history(struct walk *w, struct cw_history *history)
{
    uint32_t count = walk_count(w, &history->count, CW_HISTORY_MAX);

    for (uint32_t i = 0; i < count; i++) {
        walk_u64(w, &history->entries[i].epoch);
        walk_u64(w, &history->entries[i].reign);
        walk_u64(w, &history->entries[i].first_sequence);
    }
}

static void walk_volumes(struct walk *w, uint32_t *volume_count, struct cw_message_volume *volumes)
{
    uint32_t count = walk_count(w, volume_count, CW_VOLUMES_PER_GROUP_MAX);

    for (uint32_t i = 0; i < count; i++) {
        walk_u16(w, &volumes[i].volume);
        walk_u64(w, &volumes[i].size);
        walk_u64(w, &volumes[i].base);
    }
}

bool cw_history_valid(const struct cw_history *history)
{
    uint64_t epoch = 0;
    uint64_t first_sequence = 1;

    if (history->count > CW_HISTORY_MAX)
        return false;
    for (uint32_t i = 0; i < history->count; i++) {
        const struct cw_history_entry *e = &history->entries[i];
        if (e->epoch <= epoch || e->first_sequence < first_sequence)
            return false;
        epoch = e->epoch;
        first_sequence = e->first_sequence;
    }
    return true;
}

static bool volumes_are_sound(uint32_t count, const struct cw_message_volume *volumes)
{
    uint64_t seen = 0;

    if (count > CW_VOLUMES_PER_GROUP_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct cw_message_volume *v = &volumes[i];
        if (v->volume >= CW_VOLUMES_PER_GROUP_MAX || (seen & 1ull << v->volume))
            return false;
        if (v->size == 0 || v->size % CW_BLOCK_SIZE_MIN != 0)
            return false;
        seen |= 1ull << v->volume;
    }
    return true;
}

/* ---- the types, in the order of the enum ---- */

static void walk_hello(struct walk *w, struct cw_message *m)
{
    walk_identity(w, &m->hello.identity);
    walk_sequences(w, &m->hello.sequences);
    walk_u64(w, &m->hello.applied_limit);
    walk_history(w, &m->hello.history);
    walk_volumes(w, &m->hello.volume_count, m->hello.volumes);
}

static bool hello_is_sound(const struct cw_message *m)
{
    return cw_history_valid(&m->hello.history) && volumes_are_sound(m->hello.volume_count, m->hello.volumes);
}

static void walk_attach(struct walk *w, struct cw_message *m)
{
    walk_u64(w, &m->attach.sequence);
    walk_history(w, &m->attach.history);
}

static bool attach_is_sound(const struct cw_message *m)
{
    return cw_history_valid(&m->attach.history);
}

static void walk_attached(struct walk *w, struct cw_message *m)
{
    walk_u32(w, &m->attached.result);
    walk_u64(w, &m->attached.sequence);
}

static bool attached_is_sound(const struct cw_message *m)
{
    return m->attached.result <= CW_ATTACH_FAILED;
}

static void walk_record(struct walk *w, struct cw_message *m)
{
    uint32_t at;

    walk_u64(w, &m->record.commit);
    if (!walk_step(w, CW_RECORD_HEADER_SIZE, &at))
        return;
    if (w->out)
        cw_record_encode(&m->record.record, w->out + at);
    else if (cw_record_decode(w->in + at, &m->record.record) != CW_RECORD_OK)
        w->error = CW_MESSAGE_BAD_RECORD;
}

static bool record_is_sound(const struct cw_message *m)
{
    return m->record.record.group == m->group;
}

static void walk_commit(struct walk *w, struct cw_message *m)
{
    walk_u64(w, &m->commit.commit);
    walk_u64(w, &m->commit.head);
    walk_u64(w, &m->commit.sync_to);
    walk_u64(w, &m->commit.time_ns);
}

static void walk_ack(struct walk *w, struct cw_message *m)
{
    walk_sequences(w, &m->ack.sequences);
    walk_u64(w, &m->ack.echo_time_ns);
    walk_u64(w, &m->ack.process_start);
}

static void walk_fetch(struct walk *w, struct cw_message *m)
{
    walk_u64(w, &m->fetch.first);
    walk_u64(w, &m->fetch.last);
}

static bool fetch_is_sound(const struct cw_message *m)
{
    return m->fetch.first > 0 && m->fetch.first <= m->fetch.last;
}

static void walk_copy_begin(struct walk *w, struct cw_message *m)
{
    walk_u64(w, &m->copy_begin.copy_id);
    walk_u64(w, &m->copy_begin.sequence);
    walk_history(w, &m->copy_begin.history);
    walk_volumes(w, &m->copy_begin.volume_count, m->copy_begin.volumes);
}

static bool copy_begin_is_sound(const struct cw_message *m)
{
    return cw_history_valid(&m->copy_begin.history) &&
           volumes_are_sound(m->copy_begin.volume_count, m->copy_begin.volumes);
}

static void walk_copy_chunk(struct walk *w, struct cw_message *m)
{
    walk_u64(w, &m->copy_chunk.copy_id);
    walk_u64(w, &m->copy_chunk.index);
    walk_u64(w, &m->copy_chunk.sequence);
    walk_u64(w, &m->copy_chunk.offset);
    walk_u64(w, &m->copy_chunk.payload_hash);
    walk_u32(w, &m->copy_chunk.length);
    walk_u16(w, &m->copy_chunk.volume);
    walk_u8(w, &m->copy_chunk.is_zero);
}

static bool copy_chunk_is_sound(const struct cw_message *m)
{
    const struct cw_message_copy_chunk *c = &m->copy_chunk;
    uint32_t length_max = c->is_zero ? CW_RECORD_EXTENT_MAX : CW_RECORD_PAYLOAD_MAX;

    if (c->is_zero > 1 || c->volume >= CW_VOLUMES_PER_GROUP_MAX)
        return false;
    if (c->length == 0 || c->length > length_max || c->length % CW_BLOCK_SIZE_MIN != 0)
        return false;
    if (c->offset % CW_BLOCK_SIZE_MIN != 0 || c->offset > UINT64_MAX - c->length)
        return false;
    return !c->is_zero || c->payload_hash == 0;
}

static void walk_copy_end(struct walk *w, struct cw_message *m)
{
    walk_u64(w, &m->copy_end.copy_id);
    walk_u64(w, &m->copy_end.chunk_count);
    walk_u64(w, &m->copy_end.sequence);
}

static void walk_copy_ack(struct walk *w, struct cw_message *m)
{
    walk_u64(w, &m->copy_ack.copy_id);
    walk_u32(w, &m->copy_ack.state);
    walk_u32(w, &m->copy_ack.reason);
    walk_u64(w, &m->copy_ack.chunks_received);
}

static bool copy_ack_is_sound(const struct cw_message *m)
{
    if (m->copy_ack.state > CW_COPY_FAILED || m->copy_ack.reason >= CW_STATUS_COUNT)
        return false;
    if (m->flags && m->copy_ack.state != CW_COPY_BEGUN)
        return false;
    return m->copy_ack.state == CW_COPY_FAILED || m->copy_ack.reason == CW_OK;
}

static void walk_grant_ask(struct walk *w, struct cw_message *m)
{
    walk_u64(w, &m->grant_ask.number);
    walk_u32(w, &m->grant_ask.lease_ms);
}

static bool grant_ask_is_sound(const struct cw_message *m)
{
    return m->grant_ask.number > 0 && m->grant_ask.lease_ms > 0;
}

static void walk_grant(struct walk *w, struct cw_message *m)
{
    walk_u64(w, &m->grant.number);
    walk_u32(w, &m->grant.result);
    walk_u32(w, &m->grant.lease_ms);
}

static bool grant_is_sound(const struct cw_message *m)
{
    if (m->grant.number == 0 || m->grant.result >= CW_GRANT_RESULT_COUNT)
        return false;
    return (m->grant.lease_ms > 0) == (m->grant.result == CW_GRANT_GIVEN);
}

static void walk_nothing(struct walk *w, struct cw_message *m)
{
}

static bool always_sound(const struct cw_message *m)
{
    return true;
}

#define HELLO_FLAGS                                                                                          \
    (CW_HELLO_ASK | CW_HELLO_PRIMARY | CW_HELLO_OPENING | CW_HELLO_NEEDS_COPY | CW_HELLO_DIVERGED |          \
     CW_HELLO_FOLLOWING)

static const struct {
    const char *name;
    uint8_t flags_known;
    void (*walk)(struct walk *w, struct cw_message *m);
    bool (*is_sound)(const struct cw_message *m);
} types[CW_MSG_TYPE_COUNT] = {
    [CW_MSG_HELLO] = {"HELLO", HELLO_FLAGS, walk_hello, hello_is_sound},
    [CW_MSG_ATTACH] = {"ATTACH", 0, walk_attach, attach_is_sound},
    [CW_MSG_ATTACHED] = {"ATTACHED", 0, walk_attached, attached_is_sound},
    [CW_MSG_RECORD] = {"RECORD", CW_RECORD_MSG_FETCHED, walk_record, record_is_sound},
    [CW_MSG_COMMIT] = {"COMMIT", 0, walk_commit, always_sound},
    [CW_MSG_ACK] = {"ACK", 0, walk_ack, always_sound},
    [CW_MSG_FETCH] = {"FETCH", 0, walk_fetch, fetch_is_sound},
    [CW_MSG_COPY_BEGIN] = {"COPY_BEGIN", CW_COPY_CONTINUES, walk_copy_begin, copy_begin_is_sound},
    [CW_MSG_COPY_CHUNK] = {"COPY_CHUNK", 0, walk_copy_chunk, copy_chunk_is_sound},
    [CW_MSG_COPY_END] = {"COPY_END", 0, walk_copy_end, always_sound},
    [CW_MSG_COPY_ACK] = {"COPY_ACK", CW_COPY_CONTINUES, walk_copy_ack, copy_ack_is_sound},
    [CW_MSG_GRANT_ASK] = {"GRANT_ASK", 0, walk_grant_ask, grant_ask_is_sound},
    [CW_MSG_GRANT] = {"GRANT", 0, walk_grant, grant_is_sound},
    [CW_MSG_GRANT_RELEASE] = {"GRANT_RELEASE", 0, walk_nothing, always_sound},
};

static bool type_is_known(unsigned type)
{
    return type > CW_MSG_NONE && type < CW_MSG_TYPE_COUNT;
}

/* ---- the whole message ---- */

static void walk_common(struct walk *w, struct cw_message *m, uint8_t *version)
{
    walk_u8(w, &m->type);
    walk_u8(w, version);
    walk_u8(w, &m->from_site);
    walk_u8(w, &m->flags);
    walk_u32(w, &m->group);
    walk_u64(w, &m->epoch);
    walk_u64(w, &m->reign);
    walk_u64(w, &m->serial);
}

/* The first thing wrong with the common head. Version first: another version may mean anything else. */
static enum cw_message_error common_fault(const struct cw_message *m, uint8_t version)
{
    if (version != CW_MESSAGE_VERSION)
        return CW_MESSAGE_BAD_VERSION;
    if (!type_is_known(m->type))
        return CW_MESSAGE_BAD_TYPE;
    if (m->from_site >= CW_SITES_MAX)
        return CW_MESSAGE_BAD_SITE;
    if (m->flags & ~types[m->type].flags_known)
        return CW_MESSAGE_BAD_FIELD;
    return CW_MESSAGE_OK;
}

uint32_t cw_message_encode(const struct cw_message *message, uint8_t *head)
{
    struct cw_message *m = (struct cw_message *)message; /* a writing walk only reads it */
    struct walk w = {.out = head, .size = CW_MESSAGE_HEAD_MAX};
    uint8_t version = CW_MESSAGE_VERSION;

    CW_ASSERT(common_fault(m, version) == CW_MESSAGE_OK);
    CW_ASSERT(types[m->type].is_sound(m));
    walk_common(&w, m, &version);
    CW_ASSERT(w.at == COMMON_BYTES);
    types[m->type].walk(&w, m);
    CW_ASSERT(w.error == CW_MESSAGE_OK && "the largest of each type fits");
    return w.at;
}

enum cw_message_error cw_message_decode(const uint8_t *head, uint32_t head_length, uint32_t body_length,
                                        struct cw_message *message)
{
    struct walk w = {.in = head, .size = head_length};
    uint8_t version = 0;

    walk_common(&w, message, &version);
    if (w.error == CW_MESSAGE_OK)
        w.error = common_fault(message, version);
    if (w.error == CW_MESSAGE_OK)
        types[message->type].walk(&w, message);
    if (w.error != CW_MESSAGE_OK)
        return w.error;
    if (w.at != head_length)
        return CW_MESSAGE_LONG;
    if (!types[message->type].is_sound(message))
        return CW_MESSAGE_BAD_FIELD;
    return body_length == cw_message_body_length(message) ? CW_MESSAGE_OK : CW_MESSAGE_BAD_BODY;
}

uint32_t cw_message_body_length(const struct cw_message *message)
{
    if (message->type == CW_MSG_RECORD)
        return cw_record_payload_length(&message->record.record);
    if (message->type == CW_MSG_COPY_CHUNK)
        return message->copy_chunk.is_zero ? 0 : message->copy_chunk.length;
    return 0;
}

const char *cw_message_type_name(enum cw_message_type type)
{
    return type_is_known(type) ? types[type].name : "?";
}

const char *cw_message_error_name(enum cw_message_error error)
{
    static const char *const names[CW_MESSAGE_ERROR_COUNT] = {
        [CW_MESSAGE_OK] = "ok",
        [CW_MESSAGE_SHORT] = "short",
        [CW_MESSAGE_LONG] = "long",
        [CW_MESSAGE_BAD_VERSION] = "unknown version",
        [CW_MESSAGE_BAD_TYPE] = "unknown type",
        [CW_MESSAGE_BAD_SITE] = "site out of range",
        [CW_MESSAGE_BAD_FIELD] = "impossible field",
        [CW_MESSAGE_BAD_RECORD] = "bad record",
        [CW_MESSAGE_BAD_BODY] = "body of another length",
    };
    return (unsigned)error < CW_MESSAGE_ERROR_COUNT ? names[error] : "unknown";
}
