/* SPDX-License-Identifier: BSD-3-Clause */
/* A turn: what groups ask for is carried out, what was carried out is told, messages arrive. */
#include "pair_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- actions */

static void answer_later(struct pair_site *site, enum pair_fact fact, const struct cw_action *action)
{
    struct pair_answer *answer = calloc(1, sizeof *answer);

    CW_ASSERT(answer);
    answer->fact = fact;
    answer->action = *action;
    *site->answers_end = answer;
    site->answers_end = &answer->next;
}

static void send(struct pair_site *site, const struct cw_action *a)
{
    struct pair *p = site->pair;
    struct pair_message *m = calloc(1, sizeof *m);

    CW_ASSERT(m);
    m->from = site->id;
    m->to = a->peer;
    m->stream = a->stream;
    memcpy(m->head, a->head, a->head_length);
    m->head_length = a->head_length;
    m->body = a->memory;
    m->body_length = a->body_length;
    m->tag = a->token;
    if (a->departure)
        answer_later(site, PAIR_LEFT, a);
    if (!p->is_linked[m->from][m->to] || !p->sites[m->to].is_alive) {
        if (m->tag)
            cw_group_on_sent(site->group, m->to, m->tag, false);
        free(m);
        return;
    }
    *p->messages_end = m;
    p->messages_end = &m->next;
}

static void complete(struct pair *p, const struct cw_action *a)
{
    uint32_t request = (uint32_t)((uintptr_t)a->request - 1);

    CW_ASSERT(request < p->request_count && !p->requests[request].is_done);
    p->requests[request].is_done = true;
    p->requests[request].status = a->status;
}

static void note_event(struct pair_site *site, const struct cw_action *a)
{
    site->events++;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(site->last_event, sizeof site->last_event, a->text, (unsigned long long)a->a,
             (unsigned long long)a->b, (unsigned long long)a->c);
#pragma GCC diagnostic pop
    if (getenv("PAIR_TELL"))
        printf("[%8.3f ms] %c: %s\n", (double)site->pair->now_ns / 1e6, 'A' + site->id, site->last_event);
}

static void act(struct pair_site *site, const struct cw_action *a)
{
    static const int facts[CW_ACT_TYPE_COUNT] = {[CW_ACT_JOURNAL_WRITE] = PAIR_JOURNAL_WRITTEN,
                                                 [CW_ACT_JOURNAL_SYNC] = PAIR_JOURNAL_SYNCED,
                                                 [CW_ACT_JOURNAL_READ] = PAIR_JOURNAL_READ,
                                                 [CW_ACT_SUPER_WRITE] = PAIR_SUPER_WRITTEN,
                                                 [CW_ACT_APPLY] = PAIR_APPLIED,
                                                 [CW_ACT_VOLUMES_SYNC] = PAIR_VOLUMES_SYNCED,
                                                 [CW_ACT_COPY_READ] = PAIR_COPY_READ,
                                                 [CW_ACT_IMAGE] = PAIR_IMAGE,
                                                 [CW_ACT_CLAIM] = PAIR_CLAIMED,
                                                 [CW_ACT_SET] = PAIR_SET};

    switch (a->type) {
    case CW_ACT_SEND:
        send(site, a);
        return;
    case CW_ACT_COMPLETE:
        complete(site->pair, a);
        return;
    case CW_ACT_RELEASE:
        pair_payload_free(site, a->handle);
        return;
    case CW_ACT_EVENT:
        note_event(site, a);
        return;
    case CW_ACT_SALVAGE: /* the scan would end at what is half written */
        CW_ASSERT(site->group->batches_in_flight == 0 && a->last_sequence == site->group->logged);
        answer_later(site, PAIR_SALVAGED, a);
        return;
    default:
        answer_later(site, (enum pair_fact)facts[a->type], a);
    }
}

/* ---------------------------------------------------------------- facts */

static bool write_batch(struct pair_site *site, const struct cw_action *a)
{
    const struct cw_journal_batch *batch = cw_journal_batch(cw_group_journal(site->group), a->slot);

    for (uint32_t i = 0; i < batch->segment_count; i++) {
        const struct cw_journal_segment *s = &batch->segments[i];
        cw_device_complete(&site->journal,
                           cw_device_submit(&site->journal, s->data, s->length, s->offset, batch->is_dsync));
    }
    return true;
}

static void write_super(struct pair_site *site, const struct cw_action *a)
{
    for (uint32_t i = 0; i < 2; i++)
        cw_device_write(&site->journal, a->memory, CW_SECTOR_SIZE, (uint64_t)a->sectors[i] * CW_SECTOR_SIZE);
    cw_device_sync(&site->journal);
}

static void apply(struct pair_site *site, const struct cw_action *a)
{
    struct cw_device *device = a->to_copy ? &site->target : &site->volume;
    uint8_t zeroes[PAIR_BLOCK] = {0};

    CW_ASSERT(!a->to_copy || site->has_target);
    if (a->kind == CW_RECORD_WRITE)
        cw_device_write(device, a->memory, (uint32_t)a->length, a->offset);
    for (uint64_t at = 0; a->kind != CW_RECORD_WRITE && at < a->length; at += PAIR_BLOCK)
        cw_device_write(device, zeroes, PAIR_BLOCK, a->offset + at);
}

static void change_image(struct pair_site *site, const struct cw_action *a)
{
    if (a->kind == CW_IMAGE_SWITCH) {
        pair_switch_files(site);
        site->copies++;
        return;
    }
    site->has_target = a->kind == CW_IMAGE_PREPARE;
    site->prepares += a->kind == CW_IMAGE_PREPARE;
    cw_device_fini(&site->target);
    cw_device_init(&site->target, VOLUME_BYTES);
}

static void do_claim(struct pair_site *site, const struct cw_action *a)
{
    struct pair *p = site->pair;
    bool fits = a->from_epoch == p->store.epoch && a->members_from == p->store.members;

    p->store.own_epoch = a->own_epoch;
    p->store.seen_epoch = a->seen_epoch;
    p->store.seen_by = a->seen_by;
    if (fits && !p->store.is_away) {
        p->store.epoch = a->epoch;
        p->store.reign = a->reign;
        p->store.first_sequence = a->first_sequence;
        p->store.holder = site->id;
        p->store.members = a->members_to;
        memcpy(p->store.identities, a->identities, sizeof p->store.identities);
    }
    if (p->store.is_stuck)
        return;
    enum cw_claim_result result = p->store.is_away ? CW_CLAIM_AGAIN : fits ? CW_CLAIM_OK : CW_CLAIM_REFUSED;
    cw_group_on_claimed(site->group, result, "the store has another", p->now_ns);
}

static void do_set(struct pair_site *site, const struct cw_action *a)
{
    struct pair *p = site->pair;
    bool is_so = p->store.epoch == a->epoch && p->store.reign == a->reign &&
                 (p->store.members == a->members_to || p->store.members == a->members_from);

    if (is_so && !p->store.is_away) {
        p->store.members = a->members_to;
        memcpy(p->store.identities, a->identities, sizeof p->store.identities);
    }
    if (!p->store.is_stuck)
        cw_group_on_set_changed(site->group, is_so && !p->store.is_away, p->now_ns);
}

static void tell(struct pair_site *site, const struct pair_answer *answer)
{
    const struct cw_action *a = &answer->action;
    struct cw_group *g = site->group;
    enum cw_status status = site->fails[answer->fact];
    bool ok = status == CW_OK;

    switch (answer->fact) {
    case PAIR_JOURNAL_WRITTEN:
        if (ok)
            write_batch(site, a);
        cw_group_on_journal_written(g, a->slot, status);
        return;
    case PAIR_JOURNAL_SYNCED:
        if (ok)
            cw_device_sync(&site->journal);
        cw_group_on_journal_synced(g, status);
        return;
    case PAIR_JOURNAL_READ:
        cw_device_read(&site->journal, a->memory, (uint32_t)a->length, a->offset);
        cw_group_on_journal_read(g, a->token, status);
        return;
    case PAIR_SUPER_WRITTEN:
        if (ok)
            write_super(site, a);
        cw_group_on_super_written(g, status);
        return;
    case PAIR_APPLIED:
        if (ok)
            apply(site, a);
        cw_group_on_applied(g, a->token, status);
        return;
    case PAIR_VOLUMES_SYNCED:
        cw_device_sync(a->to_copy ? &site->target : &site->volume);
        cw_group_on_volumes_synced(g, status);
        return;
    case PAIR_COPY_READ:
        cw_device_read(&site->volume, a->memory, (uint32_t)a->length, a->offset);
        cw_group_on_copy_read(g, a->token, status);
        return;
    case PAIR_IMAGE:
        if (ok)
            change_image(site, a);
        cw_group_on_image(g, status);
        return;
    case PAIR_SALVAGED:
        CW_ASSERT(g->batches_in_flight == 0);
        site->salvages += ok;
        site->salvaged_above = a->sequence;
        site->salvaged_last = a->last_sequence;
        cw_group_on_salvaged(g, status);
        return;
    case PAIR_CLAIMED:
        do_claim(site, a);
        return;
    case PAIR_SET:
        do_set(site, a);
        return;
    case PAIR_LEFT:
        cw_group_on_left(g, a->peer, a->departure, site->pair->now_ns);
        return;
    default:
        CW_ASSERT(!"a fact");
    }
}

/* The answers to what was asked in earlier turns, but for those that are held. */
static bool tell_answers(struct pair_site *site)
{
    struct pair_answer *todo = site->answers;
    bool any = false;

    site->answers = NULL;
    site->answers_end = &site->answers;
    while (todo) {
        struct pair_answer *answer = todo;
        todo = answer->next;
        if (site->holds[answer->fact]) {
            answer->next = NULL;
            *site->answers_end = answer;
            site->answers_end = &answer->next;
            continue;
        }
        any = true;
        tell(site, answer);
        free(answer);
    }
    return any;
}

static void deliver(struct pair *p, struct pair_message *m)
{
    struct pair_site *to = &p->sites[m->to];
    struct cw_message message;
    uint8_t *body = NULL;

    enum cw_message_error error = cw_message_decode(m->head, m->head_length, m->body_length, &message);
    CW_ASSERT(error == CW_MESSAGE_OK);
    if (m->body_length > 0) {
        body = pair_payload_new(to, m->body_length);
        memcpy(body, m->body, m->body_length);
    }
    if (!cw_group_on_message(to->group, &message, body, m->body_length, pair_handle_of(body), p->now_ns) &&
        body)
        pair_payload_free(to, pair_handle_of(body));
    if (m->tag)
        cw_group_on_sent(p->sites[m->from].group, m->to, m->tag, true);
    free(m);
}

static bool deliver_all(struct pair *p)
{
    struct pair_message *todo = p->messages;
    uint32_t bulk[PAIR_SITES_MAX][PAIR_SITES_MAX] = {0};
    bool any = false;

    p->messages = NULL;
    p->messages_end = &p->messages;
    while (todo) {
        struct pair_message *m = todo;
        todo = m->next;
        m->next = NULL;
        bool waits =
            p->has_backlog[m->from][m->to] || (p->bulk_per_turn && bulk[m->from][m->to] == p->bulk_per_turn);
        if (p->is_held[m->from][m->to] || (m->stream > 0 && waits)) {
            *p->messages_end = m;
            p->messages_end = &m->next;
            continue;
        }
        any = true;
        bulk[m->from][m->to] += m->stream > 0;
        deliver(p, m);
    }
    return any;
}

/* ---------------------------------------------------------------- time */

static void check_site(struct pair_site *site)
{
    struct cw_group *g = site->group;

    CW_ASSERT(g->applied <= g->issued);
    CW_ASSERT(g->logged <= g->head);
    CW_ASSERT(cw_group_durable(g) <= cw_group_written(g));
    CW_ASSERT(cw_history_valid(&g->super.history));
    CW_ASSERT(cw_pool_is_valid(&g->held));
    if (!cw_group_is_cutting(g)) /* the log in memory is the one that the superblock names */
        CW_ASSERT(memcmp(g->config.identity.journal_id, g->super.journal_id, sizeof g->super.journal_id) ==
                  0);
}

void pair_turn(struct pair *p)
{
    bool any = deliver_all(p);
    uint64_t next_ns = CW_NEVER;

    for (uint8_t a = 0; a < p->site_count; a++) {
        struct pair_site *site = &p->sites[a];
        struct cw_action action;
        if (!site->is_alive)
            continue;
        any |= tell_answers(site);
        if (p->renews_lease && p->store.holder == a)
            cw_group_lease(site->group, p->now_ns + LEASE_NS);
        cw_group_step(site->group, p->now_ns);
        while (cw_group_action(site->group, &action))
            act(site, &action);
        check_site(site);
        next_ns = CW_MIN(next_ns, cw_group_deadline_ns(site->group));
    }
    p->turns++;
    next_ns = any ? p->now_ns + TURN_NS : CW_MIN(next_ns, p->now_ns + CW_SECOND);
    p->now_ns = CW_MAX(next_ns, p->now_ns + TURN_NS);
}

void pair_run(struct pair *p, uint64_t ns)
{
    for (uint64_t end = p->now_ns + ns; p->now_ns < end;)
        pair_turn(p);
}

bool pair_until(struct pair *p, bool (*is_so)(struct pair *pair))
{
    for (uint64_t end = p->now_ns + 60 * CW_SECOND; p->now_ns < end;) {
        if (is_so(p))
            return true;
        pair_turn(p);
    }
    return is_so(p);
}
