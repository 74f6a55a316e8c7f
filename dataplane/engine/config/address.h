/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses as people type them; nothing else is taken. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"

/* Unicast, "02:00:00:00:00:01". */
bool cw_config_parse_mac(const char *text, uint8_t mac[6]);
/* Of one host: neither unspecified nor of a group, and no IPv4 address in the clothes of IPv6. */
bool cw_config_parse_ip(const char *text, struct cw_ip *ip);
/* An address, and maybe the bits of its network behind a slash: at least one, and not all (without:
 * *prefix_bits stays as it is). */
bool cw_config_parse_host(const char *text, struct cw_ip *ip, uint8_t *prefix_bits);
