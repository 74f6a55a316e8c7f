/* SPDX-License-Identifier: BSD-3-Clause */
/* A site's own book outlives its file: damaged anywhere, cut anywhere, full, locked, taken away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "base/numbers.h"
#include "control/book_own.h"
#include "scratch_file.h"

#define LATER (3600 * CW_SECOND) /* the file is tried again */

static uint64_t now_ns;

static int make(void **state)
{
    now_ns = CW_SECOND;
    return scratch_make("own");
}

/* Whatever is there by now: what was moved aside, too. */
static void clear(void)
{
    DIR *list = opendir(directory);
    const struct dirent *entry;
    while (list && (entry = readdir(list)) != NULL) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        (void)remove(path);
    }
    if (list)
        closedir(list);
}

static int clean(void **state)
{
    clear();
    return scratch_remove();
}

static uint32_t count_files(const char *part)
{
    uint32_t count = 0;
    DIR *list = opendir(directory);
    const struct dirent *entry;
    while (list && (entry = readdir(list)) != NULL)
        count += strstr(entry->d_name, part) != NULL;
    if (list)
        closedir(list);
    return count;
}

static enum cw_status add_line(struct cw_own_book *own, const char *command)
{
    json_t *line = json_pack("{s:s,s:s}", "site", "east", "command", command);
    enum cw_status status = cw_book_audit_add(own->book, "east", line);
    json_decref(line);
    return status;
}

static uint32_t size_of(json_t *list)
{
    uint32_t size = (uint32_t)json_array_size(list);
    json_decref(list);
    return size;
}

static uint32_t events_of(struct cw_own_book *own)
{
    return size_of(cw_book_events(own->book, 0, 1000));
}

static uint32_t lines_of(struct cw_own_book *own)
{
    return size_of(cw_book_audit(own->book, 0, 1000));
}

static void fill(struct cw_own_book *own, uint32_t count)
{
    char text[300];
    json_t *facts = json_pack("{s:s}", "version", "1");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(cw_book_event_add(own->book, 1, "east", "db", text), CW_OK);
        assert_int_equal(add_line(own, text), CW_OK);
    }
    assert_int_equal(cw_book_facts_put(own->book, "east", facts), CW_OK);
    json_decref(facts);
}

/* All that a controller does with a book in a while. What comes of it is not looked at. */
static void use_all(struct cw_own_book *own)
{
    bool is_round;
    char why[200];
    uint64_t counter;
    json_t *facts = json_object(), *read = NULL;
    struct cw_book_taken taken;
    (void)!cw_book_event_add(own->book, 1, "east", "db", "text");
    (void)!add_line(own, "promote db");
    (void)!cw_book_facts_put(own->book, "east", facts);
    (void)!cw_book_facts(own->book, "east", &read, &counter);
    for (int i = 0; i < 4; i++)
        (void)cw_book_audit_check(own->book, 1000, &is_round, why, sizeof why);
    (void)events_of(own);
    (void)lines_of(own);
    json_t *have = cw_book_have(own->book), *told = cw_book_since(own->book, facts);
    (void)!cw_book_take(own->book, "west", told, &taken);
    json_decref(have);
    json_decref(told);
    json_decref(read);
    json_decref(facts);
}

/* Whatever was done to it: it takes what is told, and what it takes is there. */
static void assert_works(struct cw_own_book *own)
{
    for (int i = 0; i < 4; i++) {
        use_all(own);
        (void)cw_own_book_look(own, "east", now_ns);
    }
    uint32_t events = events_of(own), lines = lines_of(own);
    assert_int_equal(cw_book_event_add(own->book, 1, "east", "db", "text"), CW_OK);
    assert_int_equal(add_line(own, "promote db"), CW_OK);
    assert_int_equal(events_of(own), CW_MIN(events + 1, 1000u));
    assert_int_equal(lines_of(own), CW_MIN(lines + 1, 1000u));
}

static void write_at(const char *path, off_t at, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, at), (ssize_t)size);
    close(fd);
}

static void test_garbage_at_start(void **state)
{
    struct cw_own_book own;
    static const char garbage[5000] = "this is no book";
    write_at(file, 0, garbage, sizeof garbage);
    assert_true(cw_own_book_open(&own, file, now_ns));
    assert_false(cw_own_book_is_in_memory(&own));
    assert_int_equal(own.level, 2);
    assert_non_null(strstr(own.news, file));
    assert_non_null(strstr(own.news, own.moved));
    assert_non_null(strstr(own.news, "lines of audit that no other site has"));
    struct stat about;
    assert_int_equal(stat(own.moved, &about), 0);
    assert_int_equal(about.st_size, sizeof garbage);
    assert_works(&own);
    assert_int_equal(own.moved_count, 1);
    cw_own_book_close(&own);
    assert_true(cw_own_book_open(&own, file, now_ns));
    assert_string_equal(own.news, "");
    cw_own_book_close(&own);
}

static void copy(const char *from, const char *to, size_t size)
{
    char *bytes = calloc(1, size);
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    assert_true(bytes && in && out);
    assert_int_equal(fread(bytes, 1, size, in), size);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    fclose(in);
    fclose(out);
    free(bytes);
}

/* A good book of some pages in "whole"; returns its size. */
static size_t make_whole(char whole[128])
{
    struct cw_own_book own;
    struct stat about;
    snprintf(whole, 128, "%s/whole", directory);
    assert_true(cw_own_book_open(&own, file, now_ns));
    fill(&own, 60);
    cw_own_book_close(&own);
    assert_int_equal(stat(file, &about), 0);
    copy(file, whole, (size_t)about.st_size);
    return (size_t)about.st_size;
}

/* Each page of it in turn: zeros, noise, or nothing from there on. */
static void test_damaged_anywhere(void **state)
{
    char whole[128], page[4096];
    size_t size = make_whole(whole);
    uint32_t moved = 0, cases = 0;
    for (size_t at = 0; at < size; at += sizeof page) {
        for (int kind = 0; kind < 3; kind++) {
            struct cw_own_book own;
            copy(whole, file, size);
            for (size_t i = 0; i < sizeof page; i++)
                page[i] = (char)(kind == 0 ? 0 : i * 7 + at / 4096 + 1);
            if (kind == 2)
                assert_int_equal(truncate(file, (off_t)(at + sizeof page / 2)), 0);
            else
                write_at(file, (off_t)at, page, sizeof page);
            assert_true(cw_own_book_open(&own, file, now_ns));
            assert_works(&own);
            assert_false(cw_own_book_is_in_memory(&own));
            moved += own.moved_count;
            cases++;
            cw_own_book_close(&own);
            unlink(file);
        }
    }
    assert_true(cases > 30);
    assert_true(moved > cases / 2); /* what is left is space that nothing was in */
}

/* Tables that are not ours, under our names: SQLite finds nothing wrong with the file. */
static void test_other_tables(void **state)
{
    static const char *const columns[] = {"facts(x)", "events(id INTEGER PRIMARY KEY, stream, number)",
                                          "book(x)", "streams(name)", "audit_lines(x)"};
    for (size_t i = 0; i < CW_COUNT_OF(columns); i++) {
        char sql[128];
        sqlite3 *db = NULL;
        struct cw_own_book own;
        snprintf(sql, sizeof sql, "CREATE TABLE %s", columns[i]);
        assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        assert_true(cw_own_book_open(&own, file, now_ns));
        assert_works(&own);
        assert_int_equal(own.moved_count, 1);
        cw_own_book_close(&own);
        unlink(file);
    }
}

/* While it is open: what it has is another file's by the next start, and nothing stops meanwhile. */
static void test_damaged_while_open(void **state)
{
    struct cw_own_book own;
    static char zeros[1 << 20];
    sqlite3 *db = NULL;
    assert_true(cw_own_book_open(&own, file, now_ns));
    fill(&own, 60);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE); UPDATE book SET value=value", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL), SQLITE_OK);
    write_at(file, 4096, zeros, 40 * 4096);
    assert_works(&own);
    assert_int_equal(own.moved_count, 1);
    assert_false(cw_own_book_is_in_memory(&own));
    assert_int_equal(count_files(".damaged-"), 1 + count_files("-wal") - 1 + count_files("-shm") - 1);
    sqlite3_close(db);
    cw_own_book_close(&own);
}

/* A disk that damages whatever is begun on it is not filled with what was moved aside. */
static void test_damaged_again(void **state)
{
    struct cw_own_book own;
    static const char garbage[5000] = "this is no book";
    char wal[128];
    write_at(file, 0, garbage, sizeof garbage);
    assert_true(cw_own_book_open(&own, file, now_ns));
    snprintf(wal, sizeof wal, "%s-wal", file); /* what is not yet in the file would mend it */
    assert_int_equal(unlink(wal), 0);
    assert_int_equal(unlink(file), 0);
    write_at(file, 0, garbage, sizeof garbage);
    now_ns += 30 * CW_SECOND;
    assert_true(cw_own_book_look(&own, "east", now_ns));
    assert_true(cw_own_book_is_in_memory(&own));
    now_ns += 15 * CW_SECOND;
    assert_false(cw_own_book_look(&own, "east", now_ns));
    assert_int_equal(own.moved_count, 1);
    assert_works(&own);
    now_ns += LATER;
    assert_true(cw_own_book_look(&own, "east", now_ns));
    assert_false(cw_own_book_is_in_memory(&own));
    cw_own_book_close(&own);
}

/* It can be neither opened nor moved: in memory, until it can, and then what was told is in the file. */
static void test_not_to_be_opened(void **state)
{
    struct cw_own_book own;
    assert_int_equal(mkdir(file, 0700), 0);
    assert_true(cw_own_book_open(&own, file, now_ns));
    assert_true(cw_own_book_is_in_memory(&own));
    assert_int_equal(own.level, 2);
    assert_non_null(strstr(own.news, "goes on in memory"));
    assert_non_null(strstr(own.why, "unable to open"));
    fill(&own, 300);
    assert_works(&own);
    uint32_t events = events_of(&own), lines = lines_of(&own);
    assert_false(cw_own_book_look(&own, "east", now_ns + CW_SECOND));
    assert_int_equal(rmdir(file), 0);
    assert_false(cw_own_book_look(&own, "east", now_ns + CW_SECOND)); /* it is not its time */
    now_ns += LATER;
    assert_true(cw_own_book_look(&own, "east", now_ns));
    assert_int_equal(own.level, 0);
    assert_false(cw_own_book_is_in_memory(&own));
    for (int i = 0; i < 20; i++)
        assert_false(cw_own_book_look(&own, "east", now_ns));
    assert_int_equal(events_of(&own), events);
    assert_int_equal(lines_of(&own), lines);
    cw_own_book_close(&own);
    assert_true(cw_own_book_open(&own, file, now_ns));
    assert_int_equal(events_of(&own), events);
    cw_own_book_close(&own);
}

/* Twice in memory is one stream there, and each of its lines reaches the file once. */
static void test_full_twice(void **state)
{
    struct cw_own_book own;
    struct rlimit all, none;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = all.rlim_max};
    signal(SIGXFSZ, SIG_IGN); /* a write is refused then, as on a disk that is full */
    assert_true(cw_own_book_open(&own, file, now_ns));
    fill(&own, 3);
    for (uint32_t round = 1; round <= 2; round++) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        assert_int_not_equal(cw_book_event_add(own.book, 1, "east", "db", "text"), CW_OK);
        assert_true(cw_own_book_look(&own, "east", now_ns));
        assert_true(cw_own_book_is_in_memory(&own));
        assert_int_equal(cw_book_event_add(own.book, 1, "east", "db", "in memory"), CW_OK);
        assert_int_equal(add_line(&own, "in memory"), CW_OK);
        now_ns += LATER;
        assert_false(cw_own_book_look(&own, "east", now_ns)); /* it is full yet */
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
        now_ns += LATER;
        assert_true(cw_own_book_look(&own, "east", now_ns));
        assert_false(cw_own_book_look(&own, "east", now_ns));
        assert_int_equal(events_of(&own), 3 + round);
        assert_int_equal(lines_of(&own), 3 + round);
    }
    json_t *have = cw_book_have(own.book);
    assert_int_equal(json_object_size(have), 2);
    json_decref(have);
    assert_int_equal(own.moved_count, 0);
    cw_own_book_close(&own);
}

/* Taken away while it is open, or another one put in its place: a file that nobody finds keeps nothing. */
static void test_taken_away(void **state)
{
    struct cw_own_book own;
    assert_true(cw_own_book_open(&own, file, now_ns));
    assert_int_equal(unlink(file), 0);
    now_ns += 30 * CW_SECOND;
    assert_true(cw_own_book_look(&own, "east", now_ns));
    assert_non_null(strstr(own.news, "it is not there any more"));
    now_ns += LATER;
    assert_true(cw_own_book_look(&own, "east", now_ns));
    assert_int_equal(count_files("own.sqlite"), 3);
    fill(&own, 1);
    cw_own_book_close(&own);
}

/* Locked by somebody for long. What is not taken in the first seconds is for the caller to tell. */
static void test_locked(void **state)
{
    struct cw_own_book own;
    sqlite3 *db = NULL;
    assert_true(cw_own_book_open(&own, file, now_ns));
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    for (int i = 0; i < 3; i++) {
        (void)!cw_book_event_add(own.book, 1, "east", "db", "text");
        assert_int_equal(cw_own_book_look(&own, "east", now_ns), i == 2);
        now_ns += 2 * CW_SECOND;
    }
    assert_true(cw_own_book_is_in_memory(&own));
    fill(&own, 1);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    now_ns += LATER;
    assert_true(cw_own_book_look(&own, "east", now_ns));
    assert_false(cw_own_book_look(&own, "east", now_ns));
    assert_int_equal(lines_of(&own), 1);
    cw_own_book_close(&own);
}

/* Memory is bounded, and what is left of the audit there is not called damaged. */
static void test_memory_is_bounded(void **state)
{
    struct cw_own_book own;
    char why[200];
    bool is_round;
    assert_int_equal(mkdir(file, 0700), 0);
    assert_true(cw_own_book_open(&own, file, now_ns));
    for (uint32_t i = 0; i < CW_BOOK_MEMORY_LINES + 10; i++)
        assert_int_equal(add_line(&own, "promote db"), CW_OK);
    json_t *lines = cw_book_audit(own.book, 0, 2 * CW_BOOK_MEMORY_LINES);
    assert_int_equal(json_array_size(lines), CW_BOOK_MEMORY_LINES);
    for (size_t i = 0; i < 3; i++)
        assert_true(json_is_true(json_object_get(json_array_get(lines, i), "good")));
    json_decref(lines);
    assert_true(cw_book_audit_check(own.book, 1000, &is_round, why, sizeof why));
    cw_own_book_close(&own);
    assert_int_equal(rmdir(file), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, clean)
    const struct CMUnitTest tests[] = {TEST(test_garbage_at_start), TEST(test_damaged_anywhere),
                                       TEST(test_other_tables),     TEST(test_damaged_while_open),
                                       TEST(test_damaged_again),    TEST(test_not_to_be_opened),
                                       TEST(test_full_twice),       TEST(test_taken_away),
                                       TEST(test_locked),           TEST(test_memory_is_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
