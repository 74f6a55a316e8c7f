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
#define HEX_16(digit)                                                                                        \
    digit digit digit digit digit digit digit digit digit digit digit digit digit digit digit digit
#define HEX_64(digit)       HEX_16(digit) HEX_16(digit) HEX_16(digit) HEX_16(digit)
#define KEY_OF(name, digit) "\"" name ":" HEX_64(digit) "\""
#define ETCD_HEAD                                                                                            \
    "site: east\n"                                                                                           \
    "sites: [{name: east, id: 0}, {name: west, id: 1}]\n"                                                    \
    "directory: /lab/east\n"                                                                                 \
    "cluster_key: /lab/key\n"
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
    {GOOD_HEAD "pol: adaptive\n",
     "6: unknown key pol: expected one of node, site, sites, directory, "
     "storage, cluster_key, security, poll, lcores, memory, "
     "sockets, engine_socket, control_socket, control_address, "
     "metrics_address, metrics_token, store, "
     "etcd, break_glass, lease_seconds, on_store_loss, duplicate_latency, nic_directory, paths\n"},
    {GOOD_HEAD "site: east\n", "6: site is given twice: expected once\n"},
    /* A key that nobody knows does not hide what else is wrong. */
    {KEYLESS_HEAD "cluster_kei: /lab/key\nlease_seconds: 90\nnode: \"a\\e[31m\\nb\"\n",
     "1: cluster_key is missing: expected an absolute path, or security with certificates in its place\n"
     "5: unknown key cluster_kei: expected one of node, site, sites, directory, storage, cluster_key, "
     "security, poll, lcores, memory, sockets, engine_socket, control_socket, control_address, "
     "metrics_address, metrics_token, store, etcd, break_glass, lease_seconds, on_store_loss, "
     "duplicate_latency, nic_directory, paths\n"
     "6: lease_seconds is 90: expected 1 to 60 seconds\n"
     "7: node is a?[31m?b: expected a name of 1 to 31 letters, digits, '-', '_', '.'\n"},
    /* Single values in the place of lists, as many as there are. */
    {ETCD_HEAD "etcd: {endpoints: \"http://127.0.0.1:2379\"}\nlcores: {net: 1, store: 1}\n", ""},
    {GOOD_HEAD "lcores: {net: , store: 1}\n", "6: lcores.net is a single value: expected a list\n"},
    {GOOD_HEAD "poll: sometimes\nlease_seconds: 90\non_store_loss: thaw\n",
     "6: poll is sometimes: expected dedicated or adaptive\n"
     "7: lease_seconds is 90: expected 1 to 60 seconds\n"
     "8: on_store_loss is thaw: expected peer-grants or freeze\n"},
    {GOOD_HEAD "poll: [adaptive]\nlcores: 5\n",
     "6: poll is a list: expected a single value\n7: lcores is a single value: expected a mapping\n"},
    {GOOD_HEAD "lcores: {net: [3, 1, 3], store: 1}\n",
     "6: lcores.net[1] is 1: expected another CPU than lcores.store, as there are several\n"
     "6: lcores.net[2] is 3: expected another CPU than lcores.net[0]\n"},
    {GOOD_HEAD "lcores: {net: [1, 2]}\npaths:\n" PATH_TO("a", "west", "10.0.1") "    shared: true\n",
     "10: paths[0].device is net_memif0: expected net_af_xdp0,iface=IFACE or net_af_packet0,iface=IFACE, as "
     "it is shared\n"
     "12: paths[0].local.mac is 02:00:00:00:00:01: expected none: a shared interface has its own\n"
     "13: paths[0].peer.mac is 02:00:00:00:00:02: expected none: shared, the kernel finds it\n"
     "14: paths[0].shared is true: expected false, or a single CPU in lcores.net\n"},
    {GOOD_HEAD "lcores: {net: [0, 1, 2, 3, 4]}\n", "6: lcores.net has 5 entries: expected 1 to 4\n"},
    {GOOD_HEAD "lcores: {net: []}\n", "6: lcores.net has 0 entries: expected 1 to 4\n"},
    {GOOD_HEAD "lcores: {net: [0, [1]]}\n", "6: lcores.net[1] is a list: expected a single value\n"},
    {GOOD_HEAD "lcores: {net: {a: 1}}\n", "6: lcores.net is a mapping: expected a list\n"},
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
    {KEYLESS_HEAD "security: {certificate: /c, key: /k, authority: /a, revocations: /r}\n"
                  "control_address: 127.0.0.1:7443\n",
     ""},
    {KEYLESS_HEAD "security: {certificate: /c, key: /k, authority: /a, revocations: /r}\n"
                  "control_address: \"[fd00::1]:65535\"\n",
     ""},
    {GOOD_HEAD "control_address: 10.0.0.1:7443\n",
     "6: control_address is 10.0.0.1:7443: expected security with certificates, by which controllers know "
     "each other\n"},
    {GOOD_HEAD "metrics_address: 127.3.0.1:9749\n", ""},
    {GOOD_HEAD "metrics_address: \"[::1]:9749\"\n", ""},
    {KEYLESS_HEAD "security: {certificate: /c, key: /k, authority: /a, revocations: /r}\n"
                  "metrics_address: 10.0.0.1:9749\nmetrics_token: /t\n",
     ""},
    {KEYLESS_HEAD "security: {certificate: /c, key: /k, authority: /a, revocations: /r}\n"
                  "metrics_address: 10.0.0.1:9749\n",
     "6: metrics_address is 10.0.0.1:9749: expected an address of this machine alone, such as "
     "127.0.0.1:9749, "
     "or security with certificates, and metrics_token\n"},
    {GOOD_HEAD "metrics_address: 10.0.0.1:9749\n", "6: metrics_address is 10.0.0.1:9749: expected an address "
                                                   "of this machine alone, such as 127.0.0.1:9749, "
                                                   "or security with certificates, and metrics_token\n"},
    {GOOD_HEAD "metrics_address: \"9749\"\n",
     "6: metrics_address is 9749: expected an address and a port, such as 10.0.1.1:7443 or [fd00::1]:7443\n"},
    {"site: east\nsites: [{name: east, id: 0}, {name: west, id: 1, control: \"west:7443\", witness: maybe}]\n"
     "directory: /e\nstore: /s\ncluster_key: /k\n",
     "2: sites[1].control is west:7443: expected an address and a port, such as 10.0.1.1:7443 or "
     "[fd00::1]:7443\n2: sites[1].witness is maybe: expected true or false\n"},
    {ETCD_HEAD "etcd: {endpoints: [\"http://127.0.0.1:2379\", \"http://[::1]:1\"], prefix: /c/x}\n", ""},
    {ETCD_HEAD "etcd: {endpoints: [\"https://a.b:2379\"], certificate: /c, key: /k, authority: /a}\n", ""},
    {KEYLESS_HEAD "security: {certificate: /c, key: /k, authority: /a, revocations: /r}\n"
                  "etcd: {endpoints: [\"https://a.b:2379\"]}\n",
     "4: store is /lab/store.db: expected either store, the embedded one, or etcd, not both\n"},
    {ETCD_HEAD, "1: store is missing: expected an absolute path: the embedded store; or etcd in its place\n"},
    {ETCD_HEAD "etcd: {prefix: x}\n",
     "5: etcd.endpoints is missing: expected a list of its members\n"
     "5: etcd.prefix is x: expected a key such as /causeway/NAME, of at most 127 "
     "bytes\n"},
    {ETCD_HEAD "etcd: {endpoints: [\"http://10.0.0.1:2379\", \"https://h:0\", \"https://h:1/x\"], key: k}\n",
     "5: etcd.endpoints[0] is http://10.0.0.1:2379: expected https://HOST:PORT (http only to this machine)\n"
     "5: etcd.endpoints[1] is https://h:0: expected https://HOST:PORT (http only to this machine)\n"
     "5: etcd.endpoints[2] is https://h:1/x: expected https://HOST:PORT (http only to this machine)\n"
     "5: etcd.certificate is missing: expected an absolute path\n"
     "5: etcd.key is k: expected an absolute path\n"
     "5: etcd.authority is missing: expected an absolute path\n"},
    {GOOD_HEAD "break_glass: {threshold: 2, keys: [" KEY_OF("alice", "a") ", " KEY_OF("bob", "b") "]}\n", ""},
    {GOOD_HEAD "break_glass: {cluster: a/b, keys: [" KEY_OF("alice", "a") ", " KEY_OF("bob", "a") ", " KEY_OF(
         "alice", "c") ", \"al ice:00\"]}\n",
     "6: break_glass.cluster is a/b: expected a name of 1 to 31 letters, digits, '-', '_', '.'\n"
     "6: break_glass.keys[1] is bob:" HEX_16("a") HEX_16(
         "a") "aaaaaaaaaaaa: expected another key than break_glass.keys[0]\n"
              "6: break_glass.keys[2] is alice:" HEX_16("c") HEX_16(
                  "c") "cccccccccc: expected another name than break_glass.keys[0]\n"
                       "6: break_glass.keys[3] is al ice:00: expected NAME:KEY, 64 hexadecimal digits, as "
                       "causeway "
                       "break-glass key prints it\n"
                       "6: break_glass.threshold is missing: expected a number from 1 to 4, the number of "
                       "the keys\n"},
    {GOOD_HEAD "break_glass: {threshold: 3, keys: [" KEY_OF("alice", "a") ", " KEY_OF("bob", "b") "]}\n",
     "6: break_glass.threshold is 3: expected a number from 1 to 2, the number of the keys\n"},
    {GOOD_HEAD "break_glass: {threshold: 0}\n",
     "6: break_glass.keys is missing: expected a list of NAME:KEY\n"},
    {GOOD_HEAD "sockets: {operators: root}\n",
     "6: sockets.mode is missing: expected 0660: sockets.operators parts those whom it lets in\n"},
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
     "paths:\n  - name: x/y\n    remote: north\n    mtu: 70000\n    rate: 10\n    rate_control: reno\n"
     "    in_flight: 2G\n",
     "7: paths[0].name is x/y: expected a name of 1 to 31 letters, digits, '-', '_', '.'\n"
     "7: paths[0].device is missing: expected a DPDK device of 1 to 255 bytes, such as "
     "net_af_xdp0,iface=eth1\n"
     "7: paths[0].local is missing: expected ip and port\n"
     "7: paths[0].peer is missing: expected ip and port\n"
     "8: paths[0].remote is north: expected one of the names under sites\n"
     "9: paths[0].mtu is 70000: expected a number from 576 to 9600\n"
     "10: paths[0].rate is 10: expected a rate such as 10gbit, 500mbit or 8000kbit\n"
     "11: paths[0].rate_control is reno: expected fixed, bbr or cubic\n"
     "12: paths[0].in_flight is 2G: expected bytes on their way, such as 64M, 1G at most\n"},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") "    circuit_loss: 100%\n    circuit_delay: 11s\n",
     "13: paths[0].circuit_loss is 100%: expected off, or a share from 1% to 99%\n"
     "14: paths[0].circuit_delay is 11s: expected off, or a time from 1ms to 10s\n"},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") "    circuit_loss: 20\n    circuit_delay: 0ms\n",
     "13: paths[0].circuit_loss is 20: expected off, or a share from 1% to 99%\n"
     "14: paths[0].circuit_delay is 0ms: expected off, or a time from 1ms to 10s\n"},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") "    circuit_loss: off\n    circuit_delay: off\n", ""},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") "    rate_control: bbr\n    circuit_loss: 5%\n    circuit_delay: "
                                         "off\n",
     "14: paths[0].circuit_loss is 5%: expected it with rate_control: fixed alone\n"
     "15: paths[0].circuit_delay is off: expected it with rate_control: fixed alone\n"},
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
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") "    follow: true\n", ""},
    {GOOD_HEAD "paths:\n" PATH_VIA("10.0.0.1/24", "10.1.0.2", ", gateway: 10.0.0.254") "    follow: true\n",
     ""},
    {GOOD_HEAD "paths:\n" PATH_VIA("10.0.0.1", "10.0.0.2", "") "    follow: true\n",
     "13: paths[0].follow is true: expected local.gateway, or peer.mac of a router: a peer that moves is "
     "behind "
     "one\n"},
    {GOOD_HEAD "paths:\n" GOOD_PATH("a") "    follow: 'yes'\n",
     "13: paths[0].follow is yes: expected true or false\n"},
    {GOOD_HEAD
     "paths:\n" SHARED_PATH("net_af_xdp0,iface=eth1", "10.0.0.1/24", "10.9.0.2", "") "    follow: true\n",
     "14: paths[0].follow is true: expected false on a shared interface: the kernel gets what is not from "
     "the peer's "
     "address\n"},
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
    assert_int_equal(config.paths[0].circuit_loss_percent, 20);
    assert_int_equal(config.paths[0].circuit_delay_ms, 50);
    assert_int_equal(config.paths[1].circuit_loss_percent, 20); /* by default */
    assert_int_equal(config.paths[1].circuit_delay_ms, 50);
    assert_int_equal(config.paths[0].fec.mode, CW_CONFIG_FEC_OFF);
}

/* A packet for every MTU of what the rate carries in a quarter of a second, or of what was asked for. */
static void test_packets_in_flight(void **state)
{
    static const struct {
        uint64_t rate, asked;
        enum cw_config_rate_control control;
        uint32_t packets;
    } cases[] = {
        {0, 0, CW_CONFIG_RATE_FIXED, 4096},
        {0, 0, CW_CONFIG_RATE_BBR, 16384},
        {1000000, 0, CW_CONFIG_RATE_FIXED, 4096},
        {900000000, 0, CW_CONFIG_RATE_FIXED, 32768}, /* 18750 */
        {900000000, 0, CW_CONFIG_RATE_CUBIC, 32768},
        {10000000000, 0, CW_CONFIG_RATE_FIXED, 1 << 18}, /* 208333 */
        {400000000000, 0, CW_CONFIG_RATE_BBR, 1 << 18},
        {400000000000, 1 << 30, CW_CONFIG_RATE_BBR, 1 << 20}, /* 715827 */
        {10000000000, 1500 * 8192, CW_CONFIG_RATE_FIXED, 8192},
        {10000000000, 1500 * 8192 + 1500, CW_CONFIG_RATE_FIXED, 16384},
        {0, 1, CW_CONFIG_RATE_FIXED, 4096},
    };
    for (unsigned i = 0; i < CW_COUNT_OF(cases); i++) {
        const struct cw_config_path path = {.mtu = 1500,
                                            .rate_bits_per_second = cases[i].rate,
                                            .in_flight_bytes = cases[i].asked,
                                            .rate_control = cases[i].control};
        assert_int_equal(cw_config_packets_in_flight(&path), cases[i].packets);
    }
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

/* A single CPU, or a list, however it is written, also behind characters of more than one byte. */
static void test_net_lcores(void **state)
{
    static const struct {
        const char *text;
        uint32_t count, cpus[CW_CONFIG_LANES_MAX];
    } good[] = {
        {"", 1, {0}},
        {"lcores: {store: 1}\n", 1, {0}},
        {"lcores: {net: 1, store: 1}\n", 1, {1}},
        {"# gr\xc3\xb6\xc3\x9f\x65r \xe2\x82\xac\nlcores: {net: \"2\", store: 1}\n", 1, {2}},
        {"lcores:\n  net: 1023 # one\n  store: 1\n", 1, {1023}},
        {"lcores:\n  net: [1, 2]\n  store: 0\n", 2, {1, 2}},
        {"lcores:\n  net:\n    - 4\n    - 1\n    - 2\n    - 3\n", 4, {4, 1, 2, 3}},
    };
    static struct cw_node_config config;
    static struct cw_config_mistakes mistakes;
    for (size_t i = 0; i < CW_COUNT_OF(good); i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s%s", good[i].text, GOOD_HEAD);
        assert_int_equal(cw_node_config_parse(text, strlen(text), false, &config, &mistakes), CW_OK);
        assert_int_equal(config.lane_count, good[i].count);
        assert_memory_equal(config.lcores_net, good[i].cpus, sizeof good[i].cpus);
    }
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

static void test_addresses(void **state)
{
    static const char *const wrong[] = {
        "",           "10.0.0.1",      "10.0.0.1:",    "10.0.0.1:0",    "10.0.0.1:65536", "10.0.0.1:1x",
        ":7443",      "0.0.0.0:7443",  "224.0.0.1:1",  "fd00::1:7443",  "[fd00::1]7443",  "[10.0.0.1]:7443",
        "[::]:7443",  "[fd00::1",      "10.0.0.1:-1",  "10.0.0.1: 7",   "east:7443",      "[ff02::1]:1",
        "1:2:3:4:5:", "[fd00::1]:+74", "10.0.0.1:018", "10.0.0.1:7443 "};
    struct cw_config_address address;
    for (size_t i = 0; i < CW_COUNT_OF(wrong); i++) {
        if (cw_config_address_parse(wrong[i], &address))
            fail_msg("%s is taken", wrong[i]);
        assert_int_equal(address.port, 0);
    }
    assert_true(cw_config_address_parse("127.0.0.1:7443", &address));
    assert_int_equal(address.ip.version, 4);
    assert_int_equal(address.port, 7443);
    assert_true(cw_config_address_parse("[fd00::1]:1", &address));
    assert_int_equal(address.ip.version, 6);
    assert_int_equal(address.ip.bytes[15], 1);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),   cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_peers),      cmocka_unit_test(test_packets_in_flight),
        cmocka_unit_test(test_net_lcores), cmocka_unit_test(test_fec),
        cmocka_unit_test(test_key_file),   cmocka_unit_test(test_quantities),
        cmocka_unit_test(test_addresses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
