/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wanem: a WAN between two ports of DPDK. Arguments, start, one loop, and what it counted as JSON.
 *
 * The loop is one thread. `--poll busy` never sleeps and is for measuring; `adaptive` sleeps for moments of
 * up to a millisecond when nothing comes, which may make a frame that much later, and leaves the CPU to
 * others.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/numbers.h"
#include "wanem/relay.h"

#define MEMORY_MB_LIMIT 2048u
#define MEMORY_MB_MORE  64u /* for drivers */
#define SPIN_NS         (50 * CW_US)
#define STATS_EVERY_NS  CW_SECOND

static const char usage[] =
    "usage: wanem --a DEVICE --b DEVICE --wan SPEC [OPTION...]\n"
    "\n"
    "A WAN between two ports, for trying and measuring. DEVICE is one of DPDK, such as\n"
    "  net_memif0,role=server,socket=/run/a.sock     net_af_packet0,iface=veth0\n"
    "  net_af_xdp0,iface=veth0                       0000:01:00.0\n"
    "\n"
    "  --wan SPEC       both ways; settings below, separated by commas\n"
    "  --back SPEC      from b to a something else\n"
    "  --mtu N          IP packets up to this size fit (default 1500)\n"
    "  --queues N       of each port, 1 (default) to 4: "
    "as many as net lcores of the engines at memif's ends\n"
    "  --poll HOW       adaptive (default) or busy\n"
    "  --cpu N          stay on this CPU\n"
    "  --name NAME      of this one among several on this machine (default: its pid)\n"
    "  --memory MB      take at most this (default 2048)\n"
    "  --huge           from hugepages, where there are enough\n"
    "  --stats FILE     write the counters there every second, as JSON\n"
    "  --seconds N      end after N seconds\n"
    "  --check          only look whether all this makes sense; exit 2 and words if not\n"
    "\n"
    "SPEC:\n";
static const char usage_end[] =
    "\n"
    "SIGUSR1 prints the counters as one line of JSON, SIGTERM and SIGINT end it and print them too.\n"
    "Exit: 0, 1 failed, 2 wrong usage.\n";

struct options {
    const char *devices[CW_WAN_DIRECTIONS];
    const char *wan, *back, *name, *stats;
    struct cw_wan_spec specs[CW_WAN_DIRECTIONS];
    struct cw_relay_size sizes[CW_WAN_DIRECTIONS];
    uint64_t mtu, queues, memory_mb_limit, memory_mb, seconds, cpu;
    bool is_busy, is_pinned, may_use_hugepages, is_check;
};

static volatile sig_atomic_t must_stop, must_print;

static void on_signal(int number)
{
    if (number == SIGUSR1)
        must_print = 1;
    else
        must_stop = 1;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

/* ---------------------------------------------------------------- arguments */

static bool misuse(const char *words, const char *what)
{
    fprintf(stderr, "wanem: %s%s\n", words, what);
    return false;
}

static bool read_whole(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == 0 && errno == 0 && *value >= least && *value <= most)
        return true;
    fprintf(stderr, "wanem: %s %s: expected %lu to %lu\n", option, text, least, most);
    return false;
}

static bool read_poll(struct options *options, const char *text)
{
    options->is_busy = strcmp(text, "busy") == 0;
    return options->is_busy || strcmp(text, "adaptive") == 0 ||
           misuse("--poll: expected busy or adaptive, not ", text);
}

enum argument {
    A,
    B,
    WAN,
    BACK,
    MTU,
    QUEUES,
    POLL,
    CPU,
    NAME,
    MEMORY,
    STATS,
    SECONDS,
    HUGE_PAGES,
    CHECK,
    HELP
};

static bool take_option(struct options *options, int which, const char *value)
{
    switch ((enum argument)which) {
    case A:
    case B:
        options->devices[which - A] = value;
        return true;
    case WAN:
        options->wan = value;
        return true;
    case BACK:
        options->back = value;
        return true;
    case MTU:
        return read_whole("--mtu", value, 576, 16000, &options->mtu);
    case QUEUES:
        return read_whole("--queues", value, 1, 4, &options->queues);
    case POLL:
        return read_poll(options, value);
    case CPU:
        options->is_pinned = true;
        return read_whole("--cpu", value, 0, 1023, &options->cpu);
    case NAME:
        options->name = value;
        return value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")] ==
                           0 &&
                       strlen(value) > 0 && strlen(value) <= 40
                   ? true
                   : misuse("--name: expected letters, digits, - and _, 40 at most, not ", value);
    case MEMORY:
        return read_whole("--memory", value, 64, 1000000, &options->memory_mb_limit);
    case STATS:
        options->stats = value;
        return true;
    case SECONDS:
        return read_whole("--seconds", value, 1, 1000000000, &options->seconds);
    case HUGE_PAGES:
        return options->may_use_hugepages = true;
    case CHECK:
        return options->is_check = true;
    case HELP:
        printf("%s%s%s", usage, cw_wan_spec_help, usage_end);
        exit(0);
    }
    return false;
}

static bool read_specs(struct options *options)
{
    const char *texts[CW_WAN_DIRECTIONS] = {options->wan, options->back ? options->back : options->wan};
    uint64_t bytes = 0;
    char why[1024];
    for (uint32_t i = 0; i < CW_WAN_DIRECTIONS; i++) {
        if (!cw_wan_spec_read(texts[i], &options->specs[i], why, sizeof why))
            return misuse("", why);
        cw_relay_size_plan(&options->specs[i], (uint16_t)options->mtu, &options->sizes[i]);
        bytes += options->sizes[i].bytes;
    }
    options->memory_mb = bytes / CW_MIB * 3 / 2 + MEMORY_MB_MORE; /* pools leave gaps between their pieces */
    if (options->memory_mb <= options->memory_mb_limit)
        return true;
    fprintf(
        stderr,
        "wanem: rate x delay and queue take %lu MB, and --memory allows %lu: less of them, or more memory\n",
        options->memory_mb, options->memory_mb_limit);
    return false;
}

static bool read_arguments(int argc, char **argv, struct options *options)
{
    static const struct option_name {
        const char *name;
        int has_value;
    } names[] = {[A] = {"a", 1},
                 [B] = {"b", 1},
                 [WAN] = {"wan", 1},
                 [BACK] = {"back", 1},
                 [MTU] = {"mtu", 1},
                 [QUEUES] = {"queues", 1},
                 [POLL] = {"poll", 1},
                 [CPU] = {"cpu", 1},
                 [NAME] = {"name", 1},
                 [MEMORY] = {"memory", 1},
                 [STATS] = {"stats", 1},
                 [SECONDS] = {"seconds", 1},
                 [HUGE_PAGES] = {"huge", 0},
                 [CHECK] = {"check", 0},
                 [HELP] = {"help", 0}};
    struct option table[CW_COUNT_OF(names) + 1] = {0};
    *options = (struct options){.mtu = 1500, .queues = 1, .memory_mb_limit = MEMORY_MB_LIMIT};
    for (size_t i = 0; i < CW_COUNT_OF(names); i++)
        table[i] = (struct option){names[i].name, names[i].has_value, NULL, (int)i};
    for (int which; (which = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (which == '?' || !take_option(options, which, optarg))
            return false;
    }
    if (optind < argc)
        return misuse("no such option: ", argv[optind]);
    if (options->wan == NULL)
        return misuse("--wan SPEC is missing; --help tells more", "");
    if (!options->is_check && (options->devices[0] == NULL || options->devices[1] == NULL))
        return misuse("--a DEVICE and --b DEVICE are needed; --help tells more", "");
    return read_specs(options);
}

/* ---------------------------------------------------------------- counters */

static void write_direction(FILE *to, const struct cw_relay *relay, uint32_t index)
{
    struct cw_relay_report report;
    cw_relay_report(relay, index, &report);
    const struct cw_wan_counts *counts = report.counts;
    fprintf(to, "{\"from\":\"%c\",\"frames\":%lu,\"bytes\":%lu", index == 0 ? 'a' : 'b', counts->frames,
            counts->bytes);
    for (unsigned i = 0; i < CW_WAN_FATE_COUNT; i++)
        fprintf(to, ",\"%s\":%lu", cw_wan_fate_names[i], counts->fates[i]);
    fprintf(to, ",\"duplicated\":%lu,\"corrupted\":%lu,\"reordered\":%lu", counts->duplicated,
            counts->corrupted, counts->reordered);
    for (unsigned i = 0; i < CW_RELAY_COUNTER_COUNT; i++)
        fprintf(to, ",\"%s\":%lu", cw_relay_counter_names[i], report.counters[i]);
    fprintf(to, ",\"under_way\":%u,\"late_us\":{\"p50\":%u,\"p99\":%u,\"max\":%u}}", report.under_way,
            report.late_us_p50, report.late_us_p99, report.late_us_max);
}

#define COST_NS_MAX 4096u
#define FULL_TURN   (2 * CW_PORT_BURST) /* a burst received and one sent, at least */

/* What a frame takes while there is more than enough to do, by turns: a turn that was interrupted counts as
 * one. */
struct cost {
    uint64_t turns, by_ns[COST_NS_MAX];
};

struct emulator {
    const struct options *options;
    struct cw_port *ports[CW_WAN_DIRECTIONS];
    struct cw_relay *relay;
    uint64_t start_ns;
    bool has_eal;
    struct cost cost;
};

static uint32_t cost_median_ns(const struct cost *cost)
{
    uint64_t seen = 0;
    uint32_t ns = 0;
    while (ns < COST_NS_MAX - 1 && (seen += cost->by_ns[ns]) * 2 < cost->turns)
        ns++;
    return ns;
}

static void note_cost(struct cost *cost, uint64_t turn_ns, uint32_t moved)
{
    uint64_t ns = turn_ns * 2 / moved;
    cost->by_ns[CW_MIN(ns, COST_NS_MAX - 1)]++;
    cost->turns++;
}

/* One line. The specs were read, so they hold no quotes. */
static void write_counters(FILE *to, const struct emulator *emulator)
{
    const struct options *options = emulator->options;
    fprintf(to, "{\"wan\":\"%s\",\"back\":\"%s\",\"mtu\":%lu,\"memory_mb\":%lu,\"frames_max\":[%u,%u],",
            options->wan, options->back ? options->back : options->wan, options->mtu, options->memory_mb,
            options->sizes[0].frames, options->sizes[1].frames);
    fprintf(to, "\"full_turns\":%lu,\"frame_ns_p50\":%u,", emulator->cost.turns,
            cost_median_ns(&emulator->cost));
    fprintf(to, "\"seconds\":%.3f,\"link_up\":[%s,%s],\"directions\":[",
            (double)(now_ns() - emulator->start_ns) / (double)CW_SECOND,
            cw_port_is_link_up(emulator->ports[0]) ? "true" : "false",
            cw_port_is_link_up(emulator->ports[1]) ? "true" : "false");
    write_direction(to, emulator->relay, 0);
    fprintf(to, ",");
    write_direction(to, emulator->relay, 1);
    fprintf(to, "]}\n");
    fflush(to);
}

/* Beside it first, so that a reader never sees half of it. */
static bool save_counters(const struct emulator *emulator)
{
    char beside[512];
    const char *path = emulator->options->stats;
    int written = snprintf(beside, sizeof beside, "%s.new", path);
    FILE *to = written > 0 && (size_t)written < sizeof beside ? fopen(beside, "we") : NULL;
    if (to == NULL)
        return false;
    write_counters(to, emulator);
    bool is_good = !ferror(to);
    return fclose(to) == 0 && is_good && rename(beside, path) == 0;
}

/* ---------------------------------------------------------------- running */

static void rest(uint64_t ns)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* Nothing moved for idle_ns: gives way at first, then sleeps, longer the longer, never beyond next_ns. */
static void idle(uint64_t idle_ns, uint64_t now, uint64_t next_ns)
{
    uint64_t nap_ns = idle_ns < 10 * CW_MS ? 20 * CW_US : idle_ns < CW_SECOND ? 100 * CW_US : CW_MS;
    uint64_t left_ns = next_ns > now ? next_ns - now : 0;
    if (idle_ns < SPIN_NS || left_ns < SPIN_NS)
        sched_yield();
    else
        rest(CW_MIN(nap_ns, left_ns - SPIN_NS + CW_US));
}

static void run(struct emulator *emulator)
{
    const struct options *options = emulator->options;
    uint64_t moved_ns = now_ns(), saved_ns = moved_ns;
    uint64_t end_ns = options->seconds > 0 ? moved_ns + options->seconds * CW_SECOND : UINT64_MAX;
    uint32_t moved = 0;
    while (!must_stop) {
        uint64_t now = now_ns();
        if (moved >= FULL_TURN)
            note_cost(&emulator->cost, now - moved_ns, moved);
        moved = cw_relay_turn(emulator->relay, now);
        if (moved > 0)
            moved_ns = now;
        else if (!options->is_busy)
            idle(now - moved_ns, now, cw_relay_next_ns(emulator->relay));
        if (must_print) {
            must_print = 0;
            write_counters(stdout, emulator);
        }
        if (options->stats != NULL && now - saved_ns >= STATS_EVERY_NS) {
            saved_ns = now;
            (void)save_counters(emulator); /* it could be written at the start; the next may succeed */
        }
        if (now >= end_ns)
            break;
    }
}

static bool open_ports(struct emulator *emulator)
{
    const struct options *options = emulator->options;
    char why[512];
    for (uint32_t i = 0; i < CW_WAN_DIRECTIONS; i++) {
        struct cw_port_config config = {.mtu = (uint16_t)options->mtu,
                                        .buffers = options->sizes[i].port_buffers,
                                        .queues = (uint32_t)options->queues};
        snprintf(config.name, sizeof config.name, "%c", i == 0 ? 'a' : 'b');
        int written = snprintf(config.device, sizeof config.device, "%s", options->devices[i]);
        if (written < 0 || (size_t)written >= sizeof config.device)
            return misuse("this device is too long: ", options->devices[i]);
        emulator->ports[i] = cw_port_open(&config, why, sizeof why);
        if (emulator->ports[i] == NULL)
            return misuse("", why);
    }
    return true;
}

static bool start(struct emulator *emulator)
{
    const struct options *options = emulator->options;
    struct cw_eal_config config = {.may_use_hugepages = options->may_use_hugepages,
                                   .memory_mb = (uint32_t)options->memory_mb};
    struct cw_relay_config relay;
    char why[512];
    if (options->name != NULL)
        snprintf(config.file_prefix, sizeof config.file_prefix, "wanem-%s", options->name);
    else
        snprintf(config.file_prefix, sizeof config.file_prefix, "wanem-%d", (int)getpid());
    if (options->is_pinned)
        snprintf(config.lcores, sizeof config.lcores, "0@%lu", options->cpu);
    if (cw_eal_start(&config, why, sizeof why) != CW_OK)
        return misuse("", why);
    emulator->has_eal = true;
    if (!open_ports(emulator))
        return false;
    relay.clock_ns = now_ns;
    relay.queues = (uint32_t)options->queues;
    memcpy(relay.ports, emulator->ports, sizeof relay.ports);
    memcpy(relay.specs, options->specs, sizeof relay.specs);
    memcpy(relay.sizes, options->sizes, sizeof relay.sizes);
    emulator->start_ns = now_ns();
    emulator->relay = cw_relay_new(&relay, emulator->start_ns);
    if (emulator->relay == NULL)
        return misuse("not enough memory", "");
    if (options->stats != NULL && !save_counters(emulator))
        return misuse("cannot be written: ", options->stats);
    return true;
}

static void stop(struct emulator *emulator)
{
    cw_relay_free(emulator->relay);
    for (uint32_t i = 0; i < CW_WAN_DIRECTIONS; i++)
        cw_port_close(emulator->ports[i]);
    if (emulator->has_eal)
        cw_eal_stop();
}

int main(int argc, char **argv)
{
    struct options options;
    static struct emulator emulator;
    struct sigaction action = {.sa_handler = on_signal};
    emulator.options = &options;
    if (!read_arguments(argc, argv, &options))
        return 2;
    if (options.is_check)
        return 0;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    if (!start(&emulator)) {
        stop(&emulator);
        return 1;
    }
    (void)prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul); /* sleeps end when they should */
    printf("wanem: ready, %lu MB, at most %u and %u frames under way of each size\n", options.memory_mb,
           options.sizes[0].frames, options.sizes[1].frames);
    fflush(stdout);
    run(&emulator);
    write_counters(stdout, &emulator);
    if (options.stats != NULL)
        (void)save_counters(&emulator);
    stop(&emulator);
    return 0;
}
