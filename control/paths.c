/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A path that does not come up because the two ends do not share a key looks, from afar, like one that is
 * cut. The end that listens can tell: handshakes arrive and are refused. It says so, once, until a path to
 * that site is up. (The end that asks hears nothing: a stranger is not answered.)
 *
 * Nor is it seen from afar why a long path is slow: what may be on its way at a time, over the round trip, is
 * the most that it carries. If that is less than its configured rate, it is said.
 */
#include <string.h>

#include "control/controller.h"

#define REFUSED_MIN     3   /* single ones are left over from a restart */
#define SHORT_OF_RATE   0.9 /* less is told of */
#define IN_FLIGHT_SLACK 1.25
#define RECEIVE_TIMES   4u /* half is for large messages, which stay until the commit, a round trip later */

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
        *seen = (struct cw_path_seen){.refused = refused, .is_short_told = seen->is_short_told};
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
             "certificates, or somebody else sends to this address",
             cw_json_text(path, "name", ""), cw_json_text(path, "remote", ""),
             controller->config.cluster_key_file);
}

/* Again only after it was long enough meanwhile. */
static void look_at_reach(struct cw_controller *controller, struct cw_path_seen *seen, const json_t *path)
{
    const json_t *rate = json_object_get(path, "rate_control");
    double wanted = (double)cw_json_u64(rate, "rate_limit_bps", 0);
    double most = (double)cw_json_u64(rate, "in_flight_packets_max", 0) *
                  (double)cw_json_u64(path, "datagram_bytes", 0) * 8;
    double round_trip_s = json_number_value(json_object_get(rate, "rtt_min_us")) / 1e6;
    if (!cw_json_bool(path, "up", false) || round_trip_s <= 0 || most <= 0)
        return;
    double carried = most / round_trip_s;
    if (carried >= wanted * SHORT_OF_RATE) {
        seen->is_short_told = false;
    } else if (!seen->is_short_told) {
        uint64_t enough_mb = (uint64_t)(wanted / 8 * round_trip_s * IN_FLIGHT_SLACK) / CW_MIB + 1;
        seen->is_short_told = true;
        cw_event(
            controller, 1, "",
            "path %s: a round trip of %.0f ms and the packets that may be on their way let it carry %.0f "
            "Mbit/s at most, of the %.0f of its rate: set its in_flight to %lluM, and memory.receive_mb at "
            "the other end to at least %llu",
            cw_json_text(path, "name", ""), round_trip_s * 1e3, carried / 1e6, wanted / 1e6,
            (unsigned long long)enough_mb, (unsigned long long)(RECEIVE_TIMES * enough_mb));
    }
}

void cw_paths_look(struct cw_controller *controller)
{
    const json_t *paths = json_object_get(controller->engine.status, "paths");
    size_t index;
    json_t *path;
    json_array_foreach(paths, index, path)
    {
        if (index >= CW_CONFIG_PATHS_MAX)
            break;
        look_at_reach(controller, &controller->paths[index], path);
        look_at(controller, &controller->paths[index], path,
                is_reached(paths, cw_json_text(path, "remote", "")));
    }
}
