/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who comes to control_address: other controllers, and people with a certificate. Bounded in number and in time
 * for the handshake; one who has not shown who he is makes room for the next. Who is refused is told why, and
 * has a second to read it.
 */
#include "control/links_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

#define LEAVE_NS   (1 * CW_SECOND)   /* to read why one is refused */
#define IDLE_NS    (120 * CW_SECOND) /* a person who asks nothing for so long is not kept */
#define REFUSAL_NS (10 * CW_SECOND)  /* one event in that time */
#define PERSON_MAX 8u                /* connections of one certificate */

static void show_address(const struct sockaddr_storage *address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    bool is_v6 = address->ss_family == AF_INET6;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    (void)inet_ntop(address->ss_family, is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr,
                    host, sizeof host);
    snprintf(text, size, "%s%s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
             ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
}

void cw_remote_drop(struct cw_controller *controller, struct cw_client *remote, const char *why)
{
    int serial = remote->serial;
    cw_link_tls_free(remote->tls);
    cw_rpc_connection_close(&remote->connection);
    *remote = (struct cw_client){.connection.fd = -1};
    cw_links_calls_fail(controller, serial, why);
}

/* A socket that is closed while bytes wait in it takes back what was said last. */
static void let_leave(struct cw_controller *controller, struct cw_client *remote)
{
    remote->is_leaving = true;
    remote->began_ns = controller->now_ns;
    (void)shutdown(remote->connection.fd, SHUT_WR);
}

static void watch_leaving(struct cw_controller *controller, struct cw_client *remote)
{
    char bytes[4096];
    ssize_t got = recv(remote->connection.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN) || controller->now_ns - remote->began_ns > LEAVE_NS)
        cw_remote_drop(controller, remote, "");
}

/* Many in a row are one event. */
static void tell_refusal(struct cw_controller *controller, const struct cw_client *remote, const char *why)
{
    struct cw_links *links = &controller->mesh;
    if (links->refusal_told_ns && controller->now_ns - links->refusal_told_ns < REFUSAL_NS) {
        links->refusals++;
        return;
    }
    char more[64] = "";
    if (links->refusals)
        snprintf(more, sizeof more, " (and %lu more since the last such event)", links->refusals);
    cw_event(controller, 1, "", "somebody from %s was not let in at control_address: %s%s",
             remote->asker.from, why, more);
    links->refusal_told_ns = controller->now_ns;
    links->refusals = 0;
}

static uint32_t count_same(const struct cw_controller *controller, const struct cw_link_peer *peer)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++) {
        const struct cw_client *remote = &controller->remotes[i];
        count += remote->serial && remote->asker.role &&
                 strcmp(cw_link_tls_peer(remote->tls)->serial, peer->serial) == 0;
    }
    return count;
}

/* Who he is has been shown; may he stay? NULL, or why not. */
static const char *welcome(struct cw_controller *controller, struct cw_client *remote,
                           const struct cw_link_peer *peer)
{
    uint32_t site = 0;
    if (count_same(controller, peer) >= PERSON_MAX)
        return "there are too many connections with this certificate";
    if (peer->role != CW_LINK_CONTROLLER)
        return NULL;
    while (site < controller->config.site_count &&
           strcmp(controller->config.sites[site].name, peer->site) != 0)
        site++;
    if (!cw_links_is_other_site(controller, site))
        return "it is of a node, and of no other site's: people have certificates of their own (causeway "
               "cert issue "
               "--operator NAME)";
    return NULL;
}

static void recognize_remote(struct cw_controller *controller, struct cw_client *remote)
{
    const struct cw_link_peer *peer = cw_link_tls_peer(remote->tls);
    char who[CW_LINK_WORDS];
    const char *why = welcome(controller, remote, peer);
    cw_link_peer_words(peer, who, sizeof who);
    if (why) {
        char words[2 * CW_LINK_WORDS];
        snprintf(words, sizeof words, "%s: %s", who, why);
        (void)cw_rpc_connection_send(&remote->connection, cw_rpc_error(NULL, CW_RPC_FAILED, words, NULL));
        tell_refusal(controller, remote, words);
        let_leave(controller, remote);
        return;
    }
    remote->asker.role = peer->role;
    if (peer->role == CW_LINK_CONTROLLER) /* it may answer here what it was asked to do */
        remote->connection.in.line_max = CW_RPC_ANSWER_MAX;
    snprintf(remote->asker.who, sizeof remote->asker.who, "%.90s (serial %.40s)", who, peer->serial);
    snprintf(remote->site, sizeof remote->site, "%s", peer->site);
}

static struct cw_client *free_remote(struct cw_controller *controller)
{
    struct cw_client *oldest = NULL;
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++) {
        struct cw_client *remote = &controller->remotes[i];
        if (!remote->serial)
            return remote;
        if (!remote->asker.role && (!oldest || remote->began_ns < oldest->began_ns))
            oldest = remote;
    }
    if (oldest) /* he has not shown who he is: his place is the next one's */
        cw_remote_drop(controller, oldest, "others wait");
    return oldest;
}

void cw_remotes_accept(struct cw_controller *controller)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char text[80];
    int fd, one = 1;
    for (int turn = 0; turn < 16; turn++, size = sizeof address) {
        fd = accept4(controller->mesh.listen_fd, (struct sockaddr *)&address, &size,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct cw_client *remote = controller->mesh.trust ? free_remote(controller) : NULL;
        struct cw_link_tls *tls = remote ? cw_link_tls_start(controller->mesh.trust, fd, false) : NULL;
        if (!tls) {
            close(fd);
            continue;
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        *remote = (struct cw_client){
            .serial = ++controller->last_serial, .tls = tls, .began_ns = controller->now_ns};
        cw_rpc_connection_start(&remote->connection, fd);
        remote->connection.carrier = &cw_link_carrier;
        remote->connection.carried = tls;
        show_address(&address, text, sizeof text);
        snprintf(remote->asker.from, sizeof remote->asker.from, "%s", text);
    }
}

static void shake_remote(struct cw_controller *controller, struct cw_client *remote)
{
    if (remote->is_leaving) {
        watch_leaving(controller, remote);
        return;
    }
    enum cw_link_state state = cw_link_tls_step(remote->tls);
    bool is_late = controller->now_ns - remote->began_ns > CW_LINK_SHAKE_NS;
    if (state == CW_LINK_GOOD) {
        recognize_remote(controller, remote);
    } else if (state == CW_LINK_REFUSED || is_late) {
        tell_refusal(controller, remote,
                     state == CW_LINK_REFUSED ? cw_link_tls_words(remote->tls) : "no handshake within 5 s");
        let_leave(controller, remote);
    }
}

void cw_remote_drain(struct cw_controller *controller, struct cw_client *remote, short events)
{
    if (!remote->asker.role) {
        shake_remote(controller, remote);
        return;
    }
    remote->began_ns = controller->now_ns; /* from here on: when it was last heard of */
    if (!cw_client_serve(controller, remote, events))
        cw_remote_drop(controller, remote, "the connection was closed");
}

void cw_remotes_tick(struct cw_controller *controller)
{
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++) {
        struct cw_client *remote = &controller->remotes[i];
        if (remote->serial && !remote->asker.role)
            shake_remote(controller, remote);
        else if (remote->serial && controller->now_ns - remote->began_ns > IDLE_NS)
            cw_remote_drop(controller, remote, "nothing was asked for long");
    }
}
