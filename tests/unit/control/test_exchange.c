/* SPDX-License-Identifier: BSD-3-Clause */
/* Books of several sites that tell each other what they have: once, in order, by way of any; and what they do
 * not take from each other. */
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

#include "base/numbers.h"
#include "control/book.h"
#include "control/rpc.h"

#define SITES 3

static const char *const names[SITES] = {"east", "west", "north"};
static char directory[64], files[SITES][96];
static struct cw_book *books[SITES];

static struct cw_book *open_book(int site)
{
    char why[256] = "";
    struct cw_book *book = cw_book_open(files[site], why, sizeof why);
    if (!book)
        fail_msg("%s", why);
    return book;
}

static int begin(void **state)
{
    snprintf(directory, sizeof directory, "/tmp/cw-test-exchange-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    for (int i = 0; i < SITES; i++) {
        snprintf(files[i], sizeof files[i], "%s/%d.db", directory, i);
        books[i] = open_book(i);
    }
    return 0;
}

static int end(void **state)
{
    char command[96];
    for (int i = 0; i < SITES; i++)
        cw_book_close(books[i]);
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command);
}

/* One asks the other, as over a link. */
static struct cw_book_taken ask(int asker, int asked)
{
    struct cw_book_taken taken;
    json_t *have = cw_book_have(books[asker]), *answer = cw_book_since(books[asked], have);
    char *text = json_dumps(answer, JSON_COMPACT);
    assert_non_null(text);
    assert_true(strlen(text) < CW_RPC_LINE_MAX / 2 + 4096);
    assert_int_equal(cw_book_take(books[asker], names[asker], answer, &taken), CW_OK);
    assert_int_equal(taken.nonsense, 0);
    free(text);
    json_decref(have);
    json_decref(answer);
    return taken;
}

static void say(int site, const char *format, int number)
{
    char text[64];
    snprintf(text, sizeof text, format, number);
    json_t *line = json_pack("{s:s}", "command", text);
    assert_int_equal(cw_book_event_add(books[site], number % 3, names[site], "db", text), CW_OK);
    assert_int_equal(cw_book_audit_add(books[site], names[site], line), CW_OK);
    json_decref(line);
}

/* What a book has of a site, in the order of its own list: "1,2,3", of events or of the audit. */
static const char *order_of(int site, const char *of, bool is_audit)
{
    static char text[4096];
    size_t used = 0, index;
    json_t *entry;
    json_t *list = is_audit ? cw_book_audit(books[site], 0, 1000) : cw_book_events(books[site], 0, 1000);
    text[0] = 0;
    json_array_foreach(list, index, entry)
    {
        const char *said = is_audit ? cw_json_text(json_object_get(entry, "line"), "command", "?")
                                    : cw_json_text(entry, "text", "?");
        assert_true(!is_audit || cw_json_bool(entry, "good", false));
        if (strncmp(said, of, strlen(of)) == 0)
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? "," : "", said + strlen(of));
    }
    json_decref(list);
    return text;
}

static void expect_all(int site, const char *of, const char *expected)
{
    assert_string_equal(order_of(site, of, false), expected);
    assert_string_equal(order_of(site, of, true), expected);
}

/* East and north have no link: by way of west both have all, once and in order, whatever is asked how often.
 */
static void test_by_way_of_another(void **state)
{
    for (int i = 1; i <= 3; i++)
        say(0, "e%d", i);
    say(2, "n%d", 1);
    for (int turn = 0; turn < 3; turn++) {
        (void)ask(1, 0);
        (void)ask(1, 2);
        (void)ask(0, 1);
        (void)ask(2, 1);
    }
    say(0, "e%d", 4);
    struct cw_book_taken taken = ask(1, 0);
    assert_int_equal(taken.events, 1);
    assert_int_equal(taken.lines, 1);
    (void)ask(2, 1);
    for (int i = 0; i < SITES; i++) {
        bool is_round = false;
        char why[200];
        expect_all(i, "e", "1,2,3,4");
        expect_all(i, "n", "1");
        while (!is_round)
            assert_true(cw_book_audit_check(books[i], 10, &is_round, why, sizeof why));
    }
    taken = ask(1, 0);
    assert_int_equal(taken.events + taken.lines, 0);
}

/* After a long outage it comes in parts, each within the limit of a line. */
static void test_in_parts(void **state)
{
    char expected[4096] = "";
    int parts = 0;
    struct cw_book_taken taken = {.is_more = true};
    for (int i = 1; i <= 500; i++) {
        say(0, "e%d", i);
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s%d", i > 1 ? "," : "",
                 i);
    }
    for (; taken.is_more && parts < 50; parts++)
        taken = ask(1, 0);
    assert_true(parts > 2 && parts < 50);
    expect_all(1, "e", expected);
}

/* A book that was lost begins another stream; what others have of the old one comes back. */
static void test_book_is_lost(void **state)
{
    say(0, "e%d", 1);
    (void)ask(1, 0);
    cw_book_close(books[0]);
    assert_int_equal(unlink(files[0]), 0);
    books[0] = open_book(0);
    say(0, "e%d", 2);
    (void)ask(1, 0);
    (void)ask(0, 1);
    expect_all(1, "e", "1,2");
    expect_all(0, "e", "2,1");
}

/* An answer that was long on its way (the asker stood still) tells of what the asker has told since: that is
 * no book that went back. */
static void test_late_answer(void **state)
{
    struct cw_book_taken taken;
    say(0, "e%d", 1);
    (void)ask(1, 0);
    json_t *have = cw_book_have(books[0]);
    say(0, "e%d", 2);
    (void)ask(1, 0);
    json_t *late = cw_book_since(books[1], have);
    assert_int_equal(json_array_size(json_object_get(late, "events")), 1);
    assert_int_equal(cw_book_take(books[0], names[0], late, &taken), CW_OK);
    assert_false(taken.is_own_ahead);
    expect_all(0, "e", "1,2");
    json_decref(have);
    json_decref(late);
}

/* A book that was put back to an older copy finds that others have more of it, and goes on under another
 * name. */
static void test_book_goes_back(void **state)
{
    char command[256];
    say(0, "e%d", 1);
    cw_book_close(books[0]);
    snprintf(command, sizeof command, "cp %s %s.old", files[0], files[0]);
    assert_int_equal(system(command), 0);
    books[0] = open_book(0);
    say(0, "e%d", 2);
    (void)ask(1, 0);
    cw_book_close(books[0]);
    snprintf(command, sizeof command, "mv %s.old %s", files[0], files[0]);
    assert_int_equal(system(command), 0);
    books[0] = open_book(0);
    struct cw_book_taken taken = ask(0, 1);
    assert_true(taken.is_own_ahead);
    expect_all(0, "e", "1");
    assert_int_equal(cw_book_begin_anew(books[0]), CW_OK);
    taken = ask(0, 1);
    assert_false(taken.is_own_ahead);
    say(0, "e%d", 3);
    (void)ask(1, 0);
    expect_all(0, "e", "1,2,3");
    expect_all(1, "e", "1,2,3");
}

/* Somebody wrote the whole log of a site anew, chain and all: the copies differ, and both sides can say so.
 */
static void test_log_is_written_anew(void **state)
{
    sqlite3 *db = NULL;
    say(0, "e%d", 1);
    (void)ask(1, 0);
    cw_book_close(books[0]);
    assert_int_equal(sqlite3_open(files[0], &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "DELETE FROM audit_lines; UPDATE streams SET audit=0, hash=''", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    books[0] = open_book(0);
    json_t *line = json_pack("{s:s}", "command", "e1, but otherwise");
    assert_int_equal(cw_book_audit_add(books[0], names[0], line), CW_OK);
    assert_int_equal(cw_book_audit_add(books[0], names[0], line), CW_OK);
    json_decref(line);
    struct cw_book_taken taken = ask(1, 0);
    assert_true(strncmp(taken.differs, "east:", 5) == 0);
    assert_int_equal(taken.lines, 0);
    assert_string_equal(order_of(1, "e", true), "1");
}

static void take(const char *text, uint32_t events, uint32_t lines, uint32_t nonsense)
{
    struct cw_book_taken taken;
    json_t *answer = json_loads(text, 0, NULL);
    assert_non_null(answer);
    assert_int_equal(cw_book_take(books[1], "west", answer, &taken), CW_OK);
    if (taken.events != events || taken.lines != lines || taken.nonsense != nonsense)
        fail_msg("%s: %u %u %u", text, taken.events, taken.lines, taken.nonsense);
    json_decref(answer);
}

/* Foreign bytes: what does not fit is left, and takes nothing with it. */
static void test_nonsense(void **state)
{
#define EVENT(stream, number, level, time, text)                                                             \
    "{\"events\":[{\"stream\":\"" stream "\",\"number\":" number ",\"level\":" level ",\"time\":" time       \
    ",\"site\":\"east\",\"group\":\"\",\"text\":" text "}]}"
#define GOOD "east:0123456789abcdef"
    take("{}", 0, 0, 0);
    take("{\"events\":5,\"audit\":{\"a\":1},\"differs\":\"x\"}", 0, 0, 0);
    take("{\"events\":[1,null,[],{}],\"audit\":[2,{}],\"differs\":[1,\"\\u001b\"]}", 0, 0, 6);
    take(EVENT(GOOD, "2", "1", "5", "\"two\""), 1, 0, 0);
    take(EVENT(GOOD, "2", "1", "5", "\"two again\""), 0, 0, 0);
    take(EVENT(GOOD, "1", "1", "5", "\"one is late\""), 0, 0, 0);
    take(EVENT(GOOD, "0", "1", "5", "\"x\""), 0, 0, 1);
    take(EVENT(GOOD, "-3", "1", "5", "\"x\""), 0, 0, 1);
    take(EVENT(GOOD, "9007199254740993", "1", "5", "\"x\""), 0, 0, 1);
    take(EVENT(GOOD, "3", "3", "5", "\"x\""), 0, 0, 1);
    take(EVENT(GOOD, "3", "1", "-5", "\"x\""), 0, 0, 1);
    take(EVENT(GOOD, "3", "1", "1e300", "\"x\""), 0, 0, 1);
    take(EVENT(GOOD, "3", "1", "5", "7"), 0, 0, 1);
    take(EVENT("east", "3", "1", "5", "\"x\""), 0, 0, 1);
    take(EVENT("east:0123456789ABCDEF", "3", "1", "5", "\"x\""), 0, 0, 1);
    take(EVENT(":0123456789abcdef", "3", "1", "5", "\"x\""), 0, 0, 1);
    take(EVENT("ea st:0123456789abcdef", "3", "1", "5", "\"x\""), 0, 0, 1);
    take(EVENT(GOOD, "3", "1", "5", "\"\\u001b[31mred\""), 1, 0, 0);
    json_t *events = cw_book_events(books[1], 0, 10);
    assert_int_equal(json_array_size(events), 2);
    assert_string_equal(cw_json_text(json_array_get(events, 1), "text", ""), "?[31mred");
    json_decref(events);
    /* A line whose hash does not fit, and one that is not the next. */
    take("{\"audit\":[{\"stream\":\"" GOOD "\",\"number\":1,\"text\":\"{}\",\"hash\":\"00\"}]}", 0, 0, 0);
    take("{\"audit\":[{\"stream\":\"" GOOD "\",\"number\":2,\"text\":\"{}\",\"hash\":\"00\"}]}", 0, 0, 0);
    json_t *lines = cw_book_audit(books[1], 0, 10);
    assert_int_equal(json_array_size(lines), 0);
    json_decref(lines);
}

/* Who makes streams up, one after the other, fills no disk. */
static void test_made_up_streams(void **state)
{
    uint32_t count = 0;
    for (int i = 0; i < 200; i++) {
        struct cw_book_taken taken;
        char stream[64];
        snprintf(stream, sizeof stream, "east:%016x", i);
        json_t *answer =
            json_pack("{s:[{s:s,s:i,s:i,s:f,s:s,s:s,s:s}]}", "events", "stream", stream, "number", 1, "level",
                      1, "time", 1.0, "site", "east", "group", "", "text", "x");
        assert_int_equal(cw_book_take(books[1], "west", answer, &taken), CW_OK);
        count += taken.events;
        json_decref(answer);
    }
    assert_int_equal(count, CW_BOOK_STREAMS_MAX);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {TEST(test_by_way_of_another), TEST(test_in_parts),
                                       TEST(test_book_is_lost),      TEST(test_late_answer),
                                       TEST(test_book_goes_back),    TEST(test_log_is_written_anew),
                                       TEST(test_nonsense),          TEST(test_made_up_streams)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
