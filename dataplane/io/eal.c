/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting and stopping DPDK's environment.
 *
 * EAL can be started once in a process and takes no second try, so what could fail is found out first: are
 * there enough hugepages (--in-memory: nothing is left behind by kill -9), or else --no-huge; does an engine
 * of the same prefix live, and if not, its runtime directory is cleaned (runtime_folder.h). Telemetry stays on: its
 * socket is how life is recognised of engines that have no lock there.
 *
 * All drivers of the distribution are loaded from its plug-in directory: 0.2 s to start in all, and leaving
 * the directory out saves 10 ms of it, less than measuring it twice differs.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "base/numbers.h"
#include "io/eal_arguments.h"
#include "io/runtime_folder.h"

#define MEMORY_MB_DEFAULT 256u

static struct cw_runtime_folder folder = {.lock = -1};

static void parent_of(char *parent, size_t size)
{
    const char *base = "/var/run";
    if (getuid() != 0) {
        const char *own = getenv("XDG_RUNTIME_DIR");
        base = own != NULL ? own : "/tmp";
    }
    snprintf(parent, size, "%s/dpdk", base);
}

/* EAL looks for it there, and takes it as it is. */
static enum cw_status take_folder(const struct cw_eal_config *config, char *why, size_t why_size)
{
    char parent[256];
    parent_of(parent, sizeof parent);
    enum cw_status status = cw_runtime_folder_take(&folder, parent, config->file_prefix, why, why_size);
    if (status == CW_OK && config->siblings[0] != 0)
        cw_runtime_folder_sweep(&folder, config->siblings);
    return status;
}

static bool are_hugepages_free(uint32_t megabytes)
{
    size_t length = (size_t)megabytes * CW_MIB;
    void *memory =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    munmap(memory, length);
    return true;
}

/* Several engines may start at once and each see the same pages free: they look and take one after the other.
 * This directory of procfs is there wherever hugepages are and the same in every network namespace (ip netns
 * exec mounts a /sys of its own), may be read and so locked by everybody, and forgets the lock with its
 * holder. Whoever holds it for longer than that is none of ours. Who takes pages away (`run`, which gives
 * back what it reserved) does it under this lock, too. */
static int lock_hugepages(void)
{
    int fd = open("/proc/sys/vm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int tries = 0; fd >= 0 && tries < 200 && flock(fd, LOCK_EX | LOCK_NB) != 0; tries++)
        usleep(50 * 1000);
    return fd;
}

static uint32_t megabytes_wanted(const struct cw_eal_config *config)
{
    return config->memory_mb > 0 ? config->memory_mb : MEMORY_MB_DEFAULT;
}

/* True: hugepages are to be used. */
static bool add_memory(struct cw_eal_arguments *arguments, const struct cw_eal_config *config)
{
    char megabytes[16];
    uint32_t wanted = megabytes_wanted(config);
    snprintf(megabytes, sizeof megabytes, "%u", wanted);
    bool has_hugepages = config->may_use_hugepages && are_hugepages_free(wanted);
    cw_eal_add(arguments, has_hugepages ? "--in-memory" : "--no-huge");
    cw_eal_add_pair(arguments, "-m", megabytes);
    return has_hugepages;
}

/* DPDK would only say that it knows no such device. */
static enum cw_status check_cards_without_hugepages(const struct cw_eal_config *config, char *why,
                                                    size_t why_size)
{
    for (uint32_t i = 0; i < config->port_count; i++)
        if (cw_device_needs_hugepages(config->ports[i].device)) {
            snprintf(
                why, why_size,
                "%s is driven without an IOMMU, which takes hugepages, and %u MiB of them are not free: reserve "
                "them (`hugepages:` in the wish of causeway nic apply, or /proc/sys/vm/nr_hugepages)",
                config->ports[i].device, megabytes_wanted(config));
            return CW_IO;
        }
    return CW_OK;
}

enum cw_status cw_eal_start(const struct cw_eal_config *config, char *why, size_t why_size)
{
    static struct cw_eal_arguments arguments; /* EAL keeps pointers into it */
    if (config->file_prefix[0] == 0 || strchr(config->file_prefix, '/') != NULL ||
        config->port_count > CW_EAL_ARGUMENTS_MAX / 2 - 10) {
        snprintf(why, why_size, "DPDK: impossible file prefix \"%s\", or too many ports",
                 config->file_prefix);
        return CW_INVALID;
    }
    enum cw_status status = take_folder(config, why, why_size);
    if (status == CW_OK)
        status = cw_eal_arguments_of(config, &arguments, why, why_size);
    if (status != CW_OK) {
        cw_runtime_folder_remove(&folder);
        return status;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* memif's driver writes to peers that may be gone */
    int lock = lock_hugepages();
    bool has_hugepages = add_memory(&arguments, config);
    status = has_hugepages ? CW_OK : check_cards_without_hugepages(config, why, why_size);
    int started = status == CW_OK ? rte_eal_init(arguments.count, arguments.vector) : 0;
    if (lock >= 0)
        close(lock);
    if (status != CW_OK) {
        cw_runtime_folder_remove(&folder);
        return status;
    }
    if (started < 0) {
        snprintf(why, why_size, "DPDK does not start: %s; its own words are above%s", rte_strerror(rte_errno),
                 has_hugepages ? ". If they are about hugepages, somebody took those that were free a moment "
                                 "before: start it again"
                               : "");
        cw_runtime_folder_remove(&folder);
        return CW_IO;
    }
    /* A client without its server says so at every attempt; we tell it by the state of the link. */
    (void)rte_log_set_level_pattern("pmd.net.memif", RTE_LOG_EMERG);
    return CW_OK;
}

/*
 * Without rte_eal_cleanup: that unmaps what EAL's interrupt thread, which lives on, may look at in the same
 * moment when a memif port or its peer has just gone (a SIGSEGV at the end, one time in three with
 * short-lived ports). The process ends now, and memory of --in-memory and --no-huge ends with it.
 */
void cw_eal_stop(void)
{
    cw_runtime_folder_remove(&folder);
}

bool cw_eal_has_hugepages(void)
{
    return rte_eal_has_hugepages() != 0;
}
