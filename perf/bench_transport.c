/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The transport over real ports: two sessions, hashed, AES-256, reliable, paced. Prints a line of JSON.
 *
 *     bench-transport bulk MTU SLICES              a net lcore a side over memif, FEC (32,2)x16: payload in
 *                                                  slices of 200 ms, and between them the limit by its parts
 *     bench-transport rekey MTU SLICES             the same, keys renewed each 256 MiB in every other slice
 *     bench-transport flood MTU SLICES             both ends by one thread; in every other slice 50000 HELLOs
 *                                                  a second come to the receiver. By its CPU time
 *     bench-transport pingpong MTU fec|plain       4 KiB there and back, beside the bare ports
 *     bench-transport goodput WANEM SPEC SECONDS fec|plain [MBIT]
 *                                                  through an emulated WAN, under bbr, or `fixed` at so
 *                                                  many Mbit/s of the line
 *     bench-transport latency WANEM SPEC SECONDS fec|plain
 *     bench-transport bursts WANEM SPEC SECONDS fec|plain LATE_US
 *                                                  4 KiB each millisecond through it, under bbr
 *
 * Over memif each side is a busy thread on a CPU of its own. Through a WAN both sides are turned by one
 * thread, wanem is busy on the other CPU, and times of both sides are of one clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_launch.h>
#include <rte_lcore.h>

#include "base/hash.h"
#include "base/numbers.h"
#include "bench_end.h"
#include "bench_micro_c.h"
#include "bench_micro_fec.h"
#include "memif_bare.h"
#include "program.h"
#include "transport/frames.h"
#include "wanem/pair.h"

#define BULK_BYTES     131072u
#define BULK_MESSAGES  64u
#define BULK_IN_FLIGHT 4096u /* as in a net lcore */
#define BULK_RATE      12500000000ull
#define WAN_MESSAGES   512u
#define WAN_IN_FLIGHT  32768u
#define WAN_RATE       1250000000ull
#define WAN_DATAGRAM   1472u /* bytes of UDP payload at MTU 1500 */
#define WAN_FRAME      1514u /* and of the line that it takes */
#define WAN_MBIT_MAX   100000u
#define MEGABIT        125000u
#define REKEY_BYTES    (256ull << 20)
#define SLICE_NS       (200 * CW_MS)
#define WARM_NS        (50 * CW_MS)
#define SLICES_MAX     200u
#define REKEY_SLICE_NS (400 * CW_MS)
#define FLOOD_HELLOS   64u
#define FLOOD_EACH_NS  (20 * CW_US)
#define UP_NS          (10 * CW_SECOND)
#define PING_BYTES     4096u
#define PINGS          20000u
#define WARM_PINGS     1500u /* of a WAN */
#define PINGS_MAX      131072u
#define PING_EACH_NS   CW_MS
#define RECORD_BYTES   65536u
#define RECORD_EACH_NS (800 * CW_US) /* 655 Mb/s: a busy line of 1 Gb/s with room for repairs and resends */
#define BURSTS_MBIT    990u
#define PART_NS        (200 * CW_MS)
#define PART_BATCH     256u
#define SOURCE_BYTES   (16u << 20)

static const struct cw_fec_config fec_fixed = {CW_FEC_FIXED, 32, 2, 16};
static const struct cw_fec_config fec_bursts = {CW_FEC_FIXED, 64, 4, 32}; /* any 128 in a row */
static uint64_t samples[PINGS_MAX];

static struct cw_fec_config read_fec(const char *text)
{
    if (strcmp(text, "fec") != 0 && strcmp(text, "plain") != 0)
        bench_fail("expected fec or plain");
    return strcmp(text, "fec") == 0 ? fec_fixed : (struct cw_fec_config){CW_FEC_OFF, 0, 0, 0};
}

/* ---------------------------------------------------------------- the limit's parts */

/* What one packet takes of a part, while the other processor does the counterpart. */
struct part {
    void (*work)(struct part *part);
    struct bench_aead *aead;
    struct bench_fec *fec;
    uint8_t *data, *plain;
    uint8_t *source; /* SOURCE_BYTES, more than near caches hold */
    uint32_t source_at;
    uint32_t length;
    uint64_t sum;
    double ns;
};

static void seal_one(struct part *part)
{
    bench_aead_seal(part->aead, part->data, part->length);
}

static void open_one(struct part *part)
{
    if (!bench_aead_open(part->aead, part->plain, part->data, part->length))
        bench_fail("a seal does not open");
}

static void protect_one(struct part *part)
{
    bench_fec_encode(part->fec);
}

/* What the limit leaves out: the hash of a payload, and its copy into the datagram. */
static void hash_and_copy_one(struct part *part)
{
    const uint8_t *from = part->source + part->source_at;
    part->sum += cw_hash64(from, part->length);
    memcpy(part->plain, from, part->length);
    part->source_at += part->length;
    if (part->source_at + part->length > SOURCE_BYTES)
        part->source_at = 0;
}

static int measure_part(void *context)
{
    struct part *part = context;
    uint64_t begin_ns = bench_now_ns(), now_ns = begin_ns, count = 0;
    while (now_ns - begin_ns < PART_NS) {
        for (uint32_t i = 0; i < PART_BATCH; i++)
            part->work(part);
        count += PART_BATCH;
        now_ns = bench_now_ns();
    }
    part->ns = (double)(now_ns - begin_ns) / (double)count;
    return 0;
}

static void part_init(struct part *part, uint32_t length)
{
    *part = (struct part){.length = length};
    part->aead = bench_aead_new(0);
    part->fec = bench_fec_new(fec_fixed.sources, fec_fixed.repairs, length + CW_FEC_HEAD_SIZE);
    part->data = aligned_alloc(4096, 16384);
    part->plain = aligned_alloc(4096, 16384);
    part->source = aligned_alloc(4096, SOURCE_BYTES);
    if (part->data == NULL || part->plain == NULL || part->source == NULL)
        bench_fail("no memory");
    memset(part->source, 0x5a, SOURCE_BYTES);
    memset(part->data, 0x5a, 16384);
    memset(part->plain, 0, 16384);
    bench_aead_seal(part->aead, part->data, length);
}

static void part_free(struct part *part)
{
    bench_aead_free(part->aead);
    bench_fec_free(part->fec);
    free(part->data);
    free(part->plain);
    free(part->source);
}

static void measure_both(struct part *near, struct part *far)
{
    (void)rte_eal_remote_launch(measure_part, far, 1);
    (void)measure_part(near);
    rte_eal_mp_wait_lcore();
}

struct limit {
    double seal_ns, open_ns, fec_ns, memif_ns;
    double packet_ns; /* of the slower side, for a packet of payload and its share of repairs */
    double rest_ns;   /* of hash and copy, which are not in it */
};

static double measure_limit(const struct bench_memif *pair, struct rte_mempool *pool, struct part *near,
                            struct part *far, struct limit *limit)
{
    near->work = seal_one;
    far->work = open_one;
    measure_both(near, far);
    limit->seal_ns = near->ns;
    limit->open_ns = far->ns;
    near->work = far->work = protect_one;
    measure_both(near, far);
    limit->fec_ns = CW_MAX(near->ns, far->ns);
    near->work = far->work = hash_and_copy_one;
    measure_both(near, far);
    limit->rest_ns = CW_MAX(near->ns, far->ns);
    uint16_t frame_bytes = (uint16_t)(near->length + CW_PACKET_OVERHEAD + CW_FEC_HEAD_SIZE + 42u);
    limit->memif_ns = 1e9 / bench_memif_rate(pair, pool, frame_bytes, PART_NS).packets;
    limit->packet_ns = limit->fec_ns + (1.0 + (double)fec_fixed.repairs / fec_fixed.sources) *
                                           (CW_MAX(limit->seal_ns, limit->open_ns) + limit->memif_ns);
    return (near->length - CW_FRAME_DATA_SIZE) * 8 / limit->packet_ns;
}

/* ---------------------------------------------------------------- over memif */

static _Atomic bool must_stop, must_rekey;
static struct bench_end near_end, far_end;
static uint32_t echoes_due;

static const uint8_t echo[PING_BYTES];

/* In the turn in which it came, as a store's answer leaves when one thread turns net and store. */
static void send_back(struct bench_end *end, uint64_t number, uint64_t sent_ns)
{
    if (!bench_end_send(end, echo, sizeof echo))
        echoes_due++;
}

static void obey(struct bench_end *end, bool *is_rekeying)
{
    bool wanted = must_rekey;
    if (wanted != *is_rekeying)
        bench_end_rekey(end, wanted ? REKEY_BYTES : 0);
    *is_rekeying = wanted;
}

static int run_far(void *context)
{
    bool is_rekeying = false;
    while (!must_stop) {
        obey(&far_end, &is_rekeying);
        bench_end_turn(&far_end);
        while (echoes_due > 0 && bench_end_send(&far_end, echo, sizeof echo))
            echoes_due--;
    }
    return 0;
}

static void open_ends(struct cw_port *near_port, struct cw_port *far_port,
                      const struct bench_end_config *base)
{
    struct bench_end_config config = *base;
    config.is_initiator = true;
    config.path_count = 1;
    config.ports[0] = near_port;
    bench_end_open(&near_end, &config);
    config.is_initiator = false;
    config.ports[0] = far_port;
    bench_end_open(&far_end, &config);
}

static void wait_up(bool far_too)
{
    uint64_t begin_ns = bench_now_ns();
    while (!near_end.is_up) {
        bench_end_turn(&near_end);
        if (far_too)
            bench_end_turn(&far_end);
        if (bench_now_ns() - begin_ns > UP_NS)
            bench_fail("the session does not come up");
    }
}

static void start_far(void)
{
    must_stop = false;
    (void)rte_eal_remote_launch(run_far, NULL, 1);
    wait_up(false);
}

static void stop_far(void)
{
    must_stop = true;
    rte_eal_mp_wait_lcore();
}

/* Payload that was acknowledged meanwhile. */
static double run_slice(uint64_t duration_ns)
{
    uint64_t begin_ns = bench_now_ns(), bytes = near_end.delivered_bytes, now_ns = begin_ns;
    for (; now_ns - begin_ns < duration_ns; now_ns = near_end.now_ns) {
        bench_end_feed(&near_end, BULK_BYTES);
        bench_end_turn(&near_end);
    }
    return (double)(near_end.delivered_bytes - bytes) * 8 / (double)(now_ns - begin_ns);
}

/* Nothing is under way any more: the sessions may rest. */
static void drain(void)
{
    uint64_t begin_ns = bench_now_ns();
    while (near_end.outstanding > 0) {
        bench_end_turn(&near_end);
        if (near_end.now_ns - begin_ns > UP_NS)
            bench_fail("what was sent does not arrive");
    }
}

static void print_counters(const struct bench_end *end)
{
    struct cw_session_path_stats stats;
    struct cw_session_stats all;
    cw_session_path_stats(end->session, 0, &stats);
    cw_session_stats(end->session, &all);
    printf(",\"rate_state\":\"%s\",\"pacing_mbps\":%.1f,\"window_bytes\":%lu,\"rtt_ms\":{\"min\":%.3f,"
           "\"smoothed\":%.3f},\"counters\":{",
           stats.rate_state, (double)stats.pacing_bytes_per_second * 8e-6, stats.window_bytes,
           (double)stats.rtt_ns_min * 1e-6, (double)stats.rtt_ns_smoothed * 1e-6);
    for (uint32_t i = 0; i < CW_SESSION_COUNTER_COUNT; i++)
        printf("%s\"%s\":%lu", i == 0 ? "" : ",", cw_session_counter_names[i], all.counters[i]);
    printf("}");
}

static void open_bulk(struct bench_memif *pair, char *folder, uint16_t mtu)
{
    struct bench_end_config config = {.rate_bytes_per_second = BULK_RATE,
                                      .fec = fec_fixed,
                                      .packets_in_flight = BULK_IN_FLIGHT,
                                      .messages = BULK_MESSAGES};
    if (mkdtemp(folder) == NULL)
        bench_fail("no folder");
    bench_memif_open(pair, folder, 0, mtu);
    open_ends(pair->client, pair->server, &config);
    start_far();
}

static void close_bulk(struct bench_memif *pair, const char *folder)
{
    print_counters(&near_end);
    printf("}}\n");
    bench_memif_close(pair);
    (void)rmdir(folder);
}

/* Limit and slice in turn: others on the machine come and go. */
static void bulk(uint16_t mtu, uint32_t slices)
{
    char folder[] = "/tmp/bench-transport-XXXXXX";
    struct bench_memif pair;
    struct part near, far;
    uint32_t payload_bytes = CW_FRAGMENT_BYTES(mtu - 28u) - CW_FEC_HEAD_SIZE;
    open_bulk(&pair, folder, mtu);
    struct rte_mempool *pool = bench_memif_pool();
    part_init(&near, payload_bytes + CW_FRAME_DATA_SIZE);
    part_init(&far, payload_bytes + CW_FRAME_DATA_SIZE);
    printf("{\"bulk\":{\"mtu\":%u,\"payload_bytes\":%u,\"slices\":[", mtu, payload_bytes);
    for (uint32_t i = 0; i < slices; i++) {
        struct limit limit;
        (void)run_slice(WARM_NS);
        double gigabits = run_slice(SLICE_NS);
        drain();
        stop_far();
        double most = measure_limit(&pair, pool, &near, &far, &limit);
        start_far();
        printf("%s{\"gbps\":%.3f,\"limit_gbps\":%.3f,\"seal_ns\":%.1f,\"open_ns\":%.1f,\"fec_ns\":%.1f,"
               "\"memif_ns\":%.1f,\"hash_and_copy_ns\":%.1f}",
               i == 0 ? "" : ",", gigabits, most, limit.seal_ns, limit.open_ns, limit.fec_ns, limit.memif_ns,
               limit.rest_ns);
    }
    stop_far();
    printf("]");
    part_free(&near);
    part_free(&far);
    close_bulk(&pair, folder);
}

static double run_rekeying(bool wanted, bool *is_rekeying)
{
    must_rekey = wanted;
    obey(&near_end, is_rekeying);
    return run_slice(REKEY_SLICE_NS);
}

/* In every second slice a key is worn after REKEY_BYTES; which one of two comes first changes, so that what
 * grows slower or faster meanwhile is not taken for its cost. */
static void rekey(uint16_t mtu, uint32_t slices)
{
    char folder[] = "/tmp/bench-transport-XXXXXX";
    struct bench_memif pair;
    bool is_rekeying = false;
    open_bulk(&pair, folder, mtu);
    (void)run_slice(SLICE_NS);
    printf("{\"rekey\":{\"mtu\":%u,\"slices\":[", mtu);
    for (uint32_t i = 0; i < slices; i++) {
        double gigabits[2];
        for (uint32_t turn = 0; turn < 2; turn++) {
            bool wanted = turn != i % 2;
            gigabits[wanted] = run_rekeying(wanted, &is_rekeying);
        }
        printf("%s{\"gbps\":%.3f,\"gbps_rekeying\":%.3f}", i == 0 ? "" : ",", gigabits[0], gigabits[1]);
    }
    stop_far();
    printf("],\"gaps\":%u,\"gap_us\":%.1f", near_end.gap_count,
           near_end.gap_count > 0 ? (double)near_end.gap_ns * 1e-3 / near_end.gap_count : 0.0);
    close_bulk(&pair, folder);
}

static uint8_t hellos[FLOOD_HELLOS][BENCH_HELLO_BYTES];
static uint64_t flood_ns, flood_sent;
static uint64_t far_cpu_ns; /* what the receiver has spent */

/* Those that are due by the receiver's own time; a port without room takes them later. */
static void flood_more(void)
{
    while (flood_ns <= far_cpu_ns) {
        uint8_t *datagram = cw_port_transmit_next(near_end.paths[0].port);
        if (datagram == NULL)
            return;
        memcpy(datagram, hellos[flood_sent % FLOOD_HELLOS], BENCH_HELLO_BYTES);
        cw_port_transmit_commit(near_end.paths[0].port, BENCH_HELLO_BYTES);
        flood_sent++;
        flood_ns += FLOOD_EACH_NS;
    }
}

/* Payload a second of the receiver's CPU time: what a core that does nothing else takes in. Both ends are
 * turned by one thread, so the time of others on this machine is in neither. */
static double run_by_cpu(uint64_t duration_ns, bool is_flooded)
{
    uint64_t begin_ns = far_cpu_ns, bytes = far_end.received_bytes;
    flood_ns = far_cpu_ns;
    while (far_cpu_ns - begin_ns < duration_ns) {
        if (is_flooded)
            flood_more();
        bench_end_feed(&near_end, BULK_BYTES);
        bench_end_turn(&near_end);
        uint64_t turn_ns = bench_cpu_ns();
        bench_end_turn(&far_end);
        far_cpu_ns += bench_cpu_ns() - turn_ns;
    }
    return (double)(far_end.received_bytes - bytes) * 8 / (double)(far_cpu_ns - begin_ns);
}

static void print_flood(void)
{
    struct cw_session_stats stats;
    cw_session_stats(far_end.session, &stats);
    double each_ns = bench_end_hello_ns(&far_end, (const uint8_t(*)[BENCH_HELLO_BYTES])hellos, FLOOD_HELLOS,
                                        FLOOD_EACH_NS);
    printf("],\"hello_ns\":%.1f,\"sent\":%lu,\"unseen\":%lu,\"refused\":%lu", each_ns, flood_sent,
           stats.counters[CW_SESSION_DROP_FLOOD], stats.counters[CW_SESSION_DROP_HANDSHAKE]);
}

static void flood(uint16_t mtu, uint32_t slices)
{
    char folder[] = "/tmp/bench-transport-XXXXXX";
    struct bench_memif pair;
    open_bulk(&pair, folder, mtu);
    stop_far();
    printf("{\"flood\":{\"mtu\":%u,\"slices\":[", mtu);
    for (uint32_t i = 0; i < slices; i++) {
        double gigabits[2];
        for (uint32_t h = 0; h < FLOOD_HELLOS; h++)
            bench_end_strange(&far_end, i * FLOOD_HELLOS + h, hellos[h]);
        (void)run_by_cpu(WARM_NS, false);
        for (uint32_t turn = 0; turn < 2; turn++) {
            bool is_flooded = turn != i % 2;
            gigabits[is_flooded] = run_by_cpu(SLICE_NS, is_flooded);
        }
        printf("%s{\"gbps\":%.3f,\"gbps_flooded\":%.3f}", i == 0 ? "" : ",", gigabits[0], gigabits[1]);
    }
    print_flood();
    close_bulk(&pair, folder);
}

static void exchange_pings(uint32_t count, bool is_told)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t begin_ns = bench_now_ns(), before = near_end.received_messages;
        while (!bench_end_send(&near_end, echo, sizeof echo))
            bench_end_turn(&near_end);
        while (near_end.received_messages == before)
            bench_end_turn(&near_end);
        if (is_told)
            samples[i] = bench_now_ns() - begin_ns;
    }
}

static double percentile_us(uint32_t count, double share)
{
    return (double)samples[(uint32_t)((double)(count - 1) * share)] * 1e-3;
}

static void pingpong(uint16_t mtu, const struct cw_fec_config *fec)
{
    char folder[] = "/tmp/bench-transport-XXXXXX";
    struct bench_memif pair;
    struct part near, far;
    struct bench_end_config config = {.rate_bytes_per_second = BULK_RATE,
                                      .fec = *fec,
                                      .packets_in_flight = BULK_IN_FLIGHT,
                                      .messages = BULK_MESSAGES};
    if (mkdtemp(folder) == NULL)
        bench_fail("no folder");
    bench_memif_open(&pair, folder, 0, mtu);
    /* A bare frame of this size needs jumbo buffers: at a small MTU as large as fits. */
    struct bench_round_trip bare =
        bench_memif_round_trip(&pair, bench_memif_pool(), (uint16_t)CW_MIN((uint32_t)PING_BYTES, mtu + 14u));
    open_ends(pair.client, pair.server, &config);
    far_end.on_received = send_back;
    start_far();
    exchange_pings(PINGS / 10, false);
    exchange_pings(PINGS, true);
    stop_far();
    part_init(&near, PING_BYTES);
    part_init(&far, PING_BYTES);
    near.work = seal_one;
    far.work = open_one;
    measure_both(&near, &far);
    qsort(samples, PINGS, sizeof samples[0], bench_compare_u64);
    printf("{\"pingpong\":{\"mtu\":%u,\"p50_us\":%.2f,\"p99_us\":%.2f,\"bare_p50_us\":%.2f,\"bare_p99_us\":%."
           "2f,\"seal_ns\":%.1f,\"open_ns\":%.1f",
           mtu, percentile_us(PINGS, 0.5), percentile_us(PINGS, 0.99), bare.p50_us, bare.p99_us, near.ns,
           far.ns);
    part_free(&near);
    part_free(&far);
    print_counters(&near_end);
    printf("}}\n");
    bench_memif_close(&pair);
    (void)rmdir(folder);
}

/* ---------------------------------------------------------------- through a WAN */

static uint64_t first_ns, counted_from_ns, counted_from_bytes, last_ns;

static void note_goodput(struct bench_end *end, uint64_t number, uint64_t sent_ns)
{
    first_ns = first_ns == 0 ? end->now_ns : first_ns;
    last_ns = end->now_ns;
    if (counted_from_ns == 0 && end->now_ns >= first_ns + CW_SECOND) {
        counted_from_ns = end->now_ns;
        counted_from_bytes = end->received_bytes;
    }
}

static uint64_t sent_at[PINGS_MAX], came_at[PINGS_MAX];

static void note_latency(struct bench_end *end, uint64_t number, uint64_t sent_ns)
{
    if (number < PINGS_MAX) {
        sent_at[number] = sent_ns;
        came_at[number] = end->now_ns;
    }
}

/* line_megabits: at which `fixed` sends; 0: bbr. */
static void open_wan(struct cw_wanem_pair *pair, const char *program, const char *spec,
                     const struct cw_fec_config *fec, uint64_t line_megabits)
{
    const char *const more[] = {"--wan", spec, "--poll", "busy", "--cpu", "1", NULL};
    uint64_t fixed_rate = line_megabits * MEGABIT * WAN_DATAGRAM / WAN_FRAME;
    struct bench_end_config config = {.rate_kind = fixed_rate > 0 ? CW_RATE_FIXED : CW_RATE_BBR,
                                      .rate_bytes_per_second = fixed_rate > 0 ? fixed_rate : WAN_RATE,
                                      .fec = *fec,
                                      .packets_in_flight = WAN_IN_FLIGHT,
                                      .messages = WAN_MESSAGES};
    char why[512];
    if (!cw_wanem_pair_open(pair, program, 1500, more, why, sizeof why))
        bench_fail(why);
    open_ends(pair->ports[0], pair->ports[1], &config);
    wait_up(true);
}

static void close_wan(struct cw_wanem_pair *pair)
{
    static char json[4096];
    if (!cw_wanem_pair_close(pair, json, sizeof json))
        bench_fail("wanem did not end well");
    printf(",\"wanem_no_memory\":%lu,\"wanem_frames\":%lu", cw_wanem_counter(json, "drop_no_memory", 0),
           cw_wanem_counter(json, "frames", 0));
}

static void goodput(const char *program, const char *spec, uint64_t seconds, const struct cw_fec_config *fec,
                    uint64_t line_megabits)
{
    struct cw_wanem_pair pair;
    open_wan(&pair, program, spec, fec, line_megabits);
    far_end.on_received = note_goodput;
    uint64_t begin_ns = bench_now_ns();
    while (near_end.now_ns < begin_ns + seconds * CW_SECOND) {
        bench_end_feed(&near_end, BULK_BYTES);
        bench_end_turn(&near_end);
        bench_end_turn(&far_end);
    }
    if (counted_from_ns == 0 || last_ns == counted_from_ns)
        bench_fail("too little came to count");
    printf("{\"goodput\":{\"mbps\":%.1f",
           (double)(far_end.received_bytes - counted_from_bytes) * 8e3 / (double)(last_ns - counted_from_ns));
    print_counters(&near_end);
    close_wan(&pair);
    printf("}}\n");
}

/* From sending until this one came, or until all up to this one had come. Without the first, which meet a
 * controller that knows nothing of the path. */
static void print_latency(const char *name, uint32_t messages, bool is_ordered)
{
    uint64_t all_ns = 0;
    uint32_t count = messages - CW_MIN(WARM_PINGS, messages / 2);
    for (uint32_t i = 0; i < messages; i++) {
        all_ns = CW_MAX(all_ns, came_at[i]);
        if (i >= messages - count)
            samples[i - (messages - count)] = (is_ordered ? all_ns : came_at[i]) - sent_at[i];
    }
    qsort(samples, count, sizeof samples[0], bench_compare_u64);
    printf("\"%s\":{\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}", name, percentile_us(count, 0.5) * 1e-3,
           percentile_us(count, 0.99) * 1e-3, (double)samples[count - 1] * 1e-6);
}

/* So many bytes, so often, for so long, until all are there. Returns how many messages that were. */
static uint32_t send_evenly(uint32_t bytes, uint64_t each_ns, uint64_t seconds)
{
    static uint8_t body[RECORD_BYTES];
    far_end.on_received = note_latency;
    uint64_t begin_ns = bench_now_ns(), due_ns = begin_ns, end_ns = begin_ns + seconds * CW_SECOND;
    while (near_end.now_ns < end_ns || far_end.received_messages < near_end.sent_messages) {
        if (near_end.now_ns >= due_ns && near_end.now_ns < end_ns && near_end.sent_messages < PINGS_MAX &&
            bench_end_send(&near_end, body, bytes))
            due_ns += each_ns;
        bench_end_turn(&near_end);
        bench_end_turn(&far_end);
        if (near_end.now_ns > end_ns + UP_NS)
            bench_fail("what was sent does not arrive");
    }
    uint32_t count = (uint32_t)far_end.received_messages;
    if (count <= 2 * WARM_PINGS)
        bench_fail("too little came to count");
    return count;
}

static void latency(const char *program, const char *spec, uint64_t seconds, const struct cw_fec_config *fec)
{
    struct cw_wanem_pair pair;
    open_wan(&pair, program, spec, fec, 0);
    uint32_t count = send_evenly(PING_BYTES, PING_EACH_NS, seconds);
    printf("{\"latency\":{\"messages\":%u,", count);
    print_latency("each", count, false);
    printf(",");
    print_latency("ordered", count, true);
    print_counters(&near_end);
    close_wan(&pair);
    printf("}}\n");
}

/* Records on a busy leased circuit that loses runs of packets: which share of them comes later than that? */
static void bursts(const char *program, const char *spec, uint64_t seconds, bool has_fec, uint64_t late_us)
{
    static const struct cw_fec_config none = {CW_FEC_OFF, 0, 0, 0};
    struct cw_wanem_pair pair;
    open_wan(&pair, program, spec, has_fec ? &fec_bursts : &none, BURSTS_MBIT);
    uint32_t count = send_evenly(RECORD_BYTES, RECORD_EACH_NS, seconds), late = 0, first = count / 4;
    for (uint32_t i = first; i < count; i++)
        late += came_at[i] - sent_at[i] > late_us * CW_US;
    printf("{\"bursts\":{\"messages\":%u,\"late_share\":%.6f,", count, (double)late / (count - first));
    print_latency("each", count, false);
    print_counters(&near_end);
    close_wan(&pair);
    printf("}}\n");
}

/* ---------------------------------------------------------------- arguments */

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    bool is_flood = strcmp(what, "flood") == 0;
    if ((strcmp(what, "bulk") == 0 || strcmp(what, "rekey") == 0 || is_flood) && argc == 4) {
        bench_start("bench-transport", "0@0,1@1", 384);
        (is_flood ? flood
         : strcmp(what, "bulk") == 0
             ? bulk
             : rekey)((uint16_t)bench_number(argv[2], 9000), (uint32_t)bench_number(argv[3], SLICES_MAX));
    } else if (strcmp(what, "pingpong") == 0 && argc == 4) {
        bench_start("bench-transport", "0@0,1@1", 384);
        struct cw_fec_config fec = read_fec(argv[3]);
        pingpong((uint16_t)bench_number(argv[2], 9000), &fec);
    } else if (strcmp(what, "goodput") == 0 && (argc == 6 || argc == 7)) {
        bench_start("bench-transport", "0@0", 256);
        struct cw_fec_config fec = read_fec(argv[5]);
        uint64_t line_megabits = argc == 7 ? bench_number(argv[6], WAN_MBIT_MAX) : 0;
        goodput(argv[2], argv[3], bench_number(argv[4], 3600), &fec, line_megabits);
    } else if (strcmp(what, "latency") == 0 && argc == 6) {
        bench_start("bench-transport", "0@0", 256);
        struct cw_fec_config fec = read_fec(argv[5]);
        latency(argv[2], argv[3], bench_number(argv[4], 3600), &fec);
    } else if (strcmp(what, "bursts") == 0 && argc == 7) {
        bench_start("bench-transport", "0@0", 256);
        bool has_fec = read_fec(argv[5]).mode != CW_FEC_OFF;
        bursts(argv[2], argv[3], bench_number(argv[4], 3600), has_fec, bench_number(argv[6], 10000000));
    } else {
        fprintf(stderr,
                "bench-transport bulk MTU SLICES | rekey MTU SLICES | flood MTU SLICES | pingpong MTU "
                "fec|plain |\n"
                "    goodput WANEM SPEC SECONDS fec|plain [MBIT] | latency WANEM SPEC SECONDS fec|plain |\n"
                "    bursts WANEM SPEC SECONDS fec|plain LATE_US\n");
        return 2;
    }
    bench_end_close(&near_end);
    bench_end_close(&far_end);
    cw_eal_stop();
    return 0;
}
