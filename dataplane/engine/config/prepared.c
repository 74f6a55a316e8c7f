/* SPDX-License-Identifier: BSD-3-Clause */
/* See prepared.h. What no driver can change is checked here, before DPDK starts, since that takes no second try; queues
 * and sizes that only the driver knows are checked by the port (io/port_open.c). */
#include "engine/config/prepared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/numbers.h"
#include "engine/config/yaml_lines.h"

#define FORMAT     1u
#define QUEUES_MAX 64u
#define MTU_MAX    9600u
#define VLAN_MAX   4094u
#define NODE_MAX   1023u
#define CPU_MAX    1023u

struct raw_prepared {
    char *format, *path, *device, *driver, *card, *interface, *shared, *node, *queues, *mtu, *vlan;
    char **lcores;
    uint32_t lcores_count;
};

#define WORD(key)                                                                                            \
    CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_prepared, key, 0,      \
                           CYAML_UNLIMITED)
static const cyaml_schema_value_t word_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};
static const cyaml_schema_field_t prepared_fields[] = {
    WORD(format),
    WORD(path),
    WORD(device),
    WORD(driver),
    WORD(card),
    WORD(interface),
    WORD(shared),
    WORD(node),
    WORD(queues),
    WORD(mtu),
    WORD(vlan),
    CYAML_FIELD_SEQUENCE_COUNT("lcores", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_prepared,
                               lcores, lcores_count, &word_schema, 0, CW_PREPARED_LCORES_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t prepared_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_prepared, prepared_fields)};

/* ---------------------------------------------------------------- the text */

struct parse {
    struct cw_yaml_lines lines;
    struct cw_config_mistakes *mistakes;
};

__attribute__((format(printf, 4, 5))) static void expected(struct parse *parse, const char *key,
                                                           const char *value, const char *format, ...)
{
    char words[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    cw_config_expected(parse->mistakes, &parse->lines, key, value, words);
}

static uint32_t take_number(struct parse *parse, const char *key, const char *value, uint32_t low,
                            uint32_t high)
{
    uint64_t number = low;
    if (value == NULL || !cw_quantity_number(value, low, high, &number))
        expected(parse, key, value, "a number from %u to %u", low, high);
    return (uint32_t)number;
}

static void take_word(struct parse *parse, const char *key, const char *value, size_t length_min, char *to,
                      size_t size)
{
    size_t length = value ? strlen(value) : 0;
    if (value == NULL || length < length_min || length >= size)
        expected(parse, key, value, "%zu to %zu bytes", length_min, size - 1);
    else
        memcpy(to, value, length + 1);
}

static bool has_key(const struct cw_yaml_lines *lines, const char *key)
{
    for (uint32_t i = 0; i < lines->count; i++) {
        if (strcmp(lines->list[i].path, key) == 0)
            return true;
    }
    return false;
}

static void take_values(struct parse *parse, const struct raw_prepared *raw, struct cw_prepared_path *path)
{
    char key[CW_YAML_PATH_SIZE];
    (void)take_number(parse, "format", raw->format, FORMAT, FORMAT);
    if (raw->path == NULL || !cw_config_name_check(raw->path))
        expected(parse, "path", raw->path, "the name of a path");
    else
        snprintf(path->name, sizeof path->name, "%s", raw->path);
    take_word(parse, "device", raw->device, 1, path->device, sizeof path->device);
    if (strcmp(path->device, CW_CONFIG_PREPARED) == 0)
        expected(parse, "device", raw->device, "a device of DPDK");
    take_word(parse, "driver", raw->driver, 0, path->driver, sizeof path->driver);
    take_word(parse, "card", raw->card, 0, path->card, sizeof path->card);
    if (strchr(path->card, '/') != NULL || strchr(path->driver, '/') != NULL)
        expected(parse, "card", raw->card, "an address and a driver without a slash");
    take_word(parse, "interface", raw->interface, 0, path->interface, sizeof path->interface);
    path->is_shared = raw->shared && strcmp(raw->shared, "true") == 0;
    if (!path->is_shared && (raw->shared == NULL || strcmp(raw->shared, "false") != 0))
        expected(parse, "shared", raw->shared, "true or false");
    else if (path->is_shared && path->device[0] && !cw_config_may_be_shared(path->device))
        expected(parse, "shared", raw->shared, "false, as %.48s is none of af_xdp or af_packet",
                 path->device);
    bool is_node_unknown = raw->node && strcmp(raw->node, "-1") == 0;
    path->node = is_node_unknown ? -1 : (int32_t)take_number(parse, "node", raw->node, 0, NODE_MAX);
    path->queues = take_number(parse, "queues", raw->queues, 1, QUEUES_MAX);
    path->mtu = take_number(parse, "mtu", raw->mtu, 576, MTU_MAX);
    path->vlan = take_number(parse, "vlan", raw->vlan, 0, VLAN_MAX);
    if (!has_key(&parse->lines, "lcores"))
        expected(parse, "lcores", NULL, "a list of CPUs");
    path->lcore_count = raw->lcores_count;
    for (uint32_t i = 0; i < raw->lcores_count; i++) {
        snprintf(key, sizeof key, "lcores[%u]", i);
        path->lcores[i] = take_number(parse, key, raw->lcores[i], 0, CPU_MAX);
    }
}

enum cw_status cw_prepared_parse(const char *text, size_t length, struct cw_prepared_path *path,
                                 struct cw_config_mistakes *mistakes)
{
    struct parse *parse = calloc(1, sizeof *parse);
    *path = (struct cw_prepared_path){0};
    *mistakes = (struct cw_config_mistakes){0};
    if (parse == NULL) {
        cw_config_mistake_add(mistakes, 0, "no memory");
        return CW_INVALID;
    }
    parse->mistakes = mistakes;
    struct raw_prepared *raw = cw_yaml_load(text, length, &prepared_schema, &parse->lines, mistakes);
    if (raw != NULL) {
        take_values(parse, raw, path);
        cw_yaml_free(&prepared_schema, raw);
    }
    free(parse);
    cw_config_mistakes_sort(mistakes);
    return mistakes->count > 0 ? CW_INVALID : CW_OK;
}

/* ---------------------------------------------------------------- what is said */

struct said {
    char *text;
    size_t size, used;
    bool has_said;
};

/* A line. One that does not fit is left out whole. */
__attribute__((format(printf, 2, 3))) static void say(struct said *said, const char *format, ...)
{
    char line[5120]; /* also all mistakes of a file */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    said->has_said = true;
    int n =
        snprintf(said->text + said->used, said->size - said->used, "%s%s", said->used > 0 ? "\n" : "", line);
    if (n < 0 || (size_t)n >= said->size - said->used)
        said->text[said->used] = 0;
    else
        said->used += (size_t)n;
}

static struct said begin_saying(char *text, size_t size)
{
    text[0] = 0;
    return (struct said){.text = text, .size = size};
}

/* ---------------------------------------------------------------- the files */

/* The whole file; at most size bytes. -1: said. */
static ssize_t read_file(const struct cw_config_path *path, const char *file, char *text, size_t size,
                         struct said *said)
{
    struct stat about;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t length = -1;
    if (fd < 0 && errno == ENOENT)
        say(said,
            "path %s: %s is not there: run causeway nic apply WISH --yes, or name a device in the path's `device`",
            path->name, file);
    else if (fd < 0 || fstat(fd, &about) != 0)
        say(said, "path %s: %s: %s", path->name, file, strerror(errno));
    else if (!S_ISREG(about.st_mode))
        say(said, "path %s: %s is no file: causeway nic revert, and causeway nic apply WISH --yes",
            path->name, file);
    else if ((length = read(fd, text, size)) < 0)
        say(said, "path %s: %s: %s", path->name, file, strerror(errno));
    if (fd >= 0)
        close(fd);
    return length;
}

static bool load_one(const struct cw_config_path *path, const char *file, struct cw_prepared_path *prepared,
                     struct said *said)
{
    char text[CW_PREPARED_BYTES_MAX + 1], words[4096];
    struct cw_config_mistakes mistakes = {0};
    ssize_t length = read_file(path, file, text, sizeof text, said);
    if (length < 0)
        return false;
    if (length > (ssize_t)CW_PREPARED_BYTES_MAX)
        cw_config_mistake_add(&mistakes, 0, "longer than %u bytes: expected a prepared path",
                              CW_PREPARED_BYTES_MAX);
    else if (cw_prepared_parse(text, (size_t)length, prepared, &mistakes) == CW_OK &&
             strcmp(prepared->name, path->name) != 0)
        cw_config_mistake_add(&mistakes, 0, "path is %s: expected %s, as the file is named", prepared->name,
                              path->name);
    if (mistakes.count == 0)
        return true;
    cw_config_mistakes_text(file, &mistakes, words, sizeof words);
    say(said,
        "%s\npath %s: causeway nic apply makes that file: causeway nic revert --yes, and apply the wish again",
        words, path->name);
    return false;
}

/* ---------------------------------------------------------------- against the configuration */

/* What config_check.c asks of a shared path that says so itself. */
static void check_shared(const struct cw_node_config *config, const struct cw_config_path *path,
                         const char *place, struct said *said)
{
    static const uint8_t none[6];
    const struct {
        bool is_wrong;
        const char *wanted;
    } rules[] = {
        {memcmp(path->local.mac, none, sizeof none) != 0, "no local.mac: a shared interface has its own"},
        {memcmp(path->peer.mac, none, sizeof none) != 0, "no peer.mac: the kernel finds it"},
        {path->gateway.version != 0, "no local.gateway: the kernel's routes count"},
        {path->vlan != 0, "no vlan: prepare the interface of the VLAN"},
        {path->is_followed, "follow: false: the kernel gets what is not from the peer's address"},
        {config->lane_count > 1, "a single CPU in lcores.net"},
    };
    for (uint32_t i = 0; i < CW_COUNT_OF(rules); i++) {
        if (rules[i].is_wrong)
            say(said,
                "%s: path %s is prepared on an interface that the kernel keeps (shared: true): expected %s",
                place, path->name, rules[i].wanted);
    }
}

static void check_own(const struct cw_config_path *path, const struct cw_prepared_path *prepared,
                      const char *place, struct said *said)
{
    const struct cw_config_endpoint *local = &path->local;
    if (path->is_shared)
        say(said,
            "%s: path %s is shared: true, and is prepared without (%s): expected the same; the wish says it by "
            "driver: af_xdp",
            place, path->name, prepared->device);
    else if (path->gateway.version == 0 && local->prefix_bits > 0 &&
             !cw_ip_is_same_network(&local->ip, &path->peer.ip, local->prefix_bits))
        say(said,
            "%s: path %s: local.gateway is missing: expected a router on the link, as the peer is not of our "
            "network (local.ip)",
            place, path->name);
    if (path->vlan != prepared->vlan)
        say(said,
            "%s: path %s has vlan %u, and is prepared with %u (0: none): expected the same: change the path, or "
            "the wish, and causeway nic apply",
            place, path->name, path->vlan, prepared->vlan);
}

static void hold_against(const struct cw_node_config *config, struct cw_config_path *path,
                         const struct cw_prepared_path *prepared, const char *file, struct said *said)
{
    char place[CW_CONFIG_PATH_SIZE];
    snprintf(place, sizeof place, "%s:%u", file, CW_MAX(path->device_line, 1u));
    if (prepared->is_shared)
        check_shared(config, path, place, said);
    else
        check_own(path, prepared, place, said);
    if (prepared->queues < config->lane_count)
        say(said,
            "%s: path %s wants %u queues, one for each net lcore, and is prepared with %u: name fewer CPUs in "
            "lcores.net, or say queues: %u in the wish, and causeway nic apply",
            place, path->name, config->lane_count, prepared->queues, config->lane_count);
    if (prepared->mtu < path->mtu)
        say(said,
            "%s: path %s has mtu %u, and is prepared with %u: lower it, or say mtu: %u in the wish, and causeway "
            "nic apply",
            place, path->name, path->mtu, prepared->mtu, path->mtu);
    snprintf(path->device, sizeof path->device, "%s", prepared->device);
    path->is_shared = prepared->is_shared;
}

enum cw_status cw_prepared_load(struct cw_node_config *config, const char *file,
                                struct cw_prepared_path prepared[CW_CONFIG_PATHS_MAX], char *text,
                                size_t size)
{
    struct said said = begin_saying(text, size);
    char from[CW_CONFIG_PATH_SIZE + CW_CONFIG_NAME_SIZE + 8];
    for (uint32_t i = 0; i < config->path_count; i++) {
        struct cw_config_path *path = &config->paths[i];
        prepared[i] = (struct cw_prepared_path){0};
        if (!path->is_prepared)
            continue;
        snprintf(from, sizeof from, "%s/%s.yaml", config->nic_directory, path->name);
        if (load_one(path, from, &prepared[i], &said))
            hold_against(config, path, &prepared[i], file, &said);
        else
            prepared[i] = (struct cw_prepared_path){0};
    }
    return said.has_said ? CW_INVALID : CW_OK;
}

/* ---------------------------------------------------------------- advice */

static bool is_kept_free(const struct cw_prepared_path *prepared, uint32_t cpu)
{
    for (uint32_t i = 0; i < prepared->lcore_count; i++) {
        if (prepared->lcores[i] == cpu)
            return true;
    }
    return false;
}

static void advise(const struct cw_prepared_path *prepared, const char *key, uint32_t cpu, const char *file,
                   struct said *said)
{
    char free[8 * CW_PREPARED_LCORES_MAX] = "";
    size_t used = 0;
    if (is_kept_free(prepared, cpu))
        return;
    for (uint32_t i = 0; i < prepared->lcore_count; i++)
        used +=
            (size_t)snprintf(free + used, sizeof free - used, "%s%u", i > 0 ? ", " : "", prepared->lcores[i]);
    say(said,
        "%s: warning: lcores.%s has CPU %u, which was not kept free of interrupts: path %s is prepared with %s; "
        "name those in lcores, or others in the wish, and causeway nic apply",
        file, key, cpu, prepared->name, free);
}

bool cw_prepared_advise(const struct cw_node_config *config,
                        const struct cw_prepared_path prepared[CW_CONFIG_PATHS_MAX], const char *file,
                        char *text, size_t size)
{
    struct said said = begin_saying(text, size);
    for (uint32_t i = 0; i < config->path_count; i++) {
        if (prepared[i].lcore_count == 0)
            continue;
        for (uint32_t k = 0; k < config->lane_count; k++)
            advise(&prepared[i], "net", config->lcores_net[k], file, &said);
        advise(&prepared[i], "store", config->lcore_store, file, &said);
        break; /* one wish has prepared all of them, with the same CPUs */
    }
    return said.has_said;
}

/* ---------------------------------------------------------------- the machine */

/* "0000:03:00.0", as DPDK and sysfs both write it; not what else may stand before the comma. */
static bool is_pci_address(const char *text)
{
    return strspn(text, "0123456789abcdefABCDEF:.") == strlen(text) && strlen(text) == strlen("0000:03:00.0");
}

/* The driver that has a device; "" none. False: there is no such device. */
static bool find_driver(const char *sysfs, const char *address, char *driver, size_t size)
{
    char link[CW_CONFIG_PATH_SIZE], target[CW_CONFIG_PATH_SIZE];
    driver[0] = 0;
    snprintf(link, sizeof link, "%s/bus/pci/devices/%s", sysfs, address);
    if (access(link, F_OK) != 0)
        return false;
    snprintf(link, sizeof link, "%s/bus/pci/devices/%s/driver", sysfs, address);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0)
        return true;
    target[length] = 0;
    const char *slash = strrchr(target, '/');
    snprintf(driver, size, "%.*s", (int)size - 1, slash ? slash + 1 : target);
    return true;
}

static void look_at_card(const struct cw_config_path *path, const struct cw_prepared_path *prepared,
                         const char *sysfs, struct said *said)
{
    char address[CW_CONFIG_PATH_SIZE], driver[CW_PREPARED_WORD];
    bool is_prepared = prepared->name[0] != 0;
    if (is_prepared)
        snprintf(address, sizeof address, "%s", prepared->card);
    else
        snprintf(address, sizeof address, "%.*s", (int)strcspn(path->device, ","), path->device);
    if (!is_pci_address(address))
        return;
    if (!find_driver(sysfs, address, driver, sizeof driver))
        say(said,
            "path %s: %s is not there: no card has that address (causeway nic show); was it taken out, or put "
            "into another slot?",
            path->name, address);
    else if (is_prepared && prepared->driver[0] != 0 && strcmp(driver, prepared->driver) != 0)
        say(said,
            "path %s: %s is driven by %s, not by %s: causeway nic apply has not been run since the last boot, or "
            "was reverted: causeway nic show",
            path->name, address, driver[0] ? driver : "no driver", prepared->driver);
}

enum cw_status cw_prepared_look(const struct cw_node_config *config,
                                const struct cw_prepared_path prepared[CW_CONFIG_PATHS_MAX],
                                const char *sysfs, char *text, size_t size)
{
    struct said said = begin_saying(text, size);
    for (uint32_t i = 0; i < config->path_count; i++)
        look_at_card(&config->paths[i], &prepared[i], sysfs, &said);
    return said.has_said ? CW_REFUSED : CW_OK;
}
