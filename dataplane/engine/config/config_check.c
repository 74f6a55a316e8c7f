/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Meaning. Every check is one call that takes the path of the value, so that the message can begin with it
 * and find its line: "node.yaml:12: paths[0].mtu is 70000: expected a number from 576 to 9600".
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/numbers.h"
#include "engine/config/raw_config.h"

#define MTU_MIN      576u
#define MTU_MAX      9600u
#define MTU_MIN_IPV6 1280u /* RFC 8200 section 5 */
#define VLAN_MAX     4094u
#define CPU_MAX      1023u

/* Far above what FEC is for (5 %), and above what bursts of less than five seconds make. */
#define CIRCUIT_LOSS_PERCENT 20u
#define CIRCUIT_DELAY_MS     50u
#define CIRCUIT_DELAY_MS_MAX 10000u

struct check {
    const struct cw_raw_config *raw;
    const struct cw_yaml_lines *lines;
    struct cw_node_config *config;
    struct cw_config_mistakes *mistakes;
    bool look_at_files;
};

__attribute__((format(printf, 4, 5))) static void expected(const struct check *check, const char *path,
                                                           const char *value, const char *format, ...)
{
    char words[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    cw_config_expected(check->mistakes, check->lines, path, value, words);
}

static void check_number(const struct check *check, const char *path, const char *value, uint64_t low,
                         uint64_t high, uint64_t *number)
{
    if (!value || !cw_quantity_number(value, low, high, number))
        expected(check, path, value, "a number from %lu to %lu", low, high);
}

static void check_number32(const struct check *check, const char *path, const char *value, uint32_t low,
                           uint32_t high, uint32_t otherwise, uint32_t *number)
{
    uint64_t n = otherwise;
    if (value)
        check_number(check, path, value, low, high, &n);
    *number = (uint32_t)n;
}

static bool check_name(const struct check *check, const char *path, const char *value,
                       char name[CW_CONFIG_NAME_SIZE])
{
    if (!value || !cw_config_name_check(value)) {
        expected(check, path, value, "a name of 1 to %u letters, digits, '-', '_', '.'",
                 CW_CONFIG_NAME_SIZE - 1);
        return false;
    }
    snprintf(name, CW_CONFIG_NAME_SIZE, "%s", value);
    return true;
}

/* An absolute path that fits. otherwise: the default when it is missing, or NULL: required. */
static bool check_path(const struct check *check, const char *path, const char *value, const char *otherwise,
                       char *to, size_t size)
{
    if (!value && otherwise)
        value = otherwise;
    if (!value || value[0] != '/') {
        expected(check, path, value, "an absolute path");
        return false;
    }
    if (strlen(value) >= size) {
        expected(
            check, path, value, "a path of at most %zu bytes (this one has %zu)%s", size - 1, strlen(value),
            size == CW_CONFIG_SOCKET_SIZE ? ", as sockets have no longer names: a shorter directory" : "");
        return false;
    }
    snprintf(to, size, "%s", value);
    return true;
}

static void check_address(const struct check *check, const char *path, const char *value,
                          struct cw_config_address *address)
{
    if (value && !cw_config_address_parse(value, address))
        expected(check, path, value, "an address and a port, such as 10.0.1.1:7443 or [fd00::1]:7443");
}

static bool check_bool(const struct check *check, const char *path, const char *value, bool otherwise)
{
    if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        expected(check, path, value, "true or false");
    return value ? strcmp(value, "true") == 0 : otherwise;
}

static void check_site(const struct check *check, uint32_t index)
{
    const struct cw_raw_site *raw = &check->raw->sites[index];
    struct cw_config_site *site = &check->config->sites[index];
    char path[CW_YAML_PATH_SIZE];
    uint64_t id = UINT8_MAX; /* until a good one is read: equal to no other */
    snprintf(path, sizeof path, "sites[%u].name", index);
    check_name(check, path, raw->name, site->name);
    for (uint32_t i = 0; i < index && site->name[0]; i++) {
        if (strcmp(check->config->sites[i].name, site->name) == 0)
            expected(check, path, raw->name, "another name than that of sites[%u]", i);
    }
    snprintf(path, sizeof path, "sites[%u].id", index);
    check_number(check, path, raw->id, 0, CW_CONFIG_SITES_MAX - 1, &id);
    site->id = (uint8_t)id;
    for (uint32_t i = 0; i < index && id != UINT8_MAX; i++) {
        if (check->config->sites[i].id == id)
            expected(check, path, raw->id, "another number than that of sites[%u]", i);
    }
    snprintf(path, sizeof path, "sites[%u].directory", index);
    if (raw->directory)
        check_path(check, path, raw->directory, NULL, site->directory, sizeof site->directory);
    snprintf(path, sizeof path, "sites[%u].control", index);
    check_address(check, path, raw->control, &site->control);
    snprintf(path, sizeof path, "sites[%u].witness", index);
    site->is_witness = check_bool(check, path, raw->witness, false);
}

static const struct cw_config_site *find_site(const struct check *check, const char *name)
{
    for (uint32_t i = 0; i < check->config->site_count && name; i++) {
        if (strcmp(check->config->sites[i].name, name) == 0)
            return &check->config->sites[i];
    }
    return NULL;
}

static void check_sites(const struct check *check)
{
    check->config->site_count = check->raw->sites_count;
    if (!check->raw->sites)
        expected(check, "sites", NULL, "a list of 1 to %u sites, each with name and id", CW_CONFIG_SITES_MAX);
    for (uint32_t i = 0; i < check->config->site_count; i++)
        check_site(check, i);
    if (!check_name(check, "site", check->raw->site, check->config->site))
        return;
    const struct cw_config_site *own = find_site(check, check->config->site);
    if (own)
        check->config->site_id = own->id;
    else
        expected(check, "site", check->raw->site, "one of the names under sites");
}

static void check_endpoint(const struct check *check, const char *path, const struct cw_raw_endpoint *raw,
                           struct cw_config_endpoint *endpoint)
{
    char inner[CW_YAML_PATH_SIZE + 8];
    uint64_t port = 0;
    if (!raw) {
        expected(check, path, NULL, "ip and port");
        return;
    }
    snprintf(inner, sizeof inner, "%s.mac", path);
    if (raw->mac && !cw_config_parse_mac(raw->mac, endpoint->mac))
        expected(check, inner, raw->mac, "a unicast MAC address such as 02:00:00:00:00:01");
    snprintf(inner, sizeof inner, "%s.ip", path);
    if (!raw->ip || !cw_config_parse_host(raw->ip, &endpoint->ip, &endpoint->prefix_bits)) {
        expected(check, inner, raw->ip,
                 "an address of a host, such as 10.77.0.1/24, 10.77.0.1 or fd00:77::1");
        endpoint->ip = (struct cw_ip){0};
    }
    snprintf(inner, sizeof inner, "%s.port", path);
    check_number(check, inner, raw->port, 1, 65535, &port);
    endpoint->port = (uint16_t)port;
}

static void check_path_names(const struct check *check, uint32_t index, const struct cw_raw_path *raw,
                             struct cw_config_path *out)
{
    char path[CW_YAML_PATH_SIZE];
    snprintf(path, sizeof path, "paths[%u].name", index);
    check_name(check, path, raw->name, out->name);
    for (uint32_t i = 0; i < index && out->name[0]; i++) {
        if (strcmp(check->config->paths[i].name, out->name) == 0)
            expected(check, path, raw->name, "another name than that of paths[%u]", i);
    }
    snprintf(path, sizeof path, "paths[%u].remote", index);
    if (check_name(check, path, raw->remote, out->remote)) {
        if (!find_site(check, raw->remote))
            expected(check, path, raw->remote, "one of the names under sites");
        else if (strcmp(raw->remote, check->config->site) == 0)
            expected(check, path, raw->remote, "another site than this one");
    }
    snprintf(path, sizeof path, "paths[%u].remote_node", index);
    if (raw->remote_node)
        check_name(check, path, raw->remote_node, out->remote_node);
    if (raw->remote_node && !check->raw->security)
        expected(check, path, raw->remote_node, "security with certificates, which alone can name a node");
    snprintf(path, sizeof path, "paths[%u].device", index);
    if (!raw->device || !*raw->device || strlen(raw->device) >= sizeof out->device)
        expected(check, path, raw->device, "a DPDK device of 1 to %zu bytes, such as net_af_xdp0,iface=eth1",
                 sizeof out->device - 1);
    else
        snprintf(out->device, sizeof out->device, "%s", raw->device);
    out->device_line = cw_yaml_lines_find(check->lines, path);
    out->is_prepared = strcmp(out->device, CW_CONFIG_PREPARED) == 0;
}

static void check_rate(const struct check *check, uint32_t index, const struct cw_raw_path *raw,
                       struct cw_config_path *out)
{
    static const char *const names[CW_CONFIG_RATE_COUNT] = {"fixed", "bbr", "cubic"};
    char path[CW_YAML_PATH_SIZE];
    uint32_t kind = CW_CONFIG_RATE_FIXED;
    snprintf(path, sizeof path, "paths[%u].rate", index);
    if (raw->rate && !cw_quantity_bits_per_second(raw->rate, &out->rate_bits_per_second))
        expected(check, path, raw->rate, "a rate such as 10gbit, 500mbit or 8000kbit");
    snprintf(path, sizeof path, "paths[%u].rate_control", index);
    while (raw->rate_control && kind < CW_CONFIG_RATE_COUNT && strcmp(raw->rate_control, names[kind]) != 0)
        kind++;
    if (kind == CW_CONFIG_RATE_COUNT)
        expected(check, path, raw->rate_control, "fixed, bbr or cubic");
    else
        out->rate_control = (enum cw_config_rate_control)kind;
    snprintf(path, sizeof path, "paths[%u].in_flight", index);
    if (raw->in_flight && (!cw_quantity_bytes(raw->in_flight, &out->in_flight_bytes) ||
                           out->in_flight_bytes == 0 || out->in_flight_bytes > CW_CONFIG_IN_FLIGHT_MAX))
        expected(check, path, raw->in_flight, "bytes on their way, such as 64M, 1G at most");
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
static void check_circuit(const struct check *check, uint32_t index, const struct cw_raw_path *raw,
                          struct cw_config_path *out)
{
    char loss[CW_YAML_PATH_SIZE], delay[CW_YAML_PATH_SIZE];
    uint64_t delay_ms = CIRCUIT_DELAY_MS;
    bool is_fixed = out->rate_control == CW_CONFIG_RATE_FIXED;
    snprintf(loss, sizeof loss, "paths[%u].circuit_loss", index);
    snprintf(delay, sizeof delay, "paths[%u].circuit_delay", index);
    out->circuit_loss_percent = CIRCUIT_LOSS_PERCENT;
    if (raw->circuit_loss && !is_fixed)
        expected(check, loss, raw->circuit_loss, "it with rate_control: fixed alone");
    else if (raw->circuit_loss && strcmp(raw->circuit_loss, "off") == 0)
        out->circuit_loss_percent = 0;
    else if (raw->circuit_loss && !parse_percent(raw->circuit_loss, &out->circuit_loss_percent))
        expected(check, loss, raw->circuit_loss, "off, or a share from 1%% to 99%%");
    if (raw->circuit_delay && !is_fixed)
        expected(check, delay, raw->circuit_delay, "it with rate_control: fixed alone");
    else if (raw->circuit_delay && strcmp(raw->circuit_delay, "off") == 0)
        delay_ms = 0;
    else if (raw->circuit_delay && (!cw_quantity_milliseconds(raw->circuit_delay, &delay_ms) ||
                                    delay_ms < 1 || delay_ms > CIRCUIT_DELAY_MS_MAX))
        expected(check, delay, raw->circuit_delay, "off, or a time from 1ms to 10s");
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

static void check_fec(const struct check *check, const char *path, const char *value,
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
        expected(check, path, value,
                 "off, auto, or fixed SOURCES,REPAIRS,DEPTH such as fixed 32,2,16 (up to %u,%u,%u)",
                 CW_CONFIG_FEC_SOURCES_MAX, CW_CONFIG_FEC_REPAIRS_MAX, CW_CONFIG_FEC_DEPTH_MAX);
    }
}

/* The gateway is on the link; without one the peer is. */
static void check_gateway(const struct check *check, uint32_t index, const struct cw_raw_path *raw,
                          struct cw_config_path *out)
{
    char path[CW_YAML_PATH_SIZE];
    const struct cw_config_endpoint *local = &out->local;
    const char *text = raw->local ? raw->local->gateway : NULL;
    snprintf(path, sizeof path, "paths[%u].peer.gateway", index);
    if (raw->peer && raw->peer->gateway)
        expected(check, path, raw->peer->gateway, "it under local: it is ours, on the way to the peer");
    if (local->ip.version == 0 || local->ip.version != out->peer.ip.version)
        return;
    if (out->is_shared)
        return; /* check_shared */
    snprintf(path, sizeof path, "paths[%u].local.gateway", index);
    bool is_on_link =
        local->prefix_bits == 0 || cw_ip_is_same_network(&local->ip, &out->peer.ip, local->prefix_bits);
    if (text == NULL && !is_on_link && !out->is_prepared) /* maybe it is shared: prepared.c */
        expected(check, path, NULL, "a router on the link, as the peer is not of our network (local.ip)");
    if (text == NULL)
        return;
    bool is_good = cw_config_parse_ip(text, &out->gateway) && out->gateway.version == local->ip.version;
    if (is_good && !cw_ip_is_link_local(&out->gateway))
        is_good = local->prefix_bits > 0 && !cw_ip_is_equal(&out->gateway, &local->ip) &&
                  cw_ip_is_same_network(&local->ip, &out->gateway, local->prefix_bits);
    if (!is_good)
        expected(check, path, text, "another address of our network, which local.ip gives as ADDRESS/BITS");
    if (is_on_link && local->prefix_bits > 0)
        out->gateway = (struct cw_ip){0}; /* not on the way */
}

static void check_endpoints(const struct check *check, uint32_t index, const struct cw_raw_path *raw,
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
        expected(check, path, raw->peer->ip, "an IPv%u address, as local.ip is", out->local.ip.version);
    check_gateway(check, index, raw, out);
}

/* The kernel's interface has all this already, and may change it. */
static void check_shared(const struct check *check, uint32_t index, const struct cw_raw_path *raw,
                         struct cw_config_path *out)
{
    char path[CW_YAML_PATH_SIZE];
    snprintf(path, sizeof path, "paths[%u].shared", index);
    out->is_shared = raw->shared && strcmp(raw->shared, "true") == 0;
    if (raw->shared && !out->is_shared && strcmp(raw->shared, "false") != 0)
        expected(check, path, raw->shared, "true or false");
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
            expected(check, path, others[i].value, "%s", others[i].wanted);
    }
    snprintf(path, sizeof path, "paths[%u].device", index);
    if (!out->is_prepared && !cw_config_may_be_shared(out->device))
        expected(check, path, raw->device,
                 "net_af_xdp0,iface=IFACE or net_af_packet0,iface=IFACE, as it is shared");
}

/* Where a peer that moved is sent to is the router's business; so there has to be one. */
static void check_follow(const struct check *check, uint32_t index, const struct cw_raw_path *raw,
                         struct cw_config_path *out)
{
    char path[CW_YAML_PATH_SIZE];
    snprintf(path, sizeof path, "paths[%u].follow", index);
    out->is_followed = raw->follow && strcmp(raw->follow, "true") == 0;
    if (raw->follow && !out->is_followed && strcmp(raw->follow, "false") != 0)
        expected(check, path, raw->follow, "true or false");
    if (!out->is_followed)
        return;
    if (out->is_shared)
        expected(check, path, raw->follow,
                 "false on a shared interface: the kernel gets what is not from the peer's address");
    else if (out->gateway.version == 0 && !(raw->peer && raw->peer->mac))
        expected(check, path, raw->follow,
                 "local.gateway, or peer.mac of a router: a peer that moves is behind one");
}

static void check_one_path(const struct check *check, uint32_t index)
{
    const struct cw_raw_path *raw = &check->raw->paths[index];
    struct cw_config_path *out = &check->config->paths[index];
    char path[CW_YAML_PATH_SIZE];
    uint64_t mtu = 0, vlan = 0;
    check_path_names(check, index, raw, out);
    snprintf(path, sizeof path, "paths[%u].mtu", index);
    bool is_v6 = raw->local && raw->local->ip && strchr(raw->local->ip, ':') != NULL;
    check_number(check, path, raw->mtu, is_v6 ? MTU_MIN_IPV6 : MTU_MIN, MTU_MAX, &mtu);
    out->mtu = (uint16_t)mtu;
    snprintf(path, sizeof path, "paths[%u].vlan", index);
    if (raw->vlan)
        check_number(check, path, raw->vlan, 1, VLAN_MAX, &vlan);
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
static void check_two_paths(const struct check *check, uint32_t first, uint32_t second)
{
    const struct cw_config_path *before = &check->config->paths[first],
                                *after = &check->config->paths[second];
    const struct cw_raw_path *raw = &check->raw->paths[second];
    char path[CW_YAML_PATH_SIZE];
    if (strcmp(before->remote_node, after->remote_node) != 0) {
        snprintf(path, sizeof path, "paths[%u].remote_node", second);
        expected(check, path, raw->remote_node, "the same as of paths[%u], which leads to the same site",
                 first);
    }
    if (before->vlan == after->vlan && is_same_end(&before->local, &after->local) &&
        is_same_end(&before->peer, &after->peer)) {
        snprintf(path, sizeof path, "paths[%u].local.ip", second);
        expected(check, path, raw->local->ip,
                 "other addresses than those of paths[%u], which leads to the same site", first);
    }
}

/* Against those before it that lead to the same site. */
static void check_beside(const struct check *check, uint32_t index)
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
        expected(check, path, check->raw->paths[index].remote, "another site: %u paths lead there already",
                 CW_CONFIG_PEER_PATHS_MAX);
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
static void check_lanes_of_path(const struct check *check, uint32_t index)
{
    const struct cw_config_path *config = &check->config->paths[index];
    const struct cw_raw_path *raw = &check->raw->paths[index];
    uint32_t last = check->config->lane_count - 1;
    char path[CW_YAML_PATH_SIZE];
    snprintf(path, sizeof path, "paths[%u].shared", index);
    if (last > 0 && config->is_shared)
        expected(check, path, raw->shared, "false, or a single CPU in lcores.net");
    snprintf(path, sizeof path, "paths[%u].local.port", index);
    if (config->local.port + last > UINT16_MAX)
        expected(check, path, raw->local->port, "at most %u: each of %u net lcores sends from one of its own",
                 UINT16_MAX - last, last + 1);
}

static void check_paths(const struct check *check)
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

static void check_poll(const struct check *check)
{
    const char *poll = check->raw->poll;
    check->config->poll = CW_CONFIG_POLL_ADAPTIVE;
    if (poll && strcmp(poll, "dedicated") == 0)
        check->config->poll = CW_CONFIG_POLL_DEDICATED;
    else if (poll && strcmp(poll, "adaptive") != 0)
        expected(check, "poll", poll, "dedicated or adaptive");
}

static void check_duplicates(const struct check *check)
{
    const char *value = check->raw->duplicate_latency;
    check->config->is_latency_duplicated = check_bool(check, "duplicate_latency", value, true);
}

static const char *net_lcore_path(const struct check *check, uint32_t index, char path[CW_YAML_PATH_SIZE])
{
    if (check->config->lane_count > 1)
        snprintf(path, CW_YAML_PATH_SIZE, "lcores.net[%u]", index);
    else
        snprintf(path, CW_YAML_PATH_SIZE, "lcores.net");
    return path;
}

static void check_net_lcore(const struct check *check, uint32_t index)
{
    struct cw_node_config *config = check->config;
    const char *value = check->raw->lcores->net[index];
    char path[CW_YAML_PATH_SIZE];
    net_lcore_path(check, index, path);
    if (config->lane_count > 1 && config->lcores_net[index] == config->lcore_store)
        expected(check, path, value, "another CPU than lcores.store, as there are several");
    for (uint32_t i = 0; i < index; i++) {
        if (config->lcores_net[i] == config->lcores_net[index])
            expected(check, path, value, "another CPU than lcores.net[%u]", i);
    }
}

static void check_lcores(const struct check *check)
{
    const struct cw_raw_config *raw = check->raw;
    struct cw_node_config *config = check->config;
    char path[CW_YAML_PATH_SIZE];
    uint32_t count = raw->lcores && raw->lcores->net ? raw->lcores->net_count : 0;
    config->lane_count = CW_MAX(count, 1u);
    for (uint32_t i = 0; i < count; i++)
        check_number32(check, net_lcore_path(check, i, path), raw->lcores->net[i], 0, CPU_MAX, 0,
                       &config->lcores_net[i]);
    check_number32(check, "lcores.store", raw->lcores ? raw->lcores->store : NULL, 0, CPU_MAX, 0,
                   &config->lcore_store);
    for (uint32_t i = 0; i < count; i++)
        check_net_lcore(check, i);
}

static void check_machine(const struct check *check)
{
    const struct cw_raw_config *raw = check->raw;
    struct cw_node_config *config = check->config;
    check_poll(check);
    check_lcores(check);
    check_number32(check, "memory.payload_mb", raw->memory ? raw->memory->payload_mb : NULL, 8, 65536, 64,
                   &config->payload_mb);
    check_number32(check, "memory.receive_mb", raw->memory ? raw->memory->receive_mb : NULL, 8, 65536, 64,
                   &config->receive_mb);
    cw_config_check_lease(raw, check->lines, config, check->mistakes);
}

static void check_group(const struct check *check, const char *path, const char *name, gid_t *gid)
{
    const struct group *found = name && check->look_at_files ? getgrnam(name) : NULL;
    if (found)
        *gid = found->gr_gid;
    else if (name && check->look_at_files)
        expected(check, path, name, "a group of this machine (getent group)");
}

static void check_operators(const struct check *check)
{
    const char *operators = check->raw->sockets ? check->raw->sockets->operators : NULL;
    check->config->has_operators = operators != NULL;
    check->config->operators = (gid_t)-1;
    if (operators && check->config->socket_mode != 0660)
        expected(check, "sockets.mode", check->raw->sockets->mode,
                 "0660: sockets.operators parts those whom it lets in");
    check_group(check, "sockets.operators", operators, &check->config->operators);
}

static void check_socket_rights(const struct check *check)
{
    const char *mode = check->raw->sockets ? check->raw->sockets->mode : NULL;
    const char *group = check->raw->sockets ? check->raw->sockets->group : NULL;
    check->config->socket_mode = 0600;
    check->config->socket_group = (gid_t)-1;
    if (mode && strcmp(mode, "0660") == 0)
        check->config->socket_mode = 0660;
    else if (mode && strcmp(mode, "0600") != 0)
        expected(check, "sockets.mode", mode, "0600 or 0660");
    if (check->config->socket_mode == 0660 && !group)
        expected(check, "sockets.group", NULL, "the name of the group that mode 0660 lets in");
    check_group(check, "sockets.group", group, &check->config->socket_group);
    check_operators(check);
}

static void read_key(const struct check *check, const char *file)
{
    struct stat about;
    uint8_t bytes[33];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) < 0) {
        expected(check, "cluster_key", file, "a readable file (%s)", strerror(errno));
    } else if (!S_ISREG(about.st_mode) || read(fd, bytes, sizeof bytes) != 32) {
        expected(check, "cluster_key", file, "a file of exactly 32 random bytes (head -c 32 /dev/urandom)");
    } else if (about.st_mode & 077) {
        expected(check, "cluster_key", file, "a file that only its owner may read (chmod 600; it is %04o)",
                 about.st_mode & 07777);
    } else {
        memcpy(check->config->cluster_key, bytes, 32);
    }
    explicit_bzero(bytes, sizeof bytes);
    if (fd >= 0)
        close(fd);
}

static void check_directory(const struct check *check, const char *path, const char *directory)
{
    struct stat about;
    if (!check->look_at_files)
        return;
    if (stat(directory, &about) < 0)
        expected(check, path, directory, "a directory (%s)", strerror(errno));
    else if (!S_ISDIR(about.st_mode))
        expected(check, path, directory, "a directory (it is a file)");
}

const char *const cw_config_security_keys[CW_CONFIG_SECURITY_FILES] = {
    "security.certificate", "security.key", "security.authority", "security.revocations"};

static void look_at_pem(const struct check *check, const char *path, const char *file, bool is_secret)
{
    struct stat about;
    if (access(file, R_OK) < 0 || stat(file, &about) < 0)
        expected(check, path, file, "a readable file (%s)", strerror(errno));
    else if (!S_ISREG(about.st_mode))
        expected(check, path, file, "a file in PEM");
    else if (is_secret && about.st_mode & 077)
        expected(check, path, file, "a file that only its owner may read (chmod 600; it is %04o)",
                 about.st_mode & 07777);
}

/* What stands in the files is the engine's to judge: this reader knows no certificates. */
static void check_certificates(const struct check *check)
{
    struct cw_config_security *security = &check->config->security;
    const char *const values[CW_CONFIG_SECURITY_FILES] = {
        check->raw->security->certificate, check->raw->security->key, check->raw->security->authority,
        check->raw->security->revocations};
    security->has_certificates = true;
    for (uint32_t i = 0; i < CW_CONFIG_SECURITY_FILES; i++) {
        const char *path = cw_config_security_keys[i];
        security->lines[i] = cw_yaml_lines_find(check->lines, path);
        if (check_path(check, path, values[i], NULL, security->files[i], sizeof security->files[i]) &&
            check->look_at_files)
            look_at_pem(check, path, security->files[i], i == 1);
    }
    if (check->raw->cluster_key)
        expected(check, "cluster_key", check->raw->cluster_key, "either cluster_key or security, not both");
}

static void check_cluster_key(const struct check *check)
{
    const char *file = check->raw->cluster_key;
    if (!file)
        expected(check, "cluster_key", NULL, "an absolute path, or security with certificates in its place");
    else if (check_path(check, "cluster_key", file, NULL, check->config->cluster_key_file,
                        sizeof check->config->cluster_key_file) &&
             check->look_at_files)
        read_key(check, check->config->cluster_key_file);
}

/* Nothing goes over a wire in clear, nor to whoever asks. */
static void check_metrics(const struct check *check)
{
    const struct cw_raw_config *raw = check->raw;
    struct cw_node_config *config = check->config;
    check_address(check, "metrics_address", raw->metrics_address, &config->metrics_address);
    if (config->metrics_address.port && !cw_config_address_is_loopback(&config->metrics_address) &&
        (!raw->security || !raw->metrics_token))
        expected(
            check, "metrics_address", raw->metrics_address,
            "an address of this machine alone, such as 127.0.0.1:9749, or security with certificates, and "
            "metrics_token");
    if (raw->metrics_token)
        check_path(check, "metrics_token", raw->metrics_token, NULL, config->metrics_token,
                   sizeof config->metrics_token);
}

static void check_files(const struct check *check)
{
    const struct cw_raw_config *raw = check->raw;
    struct cw_node_config *config = check->config;
    char otherwise[CW_CONFIG_PATH_SIZE + 16];
    if (!check_path(check, "directory", raw->directory, NULL, config->directory, sizeof config->directory))
        return;
    check_directory(check, "directory", config->directory);
    snprintf(otherwise, sizeof otherwise, "%s/storage", config->directory);
    if (check_path(check, "storage", raw->storage, otherwise, config->storage, sizeof config->storage))
        check_directory(check, "storage", config->storage);
    snprintf(otherwise, sizeof otherwise, "%s/engine.sock", config->directory);
    check_path(check, "engine_socket", raw->engine_socket, otherwise, config->engine_socket,
               sizeof config->engine_socket);
    snprintf(otherwise, sizeof otherwise, "%s/control.sock", config->directory);
    check_path(check, "control_socket", raw->control_socket, otherwise, config->control_socket,
               sizeof config->control_socket);
    check_path(check, "nic_directory", raw->nic_directory, "/run/causeway/nic", config->nic_directory,
               sizeof config->nic_directory);
    check_address(check, "control_address", raw->control_address, &config->control_address);
    if (raw->control_address && !raw->security)
        expected(check, "control_address", raw->control_address,
                 "security with certificates, by which controllers know each other");
    check_metrics(check);
    if (raw->security)
        check_certificates(check);
    else
        check_cluster_key(check);
    if (raw->break_glass)
        cw_config_check_break_glass(raw, check->lines, config, check->mistakes);
    if (raw->etcd)
        cw_config_check_etcd(raw, check->lines, config, check->mistakes);
    else if (raw->store)
        check_path(check, "store", raw->store, NULL, config->store_file, sizeof config->store_file);
    else
        expected(check, "store", NULL, "an absolute path: the embedded store; or etcd in its place");
}

void cw_config_check_meaning(const struct cw_raw_config *raw, const struct cw_yaml_lines *lines,
                             bool look_at_files, struct cw_node_config *config,
                             struct cw_config_mistakes *mistakes)
{
    const struct check check = {
        .raw = raw, .lines = lines, .config = config, .mistakes = mistakes, .look_at_files = look_at_files};
    check_sites(&check);
    if (raw->node)
        check_name(&check, "node", raw->node, config->node);
    else
        snprintf(config->node, sizeof config->node, "%s", config->site);
    check_files(&check);
    check_machine(&check);
    check_socket_rights(&check);
    check_duplicates(&check);
    check_paths(&check);
}
