/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A journal that somebody has damaged: cut at every length, every bit turned, lines lost, doubled and changed places. Each is
 * refused with its line, or undone rightly as far as it goes; and what may be in it at most.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nic-config/journal_file.h"
#include "tests/unit/nic/fake_machine.h"

#define TEXT_MAX 65536

static char text[TEXT_MAX], why[512];
static size_t length;

static void path_of(char *path, size_t size)
{
    snprintf(path, size, "%s/journal", fake_command.folders.state);
}

static void read_text(void)
{
    char path[256];
    path_of(path, sizeof path);
    FILE *from = fopen(path, "re");
    assert_non_null(from);
    length = fread(text, 1, sizeof text, from);
    fclose(from);
    assert_in_range(length, 1, sizeof text - 1);
}

static void write_text(const char *what, size_t size)
{
    char path[256];
    path_of(path, sizeof path);
    FILE *to = fopen(path, "we");
    assert_non_null(to);
    assert_int_equal(fwrite(what, 1, size, to), size);
    fclose(to);
}

static enum cw_status open_status(struct cw_undo_journal **journal)
{
    return cw_undo_open(fake_command.folders.state, CW_UNDO_CHANGE, journal, why, sizeof why);
}

static void set_values(bool is_wanted)
{
    for (uint32_t i = 0; i < fake->count; i++) {
        fake->values[i].now = is_wanted ? fake->values[i].wanted : fake->values[i].first;
        fake->values[i].is_half = false;
    }
}

/* As a version before had it: what is left of the journal is all that is known of it (test_marks.c has the others). */
static void remove_marks(void)
{
    char path[256];
    snprintf(path, sizeof path, "%s/marks", fake_command.folders.state);
    assert_int_equal(unlink(path), 0);
}

/* Reverts what the file says now, of a machine where all is done: the values of its first steps are back, no others. */
static void revert_knows(uint32_t known)
{
    set_values(true);
    fake->is_order_free = true;
    if (fake_run("revert") != CW_NIC_DONE)
        fail_msg("%s", fake_said());
    for (uint32_t i = 0; i < fake->count; i++)
        assert_int_equal(fake->values[i].now, i < known ? fake->values[i].first : fake->values[i].wanted);
}

/* As the kernel would leave it, had the writer been killed there. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    struct cw_undo_journal *journal;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    read_text();
    remove_marks();
    uint32_t refused = 0, last = 0;
    for (size_t size = 0; size < length; size++) {
        assert_true(fake_has_state() || mkdir(fake_command.folders.state, 0700) == 0);
        write_text(text, size);
        enum cw_status status = open_status(&journal);
        if (status != CW_OK) {
            assert_int_equal(status, CW_CORRUPT);
            assert_non_null(strstr(why, "line 1"));
            assert_true(last == 0 &&
                        ++refused == size + 1); /* until its first line is whole, and then never */
            continue;
        }
        uint32_t known = journal->count;
        assert_in_range(known, last, last + 1);
        last = known;
        cw_undo_close(journal);
        bool is_at_line = size == 0 || text[size] == '\n' || text[size - 1] == '\n' || size % 16 == 0;
        if (is_at_line) /* and elsewhere it is the same prefix */
            revert_knows(known);
    }
    assert_int_equal(last, fake->count);
}

/* Every bit of every byte. */
static void test_turned_bits(void **state)
{
    (void)state;
    struct cw_undo_journal *journal;
    fake->count = 3;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    read_text();
    for (size_t at = 0; at < length; at++)
        for (int bit = 0; bit < 8; bit++) {
            text[at] ^= (char)(1 << bit);
            write_text(text, length);
            text[at] ^= (char)(1 << bit);
            enum cw_status status = open_status(&journal);
            bool is_refused = status == CW_CORRUPT || status == CW_INVALID;
            if (!is_refused)
                fail_msg("bit %d of byte %zu is not noticed", bit, at);
            assert_non_null(strstr(why, "line "));
        }
    write_text(text, length);
    revert_knows(3);
}

/* Whole lines: one is gone, one is there twice, two have changed places. */
static void test_lines_moved(void **state)
{
    (void)state;
    static char changed[2 * TEXT_MAX];
    size_t starts[64], count = 0;
    struct cw_undo_journal *journal;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    read_text();
    for (size_t at = 0; at < length; at++)
        if (at == 0 || text[at - 1] == '\n')
            starts[count++] = at;
    assert_int_equal(count, 2 + 2 * fake->count);
    starts[count] = length;
    for (size_t i = 0; i + 1 < count; i++) {
        size_t gone = starts[i + 1] - starts[i];
        memcpy(changed, text, starts[i]);
        memcpy(changed + starts[i], text + starts[i + 1], length - starts[i + 1]);
        write_text(changed, length - gone);
        assert_int_equal(open_status(&journal), CW_CORRUPT);
        memcpy(changed, text, starts[i + 1]);
        memcpy(changed + starts[i + 1], text + starts[i], length - starts[i]);
        write_text(changed, length + gone);
        assert_int_equal(open_status(&journal), CW_CORRUPT);
        size_t next = starts[i + 2] - starts[i + 1];
        memcpy(changed, text, length);
        memcpy(changed + starts[i], text + starts[i + 1], next);
        memcpy(changed + starts[i] + next, text + starts[i], gone);
        write_text(changed, length);
        assert_int_equal(open_status(&journal), CW_CORRUPT);
    }
}

/* Behind a journal that is whole: what a power loss or a hand may leave there. */
static void test_what_follows(void **state)
{
    (void)state;
    struct cw_undo_journal *journal;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    read_text();
    memset(text + length, 0, 4096); /* a file system that has given it room and no bytes yet */
    write_text(text, length + 4096);
    assert_int_equal(open_status(&journal), CW_OK);
    assert_true(journal->is_torn);
    assert_string_equal(journal->applied, "boot-1");
    cw_undo_close(journal);
    memcpy(text + length, "{\"done\":0}\n", 11); /* by hand, without a sum */
    write_text(text, length + 11);
    assert_int_equal(open_status(&journal), CW_CORRUPT);
    text[length] = '\n';
    write_text(text, length + 1);
    assert_int_equal(open_status(&journal), CW_CORRUPT);
    write_text(text, length);
    revert_knows(fake->count);
}

/* The last line over blocks of which some have not reached the disk: a hole in it, and maybe room behind it. */
static void test_hole_in_last_line(void **state)
{
    (void)state;
    static char changed[2 * TEXT_MAX];
    struct cw_undo_journal *journal;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    read_text();
    remove_marks();
    size_t last = length - 1, above;
    while (text[last - 1] != '\n')
        last--;
    for (above = last - 1; text[above - 1] != '\n';)
        above--;
    for (size_t room = 0; room <= 4096; room += 4096)
        for (size_t from = last; from + 1 < length; from++) {
            memset(changed, 0, sizeof changed);
            memcpy(changed, text, length);
            memset(changed + from, 0, from % 2 ? 1 : length - 1 - from);
            write_text(changed, length + room);
            assert_int_equal(open_status(&journal), CW_OK);
            assert_true(journal->is_torn);
            assert_int_equal(journal->size, last);
            cw_undo_close(journal);
        }
    changed[length + 1] = 'x'; /* something was written behind it */
    write_text(changed, length + 2);
    assert_int_equal(open_status(&journal), CW_CORRUPT);
    memcpy(changed, text, length);
    changed[above + 3] = 0; /* what was synced since is behind it */
    write_text(changed, length);
    assert_int_equal(open_status(&journal), CW_CORRUPT);
    memcpy(changed, text, length);
    changed[last + 3] = 0;
    write_text(changed, length);
    revert_knows(fake->count);
}

/* A line as we would write it, of what no version of us writes: sums are no proof of sense. */
static void test_sound_nonsense(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{\"done\":99}",
        "{\"done\":-1}",
        "{\"done\":\"0\"}",
        "{\"done\":0,\"more\":1}",
        "{\"undone\":99}",
        "{\"applied\":7}",
        "{\"reverting\":false}",
        "{\"nothing\":0}",
        "{}",
        "[1]",
        "{\"begin\":5,\"kind\":\"write\"}",
        "{\"begin\":0,\"kind\":\"write\",\"subject\":\"/sys/pages\",\"value\":\"100\",\"why\":\"\",\"interface\":\"\","
        "\"before\":{},\"boot\":\"boot-1\"}",
        "{\"begin\":1,\"kind\":\"wipe\",\"subject\":\"/sys/pages\",\"value\":\"100\",\"why\":\"\",\"interface\":\"\","
        "\"before\":{},\"boot\":\"boot-1\"}",
        "{\"begin\":1,\"kind\":\"write\",\"subject\":\"/sys/pages\",\"value\":100,\"why\":\"\",\"interface\":\"\","
        "\"before\":{},\"boot\":\"boot-1\"}",
        "{\"begin\":1,\"kind\":\"write\",\"subject\":\"/sys/pages\",\"value\":\"100\",\"why\":\"\","
        "\"interface\":\"longer-than-any-interface\",\"before\":{},\"boot\":\"boot-1\"}",
        "{\"begin\":1,\"kind\":\"write\",\"kind\":\"bind\",\"subject\":\"/sys/pages\",\"value\":\"100\",\"why\":\"\","
        "\"interface\":\"\",\"before\":{},\"boot\":\"boot-1\"}",
    };
    struct cw_undo_journal *journal;
    fake->count = 1;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    read_text();
    assert_int_equal(open_status(&journal), CW_OK);
    uint64_t sum = journal->sum;
    cw_undo_close(journal);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        size_t size = strlen(lines[i]);
        uint64_t next = cw_undo_sum(sum, lines[i], size - 1);
        int more = snprintf(text + length, sizeof text - length, "%.*s,\"sum\":\"%016llx\"}\n", (int)size - 1,
                            lines[i], (unsigned long long)next);
        write_text(text, length + (size_t)more);
        if (open_status(&journal) != CW_CORRUPT)
            fail_msg("%s is taken", lines[i]);
        assert_non_null(strstr(why, "line 5"));
    }
}

static struct cw_step step = {.kind = CW_STEP_WRITE, .subject = "/sys/pages", .value = "1"};

static struct cw_undo_journal *begun(void)
{
    struct cw_undo_journal *journal;
    struct cw_journal_head head = {.boot = "boot-1", .wish_file = "wish.yaml"};
    assert_int_equal(cw_undo_open(fake_command.folders.state, CW_UNDO_CREATE, &journal, why, sizeof why),
                     CW_NOT_FOUND);
    assert_int_equal(cw_undo_start(journal, &head, "paths", 5, why, sizeof why), CW_OK);
    return journal;
}

static void test_limits(void **state)
{
    (void)state;
    struct cw_undo_journal *journal = begun();
    static struct cw_step many[CW_JOURNAL_STEPS_MAX + 1];
    static char longest[CW_JOURNAL_LINE_MAX];
    memset(longest, 'x', sizeof longest - 1);
    off_t size = journal->size;
    assert_int_not_equal(
        cw_undo_begin(journal, &step, json_pack("{s:s}", "was", longest), "boot-1", why, sizeof why), CW_OK);
    assert_int_equal(journal->size, size);
    struct cw_step foreign = step;
    snprintf(foreign.subject, sizeof foreign.subject, "/sys/\xff");
    assert_int_not_equal(cw_undo_begin(journal, &foreign, json_object(), "boot-1", why, sizeof why), CW_OK);
    assert_int_equal(journal->count, 0);
    char left[sizeof journal->steps->left];
    memset(left, 'y', sizeof left - 1);
    left[sizeof left - 1] = 0;
    longest[CW_JOURNAL_LINE_MAX - 1024] = 0; /* until the file is full, or the table */
    enum cw_status status = CW_OK;
    uint32_t count = 0;
    for (; status == CW_OK && count <= CW_JOURNAL_STEPS_MAX; count++)
        status = cw_undo_begin(journal, &step, json_pack("{s:s}", "was", longest), "boot-1", why, sizeof why);
    assert_int_equal(status, CW_NO_SPACE);
    count = journal->count;
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(cw_undo_done(journal, i, why, sizeof why), CW_OK);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(cw_undo_undone(journal, i,
                                        i % 3 == 1   ? left
                                        : i % 3 == 2 ? "\xff"
                                                     : "",
                                        why, sizeof why),
                         CW_OK);
    cw_undo_close(journal);
    assert_int_equal(open_status(&journal), CW_OK); /* what could be written can be read */
    assert_int_equal(journal->count, count);
    assert_true(count > 100);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(journal->steps[i].is_undone);
        assert_string_equal(journal->steps[i].left, i % 3 == 1 ? left : "");
    }
    assert_int_equal(cw_undo_remove(journal, why, sizeof why), CW_OK);
    cw_undo_close(journal);
    journal = begun();
    assert_int_equal(cw_undo_reserve(journal, many, CW_JOURNAL_STEPS_MAX, why, sizeof why), CW_OK);
    assert_int_equal(cw_undo_reserve(journal, many, CW_JOURNAL_STEPS_MAX + 1, why, sizeof why), CW_NO_SPACE);
    for (uint32_t i = 0; i < CW_JOURNAL_STEPS_MAX; i++)
        assert_int_equal(cw_undo_begin(journal, &step, json_object(), "boot-1", why, sizeof why), CW_OK);
    assert_int_equal(cw_undo_begin(journal, &step, json_object(), "boot-1", why, sizeof why), CW_NO_SPACE);
    cw_undo_close(journal);
    assert_int_equal(open_status(&journal), CW_OK);
    cw_undo_close(journal);
}

/* It is undone as root: nobody else may have written it, and nobody else reads it. */
static void test_whose_it_is(void **state)
{
    (void)state;
    struct stat about;
    char path[256], other[256];
    struct cw_undo_journal *journal;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    path_of(path, sizeof path);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_int_equal(stat(fake_command.folders.state, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0700);
    assert_int_equal(chmod(path, 0620), 0);
    assert_int_equal(open_status(&journal), CW_IO);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(fake_command.folders.state, 0702), 0);
    assert_int_equal(open_status(&journal), CW_IO);
    assert_int_equal(chmod(fake_command.folders.state, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 65534, 0), 0);
        assert_int_equal(open_status(&journal), CW_IO);
        assert_int_equal(chown(path, 0, 0), 0);
    }
    snprintf(other, sizeof other, "%s/elsewhere", fake_folder);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(open_status(&journal), CW_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    assert_true(fake_is_first());
}

/* false: there is no such kind. */
static bool put_in_place(const char *path, int kind)
{
    if (kind == 0)
        assert_int_equal(mkdir(path, 0700), 0);
    if (kind == 1)
        assert_int_equal(mkfifo(path, 0600), 0);
    if (kind == 2)
        assert_int_equal(symlink("elsewhere", path), 0);
    if (kind == 3) {
        int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(file, 1 << 30), 0);
        close(file);
    }
    return kind < 4;
}

static void says_of(const char *what, const char *path, int kind)
{
    static const char *const words[] = {"put a folder in its place: find where the file is now",
                                        "put a FIFO in its place: find where the file is now",
                                        "put a link in its place: find where the file is now",
                                        "has 1073741824 bytes, and "};
    assert_int_not_equal(fake_run(what), CW_NIC_DONE);
    if (!strstr(fake_said(), path) || !strstr(fake_said(), words[kind]))
        fail_msg("%s of %s: %s", what, words[kind], fake_said());
}

/* A hand at the state folder: it is said what stands there; nothing is waited for, and nothing read without a limit. */
static void test_something_else_in_its_place(void **state)
{
    (void)state;
    static const char *const whats[] = {"plan", "apply", "boot", "revert"};
    char path[256], away[256];
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    for (int is_wish = 0; is_wish < 2; is_wish++) {
        snprintf(path, sizeof path, "%s/%s", fake_command.folders.state, is_wish ? "wish" : "journal");
        snprintf(away, sizeof away, "%s/away", fake_command.folders.state);
        if (is_wish)
            fake_reboot(false);
        assert_int_equal(rename(path, away), 0);
        for (int kind = 0; put_in_place(path, kind); kind++) {
            for (size_t i = 0; i < sizeof whats / sizeof whats[0]; i++)
                if (!is_wish || strcmp(whats[i], "boot") == 0) /* who alone reads the wish */
                    says_of(whats[i], path, kind);
            fake_command.is_yes = false;
            if (!is_wish)
                says_of("revert", path, kind);
            fake_command.is_yes = true;
            assert_int_equal(remove(path), 0);
        }
        assert_int_equal(rename(away, path), 0);
    }
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    assert_true(fake_is_first());
}

/* Nobody is at work where the folder is a link that leads nowhere, and nobody is waited for. */
static void test_folder_that_leads_nowhere(void **state)
{
    (void)state;
    struct cw_undo_journal *journal;
    assert_int_equal(symlink("/nowhere/at/all", fake_command.folders.state), 0);
    assert_int_equal(cw_undo_open(fake_command.folders.state, CW_UNDO_CREATE, &journal, why, sizeof why),
                     CW_IO);
    assert_non_null(strstr(why, "No such file"));
    assert_int_equal(unlink(fake_command.folders.state), 0);
}

/* One makes the folder while the other removes it: that another is at work is all that either is told. */
static void test_folder_made_and_removed(void **state)
{
    (void)state;
    int status;
    pid_t other = fork();
    for (int i = 0; i < 500; i++) {
        struct cw_undo_journal *journal;
        enum cw_status opened =
            cw_undo_open(fake_command.folders.state, CW_UNDO_CREATE, &journal, why, sizeof why);
        if (opened == CW_NOT_FOUND)
            cw_undo_close(journal); /* nothing was begun: it goes again */
        else if (opened != CW_REFUSED && other == 0)
            _exit(1);
        else if (opened != CW_REFUSED)
            fail_msg("status %d: %s", opened, why);
    }
    if (other == 0)
        _exit(0);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fake_begin, fake_end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_cut_anywhere),
        T(test_turned_bits),
        T(test_lines_moved),
        T(test_what_follows),
        T(test_hole_in_last_line),
        T(test_sound_nonsense),
        T(test_limits),
        T(test_whose_it_is),
        T(test_something_else_in_its_place),
        T(test_folder_made_and_removed),
        T(test_folder_that_leads_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
