/* SPDX-License-Identifier: BSD-3-Clause */
/* What `ip -json -details link` says of who stands on whom; of the probe and of give-up. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Of a pair the other end is told where others have what they stand on. */
bool cw_link_is_pair(const char *kind);

/* The names of what it stands on in its own namespace. They point into link; how many. A vxlan, an amt and an hsr have
 * them among their own settings only, and end with it all the same. */
#define CW_LINK_LOWERS 5u
unsigned cw_link_lowers(const json_t *link, const char *names[CW_LINK_LOWERS]);

/* The number of what it stands on in another namespace; 0: it stands on nothing there. all: the links of its own one, as ip
 * makes of a vxlan's number a name of that. */
int64_t cw_link_lower_elsewhere(const json_t *link, const json_t *all);
