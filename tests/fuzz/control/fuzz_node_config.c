/* SPDX-License-Identifier: BSD-3-Clause */
/* A node's configuration: any bytes give a configuration or at least one mistake, with a line of the text. */
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/config/node_config.h"
#include "seeds.h"

const size_t cw_fuzz_input_max = CW_FUZZ_TEXT_MAX;

#define HEAD                                                                                                 \
    "site: east\nsites: [{name: east, id: 0, directory: /e}, {name: west, id: 1}]\ndirectory: /lab/east\n"   \
    "store: /lab/store.db\ncluster_key: /lab/key\n"

static const char *const seeds[] = {
    HEAD,
    HEAD "poll: adaptive\nlcores: {net: 0, store: 1}\nmemory: {payload_mb: 64, receive_mb: 64}\n"
         "sockets: {mode: \"0660\", group: disk}\nlease_seconds: 5\non_store_loss: "
         "freeze\nduplicate_latency: false\nengine_socket: /a\ncontrol_socket: /b\n",
    HEAD "paths:\n  - name: wan0\n    remote: west\n    device: net_memif0\n    mtu: 1500\n    rate: 10gbit\n"
         "    local: {mac: \"02:ca:00:00:00:01\", ip: 10.77.0.1, port: 7400}\n"
         "    peer: {mac: \"02:ca:00:00:00:02\", ip: 10.77.0.2, port: 7400}\n"
         "  - {name: wan1, remote: west, device: net_memif1, mtu: 1500, local: {ip: 10.77.1.1, port: 7400},\n"
         "     peer: {ip: 10.77.1.2, port: 7400}}\n",
    "a: &x [1, {b: *x}]\n--- |\n text\n...\n",
    "{[}]",
};

/* Every path is one peer's. */
static void look_at_peers(const struct cw_node_config *config)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < config->peer_count; i++) {
        const struct cw_config_peer *peer = &config->peers[i];
        CW_ASSERT(peer->path_count >= 1 && peer->path_count <= CW_CONFIG_PEER_PATHS_MAX);
        for (unsigned p = 0; p < peer->path_count; p++) {
            CW_ASSERT(peer->paths[p] < config->path_count && (seen & 1u << peer->paths[p]) == 0);
            CW_ASSERT(strcmp(config->paths[peer->paths[p]].remote, config->paths[peer->paths[0]].remote) ==
                      0);
            seen |= 1u << peer->paths[p];
        }
    }
    CW_ASSERT(seen == (1u << config->path_count) - 1);
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    static struct cw_node_config config;
    static struct cw_config_mistakes mistakes;
    uint32_t lines = 2;
    if (size > cw_fuzz_input_max)
        return 0;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r' || data[i] >= 0x80; /* YAML has more line ends than one */
    enum cw_status status = cw_node_config_parse((const char *)data, size, false, &config, &mistakes);
    CW_ASSERT((status == CW_OK) == (mistakes.count == 0));
    for (uint32_t i = 0; i < mistakes.count; i++) {
        CW_ASSERT(mistakes.list[i].line <= lines);
        CW_ASSERT(mistakes.list[i].text[0] != 0);
    }
    if (status == CW_OK) {
        CW_ASSERT(config.site_count >= 1 && config.site_count <= CW_CONFIG_SITES_MAX);
        CW_ASSERT(config.path_count <= CW_CONFIG_PATHS_MAX);
        CW_ASSERT(cw_config_name_check(config.site));
        look_at_peers(&config);
    }
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    return cw_fuzz_pick(rng, seeds, CW_COUNT_OF(seeds), data);
}
