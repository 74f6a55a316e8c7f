/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Volumes that are made and deleted while a group runs. The operator's word is in the store at once; each
 * site follows when its controller looks, so for a while some sites have a volume and others do not; a site
 * without room for one lacks it for longer. As the engine does it (dataplane/engine/store_commands.c,
 * group_start.c):
 *
 *   made      a file of zeroes, registered for good, told to the group; not while files of a copy are handled
 *   deleted   clients leave, what was written up to then is in place, nothing is under way: then the group is
 *             told; if that takes too long it is left, and begun again. One that never came here is told as
 *             gone, and at every start again
 *   at start  what was deleted meanwhile is gone before the journal is read, but for a device, which stays
 *             and gets what was acknowledged before. While the journal has records of a volume that is
 * neither here nor gone, the group does not start
 */
#include "sim.h"

#define REMOVAL_NS (5 * CW_SECOND)

bool volume_is_used(const struct site *site, uint16_t volume)
{
    return site->has_volume[volume] && site->world->fates[volume] == VOLUME_IS;
}

void volumes_init(struct site *site)
{
    for (uint32_t v = 0; v < site->world->volume_count; v++) {
        site->has_volume[v] = site->world->fates[v] == VOLUME_IS;
        site->knows_gone[v] = site->world->fates[v] == VOLUME_GONE;
    }
}

static bool can_make(const struct site *site, uint16_t volume)
{
    const struct world *w = site->world;

    return w->fates[volume] == VOLUME_IS && !site->has_volume[volume] &&
           w->now_ns >= site->no_room_until_ns[volume];
}

static void make_file(struct site *site, uint16_t volume)
{
    disk_fini(&site->volumes[volume]);
    disk_init(&site->volumes[volume], site->world->volume_blocks[volume] * SIM_BLOCK);
    site->has_volume[volume] = true;
    note(site->world, site, "volume is there", volume, 0, 0);
}

static void forget(struct site *site, uint16_t volume)
{
    site->has_volume[volume] = site->target_exists[volume] = false;
    site->knows_gone[volume] = true;
    site->removals[volume].is_under_way = false;
    note(site->world, site, "volume is gone", volume, 0, 0);
}

/* ------------------------------------------------------------------ a start */

void volumes_hear(struct site *site)
{
    const struct world *w = site->world;

    for (uint16_t v = 0; v < w->volume_count && !site->is_store_cut; v++)
        if (w->fates[v] == VOLUME_GONE && !site->knows_gone[v] && !(site->has_volume[v] && site->is_device))
            forget(site, v);
}

uint32_t volumes_unknown(const struct site *site)
{
    uint32_t bits = 0;

    for (uint32_t v = 0; v < site->world->volume_count; v++)
        if (site->world->fates[v] != VOLUME_LATER && !site->has_volume[v] && !site->knows_gone[v])
            bits |= 1u << v;
    return bits;
}

bool volumes_provide(struct site *site, uint32_t wanted)
{
    for (uint16_t v = 0; v < site->world->volume_count && !site->is_store_cut; v++)
        if ((wanted >> v & 1) && can_make(site, v)) {
            make_file(site, v);
            wanted &= ~(1u << v);
        }
    return wanted == 0;
}

void volumes_tell(struct site *site)
{
    const struct world *w = site->world;

    for (uint16_t v = 0; v < w->volume_count; v++) {
        site->removals[v].is_under_way = false;
        if (site->has_volume[v])
            cw_group_volume_add(site->group, v, w->volume_blocks[v] * SIM_BLOCK, 0, site->is_device);
        else if (site->knows_gone[v])
            cw_group_volume_remove(site->group, v);
    }
}

/* ------------------------------------------------------------------ while it runs */

static bool is_busy(const struct site *site, uint16_t volume)
{
    for (const struct client_op *op = site->world->live_ops[site->id]; op; op = op->next)
        if (op->volume == volume && op->kind != OP_FLUSH)
            return true;
    for (const struct io *io = site->ios; io; io = io->next)
        for (uint32_t i = 0; i < io->disk_count; i++)
            if (io->disks[i] == &site->volumes[volume] || io->disks[i] == &site->targets[volume])
                return true;
    return site->image_op != NULL;
}

static void add(struct site *site, uint16_t volume)
{
    make_file(site, volume);
    cw_group_volume_add(site->group, volume, site->volumes[volume].size, 0, site->is_device);
}

static void removed(struct site *site, uint16_t volume)
{
    cw_group_volume_remove(site->group, volume);
    forget(site, volume);
}

static void remove_step(struct site *site, uint16_t volume)
{
    struct volume_removal *removal = &site->removals[volume];
    struct world *w = site->world;
    struct cw_group_status now;

    cw_group_status(site->group, site_clock(site, w->now_ns), &now);
    if (!removal->is_under_way)
        *removal = (struct volume_removal){.is_under_way = true,
                                           .since_ns = w->now_ns,
                                           .sequence = CW_MAX(now.head, now.sequences.received)};
    if (now.sequences.applied >= removal->sequence && !is_busy(site, volume))
        removed(site, volume);
    else if (w->now_ns - removal->since_ns > REMOVAL_NS)
        removal->is_under_way = false;
}

void volumes_turn(struct site *site)
{
    const struct world *w = site->world;

    if (!site->want_volumes || site->status.role == CW_ROLE_DOWN)
        return;
    site->want_volumes = false;
    for (uint16_t v = 0; v < w->volume_count; v++) {
        if (can_make(site, v) && !site->image_op)
            add(site, v);
        else if (w->fates[v] == VOLUME_GONE && site->has_volume[v])
            remove_step(site, v);
        else if (w->fates[v] == VOLUME_GONE && !site->knows_gone[v])
            removed(site, v);
    }
}

bool volumes_are_level(const struct site *site)
{
    const struct world *w = site->world;

    for (uint32_t v = 0; v < w->volume_count; v++)
        if (site->has_volume[v] != (w->fates[v] == VOLUME_IS))
            return false;
    return true;
}

/* ------------------------------------------------------------------ the operator */

static void make(struct world *w, uint32_t volume)
{
    w->fates[volume] = VOLUME_IS;
    for (uint32_t i = 0; i < w->site_count; i++)
        if (world_chance(w, 300))
            w->sites[i].no_room_until_ns[volume] = w->now_ns + world_random(w, 30 * CW_SECOND);
    note(w, NULL, "volume is made", volume, 0, 0);
}

/* Makes one, or deletes one; one at least stays. */
void fault_volumes(struct world *w)
{
    uint32_t volume = (uint32_t)world_random(w, w->volume_count), left = 0;

    for (uint32_t v = 0; v < w->volume_count; v++)
        left += w->fates[v] == VOLUME_IS;
    if (w->fates[volume] == VOLUME_LATER) {
        make(w, volume);
    } else if (w->fates[volume] == VOLUME_IS && left > 1) {
        w->fates[volume] = VOLUME_GONE;
        note(w, NULL, "volume is deleted", volume, 0, 0);
    }
}

static void change_now(struct world *w, void *data, uint64_t life)
{
    struct site *site = data;

    if (w->phase != PHASE_SAFETY || site->life != life || site->state != SITE_RUNNING)
        return;
    fault_volumes(w);
    site->want_volumes = true;
    site_turn_soon(site);
}

/* Something that goes through all volumes begins here: now and then one comes or goes meanwhile. */
void volumes_change_soon(struct site *site, uint64_t within_ns)
{
    struct world *w = site->world;

    if ((w->faults & FAULT_VOLUMES) && !site->is_store_cut && w->phase == PHASE_SAFETY &&
        world_chance(w, 300))
        queue_at(w, w->now_ns + world_random(w, within_ns), change_now, site, site->life);
}

void volumes_heal(struct site *site)
{
    for (uint32_t v = 0; v < site->world->volume_count; v++)
        site->no_room_until_ns[v] = 0;
}
