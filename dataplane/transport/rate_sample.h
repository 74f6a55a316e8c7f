/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What all controllers know of a path, and the delivery-rate sample of an ack (draft-ietf-ccwg-bbr-06 section
 * 4.1). Names are the draft's: C.delivered is path->delivered, P.delivered is sent->delivered, RS.delivered
 * is sample->delivered.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* P, the state of a packet, from its sending until it is acknowledged. */
struct cw_rate_sent {
    uint64_t sent_ns;       /* P.send_time */
    uint64_t delivered;     /* P.delivered: C.delivered then */
    uint64_t delivered_ns;  /* P.delivered_time */
    uint64_t first_sent_ns; /* P.first_send_time */
    uint64_t lost;          /* P.lost */
    uint64_t in_flight;     /* P.tx_in_flight, with this packet; the top bit is P.is_app_limited */
};
#define CW_RATE_APP_LIMITED (1ull << 63)

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
    struct cw_rate_sent *ring; /* by packet number */
    uint32_t mask;
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
