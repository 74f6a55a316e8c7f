/* SPDX-License-Identifier: BSD-3-Clause */
/* Values that cannot be true: each is named with its file, and the fact stays unknown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "nic-config/probe.h"
#include "small_machine.h"

#define CARD  "/sys/bus/pci/devices/0000:03:00.0"
#define PAGES "/sys/devices/system/node/node0/hugepages/hugepages-2048kB"
#define CPU   "/sys/devices/system/cpu"
#define LINKS "ip -json -details link show"

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

static const char *small_text(const char *path)
{
    for (size_t i = 0; i < CW_COUNT_OF(small_files); i++)
        if (strcmp(small_files[i].path, path) == 0)
            return small_files[i].text;
    return NULL;
}

static bool is_doubted(const char *file, const char *words)
{
    for (uint32_t i = 0; i < facts.doubt_count; i++)
        if (strcmp(facts.doubts[i].file, file) == 0 && strstr(facts.doubts[i].words, words) != NULL)
            return true;
    for (uint32_t i = 0; i < facts.doubt_count; i++)
        print_message("%s: %s\n", facts.doubts[i].file, facts.doubts[i].words);
    return false;
}

static const struct {
    const char *path, *text;  /* what is written where */
    const char *file, *words; /* what is said of which; file NULL: of the path */
} doubts[] = {
    {CPU "/online", "0-99999", NULL, "\"0-99999\", which is no list of CPUs below 512"},
    {CPU "/online", "0-3,7", NULL, "has CPUs from 7 on that are not there"},
    {CPU "/online", "3-0", NULL, "no list"},
    {CPU "/isolated", "2,", NULL, "no list"},
    {CPU "/cpu0/topology/thread_siblings_list", "1,3", NULL, "leaves out CPU 0 itself"},
    {CPU "/cpu0/topology/physical_package_id", "-2", NULL, "says -2: not believed"},
    {CPU "/cpu0/cpufreq/cpuinfo_max_freq", "0", NULL, "says 0: not believed"},
    {CPU "/cpu0/cpufreq/scaling_governor", "rm -rf", NULL, "no name"},
    {CPU "/cpu0/cpufreq/scaling_governor", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL,
     "more than 23 characters"},
    {"/sys/devices/system/node/online", "0", NULL, "leaves out node1"},
    {"/sys/devices/system/node/node1/cpulist", "0-3", NULL, "has CPUs that another node has"},
    {"/sys/devices/system/node/node0/meminfo", "Node 0 MemTotal: -5 kB", NULL, "MemTotal: -5 kB"},
    {"/proc/meminfo", "MemFree: 5 kB\nHugepagesize:    3000 kB\n", NULL, "Hugepagesize:    3000 kB"},
    {"/proc/meminfo", "Hugepagesize: -2048 kB", NULL, "Hugepagesize: -2048 kB"},
    {PAGES "/nr_hugepages", "-5", NULL, "says -5: not believed"},
    {PAGES "/nr_hugepages", "many", NULL, "\"many\", which is no number"},
    {PAGES "/free_hugepages", "600", PAGES, "has 512 pages, and 600 of them free"},
    {"/sys/devices/system/node/node0/hugepages/hugepages-3000kB/nr_hugepages", "1",
     "/sys/devices/system/node/node0/hugepages/hugepages-3000kB", "no size of a page"},
    {"/proc/mounts", "h /dev/hugepages hugetlbfs pagesize=-2M 0 0", NULL, "pagesize=-2M: not believed"},
    {"/proc/self/status", "\nCpus_allowed_list:\t5-1\n", NULL, "Cpus_allowed_list"},
    {CARD "/vendor", "0x18086", NULL, "says 0x18086: not believed"},
    {CARD "/numa_node", "9", NULL, "says node 9, which is not there"},
    {CARD "/sriov_numvfs", "900", NULL, "says 900 of 128"},
    {CARD "/sriov_totalvfs", "-1", NULL, "says -1: not believed"},
    {CARD "/current_link_speed", "fast", NULL, "says \"fast\": not believed"},
    {CARD "/current_link_width", "77", NULL, "says 77 lanes"},
    {CARD "/msi_irqs/-4", "", CARD "/msi_irqs", "\"-4\", which is no interrupt"},
    {CARD "/driver_override", "a b", NULL, "which is no driver"},
    {"/proc/irq/99/smp_affinity_list", "0-4095", NULL, "no list"},
    {"/sys/bus/pci/devices/garbage/class", "0x020000", "/sys/bus/pci/devices", "no address of PCI"},
    {"/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "maybe", NULL, "says \"maybe\": not believed"},
    {"/usr/share/misc/pci.ids", "8086  Intel\n\t\t\t\tzz\n\n!!!\n\tq", NULL, "no list of names"},
    {"/answers/ip-link.json", "[{\"ifname\":\"a b\"}]", LINKS, "an interface \"a b\""},
    {"/answers/ip-link.json", "[{\"ifname\":\"aaaaaaaaaaaaaaaa\"}]", LINKS,
     "an interface \"aaaaaaaaaaaaaaaa\""},
    {"/answers/ip-link.json", "[{\"ifname\":\"a\",\"mtu\":-1}]", LINKS, "a has the mtu -1"},
    {"/answers/ip-link.json", "[{\"ifname\":\"a\",\"link_type\":\"ether\",\"address\":\"02:00\"}]", LINKS,
     "a has the address \"02:00\""},
    {"/answers/ip-link.json",
     "[{\"ifname\":\"a\",\"linkinfo\":{\"info_kind\":\"vlan\",\"info_data\":{\"id\":5000}}}]", LINKS,
     "a has the VLAN 5000"},
    {"/answers/ip-link.json", "[{\"ifname\":\"a\",\"master\":\"$(x)\"}]", LINKS, "a is part of \"$(x)\""},
    {"/answers/ip-netns.json", "[{\"name\":\"../../x\"}]", "ip -json netns list", "a namespace \"../../x\""},
    {"/answers/ip-address.json",
     "[{\"ifname\":\"ens1\",\"addr_info\":[{\"local\":\"192.0.2.2\",\"prefixlen\":33}]}]",
     "ip -json address show", "ens1 has the address \"192.0.2.2/33\""},
    {"/answers/ip-route4.json", "[{\"dst\":\"default\",\"dev\":\"ens1\",\"gateway\":\"`x`\"}]",
     "ip -json -4 route show table all", "a route of ens1 to \"default\""},
    {"/answers/ip-route6.json", "[{\"dst\":\"default\",\"dev\":\"ens1\",\"table\":\"a;b\"}]",
     "ip -json -6 route show table all", "a route of ens1 to \"default\""},
    {"/answers/ethtool.json", "{\"ens1\":{\"speed\":4294967294}}", "ethtool",
     "ens1: its speed is 4294967294 Mb/s with a link"},
    {"/answers/ethtool.json", "{\"ens1\":{\"speed\":0}}", "ethtool", "ens1: its speed is 0 Mb/s with a link"},
    {"/answers/ethtool.json", "{\"eth5\":{\"speed\":99999999}}", "ethtool",
     "eth5: its speed is 99999999 Mb/s"},
    {"/answers/ethtool.json", "{\"ens1\":{\"queues\":17,\"queues_max\":16}}", "ethtool", "17 queues of 16"},
    {"/answers/ethtool.json", "{\"ens1\":{\"queues\":\"8\"}}", "ethtool", "queues is no number"},
    {"/answers/logins.json", "[{\"who\":\"a\",\"from\":\"here\",\"local\":\"192.0.2.2\"}]", "logins",
     "from \"here\""},
};

static void test_each_is_named(void **state)
{
    for (size_t i = 0; i < CW_COUNT_OF(doubts); i++) {
        const char *before = small_text(doubts[i].path);
        char place[512];
        tree_put(&machine, doubts[i].path, doubts[i].text);
        cw_probe(&machine, &facts);
        if (!is_doubted(doubts[i].file != NULL ? doubts[i].file : doubts[i].path, doubts[i].words))
            fail_msg("%s with \"%s\" is believed", doubts[i].path, doubts[i].text);
        tree_place(&machine, doubts[i].path, place);
        assert_int_equal(remove(place), 0);
        if (before != NULL)
            tree_put(&machine, doubts[i].path, before);
        else { /* and the folder that was made for it */
            *strrchr(place, '/') = '\0';
            rmdir(place);
        }
    }
}

static void test_it_stays_unknown(void **state)
{
    tree_put(&machine, CARD "/numa_node", "9");
    tree_put(&machine, CARD "/current_link_speed", "99999 GT/s");
    tree_put(&machine, CARD "/current_link_width", "77");
    tree_put(&machine, CARD "/sriov_numvfs", "900");
    tree_link(&machine, CARD "/iommu_group", "../-7");
    tree_link(&machine, CARD "/driver", "../a b");
    tree_put(&machine, PAGES "/free_hugepages", "600");
    tree_put(&machine, "/answers/ethtool.json",
             "{\"ens1\":{\"speed\":4294967294,\"queues\":17,\"queues_max\":16}}");
    cw_probe(&machine, &facts);
    const struct cw_card_fact *card = cw_facts_card(&facts, "0000:03:00.0");
    const struct cw_interface_fact *interface = cw_facts_interface(&facts, "ens1");
    const struct cw_page_fact *pages = &cw_facts_node(&facts, 0)->pages[0];
    assert_non_null(card);
    assert_non_null(interface);
    assert_int_equal(card->node, CW_FACT_UNKNOWN);
    assert_int_equal(card->link_mts, CW_FACT_UNKNOWN);
    assert_int_equal(card->link_lanes, CW_FACT_UNKNOWN);
    assert_int_equal(card->functions, CW_FACT_UNKNOWN);
    assert_int_equal(card->iommu_group, CW_FACT_UNKNOWN);
    assert_string_equal(card->driver, "");
    assert_int_equal(pages->total, CW_FACT_UNKNOWN);
    assert_int_equal(interface->speed_mbps, CW_FACT_UNKNOWN);
    assert_int_equal(interface->queues, CW_FACT_UNKNOWN);
    assert_true(is_doubted(CARD "/iommu_group", "\"-7\""));
    assert_true(is_doubted(CARD "/driver", "\"a b\""));
}

/* A folder in its place: read with an error, as a device that has gone answers. */
static void test_virtual_functions(void **state)
{
    static const char *const names[] = {"sriov_totalvfs", "sriov_numvfs"};
    for (size_t i = 0; i < CW_COUNT_OF(names); i++) {
        char path[96], place[512];
        snprintf(path, sizeof path, CARD "/%s", names[i]);
        tree_put(&machine, path, "many");
        cw_probe(&machine, &facts);
        const struct cw_card_fact *card = cw_facts_card(&facts, "0000:03:00.0");
        assert_int_equal(i == 0 ? card->functions_max : card->functions, CW_FACT_UNKNOWN);
        assert_int_equal(i == 0 ? card->functions : card->functions_max, i == 0 ? 1 : 128);
        tree_place(&machine, path, place);
        assert_int_equal(unlink(place), 0);
        tree_folder(&machine, path);
        cw_probe(&machine, &facts);
        assert_int_equal(i == 0 ? card->functions_max : card->functions, CW_FACT_UNKNOWN);
        assert_int_equal(facts.unread_count, 1);
        assert_string_equal(facts.unread[0].file, path);
        assert_int_equal(rmdir(place), 0);
        tree_put(&machine, path, small_text(path));
    }
    const struct cw_card_fact *none = cw_facts_card(&facts, "0000:04:00.0"); /* has no such files */
    assert_int_equal(none->functions_max, 0);
    assert_int_equal(none->functions, 0);
}

/* What firmware and drivers write of what they do not know is no wonder. */
static void test_common_ways_to_say_unknown(void **state)
{
    tree_put(&machine, CARD "/current_link_speed", "Unknown");
    tree_put(&machine, CARD "/current_link_width", "255");
    tree_put(&machine, CARD "/numa_node", "-1");
    static const char *const speeds[] = {"\"speed\":-1", "\"speed\":4294967295",
                                         ""}; /* ens1 has a link, eth5 none */
    for (size_t i = 0; i < CW_COUNT_OF(speeds); i++) {
        char answer[128];
        snprintf(answer, sizeof answer, "{\"eth5\":{%s},\"ens1\":{%s}}", speeds[i], speeds[i]);
        tree_put(&machine, "/answers/ethtool.json", answer);
        cw_probe(&machine, &facts);
        assert_int_equal(facts.doubt_count, 0);
        assert_int_equal(cw_facts_interface(&facts, "eth5")->speed_mbps, CW_FACT_UNKNOWN);
        assert_int_equal(cw_facts_interface(&facts, "ens1")->speed_mbps, CW_FACT_UNKNOWN);
    }
    const struct cw_card_fact *card = cw_facts_card(&facts, "0000:03:00.0");
    assert_int_equal(card->link_mts, CW_FACT_UNKNOWN);
    assert_int_equal(card->link_lanes, CW_FACT_UNKNOWN);
    assert_int_equal(card->node, CW_FACT_UNKNOWN);
}

/* An interface may seem to be free, and nobody may count on it. */
static void test_use_is_not_known(void **state)
{
    static const struct {
        const char *path, *text;
    } cases[] = {
        {"/answers/ip-address.json",
         "[{\"ifname\":\"ens1\",\"addr_info\":[{\"local\":\"x\",\"prefixlen\":8}]}]"},
        {"/answers/ip-address.json", "{"},
        {"/answers/ip-route4.json", "17"},
        {"/answers/ip-route6.json", "[{\"dst\":\"x\",\"dev\":\"ens1\"}]"},
        {"/answers/logins.json", "[7]"},
        {"/answers/logins.json", "{}"},
        {"/answers/ip-link.json", "[{\"ifname\":\"\"}]"},
        {"/answers/ip-link.json", "{"},
        {"/answers/ip-route4.json", "[{\"dst\":\"default\",\"nhid\":7}]"},
    };
    for (size_t i = 0; i < CW_COUNT_OF(cases); i++) {
        cw_probe(&machine, &facts);
        assert_true(facts.is_use_known);
        tree_put(&machine, cases[i].path, cases[i].text);
        cw_probe(&machine, &facts);
        if (facts.is_use_known)
            fail_msg("%s with %s leaves nothing open", cases[i].path, cases[i].text);
        assert_int_equal(facts.lacks_interfaces, strcmp(cases[i].text, "{") == 0 &&
                                                     strcmp(cases[i].path, "/answers/ip-link.json") == 0);
        tree_put(&machine, cases[i].path, small_text(cases[i].path));
    }
}

/* That DPDK has no driver for a card, and that nobody could look, are two things. */
static void test_drivers_are_not_known(void **state)
{
    static const char *const texts[] = {"{", "{}", "[]"};
    for (size_t i = 0; i < CW_COUNT_OF(texts); i++) {
        tree_put(&machine, "/answers/pmds.json", texts[i]);
        cw_probe(&machine, &facts);
        assert_int_equal(cw_facts_card(&facts, "0000:03:00.0")->pmd_kind,
                         i < 2 ? CW_PMD_UNKNOWN : CW_PMD_NONE);
        assert_int_equal(facts.unread_count, i < 2);
    }
}

/* A machine of hundreds of CPUs that says one thing wrong of each still has room to say another. */
static void test_alike_doubts_are_counted(void **state)
{
    for (int i = 0; i < 100; i++) {
        char path[96];
        snprintf(path, sizeof path, CPU "/cpu%d/cpufreq/cpuinfo_max_freq", i);
        tree_put(&machine, path, "7");
    }
    tree_put(&machine, CPU "/online", "0-99");
    cw_probe(&machine, &facts);
    assert_int_equal(facts.cpu_count, 100);
    assert_int_equal(facts.doubt_count, 1);
    assert_string_equal(facts.doubts[0].file, CPU "/cpu0/cpufreq/cpuinfo_max_freq");
    assert_string_equal(facts.doubts[0].words, "says 7: not believed; 99 other CPUs alike");
}

static void test_too_many_doubts(void **state)
{
    for (int i = 0; i < 100; i++) {
        char path[96];
        snprintf(path, sizeof path, "/sys/bus/pci/devices/garbage%d/class", i);
        tree_put(&machine, path, "7");
    }
    cw_probe(&machine, &facts);
    assert_int_equal(facts.doubt_count, CW_DOUBTS_MAX);
    assert_string_equal(facts.doubts[CW_DOUBTS_MAX - 1].words, "and more, which there is no room for here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_is_named, begin, end),
        cmocka_unit_test_setup_teardown(test_it_stays_unknown, begin, end),
        cmocka_unit_test_setup_teardown(test_virtual_functions, begin, end),
        cmocka_unit_test_setup_teardown(test_common_ways_to_say_unknown, begin, end),
        cmocka_unit_test_setup_teardown(test_use_is_not_known, begin, end),
        cmocka_unit_test_setup_teardown(test_drivers_are_not_known, begin, end),
        cmocka_unit_test_setup_teardown(test_alike_doubts_are_counted, begin, end),
        cmocka_unit_test_setup_teardown(test_too_many_doubts, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
