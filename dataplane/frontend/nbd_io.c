/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * At most one receive and one send of a connection are in the ring. Everything gathered since the last send
 * goes out with the next. The send is prepared before the receive: the kernel works in that order, and the
 * client is who we want to be running.
 *
 * A receive that got less than it asked for has emptied the socket: the next one waits for readiness first
 * instead of trying in vain. While a connection waits and is not read, a poll for hang-up stands in, so that
 * a client which went away does not hold its place.
 *
 * Not chosen: multishot receive, which fills buffers of the ring's choosing and would make every payload
 * copied twice; multishot accept, since connections are rare.
 */
#include "frontend/nbd_io.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/numbers.h"

#define SOCKET_BUFFER_BYTES                                                                                  \
    (1 << 20) /* replies that fit while the client sleeps; the kernel may give less                          \
               */

/* ---- sending ---- */

static void on_send(struct cw_uring_op *op, int result, uint32_t flags)
{
    struct cw_nbd_connection *connection = CW_CONTAINER_OF(op, struct cw_nbd_connection, send_op);
    connection->is_sending = false;
    if (result > 0)
        cw_nbd_connection_on_sent(connection, (size_t)result);
    else
        cw_nbd_connection_on_end(connection);
}

static void send_next(struct cw_nbd_connection *connection)
{
    if (connection->is_sending)
        return;
    uint32_t used = cw_nbd_connection_transmit_window(connection, connection->send_iovecs);
    if (used == 0)
        return;
    struct cw_uring *uring = connection->server->uring;
    struct io_uring_sqe *sqe = cw_uring_sqe(uring);
    const struct iovec *first = &connection->send_iovecs[0];
    connection->send_message = (struct msghdr){.msg_iov = connection->send_iovecs, .msg_iovlen = used};
    if (used == 1)
        io_uring_prep_send(sqe, connection->fd, first->iov_base, first->iov_len, MSG_NOSIGNAL | MSG_WAITALL);
    else
        io_uring_prep_sendmsg(sqe, connection->fd, &connection->send_message, MSG_NOSIGNAL | MSG_WAITALL);
    connection->send_op.done = on_send;
    cw_uring_bind(uring, sqe, &connection->send_op);
    connection->is_sending = true;
    connection->server->has_sends = true;
    cw_count(&connection->server->counters[CW_NBD_SENDS], 1);
}

/* ---- receiving ---- */

static void on_receive(struct cw_uring_op *op, int result, uint32_t flags)
{
    struct cw_nbd_connection *connection = CW_CONTAINER_OF(op, struct cw_nbd_connection, receive_op);
    connection->is_receiving = false;
    if (result <= 0) {
        cw_nbd_connection_on_end(connection);
        return;
    }
    connection->is_quiet = (flags & IORING_CQE_F_SOCK_NONEMPTY) == 0;
    cw_nbd_connection_on_bytes(connection, (size_t)result);
}

static void receive_next(struct cw_nbd_connection *connection)
{
    if (connection->is_receiving)
        return;
    uint32_t used = cw_nbd_connection_receive_window(connection, connection->receive_iovecs);
    if (used == 0)
        return;
    struct cw_uring *uring = connection->server->uring;
    struct io_uring_sqe *sqe = cw_uring_sqe(uring);
    const struct iovec *first = &connection->receive_iovecs[0];
    connection->receive_message = (struct msghdr){.msg_iov = connection->receive_iovecs, .msg_iovlen = used};
    if (used == 1)
        io_uring_prep_recv(sqe, connection->fd, first->iov_base, first->iov_len, 0);
    else
        io_uring_prep_recvmsg(sqe, connection->fd, &connection->receive_message, 0);
    if (connection->is_quiet)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    connection->receive_op.done = on_receive;
    cw_uring_bind(uring, sqe, &connection->receive_op);
    connection->is_receiving = true;
    cw_count(&connection->server->counters[CW_NBD_RECEIVES], 1);
}

/* ---- watching for the end ---- */

static bool is_not_read(const struct cw_nbd_connection *connection)
{
    return connection->state == CW_NBD_WAIT_BUFFERS || connection->state == CW_NBD_WAIT_ROOM ||
           connection->state == CW_NBD_WAIT_SLOT;
}

static void on_hang_up(struct cw_uring_op *op, int result, uint32_t flags)
{
    struct cw_nbd_connection *connection = CW_CONTAINER_OF(op, struct cw_nbd_connection, watch_op);
    connection->is_watching = false;
    cw_nbd_mark_dirty(connection);
    /* While it is read, the read tells, after what the client sent before it left. */
    if (is_not_read(connection))
        cw_nbd_connection_on_end(connection);
}

static void watch(struct cw_nbd_connection *connection)
{
    if (connection->is_watching || !is_not_read(connection))
        return;
    struct io_uring_sqe *sqe = cw_uring_sqe(connection->server->uring);
    io_uring_prep_poll_add(sqe, connection->fd, POLLRDHUP);
    connection->watch_op.done = on_hang_up;
    cw_uring_bind(connection->server->uring, sqe, &connection->watch_op);
    connection->is_watching = true;
}

void cw_nbd_io_connection(struct cw_nbd_connection *connection)
{
    if (connection->state == CW_NBD_FREE)
        return;
    if (connection->state != CW_NBD_CLOSING) {
        send_next(connection);
        receive_next(connection);
        watch(connection);
        return;
    }
    if (connection->fd >= 0 && !connection->is_shut) {
        (void)shutdown(connection->fd, SHUT_RDWR); /* ends what is in the ring */
        connection->is_shut = true;
    }
    bool is_idle = !connection->is_receiving && !connection->is_sending && !connection->is_watching;
    if (connection->fd >= 0 && is_idle) {
        close(connection->fd);
        connection->fd = -1;
    }
    if (cw_nbd_connection_is_over(connection))
        cw_nbd_connection_free(connection);
}

/* ---- accepting ---- */

static struct cw_nbd_connection *free_connection(struct cw_nbd *server)
{
    for (uint32_t i = 0; i < server->config.connections_max; i++)
        if (server->connections[i].state == CW_NBD_FREE)
            return &server->connections[i];
    return NULL;
}

static void take_client(struct cw_nbd_listener *listener, int fd)
{
    struct cw_nbd *server = listener->server;
    struct cw_nbd_connection *connection = free_connection(server);
    if (connection == NULL) {
        cw_count(&server->counters[CW_NBD_REFUSED_FULL], 1);
        close(fd);
        return;
    }
    int bytes = SOCKET_BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    cw_count(&server->counters[CW_NBD_ACCEPTED], 1);
    connection->fd = fd;
    connection->is_shut = false;
    cw_nbd_connection_open(connection, listener);
}

static void on_accept(struct cw_uring_op *op, int result, uint32_t flags)
{
    struct cw_nbd_listener *listener = CW_CONTAINER_OF(op, struct cw_nbd_listener, accept_op);
    listener->is_accepting = false;
    listener->server->has_listener_work = true;
    if (result >= 0 && listener->is_closing) {
        close(result);
    } else if (result >= 0) {
        take_client(listener, result);
    } else if (result != -EINTR && result != -ECONNABORTED && !listener->is_closing) {
        listener->is_paused = true;
        listener->pause_until_ns = 0;
        listener->server->deadline_ns = 0;
    }
}

void cw_nbd_io_listener(struct cw_nbd_listener *listener)
{
    if (!listener->is_used || listener->is_accepting)
        return;
    if (listener->is_closing) {
        cw_nbd_listen_close(&listener->listen);
        listener->is_used = false;
        return;
    }
    if (listener->is_paused)
        return;
    struct io_uring_sqe *sqe = cw_uring_sqe(listener->server->uring);
    io_uring_prep_accept(sqe, listener->listen.fd, NULL, NULL, SOCK_CLOEXEC);
    listener->accept_op.done = on_accept;
    cw_uring_bind(listener->server->uring, sqe, &listener->accept_op);
    listener->is_accepting = true;
}
