/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Our connection to another site's controller: made, and made again a second after it ended; believed when the
 * certificate at its other end is of a node of that site; told of by events when it is away for long, and when
 * nothing newer is heard of the site by whatever way.
 */
#include "control/links_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

#define RETRY_NS  (1 * CW_SECOND)
#define BROKEN_NS (3 * CW_SECOND) /* a link that breaks for less is not told of */
#define SILENT_NS (3 * CW_SECOND) /* without newer facts, by whatever way */

bool cw_links_is_linked(const struct cw_controller *controller, uint32_t site)
{
    return controller->mesh.is_on && cw_links_is_other_site(controller, site) &&
           controller->config.sites[site].control.port != 0;
}

void cw_link_site_end(struct cw_controller *controller, uint32_t site, const char *why)
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
    cw_links_calls_fail(controller, CW_LINK_SERIAL(site), why);
}

static void begin_link(struct cw_controller *controller, uint32_t site)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    struct sockaddr_storage address;
    socklen_t size = cw_links_fill_address(&controller->config.sites[site].control, &address);
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
        cw_link_site_end(controller, site, why);
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
        cw_link_site_end(controller, site, why);
    } else if (controller->now_ns - link->began_ns > CW_LINK_SHAKE_NS) {
        cw_link_site_end(controller, site, "nobody answers there");
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
        cw_links_answer(controller, CW_LINK_SERIAL(site), &message);
    else if (message.kind == CW_RPC_CALL)
        is_open = serve_on_link(controller, site, &message) && is_open;
    json_decref(message.whole);
    return is_open;
}

void cw_link_site_drain(struct cw_controller *controller, uint32_t site, short events)
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
    cw_link_site_end(controller, site, why);
}

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

void cw_link_site_tick(struct cw_controller *controller, uint32_t site)
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

bool cw_link_site_waits(const struct cw_link_site *link)
{
    return link->is_good && cw_rpc_connection_has_line(&link->connection);
}

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
    return index < controller->config.site_count && cw_links_is_linked(controller, index);
}

bool cw_links_is_good(const struct cw_controller *controller, const char *site)
{
    uint32_t index = index_of(controller, site);
    return index < controller->config.site_count && controller->mesh.sites[index].is_good;
}
