/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When keys are forgotten: who reads this memory later (a core, swap, a picture of the machine) opens nothing
 * that was sealed before.
 *
 *   the generation before the present one     when what is late is not opened any more
 *   receiving keys and chains of a session    when it goes down
 *   its sending key                           the same, or when the CLOSE that it seals has left
 *   keys that a handshake made                when it ended without anybody proving them
 *
 * What a handshake itself holds it wipes when it rests (handshake.c): its secret and the keys of paths even
 * when they have been handed over.
 */
#include <sodium.h>

#include "transport/session_internal.h"

static void forget(const struct cw_path *p, void *key)
{
    sodium_memzero(key, p->session->config.aead->key_state_size);
}

void cw_session_forget_all_but_out(struct cw_path *p, struct cw_sa *sa)
{
    forget(p, sa->key_in);
    forget(p, sa->key_in_next);
    forget(p, sa->key_in_last);
    sa->last_until_ns = 0;
    sodium_memzero(sa->chain_in, sizeof sa->chain_in);
    sodium_memzero(sa->chain_out, sizeof sa->chain_out);
}

void cw_session_forget_sa(struct cw_path *p, struct cw_sa *sa)
{
    cw_session_forget_all_but_out(p, sa);
    forget(p, sa->key_out);
}

void cw_session_forget_last(struct cw_path *p, uint64_t now_ns)
{
    struct cw_sa *sa = p->live;
    if (sa->last_until_ns == 0 || now_ns < sa->last_until_ns)
        return;
    forget(p, sa->key_in_last);
    sa->last_until_ns = 0;
}

void cw_session_forget_unproved(struct cw_session *s)
{
    const struct cw_handshake *h = &s->handshake;
    bool may_be_proved = h->state == CW_HANDSHAKE_ANSWERED || h->state == CW_HANDSHAKE_CONFIRMING;
    if (may_be_proved && !h->is_refused)
        return;
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        if (!s->paths[i].next->is_ready)
            continue;
        s->paths[i].next->is_ready = false;
        cw_session_forget_sa(&s->paths[i], s->paths[i].next);
    }
}
