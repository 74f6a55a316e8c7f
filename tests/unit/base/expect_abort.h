/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bug stops the program: this asks a child to commit one and sees it die. The child's complaint goes to
 * /dev/null, a clean exit or another signal fails the test.
 */
#pragma once

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define expect_abort(statement)                                                                              \
    do {                                                                                                     \
        int expect_abort_status;                                                                             \
        fflush(NULL);                                                                                        \
        pid_t expect_abort_child = fork();                                                                   \
        assert_true(expect_abort_child >= 0);                                                                \
        if (expect_abort_child == 0) {                                                                       \
            signal(SIGABRT, SIG_DFL);                                                                        \
            if (!freopen("/dev/null", "w", stderr))                                                          \
                _exit(2);                                                                                    \
            statement;                                                                                       \
            _exit(0);                                                                                        \
        }                                                                                                    \
        assert_int_equal(waitpid(expect_abort_child, &expect_abort_status, 0), expect_abort_child);          \
        if (!WIFSIGNALED(expect_abort_status) || WTERMSIG(expect_abort_status) != SIGABRT)                   \
            fail_msg("%s: did not abort", #statement);                                                       \
    } while (0)
