/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The processes of a lab, known by a pid file each. A pid is believed only if that process' command line
 * names our program and this site's configuration: pids are used again.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/lab.h"

#define READY_MS       60000
#define STOP_ENGINE_MS 15000
#define STOP_MS        5000

#define ALL_PROGRAMS (CW_LAB_PROGRAMS + 1)

static const char *const program_names[ALL_PROGRAMS] = {"causeway-engine", "causeway-control", "etcd",
                                                        "wanem"};
static const char *const program_short[CW_LAB_PROGRAMS] = {"engine", "control", "etcd"};

/* ---------------------------------------------------------------- who runs */

/* Does /proc/PID/cmdline have the program's name and this argument? */
static bool is_ours(int pid, const char *program, const char *argument)
{
    char path[32], words[4096];
    bool has_program = false, has_argument = false;
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, words, sizeof words - 1) : 0;
    if (fd >= 0)
        close(fd);
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(words + at) + 1) {
        words[length] = 0;
        has_program = has_program || strstr(words + at, program) != NULL;
        has_argument = has_argument || strcmp(words + at, argument) == 0;
    }
    return has_program && has_argument;
}

/* 0: none. */
static int pid_written(const char *pid_file)
{
    int pid = 0;
    FILE *from = fopen(pid_file, "re");
    if (from && fscanf(from, "%d", &pid) != 1)
        pid = 0;
    if (from)
        fclose(from);
    return pid;
}

int cw_lab_pid_read(const char *pid_file, enum cw_lab_program program, const char *argument)
{
    int pid = pid_written(pid_file);
    const char *file = cw_lab_program_file(program);
    const char *base = strrchr(file, '/');
    return pid > 1 && is_ours(pid, base ? base + 1 : file, argument) ? pid : 0;
}

bool cw_lab_pid_write(const char *pid_file, int pid)
{
    FILE *to = fopen(pid_file, "we");
    bool is_written = to && fprintf(to, "%d\n", pid) > 0;
    return to && fclose(to) == 0 && is_written;
}

static void configuration_of(const struct cw_lab *lab, const char *site, enum cw_lab_program program,
                             char *path, size_t size)
{
    cw_lab_site_file(lab, site, program == CW_LAB_ETCD ? "etcd.yaml" : "node.yaml", path, size);
}

/* The pid of a running program of a site; 0: it does not run. */
static int running_pid(const struct cw_lab *lab, const char *site, enum cw_lab_program program)
{
    char path[CW_LAB_PATH_SIZE], name[32], configuration[CW_LAB_PATH_SIZE];
    snprintf(name, sizeof name, "%s.pid", program_short[program]);
    cw_lab_site_file(lab, site, name, path, sizeof path);
    configuration_of(lab, site, program, configuration, sizeof configuration);
    return cw_lab_pid_read(path, program, configuration);
}

bool cw_lab_is_running(const struct cw_lab *lab, const char *site, enum cw_lab_program program)
{
    return running_pid(lab, site, program) != 0;
}

/* ---------------------------------------------------------------- starting */

const char *cw_lab_program_file(enum cw_lab_program program)
{
    static const char *const beside[ALL_PROGRAMS][2] = {
        {"causeway-engine", "../dataplane/engine/causeway-engine"},
        {"causeway-control", "causeway-control"},
        {"etcd", "etcd"}, /* in practice by PATH */
        {"wanem", "../perf/wanem/wanem"}};
    static const char *const variables[ALL_PROGRAMS] = {"CAUSEWAY_ENGINE", "CAUSEWAY_CONTROL",
                                                        "CAUSEWAY_ETCD", "CAUSEWAY_WANEM"};
    static char found[ALL_PROGRAMS][512];
    cw_program_file(beside[program], variables[program], found[program], sizeof found[program]);
    return found[program];
}

void cw_lab_output_to(const char *log)
{
    int to = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), none = open("/dev/null", O_RDONLY);
    dup2(none, STDIN_FILENO);
    dup2(to, STDOUT_FILENO);
    dup2(to, STDERR_FILENO);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
}

/* In the child: becomes the program, in the site's namespace where there is one. */
__attribute__((noreturn)) static void become(const struct cw_lab *lab, const char *site,
                                             enum cw_lab_program program)
{
    char configuration[CW_LAB_PATH_SIZE], space[64], name[32], log[CW_LAB_PATH_SIZE];
    const char *file = cw_lab_program_file(program);
    const char *option = program == CW_LAB_ETCD ? "--config-file" : "--config";
    configuration_of(lab, site, program, configuration, sizeof configuration);
    cw_lab_namespace(lab, site, space, sizeof space);
    snprintf(name, sizeof name, "%s.log", program_short[program]);
    cw_lab_site_file(lab, site, name, log, sizeof log);
    setsid();
    cw_lab_output_to(log);
    if (lab->has_spaces && (program == CW_LAB_ENGINE || lab->has_witness))
        execlp("ip", "ip", "netns", "exec", space, file, option, configuration, (char *)NULL);
    else
        execlp(file, file, option, configuration, (char *)NULL);
    fprintf(stderr, "%s: %s\n", file, strerror(errno));
    _exit(127);
}

static bool start_program(const struct cw_lab *lab, const char *site, enum cw_lab_program program, char *why,
                          size_t why_size)
{
    char name[32], path[CW_LAB_PATH_SIZE];
    if (!cw_lab_has_program(lab, site, program) || cw_lab_is_running(lab, site, program))
        return true;
    if (program == CW_LAB_ENGINE)
        cw_lab_link_clean(lab, site);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        become(lab, site, program);
    snprintf(name, sizeof name, "%s.pid", program_short[program]);
    cw_lab_site_file(lab, site, name, path, sizeof path);
    if (pid < 0 || !cw_lab_pid_write(path, pid)) {
        snprintf(why, why_size, "%s of %s could not be started: %s", program_names[program], site,
                 strerror(errno));
        return false;
    }
    return true;
}

bool cw_lab_start_programs(const struct cw_lab *lab, const char *site, enum cw_lab_program first,
                           enum cw_lab_program last, char *why, size_t why_size)
{
    bool is_started = true;
    for (int program = (int)first; program <= (int)last && is_started; program++)
        is_started = start_program(lab, site, (enum cw_lab_program)program, why, why_size);
    return is_started;
}

bool cw_lab_start_site(const struct cw_lab *lab, const char *site, char *why, size_t why_size)
{
    return cw_lab_start_programs(lab, site, CW_LAB_ENGINE, CW_LAB_CONTROL, why, why_size);
}

void cw_lab_tell_log(const char *what, const char *log, char *why, size_t why_size)
{
    char tail[600] = "";
    FILE *from = fopen(log, "re");
    if (from && fseek(from, 0, SEEK_END) == 0) {
        long size = ftell(from);
        if (fseek(from, size > 500 ? size - 500 : 0, SEEK_SET) == 0)
            tail[fread(tail, 1, sizeof tail - 1, from)] = 0;
    }
    if (from)
        fclose(from);
    snprintf(why, why_size, "%s has ended; the end of %s:\n%s", what, log, tail);
}

void cw_lab_tell_program(const struct cw_lab *lab, const char *site, enum cw_lab_program program, char *why,
                         size_t why_size)
{
    char name[32], path[CW_LAB_PATH_SIZE], what[96];
    snprintf(name, sizeof name, "%s.log", program_short[program]);
    cw_lab_site_file(lab, site, name, path, sizeof path);
    snprintf(what, sizeof what, "%s of %s", program_names[program], site);
    cw_lab_tell_log(what, path, why, why_size);
}

/* A process that was killed loses its command line first and its files and locks last; it has really gone
 * when it is not there any more, or a zombie. */
static bool has_gone(int pid)
{
    char path[64], line[512] = {0};
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *from = fopen(path, "re");
    if (!from)
        return true;
    size_t n = fread(line, 1, sizeof line - 1, from);
    fclose(from);
    const char *rest = n > 0 ? strrchr(line, ')') : NULL;
    char state = 'X';
    long threads = 0;
    if (rest)
        (void)sscanf(rest, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &state,
                     &threads);
    return (state == 'Z' || state == 'X') && threads <= 1; /* a first thread may end before the others */
}

bool cw_lab_pid_ended(const char *pid_file)
{
    int pid = pid_written(pid_file);
    return pid <= 1 || has_gone(pid);
}

bool cw_lab_has_ended(const struct cw_lab *lab, const char *site, enum cw_lab_program program)
{
    char path[CW_LAB_PATH_SIZE], name[32];
    snprintf(name, sizeof name, "%s.pid", program_short[program]);
    cw_lab_site_file(lab, site, name, path, sizeof path);
    return cw_lab_pid_ended(path);
}

static bool answers(const struct cw_lab *lab, const char *site)
{
    char path[CW_LAB_PATH_SIZE];
    struct cw_rpc_failure failure;
    cw_lab_site_file(lab, site, "control.sock", path, sizeof path);
    json_t *answer = cw_ask_socket(path, "hello", NULL, 1000, &failure);
    bool is_ready =
        answer && (cw_json_bool(answer, "engine", false) || !cw_lab_has_program(lab, site, CW_LAB_ENGINE));
    json_decref(answer);
    return is_ready;
}

bool cw_lab_wait_ready(const struct cw_cli *cli, const struct cw_lab *lab, const char *site, char *why,
                       size_t why_size)
{
    for (int waited_ms = 0; waited_ms < READY_MS; waited_ms += 50) {
        (void)waitpid(-1, NULL, WNOHANG); /* one that has ended is no zombie in /proc */
        for (int program = 0; program < CW_LAB_PROGRAMS; program++) {
            bool is_wanted = cw_lab_has_program(lab, site, (enum cw_lab_program)program);
            if (is_wanted && cw_lab_has_ended(lab, site, (enum cw_lab_program)program)) {
                cw_lab_tell_program(lab, site, (enum cw_lab_program)program, why, why_size);
                return false;
            }
        }
        if (answers(lab, site))
            return true;
        cw_progress(cli, "waiting for %s", site);
        cw_pause_ms(50);
    }
    snprintf(why, why_size, "%s does not answer after %d s: see engine.log and control.log in %s/%s", site,
             READY_MS / 1000, lab->directory, site);
    return false;
}

/* ---------------------------------------------------------------- stopping */

static bool is_gone_after(int pid, int limit_ms)
{
    for (int waited_ms = 0; waited_ms <= limit_ms; waited_ms += 5) {
        (void)waitpid(-1, NULL, WNOHANG);
        if (has_gone(pid))
            return true;
        cw_pause_ms(5);
    }
    return false;
}

bool cw_lab_kill_site(const struct cw_lab *lab, const char *site)
{
    int pids[CW_LAB_PROGRAMS];
    bool any = false;
    for (int program = 0; program < CW_LAB_PROGRAMS; program++) {
        pids[program] = running_pid(lab, site, (enum cw_lab_program)program);
        if (pids[program] > 1)
            any |= kill(pids[program], SIGKILL) == 0;
    }
    for (int program = 0; program < CW_LAB_PROGRAMS; program++)
        if (pids[program] > 1)
            (void)is_gone_after(pids[program], STOP_MS);
    return any;
}

void cw_lab_end(int pid)
{
    if (pid <= 1)
        return;
    kill(pid, SIGTERM);
    if (!is_gone_after(pid, STOP_MS)) {
        kill(pid, SIGKILL);
        (void)is_gone_after(pid, STOP_MS);
    }
}

void cw_lab_stop_site(const struct cw_cli *cli, const struct cw_lab *lab, const char *site)
{
    char path[CW_LAB_PATH_SIZE];
    struct cw_rpc_failure failure;
    cw_progress(cli, "stopping %s", site);
    int engine = running_pid(lab, site, CW_LAB_ENGINE);
    if (engine > 1) {
        cw_lab_site_file(lab, site, "engine.sock", path, sizeof path);
        json_t *answer = cw_ask_socket(path, "engine.stop", NULL, STOP_ENGINE_MS, &failure);
        if (answer)
            (void)is_gone_after(engine, STOP_ENGINE_MS);
        json_decref(answer);
    }
    cw_lab_end(running_pid(lab, site, CW_LAB_ENGINE));
    cw_lab_end(running_pid(lab, site, CW_LAB_CONTROL));
}

void cw_lab_stop_etcd(const struct cw_lab *lab, const char *site)
{
    if (lab->has_witness)
        cw_lab_end(running_pid(lab, site, CW_LAB_ETCD));
}
