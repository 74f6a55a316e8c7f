/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All links of a controller: its trust, read anew when its files change, and everybody judged by it again; the
 * part that they have in the loop. One connection to another site is links_sites.c, one of somebody who came
 * is links_remotes.c.
 */
#include "control/links_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

#define LOOK_NS  (1 * CW_SECOND)  /* at the files */
#define JUDGE_NS (30 * CW_SECOND) /* again at all who are there: time ends certificates */

bool cw_links_is_other_site(const struct cw_controller *controller, uint32_t site)
{
    const struct cw_config_site *of = &controller->config.sites[site];
    return site < controller->config.site_count && strcmp(of->name, controller->config.site) != 0;
}

socklen_t cw_links_fill_address(const struct cw_config_address *address, struct sockaddr_storage *to)
{
    *to = (struct sockaddr_storage){0};
    if (address->ip.version == 6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(address->port);
        memcpy(&v6->sin6_addr, address->ip.bytes, 16);
        return sizeof *v6;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)to;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address->port);
    memcpy(&v4->sin_addr, address->ip.bytes, 4);
    return sizeof *v4;
}

/* ---------------------------------------------------------------- files */

static const char *const *files_of(const struct cw_controller *controller, const char *files[CW_LINK_FILES])
{
    static_assert(CW_LINK_FILES == CW_CONFIG_SECURITY_FILES, "in the order of cw_config_security_keys");
    for (uint32_t i = 0; i < CW_LINK_FILES; i++)
        files[i] = controller->config.security.files[i];
    return files;
}

static bool stamp_files(const struct cw_controller *controller, struct cw_links *links)
{
    bool is_same = true;
    for (uint32_t i = 0; i < CW_LINK_FILES; i++) {
        struct stat about = {0};
        (void)stat(controller->config.security.files[i], &about);
        __typeof__(links->seen[0]) now = {.seconds = about.st_mtim.tv_sec,
                                          .nanoseconds = about.st_mtim.tv_nsec,
                                          .size = about.st_size,
                                          .inode = about.st_ino};
        is_same = is_same && memcmp(&now, &links->seen[i], sizeof now) == 0;
        links->seen[i] = now;
    }
    return is_same;
}

static bool is_own(const struct cw_controller *controller, const struct cw_link_trust *trust, char *why,
                   size_t why_size)
{
    const struct cw_link_peer *own = cw_link_trust_own(trust);
    if (own->role == CW_LINK_CONTROLLER && strcmp(own->site, controller->config.site) == 0)
        return true;
    snprintf(why, why_size, "%s: expected a certificate of a node of site %s",
             controller->config.security.files[0], controller->config.site);
    return false;
}

/* The pair that cannot be used keeps no list of revocations from working. */
static void load_trust(struct cw_controller *controller)
{
    struct cw_links *links = &controller->mesh;
    const char *files[CW_LINK_FILES];
    char why[CW_LINK_WORDS], again[CW_LINK_WORDS];
    memcpy(links->used, links->seen, sizeof links->used);
    struct cw_link_trust *trust = cw_link_trust_load(files_of(controller, files), why, sizeof why);
    if (trust && !is_own(controller, trust, why, sizeof why)) {
        cw_link_trust_free(trust);
        trust = NULL;
    }
    if (!trust)
        cw_event(controller, 2, "", "the certificates of links between controllers: %s%s", why,
                 links->trust ? "; those that were read before stay in use" : "");
    if (!trust && links->trust)
        trust = cw_link_trust_keep_pair(links->trust, files, again, sizeof again);
    if (!trust)
        return;
    cw_link_trust_free(links->trust);
    links->trust = trust;
    links->judge_ns = 0;
}

/* A file that is being copied is read when it has not changed from one look to the next. */
static void look_at_files(struct cw_controller *controller)
{
    struct cw_links *links = &controller->mesh;
    if (controller->now_ns < links->look_ns)
        return;
    links->look_ns = controller->now_ns + LOOK_NS;
    if (stamp_files(controller, links) && memcmp(links->used, links->seen, sizeof links->used) != 0)
        load_trust(controller);
}

/* ---------------------------------------------------------------- judging again */

static void judge_all(struct cw_controller *controller)
{
    struct cw_links *links = &controller->mesh;
    char why[CW_LINK_WORDS];
    if (controller->now_ns < links->judge_ns)
        return;
    links->judge_ns = controller->now_ns + JUDGE_NS;
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++) {
        struct cw_client *remote = &controller->remotes[i];
        if (!remote->serial || !remote->asker.role ||
            cw_link_tls_judge(remote->tls, links->trust, why, sizeof why))
            continue;
        cw_event(controller, 1, "", "%s is not let in any more: %s", remote->asker.who, why);
        cw_remote_drop(controller, remote, why);
    }
    for (uint32_t i = 0; i < controller->config.site_count; i++) {
        struct cw_link_site *link = &links->sites[i];
        if (link->is_good && !cw_link_tls_judge(link->tls, links->trust, why, sizeof why))
            cw_link_site_end(controller, i, why);
    }
}

void cw_links_tick(struct cw_controller *controller)
{
    if (!controller->mesh.is_on)
        return;
    look_at_files(controller);
    cw_links_calls_fail(controller, 0,
                        "no answer in time; it may or may not have been done: causeway status");
    cw_remotes_tick(controller);
    for (uint32_t i = 0; i < controller->config.site_count; i++) {
        if (cw_links_is_linked(controller, i))
            cw_link_site_tick(controller, i);
    }
    if (controller->mesh.trust)
        judge_all(controller);
}

/* ---------------------------------------------------------------- the loop's part */

bool cw_links_fill(struct cw_controller *controller, struct pollfd *fds)
{
    struct cw_links *links = &controller->mesh;
    bool is_waiting = false;
    for (uint32_t i = 0; i < CW_LINKS_POLL; i++)
        fds[i] = (struct pollfd){.fd = -1};
    if (!links->is_on)
        return false;
    fds[0] = (struct pollfd){.fd = links->listen_fd, .events = POLLIN};
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++) {
        const struct cw_client *remote = &controller->remotes[i];
        if (!remote->serial)
            continue;
        short write = cw_link_tls_wants_write(remote->tls) ? POLLOUT : 0;
        fds[1 + i] =
            (struct pollfd){.fd = remote->connection.fd, .events = (short)(cw_client_events(remote) | write)};
        is_waiting = is_waiting || cw_client_waits(remote);
    }
    for (uint32_t i = 0; i < CW_CONFIG_SITES_MAX; i++) {
        const struct cw_link_site *link = &links->sites[i];
        if (link->connection.fd < 0)
            continue;
        short read = cw_link_site_waits(link) ? 0 : POLLIN;
        short write = link->connection.out_used || cw_link_tls_wants_write(link->tls) ? POLLOUT : 0;
        fds[1 + CW_REMOTES_MAX + i] =
            (struct pollfd){.fd = link->connection.fd, .events = (short)(read | write)};
        is_waiting = is_waiting || cw_link_site_waits(link);
    }
    return is_waiting;
}

void cw_links_drain(struct cw_controller *controller, const struct pollfd *fds)
{
    struct cw_links *links = &controller->mesh;
    uint64_t end_ns = cw_monotonic_ns() + CW_SERVE_NS;
    uint32_t first = links->next_remote;
    for (uint32_t turn = 0; turn < CW_REMOTES_MAX && cw_monotonic_ns() < end_ns; turn++) {
        uint32_t i = (first + turn) % CW_REMOTES_MAX;
        struct cw_client *remote = &controller->remotes[i];
        links->next_remote = (i + 1) % CW_REMOTES_MAX;
        if (remote->serial && remote->connection.fd == fds[1 + i].fd &&
            (fds[1 + i].revents || cw_client_waits(remote)))
            cw_remote_drain(controller, remote, fds[1 + i].revents);
    }
    for (uint32_t i = 0; i < CW_CONFIG_SITES_MAX; i++) {
        const struct pollfd *fd = &fds[1 + CW_REMOTES_MAX + i];
        struct cw_link_site *link = &links->sites[i];
        if (fd->fd >= 0 && link->connection.fd == fd->fd && (fd->revents || cw_link_site_waits(link)))
            cw_link_site_drain(controller, i, fd->revents);
    }
    if (fds[0].revents)
        cw_remotes_accept(controller);
}

/* ---------------------------------------------------------------- for the rest of the controller */

bool cw_links_is_awaited(const struct cw_controller *controller, int client)
{
    for (uint32_t i = 0; i < CW_LINK_CALLS_MAX; i++) {
        const struct cw_link_call *call = &controller->mesh.calls[i];
        if (call->kind == CW_LINK_CALL_FORWARD && call->client == client)
            return true;
    }
    return false;
}

struct cw_rpc_connection *cw_links_connection(struct cw_controller *controller, uint32_t site, int *serial)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    *serial = CW_LINK_SERIAL(site);
    if (link->is_good)
        return &link->connection;
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++) {
        struct cw_client *remote = &controller->remotes[i];
        if (!remote->serial || remote->asker.role != CW_LINK_CONTROLLER ||
            strcmp(remote->site, controller->config.sites[site].name) != 0)
            continue;
        *serial = remote->serial;
        return &remote->connection;
    }
    return NULL;
}

void cw_links_break(struct cw_controller *controller, int connection, const char *why)
{
    if (connection < 0) {
        cw_link_site_end(controller, (uint32_t)(-1 - connection), why);
        return;
    }
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++) {
        if (controller->remotes[i].serial == connection)
            cw_remote_drop(controller, &controller->remotes[i], why);
    }
}

/* ---------------------------------------------------------------- start and stop */

int cw_links_listen(const struct cw_config_address *at)
{
    struct sockaddr_storage address;
    socklen_t size = cw_links_fill_address(at, &address);
    int one = 1;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 64) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int cw_links_start(struct cw_controller *controller)
{
    struct cw_links *links = &controller->mesh;
    struct timespec now;
    for (uint32_t i = 0; i < CW_CONFIG_SITES_MAX; i++) {
        links->sites[i].connection.fd = -1;
        links->sites[i].broken_ns = controller->now_ns;
    }
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++)
        controller->remotes[i].connection.fd = -1;
    links->listen_fd = -1;
    if (controller->config.control_address.port == 0)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now); /* only to tell two lives of a controller from one another */
    links->life = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    links->listen_fd = cw_links_listen(&controller->config.control_address);
    if (links->listen_fd < 0) {
        fprintf(stderr, "control_address: %s\n", strerror(errno));
        return 1;
    }
    links->is_on = true;
    (void)stamp_files(controller, links);
    load_trust(controller);
    return 0;
}

void cw_links_stop(struct cw_controller *controller)
{
    struct cw_links *links = &controller->mesh;
    if (!links->is_on)
        return;
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++) {
        if (controller->remotes[i].serial)
            cw_remote_drop(controller, &controller->remotes[i], "the controller stops");
    }
    for (uint32_t i = 0; i < CW_CONFIG_SITES_MAX; i++)
        cw_link_site_end(controller, i, "the controller stops");
    close(links->listen_fd);
    cw_link_trust_free(links->trust);
    json_decref(links->facts);
    links->is_on = false;
}
