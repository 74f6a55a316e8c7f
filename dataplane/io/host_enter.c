/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How an IPv6 address comes onto its link: duplicate address detection (RFC 4862 section 5.4) and listener
 * reports (MLDv2, RFC 3810, and MLDv1, RFC 2710, for routers that ask so). host.h tells what is done and what
 * is not.
 *
 *      USED <-- a second without objection -- PROBED -- an objection --> TAKEN -- 10 to 14 s --> PROBED
 *
 * Reports go out from the unspecified address unless ours is link-local: routers do not take those, but what
 * needs them are switches that snoop, and those do (RFC 4541 section 3).
 */
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/checksum.h"
#include "io/frame_format.h"
#include "io/host_internal.h"

#define PROBE_WAIT_NS  CW_SECOND /* RFC 4861's RetransTimer */
#define TAKEN_WAIT_NS  (10 * CW_SECOND)
#define REPORTS        2u /* RFC 3810's robustness variable */
#define REPORT_WAIT_NS CW_SECOND
#define REPORT_EACH_NS (100 * CW_MS) /* queries that ask for an answer at once get no more than that */
#define MS_MAX         4096u

/* The header of options in front of listener messages: a router alert (RFC 2711) and two bytes of padding. */
#define OPTIONS_BYTES 8u
static const uint8_t router_alert[OPTIONS_BYTES] = {CW_PROTOCOL_ICMPV6, 0, 5, 2, 0, 0, 1, 0};

enum { MLD_MAX_RESPONSE = 4, MLD_ADDRESS = 8, MLD_BYTES = 24, MLD_V2_QUERY_BYTES = 28 };
enum { REPORT_RECORDS = 6, REPORT_KIND = 8, REPORT_ADDRESS = 12, REPORT_BYTES = 28 };
#define RECORD_IS_EXCLUDE 2u /* of no source: all are heard */
#define RECORD_TO_EXCLUDE 4u

static_assert(CW_HOST_ASK_BYTES_MAX ==
                  CW_FRAME_LINK_BYTES_MAX + CW_FRAME_IP6_BYTES + OPTIONS_BYTES + REPORT_BYTES,
              "the longest");

static const struct cw_fsm_row rows[] = {
    [CW_HOST_ADDRESS_USED] = {"used", CW_TO(CW_HOST_ADDRESS_PROBED)},
    [CW_HOST_ADDRESS_PROBED] = {"probed", CW_TO(CW_HOST_ADDRESS_USED) | CW_TO(CW_HOST_ADDRESS_TAKEN)},
    [CW_HOST_ADDRESS_TAKEN] = {"taken", CW_TO(CW_HOST_ADDRESS_PROBED)},
};
static_assert(CW_COUNT_OF(rows) == CW_HOST_ADDRESS_STATE_COUNT, "a row a state");

/* Up to most ms: another number for each machine and moment, which is all the randomness that is wanted here.
 */
static uint64_t some_ns(const struct cw_host *host, uint64_t now_ns, uint64_t most_ms)
{
    uint64_t mixed = now_ns;
    for (unsigned i = 0; i < sizeof host->config.mac; i++)
        mixed = (mixed ^ host->config.mac[i]) * 0x9e3779b97f4a7c15ull;
    return (mixed >> 32) % (most_ms + 1) * CW_MS;
}

static void move(struct cw_host *host, enum cw_host_address to, uint64_t due_ns)
{
    cw_fsm_move(&host->entry.fsm, &host->entry.state, (uint8_t)to);
    host->entry.is_probe_out = false;
    host->entry.due_ns = due_ns;
}

void cw_host_enter(struct cw_host *host, uint64_t now_ns)
{
    struct cw_host_entry *entry = &host->entry;
    if (host->config.ip.version != 6 || host->config.is_kernel_s)
        return;
    CW_ASSERT(entry->fsm.rows == NULL && "once");
    cw_fsm_init(&entry->fsm, "address", rows, CW_COUNT_OF(rows));
    cw_fsm_enter(&entry->fsm, &entry->state, CW_HOST_ADDRESS_PROBED);
    entry->due_ns = entry->report_due_ns = now_ns;
    entry->reports_left = REPORTS;
}

void cw_host_on_taken(struct cw_host *host, const uint8_t *mac, uint64_t now_ns)
{
    if (host->entry.state != CW_HOST_ADDRESS_PROBED)
        return;
    memset(host->entry.taken_by, 0, sizeof host->entry.taken_by);
    if (mac != NULL)
        memcpy(host->entry.taken_by, mac, sizeof host->entry.taken_by);
    move(host, CW_HOST_ADDRESS_TAKEN, now_ns + TAKEN_WAIT_NS + some_ns(host, now_ns, MS_MAX));
}

/* ---------------------------------------------------------------- what is sent */

/* Who has our address? Asked of those who listen for it, by nobody yet. */
static size_t write_probe(const struct cw_host *host, uint8_t *frame)
{
    uint8_t group[16], mac[6];
    cw_host_solicited_group(host->config.ip.bytes, group, mac);
    size_t at = cw_host_write_link(host, frame, mac, CW_ETHERTYPE_IPV6);
    uint8_t *ip = cw_host_write_v6(host, frame, at, group, ND_HOPS, ND_OPTIONS),
            *nd = ip + CW_FRAME_IP6_BYTES;
    memset(ip + CW_V6_SOURCE, 0, 16);
    memset(nd, 0, ND_OPTIONS);
    nd[ICMP_TYPE] = ND_SOLICITATION;
    memcpy(nd + ND_TARGET, host->config.ip.bytes, 16);
    cw_host_finish_icmpv6(ip, nd, ND_OPTIONS);
    return at + CW_FRAME_IP6_BYTES + ND_OPTIONS;
}

/* An IPv6 header for one hop, and the router alert. Returns the place of the message, zeroed. */
static uint8_t *write_listener_head(const struct cw_host *host, uint8_t *frame, const uint8_t mac[6],
                                    const uint8_t *to, size_t length)
{
    size_t at = cw_host_write_link(host, frame, mac, CW_ETHERTYPE_IPV6);
    uint8_t *ip = cw_host_write_v6(host, frame, at, to, 1, OPTIONS_BYTES + length);
    ip[CW_V6_NEXT] = CW_NEXT_OPTIONS;
    if (!cw_ip_is_link_local(&host->config.ip) || !cw_host_has_address(host))
        memset(ip + CW_V6_SOURCE, 0, 16);
    memcpy(ip + CW_FRAME_IP6_BYTES, router_alert, OPTIONS_BYTES);
    memset(ip + CW_FRAME_IP6_BYTES + OPTIONS_BYTES, 0, length);
    return ip + CW_FRAME_IP6_BYTES + OPTIONS_BYTES;
}

static size_t write_report(const struct cw_host *host, uint8_t *frame)
{
    static const uint8_t all_routers[16] = {[0] = 0xff, [1] = 0x02, [15] = 0x16};
    static const uint8_t all_routers_mac[6] = {0x33, 0x33, 0, 0, 0, 0x16};
    bool is_version_1 = host->entry.is_answer && host->entry.is_version_1;
    size_t length = is_version_1 ? MLD_BYTES : REPORT_BYTES;
    uint8_t group[16], group_mac[6], *mld;
    cw_host_solicited_group(host->config.ip.bytes, group, group_mac);
    if (is_version_1) {
        mld = write_listener_head(host, frame, group_mac, group, length);
        mld[ICMP_TYPE] = MLD_REPORT_V1;
        memcpy(mld + MLD_ADDRESS, group, 16);
    } else {
        mld = write_listener_head(host, frame, all_routers_mac, all_routers, length);
        mld[ICMP_TYPE] = MLD_REPORT_V2;
        cw_store16be(mld + REPORT_RECORDS, 1);
        mld[REPORT_KIND] = host->entry.is_answer ? RECORD_IS_EXCLUDE : RECORD_TO_EXCLUDE;
        memcpy(mld + REPORT_ADDRESS, group, 16);
    }
    cw_host_finish_icmpv6(mld - OPTIONS_BYTES - CW_FRAME_IP6_BYTES, mld, length);
    return (size_t)(mld - frame) + length;
}

size_t cw_host_announce(struct cw_host *host, uint8_t *frame, uint64_t now_ns)
{
    struct cw_host_entry *entry = &host->entry;
    if (now_ns >= entry->report_due_ns) {
        size_t length = write_report(host, frame);
        entry->next_answer_ns = now_ns + REPORT_EACH_NS;
        entry->reports_left -= entry->reports_left > 0 ? 1 : 0;
        entry->report_due_ns = entry->reports_left > 0 ? now_ns + REPORT_WAIT_NS : CW_NEVER;
        entry->is_answer = false;
        return length;
    }
    if (now_ns < entry->due_ns)
        return 0;
    if (entry->is_probe_out) {
        move(host, CW_HOST_ADDRESS_USED, CW_NEVER);
        return 0;
    }
    if (entry->state == CW_HOST_ADDRESS_TAKEN)
        move(host, CW_HOST_ADDRESS_PROBED, now_ns);
    entry->is_probe_out = true;
    entry->due_ns = now_ns + PROBE_WAIT_NS;
    return write_probe(host, frame);
}

/* ---------------------------------------------------------------- what routers ask */

/* In version 2 large times have an exponent (RFC 3810 section 5.1.3). */
static uint64_t response_ms(uint16_t code, bool is_version_1)
{
    if (is_version_1 || code < 0x8000)
        return code;
    return (uint64_t)((code & 0xfff) | 0x1000) << ((code >> 12 & 7) + 3);
}

/* Of all groups, or of ours. Answered some time up to the longest that the router wants to wait. */
static enum cw_host_verdict on_query(struct cw_host *host, const uint8_t *mld, size_t length, uint64_t now_ns)
{
    static const uint8_t all_groups[16];
    struct cw_host_entry *entry = &host->entry;
    uint8_t group[16], mac[6];
    bool is_version_1 = length == MLD_BYTES;
    if (!is_version_1 && length < MLD_V2_QUERY_BYTES)
        return CW_HOST_MALFORMED;
    cw_host_solicited_group(host->config.ip.bytes, group, mac);
    if (memcmp(mld + MLD_ADDRESS, all_groups, 16) != 0 && memcmp(mld + MLD_ADDRESS, group, 16) != 0)
        return CW_HOST_NOT_OURS;
    uint64_t due_ns =
        now_ns + some_ns(host, now_ns, response_ms(cw_load16be(mld + MLD_MAX_RESPONSE), is_version_1));
    due_ns = CW_MAX(due_ns, entry->next_answer_ns);
    if (due_ns >= entry->report_due_ns)
        return CW_HOST_QUERIED; /* one is due before */
    entry->report_due_ns = due_ns;
    entry->is_answer = true;
    entry->is_version_1 = is_version_1;
    return CW_HOST_QUERIED;
}

/* Is a router alert among them? */
static bool has_router_alert(const uint8_t *options, size_t length)
{
    for (size_t at = 2; at < length;) {
        if (options[at] == 0) { /* one byte of padding */
            at++;
            continue;
        }
        if (length - at < 2 || length - at - 2 < options[at + 1])
            return false;
        if (options[at] == 5 && options[at + 1] == 2)
            return true;
        at += 2u + options[at + 1];
    }
    return false;
}

enum cw_host_verdict cw_host_on_options(struct cw_host *host, const uint8_t *ip, size_t length,
                                        uint64_t now_ns)
{
    const uint8_t *options = ip + CW_FRAME_IP6_BYTES;
    struct cw_ip from = cw_ip_v6(ip + CW_V6_SOURCE);
    size_t payload = cw_load16be(ip + CW_V6_LENGTH);
    if (host->config.is_kernel_s || host->entry.fsm.rows == NULL ||
        length < CW_FRAME_IP6_BYTES + OPTIONS_BYTES)
        return CW_HOST_NOT_OURS;
    size_t options_bytes = (options[1] + 1u) * OPTIONS_BYTES;
    if (options[0] != CW_PROTOCOL_ICMPV6)
        return CW_HOST_NOT_OURS;
    if (payload > length - CW_FRAME_IP6_BYTES || payload < options_bytes + MLD_BYTES)
        return CW_HOST_MALFORMED;
    const uint8_t *mld = options + options_bytes;
    if (mld[ICMP_TYPE] != MLD_QUERY)
        return CW_HOST_NOT_OURS;
    if (ip[CW_V6_HOPS] != 1 || !cw_ip_is_link_local(&from) || !has_router_alert(options, options_bytes) ||
        cw_host_sum_icmpv6(ip, mld, payload - options_bytes) != 0xffff)
        return CW_HOST_MALFORMED;
    return on_query(host, mld, payload - options_bytes, now_ns);
}
