/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The judge. Order matters to clients: an unknown command or flag is EINVAL before its range is looked at;
 * beyond the end is ENOSPC for what writes and EINVAL for what reads; FUA is allowed, and means nothing, on
 * commands that do not write. TRIM, WRITE_ZEROES, CACHE and BLOCK_STATUS carry no data and may be as long
 * as 32 bits say; only READ and WRITE have a maximum.
 */
#include "frontend/nbd_commands.h"

#include "base/bytes.h"
#include "frontend/block.h"

struct rule {
    uint16_t flags;  /* allowed */
    bool writes;     /* changes the volume */
    bool has_extent; /* offset and length name bytes of the volume */
    bool has_data;
};

static const struct rule rules[CW_NBD_CMD_COUNT] = {
    [CW_NBD_CMD_READ] = {CW_NBD_CMD_FLAG_FUA | CW_NBD_CMD_FLAG_DF, false, true, true},
    [CW_NBD_CMD_WRITE] = {CW_NBD_CMD_FLAG_FUA, true, true, true},
    [CW_NBD_CMD_DISC] = {CW_NBD_CMD_FLAG_FUA, false, false, false},
    [CW_NBD_CMD_FLUSH] = {CW_NBD_CMD_FLAG_FUA, false, false, false},
    [CW_NBD_CMD_TRIM] = {CW_NBD_CMD_FLAG_FUA, true, true, false},
    [CW_NBD_CMD_CACHE] = {CW_NBD_CMD_FLAG_FUA, false, true, false},
    [CW_NBD_CMD_WRITE_ZEROES] = {CW_NBD_CMD_FLAG_FUA | CW_NBD_CMD_FLAG_NO_HOLE | CW_NBD_CMD_FLAG_FAST_ZERO,
                                 true, true, false},
    [CW_NBD_CMD_BLOCK_STATUS] = {CW_NBD_CMD_FLAG_FUA | CW_NBD_CMD_FLAG_REQ_ONE, false, true, false},
};

bool cw_nbd_command_decode(const uint8_t *bytes, struct cw_nbd_command *command)
{
    if (cw_load32be(bytes) != CW_NBD_MAGIC_REQUEST)
        return false;
    *command = (struct cw_nbd_command){.flags = cw_load16be(bytes + 4),
                                       .type = cw_load16be(bytes + 6),
                                       .cookie = cw_load64be(bytes + 8),
                                       .offset = cw_load64be(bytes + 16),
                                       .length = cw_load32be(bytes + 24)};
    return true;
}

static struct cw_nbd_verdict refuse(uint32_t error, const char *why)
{
    return (struct cw_nbd_verdict){.error = error, .why = why};
}

static struct cw_nbd_verdict check_extent(const struct cw_nbd_command *command, const struct rule *rule,
                                          const struct cw_nbd_terms *terms)
{
    if (command->offset > terms->size || command->length > terms->size - command->offset)
        return refuse(rule->writes ? CW_NBD_ENOSPC : CW_NBD_EINVAL, "beyond the end of the volume");
    if (command->offset % terms->block_size != 0 || command->length % terms->block_size != 0)
        return refuse(CW_NBD_EINVAL, "offset or length is not a multiple of the block size");
    if (rule->has_data && command->length > CW_REQUEST_BYTES_MAX)
        return refuse(command->flags & CW_NBD_CMD_FLAG_DF ? CW_NBD_EOVERFLOW : CW_NBD_EINVAL,
                      "longer than the maximum block size");
    return (struct cw_nbd_verdict){0};
}

struct cw_nbd_verdict cw_nbd_command_check(const struct cw_nbd_command *command,
                                           const struct cw_nbd_terms *terms)
{
    if (command->type == CW_NBD_CMD_WRITE && command->length > CW_NBD_WRITE_DRAIN_MAX)
        return (struct cw_nbd_verdict){
            .error = CW_NBD_EINVAL, .why = "payload too long to skip", .is_fatal = true};
    if (command->type >= CW_NBD_CMD_COUNT)
        return refuse(CW_NBD_EINVAL, "command not known");
    const struct rule *rule = &rules[command->type];
    if (command->flags & ~rule->flags)
        return refuse(CW_NBD_EINVAL, "flag not known for this command");
    if (command->flags & CW_NBD_CMD_FLAG_DF && !terms->is_structured)
        return refuse(CW_NBD_EINVAL, "DF needs structured replies");
    if (command->type == CW_NBD_CMD_BLOCK_STATUS && !terms->has_context)
        return refuse(CW_NBD_EINVAL, "no metadata context was negotiated");
    if (command->type == CW_NBD_CMD_BLOCK_STATUS && command->length == 0)
        return refuse(CW_NBD_EINVAL, "the status of nothing");
    if (command->type == CW_NBD_CMD_FLUSH && (command->offset != 0 || command->length != 0))
        return refuse(CW_NBD_EINVAL, "FLUSH takes no offset and no length");
    if (!rule->has_extent)
        return (struct cw_nbd_verdict){0};
    return check_extent(command, rule, terms);
}

uint32_t cw_nbd_error_of(enum cw_status status)
{
    switch (status) {
    case CW_OK:
        return 0;
    case CW_INVALID:
    case CW_RANGE:
        return CW_NBD_EINVAL;
    case CW_NO_SPACE:
        return CW_NBD_ENOSPC;
    case CW_REFUSED:
        return CW_NBD_EPERM;
    case CW_SHUTDOWN:
        return CW_NBD_ESHUTDOWN;
    default:
        return CW_NBD_EIO;
    }
}
