/* SPDX-License-Identifier: BSD-3-Clause */
/* A picture of the engine as RPC.md describes it. */
#include <string.h>
#include <unistd.h>

#include "base/numbers.h"
#include "engine/clock.h"
#include "engine/control.h"
#include "engine/net_lcore.h"
#include "engine/control_certificates.h"
#include "engine/no_alloc.h"
#include "io/port.h"

static void set(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void set_text(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, json_string(value));
}

static json_t *site_names(const struct cw_engine *engine, uint8_t bits)
{
    json_t *names = json_array();
    for (uint8_t site = 0; site < CW_SITES_MAX; site++) {
        if (bits & 1u << site)
            json_array_append_new(names, json_string(cw_engine_site_name(engine, site)));
    }
    return names;
}

/* ---------------------------------------------------------------- peers */

static const char *peer_state(const struct cw_peer_status *peer, bool is_primary)
{
    switch ((enum cw_peer_state)peer->state) {
    case CW_PEER_COPY_BEGIN:
    case CW_PEER_COPYING:
        return "resync";
    case CW_PEER_STREAMING:
        return peer->is_member ? "in-sync" : "streaming";
    case CW_PEER_DIVERGED:
        return "diverged";
    case CW_PEER_GREETING:
    case CW_PEER_ATTACHING:
        return is_primary ? "disconnected" : "streaming";
    case CW_PEER_DISCONNECTED:
    case CW_PEER_STATE_COUNT:
        break;
    }
    return "disconnected";
}

static json_t *copy_json(const struct cw_peer_status *peer, uint64_t now_ns)
{
    bool is_active = peer->state == CW_PEER_COPYING || peer->state == CW_PEER_COPY_BEGIN;
    uint64_t passed_ns = is_active ? now_ns - CW_MIN(now_ns, peer->copy_started_ns) : 0;
    double rate = passed_ns > 0 ? (double)peer->copy_done_bytes * 1e9 / (double)passed_ns : 0;
    uint64_t left = peer->copy_total_bytes - CW_MIN(peer->copy_total_bytes, peer->copy_done_bytes);
    json_t *copy = json_object();
    json_object_set_new(copy, "active", json_boolean(is_active));
    set(copy, "done_bytes", is_active ? peer->copy_done_bytes : 0);
    set(copy, "total_bytes", is_active ? peer->copy_total_bytes : 0);
    set(copy, "rate_bytes_per_second", (uint64_t)rate);
    set(copy, "eta_seconds", is_active && rate > 0 ? (uint64_t)((double)left / rate) : 0);
    return copy;
}

static json_t *peer_json(const struct cw_engine *engine, uint8_t site, const struct cw_peer_status *peer,
                         bool is_primary, uint64_t now_ns)
{
    json_t *object = json_object();
    set_text(object, "site", cw_engine_site_name(engine, site));
    set_text(object, "state", peer_state(peer, is_primary));
    set_text(object, "reason", peer->reason);
    json_object_set_new(object, "member", json_boolean(peer->is_member));
    json_object_set_new(object, "awaited", json_boolean(peer->is_awaited));
    json_object_set_new(object, "needs_copy", json_boolean(peer->needs_copy));
    json_object_set_new(object, "stalled", json_boolean(peer->is_stalled));
    set(object, "received", peer->sequences.received);
    set(object, "written", peer->sequences.written);
    set(object, "durable", peer->sequences.durable);
    set(object, "applied", peer->sequences.applied);
    set(object, "lag_bytes", peer->lag_bytes);
    json_object_set_new(object, "lag_seconds", json_real((double)peer->lag_ns / 1e9));
    json_object_set_new(object, "lag_known", json_boolean(peer->is_lag_known));
    set(object, "cursor", peer->cursor);
    json_object_set_new(object, "copy", copy_json(peer, now_ns));
    json_object_set_new(object, "identity", cw_json_identity(engine, site, &peer->identity));
    return object;
}

/* ---------------------------------------------------------------- groups */

static json_t *volume_json(const struct cw_volume_snapshot *volume)
{
    json_t *object = json_object();
    set(object, "volume", volume->volume);
    set_text(object, "name", volume->name);
    set(object, "size", volume->size);
    set_text(object, "path", volume->path);
    json_object_set_new(object, "base", cw_json_from_hex(volume->base));
    set_text(object, "socket", volume->socket);
    set_text(object, "uri", volume->uri);
    set_text(object, "error", volume->export_error);
    json_object_set_new(object, "open", json_boolean(volume->is_open));
    set(object, "connections", volume->connections);
    return object;
}

static json_t *history_json(const struct cw_history *history)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < history->count; i++) {
        const struct cw_history_entry *entry = &history->entries[i];
        json_array_append_new(list, json_pack("{s:I, s:o, s:I}", "epoch", (json_int_t)entry->epoch, "reign",
                                              cw_json_from_hex(entry->reign), "first_sequence",
                                              (json_int_t)entry->first_sequence));
    }
    return list;
}

static const char *image_name(uint32_t state)
{
    return state == CW_IMAGE_COPYING ? "copying" : state == CW_IMAGE_BROKEN ? "broken" : "whole";
}

/* The image of before a copy that is not finished: what --accept-loss would open. */
static json_t *old_image_json(const struct cw_group_status *status)
{
    struct timespec now;
    if (status->image_sequence == 0)
        return json_null();
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_s = (uint64_t)now.tv_sec;
    return json_pack("{s:I, s:I, s:I}", "sequence", (json_int_t)status->image_sequence, "epoch",
                     (json_int_t)status->image_epoch, "age_seconds",
                     (json_int_t)(now_s - CW_MIN(now_s, status->image_time_s)));
}

static const char *role_name(uint8_t role)
{
    return role == CW_ROLE_OPENING ? "claiming" : cw_role_name(role); /* to others it is one step */
}

/* What the primary that this site followed said last, and how old the newest of it is that is here. */
static json_t *heard_json(const struct cw_heard *heard, uint64_t now_ns)
{
    if (heard->epoch == 0)
        return json_null();
    uint64_t lacks_ns = heard->newest_ns ? heard->time_ns - CW_MIN(heard->time_ns, heard->newest_ns) : 0;
    json_t *object =
        json_pack("{s:I, s:o, s:I, s:f, s:f}", "epoch", (json_int_t)heard->epoch, "reign",
                  cw_json_from_hex(heard->reign), "head", (json_int_t)heard->head, "newest_age_seconds",
                  (double)lacks_ns / 1e9, "writes_per_second", (double)heard->rate_milli / 1e3);
    if (heard->at_ns)
        json_object_set_new(object, "age_seconds",
                            json_real((double)(now_ns - CW_MIN(now_ns, heard->at_ns)) / 1e9));
    return object;
}

static void set_sequences(json_t *object, const struct cw_group_status *status)
{
    set(object, "head", status->head);
    set(object, "completed", status->completed);
    set(object, "received", status->sequences.received);
    set(object, "written", status->sequences.written);
    set(object, "durable", status->sequences.durable);
    set(object, "commit", status->sequences.commit);
    set(object, "applied", status->sequences.applied);
    set(object, "applied_limit", status->applied_limit);
}

static json_t *peers_json(const struct cw_engine *engine, const struct cw_control_group *group,
                          const struct cw_group_status *status, uint64_t now_ns)
{
    json_t *peers = json_array();
    bool is_primary = status->primary == engine->config.site_id;
    for (uint8_t site = 0; site < CW_SITES_MAX; site++) {
        if (site != engine->config.site_id && group->sites & 1u << site)
            json_array_append_new(peers, peer_json(engine, site, &status->peers[site], is_primary, now_ns));
    }
    return peers;
}

/* Oldest first. */
static json_t *answered_json(const struct cw_answered_reign answered[CW_ANSWERED_REIGNS])
{
    json_t *list = json_array();
    for (unsigned i = CW_ANSWERED_REIGNS; i-- > 0;) {
        if (answered[i].count > 0)
            json_array_append_new(
                list, json_pack("{s:I, s:I, s:I, s:I}", "epoch", (json_int_t)answered[i].epoch, "first_ns",
                                (json_int_t)answered[i].first_ns, "last_ns", (json_int_t)answered[i].last_ns,
                                "count", (json_int_t)answered[i].count));
    }
    return list;
}

/* A name that two modules use would hide the counter of one of them. */
static void add_counter(json_t *object, const char *name, uint64_t value)
{
    CW_ASSERT(json_object_get(object, name) == NULL);
    set(object, name, value);
}

static json_t *counters_json(const uint64_t *values, const char *const *names, unsigned count)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < count; i++)
        add_counter(object, names[i], values[i]);
    return object;
}

static json_t *turn_json(const struct cw_turn *turn)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "left_epoch", (json_int_t)turn->left_epoch,
                     "held_ns", (json_int_t)turn->held_ns, "drained_ns", (json_int_t)turn->drained_ns,
                     "left_ns", (json_int_t)turn->left_ns, "opened_epoch", (json_int_t)turn->opened_epoch,
                     "asked_ns", (json_int_t)turn->asked_ns, "opened_ns", (json_int_t)turn->opened_ns);
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* The words of the group with the names of sites. */
static void set_words(const struct cw_engine *engine, json_t *object, const char *key, const char *text)
{
    char words[CW_WHY_SIZE];
    cw_control_put_names(engine, text, words, sizeof words);
    set_text(object, key, words);
}

static json_t *grants_json(const struct cw_engine *engine, const struct cw_group_status *status)
{
    static const char *const results[CW_GRANT_RESULT_COUNT] = {
        [CW_GRANT_GIVEN] = "",
        [CW_GRANT_FREEZE] = "freeze",
        [CW_GRANT_STALE] = "stale",
        [CW_GRANT_OPENING] = "opening",
    };
    json_t *grants = json_array();
    for (uint8_t site = 0; site < CW_SITES_MAX; site++) {
        const struct cw_grant_status *grant = &status->grants[site];
        if (grant->is_needed)
            json_array_append_new(
                grants, json_pack("{s:s, s:f, s:s}", "site", cw_engine_site_name(engine, site), "seconds",
                                  seconds(grant->remaining_ns), "refused", results[grant->result]));
    }
    return grants;
}

/* What lets a primary acknowledge, and what we granted to another one. */
static json_t *lease_json(const struct cw_engine *engine, const struct cw_group_status *status)
{
    static const char *const covers[] = {
        [CW_COVER_NONE] = "none", [CW_COVER_STORE] = "store", [CW_COVER_GRANTS] = "grants"};
    bool is_open = status->role >= CW_ROLE_PRIMARY;
    bool has_granted = status->granted_to < CW_SITES_MAX;
    return json_pack("{s:s, s:s, s:f, s:o, s:s, s:f}", "on_store_loss",
                     status->peer_grants ? "peer-grants" : "freeze", "by",
                     is_open ? covers[status->cover] : "", "store_seconds",
                     seconds(status->store_remaining_ns), "grants", grants_json(engine, status), "granted_to",
                     has_granted ? cw_engine_site_name(engine, status->granted_to) : "", "granted_seconds",
                     seconds(status->granted_remaining_ns));
}

static void fill_running(const struct cw_engine *engine, const struct cw_control_group *group,
                         const struct cw_group_snapshot *snapshot, uint64_t now_ns, json_t *object)
{
    const struct cw_group_status *status = &snapshot->status;
    set_text(object, "role", role_name(status->role));
    set_text(object, "primary",
             status->primary < CW_SITES_MAX ? cw_engine_site_name(engine, status->primary) : "");
    set(object, "epoch", status->epoch);
    json_object_set_new(object, "reign", cw_json_from_hex(status->reign));
    set_words(engine, object, "reason", status->reason);
    set_words(engine, object, "refusal", status->refusal);
    json_object_set_new(object, "frozen", json_boolean(status->is_frozen));
    json_object_set_new(object, "lease", lease_json(engine, status));
    set_sequences(object, status);
    json_object_set_new(object, "heard", heard_json(&status->heard, now_ns));
    json_object_set_new(object, "identity",
                        cw_json_identity(engine, engine->config.site_id, &status->identity));
    json_object_set_new(object, "history", history_json(&status->history));
    set_text(object, "image", image_name(status->image_state));
    json_object_set_new(object, "old_image", old_image_json(status));
    json_object_set_new(object, "journal",
                        json_pack("{s:s, s:I, s:I, s:I, s:b}", "path", group->setup.group->journal.path,
                                  "bytes", (json_int_t)status->journal_bytes, "used_bytes",
                                  (json_int_t)status->journal_used_bytes, "oldest_sequence",
                                  (json_int_t)status->journal_oldest, "damaged", status->is_damaged));
    set(object, "throughput_bytes_per_second", snapshot->bytes_per_second);
    set(object, "iops", snapshot->writes_per_second);
    json_object_set_new(object, "members", site_names(engine, status->members));
    json_object_set_new(object, "turn", turn_json(&status->turn));
    json_object_set_new(object, "answered", answered_json(snapshot->answered));
    json_object_set_new(object, "peers", peers_json(engine, group, status, now_ns));
    json_object_set_new(object, "counters",
                        counters_json(status->counters, cw_group_counter_names, CW_GROUP_COUNTER_COUNT));
    json_t *volumes = json_object_get(object, "volumes");
    for (uint32_t i = 0; i < snapshot->volume_count; i++)
        json_array_append_new(volumes, volume_json(&snapshot->volumes[i]));
}

/* Not started: what control knows. Its volumes are control's own until then. */
static void fill_unstarted(const struct cw_engine *engine, const struct cw_control_group *group,
                           json_t *object)
{
    set_text(object, "role", "attaching");
    set_text(object, "primary", "");
    set_text(object, "reason",
             group->reason[0] != 0 ? group->reason : "the journal is being opened or recovered");
    set_text(object, "refusal", "");
    set(object, "epoch", 0);
    set_text(object, "reign", "0");
    json_object_set_new(object, "frozen", json_false());
    json_object_set_new(object, "peers", json_array());
    json_object_set_new(object, "members", json_array());
    json_object_set_new(object, "identity",
                        cw_json_identity(engine, engine->config.site_id, &group->identity));
    if (group->state != CW_ATTACH_WAITING || group->is_busy)
        return;
    json_t *volumes = json_object_get(object, "volumes");
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++) {
        const struct cw_store_volume *volume = &group->setup.group->volumes[i];
        if (!volume->is_used)
            continue;
        json_array_append_new(volumes,
                              json_pack("{s:i, s:s, s:I, s:s, s:o, s:s, s:b, s:i}", "volume", (int)i, "name",
                                        volume->block.name, "size", (json_int_t)volume->size, "path",
                                        volume->file.path, "base", cw_json_from_hex(volume->base), "socket",
                                        volume->socket, "open", 0, "connections", 0));
    }
}

static json_t *group_json(const struct cw_engine *engine, const struct cw_control_group *group,
                          const struct cw_group_snapshot *snapshot, uint64_t now_ns)
{
    json_t *object = json_object();
    set(object, "group", group->id);
    set_text(object, "name", group->name);
    set_text(object, "mode", cw_mode_name(group->mode));
    set(object, "min_in_sync", group->min_in_sync);
    set(object, "lane", cw_engine_lane_of(engine, group->id));
    json_object_set_new(object, "volumes", json_array());
    if (group->state == CW_ATTACH_RUNNING && snapshot->is_used && snapshot->group == group->id)
        fill_running(engine, group, snapshot, now_ns, object);
    else
        fill_unstarted(engine, group, object);
    return object;
}

/* ---------------------------------------------------------------- paths and the whole */

/* Why a path of a fixed rate sends less than that, and what to do. */
static void set_held(json_t *object, const struct cw_session_path_stats *stats)
{
    static const char next[] = "give it a rate that the circuit carries, or rate_control: bbr";
    unsigned seconds = (unsigned)((stats->held_left_ns + CW_SECOND - 1) / CW_SECOND);
    char text[256] = "";
    if (stats->held == CW_FIXED_TRIPPED)
        snprintf(
            text, sizeof text,
            "circuit breaker: %u per cent were lost; little is sent, its rate is tried again in %u s; %s",
            stats->held_amount, seconds, next);
    if (stats->held == CW_FIXED_YIELDING)
        snprintf(text, sizeof text,
                 "a queue of %u ms stood in it; less is sent, its rate is tried again in %u s; %s",
                 stats->held_amount, seconds, next);
    set_text(object, "reason", text);
}

static json_t *rate_control_json(const struct cw_config_path *path, const struct cw_session_path_stats *stats)
{
    json_t *object = json_object();
    set_text(object, "kind", stats->rate_name ? stats->rate_name : "");
    set_text(object, "state", stats->rate_state ? stats->rate_state : "");
    set_held(object, stats);
    set(object, "pacing_bps", stats->pacing_bytes_per_second * 8);
    if (stats->window_bytes != UINT64_MAX)
        set(object, "window_bytes", stats->window_bytes);
    set(object, "in_flight_bytes", stats->bytes_in_flight);
    set(object, "in_flight_packets", stats->packets_in_flight);
    set(object, "in_flight_packets_max", cw_config_packets_in_flight(path));
    set(object, "rate_limit_bps", path->rate_bits_per_second);
    json_object_set_new(object, "rtt_min_us", json_real((double)stats->rtt_ns_min / 1e3));
    return object;
}

/* A path that its session does not use is down, or the peer has none of that name. */
static const char *path_state(const struct cw_session_path_stats *stats)
{
    return !stats->is_at_both                         ? "not at both ends"
           : strcmp(stats->state_name, "unused") == 0 ? "down"
                                                      : stats->state_name;
}

void cw_snapshot_path(const struct cw_snapshot *snapshot, uint32_t lane_count, uint32_t path,
                      struct cw_path_snapshot *to)
{
    uint32_t like = 0;
    while (like + 1 < lane_count && snapshot->lanes[like].paths[path].is_up)
        like++;
    if (snapshot->lanes[like].paths[path].is_up)
        like = 0;
    *to = snapshot->lanes[like].paths[path];
    for (uint32_t lane = 0; lane < lane_count; lane++) {
        const struct cw_path_snapshot *one = &snapshot->lanes[lane].paths[path];
        if (lane == like)
            continue;
        to->pending += one->pending;
        to->stats.rate_bytes_per_second += one->stats.rate_bytes_per_second;
        if (one->stats.held > to->stats.held) { /* the worst is what somebody has to know */
            to->stats.held = one->stats.held;
            to->stats.held_amount = one->stats.held_amount;
            to->stats.held_left_ns = one->stats.held_left_ns;
        }
        for (unsigned c = 0; c < CW_SESSION_COUNTER_COUNT; c++)
            to->stats.counters[c] += one->stats.counters[c];
        for (unsigned c = 0; c < CW_PORT_COUNTER_COUNT; c++)
            to->port[c] += one->port[c];
    }
}

/* What differs between lanes; the sums are the path's. */
static json_t *lanes_json(const struct cw_snapshot *snapshot, uint32_t lane_count, uint32_t path)
{
    json_t *list = json_array();
    for (uint32_t lane = 0; lane < lane_count; lane++) {
        const struct cw_path_snapshot *one = &snapshot->lanes[lane].paths[path];
        json_t *object = json_object();
        json_object_set_new(object, "up", json_boolean(one->is_up));
        set_text(object, "state", path_state(&one->stats));
        json_object_set_new(object, "rtt_us", json_real((double)one->stats.rtt_ns_smoothed / 1e3));
        set(object, "pending", one->pending);
        set(object, "datagram_bytes", one->stats.datagram_bytes);
        set(object, "datagrams_out", one->stats.counters[CW_SESSION_DATAGRAMS_OUT]);
        set(object, "datagrams_in", one->stats.counters[CW_SESSION_DATAGRAMS_IN]);
        set(object, "lane_handed_over", one->port[CW_PORT_LANE_PASSED]);
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *path_json(const struct cw_control *control, uint32_t index, const struct cw_snapshot *all)
{
    const struct cw_engine *engine = control->engine;
    const struct cw_config_path *path = &engine->config.paths[index];
    uint32_t lane_count = engine->config.lane_count;
    struct cw_path_snapshot sum, *snapshot = &sum;
    const struct cw_session_path_stats *stats = &sum.stats;
    cw_snapshot_path(all, lane_count, index, &sum);
    json_t *counters = counters_json(stats->counters, cw_session_counter_names, CW_SESSION_COUNTER_COUNT);
    for (unsigned i = 0; i < CW_PORT_COUNTER_COUNT; i++)
        add_counter(counters, cw_port_counter_names[i], snapshot->port[i]);
    json_t *object = json_object();
    set_text(object, "local", engine->config.site);
    set_text(object, "remote", path->remote);
    set_text(object, "name", path->name);
    json_object_set_new(object, "up", json_boolean(snapshot->is_up));
    set_text(object, "state", path_state(stats));
    set_text(object, "certificate", snapshot->is_up ? cw_auth_peer(control, path->peer_index) : "");
    json_object_set_new(object, "rtt_us", json_real((double)stats->rtt_ns_smoothed / 1e3));
    json_object_set_new(object, "loss", json_real(stats->loss));
    set(object, "rate_bps", stats->rate_bytes_per_second * 8);
    set_text(object, "peer_address", snapshot->address);
    set(object, "pending", snapshot->pending);
    char words[256];
    struct cw_port *port = engine->lanes[0].net->paths[index].port;
    cw_port_describe(port, words, sizeof words);
    set_text(object, "port", words);
    set_text(object, "left_means", cw_port_reports_done(port) ? "descriptor done" : "accepted by the port");
    set(object, "datagram_bytes", stats->datagram_bytes);
    json_object_set_new(object, "rate_control", rate_control_json(path, stats));
    json_object_set_new(object, "counters", counters);
    if (lane_count > 1)
        json_object_set_new(object, "lanes", lanes_json(all, lane_count, index));
    return object;
}

/* Counters of the node: the store's, the NBD server's, and the sums over all groups. */
static json_t *node_counters(const struct cw_snapshot *snapshot)
{
    json_t *object = counters_json(snapshot->store_counters, cw_store_counter_names, CW_STORE_COUNTER_COUNT);
    for (unsigned c = 0; c < CW_GROUP_COUNTER_COUNT; c++) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < CW_GROUPS_MAX; i++)
            sum += snapshot->groups[i].status.counters[c];
        add_counter(object, cw_group_counter_names[c], sum);
    }
    uint64_t payloads_free = 0;
    for (unsigned c = 0; c < CW_CLASS_COUNT; c++)
        payloads_free += snapshot->payload_free[c];
    set(object, "payloads_free", payloads_free);
    uint64_t net_turns = 0, net_cycle_ns_max = 0;
    for (uint32_t lane = 0; lane < CW_LANES_MAX; lane++) {
        net_turns += snapshot->lanes[lane].turns;
        net_cycle_ns_max = CW_MAX(net_cycle_ns_max, snapshot->lanes[lane].cycle_ns_max);
    }
    set(object, "net_turns", net_turns);
    set(object, "store_cycle_ns_max", snapshot->store_cycle_ns_max);
    set(object, "net_cycle_ns_max", net_cycle_ns_max);
    return object;
}

json_t *cw_status_json(struct cw_control *control, const struct cw_snapshot *snapshot)
{
    const struct cw_engine *engine = control->engine;
    uint64_t now_ns = cw_clock_now_ns();
    json_t *object = json_object();
    set_text(object, "site", engine->config.site);
    set_text(object, "version", CW_VERSION);
    set(object, "pid", (uint64_t)getpid());
    json_object_set_new(object, "uptime_seconds", json_real((double)(now_ns - engine->started_ns) / 1e9));
    json_object_set_new(object, "boot_id", cw_json_from_id(engine->boot_id));
    json_object_set_new(object, "process_start", cw_json_from_hex(engine->process_start));
    set(object, "memory_bytes", engine->memory_bytes);
    set(object, "allocations_on_lcore", cw_no_alloc_count());
    json_object_set_new(object, "hugepages", json_boolean(cw_eal_has_hugepages()));
    set(object, "net_lcores", engine->config.lane_count);
    set_text(object, "poll", engine->config.poll == CW_CONFIG_POLL_DEDICATED ? "dedicated" : "adaptive");
    set(object, "lease_remaining_ms",
        (snapshot->lease_deadline_ns - CW_MIN(snapshot->lease_deadline_ns, now_ns)) / CW_MS);
    json_t *groups = json_array(), *paths = json_array();
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (control->groups[i].state != CW_ATTACH_NONE)
            json_array_append_new(groups,
                                  group_json(engine, &control->groups[i], &snapshot->groups[i], now_ns));
    }
    for (uint32_t i = 0; i < engine->config.path_count; i++)
        json_array_append_new(paths, path_json(control, i, snapshot));
    json_object_set_new(object, "groups", groups);
    json_object_set_new(object, "paths", paths);
    json_object_set_new(object, "counters", node_counters(snapshot));
    json_object_set_new(object, "nbd",
                        counters_json(snapshot->nbd_counters, cw_nbd_counter_names, CW_NBD_COUNTER_COUNT));
    return object;
}
