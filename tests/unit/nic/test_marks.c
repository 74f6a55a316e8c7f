/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A journal that has lost its end at the end of a line, where its sums show nothing: by its marks it is missed, whatever is
 * left of it, and nobody says that all is done. Marks that are behind, torn or gone accuse nobody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/nic/fake_machine.h"

#define TEXT_MAX 65536

struct text {
    char bytes[TEXT_MAX];
    size_t length, starts[64], lines;
};
static struct text journal, marks;

static void path_of(char path[256], const char *name)
{
    snprintf(path, 256, "%s/%s", fake_command.folders.state, name);
}

static void read_text(const char *name, struct text *text)
{
    char path[256];
    path_of(path, name);
    FILE *from = fopen(path, "re");
    assert_non_null(from);
    text->length = fread(text->bytes, 1, sizeof text->bytes, from);
    fclose(from);
    text->lines = 0;
    for (size_t at = 0; at < text->length; at++)
        if (at == 0 || text->bytes[at - 1] == '\n')
            text->starts[text->lines++] = at;
    text->starts[text->lines] = text->length;
    assert_in_range(text->lines, 2, 60);
}

static void write_text(const char *name, const struct text *text, size_t length)
{
    char path[256];
    path_of(path, name);
    FILE *to = fopen(path, "we");
    assert_non_null(to);
    assert_int_equal(fwrite(text->bytes, 1, length, to), length);
    fclose(to);
}

static void remove_file(const char *name)
{
    char path[256];
    path_of(path, name);
    assert_int_equal(unlink(path), 0);
}

static void says(const char *words)
{
    if (!strstr(fake_said(), words))
        fail_msg("\"%s\" is not in: %s", words, fake_said());
}

/* All commands, and the machine stays as it is. */
static void is_refused_by_all(const char *words)
{
    static const char *const whats[] = {"revert", "apply", "boot", "revert", "plan"};
    for (int i = 0; i < 5; i++) {
        fake_command.is_yes = i < 3;
        assert_int_equal(fake_run(whats[i]), strcmp(whats[i], "plan") == 0 ? CW_NIC_REFUSED : CW_NIC_FAILED);
        says(words);
        says("What came last has to be undone first");
        says("remove the file marks: then causeway nic revert --yes undoes the rest");
        assert_null(strstr(fake_said(), "all is as it was"));
    }
    fake_command.is_yes = true;
    assert_true(fake_is_wanted());
}

static void test_every_line_is_missed(void **state)
{
    (void)state;
    char words[128];
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    read_text("journal", &journal);
    assert_int_equal(journal.lines, 2 + 2 * fake->count);
    for (size_t kept = journal.lines - 1; kept > 0; kept--) {
        write_text("journal", &journal, journal.starts[kept]);
        snprintf(words, sizeof words, "/journal: of its end %zu line%s missing", journal.lines - kept,
                 journal.lines - kept == 1 ? " is" : "s are");
        is_refused_by_all(words);
        bool is_card_missing = kept < 1 + 2 * FAKE_BIND + 1;
        assert_int_equal(strstr(fake_said(), "bind 0000:03:00.0") != NULL, is_card_missing);
        assert_int_equal(strstr(fake_said(), "they began no step") != NULL, kept >= journal.lines - 2);
        write_text("journal", &journal,
                   journal.starts[kept + 1] - 1); /* torn: the end of a line is none of it */
        if (kept + 1 < journal.lines)
            is_refused_by_all("missing, as marks beside it tells");
    }
    write_text("journal", &journal, journal.length);
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    assert_true(fake_is_first());
    assert_false(fake_has_state());
}

/* As is said there: what is missing by hand, then the rest. */
static void test_by_hand(void **state)
{
    (void)state;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    read_text("journal", &journal);
    write_text("journal", &journal,
               journal.starts[journal.lines - 4]); /* the link, and that all is applied */
    is_refused_by_all("4 lines are missing, as marks beside it tells, which began these steps: link /etc/");
    fake->values[5].now = fake->values[5].first;
    fake->values[5].boot = 0;
    remove_file("marks");
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    assert_true(fake_is_first());
    assert_false(fake_has_state());
}

static void test_journal_is_gone(void **state)
{
    (void)state;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    read_text("journal", &journal);
    remove_file("journal");
    is_refused_by_all(
        "all of its 14 lines are missing, as marks beside it tells, which began these steps: write "
        "/sys/pages, file /etc/systemd/system/causeway-nic.service, give-up eth2, bind 0000:03:00.0");
    write_text("journal", &journal, journal.length);
    char path[256];
    path_of(path, "journal");
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    assert_true(fake_is_first());
}

/* Of the same wish, from a backup: a boot has begun other steps since. */
static void test_older_journal(void **state)
{
    (void)state;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    read_text("journal", &journal);
    fake_reboot(false);
    assert_int_equal(fake_run("boot"), CW_NIC_DONE);
    write_text("journal", &journal, journal.length);
    is_refused_by_all("/journal is not the one that marks beside it was written with");
}

/* A boot writes the journal anew, shorter; a revert goes on where it was stopped. */
static void test_after_boots_and_reverts(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fake_run("apply"), CW_NIC_DONE);
        for (int k = 0; k <= i; k++) {
            fake_reboot(k % 2);
            assert_int_equal(fake_run("boot"), CW_NIC_DONE);
        }
        read_text("journal", &journal);
        write_text("journal", &journal, journal.starts[journal.lines - 1]);
        is_refused_by_all("1 line is missing");
        write_text("journal", &journal, journal.length);
        fake->fail_undo = 1;
        assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
        says("1 step is not undone");
        fake->fail_undo = 0;
        assert_int_equal(fake_run("revert"), CW_NIC_DONE);
        assert_true(fake_is_first());
        assert_false(fake_has_state());
    }
}

/* They are a help, and no condition: cut anywhere they tell of less, and the journal is taken as it is. */
static void test_marks_that_are_behind(void **state)
{
    (void)state;
    for (size_t length = 0;; length++) {
        assert_int_equal(fake_run("apply"), CW_NIC_DONE);
        read_text("marks", &marks);
        assert_int_equal(marks.lines, 2 + 2 * fake->count);
        if (length > marks.length)
            break;
        write_text("marks", &marks, length);
        fake->fail_undo = 1;
        if (fake_run("revert") != CW_NIC_FAILED) /* it goes on to write, behind what is whole */
            fail_msg("marks of %zu bytes: %s", length, fake_said());
        says("1 step is not undone");
        fake->fail_undo = 0;
        assert_int_equal(fake_run("revert"), CW_NIC_DONE);
        assert_true(fake_is_first());
        assert_false(fake_has_state());
        length += length > 64 && length + 64 < marks.length ? 6 : 0;
    }
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
}

/* Nothing is waited for, and nobody else's word is taken. */
static void test_something_else_in_their_place(void **state)
{
    (void)state;
    char path[256];
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    path_of(path, "marks");
    remove_file("marks");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
    says("/marks: somebody has put a FIFO in its place");
    remove_file("marks");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
    says("/marks: somebody has put a folder in its place");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    assert_true(fake_is_first());
}

#define T(name) cmocka_unit_test_setup_teardown(name, fake_begin, fake_end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_every_line_is_missed),
        T(test_by_hand),
        T(test_journal_is_gone),
        T(test_older_journal),
        T(test_after_boots_and_reverts),
        T(test_marks_that_are_behind),
        T(test_something_else_in_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
