/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

struct cw_link_item {
    uint64_t at_ns;
    uint64_t order;
    uint8_t *bytes;
    size_t length;
};

void cw_link_init(struct cw_link *link, const struct cw_link_config *config, uint64_t seed)
{
    *link = (struct cw_link){.config = *config, .rng = {seed}};
}

void cw_link_clear(struct cw_link *link)
{
    for (size_t i = 0; i < link->count; i++)
        free(link->items[i].bytes);
    link->count = 0;
}

void cw_link_fini(struct cw_link *link)
{
    cw_link_clear(link);
    free(link->items);
    *link = (struct cw_link){0};
}

static bool is_before(const struct cw_link_item *a, const struct cw_link_item *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void swap(struct cw_link_item *a, struct cw_link_item *b)
{
    struct cw_link_item c = *a;
    *a = *b;
    *b = c;
}

static void heap_add(struct cw_link *link, struct cw_link_item item)
{
    if (link->count == link->room) {
        link->room = CW_MAX(2 * link->room, 64);
        link->items = realloc(link->items, link->room * sizeof *link->items);
        CW_ASSERT(link->items != NULL);
    }
    size_t i = link->count++;
    link->items[i] = item;
    for (; i > 0 && is_before(&link->items[i], &link->items[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&link->items[i], &link->items[(i - 1) / 2]);
}

static struct cw_link_item heap_take(struct cw_link *link)
{
    struct cw_link_item first = link->items[0];
    link->items[0] = link->items[--link->count];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < link->count; child++)
            if (is_before(&link->items[child], &link->items[least]))
                least = child;
        if (least == i)
            return first;
        swap(&link->items[i], &link->items[least]);
        i = least;
    }
}

static bool is_lost(struct cw_link *link, uint64_t now_ns)
{
    const struct cw_link_config *config = &link->config;
    if (config->hole_period_ns && now_ns % config->hole_period_ns < config->hole_ns)
        return true;
    if (now_ns > link->burst_end_ns)
        link->burst_left = 0;
    if (link->burst_left == 0 && config->burst_per_million &&
        cw_rng_chance(&link->rng, config->burst_per_million)) {
        link->burst_left = 1 + (uint32_t)cw_rng_below(&link->rng, 2ull * config->burst_length);
        link->burst_end_ns = now_ns + CW_LINK_BURST_NS;
    }
    if (link->burst_left > 0) {
        link->burst_left--;
        return true;
    }
    return cw_rng_chance(&link->rng, config->loss_per_million);
}

static void put(struct cw_link *link, const uint8_t *bytes, size_t length, uint64_t at_ns)
{
    struct cw_link_item item = {
        .at_ns = at_ns, .order = link->order++, .bytes = malloc(length + 1), .length = length};
    CW_ASSERT(item.bytes != NULL);
    memcpy(item.bytes, bytes, length);
    if (length > 0 && cw_rng_chance(&link->rng, link->config.corrupt_per_million)) {
        uint64_t bit = cw_rng_below(&link->rng, 8 * length);
        item.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    if (length > 0 && cw_rng_chance(&link->rng, link->config.truncate_per_million))
        item.length = cw_rng_below(&link->rng, length);
    heap_add(link, item);
}

void cw_link_push(struct cw_link *link, const uint8_t *bytes, size_t length, uint64_t now_ns)
{
    const struct cw_link_config *config = &link->config;
    uint64_t start_ns = CW_MAX(now_ns, link->free_ns);
    bool is_full = config->queue_ns && start_ns - now_ns > config->queue_ns;
    bool is_too_long = config->mtu > 0 && length > config->mtu;
    if (is_lost(link, now_ns) || is_full || is_too_long) {
        link->dropped++;
        return;
    }
    if (config->rate_bytes_per_second)
        link->free_ns = start_ns += length * CW_SECOND / config->rate_bytes_per_second;
    uint32_t copies = 1 + (uint32_t)cw_rng_chance(&link->rng, config->duplicate_per_million);
    for (uint32_t i = 0; i < copies; i++) {
        uint64_t at_ns = start_ns + config->delay_ns;
        if (config->jitter_ns)
            at_ns += cw_rng_below(&link->rng, config->jitter_ns);
        if (config->late_per_million && cw_rng_chance(&link->rng, config->late_per_million))
            at_ns += config->late_ns;
        put(link, bytes, length, at_ns);
    }
}

uint64_t cw_link_next_ns(const struct cw_link *link)
{
    return link->count ? link->items[0].at_ns : UINT64_MAX;
}

size_t cw_link_pop(struct cw_link *link, uint8_t *bytes, uint64_t now_ns)
{
    if (cw_link_next_ns(link) > now_ns)
        return SIZE_MAX;
    struct cw_link_item item = heap_take(link);
    memcpy(bytes, item.bytes, item.length);
    free(item.bytes);
    link->delivered++;
    return item.length;
}
