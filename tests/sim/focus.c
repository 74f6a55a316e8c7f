/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a seed is about. Half of the seeds have any faults in any measure, and those that need several things
 * at once come seldom there. The others have a focus: what it needs is always on, what would only end the run
 * early or drown it is off, half of the faults are of its own kinds, and they come faster. --focus NAME gives
 * every seed that focus; else the seed draws one, so that the plain draw reaches whatever a focus reaches.
 *
 * A seed and a focus name one world: who draws the focus and who is given it run the same.
 */
#include <string.h>

#include "sim.h"

#define FAULT_LIES (FAULT_ROT | FAULT_MISDIRECT | FAULT_SUPER | FAULT_REPLACE)

static const struct focus foci[] = {
    {.name = "plain",
     .tick_ns_max = 3 * CW_SECOND,
     .run_ns_min = 10 * CW_SECOND,
     .run_ns_max = 60 * CW_SECOND},
    /* Takers while the holder still reigns, or believes so. */
    {.name = "lease",
     .always = FAULT_LONELY | FAULT_PROMOTE,
     .never = FAULT_LIES | FAULT_DISK_FAIL | FAULT_IO | FAULT_RESYNC | FAULT_GIVE_UP | FAULT_TWO,
     .often = FAULT_LONELY,
     .tick_ns_max = 6 * CW_SECOND,
     .run_ns_min = 20 * CW_SECOND,
     .run_ns_max = 40 * CW_SECOND},
    /* Primaries that fall silent, for short and for long; nobody but the sites themselves takes over. */
    {.name = "failover",
     .always = FAULT_CUT | FAULT_STORE_CUT | FAULT_SWITCHOVER,
     .never = FAULT_LIES | FAULT_DISK_FAIL | FAULT_IO | FAULT_RESYNC | FAULT_GIVE_UP | FAULT_LONELY |
              FAULT_PROMOTE | FAULT_LOSSY | FAULT_POWER | FAULT_TWO,
     .often = FAULT_CUT | FAULT_SWITCHOVER,
     .tick_ns_max = 8 * CW_SECOND,
     .run_ns_min = 40 * CW_SECOND,
     .run_ns_max = 60 * CW_SECOND,
     .modes = 1u << CW_MODE_ASYNC | 1u << CW_MODE_SYNC,
     .is_automatic = true},
    /* The store goes, the sites stay, and who reaches it is in a hurry; granters restart, links are cut. */
    {.name = "grants",
     .always =
         FAULT_STORE_LOST | FAULT_PROMOTE | FAULT_KILL | FAULT_CUT | FAULT_PAUSE | FAULT_CLOCK | FAULT_LOSSY,
     .never = FAULT_LIES | FAULT_DISK_FAIL | FAULT_IO | FAULT_RESYNC | FAULT_GIVE_UP | FAULT_TWO |
              FAULT_POWER | FAULT_VOLUMES,
     .often = FAULT_STORE_LOST | FAULT_CUT | FAULT_PAUSE,
     .tick_ns_max = 5 * CW_SECOND,
     .run_ns_min = 30 * CW_SECOND,
     .run_ns_max = 60 * CW_SECOND,
     .has_grants = true},
    /* No quorum is left, and operators open a site by tokens; the old side comes back, and the store. */
    {.name = "glass",
     .always = FAULT_PROMOTE | FAULT_LINK_NOISE,
     .never = FAULT_LIES | FAULT_DISK_FAIL | FAULT_IO | FAULT_RESYNC | FAULT_GIVE_UP | FAULT_TWO |
              FAULT_KILL | FAULT_POWER | FAULT_VOLUMES | FAULT_PAUSE | FAULT_LONELY | FAULT_STORE_CUT |
              FAULT_STORE_LOST | FAULT_LOSSY | FAULT_SWITCHOVER | FAULT_CUT,
     .tick_ns_max = 8 * CW_SECOND,
     .run_ns_min = 40 * CW_SECOND,
     .run_ns_max = 60 * CW_SECOND,
     .modes = 1u << CW_MODE_ASYNC | 1u << CW_MODE_SYNC,
     .has_tokens = true},
    /* Full copies under load, over links that overtake. */
    {.name = "copy",
     .always = FAULT_RESYNC | FAULT_LINK_NOISE,
     .never = FAULT_LIES | FAULT_DISK_FAIL | FAULT_LONELY | FAULT_PAUSE | FAULT_GIVE_UP | FAULT_TWO,
     .often = FAULT_RESYNC,
     .tick_ns_max = CW_SECOND,
     .run_ns_min = 10 * CW_SECOND,
     .run_ns_max = 20 * CW_SECOND,
     .is_busy = true},
    /* Writes come faster than the path carries them: copies fall off the journal, and end all the same. */
    {.name = "slow",
     .always = FAULT_RESYNC,
     .never = FAULT_LIES | FAULT_DISK_FAIL | FAULT_LONELY | FAULT_PAUSE | FAULT_GIVE_UP | FAULT_TWO |
              FAULT_VOLUMES | FAULT_IO,
     .often = FAULT_RESYNC,
     .tick_ns_max = 8 * CW_SECOND,
     .run_ns_min = 10 * CW_SECOND,
     .run_ns_max = 30 * CW_SECOND,
     .is_busy = true,
     .is_slow = true},
    /* Sites that went on alone, are copied in full, and lose their source in the middle. */
    {.name = "revert",
     .always = FAULT_GIVE_UP | FAULT_RESYNC | FAULT_LONELY | FAULT_LOSSY | FAULT_PROMOTE,
     .never = FAULT_LIES | FAULT_DISK_FAIL | FAULT_PAUSE,
     .often = FAULT_GIVE_UP | FAULT_LONELY,
     .tick_ns_max = 4 * CW_SECOND,
     .run_ns_min = 30 * CW_SECOND,
     .run_ns_max = 60 * CW_SECOND,
     .modes = 1u << CW_MODE_ASYNC},
    /* Processes and machines that go and come back, and others take over meanwhile. */
    {.name = "restart",
     .always = FAULT_KILL | FAULT_POWER | FAULT_PROMOTE | FAULT_TWO | FAULT_LOSSY,
     .never = FAULT_LIES | FAULT_DISK_FAIL | FAULT_IO | FAULT_LONELY | FAULT_RESYNC | FAULT_GIVE_UP,
     .often = FAULT_TWO,
     .tick_ns_max = 6 * CW_SECOND,
     .run_ns_min = 30 * CW_SECOND,
     .run_ns_max = 60 * CW_SECOND,
     .modes = 1u << CW_MODE_SYNC | 1u << CW_MODE_SEMI_SYNC,
     .syncs_seldom = true,
     .starts_badly = true},
    /* Volumes are made and deleted, and not every site hears of it at once; copies, and sites that go. */
    {.name = "volumes",
     .always = FAULT_VOLUMES | FAULT_RESYNC | FAULT_KILL | FAULT_STORE_CUT | FAULT_SWITCHOVER | FAULT_PROMOTE,
     .never = FAULT_LIES | FAULT_DISK_FAIL | FAULT_LONELY | FAULT_TWO | FAULT_GIVE_UP,
     .often = FAULT_VOLUMES | FAULT_RESYNC | FAULT_SWITCHOVER,
     .tick_ns_max = 2 * CW_SECOND,
     .run_ns_min = 10 * CW_SECOND,
     .run_ns_max = 30 * CW_SECOND},
    /* One site's superblocks suffer, and it starts often. */
    {.name = "super",
     .always = FAULT_SUPER | FAULT_KILL | FAULT_PROMOTE,
     .never = FAULT_ROT | FAULT_MISDIRECT | FAULT_REPLACE | FAULT_DISK_FAIL | FAULT_IO | FAULT_LONELY,
     .often = FAULT_SUPER | FAULT_KILL,
     .tick_ns_max = CW_SECOND,
     .run_ns_min = 10 * CW_SECOND,
     .run_ns_max = 30 * CW_SECOND},
};

int focus_parse(const char *text)
{
    for (uint32_t i = 0; i < CW_COUNT_OF(foci); i++)
        if (strcmp(foci[i].name, text) == 0)
            return (int)i;
    return strcmp(text, "any") == 0 ? FOCUS_ANY : -1;
}

static uint32_t draw_faults(struct world *w)
{
    const uint32_t rare =
        FAULT_ROT | FAULT_MISDIRECT | FAULT_DISK_FAIL | FAULT_LOSSY | FAULT_IO | FAULT_REPLACE;
    uint32_t often = (uint32_t)world_random(w, 4) * 250 + 100, faults = 0;

    for (uint32_t i = 0; i < FAULT_BITS; i++)
        if (world_chance(w, rare >> i & 1 ? often / 4 : often))
            faults |= 1u << i;
    return faults;
}

enum cw_mode focus_mode(struct world *w)
{
    uint32_t mode = (uint32_t)world_random(w, CW_MODE_NETWORK_SYNC);

    while (w->focus->modes && !(w->focus->modes >> mode & 1) && world_chance(w, 900))
        mode = (uint32_t)world_random(w, CW_MODE_NETWORK_SYNC);
    if (mode == CW_MODE_ASYNC && world_chance(w, 333)) /* which is async but for when it answers */
        mode = CW_MODE_NETWORK_SYNC;
    return w->options.mode >= 0 ? (enum cw_mode)w->options.mode : (enum cw_mode)mode;
}

void focus_choose(struct world *w)
{
    uint64_t drawn = world_random(w, 2 * (CW_COUNT_OF(foci) - 1));

    if (w->options.focus != FOCUS_ANY)
        drawn = (uint64_t)w->options.focus;
    w->focus = &foci[drawn < CW_COUNT_OF(foci) ? drawn : 0];
}

void focus_faults(struct world *w)
{
    w->faults = (draw_faults(w) | w->focus->always) & ~w->focus->never & ~w->options.faults_off;
    w->rot_site = (w->faults & FAULT_LIES) ? (int)world_random(w, w->site_count) : -1;
}

enum fault_class focus_next_fault(struct world *w, uint32_t events)
{
    uint32_t class_;

    if ((events & w->focus->often) && world_chance(w, 500))
        events &= w->focus->often;
    do
        class_ = 1u << world_random(w, FAULT_BITS);
    while (!(events & class_));
    return (enum fault_class)class_;
}
