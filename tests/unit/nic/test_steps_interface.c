/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An interface that is given up and comes back: on a pair of veths in a network of our own, as root; else skipped. Whether it
 * stayed (killed before its card was given away) or was gone and is new (its card was given away), all is as it was: what
 * ip says before and after is compared, but for the number of the interface and what lives only so long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kill_at.h"
#include "nic-config/run.h"
#include "nic-config/steps.h"
#include "space.h"

#define MAKE                                                                                                 \
    "ip link add v0 address 02:00:00:00:00:70 numrxqueues 4 numtxqueues 4 type veth peer name v1;"           \
    "ip link set v1 up;"

/* What passes: numbers of interfaces, lifetimes. */
#define SHOW                                                                                                        \
    "{ ip -json -details address show;"                                                                             \
    "  ip -json -details -4 route show table all; ip -json -details -6 route show table all;"                       \
    "  ip -json neighbour show nud permanent; ip -json neighbour show proxy; } |"                                   \
    " jq -S 'map(select((.ifname // .dev // \"v0\") | IN(\"v0\", \"v0.7\", \"storage\")) |"                         \
    "  del(.ifindex, .link_index, .expires, .link_netnsid, .linkinfo.info_slave_data) |"                            \
    "  if .addr_info then .addr_info |= map(del(.valid_life_time, .preferred_life_time, .tentative)) else . end) |" \
    "  sort_by(.dst, .metric, .gateway)';"                                                                          \
    " ethtool -l v0; grep -r '' /proc/sys/net/ipv4/conf/v0 /proc/sys/net/ipv6/conf/v0"                              \
    " /proc/sys/net/ipv4/neigh/v0 2>/dev/null | sort"

static char words[600];
static struct cw_step step;
static json_t *before;

static char *shell(const char *script)
{
    char why[300];
    char *said = cw_run((const char *const[]){"sh", "-ec", script, NULL}, 60, why, sizeof why);
    if (!said)
        fail_msg("%s: %s", script, why);
    return said;
}

static void begin(const char *setup)
{
    free(shell("ip link del v0 2>/dev/null || true;" MAKE));
    free(shell(setup));
    memset(&step, 0, sizeof step);
    step.kind = CW_STEP_GIVE_UP;
    memcpy(step.subject, "v0", 3);
    before = cw_step_keep(&step, words, sizeof words);
    if (!before)
        fail_msg("%s", words);
}

static void carry_out(void)
{
    if (cw_step_do(&step, words, sizeof words) == CW_OK)
        return;
    fprintf(stderr, "%s\n", words);
    abort();
}

static void undo(void)
{
    if (cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words) == CW_OK)
        return;
    fprintf(stderr, "%s\n", words);
    abort();
}

/* After the kernel has made its own part of an IPv6 address. */
static char *show_settled(void)
{
    char *was = shell(SHOW);
    bool is_settled = false;
    for (int i = 0; i < 50 && !is_settled; i++) {
        usleep(300000);
        char *now = shell(SHOW);
        is_settled = strcmp(now, was) == 0;
        free(was);
        was = now;
    }
    assert_true(is_settled);
    return was;
}

/* Says what differs. */
static void check_as_before(const char *was, const char *what)
{
    char *is = shell(SHOW);
    for (int i = 0; i < 50 && strcmp(is, was) != 0; i++) {
        usleep(100000);
        free(is);
        is = shell(SHOW);
    }
    if (strcmp(is, was) != 0) {
        FILE *files[2] = {fopen("/tmp/was", "w"), fopen("/tmp/is", "w")}; /* a /tmp of our own */
        fputs(was, files[0]);
        fputs(is, files[1]);
        fclose(files[0]);
        fclose(files[1]);
        fail_msg("%s:\n%s", what, shell("diff -U4 /tmp/was /tmp/is || true"));
    }
    free(is);
    assert_string_equal(words, "");
}

/* As its card is given to another driver and back. */
static void replace_interface(void)
{
    free(shell("ip link del v0; " MAKE));
}

static void check_stays_and_comes_back(const char *setup)
{
    begin(setup);
    char *was = show_settled();
    assert_false(cw_step_is_done(&step, words, sizeof words)); /* though it may be idle */
    carry_out();
    undo();
    check_as_before(was, "stayed");
    carry_out();
    replace_interface();
    undo();
    check_as_before(was, "came back");
    undo();
    check_as_before(was, "undone twice");
    json_decref(before);
    free(was);
}

#define PLAIN "ip link set v0 up; ip address add 10.1.2.3/24 dev v0; ip route add default via 10.1.2.9;"
#define ADDRESSES                                                                                            \
    "ip link set v0 up;"                                                                                     \
    "ip address add 10.1.2.3/24 brd + label v0:x dev v0; ip address add 10.1.2.4/24 dev v0;"                 \
    "ip address add 10.9.9.1 peer 10.9.9.2/32 scope link dev v0;"                                            \
    "ip address add 10.5.0.1/16 metric 77 dev v0; ip address add 10.6.0.1/16 noprefixroute dev v0;"          \
    "ip address add 10.7.0.1/16 valid_lft 3000 preferred_lft 2000 dev v0;"                                   \
    "ip address add 2001:db8::1/64 dev v0; ip address add 2001:db8:1::1/64 noprefixroute dev v0;"            \
    "ip address add 2001:db8:2::1/64 valid_lft 3000 preferred_lft 0 dev v0;"                                 \
    "ip address add 2001:db8:3::1/64 valid_lft 3000 preferred_lft 2000 mngtmpaddr dev v0;"
#define ROUTES                                                                                                      \
    "ip route add 10.50.0.0/16 via 10.1.2.9 metric 44 src 10.1.2.4 proto static;"                                   \
    "ip route add 10.50.0.0/16 via 10.1.2.8 metric 45; ip route append 10.50.0.0/16 via 10.1.2.7 metric 45;"        \
    "ip route add 10.51.0.0/16 dev v0 scope link table 100 mtu 1300 advmss 1200;"                                   \
    "ip route add 10.53.0.0/16 via 10.77.1.1 dev v0 onlink; ip route add 10.54.0.0/16 via 10.50.1.1 dev v0 onlink;" \
    "ip route add 10.52.0.0/16 nexthop via 10.1.2.7 weight 2 nexthop via 10.1.2.8 dev v0 onlink;"                   \
    "ip route add 10.55.0.0/16 via inet6 fe80::1 dev v0; ip route add default via 10.1.2.9;"                        \
    "ip -6 route add 2001:db8:5::/48 via 2001:db8::9 metric 300 expires 900;"                                       \
    "ip -6 route add 2001:db8:6::/48 via fe80::1 dev v0 pref high;"                                                 \
    "ip -6 route add 2001:db8:8::/48 via 2001:db8::9 src 2001:db8:1::1 table 7;"                                    \
    "ip -6 route add 2001:db8:7::/48 nexthop via fe80::1 dev v0 nexthop via fe80::2 dev v0 weight 3;"               \
    "ip -6 route add default via fe80::1 dev v0 proto ra;"
/* What ip tells by another word than it takes, or in another unit. */
#define METRICS                                                                                                   \
    "ip route add 10.60.0.0/16 via 10.1.2.9 congctl reno; ip route add 10.61.0.0/16 via 10.1.2.9 rtt 100ms;"      \
    "ip route add 10.62.0.0/16 via 10.1.2.9 rttvar 50ms rto_min 7ms rtt 2s; ip route add 10.63.0.0/16 dev v0 "    \
    "realms 3/5; ip route add 10.64.0.0/16 via 10.1.2.9 realms 7 features ecn quickack 1 tos 0x10;"               \
    "ip route add 10.65.0.0/16 nexthop via 10.1.2.7 realms 4 nexthop via 10.1.2.8 dev v0 onlink realms 3/cosmos;" \
    "ip route add 10.66.0.0/16 via 10.1.2.9 mtu 1300 window 1000 advmss 1000 initcwnd 9 initrwnd 8 reordering 5 " \
    "hoplimit 30 cwnd 20 ssthresh 100 fastopen_no_cookie 1;"                                                      \
    "ip route add 10.67.0.0/16 dev v0 scope 33 proto 99 metric 4294967295;"                                       \
    "ip route add local 10.68.0.0/16 dev v0; ip route add broadcast 10.69.0.0/16 dev v0;"                         \
    "ip route add multicast 10.70.0.0/16 dev v0; ip route add anycast 10.71.0.0/16 dev v0;"                       \
    "ip -6 route add 2001:db8:60::/48 via 2001:db8::9 congctl reno rtt 100ms rttvar 50ms features ecn mtu 1300;"  \
    "ip -6 route add 2001:db8:61::/48 from 2001:db8:7::/64 via 2001:db8::9 hoplimit 30;"                          \
    "ip -6 route add local 2001:db8:62::/64 dev v0; ip -6 route add anycast 2001:db8:63::1 dev v0;"
#define LINK                                                                                                 \
    "ip link set v0 mtu 1400 txqueuelen 77 alias 'hello world' group 5 promisc on allmulticast on;"          \
    "ip link set v0 address 02:00:00:00:00:77; ip link set v0 multicast off arp off;"                        \
    "ip link property add dev v0 altname a-rather-long-name0; ethtool -L v0 rx 2 tx 2;"                      \
    "echo 1 > /proc/sys/net/ipv4/conf/v0/forwarding; echo 0 > /proc/sys/net/ipv6/conf/v0/accept_ra;"         \
    "echo 2 > /proc/sys/net/ipv4/conf/v0/rp_filter; echo 9 > /proc/sys/net/ipv4/neigh/v0/mcast_solicit;"

static void test_plain(void **state)
{
    check_stays_and_comes_back(PLAIN);
}

static void test_addresses(void **state)
{
    check_stays_and_comes_back(ADDRESSES);
}

static void test_routes(void **state)
{
    check_stays_and_comes_back(ADDRESSES ROUTES);
}

static void test_metrics(void **state)
{
    check_stays_and_comes_back(ADDRESSES METRICS);
}

/* As NetworkManager gives addresses. */
static void test_routes_in_name_of_kernel(void **state)
{
    check_stays_and_comes_back(
        "ip link set v0 up; ip address add 10.1.2.3/23 noprefixroute dev v0; ip address add 10.9.0.1/24 dev v0;"
        "ip route add 10.1.2.0/23 dev v0 proto kernel scope link src 10.1.2.3 metric 100;"
        "ip address add 10.4.0.1/32 noprefixroute dev v0; ip address add 2001:db8::1/60 noprefixroute dev v0;"
        "ip address add 2001:db8:9::1/64 dev v0; ip -6 route add 2001:db8::/60 dev v0 proto kernel metric 100;"
        "ip route add default via 10.1.2.9");
}

static void test_link(void **state)
{
    check_stays_and_comes_back(LINK PLAIN);
}

/* VLANs end with it, and are made again; where the kernel has such. */
static void test_vlans(void **state)
{
    begin("ip link add link v0 name v0.7 type vlan id 7 || true");
    json_decref(before);
    char *said = shell("ip -o link show type vlan");
    bool has_vlans = said[0] != 0;
    free(said);
    if (!has_vlans)
        skip();
    check_stays_and_comes_back(
        PLAIN
        "ip link add link v0 name v0.7 type vlan id 7; ip link add link v0 name storage type vlan protocol 802.1ad "
        "id 9 reorder_hdr off; ip link set v0.7 up mtu 1400; ip address add 10.7.0.1/24 dev v0.7;"
        "ip route add 10.70.0.0/16 via 10.7.0.2; ip address add 10.9.0.1/24 dev storage");
}

/* Part of a bridge; there is something else that is part of it. */
static void test_master(void **state)
{
    check_stays_and_comes_back(
        "ip link add br0 type bridge 2>/dev/null || true; ip link set v0 master br0; ip link set br0 up; ip link set v0 up");
    free(shell("ip link del br0"));
}

static void test_neighbours(void **state)
{
    check_stays_and_comes_back(
        PLAIN "ip neighbour add 10.1.2.77 lladdr 02:00:00:00:00:01 nud permanent dev v0;"
              "ip neighbour add fe80::77 lladdr 02:00:00:00:00:02 nud permanent dev v0;"
              "ip neighbour add proxy 10.1.2.78 dev v0; ip neighbour add proxy fe80::78 dev v0");
}

/* It was down, and stays so: addresses are kept, routes there are none. */
static void test_down(void **state)
{
    check_stays_and_comes_back("ip address add 10.1.2.3/24 dev v0; ip link set v0 mtu 2000");
}

/* Nothing uses it, and it has a name, settings and an address of its own. */
static void test_idle(void **state)
{
    check_stays_and_comes_back(LINK);
}

static void test_without_ipv6(void **state)
{
    check_stays_and_comes_back("echo 1 > /proc/sys/net/ipv6/conf/v0/disable_ipv6;" PLAIN);
}

#define DEFAULT_OFF "/proc/sys/net/ipv6/conf/default/disable_ipv6"

/* What a new interface begins with has changed since. */
static void check_other_default(const char *setup, const char *was_default, const char *is_default)
{
    char script[80];
    snprintf(script, sizeof script, "echo %s > " DEFAULT_OFF, was_default);
    free(shell(script));
    begin(setup);
    char *was = show_settled();
    carry_out();
    snprintf(script, sizeof script, "echo %s > " DEFAULT_OFF, is_default);
    free(shell(script));
    replace_interface();
    undo();
    check_as_before(was, "came back");
    free(shell("echo 0 > " DEFAULT_OFF));
    json_decref(before);
    free(was);
}

static void test_ipv6_of_new_interfaces(void **state)
{
    check_other_default(PLAIN "ip address add 2001:db8::1/64 dev v0", "0", "1");
    check_other_default(PLAIN, "1", "0");
}

/* IPv6 makes sure first that nobody has the address: a route from it has to wait. */
static void test_route_waits_for_address(void **state)
{
    free(shell("echo 1 > /proc/sys/net/ipv6/conf/default/accept_dad"));
    check_stays_and_comes_back(
        "ip link set v0 up; ip address add 2001:db8::1/64 nodad dev v0; sleep 2;"
        "ip address del 2001:db8::1/64 dev v0; ip address add 2001:db8::1/64 dev v0; sleep 3;"
        "ip -6 route add 2001:db8:9::/48 via 2001:db8::9 src 2001:db8::1");
    free(shell("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"));
}

static void test_killed(void **state)
{
    const char *setup = LINK PLAIN "ip link set v0 arp on; ip address add 2001:db8::1/64 dev v0;"
                                   "ip -6 route add 2001:db8:5::/48 via 2001:db8::9";
    bool was_killed = true;
    begin(setup);
    char *was = show_settled();
    for (unsigned n = 1; was_killed; n++) {
        was_killed = kill_at(n, carry_out);
        assert_true(n > 3 || was_killed);
        undo();
        check_as_before(was, "do killed");
    }
    was_killed = true;
    for (unsigned n = 1; was_killed; n += 2) {
        carry_out();
        replace_interface();
        was_killed = kill_at(n, undo);
        assert_true(n > 20 || was_killed);
        undo();
        check_as_before(was, "undo killed");
    }
    json_decref(before);
    free(was);
}

static void test_time_goes_on(void **state)
{
    begin("ip link set v0 up; ip address add 10.1.2.3/24 valid_lft 3000 preferred_lft 100 dev v0;"
          "ip address add 10.1.2.4/24 valid_lft 200 preferred_lft 100 dev v0;"
          "ip address add 2001:db8::1/64 dev v0; ip -6 route add 2001:db8:5::/48 via 2001:db8::9 expires 900;"
          "ip -6 route add 2001:db8:6::/48 via 2001:db8::9 expires 200");
    carry_out();
    json_object_set_new(before, "seconds",
                        json_integer(json_integer_value(json_object_get(before, "seconds")) - 500));
    undo();
    char *is = shell("ip -4 -o address show dev v0; ip -6 route show proto boot");
    assert_non_null(strstr(is, "10.1.2.3/24"));
    assert_non_null(strstr(is, "preferred_lft 0sec"));
    assert_null(strstr(is, "10.1.2.4"));
    assert_non_null(strstr(is, "2001:db8:5::/48"));
    assert_null(strstr(is, "2001:db8:6::/48"));
    free(is);
    json_decref(before);
}

/* What somebody has added meanwhile stays beside what is put back. */
static void test_others_stay(void **state)
{
    begin(PLAIN);
    carry_out();
    replace_interface();
    free(shell(
        "ip link set v0 up; ip address add 10.88.0.1/16 dev v0; ip route add 10.99.0.0/16 via 10.88.0.2"));
    undo();
    char *is = shell("ip -4 -o address show dev v0; ip route show");
    assert_non_null(strstr(is, "10.88.0.1/16"));
    assert_non_null(strstr(is, "10.1.2.3/24"));
    assert_non_null(strstr(is, "10.99.0.0/16"));
    assert_non_null(strstr(is, "default via 10.1.2.9"));
    free(is);
    json_decref(before);
}

/* With an address comes its own route, and a router may have spoken before revert does. */
static void test_made_by_the_kernel(void **state)
{
    begin(
        "ip link set v0 up; ip address add 2001:db8::1/64 nodad dev v0; ip -6 route del 2001:db8::/64 dev v0;"
        "ip -6 route add 2001:db8::/64 metric 256 dev v0 proto static;"
        "ip -6 route add default via fe80::1 dev v0 metric 1024 proto ra expires 900;"
        "ip -6 route add 2001:db8:7::/48 nexthop via fe80::1 dev v0 nexthop via fe80::2 dev v0");
    carry_out();
    replace_interface();
    free(shell("ip link set v0 up;"
               "ip -6 route add default via fe80::1 dev v0 metric 1024 proto ra expires 1800 hoplimit 64"));
    for (int i = 0; i < 2; i++) {
        undo();
        assert_string_equal(words, "");
    }
    char *is = shell("ip -6 route show dev v0; ip -6 route show 2001:db8:7::/48");
    assert_non_null(strstr(is, "2001:db8::/64 proto kernel"));
    assert_non_null(strstr(is, "default via fe80::1 proto ra"));
    assert_non_null(strstr(is, "nexthop via fe80::2 dev v0"));
    free(is);
    json_decref(before);
}

/* Somebody's, or the kernel's, and not as it was: only what is the same by another hand is taken for it. */
static void test_another_in_its_place(void **state)
{
    static const char *const made[] = {"proto static mtu 1300", "proto kernel mtu 1300", "proto ra mtu 1300",
                                       "proto static", "mtu 1300 proto boot"};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        char script[160], expected[300];
        begin("ip link set v0 up; ip -6 route add 2001:db8:9::/48 via fe80::1 dev v0 proto boot");
        carry_out();
        replace_interface();
        snprintf(script, sizeof script,
                 "ip link set v0 up; ip -6 route add 2001:db8:9::/48 via fe80::1 dev v0 %s", made[i]);
        free(shell(script));
        assert_int_equal(cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words), CW_IO);
        snprintf(
            expected, sizeof expected,
            "v0: the route to 2001:db8:9::/48 could not be put back: another is in its place (proto %.*s): "
            "remove it (ip route del), then again",
            (int)strcspn(strstr(made[i], "proto ") + 6, " "), strstr(made[i], "proto ") + 6);
        assert_string_equal(words, expected);
        free(shell("ip -6 route del 2001:db8:9::/48 via fe80::1 dev v0"));
        undo();
        json_decref(before);
    }
    begin("ip link set v0 up; ip address add 2001:db8::1/64 nodad dev v0");
    carry_out();
    replace_interface();
    free(shell("ip link set v0 up; ip address add 2001:db8::1/128 nodad dev v0"));
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words), CW_IO);
    assert_non_null(strstr(words, "v0: 2001:db8::1 could not be put back: "));
    json_decref(before);
}

static void test_what_is_gone(void **state)
{
    begin(PLAIN);
    carry_out();
    free(shell("ip link del v0"));
    assert_true(cw_step_is_done(&step, words, sizeof words));
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words), CW_NOT_FOUND);
    assert_string_equal(words, "v0 is gone, and is not put back: make it again, then again");
    assert_null(cw_step_keep(&step, words, sizeof words));
    assert_string_equal(words, "there is no interface v0");
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_TO_REBOOT, words, sizeof words), CW_OK);
    json_decref(before);
    json_t *nonsense = json_pack("{s:s, s:s}", "device", "", "driver", "");
    assert_int_equal(cw_step_undo(&step, nonsense, CW_LEFT_HALF, words, sizeof words), CW_CORRUPT);
    json_decref(nonsense);
}

/* Its card is without a driver, or has another one, or was taken out: what was kept is not put back, and not given up. */
static void test_card_without_its_driver(void **state)
{
    begin(PLAIN);
    carry_out();
    free(shell("ip link del v0; mkdir -p /tmp/devices/0000:03:00.0"));
    json_object_set_new(before, "device", json_string("/tmp/devices/0000:03:00.0"));
    json_object_set_new(before, "driver", json_string("ixgbe"));
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words), CW_IO);
    assert_string_equal(
        words, "v0 is not there: its device 0000:03:00.0 has no driver, and had ixgbe: bind it, then again");
    free(shell("ln -s ../drivers/igb_uio /tmp/devices/0000:03:00.0/driver"));
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words), CW_NOT_FOUND);
    assert_string_equal(words,
                        "v0 is not put back: its device 0000:03:00.0 has the driver igb_uio, and had ixgbe");
    free(shell("rm -r /tmp/devices"));
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words), CW_NOT_FOUND);
    assert_string_equal(
        words, "v0 is not put back: its device 0000:03:00.0 is not in this machine any more, and had ixgbe");
    json_decref(before);
}

/* Of a virtual function that was taken away nothing comes back but what its interface had been given, and that only where
 * somebody makes it again. */
static void test_function_taken_away(void **state)
{
    static const char left[] =
        "v0: somebody has taken its device 0000:03:10.0 away from 0000:03:00.0 since, and it is left so";
    begin(PLAIN);
    carry_out();
    free(shell("ip link del v0; mount -t tmpfs none /sys/bus"));
    json_object_set_new(before, "device", json_string("/sys/bus/pci/devices/0000:03:10.0"));
    json_object_set_new(before, "driver", json_string("iavf"));
    json_object_set_new(before, "physical", json_string("0000:03:00.0"));
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words), CW_NOT_FOUND);
    assert_non_null(strstr(words, "0000:03:10.0 is not in this machine any more"));
    free(shell("mkdir -p /sys/bus/pci/devices/0000:03:00.0"));
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words), CW_NOT_FOUND);
    assert_non_null(strstr(words, "make it again (sriov_numvfs of that card), then again"));
    json_t *kept = json_object_get(before, "state");
    json_object_del(kept, "routes4");
    json_object_del(kept, "routes6");
    json_object_del(json_object_get(kept, "link"), "addr_info");
    json_object_del(json_object_get(kept, "link"), "master");
    json_object_del(before, "uppers");
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words), CW_OK);
    assert_string_equal(words, left);
    free(shell("umount /sys/bus"));
    json_decref(before);
}

/* After a reboot the kernel may have given it another name: by its device and port it is known. */
static void test_other_name(void **state)
{
    begin(PLAIN);
    char *was = show_settled();
    carry_out();
    replace_interface();
    free(shell("ip link set v0 name v9; mkdir -p /tmp/devices/0000:03:00.0/net/v9;"
               "ln -s ../drivers/ixgbe /tmp/devices/0000:03:00.0/driver"));
    json_object_set_new(before, "device", json_string("/tmp/devices/0000:03:00.0"));
    json_object_set_new(before, "driver", json_string("ixgbe"));
    json_object_set_new(before, "port", json_string("0 0x0"));
    snprintf(step.subject, sizeof step.subject, "v9");
    undo();
    check_as_before(was, "renamed");
    free(shell("rm -r /tmp/devices"));
    json_decref(before);
    free(was);
}

/* Two ports at one address, and each has the other's name now. */
static void test_exchanged_ports(void **state)
{
    begin(PLAIN);
    char *was = show_settled();
    carry_out();
    replace_interface();
    free(shell(
        "ip link set v0 down; ip link set v0 name v9; ip link add v0 type veth peer name w1;"
        "ip link set v0 alias other up; mkdir -p /tmp/devices/0000:03:00.0/net/v9 /tmp/devices/0000:03:00.0/net/v0;"
        "ln -s ../drivers/mlx4_core /tmp/devices/0000:03:00.0/driver;"
        "mount -t tmpfs none /sys/class/net; mkdir /sys/class/net/v9 /sys/class/net/v0;"
        "echo 0 | tee /sys/class/net/v9/dev_port > /sys/class/net/v9/dev_id;"
        "echo 1 | tee /sys/class/net/v0/dev_port > /sys/class/net/v0/dev_id"));
    json_object_set_new(before, "device", json_string("/tmp/devices/0000:03:00.0"));
    json_object_set_new(before, "driver", json_string("mlx4_core"));
    json_object_set_new(before, "port", json_string("0 0"));
    undo();
    free(shell("umount /sys/class/net; rm -r /tmp/devices"));
    char *other = shell("cat /sys/class/net/v9/ifalias");
    assert_string_equal(other, "other\n");
    free(other);
    free(shell("ip link del v9"));
    check_as_before(was, "exchanged");
    json_decref(before);
    free(was);
}

static void test_what_cannot_be_put_back(void **state)
{
    begin("true");
    json_decref(before);
    free(shell("ip link add link v0 name mv0 type macvlan"));
    assert_null(cw_step_keep(&step, words, sizeof words));
    assert_string_equal(words, "mv0 stands on it (macvlan), and could not be put back: take it away first");
    free(shell("ip link del mv0; ip link add vx0 type vxlan id 5 dstport 4789 remote 10.0.0.2 dev v0"));
    assert_null(cw_step_keep(&step, words, sizeof words));
    assert_string_equal(words, "vx0 stands on it (vxlan), and could not be put back: take it away first");
}

static bool add_route(const char *to, const char *hops)
{
    char script[300];
    snprintf(script, sizeof script, "ip route add %s %s || true; ip route show %s", to, hops, to);
    char *said = shell(script);
    bool is_there = strstr(said, "encap") != NULL;
    free(said);
    return is_there;
}

#define HOP "encap ip id 7 dst 192.0.2.7 via 10.1.2.9 dev v0"

/* Of one next hop, or of one of several, or of another interface, where it is nobody's concern; where the kernel has such
 * routes. */
static void test_encapsulation(void **state)
{
    static const char *const hops[] = {HOP, "nexthop via 10.1.2.8 dev v0 nexthop " HOP};
    for (int i = 0; i < 2; i++) {
        begin(PLAIN);
        json_decref(before);
        if (!add_route("10.60.0.0/16", hops[i]))
            skip();
        assert_null(cw_step_keep(&step, words, sizeof words));
        assert_string_equal(words, "v0 has a route with an encapsulation, which could not be put back: "
                                   "remove it first (ip route show table all dev v0)");
    }
    free(
        shell("ip link add w0 type veth peer name w1; ip link set w0 up; ip address add 10.2.0.1/16 dev w0"));
    add_route("10.61.0.0/16", "encap ip id 7 dst 192.0.2.7 via 10.2.0.9 dev w0");
    check_stays_and_comes_back(PLAIN);
    free(shell("ip link del w0"));
}

static void test_nexthop_object(void **state)
{
    begin(PLAIN);
    json_decref(before);
    free(shell("ip nexthop add id 5 via 10.1.2.8 dev v0; ip route add 10.62.0.0/16 nhid 5"));
    assert_null(cw_step_keep(&step, words, sizeof words));
    assert_string_equal(words, "v0 has a route with a nexthop object (ip nexthop), which could not be put "
                               "back: remove it first (ip route show table all dev v0)");
}

/* An alias of another interface is enough: ip is asked of all. */
static void test_alias_that_is_no_text(void **state)
{
    begin(PLAIN);
    json_decref(before);
    free(shell("ip link set dev v1 alias \"$(printf 'caf\\351')\""));
    assert_null(cw_step_keep(&step, words, sizeof words));
    assert_string_equal(words, "what ip said is no JSON: an alias or other name of v1 is not UTF-8 or has "
                               "control characters: remove it (ip link set dev v1 alias '')");
    free(shell("ip link set dev v1 alias ''; ip link property add dev v0 altname \"$(printf 'a\\001')\""));
    assert_null(cw_step_keep(&step, words, sizeof words));
    assert_non_null(strstr(words, "an alias or other name of v0 is not UTF-8 or has control characters"));
    check_stays_and_comes_back(PLAIN "ip link set dev v0 alias \"it's \\\"caf\303\251\\\" C:\\\\\"");
}

static int go_there(void **state)
{
    free(shell(
        "mount -t tmpfs none /tmp; ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"));
    return 0;
}

/* One test by its name, or all. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_routes_in_name_of_kernel),
        cmocka_unit_test(test_link),
        cmocka_unit_test(test_vlans),
        cmocka_unit_test(test_master),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_down),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_without_ipv6),
        cmocka_unit_test(test_ipv6_of_new_interfaces),
        cmocka_unit_test(test_route_waits_for_address),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_time_goes_on),
        cmocka_unit_test(test_others_stay),
        cmocka_unit_test(test_made_by_the_kernel),
        cmocka_unit_test(test_another_in_its_place),
        cmocka_unit_test(test_what_is_gone),
        cmocka_unit_test(test_card_without_its_driver),
        cmocka_unit_test(test_function_taken_away),
        cmocka_unit_test(test_other_name),
        cmocka_unit_test(test_exchanged_ports),
        cmocka_unit_test(test_what_cannot_be_put_back),
        cmocka_unit_test(test_encapsulation),
        cmocka_unit_test(test_nexthop_object),
        cmocka_unit_test(test_alias_that_is_no_text),
    };
    if (!enter_own_space()) {
        puts("skipped: no network and mounts of our own without root");
        return 77;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, go_there, NULL);
}
