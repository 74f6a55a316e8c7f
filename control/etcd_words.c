/* SPDX-License-Identifier: BSD-3-Clause */
/* What a failure of etcd means, and what to do about it. */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "control/etcd_client.h"

/* The peer ended the handshake, or the first reading after it (TLS 1.3), because it minds our certificate. */
static bool is_refused_certificate(const char *error)
{
    static const char *const alerts[] = {
        "alert bad certificate",   "alert certificate",   "alert unknown ca",   "certificate required",
        "alert handshake failure", "alert decrypt error", "alert access denied"};
    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++) {
        if (strstr(error, alerts[i]))
            return true;
    }
    return false;
}

void cw_etcd_say_curl(char *words, size_t size, const struct cw_etcd_address *address, const char *endpoint,
                      int curl_code, const char *error)
{
    const char *more = *error ? error : curl_easy_strerror((CURLcode)curl_code);
    if (is_refused_certificate(error))
        snprintf(
            words, size,
            "etcd %s refused this node's certificate %s (%s): it has to be signed by the authority that etcd "
            "trusts (its --trusted-ca-file), for clients, and not be out of date",
            endpoint, address->certificate, more);
    else if (curl_code == CURLE_COULDNT_CONNECT)
        snprintf(words, size,
                 "etcd %s: connection refused (%s): nothing listens there; start that member, or correct "
                 "etcd.endpoints",
                 endpoint, more);
    else if (curl_code == CURLE_OPERATION_TIMEDOUT)
        snprintf(
            words, size,
            "etcd %s did not answer in time: that machine or the way to it is down, its disk is slow, or too "
            "few members are there to decide",
            endpoint);
    else if (curl_code == CURLE_COULDNT_RESOLVE_HOST)
        snprintf(words, size, "etcd %s: no such host (%s); correct etcd.endpoints, or use an address",
                 endpoint, more);
    else if (curl_code == CURLE_SSL_CERTPROBLEM || curl_code == CURLE_SSL_CACERT_BADFILE)
        snprintf(words, size, "etcd %s: this node's own files cannot be used (%s): look at %s, %s and %s",
                 endpoint, more, address->certificate, address->key, address->authority);
    else if (curl_code == CURLE_PEER_FAILED_VERIFICATION)
        snprintf(
            words, size,
            "etcd %s: its certificate is refused here (%s): it has to be signed by %s, and to name that host",
            endpoint, more, address->authority);
    else if (curl_code == CURLE_SSL_CONNECT_ERROR)
        snprintf(words, size, "etcd %s: no TLS with it (%s): does it speak https there, 1.2 or later?",
                 endpoint, more);
    else if ((curl_code == CURLE_SEND_ERROR || curl_code == CURLE_RECV_ERROR ||
              curl_code == CURLE_GOT_NOTHING) &&
             strncmp(endpoint, "https:", 6) == 0)
        snprintf(words, size,
                 "etcd %s ended the connection (%s): it may be stopping, or refuse this node's certificate "
                 "%s, which has to be signed by the authority that etcd trusts (its --trusted-ca-file)",
                 endpoint, more, address->certificate);
    else if (curl_code == CURLE_WRITE_ERROR)
        snprintf(words, size, "etcd %s answers more than anything here can be: is that an etcd?", endpoint);
    else
        snprintf(words, size, "etcd %s: %s", endpoint, more);
}

/* Foreign text that goes to a terminal and into logs. */
static void take_plain(const char *from, char *to, size_t size)
{
    size_t used = 0;
    for (; *from && used + 1 < size; from++)
        to[used++] = *from >= ' ' && *from < 0x7f ? *from : '?';
    to[used] = 0;
}

static const char no_space[] =
    "its space is used up (--quota-backend-bytes), it takes no writes: compact and defragment it with "
    "etcdctl, then `etcdctl alarm disarm`, or give it more";

void cw_etcd_say_no_space(char *words, size_t size, const char *endpoint)
{
    snprintf(words, size, "etcd %s: %s", endpoint, no_space);
}

static const struct {
    const char *says, *means;
    bool is_final; /* nothing was done, and another member would say the same */
} known[] = {
    {"database space exceeded", no_space, true},
    {"has been compacted", "what was asked for has been compacted away; it is read anew", true},
    {"too many operations", "the change is too large for one transaction (--max-txn-ops)", true},
    {"request is too large", "the change is too large for one transaction (--max-request-bytes)", true},
    {"user name is empty",
     "it wants users and roles (auth enable), which are not spoken here: use certificates", true},
    {"permission denied", "this node may not (auth enable); it needs rights over the whole prefix", true},
    {"no leader", "it has no leader: more than half of the members have to run and reach each other", false},
    {"request timed out",
     "it could not decide in time: more than half of the members have to run and reach each other, "
     "with disks that sync in time",
     false},
    {"leader changed", "its leader has just changed; it is tried again", false},
    {"too many requests", "it has more to do than it can; it is tried again", false},
};

bool cw_etcd_say_answer(char *words, size_t size, const char *endpoint, long http, const json_t *answer,
                        enum cw_etcd_outcome *outcome)
{
    char text[200];
    const json_t *error = json_object_get(answer, "error");
    const char *says = json_string_value(json_is_object(error) ? json_object_get(error, "message") : error);
    *outcome = CW_ETCD_UNKNOWN;
    if (!says) {
        snprintf(words, size, "etcd %s: what answers there is no etcd (HTTP %ld): correct etcd.endpoints",
                 endpoint, http);
        return false;
    }
    take_plain(says, text, sizeof text);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (!strstr(text, known[i].says))
            continue;
        snprintf(words, size, "etcd %s: %s (%s)", endpoint, known[i].means, text);
        if (known[i].is_final)
            *outcome = CW_ETCD_NOT_DONE;
        return known[i].is_final;
    }
    /* The gateway is a client of the etcd that it is part of, with the server's own certificate. */
    if (strncmp(text, "etcdserver:", 11) != 0 &&
        (strstr(text, "connection") || strstr(text, "transport") || strstr(text, "SubConn")))
        snprintf(words, size,
                 "etcd %s: its JSON gateway does not reach it (%s): with --client-cert-auth the server's "
                 "certificate needs clientAuth beside serverAuth",
                 endpoint, text);
    else
        snprintf(words, size, "etcd %s says: %s", endpoint, text);
    return false;
}
