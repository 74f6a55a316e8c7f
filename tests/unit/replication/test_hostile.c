/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages that no sound peer sends: of a site that has the keys, and whose program is another one, or
 * broken. One seed decides what sites do and which messages between them are changed, doubled or made up; all
 * of these decode. What such a site does to the data is its own matter. Here it is only asked that nobody's
 * assert ends a process.
 *
 * test_replication_hostile FIRST COUNT: so many seeds from that one on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/rng.h"
#include "pair.h"

#define COMMON_BYTES 32u
#define RECORD_AT    (COMMON_BYTES + 8u)
#define CHECKED      60u

static struct cw_rng rng;
static uint8_t nothing[CW_RECORD_PAYLOAD_MAX];

static bool one_in(uint32_t n)
{
    return cw_rng_below(&rng, n) == 0;
}

/* Numbers near those that are there, and at the ends of what a number can be. */
static uint64_t odd_number(uint64_t was)
{
    static const uint64_t odd[] = {0,
                                   1,
                                   2,
                                   511,
                                   512,
                                   4096,
                                   1ull << 31,
                                   1ull << 32,
                                   1ull << 62,
                                   1ull << 63,
                                   UINT64_MAX - 1,
                                   UINT64_MAX,
                                   UINT64_MAX - 511};
    switch (cw_rng_below(&rng, 4)) {
    case 0:
        return odd[cw_rng_below(&rng, CW_COUNT_OF(odd))];
    case 1:
        return was + cw_rng_below(&rng, 9) - 4;
    case 2:
        return was + cw_rng_below(&rng, 2000) - 1000;
    default:
        return cw_rng_below(&rng, 300);
    }
}

static void change(struct pair_message *m)
{
    uint32_t words = (m->head_length - 8) / 4, at = 8 + 4 * (uint32_t)cw_rng_below(&rng, words ? words : 1);

    if (one_in(8)) {
        m->head[one_in(2) ? 3 : 0] ^= (uint8_t)(1u << cw_rng_below(&rng, 4)); /* flags, type */
    } else if (at + 8 <= m->head_length && !one_in(4)) {
        cw_store64le(m->head + at, odd_number(cw_load64le(m->head + at)));
    } else if (at + 4 <= m->head_length) {
        cw_store32le(m->head + at, (uint32_t)odd_number(cw_load32le(m->head + at)));
    }
    if (m->head[0] == CW_MSG_RECORD && m->head_length >= RECORD_AT + CW_RECORD_HEADER_SIZE)
        cw_store32le(m->head + RECORD_AT + CHECKED, (uint32_t)cw_hash64(m->head + RECORD_AT, CHECKED));
}

/* A copy of this message with something changed, beside it; false: it would not decode. */
static bool send_changed(struct pair *p, const struct pair_message *of)
{
    struct pair_message *m = malloc(sizeof *m);
    struct cw_message decoded;

    CW_ASSERT(m);
    *m = *of;
    m->next = NULL;
    m->tag = 0;
    m->body = nothing;
    for (uint64_t times = 1 + cw_rng_below(&rng, 3); times > 0; times--)
        change(m);
    cw_store64le(m->head + 24, cw_load64le(of->head + 24) + cw_rng_below(&rng, 3)); /* serial */
    m->body_length = 0;
    enum cw_message_error error = cw_message_decode(m->head, m->head_length, 0, &decoded);
    if (error == CW_MESSAGE_BAD_BODY) {
        m->body_length = cw_message_body_length(&decoded);
        error = cw_message_decode(m->head, m->head_length, m->body_length, &decoded);
        if (error == CW_MESSAGE_OK && decoded.type == CW_MSG_RECORD && !one_in(4)) {
            cw_store64le(m->head + RECORD_AT + 48, cw_hash64(nothing, m->body_length));
            cw_store32le(m->head + RECORD_AT + CHECKED, (uint32_t)cw_hash64(m->head + RECORD_AT, CHECKED));
        } else if (error == CW_MESSAGE_OK && decoded.type == CW_MSG_COPY_CHUNK && !one_in(4)) {
            cw_store64le(m->head + COMMON_BYTES + 32, cw_hash64(nothing, m->body_length));
        }
    }
    if (error != CW_MESSAGE_OK || decoded.from_site != m->from) {
        free(m);
        return false;
    }
    if (getenv("PAIR_TELL"))
        printf("[%8.3f ms] %c -> %c: %s, epoch %llu\n", (double)p->now_ns / 1e6, 'A' + m->from, 'A' + m->to,
               cw_message_type_name(decoded.type), (unsigned long long)decoded.epoch);
    *p->messages_end = m;
    p->messages_end = &m->next;
    return true;
}

static uint32_t change_some(struct pair *p, uint32_t each)
{
    uint32_t count = 0;

    for (struct pair_message *m = p->messages; m; m = m->next) {
        if (count > 64)
            break;
        if (one_in(each))
            count += send_changed(p, m);
    }
    return count;
}

static void act(struct pair *p)
{
    uint8_t a = (uint8_t)cw_rng_below(&rng, p->site_count), b = (uint8_t)((a + 1) % p->site_count);
    bool is_open = p->sites[a].is_alive && p->sites[a].group->role == CW_ROLE_PRIMARY;

    switch (cw_rng_below(&rng, 40)) {
    case 0:
        if (p->sites[a].is_alive)
            pair_kill(p, a, one_in(2) ? CW_DEVICE_POWER_FAILS : CW_DEVICE_PROCESS_DIES);
        return;
    case 1:
        pair_link(p, a, b, !p->is_linked[a][b]);
        return;
    case 2:
    case 3:
        if (is_open)
            (void)!cw_group_resync(p->sites[a].group, b);
        return;
    case 4:
        if (p->sites[a].is_alive && p->sites[a].group->role != CW_ROLE_DOWN)
            pair_open(p, a, one_in(2));
        return;
    default:
        if (is_open && p->request_count < PAIR_REQUESTS_MAX - 8)
            for (uint32_t i = 0; i < 4 && p->sites[a].group->role == CW_ROLE_PRIMARY; i++)
                pair_write(p, a, (uint32_t)cw_rng_below(&rng, PAIR_BLOCKS), (uint8_t)cw_rng_next(&rng),
                           one_in(4));
    }
}

static uint32_t run(uint64_t seed)
{
    static struct pair pair;
    uint32_t changed = 0;

    rng = (struct cw_rng){.state = seed};
    static const enum cw_mode modes[] = {CW_MODE_SYNC, CW_MODE_ASYNC, CW_MODE_SEMI_SYNC,
                                         CW_MODE_NETWORK_SYNC};
    pair_init(&pair, one_in(3) ? 3 : 2, modes[cw_rng_below(&rng, 4)]);
    pair_open(&pair, 0, false);
    uint32_t each = 1u << cw_rng_below(&rng, 7);
    for (uint32_t turn = 0; turn < 1500; turn++) {
        for (uint8_t a = 0; a < pair.site_count; a++)
            if (!pair.sites[a].is_alive && one_in(20))
                pair_start(&pair, a);
        if (one_in(4))
            act(&pair);
        changed += change_some(&pair, each);
        pair_turn(&pair);
    }
    pair_fini(&pair);
    return changed;
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1,
             count = argc > 2 ? strtoull(argv[2], NULL, 10) : 200;
    uint64_t changed = 0;

    for (uint64_t seed = first; seed < first + count; seed++) {
        if (argc > 3)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        changed += run(seed);
    }
    printf("%llu seeds, %llu hostile messages\n", (unsigned long long)count, (unsigned long long)changed);
    return 0;
}
