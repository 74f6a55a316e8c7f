/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON-RPC: what is a message and what is not, lines in pieces, limits, a real socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/numbers.h"
#include "control/rpc.h"
#include "control/words.h"

static const struct {
    const char *line;
    enum cw_rpc_next next;
    enum cw_rpc_kind kind;
} lines_table[] = {
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}", CW_RPC_NEXT_MESSAGE, CW_RPC_CALL},
    {"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"a\",\"params\":{}}", CW_RPC_NEXT_MESSAGE, CW_RPC_CALL},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":{}}", CW_RPC_NEXT_MESSAGE, CW_RPC_NOTE},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", CW_RPC_NEXT_MESSAGE, CW_RPC_RESULT},
    {"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1}}", CW_RPC_NEXT_MESSAGE, CW_RPC_ERROR},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":[1]}", CW_RPC_NEXT_NOT_RPC, 0},
    {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"a\"}", CW_RPC_NEXT_NOT_RPC, 0},
    {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"a\"}", CW_RPC_NEXT_NOT_RPC, 0},
    {"{\"id\":1,\"method\":\"a\"}", CW_RPC_NEXT_NOT_RPC, 0},
    {"{\"jsonrpc\":\"2.0\",\"id\":1}", CW_RPC_NEXT_NOT_RPC, 0},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":\"x\"}", CW_RPC_NEXT_NOT_RPC, 0},
    {"[1,2]", CW_RPC_NEXT_NOT_RPC, 0},
    {"GET / HTTP/1.1", CW_RPC_NEXT_NOT_JSON, 0},
    {"{\"a\":1,\"a\":2}", CW_RPC_NEXT_NOT_JSON, 0},
    {"\xff\xfe", CW_RPC_NEXT_NOT_JSON, 0},
};

static void test_messages(void **state)
{
    for (size_t i = 0; i < CW_COUNT_OF(lines_table); i++) {
        struct cw_rpc_lines lines = {0};
        struct cw_rpc_message message;
        const char *line = lines_table[i].line;
        /* Byte by byte: nothing comes before the end of the line. */
        for (size_t k = 0; k < strlen(line); k++) {
            assert_true(cw_rpc_lines_push(&lines, line + k, 1));
            assert_int_equal(cw_rpc_lines_next(&lines, &message), CW_RPC_NEXT_NONE);
        }
        assert_true(cw_rpc_lines_push(&lines, "\n", 1));
        enum cw_rpc_next next = cw_rpc_lines_next(&lines, &message);
        if (next != lines_table[i].next || message.kind != lines_table[i].kind)
            fail_msg("row %zu: %d %d", i, next, message.kind);
        json_decref(message.whole);
        assert_int_equal(cw_rpc_lines_next(&lines, &message), CW_RPC_NEXT_NONE);
        cw_rpc_lines_free(&lines);
    }
}

static void test_several_lines(void **state)
{
    static const char text[] =
        "\n{\"jsonrpc\":\"2.0\",\"method\":\"a\"}\n{\"jsonrpc\":\"2.0\",\"method\":\"b\"}\n{\"json";
    struct cw_rpc_lines lines = {0};
    struct cw_rpc_message message;
    assert_true(cw_rpc_lines_push(&lines, text, sizeof text - 1));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cw_rpc_lines_next(&lines, &message), CW_RPC_NEXT_MESSAGE);
        assert_string_equal(message.method, i ? "b" : "a");
        json_decref(message.whole);
    }
    assert_int_equal(cw_rpc_lines_next(&lines, &message), CW_RPC_NEXT_NONE);
    cw_rpc_lines_free(&lines);
}

static void test_too_long(void **state)
{
    static char block[65536];
    struct cw_rpc_lines lines = {0};
    struct cw_rpc_message message;
    memset(block, 'x', sizeof block);
    for (size_t sent = 0; sent <= CW_RPC_LINE_MAX; sent += sizeof block) {
        assert_int_equal(cw_rpc_lines_next(&lines, &message), CW_RPC_NEXT_NONE);
        assert_true(cw_rpc_lines_push(&lines, block, sizeof block));
    }
    assert_int_equal(cw_rpc_lines_next(&lines, &message), CW_RPC_NEXT_TOO_LONG);
    while (cw_rpc_lines_push(&lines, block, sizeof block))
        assert_true(lines.used <= 2 * (size_t)CW_RPC_LINE_MAX);
    cw_rpc_lines_free(&lines);
}

/* What one waits for an answer on takes lines that are longer, in any pieces; and gives the memory back. */
static void test_long_answer(void **state)
{
    enum { PIECE = 5000 };
    struct cw_rpc_lines lines = {.line_max = CW_RPC_ANSWER_MAX};
    struct cw_rpc_message message;
    char *text = malloc(CW_RPC_ANSWER_MAX + 2);
    int head = snprintf(text, 100, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":\"");
    memset(text + head, 'x', CW_RPC_ANSWER_MAX - (size_t)head);
    memcpy(text + CW_RPC_ANSWER_MAX - 3, "\"}}\n", 4);
    for (size_t at = 0; at <= CW_RPC_ANSWER_MAX; at += PIECE) {
        size_t left = CW_RPC_ANSWER_MAX + 1 - at;
        assert_int_equal(cw_rpc_lines_next(&lines, &message), CW_RPC_NEXT_NONE);
        assert_true(cw_rpc_lines_push(&lines, text + at, left < PIECE ? left : PIECE));
    }
    assert_int_equal(cw_rpc_lines_next(&lines, &message), CW_RPC_NEXT_MESSAGE);
    assert_int_equal(message.kind, CW_RPC_RESULT);
    json_decref(message.whole);
    assert_int_equal(cw_rpc_lines_next(&lines, &message), CW_RPC_NEXT_NONE);
    assert_true(lines.size <= CW_RPC_KEPT_MAX);
    cw_rpc_lines_free(&lines);
    free(text);
}

/* An answer that is too long is one that says so; what is asked and too long is not sent at all. */
static void test_too_long_to_send(void **state)
{
    int pair[2];
    struct cw_rpc_connection one, other;
    struct cw_rpc_message message;
    char *text = malloc(CW_RPC_ANSWER_MAX + 1);
    memset(text, 'x', CW_RPC_ANSWER_MAX);
    text[CW_RPC_ANSWER_MAX] = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cw_rpc_connection_start(&one, pair[0]);
    cw_rpc_connection_start(&other, pair[1]);
    json_t *id = json_integer(7);
    assert_true(cw_rpc_connection_send(&one, cw_rpc_result(id, json_pack("{s:s}", "a", text))));
    assert_true(cw_rpc_connection_read(&other));
    assert_int_equal(cw_rpc_lines_next(&other.in, &message), CW_RPC_NEXT_MESSAGE);
    assert_int_equal(message.kind, CW_RPC_ERROR);
    assert_int_equal(json_integer_value(message.id), 7);
    assert_non_null(strstr(cw_json_text(message.error, "message", ""), "ask for less"));
    json_decref(message.whole);
    assert_false(cw_rpc_connection_send(&one, cw_rpc_call(8, "m", json_pack("{s:s}", "a", text))));
    json_decref(id);
    free(text);
    cw_rpc_connection_close(&one);
    cw_rpc_connection_close(&other);
}

static void test_sockets(void **state)
{
    char path[64] = "/tmp/cw-test-rpc-XXXXXX", name[80], longer[200];
    struct stat about;
    assert_non_null(mkdtemp(path));
    snprintf(name, sizeof name, "%s/s", path);
    memset(longer, 'a', sizeof longer);
    longer[0] = '/';
    longer[sizeof longer - 1] = 0;
    assert_int_equal(cw_rpc_listen(longer, 0600, (gid_t)-1), -1);
    int fd = cw_rpc_listen(name, 0660, (gid_t)-1);
    assert_true(fd >= 0);
    assert_int_equal(stat(name, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0660);
    assert_int_equal(cw_rpc_listen(name, 0600, (gid_t)-1), -1); /* somebody listens */
    close(fd);
    fd = cw_rpc_listen(name, 0600, (gid_t)-1); /* a dead left-over is replaced */
    assert_true(fd >= 0);
    close(fd);
    unlink(name);
    FILE *file = fopen(name, "we");
    fclose(file);
    assert_int_equal(cw_rpc_listen(name, 0600, (gid_t)-1), -1); /* not a socket: not ours */
    unlink(name);
    rmdir(path);
}

/* A peer that never reads: what waits for it is bounded, and then it is given up. */
static void test_slow_reader(void **state)
{
    int pair[2];
    struct cw_rpc_connection connection;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    cw_rpc_connection_start(&connection, pair[0]);
    static char text[60000];
    memset(text, 'x', sizeof text - 1);
    int sent = 0;
    while (cw_rpc_connection_send(&connection, cw_rpc_note("event", json_pack("{s:s}", "text", text))) &&
           sent < 1000)
        sent++;
    assert_in_range(sent, CW_RPC_OUT_MAX / sizeof text / 2, CW_RPC_OUT_MAX / sizeof text * 2);
    cw_rpc_connection_close(&connection);
    close(pair[1]);
}

static void test_identities(void **state)
{
    struct cw_set set, back;
    json_t *good = json_loads("[{\"site\":\"west\",\"boot_id\":\"b\"},{\"site\":\"east\"}]", 0, NULL);
    json_t *twice = json_loads("[{\"site\":\"west\"},{\"site\":\"west\"}]", 0, NULL);
    json_t *nameless = json_loads("[{\"boot_id\":\"x\"}]", 0, NULL);
    assert_true(cw_set_from_json(good, &set));
    assert_string_equal(set.list[0].site, "east");
    char *text = cw_set_to_text(&set);
    assert_true(cw_set_from_text(text, &back));
    assert_true(cw_set_equal(&set, &back));
    free(text);
    assert_false(cw_set_from_json(twice, &set));
    assert_false(cw_set_from_json(nameless, &set));
    assert_false(cw_set_from_text("{", &set));
    json_decref(good);
    json_decref(twice);
    json_decref(nameless);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),         cmocka_unit_test(test_several_lines),
        cmocka_unit_test(test_too_long),         cmocka_unit_test(test_long_answer),
        cmocka_unit_test(test_too_long_to_send), cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_slow_reader),      cmocka_unit_test(test_identities)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
