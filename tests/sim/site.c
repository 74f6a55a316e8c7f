/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A site: one process on one node, with its own clock. It does for a group what the store lcore does: takes
 * facts, calls the step, carries out actions. A crash drops the process at an instant between two turns;
 * what it had given to the disks may be done in part.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

uint64_t site_clock(const struct site *site, uint64_t true_ns)
{
    __int128 t = (__int128)true_ns * (1000000 + site->clock_ppm) / 1000000;
    return site->clock_origin_ns + (uint64_t)t;
}

uint64_t site_true_time(const struct site *site, uint64_t local_ns)
{
    if (local_ns <= site->clock_origin_ns)
        return 0;
    __int128 t = (__int128)(local_ns - site->clock_origin_ns) * 1000000 / (1000000 + site->clock_ppm);
    return (uint64_t)t + 1;
}

static uint64_t site_now(const struct site *site)
{
    return site_clock(site, site->world->now_ns);
}

/* ------------------------------------------------------------------ facts */

struct fact *fact_new(enum fact_type type)
{
    struct fact *fact = calloc(1, sizeof *fact);
    CW_ASSERT(fact != NULL);
    fact->type = (uint8_t)type;
    return fact;
}

static void fact_free(struct fact *fact)
{
    free(fact->head);
    free(fact->body);
    free(fact->data);
    free(fact);
}

static void turn(struct world *w, void *data, uint64_t life);

static void turn_at(struct site *site, uint64_t at_ns)
{
    struct world *w = site->world;

    if (at_ns < w->now_ns)
        at_ns = w->now_ns;
    if (at_ns < site->paused_until_ns)
        at_ns = site->paused_until_ns;
    if (site->turn_scheduled && site->turn_at_ns <= at_ns)
        return;
    site->turn_scheduled = true;
    site->turn_at_ns = at_ns;
    queue_at(w, at_ns, turn, site, site->life);
}

void site_turn_soon(struct site *site)
{
    if (site->state == SITE_RUNNING)
        turn_at(site, site->world->now_ns +
                          (site->world->options.is_story ? CW_US : world_between(site->world, 200, 3000)));
}

void site_post(struct site *site, struct fact *fact)
{
    if (site->state != SITE_RUNNING) {
        fact_free(fact);
        return;
    }
    fact->next = NULL;
    *site->inbox_tail = fact;
    site->inbox_tail = &fact->next;
    site_turn_soon(site);
}

/* ------------------------------------------------------------------ payload buffers */

static uint64_t payload_slot(struct site *site)
{
    uint32_t i = 0;

    while (i < site->payload_count && site->payloads[i].taken)
        i++;
    if (i == site->payload_count) {
        site->payload_count = site->payload_count ? 2 * site->payload_count : 256;
        site->payloads = realloc(site->payloads, site->payload_count * sizeof *site->payloads);
        CW_ASSERT(site->payloads != NULL);
        memset(site->payloads + i, 0, (site->payload_count - i) * sizeof *site->payloads);
    }
    site->payloads[i].taken = true;
    site->payloads_taken++;
    site->payloads_peak = CW_MAX(site->payloads_peak, site->payloads_taken);
    return (uint64_t)site->life << 32 | (i + 1);
}

uint64_t site_payload_take(struct site *site, uint32_t length, uint8_t **data)
{
    uint64_t handle = payload_slot(site);
    struct payload_slot *slot = &site->payloads[(uint32_t)handle - 1];

    slot->data = aligned_alloc(4096, cw_round_up(length ? length : 1, 4096));
    CW_ASSERT(slot->data != NULL);
    slot->length = length;
    *data = slot->data;
    return handle;
}

/* Poisoned before it goes: whoever still reads it reads what nobody wrote. */
void site_payload_release(struct site *site, uint64_t handle)
{
    uint32_t i = (uint32_t)handle - 1;

    CW_ASSERT(handle >> 32 == site->life && "a handle of this process");
    CW_ASSERT(i < site->payload_count);
    CW_ASSERT(site->payloads[i].taken && "released once");
    memset(site->payloads[i].data, 0xdd, site->payloads[i].length);
    if (site->payloads[i].is_session)
        net_release(site, site->payloads[i].peer, site->payloads[i].buffer);
    else
        free(site->payloads[i].data);
    site->payloads[i] = (struct payload_slot){0};
    site->payloads_taken--;
}

/* ------------------------------------------------------------------ the turn */

void site_message(struct site *site, uint8_t from, const uint8_t *head, uint32_t head_length, uint8_t *body,
                  uint32_t body_length, const uint64_t *buffer)
{
    struct world *w = site->world;
    struct cw_message message;
    uint64_t handle = 0;
    enum cw_message_error error = cw_message_decode(head, head_length, body_length, &message);

    if (error != CW_MESSAGE_OK) {
        world_fail(w, "site %u cannot read a message of site %u: %s", site->id, from,
                   cw_message_error_name(error));
        return;
    }
    note(w, site, "message", message.type, from, message.serial);
    if (!w->is_ghost)
        site->serial_heard[from] = message.serial;
    if (message.type == CW_MSG_RECORD && !w->is_ghost)
        oracle_seen(w, site, &message.record.record, body_length ? body : NULL);
    if (body_length && buffer) {
        handle = payload_slot(site);
        site->payloads[(uint32_t)handle - 1] = (struct payload_slot){.data = body,
                                                                     .length = body_length,
                                                                     .taken = true,
                                                                     .is_session = true,
                                                                     .peer = from,
                                                                     .buffer = *buffer};
    } else if (body_length) {
        uint8_t *copy;
        handle = site_payload_take(site, body_length, &copy);
        memcpy(copy, body, body_length);
        body = copy;
    }
    if (!cw_group_on_message(site->group, &message, body_length ? body : NULL, body_length, handle,
                             site_now(site)) &&
        body_length)
        site_payload_release(site, handle);
}

static void on_authority(struct site *site, struct fact *fact)
{
    uint64_t now = site_now(site);

    switch (fact->type) {
    case FACT_CLAIMED:
        note(site->world, site, "claim answered", (uint64_t)fact->claim, 0, 0);
        cw_group_on_claimed(site->group, (enum cw_claim_result)fact->claim, "the store has moved on", now);
        break;
    case FACT_SET:
        note(site->world, site, "set answered", fact->delivered, 0, 0);
        cw_group_on_set_changed(site->group, fact->delivered, now);
        break;
    case FACT_LEASE:
#if CW_PLANTED_BUG == 10 /* the lease counts from the receipt */
        fact->a = now;
#endif
        cw_group_lease(site->group, control_lease_deadline(site, fact->a));
        break;
    case FACT_FENCE:
        note(site->world, site, "fenced", fact->a, 0, 0);
        cw_group_fence(site->group, fact->a, now);
        control_fenced(site, fact->a);
        break;
    default:
        break;
    }
}

static void on_io(struct site *site, struct fact *fact)
{
    switch (fact->type) {
    case FACT_JOURNAL_WRITTEN:
        cw_group_on_journal_written(site->group, (uint32_t)fact->token, fact->status);
        break;
    case FACT_JOURNAL_SYNCED:
        cw_group_on_journal_synced(site->group, fact->status);
        break;
    case FACT_JOURNAL_READ:
        cw_group_on_journal_read(site->group, fact->token, fact->status);
        break;
    case FACT_SUPER_WRITTEN:
        cw_group_on_super_written(site->group, fact->status);
        break;
    case FACT_APPLIED:
        cw_group_on_applied(site->group, fact->token, fact->status);
        break;
    case FACT_VOLUMES_SYNCED:
        cw_group_on_volumes_synced(site->group, fact->status);
        break;
    case FACT_COPY_READ:
        cw_group_on_copy_read(site->group, fact->token, fact->status);
        break;
    case FACT_IMAGE:
        cw_group_on_image(site->group, fact->status);
        break;
    case FACT_SALVAGED:
        cw_group_on_salvaged(site->group, fact->status);
        break;
    case FACT_CLIENT_READ:
        load_read_done(site, (struct client_op *)(uintptr_t)fact->token, fact->status);
        break;
    default:
        CW_ASSERT(false && "no other fact comes from a disk");
    }
}

static void dispatch(struct site *site, struct fact *fact)
{
    switch (fact->type) {
    case FACT_MESSAGE:
        site->world->is_ghost = fact->delivered;
        site_message(site, fact->peer, fact->head, fact->head_length, fact->body, fact->body_length, NULL);
        site->world->is_ghost = false;
        break;
    case FACT_DATAGRAM:
        net_on_datagram(site, fact);
        break;
    case FACT_PEER_UP:
        note(site->world, site, "peer up", fact->peer, 0, 0);
        cw_group_on_peer_up(site->group, fact->peer, site_now(site));
        break;
    case FACT_PEER_DOWN:
        note(site->world, site, "peer down", fact->peer, 0, 0);
        cw_group_on_peer_down(site->group, fact->peer, site_now(site));
        break;
    case FACT_SENT:
        site->sends_unanswered--;
        cw_group_on_sent(site->group, fact->peer, fact->token, fact->delivered);
        break;
    case FACT_LEFT:
        cw_group_on_left(site->group, fact->peer, fact->token, site_now(site));
        break;
    case FACT_CLAIMED:
    case FACT_SET:
    case FACT_LEASE:
    case FACT_FENCE:
        on_authority(site, fact);
        break;
    case FACT_NUDGE:
        break;
    default:
        on_io(site, fact);
    }
}

static void drain_inbox(struct site *site)
{
    struct fact *fact = site->inbox;

    site->inbox = NULL;
    site->inbox_tail = &site->inbox;
    while (fact) {
        struct fact *next = fact->next;
        if (!site->world->failed)
            dispatch(site, fact);
        fact_free(fact);
        fact = next;
    }
}

static void turn(struct world *w, void *data, uint64_t life)
{
    struct site *site = data;

    if (life != site->life || site->state != SITE_RUNNING || !site->turn_scheduled ||
        site->turn_at_ns != w->now_ns)
        return; /* another one stands for it */
    site->turn_scheduled = false;
    if (w->now_ns < site->paused_until_ns) {
        turn_at(site, site->paused_until_ns);
        return;
    }
    uint64_t now = site_now(site);
    struct cw_action action;

    drain_inbox(site);
    net_turn(site);
    control_turn(site);
    load_turn(site);
    cw_group_step(site->group, now);
    for (uint32_t n = 0; !w->failed && cw_group_action(site->group, &action); n++) {
        CW_ASSERT(n < 1000000 && "a turn ends");
        site_act(site, &action);
    }
    if (w->failed)
        return;
    load_answers(site);
    net_transmit(site);
    site_turn_done(site);
}

/* After the actions of a turn: look at what the group says of itself, and when it wants to be called. */
void site_turn_done(struct site *site)
{
    cw_group_status(site->group, site_now(site), &site->status);
    check_turn(site);
    uint64_t deadline = CW_MIN(cw_group_deadline_ns(site->group), net_deadline_ns(site));
    if (deadline != CW_NEVER)
        turn_at(site, CW_MAX(site_true_time(site, deadline), site->world->now_ns + 5 * CW_US));
}

/* ------------------------------------------------------------------ life and death */

void site_init(struct site *site, struct world *w, uint8_t id)
{
    *site = (struct site){.world = w, .id = id, .inbox_tail = &site->inbox};
    site->clock_origin_ns = world_between(w, 1, 1000000) * CW_SECOND;
    int64_t ppm = w->faults & FAULT_CLOCK ? 4900 : 200; /* the lease bears 1 % between any two */
    site->clock_ppm = w->options.is_story ? 0 : (int64_t)world_random(w, (uint64_t)(2 * ppm + 1)) - ppm;
    site->is_device = !w->options.is_story && world_chance(w, 250);
    disk_init(&site->journal, (CW_JOURNAL_RING_SECTOR + w->ring_sectors) * CW_SECTOR_SIZE);
    for (uint32_t v = 0; v < site->world->volume_count; v++) {
        disk_init(&site->volumes[v], w->volume_blocks[v] * SIM_BLOCK);
        disk_init(&site->targets[v], w->volume_blocks[v] * SIM_BLOCK);
    }
    volumes_init(site);
    site_format(site);
}

void site_format(struct site *site)
{
    struct world *w = site->world;
    struct cw_superblock super;
    uint64_t journal_id[2] = {cw_rng_next(&w->rng), cw_rng_next(&w->rng)};
    uint8_t block[CW_SECTOR_SIZE];
    cw_group_format(&super, SIM_GROUP, site->id, w->ring_sectors, journal_id);
    cw_superblock_encode(&super, block);
    uint32_t homes[2];
    cw_superblock_homes(super.generation, homes);
    for (int i = 0; i < 2; i++) {
        disk_write(&site->journal, (uint64_t)homes[i] * CW_SECTOR_SIZE, block, sizeof block);
        disk_make_durable(&site->journal, (uint64_t)homes[i] * CW_SECTOR_SIZE, sizeof block);
    }
}

static void process_gone(struct site *site)
{
    while (site->inbox) {
        struct fact *next = site->inbox->next;
        fact_free(site->inbox);
        site->inbox = next;
    }
    site->inbox_tail = &site->inbox;
    for (uint32_t i = 0; i < site->payload_count; i++)
        if (site->payloads[i].taken && !site->payloads[i].is_session)
            free(site->payloads[i].data);
    free(site->payloads);
    site->payloads = NULL;
    site->payload_count = site->payloads_taken = 0;
    net_stop(site);
    free(site->arena_memory);
    site->arena_memory = NULL;
    site->group = NULL;
    site->sends_unanswered = 0;
    site->turn_scheduled = false;
}

void site_fini(struct site *site)
{
    site_io_crash(site);
    process_gone(site);
    disk_fini(&site->journal);
    for (uint32_t v = 0; v < site->world->volume_count; v++) {
        disk_fini(&site->volumes[v]);
        disk_fini(&site->targets[v]);
    }
    free(site->truth);
}

void site_power_on(struct site *site)
{
    site->identity.boot_id[0] = cw_rng_next(&site->world->rng);
    site->identity.boot_id[1] = cw_rng_next(&site->world->rng);
    site->power_count++;
}

static void starting_ends(struct world *w, void *data, uint64_t life)
{
    struct site *site = data;

    if (life != site->life || site->state != SITE_STARTING)
        return;
    site->identity.process_start = cw_rng_next(&w->rng);
    enum recovery recovery = site_recover(site);
    if (recovery == RECOVERY_WAITS) {
        queue_at(w, w->now_ns + 100 * CW_MS, starting_ends, site, life);
        return;
    }
    if (recovery == RECOVERY_FAILED) {
        site->state = SITE_OFF;
        return;
    }
    site->state = SITE_RUNNING;
    site->last_role = CW_ROLE_REPLICA;
    net_start(site);
    note(w, site, "started", site->life, 0, 0);
    site->want_check = true;
    turn_at(site, w->now_ns);
    world_crash_at_start(site);
}

void site_start(struct site *site)
{
    struct world *w = site->world;

    CW_ASSERT(site->state == SITE_OFF);
    site->life++;
    site->state = SITE_STARTING;
    if (!site->was_killed || world_chance(w, 500)) /* else its controller lives on */
        site->watch = (struct cw_lease_watch){0};
    site->let_go = site->gives_up_undrained = false;
    site->lease_request_pending = false;
    site->controller_hangs_until_ns = site->sleeps_at_ask_ns = 0;
    site->drain_target = 0;
    queue_at(w,
             CW_MAX(w->now_ns, site->paused_until_ns) +
                 (w->options.is_story ? 50 * CW_MS : world_between(w, CW_MS, 100 * CW_MS)),
             starting_ends, site, site->life);
}

void site_crash(struct site *site, bool power_loss)
{
    struct world *w = site->world;

    if (site->state == SITE_OFF)
        return;
    note(w, site, power_loss ? "power loss" : "kill -9", site->life, 0, 0);
    tell(w, site, power_loss ? "loses power" : "is killed");
    w->crashes++;
    site_io_crash(site);
    site_image_crash(site);
    media_crash(site);
    link_crash(site);
    load_crash(site);
    process_gone(site);
    site->state = SITE_OFF;
    site->life++;
    site->was_killed = !power_loss;
    if (power_loss) {
        w->power_losses++;
        site->paused_until_ns = 0;
        disk_power_loss(&site->journal, &w->rng);
        for (uint32_t v = 0; v < site->world->volume_count; v++) {
            disk_power_loss(&site->volumes[v], &w->rng);
            disk_power_loss(&site->targets[v], &w->rng);
        }
        truth_forget(site);
        check_power_loss(site);
        site_power_on(site);
    }
}
