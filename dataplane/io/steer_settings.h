/* SPDX-License-Identifier: BSD-3-Clause */
/* What the program of steer.bpf.c is told: written into its object before the kernel gets it. For both sides.
 */
#pragma once

#include <linux/types.h>

#define CW_STEER_MARK    "cw-steer-setting"
#define CW_STEER_PROGRAM "cw_steer" /* as the kernel lists it; at most 15 characters */

/* All in network byte order. An IPv4 address stands in the first four bytes. */
struct cw_steer_settings {
    char mark[16]; /* by which it is found in the object */
    __u8 local[16];
    __u8 remote[16];
    __u16 local_udp;
    __u8 version; /* 4 or 6; of both addresses */
    __u8 reserved;
};
