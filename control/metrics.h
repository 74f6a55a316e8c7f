/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What Prometheus scrapes (metrics_address): /metrics by libmicrohttpd, GET and HEAD, nothing else.
 *
 * Two threads. libmicrohttpd's own takes connections, does TLS, reads requests and sends answers; so nobody
 * who connects, dribbles or floods keeps the controller's loop from renewing leases. It knows nothing of the
 * controller: it asks the loop for a text (an eventfd) and waits for it for a moment. A text that is younger
 * than a moment is sent again, which bounds what scrapes cost the loop; and when the loop does not come to it
 * (it waits for a store), the last text is sent, with its age in causeway_metrics_age_seconds.
 *
 * Whoever connects is bounded: in number (the oldest makes room), in time, in bytes. A connection is one
 * request.
 *
 * At an address of this machine alone (loopback) it speaks plain HTTP; at any other TLS 1.3 with this node's
 * certificate, and only to who shows the token of metrics_token. Not by certificates of people, as links do:
 * libmicrohttpd's TLS is GnuTLS, which cannot read them (their critical extension is named by 128 bits).
 */
#pragma once

#include <poll.h>
#include <stddef.h>

struct cw_controller;
struct cw_metrics;

/* All that this controller knows, of all sites; the caller frees. NULL: no memory. */
char *cw_metrics_compose(struct cw_controller *controller, size_t *length);

/* metrics_http.c: 0, or an exit code with words said. Without metrics_address nothing is begun. */
int cw_metrics_start(struct cw_controller *controller);
void cw_metrics_stop(struct cw_controller *controller);
/* Ends what takes too long, looks at the files of certificates. */
void cw_metrics_tick(struct cw_controller *controller);
/* The loop's part: one entry for poll, and what it found. */
void cw_metrics_fill(const struct cw_controller *controller, struct pollfd *fd);
void cw_metrics_drain(struct cw_controller *controller, const struct pollfd *fd);
