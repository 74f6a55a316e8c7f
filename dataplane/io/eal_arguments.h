/* SPDX-License-Identifier: BSD-3-Clause */
/* What EAL is told, private to io/: a command line. Pure but for what cw_device_prepare does. */
#pragma once

#include "io/device.h"

#define CW_EAL_ARGUMENTS_MAX 64u

/* EAL keeps pointers into it. */
struct cw_eal_arguments {
    char text[CW_EAL_ARGUMENTS_MAX][CW_DEVICE_ARGUMENTS_MAX];
    char *vector[CW_EAL_ARGUMENTS_MAX + 1];
    int count;
};

void cw_eal_add(struct cw_eal_arguments *arguments, const char *text);
void cw_eal_add_pair(struct cw_eal_arguments *arguments, const char *option, const char *value);

/* All but memory. Each device comes from the bus that it is on: what is named with -a is probed by a bus of cards,
 * and of that bus nothing else; what is named with --vdev is made. */
enum cw_status cw_eal_arguments_of(const struct cw_eal_config *config, struct cw_eal_arguments *arguments,
                                   char *why, size_t why_size) CW_MUST_CHECK;
