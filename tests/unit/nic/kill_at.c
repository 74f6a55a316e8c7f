/* SPDX-License-Identifier: BSD-3-Clause */
#include "kill_at.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <linux/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/numbers.h"

#define PROCESSES_MAX 64u

static const long long changing[] = {
    SYS_write,     SYS_rename,      SYS_renameat2,    SYS_unlink,        SYS_unlinkat, SYS_mkdir,
    SYS_rmdir,     SYS_symlink,     SYS_fchmod,       SYS_fchown,        SYS_fsync,    SYS_mount,
    SYS_umount2,   SYS_sendto,      SYS_sendmsg,      SYS_ioctl,         SYS_renameat, SYS_mkdirat,
    SYS_symlinkat, SYS_init_module, SYS_finit_module, SYS_delete_module,
};

struct family {
    pid_t members[PROCESSES_MAX];
    unsigned count;
};

static void check(bool is_so, const char *what)
{
    if (is_so)
        return;
    perror(what);
    abort();
}

static bool is_change(pid_t process)
{
    struct ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, process, sizeof info, &info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY)
        return false;
    for (unsigned i = 0; i < CW_COUNT_OF(changing); i++)
        if ((long long)info.entry.nr == changing[i])
            return true;
    return info.entry.nr == SYS_openat && (info.entry.args[2] & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0;
}

/* Until none is left; orphans come to us too. */
static void kill_all(const struct family *family)
{
    for (unsigned i = 0; i < family->count; i++)
        kill(family->members[i], SIGKILL);
    while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
        ;
}

static bool follow(struct family *family, unsigned n)
{
    int status;
    pid_t stopped;
    while ((stopped = waitpid(-1, &status, __WALL)) > 0) {
        if (!WIFSTOPPED(status)) {
            if (stopped == family->members[0]) {
                check(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                      "what was to be killed failed by itself");
                kill_all(family);
                return false;
            }
            continue;
        }
        int signal = WSTOPSIG(status), passed = 0;
        bool is_known = false;
        for (unsigned i = 0; i < family->count; i++)
            is_known |= family->members[i] == stopped;
        if (!is_known) {
            check(family->count < PROCESSES_MAX, "too many processes");
            family->members[family->count++] = stopped;
        } else if (signal == (SIGTRAP | 0x80)) {
            if (is_change(stopped) && --n == 0) {
                kill_all(family);
                return true;
            }
        } else if (signal != SIGTRAP && signal != SIGSTOP) {
            passed = signal;
        }
        ptrace(PTRACE_SYSCALL, stopped, NULL, passed);
    }
    return false;
}

bool kill_at(unsigned n, void (*what)(void))
{
    struct family family = {.count = 1};
    int status;
    check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl");
    fflush(NULL);
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) {
        check(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0, "ptrace");
        raise(SIGSTOP);
        what();
        _exit(0);
    }
    family.members[0] = child;
    check(waitpid(child, &status, 0) == child && WIFSTOPPED(status), "waitpid");
    check(ptrace(PTRACE_SETOPTIONS, child, NULL,
                 PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                     PTRACE_O_TRACECLONE) == 0,
          "ptrace");
    check(ptrace(PTRACE_SYSCALL, child, NULL, 0) == 0, "ptrace");
    return follow(&family, n);
}
