/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What groups ask for, carried out. Every kernel operation has one op from a fixed pool; an action is popped
 * only when there is room for the largest it may need, so that nothing ever backs out of the middle.
 *
 * A superblock is three operations in order: both copies written, then the journal synced. A batch is one
 * write per segment. A sync of the volumes is one per file. The first failure among them counts.
 */
#include <errno.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/store.h"

/* The most operations of one action: the segments of a batch, or a sync of every volume. */
#define OPS_PER_ACTION_MAX                                                                                   \
    (CW_BATCH_SEGMENTS_MAX > CW_VOLUMES_PER_GROUP_MAX ? CW_BATCH_SEGMENTS_MAX : CW_VOLUMES_PER_GROUP_MAX)

static_assert(OPS_PER_ACTION_MAX < CW_STORE_OPS, "one action always fits");

static void on_done(struct cw_uring_op *op, int result, uint32_t flags);

struct cw_store_op *cw_store_op_take(struct cw_store_group *group, uint8_t type)
{
    struct cw_store *store = group->store;
    struct cw_store_op *op = store->ops_free;
    CW_ASSERT(op != NULL && "room was seen before");
    store->ops_free = op->next;
    store->ops_free_count--;
    op->op.done = on_done;
    op->group = group;
    op->type = type;
    op->slot = 0;
    op->token = 0;
    op->volume = NULL;
    group->ops_in_flight++;
    return op;
}

static void op_give(struct cw_store_op *op)
{
    struct cw_store *store = op->group->store;
    CW_ASSERT(op->group->ops_in_flight > 0);
    op->group->ops_in_flight--;
    op->next = store->ops_free;
    store->ops_free = op;
    store->ops_free_count++;
}

/* ---------------------------------------------------------------- finished */

/* True when the last part of a flight has come. */
static bool flight_land(struct cw_store_flight *flight, enum cw_status status)
{
    CW_ASSERT(flight->pending > 0);
    if (flight->status == CW_OK)
        flight->status = status;
    return --flight->pending == 0;
}

static void super_sync(struct cw_store_group *group)
{
    struct cw_store_op *op = cw_store_op_take(group, CW_ACT_SUPER_WRITE);
    op->slot = 1; /* the sync, not a copy */
    cw_disk_fdatasync(&group->store->uring, &group->journal, &op->op);
}

static void on_super_part(struct cw_store_group *group, bool is_sync, enum cw_status status)
{
    if (is_sync) {
        cw_group_on_super_written(group->group, status);
        return;
    }
    if (!flight_land(&group->super, status))
        return;
    if (group->super.status != CW_OK)
        cw_group_on_super_written(group->group, group->super.status);
    else
        super_sync(group);
}

static void on_batch_part(struct cw_store_group *group, uint32_t slot, enum cw_status status)
{
    struct cw_store_flight *batch = &group->batches[slot];
    if (flight_land(batch, status))
        cw_group_on_journal_written(group->group, slot, batch->status);
}

static void on_volume_synced(struct cw_store_group *group, enum cw_status status)
{
    if (flight_land(&group->volumes_sync, status))
        cw_group_on_volumes_synced(group->group, group->volumes_sync.status);
}

/* Positive errno. */
static void trace_failed(struct cw_store_group *group, uint8_t type, uint32_t slot, int error)
{
    static const char *const texts[CW_ACT_TYPE_COUNT] = {
        [CW_ACT_JOURNAL_WRITE] = "a write to the journal failed: errno %llu, batch %llu",
        [CW_ACT_JOURNAL_SYNC] = "a sync of the journal failed: errno %llu",
        [CW_ACT_JOURNAL_READ] = "a read of the journal failed: errno %llu",
        [CW_ACT_SUPER_WRITE] = "a write of the superblock failed: errno %llu, part %llu",
        [CW_ACT_APPLY] = "a write to a volume failed: errno %llu",
        [CW_ACT_VOLUMES_SYNC] = "a sync of a volume failed: errno %llu",
        [CW_ACT_COPY_READ] = "a read for a copy failed: errno %llu"};
    cw_store_trace(group->store, group->id, texts[type], (uint64_t)error, slot, 0);
}

static void trace_synced(struct cw_store_group *group)
{
    const struct cw_journal *journal = cw_group_journal(group->group);
    cw_trace_add(&group->store->disks, group->store->now_ns, group->id,
                 "the journal is durable up to %llu, commit %llu", cw_journal_durable_sequence(journal),
                 cw_journal_durable_commit(journal), 0);
}

static void on_finished(struct cw_store_group *group, uint8_t type, uint32_t slot, uint64_t token,
                        enum cw_status status)
{
    switch (type) {
    case CW_ACT_JOURNAL_WRITE:
        on_batch_part(group, slot, status);
        break;
    case CW_ACT_JOURNAL_SYNC:
        cw_group_on_journal_synced(group->group, status);
        trace_synced(group);
        break;
    case CW_ACT_JOURNAL_READ:
        cw_group_on_journal_read(group->group, token, status);
        break;
    case CW_ACT_SUPER_WRITE:
        on_super_part(group, slot == 1, status);
        break;
    case CW_ACT_APPLY:
        cw_group_on_applied(group->group, token, status);
        break;
    case CW_ACT_VOLUMES_SYNC:
        on_volume_synced(group, status);
        break;
    case CW_ACT_COPY_READ:
        cw_group_on_copy_read(group->group, token, status);
        break;
    default:
        CW_ASSERT(!"no other action is an operation");
    }
}

static enum cw_status status_of(int result)
{
    if (result >= 0)
        return CW_OK;
    return result == -ENOSPC || result == -EDQUOT ? CW_NO_SPACE : CW_IO;
}

static void on_done(struct cw_uring_op *uring_op, int result, uint32_t flags)
{
    struct cw_store_op *op = CW_CONTAINER_OF(uring_op, struct cw_store_op, op);
    struct cw_store_group *group = op->group;
    uint8_t type = op->type;
    uint32_t slot = op->slot;
    uint64_t token = op->token;
    if (op->volume != NULL)
        op->volume->in_flight--;
    op_give(op); /* before the group hears of it: a superblock takes one more */
    if (result < 0)
        trace_failed(group, type, slot, -result);
    on_finished(group, type, slot, token, status_of(result));
}

/* Ends an operation that could not be begun, by way of the ring: answers come in a later turn. */
static void fail_later(struct cw_store_op *op)
{
    struct cw_uring *uring = &op->group->store->uring;
    struct io_uring_sqe *sqe = cw_uring_sqe(uring);
    io_uring_prep_nop(sqe);
    cw_uring_bind(uring, sqe, &op->op);
    op->op.forced = -ENXIO;
}

/* ---------------------------------------------------------------- begun */

static void journal_write(struct cw_store_group *group, const struct cw_action *action)
{
    const struct cw_journal_batch *batch = cw_journal_batch(cw_group_journal(group->group), action->slot);
    CW_ASSERT(action->slot < CW_BATCH_SLOTS_MAX);
    CW_ASSERT(batch->segment_count > 0);
    struct cw_store_flight *flight = &group->batches[action->slot];
    CW_ASSERT(flight->pending == 0);
    *flight = (struct cw_store_flight){.pending = batch->segment_count};
    cw_trace_add(&group->store->disks, group->store->now_ns, group->id,
                 "batch %llu is written, up to record %llu, commit %llu", action->slot, batch->last_sequence,
                 batch->commit);
    for (uint32_t i = 0; i < batch->segment_count; i++) {
        struct cw_store_op *op = cw_store_op_take(group, CW_ACT_JOURNAL_WRITE);
        op->slot = action->slot;
        const struct cw_journal_segment *segment = &batch->segments[i];
        cw_disk_write(&group->store->uring, &group->journal, &op->op, segment->data, segment->length,
                      segment->offset, batch->is_dsync);
    }
}

static void journal_sync(struct cw_store_group *group)
{
    struct cw_store_op *op = cw_store_op_take(group, CW_ACT_JOURNAL_SYNC);
    cw_disk_fdatasync(&group->store->uring, &group->journal, &op->op);
}

static void journal_read(struct cw_store_group *group, const struct cw_action *action)
{
    struct cw_store_op *op = cw_store_op_take(group, CW_ACT_JOURNAL_READ);
    op->token = action->token;
    cw_disk_read(&group->store->uring, &group->journal, &op->op, action->memory, (uint32_t)action->length,
                 action->offset);
}

static void super_write(struct cw_store_group *group, const struct cw_action *action)
{
    CW_ASSERT(group->super.pending == 0);
    group->super = (struct cw_store_flight){.pending = 2};
    for (unsigned i = 0; i < 2; i++) {
        struct cw_store_op *op = cw_store_op_take(group, CW_ACT_SUPER_WRITE);
        cw_disk_write(&group->store->uring, &group->journal, &op->op, action->memory, CW_SECTOR_SIZE,
                      (uint64_t)action->sectors[i] * CW_SECTOR_SIZE, false);
    }
}

/* The file that an operation of this image goes to. A volume without a copy file is a device, which is
 * overwritten; one that came after the copy began has ended it. */
static struct cw_disk_file *file_of(struct cw_store_volume *volume, bool to_copy)
{
    return to_copy && volume->has_copy ? &volume->copy : &volume->file;
}

static void op_of_volume(struct cw_store_op *op, struct cw_store_volume *volume)
{
    op->volume = volume;
    volume->in_flight++;
}

static void apply(struct cw_store_group *group, const struct cw_action *action)
{
    struct cw_store_op *op = cw_store_op_take(group, CW_ACT_APPLY);
    op->token = action->token;
    CW_ASSERT(action->volume < CW_VOLUMES_PER_GROUP_MAX);
    struct cw_store_volume *volume = &group->volumes[action->volume];
    if (!volume->is_used) {
        fail_later(op);
        return;
    }
    op_of_volume(op, volume);
    struct cw_disk_file *file = file_of(volume, action->to_copy);
    CW_ASSERT((!action->to_copy || file != &volume->file || file->is_device) &&
              "the old image is not touched");
    if (action->kind == CW_RECORD_WRITE)
        cw_disk_write(&group->store->uring, file, &op->op, action->memory, (uint32_t)action->length,
                      action->offset, false);
    else
        cw_disk_zeroes(&group->store->uring, file, &op->zero, &op->op, action->offset, action->length,
                       volume->is_thin && action->kind == CW_RECORD_DISCARD);
}

static void volumes_sync(struct cw_store_group *group, bool to_copy)
{
    CW_ASSERT(group->volumes_sync.pending == 0);
    group->volumes_sync = (struct cw_store_flight){.pending = 1};
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++) {
        struct cw_store_volume *volume = &group->volumes[i];
        if (!volume->is_used)
            continue;
        group->volumes_sync.pending++;
        struct cw_store_op *op = cw_store_op_take(group, CW_ACT_VOLUMES_SYNC);
        op_of_volume(op, volume);
        cw_disk_fdatasync(&group->store->uring, file_of(volume, to_copy), &op->op);
    }
    /* The one counted at the beginning answers in a later turn also when there is no volume. */
    struct cw_store_op *op = cw_store_op_take(group, CW_ACT_VOLUMES_SYNC);
    struct io_uring_sqe *sqe = cw_uring_sqe(&group->store->uring);
    io_uring_prep_nop(sqe);
    cw_uring_bind(&group->store->uring, sqe, &op->op);
}

static void copy_read(struct cw_store_group *group, const struct cw_action *action)
{
    struct cw_store_op *op = cw_store_op_take(group, CW_ACT_COPY_READ);
    op->token = action->token;
    struct cw_store_volume *volume = &group->volumes[action->volume];
    if (!volume->is_used) {
        fail_later(op);
        return;
    }
    op_of_volume(op, volume);
    cw_disk_read(&group->store->uring, &volume->file, &op->op, action->memory, (uint32_t)action->length,
                 action->offset);
}

static void ask_authority(struct cw_store_group *group, const struct cw_action *action)
{
    bool is_claim = action->type == CW_ACT_CLAIM;
    cw_store_trace(group->store, group->id,
                   is_claim ? "asks for epoch %llu, with members %llx" : "epoch %llu asks for members %llx",
                   action->epoch, action->members_to, 0);
    struct cw_mail mail = {.type = is_claim ? CW_MAIL_CLAIM : CW_MAIL_SET, .slot = group->slot};
    mail.claim.serial = is_claim ? ++group->claim_serial : ++group->set_serial;
    mail.claim.from_epoch = action->from_epoch;
    mail.claim.epoch = action->epoch;
    mail.claim.reign = action->reign;
    mail.claim.first_sequence = action->first_sequence;
    mail.claim.own_epoch = action->own_epoch;
    mail.claim.highest_seen_epoch = action->seen_epoch;
    mail.claim.seen_by = action->seen_by;
    mail.claim.members_from = action->members_from;
    mail.claim.members_to = action->members_to;
    mail.claim.reached = action->reached;
    for (unsigned i = 0; i < CW_SITES_MAX; i++)
        mail.claim.identities[i] = action->identities[i];
    cw_store_mail(group->store, &mail);
}

static void ask_image(struct cw_store_group *group, const struct cw_action *action)
{
    CW_ASSERT(!group->is_image_lent);
    group->is_image_lent = true;
    group->image_op = action->kind;
    struct cw_mail mail = {.type = CW_MAIL_IMAGE, .slot = group->slot};
    mail.image.op = action->kind;
    mail.image.group = group;
    cw_store_mail(group->store, &mail);
}

static void ask_salvage(struct cw_store_group *group, const struct cw_action *action)
{
    struct cw_mail mail = {.type = CW_MAIL_SALVAGE, .slot = group->slot};
    mail.salvage.above = action->sequence;
    mail.salvage.last = action->last_sequence;
    mail.salvage.group = group;
    cw_store_mail(group->store, &mail);
}

static void tell_event(struct cw_store_group *group, const struct cw_action *action)
{
    group->must_look = true;
    cw_store_event(group->store, action->level, group->id, action->text, action->a, action->b, action->c);
}

static void carry_out(struct cw_store_group *group, const struct cw_action *action)
{
    switch ((enum cw_action_type)action->type) {
    case CW_ACT_JOURNAL_WRITE:
        journal_write(group, action);
        break;
    case CW_ACT_JOURNAL_SYNC:
        journal_sync(group);
        break;
    case CW_ACT_JOURNAL_READ:
        journal_read(group, action);
        break;
    case CW_ACT_SUPER_WRITE:
        super_write(group, action);
        break;
    case CW_ACT_APPLY:
        apply(group, action);
        break;
    case CW_ACT_VOLUMES_SYNC:
        volumes_sync(group, action->to_copy);
        break;
    case CW_ACT_SEND:
        cw_store_send(group, action);
        break;
    case CW_ACT_COMPLETE:
        cw_store_finish(group, action->request, action->status);
        break;
    case CW_ACT_RELEASE:
        cw_store_release(group, action->handle);
        break;
    case CW_ACT_CLAIM:
    case CW_ACT_SET:
        ask_authority(group, action);
        break;
    case CW_ACT_COPY_READ:
        copy_read(group, action);
        break;
    case CW_ACT_IMAGE:
        ask_image(group, action);
        break;
    case CW_ACT_SALVAGE:
        ask_salvage(group, action);
        break;
    case CW_ACT_EVENT:
        tell_event(group, action);
        break;
    case CW_ACT_NONE:
    case CW_ACT_TYPE_COUNT:
        CW_ASSERT(!"a group asks for nothing else");
    }
}

static bool has_room(const struct cw_store_group *group)
{
    struct cw_store *store = group->store;
    return store->ops_free_count > OPS_PER_ACTION_MAX && cw_store_has_room_to_net(store, group->lane) &&
           cw_ring_room(&store->engine->mails) > CW_COMMANDS_MAX;
}

uint32_t cw_store_drain_actions(struct cw_store_group *group)
{
    struct cw_action action;
    uint32_t count = 0;
    while (count < CW_STORE_ACTIONS_MAX && has_room(group) && cw_group_action(group->group, &action)) {
        carry_out(group, &action);
        count++;
    }
    group->is_backlogged = count == CW_STORE_ACTIONS_MAX || !has_room(group);
    return count;
}
