/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The last check before an answer leaves: cw_store_answer with a group that says what the test tells it to.
 * What a group completes it may hold no lease for any more when the answer is about to leave: between the
 * two the process may have been paused for as long as somebody else needs to be promoted. No suite can hit
 * that gap from outside, so it is here that each kind of request is seen to be asked about.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "engine/clock.h"
#include "engine/store.h"

#define REIGN 77u

static struct cw_store store;
static struct cw_store_group group;
static struct cw_block_request requests[4];
static enum cw_status answered[4], verdict;
static unsigned order[4], answers, asked, asked_of_reads;
static uint64_t asked_ns;

/* ---------------------------------------------------------------- the group */

enum cw_status cw_group_may_answer(const struct cw_group *g, uint64_t now_ns)
{
    asked++;
    asked_ns = now_ns;
    return verdict;
}

enum cw_status cw_group_read_may_answer(const struct cw_group *g, const struct cw_group_read *read,
                                        uint64_t now_ns)
{
    asked_of_reads++;
    asked_ns = now_ns;
    assert_int_equal(read->reign, REIGN);
    return verdict;
}

/* What else the file calls, for requests that this test never submits. */

enum cw_status cw_group_write(struct cw_group *g, const struct cw_group_write *write, uint64_t now_ns)
{
    fail();
    return CW_IO;
}

enum cw_status cw_group_flush(struct cw_group *g, struct cw_block_request *request, uint64_t now_ns)
{
    fail();
    return CW_IO;
}

enum cw_status cw_group_read_begin(struct cw_group *g, struct cw_group_read *read)
{
    fail();
    return CW_IO;
}

void cw_group_read_end(struct cw_group *g, struct cw_group_read *read, uint8_t *const *slices,
                       uint32_t slice_count)
{
    fail();
}

bool cw_group_is_in_place(const struct cw_group *g)
{
    return true;
}

void cw_disk_read(struct cw_uring *uring, struct cw_disk_file *file, struct cw_uring_op *op, void *data,
                  uint32_t length, uint64_t offset)
{
    fail();
}

uint64_t cw_disk_extent(const struct cw_disk_file *file, uint64_t offset, uint64_t length, bool *is_zero)
{
    *is_zero = true;
    return length;
}

enum cw_status cw_payload_take_all(struct cw_payload_memory *memory, uint64_t length, bool may_use_reserve,
                                   struct cw_slice *slices, uint16_t *slice_count)
{
    fail();
    return CW_IO;
}

void cw_payload_give(struct cw_payload_memory *memory, uint64_t handle)
{
    fail();
}

uint64_t cw_payload_free_bytes(const struct cw_payload_memory *memory, uint64_t length)
{
    return 0;
}

/* ---------------------------------------------------------------- the front end */

static void on_complete(struct cw_block_request *request, enum cw_status status)
{
    unsigned i = (unsigned)(request - requests);
    answered[i] = status;
    order[answers++] = i;
}

static int before_each(void **state)
{
    memset(&store, 0, sizeof store);
    memset(&group, 0, sizeof group);
    group.store = &store;
    store.now_ns = 1; /* of a turn that began long ago */
    answers = asked = asked_of_reads = 0;
    return 0;
}

static void finish(unsigned i, uint8_t op, enum cw_status status)
{
    requests[i] = (struct cw_block_request){.op = op, .reign = REIGN, .on_complete = on_complete};
    group.requests++;
    cw_store_finish(&group, &requests[i], status);
}

/* ---------------------------------------------------------------- tests */

static const uint8_t changes[] = {CW_BLOCK_WRITE, CW_BLOCK_ZEROES, CW_BLOCK_DISCARD, CW_BLOCK_FLUSH};

static void a_change_leaves_only_when_the_group_says_so(void **state)
{
    for (unsigned k = 0; k < CW_COUNT_OF(changes); k++) {
        before_each(NULL);
        finish(0, changes[k], CW_OK);
        verdict = CW_AGAIN;
        uint64_t before_ns = cw_clock_now_ns();
        assert_int_equal(cw_store_answer(&group), 0);
        assert_int_equal(cw_store_answer(&group), 0);
        assert_int_equal(answers, 0);
        assert_int_equal(asked, 2);
        assert_true(asked_ns >= before_ns);
        assert_int_equal(store.counters[CW_STORE_HELD_AT_REPLY], 2);
        verdict = CW_OK;
        assert_int_equal(cw_store_answer(&group), 1);
        assert_int_equal(answered[0], CW_OK);
        assert_int_equal(asked, 3);
        assert_int_equal(asked_of_reads, 0);
        assert_int_equal(group.requests, 0);
        assert_int_equal(cw_store_answer(&group), 0);
    }
}

static void a_read_is_asked_about_with_its_reign(void **state)
{
    finish(0, CW_BLOCK_READ, CW_OK);
    verdict = CW_AGAIN;
    uint64_t before_ns = cw_clock_now_ns();
    assert_int_equal(cw_store_answer(&group), 0);
    assert_int_equal(asked_of_reads, 1);
    assert_int_equal(asked, 0);
    assert_true(asked_ns >= before_ns);
    verdict = CW_OK;
    assert_int_equal(cw_store_answer(&group), 1);
    assert_int_equal(answered[0], CW_OK);
}

static void who_was_fenced_meanwhile_fails(void **state)
{
    finish(0, CW_BLOCK_WRITE, CW_OK);
    finish(1, CW_BLOCK_READ, CW_OK);
    verdict = CW_AGAIN;
    assert_int_equal(cw_store_answer(&group), 0);
    verdict = CW_SHUTDOWN;
    assert_int_equal(cw_store_answer(&group), 2);
    assert_int_equal(answered[0], CW_SHUTDOWN);
    assert_int_equal(answered[1], CW_SHUTDOWN);
}

/* It promises nothing. */
static void an_error_leaves_at_once(void **state)
{
    finish(0, CW_BLOCK_WRITE, CW_OK);
    finish(1, CW_BLOCK_WRITE, CW_IO);
    finish(2, CW_BLOCK_READ, CW_IO);
    finish(3, CW_BLOCK_FLUSH, CW_OK);
    verdict = CW_AGAIN;
    assert_int_equal(cw_store_answer(&group), 2);
    assert_int_equal(answered[1], CW_IO);
    assert_int_equal(answered[2], CW_IO);
    assert_int_equal(group.requests, 2);
    verdict = CW_OK;
    assert_int_equal(cw_store_answer(&group), 2);
    assert_int_equal(order[2], 0);
    assert_int_equal(order[3], 3);
}

static void answer_one(uint64_t epoch, uint8_t op, enum cw_status said)
{
    group.epoch = epoch;
    answers = 0;
    finish(0, op, CW_OK);
    verdict = said;
    (void)cw_store_answer(&group);
}

/* Of a reign when first and last, newest reign first; what was refused or held is not in it. */
static void what_was_answered_is_logged_by_reign(void **state)
{
    answer_one(3, CW_BLOCK_WRITE, CW_SHUTDOWN);
    assert_int_equal(group.answered[0].count, 0);
    answer_one(3, CW_BLOCK_WRITE, CW_OK);
    answer_one(3, CW_BLOCK_READ, CW_OK);
    struct cw_answered_reign third = group.answered[0];
    assert_int_equal(third.epoch, 3);
    assert_int_equal(third.count, 2);
    assert_true(third.first_ns <= third.last_ns && third.last_ns == asked_ns);
    for (uint64_t epoch = 5; epoch < 5 + CW_ANSWERED_REIGNS - 1; epoch++)
        answer_one(epoch, CW_BLOCK_FLUSH, CW_OK);
    assert_memory_equal(&group.answered[CW_ANSWERED_REIGNS - 1], &third, sizeof third);
    assert_int_equal(group.answered[0].epoch, 5 + CW_ANSWERED_REIGNS - 2);
    assert_true(group.answered[0].first_ns >= group.answered[1].last_ns);
}

/* Nor is anybody told what is zero. */
static void extents_are_asked_about_too(void **state)
{
    struct cw_store_volume volume = {.group = &group};
    struct cw_block_volume block = {.engine = &volume};
    bool is_zero = false;
    verdict = CW_OK;
    assert_int_equal(cw_store_block_ops.extent(&block, 0, 4096, &is_zero), 4096);
    assert_true(is_zero);
    verdict = CW_AGAIN;
    assert_int_equal(cw_store_block_ops.extent(&block, 0, 4096, &is_zero), 4096);
    assert_false(is_zero);
}

int main(int argc, char **argv)
{
    if (argc == 2)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_change_leaves_only_when_the_group_says_so, before_each),
        cmocka_unit_test_setup(a_read_is_asked_about_with_its_reign, before_each),
        cmocka_unit_test_setup(who_was_fenced_meanwhile_fails, before_each),
        cmocka_unit_test_setup(an_error_leaves_at_once, before_each),
        cmocka_unit_test_setup(what_was_answered_is_logged_by_reign, before_each),
        cmocka_unit_test_setup(extents_are_asked_about_too, before_each),
    };
    return cmocka_run_group_tests_name("engine/answers", tests, NULL, NULL);
}
