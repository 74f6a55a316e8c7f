/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/salvage.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

static const char first_line[32] = "causeway salvage 2\n"; /* zero-filled up to the check */
static const char any_line[] = "causeway salvage ";

#define FLAG_LACKS_SOME 1u
#define REIGN_HAS_WALL  1u

enum {
    AT_CHECK = 32,
    AT_GROUP = 40,
    AT_SITE = 44,
    AT_JOURNAL_ID = 48,
    AT_ABOVE = 64,
    AT_LAST_WANTED = 72,
    AT_FIRST = 80,
    AT_LAST = 88,
    AT_RECORDS = 96,
    AT_WRITES = 104,
    AT_BYTES = 112,
    AT_SIZE = 120,
    AT_DIGEST = 128,
    AT_WALL = 136,
    AT_FLAGS = 144,
    AT_REIGN_COUNT = 148,
    AT_NAME = 160,
    AT_SITE_NAME = 224,
    AT_REIGNS = 256,
    REIGN_SIZE = 40,
    AT_END = 1536
};

static_assert(sizeof first_line == AT_CHECK, "the line, zero-filled, ends where the fields begin");
static_assert(AT_NAME + CW_SALVAGE_NAME_SIZE == AT_SITE_NAME,
              "the group's name ends where the site's begins");
static_assert(AT_SITE_NAME + CW_SALVAGE_SITE_SIZE == AT_REIGNS, "the site's name ends where reigns begin");
static_assert(AT_REIGNS + CW_SALVAGE_REIGNS_MAX * REIGN_SIZE == AT_END, "reigns end where zeroes begin");
static_assert((unsigned)AT_END <= CW_SALVAGE_HEAD_SIZE, "all of it fits");

static uint64_t check_of(const uint8_t *bytes)
{
    return cw_hash64(bytes + AT_GROUP, CW_SALVAGE_HEAD_SIZE - AT_GROUP);
}

static bool is_text(const char *text, size_t size)
{
    const char *end = memchr(text, 0, size);

    for (const char *at = text; end && at < end; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f)
            return false;
    return end != NULL;
}

static bool is_sound(const struct cw_salvage_head *head)
{
    if (!is_text(head->name, sizeof head->name) || !is_text(head->site_name, sizeof head->site_name))
        return false;
    if (head->reign_count > CW_SALVAGE_REIGNS_MAX || head->writes > head->records)
        return false;
    if (head->records > UINT64_MAX / 2 / (CW_RECORD_HEADER_SIZE + CW_RECORD_PAYLOAD_MAX) ||
        head->bytes > head->writes * CW_RECORD_PAYLOAD_MAX)
        return false;
    if (head->records > 0 && (head->first <= head->above || head->last <= head->above))
        return false;
    return head->size == CW_SALVAGE_HEAD_SIZE + head->records * CW_RECORD_HEADER_SIZE + head->bytes;
}

static void encode_reigns(const struct cw_salvage_head *head, uint8_t *to)
{
    for (uint32_t i = 0; i < head->reign_count; i++, to += REIGN_SIZE) {
        cw_store64le(to, head->reigns[i].epoch);
        cw_store64le(to + 8, head->reigns[i].reign);
        cw_store64le(to + 16, head->reigns[i].answered);
        cw_store64le(to + 24, (uint64_t)head->reigns[i].wall_offset_ns);
        cw_store32le(to + 32, head->reigns[i].has_wall ? REIGN_HAS_WALL : 0);
    }
}

static void decode_reigns(const uint8_t *from, struct cw_salvage_head *head)
{
    for (uint32_t i = 0; i < head->reign_count; i++, from += REIGN_SIZE) {
        head->reigns[i].epoch = cw_load64le(from);
        head->reigns[i].reign = cw_load64le(from + 8);
        head->reigns[i].answered = cw_load64le(from + 16);
        head->reigns[i].wall_offset_ns = (int64_t)cw_load64le(from + 24);
        head->reigns[i].has_wall = cw_load32le(from + 32) & REIGN_HAS_WALL;
    }
}

void cw_salvage_encode(const struct cw_salvage_head *head, uint8_t *bytes)
{
    CW_ASSERT(is_sound(head));
    memset(bytes, 0, CW_SALVAGE_HEAD_SIZE);
    memcpy(bytes, first_line, sizeof first_line);
    cw_store32le(bytes + AT_GROUP, head->group);
    cw_store32le(bytes + AT_SITE, head->site);
    cw_store64le(bytes + AT_JOURNAL_ID, head->journal_id[0]);
    cw_store64le(bytes + AT_JOURNAL_ID + 8, head->journal_id[1]);
    cw_store64le(bytes + AT_ABOVE, head->above);
    cw_store64le(bytes + AT_LAST_WANTED, head->last_wanted);
    cw_store64le(bytes + AT_FIRST, head->first);
    cw_store64le(bytes + AT_LAST, head->last);
    cw_store64le(bytes + AT_RECORDS, head->records);
    cw_store64le(bytes + AT_WRITES, head->writes);
    cw_store64le(bytes + AT_BYTES, head->bytes);
    cw_store64le(bytes + AT_SIZE, head->size);
    cw_store64le(bytes + AT_DIGEST, head->digest);
    cw_store64le(bytes + AT_WALL, (uint64_t)head->wall_ns);
    cw_store32le(bytes + AT_FLAGS, head->lacks_some ? FLAG_LACKS_SOME : 0);
    cw_store32le(bytes + AT_REIGN_COUNT, head->reign_count);
    memcpy(bytes + AT_NAME, head->name, strnlen(head->name, sizeof head->name));
    memcpy(bytes + AT_SITE_NAME, head->site_name, strnlen(head->site_name, sizeof head->site_name));
    encode_reigns(head, bytes + AT_REIGNS);
    cw_store64le(bytes + AT_CHECK, check_of(bytes));
}

static bool is_zero(const uint8_t *bytes)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, CW_SALVAGE_HEAD_SIZE - 1) == 0;
}

enum cw_salvage_error cw_salvage_decode(const uint8_t *bytes, struct cw_salvage_head *head)
{
    struct cw_salvage_head found;

    if (is_zero(bytes))
        return CW_SALVAGE_UNFINISHED;
    if (memcmp(bytes, any_line, sizeof any_line - 1) != 0)
        return CW_SALVAGE_FOREIGN;
    if (memcmp(bytes, first_line, strlen(first_line)) != 0)
        return CW_SALVAGE_BAD_VERSION;
    if (memcmp(bytes, first_line, sizeof first_line) != 0 || cw_load64le(bytes + AT_CHECK) != check_of(bytes))
        return CW_SALVAGE_BAD_CHECK;
    found = (struct cw_salvage_head){
        .group = cw_load32le(bytes + AT_GROUP),
        .site = cw_load32le(bytes + AT_SITE),
        .journal_id = {cw_load64le(bytes + AT_JOURNAL_ID), cw_load64le(bytes + AT_JOURNAL_ID + 8)},
        .above = cw_load64le(bytes + AT_ABOVE),
        .last_wanted = cw_load64le(bytes + AT_LAST_WANTED),
        .first = cw_load64le(bytes + AT_FIRST),
        .last = cw_load64le(bytes + AT_LAST),
        .records = cw_load64le(bytes + AT_RECORDS),
        .writes = cw_load64le(bytes + AT_WRITES),
        .bytes = cw_load64le(bytes + AT_BYTES),
        .size = cw_load64le(bytes + AT_SIZE),
        .digest = cw_load64le(bytes + AT_DIGEST),
        .wall_ns = (int64_t)cw_load64le(bytes + AT_WALL),
        .lacks_some = cw_load32le(bytes + AT_FLAGS) & FLAG_LACKS_SOME,
        .reign_count = cw_load32le(bytes + AT_REIGN_COUNT),
    };
    memcpy(found.name, bytes + AT_NAME, sizeof found.name);
    memcpy(found.site_name, bytes + AT_SITE_NAME, sizeof found.site_name);
    if (!is_sound(&found))
        return CW_SALVAGE_BAD_FIELD;
    decode_reigns(bytes + AT_REIGNS, &found);
    *head = found;
    return CW_SALVAGE_OK;
}

const char *cw_salvage_error_name(enum cw_salvage_error error)
{
    static const char *const names[CW_SALVAGE_ERROR_COUNT] = {
        "sound",
        "it is no salvage file",
        "it was never finished",
        "it is of a version that this program does not know",
        "its head is damaged",
        "its head says what cannot be",
    };

    return (unsigned)error < CW_SALVAGE_ERROR_COUNT ? names[error] : "unknown";
}

uint64_t cw_salvage_digest(uint64_t digest, const uint8_t *record_header)
{
    uint8_t link[8 + CW_RECORD_HEADER_SIZE];

    cw_store64le(link, digest);
    memcpy(link + 8, record_header, CW_RECORD_HEADER_SIZE);
    return cw_hash64(link, sizeof link);
}

const struct cw_salvage_reign *cw_salvage_reign_of(const struct cw_salvage_head *head,
                                                   const struct cw_record *record)
{
    for (uint32_t i = 0; i < head->reign_count; i++)
        if (head->reigns[i].epoch == record->epoch && head->reigns[i].reign == record->reign)
            return &head->reigns[i];
    return NULL;
}
