/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each file of a machine in turn is nonsense of each kind, and the probe comes back with sound facts; then all of them are
 * changed at random places. test_garbage [SEED [COUNT]]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "facts_sound.h"
#include "nic-config/probe.h"
#include "small_machine.h"

#define BIG_BYTES 200000u

static struct cw_machine machine;
static struct cw_facts facts;
static char big[BIG_BYTES];
static uint64_t probes, doubts;

static void look(void)
{
    cw_probe(&machine, &facts);
    cw_probe_files(&machine, "/answers", "/proc", &facts);
    facts_are_sound(&facts);
    probes++;
    doubts += facts.doubt_count;
}

static const char *const words[] = {
    "",
    "\n",
    "-1",
    "4294967295",
    "99999999999999999999999",
    "-99999999999999999999999",
    "0x",
    "0xffffffffffffffffff",
    "0-99999",
    "3-1,,7-",
    "\xff\xfe\x80 \x1b[2J",
    "$(reboot)`reboot`;reboot",
    "{}",
    "[]",
    "[17,null,[],\"\",{}]",
    "[{\"ifname\":7,\"flags\":{},\"mtu\":[],\"dst\":{},\"name\":null,\"addr_info\":[3],\"nexthops\":[3]}]",
    "[{\"ifname\":\"bond0\",\"dst\":\"default\",\"dev\":\"bond0\",\"gateway\":\"$(reboot)\",\"local\":\"x\"}]",
    "[{\"ifname\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"master\":\"../../etc\"}]",
    "{\"ens1\":{\"queues\":-1,\"speed\":1e300},\"eth5\":7}",
};

static void put_big(const char *path, char fill)
{
    memset(big, fill, sizeof big);
    tree_put_bytes(&machine, path, big, sizeof big);
}

static void try_kinds_of_files(const char *path)
{
    char place[512];
    tree_place(&machine, path, place);
    unlink(place);
    look();
    CW_ASSERT(mkfifo(place, 0644) == 0);
    look();
    unlink(place);
    tree_link(&machine, path, place + strlen(machine.root));
    look(); /* a link to itself */
    tree_link(&machine, path, "/etc/passwd");
    look();
    unlink(place);
    CW_ASSERT(mkdir(place, 0755) == 0);
    look();
    CW_ASSERT(rmdir(place) == 0);
}

static void test_each_file(void)
{
    for (size_t i = 0; i < CW_COUNT_OF(small_files); i++) {
        const char *path = small_files[i].path, *text = small_files[i].text;
        for (size_t j = 0; j < CW_COUNT_OF(words); j++) {
            tree_put(&machine, path, words[j]);
            look();
        }
        for (const char *fill = "7[{\xff"; *fill != '\0'; fill++) {
            put_big(path, *fill);
            look();
        }
        put_big(path, '\0');
        look();
        tree_put_bytes(&machine, path, text, strlen(text) / 2);
        look();
        try_kinds_of_files(path);
        tree_put(&machine, path, text);
    }
}

static void test_each_link(void)
{
    static const char *const targets[] = {".",
                                          "/",
                                          "..",
                                          "../-7",
                                          "../999999999999",
                                          "../\xff\x1b[2J",
                                          "/etc/passwd",
                                          "../0000:zz:00.0",
                                          "../0000:06:00.0"};
    for (size_t i = 0; i < CW_COUNT_OF(small_links); i++) {
        char place[512];
        for (size_t j = 0; j < CW_COUNT_OF(targets); j++) {
            tree_link(&machine, small_links[i].path, targets[j]);
            look();
        }
        memset(big, 'x', 4000);
        big[4000] = '\0';
        tree_link(&machine, small_links[i].path, big);
        look();
        tree_place(&machine, small_links[i].path, place);
        unlink(place);
        tree_put(&machine, small_links[i].path, "no link");
        look();
        tree_link(&machine, small_links[i].path, small_links[i].target);
    }
}

/* A few bytes of a few files at once: changed, doubled, left out. */
static void change(struct cw_rng *rng)
{
    static const char likely[] = "0123456789-,:/{}[]\"\\ \n";
    size_t i = cw_rng_below(rng, CW_COUNT_OF(small_files));
    char text[8192];
    size_t length = strlen(small_files[i].text);
    CW_ASSERT(length < sizeof text / 2);
    memcpy(text, small_files[i].text, length);
    for (uint64_t changes = 1 + cw_rng_below(rng, 4); changes > 0 && length > 0; changes--) {
        size_t at = cw_rng_below(rng, length), part = cw_rng_below(rng, CW_MIN(length - at, 16) + 1);
        switch (cw_rng_below(rng, 4)) {
        case 0:
            text[at] = (char)cw_rng_below(rng, 256);
            break;
        case 1:
            text[at] = likely[cw_rng_below(rng, sizeof likely - 1)];
            break;
        case 2:
            memmove(text + at, text + at + part, length - at - part);
            length -= part;
            break;
        default:
            memmove(text + at + part, text + at, length - at);
            length += part;
        }
    }
    tree_put_bytes(&machine, small_files[i].path, text, length);
}

static void test_changes(uint64_t seed, uint64_t count)
{
    struct cw_rng rng = {seed};
    for (uint64_t i = 0; i < count; i++) {
        if (i % 8 == 0)
            for (size_t j = 0; j < CW_COUNT_OF(small_files); j++)
                tree_put(&machine, small_files[j].path, small_files[j].text);
        change(&rng);
        look();
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 300;
    small_machine(&machine);
    test_each_file();
    test_each_link();
    test_changes(seed, count);
    tree_end(&machine);
    printf("%llu machines, %llu doubts\n", (unsigned long long)probes, (unsigned long long)doubts);
    return doubts > probes / 2 ? 0 : 1; /* nonsense that nobody doubts was believed */
}
