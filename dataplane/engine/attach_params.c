/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/attach_params.h"

#include <stdio.h>
#include <string.h>

static bool read_sites(const struct cw_call *call, uint8_t *sites)
{
    size_t i;
    const json_t *one;
    *sites = 0;
    json_array_foreach(json_object_get(call->params, "sites"), i, one)
    {
        const char *name = json_string_value(one);
        uint8_t id = name != NULL ? cw_engine_site_id(call->control->engine, name) : CW_SITES_MAX;
        if (id >= CW_SITES_MAX)
            return false;
        *sites |= (uint8_t)(1u << id);
    }
    return (*sites & 1u << call->control->engine->config.site_id) != 0;
}

static bool read_mode(const struct cw_call *call, enum cw_mode *mode)
{
    char name[32];
    if (!cw_call_text(call, "mode", name, sizeof name))
        return false;
    for (unsigned m = 0; m < CW_MODE_COUNT; m++) {
        if (strcmp(name, cw_mode_name(m)) == 0) {
            *mode = m;
            return true;
        }
    }
    return false;
}

/* Optional; false: something else stands there. */
static bool read_removed(const struct cw_call *call, uint64_t *removed)
{
    size_t i;
    const json_t *one;
    *removed = 0;
    json_array_foreach(json_object_get(call->params, "removed_volumes"), i, one)
    {
        json_int_t index = json_is_integer(one) ? json_integer_value(one) : -1;
        if (index < 0 || index >= CW_VOLUMES_PER_GROUP_MAX)
            return false;
        *removed |= 1ull << index;
    }
    return true;
}

const char *cw_attach_params_of_group(const struct cw_call *call, struct cw_attach_params *params)
{
    const json_t *journal = json_object_get(call->params, "journal");
    const char *path = json_string_value(json_object_get(journal, "path"));
    *params = (struct cw_attach_params){.min_in_sync = 0, .timeout_ms = 5000, .brake_ms = 2000};
    (void)cw_call_u64(call, "min_in_sync", &params->min_in_sync);
    (void)cw_call_u64(call, "replica_timeout_ms", &params->timeout_ms);
    (void)cw_call_u64(call, "copy_brake_ms", &params->brake_ms);
    if (!cw_call_u64(call, "group", &params->id) || params->id == 0 || params->id > UINT32_MAX)
        return "group: a number from 1 on";
    if (!cw_call_text(call, "name", params->name, sizeof params->name))
        return "name: at most 63 characters";
    if (!read_mode(call, &params->mode))
        return "mode: async, network-sync, semi-sync or sync";
    if (params->min_in_sync > 1 || params->timeout_ms < 100 || params->timeout_ms > 600000)
        return "min_in_sync is 0 or 1, replica_timeout_ms from 100 to 600000";
    if (params->brake_ms > 60000)
        return "copy_brake_ms: at most 60000";
    if (!read_sites(call, &params->sites))
        return "sites: names of the configuration, this one among them";
    if (!read_removed(call, &params->removed))
        return "removed_volumes: indexes from 0 to 63";
    if (path == NULL || path[0] != '/' || strlen(path) >= sizeof params->path)
        return "journal.path: an absolute path";
    snprintf(params->path, sizeof params->path, "%s", path);
    params->has_store_epoch = cw_call_u64(call, "epoch", &params->store_epoch);
    params->create = json_is_true(json_object_get(journal, "create"));
    params->size = (uint64_t)json_integer_value(json_object_get(journal, "size"));
    return NULL;
}

const char *cw_attach_params_of_volume(const struct cw_call *call, struct cw_volume_params *params)
{
    uint64_t index, block_size = 512;
    *params = (struct cw_volume_params){0};
    (void)cw_call_u64(call, "block_size", &block_size);
    (void)cw_call_text(call, "socket", params->socket, sizeof params->socket);
    if (!cw_call_u64(call, "volume", &index) || index >= CW_VOLUMES_PER_GROUP_MAX)
        return "volume: an index from 0 to 63";
    if (!cw_call_text(call, "name", params->name, sizeof params->name))
        return "name: at most 63 characters";
    if (block_size != 512 && block_size != 4096)
        return "block_size: 512 or 4096";
    if (!cw_call_u64(call, "size", &params->size) || params->size == 0 || params->size % block_size != 0)
        return "size: bytes, a multiple of block_size";
    if (!cw_call_text(call, "path", params->path, sizeof params->path) || params->path[0] != '/')
        return "path: an absolute path";
    if (!cw_json_hex(json_object_get(call->params, "base"), &params->base))
        return "base: a hexadecimal string";
    if (json_is_string(json_object_get(call->params, "socket")) && params->socket[0] == 0 &&
        json_string_length(json_object_get(call->params, "socket")) > 0)
        return "socket: at most 107 bytes";
    params->index = (uint16_t)index;
    params->block_size = (uint32_t)block_size;
    params->create = json_is_true(json_object_get(call->params, "create"));
    params->is_thin = json_is_true(json_object_get(call->params, "thin"));
    return NULL;
}
