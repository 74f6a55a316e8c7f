/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading the journal. It is undone as root, word by word, so nothing in it is taken that was not written by us: each
 * line has to have its sum, every key its kind, every number its turn.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "nic-config/journal_file.h"

#define SUM_KEY   ",\"sum\":\""
#define SUM_CHARS (sizeof SUM_KEY - 1 + 16 + 2) /* and "} */

uint64_t cw_undo_sum(uint64_t before, const char *line, size_t length)
{
    uint64_t both[2] = {before, cw_hash64(line, length)};
    return cw_hash64(both, sizeof both);
}

void cw_wish_hash(const char *text, size_t length, char hash[CW_WISH_HASH])
{
    snprintf(hash, CW_WISH_HASH, "%016" PRIx64, cw_hash64(text, length));
}

/* ---------------------------------------------------------------- one line */

/* What the sum of a line has to be. */
static uint64_t sum_of(const char *line, size_t length, uint64_t before)
{
    return length > SUM_CHARS ? cw_undo_sum(before, line, length - SUM_CHARS) : 0;
}

/* A line with the right sum and nothing behind it. */
static bool is_whole(const char *line, size_t length, uint64_t before)
{
    char end[SUM_CHARS + 1];
    if (length <= SUM_CHARS)
        return false;
    snprintf(end, sizeof end, SUM_KEY "%016" PRIx64 "\"}", sum_of(line, length, before));
    return memcmp(line + length - SUM_CHARS, end, SUM_CHARS) == 0;
}

static bool take_text(const json_t *from, const char *key, char *to, size_t size)
{
    const char *text = json_string_value(json_object_get(from, key));
    if (!text || strlen(text) >= size)
        return false;
    snprintf(to, size, "%s", text);
    return true;
}

/* A number of a step that there is. */
static bool take_index(const struct cw_undo_journal *journal, const json_t *value, uint32_t *index)
{
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number < 0 || number >= (json_int_t)journal->count)
        return false;
    *index = (uint32_t)number;
    return true;
}

static bool take_path(struct cw_journal_head *head, const json_t *from)
{
    if (head->path_count == CW_WISH_PATHS_MAX)
        return false;
    struct cw_journal_path *path = &head->paths[head->path_count++];
    return take_text(from, "name", path->name, sizeof path->name) &&
           take_text(from, "card", path->card, sizeof path->card) &&
           take_text(from, "identity", path->identity, sizeof path->identity) && json_object_size(from) == 3;
}

static const char *take_head(struct cw_undo_journal *journal, const json_t *line)
{
    struct cw_journal_head *head = &journal->head;
    const json_t *paths = json_object_get(line, "paths");
    bool is_right = take_text(line, "boot", head->boot, sizeof head->boot) &&
                    take_text(line, "wish", head->wish, sizeof head->wish) &&
                    take_text(line, "wish_file", head->wish_file, sizeof head->wish_file) &&
                    json_is_array(paths) && json_object_size(line) == 6;
    for (size_t i = 0; is_right && i < json_array_size(paths); i++)
        is_right = take_path(head, json_array_get(paths, i));
    return is_right ? NULL : "is no first line of a journal";
}

static bool take_kind(const json_t *line, enum cw_step_kind *kind)
{
    const char *name = json_string_value(json_object_get(line, "kind"));
    for (int i = 0; name && i < CW_STEP_COUNT; i++) {
        if (strcmp(name, cw_step_names[i]) == 0) {
            *kind = (enum cw_step_kind)i;
            return true;
        }
    }
    return false;
}

static const char *take_begin(struct cw_undo_journal *journal, const json_t *line)
{
    const json_t *number = json_object_get(line, "begin");
    if (journal->count == CW_JOURNAL_STEPS_MAX)
        return "is one step too many";
    if (!json_is_integer(number) || json_integer_value(number) != (json_int_t)journal->count)
        return "begins a step out of its turn";
    struct cw_journal_step *step = &journal->steps[journal->count];
    bool is_right = take_kind(line, &step->step.kind) &&
                    take_text(line, "subject", step->step.subject, sizeof step->step.subject) &&
                    take_text(line, "value", step->step.value, sizeof step->step.value) &&
                    take_text(line, "why", step->step.why, sizeof step->step.why) &&
                    take_text(line, "interface", step->step.interface, sizeof step->step.interface) &&
                    take_text(line, "boot", step->boot, sizeof step->boot) && json_object_size(line) == 9;
    if (!is_right || !json_object_get(line, "before"))
        return "is no step that this version knows";
    step->before = json_incref(json_object_get(line, "before"));
    journal->count++;
    return NULL;
}

static const char *take_left(struct cw_undo_journal *journal, const json_t *line)
{
    uint32_t index;
    bool is_right =
        json_object_size(line) == 3 && take_index(journal, json_object_get(line, "undone"), &index);
    if (is_right)
        is_right = take_text(line, "left", journal->steps[index].left, sizeof journal->steps[index].left);
    if (!is_right)
        return "is no event that this version knows";
    journal->steps[index].is_undone = true;
    return NULL;
}

static const char *take_event(struct cw_undo_journal *journal, const json_t *line)
{
    uint32_t index;
    if (json_object_get(line, "begin"))
        return take_begin(journal, line);
    if (json_object_get(line, "left"))
        return take_left(journal, line);
    if (json_object_size(line) != 2)
        return "is no event that this version knows";
    if (take_index(journal, json_object_get(line, "done"), &index)) {
        journal->steps[index].is_done = true;
        return NULL;
    }
    if (take_index(journal, json_object_get(line, "undone"), &index)) {
        journal->steps[index].is_undone = true;
        return NULL;
    }
    if (take_text(line, "applied", journal->applied, sizeof journal->applied)) {
        journal->applied_count = journal->count;
        return NULL;
    }
    journal->is_reverting = journal->is_reverting || json_is_true(json_object_get(line, "reverting"));
    return json_is_true(json_object_get(line, "reverting")) ? NULL : "is no event that this version knows";
}

/* ---------------------------------------------------------------- all of them */

static enum cw_status check_version(const json_t *line, char *why, size_t why_size)
{
    const json_t *format = json_object_get(line, "causeway-nic");
    if (!json_is_integer(format))
        return cw_undo_why(CW_CORRUPT, why, why_size, "is no first line of a journal");
    if (json_integer_value(format) != CW_JOURNAL_FORMAT)
        return cw_undo_why(CW_INVALID, why, why_size,
                           "is of format %" JSON_INTEGER_FORMAT
                           ", and this version knows %d: revert with the "
                           "version that applied it",
                           json_integer_value(format), CW_JOURNAL_FORMAT);
    return CW_OK;
}

static enum cw_status take_line(struct cw_undo_journal *journal, const char *text, size_t length,
                                bool is_first, char *why, size_t why_size)
{
    enum cw_status status = CW_OK;
    const char *wrong = NULL;
    json_t *line = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(line))
        wrong = "is no JSON object";
    else if (is_first)
        status = check_version(line, why, why_size);
    if (!wrong && status == CW_OK)
        wrong = is_first ? take_head(journal, line) : take_event(journal, line);
    json_decref(line);
    return wrong ? cw_undo_why(CW_CORRUPT, why, why_size, "%s", wrong) : status;
}

/* A line with bytes of 0, with which we write none, and nothing but such behind it: of one over several blocks the last may
 * have reached the disk before a power loss, and those before it not. It was not synced, so nothing was begun. */
static bool is_torn_by_zeros(const char *line, const char *end, const char *text_end)
{
    if (!memchr(line, 0, (size_t)(end - line)))
        return false;
    for (const char *at = end + 1; at < text_end; at++)
        if (*at != 0)
            return false;
    return true;
}

/* The line at *at. *is_over: it is the torn end. */
static enum cw_status next_line(struct cw_undo_journal *journal, const char *text, size_t length, size_t *at,
                                bool *is_over, char *why, size_t why_size)
{
    const char *line = text + *at, *end = memchr(line, '\n', length - *at);
    size_t size = end ? (size_t)(end - line) : length - *at;
    if (size > CW_JOURNAL_LINE_MAX)
        return cw_undo_why(CW_CORRUPT, why, why_size, "is longer than %u bytes", CW_JOURNAL_LINE_MAX);
    bool is_good = is_whole(line, size, journal->sum);
    /* Whole but for its end, and one byte that is not: what was synced is hidden behind it. */
    if (!end && size > 0 && is_whole(line, size - 1, journal->sum))
        return cw_undo_why(CW_CORRUPT, why, why_size, "has something else in the place of its end");
    *is_over = !is_good && (!end || is_torn_by_zeros(line, end, text + length));
    if (*is_over)
        return CW_OK;
    if (!is_good) { /* of another version the sum may be another, too */
        json_t *first = *at == 0 ? json_loadb(line, size, 0, NULL) : NULL;
        enum cw_status status = first ? check_version(first, why, why_size) : CW_OK;
        json_decref(first);
        return status == CW_INVALID ? status
                                    : cw_undo_why(CW_CORRUPT, why, why_size, "is not as it was written");
    }
    enum cw_status status = take_line(journal, line, size, *at == 0, why, why_size);
    if (status != CW_OK)
        return status;
    journal->sum = sum_of(line, size, journal->sum);
    journal->has_marked = journal->has_marked || (journal->is_marked && journal->sum == journal->marked);
    *at += size + (end != NULL);
    return CW_OK;
}

static enum cw_status read_lines(struct cw_undo_journal *journal, const char *text, size_t length, char *why,
                                 size_t why_size)
{
    size_t at = 0;
    bool is_over = false;
    for (unsigned number = 1; at < length && !is_over; number++) {
        char what[256];
        enum cw_status status = next_line(journal, text, length, &at, &is_over, what, sizeof what);
        if (status != CW_OK)
            return cw_undo_why(status, why, why_size, "%s/%s: line %u %s", journal->path, CW_JOURNAL_FILE,
                               number, what);
    }
    if (journal->head.wish[0] == 0) /* it gets its name when its first line is whole */
        return cw_undo_why(CW_CORRUPT, why, why_size, "%s/%s: line 1 is not there", journal->path,
                           CW_JOURNAL_FILE);
    journal->size = (off_t)at;
    journal->is_torn = at < length || (at > 0 && text[at - 1] != '\n');
    return CW_OK;
}

bool cw_undo_is_file(const struct cw_undo_journal *journal, const char *name, char *why, size_t why_size)
{
    struct stat about;
    if (fstatat(journal->folder, name, &about, AT_SYMLINK_NOFOLLOW) != 0 || S_ISREG(about.st_mode))
        return true;
    snprintf(why, why_size,
             "%s/%s: somebody has put %s in its place: find where the file is now, and move it back",
             journal->path, name,
             S_ISDIR(about.st_mode)    ? "a folder"
             : S_ISLNK(about.st_mode)  ? "a link"
             : S_ISFIFO(about.st_mode) ? "a FIFO"
                                       : "a device or a socket");
    return false;
}

char *cw_undo_slurp(const struct cw_undo_journal *journal, int file, const char *name, size_t limit,
                    size_t *length, char *why, size_t why_size)
{
    struct stat about;
    char words[160];
    const char *wrong = NULL;
    if (fstat(file, &about) != 0)
        wrong = strerror(errno);
    else if (!S_ISREG(about.st_mode))
        wrong = "is no file";
    else if (about.st_uid != geteuid() || (about.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        wrong = "could have been written by somebody else than who reverts, and is not believed";
    else if (about.st_size < 0 || (uint64_t)about.st_size > limit) {
        snprintf(words, sizeof words,
                 "has %lld bytes, and %zu are the most that we write: put back the file that we wrote, or "
                 "cut off what is not ours",
                 (long long)about.st_size, limit);
        wrong = words;
    }
    char *text = wrong ? NULL : malloc((size_t)about.st_size + 1);
    for (*length = 0; text && *length < (size_t)about.st_size;) {
        ssize_t bytes = pread(file, text + *length, (size_t)about.st_size - *length, (off_t)*length);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes <= 0) {
            wrong = bytes < 0 ? strerror(errno) : "has become shorter while it was read";
            free(text);
            text = NULL;
            break;
        }
        *length += (size_t)bytes;
    }
    if (text)
        text[*length] = 0;
    else
        snprintf(why, why_size, "%s/%s: %s", journal->path, name, wrong ? wrong : "no memory");
    return text;
}

enum cw_status cw_undo_read(struct cw_undo_journal *journal, char *why, size_t why_size)
{
    size_t length;
    char *text =
        cw_undo_slurp(journal, journal->file, CW_JOURNAL_FILE, CW_JOURNAL_BYTES_MAX, &length, why, why_size);
    if (!text)
        return CW_IO;
    enum cw_status status = read_lines(journal, text, length, why, why_size);
    free(text);
    return status;
}
