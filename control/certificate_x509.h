/* SPDX-License-Identifier: BSD-3-Clause */
/* X.509 by OpenSSL: what certificates.c writes to its files, as PEM in memory. No file is touched here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define CW_SERIAL_TEXT 33u /* 128 bits in hex, and the end */

/* Both halves of a pair; freed by cw_pair_free, which wipes the key. */
struct cw_pair {
    char *certificate, *key;
    char serial[CW_SERIAL_TEXT];
    int64_t valid_from, valid_until; /* seconds since 1970 */
};
void cw_pair_free(struct cw_pair *pair);

/* Of a node, for both ends of a connection, by the URI causeway://CLUSTER/SITE/NODE; or, site "", of somebody
 * whose name is `node`, for the client's end alone, by causeway-ROLE://CLUSTER/NAME, which no engine believes
 * of a peer. Role: "client", of NBD; "operator" or "viewer", a person whom controllers know. A person's has a
 * critical extension of ours, so that nobody else takes it. */
struct cw_certificate_subject {
    const char *cluster, *site, *node, *role;
    const char *const *hosts; /* NULL ends */
    int days;
};

struct cw_revocation {
    char serial[CW_SERIAL_TEXT];
    int64_t revoked_at;
};

struct X509_extension_st;
/* Is it the one that a person's certificate has? */
bool cw_x509_is_person(const struct X509_extension_st *extension);

/* A new authority. CW_IO: OpenSSL said no (out of memory or entropy); so too below. */
enum cw_status cw_x509_authority(const char *cluster, int days, struct cw_pair *pair) CW_MUST_CHECK;
/* Signed by it. CW_CORRUPT: these are no PEM of a certificate and its key. CW_RANGE: it would outlive the
 * authority. CW_INVALID: a host that is neither a name nor an address. */
enum cw_status cw_x509_issue(const char *ca_certificate, const char *ca_key,
                             const struct cw_certificate_subject *subject,
                             struct cw_pair *pair) CW_MUST_CHECK;
/* The list of what is revoked, as PEM for free(), valid until the authority ends. CW_CORRUPT as above. */
enum cw_status cw_x509_revocations(const char *ca_certificate, const char *ca_key,
                                   const struct cw_revocation *revocations, size_t count,
                                   char **pem) CW_MUST_CHECK;
