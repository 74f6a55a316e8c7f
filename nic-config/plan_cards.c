/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which card each path of the wish means. By its address, its interface or its MAC address it is one or none; two are
 * refused with their names. By speed it is the first free one in the order of addresses, once all that are named have
 * been found.
 *
 * A card that an earlier apply has given away has lost its interface, and with it name, MAC address and speed: then the
 * journal, or for who may not read that the prepared path of the same name, tells which it was. A wish by speed means
 * that card from then on: at a boot no link is up yet, and none has a speed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nic-config/plan_internal.h"

#define LIST_SIZE 320u

static const struct cw_interface_fact *interface_of(const struct cw_facts *facts, const char *address)
{
    for (uint32_t i = 0; i < facts->interface_count; i++)
        if (strcmp(facts->interfaces[i].card, address) == 0 && facts->interfaces[i].kind[0] == 0)
            return &facts->interfaces[i];
    return NULL;
}

/* "a, b, c", and "..." where there is no room for more. */
static void list_add(char list[LIST_SIZE], const char *word)
{
    size_t used = strlen(list);
    if (used > 0 && strcmp(list + used - (used >= 3 ? 3 : used), "...") == 0)
        return;
    bool is_full = used + strlen(word) + 8 > LIST_SIZE;
    snprintf(list + used, LIST_SIZE - used, "%s%s", used > 0 ? ", " : "", is_full ? "..." : word);
}

static void card_words(const struct cw_card_fact *card, const struct cw_interface_fact *interface,
                       char words[CW_CARD_WORDS])
{
    const char *address = card != NULL ? card->address : "", *name = interface != NULL ? interface->name : "";
    if (card != NULL && interface != NULL)
        snprintf(words, CW_CARD_WORDS, "%s (%s)", address, name);
    else
        snprintf(words, CW_CARD_WORDS, "%s", card != NULL ? address : name);
}

const char *cw_plan_card_words(const struct cw_plan_path *path, char words[CW_CARD_WORDS])
{
    card_words(path->card, path->interface, words);
    return words;
}

static void list_cards(const struct cw_facts *facts, char list[LIST_SIZE])
{
    char words[CW_CARD_WORDS];
    list[0] = 0;
    for (uint32_t i = 0; i < facts->card_count; i++) {
        card_words(&facts->cards[i], interface_of(facts, facts->cards[i].address), words);
        list_add(list, words);
    }
    if (list[0] == 0)
        list_add(list, "none");
}

/* ---------------------------------------------------------------- what an earlier apply has left */

/* The value of "key: value" in a prepared path. */
static void value_of(const char *text, const char *key, char *value, size_t size)
{
    size_t length = strlen(key);
    value[0] = 0;
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += line[0] == '\n';
        if (strncmp(line, key, length) != 0 || strncmp(line + length, ": ", 2) != 0)
            continue;
        const char *from = line + length + 2;
        from += from[0] == '"';
        snprintf(value, size, "%.*s", (int)strcspn(from, "\"\n"), from);
        return;
    }
}

static void find_given(const struct cw_plan_work *work, struct cw_plan_path *path)
{
    char file[CW_FACT_PATH + CW_PATH_NAME + 8];
    if (path->wish->given[0] != 0) {
        snprintf(path->given, sizeof path->given, "%s", path->wish->given);
        return;
    }
    snprintf(file, sizeof file, "%s/%s.yaml", work->folders->prepared, path->wish->name);
    const struct cw_file_fact *fact = cw_facts_file(work->facts, file);
    if (fact != NULL)
        value_of(fact->text, "card", path->given, sizeof path->given);
}

/* The card of this path, when what it was called by is gone with its interface. */
static bool take_given(const struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->given[0] != 0 ? cw_facts_card(work->facts, path->given) : NULL;
    if (card == NULL || cw_driver_use(card->driver) != CW_DRIVER_FOR_PROGRAMS)
        return false;
    if (path->wish->driver == CW_DRIVER_VF && card->physical[0] != 0) {
        path->card = cw_facts_card(work->facts, card->physical);
        path->interface = path->card != NULL ? interface_of(work->facts, card->physical) : NULL;
        return path->card != NULL;
    }
    path->card = card;
    return true;
}

/* Whose virtual function this is, also while it is not made. NULL: of none. */
static const struct cw_card_fact *physical_of(const struct cw_facts *facts, const char *function)
{
    char address[CW_PCI_ADDRESS];
    const struct cw_card_fact *card = cw_facts_card(facts, function);
    if (card != NULL)
        return cw_facts_card(facts, card->physical);
    for (uint32_t i = 0; i < facts->card_count; i++)
        for (uint32_t k = 0; (int64_t)k < facts->cards[i].functions_max && k < CW_WISH_PATHS_MAX; k++)
            if (cw_plan_function_address(&facts->cards[i], k, address, sizeof address) &&
                strcmp(address, function) == 0)
                return &facts->cards[i];
    return NULL;
}

static void refuse_away(struct cw_plan_work *work, struct cw_plan_path *path)
{
    cw_plan_remedy(
        cw_plan_refuse(work, path, "it had the card %s, which is not there now", path->wish->given),
        "put it back into its slot: the next boot prepares it again, or causeway nic apply --yes of "
        "the same wish; or causeway-nic revert --yes, and apply for another card");
}

/* The card that the journal has of this path is pulled, or its slot is off. What the wish says of it may be true of another
 * now (the name of its interface), or of none. */
static bool is_away(const struct cw_plan_work *work, const struct cw_plan_path *path)
{
    const char *given = path->wish->given;
    return given[0] != 0 && cw_facts_card(work->facts, given) == NULL &&
           physical_of(work->facts, given) == NULL;
}

/* The card that this path has had since an earlier apply, whatever its link is now. Whether it may be taken is asked of
 * it as of any other. */
static void find_again(struct cw_plan_work *work, struct cw_plan_path *path)
{
    path->card = path->wish->driver == CW_DRIVER_VF ? physical_of(work->facts, path->given)
                                                    : cw_facts_card(work->facts, path->given);
    if (path->card != NULL)
        path->interface = interface_of(work->facts, path->card->address);
    else
        refuse_away(work, path);
}

/* ---------------------------------------------------------------- named */

static void take_interface(const struct cw_plan_work *work, struct cw_plan_path *path,
                           const struct cw_interface_fact *interface)
{
    path->interface = interface;
    if (interface->kind[0] == 0 && interface->card[0] != 0)
        path->card = cw_facts_card(work->facts, interface->card);
}

static void find_by_address(struct cw_plan_work *work, struct cw_plan_path *path)
{
    char list[LIST_SIZE];
    path->card = cw_facts_card(work->facts, path->wish->card);
    if (path->card != NULL) {
        path->interface = interface_of(work->facts, path->card->address);
        return;
    }
    list_cards(work->facts, list);
    cw_plan_remedy(cw_plan_refuse(work, path, "there is no network card at %s", path->wish->card),
                   "take one of these: %s", list);
}

/* At a boot, of an interface that the network service makes (a VLAN, a veth). */
static bool is_awaited(struct cw_plan_work *work, struct cw_plan_path *path)
{
    if (!path->wish->may_wait)
        return false;
    path->is_refused = true;
    work->plan->awaited_count++;
    cw_plan_note(work,
                 "path %s: its interface is not there yet: the path waits until the network is configured",
                 path->wish->name);
    return true;
}

static void find_by_interface(struct cw_plan_work *work, struct cw_plan_path *path)
{
    char list[LIST_SIZE] = "";
    const struct cw_interface_fact *interface = cw_facts_interface(work->facts, path->wish->interface);
    if (interface != NULL) {
        take_interface(work, path, interface);
        return;
    }
    if (take_given(work, path) || is_awaited(work, path))
        return;
    for (uint32_t i = 0; i < work->facts->interface_count; i++)
        list_add(list, work->facts->interfaces[i].name);
    cw_plan_remedy(cw_plan_refuse(work, path, "there is no interface %s", path->wish->interface),
                   "take one of these: %s", list[0] != 0 ? list : "none");
}

/* VLANs, bonds and bridges have the address of what they stand on; so has the virtual function that stands behind an
 * interface of Hyper-V, whose part it is. */
static bool is_copy_of_mac(const struct cw_facts *facts, const struct cw_interface_fact *interface)
{
    const struct cw_interface_fact *master =
        interface->master[0] != 0 ? cw_facts_interface(facts, interface->master) : NULL;
    if (interface->kind[0] != 0 && (interface->lower_count > 0 || interface->card[0] == 0) &&
        strcmp(interface->kind, "veth") != 0 && strcmp(interface->kind, "dummy") != 0)
        return true;
    return master != NULL && master->kind[0] == 0 && memcmp(master->mac, interface->mac, 6) == 0;
}

static void find_by_mac(struct cw_plan_work *work, struct cw_plan_path *path)
{
    char list[LIST_SIZE] = "";
    const uint8_t *mac = path->wish->mac;
    uint32_t found = 0;
    for (uint32_t i = 0; i < work->facts->interface_count; i++) {
        const struct cw_interface_fact *interface = &work->facts->interfaces[i];
        if (memcmp(interface->mac, mac, 6) != 0 || is_copy_of_mac(work->facts, interface))
            continue;
        take_interface(work, path, interface);
        list_add(list, interface->name);
        found++;
    }
    if (found == 1 || (found == 0 && (take_given(work, path) || is_awaited(work, path))))
        return;
    struct cw_refusal *refusal =
        cw_plan_refuse(work, path, "%s %02x:%02x:%02x:%02x:%02x:%02x%s%s",
                       found == 0 ? "no interface has the address" : "several interfaces have the address",
                       mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], found == 0 ? "" : ": ", list);
    cw_plan_remedy(refusal, found == 0 ? "name the card: causeway-nic show lists them"
                                       : "name one of them: interface: NAME, or card: ADDRESS");
}

/* ---------------------------------------------------------------- any that is fast enough */

static bool is_other_paths(const struct cw_plan_work *work, const struct cw_plan_path *path,
                           const struct cw_card_fact *card)
{
    for (uint32_t i = 0; i < work->path_count; i++)
        if (&work->paths[i] != path &&
            (work->paths[i].card == card || strcmp(work->paths[i].given, card->address) == 0))
            return true;
    return false;
}

/* "" free. */
static void why_not(const struct cw_plan_work *work, const struct cw_plan_path *path,
                    const struct cw_card_fact *card, const struct cw_interface_fact *interface, char *words,
                    size_t size)
{
    words[0] = 0;
    if (is_other_paths(work, path, card)) {
        snprintf(words, size, "is another path's");
        return;
    }
    cw_plan_uses(work->facts, interface, words, size);
    if (words[0] == 0 && !work->facts->is_use_known)
        snprintf(words, size, "may be in use");
    if (words[0] == 0 && card->functions != 0)
        snprintf(words, size, "has virtual functions");
    for (uint32_t i = 0; i < work->facts->member_count && words[0] == 0; i++) {
        const struct cw_member_fact *member = &work->facts->members[i];
        if (card->iommu_group >= 0 && member->group == card->iommu_group && cw_plan_is_member_in_way(member))
            snprintf(words, size, "shares its IOMMU group with %s", member->address);
    }
}

static bool is_before(const struct cw_interface_fact *one, const struct cw_interface_fact *other)
{
    return other == NULL || strcmp(one->card, other->card) < 0;
}

static void find_by_speed(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_facts *facts = work->facts;
    const struct cw_interface_fact *first = NULL;
    char list[LIST_SIZE] = "", words[CW_STEP_WHY], item[CW_STEP_WHY + 32];
    uint32_t others = 0;
    if (path->wish->given[0] != 0) {
        find_again(work, path);
        return;
    }
    if (take_given(work, path))
        return;
    for (uint32_t i = 0; i < facts->interface_count; i++) {
        const struct cw_interface_fact *interface = &facts->interfaces[i];
        const struct cw_card_fact *card =
            interface->kind[0] == 0 ? cw_facts_card(facts, interface->card) : NULL;
        if (card == NULL || interface->speed_mbps != path->wish->speed_mbps)
            continue;
        if (strcmp(path->given, card->address) == 0 && !is_other_paths(work, path, card)) {
            take_interface(work, path, interface); /* its address, and our program at it, are of that path */
            return;
        }
        why_not(work, path, card, interface, words, sizeof words);
        if (words[0] == 0) {
            others += first != NULL;
            first = is_before(interface, first) ? interface : first;
        } else {
            snprintf(item, sizeof item, "%s %s", interface->name, words);
            list_add(list, item);
        }
    }
    if (first != NULL) {
        take_interface(work, path, first);
        cw_plan_note(work, "path %s: %s (%s) has a link of %" PRId64 " Mb/s and is free%s", path->wish->name,
                     first->card, first->name, path->wish->speed_mbps,
                     others > 0 ? "; of several such, it has the lowest address" : "");
        return;
    }
    struct cw_refusal *refusal = cw_plan_refuse(work, path, "no free card has a link of %" PRId64 " Mb/s%s%s",
                                                path->wish->speed_mbps, list[0] != 0 ? ": " : "", list);
    cw_plan_remedy(refusal,
                   "name a card (card: ADDRESS); or, as an interface has a speed only while it is up and "
                   "connected: ip link set dev NAME up");
}

void cw_plan_find_cards(struct cw_plan_work *work)
{
    for (uint32_t i = 0; i < work->path_count; i++) {
        struct cw_plan_path *path = &work->paths[i];
        find_given(work, path);
        if (is_away(work, path))
            refuse_away(work, path);
        else if (path->wish->card[0] != 0)
            find_by_address(work, path);
        else if (path->wish->interface[0] != 0)
            find_by_interface(work, path);
        else if (path->wish->has_mac)
            find_by_mac(work, path);
    }
    for (uint32_t i = 0; i < work->path_count; i++) {
        struct cw_plan_path *path = &work->paths[i];
        if (path->card == NULL && path->interface == NULL && !path->is_refused)
            find_by_speed(work, path);
    }
}

bool cw_plan_function_address(const struct cw_card_fact *card, uint32_t function, char *address, size_t size)
{
    unsigned domain, bus, device, part;
    address[0] = 0;
    if (card->functions_offset <= 0 || card->functions_stride < 0 ||
        (function > 0 && card->functions_stride == 0) ||
        sscanf(card->address, "%x:%x:%x.%x", &domain, &bus, &device, &part) != 4)
        return false;
    uint64_t id = (uint64_t)(bus & 0xff) << 8 | (device & 0x1f) << 3 | (part & 7);
    id += (uint64_t)card->functions_offset + (uint64_t)function * (uint64_t)card->functions_stride;
    if (id > 0xffff)
        return false;
    snprintf(address, size, "%04x:%02x:%02x.%x", domain, (unsigned)(id >> 8), (unsigned)(id >> 3 & 0x1f),
             (unsigned)(id & 7));
    return true;
}
