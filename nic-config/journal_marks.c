/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether the journal is all there. The sums in its lines tell that one was changed, and not that the last ones are gone: what
 * is left is a journal as of a moment before, and who believed it would say that all is undone while a card is still
 * given away. So beside it lies `marks`, a line for each line of the journal: its sum, and which step it begins.
 *
 *     6d0c5b7a9f3e2814 begin bind 0000:03:00.0
 *     90aa1f3bd4e7c655 done
 *
 * A mark is written when its line is synced, so it never tells of what is not there. It may be behind: one that cannot be
 * written, or was lost, is no failure, but of what helps against others. A journal without marks, as versions before wrote
 * it, is taken as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nic-config/journal_file.h"

#define MARKS_BYTES_MAX 262144u
#define MARK_BYTES      (16 + sizeof " begin give-up " + CW_STEP_SUBJECT)
#define LIST_BYTES      512u

/* ---------------------------------------------------------------- one line of it */

struct mark {
    uint64_t sum;
    const char *step; /* "bind 0000:03:00.0", that it begins; NULL none */
    int step_length;
};

/* The line at text; its length with its end, or 0: there is none that is whole. */
static size_t take_mark(const char *text, struct mark *mark)
{
    static const char begin[] = " begin ";
    const char *end = strchr(text, '\n');
    if (!end || strspn(text, "0123456789abcdef") != 16 || text[16] != ' ')
        return 0;
    *mark = (struct mark){.sum = strtoull(text, NULL, 16)};
    if (strncmp(text + 16, begin, strlen(begin)) == 0) {
        mark->step = text + 16 + strlen(begin);
        mark->step_length = (int)(end - mark->step);
    }
    return (size_t)(end - text) + 1;
}

static size_t write_mark(char text[MARK_BYTES], uint64_t sum, const struct cw_step *step)
{
    int used = snprintf(text, MARK_BYTES, "%016" PRIx64 " ", sum);
    int more = step ? snprintf(text + used, MARK_BYTES - (size_t)used, "begin %s %s",
                               cw_step_names[step->kind], step->subject)
                    : snprintf(text + used, MARK_BYTES - (size_t)used, "done");
    size_t length = (size_t)used + (size_t)more < MARK_BYTES - 1 ? (size_t)(used + more) : MARK_BYTES - 2;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ')
            text[i] = '?';
    text[length] = '\n';
    return length + 1;
}

/* ---------------------------------------------------------------- read */

enum cw_status cw_undo_read_marks(struct cw_undo_journal *journal, char **text, char *why, size_t why_size)
{
    struct mark mark;
    size_t length, size;
    *text = NULL;
    if (!cw_undo_is_file(journal, CW_MARKS_FILE, why, why_size))
        return CW_IO;
    int fd = openat(journal->folder, CW_MARKS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? CW_OK
                               : cw_undo_why(CW_IO, why, why_size, "%s/%s: %s", journal->path, CW_MARKS_FILE,
                                             strerror(errno));
    *text = cw_undo_slurp(journal, fd, CW_MARKS_FILE, MARKS_BYTES_MAX, &length, why, why_size);
    close(fd);
    if (!*text)
        return CW_IO;
    journal->marks_size = 0;
    while ((size = take_mark(*text + journal->marks_size, &mark)) > 0) {
        journal->marks_size += (off_t)size;
        journal->marked = mark.sum;
        journal->is_marked = true;
    }
    return CW_OK;
}

struct missing {
    uint32_t lines;
    bool is_after; /* the line that the journal ends with has its mark */
    char steps[LIST_BYTES];
};

static void add_step(struct missing *missing, const struct mark *mark)
{
    size_t used = strlen(missing->steps);
    if (mark->step && used + (size_t)mark->step_length + 8 < LIST_BYTES)
        snprintf(missing->steps + used, LIST_BYTES - used, "%s%.*s", used ? ", " : "", mark->step_length,
                 mark->step);
    else if (mark->step && (used < 3 || strcmp(missing->steps + used - 3, "...") != 0))
        snprintf(missing->steps + used, LIST_BYTES - used, ", ...");
}

/* What is marked behind the line with this sum; of a journal that is gone, all. */
static void find_missing(const char *text, bool is_gone, uint64_t sum, struct missing *missing)
{
    struct mark mark;
    *missing = (struct missing){.is_after = is_gone};
    for (size_t size; (size = take_mark(text, &mark)) > 0; text += size) {
        if (missing->is_after) {
            missing->lines++;
            add_step(missing, &mark);
        }
        missing->is_after = missing->is_after || mark.sum == sum;
    }
}

enum cw_status cw_undo_check_marks(const struct cw_undo_journal *journal, const char *text, char *why,
                                   size_t why_size)
{
    struct missing missing;
    bool is_gone = journal->file < 0;
    if (!journal->is_marked || journal->has_marked)
        return CW_OK;
    find_missing(text, is_gone, journal->sum, &missing);
    if (!missing.is_after)
        return cw_undo_why(CW_STALE, why, why_size,
                           "%s/%s is not the one that %s beside it was written with: an older one perhaps",
                           journal->path, CW_JOURNAL_FILE, CW_MARKS_FILE);
    return cw_undo_why(CW_STALE, why, why_size, "%s/%s: %s%u line%s %s missing, as %s beside it tells%s%s",
                       journal->path, CW_JOURNAL_FILE, is_gone ? "all of its " : "of its end ", missing.lines,
                       missing.lines == 1 ? "" : "s", missing.lines == 1 ? "is" : "are", CW_MARKS_FILE,
                       missing.steps[0] ? ", which began these steps: " : "; they began no step",
                       missing.steps);
}

/* ---------------------------------------------------------------- written */

static void close_marks(struct cw_undo_journal *journal)
{
    if (journal->marks >= 0)
        close(journal->marks);
    journal->marks = -1;
}

/* Ready for the next one, without what is not whole. false: they stay as they are, which does no harm. */
static bool open_marks(struct cw_undo_journal *journal)
{
    if (journal->marks >= 0)
        return true;
    journal->marks =
        openat(journal->folder, CW_MARKS_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (journal->marks >= 0 && ftruncate(journal->marks, journal->marks_size) == 0)
        return true;
    close_marks(journal);
    return false;
}

static bool put_mark(const struct cw_undo_journal *journal, const char *text, size_t length)
{
    size_t put = 0;
    while (put < length) {
        ssize_t bytes = pwrite(journal->marks, text + put, length - put, journal->marks_size + (off_t)put);
        if (bytes < 0 && errno != EINTR)
            return false;
        put += bytes > 0 ? (size_t)bytes : 0;
    }
    return fsync(journal->marks) == 0;
}

void cw_undo_mark(struct cw_undo_journal *journal, const struct cw_step *step)
{
    char text[MARK_BYTES];
    size_t length = write_mark(text, journal->sum, step);
    if (journal->marks_size + (off_t)length > (off_t)MARKS_BYTES_MAX && cw_undo_drop_marks(journal) != 0)
        return;
    if (!open_marks(journal))
        return;
    if (put_mark(journal, text, length))
        journal->marks_size += (off_t)length;
    else
        close_marks(journal); /* what there is of it goes when they are opened again */
}

int cw_undo_drop_marks(struct cw_undo_journal *journal)
{
    close_marks(journal);
    journal->marks_size = 0;
    if (unlinkat(journal->folder, CW_MARKS_FILE, 0) != 0)
        return errno == ENOENT ? 0 : errno;
    return fsync(journal->folder) == 0 ? 0 : errno;
}
