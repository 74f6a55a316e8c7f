/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of pair.h share among themselves. */
#pragma once

#include "pair.h"

#define GROUP        5u
#define TURN_NS      (100 * CW_US)
#define LEASE_NS     (5 * CW_SECOND)
#define VOLUME_BYTES ((uint64_t)PAIR_BLOCK * PAIR_BLOCKS)

uint64_t pair_fresh(struct pair *p); /* a name that was never given before */

/* Buffers of payloads, counted at the site; a handle is the address. */
uint8_t *pair_payload_new(struct pair_site *site, uint32_t length);
void pair_payload_free(struct pair_site *site, uint64_t handle);
uint64_t pair_handle_of(const uint8_t *data);

/* The copy's file becomes the volume. */
void pair_switch_files(struct pair_site *site);
