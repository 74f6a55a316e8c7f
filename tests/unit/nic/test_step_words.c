/* SPDX-License-Identifier: BSD-3-Clause */
/* How steps are said, and the commands that do and undo them by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "nic-config/step.h"

static struct cw_facts facts;

static const struct row {
    struct cw_step step;
    const char *words, *does, *undoes;
    bool is_lasting;
} rows[] = {
    {{CW_STEP_WRITE, "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "512"},
     "reserve 512 hugepages: /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
     "echo 512 > /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
     "echo 64 > /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"},
    {{CW_STEP_WRITE, "/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages", "2"},
     "reserve 2 hugepages: /sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages",
     "echo 2 > /sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages",
     "echo 'what is in it now' > /sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages"},
    {{CW_STEP_WRITE, "/sys/bus/pci/devices/0000:03:00.0/sriov_numvfs", "1"},
     "make 1 virtual function: /sys/bus/pci/devices/0000:03:00.0/sriov_numvfs",
     "echo 1 > /sys/bus/pci/devices/0000:03:00.0/sriov_numvfs",
     "echo 0 > /sys/bus/pci/devices/0000:03:00.0/sriov_numvfs"},
    {{CW_STEP_WRITE, "/proc/irq/41/smp_affinity_list", "0-1,8"},
     "move interrupt 41 to the CPUs 0-1,8",
     "echo 0-1,8 > /proc/irq/41/smp_affinity_list",
     "echo 2-3 > /proc/irq/41/smp_affinity_list"},
    {{CW_STEP_WRITE, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y"},
     "write Y to /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
     "echo Y > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
     "echo N > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode"},
    {{CW_STEP_MODULE, "vfio-pci", ""},
     "load the module vfio-pci",
     "modprobe vfio-pci",
     "modprobe -r vfio-pci"},
    {{CW_STEP_MODULE, "vfio", "enable_unsafe_noiommu_mode=1"},
     "load the module vfio with enable_unsafe_noiommu_mode=1",
     "modprobe vfio enable_unsafe_noiommu_mode=1",
     "modprobe -r vfio"},
    {{CW_STEP_GIVE_UP, "eth2", ""},
     "take the interface eth2 out of use: no addresses, no routes, of no bond or bridge, down",
     "ip link set dev eth2 down\nip link set dev eth2 nomaster\nip addr flush dev eth2",
     "ip link set dev eth2 mtu 1500\nip link set dev eth2 up\nip addr add 10.9.0.1/24 dev eth2\n"
     "ip -4 route add default via 10.9.0.254 dev eth2"},
    {{CW_STEP_GIVE_UP, "it's", ""},
     "take the interface it's out of use: no addresses, no routes, of no bond or bridge, down",
     "ip link set dev 'it'\\''s' down\nip link set dev 'it'\\''s' nomaster\nip addr flush dev 'it'\\''s'",
     "nothing: it is down and has no address"},
    {{CW_STEP_GIVE_UP, "eth3"},
     "take the interface eth3 out of use: no addresses, no routes, of no bond or bridge, down",
     "ip link set dev eth3 down\nip link set dev eth3 nomaster\nip addr flush dev eth3",
     "ip link set dev eth3 mtu 9000\nip link set dev eth3 master br0\nip link set dev eth3 up"},
    {{CW_STEP_BIND, "0000:03:00.0", "vfio-pci"},
     "give 0000:03:00.0 to the driver vfio-pci",
     "echo vfio-pci > /sys/bus/pci/devices/0000:03:00.0/driver_override\n"
     "[ ! -e /sys/bus/pci/devices/0000:03:00.0/driver/unbind ] || "
     "echo 0000:03:00.0 > /sys/bus/pci/devices/0000:03:00.0/driver/unbind\n"
     "echo 0000:03:00.0 > /sys/bus/pci/drivers_probe",
     "echo '' > /sys/bus/pci/devices/0000:03:00.0/driver_override\n"
     "[ ! -e /sys/bus/pci/devices/0000:03:00.0/driver/unbind ] || "
     "echo 0000:03:00.0 > /sys/bus/pci/devices/0000:03:00.0/driver/unbind\n"
     "echo 0000:03:00.0 > /sys/bus/pci/drivers_probe"},
    {{CW_STEP_BIND, "0000:03:10.0", "vfio-pci"}, /* a virtual function that is not there yet */
     "give 0000:03:10.0 to the driver vfio-pci",
     "echo vfio-pci > /sys/bus/pci/devices/0000:03:10.0/driver_override\n"
     "[ ! -e /sys/bus/pci/devices/0000:03:10.0/driver/unbind ] || "
     "echo 0000:03:10.0 > /sys/bus/pci/devices/0000:03:10.0/driver/unbind\n"
     "echo 0000:03:10.0 > /sys/bus/pci/drivers_probe",
     "echo '' > /sys/bus/pci/devices/0000:03:10.0/driver_override\n"
     "[ ! -e /sys/bus/pci/devices/0000:03:10.0/driver/unbind ] || "
     "echo 0000:03:10.0 > /sys/bus/pci/devices/0000:03:10.0/driver/unbind"},
    {{CW_STEP_CHANNELS, "eth2", "1"},
     "let eth2 have 1 queue",
     "ethtool -L eth2 combined 1",
     "ethtool -L eth2 combined 8"},
    {{CW_STEP_MTU, "eth2", "9000"},
     "raise the MTU of eth2 to 9000",
     "ip link set dev eth2 mtu 9000",
     "ip link set dev eth2 mtu 1500"},
    {{CW_STEP_FILE, "/run/causeway/nic/wan0.yaml", "format: 1\n"},
     "write the file /run/causeway/nic/wan0.yaml",
     "install -D -m 644 /dev/stdin /run/causeway/nic/wan0.yaml <<'END'\nformat: 1\nEND",
     "rm /run/causeway/nic/wan0.yaml"},
    {{CW_STEP_FILE, "/etc/systemd/system/causeway-nic.service", "[Unit]"},
     "write the file /etc/systemd/system/causeway-nic.service",
     "install -D -m 644 /dev/stdin /etc/systemd/system/causeway-nic.service <<'END'\n[Unit]\nEND",
     "rm /etc/systemd/system/causeway-nic.service",
     true},
    {{CW_STEP_LINK, "/etc/systemd/system/a/b.service", "../b.service"},
     "link /etc/systemd/system/a/b.service to ../b.service",
     "mkdir -p \"$(dirname /etc/systemd/system/a/b.service)\"\nln -sfn ../b.service "
     "/etc/systemd/system/a/b.service",
     "rm /etc/systemd/system/a/b.service",
     true},
    {{CW_STEP_FILE, "/run/causeway/nic/old.yaml", "format: 2\n"}, /* of an earlier apply */
     "write the file /run/causeway/nic/old.yaml",
     "install -D -m 644 /dev/stdin /run/causeway/nic/old.yaml <<'END'\nformat: 2\nEND",
     "install -D -m 644 /dev/stdin /run/causeway/nic/old.yaml <<'END'\nformat: 1\nEND"},
    {{CW_STEP_FILE, "/run/causeway/nic/long.yaml", ""},
     "write the file /run/causeway/nic/long.yaml",
     "install -D -m 644 /dev/stdin /run/causeway/nic/long.yaml <<'END'\n\nEND",
     "echo 'what is in it now' > /run/causeway/nic/long.yaml"},
    {{CW_STEP_FILE, "/run/causeway/nic/end.yaml", ""},
     "write the file /run/causeway/nic/end.yaml",
     "install -D -m 644 /dev/stdin /run/causeway/nic/end.yaml <<'END'\n\nEND",
     "echo 'what is in it now' > /run/causeway/nic/end.yaml"},
    {{CW_STEP_LINK, "/run/systemd/system/b.service", "../b.service"},
     "link /run/systemd/system/b.service to ../b.service",
     "mkdir -p \"$(dirname /run/systemd/system/b.service)\"\nln -sfn ../b.service /run/systemd/system/b.service",
     "ln -sfn 'what it names now' /run/systemd/system/b.service"},
};

static void add_file(const char *path, const char *text)
{
    struct cw_file_fact *file = &facts.files[facts.file_count++];
    snprintf(file->path, sizeof file->path, "%s", path);
    snprintf(file->text, sizeof file->text, "%s", text);
}

static void facts_make(void)
{
    struct cw_interface_fact *eth2 = &facts.interfaces[facts.interface_count++];
    snprintf(eth2->name, sizeof eth2->name, "eth2");
    eth2->mtu = 1500;
    eth2->is_up = true;
    eth2->queues = 8;
    eth2->address_count = 2;
    snprintf(eth2->addresses[0].text, sizeof eth2->addresses[0].text, "10.9.0.1/24");
    snprintf(eth2->addresses[1].text, sizeof eth2->addresses[1].text, "fe80::1/64");
    eth2->addresses[1].is_link_local = true;
    eth2->route_count = 2;
    eth2->routes[0] = (struct cw_route_fact){"default via 10.9.0.254", true, false, 4};
    eth2->routes[1] = (struct cw_route_fact){"10.9.0.0/24", false, true, 4};
    struct cw_interface_fact *odd = &facts.interfaces[facts.interface_count++];
    snprintf(odd->name, sizeof odd->name, "it's");
    odd->mtu = CW_FACT_UNKNOWN;
    struct cw_interface_fact *part = &facts.interfaces[facts.interface_count++];
    *part = (struct cw_interface_fact){.name = "eth3", .master = "br0", .is_up = true, .mtu = 9000};
    static char longest[CW_FILE_BYTES + 1];
    memset(longest, 'x', sizeof longest - 1);
    add_file("/run/causeway/nic/old.yaml", "format: 1\n");
    add_file("/run/causeway/nic/long.yaml", longest);
    add_file("/run/causeway/nic/end.yaml", "a\nEND\nb\n");
    add_file("/run/systemd/system/b.service", "other.service");
    struct cw_card_fact *card = &facts.cards[facts.card_count++];
    snprintf(card->address, sizeof card->address, "0000:03:00.0");
    snprintf(card->driver, sizeof card->driver, "ice");
    card->irqs[card->irq_count] = 41;
    cw_cpu_set_add(&card->irq_cpus[card->irq_count], 2);
    cw_cpu_set_add(&card->irq_cpus[card->irq_count++], 3);
    facts.nodes[facts.node_count++] =
        (struct cw_node_fact){.id = 1, .pages = {{.kib = 2048, .total = 64}}, .page_count = 1};
}

static void test_steps_are_said(void **state)
{
    char text[4096];
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        cw_step_words(&rows[i].step, text, sizeof text);
        assert_string_equal(text, rows[i].words);
        cw_step_commands(&rows[i].step, text, sizeof text);
        assert_string_equal(text, rows[i].does);
        cw_step_undo_commands(&rows[i].step, &facts, text, sizeof text);
        assert_string_equal(text, rows[i].undoes);
        assert_int_equal(cw_step_is_volatile(&rows[i].step), !rows[i].is_lasting);
    }
}

/* Wherever the room ends, there is an end, and nothing behind it. */
static void test_no_room(void **state)
{
    char text[128];
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++)
        for (size_t size = 1; size < 100; size++) {
            memset(text, 'x', sizeof text);
            cw_step_words(&rows[i].step, text, size);
            assert_true(memchr(text, 0, size) != NULL && text[size] == 'x');
            cw_step_commands(&rows[i].step, text, size);
            assert_true(memchr(text, 0, size) != NULL && text[size] == 'x');
            cw_step_undo_commands(&rows[i].step, &facts, text, size);
            assert_true(memchr(text, 0, size) != NULL && text[size] == 'x');
        }
}

static void test_every_kind_has_a_name(void **state)
{
    for (int i = 0; i < CW_STEP_COUNT; i++)
        assert_non_null(cw_step_names[i]);
}

static void test_lists_of_cpus(void **state)
{
    struct cw_cpu_set set = {0};
    char text[32];
    cw_cpu_set_text(&set, text, sizeof text);
    assert_string_equal(text, "");
    const uint32_t cpus[] = {0, 2, 3, 63, 64, 65, CW_CPUS_MAX - 1, CW_CPUS_MAX};
    for (size_t i = 0; i < CW_COUNT_OF(cpus); i++)
        cw_cpu_set_add(&set, cpus[i]);
    cw_cpu_set_text(&set, text, sizeof text);
    assert_string_equal(text, "0,2-3,63-65,511");
    cw_cpu_set_text(&set, text, 5);
    assert_string_equal(text, "0,2-");
}

/* Two CPUs of each three make the longest list that there is. */
static void test_longest_list_of_cpus(void **state)
{
    static struct cw_facts many;
    static char expected[CW_CPUS_TEXT + 64], text[CW_CPUS_TEXT + 64];
    const struct cw_step step = {
        .kind = CW_STEP_WRITE, .subject = "/proc/irq/41/smp_affinity_list", .value = "0"};
    size_t used = (size_t)snprintf(expected, sizeof expected, "echo ");
    many.card_count = many.cards[0].irq_count = 1;
    many.cards[0].irqs[0] = 41;
    for (uint32_t cpu = 0; cpu + 1 < CW_CPUS_MAX; cpu += 3) {
        cw_cpu_set_add(&many.cards[0].irq_cpus[0], cpu);
        cw_cpu_set_add(&many.cards[0].irq_cpus[0], cpu + 1);
        used += (size_t)snprintf(expected + used, sizeof expected - used, "%s%u-%u", cpu > 0 ? "," : "", cpu,
                                 cpu + 1);
    }
    assert_true(used < CW_CPUS_TEXT);
    snprintf(expected + used, sizeof expected - used, " > %s", step.subject);
    cw_step_undo_commands(&step, &many, text, sizeof text);
    assert_string_equal(text, expected);
}

int main(void)
{
    facts_make();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_are_said),        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_every_kind_has_a_name), cmocka_unit_test(test_lists_of_cpus),
        cmocka_unit_test(test_longest_list_of_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
