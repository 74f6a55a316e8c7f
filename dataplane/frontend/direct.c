/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buckets are log-linear in fixed arrays: adding is a shift and an add. Each 512 bytes written differ from
 * all others, so that nothing is saved by finding equals, and every byte is written, since a buffer holds
 * what another volume's client left there; real noise would cost more than what is measured.
 *
 * The first error stops the load: figures of a failing volume would mean nothing.
 */
#include "frontend/direct.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/numbers.h"

/* ---- histogram ---- */

static uint32_t bucket_of(uint64_t ns)
{
    if (ns < 2u << CW_DIRECT_BUCKET_BITS)
        return (uint32_t)ns;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(ns) - CW_DIRECT_BUCKET_BITS;
    uint64_t bucket = ((uint64_t)shift << CW_DIRECT_BUCKET_BITS) + (ns >> shift);
    return (uint32_t)CW_MIN(bucket, CW_DIRECT_BUCKETS - 1);
}

/* The largest value that falls into a bucket. */
static uint64_t bucket_end(uint32_t bucket)
{
    if (bucket < 2u << CW_DIRECT_BUCKET_BITS)
        return bucket;
    uint32_t shift = (bucket >> CW_DIRECT_BUCKET_BITS) - 1;
    uint64_t mantissa = bucket - ((uint64_t)shift << CW_DIRECT_BUCKET_BITS);
    return ((mantissa + 1) << shift) - 1;
}

void cw_direct_histogram_add(struct cw_direct_histogram *histogram, uint64_t ns)
{
    histogram->min_ns = histogram->count == 0 ? ns : CW_MIN(histogram->min_ns, ns);
    histogram->max_ns = CW_MAX(histogram->max_ns, ns);
    histogram->count++;
    histogram->sum_ns += ns;
    histogram->buckets[bucket_of(ns)]++;
}

uint64_t cw_direct_quantile_ns(const struct cw_direct_histogram *histogram, uint32_t per_million)
{
    CW_ASSERT(per_million <= 1000000);
    if (histogram->count == 0)
        return 0;
    uint64_t wanted = (uint64_t)(((unsigned __int128)histogram->count * per_million + 999999) / 1000000);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < CW_DIRECT_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && seen >= wanted)
            return CW_MIN(bucket_end(i), histogram->max_ns);
    }
    return histogram->max_ns;
}

/* ---- the load ---- */

static void on_complete(struct cw_block_request *block, enum cw_status status);

static enum cw_status check(const struct cw_direct_config *config, const struct cw_block_volume *volume,
                            char *why, size_t why_size)
{
    const char *words = NULL;
    uint64_t span = config->span ? config->span : volume->size;
    if (config->size == 0 || config->size > CW_REQUEST_BYTES_MAX || config->size % volume->block_size != 0)
        words = "size must be whole blocks, up to 4 MiB";
    else if (config->depth == 0 || config->depth > CW_DIRECT_DEPTH_MAX)
        words = "depth must be 1 to 256";
    else if (config->write_percent > 100)
        words = "write percentage above 100";
    else if (span > volume->size || span < config->size)
        words = "span must hold a request and lie within the volume";
    else if (config->count == 0 && config->duration_ns == 0)
        words = "neither a count nor a duration";
    if (words == NULL)
        return CW_OK;
    snprintf(why, why_size, "%s", words);
    return CW_INVALID;
}

static bool is_over(const struct cw_direct *direct, uint64_t now_ns)
{
    if (direct->is_stopping)
        return true;
    if (direct->config.count > 0 && direct->begun >= direct->config.count)
        return true;
    return direct->config.duration_ns > 0 && now_ns - direct->started_ns >= direct->config.duration_ns;
}

static uint64_t pick_offset(struct cw_direct *direct)
{
    uint64_t places = direct->config.span / direct->config.size;
    if (!direct->config.is_sequential)
        return cw_rng_below(&direct->rng, places) * direct->config.size;
    uint64_t offset = direct->next_offset;
    direct->next_offset = (offset / direct->config.size + 1) % places * direct->config.size;
    return offset;
}

/* What the slot will do. */
static void prepare(struct cw_direct *direct, struct cw_direct_slot *slot, uint64_t now_ns)
{
    struct cw_block_request *block = &slot->block;
    const struct cw_direct_config *config = &direct->config;
    *block = (struct cw_block_request){.on_complete = on_complete};
    slot->begun_ns = now_ns;
    slot->is_prepared = true;
    direct->begun++;
    if (config->flush_every > 0 && direct->since_flush++ == config->flush_every) {
        direct->since_flush = 0;
        block->op = CW_BLOCK_FLUSH;
        return;
    }
    bool is_write = cw_rng_below(&direct->rng, 100) < config->write_percent;
    block->op = is_write ? CW_BLOCK_WRITE : CW_BLOCK_READ;
    block->fua = is_write && config->fua;
    block->offset = pick_offset(direct);
    block->length = config->size;
}

static void fill(struct cw_direct *direct, struct cw_block_request *block)
{
    for (uint32_t i = 0; i < block->slice_count; i++) {
        const struct cw_slice *slice = &block->slices[i];
        CW_ASSERT(slice->length % CW_BLOCK_SIZE_MIN == 0);
        for (uint32_t at = 0; at < slice->length; at += 8) {
            direct->pattern += at % CW_BLOCK_SIZE_MIN == 0;
            cw_store64le(slice->data + at, direct->pattern + ((uint64_t)at << 48));
        }
    }
}

/* CW_AGAIN: as before; anything else: the slot is the engine's or failed. */
static enum cw_status attempt(struct cw_direct *direct, struct cw_direct_slot *slot)
{
    const struct cw_block_ops *ops = direct->volume->ops;
    if (slot->block.op != CW_BLOCK_FLUSH && !slot->has_buffers) {
        enum cw_status status = ops->buffers_take(direct->volume, &slot->block);
        if (status != CW_OK)
            return status;
        slot->has_buffers = true;
        if (slot->block.op == CW_BLOCK_WRITE)
            fill(direct, &slot->block);
    }
    bool had_buffers = slot->has_buffers;
    if (slot->block.op == CW_BLOCK_WRITE)
        slot->has_buffers = false; /* the engine's; it may answer before submit returns */
    direct->in_flight++;
    enum cw_status status = ops->submit(direct->volume, &slot->block);
    if (status != CW_OK) {
        direct->in_flight--;
        slot->has_buffers = had_buffers;
    }
    return status;
}

static void rest(struct cw_direct *direct, struct cw_direct_slot *slot)
{
    if (slot->has_buffers)
        direct->volume->ops->buffers_give(direct->volume, &slot->block);
    slot->has_buffers = slot->is_prepared = false;
    slot->next = direct->idle;
    direct->idle = slot;
}

static void fail(struct cw_direct *direct, enum cw_status status)
{
    if (direct->stats.errors++ == 0)
        direct->stats.first_error = status;
    direct->is_stopping = true;
}

static struct cw_direct_histogram *histogram_of(struct cw_direct *direct, uint8_t op)
{
    if (op == CW_BLOCK_READ)
        return &direct->stats.read;
    return op == CW_BLOCK_WRITE ? &direct->stats.write : &direct->stats.flush;
}

static void on_complete(struct cw_block_request *block, enum cw_status status)
{
    struct cw_direct_slot *slot = CW_CONTAINER_OF(block, struct cw_direct_slot, block);
    struct cw_direct *direct = slot->direct;
    CW_ASSERT(direct->in_flight > 0);
    direct->in_flight--;
    uint64_t now_ns = direct->now(direct->context);
    direct->stats.elapsed_ns = now_ns - direct->started_ns;
    if (status == CW_OK) {
        direct->stats.ops++;
        direct->stats.bytes += block->length;
        cw_direct_histogram_add(histogram_of(direct, block->op), now_ns - slot->begun_ns);
    } else {
        fail(direct, status);
    }
    rest(direct, slot);
}

/* The next slot to try: one that waits, or a fresh one while there is time. */
static struct cw_direct_slot *next_slot(struct cw_direct *direct)
{
    struct cw_direct_slot *slot = direct->waiting_first;
    if (slot) {
        direct->waiting_first = slot->next;
        if (slot->next == NULL)
            direct->waiting_last = NULL;
        return slot;
    }
    slot = direct->idle;
    uint64_t now_ns = direct->now(direct->context);
    if (slot == NULL || is_over(direct, now_ns))
        return NULL;
    direct->idle = slot->next;
    prepare(direct, slot, now_ns);
    return slot;
}

static void wait_first(struct cw_direct *direct, struct cw_direct_slot *slot)
{
    slot->next = direct->waiting_first;
    direct->waiting_first = slot;
    if (direct->waiting_last == NULL)
        direct->waiting_last = slot;
    direct->is_full = true;
    direct->stats.waits++;
}

/* A slot that waits when the load stops has not happened. */
static void drop_waiting(struct cw_direct *direct)
{
    while (direct->waiting_first) {
        struct cw_direct_slot *slot = direct->waiting_first;
        direct->waiting_first = slot->next;
        rest(direct, slot);
    }
    direct->waiting_last = NULL;
}

bool cw_direct_step(struct cw_direct *direct)
{
    bool has_submitted = false;
    if (direct->is_stopping)
        drop_waiting(direct);
    /* At most depth a turn: with a back end that completes at once there would be no end. */
    for (uint32_t i = 0; i < direct->config.depth && !direct->is_full; i++) {
        struct cw_direct_slot *slot = next_slot(direct);
        if (slot == NULL)
            break;
        enum cw_status status = attempt(direct, slot);
        has_submitted |= status == CW_OK;
        if (status == CW_AGAIN) {
            wait_first(direct, slot);
        } else if (status != CW_OK) {
            fail(direct, status);
            rest(direct, slot);
        }
    }
    return has_submitted;
}

void cw_direct_on_room(struct cw_direct *direct)
{
    direct->is_full = false;
    (void)cw_direct_step(direct);
}

void cw_direct_stop(struct cw_direct *direct)
{
    direct->is_stopping = true;
    drop_waiting(direct);
}

bool cw_direct_is_done(const struct cw_direct *direct)
{
    return direct->in_flight == 0 && direct->waiting_first == NULL &&
           is_over(direct, direct->now(direct->context));
}

const struct cw_direct_stats *cw_direct_stats(const struct cw_direct *direct)
{
    return &direct->stats;
}

enum cw_status cw_direct_start(struct cw_direct *direct, struct cw_block_volume *volume,
                               const struct cw_direct_config *config, uint64_t (*now)(void *context),
                               void *context, char *why, size_t why_size)
{
    enum cw_status status = check(config, volume, why, why_size);
    if (status != CW_OK)
        return status;
    memset(direct, 0, sizeof *direct);
    direct->config = *config;
    direct->config.span = config->span ? config->span : volume->size;
    direct->volume = volume;
    direct->now = now;
    direct->context = context;
    direct->rng.state = config->seed;
    direct->pattern = cw_rng_next(&direct->rng);
    direct->started_ns = now(context);
    for (uint32_t i = config->depth; i > 0; i--) {
        direct->slots[i - 1].direct = direct;
        direct->slots[i - 1].next = direct->idle;
        direct->idle = &direct->slots[i - 1];
    }
    (void)cw_direct_step(direct);
    return CW_OK;
}
