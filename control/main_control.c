/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * causeway-control --config FILE [--check] [--version] [--help]
 *
 * One thread around poll(2): the engine's socket, the command line's sockets, signals; and a tick every 100
 * ms. Beside it the threads of etcd_mirror.c, etcd_census.c and metrics_http.c. Exit codes: 0 stopped in
 * order, 1 failed, 2 wrong usage or configuration, 3 refused as unsafe.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/automatic.h"
#include "control/controller.h"
#include "control/etcd_census.h"
#include "control/etcd_client.h"
#include "control/store_copy.h"

#define TICK_MS         100
#define TICK_BUSY_MS    20
#define STORE_OPEN_MS   3000u /* for the first answer of an etcd, before it goes on without */
#define STORE_TRY_NS    (500 * CW_MS)
#define STUCK_NS        (15 * CW_SECOND) /* as long as the command line waits for an answer */
#define LEFT_MAX        1000u            /* calls of one who has gone, that are looked at */
#define LEFT_LINES      8u               /* and have a line of the audit, each of them synced */
#define ACCEPTS_MAX     16               /* in a turn of the loop */
#define OUTSIDE_HOLD_MS 5000             /* for a site that was promoted by tokens to say so in the store */

/* ---------------------------------------------------------------- clients */

static void drop_client(struct cw_client *client)
{
    cw_rpc_connection_close(&client->connection);
    client->serial = 0;
}

/* He waits for an answer, or has asked something that is still in the socket, or in the middle of it. After
 * STUCK_NS what is half said or not read keeps no place any more. */
static bool is_busy(const struct cw_controller *controller, const struct cw_client *client)
{
    const struct cw_rpc_connection *connection = &client->connection;
    char byte;
    for (uint32_t i = 0; i < CW_CALLS_MAX; i++) {
        const struct cw_engine_call *call = &controller->engine.calls[i];
        if (call->id != 0 && call->client == client->serial)
            return true;
    }
    if (cw_links_is_awaited(controller, client->serial))
        return true;
    return controller->now_ns - client->began_ns < STUCK_NS &&
           (connection->in.used || connection->out_used ||
            recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
}

/* When all places are taken, that of the one who has been idle for longest. NULL: all are busy. */
static struct cw_client *free_client(struct cw_controller *controller)
{
    struct cw_client *idle = NULL;
    for (uint32_t i = 0; i < CW_CLIENTS_MAX; i++) {
        struct cw_client *client = &controller->clients[i];
        if (!client->serial)
            return client;
        bool is_longer = !idle || client->began_ns < idle->began_ns ||
                         (client->began_ns == idle->began_ns && client->serial < idle->serial);
        if (is_longer && !is_busy(controller, client))
            idle = client;
    }
    if (idle)
        drop_client(idle);
    return idle;
}

static void accept_clients(struct cw_controller *controller)
{
    for (int turn = 0; turn < ACCEPTS_MAX; turn++) {
        int fd = accept4(controller->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct cw_client *slot = free_client(controller);
        if (!slot) {
            close(fd); /* at the limit: the others are served on */
            continue;
        }
        cw_rpc_connection_start(&slot->connection, fd);
        cw_asker_local(controller, fd, &slot->asker);
        slot->began_ns = controller->now_ns;
        slot->serial = ++controller->last_serial;
    }
}

/* false: the connection is to end. */
static bool serve_message(struct cw_controller *controller, struct cw_client *client,
                          const struct cw_rpc_message *message)
{
    bool is_answer = message->kind == CW_RPC_RESULT || message->kind == CW_RPC_ERROR;
    if (is_answer && client->asker.role == CW_LINK_CONTROLLER) {
        cw_links_answer(controller, client->serial, message);
        return client->serial != 0;
    }
    if (message->kind != CW_RPC_CALL)
        return message->kind ==
               CW_RPC_NOTE; /* notes to us mean nothing; answers we never asked for are garbage */
    json_t *reply = cw_serve(controller, client, message);
    return !reply || cw_rpc_connection_send(&client->connection, reply);
}

static bool answer_garbage(struct cw_client *client, enum cw_rpc_next next)
{
    int code = next == CW_RPC_NEXT_NOT_RPC ? CW_RPC_REQUEST : CW_RPC_PARSE;
    const char *words = next == CW_RPC_NEXT_TOO_LONG  ? "the line is longer than 1 MiB"
                        : next == CW_RPC_NEXT_NOT_RPC ? "this is no JSON-RPC 2.0 message"
                                                      : "this is no JSON";
    (void)cw_rpc_connection_send(&client->connection, cw_rpc_error(NULL, code, words, NULL));
    return false;
}

/* He does not read what he was answered. A controller is read on all the same: if both ends waited for the
 * other one to read, neither would. */
static bool is_paused(const struct cw_client *client)
{
    return client->asker.role != CW_LINK_CONTROLLER && client->connection.out_used > CW_RPC_OUT_PAUSE;
}

bool cw_client_waits(const struct cw_client *client)
{
    return client->serial && !is_paused(client) && cw_rpc_connection_has_line(&client->connection);
}

short cw_client_events(const struct cw_client *client)
{
    bool is_read = !is_paused(client) && !cw_rpc_connection_has_line(&client->connection);
    return (short)((is_read ? POLLIN : 0) | (client->connection.out_used ? POLLOUT : 0));
}

/* One message only: however many somebody sends at once, the tick, the engine's lease and all others come
 * before his next. */
static bool serve_one(struct cw_controller *controller, struct cw_client *client, short events)
{
    struct cw_rpc_message message;
    bool is_open;
    if ((events & (POLLOUT | POLLHUP | POLLERR)) && !cw_rpc_connection_flush(&client->connection))
        return false;
    if (is_paused(client))
        return true;
    enum cw_rpc_next next = cw_rpc_connection_next(&client->connection, &message, &is_open);
    if (next == CW_RPC_NEXT_NONE)
        return is_open;
    is_open = next == CW_RPC_NEXT_MESSAGE ? serve_message(controller, client, &message) && is_open
                                          : answer_garbage(client, next);
    json_decref(message.whole);
    return is_open;
}

/* The connection ends. Whatever else was asked on it by one who has gone has a line of the audit, too; of many the first. */
static void end_asking(struct cw_controller *controller, struct cw_client *client)
{
    struct cw_rpc_message message;
    uint32_t left = 0;
    bool is_open;
    for (uint32_t i = 0; i < LEFT_MAX && cw_rpc_connection_is_gone(&client->connection); i++) {
        if (cw_rpc_connection_next(&client->connection, &message, &is_open) != CW_RPC_NEXT_MESSAGE)
            break;
        if (message.kind == CW_RPC_CALL && left < LEFT_LINES)
            left += cw_serve_gone(controller, client, &message);
        else if (message.kind == CW_RPC_CALL)
            left++;
        json_decref(message.whole);
    }
    if (left > LEFT_LINES)
        cw_event(controller, 1, "", "%u more calls of %s have no line of audit: dropped, as he has gone",
                 left - LEFT_LINES, client->asker.who);
}

bool cw_client_serve(struct cw_controller *controller, struct cw_client *client, short events)
{
    bool is_open = serve_one(controller, client, events);
    if (!is_open)
        end_asking(controller, client);
    return is_open;
}

/* ---------------------------------------------------------------- the store at first */

static enum cw_status put_site(struct cw_controller *controller)
{
    const struct cw_node_config *config = &controller->config;
    struct cw_store_site site = {.id = config->site_id};
    snprintf(site.name, sizeof site.name, "%s", config->site);
    snprintf(site.control_socket, sizeof site.control_socket, "%s", config->control_socket);
    snprintf(site.storage, sizeof site.storage, "%s", config->storage);
    snprintf(site.directory, sizeof site.directory, "%s", config->directory);
    enum cw_status status = cw_store_site_put(controller->store, &site);
    return status != CW_OK ? status : cw_view_refresh(controller) ? CW_OK : CW_IO;
}

enum begun { STORE_BEGUN = 0, STORE_FAILED = 1, STORE_REFUSED = 3, STORE_SILENT };

/* What came of it is also the exit code; SILENT: it does not answer, or not yet. */
static enum begun begin_store(struct cw_controller *controller, char *why, size_t why_size)
{
    uint64_t lease_ms = 0;
    if (cw_store_version(controller->store) != 0 && cw_store_copy_is_ahead(controller)) {
        snprintf(why, why_size, "%s", controller->store_behind);
        return STORE_SILENT;
    }
    enum cw_status status = cw_store_agree_lease(controller->store, controller->config.lease_ms, &lease_ms);
    if (status == CW_OK && lease_ms != controller->config.lease_ms) {
        snprintf(why, why_size,
                 "refused: lease_seconds is %.3g here, and %.3g at every site that uses the store %s: with "
                 "two minds "
                 "one site takes over while the other still answers; set the same here",
                 (double)controller->config.lease_ms / 1e3, (double)lease_ms / 1e3, controller->store_name);
        return STORE_REFUSED;
    }
    const char *trouble = cw_store_trouble(controller->store);
    if (status == CW_INVALID) {
        snprintf(why, why_size, "%s", trouble);
        return STORE_FAILED;
    }
    if (status == CW_OK)
        status = put_site(controller);
    controller->is_store_begun = status == CW_OK;
    if (status == CW_EXISTS || status == CW_NO_SPACE)
        snprintf(why, why_size, "refused: in the store %s %s", controller->store_name,
                 status == CW_EXISTS ? "another site has this site's id (sites: in the configuration)"
                                     : "there are as many sites as there can be");
    else
        snprintf(why, why_size, "the store %s does not answer%s%s", controller->store_name,
                 *trouble ? ": " : "", trouble);
    return status == CW_OK                                ? STORE_BEGUN
           : status == CW_EXISTS || status == CW_NO_SPACE ? STORE_REFUSED
                                                          : STORE_SILENT;
}

/* One that was silent at the start: as soon as it answers. */
static void try_store(struct cw_controller *controller)
{
    char why[CW_ETCD_WORDS_SIZE + 200];
    if (controller->is_store_begun || controller->now_ns < controller->store_try_ns)
        return;
    controller->store_try_ns = controller->now_ns + STORE_TRY_NS;
    if (cw_store_version(controller->store) == 0)
        return;
    enum begun begun = begin_store(controller, why, sizeof why);
    controller->now_ns = cw_monotonic_ns();
    if (begun == STORE_BEGUN)
        cw_event(controller, 0, "", "the store %s answers: this controller begins", controller->store_name);
    if (begun != STORE_FAILED && begun != STORE_REFUSED)
        return;
    cw_event(controller, 2, "", "%s", why);
    controller->exit = (int)begun;
    controller->is_stopping = true;
}

/* ---------------------------------------------------------------- the loop */

static bool has_fault(struct cw_controller *controller)
{
    const char *fault = cw_store_fault(controller->store);
    if (fault[0] && !controller->is_fault_told)
        cw_event(controller, 2, "", "%s", fault);
    controller->is_fault_told = fault[0] != 0;
    return controller->is_fault_told;
}

/* What rests on what the store says. */
static void act(struct cw_controller *controller)
{
    cw_reconcile(controller);
    if (!controller->is_fault_told)
        cw_automatic_run(controller);
    cw_nbdkits_run(controller);
}

static void tick(struct cw_controller *controller)
{
    uint64_t version = cw_store_version(controller->store);
    controller->now_ns = cw_monotonic_ns();
    controller->wake_ns = UINT64_MAX;
    if (version != controller->view->version && version != 0)
        (void)cw_view_refresh(controller);
    (void)cw_book_look(controller);
    cw_facts_tell(controller);
    cw_facts_look(controller);
    cw_engine_poll(controller);
    try_store(controller);
    cw_outside_trust(controller->store, controller->is_store_begun && !controller->store_behind[0]);
    cw_store_look(controller);
    cw_unreadable_look(controller);
    if (has_fault(controller))
        cw_operations_fail(controller, cw_store_fault(controller->store));
    else
        cw_operations_run(controller);
    cw_store_copy_look(controller);
    if (controller->is_store_begun)
        act(controller);
    else if (controller->is_view_copied)
        cw_reconcile(controller);
    cw_audit_look(controller);
    cw_links_tick(controller);
    cw_metrics_tick(controller);
}

static void take_signals(struct cw_controller *controller, int signal_fd)
{
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            cw_nbdkits_died(controller);
        else
            controller->is_stopping = true;
    }
}

enum {
    POLL_SIGNAL = 0,
    POLL_LISTEN,
    POLL_ENGINE,
    POLL_METRICS,
    POLL_FIRST_CLIENT,
    POLL_LINKS = POLL_FIRST_CLIENT + CW_CLIENTS_MAX,
    POLL_COUNT = POLL_LINKS + CW_LINKS_POLL
};

/* true: somebody waits for nothing that poll could tell. */
static bool fill(struct cw_controller *controller, int signal_fd, struct pollfd *fds)
{
    const struct cw_rpc_connection *engine = &controller->engine.connection;
    bool is_waiting = cw_engine_waits(controller);
    fds[POLL_SIGNAL] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
    fds[POLL_LISTEN] = (struct pollfd){.fd = controller->listen_fd, .events = POLLIN};
    fds[POLL_ENGINE] =
        (struct pollfd){.fd = engine->fd, .events = (short)(POLLIN | (engine->out_used ? POLLOUT : 0))};
    for (uint32_t i = 0; i < CW_CLIENTS_MAX; i++) {
        const struct cw_client *client = &controller->clients[i];
        fds[POLL_FIRST_CLIENT + i] = (struct pollfd){.fd = client->serial ? client->connection.fd : -1,
                                                     .events = cw_client_events(client)};
        is_waiting = is_waiting || cw_client_waits(client);
    }
    cw_metrics_fill(controller, &fds[POLL_METRICS]);
    return cw_links_fill(controller, &fds[POLL_LINKS]) || is_waiting;
}

static void drain_engine(struct cw_controller *controller, short events)
{
    if ((events & POLLOUT) && !cw_rpc_connection_flush(&controller->engine.connection))
        cw_engine_lost(controller, "its socket does not take requests");
    else if (events & (POLLIN | POLLHUP | POLLERR))
        cw_engine_readable(controller);
}

static void drain_clients(struct cw_controller *controller, const struct pollfd *fds)
{
    uint64_t end_ns = cw_monotonic_ns() + CW_SERVE_NS;
    uint32_t first = controller->next_client;
    for (uint32_t turn = 0; turn < CW_CLIENTS_MAX && cw_monotonic_ns() < end_ns; turn++) {
        uint32_t i = (first + turn) % CW_CLIENTS_MAX;
        struct cw_client *client = &controller->clients[i];
        short events = fds[POLL_FIRST_CLIENT + i].revents;
        controller->next_client = (i + 1) % CW_CLIENTS_MAX;
        if (!client->serial || client->connection.fd != fds[POLL_FIRST_CLIENT + i].fd ||
            (!events && !cw_client_waits(client)))
            continue;
        client->began_ns = controller->now_ns;
        if (!cw_client_serve(controller, client, events))
            drop_client(client);
    }
}

static void run(struct cw_controller *controller, int signal_fd)
{
    while (!controller->is_stopping) {
        struct pollfd fds[POLL_COUNT];
        controller->now_ns = cw_monotonic_ns();
        if (controller->now_ns >= controller->next_tick_ns) {
            tick(controller);
            bool is_busy = cw_operations_are_running(controller) || cw_is_handing_over(controller);
            controller->next_tick_ns = controller->now_ns + (is_busy ? TICK_BUSY_MS : TICK_MS) * CW_MS;
            controller->next_tick_ns = CW_MIN(controller->next_tick_ns, controller->wake_ns);
        }
        bool is_waiting = fill(controller, signal_fd, fds);
        uint64_t next_ns = controller->next_tick_ns;
        uint64_t left_ns = next_ns > controller->now_ns ? next_ns - controller->now_ns : 0;
        if (poll(fds, POLL_COUNT, is_waiting ? 0 : (int)(left_ns / CW_MS + 1)) < 0 && errno != EINTR)
            break;
        controller->now_ns = cw_monotonic_ns();
        take_signals(controller, signal_fd);
        if (fds[POLL_ENGINE].revents && fds[POLL_ENGINE].fd == controller->engine.connection.fd)
            drain_engine(controller, fds[POLL_ENGINE].revents);
        cw_engine_serve(controller);
        drain_clients(controller, fds);
        cw_links_drain(controller, &fds[POLL_LINKS]);
        cw_metrics_drain(controller, &fds[POLL_METRICS]);
        if (fds[POLL_LISTEN].revents)
            accept_clients(controller);
    }
}

/* ---------------------------------------------------------------- start and stop */

/* The embedded store stands for a quorum only within one machine. With etcd, sites are where they are. */
static bool all_sites_are_here(const struct cw_node_config *config)
{
    for (uint32_t i = 0; i < config->site_count && config->etcd.count == 0; i++) {
        const struct cw_config_site *site = &config->sites[i];
        struct stat about;
        if (strcmp(site->name, config->site) == 0)
            continue;
        if (site->directory[0] && stat(site->directory, &about) == 0 && S_ISDIR(about.st_mode))
            continue;
        fprintf(
            stderr,
            "refused: site %s is not on this machine (its directory %s is not here), and the embedded "
            "store keeps "
            "the authority of sites on one machine only. Sites on different machines need etcd in its place "
            "(etcd: in the configuration).\n",
            site->name, site->directory[0] ? site->directory : "is not named and");
        return false;
    }
    return true;
}

static int open_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Without links all controllers of this machine write one book, in the store's file. With them, or with etcd,
 * each has its own. */
static struct cw_book *open_book(struct cw_controller *controller, char *why, size_t why_size)
{
    char file[CW_BOOK_FILE_SIZE], wrong[CW_BOOK_FILE_SIZE + CW_BOOK_WORDS_SIZE];
    if (controller->config.control_address.port == 0 && controller->config.etcd.count == 0) {
        struct cw_book *book = cw_book_open(controller->config.store_file, wrong, sizeof wrong);
        if (!book)
            snprintf(why, why_size,
                     "%s. This file is the store, too: the authority is in it, so it is not moved away, and "
                     "nothing is begun in its place. Put back the last good copy while no engine runs",
                     wrong);
        return book;
    }
    snprintf(file, sizeof file, "%s/book.sqlite", controller->config.directory);
    if (!cw_own_book_open(&controller->own_book, file, controller->now_ns))
        snprintf(why, why_size, "no memory");
    return controller->own_book.book;
}

static void tell_book(struct cw_controller *controller)
{
    const struct cw_own_book *own = &controller->own_book;
    if (own->news[0])
        cw_event(controller, own->level, "", "%s", own->news);
}

static void tell_outside(void *context, int level, uint32_t group, const char *words)
{
    struct cw_controller *controller = context;
    const struct cw_store_group *found = cw_view_group_by_id(controller->view, group);
    cw_event(controller, level, found ? found->name : "", "%s", words);
}

/* What is held by operators' tokens, around the store that has or had a quorum. */
static struct cw_store *open_outside(struct cw_controller *controller, struct cw_store *inner, char *why,
                                     size_t why_size)
{
    static char file[CW_CONFIG_PATH_SIZE + 24];
    snprintf(file, sizeof file, "%s/break-glass.json", controller->config.directory);
    const struct cw_outside_options options = {
        .file = file,
        .site = controller->config.site,
        .lease_ms = controller->config.lease_ms,
        .hold_ms = controller->config.break_glass.threshold ? OUTSIDE_HOLD_MS : 0,
        .tell = tell_outside,
        .context = controller};
    return cw_store_open_outside(inner, &options, why, why_size);
}

static bool open_store(struct cw_controller *controller, char *why, size_t why_size)
{
    static struct cw_etcd_address address;
    const struct cw_config_etcd *etcd = &controller->config.etcd;
    static_assert(sizeof address.endpoints == sizeof etcd->endpoints, "one is copied to the other");
    if (etcd->count > 0) {
        address.count = etcd->count;
        memcpy(address.endpoints, etcd->endpoints, sizeof address.endpoints);
        snprintf(address.certificate, sizeof address.certificate, "%s", etcd->certificate);
        snprintf(address.key, sizeof address.key, "%s", etcd->key);
        snprintf(address.authority, sizeof address.authority, "%s", etcd->authority);
        controller->store = cw_store_open_etcd(&address, etcd->prefix, why, why_size);
        controller->census = controller->store ? cw_census_start(&address) : NULL;
    } else {
        controller->store = cw_store_open_file(controller->config.store_file, why, why_size);
    }
    if (controller->store && etcd->count > 0)
        controller->store = open_outside(controller, controller->store, why, why_size);
    controller->store_name = etcd->count > 0 ? etcd->prefix : controller->config.store_file;
    controller->book = controller->store ? open_book(controller, why, why_size) : NULL;
    if (controller->book)
        tell_book(controller);
    return controller->book != NULL;
}

/* An etcd may be late, and the machine of this controller the first to be up again. */
static void wait_for_store(struct cw_controller *controller)
{
    uint64_t end_ns = cw_monotonic_ns() + STORE_OPEN_MS * CW_MS;
    while (cw_store_version(controller->store) == 0 && !cw_store_fault(controller->store)[0] &&
           cw_monotonic_ns() < end_ns)
        (void)poll(NULL, 0, 10);
}

static enum begun start_store(struct cw_controller *controller)
{
    char why[CW_ETCD_WORDS_SIZE + 200];
    bool is_etcd = controller->config.etcd.count > 0;
    if (is_etcd)
        wait_for_store(controller);
    enum begun begun = begin_store(controller, why, sizeof why);
    if (begun == STORE_SILENT && is_etcd) {
        if (!controller->store_behind[0]) /* which is told already */
            cw_event(controller, 2, "", "%s. Until it does, nothing is decided here and no lease is renewed",
                     why);
    } else if (begun != STORE_BEGUN)
        fprintf(stderr, "%s\n", why);
    return begun == STORE_SILENT ? is_etcd ? STORE_BEGUN : STORE_FAILED : begun;
}

/* 0, or the exit code with words said. */
static int start(struct cw_controller *controller)
{
    char why[CW_ETCD_WORDS_SIZE];
    int code;
    controller->engine.connection.fd = -1;
    for (uint32_t i = 0; i < CW_CLIENTS_MAX; i++)
        controller->clients[i].connection.fd = -1;
    controller->started_ns = controller->now_ns = cw_monotonic_ns();
    if (!all_sites_are_here(&controller->config))
        return 3;
    controller->view = cw_view_new();
    if (!controller->view || !open_store(controller, why, sizeof why)) {
        fprintf(stderr, "%s\n", controller->view ? why : "no memory");
        return 1;
    }
    cw_store_copy_start(controller);
    code = (int)start_store(controller);
    if (code != 0)
        return code;
    controller->listen_fd = cw_rpc_listen(controller->config.control_socket, controller->config.socket_mode,
                                          controller->config.socket_group);
    if (controller->listen_fd < 0) {
        fprintf(stderr, "%s: %s\n", controller->config.control_socket,
                errno == EADDRINUSE ? "another controller serves it" : strerror(errno));
        return 1;
    }
    code = cw_links_start(controller);
    return code ? code : cw_metrics_start(controller);
}

static void stop(struct cw_controller *controller)
{
    cw_metrics_stop(controller);
    cw_nbdkits_stop(controller);
    cw_links_stop(controller);
    if (controller->listen_fd >= 0)
        unlink(controller->config.control_socket);
    for (uint32_t i = 0; i < CW_CLIENTS_MAX; i++)
        drop_client(&controller->clients[i]);
    cw_engine_lost(controller, "the controller stops");
    for (uint32_t i = 0; i < CW_STORE_SITES_MAX; i++)
        json_decref(controller->seen[i].facts);
    json_decref(controller->engine.status_kept);
    cw_census_stop(controller->census);
    cw_store_copy_stop(controller);
    json_decref(controller->failovers);
    json_decref(controller->salvage);
    json_decref(controller->own_losses);
    if (controller->own_book.file[0])
        cw_own_book_close(&controller->own_book);
    else
        cw_book_close(controller->book);
    cw_store_close(controller->store);
    free(controller->view);
}

static int serve(const struct cw_node_config *config)
{
    static struct cw_controller controller;
    controller.config = *config;
    controller.listen_fd = -1;
    int signal_fd = open_signals();
    int code = signal_fd < 0 ? 1 : start(&controller);
    if (code != 0) {
        cw_census_stop(controller.census); /* it may have a thread, and so may the store */
        cw_store_close(controller.store);
        return code;
    }
    fprintf(stderr, "causeway-control %s of site %s\n", CW_VERSION, config->site);
    run(&controller, signal_fd);
    stop(&controller);
    return controller.exit;
}

static int usage(FILE *to)
{
    fprintf(to, "usage: causeway-control --config FILE [--check] | --version | --help\n\n"
                "The controller of one site: keeps its engine as the store wants it, and answers the "
                "causeway command.\n"
                "  --config FILE  the node's configuration\n"
                "  --check        only say what is wrong with it: exit 0, or 1\n"
                "SIGTERM ends it in order; the engine goes on. Events and errors go to stderr. With "
                "metrics_address in the\nconfiguration it answers Prometheus there, at /metrics.\n"
                "Exit: 0 stopped in order, 1 failed, 2 wrong usage or configuration, 3 refused as unsafe.\n");
    return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    const char *file = NULL;
    bool is_check = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return usage(stdout);
        if (strcmp(argv[i], "--version") == 0)
            return printf("causeway-control %s\n", CW_VERSION) < 0;
        if (strcmp(argv[i], "--check") == 0)
            is_check = true;
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            file = argv[++i];
        else
            return usage(stderr);
    }
    if (!file)
        return usage(stderr);
    if (is_check)
        return cw_node_config_check_main(file);
    static struct cw_node_config config;
    static struct cw_config_mistakes mistakes;
    if (cw_node_config_load(file, &config, &mistakes) == CW_OK)
        return serve(&config);
    cw_config_mistakes_print(stderr, file, &mistakes);
    return 2;
}
