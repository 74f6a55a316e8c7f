/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much of the buffers one client may hold, so that one who takes no replies harms only itself.
 *
 * What a client *owes* are the buffers that it alone can let go of in the end: those of its READs from the
 * beginning until the last byte of the reply is sent, and those of a WRITE whose payload has not come. (A
 * WRITE that has come ends by itself, and a peer or a disk may need long for it.) With N clients that take
 * nothing and come again and again, at any instant:
 *
 *   share: it may owe as much as leaves CW_NBD_SHARE_DIVISOR times that free. So the k-th takes at most a
 *          third of what is free, and never all: whoever comes next finds something for itself;
 *   dip:   what is kept back beyond that (CW_NBD_DIP_BYTES) serves who would get nothing, for instance
 *          because WRITEs fill the rest: one request of one who owes nothing, or a few small ones.
 *
 * Over its share a client waits for its own replies to be taken, not among those who wait for buffers: there
 * it would stand in the way of others. Who has dipped and does not move while others wait is cut off soon,
 * who is within its share later (nbd.c).
 */
#pragma once

#include "frontend/nbd_connection.h"

#define CW_NBD_SHARE_DIVISOR 2u
#define CW_NBD_DIP_BYTES     CW_REQUEST_BYTES_MAX   /* of all clients */
#define CW_NBD_DIP_SMALL     (CW_NBD_DIP_BYTES / 8) /* of one that owes something already */

/* Buffers for a READ or WRITE, charged. CW_AGAIN: not now; connection->waits_for says what it takes. */
enum cw_status cw_nbd_share_take(struct cw_nbd_request *request) CW_MUST_CHECK;
/* The request's buffers are the client's debt no more. May be called again. */
void cw_nbd_share_settle(struct cw_nbd_request *request);
/* From time to time while others wait: what was a dip may be within the share by now. */
void cw_nbd_share_reconsider(struct cw_nbd_connection *connection);
