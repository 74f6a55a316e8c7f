/* SPDX-License-Identifier: BSD-3-Clause */
/* How the probe reads what it does not believe. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nic-config/probe_private.h"

#define QUOTED 48u /* of a value that is not believed */

void cw_probe_printable(const char *from, char *to, size_t size)
{
    size_t i = 0;
    for (; from[i] != '\0' && i + 1 < size; i++)
        to[i] = (char)(from[i] >= ' ' && from[i] <= '~' ? from[i] : '?');
    to[i] = '\0';
}

/* Files of two CPUs, otherwise the same. */
static bool is_of_other_cpu(const char *a, const char *b)
{
    static const char folder[] = "/sys/devices/system/cpu/cpu";
    size_t length = sizeof folder - 1;
    if (strncmp(a, folder, length) != 0 || strncmp(b, folder, length) != 0)
        return false;
    return strcmp(a + length + strspn(a + length, "0123456789"),
                  b + length + strspn(b + length, "0123456789")) == 0;
}

/* The last place says that there were more. */
static void note(struct cw_doubt_fact *notes, uint32_t *alike, uint32_t *count, const char *file,
                 const char *format, va_list arguments)
{
    char words[CW_FACT_WORDS], printable[CW_FACT_WORDS];
    vsnprintf(words, sizeof words, format, arguments);
    cw_probe_printable(words, printable, sizeof printable);
    for (uint32_t i = 0; i < *count; i++)
        if (strcmp(notes[i].words, printable) == 0 && is_of_other_cpu(notes[i].file, file)) {
            alike[i]++;
            return;
        }
    if (*count == CW_DOUBTS_MAX) {
        struct cw_doubt_fact *last = &notes[CW_DOUBTS_MAX - 1];
        last->file[0] = '\0';
        snprintf(last->words, sizeof last->words, "and more, which there is no room for here");
        return;
    }
    struct cw_doubt_fact *doubt = &notes[(*count)++];
    snprintf(doubt->words, sizeof doubt->words, "%s", printable);
    cw_probe_printable(file, doubt->file, sizeof doubt->file);
}

void cw_probe_doubt(struct cw_probe *probe, const char *file, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    note(probe->facts->doubts, probe->doubts_alike, &probe->facts->doubt_count, file, format, arguments);
    va_end(arguments);
}

void cw_probe_unread(struct cw_probe *probe, const char *file, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    note(probe->facts->unread, probe->unread_alike, &probe->facts->unread_count, file, format, arguments);
    va_end(arguments);
}

static void add_alike(struct cw_doubt_fact *notes, const uint32_t *alike, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t length = strlen(notes[i].words);
        if (alike[i] > 0)
            snprintf(notes[i].words + length, sizeof notes[i].words - length, "; %u other CPUs alike",
                     alike[i]);
    }
}

void cw_probe_count_alike(struct cw_probe *probe)
{
    add_alike(probe->facts->doubts, probe->doubts_alike, probe->facts->doubt_count);
    add_alike(probe->facts->unread, probe->unread_alike, probe->facts->unread_count);
}

/* Some files answer with an error while there is nothing to tell, the speed of a port without a link for one: not known is
 * all there is to say then. */
bool cw_probe_text(struct cw_probe *probe, const char *file, char *text, size_t size, const char *wanted)
{
    enum cw_status status = cw_machine_text(probe->machine, file, text, size);
    if (status == CW_OK)
        return true;
    if (status == CW_REFUSED)
        cw_probe_unread(probe, file, "not allowed: %s", wanted);
    else if (status == CW_RANGE)
        cw_probe_doubt(probe, file, "has more than %zu characters: not believed", size - 1);
    text[0] = '\0';
    return false;
}

bool cw_probe_parse(const char *text, int base, int64_t *value)
{
    const char *digits = text + (base == 10 && text[0] == '-');
    if (!isxdigit((unsigned char)digits[0]))
        return false;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, base);
    if (errno != 0 || *end != '\0')
        return false;
    *value = number;
    return true;
}

bool cw_probe_number(struct cw_probe *probe, const char *file, int64_t min, int64_t max, int64_t *value,
                     const char *wanted)
{
    char text[256], quoted[QUOTED];
    int64_t number;
    if (!cw_probe_text(probe, file, text, sizeof text, wanted))
        return false;
    cw_probe_printable(text, quoted, sizeof quoted);
    int base = strncmp(text, "0x", 2) == 0 ? 16 : 10;
    if (!cw_probe_parse(text, base, &number))
        cw_probe_doubt(probe, file, "says \"%s\", which is no number: not believed", quoted);
    else if (number < min || number > max)
        cw_probe_doubt(probe, file, "says %s: not believed", quoted);
    else {
        *value = number;
        return true;
    }
    return false;
}

/* One of "3" and "0-3"; what follows it in rest. */
static bool parse_range(const char *text, const char **rest, uint64_t *first, uint64_t *last)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    *first = *last = strtoull(text, &end, 10);
    if (*end == '-' && isdigit((unsigned char)end[1]))
        *last = strtoull(end + 1, &end, 10);
    *rest = end;
    return *first <= *last && *last < CW_CPUS_MAX && (*end == ',' || *end == '\0');
}

bool cw_probe_parse_cpus(const char *text, struct cw_cpu_set *cpus)
{
    struct cw_cpu_set found = {0};
    while (*text != '\0') {
        uint64_t first, last;
        if (!parse_range(text, &text, &first, &last))
            return false;
        for (uint64_t cpu = first; cpu <= last; cpu++)
            cw_cpu_set_add(&found, (uint32_t)cpu);
        if (*text == ',' && *++text == '\0')
            return false;
    }
    *cpus = found;
    return true;
}

bool cw_probe_cpus(struct cw_probe *probe, const char *file, struct cw_cpu_set *cpus, const char *wanted)
{
    char text[4096], quoted[QUOTED];
    if (!cw_probe_text(probe, file, text, sizeof text, wanted))
        return false;
    const char *list = text + strspn(text, " ");
    if (strcmp(list, "(null)") == 0)
        list = "";
    if (cw_probe_parse_cpus(list, cpus))
        return true;
    cw_probe_printable(list, quoted, sizeof quoted);
    cw_probe_doubt(probe, file, "says \"%s\", which is no list of CPUs below %u: not believed", quoted,
                   CW_CPUS_MAX);
    return false;
}

bool cw_probe_is_name(const char *text, size_t size)
{
    size_t length = strlen(text);
    if (length == 0 || length >= size || text[0] == '-' || text[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("_-.:@", text[i]) == NULL)
            return false;
    return true;
}

bool cw_probe_link(struct cw_probe *probe, const char *file, char *name, size_t size, const char *wanted)
{
    char text[256], quoted[QUOTED];
    name[0] = '\0';
    enum cw_status status = cw_machine_link(probe->machine, file, text, sizeof text);
    if (status == CW_NOT_FOUND)
        return false;
    if (status == CW_REFUSED) {
        cw_probe_unread(probe, file, "not allowed: %s", wanted);
        return false;
    }
    if (status != CW_OK) {
        cw_probe_doubt(probe, file, status == CW_INVALID ? "is no link: not believed" : "cannot be read");
        return false;
    }
    if (!cw_probe_is_name(text, size)) {
        cw_probe_printable(text, quoted, sizeof quoted);
        cw_probe_doubt(probe, file, "leads to \"%s\", which is no name: not believed", quoted);
        return false;
    }
    snprintf(name, size, "%s", text);
    return true;
}

char *cw_probe_whole(struct cw_probe *probe, const char *file, size_t max, const char *wanted)
{
    enum cw_status status;
    char *text = cw_machine_whole(probe->machine, file, max, &status);
    if (status == CW_REFUSED)
        cw_probe_unread(probe, file, "not allowed: %s", wanted);
    else if (status == CW_RANGE)
        cw_probe_unread(probe, file, "is longer than %zu bytes, the rest was not read: %s", max, wanted);
    return text;
}

/* "0000:03:00.0": four to eight digits of domain. */
bool cw_probe_is_pci(const char *text)
{
    static const char tail[] = ":xx:xx.x";
    size_t domain = strspn(text, "0123456789abcdef");
    if (domain < 4 || domain > 8 || strlen(text) != domain + sizeof tail - 1)
        return false;
    for (size_t i = 0; i < sizeof tail - 1; i++) {
        char c = text[domain + i];
        if (tail[i] != 'x' ? c != tail[i] : !isxdigit((unsigned char)c) || isupper((unsigned char)c))
            return false;
    }
    return text[domain + 7] <= '7';
}

/* "f8615163-df3e-46c5-913f-f2d2f965ed0e" */
static bool is_vmbus(const char *text)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (strlen(text) != sizeof form - 1)
        return false;
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] == 'x' ? !isxdigit((unsigned char)text[i]) : text[i] != form[i])
            return false;
    return true;
}

bool cw_probe_card_of_target(const char *target, char *address, size_t size)
{
    bool is_found = false;
    while (*target != '\0') {
        char part[CW_PCI_ADDRESS];
        size_t length = strcspn(target, "/");
        if (length < sizeof part) {
            snprintf(part, sizeof part, "%.*s", (int)length, target);
            if ((cw_probe_is_pci(part) || is_vmbus(part)) && length < size) {
                snprintf(address, size, "%s", part);
                is_found = true;
            }
        }
        target += length;
        target += strspn(target, "/");
    }
    return is_found;
}

const char *cw_probe_json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

int64_t cw_probe_json_number(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}
