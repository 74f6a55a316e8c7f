/* SPDX-License-Identifier: BSD-3-Clause */
/* See revocations.h. */
#include "control/revocations.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/numbers.h"

#define AUTHORITIES_MAX 8u /* fewer, rather: who has filled it has not seen the end of the file */

struct authorities {
    X509 *list[AUTHORITIES_MAX];
    bool has_list[AUTHORITIES_MAX];
    size_t count;
};

__attribute__((format(printf, 3, 4))) static bool say(char *why, size_t why_size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, why_size, format, arguments);
    va_end(arguments);
    return false;
}

/* Has a file been read to its end, or was something in it no PEM? */
static bool is_at_end(void)
{
    return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

static bool read_authorities(const char *file, struct authorities *all)
{
    BIO *from = BIO_new_file(file, "r");
    X509 *one = NULL;
    ERR_clear_error();
    while (from && all->count < AUTHORITIES_MAX && (one = PEM_read_bio_X509(from, NULL, NULL, NULL)) != NULL)
        all->list[all->count++] = one;
    bool is_good = from && one == NULL && is_at_end() && all->count > 0;
    BIO_free(from);
    return is_good;
}

static void name_of(const X509 *authority, char *name, size_t name_size)
{
    X509_NAME_oneline(X509_get_subject_name(authority), name, (int)name_size);
}

static bool have_names_of_their_own(const struct authorities *all, const char *file, char *why,
                                    size_t why_size)
{
    char name[128];
    for (size_t i = 0; i < all->count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (X509_NAME_cmp(X509_get_subject_name(all->list[i]), X509_get_subject_name(all->list[k])) != 0)
                continue;
            name_of(all->list[i], name, sizeof name);
            return say(
                why, why_size,
                "%s: two authorities have the name %s, and nbdkit would look at the revocations of one "
                "of them only; leave one of them out, or make one with another name",
                file, name);
        }
    }
    return true;
}

static bool is_of_one(X509_CRL *list, struct authorities *all)
{
    for (size_t i = 0; i < all->count; i++) {
        if (X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_subject_name(all->list[i])) == 0 &&
            X509_CRL_verify(list, X509_get0_pubkey(all->list[i])) == 1)
            return all->has_list[i] = true;
    }
    return false;
}

static bool match_lists(const char *file, struct authorities *all, char *why, size_t why_size)
{
    X509_CRL *list = NULL;
    bool is_good = true;
    BIO *from = BIO_new_file(file, "r");
    ERR_clear_error();
    while (from && is_good && (list = PEM_read_bio_X509_CRL(from, NULL, NULL, NULL)) != NULL) {
        is_good = is_of_one(list, all);
        X509_CRL_free(list);
    }
    BIO_free(from);
    if (!is_good)
        return say(
            why, why_size,
            "%s: a list of revocations in it is not signed by the authority of ca-cert.pem, and with it "
            "a client that is revoked would be let in; copy the authority's own ca-crl.pem there",
            file);
    return is_at_end() ||
           say(why, why_size, "%s: not a list of revocations in PEM; copy the authority's ca-crl.pem there",
               file);
}

static bool have_lists(const struct authorities *all, const char *file, char *why, size_t why_size)
{
    char name[128];
    for (size_t i = 0; i < all->count; i++) {
        if (all->has_list[i])
            continue;
        name_of(all->list[i], name, sizeof name);
        return say(why, why_size,
                   "%s: there is no list of revocations of the authority %s in it, and a client that it has "
                   "revoked would be let in; copy that authority's ca-crl.pem there",
                   file, name);
    }
    return true;
}

bool cw_revocations_fit(const char *authorities, const char *lists, char *why, size_t why_size)
{
    struct authorities all = {0};
    bool is_good = read_authorities(authorities, &all) ||
                   say(why, why_size, "%s: not the certificates of 1 to %u authorities in PEM", authorities,
                       AUTHORITIES_MAX - 1);
    is_good = is_good && have_names_of_their_own(&all, authorities, why, why_size) &&
              match_lists(lists, &all, why, why_size) && have_lists(&all, lists, why, why_size);
    for (size_t i = 0; i < all.count; i++)
        X509_free(all.list[i]);
    ERR_clear_error();
    return is_good;
}
