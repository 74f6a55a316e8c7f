/* SPDX-License-Identifier: BSD-3-Clause */
/* AES-256-GCM behind transport's two-function table: libipsec-mb's direct calls, and OpenSSL EVP as
 * reference. */
#pragma once

#include "transport/session.h"

/* Once a process. NULL-free: falls back to the reference when the CPU lacks what ipsec-mb needs. */
const struct cw_aead_ops *cw_aead_ipsecmb(void);
const struct cw_aead_ops *cw_aead_openssl(void);
