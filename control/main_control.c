/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * causeway-control --config FILE [--check] [--version] [--help]
 *
 * One thread around poll(2): the engine's socket, the command line's sockets, signals; and a tick every 100
 * ms. Exit codes: 0 stopped in order, 1 failed, 2 wrong usage or configuration, 3 refused as unsafe.
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

#include "control/controller.h"

#define TICK_MS      100
#define TICK_BUSY_MS 20

/* ---------------------------------------------------------------- clients */

static void accept_clients(struct cw_controller *controller)
{
    int fd;
    while ((fd = accept4(controller->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        struct cw_client *slot = NULL;
        for (uint32_t i = 0; i < CW_CLIENTS_MAX && !slot; i++)
            slot = controller->clients[i].serial == 0 ? &controller->clients[i] : NULL;
        if (!slot) {
            close(fd); /* at the limit: the others are served on */
            continue;
        }
        cw_rpc_connection_start(&slot->connection, fd);
        slot->serial = ++controller->last_serial;
    }
}

static void drop_client(struct cw_client *client)
{
    cw_rpc_connection_close(&client->connection);
    client->serial = 0;
}

/* false: the connection is to end. */
static bool serve_message(struct cw_controller *controller, struct cw_client *client,
                          const struct cw_rpc_message *message)
{
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

static void serve_client(struct cw_controller *controller, struct cw_client *client)
{
    bool is_open = cw_rpc_connection_read(&client->connection);
    for (;;) {
        struct cw_rpc_message message;
        enum cw_rpc_next next = cw_rpc_lines_next(&client->connection.in, &message);
        if (next == CW_RPC_NEXT_NONE)
            break;
        is_open = next == CW_RPC_NEXT_MESSAGE ? serve_message(controller, client, &message) && is_open
                                              : answer_garbage(client, next);
        json_decref(message.whole);
        if (!is_open)
            break;
    }
    if (!is_open)
        drop_client(client);
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

static void tick(struct cw_controller *controller)
{
    uint64_t version = cw_store_version(controller->store);
    controller->now_ns = cw_monotonic_ns();
    if (version != controller->view->version && version != 0)
        (void)cw_view_refresh(controller);
    cw_facts_tell(controller);
    cw_facts_look(controller);
    cw_engine_poll(controller);
    if (has_fault(controller))
        cw_operations_fail(controller, cw_store_fault(controller->store));
    else
        cw_operations_run(controller);
    cw_reconcile(controller);
    cw_nbdkits_run(controller);
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
    POLL_FIRST_CLIENT,
    POLL_COUNT = POLL_FIRST_CLIENT + CW_CLIENTS_MAX
};

static short wanted_events(const struct cw_rpc_connection *connection)
{
    return (short)(POLLIN | (connection->out_used ? POLLOUT : 0));
}

static void fill(struct cw_controller *controller, int signal_fd, struct pollfd *fds)
{
    fds[POLL_SIGNAL] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
    fds[POLL_LISTEN] = (struct pollfd){.fd = controller->listen_fd, .events = POLLIN};
    fds[POLL_ENGINE] = (struct pollfd){.fd = controller->engine.connection.fd,
                                       .events = wanted_events(&controller->engine.connection)};
    for (uint32_t i = 0; i < CW_CLIENTS_MAX; i++) {
        struct cw_client *client = &controller->clients[i];
        fds[POLL_FIRST_CLIENT + i] = (struct pollfd){.fd = client->serial ? client->connection.fd : -1,
                                                     .events = wanted_events(&client->connection)};
    }
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
    for (uint32_t i = 0; i < CW_CLIENTS_MAX; i++) {
        struct cw_client *client = &controller->clients[i];
        short events = fds[POLL_FIRST_CLIENT + i].revents;
        if (!events || !client->serial || client->connection.fd != fds[POLL_FIRST_CLIENT + i].fd)
            continue;
        if ((events & POLLOUT) && !cw_rpc_connection_flush(&client->connection))
            drop_client(client);
        else if (events & (POLLIN | POLLHUP | POLLERR))
            serve_client(controller, client);
    }
}

static void run(struct cw_controller *controller, int signal_fd)
{
    uint64_t next_tick_ns = 0;
    while (!controller->is_stopping) {
        struct pollfd fds[POLL_COUNT];
        controller->now_ns = cw_monotonic_ns();
        if (controller->now_ns >= next_tick_ns) {
            tick(controller);
            next_tick_ns =
                controller->now_ns + (cw_operations_are_running(controller) ? TICK_BUSY_MS : TICK_MS) * CW_MS;
        }
        fill(controller, signal_fd, fds);
        uint64_t left_ns = next_tick_ns > controller->now_ns ? next_tick_ns - controller->now_ns : 0;
        if (poll(fds, POLL_COUNT, (int)(left_ns / CW_MS + 1)) < 0 && errno != EINTR)
            break;
        controller->now_ns = cw_monotonic_ns();
        take_signals(controller, signal_fd);
        if (fds[POLL_ENGINE].revents && fds[POLL_ENGINE].fd == controller->engine.connection.fd)
            drain_engine(controller, fds[POLL_ENGINE].revents);
        drain_clients(controller, fds);
        if (fds[POLL_LISTEN].revents)
            accept_clients(controller);
    }
}

/* ---------------------------------------------------------------- start and stop */

/* The embedded store stands for a quorum only within one machine. */
static bool all_sites_are_here(const struct cw_node_config *config)
{
    for (uint32_t i = 0; i < config->site_count; i++) {
        const struct cw_config_site *site = &config->sites[i];
        struct stat about;
        if (strcmp(site->name, config->site) == 0)
            continue;
        if (site->directory[0] && stat(site->directory, &about) == 0 && S_ISDIR(about.st_mode))
            continue;
        fprintf(stderr,
                "refused: site %s is not on this machine (its directory %s is not here), and the embedded "
                "store keeps "
                "the authority of sites on one machine only. Sites on different machines need the quorum "
                "store, which "
                "comes with a later version.\n",
                site->name, site->directory[0] ? site->directory : "is not named and");
        return false;
    }
    return true;
}

static bool put_site(struct cw_controller *controller)
{
    const struct cw_node_config *config = &controller->config;
    struct cw_store_site site = {.id = config->site_id};
    snprintf(site.name, sizeof site.name, "%s", config->site);
    snprintf(site.control_socket, sizeof site.control_socket, "%s", config->control_socket);
    snprintf(site.storage, sizeof site.storage, "%s", config->storage);
    snprintf(site.directory, sizeof site.directory, "%s", config->directory);
    return cw_store_site_put(controller->store, &site) == CW_OK && cw_view_refresh(controller);
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

/* 0, or the exit code with words said. */
static int start(struct cw_controller *controller)
{
    char why[512];
    uint64_t lease_ms = 0;
    controller->engine.connection.fd = -1;
    for (uint32_t i = 0; i < CW_CLIENTS_MAX; i++)
        controller->clients[i].connection.fd = -1;
    controller->started_ns = controller->now_ns = cw_monotonic_ns();
    if (!all_sites_are_here(&controller->config))
        return 3;
    controller->store = cw_store_open(controller->config.store_file, why, sizeof why);
    controller->view = calloc(1, sizeof *controller->view);
    if (!controller->store || !controller->view) {
        fprintf(stderr, "%s\n", controller->view ? why : "no memory");
        return 1;
    }
    if (cw_store_agree_lease(controller->store, controller->config.lease_ms, &lease_ms) != CW_OK) {
        fprintf(stderr, "the store %s does not answer\n", controller->config.store_file);
        return 1;
    }
    if (lease_ms != controller->config.lease_ms) {
        fprintf(
            stderr,
            "refused: lease_seconds is %.3g here, and %.3g at every site that uses the store %s: with two "
            "minds one site takes over while the other still answers; set the same here\n",
            (double)controller->config.lease_ms / 1e3, (double)lease_ms / 1e3, controller->config.store_file);
        return 3;
    }
    if (!put_site(controller)) {
        fprintf(stderr, "the store %s does not answer\n", controller->config.store_file);
        return 1;
    }
    controller->listen_fd = cw_rpc_listen(controller->config.control_socket, controller->config.socket_mode,
                                          controller->config.socket_group);
    if (controller->listen_fd < 0) {
        fprintf(stderr, "%s: %s\n", controller->config.control_socket,
                errno == EADDRINUSE ? "another controller serves it" : strerror(errno));
        return 1;
    }
    return 0;
}

static void stop(struct cw_controller *controller)
{
    cw_nbdkits_stop(controller);
    if (controller->listen_fd >= 0)
        unlink(controller->config.control_socket);
    for (uint32_t i = 0; i < CW_CLIENTS_MAX; i++)
        drop_client(&controller->clients[i]);
    cw_engine_lost(controller, "the controller stops");
    for (uint32_t i = 0; i < CW_SET_MAX; i++)
        json_decref(controller->seen[i].facts);
    json_decref(controller->engine.status_kept);
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
    if (code != 0)
        return code;
    fprintf(stderr, "causeway-control %s of site %s\n", CW_VERSION, config->site);
    run(&controller, signal_fd);
    stop(&controller);
    return 0;
}

static int usage(FILE *to)
{
    fprintf(to, "usage: causeway-control --config FILE [--check] | --version | --help\n\n"
                "The controller of one site: keeps its engine as the store wants it, and answers the "
                "causeway command.\n"
                "  --config FILE  the node's configuration\n"
                "  --check        only say what is wrong with it\n");
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
