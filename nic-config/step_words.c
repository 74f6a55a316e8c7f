/* SPDX-License-Identifier: BSD-3-Clause */
/* How a step is said: in words, and as commands for a shell, which an administrator may copy; so whatever comes from the
 * machine or from the wish is quoted there unless it is plain. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nic-config/step.h"

const char *const cw_step_names[CW_STEP_COUNT] = {
    [CW_STEP_WRITE] = "write", [CW_STEP_MODULE] = "module",     [CW_STEP_GIVE_UP] = "give-up",
    [CW_STEP_BIND] = "bind",   [CW_STEP_CHANNELS] = "channels", [CW_STEP_MTU] = "mtu",
    [CW_STEP_FILE] = "file",   [CW_STEP_LINK] = "link",
};

struct text {
    char *to;
    size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    if (text->used >= text->size)
        return;
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(text->to + text->used, text->size - text->used, format, arguments);
    va_end(arguments);
    if (more > 0)
        text->used += (size_t)more;
}

static void begin(struct text *text, char *to, size_t size)
{
    *text = (struct text){to, size, 0};
    if (size > 0)
        to[0] = 0;
}

/* A word of a shell. */
static void add_word(struct text *text, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@+=,-";
    if (word[0] != 0 && word[strspn(word, plain)] == 0) {
        add(text, "%s", word);
        return;
    }
    add(text, "'");
    for (; word[0] != 0; word++)
        add(text, word[0] == '\'' ? "'\\''" : "%c", word[0]);
    add(text, "'");
}

/* Words of a shell, %s of the format quoted; no other conversion. */
static void add_line(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (text->used > 0)
        add(text, "\n");
    for (; format[0] != 0; format++)
        if (format[0] == '%' && format[1] == 's') {
            add_word(text, va_arg(arguments, const char *));
            format++;
        } else {
            add(text, "%c", format[0]);
        }
    va_end(arguments);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
    size_t length = strlen(text), tail = strlen(with);
    return length >= tail && strcmp(text + length - tail, with) == 0;
}

/* ---------------------------------------------------------------- words */

static void say_write(struct text *text, const struct cw_step *step)
{
    if (strstr(step->subject, "/hugepages/hugepages-") != NULL)
        add(text, "reserve %s hugepages: %s", step->value, step->subject);
    else if (ends(step->subject, "/sriov_numvfs"))
        add(text, "make %s virtual function%s: %s", step->value, strcmp(step->value, "1") == 0 ? "" : "s",
            step->subject);
    else if (begins(step->subject, "/proc/irq/"))
        add(text, "move interrupt %.*s to the CPUs %s", (int)strcspn(step->subject + 10, "/"),
            step->subject + 10, step->value);
    else
        add(text, "write %s to %s", step->value, step->subject);
}

void cw_step_words(const struct cw_step *step, char *words, size_t size)
{
    struct text text;
    begin(&text, words, size);
    switch (step->kind) {
    case CW_STEP_WRITE:
        say_write(&text, step);
        break;
    case CW_STEP_MODULE:
        add(&text, "load the module %s%s%s", step->subject, step->value[0] != 0 ? " with " : "", step->value);
        break;
    case CW_STEP_GIVE_UP:
        add(&text, "take the interface %s out of use: no addresses, no routes, of no bond or bridge, down",
            step->subject);
        break;
    case CW_STEP_BIND:
        add(&text, "give %s to the driver %s", step->subject, step->value);
        break;
    case CW_STEP_CHANNELS:
        add(&text, "let %s have %s queue%s", step->subject, step->value,
            strcmp(step->value, "1") == 0 ? "" : "s");
        break;
    case CW_STEP_MTU:
        add(&text, "raise the MTU of %s to %s", step->subject, step->value);
        break;
    case CW_STEP_FILE:
        add(&text, "write the file %s", step->subject);
        break;
    case CW_STEP_LINK:
        add(&text, "link %s to %s", step->subject, step->value);
        break;
    case CW_STEP_COUNT:
        break;
    }
}

/* ---------------------------------------------------------------- by hand */

static void add_file(struct text *text, const char *file, const char *content)
{
    add_line(text, "install -D -m 644 /dev/stdin %s <<'END'", file);
    size_t length = strlen(content);
    add(text, "\n%s%sEND", content, length > 0 && content[length - 1] == '\n' ? "" : "\n");
}

/* As the kernel is told: whoever has the device lets it go, and the driver that the override names takes it. */
static void add_bind(struct text *text, const char *device, const char *override, bool is_probed)
{
    char path[CW_STEP_SUBJECT + 64];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/driver_override", device);
    add_line(text, "echo %s > %s", override, path);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/driver/unbind", device);
    add_line(text, "[ ! -e %s ] || ", path);
    add(text, "echo ");
    add_word(text, device);
    add(text, " > ");
    add_word(text, path);
    if (is_probed)
        add_line(text, "echo %s > /sys/bus/pci/drivers_probe", device);
}

void cw_step_commands(const struct cw_step *step, char *words, size_t size)
{
    struct text text;
    begin(&text, words, size);
    switch (step->kind) {
    case CW_STEP_WRITE:
        add_line(&text, "echo %s > %s", step->value, step->subject);
        break;
    case CW_STEP_MODULE:
        add_line(&text, "modprobe %s", step->subject);
        if (step->value[0] != 0) {
            add(&text, " ");
            add_word(&text, step->value);
        }
        break;
    case CW_STEP_GIVE_UP:
        add_line(&text, "ip link set dev %s down", step->subject);
        add_line(&text, "ip link set dev %s nomaster", step->subject);
        add_line(&text, "ip addr flush dev %s", step->subject);
        break;
    case CW_STEP_BIND:
        add_bind(&text, step->subject, step->value, true);
        break;
    case CW_STEP_CHANNELS:
        add_line(&text, "ethtool -L %s combined %s", step->subject, step->value);
        break;
    case CW_STEP_MTU:
        add_line(&text, "ip link set dev %s mtu %s", step->subject, step->value);
        break;
    case CW_STEP_FILE:
        add_file(&text, step->subject, step->value);
        break;
    case CW_STEP_LINK:
        add_line(&text, "mkdir -p \"$(dirname %s)\"", step->subject);
        add_line(&text, "ln -sfn %s %s", step->value, step->subject);
        break;
    case CW_STEP_COUNT:
        break;
    }
}

/* ---------------------------------------------------------------- the way back, by hand */

/* Of "…/node1/hugepages/hugepages-2048kB/nr_hugepages". -1: not that, or not known. */
static int64_t hugepages_now(const struct cw_facts *facts, const char *file)
{
    int node = -1;
    int64_t kib = -1;
    if (sscanf(file, "/sys/devices/system/node/node%d/hugepages/hugepages-%" SCNd64 "kB/nr_hugepages", &node,
               &kib) != 2)
        return -1;
    const struct cw_node_fact *fact = cw_facts_node(facts, node);
    for (uint32_t i = 0; fact != NULL && i < fact->page_count; i++)
        if (fact->pages[i].kib == kib)
            return fact->pages[i].total;
    return -1;
}

static int64_t functions_now(const struct cw_facts *facts, const char *file)
{
    static const char folder[] = "/sys/bus/pci/devices/";
    char address[CW_PCI_ADDRESS];
    if (!begins(file, folder) || !ends(file, "/sriov_numvfs"))
        return -1;
    const char *at = file + strlen(folder);
    snprintf(address, sizeof address, "%.*s", (int)strcspn(at, "/"), at);
    const struct cw_card_fact *card = cw_facts_card(facts, address);
    return card != NULL ? card->functions : -1;
}

static const struct cw_cpu_set *affinity_now(const struct cw_facts *facts, const char *file)
{
    unsigned irq;
    if (sscanf(file, "/proc/irq/%u/smp_affinity_list", &irq) != 1)
        return NULL;
    for (uint32_t c = 0; c < facts->card_count; c++)
        for (uint32_t i = 0; i < facts->cards[c].irq_count; i++)
            if (facts->cards[c].irqs[i] == irq)
                return &facts->cards[c].irq_cpus[i];
    return NULL;
}

static void undo_write(struct text *text, const struct cw_step *step, const struct cw_facts *facts)
{
    char value[CW_CPUS_TEXT];
    int64_t number = hugepages_now(facts, step->subject);
    if (number < 0)
        number = functions_now(facts, step->subject);
    const struct cw_cpu_set *cpus = affinity_now(facts, step->subject);
    if (number >= 0)
        snprintf(value, sizeof value, "%" PRId64, number);
    else if (cpus != NULL)
        cw_cpu_set_text(cpus, value, sizeof value);
    else if (ends(step->subject, "/enable_unsafe_noiommu_mode"))
        snprintf(value, sizeof value, "N");
    else
        snprintf(value, sizeof value, "what is in it now");
    add_line(text, "echo %s > %s", value, step->subject);
}

static void undo_give_up(struct text *text, const char *name, const struct cw_facts *facts)
{
    const struct cw_interface_fact *interface = cw_facts_interface(facts, name);
    char number[16];
    if (interface == NULL)
        return;
    if (interface->mtu > 0) {
        snprintf(number, sizeof number, "%d", interface->mtu);
        add_line(text, "ip link set dev %s mtu %s", name, number);
    }
    if (interface->master[0] != 0)
        add_line(text, "ip link set dev %s master %s", name, interface->master);
    if (interface->is_up)
        add_line(text, "ip link set dev %s up", name);
    for (uint32_t i = 0; i < interface->address_count; i++)
        if (!interface->addresses[i].is_link_local)
            add_line(text, "ip addr add %s dev %s", interface->addresses[i].text, name);
    for (uint32_t i = 0; i < interface->route_count; i++) {
        const struct cw_route_fact *route = &interface->routes[i];
        if (route->is_of_kernel)
            continue;
        add_line(text, "ip %s route add ", route->version == 6 ? "-6" : "-4");
        add(text, "%s dev ", route->text); /* several words, as ip says them */
        add_word(text, name);
    }
    if (text->used == 0)
        add(text, "nothing: it is down and has no address");
}

static void undo_bind(struct text *text, const struct cw_step *step, const struct cw_facts *facts)
{
    const struct cw_card_fact *card = cw_facts_card(facts, step->subject);
    bool is_made = card == NULL; /* a virtual function, that goes with the number of them */
    add_bind(text, step->subject, is_made ? "" : card->override, !is_made && card->driver[0] != 0);
}

/* What it replaces comes back. Of a link only the last part is known, of a file as much as ours could have. */
static void undo_file(struct text *text, const struct cw_step *step, const struct cw_facts *facts)
{
    const struct cw_file_fact *file = cw_facts_file(facts, step->subject);
    if (file == NULL)
        add_line(text, "rm %s", step->subject);
    else if (step->kind == CW_STEP_LINK)
        add_line(text, "ln -sfn %s %s", "what it names now", step->subject);
    else if (strlen(file->text) + 1 < sizeof file->text && strstr(file->text, "END") == NULL)
        add_file(text, step->subject, file->text);
    else
        add_line(text, "echo %s > %s", "what is in it now", step->subject);
}

static void undo_number(struct text *text, const char *format, const char *name, int32_t number)
{
    char value[24] = "what it has now";
    if (number >= 0)
        snprintf(value, sizeof value, "%d", number);
    add_line(text, format, name, value);
}

void cw_step_undo_commands(const struct cw_step *step, const struct cw_facts *facts, char *words, size_t size)
{
    const struct cw_interface_fact *interface = cw_facts_interface(facts, step->subject);
    struct text text;
    begin(&text, words, size);
    switch (step->kind) {
    case CW_STEP_WRITE:
        undo_write(&text, step, facts);
        break;
    case CW_STEP_MODULE:
        add_line(&text, "modprobe -r %s", step->subject);
        break;
    case CW_STEP_GIVE_UP:
        undo_give_up(&text, step->subject, facts);
        break;
    case CW_STEP_BIND:
        undo_bind(&text, step, facts);
        break;
    case CW_STEP_CHANNELS:
        undo_number(&text, "ethtool -L %s combined %s", step->subject,
                    interface != NULL ? interface->queues : CW_FACT_UNKNOWN);
        break;
    case CW_STEP_MTU:
        undo_number(&text, "ip link set dev %s mtu %s", step->subject,
                    interface != NULL ? interface->mtu : CW_FACT_UNKNOWN);
        break;
    case CW_STEP_FILE:
    case CW_STEP_LINK:
        undo_file(&text, step, facts);
        break;
    case CW_STEP_COUNT:
        break;
    }
}

bool cw_step_is_volatile(const struct cw_step *step)
{
    if (step->kind == CW_STEP_FILE || step->kind == CW_STEP_LINK)
        return begins(step->subject, "/run/");
    return true;
}
