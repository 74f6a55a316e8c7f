/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A path that does not come up because the two ends do not share a key looks, from afar, like one that is
 * cut. The end that listens can tell: handshakes arrive and are refused. It says so, once, until a path to
 * that site is up. (The end that asks hears nothing: a stranger is not answered.)
 */
#include <string.h>

#include "control/controller.h"

#define REFUSED_MIN 3 /* single ones are left over from a restart */

/* Then its keys are good, and what is refused comes from somebody else. */
static bool is_reached(const json_t *paths, const char *remote)
{
    size_t index;
    json_t *path;
    json_array_foreach(paths, index, path)
    {
        if (cw_json_bool(path, "up", false) && strcmp(cw_json_text(path, "remote", ""), remote) == 0)
            return true;
    }
    return false;
}

static void look_at(struct cw_controller *controller, struct cw_path_seen *seen, const json_t *path,
                    bool is_site_reached)
{
    uint64_t refused = cw_json_u64(json_object_get(path, "counters"), "drop_handshake", 0);
    if (is_site_reached || refused < seen->refused)
        *seen = (struct cw_path_seen){.refused = refused};
    if (seen->is_told || refused - seen->refused < REFUSED_MIN)
        return;
    seen->is_told = true;
    if (controller->config.security.has_certificates) {
        cw_event(
            controller, 2, "",
            "path %s: handshakes from %s are refused: it has a cluster_key and no certificates, or somebody "
            "else sends to this address",
            cw_json_text(path, "name", ""), cw_json_text(path, "remote", ""));
        return;
    }
    cw_event(controller, 2, "",
             "path %s: handshakes from %s are refused: it has another cluster_key than the file %s here, or "
             "certificates, or "
             "somebody else sends to this address",
             cw_json_text(path, "name", ""), cw_json_text(path, "remote", ""),
             controller->config.cluster_key_file);
}

void cw_paths_look(struct cw_controller *controller)
{
    const json_t *paths = json_object_get(controller->engine.status, "paths");
    size_t index;
    json_t *path;
    json_array_foreach(paths, index, path)
    {
        if (index < CW_CONFIG_PATHS_MAX)
            look_at(controller, &controller->paths[index], path,
                    is_reached(paths, cw_json_text(path, "remote", "")));
    }
}
