/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/exposition.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"

#define SLOTS (2u * CW_EXPOSITION_FAMILIES_MAX) /* of the table; a power of two */

static_assert((SLOTS & (SLOTS - 1)) == 0, "the hash is cut by a mask");

struct cw_family {
    struct cw_exposition *exposition;
    enum cw_family_kind kind;
    char name[CW_EXPOSITION_NAME_SIZE];
    char help[160];
    char *text; /* its samples */
    size_t used, size;
};

struct cw_exposition {
    uint32_t count;
    struct cw_family *families[CW_EXPOSITION_FAMILIES_MAX];
    uint16_t slots[SLOTS]; /* by hash of the name: number of the family + 1; 0: free */
    size_t bytes;
    bool is_failed;
};

struct cw_exposition *cw_exposition_new(void)
{
    return calloc(1, sizeof(struct cw_exposition));
}

void cw_exposition_free(struct cw_exposition *exposition)
{
    for (uint32_t i = 0; exposition && i < exposition->count; i++) {
        free(exposition->families[i]->text);
        free(exposition->families[i]);
    }
    free(exposition);
}

/* ---------------------------------------------------------------- families */

static bool is_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return length > 0 && length < CW_EXPOSITION_NAME_SIZE && name[length] == 0 &&
           (*name < '0' || *name > '9');
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash;
}

/* The name's place in the table: where it stands, or the free one where it belongs. */
static uint16_t *find_slot(struct cw_exposition *exposition, const char *name)
{
    uint32_t at = hash_of(name) & (SLOTS - 1);
    while (exposition->slots[at] && strcmp(exposition->families[exposition->slots[at] - 1]->name, name) != 0)
        at = (at + 1) & (SLOTS - 1); /* half of them stay free */
    return &exposition->slots[at];
}

struct cw_family *cw_family(struct cw_exposition *exposition, const char *name, enum cw_family_kind kind,
                            const char *help)
{
    if (!is_name(name))
        return NULL;
    uint16_t *slot = find_slot(exposition, name);
    if (*slot)
        return exposition->families[*slot - 1];
    if (exposition->count == CW_EXPOSITION_FAMILIES_MAX)
        return NULL;
    struct cw_family *family = calloc(1, sizeof *family);
    if (!family) {
        exposition->is_failed = true;
        return NULL;
    }
    family->exposition = exposition;
    family->kind = kind;
    snprintf(family->name, sizeof family->name, "%s", name);
    snprintf(family->help, sizeof family->help, "%s", help);
    exposition->families[exposition->count++] = family;
    *slot = (uint16_t)exposition->count;
    return family;
}

/* ---------------------------------------------------------------- samples */

/* Room for so many more bytes. */
static bool grow(struct cw_family *family, size_t more)
{
    struct cw_exposition *exposition = family->exposition;
    size_t size = family->size ? family->size : 512;
    while (size < family->used + more)
        size *= 2;
    if (exposition->is_failed || exposition->bytes + more > CW_EXPOSITION_BYTES_MAX) {
        exposition->is_failed = true;
        return false;
    }
    char *text = size == family->size ? family->text : realloc(family->text, size);
    exposition->is_failed = text == NULL;
    if (!text)
        return false;
    family->text = text;
    family->size = size;
    return true;
}

static void put(struct cw_family *family, const char *text, size_t length)
{
    memcpy(family->text + family->used, text, length);
    family->used += length;
}

/* A value of a label: escaped, and cut before a letter of more than one byte rather than in it. */
static void put_escaped(struct cw_family *family, const char *value)
{
    size_t length = strnlen(value, CW_EXPOSITION_LABEL_MAX + 1);
    if (length > CW_EXPOSITION_LABEL_MAX) {
        length = CW_EXPOSITION_LABEL_MAX;
        while (length > 0 && ((uint8_t)value[length] & 0xc0) == 0x80)
            length--;
    }
    for (size_t i = 0; i < length; i++) {
        char escape = value[i] == '\n' ? 'n' : value[i] == '"' || value[i] == '\\' ? value[i] : 0;
        if (escape)
            put(family, "\\", 1);
        put(family, escape ? &escape : &value[i], 1);
    }
}

static void put_sample(struct cw_family *family, const char *number, va_list labels)
{
    const char *label, *open = "{";
    size_t began = family->used;
    if (!grow(family, strlen(family->name)))
        return;
    put(family, family->name, strlen(family->name));
    while ((label = va_arg(labels, const char *))) {
        const char *value = va_arg(labels, const char *);
        /* each byte of the value may become two; name, quotes, brackets */
        if (!grow(family, strlen(label) + 2 * CW_EXPOSITION_LABEL_MAX + 8))
            return;
        put(family, open, 1);
        put(family, label, strlen(label));
        put(family, "=\"", 2);
        put_escaped(family, value);
        put(family, "\"", 1);
        open = ",";
    }
    if (!grow(family, strlen(number) + 3))
        return;
    put(family, "} ", *open == ',' ? 2 : 0);
    put(family, " ", *open == ',' ? 0 : 1);
    put(family, number, strlen(number));
    put(family, "\n", 1);
    family->exposition->bytes += family->used - began;
}

void cw_sample(struct cw_family *family, double value, ...)
{
    char number[40];
    va_list labels;
    if (!family || isnan(value))
        return;
    if (isinf(value))
        snprintf(number, sizeof number, value > 0 ? "+Inf" : "-Inf");
    else
        snprintf(number, sizeof number, "%.12g", value);
    va_start(labels, value);
    put_sample(family, number, labels);
    va_end(labels);
}

void cw_sample_count(struct cw_family *family, uint64_t value, ...)
{
    char number[24];
    va_list labels;
    if (!family)
        return;
    snprintf(number, sizeof number, "%" PRIu64, value);
    va_start(labels, value);
    put_sample(family, number, labels);
    va_end(labels);
}

/* ---------------------------------------------------------------- the text */

#define HEAD_SIZE (2 * CW_EXPOSITION_NAME_SIZE + sizeof((struct cw_family *)0)->help + 40)

char *cw_exposition_text(const struct cw_exposition *exposition, size_t *length)
{
    char *text = exposition->is_failed ? NULL : malloc(exposition->bytes + exposition->count * HEAD_SIZE + 1);
    *length = 0;
    for (uint32_t i = 0; text && i < exposition->count; i++) {
        const struct cw_family *family = exposition->families[i];
        if (family->used == 0)
            continue;
        *length += (size_t)snprintf(text + *length, HEAD_SIZE, "# HELP %s %s\n# TYPE %s %s\n", family->name,
                                    family->help, family->name,
                                    family->kind == CW_FAMILY_COUNTER ? "counter" : "gauge");
        memcpy(text + *length, family->text, family->used);
        *length += family->used;
    }
    return text;
}
