/* SPDX-License-Identifier: BSD-3-Clause */
/* What a disk in a card's IOMMU group is used for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nic-config/probe.h"
#include "small_machine.h"

#define SDA    "/sys/devices/pci0000:00/0000:00:01.0/0000:06:00.0/ata1/block/sda"
#define SUBSYS "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"

static struct cw_machine machine;
static struct cw_facts facts;

static int begin(void **state)
{
    small_machine(&machine);
    return 0;
}

static int end(void **state)
{
    tree_end(&machine);
    return 0;
}

static const struct cw_member_fact *member(const char *address)
{
    cw_probe(&machine, &facts);
    for (uint32_t i = 0; i < facts.member_count; i++)
        if (strcmp(facts.members[i].address, address) == 0)
            return &facts.members[i];
    fail_msg("%s is not in the group", address);
    return NULL;
}

static void test_less_and_less_use(void **state)
{
    char place[512];
    assert_string_equal(member("0000:06:00.0")->use, "disk sda, mounted at /");
    tree_put(&machine, "/proc/mounts", "/dev/sdb / ext4 rw 0 0\n");
    assert_string_equal(member("0000:06:00.0")->use, "disk sda, swap");
    tree_put(&machine, "/proc/swaps", "");
    assert_string_equal(member("0000:06:00.0")->use, "disk sda, part of dm-0");
    tree_place(&machine, SDA "/sda2/holders/dm-0", place);
    assert_int_equal(unlink(place), 0);
    assert_string_equal(member("0000:06:00.0")->use, "disk sda");
}

/* Of a root that the kernel mounted itself only the number of the device tells which it is. */
static void test_root_by_its_number(void **state)
{
    tree_put(&machine, "/proc/self/mountinfo",
             "20 1 0:21 / /proc rw - proc proc rw\n22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/root rw\n");
    assert_string_equal(member("0000:06:00.0")->use, "disk sda, swap");
    tree_put(&machine, SDA "/sda2/dev", "8:2\n");
    assert_string_equal(member("0000:06:00.0")->use, "disk sda, mounted at /");
}

static void test_disk_of_several_paths(void **state)
{
    tree_put(&machine, "/sys/bus/pci/devices/0000:07:00.0/class", "0x010802");
    tree_put(&machine, "/sys/bus/pci/devices/0000:07:00.0/nvme/nvme1/nvme0c1n1/size", "1");
    tree_link(&machine, "/sys/kernel/iommu_groups/14/devices/0000:07:00.0", "../x");
    assert_string_equal(member("0000:07:00.0")->use, "disk nvme0n1");
    tree_folder(&machine, SUBSYS "/nvme0n1/nvme0n1p1");
    tree_link(&machine, "/sys/class/block/nvme0n1",
              "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1");
    tree_link(&machine, "/sys/class/block/nvme0n1p1",
              "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1/nvme0n1p1");
    tree_put(&machine, "/proc/mounts", "/dev/nvme0n1p1 /data xfs rw 0 0\n");
    assert_string_equal(member("0000:07:00.0")->use, "disk nvme0n1, mounted at /data");
}

static void test_driver_of_no_name(void **state)
{
    tree_put(&machine, "/sys/bus/pci/devices/0000:08:00.0/class", "0x060000");
    tree_link(&machine, "/sys/kernel/iommu_groups/14/devices/0000:08:00.0", "../x");
    assert_true(member("0000:08:00.0")->is_bridge);
    tree_link(&machine, "/sys/bus/pci/devices/0000:08:00.0/driver", "../a b");
    assert_false(member("0000:08:00.0")->is_bridge); /* somebody has it, whoever that is */
    assert_string_equal(member("0000:08:00.0")->use, "a driver whose name is not believed");
}

static void test_card_alone_shares_with_nobody(void **state)
{
    char place[512];
    tree_place(&machine, "/sys/kernel/iommu_groups/14/devices/0000:06:00.0", place);
    assert_int_equal(unlink(place), 0);
    tree_place(&machine, "/sys/kernel/iommu_groups/14/devices/0000:00:01.0", place);
    assert_int_equal(unlink(place), 0);
    cw_probe(&machine, &facts);
    assert_int_equal(facts.member_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_less_and_less_use, begin, end),
        cmocka_unit_test_setup_teardown(test_root_by_its_number, begin, end),
        cmocka_unit_test_setup_teardown(test_disk_of_several_paths, begin, end),
        cmocka_unit_test_setup_teardown(test_driver_of_no_name, begin, end),
        cmocka_unit_test_setup_teardown(test_card_alone_shares_with_nobody, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
