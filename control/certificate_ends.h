/* SPDX-License-Identifier: BSD-3-Clause */
/* When the first of a node's files of TLS ends: certificates, and lists of revocations. By OpenSSL. */
#pragma once

#include <stddef.h>

/* Days from now until the first of these PEM files ends, by the wall clock; below 0: it has ended already.
 * *which: its index. "" among them is passed over; one that cannot be read has ended, too. Of a file of
 * several all are looked at. Blocking. count 0, or all "": *which is count. */
double cw_certificates_end_days(const char *const *files, size_t count, size_t *which);
