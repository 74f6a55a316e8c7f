/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing the journal. A line is there when it is synced; one that could not be written is cut off again, so that the
 * file ends with a whole line as long as the disk lets it.
 */
#include "nic-config/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nic-config/before.h"
#include "nic-config/journal_file.h"

#define PART ".part"
#define OTHERS_MAX                                                                                           \
    393216 /* bytes of all lines that begin no step: of each done, and undone with what is left */
#define BEFORE_ROOM 16384 /* what a step keeps, as far as one can know before it does */

static enum cw_status failed(const struct cw_undo_journal *journal, const char *name, int error, char *why,
                             size_t why_size)
{
    bool is_full = error == ENOSPC || error == EDQUOT;
    return cw_undo_why(is_full ? CW_NO_SPACE : CW_IO, why, why_size, "%s/%s: %s", journal->path, name,
                       strerror(error));
}

/* ---------------------------------------------------------------- the folder and its lock */

static int sync_folder_above(const char *path)
{
    char above[CW_FACT_PATH];
    snprintf(above, sizeof above, "%s", path);
    char *slash = strrchr(above, '/');
    if (!slash)
        return 0;
    slash[slash == above] = 0;
    int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

/* 0 or an errno. One that was made is there also after a power loss. */
static int make_one_folder(const char *path, mode_t mode)
{
    if (mkdir(path, mode) != 0)
        return errno == EEXIST ? 0 : errno;
    return sync_folder_above(path);
}

static int make_folder(const char *path)
{
    char part[CW_FACT_PATH];
    int error = 0;
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash && !error; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        error = make_one_folder(part, 0755);
        *slash = '/';
    }
    return error ? error : make_one_folder(path, 0700);
}

/* 0 or an errno. EWOULDBLOCK: somebody else has it; ESTALE: it was removed meanwhile. */
static int lock_folder(struct cw_undo_journal *journal, int how)
{
    struct stat ours, theirs;
    journal->folder = open(journal->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (journal->folder < 0)
        return errno;
    if (flock(journal->folder, how | LOCK_NB) != 0)
        return errno;
    if (fstat(journal->folder, &ours) != 0)
        return errno;
    if (ours.st_uid != geteuid() || (ours.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return EPERM;
    bool is_it =
        stat(journal->path, &theirs) == 0 && ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
    return is_it ? 0 : ESTALE;
}

static enum cw_status open_folder(struct cw_undo_journal *journal, enum cw_undo_purpose purpose, char *why,
                                  size_t why_size)
{
    bool may_create = purpose == CW_UNDO_CREATE;
    int error = ESTALE;
    bool is_again = true;
    for (int tries = 0; is_again && tries < 8; tries++) {
        if (journal->folder >= 0)
            close(journal->folder);
        journal->folder = -1;
        error = may_create ? make_folder(journal->path) : 0;
        if (!error)
            error = lock_folder(journal, purpose == CW_UNDO_LOOK ? LOCK_SH : LOCK_EX);
        /* It was there a moment ago: somebody else has just removed it; or it is a link that leads nowhere. */
        is_again = error == ESTALE || (error == ENOENT && may_create);
    }
    if (error == 0)
        return CW_OK;
    if (journal->folder >= 0)
        close(journal->folder);
    journal->folder = -1;
    if (error == ENOENT && !may_create)
        return cw_undo_why(CW_NOT_FOUND, why, why_size, "nothing was applied");
    if (error == EWOULDBLOCK || error == ESTALE)
        return cw_undo_why(CW_REFUSED, why, why_size,
                           "another causeway nic is at work (it has the lock of %s): wait until it has ended",
                           journal->path);
    if (error == EPERM)
        return cw_undo_why(
            CW_IO, why, why_size,
            "%s: belongs to somebody else, or others may write it: what it says is not believed",
            journal->path);
    return cw_undo_why(CW_IO, why, why_size, "%s: %s", journal->path, strerror(error));
}

static enum cw_status open_file(struct cw_undo_journal *journal, enum cw_undo_purpose purpose, char *why,
                                size_t why_size)
{
    static const int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    bool is_written = purpose != CW_UNDO_LOOK && geteuid() == 0;
    if (!cw_undo_is_file(journal, CW_JOURNAL_FILE, why, why_size))
        return CW_IO;
    journal->file = openat(journal->folder, CW_JOURNAL_FILE, (is_written ? O_RDWR : O_RDONLY) | flags);
    /* A disk that failed is mounted so, and that is when its machine is given back. */
    journal->is_read_only = journal->file < 0 && errno == EROFS && purpose == CW_UNDO_CHANGE;
    if (journal->is_read_only)
        journal->file = openat(journal->folder, CW_JOURNAL_FILE, O_RDONLY | flags);
    if (journal->file >= 0)
        return CW_OK;
    return errno == ENOENT ? CW_NOT_FOUND : failed(journal, CW_JOURNAL_FILE, errno, why, why_size);
}

static enum cw_status read_folder(struct cw_undo_journal *journal, enum cw_undo_purpose purpose, char *why,
                                  size_t why_size)
{
    char *marks = NULL;
    enum cw_status status = open_file(journal, purpose, why, why_size);
    bool is_there = status == CW_OK;
    if (is_there || status == CW_NOT_FOUND)
        status = cw_undo_read_marks(journal, &marks, why, why_size);
    if (is_there && status == CW_OK)
        status = cw_undo_read(journal, why, why_size);
    if (status == CW_OK)
        status = cw_undo_check_marks(journal, marks, why, why_size);
    free(marks);
    if (is_there || status != CW_OK)
        return status;
    journal->is_bare = purpose != CW_UNDO_LOOK;
    return cw_undo_why(CW_NOT_FOUND, why, why_size, "nothing was applied");
}

enum cw_status cw_undo_open(const char *folder, enum cw_undo_purpose purpose, struct cw_undo_journal **opened,
                            char *why, size_t why_size)
{
    struct cw_undo_journal *journal = calloc(1, sizeof *journal);
    *opened = NULL;
    if (journal)
        journal->steps = calloc(CW_JOURNAL_STEPS_MAX, sizeof *journal->steps);
    if (!journal || !journal->steps) {
        free(journal);
        return cw_undo_why(CW_NO_SPACE, why, why_size, "no memory");
    }
    journal->folder = journal->file = journal->marks = -1;
    snprintf(journal->path, sizeof journal->path, "%s", folder);
    enum cw_status status = open_folder(journal, purpose, why, why_size);
    if (status == CW_OK)
        status = read_folder(journal, purpose, why, why_size);
    if (purpose == CW_UNDO_LOOK &&
        journal->folder >= 0) { /* it has been read, and to tell of it may take long */
        close(journal->folder);
        journal->folder = -1;
    }
    if (status == CW_OK || (status == CW_NOT_FOUND && purpose == CW_UNDO_CREATE))
        *opened = journal;
    else
        cw_undo_close(journal);
    return status;
}

static void drop_steps(struct cw_undo_journal *journal)
{
    for (uint32_t i = 0; i < journal->count; i++)
        json_decref(journal->steps[i].before);
    journal->count = 0;
}

/* What is left of an apply that was killed before it had a journal, or of a revert after it. */
static void remove_rest(struct cw_undo_journal *journal)
{
    (void)unlinkat(journal->folder, CW_JOURNAL_FILE PART, 0);
    (void)unlinkat(journal->folder, CW_WISH_FILE PART, 0);
    (void)unlinkat(journal->folder, CW_WISH_FILE, 0);
    (void)unlinkat(journal->folder, CW_MARKS_FILE, 0); /* none in it is whole */
    (void)rmdir(journal->path);                        /* stays where there is something else in it */
}

void cw_undo_close(struct cw_undo_journal *journal)
{
    if (!journal)
        return;
    if (journal->is_bare)
        remove_rest(journal);
    if (journal->file >= 0)
        close(journal->file);
    if (journal->marks >= 0)
        close(journal->marks);
    if (journal->folder >= 0)
        close(journal->folder);
    drop_steps(journal);
    free(journal->steps);
    free(journal);
}

/* ---------------------------------------------------------------- lines */

/* 0 or an errno. */
static int write_at(int file, const char *text, size_t length, off_t at)
{
    while (length > 0) {
        ssize_t bytes = pwrite(file, text, length, at);
        if (bytes < 0 && errno != EINTR)
            return errno;
        text += bytes > 0 ? bytes : 0;
        at += bytes > 0 ? bytes : 0;
        length -= bytes > 0 ? (size_t)bytes : 0;
    }
    return 0;
}

/* Writes a line at *size, which moves with the sum, and syncs it if so asked. The line is taken. 0 or an errno. */
static int put_line(int file, off_t *size, uint64_t *sum, json_t *line, bool is_synced)
{
    static char text[CW_JOURNAL_LINE_MAX + 1];
    size_t length = json_dumpb(line, text, sizeof text, JSON_COMPACT);
    bool is_there = line != NULL;
    json_decref(line);
    if (!is_there || length == 0)
        return EILSEQ; /* not UTF-8 */
    if (length + 32 > CW_JOURNAL_LINE_MAX)
        return EMSGSIZE;
    uint64_t next = cw_undo_sum(*sum, text, length - 1); /* without its } */
    length += (size_t)snprintf(text + length - 1, 32, ",\"sum\":\"%016" PRIx64 "\"}\n", next) - 1;
    int error = write_at(file, text, length, *size);
    if (!error && is_synced && fsync(file) != 0)
        error = errno;
    if (!error) {
        *size += (off_t)length;
        *sum = next;
    }
    return error;
}

/* What a writer that was killed, or a full disk, has left behind the last whole line. 0 or an errno. */
static int cut_torn(struct cw_undo_journal *journal)
{
    char last = '\n';
    if (!journal->is_torn)
        return 0;
    if (ftruncate(journal->file, journal->size) != 0)
        return errno;
    if (pread(journal->file, &last, 1, journal->size - 1) != 1)
        return errno;
    int error = last == '\n' ? 0 : write_at(journal->file, "\n", 1, journal->size);
    if (error)
        return error;
    journal->size += last != '\n';
    journal->is_torn = false;
    return 0;
}

/* step: that it begins, or NULL. */
static enum cw_status append(struct cw_undo_journal *journal, json_t *line, const struct cw_step *step,
                             char *why, size_t why_size)
{
    int error = journal->is_read_only ? EROFS : cut_torn(journal);
    if (error) {
        json_decref(line);
        return failed(journal, CW_JOURNAL_FILE, error, why, why_size);
    }
    error = put_line(journal->file, &journal->size, &journal->sum, line, true);
    if (error) {
        journal->is_torn = true;
        (void)cut_torn(journal); /* and if not: with the next line, or never counted */
        return failed(journal, CW_JOURNAL_FILE, error, why, why_size);
    }
    cw_undo_mark(journal, step);
    return CW_OK;
}

/* ---------------------------------------------------------------- the beginning */

/* Opens NAME.part anew. -1 with words. */
static int open_part(struct cw_undo_journal *journal, const char *name, char *why, size_t why_size)
{
    char part[64];
    snprintf(part, sizeof part, "%s" PART, name);
    (void)unlinkat(journal->folder, part, 0);
    int fd = openat(journal->folder, part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        (void)failed(journal, part, errno, why, why_size);
    return fd;
}

/* The part is the file from now on, also after a power loss. 0 or an errno: the part is gone then. */
static int name_part(struct cw_undo_journal *journal, int fd, const char *name)
{
    char part[64];
    snprintf(part, sizeof part, "%s" PART, name);
    int error = fsync(fd) == 0 ? 0 : errno;
    if (!error && renameat(journal->folder, part, journal->folder, name) != 0)
        error = errno;
    if (error)
        (void)unlinkat(journal->folder, part, 0);
    else if (fsync(journal->folder) != 0)
        error = errno;
    return error;
}

static enum cw_status write_wish(struct cw_undo_journal *journal, const char *wish, size_t length, char *why,
                                 size_t why_size)
{
    int fd = open_part(journal, CW_WISH_FILE, why, why_size);
    if (fd < 0)
        return CW_IO;
    int error = write_at(fd, wish, length, 0);
    if (!error)
        error = name_part(journal, fd, CW_WISH_FILE);
    close(fd);
    return error ? failed(journal, CW_WISH_FILE, error, why, why_size) : CW_OK;
}

static json_t *head_line(const struct cw_journal_head *head)
{
    json_t *paths = json_array();
    for (uint32_t i = 0; i < head->path_count; i++)
        json_array_append_new(paths, json_pack("{s:s,s:s,s:s}", "name", head->paths[i].name, "card",
                                               head->paths[i].card, "identity", head->paths[i].identity));
    return json_pack("{s:i,s:s,s:s,s:s,s:o}", "causeway-nic", CW_JOURNAL_FORMAT, "boot", head->boot, "wish",
                     head->wish, "wish_file", head->wish_file, "paths", paths);
}

static json_t *begin_line(const struct cw_journal_step *step, uint32_t index)
{
    return json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:O,s:s}", "begin", (int)index, "kind",
                     cw_step_names[step->step.kind], "subject", step->step.subject, "value", step->step.value,
                     "why", step->step.why, "interface", step->step.interface, "before", step->before, "boot",
                     step->boot);
}

/* All of it into a new file, which takes the old one's place. */
static enum cw_status write_anew(struct cw_undo_journal *journal, char *why, size_t why_size)
{
    off_t size = 0;
    uint64_t sum = 0;
    int fd = open_part(journal, CW_JOURNAL_FILE, why, why_size);
    if (fd < 0)
        return CW_IO;
    int error = put_line(fd, &size, &sum, head_line(&journal->head), false);
    for (uint32_t i = 0; !error && i < journal->count; i++) {
        error = put_line(fd, &size, &sum, begin_line(&journal->steps[i], i), false);
        if (!error && journal->steps[i].is_done)
            error = put_line(fd, &size, &sum, json_pack("{s:i}", "done", (int)i), false);
    }
    if (!error && journal->applied[0])
        error = put_line(fd, &size, &sum, json_pack("{s:s}", "applied", journal->applied), false);
    if (!error)
        error = cw_undo_drop_marks(journal);
    if (!error)
        error = name_part(journal, fd, CW_JOURNAL_FILE);
    if (error) {
        close(fd);
        return failed(journal, CW_JOURNAL_FILE, error, why, why_size);
    }
    if (journal->file >= 0)
        close(journal->file);
    journal->file = fd;
    journal->size = size;
    journal->sum = sum;
    journal->is_torn = false;
    cw_undo_mark(journal, NULL);
    return CW_OK;
}

enum cw_status cw_undo_start(struct cw_undo_journal *journal, struct cw_journal_head *head, const char *wish,
                             size_t length, char *why, size_t why_size)
{
    cw_wish_hash(wish, length, head->wish);
    journal->head = *head;
    enum cw_status status = write_wish(journal, wish, length, why, why_size);
    if (status == CW_OK)
        status = write_anew(journal, why, why_size);
    if (status == CW_OK)
        journal->is_bare = false;
    else /* it may have its name, and not be synced */
        (void)unlinkat(journal->folder, CW_JOURNAL_FILE, 0);
    return status;
}

char *cw_undo_wish(const struct cw_undo_journal *journal, size_t *length, char *why, size_t why_size)
{
    char hash[CW_WISH_HASH];
    if (!cw_undo_is_file(journal, CW_WISH_FILE, why, why_size))
        return NULL;
    int fd = openat(journal->folder, CW_WISH_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        (void)failed(journal, CW_WISH_FILE, errno, why, why_size);
        return NULL;
    }
    char *text = cw_undo_slurp(journal, fd, CW_WISH_FILE, CW_WISH_BYTES_MAX, length, why, why_size);
    close(fd);
    if (!text)
        return NULL;
    cw_wish_hash(text, *length, hash);
    if (strcmp(hash, journal->head.wish) == 0)
        return text;
    free(text);
    snprintf(why, why_size, "%s/%s is not the wish that was applied: somebody has changed it", journal->path,
             CW_WISH_FILE);
    return NULL;
}

/* ---------------------------------------------------------------- events */

enum cw_status cw_undo_reserve(struct cw_undo_journal *journal, const struct cw_step *steps, uint32_t count,
                               char *why, size_t why_size)
{
    off_t bytes = OTHERS_MAX;
    if (count > CW_JOURNAL_STEPS_MAX - journal->count)
        return cw_undo_why(CW_NO_SPACE, why, why_size,
                           "%s/%s has %u steps, and there is room for %u: causeway nic revert, then apply",
                           journal->path, CW_JOURNAL_FILE, journal->count, CW_JOURNAL_STEPS_MAX);
    for (uint32_t i = 0; i < count; i++)
        bytes += (off_t)(2 * strlen(steps[i].value) + strlen(steps[i].why) + BEFORE_ROOM);
    if (fallocate(journal->file, FALLOC_FL_KEEP_SIZE, journal->size, bytes) == 0)
        return CW_OK;
    bool is_full = errno == ENOSPC || errno == EDQUOT; /* else: this file system promises nothing */
    return is_full ? failed(journal, CW_JOURNAL_FILE, errno, why, why_size) : CW_OK;
}

enum cw_status cw_undo_begin(struct cw_undo_journal *journal, const struct cw_step *step, json_t *before,
                             const char *boot, char *why, size_t why_size)
{
    bool is_full = journal->count == CW_JOURNAL_STEPS_MAX ||
                   journal->size > (off_t)(CW_JOURNAL_BYTES_MAX - CW_JOURNAL_LINE_MAX - OTHERS_MAX);
    if (is_full) {
        json_decref(before);
        return cw_undo_why(CW_NO_SPACE, why, why_size, "%s/%s is full: causeway nic revert, then apply",
                           journal->path, CW_JOURNAL_FILE);
    }
    struct cw_journal_step *next = &journal->steps[journal->count];
    *next = (struct cw_journal_step){.step = *step, .before = before};
    snprintf(next->boot, sizeof next->boot, "%s", boot);
    enum cw_status status = append(journal, begin_line(next, journal->count), step, why, why_size);
    if (status == CW_OK)
        journal->count++;
    else
        json_decref(before);
    return status;
}

enum cw_status cw_undo_done(struct cw_undo_journal *journal, uint32_t index, char *why, size_t why_size)
{
    enum cw_status status = append(journal, json_pack("{s:i}", "done", (int)index), NULL, why, why_size);
    journal->steps[index].is_done = journal->steps[index].is_done || status == CW_OK;
    return status;
}

enum cw_status cw_undo_applied(struct cw_undo_journal *journal, const char *boot, char *why, size_t why_size)
{
    enum cw_status status = append(journal, json_pack("{s:s}", "applied", boot), NULL, why, why_size);
    if (status == CW_OK) {
        snprintf(journal->applied, sizeof journal->applied, "%s", boot);
        journal->applied_count = journal->count;
    }
    return status;
}

enum cw_status cw_undo_reverting(struct cw_undo_journal *journal, char *why, size_t why_size)
{
    if (journal->is_reverting)
        return CW_OK;
    enum cw_status status = append(journal, json_pack("{s:b}", "reverting", 1), NULL, why, why_size);
    journal->is_reverting = status == CW_OK;
    return status;
}

enum cw_status cw_undo_undone(struct cw_undo_journal *journal, uint32_t index, const char *left, char *why,
                              size_t why_size)
{
    struct cw_journal_step *step = &journal->steps[index];
    step->is_undone = true; /* it is, whatever the disk says */
    snprintf(step->left, sizeof step->left, "%s", left);
    json_t *line = json_pack("{s:i}", "undone", (int)index),
           *words = left[0] ? json_string(step->left) : NULL;
    if (words) /* not UTF-8: it is said now, and not kept */
        json_object_set_new(line, "left", words);
    return append(journal, line, NULL, why, why_size);
}

/* What the machine had before us, which no later boot than this one knows any more: kept once for each interface. */
static bool is_last_give_up(const struct cw_undo_journal *journal, uint32_t index, const char *boot)
{
    const struct cw_journal_step *step = &journal->steps[index];
    if (step->step.kind != CW_STEP_GIVE_UP)
        return false;
    for (uint32_t i = index + 1; i < journal->count; i++)
        if (journal->steps[i].step.kind == CW_STEP_GIVE_UP && strcmp(journal->steps[i].boot, boot) != 0 &&
            cw_before_is_same_interface(journal->steps[i].before, step->before))
            return false;
    return true;
}

enum cw_status cw_undo_shorten(struct cw_undo_journal *journal, const char *boot, char *why, size_t why_size)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < journal->count; i++) {
        struct cw_journal_step *step = &journal->steps[i];
        bool is_gone = cw_step_is_volatile(&step->step) && strcmp(step->boot, boot) != 0;
        if (is_gone && !is_last_give_up(journal, i, boot))
            json_decref(step->before);
        else
            journal->steps[kept++] = *step;
    }
    if (kept == journal->count)
        return CW_OK;
    journal->count = kept;
    journal->applied_count = kept;
    return write_anew(journal, why, why_size);
}

enum cw_status cw_undo_remove(struct cw_undo_journal *journal, char *why, size_t why_size)
{
    int error = cw_undo_drop_marks(journal);
    if (error)
        return failed(journal, CW_MARKS_FILE, error, why, why_size);
    if (unlinkat(journal->folder, CW_JOURNAL_FILE, 0) != 0 && errno != ENOENT)
        return failed(journal, CW_JOURNAL_FILE, errno, why, why_size);
    if (journal->file >= 0)
        close(journal->file);
    journal->file = -1;
    drop_steps(journal);
    journal->is_bare = true;
    /* First the one, then the rest: a wish without a journal is nothing, a journal without a wish is. */
    if (fsync(journal->folder) != 0)
        return failed(journal, CW_JOURNAL_FILE, errno, why, why_size);
    return CW_OK;
}
