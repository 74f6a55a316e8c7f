/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Option haggling. An option is looked into only when all of its data is here; one that is too long for that
 * is read past and answered with TOO_BIG. Each malformed option gets ERR_INVALID and haggling goes on; only
 * a client that breaks the framing is cut off. The reader below never runs past the option's end: after the
 * first failure it stays failed, so a handler checks once, at its end.
 */
#include "frontend/nbd_options.h"

#include <string.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "wire/record.h"
#include "frontend/block.h"

#define BLOCK_SIZE_PREFERRED 4096u

static const char context_allocation[] = "base:allocation";

/* ---- reading and writing ---- */

struct reader {
    const uint8_t *at;
    size_t left;
    bool is_bad;
};

static const uint8_t *read_bytes(struct reader *reader, size_t count)
{
    if (reader->is_bad || count > reader->left) {
        reader->is_bad = true;
        return NULL;
    }
    const uint8_t *at = reader->at;
    reader->at += count;
    reader->left -= count;
    return at;
}

static uint32_t read_u32(struct reader *reader)
{
    const uint8_t *at = read_bytes(reader, 4);
    return at ? cw_load32be(at) : 0;
}

static uint16_t read_u16(struct reader *reader)
{
    const uint8_t *at = read_bytes(reader, 2);
    return at ? cw_load16be(at) : 0;
}

/* A string is borrowed from the option's data; not terminated. */
struct text {
    const uint8_t *at;
    uint32_t length;
};

static struct text read_text(struct reader *reader)
{
    struct text text = {.length = read_u32(reader)};
    text.at = read_bytes(reader, text.length);
    return text;
}

static bool is_text(struct text text, const char *other)
{
    return text.length == strlen(other) && memcmp(text.at, other, text.length) == 0;
}

static uint8_t *append(struct cw_nbd_out *out, size_t count)
{
    CW_ASSERT(count <= out->capacity - out->length && "the caller left room for the longest answer");
    uint8_t *at = out->bytes + out->length;
    out->length += count;
    return at;
}

static void append_text(struct cw_nbd_out *out, const char *text)
{
    size_t length = strlen(text);
    memcpy(append(out, length), text, length);
}

static void append_reply(struct cw_nbd_out *out, uint32_t option, uint32_t type, uint32_t length)
{
    uint8_t *at = append(out, CW_NBD_OPTION_REPLY_HEADER_BYTES);
    cw_store64be(at, CW_NBD_MAGIC_OPTION_REPLY);
    cw_store32be(at + 8, option);
    cw_store32be(at + 12, type);
    cw_store32be(at + 16, length);
}

static void append_error(struct cw_nbd_out *out, uint32_t option, uint32_t type, const char *why)
{
    append_reply(out, option, type, (uint32_t)strlen(why));
    append_text(out, why);
}

/* ---- exports ---- */

uint16_t cw_nbd_export_flags(bool is_structured)
{
    uint16_t flags = CW_NBD_EXPORT_HAS_FLAGS | CW_NBD_EXPORT_SEND_FLUSH | CW_NBD_EXPORT_SEND_FUA |
                     CW_NBD_EXPORT_SEND_TRIM | CW_NBD_EXPORT_SEND_WRITE_ZEROES |
                     CW_NBD_EXPORT_CAN_MULTI_CONN | CW_NBD_EXPORT_SEND_CACHE | CW_NBD_EXPORT_SEND_FAST_ZERO;
    return is_structured ? flags | CW_NBD_EXPORT_SEND_DF : flags;
}

/* The index of the export of that name, or -1. The empty name is the only export of a socket that has one. */
static int offer_find(const struct cw_nbd_offers *offers, struct text name)
{
    if (name.length == 0 && offers->count == 1)
        return 0;
    for (uint32_t i = 0; i < offers->count; i++)
        if (is_text(name, offers->offers[i].name))
            return (int)i;
    return -1;
}

static void append_info_export(struct cw_nbd_out *out, uint32_t option, const struct cw_nbd_offer *offer,
                               bool is_structured)
{
    append_reply(out, option, CW_NBD_REP_INFO, 12);
    uint8_t *at = append(out, 12);
    cw_store16be(at, CW_NBD_INFO_EXPORT);
    cw_store64be(at + 2, offer->size);
    cw_store16be(at + 10, cw_nbd_export_flags(is_structured));
}

static void append_info_block_size(struct cw_nbd_out *out, uint32_t option, const struct cw_nbd_offer *offer)
{
    append_reply(out, option, CW_NBD_REP_INFO, 14);
    uint8_t *at = append(out, 14);
    cw_store16be(at, CW_NBD_INFO_BLOCK_SIZE);
    cw_store32be(at + 2, offer->block_size);
    cw_store32be(at + 6, CW_MAX(offer->block_size, BLOCK_SIZE_PREFERRED));
    cw_store32be(at + 10, CW_REQUEST_BYTES_MAX);
}

static void append_info_text(struct cw_nbd_out *out, uint32_t option, uint16_t info, const char *text)
{
    append_reply(out, option, CW_NBD_REP_INFO, 2 + (uint32_t)strlen(text));
    cw_store16be(append(out, 2), info);
    append_text(out, text);
}

/* ---- the options; each answers through out ---- */

struct option {
    uint32_t number;
    struct reader data;
    const struct cw_nbd_offers *offers;
    struct cw_nbd_out *out;
};

static enum cw_nbd_handshake_result option_error(struct option *option, uint32_t type, const char *why)
{
    append_error(option->out, option->number, type, why);
    return CW_NBD_HANDSHAKE_MOVED;
}

static enum cw_nbd_handshake_result option_ack(struct option *option)
{
    append_reply(option->out, option->number, CW_NBD_REP_ACK, 0);
    return CW_NBD_HANDSHAKE_MOVED;
}

/* The context holds only for the export that it was asked for. */
static void settle_context(struct cw_nbd_handshake *handshake, const struct cw_nbd_offer *offer)
{
    if (strcmp(handshake->context_name, offer->name) != 0)
        handshake->has_context = false;
}

static enum cw_nbd_handshake_result on_export_name(struct cw_nbd_handshake *handshake, struct option *option)
{
    struct text name = {.at = option->data.at, .length = (uint32_t)option->data.left};
    int found = offer_find(option->offers, name);
    if (found < 0)
        return CW_NBD_HANDSHAKE_BROKEN; /* this option has no way to answer an error */
    const struct cw_nbd_offer *offer = &option->offers->offers[found];
    settle_context(handshake, offer);
    handshake->chosen = (uint32_t)found;
    uint8_t *at = append(option->out, 10);
    cw_store64be(at, offer->size);
    cw_store16be(at + 8, cw_nbd_export_flags(handshake->is_structured));
    if (!handshake->no_zeroes)
        memset(append(option->out, 124), 0, 124);
    return CW_NBD_HANDSHAKE_CHOSEN;
}

static enum cw_nbd_handshake_result on_list(struct option *option)
{
    if (option->data.left != 0)
        return option_error(option, CW_NBD_REP_ERR_INVALID, "LIST carries no data");
    for (uint32_t i = 0; i < option->offers->count; i++) {
        uint32_t length = (uint32_t)strlen(option->offers->offers[i].name);
        append_reply(option->out, option->number, CW_NBD_REP_SERVER, 4 + length);
        cw_store32be(append(option->out, 4), length);
        append_text(option->out, option->offers->offers[i].name);
    }
    return option_ack(option);
}

/* INFO tells about an export, GO takes it too. Sizes are told unasked: they are not the default ones. */
static enum cw_nbd_handshake_result on_info_or_go(struct cw_nbd_handshake *handshake, struct option *option)
{
    struct text name = read_text(&option->data);
    uint16_t asked_count = read_u16(&option->data);
    uint32_t asked = 0; /* bit i: information i */
    for (uint16_t i = 0; i < asked_count && !option->data.is_bad; i++) {
        uint16_t info = read_u16(&option->data);
        if (info < 32)
            asked |= 1u << info;
    }
    if (option->data.is_bad || option->data.left != 0)
        return option_error(option, CW_NBD_REP_ERR_INVALID, "lengths inside the option do not add up");
    int found = offer_find(option->offers, name);
    if (found < 0)
        return option_error(option, CW_NBD_REP_ERR_UNKNOWN, "no export of that name on this socket");
    const struct cw_nbd_offer *offer = &option->offers->offers[found];
    append_info_export(option->out, option->number, offer, handshake->is_structured);
    append_info_block_size(option->out, option->number, offer);
    if (asked & 1u << CW_NBD_INFO_NAME)
        append_info_text(option->out, option->number, CW_NBD_INFO_NAME, offer->name);
    if (asked & 1u << CW_NBD_INFO_DESCRIPTION)
        append_info_text(option->out, option->number, CW_NBD_INFO_DESCRIPTION, offer->description);
    option_ack(option);
    if (option->number == CW_NBD_OPT_INFO)
        return CW_NBD_HANDSHAKE_MOVED;
    settle_context(handshake, offer);
    handshake->chosen = (uint32_t)found;
    return CW_NBD_HANDSHAKE_CHOSEN;
}

static enum cw_nbd_handshake_result on_structured_reply(struct cw_nbd_handshake *handshake,
                                                        struct option *option)
{
    if (option->data.left != 0)
        return option_error(option, CW_NBD_REP_ERR_INVALID, "STRUCTURED_REPLY carries no data");
    handshake->is_structured = true;
    return option_ack(option);
}

/* Reads the queries; is base:allocation among what they ask for? LIST may ask for a whole namespace. */
static bool read_queries(struct reader *data, bool is_list)
{
    uint32_t count = read_u32(data);
    bool is_wanted = is_list && count == 0;
    for (uint32_t i = 0; i < count && !data->is_bad; i++) {
        struct text query = read_text(data);
        if (data->is_bad)
            break;
        is_wanted |= is_text(query, context_allocation) || (is_list && is_text(query, "base:"));
    }
    return is_wanted;
}

static enum cw_nbd_handshake_result on_meta_context(struct cw_nbd_handshake *handshake, struct option *option)
{
    bool is_list = option->number == CW_NBD_OPT_LIST_META_CONTEXT;
    if (!is_list)
        handshake->has_context = false; /* each SET replaces the one before, also when it fails */
    if (!handshake->is_structured)
        return option_error(option, CW_NBD_REP_ERR_INVALID, "needs STRUCTURED_REPLY first");
    struct text name = read_text(&option->data);
    bool is_wanted = read_queries(&option->data, is_list);
    if (option->data.is_bad || option->data.left != 0)
        return option_error(option, CW_NBD_REP_ERR_INVALID, "lengths inside the option do not add up");
    int found = offer_find(option->offers, name);
    if (found < 0)
        return option_error(option, CW_NBD_REP_ERR_UNKNOWN, "no export of that name on this socket");
    if (is_wanted) {
        append_reply(option->out, option->number, CW_NBD_REP_META_CONTEXT,
                     4 + (uint32_t)strlen(context_allocation));
        cw_store32be(append(option->out, 4), is_list ? 0 : CW_NBD_CONTEXT_ALLOCATION);
        append_text(option->out, context_allocation);
    }
    if (is_wanted && !is_list) {
        const char *canonical = option->offers->offers[found].name;
        size_t length = strlen(canonical);
        CW_ASSERT(length <= CW_NBD_NAME_BYTES_MAX);
        memcpy(handshake->context_name, canonical, length + 1);
        handshake->has_context = true;
    }
    return option_ack(option);
}

static enum cw_nbd_handshake_result on_option(struct cw_nbd_handshake *handshake, struct option *option)
{
    if (!handshake->is_fixed && option->number != CW_NBD_OPT_EXPORT_NAME)
        return CW_NBD_HANDSHAKE_BROKEN; /* such a client does not understand option replies */
    switch (option->number) {
    case CW_NBD_OPT_EXPORT_NAME:
        return on_export_name(handshake, option);
    case CW_NBD_OPT_ABORT:
        option_ack(option);
        return CW_NBD_HANDSHAKE_CLOSE;
    case CW_NBD_OPT_LIST:
        return on_list(option);
    case CW_NBD_OPT_INFO:
    case CW_NBD_OPT_GO:
        return on_info_or_go(handshake, option);
    case CW_NBD_OPT_STRUCTURED_REPLY:
        return on_structured_reply(handshake, option);
    case CW_NBD_OPT_LIST_META_CONTEXT:
    case CW_NBD_OPT_SET_META_CONTEXT:
        return on_meta_context(handshake, option);
    case CW_NBD_OPT_STARTTLS:
        return option_error(option, CW_NBD_REP_ERR_UNSUP, "no TLS here: put nbdkit in front of this socket");
    default:
        return option_error(option, CW_NBD_REP_ERR_UNSUP, "option not known");
    }
}

/* ---- the machine ---- */

void cw_nbd_handshake_init(struct cw_nbd_handshake *handshake, struct cw_nbd_out *out)
{
    *handshake = (struct cw_nbd_handshake){.phase = CW_NBD_PHASE_FLAGS};
    uint8_t *at = append(out, CW_NBD_GREETING_BYTES);
    cw_store64be(at, CW_NBD_MAGIC);
    cw_store64be(at + 8, CW_NBD_MAGIC_OPTION);
    cw_store16be(at + 16, CW_NBD_FLAG_FIXED_NEWSTYLE | CW_NBD_FLAG_NO_ZEROES);
}

static enum cw_nbd_handshake_result step_flags(struct cw_nbd_handshake *handshake, const uint8_t *bytes,
                                               size_t length, size_t *consumed)
{
    if (length < CW_NBD_CLIENT_FLAGS_BYTES)
        return CW_NBD_HANDSHAKE_MORE;
    uint32_t flags = cw_load32be(bytes);
    if (flags & ~CW_NBD_CLIENT_FLAGS_KNOWN)
        return CW_NBD_HANDSHAKE_BROKEN;
    handshake->is_fixed = flags & CW_NBD_FLAG_FIXED_NEWSTYLE;
    handshake->no_zeroes = flags & CW_NBD_FLAG_NO_ZEROES;
    handshake->phase = CW_NBD_PHASE_OPTION;
    *consumed = CW_NBD_CLIENT_FLAGS_BYTES;
    return CW_NBD_HANDSHAKE_MOVED;
}

static enum cw_nbd_handshake_result step_option(struct cw_nbd_handshake *handshake,
                                                const struct cw_nbd_offers *offers, const uint8_t *bytes,
                                                size_t length, size_t *consumed, struct cw_nbd_out *out)
{
    if (length < CW_NBD_OPTION_HEADER_BYTES)
        return CW_NBD_HANDSHAKE_MORE;
    if (cw_load64be(bytes) != CW_NBD_MAGIC_OPTION)
        return CW_NBD_HANDSHAKE_BROKEN;
    uint32_t number = cw_load32be(bytes + 8), data_length = cw_load32be(bytes + 12);
    if (data_length > CW_NBD_OPTION_SKIP_MAX)
        return CW_NBD_HANDSHAKE_BROKEN;
    if (data_length > CW_NBD_OPTION_BYTES_MAX) {
        handshake->phase = CW_NBD_PHASE_SKIP;
        handshake->skip_option = number;
        handshake->skip_left = data_length;
        *consumed = CW_NBD_OPTION_HEADER_BYTES;
        return CW_NBD_HANDSHAKE_MOVED;
    }
    if (length - CW_NBD_OPTION_HEADER_BYTES < data_length)
        return CW_NBD_HANDSHAKE_MORE;
    *consumed = CW_NBD_OPTION_HEADER_BYTES + data_length;
    struct option option = {.number = number,
                            .data = {.at = bytes + CW_NBD_OPTION_HEADER_BYTES, .left = data_length},
                            .offers = offers,
                            .out = out};
    return on_option(handshake, &option);
}

static enum cw_nbd_handshake_result step_skip(struct cw_nbd_handshake *handshake, size_t length,
                                              size_t *consumed, struct cw_nbd_out *out)
{
    if (length == 0)
        return CW_NBD_HANDSHAKE_MORE;
    uint32_t skipped = (uint32_t)CW_MIN(length, handshake->skip_left);
    handshake->skip_left -= skipped;
    *consumed = skipped;
    if (handshake->skip_left > 0)
        return CW_NBD_HANDSHAKE_MOVED;
    handshake->phase = CW_NBD_PHASE_OPTION;
    if (!handshake->is_fixed || handshake->skip_option == CW_NBD_OPT_EXPORT_NAME)
        return CW_NBD_HANDSHAKE_BROKEN; /* no error can be answered */
    append_error(out, handshake->skip_option, CW_NBD_REP_ERR_TOO_BIG, "option data too long");
    return CW_NBD_HANDSHAKE_MOVED;
}

enum cw_nbd_handshake_result cw_nbd_handshake_step(struct cw_nbd_handshake *handshake,
                                                   const struct cw_nbd_offers *offers, const uint8_t *bytes,
                                                   size_t length, size_t *consumed, struct cw_nbd_out *out)
{
    CW_ASSERT(out->capacity - out->length >= CW_NBD_ANSWER_BYTES_MAX);
    CW_ASSERT(offers->count <= CW_NBD_SOCKET_EXPORTS_MAX);
    *consumed = 0;
    switch (handshake->phase) {
    case CW_NBD_PHASE_FLAGS:
        return step_flags(handshake, bytes, length, consumed);
    case CW_NBD_PHASE_OPTION:
        return step_option(handshake, offers, bytes, length, consumed, out);
    case CW_NBD_PHASE_SKIP:
        return step_skip(handshake, length, consumed, out);
    }
    CW_ASSERT(!"a phase that does not exist");
    return CW_NBD_HANDSHAKE_BROKEN;
}
