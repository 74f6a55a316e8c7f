/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any machine and any wish: no crash, the same plan twice, what is refused is left alone, nothing that is in use is taken
 * unless it is forced, and a plan whose steps are done is done.
 *
 *     test_nic_plan_property [FIRST_SEED COUNT]
 */
#include "plan_rig.h"

#include <stdlib.h>

#include "base/rng.h"

static struct cw_rng rng;
static unsigned long long first_seed = 1, seed_count = 4000, seed_now;

static uint32_t below(uint32_t bound)
{
    return (uint32_t)cw_rng_below(&rng, bound);
}

static bool one_in(uint32_t many)
{
    return below(many) == 0;
}

#define PICK(list) ((list)[below(CW_COUNT_OF(list))])

static const char *const drivers[] = {"ice", "ice", "ice", "vfio-pci", "uio_pci_generic", "virtio-pci", ""};
static const char *const names[] = {"eth0",  "eth1",   "eth2",  "eth3", "eth4",
                                    "bond0", "eth1.5", "veth0", "lo",   "eth9"};
static const char *const cards[] = {"0000:00:03.0", "0000:03:00.0", "0000:03:00.1", "0000:05:00.0",
                                    "0000:41:00.0", "0000:06:00.0", "0000:99:00.0"};
static const int64_t numbers[] = {CW_FACT_UNKNOWN, 0, 1, 2, 7, 64, 1500, 9000, 25000, INT32_MAX};

static int32_t number(void)
{
    return (int32_t)PICK(numbers);
}

static void change_card(struct cw_card_fact *card)
{
    if (one_in(3))
        snprintf(card->driver, sizeof card->driver, "%s", PICK(drivers));
    if (one_in(4))
        card->pmd_kind = (enum cw_pmd_kind)below(5);
    if (one_in(4))
        card->iommu_group = (int32_t)below(4) + 13;
    if (one_in(8))
        card->node = number();
    if (one_in(4)) {
        card->functions_max = number();
        card->functions_offset = number();
        card->functions_stride = number();
    }
    if (one_in(10))
        card->functions = (int32_t)below(3);
    if (one_in(12))
        snprintf(card->physical, sizeof card->physical, "%s", PICK(cards));
    card->is_noiommu = one_in(20);
    card->is_network_driver_gone = one_in(30);
    card->bus = one_in(30) ? CW_BUS_VMBUS : CW_BUS_PCI;
    card->link_mts = number();
    card->link_lanes = number();
    for (card->irq_count = 0; card->irq_count < below(5); card->irq_count++) {
        card->irqs[card->irq_count] = below(50);
        card->irq_cpus[card->irq_count].words[0] = cw_rng_next(&rng);
    }
}

static void change_interface(struct cw_interface_fact *interface)
{
    interface->queues = number();
    interface->rx_queues = one_in(4) ? number() : CW_FACT_UNKNOWN;
    interface->mtu_max = number();
    interface->has_program = one_in(20);
    interface->is_up = one_in(2);
    interface->has_default_route = interface->has_default_route || one_in(10);
    interface->has_login = interface->has_login || one_in(20);
    if (one_in(5))
        interface->speed_mbps = 25000;
    if (one_in(6))
        rig_add_address(interface->name, one_in(2) ? "10.0.0.1/24" : "fe80::2/64");
    if (one_in(12))
        snprintf(interface->master, sizeof interface->master, "bond0");
    if (one_in(20))
        snprintf(interface->space, sizeof interface->space, "tenant");
    if (one_in(8))
        interface->mac[5] = 1;
}

/* A card that no driver of the kernel has, has no interface. */
static void drop_impossible(void)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rig.facts.interface_count; i++) {
        const struct cw_card_fact *card = cw_facts_card(&rig.facts, rig.facts.interfaces[i].card);
        if (card == NULL || (card->driver[0] != 0 && strcmp(card->driver, "vfio-pci") != 0 &&
                             strcmp(card->driver, "uio_pci_generic") != 0))
            rig.facts.interfaces[kept++] = rig.facts.interfaces[i];
    }
    rig.facts.interface_count = kept;
}

/* calm: a machine that is not far from an ordinary one, so that many plans can be done. */
static void change_machine(bool is_calm)
{
    struct cw_facts *facts = &rig.facts;
    if (one_in(2)) {
        rig_add_card("0000:06:00.0", "vfio-pci", "net_e1000_em", CW_PMD_USERSPACE, 1, 17);
        rig_add_interface("bond0", "", "bond");
        struct cw_interface_fact *vlan = rig_add_interface("eth1.5", "", "vlan");
        vlan->lower_count = 1;
        snprintf(vlan->lower[0], CW_INTERFACE_NAME, "eth1");
        rig_add_interface("veth0", "", "veth");
    }
    for (uint32_t i = 0; i < facts->card_count; i++)
        if (!is_calm || one_in(5))
            change_card(&facts->cards[i]);
    for (uint32_t i = 0; i < facts->interface_count; i++)
        if (!is_calm || one_in(5))
            change_interface(&facts->interfaces[i]);
    drop_impossible();
    for (uint32_t i = below(is_calm ? 2 : 4); i > 0; i--)
        rig_add_member((int32_t)below(4) + 13, PICK(cards), one_in(2) ? "nvme" : "", "", one_in(4));
    for (uint32_t i = 0; i < facts->cpu_count; i++) {
        facts->cpus[i].is_online = !one_in(5);
        facts->cpus[i].is_isolated = one_in(4);
        facts->cpus[i].is_efficient = one_in(8);
        facts->cpus[i].node = one_in(10) ? CW_FACT_UNKNOWN : facts->cpus[i].node;
    }
    for (uint32_t i = 0; i < facts->node_count; i++) {
        facts->nodes[i].pages[0].total = number();
        facts->nodes[i].memory_mib = one_in(4) ? number() : 65536;
    }
    facts->node_count = one_in(10) ? below(3) : facts->node_count;
    facts->cpu_count = one_in(10) ? below(17) : facts->cpu_count;
    bool *flags[] = {&facts->has_vfio,      &facts->has_noiommu,           &facts->has_uio_generic,
                     &facts->has_systemd,   &facts->is_vfio_loaded,        &facts->is_vfio_pci_loaded,
                     &facts->is_noiommu_on, &facts->is_uio_generic_loaded, &facts->has_irqbalance};
    for (size_t i = 0; i < CW_COUNT_OF(flags); i++)
        *flags[i] = one_in(i < 3 ? 1 : 2) || !one_in(8);
    facts->has_iommu = !one_in(4);
    facts->is_use_known = !one_in(is_calm ? 40 : 10);
}

static void wish_anything(bool is_calm)
{
    struct cw_wish *wish = &rig.wish;
    wish->path_count = 0;
    for (uint32_t i = 1 + below(is_calm ? 2 : CW_WISH_PATHS_MAX); i > 0; i--) {
        char name[CW_PATH_NAME];
        snprintf(name, sizeof name, "wan%u", i);
        struct cw_wish_path *path = rig_add_path(name, "");
        uint32_t by = below(8);
        if (by < 4)
            snprintf(path->card, sizeof path->card, "%s", PICK(cards));
        else if (by < 6)
            snprintf(path->interface, sizeof path->interface, "%s", PICK(names));
        else if (by < 7)
            path->has_mac = memcpy(path->mac, (uint8_t[]){0x52, 0x54, 0, 0, 0, (uint8_t)below(6)}, 6) != NULL;
        else
            path->speed_mbps = one_in(2) ? 25000 : 100000;
        if (path->speed_mbps != 0 && one_in(2))
            snprintf(path->given, sizeof path->given, "%s", PICK(cards));
        path->driver = one_in(2) || (is_calm && one_in(2)) ? CW_DRIVER_AUTO
                                                           : (enum cw_wish_driver)below(CW_DRIVER_COUNT);
        path->queues = one_in(6) ? 2 : 1;
        path->mtu = one_in(4) ? 9000 : 1500;
        path->vlan = one_in(8) ? 120 : 0;
    }
    for (uint32_t i = one_in(2) ? below(8) : 0; i > 0; i--)
        rig_force(one_in(4) ? (one_in(2) ? "group 14" : "group 15") : PICK(names));
    wish->hugepages_mib = one_in(2) ? 0 : 256 << below(8);
    wish->lcore_count = one_in(2) ? 0 : below(6);
    wish->are_lcores_named = one_in(4);
    for (uint32_t i = 0; i < wish->lcore_count; i++)
        wish->lcores[i] = i * 3;
}

static bool is_path_refused(const char *name)
{
    for (uint32_t i = 0; i < rig.plan.refusal_count; i++)
        if (strcmp(rig.plan.refusals[i].path, name) == 0)
            return true;
    return false;
}

static bool has_group_forced(void)
{
    return cw_wish_has_force(&rig.wish, "group 14") || cw_wish_has_force(&rig.wish, "group 15");
}

/* Refused: nothing is done for it, and the engine is told of nothing. */
static void hold_refusals(void)
{
    uint32_t refused = 0;
    for (uint32_t i = 0; i < rig.plan.refusal_count; i++) {
        assert_true(rig.plan.refusals[i].words[0] != 0);
        assert_true(rig.plan.refusals[i].remedy[0] != 0);
    }
    for (uint32_t i = 0; i < rig.wish.path_count; i++) {
        const char *name = rig.wish.paths[i].name;
        char file[64];
        refused += is_path_refused(name);
        snprintf(file, sizeof file, "/%s.yaml", name);
        for (uint32_t s = 0; s < rig.plan.step_count; s++)
            assert_false(is_path_refused(name) && strstr(rig.plan.steps[s].subject, file) != NULL);
    }
    if (rig.plan.refusal_count < CW_REFUSALS_MAX)
        assert_int_equal(rig.plan.prepared_count, rig.wish.path_count - refused);
    if (refused == rig.wish.path_count)
        assert_int_equal(rig.plan.step_count, 0);
}

static void hold_taken(const struct cw_interface_fact *interface)
{
    bool has_address = false;
    for (uint32_t i = 0; i < interface->address_count; i++)
        has_address = has_address || !interface->addresses[i].is_link_local;
    bool is_used = has_address || interface->has_login || interface->has_default_route ||
                   interface->master[0] != 0 || interface->space[0] != 0 || !rig.facts.is_use_known;
    assert_true(!is_used || cw_wish_has_force(&rig.wish, interface->name));
    assert_true(interface->space[0] == 0);
}

static void hold_steps(void)
{
    static char text[8192];
    assert_true(rig.plan.step_count <= CW_STEPS_MAX);
    for (uint32_t i = 0; i < rig.plan.step_count; i++) {
        const struct cw_step *step = &rig.plan.steps[i];
        assert_true(step->kind < CW_STEP_COUNT && step->why[0] != 0 && step->subject[0] != 0);
        assert_null(strstr(step->subject, "-1"));
        cw_step_words(step, text, sizeof text);
        assert_true(text[0] != 0);
        cw_step_undo_commands(step, &rig.facts, text, sizeof text);
        assert_true(text[0] != 0);
        if (step->kind == CW_STEP_GIVE_UP)
            hold_taken(rig_interface(step->subject));
        if (step->kind == CW_STEP_WRITE || step->kind == CW_STEP_CHANNELS || step->kind == CW_STEP_MTU)
            assert_true(step->value[0] != 0 && step->value[0] != '-');
        for (uint32_t f = 0; f < rig.facts.interface_count && step->kind == CW_STEP_BIND; f++)
            if (strcmp(rig.facts.interfaces[f].card, step->subject) == 0 &&
                rig.facts.interfaces[f].kind[0] == 0)
                hold_taken(&rig.facts.interfaces[f]);
        for (uint32_t m = 0; m < rig.facts.member_count && step->kind == CW_STEP_BIND; m++)
            if (strcmp(rig.facts.members[m].address, step->subject) == 0 &&
                strcmp(rig.facts.members[m].driver, "nvme") == 0 &&
                cw_facts_card(&rig.facts, step->subject) == NULL)
                assert_true(has_group_forced());
    }
}

static void hold_printed(FILE *nowhere)
{
    cw_plan_print(&rig.plan, &rig.facts, nowhere);
    json_t *json = cw_plan_json(&rig.plan, &rig.facts);
    assert_non_null(json);
    json_decref(json);
}

static void hold_done(void)
{
    rig_do_steps();
    rig_plan();
    if (rig.plan.refusal_count > 0)
        fail_msg("seed %llu: refused when done: %s", seed_now, rig_refusals());
    if (rig.plan.step_count > 0)
        fail_msg("seed %llu: not done: %s", seed_now, rig_steps());
}

static void test_anything(void **state)
{
    FILE *nowhere = fopen("/dev/null", "w");
    uint32_t applied = 0, refused = 0;
    assert_non_null(nowhere);
    for (unsigned long long seed = first_seed; seed < first_seed + seed_count; seed++) {
        rng.state = seed * 1000003;
        rig_begin();
        bool is_calm = !one_in(3);
        change_machine(is_calm);
        wish_anything(is_calm);
        seed_now = seed;
        rig_plan();
        if (seed_count == 1)
            cw_plan_print(&rig.plan, &rig.facts, stdout);
        hold_refusals();
        hold_steps();
        hold_printed(nowhere);
        refused += rig.plan.refusal_count > 0;
        if (rig.plan.refusal_count > 0 || rig.plan.is_cut)
            continue;
        applied++;
        hold_done();
    }
    fclose(nowhere);
    print_message("%u plans were done, %u refused\n", applied, refused);
    assert_true(seed_count < 1000 || (applied > seed_count / 10 && refused > seed_count / 10));
}

static int say_seed(void **state)
{
    print_message("the last seed was %llu\n", seed_now);
    return 0;
}

int main(int count, char **arguments)
{
    if (count > 1)
        first_seed = strtoull(arguments[1], NULL, 10);
    if (count > 2)
        seed_count = strtoull(arguments[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_anything, say_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
