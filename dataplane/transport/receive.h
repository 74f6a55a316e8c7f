/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receiving side's messages: fragments are put together in a buffer of their size class; a whole message
 * is handed out once; the buffer returns and with it a credit.
 *
 * Each stream has a window of message numbers, a table indexed by number: nothing seen, in assembly (which
 * buffer), or done. Its floor is the lowest number not done. So a message is delivered exactly once however
 * often and in whatever order its fragments come, and finding its buffer is one look.
 *
 *   granted - accepted = free buffers, by class, while open. So a peer that keeps to its grant always finds
 *   a buffer, and one that does not is refused before anything is taken.
 *
 * A new grant is told when the peer may have less than half of a class left, not with every release.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/pool.h"
#include "transport/frames.h"

#define CW_RECEIVE_WINDOW_MIN 256u
#define CW_RECEIVE_WINDOW_MAX 65536u

struct cw_message_in {
    struct cw_handle self;
    uint64_t number;
    uint8_t stream;
    uint8_t class;
    bool is_whole; /* handed out, waits for release */
    bool has_group;
    uint16_t head_length;
    uint16_t missing_count; /* units */
    uint32_t body_length;
    uint32_t group;
    uint64_t epoch;
    uint64_t got[CW_UNIT_WORDS];
    uint8_t head[CW_MESSAGE_HEAD_MAX];
};

struct cw_in_stream {
    uint64_t floor;
    uint32_t *table; /* window entries: CW_IN_UNSEEN, CW_IN_DONE or a place */
};

struct cw_receive {
    struct cw_pool pools[CW_CLASS_COUNT];
    uint8_t *bodies[CW_CLASS_COUNT];
    uint8_t *memory;
    size_t memory_length;
    struct cw_in_stream streams[CW_STREAM_COUNT];
    uint32_t window;
    uint32_t unit_bytes;
    bool is_open;
    bool must_advertise; /* an advertisement was lost, or there was none yet */
    uint64_t granted[CW_CLASS_COUNT];
    uint64_t accepted[CW_CLASS_COUNT];
    uint64_t advertised[CW_CLASS_COUNT];
};

enum cw_receive_result {
    CW_RECEIVE_KEPT = 0,
    CW_RECEIVE_WHOLE,
    CW_RECEIVE_DUPLICATE,
    CW_RECEIVE_BAD, /* disagrees with the session or with what came of the message before */
    CW_RECEIVE_OVER_CREDIT,
};

/* The window that serves these many buffers. */
uint32_t cw_receive_window(const uint32_t counts[CW_CLASS_COUNT]);
void cw_receive_init(struct cw_receive *receive, struct cw_arena *arena,
                     const uint32_t counts[CW_CLASS_COUNT]);
void cw_receive_open(struct cw_receive *receive, uint32_t unit_bytes);
/* Forgets everything in assembly. What was handed out stays so until released. */
void cw_receive_close(struct cw_receive *receive);

/* Copies the fragment's bytes. Fills `whole` when the message is complete. */
enum cw_receive_result cw_receive_fragment(struct cw_receive *receive, uint8_t stream, uint64_t number,
                                           const struct cw_data *data, struct cw_received *whole);
/* false: no such buffer is out. */
bool cw_receive_release(struct cw_receive *receive, uint64_t buffer);

bool cw_receive_credit_is_due(const struct cw_receive *receive);
/* The grants to tell; they count as told. */
void cw_receive_credit_take(struct cw_receive *receive, uint64_t granted[CW_CLASS_COUNT]);
void cw_receive_credit_lost(struct cw_receive *receive);
