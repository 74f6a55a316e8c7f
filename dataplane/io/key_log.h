/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A log of traffic keys, for looking into captures while something is being searched for. It gives away all
 * that the seal protects, so no engine has it but one built with -Dkey_log=true.
 *
 * A layer over an AEAD back end: whatever makes and replaces keys, each one passes here. A key is written
 * when the first datagram is sealed or truly opened under it, which is when its SPI is known:
 *
 *     CAUSEWAY_KEY <SPI, 8 hex digits> AES-256-GCM <key, 64 hex digits>
 *
 * The write is a system call of whoever seals: once a key, and no matter in a build that is for searching.
 */
#pragma once

#include "base/status.h"
#include "transport/session.h"

/*
 * Appends to the file, which is made with mode 0600; one that others may read, or that is no plain file, is
 * refused (CW_REFUSED; CW_IO: not opened), in words. Once a process, before cw_key_log_over.
 */
enum cw_status cw_key_log_open(const char *file, char *why, size_t why_size) CW_MUST_CHECK;
/* `inner` must stay. One thread at a time seals or opens under one key. */
const struct cw_aead_ops *cw_key_log_over(const struct cw_aead_ops *inner);
