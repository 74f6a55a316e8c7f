/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The authenticator of transport/authenticator.h by OpenSSL: TLS 1.3 through memory, mutual, for its verdict
 * and its exporter alone; not one byte of data goes through it. No tickets, no resumption, no early data:
 * each session is judged anew, so a revocation meets every one.
 *
 * A peer is believed when its certificate
 *   - is signed by the authority of the configuration, for both ends of a connection,
 *   - is valid at the time given, and not in the authority's list of revocations, which must be valid too,
 *   - has one URI causeway://CLUSTER/SITE/NODE: the cluster of our own certificate, the site of the path, and
 *     the node of the path where the configuration names one. That of an NBD client (causeway cert issue
 *     --client) has none, and is for one end only.
 *
 * All of it may block on files and allocates; one thread, which is not an lcore. Time is an argument (seconds
 * since 1970). Chosen not to do: OCSP (a service to lose), checking host names (the path's addresses prove
 * nothing).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "transport/authenticator.h"

#define CW_TLS_WORDS 320u

/* What one configuration's files say, all read at once. */
struct cw_certificates;

enum cw_certificate_file {
    CW_FILE_CERTIFICATE = 0, /* ours, PEM, followed by what stands between it and the authority */
    CW_FILE_KEY,             /* mode 0600 or less */
    CW_FILE_AUTHORITY,
    CW_FILE_REVOCATIONS, /* of the authority; an empty list is one too */
    CW_FILE_COUNT
};

struct cw_certificate_mistake {
    enum cw_certificate_file file;
    char expected[CW_TLS_WORDS]; /* "expected " and this */
};

/* Our own certificate must name this site and node. NULL: mistake says of which file what was expected. A
 * certificate of our own that peers will refuse (expired, revoked), or that ends within CW_TLS_WARN_DAYS, is
 * loaded: it may be renewed while we run; `warning` then says so. */
#define CW_TLS_WARN_DAYS 30
struct cw_certificates *cw_certificates_load(const char *const files[CW_FILE_COUNT], const char *site,
                                             const char *node, int64_t now,
                                             struct cw_certificate_mistake *mistake,
                                             char warning[CW_TLS_WORDS]);
/* Authority and revocations of the files, with the pair that `in_use` has: for when only the pair of the
 * files cannot be used, which must not keep a list of revocations from working. NULL: these cannot be used
 * either, or do not belong to that pair. */
struct cw_certificates *cw_certificates_keep_pair(const struct cw_certificates *in_use,
                                                  const char *const files[CW_FILE_COUNT], int64_t now);
void cw_certificates_free(struct cw_certificates *certificates);

/* What of our own certificate will not work, or not for long: "" if nothing. */
void cw_certificates_warn(const struct cw_certificates *certificates, int64_t now,
                          char warning[CW_TLS_WORDS]);

/* Who was believed: to be judged again when the list of revocations changes, or time goes on. */
struct cw_peer;
void cw_peer_free(struct cw_peer *peer);
/* "west/west-1 (serial 0A...)" */
const char *cw_peer_name(const struct cw_peer *peer);
/* CW_AUTH_NO_REASON: still good. Else `words` has what is wrong. */
enum cw_auth_reason cw_peer_judge(const struct cw_peer *peer, const struct cw_certificates *certificates,
                                  int64_t now, char words[CW_TLS_WORDS]);

enum cw_tls_state { CW_TLS_WORKING = 0, CW_TLS_GOOD, CW_TLS_REFUSED };

/* The numbers that secrets are made of begin anew from the kernel's: those in memory may be another's too. */
void cw_tls_renew_randomness(void);

/* One attempt with one peer. */
struct cw_tls;

/* remote_node "": any node of the site. NULL: no memory. The certificates may be freed while it lives. */
struct cw_tls *cw_tls_begin(const struct cw_certificates *certificates, bool is_initiator,
                            const char *remote_site, const char *remote_node,
                            const uint8_t context[CW_AUTH_CONTEXT_BYTES], int64_t now);
void cw_tls_free(struct cw_tls *tls);
/* Bytes of the peer, in their order (none: the initiator's first step). One that was GOOD may be REFUSED
 * later: by the peer, which judges after us. */
enum cw_tls_state cw_tls_step(struct cw_tls *tls, const uint8_t *bytes, size_t length);
/* What is to go to the peer, also after REFUSED; 0: nothing more. */
size_t cw_tls_take(struct cw_tls *tls, uint8_t *bytes, size_t room);
/* GOOD: the secret that both have, and the peer (the caller's from now on). */
void cw_tls_secret(struct cw_tls *tls, uint8_t secret[CW_AUTH_SECRET_BYTES]);
struct cw_peer *cw_tls_peer(struct cw_tls *tls);
/* REFUSED: why, and in words what was seen. */
enum cw_auth_reason cw_tls_reason(const struct cw_tls *tls);
const char *cw_tls_words(const struct cw_tls *tls);
