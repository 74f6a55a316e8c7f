/* SPDX-License-Identifier: BSD-3-Clause */
/* A wish: any bytes give a wish whose every part is within its bounds, or mistakes, each of them a line with its
 * place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "fuzz.h"
#include "nic-config/wish.h"

#define TEXT_MAX 8192u

const size_t cw_fuzz_input_max = TEXT_MAX;

static const char *const seeds[] = {
    "paths:\n  - name: wan0\n    card: 0000:03:00.0\n    driver: vfio\n    queues: 2\n    mtu: 9000\n    vlan: 120\n"
    "    addresses: [10.9.0.1/24, \"fd00:9::1/64\"]\n",
    "paths: [{name: a, interface: eth2, driver: af_xdp, mode: native, copy: zero}, {name: b, mac: "
    "\"52:54:00:00:00:01\"}, {name: c, speed: 25G, addresses: 10.9.0.1}]\nlcores: 3\nhugepages: 2G\n"
    "force: [eth2, group 14]\n",
    "paths:\n- {name: e, card: d34b2567-b9b6-42b9-8778-0a4ec0b955bf}\nlcores: [2, 3, 511]\nhugepages: 0\nforce: eth2\n",
    "paths: [{name: a, card: 03:00.0}, {name: a, card: 03:00.0, colour: red}]\nlcores: []\nx: y\n",
    "a: &x [1, {b: *x}]\n--- |\n text\n...\n",
};

static void look_at_path(const struct cw_wish *wish, uint32_t index)
{
    const struct cw_wish_path *path = &wish->paths[index];
    unsigned ways =
        (path->card[0] != 0) + (path->interface[0] != 0) + path->has_mac + (path->speed_mbps != 0);
    CW_ASSERT(ways == 1);
    CW_ASSERT(path->name[0] != 0 && path->name[0] != '.');
    CW_ASSERT(strpbrk(path->name, "/ \n") == NULL && strpbrk(path->interface, "/ \n") == NULL);
    CW_ASSERT(path->driver < CW_DRIVER_COUNT);
    CW_ASSERT(path->queues >= 1 && path->queues <= CW_WISH_QUEUES_MAX);
    CW_ASSERT(path->mtu >= 576 && path->mtu <= 9600 && path->vlan <= 4094);
    CW_ASSERT(path->address_count <= CW_ADDRESSES_MAX);
    for (uint32_t i = 0; i < index; i++)
        CW_ASSERT(strcmp(wish->paths[i].name, path->name) != 0);
}

static void look_at_wish(const struct cw_wish *wish)
{
    CW_ASSERT(wish->path_count >= 1 && wish->path_count <= CW_WISH_PATHS_MAX);
    for (uint32_t i = 0; i < wish->path_count; i++)
        look_at_path(wish, i);
    CW_ASSERT(wish->lcore_count <= CW_WISH_LCORES_MAX && wish->force_count <= CW_WISH_FORCE_MAX);
    for (uint32_t i = 0; wish->are_lcores_named && i < wish->lcore_count; i++)
        CW_ASSERT(wish->lcores[i] < CW_CPUS_MAX);
    CW_ASSERT(wish->hugepages_mib >= 0);
    for (uint32_t i = 0; i < wish->force_count; i++)
        CW_ASSERT(wish->force[i][0] != 0 && strchr(wish->force[i], '/') == NULL);
}

/* "F:LINE: words" each, none beyond the end of the text. */
static void look_at_mistakes(const char *mistakes, unsigned lines)
{
    CW_ASSERT(mistakes[0] != 0);
    for (const char *at = mistakes; at != NULL; at = strchr(at, '\n')) {
        char *end;
        at += *at == '\n';
        CW_ASSERT(strncmp(at, "F:", 2) == 0);
        unsigned long line = strtoul(at + 2, &end, 10);
        CW_ASSERT(line >= 1 && line <= lines && strncmp(end, ": ", 2) == 0 && end[2] >= ' ');
    }
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    static struct cw_wish wish;
    static char mistakes[32768];
    unsigned lines = 2;
    if (size > cw_fuzz_input_max)
        return 0;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r' || data[i] >= 0x80; /* YAML has more line ends than one */
    bool is_good = cw_wish_read("F", (const char *)data, size, &wish, mistakes, sizeof mistakes);
    if (is_good)
        look_at_wish(&wish);
    else
        look_at_mistakes(mistakes, lines);
    CW_ASSERT(is_good == (mistakes[0] == 0));
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    const char *seed = seeds[cw_rng_below(rng, CW_COUNT_OF(seeds))];
    size_t length = strlen(seed);
    memcpy(data, seed, length);
    return length;
}
