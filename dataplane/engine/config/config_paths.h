/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "engine/config/config_values.h"

/* After sites, security and lcores, which paths are held against. */
void cw_config_check_paths(const struct cw_check *check);
