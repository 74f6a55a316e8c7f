/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions of several paths under load: they add up, and one that fails, flaps, loses or is slow harms no
 * other. */
#include "paths.h"

#define BODY 131072u

/* Room for 10 MB in flight; the configured rates are the links', so that their queues stay empty. */
static void configure_load(uint32_t count, const struct cw_link_config *links, enum cw_rate_kind kind,
                           uint64_t seed)
{
    configure(count, seed);
    for (int i = 0; i < 2; i++) {
        for (uint32_t path = 0; path < count; path++) {
            configs[i].paths[path].packets_in_flight_max = 8192;
            configs[i].paths[path].rate_kind = kind;
            configs[i].paths[path].rate_bytes_per_second = links[path].rate_bytes_per_second;
        }
        configs[i].messages_max = 256;
        configs[i].receive_count[CW_CLASS_SMALL] = 256;
        configs[i].receive_count[CW_CLASS_MEDIUM] = 64;
        configs[i].receive_count[CW_CLASS_LARGE] = 128;
        configs[i].idle_timeout_ns = 10 * CW_SECOND;
    }
}

/* As much as goes; bytes of messages a second that arrived. */
static uint64_t load(uint64_t ns)
{
    uint32_t before = pair->sides[1].arrived_count;
    for (uint64_t end_ns = pair->now_ns + ns; pair->now_ns < end_ns; run(CW_MS))
        while (cw_session_can_send(pair->sides[0].session, CW_STREAM_LIVE, BODY) &&
               cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, BODY))
            continue;
    return (uint64_t)(pair->sides[1].arrived_count - before) * BODY * CW_SECOND / ns;
}

static uint64_t measure(uint32_t count, const struct cw_link_config *links, enum cw_rate_kind kind)
{
    configure_load(count, links, kind, count);
    begin(links, count);
    go_up();
    (void)load(CW_SECOND);
    uint64_t rate = load(2 * CW_SECOND);
    expect_all_once();
    cw_pair_fini(pair);
    return rate;
}

/* What several carry, in percent of the sum of what each carries alone. */
static uint64_t together(uint32_t count, const struct cw_link_config *links, enum cw_rate_kind kind)
{
    uint64_t sum = 0;
    for (uint32_t path = 0; path < count; path++)
        sum += measure(1, &links[path], kind);
    uint64_t rate = measure(count, links, kind);
    printf("  %u paths, %s: %.2f MB/s, %.1f %% of the sum\n", count, cw_rate_kind_name(kind),
           (double)rate / 1e6, 100.0 * (double)rate / (double)sum);
    return 100 * rate / sum;
}

static void paths_add_up(void **state)
{
    static const struct cw_link_config alike[] = {
        {.rate_bytes_per_second = 12500000, .delay_ns = 5 * CW_MS, .queue_ns = 20 * CW_MS},
        {.rate_bytes_per_second = 12500000, .delay_ns = 5 * CW_MS, .queue_ns = 20 * CW_MS},
        {.rate_bytes_per_second = 12500000, .delay_ns = 5 * CW_MS, .queue_ns = 20 * CW_MS}};
    static const struct cw_link_config unlike[] = {
        {.rate_bytes_per_second = 12500000, .delay_ns = 5 * CW_MS, .queue_ns = 20 * CW_MS},
        {.rate_bytes_per_second = 12500000, .delay_ns = 40 * CW_MS, .queue_ns = 100 * CW_MS},
        {.rate_bytes_per_second = 2500000, .delay_ns = 20 * CW_MS, .queue_ns = 50 * CW_MS}};
    for (uint32_t kind = 0; kind < CW_RATE_KIND_COUNT; kind++)
        assert_true(together(2, alike, (enum cw_rate_kind)kind) >= 90);
    assert_true(together(3, alike, CW_RATE_FIXED) >= 90);
    assert_true(together(2, unlike, CW_RATE_FIXED) >= 90);
    assert_true(together(3, unlike, CW_RATE_FIXED) >= 90);
    assert_true(together(2, unlike, CW_RATE_BBR) >= 90);
    configure(1, 1); /* for the tear-down */
    begin(good_links, 1);
}

/* The longest that nothing arrived from this time on. */
static uint64_t longest_gap_ns(uint64_t from_ns)
{
    uint64_t at_ns = from_ns, gap_ns = 0;
    const struct cw_pair_side *s = &pair->sides[0];
    for (;;) {
        uint64_t next_ns = CW_NEVER;
        for (uint32_t i = 0; i < s->sent_count; i++)
            if (s->messages[i].arrived && s->messages[i].arrived_ns > at_ns)
                next_ns = CW_MIN(next_ns, s->messages[i].arrived_ns);
        if (next_ns == CW_NEVER)
            return gap_ns;
        gap_ns = CW_MAX(gap_ns, next_ns - at_ns);
        at_ns = next_ns;
    }
}

static const struct cw_link_config loaded_links[] = {
    {.rate_bytes_per_second = 12500000, .delay_ns = 5 * CW_MS},
    {.rate_bytes_per_second = 12500000, .delay_ns = 5 * CW_MS},
    {.rate_bytes_per_second = 12500000, .delay_ns = 5 * CW_MS}};

static void one_is_killed_under_load(void **state)
{
    for (uint32_t victim = 0; victim < 3; victim++) {
        uint32_t count = victim == 2 ? 3 : 2;
        configure_load(count, loaded_links, CW_RATE_FIXED, 3 + victim);
        begin(loaded_links, 3 + victim);
        go_up();
        (void)load(500 * CW_MS);
        uint64_t probe_ns = cw_loss_probe_wait_ns(&pair->sides[0].session->paths[victim].loss);
        uint64_t cut_ns = pair->now_ns;
        cut(victim, true);
        (void)load(500 * CW_MS);
        assert_false(pair->sides[0].is_path_up[victim]);
        uint64_t gap_ns = longest_gap_ns(cut_ns);
        printf("  path %u of %u killed under load: nothing arrives for %.1f ms, %.1f probe time-outs of %.1f "
               "ms\n",
               victim, count, (double)gap_ns / 1e6, (double)gap_ns / (double)probe_ns,
               (double)probe_ns / 1e6);
        assert_true(gap_ns <= 3 * probe_ns);
        cut(victim, false);
        run(CW_SECOND);
        assert_int_equal(paths_up(0), count);
        (void)load(200 * CW_MS);
        assert_true(load(CW_SECOND) >= count * 11000000ull); /* it is in use again */
        expect_all_once();
        if (victim < 2)
            cw_pair_fini(pair);
    }
}

/* Lone messages on the fast path, which then dies: none of them waits for more than the time-outs. */
static void one_is_killed_when_little_is_sent(void **state)
{
    static const struct cw_link_config links[] = {{.delay_ns = 5 * CW_MS}, {.delay_ns = 10 * CW_MS}};
    for (int is_duplicated = 0; is_duplicated < 2; is_duplicated++) {
        configure_load(2, links, CW_RATE_FIXED, 7);
        configs[0].is_latency_duplicated = is_duplicated;
        begin(links, 7);
        go_up();
        uint64_t worst_ns = 0, probe_ns = 0;
        for (uint32_t i = 0; i < 100; i++) {
            if (i == 50) {
                probe_ns = cw_loss_probe_wait_ns(&pair->sides[0].session->paths[0].loss);
                cut(0, true);
            }
            assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 4096));
            run(5 * CW_MS);
        }
        expect_all_once();
        for (uint32_t i = 0; i < 100; i++)
            worst_ns =
                CW_MAX(worst_ns, pair->sides[0].messages[i].arrived_ns - pair->sides[0].messages[i].sent_ns);
        printf("  writes of 4096 bytes, the fast path dies, copies %s: the slowest took %.1f ms (time-out "
               "%.1f ms)\n",
               is_duplicated ? "on" : "off", (double)worst_ns / 1e6, (double)probe_ns / 1e6);
        assert_true(worst_ns <= (is_duplicated ? 11 * CW_MS : 3 * probe_ns));
        if (!is_duplicated)
            cw_pair_fini(pair);
    }
}

static const struct cw_link_config near_and_far[] = {
    {.delay_ns = 40 * CW_MS, .rate_bytes_per_second = 12500000},
    {.delay_ns = 5 * CW_MS, .rate_bytes_per_second = 12500000}};

static void what_is_small_takes_the_fast_path(void **state)
{
    configure_load(2, near_and_far, CW_RATE_FIXED, 8);
    begin(near_and_far, 8);
    go_up();
    run(CW_SECOND);
    for (uint32_t i = 0; i < 200; i++) {
        assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 16384));
        run(3 * CW_MS);
    }
    expect_all_once();
    for (uint32_t i = 0; i < pair->sides[0].sent_count; i++) {
        const struct cw_pair_message *m = &pair->sides[0].messages[i];
        assert_in_range(m->arrived_ns - m->sent_ns, 5 * CW_MS, 8 * CW_MS);
    }
}

/* Live writes go fast beside a resync that fills both paths. */
static void a_resync_takes_what_live_leaves(void **state)
{
    configure_load(2, near_and_far, CW_RATE_FIXED, 9);
    begin(near_and_far, 9);
    go_up();
    for (uint32_t i = 0; i < 500; i++) {
        while (cw_session_can_send(pair->sides[0].session, CW_STREAM_RESYNC, BODY))
            assert_true(cw_pair_send(pair, 0, CW_STREAM_RESYNC, 96, BODY));
        if (i % 5 == 0)
            assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 4096));
        run(CW_MS);
    }
    expect_all_once();
    for (uint32_t i = 0; i < pair->sides[0].sent_count; i++) {
        const struct cw_pair_message *m = &pair->sides[0].messages[i];
        if (m->stream == CW_STREAM_LIVE)
            assert_in_range(m->arrived_ns - m->sent_ns, 5 * CW_MS, 9 * CW_MS);
    }
    for (uint32_t path = 0; path < 2; path++)
        assert_true(stats_of(0, path).counters[CW_SESSION_BYTES_OUT] > 4000000);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

struct order {
    uint64_t wait_ns;  /* from its arrival until all before it are there too */
    uint64_t delay_ns; /* from when it was sent until then */
};

/* At worst of 99 in a hundred. */
static struct order order_of(void)
{
    static uint64_t waits_ns[CW_PAIR_MESSAGES], delays_ns[CW_PAIR_MESSAGES];
    uint64_t latest_ns = 0;
    const struct cw_pair_side *s = &pair->sides[0];
    for (uint32_t i = 0; i < s->sent_count; i++) {
        latest_ns = CW_MAX(latest_ns, s->messages[i].arrived_ns);
        waits_ns[i] = latest_ns - s->messages[i].arrived_ns;
        delays_ns[i] = latest_ns - s->messages[i].sent_ns;
    }
    qsort(waits_ns, s->sent_count, sizeof waits_ns[0], by_size);
    qsort(delays_ns, s->sent_count, sizeof delays_ns[0], by_size);
    return (struct order){waits_ns[s->sent_count * 99 / 100], delays_ns[s->sent_count * 99 / 100]};
}

/* Of writes of 16 KiB so many are under way at a time. The slow path takes none that those behind it would
 * wait for. */
static void a_slow_path_does_not_hold_up_the_order(void **state)
{
    static const uint32_t under_way[] = {16, 64, 250};
    for (uint32_t w = 0; w < CW_COUNT_OF(under_way); w++) {
        configure_load(2, near_and_far, CW_RATE_FIXED, 14);
        for (int i = 0; i < 2; i++)
            configs[i].receive_count[CW_CLASS_MEDIUM] = configs[i].messages_max = 300;
        begin(near_and_far, 14);
        go_up();
        uint64_t end_ns = pair->now_ns + CW_SECOND;
        while (pair->now_ns < end_ns) {
            while (pair->sides[0].sent_count - pair->sides[0].finished_count < under_way[w] &&
                   cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 16384))
                continue;
            run(CW_MS / 4);
        }
        uint32_t count = pair->sides[1].arrived_count;
        expect_all_once();
        struct order order = order_of();
        printf(
            "  10 and 80 ms, %u writes of 16 KiB under way: %.1f MB/s, %lu %% of it on the slow path; p99 in "
            "order %.1f ms, of which after their arrival up to %.1f ms\n",
            under_way[w], count * 16384 / 1e6,
            100 * stats_of(0, 0).counters[CW_SESSION_BYTES_OUT] /
                cw_pair_counter(pair, 0, CW_SESSION_BYTES_OUT),
            (double)order.delay_ns / 1e6, (double)order.wait_ns / 1e6);
        assert_true(order.wait_ns <= 4 * CW_MS);
        if (w + 1 < CW_COUNT_OF(under_way))
            cw_pair_fini(pair);
    }
}

static void a_flapping_path_harms_no_other(void **state)
{
    configure_load(2, loaded_links, CW_RATE_FIXED, 10);
    begin(loaded_links, 10);
    go_up();
    uint32_t before = pair->sides[1].arrived_count;
    for (uint32_t i = 0; i < 50; i++) {
        cut(1, i % 2 == 0);
        (void)load(300 * CW_MS);
    }
    uint64_t rate = (uint64_t)(pair->sides[1].arrived_count - before) * BODY / 15;
    uint64_t downs = stats_of(0, 1).counters[CW_SESSION_PATH_DOWNS];
    printf("  a path that comes and goes 25 times in 15 s: %lu falls, %.2f MB/s beside it\n", downs,
           (double)rate / 1e6);
    assert_true(downs >= 2 && downs <= 9); /* the wait doubles */
    assert_true(rate >= 11000000);         /* of 11.9 that the other has for messages */
    assert_int_equal(stats_of(0, 0).counters[CW_SESSION_PATH_DOWNS], 0);
    cut(1, false);
    run(30 * CW_SECOND);
    assert_int_equal(paths_up(0), 2);
    expect_all_once();
}

static void paths_of_different_sizes(void **state)
{
    static const struct cw_link_config links[] = {
        {.delay_ns = 5 * CW_MS, .rate_bytes_per_second = 12500000, .mtu = 1472},
        {.delay_ns = 5 * CW_MS, .rate_bytes_per_second = 12500000, .mtu = 8972}};
    configure_load(2, links, CW_RATE_FIXED, 11);
    for (int i = 0; i < 2; i++) {
        configs[i].paths[1].datagram_bytes_max = 8972;
        configs[i].paths[1].is_mtu_probed = true;
    }
    begin(links, 11);
    go_up();
    (void)load(CW_SECOND);
    assert_int_equal(stats_of(0, 0).datagram_bytes, 1472);
    assert_in_range(stats_of(0, 1).datagram_bytes, 8800, 8972);
    assert_true(load(CW_SECOND) > 22000000);
    cut(1, true); /* what was sent large is sent again small */
    (void)load(CW_SECOND);
    expect_all_once();
}

static void losses_of_one_are_sent_again_on_the_other(void **state)
{
    for (int kind = CW_RATE_FIXED; kind <= CW_RATE_BBR; kind++) {
        configure_load(2, loaded_links, (enum cw_rate_kind)kind, 12);
        begin(loaded_links, 12);
        go_up();
        pair->sides[0].out[1].config.loss_per_million = 50000;
        (void)load(CW_SECOND);
        uint64_t rate = load(2 * CW_SECOND);
        uint64_t again[2] = {stats_of(0, 0).counters[CW_SESSION_RETRANSMITTED],
                             stats_of(0, 1).counters[CW_SESSION_RETRANSMITTED]};
        printf("  one of two loses 5 %%, %s: %.2f MB/s, sent again %lu on the other, %lu on itself\n",
               cw_rate_kind_name((enum cw_rate_kind)kind), (double)rate / 1e6, again[0], again[1]);
        assert_true(again[0] > 10 * again[1]);
        assert_true(rate >= (kind == CW_RATE_FIXED ? 20000000 : 11500000)); /* BBR gives a lossy path up */
        assert_int_equal(stats_of(0, 1).counters[CW_SESSION_PATH_DOWNS], 0);
        expect_all_once();
        if (kind == CW_RATE_FIXED)
            cw_pair_fini(pair);
    }
}

/* Both paths lose a tenth: with copies hardly a write waits for being sent again. */
static void copies_save_waiting(void **state)
{
    static const struct cw_link_config links[] = {{.delay_ns = 10 * CW_MS, .loss_per_million = 100000},
                                                  {.delay_ns = 10 * CW_MS, .loss_per_million = 100000}};
    uint32_t late[2] = {0};
    for (int is_duplicated = 0; is_duplicated < 2; is_duplicated++) {
        configure_load(2, links, CW_RATE_FIXED, 13);
        configs[0].is_latency_duplicated = is_duplicated;
        begin(links, 13);
        go_up();
        for (uint32_t i = 0; i < 1000; i++) {
            assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 1000));
            run(7 * CW_MS);
        }
        expect_all_once();
        for (uint32_t i = 0; i < 1000; i++) {
            const struct cw_pair_message *m = &pair->sides[0].messages[i];
            late[is_duplicated] += m->arrived_ns - m->sent_ns > 12 * CW_MS;
        }
        uint64_t copies = cw_pair_counter(pair, 0, CW_SESSION_COPIES);
        assert_true(is_duplicated ? copies > 900 : copies == 0);
        if (!is_duplicated)
            cw_pair_fini(pair);
    }
    printf("  of 1000 writes %u had to be sent again without copies, %u with\n", late[0], late[1]);
    assert_true(late[0] > 70);
    assert_true(late[1] < 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(paths_add_up),
        STORY(one_is_killed_under_load),
        STORY(one_is_killed_when_little_is_sent),
        STORY(what_is_small_takes_the_fast_path),
        STORY(a_resync_takes_what_live_leaves),
        STORY(a_slow_path_does_not_hold_up_the_order),
        STORY(a_flapping_path_harms_no_other),
        STORY(paths_of_different_sizes),
        STORY(losses_of_one_are_sent_again_on_the_other),
        STORY(copies_save_waiting),
    };
    return cmocka_run_group_tests_name("transport/paths_load", tests, NULL, NULL);
}
