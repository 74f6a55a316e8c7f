/* SPDX-License-Identifier: BSD-3-Clause */
/* Which CPUs and which memory, what is warned of, and where interrupts go; the machine is that of plan_rig.h: CPUs 0 to 3
 * and 8 to 11 on node 0, the others on node 1, N + 8 the sibling of N. */
#include "plan_rig.h"

static void begin(uint32_t lcores)
{
    rig_begin();
    rig.facts.is_vfio_loaded = rig.facts.is_vfio_pci_loaded = true;
    rig.wish.lcore_count = lcores;
    rig.wish.are_lcores_named = lcores == 0;
}

static void name_lcores(uint32_t count, const uint32_t *cpus)
{
    rig.wish.lcore_count = count;
    rig.wish.are_lcores_named = true;
    memcpy(rig.wish.lcores, cpus, count * sizeof *cpus);
}
#define NAME(...) name_lcores(sizeof((uint32_t[]){__VA_ARGS__}) / 4, (uint32_t[]){__VA_ARGS__})

static void isolate(uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i <= to; i++) {
        rig.facts.cpus[i].is_isolated = rig.facts.cpus[i].is_tickless = true;
        rig.facts.cpus[i].may_be_used = false; /* isolcpus= takes them from everybody's affinity */
    }
}

/* "1,2,3" */
static void hold_lcores(const char *expected)
{
    char text[128] = "";
    rig_plan();
    for (uint32_t i = 0; i < rig.plan.lcore_count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%u", i > 0 ? "," : "",
                 rig.plan.lcores[i]);
    assert_string_equal(text, expected);
}

static void hold_warning(const char *part)
{
    if (strstr(rig_warnings(), part) == NULL)
        fail_msg("not warned of \"%s\" but of\n%s", part, rig.text);
}

static void hold_no_warning(const char *part)
{
    if (strstr(rig_warnings(), part) != NULL)
        fail_msg("warned of \"%s\":\n%s", part, rig.text);
}

static void test_node_of_the_card(void **state)
{
    begin(0);
    hold_lcores("");
    assert_string_equal(rig_warnings(), "");
    begin(3);
    hold_lcores("1,2,3");
    assert_non_null(
        strstr(rig_notes(), "CPUs 1-3 for the engine: the best that are left for cards on node 0"));
    hold_warning(
        "CPUs 1-3 are not isolated: the kernel runs whatever it likes there beside the engine. On the "
        "kernel's command line: isolcpus=1-3 nohz_full=1-3 rcu_nocbs=1-3");
    hold_warning("CPUs 9-11 are siblings of the engine's");
    hold_no_warning("node");
    hold_no_warning("irqbalance");
    begin(3);
    snprintf(rig.wish.paths[0].card, CW_PCI_ADDRESS, "0000:41:00.0");
    hold_lcores("4,5,6");
    begin(2);
    rig_card("0000:03:00.0")->node = CW_FACT_UNKNOWN;
    hold_lcores("1,2");
    hold_warning("on which node 0000:03:00.0 is, the firmware does not say");
}

/* The node of most cards; the other card is named. */
static void test_cards_on_two_nodes(void **state)
{
    begin(2);
    snprintf(rig.wish.paths[0].card, CW_PCI_ADDRESS, "0000:41:00.0");
    rig_add_path("wan1", "0000:03:00.0");
    rig_add_path("wan2", "0000:03:00.1");
    hold_lcores("1,2");
    hold_warning(
        "path wan0: 0000:41:00.0 is on node 1, and the CPUs are chosen for node 0, where most cards are");
    rig.wish.path_count = 2;
    hold_lcores("4,5");
}

static void test_isolated_first(void **state)
{
    begin(3);
    isolate(2, 3);
    isolate(10, 11);
    hold_lcores("1,2,3");
    hold_warning("CPUs 1 are not isolated");
    hold_warning("isolcpus=1-3");
    begin(2);
    isolate(2, 3);
    rig.facts.cpus[3].is_tickless = false;
    hold_lcores("2,3");
    hold_warning(
        "CPUs 3 are isolated, and the kernel's clock still ticks there. On its command line: nohz_full=2-3 "
        "rcu_nocbs=2-3");
    hold_no_warning("not isolated");
}

static void test_what_is_worse(void **state)
{
    begin(5); /* beside CPU 0, then another node, before a sibling */
    hold_lcores("1,2,3,4,8");
    hold_warning("CPUs 8 are the sibling of CPU 0");
    hold_warning("CPUs 4 are not on node 0");
    hold_no_warning("of each other");
    begin(9);
    hold_lcores("1,2,3,4,5,6,7,8,9");
    hold_warning("CPUs 1,9 are siblings of each other");
}

static void test_cpu_0_last(void **state)
{
    begin(16);
    hold_lcores("0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15");
    hold_warning("CPU 0 is among them");
    hold_warning("are siblings of each other: two of a core do little more than one");
    hold_warning("CPUs 4-7,12-15 are not on node 0, where the cards are");
    begin(15);
    hold_lcores("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15");
    hold_no_warning("CPU 0 is among");
    begin(17);
    rig_plan();
    assert_string_equal(rig_refusals(), ": 17 CPUs are wished for, and 16 may be used | say lcores: 16\n");
}

static void test_slower_kind(void **state)
{
    begin(2);
    for (uint32_t i = 0; i < 16; i++)
        rig.facts.cpus[i].is_efficient = i % 8 >= 1 && i % 8 <= 3;
    hold_lcores("4,8");
    for (uint32_t i = 0; i < 16; i++)
        rig.facts.cpus[i].is_efficient = i > 0;
    hold_lcores("1,2");
    hold_warning("CPUs 1-2 are of the slower kind that this processor has");
}

static void test_offline_and_outside(void **state)
{
    begin(2);
    rig.facts.cpus[1].is_online = false;
    rig.facts.cpus[2].may_be_used = false;
    hold_lcores("3,9");
}

static void test_named(void **state)
{
    begin(0);
    NAME(2, 10, 4, 0);
    rig.facts.cpus[4].may_be_used = false;
    hold_lcores("2,10,4,0");
    assert_null(strstr(rig_notes(), "CPUs"));
    hold_warning("CPUs 2,10 are siblings of each other");
    hold_warning("CPUs 4 are not on node 0");
    hold_warning("CPUs 4 are outside of the cpuset");
    hold_warning("CPU 0 is among them");
    begin(0);
    NAME(2, 99, 3);
    rig.facts.cpus[3].is_online = false;
    rig_plan();
    assert_string_equal(
        rig_refusals(),
        ": lcores names the CPU 99, which is not there | name others, or say how many: the plan chooses\n"
        ": lcores names the CPU 3, which is not online | name others, or say how many: the plan "
        "chooses\n");
}

static void test_speed_and_irqbalance(void **state)
{
    begin(2);
    rig.facts.has_irqbalance = true;
    snprintf(rig.facts.cpus[2].governor, sizeof rig.facts.cpus[2].governor, "powersave");
    rig.facts.cpus[1].governor[0] = 0;
    hold_lcores("1,2");
    hold_warning("irqbalance runs, and moves interrupts back: IRQBALANCE_BANNED_CPULIST=1-2 in ");
    hold_warning(
        "CPUs 2 do not run at their full speed at once (governor): cpupower -c 2 frequency-set -g performance");
}

static void test_fewer_than_queues(void **state)
{
    begin(2);
    rig.wish.paths[0].queues = 2;
    hold_lcores("1,2");
    hold_warning("2 queues want as many CPUs, and the store one more: lcores: 3");
    begin(3);
    rig.wish.paths[0].queues = 2;
    hold_lcores("1,2,3");
    hold_no_warning("queues");
}

/* Without a word of it in the wish: as many as the queues ask for, and one is the kernel's. */
static void test_unsaid(void **state)
{
    begin(0);
    rig.wish.are_lcores_named = false;
    hold_lcores("1,2");
    rig.wish.paths[0].queues = 3;
    hold_lcores("1,2,3,8");
    rig.facts.cpu_count = 3;
    hold_lcores("1,2");
    rig.facts.cpu_count = 1;
    hold_lcores("0");
    assert_string_equal(rig_refusals(), "");
    rig.facts.cpu_count = 0;
    hold_lcores("");
}

static void test_refused_paths_count_not(void **state)
{
    begin(2);
    rig.wish.paths[0].mtu = 65000;
    hold_lcores("");
}

/* ---------------------------------------------------------------- interrupts */

static void add_irq(const char *card, uint32_t irq, uint64_t cpus)
{
    struct cw_card_fact *of = rig_card(card);
    of->irqs[of->irq_count] = irq;
    of->irq_cpus[of->irq_count++].words[0] = cpus;
}

#define WAN0 "give-up eth1\nbind 0000:03:00.0 = vfio-pci (eth1)\n"
#define FILE "file /run/causeway/nic/wan0.yaml\n"

static void test_interrupts(void **state)
{
    begin(2); /* 1 and 2 */
    add_irq("0000:00:03.0", 40, 0xffff);
    add_irq("0000:00:03.0", 41, 1 << 2); /* only there */
    add_irq("0000:00:03.0", 42, 1 << 3); /* elsewhere already */
    add_irq("0000:00:03.0", 43, 0);      /* not known */
    add_irq("0000:03:00.0", 44, 0xffff); /* goes with its card */
    add_irq("0000:03:00.1", 45, 1 << 1 | 1 << 5);
    isolate(15, 15);
    rig_plan();
    assert_string_equal(rig_steps(), WAN0 "write /proc/irq/40/smp_affinity_list = 0,3-15\n"
                                          "write /proc/irq/41/smp_affinity_list = 0,3-14\n"
                                          "write /proc/irq/45/smp_affinity_list = 5\n" FILE);
    begin(16); /* nobody is left to take them */
    add_irq("0000:00:03.0", 40, 0xffff);
    rig_plan();
    assert_string_equal(rig_steps(), WAN0 FILE);
}

/* Every second CPU of all that there can be: the last one stands in the list, too. */
static void test_interrupt_of_many_cpus(void **state)
{
    begin(2);
    add_irq("0000:00:03.0", 40, 0);
    for (uint32_t i = 16; i < CW_CPUS_MAX; i++) {
        rig.facts.cpus[i] = rig.facts.cpus[15];
        rig.facts.cpus[i].id = rig.facts.cpus[i].core = (int32_t)i;
        rig.facts.cpus[i].node = 1;
    }
    rig.facts.cpu_count = CW_CPUS_MAX;
    for (uint32_t i = 0; i < CW_CPUS_MAX; i += 2)
        cw_cpu_set_add(&rig_card("0000:00:03.0")->irq_cpus[0], i);
    rig_plan();
    assert_non_null(strstr(rig_steps(), "write /proc/irq/40/smp_affinity_list = 0,4,6,"));
    assert_non_null(strstr(rig_steps(), ",508,510\n"));
}

static void test_many_interrupts(void **state)
{
    begin(2);
    for (uint32_t i = 0; i < CW_CARD_IRQS_MAX; i++) {
        add_irq("0000:00:03.0", 1000 + i, 0xffff);
        add_irq("0000:03:00.1", 2000 + i, 0xffff);
    }
    rig_plan();
    assert_false(rig.plan.is_cut);
    assert_int_equal(rig.plan.step_count, 2 + 64 + 1);
    char words[64];
    snprintf(words, sizeof words, "%u more interrupts of cards reach CPUs of the engine",
             2 * CW_CARD_IRQS_MAX - 64);
    hold_warning(words);
}

/* ---------------------------------------------------------------- memory */

#define PAGES(node, value)                                                                                   \
    "write /sys/devices/system/node/node" node "/hugepages/hugepages-2048kB/nr_hugepages = " value "\n"
#define GIANTS(node, value)                                                                                  \
    "write /sys/devices/system/node/node" node "/hugepages/hugepages-1048576kB/nr_hugepages = " value "\n"

static void begin_memory(int64_t mib)
{
    begin(0);
    rig.wish.hugepages_mib = mib;
}

static void hold_steps(const char *expected)
{
    rig_plan();
    assert_string_equal(rig_refusals(), "");
    assert_string_equal(rig_steps(), expected);
}

static void test_hugepages(void **state)
{
    begin_memory(2048);
    hold_steps(PAGES("0", "1024") WAN0 FILE);
    rig.facts.nodes[0].pages[0].total = 1000;
    hold_steps(PAGES("0", "1024") WAN0 FILE);
    rig.facts.nodes[0].pages[0].total = rig.facts.nodes[0].pages[0].free = 1024;
    hold_steps(WAN0 FILE);
    rig.facts.nodes[0].pages[0].total = 4096; /* never lowered */
    hold_steps(WAN0 FILE);
    assert_string_equal(rig_warnings(), "");
    rig.facts.nodes[0].pages[0].free = 3;
    hold_steps(WAN0 FILE);
    hold_warning("node 0: of its 4096 hugepages 3 are free, and 1024 are wished for");
    begin_memory(3);
    hold_steps(PAGES("0", "2") WAN0 FILE);
}

static void test_hugepages_of_two_nodes(void **state)
{
    begin_memory(2048);
    rig_add_path("wan1", "0000:41:00.0");
    hold_steps(PAGES("0", "512") PAGES("1", "512") WAN0 FILE "file /run/causeway/nic/wan1.yaml\n");
    begin_memory(2048);
    rig_add_path("wan1", "0000:03:00.1");
    rig.wish.paths[1].mtu = 65000; /* refused */
    rig_plan();
    assert_string_equal(rig_steps(), PAGES("0", "1024") WAN0 FILE);
    begin_memory(2048);
    rig_card("0000:03:00.0")->node = CW_FACT_UNKNOWN;
    rig.facts.nodes[0].memory_mib = 0; /* a node of CPUs only */
    hold_steps(PAGES("1", "1024") WAN0 FILE);
}

/* The engine asks for pages of the default size, and finds no others. */
static void test_default_size(void **state)
{
    begin_memory(2048);
    rig.facts.nodes[0].pages[1].total = rig.facts.nodes[0].pages[1].free = 4;
    hold_steps(PAGES("0", "1024") WAN0 FILE);
    rig.facts.hugepage_kib = 1048576;
    hold_steps(WAN0 FILE);
    rig.facts.nodes[0].pages[1].total = 1;
    hold_steps(GIANTS("0", "2") WAN0 FILE);
}

static void test_too_little_memory(void **state)
{
    begin_memory(12288);
    hold_steps(PAGES("0", "6144") WAN0 FILE);
    begin_memory(12290);
    rig_plan();
    assert_non_null(strstr(rig_refusals(),
                           ": node 0 has 16384 MiB of memory, and would have 12290 MiB of it in hugepages: "
                           "more than three quarters | say hugepages: less"));
    assert_string_equal(rig_steps(), WAN0 FILE);
    begin_memory(2048);
    rig.facts.nodes[0].pages[1].total = 11; /* the large ones are of the same memory */
    rig_plan();
    assert_int_equal(rig.plan.refusal_count, 1);
}

static void test_unknown_memory(void **state)
{
    begin_memory(1024);
    rig.facts.nodes[0].page_count = 0;
    hold_steps(WAN0 FILE);
    hold_warning("node 0: how many hugepages of 2048 KiB it has is not known");
    begin_memory(1024);
    rig.facts.hugepage_kib = CW_FACT_UNKNOWN;
    hold_steps(WAN0 FILE);
    hold_warning("how large the kernel's hugepages are is not known");
    begin_memory(1024);
    rig.facts.node_count = 0;
    hold_steps(WAN0 FILE);
    hold_warning("no node of memory is known");
    begin_memory(1024);
    rig.facts.nodes[0].memory_mib = CW_FACT_UNKNOWN;
    hold_steps(PAGES("0", "512") WAN0 FILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_of_the_card),
        cmocka_unit_test(test_cards_on_two_nodes),
        cmocka_unit_test(test_isolated_first),
        cmocka_unit_test(test_what_is_worse),
        cmocka_unit_test(test_cpu_0_last),
        cmocka_unit_test(test_slower_kind),
        cmocka_unit_test(test_offline_and_outside),
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_speed_and_irqbalance),
        cmocka_unit_test(test_fewer_than_queues),
        cmocka_unit_test(test_unsaid),
        cmocka_unit_test(test_refused_paths_count_not),
        cmocka_unit_test(test_interrupts),
        cmocka_unit_test(test_interrupt_of_many_cpus),
        cmocka_unit_test(test_many_interrupts),
        cmocka_unit_test(test_hugepages),
        cmocka_unit_test(test_hugepages_of_two_nodes),
        cmocka_unit_test(test_default_size),
        cmocka_unit_test(test_too_little_memory),
        cmocka_unit_test(test_unknown_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
