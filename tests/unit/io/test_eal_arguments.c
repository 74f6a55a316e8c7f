/* SPDX-License-Identifier: BSD-3-Clause */
/* What EAL is told of devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "io/eal_arguments.h"

#define NETVSC "7ad35d50-c05b-47ab-b3a0-56a9a845852b"

static struct cw_eal_arguments arguments;
static char why[256];

/* The options behind those that all engines have, as a line. */
static const char *told(const struct cw_port_config *ports, uint32_t count)
{
    static const char *const head[] = {"causeway-engine", "--file-prefix", "causeway-x", "--lcores",
                                       "0@(0-1)",         "--log-level",   "*:error"};
    static char line[1024];
    struct cw_eal_config config = {
        .file_prefix = "causeway-x", .lcores = "0@(0-1)", .ports = ports, .port_count = count};
    assert_int_equal(cw_eal_arguments_of(&config, &arguments, why, sizeof why), CW_OK);
    assert_in_range(arguments.count, CW_COUNT_OF(head), CW_EAL_ARGUMENTS_MAX);
    for (unsigned i = 0; i < CW_COUNT_OF(head); i++)
        assert_string_equal(arguments.vector[i], head[i]);
    line[0] = 0;
    for (int i = CW_COUNT_OF(head); i < arguments.count; i++) {
        size_t used = strlen(line);
        int written =
            snprintf(line + used, sizeof line - used, "%s%s", used > 0 ? " " : "", arguments.vector[i]);
        assert_in_range(written, 1, sizeof line - used - 1);
    }
    return line;
}

static void each_bus_has_its_option(void **state)
{
    struct cw_port_config ring = {.mtu = 1500, .device = "net_ring0"},
                          card = {.mtu = 1500, .device = "0000:03:00.0,a=1"},
                          netvsc = {.mtu = 1500, .device = NETVSC};
    assert_string_equal(told(&ring, 1), "--vdev net_ring0 --no-pci");
    assert_string_equal(told(&card, 1), "-a 0000:03:00.0,a=1");
    assert_string_equal(told(&netvsc, 1), "-a vmbus:" NETVSC " --no-pci");
    struct cw_port_config all[] = {ring, card, netvsc};
    assert_string_equal(told(all, 3), "--vdev net_ring0 -a 0000:03:00.0,a=1 -a vmbus:" NETVSC);
    assert_string_equal(told(all, 0), "--no-pci");
}

/* As DPDK's guides write it, and with arguments of the driver. */
static void netvsc_as_it_is_written(void **state)
{
    struct cw_port_config port = {.mtu = 1500, .device = "vmbus:" NETVSC ",latency=20"};
    assert_string_equal(told(&port, 1), "-a vmbus:" NETVSC ",latency=20 --no-pci");
    snprintf(port.device, sizeof port.device, NETVSC ",latency=20");
    port.queues = 2; /* it is configured so, and needs no argument for them */
    assert_string_equal(told(&port, 1), "-a vmbus:" NETVSC ",latency=20 --no-pci");
}

static void shared_is_made_later(void **state)
{
    struct cw_port_config port = {.mtu = 1500, .device = "net_af_packet0,iface=eth7", .is_shared = true};
    assert_string_equal(told(&port, 1), "--no-pci");
}

static void too_long_is_refused(void **state)
{
    struct cw_port_config port = {.mtu = 1500, .name = "west"};
    struct cw_eal_config config = {.file_prefix = "causeway-x", .ports = &port, .port_count = 1};
    assert_int_equal(cw_eal_arguments_of(&config, &arguments, why, sizeof why), CW_INVALID);
    assert_string_equal(why, "path west: the device string is empty or too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bus_has_its_option),
        cmocka_unit_test(netvsc_as_it_is_written),
        cmocka_unit_test(shared_is_made_later),
        cmocka_unit_test(too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
