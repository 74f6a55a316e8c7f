/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is known of the link address of one neighbour: the next hop of a path. Pure; the frames that ask and
 * answer are host.c's. A port has one next hop, so this one entry is the whole table: nobody can fill it.
 *
 *      FIXED       given by the configuration, never asked for; or by the kernel, which may give another
 *
 *      UNKNOWN --answer--> KNOWN --30 s, or a hint--> CHECKED --answer--> KNOWN
 *      waits for           sure                       \--3 asked of it, no answer--> DOUBTED --answer-->
 * KNOWN an answer                                                                    waits for an answer
 *
 * Everybody is asked while it is UNKNOWN and, since it may have moved, while it is DOUBTED: after 250 ms,
 * then twice as long each time up to 1 s. While it is CHECKED the neighbour alone is asked, at the address it
 * had. An address that was known stays in use until another one is: a path that may work is better than none.
 *
 * An answer counts only while we wait for one, so that a stranger cannot take the path over by announcing
 * itself. What contradicts us unasked is a hint: the neighbour is checked at once, at most once a second, and
 * only if it does not answer the newcomer has a chance.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/fsm.h"

enum cw_neighbour_state {
    CW_NEIGHBOUR_FIXED = 0,
    CW_NEIGHBOUR_UNKNOWN,
    CW_NEIGHBOUR_KNOWN,
    CW_NEIGHBOUR_CHECKED,
    CW_NEIGHBOUR_DOUBTED,
    CW_NEIGHBOUR_STATE_COUNT
};

enum cw_neighbour_ask { CW_ASK_NOBODY, CW_ASK_NEIGHBOUR, CW_ASK_EVERYBODY };

struct cw_neighbour {
    struct cw_fsm fsm;
    uint8_t state;
    uint8_t mac[6];     /* all 0 while UNKNOWN */
    uint32_t asked;     /* in this state */
    uint64_t due_ns;    /* of the next question, or of the check; CW_NEVER when FIXED */
    uint64_t wait_ns;   /* after the next question */
    uint64_t hinted_ns; /* hints before it are not looked at */
};

/* fixed: its address; NULL or all 0: it is to be asked for. */
void cw_neighbour_init(struct cw_neighbour *neighbour, const uint8_t *fixed);
/* Nobody is asked: UNKNOWN until cw_neighbour_tell. */
void cw_neighbour_init_told(struct cw_neighbour *neighbour);
void cw_neighbour_tell(struct cw_neighbour *neighbour, const uint8_t mac[6]);
/* Is there an address to send to? */
static inline bool cw_neighbour_is_usable(const struct cw_neighbour *neighbour)
{
    return neighbour->state != CW_NEIGHBOUR_UNKNOWN;
}
/* Whom to ask now; counts as asked. */
enum cw_neighbour_ask cw_neighbour_ask(struct cw_neighbour *neighbour, uint64_t now_ns);
/* It says, to us, that this is its address. False: nobody had asked. */
bool cw_neighbour_on_answer(struct cw_neighbour *neighbour, const uint8_t mac[6], uint64_t now_ns);
/* Somebody says in its name, unasked, that this is its address. */
void cw_neighbour_on_hint(struct cw_neighbour *neighbour, const uint8_t mac[6], uint64_t now_ns);
/* When cw_neighbour_ask is to be called. */
uint64_t cw_neighbour_deadline_ns(const struct cw_neighbour *neighbour);
