/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections: made, accepted, judged, ended. */
#include "control/links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "control/controller.h"

#define SHAKE_NS      (5 * CW_SECOND) /* a handshake that takes longer ends */
#define LEAVE_NS      (1 * CW_SECOND) /* to read why one is refused */
#define RETRY_NS      (1 * CW_SECOND)
#define LOOK_NS       (1 * CW_SECOND)   /* at the files */
#define JUDGE_NS      (30 * CW_SECOND)  /* again at all who are there: time ends certificates */
#define BROKEN_NS     (3 * CW_SECOND)   /* a link that breaks for less is not told of */
#define SILENT_NS     (3 * CW_SECOND)   /* without newer facts, by whatever way */
#define IDLE_NS       (120 * CW_SECOND) /* a person who asks nothing for so long is not kept */
#define REFUSAL_NS    (10 * CW_SECOND)  /* one event in that time */
#define PERSON_MAX    8u                /* connections of one certificate */
#define OUT_SERIAL(i) (-1 - (int)(i))   /* of our connection to the site with this index */

static const char *const *files_of(const struct cw_controller *controller, const char *files[CW_LINK_FILES])
{
    static_assert(CW_LINK_FILES == CW_CONFIG_SECURITY_FILES, "in the order of cw_config_security_keys");
    for (uint32_t i = 0; i < CW_LINK_FILES; i++)
        files[i] = controller->config.security.files[i];
    return files;
}

static bool is_other_site(const struct cw_controller *controller, uint32_t site)
{
    const struct cw_config_site *of = &controller->config.sites[site];
    return site < controller->config.site_count && strcmp(of->name, controller->config.site) != 0;
}

static bool is_linked(const struct cw_controller *controller, uint32_t site)
{
    return controller->mesh.is_on && is_other_site(controller, site) &&
           controller->config.sites[site].control.port != 0;
}

static socklen_t fill_address(const struct cw_config_address *address, struct sockaddr_storage *to)
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

/* ---------------------------------------------------------------- files */

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

/* ---------------------------------------------------------------- to other sites */

static void end_link(struct cw_controller *controller, uint32_t site, const char *why)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    if (link->connection.fd < 0)
        return;
    cw_link_tls_free(link->tls);
    link->tls = NULL;
    cw_rpc_connection_close(&link->connection);
    if (link->broken_ns == 0)
        link->broken_ns = controller->now_ns;
    link->is_good = false;
    link->next_try_ns = controller->now_ns + RETRY_NS;
    snprintf(link->why, sizeof link->why, "%s", why);
    cw_links_calls_fail(controller, OUT_SERIAL(site), why);
}

static void begin_link(struct cw_controller *controller, uint32_t site)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    struct sockaddr_storage address;
    socklen_t size = fill_address(&controller->config.sites[site].control, &address);
    int one = 1;
    link->next_try_ns = controller->now_ns + RETRY_NS;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS) {
        snprintf(link->why, sizeof link->why, "%s", strerror(errno));
        close(fd);
        return;
    }
    link->tls = cw_link_tls_start(controller->mesh.trust, fd, true);
    if (!link->tls) {
        close(fd);
        return;
    }
    cw_rpc_connection_start(&link->connection, fd);
    link->connection.carrier = &cw_link_carrier;
    link->connection.carried = link->tls;
    link->began_ns = controller->now_ns;
}

static void recognize_site(struct cw_controller *controller, uint32_t site)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    const struct cw_link_peer *peer = cw_link_tls_peer(link->tls);
    const char *expected = controller->config.sites[site].name;
    char who[CW_LINK_WORDS], why[2 * CW_LINK_WORDS];
    if (peer->role != CW_LINK_CONTROLLER || strcmp(peer->site, expected) != 0) {
        snprintf(why, sizeof why, "there is %s, not the controller of %s",
                 cw_link_peer_words(peer, who, sizeof who), expected);
        end_link(controller, site, why);
        return;
    }
    link->is_good = true;
    link->connection.in.line_max = CW_RPC_ANSWER_MAX;
    link->broken_ns = 0;
    if (link->is_break_told)
        cw_event(controller, 0, "", "the link to the controller of %s is there again", expected);
    link->is_break_told = false;
    link->pull_due_ns = 0;
}

static void shake_link(struct cw_controller *controller, uint32_t site)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    char why[CW_LINK_WORDS];
    enum cw_link_state state = cw_link_tls_step(link->tls);
    if (state == CW_LINK_GOOD) {
        recognize_site(controller, site);
    } else if (state == CW_LINK_REFUSED) {
        snprintf(why, sizeof why, "%s", cw_link_tls_words(link->tls));
        end_link(controller, site, why);
    } else if (controller->now_ns - link->began_ns > SHAKE_NS) {
        end_link(controller, site, "nobody answers there");
    }
}

/* The other end has no connection of its own to us (only one way works to connect), and asks on this one.
 * What the engine or a third site would answer later finds no way back on it: those are asked again on
 * another. */
static bool serve_on_link(struct cw_controller *controller, uint32_t site,
                          const struct cw_rpc_message *message)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    struct cw_client client = {.asker.role = CW_LINK_CONTROLLER,
                               .connection = {.fd = link->connection.fd, .carrier = &cw_link_carrier}};
    snprintf(client.site, sizeof client.site, "%s", controller->config.sites[site].name);
    json_t *reply = cw_links_serve(controller, &client, message);
    if (link->connection.fd < 0) {
        json_decref(reply);
        return false;
    }
    return !reply || cw_rpc_connection_send(&link->connection, reply);
}

/* What came on our own connection: an answer, or what the other end asks; one in a turn of the loop. false:
 * it is to end. */
static bool take_message(struct cw_controller *controller, uint32_t site)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    struct cw_rpc_message message;
    bool is_open;
    enum cw_rpc_next next = cw_rpc_connection_next(&link->connection, &message, &is_open);
    if (next != CW_RPC_NEXT_MESSAGE)
        return next == CW_RPC_NEXT_NONE && is_open;
    if (message.kind == CW_RPC_RESULT || message.kind == CW_RPC_ERROR)
        cw_links_answer(controller, OUT_SERIAL(site), &message);
    else if (message.kind == CW_RPC_CALL)
        is_open = serve_on_link(controller, site, &message) && is_open;
    json_decref(message.whole);
    return is_open;
}

static void drain_link(struct cw_controller *controller, uint32_t site, short events)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    char why[CW_LINK_WORDS];
    if (!link->is_good) {
        shake_link(controller, site);
        return;
    }
    bool is_open = !(events & POLLOUT) || cw_rpc_connection_flush(&link->connection);
    if (is_open)
        is_open = take_message(controller, site);
    if (is_open || link->connection.fd < 0)
        return;
    snprintf(why, sizeof why, "%s",
             *cw_link_tls_words(link->tls) ? cw_link_tls_words(link->tls) : "the connection was closed");
    end_link(controller, site, why);
}

/* ---------------------------------------------------------------- who comes */

static void drop_remote(struct cw_controller *controller, struct cw_client *remote, const char *why)
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
        drop_remote(controller, remote, "");
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
    if (!is_other_site(controller, site))
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
        drop_remote(controller, oldest, "others wait");
    return oldest;
}

static void accept_remotes(struct cw_controller *controller)
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
    bool is_late = controller->now_ns - remote->began_ns > SHAKE_NS;
    if (state == CW_LINK_GOOD) {
        recognize_remote(controller, remote);
    } else if (state == CW_LINK_REFUSED || is_late) {
        tell_refusal(controller, remote,
                     state == CW_LINK_REFUSED ? cw_link_tls_words(remote->tls) : "no handshake within 5 s");
        let_leave(controller, remote);
    }
}

static void drain_remote(struct cw_controller *controller, struct cw_client *remote, short events)
{
    if (!remote->asker.role) {
        shake_remote(controller, remote);
        return;
    }
    remote->began_ns = controller->now_ns; /* from here on: when it was last heard of */
    if (!cw_client_serve(controller, remote, events))
        drop_remote(controller, remote, "the connection was closed");
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
        drop_remote(controller, remote, why);
    }
    for (uint32_t i = 0; i < controller->config.site_count; i++) {
        struct cw_link_site *link = &links->sites[i];
        if (link->is_good && !cw_link_tls_judge(link->tls, links->trust, why, sizeof why))
            end_link(controller, i, why);
    }
}

/* ---------------------------------------------------------------- telling */

static void tell_about(struct cw_controller *controller, uint32_t site)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    const char *name = controller->config.sites[site].name;
    uint64_t heard_ns = CW_MAX(link->heard_ns, controller->started_ns);
    if (controller->now_ns - heard_ns > SILENT_NS && !link->is_silence_told) {
        link->is_silence_told = true;
        cw_event(controller, 2, "",
                 "the controller of %s is silent: nothing new of it for %.1f s, by whatever way%s%s", name,
                 (double)(controller->now_ns - heard_ns) / 1e9, *link->why ? "; the link to it: " : "",
                 link->why);
    }
    if (link->broken_ns && controller->now_ns - link->broken_ns > BROKEN_NS && !link->is_break_told) {
        link->is_break_told = true;
        cw_event(controller, 1, "", "there is no link to the controller of %s: %s", name,
                 *link->why ? link->why : "nobody answers there");
    }
}

static void tick_site(struct cw_controller *controller, uint32_t site)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    if (link->connection.fd < 0 && controller->now_ns >= link->next_try_ns && controller->mesh.trust)
        begin_link(controller, site);
    else if (link->connection.fd >= 0 && !link->is_good)
        shake_link(controller, site); /* only its time may be over */
    if (controller->now_ns >= link->pull_due_ns)
        cw_links_pull(controller, site);
    tell_about(controller, site);
}

static void tick_remotes(struct cw_controller *controller)
{
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++) {
        struct cw_client *remote = &controller->remotes[i];
        if (remote->serial && !remote->asker.role)
            shake_remote(controller, remote);
        else if (remote->serial && controller->now_ns - remote->began_ns > IDLE_NS)
            drop_remote(controller, remote, "nothing was asked for long");
    }
}

void cw_links_tick(struct cw_controller *controller)
{
    if (!controller->mesh.is_on)
        return;
    look_at_files(controller);
    cw_links_calls_fail(controller, 0,
                        "no answer in time; it may or may not have been done: causeway status");
    tick_remotes(controller);
    for (uint32_t i = 0; i < controller->config.site_count; i++) {
        if (is_linked(controller, i))
            tick_site(controller, i);
    }
    if (controller->mesh.trust)
        judge_all(controller);
}

/* ---------------------------------------------------------------- the loop's part */

static bool link_waits(const struct cw_link_site *link)
{
    return link->is_good && cw_rpc_connection_has_line(&link->connection);
}

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
        short read = link_waits(link) ? 0 : POLLIN;
        short write = link->connection.out_used || cw_link_tls_wants_write(link->tls) ? POLLOUT : 0;
        fds[1 + CW_REMOTES_MAX + i] =
            (struct pollfd){.fd = link->connection.fd, .events = (short)(read | write)};
        is_waiting = is_waiting || link_waits(link);
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
            drain_remote(controller, remote, fds[1 + i].revents);
    }
    for (uint32_t i = 0; i < CW_CONFIG_SITES_MAX; i++) {
        const struct pollfd *fd = &fds[1 + CW_REMOTES_MAX + i];
        struct cw_link_site *link = &links->sites[i];
        if (fd->fd >= 0 && link->connection.fd == fd->fd && (fd->revents || link_waits(link)))
            drain_link(controller, i, fd->revents);
    }
    if (fds[0].revents)
        accept_remotes(controller);
}

/* ---------------------------------------------------------------- for the rest of the controller */

static uint32_t index_of(const struct cw_controller *controller, const char *site)
{
    uint32_t index = 0;
    while (index < controller->config.site_count && strcmp(controller->config.sites[index].name, site) != 0)
        index++;
    return index;
}

bool cw_links_leads_to(const struct cw_controller *controller, const char *site)
{
    uint32_t index = index_of(controller, site);
    return index < controller->config.site_count && is_linked(controller, index);
}

bool cw_links_is_awaited(const struct cw_controller *controller, int client)
{
    for (uint32_t i = 0; i < CW_LINK_CALLS_MAX; i++) {
        const struct cw_link_call *call = &controller->mesh.calls[i];
        if (call->kind == CW_LINK_CALL_FORWARD && call->client == client)
            return true;
    }
    return false;
}

bool cw_links_is_good(const struct cw_controller *controller, const char *site)
{
    uint32_t index = index_of(controller, site);
    return index < controller->config.site_count && controller->mesh.sites[index].is_good;
}

struct cw_rpc_connection *cw_links_connection(struct cw_controller *controller, uint32_t site, int *serial)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    *serial = OUT_SERIAL(site);
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
        end_link(controller, (uint32_t)(-1 - connection), why);
        return;
    }
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++) {
        if (controller->remotes[i].serial == connection)
            drop_remote(controller, &controller->remotes[i], why);
    }
}

/* ---------------------------------------------------------------- start and stop */

int cw_links_listen(const struct cw_config_address *at)
{
    struct sockaddr_storage address;
    socklen_t size = fill_address(at, &address);
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
            drop_remote(controller, &controller->remotes[i], "the controller stops");
    }
    for (uint32_t i = 0; i < CW_CONFIG_SITES_MAX; i++)
        end_link(controller, i, "the controller stops");
    close(links->listen_fd);
    cw_link_trust_free(links->trust);
    json_decref(links->facts);
    links->is_on = false;
}
