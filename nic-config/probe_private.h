/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between the parts of the probe. Each part fills its share of the facts, in the order of probe.c, as later ones look at what
 * earlier ones found.
 *
 * Whatever is read is checked before it becomes a fact: a value that cannot be true goes to doubts, one that may not be read
 * to unread, and the fact stays unknown. A file that is not there is neither: not every kernel and card has every file. Words
 * of a machine are shown with nothing but printable ASCII in them.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "nic-config/facts.h"
#include "nic-config/machine.h"

#define CW_PROBE_PATH 320u

struct cw_probe {
    const struct cw_machine *machine;
    struct cw_facts *facts;
    /* Of hundreds of CPUs that all say the same the first is named, and the others are counted. */
    uint32_t doubts_alike[CW_DOUBTS_MAX], unread_alike[CW_DOUBTS_MAX];
};

/* What stands in a file cannot be true, or could not be read and is wanted for something. */
void cw_probe_doubt(struct cw_probe *probe, const char *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void cw_probe_unread(struct cw_probe *probe, const char *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds to the words how many were alike; last of all. */
void cw_probe_count_alike(struct cw_probe *probe);
/* A copy that may be shown: each byte that is not printable ASCII is a '?'; cut. */
void cw_probe_printable(const char *from, char *to, size_t size);

/* Each of these reads a file; false: it is not there, cannot be read (unread, with what it is wanted for) or is not
 * believed (doubts). */
bool cw_probe_text(struct cw_probe *probe, const char *file, char *text, size_t size, const char *wanted);
bool cw_probe_number(struct cw_probe *probe, const char *file, int64_t min, int64_t max, int64_t *value,
                     const char *wanted);
/* "0-3,8,10-11"; also "(null)" and nothing, as kernels write none. */
bool cw_probe_cpus(struct cw_probe *probe, const char *file, struct cw_cpu_set *cpus, const char *wanted);
/* A name that a link names: letters, digits and _ - . : @ */
bool cw_probe_link(struct cw_probe *probe, const char *file, char *name, size_t size, const char *wanted);
/* A long file, on the heap, the caller's to free; cut ones are in unread too. NULL: none. */
char *cw_probe_whole(struct cw_probe *probe, const char *file, size_t max, const char *wanted);

/* A number and nothing else; base 16 also with 0x. */
bool cw_probe_parse(const char *text, int base, int64_t *value);
bool cw_probe_parse_cpus(const char *text, struct cw_cpu_set *cpus);
/* Fit for a name of an interface, a driver, a module, in a path and on a command line. */
bool cw_probe_is_name(const char *text, size_t size);
bool cw_probe_is_pci(const char *text);
/* The last device of PCI or VMBus on the way to a device in /sys/devices; false: none. */
bool cw_probe_card_of_target(const char *target, char *address, size_t size);

/* A member of an object of JSON: "" or fallback where it is not there or of another type. */
const char *cw_probe_json_text(const json_t *object, const char *key);
int64_t cw_probe_json_number(const json_t *object, const char *key, int64_t fallback);

/* The parts, in their order. */
void cw_probe_nodes(struct cw_probe *probe);
void cw_probe_cpu_facts(struct cw_probe *probe);
void cw_probe_mounts(struct cw_probe *probe);
void cw_probe_cards(struct cw_probe *probe);
void cw_probe_pmds(struct cw_probe *probe);
void cw_probe_interfaces(struct cw_probe *probe);
void cw_probe_addresses(struct cw_probe *probe);
void cw_probe_routes(struct cw_probe *probe);
void cw_probe_queues(struct cw_probe *probe);
void cw_probe_groups(struct cw_probe *probe);
void cw_probe_users(struct cw_probe *probe);
