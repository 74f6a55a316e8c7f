/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Do a file of authorities and a file of their lists of revocations belong together? Asked before nbdkit is
 * given both: GnuTLS takes any list without a word, finds the one that counts by its issuer's name alone,
 * verifies no signature of it, keeps one for each name, and where it finds none, nobody is revoked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* True: each authority has a list that it has signed, no list is anybody else's, and no two authorities have
 * one name. False: words for who copies files. Blocking; both files are PEM. How old a list is is not
 * looked at. */
bool cw_revocations_fit(const char *authorities, const char *lists, char *why, size_t why_size);
