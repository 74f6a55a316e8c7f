/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of the transmission phase: decoding 28 bytes, and judging them before anything is done. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "frontend/nbd_protocol.h"

struct cw_nbd_command {
    uint16_t flags, type;
    uint64_t cookie; /* the client's, opaque */
    uint64_t offset;
    uint32_t length;
};

/* What was negotiated. */
struct cw_nbd_terms {
    uint64_t size;
    uint32_t block_size;
    bool is_structured, has_context;
};

struct cw_nbd_verdict {
    uint32_t error;  /* CW_NBD_E..., 0: go on */
    const char *why; /* static words beside an error, for structured replies and logs */
    bool is_fatal;   /* the stream cannot be followed beyond this request: close */
};

/* Exactly CW_NBD_REQUEST_BYTES. False when the magic is wrong: the stream is lost. */
bool cw_nbd_command_decode(const uint8_t *bytes, struct cw_nbd_command *command) CW_MUST_CHECK;
/* Range, alignment, size and flags. A WRITE that is refused still has its payload on the way. */
struct cw_nbd_verdict cw_nbd_command_check(const struct cw_nbd_command *command,
                                           const struct cw_nbd_terms *terms);
/* The protocol's error for a status of ours, and words for it. */
uint32_t cw_nbd_error_of(enum cw_status status);
