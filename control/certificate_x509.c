/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/certificate_x509.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"

#define DAY_SECONDS  86400
#define SKEW_SECONDS 300 /* a node whose clock is behind takes a new certificate all the same */
#define VALUE_MAX    1024
/* Below 2.25, where a random UUID is a name that nobody else has. */
#define PERSON_OID "2.25.49111028042349104111827127393484620464"

void cw_pair_free(struct cw_pair *pair)
{
    if (pair->key)
        OPENSSL_cleanse(pair->key, strlen(pair->key));
    free(pair->key);
    free(pair->certificate);
    *pair = (struct cw_pair){0};
}

/* ---------------------------------------------------------------- PEM and memory */

/* What a memory BIO has gathered, as a string for free(); the BIO is freed and its copy wiped. */
static char *text_of(BIO *bio, bool is_good)
{
    char *data = NULL, *text = NULL;
    long length = bio ? BIO_get_mem_data(bio, &data) : 0;
    if (is_good && length > 0 && (text = malloc((size_t)length + 1)) != NULL) {
        memcpy(text, data, (size_t)length);
        text[length] = 0;
    }
    if (length > 0)
        OPENSSL_cleanse(data, (size_t)length);
    BIO_free(bio);
    return text;
}

static char *pem_of_certificate(X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return text_of(bio, bio && PEM_write_bio_X509(bio, certificate));
}

static char *pem_of_key(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return text_of(bio, bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
}

struct signer {
    X509 *certificate;
    EVP_PKEY *key;
};

static void signer_free(struct signer *signer)
{
    X509_free(signer->certificate);
    EVP_PKEY_free(signer->key);
}

/* PEM that asks for a passphrase is refused instead of asking the terminal. */
static int no_passphrase(char *buffer, int size, int is_writing, void *context)
{
    return -1;
}

static bool signer_read(struct signer *signer, const char *certificate, const char *key)
{
    BIO *one = BIO_new_mem_buf(certificate, -1), *two = BIO_new_mem_buf(key, -1);
    signer->certificate = one ? PEM_read_bio_X509(one, NULL, no_passphrase, NULL) : NULL;
    signer->key = two ? PEM_read_bio_PrivateKey(two, NULL, no_passphrase, NULL) : NULL;
    BIO_free(one);
    BIO_free(two);
    return signer->certificate && signer->key &&
           X509_check_private_key(signer->certificate, signer->key) == 1;
}

/* ---------------------------------------------------------------- building */

/* 127 random bits: unique without a counter that a restored backup would repeat, and positive. */
static bool set_serial(X509 *certificate, char text[CW_SERIAL_TEXT])
{
    BIGNUM *number = BN_new();
    bool is_good = number && BN_rand(number, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
                   BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    char *hex = is_good ? BN_bn2hex(number) : NULL;
    if (hex)
        snprintf(text, CW_SERIAL_TEXT, "%s", hex);
    OPENSSL_free(hex);
    BN_free(number);
    return hex != NULL;
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool is_good = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return is_good;
}

static bool add_name(X509_NAME *name, const char *field, const char *value)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0);
}

/* An empty certificate with a key of its own, its serial and its times. */
static X509 *certificate_begin(EVP_PKEY *key, int days, struct cw_pair *pair)
{
    X509 *certificate = X509_new();
    time_t now = time(NULL);
    pair->valid_from = (int64_t)now - SKEW_SECONDS;
    pair->valid_until = (int64_t)now + (int64_t)days * DAY_SECONDS;
    if (certificate && X509_set_version(certificate, X509_VERSION_3) &&
        set_serial(certificate, pair->serial) &&
        ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)pair->valid_from) &&
        ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)pair->valid_until) &&
        X509_set_pubkey(certificate, key))
        return certificate;
    X509_free(certificate);
    return NULL;
}

static enum cw_status finish(X509 *certificate, EVP_PKEY *key, EVP_PKEY *signing, struct cw_pair *pair)
{
    if (X509_sign(certificate, signing, EVP_sha256()) == 0)
        return CW_IO;
    pair->certificate = pem_of_certificate(certificate);
    pair->key = pem_of_key(key);
    return pair->certificate && pair->key ? CW_OK : CW_IO;
}

static enum cw_status done(enum cw_status status, X509 *certificate, EVP_PKEY *key, struct cw_pair *pair)
{
    X509_free(certificate);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (status != CW_OK)
        cw_pair_free(pair);
    return status;
}

enum cw_status cw_x509_authority(const char *cluster, int days, struct cw_pair *pair)
{
    *pair = (struct cw_pair){0};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? certificate_begin(key, days, pair) : NULL;
    if (!certificate)
        return done(CW_IO, certificate, key, pair);
    X509_NAME *name = X509_get_subject_name(certificate);
    bool is_good =
        add_name(name, "O", cluster) && add_name(name, "CN", "Causeway cluster authority") &&
        X509_set_issuer_name(certificate, name) &&
        add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(certificate, certificate, NID_subject_key_identifier, "hash");
    return done(is_good ? finish(certificate, key, key, pair) : CW_IO, certificate, key, pair);
}

static bool is_address(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* Letters, digits, dots and hyphens: nothing that the syntax of extensions would read as its own. */
static bool is_host_name(const char *host)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    return *host && strlen(host) < 254 && strspn(host, letters) == strlen(host);
}

static enum cw_status alternative_names(const struct cw_certificate_subject *subject, char value[VALUE_MAX])
{
    bool is_node = *subject->site != 0;
    int used = snprintf(value, VALUE_MAX, "URI:causeway%s%s://%s%s%s/%s", is_node ? "" : "-",
                        is_node ? "" : subject->role, subject->cluster, is_node ? "/" : "", subject->site,
                        subject->node);
    for (size_t i = 0; subject->hosts[i] && used < VALUE_MAX; i++) {
        const char *host = subject->hosts[i];
        if (!is_address(host) && !is_host_name(host))
            return CW_INVALID;
        used +=
            snprintf(value + used, VALUE_MAX - (size_t)used, ",%s:%s", is_address(host) ? "IP" : "DNS", host);
    }
    return used < VALUE_MAX ? CW_OK : CW_INVALID;
}

bool cw_x509_is_person(const struct X509_extension_st *extension)
{
    char text[80];
    const ASN1_OBJECT *object = X509_EXTENSION_get_object((X509_EXTENSION *)extension);
    return OBJ_obj2txt(text, sizeof text, object, 1) > 0 && strcmp(text, PERSON_OID) == 0;
}

/* Critical, and empty: an ASN.1 NULL. */
static bool add_person(X509 *certificate)
{
    static unsigned char null[] = {V_ASN1_NULL, 0};
    ASN1_OBJECT *object = OBJ_txt2obj(PERSON_OID, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;
    if (object && value && ASN1_OCTET_STRING_set(value, null, sizeof null))
        extension = X509_EXTENSION_create_by_OBJ(NULL, object, 1, value);
    bool is_good = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
    return is_good;
}

static bool describe(X509 *certificate, X509 *issuer, const struct cw_certificate_subject *subject,
                     const char *names)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    bool is_node = *subject->site != 0, is_person = !is_node && strcmp(subject->role, "client") != 0;
    return add_name(name, "O", subject->cluster) && (!is_node || add_name(name, "OU", subject->site)) &&
           add_name(name, "CN", subject->node) &&
           X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) &&
           add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, issuer, NID_ext_key_usage,
                         is_node ? "serverAuth,clientAuth" : "clientAuth") &&
           add_extension(certificate, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always") &&
           add_extension(certificate, issuer, NID_subject_alt_name, names) &&
           (!is_person || add_person(certificate));
}

static enum cw_status issue(struct signer *signer, const struct cw_certificate_subject *subject,
                            const char *names, struct cw_pair *pair)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? certificate_begin(key, subject->days, pair) : NULL;
    if (!certificate)
        return done(CW_IO, certificate, key, pair);
    if (ASN1_TIME_compare(X509_get0_notAfter(certificate), X509_get0_notAfter(signer->certificate)) > 0)
        return done(CW_RANGE, certificate, key, pair);
    bool is_good = describe(certificate, signer->certificate, subject, names);
    return done(is_good ? finish(certificate, key, signer->key, pair) : CW_IO, certificate, key, pair);
}

enum cw_status cw_x509_issue(const char *ca_certificate, const char *ca_key,
                             const struct cw_certificate_subject *subject, struct cw_pair *pair)
{
    struct signer signer = {0};
    char names[VALUE_MAX];
    *pair = (struct cw_pair){0};
    enum cw_status status = alternative_names(subject, names);
    if (status == CW_OK)
        status =
            signer_read(&signer, ca_certificate, ca_key) ? issue(&signer, subject, names, pair) : CW_CORRUPT;
    signer_free(&signer);
    ERR_clear_error();
    return status;
}

/* ---------------------------------------------------------------- revoking */

static bool add_revoked(X509_CRL *list, const struct cw_revocation *revocation)
{
    BIGNUM *number = NULL;
    X509_REVOKED *line = X509_REVOKED_new();
    ASN1_INTEGER *serial = BN_hex2bn(&number, revocation->serial) ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
    ASN1_TIME *when = ASN1_TIME_set(NULL, (time_t)revocation->revoked_at);
    bool is_good = line && serial && when && X509_REVOKED_set_serialNumber(line, serial) &&
                   X509_REVOKED_set_revocationDate(line, when) && X509_CRL_add0_revoked(list, line);
    if (!is_good)
        X509_REVOKED_free(line); /* else it is the list's */
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(when);
    BN_free(number);
    return is_good;
}

static char *revocations(const struct signer *signer, const struct cw_revocation *revocations, size_t count)
{
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *now = ASN1_TIME_set(NULL, time(NULL));
    bool is_good = list && now && X509_CRL_set_version(list, X509_CRL_VERSION_2) &&
                   X509_CRL_set_issuer_name(list, X509_get_subject_name(signer->certificate)) &&
                   X509_CRL_set1_lastUpdate(list, now) &&
                   X509_CRL_set1_nextUpdate(list, X509_get0_notAfter(signer->certificate));
    for (size_t i = 0; is_good && i < count; i++)
        is_good = add_revoked(list, &revocations[i]);
    is_good = is_good && X509_CRL_sort(list) && X509_CRL_sign(list, signer->key, EVP_sha256());
    BIO *bio = is_good ? BIO_new(BIO_s_mem()) : NULL;
    char *pem = text_of(bio, bio && PEM_write_bio_X509_CRL(bio, list));
    ASN1_TIME_free(now);
    X509_CRL_free(list);
    return pem;
}

enum cw_status cw_x509_revocations(const char *ca_certificate, const char *ca_key,
                                   const struct cw_revocation *list, size_t count, char **pem)
{
    struct signer signer = {0};
    *pem = NULL;
    enum cw_status status = CW_CORRUPT;
    if (signer_read(&signer, ca_certificate, ca_key)) {
        *pem = revocations(&signer, list, count);
        status = *pem ? CW_OK : CW_IO;
    }
    signer_free(&signer);
    ERR_clear_error();
    return status;
}
