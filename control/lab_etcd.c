/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store of a lab with a witness: an etcd of three members, Debian's as it is, one beside each controller,
 * burnt and started with its site. Members know each other and their clients by the certificates of the lab's
 * authority: a node's is for both ends of a connection, as etcd's gateway wants it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control/etcd_client.h"
#include "control/etcd_format.h"
#include "control/lab.h"

#define CLIENT_PORT 2379
#define PEER_PORT   2380
#define ATTEMPT_MS  2000

bool cw_lab_etcd_check(char *why, size_t why_size)
{
    char path[512];
    const char *file = cw_lab_program_file(CW_LAB_ETCD), *list = getenv("PATH");
    bool is_path = strchr(file, '/') != NULL, is_there = is_path && access(file, X_OK) == 0;
    for (list = list ? list : "/usr/bin:/bin"; *list && !is_path && !is_there;) {
        size_t length = strcspn(list, ":");
        snprintf(path, sizeof path, "%.*s/%s", (int)length, list, file);
        is_there = access(path, X_OK) == 0;
        list += length + (list[length] == ':');
    }
    if (!is_there)
        snprintf(
            why, why_size,
            "a lab with a witness keeps its store in etcd, and %s is not installed: ./run setup installs "
            "it, or apt-get install etcd-server",
            file);
    return is_there;
}

static void folder_of(const struct cw_lab *lab, uint32_t site, char *path, size_t size)
{
    snprintf(path, size, "%s/authority/issued/%s/%s", lab->directory, lab->sites[site], lab->sites[site]);
}

static void write_tls(FILE *to, const char *key, const char *folder)
{
    fprintf(to,
            "%s:\n  cert-file: \"%s/server-cert.pem\"\n  key-file: \"%s/server-key.pem\"\n"
            "  trusted-ca-file: \"%s/ca-cert.pem\"\n  client-cert-auth: true\n",
            key, folder, folder, folder);
}

static void write_member(const struct cw_lab *lab, uint32_t site, FILE *to)
{
    char ip[CW_LAB_IP_SIZE], folder[CW_LAB_PATH_SIZE];
    cw_lab_control_ip(lab, site, ip, sizeof ip);
    folder_of(lab, site, folder, sizeof folder);
    fprintf(to,
            "# Made by causeway lab up.\nname: %s\ndata-dir: \"%s/%s/etcd\"\n"
            "listen-client-urls: https://%s:%u\nadvertise-client-urls: https://%s:%u\n"
            "listen-peer-urls: https://%s:%u\ninitial-advertise-peer-urls: https://%s:%u\n"
            "initial-cluster-token: causeway-%s\ninitial-cluster-state: new\ninitial-cluster: ",
            lab->sites[site], lab->storage_root, lab->sites[site], ip, CLIENT_PORT, ip, CLIENT_PORT, ip,
            PEER_PORT, ip, PEER_PORT, lab->tag);
    for (uint32_t i = 0; i < lab->site_count; i++) {
        cw_lab_control_ip(lab, i, ip, sizeof ip);
        fprintf(to, "%s%s=https://%s:%u", i ? "," : "", lab->sites[i], ip, PEER_PORT);
    }
    fprintf(to, "\nauto-compaction-mode: revision\nauto-compaction-retention: \"10000\"\n"
                "enable-grpc-gateway: true\nlogger: zap\nlog-outputs: [stderr]\n");
    write_tls(to, "client-transport-security", folder);
    write_tls(to, "peer-transport-security", folder);
}

bool cw_lab_etcd_write(const struct cw_lab *lab, uint32_t site, char *why, size_t why_size)
{
    char path[CW_LAB_PATH_SIZE];
    cw_lab_site_file(lab, lab->sites[site], "etcd.yaml", path, sizeof path);
    FILE *to = fopen(path, "we");
    if (to)
        write_member(lab, site, to);
    bool ok = to && !ferror(to);
    if (to && fclose(to) != 0)
        ok = false;
    if (!ok)
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
    return ok;
}

void cw_lab_etcd_write_store(const struct cw_lab *lab, uint32_t site, void *file)
{
    char ip[CW_LAB_IP_SIZE];
    FILE *to = file;
    fprintf(to, "etcd:\n  prefix: /causeway/lab\n  endpoints:\n");
    for (uint32_t i = 0; i < lab->site_count; i++) { /* its own first */
        cw_lab_control_ip(lab, (site + i) % lab->site_count, ip, sizeof ip);
        fprintf(to, "    - \"https://%s:%u\"\n", ip, CLIENT_PORT);
    }
    cw_lab_control_ip(lab, site, ip, sizeof ip);
    fprintf(to, "control_address: \"%s:%u\"\n", ip, CW_LAB_CONTROL_PORT);
}

/* ---------------------------------------------------------------- waiting */

static bool enter_space(const struct cw_lab *lab, const char *site)
{
    char path[128], space[64];
    cw_lab_namespace(lab, site, space, sizeof space);
    snprintf(path, sizeof path, "/var/run/netns/%s", space);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
}

/* In a child, as it enters the site's namespace. */
__attribute__((noreturn)) static void ask(const struct cw_lab *lab, uint32_t site)
{
    static struct cw_etcd_address address;
    char why[128], ip[CW_LAB_IP_SIZE], folder[CW_LAB_PATH_SIZE];
    struct cw_etcd_range range = {.prefix = "/causeway/lab/none", .limit = 1};
    json_t *answer = NULL;
    if (lab->has_spaces && !enter_space(lab, lab->sites[site]))
        _exit(1);
    cw_lab_control_ip(lab, site, ip, sizeof ip);
    folder_of(lab, site, folder, sizeof folder);
    address.count = 1;
    snprintf(address.endpoints[0], sizeof address.endpoints[0], "https://%s:%u", ip, CLIENT_PORT);
    snprintf(address.certificate, sizeof address.certificate, "%s/server-cert.pem", folder);
    snprintf(address.key, sizeof address.key, "%s/server-key.pem", folder);
    snprintf(address.authority, sizeof address.authority, "%s/ca-cert.pem", folder);
    struct cw_etcd *etcd = cw_etcd_open(&address, why, sizeof why);
    bool is_answer = etcd && cw_etcd_call(etcd, "/v3/kv/range", cw_etcd_range_request(&range), ATTEMPT_MS,
                                          &answer) == CW_ETCD_DONE;
    _exit(is_answer ? 0 : 1);
}

static bool answers(const struct cw_lab *lab, uint32_t site)
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        ask(lab, site);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool cw_lab_etcd_wait(const struct cw_cli *cli, const struct cw_lab *lab, const char *site, int limit_ms,
                      char *why, size_t why_size)
{
    uint32_t index = cw_lab_site_index(lab, site);
    int64_t began_ms = now_ms();
    while (!answers(lab, index)) {
        (void)waitpid(-1, NULL, WNOHANG); /* one that has ended is no zombie in /proc */
        if (cw_lab_has_ended(lab, site, CW_LAB_ETCD)) {
            cw_lab_tell_program(lab, site, CW_LAB_ETCD, why, why_size);
            return false;
        }
        if (now_ms() > began_ms + limit_ms) {
            snprintf(why, why_size,
                     "no quorum of etcd answers at %s after %d s: do two of the three members run, and reach "
                     "each other (causeway lab status)? See %s/%s/etcd.log",
                     site, limit_ms / 1000, lab->directory, site);
            return false;
        }
        cw_progress(cli, "waiting for etcd at %s", site);
        cw_pause_ms(100);
    }
    return true;
}
