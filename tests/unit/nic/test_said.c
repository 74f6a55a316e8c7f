/* SPDX-License-Identifier: BSD-3-Clause */
/* What ip says is JSON, or it is said why not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "nic-config/said.h"

#define NO_JSON "what ip said is no JSON"

static const struct {
    const char *said, *why;
} no_json[] = {
    {"1: lo: <LOOPBACK>\n", NO_JSON ": is it older than 4.14?"},
    {"[{\"ifname\":\"v0\",}]", NO_JSON " (line 1)"},
    {"[{\"ifname\":\"v0\"}\n,{\"ifname\":\"v1\",\"ifalias\":\"a\xe9z\"},{\"ifname\":\"v2\"}]", NO_JSON
     ": an alias or other name of v1 is not UTF-8 or has control characters: remove it (ip link set dev "
     "v1 alias '')"},
    {"[{\"ifname\":\"v0\",\"altnames\":[\"\001\"]},{\"ifname\":\"v1\"}]", NO_JSON
     ": an alias or other name of v0 is not UTF-8 or has control characters: remove it (ip link set dev "
     "v0 alias '')"},
    {"[{\"ifname\":\"v\xc3\"}]",
     NO_JSON ": a name is not UTF-8 or has control characters: change it (ip link show)"},
    {"[{\"dev\":\"\xff\",\"ifname\":\"v1\"}]",
     NO_JSON ": a name is not UTF-8 or has control characters: change it (ip link show)"},
    {"[{\"ifname\":\"0123456789abcdefg\",\"ifalias\":\"\xf5\"}]",
     NO_JSON ": a name is not UTF-8 or has control characters: change it (ip link show)"},
};

static void test_no_json(void **state)
{
    char why[300];
    for (size_t i = 0; i < sizeof no_json / sizeof no_json[0]; i++) {
        assert_null(cw_said_json("ip", no_json[i].said, why, sizeof why));
        assert_string_equal(why, no_json[i].why);
    }
}

static void test_json(void **state)
{
    static const char *const said[] = {"", " \n", "[]",
                                       "[{\"ifalias\":\"it's \xc3\xa9 \xf0\x9f\x90\x9f\"}]\n",
                                       "[{\"dst\":\"a\",\"dst\":\"b\"}]"};
    char why[300] = "";
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        json_t *answer = cw_said_json("ip", said[i], why, sizeof why);
        assert_true(json_is_array(answer));
        json_decref(answer);
    }
    assert_string_equal(why, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_json),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
