/* SPDX-License-Identifier: BSD-3-Clause */
/* The node configuration: the worked example is good, and every mistake has its line and what was expected.
 */
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
#include "engine/config/node_config.h"

#define KEYLESS_HEAD                                                                                         \
    "site: east\n"                                                                                           \
    "sites: [{name: east, id: 0}, {name: west, id: 1}]\n"                                                    \
    "directory: /lab/east\n"                                                                                 \
    "store: /lab/store.db\n"
#define GOOD_HEAD KEYLESS_HEAD "cluster_key: /lab/key\n"
#define PATH_TO(name, remote, network)                                                                       \
    "  - name: " name "\n"                                                                                   \
    "    remote: " remote "\n"                                                                               \
    "    device: net_memif0\n"                                                                               \
    "    mtu: 1500\n"                                                                                        \
    "    local: {mac: '02:00:00:00:00:01', ip: " network ".1, port: 1}\n"                                    \
    "    peer: {mac: '02:00:00:00:00:02', ip: " network ".2, port: 2}\n"
#define GOOD_PATH(name) PATH_TO(name, "west", "10.0.0")

#define PATH_BETWEEN(local, peer, mtu)                                                                       \
    "  - name: a\n"                                                                                          \
    "    remote: west\n"                                                                                     \
    "    device: net_memif0\n"                                                                               \
    "    mtu: " mtu "\n"                                                                                     \
    "    local: {mac: '02:00:00:00:00:01', ip: '" local "', port: 1}\n"                                      \
    "    peer: {mac: '02:00:00:00:00:02', ip: '" peer "', port: 2}\n"

/* Without MAC addresses. */
#define PATH_VIA(local, peer, gateway)                                                                       \
    "  - name: a\n"                                                                                          \
    "    remote: west\n"                                                                                     \
    "    device: net_memif0\n"                                                                               \
    "    mtu: 1500\n"                                                                                        \
    "    local: {ip: '" local "', port: 1" gateway "}\n"                                                     \
    "    peer: {ip: '" peer "', port: 2}\n"

/* On an interface of the kernel; the peer need not be on its network. */
#define SHARED_PATH(device, local, peer, gateway)                                                            \
    "  - name: a\n"                                                                                          \
    "    remote: west\n"                                                                                     \
    "    device: " device "\n"                                                                               \
    "    mtu: 1500\n"                                                                                        \
    "    local: {ip: '" local "', port: 1" gateway "}\n"                                                     \
    "    peer: {ip: '" peer "', port: 2}\n"                                                                  \
    "    shared: true\n"

#define LETTERS_50 "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghij"

struct example {
    const char *text;
    const char *mistakes; /* "LINE: text\n"... */
};

static const struct example examples[] = {
    {GOOD_HEAD, ""},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") PATH_TO("b", "west", "10.0.1"), ""},
    {GOOD_HEAD "duplicate_latency: yes\n", "6: duplicate_latency is yes: expected true or false\n"},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") GOOD_PATH("b") "    vlan: 7\n", ""},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") GOOD_PATH("b"),
     "17: paths[1].local.ip is 10.0.0.1: expected other addresses than those of paths[0], which leads to the "
     "same site\n"},
    {"site: east\nsites: [{name: east, id: 0}, {name: west, id: 1}, {name: north, id: 2}]\ndirectory: /e\n"
     "store: /s\ncluster_key: /k\npaths:\n" GOOD_PATH("a") PATH_TO("b", "north", "10.0.0"),
     ""},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") PATH_TO("b", "west", "10.0.1") PATH_TO("c", "west", "10.0.2")
         PATH_TO("d", "west", "10.0.3") PATH_TO("e", "west", "10.0.4"),
     "32: paths[4].remote is west: expected another site: 4 paths lead there already\n"},
    {KEYLESS_HEAD "security: {certificate: /c, key: /k, authority: /a, revocations: /r}\npaths:\n" GOOD_PATH(
         "a") "    remote_node: west-1\n" PATH_TO("b", "west", "10.0.1"),
     "14: paths[1].remote_node is missing: expected the same as of paths[0], which leads to the same site\n"},
    {"", "1: the file is empty: expected a mapping\n"},
    {"just words\n", "1: the document is a single value: expected a mapping\n"},
    {"site: [east\nsites: {\n", "1: site is a list: expected a single value\n"
                                "2: not YAML: did not find expected ',' or ']'\n"},
    {"\tsite: east\n", "1: not YAML: found character that cannot start any token\n"},
    {GOOD_HEAD "pol: adaptive\n", "6: unknown key pol: expected one of node, site, sites, directory, "
                                  "storage, cluster_key, security, poll, lcores, memory, "
                                  "sockets, engine_socket, control_socket, store, lease_seconds, "
                                  "duplicate_latency, paths\n"},
    {GOOD_HEAD "site: east\n", "6: site is given twice: expected once\n"},
    {GOOD_HEAD "poll: sometimes\nlease_seconds: 90\n",
     "6: poll is sometimes: expected dedicated or adaptive\n"
     "7: lease_seconds is 90: expected 1 to 60 seconds\n"},
    {GOOD_HEAD "poll: [adaptive]\nlcores: 5\n",
     "6: poll is a list: expected a single value\n7: lcores is a single value: expected a mapping\n"},
    {GOOD_HEAD "lcores: {net: -1, store: 5000}\nmemory: {payload_mb: 1, receive_mb: 12x}\n",
     "6: lcores.net is -1: expected a number from 0 to 1023\n"
     "6: lcores.store is 5000: expected a number from 0 to 1023\n"
     "7: memory.payload_mb is 1: expected a number from 8 to 65536\n"
     "7: memory.receive_mb is 12x: expected a number from 8 to 65536\n"},
    {KEYLESS_HEAD "security: {certificate: /c, key: /k, authority: /a, revocations: /r}\npaths:\n" GOOD_PATH(
         "a") "    remote_node: west-1\n",
     ""},
    {KEYLESS_HEAD,
     "1: cluster_key is missing: expected an absolute path, or security with certificates in its "
     "place\n"},
    {GOOD_HEAD "security: {certificate: c, key: /k, authority: /a}\npaths:\n" GOOD_PATH(
         "a") "    remote_node: west/1\n",
     "5: cluster_key is /lab/key: expected either cluster_key or security, not both\n"
     "6: security.certificate is c: expected an absolute path\n"
     "6: security.revocations is missing: expected an absolute path\n"
     "14: paths[0].remote_node is west/1: expected a name of 1 to 31 letters, digits, '-', '_', '.'\n"},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") "    remote_node: west-1\n",
     "13: paths[0].remote_node is west-1: expected security with certificates, which alone can name a "
     "node\n"},
    {GOOD_HEAD "sockets: {mode: \"0666\"}\n", "6: sockets.mode is 0666: expected 0600 or 0660\n"},
    {GOOD_HEAD "sockets: {mode: \"0660\"}\n",
     "6: sockets.group is missing: expected the name of the group that mode 0660 lets in\n"},
    {GOOD_HEAD "engine_socket: /" LETTERS_50 "/" LETTERS_50 "/engine.sock\n",
     "6: engine_socket is /"
     "abcdefghijabcdefghijabcdefghijabcdefghijabcdefg"
     ": expected a path of at most 107 bytes "
     "(this one has 114), as sockets have no longer names: a shorter directory\n"},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") PATH_TO("a", "west", "10.0.1"),
     "13: paths[1].name is a: expected another name than that of paths[0]\n"},
    {GOOD_HEAD
     "paths:\n  - name: x/y\n    remote: north\n    mtu: 70000\n    rate: 10\n    rate_control: reno\n",
     "7: paths[0].name is x/y: expected a name of 1 to 31 letters, digits, '-', '_', '.'\n"
     "7: paths[0].device is missing: expected a DPDK device of 1 to 255 bytes, such as "
     "net_af_xdp0,iface=eth1\n"
     "7: paths[0].local is missing: expected ip and port\n"
     "7: paths[0].peer is missing: expected ip and port\n"
     "8: paths[0].remote is north: expected one of the names under sites\n"
     "9: paths[0].mtu is 70000: expected a number from 576 to 9600\n"
     "10: paths[0].rate is 10: expected a rate such as 10gbit, 500mbit or 8000kbit\n"
     "11: paths[0].rate_control is reno: expected fixed, bbr or cubic\n"},
    {GOOD_HEAD "paths:\n" PATH_BETWEEN("fd00::1", "fd00::2", "1280") "    vlan: 4094\n", ""},
    {GOOD_HEAD "paths:\n" PATH_BETWEEN("fd00::1", "10.0.0.2", "1279") "    vlan: 4095\n",
     "10: paths[0].mtu is 1279: expected a number from 1280 to 9600\n"
     "12: paths[0].peer.ip is 10.0.0.2: expected an IPv6 address, as local.ip is\n"
     "13: paths[0].vlan is 4095: expected a number from 1 to 4094\n"},
    {GOOD_HEAD "paths:\n" PATH_VIA("10.0.0.1", "10.0.0.2", ""), ""},
    {GOOD_HEAD "paths:\n" PATH_VIA("10.0.0.1/24", "10.1.0.2", ", gateway: 10.0.0.254"), ""},
    {GOOD_HEAD "paths:\n" PATH_VIA("fd00::1/64", "fd01::2", ", gateway: 'fe80::1'"), ""},
    {GOOD_HEAD "paths:\n" PATH_VIA("10.0.0.1/24", "10.1.0.2", ""),
     "11: paths[0].local.gateway is missing: expected a router on the link, as the peer is not of our "
     "network "
     "(local.ip)\n"},
    {GOOD_HEAD "paths:\n" PATH_VIA("10.0.0.1/24", "10.1.0.2", ", gateway: 10.0.1.254"),
     "11: paths[0].local.gateway is 10.0.1.254: expected another address of our network, which local.ip "
     "gives as "
     "ADDRESS/BITS\n"},
    {GOOD_HEAD "paths:\n" PATH_VIA("10.0.0.1", "10.1.0.2", ", gateway: 10.0.0.254"),
     "11: paths[0].local.gateway is 10.0.0.254: expected another address of our network, which local.ip "
     "gives as "
     "ADDRESS/BITS\n"},
    {GOOD_HEAD "paths:\n" SHARED_PATH("net_af_xdp0,iface=eth1", "10.0.0.1/24", "10.9.0.2", ""), ""},
    {GOOD_HEAD "paths:\n" SHARED_PATH("net_af_packet0,iface=eth1", "fd00::1", "fd01::1", ""), ""},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") "    shared: false\n    vlan: 7\n", ""},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") "    shared: 'yes'\n",
     "13: paths[0].shared is yes: expected true or false\n"},
    {GOOD_HEAD
     "paths:\n" SHARED_PATH("net_memif0", "10.0.0.1", "10.0.0.2", ", gateway: 10.0.0.254") "    vlan: 7\n",
     "9: paths[0].device is net_memif0: expected net_af_xdp0,iface=IFACE or net_af_packet0,iface=IFACE, as "
     "it is "
     "shared\n"
     "11: paths[0].local.gateway is 10.0.0.254: expected none: shared, the kernel's routes count\n"
     "14: paths[0].vlan is 7: expected none: share the interface of the VLAN, such as iface=eth1.100\n"},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") "    shared: true\n",
     "9: paths[0].device is net_memif0: expected net_af_xdp0,iface=IFACE or net_af_packet0,iface=IFACE, as "
     "it is "
     "shared\n"
     "11: paths[0].local.mac is 02:00:00:00:00:01: expected none: a shared interface has its own\n"
     "12: paths[0].peer.mac is 02:00:00:00:00:02: expected none: shared, the kernel finds it\n"},
    {GOOD_HEAD "paths:\n" PATH_VIA("10.0.0.1/32", "10.1.0.2/", ""),
     "11: paths[0].local.ip is 10.0.0.1/32: expected an address of a host, such as 10.77.0.1/24, 10.77.0.1 "
     "or "
     "fd00:77::1\n"
     "12: paths[0].peer.ip is 10.1.0.2/: expected an address of a host, such as 10.77.0.1/24, 10.77.0.1 or "
     "fd00:77::1\n"},
    {GOOD_HEAD "paths:\n" PATH_BETWEEN("::", "ff02::1", "1500")
         PATH_BETWEEN("::ffff:10.0.0.1", "224.0.0.1", "1500"),
     "11: paths[0].local.ip is ::: expected an address of a host, such as 10.77.0.1/24, 10.77.0.1 or "
     "fd00:77::1\n"
     "12: paths[0].peer.ip is ff02::1: expected an address of a host, such as 10.77.0.1/24, 10.77.0.1 or "
     "fd00:77::1\n"
     "13: paths[1].name is a: expected another name than that of paths[0]\n"
     "17: paths[1].local.ip is ::ffff:10.0.0.1: expected an address of a host, such as 10.77.0.1/24, "
     "10.77.0.1 or "
     "fd00:77::1\n"
     "18: paths[1].peer.ip is 224.0.0.1: expected an address of a host, such as 10.77.0.1/24, 10.77.0.1 or "
     "fd00:77::1\n"},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") "    fec: 32,2,16\n",
     "13: paths[0].fec is 32,2,16: expected off, auto, or fixed SOURCES,REPAIRS,DEPTH such as fixed 32,2,16 "
     "(up to 64,8,256)\n"},
    {"site: north\nsites:\n  - {name: east, id: 0}\n  - {name: east, id: 0}\n  - {name: west, id: 8}\n",
     "1: site is north: expected one of the names under sites\n"
     "1: directory is missing: expected an absolute path\n"
     "4: sites[1].name is east: expected another name than that of sites[0]\n"
     "4: sites[1].id is 0: expected another number than that of sites[0]\n"
     "5: sites[2].id is 8: expected a number from 0 to 7\n"},
    {GOOD_HEAD "poll: &a adaptive\nnode: *a\n", "7: node is an alias: expected a single value\n"},
    {GOOD_HEAD "---\nsite: west\n", "6: a second document: expected one\n"},
    {"site: east\nsites: []\n", "2: sites has 0 entries: expected 1 to 8\n"},
    {"? [a]\n: b\n", "1: a key that is a list or mapping: expected a word\n"},
};

static void test_mistakes(void **state)
{
    static struct cw_node_config config;
    static struct cw_config_mistakes mistakes;
    for (size_t i = 0; i < CW_COUNT_OF(examples); i++) {
        char got[4096] = "";
        size_t used = 0;
        enum cw_status status =
            cw_node_config_parse(examples[i].text, strlen(examples[i].text), false, &config, &mistakes);
        for (uint32_t k = 0; k < mistakes.count; k++)
            used += (size_t)snprintf(got + used, sizeof got - used, "%u: %s\n", mistakes.list[k].line,
                                     mistakes.list[k].text);
        assert_string_equal(got, examples[i].mistakes);
        assert_int_equal(status, mistakes.count ? CW_INVALID : CW_OK);
    }
}

/* The example names a lab that is not here: its only mistakes are the files it names. */
static void test_worked_example(void **state)
{
    static struct cw_node_config config;
    static struct cw_config_mistakes mistakes;
    static char text[16384];
    FILE *from = fopen(CW_SOURCE_ROOT "/control/example-node.yaml", "re");
    assert_non_null(from);
    size_t length = fread(text, 1, sizeof text, from);
    fclose(from);
    assert_int_equal(cw_node_config_parse(text, length, false, &config, &mistakes), CW_OK);
    assert_string_equal(config.node, "east-1");
    assert_int_equal(config.site_id, 0);
    assert_int_equal(config.site_count, 2);
    assert_int_equal(config.poll, CW_CONFIG_POLL_ADAPTIVE);
    assert_int_equal(config.lease_ms, 5000);
    assert_int_equal(config.path_count, 2);
    assert_int_equal(config.peer_count, 1);
    assert_true(config.is_latency_duplicated);
    assert_int_equal(config.paths[0].mtu, 1500);
    const struct cw_ip ip = cw_ip_v4(0x0a4d0001);
    assert_true(cw_ip_is_equal(&config.paths[0].local.ip, &ip));
    assert_int_equal(config.paths[0].vlan, 0);
    assert_int_equal(config.paths[0].peer.mac[5], 2);
    assert_int_equal(config.paths[0].rate_bits_per_second, 10000000000ull);
    assert_int_equal(config.paths[0].rate_control, CW_CONFIG_RATE_FIXED);
    assert_int_equal(config.paths[0].fec.mode, CW_CONFIG_FEC_OFF);
}

/* Sites by their first path in the file, the paths of each by name. */
static void test_peers(void **state)
{
    static const char text[] =
        "site: east\nsites: [{name: east, id: 0}, {name: west, id: 1}, {name: north, id: 2}]\n"
        "directory: /e\nstore: /s\ncluster_key: /k\nduplicate_latency: false\npaths:\n" PATH_TO("d", "west",
                                                                                                "10.0.0")
            PATH_TO("b", "north", "10.0.1") PATH_TO("c", "west", "10.0.2") PATH_TO("a", "west", "10.0.3");
    static const uint8_t of_west[] = {3, 2, 0};
    static struct cw_node_config config;
    static struct cw_config_mistakes mistakes;
    assert_int_equal(cw_node_config_parse(text, strlen(text), false, &config, &mistakes), CW_OK);
    assert_int_equal(config.peer_count, 2);
    assert_false(config.is_latency_duplicated);
    assert_int_equal(config.peers[0].path_count, 3);
    assert_memory_equal(config.peers[0].paths, of_west, sizeof of_west);
    assert_int_equal(config.peers[1].path_count, 1);
    assert_int_equal(config.peers[1].paths[0], 1);
    for (uint32_t i = 0; i < config.path_count; i++)
        assert_int_equal(config.paths[i].peer_index, i == 1);
}

static bool parse_fec(const char *fec, struct cw_config_fec *out)
{
    static struct cw_node_config config;
    static struct cw_config_mistakes mistakes;
    char text[1024];
    snprintf(text, sizeof text, GOOD_HEAD "paths:\n" GOOD_PATH("a") "    fec: %s\n", fec);
    enum cw_status status = cw_node_config_parse(text, strlen(text), false, &config, &mistakes);
    *out = config.paths[0].fec;
    return status == CW_OK;
}

static void test_fec(void **state)
{
    static const char *const bad[] = {"on",
                                      "fixed",
                                      "fixed 32,2",
                                      "fixed 32,2,16,1",
                                      "fixed 0,2,16",
                                      "fixed 65,2,16",
                                      "fixed 32,9,16",
                                      "fixed 32,2,257",
                                      "fixed 32, 2, 16",
                                      "fixed 32,2,16x",
                                      "fixed -1,2,16",
                                      "Auto",
                                      "fixed 99999999999999999999,2,16",
                                      "\"\""};
    struct cw_config_fec fec;
    assert_true(parse_fec("off", &fec));
    assert_int_equal(fec.mode, CW_CONFIG_FEC_OFF);
    assert_true(parse_fec("auto", &fec));
    assert_int_equal(fec.mode, CW_CONFIG_FEC_AUTO);
    assert_true(parse_fec("fixed 64,8,256", &fec));
    assert_int_equal(fec.mode, CW_CONFIG_FEC_FIXED);
    assert_int_equal(fec.sources, 64);
    assert_int_equal(fec.repairs, 8);
    assert_int_equal(fec.depth, 256);
    for (size_t i = 0; i < CW_COUNT_OF(bad); i++)
        assert_false(parse_fec(bad[i], &fec));
}

static void write_file(const char *file, const void *bytes, size_t length, mode_t mode)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void load_expecting(const char *file, const char *expected)
{
    static struct cw_node_config config;
    static struct cw_config_mistakes mistakes;
    enum cw_status status = cw_node_config_load(file, &config, &mistakes);
    if (!expected) {
        assert_int_equal(status, CW_OK);
        assert_int_equal(config.cluster_key[31], 31);
        return;
    }
    assert_int_equal(status, CW_INVALID);
    assert_int_equal(mistakes.count, 1);
    assert_non_null(strstr(mistakes.list[0].text, expected));
}

static void test_key_file(void **state)
{
    char directory[] = "/tmp/cw-test-config-XXXXXX", file[96], key[96], text[512];
    uint8_t bytes[33];
    assert_non_null(mkdtemp(directory));
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    snprintf(file, sizeof file, "%s/node.yaml", directory);
    snprintf(key, sizeof key, "%s/key", directory);
    snprintf(
        text, sizeof text,
        "site: east\nsites: [{name: east, id: 0}]\ndirectory: %s\nstorage: %s\nstore: /x\ncluster_key: %s\n",
        directory, directory, key);
    write_file(file, text, strlen(text), 0600);
    load_expecting(file, "expected a readable file (No such file");
    write_file(key, bytes, 32, 0600);
    load_expecting(file, NULL);
    write_file(key, bytes, 31, 0600);
    load_expecting(file, "exactly 32 random bytes");
    write_file(key, bytes, 33, 0600);
    load_expecting(file, "exactly 32 random bytes");
    write_file(key, bytes, 32, 0640);
    load_expecting(file, "only its owner may read");
    unlink(key);
    unlink(file);
    load_expecting(file, "cannot be read");
    rmdir(directory);
}

static void test_quantities(void **state)
{
    uint64_t n = 0;
    assert_true(cw_quantity_bytes("10G", &n) && n == 10 * CW_GIB);
    assert_true(cw_quantity_bytes("64MiB", &n) && n == 64 * CW_MIB);
    assert_true(cw_quantity_bytes("512", &n) && n == 512);
    assert_false(cw_quantity_bytes("", &n));
    assert_false(cw_quantity_bytes("-1", &n));
    assert_false(cw_quantity_bytes("1.5G", &n));
    assert_false(cw_quantity_bytes("99999999T", &n));
    assert_false(cw_quantity_bytes("99999999999999999999", &n));
    assert_true(cw_quantity_bits_per_second("10gbit", &n) && n == 10000000000ull);
    assert_false(cw_quantity_bits_per_second("10", &n));
    assert_true(cw_quantity_milliseconds("500ms", &n) && n == 500);
    assert_true(cw_quantity_milliseconds("5", &n) && n == 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mistakes), cmocka_unit_test(test_worked_example),
                                       cmocka_unit_test(test_peers),    cmocka_unit_test(test_fec),
                                       cmocka_unit_test(test_key_file), cmocka_unit_test(test_quantities)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
