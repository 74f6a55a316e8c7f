/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of a prepared path: any bytes give one whose values are within their bounds, or mistakes with lines. */
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/config/prepared.h"
#include "fuzz.h"

const size_t cw_fuzz_input_max = CW_PREPARED_BYTES_MAX;

static const char *const seeds[] = {
    "format: 1\npath: \"wan0\"\ndevice: \"0000:03:00.0\"\ndriver: \"vfio-pci\"\ncard: \"0000:03:00.0\"\n"
    "interface: \"\"\nshared: false\nnode: 1\nqueues: 2\nmtu: 9000\nvlan: 120\nlcores: [2, 3, 34]\n",
    "format: 1\npath: a\ndevice: net_af_xdp0,iface=eth3\ndriver: ''\ncard: ''\ninterface: eth3\nshared: true\n"
    "node: -1\nqueues: 1\nmtu: 1500\nvlan: 0\nlcores: 2\n",
    "{format: 1, path: a, lcores: []}\n",
};

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    static struct cw_prepared_path path;
    static struct cw_config_mistakes mistakes;
    uint32_t lines = 2;
    if (size > cw_fuzz_input_max)
        return 0;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r' || data[i] >= 0x80; /* YAML has more line ends than one */
    enum cw_status status = cw_prepared_parse((const char *)data, size, &path, &mistakes);
    CW_ASSERT((status == CW_OK) == (mistakes.count == 0));
    for (uint32_t i = 0; i < mistakes.count; i++)
        CW_ASSERT(mistakes.list[i].line <= lines && mistakes.list[i].text[0] != 0);
    if (status != CW_OK)
        return 0;
    CW_ASSERT(cw_config_name_check(path.name));
    CW_ASSERT(path.device[0] != 0 && strchr(path.card, '/') == NULL && strchr(path.driver, '/') == NULL);
    CW_ASSERT(path.queues >= 1 && path.mtu >= 576 && path.mtu <= 9600 && path.vlan <= 4094 &&
              path.node >= -1);
    CW_ASSERT(path.lcore_count <= CW_PREPARED_LCORES_MAX);
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    const char *seed = seeds[cw_rng_below(rng, CW_COUNT_OF(seeds))];
    memcpy(data, seed, strlen(seed));
    return strlen(seed);
}
