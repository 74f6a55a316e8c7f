/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting and stopping DPDK's environment.
 *
 * EAL can be started once in a process and takes no second try, so what could fail is found out first: are
 * there enough hugepages (--in-memory: nothing is left behind by kill -9), or else --no-huge; does an engine
 * of the same prefix live, and if not, its runtime directory is cleaned. Telemetry stays on: its socket is
 * also how life is recognised.
 *
 * All drivers of the distribution are loaded from its plug-in directory: 0.2 s to start in all, and leaving
 * the directory out saves 10 ms of it, less than measuring it twice differs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "base/numbers.h"
#include "io/eal_arguments.h"

#define MEMORY_MB_DEFAULT 256u
#define PREFIX_WAIT_MS    1000u

static char runtime_folder[128];

static void runtime_folder_set(const char *prefix)
{
    const char *base = "/var/run";
    if (getuid() != 0) {
        const char *own = getenv("XDG_RUNTIME_DIR");
        base = own != NULL ? own : "/tmp";
    }
    snprintf(runtime_folder, sizeof runtime_folder, "%s/dpdk/%s", base, prefix);
}

/* An engine with this prefix answers on its telemetry socket. */
static bool is_prefix_alive(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int written = snprintf(address.sun_path, sizeof address.sun_path, "%s/dpdk_telemetry.v2", runtime_folder);
    if (written < 0 || (size_t)written >= sizeof address.sun_path)
        return false;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool is_alive = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN;
    close(fd);
    return is_alive;
}

/* EAL keeps plain files and sockets there, no folders. */
static void runtime_folder_remove(void)
{
    DIR *folder = opendir(runtime_folder);
    if (folder == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        (void)unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    (void)rmdir(runtime_folder);
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

/* True: hugepages are to be used. */
static bool add_memory(struct cw_eal_arguments *arguments, const struct cw_eal_config *config)
{
    char megabytes[16];
    uint32_t wanted = config->memory_mb > 0 ? config->memory_mb : MEMORY_MB_DEFAULT;
    snprintf(megabytes, sizeof megabytes, "%u", wanted);
    bool has_hugepages = config->may_use_hugepages && are_hugepages_free(wanted);
    cw_eal_add(arguments, has_hugepages ? "--in-memory" : "--no-huge");
    cw_eal_add_pair(arguments, "-m", megabytes);
    return has_hugepages;
}

/* One that was killed gives its lock back only when its memory has been taken down: hundreds of MiB of it. */
static bool is_prefix_free_soon(void)
{
    for (unsigned waited_ms = 0; is_prefix_alive(); waited_ms += 10) {
        if (waited_ms >= PREFIX_WAIT_MS)
            return false;
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    return true;
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
    runtime_folder_set(config->file_prefix);
    if (!is_prefix_free_soon()) {
        snprintf(why, why_size, "DPDK: another engine runs with file prefix %s", config->file_prefix);
        return CW_REFUSED;
    }
    runtime_folder_remove();
    enum cw_status status = cw_eal_arguments_of(config, &arguments, why, why_size);
    if (status != CW_OK)
        return status;
    (void)signal(SIGPIPE, SIG_IGN); /* memif's driver writes to peers that may be gone */
    int lock = lock_hugepages();
    bool has_hugepages = add_memory(&arguments, config);
    int started = rte_eal_init(arguments.count, arguments.vector);
    if (lock >= 0)
        close(lock);
    if (started < 0) {
        snprintf(why, why_size, "DPDK does not start: %s; its own words are above%s", rte_strerror(rte_errno),
                 has_hugepages ? ". If they are about hugepages, somebody took those that were free a moment "
                                 "before: start it again"
                               : "");
        runtime_folder_remove();
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
    runtime_folder_remove();
}

bool cw_eal_has_hugepages(void)
{
    return rte_eal_has_hugepages() != 0;
}
