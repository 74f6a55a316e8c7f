/* SPDX-License-Identifier: BSD-3-Clause */
#include "io/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/assert.h"

#define LABEL       "EXPORTER-causeway-session"
#define NAME_SIZE   64u
#define SCHEME      "causeway://"
#define DAY_SECONDS 86400

/* A certificate's URI, taken apart. */
struct name {
    char cluster[NAME_SIZE], site[NAME_SIZE], node[NAME_SIZE];
};

struct cw_certificates {
    SSL_CTX *context;
    struct name own;
};

struct cw_peer {
    STACK_OF(X509) * chain; /* the peer's own first */
    struct name expected;   /* node "": any */
    char text[2 * NAME_SIZE + 64];
};

struct cw_tls {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    struct name expected;
    uint8_t context[CW_AUTH_CONTEXT_BYTES];
    enum cw_tls_state state;
    enum cw_auth_reason reason;
    char words[CW_TLS_WORDS];
    char alert[64]; /* of the peer, "" without */
};

/* ---------------------------------------------------------------- names */

/* One part of the path, up to `end`; it must be there and fit. */
static bool take_part(const char **from, char end, char to[NAME_SIZE])
{
    const char *stop = strchr(*from, end);
    size_t length = stop ? (size_t)(stop - *from) : 0;
    if (length == 0 || length >= NAME_SIZE)
        return false;
    memcpy(to, *from, length);
    to[length] = 0;
    *from = stop + 1;
    return true;
}

static bool parse_name(const char *uri, struct name *name)
{
    if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
        return false;
    uri += strlen(SCHEME);
    return take_part(&uri, '/', name->cluster) && take_part(&uri, '/', name->site) && !strchr(uri, '/') &&
           take_part(&uri, 0, name->node);
}

static bool is_our_uri(const GENERAL_NAME *entry, char *text, size_t size)
{
    if (entry->type != GEN_URI)
        return false;
    const ASN1_IA5STRING *value = entry->d.uniformResourceIdentifier;
    size_t length = (size_t)ASN1_STRING_length(value);
    if (length >= size || memchr(ASN1_STRING_get0_data(value), 0, length))
        return false;
    memcpy(text, ASN1_STRING_get0_data(value), length);
    text[length] = 0;
    return strncmp(text, SCHEME, strlen(SCHEME)) == 0;
}

/* False: none, several, or one that cannot be read. */
static bool name_of(const X509 *certificate, struct name *name)
{
    char uri[4 * NAME_SIZE];
    int found = 0;
    bool is_good = false;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if (is_our_uri(sk_GENERAL_NAME_value(names, i), uri, sizeof uri) && ++found == 1)
            is_good = parse_name(uri, name);
    }
    GENERAL_NAMES_free(names);
    return found == 1 && is_good;
}

static bool is_expected(const X509 *certificate, const struct name *expected, char words[CW_TLS_WORDS])
{
    struct name name = {0};
    if (!name_of(certificate, &name)) {
        snprintf(words, CW_TLS_WORDS, "its certificate does not name a site and a node");
        return false;
    }
    if (strcmp(name.cluster, expected->cluster) == 0 && strcmp(name.site, expected->site) == 0 &&
        (expected->node[0] == 0 || strcmp(name.node, expected->node) == 0))
        return true;
    snprintf(words, CW_TLS_WORDS,
             "its certificate is of %.32s/%.32s of cluster %.32s; expected %.32s/%.32s of cluster %.32s",
             name.site, name.node, name.cluster, expected->site,
             expected->node[0] ? expected->node : "(any node)", expected->cluster);
    return false;
}

/* ---------------------------------------------------------------- reasons */

static enum cw_auth_reason reason_of(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return CW_AUTH_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return CW_AUTH_NOT_YET_VALID;
    case X509_V_ERR_CERT_REVOKED:
        return CW_AUTH_REVOKED;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
        return CW_AUTH_STALE_REVOCATIONS;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
        return CW_AUTH_OTHER_AUTHORITY;
    case X509_V_ERR_INVALID_PURPOSE: /* a client's */
    case X509_V_ERR_APPLICATION_VERIFICATION:
        return CW_AUTH_OTHER_SITE;
    default:
        return CW_AUTH_BROKEN;
    }
}

/* A list that was made a moment ago by a clock that goes before ours is no worse for it. */
static bool is_young_list(int is_good, X509_STORE_CTX *store)
{
    if (is_good || X509_STORE_CTX_get_error(store) != X509_V_ERR_CRL_NOT_YET_VALID)
        return false;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return true;
}

static int verify_list_only(int is_good, X509_STORE_CTX *store)
{
    return is_good || is_young_list(is_good, store);
}

/* OpenSSL asks at each certificate of the chain, and at each error; the peer's own is at depth 0. */
static int verify(int is_good, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct cw_tls *tls = SSL_get_app_data(ssl);
    if (!is_good && !is_young_list(is_good, store)) {
        tls->reason = reason_of(X509_STORE_CTX_get_error(store));
        snprintf(tls->words, sizeof tls->words, "%s",
                 X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
        return 0;
    }
    if (X509_STORE_CTX_get_error_depth(store) > 0 ||
        is_expected(X509_STORE_CTX_get_current_cert(store), &tls->expected, tls->words))
        return 1;
    tls->reason = CW_AUTH_OTHER_SITE;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

/* ---------------------------------------------------------------- files */

__attribute__((format(printf, 3, 4))) static bool
expected(struct cw_certificate_mistake *mistake, enum cw_certificate_file file, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    mistake->file = file;
    vsnprintf(mistake->expected, sizeof mistake->expected, format, arguments);
    va_end(arguments);
    return false;
}

static SSL_CTX *new_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    if (!context)
        return NULL;
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_CRL_CHECK);
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) && SSL_CTX_set_num_tickets(context, 0) &&
        SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384"))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

static int no_passphrase(char *buffer, int size, int is_writing, void *context)
{
    return -1;
}

/* The mode is looked at whenever the file is read, and of the file that is read: a key that is copied later
 * brings a mode of its own. */
static bool load_key(SSL_CTX *context, const char *file, struct cw_certificate_mistake *mistake)
{
    struct stat about = {0};
    FILE *from = fopen(file, "re");
    bool is_open = from && fstat(fileno(from), &about) == 0;
    bool is_private = is_open && (about.st_mode & 077) == 0;
    EVP_PKEY *key = is_private ? PEM_read_PrivateKey(from, NULL, no_passphrase, NULL) : NULL;
    bool is_good = key && SSL_CTX_use_PrivateKey(context, key) == 1;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    EVP_PKEY_free(key);
    if (from)
        fclose(from);
    if (is_open && !is_private)
        return expected(mistake, CW_FILE_KEY, "a file that only its owner may read (chmod 600; it is %04o)",
                        about.st_mode & 07777);
    return is_good || expected(mistake, CW_FILE_KEY,
                               "the private key of the certificate, in PEM without a passphrase (%s)",
                               reason ? reason : "it cannot be read");
}

static bool load_pair(SSL_CTX *context, const char *const files[CW_FILE_COUNT],
                      struct cw_certificate_mistake *mistake)
{
    if (SSL_CTX_use_certificate_chain_file(context, files[CW_FILE_CERTIFICATE]) != 1)
        return expected(mistake, CW_FILE_CERTIFICATE, "a certificate in PEM (%s)",
                        ERR_reason_error_string(ERR_peek_last_error()));
    return load_key(context, files[CW_FILE_KEY], mistake);
}

/* Each list must be signed by a certificate of the authority's file: who can write a list can lock nodes out.
 */
static bool is_list_signed(X509_CRL *list, STACK_OF(X509_OBJECT) * trusted)
{
    for (int i = 0; i < sk_X509_OBJECT_num(trusted); i++) {
        X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i));
        if (authority && X509_CRL_verify(list, X509_get0_pubkey(authority)) == 1)
            return true;
    }
    return false;
}

static bool load_lists(X509_STORE *store, const char *file, struct cw_certificate_mistake *mistake)
{
    int count = 0;
    bool is_good = true;
    BIO *from = BIO_new_file(file, "r");
    for (X509_CRL *list; is_good && from && (list = PEM_read_bio_X509_CRL(from, NULL, NULL, NULL)); count++) {
        is_good = is_list_signed(list, X509_STORE_get0_objects(store)) && X509_STORE_add_crl(store, list);
        X509_CRL_free(list);
    }
    BIO_free(from);
    if (is_good && count > 0)
        return true;
    return expected(mistake, CW_FILE_REVOCATIONS, "the authority's list of revocations, in PEM (%s)",
                    count > 0 ? "this one is not signed by it" : "there is none in it");
}

static bool has_certificate(X509_STORE *store)
{
    STACK_OF(X509_OBJECT) *trusted = X509_STORE_get0_objects(store);
    for (int i = 0; i < sk_X509_OBJECT_num(trusted); i++) {
        if (X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i)))
            return true;
    }
    return false;
}

static bool load_trust(SSL_CTX *context, const char *const files[CW_FILE_COUNT],
                       struct cw_certificate_mistake *mistake)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    if (X509_STORE_load_file(store, files[CW_FILE_AUTHORITY]) != 1 || !has_certificate(store))
        return expected(mistake, CW_FILE_AUTHORITY, "the authority's certificate, in PEM");
    return load_lists(store, files[CW_FILE_REVOCATIONS], mistake);
}

static int verify_now(X509_STORE *store, X509 *certificate, STACK_OF(X509) * between, int64_t now)
{
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int error = X509_V_ERR_OUT_OF_MEM;
    if (context && X509_STORE_CTX_init(context, store, certificate, between)) {
        X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context), X509_V_FLAG_CRL_CHECK);
        X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), (time_t)now);
        X509_STORE_CTX_set_verify_cb(context, verify_list_only);
        error = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    }
    X509_STORE_CTX_free(context);
    return error;
}

/* Of our own certificate. */
static int verify_own(const struct cw_certificates *of, int64_t now)
{
    STACK_OF(X509) *between = NULL;
    SSL_CTX_get0_chain_certs(of->context, &between);
    return verify_now(SSL_CTX_get_cert_store(of->context), SSL_CTX_get0_certificate(of->context), between,
                      now);
}

static int64_t days_left(const X509 *certificate, int64_t now)
{
    struct tm until;
    if (!ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &until))
        return 0;
    return ((int64_t)timegm(&until) - now) / DAY_SECONDS;
}

void cw_certificates_warn(const struct cw_certificates *of, int64_t now, char warning[CW_TLS_WORDS])
{
    int error = verify_own(of, now);
    int64_t days = days_left(SSL_CTX_get0_certificate(of->context), now);
    ERR_clear_error();
    warning[0] = 0;
    if (error != X509_V_OK)
        snprintf(warning, CW_TLS_WORDS, "this node's own certificate will be refused: %s",
                 X509_verify_cert_error_string(error));
    else if (days < CW_TLS_WARN_DAYS)
        snprintf(warning, CW_TLS_WORDS,
                 "this node's own certificate ends in %lld days: causeway cert renew %s/%s, then copy the "
                 "new files here; without them its sessions end",
                 (long long)days, of->own.site, of->own.node);
}

static bool check_own(struct cw_certificates *of, const char *site, const char *node, int64_t now,
                      struct cw_certificate_mistake *mistake)
{
    X509 *own = SSL_CTX_get0_certificate(of->context);
    if (!name_of(own, &of->own) || strcmp(of->own.site, site) != 0 || strcmp(of->own.node, node) != 0)
        return expected(mistake, CW_FILE_CERTIFICATE,
                        "one of site %s and node %s (this one: %s/%s): causeway cert issue %s/%s", site, node,
                        of->own.site[0] ? of->own.site : "no site",
                        of->own.node[0] ? of->own.node : "no node", site, node);
    int error = verify_own(of, now);
    if (reason_of(error) != CW_AUTH_OTHER_AUTHORITY)
        return true;
    return expected(mistake, CW_FILE_CERTIFICATE, "one signed by the authority of this node (%s)",
                    X509_verify_cert_error_string(error));
}

struct cw_certificates *cw_certificates_load(const char *const files[CW_FILE_COUNT], const char *site,
                                             const char *node, int64_t now,
                                             struct cw_certificate_mistake *mistake,
                                             char warning[CW_TLS_WORDS])
{
    struct cw_certificates *of = calloc(1, sizeof *of);
    *mistake = (struct cw_certificate_mistake){.expected = "OpenSSL to have memory"};
    warning[0] = 0;
    ERR_clear_error();
    if (of)
        of->context = new_context();
    bool is_good = of && of->context && load_trust(of->context, files, mistake) &&
                   load_pair(of->context, files, mistake) && check_own(of, site, node, now, mistake);
    ERR_clear_error();
    if (is_good) {
        cw_certificates_warn(of, now, warning);
        return of;
    }
    cw_certificates_free(of);
    return NULL;
}

static bool take_pair(SSL_CTX *to, SSL_CTX *from)
{
    STACK_OF(X509) *between = NULL;
    SSL_CTX_get0_chain_certs(from, &between);
    return SSL_CTX_use_certificate(to, SSL_CTX_get0_certificate(from)) == 1 &&
           SSL_CTX_set1_chain(to, between) == 1 &&
           SSL_CTX_use_PrivateKey(to, SSL_CTX_get0_privatekey(from)) == 1;
}

struct cw_certificates *cw_certificates_keep_pair(const struct cw_certificates *in_use,
                                                  const char *const files[CW_FILE_COUNT], int64_t now)
{
    struct cw_certificate_mistake mistake;
    struct cw_certificates *of = calloc(1, sizeof *of);
    ERR_clear_error();
    if (of)
        of->context = new_context();
    bool is_good = of && of->context && load_trust(of->context, files, &mistake) &&
                   take_pair(of->context, in_use->context) &&
                   check_own(of, in_use->own.site, in_use->own.node, now, &mistake);
    ERR_clear_error();
    if (is_good)
        return of;
    cw_certificates_free(of);
    return NULL;
}

void cw_certificates_free(struct cw_certificates *of)
{
    if (of)
        SSL_CTX_free(of->context);
    free(of);
}

/* ---------------------------------------------------------------- peers */

void cw_peer_free(struct cw_peer *peer)
{
    if (peer)
        sk_X509_pop_free(peer->chain, X509_free);
    free(peer);
}

const char *cw_peer_name(const struct cw_peer *peer)
{
    return peer->text;
}

enum cw_auth_reason cw_peer_judge(const struct cw_peer *peer, const struct cw_certificates *of, int64_t now,
                                  char words[CW_TLS_WORDS])
{
    X509 *certificate = sk_X509_value(peer->chain, 0);
    struct name expected_name = peer->expected;
    memcpy(expected_name.cluster, of->own.cluster, NAME_SIZE);
    int error = verify_now(SSL_CTX_get_cert_store(of->context), certificate, peer->chain, now);
    ERR_clear_error();
    if (error == X509_V_OK)
        return is_expected(certificate, &expected_name, words) ? CW_AUTH_NO_REASON : CW_AUTH_OTHER_SITE;
    snprintf(words, CW_TLS_WORDS, "%s", X509_verify_cert_error_string(error));
    return reason_of(error);
}

struct cw_peer *cw_tls_peer(struct cw_tls *tls)
{
    struct name name = {0};
    CW_ASSERT(tls->state == CW_TLS_GOOD);
    struct cw_peer *peer = calloc(1, sizeof *peer);
    if (peer)
        peer->chain = X509_chain_up_ref(SSL_get0_verified_chain(tls->ssl));
    if (!peer || !peer->chain) {
        cw_peer_free(peer);
        return NULL;
    }
    X509 *certificate = sk_X509_value(peer->chain, 0);
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *serial = number ? BN_bn2hex(number) : NULL;
    peer->expected = tls->expected;
    (void)name_of(certificate, &name);
    snprintf(peer->text, sizeof peer->text, "%s/%s (serial %.40s)", name.site, name.node,
             serial ? serial : "?");
    OPENSSL_free(serial);
    BN_free(number);
    return peer;
}

/* ---------------------------------------------------------------- an attempt */

void cw_tls_renew_randomness(void)
{
    int good = RAND_poll();
    CW_ASSERT(good == 1 && "getrandom does not fail");
}

static void on_alert(const SSL *ssl, int where, int value)
{
    struct cw_tls *tls = SSL_get_app_data(ssl);
    if (where == SSL_CB_READ_ALERT)
        snprintf(tls->alert, sizeof tls->alert, "%s", SSL_alert_desc_string_long(value));
}

struct cw_tls *cw_tls_begin(const struct cw_certificates *of, bool is_initiator, const char *remote_site,
                            const char *remote_node, const uint8_t context[CW_AUTH_CONTEXT_BYTES],
                            int64_t now)
{
    struct cw_tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return NULL;
    tls->ssl = SSL_new(of->context);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (!tls->ssl || !tls->in || !tls->out) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        SSL_free(tls->ssl);
        free(tls);
        return NULL;
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    memcpy(tls->context, context, sizeof tls->context);
    memcpy(tls->expected.cluster, of->own.cluster, NAME_SIZE);
    snprintf(tls->expected.site, NAME_SIZE, "%s", remote_site);
    snprintf(tls->expected.node, NAME_SIZE, "%s", remote_node);
    SSL_set_app_data(tls->ssl, tls);
    SSL_set_info_callback(tls->ssl, on_alert);
    X509_VERIFY_PARAM_set_time(SSL_get0_param(tls->ssl), (time_t)now);
    if (is_initiator)
        SSL_set_connect_state(tls->ssl);
    else
        SSL_set_accept_state(tls->ssl);
    return tls;
}

void cw_tls_free(struct cw_tls *tls)
{
    if (tls)
        SSL_free(tls->ssl);
    free(tls);
}

/* The reason of our own verdict is known already; else the peer said no, or nothing made sense. */
static enum cw_tls_state refuse(struct cw_tls *tls)
{
    unsigned long error = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(error);
    tls->state = CW_TLS_REFUSED;
    if (tls->reason != CW_AUTH_NO_REASON)
        return tls->state;
    tls->reason = CW_AUTH_BROKEN;
    if (tls->alert[0])
        tls->reason = CW_AUTH_REFUSED_BY_PEER;
    else if (ERR_GET_REASON(error) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        tls->reason = CW_AUTH_NO_CERTIFICATE;
    snprintf(tls->words, sizeof tls->words, "%s", tls->alert[0] ? tls->alert : text ? text : "no TLS");
    return tls->state;
}

/* After its handshake nothing may come any more but an alert. */
static enum cw_tls_state look_for_alert(struct cw_tls *tls)
{
    uint8_t byte;
    int got = SSL_read(tls->ssl, &byte, 1);
    if (got <= 0 && SSL_get_error(tls->ssl, got) == SSL_ERROR_WANT_READ)
        return tls->state;
    return refuse(tls);
}

enum cw_tls_state cw_tls_step(struct cw_tls *tls, const uint8_t *bytes, size_t length)
{
    CW_ASSERT(length <= INT32_MAX);
    ERR_clear_error();
    if (tls->state == CW_TLS_REFUSED || (length > 0 && BIO_write(tls->in, bytes, (int)length) != (int)length))
        return refuse(tls);
    if (tls->state == CW_TLS_WORKING) {
        int done = SSL_do_handshake(tls->ssl);
        if (done != 1)
            return SSL_get_error(tls->ssl, done) == SSL_ERROR_WANT_READ ? tls->state : refuse(tls);
        tls->state = CW_TLS_GOOD;
    }
    return look_for_alert(tls);
}

size_t cw_tls_take(struct cw_tls *tls, uint8_t *bytes, size_t room)
{
    int got = BIO_read(tls->out, bytes, (int)room);
    return got > 0 ? (size_t)got : 0;
}

void cw_tls_secret(struct cw_tls *tls, uint8_t secret[CW_AUTH_SECRET_BYTES])
{
    CW_ASSERT(tls->state == CW_TLS_GOOD);
    int good = SSL_export_keying_material(tls->ssl, secret, CW_AUTH_SECRET_BYTES, LABEL, strlen(LABEL),
                                          tls->context, sizeof tls->context, 1);
    CW_ASSERT(good == 1 && "a finished TLS 1.3 handshake has an exporter");
}

enum cw_auth_reason cw_tls_reason(const struct cw_tls *tls)
{
    return tls->reason;
}

const char *cw_tls_words(const struct cw_tls *tls)
{
    return tls->words;
}
