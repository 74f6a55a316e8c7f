/* SPDX-License-Identifier: BSD-3-Clause */
#include "etcd_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "control/etcd_format.h"

bool etcd_is_there(void)
{
    return system("command -v etcd >/dev/null && command -v etcdctl >/dev/null && command -v openssl "
                  ">/dev/null") == 0;
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CW_ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0);
    CW_ASSERT(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

bool etcd_shell(const struct etcd_cluster *cluster, const char *format, ...)
{
    char command[2048];
    va_list arguments;
    int used = snprintf(command, sizeof command, "cd %s && exec >>shell.log 2>&1 && ", cluster->directory);
    va_start(arguments, format);
    vsnprintf(command + used, sizeof command - (size_t)used, format, arguments);
    va_end(arguments);
    return system(command) == 0;
}

static void make_certificates(struct etcd_cluster *cluster)
{
    static const char make[] = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                               "-subj /CN=%s -keyout %s.key -out "
                               "%s.pem";
    static const char issue[] =
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%s -keyout %s.key -out "
        "%s.csr && "
        "printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=%s\\n' >%s.ext && openssl x509 -req -in "
        "%s.csr -CA "
        "authority.pem -CAkey authority.key -CAcreateserial -days 2 -extfile %s.ext -out %s.pem";
    static const char *const names[] = {"member", "server-only", "client"};
    static const char *const uses[] = {"serverAuth,clientAuth", "serverAuth", "clientAuth"};
    CW_ASSERT(etcd_shell(cluster, make, "authority", "authority", "authority"));
    CW_ASSERT(etcd_shell(cluster, make, "stranger", "stranger", "stranger"));
    for (int i = 0; i < 3; i++)
        CW_ASSERT(etcd_shell(cluster, issue, names[i], names[i], names[i], uses[i], names[i], names[i],
                             names[i], names[i]));
    struct cw_etcd_address *address = &cluster->address;
    snprintf(address->authority, sizeof address->authority, "%s/authority.pem", cluster->directory);
    snprintf(address->certificate, sizeof address->certificate, "%s/client.pem", cluster->directory);
    snprintf(address->key, sizeof address->key, "%s/client.key", cluster->directory);
}

void etcd_make(struct etcd_cluster *cluster, uint32_t count, bool is_tls)
{
    *cluster = (struct etcd_cluster){.count = count, .is_tls = is_tls, .address.count = count};
    snprintf(cluster->directory, sizeof cluster->directory, "/tmp/cw-test-etcd-XXXXXX");
    CW_ASSERT(mkdtemp(cluster->directory) != NULL);
    for (uint32_t i = 0; i < count; i++) {
        struct etcd_member *member = &cluster->members[i];
        member->client_port = free_port();
        member->peer_port = free_port();
        snprintf(member->data, sizeof member->data, "%s/data%u", cluster->directory, i);
        snprintf(cluster->address.endpoints[i], CW_ETCD_URL_SIZE, "%s://127.0.0.1:%u",
                 is_tls ? "https" : "http", member->client_port);
    }
    if (is_tls)
        make_certificates(cluster);
}

static void become_etcd(const struct etcd_cluster *cluster, uint32_t index)
{
    const struct etcd_member *member = &cluster->members[index];
    char name[16], peer[64], all[256] = "", log[96];
    const char *tls[] = {"--cert-file",       "member.pem",    "--key-file",        "member.key",
                         "--trusted-ca-file", "authority.pem", "--client-cert-auth"};
    const char *arguments[40] = {"etcd",
                                 "--name",
                                 name,
                                 "--data-dir",
                                 member->data,
                                 "--listen-client-urls",
                                 cluster->address.endpoints[index],
                                 "--advertise-client-urls",
                                 cluster->address.endpoints[index],
                                 "--listen-peer-urls",
                                 peer,
                                 "--initial-advertise-peer-urls",
                                 peer,
                                 "--initial-cluster",
                                 all,
                                 "--heartbeat-interval",
                                 "100",
                                 "--election-timeout",
                                 "1000"};
    int count = 19;
    snprintf(name, sizeof name, "m%u", index);
    snprintf(peer, sizeof peer, "http://127.0.0.1:%u", member->peer_port);
    for (uint32_t i = 0; i < cluster->count; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%sm%u=http://127.0.0.1:%u", i ? "," : "", i,
                 cluster->members[i].peer_port);
    }
    for (int i = 0; cluster->is_tls && i < 7; i++)
        arguments[count++] = tls[i];
    for (int i = 0; i < 4 && cluster->options[i]; i++)
        arguments[count++] = cluster->options[i];
    snprintf(log, sizeof log, "%s/etcd%u.log", cluster->directory, index);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    if (chdir(cluster->directory) == 0)
        execvp("etcd", (char *const *)arguments);
    _exit(127);
}

void etcd_start(struct etcd_cluster *cluster, uint32_t member)
{
    CW_ASSERT(cluster->members[member].pid == 0);
    pid_t parent = getpid(), pid = fork();
    CW_ASSERT(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* none outlives a test that crashed */
        if (getppid() != parent)
            _exit(127);
        become_etcd(cluster, member);
    }
    cluster->members[member].pid = pid;
}

void etcd_wait_ready(struct etcd_cluster *cluster)
{
    char why[128];
    struct cw_etcd *etcd = cw_etcd_open(&cluster->address, why, sizeof why);
    CW_ASSERT(etcd != NULL);
    for (int tries = 0; tries < 600; tries++) {
        json_t *answer = NULL;
        struct cw_etcd_range range = {.prefix = "/none", .limit = 1};
        enum cw_etcd_outcome outcome =
            cw_etcd_call(etcd, "/v3/kv/range", cw_etcd_range_request(&range), 2000, &answer);
        json_decref(answer);
        if (outcome == CW_ETCD_DONE) {
            cw_etcd_close(etcd);
            return;
        }
        usleep(100 * 1000);
    }
    fprintf(stderr, "%s\n", cw_etcd_words(etcd));
    CW_ASSERT(!"etcd does not come up");
}

void etcd_start_all(struct etcd_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->count; i++)
        etcd_start(cluster, i);
    etcd_wait_ready(cluster);
}

void etcd_signal(struct etcd_cluster *cluster, uint32_t member, int signal)
{
    CW_ASSERT(cluster->members[member].pid != 0);
    CW_ASSERT(kill(cluster->members[member].pid, signal) == 0);
}

void etcd_kill(struct etcd_cluster *cluster, uint32_t member)
{
    if (cluster->members[member].pid == 0)
        return;
    etcd_signal(cluster, member, SIGKILL);
    waitpid(cluster->members[member].pid, NULL, 0);
    cluster->members[member].pid = 0;
}

void etcd_end(struct etcd_cluster *cluster)
{
    char command[128];
    for (uint32_t i = 0; i < cluster->count; i++)
        etcd_kill(cluster, i);
    snprintf(command, sizeof command, "rm -rf %s", cluster->directory);
    if (cluster->directory[0] && system(command) != 0)
        fprintf(stderr, "%s is left\n", cluster->directory);
    cluster->directory[0] = 0;
}

uint32_t etcd_leader(struct etcd_cluster *cluster)
{
    char why[128];
    uint32_t found = ETCD_MEMBERS_MAX;
    for (uint32_t i = 0; i < cluster->count && found == ETCD_MEMBERS_MAX; i++) {
        struct cw_etcd_address one = cluster->address;
        one.count = 1;
        memmove(one.endpoints[0], cluster->address.endpoints[i], CW_ETCD_URL_SIZE);
        struct cw_etcd *etcd = cw_etcd_open(&one, why, sizeof why);
        json_t *answer = NULL;
        if (cw_etcd_call(etcd, "/v3/maintenance/status", json_object(), 1000, &answer) == CW_ETCD_DONE) {
            const char *leader = json_string_value(json_object_get(answer, "leader"));
            const char *self =
                json_string_value(json_object_get(json_object_get(answer, "header"), "member_id"));
            if (leader && self && strcmp(leader, self) == 0)
                found = i;
        }
        json_decref(answer);
        cw_etcd_close(etcd);
    }
    return found;
}

struct cw_store *etcd_open_store(const struct cw_etcd_address *address, const char *prefix, uint32_t limit_ms,
                                 char *why, size_t why_size)
{
    struct cw_store *store = cw_store_open_etcd(address, prefix, why, why_size);
    if (!store)
        return NULL;
    for (uint32_t ms = 0; ms < limit_ms && cw_store_version(store) == 0 && !cw_store_fault(store)[0];
         ms += 10)
        usleep(10 * 1000);
    if (cw_store_version(store) != 0 && !cw_store_fault(store)[0])
        return store;
    snprintf(why, why_size, "%s%s", cw_store_fault(store), cw_store_trouble(store));
    cw_store_close(store);
    return NULL;
}
