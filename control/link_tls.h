/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mutual TLS 1.3 on a stream socket, by OpenSSL: how a controller knows who speaks to it from afar, and how
 * it shows who it is. Never blocks; works as the carrier of a cw_rpc_connection.
 *
 * Somebody is believed when the certificate is signed by the authority of the files, valid now, not in its
 * list of revocations (which must be there), and names exactly one of
 *     causeway://CLUSTER/SITE/NODE            a node: the controller of that site
 *     causeway-operator://CLUSTER/NAME        a person who may change everything
 *     causeway-viewer://CLUSTER/NAME          a person who may look
 * with the cluster of our own certificate. An NBD client's names none of them. A person's certificate has a
 * critical extension of ours, so that those who do not know it (nbdkit, which lets in whoever has a
 * certificate of the cluster) refuse it.
 *
 * No tickets, no resumption, no early data: each connection is judged anew. Chosen not to do: names of hosts
 * (an address proves nothing), OCSP (a service to lose).
 *
 * dataplane/io/tls.c reads certificates, too: what the two share is OpenSSL's, and the folders that both may
 * include (base, wire) are without it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "control/rpc.h"

#define CW_LINK_WORDS 320u
#define CW_LINK_NAME  64u

enum cw_link_role { CW_LINK_NOBODY = 0, CW_LINK_VIEWER, CW_LINK_OPERATOR, CW_LINK_CONTROLLER };

struct cw_link_peer {
    enum cw_link_role role;
    char cluster[CW_LINK_NAME];
    char site[CW_LINK_NAME]; /* of a controller; "" of a person */
    char name[CW_LINK_NAME]; /* the node's, or the person's */
    char serial[CW_LINK_NAME];
};

/* "the controller of west (node west-1)", "operator alice" */
const char *cw_link_peer_words(const struct cw_link_peer *peer, char *words, size_t size);
/* A certificate's URI, taken apart; false: none of ours. Foreign bytes. */
bool cw_link_name_parse(const char *uri, struct cw_link_peer *peer);

enum cw_link_file {
    CW_LINK_CERTIFICATE = 0,
    CW_LINK_KEY, /* its owner's alone */
    CW_LINK_AUTHORITY,
    CW_LINK_REVOCATIONS,
    CW_LINK_FILES
};

/* What the files say, all read at once; blocking. NULL with words. Connections outlive it. */
struct cw_link_trust;
struct cw_link_trust *cw_link_trust_load(const char *const files[CW_LINK_FILES], char *why, size_t why_size);
/* The same with authority and revocations as they are now and the pair of `in_use`: when only the pair of the
 * files cannot be used, which must not keep a revocation from working. */
struct cw_link_trust *cw_link_trust_keep_pair(const struct cw_link_trust *in_use,
                                              const char *const files[CW_LINK_FILES], char *why,
                                              size_t why_size);
void cw_link_trust_free(struct cw_link_trust *trust);
/* Whom our own certificate names. */
const struct cw_link_peer *cw_link_trust_own(const struct cw_link_trust *trust);

enum cw_link_state { CW_LINK_SHAKING = 0, CW_LINK_GOOD, CW_LINK_REFUSED };

struct cw_link_tls;
/* fd: connected or about to be, non-blocking, stays the caller's and outlives it. NULL: no memory. */
struct cw_link_tls *cw_link_tls_start(const struct cw_link_trust *trust, int fd, bool is_client);
void cw_link_tls_free(struct cw_link_tls *tls);
/* Goes on as far as it can. GOOD: peer is known. REFUSED: words say why, whoever refused. */
enum cw_link_state cw_link_tls_step(struct cw_link_tls *tls);
/* What poll is to wait for beside POLLIN. */
bool cw_link_tls_wants_write(const struct cw_link_tls *tls);
const struct cw_link_peer *cw_link_tls_peer(const struct cw_link_tls *tls);
const char *cw_link_tls_words(const struct cw_link_tls *tls);
/* Is whom we believed still good? False with words. GOOD only. */
bool cw_link_tls_judge(const struct cw_link_tls *tls, const struct cw_link_trust *trust, char *why,
                       size_t why_size);
/* For a cw_rpc_connection, once GOOD. */
extern const struct cw_rpc_carrier cw_link_carrier;
