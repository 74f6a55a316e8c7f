/* SPDX-License-Identifier: BSD-3-Clause */
/* The text of a prepared path, byte for byte: tests/unit/engine/test_prepared.c reads the same file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "nic-config/prepared.h"

static struct cw_plan plan = {.prepared = {{.name = "wan0",
                                            .device = "0000:03:00.0",
                                            .card = "0000:03:00.0",
                                            .driver = "vfio-pci",
                                            .node = 1,
                                            .queues = 2,
                                            .mtu = 9000,
                                            .vlan = 120},
                                           {.name = "wan1",
                                            .device = "net_af_xdp0,iface=eth3",
                                            .card = "0000:04:00.0",
                                            .interface = "eth3",
                                            .driver = "ice",
                                            .is_shared = true,
                                            .node = -1,
                                            .queues = 1,
                                            .mtu = 1500}},
                              .prepared_count = 2,
                              .lcores = {2, 3, 34},
                              .lcore_count = 3};

static void expect(uint32_t index, const char *name)
{
    char file[256], want[1024], got[1024];
    snprintf(file, sizeof file, "%s/tests/unit/nic/golden/%s", CW_SOURCE_ROOT, name);
    FILE *from = fopen(file, "re");
    assert_non_null(from);
    want[fread(want, 1, sizeof want - 1, from)] = 0;
    fclose(from);
    assert_int_equal(cw_prepared_text(&plan, index, got, sizeof got), CW_OK);
    assert_string_equal(got, want);
}

static void test_golden(void **state)
{
    expect(0, "wan0.yaml");
    expect(1, "wan1.yaml");
}

/* Whole, or nothing: no room of any size gives a half. */
static void test_room(void **state)
{
    char got[1024], whole[1024];
    assert_int_equal(cw_prepared_text(&plan, 0, whole, sizeof whole), CW_OK);
    for (size_t size = 0; size <= strlen(whole); size++) {
        memset(got, 'x', sizeof got);
        assert_int_equal(cw_prepared_text(&plan, 0, got, size), CW_RANGE);
        assert_true(got[size] == 'x' && (size == 0 || got[0] == 0));
    }
    assert_int_equal(cw_prepared_text(&plan, 0, got, strlen(whole) + 1), CW_OK);
    assert_string_equal(got, whole);
    plan.lcore_count = 0;
    assert_int_equal(cw_prepared_text(&plan, 0, got, sizeof got), CW_OK);
    assert_non_null(strstr(got, "lcores: []\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
