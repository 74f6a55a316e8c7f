/* SPDX-License-Identifier: BSD-3-Clause */
/* The paths of a node's configuration: each by itself, beside the others, and whose peer's they are. */
#include "engine/config/config_paths.h"

#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"

#define MTU_MIN      576u
#define MTU_MAX      9600u
#define MTU_MIN_IPV6 1280u /* RFC 8200 section 5 */
#define VLAN_MAX     4094u

/* Far above what FEC is for (5 %), and above what bursts of less than five seconds make. */
#define CIRCUIT_LOSS_PERCENT 20u
#define CIRCUIT_DELAY_MS     50u
#define CIRCUIT_DELAY_MS_MAX 10000u

static void check_endpoint(const struct cw_check *check, const char *path, const struct cw_raw_endpoint *raw,
                           struct cw_config_endpoint *endpoint)
{
    char inner[CW_YAML_PATH_SIZE + 8];
    uint64_t port = 0;
    if (!raw) {
        cw_check_expected(check, path, NULL, "ip and port");
        return;
    }
    snprintf(inner, sizeof inner, "%s.mac", path);
    if (raw->mac && !cw_config_parse_mac(raw->mac, endpoint->mac))
        cw_check_expected(check, inner, raw->mac, "a unicast MAC address such as 02:00:00:00:00:01");
    snprintf(inner, sizeof inner, "%s.ip", path);
    if (!raw->ip || !cw_config_parse_host(raw->ip, &endpoint->ip, &endpoint->prefix_bits)) {
        cw_check_expected(check, inner, raw->ip,
                          "an address of a host, such as 10.77.0.1/24, 10.77.0.1 or fd00:77::1");
        endpoint->ip = (struct cw_ip){0};
    }
    snprintf(inner, sizeof inner, "%s.port", path);
    cw_check_number(check, inner, raw->port, 1, 65535, &port);
    endpoint->port = (uint16_t)port;
}

static void check_path_names(const struct cw_check *check, uint32_t index, const struct cw_raw_path *raw,
                             struct cw_config_path *out)
{
    char path[CW_YAML_PATH_SIZE];
    snprintf(path, sizeof path, "paths[%u].name", index);
    cw_check_name(check, path, raw->name, out->name);
    for (uint32_t i = 0; i < index && out->name[0]; i++) {
        if (strcmp(check->config->paths[i].name, out->name) == 0)
            cw_check_expected(check, path, raw->name, "another name than that of paths[%u]", i);
    }
    snprintf(path, sizeof path, "paths[%u].remote", index);
    if (cw_check_name(check, path, raw->remote, out->remote)) {
        if (!cw_check_find_site(check, raw->remote))
            cw_check_expected(check, path, raw->remote, "one of the names under sites");
        else if (strcmp(raw->remote, check->config->site) == 0)
            cw_check_expected(check, path, raw->remote, "another site than this one");
    }
    snprintf(path, sizeof path, "paths[%u].remote_node", index);
    if (raw->remote_node)
        cw_check_name(check, path, raw->remote_node, out->remote_node);
    if (raw->remote_node && !check->raw->security)
        cw_check_expected(check, path, raw->remote_node,
                          "security with certificates, which alone can name a node");
    snprintf(path, sizeof path, "paths[%u].device", index);
    if (!raw->device || !*raw->device || strlen(raw->device) >= sizeof out->device)
        cw_check_expected(check, path, raw->device,
                          "a DPDK device of 1 to %zu bytes, such as net_af_xdp0,iface=eth1",
                          sizeof out->device - 1);
    else
        snprintf(out->device, sizeof out->device, "%s", raw->device);
    out->device_line = cw_yaml_lines_find(check->lines, path);
    out->is_prepared = strcmp(out->device, CW_CONFIG_PREPARED) == 0;
}

static void check_rate(const struct cw_check *check, uint32_t index, const struct cw_raw_path *raw,
                       struct cw_config_path *out)
{
    static const char *const names[CW_CONFIG_RATE_COUNT] = {"fixed", "bbr", "cubic"};
    char path[CW_YAML_PATH_SIZE];
    uint32_t kind = CW_CONFIG_RATE_FIXED;
    snprintf(path, sizeof path, "paths[%u].rate", index);
    if (raw->rate && !cw_quantity_bits_per_second(raw->rate, &out->rate_bits_per_second))
        cw_check_expected(check, path, raw->rate, "a rate such as 10gbit, 500mbit or 8000kbit");
    snprintf(path, sizeof path, "paths[%u].rate_control", index);
    while (raw->rate_control && kind < CW_CONFIG_RATE_COUNT && strcmp(raw->rate_control, names[kind]) != 0)
        kind++;
    if (kind == CW_CONFIG_RATE_COUNT)
        cw_check_expected(check, path, raw->rate_control, "fixed, bbr or cubic");
    else
        out->rate_control = (enum cw_config_rate_control)kind;
    snprintf(path, sizeof path, "paths[%u].in_flight", index);
    if (raw->in_flight && (!cw_quantity_bytes(raw->in_flight, &out->in_flight_bytes) ||
                           out->in_flight_bytes == 0 || out->in_flight_bytes > CW_CONFIG_IN_FLIGHT_MAX))
        cw_check_expected(check, path, raw->in_flight, "bytes on their way, such as 64M, 1G at most");
}

/* "20%" */
static bool parse_percent(const char *text, uint32_t *percent)
{
    char *end;
    unsigned long n = *text >= '1' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    *percent = (uint32_t)n;
    return n >= 1 && n <= 99 && strcmp(end, "%") == 0;
}

/* What a fixed rate may do to a circuit; the others answer loss and delay by themselves. */
static void check_circuit(const struct cw_check *check, uint32_t index, const struct cw_raw_path *raw,
                          struct cw_config_path *out)
{
    char loss[CW_YAML_PATH_SIZE], delay[CW_YAML_PATH_SIZE];
    uint64_t delay_ms = CIRCUIT_DELAY_MS;
    bool is_fixed = out->rate_control == CW_CONFIG_RATE_FIXED;
    snprintf(loss, sizeof loss, "paths[%u].circuit_loss", index);
    snprintf(delay, sizeof delay, "paths[%u].circuit_delay", index);
    out->circuit_loss_percent = CIRCUIT_LOSS_PERCENT;
    if (raw->circuit_loss && !is_fixed)
        cw_check_expected(check, loss, raw->circuit_loss, "it with rate_control: fixed alone");
    else if (raw->circuit_loss && strcmp(raw->circuit_loss, "off") == 0)
        out->circuit_loss_percent = 0;
    else if (raw->circuit_loss && !parse_percent(raw->circuit_loss, &out->circuit_loss_percent))
        cw_check_expected(check, loss, raw->circuit_loss, "off, or a share from 1%% to 99%%");
    if (raw->circuit_delay && !is_fixed)
        cw_check_expected(check, delay, raw->circuit_delay, "it with rate_control: fixed alone");
    else if (raw->circuit_delay && strcmp(raw->circuit_delay, "off") == 0)
        delay_ms = 0;
    else if (raw->circuit_delay && (!cw_quantity_milliseconds(raw->circuit_delay, &delay_ms) ||
                                    delay_ms < 1 || delay_ms > CIRCUIT_DELAY_MS_MAX))
        cw_check_expected(check, delay, raw->circuit_delay, "off, or a time from 1ms to 10s");
    out->circuit_delay_ms = (uint32_t)delay_ms;
}

/* "SOURCES,REPAIRS,DEPTH", nothing around or between them. */
static bool parse_fec_numbers(const char *text, struct cw_config_fec *fec)
{
    uint32_t *numbers[] = {&fec->sources, &fec->repairs, &fec->depth};
    const uint32_t high[] = {CW_CONFIG_FEC_SOURCES_MAX, CW_CONFIG_FEC_REPAIRS_MAX, CW_CONFIG_FEC_DEPTH_MAX};
    for (uint32_t i = 0; i < CW_COUNT_OF(numbers); i++) {
        char *end;
        if (*text < '1' || *text > '9')
            return false;
        unsigned long n = strtoul(text, &end, 10);
        if (n > high[i] || *end != (i + 1 < CW_COUNT_OF(numbers) ? ',' : 0))
            return false;
        *numbers[i] = (uint32_t)n;
        text = end + 1;
    }
    return true;
}

static void check_fec(const struct cw_check *check, const char *path, const char *value,
                      struct cw_config_fec *fec)
{
    static const char fixed[] = "fixed ";
    if (!value || strcmp(value, "off") == 0)
        return;
    if (strcmp(value, "auto") == 0) {
        fec->mode = CW_CONFIG_FEC_AUTO;
    } else if (strncmp(value, fixed, strlen(fixed)) == 0 && parse_fec_numbers(value + strlen(fixed), fec)) {
        fec->mode = CW_CONFIG_FEC_FIXED;
    } else {
        *fec = (struct cw_config_fec){0};
        cw_check_expected(check, path, value,
                          "off, auto, or fixed SOURCES,REPAIRS,DEPTH such as fixed 32,2,16 (up to %u,%u,%u)",
                          CW_CONFIG_FEC_SOURCES_MAX, CW_CONFIG_FEC_REPAIRS_MAX, CW_CONFIG_FEC_DEPTH_MAX);
    }
}

/* The gateway is on the link; without one the peer is. */
static void check_gateway(const struct cw_check *check, uint32_t index, const struct cw_raw_path *raw,
                          struct cw_config_path *out)
{
    char path[CW_YAML_PATH_SIZE];
    const struct cw_config_endpoint *local = &out->local;
    const char *text = raw->local ? raw->local->gateway : NULL;
    snprintf(path, sizeof path, "paths[%u].peer.gateway", index);
    if (raw->peer && raw->peer->gateway)
        cw_check_expected(check, path, raw->peer->gateway,
                          "it under local: it is ours, on the way to the peer");
    if (local->ip.version == 0 || local->ip.version != out->peer.ip.version)
        return;
    if (out->is_shared)
        return; /* check_shared */
    snprintf(path, sizeof path, "paths[%u].local.gateway", index);
    bool is_on_link =
        local->prefix_bits == 0 || cw_ip_is_same_network(&local->ip, &out->peer.ip, local->prefix_bits);
    if (text == NULL && !is_on_link && !out->is_prepared) /* maybe it is shared: prepared.c */
        cw_check_expected(check, path, NULL,
                          "a router on the link, as the peer is not of our network (local.ip)");
    if (text == NULL)
        return;
    bool is_good = cw_config_parse_ip(text, &out->gateway) && out->gateway.version == local->ip.version;
    if (is_good && !cw_ip_is_link_local(&out->gateway))
        is_good = local->prefix_bits > 0 && !cw_ip_is_equal(&out->gateway, &local->ip) &&
                  cw_ip_is_same_network(&local->ip, &out->gateway, local->prefix_bits);
    if (!is_good)
        cw_check_expected(check, path, text,
                          "another address of our network, which local.ip gives as ADDRESS/BITS");
    if (is_on_link && local->prefix_bits > 0)
        out->gateway = (struct cw_ip){0}; /* not on the way */
}

static void check_endpoints(const struct cw_check *check, uint32_t index, const struct cw_raw_path *raw,
                            struct cw_config_path *out)
{
    char path[CW_YAML_PATH_SIZE];
    snprintf(path, sizeof path, "paths[%u].local", index);
    check_endpoint(check, path, raw->local, &out->local);
    snprintf(path, sizeof path, "paths[%u].peer", index);
    check_endpoint(check, path, raw->peer, &out->peer);
    snprintf(path, sizeof path, "paths[%u].peer.ip", index);
    if (out->local.ip.version != 0 && out->peer.ip.version != 0 &&
        out->local.ip.version != out->peer.ip.version)
        cw_check_expected(check, path, raw->peer->ip, "an IPv%u address, as local.ip is",
                          out->local.ip.version);
    check_gateway(check, index, raw, out);
}

/* The kernel's interface has all this already, and may change it. */
static void check_shared(const struct cw_check *check, uint32_t index, const struct cw_raw_path *raw,
                         struct cw_config_path *out)
{
    char path[CW_YAML_PATH_SIZE];
    snprintf(path, sizeof path, "paths[%u].shared", index);
    out->is_shared = raw->shared && strcmp(raw->shared, "true") == 0;
    if (raw->shared && !out->is_shared && strcmp(raw->shared, "false") != 0)
        cw_check_expected(check, path, raw->shared, "true or false");
    if (!out->is_shared)
        return;
    const struct {
        const char *key, *value, *wanted;
    } others[] = {
        {"local.mac", raw->local ? raw->local->mac : NULL, "none: a shared interface has its own"},
        {"local.gateway", raw->local ? raw->local->gateway : NULL, "none: shared, the kernel's routes count"},
        {"peer.mac", raw->peer ? raw->peer->mac : NULL, "none: shared, the kernel finds it"},
        {"vlan", raw->vlan, "none: share the interface of the VLAN, such as iface=eth1.100"},
    };
    for (unsigned i = 0; i < CW_COUNT_OF(others); i++) {
        snprintf(path, sizeof path, "paths[%u].%s", index, others[i].key);
        if (others[i].value)
            cw_check_expected(check, path, others[i].value, "%s", others[i].wanted);
    }
    snprintf(path, sizeof path, "paths[%u].device", index);
    if (!out->is_prepared && !cw_config_may_be_shared(out->device))
        cw_check_expected(check, path, raw->device,
                          "net_af_xdp0,iface=IFACE or net_af_packet0,iface=IFACE, as it is shared");
}

/* Where a peer that moved is sent to is the router's business; so there has to be one. */
static void check_follow(const struct cw_check *check, uint32_t index, const struct cw_raw_path *raw,
                         struct cw_config_path *out)
{
    char path[CW_YAML_PATH_SIZE];
    snprintf(path, sizeof path, "paths[%u].follow", index);
    out->is_followed = raw->follow && strcmp(raw->follow, "true") == 0;
    if (raw->follow && !out->is_followed && strcmp(raw->follow, "false") != 0)
        cw_check_expected(check, path, raw->follow, "true or false");
    if (!out->is_followed)
        return;
    if (out->is_shared)
        cw_check_expected(check, path, raw->follow,
                          "false on a shared interface: the kernel gets what is not from the peer's address");
    else if (out->gateway.version == 0 && !(raw->peer && raw->peer->mac))
        cw_check_expected(check, path, raw->follow,
                          "local.gateway, or peer.mac of a router: a peer that moves is behind one");
}

static void check_one_path(const struct cw_check *check, uint32_t index)
{
    const struct cw_raw_path *raw = &check->raw->paths[index];
    struct cw_config_path *out = &check->config->paths[index];
    char path[CW_YAML_PATH_SIZE];
    uint64_t mtu = 0, vlan = 0;
    check_path_names(check, index, raw, out);
    snprintf(path, sizeof path, "paths[%u].mtu", index);
    bool is_v6 = raw->local && raw->local->ip && strchr(raw->local->ip, ':') != NULL;
    cw_check_number(check, path, raw->mtu, is_v6 ? MTU_MIN_IPV6 : MTU_MIN, MTU_MAX, &mtu);
    out->mtu = (uint16_t)mtu;
    snprintf(path, sizeof path, "paths[%u].vlan", index);
    if (raw->vlan)
        cw_check_number(check, path, raw->vlan, 1, VLAN_MAX, &vlan);
    out->vlan = (uint16_t)vlan;
    check_shared(check, index, raw, out);
    check_endpoints(check, index, raw, out);
    check_follow(check, index, raw, out);
    check_rate(check, index, raw, out);
    check_circuit(check, index, raw, out);
    snprintf(path, sizeof path, "paths[%u].fec", index);
    check_fec(check, path, raw->fec, &out->fec);
}

static bool is_same_end(const struct cw_config_endpoint *one, const struct cw_config_endpoint *other)
{
    return one->ip.version != 0 && cw_ip_is_equal(&one->ip, &other->ip) && one->port == other->port;
}

/* Two paths to one site are two ways through the network. In two VLANs the same addresses may be two hosts.
 */
static void check_two_paths(const struct cw_check *check, uint32_t first, uint32_t second)
{
    const struct cw_config_path *before = &check->config->paths[first],
                                *after = &check->config->paths[second];
    const struct cw_raw_path *raw = &check->raw->paths[second];
    char path[CW_YAML_PATH_SIZE];
    if (strcmp(before->remote_node, after->remote_node) != 0) {
        snprintf(path, sizeof path, "paths[%u].remote_node", second);
        cw_check_expected(check, path, raw->remote_node,
                          "the same as of paths[%u], which leads to the same site", first);
    }
    if (before->vlan == after->vlan && is_same_end(&before->local, &after->local) &&
        is_same_end(&before->peer, &after->peer)) {
        snprintf(path, sizeof path, "paths[%u].local.ip", second);
        cw_check_expected(check, path, raw->local->ip,
                          "other addresses than those of paths[%u], which leads to the same site", first);
    }
}

/* Against those before it that lead to the same site. */
static void check_beside(const struct cw_check *check, uint32_t index)
{
    const struct cw_config_path *paths = check->config->paths;
    char path[CW_YAML_PATH_SIZE];
    uint32_t count = 0;
    for (uint32_t i = 0; i < index; i++) {
        if (!paths[index].remote[0] || strcmp(paths[i].remote, paths[index].remote) != 0)
            continue;
        count++;
        check_two_paths(check, i, index);
    }
    snprintf(path, sizeof path, "paths[%u].remote", index);
    if (count >= CW_CONFIG_PEER_PATHS_MAX)
        cw_check_expected(check, path, check->raw->paths[index].remote,
                          "another site: %u paths lead there already", CW_CONFIG_PEER_PATHS_MAX);
}

/* Among those of its peer, by name: so both ends of a session have the same order. */
static void join_path(struct cw_node_config *config, struct cw_config_peer *peer, uint32_t index)
{
    uint8_t at = peer->path_count;
    if (at == CW_CONFIG_PEER_PATHS_MAX) /* said already */
        return;
    for (; at > 0 && strcmp(config->paths[peer->paths[at - 1]].name, config->paths[index].name) > 0; at--)
        peer->paths[at] = peer->paths[at - 1];
    peer->paths[at] = (uint8_t)index;
    peer->path_count++;
}

/* Paths to the same site are one peer's. */
static void join_paths(struct cw_node_config *config)
{
    for (uint32_t i = 0; i < config->path_count; i++) {
        uint32_t peer = 0;
        while (peer < config->peer_count &&
               strcmp(config->paths[config->peers[peer].paths[0]].remote, config->paths[i].remote) != 0)
            peer++;
        if (peer == config->peer_count)
            config->peer_count++;
        config->paths[i].peer_index = (uint8_t)peer;
        join_path(config, &config->peers[peer], i);
    }
}

/* What several net lcores ask of a path: queues, and a UDP port each. */
static void check_lanes_of_path(const struct cw_check *check, uint32_t index)
{
    const struct cw_config_path *config = &check->config->paths[index];
    const struct cw_raw_path *raw = &check->raw->paths[index];
    uint32_t last = check->config->lane_count - 1;
    char path[CW_YAML_PATH_SIZE];
    snprintf(path, sizeof path, "paths[%u].shared", index);
    if (last > 0 && config->is_shared)
        cw_check_expected(check, path, raw->shared, "false, or a single CPU in lcores.net");
    snprintf(path, sizeof path, "paths[%u].local.port", index);
    if (config->local.port + last > UINT16_MAX)
        cw_check_expected(check, path, raw->local->port,
                          "at most %u: each of %u net lcores sends from one of its own", UINT16_MAX - last,
                          last + 1);
}

void cw_config_check_paths(const struct cw_check *check)
{
    check->config->path_count = check->raw->paths_count;
    for (uint32_t i = 0; i < check->config->path_count; i++)
        check_one_path(check, i);
    for (uint32_t i = 0; i < check->config->path_count; i++)
        check_lanes_of_path(check, i);
    for (uint32_t i = 0; i < check->config->path_count; i++)
        check_beside(check, i);
    join_paths(check->config);
}
