/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which CPUs the engine gets: on the node of the cards, isolated ones first; CPU 0, the slower kind of a processor with
 * two kinds, and the sibling of one that is chosen already only where nothing else is left. What is wrong with those that
 * are chosen, or named in the wish, is a warning: it is cured on the kernel's command line, which is not ours to change.
 * Interrupts of cards that stay the kernel's are moved off them.
 */
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "nic-config/plan_internal.h"

#define IRQ_STEPS_MAX 64u
#define LIST_SIZE     160u

/* ---------------------------------------------------------------- which */

/* The node of most cards; of the first, where several have as many. Unknown: none is known. */
static int32_t home_node(const struct cw_plan_work *work)
{
    int32_t best = CW_FACT_UNKNOWN;
    uint32_t best_count = 0;
    for (uint32_t i = 0; i < work->path_count; i++) {
        uint32_t count = 0;
        const struct cw_card_fact *card = work->paths[i].is_refused ? NULL : work->paths[i].card;
        for (uint32_t k = 0; k < work->path_count && card != NULL; k++)
            count += work->paths[k].card != NULL && !work->paths[k].is_refused &&
                     work->paths[k].card->node == card->node;
        if (card != NULL && card->node >= 0 && count > best_count) {
            best = card->node;
            best_count = count;
        }
    }
    return best;
}

static bool are_siblings(const struct cw_cpu_fact *one, const struct cw_cpu_fact *other)
{
    return one->id != other->id && one->core >= 0 && one->core == other->core &&
           one->package == other->package;
}

static bool is_chosen(const struct cw_plan *plan, uint32_t cpu)
{
    for (uint32_t i = 0; i < plan->lcore_count; i++)
        if (plan->lcores[i] == cpu)
            return true;
    return false;
}

static bool has_chosen_sibling(const struct cw_plan_work *work, const struct cw_cpu_fact *cpu)
{
    for (uint32_t i = 0; i < work->plan->lcore_count; i++) {
        const struct cw_cpu_fact *other = cw_facts_cpu(work->facts, work->plan->lcores[i]);
        if (other != NULL && are_siblings(cpu, other))
            return true;
    }
    return false;
}

/* The less, the better: each of these outweighs all below it. */
static uint32_t cost_of(const struct cw_plan_work *work, const struct cw_cpu_fact *cpu, int32_t node)
{
    const struct cw_cpu_fact *first = cw_facts_cpu(work->facts, 0);
    return (uint32_t)(cpu->id == 0) << 5 | (uint32_t)cpu->is_efficient << 4 |
           (uint32_t)has_chosen_sibling(work, cpu) << 3 | (uint32_t)(node >= 0 && cpu->node != node) << 2 |
           (uint32_t)(!cpu->is_isolated) << 1 | (uint32_t)(first != NULL && are_siblings(cpu, first));
}

static bool may_take(const struct cw_cpu_fact *cpu)
{
    return cpu->is_online && (cpu->may_be_used || cpu->is_isolated);
}

static const struct cw_cpu_fact *choose_one(const struct cw_plan_work *work, int32_t node)
{
    const struct cw_cpu_fact *best = NULL;
    uint32_t best_cost = 0;
    for (uint32_t i = 0; i < work->facts->cpu_count; i++) {
        const struct cw_cpu_fact *cpu = &work->facts->cpus[i];
        if (!may_take(cpu) || is_chosen(work->plan, cpu->id))
            continue;
        uint32_t cost = cost_of(work, cpu, node);
        if (best == NULL || cost < best_cost || (cost == best_cost && cpu->id < best->id)) {
            best = cpu;
            best_cost = cost;
        }
    }
    return best;
}

static void take_named(struct cw_plan_work *work)
{
    struct cw_plan *plan = work->plan;
    for (uint32_t i = 0; i < work->wish->lcore_count; i++) {
        uint32_t id = work->wish->lcores[i];
        const struct cw_cpu_fact *cpu = cw_facts_cpu(work->facts, id);
        if (cpu == NULL || !cpu->is_online)
            cw_plan_remedy(cw_plan_refuse(work, NULL, "lcores names the CPU %u, which %s", id,
                                          cpu == NULL ? "is not there" : "is not online"),
                           "name others, or say how many: the plan chooses");
        else if (!is_chosen(plan, id))
            plan->lcores[plan->lcore_count++] = id;
    }
}

static void sort(uint32_t *numbers, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t k = i; k > 0 && numbers[k - 1] > numbers[k]; k--) {
            uint32_t swapped = numbers[k];
            numbers[k] = numbers[k - 1];
            numbers[k - 1] = swapped;
        }
}

static uint32_t most_queues(const struct cw_plan_work *work)
{
    uint32_t queues = 0;
    for (uint32_t i = 0; i < work->path_count; i++)
        if (!work->paths[i].is_refused)
            queues = CW_MAX(queues, work->paths[i].wish->queues);
    return queues;
}

/* One for each queue and one for the store, unless the wish says how many; and then one at least is the kernel's. */
static uint32_t count_wanted(const struct cw_plan_work *work)
{
    uint32_t usable = 0;
    if (work->wish->lcore_count > 0)
        return work->wish->lcore_count;
    for (uint32_t i = 0; i < work->facts->cpu_count; i++)
        usable += may_take(&work->facts->cpus[i]);
    return CW_MIN(most_queues(work) + 1, usable > 1 ? usable - 1 : usable);
}

static void take_best(struct cw_plan_work *work, int32_t node)
{
    struct cw_plan *plan = work->plan;
    uint32_t wanted = count_wanted(work);
    while (plan->lcore_count < wanted) {
        const struct cw_cpu_fact *cpu = choose_one(work, node);
        if (cpu == NULL)
            break;
        plan->lcores[plan->lcore_count++] = cpu->id;
    }
    if (plan->lcore_count < wanted)
        cw_plan_remedy(cw_plan_refuse(work, NULL, "%u CPUs are wished for, and %u may be used", wanted,
                                      plan->lcore_count),
                       "say lcores: %u", plan->lcore_count);
    sort(plan->lcores, plan->lcore_count);
}

/* ---------------------------------------------------------------- what is wrong with them */

struct faults {
    struct cw_cpu_set shared, ticking, far, slow, sparing, siblings, idle_siblings, beside_first, unusable;
};

static bool is_empty(const struct cw_cpu_set *set)
{
    static const struct cw_cpu_set none;
    return memcmp(set, &none, sizeof none) == 0;
}

static void find_siblings(const struct cw_plan_work *work, const struct cw_cpu_fact *cpu,
                          struct faults *faults)
{
    for (uint32_t i = 0; i < work->facts->cpu_count; i++) {
        const struct cw_cpu_fact *other = &work->facts->cpus[i];
        if (!other->is_online || !are_siblings(cpu, other))
            continue;
        if (is_chosen(work->plan, other->id))
            cw_cpu_set_add(&faults->siblings, cpu->id);
        else if (other->id == 0)
            cw_cpu_set_add(&faults->beside_first, cpu->id);
        else
            cw_cpu_set_add(&faults->idle_siblings, other->id);
    }
}

static void find_faults(const struct cw_plan_work *work, int32_t node, struct faults *faults)
{
    memset(faults, 0, sizeof *faults);
    for (uint32_t i = 0; i < work->plan->lcore_count; i++) {
        const struct cw_cpu_fact *cpu = cw_facts_cpu(work->facts, work->plan->lcores[i]);
        if (!cpu->is_isolated)
            cw_cpu_set_add(&faults->shared, cpu->id);
        else if (!cpu->is_tickless)
            cw_cpu_set_add(&faults->ticking, cpu->id);
        if (node >= 0 && cpu->node >= 0 && cpu->node != node)
            cw_cpu_set_add(&faults->far, cpu->id);
        if (cpu->is_efficient)
            cw_cpu_set_add(&faults->slow, cpu->id);
        if (cpu->governor[0] != 0 && strcmp(cpu->governor, "performance") != 0)
            cw_cpu_set_add(&faults->sparing, cpu->id);
        if (!cpu->may_be_used && !cpu->is_isolated)
            cw_cpu_set_add(&faults->unusable, cpu->id);
        find_siblings(work, cpu, faults);
    }
}

static void lcores_text(const struct cw_plan *plan, char *text, size_t size)
{
    struct cw_cpu_set set = {0};
    for (uint32_t i = 0; i < plan->lcore_count; i++)
        cw_cpu_set_add(&set, plan->lcores[i]);
    cw_cpu_set_text(&set, text, size);
}

static void warn_of_isolation(struct cw_plan_work *work, const struct faults *faults)
{
    char list[LIST_SIZE], all[LIST_SIZE];
    lcores_text(work->plan, all, sizeof all);
    cw_cpu_set_text(&faults->shared, list, sizeof list);
    if (list[0] != 0)
        cw_plan_warn(
            work,
            "CPUs %s are not isolated: the kernel runs whatever it likes there beside the engine. On the kernel's "
            "command line: isolcpus=%s nohz_full=%s rcu_nocbs=%s",
            list, all, all, all);
    cw_cpu_set_text(&faults->ticking, list, sizeof list);
    if (list[0] != 0)
        cw_plan_warn(
            work,
            "CPUs %s are isolated, and the kernel's clock still ticks there. On its command line: nohz_full=%s "
            "rcu_nocbs=%s",
            list, all, all);
    if (work->facts->has_irqbalance)
        cw_plan_warn(
            work,
            "irqbalance runs, and moves interrupts back: IRQBALANCE_BANNED_CPULIST=%s in /etc/default/irqbalance, "
            "and restart it",
            all);
}

static void warn_of_placement(struct cw_plan_work *work, const struct faults *faults, int32_t node)
{
    char list[LIST_SIZE];
    cw_cpu_set_text(&faults->far, list, sizeof list);
    if (list[0] != 0)
        cw_plan_warn(work,
                     "CPUs %s are not on node %d, where the cards are: each frame crosses between the nodes",
                     list, node);
    cw_cpu_set_text(&faults->siblings, list, sizeof list);
    if (list[0] != 0)
        cw_plan_warn(work, "CPUs %s are siblings of each other: two of a core do little more than one", list);
    cw_cpu_set_text(&faults->slow, list, sizeof list);
    if (list[0] != 0)
        cw_plan_warn(work, "CPUs %s are of the slower kind that this processor has", list);
    cw_cpu_set_text(&faults->unusable, list, sizeof list);
    if (list[0] != 0)
        cw_plan_warn(work, "CPUs %s are outside of the cpuset that this command runs in", list);
    cw_cpu_set_text(&faults->beside_first, list, sizeof list);
    if (list[0] != 0)
        cw_plan_warn(work, "CPUs %s are the sibling of CPU 0, where much of the kernel's own work is done",
                     list);
    if (is_chosen(work->plan, 0))
        cw_plan_warn(work, "CPU 0 is among them: much of the kernel's own work is done there");
}

static void warn_of_speed(struct cw_plan_work *work, const struct faults *faults)
{
    char list[LIST_SIZE];
    cw_cpu_set_text(&faults->sparing, list, sizeof list);
    if (list[0] != 0)
        cw_plan_warn(
            work,
            "CPUs %s do not run at their full speed at once (governor): cpupower -c %s frequency-set -g "
            "performance",
            list, list);
    cw_cpu_set_text(&faults->idle_siblings, list, sizeof list);
    if (list[0] != 0)
        cw_plan_warn(
            work,
            "CPUs %s are siblings of the engine's: what runs there takes from it. Isolate them too, or switch them "
            "off: echo 0 > /sys/devices/system/cpu/cpuN/online",
            list);
}

static void warn_of_cards(struct cw_plan_work *work, int32_t node)
{
    for (uint32_t i = 0; i < work->path_count; i++) {
        const struct cw_plan_path *path = &work->paths[i];
        if (path->is_refused || path->card == NULL)
            continue;
        if (path->card->node < 0 && work->facts->node_count > 1)
            cw_plan_warn(work, "path %s: on which node %s is, the firmware does not say", path->wish->name,
                         path->card->address);
        else if (path->card->node >= 0 && path->card->node != node)
            cw_plan_warn(
                work, "path %s: %s is on node %d, and the CPUs are chosen for node %d, where most cards are",
                path->wish->name, path->card->address, path->card->node, node);
    }
}

static void warn_of_count(struct cw_plan_work *work)
{
    uint32_t queues = most_queues(work);
    if (queues > 1 && work->plan->lcore_count < queues + 1)
        cw_plan_warn(work, "%u queues want as many CPUs, and the store one more: lcores: %u", queues,
                     queues + 1);
}

static bool has_path(const struct cw_plan_work *work)
{
    for (uint32_t i = 0; i < work->path_count; i++)
        if (!work->paths[i].is_refused)
            return true;
    return false;
}

void cw_plan_choose_cpus(struct cw_plan_work *work)
{
    struct faults faults;
    char list[LIST_SIZE];
    int32_t node = home_node(work);
    if (!has_path(work))
        return;
    if (work->wish->are_lcores_named)
        take_named(work);
    else
        take_best(work, node);
    if (work->plan->lcore_count == 0)
        return;
    lcores_text(work->plan, list, sizeof list);
    if (!work->wish->are_lcores_named && node >= 0)
        cw_plan_note(work, "CPUs %s for the engine: the best that are left for cards on node %d", list, node);
    else if (!work->wish->are_lcores_named)
        cw_plan_note(work, "CPUs %s for the engine: the best that are left", list);
    find_faults(work, node, &faults);
    warn_of_isolation(work, &faults);
    warn_of_placement(work, &faults, node);
    warn_of_speed(work, &faults);
    warn_of_cards(work, node);
    warn_of_count(work);
}

/* ---------------------------------------------------------------- interrupts */

/* Where an interrupt may go: where it goes already, without the engine's CPUs; if nothing is left, to any other. */
static bool find_targets(const struct cw_plan_work *work, const struct cw_cpu_set *now, struct cw_cpu_set *to)
{
    struct cw_cpu_set others = {0}, left = {0};
    bool is_disturbing = false;
    for (uint32_t i = 0; i < work->facts->cpu_count; i++) {
        const struct cw_cpu_fact *cpu = &work->facts->cpus[i];
        bool is_ours = is_chosen(work->plan, cpu->id);
        is_disturbing = is_disturbing || (is_ours && cw_cpu_set_has(now, cpu->id));
        if (is_ours || !cpu->is_online)
            continue;
        if (!cpu->is_isolated)
            cw_cpu_set_add(&others, cpu->id);
        if (cw_cpu_set_has(now, cpu->id))
            cw_cpu_set_add(&left, cpu->id);
    }
    *to = is_empty(&left) ? others : left;
    return is_disturbing && !is_empty(to);
}

static bool is_kept(const struct cw_plan_work *work, const struct cw_card_fact *card)
{
    for (uint32_t i = 0; i < work->plan->step_count; i++)
        if (work->plan->steps[i].kind == CW_STEP_BIND &&
            strcmp(work->plan->steps[i].subject, card->address) == 0)
            return false;
    return card->driver[0] != 0 && cw_driver_use(card->driver) != CW_DRIVER_FOR_PROGRAMS;
}

void cw_plan_move_interrupts(struct cw_plan_work *work)
{
    char file[64], value[CW_CPUS_TEXT];
    struct cw_cpu_set to;
    uint32_t moved = 0, left = 0;
    for (uint32_t c = 0; c < work->facts->card_count && work->plan->lcore_count > 0; c++) {
        const struct cw_card_fact *card = &work->facts->cards[c];
        for (uint32_t i = 0; i < card->irq_count && is_kept(work, card); i++) {
            if (!find_targets(work, &card->irq_cpus[i], &to))
                continue;
            if (moved == IRQ_STEPS_MAX) {
                left++;
                continue;
            }
            snprintf(file, sizeof file, "/proc/irq/%u/smp_affinity_list", card->irqs[i]);
            cw_cpu_set_text(&to, value, sizeof value);
            moved +=
                cw_plan_step(work, CW_STEP_WRITE, file, value,
                             "an interrupt of %s, which would disturb the engine", card->address) != NULL;
        }
    }
    if (left > 0)
        cw_plan_warn(
            work,
            "%u more interrupts of cards reach CPUs of the engine, for which a plan has no room: move them by hand "
            "(/proc/irq/N/smp_affinity_list)",
            left);
}
