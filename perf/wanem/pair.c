/* SPDX-License-Identifier: BSD-3-Clause */
/* Socket files, a child process, two ports. */
#include "wanem/pair.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/numbers.h"
#include "ends.h"

#define LINK_NS (30 * CW_SECOND)

uint64_t cw_wanem_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static void become(const struct cw_wanem_pair *pair, const char *program, const char *const *more)
{
    char devices[2][128], mtu[8], stats[96];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing running */
    const char *arguments[CW_WANEM_ARGUMENTS_MAX + 10] = {program, "--a", devices[0], "--b", devices[1],
                                                          "--mtu", mtu,   "--stats",  stats};
    for (unsigned i = 0; i < 2; i++)
        snprintf(devices[i], sizeof devices[i], "net_memif%u,role=server,socket=%s/%u", i, pair->folder, i);
    snprintf(mtu, sizeof mtu, "%u", pair->mtu);
    snprintf(stats, sizeof stats, "%s/stats", pair->folder);
    for (unsigned i = 0; more[i] != NULL && i < CW_WANEM_ARGUMENTS_MAX; i++)
        arguments[9 + i] = more[i];
    int none = open("/dev/null", O_WRONLY);
    (void)dup2(none, STDOUT_FILENO);
    execv(program, (char *const *)arguments);
    perror(program);
    _exit(127);
}

static bool open_ports(struct cw_wanem_pair *pair, char *why, size_t why_size)
{
    static unsigned opened; /* every device of a process has a name of its own */
    for (unsigned i = 0; i < 2; i++) {
        struct cw_port_config config = {.mtu = pair->mtu};
        bench_address(&config, i);
        snprintf(config.name, sizeof config.name, "%u", i);
        snprintf(config.device, sizeof config.device, "net_memif%u,role=client,socket=%s/%u", opened++,
                 pair->folder, i);
        pair->ports[i] = cw_port_open(&config, why, why_size);
        if (pair->ports[i] == NULL)
            return false;
    }
    return true;
}

static bool start(struct cw_wanem_pair *pair, const char *program, uint16_t mtu, const char *const *more,
                  char *why, size_t why_size)
{
    *pair = (struct cw_wanem_pair){.mtu = mtu, .folder = "/tmp/wanem-pair-XXXXXX"};
    snprintf(why, why_size, "no folder, or no process");
    if (mkdtemp(pair->folder) == NULL)
        return false;
    fflush(NULL);
    pair->pid = fork();
    if (pair->pid == 0)
        become(pair, program, more);
    if (pair->pid < 0 || !open_ports(pair, why, why_size))
        return false;
    uint64_t begin_ns = cw_wanem_now_ns();
    while (!cw_port_is_link_up(pair->ports[0]) || !cw_port_is_link_up(pair->ports[1])) {
        int status = 0;
        if (waitpid(pair->pid, &status, WNOHANG) != 0) {
            pair->pid = 0;
            snprintf(why, why_size, "%s ended, status 0x%x", program, (unsigned)status);
            return false;
        }
        snprintf(why, why_size, "%s does not come up", program);
        if (cw_wanem_now_ns() - begin_ns > LINK_NS)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = CW_MS}, NULL);
    }
    return true;
}

static void read_stats(const char *folder, char *json, size_t json_size)
{
    char path[96];
    snprintf(path, sizeof path, "%s/stats", folder);
    FILE *from = fopen(path, "re");
    size_t length = from != NULL ? fread(json, 1, json_size - 1, from) : 0;
    json[length] = 0;
    if (from != NULL)
        fclose(from);
}

static void remove_files(const char *folder)
{
    static const char *const names[] = {"0", "1", "stats", "stats.new"};
    char path[96];
    for (unsigned i = 0; i < CW_COUNT_OF(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

/* As waitpid has it; -1: it did not run any more. */
static int end(struct cw_wanem_pair *pair)
{
    int status = -1;
    for (unsigned i = 2; i-- > 0; pair->ports[i] = NULL)
        cw_port_close(pair->ports[i]);
    if (pair->pid > 0) {
        (void)kill(pair->pid, SIGTERM);
        (void)waitpid(pair->pid, &status, 0);
    }
    pair->pid = 0;
    return status;
}

bool cw_wanem_pair_open(struct cw_wanem_pair *pair, const char *program, uint16_t mtu,
                        const char *const *more, char *why, size_t why_size)
{
    if (start(pair, program, mtu, more, why, why_size))
        return true;
    (void)end(pair);
    remove_files(pair->folder);
    return false;
}

bool cw_wanem_pair_close(struct cw_wanem_pair *pair, char *json, size_t json_size)
{
    bool has_run = pair->pid > 0;
    int status = end(pair);
    read_stats(pair->folder, json, json_size);
    remove_files(pair->folder);
    if (has_run && status != 0)
        fprintf(stderr, "wanem ended with status 0x%x\n", (unsigned)status);
    return status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

uint64_t cw_wanem_counter(const char *json, const char *name, unsigned index)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *at = strstr(json, wanted);
    for (; index > 0 && at != NULL; index--)
        at = strstr(at + 1, wanted);
    return at != NULL ? strtoull(at + strlen(wanted), NULL, 10) : UINT64_MAX;
}
