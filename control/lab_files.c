/* SPDX-License-Identifier: BSD-3-Clause */
/* The files of a lab: made once, read by every later command, removed with it. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/numbers.h"
#include "control/certificates.h"
#include "control/lab.h"
#include "engine/config/node_config.h"

#define TMPFS    0x01021994
#define LAB_DAYS 3650

void cw_lab_site_file(const struct cw_lab *lab, const char *site, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s%s%s", lab->directory, site, *name ? "/" : "", name);
}

const char *cw_lab_site_list(const struct cw_lab *lab, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < lab->site_count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", lab->sites[i]);
    return text;
}

bool cw_lab_has_site(const struct cw_lab *lab, const char *site)
{
    return cw_lab_site_index(lab, site) < lab->site_count;
}

uint32_t cw_lab_site_index(const struct cw_lab *lab, const char *site)
{
    uint32_t index = 0;
    while (index < lab->site_count && strcmp(lab->sites[index], site) != 0)
        index++;
    return index;
}

uint32_t cw_lab_engine_count(const struct cw_lab *lab)
{
    return lab->site_count - (lab->has_witness ? 1 : 0);
}

bool cw_lab_has_program(const struct cw_lab *lab, const char *site, enum cw_lab_program program)
{
    if (program == CW_LAB_ENGINE)
        return cw_lab_site_index(lab, site) < cw_lab_engine_count(lab);
    return program != CW_LAB_ETCD || lab->has_witness;
}

/* ---------------------------------------------------------------- planning */

/* The file system kind of the nearest parent that is there. */
static bool is_tmpfs(const char *path)
{
    char parent[CW_LAB_PATH_SIZE];
    struct statfs about;
    snprintf(parent, sizeof parent, "%s", path);
    while (statfs(parent, &about) < 0) {
        char *slash = strrchr(parent, '/');
        if (!slash || slash == parent)
            return false;
        *slash = 0;
    }
    return about.f_type == TMPFS;
}

bool cw_lab_plan(struct cw_lab *lab, char *why, size_t why_size)
{
    uint64_t hash = cw_hash64(lab->directory, strlen(lab->directory));
    snprintf(lab->tag, sizeof lab->tag, "%06x", (unsigned)(hash & 0xffffff));
    if (is_tmpfs(lab->directory) == lab->is_memory)
        snprintf(lab->storage_root, sizeof lab->storage_root, "%s/storage", lab->directory);
    else
        snprintf(lab->storage_root, sizeof lab->storage_root, "%s/causeway-lab-%s",
                 lab->is_memory ? "/dev/shm" : "/var/lib", lab->tag);
    if (lab->is_memory && !is_tmpfs(lab->storage_root)) {
        snprintf(why, why_size, "--storage memory wants a tmpfs at /dev/shm, which is not there");
        return false;
    }
    if (access(lab->storage_root, F_OK) == 0) {
        snprintf(why, why_size, "%s is left over from an earlier lab: remove it first (rm -r %s)",
                 lab->storage_root, lab->storage_root);
        return false;
    }
    lab->has_spaces = lab->is_veth || (lab->has_witness && cw_lab_may_have_spaces(lab));
    return true;
}

/* ---------------------------------------------------------------- lab.json */

static bool save(const struct cw_lab *lab)
{
    char path[CW_LAB_PATH_SIZE];
    json_t *sites = json_array();
    for (uint32_t i = 0; i < lab->site_count; i++)
        json_array_append_new(sites, json_string(lab->sites[i]));
    json_t *json =
        json_pack("{s:o,s:b,s:b,s:s,s:s,s:b,s:i,s:i,s:i,s:s,s:s,s:s}", "sites", sites, "witness",
                  lab->has_witness, "namespaces", lab->has_spaces, "link", lab->is_veth ? "veth" : "memif",
                  "storage", lab->is_memory ? "memory" : "disk", "tls", lab->has_tls, "mtu", (int)lab->mtu,
                  "paths", (int)lab->path_count, "net_lcores", (int)lab->net_lcores, "wan", lab->wan,
                  "storage_root", lab->storage_root, "tag", lab->tag);
    snprintf(path, sizeof path, "%s/lab.json", lab->directory);
    bool ok = json_dump_file(json, path, JSON_INDENT(1)) == 0;
    json_decref(json);
    return ok;
}

bool cw_lab_load(const char *directory, struct cw_lab *lab, char *why, size_t why_size)
{
    char path[CW_LAB_PATH_SIZE];
    size_t index;
    json_t *entry;
    *lab = (struct cw_lab){0};
    snprintf(path, sizeof path, "%s/lab.json", directory);
    json_t *json = strlen(directory) < sizeof lab->directory ? json_load_file(path, 0, NULL) : NULL;
    if (!json) {
        snprintf(why, why_size, "there is no lab at %s: causeway lab up, or name another with --lab DIR",
                 directory);
        return false;
    }
    snprintf(lab->directory, sizeof lab->directory, "%s", directory);
    json_array_foreach(json_object_get(json, "sites"), index, entry)
    {
        if (lab->site_count < CW_LAB_SITES_MAX && json_is_string(entry))
            snprintf(lab->sites[lab->site_count++], CW_NAME_SIZE, "%s", json_string_value(entry));
    }
    lab->is_veth = strcmp(cw_json_text(json, "link", ""), "veth") == 0;
    lab->has_witness = cw_json_bool(json, "witness", false) && lab->site_count > 1;
    lab->has_spaces = cw_json_bool(json, "namespaces", lab->is_veth);
    lab->is_memory = strcmp(cw_json_text(json, "storage", ""), "memory") == 0;
    lab->has_tls = cw_json_bool(json, "tls", false);
    lab->mtu = (uint32_t)cw_json_u64(json, "mtu", 1500);
    lab->path_count = (uint32_t)CW_MIN(cw_json_u64(json, "paths", 1), (uint64_t)CW_LAB_PATHS_MAX);
    lab->net_lcores = (uint32_t)CW_MIN(cw_json_u64(json, "net_lcores", 0), (uint64_t)CW_CONFIG_LANES_MAX);
    snprintf(lab->wan, sizeof lab->wan, "%s", cw_json_text(json, "wan", ""));
    snprintf(lab->storage_root, sizeof lab->storage_root, "%s", cw_json_text(json, "storage_root", ""));
    snprintf(lab->tag, sizeof lab->tag, "%s", cw_json_text(json, "tag", ""));
    json_decref(json);
    return lab->site_count > 0;
}

/* ---------------------------------------------------------------- making */

static bool make_directory(const char *path, char *why, size_t why_size)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return true;
    snprintf(why, why_size, "%s: %s", path, strerror(errno));
    return false;
}

static bool make_key(const struct cw_lab *lab, char *why, size_t why_size)
{
    char path[CW_LAB_PATH_SIZE];
    uint8_t key[32];
    snprintf(path, sizeof path, "%s/cluster.key", lab->directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok =
        fd >= 0 && getrandom(key, sizeof key, 0) == sizeof key && write(fd, key, sizeof key) == sizeof key;
    if (!ok)
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
    explicit_bzero(key, sizeof key);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* A certificate for each site, whose node has its name. */
static bool make_authority(const struct cw_lab *lab, char *why, size_t why_size)
{
    char path[CW_LAB_PATH_SIZE], ip[CW_LAB_IP_SIZE];
    snprintf(path, sizeof path, "%s/authority", lab->directory);
    enum cw_status status = cw_authority_create(path, "lab", LAB_DAYS, why, why_size);
    for (uint32_t i = 0; i < lab->site_count && status == CW_OK; i++) {
        struct cw_certificate_order order = {
            .site = lab->sites[i], .node = lab->sites[i], .days = LAB_DAYS - 1};
        if (lab->has_witness) { /* by which etcd knows it, also where it speaks to itself */
            cw_lab_control_ip(lab, i, ip, sizeof ip);
            order.hosts[0] = ip;
            order.hosts[1] = "127.0.0.1";
        }
        json_t *certificate = NULL;
        status = cw_authority_issue(path, &order, false, &certificate, why, why_size);
        json_decref(certificate);
    }
    return status == CW_OK;
}

static void write_security(const struct cw_lab *lab, uint32_t site, FILE *to)
{
    char folder[CW_LAB_PATH_SIZE];
    if (!lab->has_tls) {
        fprintf(to, "cluster_key: \"%s/cluster.key\"\n", lab->directory);
        return;
    }
    snprintf(folder, sizeof folder, "%s/authority/issued/%s/%s", lab->directory, lab->sites[site],
             lab->sites[site]);
    fprintf(to,
            "security:\n  certificate: \"%s/server-cert.pem\"\n  key: \"%s/server-key.pem\"\n"
            "  authority: \"%s/ca-cert.pem\"\n  revocations: \"%s/ca-crl.pem\"\n",
            folder, folder, folder, folder);
}

/* CPUs count for dedicated ones only; labs are adaptive. */
static const char *net_words(const struct cw_lab *lab)
{
    static const char *const words[CW_CONFIG_LANES_MAX + 1] = {"0", "1", "[1, 2]", "[1, 2, 3]",
                                                               "[1, 2, 3, 4]"};
    return words[lab->net_lcores];
}

static void write_sites(const struct cw_lab *lab, FILE *to)
{
    char ip[CW_LAB_IP_SIZE];
    for (uint32_t i = 0; i < lab->site_count; i++) {
        fprintf(to, "  - {name: %s, id: %u, directory: \"%s/%s\"", lab->sites[i], i, lab->directory,
                lab->sites[i]);
        cw_lab_control_ip(lab, i, ip, sizeof ip);
        if (lab->has_witness)
            fprintf(to, ", control: \"%s:%u\"%s", ip, CW_LAB_CONTROL_PORT,
                    i >= cw_lab_engine_count(lab) ? ", witness: true" : "");
        fprintf(to, "}\n");
    }
}

static void write_head(const struct cw_lab *lab, uint32_t site, FILE *to)
{
    fprintf(to,
            "# Made by causeway lab up. control/example-node.yaml explains every key.\nsite: %s\nsites:\n",
            lab->sites[site]);
    write_sites(lab, to);
    write_security(lab, site, to);
    fprintf(to, "directory: \"%s/%s\"\nstorage: \"%s/%s\"\n", lab->directory, lab->sites[site],
            lab->storage_root, lab->sites[site]);
    if (lab->has_witness)
        cw_lab_etcd_write_store(lab, site, to);
    else
        fprintf(to, "store: \"%s/store.db\"\n", lab->directory);
    fprintf(to,
            "poll: adaptive\nlcores: {net: %s, store: 0}\nmemory: {payload_mb: 64, receive_mb: 64}\n"
            "lease_seconds: 5\n%s",
            net_words(lab), site < cw_lab_engine_count(lab) ? "paths:\n" : "");
}

static bool write_configuration(const struct cw_lab *lab, uint32_t site, char *why, size_t why_size)
{
    struct cw_lab_line lines[CW_LAB_LINES_MAX];
    char path[CW_LAB_PATH_SIZE];
    cw_lab_site_file(lab, lab->sites[site], "node.yaml", path, sizeof path);
    FILE *to = fopen(path, "we");
    if (to) {
        write_head(lab, site, to);
        for (uint32_t count = cw_lab_lines(lab, lines), i = 0; i < count; i++) {
            if (lines[i].a == site || lines[i].b == site)
                cw_lab_write_path(lab, &lines[i], site, to);
        }
    }
    bool ok = to && !ferror(to);
    if (to && fclose(to) != 0)
        ok = false;
    if (!ok)
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
    return ok;
}

static bool make_site(const struct cw_lab *lab, uint32_t site, char *why, size_t why_size)
{
    char path[CW_LAB_PATH_SIZE + CW_NAME_SIZE + 8];
    cw_lab_site_file(lab, lab->sites[site], "", path, sizeof path);
    if (!make_directory(path, why, why_size))
        return false;
    cw_lab_site_file(lab, lab->sites[site], "nbd", path, sizeof path);
    if (!make_directory(path, why, why_size))
        return false;
    snprintf(path, sizeof path, "%s/%s", lab->storage_root, lab->sites[site]);
    return make_directory(path, why, why_size) && write_configuration(lab, site, why, why_size) &&
           (!lab->has_witness || cw_lab_etcd_write(lab, site, why, why_size));
}

bool cw_lab_make_files(const struct cw_lab *lab, char *why, size_t why_size)
{
    char path[CW_LAB_PATH_SIZE];
    if (!make_directory(lab->directory, why, why_size))
        return false;
    snprintf(path, sizeof path, "%s/lab.json", lab->directory);
    if (rmdir(lab->directory) < 0) { /* it must have been empty */
        snprintf(why, why_size, "%s is not empty and no lab: another --lab DIR, please", lab->directory);
        return false;
    }
    if (!make_directory(lab->directory, why, why_size))
        return false;
    if (!save(lab)) {
        snprintf(why, why_size, "%s cannot be written", path);
        return false;
    }
    snprintf(path, sizeof path, "%s/link", lab->directory);
    if (!make_directory(path, why, why_size) || !make_directory(lab->storage_root, why, why_size) ||
        !(lab->has_tls ? make_authority(lab, why, why_size) : make_key(lab, why, why_size)))
        return false;
    for (uint32_t i = 0; i < lab->site_count; i++) {
        if (!make_site(lab, i, why, why_size))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------- removing */

static int remove_entry(const char *path, const struct stat *about, int flag, struct FTW *walk)
{
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static bool remove_tree(const char *path)
{
    return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 || errno == ENOENT;
}

/* What DPDK keeps for an engine that was killed; the name is the engine's (start_dpdk in engine/main.c). */
static void remove_runtime(const struct cw_lab *lab, const char *site)
{
    char directory[CW_LAB_PATH_SIZE], path[CW_LAB_PATH_SIZE];
    cw_lab_site_file(lab, site, "", directory, sizeof directory);
    snprintf(path, sizeof path, "/var/run/dpdk/causeway-%s-%08x", site,
             (unsigned)cw_hash64(directory, strlen(directory)));
    (void)remove_tree(path);
}

/* The same for wanem; its name is from lab_wan.c. */
static void remove_wan_runtime(const struct cw_lab *lab)
{
    struct cw_lab_line lines[CW_LAB_LINES_MAX];
    char path[CW_LAB_PATH_SIZE];
    for (uint32_t count = cw_lab_lines(lab, lines), i = 0; i < count && *lab->wan; i++) {
        snprintf(path, sizeof path, "/var/run/dpdk/wanem-%s-%u", lab->tag, lines[i].number);
        (void)remove_tree(path);
    }
}

bool cw_lab_remove_files(const struct cw_lab *lab, char *why, size_t why_size)
{
    remove_wan_runtime(lab);
    for (uint32_t i = 0; i < lab->site_count; i++)
        remove_runtime(lab, lab->sites[i]);
    bool is_data_gone = !lab->storage_root[0] || remove_tree(lab->storage_root);
    if (is_data_gone && remove_tree(lab->directory))
        return true;
    snprintf(why, why_size, "not everything in %s could be removed: %s", lab->directory, strerror(errno));
    return false;
}
