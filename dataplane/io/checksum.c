/* SPDX-License-Identifier: BSD-3-Clause */
/* See checksum.h. */
#include "io/checksum.h"

#include <endian.h>

typedef uint64_t pair __attribute__((vector_size(16)));

#define STEP 64u

static inline pair load(const uint8_t *from)
{
    pair value;
    memcpy(&value, from, sizeof value);
    return value;
}

/* Of each 64-bit word the halves are added to sums of their own, which cannot overflow. */
uint16_t cw_checksum_sum(const uint8_t *bytes, size_t length)
{
    const pair mask = {0xffffffffu, 0xffffffffu};
    pair low = {0}, high = {0};
    uint32_t word;
    for (; length >= STEP; length -= STEP, bytes += STEP) {
        pair a = load(bytes), b = load(bytes + 16), c = load(bytes + 32), d = load(bytes + 48);
        low += ((a & mask) + (b & mask)) + ((c & mask) + (d & mask));
        high += ((a >> 32) + (b >> 32)) + ((c >> 32) + (d >> 32));
    }
    uint64_t sum = low[0] + low[1] + high[0] + high[1];
    for (; length >= sizeof word; length -= sizeof word, bytes += sizeof word) {
        memcpy(&word, bytes, sizeof word);
        sum += word;
    }
    word = 0;
    memcpy(&word, bytes, length);
    return be16toh(cw_checksum_fold(sum + word)); /* summed as the machine reads, which may swap each word */
}
