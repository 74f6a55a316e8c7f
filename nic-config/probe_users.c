/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is logged in, over which interface; and who would move interrupts back. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "nic-config/probe_private.h"

static bool is_same_address(const char *with_prefix, const char *address)
{
    char own[CW_ADDRESS_TEXT];
    unsigned char a[16] = {0}, b[16] = {0};
    snprintf(own, sizeof own, "%.*s", (int)strcspn(with_prefix, "/"), with_prefix);
    int family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
    return inet_pton(family, own, a) == 1 && inet_pton(family, address, b) == 1 &&
           memcmp(a, b, sizeof a) == 0;
}

/* A link-local address may be that of several interfaces: any of them then. */
static void map_login(struct cw_facts *facts, struct cw_login_fact *login)
{
    for (uint32_t i = 0; i < facts->interface_count; i++) {
        struct cw_interface_fact *interface = &facts->interfaces[i];
        for (uint32_t j = 0; j < interface->address_count; j++) {
            if (!is_same_address(interface->addresses[j].text, login->local))
                continue;
            interface->has_login = true;
            if (login->interface[0] == '\0')
                snprintf(login->interface, sizeof login->interface, "%s", interface->name);
        }
    }
}

static bool is_address(const char *text)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static void take_login(struct cw_probe *probe, const json_t *said)
{
    struct cw_facts *facts = probe->facts;
    const char *from = cw_probe_json_text(said, "from"), *local = cw_probe_json_text(said, "local");
    struct cw_login_fact login = {0};
    if (!is_address(from) || !is_address(local)) {
        facts->is_use_known = false;
        cw_probe_doubt(probe, "logins", "one from \"%.46s\" to \"%.46s\": not believed", from, local);
        return;
    }
    cw_probe_printable(cw_probe_json_text(said, "who"), login.who, sizeof login.who);
    snprintf(login.from, sizeof login.from, "%s", from);
    snprintf(login.local, sizeof login.local, "%s", local);
    map_login(facts, &login); /* also of those that there is no room for */
    if (facts->login_count < CW_LOGINS_MAX)
        facts->logins[facts->login_count++] = login;
}

static void take_process(void *context, const char *pid)
{
    struct cw_probe *probe = context;
    char path[CW_PROBE_PATH], name[32];
    if (probe->facts->has_irqbalance || !isdigit((unsigned char)pid[0]))
        return;
    snprintf(path, sizeof path, "/proc/%.16s/comm", pid);
    if (cw_machine_text(probe->machine, path, name, sizeof name) == CW_OK && strcmp(name, "irqbalance") == 0)
        probe->facts->has_irqbalance = true;
}

void cw_probe_users(struct cw_probe *probe)
{
    char why[CW_FACT_WORDS] = "";
    json_t *logins = cw_machine_logins(probe->machine, why, sizeof why);
    size_t i;
    const json_t *login;
    if (!json_is_array(logins)) {
        probe->facts->is_use_known = false;
        cw_probe_unread(probe, "logins", "%.160s: over which interface somebody is logged in",
                        logins == NULL ? why : "answers/logins.json is no list");
    } else if (why[0] != '\0')
        cw_probe_unread(probe, "logins", "%.200s", why);
    json_array_foreach(logins, i, login) take_login(probe, login);
    json_decref(logins);
    cw_machine_list(probe->machine, "/proc", take_process, probe);
}
