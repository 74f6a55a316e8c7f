/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The audit: lines that only grow, each with a hash over the one before it, its stream and number, and its
 * text. A line that was changed, taken out or put in has not the hash that follows; lines cut off the end are
 * missing before the stream's head, which is a row of its own.
 */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "control/book_sqlite.h"

void cw_book_hash(const char *before, const char *stream, uint64_t number, const char *text,
                  char hash[CW_BOOK_HASH_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char head[CW_BOOK_HASH_SIZE + CW_BOOK_STREAM_SIZE + 32];
    int length = snprintf(head, sizeof head, "%s\n%s\n%" PRIu64 "\n", before, stream, number);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(context, head, (size_t)length) == 1 &&
                   EVP_DigestUpdate(context, text, strlen(text)) == 1 &&
                   EVP_DigestFinal_ex(context, digest, &size) == 1;
    CW_ASSERT(is_good && "SHA-256 needs nothing but memory");
    CW_ASSERT(2 * size + 1 == CW_BOOK_HASH_SIZE);
    EVP_MD_CTX_free(context);
    for (unsigned i = 0; i < size; i++)
        snprintf(hash + 2 * (size_t)i, 3, "%02x", digest[i]);
}

enum cw_status cw_book_audit_append(struct cw_book *book, const char *stream, struct cw_book_head *head,
                                    const char *text)
{
    char hash[CW_BOOK_HASH_SIZE];
    head->audit++;
    cw_book_hash(head->hash, stream, head->audit, text, hash);
    snprintf(head->hash, sizeof head->hash, "%s", hash);
    return cw_sql_run(book->db, "INSERT INTO audit_lines(stream,number,text,hash) VALUES(?,?,?,?)", "titt",
                      stream, (int64_t)head->audit, text, head->hash);
}

/* A line that another hand put behind the last one must not keep ours from being written. */
static enum cw_status step_over(struct cw_book *book, const char *stream, struct cw_book_head *head)
{
    sqlite3_stmt *row = cw_sql_prepare(book->db,
                                       "SELECT number, hash FROM audit_lines WHERE stream=? AND number>?"
                                       " ORDER BY number DESC LIMIT 1",
                                       "ti", stream, (int64_t)head->audit);
    int result = cw_book_step(book, row);
    if (result == SQLITE_ROW) {
        head->audit = (uint64_t)sqlite3_column_int64(row, 0);
        cw_sql_text(row, 1, head->hash, sizeof head->hash);
    }
    sqlite3_finalize(row);
    return result == SQLITE_ROW || result == SQLITE_DONE ? CW_OK : CW_IO;
}

static enum cw_status add_line(struct cw_book *book, const char *site, const char *text)
{
    char stream[CW_BOOK_STREAM_SIZE];
    struct cw_book_head head;
    cw_book_stream_of(book, site, stream);
    CW_TRY(cw_book_head(book, stream, &head));
    CW_TRY(step_over(book, stream, &head));
    CW_TRY(cw_book_audit_append(book, stream, &head, text));
    CW_TRY(cw_book_head_put(book, stream, &head));
    return book->is_in_memory ? cw_book_prune(book) : CW_OK;
}

enum cw_status cw_book_audit_add(struct cw_book *book, const char *site, const json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
    enum cw_status status = CW_INVALID;
    if (text && strlen(text) <= CW_BOOK_TEXT_MAX) {
        status = cw_book_begin(book, true);
        status = cw_book_end(book, status == CW_OK ? add_line(book, site, text) : status);
    }
    free(text);
    return status;
}

/* ---------------------------------------------------------------- reading */

static bool is_next(const char *before, const char *stream, uint64_t number, const char *text,
                    const char *hash)
{
    char expected[CW_BOOK_HASH_SIZE];
    cw_book_hash(before, stream, number, text, expected);
    return strcmp(expected, hash) == 0;
}

/* is_cut: old lines go, and what came before this one is not known. */
static json_t *show_line(sqlite3_stmt *row, bool is_cut)
{
    const char *stream = cw_book_text(row, 1), *text = cw_book_text(row, 3), *hash = cw_book_text(row, 4);
    uint64_t number = (uint64_t)sqlite3_column_int64(row, 2);
    bool has_before = sqlite3_column_type(row, 5) != SQLITE_NULL;
    bool is_good = (is_cut && !has_before) ||
                   ((number == 1 || has_before) && is_next(cw_book_text(row, 5), stream, number, text, hash));
    json_t *line = json_loads(text, 0, NULL), *shown = json_object();
    if (!json_is_object(line)) {
        json_decref(line);
        char start[1001];
        snprintf(start, sizeof start, "%s", text);
        line = json_pack("{s:s}", "text", start);
    }
    json_object_set_new(shown, "id", json_integer(sqlite3_column_int64(row, 0)));
    json_object_set_new(shown, "stream", json_string(stream));
    json_object_set_new(shown, "number", json_integer((json_int_t)number));
    json_object_set_new(shown, "hash", json_string(hash));
    json_object_set_new(shown, "good", json_boolean(is_good));
    json_object_set_new(shown, "line", line ? line : json_object());
    return shown;
}

json_t *cw_book_audit(struct cw_book *book, uint64_t after, uint32_t limit)
{
    json_t *array = json_array();
    sqlite3_stmt *row =
        cw_sql_prepare(book->db,
                       "SELECT l.id, l.stream, l.number, l.text, l.hash, p.hash FROM audit_lines l LEFT JOIN"
                       " audit_lines p ON p.stream=l.stream AND p.number=l.number-1 WHERE l.id>?"
                       " ORDER BY l.id LIMIT ?",
                       "ii", (int64_t)after, (int64_t)limit);
    while (cw_book_next(book, row))
        json_array_append_new(array, show_line(row, book->is_in_memory));
    sqlite3_finalize(row);
    return array;
}

/* ---------------------------------------------------------------- is it whole? */

__attribute__((format(printf, 3, 4))) static bool damaged(char *why, size_t why_size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why, why_size, format, arguments);
    va_end(arguments);
    return false;
}

/* The stream after the one that was looked through, by name. false: there is none, begin anew. */
static bool next_stream(struct cw_book *book)
{
    char next[CW_BOOK_STREAM_SIZE] = "";
    sqlite3_stmt *row = cw_sql_prepare(book->db,
                                       "SELECT MIN(name) FROM (SELECT name FROM streams UNION SELECT stream"
                                       " FROM audit_lines) WHERE name>?",
                                       "t", book->checked.stream);
    if (cw_book_next(book, row))
        cw_sql_text(row, 0, next, sizeof next);
    sqlite3_finalize(row);
    memset(&book->checked, 0, sizeof book->checked);
    snprintf(book->checked.stream, sizeof book->checked.stream, "%s", next);
    return next[0] != 0;
}

/* Up to `lines` more of the stream. *count: how many there were. */
static bool check_lines(struct cw_book *book, uint32_t lines, uint32_t *count, char *why, size_t why_size)
{
    bool is_good = true;
    sqlite3_stmt *row =
        cw_sql_prepare(book->db,
                       "SELECT number, text, hash FROM audit_lines WHERE stream=? AND number>?"
                       " ORDER BY number LIMIT ?",
                       "tii", book->checked.stream, (int64_t)book->checked.number, (int64_t)lines);
    while (is_good && cw_book_next(book, row)) {
        uint64_t number = (uint64_t)sqlite3_column_int64(row, 0);
        const char *hash = cw_book_text(row, 2);
        ++*count;
        if (number != book->checked.number + 1)
            is_good = damaged(why, why_size, "of %s, line %" PRIu64 " is missing", book->checked.stream,
                              book->checked.number + 1);
        else if (!is_next(book->checked.hash, book->checked.stream, number, cw_book_text(row, 1), hash))
            is_good = damaged(why, why_size, "of %s, line %" PRIu64 " or the one before it was changed",
                              book->checked.stream, number);
        book->checked.number = number;
        snprintf(book->checked.hash, sizeof book->checked.hash, "%s", hash);
    }
    sqlite3_finalize(row);
    return is_good;
}

static bool check_head(struct cw_book *book, char *why, size_t why_size)
{
    struct cw_book_head head;
    if (cw_book_head(book, book->checked.stream, &head) != CW_OK)
        return true; /* it does not answer: that is told elsewhere */
    if (head.audit > book->checked.number)
        return damaged(why, why_size, "of %s, the lines from %" PRIu64 " to %" PRIu64 " were cut off",
                       book->checked.stream, book->checked.number + 1, head.audit);
    return head.audit == book->checked.number
               ? strcmp(head.hash, book->checked.hash) == 0 ||
                     damaged(why, why_size, "of %s, line %" PRIu64 " is not the one that was written",
                             book->checked.stream, head.audit)
               : damaged(why, why_size, "of %s, lines were added after %" PRIu64 " by another hand",
                         book->checked.stream, head.audit);
}

static bool check_some(struct cw_book *book, uint32_t lines, bool *is_round, char *why, size_t why_size)
{
    uint32_t count = 0;
    *is_round = !book->checked.stream[0] && !next_stream(book);
    if (*is_round)
        return true;
    bool is_good = check_lines(book, lines, &count, why, why_size);
    if (is_good && count == lines)
        return true;
    is_good = is_good && check_head(book, why, why_size);
    *is_round = !next_stream(book);
    return is_good;
}

/* In one transaction: lines and head as they were at one moment, whoever writes meanwhile. */
bool cw_book_audit_check(struct cw_book *book, uint32_t lines, bool *is_round, char *why, size_t why_size)
{
    *is_round = true;
    if (book->is_in_memory)
        return true; /* nobody else comes there */
    if (cw_sql_run(book->db, "BEGIN", "") != CW_OK)
        return true;
    bool is_good = check_some(book, lines, is_round, why, why_size);
    (void)cw_sql_run(book->db, "COMMIT", "");
    return is_good;
}
