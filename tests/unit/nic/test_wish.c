/* SPDX-License-Identifier: BSD-3-Clause */
/* A wish: the example is good, and every mistake has its file, its line and what was expected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "nic-config/wish.h"

#define ONE(more) "paths:\n  - name: a\n    card: 0000:03:00.0\n" more
#define KEYS_OF_PATH                                                                                         \
    "expected one of name, card, interface, mac, speed, driver, queues, mtu, vlan, addresses, mode, copy"
#define NAME_WORDS "expected a name of 1 to 31 letters, digits, '-', '_', '.'"
#define CARD_WORDS                                                                                           \
    "expected the address of a PCI card, such as 0000:03:00.0, or the name of a device of VMBus"

struct example {
    const char *text;
    const char *mistakes; /* each line begins with FILE: */
};

static const struct example examples[] = {
    {ONE(""), ""},
    {ONE("    vlan: 4094\n    mtu: 9600\n    queues: 4\nhugepages: 0\nlcores: 1\n"), ""},
    {"paths: [{name: a, interface: eth2}, {name: b, interface: eth3}, {name: c, speed: 25G}, {name: d, speed: "
     "25G}]\n",
     ""},
    /* the document */
    {"", "F:1: the file is empty: expected a mapping"},
    {"# nothing\n", "F:1: the file is empty: expected a mapping"},
    {"wan0\n", "F:1: the document is a single value: expected a mapping"},
    {"\tpaths: []\n", "F:1: not YAML: found character that cannot start any token"},
    {"paths: [{name: a\n", "F:2: not YAML: did not find expected ',' or '}'"},
    {ONE("---\npaths: []\n"), "F:4: a second document: expected one"},
    {"paths: &a [{name: a, card: 0000:03:00.0}]\nforce: *a\n", "F:2: force is an alias: expected a list"},
    {"? [a]\n: b\n", "F:1: a key that is a list or mapping: expected a word"},
    /* keys */
    {"lcores: 2\n", "F:1: paths is missing: expected a list of 1 to 8 paths, each with a name and its card"},
    {"paths: []\n", "F:1: paths has 0 entries: expected 1 to 8"},
    {"paths: wan0\n", "F:1: paths is a single value: expected a list"},
    {"paths: [wan0]\n", "F:1: paths[0] is a single value: expected a mapping"},
    {ONE("    mtu: 99\n    colour: red\nlcoers: 2\n"),
     "F:4: paths[0].mtu is 99: expected a number from 576 to 9600\n"
     "F:5: unknown key paths[0].colour: " KEYS_OF_PATH "\n"
     "F:6: unknown key lcoers: expected one of paths, lcores, hugepages, force"},
    {ONE("    card: 0000:04:00.0\n"), "F:4: paths[0].card is given twice: expected once"},
    {ONE("hugepages: 1G\nhugepages: 2G\n"), "F:5: hugepages is given twice: expected once"},
    {ONE("hugepages: {node0: 1G}\n"), "F:4: hugepages is a mapping: expected a single value"},
    {ONE("x: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n"),
     "F:4: unknown key x: expected one of paths, lcores, hugepages, force"},
    {ONE("force: [[eth2]]\n"), "F:4: force[0] is a list: expected a single value"},
    /* which card */
    {"paths:\n  - name: a\n",
     "F:2: paths[0].card is missing: expected one of card, interface, mac and speed, to say which card"},
    {"paths:\n  - card: 0000:03:00.0\n", "F:2: paths[0].name is missing: " NAME_WORDS},
    {ONE("    interface: eth2\n    speed: 25G\n"),
     "F:4: paths[0].interface is eth2: expected one way to say which card, and there is card already\n"
     "F:5: paths[0].speed is 25G: expected one way to say which card, and there is card already"},
    {ONE("  - name: b\n    card: 03:00.0\n"),
     "F:5: paths[1].card is 03:00.0: expected another card than that of paths[0]"},
    {ONE("  - name: b\n    card: 0000:03:00.0\n"),
     "F:5: paths[1].card is 0000:03:00.0: expected another card than that of paths[0]"},
    {"paths:\n  - {name: a, interface: eth2}\n  - {name: b, interface: eth2}\n",
     "F:3: paths[1].interface is eth2: expected another interface than that of paths[0]"},
    {"paths:\n  - {name: a, mac: '52:54:00:00:0a:01'}\n  - {name: b, mac: '52:54:00:00:0A:01'}\n",
     "F:3: paths[1].mac is 52:54:00:00:0A:01: expected another card than that of paths[0]"},
    {"paths:\n  - {name: a, card: '0000:03:00'}\n  - {name: b, card: '0000:3:00.0'}\n  - {name: c, card: "
     "'0000:03:20.0'}\n  - {name: d, card: '0000:03:00.8'}\n  - {name: e, card: eth2}\n  - {name: f, card: }\n",
     "F:2: paths[0].card is 0000:03:00: " CARD_WORDS "\n"
     "F:3: paths[1].card is 0000:3:00.0: " CARD_WORDS "\n"
     "F:4: paths[2].card is 0000:03:20.0: " CARD_WORDS "\n"
     "F:5: paths[3].card is 0000:03:00.8: " CARD_WORDS "\n"
     "F:6: paths[4].card is eth2: " CARD_WORDS "\n"
     "F:7: paths[5].card is empty: " CARD_WORDS},
    {"paths:\n  - {name: a, interface: '../eth2'}\n  - {name: b, interface: abcdefghijklmnop}\n",
     "F:2: paths[0].interface is ../eth2: expected the name of an interface, of 1 to 15 letters, digits, '-', "
     "'_', '.', '@'\n"
     "F:3: paths[1].interface is abcdefghijklmnop: expected the name of an interface, of 1 to 15 letters, "
     "digits, '-', '_', '.', '@'"},
    {"paths:\n  - {name: a, mac: '01:00:5e:00:00:01'}\n  - {name: b, mac: '00:00:00:00:00:00'}\n  - {name: c, "
     "mac: '52:54:00:00:00'}\n",
     "F:2: paths[0].mac is 01:00:5e:00:00:01: expected a unicast MAC address such as 52:54:00:00:00:01\n"
     "F:3: paths[1].mac is 00:00:00:00:00:00: expected a unicast MAC address such as 52:54:00:00:00:01\n"
     "F:4: paths[2].mac is 52:54:00:00:00: expected a unicast MAC address such as 52:54:00:00:00:01"},
    {"paths:\n  - {name: a, speed: 25}\n  - {name: b, speed: 0G}\n  - {name: c, speed: 25gbit}\n  - {name: d, "
     "speed: 1601G}\n  - {name: e, speed: 99999999999999999999G}\n",
     "F:2: paths[0].speed is 25: expected the speed of a link, such as 25G or 1000M\n"
     "F:3: paths[1].speed is 0G: expected the speed of a link, such as 25G or 1000M\n"
     "F:4: paths[2].speed is 25gbit: expected the speed of a link, such as 25G or 1000M\n"
     "F:5: paths[3].speed is 1601G: expected the speed of a link, such as 25G or 1000M\n"
     "F:6: paths[4].speed is 99999999999999999999G: expected the speed of a link, such as 25G or 1000M"},
    /* the rest of a path */
    {"paths:\n  - {name: ../a, card: '03:00.0'}\n  - {name: .a, card: '04:00.0'}\n  - {name: "
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, card: '05:00.0'}\n  - {name: \"a\\nb\", card: '06:00.0'}\n",
     "F:2: paths[0].name is ../a: " NAME_WORDS "\n"
     "F:3: paths[1].name is .a: " NAME_WORDS "\n"
     "F:4: paths[2].name is aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: " NAME_WORDS "\n"
     "F:5: paths[3].name is a?b: " NAME_WORDS},
    {ONE("  - {name: a, card: '04:00.0'}\n"),
     "F:4: paths[1].name is a: expected another name than that of paths[0]"},
    {ONE("    driver: ice\n    queues: 5\n    mtu: 9601\n    vlan: 4095\n"),
     "F:4: paths[0].driver is ice: expected auto, vfio, noiommu, uio, bifurcated, af_xdp or vf\n"
     "F:5: paths[0].queues is 5: expected a number from 1 to 4\n"
     "F:6: paths[0].mtu is 9601: expected a number from 576 to 9600\n"
     "F:7: paths[0].vlan is 4095: expected a number from 1 to 4094"},
    {ONE("    queues: 0x2\n    mtu: -1\n    vlan: 0\n"),
     "F:4: paths[0].queues is 0x2: expected a number from 1 to 4\n"
     "F:5: paths[0].mtu is -1: expected a number from 576 to 9600\n"
     "F:6: paths[0].vlan is 0: expected a number from 1 to 4094"},
    {ONE("    driver: vfio\n    mode: native\n    copy: zero\n"),
     "F:5: paths[0].mode is native: expected it with driver: af_xdp alone\n"
     "F:6: paths[0].copy is zero: expected it with driver: af_xdp alone"},
    {ONE("    mode: zero\n    copy: generic\n"),
     "F:4: paths[0].mode is zero: expected auto, native or generic\n"
     "F:5: paths[0].copy is generic: expected auto, zero or copy"},
    {ONE("    mtu: 1000\n    addresses: [10.9.0.1/33, 10.9.0.256, eth2, 'fd00::1/64', 0.0.0.0, 'fd00::1/64']\n"),
     "F:4: paths[0].mtu is 1000: expected a number from 1280 to 9600\n"
     "F:5: paths[0].addresses[0] is 10.9.0.1/33: expected an address of a host, such as 10.9.0.1/24 or "
     "fd00:9::1/64\n"
     "F:5: paths[0].addresses[1] is 10.9.0.256: expected an address of a host, such as 10.9.0.1/24 or "
     "fd00:9::1/64\n"
     "F:5: paths[0].addresses[2] is eth2: expected an address of a host, such as 10.9.0.1/24 or fd00:9::1/64\n"
     "F:5: paths[0].addresses[4] is 0.0.0.0: expected an address of a host, such as 10.9.0.1/24 or "
     "fd00:9::1/64\n"
     "F:5: paths[0].addresses[5] is fd00::1/64: expected each address once"},
    {ONE("    addresses: 10.9.0.1/24\n  - {name: b, card: '04:00.0', addresses: 10.9.0.1/24}\n"),
     "F:5: paths[1].addresses[0] is 10.9.0.1/24: expected each address once"},
    /* the machine */
    {ONE("lcores: 33\n"), "F:4: lcores is 33: expected a number from 1 to 32"},
    {ONE("lcores: 0\n"), "F:4: lcores is 0: expected a number from 1 to 32"},
    {ONE("lcores: []\n"), "F:4: lcores has 0 entries: expected 1 to 32"},
    {ONE("lcores: [2, 512, two, 2]\n"), "F:4: lcores[1] is 512: expected a number from 0 to 511\n"
                                        "F:4: lcores[2] is two: expected a number from 0 to 511\n"
                                        "F:4: lcores[3] is 2: expected each CPU once"},
    {ONE("hugepages: 1025T\n"),
     "F:4: hugepages is 1025T: expected memory such as 2G: a multiple of 2M, at most 1024G, or 0"},
    {ONE("hugepages: 3M\n"),
     "F:4: hugepages is 3M: expected memory such as 2G: a multiple of 2M, at most 1024G, or 0"},
    {ONE("hugepages: plenty\n"),
     "F:4: hugepages is plenty: expected memory such as 2G: a multiple of 2M, at most 1024G, or 0"},
    {ONE("force: [eth2, all interfaces, group x, group 65536, group 14, group 014, eth2, '']\n"),
     "F:4: force[1] is all interfaces: expected the name of an interface, the address of a card, or an IOMMU group such as group 14\n"
     "F:4: force[2] is group x: expected the name of an interface, the address of a card, or an IOMMU group such as group 14\n"
     "F:4: force[3] is group 65536: expected the name of an interface, the address of a card, or an IOMMU group such as group 14\n"
     "F:4: force[5] is group 014: expected each name once\n"
     "F:4: force[6] is eth2: expected each name once\n"
     "F:4: force[7] is empty: expected the name of an interface, the address of a card, or an IOMMU group such as group 14"},
};

static struct cw_wish wish;

static bool read_text(const char *text, char *mistakes, size_t size)
{
    return cw_wish_read("F", text, strlen(text), &wish, mistakes, size);
}

static void test_mistakes(void **state)
{
    for (size_t i = 0; i < CW_COUNT_OF(examples); i++) {
        char got[4096];
        bool is_good = read_text(examples[i].text, got, sizeof got);
        assert_string_equal(got, examples[i].mistakes);
        assert_int_equal(is_good, got[0] == 0);
    }
}

static void test_values(void **state)
{
    char got[4096];
    assert_true(read_text("paths:\n"
                          "  - {name: a, card: 'AF:1f.7', driver: vfio, queues: 2, mtu: 9000, vlan: 120,\n"
                          "     addresses: [10.9.0.1/24, 'fd00::1']}\n"
                          "  - name: b\n"
                          "    interface: enp3s0f0np0.7\n"
                          "    driver: af_xdp\n"
                          "    mode: native\n"
                          "    copy: copy\n"
                          "  - {name: c, mac: '52:54:00:00:00:01', driver: vf}\n"
                          "  - {name: d, speed: 1000M, addresses: 10.9.1.1}\n"
                          "  - {name: e, card: D34B2567-B9B6-42b9-8778-0a4ec0b955bf}\n"
                          "lcores: [2, 511]\n"
                          "hugepages: 512M\n"
                          "force: [group 014, 0A:00.1]\n",
                          got, sizeof got));
    const struct cw_wish_path *a = &wish.paths[0], *b = &wish.paths[1], *c = &wish.paths[2];
    assert_int_equal(wish.path_count, 5);
    assert_string_equal(a->card, "0000:af:1f.7");
    assert_int_equal(a->driver, CW_DRIVER_VFIO);
    assert_true(a->queues == 2 && a->mtu == 9000 && a->vlan == 120 && a->address_count == 2);
    assert_string_equal(a->addresses[1], "fd00::1");
    assert_string_equal(b->interface, "enp3s0f0np0.7");
    assert_true(b->mode == CW_CHOICE_FIRST && b->copy == CW_CHOICE_SECOND);
    assert_true(b->queues == 1 && b->mtu == 1500 && b->vlan == 0 && b->address_count == 0);
    assert_true(c->has_mac && c->mac[5] == 1 && c->driver == CW_DRIVER_VF);
    assert_true(wish.paths[3].speed_mbps == 1000 && wish.paths[3].address_count == 1);
    assert_string_equal(wish.paths[4].card, "d34b2567-b9b6-42b9-8778-0a4ec0b955bf");
    assert_true(wish.are_lcores_named && wish.lcore_count == 2 && wish.lcores[1] == 511);
    assert_int_equal(wish.hugepages_mib, 512);
    assert_true(cw_wish_has_force(&wish, "0000:0a:00.1"));
    assert_true(cw_wish_has_force(&wish, "group 14") && !cw_wish_has_force(&wish, "group 1"));
    assert_true(read_text("paths:\n"
                          "  - {name: a, card: 0000:03:00.0, driver: vf}\n"
                          "  - {name: b, card: 0000:03:00.0, driver: vf}\n",
                          got, sizeof got));
    assert_true(read_text(ONE("lcores: 3\n"), got, sizeof got));
    assert_true(!wish.are_lcores_named && wish.lcore_count == 3 && wish.hugepages_mib == 1024);
}

static void test_example(void **state)
{
    static char text[16384];
    char got[4096];
    FILE *from = fopen(CW_SOURCE_ROOT "/nic-config/wish.example.yaml", "re");
    assert_non_null(from);
    size_t length = fread(text, 1, sizeof text, from);
    fclose(from);
    bool is_good = cw_wish_read("F", text, length, &wish, got, sizeof got);
    assert_string_equal(got, "");
    assert_true(is_good);
    assert_int_equal(wish.path_count, 2);
    /* The keys that stand as comments are good, too. */
    static const char *const keys[] = {"    # vlan", "    # addresses", "# force"};
    for (size_t i = 0; i < CW_COUNT_OF(keys); i++) {
        char *at = strstr(text, keys[i]);
        assert_non_null(at);
        char *mark = strchr(at, '#');
        bool is_inner = mark > at;
        memmove(mark, mark + 2, (size_t)(text + length - mark) - 2);
        length -= 2;
        assert_true(is_inner || at == text || at[-1] == '\n');
    }
    is_good = cw_wish_read("F", text, length, &wish, got, sizeof got);
    assert_string_equal(got, "");
    assert_true(is_good && wish.paths[0].vlan == 120 && wish.paths[0].address_count == 2 &&
                wish.force_count == 2);
}

/* Mistakes that do not fit are left out whole; a wish that is too long, or too deep, is not read. */
static void test_bounds(void **state)
{
    char got[4096], few[120];
    static char text[CW_WISH_BYTES_MAX + 2];
    assert_false(read_text(ONE("    mtu: 1\n    vlan: 0\n    queues: 9\n"), few, sizeof few));
    assert_string_equal(few, "F:4: paths[0].mtu is 1: expected a number from 576 to 9600\n"
                             "F:5: paths[0].vlan is 0: expected a number from 1 to 4094");
    memset(text, '#', sizeof text - 1);
    assert_false(read_text(text, got, sizeof got));
    assert_string_equal(got, "F:1: longer than 65536 bytes: expected a wish");
    memset(text, '[', 60000);
    memcpy(text, "x: ", 3);
    text[60000] = 0;
    assert_false(read_text(text, got, sizeof got));
    assert_string_equal(got, "F:1: unknown key x: expected one of paths, lcores, hugepages, force\n"
                             "F:2: not YAML: did not find expected node content");
    snprintf(text, sizeof text, "%s", ONE(""));
    memcpy(text + 7, "\x01\xff", 2);
    assert_false(read_text(text, got, sizeof got));
    assert_string_equal(got, "F:1: not YAML: control characters are not allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
