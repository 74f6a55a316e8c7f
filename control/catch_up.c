/* SPDX-License-Identifier: BSD-3-Clause */
/* How far a replica is behind its primary, from what the primary's engine last said of it. */
#include <stdio.h>
#include <string.h>

#include "control/controller.h"

#define FAR_SECONDS 5.0

/* Bits per second that the primary's engine sends to the site by all paths now. */
static double rate_to(const struct cw_controller *controller, const char *holder, const char *site)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, holder);
    const json_t *engine = seen ? json_object_get(seen->facts, "engine") : NULL;
    double rate = 0;
    size_t index;
    json_t *path;
    json_array_foreach(json_object_get(engine, "paths"), index, path)
    {
        if (strcmp(cw_json_text(path, "remote", ""), site) == 0)
            rate += cw_json_number(path, "rate_bps", 0);
    }
    return rate;
}

static void say_copy(const json_t *copy, char *words, size_t size)
{
    double done = cw_json_number(copy, "done_bytes", 0), total = cw_json_number(copy, "total_bytes", 0);
    double eta = cw_json_number(copy, "eta_seconds", 0);
    int length = snprintf(words, size, "; it is copied in full, %.0f %% of %.0f MiB are there",
                          total > 0 ? done / total * 100 : 0, total / (double)CW_MIB);
    if (eta > 0 && length > 0 && (size_t)length < size)
        snprintf(words + length, size - (size_t)length, ", about %.0f s are left", eta);
}

void cw_catch_up_words(const struct cw_controller *controller, const struct cw_store_group *group,
                       const char *site, char *words, size_t size)
{
    const char *holder = group->authority.holder;
    const json_t *peer = cw_facts_peer(cw_facts_group(controller, holder, group->id), site);
    const json_t *copy = json_object_get(peer, "copy");
    double bytes = cw_json_number(peer, "lag_bytes", 0), rate = rate_to(controller, holder, site);
    words[0] = 0;
    if (cw_json_bool(copy, "active", false)) {
        say_copy(copy, words, size);
    } else if (!peer || strcmp(cw_json_text(peer, "state", ""), "disconnected") == 0) {
        snprintf(words, size, "; %s has no connection to it, or has not said", holder);
    } else if (!cw_json_bool(peer, "lag_known", true)) {
        snprintf(words, size, "; how much it lacks is not known yet");
    } else if (bytes > 0) {
        int length = snprintf(words, size, "; it lacks %.1f MiB, the oldest written %.1f s ago",
                              bytes / (double)CW_MIB, cw_json_number(peer, "lag_seconds", 0));
        if (rate > 0 && length > 0 && (size_t)length < size)
            snprintf(words + length, size - (size_t)length, ", about %.0f s at the path's present rate",
                     bytes * 8 / rate);
    }
}

bool cw_is_far_behind(const struct cw_controller *controller, const struct cw_store_group *group,
                      const char *site)
{
    const json_t *peer = cw_facts_peer(cw_facts_group(controller, group->authority.holder, group->id), site);
    return !peer || !cw_json_bool(peer, "lag_known", true) ||
           cw_json_number(peer, "lag_seconds", 0) > FAR_SECONDS;
}
