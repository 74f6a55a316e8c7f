/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Text for Prometheus (exposition format 0.0.4) in the making. A family is a metric's name, type and help; a
 * sample is a value with labels. Samples come in any order and stand together by family in the text, families
 * in the order in which they were first named.
 *
 * Names and labels come from engines, too, so they are foreign: a family whose name is none is no family,
 * label values are escaped and cut, and everything is bounded. Once something is too large or memory is out,
 * there is no text at all: half of one would look like a fall of what is missing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_EXPOSITION_FAMILIES_MAX 1024u
#define CW_EXPOSITION_NAME_SIZE    96u
#define CW_EXPOSITION_LABEL_MAX    128u /* bytes of a label's value */
#define CW_EXPOSITION_BYTES_MAX    (32u * 1024u * 1024u)

enum cw_family_kind { CW_FAMILY_GAUGE = 0, CW_FAMILY_COUNTER };

struct cw_exposition;
struct cw_family;

/* NULL: no memory. */
struct cw_exposition *cw_exposition_new(void);
void cw_exposition_free(struct cw_exposition *exposition);

/* The family of that name, which is begun when it is new; help is text on one line. NULL: the name is none,
 * or there are too many. */
struct cw_family *cw_family(struct cw_exposition *exposition, const char *name, enum cw_family_kind kind,
                            const char *help);
/* A sample: labels are pairs of a name (ours) and a value, and a NULL at the end. family NULL: nothing. A
 * number that is none (NaN) is left out: unknown is no value. */
void cw_sample(struct cw_family *family, double value, ...) __attribute__((sentinel));
/* The same for what is counted, exactly. */
void cw_sample_count(struct cw_family *family, uint64_t value, ...) __attribute__((sentinel));

/* The whole text, which the caller frees; NULL: too large, or no memory. */
char *cw_exposition_text(const struct cw_exposition *exposition, size_t *length);
