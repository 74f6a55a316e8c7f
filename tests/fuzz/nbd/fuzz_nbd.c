/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What can a client do to the server? The input is a client's bytes mixed with what may happen meanwhile:
 * completions in any order and with any status, a hang-up, another connection, the export removed and added
 * again. Whatever comes: no assert, nothing out of bounds, and in the end every buffer and slot is back.
 *
 *   byte 0: bits 0-1 how the talk begins (raw, negotiated, negotiated with structured replies), bit 2
 *           completions deferred, bits 3-5 size of the pieces that arrive, bit 6 blocks of 4096
 *   then:   c < 192: c % 64 + 1 bytes of the client follow; else an event, see on_event
 */
#include <stddef.h>
#include <stdint.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "fuzz.h"
#include "harness.h"

#define FEED_PATIENCE 4u

static struct harness h;

static void on_event(const uint8_t *argument, uint8_t event)
{
    static const enum cw_status statuses[] = {CW_OK,      CW_OK,       CW_OK,       CW_IO,
                                              CW_CORRUPT, CW_SHUTDOWN, CW_NO_SPACE, CW_OK};
    char why[128];
    switch (event % 8) {
    case 0:
    case 1:
    case 2:
        cw_memory_complete(&h.memory, 1 + event / 8 % 4, *argument, statuses[*argument % 8]);
        break;
    case 3:
        harness_turn(&h, SIZE_MAX);
        break;
    case 4:
        harness_hang_up(&h);
        break;
    case 5:
        if (!harness_connect(&h))
            h.connection = &h.server.connections[*argument % h.server.config.connections_max];
        break;
    case 6:
        h.now_ns += (uint64_t)*argument * CW_SECOND / 16;
        h.memory.submit_room = *argument % 5;
        h.memory.has_changed = true;
        break;
    case 7:
        if (*argument % 4 == 0)
            cw_nbd_export_remove(&h.server, &h.memory.volume);
        else if (cw_nbd_export_is_gone(&h.server, &h.memory.volume))
            (void)!cw_nbd_export_add(&h.server, &h.memory.volume, "/none", 0600, (gid_t)-1, why, sizeof why);
        break;
    }
}

static void feed(const uint8_t *bytes, size_t length, size_t piece)
{
    for (uint32_t tries = 0; length > 0 && tries < FEED_PATIENCE; tries++) {
        size_t taken = harness_feed(&h, bytes, length, piece);
        bytes += taken;
        length -= taken;
        harness_turn(&h, piece);
    }
}

static void begin(uint8_t settings)
{
    harness_start(&h, &(struct harness_options){.size = 128 * 4096,
                                                .block_size = settings & 0x40 ? 4096 : 512,
                                                .slices = 40,
                                                .connections_max = 3,
                                                .requests_max = 4});
    harness_connect(&h);
    if ((settings & 3) >= 2)
        harness_negotiate(&h, (settings & 3) == 3);
    h.memory.is_deferred = settings & 4;
}

int cw_fuzz_one(const uint8_t *bytes, size_t length)
{
    if (length == 0 || length > cw_fuzz_input_max)
        return 0;
    static const size_t pieces[] = {SIZE_MAX, 1, 3, 28, 100, 4096, 65536, SIZE_MAX};
    size_t piece = pieces[bytes[0] >> 3 & 7];
    begin(bytes[0]);
    size_t at = 1;
    while (at < length) {
        uint8_t control = bytes[at++];
        if (control < 192) {
            size_t count = CW_MIN(control % 64 + 1u, length - at);
            feed(bytes + at, count, piece);
            at += count;
        } else {
            uint8_t argument = at < length ? bytes[at++] : 0;
            on_event(&argument, control);
        }
    }
    h.memory.submit_room = CW_MEMORY_PENDING_MAX;
    h.memory.has_changed = true;
    harness_stop(&h);
    return 0;
}
