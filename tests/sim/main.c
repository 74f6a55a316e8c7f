/* SPDX-License-Identifier: BSD-3-Clause */
/* causeway-sim: runs seeds, says which failed and how to see it again. */
#include <getopt.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim.h"

static uint64_t current_seed;

static void on_panic(void)
{
    fprintf(stderr, "seed %llu stopped by an assert; again with: causeway-sim --seed %llu --trace\n",
            (unsigned long long)current_seed, (unsigned long long)current_seed);
}

struct totals {
    uint64_t seeds, failed, sim_ns, events, acked_writes, acked_flushes, acked_reads, promotions, opens,
        lossy, lost, crashes, power, cuts, pauses, switchovers, copies, old_images, states, dead_ends,
        failovers, by_tokens, grant_acks, put_back;
};

static void add(struct totals *t, const struct world *w)
{
    t->seeds++;
    t->failed += w->failed;
    t->sim_ns += w->now_ns;
    t->events += w->events;
    t->acked_writes += w->acked_writes;
    t->acked_flushes += w->acked_flushes;
    t->acked_reads += w->acked_reads;
    t->promotions += w->promotions;
    t->opens += w->oracle.opens;
    t->lossy += w->oracle.lossy_opens;
    t->lost += w->oracle.lost_ops;
    t->crashes += w->crashes;
    t->power += w->power_losses;
    t->cuts += w->cuts;
    t->pauses += w->pauses;
    t->switchovers += w->switchovers;
    t->copies += w->copies;
    t->dead_ends += w->dead_ends;
    t->failovers += w->failovers;
    t->by_tokens += w->by_tokens;
    t->grant_acks += w->grant_acks;
    t->put_back += w->put_back.times;
    t->old_images += w->old_images;
    t->states += w->oracle.states_checked;
}

static void print_totals(const struct totals *t)
{
    printf("%llu seeds, %llu failed; %.2f simulated hours, %llu events\n", (unsigned long long)t->seeds,
           (unsigned long long)t->failed, (double)t->sim_ns / 3.6e12, (unsigned long long)t->events);
    printf("acknowledged and checked: %llu writes, %llu flushes, %llu reads (%llu of these by grants); %llu "
           "whole "
           "states compared\n",
           (unsigned long long)t->acked_writes, (unsigned long long)t->acked_flushes,
           (unsigned long long)t->acked_reads, (unsigned long long)t->grant_acks,
           (unsigned long long)t->states);
    printf("%llu openings, %llu of them promotions of another site (%llu by itself), %llu by tokens, %llu "
           "after switchovers, "
           "%llu accepting loss "
           "(%llu acknowledged ops given up)\n",
           (unsigned long long)t->opens, (unsigned long long)t->promotions, (unsigned long long)t->failovers,
           (unsigned long long)t->by_tokens, (unsigned long long)t->switchovers, (unsigned long long)t->lossy,
           (unsigned long long)t->lost);
    printf("%llu crashes, %llu of them power losses, %llu cuts, %llu pauses, %llu full copies, %llu given up "
           "for the image before, %llu dead ends, %llu stores put back\n",
           (unsigned long long)t->crashes, (unsigned long long)t->power, (unsigned long long)t->cuts,
           (unsigned long long)t->pauses, (unsigned long long)t->copies, (unsigned long long)t->old_images,
           (unsigned long long)t->dead_ends, (unsigned long long)t->put_back);
}

static bool run_one(struct sim_options *options, struct totals *totals, bool twice)
{
    static struct world w;
    uint64_t hash;

    current_seed = options->seed;
    bool ok = world_run(options, &w);
    hash = w.trace_hash;
    add(totals, &w);
    world_fini(&w);
    if (twice) {
        FILE *out = options->out;
        options->out = NULL;
        world_run(options, &w);
        options->out = out;
        if (w.trace_hash != hash) {
            fprintf(out, "seed %llu: two runs differ: %016llx and %016llx\n",
                    (unsigned long long)options->seed, (unsigned long long)hash,
                    (unsigned long long)w.trace_hash);
            totals->failed++;
            ok = false;
        }
        world_fini(&w);
    }
    if (!ok)
        fprintf(options->out, "FAILED; again with: causeway-sim --seed %llu%s%s%s%s --trace\n",
                (unsigned long long)options->seed, options->mode >= 0 ? " --mode " : "",
                options->mode >= 0 ? cw_mode_name((enum cw_mode)options->mode) : "",
                options->focus != FOCUS_ANY ? " --focus " : "",
                options->focus != FOCUS_ANY ? w.focus->name : "");
    return ok;
}

static int usage(void)
{
    fputs(
        "usage: causeway-sim [--seed N] [--count M] [--seconds S] [--mode async|network-sync|semi-sync|sync] "
        "[--faults-off BITS]\n"
        "                    [--sessions 0|1] [--focus "
        "any|plain|lease|copy|revert|restart|volumes|super|slow|failover|grants] "
        "[--trace] "
        "[--twice] "
        "[--keep-going]\n",
        stderr);
    return 2;
}

static bool parse_mode(const char *text, int *mode)
{
    for (int m = 0; m < CW_MODE_COUNT; m++)
        if (strcmp(text, cw_mode_name((enum cw_mode)m)) == 0) {
            *mode = m;
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"seed", required_argument, NULL, 's'},
                                          {"count", required_argument, NULL, 'c'},
                                          {"mode", required_argument, NULL, 'm'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"trace", no_argument, NULL, 'v'},
                                          {"twice", no_argument, NULL, '2'},
                                          {"keep-going", no_argument, NULL, 'k'},
                                          {"faults-off", required_argument, NULL, 'f'},
                                          {"sessions", required_argument, NULL, 'n'},
                                          {"focus", required_argument, NULL, 'o'},
                                          {NULL, 0, NULL, 0}};
    struct sim_options options = {.seed = 1, .mode = -1, .focus = FOCUS_ANY, .sessions = -1, .out = stdout};
    struct totals totals = {0};
    uint64_t count = 1, seconds = 0;
    bool twice = false, keep_going = false;

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 's':
            options.seed = strtoull(optarg, NULL, 0);
            break;
        case 'c':
            count = strtoull(optarg, NULL, 0);
            break;
        case 't':
            seconds = strtoull(optarg, NULL, 0);
            break;
        case 'f':
            options.faults_off = (uint32_t)strtoul(optarg, NULL, 0);
            break;
        case 'm':
            if (!parse_mode(optarg, &options.mode))
                return usage();
            break;
        case 'n':
            options.sessions = atoi(optarg);
            break;
        case 'o':
            options.focus = focus_parse(optarg);
            if (options.focus < 0)
                return usage();
            break;
        case 'v':
            options.trace = true;
            break;
        case '2':
            twice = true;
            break;
        case 'k':
            keep_going = true;
            break;
        default:
            return usage();
        }
    }
    cw_panic_hook_set(on_panic);
    /* A site that starts takes a new arena: let them come from what the last one left. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    time_t began = time(NULL);
    for (uint64_t i = 0; i < count && (!seconds || time(NULL) - began < (time_t)seconds); i++, options.seed++)
        if (!run_one(&options, &totals, twice) && !keep_going)
            break;
    print_totals(&totals);
    return totals.failed ? 1 : 0;
}
