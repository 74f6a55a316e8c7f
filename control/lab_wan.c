/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A WAN in a lab: one wanem (perf/wanem) for each path between two sites, between their ports. It outlives
 * the sites' engines, which find it again by themselves. Known by a pid file and by the file that it writes
 * its counters to, which is among its arguments.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/numbers.h"
#include "control/lab.h"

#define READY_MS 60000

struct wan {
    struct cw_lab_line line;
    char pid_file[CW_LAB_PATH_SIZE], log[CW_LAB_PATH_SIZE], counters[CW_LAB_PATH_SIZE];
};

static void wan_of(const struct cw_lab *lab, const struct cw_lab_line *line, struct wan *wan)
{
    wan->line = *line;
    snprintf(wan->pid_file, sizeof wan->pid_file, "%s/link/wan%u.pid", lab->directory, line->number);
    snprintf(wan->log, sizeof wan->log, "%s/link/wan%u.log", lab->directory, line->number);
    snprintf(wan->counters, sizeof wan->counters, "%s/link/wan%u.json", lab->directory, line->number);
}

/* All wans of the lab into wans; their number. */
static uint32_t list(const struct cw_lab *lab, struct wan wans[CW_LAB_LINES_MAX])
{
    struct cw_lab_line lines[CW_LAB_LINES_MAX];
    uint32_t count = *lab->wan ? cw_lab_lines(lab, lines) : 0;
    for (uint32_t i = 0; i < count; i++)
        wan_of(lab, &lines[i], &wans[i]);
    return count;
}

static int pid_of(const struct wan *wan)
{
    return cw_lab_pid_read(wan->pid_file, CW_LAB_WANEM, wan->counters);
}

/* ---------------------------------------------------------------- checking */

/* What the child says, up to its end. */
static void read_all(int fd, char *text, size_t size)
{
    size_t used = 0;
    ssize_t got;
    while (used < size - 1 && (got = read(fd, text + used, size - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = 0;
    text[strcspn(text, "\n")] = 0;
}

int cw_lab_wan_check(const struct cw_lab *lab, char *why, size_t why_size)
{
    const char *file = cw_lab_program_file(CW_LAB_WANEM);
    char mtu[12], words[1024];
    int channel[2], status = 0;
    snprintf(mtu, sizeof mtu, "%u", lab->mtu);
    if (pipe(channel) < 0) {
        snprintf(why, why_size, "%s", strerror(errno));
        return CW_EXIT_FAILED;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(channel[1], STDERR_FILENO);
        close(channel[0]);
        execlp(file, file, "--check", "--wan", lab->wan, "--mtu", mtu, (char *)NULL);
        fprintf(stderr, "%s: %s", file, strerror(errno));
        _exit(127);
    }
    close(channel[1]);
    read_all(channel[0], words, sizeof words);
    close(channel[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        status = 127 << 8;
    const char *name = "wanem: ";
    snprintf(why, why_size, "%s", words + (strncmp(words, name, strlen(name)) == 0 ? strlen(name) : 0));
    return WEXITSTATUS(status) == 0 ? 0 : WEXITSTATUS(status) == 2 ? CW_EXIT_USAGE : CW_EXIT_FAILED;
}

/* ---------------------------------------------------------------- starting and stopping */

__attribute__((noreturn)) static void become(const struct cw_lab *lab, const struct wan *wan)
{
    const char *file = cw_lab_program_file(CW_LAB_WANEM);
    char space[64], mtu[12], queues[12], name[32], near[256], far[256];
    const struct cw_lab_line *line = &wan->line;
    cw_lab_wan_namespace(lab, line, space, sizeof space);
    cw_lab_wan_device(lab, line, line->a, near, sizeof near);
    cw_lab_wan_device(lab, line, line->b, far, sizeof far);
    snprintf(mtu, sizeof mtu, "%u", lab->mtu);
    snprintf(queues, sizeof queues, "%u", lab->is_veth ? 1 : CW_MAX(lab->net_lcores, 1u));
    snprintf(name, sizeof name, "%s-%u", lab->tag,
             line->number); /* lab_files.c removes what DPDK keeps of it */
    const char *const arguments[] = {"ip",   "netns",   "exec",        space,    file,       "--a",
                                     near,   "--b",     far,           "--wan",  lab->wan,   "--mtu",
                                     mtu,    "--name",  name,          "--poll", "adaptive", "--queues",
                                     queues, "--stats", wan->counters, NULL};
    const char *const *begin = lab->is_veth ? arguments : arguments + 4;
    setsid();
    cw_lab_output_to(wan->log);
    execvp(begin[0], (char *const *)begin);
    fprintf(stderr, "%s: %s\n", begin[0], strerror(errno));
    _exit(127);
}

static bool start(const struct cw_lab *lab, const struct wan *wan, char *why, size_t why_size)
{
    (void)unlink(wan->counters); /* it comes when its ports are open */
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        become(lab, wan);
    if (pid > 0 && cw_lab_pid_write(wan->pid_file, pid))
        return true;
    snprintf(why, why_size, "wanem could not be started: %s", strerror(errno));
    return false;
}

static bool wait_ready(const struct wan *wan, char *why, size_t why_size)
{
    for (int waited_ms = 0; waited_ms < READY_MS; waited_ms += 10) {
        (void)waitpid(-1, NULL, WNOHANG);
        if (access(wan->counters, F_OK) == 0)
            return true;
        if (cw_lab_pid_ended(wan->pid_file)) {
            cw_lab_tell_log("wanem", wan->log, why, why_size);
            return false;
        }
        cw_pause_ms(10);
    }
    snprintf(why, why_size, "wanem does not come up; see %s", wan->log);
    return false;
}

bool cw_lab_wan_start(const struct cw_lab *lab, char *why, size_t why_size)
{
    struct wan wans[CW_LAB_LINES_MAX];
    uint32_t count = list(lab, wans);
    for (uint32_t i = 0; i < count; i++) {
        if (pid_of(&wans[i]) == 0 && !start(lab, &wans[i], why, why_size))
            return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!wait_ready(&wans[i], why, why_size))
            return false;
    }
    return true;
}

void cw_lab_wan_stop(const struct cw_lab *lab)
{
    struct wan wans[CW_LAB_LINES_MAX];
    for (uint32_t count = list(lab, wans), i = 0; i < count; i++)
        cw_lab_end(pid_of(&wans[i]));
}

/* ---------------------------------------------------------------- telling */

json_t *cw_lab_wan_status(const struct cw_lab *lab)
{
    struct wan wans[CW_LAB_LINES_MAX];
    json_t *status = json_array();
    for (uint32_t count = list(lab, wans), i = 0; i < count; i++) {
        const struct cw_lab_line *line = &wans[i].line;
        json_t *counters = json_load_file(wans[i].counters, 0, NULL);
        char name[16];
        snprintf(name, sizeof name, "wan%u", line->number);
        json_array_append_new(status,
                              json_pack("{s:[s,s],s:s,s:b,s:o}", "sites", lab->sites[line->a],
                                        lab->sites[line->b], "path", name, "running", pid_of(&wans[i]) != 0,
                                        "counters", counters ? counters : json_null()));
    }
    return status;
}
