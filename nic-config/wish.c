/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * As a node's configuration is read (engine/config/): one walk over the YAML for its form, then libcyaml loads it with
 * every value still a word, then meaning is checked here. A mistake is said where it stands, and reading goes on. What
 * only the machine can tell (is there such a card, has it so many queues) is the plan's to say.
 */
#include "nic-config/wish.h"

#include <assert.h>
#include <ctype.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/numbers.h"
#include "engine/config/address.h"
#include "engine/config/quantity.h"
#include "engine/config/yaml_lines.h"

#define MTU_MIN            576u
#define MTU_MIN_IPV6       1280u /* RFC 8200 section 5 */
#define MTU_MAX            9600u
#define MTU_DEFAULT        1500u
#define VLAN_MAX           4094u
#define SPEED_MBPS_MIN     10u
#define SPEED_MBPS_MAX     1600000u
#define HUGEPAGES_UNIT_MIB 2u /* the smallest of them */
#define HUGEPAGES_MIB_MAX  (1024u * 1024u)
#define HUGEPAGES_MIB      1024u
#define IOMMU_GROUP_MAX    65535u
#define VMBUS_NAME_LENGTH  36u

const char *const cw_wish_driver_names[CW_DRIVER_COUNT] = {"auto",       "vfio",   "noiommu", "uio",
                                                           "bifurcated", "af_xdp", "vf"};

static_assert(CW_PATH_NAME == CW_CONFIG_NAME_SIZE, "one name in both files");
static_assert(CW_INTERFACE_NAME == IFNAMSIZ, "the kernel's");

struct raw_path {
    char *name, *card, *interface, *mac, *speed, *driver, *queues, *mtu, *vlan, *mode, *copy;
    char **addresses;
    uint32_t addresses_count;
};

struct raw_wish {
    struct raw_path *paths;
    uint32_t paths_count;
    char **lcores;
    uint32_t lcores_count;
    char *hugepages;
    char **force;
    uint32_t force_count;
};

#define OPTIONAL                (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define WORD(key, type, member) CYAML_FIELD_STRING_PTR(key, OPTIONAL, type, member, 0, CYAML_UNLIMITED)
#define WORDS(key, type, member, count_max)                                                                  \
    CYAML_FIELD_SEQUENCE_COUNT(key, OPTIONAL, type, member, member##_count, &word_schema, 1, count_max)

static const cyaml_schema_value_t word_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};

static const cyaml_schema_field_t path_fields[] = {
    WORD("name", struct raw_path, name),
    WORD("card", struct raw_path, card),
    WORD("interface", struct raw_path, interface),
    WORD("mac", struct raw_path, mac),
    WORD("speed", struct raw_path, speed),
    WORD("driver", struct raw_path, driver),
    WORD("queues", struct raw_path, queues),
    WORD("mtu", struct raw_path, mtu),
    WORD("vlan", struct raw_path, vlan),
    WORDS("addresses", struct raw_path, addresses, CW_ADDRESSES_MAX),
    WORD("mode", struct raw_path, mode),
    WORD("copy", struct raw_path, copy),
    CYAML_FIELD_END};
static const cyaml_schema_value_t path_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_path, path_fields)};

static const cyaml_schema_field_t wish_fields[] = {
    CYAML_FIELD_SEQUENCE_COUNT("paths", OPTIONAL, struct raw_wish, paths, paths_count, &path_schema, 1,
                               CW_WISH_PATHS_MAX),
    WORDS("lcores", struct raw_wish, lcores, CW_WISH_LCORES_MAX),
    WORD("hugepages", struct raw_wish, hugepages), WORDS("force", struct raw_wish, force, CW_WISH_FORCE_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t wish_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_wish, wish_fields)};

struct reader {
    const struct raw_wish *raw;
    struct cw_wish *wish;
    struct cw_yaml_lines lines;
    struct cw_config_mistakes mistakes;
};

__attribute__((format(printf, 4, 5))) static void expected(struct reader *reader, const char *path,
                                                           const char *value, const char *format, ...)
{
    char words[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    cw_config_expected(&reader->mistakes, &reader->lines, path, value, words);
}

/* "paths[2].mtu" */
__attribute__((format(printf, 2, 3))) static const char *at(char path[CW_YAML_PATH_SIZE], const char *format,
                                                            ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, CW_YAML_PATH_SIZE, format, arguments);
    va_end(arguments);
    return path;
}

static void read_number(struct reader *reader, const char *path, const char *value, uint32_t low,
                        uint32_t high, uint32_t *number)
{
    uint64_t n;
    if (value == NULL)
        return;
    if (cw_quantity_number(value, low, high, &n))
        *number = (uint32_t)n;
    else
        expected(reader, path, value, "a number from %u to %u", low, high);
}

/* ---------------------------------------------------------------- names of things */

/* "0000:03:00.0", or without its domain; as the kernel writes it. */
static bool parse_pci(const char *text, char address[CW_PCI_ADDRESS])
{
    unsigned domain = 0, bus, device, function;
    int end = 0;
    size_t length = strlen(text);
    bool is_short = length == strlen("03:00.0");
    if (strspn(text, "0123456789abcdefABCDEF:.") != length || length > strlen("0000:03:00.0"))
        return false;
    if (is_short ? sscanf(text, "%2x:%2x.%1x%n", &bus, &device, &function, &end) != 3
                 : sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &end) != 4)
        return false;
    if ((size_t)end != length || device > 31 || function > 7)
        return false;
    snprintf(address, CW_PCI_ADDRESS, "%04x:%02x:%02x.%x", domain, bus, device, function);
    return is_short || strcasecmp(address, text) == 0;
}

/* "d34b2567-b9b6-42b9-8778-0a4ec0b955bf" */
static bool parse_vmbus(const char *text, char address[CW_PCI_ADDRESS])
{
    static_assert(VMBUS_NAME_LENGTH < CW_PCI_ADDRESS, "it fits");
    if (strlen(text) != VMBUS_NAME_LENGTH)
        return false;
    for (uint32_t i = 0; i < VMBUS_NAME_LENGTH; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
        address[i] = (char)tolower((unsigned char)text[i]);
    }
    address[VMBUS_NAME_LENGTH] = 0;
    return true;
}

/* Not all that the kernel takes: what may stand in a command that somebody copies, too. */
static bool is_interface_name(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length >= CW_INTERFACE_NAME || text[0] == '-' || text[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr("-_.@", text[i]))
            return false;
    }
    return true;
}

/* "25G", "1000M" */
static bool parse_speed(const char *text, int64_t *mbps)
{
    char digits[16];
    uint64_t n;
    size_t length = strspn(text, "0123456789");
    bool is_giga = strcmp(text + length, "G") == 0;
    if (length == 0 || length >= sizeof digits || (!is_giga && strcmp(text + length, "M") != 0))
        return false;
    memcpy(digits, text, length);
    digits[length] = 0;
    if (!cw_quantity_number(digits, 1, SPEED_MBPS_MAX, &n))
        return false;
    n *= is_giga ? 1000 : 1;
    *mbps = (int64_t)n;
    return n >= SPEED_MBPS_MIN && n <= SPEED_MBPS_MAX;
}

/* ---------------------------------------------------------------- a path */

static void read_name(struct reader *reader, uint32_t index)
{
    char path[CW_YAML_PATH_SIZE];
    const char *value = reader->raw->paths[index].name;
    struct cw_wish_path *out = &reader->wish->paths[index];
    at(path, "paths[%u].name", index);
    if (value == NULL || !cw_config_name_check(value)) {
        expected(reader, path, value, "a name of 1 to %u letters, digits, '-', '_', '.'", CW_PATH_NAME - 1);
        return;
    }
    snprintf(out->name, sizeof out->name, "%s", value);
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(reader->wish->paths[i].name, out->name) == 0)
            expected(reader, path, value, "another name than that of paths[%u]", i);
    }
}

static void read_whose(struct reader *reader, uint32_t index)
{
    char path[CW_YAML_PATH_SIZE];
    const struct raw_path *raw = &reader->raw->paths[index];
    struct cw_wish_path *out = &reader->wish->paths[index];
    if (raw->card && !parse_pci(raw->card, out->card) && !parse_vmbus(raw->card, out->card))
        expected(reader, at(path, "paths[%u].card", index), raw->card,
                 "the address of a PCI card, such as 0000:03:00.0, or the name of a device of VMBus");
    if (raw->interface && !is_interface_name(raw->interface))
        expected(reader, at(path, "paths[%u].interface", index), raw->interface,
                 "the name of an interface, of 1 to %u letters, digits, '-', '_', '.', '@'",
                 CW_INTERFACE_NAME - 1);
    else if (raw->interface)
        snprintf(out->interface, sizeof out->interface, "%s", raw->interface);
    if (raw->mac) {
        static const uint8_t none[6];
        out->has_mac = cw_config_parse_mac(raw->mac, out->mac) && memcmp(out->mac, none, sizeof none) != 0;
        if (!out->has_mac)
            expected(reader, at(path, "paths[%u].mac", index), raw->mac,
                     "a unicast MAC address such as 52:54:00:00:00:01");
    }
    if (raw->speed && !parse_speed(raw->speed, &out->speed_mbps)) {
        out->speed_mbps = 0;
        expected(reader, at(path, "paths[%u].speed", index), raw->speed,
                 "the speed of a link, such as 25G or 1000M");
    }
}

/* Of one card each path gets a function of its own. */
static bool are_functions(const struct raw_path *one, const struct raw_path *other)
{
    return one->driver && other->driver && strcmp(one->driver, "vf") == 0 && strcmp(other->driver, "vf") == 0;
}

/* One way to say which card, and not the card of another path. */
static void check_whose(struct reader *reader, uint32_t index)
{
    char path[CW_YAML_PATH_SIZE];
    const struct raw_path *raw = &reader->raw->paths[index];
    const struct cw_wish_path *out = &reader->wish->paths[index];
    const struct {
        const char *key, *value;
    } ways[] = {{"card", raw->card}, {"interface", raw->interface}, {"mac", raw->mac}, {"speed", raw->speed}};
    const char *first = NULL;
    for (uint32_t i = 0; i < CW_COUNT_OF(ways); i++) {
        if (ways[i].value && first)
            expected(reader, at(path, "paths[%u].%s", index, ways[i].key), ways[i].value,
                     "one way to say which card, and there is %s already", first);
        else if (ways[i].value)
            first = ways[i].key;
    }
    if (first == NULL)
        expected(reader, at(path, "paths[%u].card", index), NULL,
                 "one of card, interface, mac and speed, to say which card");
    for (uint32_t i = 0; i < index; i++) {
        const struct cw_wish_path *before = &reader->wish->paths[i];
        if (are_functions(raw, &reader->raw->paths[i]))
            continue;
        if (out->card[0] && strcmp(out->card, before->card) == 0)
            expected(reader, at(path, "paths[%u].card", index), raw->card,
                     "another card than that of paths[%u]", i);
        if (out->interface[0] && strcmp(out->interface, before->interface) == 0)
            expected(reader, at(path, "paths[%u].interface", index), raw->interface,
                     "another interface than that of paths[%u]", i);
        if (out->has_mac && before->has_mac && memcmp(out->mac, before->mac, sizeof out->mac) == 0)
            expected(reader, at(path, "paths[%u].mac", index), raw->mac,
                     "another card than that of paths[%u]", i);
    }
}

static void read_driver(struct reader *reader, uint32_t index)
{
    char path[CW_YAML_PATH_SIZE];
    const char *value = reader->raw->paths[index].driver;
    uint32_t kind = CW_DRIVER_AUTO;
    while (value && kind < CW_DRIVER_COUNT && strcmp(value, cw_wish_driver_names[kind]) != 0)
        kind++;
    if (kind == CW_DRIVER_COUNT)
        expected(reader, at(path, "paths[%u].driver", index), value,
                 "auto, vfio, noiommu, uio, bifurcated, af_xdp or vf");
    else
        reader->wish->paths[index].driver = (enum cw_wish_driver)kind;
}

/* Of af_xdp; where the driver is found out they are for the case that it will be that. */
static void read_choice(struct reader *reader, uint32_t index, const char *key, const char *value,
                        const char *const words[3], enum cw_wish_choice *choice)
{
    char path[CW_YAML_PATH_SIZE];
    enum cw_wish_driver driver = reader->wish->paths[index].driver;
    uint32_t kind = 0;
    if (value == NULL)
        return;
    at(path, "paths[%u].%s", index, key);
    while (kind < 3 && strcmp(value, words[kind]) != 0)
        kind++;
    if (kind == 3)
        expected(reader, path, value, "%s, %s or %s", words[0], words[1], words[2]);
    else if (driver != CW_DRIVER_AUTO && driver != CW_DRIVER_AF_XDP)
        expected(reader, path, value, "it with driver: af_xdp alone");
    else
        *choice = (enum cw_wish_choice)kind;
}

static bool has_address(const struct cw_wish *wish, const char *text)
{
    for (uint32_t i = 0; i < wish->path_count; i++) {
        for (uint32_t k = 0; k < wish->paths[i].address_count; k++) {
            if (strcmp(wish->paths[i].addresses[k], text) == 0)
                return true;
        }
    }
    return false;
}

/* True: one of them is of IPv6. */
static bool read_addresses(struct reader *reader, uint32_t index)
{
    char path[CW_YAML_PATH_SIZE];
    const struct raw_path *raw = &reader->raw->paths[index];
    struct cw_wish_path *out = &reader->wish->paths[index];
    bool has_v6 = false;
    for (uint32_t i = 0; i < raw->addresses_count; i++) {
        const char *value = raw->addresses[i];
        struct cw_ip ip;
        uint8_t bits;
        at(path, "paths[%u].addresses[%u]", index, i);
        if (!cw_config_parse_host(value, &ip, &bits)) {
            expected(reader, path, value, "an address of a host, such as 10.9.0.1/24 or fd00:9::1/64");
        } else if (has_address(reader->wish, value)) {
            expected(reader, path, value, "each address once");
        } else {
            has_v6 = has_v6 || ip.version == 6;
            snprintf(out->addresses[out->address_count++], CW_ADDRESS_TEXT, "%s", value);
        }
    }
    return has_v6;
}

static void read_path(struct reader *reader, uint32_t index)
{
    static const char *const modes[3] = {"auto", "native", "generic"}, *const copies[3] = {"auto", "zero",
                                                                                           "copy"};
    char path[CW_YAML_PATH_SIZE];
    const struct raw_path *raw = &reader->raw->paths[index];
    struct cw_wish_path *out = &reader->wish->paths[index];
    *out = (struct cw_wish_path){.queues = 1, .mtu = MTU_DEFAULT};
    read_name(reader, index);
    read_whose(reader, index);
    check_whose(reader, index);
    read_driver(reader, index);
    read_number(reader, at(path, "paths[%u].queues", index), raw->queues, 1, CW_WISH_QUEUES_MAX,
                &out->queues);
    bool has_v6 = read_addresses(reader, index);
    read_number(reader, at(path, "paths[%u].mtu", index), raw->mtu, has_v6 ? MTU_MIN_IPV6 : MTU_MIN, MTU_MAX,
                &out->mtu);
    read_number(reader, at(path, "paths[%u].vlan", index), raw->vlan, 1, VLAN_MAX, &out->vlan);
    read_choice(reader, index, "mode", raw->mode, modes, &out->mode);
    read_choice(reader, index, "copy", raw->copy, copies, &out->copy);
}

/* ---------------------------------------------------------------- the machine */

/* A number is how many, a list is which. */
static void read_lcores(struct reader *reader)
{
    char path[CW_YAML_PATH_SIZE];
    const struct raw_wish *raw = reader->raw;
    struct cw_wish *wish = reader->wish;
    if (cw_yaml_lines_is_single(&reader->lines, "lcores")) {
        read_number(reader, "lcores", raw->lcores[0], 1, CW_WISH_LCORES_MAX, &wish->lcore_count);
        return;
    }
    wish->are_lcores_named = raw->lcores_count > 0;
    for (uint32_t i = 0; i < raw->lcores_count; i++) {
        uint32_t cpu = UINT32_MAX;
        at(path, "lcores[%u]", i);
        read_number(reader, path, raw->lcores[i], 0, CW_CPUS_MAX - 1, &cpu);
        for (uint32_t k = 0; k < wish->lcore_count; k++) {
            if (wish->lcores[k] == cpu)
                expected(reader, path, raw->lcores[i], "each CPU once");
        }
        if (cpu != UINT32_MAX)
            wish->lcores[wish->lcore_count++] = cpu;
    }
}

static void read_hugepages(struct reader *reader)
{
    const char *value = reader->raw->hugepages;
    const uint64_t unit = HUGEPAGES_UNIT_MIB * CW_MIB;
    uint64_t bytes;
    reader->wish->hugepages_mib = HUGEPAGES_MIB;
    if (value == NULL)
        return;
    if (!cw_quantity_bytes(value, &bytes) || bytes % unit != 0 || bytes / CW_MIB > HUGEPAGES_MIB_MAX)
        expected(reader, "hugepages", value, "memory such as 2G: a multiple of %uM, at most %uG, or 0",
                 HUGEPAGES_UNIT_MIB, HUGEPAGES_MIB_MAX / 1024);
    else
        reader->wish->hugepages_mib = (int64_t)(bytes / CW_MIB);
}

/* As it is compared with: "eth2", "0000:03:00.0", "group 14". */
static bool parse_force(const char *text, char name[CW_WISH_FORCE_NAME])
{
    static const char group[] = "group ";
    uint64_t number;
    if (parse_pci(text, name))
        return true;
    if (strncmp(text, group, strlen(group)) != 0) {
        snprintf(name, CW_WISH_FORCE_NAME, "%s", text);
        return is_interface_name(text);
    }
    if (!cw_quantity_number(text + strlen(group), 0, IOMMU_GROUP_MAX, &number))
        return false;
    snprintf(name, CW_WISH_FORCE_NAME, "group %u", (unsigned)number);
    return true;
}

static void read_force(struct reader *reader)
{
    char path[CW_YAML_PATH_SIZE], name[CW_WISH_FORCE_NAME];
    struct cw_wish *wish = reader->wish;
    for (uint32_t i = 0; i < reader->raw->force_count; i++) {
        const char *value = reader->raw->force[i];
        at(path, "force[%u]", i);
        if (!parse_force(value, name))
            expected(reader, path, value,
                     "the name of an interface, the address of a card, or an IOMMU group such as group 14");
        else if (cw_wish_has_force(wish, name))
            expected(reader, path, value, "each name once");
        else
            snprintf(wish->force[wish->force_count++], CW_WISH_FORCE_NAME, "%s", name);
    }
}

bool cw_wish_has_force(const struct cw_wish *wish, const char *name)
{
    for (uint32_t i = 0; i < wish->force_count; i++) {
        if (strcmp(wish->force[i], name) == 0)
            return true;
    }
    return false;
}

static void read_meaning(struct reader *reader)
{
    if (reader->raw->paths == NULL)
        expected(reader, "paths", NULL, "a list of 1 to %u paths, each with a name and its card",
                 CW_WISH_PATHS_MAX);
    for (uint32_t i = 0; i < reader->raw->paths_count; i++) {
        reader->wish->path_count = i + 1;
        read_path(reader, i);
    }
    read_lcores(reader);
    read_hugepages(reader);
    read_force(reader);
}

bool cw_wish_read(const char *file, const char *text, size_t length, struct cw_wish *wish, char *mistakes,
                  size_t mistakes_size)
{
    struct reader *reader = calloc(1, sizeof *reader);
    *wish = (struct cw_wish){0};
    if (reader == NULL) {
        snprintf(mistakes, mistakes_size, "%s:1: no memory to read it", file);
        return false;
    }
    reader->wish = wish;
    struct raw_wish *raw = NULL;
    if (length > CW_WISH_BYTES_MAX)
        cw_config_mistake_add(&reader->mistakes, 0, "longer than %u bytes: expected a wish",
                              CW_WISH_BYTES_MAX);
    else
        raw = cw_yaml_load(text, length, &wish_schema, &reader->lines, &reader->mistakes);
    if (raw != NULL) {
        reader->raw = raw;
        read_meaning(reader);
        cw_yaml_free(&wish_schema, raw);
    }
    bool is_good = reader->mistakes.count == 0;
    cw_config_mistakes_sort(&reader->mistakes);
    cw_config_mistakes_text(file, &reader->mistakes, mistakes, mistakes_size);
    free(reader);
    return is_good;
}
