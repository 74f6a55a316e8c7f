/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files and sockets are found first, then the process that has one of them, in /proc. Files are known by their numbers, not
 * by their names: a container may have others. Sockets are known by their inodes.
 *
 * A card of vfio is also open in whoever has only the device, and neither its group nor a file of it (it was given the
 * device by a socket, or has closed the others). Which card that is the kernel tells since Linux 6.18. One before it tells
 * that the group of the card is busy, as it is while a device of it is open; then whoever has such a device, and no file of
 * a group that it would be of, may be the one.
 *
 * Many kernels have no xdp_diag, which tells of AF_XDP sockets (where it is a module, to ask loads it). Our own ports on a
 * shared interface are found all the same, as each holds its XDP program there by a link, which tells its interface. For
 * others there is then their number in this network namespace: 0, or it is not known.
 */
#include "io/users.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/xdp_diag.h>

#define FILES_MAX    8u
#define SOCKETS_MAX  64u
#define PATH_SIZE    768u
#define ANSWER_BYTES 16384u
#define ANSWERS_MAX  4096u
#define OURS         "causeway-" /* how our programs begin */
#define VFIO_DEVICE  "anon_inode:[vfio-device]"

struct sockets {
    unsigned long inodes[SOCKETS_MAX];
    unsigned count;
};

/* What a process is looked through for. */
struct search {
    dev_t files[FILES_MAX];
    unsigned file_count;
    struct sockets xdp, packet; /* whosesoever; and only of ours */
    unsigned interface;         /* of XDP programs of ours; 0 none */
    char card[PATH_SIZE];       /* that devices of vfio may be: its folder in /sys/devices; "" none */
    char group[32];             /* its IOMMU group */
    char suspects[256];         /* who has such a device, and of which card is not told */
};

struct process {
    const char *id;
    char name[32];
    bool is_ours, is_in_our_network;
    bool has_unknown, has_group; /* a device of vfio of a card that is not told; a file of a group */
};

/* The first line, without its end. */
static bool read_line(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    bool is_good = file != NULL && fgets(text, (int)size, file) != NULL;
    if (file != NULL)
        fclose(file);
    text[is_good ? strcspn(text, "\n") : 0] = 0;
    return is_good;
}

static bool read_link(const char *path, char *target, size_t size)
{
    ssize_t length = readlink(path, target, size - 1);
    target[length > 0 ? length : 0] = 0;
    return length > 0;
}

/* ---------------------------------------------------------------- files of a card */

/* A file "dev" of /sys: "243:0". */
static void add_file(struct search *search, const char *path)
{
    char text[32];
    unsigned from, to;
    if (search->file_count < FILES_MAX && read_line(path, text, sizeof text) &&
        sscanf(text, "%u:%u", &from, &to) == 2)
        search->files[search->file_count++] = makedev(from, to);
}

/* Of each of its kind below the card: CARD/uio/uio0/dev. */
static void add_children(struct search *search, const char *card, const char *kind)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%.256s/%s", card, kind);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "%.256s/%s/%.256s/dev", card, kind, entry->d_name);
        if (entry->d_name[0] != '.')
            add_file(search, path);
    }
    if (folder != NULL)
        closedir(folder);
}

/* The name of the card's IOMMU group: "17". */
static bool find_group(const char *card, char *name, size_t size)
{
    char path[PATH_SIZE], target[PATH_SIZE];
    snprintf(path, sizeof path, "%.256s/iommu_group", card);
    const char *slash = read_link(path, target, sizeof target) ? strrchr(target, '/') : NULL;
    snprintf(name, size, "%.24s", slash != NULL ? slash + 1 : "");
    return name[0] != 0;
}

/* A file of its group is there while a device of it is driven by vfio. */
static void add_group(struct search *search, const char *card)
{
    char path[PATH_SIZE];
    if (!find_group(card, search->group, sizeof search->group))
        return;
    snprintf(path, sizeof path, "/sys/class/vfio/%s/dev", search->group);
    add_file(search, path);
    snprintf(path, sizeof path, "/sys/class/vfio/noiommu-%s/dev", search->group);
    add_file(search, path);
    char *folder = search->file_count > 0 ? realpath(card, NULL) : NULL;
    snprintf(search->card, sizeof search->card, "%s", folder != NULL ? folder : "");
    free(folder);
}

static void add_files(struct search *search, const char *card)
{
    add_group(search, card);
    add_children(search, card, "vfio-dev");
    add_children(search, card, "uio");
    add_children(search, card, "infiniband_verbs");
}

/* The file of a group is open once only, and stays so while a device of it is open; so whoever may open it is told of
 * processes that cannot be seen. No other is tried: to close a file of uio stops the card below whoever else has it open.
 * EBUSY; 0: nobody has any of it, or there is no such group; else the errno: that cannot be told. path: of its file. */
static int ask_group(const char *group, char path[static PATH_SIZE])
{
    int error = 0;
    for (unsigned i = 0; i < 2 && error == 0; i++) {
        const char *kind = i == 0 ? "" : "noiommu-";
        snprintf(path, PATH_SIZE, "/sys/class/vfio/%s%.24s", kind, group);
        bool is_there = access(path, F_OK) == 0;
        snprintf(path, PATH_SIZE, "/dev/vfio/%s%.24s", kind, group);
        int file = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (file >= 0)
            close(file);
        else if (is_there || errno == EBUSY)
            error = errno;
    }
    return error;
}

/* ---------------------------------------------------------------- sockets of an interface */

static void add_socket(struct sockets *sockets, unsigned long inode)
{
    if (sockets->count < SOCKETS_MAX)
        sockets->inodes[sockets->count++] = inode;
}

static bool has_socket(const struct sockets *sockets, unsigned long inode)
{
    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->inodes[i] == inode)
            return true;
    return false;
}

static void add_packet_sockets(struct search *search)
{
    char line[256];
    FILE *file = fopen("/proc/self/net/packet", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        unsigned interface;
        unsigned long inode;
        if (sscanf(line, "%*s %*u %*u %*x %u %*u %*u %*u %lu", &interface, &inode) == 2 &&
            interface == search->interface)
            add_socket(&search->packet, inode);
    }
    if (file != NULL)
        fclose(file);
}

/* Of a message of the kernel about one AF_XDP socket: the interface that it is bound to; 0 none. */
static unsigned interface_of(const struct nlmsghdr *head)
{
    const struct xdp_diag_msg *message = NLMSG_DATA(head);
    const struct rtattr *attribute = (const void *)((const char *)message + NLMSG_ALIGN(sizeof *message));
    int left = (int)NLMSG_PAYLOAD(head, sizeof *message);
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        struct xdp_diag_info info;
        if (attribute->rta_type != XDP_DIAG_INFO || RTA_PAYLOAD(attribute) < sizeof info)
            continue;
        memcpy(&info, RTA_DATA(attribute), sizeof info);
        return info.ifindex;
    }
    return 0;
}

/* 1: it was the last; 0: more come; else the errno, negative. */
static int judge_message(const struct nlmsghdr *head)
{
    const struct nlmsgerr *error = NLMSG_DATA(head);
    if (head->nlmsg_type == NLMSG_DONE)
        return 1;
    if (head->nlmsg_type == NLMSG_ERROR && head->nlmsg_len >= NLMSG_LENGTH(sizeof *error) && error->error < 0)
        return error->error;
    bool is_good = head->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
                   head->nlmsg_len >= NLMSG_LENGTH(sizeof(struct xdp_diag_msg));
    return is_good ? 0 : -EPROTO;
}

int cw_users_take_sockets(const void *answer, size_t length, unsigned interface, unsigned long *inodes,
                          unsigned max, unsigned *count)
{
    int state = 0;
    for (size_t at = 0; state == 0 && at < length;) {
        const struct nlmsghdr *head = (const void *)((const char *)answer + at);
        if (length - at < sizeof *head || head->nlmsg_len < sizeof *head || head->nlmsg_len > length - at)
            return -EPROTO;
        state = judge_message(head);
        const struct xdp_diag_msg *message = NLMSG_DATA(head);
        if (state == 0 && message->xdiag_family == AF_XDP && interface_of(head) == interface && *count < max)
            inodes[(*count)++] = message->xdiag_ino;
        at += NLMSG_ALIGN(head->nlmsg_len);
    }
    return state;
}

/* 0 or the errno. */
static int add_xdp_sockets(struct search *search)
{
    const struct timeval patience = {.tv_sec = 1};
    const struct {
        struct nlmsghdr head;
        struct xdp_diag_req body;
    } question = {
        .head = {.nlmsg_len = sizeof question,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = AF_XDP, .xdiag_show = XDP_SHOW_INFO},
    };
    _Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
    int state = 0, file = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (file < 0)
        return errno;
    if (setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        send(file, &question, sizeof question, 0) != (ssize_t)sizeof question)
        state = -errno;
    for (unsigned i = 0; i < ANSWERS_MAX && state == 0; i++) {
        ssize_t length = recv(file, answer, sizeof answer, 0);
        state = length < 0 ? -errno
                           : cw_users_take_sockets(answer, (size_t)length, search->interface,
                                                   search->xdp.inodes, SOCKETS_MAX, &search->xdp.count);
    }
    close(file);
    return state > 0 ? 0 : state == 0 ? EPROTO : -state;
}

/* In this network namespace, on whichever interface; or that cannot be told. */
static bool has_xdp_sockets(void)
{
    char line[256];
    long count = 0;
    FILE *file = fopen("/proc/self/net/protocols", "re");
    if (file == NULL)
        return true;
    while (fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "XDP %*u %ld", &count);
    fclose(file);
    return count != 0;
}

/* ---------------------------------------------------------------- processes */

/* "/dev/vfio/17", "/dev/vfio/noiommu-0": and not "/dev/vfio/vfio", which every user of vfio may have. */
static bool is_group(const char *target)
{
    static const char folder[] = "/dev/vfio/", other[] = "noiommu-";
    const char *name = target + strlen(folder);
    if (strncmp(target, folder, strlen(folder)) != 0)
        return false;
    return isdigit((unsigned char)name[0]) || strncmp(name, other, strlen(other)) == 0;
}

/* What an open device of vfio is to the card: itself, or of its group, which is one user's as a whole. */
static const char *what_device(const struct search *search, struct process *process, const char *name)
{
    char path[PATH_SIZE], line[PATH_SIZE], group[32], card[PATH_SIZE] = "";
    snprintf(path, sizeof path, "/proc/%.32s/fdinfo/%.32s", process->id, name);
    FILE *file = fopen(path, "re");
    while (file != NULL && card[0] == 0 && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "vfio-device-syspath: %511s", card);
    if (file != NULL)
        fclose(file);
    process->has_unknown = process->has_unknown || card[0] == 0;
    if (card[0] == 0 || strcmp(card, search->card) == 0)
        return card[0] != 0 ? "has it open" : NULL;
    bool is_beside = find_group(card, group, sizeof group) && strcmp(group, search->group) == 0;
    return is_beside ? "has another card of its IOMMU group open" : NULL;
}

static bool is_file(const struct search *search, const char *path, const char *target)
{
    static const char *const kinds[] = {"vfio", "uio", "uverbs"};
    struct stat stat_of;
    bool may_be = false;
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        may_be = may_be || strstr(target, kinds[i]) != NULL;
    if (!may_be) /* not to touch files that hang */
        return false;
    if (stat(path, &stat_of) != 0 || !S_ISCHR(stat_of.st_mode))
        return false;
    for (unsigned i = 0; i < search->file_count; i++)
        if (search->files[i] == stat_of.st_rdev)
            return true;
    return false;
}

/* Interfaces are counted in each network namespace anew. */
static bool is_program(const struct search *search, const struct process *process, const char *name)
{
    char path[PATH_SIZE], line[128];
    unsigned interface = 0;
    bool is_xdp = false;
    if (search->interface == 0 || !process->is_ours || !process->is_in_our_network)
        return false;
    snprintf(path, sizeof path, "/proc/%.32s/fdinfo/%.32s", process->id, name);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        is_xdp = is_xdp || strcmp(line, "link_type:\txdp\n") == 0;
        (void)sscanf(line, "ifindex: %u", &interface);
    }
    if (file != NULL)
        fclose(file);
    return is_xdp && interface == search->interface;
}

/* What it has by this descriptor; NULL: nothing that is looked for. */
static const char *what_is(const struct search *search, struct process *process, const char *name)
{
    char path[PATH_SIZE], target[64];
    unsigned long inode;
    snprintf(path, sizeof path, "/proc/%.32s/fd/%.32s", process->id, name);
    if (!read_link(path, target, sizeof target))
        return NULL;
    if (sscanf(target, "socket:[%lu]", &inode) == 1) {
        if (has_socket(&search->xdp, inode))
            return "has an AF_XDP socket on it";
        return process->is_ours && has_socket(&search->packet, inode) ? "has a port on it" : NULL;
    }
    if (strcmp(target, "anon_inode:bpf_link") == 0)
        return is_program(search, process, name) ? "has a port on it" : NULL;
    if (strcmp(target, VFIO_DEVICE) == 0)
        return search->card[0] != 0 ? what_device(search, process, name) : NULL;
    process->has_group = process->has_group || is_group(target);
    return is_file(search, path, target) ? "has it open" : NULL;
}

static const char *what_has(const struct search *search, struct process *process)
{
    char path[PATH_SIZE], network[64], ours[64];
    const char *what = NULL;
    snprintf(path, sizeof path, "/proc/%.32s/comm", process->id);
    (void)read_line(path, process->name, sizeof process->name);
    process->is_ours = strncmp(process->name, OURS, strlen(OURS)) == 0;
    snprintf(path, sizeof path, "/proc/%.32s/ns/net", process->id);
    process->is_in_our_network = read_link(path, network, sizeof network) &&
                                 read_link("/proc/self/ns/net", ours, sizeof ours) &&
                                 strcmp(network, ours) == 0;
    snprintf(path, sizeof path, "/proc/%.32s/fd", process->id);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && what == NULL && (entry = readdir(folder)) != NULL;)
        what = entry->d_name[0] != '.' ? what_is(search, process, entry->d_name) : NULL;
    if (folder != NULL)
        closedir(folder);
    return what;
}

static void add_suspect(struct search *search, const struct process *process)
{
    size_t length = strlen(search->suspects);
    if (process->has_unknown && !process->has_group)
        snprintf(search->suspects + length, sizeof search->suspects - length, "%s%s, process %.16s",
                 length > 0 ? "; " : "", process->name, process->id);
}

static bool find_process(struct search *search, char *words, size_t size)
{
    const char *what = NULL;
    bool is_something = search->file_count + search->xdp.count + search->packet.count > 0;
    is_something = is_something || search->interface > 0 || search->card[0] != 0;
    DIR *folder = is_something ? opendir("/proc") : NULL;
    for (struct dirent *entry; folder != NULL && what == NULL && (entry = readdir(folder)) != NULL;) {
        struct process process = {.id = entry->d_name};
        what = isdigit((unsigned char)entry->d_name[0]) ? what_has(search, &process) : NULL;
        if (what != NULL)
            snprintf(words, size, "%s, process %.16s, %s", process.name, process.id, what);
        else
            add_suspect(search, &process);
    }
    if (folder != NULL)
        closedir(folder);
    return what != NULL;
}

/* ---------------------------------------------------------------- both */

/* Nobody was found for certain. */
static bool may_be_open(const struct search *search, char *words, size_t size)
{
    static const char device[] = "has a device of vfio open, this kernel does not tell of which card";
    char path[PATH_SIZE];
    int error = ask_group(search->group, path);
    if (error == EBUSY && search->suspects[0] != 0)
        snprintf(words, size, "its IOMMU group is busy; who %s: %s", device, search->suspects);
    else if (error == EBUSY)
        snprintf(words, size, "a process that cannot be seen from here has it open");
    else if (error != 0 && search->suspects[0] != 0)
        snprintf(words, size,
                 "it may be open, and %s, which would show that, cannot be opened (%s); who %s: %s", path,
                 strerror(error), device, search->suspects);
    return words[0] != 0;
}

bool cw_users_of_card(const char *card, char *words, size_t size)
{
    struct search search = {.interface = 0};
    words[0] = 0;
    add_files(&search, card);
    if (find_process(&search, words, size))
        return true;
    return search.group[0] != 0 && may_be_open(&search, words, size);
}

bool cw_users_of_interface(const char *interface, char *words, size_t size)
{
    char card[PATH_SIZE];
    struct search search = {.interface = if_nametoindex(interface)};
    words[0] = 0;
    if (search.interface == 0)
        return false;
    snprintf(card, sizeof card, "/sys/class/net/%.32s/device", interface);
    add_files(&search, card);
    add_packet_sockets(&search);
    int error = add_xdp_sockets(&search);
    if (find_process(&search, words, size))
        return true;
    if (search.xdp.count > 0) {
        snprintf(words, size, "a process that cannot be seen from here has an AF_XDP socket on it");
        return true;
    }
    if (error != 0 && has_xdp_sockets())
        snprintf(words, size,
                 "whether a program has an AF_XDP socket on %s is not known: there are some, and the "
                 "kernel does not tell where (%s)",
                 interface, error == ENOENT ? "it has no xdp_diag" : strerror(error));
    return false;
}
