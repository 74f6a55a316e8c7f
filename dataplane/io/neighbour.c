/* SPDX-License-Identifier: BSD-3-Clause */
/* See neighbour.h. */
#include "io/neighbour.h"

#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

#define ASK_NS       (250 * CW_MS)
#define ASK_NS_MAX   CW_SECOND /* as often as RFC 1122 section 2.3.2.1 lets everybody be asked */
#define KNOWN_NS     (30 * CW_SECOND)
#define CHECKS_MAX   3u
#define HINT_WAIT_NS CW_SECOND

static const struct cw_fsm_row rows[] = {
    [CW_NEIGHBOUR_FIXED] = {"fixed", 0},
    [CW_NEIGHBOUR_UNKNOWN] = {"unknown", CW_TO(CW_NEIGHBOUR_KNOWN) | CW_TO(CW_NEIGHBOUR_FIXED)},
    [CW_NEIGHBOUR_KNOWN] = {"known", CW_TO(CW_NEIGHBOUR_CHECKED)},
    [CW_NEIGHBOUR_CHECKED] = {"checked", CW_TO(CW_NEIGHBOUR_KNOWN) | CW_TO(CW_NEIGHBOUR_DOUBTED)},
    [CW_NEIGHBOUR_DOUBTED] = {"doubted", CW_TO(CW_NEIGHBOUR_KNOWN)},
};
static_assert(CW_COUNT_OF(rows) == CW_NEIGHBOUR_STATE_COUNT, "a row a state");

static void move(struct cw_neighbour *n, enum cw_neighbour_state to, uint64_t due_ns)
{
    cw_fsm_move(&n->fsm, &n->state, (uint8_t)to);
    n->asked = 0;
    n->wait_ns = ASK_NS;
    n->due_ns = due_ns;
}

void cw_neighbour_init(struct cw_neighbour *n, const uint8_t *fixed)
{
    static const uint8_t none[6];
    bool is_fixed = fixed != NULL && memcmp(fixed, none, sizeof none) != 0;
    *n = (struct cw_neighbour){.wait_ns = ASK_NS, .due_ns = is_fixed ? CW_NEVER : 0};
    if (is_fixed)
        memcpy(n->mac, fixed, sizeof n->mac);
    cw_fsm_init(&n->fsm, "neighbour", rows, CW_COUNT_OF(rows));
    cw_fsm_enter(&n->fsm, &n->state, is_fixed ? CW_NEIGHBOUR_FIXED : CW_NEIGHBOUR_UNKNOWN);
}

void cw_neighbour_init_told(struct cw_neighbour *n)
{
    cw_neighbour_init(n, NULL);
    n->due_ns = CW_NEVER;
}

void cw_neighbour_tell(struct cw_neighbour *n, const uint8_t mac[6])
{
    CW_ASSERT(n->due_ns == CW_NEVER && "nobody else looks for it");
    if (n->state == CW_NEIGHBOUR_UNKNOWN)
        move(n, CW_NEIGHBOUR_FIXED, CW_NEVER);
    memcpy(n->mac, mac, sizeof n->mac);
}

static bool is_waiting(const struct cw_neighbour *n)
{
    return n->asked > 0 && n->state != CW_NEIGHBOUR_KNOWN;
}

enum cw_neighbour_ask cw_neighbour_ask(struct cw_neighbour *n, uint64_t now_ns)
{
    if (now_ns < n->due_ns)
        return CW_ASK_NOBODY;
    if (n->state == CW_NEIGHBOUR_KNOWN)
        move(n, CW_NEIGHBOUR_CHECKED, now_ns);
    else if (n->state == CW_NEIGHBOUR_CHECKED && n->asked == CHECKS_MAX)
        move(n, CW_NEIGHBOUR_DOUBTED, now_ns);
    CW_ASSERT(n->state != CW_NEIGHBOUR_FIXED && "it is never due");
    n->asked++;
    n->due_ns = now_ns + n->wait_ns;
    if (n->state == CW_NEIGHBOUR_CHECKED)
        return CW_ASK_NEIGHBOUR;
    n->wait_ns = CW_MIN(2 * n->wait_ns, ASK_NS_MAX);
    return CW_ASK_EVERYBODY;
}

bool cw_neighbour_on_answer(struct cw_neighbour *n, const uint8_t mac[6], uint64_t now_ns)
{
    if (!is_waiting(n) || (n->state == CW_NEIGHBOUR_CHECKED && memcmp(mac, n->mac, sizeof n->mac) != 0))
        return false; /* the one that was asked has the address it had */
    memcpy(n->mac, mac, sizeof n->mac);
    move(n, CW_NEIGHBOUR_KNOWN, now_ns + KNOWN_NS);
    return true;
}

void cw_neighbour_on_hint(struct cw_neighbour *n, const uint8_t mac[6], uint64_t now_ns)
{
    if (n->state != CW_NEIGHBOUR_KNOWN || memcmp(mac, n->mac, sizeof n->mac) == 0 || now_ns < n->hinted_ns)
        return;
    n->hinted_ns = now_ns + HINT_WAIT_NS;
    move(n, CW_NEIGHBOUR_CHECKED, now_ns);
}

uint64_t cw_neighbour_deadline_ns(const struct cw_neighbour *n)
{
    return n->due_ns;
}
