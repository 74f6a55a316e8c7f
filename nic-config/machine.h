/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine that is asked: this one, or a recorded one below a root. The only door through which the probe looks.
 *
 * A recorded machine is a folder with the files of /sys, /proc, /etc, /run, /lib/modules, /boot and /usr/share/misc that
 * matter (links of sysfs are links there too, and may lead nowhere: only their words count), and `answers/`:
 *
 *     answers/ip-link.json            what `ip -json -details link show` said
 *     answers/ip-address.json         `ip -json address show`
 *     answers/ip-route4.json          `ip -json -4 route show table all`; ip-route6.json: -6
 *     answers/ip-netns.json           `ip -json netns list`
 *     answers/netns-NAME-ip-link.json `ip -netns NAME -json -details link show`
 *     answers/ethtool.json            {"eth0":{"queues":8,"queues_max":16,"rx_queues":0,"rx_queues_max":0,"tx_queues":0,
 *                                     "speed":25000}}: what ethtool's ioctl said; what it did not say is not there
 *     answers/pmds.json               the descriptions in DPDK's plug-ins, a list: [{"name":"net_ice","kmod":
 *                                     "* igb_uio | vfio-pci","pci_ids":[[32902,5522,65535,65535]]}]
 *     answers/logins.json             [{"who":"root","from":"192.0.2.1","local":"192.0.2.2"}]
 *
 * Of a recorded machine nothing outside of its folder is read, wherever its links point. Blocking; any thread, one at a
 * time.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define CW_MACHINE_ROOT 192u /* of its path, with the byte of 0 */

struct cw_machine {
    char root[CW_MACHINE_ROOT]; /* "" this machine */
};

/* A file's text without the ends of its last line, bytes of 0 as ends of lines; at most size - 1 bytes (cut: CW_RANGE).
 * CW_NOT_FOUND, CW_REFUSED (no rights), CW_IO; then the text is "". The path is absolute. */
enum cw_status cw_machine_text(const struct cw_machine *machine, const char *path, char *text,
                               size_t size) CW_MUST_CHECK;
/* As cw_machine_text, for long files: on the heap, the caller's to free; also cut. NULL: none. */
char *cw_machine_whole(const struct cw_machine *machine, const char *path, size_t max,
                       enum cw_status *status);
/* The last part of what a symbolic link names: the driver of a device. */
enum cw_status cw_machine_link(const struct cw_machine *machine, const char *path, char *name,
                               size_t size) CW_MUST_CHECK;
/* All that it names: "../../devices/pci0000:00/0000:00:03.0/virtio2/net/eth0". */
enum cw_status cw_machine_target(const struct cw_machine *machine, const char *path, char *target,
                                 size_t size) CW_MUST_CHECK;
/* There is such a name; a link that leads nowhere is one too. */
bool cw_machine_has(const struct cw_machine *machine, const char *path);
/* A name of a network namespace (a file in /run/netns) that leads to none any more: the file that it was mounted on, or a
 * link to one of a process that has ended. False also where there is no such name. */
bool cw_machine_is_stale_space(const struct cw_machine *machine, const char *path);
/* Calls take for each name in a folder, in order of their bytes, without . and ..; false, with errno: no such folder, or no
 * rights. */
bool cw_machine_list(const struct cw_machine *machine, const char *folder,
                     void (*take)(void *context, const char *name), void *context);
/* A file to be read by a library: its descriptor, or -1. Regular files only. */
int cw_machine_open(const struct cw_machine *machine, const char *path);
/* The answer of a program as JSON, or of `answers/NAME.json`; NULL with words in why. The caller's to decref. */
json_t *cw_machine_ask(const struct cw_machine *machine, const char *name, const char *const arguments[],
                       char *why, size_t why_size);
/* As answers/ethtool.json, pmds.json and logins.json have it. Words in why beside an answer: something of it could not be
 * seen. */
json_t *cw_machine_ethtool(const struct cw_machine *machine, char *why, size_t why_size);
json_t *cw_machine_pmds(const struct cw_machine *machine, char *why, size_t why_size);
json_t *cw_machine_logins(const struct cw_machine *machine, char *why, size_t why_size);
