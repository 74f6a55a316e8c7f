/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Salvage files: the records above a sequence as they stand in the journal, header (64 bytes) and payload one
 * after the other, behind a head (wire/salvage.h). They are read by `causeway salvage` and by the controller,
 * never by the engine.
 *
 * A file has its name only when it is whole and durable: until then it is "salvage-GROUP.part", which the
 * next try begins anew. So whoever finds a salvage file finds all of it, and what is cut or copied over
 * afterwards is in a file that was there before. The same tail asked for again (the process died after it was
 * kept) is found to be there already, by the digest of its records.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "engine/group_start.h"
#include "replication/history.h"
#include "wire/salvage.h"

struct salvage_file {
    const struct cw_salvage *wanted;
    const struct cw_superblock *superblock;
    FILE *file;
    const char *part;
    struct cw_salvage_head head;
    uint64_t run_first, run_last; /* unbroken, written */
    int error;                    /* errno of what failed */
};

/* Of a branch that was cut before, and kept then. What is older than the history is told apart by nobody. */
static bool is_of_cut_branch(const struct cw_superblock *superblock, const struct cw_record *record)
{
    const struct cw_history_entry *entry = cw_history_find(&superblock->history, record->sequence);
    return entry != NULL && (entry->epoch != record->epoch || entry->reign != record->reign);
}

/* As a start does: a sequence that comes again belongs to the newer place. */
static void note_run(struct salvage_file *file, uint64_t sequence)
{
    if (file->run_last == 0 || sequence > file->run_last + 1)
        file->run_first = sequence;
    file->run_first = CW_MIN(file->run_first, sequence);
    file->run_last = sequence;
}

static void note_reign(struct cw_salvage_head *head, const struct cw_record *record)
{
    if (cw_salvage_reign_of(head, record) != NULL)
        return;
    if (head->reign_count == CW_SALVAGE_REIGNS_MAX) { /* of the oldest less is known than can be told */
        memmove(&head->reigns[0], &head->reigns[1], sizeof head->reigns[0] * (CW_SALVAGE_REIGNS_MAX - 1));
        head->reign_count--;
    }
    head->reigns[head->reign_count++] =
        (struct cw_salvage_reign){.epoch = record->epoch, .reign = record->reign};
}

static void note_record(struct salvage_file *file, const struct cw_record *record, const uint8_t *header)
{
    struct cw_salvage_head *head = &file->head;
    head->group = record->group;
    head->first = head->first == 0 ? record->sequence : CW_MIN(head->first, record->sequence);
    head->last = CW_MAX(head->last, record->sequence);
    head->records++;
    head->writes += record->kind != CW_RECORD_MARKER;
    head->bytes += cw_record_payload_length(record);
    head->digest = cw_salvage_digest(head->digest, header);
    note_reign(head, record);
    note_run(file, record->sequence);
}

static bool put(struct salvage_file *file, const void *bytes, size_t length)
{
    if (length == 0 || fwrite(bytes, length, 1, file->file) == 1)
        return true;
    file->error = errno;
    return false;
}

/* Room for the head is zero until the end. */
static bool begin_file(struct salvage_file *file)
{
    static const uint8_t zeroes[CW_SALVAGE_HEAD_SIZE];
    file->file = fopen(file->part, "we");
    file->error = file->file == NULL ? errno : 0;
    return file->file != NULL && put(file, zeroes, sizeof zeroes);
}

static enum cw_status salvage_record(void *context, const struct cw_record *record, const uint8_t *payload,
                                     uint64_t position, uint32_t sectors)
{
    struct salvage_file *file = context;
    uint8_t header[CW_RECORD_HEADER_SIZE];
    bool is_there =
        file->run_last != 0 && record->sequence >= file->run_first && record->sequence <= file->run_last;
    if (record->sequence <= file->wanted->above || is_of_cut_branch(file->superblock, record) || is_there)
        return CW_OK;
    if (file->file == NULL && !begin_file(file))
        return CW_IO;
    cw_record_encode(record, header);
    if (!put(file, header, sizeof header) || !put(file, payload, cw_record_payload_length(record)))
        return CW_IO;
    note_record(file, record, header);
    return CW_OK;
}

/* ---------------------------------------------------------------- the end of a file */

static void fill_reigns(struct salvage_file *file, const struct cw_recovery_report *report)
{
    for (uint32_t i = 0; i < file->head.reign_count; i++) {
        struct cw_salvage_reign *reign = &file->head.reigns[i];
        for (uint32_t k = 0; k < report->answered_count; k++)
            if (report->answered[k].epoch == reign->epoch && report->answered[k].reign == reign->reign)
                reign->answered = report->answered[k].sequence;
        for (uint32_t k = 0; k < CW_OPENINGS_MAX; k++)
            if (file->superblock->openings[k].epoch == reign->epoch) {
                reign->wall_offset_ns = file->superblock->openings[k].wall_offset_ns;
                reign->has_wall = true;
            }
    }
}

static void fill_head(struct salvage_file *file, const struct cw_store_group *group)
{
    struct cw_salvage_head *head = &file->head;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    head->wall_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    head->site = file->superblock->site;
    head->journal_id[0] = file->superblock->journal_id[0];
    head->journal_id[1] = file->superblock->journal_id[1];
    head->above = file->wanted->above;
    head->last_wanted = file->wanted->last;
    head->size = CW_SALVAGE_HEAD_SIZE + head->records * CW_RECORD_HEADER_SIZE + head->bytes;
    snprintf(head->name, sizeof head->name, "%s", group->name);
    snprintf(head->site_name, sizeof head->site_name, "%s", file->wanted->site);
}

static bool write_head(struct salvage_file *file)
{
    uint8_t block[CW_SALVAGE_HEAD_SIZE];
    cw_salvage_encode(&file->head, block);
    if (fseek(file->file, 0, SEEK_SET) == 0 && put(file, block, sizeof block) && fflush(file->file) == 0 &&
        fsync(fileno(file->file)) == 0)
        return true;
    file->error = file->error ? file->error : errno;
    return false;
}

/* A whole file that has these very records. */
static bool is_same_tail(const char *path, const struct cw_salvage_head *wanted)
{
    uint8_t block[CW_SALVAGE_HEAD_SIZE];
    struct cw_salvage_head head;
    struct stat about;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool is_read = fread(block, sizeof block, 1, file) == 1 && fstat(fileno(file), &about) == 0;
    fclose(file);
    return is_read && cw_salvage_decode(block, &head) == CW_SALVAGE_OK && head.digest == wanted->digest &&
           head.records == wanted->records && head.above == wanted->above && head.group == wanted->group &&
           head.lacks_some == wanted->lacks_some && (uint64_t)about.st_size == head.size;
}

static bool find_same(const struct cw_salvage_head *head, const char *directory, char *path, size_t size)
{
    bool is_found = false;
    DIR *list = opendir(directory);
    const struct dirent *entry;
    while (list != NULL && !is_found && (entry = readdir(list)) != NULL) {
        if (strncmp(entry->d_name, "salvage-", 8) != 0 || strstr(entry->d_name, ".part") != NULL)
            continue;
        snprintf(path, size, "%s/%s", directory, entry->d_name);
        is_found = is_same_tail(path, head);
    }
    if (list != NULL)
        closedir(list);
    return is_found;
}

/* Gives the finished file its name, or finds that there is one like it. */
static bool name_file(struct salvage_file *file, struct cw_salvage *salvage, const char *directory)
{
    char found[sizeof salvage->path];
    if (find_same(&file->head, directory, found, sizeof found)) {
        snprintf(salvage->path, sizeof salvage->path, "%s", found);
        unlink(file->part);
        return cw_setup_sync_directory(salvage->path) == CW_OK;
    }
    snprintf(salvage->path, sizeof salvage->path, "%s/salvage-%s-%" PRIu64 "-%lld.%09lld", directory,
             file->head.name, salvage->above, (long long)(file->head.wall_ns / 1000000000),
             (long long)(file->head.wall_ns % 1000000000));
    if (rename(file->part, salvage->path) == 0 && cw_setup_sync_directory(salvage->path) == CW_OK)
        return true;
    file->error = errno;
    return false;
}

/* ---------------------------------------------------------------- one try */

static enum cw_status read_superblock(const struct cw_disk_file *journal, struct cw_superblock *superblock)
{
    enum cw_sector_class classes[CW_SUPERBLOCK_COPIES];
    size_t size = CW_JOURNAL_RING_SECTOR * CW_SECTOR_SIZE;
    uint8_t *sectors = aligned_alloc(4096, size);
    if (sectors == NULL)
        return CW_NO_SPACE;
    enum cw_status status = cw_disk_pread(journal, sectors, size, 0);
    if (status == CW_OK)
        status = cw_superblock_pick(sectors, superblock, classes);
    free(sectors);
    return status;
}

/* All that the superblock says is still in the ring, up to the last that was logged. */
static bool has_all(const struct salvage_file *file)
{
    uint64_t above = CW_MAX(file->wanted->above, file->superblock->tail_sequence);
    if (file->wanted->last <= above)
        return true;
    return file->run_last >= file->wanted->last && file->run_first <= above + 1;
}

/* What half a file took is given back; the next try begins it anew. */
static void give_back(const char *part)
{
    int failed = truncate(part, 0);
    (void)failed; /* then it waits for the next try as it is */
}

static enum cw_status close_file(struct salvage_file *file, enum cw_status status)
{
    if (file->file != NULL && fclose(file->file) != 0 && status == CW_OK) {
        file->error = errno;
        status = CW_IO;
    }
    if (status != CW_OK && file->file != NULL)
        give_back(file->part);
    return status;
}

/* *error: errno of what failed, or 0. */
static enum cw_status salvage_once(const struct cw_store_group *group, struct cw_salvage *salvage,
                                   const char *directory, const char *part, bool is_last_try, int *error)
{
    struct cw_superblock superblock;
    struct cw_recovery_report report;
    struct salvage_file file = {.wanted = salvage, .superblock = &superblock, .part = part};
    enum cw_status status = read_superblock(&group->journal, &superblock);
    if (status == CW_OK)
        status = cw_scan_journal(&group->journal, &superblock, salvage_record, &file, &report);
    salvage->first = file.head.first;
    salvage->lacks_some = status == CW_OK && !has_all(&file);
    if (status == CW_OK && file.file != NULL && (!salvage->lacks_some || is_last_try)) {
        file.head.lacks_some = salvage->lacks_some;
        fill_reigns(&file, &report);
        fill_head(&file, group);
        status = write_head(&file) ? CW_OK : CW_IO;
    }
    bool is_named = status == CW_OK && (!salvage->lacks_some || is_last_try);
    status = close_file(&file, status);
    if (status == CW_OK && is_named && file.head.records > 0 && !name_file(&file, salvage, directory)) {
        give_back(part);
        status = CW_IO;
    }
    *error = file.error;
    return status;
}

enum cw_status cw_salvage_do(const struct cw_store_group *group, struct cw_salvage *salvage,
                             const char *directory, char *why, size_t why_size)
{
    char part[sizeof salvage->path];
    int error = 0;
    snprintf(part, sizeof part, "%s/salvage-%s.part", directory, group->name);
    enum cw_status status = salvage_once(group, salvage, directory, part, false, &error);
    if (status == CW_OK && salvage->lacks_some) /* a read that failed may succeed */
        status = salvage_once(group, salvage, directory, part, true, &error);
    if (status != CW_OK)
        snprintf(why, why_size, "records above %" PRIu64 " cannot be kept in %s: %s", salvage->above,
                 directory, error ? strerror(error) : cw_status_name(status));
    if (status != CW_OK || salvage->first == 0)
        salvage->path[0] = 0;
    return status;
}
