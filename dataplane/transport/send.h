/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sending side's messages: accepted, cut into fragments, sent, acknowledged or lost fragment by
 * fragment, finished.
 *
 * Each stream has its open messages in order of number (the not yet wholly sent ones are in its tail, from
 * `unsent` on, where a path that is slower may have sent some already) and a list of those with lost
 * fragments. The next fragment is of the highest stream that has any, lost ones first, then the oldest unsent
 * message to its end. Only cw_send_skip, and a step past what has left already, look at more than one message.
 *
 * A message is open until all its fragments are acknowledged or the session goes down; its slot stays taken
 * until its SENT event has been popped, so that events are bounded by slots.
 *
 * Room for the higher streams is kept free, in slots and in credit: a quarter of either is refused to
 * resync, a sixteenth to live. So a resync that fills everything cannot hold up what is waited for.
 *
 *   open messages of class c since the session came up <= the peer's grant for c
 *   number of the next message - number of the oldest open one < the peer's window
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/pool.h"
#include "transport/frames.h"

struct cw_message_out {
    uint64_t number;
    uint64_t tag;
    const uint8_t *body; /* borrowed from send to SENT */
    uint32_t body_length;
    uint16_t head_length;
    uint16_t unit_count;
    uint16_t sent_count; /* units that have left at least once: 0..sent_count - 1 */
    uint16_t acked_count;
    uint16_t lost_count; /* bits set in lost */
    uint8_t stream;
    uint8_t lost_path; /* the one that lost something of it last */
    bool is_open;
    struct cw_handle self;
    uint32_t newer, older;             /* of its stream; slot indexes, CW_OUT_NONE at the ends */
    uint32_t lost_next, lost_previous; /* when lost_count > 0 */
    uint64_t acked[CW_UNIT_WORDS];
    uint64_t lost[CW_UNIT_WORDS];
    uint8_t head[CW_MESSAGE_HEAD_MAX];
};
#define CW_OUT_NONE UINT32_MAX

struct cw_out_stream {
    uint64_t next_number; /* from 0 */
    uint32_t oldest, newest;
    uint32_t unsent; /* first with sent_count < unit_count */
    uint32_t lost_first, lost_last;
    uint64_t waiting_units; /* lost, or never sent */
};

struct cw_send {
    struct cw_pool pool;
    struct cw_out_stream streams[CW_STREAM_COUNT];
    uint32_t unit_bytes;
    uint32_t window;
    uint32_t open_count;
    bool has_grant;                       /* a CREDIT came since the session is up */
    uint64_t granted[CW_CLASS_COUNT];     /* by the peer, cumulative */
    uint64_t first_grant[CW_CLASS_COUNT]; /* the measure of what is kept back */
    uint64_t used[CW_CLASS_COUNT];
};

struct cw_fragment {
    struct cw_message_out *message;
    uint16_t first, count; /* units */
    bool is_again;         /* a retransmission */
};

/* The same in 16 bits, for the map of what is in flight. */
#define CW_FRAGMENT_COUNT_SHIFT 10u
static_assert(CW_UNITS_MAX < 1u << CW_FRAGMENT_COUNT_SHIFT, "a first unit fits");
static_assert(CW_UNITS_OF_FRAGMENT_MAX < 1u << (16 - CW_FRAGMENT_COUNT_SHIFT), "a count fits");
static inline uint16_t cw_fragment_pack(const struct cw_fragment *fragment)
{
    return (uint16_t)(fragment->first | (uint32_t)fragment->count << CW_FRAGMENT_COUNT_SHIFT);
}

void cw_send_init(struct cw_send *send, struct cw_arena *arena, uint32_t messages_max);
/* The session is up: nothing granted yet, numbers from 0. Asserts that no message is open. */
void cw_send_open(struct cw_send *send, uint32_t unit_bytes, uint32_t window);

bool cw_send_can(const struct cw_send *send, uint8_t stream, uint32_t body_length);
/* Asserts cw_send_can. */
void cw_send_put(struct cw_send *send, uint8_t stream, const uint8_t *head, uint32_t head_length,
                 const uint8_t *body, uint32_t body_length, uint64_t tag);

/* Fragments that have not left yet, of so many units each, of the streams from `first` to `last`; counted up
 * to limit. */
uint32_t cw_send_waiting(const struct cw_send *send, uint8_t first, uint8_t last, uint32_t units_of_fragment,
                         uint32_t limit);
/* Messages of the stream, from its first on, that have wholly left at least once. */
uint64_t cw_send_left(const struct cw_send *send, uint8_t stream);
/* What should leave next, of at most so many units; false when there is nothing. Changes nothing. */
bool cw_send_next(const struct cw_send *send, uint32_t units_of_fragment, struct cw_fragment *fragment);
/* The same by places in that order: of each stream the lost, then the unsent. */
#define CW_SEND_PLACES (2u * CW_STREAM_COUNT)
bool cw_send_at(const struct cw_send *send, uint32_t place, uint32_t units_of_fragment,
                struct cw_fragment *fragment);
/* Instead of this one, which never left: what waits of the first message, from its own on, that is not whole
 * within the next so many units of the stream; of the last, if all are. Looks at a few dozen at most. */
void cw_send_skip(const struct cw_send *send, uint64_t units, uint32_t units_of_fragment,
                  struct cw_fragment *fragment);
/* Units of the streams up to this one that wait to be sent, or sent again. */
static inline uint64_t cw_send_waiting_units(const struct cw_send *send, uint8_t last)
{
    uint64_t units = 0;
    for (uint32_t s = 0; s <= last; s++)
        units += send->streams[s].waiting_units;
    return units;
}
/* A packed fragment of a message that is still open, and of it still something unacknowledged. */
bool cw_send_find(const struct cw_send *send, uint64_t message, uint16_t packed,
                  struct cw_fragment *fragment);
/* Describes it (bytes are left to cw_send_copy). */
void cw_send_describe(const struct cw_send *send, const struct cw_fragment *fragment, struct cw_data *data);
void cw_send_copy(const struct cw_fragment *fragment, const struct cw_data *data, uint8_t *to);
/* It has left. */
void cw_send_on_sent(struct cw_send *send, const struct cw_fragment *fragment);

/* The fragment is packed. Both ignore messages that are finished. The message, when this was the last of it;
 * else NULL. */
struct cw_message_out *cw_send_on_acked(struct cw_send *send, uint64_t message, uint16_t fragment);
void cw_send_on_lost(struct cw_send *send, uint64_t message, uint16_t fragment, uint8_t path);
/* Cumulative; what is lower than known is an older frame. The first one sets the measure. */
void cw_send_on_credit(struct cw_send *send, const uint64_t granted[CW_CLASS_COUNT]);

/* Any open message, oldest of the highest stream first; NULL when none. */
struct cw_message_out *cw_send_any(struct cw_send *send);
/* Takes it out of all lists; the slot remains. */
void cw_send_finish(struct cw_send *send, struct cw_message_out *message);
/* Its SENT event was popped. */
void cw_send_free(struct cw_send *send, uint64_t message);
