/* SPDX-License-Identifier: BSD-3-Clause */
/* A machine with more than there is room for: what was not looked at may be what is in use, and that has to be known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nic-config/probe.h"
#include "small_machine.h"

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

/* So many interfaces of a kind, then a card's and a VLAN on it. */
static void put_links(uint32_t count, const char *kind)
{
    char place[512];
    tree_place(&machine, "/answers/ip-link.json", place);
    FILE *file = fopen(place, "w");
    assert_non_null(file);
    fprintf(file, "[");
    for (uint32_t i = 0; i < count; i++)
        fprintf(file, "{\"ifname\":\"x%u\",\"linkinfo\":{\"info_kind\":\"%s\"}},", i, kind);
    fprintf(file, "{\"ifname\":\"ens1\",\"parentbus\":\"pci\",\"parentdev\":\"0000:03:00.0\"},"
                  "{\"ifname\":\"stor.100\",\"link\":\"ens1\",\"linkinfo\":{\"info_kind\":\"vlan\","
                  "\"info_data\":{\"id\":100}}}]");
    assert_int_equal(fclose(file), 0);
    cw_probe(&machine, &facts);
}

static void test_pairs_take_nobodys_room(void **state)
{
    put_links(CW_INTERFACES_MAX + 2, "veth");
    const struct cw_interface_fact *vlan = cw_facts_interface(&facts, "stor.100");
    assert_non_null(vlan);
    assert_string_equal(vlan->lower[0], "ens1");
    assert_non_null(cw_facts_interface(&facts, "mlx0")); /* of a card, in another namespace */
    assert_int_equal(facts.interface_count, CW_INTERFACES_MAX);
    assert_true(facts.is_use_known);
    assert_true(facts.doubt_count > 0);
}

static void test_interface_without_room_may_be_the_one_in_use(void **state)
{
    put_links(CW_INTERFACES_MAX - 3, "dummy");
    assert_non_null(cw_facts_interface(&facts, "mlx0"));
    assert_true(facts.is_use_known);
    put_links(CW_INTERFACES_MAX - 2, "dummy");
    assert_null(cw_facts_interface(&facts, "mlx0"));
    assert_false(facts.is_use_known);
    put_links(CW_INTERFACES_MAX - 1, "dummy");
    assert_null(cw_facts_interface(&facts, "stor.100"));
    assert_false(facts.is_use_known);
}

/* Another namespace may have an interface of the same name: who says the name means the one here. */
static void test_names_are_of_this_namespace_first(void **state)
{
    tree_put(&machine, "/answers/netns-blue-ip-link.json",
             "[{\"ifname\":\"veth0\",\"parentbus\":\"pci\",\"parentdev\":\"0000:04:00.0\"}]");
    cw_probe(&machine, &facts);
    const struct cw_interface_fact *interface = cw_facts_interface(&facts, "veth0");
    assert_non_null(interface);
    assert_string_equal(interface->space, "");
    assert_string_equal(interface->kind, "veth");
}

/* What a namespace has, of which only the interface with this JSON could stand on something; NULL: it is not known here. */
static const struct cw_interface_fact *probe_blue(const char *stands)
{
    char answer[512];
    snprintf(
        answer, sizeof answer,
        "[{\"ifname\":\"eth9\",\"ifindex\":7},{\"ifname\":\"stor.5\",\"linkinfo\":{\"info_kind\":\"vlan\","
        "\"info_data\":{\"id\":5}},%s}]",
        stands);
    tree_put(&machine, "/answers/netns-blue-ip-link.json", answer);
    cw_probe(&machine, &facts);
    return cw_facts_interface(&facts, "stor.5");
}

/* It knows what it stands on by a number of this namespace, if it says a namespace; a name is one of its own. */
static void test_vlan_in_another_namespace(void **state)
{
    tree_put(&machine, "/answers/ip-link.json",
             "[{\"ifname\":\"lo\",\"ifindex\":1},{\"ifname\":\"ens1\",\"ifindex\":7,\"parentbus\":\"pci\","
             "\"parentdev\":\"0000:03:00.0\"}]");
    const struct cw_interface_fact *vlan = probe_blue("\"link_index\":7,\"link_netnsid\":0");
    assert_non_null(vlan);
    assert_string_equal(vlan->space, "blue");
    assert_int_equal(vlan->lower_count, 1);
    assert_string_equal(vlan->lower[0], "ens1");
    assert_true(facts.is_use_known);
    assert_null(probe_blue("\"link_index\":8,\"link_netnsid\":0")); /* of a third one */
    assert_null(probe_blue("\"link_index\":7"));
    assert_null(probe_blue("\"link\":\"ens1\""));
}

#define VXLAN(NAME, REST)                                                                                    \
    "{\"ifname\":\"" NAME "\",\"linkinfo\":{\"info_kind\":\"vxlan\",\"info_data\":{" REST "}}"

/* It ends with the interface that it is bound to, which ip tells among its own settings only. */
static void test_vxlan_stands_on_its_interface(void **state)
{
    tree_put(
        &machine, "/answers/ip-link.json",
        "[{\"ifname\":\"ens1\",\"ifindex\":7,\"parentbus\":\"pci\",\"parentdev\":\"0000:03:00.0\"}," VXLAN("vx5", "\"link\":\"ens1\"") "}," VXLAN(
            "free5",
            "\"id\":5") "}," VXLAN("far5",
                                   "\"link\":\"ens1\"") ","
                                                        "\"link_netnsid\":3},{\"ifname\":\"hsr0\",\"linkinfo\":{\"info_kind\":\"hsr\",\"info_data\":"
                                                        "{\"slave1\":\"ens1\",\"slave2\":\"ens2\"}}},{\"ifname\":\"gre1\",\"link\":\"ens1\",\"linkinfo\":"
                                                        "{\"info_kind\":\"gre\",\"info_data\":{\"link\":\"ens1\"}}}]");
    cw_probe(&machine, &facts);
    const struct cw_interface_fact *ens1 = cw_facts_interface(&facts, "ens1");
    assert_true(cw_facts_stands_on(cw_facts_interface(&facts, "vx5"), ens1));
    assert_true(cw_facts_stands_on(cw_facts_interface(&facts, "hsr0"), ens1));
    assert_int_equal(cw_facts_interface(&facts, "hsr0")->lower_count, 2);
    assert_true(cw_facts_stands_on(cw_facts_interface(&facts, "gre1"), ens1));
    assert_int_equal(cw_facts_interface(&facts, "gre1")->lower_count, 1);
    assert_int_equal(cw_facts_interface(&facts, "free5")->lower_count, 0);
    assert_int_equal(cw_facts_interface(&facts, "far5")->lower_count, 0); /* ens1 of another namespace */
}

/* Moved into another one it keeps the interface that it is bound to; ip there makes of its number a name of there, and its
 * link_index is what it was itself here. */
static void test_vxlan_in_another_namespace(void **state)
{
    tree_put(&machine, "/answers/ip-link.json",
             "[{\"ifname\":\"ens1\",\"ifindex\":7,\"parentbus\":\"pci\",\"parentdev\":\"0000:03:00.0\"}]");
#define BLUE(LINK, NETNS)                                                                                    \
    "[{\"ifname\":\"eth9\",\"ifindex\":7}," VXLAN("vx5", "\"link\":\"" LINK "\"") NETNS "}]"
    static const struct {
        const char *answer;
        bool is_on_ours;
    } rows[] = {
        {BLUE("eth9", ",\"link_index\":8,\"link_netnsid\":0"), true},
        {BLUE("if7", ",\"link_index\":8,\"link_netnsid\":0"), true},
        {BLUE("if8", ",\"link_index\":7,\"link_netnsid\":0"), false},
        {BLUE("eth9", ""), false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tree_put(&machine, "/answers/netns-blue-ip-link.json", rows[i].answer);
        cw_probe(&machine, &facts);
        const struct cw_interface_fact *vxlan = cw_facts_interface(&facts, "vx5");
        assert_int_equal(vxlan != NULL, rows[i].is_on_ours);
        if (vxlan != NULL)
            assert_true(cw_facts_stands_on(vxlan, cw_facts_interface(&facts, "ens1")));
    }
}

/* So many names, of a namespace that has nothing. */
static void put_spaces(uint32_t count)
{
    static char many[1025 * 16 + 8];
    snprintf(many, sizeof many, "[");
    for (uint32_t i = 0; i < count; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%s{\"name\":\"red\"}", i ? "," : "");
    snprintf(many + strlen(many), sizeof many - strlen(many), "]");
    tree_put(&machine, "/answers/ip-netns.json", many);
    cw_probe(&machine, &facts);
}

static bool has_unread(const char *file)
{
    bool found = false;
    for (uint32_t i = 0; i < facts.unread_count; i++)
        found = found || strncmp(facts.unread[i].file, file, strlen(file)) == 0;
    return found;
}

static void test_namespace_that_cannot_be_looked_into(void **state)
{
    tree_put(&machine, "/answers/ip-netns.json", "[{\"name\":\"blue\"},{\"name\":\"red\"}]");
    cw_probe(&machine, &facts);
    assert_false(facts.is_use_known);
    tree_put(&machine, "/answers/netns-red-ip-link.json", "[]");
    cw_probe(&machine, &facts);
    assert_true(facts.is_use_known);
    tree_put(&machine, "/answers/ip-netns.json", "[{\"name\":\"../blue\"}]");
    cw_probe(&machine, &facts);
    assert_false(facts.is_use_known);
    put_spaces(1024);
    assert_true(facts.is_use_known);
    put_spaces(1025);
    assert_false(facts.is_use_known);
}

/* A machine with containers or routers of its own has many, and their names have a UUID in them. */
static void test_long_name_of_a_namespace(void **state)
{
    const char *name = "qdhcp-0b6d6a3e-6a1c-4f0e-9b57-3d1f5a0c8e11";
    char list[300 + 32], place[512], longest[256];
    snprintf(list, sizeof list, "[{\"name\":\"%s\"}]", name);
    snprintf(place, sizeof place, "/answers/netns-%s-ip-link.json", name);
    tree_put(&machine, "/answers/ip-netns.json", list);
    tree_put(&machine, place, "[{\"ifname\":\"mlx7\",\"parentbus\":\"pci\",\"parentdev\":\"0000:04:00.0\"}]");
    cw_probe(&machine, &facts);
    assert_true(facts.is_use_known);
    assert_non_null(cw_facts_interface(&facts, "mlx7"));
    assert_string_equal(cw_facts_interface(&facts, "mlx7")->space, name);

    memset(longest, 'n', 255); /* more than a recorded machine can tell of */
    longest[255] = '\0';
    snprintf(list, sizeof list, "[{\"name\":\"%s\"}]", longest);
    tree_put(&machine, "/answers/ip-netns.json", list);
    cw_probe(&machine, &facts);
    assert_false(facts.is_use_known);
    assert_true(has_unread("/run/netns/nnn"));
}

/* A file that a namespace was mounted on stays where it was not taken away by ip netns del: nothing is in it. */
static void test_stale_name_of_a_namespace(void **state)
{
    tree_put(&machine, "/answers/ip-netns.json", "[{\"name\":\"blue\"},{\"name\":\"red\"}]");
    tree_put(&machine, "/run/netns/red", "");
    cw_probe(&machine, &facts);
    assert_true(facts.is_use_known);
    assert_true(facts.doubt_count > 0);
    assert_string_equal(facts.doubts[facts.doubt_count - 1].file, "/run/netns/red");
    assert_non_null(strstr(facts.doubts[facts.doubt_count - 1].words, "no network namespace any more"));
}

#define GROUP "/sys/kernel/iommu_groups/14/devices"

static bool is_group_cut(void)
{
    cw_probe(&machine, &facts);
    const struct cw_card_fact *card = cw_facts_card(&facts, "0000:03:00.0");
    assert_non_null(card);
    assert_false(cw_facts_card(&facts, "0000:04:00.0")->is_group_cut); /* has none */
    return card->is_group_cut;
}

static void test_member_without_room_may_be_a_disk(void **state)
{
    char path[96];
    assert_false(is_group_cut());
    for (uint32_t i = 0; i < CW_MEMBERS_MAX - 2; i++) { /* three are there: the last has no room */
        if (i == CW_MEMBERS_MAX - 3)
            assert_false(is_group_cut());
        snprintf(path, sizeof path, GROUP "/0000:%02x:%02x.0", 0x10 + i / 32, i % 32);
        tree_link(&machine, path, "../x");
    }
    assert_true(is_group_cut());
    assert_int_equal(facts.member_count, CW_MEMBERS_MAX);
}

static void test_member_of_another_bus(void **state)
{
    tree_link(&machine, GROUP "/fsl-mc.0", "../x");
    assert_true(is_group_cut());
}

static void test_group_that_cannot_be_listed(void **state)
{
    tree_link(&machine, "/sys/bus/pci/devices/0000:03:00.0/iommu_group", "../../../kernel/iommu_groups/77");
    assert_true(is_group_cut());
}

static void put_disks(uint32_t first, uint32_t count)
{
    char path[96], target[96];
    for (uint32_t i = first; i < first + count; i++) {
        snprintf(path, sizeof path, "/sys/class/block/a%u", i);
        snprintf(target, sizeof target, "../../devices/virtual/block/a%u", i);
        tree_link(&machine, path, target);
    }
}

static void test_thousands_of_disks(void **state)
{
    put_disks(0, 2000); /* named before sda */
    assert_false(is_group_cut());
    assert_string_equal(facts.members[2].use, "disk sda, mounted at /");
    tree_link(&machine, "/sys/class/block/no name", "../../devices/virtual/block/x");
    assert_true(is_group_cut());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pairs_take_nobodys_room, begin, end),
        cmocka_unit_test_setup_teardown(test_interface_without_room_may_be_the_one_in_use, begin, end),
        cmocka_unit_test_setup_teardown(test_names_are_of_this_namespace_first, begin, end),
        cmocka_unit_test_setup_teardown(test_vlan_in_another_namespace, begin, end),
        cmocka_unit_test_setup_teardown(test_vxlan_stands_on_its_interface, begin, end),
        cmocka_unit_test_setup_teardown(test_vxlan_in_another_namespace, begin, end),
        cmocka_unit_test_setup_teardown(test_namespace_that_cannot_be_looked_into, begin, end),
        cmocka_unit_test_setup_teardown(test_long_name_of_a_namespace, begin, end),
        cmocka_unit_test_setup_teardown(test_stale_name_of_a_namespace, begin, end),
        cmocka_unit_test_setup_teardown(test_member_without_room_may_be_a_disk, begin, end),
        cmocka_unit_test_setup_teardown(test_member_of_another_bus, begin, end),
        cmocka_unit_test_setup_teardown(test_group_that_cannot_be_listed, begin, end),
        cmocka_unit_test_setup_teardown(test_thousands_of_disks, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
