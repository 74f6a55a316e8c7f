/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The neighbour's states by the clock, and host.c's frames: golden questions and answers of ARP, neighbour
 * discovery and echo, what is refused, what is limited, and who may change what we believe.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "base/rng.h"
#include "io/checksum.h"
#include "io/host.h"

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, its_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t other_mac[6] = {2, 0, 0, 0, 0, 3};
static const uint8_t our_v6[16] = {0xfd, [15] = 1}, its_v6[16] = {0xfd, [12] = 0xaa, 0xbb, 0xcc, 2};

static struct cw_host host;
static uint8_t reply[1600];
static size_t reply_length;

static void start(uint8_t version, uint16_t vlan)
{
    struct cw_host_config config = {.vlan = vlan,
                                    .ip = version == 4 ? cw_ip_v4(0x0a000001) : cw_ip_v6(our_v6),
                                    .next_hop = version == 4 ? cw_ip_v4(0x0a000002) : cw_ip_v6(its_v6)};
    memcpy(config.mac, our_mac, 6);
    cw_host_init(&host, &config);
}

static enum cw_host_verdict give(const uint8_t *frame, size_t length, uint64_t now_ns)
{
    uint8_t copy[1600];
    struct cw_frame_in in = {.bytes = copy, .length = length};
    memcpy(copy, frame, length);
    enum cw_host_verdict verdict = cw_host_on_frame(&host, &in, reply, 1514, &reply_length, now_ns);
    assert_memory_equal(copy, frame, length);
    assert_true((reply_length > 0) == (verdict == CW_HOST_ASKED || verdict == CW_HOST_ECHOED));
    return verdict;
}

/* ---------------------------------------------------------------- the neighbour */

static void unknown_is_asked_for_ever_more_slowly(void **state)
{
    struct cw_neighbour n;
    uint64_t expected_ns[] = {0, 250, 750, 1750, 2750, 3750};
    cw_neighbour_init(&n, NULL);
    assert_false(cw_neighbour_is_usable(&n));
    assert_false(cw_neighbour_on_answer(&n, its_mac, 0)); /* before it was asked for */
    for (unsigned i = 0; i < CW_COUNT_OF(expected_ns); i++) {
        assert_int_equal(cw_neighbour_deadline_ns(&n), expected_ns[i] * CW_MS);
        if (i > 0)
            assert_int_equal(cw_neighbour_ask(&n, expected_ns[i] * CW_MS - 1), CW_ASK_NOBODY);
        assert_int_equal(cw_neighbour_ask(&n, expected_ns[i] * CW_MS), CW_ASK_EVERYBODY);
    }
    assert_true(cw_neighbour_on_answer(&n, its_mac, 4 * CW_SECOND));
    assert_true(cw_neighbour_is_usable(&n));
    assert_memory_equal(n.mac, its_mac, 6);
    assert_int_equal(cw_neighbour_ask(&n, 33 * CW_SECOND), CW_ASK_NOBODY);
    assert_int_equal(cw_neighbour_deadline_ns(&n), 34 * CW_SECOND);
}

static uint64_t known(struct cw_neighbour *n)
{
    cw_neighbour_init(n, NULL);
    (void)cw_neighbour_ask(n, 0);
    assert_true(cw_neighbour_on_answer(n, its_mac, 0));
    return cw_neighbour_deadline_ns(n);
}

static void an_aged_one_is_checked_then_doubted_and_stays_in_use(void **state)
{
    struct cw_neighbour n;
    uint64_t now_ns = known(&n);
    for (unsigned i = 0; i < 3; i++, now_ns += 250 * CW_MS) {
        assert_int_equal(cw_neighbour_deadline_ns(&n), now_ns);
        assert_int_equal(cw_neighbour_ask(&n, now_ns), CW_ASK_NEIGHBOUR);
    }
    assert_false(cw_neighbour_on_answer(&n, other_mac, now_ns)); /* it was not asked */
    assert_int_equal(cw_neighbour_ask(&n, now_ns), CW_ASK_EVERYBODY);
    assert_true(cw_neighbour_is_usable(&n));
    assert_memory_equal(n.mac, its_mac, 6);
    assert_true(cw_neighbour_on_answer(&n, other_mac, now_ns)); /* it has moved */
    assert_memory_equal(n.mac, other_mac, 6);
    assert_int_equal(n.state, CW_NEIGHBOUR_KNOWN);
}

static void a_check_that_is_answered_begins_anew(void **state)
{
    struct cw_neighbour n;
    uint64_t now_ns = known(&n);
    assert_int_equal(cw_neighbour_ask(&n, now_ns), CW_ASK_NEIGHBOUR);
    assert_true(cw_neighbour_on_answer(&n, its_mac, now_ns));
    assert_int_equal(cw_neighbour_deadline_ns(&n), now_ns + 30 * CW_SECOND);
    assert_false(cw_neighbour_on_answer(&n, its_mac, now_ns)); /* once a question */
}

static void hints_make_it_check_not_believe(void **state)
{
    struct cw_neighbour n;
    (void)known(&n);
    cw_neighbour_on_hint(&n, its_mac, CW_SECOND);
    assert_int_equal(n.state, CW_NEIGHBOUR_KNOWN); /* nothing new */
    cw_neighbour_on_hint(&n, other_mac, CW_SECOND);
    assert_memory_equal(n.mac, its_mac, 6);
    assert_int_equal(cw_neighbour_ask(&n, CW_SECOND), CW_ASK_NEIGHBOUR);
    assert_true(cw_neighbour_on_answer(&n, its_mac, CW_SECOND));
    cw_neighbour_on_hint(&n, other_mac, 2 * CW_SECOND - 1); /* too soon */
    assert_int_equal(n.state, CW_NEIGHBOUR_KNOWN);
    cw_neighbour_on_hint(&n, other_mac, 2 * CW_SECOND);
    assert_int_equal(n.state, CW_NEIGHBOUR_CHECKED);
}

static void a_fixed_one_is_never_asked(void **state)
{
    struct cw_neighbour n;
    cw_neighbour_init(&n, its_mac);
    assert_true(cw_neighbour_is_usable(&n));
    assert_int_equal(cw_neighbour_deadline_ns(&n), CW_NEVER);
    assert_int_equal(cw_neighbour_ask(&n, 1000 * CW_SECOND), CW_ASK_NOBODY);
    assert_false(cw_neighbour_on_answer(&n, other_mac, 0));
    cw_neighbour_on_hint(&n, other_mac, 0);
    assert_memory_equal(n.mac, its_mac, 6);
}

static void a_told_one_is_never_asked_and_may_move(void **state)
{
    struct cw_neighbour n;
    cw_neighbour_init_told(&n);
    assert_false(cw_neighbour_is_usable(&n));
    assert_int_equal(cw_neighbour_deadline_ns(&n), CW_NEVER);
    assert_int_equal(cw_neighbour_ask(&n, 1000 * CW_SECOND), CW_ASK_NOBODY);
    assert_false(cw_neighbour_on_answer(&n, other_mac, 0));
    cw_neighbour_tell(&n, its_mac);
    assert_true(cw_neighbour_is_usable(&n));
    cw_neighbour_tell(&n, other_mac);
    assert_memory_equal(n.mac, other_mac, 6);
    assert_int_equal(cw_neighbour_deadline_ns(&n), CW_NEVER);
}

/* ---------------------------------------------------------------- ARP */

static const uint8_t arp_question[] = {
    /* to all, in VLAN 9: who is 10.0.0.2? */
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0,  0, 1, 0x81, 0, 0, 9, 8, 6, 0, 1,  8, 0, 6,
    4,    0,    1,    2,    0,    0,    0, 0, 1, 10, 0, 0, 1,    0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
};
static const uint8_t arp_to_us[] = {
    /* who is 10.0.0.1? 10.0.0.7 at :3 wants to know */
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0,  0, 0, 0, 3, 8, 6, 0, 1, 8, 0,  6, 4, 0,
    1,    2,    0,    0,    0,    0,    3, 10, 0, 0, 7, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1,
};
static const uint8_t arp_our_answer[] = {
    2, 0, 0, 0, 0, 3, 2, 0,  0, 0, 0, 1, 8, 6, 0, 1, 8, 0,  6, 4, 0,
    2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 2, 0, 0, 0, 0, 3, 10, 0, 0, 7,
};
static const uint8_t arp_its_answer[] = {
    2, 0, 0, 0, 0, 1, 2, 0,  0, 0, 0, 2, 8, 6, 0, 1, 8, 0,  6, 4, 0,
    2, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1,
};
enum {
    ARP_AT = 14,
    SENDER_MAC = ARP_AT + 8,
    SENDER_IP = ARP_AT + 14,
    TARGET_MAC = ARP_AT + 18,
    TARGET_IP = ARP_AT + 24
};

static void arp_is_asked_and_answered(void **state)
{
    uint8_t frame[CW_HOST_ASK_BYTES_MAX];
    start(4, 9);
    assert_int_equal(cw_host_ask(&host, frame, 0), sizeof arp_question);
    assert_memory_equal(frame, arp_question, sizeof arp_question);
    assert_int_equal(give(arp_its_answer, sizeof arp_its_answer, 0), CW_HOST_NOT_OURS); /* of no VLAN */
    start(4, 0);
    assert_int_equal(give(arp_to_us, sizeof arp_to_us, 0), CW_HOST_ASKED);
    assert_int_equal(reply_length, sizeof arp_our_answer);
    assert_memory_equal(reply, arp_our_answer, sizeof arp_our_answer);
    assert_int_equal(give(arp_its_answer, sizeof arp_its_answer, 0), CW_HOST_UNASKED);
    (void)cw_host_ask(&host, frame, 0);
    assert_int_equal(give(arp_its_answer, sizeof arp_its_answer, 0), CW_HOST_LEARNT);
    assert_memory_equal(host.neighbour.mac, its_mac, 6);
}

static void a_check_asks_the_neighbour_alone(void **state)
{
    uint8_t frame[CW_HOST_ASK_BYTES_MAX];
    start(4, 0);
    (void)cw_host_ask(&host, frame, 0);
    assert_int_equal(give(arp_its_answer, sizeof arp_its_answer, 0), CW_HOST_LEARNT);
    assert_int_equal(cw_host_deadline_ns(&host), 30 * CW_SECOND);
    assert_int_equal(cw_host_ask(&host, frame, 30 * CW_SECOND), 42);
    assert_memory_equal(frame, its_mac, 6);
}

/* Nobody but the next hop, asked and answering us, is believed; what it says unasked only makes us check. */
static void arp_announcements_are_not_believed(void **state)
{
    uint8_t frame[64], asked[CW_HOST_ASK_BYTES_MAX];
    start(4, 0);
    (void)cw_host_ask(&host, asked, 0);
    memcpy(frame, arp_its_answer, sizeof arp_its_answer);
    frame[SENDER_IP + 3] = 9; /* somebody else */
    assert_int_equal(give(frame, 42, 0), CW_HOST_NOT_OURS);
    memcpy(frame, arp_its_answer, sizeof arp_its_answer);
    frame[TARGET_IP + 3] = 9; /* to somebody else */
    assert_int_equal(give(frame, 42, 0), CW_HOST_UNASKED);
    memcpy(frame, arp_its_answer, sizeof arp_its_answer);
    frame[TARGET_MAC + 5] = 9;
    assert_int_equal(give(frame, 42, 0), CW_HOST_UNASKED);
    assert_false(cw_neighbour_is_usable(&host.neighbour));
    assert_int_equal(give(arp_its_answer, 42, 0), CW_HOST_LEARNT);
    memset(frame, 0xff, 6); /* gratuitous: to all, of itself, from another address */
    memcpy(frame + 6, other_mac, 6);
    memcpy(frame + SENDER_MAC, other_mac, 6);
    memcpy(frame + TARGET_IP, frame + SENDER_IP, 4);
    assert_int_equal(give(frame, 42, CW_SECOND), CW_HOST_UNASKED);
    assert_memory_equal(host.neighbour.mac, its_mac, 6);
    assert_int_equal(host.neighbour.state, CW_NEIGHBOUR_CHECKED);
}

static void bad_arp_is_refused(void **state)
{
    uint8_t frame[64];
    start(4, 0);
    for (size_t length = 0; length < 42; length++)
        assert_int_equal(give(arp_to_us, length, 0), length < 14 ? CW_HOST_NOT_OURS : CW_HOST_MALFORMED);
    for (unsigned at = ARP_AT; at < ARP_AT + 6; at++) { /* hardware, protocol, sizes */
        memcpy(frame, arp_to_us, 42);
        frame[at] ^= 0x10;
        assert_int_equal(give(frame, 42, 0), CW_HOST_MALFORMED);
    }
    memcpy(frame, arp_to_us, 42);
    frame[SENDER_MAC] |= 1; /* a group as the sender */
    assert_int_equal(give(frame, 42, 0), CW_HOST_MALFORMED);
    memset(frame + SENDER_MAC, 0, 6);
    assert_int_equal(give(frame, 42, 0), CW_HOST_MALFORMED);
    memcpy(frame, arp_to_us, 42);
    frame[SENDER_IP + 3] = 1; /* our address, at another place */
    assert_int_equal(give(frame, 42, 0), CW_HOST_CONFLICT);
    memcpy(frame + SENDER_MAC, our_mac, 6); /* ourselves, heard again */
    assert_int_equal(give(frame, 42, 0), CW_HOST_NOT_OURS);
    memcpy(frame, arp_to_us, 42);
    memset(frame + SENDER_IP, 0, 4); /* is it free? */
    assert_int_equal(give(frame, 42, 0), CW_HOST_ASKED);
}

static void answers_have_a_limit(void **state)
{
    unsigned answered = 0;
    start(4, 0);
    for (unsigned i = 0; i < 10000; i++) /* all at once, then at ten times the rate for a second */
        answered += give(arp_to_us, 42, 0) == CW_HOST_ASKED;
    assert_int_equal(answered, CW_HOST_ANSWERS_AT_ONCE);
    for (unsigned i = 1; i <= 5000; i++)
        answered += give(arp_to_us, 42, i * (CW_SECOND / 5000)) == CW_HOST_ASKED;
    assert_in_range(answered, CW_HOST_ANSWERS_PER_SECOND,
                    CW_HOST_ANSWERS_PER_SECOND + CW_HOST_ANSWERS_AT_ONCE);
}

/* ---------------------------------------------------------------- neighbour discovery */

/* Word by word, as RFC 4443 section 2.3 has it. */
static uint16_t icmpv6_checksum(const uint8_t *frame)
{
    uint32_t length = cw_load16be(frame + 18), sum = length + 58;
    for (unsigned at = 22; at < 54 + length; at += 2)
        if (at != 56)
            sum += at + 1 < 54 + length ? cw_load16be(frame + at) : (uint32_t)frame[at] << 8;
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void mend(uint8_t *frame)
{
    cw_store16be(frame + 56, icmpv6_checksum(frame));
}

static const uint8_t nd_question[] = {
    /* to the group of fd00::aabb:cc02 */
    0x33, 0x33, 0xff, 0xbb, 0xcc, 0x02, 2, 0, 0,    0, 0, 1, 0x86, 0xdd, 0x60, 0,    0,    0,
    0,    32,   58,   255,  0xfd, 0,    0, 0, 0,    0, 0, 0, 0,    0,    0,    0,    0,    0,
    0,    1,    0xff, 2,    0,    0,    0, 0, 0,    0, 0, 0, 0,    1,    0xff, 0xbb, 0xcc, 2,
    135,  0,    0x3a, 0x1f, 0,    0,    0, 0, 0xfd, 0, 0, 0, 0,    0,    0,    0,    0,    0,
    0,    0,    0xaa, 0xbb, 0xcc, 2,    1, 1, 2,    0, 0, 0, 0,    1,
};
static const uint8_t nd_its_answer[] = {
    2,    0, 0, 0, 0, 1, 2, 0, 0,    0,    0,    2, 0x86, 0xdd, 0x60, 0, 0,    0, 0,    32, 58, 255,
    0xfd, 0, 0, 0, 0, 0, 0, 0, 0,    0,    0,    0, 0xaa, 0xbb, 0xcc, 2, 0xfd, 0, 0,    0,  0,  0,
    0,    0, 0, 0, 0, 0, 0, 0, 0,    1,    136,  0, 0,    0,    0x60, 0, 0,    0, 0xfd, 0,  0,  0,
    0,    0, 0, 0, 0, 0, 0, 0, 0xaa, 0xbb, 0xcc, 2, 2,    1,    2,    0, 0,    0, 0,    2,
};
enum { HOPS = 21, SOURCE6 = 22, TARGET6 = 38, ICMP6 = 54, FLAGS6 = 58, ND_TARGET6 = 62, OPTION6 = 78 };

/* Our neighbour asks who fd00::1 is. */
static size_t build_solicitation(uint8_t *frame)
{
    static const uint8_t head[] = {0x33, 0x33, 0xff, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd};
    static const uint8_t group[16] = {0xff, 2, [11] = 1, 0xff, 0, 0, 1};
    memcpy(frame, nd_question, sizeof nd_question);
    memcpy(frame, head, sizeof head);
    memcpy(frame + SOURCE6, its_v6, 16);
    memcpy(frame + TARGET6, group, 16);
    memcpy(frame + ND_TARGET6, our_v6, 16);
    memcpy(frame + OPTION6 + 2, its_mac, 6);
    mend(frame);
    return sizeof nd_question;
}

static void nd_is_asked_and_answered(void **state)
{
    uint8_t frame[CW_HOST_ASK_BYTES_MAX];
    start(6, 0);
    assert_int_equal(cw_host_ask(&host, frame, 0), sizeof nd_question);
    assert_memory_equal(frame, nd_question, sizeof nd_question);
    memcpy(frame, nd_its_answer, sizeof nd_its_answer);
    mend(frame);
    assert_int_equal(give(frame, sizeof nd_its_answer, 0), CW_HOST_LEARNT);
    assert_memory_equal(host.neighbour.mac, its_mac, 6);
    size_t length = build_solicitation(frame);
    assert_int_equal(give(frame, length, 0), CW_HOST_ASKED);
    assert_int_equal(reply_length, 86);
    assert_memory_equal(reply, its_mac, 6);
    assert_memory_equal(reply + TARGET6, its_v6, 16);
    assert_memory_equal(reply + SOURCE6, our_v6, 16);
    assert_int_equal(reply[HOPS], 255);
    assert_int_equal(reply[ICMP6], 136);
    assert_int_equal(reply[FLAGS6], 0x60);
    assert_memory_equal(reply + ND_TARGET6, our_v6, 16);
    assert_int_equal(reply[OPTION6], 2);
    assert_memory_equal(reply + OPTION6 + 2, our_mac, 6);
    assert_int_equal(cw_load16be(reply + 56), icmpv6_checksum(reply));
}

/* A node that wants our address, before it has one: all are told. */
static void our_address_is_defended(void **state)
{
    static const uint8_t all[16] = {0xff, 2, [15] = 1};
    uint8_t frame[CW_HOST_ASK_BYTES_MAX];
    start(6, 0);
    size_t length = build_solicitation(frame);
    memset(frame + SOURCE6, 0, 16);
    mend(frame);
    assert_int_equal(give(frame, length, 0), CW_HOST_MALFORMED); /* with a link address: forbidden */
    cw_store16be(frame + 18, 24);
    mend(frame);
    assert_int_equal(give(frame, length - 8, 0), CW_HOST_ASKED);
    assert_memory_equal(reply + TARGET6, all, 16);
    assert_int_equal(reply[FLAGS6], 0x20);
    assert_int_equal(reply[5], 1);
}

static void bad_nd_is_refused(void **state)
{
    uint8_t good[CW_HOST_ASK_BYTES_MAX], frame[CW_HOST_ASK_BYTES_MAX];
    start(6, 0);
    size_t length = build_solicitation(good);
    for (unsigned bit = 12 * 8; bit < length * 8;
         bit++) { /* all is covered but class, label and option's bits */
        memcpy(frame, good, length);
        frame[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        bool is_free = bit / 8 >= 15 && bit / 8 < 18;
        is_free |= bit / 8 == 14 && bit % 8 < 4;
        assert_true((give(frame, length, bit * CW_SECOND) == CW_HOST_ASKED) == is_free);
    }
    static const struct {
        uint8_t at, value;
    } wrong[] = {{HOPS, 254},      {ICMP6 + 1, 1},  {OPTION6 + 1, 0}, {OPTION6 + 1, 2},
                 {OPTION6 + 2, 3}, {SOURCE6, 0xff}, {19, 23},         {ND_TARGET6, 0xff}};
    for (unsigned i = 0; i < CW_COUNT_OF(wrong); i++) {
        memcpy(frame, good, length);
        frame[wrong[i].at] = wrong[i].value;
        mend(frame);
        assert_int_equal(give(frame, length, 1000 * CW_SECOND), CW_HOST_MALFORMED);
    }
    for (size_t cut = 0; cut < length; cut++)
        assert_int_not_equal(give(good, cut, 2000 * CW_SECOND), CW_HOST_ASKED);
}

static void nd_announcements_are_not_believed(void **state)
{
    static const uint8_t all[16] = {0xff, 2, [15] = 1};
    uint8_t frame[CW_HOST_ASK_BYTES_MAX], asked[CW_HOST_ASK_BYTES_MAX];
    start(6, 0);
    (void)cw_host_ask(&host, asked, 0);
    memcpy(frame, nd_its_answer, sizeof nd_its_answer);
    frame[FLAGS6] = 0x20; /* not because it was asked */
    mend(frame);
    assert_int_equal(give(frame, 86, 0), CW_HOST_UNASKED);
    assert_false(cw_neighbour_is_usable(&host.neighbour));
    frame[FLAGS6] = 0x60;
    frame[ND_TARGET6 + 15] = 9; /* another's */
    mend(frame);
    assert_int_equal(give(frame, 86, 0), CW_HOST_NOT_OURS);
    frame[ND_TARGET6 + 15] = 2;
    mend(frame);
    assert_int_equal(give(frame, 86, 0), CW_HOST_LEARNT);
    memcpy(frame + OPTION6 + 2, other_mac, 6);
    memcpy(frame + TARGET6, all, 16);
    frame[0] = frame[1] = 0x33;
    mend(frame);
    assert_int_equal(give(frame, 86, CW_SECOND), CW_HOST_MALFORMED); /* an answer to all is none */
    frame[FLAGS6] = 0x20;
    mend(frame);
    assert_int_equal(give(frame, 86, CW_SECOND), CW_HOST_UNASKED);
    assert_memory_equal(host.neighbour.mac, its_mac, 6);
    assert_int_equal(host.neighbour.state, CW_NEIGHBOUR_CHECKED);
    assert_int_equal(cw_host_ask(&host, asked, CW_SECOND), 86); /* of it alone, and it says yes in short */
    assert_memory_equal(asked, its_mac, 6);
    memcpy(frame, nd_its_answer, sizeof nd_its_answer);
    cw_store16be(frame + 18, 24);
    mend(frame);
    assert_int_equal(give(frame, 78, CW_SECOND), CW_HOST_LEARNT);
    assert_memory_equal(host.neighbour.mac, its_mac, 6);
}

/* ---------------------------------------------------------------- echo */

static const uint8_t ping[] = {
    /* of 10.0.0.7 at :3, three bytes of data, and the padding of a short frame */
    2, 0, 0,   0,   0,    1,    2,  0, 0, 0, 0,  3, 8, 0, 0x45, 0, 0,    31,   0x12, 0x34,
    0, 0, 64,  1,   0x54, 0xa3, 10, 0, 0, 7, 10, 0, 0, 1, 8,    0, 0xdd, 0x23, 0x56, 0x78,
    0, 1, 'a', 'b', 'c',  0,    0,  0, 0, 0, 0,  0, 0, 0, 0,    0, 0,    0,    0,    0,
};
static const uint8_t pong[] = {
    2, 0,    0,    0,  0, 3, 2, 0,  0, 0, 0, 1, 8, 0,    0x45, 0,    0,    31, 0, 0,   0x40, 0,   64,
    1, 0x26, 0xd7, 10, 0, 0, 1, 10, 0, 0, 7, 0, 0, 0xe5, 0x23, 0x56, 0x78, 0,  1, 'a', 'b',  'c',
};

/* The IPv4 header's checksum and the message's, after a test changed them. */
static void mend_v4(uint8_t *frame)
{
    cw_store16be(frame + 24, 0);
    cw_store16be(frame + 24, (uint16_t)~cw_checksum_sum(frame + 14, 20));
    size_t length = cw_load16be(frame + 16) - 20u;
    cw_store16be(frame + 36, 0);
    cw_store16be(frame + 36, (uint16_t)~cw_checksum_sum(frame + 34, length));
}

static void echo_is_answered(void **state)
{
    start(4, 0);
    assert_int_equal(give(ping, sizeof ping, 0), CW_HOST_ECHOED);
    assert_int_equal(reply_length, sizeof pong);
    assert_memory_equal(reply, pong, sizeof pong);
}

static void echo_is_not_answered_to_everything(void **state)
{
    static const struct {
        uint8_t at, value;
        enum cw_host_verdict verdict;
    } wrong[] = {
        {14, 0x46, CW_HOST_NOT_OURS}, {20, 0x20, CW_HOST_NOT_OURS}, {21, 1, CW_HOST_NOT_OURS},
        {33, 2, CW_HOST_NOT_OURS},    {34, 0, CW_HOST_NOT_OURS},    {35, 1, CW_HOST_NOT_OURS},
        {26, 224, CW_HOST_MALFORMED}, {26, 0, CW_HOST_MALFORMED},   {29, 1, CW_HOST_MALFORMED},
        {0, 0xff, CW_HOST_NOT_OURS},  {5, 9, CW_HOST_NOT_OURS},     {6, 1, CW_HOST_NOT_OURS},
        {23, 17, CW_HOST_NOT_OURS},
    };
    uint8_t frame[sizeof ping];
    start(4, 0);
    for (unsigned i = 0; i < CW_COUNT_OF(wrong); i++) {
        memcpy(frame, ping, sizeof ping);
        frame[wrong[i].at] = wrong[i].value;
        mend_v4(frame);
        assert_int_equal(give(frame, sizeof frame, 0), wrong[i].verdict);
    }
    for (unsigned at = 14; at < 45; at++) { /* the header's sum, and the message's */
        memcpy(frame, ping, sizeof ping);
        frame[at] ^= 2;
        assert_int_not_equal(give(frame, sizeof frame, CW_SECOND), CW_HOST_ECHOED);
    }
    for (size_t length = 0; length < 45; length++)
        assert_int_not_equal(give(ping, length, CW_SECOND), CW_HOST_ECHOED);
    unsigned answered = 0;
    for (unsigned i = 0; i < 1000; i++)
        answered += give(ping, sizeof ping, 2 * CW_SECOND) == CW_HOST_ECHOED;
    assert_int_equal(answered, CW_HOST_ANSWERS_AT_ONCE);
}

static void echo_is_answered_in_ipv6(void **state)
{
    uint8_t frame[1514] = {0};
    start(6, 0);
    (void)build_solicitation(frame);
    memcpy(frame, our_mac, 6);
    memcpy(frame + TARGET6, our_v6, 16);
    cw_store16be(frame + 18, 1460);
    frame[HOPS] = 3;
    frame[ICMP6] = 128;
    mend(frame);
    assert_int_equal(give(frame, sizeof frame, 0), CW_HOST_ECHOED);
    assert_int_equal(reply_length, sizeof frame);
    assert_int_equal(reply[ICMP6], 129);
    assert_int_equal(cw_load16be(reply + 56), icmpv6_checksum(reply));
    assert_memory_equal(reply + SOURCE6, our_v6, 16);
    assert_memory_equal(reply + TARGET6, its_v6, 16);
    assert_memory_equal(reply + 58, frame + 58, sizeof frame - 58);
    frame[20] = 0; /* an extension header before it */
    assert_int_equal(give(frame, sizeof frame, 0), CW_HOST_NOT_OURS);
}

/* A router at :3 says that 1400 bytes is all it carries, of a datagram from our port 7400 to the peer's 7401.
 */
static size_t build_too_big(uint8_t *frame, uint8_t version)
{
    static const uint8_t router_to_us[] = {192, 0, 2, 1, 10, 0, 0, 1};
    size_t ip = version == 4 ? 20 : 40, quoted = 14 + ip + 8, length = quoted + ip + 8 + CW_HOST_QUOTED_BYTES;
    struct cw_frame_addresses addresses = {
        .local_ip = host.config.ip, .remote_ip = host.config.next_hop, .local_udp = 7400, .remote_udp = 7401};
    struct cw_frame_path path;
    uint8_t datagram[200] = {0};
    cw_frame_path_init(&path, &addresses);
    for (unsigned i = 0; i < CW_HOST_QUOTED_BYTES; i++)
        datagram[path.header_bytes + i] = (uint8_t)(0xa0 + i);
    cw_frame_finish(&path, datagram, 100);
    memset(frame, 0, length);
    memcpy(frame, our_mac, 6);
    memcpy(frame + 6, other_mac, 6);
    cw_store16be(frame + 12, version == 4 ? 0x0800 : 0x86dd);
    memcpy(frame + quoted, datagram + 14, ip + 8 + CW_HOST_QUOTED_BYTES);
    if (version == 4) {
        frame[14] = 0x45;
        cw_store16be(frame + 16, (uint16_t)(length - 14));
        frame[23] = 1;
        memcpy(frame + 26, router_to_us, sizeof router_to_us);
        frame[34] = 3;
        frame[35] = 4;
        cw_store16be(frame + 40, 1400);
        return length;
    }
    frame[14] = 0x60;
    cw_store16be(frame + 18, (uint16_t)(length - 54));
    frame[20] = 58;
    frame[SOURCE6] = 0x20;
    memcpy(frame + TARGET6, our_v6, 16);
    frame[ICMP6] = 2;
    cw_store32be(frame + 58, 1400);
    return length;
}

static enum cw_host_verdict give_mended(uint8_t *frame, size_t length, uint8_t version)
{
    if (version == 4)
        mend_v4(frame);
    else
        mend(frame);
    return give(frame, length, 0);
}

static void routers_may_speak_of_our_datagrams(void **state)
{
    for (uint8_t version = 4; version <= 6; version += 2) {
        uint8_t frame[256];
        size_t ip = version == 4 ? 20 : 40, quoted = 14 + ip + 8, length_at = version == 4 ? 16 : 18;
        start(version, 0);
        host.config.remote_ip = host.config.next_hop;
        host.config.local_udp = 7400;
        host.config.remote_udp = 7401;
        size_t length = build_too_big(frame, version);
        assert_int_equal(give_mended(frame, length, version), CW_HOST_TOO_BIG);
        assert_int_equal(host.too_big.datagram_bytes, 1400 - ip - 8);
        for (unsigned i = 0; i < CW_HOST_QUOTED_BYTES; i++)
            assert_int_equal(host.too_big.quoted[i], 0xa0 + i);
        frame[quoted + ip + 8] ^= 1; /* a wrong checksum */
        assert_int_equal(give(frame, length, 0), CW_HOST_MALFORMED);
        /* Version, protocol, target, source, both ports: another's datagram, or not as ours are. */
        const size_t wrong[] = {0, version == 4 ? 9 : 6, ip - 1, version == 4 ? 15 : 23, ip + 1, ip + 3};
        for (unsigned i = 0; i < CW_COUNT_OF(wrong); i++) {
            (void)build_too_big(frame, version);
            frame[quoted + wrong[i]] ^= 0x90;
            assert_int_equal(give_mended(frame, length, version), CW_HOST_NOT_OURS);
        }
        host.config.local_udp = 7399; /* it left from the second lane's port */
        host.config.lane_count = 2;
        (void)build_too_big(frame, version);
        assert_int_equal(give_mended(frame, length, version), CW_HOST_TOO_BIG);
        assert_int_equal(host.too_big.lane, 1);
        host.config.local_udp = 7398; /* there is no third */
        (void)build_too_big(frame, version);
        assert_int_equal(give_mended(frame, length, version), CW_HOST_NOT_OURS);
        host.config.local_udp = 7400;
        (void)build_too_big(frame, version);
        memset(frame + (version == 4 ? 40 : 58), 0, version == 4 ? 2 : 4); /* nothing fits */
        assert_int_equal(give_mended(frame, length, version), CW_HOST_MALFORMED);
        (void)build_too_big(frame, version); /* too little is quoted */
        cw_store16be(frame + length_at, (uint16_t)(cw_load16be(frame + length_at) - 1));
        assert_int_equal(give_mended(frame, length, version), CW_HOST_MALFORMED);
    }
}

static void garbage_is_never_answered(void **state)
{
    struct cw_rng rng = {.state = 3};
    uint8_t frame[136];
    for (unsigned round = 0; round < 200000; round++) {
        start(round & 1 ? 4 : 6, 0);
        size_t length = cw_rng_below(&rng, 128);
        for (size_t i = 0; i < length; i += 8)
            cw_store64le(frame + i, cw_rng_next(&rng));
        memcpy(frame, our_mac, 6);
        cw_store16be(frame + 12, round & 1 ? (round & 2 ? 0x0806 : 0x0800) : 0x86dd);
        (void)give(frame, length, 0);
        assert_int_equal(reply_length, 0);
        assert_false(cw_neighbour_is_usable(&host.neighbour));
    }
}

/* An address that the kernel has: it answers, we are silent, but for what routers say of our datagrams. */
static void the_kernel_s_address_is_left_to_it(void **state)
{
    uint8_t frame[1514] = {0};
    for (uint8_t version = 4; version <= 6; version += 2) {
        start(version, 0);
        struct cw_host_config config = host.config;
        config.is_kernel_s = true;
        config.remote_ip = config.next_hop;
        config.local_udp = 7400;
        config.remote_udp = 7401;
        cw_host_init(&host, &config);
        assert_int_equal(cw_host_ask(&host, frame, 0), 0);
        assert_int_equal(cw_host_deadline_ns(&host), CW_NEVER);
        if (version == 4) {
            assert_int_equal(give(arp_to_us, sizeof arp_to_us, 0), CW_HOST_NOT_OURS);
            assert_int_equal(give(ping, sizeof ping, 0), CW_HOST_NOT_OURS);
        } else {
            size_t length = build_solicitation(frame);
            assert_int_equal(give(frame, length, 0), CW_HOST_NOT_OURS);
            memcpy(frame, nd_its_answer, sizeof nd_its_answer);
            mend(frame);
            assert_int_equal(give(frame, sizeof nd_its_answer, 0), CW_HOST_NOT_OURS);
        }
        size_t length = build_too_big(frame, version);
        assert_int_equal(give_mended(frame, length, version), CW_HOST_TOO_BIG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_is_asked_for_ever_more_slowly),
        cmocka_unit_test(an_aged_one_is_checked_then_doubted_and_stays_in_use),
        cmocka_unit_test(a_check_that_is_answered_begins_anew),
        cmocka_unit_test(hints_make_it_check_not_believe),
        cmocka_unit_test(a_fixed_one_is_never_asked),
        cmocka_unit_test(a_told_one_is_never_asked_and_may_move),
        cmocka_unit_test(arp_is_asked_and_answered),
        cmocka_unit_test(a_check_asks_the_neighbour_alone),
        cmocka_unit_test(arp_announcements_are_not_believed),
        cmocka_unit_test(bad_arp_is_refused),
        cmocka_unit_test(answers_have_a_limit),
        cmocka_unit_test(nd_is_asked_and_answered),
        cmocka_unit_test(our_address_is_defended),
        cmocka_unit_test(bad_nd_is_refused),
        cmocka_unit_test(nd_announcements_are_not_believed),
        cmocka_unit_test(echo_is_answered),
        cmocka_unit_test(echo_is_not_answered_to_everything),
        cmocka_unit_test(echo_is_answered_in_ipv6),
        cmocka_unit_test(routers_may_speak_of_our_datagrams),
        cmocka_unit_test(garbage_is_never_answered),
        cmocka_unit_test(the_kernel_s_address_is_left_to_it),
    };
    return cmocka_run_group_tests_name("io/host", tests, NULL, NULL);
}
