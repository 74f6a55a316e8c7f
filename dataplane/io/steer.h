/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program that steers a path's datagrams to the engine on an interface that the kernel keeps. Private to
 * io/; steer.bpf.c is the program.
 *
 * The af_xdp driver loads the program that its argument xdp_prog names, puts its socket into the map
 * xsks_map, and fixes the program to the interface by netlink, which would let it stay there after kill -9.
 * So it gets ours as a file in memory, and when the port is open the program is fixed again by a link of
 * ours: that ends with the last descriptor, however the process ends. For the moment between (some
 * microseconds) the kernel gets all frames.
 *
 *      cw_steer_clear -> cw_steer_open -> the driver's port, with xdp_prog=PATH -> cw_steer_hold ...
 * cw_steer_close
 *
 * Main thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"
#include "base/status.h"

#define CW_STEER_PATH_SIZE 32u

struct cw_steer {
    unsigned interface; /* its index */
    int image;          /* the program as a file; -1: none */
    int link;           /* which holds it at the interface; -1: none */
    char path[CW_STEER_PATH_SIZE];
};

/* Removes what an engine of ours left at the interface. CW_REFUSED: another engine holds it, or it is a
 * stranger's program; or the process may not have one there, and the words say which right it lacks. CW_IO:
 * the kernel does not say what is there. Waits up to 2 s for one that is just ending. */
enum cw_status cw_steer_clear(unsigned interface, char *why, size_t why_size) CW_MUST_CHECK;
/* Makes the file for this path; both addresses are of one version. */
enum cw_status cw_steer_open(struct cw_steer *steer, unsigned interface, const struct cw_ip *local,
                             const struct cw_ip *remote, uint16_t local_udp, char *why,
                             size_t why_size) CW_MUST_CHECK;
/* Takes the program over from the driver. On a kernel without such links (before 5.9) it stays as the driver
 * fixed it, which is as good until kill -9: then it stays, gives everything to the kernel, and the next start
 * removes it. */
enum cw_status cw_steer_hold(struct cw_steer *steer, char *why, size_t why_size) CW_MUST_CHECK;
/* Also of one that was never opened, if it is zeroed. The program leaves the interface. */
void cw_steer_close(struct cw_steer *steer);
