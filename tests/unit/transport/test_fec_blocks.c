/* SPDX-License-Identifier: BSD-3-Clause */
/* Stripes, their repairs, and what the receiver makes of them when symbols are lost, late or senseless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "base/rng.h"
#include "transport/fec_sender.h"

#define SYMBOL_MAX 200u
#define SENT_MAX   20000u

static struct cw_fec_code code;
static struct cw_fec_sender sender;
static struct cw_fec_receiver receiver;
static uint8_t *memory;
static uint64_t now_ns;

/* What is on its way: sources and repairs alike. */
static struct symbol {
    struct cw_fec_place place;
    uint32_t source_count; /* 0: a source */
    uint32_t length;
    uint32_t name; /* of a source: in its first bytes too */
    uint8_t bytes[SYMBOL_MAX];
} sent[SENT_MAX];
static uint32_t sent_count, name_count;
static uint8_t arrived[SENT_MAX]; /* by name: came or was given back */

static void carve(struct cw_arena *arena, const struct cw_fec_shape *limits, uint32_t blocks)
{
    cw_fec_sender_init(&sender, arena, &code, limits, SYMBOL_MAX);
    cw_fec_receiver_init(&receiver, arena, &code, blocks, limits->repairs, SYMBOL_MAX);
}

static void build(uint8_t k, uint8_t p, uint16_t depth, uint32_t blocks)
{
    const struct cw_fec_shape limits = {k, p, depth};
    struct cw_arena arena;
    cw_arena_measure(&arena);
    carve(&arena, &limits, blocks);
    size_t size = cw_round_up(arena.used, 4096);
    free(memory);
    memory = aligned_alloc(4096, size);
    assert_non_null(memory);
    memset(memory, 0xa5, size); /* rows are zeroed when they are used, not by luck */
    cw_arena_init(&arena, memory, size);
    carve(&arena, &limits, blocks);
    cw_fec_sender_open(&sender, blocks, p);
    sent_count = name_count = 0;
    now_ns = CW_SECOND;
    memset(arrived, 0, sizeof arrived);
}

static int set_up(void **state)
{
    cw_fec_code_init(&code);
    return 0;
}

static int tear_down(void **state)
{
    free(memory);
    return 0;
}

/* ---- sending ----------------------------------------------------------------------------------------- */

/* A symbol of this name: its length and all its bytes follow from it. */
static uint32_t fill(uint32_t name, uint8_t *bytes)
{
    struct cw_rng rng = {name};
    uint32_t length = 8 + (uint32_t)cw_rng_below(&rng, SYMBOL_MAX - 8 + 1);
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)cw_rng_next(&rng);
    cw_store32le(bytes, name);
    cw_store32le(bytes + 4, length);
    return length;
}

static bool send_source(enum cw_fec_lane lane, uint32_t waiting)
{
    struct symbol *symbol = &sent[sent_count];
    assert_true(sent_count < SENT_MAX);
    symbol->name = name_count++;
    symbol->source_count = 0;
    symbol->length = fill(symbol->name, symbol->bytes);
    if (!cw_fec_sender_add(&sender, lane, waiting, symbol->bytes, symbol->length, now_ns, &symbol->place))
        return false;
    sent_count++;
    assert_true(cw_fec_sender_is_valid(&sender));
    return true;
}

static void send_repairs(void)
{
    while (cw_fec_sender_has_repair(&sender, CW_FEC_LANE_BULK)) {
        struct symbol *symbol = &sent[sent_count++];
        assert_true(sent_count <= SENT_MAX);
        symbol->length = cw_fec_sender_take_repair(&sender, CW_FEC_LANE_BULK, symbol->bytes, &symbol->place,
                                                   &symbol->source_count, now_ns);
        assert_true(symbol->length <= SYMBOL_MAX);
        assert_true(symbol->source_count >= 1);
        assert_true(cw_fec_sender_is_valid(&sender));
    }
}

static void send_stripe(uint32_t sources, uint32_t waiting)
{
    for (uint32_t i = 0; i < sources; i++)
        assert_true(send_source(CW_FEC_LANE_LATENCY, waiting));
    cw_fec_sender_look(&sender, true, now_ns);
    send_repairs();
}

/* ---- receiving --------------------------------------------------------------------------------------- */

static void take_name(const uint8_t *bytes, uint32_t length)
{
    uint8_t again[SYMBOL_MAX];
    uint32_t name = cw_load32le(bytes);
    assert_true(name < name_count);
    assert_int_equal(arrived[name], 0);
    uint32_t own = fill(name, again);
    assert_true(own <= length);
    assert_memory_equal(bytes, again, own);
    for (uint32_t i = own; i < length; i++)
        assert_int_equal(bytes[i], 0);
    arrived[name] = 1;
}

static void receive(const struct symbol *symbol)
{
    struct cw_fec_recovered recovered;
    if (symbol->source_count == 0) {
        take_name(symbol->bytes, symbol->length);
        cw_fec_receiver_source(&receiver, &symbol->place, symbol->bytes, symbol->length, &recovered);
    } else {
        cw_fec_receiver_repair(&receiver, &symbol->place, symbol->source_count, symbol->bytes, symbol->length,
                               &recovered);
    }
    for (uint32_t i = 0; i < recovered.count; i++)
        take_name(recovered.symbols[i], recovered.length);
    assert_true(cw_fec_receiver_is_valid(&receiver));
}

static void expect_all(void)
{
    for (uint32_t i = 0; i < name_count; i++)
        assert_int_equal(arrived[i], 1);
}

/* ---- stripes ----------------------------------------------------------------------------------------- */

static void a_full_stripe_has_its_repairs_row_by_row(void **state)
{
    build(4, 2, 3, 16);
    for (uint32_t i = 0; i < 12; i++) {
        assert_false(cw_fec_sender_has_repair(&sender, CW_FEC_LANE_BULK));
        assert_true(send_source(CW_FEC_LANE_LATENCY, 100));
    }
    send_repairs();
    assert_int_equal(sent_count, 12 + 6);
    for (uint32_t i = 0; i < 12; i++) {
        assert_int_equal(sent[i].place.block, i % 3);
        assert_int_equal(sent[i].place.index, i / 3);
    }
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(sent[12 + i].place.block, i % 3);
        assert_int_equal(sent[12 + i].place.index, i / 3);
        assert_int_equal(sent[12 + i].source_count, 4);
    }
}

static void a_stripe_is_as_wide_as_what_waits(void **state)
{
    build(32, 2, 16, 64);
    send_stripe(3, 2); /* one block of three, one repair */
    assert_int_equal(sent_count, 4);
    assert_int_equal(sent[2].place.block, 0);
    assert_int_equal(sent[3].source_count, 3);
    send_stripe(1, 0); /* alone: it and its repair */
    assert_int_equal(sent_count, 6);
    assert_int_equal(sent[5].place.block, 1);
    send_stripe(94, 93); /* three blocks of 32, 31, 31 */
    assert_int_equal(sent_count, 6 + 94 + 6);
    assert_int_equal(sent[6 + 94].source_count, 32);
    assert_int_equal(sent[6 + 95].source_count, 31);
    assert_int_equal(sent[6 + 93].place.block, 2 + 93 % 3);
    uint32_t before = sent_count;
    send_stripe(33, 32); /* two blocks of 17 and 16, half full: one repair each */
    assert_int_equal(sent_count - before, 33 + 2);
}

static void a_narrow_stripe_given_more_is_followed_by_another(void **state)
{
    build(4, 1, 8, 32);
    for (int i = 0; i < 10; i++)
        assert_true(send_source(CW_FEC_LANE_LATENCY, 0));
    cw_fec_sender_look(&sender, true, now_ns);
    send_repairs();
    assert_int_equal(sent_count, 10 + 3);
    assert_int_equal(sent[9].place.block, 2);
}

static void the_bulk_lane_waits_until_it_is_quiet(void **state)
{
    build(8, 2, 4, 64);
    assert_true(send_source(CW_FEC_LANE_BULK, 1));
    now_ns += CW_FEC_QUIET_NS / 2;
    assert_true(send_source(CW_FEC_LANE_BULK, 0));
    cw_fec_sender_look(&sender, true, now_ns);
    assert_false(cw_fec_sender_has_repair(&sender, CW_FEC_LANE_BULK));
    assert_int_equal(cw_fec_sender_deadline_ns(&sender), now_ns + CW_FEC_QUIET_NS);
    now_ns += CW_FEC_QUIET_NS;
    cw_fec_sender_look(&sender, true, now_ns);
    assert_false(cw_fec_sender_has_repair(&sender, CW_FEC_LANE_LATENCY)); /* which comes before it */
    assert_true(cw_fec_sender_has_repair(&sender, CW_FEC_LANE_BULK));
    send_repairs();
    assert_int_equal(cw_fec_sender_deadline_ns(&sender), CW_NEVER);
    assert_int_equal(cw_fec_sender_lag_ns(&sender, CW_FEC_LANE_BULK, now_ns),
                     CW_FEC_QUIET_NS + CW_FEC_QUIET_NS / 2);
}

static void on_a_slow_path_stripes_become_narrow_and_wide_again(void **state)
{
    build(4, 2, 16, 64);
    for (int i = 0; i < 9; i++) { /* 9 in the life of a stripe */
        assert_true(send_source(CW_FEC_LANE_LATENCY, 1000));
        cw_fec_sender_look(&sender, false, now_ns);
        now_ns += CW_FEC_AGE_NS / 9 + 1;
    }
    cw_fec_sender_look(&sender, false, now_ns);
    send_repairs();
    assert_int_equal(sent_count, 9 + 9); /* 9 of 16 blocks were used, one repair each */
    uint32_t from = sent_count;
    for (int i = 0; i < 8; i++)
        assert_true(send_source(CW_FEC_LANE_LATENCY, 1000));
    send_repairs(); /* two blocks of four, full */
    assert_int_equal(sent_count - from, 8 + 4);
    from = sent_count;
    for (int i = 0; i < 16; i++)
        assert_true(send_source(CW_FEC_LANE_LATENCY, 1000));
    send_repairs(); /* four blocks */
    assert_int_equal(sent_count - from, 16 + 8);
}

static void without_a_free_stripe_nothing_is_held_back(void **state)
{
    build(2, 1, 1, 16);
    for (int i = 0; i < 8; i++)
        assert_true(send_source(CW_FEC_LANE_LATENCY, 100));
    assert_false(send_source(CW_FEC_LANE_LATENCY, 100));
    assert_int_equal(sender.counts[CW_FEC_OUT_UNPROTECTED], 1);
    send_repairs();
    assert_true(send_source(CW_FEC_LANE_LATENCY, 100));
}

static void a_stripe_is_closed_before_the_peer_needs_its_slots(void **state)
{
    build(8, 1, 4, 16);
    assert_true(send_source(CW_FEC_LANE_BULK, 100)); /* blocks 0..3 */
    for (uint32_t i = 0; i < 4; i++) {
        assert_false(cw_fec_sender_has_repair(&sender, CW_FEC_LANE_BULK));
        send_stripe(1, 0);
    }
    assert_true(send_source(CW_FEC_LANE_LATENCY, 0)); /* block 8: more than half of 16 ahead */
    assert_true(cw_fec_sender_has_repair(&sender, CW_FEC_LANE_BULK));
}

/* ---- losses ------------------------------------------------------------------------------------------ */

static void all_bursts_up_to_depth_times_repairs_are_survived(void **state)
{
    enum { K = 6, P = 2, DEPTH = 4, STRIPE = DEPTH * (K + P) };
    for (uint32_t first = 0; first < 2 * STRIPE; first++) {
        build(K, P, DEPTH, 16);
        for (int i = 0; i < 3; i++)
            send_stripe(K * DEPTH, 1000);
        assert_int_equal(sent_count, 3 * STRIPE);
        for (uint32_t i = 0; i < sent_count; i++)
            if (i < first || i >= first + DEPTH * P)
                receive(&sent[i]);
        expect_all();
        assert_int_equal(receiver.counts[CW_FEC_IN_UNRECOVERABLE], 0);
    }
}

static void one_more_than_the_repairs_is_not(void **state)
{
    build(6, 2, 1, 16);
    send_stripe(6, 1000);
    for (uint32_t i = 3; i < sent_count; i++)
        receive(&sent[i]);
    assert_int_equal(receiver.counts[CW_FEC_IN_RECOVERED], 0);
    receive(&sent[1]); /* late, but it makes the two others solvable */
    assert_int_equal(receiver.counts[CW_FEC_IN_RECOVERED], 2);
    expect_all();
}

/* In any order, at most p lost of each block: all comes back, each once. */
static void any_p_losses_in_any_order_come_back(void **state)
{
    struct cw_rng rng = {21};
    for (int round = 0; round < 300; round++) {
        uint8_t k = (uint8_t)(1 + cw_rng_below(&rng, 64)), p = (uint8_t)(1 + cw_rng_below(&rng, 8));
        uint32_t blocks = 64, lost[64] = {0}, count = 0;
        build(k, p, 16, blocks);
        uint32_t waiting = (uint32_t)cw_rng_below(&rng, k * 16ull);
        for (uint64_t left = 1 + cw_rng_below(&rng, k * 16ull); left > 0; left--) {
            assert_true(send_source(CW_FEC_LANE_LATENCY, waiting));
            send_repairs();
        }
        send_stripe(0, 0);
        uint32_t *order = calloc(sent_count, sizeof *order);
        for (uint32_t i = 0; i < sent_count; i++) {
            uint32_t at = (uint32_t)cw_rng_below(&rng, i + 1);
            order[i] = order[at];
            order[at] = i;
        }
        uint32_t repairs[64] = {0};
        for (uint32_t i = 0; i < sent_count; i++)
            repairs[sent[i].place.block % blocks] += sent[i].source_count > 0;
        for (uint32_t i = 0; i < sent_count; i++) {
            uint32_t b = sent[order[i]].place.block % blocks;
            if (lost[b] < repairs[b] && cw_rng_below(&rng, 3) == 0) {
                lost[b]++;
                continue;
            }
            if (sent[order[i]].source_count == 0 && arrived[sent[order[i]].name])
                continue; /* came back before it came: the session drops it as a duplicate */
            receive(&sent[order[i]]);
            count++;
        }
        free(order);
        assert_true(count > 0);
        expect_all();
    }
}

/* (32,2) at 1 %: what the binomial distribution says, 0.47 % of the blocks. */
static void random_loss_leaves_what_is_computed(void **state)
{
    enum { STRIPES = 9600, DEPTH = 4, BLOCKS = STRIPES * DEPTH };
    struct cw_rng rng = {22};
    uint32_t lost_sources = 0, failed = 0;
    build(32, 2, DEPTH, 16);
    for (int i = 0; i < STRIPES; i++) {
        sent_count = name_count = 0;
        memset(arrived, 0, sizeof arrived);
        send_stripe(32 * DEPTH, 1000);
        for (uint32_t j = 0; j < sent_count; j++)
            if (!cw_rng_chance(&rng, 10000))
                receive(&sent[j]);
        for (uint32_t b = 0; b < DEPTH; b++) {
            uint32_t lost = 0;
            for (uint32_t n = b; n < 32 * DEPTH; n += DEPTH)
                lost += !arrived[n];
            lost_sources += lost;
            failed += lost > 0;
        }
    }
    /* P(failed) is 0.00475, E(lost sources of a block) 0.0138; both within four deviations. */
    assert_in_range(failed, 128, 236);
    assert_in_range(lost_sources, 366, 690);
}

/* ---- what is late or senseless ----------------------------------------------------------------------- */

static void what_comes_for_a_forgotten_block_is_late(void **state)
{
    build(4, 1, 1, 4);
    for (int i = 0; i < 6; i++)
        send_stripe(4, 1000);
    receive(&sent[0]); /* block 0: one of four; nothing tells what is missing */
    receive(&sent[2]); /* now index 1 is known to be */
    for (uint32_t i = 20; i < 25; i++)
        receive(&sent[i]); /* block 4 takes its slot */
    assert_int_equal(receiver.counts[CW_FEC_IN_UNRECOVERABLE], 1);
    receive(&sent[4]);
    assert_int_equal(receiver.counts[CW_FEC_IN_LATE], 1);
    assert_int_equal(receiver.counts[CW_FEC_IN_RECOVERED], 0);
}

static void a_source_after_its_recovery_is_late(void **state)
{
    build(4, 1, 1, 4);
    send_stripe(4, 1000);
    for (uint32_t i = 1; i < 5; i++)
        receive(&sent[i]);
    expect_all();
    struct cw_fec_recovered recovered;
    cw_fec_receiver_source(&receiver, &sent[0].place, sent[0].bytes, sent[0].length, &recovered);
    assert_int_equal(recovered.count, 0);
    assert_int_equal(receiver.counts[CW_FEC_IN_LATE], 1);
}

static void numbers_wrap(void **state)
{
    build(4, 1, 2, 8);
    sender.next_block = CW_FEC_NUMBER_MASK - 2;
    for (int i = 0; i < 4; i++)
        send_stripe(8, 1000);
    for (uint32_t i = 0; i < sent_count; i++)
        if (i % 10 != 3)
            receive(&sent[i]);
    expect_all();
    assert_int_equal(receiver.counts[CW_FEC_IN_LATE], 0);
}

static uint64_t bad_after(struct cw_fec_place place, uint32_t source_count, uint32_t length)
{
    static uint8_t bytes[SYMBOL_MAX + 1];
    struct cw_fec_recovered recovered;
    uint64_t before = receiver.counts[CW_FEC_IN_BAD];
    if (source_count == UINT32_MAX)
        cw_fec_receiver_source(&receiver, &place, bytes, length, &recovered);
    else
        cw_fec_receiver_repair(&receiver, &place, source_count, bytes, length, &recovered);
    assert_int_equal(recovered.count, 0);
    assert_true(cw_fec_receiver_is_valid(&receiver));
    return receiver.counts[CW_FEC_IN_BAD] - before;
}

static void what_cannot_be_is_refused(void **state)
{
    const uint32_t source = UINT32_MAX;
    build(8, 2, 1, 8);
    assert_int_equal(bad_after((struct cw_fec_place){0, 0, 0}, source, 100), 1);
    assert_int_equal(bad_after((struct cw_fec_place){0, 0, 3}, source, 100), 1);
    assert_int_equal(bad_after((struct cw_fec_place){0, 64, 2}, source, 100), 1);
    assert_int_equal(bad_after((struct cw_fec_place){0, 0, 2}, source, SYMBOL_MAX + 1), 1);
    assert_int_equal(bad_after((struct cw_fec_place){CW_FEC_NUMBER_MASK + 1, 0, 2}, source, 100), 1);
    assert_int_equal(bad_after((struct cw_fec_place){1, 5, 2}, source, 100), 0);
    assert_int_equal(bad_after((struct cw_fec_place){1, 0, 1}, source, 100), 1); /* it had two repairs */
    assert_int_equal(bad_after((struct cw_fec_place){1, 0, 2}, 0, 100), 1);
    assert_int_equal(bad_after((struct cw_fec_place){1, 0, 2}, 5, 100), 1); /* source 5 is there */
    assert_int_equal(bad_after((struct cw_fec_place){1, 0, 2}, 65, 100), 1);
    assert_int_equal(bad_after((struct cw_fec_place){1, 2, 2}, 8, 100), 1);
    assert_int_equal(bad_after((struct cw_fec_place){1, 0, 2}, 8, 100), 0);
    assert_int_equal(bad_after((struct cw_fec_place){1, 0, 2}, 8, 100), 1); /* twice */
    assert_int_equal(bad_after((struct cw_fec_place){1, 1, 2}, 9, 100), 1); /* it was of eight */
    assert_int_equal(bad_after((struct cw_fec_place){1, 8, 2}, source, 100), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_stripe_has_its_repairs_row_by_row),
        cmocka_unit_test(a_stripe_is_as_wide_as_what_waits),
        cmocka_unit_test(a_narrow_stripe_given_more_is_followed_by_another),
        cmocka_unit_test(the_bulk_lane_waits_until_it_is_quiet),
        cmocka_unit_test(on_a_slow_path_stripes_become_narrow_and_wide_again),
        cmocka_unit_test(without_a_free_stripe_nothing_is_held_back),
        cmocka_unit_test(a_stripe_is_closed_before_the_peer_needs_its_slots),
        cmocka_unit_test(all_bursts_up_to_depth_times_repairs_are_survived),
        cmocka_unit_test(one_more_than_the_repairs_is_not),
        cmocka_unit_test(any_p_losses_in_any_order_come_back),
        cmocka_unit_test(random_loss_leaves_what_is_computed),
        cmocka_unit_test(what_comes_for_a_forgotten_block_is_late),
        cmocka_unit_test(a_source_after_its_recovery_is_late),
        cmocka_unit_test(numbers_wrap),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests_name("transport/fec_blocks", tests, set_up, tear_down);
}
