/* SPDX-License-Identifier: BSD-3-Clause */
#include "io/check/check.h"

#include <stdio.h>
#include <string.h>

#include "base/numbers.h"

static void print_string(const char *text)
{
    putchar('"');
    for (const char *c = text; *c != 0; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

static void print_member(const char *name, const char *text)
{
    printf(",\"%s\":", name);
    print_string(text);
}

/* "from" and "to" of a direction, as the first members of an object. */
static void print_way(const struct cw_check_results *results, int way)
{
    printf("\"from\":");
    print_string(results->names[way]);
    print_member("to", results->names[1 - way]);
}

static void print_checks(const struct cw_check_results *results, const struct cw_check_judgement *judgement)
{
    printf(",\"checks\":[");
    for (uint32_t i = 0; i < judgement->count; i++) {
        const struct cw_check_judged *judged = &judgement->list[i];
        printf("%s{", i > 0 ? "," : "");
        if (judged->way >= 0)
            print_way(results, judged->way);
        else
            printf("\"from\":\"\",\"to\":\"\"");
        print_member("name", judged->name);
        print_member("verdict", cw_check_verdict_names[judged->verdict]);
        print_member("words", judged->words);
        printf("}");
    }
    printf("]");
}

static void print_round_trip(const char *name, const struct cw_check_round_trip *trip)
{
    printf(",\"%s\":{\"count\":%lu,\"min\":%.3f,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}", name, trip->count,
           (double)trip->min_ns / 1e3, (double)trip->p50_ns / 1e3, (double)trip->p99_ns / 1e3,
           (double)trip->max_ns / 1e3);
}

/* What was measured, of each direction that was. */
static void print_ways(const struct cw_check_results *results)
{
    const char *comma = "";
    printf(",\"directions\":[");
    for (int i = 0; i < (int)CW_CHECK_WAYS; i++) {
        const struct cw_check_way *way = &results->ways[i];
        if (way->sent == 0)
            continue;
        printf("%s{", comma);
        comma = ",";
        print_way(results, i);
        printf(
            ",\"sent\":%lu,\"arrived\":%lu,\"wrong_checksums\":%lu,\"datagram_bytes\":%u,\"mtu\":%u,\"rates\":[",
            way->sent, way->arrived, way->wrong_sums, way->largest,
            way->largest == 0 ? 0 : way->largest + results->headers);
        for (unsigned r = 0, printed = 0; r < CW_CHECK_RATES; r++) {
            const struct cw_check_rate *rate = &way->rates[r];
            if (rate->is_tried)
                printf("%s{\"bytes\":%u,\"sent\":%lu,\"arrived\":%lu,\"packets_per_second\":%.0f,"
                       "\"bits_per_second\":%.0f}",
                       printed++ > 0 ? "," : "", rate->size, rate->sent, rate->arrived, rate->packets,
                       rate->bits);
        }
        printf("],\"damaged\":%lu}", way->garbage);
    }
    printf("]");
}

static void print_json(const struct cw_check_results *results, const struct cw_check_judgement *judgement)
{
    static const char *const modes[] = {
        [CW_CHECK_PAIR] = "pair", [CW_CHECK_PEER] = "peer", [CW_CHECK_PING] = "echo"};
    printf("{\"mode\":\"%s\",\"mtu\":%u,\"vlan\":%u,\"interrupted\":%s", modes[results->mode], results->mtu,
           results->vlan, results->is_interrupted ? "true" : "false");
    printf(",\"passed\":%u,\"warned\":%u,\"failed\":%u,\"not_tried\":%u",
           judgement->by_verdict[CW_CHECK_PASSED], judgement->by_verdict[CW_CHECK_WARNED],
           judgement->by_verdict[CW_CHECK_FAILED], judgement->by_verdict[CW_CHECK_NOT_TRIED]);
    print_checks(results, judgement);
    print_round_trip("round_trip_us", &results->round_trip);
    print_ways(results);
    printf(",\"echoes\":[");
    for (unsigned i = 0, printed = 0; i < CW_CHECK_ECHOES; i++) {
        const struct cw_check_echo *echo = &results->echoes[i];
        if (!echo->is_tried)
            continue;
        printf("%s{\"address\":\"%s\",\"sent\":%lu,\"answered\":%lu", printed++ > 0 ? "," : "", echo->address,
               echo->sent, echo->answered);
        print_round_trip("round_trip_us", &echo->round_trip);
        printf("}");
    }
    printf("]}\n");
}

static void print_text(const struct cw_check_results *results, const struct cw_check_judgement *judgement)
{
    for (uint32_t i = 0; i < judgement->count; i++) {
        const struct cw_check_judged *judged = &judgement->list[i];
        char way[2 * CW_CHECK_NAME_SIZE + 8] = "";
        if (judged->way >= 0)
            snprintf(way, sizeof way, "%s -> %s: ", results->names[judged->way],
                     results->names[1 - judged->way]);
        printf("%-9s  %-19s %s%s\n", cw_check_verdict_names[judged->verdict], judged->name, way,
               judged->words);
    }
    printf("\n%u failed, %u warned, %u passed, %u not tried%s\n", judgement->by_verdict[CW_CHECK_FAILED],
           judgement->by_verdict[CW_CHECK_WARNED], judgement->by_verdict[CW_CHECK_PASSED],
           judgement->by_verdict[CW_CHECK_NOT_TRIED], results->is_interrupted ? "; interrupted" : "");
}

int cw_check_print(const struct cw_check_results *results, bool is_json)
{
    static struct cw_check_judgement judgement;
    cw_check_judge(results, &judgement);
    if (is_json)
        print_json(results, &judgement);
    else
        print_text(results, &judgement);
    bool is_written = fflush(stdout) == 0 && !ferror(stdout);
    return judgement.by_verdict[CW_CHECK_FAILED] > 0 || results->is_interrupted || !is_written ? 1 : 0;
}
