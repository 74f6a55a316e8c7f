/* SPDX-License-Identifier: BSD-3-Clause */
/* See bench_micro_c.h. */
#include "bench_micro_c.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "base/ring.h"
#include "io/aead.h"
#include "transport/ack_ranges.h"

struct bench_aead {
    const struct cw_aead_ops *ops;
    void *key;
    uint8_t iv[12], aad[16], tag[16];
};

struct bench_aead *bench_aead_new(int which)
{
    static const uint8_t key[32] = {1, 2, 3};
    struct bench_aead *aead = calloc(1, sizeof *aead);
    CW_ASSERT(aead != NULL);
    aead->ops = which == 0 ? cw_aead_ipsecmb() : cw_aead_openssl();
    aead->key = aligned_alloc(64, cw_round_up(aead->ops->key_state_size, 64));
    CW_ASSERT(aead->key != NULL);
    aead->ops->key_expand(aead->key, key);
    return aead;
}

const char *bench_aead_name(const struct bench_aead *aead)
{
    return aead->ops->name;
}

void bench_aead_seal(struct bench_aead *aead, uint8_t *data, size_t length)
{
    aead->ops->seal(aead->key, data, data, length, aead->iv, aead->aad, sizeof aead->aad, aead->tag);
}

bool bench_aead_open(struct bench_aead *aead, uint8_t *plain, const uint8_t *cipher, size_t length)
{
    return aead->ops->open(aead->key, plain, cipher, length, aead->iv, aead->aad, sizeof aead->aad,
                           aead->tag);
}

void bench_aead_free(struct bench_aead *aead)
{
    free(aead->key);
    free(aead);
}

struct bench_ring {
    struct cw_ring ring;
    uint8_t element[64];
    void *memory;
};

struct bench_ring *bench_ring_new(void)
{
    struct cw_arena arena;
    struct bench_ring *bench = aligned_alloc(64, cw_round_up(sizeof *bench, 64));
    CW_ASSERT(bench != NULL);
    memset(bench, 0, sizeof *bench);
    bench->memory = aligned_alloc(4096, 131072);
    CW_ASSERT(bench->memory != NULL);
    cw_arena_init(&arena, bench->memory, 131072);
    cw_ring_init(&bench->ring, &arena, 1024, sizeof bench->element);
    return bench;
}

void bench_ring_push_pop(struct bench_ring *bench)
{
    bool ok = cw_ring_push(&bench->ring, bench->element);
    ok = cw_ring_pop(&bench->ring, bench->element) && ok;
    CW_ASSERT(ok);
}

void bench_ring_free(struct bench_ring *bench)
{
    free(bench->memory);
    free(bench);
}

struct bench_acks {
    struct cw_ack_ranges ranges;
    uint64_t number;
};

struct bench_acks *bench_acks_new(void)
{
    struct bench_acks *acks = calloc(1, sizeof *acks);
    CW_ASSERT(acks != NULL);
    cw_ack_ranges_reset(&acks->ranges);
    return acks;
}

void bench_acks_receive(struct bench_acks *acks, uint32_t lost_each)
{
    struct cw_ack ack;
    for (uint32_t i = 0; i < 64; i++) {
        acks->number += 1 + (lost_each > 0 && acks->number % lost_each == 0);
        cw_ack_ranges_add(&acks->ranges, acks->number, true, acks->number);
    }
    bool is_due = cw_ack_ranges_take(&acks->ranges, &ack, acks->number);
    CW_ASSERT(is_due);
}

void bench_acks_free(struct bench_acks *acks)
{
    free(acks);
}
