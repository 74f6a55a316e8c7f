/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Books of several sites telling each other what they have. One asks with what it has ("east:0123...": events
 * up to 17, audit up to 5 with that hash), the other answers with what comes after it, in order, so much at a
 * time. So every stream reaches every site, by way of any site, and what is told twice is known by its
 * number.
 *
 * What comes from another site is looked at as foreign bytes: a line of audit is taken only if it is the next
 * one and its hash fits, and nothing that does not fit takes away what is here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "control/book_sqlite.h"
#include "control/rpc.h"

#define ROWS_MAX     200 /* of an answer, of each kind */
#define BYTES_MAX    (256u * 1024u)
#define NUMBER_MAX   (1ull << 53) /* what JSON's numbers surely have */
#define EVENT_MAX    1024u        /* bytes of a text */
#define NAME_MAX_ALL 64u

static_assert(2 * (BYTES_MAX + CW_BOOK_TEXT_MAX + EVENT_MAX) < CW_RPC_LINE_MAX, "an answer fits in a line");

/* ---------------------------------------------------------------- asking */

json_t *cw_book_have(struct cw_book *book)
{
    json_t *have = json_object();
    sqlite3_stmt *row = cw_sql_prepare(book->db, "SELECT name, events, audit, hash FROM streams", "");
    while (cw_book_next(book, row))
        json_object_set_new(have, cw_book_text(row, 0),
                            json_pack("{s:I,s:I,s:s}", "events", (json_int_t)sqlite3_column_int64(row, 1),
                                      "audit", (json_int_t)sqlite3_column_int64(row, 2), "hash",
                                      cw_book_text(row, 3)));
    sqlite3_finalize(row);
    return have;
}

/* ---------------------------------------------------------------- answering */

struct answer {
    struct cw_book *book;
    json_t *events, *audit, *differs;
    size_t bytes;
    bool is_more;
};

static void give_events(struct answer *answer, const char *stream, uint64_t after)
{
    sqlite3_stmt *row =
        cw_sql_prepare(answer->book->db,
                       "SELECT number,time,level,site,group_name,text FROM events WHERE stream=? AND"
                       " number>? ORDER BY number LIMIT ?",
                       "tii", stream, (int64_t)after, (int64_t)ROWS_MAX + 1);
    while (!answer->is_more && cw_book_next(answer->book, row)) {
        answer->bytes += (size_t)sqlite3_column_bytes(row, 5) + 200;
        answer->is_more = answer->bytes > BYTES_MAX || json_array_size(answer->events) >= ROWS_MAX;
        json_t *event =
            json_pack("{s:s,s:I,s:f,s:i,s:s,s:s,s:s}", "stream", stream, "number",
                      (json_int_t)sqlite3_column_int64(row, 0), "time", sqlite3_column_double(row, 1),
                      "level", sqlite3_column_int(row, 2), "site", cw_book_text(row, 3), "group",
                      cw_book_text(row, 4), "text", cw_book_text(row, 5));
        if (event && !answer->is_more)
            json_array_append_new(answer->events, event);
        else
            json_decref(event);
    }
    sqlite3_finalize(row);
}

static void give_audit(struct answer *answer, const char *stream, uint64_t after)
{
    sqlite3_stmt *row = cw_sql_prepare(
        answer->book->db,
        "SELECT number,text,hash FROM audit_lines WHERE stream=? AND number>? ORDER BY number LIMIT ?", "tii",
        stream, (int64_t)after, (int64_t)ROWS_MAX + 1);
    while (!answer->is_more && cw_book_next(answer->book, row)) {
        answer->bytes += (size_t)sqlite3_column_bytes(row, 1) + 200;
        answer->is_more = answer->bytes > BYTES_MAX || json_array_size(answer->audit) >= ROWS_MAX;
        json_t *line = json_pack("{s:s,s:I,s:s,s:s}", "stream", stream, "number",
                                 (json_int_t)sqlite3_column_int64(row, 0), "text", cw_book_text(row, 1),
                                 "hash", cw_book_text(row, 2));
        if (line && !answer->is_more)
            json_array_append_new(answer->audit, line);
        else
            json_decref(line);
    }
    sqlite3_finalize(row);
}

/* Of a line that both have, the hashes are the same; or somebody has written one of the two logs anew. */
static bool is_same_line(struct answer *answer, const char *stream, uint64_t number, const char *hash)
{
    sqlite3_stmt *row =
        cw_sql_prepare(answer->book->db, "SELECT hash FROM audit_lines WHERE stream=? AND number=?", "ti",
                       stream, (int64_t)number);
    bool is_same = !cw_book_next(answer->book, row) || strcmp(cw_book_text(row, 0), hash) == 0;
    sqlite3_finalize(row);
    return is_same;
}

static void give_stream(struct answer *answer, const char *stream, const json_t *have)
{
    const json_t *known = json_object_get(have, stream);
    uint64_t events = cw_json_u64(known, "events", 0), audit = cw_json_u64(known, "audit", 0);
    if (audit > 0 && audit < NUMBER_MAX &&
        !is_same_line(answer, stream, audit, cw_json_text(known, "hash", ""))) {
        json_array_append_new(answer->differs, json_string(stream));
        audit = NUMBER_MAX; /* what follows would not fit */
    }
    if (events < NUMBER_MAX)
        give_events(answer, stream, events);
    if (audit < NUMBER_MAX)
        give_audit(answer, stream, audit);
}

json_t *cw_book_since(struct cw_book *book, const json_t *have)
{
    struct answer answer = {
        .book = book, .events = json_array(), .audit = json_array(), .differs = json_array()};
    sqlite3_stmt *row = cw_sql_prepare(book->db, "SELECT name FROM streams ORDER BY name", "");
    while (!answer.is_more && cw_book_next(book, row))
        give_stream(&answer, cw_book_text(row, 0), have);
    sqlite3_finalize(row);
    return json_pack("{s:o,s:o,s:o,s:b}", "events", answer.events, "audit", answer.audit, "differs",
                     answer.differs, "more", answer.is_more);
}

/* ---------------------------------------------------------------- taking */

/* "SITE:0123456789abcdef" */
static bool is_stream(const char *stream)
{
    const char *colon = strchr(stream, ':');
    return colon && colon > stream && (size_t)(colon - stream) <= 40 &&
           strspn(stream, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
               (size_t)(colon - stream) &&
           strlen(colon + 1) == CW_BOOK_ID_SIZE - 1 &&
           strspn(colon + 1, "0123456789abcdef") == CW_BOOK_ID_SIZE - 1;
}

static bool is_of_own_book(const struct cw_book *book, const char *own_site, const char *stream)
{
    char own[CW_BOOK_STREAM_SIZE];
    cw_book_stream_of(book, own_site, own);
    return strcmp(own, stream) == 0;
}

/* A text that fits, with what could move a terminal taken out. */
static bool take_text(const json_t *object, const char *key, char *to, size_t size)
{
    const char *text = cw_json_text(object, key, NULL);
    if (!text || strlen(text) >= size)
        return false;
    snprintf(to, size, "%s", text);
    for (char *at = to; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    }
    return true;
}

/* May its number be the next one? New streams end at a limit: who makes them up fills no disk. */
static bool is_stream_welcome(struct cw_book *book, const char *stream)
{
    bool is_known = false;
    int count = 0;
    sqlite3_stmt *row = cw_sql_prepare(book->db, "SELECT COUNT(*), SUM(name=?) FROM streams", "t", stream);
    if (cw_book_next(book, row)) {
        count = sqlite3_column_int(row, 0);
        is_known = sqlite3_column_int(row, 1) > 0;
    }
    sqlite3_finalize(row);
    return is_known || (uint32_t)count < CW_BOOK_STREAMS_MAX;
}

/* The event of which a foreign object tells; false: none. */
static enum cw_status take_event(struct cw_book *book, const char *own_site, const json_t *event,
                                 struct cw_book_taken *taken)
{
    char stream[CW_BOOK_STREAM_SIZE], site[NAME_MAX_ALL], group[NAME_MAX_ALL], text[EVENT_MAX];
    uint64_t number = cw_json_u64(event, "number", 0), level = cw_json_u64(event, "level", 3);
    double time = cw_json_number(event, "time", -1);
    struct cw_book_head head;
    if (!take_text(event, "stream", stream, sizeof stream) || !take_text(event, "site", site, sizeof site) ||
        !take_text(event, "group", group, sizeof group) || !take_text(event, "text", text, sizeof text) ||
        !is_stream(stream) || number == 0 || number >= NUMBER_MAX || level > 2 ||
        !(time >= 0 && time < 1e11)) {
        taken->nonsense++;
        return CW_OK;
    }
    CW_TRY(cw_book_head(book, stream, &head));
    if (is_of_own_book(book, own_site, stream)) {
        /* an answer that was long on its way tells what we have told since we asked */
        taken->is_own_ahead = taken->is_own_ahead || number > head.events;
        return CW_OK;
    }
    if (number <= head.events || !is_stream_welcome(book, stream))
        return CW_OK;
    head.events = number;
    taken->events++;
    CW_TRY(cw_book_head_put(book, stream, &head));
    return cw_book_event_append(book, time, (int)level, site, group, text, stream, number);
}

static enum cw_status take_line(struct cw_book *book, const char *own_site, const json_t *line,
                                struct cw_book_taken *taken)
{
    char stream[CW_BOOK_STREAM_SIZE], hash[CW_BOOK_HASH_SIZE], expected[CW_BOOK_HASH_SIZE];
    const char *text = cw_json_text(line, "text", "");
    uint64_t number = cw_json_u64(line, "number", 0);
    struct cw_book_head head;
    if (!take_text(line, "stream", stream, sizeof stream) || !take_text(line, "hash", hash, sizeof hash) ||
        !is_stream(stream) || number == 0 || number >= NUMBER_MAX || strlen(text) > CW_BOOK_TEXT_MAX) {
        taken->nonsense++;
        return CW_OK;
    }
    CW_TRY(cw_book_head(book, stream, &head));
    if (is_of_own_book(book, own_site, stream)) {
        /* an answer that was long on its way tells what we have told since we asked */
        taken->is_own_ahead = taken->is_own_ahead || number > head.audit;
        return CW_OK;
    }
    if (number <= head.audit || !is_stream_welcome(book, stream))
        return CW_OK;
    cw_book_hash(head.hash, stream, number, text, expected);
    if (number != head.audit + 1 || strcmp(expected, hash) != 0) {
        snprintf(taken->differs, sizeof taken->differs, "%s", stream);
        return CW_OK;
    }
    taken->lines++;
    CW_TRY(cw_book_audit_append(book, stream, &head, text));
    return cw_book_head_put(book, stream, &head);
}

static enum cw_status take_all(struct cw_book *book, const char *own_site, const json_t *answer,
                               struct cw_book_taken *taken)
{
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(answer, "events"), index, entry)
        CW_TRY(take_event(book, own_site, entry, taken));
    json_array_foreach(json_object_get(answer, "audit"), index, entry)
        CW_TRY(take_line(book, own_site, entry, taken));
    json_array_foreach(json_object_get(answer, "differs"), index, entry)
    {
        const char *stream = json_string_value(entry);
        if (stream && is_stream(stream) && strlen(stream) < sizeof taken->differs)
            snprintf(taken->differs, sizeof taken->differs, "%s", stream);
    }
    return cw_book_prune(book);
}

enum cw_status cw_book_take(struct cw_book *book, const char *own_site, const json_t *answer,
                            struct cw_book_taken *taken)
{
    *taken = (struct cw_book_taken){.is_more = cw_json_bool(answer, "more", false)};
    if (json_array_size(json_object_get(answer, "events")) == 0 &&
        json_array_size(json_object_get(answer, "audit")) == 0 &&
        json_array_size(json_object_get(answer, "differs")) == 0)
        return CW_OK;
    CW_TRY(cw_book_begin(book, json_array_size(json_object_get(answer, "audit")) > 0));
    return cw_book_end(book, take_all(book, own_site, answer, taken));
}

enum cw_status cw_book_begin_anew(struct cw_book *book)
{
    CW_TRY(cw_sql_run(book->db, "DELETE FROM book WHERE key='id'", ""));
    return cw_book_learn_id(book) ? CW_OK : CW_IO;
}
