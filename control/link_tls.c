/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/link_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "control/certificate_x509.h"

#define CHAIN_BYTES_MAX (32u * 1024u) /* of the certificates that somebody shows */

struct cw_link_trust {
    SSL_CTX *context;
    struct cw_link_peer own;
};

struct cw_link_tls {
    SSL *ssl;
    enum cw_link_state state;
    bool wants_write;
    char cluster[CW_LINK_NAME]; /* ours */
    struct cw_link_peer peer;
    char words[CW_LINK_WORDS];
    char alert[64]; /* of the other end, "" without */
};

__attribute__((format(printf, 3, 4))) static bool say(char *why, size_t why_size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why, why_size, format, arguments);
    va_end(arguments);
    return false;
}

/* ---------------------------------------------------------------- names */

/* One part of the path, up to `end`; it must be there, fit, and be of plain letters: it is shown. */
static bool take_part(const char **from, char end, char to[CW_LINK_NAME])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strspn(*from, letters);
    if (length == 0 || length >= CW_LINK_NAME || (*from)[length] != end)
        return false;
    memcpy(to, *from, length);
    to[length] = 0;
    *from += length + (end != 0);
    return true;
}

bool cw_link_name_parse(const char *uri, struct cw_link_peer *peer)
{
    static const struct {
        const char *scheme;
        enum cw_link_role role;
    } schemes[] = {{"causeway://", CW_LINK_CONTROLLER},
                   {"causeway-operator://", CW_LINK_OPERATOR},
                   {"causeway-viewer://", CW_LINK_VIEWER}};
    struct cw_link_peer found = {0};
    for (size_t i = 0; i < CW_COUNT_OF(schemes) && !found.role; i++) {
        if (strncmp(uri, schemes[i].scheme, strlen(schemes[i].scheme)) != 0)
            continue;
        found.role = schemes[i].role;
        uri += strlen(schemes[i].scheme);
    }
    bool is_good = found.role && take_part(&uri, '/', found.cluster) &&
                   (found.role != CW_LINK_CONTROLLER || take_part(&uri, '/', found.site)) &&
                   take_part(&uri, 0, found.name);
    if (is_good)
        *peer = found;
    return is_good;
}

const char *cw_link_peer_words(const struct cw_link_peer *peer, char *words, size_t size)
{
    if (peer->role == CW_LINK_CONTROLLER)
        snprintf(words, size, "the controller of %s (node %s)", peer->site, peer->name);
    else
        snprintf(words, size, "%s %s", peer->role == CW_LINK_OPERATOR ? "operator" : "viewer", peer->name);
    return words;
}

static bool is_uri(const GENERAL_NAME *entry, char *text, size_t size)
{
    if (entry->type != GEN_URI)
        return false;
    const ASN1_IA5STRING *value = entry->d.uniformResourceIdentifier;
    size_t length = (size_t)ASN1_STRING_length(value);
    if (length >= size || memchr(ASN1_STRING_get0_data(value), 0, length))
        return false;
    memcpy(text, ASN1_STRING_get0_data(value), length);
    text[length] = 0;
    return strncmp(text, "causeway", 8) == 0;
}

static void learn_serial(const X509 *certificate, struct cw_link_peer *peer)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *hex = number ? BN_bn2hex(number) : NULL;
    snprintf(peer->serial, sizeof peer->serial, "%.40s", hex ? hex : "?");
    OPENSSL_free(hex);
    BN_free(number);
}

/* False: names nobody of ours, or several. */
static bool peer_of(const X509 *certificate, struct cw_link_peer *peer)
{
    char uri[4 * CW_LINK_NAME];
    int found = 0;
    bool is_good = false;
    *peer = (struct cw_link_peer){0};
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if (is_uri(sk_GENERAL_NAME_value(names, i), uri, sizeof uri) && ++found == 1)
            is_good = cw_link_name_parse(uri, peer);
    }
    GENERAL_NAMES_free(names);
    learn_serial(certificate, peer);
    return found == 1 && is_good;
}

/* ---------------------------------------------------------------- judging */

/* Is our extension the only one that OpenSSL does not know? */
static bool is_critical_ours(const X509 *certificate)
{
    bool is_ours = false;
    for (int i = 0; i < X509_get_ext_count(certificate); i++) {
        X509_EXTENSION *extension = X509_get_ext(certificate, i);
        if (!X509_EXTENSION_get_critical(extension) || X509_supported_extension(extension))
            continue;
        if (!cw_x509_is_person(extension))
            return false;
        is_ours = true;
    }
    return is_ours;
}

/* What OpenSSL minds and we do not: our extension in the certificate of the other end, never in an
 * authority's; and a list that was made a moment ago by a clock that goes before ours, which is no worse for
 * it, as for engines.
 */
static int on_verify(int is_good, X509_STORE_CTX *context)
{
    int error = X509_STORE_CTX_get_error(context);
    bool is_person = error == X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION &&
                     X509_STORE_CTX_get_error_depth(context) == 0 &&
                     is_critical_ours(X509_STORE_CTX_get_current_cert(context));
    if (!is_good && (is_person || error == X509_V_ERR_CRL_NOT_YET_VALID)) {
        X509_STORE_CTX_set_error(context, X509_V_OK);
        return 1;
    }
    return is_good;
}

/* ---------------------------------------------------------------- files */

static const char *openssl_words(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "it cannot be read";
}

static int no_passphrase(char *buffer, int size, int is_writing, void *context)
{
    return -1;
}

static bool load_key(SSL_CTX *context, const char *file, char *why, size_t why_size)
{
    struct stat about = {0};
    FILE *from = fopen(file, "re");
    bool is_open = from && fstat(fileno(from), &about) == 0;
    bool is_private = is_open && (about.st_mode & 077) == 0;
    EVP_PKEY *key = is_private ? PEM_read_PrivateKey(from, NULL, no_passphrase, NULL) : NULL;
    bool is_good = key && SSL_CTX_use_PrivateKey(context, key) == 1;
    EVP_PKEY_free(key);
    if (from)
        fclose(from);
    if (is_open && !is_private)
        return say(why, why_size, "%s: expected a file that only its owner may read (chmod 600)", file);
    return is_good || say(why, why_size, "%s: expected the private key of the certificate, in PEM (%s)", file,
                          openssl_words());
}

static bool load_pair(SSL_CTX *context, const char *const files[CW_LINK_FILES], char *why, size_t why_size)
{
    if (SSL_CTX_use_certificate_chain_file(context, files[CW_LINK_CERTIFICATE]) != 1)
        return say(why, why_size, "%s: expected a certificate in PEM (%s)", files[CW_LINK_CERTIFICATE],
                   openssl_words());
    return load_key(context, files[CW_LINK_KEY], why, why_size);
}

static bool is_signed(X509_CRL *list, STACK_OF(X509_OBJECT) * trusted)
{
    for (int i = 0; i < sk_X509_OBJECT_num(trusted); i++) {
        X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i));
        if (authority && X509_CRL_verify(list, X509_get0_pubkey(authority)) == 1)
            return true;
    }
    return false;
}

static bool load_trust(SSL_CTX *context, const char *const files[CW_LINK_FILES], char *why, size_t why_size)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    int count = 0;
    bool is_good = true;
    if (X509_STORE_load_file(store, files[CW_LINK_AUTHORITY]) != 1)
        return say(why, why_size, "%s: expected the authority's certificate, in PEM",
                   files[CW_LINK_AUTHORITY]);
    BIO *from = BIO_new_file(files[CW_LINK_REVOCATIONS], "r");
    for (X509_CRL *list; is_good && from && (list = PEM_read_bio_X509_CRL(from, NULL, NULL, NULL)); count++) {
        is_good = is_signed(list, X509_STORE_get0_objects(store)) && X509_STORE_add_crl(store, list);
        X509_CRL_free(list);
    }
    BIO_free(from);
    return (is_good && count > 0) ||
           say(why, why_size, "%s: expected the authority's list of revocations, in PEM (%s)",
               files[CW_LINK_REVOCATIONS],
               count > 0 ? "this one is not signed by it" : "there is none in it");
}

static SSL_CTX *new_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    if (!context)
        return NULL;
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_CRL_CHECK);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_max_cert_list(context, CHAIN_BYTES_MAX);
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) && SSL_CTX_set_num_tickets(context, 0))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

static struct cw_link_trust *finish(struct cw_link_trust *trust, bool is_good, const char *file, char *why,
                                    size_t why_size)
{
    if (is_good && !peer_of(SSL_CTX_get0_certificate(trust->context), &trust->own))
        is_good = say(why, why_size,
                      "%s: expected a certificate of a node, an operator or a viewer (causeway cert)", file);
    ERR_clear_error();
    if (is_good)
        return trust;
    cw_link_trust_free(trust);
    return NULL;
}

struct cw_link_trust *cw_link_trust_load(const char *const files[CW_LINK_FILES], char *why, size_t why_size)
{
    struct cw_link_trust *trust = calloc(1, sizeof *trust);
    (void)say(why, why_size, "no memory");
    ERR_clear_error();
    bool is_good = trust && (trust->context = new_context()) != NULL &&
                   load_trust(trust->context, files, why, why_size) &&
                   load_pair(trust->context, files, why, why_size);
    return finish(trust, is_good, files[CW_LINK_CERTIFICATE], why, why_size);
}

static bool take_pair(SSL_CTX *to, SSL_CTX *from)
{
    STACK_OF(X509) *between = NULL;
    SSL_CTX_get0_chain_certs(from, &between);
    return SSL_CTX_use_certificate(to, SSL_CTX_get0_certificate(from)) == 1 &&
           SSL_CTX_set1_chain(to, between) == 1 &&
           SSL_CTX_use_PrivateKey(to, SSL_CTX_get0_privatekey(from)) == 1;
}

struct cw_link_trust *cw_link_trust_keep_pair(const struct cw_link_trust *in_use,
                                              const char *const files[CW_LINK_FILES], char *why,
                                              size_t why_size)
{
    struct cw_link_trust *trust = calloc(1, sizeof *trust);
    (void)say(why, why_size, "no memory");
    ERR_clear_error();
    bool is_good = trust && (trust->context = new_context()) != NULL &&
                   load_trust(trust->context, files, why, why_size) &&
                   take_pair(trust->context, in_use->context);
    return finish(trust, is_good, files[CW_LINK_CERTIFICATE], why, why_size);
}

void cw_link_trust_free(struct cw_link_trust *trust)
{
    if (trust)
        SSL_CTX_free(trust->context);
    free(trust);
}

const struct cw_link_peer *cw_link_trust_own(const struct cw_link_trust *trust)
{
    return &trust->own;
}

/* ---------------------------------------------------------------- a connection */

static void on_alert(const SSL *ssl, int where, int value)
{
    struct cw_link_tls *tls = SSL_get_app_data(ssl);
    if (where == SSL_CB_READ_ALERT && (value & 0xff) != SSL3_AD_CLOSE_NOTIFY)
        snprintf(tls->alert, sizeof tls->alert, "%s", SSL_alert_desc_string_long(value));
}

struct cw_link_tls *cw_link_tls_start(const struct cw_link_trust *trust, int fd, bool is_client)
{
    struct cw_link_tls *tls = calloc(1, sizeof *tls);
    if (!tls || !(tls->ssl = SSL_new(trust->context)) || SSL_set_fd(tls->ssl, fd) != 1) {
        cw_link_tls_free(tls);
        return NULL;
    }
    snprintf(tls->cluster, sizeof tls->cluster, "%s", trust->own.cluster);
    SSL_set_app_data(tls->ssl, tls);
    SSL_set_info_callback(tls->ssl, on_alert);
    if (is_client)
        SSL_set_connect_state(tls->ssl);
    else
        SSL_set_accept_state(tls->ssl);
    return tls;
}

void cw_link_tls_free(struct cw_link_tls *tls)
{
    if (!tls)
        return;
    if (tls->ssl && tls->state == CW_LINK_GOOD)
        (void)SSL_shutdown(tls->ssl); /* one try, which does not wait */
    ERR_clear_error();
    SSL_free(tls->ssl);
    free(tls);
}

/* What went wrong in words, whoever minded: our verdict, the other end's, or no TLS at all. */
static void explain(struct cw_link_tls *tls, int error)
{
    int system = errno;
    long verdict = SSL_get_verify_result(tls->ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (verdict != X509_V_OK)
        (void)say(tls->words, sizeof tls->words, "its certificate is refused: %s",
                  X509_verify_cert_error_string(verdict));
    else if (tls->alert[0])
        (void)say(tls->words, sizeof tls->words, "the other end refuses ours: %s", tls->alert);
    else if (error == SSL_ERROR_SSL && reason)
        (void)say(tls->words, sizeof tls->words, "no TLS as it is wanted here: %s", reason);
    else
        (void)say(tls->words, sizeof tls->words, "%s",
                  error == SSL_ERROR_SYSCALL && system ? strerror(system) : "the connection was closed");
}

static enum cw_link_state recognize(struct cw_link_tls *tls)
{
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    tls->state = CW_LINK_REFUSED;
    if (!certificate || !peer_of(certificate, &tls->peer))
        (void)say(tls->words, sizeof tls->words,
                  "its certificate (serial %s) names neither a node nor an operator nor a viewer",
                  tls->peer.serial);
    else if (strcmp(tls->peer.cluster, tls->cluster) != 0)
        (void)say(tls->words, sizeof tls->words, "its certificate is of cluster %s, not of %s",
                  tls->peer.cluster, tls->cluster);
    else
        tls->state = CW_LINK_GOOD;
    return tls->state;
}

enum cw_link_state cw_link_tls_step(struct cw_link_tls *tls)
{
    if (tls->state != CW_LINK_SHAKING)
        return tls->state;
    ERR_clear_error();
    errno = 0;
    int done = SSL_do_handshake(tls->ssl);
    int error = done == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, done);
    tls->wants_write = error == SSL_ERROR_WANT_WRITE;
    if (done == 1)
        return recognize(tls);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return tls->state;
    explain(tls, error);
    ERR_clear_error();
    return tls->state = CW_LINK_REFUSED;
}

bool cw_link_tls_wants_write(const struct cw_link_tls *tls)
{
    return tls->wants_write;
}

const struct cw_link_peer *cw_link_tls_peer(const struct cw_link_tls *tls)
{
    return &tls->peer;
}

const char *cw_link_tls_words(const struct cw_link_tls *tls)
{
    return tls->words;
}

bool cw_link_tls_judge(const struct cw_link_tls *tls, const struct cw_link_trust *trust, char *why,
                       size_t why_size)
{
    CW_ASSERT(tls->state == CW_LINK_GOOD);
    STACK_OF(X509) *chain = SSL_get0_verified_chain(tls->ssl);
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int error = X509_V_ERR_OUT_OF_MEM;
    if (context && X509_STORE_CTX_init(context, SSL_CTX_get_cert_store(trust->context),
                                       sk_X509_value(chain, 0), chain)) {
        X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context), X509_V_FLAG_CRL_CHECK);
        X509_STORE_CTX_set_verify_cb(context, on_verify);
        error = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    }
    X509_STORE_CTX_free(context);
    ERR_clear_error();
    return error == X509_V_OK ||
           say(why, why_size, "its certificate is refused: %s", X509_verify_cert_error_string(error));
}

/* ---------------------------------------------------------------- bytes */

/* As recv and send tell it: 0 the end, -1 with errno, EAGAIN to come again. */
static ssize_t outcome(struct cw_link_tls *tls, int n)
{
    int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, n);
    tls->wants_write = error == SSL_ERROR_WANT_WRITE;
    if (n > 0)
        return n;
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    bool is_again = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    if (!is_again)
        explain(tls, error);
    ERR_clear_error();
    errno = is_again ? EAGAIN : ECONNRESET;
    return -1;
}

static ssize_t receive(void *carried, void *bytes, size_t size)
{
    struct cw_link_tls *tls = carried;
    CW_ASSERT(tls->state == CW_LINK_GOOD && size <= INT32_MAX);
    ERR_clear_error();
    errno = 0;
    return outcome(tls, SSL_read(tls->ssl, bytes, (int)size));
}

static ssize_t transmit(void *carried, const void *bytes, size_t size)
{
    struct cw_link_tls *tls = carried;
    CW_ASSERT(tls->state == CW_LINK_GOOD && size > 0);
    ERR_clear_error();
    errno = 0;
    return outcome(tls, SSL_write(tls->ssl, bytes, (int)CW_MIN(size, (size_t)INT32_MAX)));
}

const struct cw_rpc_carrier cw_link_carrier = {.receive = receive, .transmit = transmit};
