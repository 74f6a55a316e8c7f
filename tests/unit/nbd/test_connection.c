/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection as a machine, against a memory back end, without a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "harness.h"

#define SIZE   (4u << 20)
#define SIMPLE CW_NBD_SIMPLE_REPLY_BYTES

static struct harness h;
static uint8_t bytes[SIZE + 4096];

static void start(uint32_t slices, uint32_t connections, uint32_t requests)
{
    harness_start(&h, &(struct harness_options){.size = SIZE,
                                                .block_size = 512,
                                                .slices = slices,
                                                .connections_max = connections,
                                                .requests_max = requests});
    assert_non_null(harness_connect(&h));
}

static void say(uint16_t flags, uint16_t type, uint64_t cookie, uint64_t offset, uint32_t length)
{
    uint8_t request[CW_NBD_REQUEST_BYTES];
    harness_put_request(request, flags, type, cookie, offset, length);
    assert_int_equal(harness_feed(&h, request, sizeof request, SIZE_MAX), sizeof request);
}

/* A WRITE with its payload of one repeated byte, given in pieces. */
static size_t write_bytes(uint64_t cookie, uint64_t offset, uint32_t length, uint8_t byte, size_t piece)
{
    size_t head = harness_put_request(bytes, 0, CW_NBD_CMD_WRITE, cookie, offset, length);
    memset(bytes + head, byte, length);
    return harness_feed(&h, bytes, head + length, piece);
}

static void expect_simple(size_t at, uint64_t cookie, uint32_t error)
{
    assert_true(h.sent_length >= at + SIMPLE);
    assert_int_equal(cw_load32be(h.sent + at), CW_NBD_MAGIC_SIMPLE_REPLY);
    assert_int_equal(cw_load32be(h.sent + at + 4), error);
    assert_true(cw_load64be(h.sent + at + 8) == cookie);
}

static void turn(void)
{
    h.sent_length = 0;
    harness_turn(&h, SIZE_MAX);
}

static void test_write_and_read_back(void **state)
{
    const uint32_t lengths[] = {512, 4096, 65536, 131072, 131072 + 512, 1u << 20};
    const size_t pieces[] = {1, 27, 4099, SIZE_MAX};
    for (size_t p = 0; p < CW_COUNT_OF(pieces); p++) {
        start(64, 1, 8);
        harness_negotiate(&h, false);
        for (size_t i = 0; i < CW_COUNT_OF(lengths); i++) {
            uint32_t length = lengths[i];
            assert_int_equal(write_bytes(i, 512, length, (uint8_t)(i + 1), pieces[p]), 28 + length);
            turn();
            assert_int_equal(h.sent_length, SIMPLE);
            expect_simple(0, i, 0);
            say(0, CW_NBD_CMD_READ, 77, 512, length == 1u << 20 ? length - 512 : length);
            turn();
            expect_simple(0, 77, 0);
            for (size_t k = SIMPLE; k < h.sent_length; k++)
                assert_int_equal(h.sent[k], i + 1);
        }
        harness_stop(&h);
    }
}

static void test_structured_read_and_errors(void **state)
{
    start(64, 1, 8);
    harness_negotiate(&h, true);
    write_bytes(1, 0, 4096, 9, SIZE_MAX);
    turn();
    expect_simple(0, 1, 0); /* success without data is simple */
    say(CW_NBD_CMD_FLAG_DF, CW_NBD_CMD_READ, 2, 512, 1024);
    turn();
    assert_int_equal(h.sent_length, 28 + 1024);
    assert_int_equal(cw_load32be(h.sent), CW_NBD_MAGIC_STRUCTURED_REPLY);
    assert_int_equal(cw_load16be(h.sent + 4), CW_NBD_CHUNK_FLAG_DONE);
    assert_int_equal(cw_load16be(h.sent + 6), CW_NBD_CHUNK_OFFSET_DATA);
    assert_int_equal(cw_load32be(h.sent + 16), 8 + 1024);
    assert_true(cw_load64be(h.sent + 20) == 512);
    assert_int_equal(h.sent[28], 9);
    say(0, CW_NBD_CMD_READ, 3, SIZE, 512);
    turn();
    assert_int_equal(cw_load16be(h.sent + 6), CW_NBD_CHUNK_ERROR);
    assert_int_equal(cw_load32be(h.sent + 20), CW_NBD_EINVAL);
    h.memory.fail_next = CW_CORRUPT;
    say(0, CW_NBD_CMD_READ, 4, 0, 512);
    turn();
    assert_int_equal(cw_load16be(h.sent + 6), CW_NBD_CHUNK_ERROR);
    assert_int_equal(cw_load32be(h.sent + 20), CW_NBD_EIO);
    assert_int_equal(h.memory.slices_out, 0);
    harness_stop(&h);
}

static void test_nothing_is_nothing(void **state)
{
    start(8, 1, 8);
    harness_negotiate(&h, true);
    say(0, CW_NBD_CMD_WRITE, 1, 0, 0);
    say(0, CW_NBD_CMD_TRIM, 2, SIZE, 0);
    say(0, CW_NBD_CMD_WRITE_ZEROES, 3, 512, 0);
    turn();
    assert_int_equal(h.sent_length, 3 * SIMPLE);
    say(0, CW_NBD_CMD_READ, 4, 0, 0);
    turn();
    assert_int_equal(h.sent_length, 20);
    assert_int_equal(cw_load16be(h.sent + 6), CW_NBD_CHUNK_NONE);
    assert_int_equal(h.memory.submitted, 0);
    harness_stop(&h);
}

static void test_refused_writes_are_drained(void **state)
{
    start(64, 1, 8);
    harness_negotiate(&h, false);
    const struct {
        uint64_t offset;
        uint32_t length, error;
    } rows[] = {{256, 512, CW_NBD_EINVAL}, {0, 700, CW_NBD_EINVAL}, {SIZE, 4096, CW_NBD_ENOSPC}};
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        assert_int_equal(write_bytes(5, rows[i].offset, rows[i].length, 0x25, 100), 28 + rows[i].length);
        say(0, CW_NBD_CMD_FLUSH, 6, 0, 0);
        turn();
        assert_int_equal(h.sent_length, 2 * SIMPLE);
        expect_simple(0, 5, rows[i].error);
        expect_simple(SIMPLE, 6, 0);
    }
    assert_int_equal(h.memory.submitted, h.memory.flushes);
    say(0, CW_NBD_CMD_WRITE, 7, 0, (32u << 20) + 512); /* too long to skip */
    assert_int_equal(h.connection->state, CW_NBD_FINISHING);
    turn();
    expect_simple(0, 7, CW_NBD_EINVAL);
    assert_int_equal(h.connection->state, CW_NBD_FREE);
    harness_stop(&h);
}

static void test_slots_are_bounded(void **state)
{
    start(64, 1, 4);
    harness_negotiate(&h, false);
    h.memory.is_deferred = true;
    uint8_t many[6 * CW_NBD_REQUEST_BYTES];
    for (uint32_t i = 0; i < 6; i++)
        harness_put_request(many + i * CW_NBD_REQUEST_BYTES, 0, CW_NBD_CMD_FLUSH, i, 0, 0);
    assert_int_equal(harness_feed(&h, many, sizeof many, SIZE_MAX), sizeof many);
    assert_int_equal(h.connection->state, CW_NBD_WAIT_SLOT);
    assert_int_equal(h.memory.outstanding, 4);
    struct iovec pieces[CW_NBD_RECEIVE_IOVECS];
    assert_int_equal(cw_nbd_connection_receive_window(h.connection, pieces), 0);
    cw_memory_complete(&h.memory, 1, 0, CW_OK);
    turn();
    assert_int_equal(h.memory.outstanding, 4);
    cw_memory_complete(&h.memory, 100, 0, CW_OK);
    turn();
    cw_memory_complete(&h.memory, 100, 0, CW_OK);
    turn();
    assert_int_equal(h.memory.flushes, 6);
    assert_int_equal(h.connection->state, CW_NBD_HEADER);
    harness_stop(&h);
}

/* Three clients share two large buffers; nothing that they ask for ends by itself. */
static void start_three(struct cw_nbd_connection *clients[3])
{
    start(2, 3, 8);
    for (uint32_t i = 0; i < 3; i++) {
        clients[i] = i == 0 ? h.connection : harness_connect(&h);
        harness_negotiate(&h, false);
    }
    h.memory.is_deferred = true;
}

static void test_buffers_first_come_first_served(void **state)
{
    struct cw_nbd_connection *clients[3];
    start_three(clients);
    h.connection = clients[0];
    say(0, CW_NBD_CMD_READ, 0, 0, 2 * CW_RECORD_PAYLOAD_MAX); /* both buffers */
    h.connection = clients[1];
    say(0, CW_NBD_CMD_READ, 1, 0, 2 * CW_RECORD_PAYLOAD_MAX);
    h.connection = clients[2];
    say(0, CW_NBD_CMD_READ, 2, 0, 512); /* one would do, but may not overtake */
    assert_int_equal(clients[1]->state, CW_NBD_WAIT_BUFFERS);
    assert_int_equal(clients[2]->state, CW_NBD_WAIT_BUFFERS);
    cw_memory_complete(&h.memory, 1, 0, CW_OK);
    turn();
    assert_int_equal(clients[1]->state, CW_NBD_HEADER);
    assert_int_equal(clients[2]->state, CW_NBD_WAIT_BUFFERS);
    h.connection = clients[1]; /* goes away while its READ is with the engine */
    harness_hang_up(&h);
    cw_memory_complete(&h.memory, 1, 0, CW_OK);
    turn();
    turn();
    assert_int_equal(clients[1]->state, CW_NBD_FREE);
    assert_int_equal(clients[2]->state, CW_NBD_HEADER);
    harness_stop(&h);
}

static void test_who_leaves_the_queue_frees_it(void **state)
{
    struct cw_nbd_connection *clients[3];
    start_three(clients);
    h.connection = clients[0];
    say(0, CW_NBD_CMD_READ, 0, 0, 512); /* one buffer, and it stays out */
    h.connection = clients[1];
    say(0, CW_NBD_CMD_READ, 1, 0, 2 * CW_RECORD_PAYLOAD_MAX);
    h.connection = clients[2];
    say(0, CW_NBD_CMD_READ, 2, 0, 512);
    assert_int_equal(clients[2]->state, CW_NBD_WAIT_BUFFERS);
    h.connection = clients[1];
    harness_hang_up(&h);
    turn();
    assert_int_equal(clients[2]->state, CW_NBD_HEADER);
    assert_int_equal(h.memory.outstanding, 2);
    harness_stop(&h);
}

static void test_room_of_the_engine(void **state)
{
    start(64, 1, 8);
    harness_negotiate(&h, false);
    h.memory.is_deferred = true;
    h.memory.submit_room = 1;
    write_bytes(1, 0, 4096, 1, SIZE_MAX);
    write_bytes(2, 0, 4096, 2, SIZE_MAX);
    assert_int_equal(h.connection->state, CW_NBD_WAIT_ROOM);
    cw_memory_complete(&h.memory, 1, 0, CW_OK);
    turn();
    assert_int_equal(h.connection->state, CW_NBD_HEADER);
    cw_memory_complete(&h.memory, 1, 0, CW_OK);
    turn();
    expect_simple(0, 2, 0);
    assert_int_equal(h.memory.data[0], 2);
    harness_stop(&h);
}

/* What was answered before is sent; what ends with SHUTDOWN is not answered at all, so that a client that
 * reconnects asks again. */
static void test_shutdown_closes_unanswered(void **state)
{
    start(64, 1, 8);
    harness_negotiate(&h, true);
    h.memory.is_deferred = true;
    write_bytes(1, 0, 512, 1, SIZE_MAX);
    say(0, CW_NBD_CMD_FLUSH, 2, 0, 0);
    say(0, CW_NBD_CMD_FLUSH, 3, 0, 0);
    cw_memory_complete(&h.memory, 1, 0, CW_SHUTDOWN);
    turn();
    assert_int_equal(h.connection->state, CW_NBD_FINISHING);
    cw_memory_complete(&h.memory, 1, 0, CW_OK);
    turn();
    size_t sent = h.sent_length;
    assert_true(sent > 0); /* that one was done in time */
    cw_memory_complete(&h.memory, 1, 0, CW_SHUTDOWN);
    turn();
    assert_int_equal(h.connection->state, CW_NBD_FREE);
    assert_int_equal(cw_counter_read(&h.server.counters[CW_NBD_UNANSWERED]), 2);
    assert_int_equal(cw_counter_read(&h.server.counters[CW_NBD_ERRORS]), 0);
    harness_stop(&h);
}

static void test_refused_by_submit(void **state)
{
    start(64, 1, 8);
    harness_negotiate(&h, false);
    h.memory.refuse_all = CW_REFUSED;
    write_bytes(1, 0, 512, 1, SIZE_MAX);
    turn();
    expect_simple(0, 1, CW_NBD_EPERM);
    assert_int_equal(h.memory.slices_out, 0);
    h.memory.refuse_all = CW_SHUTDOWN;
    say(0, CW_NBD_CMD_READ, 2, 0, 512);
    turn();
    assert_int_equal(cw_counter_read(&h.server.counters[CW_NBD_UNANSWERED]), 1);
    assert_int_equal(h.connection->state, CW_NBD_FREE);
    harness_stop(&h);
}

static void test_export_removed(void **state)
{
    start(1, 3, 8);
    struct cw_nbd_connection *busy = h.connection;
    harness_negotiate(&h, false);
    h.memory.is_deferred = true;
    say(0, CW_NBD_CMD_READ, 1, 0, 512);
    say(0, CW_NBD_CMD_READ, 2, 0, 512); /* waits for the one buffer */
    struct cw_nbd_connection *idle = harness_connect(&h);
    harness_negotiate(&h, false);
    struct cw_nbd_connection *shaking = harness_connect(&h);
    h.connection = busy;
    cw_nbd_export_remove(&h.server, &h.memory.volume);
    turn();
    assert_int_equal(idle->state, CW_NBD_FREE);
    assert_int_equal(shaking->state, CW_NBD_FREE);
    assert_int_equal(busy->state, CW_NBD_FINISHING);
    assert_int_equal(cw_counter_read(&h.server.counters[CW_NBD_UNANSWERED]), 1);
    assert_false(cw_nbd_export_is_gone(&h.server, &h.memory.volume));
    cw_memory_complete(&h.memory, 1, 0, CW_SHUTDOWN);
    turn();
    assert_int_equal(cw_counter_read(&h.server.counters[CW_NBD_UNANSWERED]), 2);
    assert_true(cw_nbd_export_is_gone(&h.server, &h.memory.volume));
    char why[128];
    assert_int_equal(
        cw_nbd_export_add(&h.server, &h.memory.volume, "/none", 0600, (gid_t)-1, why, sizeof why), CW_OK);
    assert_non_null(harness_connect(&h));
    h.memory.is_deferred = false;
    harness_negotiate(&h, false);
    harness_stop(&h);
}

static void test_gone_in_mid_request(void **state)
{
    start(8, 1, 8);
    harness_negotiate(&h, false);
    h.memory.is_deferred = true;
    write_bytes(1, 0, 512, 1, SIZE_MAX);
    say(0, CW_NBD_CMD_READ, 2, 0, 512);
    size_t head = harness_put_request(bytes, 0, CW_NBD_CMD_WRITE, 3, 0, 300000);
    cw_store32be(bytes + 24, 262144);
    harness_feed(&h, bytes, head + 100000, SIZE_MAX);
    assert_int_equal(h.connection->state, CW_NBD_PAYLOAD);
    assert_int_equal(h.memory.slices_out, 4);
    harness_hang_up(&h);
    turn();
    assert_int_equal(h.connection->state, CW_NBD_CLOSING);
    assert_int_equal(h.memory.slices_out, 2);
    cw_memory_complete(&h.memory, 2, 0, CW_OK);
    assert_int_equal(h.memory.slices_out, 0);
    turn();
    assert_int_equal(h.connection->state, CW_NBD_FREE);
    harness_stop(&h);
}

static void test_bytes_are_bounded(void **state)
{
    start(64, 1, 64);
    harness_negotiate(&h, false);
    h.server.config.bytes_max = CW_MIB;
    h.memory.is_deferred = true;
    for (uint32_t i = 0; i < 5; i++)
        say(0, CW_NBD_CMD_READ, i, 0, CW_MIB / 4);
    assert_int_equal(h.memory.outstanding, 4);
    assert_int_equal(h.connection->state, CW_NBD_WAIT_SLOT);
    cw_memory_complete(&h.memory, 4, 0, CW_OK);
    turn();
    assert_int_equal(h.memory.outstanding, 1);
    cw_memory_complete(&h.memory, 1, 0, CW_OK);
    turn();
    say(0, CW_NBD_CMD_READ, 9, 0, 2 * CW_MIB); /* alone it may */
    assert_int_equal(h.memory.outstanding, 1);
    harness_stop(&h);
}

static void be_deaf(const struct cw_nbd_connection *connection)
{
    h.deaf |= 1ull << (connection - h.server.connections);
}

static void test_deaf_client_is_cut_when_others_wait(void **state)
{
    start(64, 2, 8);
    struct cw_nbd_connection *deaf = h.connection;
    harness_negotiate(&h, false);
    say(0, CW_NBD_CMD_READ, 1, 0, CW_MIB);
    be_deaf(deaf);
    for (uint32_t i = 0; i < 100; i++) {
        h.now_ns += CW_SECOND;
        turn();
    }
    assert_int_equal(deaf->state, CW_NBD_HEADER); /* it harms nobody */
    struct cw_nbd_connection *other = harness_connect(&h);
    harness_negotiate(&h, false);
    h.memory.submit_room = 0;
    say(0, CW_NBD_CMD_FLUSH, 2, 0, 0);
    assert_int_equal(other->state, CW_NBD_WAIT_ROOM);
    for (uint32_t i = 0; i < 9; i++) {
        h.now_ns += CW_SECOND;
        turn();
    }
    assert_int_equal(deaf->state, CW_NBD_HEADER);
    for (uint32_t i = 0; i < 5; i++) {
        h.now_ns += CW_SECOND;
        turn();
    }
    assert_int_equal(deaf->state, CW_NBD_FREE);
    harness_stop(&h);
}

/* The same, of one that holds more than its share: 1 s. */
static void test_deaf_client_beyond_its_share(void **state)
{
    start(2, 2, 8);
    struct cw_nbd_connection *deaf = h.connection;
    harness_negotiate(&h, false);
    say(0, CW_NBD_CMD_READ, 1, 0, 2 * CW_RECORD_PAYLOAD_MAX);
    be_deaf(deaf);
    for (uint32_t i = 0; i < 100; i++) {
        h.now_ns += CW_SECOND;
        turn();
    }
    assert_int_equal(deaf->state, CW_NBD_HEADER);
    struct cw_nbd_connection *other = harness_connect(&h);
    harness_negotiate(&h, false);
    say(0, CW_NBD_CMD_READ, 2, 0, 512);
    assert_int_equal(other->state, CW_NBD_WAIT_BUFFERS);
    for (uint32_t i = 0; i < 12; i++) {
        assert_true(i > 7 || deaf->state == CW_NBD_HEADER);
        h.now_ns += CW_SECOND / 8;
        turn();
    }
    assert_int_equal(deaf->state, CW_NBD_FREE);
    assert_int_equal(other->state, CW_NBD_HEADER);
    harness_stop(&h);
}

/* So many clients ask for all that they can have, in requests of one size, and read nothing. */
static void ask_and_be_deaf(uint32_t clients, uint32_t length)
{
    for (uint32_t i = 0; i < clients; i++) {
        if (i > 0)
            assert_non_null(harness_connect(&h));
        harness_negotiate(&h, false);
        be_deaf(h.connection);
        for (uint32_t asked = 0; asked < 16 * CW_MIB && asked / length < 64; asked += length) {
            uint8_t request[CW_NBD_REQUEST_BYTES];
            harness_put_request(request, 0, CW_NBD_CMD_READ, asked, 0, length);
            if (harness_feed(&h, request, sizeof request, SIZE_MAX) < sizeof request)
                break;
        }
        turn();
    }
}

/* However many clients take none of their replies: one who does is served at once, and again. */
static void test_deaf_clients_leave_something(void **state)
{
    static const uint32_t lengths[] = {512, 4096, 65536, CW_RECORD_PAYLOAD_MAX, CW_MIB, 4 * CW_MIB};
    for (uint32_t i = 0; i < CW_COUNT_OF(lengths); i++) {
        start(256, 32, 64);
        ask_and_be_deaf(4, lengths[i]);
        struct cw_nbd_connection *good = harness_connect(&h);
        harness_negotiate(&h, false);
        for (uint32_t k = 0; k < 10; k++) {
            say(0, CW_NBD_CMD_READ, k, 0, 4 * CW_MIB);
            turn();
            assert_int_equal(good->used, 0);
            assert_int_equal(write_bytes(k, 0, CW_MIB, 7, SIZE_MAX), CW_NBD_REQUEST_BYTES + CW_MIB);
            turn();
            expect_simple(0, k, 0);
        }
        harness_stop(&h);
    }
}

static void test_31_deaf_clients(void **state)
{
    start(256, 32, 64);
    ask_and_be_deaf(31, CW_RECORD_PAYLOAD_MAX);
    struct cw_nbd_connection *good = harness_connect(&h);
    harness_negotiate(&h, false);
    for (uint32_t k = 0; k < 3; k++) { /* within a second at the latest: those beyond their share are cut */
        say(0, CW_NBD_CMD_READ, k, 0, CW_RECORD_PAYLOAD_MAX);
        for (uint32_t i = 0; i < 8; i++) {
            h.now_ns += CW_SECOND / 4;
            turn();
        }
        assert_int_equal(good->used, 0);
    }
    harness_stop(&h);
}

/* A WRITE whose payload does not come holds buffers, too. */
static void test_silent_writers_are_cut(void **state)
{
    start(64, 9, 8);
    for (uint32_t i = 0; i < 8; i++) {
        if (i > 0)
            assert_non_null(harness_connect(&h));
        harness_negotiate(&h, false);
        say(0, CW_NBD_CMD_WRITE, i, 0, 4 * CW_MIB);
    }
    struct cw_nbd_connection *good = harness_connect(&h);
    harness_negotiate(&h, false);
    for (uint32_t i = 0; i < 60 && h.server.counters[CW_NBD_STALLED] < 8; i++) {
        h.now_ns += CW_SECOND;
        turn();
        if (i == 0)
            say(0, CW_NBD_CMD_READ, 1, 0, 4 * CW_MIB);
    }
    assert_int_equal(good->used, 0);
    assert_true(h.server.counters[CW_NBD_STALLED] > 0);
    harness_stop(&h);
}

static void test_bad_magic_closes(void **state)
{
    start(8, 1, 8);
    harness_negotiate(&h, false);
    memset(bytes, 'x', 28);
    harness_feed(&h, bytes, 28, SIZE_MAX);
    turn();
    assert_int_equal(h.connection->state, CW_NBD_FREE);
    assert_int_equal(cw_counter_read(&h.server.counters[CW_NBD_BAD_MAGIC]), 1);
    harness_stop(&h);
}

static void test_deadlines(void **state)
{
    start(8, 2, 8);
    struct cw_nbd_connection *slow = h.connection;
    turn(); /* greeted, the deadline is set */
    turn();
    assert_true(cw_nbd_deadline_ns(&h.server) == h.now_ns + 10 * CW_SECOND);
    harness_connect(&h);
    harness_negotiate(&h, false);
    h.now_ns += 10 * CW_SECOND;
    turn();
    assert_int_equal(slow->state, CW_NBD_FREE);
    assert_int_equal(h.connection->state, CW_NBD_HEADER);
    h.memory.is_deferred = true; /* the engine never answers; a client that left is not waited for */
    say(0, CW_NBD_CMD_FLUSH, 1, 0, 0);
    say(0, CW_NBD_CMD_DISC, 2, 0, 0);
    turn();
    turn();
    assert_int_equal(h.connection->state, CW_NBD_FINISHING);
    h.now_ns += 5 * CW_SECOND;
    turn();
    assert_int_equal(h.connection->state, CW_NBD_CLOSING);
    harness_stop(&h);
}

static void test_long_trim_goes_in_parts(void **state)
{
    harness_start(
        &h, &(struct harness_options){
                .size = 5ull << 30, .block_size = 512, .slices = 4, .connections_max = 1, .requests_max = 8});
    harness_connect(&h);
    harness_negotiate(&h, false);
    for (uint32_t deferred = 0; deferred < 2; deferred++) {
        h.memory.is_deferred = deferred;
        h.memory.submitted = h.memory.fua = h.memory.trimmed = 0;
        say(CW_NBD_CMD_FLAG_FUA, CW_NBD_CMD_TRIM, 1, 512, 0xfffffe00u);
        uint32_t turns = 0;
        do {
            cw_memory_complete(&h.memory, 1, 0, CW_OK);
            turn();
        } while (h.sent_length == 0 && ++turns < 10);
        expect_simple(0, 1, 0);
        assert_int_equal(h.memory.submitted, 4);
        assert_int_equal(h.memory.trimmed, 0xfffffe00u);
        assert_int_equal(h.memory.fua, 1);
    }
    say(0, CW_NBD_CMD_TRIM, 2, 0, 2u << 30); /* the second part finds no room, then fails */
    h.memory.submit_room = 0;
    cw_memory_complete(&h.memory, 1, 0, CW_OK);
    turn();
    assert_int_equal(h.memory.outstanding, 0);
    h.memory.submit_room = 8;
    h.memory.has_changed = true;
    turn();
    assert_int_equal(h.memory.outstanding, 1);
    cw_memory_complete(&h.memory, 1, 0, CW_IO);
    turn();
    expect_simple(0, 2, CW_NBD_EIO);
    harness_stop(&h);
}

static void test_block_status(void **state)
{
    start(8, 1, 8);
    harness_negotiate(&h, true);
    write_bytes(1, 8192, 4096, 7, SIZE_MAX);
    turn();
    say(0, CW_NBD_CMD_BLOCK_STATUS, 2, 0, 65536);
    turn();
    assert_int_equal(h.sent_length, 20 + 4 + 3 * 8);
    assert_int_equal(cw_load16be(h.sent + 6), CW_NBD_CHUNK_BLOCK_STATUS);
    const uint32_t expected[] = {8192, 3, 4096, 0, 65536 - 12288, 3};
    for (size_t i = 0; i < CW_COUNT_OF(expected); i++)
        assert_int_equal(cw_load32be(h.sent + 24 + 4 * i), expected[i]);
    say(CW_NBD_CMD_FLAG_REQ_ONE, CW_NBD_CMD_BLOCK_STATUS, 3, 8192, 65536);
    turn();
    assert_int_equal(h.sent_length, 20 + 4 + 8);
    assert_int_equal(cw_load32be(h.sent + 24), 4096);
    harness_stop(&h);
}

static void test_options_sent_ahead(void **state)
{
    start(8, 1, 8);
    cw_store32be(bytes, 3);
    size_t length = 4;
    for (uint32_t i = 0; i < 5000; i++)
        length += harness_put_option(bytes + length, CW_NBD_OPT_LIST, NULL, 0);
    for (size_t done = 0; done < length;) {
        size_t taken = harness_feed(&h, bytes + done, length - done, SIZE_MAX);
        done += taken;
        turn();
        assert_true(taken > 0 || done < length);
    }
    assert_int_equal(h.connection->state, CW_NBD_HANDSHAKE);
    harness_stop(&h);
}

static void test_uri(void **state)
{
    start(8, 1, 8);
    char uri[CW_NBD_URI_BYTES];
    cw_nbd_export_uri(&h.server, &h.memory.volume, uri, sizeof uri);
    assert_string_equal(uri, "nbd+unix:///memory?socket=");
    harness_stop(&h);
    cw_nbd_export_uri(&h.server, &h.memory.volume, uri, sizeof uri);
    assert_string_equal(uri, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read_back),
        cmocka_unit_test(test_structured_read_and_errors),
        cmocka_unit_test(test_nothing_is_nothing),
        cmocka_unit_test(test_refused_writes_are_drained),
        cmocka_unit_test(test_slots_are_bounded),
        cmocka_unit_test(test_buffers_first_come_first_served),
        cmocka_unit_test(test_who_leaves_the_queue_frees_it),
        cmocka_unit_test(test_room_of_the_engine),
        cmocka_unit_test(test_shutdown_closes_unanswered),
        cmocka_unit_test(test_refused_by_submit),
        cmocka_unit_test(test_export_removed),
        cmocka_unit_test(test_gone_in_mid_request),
        cmocka_unit_test(test_bytes_are_bounded),
        cmocka_unit_test(test_deaf_client_is_cut_when_others_wait),
        cmocka_unit_test(test_deaf_clients_leave_something),
        cmocka_unit_test(test_deaf_client_beyond_its_share),
        cmocka_unit_test(test_31_deaf_clients),
        cmocka_unit_test(test_silent_writers_are_cut),
        cmocka_unit_test(test_bad_magic_closes),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_long_trim_goes_in_parts),
        cmocka_unit_test(test_block_status),
        cmocka_unit_test(test_options_sent_ahead),
        cmocka_unit_test(test_uri),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
