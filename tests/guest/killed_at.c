/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * killed_at J.C LOG PROGRAM ARGUMENT...: runs the program; it and all that it has started are killed as the Cth call of theirs
 * begins that changes something after the Jth line of the journal was written (0.0: never). LOG has a line for each change, the
 * last one was not done. Exit: 137 killed, else the program's.
 *
 * By the journal, as the number of changes within a step is not always the same: the kernel makes an address, or is given it.
 * Between two changes there is nothing to be seen of a kill, so one at each is all there are. A filter of seccomp stops the
 * program at calls that may be changes, and at no others: strace without one makes it ten times slower in a guest. fsync is
 * none: what a process has written outlives it. What `ip -json` does is none: it asks.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <linux/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/numbers.h"

#define PROCESSES_MAX 256u
#define TEXT_SIZE     120u
#define PATH_SIZE     400u

enum change { NONE, CHANGE, JOURNAL_LINE };

/* What its arguments are: to be told, and whether it changes anything. */
enum takes { PATH, PATH_AT, BYTES, FILE_ONLY, MESSAGE, BUFFER, OPENS };

static const struct call {
    unsigned number;
    const char *name;
    enum takes takes;
} calls[] = {
    {SYS_write, "write", BYTES},
    {SYS_pwrite64, "pwrite", BYTES},
    {SYS_ftruncate, "ftruncate", FILE_ONLY},
    {SYS_fallocate, "fallocate", FILE_ONLY},
    {SYS_fchmod, "fchmod", FILE_ONLY},
    {SYS_fchown, "fchown", FILE_ONLY},
    {SYS_finit_module, "finit_module", FILE_ONLY},
    {SYS_delete_module, "delete_module", PATH},
    {SYS_mkdir, "mkdir", PATH},
    {SYS_mkdirat, "mkdir", PATH_AT},
    {SYS_rmdir, "rmdir", PATH},
    {SYS_unlink, "unlink", PATH},
    {SYS_unlinkat, "unlink", PATH_AT},
    {SYS_rename, "rename", PATH},
    {SYS_renameat, "rename", PATH_AT},
    {SYS_renameat2, "rename", PATH_AT},
    {SYS_symlink, "symlink", PATH_AT},
    {SYS_symlinkat, "symlink", PATH},
    {SYS_mount, "mount", PATH_AT},
    {SYS_umount2, "umount", PATH},
    {SYS_sendmsg, "send", MESSAGE},
    {SYS_sendto, "send", BUFFER},
    {SYS_openat, "create", OPENS},
};

static pid_t members[PROCESSES_MAX];
static unsigned member_count;

static void check(int is_so, const char *what)
{
    if (is_so)
        return;
    perror(what);
    exit(2);
}

/* ---------------------------------------------------------------- which calls */

static void install_filter(void)
{
    struct sock_filter filter[2 * CW_COUNT_OF(calls) + 6];
    unsigned short count = 0;
#define PUT(...) filter[count++] = (struct sock_filter)__VA_ARGS__
    PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    for (unsigned i = 0; i + 1 < CW_COUNT_OF(calls); i++) {
        PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, 0, 1));
        PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
    }
    PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3)); /* most of them only read */
    PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])));
    PUT(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT | O_TRUNC, 0, 1));
    PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
    PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
#undef PUT
    struct sock_fprog program = {.len = count, .filter = filter};
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
    check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
}

/* ---------------------------------------------------------------- one call */

static size_t peek(pid_t process, uint64_t address, void *to, size_t size)
{
    struct iovec here = {to, size}, there = {(void *)(uintptr_t)address, size};
    ssize_t got = process_vm_readv(process, &here, 1, &there, 1, 0);
    return got > 0 ? (size_t)got : 0;
}

/* Up to the end of its page at least; printable. */
static void peek_text(pid_t process, uint64_t address, size_t length, char text[static TEXT_SIZE])
{
    size_t size = length < TEXT_SIZE - 1 ? length : TEXT_SIZE - 1, to_page = 4096 - address % 4096,
           got = peek(process, address, text, size < to_page ? size : to_page);
    if (got == to_page && got < size)
        got += peek(process, address + got, text + got, size - got);
    text[got] = 0;
    for (size_t i = 0; text[i]; i++)
        if (text[i] < ' ' || text[i] > '~')
            text[i] = ' ';
}

static void name_file(pid_t process, uint64_t number, char path[static PATH_SIZE])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", process, (int)number);
    ssize_t got = readlink(link, path, PATH_SIZE - 1);
    path[got > 0 ? got : 0] = 0;
}

static void read_command(pid_t process, char command[static TEXT_SIZE])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cmdline", process);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file >= 0 ? read(file, command, TEXT_SIZE - 1) : -1;
    command[got > 0 ? got : 0] = 0;
    for (ssize_t i = 0; i + 1 < got; i++)
        if (!command[i])
            command[i] = ' ';
    if (file >= 0)
        close(file);
}

/* Of rtnetlink: a message of new, del or set, and not of get; ip asks with one of new that is about no interface. */
static int is_netlink_change(pid_t process, uint64_t address)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg link;
    } asked;
    if (peek(process, address, &asked, sizeof asked) != sizeof asked)
        return 0;
    bool is_about_none = asked.head.nlmsg_type == RTM_NEWLINK && asked.head.nlmsg_len == sizeof asked &&
                         asked.link.ifi_index == 0;
    return asked.head.nlmsg_type >= RTM_BASE && asked.head.nlmsg_type % 4 != RTM_GETLINK % 4 &&
           !is_about_none;
}

static uint64_t first_buffer(pid_t process, uint64_t message)
{
    struct msghdr head;
    struct iovec first;
    if (peek(process, message, &head, sizeof head) != sizeof head ||
        peek(process, (uintptr_t)head.msg_iov, &first, sizeof first) != sizeof first)
        return 0;
    return (uintptr_t)first.iov_base;
}

/* false: it changes nothing. path and text: of what. */
static int describe(pid_t process, const struct call *call, const __u64 *arguments,
                    char path[static PATH_SIZE], char text[static TEXT_SIZE])
{
    path[0] = text[0] = 0;
    switch (call->takes) {
    case BYTES:
        peek_text(process, arguments[1], arguments[2], text);
        name_file(process, arguments[0], path);
        return arguments[0] != 1 && arguments[0] != 2 && path[0] == '/';
    case FILE_ONLY:
        name_file(process, arguments[0], path);
        return 1;
    case PATH:
        peek_text(process, arguments[0], TEXT_SIZE, text);
        return 1;
    case OPENS:
    case PATH_AT:
        peek_text(process, arguments[1], TEXT_SIZE, text);
        return 1;
    case MESSAGE:
        return is_netlink_change(process, first_buffer(process, arguments[1]));
    case BUFFER:
        return is_netlink_change(process, arguments[1]);
    }
    return 0;
}

static enum change find_change(pid_t process, FILE *log)
{
    struct ptrace_syscall_info info;
    char path[PATH_SIZE], text[TEXT_SIZE], command[TEXT_SIZE];
    if (ptrace(PTRACE_GET_SYSCALL_INFO, process, sizeof info, &info) <= 0)
        return NONE;
    for (unsigned i = 0; i < CW_COUNT_OF(calls); i++) {
        if (calls[i].number != info.seccomp.nr)
            continue;
        read_command(process, command);
        if (strstr(command, " -json") || !describe(process, &calls[i], info.seccomp.args, path, text))
            return NONE;
        fprintf(log, "%s%s%s %s %s\n", process == members[0] ? "" : command,
                process == members[0] ? "" : ": ", calls[i].name, path, text);
        size_t length = strlen(path);
        bool is_journal = length > 8 && strcmp(path + length - 8, "/journal") == 0 && text[0] == '{';
        return is_journal ? JOURNAL_LINE : CHANGE;
    }
    return NONE;
}

/* ---------------------------------------------------------------- all of them */

static int kill_all(void)
{
    for (unsigned i = 0; i < member_count; i++)
        kill(members[i], SIGKILL);
    while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
        ;
    return 128 + SIGKILL;
}

static int is_known(pid_t process)
{
    for (unsigned i = 0; i < member_count; i++)
        if (members[i] == process)
            return 1;
    check(member_count < PROCESSES_MAX, "too many processes");
    members[member_count++] = process;
    return 0;
}

/* Kills as the change begins that is the change-th one after this line of the journal. */
static int follow(unsigned line, unsigned change, FILE *log)
{
    int status;
    unsigned lines = 0, changes = 0;
    pid_t stopped;
    while ((stopped = waitpid(-1, &status, __WALL)) > 0) {
        if (!WIFSTOPPED(status)) {
            if (stopped == members[0])
                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            continue;
        }
        int signal = WSTOPSIG(status), passed = 0;
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
            enum change found = find_change(stopped, log);
            changes += found != NONE;
            if (found != NONE && lines == line && changes == change)
                return kill_all();
            if (found == JOURNAL_LINE) {
                lines++;
                changes = 0;
            }
        } else if (is_known(stopped) && signal != SIGTRAP && signal != SIGSTOP) {
            passed = signal;
        }
        ptrace(PTRACE_CONT, stopped, NULL, passed);
    }
    return 2;
}

int main(int argc, char **argv)
{
    unsigned line = 0, change = 0;
    check(argc > 3 && sscanf(argv[1], "%u.%u", &line, &change) == 2, "killed_at J.C LOG PROGRAM ARGUMENT...");
    FILE *log = fopen(argv[2], "we");
    check(log != NULL, argv[2]);
    check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl");
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) {
        check(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0, "ptrace");
        raise(SIGSTOP);
        install_filter();
        execv(argv[3], argv + 3);
        check(0, argv[3]);
    }
    members[member_count++] = child;
    int status;
    check(waitpid(child, &status, 0) == child && WIFSTOPPED(status), "waitpid");
    check(ptrace(PTRACE_SETOPTIONS, child, NULL,
                 PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                     PTRACE_O_TRACECLONE) == 0,
          "ptrace");
    check(ptrace(PTRACE_CONT, child, NULL, 0) == 0, "ptrace");
    int code = follow(line, change, log);
    check(fclose(log) == 0, argv[2]);
    return code;
}
