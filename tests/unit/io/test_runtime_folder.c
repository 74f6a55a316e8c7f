/* SPDX-License-Identifier: BSD-3-Clause */
/* What DPDK keeps for processes that were killed is removed, and of no other. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/runtime_folder.h"

static char top[] = "/tmp/cw-test-runtime-XXXXXX", parent[64];
static char why[256];

static const char *at(const char *name, const char *file)
{
    static char path[192];
    snprintf(path, sizeof path, "%s/%s%s%s", parent, name, *file ? "/" : "", file);
    return path;
}

static bool is_there(const char *name)
{
    return access(at(name, ""), F_OK) == 0;
}

static void put(const char *name, const char *file)
{
    FILE *to = fopen(at(name, file), "w");
    assert_non_null(to);
    fclose(to);
}

static void listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int written =
        snprintf(address.sun_path, sizeof address.sun_path, "%s/%s/dpdk_telemetry.v2", parent, name);
    assert_in_range(written, 1, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1) != 0)
        abort();
}

/* A process that has the folder until it is killed. */
static pid_t holder(const char *name, bool has_lock, bool answers)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct cw_runtime_folder folder;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (has_lock ? cw_runtime_folder_take(&folder, parent, name, why, sizeof why) != CW_OK
                     : mkdir(at(name, ""), 0700) != 0)
            _exit(1);
        if (answers)
            listen_at(name);
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void end(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void make_old(const char *name)
{
    struct timespec long_ago[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    assert_int_equal(utimensat(AT_FDCWD, at(name, ""), long_ago, 0), 0);
}

static struct cw_runtime_folder begin(void)
{
    struct cw_runtime_folder own;
    assert_int_equal(cw_runtime_folder_take(&own, parent, "causeway-own", why, sizeof why), CW_OK);
    return own;
}

static void finish(struct cw_runtime_folder *own)
{
    assert_true(is_there("causeway-own"));
    cw_runtime_folder_remove(own);
    assert_false(is_there("causeway-own"));
    close(own->lock);
}

static void of_a_killed_one_is_removed(void **state)
{
    struct cw_runtime_folder own = begin();
    pid_t pid = holder("causeway-killed", true, true);
    put("causeway-killed", "config");
    end(pid);
    cw_runtime_folder_sweep(&own, "causeway-");
    assert_false(is_there("causeway-killed"));
    finish(&own);
}

/* Nor of one that has only begun, or is stopped. */
static void of_one_that_lives_stays(void **state)
{
    struct cw_runtime_folder own = begin();
    pid_t begun = holder("causeway-begun", true, false), stopped = holder("causeway-stopped", true, true);
    put("causeway-begun", "config");
    make_old("causeway-begun");
    assert_int_equal(kill(stopped, SIGSTOP), 0);
    cw_runtime_folder_sweep(&own, "causeway-");
    assert_int_equal(access(at("causeway-begun", "config"), F_OK), 0);
    assert_int_equal(access(at("causeway-stopped", "dpdk_telemetry.v2"), F_OK), 0);
    end(begun);
    end(stopped);
    cw_runtime_folder_sweep(&own, "causeway-");
    assert_false(is_there("causeway-begun"));
    assert_false(is_there("causeway-stopped"));
    finish(&own);
}

/* Engines of before there was the lock. */
static void without_a_lock(void **state)
{
    struct cw_runtime_folder own = begin();
    pid_t answers = holder("causeway-answers", false, true), starts = holder("causeway-starts", false, false);
    make_old("causeway-answers");
    cw_runtime_folder_sweep(&own, "causeway-");
    assert_int_equal(access(at("causeway-answers", "dpdk_telemetry.v2"), F_OK), 0);
    assert_true(is_there("causeway-starts"));
    end(answers);
    end(starts);
    make_old("causeway-answers");
    make_old("causeway-starts");
    cw_runtime_folder_sweep(&own, "causeway-");
    assert_false(is_there("causeway-answers"));
    assert_false(is_there("causeway-starts"));
    finish(&own);
}

static void of_others_stays(void **state)
{
    struct cw_runtime_folder own = begin();
    char elsewhere[128];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", top);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    assert_int_equal(mkdir(at("rte", ""), 0700), 0);
    assert_int_equal(symlink(elsewhere, at("causeway-link", "")), 0);
    put("causeway-link", "file");
    make_old("rte");
    make_old("causeway-link");
    cw_runtime_folder_sweep(&own, "causeway-");
    assert_true(is_there("rte"));
    assert_int_equal(access(at("causeway-link", "file"), F_OK), 0);
    assert_int_equal(unlink(at("causeway-link", "")), 0);
    finish(&own);
}

static void one_is_taken_once(void **state)
{
    struct cw_runtime_folder second;
    pid_t pid = holder("causeway-twice", true, false);
    put("causeway-twice", "config");
    assert_int_equal(cw_runtime_folder_take(&second, parent, "causeway-twice", why, sizeof why), CW_REFUSED);
    assert_string_equal(why, "DPDK: another engine runs with file prefix causeway-twice");
    cw_runtime_folder_remove(&second);
    assert_int_equal(access(at("causeway-twice", "config"), F_OK), 0);
    end(pid);
    assert_int_equal(cw_runtime_folder_take(&second, parent, "causeway-twice", why, sizeof why), CW_OK);
    assert_int_not_equal(access(at("causeway-twice", "config"), F_OK), 0);
    cw_runtime_folder_remove(&second);
    close(second.lock);
    assert_int_equal(cw_runtime_folder_take(&second, parent, "a/b", why, sizeof why), CW_INVALID);
    assert_int_equal(cw_runtime_folder_take(&second, "/proc/nowhere", "a", why, sizeof why), CW_IO);
}

static int before_all(void **state)
{
    if (mkdtemp(top) == NULL)
        return -1;
    snprintf(parent, sizeof parent, "%s/dpdk", top);
    return 0;
}

static int after_all(void **state)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", top);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_killed_one_is_removed),
        cmocka_unit_test(of_one_that_lives_stays),
        cmocka_unit_test(without_a_lock),
        cmocka_unit_test(of_others_stays),
        cmocka_unit_test(one_is_taken_once),
    };
    return cmocka_run_group_tests(tests, before_all, after_all);
}
