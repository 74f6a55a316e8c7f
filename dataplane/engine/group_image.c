/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Image files of a full copy, and salvage.
 *
 * A copy fills "PATH.copy" beside each volume's file, so that the old whole state stays until the new one is
 * whole; the switch is a rename over the old, and repeatable: a copy file that is gone has been switched
 * already. A copy that is given up is removed, durably. A device has no room beside it: it is overwritten,
 * and the superblock says so.
 *
 * A salvage file is the records above a sequence as they stand in the journal, header (64 bytes) and payload
 * one after the other, behind a line of text. It is read by `causeway salvage`, never by the engine.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "engine/group_start.h"
#include "replication/history.h"

static bool copy_path(const struct cw_store_volume *volume, char *path, size_t size)
{
    return (size_t)snprintf(path, size, "%s.copy", volume->file.path) < size;
}

/* The directory's entry is durable after this. */
static enum cw_status sync_directory(const char *path)
{
    char copy[600];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return CW_IO;
    enum cw_status status = fsync(fd) == 0 ? CW_OK : CW_IO;
    close(fd);
    return status;
}

static enum cw_status drop_copy(struct cw_store_volume *volume, const char *path, char *why, size_t why_size)
{
    if (volume->has_copy)
        cw_disk_close(&volume->copy);
    volume->has_copy = false;
    if (unlink(path) == 0 ? sync_directory(path) == CW_OK : errno == ENOENT) /* most often there is none */
        return CW_OK;
    snprintf(why, why_size, "%s, of a full copy that was given up, cannot be removed: %s", path,
             strerror(errno));
    return CW_IO;
}

static enum cw_status prepare(struct cw_store_volume *volume, const char *path, char *why, size_t why_size)
{
    enum cw_disk_fill fill = volume->is_thin ? CW_DISK_THIN : CW_DISK_RESERVE;
    enum cw_status status = drop_copy(volume, path, why, why_size);
    if (status == CW_OK)
        status = cw_disk_create(path, volume->size, fill, NULL, NULL, why, why_size);
    if (status == CW_OK)
        status = cw_disk_open(&volume->copy, path, why, why_size);
    if (status != CW_OK)
        return status;
    volume->copy.fault = &volume->fault;
    volume->has_copy = true;
    return CW_OK;
}

/* The open copy becomes the file; at start it is not open yet and the file is opened anew. */
static enum cw_status switch_over(struct cw_store_volume *volume, const char *path, char *why,
                                  size_t why_size)
{
    char name[sizeof volume->file.path];
    memcpy(name, volume->file.path, sizeof name);
    if (access(path, F_OK) != 0)
        return CW_OK;
    if (rename(path, name) != 0 || sync_directory(name) != CW_OK) {
        snprintf(why, why_size, "cannot rename %s to %s: %s", path, name, strerror(errno));
        return CW_IO;
    }
    cw_disk_close(&volume->file);
    if (!volume->has_copy) {
        enum cw_status status = cw_disk_open(&volume->file, name, why, why_size);
        volume->file.fault = &volume->fault;
        return status;
    }
    memcpy(volume->copy.path, name, sizeof name); /* before: a status may read the file's path meanwhile */
    volume->file = volume->copy;
    volume->has_copy = false;
    return CW_OK;
}

static enum cw_status image_of(struct cw_store_volume *volume, enum cw_image_op op, char *why,
                               size_t why_size)
{
    char path[600];
    if (!volume->is_used || volume->file.is_device)
        return CW_OK;
    if (!copy_path(volume, path, sizeof path))
        return CW_INVALID;
    switch (op) {
    case CW_IMAGE_PREPARE:
        return prepare(volume, path, why, why_size);
    case CW_IMAGE_SWITCH:
        return switch_over(volume, path, why, why_size);
    case CW_IMAGE_DISCARD:
        return drop_copy(volume, path, why, why_size);
    }
    return CW_INVALID;
}

enum cw_status cw_image_do(struct cw_store_group *group, enum cw_image_op op, char *why, size_t why_size)
{
    enum cw_status status = CW_OK;
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX && status == CW_OK; i++)
        status = image_of(&group->volumes[i], op, why, why_size);
    if (status != CW_OK && op == CW_IMAGE_PREPARE) {
        char unheard[1];
        for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++)
            (void)image_of(&group->volumes[i], CW_IMAGE_DISCARD, unheard, sizeof unheard);
    }
    return status;
}

/* ---------------------------------------------------------------- salvage */

struct salvage_file {
    const struct cw_salvage *wanted;
    const struct cw_superblock *superblock;
    FILE *file;
    uint64_t first;               /* written; 0: nothing yet */
    uint64_t run_first, run_last; /* unbroken, of those that count */
};

/* As a start does: a sequence that comes again belongs to the newer place. */
static void note_run(struct salvage_file *file, const struct cw_record *record)
{
    if (!cw_history_has(&file->superblock->history, record->sequence, record->epoch, record->reign))
        return;
    if (file->run_last == 0 || record->sequence > file->run_last + 1)
        file->run_first = record->sequence;
    file->run_first = CW_MIN(file->run_first, record->sequence);
    file->run_last = record->sequence;
}

static enum cw_status salvage_record(void *context, const struct cw_record *record, const uint8_t *payload,
                                     uint64_t position, uint32_t sectors)
{
    struct salvage_file *file = context;
    uint8_t header[CW_RECORD_HEADER_SIZE];
    if (record->sequence <= file->wanted->above)
        return CW_OK;
    if (file->file == NULL) {
        file->file = fopen(file->wanted->path, "wxe");
        if (file->file == NULL)
            return CW_IO;
        fprintf(file->file, "causeway salvage 1 group %u above %" PRIu64 "\n", record->group,
                file->wanted->above);
    }
    cw_record_encode(record, header);
    uint32_t length = cw_record_payload_length(record);
    bool is_written = fwrite(header, sizeof header, 1, file->file) == 1 &&
                      (length == 0 || fwrite(payload, length, 1, file->file) == 1);
    if (file->first == 0)
        file->first = record->sequence;
    note_run(file, record);
    return is_written ? CW_OK : CW_IO;
}

static enum cw_status finish_file(struct salvage_file *file)
{
    if (file->file == NULL)
        return CW_OK;
    bool is_good = fflush(file->file) == 0 && fsync(fileno(file->file)) == 0;
    is_good &= fclose(file->file) == 0;
    return is_good ? sync_directory(file->wanted->path) : CW_IO;
}

/* All that the superblock says is still in the ring, up to the last that was logged. */
static bool has_all(const struct salvage_file *file)
{
    uint64_t above = CW_MAX(file->wanted->above, file->superblock->tail_sequence);
    if (file->wanted->last <= above)
        return true;
    return file->run_last >= file->wanted->last && file->run_first <= above + 1;
}

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

static enum cw_status salvage_once(const struct cw_store_group *group, struct cw_salvage *salvage)
{
    struct cw_superblock superblock;
    struct salvage_file file = {.wanted = salvage, .superblock = &superblock};
    enum cw_status status = read_superblock(&group->journal, &superblock);
    if (status != CW_OK)
        return status;
    status = cw_scan_journal(&group->journal, &superblock, salvage_record, &file, NULL);
    enum cw_status end = finish_file(&file);
    salvage->first = file.first;
    salvage->lacks_some = !has_all(&file);
    return status == CW_OK ? end : status;
}

enum cw_status cw_salvage_do(const struct cw_store_group *group, struct cw_salvage *salvage,
                             const char *directory, char *why, size_t why_size)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(salvage->path, sizeof salvage->path, "%s/salvage-%s-%" PRIu64 "-%lld.%09ld", directory,
             group->name, salvage->above, (long long)now.tv_sec, now.tv_nsec);
    enum cw_status status = salvage_once(group, salvage);
    if (status == CW_OK && salvage->lacks_some) { /* a read that failed may succeed */
        if (salvage->first != 0)
            unlink(salvage->path);
        status = salvage_once(group, salvage);
    }
    if (status != CW_OK)
        snprintf(why, why_size, "records above %" PRIu64 " cannot be kept in %s: %s", salvage->above,
                 salvage->path, cw_status_name(status));
    if (salvage->first == 0)
        salvage->path[0] = 0;
    return status;
}
