/* SPDX-License-Identifier: BSD-3-Clause */
/* See netlink.h. */
#include "io/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "base/assert.h"
#include "base/numbers.h"

#define ANSWER_BYTES_MAX 8192u
#define ANSWERS_MAX      16u /* late ones of questions that were given up */
#define CHANGES_AT_ONCE  256u
#define USABLE           (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE)

static const unsigned groups[] = {RTNLGRP_NEIGH,      RTNLGRP_LINK,        RTNLGRP_IPV4_ROUTE,
                                  RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR};

struct question {
    struct nlmsghdr head;
    union {
        struct rtmsg route;
        struct ndmsg neighbour;
    };
    uint8_t attributes[128];
};

/* The kernel's answer, aligned as it is read. */
struct answer {
    _Alignas(struct nlmsghdr) uint8_t bytes[ANSWER_BYTES_MAX];
};

int cw_netlink_open(struct cw_netlink *netlink)
{
    const struct timeval patience = {.tv_sec = 1};
    const struct sockaddr_nl any = {.nl_family = AF_NETLINK};
    int error = 0;
    netlink->sequence = 0;
    netlink->questions = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    netlink->changes = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (netlink->questions < 0 || netlink->changes < 0 ||
        setsockopt(netlink->questions, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        bind(netlink->changes, (const struct sockaddr *)&any, sizeof any) != 0)
        error = -errno;
    for (unsigned i = 0; i < CW_COUNT_OF(groups) && error == 0; i++) {
        if (setsockopt(netlink->changes, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof groups[i]) !=
            0)
            error = -errno;
    }
    if (error != 0)
        cw_netlink_close(netlink);
    return error;
}

void cw_netlink_close(struct cw_netlink *netlink)
{
    if (netlink->questions >= 0)
        close(netlink->questions);
    if (netlink->changes >= 0)
        close(netlink->changes);
    netlink->questions = netlink->changes = -1;
}

static void add(struct question *question, uint16_t type, const void *value, size_t length)
{
    size_t at = NLMSG_ALIGN(question->head.nlmsg_len), whole = RTA_LENGTH(length);
    CW_ASSERT(at + RTA_ALIGN(whole) <= sizeof *question);
    struct rtattr *attribute = (struct rtattr *)((uint8_t *)question + at);
    attribute->rta_type = type;
    attribute->rta_len = (uint16_t)whole;
    memcpy(RTA_DATA(attribute), value, length);
    question->head.nlmsg_len = (uint32_t)(at + whole);
}

/* NULL, with errno: no answer, or the kernel says no. An acknowledgement is an answer without anything in it.
 */
static const struct nlmsghdr *ask(struct cw_netlink *netlink, struct question *question,
                                  struct answer *answer)
{
    question->head.nlmsg_seq = ++netlink->sequence;
    if (send(netlink->questions, question, question->head.nlmsg_len, 0) < 0)
        return NULL;
    for (unsigned i = 0; i < ANSWERS_MAX; i++) {
        ssize_t got = recv(netlink->questions, answer->bytes, sizeof answer->bytes, 0);
        const struct nlmsghdr *head = (const struct nlmsghdr *)answer->bytes;
        if (got < 0)
            return NULL;
        if (!NLMSG_OK(head, (size_t)got) || head->nlmsg_seq != netlink->sequence)
            continue;
        if (head->nlmsg_type != NLMSG_ERROR)
            return head;
        const struct nlmsgerr *error = NLMSG_DATA(head);
        errno = head->nlmsg_len >= NLMSG_LENGTH(sizeof *error) ? -error->error : EPROTO;
        return errno == 0 ? head : NULL;
    }
    errno = ETIMEDOUT;
    return NULL;
}

/* The attribute of this type of at least so many bytes; NULL: none. body: of what stands before them. */
static const struct rtattr *find(const struct nlmsghdr *head, size_t body, uint16_t type, size_t bytes_min)
{
    const struct rtattr *attribute = (const struct rtattr *)((const uint8_t *)head + NLMSG_SPACE(body));
    long left = (long)head->nlmsg_len - (long)NLMSG_SPACE(body);
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type == type)
            return RTA_PAYLOAD(attribute) >= bytes_min ? attribute : NULL;
    }
    return NULL;
}

static uint8_t family_of(const struct cw_ip *ip)
{
    return ip->version == 6 ? AF_INET6 : AF_INET;
}

static struct cw_ip ip_of(uint8_t family, const uint8_t *bytes)
{
    struct cw_ip ip = {.version = family == AF_INET6 ? 6 : 4};
    memcpy(ip.bytes, bytes, cw_ip_size(&ip));
    return ip;
}

/* A gateway of the same version, or of the other one; without any the packet goes to its target. */
static struct cw_ip gateway_of(const struct nlmsghdr *head, const struct cw_ip *to)
{
    const struct rtattr *gateway = find(head, sizeof(struct rtmsg), RTA_GATEWAY, cw_ip_size(to));
    if (gateway != NULL)
        return ip_of(family_of(to), RTA_DATA(gateway));
    const struct rtattr *via = find(head, sizeof(struct rtmsg), RTA_VIA, sizeof(struct rtvia) + 4);
    if (via == NULL)
        return *to;
    const struct rtvia *it = RTA_DATA(via);
    if (it->rtvia_family == AF_INET6 && RTA_PAYLOAD(via) < sizeof *it + 16)
        return *to;
    return ip_of((uint8_t)it->rtvia_family, it->rtvia_addr);
}

enum cw_netlink_way cw_netlink_route(struct cw_netlink *netlink, unsigned interface, const struct cw_ip *from,
                                     const struct cw_ip *to, struct cw_ip *next_hop)
{
    uint8_t bits = (uint8_t)(cw_ip_size(to) * 8);
    struct answer answer;
    struct question question = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                                         .nlmsg_type = RTM_GETROUTE,
                                         .nlmsg_flags = NLM_F_REQUEST},
                                .route = {.rtm_family = family_of(to),
                                          .rtm_dst_len = bits,
                                          .rtm_src_len = bits,
                                          .rtm_flags = RTM_F_LOOKUP_TABLE}};
    add(&question, RTA_DST, to->bytes, cw_ip_size(to));
    add(&question, RTA_SRC, from->bytes, cw_ip_size(from));
    add(&question, RTA_OIF, &interface, sizeof interface);
    const struct nlmsghdr *head = ask(netlink, &question, &answer);
    if (head == NULL || head->nlmsg_type != RTM_NEWROUTE ||
        head->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
        return CW_NETLINK_NO_WAY;
    const struct rtmsg *route = NLMSG_DATA(head);
    const struct rtattr *out = find(head, sizeof *route, RTA_OIF, sizeof interface);
    if (route->rtm_type == RTN_LOCAL)
        return CW_NETLINK_OURS;
    /* With an interface named and no route at all IPv4 takes the target for one on the link; then it names no
     * table. */
    if (route->rtm_type != RTN_UNICAST || route->rtm_table == RT_TABLE_UNSPEC || out == NULL ||
        memcmp(RTA_DATA(out), &interface, sizeof interface) != 0)
        return CW_NETLINK_NO_WAY;
    *next_hop = gateway_of(head, to);
    return CW_NETLINK_WAY;
}

static struct question about(unsigned interface, const struct cw_ip *ip, uint16_t type, uint16_t flags)
{
    struct question question = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ndmsg)),
                                         .nlmsg_type = type,
                                         .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)},
                                .neighbour = {.ndm_family = family_of(ip), .ndm_ifindex = (int)interface}};
    add(&question, NDA_DST, ip->bytes, cw_ip_size(ip));
    return question;
}

/* What the kernel has of it: its state, 0 when nothing; and the link address, if that is there. */
static unsigned state_of(struct cw_netlink *netlink, unsigned interface, const struct cw_ip *ip,
                         uint8_t mac[6])
{
    struct answer answer;
    struct question question = about(interface, ip, RTM_GETNEIGH, 0);
    const struct nlmsghdr *head = ask(netlink, &question, &answer);
    if (head == NULL || head->nlmsg_type != RTM_NEWNEIGH ||
        head->nlmsg_len < NLMSG_LENGTH(sizeof(struct ndmsg)))
        return 0;
    const struct ndmsg *neighbour = NLMSG_DATA(head);
    const struct rtattr *address = find(head, sizeof *neighbour, NDA_LLADDR, 6);
    if (address == NULL)
        return neighbour->ndm_state & ~USABLE;
    memcpy(mac, RTA_DATA(address), 6);
    return neighbour->ndm_state;
}

bool cw_netlink_neighbour(struct cw_netlink *netlink, unsigned interface, const struct cw_ip *ip,
                          uint8_t mac[6])
{
    return (state_of(netlink, interface, ip, mac) & USABLE) != 0;
}

void cw_netlink_use(struct cw_netlink *netlink, unsigned interface, const struct cw_ip *ip)
{
    uint8_t mac[6];
    struct answer answer;
    struct question question = about(interface, ip, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK);
    if ((state_of(netlink, interface, ip, mac) & (NUD_PERMANENT | NUD_NOARP)) != 0)
        return; /* somebody has set it; the question would end that */
    question.neighbour.ndm_flags = NTF_USE;
    (void)ask(netlink, &question, &answer); /* what came of it is seen in the neighbour */
}

bool cw_netlink_take_changes(struct cw_netlink *netlink)
{
    uint8_t bytes[ANSWER_BYTES_MAX];
    bool is_changed = false;
    for (unsigned i = 0; i < CHANGES_AT_ONCE; i++) {
        ssize_t got = recv(netlink->changes, bytes, sizeof bytes, 0);
        if (got < 0 && errno != ENOBUFS) /* more than the socket holds: changed, whatever it was */
            break;
        is_changed = true;
    }
    return is_changed;
}
