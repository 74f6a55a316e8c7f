/* SPDX-License-Identifier: BSD-3-Clause */
/* What a machine that is not recorded is asked beside its files. For machine.c. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "nic-config/machine.h"

json_t *cw_machine_live_ethtool(char *why, size_t why_size);
json_t *cw_machine_live_pmds(const struct cw_machine *machine, char *why, size_t why_size);
json_t *cw_machine_live_logins(const struct cw_machine *machine, char *why, size_t why_size);
