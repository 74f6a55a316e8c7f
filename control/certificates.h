/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cluster's certificate authority: one directory that makes, lists, renews and revokes certificates.
 *
 *   ca-cert.pem  ca-key.pem (0600)  ca-crl.pem      the authority and what it has revoked
 *   certificates.json                               every certificate ever made: the list is what is believed
 *   issued/SITE/NODE/                               what is copied to that node, under the names that GnuTLS
 *                                                   programs look for: ca-cert.pem ca-crl.pem and
 *                                                   {server,client}-{cert,key}.pem, one pair under both names
 *   clients/NAME/                                   what an NBD client gets: the same without server-*
 *   operators/NAME/ viewers/NAME/                   what a person gets, to speak to controllers from afar:
 * the same
 *
 * A node's certificate names cluster (O), site (OU) and node (CN, and a URI causeway://CLUSTER/SITE/NODE) and
 * is for both ends of a connection. A client's names cluster and client (CN, and a URI
 * causeway-client://CLUSTER/NAME) and is for the client's end alone: it is no site's, so it opens no session
 * between sites. A person's (causeway-operator://CLUSTER/NAME, causeway-viewer://...) has besides a critical
 * extension of ours, so that only controllers take it (link_tls.h). Keys are P-256, made here. A change first
 * stands in the list, then in the files: after a crash in between, a certificate may lack its files (renew
 * makes new ones), never its line.
 *
 * Not chosen: an authority that runs (a service to lose), passphrases (nobody is there to type them after a
 * fire; keep the directory where only its owner reads it), short-lived revocation lists (the list is valid
 * as long as the authority; a node takes the newest one it is given).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#define CW_CERTIFICATE_NAME_MAX 32u
#define CW_CERTIFICATE_HOSTS    8u

struct cw_certificate_order {
    const char *site;                        /* NULL: of somebody, as role says */
    const char *node;                        /* or somebody's name */
    const char *role;                        /* without a site: "client" (of NBD), "operator", "viewer" */
    const char *hosts[CW_CERTIFICATE_HOSTS]; /* names or addresses by which clients reach it; NULL ends */
    int days;
};

/* All: blocking; `why` has the words of a failure. CW_EXISTS: it is there already; CW_NOT_FOUND: no
 * authority, or no such certificate; CW_AGAIN: another command holds the directory; CW_INVALID: a name or a
 * number that cannot be. */
enum cw_status cw_authority_create(const char *directory, const char *cluster, int days, char *why,
                                   size_t why_size) CW_MUST_CHECK;
/* *certificate: its line in the list; new reference. is_renewal: there must be one of this name, else there
 * must be none that is valid. */
enum cw_status cw_authority_issue(const char *directory, const struct cw_certificate_order *order,
                                  bool is_renewal, json_t **certificate, char *why,
                                  size_t why_size) CW_MUST_CHECK;
/* name: SITE/NODE, or ROLE:NAME of somebody (every valid one of it), or a serial. *count: how many were valid
 * until now. */
enum cw_status cw_authority_revoke(const char *directory, const char *name, size_t *count, char *why,
                                   size_t why_size) CW_MUST_CHECK;
/* The list: {"cluster","valid_until","certificates":[{"serial","role","site","node","hosts","valid_from",
 * "valid_until","revoked_at","state"}]}; times in seconds since 1970; revoked_at 0: not; state: "valid",
 * "expired", "revoked"; role "node", or as above: then site is "" and `node` the name. New reference. */
enum cw_status cw_authority_list(const char *directory, json_t **list, char *why,
                                 size_t why_size) CW_MUST_CHECK;
