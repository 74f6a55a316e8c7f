/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/salvage_file.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/numbers.h"

static bool fail(struct cw_salvage_file *file, const char *words)
{
    snprintf(file->why, sizeof file->why, "%s", words);
    return false;
}

/* "causeway salvage 1 group G above S" and a line's end. */
static bool begin_old(struct cw_salvage_file *file, const uint8_t *block, size_t length)
{
    char line[96];
    unsigned group = 0;
    uint64_t above = 0;
    const uint8_t *end = memchr(block, '\n', CW_MIN(length, sizeof line - 1));
    if (!end)
        return false;
    memcpy(line, block, (size_t)(end - block));
    line[end - block] = 0;
    if (sscanf(line, "causeway salvage 1 group %u above %" SCNu64, &group, &above) != 2)
        return false;
    file->is_old = true;
    file->head = (struct cw_salvage_head){.group = group, .above = above};
    file->at = (uint64_t)(end - block) + 1;
    return fseek(file->from, (long)file->at, SEEK_SET) == 0;
}

bool cw_salvage_file_begin(struct cw_salvage_file *file, FILE *from, uint64_t size)
{
    uint8_t block[CW_SALVAGE_HEAD_SIZE] = {0};
    *file = (struct cw_salvage_file){.from = from};
    size_t got = fread(block, 1, sizeof block, from);
    if (begin_old(file, block, got))
        return true;
    if (got < sizeof block)
        return fail(file, "it is no salvage file, or one that was cut short");
    enum cw_salvage_error error = cw_salvage_decode(block, &file->head);
    if (error != CW_SALVAGE_OK)
        return fail(file, cw_salvage_error_name(error));
    file->at = CW_SALVAGE_HEAD_SIZE;
    if (size && size != file->head.size)
        snprintf(file->why, sizeof file->why,
                 "it has %" PRIu64 " bytes and says that it has %" PRIu64 ": it was cut short, or written to",
                 size, file->head.size);
    return !file->why[0];
}

bool cw_salvage_file_seek(struct cw_salvage_file *file, uint64_t at)
{
    if (at < file->at || at > INT64_MAX || fseek(file->from, (long)at, SEEK_SET) != 0)
        return fail(file, "there is no record at that byte");
    file->is_partial = at != file->at;
    file->at = at;
    return true;
}

/* The end is where the head says that it is. */
static bool end_file(struct cw_salvage_file *file)
{
    if (file->is_old || file->is_partial)
        return false;
    if (file->at != file->head.size || file->count != file->head.records)
        snprintf(file->why, sizeof file->why,
                 "it ends after %" PRIu64 " records, and says that it has %" PRIu64, file->count,
                 file->head.records);
    else if (file->digest != file->head.digest)
        snprintf(file->why, sizeof file->why,
                 "its records are sound, but not those that it was written with");
    return false;
}

bool cw_salvage_file_next(struct cw_salvage_file *file)
{
    uint8_t header[CW_RECORD_HEADER_SIZE];
    size_t got = fread(header, 1, sizeof header, file->from);
    if (got == 0 && feof(file->from))
        return end_file(file);
    enum cw_record_error error =
        got == sizeof header ? cw_record_decode(header, &file->record) : CW_RECORD_OK;
    bool is_whole = got == sizeof header;
    uint32_t length = is_whole && error == CW_RECORD_OK ? cw_record_payload_length(&file->record) : 0;
    if (!is_whole || (length && fread(file->payload, length, 1, file->from) != 1))
        snprintf(file->why, sizeof file->why, "it ends in the middle of the record at byte %" PRIu64,
                 file->at);
    else if (error != CW_RECORD_OK)
        snprintf(file->why, sizeof file->why, "what stands at byte %" PRIu64 " is no record (%s)", file->at,
                 cw_record_error_name(error));
    else if (length && cw_hash64(file->payload, length) != file->record.payload_hash)
        snprintf(file->why, sizeof file->why,
                 "the data of the record at byte %" PRIu64 " do not match their hash", file->at);
    else if (file->record.group != file->head.group || file->record.sequence <= file->head.above)
        snprintf(file->why, sizeof file->why, "the record at byte %" PRIu64 " does not belong into this file",
                 file->at);
    if (file->why[0])
        return false;
    file->at += sizeof header + length;
    file->bytes += length;
    file->count++;
    file->digest = cw_salvage_digest(file->digest, header);
    return true;
}

enum cw_acknowledged cw_salvage_file_acknowledged(const struct cw_salvage_file *file, bool takeover_lost_none)
{
    const struct cw_salvage_reign *reign = cw_salvage_reign_of(&file->head, &file->record);
    if (file->record.kind == CW_RECORD_MARKER)
        return CW_ACKNOWLEDGED_NO;
    if (reign && reign->answered >= file->record.sequence)
        return CW_ACKNOWLEDGED_YES;
    return takeover_lost_none ? CW_ACKNOWLEDGED_NO : CW_ACKNOWLEDGED_UNKNOWN;
}

const char *cw_acknowledged_name(enum cw_acknowledged acknowledged)
{
    return acknowledged == CW_ACKNOWLEDGED_YES  ? "yes"
           : acknowledged == CW_ACKNOWLEDGED_NO ? "no"
                                                : "unknown";
}

bool cw_salvage_file_wall(const struct cw_salvage_file *file, int64_t *wall_ns)
{
    const struct cw_salvage_reign *reign = cw_salvage_reign_of(&file->head, &file->record);
    return reign && reign->has_wall &&
           !__builtin_add_overflow((int64_t)file->record.time_ns, reign->wall_offset_ns, wall_ns);
}

const char *cw_record_kind_word(uint8_t kind)
{
    static const char *const kinds[CW_RECORD_KIND_COUNT] = {"", "write", "zeroes", "discard", "marker"};
    return kind < CW_RECORD_KIND_COUNT ? kinds[kind] : "";
}
