/* SPDX-License-Identifier: BSD-3-Clause */
/* What `ip -json route show` says of a route, and whether `ip route add` can make the same of that. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "nic-config/facts.h"

/* Something of it, or of one of its next hops, cannot be put back: what says what, as in "a route with …". */
bool cw_route_is_lost(const json_t *route, char what[static CW_FACT_LOST]);
/* A flag that says how it stands with the route now, not how it was made. */
bool cw_route_flag_passes(const char *flag);
