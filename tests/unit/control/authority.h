/* SPDX-License-Identifier: BSD-3-Clause */
/* An authority with nothing revoked yet, in memory. */
#pragma once

#include <stdlib.h>

#include "control/certificate_x509.h"

struct authority {
    struct cw_pair pair;
    char *list;
};

/* 0 or -1, as cmocka wants it of a setup. */
static inline int authority_make(struct authority *authority, const char *name)
{
    return cw_x509_authority(name, 10, &authority->pair) == CW_OK &&
                   cw_x509_revocations(authority->pair.certificate, authority->pair.key, NULL, 0,
                                       &authority->list) == CW_OK
               ? 0
               : -1;
}

static inline void authority_free(struct authority *authority)
{
    cw_pair_free(&authority->pair);
    free(authority->list);
}
