/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Paths whose device is prepared by `causeway nic apply`: what nic_directory/NAME.yaml says of each (nic-config/prepared.h
 * has the format) and whether it is still so. For the engine alone: a controller starts without.
 *
 *     cw_node_config_load → cw_prepared_load → cw_prepared_look → DPDK
 *
 * Both name all that is wrong, a line each with the next step, as far as there is room. Files only; any thread.
 */
#pragma once

#include "engine/config/node_config.h"

#define CW_PREPARED_BYTES_MAX  4096u
#define CW_PREPARED_LCORES_MAX 32u
#define CW_PREPARED_WORD       40u

struct cw_prepared_path {
    char name[CW_CONFIG_NAME_SIZE];
    char device[CW_CONFIG_PATH_SIZE];
    char driver[CW_PREPARED_WORD];    /* that the kernel has to have given the card; "" none */
    char card[CW_PREPARED_WORD];      /* its address; "" none */
    char interface[CW_PREPARED_WORD]; /* "" none */
    bool is_shared;
    int32_t node; /* of NUMA; -1 not known */
    uint32_t queues, mtu, vlan;
    uint32_t lcores[CW_PREPARED_LCORES_MAX];
    uint32_t lcore_count;
};

/* The text of one file. CW_INVALID: mistakes has them all, by line. */
enum cw_status cw_prepared_parse(const char *text, size_t length, struct cw_prepared_path *path,
                                 struct cw_config_mistakes *mistakes) CW_MUST_CHECK;

/* Reads the file of each path that is prepared, sets its device and is_shared, and holds it against what the
 * configuration wants of the path. prepared: as many as the configuration has paths; name is "" of the others. file: the
 * configuration's, for messages. */
enum cw_status cw_prepared_load(struct cw_node_config *config, const char *file,
                                struct cw_prepared_path prepared[CW_CONFIG_PATHS_MAX], char *said,
                                size_t said_size) CW_MUST_CHECK;

/* lcores that are none of those which were kept free for the engine: it runs there all the same. After cw_prepared_load.
 * True: something was said. */
bool cw_prepared_advise(const struct cw_node_config *config,
                        const struct cw_prepared_path prepared[CW_CONFIG_PATHS_MAX], const char *file,
                        char *said, size_t said_size);

/* Are the cards there, and has the kernel given them the drivers that they were prepared with? sysfs: "/sys". */
enum cw_status cw_prepared_look(const struct cw_node_config *config,
                                const struct cw_prepared_path prepared[CW_CONFIG_PATHS_MAX],
                                const char *sysfs, char *said, size_t said_size) CW_MUST_CHECK;
