/* SPDX-License-Identifier: BSD-3-Clause */
/* A file that is to survive a power loss: what is done, in which order, and what is told when it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/durable_file.h"

static char directory[64], file[96], part[112], trace[200];
static uint32_t fail_at; /* the step that fails, counted down; 0: none */
static json_t *one, *two;

static bool is_failing(const char *step)
{
    size_t used = strlen(trace);
    snprintf(trace + used, sizeof trace - used, "%s%s", used ? " " : "", step);
    if (fail_at == 0 || --fail_at > 0)
        return false;
    errno = EIO;
    return true;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    struct stat about;
    bool is_directory = fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
    return is_failing(is_directory ? "sync-directory" : "sync-file") ? -1 : __real_fsync(fd);
}
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
    return is_failing("rename") ? -1 : __real_rename(from, to);
}
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path)
{
    return is_failing(strcmp(path, part) == 0 ? "unlink-part" : "unlink") ? -1 : __real_unlink(path);
}
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
    if (fd <= STDERR_FILENO)
        return __real_write(fd, bytes, size);
    return is_failing("write") ? -1 : __real_write(fd, bytes, size > 7 ? 7 : size); /* in pieces */
}

static int make(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/cw-test-durable-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(file, sizeof file, "%s/it.json", directory);
    snprintf(part, sizeof part, "%s.part", file);
    one = json_pack("{s:i}", "a", 1);
    two = json_pack("{s:i}", "b", 2);
    fail_at = 0;
    trace[0] = 0;
    return 0;
}

static int clear(void **state)
{
    (void)state;
    fail_at = 0;
    (void)unlink(file);
    (void)unlink(part);
    json_decref(one);
    json_decref(two);
    return rmdir(directory);
}

static bool has(const json_t *wanted)
{
    json_t *found = json_load_file(file, 0, NULL);
    bool is = wanted ? found && json_equal(found, wanted) : !found;
    json_decref(found);
    return is;
}

static void test_order(void **state)
{
    (void)state;
    assert_int_equal(cw_durable_write(file, one, JSON_COMPACT), 0);
    assert_string_equal(trace, "write sync-file rename sync-directory");
    assert_true(has(one));
    assert_int_equal(cw_durable_write(file, two, JSON_INDENT(1)), 0);
    assert_true(has(two));
    trace[0] = 0;
    assert_int_equal(cw_durable_remove(file), 0);
    assert_string_equal(trace, "unlink sync-directory");
    assert_true(has(NULL));
    trace[0] = 0; /* it may have gone just now, and its directory not be synced */
    assert_int_equal(cw_durable_remove(file), 0);
    assert_string_equal(trace, "unlink sync-directory");
}

/* Each step fails once. */
static void test_failures(void **state)
{
    (void)state;
    assert_int_equal(cw_durable_write(file, one, JSON_COMPACT), 0);
    for (uint32_t step = 1; step <= 4; step++) {
        fail_at = step;
        assert_int_equal(cw_durable_write(file, two, JSON_COMPACT), EIO);
        assert_true(has(step == 4 ? two : one));
        assert_int_equal(access(part, F_OK), -1);
    }
    for (uint32_t step = 1; step <= 2; step++) {
        fail_at = step;
        assert_int_equal(cw_durable_remove(file), EIO);
        assert_true(has(step == 2 ? NULL : two));
    }
}

static void test_no_place(void **state)
{
    char nowhere[112], longest[5000];
    (void)state;
    snprintf(nowhere, sizeof nowhere, "%s/no/it", directory);
    assert_int_equal(cw_durable_write(nowhere, one, 0), ENOENT);
    assert_int_equal(cw_durable_remove(nowhere), ENOENT);
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(cw_durable_write(longest, one, 0), ENAMETOOLONG);
    assert_int_equal(cw_durable_remove(longest), ENAMETOOLONG);
    assert_int_equal(mkdir(part, 0700), 0);
    assert_int_equal(cw_durable_write(file, one, 0), EISDIR);
    assert_int_equal(rmdir(part), 0);
    assert_int_equal(chdir(directory), 0);
    assert_int_equal(cw_durable_write("it.json", one, 0), 0);
    assert_true(has(one));
}

#define T(name) cmocka_unit_test_setup_teardown(name, make, clear)

int main(void)
{
    static const struct CMUnitTest tests[] = {T(test_order), T(test_failures), T(test_no_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
