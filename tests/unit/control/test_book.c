/* SPDX-License-Identifier: BSD-3-Clause */
/* The book: facts, events and audit, in a file of its own and in the embedded store's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "control/book.h"
#include "control/store.h"
#include "scratch_file.h"

static int make_directory(void **state)
{
    return scratch_make("book");
}

static int remove_directory(void **state)
{
    return scratch_remove();
}

static struct cw_book *open_book(void)
{
    char why[256] = "";
    struct cw_book *book = cw_book_open(file, why, sizeof why);
    if (!book)
        fprintf(stderr, "%s\n", why);
    assert_non_null(book);
    return book;
}

static void test_facts(void **state)
{
    struct cw_book *book = open_book(), *other = open_book();
    json_t *facts = json_pack("{s:i}", "x", 1), *back = NULL;
    uint64_t before, after;
    assert_int_equal(cw_book_facts(book, "east", &back, &before), CW_NOT_FOUND);
    assert_int_equal(cw_book_facts_put(book, "east", facts), CW_OK);
    assert_int_equal(cw_book_facts(other, "east", &back, &before), CW_OK);
    assert_true(json_equal(facts, back));
    json_decref(back);
    assert_int_equal(cw_book_facts_put(book, "east", facts), CW_OK);
    assert_int_equal(cw_book_facts(other, "east", &back, &after), CW_OK);
    assert_true(after > before);
    json_decref(back);
    json_decref(facts);
    cw_book_close(other);
    cw_book_close(book);
}

static void test_events(void **state)
{
    struct cw_book *book = open_book();
    assert_int_equal(cw_book_event_add(book, 1, "east", "db", "it's \"so\""), CW_OK);
    assert_int_equal(cw_book_event_add(book, 0, "west", "", "later"), CW_OK);
    json_t *events = cw_book_events(book, 0, 10);
    assert_int_equal(json_array_size(events), 2);
    const json_t *first = json_array_get(events, 0);
    assert_string_equal(json_string_value(json_object_get(first, "text")), "it's \"so\"");
    assert_string_equal(json_string_value(json_object_get(first, "level")), "warning");
    uint64_t id = (uint64_t)json_integer_value(json_object_get(first, "id"));
    json_decref(events);
    events = cw_book_events(book, id, 10);
    assert_int_equal(json_array_size(events), 1);
    json_decref(events);
    cw_book_close(book);
}

static int64_t number(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return value;
}

static enum cw_status add_line(struct cw_book *book, const char *site, const char *what)
{
    json_t *line = json_pack("{s:s}", "command", what);
    enum cw_status status = cw_book_audit_add(book, site, line);
    json_decref(line);
    return status;
}

/* By another hand than ours. */
static void do_sql(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_true(sqlite3_changes(db) > 0);
    sqlite3_close(db);
}

/* Looks through all of it, a few lines at a time; "" when it is whole. */
static const char *look_through(struct cw_book *book)
{
    static char why[200];
    bool is_round = false, is_good = true;
    why[0] = 0;
    while (!is_round) /* to where it begins anew */
        is_good = cw_book_audit_check(book, 2, &is_round, why, sizeof why) && is_good;
    char found[200] = "";
    is_round = false;
    while (!is_round && !found[0]) {
        if (!cw_book_audit_check(book, 2, &is_round, why, sizeof why))
            snprintf(found, sizeof found, "%s", why);
    }
    snprintf(why, sizeof why, "%s", found);
    return why;
}

/* What was done by hand to a chain of 5 lines of east and 2 of west is told, and which line is not good. */
static void test_audit(void **state)
{
    static const struct {
        const char *sql, *expected;
        uint64_t bad; /* bit by place in the list, after the change */
    } table[] = {
        {NULL, "", 0},
        {"UPDATE audit_lines SET text=replace(text,'c3','c9') WHERE number=3", "line 3 or the one before",
         1u << 2},
        {"UPDATE audit_lines SET hash=CASE substr(hash,1,1) WHEN '0' THEN '1' ELSE '0' END || substr(hash,2) "
         "WHERE number=3 AND stream LIKE 'east%'",
         "line 3 or", 3u << 2},
        {"DELETE FROM audit_lines WHERE number=2 AND stream LIKE 'east%'", "line 2 is missing", 1u << 1},
        {"DELETE FROM audit_lines WHERE number=1 AND stream LIKE 'east%'", "line 1 is missing", 1u << 0},
        {"DELETE FROM audit_lines WHERE number>3", "the lines from 4 to 5 were cut off", 0},
        {"DELETE FROM audit_lines WHERE stream LIKE 'west%'", "the lines from 1 to 2 were cut off", 0},
        {"INSERT INTO audit_lines(stream,number,text,hash) SELECT stream,6,text,hash FROM audit_lines WHERE "
         "number=5",
         "line 6 or", 1u << 7},
        {"UPDATE streams SET hash='' WHERE name LIKE 'east%'", "line 5 is not the one that was written", 0},
        {"UPDATE audit_lines SET text='no JSON' WHERE number=5", "line 5 or", 1u << 4},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct cw_book *book = open_book();
        uint64_t bad = 0;
        assert_string_equal(look_through(book), "");
        for (int k = 1; k <= 5; k++) {
            char what[8];
            snprintf(what, sizeof what, "c%d", k);
            assert_int_equal(add_line(book, "east", what), CW_OK);
        }
        assert_int_equal(add_line(book, "west", "d1"), CW_OK);
        assert_int_equal(add_line(book, "west", "d2"), CW_OK);
        if (table[i].sql)
            do_sql(table[i].sql);
        const char *why = look_through(book);
        if (!strstr(why, table[i].expected) || (!*table[i].expected && *why))
            fail_msg("%zu: \"%s\", expected \"%s\"", i, why, table[i].expected);
        json_t *lines = cw_book_audit(book, 0, 100);
        for (size_t k = 0; k < json_array_size(lines); k++)
            bad |= json_is_false(json_object_get(json_array_get(lines, k), "good")) ? 1ul << k : 0;
        if (bad != table[i].bad)
            fail_msg("%zu: bad lines %lx, expected %lx", i, bad, table[i].bad);
        json_decref(lines);
        assert_int_equal(add_line(book, "east", "later"), CW_OK); /* it goes on */
        cw_book_close(book);
        remove_directory(NULL);
        make_directory(NULL);
    }
}

/* A line that is too long is refused, whole: nothing is left of it. */
static void test_audit_limit(void **state)
{
    static char text[CW_BOOK_TEXT_MAX];
    struct cw_book *book = open_book();
    memset(text, 'x', sizeof text - 1);
    assert_int_equal(add_line(book, "east", text), CW_INVALID);
    text[CW_BOOK_TEXT_MAX - 100] = 0;
    assert_int_equal(add_line(book, "east", text), CW_OK);
    json_t *lines = cw_book_audit(book, 0, 10);
    assert_int_equal(json_array_size(lines), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(lines, 0), "number")), 1);
    json_decref(lines);
    cw_book_close(book);
}

/* Two controllers of one machine write one book: each its own stream, and nobody takes the other for damage.
 */
static void test_audit_of_two(void **state)
{
    struct cw_book *east = open_book(), *west = open_book();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(add_line(east, "east", "x"), CW_OK);
        assert_string_equal(look_through(west), "");
        assert_int_equal(add_line(west, "west", "x"), CW_OK);
        assert_string_equal(look_through(east), "");
    }
    cw_book_close(east);
    cw_book_close(west);
}

/* A file of before there were streams is taken on, with its events. */
static void test_older_file(void **state)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "CREATE TABLE events(id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL,"
                     " level INTEGER NOT NULL, site TEXT NOT NULL, group_name TEXT NOT NULL,"
                     " text TEXT NOT NULL);INSERT INTO events VALUES(7,1.5,1,'east','db','old')",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    struct cw_book *book = open_book();
    assert_int_equal(cw_book_event_add(book, 0, "east", "", "new"), CW_OK);
    json_t *events = cw_book_events(book, 0, 10);
    assert_int_equal(json_array_size(events), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "text")), "old");
    json_decref(events);
    cw_book_close(book);
    cw_book_close(open_book());
}

/* Beside the embedded store, in its file: neither disturbs the other, whichever opened it first. */
static void test_in_the_store(void **state)
{
    char why[256];
    struct cw_book *book = open_book();
    struct cw_store *store = cw_store_open_file(file, why, sizeof why);
    assert_non_null(store);
    uint64_t version = cw_store_version(store);
    assert_int_equal(add_line(book, "east", "promote db"), CW_OK);
    assert_int_equal(cw_book_event_add(book, 2, "east", "db", "text"), CW_OK);
    assert_int_equal(cw_store_version(store), version);
    assert_int_equal(number("SELECT count(*) FROM audit_lines WHERE text LIKE '%promote db%'"), 1);
    cw_store_close(store);
    store = cw_store_open_file(file, why, sizeof why);
    assert_non_null(store);
    cw_store_close(store);
    cw_book_close(book);
}

/* Somebody else has the lock: nothing is taken, and that is said; afterwards it is taken again. */
static void test_locked(void **state)
{
    struct cw_book *book = open_book();
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(cw_book_event_add(book, 0, "east", "db", "text"), CW_OK);
    assert_int_not_equal(add_line(book, "east", "promote db"), CW_OK);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(add_line(book, "east", "promote db"), CW_OK);
    assert_int_equal(number("SELECT count(*) FROM audit_lines"), 1);
    cw_book_close(book);
}

static void test_garbage_file(void **state)
{
    char why[256] = "";
    scratch_garbage();
    assert_null(cw_book_open(file, why, sizeof why));
    assert_non_null(strstr(why, file));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        TEST(test_facts),       TEST(test_events),       TEST(test_in_the_store),
        TEST(test_locked),      TEST(test_garbage_file), TEST(test_audit),
        TEST(test_audit_limit), TEST(test_audit_of_two), TEST(test_older_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
