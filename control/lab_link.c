/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What joins the sites of a lab: memif sockets, or veth pairs between network namespaces. Every pair of sites
 * has a line of its own for each of its paths. The addresses are made up of the line's number; nothing leaves
 * this machine.
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

/* Pairs count up 0-1, 0-2, 1-2, and the lines of a pair stand together: with two sites path 1 is line 1. */
uint32_t cw_lab_lines(const struct cw_lab *lab, struct cw_lab_line lines[CW_LAB_LINES_MAX])
{
    uint32_t count = 0;
    for (uint32_t b = 1; b < cw_lab_engine_count(lab); b++) {
        for (uint32_t a = 0; a < b; a++) {
            for (uint32_t path = 0; path < lab->path_count; path++)
                lines[count++] = (struct cw_lab_line){
                    .number = (a + b - 1) * lab->path_count + path, .a = a, .b = b, .path = path};
        }
    }
    return count;
}

/* The device of a site's end. */
static void interface_name(const struct cw_lab *lab, const struct cw_lab_line *line, uint32_t site,
                           char *name, size_t size)
{
    snprintf(name, size, "cw%s%c%u", lab->tag, site == line->a ? 'a' : 'b', line->number);
}

/* The socket at which a site finds the line. No site's name has a '+'. */
static void socket_name(const struct cw_lab *lab, const struct cw_lab_line *line, uint32_t site, char *path,
                        size_t size)
{
    char number[8] = "";
    if (line->path > 0)
        snprintf(number, sizeof number, "+%u", line->path);
    if (*lab->wan)
        snprintf(path, size, "%s/link/wan%u-%u.sock", lab->directory, line->number,
                 site == line->a ? 0u : 1u);
    else
        snprintf(path, size, "%s/link/%s-%s%s.sock", lab->directory, lab->sites[line->a], lab->sites[line->b],
                 number);
}

/* The end of wanem's veth pair towards a site. */
static void wan_interface_name(const struct cw_lab *lab, const struct cw_lab_line *line, uint32_t site,
                               char *name, size_t size)
{
    snprintf(name, size, "cw%s%c%u", lab->tag, site == line->a ? 'x' : 'y', line->number);
}

void cw_lab_namespace(const struct cw_lab *lab, const char *site, char *name, size_t size)
{
    snprintf(name, size, "cw%s-%s", lab->tag, site);
}

/* No site is named so: two dashes after the tag. */
void cw_lab_wan_namespace(const struct cw_lab *lab, const struct cw_lab_line *line, char *name, size_t size)
{
    snprintf(name, size, "cw%s--wan%u", lab->tag, line->number);
}

static bool has_xdp(void)
{
    int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* XDP of several queues wants what veth has not. */
static void veth_device(const struct cw_lab *lab, uint32_t index, const char *interface, char *device,
                        size_t size)
{
    snprintf(device, size,
             has_xdp() && lab->net_lcores <= 1 ? "net_af_xdp%u,iface=%s,start_queue=0,queue_count=1"
                                               : "net_af_packet%u,iface=%s",
             index, interface);
}

static void memif_device(const struct cw_lab *lab, uint32_t index, bool is_server, const char *path,
                         char *device, size_t size)
{
    snprintf(device, size, "net_memif%u,role=%s,id=0,socket=%s,socket-abstract=no,bsize=%u", index,
             is_server ? "server" : "client", path, CW_MAX(2048u, (lab->mtu + 128 + 63) / 64 * 64));
}

static void site_device(const struct cw_lab *lab, const struct cw_lab_line *line, uint32_t site, char *device,
                        size_t size)
{
    char name[160];
    uint32_t other = site == line->a ? line->b : line->a;
    uint32_t peer =
        other < site ? other : other - 1; /* devices of an engine count up by peer, then by path */
    uint32_t index = peer * lab->path_count + line->path;
    if (lab->is_veth) {
        interface_name(lab, line, site, name, sizeof name);
        veth_device(lab, index, name, device, size);
    } else {
        socket_name(lab, line, site, name, sizeof name);
        memif_device(lab, index, site == line->a && !*lab->wan, name, device, size);
    }
}

/* wanem is the server at both its ends: whichever site is killed and started finds it. */
void cw_lab_wan_device(const struct cw_lab *lab, const struct cw_lab_line *line, uint32_t towards,
                       char *device, size_t size)
{
    char name[160];
    uint32_t index = towards == line->a ? 0 : 1;
    if (lab->is_veth) {
        wan_interface_name(lab, line, towards, name, sizeof name);
        veth_device(lab, index, name, device, size);
    } else {
        socket_name(lab, line, towards, name, sizeof name);
        memif_device(lab, index, true, name, device, size);
    }
}

/* The engines are not told the rate of an emulated WAN: at what rate they may send they find out. */
void cw_lab_write_path(const struct cw_lab *lab, const struct cw_lab_line *line, uint32_t site, void *file)
{
    FILE *to = file;
    char device[256];
    uint32_t number = line->number, local = site == line->a ? 1 : 2;
    bool has_rate = strncmp(lab->wan, "rate=", 5) == 0 || strstr(lab->wan, ",rate=") != NULL;
    site_device(lab, line, site, device, sizeof device);
    fprintf(to, "  - name: wan%u\n    remote: %s\n    device: \"%s", number,
            lab->sites[site == line->a ? line->b : line->a], device);
    fprintf(to,
            "\"\n    mtu: %u\n%s    local: {mac: \"02:ca:00:00:%02x:%02x\", ip: 10.77.%u.%u, port: %u}\n"
            "    peer: {mac: \"02:ca:00:00:%02x:%02x\", ip: 10.77.%u.%u, port: %u}\n",
            lab->mtu, has_rate ? "    rate_control: bbr\n" : "", number, local, number, local, PORT, number,
            3 - local, number, 3 - local, PORT);
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
static bool place_end(const struct cw_lab *lab, const struct cw_lab_line *line, uint32_t site)
{
    char space[64], name[16], mac[24], mtu[12];
    cw_lab_namespace(lab, lab->sites[site], space, sizeof space);
    interface_name(lab, line, site, name, sizeof name);
    snprintf(mac, sizeof mac, "02:ca:00:00:%02x:%02x", line->number, site == line->a ? 1u : 2u);
    snprintf(mtu, sizeof mtu, "%u", lab->mtu);
    return RUN("ip", "link", "set", name, "netns", space) &&
           RUN("ip", "-n", space, "link", "set", name, "address", mac, "mtu", mtu, "arp", "off", "up");
}

/* One end of wanem's, into its namespace. */
static bool place_wan_end(const struct cw_lab *lab, const struct cw_lab_line *line, uint32_t site)
{
    char space[64], name[16], mtu[12];
    cw_lab_wan_namespace(lab, line, space, sizeof space);
    wan_interface_name(lab, line, site, name, sizeof name);
    snprintf(mtu, sizeof mtu, "%u", lab->mtu);
    return RUN("ip", "link", "set", name, "netns", space) &&
           RUN("ip", "-n", space, "link", "set", name, "mtu", mtu, "arp", "off", "up");
}

/* Two veth pairs, from each site to the namespace of wanem. */
static bool make_wan_line(const struct cw_lab *lab, const struct cw_lab_line *line)
{
    char space[64], near[16], far[16];
    cw_lab_wan_namespace(lab, line, space, sizeof space);
    if (!RUN("ip", "netns", "add", space))
        return false;
    for (int end = 0; end < 2; end++) {
        uint32_t site = end ? line->b : line->a;
        interface_name(lab, line, site, near, sizeof near);
        wan_interface_name(lab, line, site, far, sizeof far);
        if (!RUN("ip", "link", "add", near, "type", "veth", "peer", "name", far) ||
            !place_end(lab, line, site) || !place_wan_end(lab, line, site))
            return false;
    }
    return true;
}

static bool make_line(const struct cw_lab *lab, const struct cw_lab_line *line)
{
    if (*lab->wan)
        return make_wan_line(lab, line);
    char near[16], far[16];
    interface_name(lab, line, line->a, near, sizeof near);
    interface_name(lab, line, line->b, far, sizeof far);
    return RUN("ip", "link", "add", near, "type", "veth", "peer", "name", far) &&
           place_end(lab, line, line->a) && place_end(lab, line, line->b);
}

bool cw_lab_may_have_spaces(const struct cw_lab *lab)
{
    char space[64];
    cw_lab_namespace(lab, "-probe", space, sizeof space); /* no site is named so */
    if (geteuid() != 0 || !RUN_QUIET("ip", "netns", "add", space))
        return false;
    return RUN_QUIET("ip", "netns", "del", space);
}

static bool make_spaces(const struct cw_lab *lab)
{
    char space[64];
    for (uint32_t i = 0; i < lab->site_count; i++) {
        cw_lab_namespace(lab, lab->sites[i], space, sizeof space);
        if (!RUN("ip", "netns", "add", space) || !RUN("ip", "-n", space, "link", "set", "lo", "up"))
            return false;
    }
    return !lab->has_witness || cw_lab_control_up(lab);
}

bool cw_lab_link_up(const struct cw_lab *lab, char *why, size_t why_size)
{
    struct cw_lab_line lines[CW_LAB_LINES_MAX];
    if (!lab->has_spaces)
        return true;
    snprintf(why, why_size,
             "the network namespaces of --link veth could not be made (it wants root and iproute2); "
             "--link memif does without");
    if (geteuid() != 0 || !make_spaces(lab))
        return false;
    for (uint32_t count = lab->is_veth ? cw_lab_lines(lab, lines) : 0, i = 0; i < count; i++) {
        if (!make_line(lab, &lines[i]))
            return false;
    }
    return true;
}

void cw_lab_link_down(const struct cw_lab *lab)
{
    struct cw_lab_line lines[CW_LAB_LINES_MAX];
    uint32_t count = cw_lab_lines(lab, lines);
    char space[64];
    for (uint32_t i = 0; i < lab->site_count && lab->has_spaces; i++) {
        cw_lab_namespace(lab, lab->sites[i], space, sizeof space);
        (void)RUN_QUIET("ip", "netns", "del", space); /* its interfaces go with it */
    }
    for (uint32_t i = 0; i < count && lab->is_veth && *lab->wan; i++) {
        cw_lab_wan_namespace(lab, &lines[i], space, sizeof space);
        (void)RUN_QUIET("ip", "netns", "del", space);
    }
}

void cw_lab_link_clean(const struct cw_lab *lab, const char *site)
{
    struct cw_lab_line lines[CW_LAB_LINES_MAX];
    uint32_t count = cw_lab_lines(lab, lines);
    char path[160];
    for (uint32_t i = 0; i < count && !lab->is_veth && !*lab->wan; i++) {
        if (strcmp(lab->sites[lines[i].a], site) != 0)
            continue; /* only the server makes the file */
        socket_name(lab, &lines[i], lines[i].a, path, sizeof path);
        (void)unlink(path);
    }
}
