/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CPUs: those that are there, the offline ones too. Which are isolated is asked of the kernel's command line and of cpusets,
 * as it is both that take a CPU from the scheduler.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nic-config/probe_private.h"

#define CPU_FOLDER "/sys/devices/system/cpu"
#define KHZ_MIN    50000 /* 50 MHz … 20 GHz: what a CPU may say it runs at */
#define KHZ_MAX    20000000

struct cpu_sets {
    struct cw_cpu_set present, online, isolated, tickless, efficient, allowed;
    bool knows_allowed;
    bool is_beyond; /* there are CPUs that there is no room for */
};

static void take_cpu(void *context, const char *name)
{
    struct cpu_sets *sets = context;
    int64_t id;
    if (strncmp(name, "cpu", 3) != 0 || !cw_probe_parse(name + 3, 10, &id) || id < 0)
        return;
    if (id >= CW_CPUS_MAX)
        sets->is_beyond = true;
    else
        cw_cpu_set_add(&sets->present, (uint32_t)id);
}

/* What this process may use; of a recorded machine that did not record it, all. */
static void probe_allowed(struct cw_probe *probe, struct cpu_sets *sets)
{
    static const char file[] = "/proc/self/status", key[] = "\nCpus_allowed_list:";
    char *text = cw_probe_whole(probe, file, 1u << 16, "which CPUs may be used here");
    char *line = text != NULL ? strstr(text, key) : NULL;
    if (line != NULL) {
        line += sizeof key - 1;
        line += strspn(line, " \t");
        line[strcspn(line, "\n")] = '\0';
        sets->knows_allowed = cw_probe_parse_cpus(line, &sets->allowed);
        if (!sets->knows_allowed)
            cw_probe_doubt(probe, file, "Cpus_allowed_list is \"%.40s\": not believed", line);
    }
    free(text);
}

static void probe_sets(struct cw_probe *probe, struct cpu_sets *sets)
{
    static const char isolated_wanted[] = "which CPUs are isolated";
    struct cw_cpu_set more = {0};
    cw_machine_list(probe->machine, CPU_FOLDER, take_cpu, sets);
    if (sets->is_beyond)
        cw_probe_doubt(probe, CPU_FOLDER, "has CPUs from %u on, which are not looked at", CW_CPUS_MAX);
    if (!cw_probe_cpus(probe, CPU_FOLDER "/online", &sets->online, "which CPUs are online"))
        sets->online = sets->present;
    for (uint32_t i = 0; i < CW_CPUS_MAX / 64; i++) {
        if ((sets->online.words[i] & ~sets->present.words[i]) != 0 && sets->present.words[0] != 0)
            cw_probe_doubt(
                probe, CPU_FOLDER "/online", "has CPUs from %u on that are not there: not believed",
                i * 64 + (uint32_t)__builtin_ctzll(sets->online.words[i] & ~sets->present.words[i]));
        if (sets->present.words[0] != 0)
            sets->online.words[i] &= sets->present.words[i];
    }
    cw_probe_cpus(probe, CPU_FOLDER "/isolated", &sets->isolated, isolated_wanted);
    cw_probe_cpus(probe, "/sys/fs/cgroup/cpuset.cpus.isolated", &more, isolated_wanted);
    for (uint32_t i = 0; i < CW_CPUS_MAX / 64; i++)
        sets->isolated.words[i] |= more.words[i];
    cw_probe_cpus(probe, CPU_FOLDER "/nohz_full", &sets->tickless, "which CPUs have no tick");
    cw_probe_cpus(probe, "/sys/devices/cpu_atom/cpus", &sets->efficient, "which CPUs are the slower ones");
    probe_allowed(probe, sets);
}

static int32_t node_of(const struct cw_facts *facts, uint32_t cpu)
{
    for (uint32_t i = 0; i < facts->node_count; i++)
        if (cw_cpu_set_has(&facts->nodes[i].cpus, cpu))
            return facts->nodes[i].id;
    return CW_FACT_UNKNOWN;
}

/* Siblings have a list in common: its first one is the name of the core. */
static int32_t probe_core(struct cw_probe *probe, uint32_t cpu, int32_t *sibling_count)
{
    static const char *const names[] = {"core_cpus_list", "thread_siblings_list"};
    char path[CW_PROBE_PATH];
    struct cw_cpu_set siblings;
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, CPU_FOLDER "/cpu%u/topology/%s", cpu, names[i]);
        if (!cw_probe_cpus(probe, path, &siblings, "which CPUs share a core"))
            continue;
        if (!cw_cpu_set_has(&siblings, cpu)) {
            cw_probe_doubt(probe, path, "leaves out CPU %u itself: not believed", cpu);
            continue;
        }
        int32_t first = CW_FACT_UNKNOWN;
        *sibling_count = 0;
        for (uint32_t other = 0; other < CW_CPUS_MAX; other++)
            if (cw_cpu_set_has(&siblings, other)) {
                first = first == CW_FACT_UNKNOWN ? (int32_t)other : first;
                ++*sibling_count;
            }
        return first;
    }
    return CW_FACT_UNKNOWN;
}

static void probe_frequency(struct cw_probe *probe, struct cw_cpu_fact *cpu)
{
    char path[CW_PROBE_PATH], text[sizeof cpu->governor];
    snprintf(path, sizeof path, CPU_FOLDER "/cpu%u/cpufreq/scaling_governor", cpu->id);
    if (cw_probe_text(probe, path, text, sizeof text, "the governor of the frequency")) {
        if (cw_probe_is_name(text, sizeof text))
            snprintf(cpu->governor, sizeof cpu->governor, "%s", text);
        else
            cw_probe_doubt(probe, path, "says \"%s\", which is no name: not believed", text);
    }
    snprintf(path, sizeof path, CPU_FOLDER "/cpu%u/cpufreq/cpuinfo_max_freq", cpu->id);
    cw_probe_number(probe, path, KHZ_MIN, KHZ_MAX, &cpu->khz_max, "the highest frequency");
}

static void probe_cpu(struct cw_probe *probe, const struct cpu_sets *sets, uint32_t id)
{
    struct cw_facts *facts = probe->facts;
    struct cw_cpu_fact *cpu = &facts->cpus[facts->cpu_count++];
    *cpu = (struct cw_cpu_fact){
        .id = id,
        .node = node_of(facts, id),
        .package = CW_FACT_UNKNOWN,
        .core = CW_FACT_UNKNOWN,
        .is_online = cw_cpu_set_has(&sets->online, id),
        .is_isolated = cw_cpu_set_has(&sets->isolated, id),
        .is_tickless = cw_cpu_set_has(&sets->tickless, id),
        .is_efficient = cw_cpu_set_has(&sets->efficient, id),
        .may_be_used = !sets->knows_allowed || cw_cpu_set_has(&sets->allowed, id),
        .khz_max = CW_FACT_UNKNOWN,
    };
    if (!cpu->is_online)
        return; /* has no topology then */
    char path[CW_PROBE_PATH];
    int64_t package;
    int32_t siblings = 1;
    snprintf(path, sizeof path, CPU_FOLDER "/cpu%u/topology/physical_package_id", id);
    if (cw_probe_number(probe, path, -1, 65535, &package, "which CPUs share a package"))
        cpu->package = (int32_t)package;
    cpu->core = probe_core(probe, id, &siblings);
    if (siblings > 1)
        facts->has_smt = true;
    probe_frequency(probe, cpu);
}

/* Where the kernel has no list of the slower ones it has, on many, how much each CPU can do. */
static void probe_capacities(struct cw_probe *probe)
{
    struct cw_facts *facts = probe->facts;
    int64_t capacities[CW_CPUS_MAX], most = 0;
    for (uint32_t i = 0; i < facts->cpu_count; i++) {
        char path[CW_PROBE_PATH];
        capacities[i] = CW_FACT_UNKNOWN;
        snprintf(path, sizeof path, CPU_FOLDER "/cpu%u/cpu_capacity", facts->cpus[i].id);
        cw_probe_number(probe, path, 1, 65536, &capacities[i], "which CPUs are the slower ones");
        if (capacities[i] > most)
            most = capacities[i];
    }
    for (uint32_t i = 0; i < facts->cpu_count; i++)
        if (capacities[i] != CW_FACT_UNKNOWN && capacities[i] * 4 < most * 3)
            facts->cpus[i].is_efficient = true;
}

void cw_probe_cpu_facts(struct cw_probe *probe)
{
    struct cpu_sets sets = {0};
    probe_sets(probe, &sets);
    bool has_list = false;
    for (uint32_t id = 0; id < CW_CPUS_MAX; id++) {
        has_list |= cw_cpu_set_has(&sets.efficient, id);
        if (cw_cpu_set_has(&sets.present, id) || cw_cpu_set_has(&sets.online, id))
            probe_cpu(probe, &sets, id);
    }
    if (!has_list)
        probe_capacities(probe);
    char text[16]; /* tells it of siblings that are offline too */
    if (cw_probe_text(probe, CPU_FOLDER "/smt/active", text, sizeof text, "whether siblings are on") &&
        strcmp(text, "1") == 0)
        probe->facts->has_smt = true;
}
