/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What of a lab does not reach whom. Data is dropped by the engines of both ends, so that one of them may be
 * killed; what is cut is kept in a file, so that an engine which is started again is told. (Until it is, in
 * its first moment, its frames pass.) The control network is cut by lab_control.c.
 */
#include <stdio.h>
#include <string.h>

#include "control/lab.h"

static void load_one(const struct cw_lab *lab, const json_t *list,
                     bool cuts[CW_LAB_SITES_MAX][CW_LAB_SITES_MAX])
{
    size_t index;
    json_t *entry;
    json_array_foreach((json_t *)list, index, entry)
    {
        uint32_t from = cw_lab_site_index(lab, cw_json_text(entry, "from", ""));
        uint32_t to = cw_lab_site_index(lab, cw_json_text(entry, "to", ""));
        if (from < lab->site_count && to < lab->site_count)
            cuts[from][to] = true;
    }
}

static json_t *list_one(const struct cw_lab *lab, const bool cuts[CW_LAB_SITES_MAX][CW_LAB_SITES_MAX])
{
    json_t *list = json_array();
    for (uint32_t from = 0; from < lab->site_count; from++) {
        for (uint32_t to = 0; to < lab->site_count; to++) {
            if (cuts[from][to])
                json_array_append_new(list,
                                      json_pack("{s:s,s:s}", "from", lab->sites[from], "to", lab->sites[to]));
        }
    }
    return list;
}

static void file_of(const struct cw_lab *lab, char *path, size_t size)
{
    snprintf(path, size, "%s/cuts.json", lab->directory);
}

void cw_lab_cuts_load(const struct cw_lab *lab, struct cw_lab_cuts *cuts)
{
    char path[CW_LAB_PATH_SIZE];
    *cuts = (struct cw_lab_cuts){0};
    file_of(lab, path, sizeof path);
    json_t *json = json_load_file(path, 0, NULL);
    load_one(lab, json_object_get(json, "data"), cuts->data);
    load_one(lab, json_object_get(json, "control"), cuts->control);
    json_decref(json);
}

json_t *cw_lab_cuts_list(const struct cw_lab *lab, const struct cw_lab_cuts *cuts)
{
    return json_pack("{s:o,s:o}", "data", list_one(lab, cuts->data), "control", list_one(lab, cuts->control));
}

bool cw_lab_cuts_save(const struct cw_lab *lab, const struct cw_lab_cuts *cuts)
{
    char path[CW_LAB_PATH_SIZE];
    file_of(lab, path, sizeof path);
    json_t *json = cw_lab_cuts_list(lab, cuts);
    bool is_saved = json && json_dump_file(json, path, JSON_INDENT(1)) == 0;
    json_decref(json);
    return is_saved;
}

bool cw_lab_cuts_tell(const struct cw_lab *lab, const struct cw_lab_cuts *cuts, uint32_t site,
                      struct cw_rpc_failure *failure)
{
    char path[CW_LAB_PATH_SIZE];
    bool is_told = true;
    cw_lab_site_file(lab, lab->sites[site], "engine.sock", path, sizeof path);
    for (uint32_t other = 0; other < cw_lab_engine_count(lab) && is_told; other++) {
        if (other == site)
            continue;
        json_t *params = json_pack("{s:s,s:b,s:b}", "remote", lab->sites[other], "receive",
                                   cuts->data[other][site], "transmit", cuts->data[site][other]);
        json_t *answer = cw_ask_socket(path, "lab.cut", params, 5000, failure);
        is_told = answer != NULL;
        json_decref(answer);
    }
    return is_told;
}
