/* SPDX-License-Identifier: BSD-3-Clause */
/* Network and mounts of our own, so that nothing of the machine is touched. */
#pragma once

#include <stdbool.h>

/* This process goes there. false: it may not (not root). */
bool enter_own_space(void);
