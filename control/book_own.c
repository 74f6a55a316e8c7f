/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/book_own.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "control/book_sqlite.h"

#define TRY_NS     (10 * CW_SECOND) /* doubled each time, as a disk may be full for days */
#define TRY_NS_MAX (600 * CW_SECOND)
#define TRY_MS     20u /* for a lock, while the controller has other things to do */
#define LOOK_NS    (5 * CW_SECOND)
#define LOCKED_NS  (3 * CW_SECOND) /* for so long what is not taken is only told on stderr */
#define MOVE_NS    (600 * CW_SECOND)

__attribute__((format(printf, 3, 4))) static void tell(struct cw_own_book *own, int level, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(own->news, sizeof own->news, format, arguments);
    va_end(arguments);
    own->level = level;
}

static void remember(struct cw_own_book *own)
{
    struct stat about = {0};
    (void)stat(own->file, &about);
    own->device = (uint64_t)about.st_dev;
    own->inode = (uint64_t)about.st_ino;
}

/* ---------------------------------------------------------------- aside */

/* With what SQLite keeps beside it, under names by which it belongs together. */
static bool rename_all(const struct cw_own_book *own)
{
    static const char *const parts[] = {"-wal", "-shm"};
    if (rename(own->file, own->moved) < 0)
        return false;
    for (size_t i = 0; i < CW_COUNT_OF(parts); i++) {
        char from[sizeof own->file + 8], to[sizeof own->moved + 8];
        snprintf(from, sizeof from, "%s%s", own->file, parts[i]);
        snprintf(to, sizeof to, "%s%s", own->moved, parts[i]);
        if (rename(from, to) < 0 && errno != ENOENT)
            return false;
    }
    return true;
}

/* false: it stays where it is. A disk that damages one file after another is not filled with them. */
static bool move_aside(struct cw_own_book *own, const char *why, uint64_t now_ns)
{
    struct timespec now;
    struct tm utc;
    char stamp[24], before[sizeof own->moved];
    snprintf(own->damage, sizeof own->damage, "%s", why);
    if (own->moved_ns != 0 && now_ns - own->moved_ns < MOVE_NS)
        return false;
    clock_gettime(CLOCK_REALTIME, &now); /* a name for people */
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    snprintf(before, sizeof before, "%s", own->moved);
    snprintf(own->moved, sizeof own->moved, "%s.damaged-%s", own->file, stamp);
    if (!rename_all(own)) {
        snprintf(own->moved, sizeof own->moved, "%s", before);
        return false;
    }
    own->moved_ns = now_ns;
    own->moved_count++;
    return true;
}

/* ---------------------------------------------------------------- in the file */

/* The file, if it is good or can be begun anew; NULL with words in own->why. */
static struct cw_book *open_file(struct cw_own_book *own, uint32_t wait_ms, uint64_t now_ns)
{
    enum cw_book_trouble trouble;
    char why[sizeof own->why];
    struct cw_book *book = cw_book_open_within(own->file, wait_ms, &trouble, why, sizeof why);
    if (!book && trouble == CW_BOOK_DAMAGED && move_aside(own, why, now_ns))
        book = cw_book_open_within(own->file, wait_ms, &trouble, why, sizeof why);
    if (!book) {
        snprintf(own->why, sizeof own->why, "%s", why);
        return NULL;
    }
    if (cw_book_try(book) == CW_OK) {
        remember(own);
        own->why[0] = 0;
        return book;
    }
    const char *words;
    (void)cw_book_trouble(book, &words);
    snprintf(own->why, sizeof own->why, "the book %s: %s", own->file, *words ? words : "it is locked");
    cw_book_close_as_is(book);
    return NULL;
}

static void tell_moved(struct cw_own_book *own)
{
    tell(
        own, 2,
        "%s. It is kept as %s, and a new one is begun. What is not in the new one: events and lines of audit "
        "that no other site has; what others have comes back by the links. No authority hangs on a book",
        own->damage, own->moved);
}

static void use(struct cw_own_book *own, struct cw_book *book)
{
    CW_ASSERT(book != NULL);
    own->book = book;
    own->locked_ns = 0;
    own->look_ns = 0;
}

/* ---------------------------------------------------------------- in memory */

/* false: not even that, and own->book is what it was. own->why says why the file is left. */
static bool go_in_memory(struct cw_own_book *own, uint64_t now_ns)
{
    char why[CW_BOOK_WORDS_SIZE];
    if (!own->memory)
        own->memory = cw_book_open(CW_BOOK_MEMORY, why, sizeof why);
    if (!own->memory)
        return false;
    own->is_handing_over = false;
    own->wait_ns = own->wait_ns ? CW_MIN(2 * own->wait_ns, TRY_NS_MAX) : TRY_NS;
    own->try_ns = now_ns + own->wait_ns;
    use(own, own->memory);
    tell(own, 2,
         "%s: this site's book goes on in memory. Events and lines of audit from now on "
         "are here until this controller ends, and at the sites that it has links to. Make room, or let it "
         "be written: it is tried again by itself, and then has them too. No authority hangs on a book",
         own->why);
    return true;
}

static bool leave_file(struct cw_own_book *own, const char *why, enum cw_book_trouble trouble,
                       uint64_t now_ns)
{
    struct cw_book *left = own->book, *book = NULL;
    char said[sizeof own->why];
    snprintf(said, sizeof said, "the book %s: %s", own->file, why);
    snprintf(own->why, sizeof own->why, "%s", said);
    if (trouble == CW_BOOK_DAMAGED && move_aside(own, said, now_ns))
        book = open_file(own, TRY_MS, now_ns);
    if (!book && !go_in_memory(own, now_ns))
        return false;
    if (book) {
        use(own, book);
        tell_moved(own);
    }
    cw_book_close_as_is(left);
    return true;
}

static bool return_to_file(struct cw_own_book *own, uint64_t now_ns)
{
    uint32_t moved = own->moved_count;
    struct cw_book *book = open_file(own, TRY_MS, now_ns);
    if (!book) {
        own->wait_ns = CW_MIN(2 * own->wait_ns, TRY_NS_MAX);
        own->try_ns = now_ns + own->wait_ns;
        return false;
    }
    use(own, book);
    own->back_ns = now_ns;
    own->is_handing_over = true;
    if (own->moved_count != moved)
        tell_moved(own);
    else
        tell(own, 0, "the book %s is written again; what was told meanwhile goes there, too", own->file);
    return true;
}

/* So much at a time; one who went on with this book's own stream knows more of it than the file. */
static void hand_over(struct cw_own_book *own, const char *site)
{
    struct cw_book_taken taken = {0};
    json_t *have = cw_book_have(own->book), *told = cw_book_since(own->memory, have);
    enum cw_status status = cw_book_take(own->book, site, told, &taken);
    if (status == CW_OK && taken.is_own_ahead)
        status = cw_book_begin_anew(own->book);
    own->is_handing_over = status != CW_OK || (taken.is_more && (taken.events || taken.lines));
    json_decref(have);
    json_decref(told);
}

/* ---------------------------------------------------------------- the site's */

bool cw_own_book_open(struct cw_own_book *own, const char *file, uint64_t now_ns)
{
    *own = (struct cw_own_book){0};
    snprintf(own->file, sizeof own->file, "%s", file);
    struct cw_book *book = open_file(own, CW_SQL_OPEN_MS, now_ns);
    if (!book)
        return go_in_memory(own, now_ns);
    use(own, book);
    if (own->moved_count)
        tell_moved(own);
    return true;
}

void cw_own_book_close(struct cw_own_book *own)
{
    if (own->book != own->memory)
        cw_book_close(own->book);
    cw_book_close(own->memory);
    own->book = own->memory = NULL;
}

bool cw_own_book_is_in_memory(const struct cw_own_book *own)
{
    return own->book == own->memory;
}

/* Somebody who has the lock for long, or a file that was taken away or put in its place. */
static const char *strange(struct cw_own_book *own, uint64_t now_ns)
{
    struct stat about = {0};
    if (own->book->patience.busy_ms == 0)
        own->locked_ns = 0;
    else if (own->locked_ns == 0)
        own->locked_ns = now_ns;
    else if (now_ns - own->locked_ns > LOCKED_NS)
        return "somebody else has it locked";
    if (now_ns < own->look_ns)
        return NULL;
    own->look_ns = now_ns + LOOK_NS;
    if (stat(own->file, &about) < 0)
        return "it is not there any more";
    bool is_same = (uint64_t)about.st_dev == own->device && (uint64_t)about.st_ino == own->inode;
    return is_same ? NULL : "another file is in its place";
}

bool cw_own_book_look(struct cw_own_book *own, const char *site, uint64_t now_ns)
{
    const char *words;
    own->news[0] = 0;
    if (!own->file[0])
        return false;
    if (cw_own_book_is_in_memory(own))
        return now_ns >= own->try_ns && return_to_file(own, now_ns);
    enum cw_book_trouble trouble = cw_book_trouble(own->book, &words);
    if (trouble != CW_BOOK_SOUND)
        return leave_file(own, words, trouble, now_ns);
    if ((words = strange(own, now_ns)) != NULL)
        return leave_file(own, words, CW_BOOK_UNWRITABLE, now_ns);
    if (own->is_handing_over)
        hand_over(own, site);
    if (now_ns - own->back_ns > TRY_NS_MAX)
        own->wait_ns = 0;
    return false;
}
