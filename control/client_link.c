/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * causeway --connect ADDRESS --identity DIR: a controller that is elsewhere, over TLS. DIR is what causeway
 * cert issue --operator or --viewer has made. One connection of each thread that asks, which is kept as long
 * as that runs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control/cli.h"
#include "control/link_tls.h"
#include "engine/config/node_config.h"

#define SHAKE_MS 10000

static _Thread_local struct {
    struct cw_rpc_connection connection;
    struct cw_link_tls *tls;
} remote = {.connection.fd = -1};

__attribute__((format(printf, 2, 3))) static bool fail(struct cw_rpc_failure *failure, const char *format,
                                                       ...)
{
    va_list arguments;
    *failure = (struct cw_rpc_failure){.exit = CW_EXIT_FAILED};
    va_start(arguments, format);
    (void)vsnprintf(failure->words, sizeof failure->words, format, arguments);
    va_end(arguments);
    return false;
}

static struct cw_link_trust *load(const char *directory, struct cw_rpc_failure *failure)
{
    static const char *const names[CW_LINK_FILES] = {"client-cert.pem", "client-key.pem", "ca-cert.pem",
                                                     "ca-crl.pem"};
    char paths[CW_LINK_FILES][512], why[CW_LINK_WORDS];
    const char *files[CW_LINK_FILES];
    for (int i = 0; i < CW_LINK_FILES; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%s", directory, names[i]);
        files[i] = paths[i];
    }
    struct cw_link_trust *trust = cw_link_trust_load(files, why, sizeof why);
    if (!trust)
        (void)fail(failure, "--identity: %s", why);
    return trust;
}

static int open_socket(const char *text, struct cw_rpc_failure *failure)
{
    struct cw_config_address address;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    if (!cw_config_address_parse(text, &address)) {
        (void)fail(failure, "--connect %s: expected an address and a port, such as 10.0.1.1:7443", text);
        failure->exit = CW_EXIT_USAGE;
        return -1;
    }
    bool is_v6 = address.ip.version == 6;
    v6.sin6_port = v4.sin_port = htons(address.port);
    memcpy(&v6.sin6_addr, address.ip.bytes, 16);
    memcpy(&v4.sin_addr, address.ip.bytes, 4);
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval limit = {.tv_sec = SHAKE_MS / 1000};
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (fd >= 0 &&
        connect(fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4, is_v6 ? sizeof v6 : sizeof v4) ==
            0 &&
        fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    (void)fail(failure, "nobody answers at %s: %s. Does causeway-control run there, with control_address?",
               text, strerror(errno == EINPROGRESS ? ETIMEDOUT : errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool shake(const char *text, struct cw_rpc_failure *failure)
{
    struct pollfd ready = {.fd = remote.connection.fd};
    for (int waited_ms = 0; cw_link_tls_step(remote.tls) == CW_LINK_SHAKING; waited_ms += 100) {
        if (waited_ms > SHAKE_MS)
            return fail(failure, "%s does not say who it is", text);
        ready.events = cw_link_tls_wants_write(remote.tls) ? POLLOUT : POLLIN;
        if (poll(&ready, 1, 100) > 0)
            waited_ms -= 100;
    }
    if (cw_link_tls_step(remote.tls) == CW_LINK_REFUSED)
        return fail(failure, "%s: %s", text, cw_link_tls_words(remote.tls));
    return cw_link_tls_peer(remote.tls)->role == CW_LINK_CONTROLLER ||
           fail(failure, "%s is no controller: its certificate is a person's", text);
}

static void hang_up(void)
{
    cw_link_tls_free(remote.tls);
    remote.tls = NULL;
    if (remote.connection.fd >= 0)
        cw_rpc_connection_close(&remote.connection);
}

static bool dial(const char *text, const char *identity, struct cw_rpc_failure *failure)
{
    struct cw_link_trust *trust = load(identity, failure);
    int fd = trust ? open_socket(text, failure) : -1;
    bool ok = fd >= 0;
    signal(SIGPIPE, SIG_IGN);
    if (ok) {
        cw_rpc_connection_start(&remote.connection, fd);
        remote.tls = cw_link_tls_start(trust, fd, true);
        remote.connection.carrier = &cw_link_carrier;
        remote.connection.carried = remote.tls;
        ok = (remote.tls || fail(failure, "no memory")) && shake(text, failure);
    }
    cw_link_trust_free(trust);
    if (!ok)
        hang_up();
    return ok;
}

json_t *cw_ask_remote(const struct cw_cli *cli, const char *method, json_t *params, int timeout_ms,
                      struct cw_rpc_failure *failure)
{
    char words[CW_LINK_WORDS];
    if (!cli->identity) {
        (void)fail(failure, "--connect wants --identity DIR, "
                            "which causeway cert issue --operator NAME (or --viewer) has made");
        failure->exit = CW_EXIT_USAGE;
    } else if (remote.connection.fd >= 0 || dial(cli->connect, cli->identity, failure)) {
        json_t *result = cw_rpc_ask(&remote.connection, method, params, timeout_ms, failure);
        if (result || failure->code)
            return result;
        /* Whom the other end refuses learns it when he reads. */
        snprintf(words, sizeof words, "%s", cw_link_tls_words(remote.tls));
        if (*words)
            (void)fail(failure, "%s: %s", cli->connect, words);
        hang_up();
        return NULL;
    }
    json_decref(params);
    return NULL;
}

void cw_ask_end(void)
{
    hang_up();
}
