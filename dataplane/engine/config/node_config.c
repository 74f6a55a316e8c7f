/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/config/node_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/config/raw_config.h"

/* Everything is optional here: what is missing is said with all other mistakes of meaning. */
#define WORD(key, type, member)                                                                              \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 0, CYAML_UNLIMITED)
#define PART(key, member, fields)                                                                            \
    CYAML_FIELD_MAPPING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct cw_raw_config, member,     \
                            fields)

static const cyaml_schema_field_t endpoint_fields[] = {
    WORD("mac", struct cw_raw_endpoint, mac), WORD("ip", struct cw_raw_endpoint, ip),
    WORD("port", struct cw_raw_endpoint, port), WORD("gateway", struct cw_raw_endpoint, gateway),
    CYAML_FIELD_END};

static const cyaml_schema_field_t path_fields[] = {
    WORD("name", struct cw_raw_path, name),
    WORD("remote", struct cw_raw_path, remote),
    WORD("remote_node", struct cw_raw_path, remote_node),
    WORD("device", struct cw_raw_path, device),
    WORD("mtu", struct cw_raw_path, mtu),
    WORD("vlan", struct cw_raw_path, vlan),
    WORD("shared", struct cw_raw_path, shared),
    WORD("follow", struct cw_raw_path, follow),
    CYAML_FIELD_MAPPING_PTR("local", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct cw_raw_path, local,
                            endpoint_fields),
    CYAML_FIELD_MAPPING_PTR("peer", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct cw_raw_path, peer,
                            endpoint_fields),
    WORD("rate", struct cw_raw_path, rate),
    WORD("rate_control", struct cw_raw_path, rate_control),
    WORD("circuit_loss", struct cw_raw_path, circuit_loss),
    WORD("circuit_delay", struct cw_raw_path, circuit_delay),
    WORD("in_flight", struct cw_raw_path, in_flight),
    WORD("fec", struct cw_raw_path, fec),
    CYAML_FIELD_END};
static const cyaml_schema_value_t path_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct cw_raw_path, path_fields)};

static const cyaml_schema_field_t site_fields[] = {
    WORD("name", struct cw_raw_site, name),           WORD("id", struct cw_raw_site, id),
    WORD("directory", struct cw_raw_site, directory), WORD("control", struct cw_raw_site, control),
    WORD("witness", struct cw_raw_site, witness),     CYAML_FIELD_END};
static const cyaml_schema_value_t site_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct cw_raw_site, site_fields)};

static const cyaml_schema_field_t security_fields[] = {
    WORD("certificate", __typeof__(*((struct cw_raw_config *)0)->security), certificate),
    WORD("key", __typeof__(*((struct cw_raw_config *)0)->security), key),
    WORD("authority", __typeof__(*((struct cw_raw_config *)0)->security), authority),
    WORD("revocations", __typeof__(*((struct cw_raw_config *)0)->security), revocations), CYAML_FIELD_END};
static const cyaml_schema_value_t word_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};
static const cyaml_schema_field_t lcores_fields[] = {
    CYAML_FIELD_SEQUENCE_COUNT("net", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               __typeof__(*((struct cw_raw_config *)0)->lcores), net, net_count, &word_schema,
                               1, CW_CONFIG_LANES_MAX),
    WORD("store", __typeof__(*((struct cw_raw_config *)0)->lcores), store), CYAML_FIELD_END};
static const cyaml_schema_field_t etcd_fields[] = {
    CYAML_FIELD_SEQUENCE_COUNT("endpoints", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               __typeof__(*((struct cw_raw_config *)0)->etcd), endpoints, endpoints_count,
                               &word_schema, 1, CW_CONFIG_ETCD_MAX),
    WORD("prefix", __typeof__(*((struct cw_raw_config *)0)->etcd), prefix),
    WORD("certificate", __typeof__(*((struct cw_raw_config *)0)->etcd), certificate),
    WORD("key", __typeof__(*((struct cw_raw_config *)0)->etcd), key),
    WORD("authority", __typeof__(*((struct cw_raw_config *)0)->etcd), authority),
    CYAML_FIELD_END};
static const cyaml_schema_field_t break_glass_fields[] = {
    WORD("threshold", __typeof__(*((struct cw_raw_config *)0)->break_glass), threshold),
    WORD("cluster", __typeof__(*((struct cw_raw_config *)0)->break_glass), cluster),
    CYAML_FIELD_SEQUENCE_COUNT("keys", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               __typeof__(*((struct cw_raw_config *)0)->break_glass), keys, keys_count,
                               &word_schema, 1, CW_CONFIG_OPERATOR_KEYS),
    CYAML_FIELD_END};
static const cyaml_schema_field_t memory_fields[] = {
    WORD("payload_mb", __typeof__(*((struct cw_raw_config *)0)->memory), payload_mb),
    WORD("receive_mb", __typeof__(*((struct cw_raw_config *)0)->memory), receive_mb), CYAML_FIELD_END};
static const cyaml_schema_field_t sockets_fields[] = {
    WORD("mode", __typeof__(*((struct cw_raw_config *)0)->sockets), mode),
    WORD("group", __typeof__(*((struct cw_raw_config *)0)->sockets), group),
    WORD("operators", __typeof__(*((struct cw_raw_config *)0)->sockets), operators), CYAML_FIELD_END};

static const cyaml_schema_field_t config_fields[] = {
    WORD("node", struct cw_raw_config, node),
    WORD("site", struct cw_raw_config, site),
    CYAML_FIELD_SEQUENCE_COUNT("sites", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct cw_raw_config, sites,
                               sites_count, &site_schema, 1, CW_CONFIG_SITES_MAX),
    WORD("directory", struct cw_raw_config, directory),
    WORD("storage", struct cw_raw_config, storage),
    WORD("cluster_key", struct cw_raw_config, cluster_key),
    PART("security", security, security_fields),
    WORD("poll", struct cw_raw_config, poll),
    PART("lcores", lcores, lcores_fields),
    PART("memory", memory, memory_fields),
    PART("sockets", sockets, sockets_fields),
    WORD("engine_socket", struct cw_raw_config, engine_socket),
    WORD("control_socket", struct cw_raw_config, control_socket),
    WORD("control_address", struct cw_raw_config, control_address),
    WORD("metrics_address", struct cw_raw_config, metrics_address),
    WORD("metrics_token", struct cw_raw_config, metrics_token),
    WORD("store", struct cw_raw_config, store),
    PART("etcd", etcd, etcd_fields),
    PART("break_glass", break_glass, break_glass_fields),
    WORD("lease_seconds", struct cw_raw_config, lease_seconds),
    WORD("on_store_loss", struct cw_raw_config, on_store_loss),
    WORD("duplicate_latency", struct cw_raw_config, duplicate_latency),
    WORD("nic_directory", struct cw_raw_config, nic_directory),
    CYAML_FIELD_SEQUENCE_COUNT("paths", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct cw_raw_config, paths,
                               paths_count, &path_schema, 0, CW_CONFIG_PATHS_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct cw_raw_config, config_fields)};

enum cw_status cw_node_config_parse(const char *text, size_t length, bool look_at_files,
                                    struct cw_node_config *config, struct cw_config_mistakes *mistakes)
{
    struct cw_yaml_lines *lines = calloc(1, sizeof *lines);
    *config = (struct cw_node_config){0};
    *mistakes = (struct cw_config_mistakes){0};
    if (!lines) {
        cw_config_mistake_add(mistakes, 0, "no memory");
        return CW_INVALID;
    }
    struct cw_raw_config *raw = cw_yaml_load(text, length, &config_schema, lines, mistakes);
    if (raw) {
        cw_config_check_meaning(raw, lines, look_at_files, config, mistakes);
        cw_yaml_free(&config_schema, raw);
    }
    free(lines);
    cw_config_mistakes_sort(mistakes);
    return mistakes->count ? CW_INVALID : CW_OK;
}

static_assert((CW_CONFIG_PACKETS_FIXED_MIN & (CW_CONFIG_PACKETS_FIXED_MIN - 1)) == 0 &&
                  (CW_CONFIG_PACKETS_ADAPTIVE_MIN & (CW_CONFIG_PACKETS_ADAPTIVE_MIN - 1)) == 0 &&
                  (CW_CONFIG_PACKETS_MAX & (CW_CONFIG_PACKETS_MAX - 1)) == 0 &&
                  (CW_CONFIG_PACKETS_ASKED_MAX & (CW_CONFIG_PACKETS_ASKED_MAX - 1)) == 0,
              "doubling the least ends at a power of two that is not above the most");

uint32_t cw_config_packets_in_flight(const struct cw_config_path *path)
{
    bool is_asked = path->in_flight_bytes != 0, is_fixed = path->rate_control == CW_CONFIG_RATE_FIXED;
    uint64_t of_rate = path->rate_bits_per_second / 8 * CW_CONFIG_IN_FLIGHT_MS / 1000;
    uint64_t wanted = (is_asked ? path->in_flight_bytes : of_rate) / path->mtu;
    uint32_t most = is_asked ? CW_CONFIG_PACKETS_ASKED_MAX : CW_CONFIG_PACKETS_MAX;
    uint32_t packets = is_fixed ? CW_CONFIG_PACKETS_FIXED_MIN : CW_CONFIG_PACKETS_ADAPTIVE_MIN;
    while (packets < wanted && packets < most)
        packets *= 2;
    return packets;
}

bool cw_config_may_be_shared(const char *device)
{
    return strncmp(device, "net_af_xdp", strlen("net_af_xdp")) == 0 ||
           strncmp(device, "net_af_packet", strlen("net_af_packet")) == 0;
}

/* Whole file, ended by a 0; NULL with errno. The caller frees. */
static char *read_file(const char *file, size_t *length)
{
    FILE *from = fopen(file, "re");
    if (!from)
        return NULL;
    char *text = malloc(CW_CONFIG_BYTES_MAX + 2);
    if (text) {
        *length = fread(text, 1, CW_CONFIG_BYTES_MAX + 1, from);
        text[*length] = 0;
        if (ferror(from)) {
            free(text);
            text = NULL;
            errno = EIO;
        }
    }
    fclose(from);
    return text;
}

enum cw_status cw_node_config_load(const char *file, struct cw_node_config *config,
                                   struct cw_config_mistakes *mistakes)
{
    size_t length = 0;
    *config = (struct cw_node_config){0};
    *mistakes = (struct cw_config_mistakes){0};
    char *text = read_file(file, &length);
    if (!text) {
        cw_config_mistake_add(mistakes, 0, "cannot be read: %s", strerror(errno));
        return CW_INVALID;
    }
    enum cw_status status = CW_INVALID;
    if (length > CW_CONFIG_BYTES_MAX)
        cw_config_mistake_add(mistakes, 0, "longer than %u bytes: expected a configuration",
                              CW_CONFIG_BYTES_MAX);
    else
        status = cw_node_config_parse(text, length, true, config, mistakes);
    free(text);
    return status;
}

int cw_node_config_check_main(const char *file)
{
    struct cw_node_config config;
    struct cw_config_mistakes mistakes;
    if (cw_node_config_load(file, &config, &mistakes) == CW_OK) {
        printf("%s: good: node %s of site %s, %u sites, %u paths to %u of them\n", file, config.node,
               config.site, config.site_count, config.path_count, config.peer_count);
        return 0;
    }
    cw_config_mistakes_print(stderr, file, &mistakes);
    return 1;
}
