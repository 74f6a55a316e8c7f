/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * salvage: what stands in a salvage file (salvage_file.h), and how to have it back. Every header and payload
 * is checked. No controller is asked: the file is all that is needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/numbers.h"
#include "control/cli.h"
#include "control/salvage_file.h"
#include "engine/config/node_config.h"

struct salvage {
    const char *path;
    struct cw_salvage_file file;
    bool has_volume;
    unsigned volume;
    uint64_t begin, end; /* of the extent that is wanted */
    uint64_t first, last, chosen;
    int to; /* -1: only listed */
};

/* ---------------------------------------------------------------- shown */

static void show_json(const struct cw_salvage_file *file)
{
    const struct cw_record *record = &file->record;
    int64_t wall_ns = 0;
    bool has_wall = cw_salvage_file_wall(file, &wall_ns);
    json_t *shown =
        json_pack("{s:I,s:I,s:s,s:i,s:I,s:I,s:o,s:s,s:o}", "sequence", (json_int_t)record->sequence, "epoch",
                  (json_int_t)record->epoch, "kind", cw_record_kind_word(record->kind), "volume",
                  (int)record->volume, "offset", (json_int_t)record->offset, "length",
                  (json_int_t)record->length, "hash", cw_json_from_hex(record->payload_hash), "acknowledged",
                  cw_acknowledged_name(cw_salvage_file_acknowledged(file, false)), "time",
                  has_wall ? json_real((double)wall_ns / 1e9) : json_null());
    json_dumpf(shown, stdout, JSON_COMPACT | JSON_REAL_PRECISION(CW_JSON_DIGITS + 6));
    putchar('\n');
    json_decref(shown);
}

static void show_record(const struct cw_cli *cli, const struct cw_salvage_file *file)
{
    const struct cw_record *record = &file->record;
    char clock[32] = "time not known";
    int64_t wall_ns;
    if (cli->is_json) {
        show_json(file);
        return;
    }
    if (cw_salvage_file_wall(file, &wall_ns)) {
        time_t seconds = (time_t)(wall_ns / 1000000000);
        struct tm local;
        localtime_r(&seconds, &local);
        strftime(clock, sizeof clock, "%F %T", &local);
    }
    printf("%12" PRIu64 "  epoch %" PRIu64 "  %-19s  %-7s  volume %u  %" PRIu64 " +%u  hash %016" PRIx64
           "  acknowledged: %s\n",
           record->sequence, record->epoch, clock, cw_record_kind_word(record->kind), record->volume,
           record->offset, record->length, record->payload_hash,
           cw_acknowledged_name(cw_salvage_file_acknowledged(file, false)));
}

/* ---------------------------------------------------------------- put in place */

static bool write_all(int to, const uint8_t *data, uint64_t length, uint64_t offset)
{
    for (uint64_t done = 0; done < length;) {
        ssize_t n = pwrite(to, data + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (uint64_t)n;
    }
    return true;
}

/* What of the record is in the extent. Zeroes and discards come without a payload: a volume reads as zeroes
 * there. */
static bool put_in_place(const struct salvage *salvage)
{
    static const uint8_t zeroes[CW_RECORD_PAYLOAD_MAX];
    const struct cw_record *record = &salvage->file.record;
    uint64_t begin = CW_MAX(salvage->begin, record->offset);
    uint64_t end = CW_MIN(salvage->end, record->offset + record->length);
    if (record->kind == CW_RECORD_WRITE)
        return write_all(salvage->to, salvage->file.payload + (begin - record->offset), end - begin, begin);
    for (uint64_t at = begin; at < end; at += sizeof zeroes)
        if (!write_all(salvage->to, zeroes, CW_MIN(end - at, sizeof zeroes), at))
            return false;
    return true;
}

/* ---------------------------------------------------------------- the walk */

static bool is_chosen(const struct salvage *salvage)
{
    const struct cw_record *record = &salvage->file.record;
    if (!salvage->has_volume)
        return true;
    return record->kind != CW_RECORD_MARKER && record->volume == salvage->volume &&
           record->offset < salvage->end && record->offset + record->length > salvage->begin;
}

static void note(struct salvage *salvage)
{
    uint64_t sequence = salvage->file.record.sequence;
    salvage->first = salvage->file.count == 1 ? sequence : CW_MIN(salvage->first, sequence);
    salvage->last = CW_MAX(salvage->last, sequence);
}

static int tell_end(const struct cw_cli *cli, const struct salvage *salvage)
{
    const struct cw_salvage_file *file = &salvage->file;
    const char *image = cw_cli_value(cli, "to");
    if (image)
        return cw_done(cli, "%" PRIu64 " of %" PRIu64 " records are in place in %s", salvage->chosen,
                       file->count, image);
    if (cli->is_json)
        return CW_EXIT_DONE;
    return cw_done(
        cli, "%" PRIu64 " records, sequence %" PRIu64 " to %" PRIu64 ", %" PRIu64 " bytes, all sound%s%s",
        file->count, salvage->first, salvage->last, file->bytes,
        file->head.lacks_some ? "; some that should be here could not be read from the journal" : "",
        salvage->has_volume ? "; those of that place are listed" : "");
}

/* Lists, or puts in place, what is chosen. */
static int walk(const struct cw_cli *cli, struct salvage *salvage)
{
    const char *image = cw_cli_value(cli, "to");
    bool ok = true;
    while (ok && cw_salvage_file_next(&salvage->file)) {
        note(salvage);
        if (!is_chosen(salvage))
            continue;
        salvage->chosen++;
        if (salvage->to < 0)
            show_record(cli, &salvage->file);
        else
            ok = put_in_place(salvage);
    }
    if (!ok || (salvage->to >= 0 && fsync(salvage->to) < 0))
        return cw_failed(cli, CW_EXIT_FAILED, "%s: %s", image, strerror(errno));
    if (salvage->file.why[0])
        return cw_failed(cli, CW_EXIT_FAILED, "%s: %s; the %" PRIu64 " records before it are sound%s",
                         salvage->path, salvage->file.why, salvage->file.count,
                         salvage->to >= 0 ? " and in place" : "");
    return tell_end(cli, salvage);
}

/* OFFSET+LENGTH */
static bool read_extent(const char *words, uint64_t *begin, uint64_t *end)
{
    char offset[32];
    uint64_t length;
    const char *plus = strchr(words, '+');
    if (!plus || (size_t)(plus - words) >= sizeof offset)
        return false;
    snprintf(offset, sizeof offset, "%.*s", (int)(plus - words), words);
    return cw_quantity_bytes(offset, begin) && cw_quantity_bytes(plus + 1, &length) && length > 0 &&
           !__builtin_add_overflow(*begin, length, end);
}

static int read_choice(const struct cw_cli *cli, struct salvage *salvage)
{
    const char *number = cw_cli_value(cli, "volume"), *extent = cw_cli_value(cli, "extent");
    char more;
    salvage->end = UINT64_MAX;
    if (!number && (extent || cw_cli_value(cli, "to")))
        return cw_failed(cli, CW_EXIT_USAGE, "--extent and --to want --volume");
    if (number &&
        (sscanf(number, "%u%c", &salvage->volume, &more) != 1 || salvage->volume >= CW_VOLUMES_PER_GROUP_MAX))
        return cw_failed(cli, CW_EXIT_USAGE, "--volume wants a number from 0 to %u",
                         CW_VOLUMES_PER_GROUP_MAX - 1);
    if (extent && !read_extent(extent, &salvage->begin, &salvage->end))
        return cw_failed(cli, CW_EXIT_USAGE, "--extent wants OFFSET+LENGTH, such as 1M+4096, not %s", extent);
    salvage->has_volume = number != NULL;
    return CW_EXIT_DONE;
}

static bool open_file(struct salvage *salvage, FILE **from)
{
    struct stat about;
    *from = fopen(salvage->path, "re");
    if (*from && fstat(fileno(*from), &about) == 0)
        return cw_salvage_file_begin(&salvage->file, *from, (uint64_t)about.st_size);
    snprintf(salvage->file.why, sizeof salvage->file.why, "%s", strerror(errno));
    return false;
}

int cw_run_salvage(struct cw_cli *cli)
{
    static struct salvage salvage;
    const char *image = cw_cli_value(cli, "to");
    FILE *from = NULL;
    salvage = (struct salvage){.path = cli->operands[0], .to = -1};
    int code = read_choice(cli, &salvage);
    if (!code && !open_file(&salvage, &from))
        code = cw_failed(cli, CW_EXIT_FAILED, "%s: %s", salvage.path, salvage.file.why);
    if (!code && image && (salvage.to = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
        code = cw_failed(cli, CW_EXIT_FAILED, "%s: %s", image, strerror(errno));
    if (!code)
        code = walk(cli, &salvage);
    if (salvage.to >= 0)
        close(salvage.to);
    if (from)
        fclose(from);
    return code;
}
