/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * salvage: what stands in a salvage file, and how to have it back. The file is a line of text,
 *
 *     causeway salvage 1 group G above S
 *
 * then the records above sequence S as they stood in the journal, oldest first: header (64 bytes,
 * wire/record.h) and, for a write, its payload. Every header and payload is checked; what follows the first
 * that is not sound cannot be found, since lengths are in the headers. No controller is asked: the file is
 * all that is needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/numbers.h"
#include "control/cli.h"
#include "wire/record.h"

struct salvage {
    const char *path;
    FILE *from;
    uint64_t at; /* byte of the record in hand */
    struct cw_record record;
    uint8_t payload[CW_RECORD_PAYLOAD_MAX];
    uint64_t count, bytes, first, last;
    char why[256]; /* "": sound so far */
};

static bool open_salvage(struct salvage *salvage)
{
    char line[96];
    unsigned version = 0, group = 0;
    uint64_t above = 0;
    salvage->from = fopen(salvage->path, "re");
    if (!salvage->from) {
        snprintf(salvage->why, sizeof salvage->why, "%s", strerror(errno));
        return false;
    }
    if (!fgets(line, sizeof line, salvage->from) ||
        sscanf(line, "causeway salvage %u group %u above %" SCNu64, &version, &group, &above) != 3) {
        snprintf(salvage->why, sizeof salvage->why, "this is no salvage file");
        return false;
    }
    if (version != 1) {
        snprintf(salvage->why, sizeof salvage->why, "it is of version %u, this program knows 1", version);
        return false;
    }
    salvage->at = strlen(line);
    return true;
}

/* false: the end, or, with words in why, no further. */
static bool next_record(struct salvage *salvage)
{
    uint8_t header[CW_RECORD_HEADER_SIZE];
    size_t got = fread(header, 1, sizeof header, salvage->from);
    if (got == 0 && feof(salvage->from))
        return false;
    enum cw_record_error error =
        got == sizeof header ? cw_record_decode(header, &salvage->record) : CW_RECORD_OK;
    uint32_t length = error == CW_RECORD_OK ? cw_record_payload_length(&salvage->record) : 0;
    if (got < sizeof header || (length && fread(salvage->payload, length, 1, salvage->from) != 1))
        snprintf(salvage->why, sizeof salvage->why, "it ends in the middle of the record at byte %" PRIu64,
                 salvage->at);
    else if (error != CW_RECORD_OK)
        snprintf(salvage->why, sizeof salvage->why, "what stands at byte %" PRIu64 " is no record (%s)",
                 salvage->at, cw_record_error_name(error));
    else if (length && cw_hash64(salvage->payload, length) != salvage->record.payload_hash)
        snprintf(salvage->why, sizeof salvage->why,
                 "the data of the record at byte %" PRIu64 " do not match their hash", salvage->at);
    if (salvage->why[0])
        return false;
    salvage->at += sizeof header + length;
    salvage->bytes += length;
    salvage->first = salvage->count++ ? salvage->first : salvage->record.sequence;
    salvage->last = salvage->record.sequence;
    return true;
}

static void show_record(const struct cw_cli *cli, const struct cw_record *record)
{
    static const char *const kinds[CW_RECORD_KIND_COUNT] = {"", "write", "zeroes", "discard", "marker"};
    if (!cli->is_json) {
        printf("%12" PRIu64 "  epoch %" PRIu64 "  %-7s  volume %u  %" PRIu64 " +%u\n", record->sequence,
               record->epoch, kinds[record->kind], record->volume, record->offset, record->length);
        return;
    }
    json_t *shown =
        json_pack("{s:I,s:I,s:s,s:i,s:I,s:I}", "sequence", (json_int_t)record->sequence, "epoch",
                  (json_int_t)record->epoch, "kind", kinds[record->kind], "volume", (int)record->volume,
                  "offset", (json_int_t)record->offset, "length", (json_int_t)record->length);
    json_dumpf(shown, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(shown);
}

static bool write_all(int to, const uint8_t *data, size_t length, uint64_t offset)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = pwrite(to, data + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* Zeroes and discards come without a payload: a volume reads as zeroes there. */
static bool put_in_place(int to, const struct salvage *salvage)
{
    static const uint8_t zeroes[CW_RECORD_PAYLOAD_MAX];
    const struct cw_record *record = &salvage->record;
    bool ok = true;
    if (record->kind == CW_RECORD_WRITE)
        return write_all(to, salvage->payload, record->length, record->offset);
    for (uint64_t done = 0; done < record->length && ok; done += sizeof zeroes)
        ok = write_all(to, zeroes, (size_t)CW_MIN(record->length - done, sizeof zeroes),
                       record->offset + done);
    return ok;
}

/* Lists, or puts in place what is of one volume. */
static int walk(const struct cw_cli *cli, struct salvage *salvage, int to, uint64_t volume)
{
    const char *image = cw_cli_value(cli, "to");
    uint64_t placed = 0;
    bool ok = true;
    while (ok && next_record(salvage)) {
        bool is_wanted = salvage->record.kind != CW_RECORD_MARKER && salvage->record.volume == volume;
        if (to < 0)
            show_record(cli, &salvage->record);
        else if (is_wanted)
            ok = put_in_place(to, salvage);
        placed += is_wanted;
    }
    if (!ok || (to >= 0 && fsync(to) < 0))
        return cw_failed(cli, CW_EXIT_FAILED, "%s: %s", image, strerror(errno));
    if (salvage->why[0])
        return cw_failed(cli, CW_EXIT_FAILED, "%s: %s; the %" PRIu64 " records before it are sound%s",
                         salvage->path, salvage->why, salvage->count, to >= 0 ? " and in place" : "");
    if (to >= 0)
        return cw_done(cli, "%" PRIu64 " of %" PRIu64 " records are in place in %s", placed, salvage->count,
                       image);
    if (cli->is_json)
        return CW_EXIT_DONE;
    return cw_done(cli,
                   "%" PRIu64 " records, sequence %" PRIu64 " to %" PRIu64 ", %" PRIu64 " bytes, all sound",
                   salvage->count, salvage->first, salvage->last, salvage->bytes);
}

int cw_run_salvage(struct cw_cli *cli)
{
    static struct salvage salvage;
    const char *image = cw_cli_value(cli, "to"), *number = cw_cli_value(cli, "volume");
    unsigned volume = 0;
    char more;
    int to = -1;
    if (!image != !number)
        return cw_failed(cli, CW_EXIT_USAGE, "--volume and --to belong together");
    if (number && (sscanf(number, "%u%c", &volume, &more) != 1 || volume >= CW_VOLUMES_PER_GROUP_MAX))
        return cw_failed(cli, CW_EXIT_USAGE, "--volume wants a number from 0 to %u",
                         CW_VOLUMES_PER_GROUP_MAX - 1);
    salvage = (struct salvage){.path = cli->operands[0]};
    int code = CW_EXIT_DONE;
    if (!open_salvage(&salvage))
        code = cw_failed(cli, CW_EXIT_FAILED, "%s: %s", salvage.path, salvage.why);
    if (!code && image && (to = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
        code = cw_failed(cli, CW_EXIT_FAILED, "%s: %s", image, strerror(errno));
    if (!code)
        code = walk(cli, &salvage, to, volume);
    if (to >= 0)
        close(to);
    if (salvage.from)
        fclose(salvage.from);
    return code;
}
