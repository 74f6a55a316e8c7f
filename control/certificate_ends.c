/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/certificate_ends.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#define NEVER_DAYS 1e9

static double days_until(const ASN1_TIME *end)
{
    int days = 0, seconds = 0;
    if (!end)
        return NEVER_DAYS; /* a list need not say */
    return ASN1_TIME_diff(&days, &seconds, NULL, end) == 1 ? days + seconds / 86400.0 : -1;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* Any PEM there is of the kinds that end; a key is passed over by who reads. */
static double file_days(const char *file)
{
    BIO *from = BIO_new_file(file, "r");
    double days = NEVER_DAYS;
    int found = 0;
    char *name = NULL, *header = NULL;
    unsigned char *bytes = NULL;
    long length = 0;
    while (from && PEM_read_bio(from, &name, &header, &bytes, &length) == 1) {
        const unsigned char *at = bytes;
        X509 *certificate = strcmp(name, PEM_STRING_X509) == 0 ? d2i_X509(NULL, &at, length) : NULL;
        at = bytes;
        X509_CRL *list = strcmp(name, PEM_STRING_X509_CRL) == 0 ? d2i_X509_CRL(NULL, &at, length) : NULL;
        if (certificate)
            days = smaller(days, days_until(X509_get0_notAfter(certificate)));
        if (list)
            days = smaller(days, days_until(X509_CRL_get0_nextUpdate(list)));
        found += certificate != NULL || list != NULL;
        X509_free(certificate);
        X509_CRL_free(list);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(bytes);
    }
    BIO_free(from);
    ERR_clear_error();
    return found ? days : -1;
}

double cw_certificates_end_days(const char *const *files, size_t count, size_t *which)
{
    double soonest = NEVER_DAYS;
    *which = count;
    for (size_t i = 0; i < count; i++) {
        double days = files[i][0] ? file_days(files[i]) : NEVER_DAYS;
        if (!files[i][0] || (*which != count && days >= soonest))
            continue;
        soonest = days;
        *which = i;
    }
    return soonest;
}
