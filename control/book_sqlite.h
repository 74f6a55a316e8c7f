/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the book, shared by its files only. */
#pragma once

#include "control/book.h"
#include "control/sqlite_helper.h"

struct cw_book {
    sqlite3 *db; /* synchronous=NORMAL, but for the audit */
    struct cw_sql_patience patience;
    enum cw_book_trouble trouble; /* the worst that its file has done to it */
    char trouble_words[CW_BOOK_WORDS_SIZE];
    bool is_in_memory;        /* and keeps no more of the audit than CW_BOOK_MEMORY_LINES */
    char id[CW_BOOK_ID_SIZE]; /* random, made with the file: what it numbers is nobody else's */
    struct {                  /* how far the audit has been looked through, line by line, for ever anew */
        char stream[CW_BOOK_STREAM_SIZE];
        uint64_t number;
        char hash[CW_BOOK_HASH_SIZE];
    } checked;
};

/* One step of a statement; NULL: it could not be prepared. Its failure is noted as the book's trouble. */
int cw_book_step(struct cw_book *book, sqlite3_stmt *row);
/* The same: is there one more row? */
bool cw_book_next(struct cw_book *book, sqlite3_stmt *row);
/* A text column; "" for NULL, which a damaged file may have anywhere. Good until the next step. */
const char *cw_book_text(sqlite3_stmt *row, int column);

/* One transaction; end keeps the worse of the two results, and undoes what failed. is_durable: it survives
 * the loss of power when end has returned. */
enum cw_status cw_book_begin(struct cw_book *book, bool is_durable) CW_MUST_CHECK;
enum cw_status cw_book_end(struct cw_book *book, enum cw_status status) CW_MUST_CHECK;

/* The book's own name, made where it has none. */
bool cw_book_learn_id(struct cw_book *book);
/* Events beyond those that are kept go; in memory, lines of audit too. */
enum cw_status cw_book_prune(struct cw_book *book) CW_MUST_CHECK;
void cw_book_stream_of(const struct cw_book *book, const char *site, char stream[CW_BOOK_STREAM_SIZE]);
/* The last numbers of a stream, and the hash of its last line of audit; zeros and "" where it is not known.
 */
struct cw_book_head {
    uint64_t events, audit;
    char hash[CW_BOOK_HASH_SIZE];
};
enum cw_status cw_book_head(struct cw_book *book, const char *stream,
                            struct cw_book_head *head) CW_MUST_CHECK;
enum cw_status cw_book_head_put(struct cw_book *book, const char *stream,
                                const struct cw_book_head *head) CW_MUST_CHECK;
/* What a line's hash must be after one with the hash `before` ("": it is the first). */
void cw_book_hash(const char *before, const char *stream, uint64_t number, const char *text,
                  char hash[CW_BOOK_HASH_SIZE]);
/* At the end of its stream, whose head becomes this line. */
enum cw_status cw_book_audit_append(struct cw_book *book, const char *stream, struct cw_book_head *head,
                                    const char *text) CW_MUST_CHECK;
enum cw_status cw_book_event_append(struct cw_book *book, double time, int level, const char *site,
                                    const char *group, const char *text, const char *stream,
                                    uint64_t number) CW_MUST_CHECK;
