/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/inflight.h"

#include <stdalign.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

#define RING_OF_SENT    2u /* items a packet */
#define NUMBERS_OF_SENT 4u
#define WORD_BITS       64u
#define BURSTS_MIN      WORD_BITS
#define ITEMS_MIN       (4u * CW_SENT_OF_BURST)
#define LOST_ENTRIES    (CW_LOST_REMEMBERED + 1)
#define KIND_BITS       4u
static_assert(CW_SENT_CONTROL < 1u << KIND_BITS, "a kind and a lane share a byte");
static_assert(CW_SENT_OF_BURST == 32, "a bit a number");

/* ---- life -------------------------------------------------------------------------------------------- */

static void empty(struct cw_inflight *f)
{
    f->oldest = f->next_burst = f->oldest_item = f->next_item = 0;
    f->next_number = 1;
    f->outstanding_count = f->lost_count = 0;
    f->lost_first = f->lost_last = CW_LOST_NONE;
    f->lost_free = 0;
    for (uint32_t i = 0; i < LOST_ENTRIES && f->lost; i++)
        f->lost[i] = (struct cw_lost){.next = i + 1 < LOST_ENTRIES ? i + 1 : CW_LOST_NONE};
}

void cw_inflight_init(struct cw_inflight *f, struct cw_arena *arena, uint32_t packets)
{
    CW_ASSERT(cw_is_power_of_two(packets));
    uint32_t items = CW_MAX(RING_OF_SENT * packets, ITEMS_MIN);
    uint32_t bursts = CW_MAX(NUMBERS_OF_SENT * packets / CW_SENT_OF_BURST, BURSTS_MIN);
    f->bursts = cw_arena_take(arena, bursts * sizeof *f->bursts, 64);
    f->items = cw_arena_take(arena, items * sizeof *f->items, 64);
    f->busy = cw_arena_take(arena, bursts / WORD_BITS * sizeof *f->busy, alignof(uint64_t));
    f->lost = cw_arena_take(arena, LOST_ENTRIES * sizeof *f->lost, 64);
    f->burst_mask = bursts - 1;
    f->item_mask = items - 1;
    empty(f);
}

void cw_inflight_reset(struct cw_inflight *f)
{
    memset(f->bursts, 0, (f->burst_mask + 1ull) * sizeof *f->bursts);
    memset(f->busy, 0, (f->burst_mask + 1ull) / WORD_BITS * sizeof *f->busy);
    empty(f);
}

static struct cw_sent_burst *burst_at(const struct cw_inflight *f, uint32_t burst)
{
    return &f->bursts[burst & f->burst_mask];
}

static uint64_t *busy_of(const struct cw_inflight *f, uint32_t burst)
{
    return &f->busy[(burst & f->burst_mask) / WORD_BITS];
}

static uint64_t busy_bit(uint32_t burst)
{
    return 1ull << burst % WORD_BITS;
}

static uint32_t bits(uint32_t set)
{
    return (uint32_t)__builtin_popcount(set);
}

static uint32_t lowest_bit(uint32_t set)
{
    return (uint32_t)__builtin_ctz(set);
}

bool cw_inflight_is_valid(const struct cw_inflight *f)
{
    uint32_t outstanding = 0, lost = 0;
    uint64_t above = 0;
    for (uint32_t i = f->oldest; i != f->next_burst; i++) {
        const struct cw_sent_burst *burst = burst_at(f, i);
        bool is_busy = *busy_of(f, i) & busy_bit(i), is_last = i + 1 == f->next_burst;
        uint32_t next_item = is_last ? f->next_item : burst_at(f, i + 1)->item;
        if (burst->first < above || is_busy != (burst->outstanding != 0) ||
            (burst->outstanding & ~burst->wanted) || next_item - burst->item != bits(burst->wanted))
            return false;
        outstanding += bits(burst->outstanding);
        above = burst->first + 32 - (uint32_t)__builtin_clz(burst->wanted);
    }
    for (const struct cw_lost *l = cw_inflight_oldest_lost(f); l; l = cw_inflight_lost_after(f, l))
        lost += l->is_taken;
    return above <= f->next_number && outstanding == f->outstanding_count && lost == f->lost_count &&
           (f->oldest == f->next_burst ||
            (burst_at(f, f->oldest)->outstanding != 0 && burst_at(f, f->oldest)->item == f->oldest_item));
}

/* ---- outstanding ------------------------------------------------------------------------------------- */

static uint32_t item_of(const struct cw_sent_burst *burst, uint32_t bit)
{
    return burst->item + bits(burst->wanted & ((1u << bit) - 1));
}

/* The burst that the next number belongs to: the newest, or a new one. */
static struct cw_sent_burst *burst_for(struct cw_inflight *f, uint64_t now_ns)
{
    struct cw_sent_burst *newest = burst_at(f, f->next_burst - 1);
    if (newest->wanted != 0) {
        CW_ASSERT(now_ns >= newest->sent_ns);
        if (f->next_number - newest->first < CW_SENT_OF_BURST && now_ns - newest->sent_ns <= UINT32_MAX)
            return newest;
    }
    newest = burst_at(f, f->next_burst++);
    newest->first = f->next_number;
    newest->sent_ns = now_ns;
    newest->wanted = newest->outstanding = 0;
    newest->item = f->next_item;
    return newest;
}

static inline void oldest_is(struct cw_inflight *f, uint32_t burst)
{
    f->oldest = burst;
    f->oldest_item = burst == f->next_burst ? f->next_item : burst_at(f, burst)->item;
}

void cw_inflight_add(struct cw_inflight *f, struct cw_sent *sent)
{
    CW_ASSERT(cw_inflight_has_room(f));
    uint64_t number = f->next_number, now_ns = sent->sent_ns;
    struct cw_sent_burst *burst = burst_for(f, now_ns);
    uint32_t at = f->next_burst - 1, bit = (uint32_t)(number - burst->first);
    if (burst->outstanding == 0) {
        *busy_of(f, at) |= busy_bit(at);
        if (f->outstanding_count == 0)
            oldest_is(f, at);
    }
    burst->wanted |= 1u << bit;
    burst->outstanding |= 1u << bit;
    burst->kinds[bit] = (uint8_t)(sent->kind | sent->fec_lane << KIND_BITS);
    f->items[f->next_item++ & f->item_mask] = (struct cw_sent_item){
        .reference = sent->message,
        .after_ns = (uint32_t)(now_ns - burst->sent_ns),
        .detail = sent->fragment,
        .bytes = sent->bytes,
    };
    f->outstanding_count++;
    f->next_number = number + 1;
    sent->number = number;
    sent->burst = at;
}

void cw_inflight_protect_newest(struct cw_inflight *f, uint8_t fec_lane)
{
    struct cw_sent_burst *burst = burst_at(f, f->next_burst - 1);
    uint32_t bit = (uint32_t)(f->next_number - 1 - burst->first);
    CW_ASSERT(bit < CW_SENT_OF_BURST);
    CW_ASSERT(burst->outstanding >> bit & 1 && "it was added before it is protected");
    burst->kinds[bit] = (uint8_t)((burst->kinds[bit] & ((1u << KIND_BITS) - 1)) | fec_lane << KIND_BITS);
}

static inline void unpack(const struct cw_inflight *f, uint32_t at, uint32_t bit, struct cw_sent *sent)
{
    const struct cw_sent_burst *burst = burst_at(f, at);
    const struct cw_sent_item *item = &f->items[item_of(burst, bit) & f->item_mask];
    uint8_t kind = burst->kinds[bit];
    sent->number = burst->first + bit;
    sent->sent_ns = burst->sent_ns + item->after_ns;
    sent->message = item->reference;
    sent->fragment = item->detail;
    sent->kind = kind & ((1u << KIND_BITS) - 1);
    sent->fec_lane = kind >> KIND_BITS;
    sent->bytes = item->bytes;
    sent->burst = at;
}

bool cw_inflight_oldest(const struct cw_inflight *f, struct cw_sent *sent)
{
    if (f->oldest == f->next_burst)
        return false;
    unpack(f, f->oldest, lowest_bit(burst_at(f, f->oldest)->outstanding), sent);
    return true;
}

/* The first burst from this one on of which something is outstanding; next_burst when there is none. */
static uint32_t busy_from(const struct cw_inflight *f, uint32_t burst)
{
    while (burst != f->next_burst) {
        uint32_t ahead = f->next_burst - burst, bit = burst % WORD_BITS;
        uint64_t word = *busy_of(f, burst) >> bit;
        uint32_t step = word ? (uint32_t)__builtin_ctzll(word) : WORD_BITS - bit;
        if (step >= ahead) /* beyond are those of the last round of the ring */
            return f->next_burst;
        burst += step;
        if (word)
            return burst;
    }
    return burst;
}

/* The last of those from the oldest on that begins at or below this number; the oldest, when none does. */
static uint32_t burst_of(const struct cw_inflight *f, uint64_t number)
{
    uint32_t low = f->oldest, count = f->next_burst - f->oldest;
    if (count > 1 && burst_at(f, low + 1)->first > number)
        return low;
    while (count > 1) {
        uint32_t half = count / 2;
        bool is_above = burst_at(f, low + half)->first > number;
        low = is_above ? low : low + half;
        count = is_above ? half : count - half;
    }
    return low;
}

/* The bits of the numbers from this one on. */
static uint32_t bits_from(const struct cw_sent_burst *burst, uint64_t number)
{
    if (number <= burst->first)
        return UINT32_MAX;
    uint64_t bit = number - burst->first;
    return bit < CW_SENT_OF_BURST ? UINT32_MAX << bit : 0;
}

bool cw_inflight_find(const struct cw_inflight *f, uint64_t number, struct cw_sent *sent)
{
    struct cw_sent_walk walk;
    cw_inflight_walk(f, number, number, &walk);
    return cw_inflight_next(f, &walk, sent);
}

void cw_inflight_walk(const struct cw_inflight *f, uint64_t first, uint64_t last, struct cw_sent_walk *walk)
{
    *walk = (struct cw_sent_walk){.last = last, .burst = f->oldest};
    if (f->oldest == f->next_burst)
        return;
    if (first > burst_at(f, f->oldest)->first)
        walk->burst = burst_of(f, first);
    const struct cw_sent_burst *burst = burst_at(f, walk->burst);
    walk->left = burst->outstanding & bits_from(burst, first);
}

/* Of an ack's packets one after another: inlined, and no more looked up than once. */
static inline struct cw_sent_burst *step(const struct cw_inflight *f, struct cw_sent_walk *walk,
                                         struct cw_sent *sent)
{
    while (walk->left == 0) {
        if (walk->burst == f->next_burst)
            return NULL;
        walk->burst = busy_from(f, walk->burst + 1);
        if (walk->burst == f->next_burst)
            return NULL;
        walk->left = burst_at(f, walk->burst)->outstanding;
    }
    uint32_t at = walk->burst, bit = lowest_bit(walk->left);
    struct cw_sent_burst *burst = burst_at(f, at);
    if (burst->first + bit > walk->last)
        return NULL;
    walk->left &= walk->left - 1;
    unpack(f, at, bit, sent);
    return burst;
}

static inline void drop(struct cw_inflight *f, struct cw_sent_burst *burst, uint32_t at, uint32_t bit)
{
    uint32_t left = burst->outstanding & ~(1u << bit);
    CW_ASSERT(left != burst->outstanding);
    burst->outstanding = left;
    f->outstanding_count--;
    if (left != 0)
        return;
    *busy_of(f, at) &= ~busy_bit(at);
    if (at == f->oldest)
        oldest_is(f, busy_from(f, at));
}

bool cw_inflight_next(const struct cw_inflight *f, struct cw_sent_walk *walk, struct cw_sent *sent)
{
    return step(f, walk, sent) != NULL;
}

bool cw_inflight_take(struct cw_inflight *f, struct cw_sent_walk *walk, struct cw_sent *sent)
{
    struct cw_sent_burst *burst = step(f, walk, sent);
    if (!burst)
        return false;
    drop(f, burst, walk->burst, (uint32_t)(sent->number - burst->first));
    return true;
}

void cw_inflight_drop(struct cw_inflight *f, const struct cw_sent *sent)
{
    struct cw_sent_burst *burst = burst_at(f, sent->burst);
    uint32_t bit = (uint32_t)(sent->number - burst->first);
    CW_ASSERT(bit < CW_SENT_OF_BURST);
    drop(f, burst, sent->burst, bit);
}

/* ---- lost -------------------------------------------------------------------------------------------- */

struct cw_lost *cw_inflight_lose(struct cw_inflight *f, const struct cw_sent *sent, uint64_t now_ns)
{
    CW_ASSERT(f->lost_free != CW_LOST_NONE && "more are forgotten");
    uint32_t index = f->lost_free;
    struct cw_lost *lost = &f->lost[index];
    cw_inflight_drop(f, sent);
    f->lost_free = lost->next;
    *lost = (struct cw_lost){
        .sent = *sent, .lost_ns = now_ns, .next = CW_LOST_NONE, .previous = f->lost_last, .is_taken = true};
    if (f->lost_last == CW_LOST_NONE)
        f->lost_first = index;
    else
        f->lost[f->lost_last].next = index;
    f->lost_last = index;
    f->lost_count++;
    return lost;
}

struct cw_lost *cw_inflight_find_lost(const struct cw_inflight *f, uint64_t number)
{
    uint32_t at = f->lost_last; /* what is asked for was lost of late */
    while (at != CW_LOST_NONE && f->lost[at].sent.number != number)
        at = f->lost[at].previous;
    return cw_inflight_lost_at(f, at);
}

void cw_inflight_forget(struct cw_inflight *f, struct cw_lost *lost)
{
    CW_ASSERT(lost->is_taken);
    lost->is_taken = false;
    if (lost->previous == CW_LOST_NONE)
        f->lost_first = lost->next;
    else
        f->lost[lost->previous].next = lost->next;
    if (lost->next == CW_LOST_NONE)
        f->lost_last = lost->previous;
    else
        f->lost[lost->next].previous = lost->previous;
    lost->next = f->lost_free;
    f->lost_free = (uint32_t)(lost - f->lost);
    f->lost_count--;
}
