/* SPDX-License-Identifier: BSD-3-Clause */
/* Meaning: of everything but paths (config_paths.c). */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/numbers.h"
#include "engine/config/config_paths.h"

#define CPU_MAX 1023u

static void check_site(const struct cw_check *check, uint32_t index)
{
    const struct cw_raw_site *raw = &check->raw->sites[index];
    struct cw_config_site *site = &check->config->sites[index];
    char path[CW_YAML_PATH_SIZE];
    uint64_t id = UINT8_MAX; /* until a good one is read: equal to no other */
    snprintf(path, sizeof path, "sites[%u].name", index);
    cw_check_name(check, path, raw->name, site->name);
    for (uint32_t i = 0; i < index && site->name[0]; i++) {
        if (strcmp(check->config->sites[i].name, site->name) == 0)
            cw_check_expected(check, path, raw->name, "another name than that of sites[%u]", i);
    }
    snprintf(path, sizeof path, "sites[%u].id", index);
    cw_check_number(check, path, raw->id, 0, CW_CONFIG_SITES_MAX - 1, &id);
    site->id = (uint8_t)id;
    for (uint32_t i = 0; i < index && id != UINT8_MAX; i++) {
        if (check->config->sites[i].id == id)
            cw_check_expected(check, path, raw->id, "another number than that of sites[%u]", i);
    }
    snprintf(path, sizeof path, "sites[%u].directory", index);
    if (raw->directory)
        cw_check_path(check, path, raw->directory, NULL, site->directory, sizeof site->directory);
    snprintf(path, sizeof path, "sites[%u].control", index);
    cw_check_address(check, path, raw->control, &site->control);
    snprintf(path, sizeof path, "sites[%u].witness", index);
    site->is_witness = cw_check_bool(check, path, raw->witness, false);
}

static void check_sites(const struct cw_check *check)
{
    check->config->site_count = check->raw->sites_count;
    if (!check->raw->sites)
        cw_check_expected(check, "sites", NULL, "a list of 1 to %u sites, each with name and id",
                          CW_CONFIG_SITES_MAX);
    for (uint32_t i = 0; i < check->config->site_count; i++)
        check_site(check, i);
    if (!cw_check_name(check, "site", check->raw->site, check->config->site))
        return;
    const struct cw_config_site *own = cw_check_find_site(check, check->config->site);
    if (own)
        check->config->site_id = own->id;
    else
        cw_check_expected(check, "site", check->raw->site, "one of the names under sites");
}

static void check_poll(const struct cw_check *check)
{
    const char *poll = check->raw->poll;
    check->config->poll = CW_CONFIG_POLL_ADAPTIVE;
    if (poll && strcmp(poll, "dedicated") == 0)
        check->config->poll = CW_CONFIG_POLL_DEDICATED;
    else if (poll && strcmp(poll, "adaptive") != 0)
        cw_check_expected(check, "poll", poll, "dedicated or adaptive");
}

static void check_duplicates(const struct cw_check *check)
{
    const char *value = check->raw->duplicate_latency;
    check->config->is_latency_duplicated = cw_check_bool(check, "duplicate_latency", value, true);
}

static const char *net_lcore_path(const struct cw_check *check, uint32_t index, char path[CW_YAML_PATH_SIZE])
{
    if (check->config->lane_count > 1)
        snprintf(path, CW_YAML_PATH_SIZE, "lcores.net[%u]", index);
    else
        snprintf(path, CW_YAML_PATH_SIZE, "lcores.net");
    return path;
}

static void check_net_lcore(const struct cw_check *check, uint32_t index)
{
    struct cw_node_config *config = check->config;
    const char *value = check->raw->lcores->net[index];
    char path[CW_YAML_PATH_SIZE];
    net_lcore_path(check, index, path);
    if (config->lane_count > 1 && config->lcores_net[index] == config->lcore_store)
        cw_check_expected(check, path, value, "another CPU than lcores.store, as there are several");
    for (uint32_t i = 0; i < index; i++) {
        if (config->lcores_net[i] == config->lcores_net[index])
            cw_check_expected(check, path, value, "another CPU than lcores.net[%u]", i);
    }
}

static void check_lcores(const struct cw_check *check)
{
    const struct cw_raw_config *raw = check->raw;
    struct cw_node_config *config = check->config;
    char path[CW_YAML_PATH_SIZE];
    uint32_t count = raw->lcores && raw->lcores->net ? raw->lcores->net_count : 0;
    config->lane_count = CW_MAX(count, 1u);
    for (uint32_t i = 0; i < count; i++)
        cw_check_number32(check, net_lcore_path(check, i, path), raw->lcores->net[i], 0, CPU_MAX, 0,
                          &config->lcores_net[i]);
    cw_check_number32(check, "lcores.store", raw->lcores ? raw->lcores->store : NULL, 0, CPU_MAX, 0,
                      &config->lcore_store);
    for (uint32_t i = 0; i < count; i++)
        check_net_lcore(check, i);
}

static void check_machine(const struct cw_check *check)
{
    const struct cw_raw_config *raw = check->raw;
    struct cw_node_config *config = check->config;
    check_poll(check);
    check_lcores(check);
    cw_check_number32(check, "memory.payload_mb", raw->memory ? raw->memory->payload_mb : NULL, 8, 65536, 64,
                      &config->payload_mb);
    cw_check_number32(check, "memory.receive_mb", raw->memory ? raw->memory->receive_mb : NULL, 8, 65536, 64,
                      &config->receive_mb);
    cw_config_check_lease(raw, check->lines, config, check->mistakes);
}

static void check_group(const struct cw_check *check, const char *path, const char *name, gid_t *gid)
{
    const struct group *found = name && check->look_at_files ? getgrnam(name) : NULL;
    if (found)
        *gid = found->gr_gid;
    else if (name && check->look_at_files)
        cw_check_expected(check, path, name, "a group of this machine (getent group)");
}

static void check_operators(const struct cw_check *check)
{
    const char *operators = check->raw->sockets ? check->raw->sockets->operators : NULL;
    check->config->has_operators = operators != NULL;
    check->config->operators = (gid_t)-1;
    if (operators && check->config->socket_mode != 0660)
        cw_check_expected(check, "sockets.mode", check->raw->sockets->mode,
                          "0660: sockets.operators parts those whom it lets in");
    check_group(check, "sockets.operators", operators, &check->config->operators);
}

static void check_socket_rights(const struct cw_check *check)
{
    const char *mode = check->raw->sockets ? check->raw->sockets->mode : NULL;
    const char *group = check->raw->sockets ? check->raw->sockets->group : NULL;
    check->config->socket_mode = 0600;
    check->config->socket_group = (gid_t)-1;
    if (mode && strcmp(mode, "0660") == 0)
        check->config->socket_mode = 0660;
    else if (mode && strcmp(mode, "0600") != 0)
        cw_check_expected(check, "sockets.mode", mode, "0600 or 0660");
    if (check->config->socket_mode == 0660 && !group)
        cw_check_expected(check, "sockets.group", NULL, "the name of the group that mode 0660 lets in");
    check_group(check, "sockets.group", group, &check->config->socket_group);
    check_operators(check);
}

static void read_key(const struct cw_check *check, const char *file)
{
    struct stat about;
    uint8_t bytes[33];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) < 0) {
        cw_check_expected(check, "cluster_key", file, "a readable file (%s)", strerror(errno));
    } else if (!S_ISREG(about.st_mode) || read(fd, bytes, sizeof bytes) != 32) {
        cw_check_expected(check, "cluster_key", file,
                          "a file of exactly 32 random bytes (head -c 32 /dev/urandom)");
    } else if (about.st_mode & 077) {
        cw_check_expected(check, "cluster_key", file,
                          "a file that only its owner may read (chmod 600; it is %04o)",
                          about.st_mode & 07777);
    } else {
        memcpy(check->config->cluster_key, bytes, 32);
    }
    explicit_bzero(bytes, sizeof bytes);
    if (fd >= 0)
        close(fd);
}

static void check_directory(const struct cw_check *check, const char *path, const char *directory)
{
    struct stat about;
    if (!check->look_at_files)
        return;
    if (stat(directory, &about) < 0)
        cw_check_expected(check, path, directory, "a directory (%s)", strerror(errno));
    else if (!S_ISDIR(about.st_mode))
        cw_check_expected(check, path, directory, "a directory (it is a file)");
}

const char *const cw_config_security_keys[CW_CONFIG_SECURITY_FILES] = {
    "security.certificate", "security.key", "security.authority", "security.revocations"};

static void look_at_pem(const struct cw_check *check, const char *path, const char *file, bool is_secret)
{
    struct stat about;
    if (access(file, R_OK) < 0 || stat(file, &about) < 0)
        cw_check_expected(check, path, file, "a readable file (%s)", strerror(errno));
    else if (!S_ISREG(about.st_mode))
        cw_check_expected(check, path, file, "a file in PEM");
    else if (is_secret && about.st_mode & 077)
        cw_check_expected(check, path, file, "a file that only its owner may read (chmod 600; it is %04o)",
                          about.st_mode & 07777);
}

/* What stands in the files is the engine's to judge: this reader knows no certificates. */
static void check_certificates(const struct cw_check *check)
{
    struct cw_config_security *security = &check->config->security;
    const char *const values[CW_CONFIG_SECURITY_FILES] = {
        check->raw->security->certificate, check->raw->security->key, check->raw->security->authority,
        check->raw->security->revocations};
    security->has_certificates = true;
    for (uint32_t i = 0; i < CW_CONFIG_SECURITY_FILES; i++) {
        const char *path = cw_config_security_keys[i];
        security->lines[i] = cw_yaml_lines_find(check->lines, path);
        if (cw_check_path(check, path, values[i], NULL, security->files[i], sizeof security->files[i]) &&
            check->look_at_files)
            look_at_pem(check, path, security->files[i], i == 1);
    }
    if (check->raw->cluster_key)
        cw_check_expected(check, "cluster_key", check->raw->cluster_key,
                          "either cluster_key or security, not both");
}

static void check_cluster_key(const struct cw_check *check)
{
    const char *file = check->raw->cluster_key;
    if (!file)
        cw_check_expected(check, "cluster_key", NULL,
                          "an absolute path, or security with certificates in its place");
    else if (cw_check_path(check, "cluster_key", file, NULL, check->config->cluster_key_file,
                           sizeof check->config->cluster_key_file) &&
             check->look_at_files)
        read_key(check, check->config->cluster_key_file);
}

/* Nothing goes over a wire in clear, nor to whoever asks. */
static void check_metrics(const struct cw_check *check)
{
    const struct cw_raw_config *raw = check->raw;
    struct cw_node_config *config = check->config;
    cw_check_address(check, "metrics_address", raw->metrics_address, &config->metrics_address);
    if (config->metrics_address.port && !cw_config_address_is_loopback(&config->metrics_address) &&
        (!raw->security || !raw->metrics_token))
        cw_check_expected(
            check, "metrics_address", raw->metrics_address,
            "an address of this machine alone, such as 127.0.0.1:9749, or security with certificates, and "
            "metrics_token");
    if (raw->metrics_token)
        cw_check_path(check, "metrics_token", raw->metrics_token, NULL, config->metrics_token,
                      sizeof config->metrics_token);
}

static void check_files(const struct cw_check *check)
{
    const struct cw_raw_config *raw = check->raw;
    struct cw_node_config *config = check->config;
    char otherwise[CW_CONFIG_PATH_SIZE + 16];
    if (!cw_check_path(check, "directory", raw->directory, NULL, config->directory, sizeof config->directory))
        return;
    check_directory(check, "directory", config->directory);
    snprintf(otherwise, sizeof otherwise, "%s/storage", config->directory);
    if (cw_check_path(check, "storage", raw->storage, otherwise, config->storage, sizeof config->storage))
        check_directory(check, "storage", config->storage);
    snprintf(otherwise, sizeof otherwise, "%s/engine.sock", config->directory);
    cw_check_path(check, "engine_socket", raw->engine_socket, otherwise, config->engine_socket,
                  sizeof config->engine_socket);
    snprintf(otherwise, sizeof otherwise, "%s/control.sock", config->directory);
    cw_check_path(check, "control_socket", raw->control_socket, otherwise, config->control_socket,
                  sizeof config->control_socket);
    cw_check_path(check, "nic_directory", raw->nic_directory, "/run/causeway/nic", config->nic_directory,
                  sizeof config->nic_directory);
    cw_check_address(check, "control_address", raw->control_address, &config->control_address);
    if (raw->control_address && !raw->security)
        cw_check_expected(check, "control_address", raw->control_address,
                          "security with certificates, by which controllers know each other");
    check_metrics(check);
    if (raw->security)
        check_certificates(check);
    else
        check_cluster_key(check);
    if (raw->break_glass)
        cw_config_check_break_glass(raw, check->lines, config, check->mistakes);
    if (raw->etcd)
        cw_config_check_etcd(raw, check->lines, config, check->mistakes);
    else if (raw->store)
        cw_check_path(check, "store", raw->store, NULL, config->store_file, sizeof config->store_file);
    else
        cw_check_expected(check, "store", NULL, "an absolute path: the embedded store; or etcd in its place");
}

void cw_config_check_meaning(const struct cw_raw_config *raw, const struct cw_yaml_lines *lines,
                             bool look_at_files, struct cw_node_config *config,
                             struct cw_config_mistakes *mistakes)
{
    const struct cw_check check = {
        .raw = raw, .lines = lines, .config = config, .mistakes = mistakes, .look_at_files = look_at_files};
    check_sites(&check);
    if (raw->node)
        cw_check_name(&check, "node", raw->node, config->node);
    else
        snprintf(config->node, sizeof config->node, "%s", config->site);
    check_files(&check);
    check_machine(&check);
    check_socket_rights(&check);
    check_duplicates(&check);
    cw_config_check_paths(&check);
}
