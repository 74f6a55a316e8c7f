/* SPDX-License-Identifier: BSD-3-Clause */
/* Good inputs of fuzz_nbd.c: lives made of well-formed options and requests with odd numbers in them. */
#include <string.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "frontend/nbd_protocol.h"
#include "fuzz.h"
#include "harness.h"

const size_t cw_fuzz_input_max = 65536;

static uint8_t *input;
static size_t length;

/* A client's bytes, wrapped as the input's format wants them. */
static void add_client(const uint8_t *bytes, size_t count)
{
    while (count > 0 && length + 65 < cw_fuzz_input_max) {
        size_t piece = CW_MIN(count, 64u);
        input[length++] = (uint8_t)(piece - 1);
        memcpy(input + length, bytes, piece);
        length += piece;
        bytes += piece;
        count -= piece;
    }
}

static void add_event(struct cw_rng *rng)
{
    if (length + 2 > cw_fuzz_input_max)
        return;
    input[length++] = (uint8_t)(192 + cw_rng_below(rng, 64));
    input[length++] = (uint8_t)cw_rng_next(rng);
}

static void add_option(struct cw_rng *rng)
{
    uint8_t bytes[512];
    static const char contexts[] = "\0\0\0\6memory\0\0\0\1\0\0\0\17base:allocation";
    switch (cw_rng_below(rng, 4)) {
    case 0:
        add_client(bytes, harness_put_go(bytes, (uint32_t)cw_rng_below(rng, 12), "memory"));
        return;
    case 1:
        add_client(bytes, harness_put_option(bytes, (uint32_t)(9 + cw_rng_below(rng, 2)), contexts,
                                             sizeof contexts - 1));
        return;
    default:
        add_client(bytes, harness_put_option(bytes, (uint32_t)cw_rng_below(rng, 12), NULL, 0));
        return;
    }
}

static void add_request(struct cw_rng *rng)
{
    static const uint32_t lengths[] = {0,      512,    512,    4096, 4096,     8192,
                                       131072, 132096, 524288, 700,  5u << 20, UINT32_MAX};
    static uint8_t payload[8192];
    uint8_t bytes[CW_NBD_REQUEST_BYTES];
    uint16_t flags = cw_rng_chance(rng, 300000) ? (uint16_t)cw_rng_below(rng, 64) : 0;
    uint16_t type = (uint16_t)cw_rng_below(rng, 9);
    if (type == CW_NBD_CMD_DISC && !cw_rng_chance(rng, 100000))
        type = CW_NBD_CMD_WRITE;
    uint32_t data = lengths[cw_rng_below(rng, CW_COUNT_OF(lengths))];
    uint64_t offset = cw_rng_below(rng, 140) * (cw_rng_chance(rng, 900000) ? 4096 : 511);
    add_client(bytes, harness_put_request(bytes, flags, type, cw_rng_next(rng), offset, data));
    if (type == CW_NBD_CMD_WRITE)
        for (uint32_t left = CW_MIN(data, 20000u); left > 0; left -= CW_MIN(left, (uint32_t)sizeof payload))
            add_client(payload, CW_MIN(left, (uint32_t)sizeof payload));
}

static void add_flags(void)
{
    add_client((const uint8_t *)"\0\0\0\3", 4);
}

static void compose(struct cw_rng *rng)
{
    length = 0;
    uint8_t settings = (uint8_t)cw_rng_next(rng);
    input[length++] = settings;
    if ((settings & 3) < 2)
        add_flags();
    uint64_t steps = 1 + cw_rng_below(rng, 60);
    for (uint64_t i = 0; i < steps; i++) {
        if (cw_rng_chance(rng, 300000))
            add_event(rng);
        else if ((settings & 3) < 2 && i < steps / 2)
            add_option(rng);
        else
            add_request(rng);
    }
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    input = data;
    compose(rng);
    return length;
}
