/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What group.attach and volume.attach are asked, read and checked: beyond this point every number is within
 * its range and every text whole. Who is asked (does the group exist, is it busy) is not looked at here.
 */
#pragma once

#include "engine/control.h"

struct cw_attach_params {
    uint64_t id, min_in_sync, timeout_ms, brake_ms, size, removed, store_epoch;
    char name[64], path[512];
    enum cw_mode mode;
    uint8_t sites;
    bool create, has_store_epoch;
};

/* NULL, or what is wrong. */
const char *cw_attach_params_of_group(const struct cw_call *call, struct cw_attach_params *params);
const char *cw_attach_params_of_volume(const struct cw_call *call, struct cw_volume_params *params);
