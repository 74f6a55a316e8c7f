/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Media that lie: rot, lost and misdirected writes, in the journal and in the superblocks; disks that are
 * replaced by blank ones.
 *
 * What one bad copy of a superblock may cost is nothing, at any site. Both copies of the newest generation
 * may cost the site its place (it may find its journal damaged), never anything that it was told to remember:
 * that is known here, and asked for at the next start. Only one site of a seed has media that lie in the
 * journal.
 */
#include <string.h>

#include "sim.h"

/* A site may lose the newest generation of its superblock, or what its log ends with, not both: the one is
 * what tells that the other is missing. */
static void rot_journal(struct world *w, struct site *site)
{
    if (site->is_super_doubtful)
        return;
    uint64_t sector = CW_JOURNAL_RING_SECTOR + world_random(w, w->ring_sectors);

    if (world_chance(w, 700)) /* where something is */
        sector = CW_JOURNAL_RING_SECTOR + world_random(w, 64);
    disk_rot(&site->journal, &w->rng, sector * CW_SECTOR_SIZE, CW_SECTOR_SIZE);
    site->is_journal_tainted = true;
    note(w, site, "rot", sector, 0, 0);
}

static bool are_all_copies_sound(const struct site *site, struct cw_superblock *newest)
{
    enum cw_sector_class classes[CW_SUPERBLOCK_COPIES];

    if (cw_superblock_pick(site->journal.live, newest, classes) != CW_OK)
        return false;
    for (uint32_t i = 0; i < CW_SUPERBLOCK_COPIES; i++)
        if (classes[i] != CW_SECTOR_VALID)
            return false;
    return true;
}

static void rot_super(struct world *w, struct site *site)
{
    struct cw_superblock newest;
    uint32_t homes[2];
    bool both = site->id == w->rot_site && !site->is_journal_tainted && world_chance(w, 600);

    if (!are_all_copies_sound(site, &newest))
        return;
    cw_superblock_homes(newest.generation + (world_chance(w, 300) ? 1 : 0), homes);
    for (uint32_t i = 0; i < 2; i++)
        if (both || world_chance(w, 500)) {
            disk_rot(&site->journal, &w->rng, (uint64_t)homes[i] * CW_SECTOR_SIZE, CW_SECTOR_SIZE);
            note(w, site, "rot of a superblock", newest.generation, homes[i], 0);
            if (!both)
                return;
        }
    site->is_super_doubtful |= both;
}

void media_rot_newest(struct site *site)
{
    struct world *w = site->world;
    struct cw_superblock newest;
    uint32_t homes[2];

    if (site->is_journal_tainted || !are_all_copies_sound(site, &newest))
        return;
    cw_superblock_homes(newest.generation, homes);
    for (uint32_t i = 0; i < 2; i++)
        disk_rot(&site->journal, &w->rng, (uint64_t)homes[i] * CW_SECTOR_SIZE, CW_SECTOR_SIZE);
    note(w, site, "rot of the newest superblock", newest.generation, 0, 0);
    site->is_super_doubtful = true;
}

/* Superblocks matter only to who starts: so they rot while it is down. */
void media_crash(struct site *site)
{
    struct world *w = site->world;

    if ((w->faults & FAULT_SUPER) && site->id == w->rot_site && w->phase == PHASE_SAFETY &&
        world_chance(w, 300))
        media_rot_newest(site);
}

void media_fault(struct world *w, enum fault_class class_)
{
    struct site *site = &w->sites[world_random(w, w->site_count)];

    if (class_ == FAULT_ROT) {
        rot_journal(w, &w->sites[w->rot_site]);
    } else if (class_ == FAULT_MISDIRECT) {
        w->sites[w->rot_site].journal.misdirect = !w->sites[w->rot_site].is_super_doubtful;
    } else if (class_ == FAULT_DISK_FAIL) {
        uint32_t which = (uint32_t)world_random(w, w->volume_count + 1);
        (which == w->volume_count ? &site->journal : &site->volumes[which])->failed_write = true;
    } else if (world_chance(w, 500)) {
        rot_super(w, world_chance(w, 500) ? &w->sites[w->rot_site] : site);
    } else {
        site->super_fault = (uint8_t)world_between(w, SUPER_LOSE_ONE, SUPER_ELSEWHERE);
        if (site->super_fault != SUPER_LOSE_ONE && (site->id != w->rot_site || site->is_journal_tainted))
            site->super_fault = SUPER_LOSE_ONE;
    }
}

/* One of the two copies of a superblock, on its way. false: it goes nowhere. */
bool media_super_copy(struct site *site, uint32_t copy, uint64_t *offset)
{
    struct world *w = site->world;
    uint8_t fault = site->super_fault;

    if (copy == 1)
        site->super_fault = SUPER_GOES_WELL;
    if (fault == SUPER_GOES_WELL || (fault != SUPER_LOSE_BOTH && copy == 0))
        return true;
    note(w, site, "superblock copy goes astray", fault, copy, 0);
    site->is_super_doubtful |= fault == SUPER_LOSE_BOTH;
    if (fault != SUPER_ELSEWHERE)
        return false;
    *offset = world_random(w, CW_SUPERBLOCK_COPIES) * 4 * CW_SECTOR_SIZE;
    site->is_super_doubtful = true; /* it may hit the other copy of its own generation's predecessor */
    return true;
}

/* ------------------------------------------------------------------ what a superblock must not forget */

static struct super_truth truth_of(const struct cw_superblock *s)
{
    return (struct super_truth){.is_known = true,
                                .generation = s->generation,
                                .history = s->history,
                                .journal_id = {s->journal_id[0], s->journal_id[1]},
                                .image_state = s->image_state,
                                .image_sequence = s->image_sequence,
                                .copy_id = s->copy_id};
}

static bool says_the_same(const struct super_truth *a, const struct super_truth *b)
{
    return a->journal_id[0] == b->journal_id[0] && a->journal_id[1] == b->journal_id[1] &&
           a->image_state == b->image_state && a->image_sequence == b->image_sequence &&
           a->copy_id == b->copy_id && memcmp(&a->history, &b->history, sizeof a->history) == 0;
}

/* A superblock is in place: what two generations in a row say counts for ever, or until two others say other.
 */
void media_super_written(struct site *site, const struct cw_superblock *s)
{
    struct super_truth now = truth_of(s);

    if (site->super_last.is_known && says_the_same(&site->super_last, &now))
        site->super_told = now;
    site->super_last = now;
}

void media_super_picked(struct site *site, const struct cw_superblock *s)
{
    struct super_truth now = truth_of(s);
    const struct super_truth *told = &site->super_told;
    bool is_newer = told->is_known && now.generation > told->generation;

    if (told->is_known && !is_newer && !says_the_same(told, &now))
        world_fail(
            site->world,
            "superblock: site %u starts from generation %llu and has forgotten what two generations up to "
            "%llu said: history of %u or %u reigns, image %u or %u",
            site->id, (unsigned long long)now.generation, (unsigned long long)told->generation,
            now.history.count, told->history.count, now.image_state, told->image_state);
    site->super_last = site->super_told = (struct super_truth){0}; /* one of the two may be what was picked */
}

/* ------------------------------------------------------------------ blank disks */

static void blank(struct disk *disk)
{
    uint64_t size = disk->size;

    disk_fini(disk);
    disk_init(disk, size);
}

/* Its storage is gone; an operator puts in new disks and makes the site's part of the group anew. */
void media_replace(struct site *site)
{
    struct world *w = site->world;

    note(w, site, "disks are replaced", 0, 0, 0);
    blank(&site->journal);
    for (uint32_t v = 0; v < w->volume_count; v++) {
        blank(&site->volumes[v]);
        blank(&site->targets[v]);
        site->target_exists[v] = false;
    }
    volumes_init(site);
    site->is_journal_tainted = true;
    site->super_last = site->super_told = (struct super_truth){0};
    truth_forget(site);
    site_format(site);
}
