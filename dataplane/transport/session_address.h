/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the peer is, on one path: following it when its address changes (NAT, another line), and nobody else.
 *
 * An address is a token that the shell made; 0 is the one of the configuration. A packet that opens under the
 * keys of now, has a higher number than any before, and comes from elsewhere, begins an attempt:
 *
 *      SETTLED --the newest packet comes from elsewhere--> ASKING --answered there, the old one silent-->
 * SETTLED
 *                                                             \--the old one speaks, or too long--> SETTLED
 *
 * CHALLENGEs leave to the new address and to the old one; the peer answers each (RESPONSE) to where it came
 * from. Who captured a packet and sends it from an address of his gets a challenge there that he cannot
 * answer. Who passes on everything both ways, faster than the network does, is found out by the old address:
 * the answer to its challenge, or the original of any packet that he had copied (whose number came already,
 * but whose seal is good) says that the peer is still there. He can have the path only by silencing it, and
 * then he has it anyway. The new address is used when it has answered and for two probe time-outs, and 50 ms,
 * nothing of the attempt's number or later came from the old one.
 *
 * Guarantees: before that, nothing but CHALLENGE and RESPONSE goes there, and no more bytes than came from
 * there under the seal; one attempt at a time, begun at most every 100 ms. All that is kept is this struct.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum cw_address_state { CW_ADDRESS_SETTLED = 0, CW_ADDRESS_ASKING };

#define CW_ADDRESS_OWED 2u /* a challenge to each address may come to the same */
struct cw_address_response {
    uint64_t value, to;
};

struct cw_address {
    uint64_t present;   /* in use; 0: that of the configuration */
    uint64_t came_from; /* the datagram that is being looked at */
    uint64_t goes_to;   /* the datagram that was built last */
    uint8_t state;      /* enum cw_address_state */
    uint8_t owed_count;
    bool is_answered;        /* by the candidate */
    bool asks_candidate;     /* a CHALLENGE is to leave there */
    bool asks_present;       /* likewise */
    bool has_moved;          /* to be told */
    uint64_t candidate;      /* ASKING */
    uint64_t number;         /* of the packet that began the attempt */
    uint64_t attempt;        /* counts; what a CHALLENGE says is made of it */
    uint64_t received, sent; /* bytes from and to the candidate */
    uint64_t began_ns, ask_ns, ask_each_ns;
    uint64_t earliest_ns; /* the next attempt does not begin before */
    struct cw_address_response owed[CW_ADDRESS_OWED]; /* oldest first */
};

struct cw_path;

/* The session is up anew, or down: the peer is where the configuration says. */
void cw_address_reset(struct cw_address *address);
void cw_address_end_attempt(struct cw_address *address);
/* A packet was opened; is_newest: its number is above all that came before. */
void cw_address_on_packet(struct cw_path *path, uint64_t number, bool is_newest, uint64_t bytes,
                          uint64_t now_ns);
/* Would an old number from this address matter? Then its seal is worth looking at; and it was good. */
bool cw_address_minds_old(const struct cw_path *path, uint64_t number);
void cw_address_on_old(struct cw_path *path);
void cw_address_on_challenge(struct cw_path *path, uint64_t value);
void cw_address_on_response(struct cw_path *path, uint64_t value);
void cw_address_on_time(struct cw_path *path, uint64_t now_ns);
uint64_t cw_address_deadline_ns(const struct cw_path *path);
/* A CHALLENGE or a RESPONSE may leave now. */
bool cw_address_has_output(const struct cw_path *path);
/* That datagram; says where it goes. */
uint64_t cw_address_build(struct cw_path *path, uint8_t *datagram, uint64_t now_ns);
