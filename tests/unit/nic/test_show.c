/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the text of `show` depends on more than one fact; whole machines are in test_golden.py. */
#include "nic-config/show.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cw_facts facts;
static char *text;

static int setup(void **state)
{
    memset(&facts, 0, sizeof facts);
    facts.nodes[0] = (struct cw_node_fact){.id = 0, .memory_mib = 1024};
    facts.node_count = 1;
    return 0;
}

static int teardown(void **state)
{
    free(text);
    text = NULL;
    return 0;
}

static void show(void)
{
    size_t length;
    free(text);
    FILE *memory = open_memstream(&text, &length);
    cw_show_text(&facts, memory);
    fclose(memory);
}

static void assert_says(const char *words)
{
    if (!strstr(text, words))
        fail_msg("\"%s\" is not in:\n%s", words, text);
}

static void add_cpu(uint32_t id, int32_t core)
{
    facts.cpus[facts.cpu_count++] = (struct cw_cpu_fact){
        .id = id, .core = core, .is_online = true, .may_be_used = true, .khz_max = CW_FACT_UNKNOWN};
}

static void test_siblings(void **state)
{
    for (uint32_t i = 0; i < 8; i++)
        add_cpu(i, (int32_t)i % 4);
    show();
    assert_says("    siblings: 0-3 with 4-7\n");

    facts.cpu_count = 0;
    for (uint32_t i = 0; i < 10; i++) /* the last two cores have one thread each */
        add_cpu(i, i < 8 ? (int32_t)(i & ~1u) : (int32_t)i);
    show();
    assert_says("    siblings: 0-7, two by two\n");

    facts.cpu_count = 0;
    for (uint32_t i = 0; i < 4; i++)
        add_cpu(i, (int32_t)i);
    for (uint32_t i = 4; i < 8; i++)
        add_cpu(i, 7 - (int32_t)i);
    show();
    assert_says("    siblings: 0,7  1,6  2,5  3-4\n");

    facts.cpu_count = 0;
    for (uint32_t i = 0; i < 8; i++) /* four threads a core */
        add_cpu(i, (int32_t)(i & ~3u));
    show();
    assert_says("    siblings: 0-3  4-7\n");
}

static void test_cpus_without_a_node(void **state)
{
    add_cpu(0, 0);
    add_cpu(1, 1);
    facts.cpus[1].node = CW_FACT_UNKNOWN;
    facts.cpus[1].may_be_used = false;
    show();
    assert_says("  node 0: 0\n");
    assert_says("  of no node that is known: 1\n");
    assert_says("    not for this process: 1\n");
}

static void test_cpu_lists(void **state)
{
    char words[32];
    struct cw_cpu_set set = {{0}};
    cw_show_cpus(&set, words, sizeof words);
    assert_string_equal(words, "none");
    for (uint32_t cpu = 60; cpu < 70; cpu++)
        cw_cpu_set_add(&set, cpu);
    cw_cpu_set_add(&set, 3);
    cw_cpu_set_add(&set, CW_CPUS_MAX - 1);
    cw_show_cpus(&set, words, sizeof words);
    assert_string_equal(words, "3,60-69,511");
    cw_show_cpus(&set, words, 6);
    assert_string_equal(words, "3,60-");
}

/* Each time that a driver takes a card its interface appears anew, and is the last. */
static void test_order_of_appearance_is_not_seen(void **state)
{
    static const char *const names[] = {"eth2", "eth0", "br0"};
    for (uint32_t i = 0; i < 3; i++)
        snprintf(facts.interfaces[facts.interface_count++].name, CW_INTERFACE_NAME, "%s", names[i]);
    show();
    char *before = strdup(text);
    json_t *json = cw_show_json(&facts);
    struct cw_interface_fact moved = facts.interfaces[0];
    facts.interfaces[0] = facts.interfaces[2];
    facts.interfaces[2] = moved;
    show();
    assert_string_equal(before, text);
    json_t *after = cw_show_json(&facts);
    assert_true(json_equal(json, after));
    json_decref(json);
    json_decref(after);
    free(before);
}

/* Nobody gives away a card because its addresses could not be read. */
static void test_free_is_only_what_is_known_to_be(void **state)
{
    snprintf(facts.cards[facts.card_count++].address, CW_PCI_ADDRESS, "0000:01:00.0");
    struct cw_interface_fact *one = &facts.interfaces[facts.interface_count++];
    snprintf(one->name, sizeof one->name, "eth0");
    snprintf(one->card, sizeof one->card, "0000:01:00.0");
    show();
    assert_null(strstr(text, "free"));
    assert_says("whether it is in use is not known");
    facts.is_use_known = true;
    show();
    assert_says("      free\n");
    one->has_default_route = true;
    one->addresses[one->address_count++] = (struct cw_address_fact){"fe80::1/64", .is_link_local = true};
    one->addresses[one->address_count++] = (struct cw_address_fact){"10.0.0.1/24"};
    show();
    assert_says("      in use: 10.0.0.1/24; the default route\n");
}

static void test_prepared(void **state)
{
    snprintf(facts.cards[facts.card_count++].address, CW_PCI_ADDRESS, "0000:01:00.0");
    snprintf(facts.cards[facts.card_count++].address, CW_PCI_ADDRESS, "0000:01:00.1");
    snprintf(facts.interfaces[facts.interface_count++].name, CW_INTERFACE_NAME, "veth7");
    facts.file_count = 3;
    snprintf(facts.files[0].text, CW_FILE_BYTES, "[Unit]\npath: \"no\"\n");
    snprintf(facts.files[1].text, CW_FILE_BYTES,
             "format: 1\npath: \"wan0\"\ncard: \"0000:01:00.1\"\ninterface: \"\"\n");
    snprintf(facts.files[2].text, CW_FILE_BYTES,
             "format: 1\npath: \"wan1\"\ncard: \"\"\ninterface: \"veth7\"\n");
    show();
    assert_true(strstr(text, "as path wan0") > strstr(text, "0000:01:00.1"));
    assert_says("      in use: prepared for the engine as path wan1\n");
    assert_null(strstr(text, "as path no"));
}

static void test_long_lists_go_on_in_the_next_line(void **state)
{
    facts.is_use_known = true;
    struct cw_interface_fact *one = &facts.interfaces[facts.interface_count++];
    snprintf(one->name, sizeof one->name, "eth0");
    for (uint32_t i = 0; i < CW_ADDRESSES_MAX; i++)
        snprintf(one->addresses[one->address_count++].text, CW_ADDRESS_TEXT, "2001:db8:1:2:3:4:5:%u/64", i);
    facts.login_count = 1;
    snprintf(facts.logins[0].from, CW_ADDRESS_TEXT, "192.0.2.1");
    show();
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > 100)
            fail_msg("%s", line);
    assert_says("5:2/64;\n        2001:db8:1:2:3:4:5:3/64; 2001");
    assert_says("5:15/64\n");
    assert_says("Over no interface known here: login of somebody from 192.0.2.1\n");
}

static void test_link_of_pci_express(void **state)
{
    struct cw_card_fact card = {.link_mts = 5000, .link_lanes = 8};
    assert_int_equal(32000, cw_show_link_mbps(&card));
    card.link_mts = 16000;
    assert_int_equal(126024, cw_show_link_mbps(&card));
    card.link_lanes = CW_FACT_UNKNOWN;
    assert_int_equal(CW_FACT_UNKNOWN, cw_show_link_mbps(&card));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_siblings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cpus_without_a_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cpu_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_of_appearance_is_not_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_is_only_what_is_known_to_be, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prepared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_lists_go_on_in_the_next_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_link_of_pci_express, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
