/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Actions of a group carried out on the models. A disk operation takes effect when it ends, some of it
 * maybe before; its memory is copied when it begins and compared when it ends, because the group promised
 * to leave it alone.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

struct disk *site_image(struct site *site, uint16_t volume, bool to_copy)
{
    CW_ASSERT(volume < site->world->volume_count);
    if (!site->has_volume[volume])
        world_fail(site->world, "site %u does something with volume %u, which it has not", site->id, volume);
    if (!to_copy || site->is_device)
        return &site->volumes[volume];
    CW_ASSERT(site->target_exists[volume] && "prepared before it is written");
    return &site->targets[volume];
}

/* Renames what is there: again after a crash in the middle, it does the rest. */
static void site_image_switch_one(struct site *site, uint32_t v)
{
    struct disk old = site->volumes[v];

    if (!site->target_exists[v] || !site->has_volume[v])
        return;
    site->volumes[v] = site->targets[v];
    site->targets[v] = old;
    site->target_exists[v] = false;
}

void site_image_switch(struct site *site)
{
    for (uint32_t v = 0; v < site->world->volume_count; v++)
        site_image_switch_one(site, v);
}

/* ------------------------------------------------------------------ disk operations */

static void io_free(void *data)
{
    struct io *io = data;

    for (uint32_t i = 0; i < io->segment_count; i++)
        free(io->segments[i].copy);
    if (io->fact) {
        free(io->fact->data);
        free(io->fact);
    }
    free(io->records);
    free(io->super);
    free(io);
}

static struct io *io_new(struct site *site, enum fact_type type, uint64_t token)
{
    struct io *io = calloc(1, sizeof *io);

    CW_ASSERT(io != NULL);
    io->site = site;
    io->life = site->life;
    io->fact = fact_new(type);
    io->fact->token = token;
    io->next = site->ios;
    site->ios = io;
    return io;
}

static void io_segment(struct io *io, uint64_t offset, const uint8_t *memory, uint64_t length)
{
    uint32_t i = io->segment_count++;

    CW_ASSERT(i < IO_SEGMENTS_MAX);
    io->segments[i].offset = offset;
    io->segments[i].length = length;
    io->segments[i].source = memory;
    if (!io->is_read && memory) {
        io->segments[i].copy = malloc(length);
        CW_ASSERT(io->segments[i].copy != NULL);
        memcpy(io->segments[i].copy, memory, length);
    }
}

static uint64_t io_latency(struct site *site)
{
    struct world *w = site->world;
    uint64_t ns = world_between(w, 10 * CW_US, 120 * CW_US);

    if (w->options.is_story)
        return 50 * CW_US;
    if (world_chance(w, 10))
        ns += world_between(w, CW_MS, 20 * CW_MS);
    if (w->now_ns < site->slow_until_ns)
        ns += world_between(w, 5 * CW_MS, 400 * CW_MS);
    return ns;
}

static void io_unlink(struct io *io)
{
    struct io **at = &io->site->ios;

    while (*at != io)
        at = &(*at)->next;
    *at = io->next;
}

static void io_records_written(struct io *io)
{
    for (uint32_t i = 0; i < io->record_count; i++) {
        io->records[i].dsync = io->dsync;
        truth_written(io->site, &io->records[i]);
    }
}

static void io_write_ends(struct io *io)
{
    struct world *w = io->site->world;
    struct disk *disk = io->disks[0];

    for (uint32_t i = 0; i < io->segment_count; i++) {
        uint64_t offset = io->segments[i].offset, length = io->segments[i].length;
        const uint8_t *copy = io->segments[i].copy;
        if (copy && memcmp(copy, io->segments[i].source, length) != 0)
            world_fail(w, "site %u: memory of a write at %llu changed while it was borrowed", io->site->id,
                       (unsigned long long)offset);
        if (io->super && !media_super_copy(io->site, i, &offset))
            continue;
        if (io->fail) {
            disk_write_some(disk, &w->rng, offset, copy, length);
            continue;
        }
        if (disk->misdirect && io->is_journal && length <= 64 * CW_KIB) {
            /* onto superblocks, too, but never onto both copies of one generation */
            bool onto_super = length <= 8 * CW_SECTOR_SIZE && world_chance(w, 250);
            uint64_t low = onto_super ? 0 : CW_JOURNAL_RING_SECTOR;
            uint64_t sectors = low ? (disk->size - length) / CW_SECTOR_SIZE - low : CW_JOURNAL_RING_SECTOR;
            disk->misdirect = false;
            io->site->is_journal_tainted = true;
            offset = (low + world_random(w, sectors)) * CW_SECTOR_SIZE;
            note(w, io->site, "misdirected write", io->segments[i].offset, offset, length);
        }
        disk_write(disk, offset, copy, length);
        if (io->dsync)
            disk_make_durable(disk, offset, length);
    }
    if (!io->fail)
        io_records_written(io);
}

static void io_read_ends(struct io *io)
{
    for (uint32_t i = 0; i < io->segment_count; i++) {
        CW_ASSERT(io->segments[i].offset + io->segments[i].length <= io->disks[0]->size);
        memcpy((uint8_t *)(uintptr_t)io->segments[i].source, io->disks[0]->live + io->segments[i].offset,
               io->segments[i].length);
    }
}

static void io_sync_begins(struct io *io)
{
    for (uint32_t i = 0; i < io->disk_count; i++)
        disk_sync_begin(io->disks[i]);
    io->serial_begin = io->site->truth_serial;
}

static void io_ends(struct world *w, void *data, uint64_t stage)
{
    struct io *io = data;
    struct site *site = io->site;

    if (io->dead) {
        io_free(io);
        return;
    }
    if (stage == 0) {
        if (io->is_read)
            io_read_ends(io);
        else
            io_write_ends(io);
        if (io->then_sync && !io->fail) {
            io_sync_begins(io);
            queue_owned_at(w, w->now_ns + io_latency(site), io_ends, io, 1, io_free);
            return;
        }
    } else if (!io->fail) {
        for (uint32_t i = 0; i < io->disk_count; i++)
            disk_sync_end(io->disks[i]);
        if (io->is_journal)
            site->truth_durable_serial = CW_MAX(site->truth_durable_serial, io->serial_begin);
        if (io->is_journal && !io->then_sync)
            tell(w, site, "journal synced");
        if (io->super)
            media_super_written(site, io->super);
    }
    io_unlink(io);
    io->fact->status = io->fail ? CW_IO : CW_OK;
    note(w, site, "io", io->fact->type, io->fact->type == FACT_CLIENT_READ ? 0 : io->fact->token, io->fail);
    site_post(site, io->fact);
    io->fact = NULL;
    io_free(io);
}

/* What fails by itself, beside writes: syncs, and reads that a group asked for. */
static bool may_fail(const struct io *io)
{
    return io->is_sync || (io->is_read && io->fact->type != FACT_CLIENT_READ);
}

static void io_begin(struct io *io)
{
    struct site *site = io->site;
    struct world *w = site->world;

    if (!io->is_read && (io->is_journal || io->is_apply) && io->disks[0]->failed_write) {
        io->disks[0]->failed_write = false;
        io->fail = true;
        note(w, site, "disk fails", io->fact->type, 0, 0);
        if (io->is_journal)
            site->is_journal_tainted = true;
    }
    if ((w->faults & FAULT_IO) && w->phase == PHASE_SAFETY && may_fail(io) && world_chance(w, 4)) {
        io->fail = true;
        note(w, site, "i/o fails", io->fact->type, 0, 0);
    }
    if (io->is_sync && !io->fail)
        io_sync_begins(io);
    else if (io->is_sync)
        ;
    else if (!io->is_read && world_chance(w, 100))
        for (uint32_t i = 0; i < io->segment_count; i++)
            disk_write_some(io->disks[0], &w->rng, io->segments[i].offset, io->segments[i].copy,
                            io->segments[i].length);
    queue_owned_at(w, w->now_ns + io_latency(site), io_ends, io, io->is_sync ? 1 : 0, io_free);
}

void site_io_crash(struct site *site)
{
    struct world *w = site->world;

    while (site->ios) {
        struct io *io = site->ios;
        site->ios = io->next;
        if (!io->is_read && !io->is_sync)
            for (uint32_t i = 0; i < io->segment_count; i++)
                disk_write_some(io->disks[0], &w->rng, io->segments[i].offset, io->segments[i].copy,
                                io->segments[i].length);
        io->dead = true; /* its event frees it */
    }
}

/* ------------------------------------------------------------------ journal */

/* What a batch on its way to the disk says: registered, and compared with what was said before. */
static void journal_look(struct io *io, const struct cw_journal_batch *batch)
{
    struct site *site = io->site;
    struct world *w = site->world;
    uint64_t base = cw_journal_device_offset(batch->position, w->ring_sectors);
    uint64_t length = (uint64_t)batch->sectors * CW_SECTOR_SIZE;
    uint8_t *bytes = calloc(1, length);
    struct cw_batch_view view;

    CW_ASSERT(bytes != NULL);
    for (uint32_t i = 0; i < batch->segment_count; i++) {
        if (batch->segments[i].offset < base || batch->segments[i].offset >= base + length)
            continue; /* a filler at the end of the ring */
        CW_ASSERT(batch->segments[i].offset - base + batch->segments[i].length <= length);
        memcpy(bytes + (batch->segments[i].offset - base), batch->segments[i].data,
               batch->segments[i].length);
    }
    enum cw_sector_class class_ = cw_batch_check(bytes, length, batch->position, w->ring_sectors,
                                                 site->status.identity.journal_id, &view);
    if (class_ != CW_SECTOR_VALID) {
        world_fail(w, "site %u writes a batch that is %s", site->id, cw_sector_class_name(class_));
    } else {
        io->records = calloc(view.record_count + 1, sizeof *io->records);
        CW_ASSERT(io->records != NULL);
        for (uint32_t i = 0; i < view.record_count; i++) {
            struct cw_record record;
            const uint8_t *payload;
            if (cw_batch_record(&view, i, &record, &payload) != CW_OK) {
                world_fail(w, "site %u writes a record that does not match its hash", site->id);
                break;
            }
            oracle_seen(w, site, &record, payload);
            io->records[io->record_count++] =
                (struct truth_entry){record.sequence, record.epoch, record.reign, 0, false};
        }
    }
    free(bytes);
}

static void journal_write(struct site *site, const struct cw_action *a)
{
    const struct cw_journal_batch *batch = cw_journal_batch(cw_group_journal(site->group), a->slot);
    struct io *io = io_new(site, FACT_JOURNAL_WRITTEN, a->slot);

    io->is_journal = true;
    io->disks[0] = &site->journal;
    io->disk_count = 1;
    io->dsync = batch->is_dsync;
    CW_ASSERT(batch->segment_count <= IO_SEGMENTS_MAX);
    for (uint32_t i = 0; i < batch->segment_count; i++)
        io_segment(io, batch->segments[i].offset, batch->segments[i].data, batch->segments[i].length);
    journal_look(io, batch);
    check_batch_commit(site, batch->commit);
    note(site->world, site, "journal", batch->first_sequence, batch->last_sequence, batch->commit);
    if (batch->record_count)
        tell(site->world, site, "journal %llu..%llu, commit %llu%s",
             (unsigned long long)batch->first_sequence, (unsigned long long)batch->last_sequence,
             (unsigned long long)batch->commit, batch->is_dsync ? ", through to the media" : "");
    io_begin(io);
}

static void super_write(struct site *site, const struct cw_action *a)
{
    struct io *io = io_new(site, FACT_SUPER_WRITTEN, 0);

    io->is_journal = io->then_sync = true;
    io->disks[0] = &site->journal;
    io->disk_count = 1;
    io_segment(io, (uint64_t)a->sectors[0] * CW_SECTOR_SIZE, a->memory, CW_SECTOR_SIZE);
    io_segment(io, (uint64_t)a->sectors[1] * CW_SECTOR_SIZE, a->memory, CW_SECTOR_SIZE);
    io->super = calloc(1, sizeof *io->super);
    CW_ASSERT(io->super != NULL);
    if (cw_superblock_decode(a->memory, a->sectors[0], io->super) != CW_SECTOR_VALID)
        world_fail(site->world, "site %u writes a superblock that cannot be read", site->id);
    io_begin(io);
}

static void read_of(struct site *site, enum fact_type type, struct disk *disk, const struct cw_action *a)
{
    struct io *io = io_new(site, type, a->token);

    io->is_read = true;
    io->disks[0] = disk;
    io->disk_count = 1;
    io_segment(io, a->offset, a->memory, a->length);
    io_begin(io);
}

static void sync_of(struct site *site, enum fact_type type, bool is_journal, bool to_copy)
{
    struct io *io = io_new(site, type, 0);

    io->is_sync = true;
    io->is_journal = is_journal;
    if (is_journal)
        io->disks[io->disk_count++] = &site->journal;
    for (uint16_t v = 0; !is_journal && v < site->world->volume_count; v++)
        if (site->has_volume[v])
            io->disks[io->disk_count++] = site_image(site, v, to_copy);
    io_begin(io);
}

/* ------------------------------------------------------------------ volumes */

static void apply(struct site *site, const struct cw_action *a)
{
    struct io *io = io_new(site, FACT_APPLIED, a->token);

    note(site->world, site, a->to_copy ? "apply to copy" : "apply", a->volume, a->offset, a->length);
    tell(site->world, site, "applies to %s%u, blocks %llu..%llu",
         a->to_copy ? "the copy of volume " : "volume ", a->volume,
         (unsigned long long)(a->offset / SIM_BLOCK),
         (unsigned long long)((a->offset + a->length) / SIM_BLOCK - 1));
    check_apply(site, a);
    io->is_apply = true;
    io->disks[0] = site_image(site, a->volume, a->to_copy);
    io->disk_count = 1;
    io_segment(io, a->offset, a->kind == CW_RECORD_WRITE ? a->memory : NULL, a->length);
    io_begin(io);
}

void site_read_volume(struct site *site, struct client_op *op)
{
    struct cw_action a = {
        .token = (uint64_t)(uintptr_t)op, .offset = op->offset, .length = op->length, .memory = op->buffer};
    read_of(site, FACT_CLIENT_READ, &site->volumes[op->volume], &a);
}

/* Files are made, renamed and removed one by one, and salvage files written, in time; some of it may fail. */
struct image_op {
    struct site *site;
    uint64_t life;
    struct fact *fact;
    uint8_t kind;
    bool is_salvage, fail;
    uint64_t above, last; /* of a salvage */
};

static void image_op_free(void *data)
{
    struct image_op *op = data;

    free(op->fact);
    free(op);
}

/* per_mille of its files */
static void image_do(struct image_op *op, uint32_t per_mille)
{
    struct site *site = op->site;
    struct world *w = site->world;

    for (uint32_t v = 0; v < w->volume_count && !op->is_salvage; v++) {
        if (!site->has_volume[v] || !world_chance(w, per_mille))
            continue;
        if (op->kind == CW_IMAGE_SWITCH) {
            site_image_switch_one(site, v);
        } else if (!site->is_device) {
            site->target_exists[v] = op->kind == CW_IMAGE_PREPARE;
            disk_fini(&site->targets[v]);
            disk_init(&site->targets[v], w->volume_blocks[v] * SIM_BLOCK);
        }
    }
}

static void image_op_ends(struct world *w, void *data, uint64_t a)
{
    struct image_op *op = data;
    struct site *site = op->site;

    if (op->life != site->life) {
        image_op_free(op);
        return;
    }
    site->image_op = NULL;
    image_do(op, op->fail ? 500 : 1000);
    op->fact->status = op->fail ? CW_IO : CW_OK;
    w->copies += op->kind == CW_IMAGE_SWITCH && !op->fail && !op->is_salvage;
    bool is_given_up = op->kind == CW_IMAGE_DISCARD && !op->is_salvage;
    w->old_images += is_given_up;
    note(w, site, op->is_salvage ? "salvaged" : "image", op->kind, op->fail, 0);
    if (op->is_salvage)
        check_salvage(site);
    if (op->is_salvage && !op->fail)
        check_kept(site, op->above, op->last);
    site_post(site, op->fact);
    op->fact = NULL;
    image_op_free(op);
}

static struct image_op *image_op_begin(struct site *site, enum fact_type type, uint8_t kind)
{
    struct world *w = site->world;
    struct image_op *op = calloc(1, sizeof *op);

    CW_ASSERT(op != NULL && site->image_op == NULL && "one at a time");
    *op = (struct image_op){.site = site,
                            .life = site->life,
                            .fact = fact_new(type),
                            .kind = kind,
                            .is_salvage = type == FACT_SALVAGED};
    op->fail = (w->faults & FAULT_IO) && w->phase == PHASE_SAFETY && world_chance(w, 150);
    site->image_op = op;
    uint64_t takes = w->options.is_story ? 50 * CW_US : world_between(w, 20 * CW_US, 40 * CW_MS);
    queue_owned_at(w, w->now_ns + takes, image_op_ends, op, 0, image_op_free);
    world_crash_soon(site, 2 * takes);
    return op;
}

static void salvage_begin(struct site *site, const struct cw_action *a)
{
    struct image_op *op = image_op_begin(site, FACT_SALVAGED, 0);

    op->above = a->sequence;
    op->last = a->last_sequence;
}

void site_image_crash(struct site *site)
{
    if (site->image_op)
        image_do(site->image_op, 500);
    site->image_op = NULL; /* its event frees it */
}

static void image(struct site *site, const struct cw_action *a)
{
    static const char *const ops[] = {"prepared", "switched in", "discarded"};

    tell(site->world, site, "files of the copy are %s", ops[a->kind]);
    image_op_begin(site, FACT_IMAGE, a->kind);
    volumes_change_soon(site, 200 * CW_MS);
}

/* ------------------------------------------------------------------ all of them */

static void group_event(struct site *site, const struct cw_action *a)
{
    struct world *w = site->world;

    note(w, site, "event", a->level, a->a, a->b);
    if (!w->options.trace && !w->narrates)
        return;
    char text[256];
    /* The group's own text: static, three numbers. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, a->text, (unsigned long long)a->a, (unsigned long long)a->b,
             (unsigned long long)a->c);
#pragma GCC diagnostic pop
    if (w->options.trace)
        fprintf(w->options.out, "      # %c: %s\n", "ABC"[site->id], text);
    tell(w, site, "! %s", text);
}

void site_act(struct site *site, const struct cw_action *a)
{
    switch (a->type) {
    case CW_ACT_JOURNAL_WRITE:
        journal_write(site, a);
        break;
    case CW_ACT_JOURNAL_SYNC:
        sync_of(site, FACT_JOURNAL_SYNCED, true, false);
        break;
    case CW_ACT_JOURNAL_READ:
        read_of(site, FACT_JOURNAL_READ, &site->journal, a);
        break;
    case CW_ACT_SUPER_WRITE:
        super_write(site, a);
        break;
    case CW_ACT_APPLY:
        apply(site, a);
        break;
    case CW_ACT_VOLUMES_SYNC:
        sync_of(site, FACT_VOLUMES_SYNCED, false, a->to_copy);
        break;
    case CW_ACT_SEND:
        link_send(site, a);
        break;
    case CW_ACT_COMPLETE:
        load_complete(site, a->request, a->status);
        break;
    case CW_ACT_RELEASE:
        site_payload_release(site, a->handle);
        break;
    case CW_ACT_CLAIM:
        control_claim(site, a);
        break;
    case CW_ACT_SET:
        control_set(site, a);
        break;
    case CW_ACT_COPY_READ:
        read_of(site, FACT_COPY_READ, site_image(site, a->volume, false), a);
        break;
    case CW_ACT_IMAGE:
        image(site, a);
        break;
    case CW_ACT_SALVAGE:
        note(site->world, site, "salvage", a->sequence, 0, 0);
        tell(site->world, site, "keeps its records above %llu for salvage", (unsigned long long)a->sequence);
        check_salvage(site);
        salvage_begin(site, a);
        break;
    case CW_ACT_EVENT:
        group_event(site, a);
        break;
    default:
        world_fail(site->world, "site %u: unknown action %u", site->id, a->type);
    }
}
