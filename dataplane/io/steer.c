/* SPDX-License-Identifier: BSD-3-Clause */
/* See steer.h. */
#include "io/steer.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

/* The program at the interface: its descriptor and name, or -1 when there is none. */
static int find_program(unsigned interface, struct bpf_prog_info *info)
{
    uint32_t id = 0, length = sizeof *info;
    if (bpf_xdp_query_id((int)interface, DRIVER_MODE, &id) != 0 || id == 0)
        return -1;
    int program = bpf_prog_get_fd_by_id(id);
    memset(info, 0, sizeof *info);
    if (program >= 0 && bpf_obj_get_info_by_fd(program, info, &length) != 0) {
        close(program);
        return -1;
    }
    return program;
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
    for (unsigned i = 0; i < WAIT_STEPS; i++) {
        int program = find_program(interface, &info);
        if (program < 0)
            return CW_OK;
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
    snprintf(why, why_size, "another engine takes a path's datagrams there; an interface serves one path");
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
