/* SPDX-License-Identifier: BSD-3-Clause */
/* See steer.h. */
#include "io/steer.h"

#include <errno.h>
#include <linux/capability.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/steer_settings.h"
#include "steer_object.h"

#define WAIT_STEPS  200u /* of 10 ms */
#define DRIVER_MODE 0u   /* or, where the card's driver has none, the kernel's own: as the DPDK driver asks */

static_assert(sizeof CW_STEER_MARK - 1 == sizeof((struct cw_steer_settings *)0)->mark, "no byte is left out");
static_assert(sizeof CW_STEER_PROGRAM <= BPF_OBJ_NAME_LEN, "or the kernel cuts it");

/* What the process must be allowed: to look at a program that is there, to put one there, to have its socket.
 */
static const struct {
    const char *name;
    unsigned number;
} rights[] = {
    {"CAP_SYS_ADMIN", CAP_SYS_ADMIN}, {"CAP_NET_ADMIN", CAP_NET_ADMIN}, {"CAP_NET_RAW", CAP_NET_RAW}};

static enum cw_status check_rights(char *why, size_t why_size)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3] = {0};
    char missing[64] = "";
    if (syscall(SYS_capget, &head, have) != 0)
        return CW_OK; /* what is missing is said by who asks for it */
    for (size_t i = 0; i < CW_COUNT_OF(rights); i++) {
        if ((have[CAP_TO_INDEX(rights[i].number)].effective & CAP_TO_MASK(rights[i].number)) == 0)
            snprintf(missing + strlen(missing), sizeof missing - strlen(missing), "%s%s",
                     missing[0] != 0 ? ", " : "", rights[i].name);
    }
    if (missing[0] == 0)
        return CW_OK;
    snprintf(why, why_size,
             "this process may not have an XDP program there: it lacks %s; start it as root, or give its "
             "service CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_NET_RAW",
             missing);
    return CW_REFUSED;
}

/* The program at the interface: its descriptor and name; -ENOENT when there is none, or another negative
 * errno. */
static int find_program(unsigned interface, struct bpf_prog_info *info)
{
    uint32_t id = 0, length = sizeof *info;
    int error = bpf_xdp_query_id((int)interface, DRIVER_MODE, &id);
    if (error != 0 || id == 0)
        return error != 0 ? error : -ENOENT;
    int program = bpf_prog_get_fd_by_id(id);
    memset(info, 0, sizeof *info);
    error = program >= 0 ? bpf_obj_get_info_by_fd(program, info, &length) : 0;
    if (error == 0)
        return program;
    close(program);
    return error;
}

/* All rights and still not allowed: those rights are a container's. */
static enum cw_status say_not_seen(int error, char *why, size_t why_size)
{
    snprintf(why, why_size, "which XDP program it has cannot be seen: %s%s", strerror(-error),
             error == -EPERM ? "; start the engine outside of the container, or let that use bpf()" : "");
    return CW_IO;
}

/* What is held by a link cannot be taken off; libbpf would say so on stderr each time. */
static bool take_off(unsigned interface)
{
    libbpf_print_fn_t print = libbpf_set_print(NULL);
    bool is_off = bpf_xdp_detach((int)interface, DRIVER_MODE, NULL) == 0;
    (void)libbpf_set_print(print);
    return is_off;
}

enum cw_status cw_steer_clear(unsigned interface, char *why, size_t why_size)
{
    struct bpf_prog_info info;
    enum cw_status status = check_rights(why, why_size);
    uint32_t any;
    if (status == CW_OK && bpf_prog_get_next_id(0, &any) == -EPERM)
        return say_not_seen(-EPERM, why, why_size);
    for (unsigned i = 0; status == CW_OK && i < WAIT_STEPS; i++) {
        int program = find_program(interface, &info);
        if (program == -ENOENT)
            return CW_OK;
        if (program < 0)
            return say_not_seen(program, why, why_size);
        close(program);
        if (strcmp(info.name, CW_STEER_PROGRAM) != 0) {
            char name[IF_NAMESIZE] = "IFACE";
            (void)if_indextoname(interface, name);
            snprintf(why, why_size,
                     "it has the XDP program %s already, which is not ours; if nobody needs it: "
                     "ip link set dev %s xdp off",
                     info.name, name);
            return CW_REFUSED;
        }
        if (take_off(interface))
            return CW_OK;
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    if (status == CW_OK)
        snprintf(why, why_size,
                 "another engine takes a path's datagrams there; an interface serves one path");
    return CW_REFUSED;
}

static bool write_all(int fd, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written <= 0)
            return false;
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}

enum cw_status cw_steer_open(struct cw_steer *steer, unsigned interface, const struct cw_ip *local,
                             const struct cw_ip *remote, uint16_t local_udp, char *why, size_t why_size)
{
    struct cw_steer_settings settings = {
        .mark = CW_STEER_MARK, .local_udp = htobe16(local_udp), .version = local->version};
    CW_ASSERT(local->version == remote->version);
    memcpy(settings.local, local->bytes, sizeof settings.local);
    memcpy(settings.remote, remote->bytes, sizeof settings.remote);
    *steer = (struct cw_steer){.interface = interface, .image = -1, .link = -1};
    uint8_t *object = malloc(sizeof cw_steer_object);
    if (object != NULL) {
        memcpy(object, cw_steer_object, sizeof cw_steer_object);
        uint8_t *at = memmem(object, sizeof cw_steer_object, CW_STEER_MARK, sizeof settings.mark);
        CW_ASSERT(at != NULL && (size_t)(object + sizeof cw_steer_object - at) >= sizeof settings);
        memcpy(at, &settings, sizeof settings);
        steer->image = memfd_create(CW_STEER_PROGRAM, MFD_CLOEXEC);
    }
    if (steer->image < 0 || !write_all(steer->image, object, sizeof cw_steer_object)) {
        snprintf(why, why_size, "no memory for its XDP program: %s", strerror(errno));
        free(object);
        cw_steer_close(steer);
        return CW_NO_SPACE;
    }
    free(object);
    snprintf(steer->path, sizeof steer->path, "/proc/self/fd/%d", steer->image);
    return CW_OK;
}

enum cw_status cw_steer_hold(struct cw_steer *steer, char *why, size_t why_size)
{
    struct bpf_prog_info info;
    int error = 0, program = find_program(steer->interface, &info);
    if (program < 0 && program != -ENOENT)
        return say_not_seen(program, why, why_size);
    if (program < 0 || strcmp(info.name, CW_STEER_PROGRAM) != 0) {
        snprintf(why, why_size, "its XDP program has gone as soon as it was there");
        if (program >= 0)
            close(program);
        return CW_IO;
    }
    if (take_off(steer->interface)) {
        steer->link = bpf_link_create(program, (int)steer->interface, BPF_XDP, NULL);
        if (steer->link < 0)
            error = bpf_xdp_attach((int)steer->interface, program, DRIVER_MODE, NULL);
    }
    close(program);
    close(steer->image);
    steer->image = -1;
    if (error != 0)
        snprintf(why, why_size, "its XDP program cannot be fixed to it: %s", strerror(-error));
    return error == 0 ? CW_OK : CW_IO;
}

void cw_steer_close(struct cw_steer *steer)
{
    if (steer->interface == 0)
        return;
    if (steer->image >= 0)
        close(steer->image);
    if (steer->link >= 0)
        close(steer->link);
    steer->interface = 0;
}
