/* SPDX-License-Identifier: BSD-3-Clause */
/* Which routes could not be put back of what ip says: what is not known is taken to be so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "nic-config/route.h"

static void check(const char *text, const char *expected)
{
    char what[CW_FACT_LOST] = "";
    json_t *route = json_loads(text, 0, NULL);
    assert_non_null(route);
    bool is_lost = cw_route_is_lost(route, what);
    assert_string_equal(what, expected);
    assert_int_equal(is_lost, expected[0] != 0);
    json_decref(route);
}

static void test_kept(void **state)
{
    check(
        "{\"type\":\"unicast\",\"dst\":\"10.60.0.0/16\",\"gateway\":\"10.1.2.9\",\"dev\":\"v0\",\"flags\":[\"onlink\","
        "\"dead\",\"rt_trap\"],\"metrics\":[{\"congestion\":\"reno\",\"rtt\":8,\"ecn\":null}],\"flow\":{\"to\":\"5\"}}",
        "");
    check(
        "{\"dst\":\"10.60.0.0/16\",\"nexthops\":[{\"via\":{\"family\":\"inet6\",\"host\":\"fe80::9\"},\"dev\":\"v0\","
        "\"weight\":1,\"flags\":[\"linkdown\"]},{\"gateway\":\"10.1.2.9\",\"dev\":\"v0\",\"weight\":2}]}",
        "");
}

static void test_lost(void **state)
{
    check("{\"dst\":\"10.0.0.0/8\",\"dev\":\"v0\",\"nhid\":5}", "a nexthop object (ip nexthop)");
    check(
        "{\"dst\":\"10.0.0.0/8\",\"mode\":\"encap\",\"segs\":[\"fc00::1\"],\"encap\":\"seg6\",\"dev\":\"v0\"}",
        "an encapsulation");
    check("{\"dst\":\"10.0.0.0/8\",\"nexthops\":[{\"dev\":\"v0\"},{\"dev\":\"v1\",\"encap\":\"mpls\"}]}",
          "an encapsulation");
    check("{\"dst\":\"10.0.0.0/8\",\"ttl-propagate\":true}",
          "an attribute that is not known here \"ttl-propagate\"");
    check("{\"dst\":\"10.0.0.0/8\",\"a; reboot\":true}", "an attribute that is not known here");
    check("{\"dst\":\"10.0.0.0/8\",\"metrics\":[{\"mtu\":9,\"tcp_usec_ts\":null}]}",
          "a metric that is not known here \"tcp_usec_ts\"");
    check("{\"dst\":\"10.0.0.0/8\",\"metrics\":[{\"mtu\":9},{\"mtu\":8}]}", "several sets of metrics");
    check("{\"dst\":\"10.0.0.0/8\",\"flags\":[\"pervasive\"]}",
          "a flag that is not known here \"pervasive\"");
    check("{\"dst\":\"10.0.0.0/8\",\"flags\":[7]}", "a flag that is not known here");
    check("{\"dst\":\"10.0.0.0/8\",\"abcdefghijklmnopqrstuvwxyz\":1}", "an attribute that is not known here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
