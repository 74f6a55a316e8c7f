/* SPDX-License-Identifier: BSD-3-Clause */
/* What the probe makes of a machine that says nothing but the truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "nic-config/probe.h"
#include "small_machine.h"

static struct cw_machine machine;
static struct cw_facts facts;

static int probe(void **state)
{
    small_machine(&machine);
    cw_probe(&machine, &facts);
    return 0;
}

static int clean(void **state)
{
    tree_end(&machine);
    return 0;
}

static const struct cw_card_fact *card(const char *address)
{
    const struct cw_card_fact *found = cw_facts_card(&facts, address);
    assert_non_null(found);
    return found;
}

static const struct cw_interface_fact *interface(const char *name)
{
    const struct cw_interface_fact *found = cw_facts_interface(&facts, name);
    assert_non_null(found);
    return found;
}

static void test_nothing_is_doubted(void **state)
{
    for (uint32_t i = 0; i < facts.doubt_count; i++)
        print_message("%s %s\n", facts.doubts[i].file, facts.doubts[i].words);
    for (uint32_t i = 0; i < facts.unread_count; i++)
        print_message("%s %s\n", facts.unread[i].file, facts.unread[i].words);
    assert_int_equal(facts.doubt_count, 0);
    assert_int_equal(facts.unread_count, 0);
}

static void test_drivers(void **state)
{
    static const struct {
        const char *driver;
        enum cw_driver_use use;
    } drivers[] = {
        {"", CW_DRIVER_FOR_KERNEL},           {"ice", CW_DRIVER_FOR_KERNEL},
        {"virtio-pci", CW_DRIVER_FOR_KERNEL}, {"vfio-pci", CW_DRIVER_FOR_PROGRAMS},
        {"igb_uio", CW_DRIVER_FOR_PROGRAMS},  {"uio_pci_generic", CW_DRIVER_FOR_PROGRAMS},
        {"pciback", CW_DRIVER_FOR_GUESTS},    {"uio_hv_generic", CW_DRIVER_FOR_PROGRAMS},
        {"pci-stub", CW_DRIVER_FOR_GUESTS},   {"xen-pciback", CW_DRIVER_FOR_GUESTS},
    };
    for (size_t i = 0; i < CW_COUNT_OF(drivers); i++)
        assert_int_equal(cw_driver_use(drivers[i].driver), drivers[i].use);
}

static void test_system(void **state)
{
    assert_string_equal(facts.kernel, "6.1.0-test");
    assert_string_equal(facts.command_line, "root=/dev/sda1 isolcpus=2-3");
    assert_false(facts.is_root);
    assert_true(facts.has_iommu);
    assert_string_equal(facts.iommu, "dmar");
    assert_true(facts.has_vfio && facts.has_noiommu && facts.has_uio_generic);
    assert_false(facts.is_vfio_loaded || facts.is_vfio_pci_loaded || facts.is_noiommu_on ||
                 facts.is_uio_generic_loaded);
    assert_true(facts.has_smt && facts.has_irqbalance);
    assert_false(facts.has_systemd);
}

static void test_cpus(void **state)
{
    assert_int_equal(facts.cpu_count, 4);
    const struct cw_cpu_fact *first = cw_facts_cpu(&facts, 0), *third = cw_facts_cpu(&facts, 2),
                             *last = cw_facts_cpu(&facts, 3);
    assert_int_equal(first->node, 0);
    assert_int_equal(first->package, 0);
    assert_int_equal(first->core, 0);
    assert_int_equal(first->khz_max, 3900000);
    assert_string_equal(first->governor, "performance");
    assert_true(first->is_online && first->may_be_used);
    assert_false(first->is_isolated || first->is_tickless || first->is_efficient);
    assert_int_equal(third->core, 0);
    assert_int_equal(third->package, CW_FACT_UNKNOWN);
    assert_int_equal(third->khz_max, CW_FACT_UNKNOWN);
    assert_true(third->is_isolated && third->may_be_used);
    assert_true(last->is_isolated);
    assert_false(last->may_be_used);
    assert_int_equal(last->node, 1);
    assert_true(cw_facts_cpu(&facts, 1)->is_efficient);
}

static void test_memory(void **state)
{
    assert_int_equal(facts.node_count, 2);
    const struct cw_node_fact *node = cw_facts_node(&facts, 0);
    assert_int_equal(node->memory_mib, 8000);
    assert_int_equal(node->page_count, 2);
    assert_int_equal(node->pages[0].kib, 2048);
    assert_int_equal(node->pages[0].total, 512);
    assert_int_equal(node->pages[0].free, 500);
    assert_int_equal(node->pages[1].kib, 1048576);
    assert_int_equal(cw_facts_node(&facts, 1)->memory_mib, CW_FACT_UNKNOWN);
    assert_int_equal(facts.mount_count, 2);
    assert_string_equal(facts.mounts[0].folder, "/dev/hugepages");
    assert_int_equal(facts.mounts[0].page_kib, 2048);
    assert_string_equal(facts.mounts[1].folder, "/mnt/huge one");
    assert_int_equal(facts.mounts[1].page_kib, 1048576);
}

static void test_cards(void **state)
{
    assert_int_equal(facts.card_count, 5);
    const struct cw_card_fact *ice = card("0000:03:00.0");
    assert_int_equal(ice->vendor, 0x8086);
    assert_int_equal(ice->subsystem_device, 2);
    assert_string_equal(ice->name, "Intel Corporation Ethernet Controller E810-C");
    assert_string_equal(ice->driver, "ice");
    assert_string_equal(ice->override, "");
    assert_int_equal(ice->node, 1);
    assert_int_equal(ice->iommu_group, 14);
    assert_false(ice->is_noiommu || ice->is_network_driver_gone);
    assert_int_equal(ice->functions_max, 128);
    assert_int_equal(ice->functions, 1);
    assert_int_equal(ice->functions_offset, 8);
    assert_int_equal(ice->functions_stride, 1);
    assert_int_equal(ice->link_mts, 16000);
    assert_int_equal(ice->link_lanes, 16);
    assert_int_equal(ice->irq_count, 2);
    assert_int_equal(ice->irqs[0], 99);
    assert_int_equal(ice->irq_cpus[0].words[0], 3);
    assert_int_equal(ice->irq_cpus[1].words[0], 0);
    assert_string_equal(ice->pmd, "net_ice");
    assert_int_equal(ice->pmd_kind, CW_PMD_USERSPACE);
}

static void test_other_cards(void **state)
{
    const struct cw_card_fact *function = card("0000:03:01.0"),
                              *hyperv = card("000d3a11-2233-000d-3a11-2233000d3a11");
    assert_string_equal(function->physical, "0000:03:00.0");
    assert_string_equal(function->override, "vfio-pci");
    assert_false(function->is_network_driver_gone);
    assert_int_equal(card("0000:04:00.0")->node, CW_FACT_UNKNOWN);
    assert_string_equal(card("0000:04:00.0")->name, "");
    assert_int_equal(hyperv->bus, CW_BUS_VMBUS);
    assert_string_equal(hyperv->driver, "hv_netvsc");
    assert_string_equal(hyperv->pmd, "net_netvsc");
    assert_int_equal(hyperv->pmd_kind, CW_PMD_HYPERV);
    assert_true(hyperv->is_network_driver_gone);
    assert_string_equal(facts.cards[facts.card_count - 1].address, "0000:03:01.0"); /* virtual ones last */
}

static void test_members(void **state)
{
    assert_int_equal(facts.member_count, 3);
    assert_string_equal(facts.members[0].address, "0000:00:01.0");
    assert_true(facts.members[0].is_bridge);
    assert_string_equal(facts.members[1].address, "0000:03:00.0");
    assert_string_equal(facts.members[1].use, "interface ens1");
    assert_string_equal(facts.members[2].address, "0000:06:00.0");
    assert_string_equal(facts.members[2].driver, "ahci");
    assert_int_equal(facts.members[2].class_code, 0x010601);
    assert_string_equal(facts.members[2].use, "disk sda, mounted at /");
}

static void test_interfaces(void **state)
{
    const struct cw_interface_fact *ens1 = interface("ens1"), *bond = interface("bond0"),
                                   *vlan = interface("bond0.7");
    assert_int_equal(facts.interface_count, 7);
    assert_string_equal(ens1->card, "0000:03:00.0");
    assert_string_equal(ens1->kind, "");
    assert_string_equal(ens1->master, "bond0");
    assert_int_equal(ens1->mac[5], 1);
    assert_int_equal(ens1->mtu_max, 9702);
    assert_true(ens1->is_up && ens1->has_carrier);
    assert_int_equal(ens1->speed_mbps, 100000);
    assert_int_equal(ens1->queues_max, 16);
    assert_int_equal(ens1->rx_queues, CW_FACT_UNKNOWN);
    assert_string_equal(interface("eth5")->card, "0000:05:00.0");
    assert_int_equal(interface("eth5")->speed_mbps, CW_FACT_UNKNOWN); /* down: no wonder */
    assert_true(bond->has_program);
    assert_int_equal(bond->lower_count, 1);
    assert_string_equal(bond->lower[0], "ens1");
    assert_string_equal(vlan->lower[0], "bond0");
    assert_int_equal(vlan->vlan, 7);
    assert_int_equal(interface("veth0")->lower_count, 0); /* the other end is none */
    assert_string_equal(interface("mlx0")->space, "blue");
    assert_string_equal(interface("mlx0")->card, "0000:04:00.0");
    assert_false(card("0000:04:00.0")->is_network_driver_gone);
    assert_string_equal(interface("lo")->space, "");
}

static void test_use(void **state)
{
    const struct cw_interface_fact *bond = interface("bond0");
    assert_int_equal(bond->address_count, 2);
    assert_string_equal(bond->addresses[0].text, "192.0.2.2/24");
    assert_false(bond->addresses[0].is_link_local);
    assert_true(bond->addresses[1].is_link_local);
    assert_true(bond->has_default_route);
    assert_int_equal(bond->route_count, 3);
    assert_string_equal(bond->routes[0].text, "default via 192.0.2.1 proto dhcp metric 100");
    assert_true(bond->routes[0].is_default);
    assert_string_equal(bond->routes[1].text, "192.0.2.0/24 proto kernel scope link src 192.0.2.2");
    assert_true(bond->routes[1].is_of_kernel);
    assert_string_equal(bond->routes[2].text, "10.9.0.0/16 via 192.0.2.9");
    assert_string_equal(interface("bond0.7")->routes[0].text, "10.9.0.0/16 via inet6 fe80::9");
    assert_string_equal(interface("eth5")->routes[0].text, "default via 10.0.0.1 table 1001 onlink");
    assert_false(interface("eth5")->has_default_route);
    assert_string_equal(bond->lost_route, "an encapsulation"); /* by its other way, and it is one route */
    assert_string_equal(interface("bond0.7")->lost_route, "an encapsulation");
    assert_string_equal(interface("eth5")->lost_route, "a nexthop object (ip nexthop)");
    assert_string_equal(interface("ens1")->lost_route, ""); /* the kernel's own */
    assert_true(facts.is_use_known);
    assert_int_equal(facts.login_count, 1);
    assert_string_equal(facts.logins[0].who, "alice");
    assert_string_equal(facts.logins[0].interface, "bond0");
    assert_true(bond->has_login);
}

static void test_empty_folder_is_a_machine_too(void **state)
{
    struct cw_machine empty;
    struct cw_facts *of_empty = malloc(sizeof *of_empty);
    assert_non_null(of_empty);
    tree_begin(&empty);
    cw_probe(&empty, of_empty);
    assert_int_equal(of_empty->card_count + of_empty->interface_count + of_empty->cpu_count, 0);
    assert_int_equal(of_empty->doubt_count, 0);
    assert_false(of_empty->is_use_known);
    assert_true(of_empty->unread_count > 0); /* what was not recorded is not known, and that is said */
    tree_end(&empty);
    free(of_empty);
}

static void test_files_of_an_earlier_apply(void **state)
{
    tree_put(&machine, "/run/causeway/nic/wan0.yaml", "format: 1\n");
    tree_put(&machine, "/run/causeway/nic/wan0.yaml.new", "format: 1\n");
    tree_put(&machine, "/etc/systemd/system/causeway-nic.service", "[Unit]\n");
    tree_link(&machine, "/etc/systemd/system/multi-user.target.wants/causeway-nic.service",
              "/etc/systemd/system/causeway-nic.service");
    tree_put(&machine, "/etc/systemd/system/causeway-nic-late.service", "[Unit]\n");
    tree_link(&machine, "/etc/systemd/system/multi-user.target.wants/causeway-nic-late.service",
              "../causeway-nic-late.service");
    cw_probe_files(&machine, "/run/causeway/nic", "/etc/systemd/system", &facts);
    assert_int_equal(facts.file_count, 5);
    assert_non_null(cw_facts_file(&facts, "/etc/systemd/system/causeway-nic-late.service"));
    const struct cw_file_fact *file = cw_facts_file(&facts, "/run/causeway/nic/wan0.yaml");
    assert_non_null(file);
    assert_string_equal(file->text, "format: 1\n");
    file = cw_facts_file(&facts, "/etc/systemd/system/multi-user.target.wants/causeway-nic-late.service");
    assert_non_null(file);
    assert_string_equal(file->text, "causeway-nic-late.service");
    file = cw_facts_file(&facts, "/etc/systemd/system/multi-user.target.wants/causeway-nic.service");
    assert_non_null(file);
    assert_string_equal(file->text, "causeway-nic.service");
}

static const char *doubt_of(const char *program)
{
    cw_probe_program(program, &facts);
    return facts.program_doubt;
}

/* Each folder on the way counts; of a sticky one (/tmp) only who owns it. */
static void test_program(void **state)
{
    char folder[] = "/tmp/cw-program-XXXXXX", program[64];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(program, sizeof program, "%s/nic", folder);
    FILE *file = fopen(program, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(chmod(program, 0755), 0);
    if (geteuid() != 0) {
        assert_non_null(strstr(doubt_of(program), " belongs to the user "));
    } else {
        assert_string_equal(doubt_of(program), "");
        assert_int_equal(chmod(program, 0775), 0);
        assert_non_null(strstr(doubt_of(program), "/nic (mode 0775) can be written by others than root"));
        assert_int_equal(chmod(program, 0755), 0);
        assert_int_equal(chmod(folder, 0757), 0);
        assert_string_equal(doubt_of(program) + strlen(folder),
                            " (mode 0757) can be written by others than root");
        assert_int_equal(chmod(folder, 01757), 0);
        assert_string_equal(doubt_of(program), "");
        assert_int_equal(chown(folder, 1234, 0), 0);
        assert_string_equal(doubt_of(program) + strlen(folder), " belongs to the user 1234");
        assert_int_equal(chown(folder, 0, 0), 0);
        snprintf(program, sizeof program, "%s/nic (deleted)", folder);
        assert_non_null(
            strstr(doubt_of(program), "/nic (deleted): No such file or directory (it may have been "));
    }
    snprintf(program, sizeof program, "%s/nic", folder);
    assert_int_equal(unlink(program), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_doubted),
        cmocka_unit_test(test_drivers),
        cmocka_unit_test(test_system),
        cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_cards),
        cmocka_unit_test(test_other_cards),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_interfaces),
        cmocka_unit_test(test_use),
        cmocka_unit_test(test_empty_folder_is_a_machine_too),
        cmocka_unit_test(test_files_of_an_earlier_apply),
        cmocka_unit_test(test_program),
    };
    return cmocka_run_group_tests(tests, probe, clean);
}
