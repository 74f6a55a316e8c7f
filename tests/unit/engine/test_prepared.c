/* SPDX-License-Identifier: BSD-3-Clause */
/* Prepared paths: what nic-config writes is read, all mistakes are told, what the configuration wants is held against
 * it, and so is the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/numbers.h"
#include "engine/config/prepared.h"

#define GOLDEN CW_SOURCE_ROOT "/tests/unit/nic/golden/"

static char folder[64];

static void put(const char *name, const char *text, size_t length)
{
    char file[256];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    FILE *to = fopen(file, "we");
    assert_non_null(to);
    assert_int_equal(fwrite(text, 1, length, to), length);
    fclose(to);
}

static size_t read_golden(const char *name, char *text, size_t size)
{
    char file[256];
    snprintf(file, sizeof file, GOLDEN "%s", name);
    FILE *from = fopen(file, "re");
    assert_non_null(from);
    size_t length = fread(text, 1, size - 1, from);
    text[length] = 0;
    fclose(from);
    return length;
}

/* The configuration of a node whose paths are these lines each. */
static void configure(struct cw_node_config *config, const char *head, const char *paths)
{
    static struct cw_config_mistakes mistakes;
    char text[4096];
    snprintf(text, sizeof text,
             "site: east\nsites: [{name: east, id: 0}, {name: west, id: 1}]\ndirectory: /e\nstore: /s\n"
             "cluster_key: /k\nnic_directory: %s\n%spaths:\n%s",
             folder, head, paths);
    if (cw_node_config_parse(text, strlen(text), false, config, &mistakes) != CW_OK)
        fail_msg("%u: %s", mistakes.list[0].line, mistakes.list[0].text);
}

#define ENDS(network) "local: {ip: " network ".1/24, port: 7400}, peer: {ip: " network ".2, port: 7400}"
#define WAN0          "  - {name: wan0, remote: west, device: prepared, mtu: 9000, vlan: 120, " ENDS("10.77.0") "}\n"
#define WAN1          "  - {name: wan1, remote: west, device: prepared, mtu: 1500, " ENDS("10.77.1") "}\n"

static struct cw_node_config config;
static struct cw_prepared_path prepared[CW_CONFIG_PATHS_MAX];
static char said[4096];

static enum cw_status load(const char *head, const char *paths)
{
    configure(&config, head, paths);
    return cw_prepared_load(&config, "N", prepared, said, sizeof said);
}

/* Both files of nic-config's own test, byte for byte. */
static void test_what_apply_wrote(void **state)
{
    char text[1024];
    put("wan0.yaml", text, read_golden("wan0.yaml", text, sizeof text));
    put("wan1.yaml", text, read_golden("wan1.yaml", text, sizeof text));
    enum cw_status status = load("", WAN0 WAN1);
    assert_string_equal(said, "");
    assert_int_equal(status, CW_OK);
    assert_string_equal(config.paths[0].device, "0000:03:00.0");
    assert_false(config.paths[0].is_shared);
    assert_string_equal(config.paths[1].device, "net_af_xdp0,iface=eth3");
    assert_true(config.paths[1].is_shared);
    assert_string_equal(prepared[0].driver, "vfio-pci");
    assert_true(prepared[0].queues == 2 && prepared[0].mtu == 9000 && prepared[0].vlan == 120);
    assert_true(prepared[0].node == 1 && prepared[1].node == -1);
    assert_true(prepared[0].lcore_count == 3 && prepared[0].lcores[2] == 34);
    assert_string_equal(prepared[1].interface, "eth3");
}

#define GOOD_BUT(change)                                                                                     \
    "format: 1\npath: a\ndevice: 0000:03:00.0\ndriver: vfio-pci\ncard: 0000:03:00.0\ninterface: ''\n"        \
    "shared: false\nnode: 0\nqueues: 2\nmtu: 9000\nvlan: 0\nlcores: []\n" change

static const struct {
    const char *text, *mistakes;
} texts[] = {
    {GOOD_BUT(""), ""},
    {"", "1: the file is empty: expected a mapping\n"},
    {GOOD_BUT("colour: red\n"), "13: unknown key colour: expected one of format, path, device, driver, card, "
                                "interface, shared, node, queues, mtu, vlan, lcores\n"},
    {GOOD_BUT("mtu: 9000\n"), "13: mtu is given twice: expected once\n"},
    {"format: 2\n", "1: format is 2: expected a number from 1 to 1\n"
                    "1: path is missing: expected the name of a path\n"
                    "1: device is missing: expected 1 to 255 bytes\n"
                    "1: driver is missing: expected 0 to 39 bytes\n"
                    "1: card is missing: expected 0 to 39 bytes\n"
                    "1: interface is missing: expected 0 to 39 bytes\n"
                    "1: shared is missing: expected true or false\n"
                    "1: node is missing: expected a number from 0 to 1023\n"
                    "1: queues is missing: expected a number from 1 to 64\n"
                    "1: mtu is missing: expected a number from 576 to 9600\n"
                    "1: vlan is missing: expected a number from 0 to 4094\n"
                    "1: lcores is missing: expected a list of CPUs\n"},
    {"format: 1\npath: ../a\ndevice: prepared\ndriver: ../../x\ncard: 0000:03:00.0\n"
     "interface: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nshared: yes\nnode: -2\nqueues: 0\nmtu: 575\n"
     "vlan: 4095\nlcores: [1024]\n",
     "2: path is ../a: expected the name of a path\n"
     "3: device is prepared: expected a device of DPDK\n"
     "5: card is 0000:03:00.0: expected an address and a driver without a slash\n"
     "6: interface is aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: expected 0 to 39 bytes\n"
     "7: shared is yes: expected true or false\n"
     "8: node is -2: expected a number from 0 to 1023\n"
     "9: queues is 0: expected a number from 1 to 64\n"
     "10: mtu is 575: expected a number from 576 to 9600\n"
     "11: vlan is 4095: expected a number from 0 to 4094\n"
     "12: lcores[0] is 1024: expected a number from 0 to 1023\n"},
    {"format: 1\npath: a\ndevice: 0000:03:00.0\ndriver: ice\ncard: ''\ninterface: eth2\nshared: true\nnode: 0\n"
     "queues: 1\nmtu: 9000\nvlan: 0\nlcores: 2\n",
     "7: shared is true: expected false, as 0000:03:00.0 is none of af_xdp or af_packet\n"},
};

static void test_texts(void **state)
{
    static struct cw_config_mistakes mistakes;
    for (size_t i = 0; i < CW_COUNT_OF(texts); i++) {
        char got[4096] = "";
        size_t used = 0;
        enum cw_status status =
            cw_prepared_parse(texts[i].text, strlen(texts[i].text), &prepared[0], &mistakes);
        for (uint32_t k = 0; k < mistakes.count; k++)
            used += (size_t)snprintf(got + used, sizeof got - used, "%u: %s\n", mistakes.list[k].line,
                                     mistakes.list[k].text);
        assert_string_equal(got, texts[i].mistakes);
        assert_int_equal(status, got[0] ? CW_INVALID : CW_OK);
    }
}

/* FOLDER in it is the test's. */
static void expect_said(const char *wanted)
{
    char got[4096];
    size_t used = 0, length = strlen(folder);
    for (const char *at = said; *at; used++) {
        if (strncmp(at, folder, length) == 0) {
            memcpy(got + used, "FOLDER", 6);
            used += 5;
            at += length;
        } else {
            got[used] = *at++;
        }
    }
    got[used] = 0;
    assert_string_equal(got, wanted);
}

static void test_files(void **state)
{
    char long_text[CW_PREPARED_BYTES_MAX + 1], file[256], text[1024];
    assert_int_equal(
        load("", "  - {name: none, remote: west, device: prepared, mtu: 1500, " ENDS("10.77.0") "}\n"),
        CW_INVALID);
    expect_said(
        "path none: FOLDER/none.yaml is not there: run causeway nic apply WISH --yes, or name a device in the "
        "path's `device`");
    assert_string_equal(config.paths[0].device, "prepared");
    memset(long_text, '#', sizeof long_text);
    put("long.yaml", long_text, sizeof long_text);
    assert_int_equal(
        load("", "  - {name: long, remote: west, device: prepared, mtu: 1500, " ENDS("10.77.0") "}\n"),
        CW_INVALID);
    expect_said(
        "FOLDER/long.yaml:1: longer than 4096 bytes: expected a prepared path\n"
        "path long: causeway nic apply makes that file: causeway nic revert --yes, and apply the wish again");
    put("other.yaml", text, read_golden("wan0.yaml", text, sizeof text));
    assert_int_equal(
        load("", "  - {name: other, remote: west, device: prepared, mtu: 1500, " ENDS("10.77.0") "}\n"),
        CW_INVALID);
    expect_said(
        "FOLDER/other.yaml:1: path is wan0: expected other, as the file is named\n"
        "path other: causeway nic apply makes that file: causeway nic revert --yes, and apply the wish again");
    snprintf(file, sizeof file, "%s/fifo.yaml", folder);
    assert_int_equal(mkfifo(file, 0600), 0);
    assert_int_equal(
        load("", "  - {name: fifo, remote: west, device: prepared, mtu: 1500, " ENDS("10.77.0") "}\n"),
        CW_INVALID);
    expect_said(
        "path fifo: FOLDER/fifo.yaml is no file: causeway nic revert, and causeway nic apply WISH --yes");
}

/* What the configuration wants and the wish has not given. */
static void test_against(void **state)
{
    assert_int_equal(
        load(
            "lcores: {net: [1, 2, 3], store: 0}\n",
            "  - {name: wan0, remote: west, device: prepared, mtu: 9001, " ENDS(
                "10.77.0") "}\n"
                           "  - name: wan1\n    remote: west\n    device: prepared\n    mtu: 1501\n    vlan: 3\n    follow: true\n"
                           "    local: {mac: '02:00:00:00:00:01', ip: 10.77.1.1/24, port: 7400, gateway: 10.77.1.9}\n"
                           "    peer: {mac: '02:00:00:00:00:02', ip: 10.78.1.2, port: 7400}\n"),
        CW_INVALID);
    const char *shared =
        "path wan1 is prepared on an interface that the kernel keeps (shared: true): expected ";
    char wanted[4096];
    snprintf(
        wanted, sizeof wanted,
        "N:9: path wan0 has vlan 0, and is prepared with 120 (0: none): expected the same: change the path, or the "
        "wish, and causeway nic apply\n"
        "N:9: path wan0 wants 3 queues, one for each net lcore, and is prepared with 2: name fewer CPUs in "
        "lcores.net, or say queues: 3 in the wish, and causeway nic apply\n"
        "N:9: path wan0 has mtu 9001, and is prepared with 9000: lower it, or say mtu: 9001 in the wish, and "
        "causeway nic apply\n"
        "N:12: %sno local.mac: a shared interface has its own\n"
        "N:12: %sno peer.mac: the kernel finds it\n"
        "N:12: %sno local.gateway: the kernel's routes count\n"
        "N:12: %sno vlan: prepare the interface of the VLAN\n"
        "N:12: %sfollow: false: the kernel gets what is not from the peer's address\n"
        "N:12: %sa single CPU in lcores.net\n"
        "N:12: path wan1 wants 3 queues, one for each net lcore, and is prepared with 1: name fewer CPUs in "
        "lcores.net, or say queues: 3 in the wish, and causeway nic apply\n"
        "N:12: path wan1 has mtu 1501, and is prepared with 1500: lower it, or say mtu: 1501 in the wish, and "
        "causeway nic apply",
        shared, shared, shared, shared, shared, shared);
    expect_said(wanted);
    /* A card of our own needs a router on the way, a shared interface has the kernel's. */
    assert_int_equal(
        load("", "  - {name: wan0, remote: west, device: prepared, mtu: 9000, vlan: 120, shared: false,\n"
                 "     local: {ip: 10.77.0.1/24, port: 1}, peer: {ip: 10.78.0.2, port: 1}}\n"
                 "  - {name: wan1, remote: west, device: prepared, mtu: 1500,\n"
                 "     local: {ip: 10.77.1.1/24, port: 1}, peer: {ip: 10.78.1.2, port: 1}}\n"),
        CW_INVALID);
    expect_said(
        "N:8: path wan0: local.gateway is missing: expected a router on the link, as the peer is not of our "
        "network (local.ip)");
    assert_int_equal(load("", "  - {name: wan0, remote: west, device: prepared, mtu: 9000, shared: true,\n"
                              "     local: {ip: 10.77.0.1/24, port: 1}, peer: {ip: 10.78.0.2, port: 1}}\n"),
                     CW_INVALID);
    expect_said(
        "N:8: path wan0 is shared: true, and is prepared without (0000:03:00.0): expected the same; the wish "
        "says it by driver: af_xdp\n"
        "N:8: path wan0 has vlan 0, and is prepared with 120 (0: none): expected the same: change the path, or "
        "the wish, and causeway nic apply");
}

/* A machine: a card, and the driver that it has. */
static void make_card(const char *address, const char *driver)
{
    char path[256], target[64];
    const char *const folders[] = {"bus", "bus/pci", "bus/pci/devices"};
    for (size_t i = 0; i < CW_COUNT_OF(folders); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, folders[i]);
        (void)mkdir(path, 0700);
    }
    snprintf(path, sizeof path, "%s/bus/pci/devices/%s", folder, address);
    (void)mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/bus/pci/devices/%s/driver", folder, address);
    (void)unlink(path);
    snprintf(target, sizeof target, "../../../bus/pci/drivers/%s", driver);
    if (driver[0])
        assert_int_equal(symlink(target, path), 0);
}

static enum cw_status look(void)
{
    return cw_prepared_look(&config, prepared, folder, said, sizeof said);
}

static void test_machine(void **state)
{
    const char *plain =
        "  - {name: plain, remote: west, device: '0000:05:00.0,x=y', mtu: 1500, " ENDS("10.77.2") "}\n";
    char paths[1024];
    snprintf(paths, sizeof paths, WAN0 WAN1 "%s", plain);
    assert_int_equal(load("", paths), CW_OK);
    assert_int_equal(look(), CW_REFUSED);
    expect_said(
        "path wan0: 0000:03:00.0 is not there: no card has that address (causeway nic show); was it taken out, "
        "or put into another slot?\n"
        "path wan1: 0000:04:00.0 is not there: no card has that address (causeway nic show); was it taken out, "
        "or put into another slot?\n"
        "path plain: 0000:05:00.0 is not there: no card has that address (causeway nic show); was it taken out, "
        "or put into another slot?");
    make_card("0000:03:00.0", "ice");
    make_card("0000:04:00.0", "");
    make_card("0000:05:00.0", "whatever");
    assert_int_equal(look(), CW_REFUSED);
    expect_said(
        "path wan0: 0000:03:00.0 is driven by ice, not by vfio-pci: causeway nic apply has not been run since "
        "the last boot, or was reverted: causeway nic show\n"
        "path wan1: 0000:04:00.0 is driven by no driver, not by ice: causeway nic apply has not been run since "
        "the last boot, or was reverted: causeway nic show");
    make_card("0000:03:00.0", "vfio-pci");
    make_card("0000:04:00.0", "ice");
    assert_int_equal(look(), CW_OK);
    expect_said("");
}

/* Both files say lcores: [2, 3, 34]; each is named once. */
static void test_lcores(void **state)
{
    static const struct {
        const char *head, *said;
    } rows[] = {
        {"lcores: {net: 2, store: 3}\n", ""},
        {"lcores: {net: [2, 34], store: 3}\n", ""},
        {"lcores: {net: 3, store: 3}\n", ""},
        {"",
         "N: warning: lcores.net has CPU 0, which was not kept free of interrupts: path wan0 is prepared with 2, 3, "
         "34; name those in lcores, or others in the wish, and causeway nic apply\n"
         "N: warning: lcores.store has CPU 0, which was not kept free of interrupts: path wan0 is prepared with 2, "
         "3, 34; name those in lcores, or others in the wish, and causeway nic apply"},
        {"lcores: {net: [2, 33], store: 3}\n",
         "N: warning: lcores.net has CPU 33, which was not kept free of interrupts: path wan0 is prepared with 2, 3, "
         "34; name those in lcores, or others in the wish, and causeway nic apply"},
    };
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        assert_int_equal(load(rows[i].head, WAN0), CW_OK);
        assert_int_equal(cw_prepared_advise(&config, prepared, "N", said, sizeof said), rows[i].said[0] != 0);
        expect_said(rows[i].said);
    }
    assert_int_equal(load("", WAN0 WAN1), CW_OK);
    prepared[0].lcore_count = 0; /* lcores: none in the wish */
    prepared[1].lcore_count = 0;
    assert_false(cw_prepared_advise(&config, prepared, "N", said, sizeof said));
}

static int make_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/causeway-prepared-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_apply_wrote),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_against),
        cmocka_unit_test(test_lcores),
        cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
