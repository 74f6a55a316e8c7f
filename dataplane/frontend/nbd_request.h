/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A request's way: taken from its connection's own slots, through the engine, into the reply queue, back.
 *
 *   FREE --take--> ARRIVING --submit--> SUBMITTED --complete--> REPLYING --sent--> FREE
 *                     |  ^                 |   ^                   ^
 *                     |  +----CW_AGAIN-----+   +--PARTED (a long TRIM, part by part)
 *                     +----------refused---------------------------+
 *
 * A slot returns only when the engine has answered and nothing is being sent from it: no completion can
 * come too late, and a connection is free when all of its slots are.
 */
#pragma once

#include "frontend/nbd_connection.h"

/* Is there one to be taken? */
bool cw_nbd_request_is_free(const struct cw_nbd_connection *connection);
/* NULL: all are in use. */
struct cw_nbd_request *cw_nbd_request_take(struct cw_nbd_connection *connection);
/* Gives buffers back too. Not while SUBMITTED. */
void cw_nbd_request_release(struct cw_nbd_request *request);

/* Buffers for a READ or WRITE. CW_AGAIN: not now; the connection's waits_for says what it takes. */
enum cw_status cw_nbd_request_buffers(struct cw_nbd_request *request) CW_MUST_CHECK;
/* Hands an ARRIVING or PARTED request, with all of its data, to the engine. CW_AGAIN: it stays as it was. */
enum cw_status cw_nbd_request_submit(struct cw_nbd_request *request) CW_MUST_CHECK;
/* The next part of each parted request. False: the engine has no room. */
bool cw_nbd_requests_submit_parted(struct cw_nbd_connection *connection);

/* Puts the answer into the request's head; for a refusal known before its time has come. */
void cw_nbd_request_encode(struct cw_nbd_request *request, uint32_t error, const char *why);
/* Appends an encoded answer to the reply queue; into the void when the client is gone. */
void cw_nbd_request_queue(struct cw_nbd_request *request);
/* Both, by status. CW_SHUTDOWN: neither; it is given back unanswered and the connection ends (request is free
 * then). */
void cw_nbd_request_reply(struct cw_nbd_request *request, enum cw_status status);
/* Bytes of the whole answer. */
size_t cw_nbd_request_reply_bytes(const struct cw_nbd_request *request);
