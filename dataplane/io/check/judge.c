/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How strict: what a wire between two cards always does (no loss at a low rate, the configured mtu, right checksums)
 * fails when it does not; what depends on who receives (loss at the port's own rate) warns. Loss of up to one in a
 * thousand warns: a WAN has it.
 */
#include "io/check/judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

#define LOSS_WARNS_PER 1000u /* one of so many */

const char *const cw_check_verdict_names[CW_CHECK_VERDICT_COUNT] = {"passed", "warned", "failed",
                                                                    "not tried"};

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The smallest sample that this share is not above. */
static uint64_t at_percent(const uint64_t *sorted, uint64_t count, uint64_t percent)
{
    uint64_t rank = (count * percent + 99) / 100;
    return sorted[rank > 0 ? rank - 1 : 0];
}

struct cw_check_round_trip cw_check_percentiles(uint64_t *samples_ns, uint64_t count)
{
    if (count == 0)
        return (struct cw_check_round_trip){0};
    qsort(samples_ns, count, sizeof samples_ns[0], compare);
    return (struct cw_check_round_trip){.count = count,
                                        .min_ns = samples_ns[0],
                                        .p50_ns = at_percent(samples_ns, count, 50),
                                        .p99_ns = at_percent(samples_ns, count, 99),
                                        .max_ns = samples_ns[count - 1]};
}

/* ---------------------------------------------------------------- words */

static void __attribute__((format(printf, 5, 6)))
say(struct cw_check_judgement *judgement, const char *name, int way, enum cw_check_verdict verdict,
    const char *format, ...)
{
    CW_ASSERT(judgement->count < CW_CHECK_JUDGED_MAX);
    struct cw_check_judged *judged = &judgement->list[judgement->count++];
    va_list arguments;
    *judged = (struct cw_check_judged){.name = name, .way = way, .verdict = verdict};
    va_start(arguments, format);
    (void)vsnprintf(judged->words, sizeof judged->words, format, arguments);
    va_end(arguments);
    judgement->by_verdict[verdict]++;
}

/* "3.42 Mbit" */
static const char *scaled(double value, const char *unit, char *text, size_t size)
{
    static const char *const prefixes[] = {"", "k", "M", "G"};
    unsigned i = 0;
    for (; value >= 1000 && i + 1 < CW_COUNT_OF(prefixes); i++)
        value /= 1000;
    snprintf(text, size, "%.*f %s%s", value < 10 ? 2 : value < 100 ? 1 : 0, value, prefixes[i], unit);
    return text;
}

static const char *share(uint64_t part, uint64_t whole, char *text, size_t size)
{
    double percent = whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
    snprintf(text, size, "%.*f%%", percent < 0.1 ? 4 : percent < 10 ? 2 : 0, percent);
    return text;
}

static const char *round_trip_text(const struct cw_check_round_trip *trip, char *text, size_t size)
{
    snprintf(text, size, "%.1f us at least, %.1f us p50, %.1f us p99, %.1f us at most, of %lu",
             (double)trip->min_ns / 1e3, (double)trip->p50_ns / 1e3, (double)trip->p99_ns / 1e3,
             (double)trip->max_ns / 1e3, trip->count);
    return text;
}

static const char *why_not(const struct cw_check_results *results, int way)
{
    if (results->is_interrupted)
        return "interrupted";
    for (uint32_t i = 0; i < results->ports; i++)
        if (!results->is_link_up[i])
            return "there is no link";
    if (!results->has_neighbour)
        return "nobody is there to send to";
    if (results->mode == CW_CHECK_PING)
        return "that takes causeway-port-check --answer at the other end";
    if (results->mode == CW_CHECK_PEER && results->ways[0].is_tried && way == 1)
        return "run from the other end, it is";
    return results->mode == CW_CHECK_PAIR ? "nothing arrives" : "the other end is gone";
}

static void say_not_tried(const struct cw_check_results *results, struct cw_check_judgement *judgement,
                          const char *name, int way)
{
    say(judgement, name, way, CW_CHECK_NOT_TRIED, "%s", why_not(results, way));
}

/* ---------------------------------------------------------------- the link */

static void judge_link(const struct cw_check_results *results, struct cw_check_judgement *judgement)
{
    for (uint32_t i = 0; i < results->ports; i++) {
        if (results->is_link_up[i])
            say(judgement, "link", -1, CW_CHECK_PASSED, "%s: up after %lu ms; %s", results->names[i],
                results->link_ms[i], results->described[i]);
        else
            say(judgement, "link", -1, results->is_interrupted ? CW_CHECK_NOT_TRIED : CW_CHECK_FAILED,
                "%s: down for %lu ms: is the cable in, is the other end up? %s", results->names[i],
                results->link_ms[i], results->described[i]);
    }
    if (results->has_neighbour)
        say(judgement, "neighbour", -1, CW_CHECK_PASSED, "the link address of %s is known after %lu ms",
            results->next_hop, results->neighbour_ms);
    else if (results->is_link_up[0] && (results->ports == 1 || results->is_link_up[1]) &&
             !results->is_interrupted)
        say(judgement, "neighbour", -1, CW_CHECK_FAILED,
            "nobody answers for %s in %lu ms: it is not there, or in another network or VLAN (%u here)",
            results->next_hop, results->neighbour_ms, results->vlan);
    else
        say_not_tried(results, judgement, "neighbour", -1);
}

static void judge_echoes(const struct cw_check_results *results, struct cw_check_judgement *judgement)
{
    static const char *const names[CW_CHECK_ECHOES] = {"echo of the gateway", "echo of the peer"};
    if (results->mode != CW_CHECK_PING)
        return;
    for (unsigned i = 0; i < CW_CHECK_ECHOES; i++) {
        const struct cw_check_echo *echo = &results->echoes[i];
        char lost[16], trip[128];
        if (!echo->is_tried) {
            if (i == CW_CHECK_ECHO_PEER && results->is_kernel_s && results->has_neighbour)
                say(judgement, names[i], -1, CW_CHECK_NOT_TRIED,
                    "the kernel has the address, and echo: ping from there");
            else if (i == CW_CHECK_ECHO_PEER)
                say_not_tried(results, judgement, names[i], -1);
            continue;
        }
        uint64_t missing = echo->sent - echo->answered;
        if (echo->answered == 0)
            say(judgement, names[i], -1, CW_CHECK_FAILED,
                "%s answers none of %lu: it is not reached, or does not answer echo", echo->address,
                echo->sent);
        else
            say(judgement, names[i], -1,
                missing * LOSS_WARNS_PER > echo->sent ? CW_CHECK_FAILED
                : missing > 0                         ? CW_CHECK_WARNED
                                                      : CW_CHECK_PASSED,
                "%s: %s of %lu lost; there and back %s", echo->address,
                share(missing, echo->sent, lost, sizeof lost), echo->sent,
                round_trip_text(&echo->round_trip, trip, sizeof trip));
    }
}

static void judge_peer(const struct cw_check_results *results, struct cw_check_judgement *judgement)
{
    bool is_heard = results->ways[0].is_tried;
    if (results->mode == CW_CHECK_PING && results->has_neighbour && !results->is_interrupted)
        say(judgement, "other end", -1, CW_CHECK_WARNED,
            "no causeway-port-check --answer is heard there: only echo is tried");
    else if (results->mode == CW_CHECK_PEER && is_heard)
        say(judgement, "other end", -1, CW_CHECK_PASSED, "it answers; its mtu is %u", results->peer_mtu);
    else if (results->mode == CW_CHECK_PAIR && !is_heard && results->has_neighbour &&
             !results->is_interrupted)
        say(judgement, "other end", -1, CW_CHECK_FAILED,
            "%s has a link and a neighbour, and nothing that is sent there arrives (frames with another address, "
            "port or VLAN: %lu)",
            results->names[1], results->not_ours);
}

/* ---------------------------------------------------------------- one direction */

static void judge_loss(const struct cw_check_results *results, int index,
                       struct cw_check_judgement *judgement)
{
    const struct cw_check_way *way = &results->ways[index];
    char lost[16], sums[96] = "";
    uint64_t missing = way->sent - CW_MIN(way->arrived, way->sent);
    if (way->sent == 0) {
        say_not_tried(results, judgement, "loss", index);
        return;
    }
    if (way->wrong_sums > 0)
        snprintf(sums, sizeof sums, "; %lu came with a wrong checksum", way->wrong_sums);
    if (missing == 0)
        say(judgement, "loss", index, CW_CHECK_PASSED, "none of %lu at %u a second", way->sent,
            results->low_rate);
    else
        say(judgement, "loss", index,
            missing * LOSS_WARNS_PER > way->sent ? CW_CHECK_FAILED : CW_CHECK_WARNED,
            "%s: %lu of %lu at %u a second%s", share(missing, way->sent, lost, sizeof lost), missing,
            way->sent, results->low_rate, sums);
}

static void judge_round_trip(const struct cw_check_results *results, struct cw_check_judgement *judgement)
{
    char text[128];
    if (results->mode == CW_CHECK_PING)
        return;
    if (results->round_trip.count == 0)
        say_not_tried(results, judgement, "round trip", -1);
    else
        say(judgement, "round trip", -1, CW_CHECK_PASSED, "%s",
            round_trip_text(&results->round_trip, text, sizeof text));
}

static void judge_mtu(const struct cw_check_results *results, int index, struct cw_check_judgement *judgement)
{
    const struct cw_check_way *way = &results->ways[index];
    uint32_t wanted = results->mtu - results->headers;
    if (way->largest == 0)
        say_not_tried(results, judgement, "mtu", index);
    else if (way->largest >= wanted)
        say(judgement, "mtu", index, CW_CHECK_PASSED, "%u: datagrams of %u bytes arrive", results->mtu,
            wanted);
    else if (results->peer_mtu != 0 && way->largest + results->headers == results->peer_mtu)
        say(judgement, "mtu", index, CW_CHECK_FAILED,
            "the path's mtu is %u here and %u at the other end: nothing longer than %u bytes arrives; both have to "
            "say the same",
            results->mtu, results->peer_mtu, way->largest);
    else
        say(judgement, "mtu", index, CW_CHECK_FAILED,
            "the path's mtu is %u, and no datagram longer than %u bytes arrives: a switch between, or the peer's "
            "port, has %u",
            results->mtu, way->largest, way->largest + results->headers);
}

static void judge_rate(const struct cw_check_results *results, int index,
                       struct cw_check_judgement *judgement)
{
    const struct cw_check_way *way = &results->ways[index];
    char words[360] = "";
    enum cw_check_verdict verdict = CW_CHECK_PASSED;
    for (unsigned i = 0; i < CW_CHECK_RATES && way->rates[i].is_tried; i++) {
        const struct cw_check_rate *rate = &way->rates[i];
        char packets[24], bits[24], lost[16];
        uint64_t missing = rate->sent - CW_MIN(rate->arrived, rate->sent);
        size_t at = strlen(words);
        snprintf(words + at, sizeof words - at, "%s%u bytes: %s/s, %s/s, %s lost", i > 0 ? "; " : "",
                 rate->size, scaled(rate->packets, "packets", packets, sizeof packets),
                 scaled(rate->bits, "bit", bits, sizeof bits),
                 missing == 0 ? "none" : share(missing, rate->sent, lost, sizeof lost));
        if (rate->arrived == 0)
            verdict = CW_CHECK_FAILED;
        else if (missing > 0 && verdict == CW_CHECK_PASSED)
            verdict = CW_CHECK_WARNED;
    }
    if (words[0] == 0)
        say_not_tried(results, judgement, "rate", index);
    else
        say(judgement, "rate", index, verdict, "%s%s", words,
            verdict == CW_CHECK_WARNED
                ? ". Whoever receives, or what is between, is slower than who sends: `rate` "
                  "of the path keeps below it"
                : "");
}

/* ---------------------------------------------------------------- what devices promise */

static void judge_sums_sent(const struct cw_check_results *results, int index,
                            struct cw_check_judgement *judgement)
{
    static const char *const name = "checksums sent";
    const struct cw_check_way *way = &results->ways[index];
    const struct cw_check_sums *sums = &way->by_device;
    if (!way->are_sums_tried)
        say_not_tried(results, judgement, name, index);
    else if (!way->does_send_sums)
        say(judgement, name, index, CW_CHECK_NOT_TRIED, "the device computes none: software does");
    else if (way->refused > 0)
        say(judgement, name, index, CW_CHECK_FAILED,
            "the driver offers to compute them, and refuses %lu frames that ask for it", way->refused);
    else if (sums->dropped > 0 && sums->dropped <= sums->called_good)
        say(judgement, name, index, CW_CHECK_WARNED,
            "%lu of %lu arrive without theirs, and the receiving device calls them right: so it is between virtual "
            "machines of one host; on a wire they would be lost",
            sums->dropped, sums->sent);
    else if (sums->dropped > 0 && way->by_software.dropped > 0)
        say(judgement, name, index, CW_CHECK_FAILED,
            "%lu of %lu arrive with a wrong one, and %lu of %lu of those that software had computed: they are "
            "damaged on the way",
            sums->dropped, sums->sent, way->by_software.dropped, way->by_software.sent);
    else if (sums->dropped > 0)
        say(judgement, name, index, CW_CHECK_FAILED,
            "the device is asked to compute them, and %lu of %lu arrive with a wrong one; by software they arrive",
            sums->dropped, sums->sent);
    else if (sums->arrived == 0)
        say(judgement, name, index, CW_CHECK_FAILED, "none of %lu that the device had to compute arrives%s",
            sums->sent, way->by_software.arrived > 0 ? "; by software they do" : "");
    else
        say(judgement, name, index, CW_CHECK_PASSED, "the device's are right (%lu looked at by software)",
            sums->arrived);
}

static void judge_sums_received(const struct cw_check_results *results, int index,
                                struct cw_check_judgement *judgement)
{
    static const char *const name = "checksums received";
    const struct cw_check_way *way = &results->ways[index];
    const struct cw_check_sums *wrong = &way->wrong;
    if (!way->are_sums_tried || wrong->sent == 0)
        say_not_tried(results, judgement, name, index);
    else if (wrong->called_good > 0 || wrong->arrived > 0)
        say(judgement, name, index, CW_CHECK_FAILED,
            "the device calls %lu of %lu wrong ones right: damaged datagrams would be taken",
            wrong->called_good + wrong->arrived, wrong->sent);
    else if (wrong->dropped == 0 && way->by_software.arrived == 0)
        say(judgement, name, index, CW_CHECK_NOT_TRIED, "nothing arrives");
    else if (!way->does_check_sums)
        say(judgement, name, index, CW_CHECK_PASSED,
            "the device looks at none; software finds %lu of %lu wrong ones", wrong->dropped, wrong->sent);
    else
        say(judgement, name, index, CW_CHECK_PASSED, "none of %lu wrong ones is called right%s", wrong->sent,
            wrong->dropped == 0 ? "; they do not arrive at all" : "");
}

/* Frames of 256 flows, of which each queue has to get some; then those of the lanes. */
static void judge_queues(const struct cw_check_results *results, int index,
                         struct cw_check_judgement *judgement)
{
    static const char *const name = "queues";
    const struct cw_check_way *way = &results->ways[index];
    uint32_t empty = 0;
    char counts[96] = "";
    if (way->queues <= 1) {
        if (way->queues == 1)
            say(judgement, name, index, CW_CHECK_NOT_TRIED, "there is one");
        else
            say_not_tried(results, judgement, name, index);
        return;
    }
    for (uint32_t i = 0; i < way->queues && i < CW_CHECK_QUEUES_MAX; i++) {
        size_t at = strlen(counts);
        snprintf(counts + at, sizeof counts - at, "%s%lu", i > 0 ? ", " : "", way->by_queue[i]);
        empty += way->by_queue[i] == 0;
    }
    if (empty > 0)
        say(judgement, name, index, CW_CHECK_FAILED,
            "%u of %u receive nothing (frames by queue: %s, of %lu flows): what arrives is not spread by UDP ports",
            empty, way->queues, counts, way->flows);
    else
        say(judgement, name, index, CW_CHECK_PASSED, "all %u receive (frames by queue: %s, of %lu flows)",
            way->queues, counts, way->flows);
}

static void judge_vlan(const struct cw_check_results *results, struct cw_check_judgement *judgement)
{
    bool does_arrive = results->mode == CW_CHECK_PING ? results->has_neighbour : results->ways[0].is_tried;
    if (results->vlan == 0)
        say(judgement, "vlan", -1, CW_CHECK_NOT_TRIED, "none is configured");
    else if (does_arrive)
        say(judgement, "vlan", -1, CW_CHECK_PASSED,
            "frames of VLAN %u come with their tag, and no others are taken", results->vlan);
    else
        say_not_tried(results, judgement, "vlan", -1);
}

static void judge_garbage(const struct cw_check_results *results, struct cw_check_judgement *judgement)
{
    uint64_t garbage = results->ways[0].garbage + results->ways[1].garbage;
    if (!results->ways[0].is_tried)
        return;
    if (garbage > 0)
        say(judgement, "damage", -1, CW_CHECK_FAILED,
            "%lu datagrams between these addresses were damaged, or of somebody else, though all checksums of "
            "theirs were right",
            garbage);
    else
        say(judgement, "damage", -1, CW_CHECK_PASSED, "every datagram that arrived was whole");
}

void cw_check_judge(const struct cw_check_results *results, struct cw_check_judgement *judgement)
{
    int ways = results->mode == CW_CHECK_PING ? 1 : (int)CW_CHECK_WAYS;
    memset(judgement, 0, sizeof *judgement);
    judge_link(results, judgement);
    judge_peer(results, judgement);
    judge_echoes(results, judgement);
    for (int i = 0; i < ways; i++)
        judge_loss(results, i, judgement);
    judge_round_trip(results, judgement);
    for (int i = 0; i < ways; i++)
        judge_mtu(results, i, judgement);
    for (int i = 0; i < ways; i++)
        judge_rate(results, i, judgement);
    for (int i = 0; i < ways; i++)
        judge_sums_sent(results, i, judgement);
    for (int i = 0; i < ways; i++)
        judge_sums_received(results, i, judgement);
    judge_vlan(results, judgement);
    for (int i = 0; i < ways; i++)
        judge_queues(results, i, judgement);
    judge_garbage(results, judgement);
}
