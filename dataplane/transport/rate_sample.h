/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What all controllers know of a path, and the delivery-rate sample of an ack (draft-ietf-ccwg-bbr-06 section
 * 4.1). Names are the draft's: C.delivered is path->delivered, P.delivered is burst->delivered, RS.delivered
 * is sample->delivered.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * P, the state of the packets of a burst, from their sending on. A burst is what left at the same time with
 * nothing acknowledged or lost in between, for which this is the draft's P of each packet, tx_in_flight to
 * within the differences of their sizes.
 *
 * Where so many packets are out one by one that the ring would not reach back over CW_RATE_ROUND_TRIPS, what
 * leaves within that time / ring after the first packet of a burst belongs to it too. For all but the first
 * the sample then begins that much earlier, with what was delivered until then: a rate is that of a slightly
 * longer time, and a round trip too long by at most as much. Chosen not to do: that always, with a shorter
 * ring. Bursts of two or three packets made two BBR flows share a link of 200 ms at 0.57 (Jain), not 0.8.
 *
 * A packet that is out for longer than the ring reaches back counts as delivered, or lost, and has no P.
 */
struct cw_rate_burst {
    uint64_t first;         /* number of its first packet */
    uint64_t sent_ns;       /* P.send_time */
    uint64_t delivered;     /* P.delivered: C.delivered then */
    uint64_t delivered_ns;  /* P.delivered_time */
    uint64_t first_sent_ns; /* P.first_send_time */
    uint64_t lost;          /* P.lost */
    uint64_t in_flight;     /* with the first packet; the top bit is P.is_app_limited */
    uint32_t numbers;       /* from the first to the last packet */
    int32_t grown;          /* what is in flight, meanwhile */
};
static_assert(sizeof(struct cw_rate_burst) == 64, "a cache line");
#define CW_RATE_APP_LIMITED (1ull << 63)
#define CW_RATE_ROUND_TRIPS 2u /* that the ring reaches back at least */

static inline bool cw_rate_is_app_limited(const struct cw_rate_burst *burst)
{
    return burst->in_flight & CW_RATE_APP_LIMITED;
}

/* P.tx_in_flight, with the packet of this number. */
static inline uint64_t cw_rate_tx_in_flight(const struct cw_rate_burst *burst, uint64_t number)
{
    uint64_t with_first = burst->in_flight & ~CW_RATE_APP_LIMITED;
    if (burst->numbers == 1)
        return with_first;
    return with_first +
           (uint64_t)((int64_t)burst->grown * (int64_t)(number - burst->first) / (burst->numbers - 1));
}

/* RS, the sample of an ack. */
struct cw_rate_sample {
    bool has_data; /* something was newly acknowledged */
    bool is_app_limited;
    uint64_t delivery_rate; /* bytes per second; 0: no reliable sample */
    uint64_t delivered;     /* since the newest acknowledged packet left */
    uint64_t prior_delivered;
    uint64_t prior_ns;
    uint64_t send_elapsed_ns, ack_elapsed_ns;
    uint64_t rtt_ns; /* of the newest */
    uint64_t newest; /* its number */
    uint64_t newest_lost;
    uint64_t tx_in_flight;
    uint64_t lost; /* since the newest left */
    uint64_t newly_acked, newly_lost;
};

/* C. */
struct cw_rate_path {
    uint32_t datagram_bytes; /* C.SMSS: of the longest datagram */
    uint64_t initial_window;
    uint64_t rate_max;  /* no pacing rate above it; UINT64_MAX: none */
    uint64_t in_flight; /* C.inflight */
    uint64_t delivered; /* cumulative, and so is lost */
    uint64_t lost;
    uint64_t delivered_ns;
    uint64_t first_sent_ns;
    uint64_t app_limited;        /* 0: not; else what has to be delivered before the bubble is gone */
    uint64_t next_number;        /* after the last one sent */
    uint64_t window_full_number; /* a packet with a lower number was sent before the window was last full */
    uint64_t rtt_ns_min;         /* of the session's life; CW_NEVER: no sample */
    uint64_t rtt_ns_smoothed;    /* 0: no sample */
    uint64_t pacing_rate;        /* the controller's answers */
    uint64_t window;
    /* The episode of loss that is under way, or was the last. It ends when a packet is acknowledged that was
     * sent after it began. */
    bool is_in_recovery;
    uint64_t recovery_first, recovery_end; /* numbers of its packets: first <= number < end */
    uint32_t recovery_lost, recovery_spurious;
    uint64_t ecn_end; /* marks are answered again when a packet from here on is acknowledged */
    struct cw_rate_sample sample;
    struct cw_rate_burst *ring;
    uint32_t mask;
    uint64_t next_burst; /* so many there were */
    uint64_t found;      /* where the last one was that was looked for */
};

/* True if the window was full at a time in the round trip that the newest acknowledged packet ends. */
static inline bool cw_rate_is_window_limited(const struct cw_rate_path *path)
{
    return path->sample.newest < path->window_full_number;
}

static inline uint64_t cw_rate_times(uint64_t bytes_per_second, uint64_t ns)
{
    return (uint64_t)((unsigned __int128)bytes_per_second * ns / 1000000000u);
}

static inline uint64_t cw_rate_of(uint64_t bytes, uint64_t ns)
{
    return (uint64_t)((unsigned __int128)bytes * 1000000000u / (ns ? ns : 1));
}
