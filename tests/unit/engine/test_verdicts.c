/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long a peer is believed: control_certificates.c with a TLS that says what the test tells it to, and a
 * clock that the test moves. What certificates say is judged in unit/io/tls; here it is seen that they are
 * judged whenever they have to be: at the end of a handshake, when files were read again, and as time goes
 * on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "engine/control.h"
#include "engine/control_certificates.h"
#include "engine/loops.h"
#include "io/tls.h"

#define JUDGED_EACH_S 10u /* what the READMEs say */

static _Alignas(4096) uint8_t memory[1 << 20];
static struct cw_engine engine;
#define QUESTIONS (&engine.lanes[0].questions)
#define VERDICTS  (&engine.lanes[0].verdicts)
static struct cw_control control;
static uint64_t clock_ns;
static char events[4096];
static unsigned wakes, replies;

/* ---------------------------------------------------------------- TLS, as told */

struct cw_certificates {
    int unused;
};
struct cw_tls {
    bool is_used;
};
struct cw_peer {
    bool is_used;
};

static struct cw_certificates certificates;
static struct cw_tls tls;
static struct cw_peer peers[4];
static enum cw_tls_state tls_state;
static enum cw_auth_reason verdict;

struct cw_certificates *cw_certificates_load(const char *const files[CW_FILE_COUNT], const char *site,
                                             const char *node, int64_t now,
                                             struct cw_certificate_mistake *mistake,
                                             char warning[CW_TLS_WORDS])
{
    warning[0] = 0;
    return &certificates;
}

struct cw_certificates *cw_certificates_keep_pair(const struct cw_certificates *in_use,
                                                  const char *const files[CW_FILE_COUNT], int64_t now)
{
    return NULL;
}

void cw_certificates_free(struct cw_certificates *of)
{
}

void cw_certificates_warn(const struct cw_certificates *of, int64_t now, char warning[CW_TLS_WORDS])
{
    warning[0] = 0;
}

struct cw_tls *cw_tls_begin(const struct cw_certificates *of, bool is_initiator, const char *remote_site,
                            const char *remote_node, const uint8_t context[CW_AUTH_CONTEXT_BYTES],
                            int64_t now)
{
    assert_false(tls.is_used);
    tls.is_used = true;
    return &tls;
}

void cw_tls_free(struct cw_tls *of)
{
    if (of)
        of->is_used = false;
}

enum cw_tls_state cw_tls_step(struct cw_tls *of, const uint8_t *bytes, size_t length)
{
    assert_true(of->is_used);
    return tls_state;
}

size_t cw_tls_take(struct cw_tls *of, uint8_t *bytes, size_t room)
{
    return 0;
}

void cw_tls_secret(struct cw_tls *of, uint8_t secret[CW_AUTH_SECRET_BYTES])
{
    memset(secret, 7, CW_AUTH_SECRET_BYTES);
}

struct cw_peer *cw_tls_peer(struct cw_tls *of)
{
    struct cw_peer *peer = peers;
    while (peer->is_used)
        peer++;
    assert_true(peer < peers + CW_COUNT_OF(peers));
    peer->is_used = true;
    return peer;
}

void cw_peer_free(struct cw_peer *peer)
{
    if (peer)
        peer->is_used = false;
}

const char *cw_peer_name(const struct cw_peer *peer)
{
    return "west/west";
}

enum cw_auth_reason cw_peer_judge(const struct cw_peer *peer, const struct cw_certificates *of, int64_t now,
                                  char words[CW_TLS_WORDS])
{
    assert_true(peer->is_used);
    snprintf(words, CW_TLS_WORDS, "certificate as told");
    return verdict;
}

enum cw_auth_reason cw_tls_reason(const struct cw_tls *of)
{
    return CW_AUTH_BROKEN;
}

const char *cw_tls_words(const struct cw_tls *of)
{
    return "no TLS";
}

/* ---------------------------------------------------------------- the rest of the process */

const char *const cw_config_security_keys[CW_CONFIG_SECURITY_FILES] = {"certificate", "key", "ca", "crl"};

int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    *now = (struct timespec){(time_t)(clock_ns / CW_SECOND), (long)(clock_ns % CW_SECOND)};
    return 0;
}

void cw_control_event(struct cw_control *of, uint8_t level, uint32_t group, const char *format, ...)
{
    size_t used = strlen(events);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(events + used, sizeof events - used, format, arguments);
    va_end(arguments);
}

void cw_loops_wake_net(struct cw_engine *of, uint32_t lane)
{
    wakes++;
}

void cw_call_refuse(struct cw_call *call, enum cw_status status, const char *format, ...)
{
    fail();
}

void cw_call_reply(struct cw_call *call, json_t *result)
{
    replies++;
}

/* ---------------------------------------------------------------- what tests are made of */

static int before_each(void **state)
{
    struct cw_arena arena;
    char why[CW_WHY_SIZE];
    struct cw_node_config *config = &engine.config;
    cw_arena_init(&arena, memory, sizeof memory);
    memset(&control, 0, sizeof control);
    control.engine = &engine;
    control.controller = 1;
    cw_ring_init(QUESTIONS, &arena, CW_AUTH_RING, sizeof(struct cw_net_question));
    cw_ring_init(VERDICTS, &arena, CW_AUTH_RING, sizeof(struct cw_net_verdict));
    config->security.has_certificates = true;
    config->lane_count = config->path_count = config->peer_count = config->peers[0].path_count = 1;
    snprintf(config->paths[0].name, sizeof config->paths[0].name, "wan0");
    snprintf(config->paths[0].remote, sizeof config->paths[0].remote, "west");
    clock_ns = 1000 * CW_SECOND;
    tls_state = CW_TLS_WORKING;
    verdict = CW_AUTH_NO_REASON;
    events[0] = 0;
    wakes = replies = 0;
    assert_int_equal(cw_auth_start(&control, why, sizeof why), CW_OK);
    cw_auth_turn(&control);
    return 0;
}

static int after_each(void **state)
{
    cw_auth_end(&control);
    assert_false(tls.is_used);
    for (unsigned i = 0; i < CW_COUNT_OF(peers); i++)
        assert_false(peers[i].is_used);
    return 0;
}

static void ask(uint8_t type, uint32_t attempt)
{
    struct cw_net_question question = {.request = {.type = type, .attempt = attempt, .is_initiator = true}};
    assert_true(cw_ring_push(QUESTIONS, &question));
    cw_auth_turn(&control);
}

static void expect_answer(uint8_t type, enum cw_auth_reason reason, uint32_t attempt)
{
    struct cw_net_verdict answer;
    assert_true(cw_ring_pop(VERDICTS, &answer));
    assert_int_equal(answer.answer.type, type);
    assert_int_equal(answer.answer.reason, reason);
    assert_int_equal(answer.answer.attempt, attempt);
    assert_true(wakes > 0);
}

static void expect_nothing(void)
{
    struct cw_net_verdict answer;
    assert_false(cw_ring_pop(VERDICTS, &answer));
}

/* Until the peer's session lives, by this attempt. */
static void come_up(uint32_t attempt)
{
    tls_state = CW_TLS_GOOD;
    ask(CW_AUTH_BEGIN, attempt);
    expect_answer(CW_AUTH_KEYED, CW_AUTH_NO_REASON, attempt);
    ask(CW_AUTH_UP, attempt);
    expect_nothing();
    assert_string_equal(cw_auth_peer(&control, 0), "west/west");
}

static void a_second(void)
{
    clock_ns += CW_SECOND;
    cw_auth_turn(&control);
}

/* ---------------------------------------------------------------- tests */

/* Nothing happens but that time goes on, whenever that is. */
static void who_expires_loses_his_session(void **state)
{
    for (unsigned lived = 60; lived < 60 + 2 * JUDGED_EACH_S; lived++) {
        before_each(NULL);
        come_up(5);
        for (unsigned i = 0; i < lived; i++)
            a_second();
        expect_nothing();
        verdict = CW_AUTH_EXPIRED;
        events[0] = 0;
        for (unsigned i = 0; i < JUDGED_EACH_S; i++)
            a_second();
        expect_answer(CW_AUTH_ENDED, CW_AUTH_EXPIRED, 5);
        expect_nothing();
        assert_string_equal(cw_auth_peer(&control, 0), "");
        assert_string_equal(events, "path wan0: west is refused: certificate as told; "
                                    "causeway cert renew, then copy the new files to that node");
        after_each(NULL);
    }
}

/* And who is believed, but whose session does not live yet. */
static void new_files_are_judged_by_at_once(void **state)
{
    struct cw_call call = {.control = &control};
    come_up(5);
    ask(CW_AUTH_BEGIN, 6);
    expect_answer(CW_AUTH_KEYED, CW_AUTH_NO_REASON, 6);
    verdict = CW_AUTH_REVOKED;
    cw_auth_turn(&control);
    expect_nothing();
    cw_method_certificates_reload(&call);
    assert_int_equal(replies, 1);
    assert_true(cw_auth_wait_ms(&control, 1000) < 1000);
    cw_auth_turn(&control);
    expect_answer(CW_AUTH_ENDED, CW_AUTH_REVOKED, 6);
    expect_answer(CW_AUTH_ENDED, CW_AUTH_REVOKED, 5);
    assert_non_null(strstr(events, "west is refused: certificate as told"));
    ask(CW_AUTH_UP, 6); /* said before the net lcore had heard of it */
    expect_nothing();
    assert_string_equal(cw_auth_peer(&control, 0), "");
}

/* TLS had judged the certificate, then the list came, then the end of the handshake. */
static void who_is_revoked_during_the_handshake_is_not_believed(void **state)
{
    struct cw_call call = {.control = &control};
    ask(CW_AUTH_BEGIN, 5);
    cw_method_certificates_reload(&call);
    verdict = CW_AUTH_REVOKED;
    cw_auth_turn(&control);
    expect_nothing();
    tls_state = CW_TLS_GOOD;
    ask(CW_AUTH_BYTES, 5);
    expect_answer(CW_AUTH_REFUSED, CW_AUTH_REVOKED, 5);
    expect_nothing();
    assert_non_null(strstr(events, "west is refused: certificate as told"));
    assert_false(tls.is_used);
    ask(CW_AUTH_UP, 5);
    assert_string_equal(cw_auth_peer(&control, 0), "");
}

/* More is to be said than the ring has room for: it is said later. */
static void a_ring_without_room_loses_no_end(void **state)
{
    struct cw_net_verdict filler = {.peer = 0};
    come_up(5);
    while (cw_ring_push(VERDICTS, &filler))
        ;
    verdict = CW_AUTH_EXPIRED;
    for (unsigned i = 0; i < 2 * JUDGED_EACH_S; i++)
        a_second();
    for (unsigned i = 0; i < CW_AUTH_RING; i++)
        assert_true(cw_ring_pop(VERDICTS, &filler));
    expect_nothing();
    cw_auth_turn(&control);
    expect_answer(CW_AUTH_ENDED, CW_AUTH_EXPIRED, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_expires_loses_his_session),
        cmocka_unit_test_setup_teardown(new_files_are_judged_by_at_once, before_each, after_each),
        cmocka_unit_test_setup_teardown(who_is_revoked_during_the_handshake_is_not_believed, before_each,
                                        after_each),
        cmocka_unit_test_setup_teardown(a_ring_without_room_loses_no_end, before_each, after_each),
    };
    return cmocka_run_group_tests_name("engine/verdicts", tests, NULL, NULL);
}
