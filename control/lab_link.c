/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What joins the sites of a lab: memif sockets, or veth pairs between network namespaces. Every pair of sites
 * has a path of its own. The addresses are made up of the pair's number; nothing leaves this machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/numbers.h"
#include "control/lab.h"

#define PORT 7400

uint32_t cw_lab_pair(uint32_t a, uint32_t b)
{
    return CW_MIN(a, b) + CW_MAX(a, b) - 1;
}

static void interface_name(const struct cw_lab *lab, uint32_t a, uint32_t b, char *name, size_t size)
{
    snprintf(name, size, "cw%s%c%u", lab->tag, a < b ? 'a' : 'b', cw_lab_pair(a, b));
}

/* The socket at which site a finds what leads to b. */
static void socket_name(const struct cw_lab *lab, uint32_t a, uint32_t b, char *path, size_t size)
{
    if (*lab->wan)
        snprintf(path, size, "%s/link/wan%u-%u.sock", lab->directory, cw_lab_pair(a, b), a < b ? 0u : 1u);
    else
        snprintf(path, size, "%s/link/%s-%s.sock", lab->directory, lab->sites[CW_MIN(a, b)],
                 lab->sites[CW_MAX(a, b)]);
}

/* The end of wanem's veth pair towards site a. */
static void wan_interface_name(const struct cw_lab *lab, uint32_t a, uint32_t b, char *name, size_t size)
{
    snprintf(name, size, "cw%s%c%u", lab->tag, a < b ? 'x' : 'y', cw_lab_pair(a, b));
}

void cw_lab_namespace(const struct cw_lab *lab, const char *site, char *name, size_t size)
{
    snprintf(name, size, "cw%s-%s", lab->tag, site);
}

/* No site is named so: two dashes after the tag. */
void cw_lab_wan_namespace(const struct cw_lab *lab, uint32_t pair, char *name, size_t size)
{
    snprintf(name, size, "cw%s--wan%u", lab->tag, pair);
}

static bool has_xdp(void)
{
    int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void veth_device(uint32_t index, const char *interface, char *device, size_t size)
{
    snprintf(device, size,
             has_xdp() ? "net_af_xdp%u,iface=%s,start_queue=0,queue_count=1" : "net_af_packet%u,iface=%s",
             index, interface);
}

static void memif_device(const struct cw_lab *lab, uint32_t index, bool is_server, const char *path,
                         char *device, size_t size)
{
    snprintf(device, size, "net_memif%u,role=%s,id=0,socket=%s,socket-abstract=no,bsize=%u", index,
             is_server ? "server" : "client", path, CW_MAX(2048u, (lab->mtu + 128 + 63) / 64 * 64));
}

static void site_device(const struct cw_lab *lab, uint32_t a, uint32_t b, char *device, size_t size)
{
    char name[160];
    uint32_t index = b < a ? b : b - 1; /* the number of this device within its engine */
    if (lab->is_veth) {
        interface_name(lab, a, b, name, sizeof name);
        veth_device(index, name, device, size);
    } else {
        socket_name(lab, a, b, name, sizeof name);
        memif_device(lab, index, a < b && !*lab->wan, name, device, size);
    }
}

/* wanem is the server at both its ends: whichever site is killed and started finds it. */
void cw_lab_wan_device(const struct cw_lab *lab, uint32_t a, uint32_t b, uint32_t towards, char *device,
                       size_t size)
{
    char name[160];
    uint32_t other = towards == a ? b : a;
    if (lab->is_veth) {
        wan_interface_name(lab, towards, other, name, sizeof name);
        veth_device(towards == a ? 0 : 1, name, device, size);
    } else {
        socket_name(lab, towards, other, name, sizeof name);
        memif_device(lab, towards == a ? 0 : 1, true, name, device, size);
    }
}

void cw_lab_write_path(const struct cw_lab *lab, uint32_t a, uint32_t b, void *file)
{
    FILE *to = file;
    char device[256];
    uint32_t pair = cw_lab_pair(a, b), local = a < b ? 1 : 2;
    site_device(lab, a, b, device, sizeof device);
    fprintf(to, "  - name: wan%u\n    remote: %s\n    device: \"%s", pair, lab->sites[b], device);
    fprintf(to,
            "\"\n    mtu: %u\n    local: {mac: \"02:ca:00:00:%02x:%02x\", ip: 10.77.%u.%u, port: %u}\n"
            "    peer: {mac: \"02:ca:00:00:%02x:%02x\", ip: 10.77.%u.%u, port: %u}\n",
            lab->mtu, pair, local, pair, local, PORT, pair, 3 - local, pair, 3 - local, PORT);
}

/* ---------------------------------------------------------------- running programs */

bool cw_lab_run(const char *const *arguments, bool is_quiet)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (is_quiet && (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout)))
            _exit(127);
        execvp(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#define RUN(...)       cw_lab_run((const char *const[]){__VA_ARGS__, NULL}, false)
#define RUN_QUIET(...) cw_lab_run((const char *const[]){__VA_ARGS__, NULL}, true)

/* ---------------------------------------------------------------- veth */

/* One end: into its namespace, with its address and MTU, up. */
static bool place_end(const struct cw_lab *lab, uint32_t a, uint32_t b)
{
    char space[64], name[16], mac[24], mtu[12];
    cw_lab_namespace(lab, lab->sites[a], space, sizeof space);
    interface_name(lab, a, b, name, sizeof name);
    snprintf(mac, sizeof mac, "02:ca:00:00:%02x:%02x", cw_lab_pair(a, b), a < b ? 1u : 2u);
    snprintf(mtu, sizeof mtu, "%u", lab->mtu);
    return RUN("ip", "link", "set", name, "netns", space) &&
           RUN("ip", "-n", space, "link", "set", name, "address", mac, "mtu", mtu, "arp", "off", "up");
}

/* One end of wanem's, into its namespace. */
static bool place_wan_end(const struct cw_lab *lab, uint32_t a, uint32_t b)
{
    char space[64], name[16], mtu[12];
    cw_lab_wan_namespace(lab, cw_lab_pair(a, b), space, sizeof space);
    wan_interface_name(lab, a, b, name, sizeof name);
    snprintf(mtu, sizeof mtu, "%u", lab->mtu);
    return RUN("ip", "link", "set", name, "netns", space) &&
           RUN("ip", "-n", space, "link", "set", name, "mtu", mtu, "arp", "off", "up");
}

/* Two veth pairs, from each site to the namespace of wanem. */
static bool make_wan_pair(const struct cw_lab *lab, uint32_t a, uint32_t b)
{
    char space[64], near[16], far[16];
    cw_lab_wan_namespace(lab, cw_lab_pair(a, b), space, sizeof space);
    if (!RUN("ip", "netns", "add", space))
        return false;
    for (int end = 0; end < 2; end++) {
        uint32_t site = end ? b : a, other = end ? a : b;
        interface_name(lab, site, other, near, sizeof near);
        wan_interface_name(lab, site, other, far, sizeof far);
        if (!RUN("ip", "link", "add", near, "type", "veth", "peer", "name", far) ||
            !place_end(lab, site, other) || !place_wan_end(lab, site, other))
            return false;
    }
    return true;
}

static bool make_pair(const struct cw_lab *lab, uint32_t a, uint32_t b)
{
    if (*lab->wan)
        return make_wan_pair(lab, a, b);
    char near[16], far[16];
    interface_name(lab, a, b, near, sizeof near);
    interface_name(lab, b, a, far, sizeof far);
    return RUN("ip", "link", "add", near, "type", "veth", "peer", "name", far) && place_end(lab, a, b) &&
           place_end(lab, b, a);
}

bool cw_lab_link_up(const struct cw_lab *lab, char *why, size_t why_size)
{
    char space[64];
    if (!lab->is_veth)
        return true;
    snprintf(why, why_size,
             "the network namespaces of --link veth could not be made (it wants root and iproute2); "
             "--link memif does without");
    if (geteuid() != 0)
        return false;
    for (uint32_t i = 0; i < lab->site_count; i++) {
        cw_lab_namespace(lab, lab->sites[i], space, sizeof space);
        if (!RUN("ip", "netns", "add", space) || !RUN("ip", "-n", space, "link", "set", "lo", "up"))
            return false;
    }
    for (uint32_t a = 0; a < lab->site_count; a++) {
        for (uint32_t b = a + 1; b < lab->site_count; b++) {
            if (!make_pair(lab, a, b))
                return false;
        }
    }
    return true;
}

void cw_lab_link_down(const struct cw_lab *lab)
{
    char space[64];
    for (uint32_t i = 0; i < lab->site_count && lab->is_veth; i++) {
        cw_lab_namespace(lab, lab->sites[i], space, sizeof space);
        (void)RUN_QUIET("ip", "netns", "del", space); /* its interfaces go with it */
    }
    for (uint32_t pair = 0; pair < CW_LAB_PAIRS_MAX && lab->is_veth && *lab->wan; pair++) {
        cw_lab_wan_namespace(lab, pair, space, sizeof space);
        (void)RUN_QUIET("ip", "netns", "del", space);
    }
}

void cw_lab_link_clean(const struct cw_lab *lab, const char *site)
{
    char path[160];
    for (uint32_t a = 0; a < lab->site_count && !lab->is_veth && !*lab->wan; a++) {
        for (uint32_t b = a + 1; b < lab->site_count; b++) {
            if (strcmp(lab->sites[a], site) != 0)
                continue; /* only the server makes the file */
            socket_name(lab, a, b, path, sizeof path);
            (void)unlink(path);
        }
    }
}
