/* SPDX-License-Identifier: BSD-3-Clause */
/* CE, congestion experienced (RFC 3168), in the IP header of a frame: what a router does instead of dropping.
 * Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The frame's first bytes, with the whole IP header. True: it is CE now, and was ECT(0) or ECT(1); what is
 * not, is CE already, or no IP, stays as it is. */
bool cw_wan_mark(uint8_t *frame, size_t length);
